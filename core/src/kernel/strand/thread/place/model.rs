//! The place and the parker under loom: `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib place`.
//!
//! The parker is the real one. [`Thread`] stands for the three ways to sleep, each of which only its own kind of
//! wake-up ends: a wake that goes to the wrong place is a deadlock, which loom reports.

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::{Place, PlaceWord};
use crate::event::parker::{Parker, Unpark};

/// The ways to sleep, and what has been sent to end each.
#[derive(Default)]
struct Sent {
    /// The token of `std::thread::park`.
    token: bool,
    /// The event descriptor is readable.
    event: bool,
    /// The calls that the I/O server sends signals to until they are over.
    interrupted: Vec<u32>,
}

/// A thread with its word.
struct Thread {
    /// Where it sleeps.
    place: PlaceWord,
    /// What ends that.
    sent: Mutex<Sent>,
    /// Rings when there is something new.
    rings: Condvar,
}

impl Thread {
    fn new() -> (Arc<Thread>, Arc<Parker>) {
        let (sent, rings) = (Mutex::default(), Condvar::new());
        let thread = Arc::new(Thread { place: PlaceWord::new(), sent, rings });
        let parker = Parker::new(Arc::clone(&thread));
        (thread, parker)
    }

    /// Sleeps until `over` finds what it waits for, and takes it.
    fn sleep(&self, over: impl Fn(&mut Sent) -> bool) {
        let mut sent = self.sent.lock().unwrap();
        while !over(&mut sent) {
            sent = self.rings.wait(sent).unwrap();
        }
    }

    /// What the strand does between the announcement of a park and its end.
    fn park(&self, place: Place, parker: &Parker) {
        if place == Place::Park {
            self.sleep(|sent| std::mem::take(&mut sent.token));
        } else if self.place.enter(place, parker) {
            match place {
                Place::Call => {
                    let call = self.place.call().expect("the thread is in a call");
                    self.sleep(|sent| sent.interrupted.contains(&call));
                }
                _ => self.sleep(|sent| std::mem::take(&mut sent.event)),
            }
        }
        if place != Place::Park {
            self.place.leave();
        }
    }

    /// What the wait loop does, with each sleep in the next of `places`, and the last for good.
    fn wait(&self, parker: &Parker, places: &[Place]) {
        let mask = Parker::mask(0, false);
        let mut turns = 0;
        while !parker.ready(mask) {
            if parker.prepare(mask) {
                self.park(places[turns.min(places.len() - 1)], parker);
                parker.finish();
                turns += 1;
            }
        }
        parker.clear(0);
    }
}

/// The strand's, with the I/O server's part.
impl Unpark for Arc<Thread> {
    fn unpark(&self) {
        let place = self.place.of_sleeper();
        let call = self.place.call();
        let mut sent = self.sent.lock().unwrap();
        match place {
            Place::Park => sent.token = true,
            Place::Poll => sent.event = true,
            // A call that is over by now is left alone.
            Place::Call => sent.interrupted.extend(call),
        }
        self.rings.notify_one();
    }
}

/// Some thread that wakes `parker` once.
fn wake(parker: &Arc<Parker>) -> thread::JoinHandle<()> {
    let waker = parker.waker(0);
    thread::spawn(move || waker.wake())
}

/// All schedules with at most three involuntary switches; see the parker's model.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// One wake against one wait in `place`.
fn a_wake_ends(place: Place) {
    check(move || {
        let (thread, parker) = Thread::new();
        let waker = wake(&parker);
        thread.wait(&parker, &[place]);
        waker.join().unwrap();
    });
}

#[test]
fn a_wake_ends_a_sleep_in_park() {
    a_wake_ends(Place::Park);
}

#[test]
fn a_wake_ends_a_sleep_in_poll() {
    a_wake_ends(Place::Poll);
}

#[test]
fn a_wake_ends_a_blocking_call() {
    a_wake_ends(Place::Call);
}

/// The thread has slept in one way and now sleeps in another: the place of before must not be taken for the new.
fn a_second_wake_ends(first: Place, second: Place) {
    check(move || {
        let (thread, parker) = Thread::new();
        let waker = wake(&parker);
        thread.wait(&parker, &[first]);
        let other = wake(&parker);
        thread.wait(&parker, &[second]);
        waker.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_wake_finds_a_thread_that_went_from_poll_to_park() {
    a_second_wake_ends(Place::Poll, Place::Park);
}

#[test]
fn a_wake_finds_a_thread_that_went_from_poll_to_a_call() {
    a_second_wake_ends(Place::Poll, Place::Call);
}

#[test]
fn a_wake_finds_a_thread_that_went_from_one_call_to_the_next() {
    a_second_wake_ends(Place::Call, Place::Call);
}

#[test]
fn a_wake_finds_a_thread_that_went_from_a_call_to_park() {
    a_second_wake_ends(Place::Call, Place::Park);
}
