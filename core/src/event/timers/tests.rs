//! Tests of the timer queue.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;
use crate::base::wake::WakeCount;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn deadlines_fire_once_and_in_time() {
    let timers = Timers::new(|| ());
    let (count, waker) = WakeCount::new();
    let start = Instant::now();
    timers.insert(start + 2 * SECOND, &waker).unwrap();
    timers.insert(start + SECOND, &waker).unwrap();
    assert_eq!(timers.next(), Some(start + SECOND));
    assert_eq!(timers.fire(start + SECOND - Duration::from_nanos(1)), 0);
    assert_eq!(timers.fire(start + SECOND), 1);
    assert_eq!(timers.next(), Some(start + 2 * SECOND));
    assert_eq!(timers.fire(start + 9 * SECOND), 1);
    assert_eq!((timers.next(), timers.fire(start + 9 * SECOND), count.get()), (None, 0, 2));
}

#[test]
fn a_removed_entry_is_not_woken_and_its_waker_is_let_go() {
    let timers = Timers::new(|| ());
    let (count, waker) = WakeCount::new();
    let now = Instant::now();
    let key = timers.insert(now, &waker).unwrap();
    timers.remove(key);
    drop(waker);
    assert_eq!(Arc::strong_count(&count), 1);
    assert_eq!((timers.fire(now + SECOND), timers.len(), timers.next()), (0, 0, None));
}

#[test]
fn a_key_of_the_past_does_not_touch_its_successor() {
    let timers = Timers::new(|| ());
    let (_, waker) = WakeCount::new();
    let now = Instant::now();
    let old = timers.insert(now, &waker).unwrap();
    timers.remove(old);
    let new = timers.insert(now, &waker).unwrap();
    assert_eq!(old.index, new.index);
    timers.remove(old);
    assert!(!timers.rearm(old, now, &waker));
    assert_eq!(timers.len(), 1);
    assert_eq!(timers.fire(now), 1);
}

#[test]
fn rearming_moves_a_deadline_both_ways_and_arms_a_fired_one() {
    let timers = Timers::new(|| ());
    let (count, waker) = WakeCount::new();
    let start = Instant::now();
    let key = timers.insert(start + SECOND, &waker).unwrap();
    assert!(timers.rearm(key, start + 3 * SECOND, &waker));
    assert_eq!(timers.fire(start + 2 * SECOND), 0);
    assert_eq!(timers.next(), Some(start + 3 * SECOND));
    assert!(timers.rearm(key, start + SECOND, &waker));
    assert_eq!(timers.next(), Some(start + SECOND));
    assert_eq!(timers.fire(start + SECOND), 1);
    assert!(timers.rearm(key, start + 3 * SECOND, &waker));
    assert_eq!(timers.fire(start + 3 * SECOND), 1);
    assert_eq!(count.get(), 2);
}

#[test]
fn an_entry_wakes_the_waker_it_was_given_last() {
    let timers = Timers::new(|| ());
    let ((first, one), (second, two)) = (WakeCount::new(), WakeCount::new());
    let now = Instant::now();
    let key = timers.insert(now, &one).unwrap();
    assert!(timers.rearm(key, now, &two));
    timers.fire(now);
    assert_eq!((first.get(), second.get()), (0, 1));
}

#[test]
fn only_an_earlier_deadline_is_announced() {
    let announced = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&announced);
    let timers = Timers::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let waker = Waker::noop();
    let now = Instant::now();
    let key = timers.insert(now + 2 * SECOND, waker).unwrap();
    timers.insert(now + 3 * SECOND, waker).unwrap();
    assert_eq!(announced.load(Ordering::SeqCst), 1);
    timers.rearm(key, now + SECOND, waker);
    assert_eq!(announced.load(Ordering::SeqCst), 2);
    timers.rearm(key, now + 2 * SECOND, waker);
    assert_eq!(announced.load(Ordering::SeqCst), 2);
}

#[test]
fn deadlines_at_the_ends_of_time_are_kept_in_order() {
    let timers = Timers::new(|| ());
    let waker = Waker::noop();
    let now = Instant::now();
    let far = now.checked_add(Duration::from_secs(1 << 40)).unwrap_or(now + 1000 * SECOND);
    timers.insert(far, waker).unwrap();
    let past = now.checked_sub(100 * SECOND).unwrap_or(now);
    timers.insert(past, waker).unwrap();
    assert_eq!(timers.next(), Some(past));
    assert_eq!(timers.fire(now), 1);
    assert!(timers.next().is_some_and(|next| next > now + SECOND));
    assert_eq!(timers.fire(now + SECOND), 0);
}

#[test]
fn closing_wakes_everybody_and_accepts_no_more() {
    let timers = Timers::new(|| ());
    let (count, waker) = WakeCount::new();
    let later = Instant::now() + SECOND;
    let key = timers.insert(later, &waker).unwrap();
    timers.close();
    assert_eq!(count.get(), 1);
    assert_eq!(timers.insert(later, &waker), Err(Closed));
    assert!(!timers.rearm(key, later, &waker));
    timers.remove(key);
    assert_eq!((timers.len(), timers.next()), (0, None));
}

#[test]
fn a_waker_may_use_the_queue_while_it_fires() {
    struct Reinsert(Mutex<Option<Arc<Timers>>>, Instant);
    impl Wake for Reinsert {
        fn wake(self: Arc<Self>) {
            if let Some(timers) = lock_std(&self.0).take() {
                timers.insert(self.1, Waker::noop()).unwrap();
            }
        }
    }
    let timers = Timers::new(|| ());
    let now = Instant::now();
    let again = Waker::from(Arc::new(Reinsert(Mutex::new(Some(Arc::clone(&timers))), now + SECOND)));
    timers.insert(now, &again).unwrap();
    assert_eq!(timers.fire(now), 1);
    assert_eq!(timers.next(), Some(now + SECOND));
}

#[test]
fn a_hundred_thousand_timers_fire_in_order() {
    const COUNT: u32 = 100_000;
    let timers = Timers::new(|| ());
    let (count, waker) = WakeCount::new();
    let start = Instant::now();
    for i in 0..COUNT {
        // A permutation: 7919 is a prime that does not divide the count.
        let millis = u64::from(i) * 7919 % u64::from(COUNT);
        timers.insert(start + Duration::from_millis(millis), &waker).unwrap();
    }
    for millis in [0u64, 1, 499, 50_000, 99_998, 99_999] {
        timers.fire(start + Duration::from_millis(millis));
        assert_eq!(count.get() as u64, millis + 1);
    }
    assert_eq!(timers.next(), None);
}

fn assert_few_pairs(timers: &Timers) {
    let queue = lock_std(&timers.queue);
    let (pairs, len) = (queue.heap.len(), queue.len);
    assert!(pairs <= 2 * len + SWEEP_FROM, "{pairs} pairs for {len} entries");
}

#[test]
fn memory_is_that_of_the_living() {
    let timers = Timers::new(|| ());
    let now = Instant::now();
    // Entered and taken back, as a timeout around each operation is.
    for i in 0..100_000u64 {
        let key = timers.insert(now + SECOND + Duration::from_nanos(i), Waker::noop()).unwrap();
        timers.remove(key);
    }
    let queue = lock_std(&timers.queue);
    assert!(queue.entries.len() <= 1, "{} entries", queue.entries.len());
    // Each takes over what the one before has left in the heap.
    assert_eq!(queue.heap.len(), 1);
    drop(queue);

    // A deadline that comes again and again, with earlier ones in between: of timers that are made anew each
    // time, and of as many that are moved.
    for anew in [true, false] {
        let timers = Timers::new(|| ());
        let far = now + 1_000_000 * SECOND;
        let mut keys: Vec<_> = (0..100).map(|_| timers.insert(far, Waker::noop()).unwrap()).collect();
        for round in 0..10_000 {
            let soon = now + round * SECOND;
            let key = &mut keys[round as usize / 100];
            for deadline in [soon, far] {
                if anew {
                    timers.remove(*key);
                    *key = timers.insert(deadline, Waker::noop()).unwrap();
                } else {
                    assert!(timers.rearm(*key, deadline, Waker::noop()));
                }
            }
            assert_eq!(timers.fire(soon), 0);
            assert_few_pairs(&timers);
        }
        for key in keys.drain(1..) {
            timers.remove(key);
            assert_few_pairs(&timers);
        }
        assert_eq!((timers.next(), timers.fire(far), timers.next()), (Some(far), 1, None));
    }

    assert!(size_of::<Entry>() + size_of::<Pair>() <= 56);
    let insert = |i| timers.insert(now + SECOND + Duration::from_nanos(i), Waker::noop()).unwrap();
    let keys: Vec<_> = (0..100_000).map(insert).collect();
    let queue = lock_std(&timers.queue);
    let bytes = queue.entries.capacity() * size_of::<Entry>() + queue.heap.capacity() * size_of::<Pair>();
    assert!(bytes / 100_000 <= 72, "{} bytes an entry", bytes / 100_000);
    drop(queue);
    for key in keys {
        timers.remove(key);
        assert_few_pairs(&timers);
    }
}

#[test]
fn an_owner_that_wakes_too_early_does_so_once() {
    let timers = Timers::new(|| ());
    let start = Instant::now();
    let keys: Vec<_> = (0..100).map(|_| timers.insert(start + SECOND, Waker::noop()).unwrap()).collect();
    for key in keys {
        assert!(timers.rearm(key, start + 2 * SECOND, Waker::noop()));
    }
    assert_eq!(timers.wake_at(), Some(start + SECOND), "most are not up to date, and need not be");
    assert_eq!(timers.fire(start + SECOND), 0);
    assert_eq!((timers.wake_at(), timers.fire(start + 2 * SECOND)), (Some(start + 2 * SECOND), 100));
}

/// Against a model: random operations, each checked against a plain list.
#[test]
fn it_agrees_with_a_plain_list() {
    let timers = Timers::new(|| ());
    let start = Instant::now();
    let at = |millis: u64| start + Duration::from_millis(millis);
    let mut model: Vec<(TimerKey, u64, Arc<WakeCount>, usize)> = Vec::new();
    let mut seed = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = |below: u64| {
        // xorshift64
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut now = 0;
    for _ in 0..20_000 {
        match random(5) {
            0 | 1 => {
                let (count, waker) = WakeCount::new();
                let due = now + 1 + random(50);
                model.push((timers.insert(at(due), &waker).unwrap(), due, count, 0));
            }
            2 if !model.is_empty() => {
                let (key, ..) = model.swap_remove(random(model.len() as u64) as usize);
                timers.remove(key);
            }
            3 if !model.is_empty() => {
                let i = random(model.len() as u64) as usize;
                let due = now + 1 + random(50);
                let (count, waker) = WakeCount::new();
                let entry = &mut model[i];
                assert!(timers.rearm(entry.0, at(due), &waker));
                (entry.1, entry.2, entry.3) = (due, count, 0);
            }
            _ => {
                now += random(10);
                timers.fire(at(now));
                for entry in &mut model {
                    entry.3 = usize::from(entry.1 <= now);
                }
            }
        }
        for (_, due, count, wakes) in &model {
            assert_eq!(count.get(), *wakes, "due at {due}, now {now}");
        }
        let next = model.iter().filter(|entry| entry.3 == 0).map(|entry| at(entry.1)).min();
        // A sleep ends no later; and most of the time that is all that is asked for.
        assert!(next.is_none() || timers.wake_at().is_some_and(|at| Some(at) <= next));
        if random(4) == 0 {
            assert_eq!(timers.next(), next);
        }
        if model.len() > 200 {
            model.drain(..).for_each(|(key, ..)| timers.remove(key));
        }
        assert_few_pairs(&timers);
    }
}
