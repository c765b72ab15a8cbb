//! Models of permits, by loom.

use std::sync::Arc;

use super::*;
use crate::base::sync::cell::UnsafeCell;
use crate::kernel::coop::BUDGET;
use crate::kernel::strand::with_state;
use loom::thread;

/// Polls with a whole budget, which the model does not know of. A noop waker will do: whether a wait is over
/// shows at the next poll.
fn poll(permits: &Permits, wait_key: &mut WaitKey, count: usize) -> Poll<Result<(), Closed>> {
    with_state(|state| state.budget().set(BUDGET));
    permits.poll_acquire(wait_key, count, &mut Context::from_waker(Waker::noop()))
}

/// Returns true if the one with this key has nothing to wait for any more.
fn is_woken(permits: &Permits, wait_key: &WaitKey) -> bool {
    let key = wait_key.get().expect("it waits");
    permits.queue.lock().waiters.find(key).is_none_or(|waiter| waiter.waker.is_none())
}

fn assert_idle(permits: &Permits, free: usize) {
    assert_eq!(permits.word.load(Relaxed), free * ONE, "somebody has left something behind");
    assert!(permits.queue.lock().waiters.is_empty());
}

/// Starts somebody who gives a permit back, and takes it again and gives it back if it is still there.
fn release_and_retake(permits: &Arc<Permits>) -> thread::JoinHandle<()> {
    let permits = Arc::clone(permits);
    thread::spawn(move || {
        permits.release(1);
        if permits.try_acquire(1) == Some(Ok(())) {
            permits.release(1);
        }
    })
}

#[test]
fn who_has_the_only_permit_is_alone() {
    loom::model(|| {
        let shared = Arc::new((Permits::new(1), UnsafeCell::new(0)));
        let add = |shared: &(Permits, UnsafeCell<u32>)| {
            let mut wait_key = WaitKey::new();
            while poll(&shared.0, &mut wait_key, 1).is_pending() {
                while !is_woken(&shared.0, &wait_key) {
                    thread::yield_now();
                }
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
        let first = poll(&permits, &mut wait_key, 2);
        holder.join().unwrap();
        if first.is_pending() {
            assert!(is_woken(&permits, &wait_key), "asleep, and the permits are there");
            assert_eq!(poll(&permits, &mut wait_key, 2), Poll::Ready(Ok(())));
        }
        assert_idle(&permits, 0);
    });
}

/// The one that is woken for a permit may come too late: then it waits again, and is woken again.
#[test]
fn a_permit_that_is_taken_ahead_of_who_waits_comes_back_to_it() {
    loom::model(|| {
        let permits = Arc::new(Permits::new(0));
        let mut wait_key = WaitKey::new();
        assert!(poll(&permits, &mut wait_key, 1).is_pending());
        let holder = release_and_retake(&permits);
        let first = poll(&permits, &mut wait_key, 1);
        holder.join().unwrap();
        if first.is_pending() {
            assert!(is_woken(&permits, &wait_key), "asleep, and there is a permit");
            assert_eq!(poll(&permits, &mut wait_key, 1), Poll::Ready(Ok(())));
        }
        assert_idle(&permits, 0);
    });
}

/// One that has been woken gives up, while others take the permit and give it back.
#[test]
fn whoever_gives_up_on_its_way_has_the_next_one_woken() {
    loom::model(|| {
        let permits = Arc::new(Permits::new(0));
        let (mut a, mut b) = (WaitKey::new(), WaitKey::new());
        assert!(poll(&permits, &mut a, 1).is_pending());
        assert!(poll(&permits, &mut b, 1).is_pending());
        let holder = release_and_retake(&permits);
        permits.stop(&mut a, 1);
        holder.join().unwrap();
        assert!(is_woken(&permits, &b), "asleep, and there is a permit");
        assert_eq!(poll(&permits, &mut b, 1), Poll::Ready(Ok(())));
        assert_idle(&permits, 0);
    });
}

/// One of two who wait gives up while a permit becomes free, before it has been granted that or after.
#[test]
fn whoever_gives_up_passes_its_permits_on() {
    loom::model(|| {
        let permits = Arc::new(Permits::new(0));
        let (mut a, mut b) = (WaitKey::new(), WaitKey::new());
        assert!(poll(&permits, &mut a, 2).is_pending());
        assert!(poll(&permits, &mut b, 1).is_pending());
        let holder = {
            let permits = Arc::clone(&permits);
            thread::spawn(move || permits.release(2))
        };
        permits.stop(&mut a, 2);
        holder.join().unwrap();
        assert!(is_woken(&permits, &b), "asleep, and there is a permit");
        assert_eq!(poll(&permits, &mut b, 1), Poll::Ready(Ok(())));
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
        let first = poll(&permits, &mut wait_key, 1);
        closer.join().unwrap();
        if first.is_pending() {
            assert!(is_woken(&permits, &wait_key), "asleep, and nobody will come");
            assert_eq!(poll(&permits, &mut wait_key, 1), Poll::Ready(Err(Closed)));
        }
        assert_eq!(permits.word.load(Relaxed), CLOSED);
    });
}
