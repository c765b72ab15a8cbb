//! Mutexes, read-write locks and semaphores: who has them, who gets them next, and what a guard that is held
//! stops.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::future::yield_now;
use twoply_core::sync::{
    LockError, MappedGuard, Mutex, MutexGuard, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard,
    RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore,
};
use twoply_core::task::Task;
use twoply_core::time::timeout;
use twoply_tests::{Gate, Systems, laws};

laws! {
    and_mixed {
        one_task_at_a_time_has_a_mutex,
        readers_never_see_half_a_change,
        no_more_tasks_than_permits_are_inside,
    }
    everywhere {
        a_guard_that_is_held_across_a_wait_stops_no_worker,
        a_mutex_that_is_taken_again_and_again_starves_nobody,
        a_permit_that_is_taken_again_and_again_starves_nobody,
        who_waits_is_passed_a_few_times_at_most,
        readers_that_come_again_and_again_starve_no_writer,
        small_requests_starve_no_large_one,
        a_wait_that_is_given_up_keeps_nobody_from_the_lock,
        a_lock_that_is_handed_over_to_nobody_goes_on,
        a_cancelled_task_gives_its_lock_back,
        a_panic_gives_the_lock_back_and_poisons_what_asks_for_it,
        a_cancellation_poisons_nothing,
        a_panic_that_began_before_the_lock_poisons_nothing,
        a_downgraded_writer_lets_readers_in_and_no_writer,
        a_guard_of_a_part_keeps_the_whole_locked,
    }
}

/// Starts `count` tasks by turns here and there.
fn crowd<F, T>(on: &Systems, count: usize, mut task: impl FnMut(usize) -> F) -> Vec<Task<T>>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let start = |n| if n % 2 == 0 { on.here().spawn(task(n)) } else { on.there().spawn(task(n)) };
    (0..count).map(start).collect()
}

fn finish(tasks: Vec<Task<()>>) {
    tasks.into_iter().for_each(|task| task.wait().unwrap());
}

fn one_task_at_a_time_has_a_mutex(on: &Systems) {
    const ROUNDS: usize = 100;
    let sum = Arc::new(Mutex::new(0));
    finish(crowd(on, 6, |n| {
        let sum = Arc::clone(&sum);
        async move {
            for round in 0..ROUNDS {
                // Both finishers, and both kinds of guards.
                let mut inside = match (n + round) % 3 {
                    0 => sum.lock().await,
                    1 => sum.lock().wait(),
                    _ => {
                        let mut inside = Arc::clone(&sum).lock_owned().await;
                        let before = *inside;
                        yield_now().await;
                        *inside = before + 1;
                        continue;
                    }
                };
                let before = *inside;
                yield_now().await;
                *inside = before + 1;
            }
        }
    }));
    assert_eq!(*sum.try_lock().unwrap(), 6 * ROUNDS);
}

fn readers_never_see_half_a_change(on: &Systems) {
    const ROUNDS: usize = 60;
    let pair = Arc::new(RwLock::new((0, 0)));
    finish(crowd(on, 6, |n| {
        let pair = Arc::clone(&pair);
        async move {
            for round in 0..ROUNDS {
                if (n + round) % 3 == 0 {
                    let mut both = pair.write().await;
                    both.0 += 1;
                    yield_now().await;
                    both.1 += 1;
                } else {
                    let both = pair.read().wait();
                    let first = both.0;
                    yield_now().await;
                    assert_eq!((first, first), *both);
                }
            }
        }
    }));
    let both = *pair.try_read().unwrap();
    assert_eq!(both, (6 * ROUNDS / 3, 6 * ROUNDS / 3));
}

fn no_more_tasks_than_permits_are_inside(on: &Systems) {
    const PERMITS: usize = 5;
    let (limit, inside) = (Arc::new(Semaphore::new(PERMITS)), Arc::new(AtomicUsize::new(0)));
    finish(crowd(on, 6, |n| {
        let (limit, inside) = (Arc::clone(&limit), Arc::clone(&inside));
        async move {
            for round in 0..60 {
                let count = 1 + (n + round) % 3;
                let permits = limit.acquire_many(count).await.unwrap();
                assert!(inside.fetch_add(count, Ordering::SeqCst) + count <= PERMITS);
                yield_now().await;
                inside.fetch_sub(count, Ordering::SeqCst);
                drop(permits);
            }
        }
    }));
    assert_eq!(limit.available_permits(), PERMITS);
}

fn a_guard_that_is_held_across_a_wait_stops_no_worker(on: &Systems) {
    let mutex = Arc::new(Mutex::new(0));
    let (held, go) = (Gate::new(), Gate::new());
    let holder = {
        let (mutex, held, go) = (Arc::clone(&mutex), held.clone(), go.clone());
        on.here().spawn_fn(move || {
            let mut guard = mutex.lock().wait();
            held.open();
            go.opened().wait();
            *guard += 1;
        })
    };
    held.opened().wait();
    let blocked: Vec<_> = (0..3)
        .map(|_| {
            let mutex = Arc::clone(&mutex);
            on.here().spawn_fn(move || *mutex.lock().wait() += 1)
        })
        .collect();
    // All of them are there, and stand in straight-line code; others run all the same.
    for _ in 0..10 {
        on.here().spawn(yield_now()).wait().unwrap();
    }
    go.open();
    holder.wait().unwrap();
    finish(blocked);
    assert_eq!(*mutex.try_lock().unwrap(), 4);
}

/// Takes what `take` waits for, lets others run, and gives it back. Returns whether that is enough.
async fn insist<G>(done: &AtomicBool, take: impl Future<Output = G>) -> bool {
    let guard = take.await;
    yield_now().await;
    drop(guard);
    done.load(Ordering::SeqCst)
}

fn a_mutex_that_is_taken_again_and_again_starves_nobody(on: &Systems) {
    let (mutex, done) = (Arc::new(Mutex::new(())), Arc::new(AtomicBool::new(false)));
    let greedy = {
        let (mutex, done) = (Arc::clone(&mutex), Arc::clone(&done));
        on.here().spawn(async move { while !insist(&done, mutex.lock()).await {} })
    };
    let patient = crowd(on, 3, |_| {
        let mutex = Arc::clone(&mutex);
        async move {
            for _ in 0..3 {
                drop(mutex.lock().await);
            }
        }
    });
    finish(patient);
    done.store(true, Ordering::SeqCst);
    greedy.wait().unwrap();
}

/// As a mutex, and so is a lock that all want to write to.
fn a_permit_that_is_taken_again_and_again_starves_nobody(on: &Systems) {
    let done = Arc::new(AtomicBool::new(false));
    let (limit, lock) = (Arc::new(Semaphore::new(1)), Arc::new(RwLock::new(())));
    let greedy = crowd(on, 2, |n| {
        let (limit, lock, done) = (Arc::clone(&limit), Arc::clone(&lock), Arc::clone(&done));
        async move {
            match n {
                0 => while !insist(&done, limit.acquire()).await {},
                _ => while !insist(&done, lock.write()).await {},
            }
        }
    });
    let patient = crowd(on, 3, |_| {
        let (limit, lock) = (Arc::clone(&limit), Arc::clone(&lock));
        async move {
            for _ in 0..3 {
                drop(limit.acquire().await.unwrap());
                drop(lock.write().await);
            }
        }
    });
    finish(patient);
    done.store(true, Ordering::SeqCst);
    finish(greedy);
}

/// Returns how often the lock is taken ahead of one that waits for it, and comes as often as it is woken.
fn overtaken<G, H>(mut take: impl FnMut() -> Option<G>, wait: impl Future<Output = H>) -> usize {
    let mut wait = Box::pin(wait);
    let mut guard = take();
    let mut times = 0;
    loop {
        assert!(poll(&mut wait).is_pending());
        drop(guard.take());
        guard = take();
        if guard.is_none() {
            assert!(poll(&mut wait).is_ready(), "nobody has it");
            return times;
        }
        times += 1;
    }
}

fn who_waits_is_passed_a_few_times_at_most(_: &Systems) {
    let (mutex, lock, limit) = (Mutex::new(()), RwLock::new(()), Semaphore::new(1));
    let each = [
        overtaken(|| mutex.try_lock(), mutex.lock()),
        overtaken(|| lock.try_write(), lock.write()),
        overtaken(|| limit.try_acquire().ok(), limit.acquire()),
    ];
    assert!(each.iter().all(|times| (1..=4).contains(times)), "{each:?}");
    // A reader never passes a writer, and two who want one permit never pass one who wants both.
    let first = lock.read().wait();
    let mut writer = Box::pin(lock.write());
    assert!(poll(&mut writer).is_pending());
    assert!(lock.try_read().is_none());
    drop(first);
    assert!(lock.try_read().is_none(), "the writer has been woken");
    assert!(poll(&mut writer).is_ready());
}

fn readers_that_come_again_and_again_starve_no_writer(on: &Systems) {
    let (lock, done) = (Arc::new(RwLock::new(0)), Arc::new(AtomicBool::new(false)));
    // While one of them lets others run, the other one reads.
    let readers = crowd(on, 2, |_| {
        let (lock, done) = (Arc::clone(&lock), Arc::clone(&done));
        async move { while !insist(&done, lock.read()).await {} }
    });
    let writer = {
        let lock = Arc::clone(&lock);
        on.here().spawn(async move { *lock.write().await += 1 })
    };
    writer.wait().unwrap();
    done.store(true, Ordering::SeqCst);
    finish(readers);
    assert_eq!(*lock.try_read().unwrap(), 1);
}

fn small_requests_starve_no_large_one(on: &Systems) {
    let (limit, done) = (Arc::new(Semaphore::new(2)), Arc::new(AtomicBool::new(false)));
    let small = crowd(on, 2, |_| {
        let (limit, done) = (Arc::clone(&limit), Arc::clone(&done));
        async move { while !insist(&done, limit.acquire()).await {} }
    });
    let large = {
        let limit = Arc::clone(&limit);
        on.here().spawn(async move { limit.acquire_many(2).await.unwrap().count() })
    };
    assert_eq!(large.wait().unwrap(), 2);
    done.store(true, Ordering::SeqCst);
    finish(small);
}

/// Polls a wait that nobody will wake.
fn poll<F: Future>(wait: &mut Pin<Box<F>>) -> Poll<F::Output> {
    wait.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn a_wait_that_is_given_up_keeps_nobody_from_the_lock(on: &Systems) {
    let mutex = Arc::new(Mutex::new(0));
    let guard = mutex.try_lock().unwrap();
    // It is in front, it is woken, and it never comes.
    let mut in_front = Box::pin(mutex.lock());
    assert!(poll(&mut in_front).is_pending());
    let behind = {
        let mutex = Arc::clone(&mutex);
        on.here().spawn(async move { *mutex.lock().await += 1 })
    };
    let limited = {
        let mutex = Arc::clone(&mutex);
        on.here().spawn(async move { timeout(Duration::from_millis(1), mutex.lock()).await.is_err() })
    };
    assert!(limited.wait().unwrap());
    drop(guard);
    drop(in_front);
    behind.wait().unwrap();
}

fn a_lock_that_is_handed_over_to_nobody_goes_on(on: &Systems) {
    let mutex = Arc::new(Mutex::new(0));
    let mut guard = mutex.try_lock();
    let mut in_front = Box::pin(mutex.lock());
    assert!(poll(&mut in_front).is_pending());
    // It is woken and comes too late, until the lock is handed over to it.
    for _ in 0..20 {
        drop(guard);
        guard = mutex.try_lock();
        if guard.is_none() {
            break;
        }
        assert!(poll(&mut in_front).is_pending());
    }
    assert!(guard.is_none(), "it is handed over some time");
    let behind = {
        let mutex = Arc::clone(&mutex);
        on.here().spawn(async move { *mutex.lock().await += 1 })
    };
    drop(in_front);
    behind.wait().unwrap();
    assert_eq!(*mutex.lock().wait(), 1);
}

fn a_cancelled_task_gives_its_lock_back(on: &Systems) {
    let mutex = Arc::new(Mutex::new(()));
    for blocks in [false, true] {
        let held = Gate::new();
        let holder = {
            let (mutex, held, never) = (Arc::clone(&mutex), held.clone(), Gate::new());
            on.here().spawn(async move {
                let _guard = mutex.lock().await;
                held.open();
                match blocks {
                    true => never.opened().wait(),
                    false => never.opened().await,
                }
            })
        };
        held.opened().wait();
        holder.cancel();
        drop(mutex.lock().wait());
        assert!(holder.wait().unwrap_err().is_cancelled());
    }
}

fn a_panic_gives_the_lock_back_and_poisons_what_asks_for_it(on: &Systems) {
    let forgiving = Arc::new(Mutex::new(0));
    let strict = Arc::new(Mutex::poisoning(0));
    for mutex in [&forgiving, &strict] {
        let mutex = Arc::clone(mutex);
        let task = on.here().spawn(async move {
            let mut guard = mutex.lock().await;
            *guard += 1;
            yield_now().await;
            std::panic::resume_unwind(Box::new("expected"));
        });
        assert!(task.wait().unwrap_err().is_panic());
    }
    assert_eq!(*forgiving.lock().wait(), 1);
    assert!(strict.is_poisoned());
    let refused = |lock: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(lock)).is_err());
    refused(&|| drop(strict.lock().wait()));
    refused(&|| drop(Arc::clone(&strict).lock_owned().wait()));
    refused(&|| drop(strict.try_lock()));
    match strict.lock().checked().wait() {
        Err(LockError::Poisoned(mut value)) => {
            assert!(strict.try_lock().is_none(), "the lock comes with the error");
            *value = 7;
            MutexGuard::mutex(&value).clear_poison();
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(*strict.lock().wait(), 7);
    refused(&|| {
        let _guard = strict.lock().wait();
        std::panic::resume_unwind(Box::new("expected"));
    });
    match Arc::clone(&strict).lock_owned().checked().wait() {
        Err(LockError::Poisoned(value)) => {
            assert!(strict.try_lock().is_none(), "the lock comes with the error");
            OwnedMutexGuard::mutex(&value).clear_poison();
        }
        other => panic!("{other:?}"),
    }
    assert!(Arc::clone(&strict).lock_owned().checked().wait().is_ok_and(|value| *value == 7));
}

fn a_cancellation_poisons_nothing(on: &Systems) {
    let (mutex, held) = (Arc::new(Mutex::poisoning(0)), Gate::new());
    let holder = {
        let (mutex, held) = (Arc::clone(&mutex), held.clone());
        on.here().spawn_fn(move || {
            let _guard = mutex.lock().wait();
            held.open();
            Gate::new().opened().wait();
        })
    };
    held.opened().wait();
    holder.cancel();
    assert!(holder.wait().unwrap_err().is_cancelled());
    assert!(!mutex.is_poisoned());
    assert_eq!(*mutex.lock().wait(), 0);
}

/// Locks a mutex where it is dropped.
struct LocksAtTheEnd(Arc<Mutex<u32>>);

impl Drop for LocksAtTheEnd {
    fn drop(&mut self) {
        *self.0.lock().wait() += 1;
    }
}

fn a_panic_that_began_before_the_lock_poisons_nothing(on: &Systems) {
    let mutex = Arc::new(Mutex::poisoning(0));
    let at_the_end = LocksAtTheEnd(Arc::clone(&mutex));
    let task = on.here().spawn(async move {
        let _at_the_end = at_the_end;
        std::panic::resume_unwind(Box::new("expected"));
    });
    assert!(task.wait().unwrap_err().is_panic());
    assert_eq!(*mutex.lock().wait(), 1, "it is not poisoned");
}

fn a_downgraded_writer_lets_readers_in_and_no_writer(on: &Systems) {
    let lock = Arc::new(RwLock::new(0));
    for owned in [false, true] {
        let read = Gate::new();
        let reader = |lock: &Arc<RwLock<u32>>| {
            let (lock, read) = (Arc::clone(lock), read.clone());
            on.here().spawn(async move {
                let value = *lock.read().await;
                read.open();
                value
            })
        };
        let check = |reader: Task<u32>| {
            read.opened().wait();
            assert_eq!(reader.wait().unwrap(), *lock.try_read().unwrap());
            assert!(lock.try_write().is_none());
        };
        if owned {
            let mut writer = Arc::clone(&lock).write_owned().wait();
            let waiting = reader(&lock);
            *writer += 1;
            let _reader = OwnedRwLockWriteGuard::downgrade(writer);
            check(waiting);
        } else {
            let mut writer = lock.write().wait();
            let waiting = reader(&lock);
            *writer += 1;
            let _reader = RwLockWriteGuard::downgrade(writer);
            check(waiting);
        }
        assert!(lock.try_write().is_some(), "nothing is left behind");
    }
    assert_eq!(*lock.try_read().unwrap(), 2);
}

#[test]
fn a_lock_that_nobody_has_waited_for_fits_a_cache_line() {
    assert!(size_of::<Mutex<u64>>() <= 48);
    assert!(size_of::<RwLock<u64>>() <= 64);
    assert!(size_of::<Semaphore>() <= 64);
}

fn a_guard_of_a_part_keeps_the_whole_locked(on: &Systems) {
    let mutex = Arc::new(Mutex::new((1, String::from("a"))));
    // It goes to another task, and across a wait.
    let part = OwnedMutexGuard::map(Arc::clone(&mutex).lock_owned().wait(), |(_, text)| text);
    assert!(mutex.try_lock().is_none());
    let changer = on.there().spawn(async move {
        let mut part = part;
        yield_now().await;
        part.push('b');
        MappedGuard::unmap(part).0 += 1;
    });
    changer.wait().unwrap();
    assert_eq!(*mutex.try_lock().unwrap(), (2, String::from("ab")));

    let none = MutexGuard::try_map(mutex.lock().wait(), |(number, _)| Some(number).filter(|n| **n > 2));
    assert_eq!(none.unwrap_err().0, 2, "the guard comes back, with the lock");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        drop(MutexGuard::map(mutex.lock().wait(), |_| -> &mut u8 { panic!("no part") }));
    }));
    assert!(panicked.is_err());
    assert!(mutex.try_lock().is_some(), "a panic gives the lock back");

    let lock = Arc::new(RwLock::new([1, 2]));
    let reader = RwLockReadGuard::map(lock.read().wait(), |[first, _]| first);
    let other = OwnedRwLockReadGuard::map(Arc::clone(&lock).read_owned().wait(), |[_, second]| second);
    assert_eq!(*reader + *other, 3);
    drop(reader);
    assert!(lock.try_write().is_none(), "the other one reads");
    drop(other);
    *RwLockWriteGuard::map(lock.write().wait(), |[first, _]| first) += 10;
    *OwnedRwLockWriteGuard::map(Arc::clone(&lock).write_owned().wait(), |[_, second]| second) += 10;
    assert_eq!(*lock.try_write().unwrap(), [11, 12]);
}
