//! Hands a worker off from a thread that runs code which may block.
//!
//! A task that calls `offload` may be about to block for long, or to return after a microsecond, and nobody
//! knows which. So its worker is *set aside*: the thread leaves it here, runs the code, and takes it up
//! again. Only if the code takes its time does the [watchdog](crate::watchdog) have another thread carry the
//! worker; then the first one finds the slot empty, and keeps the task till the poll ends, as after any wait
//! that blocks. This is what Go does at system calls. It deviates in one thing: where code has turned out to
//! be long, the next is expected to be long too, and the worker handed over at once.
//!
//! Rejected: leaving the worker in its [cell](crate::revocable), from which the watchdog could take it as it
//! does in a rescue. The thread would still carry the worker while it blocks: tasks that the code wakes would
//! go to a queue that nobody looks at, what it waits for would be entered in the worker's reactor, and it
//! could not block in the kernel.
//!
//! Nothing here runs a task, and nothing is decided here but who has the worker.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::core::Core;
use crate::lock::lock;

/// The time after which code was worth a thread: handing a worker over costs some 20 us.
const LONG: Duration = Duration::from_micros(50);

/// The number of pieces of code after such a one for which the worker is handed over at once.
const EXPECTED: u32 = 4;

/// The slot in which one worker is set aside.
#[derive(Default)]
pub(crate) struct Handoff {
    /// The worker, and the number of times that it has been here.
    slot: Mutex<Slot>,
    /// The number of pieces of code that are still expected to take long. Relaxed: a guess.
    expected: AtomicU32,
}

/// The content of a [`Handoff`].
#[derive(Default)]
struct Slot {
    /// The worker, if it is here.
    core: Option<Box<Core>>,
    /// The number of times that one was left here: the number of the latest ticket.
    count: u64,
}

/// The right to take a worker up again. Another thread, to which the worker went, may have left it here
/// since; that is not for the holder of this ticket to take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Handoff {
    /// Leaves a worker here.
    pub(crate) fn set_aside(&self, core: Box<Core>) -> Ticket {
        let mut slot = lock(&self.slot);
        slot.core = Some(core);
        slot.count += 1;
        Ticket(slot.count)
    }

    /// Takes the worker up again, if nobody else has.
    pub(crate) fn take_back(&self, ticket: Ticket) -> Option<Box<Core>> {
        let mut slot = lock(&self.slot);
        if slot.count == ticket.0 { slot.core.take() } else { None }
    }

    /// Returns the number of times that a worker was left here.
    pub(crate) fn count(&self) -> u64 {
        lock(&self.slot).count
    }

    /// Gives the worker, if it has been here since `count` was what it is, to `launch`, which has another
    /// thread carry it or gives it back. Returns whether it was here.
    pub(crate) fn hand_off(&self, count: u64, launch: impl FnOnce(Box<Core>) -> Option<Box<Core>>) -> bool {
        // Locked throughout: a worker that nobody will carry is taken up by the one who left it, or by
        // nobody.
        let mut slot = lock(&self.slot);
        if slot.count != count {
            return false;
        }
        let Some(core) = slot.core.take() else { return false };
        self.expected.store(EXPECTED, Ordering::Relaxed);
        slot.core = launch(core);
        true
    }

    /// Returns true if the code that is about to run should be expected to take long.
    pub(crate) fn expects_long_call(&self) -> bool {
        self.expected.load(Ordering::Relaxed) > 0
    }

    /// Notes for how long a piece of code has run, for the expectation of the next ones.
    pub(crate) fn record(&self, took: Duration) {
        let expected = self.expected.load(Ordering::Relaxed);
        let expected = if took >= LONG { EXPECTED } else { expected.saturating_sub(1) };
        self.expected.store(expected, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Local;

    #[test]
    fn who_comes_back_late_leaves_what_another_thread_has_left() {
        let handoff = Handoff::default();
        let late = handoff.set_aside(Box::new(Core::new(0, Local::new(false), 0)));
        let mut given = None;
        assert!(handoff.hand_off(handoff.count(), |core| {
            given = Some(core);
            None
        }));
        let prompt = handoff.set_aside(given.expect("it was there"));
        assert!(handoff.take_back(late).is_none());
        assert!(handoff.take_back(prompt).is_some());
    }
}
