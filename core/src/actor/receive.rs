//! The futures of a receive. All of them are cancel-safe: an event leaves the mailbox in the poll that returns it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::event::Event;
use super::process::Process;
use crate::time::{Sleep, sleep};

/// The future of [`Process::receive`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Receive<'a, M> {
    /// Who receives.
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
pub struct ReceiveTimeout<'a, M> {
    /// What comes first.
    receive: Receive<'a, M>,
    /// Or this; `None`: at once.
    sleep: Option<Sleep>,
}

impl<'a, M> ReceiveTimeout<'a, M> {
    pub(super) fn new(process: &'a mut Process<M>, timeout: Duration) -> ReceiveTimeout<'a, M> {
        let sleep = (!timeout.is_zero()).then(|| sleep(timeout));
        ReceiveTimeout { receive: Receive::new(process), sleep }
    }
}

impl<M> Future for ReceiveTimeout<'_, M> {
    type Output = Option<Event<M>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event<M>>> {
        let this = self.get_mut();
        let Some(sleep) = &mut this.sleep else {
            return Poll::Ready(this.receive.process.try_receive());
        };
        if let Poll::Ready(event) = Pin::new(&mut this.receive).poll(cx) {
            return Poll::Ready(Some(event));
        }
        Pin::new(sleep).poll(cx).map(|()| None)
    }
}

/// The future of [`Process::receive_match`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct ReceiveMatch<'a, M, P> {
    /// Who receives.
    receive: Receive<'a, M>,
    /// What it wants.
    wanted: P,
    /// How many of the events that have been fetched are not wanted.
    seen: usize,
}

impl<'a, M, P> ReceiveMatch<'a, M, P> {
    pub(super) fn new(process: &'a mut Process<M>, wanted: P) -> ReceiveMatch<'a, M, P> {
        ReceiveMatch { receive: Receive::new(process), wanted, seen: 0 }
    }
}

// What is wanted is only called, never pinned.
impl<M, P> Unpin for ReceiveMatch<'_, M, P> {}

impl<M, P: FnMut(&Event<M>) -> bool> Future for ReceiveMatch<'_, M, P> {
    type Output = Event<M>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Event<M>> {
        let this = self.get_mut();
        let (cell, batch) = this.receive.process.parts();
        cell.poll_match(batch, &mut this.seen, &mut this.wanted, cx)
    }
}

/// A receive that says who receives, and asks nothing of `M`.
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
    ReceiveTimeout<M> |this| this.receive.process;
    ReceiveMatch<M, P> |this| this.receive.process;
}
