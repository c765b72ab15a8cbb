//! The futures of a receive. All of them are cancel-safe: an event leaves the mailbox in the poll that
//! returns it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::Process;
use super::event::Event;
use crate::time::{Timeout, timeout};

/// The future of [`Process::receive`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Receive<'a, M> {
    /// The process that receives.
    process: &'a mut Process<M>,
}

impl<'a, M> Receive<'a, M> {
    #[inline]
    pub(super) fn new(process: &'a mut Process<M>) -> Receive<'a, M> {
        Receive { process }
    }
}

impl<M> Future for Receive<'_, M> {
    type Output = Event<M>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Event<M>> {
        let this = self.get_mut();
        let (cell, batch) = this.process.parts();
        cell.poll_next(batch, cx)
    }
}

impl<M> Drop for Receive<'_, M> {
    #[inline]
    fn drop(&mut self) {
        self.process.cell().stop_receive();
    }
}

/// The future of [`Process::receive_timeout`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct ReceiveTimeout<'a, M>(Deadline<'a, M>);

/// The time for which a receive waits.
enum Deadline<'a, M> {
    /// No time at all: it looks into the mailbox once.
    Now(&'a mut Process<M>),
    /// A time from its start.
    For(Timeout<Receive<'a, M>>),
}

impl<'a, M> ReceiveTimeout<'a, M> {
    pub(super) fn new(process: &'a mut Process<M>, duration: Duration) -> ReceiveTimeout<'a, M> {
        ReceiveTimeout(match duration.is_zero() {
            true => Deadline::Now(process),
            false => Deadline::For(timeout(duration, Receive::new(process))),
        })
    }
}

impl<M> Future for ReceiveTimeout<'_, M> {
    type Output = Option<Event<M>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event<M>>> {
        match &mut self.get_mut().0 {
            Deadline::Now(process) => Poll::Ready(process.try_receive()),
            Deadline::For(receive) => Poll::Ready(ready!(Pin::new(receive).poll(cx)).ok()),
        }
    }
}

/// The future of [`Process::receive_match`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct ReceiveMatch<'a, M, P> {
    /// The receive of any event.
    receive: Receive<'a, M>,
    /// The test for the wanted event.
    wanted: P,
    /// The number of events that have been fetched and are not wanted.
    seen: usize,
}

impl<'a, M, P> ReceiveMatch<'a, M, P> {
    pub(super) fn new(process: &'a mut Process<M>, wanted: P) -> ReceiveMatch<'a, M, P> {
        ReceiveMatch { receive: Receive::new(process), wanted, seen: 0 }
    }
}

// The test is only called, never pinned.
impl<M, P> Unpin for ReceiveMatch<'_, M, P> {}

impl<M, P: FnMut(&Event<M>) -> bool> Future for ReceiveMatch<'_, M, P> {
    type Output = Event<M>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Event<M>> {
        let this = self.get_mut();
        let (cell, batch) = this.receive.process.parts();
        cell.poll_match(batch, &mut this.seen, &mut this.wanted, cx)
    }
}

impl<M> fmt::Debug for ReceiveTimeout<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_tuple("ReceiveTimeout");
        match &self.0 {
            Deadline::Now(process) => debug.field(process).finish(),
            Deadline::For(receive) => debug.field(receive).finish(),
        }
    }
}

/// Implements `Debug` by naming the receiver, and asks nothing of `M`.
macro_rules! debug {
    ($($name:ident<$($parameter:ident),*> $process:expr;)*) => {$(
        impl<$($parameter),*> fmt::Debug for $name<'_, $($parameter),*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let process: fn(&Self) -> &Process<M> = $process;
                f.debug_tuple(stringify!($name)).field(process(self)).finish()
            }
        }
    )*};
}

debug! {
    Receive<M> |this| this.process;
    ReceiveMatch<M, P> |this| this.receive.process;
}
