//! The system calls of this module.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

/// The numbers of signals that have a name of ours.
pub(super) mod number {
    pub(in crate::signal) const ALARM: i32 = libc::SIGALRM;
    pub(in crate::signal) const CHILD: i32 = libc::SIGCHLD;
    pub(in crate::signal) const CONTINUE: i32 = libc::SIGCONT;
    pub(in crate::signal) const HANGUP: i32 = libc::SIGHUP;
    pub(in crate::signal) const INTERRUPT: i32 = libc::SIGINT;
    pub(in crate::signal) const PIPE: i32 = libc::SIGPIPE;
    pub(in crate::signal) const QUIT: i32 = libc::SIGQUIT;
    pub(in crate::signal) const TERMINATE: i32 = libc::SIGTERM;
    pub(in crate::signal) const USER1: i32 = libc::SIGUSR1;
    pub(in crate::signal) const USER2: i32 = libc::SIGUSR2;
    pub(in crate::signal) const WINDOW_CHANGE: i32 = libc::SIGWINCH;
}

/// Has `handler` called with the number of each `signal` that reaches this process, after the handlers that
/// there are. It must do what a handler of signals may do, and nothing else.
pub(super) fn install(signal: i32, handler: fn(i32)) -> io::Result<()> {
    // SAFETY: the function that is passed is `hub::arrived`, which changes atomics, reads them, and makes
    // system calls that are async-signal-safe. The number is one of those that the crate takes.
    unsafe { signal_hook_registry::register(signal, move || handler(signal)) }.map(drop)
}

/// Makes an event descriptor.
pub(super) fn event() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Makes the event descriptor readable. It is called in handlers: it is one system call, and leaves `errno`
/// to whoever installed the handler.
pub(super) fn announce(event: impl AsFd) {
    // It can only fail when the counter is full, and then it is readable.
    let _ = rustix::io::write(event, &1u64.to_ne_bytes());
}

/// Takes what makes the event descriptor readable.
pub(super) fn take(event: impl AsFd) {
    // It fails when nothing is there.
    let _ = rustix::io::read(event, &mut [0u8; 8]);
}

/// Ends the process as `signal` does by default. It is called in the handler of that signal.
pub(super) fn end_by(signal: i32) -> ! {
    // SAFETY: all-zero is a valid `sigaction` and a valid set; SIG_DFL is zero. All calls are
    // async-signal-safe. The signal is sent to this thread, is delivered when it is unblocked here, and ends
    // the process if that is its default; else the last call does.
    unsafe {
        let action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        libc::raise(signal);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
        libc::_exit(128 + signal)
    }
}
