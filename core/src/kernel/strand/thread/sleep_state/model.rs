//! The sleep state and the parker under loom:
//! `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib sleep_state`.
//!
//! The parker is the real one. [`Thread`] stands for the three ways to sleep, each of which only its own kind
//! of wake-up ends: a wake of the wrong kind is a deadlock, which loom reports.

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::{SleepKind, SleepState};
use crate::event::parker::{Parker, Unpark};

/// The signals that have been sent to end each kind of sleep.
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
    sleep: SleepState,
    sent: Mutex<Sent>,
    /// Notified when something has been sent.
    changed: Condvar,
}

impl Thread {
    fn new() -> (Arc<Thread>, Arc<Parker>) {
        let (sent, changed) = (Mutex::default(), Condvar::new());
        let thread = Arc::new(Thread { sleep: SleepState::new(), sent, changed });
        let parker = Parker::new(Arc::clone(&thread));
        (thread, parker)
    }

    /// Sleeps until `over` finds what it waits for, and takes it.
    fn sleep(&self, over: impl Fn(&mut Sent) -> bool) {
        let mut sent = self.sent.lock().unwrap();
        while !over(&mut sent) {
            sent = self.changed.wait(sent).unwrap();
        }
    }

    /// Does what the strand does between the announcement of a park and its end.
    fn park(&self, kind: SleepKind, parker: &Parker) {
        if kind == SleepKind::Park {
            self.sleep(|sent| std::mem::take(&mut sent.token));
        } else if self.sleep.enter(kind, parker) {
            match kind {
                SleepKind::Call => {
                    let call = self.sleep.call().expect("the thread is in a call");
                    self.sleep(|sent| sent.interrupted.contains(&call));
                }
                _ => self.sleep(|sent| std::mem::take(&mut sent.event)),
            }
        }
        if kind != SleepKind::Park {
            self.sleep.leave();
        }
    }

    /// Does what the wait loop does, with each sleep in the next of `kinds`, and the last for good.
    fn wait(&self, parker: &Parker, kinds: &[SleepKind]) {
        let mask = Parker::mask(0, false);
        let mut turns = 0;
        while !parker.ready(mask) {
            if parker.prepare(mask) {
                self.park(kinds[turns.min(kinds.len() - 1)], parker);
                parker.finish();
                turns += 1;
            }
        }
        parker.clear(0);
    }
}

/// Does what the strand's `Unpark` does, with the I/O server's part.
impl Unpark for Arc<Thread> {
    fn unpark(&self) {
        let kind = self.sleep.sleeper_kind();
        let call = self.sleep.call();
        let mut sent = self.sent.lock().unwrap();
        match kind {
            SleepKind::Park => sent.token = true,
            SleepKind::Poll => sent.event = true,
            // A call that is over by now is left alone.
            SleepKind::Call => sent.interrupted.extend(call),
        }
        self.changed.notify_one();
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

/// Checks one wake against one wait that sleeps in the way of `kind`.
fn a_wake_ends(kind: SleepKind) {
    check(move || {
        let (thread, parker) = Thread::new();
        let waker = wake(&parker);
        thread.wait(&parker, &[kind]);
        waker.join().unwrap();
    });
}

#[test]
fn a_wake_ends_a_sleep_in_park() {
    a_wake_ends(SleepKind::Park);
}

#[test]
fn a_wake_ends_a_sleep_in_poll() {
    a_wake_ends(SleepKind::Poll);
}

#[test]
fn a_wake_ends_a_blocking_call() {
    a_wake_ends(SleepKind::Call);
}

/// Checks that a wake finds a thread that has slept in the `first` way and now sleeps in the `second`.
fn a_second_wake_ends(first: SleepKind, second: SleepKind) {
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
    a_second_wake_ends(SleepKind::Poll, SleepKind::Park);
}

#[test]
fn a_wake_finds_a_thread_that_went_from_poll_to_a_call() {
    a_second_wake_ends(SleepKind::Poll, SleepKind::Call);
}

#[test]
fn a_wake_finds_a_thread_that_went_from_one_call_to_the_next() {
    a_second_wake_ends(SleepKind::Call, SleepKind::Call);
}

#[test]
fn a_wake_finds_a_thread_that_went_from_a_call_to_park() {
    a_second_wake_ends(SleepKind::Call, SleepKind::Park);
}
