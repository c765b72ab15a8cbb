//! Signals, for laws about interrupted system calls.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::eventually;

/// Sends a signal that does nothing to every other thread of the process, over and over: each system call
/// that can be interrupted is. Only for a law in a process of its own; see
/// [`Systems::alone`](crate::Systems::alone).
#[derive(Debug)]
pub struct Storm {
    /// Set when it is to end.
    over: Arc<AtomicBool>,
    /// The number of signals so far.
    sent: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Storm {
    /// Starts one.
    ///
    /// # Panics
    /// When the signal can have no handler.
    pub fn start() -> Storm {
        extern "C" fn do_nothing(_signal: libc::c_int) {}
        // SAFETY: all-zero is a valid `sigaction`; without SA_RESTART in it, calls are interrupted. The
        // handler does nothing and so may run anywhere, and has the signature that goes without SA_SIGINFO.
        let installed = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = do_nothing as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_ONSTACK;
            libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut())
        };
        assert_eq!(installed, 0, "the signal has no handler");
        let over = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicUsize::new(0));
        let (ended, count) = (Arc::clone(&over), Arc::clone(&sent));
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                count.fetch_add(send_to_all(), Ordering::SeqCst);
                thread::sleep(Duration::from_micros(100));
            }
        });
        Storm { over, sent, thread }
    }

    /// Returns how many signals there have been.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    /// Ends the storm.
    ///
    /// # Panics
    /// When it has panicked.
    pub fn end(self) {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().expect("it does not panic");
    }
}

/// Gives `SIGPIPE` its usual action back, which Rust's start-up takes away: it ends the process. Only for a
/// law in a process of its own.
///
/// # Panics
/// When the system refuses.
pub fn mortal_to_sigpipe() {
    // SAFETY: it sets an action that is not a handler, and touches no memory of ours.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    assert_ne!(before, libc::SIG_ERR, "the action cannot be set");
}

/// Blocks all signals on the calling thread, as a daemon does that has one thread for them: threads that it
/// starts take that over. Only for a law in a process of its own.
///
/// # Panics
/// When the system refuses.
pub fn block_signals() {
    // SAFETY: all-zero is a valid set, which the first call fills; the second only reads it.
    let failed = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut())
    };
    assert_eq!(failed, 0, "signals cannot be blocked");
}

/// Which of all signals but those that nobody can block the calling thread does not block.
///
/// # Panics
/// When the system refuses to tell.
pub fn unblocked_signals() -> Vec<i32> {
    // SAFETY: all-zero is a valid set, which the call overwrites.
    let blocked = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut set), 0);
        set
    };
    let usual = (1..32).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal));
    // SAFETY: the set is whole, and each number is one of a signal.
    usual.filter(|&signal| unsafe { libc::sigismember(&raw const blocked, signal) } == 0).collect()
}

/// Has the system deny this process `tgkill`, with which a thread is sent a signal, as a sandbox may. Only
/// for a law in a process of its own.
///
/// # Panics
/// When the system refuses.
pub fn deny_tgkill() {
    deny(libc::SYS_tgkill);
}

/// Has the system deny this process descriptors of processes, as an old kernel does. Only for a law in a
/// process of its own.
///
/// # Panics
/// When the system refuses.
pub fn deny_pidfd() {
    deny(libc::SYS_pidfd_open);
}

/// Has the system refuse one call to this process.
fn deny(call: libc::c_long) {
    let load = |at: u32| libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: at };
    let answer = |k: u32| libc::sock_filter { code: 0x06, jt: 0, jf: 0, k };
    // The number of the call lies at the beginning of what the filter sees.
    let denied = call as u32;
    let unless = libc::sock_filter { code: 0x15, jt: 0, jf: 1, k: denied };
    let errno = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
    let mut filter = [load(0), unless, answer(errno), answer(libc::SECCOMP_RET_ALLOW)];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    let all_threads = libc::SECCOMP_FILTER_FLAG_TSYNC;
    // SAFETY: the first call takes numbers; the second reads the program, which is whole and outlives it.
    let failed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                all_threads,
                &raw const program,
            ) != 0
    };
    assert!(!failed, "no filter: {}", std::io::Error::last_os_error());
}

/// The number of signals that [`count_signal`] has counted.
static COUNTED: AtomicUsize = AtomicUsize::new(0);

/// Installs a handler of this signal that counts, as a program has it that knows nothing of ours, and returns
/// the count. Only for a law in a process of its own.
///
/// # Panics
/// When the system refuses.
pub fn count_signal(signal: i32) -> &'static AtomicUsize {
    extern "C" fn count(_signal: libc::c_int) {
        COUNTED.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: all-zero is a valid `sigaction`. The handler adds to an atomic, which it may do anywhere, and
    // has the signature that goes without SA_SIGINFO.
    let installed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as extern "C" fn(libc::c_int) as usize;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut())
    };
    assert_eq!(installed, 0, "the signal has no handler");
    &COUNTED
}

/// Sends this process a signal.
///
/// # Panics
/// When there is no such signal.
pub fn send_signal(signal: i32) {
    // SAFETY: the calls take and return numbers, and touch no memory of ours.
    assert_eq!(unsafe { libc::kill(libc::getpid(), signal) }, 0, "no signal {signal}");
}

/// A real-time signal that no other law of the process uses as long as this lives.
#[derive(Debug)]
pub struct OwnSignal(i32);

/// The real-time signals that are taken.
static TAKEN: Mutex<Vec<i32>> = Mutex::new(Vec::new());

impl OwnSignal {
    /// Takes one; waits for it where all are taken.
    ///
    /// # Panics
    /// When none comes free.
    pub fn new() -> OwnSignal {
        let mut own = None;
        eventually("a signal is free", || {
            let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
            own = (libc::SIGRTMIN() + 1..libc::SIGRTMAX()).find(|signal| !taken.contains(signal));
            taken.extend(own);
            own.is_some()
        });
        OwnSignal(own.expect("it is there"))
    }

    /// Its number.
    pub fn number(&self) -> i32 {
        self.0
    }

    /// Sends it to this process.
    pub fn send(&self) {
        send_signal(self.0);
    }
}

impl Default for OwnSignal {
    fn default() -> OwnSignal {
        OwnSignal::new()
    }
}

impl Drop for OwnSignal {
    fn drop(&mut self) {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).retain(|signal| *signal != self.0);
    }
}

/// Sends the signal once to each thread but this one.
fn send_to_all() -> usize {
    let process = rustix::process::getpid().as_raw_nonzero().get();
    let this = rustix::thread::gettid().as_raw_nonzero().get();
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let ids = threads.filter_map(|thread| thread.file_name().to_str()?.parse::<i32>().ok());
    let sent = ids.filter(|id| *id != this).map(|id| {
        // SAFETY: the call takes three numbers and touches no memory of ours. A thread that has ended gets
        // nothing.
        unsafe { libc::syscall(libc::SYS_tgkill, process, id, libc::SIGUSR1) }
    });
    sent.filter(|result| *result == 0).count()
}
