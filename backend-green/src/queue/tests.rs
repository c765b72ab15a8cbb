//! The queue on one thread, and between real threads for a fraction of a second.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::{CAPACITY, Injector, Item, Local, Stealer};

impl<T> Item for Box<T> {
    fn into_raw(self) -> NonNull<()> {
        NonNull::from(Box::leak(self)).cast()
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Self {
        // SAFETY: the caller says that the pointer is from `into_raw`, which got it from a box.
        unsafe { Box::from_raw(raw.cast().as_ptr()) }
    }
}

/// A queue of numbers, full up to `count`.
fn filled(count: usize) -> (Local<Box<usize>>, Injector<Box<usize>>) {
    let (local, injector) = (Local::new(true), Injector::new());
    for i in 0..count {
        local.push(Box::new(i), &injector);
    }
    (local, injector)
}

fn drain(local: &Local<Box<usize>>) -> Vec<usize> {
    std::iter::from_fn(|| local.pop()).map(|item| *item).collect()
}

#[test]
fn items_come_out_in_the_order_they_went_in() {
    let (local, injector) = filled(CAPACITY);
    assert_eq!(local.stealer().len(), CAPACITY);
    assert!(injector.is_empty());
    assert_eq!(drain(&local), (0..CAPACITY).collect::<Vec<_>>());
    assert_eq!(local.stealer().len(), 0);
}

#[test]
fn a_full_ring_hands_its_older_half_over_and_the_new_item_after_it() {
    let (local, injector) = filled(CAPACITY + 1);
    assert_eq!(local.stealer().len(), CAPACITY / 2);
    assert_eq!(injector.len(), CAPACITY / 2 + 1);
    let spilled: Vec<usize> = std::iter::from_fn(|| injector.pop()).map(|item| *item).collect();
    assert_eq!(spilled, (0..CAPACITY / 2).chain([CAPACITY]).collect::<Vec<_>>());
    assert_eq!(drain(&local), (CAPACITY / 2..CAPACITY).collect::<Vec<_>>());
}

#[test]
fn a_thief_takes_the_older_half_rounded_up() {
    for (count, stolen) in [(0, 0), (1, 1), (2, 1), (5, 3), (CAPACITY, CAPACITY / 2)] {
        let (victim, _injector) = filled(count);
        let thief = Local::new(true);
        let first = victim.stealer().steal_into(&thief).map(|item| *item);
        assert_eq!(first, (stolen > 0).then_some(0));
        assert_eq!(drain(&thief), (1..stolen).collect::<Vec<_>>());
        assert_eq!(drain(&victim), (stolen..count).collect::<Vec<_>>());
    }
}

#[test]
fn a_thief_takes_no_more_than_it_has_room_for() {
    let (victim, _injector) = filled(100);
    let (thief, overflow) = filled(CAPACITY - 2);
    assert_eq!(victim.stealer().steal_into(&thief).as_deref(), Some(&0));
    assert_eq!((thief.stealer().len(), victim.stealer().len()), (CAPACITY, 97));
    // A full one still gets the item that it is to run.
    assert_eq!(victim.stealer().steal_into(&thief).as_deref(), Some(&3));
    assert_eq!((thief.stealer().len(), victim.stealer().len(), overflow.len()), (CAPACITY, 96, 0));
}

#[test]
fn nobody_steals_from_himself() {
    let (local, _injector) = filled(4);
    assert!(local.stealer().steal_into(&local).is_none());
    assert_eq!(drain(&local), [0, 1, 2, 3]);
}

#[test]
fn the_lifo_slot_displaces_and_can_be_stolen() {
    let local: Local<Box<usize>> = Local::new(true);
    assert!(local.push_lifo(Box::new(1)).is_none());
    assert_eq!(local.push_lifo(Box::new(2)).as_deref(), Some(&1));
    assert_eq!((local.stealer().len(), local.stealer().is_empty()), (1, true));
    // A theft of the ring leaves it alone.
    assert!(local.stealer().steal_into(&Local::new(true)).is_none());
    assert_eq!(local.stealer().steal_lifo().as_deref(), Some(&2));
    assert!(local.pop_lifo().is_none());
    assert_eq!(local.stealer().len(), 0);
}

#[test]
fn positions_wrap_around() {
    let local: Local<Box<usize>> = Local::starting_at(usize::MAX - 5, true);
    let injector = Injector::new();
    for i in 0..=CAPACITY {
        local.push(Box::new(i), &injector);
    }
    assert_eq!((local.stealer().len(), injector.len()), (CAPACITY / 2, CAPACITY / 2 + 1));
    let thief = Local::starting_at(usize::MAX, true);
    assert_eq!(local.stealer().steal_into(&thief).as_deref(), Some(&(CAPACITY / 2)));
    let stolen = CAPACITY / 4;
    assert_eq!(drain(&thief), (CAPACITY / 2 + 1..CAPACITY / 2 + stolen).collect::<Vec<_>>());
    assert_eq!(drain(&local), (CAPACITY / 2 + stolen..CAPACITY).collect::<Vec<_>>());
}

#[test]
fn an_injector_says_when_it_was_empty_and_gives_a_handful() {
    let injector = Injector::new();
    assert!(injector.push(Box::new(0)));
    assert!(!injector.push_batch((1..10).map(Box::new)));
    let local = Local::new(true);
    assert!(injector.pop_into(&local, 0).is_none());
    assert_eq!(injector.pop_into(&local, 4).as_deref(), Some(&0));
    assert_eq!(drain(&local), [1, 2, 3]);
    assert_eq!(injector.len(), 6);

    let (full, _overflow) = filled(CAPACITY - 1);
    assert_eq!(injector.pop_into(&full, usize::MAX).as_deref(), Some(&4));
    assert_eq!((full.stealer().len(), injector.len()), (CAPACITY, 4));
}

/// Counts how often it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn what_is_left_is_dropped_with_the_owner() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let item = || Box::new(Counted(Arc::clone(&dropped)));
    let (local, injector) = (Local::new(true), Injector::new());
    for _ in 0..CAPACITY + 1 {
        local.push(item(), &injector);
    }
    assert!(local.push_lifo(item()).is_none());
    let stealer = local.stealer();
    drop(local);
    assert_eq!(dropped.load(Ordering::Relaxed), CAPACITY / 2 + 1);
    assert!(stealer.steal_lifo().is_none() && stealer.is_empty());
    drop(injector);
    assert_eq!(dropped.load(Ordering::Relaxed), CAPACITY + 2);
}

#[test]
fn tasks_of_async_task_fit_in() {
    let ran = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ran);
    let (runnable, task) = async_task::spawn(
        async move {
            counter.fetch_add(1, Ordering::Relaxed);
        },
        |_| {},
    );
    task.detach();
    let (local, injector) = (Local::new(true), Injector::new());
    local.push(runnable, &injector);
    local.pop().expect("it has just been pushed").run();
    assert_eq!(ran.load(Ordering::Relaxed), 1);
}

/// `probe` is found in one way for every type, and in a second way for those that are `Sync`: then the
/// compiler cannot choose.
trait AmbiguousIfSync<A> {
    fn probe() {}
}

impl<T: ?Sized> AmbiguousIfSync<()> for T {}
impl<T: ?Sized + Sync> AmbiguousIfSync<u8> for T {}

#[test]
fn ends_go_where_their_items_may_go() {
    fn send<T: Send>() {}
    fn share<T: Send + Sync>() {}
    // The items need not be `Sync`: no two threads look at one.
    send::<Local<Box<Cell<u32>>>>();
    share::<Stealer<Box<Cell<u32>>>>();
    share::<Injector<Box<Cell<u32>>>>();
    // An owner's end that two threads could use would have two writers.
    <Local<Box<u32>> as AmbiguousIfSync<_>>::probe();
    // Items that are bound to their thread bind the queue.
    <Stealer<Box<std::rc::Rc<u32>>> as AmbiguousIfSync<_>>::probe();
}

/// The amount of work of the stress tests: a fraction of a second natively, and seconds under Miri.
const ROUNDS: usize = if cfg!(miri) { 600 } else { 100_000 };

/// Steals until `done` and nothing is left; marks what it got.
fn rob(
    victim: &Stealer<Box<usize>>,
    overflow: &Injector<Box<usize>>,
    done: &AtomicBool,
    seen: &[AtomicUsize],
) {
    let local = Local::new(true);
    let mark = |item: Box<usize>| seen[*item].fetch_add(1, Ordering::Relaxed);
    loop {
        let last = done.load(Ordering::Acquire);
        let mut found = false;
        while let Some(item) = victim
            .steal_into(&local)
            .or_else(|| local.pop())
            .or_else(|| overflow.pop_into(&local, 8))
            .or_else(|| victim.steal_lifo())
        {
            mark(item);
            found = true;
        }
        if last && !found {
            return;
        }
        thread::yield_now();
    }
}

#[test]
fn each_item_arrives_once_with_thieves_about() {
    let local: Local<Box<usize>> = Local::starting_at(usize::MAX - ROUNDS / 2, true);
    let overflow = Injector::new();
    let done = AtomicBool::new(false);
    let seen: Vec<AtomicUsize> = (0..ROUNDS).map(|_| AtomicUsize::new(0)).collect();
    let stealer = local.stealer();
    thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| rob(&stealer, &overflow, &done, &seen));
        }
        for i in 0..ROUNDS {
            match i % 7 {
                0 => drop(local.push_lifo(Box::new(i)).map(|item| local.push(item, &overflow))),
                _ => local.push(Box::new(i), &overflow),
            }
            if i % 3 == 0
                && let Some(item) = local.pop_lifo().or_else(|| local.pop())
            {
                seen[*item].fetch_add(1, Ordering::Relaxed);
            }
        }
        done.store(true, Ordering::Release);
    });
    assert!(local.stealer().is_empty() && overflow.is_empty());
    let wrong = seen.iter().position(|count| count.load(Ordering::Relaxed) != 1);
    assert_eq!(wrong, None, "this item did not arrive exactly once");
}

#[test]
fn an_injector_serves_many_threads() {
    let injector = Injector::new();
    let seen: Vec<AtomicUsize> = (0..ROUNDS).map(|_| AtomicUsize::new(0)).collect();
    let pushing = AtomicUsize::new(2);
    thread::scope(|s| {
        for start in 0..2 {
            let (injector, pushing) = (&injector, &pushing);
            s.spawn(move || {
                for i in (start..ROUNDS).step_by(2) {
                    injector.push(Box::new(i));
                }
                pushing.fetch_sub(1, Ordering::Release);
            });
        }
        s.spawn(|| {
            let local = Local::new(true);
            loop {
                let last = pushing.load(Ordering::Acquire) == 0;
                let mut found = false;
                while let Some(item) = local.pop().or_else(|| injector.pop_into(&local, 32)) {
                    seen[*item].fetch_add(1, Ordering::Relaxed);
                    found = true;
                }
                if last && !found {
                    return;
                }
            }
        });
    });
    assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1));
}

#[test]
fn without_thieves_it_is_the_same_queue() {
    let (local, injector) = (Local::new(false), Injector::new());
    (0..CAPACITY + 1).for_each(|n| local.push(Box::new(n), &injector));
    assert_eq!(injector.len(), CAPACITY / 2 + 1);
    assert!(local.stealer().steal_into(&Local::new(true)).is_none());
    assert!(local.push_lifo(Box::new(1_000)).is_none());
    assert_eq!(local.push_lifo(Box::new(1_001)).as_deref(), Some(&1_000));
    assert!(local.stealer().steal_lifo().is_none());
    assert_eq!(local.pop_lifo().as_deref(), Some(&1_001));
    assert!(local.pop_lifo().is_none());
    let order: Vec<usize> = std::iter::from_fn(|| local.pop()).map(|n| *n).collect();
    assert_eq!(order, (CAPACITY / 2..CAPACITY).collect::<Vec<_>>());
}
