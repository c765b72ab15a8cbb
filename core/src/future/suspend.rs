//! [`suspension`]: code that stops until somebody resumes it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::base::sync::{Mutex, lock};
use crate::base::wake::StoredWaker;
use crate::kernel::waiting::{self, WaitingFor};

/// Makes a point at which code stops, and the handle that makes it go on.
///
/// A resume counts only while the code is suspended, otherwise it does nothing: so who is resumed knows that
/// it was meant for this suspension, and of several who resume it (an event and its timeout, say) one
/// succeeds. Where a signal must not be lost when it comes too early, use a channel.
///
/// ```
/// use twoply::{Wait, future::suspension};
///
/// let (mut point, resumer) = suspension();
/// assert!(!resumer.resume(), "nobody is suspended yet");
/// let other = std::thread::spawn(move || {
///     while !resumer.resume() {
///         std::thread::yield_now();
///     }
/// });
/// assert_eq!(point.suspend().wait(), Ok(()));
/// other.join().expect("it does not panic");
/// ```
pub fn suspension() -> (Suspension, Resumer) {
    let state = Arc::new(Mutex::new(State { phase: Phase::Running, resumers: 1 }));
    (Suspension { state: Arc::clone(&state) }, Resumer { state })
}

/// The state that the handles share.
struct State {
    phase: Phase,
    /// The number of [`Resumer`]s.
    resumers: usize,
}

/// The phases of the code.
///
/// ```text
/// Running ──(1) first poll──▶ Suspended ──(2) resume──▶ Resumed ──(3) next poll──▶ Running
///    ▲                            │                        │
///    └────────(4) drop────────────┴────────────────────────┘
/// ```
enum Phase {
    /// The code is not suspended: a resume does nothing.
    Running,
    /// The code waits to be resumed, with this waker.
    Suspended(StoredWaker),
    /// Resumed, and has not noticed.
    Resumed,
}

impl Phase {
    /// Wakes code that was in this phase.
    fn wake(self) {
        if let Phase::Suspended(waker) = self {
            waker.wake();
        }
    }
}

/// Every [`Resumer`] is gone, so nobody could end the suspension.
///
/// ```
/// use twoply::{Wait, future::{SuspendError, suspension}};
///
/// let (mut point, resumer) = suspension();
/// drop(resumer);
/// assert_eq!(point.suspend().wait(), Err(SuspendError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("suspended with nobody left to resume")]
pub struct SuspendError;

/// The point at which code suspends itself.
pub struct Suspension {
    state: Arc<Mutex<State>>,
}

impl Suspension {
    /// Waits until a [`Resumer`] resumes it; finish it with `.await` or `.wait()`. The suspension begins with
    /// the first poll, and ends when the future is dropped.
    ///
    /// # Errors
    /// When all resumers are gone.
    ///
    /// ```
    /// use twoply::{Wait, future::suspension};
    ///
    /// let (mut point, resumer) = suspension();
    /// let task = twoply::spawn(async move { point.suspend().await });
    /// while !resumer.resume() {
    ///     std::thread::yield_now();
    /// }
    /// assert_eq!(task.wait().unwrap(), Ok(()));
    /// ```
    pub fn suspend(&mut self) -> Suspend<'_> {
        Suspend { state: &self.state, suspended: false }
    }

    /// Makes another handle to resume it with.
    ///
    /// ```
    /// use twoply::{Wait, future::suspension};
    ///
    /// let (mut point, first) = suspension();
    /// let second = point.resumer();
    /// drop(first);
    /// std::thread::spawn(move || {
    ///     while !second.resume() {
    ///         std::thread::yield_now();
    ///     }
    /// });
    /// assert!(point.suspend().wait().is_ok());
    /// ```
    pub fn resumer(&self) -> Resumer {
        lock(&self.state).resumers += 1;
        Resumer { state: Arc::clone(&self.state) }
    }
}

impl fmt::Debug for Suspension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suspension").finish_non_exhaustive()
    }
}

/// Resumes a [`Suspension`], from anywhere. Clones resume the same one.
pub struct Resumer {
    state: Arc<Mutex<State>>,
}

impl Resumer {
    /// Resumes the code if it is suspended. Returns whether it was; otherwise nothing has happened.
    ///
    /// ```
    /// let (_point, resumer) = twoply::future::suspension();
    /// assert!(!resumer.resume(), "nobody is suspended");
    /// ```
    pub fn resume(&self) -> bool {
        let mut state = lock(&self.state);
        if !matches!(state.phase, Phase::Suspended(_)) {
            return false;
        }
        let before = std::mem::replace(&mut state.phase, Phase::Resumed);
        drop(state);
        before.wake();
        true
    }

    /// Returns true if the code is suspended now.
    ///
    /// ```
    /// let (_point, resumer) = twoply::future::suspension();
    /// assert!(!resumer.is_suspended());
    /// ```
    pub fn is_suspended(&self) -> bool {
        matches!(lock(&self.state).phase, Phase::Suspended(_))
    }
}

impl Clone for Resumer {
    fn clone(&self) -> Resumer {
        lock(&self.state).resumers += 1;
        Resumer { state: Arc::clone(&self.state) }
    }
}

impl Drop for Resumer {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.resumers -= 1;
        if state.resumers == 0 && matches!(state.phase, Phase::Suspended(_)) {
            // The next poll finds no resumer.
            let before = std::mem::replace(&mut state.phase, Phase::Running);
            drop(state);
            before.wake();
        }
    }
}

impl fmt::Debug for Resumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumer").field("suspended", &self.is_suspended()).finish()
    }
}

/// The future of [`Suspension::suspend`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Suspend<'a> {
    state: &'a Mutex<State>,
    /// True once it has been polled, until it is ready.
    suspended: bool,
}

impl Future for Suspend<'_> {
    type Output = Result<(), SuspendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Cloned before the lock is taken, and what is not needed is dropped after: both run code of the
        // waker's.
        let suspended = Phase::Suspended(StoredWaker::of(cx.waker()));
        let mut state = lock(self.state);
        let poll = match state.phase {
            Phase::Resumed => Poll::Ready(Ok(())),
            _ if state.resumers == 0 => Poll::Ready(Err(SuspendError)),
            _ => Poll::Pending,
        };
        let (next, unused) = match poll {
            Poll::Pending => (suspended, Phase::Running),
            Poll::Ready(_) => (Phase::Running, suspended),
        };
        let before = std::mem::replace(&mut state.phase, next);
        drop(state);
        drop((before, unused));
        self.suspended = poll.is_pending();
        waiting::note(poll, || WaitingFor::Resumption)
    }
}

impl Drop for Suspend<'_> {
    fn drop(&mut self) {
        if self.suspended {
            let mut state = lock(self.state);
            let before = std::mem::replace(&mut state.phase, Phase::Running);
            drop(state);
            drop(before);
        }
    }
}

impl fmt::Debug for Suspend<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suspend").field("suspended", &self.suspended).finish_non_exhaustive()
    }
}
