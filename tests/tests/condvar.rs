//! Waiting for a change of what a mutex guards: no wake-up is lost, and whoever gives up holds nothing.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use twoply_core::Wait;
use twoply_core::future::{OneOf, select, yield_now};
use twoply_core::sync::{Condvar, Mutex};
use twoply_core::task::Task;
use twoply_tests::{Systems, laws};

laws! {
    and_mixed {
        every_job_is_taken_by_one_of_those_who_wait_for_it,
    }
    everywhere {
        a_wait_unlocks_at_once_and_locks_again,
        a_wait_with_an_owned_guard_is_like_any_other,
        who_gives_up_passes_its_wake_up_on,
        nothing_is_stored_for_those_who_come_later,
        who_is_cancelled_does_not_keep_the_lock,
    }
}

/// Polls `future` once, with a waker that does nothing.
fn is_ready<F: Future + Unpin>(future: &mut F) -> bool {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn every_job_is_taken_by_one_of_those_who_wait_for_it(on: &Systems) {
    const JOBS: usize = 200;
    const WORKERS: usize = 4;
    let shared = Arc::new((Mutex::new(VecDeque::new()), Condvar::new()));
    let workers: Vec<Task<Vec<usize>>> = (0..WORKERS)
        .map(|n| {
            let shared = Arc::clone(&shared);
            let work = async move {
                let (jobs, added) = &*shared;
                let mut done = Vec::new();
                loop {
                    let waits = async {
                        let mut jobs = added.wait_while(jobs.lock().await, |jobs| jobs.is_empty()).await;
                        jobs.pop_front()
                    };
                    let patience = async {
                        for _ in 0..=n {
                            yield_now().await;
                        }
                        if n % 2 == 0 {
                            std::future::pending().await
                        }
                    };
                    // Half of them give up all the time, and pass on what they were woken for.
                    match select((waits, patience)).biased().await {
                        OneOf::First(Some(Some(job))) => done.push(job),
                        OneOf::First(Some(None)) => return done,
                        OneOf::First(None) => unreachable!("there is one"),
                        OneOf::Second(()) => {}
                    }
                }
            };
            if n % 2 == 0 { on.here().spawn(work) } else { on.there().spawn_fn(move || work.wait()) }
        })
        .collect();
    let adder = on.there().spawn(async move {
        let (jobs, added) = &*shared;
        for job in (0..JOBS).map(Some).chain([None; WORKERS]) {
            jobs.lock().await.push_back(job);
            added.notify_one();
            if job.is_some_and(|job| job % 5 == 0) {
                yield_now().await;
            }
        }
    });
    adder.wait().unwrap();
    let mut done: Vec<usize> = workers.into_iter().flat_map(|worker| worker.wait().unwrap()).collect();
    done.sort_unstable();
    assert_eq!(done, (0..JOBS).collect::<Vec<_>>());
}

fn a_wait_unlocks_at_once_and_locks_again(on: &Systems) {
    let check = async {
        let (mutex, changed) = (Mutex::new(1), Condvar::new());
        let mut wait = changed.wait(mutex.lock().await);
        // Never polled, and in line all the same.
        *mutex.try_lock().expect("the wait has unlocked it") += 1;
        changed.notify_one();
        let guard = mutex.lock().await;
        assert!(!is_ready(&mut wait), "it is woken, and somebody else has the lock");
        drop(guard);
        assert_eq!(*wait.await, 2);
        let guard = changed.wait_while(mutex.lock().await, |value| *value == 0).await;
        assert!(mutex.try_lock().is_none());
        drop(guard);
    };
    on.here().spawn(check).wait().unwrap();
}

fn a_wait_with_an_owned_guard_is_like_any_other(on: &Systems) {
    let shared = Arc::new((Arc::new(Mutex::new(0)), Condvar::new()));
    let other = Arc::clone(&shared);
    let (begun, begins) = twoply_core::channel::oneshot();
    let waiter = on.here().spawn(async move {
        let mut guard = Arc::clone(&other.0).lock_owned().await;
        *guard += 1;
        begun.send(()).unwrap();
        other.1.wait_while(guard, |value| *value < 2).await
    });
    begins.wait().unwrap();
    // It can be had only while the task waits.
    let mut wait = shared.1.wait(Arc::clone(&shared.0).lock_owned().wait());
    *shared.0.try_lock().expect("the wait has unlocked it") += 1;
    shared.1.notify_one();
    let guard = waiter.wait().unwrap();
    assert_eq!(*guard, 2);
    shared.1.notify_one();
    assert!(!is_ready(&mut wait), "it is woken, and somebody else has the lock");
    let next = shared.1.wait(guard);
    // Who gives up passes it on, and does not keep the lock.
    drop(wait);
    drop(next.wait());
    assert!(shared.0.try_lock().is_some());
}

fn who_gives_up_passes_its_wake_up_on(on: &Systems) {
    let check = async {
        let (mutex, changed) = (Mutex::new(()), Condvar::new());
        let mut waits = Vec::new();
        for _ in 0..3 {
            waits.push(changed.wait(mutex.lock().await));
        }
        changed.notify_one();
        // Woken, and not polled since.
        drop(waits.remove(0));
        // Woken, and waiting for the lock.
        let guard = mutex.lock().await;
        assert!(!is_ready(&mut waits[0]));
        drop(waits.remove(0));
        drop(guard);
        drop(waits.remove(0).await);
    };
    on.here().spawn(check).wait().unwrap();
}

fn nothing_is_stored_for_those_who_come_later(on: &Systems) {
    let check = async {
        let (mutex, changed) = (Mutex::new(()), Condvar::new());
        changed.notify_one();
        changed.notify_all();
        let mut wait = changed.wait(mutex.lock().await);
        assert!(!is_ready(&mut wait));
        changed.notify_one();
        drop(wait);
        let mut wait = changed.wait(mutex.lock().await);
        assert!(!is_ready(&mut wait), "nobody was there to pass it on to");
        changed.notify_all();
        drop(wait.await);
    };
    on.here().spawn(check).wait().unwrap();
}

fn who_is_cancelled_does_not_keep_the_lock(on: &Systems) {
    for straight_line in [false, true] {
        let shared = Arc::new((Mutex::new(0), Condvar::new()));
        let other = Arc::clone(&shared);
        let (begun, begins) = twoply_core::channel::oneshot();
        let wait = async move {
            let mut guard = other.0.lock().await;
            *guard += 1;
            begun.send(()).unwrap();
            drop(other.1.wait_while(guard, |_| true).await);
        };
        let task = match straight_line {
            false => on.here().spawn(wait),
            true => on.here().spawn_fn(move || wait.wait()),
        };
        begins.wait().unwrap();
        // It can be had only while the task waits.
        assert_eq!(*shared.0.lock().wait(), 1);
        task.cancel();
        assert!(task.wait().unwrap_err().is_cancelled());
        assert_eq!(*shared.0.lock().wait(), 1);
    }
}
