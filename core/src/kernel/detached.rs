//! Code of the user's that has to run, but not where the need comes up: it runs in a task of its own.
//!
//! A deadline passes in the turn of a reactor, and nobody is left who wants the message that was due. The
//! hook and the destructor of that message are the user's, and may wait or take for ever; the turn is
//! everybody's. So such code becomes an errand: it runs as a task of a backend, or on a thread when that
//! takes no tasks any more. It runs in any case, and a panic ends there.

use std::sync::{Arc, Mutex};

use crate::base::panic::discard_panic;
use crate::base::sync::lock_std;
use crate::kernel::backend::Backend;
use crate::kernel::hooks::untold;
use crate::kernel::strand::with_current;
use crate::kernel::task::Builder;
use crate::kernel::threads;

/// The code that is to run.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

/// Runs `work` in a task of `home`, or of the backend of the running stack; where neither takes it, on a
/// thread of the cache. Only where the system has no thread to give it runs here.
pub(crate) fn run(home: Option<Arc<dyn Backend>>, work: Work) {
    let errand = Arc::new(Errand(Mutex::new(State { work: Some(work), offer: Offer::Open })));
    let here = with_current(|strand| strand.backend());
    for backend in [home, here].into_iter().flatten() {
        let carrier = errand.offer();
        let started = untold(|| Builder::new().spawn_fn_on(&backend, move || carrier.run()));
        if errand.settle(started.is_ok()) {
            return;
        }
    }
    let carrier = errand.offer();
    if !errand.settle(threads::shared().execute(None, None, move || carrier.run()).is_ok()) {
        errand.run();
    }
}

/// Work that is offered to one after the other until somebody takes it.
struct Errand(Mutex<State>);

/// The state of an [`Errand`].
struct State {
    /// The work, until it is run.
    work: Option<Work>,
    /// The answer to the latest offer.
    offer: Offer,
}

/// The answers to an offer of work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offer {
    /// Nobody has answered yet.
    Open,
    /// Somebody has taken it: the carrier runs the work, at the latest when it is dropped.
    Taken,
    /// Nobody has it: the carrier is gone, and the work is still there.
    Returned,
}

impl Errand {
    /// Offers the work once more.
    fn offer(self: &Arc<Self>) -> Carrier {
        lock_std(&self.0).offer = Offer::Open;
        Carrier(Arc::clone(self))
    }

    /// Settles whether the offer was accepted or refused. Returns true if somebody else has the work from now
    /// on, or has run it.
    fn settle(&self, accepted: bool) -> bool {
        let mut state = lock_std(&self.0);
        if state.work.is_none() {
            return true;
        }
        let taken = accepted && state.offer == Offer::Open;
        if taken {
            state.offer = Offer::Taken;
        }
        taken
    }

    /// Runs the work, unless that has been done.
    fn run(&self) {
        let work = lock_std(&self.0).work.take();
        if let Some(work) = work {
            discard_panic(work);
        }
    }
}

/// The one who is to run the work.
struct Carrier(Arc<Errand>);

impl Carrier {
    fn run(self) {
        self.0.run();
    }
}

impl Drop for Carrier {
    /// Runs the work, also of a task that is cancelled before it has begun: destructors may wait here.
    fn drop(&mut self) {
        let taken = {
            let mut state = lock_std(&self.0.0);
            if state.offer == Offer::Open {
                state.offer = Offer::Returned;
            }
            state.offer == Offer::Taken
        };
        if taken {
            self.0.run();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    fn errand(work: impl FnOnce() + Send + 'static) -> Arc<Errand> {
        Arc::new(Errand(Mutex::new(State { work: Some(Box::new(work)), offer: Offer::Open })))
    }

    #[test]
    fn it_runs_elsewhere() {
        let (tx, rx) = mpsc::channel();
        run(None, Box::new(move || tx.send(thread::current().id()).unwrap()));
        assert_ne!(rx.recv().unwrap(), thread::current().id());
    }

    #[test]
    fn a_panic_in_it_ends_there() {
        let errand = errand(|| std::panic::resume_unwind(Box::new("expected")));
        errand.offer().run();
        assert!(errand.settle(true));
    }

    #[test]
    fn whatever_becomes_of_an_offer_it_runs_once() {
        let (tx, rx) = mpsc::channel();
        let new = || {
            let tx = tx.clone();
            errand(move || tx.send(()).unwrap())
        };
        // An offer that was refused, and then dropped by whoever took it.
        let refused = new();
        drop(refused.offer());
        assert!(!refused.settle(false));
        let carrier = refused.offer();
        assert!(refused.settle(true));
        drop(carrier);
        assert_eq!(rx.try_iter().count(), 1);
        // An offer that was taken, and dropped before the answer was there: nobody has it.
        let dropped = new();
        drop(dropped.offer());
        assert!(!dropped.settle(true));
        dropped.run();
        assert_eq!(rx.try_iter().count(), 1);
        // An offer that was taken, and run before the answer was there.
        let run = new();
        run.offer().run();
        assert!(run.settle(true));
        assert_eq!(rx.try_iter().count(), 1);
    }
}
