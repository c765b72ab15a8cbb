//! A value that several futures poll by turns, and which wakes the one that has polled it last.
//!
//! Clocks and streams that serve several receivers are such values: each has room for one waiter. The waiters
//! are in a list; whoever polls takes the value out of its lock, because polling clones and drops wakers and
//! runs code of the user's, and puts it back.
//!
//! While there are waiters, the value wakes one of them, or somebody has it out: whoever puts it back without
//! having made it wake one of them wakes the first waiter, which polls it next.

use std::sync::Mutex;
use std::task::{Context, Poll};

use crate::base::sync::lock_std;
use crate::base::waitlist::{WaitKey, WaitList};

/// A value, and those who wait to poll it.
pub(crate) struct Turns<V> {
    /// None while somebody has it out.
    value: Mutex<Option<V>>,
    waiters: WaitList,
}

impl<V> Turns<V> {
    pub(crate) fn new(value: V) -> Turns<V> {
        Turns { value: Mutex::new(Some(value)), waiters: WaitList::new() }
    }

    /// Polls the value with `poll`, for one of those who wait. The future that owns `wait_key` calls
    /// [`Turns::stop`] in its `Drop`.
    pub(crate) fn poll<R>(
        &self,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut V, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let waker = cx.waker();
        let attempt = || match self.poll_alone(&mut Context::from_waker(waker), &mut poll) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        };
        let polled = self.waiters.poll_until(wait_key, cx, attempt);
        if polled.is_ready() {
            // This waiter has left the list by now: before that, it would be the one to be woken.
            self.waiters.notify_one();
        }
        polled
    }

    /// Polls the value with `poll`. `Pending` also when another one has it out: that one waits for it, or
    /// wakes a waiter, as the caller does after a result.
    pub(crate) fn poll_alone<R>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut V, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let Some(mut turn) = Turn::take(self) else { return Poll::Pending };
        let polled = turn.with(|value| poll(value, cx));
        turn.is_watched = true;
        polled.unwrap_or(Poll::Pending)
    }

    /// Ends a wait. The value may be going to wake the future that gives up: `forget` has it wake nobody.
    pub(crate) fn stop(&self, wait_key: &mut WaitKey, forget: impl FnOnce(&mut V)) {
        self.waiters.withdraw(wait_key);
        if let Some(mut turn) = Turn::take(self) {
            turn.with(forget);
        }
    }

    /// Calls `look` with the value, unless another one has it out. `look` says whether the value still wakes
    /// whom it did.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&mut V) -> (R, bool)) -> Option<R> {
        let mut turn = Turn::take(self)?;
        let (result, is_watched) = turn.with(look)?;
        turn.is_watched = is_watched;
        Some(result)
    }

    /// Returns the value, which nobody else can have. None only if somebody panicked with it.
    pub(crate) fn get_mut(&mut self) -> Option<&mut V> {
        self.value.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).as_mut()
    }
}

/// The value out of its lock. Dropping this puts it back.
struct Turn<'a, V> {
    turns: &'a Turns<V>,
    /// The value, which goes back when this is dropped.
    value: Option<V>,
    /// True when the value wakes one of the waiters.
    is_watched: bool,
}

impl<'a, V> Turn<'a, V> {
    fn take(turns: &'a Turns<V>) -> Option<Turn<'a, V>> {
        let value = lock_std(&turns.value).take()?;
        Some(Turn { turns, value: Some(value), is_watched: false })
    }

    fn with<R>(&mut self, f: impl FnOnce(&mut V) -> R) -> Option<R> {
        self.value.as_mut().map(f)
    }
}

impl<V> Drop for Turn<'_, V> {
    fn drop(&mut self) {
        *lock_std(&self.turns.value) = self.value.take();
        if !self.is_watched {
            self.turns.waiters.notify_one();
        }
    }
}
