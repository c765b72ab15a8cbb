//! A shutdown whose deadline passes: it stops waiting, and every task ends all the same.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::task::{Builder, Task};
use twoply_core::time::sleep;
use twoply_tests::{Gate, Resources, Signal, System, Systems, eventually, laws};

laws! {
    everywhere {
        what_a_shutdown_did_not_wait_for_ends,
        nothing_is_left_once_the_task_that_was_waited_for_ends,
        a_task_that_unwinds_for_longer_than_the_deadline_comes_to_its_end,
        a_job_that_comes_late_is_dropped_and_the_next_one_after_it,
        a_shutdown_without_patience_tells_the_truth,
    }
    two_workers {
        what_lies_behind_tasks_that_never_end_is_dropped,
    }
}

const SOON: Duration = Duration::from_secs(10);

/// Starts `number` tasks that wait for an hour, each with a guard.
fn sleepers(system: &System, number: usize, guards: &Signal) -> Vec<Task<()>> {
    let sleeper = |n: usize| {
        let guard = guards.on_drop();
        let hour = sleep(Duration::from_secs(3600));
        match n % 8 {
            0 => system.spawn_fn(move || {
                let _guard = guard;
                hour.wait();
            }),
            _ => system.spawn(async move {
                let _guard = guard;
                hour.await;
            }),
        }
    };
    (0..number).map(sleeper).collect()
}

/// What keeps hogs running, until it is dropped.
struct Hold(Arc<AtomicBool>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Starts a task that computes, without ever waiting, for as long as there is the hold. It calls `first`
/// before.
fn hog(system: &System, first: impl FnOnce() + Send + 'static) -> (Task<()>, Hold) {
    let (over, running) = (Arc::new(AtomicBool::new(false)), Gate::new());
    let (ends, began) = (Arc::clone(&over), running.clone());
    let task = system.spawn(async move {
        first();
        began.open();
        while !ends.load(Ordering::SeqCst) {
            spin_loop();
        }
    });
    eventually("it computes", || running.is_open());
    (task, Hold(over))
}

fn all_are_cancelled(tasks: Vec<Task<()>>) {
    for task in tasks {
        assert!(task.wait().unwrap_err().is_cancelled());
    }
}

fn what_a_shutdown_did_not_wait_for_ends(on: &Systems) {
    let guards = Signal::new();
    let system = on.kind().build();
    let tasks = sleepers(&system, 200, &guards);
    let _ = system.shutdown(Duration::ZERO);
    drop(system);
    all_are_cancelled(tasks);
    eventually("all futures are dropped", || guards.count() == 200);
}

fn nothing_is_left_once_the_task_that_was_waited_for_ends(on: &Systems) {
    on.alone(|| {
        let cycle = || {
            let guards = Signal::new();
            let system = on.kind().build();
            let tasks = sleepers(&system, 100, &guards);
            let (task, hold) = hog(&system, || {});
            let error = system.shutdown(Duration::from_millis(50)).unwrap_err().to_string();
            assert!(error.contains("not ended"), "{error}");
            drop(hold);
            task.wait().unwrap();
            all_are_cancelled(tasks);
            assert_eq!(guards.count(), 100);
            drop(system);
        };
        let ours = || {
            let now = Resources::now();
            ["twoply-green", "twoply-native", "twoply-watch"].map(|name| now.threads_named(name)) == [0; 3]
        };
        (0..3).for_each(|_| cycle());
        eventually("the threads end", ours);
        let pollers = || Resources::now().descriptors.contains_key("anon_inode:[eventpoll]");
        eventually("the descriptors are closed", || !pollers());
    });
}

/// Opens a gate when it is dropped, and waits for another one then.
struct Waits(Gate, Gate, Signal);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.open();
        self.1.opened().wait();
        self.2.add();
    }
}

fn a_task_that_unwinds_for_longer_than_the_deadline_comes_to_its_end(on: &Systems) {
    let (dropping, go_on, dropped) = (Gate::new(), Gate::new(), Signal::new());
    let system = on.kind().build();
    let waits = Waits(dropping.clone(), go_on.clone(), dropped.clone());
    let tasks = vec![
        system.spawn_fn(move || {
            let _waits = waits;
            sleep(Duration::from_secs(3600)).wait();
        }),
        system.spawn_fn(|| {
            sleep(Duration::from_secs(3600)).wait();
        }),
    ];
    assert!(system.shutdown(Duration::from_millis(20)).is_err() || dropping.is_open());
    eventually("it unwinds", || dropping.is_open());
    // Not from one of its own tasks, and not by a worker of its own.
    go_on.open();
    all_are_cancelled(tasks);
    assert_eq!(dropped.count(), 1);
    eventually("it is empty", || system.tasks() == 0);
    system.shutdown(SOON).unwrap();
}

fn a_job_that_comes_late_is_dropped_and_the_next_one_after_it(on: &Systems) {
    // Each task ends when the next one before it has, so that the end of each wakes another.
    const LONG: usize = 2000;
    let number = if on.kind().is_green() { LONG } else { 50 };
    let system = on.kind().build();
    let first = sleepers(&system, 1, &Signal::new()).remove(0);
    let mut last = system.spawn(async move { drop(first.await) });
    for _ in 0..number {
        last = system.spawn(async move { drop(last.await) });
    }
    let (_, hold) = hog(&system, || {});
    let _ = system.shutdown(Duration::ZERO);
    drop(hold);
    // It may have come to its end before its turn to be cancelled.
    let _ = last.wait();
    eventually("it is empty", || system.tasks() == 0);
}

fn a_shutdown_without_patience_tells_the_truth(on: &Systems) {
    let system = on.kind().build();
    system.spawn(async {}).wait().unwrap();
    eventually("it is over", || system.tasks() == 0);
    if let Err(error) = system.shutdown(Duration::ZERO) {
        let message = error.to_string();
        assert!(message.starts_with("all tasks have ended, but "), "{message}");
        assert!(!message.contains(" 0 "), "{message}");
    }
    system.shutdown(SOON).unwrap();

    let system = on.kind().build();
    let (dropping, go_on, dropped) = (Gate::new(), Gate::new(), Signal::new());
    let waits = Waits(dropping.clone(), go_on.clone(), dropped.clone());
    let named = Builder::new().name("the only one").spawn_fn_on(system.backend(), move || {
        let _waits = waits;
        sleep(Duration::from_secs(3600)).wait();
    });
    let error = system.shutdown(Duration::from_millis(1)).unwrap_err().to_string();
    assert!(error.starts_with("one task has not ended: the only one"), "{error}");
    assert!(error.contains(&format!(" from {}:", file!())), "it says where the task was started: {error}");
    go_on.open();
    assert!(named.unwrap().wait().unwrap_err().is_cancelled());
    system.shutdown(SOON).unwrap();
    assert_eq!((dropping.is_open(), dropped.count()), (true, 1));
}

fn what_lies_behind_tasks_that_never_end_is_dropped(on: &Systems) {
    let (guards, handles) = (Signal::new(), Arc::default());
    let system = on.kind().build();
    // Each starts some tasks before it computes, which so come into the queue of its own worker.
    let queued = || {
        let (guards, handles) = (guards.clone(), Arc::clone(&handles));
        let handles: Arc<std::sync::Mutex<Vec<Task<()>>>> = handles;
        move || {
            for _ in 0..10 {
                let guard = guards.on_drop();
                let waits = async move {
                    let _guard = guard;
                    sleep(Duration::from_secs(3600)).await;
                };
                handles.lock().unwrap().push(Builder::new().spawn(waits).unwrap());
            }
        }
    };
    let (one, hold_one) = hog(&system, queued());
    let (two, hold_two) = hog(&system, queued());
    let error = system.shutdown(Duration::from_millis(50)).unwrap_err().to_string();
    assert!(error.contains("tasks have not ended"), "{error}");
    let tasks = std::mem::take(&mut *handles.lock().unwrap());
    assert_eq!(tasks.len(), 20);
    all_are_cancelled(tasks);
    assert_eq!(guards.count(), 20);
    drop((hold_one, hold_two));
    one.wait().unwrap();
    two.wait().unwrap();
    system.shutdown(SOON).unwrap();
}
