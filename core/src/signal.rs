//! Signals of the operating system, as messages: [`Signals`], and [`ctrl_c`].
//!
//! A program listens to signals on as many places as it likes, on any runtime and outside of them: each
//! [`Signals`] hears of every signal of its kinds. The handlers that the program had before are called, too.
//!
//! # What a signal that is listened to does
//! As long as the process lives, a signal that has been listened to once does no longer what it does by
//! default, also when nobody listens any more: a `SIGTERM` then ends nothing. What happens instead is the
//! business of those who listen. [`exit_on_second`] is for a program whose orderly end may take too long.
//!
//! # Coalescing
//! The kernel keeps one pending signal of each kind, however often it was sent meanwhile; only real-time
//! signals are queued. What has reached the process since a [`Signals`] was asked last comes out of it as one
//! message, with the [count](Received::count).
//!
//! # How it works
//! The handler in the process adds to a counter and writes to an event descriptor: nothing else, because it
//! may run in the middle of anything. The I/O server watches the descriptor and wakes those who wait. It is a
//! handler of the crate signal-hook-registry, so it lives beside those of other libraries that use it.

mod hub;
mod kind;
mod sys;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::channel::{RecvError, Source, TryRecvError, WaitKey};
use crate::kernel::coop;
use crate::kernel::waiting::{self, WaitingFor, address_of};
use hub::Listener;
pub use kind::SignalKind;

/// Signals of some kinds, as they come to this process.
///
/// It is a [`Source`]: it can be attached to an actor, and [`into_stream`](Source::into_stream) makes a
/// stream of it. If several receive from one, each signal goes to one of them; to have all of them told, make
/// one for each. It never ends.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::signal::{SignalKind, Signals};
///
/// # fn main() -> std::io::Result<()> {
/// let reloads = Signals::new([SignalKind::HANGUP, SignalKind::USER1])?;
/// let task = twoply::spawn(async move { reloads.next().await });
/// std::process::Command::new("kill").args(["-HUP", &std::process::id().to_string()]).status()?;
/// assert_eq!(task.wait().unwrap().kind, SignalKind::HANGUP);
/// # Ok(())
/// # }
/// ```
pub struct Signals {
    listener: Arc<Listener>,
}

/// A signal that has come out of a [`Signals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Received {
    /// The kind of the signal.
    pub kind: SignalKind,
    /// The number of signals of this kind that have reached the process since the last one that came out of
    /// the same [`Signals`]. More may have been sent: see [coalescing](self#coalescing).
    pub count: u64,
}

impl Signals {
    /// Listens to signals of `kinds` from now on. They do no longer what they do by default.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a kind that cannot be listened to, which it names:
    /// one that cannot be handled (`SIGKILL`, `SIGSTOP`), that tells of a fault of the running code
    /// (`SIGSEGV`, `SIGBUS`, `SIGILL`, `SIGFPE`), `SIGURG`, with which this library interrupts system calls,
    /// or a number that is no signal. Fails when the system is out of descriptors or threads, too.
    ///
    /// ```
    /// use twoply::signal::{SignalKind, Signals};
    ///
    /// let error = Signals::new([SignalKind::from_raw(9)]).unwrap_err();
    /// assert!(error.to_string().contains("SIGKILL"));
    /// ```
    pub fn new(kinds: impl IntoIterator<Item = SignalKind>) -> io::Result<Signals> {
        let mut kinds: Vec<SignalKind> = kinds.into_iter().collect();
        kinds.sort();
        kinds.dedup();
        kinds.iter().try_for_each(|kind| kind.check())?;
        Ok(Signals { listener: hub::listen(kinds)? })
    }

    /// Waits for the next signal. Where several kinds have come, they come out one after the other.
    /// Cancel-safe: a signal that comes while nobody waits is there for the next call.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, signal::{SignalKind, Signals}};
    ///
    /// let signals = Signals::new([SignalKind::USER1, SignalKind::WINDOW_CHANGE])?;
    /// std::process::Command::new("kill").args(["-USR1", &std::process::id().to_string()]).status()?;
    /// assert_eq!(signals.next().wait().kind, SignalKind::USER1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn next(&self) -> Next<'_> {
        Next { signals: self, wait_key: WaitKey::new() }
    }

    fn poll(&self, wait_key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<Received> {
        let unit = ready!(coop::proceed(cx));
        let polled = self.poll_raw(wait_key, cx);
        let waiting_for = || WaitingFor::Signal { signal: address_of(&*self.listener) };
        let received = ready!(waiting::note(polled, waiting_for));
        unit.spend();
        Poll::Ready(received)
    }
}

impl Signals {
    /// Polls without regard to budgets, for a waker that is woken in a turn of a reactor.
    pub(crate) fn poll_raw(&self, wait_key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<Received> {
        self.listener.waiters.poll_until(wait_key, cx, || self.listener.take())
    }

    /// Ends the wait of `wait_key`.
    pub(crate) fn stop(&self, wait_key: &mut WaitKey) {
        self.listener.waiters.withdraw(wait_key);
    }
}

impl Source<Received> for Signals {
    fn poll_recv(&self, wait_key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<Result<Received, RecvError>> {
        self.poll(wait_key, cx).map(Ok)
    }

    fn stop_recv(&self, wait_key: &mut WaitKey) {
        self.stop(wait_key);
    }

    fn try_recv(&self) -> Result<Received, TryRecvError> {
        self.listener.take().ok_or(TryRecvError::Empty)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        hub::leave(&self.listener);
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("kinds", &self.listener.kinds()).finish_non_exhaustive()
    }
}

/// The future of [`Signals::next`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
#[derive(Debug)]
pub struct Next<'a> {
    signals: &'a Signals,
    wait_key: WaitKey,
}

impl Future for Next<'_> {
    type Output = Received;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Received> {
        let this = self.get_mut();
        this.signals.poll(&mut this.wait_key, cx)
    }
}

impl Drop for Next<'_> {
    fn drop(&mut self) {
        self.signals.stop(&mut self.wait_key);
    }
}

/// Waits until the user presses Ctrl-C: for a `SIGINT` that comes after this call.
///
/// From now on Ctrl-C ends the program no more, also when the future is dropped; with [`exit_on_second`] a
/// second one does. Cancel-safe, but each call waits for a signal that comes after it: keep the future for a
/// wait that may be given up and taken up again.
///
/// # Errors
/// The future fails when the system is out of descriptors or threads.
///
/// # Examples
/// ```
/// use twoply::{Wait, signal};
///
/// # fn main() -> std::io::Result<()> {
/// let interrupted = signal::ctrl_c();
/// # std::process::Command::new("kill").args(["-INT", &std::process::id().to_string()]).status()?;
/// interrupted.wait()?;
/// println!("going down");
/// # Ok(())
/// # }
/// ```
pub fn ctrl_c() -> impl Future<Output = io::Result<()>> + Send + use<> {
    let signals = Signals::new([SignalKind::INTERRUPT]);
    async move {
        signals?.next().await;
        Ok(())
    }
}

/// Has the second signal of this kind from now on end the process at once, as if nobody listened: for the
/// user who presses Ctrl-C again because the orderly end takes too long.
///
/// The first one goes to those who listen. The process ends by the signal, so a shell shows it as it shows
/// any program that is interrupted; where the default of the signal does not end a process, the exit status
/// is 128 and the number. No destructor is run, and nothing is flushed.
///
/// # Errors
/// As [`Signals::new`].
///
/// # Examples
/// ```
/// use twoply::signal::{self, SignalKind};
///
/// signal::exit_on_second(SignalKind::INTERRUPT)?;
/// let interrupted = signal::ctrl_c();
/// # drop(interrupted);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn exit_on_second(kind: SignalKind) -> io::Result<()> {
    kind.check()?;
    hub::exit_on_second(kind)
}
