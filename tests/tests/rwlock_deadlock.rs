//! Waiting in a circle for read-write locks, and by guards that are said to stay: found where it is, and
//! nowhere else.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use twoply_core::sync::{
    LockError, Mutex, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockReadGuard,
    RwLockWriteGuard,
};
use twoply_core::task::{self, Builder, Task};
use twoply_core::time::{sleep, timeout};
use twoply_core::{Wait, channel, promise};
use twoply_tests::{Gate, Systems, laws, start_named};

laws! {
    and_mixed {
        a_reader_that_wants_to_write_is_told,
        a_writer_that_wants_to_read_is_told,
        each_of_two_readers_that_want_to_write_is_told,
        a_writer_is_told_of_a_circle_through_any_of_the_readers,
        a_circle_of_two_locks_is_told_whoever_closes_it,
        a_second_read_behind_a_writer_that_waits_is_told,
        a_writer_that_waits_is_known_by_the_task_that_it_has_come_to,
    }
    everywhere {
        a_wait_that_panics_for_a_deadlock_says_who,
        an_owned_guard_that_is_said_to_stay_is_known,
        who_waits_for_an_owned_guard_may_be_told,
        readers_that_go_close_no_circle,
        a_second_read_behind_a_writer_that_gives_up_comes_out,
        a_reader_that_hands_its_guard_on_closes_no_circle,
        readers_of_one_lock_and_a_writer_of_another_close_no_circle,
    }
}

/// How long what is not found is given.
const A_WHILE: Duration = Duration::from_millis(20);

/// Both ways to wait.
const STRAIGHT: [bool; 2] = [false, true];

/// What a task that has waited for a lock was told, if it was told of a circle.
type Told = Option<String>;

fn told<G>(result: Result<G, LockError<G>>) -> Told {
    match result {
        Ok(_) => None,
        Err(LockError::Deadlock(cycle)) => Some(cycle.to_string()),
        Err(other) => panic!("{other}"),
    }
}

/// The only circle that anybody was told of.
fn the_circle(tasks: Vec<Task<Told>>) -> String {
    let mut told = tasks.into_iter().filter_map(|task| task.wait().unwrap());
    let cycle = told.next().expect("nobody is told");
    assert_eq!(told.next(), None, "two are told");
    cycle
}

fn a_reader_that_wants_to_write_is_told(on: &Systems) {
    for straight in STRAIGHT {
        let lock = Arc::new(RwLock::new(0));
        let task = {
            let lock = Arc::clone(&lock);
            start_named(on.here(), straight, "narcissus", async move {
                let _reader = lock.read().await;
                told(lock.write().checked().await)
            })
        };
        assert_eq!(the_circle(vec![task]), "narcissus -> narcissus");
        assert!(lock.try_write().is_some());
    }
}

fn a_writer_that_wants_to_read_is_told(on: &Systems) {
    for straight in STRAIGHT {
        let lock = Arc::new(RwLock::new(0));
        let task = start_named(on.here(), straight, "narcissus", async move {
            let _writer = lock.write().await;
            told(lock.read().checked().await)
        });
        assert_eq!(the_circle(vec![task]), "narcissus -> narcissus");
    }
}

fn each_of_two_readers_that_want_to_write_is_told(on: &Systems) {
    for straight in STRAIGHT {
        let lock = Arc::new(RwLock::new(0));
        let (ready, is_ready) = channel::unbounded();
        let go = Gate::new();
        let tasks = [(on.here(), "ann"), (on.there(), "bob")].map(|(system, name)| {
            let (lock, ready, go) = (Arc::clone(&lock), ready.clone(), go.clone());
            let task = start_named(system, straight, name, async move {
                let reader = lock.read().await;
                ready.send(()).await.unwrap();
                go.opened().await;
                let told = told(lock.write().checked().await);
                drop(reader);
                told
            });
            // They come one by one: of two that come at once one may be unknown.
            is_ready.recv().wait().unwrap();
            task
        });
        go.open();
        tasks.into_iter().for_each(|task| assert!(task.wait().unwrap().is_some(), "one is not told"));
        assert!(lock.try_write().is_some(), "the lock is left behind");
    }
}

/// Reads the lock and, when all do, waits: one of the readers for the mutex that the writer has locked, the
/// others for the end.
fn a_writer_is_told_of_a_circle_through_any_of_the_readers(on: &Systems) {
    for (straight, guilty) in [(false, 0), (false, 1), (true, 2)] {
        let (lock, mutex) = (Arc::new(RwLock::new(0)), Arc::new(Mutex::new(0)));
        let (ready, all_ready) = channel::unbounded();
        let [go, end] = [Gate::new(), Gate::new()];
        let waited_for = promise::pair::<()>();
        let (never, resolver) = waited_for;
        let mut tasks: Vec<_> = (0..3)
            .map(|n| {
                let (lock, mutex, ready) = (Arc::clone(&lock), Arc::clone(&mutex), ready.clone());
                let (go, end, never) = (go.clone(), end.clone(), never.clone());
                start_named(on.here(), straight, ["ann", "bob", "cid"][n], async move {
                    let _reader = lock.read().await;
                    ready.send(()).await.unwrap();
                    go.opened().await;
                    if n == guilty {
                        return told(mutex.lock().checked().await);
                    }
                    // One of the others waits for somebody who is known, too.
                    match n % 2 {
                        0 => drop(never.await),
                        _ => end.opened().await,
                    }
                    None
                })
            })
            .collect();
        // It owes what it is waited for, and waits for nobody.
        let owing = {
            let end = end.clone();
            start_named(on.there(), straight, "dan", async move {
                resolver.set_current_owner();
                end.opened().await;
                resolver.resolve(()).unwrap();
            })
        };
        tasks.push({
            let ready = ready.clone();
            let go = go.clone();
            start_named(on.there(), straight, "eve", async move {
                let _locked = mutex.lock().await;
                ready.send(()).await.unwrap();
                go.opened().await;
                told(lock.write().checked().await)
            })
        });
        (0..4).for_each(|_| all_ready.recv().wait().unwrap());
        go.open();
        // Whoever is told ends; the writer may have to wait for the others then.
        let (guilty, writer) = (tasks.remove(guilty), tasks.pop().unwrap());
        while !guilty.is_finished() && !writer.is_finished() {
            sleep(Duration::from_millis(1)).wait();
        }
        end.open();
        tasks.into_iter().for_each(|task| drop(task.wait().unwrap()));
        owing.wait().unwrap();
        let cycle = the_circle(vec![guilty, writer]);
        assert!(cycle.matches("eve").count() >= 1 && cycle.split(" -> ").count() == 3, "{cycle}");
    }
}

/// Ann reads the one and wants to write the other, which Bob writes, who wants to read or write the first.
fn a_circle_of_two_locks_is_told_whoever_closes_it(on: &Systems) {
    for (straight, first_ann) in [(false, false), (false, true), (true, false), (true, true)] {
        let locks = [Arc::new(RwLock::new(0)), Arc::new(RwLock::new(0))];
        let [anns, bobs, ann_goes, bob_goes] = [(); 4].map(|()| Gate::new());
        let ann = {
            let ([own, other], ready, go) = (locks.clone(), anns.clone(), ann_goes.clone());
            start_named(on.here(), straight, "ann", async move {
                let _reader = own.read().await;
                ready.open();
                go.opened().await;
                told(other.write().checked().await)
            })
        };
        let bob = {
            let ([other, own], ready, go) = (locks, bobs.clone(), bob_goes.clone());
            start_named(on.there(), straight, "bob", async move {
                let _writer = own.write().await;
                ready.open();
                go.opened().await;
                told(other.write().checked().await)
            })
        };
        anns.opened().wait();
        bobs.opened().wait();
        let order = if first_ann { [ann_goes, bob_goes] } else { [bob_goes, ann_goes] };
        order.iter().for_each(Gate::open);
        let cycle = the_circle(vec![ann, bob]);
        assert!(["ann -> bob -> ann", "bob -> ann -> bob"].contains(&&*cycle), "{cycle}");
    }
}

fn a_second_read_behind_a_writer_that_waits_is_told(on: &Systems) {
    for straight in STRAIGHT {
        let lock = Arc::new(RwLock::new(0));
        let [held, wanted] = [Gate::new(), Gate::new()];
        let ann = {
            let (lock, held, wanted) = (Arc::clone(&lock), held.clone(), wanted.clone());
            start_named(on.here(), straight, "ann", async move {
                let _reader = lock.read().await;
                held.open();
                wanted.opened().await;
                told(lock.read().checked().await)
            })
        };
        let bob = {
            let lock = Arc::clone(&lock);
            start_named(on.there(), straight, "bob", async move {
                held.opened().await;
                told(wanted.open_when_polled(lock.write().checked()).await)
            })
        };
        let cycle = the_circle(vec![ann, bob]);
        assert!(["ann -> bob -> ann", "bob -> ann -> bob"].contains(&&*cycle), "{cycle}");
        assert!(lock.try_write().is_some(), "the lock is left behind");
    }
}

/// Ann reads, and waits for what Bob owes, who wants to read behind a writer that waits in Cid, and was
/// polled in another task before.
fn a_writer_that_waits_is_known_by_the_task_that_it_has_come_to(on: &Systems) {
    for straight in STRAIGHT {
        let lock: &'static RwLock<u32> = Box::leak(Box::new(RwLock::new(0)));
        let [held, wanted] = [Gate::new(), Gate::new()];
        let (owed, resolver) = promise::pair::<()>();
        let ann = {
            let held = held.clone();
            start_named(on.here(), straight, "ann", async move {
                let _reader = lock.read().await;
                held.open();
                owed.await.is_err()
            })
        };
        held.opened().wait();
        let (give, given) = channel::bounded(1);
        let first = start_named(on.here(), straight, "eve", async move {
            let mut writer = lock.write().checked();
            assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut writer).poll(cx).is_pending())).await);
            give.send(writer).await.unwrap();
        });
        first.wait().unwrap();
        let (writer, wants) = (given.try_recv().unwrap(), wanted.clone());
        let cid =
            start_named(
                on.there(),
                straight,
                "cid",
                async move { told(wants.open_when_polled(writer).await) },
            );
        let bob = start_named(on.here(), straight, "bob", async move {
            resolver.set_current_owner();
            wanted.opened().await;
            let told = told(lock.read().checked().await);
            drop(resolver);
            told
        });
        let cycle = the_circle(vec![bob, cid]);
        assert!(["bob -> cid -> ann -> bob", "cid -> ann -> bob -> cid"].contains(&&*cycle), "{cycle}");
        assert!(ann.wait().unwrap(), "what nobody owes any more is not to be had");
    }
}

fn a_second_read_behind_a_writer_that_gives_up_comes_out(on: &Systems) {
    for straight in STRAIGHT {
        let lock = Arc::new(RwLock::new(0));
        let [held, wanted] = [Gate::new(), Gate::new()];
        let ann = {
            let (lock, held, wanted) = (Arc::clone(&lock), held.clone(), wanted.clone());
            start_named(on.here(), straight, "ann", async move {
                let _reader = lock.read().await;
                held.open();
                wanted.opened().await;
                told(lock.read().checked().await)
            })
        };
        let bob = start_named(on.here(), straight, "bob", async move {
            held.opened().await;
            timeout(A_WHILE, wanted.open_when_polled(lock.write())).await.is_err()
        });
        assert_eq!(ann.wait().unwrap(), None);
        assert!(bob.wait().unwrap());
    }
}

fn a_wait_that_panics_for_a_deadlock_says_who(on: &Systems) {
    for straight in STRAIGHT {
        let lock = Arc::new(RwLock::new(0));
        let again = Arc::clone(&lock);
        let task = start_named(on.here(), straight, "narcissus", async move {
            let _guard = again.read().await;
            let _again = again.write().await;
        });
        let error = task.wait().unwrap_err();
        assert!(error.to_string().contains("deadlock: narcissus -> narcissus"), "{error}");
        assert!(lock.try_write().is_some());
    }
}

fn an_owned_guard_that_is_said_to_stay_is_known(on: &Systems) {
    for straight in STRAIGHT {
        let (mutex, lock) = (Arc::new(Mutex::new(0)), Arc::new(RwLock::new(0)));
        let task = start_named(on.here(), straight, "narcissus", async move {
            let mut all = Vec::new();
            let guard = Arc::clone(&mutex).lock_owned().await;
            OwnedMutexGuard::set_current_holder(&guard);
            match mutex.lock().checked().await {
                Err(LockError::Deadlock(cycle)) => all.push(cycle.to_string()),
                _ => panic!("it was not told of the mutex"),
            }
            let mut reader = Arc::clone(&lock).read_owned().await;
            OwnedRwLockReadGuard::set_current_holder(&mut reader);
            OwnedRwLockReadGuard::set_current_holder(&mut reader);
            all.extend(told(lock.write().checked().await));
            drop(reader);
            let mut writer = Arc::clone(&lock).write_owned().await;
            OwnedRwLockWriteGuard::set_current_holder(&mut writer);
            all.extend(told(lock.read().checked().await));
            // It is one that reads from here on, and still known.
            let reader = OwnedRwLockWriteGuard::downgrade(writer);
            all.extend(told(lock.write().checked().await));
            drop(reader);
            drop(RwLockWriteGuard::downgrade(lock.write().await));
            // It is known no longer. The guard is with another task, which goes on.
            let unknown = Arc::clone(&lock).write_owned().await;
            let other = task::spawn(async move { drop(unknown) });
            all.extend(told(lock.read().checked().await));
            other.await.unwrap();
            all
        });
        assert_eq!(task.wait().unwrap(), ["narcissus -> narcissus"; 4]);
    }
}

fn who_waits_for_an_owned_guard_may_be_told(on: &Systems) {
    for straight in STRAIGHT {
        let (mutex, lock) = (Arc::new(Mutex::new(0)), Arc::new(RwLock::new(0)));
        let task = start_named(on.here(), straight, "narcissus", async move {
            let guard = mutex.lock().await;
            let mut all = vec![told(Arc::clone(&mutex).lock_owned().checked().await)];
            drop(guard);
            all.push(told(Arc::clone(&mutex).lock_owned().checked().await));
            let reader = lock.read().await;
            all.push(told(Arc::clone(&lock).write_owned().checked().await));
            drop(reader);
            let writer = lock.write().await;
            all.push(told(Arc::clone(&lock).read_owned().checked().await));
            drop(writer);
            all.push(told(Arc::clone(&lock).write_owned().checked().await));
            all.push(told(Arc::clone(&lock).read_owned().checked().await));
            all
        });
        let circle = Some("narcissus -> narcissus".to_owned());
        let all = [circle.clone(), None, circle.clone(), circle, None, None];
        assert_eq!(task.wait().unwrap(), all);
    }
}

/// Ann reads, and so does Bob, who waits for Ann in the end: for a writer that waits for Ann. Ann goes on.
fn readers_that_go_close_no_circle(on: &Systems) {
    for straight in STRAIGHT {
        let lock = Arc::new(RwLock::new(0));
        let [held, wanted] = [Gate::new(), Gate::new()];
        let ann = {
            let (lock, held, wanted) = (Arc::clone(&lock), held.clone(), wanted.clone());
            start_named(on.here(), straight, "ann", async move {
                let reader = lock.read().await;
                held.open();
                wanted.opened().await;
                drop(reader);
                told(lock.read().checked().await)
            })
        };
        let bob = start_named(on.here(), straight, "bob", async move {
            held.opened().await;
            told(wanted.open_when_polled(lock.write().checked()).await)
        });
        assert_eq!((ann.wait().unwrap(), bob.wait().unwrap()), (None, None));
    }
}

fn a_reader_that_hands_its_guard_on_closes_no_circle(on: &Systems) {
    for straight in STRAIGHT {
        let go = Gate::new();
        let lock: &'static RwLock<u32> = Box::leak(Box::new(RwLock::new(0)));
        let backend = Arc::clone(on.here().backend());
        let opened = go.clone();
        let task = start_named(on.here(), straight, "ann", async move {
            let mut reader = lock.read().await;
            RwLockReadGuard::clear_holder(&mut reader);
            let handed_on = Builder::new().spawn_on(&backend, async move {
                opened.opened().await;
                drop(reader);
            });
            handed_on.unwrap().detach();
            told(lock.write().checked().await)
        });
        sleep(A_WHILE).wait();
        go.open();
        assert_eq!(task.wait().unwrap(), None);
    }
}

/// Ann reads the first and waits to write the second, which Bob reads, who reads the first, too.
fn readers_of_one_lock_and_a_writer_of_another_close_no_circle(on: &Systems) {
    for straight in STRAIGHT {
        let locks = [Arc::new(RwLock::new(0)), Arc::new(RwLock::new(0))];
        let [anns, bobs, wanted] = [(); 3].map(|()| Gate::new());
        let ann = {
            let ([own, other], ready, bobs, wanted) =
                (locks.clone(), anns.clone(), bobs.clone(), wanted.clone());
            start_named(on.here(), straight, "ann", async move {
                let _reader = own.read().await;
                ready.open();
                bobs.opened().await;
                told(wanted.open_when_polled(other.write().checked()).await)
            })
        };
        let bob = start_named(on.here(), straight, "bob", async move {
            let [other, own] = locks;
            let reader = own.read().await;
            bobs.open();
            anns.opened().await;
            wanted.opened().await;
            let told = told(other.read().checked().await);
            drop(reader);
            told
        });
        assert_eq!((ann.wait().unwrap(), bob.wait().unwrap()), (None, None));
    }
}
