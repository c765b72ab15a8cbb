//! The limit on the threads of this process, which is derived from the limits of the system.
//!
//! Linux has several limits, and not all of them are harmless: where a process runs out of memory mappings, a
//! thread that has been started fails to make its signal stack, and that aborts the process. So the limit
//! here stays well below what the system would refuse.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::fork::PerProcess;

/// The smallest limit: what a small program needs. The operating system may refuse a thread all the same.
const LEAST: usize = 64;

/// The largest limit, and the one of a system that reports nothing.
const MOST: usize = 1 << 16;

/// The memory mappings of a thread: its stack and its signal stack, each with a guard.
const MAPPINGS: usize = 4;

/// The bytes of memory of a blocked thread: 16 KiB in the kernel, the pages of its stacks that it has
/// touched, and their page tables.
const MEMORY: usize = 64 * 1024;

/// The limits that the system reports; `None` where it reports nothing.
#[derive(Debug, Default)]
struct System {
    /// The number of threads that the system can have in all: `kernel.threads-max`, `kernel.pid_max`, and
    /// `pids.max` of the control groups that the process is in, whichever is least; and those of the user,
    /// `RLIMIT_NPROC`.
    threads: Option<usize>,
    /// The number of mappings that a process can have: `vm.max_map_count`.
    mappings: Option<usize>,
    /// The bytes of memory of the machine, or those that the control groups allow.
    memory: Option<usize>,
}

impl System {
    fn read() -> System {
        let number = |path: &str| read_number(Path::new(path));
        let groups = control_groups(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default());
        let least_of = |file: &str| groups.iter().filter_map(|group| read_number(&group.join(file))).min();
        #[cfg(target_os = "linux")]
        let own = rustix::process::getrlimit(rustix::process::Resource::Nproc).current;
        #[cfg(not(target_os = "linux"))]
        let own: Option<u64> = None;
        let own = own.and_then(|limit| usize::try_from(limit).ok());
        let threads = [
            number("/proc/sys/kernel/threads-max"),
            number("/proc/sys/kernel/pid_max"),
            least_of("pids.max"),
            own,
        ];
        let memory = [total_memory(), least_of("memory.max"), least_of("memory.limit_in_bytes")];
        System {
            threads: threads.into_iter().flatten().min(),
            mappings: number("/proc/sys/vm/max_map_count"),
            memory: memory.into_iter().flatten().min(),
        }
    }

    /// Returns the smallest of: half of the threads, because there are other processes; the threads for a
    /// third of the mappings, because stacks of fibers may take half of them; and the threads for half of the
    /// memory.
    fn limit(&self) -> usize {
        let threads = self.threads.map(|threads| threads / 2);
        let mappings = self.mappings.map(|mappings| mappings / 3 / MAPPINGS);
        let memory = self.memory.map(|bytes| bytes / 2 / MEMORY);
        [threads, mappings, memory].into_iter().flatten().fold(MOST, usize::min).max(LEAST)
    }
}

fn read_number(path: &Path) -> Option<usize> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Returns the folders of the control groups of a process with this `/proc/self/cgroup`: those of the unified
/// hierarchy and of the older ones for processes and memory, each with all groups that contain it.
fn control_groups(text: &str) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let root = match controllers {
            "" => PathBuf::from("/sys/fs/cgroup"),
            "pids" | "memory" => Path::new("/sys/fs/cgroup").join(controllers),
            _ => continue,
        };
        let group = root.join(path.trim_start_matches('/'));
        folders.extend(group.ancestors().take_while(|folder| folder.starts_with(&root)).map(PathBuf::from));
    }
    folders
}

/// Returns the memory of the machine in bytes.
fn total_memory() -> Option<usize> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

/// Returns the largest number of threads that all caches of this process have together, idle ones included.
/// The threads of other libraries do not count.
///
/// It is derived, once, from what the system reports: half of the least of `kernel.threads-max`,
/// `kernel.pid_max`, the limit on the user's processes and `pids.max` of the control groups; a twelfth of
/// `vm.max_map_count`, as a thread takes four mappings; and a thread for each 128 KiB of memory, be it the
/// machine's or `memory.max`. At least 64. A machine with the usual settings of Linux and enough memory comes
/// to some 5,460.
///
/// # Examples
/// ```
/// assert!(twoply::contract::threads::process_limit() >= 64);
/// ```
pub fn process_limit() -> usize {
    /// Zero while it is not known. It is no lock, which a fork might leave taken.
    static LIMIT: AtomicUsize = AtomicUsize::new(0);
    match LIMIT.load(Ordering::Relaxed) {
        0 => {
            let limit = System::read().limit();
            // All are told the same, also when two have read at a time.
            match LIMIT.compare_exchange(0, limit, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => limit,
                Err(limit) => limit,
            }
        }
        limit => limit,
    }
}

/// The number of threads of all caches of this process. Relaxed, because nothing is ordered by it. The child
/// of a fork has none of its parent's threads, and begins at zero.
static THREADS: PerProcess<AtomicUsize> = PerProcess::new();

/// The permit for one thread, which is returned when it is dropped to the count from which it was taken.
pub(super) struct Permit(&'static AtomicUsize);

impl Permit {
    /// Takes a permit; `None` when there are [`process_limit`] threads already.
    pub(super) fn take() -> Option<Permit> {
        let more = |threads| (threads < process_limit()).then_some(threads + 1);
        let threads = THREADS.get_or_init(AtomicUsize::default);
        threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Permit(threads))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_limit_counts() {
        let limit = |threads, mappings, memory| System { threads, mappings, memory }.limit();
        assert_eq!(limit(None, None, None), MOST);
        assert_eq!(limit(Some(32_768), Some(65_530), Some(64 << 30)), 5460);
        assert_eq!(limit(Some(1_000), Some(65_530), Some(64 << 30)), 500);
        assert_eq!(limit(Some(32_768), Some(1 << 20), Some(256 << 20)), 2048);
        assert_eq!(limit(Some(10), Some(10), Some(10)), LEAST);
    }

    #[test]
    fn control_groups_are_found_with_what_they_lie_in() {
        let found = control_groups("0::/a/b\n7:pids:/c\n3:cpu,cpuacct:/d\nnonsense\n");
        let expected =
            ["", "/a", "/a/b", "/pids", "/pids/c"].map(|end| PathBuf::from(format!("/sys/fs/cgroup{end}")));
        assert_eq!(found.len(), expected.len());
        assert!(expected.iter().all(|folder| found.contains(folder)), "{found:?}");
    }

    #[test]
    fn this_system_has_a_limit() {
        assert!((LEAST..=MOST).contains(&process_limit()));
    }
}
