//! A value that several futures poll by turns, and which wakes the one that has polled it last.
//!
//! Clocks and streams that serve several receivers are such values: each has room for one waiter. The waiters
//! are in a list; whoever polls takes the value out of its lock, because polling clones and drops wakers and
//! runs code of the user's, and puts it back.
//!
//! While there are waiters, the value wakes one of them, or somebody has it out: whoever puts it back without
//! having made it wake one of them wakes the first waiter, which polls it next. So does whoever has only
//! looked at it, if somebody has asked for it meanwhile: that may have been one who has come to wait, or the
//! one whom it would wake and who has given up.

use std::mem;
use std::sync::Mutex;
use std::task::{Context, Poll};

use crate::base::sync::lock_std;
use crate::base::waitlist::{WaitKey, WaitList};

/// A value, and those who wait to poll it.
pub(crate) struct Turns<V> {
    slot: Mutex<Slot<V>>,
    waiters: WaitList,
}

/// The place of a value.
struct Slot<V> {
    /// None while somebody has it out.
    value: Option<V>,
    /// True if somebody else has asked for it since.
    was_missed: bool,
}

impl<V> Turns<V> {
    pub(crate) fn new(value: V) -> Turns<V> {
        Turns { slot: Mutex::new(Slot { value: Some(value), was_missed: false }), waiters: WaitList::new() }
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
        turn.wakes = Wakes::Poller;
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
        if is_watched {
            turn.wakes = Wakes::AsBefore;
        }
        Some(result)
    }

    /// Returns the value, which nobody else can have. None only if somebody panicked with it.
    pub(crate) fn get_mut(&mut self) -> Option<&mut V> {
        self.slot.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).value.as_mut()
    }
}

/// The value out of its lock. Dropping this puts it back.
struct Turn<'a, V> {
    turns: &'a Turns<V>,
    /// The value, which goes back when this is dropped.
    value: Option<V>,
    wakes: Wakes,
}

/// The one whom a value wakes that is put back.
enum Wakes {
    Nobody,
    /// The one who has had it out.
    Poller,
    /// The one whom it woke before, if there is one.
    AsBefore,
}

impl<'a, V> Turn<'a, V> {
    fn take(turns: &'a Turns<V>) -> Option<Turn<'a, V>> {
        let mut slot = lock_std(&turns.slot);
        let value = slot.value.take();
        slot.was_missed |= value.is_none();
        drop(slot);
        value.map(|value| Turn { turns, value: Some(value), wakes: Wakes::Nobody })
    }

    fn with<R>(&mut self, f: impl FnOnce(&mut V) -> R) -> Option<R> {
        self.value.as_mut().map(f)
    }
}

impl<V> Drop for Turn<'_, V> {
    fn drop(&mut self) {
        let mut slot = lock_std(&self.turns.slot);
        slot.value = self.value.take();
        let was_missed = mem::take(&mut slot.was_missed);
        drop(slot);
        let is_watched = match self.wakes {
            Wakes::Nobody => false,
            Wakes::Poller => true,
            Wakes::AsBefore => !was_missed,
        };
        if !is_watched {
            self.turns.waiters.notify_one();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::base::wake::WakeCount;

    /// Polls a value that is never ready.
    fn wait(turns: &Turns<()>, wait_key: &mut WaitKey, waker: &Waker) {
        let polled = turns.poll(wait_key, &mut Context::from_waker(waker), |(), _| Poll::<()>::Pending);
        assert!(polled.is_pending());
    }

    #[test]
    fn whoever_comes_to_wait_during_a_look_is_woken_by_it() {
        let (turns, mut wait_key, (woken, waker)) = (Turns::new(()), WaitKey::new(), WakeCount::new());
        turns.look(|()| (wait(&turns, &mut wait_key, &waker), true)).unwrap();
        assert_eq!(woken.get(), 1);
        // The value wakes it by now, so that a look need not.
        wait(&turns, &mut wait_key, &waker);
        turns.look(|()| ((), true)).unwrap();
        assert_eq!(woken.get(), 1);
        turns.look(|()| ((), false)).unwrap();
        assert_eq!(woken.get(), 2);
        turns.stop(&mut wait_key, |()| ());
    }

    #[test]
    fn a_wait_that_is_given_up_during_a_look_is_another_ones_turn() {
        let (turns, mut first_key, mut last_key) = (Turns::new(()), WaitKey::new(), WaitKey::new());
        let (woken, first) = WakeCount::new();
        wait(&turns, &mut first_key, &first);
        // The value wakes whoever has polled it last.
        wait(&turns, &mut last_key, Waker::noop());
        turns.look(|()| (turns.stop(&mut last_key, |()| ()), true)).unwrap();
        assert_eq!(woken.get(), 1);
        turns.stop(&mut first_key, |()| ());
    }
}
