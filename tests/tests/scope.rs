//! Scopes: tasks that borrow, and a call that joins them whatever happens. And what handles promise to the
//! compiler.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use twoply_core::channel::{Receiver, Sender};
use twoply_core::future::yield_now;
use twoply_core::promise::Failure;
use twoply_core::task::{Panic, SpawnError, Spawner, Task, TaskGroup, TaskId, TaskRef, scope};
use twoply_core::time::sleep;
use twoply_core::{Wait, channel};
use twoply_tests::{Gate, Signal, Systems, eventually, laws};

laws! {
    and_mixed {
        scoped_tasks_borrow_from_their_caller,
        a_scope_joins_what_nobody_waited_for,
    }
    everywhere {
        a_scope_inside_a_task_uses_its_backend,
        a_scope_joins_when_its_code_panics,
        a_panic_that_nobody_took_comes_out_of_the_scope,
        a_panic_that_was_taken_stays_with_who_took_it,
        a_panic_comes_out_of_the_scope_of_a_cancelled_caller,
        a_panic_in_a_destructor_is_the_scoped_tasks_panic,
        a_cancelled_caller_joins_its_scope_first,
        a_scoped_task_may_be_cancelled,
        scopes_nest,
        a_scoped_task_may_start_another,
        a_scope_refused_by_its_backend_still_ends,
    }
}

fn scoped_tasks_borrow_from_their_caller(on: &Systems) {
    let mut numbers = vec![1, 2, 3, 4, 5, 6];
    let sum = scope(|s| {
        let (left, right) = numbers.split_at_mut(3);
        let left = s
            .spawn_fn_on(on.here().backend(), || {
                left.iter_mut().for_each(|n| *n *= 2);
                sleep(Duration::from_millis(1)).wait();
                left.iter().sum::<i32>()
            })
            .unwrap();
        let right = s
            .spawn_on(on.there().backend(), async {
                yield_now().await;
                right.iter_mut().for_each(|n| *n *= 3);
                right.iter().sum::<i32>()
            })
            .unwrap();
        left.wait().unwrap() + right.wait().unwrap()
    });
    assert_eq!((sum, numbers), (12 + 45, vec![2, 4, 6, 12, 15, 18]));
}

fn a_scope_joins_what_nobody_waited_for(on: &Systems) {
    let ended = AtomicUsize::new(0);
    scope(|s| {
        for n in 0..20 {
            let system = if n % 2 == 0 { on.here() } else { on.there() };
            let ended = &ended;
            drop(s.spawn_fn_on(system.backend(), move || {
                sleep(Duration::from_millis(n % 3)).wait();
                ended.fetch_add(1, Ordering::SeqCst);
            }));
        }
    });
    assert_eq!(ended.into_inner(), 20);
}

fn a_scope_inside_a_task_uses_its_backend(on: &Systems) {
    let task = on.here().spawn_fn(|| {
        let word = String::from("borrowed");
        let (length, name) = scope(|s| {
            let length = s.spawn_fn(|| word.len()).unwrap();
            let name = s.spawn(async { Spawner::current().map(|spawner| spawner.backend().name()) }).unwrap();
            (length.wait().unwrap(), name.wait().unwrap().unwrap())
        });
        (word, length, name)
    });
    let (word, length, name) = task.wait().unwrap();
    assert_eq!((word.as_str(), length, name), ("borrowed", 8, on.here().backend().name()));
}

fn a_scope_joins_when_its_code_panics(on: &Systems) {
    let ended = AtomicUsize::new(0);
    let gate = Gate::new();
    let opener = gate.clone();
    let late = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        opener.open();
    });
    let caught = catch_unwind(AssertUnwindSafe(|| {
        scope(|s| {
            for _ in 0..3 {
                drop(s.spawn_fn_on(on.here().backend(), || {
                    gate.opened().wait();
                    ended.fetch_add(1, Ordering::SeqCst);
                }));
            }
            panic!("expected: in the scope");
        })
    }));
    assert_eq!(ended.load(Ordering::SeqCst), 3, "the scope returned before its tasks");
    let payload = caught.unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"expected: in the scope"));
    late.join().unwrap();
}

fn a_panic_that_nobody_took_comes_out_of_the_scope(on: &Systems) {
    let ended = AtomicUsize::new(0);
    let task = catch_unwind(AssertUnwindSafe(|| {
        scope(|s| {
            drop(s.spawn_fn_on(on.here().backend(), || panic!("expected: in a task")));
            drop(s.spawn_fn_on(on.here().backend(), || ended.fetch_add(1, Ordering::SeqCst)));
        });
    }));
    assert!(task.is_err());
    assert_eq!(ended.into_inner(), 1);
}

fn a_panic_that_was_taken_stays_with_who_took_it(on: &Systems) {
    let error = scope(|s| {
        let task = s.spawn_on(on.here().backend(), async { panic!("expected: taken") }).unwrap();
        task.wait().unwrap_err()
    });
    assert_eq!(error.to_string(), "the task panicked: expected: taken");
}

/// Panics when it is dropped.
struct BadDrop;

impl Drop for BadDrop {
    fn drop(&mut self) {
        panic!("expected: in a destructor");
    }
}

/// What a caller comes to that is cancelled while it waits for its scope.
fn cancelled_in(on: &Systems, code: impl FnOnce(&Gate) + Send + 'static) -> Failure {
    let waits = Gate::new();
    let waiting = waits.clone();
    let caller = on.here().spawn_fn(move || code(&waiting));
    eventually("the caller is about to wait", || waits.is_open());
    caller.cancel();
    caller.wait().unwrap_err()
}

fn a_panic_comes_out_of_the_scope_of_a_cancelled_caller(on: &Systems) {
    let message = |failure: Failure| match failure {
        Failure::Panicked(panic) => panic.to_string(),
        other => other.to_string(),
    };
    let told = "a scoped task panicked: expected: in a task";
    // While it joins, and in a wait of its own; a handle that is dropped and one that is forgotten.
    for (joins, forgotten) in [(true, false), (true, true), (false, false), (false, true)] {
        let failure = cancelled_in(on, move |waits| {
            scope(|s| {
                let begun = Gate::new();
                let begins = begun.clone();
                // A task that is cancelled before its first poll does not panic.
                let panics = async move {
                    begins.open();
                    panic!("expected: in a task")
                };
                let failing = s.spawn(panics).unwrap();
                begun.opened().wait();
                if forgotten {
                    std::mem::forget(failing)
                } else {
                    drop(failing)
                }
                let endless = s.spawn(pending::<()>()).unwrap();
                waits.open();
                if !joins {
                    drop(endless.wait());
                }
            });
        });
        assert_eq!(message(failure), told, "joins {joins}, forgotten {forgotten}");
    }
    // A task panics because it is cancelled.
    let failure = cancelled_in(on, |waits| {
        scope(|s| {
            let bad = BadDrop;
            let waiting = waits.clone();
            let dies = async move {
                let _bad = bad;
                waiting.open();
                pending::<()>().await;
            };
            drop(s.spawn(dies).unwrap());
        });
    });
    assert_eq!(message(failure), "a scoped task panicked: expected: in a destructor");
    // A cancellation without a panic is one.
    let failure = cancelled_in(on, |waits| {
        scope(|s| {
            drop(s.spawn(pending::<()>()).unwrap());
            waits.open();
        });
    });
    assert!(failure.is_cancelled(), "{failure}");
}

fn a_panic_in_a_destructor_is_the_scoped_tasks_panic(on: &Systems) {
    let error = scope(|s| {
        let bad = BadDrop;
        let code = async move {
            yield_now().await;
            bad
        };
        // What it returns is the caller's to drop; what it keeps is its own.
        std::mem::forget(s.spawn_on(on.here().backend(), code).unwrap().wait().unwrap());
        struct Ready(BadDrop);
        impl Future for Ready {
            type Output = u32;
            fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u32> {
                let _kept = &self.0;
                Poll::Ready(1)
            }
        }
        s.spawn_on(on.here().backend(), Ready(BadDrop)).unwrap().wait().unwrap_err()
    });
    assert_eq!(error.to_string(), "the task panicked: expected: in a destructor");
}

fn a_cancelled_caller_joins_its_scope_first(on: &Systems) {
    let (gate, dropped, after) = (Gate::new(), Signal::new(), Signal::new());
    let (waits, guards, signal) = (gate.clone(), dropped.clone(), after.clone());
    let caller = on.here().spawn_fn(move || {
        let borrowed = vec![7; 100];
        let _last = guards.on_drop();
        scope(|s| {
            for n in 0..4 {
                let (waits, guard, borrowed) = (&waits, guards.on_drop(), &borrowed);
                let started = match n % 2 {
                    0 => s.spawn_fn(move || {
                        let _guard = guard;
                        waits.opened().wait();
                        assert!(!borrowed.is_empty());
                    }),
                    _ => s.spawn(async move {
                        let _guard = guard;
                        waits.opened().await;
                        assert!(!borrowed.is_empty());
                    }),
                };
                drop(started.unwrap());
            }
        });
        signal.add();
    });
    eventually("all wait", || gate.waiting() >= 4);
    caller.cancel();
    assert!(caller.wait().unwrap_err().is_cancelled());
    assert_eq!((dropped.count(), after.count()), (5, 0));
}

fn a_scoped_task_may_be_cancelled(on: &Systems) {
    let borrowed = String::from("here");
    let error = scope(|s| {
        let task = s
            .spawn_fn_on(on.here().backend(), || {
                assert!(!borrowed.is_empty());
                pending::<()>().wait();
            })
            .unwrap();
        task.cancel();
        task.wait().unwrap_err()
    });
    assert!(error.is_cancelled());
}

fn scopes_nest(on: &Systems) {
    fn sum(on: &Systems, numbers: &[u64]) -> u64 {
        if numbers.len() <= 2 {
            return numbers.iter().sum();
        }
        let (left, right) = numbers.split_at(numbers.len() / 2);
        scope(|s| {
            let left = s.spawn_fn_on(on.here().backend(), move || sum(on, left)).unwrap();
            sum(on, right) + left.wait().unwrap()
        })
    }
    let numbers: Vec<u64> = (1..=64).collect();
    assert_eq!(sum(on, &numbers), 64 * 65 / 2);
}

fn a_scoped_task_may_start_another(on: &Systems) {
    let count = AtomicUsize::new(0);
    scope(|s| {
        drop(s.spawn_fn_on(on.here().backend(), || {
            count.fetch_add(1, Ordering::SeqCst);
            drop(s.spawn_fn(|| {
                sleep(Duration::from_millis(1)).wait();
                count.fetch_add(1, Ordering::SeqCst);
            }));
        }));
    });
    assert_eq!(count.into_inner(), 2);
}

fn a_scope_refused_by_its_backend_still_ends(on: &Systems) {
    let system = on.kind().build();
    system.shutdown(Duration::from_secs(10)).unwrap();
    let dropped = Signal::new();
    scope(|s| {
        let guard = dropped.on_drop();
        let refused = s.spawn_fn_on(system.backend(), move || drop(guard));
        assert!(matches!(refused, Err(SpawnError::ShutDown)));
    });
    assert_eq!(dropped.count(), 1);
}

/// What is promised of the types that programs hold. A type that loses a promise does not compile here.
#[test]
fn handles_may_be_sent_and_shared() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    fn unpin<T: Unpin>() {}
    send::<Task<u8>>();
    sync::<Task<u8>>();
    // A result that cannot be shared does not keep its handle from being sent.
    send::<Task<std::cell::Cell<u8>>>();
    unpin::<Task<std::marker::PhantomPinned>>();
    send::<TaskRef>();
    sync::<TaskRef>();
    send::<TaskId>();
    send::<TaskGroup<u8>>();
    send::<Spawner>();
    sync::<Spawner>();
    send::<Failure>();
    sync::<Failure>();
    sync::<Panic>();
    send::<Sender<std::cell::Cell<u8>>>();
    sync::<Sender<std::cell::Cell<u8>>>();
    send::<Receiver<std::cell::Cell<u8>>>();
    sync::<Receiver<std::cell::Cell<u8>>>();
    send::<twoply_core::time::Sleep>();
    sync::<twoply_green::Green>();
    send::<twoply_green::Green>();
    sync::<twoply_native::Native>();
    send::<twoply_native::Native>();
    let (tx, rx) = channel::bounded::<u8>(1);
    fn sends<T: Send>(_: &T) {}
    sends(&tx.send(1));
    sends(&rx.recv());
}
