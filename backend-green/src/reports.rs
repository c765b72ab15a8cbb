//! Reports of long polls, on their way to the program's handler.
//!
//! The handler may take its time, or block for ever: so it is called on a thread from the shared cache, for
//! one report after the other, and never on the watchdog's, which others count on. Reports that come
//! meanwhile wait.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use twoply_core::threads;

use crate::lock::lock;
use crate::watchdog_state::LongPoll;

/// The number of reports that wait while the handler is busy. Of more the oldest is dropped; it has been
/// counted.
const WAITING: usize = 64;

/// The name of the thread that calls the handler.
const THREAD: &str = "long polls";

/// A handler that is told of long polls.
pub(crate) type Handler = Box<dyn Fn(&LongPoll) + Send + Sync>;

/// The handler, and the reports on their way to it.
pub(crate) struct Reports {
    handler: Handler,
    queue: Mutex<Queue>,
}

/// The part of the reports that a lock guards.
#[derive(Default)]
struct Queue {
    /// The reports that the handler has not been told of, oldest first.
    waiting: VecDeque<LongPoll>,
    /// True while a thread calls the handler, or is about to.
    is_served: bool,
}

impl Reports {
    pub(crate) fn new(handler: Handler) -> Arc<Reports> {
        Arc::new(Reports { handler, queue: Mutex::default() })
    }

    /// Has the handler told of `poll`. Where there is no thread for that, it is told with the next one.
    pub(crate) fn add(self: &Arc<Self>, poll: LongPoll) {
        let mut queue = lock(&self.queue);
        let oldest = if queue.waiting.len() == WAITING { queue.waiting.pop_front() } else { None };
        queue.waiting.push_back(poll);
        let is_served = std::mem::replace(&mut queue.is_served, true);
        drop(queue);
        drop(oldest);
        if is_served {
            return;
        }
        let reports = Arc::clone(self);
        if threads::shared().execute(Some(THREAD), None, move || reports.serve()).is_err() {
            lock(&self.queue).is_served = false;
        }
    }

    /// Calls the handler until it has been told of everything.
    fn serve(&self) {
        while let Some(poll) = self.next() {
            // A handler that panics has been reported by the panic hook; it is called again.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| (self.handler)(&poll))) {
                // The payload may panic in its own destructor.
                std::mem::forget(payload);
            }
        }
    }

    fn next(&self) -> Option<LongPoll> {
        let mut queue = lock(&self.queue);
        let next = queue.waiting.pop_front();
        queue.is_served = next.is_some();
        next
    }
}
