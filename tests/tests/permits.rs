//! Permits of semaphores: who gets them, and that none is lost or made.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use twoply_core::Wait;
use twoply_core::future::yield_now;
use twoply_core::sync::{AcquireError, Semaphore, TryAcquireError};
use twoply_tests::{Gate, Systems, eventually, laws};

laws! {
    everywhere {
        who_wants_many_is_passed_a_few_times_at_most,
        one_that_never_comes_for_its_permit_keeps_no_other_one,
        what_one_that_gives_up_was_given_goes_to_others,
        permits_are_neither_lost_nor_made,
        a_closed_semaphore_ends_every_wait,
    }
}

/// Polls a wait that nobody will wake.
fn poll<F: Future>(wait: &mut Pin<Box<F>>) -> Poll<F::Output> {
    wait.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn who_wants_many_is_passed_a_few_times_at_most(_: &Systems) {
    // Nobody passes by being polled again.
    let limit = Semaphore::new(1);
    let (mut large, mut small) = (Box::pin(limit.acquire_many(2)), Box::pin(limit.acquire()));
    assert!(poll(&mut large).is_pending() && poll(&mut small).is_pending());
    assert!(poll(&mut small).is_pending());
    drop((large, small));

    // Two take two permits each by turns, so there are never four.
    let limit = Semaphore::new(4);
    let mut held: VecDeque<_> = [(); 2].map(|()| limit.try_acquire_many(2).unwrap()).into();
    let mut large = Box::pin(limit.acquire_many(4));
    assert!(poll(&mut large).is_pending());
    let passed = (0..20).take_while(|_| {
        held.pop_front();
        limit.try_acquire_many(2).map(|again| held.push_back(again)).is_ok()
    });
    assert!(passed.count() < 20, "nobody passes for ever");
    drop(held);
    assert!(poll(&mut large).is_ready());
}

/// Acquires a permit, and opens `waits` when it waits for it.
async fn acquire_after(limit: Arc<Semaphore>, waits: Gate) {
    let mut acquire = Box::pin(limit.acquire());
    let acquired = poll_fn(|cx| {
        let polled = acquire.as_mut().poll(cx);
        waits.open();
        polled
    });
    drop(acquired.await.unwrap());
}

fn one_that_never_comes_for_its_permit_keeps_no_other_one(on: &Systems) {
    // It has been woken for one permit, and there is another one; or it gives up while there are too few.
    for (wants, added) in [(1, 2), (3, 1)] {
        let limit = Arc::new(Semaphore::new(0));
        let mut in_front = Box::pin(limit.acquire_many(wants));
        assert!(poll(&mut in_front).is_pending());
        let waits = Gate::new();
        let behind = on.here().spawn(acquire_after(Arc::clone(&limit), waits.clone()));
        waits.opened().wait();
        (0..added).for_each(|_| limit.add_permits(1));
        if added < wants {
            drop(in_front);
        }
        behind.wait().unwrap();
    }
}

fn what_one_that_gives_up_was_given_goes_to_others(on: &Systems) {
    // Permits that one has been woken for that never comes.
    let limit = Arc::new(Semaphore::new(0));
    let mut in_front = Box::pin(limit.acquire_many(2));
    assert!(poll(&mut in_front).is_pending());
    let behind = {
        let limit = Arc::clone(&limit);
        on.here().spawn(async move { limit.acquire().await.map(drop) })
    };
    limit.add_permits(2);
    assert_eq!(limit.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    drop(in_front);
    behind.wait().unwrap().unwrap();
    eventually("both permits are free", || limit.available_permits() == 2);

    // Permits that have been handed over to one that never comes, because more are free than it wants.
    let limit = Semaphore::new(0);
    let mut in_front = Box::pin(limit.acquire_many(2));
    assert!(poll(&mut in_front).is_pending());
    limit.add_permits(3);
    assert_eq!(limit.available_permits(), 1);
    drop(in_front);
    assert_eq!(limit.available_permits(), 3);
}

fn permits_are_neither_lost_nor_made(on: &Systems) {
    let limit = Arc::new(Semaphore::new(7));
    let mut one = limit.try_acquire().unwrap();
    let mut three = limit.try_acquire_many(3).unwrap();
    one.merge(three.split(2).unwrap());
    assert_eq!((one.count(), three.count(), limit.available_permits()), (3, 1, 3));
    assert!(one.split(4).is_none());
    one.merge(three);
    drop(one);
    assert_eq!(limit.available_permits(), 7);

    let mut one = Arc::clone(&limit).try_acquire_owned().unwrap();
    let mut three = Arc::clone(&limit).try_acquire_many_owned(3).unwrap();
    one.merge(three.split(2).unwrap());
    three.forget();
    let held = on.here().spawn(async move { one.count() });
    assert_eq!(held.wait().unwrap(), 3);
    assert_eq!(limit.available_permits(), 6);
    assert_eq!((limit.forget_permits(2), limit.forget_permits(9), limit.available_permits()), (2, 4, 0));

    let full = Semaphore::new(Semaphore::MAX_PERMITS);
    full.add_permits(1);
    assert_eq!(full.available_permits(), Semaphore::MAX_PERMITS);
}

fn a_closed_semaphore_ends_every_wait(on: &Systems) {
    let limit = Arc::new(Semaphore::new(1));
    let kept = limit.try_acquire().unwrap();
    let waiting = [1, 2, 3, 4].map(|count| {
        let limit = Arc::clone(&limit);
        on.here().spawn(async move { limit.acquire_many(count).await.map(drop) })
    });
    on.here().spawn(yield_now()).wait().unwrap();
    limit.close();
    for task in waiting {
        assert_eq!(task.wait().unwrap(), Err(AcquireError::Closed));
    }
    assert_eq!(limit.acquire().wait().map(drop), Err(AcquireError::Closed));
    assert_eq!(limit.try_acquire().map(drop), Err(TryAcquireError::Closed));
    assert_eq!(limit.acquire_many(usize::MAX).wait().map(drop), Err(AcquireError::TooMany));
    drop(kept);
    assert_eq!(limit.available_permits(), 1);
}
