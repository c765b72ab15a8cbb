//! Processes of a law's own.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::process::{self, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use twoply_core::Wait;
use twoply_core::time::sleep;

use crate::gate::Gate;
use crate::skip::skip;
use crate::system::Systems;

/// Tells a test that it is the child, by the name of the test.
const CHILD: &str = "TWOPLY_TESTS_CHILD";

/// The status of a process that has ended by [`exit_and_wait`], and what it has written then.
const EXITED: i32 = 7;
const HAS_WAITED: &str = "the end has waited";

impl Systems {
    /// Runs `body` in a process of its own, which ends when `body` returns, and hands back what it has
    /// written and how it ended. It must be the first thing that the law does.
    ///
    /// In the child this is the only test, and it runs on the main thread.
    ///
    /// # Panics
    /// When the child cannot be started.
    pub fn in_child(&self, body: impl FnOnce()) -> Output {
        self.child(body).stdin(Stdio::null()).output().expect("the test can be started once more")
    }

    /// As [`Systems::in_child`], but hands back how the child is started.
    ///
    /// # Panics
    /// When the test does not know its program, and in a law that runs side by side with others.
    pub fn child(&self, body: impl FnOnce()) -> Command {
        assert!(self.name().contains("::"), "{}: the child would run no test", self.name());
        if env::var(CHILD).as_deref() == Ok(self.name()) {
            body();
            process::exit(0);
        }
        let mut command = Command::new(env::current_exe().expect("the test knows its program"));
        command.args(["--exact", self.name(), "--nocapture", "--test-threads=1"]);
        command.env(CHILD, self.name()).env("RUST_BACKTRACE", "0");
        command
    }

    /// As [`Systems::in_child`], for a child that ends well.
    ///
    /// # Panics
    /// When it did not, with all that it wrote.
    pub fn alone(&self, body: impl FnOnce()) {
        let output = self.in_child(body);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}: the child: {}\n{out}\n{err}", self.name(), output.status);
    }
}

/// What this process has that must not grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// How many threads there are of each name.
    pub threads: BTreeMap<String, usize>,
    /// What the open descriptors are, and how many of each.
    pub descriptors: BTreeMap<String, usize>,
}

impl Resources {
    /// What there is now.
    pub fn now() -> Resources {
        let mut threads = BTreeMap::new();
        for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            // A thread may end between the two calls.
            if let Ok(name) = fs::read_to_string(task.path().join("comm")) {
                *threads.entry(name.trim().to_owned()).or_default() += 1;
            }
        }
        let mut descriptors = BTreeMap::new();
        for descriptor in fs::read_dir("/proc/self/fd").into_iter().flatten().flatten() {
            // The one through which the folder is read is gone by the time it is looked at.
            if let Ok(target) = fs::read_link(descriptor.path())
                && !target.to_string_lossy().starts_with("/proc/")
            {
                *descriptors.entry(target.to_string_lossy().into_owned()).or_default() += 1;
            }
        }
        Resources { threads, descriptors }
    }

    /// Waits until nothing is there that was not there at `self`, and says what there is if that does not
    /// come. A thread that has been joined may be in the list for a moment longer.
    ///
    /// # Panics
    /// When something stays.
    pub fn assert_restored(&self) {
        self.assert_gone(true);
    }

    /// As [`assert_restored`](Resources::assert_restored), where threads may stay: a backend keeps some for a
    /// while, and a new one has the name of another until it says its own.
    ///
    /// # Panics
    /// When a descriptor stays.
    pub fn assert_descriptors_restored(&self) {
        self.assert_gone(false);
    }

    fn assert_gone(&self, and_threads: bool) {
        let start = Instant::now();
        loop {
            let now = Resources::now();
            let grown = |before: &BTreeMap<String, usize>, now: &BTreeMap<String, usize>| -> Vec<String> {
                let more = |(name, count): (&String, &usize)| {
                    (*count > before.get(name).copied().unwrap_or(0)).then(|| format!("{count} x {name}"))
                };
                now.iter().filter_map(more).collect()
            };
            let mut left = grown(&self.descriptors, &now.descriptors);
            if and_threads {
                left.extend(grown(&self.threads, &now.threads));
            }
            if left.is_empty() {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(5), "left behind: {left:?}; before: {self:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// How many threads have a name that begins with `prefix`.
    pub fn threads_named(&self, prefix: &str) -> usize {
        self.threads.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, count)| count).sum()
    }
}

/// The children of this process, each with its state as the system tells it: `Z` for one that has ended and
/// whose status nobody has taken.
pub fn children_of(process: u32) -> Vec<(u32, char)> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may end between the two calls.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name, in parentheses, may have anything in it.
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split(' ');
        let (state, parent) = (fields.next(), fields.next());
        if parent.and_then(|parent| parent.parse().ok()) == Some(process) {
            children.extend(state.and_then(|state| state.chars().next()).map(|state| (id, state)));
        }
    }
    children
}

/// Has a child take the rights of others away from the files that it makes, before its program starts.
pub fn set_mask(command: &mut twoply_core::process::Command) {
    // SAFETY: the call changes a number of the process, is async-signal-safe and touches no memory.
    unsafe {
        command.pre_exec(|| {
            libc::umask(0o077);
            Ok(())
        });
    }
}

/// Exits, and waits in what the program runs at its exit, on the stack that exits; see [`assert_has_waited`].
///
/// # Panics
/// When the system takes no more code for an exit.
pub fn exit_and_wait() -> ! {
    extern "C" fn at_exit() {
        // No panic may leave it.
        let waited = std::panic::catch_unwind(|| {
            // More than fits where the timers of the thread were, and on another thread.
            for _ in 0..10 {
                sleep(Duration::from_micros(100)).wait();
                let gate = Gate::new();
                let opened = gate.opened();
                let opener = thread::spawn(move || gate.open());
                opened.wait();
                opener.join().expect("it opens a gate, and that is all");
            }
        });
        if waited.is_ok() {
            println!("{HAS_WAITED}");
        }
    }
    // SAFETY: the function may be called at any time, takes nothing and does not unwind.
    assert_eq!(unsafe { libc::atexit(at_exit) }, 0, "the system takes no more of them");
    process::exit(EXITED)
}

/// Asserts that a process has ended by [`exit_and_wait`].
///
/// # Panics
/// When it has not, with all that it wrote.
pub fn assert_has_waited(output: &Output) {
    assert_eq!(output.status.code(), Some(EXITED), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(HAS_WAITED), "{text}");
}

/// What [`limit_memory`] limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// The address space.
    Space,
    /// What is private and may be written.
    Data,
}

/// Lets this process have `more` bytes of memory beyond what it has now, so that no more threads can be
/// started: each needs a stack. Root is not exempt from this limit, as it is from the one on processes.
/// `None` lifts it.
///
/// # Panics
/// When the system refuses.
pub fn limit_memory(memory: Memory, more: Option<u64>) {
    let (resource, taken) = match memory {
        Memory::Space => (Resource::As, "VmSize:"),
        Memory::Data => (Resource::Data, "VmData:"),
    };
    let current = more.map(|more| {
        let status = fs::read_to_string("/proc/self/status").expect("proc is there");
        let taken = status.lines().find_map(|line| line.strip_prefix(taken)?.trim().strip_suffix(" kB"));
        let kilobytes: u64 = taken.and_then(|taken| taken.parse().ok()).expect("it says what is taken");
        (kilobytes << 10) + more
    });
    let limits = getrlimit(resource);
    setrlimit(resource, Rlimit { current, maximum: limits.maximum }).expect("the limit can be set");
}

/// Has the limits of this process say that its user may have `number` processes and threads. Root may have
/// more.
///
/// # Panics
/// When the system refuses.
pub fn limit_processes(number: u64) {
    let limits = getrlimit(Resource::Nproc);
    setrlimit(Resource::Nproc, Rlimit { current: Some(number), maximum: limits.maximum })
        .expect("the limit can be set");
}

/// Makes this process that of a user who has no other, for whom the limits on processes hold, and returns
/// whether it could: only root may. [Says so](skip) where it could not.
pub fn become_another_user() -> bool {
    // Beyond those that systems and directories give out, and apart from those of other laws.
    let user = (1 << 30) + process::id();
    // SAFETY: it changes numbers of the process and touches no memory.
    let became = unsafe { libc::setresuid(user, user, user) } == 0;
    if !became {
        skip("only root may become another user");
    }
    became
}

/// Forks without exec. `child` runs in the child, whose only thread is this one, and its result is the
/// child's exit status, which is returned here; `None` when the child did not exit by itself within ten
/// seconds.
///
/// # Panics
/// When the system refuses.
pub fn fork(child: impl FnOnce() -> u8) -> Option<u8> {
    // SAFETY: the child of a threaded process should call only what is async-signal-safe. glibc makes its
    // allocator usable there, and what `child` does beyond that (a few atomics and locks that nobody holds)
    // is what is tested.
    let id = unsafe { libc::fork() };
    assert!(id >= 0, "no fork: {}", std::io::Error::last_os_error());
    if id == 0 {
        let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(255);
        // SAFETY: it ends the process and touches no memory.
        unsafe { libc::_exit(status.into()) };
    }
    let id = rustix::process::Pid::from_raw(id)?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if let Ok(Some((_, status))) =
            rustix::process::waitpid(Some(id), rustix::process::WaitOptions::NOHANG)
        {
            return status.exit_status().and_then(|status| u8::try_from(status).ok());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
    let _ = rustix::process::waitpid(Some(id), rustix::process::WaitOptions::empty());
    None
}
