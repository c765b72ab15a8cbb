//! Task-locals: who sees which value, wherever the code of a task runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use twoply_core::future::{join, yield_now};
use twoply_core::task::{self, inherit, inherit_fn};
use twoply_core::time::sleep;
use twoply_core::{Wait, channel, offload, task_local};
use twoply_tests::{Systems, laws};

laws! {
    and_mixed {
        each_task_sees_its_own_value_across_waits,
        children_have_no_value_unless_they_inherit,
    }
    everywhere {
        offloaded_code_sees_the_values_of_its_task,
        the_innermost_value_hides_the_others,
        members_of_one_join_have_values_of_their_own,
        a_value_lasts_as_long_as_its_scope_and_is_seen_by_destructors,
        a_panic_and_a_cancellation_end_a_scope,
        a_task_that_runs_while_another_one_waits_sees_its_own_values,
    }
}

task_local! {
    static NUMBER: usize;
    static NAME: &'static str;
}

/// Tasks that await and tasks that wait, in turns, so that stacks and workers change hands.
fn each_task_sees_its_own_value_across_waits(on: &Systems) {
    const TASKS: usize = 8;
    let (tx, rx) = channel::bounded::<()>(1);
    let tasks: Vec<_> = (0..TASKS)
        .flat_map(|n| {
            let (tx, rx) = (tx.clone(), rx.clone());
            let (tx_2, rx_2) = (tx.clone(), rx.clone());
            let awaits = async move {
                for _ in 0..20 {
                    tx.send(()).await.unwrap();
                    assert_eq!(NUMBER.get(), n);
                    rx.recv().await.unwrap();
                    assert_eq!(NUMBER.get(), n);
                }
            };
            let waits = move || {
                for _ in 0..20 {
                    tx_2.send(()).wait().unwrap();
                    assert_eq!(NUMBER.get(), n + TASKS);
                    rx_2.recv().wait().unwrap();
                    assert_eq!(NUMBER.get(), n + TASKS);
                }
            };
            [
                on.here().spawn(NUMBER.scope(n, awaits)),
                on.there().spawn_fn(move || NUMBER.sync_scope(n + TASKS, waits)),
            ]
        })
        .collect();
    tasks.into_iter().for_each(|task| task.wait().unwrap());
    assert!(NUMBER.try_with(|_| ()).is_err());
}

fn children_have_no_value_unless_they_inherit(on: &Systems) {
    let parent = async {
        let stranger = task::spawn(async { NUMBER.try_with(|n| *n) });
        assert!(stranger.await.unwrap().is_err());
        let child = task::spawn(inherit(async {
            yield_now().await;
            (NUMBER.get(), NAME.get())
        }));
        let code = task::spawn_fn(inherit_fn(|| (NUMBER.get(), NAME.get())));
        (child.await.unwrap(), code.await.unwrap())
    };
    let told = on.here().spawn(NUMBER.scope(7, NAME.scope("io", parent))).wait().unwrap();
    assert_eq!(told, ((7, "io"), (7, "io")));
    // The code of no task has children, too, elsewhere.
    let child = NUMBER.sync_scope(8, || on.there().spawn(inherit(async { NUMBER.get() })));
    assert_eq!(child.wait().unwrap(), 8);
}

fn offloaded_code_sees_the_values_of_its_task(on: &Systems) {
    let task = on.here().spawn(NUMBER.scope(7, async {
        yield_now().await;
        let seen = offload(|| (NUMBER.get(), NUMBER.sync_scope(8, || NUMBER.get()))).unwrap();
        (seen, NUMBER.get())
    }));
    assert_eq!(task.wait().unwrap(), ((7, 8), 7));
    let nobody = on.here().spawn_fn(|| offload(|| NUMBER.try_with(|n| *n)).unwrap());
    assert!(nobody.wait().unwrap().is_err());
}

fn the_innermost_value_hides_the_others(on: &Systems) {
    let task = on.here().spawn(NUMBER.scope(1, async {
        let inner = NUMBER.scope(2, async {
            yield_now().await;
            NUMBER.with(|n| *n + NUMBER.sync_scope(30, || NUMBER.get()))
        });
        (NUMBER.get(), inner.await, NUMBER.get())
    }));
    assert_eq!(task.wait().unwrap(), (1, 32, 1));
}

fn members_of_one_join_have_values_of_their_own(on: &Systems) {
    let member = |n| {
        NUMBER.scope(n, async move {
            for _ in 0..10 {
                yield_now().await;
                assert_eq!(NUMBER.get(), n);
            }
        })
    };
    on.here()
        .spawn(async move {
            join((member(1), member(2))).await;
            assert!(NUMBER.try_with(|_| ()).is_err());
        })
        .wait()
        .unwrap();
}

/// Tells the value that it sees when it is dropped.
struct Told(Arc<AtomicUsize>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.store(NUMBER.try_with(|n| *n).unwrap_or(0), Ordering::SeqCst);
    }
}

fn a_value_lasts_as_long_as_its_scope_and_is_seen_by_destructors(on: &Systems) {
    let seen = Arc::<AtomicUsize>::default();
    let told = Told(Arc::clone(&seen));
    let unpolled = NUMBER.scope(5, async move { drop(told) });
    on.here().spawn(async move { drop(unpolled) }).wait().unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 5);
}

fn a_panic_and_a_cancellation_end_a_scope(on: &Systems) {
    on.here()
        .spawn_fn(|| {
            let caught =
                std::panic::catch_unwind(|| NUMBER.sync_scope(1, || std::panic::resume_unwind(Box::new(()))));
            assert!(caught.is_err());
            assert!(NUMBER.try_with(|_| ()).is_err());
        })
        .wait()
        .unwrap();
    let seen = Arc::<AtomicUsize>::default();
    let told = Told(Arc::clone(&seen));
    let task = on.here().spawn_fn(move || {
        NUMBER.sync_scope(6, move || {
            let _told = told;
            sleep(Duration::from_secs(3600)).wait();
        })
    });
    task.cancel();
    assert!(task.wait().unwrap_err().is_cancelled());
    // A task that was cancelled before it began has no values.
    assert!([0, 6].contains(&seen.load(Ordering::SeqCst)));
}

/// A stack that waits may run other tasks meanwhile.
fn a_task_that_runs_while_another_one_waits_sees_its_own_values(on: &Systems) {
    let task = on.here().spawn_fn(|| {
        NUMBER.sync_scope(1, || {
            let inner = task::spawn(async { NUMBER.try_with(|n| *n).is_err() });
            assert!(inner.wait().unwrap(), "it sees another task's value");
            NUMBER.get()
        })
    });
    assert_eq!(task.wait().unwrap(), 1);
}
