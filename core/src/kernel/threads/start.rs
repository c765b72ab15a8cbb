//! The one place where this library starts threads.
//!
//! Where the address space is limited, or what counts as data in it, a thread that the system has started may
//! fail to get its signal stack, and what goes on may fail to get memory: std aborts the process for either.
//! So a thread is refused there that would leave less than `room::SPARE`, or less than `room::BEGINNING` on a
//! stack that the C library has kept. The threads of other libraries are not asked.

use std::io;

use super::affinity;

/// Starts a thread that is bound to no processor, with a stack of that size; `None` for what std does.
/// A NUL in its name is left out.
///
/// # Errors
/// Fails when the operating system refuses a thread, and with
/// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) when its limits leave no room for one. Then `body` is
/// dropped.
pub(crate) fn start(
    name: String,
    stack_size: Option<usize>,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let body = affinity::unbound(body);
    let mut builder = std::thread::Builder::new().name(without_nul(name));
    if let Some(bytes) = stack_size {
        builder = builder.stack_size(bytes);
    }
    #[cfg(target_os = "linux")]
    if let Some(room) = room::Room::now() {
        return room.start(builder, stack_size, body);
    }
    builder.spawn(body).map(drop)
}

/// Returns what the system can have of a name.
pub(super) fn without_nul(mut name: String) -> String {
    name.retain(|char| char != '\0');
    name
}

/// Threads where there is a limit on what a process may map.
#[cfg(target_os = "linux")]
mod room {
    use std::env;
    use std::ffi::c_void;
    use std::fs;
    use std::io;
    use std::iter;
    use std::ptr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, mpsc};
    use std::thread::Builder;

    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
    use rustix::process::{Resource, getrlimit};

    use crate::base::fork::PerProcess;
    use crate::base::sync::lock_std;

    /// The bytes that a thread on a new stack leaves: for its guard, for [`BEGINNING`], and for the program,
    /// which needs memory to say what was refused.
    const SPARE: usize = 1 << 20;

    /// The bytes within which a thread begins: std maps a signal stack and its guard, and the allocator takes
    /// 128 KiB and some more at a time.
    const BEGINNING: usize = 256 << 10;

    /// The bytes of an arena of glibc's, `HEAP_MAX_SIZE`: a thread takes them before it has its signal stack,
    /// or goes without where they are not there. They are no data until they are used.
    const ARENA: usize = if cfg!(target_pointer_width = "64") { 64 << 20 } else { 1 << 20 };

    /// The number of threads for which there is room where nobody has to look closely: more than have been
    /// started at a time and not begun.
    const MANY: usize = 64;

    /// The bytes that this process may still map.
    #[derive(Clone, Copy)]
    pub(super) struct Room {
        /// Those of any kind.
        space: usize,
        /// Those of data, which is what is private and may be written.
        data: usize,
    }

    impl Room {
        /// Returns `None` when there is no limit, or the system does not say what is taken. It asks each
        /// time: a limit may be set while the program runs.
        pub(super) fn now() -> Option<Room> {
            let space = getrlimit(Resource::As).current;
            let data = getrlimit(Resource::Data);
            // Where it is zero Linux goes by the other one.
            let data = data.current.filter(|&bytes| bytes > 0).or(data.maximum);
            if space.is_none() && data.is_none() {
                return None;
            }
            // Not of the process, of which the first thread may have ended.
            let status = match fs::read("/proc/thread-self/status") {
                Ok(status) => status,
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                    return Some(Room { space: 0, data: 0 });
                }
                Err(_) => return None,
            };
            let left = |limit: Option<u64>, taken: &str| {
                let Some(limit) = limit else { return Some(usize::MAX) };
                let line = status
                    .split(|&byte| byte == b'\n')
                    .find_map(|line| line.strip_prefix(taken.as_bytes()))?;
                let kilobytes: u64 = str::from_utf8(line).ok()?.trim().strip_suffix(" kB")?.parse().ok()?;
                Some(usize::try_from(limit.saturating_sub(kilobytes << 10)).unwrap_or(usize::MAX))
            };
            Some(Room { space: left(space, "VmSize:")?, data: left(data, "VmData:")? })
        }

        /// As [`start`](super::start). Where there is not much room, threads start one after the other: each
        /// has its signal stack before the next one is looked at.
        pub(super) fn start<F: FnOnce() + Send + 'static>(
            self,
            builder: Builder,
            stack_size: Option<usize>,
            body: F,
        ) -> io::Result<()> {
            static ONE: PerProcess<Mutex<()>> = PerProcess::new();
            let stack = stack_size.unwrap_or_else(usual_stack_size);
            let most = stack.saturating_add(ARENA + SPARE).saturating_mul(MANY);
            if self.space.min(self.data) >= most {
                return builder.spawn(body).map(drop);
            }
            let one = lock_std(ONE.get_or_init(Mutex::default));
            let held = hold(stack)?;
            // The body is the user's: where there is no thread it stays here, and is dropped after the lock.
            let (give, take) = mpsc::sync_channel::<F>(0);
            let began = move || {
                if let Ok(body) = take.recv() {
                    body();
                }
            };
            builder.spawn(began)?;
            let taken = give.send(body);
            drop((held, one));
            taken.map_err(|_| io::Error::other("the thread has ended before it began"))
        }

        /// Returns whether a thread with such a stack leaves enough, whatever it takes of this room.
        ///
        /// The C library may have kept the stack of a thread that has ended, which takes no more room; nobody
        /// can ask it. It takes an arena where there is room for one, and none where it has a free one.
        fn suffices(self, stack: usize) -> bool {
            let leaves = |stack, arena, least| {
                let space = self.space.checked_sub(stack).and_then(|space| space.checked_sub(arena));
                match (space, self.data.checked_sub(stack)) {
                    (Some(space), Some(data)) => space.min(data) >= least,
                    // It does not take what is not there.
                    _ => true,
                }
            };
            [0, ARENA].into_iter().all(|arena| leaves(0, arena, BEGINNING) && leaves(stack, arena, SPARE))
        }
    }

    /// Makes sure that a thread with such a stack leaves enough, and hands back what is to be held until it
    /// has begun: where it would leave too little, as much as leaves no room for a new stack, or for an
    /// arena. Then it goes without, or does not start.
    fn hold(stack: usize) -> io::Result<Option<Mapping>> {
        let suffices = |_: &Option<Mapping>| Room::now().is_none_or(|room| room.suffices(stack));
        let more = (0..4).filter_map(|halvings| Mapping::new(SPARE >> halvings)).map(Some);
        iter::once(None).chain(more).find(suffices).ok_or_else(|| {
            let message =
                format!("no room for a thread with a stack of {stack} bytes (ulimit -v, ulimit -d)");
            io::Error::new(io::ErrorKind::QuotaExceeded, message)
        })
    }

    /// The size of a stack for which nobody has asked: std's.
    fn usual_stack_size() -> usize {
        /// Zero while it is not known. It is no lock, which a fork might leave taken.
        static SIZE: AtomicUsize = AtomicUsize::new(0);
        match SIZE.load(Ordering::Relaxed) {
            0 => {
                let told = || env::var("RUST_MIN_STACK").ok()?.parse().ok();
                let size = told().unwrap_or(2 << 20);
                SIZE.store(size, Ordering::Relaxed);
                size
            }
            size => size,
        }
    }

    /// Data that is taken and never used.
    struct Mapping {
        start: *mut c_void,
        length: usize,
    }

    impl Mapping {
        /// Returns `None` when the system refuses.
        fn new(length: usize) -> Option<Mapping> {
            // Memory that may be written is what counts as data.
            let access = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: the kernel chooses the address, so that no mapping of others is touched.
            let start = unsafe { mmap_anonymous(ptr::null_mut(), length, access, MapFlags::PRIVATE) };
            start.ok().map(|start| Mapping { start, length })
        }
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            // SAFETY: it is the mapping made above, of which nobody else knows.
            let unmapped = unsafe { munmap(self.start, self.length) };
            debug_assert!(unmapped.is_ok(), "{unmapped:?}");
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn a_nul_in_a_name_is_left_out() {
        let (give, take) = mpsc::channel();
        let body = move || give.send(thread::current().name().map(str::to_owned)).unwrap();
        start("a\0b".to_owned(), Some(0), body).unwrap();
        assert_eq!(take.recv().unwrap().as_deref(), Some("ab"));
    }
}
