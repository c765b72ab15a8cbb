//! A sleep that is polled by its own waker.

use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::base::sync::lock_std;
use crate::kernel::sleep::Sleep;

/// A deadline, and the lock under which it lies; nothing else runs under that: the sleep is taken out to be
/// polled.
pub(super) struct Alarm(Mutex<State>);

struct State {
    /// The deadline; taken out while it is polled, and gone when it is over.
    sleep: Option<Sleep>,
    /// True if it was woken while it was polled, so that it is to be polled again.
    woken: bool,
    /// True when nobody wants to hear of it any more.
    stopped: bool,
}

impl Alarm {
    /// Makes one that is not set.
    pub(super) fn new() -> Alarm {
        Alarm(Mutex::new(State { sleep: None, woken: false, stopped: false }))
    }

    /// Sets it, unless it has been stopped. Whoever calls this polls it next.
    pub(super) fn set(&self, deadline: Option<Instant>) {
        let mut state = lock_std(&self.0);
        if !state.stopped {
            state.sleep = Some(Sleep::until(deadline));
        }
    }

    /// Returns whether the time is over, once. Else `waker` is woken when it is to be polled again.
    pub(super) fn poll(&self, waker: &Waker) -> bool {
        let Some(mut sleep) = self.take_sleep() else { return false };
        loop {
            let elapsed = sleep.poll_elapsed(&mut Context::from_waker(waker));
            let mut state = lock_std(&self.0);
            let woken = std::mem::take(&mut state.woken);
            match elapsed {
                Poll::Ready(()) => return true,
                // Woken meanwhile: by the deadline itself, or because its driver has been shut down.
                Poll::Pending if woken => {}
                Poll::Pending => {
                    if !state.stopped {
                        state.sleep = Some(sleep);
                    }
                    return false;
                }
            }
        }
    }

    /// Stops it for good: nobody is woken any more.
    pub(super) fn stop(&self) {
        let mut state = lock_std(&self.0);
        state.stopped = true;
        let sleep = state.sleep.take();
        drop(state);
        // Taking the deadline back drops the driver's waker.
        drop(sleep);
    }

    /// Takes the sleep out to poll it; or else has whoever has it poll it once more.
    fn take_sleep(&self) -> Option<Sleep> {
        let mut state = lock_std(&self.0);
        state.woken |= state.sleep.is_none();
        state.sleep.take()
    }
}
