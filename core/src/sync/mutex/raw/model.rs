//! Models of the lock, by loom.

use std::sync::Arc;

use super::*;
use crate::base::sync::cell::UnsafeCell;
use loom::thread;

/// A lock with what it guards.
struct Guarded {
    raw: RawMutex,
    value: UnsafeCell<u32>,
}

impl Guarded {
    fn new() -> Arc<Guarded> {
        Arc::new(Guarded { raw: RawMutex::new(), value: UnsafeCell::new(0) })
    }

    /// Returns a lock that somebody has, and for which two wait.
    fn awaited() -> (Arc<Guarded>, [WaitKey; 2]) {
        let shared = Guarded::new();
        assert!(shared.raw.try_lock());
        let mut waiting = [WaitKey::new(), WaitKey::new()];
        for wait_key in &mut waiting {
            assert!(shared.raw.poll_lock(wait_key, Waker::noop()).is_pending());
        }
        (shared, waiting)
    }

    /// The section that the lock is for; loom's cell checks that nobody else is in one.
    fn add(&self) {
        // SAFETY: the caller has the lock.
        self.value.with_mut(|value| unsafe { *value += 1 });
        self.raw.unlock();
    }

    /// Waits for the lock by a noop waker: whether a wait is over shows at the next poll. Between the polls,
    /// others run.
    fn wait_and_add(&self) {
        let mut wait_key = WaitKey::new();
        while self.raw.poll_lock(&mut wait_key, Waker::noop()).is_pending() {
            thread::yield_now();
        }
        self.add();
    }

    /// Goes on with one that waits, while nobody has the lock.
    fn go_on(&self, wait_key: &mut WaitKey) {
        assert!(self.is_woken(wait_key), "asleep, and nobody has the lock");
        assert!(self.raw.poll_lock(wait_key, Waker::noop()).is_ready());
        self.add();
    }

    /// Has somebody else take the lock if it is free.
    fn barge(self: &Arc<Self>) -> thread::JoinHandle<()> {
        let shared = Arc::clone(self);
        thread::spawn(move || {
            if shared.raw.try_lock() {
                shared.add();
            }
        })
    }

    fn assert_idle(&self, sum: u32) {
        // SAFETY: nobody else is left.
        self.value.with(|value| assert_eq!(unsafe { *value }, sum));
        self.assert_nobody_is_left();
    }

    fn assert_nobody_is_left(&self) {
        assert_eq!(self.raw.word.load(Relaxed), 0, "somebody has left something behind");
        let queue = self.raw.queue.lock();
        assert!(queue.waiters.is_empty() && !queue.is_woken && queue.tenure.is_none());
    }

    /// Returns true if the one with this key has nothing to wait for any more.
    fn is_woken(&self, wait_key: &WaitKey) -> bool {
        let key = wait_key.get().expect("it waits");
        self.raw.queue.lock().waiters.find(key).is_none_or(|waiter| waiter.waker.is_none())
    }
}

#[test]
fn one_at_a_time_has_the_lock_and_sees_what_the_last_one_did() {
    loom::model(|| {
        let shared = Guarded::new();
        let other = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.wait_and_add())
        };
        shared.wait_and_add();
        other.join().unwrap();
        shared.assert_idle(2);
    });
}

#[test]
fn an_unlock_wakes_whoever_has_come_to_wait() {
    loom::model(|| {
        let shared = Guarded::new();
        assert!(shared.raw.try_lock());
        let holder = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.add())
        };
        let mut wait_key = WaitKey::new();
        let first = shared.raw.poll_lock(&mut wait_key, Waker::noop());
        holder.join().unwrap();
        if first.is_pending() {
            assert!(shared.is_woken(&wait_key), "asleep, and nobody has the lock");
            assert!(shared.raw.poll_lock(&mut wait_key, Waker::noop()).is_ready());
        }
        shared.add();
        shared.assert_idle(2);
    });
}

/// One of two who wait gives up while the lock becomes free, before it has been woken or after.
#[test]
fn whoever_gives_up_passes_the_wake_up_on() {
    loom::model(|| {
        let (shared, [mut a, mut b]) = Guarded::awaited();
        let holder = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.add())
        };
        shared.raw.stop(&mut a);
        holder.join().unwrap();
        shared.go_on(&mut b);
        shared.assert_idle(2);
    });
}

/// One that is starving gives up while the lock is handed over to it.
#[test]
fn a_lock_that_is_handed_over_is_never_lost() {
    loom::model(|| {
        let (shared, [mut a, mut b]) = Guarded::awaited();
        for _ in 0..PATIENCE {
            shared.raw.unlock();
            assert!(shared.raw.try_lock(), "nobody is kept from a free lock");
            assert!(shared.raw.poll_lock(&mut a, Waker::noop()).is_pending(), "it comes too late");
        }
        let holder = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.add())
        };
        shared.raw.stop(&mut a);
        holder.join().unwrap();
        shared.go_on(&mut b);
        shared.assert_idle(2);
    });
}

/// Of two who wait one has been woken, and gives up while a third one has the lock, or has had it.
#[test]
fn an_unlock_after_one_has_given_up_wakes_the_next() {
    loom::model(|| {
        let (shared, [mut a, mut b]) = Guarded::awaited();
        shared.add();
        let barging = shared.barge();
        shared.raw.stop(&mut a);
        barging.join().unwrap();
        shared.go_on(&mut b);
        shared.assert_nobody_is_left();
    });
}

/// Of two who wait one has been woken, and locks while a third one does so, too.
#[test]
fn an_unlock_of_one_that_has_waited_wakes_the_next() {
    loom::model(|| {
        let (shared, [mut a, mut b]) = Guarded::awaited();
        shared.add();
        let barging = shared.barge();
        let first = shared.raw.poll_lock(&mut a, Waker::noop());
        if first.is_ready() {
            shared.add();
        }
        barging.join().unwrap();
        if first.is_pending() {
            assert!(shared.raw.poll_lock(&mut a, Waker::noop()).is_ready());
            shared.add();
        }
        shared.go_on(&mut b);
        shared.assert_nobody_is_left();
    });
}

/// A third one takes the lock whenever it is free, while one is on its way to it.
#[test]
fn one_that_comes_too_late_waits_for_the_next_unlock() {
    loom::model(|| {
        let shared = Guarded::new();
        assert!(shared.raw.try_lock());
        let mut wait_key = WaitKey::new();
        assert!(shared.raw.poll_lock(&mut wait_key, Waker::noop()).is_pending());
        shared.add();
        let barging = shared.barge();
        let second = shared.raw.poll_lock(&mut wait_key, Waker::noop());
        if second.is_ready() {
            shared.raw.unlock();
            barging.join().unwrap();
        } else {
            barging.join().unwrap();
            assert!(shared.is_woken(&wait_key), "asleep, and nobody has the lock");
            assert!(shared.raw.poll_lock(&mut wait_key, Waker::noop()).is_ready());
            shared.raw.unlock();
        }
        assert_eq!(shared.raw.word.load(Relaxed), 0);
    });
}

/// A look at the holder, while somebody has the lock, comes with word of the end of just that.
#[test]
fn whoever_has_seen_the_holder_is_told_when_it_gives_the_lock_back() {
    loom::model(|| {
        let shared = Guarded::new();
        assert!(shared.raw.try_lock());
        shared.raw.set_holder(TaskId::from_u64(1));
        let holder = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.add())
        };
        let tenure = shared.raw.tenure();
        let is_holder = tenure.is_some() && shared.raw.blockers(&WaitKey::new())[0] == TaskId::from_u64(1);
        holder.join().unwrap();
        assert!(!is_holder || tenure.is_some_and(|tenure| tenure.is_over()), "nobody has said so");
        shared.assert_idle(1);
    });
}
