//! Signals, for laws about interrupted system calls.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Sends a signal that does nothing to every other thread of the process, over and over: each system call that
/// can be interrupted is. Only for a law in a process of its own; see [`Systems::alone`](crate::Systems::alone).
#[derive(Debug)]
pub struct Storm {
    /// Set when it is to end.
    over: Arc<AtomicBool>,
    /// Sends, and counts.
    thread: JoinHandle<usize>,
}

impl Storm {
    /// Starts one.
    ///
    /// # Panics
    /// When the signal can have no handler.
    pub fn start() -> Storm {
        extern "C" fn do_nothing(_signal: libc::c_int) {}
        // SAFETY: all-zero is a valid `sigaction`; without SA_RESTART in it, calls are interrupted. The handler does
        // nothing and so may run anywhere, and has the signature that goes without SA_SIGINFO.
        let installed = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = do_nothing as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_ONSTACK;
            libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut())
        };
        assert_eq!(installed, 0, "the signal has no handler");
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut sent = 0;
            while !ended.load(Ordering::SeqCst) {
                sent += send_to_all();
                thread::sleep(Duration::from_micros(100));
            }
            sent
        });
        Storm { over, thread }
    }

    /// Ends it, and says how many signals there were.
    ///
    /// # Panics
    /// When it has panicked.
    pub fn end(self) -> usize {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().expect("it does not panic")
    }
}

/// Gives `SIGPIPE` its usual action back, which Rust's start-up takes away: it ends the process. Only for a law in a
/// process of its own.
///
/// # Panics
/// When the system refuses.
pub fn mortal_to_sigpipe() {
    // SAFETY: it sets an action that is not a handler, and touches no memory of ours.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    assert_ne!(before, libc::SIG_ERR, "the action cannot be set");
}

/// Sends the signal once to each thread but this one.
fn send_to_all() -> usize {
    let process = rustix::process::getpid().as_raw_nonzero().get();
    let this = rustix::thread::gettid().as_raw_nonzero().get();
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let ids = threads.filter_map(|thread| thread.file_name().to_str()?.parse::<i32>().ok());
    let sent = ids.filter(|id| *id != this).map(|id| {
        // SAFETY: the call takes three numbers and touches no memory of ours. A thread that has ended gets nothing.
        unsafe { libc::syscall(libc::SYS_tgkill, process, id, libc::SIGUSR1) }
    });
    sent.filter(|result| *result == 0).count()
}
