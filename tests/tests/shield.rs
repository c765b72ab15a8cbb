//! Shielded work: what has begun is finished, however the wait for it ends.

use std::future::{Future, pending, poll_fn, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use twoply_core::future::{race, yield_now};
use twoply_core::sync::{Mutex, RwLock};
use twoply_core::task::{self, shield};
use twoply_core::{Wait, channel, promise, task_local};
use twoply_tests::{Gate, Signal, Systems, eventually, laws};

laws! {
    everywhere {
        what_has_begun_is_finished_though_its_task_is_cancelled,
        a_wait_in_a_shield_does_not_unwind,
        what_goes_on_has_the_task_locals_that_it_has_begun_with,
        what_another_task_goes_on_with_is_owed_by_nobody,
        what_has_not_begun_is_dropped,
        a_shield_gives_what_its_future_gives,
        who_loses_a_race_goes_on,
        a_panic_after_the_move_harms_nobody,
        a_task_can_see_that_it_has_been_cancelled,
    }
}

fn what_has_begun_is_finished_though_its_task_is_cancelled(on: &Systems) {
    for straight_line in [false, true] {
        let (gate, dropped, after) = (Gate::new(), Signal::new(), Signal::new());
        let (opened, guard, reached) = (gate.opened(), dropped.on_drop(), after.clone());
        let (end, ended) = channel::oneshot();
        let work = shield(async move {
            let _guard = guard;
            opened.await;
            yield_now().await;
            end.send("finished").unwrap();
        });
        let task = match straight_line {
            false => on.here().spawn(async move {
                work.await;
                reached.add();
            }),
            true => on.here().spawn_fn(move || {
                work.wait();
                reached.add();
            }),
        };
        eventually("it waits", || gate.waiting() > 0);
        task.cancel();
        assert!(task.wait().unwrap_err().is_cancelled(), "the task does not wait for what it has shielded");
        assert_eq!(dropped.count(), 0);
        gate.open();
        assert_eq!(ended.wait(), Ok("finished"));
        eventually("it is gone", || dropped.count() == 1);
        assert_eq!(after.count(), 0);
    }
}

fn a_wait_in_a_shield_does_not_unwind(on: &Systems) {
    let (gate, waits, order) = (Gate::new(), Gate::new(), Signal::new());
    let (opened, begun, count) = (gate.opened(), waits.clone(), order.clone());
    let task = on.here().spawn_fn(move || {
        shield(async move {
            begun.open();
            opened.wait();
            count.add();
        })
        .wait();
        assert!(task::is_cancelled());
        pending::<()>().wait();
    });
    waits.opened().wait();
    eventually("it waits", || gate.waiting() > 0);
    task.cancel();
    assert!(!task.is_finished());
    gate.open();
    assert!(task.wait().unwrap_err().is_cancelled());
    assert_eq!(order.count(), 1);
}

task_local! { static USER: &'static str }

fn what_goes_on_has_the_task_locals_that_it_has_begun_with(on: &Systems) {
    let gate = Gate::new();
    let begin = || {
        let (opened, (end, ended)) = (gate.opened(), channel::oneshot());
        let work = shield(async move {
            opened.await;
            end.send(USER.try_with(|user| *user).ok()).unwrap();
        });
        (work, ended)
    };
    let ((first, of_first), (second, of_second), (mut third, of_third)) = (begin(), begin(), begin());
    let tasks = [
        on.here().spawn(USER.scope("first", first)),
        on.here().spawn_fn(move || USER.sync_scope("second", || second.wait())),
        on.here().spawn(async move {
            // Dropped where the local is not set.
            USER.scope("third", poll_fn(|cx| Poll::Ready(Pin::new(&mut third).poll(cx)))).await.is_pending();
            pending::<()>().await;
            drop(third);
        }),
    ];
    eventually("they wait", || gate.waiting() == 3);
    for task in tasks {
        task.cancel();
        assert!(task.wait().unwrap_err().is_cancelled());
    }
    gate.open();
    for (ended, user) in [(of_first, "first"), (of_second, "second"), (of_third, "third")] {
        assert_eq!(ended.wait(), Ok(Some(user)));
    }
}

/// Has a task begin `work` in a shield, give it up and wait with `wait`, until it has waited; then the work
/// may go on.
fn wait_for_what_goes_on<W, F>(on: &Systems, work: impl FnOnce(Gate) -> W, wait: F)
where
    W: Future<Output = ()> + Send + 'static,
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let (gate, has_waited) = (Gate::new(), Signal::new());
    let (mut work, pending) = (Box::pin(shield(work(gate.clone()))), has_waited.clone());
    let task = on.here().spawn(async move {
        assert!(poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await.is_pending());
        drop(work);
        let mut wait = Box::pin(wait);
        poll_fn(|cx| {
            let polled = wait.as_mut().poll(cx);
            if polled.is_pending() {
                pending.add();
            }
            polled
        })
        .await
    });
    eventually("it waits", || has_waited.count() > 0 || task.is_finished());
    gate.open();
    assert_eq!(task.wait().unwrap(), Ok(()));
}

fn what_another_task_goes_on_with_is_owed_by_nobody(on: &Systems) {
    let (mutex, held) = two(Mutex::new(()));
    let work = |gate: Gate| async move {
        let _guard = held.lock().await;
        gate.opened().await;
    };
    wait_for_what_goes_on(on, work, async move { mutex.lock().checked().await.map(drop).map_err(told) });
    let (lock, held) = two(RwLock::new(()));
    let work = |gate: Gate| async move {
        let _guard = held.write().await;
        gate.opened().await;
    };
    wait_for_what_goes_on(on, work, async move { lock.read().checked().await.map(drop).map_err(told) });
    let (promise, resolver) = promise::pair();
    let work = |gate: Gate| async move {
        resolver.set_current_owner();
        gate.opened().await;
        resolver.resolve(()).unwrap();
    };
    wait_for_what_goes_on(on, work, async move { promise.await.map_err(told) });
}

fn two<T>(value: T) -> (Arc<T>, Arc<T>) {
    let value = Arc::new(value);
    (Arc::clone(&value), value)
}

fn told(error: impl ToString) -> String {
    error.to_string()
}

fn what_has_not_begun_is_dropped(on: &Systems) {
    let (dropped, polled) = (Signal::new(), Signal::new());
    let (guard, count) = (dropped.on_drop(), polled.clone());
    let drop_it = async move {
        drop(shield(async move {
            let _guard = guard;
            count.add();
        }));
    };
    on.here().spawn(drop_it).wait().unwrap();
    assert_eq!((dropped.count(), polled.count()), (1, 0));
}

fn a_shield_gives_what_its_future_gives(on: &Systems) {
    let value = on.here().spawn(async {
        shield(async {
            yield_now().await;
            7
        })
        .await
    });
    assert_eq!(value.wait().unwrap(), 7);
    let panics = on.here().spawn(async {
        shield(async {
            yield_now().await;
            std::panic::resume_unwind(Box::new("expected"))
        })
        .await
    });
    let panics: Result<(), _> = panics.wait();
    assert!(panics.unwrap_err().is_panic());
}

fn who_loses_a_race_goes_on(on: &Systems) {
    let (gate, (end, ended)) = (Gate::new(), channel::oneshot());
    let opened = gate.opened();
    let race = on.here().spawn(async move {
        let slow = shield(async move {
            opened.await;
            end.send(1).unwrap();
            1
        });
        race((slow, ready(2))).biased().await
    });
    assert_eq!(race.wait().unwrap(), 2);
    gate.open();
    assert_eq!(ended.wait(), Ok(1));
}

fn a_panic_after_the_move_harms_nobody(on: &Systems) {
    let (gate, dropped) = (Gate::new(), Signal::new());
    let (opened, guard) = (gate.opened(), dropped.on_drop());
    let begin = async move {
        let mut work = shield(async move {
            let _guard = guard;
            opened.await;
            std::panic::resume_unwind(Box::new("expected"));
        });
        let polled: Poll<()> = Pin::new(&mut work).poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    };
    on.here().spawn(begin).wait().unwrap();
    gate.open();
    eventually("it is gone", || dropped.count() == 1);
    assert_eq!(on.here().spawn(async { 1 }).wait().unwrap(), 1);
}

fn a_task_can_see_that_it_has_been_cancelled(on: &Systems) {
    assert!(!task::is_cancelled(), "outside of any task");
    let begun = Gate::new();
    let started = begun.clone();
    let task = on.here().spawn_fn(move || {
        assert!(!task::is_cancelled());
        started.open();
        while !task::is_cancelled() {
            std::thread::yield_now();
        }
        7
    });
    begun.opened().wait();
    task.cancel();
    assert_eq!(task.wait().unwrap(), 7);
}
