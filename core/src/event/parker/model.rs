//! The parker's word under loom, which tries the schedules and the outcomes of the weak orderings:
//! `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib parker`.
//!
//! The stack here is the thread of the model that calls `prepare`; [`LoomStrand`] stands for the strand that
//! stops it. What a waker's thread has written before it wakes is a [`loom::cell::Cell`]: if the wake-up did
//! not make it visible, reading it fails the model.

use std::sync::Arc;

use loom::cell::Cell;
use loom::sync::atomic::AtomicU32;
use loom::sync::atomic::Ordering::{Relaxed, SeqCst};
use loom::sync::{Arc as LoomArc, Condvar, Mutex};
use loom::thread;

use super::{Mask, PARKED, Parker, Unpark, bit};

/// A strand whose park blocks a thread of the model. It has no memory of its own wake-ups but the one that is
/// owed, so that a park which nobody ends is a deadlock, which loom reports.
#[derive(Default)]
struct LoomStrand {
    /// The number of calls of `unpark` that no park has used up.
    owed: Mutex<u32>,
    /// Notified when there is one.
    rung: Condvar,
    /// The number of calls of `unpark`.
    calls: AtomicU32,
}

impl LoomStrand {
    /// Parks, as the strand does.
    fn park(&self) {
        let mut owed = self.owed.lock().unwrap();
        while *owed == 0 {
            owed = self.rung.wait(owed).unwrap();
        }
        *owed -= 1;
    }
}

impl Unpark for LoomArc<LoomStrand> {
    fn unpark(&self) {
        self.calls.fetch_add(1, Relaxed);
        *self.owed.lock().unwrap() += 1;
        self.rung.notify_one();
    }
}

fn stack() -> (Arc<Parker>, LoomArc<LoomStrand>) {
    let strand = LoomArc::new(LoomStrand::default());
    (Parker::new(LoomArc::clone(&strand)), strand)
}

/// Does what the wait loop does until a bit of `mask` is set, and returns the number of parks.
fn wait_for(parker: &Parker, strand: &LoomStrand, mask: Mask) -> u32 {
    let mut parks = 0;
    while !parker.ready(mask) {
        if parker.prepare(mask) {
            strand.park();
            parker.finish();
            parks += 1;
        }
    }
    parks
}

/// Loom looks at every schedule with at most three involuntary switches: with a mutex and a condition
/// variable in the model, all of them would take hours.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn a_wake_is_never_lost_and_brings_what_was_written_before() {
    check(|| {
        let (parker, strand) = stack();
        let news = LoomArc::new(Cell::new(0));
        parker.clear(0);
        let waker = {
            let (parker, news) = (Arc::clone(&parker), LoomArc::clone(&news));
            thread::spawn(move || {
                news.set(7);
                parker.raise(bit(0));
            })
        };
        let parks = wait_for(&parker, &strand, Parker::mask(0, true));
        parker.clear(0);
        assert_eq!(news.get(), 7);
        waker.join().unwrap();
        // An unpark too many would end the next park early; one too few would have hung.
        assert_eq!(strand.calls.load(SeqCst), parks);
        assert_eq!(parker.word.load(SeqCst), 0);
    });
}

#[test]
fn two_wakers_end_one_park_once_and_both_are_heard() {
    check(|| {
        let (parker, strand) = stack();
        let wakers = [1, 2].map(|number| {
            let parker = Arc::clone(&parker);
            let news = LoomArc::new(AtomicU32::new(0));
            let theirs = LoomArc::clone(&news);
            let thread = thread::spawn(move || {
                theirs.store(number, Relaxed);
                parker.raise(bit(0));
            });
            (thread, news)
        });
        let mut parks = 0;
        let mut sum = 0;
        // Both have been heard when both numbers are seen. A wake that found the bit set must still bring its
        // number to the poll that clears the bit, or this waits for a third one.
        while sum < 3 {
            parks += wait_for(&parker, &strand, Parker::mask(0, false));
            parker.clear(0);
            sum = wakers.iter().map(|(_, news)| news.load(Relaxed)).sum();
        }
        for (thread, _) in wakers {
            thread.join().unwrap();
        }
        assert_eq!(strand.calls.load(SeqCst), parks);
    });
}

#[test]
fn a_wake_of_the_outer_wait_is_kept_while_the_inner_one_waits() {
    check(|| {
        let (parker, strand) = stack();
        let outer = Arc::clone(&parker);
        let inner = Arc::clone(&parker);
        let wakers = [thread::spawn(move || outer.raise(bit(0))), thread::spawn(move || inner.raise(bit(1)))];
        // The outer future is being polled, and waits itself.
        parker.clear(0);
        parker.clear(1);
        let mut parks = wait_for(&parker, &strand, Parker::mask(1, true));
        parker.clear(1);
        // Back in the outer wait: its wake-up has come in the meantime or is still to come.
        parks += wait_for(&parker, &strand, Parker::mask(0, true));
        parker.clear(0);
        for waker in wakers {
            waker.join().unwrap();
        }
        assert_eq!(strand.calls.load(SeqCst), parks);
        assert_eq!(parker.word.load(SeqCst), 0);
    });
}

#[test]
fn cancellation_ends_a_wait_that_allows_it_and_stays() {
    check(|| {
        let (parker, strand) = stack();
        let canceller = {
            let parker = Arc::clone(&parker);
            thread::spawn(move || parker.cancel())
        };
        let parks = wait_for(&parker, &strand, Parker::mask(0, true));
        assert!(parker.cancelled());
        // A poll of an outer wait clears wake-ups, never a cancellation.
        parker.clear(0);
        assert!(parker.ready(Parker::mask(3, true)));
        canceller.join().unwrap();
        assert_eq!(strand.calls.load(SeqCst), parks);
    });
}

#[test]
fn a_wait_that_is_not_cancellable_outlasts_it() {
    check(|| {
        let (parker, strand) = stack();
        let other = Arc::clone(&parker);
        let canceller = thread::spawn(move || {
            other.cancel();
            other.raise(bit(0));
        });
        let parks = wait_for(&parker, &strand, Parker::mask(0, false));
        assert!(parker.ready(Parker::mask(0, false)));
        canceller.join().unwrap();
        assert!(parker.cancelled());
        assert_eq!(strand.calls.load(SeqCst), parks);
    });
}

#[test]
fn a_park_that_ends_by_itself_owes_an_unpark_at_most_once() {
    check(|| {
        let (parker, strand) = stack();
        let other = Arc::clone(&parker);
        let waker = thread::spawn(move || other.raise(bit(0)));
        // Strand::park may return early: a deadline, a signal, a descriptor.
        let prepared = parker.prepare(Parker::mask(0, true));
        parker.finish();
        assert!(!parker.is_parked());
        waker.join().unwrap();
        // The bit is there and nothing is parked, whether the wake came within the announcement or after it.
        assert_eq!(parker.word.load(SeqCst) & (PARKED | bit(0)), bit(0));
        let calls = strand.calls.load(SeqCst);
        assert!(calls <= u32::from(prepared));
    });
}
