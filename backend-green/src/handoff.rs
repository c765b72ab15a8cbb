//! Where a worker lies while its thread runs code that may block.
//!
//! A task that calls `offload` may be about to block for long, or to return after a microsecond, and nobody knows
//! which. So its worker is *set aside*: the thread leaves it here, runs the code, and takes it up again. Only if the
//! code takes its time has the [watchdog](crate::watchdog) another thread carry the worker; then the first one finds
//! its place empty, and keeps the task till the poll ends, as after any wait that blocks. This is what Go does at
//! system calls. It deviates in one thing: where code has turned out to be long, the next is expected to be long too,
//! and the worker handed over at once.
//!
//! Nothing here runs a task, and nothing is decided here but who has the worker.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::scheduler::lock;
use crate::worker::Core;

/// Code that takes longer was worth a thread: handing a worker over costs some 20 us.
const LONG: Duration = Duration::from_micros(50);

/// How many times after that the worker is handed over at once.
const EXPECTED: u32 = 4;

/// The place where one worker is set aside.
#[derive(Default)]
pub(crate) struct Handoff {
    /// The worker, and how often it has been here.
    place: Mutex<Place>,
    /// How many more pieces of code are expected to take long. Relaxed: a guess.
    expected: AtomicU32,
}

/// See [`Handoff`].
#[derive(Default)]
struct Place {
    /// The worker, if it is here.
    core: Option<Box<Core>>,
    /// How often one was left here: the number of the latest ticket.
    count: u64,
}

/// What whoever has left a worker takes it up with. Another thread, to which the worker went, may have left it here
/// since; that is not for this one to take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Handoff {
    /// Leaves a worker here.
    pub(crate) fn leave(&self, core: Box<Core>) -> Ticket {
        let mut place = lock(&self.place);
        place.core = Some(core);
        place.count += 1;
        Ticket(place.count)
    }

    /// Takes it up again, if nobody else has.
    pub(crate) fn take_back(&self, ticket: Ticket) -> Option<Box<Core>> {
        let mut place = lock(&self.place);
        if place.count == ticket.0 { place.core.take() } else { None }
    }

    /// How often a worker was left here.
    pub(crate) fn count(&self) -> u64 {
        lock(&self.place).count
    }

    /// If the worker has been here since `count` was what it is: gives it to `launch`, which has another thread carry
    /// it or gives it back. Returns whether it was here.
    pub(crate) fn give(&self, count: u64, launch: impl FnOnce(Box<Core>) -> Option<Box<Core>>) -> bool {
        // Locked throughout: a worker that nobody will carry is taken up by the one who left it, or by nobody.
        let mut place = lock(&self.place);
        if place.count != count {
            return false;
        }
        let Some(core) = place.core.take() else { return false };
        self.expected.store(EXPECTED, Ordering::Relaxed);
        place.core = launch(core);
        true
    }

    /// Whether the code that is about to run should be expected to take long.
    pub(crate) fn expects_long_call(&self) -> bool {
        self.expected.load(Ordering::Relaxed) > 0
    }

    /// For how long code has run that was expected to take long.
    pub(crate) fn learn(&self, took: Duration) {
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
        let aside = Handoff::default();
        let late = aside.leave(Box::new(Core::new(0, Local::new(false), 0)));
        let mut given = None;
        assert!(aside.give(aside.count(), |core| {
            given = Some(core);
            None
        }));
        let prompt = aside.leave(given.expect("it was there"));
        assert!(aside.take_back(late).is_none());
        assert!(aside.take_back(prompt).is_some());
    }
}
