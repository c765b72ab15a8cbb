//! Models of permits, by loom.

use std::sync::Arc;

use super::*;
use crate::base::sync::cell::UnsafeCell;
use loom::thread;

/// A noop waker will do: whether a wait is over shows at the next poll.
fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Returns true if the one with this key has nothing to wait for any more.
fn is_woken(permits: &Permits, wait_key: &WaitKey) -> bool {
    let key = wait_key.get().expect("it waits");
    lock(&permits.queue).find(key).is_none_or(|waiter| waiter.waker.is_none())
}

fn assert_idle(permits: &Permits, free: usize) {
    assert_eq!(permits.word.load(Relaxed), free * ONE, "somebody has left something behind");
    assert!(lock(&permits.queue).is_empty());
}

#[test]
fn who_has_the_only_permit_is_alone() {
    loom::model(|| {
        let shared = Arc::new((Permits::new(1), UnsafeCell::new(0)));
        let add = |shared: &(Permits, UnsafeCell<u32>)| {
            let mut wait_key = WaitKey::new();
            while shared.0.poll_acquire(&mut wait_key, 1, &mut cx()).is_pending() {
                thread::yield_now();
            }
            // SAFETY: loom's cell checks that nobody else is at it.
            shared.1.with_mut(|value| unsafe { *value += 1 });
            shared.0.release(1);
        };
        let other = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || add(&shared))
        };
        add(&shared);
        other.join().unwrap();
        // SAFETY: as above.
        shared.1.with(|value| assert_eq!(unsafe { *value }, 2));
        assert_idle(&shared.0, 1);
    });
}

#[test]
fn a_release_is_granted_to_whoever_has_come_to_wait() {
    loom::model(|| {
        let permits = Arc::new(Permits::new(1));
        let holder = {
            let permits = Arc::clone(&permits);
            thread::spawn(move || permits.release(1))
        };
        let mut wait_key = WaitKey::new();
        let first = permits.poll_acquire(&mut wait_key, 2, &mut cx());
        holder.join().unwrap();
        if first.is_pending() {
            assert!(is_woken(&permits, &wait_key), "asleep, and the permits are there");
            assert_eq!(permits.poll_acquire(&mut wait_key, 2, &mut cx()), Poll::Ready(Ok(())));
        }
        assert_idle(&permits, 0);
    });
}

/// One of two who wait gives up while a permit becomes free, before it has been granted that or after.
#[test]
fn whoever_gives_up_passes_its_permits_on() {
    loom::model(|| {
        let permits = Arc::new(Permits::new(0));
        let (mut a, mut b) = (WaitKey::new(), WaitKey::new());
        assert!(permits.poll_acquire(&mut a, 2, &mut cx()).is_pending());
        assert!(permits.poll_acquire(&mut b, 1, &mut cx()).is_pending());
        let holder = {
            let permits = Arc::clone(&permits);
            thread::spawn(move || permits.release(2))
        };
        permits.stop(&mut a, 2);
        holder.join().unwrap();
        assert!(is_woken(&permits, &b), "asleep, and there is a permit");
        assert_eq!(permits.poll_acquire(&mut b, 1, &mut cx()), Poll::Ready(Ok(())));
        assert_idle(&permits, 1);
    });
}

#[test]
fn a_close_ends_every_wait() {
    loom::model(|| {
        let permits = Arc::new(Permits::new(0));
        let closer = {
            let permits = Arc::clone(&permits);
            thread::spawn(move || permits.close())
        };
        let mut wait_key = WaitKey::new();
        let first = permits.poll_acquire(&mut wait_key, 1, &mut cx());
        closer.join().unwrap();
        if first.is_pending() {
            assert!(is_woken(&permits, &wait_key), "asleep, and nobody will come");
            assert_eq!(permits.poll_acquire(&mut wait_key, 1, &mut cx()), Poll::Ready(Err(Closed)));
        }
        assert_eq!(permits.word.load(Relaxed), CLOSED);
    });
}
