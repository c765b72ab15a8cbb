//! A waker that can be taken back, for code that keeps the waker it is polled with.
//!
//! The poll functions of `AsyncRead` and `AsyncWrite` have nowhere to say that nobody waits any more: the
//! reader keeps the last waker until it is polled again. A future over such a reader, whoever has written it,
//! polls it through a [`Relay`]: the reader keeps the relay's waker, and the relay keeps the task's, until
//! there is a result or the future is dropped.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::base::sync::{Mutex, lock};
use crate::base::wake::StoredWaker;
use crate::kernel::coop;
use crate::kernel::strand::with_state;

/// Polls for one task at a time, and leaves nothing of it behind. It allocates when it is first polled.
#[derive(Default)]
pub(crate) struct Relay {
    made: Option<(Waker, Arc<Slot>)>,
    /// True while the slot may have a waker.
    is_set: bool,
}

/// The place of the task's waker.
struct Slot(Mutex<Option<StoredWaker>>);

impl Slot {
    fn set(&self, waker: &Waker) {
        if lock(&self.0).as_ref().is_some_and(|stored| stored.will_wake(waker)) {
            return;
        }
        // The clone runs code of the user's, so it is made without the lock; so is the old one dropped.
        let waker = StoredWaker::of(waker);
        let old = lock(&self.0).replace(waker);
        drop(old);
    }

    fn take(&self) -> Option<StoredWaker> {
        lock(&self.0).take()
    }
}

impl Wake for Slot {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let waker = self.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Relay {
    /// Calls `poll` with a waker that wakes the task of `cx`, until `poll` is ready or [`stop`](Relay::stop)
    /// is called.
    pub(crate) fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let (waker, slot) = self.made.get_or_insert_with(|| {
            let slot = Arc::new(Slot(Mutex::new(None)));
            (Waker::from(Arc::clone(&slot)), slot)
        });
        // Before the poll: a wake-up may come in the middle of it.
        slot.set(cx.waker());
        self.is_set = true;
        let polled = with_state(|state| {
            let _delegate = state.refills_budget(cx.waker()).then(|| coop::delegate_to(state, waker));
            poll(&mut Context::from_waker(waker))
        });
        if polled.is_ready() {
            self.stop();
        }
        polled
    }

    /// Ends the wait: nobody is woken any more.
    pub(crate) fn stop(&mut self) {
        if std::mem::take(&mut self.is_set)
            && let Some((_, slot)) = &self.made
        {
            let waker = slot.take();
            drop(waker);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns a future of what `poll` comes to, which is polled through a relay.
pub(crate) fn relayed<T, F>(poll: F) -> Relayed<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<T>,
{
    Relayed { relay: Relay::default(), poll }
}

/// The future of [`relayed`].
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
pub(crate) struct Relayed<F> {
    relay: Relay,
    poll: F,
}

// The function is never pinned.
impl<F> Unpin for Relayed<F> {}

impl<T, F: FnMut(&mut Context<'_>) -> Poll<T>> Future for Relayed<F> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        this.relay.poll(cx, &mut this.poll)
    }
}
