//! The queue under loom, with a ring of four slots:
//! `RUSTFLAGS="--cfg loom" cargo test -p twoply-green --release --lib queue`.
//!
//! Loom runs a model under every schedule, and lets each load return every store that the weak orderings
//! allow, but for stores that have not been executed yet. So it cannot show what the owner's Acquire loads of
//! `head` (in `push`, `extend` and `room`) are for: without them, a thief's load could be satisfied by the
//! store that reuses the slot later. That rests on the first fact in the header of the queue. Weakening any
//! other ordering of a push, pop, theft or spill makes a model fail.

use std::ptr::NonNull;

use loom::cell::Cell;
use loom::sync::atomic::Ordering::{Relaxed, SeqCst};
use loom::sync::atomic::{AtomicBool, fence};
use loom::thread;

use super::{Injector, Item, Local, Stealer};
use crate::sync::Arc;

/// A number in a cell that loom watches: reading it where its writing is not visible yet fails the model.
struct Watched(Box<Cell<usize>>);

impl Watched {
    fn new(number: usize) -> Watched {
        let cell = Cell::new(usize::MAX);
        cell.set(number);
        Watched(Box::new(cell))
    }
}

impl Item for Watched {
    fn into_raw(self) -> NonNull<()> {
        NonNull::from(Box::leak(self.0)).cast()
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Self {
        // SAFETY: the caller says that the pointer is from `into_raw`, which got it from a box.
        Watched(unsafe { Box::from_raw(raw.cast().as_ptr()) })
    }
}

/// The numbers of the items that one thread got.
type Got = Vec<usize>;

/// One theft, and what it brought.
fn rob(victim: &Stealer<Watched>) -> Got {
    let local = Local::starting_at(usize::MAX, true);
    let mut got: Got = victim.steal_into(&local).map(|item| item.0.get()).into_iter().collect();
    drain(&local, &mut got);
    got
}

fn drain(local: &Local<Watched>, got: &mut Got) {
    while let Some(item) = local.pop() {
        got.push(item.0.get());
    }
}

/// Fails unless `got` is exactly the numbers `0..count`.
fn assert_all(mut got: Got, count: usize) {
    got.sort_unstable();
    assert_eq!(got, (0..count).collect::<Got>());
}

/// Loom looks at every schedule with at most this many involuntary switches, which finds what is known to go
/// wrong in such queues and keeps a model within seconds.
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn owner_and_thief_never_get_the_same_item() {
    check(4, || {
        let (local, injector) = (Local::starting_at(usize::MAX, true), Injector::new());
        let stealer = local.stealer();
        local.push(Watched::new(0), &injector);
        let thief = thread::spawn(move || rob(&stealer));
        let mut got = Got::new();
        local.push(Watched::new(1), &injector);
        got.extend(local.pop().map(|item| item.0.get()));
        local.push(Watched::new(2), &injector);
        drain(&local, &mut got);
        got.extend(thief.join().unwrap());
        assert_all(got, 3);
    });
}

/// Whoever closes the injector empties it, and nobody looks there again.
#[test]
fn what_comes_from_outside_at_the_end_comes_back_or_is_found() {
    check(4, || {
        let injector = Arc::new(Injector::new());
        let outside = {
            let injector = Arc::clone(&injector);
            thread::spawn(move || injector.offer(Watched::new(0)).err().map(|item| item.0.get()))
        };
        injector.close();
        let mut got: Got = std::iter::from_fn(|| injector.pop()).map(|item| item.0.get()).collect();
        got.extend(outside.join().unwrap());
        assert_all(got, 1);
        assert!(injector.offer(Watched::new(1)).is_err());
    });
}

#[test]
fn slots_are_not_reused_before_they_are_copied() {
    check(3, || {
        let (local, injector) = (Local::starting_at(usize::MAX - 1, true), Injector::new());
        for i in 0..4 {
            local.push(Watched::new(i), &injector);
        }
        let stealer = local.stealer();
        let thief = thread::spawn(move || rob(&stealer));
        let mut got = Got::new();
        // The ring is full: this reuses a slot that the thief may be copying.
        got.extend(local.pop().map(|item| item.0.get()));
        local.push(Watched::new(4), &injector);
        drain(&local, &mut got);
        got.extend(thief.join().unwrap());
        assert!(injector.is_empty());
        assert_all(got, 5);
    });
}

#[test]
fn two_thieves_never_get_the_same_item() {
    check(2, || {
        let (local, injector) = (Local::new(true), Injector::new());
        // The thieves learn of every item through the queue alone.
        let thieves = [local.stealer(), local.stealer()].map(|victim| thread::spawn(move || rob(&victim)));
        for i in 0..3 {
            local.push(Watched::new(i), &injector);
        }
        let mut got: Got = local.pop().map(|item| item.0.get()).into_iter().collect();
        for thief in thieves {
            got.extend(thief.join().unwrap());
        }
        drain(&local, &mut got);
        assert_all(got, 3);
    });
}

#[test]
fn a_thief_may_be_robbed() {
    check(2, || {
        let (rich, injector) = (Local::new(true), Injector::new());
        for i in 0..4 {
            rich.push(Watched::new(i), &injector);
        }
        let poor = Local::new(true);
        let robber = poor.stealer();
        let robber = thread::spawn(move || rob(&robber));
        let mut got: Got = rich.stealer().steal_into(&poor).map(|item| item.0.get()).into_iter().collect();
        drain(&poor, &mut got);
        drain(&rich, &mut got);
        got.extend(robber.join().unwrap());
        assert_all(got, 4);
    });
}

#[test]
fn nothing_is_lost_when_the_ring_overflows_under_a_thief() {
    check(3, || {
        let (local, injector) = (Local::new(true), Injector::new());
        let stealer = local.stealer();
        let thief = thread::spawn(move || rob(&stealer));
        for i in 0..5 {
            local.push(Watched::new(i), &injector);
        }
        let mut got = thief.join().unwrap();
        drain(&local, &mut got);
        while let Some(item) = injector.pop() {
            got.push(item.0.get());
        }
        assert_all(got, 5);
    });
}

#[test]
fn the_item_in_the_lifo_slot_goes_to_one() {
    check(5, || {
        let local: Local<Watched> = Local::new(true);
        let stealer = local.stealer();
        let thief = thread::spawn(move || stealer.steal_lifo().map(|item| item.0.get()));
        let mut got = Got::new();
        got.extend(local.push_lifo(Watched::new(0)).map(|item| item.0.get()));
        got.extend(local.push_lifo(Watched::new(1)).map(|item| item.0.get()));
        got.extend(local.pop_lifo().map(|item| item.0.get()));
        got.extend(thief.join().unwrap());
        assert_all(got, 2);
    });
}

#[test]
fn an_injector_gives_each_item_to_one() {
    check(2, || {
        let injector = Arc::new(Injector::new());
        let others = [0, 1].map(|i| {
            let injector = Arc::clone(&injector);
            thread::spawn(move || {
                injector.push(Watched::new(i));
                let local = Local::new(true);
                let mut got: Got =
                    injector.pop_into(&local, 2).map(|item| item.0.get()).into_iter().collect();
                drain(&local, &mut got);
                got
            })
        });
        let mut got = Got::new();
        for other in others {
            got.extend(other.join().unwrap());
        }
        assert!(injector.pop().is_none());
        assert_all(got, 2);
    });
}

/// The promise of "Going to sleep" in the header of the queue.
#[test]
fn with_fences_a_push_and_a_sleeper_cannot_miss_one_another() {
    check(5, || {
        let (local, injector) = (Local::new(true), Arc::new(Injector::new()));
        let asleep = Arc::new(AtomicBool::new(false));
        let sleeper = {
            let (stealer, injector, asleep) = (local.stealer(), Arc::clone(&injector), Arc::clone(&asleep));
            thread::spawn(move || {
                asleep.store(true, Relaxed);
                fence(SeqCst);
                (stealer.is_empty(), injector.is_empty())
            })
        };
        local.push(Watched::new(0), &injector);
        injector.push(Watched::new(1));
        fence(SeqCst);
        let saw_sleeper = asleep.load(Relaxed);
        let (ring_empty, injector_empty) = sleeper.join().unwrap();
        assert!(saw_sleeper || !ring_empty);
        assert!(saw_sleeper || !injector_empty);
    });
}
