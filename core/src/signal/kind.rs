//! The kinds of signals, and which of them can be listened to.

use std::fmt;
use std::io;

use super::sys::number;

/// A kind of signal, by its number.
///
/// # Examples
/// ```
/// use twoply::signal::SignalKind;
///
/// assert_eq!(SignalKind::TERMINATE.to_string(), "SIGTERM");
/// assert_eq!(SignalKind::from_raw(15), SignalKind::TERMINATE);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SignalKind(i32);

/// The usual signals with their names.
const NAMES: [(i32, &str); 31] = [
    (libc::SIGHUP, "SIGHUP"),
    (libc::SIGINT, "SIGINT"),
    (libc::SIGQUIT, "SIGQUIT"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGTRAP, "SIGTRAP"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGKILL, "SIGKILL"),
    (libc::SIGUSR1, "SIGUSR1"),
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGUSR2, "SIGUSR2"),
    (libc::SIGPIPE, "SIGPIPE"),
    (libc::SIGALRM, "SIGALRM"),
    (libc::SIGTERM, "SIGTERM"),
    (libc::SIGSTKFLT, "SIGSTKFLT"),
    (libc::SIGCHLD, "SIGCHLD"),
    (libc::SIGCONT, "SIGCONT"),
    (libc::SIGSTOP, "SIGSTOP"),
    (libc::SIGTSTP, "SIGTSTP"),
    (libc::SIGTTIN, "SIGTTIN"),
    (libc::SIGTTOU, "SIGTTOU"),
    (libc::SIGURG, "SIGURG"),
    (libc::SIGXCPU, "SIGXCPU"),
    (libc::SIGXFSZ, "SIGXFSZ"),
    (libc::SIGVTALRM, "SIGVTALRM"),
    (libc::SIGPROF, "SIGPROF"),
    (libc::SIGWINCH, "SIGWINCH"),
    (libc::SIGIO, "SIGIO"),
    (libc::SIGPWR, "SIGPWR"),
    (libc::SIGSYS, "SIGSYS"),
];

impl SignalKind {
    /// `SIGALRM`: a timer of the process has run out.
    pub const ALARM: SignalKind = SignalKind(number::ALARM);
    /// `SIGCHLD`: a child has ended, stopped or gone on.
    pub const CHILD: SignalKind = SignalKind(number::CHILD);
    /// `SIGCONT`: the process goes on after a stop.
    pub const CONTINUE: SignalKind = SignalKind(number::CONTINUE);
    /// `SIGHUP`: the terminal is gone, or a daemon is to read its settings again.
    pub const HANGUP: SignalKind = SignalKind(number::HANGUP);
    /// `SIGINT`: the user has pressed Ctrl-C.
    pub const INTERRUPT: SignalKind = SignalKind(number::INTERRUPT);
    /// `SIGPIPE`: nobody reads from a pipe that was written to.
    pub const PIPE: SignalKind = SignalKind(number::PIPE);
    /// `SIGQUIT`: the user wants an end with a dump.
    pub const QUIT: SignalKind = SignalKind(number::QUIT);
    /// `SIGTERM`: the process is asked to end.
    pub const TERMINATE: SignalKind = SignalKind(number::TERMINATE);
    /// `SIGUSR1`, whose meaning is the program's.
    pub const USER1: SignalKind = SignalKind(number::USER1);
    /// `SIGUSR2`, whose meaning is the program's.
    pub const USER2: SignalKind = SignalKind(number::USER2);
    /// `SIGWINCH`: the terminal has another size.
    pub const WINDOW_CHANGE: SignalKind = SignalKind(number::WINDOW_CHANGE);

    /// Returns the kind with this number, which may be none: listening to that fails.
    ///
    /// # Examples
    /// ```
    /// use twoply::signal::{SignalKind, Signals};
    ///
    /// let kill = SignalKind::from_raw(9);
    /// assert_eq!(kill.to_string(), "SIGKILL");
    /// let error = Signals::new([kill]).unwrap_err();
    /// assert!(error.to_string().contains("no process can handle it"));
    /// ```
    pub const fn from_raw(number: i32) -> SignalKind {
        SignalKind(number)
    }

    /// Returns the number of the kind, as the system has it.
    ///
    /// # Examples
    /// ```
    /// use twoply::signal::SignalKind;
    ///
    /// let pid = std::process::id().to_string();
    /// let number = format!("-{}", SignalKind::CONTINUE.as_raw());
    /// assert!(std::process::Command::new("kill").args([number, pid]).status()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// Fails for a kind that cannot be listened to.
    pub(super) fn check(self) -> io::Result<()> {
        let is_signal = (1..=31).contains(&self.0) || (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&self.0);
        let why = match self.0 {
            _ if !is_signal => "there is no such signal",
            libc::SIGKILL | libc::SIGSTOP => "no process can handle it",
            libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE => {
                "it tells of a fault of the running code, which cannot go on"
            }
            libc::SIGURG => "this library interrupts system calls with it",
            _ => return Ok(()),
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{self} cannot be listened to: {why}")))
    }
}

impl fmt::Display for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.pad(name),
            None => f.pad(&format!("signal {}", self.0)),
        }
    }
}

impl fmt::Debug for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
