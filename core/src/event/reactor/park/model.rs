//! The word under loom: `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib reactor::park`.
//!
//! [`Kernel`] stands for the poller. A sleep that nobody ends is a deadlock, which loom reports.

use std::sync::Arc;

use loom::cell::Cell;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::Relaxed;
use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::ParkState;

/// A poller with nothing but the event descriptor, which remembers one edge.
#[derive(Default)]
struct Kernel {
    /// True if it has been written to since the last wait.
    edge: Mutex<bool>,
    /// The condition that ends a wait.
    written: Condvar,
}

/// The state that an owner and its notifiers share.
struct Reactor {
    /// The word under test.
    park: ParkState,
    /// The descriptor that the owner sleeps on.
    kernel: Kernel,
    /// The number of system calls that notifiers have made.
    calls: AtomicUsize,
}

impl Reactor {
    fn new() -> Arc<Reactor> {
        Arc::new(Reactor { park: ParkState::new(), kernel: Kernel::default(), calls: AtomicUsize::new(0) })
    }

    fn notify(&self) {
        if self.park.notify() {
            self.calls.fetch_add(1, Relaxed);
            *self.kernel.edge.lock().unwrap() = true;
            self.kernel.written.notify_one();
        }
    }

    /// A turn; `question` is asked between the announcement and the sleep, and true spares the sleep.
    fn turn(&self, sleeps: bool, question: impl FnOnce() -> bool) {
        let notified = self.park.begin_turn(sleeps);
        let sleep = sleeps && !question() && !notified;
        let mut edge = self.kernel.edge.lock().unwrap();
        while sleep && !*edge {
            edge = self.kernel.written.wait(edge).unwrap();
        }
        *edge = false;
        drop(edge);
        if sleeps {
            self.park.end_sleep();
        }
    }
}

/// All schedules with at most three involuntary switches; see the parker's model.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn a_notification_ends_a_turn_and_brings_what_was_written_before() {
    check(|| {
        let (reactor, news) = (Reactor::new(), Arc::new(Cell::new(0)));
        let notifier = {
            let (reactor, news) = (Arc::clone(&reactor), Arc::clone(&news));
            thread::spawn(move || {
                news.set(7);
                reactor.notify();
            })
        };
        // With nothing else to end it, the turn ends for the notification alone.
        reactor.turn(true, || false);
        assert_eq!(news.get(), 7);
        notifier.join().unwrap();
    });
}

#[test]
fn an_owner_that_announces_and_looks_again_overlooks_no_work() {
    check(|| {
        let (reactor, queue) = (Reactor::new(), Arc::new(AtomicUsize::new(0)));
        let workers = [1, 2].map(|_| {
            let (reactor, queue) = (Arc::clone(&reactor), Arc::clone(&queue));
            thread::spawn(move || {
                queue.fetch_add(1, Relaxed);
                reactor.notify();
            })
        });
        let mut sleeps = 0;
        // Relaxed: the word alone must see to it that nothing is overlooked.
        while queue.load(Relaxed) < 2 {
            let may_sleep = reactor.park.prepare() && queue.load(Relaxed) < 2;
            sleeps += usize::from(may_sleep);
            reactor.turn(may_sleep, || false);
        }
        for worker in workers {
            worker.join().unwrap();
        }
        // An announcement is answered by one system call at most, and the last one was taken back.
        assert!(reactor.calls.load(Relaxed) <= sleeps + 1);
    });
}

#[test]
fn a_system_call_is_made_only_for_an_announced_sleep() {
    check(|| {
        let reactor = Reactor::new();
        let notifiers = [1, 2].map(|_| {
            let reactor = Arc::clone(&reactor);
            thread::spawn(move || reactor.notify())
        });
        reactor.turn(false, || false);
        reactor.turn(false, || false);
        for notifier in notifiers {
            notifier.join().unwrap();
        }
        assert_eq!(reactor.calls.load(Relaxed), 0, "nobody slept");
    });
}

#[test]
fn two_notifications_of_one_sleep_cost_one_system_call() {
    check(|| {
        let reactor = Reactor::new();
        assert!(reactor.park.prepare());
        let notifiers = [1, 2].map(|_| {
            let reactor = Arc::clone(&reactor);
            thread::spawn(move || reactor.notify())
        });
        for notifier in notifiers {
            notifier.join().unwrap();
        }
        reactor.turn(true, || false);
        assert_eq!(reactor.calls.load(Relaxed), 1);
        assert!(reactor.park.prepare(), "a notification outlived the turn that took it");
    });
}

/// A deadline is entered under the queue's lock, and only then its notifier looks whether anybody sleeps.
#[test]
fn a_deadline_that_comes_to_the_front_is_asked_for_or_ends_the_sleep() {
    check(|| {
        let (reactor, timers) = (Reactor::new(), Arc::new(Mutex::new(false)));
        let inserter = {
            let (reactor, timers) = (Arc::clone(&reactor), Arc::clone(&timers));
            thread::spawn(move || {
                *timers.lock().unwrap() = true;
                if reactor.park.is_parked() {
                    reactor.notify();
                }
            })
        };
        reactor.turn(true, || *timers.lock().unwrap());
        assert!(*timers.lock().unwrap());
        inserter.join().unwrap();
    });
}
