//! The end of a runtime: with work in every state, within its deadline, and leaving nothing behind.

use std::future::{pending, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use twoply_core::future::yield_now;
use twoply_core::promise::Failure;
use twoply_core::task::{Builder, SpawnError, Task, is_cancelled};
use twoply_core::time::{sleep, timeout};
use twoply_core::{Wait, channel, offload};
use twoply_tests::{Gate, Resources, Signal, System, Systems, eventually, laws};

laws! {
    everywhere {
        live_work_of_every_kind_ends,
        what_computes_hears_of_the_end,
        nothing_is_left_of_a_runtime,
        a_deadline_that_passes_names_who_is_left,
        a_task_that_will_not_be_cancelled_does_not_hold_the_end_up,
        tasks_that_start_tasks_cannot_hold_the_end_up,
        shutting_down_twice_is_shutting_down_once,
        shutting_down_an_unused_runtime_works,
        a_waker_that_outlives_its_runtime_is_harmless,
        a_handle_that_outlives_its_runtime_is_harmless,
        destructors_run_at_the_end_may_wait,
        several_runtimes_coexist,
        a_task_may_shut_another_runtime_down,
        a_task_cannot_shut_its_own_runtime_down,
        a_run_inside_a_run_is_refused,
        a_task_that_waits_for_all_of_its_own_is_told,
        a_channel_outlives_the_runtime_of_its_other_end,
        dropping_a_runtime_cancels_its_tasks_and_returns_at_once,
        dropping_a_runtime_refuses_new_tasks,
        dropping_a_runtime_leaves_nothing,
        a_task_may_drop_its_own_runtime,
    }
}

const SOON: Duration = Duration::from_secs(10);

/// Starts tasks in every state on `system`, with a guard in each.
fn busy(system: &System, guards: &Signal) -> Vec<Task<()>> {
    let gate = Gate::new();
    let mut tasks = Vec::new();
    for n in 0..24 {
        let (guard, opened) = (guards.on_drop(), gate.opened());
        tasks.push(match n % 6 {
            0 => system.spawn(async move {
                let _guard = guard;
                opened.await;
            }),
            1 => system.spawn_fn(move || {
                let _guard = guard;
                opened.wait();
            }),
            2 => system.spawn(async move {
                let _guard = (guard, opened);
                sleep(Duration::from_secs(3600)).await;
            }),
            3 => system.spawn_fn(move || {
                let _guard = (guard, opened);
                sleep(Duration::from_secs(3600)).wait();
            }),
            // Runs all the time, but gives way.
            4 => system.spawn(async move {
                let _guard = (guard, opened);
                loop {
                    twoply_core::future::yield_now().await;
                }
            }),
            // A wait in the poll of a wait.
            _ => system.spawn_fn(move || {
                let _guard = guard;
                let mut opened = Some(opened);
                poll_fn(move |_| Poll::Ready(opened.take().map(Wait::wait))).wait();
            }),
        });
    }
    eventually("most wait", || gate.waiting() >= 12);
    tasks
}

/// Starts tasks that compute until they are cancelled, and returns when one of them does: in straight-line
/// code, in the first poll of a future, and in one after that. Where there is one worker, the others come
/// after it.
fn computing(system: &System) -> Vec<Task<()>> {
    let begun = Signal::new();
    let tasks = (0..6).map(|n| {
        let begun = begun.clone();
        let compute = move || {
            begun.add();
            while !is_cancelled() {
                thread::yield_now();
            }
        };
        match n % 3 {
            0 => system.spawn_fn(compute),
            1 => system.spawn(async move { compute() }),
            _ => system.spawn(async move {
                yield_now().await;
                compute();
            }),
        }
    });
    let tasks = tasks.collect();
    eventually("one computes", || begun.count() > 0);
    tasks
}

fn what_computes_hears_of_the_end(on: &Systems) {
    let system = on.kind().build();
    let tasks = computing(&system);
    system.shutdown(SOON).unwrap();
    assert_eq!(system.tasks(), 0);
    tasks.into_iter().for_each(|task| drop(task.wait()));
    // One that is dropped waits for nobody.
    let system = on.kind().build();
    let tasks = computing(&system);
    drop(system);
    tasks.into_iter().for_each(|task| drop(timeout(SOON, task).wait().unwrap()));
}

fn live_work_of_every_kind_ends(on: &Systems) {
    let guards = Signal::new();
    let system = on.kind().build();
    let tasks = busy(&system, &guards);
    system.shutdown(SOON).unwrap();
    assert_eq!((guards.count(), system.tasks()), (24, 0));
    for task in tasks {
        assert!(task.wait().unwrap_err().is_cancelled());
    }
    let refused = system.spawn(async {}).wait().unwrap_err();
    assert!(matches!(refused.not_started(), Some(SpawnError::ShutDown)), "{refused}");
    if on.kind().is_green() {
        let metrics = system.metrics();
        assert_eq!((metrics.threads, metrics.stacks, metrics.leaked_stacks), (0, 0, 0), "{metrics:?}");
    }
}

fn nothing_is_left_of_a_runtime(on: &Systems) {
    on.alone(|| {
        let cycle = || {
            let guards = Signal::new();
            let system = on.kind().build();
            let tasks = busy(&system, &guards);
            system.shutdown(SOON).unwrap();
            drop(tasks);
            assert_eq!(guards.count(), 24);
        };
        // A thread that has said that it ends is in the system's list for a moment longer.
        let ours = || {
            let now = Resources::now();
            now.threads_named("twoply-green")
                + now.threads_named("twoply-native")
                + now.threads_named("twoply-watch")
        };
        // What belongs to the process, such as the thread of the I/O server, is there after the first.
        cycle();
        eventually("the threads end", || ours() == 0);
        let before = Resources::now();
        (0..3).for_each(|_| cycle());
        eventually("the threads end", || ours() == 0);
        before.assert_restored();
    });
}

/// A task with a name that runs without waiting until it is told to stop.
fn stubborn(system: &System, name: &str) -> (Task<()>, Arc<AtomicBool>) {
    let (stop, running) = (Arc::new(AtomicBool::new(false)), Gate::new());
    let (stopped, began) = (Arc::clone(&stop), running.clone());
    let code = move || {
        began.open();
        while !stopped.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
    };
    let task = Builder::new().name(name).spawn_fn_on(system.backend(), code).unwrap();
    eventually("it runs", || running.is_open());
    (task, stop)
}

fn a_deadline_that_passes_names_who_is_left(on: &Systems) {
    let system = on.kind().build();
    let (task, stop) = stubborn(&system, "the stubborn one");
    let start = Instant::now();
    let error = system.shutdown(Duration::from_millis(50)).unwrap_err();
    let took = start.elapsed();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(error.to_string().contains("the stubborn one"), "{error}");
    assert!(took >= Duration::from_millis(50), "{took:?}");
    stop.store(true, Ordering::SeqCst);
    // What it has done is its result, also after the deadline.
    task.wait().unwrap();
    eventually("it is gone", || system.tasks() == 0);
}

fn a_task_that_will_not_be_cancelled_does_not_hold_the_end_up(on: &Systems) {
    let system = on.kind().build();
    let (stop, caught) = (Arc::new(AtomicBool::new(false)), Signal::new());
    let (stopped, signal) = (Arc::clone(&stop), caught.clone());
    let runs = Gate::new();
    let begun = runs.clone();
    let task = system.spawn_fn(move || {
        begun.open();
        while !stopped.load(Ordering::SeqCst) {
            let _ = catch_unwind(AssertUnwindSafe(|| pending::<()>().wait()));
            signal.add();
            thread::sleep(Duration::from_millis(1));
        }
    });
    runs.opened().wait();
    assert!(system.shutdown(Duration::from_millis(50)).is_err());
    eventually("it is caught again", || caught.count() > 1);
    stop.store(true, Ordering::SeqCst);
    let _ = task.wait();
    eventually("it is gone", || system.tasks() == 0);
}

fn tasks_that_start_tasks_cannot_hold_the_end_up(on: &Systems) {
    fn breed() {
        let _ = Builder::new().spawn_fn(|| {
            twoply_core::future::yield_now().wait();
            breed();
        });
    }
    let system = on.kind().build();
    for _ in 0..4 {
        system.spawn_fn(breed).detach();
    }
    thread::sleep(Duration::from_millis(10));
    system.shutdown(SOON).unwrap();
    assert_eq!(system.tasks(), 0);
}

fn shutting_down_twice_is_shutting_down_once(on: &Systems) {
    let system = Arc::new(on.kind().build());
    let tasks = busy(&system, &Signal::new());
    let both: Vec<_> = (0..2)
        .map(|_| {
            let system = Arc::clone(&system);
            thread::spawn(move || system.shutdown(SOON))
        })
        .collect();
    both.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
    system.shutdown(SOON).unwrap();
    drop(tasks);
}

fn shutting_down_an_unused_runtime_works(on: &Systems) {
    on.kind().build().shutdown(SOON).unwrap();
    drop(on.kind().build());
}

/// Wakers of a suspended and of a blocked task of `system`.
fn wakers(system: &System) -> (Vec<Waker>, Vec<Task<()>>) {
    let kept: Arc<Mutex<Vec<Waker>>> = Arc::default();
    let keep = || {
        let kept = Arc::clone(&kept);
        poll_fn(move |cx| {
            kept.lock().unwrap().push(cx.waker().clone());
            Poll::Pending
        })
    };
    let (one, two) = (keep(), keep());
    let tasks = vec![system.spawn(one), system.spawn_fn(move || two.wait())];
    eventually("both wait", || kept.lock().unwrap().len() >= 2);
    let wakers = std::mem::take(&mut *kept.lock().unwrap());
    (wakers, tasks)
}

fn a_waker_that_outlives_its_runtime_is_harmless(on: &Systems) {
    for keep_handles in [false, true] {
        let system = on.kind().build();
        let (wakers, tasks) = wakers(&system);
        let handles = keep_handles.then_some(tasks);
        system.shutdown(SOON).unwrap();
        drop(system);
        for waker in wakers {
            waker.wake_by_ref();
            let copy = waker.clone();
            thread::spawn(move || copy.wake()).join().unwrap();
            on.here().spawn_fn(move || waker.wake()).wait().unwrap();
        }
        drop(handles);
    }
}

fn a_handle_that_outlives_its_runtime_is_harmless(on: &Systems) {
    let system = on.kind().build();
    let done = system.spawn(async { vec![1, 2, 3] });
    eventually("it is over", || done.is_finished());
    let waiting = system.spawn(pending::<()>());
    let spawner = system.spawner().clone();
    system.shutdown(SOON).unwrap();
    drop(system);
    assert_eq!(done.wait().unwrap(), [1, 2, 3]);
    waiting.cancel();
    assert!(waiting.is_finished());
    assert!(waiting.wait().unwrap_err().is_cancelled());
    assert!(matches!(spawner.spawn(async {}).wait(), Err(Failure::NotStarted(_))));
}

fn destructors_run_at_the_end_may_wait(on: &Systems) {
    struct Waits(Signal);
    impl Drop for Waits {
        fn drop(&mut self) {
            sleep(Duration::from_millis(5)).wait();
            self.0.add();
        }
    }
    let system = on.kind().build();
    let (waited, gate) = (Signal::new(), Gate::new());
    for n in 0..6 {
        let (waits, opened) = (Waits(waited.clone()), gate.opened());
        let task = match n % 2 {
            0 => system.spawn(async move {
                let _waits = waits;
                opened.await;
            }),
            _ => system.spawn_fn(move || {
                let _waits = waits;
                opened.wait();
            }),
        };
        task.detach();
    }
    eventually("all wait", || gate.waiting() >= 6);
    system.shutdown(SOON).unwrap();
    assert_eq!(waited.count(), 6);
}

fn several_runtimes_coexist(on: &Systems) {
    let systems: Vec<System> = (0..4).map(|_| on.kind().build()).collect();
    let (first, mut last) = channel::bounded(1);
    for (n, system) in systems.iter().enumerate() {
        let (tx, rx) = channel::bounded(1);
        let from = std::mem::replace(&mut last, rx);
        let backend = Arc::clone(system.backend());
        let task = match n % 2 {
            0 => system.spawn(async move {
                while let Ok(n) = from.recv().await {
                    tx.send(n + 1).await.unwrap();
                }
            }),
            _ => system.spawn_fn(move || {
                let own = twoply_core::task::current_backend().unwrap();
                assert!(Arc::ptr_eq(&own, &backend), "a task of another runtime");
                from.iter().for_each(|n| tx.send(n + 1).wait().unwrap());
            }),
        };
        task.detach();
    }
    for n in 0..50 {
        first.send(n).wait().unwrap();
        assert_eq!(last.recv().wait(), Ok(n + 4));
    }
    // The end of one is nothing to the others.
    systems[1].shutdown(SOON).unwrap();
    for n in [0, 2, 3] {
        assert_eq!(systems[n].spawn_fn(move || n).wait().unwrap(), n);
    }
    systems.iter().for_each(|system| system.shutdown(SOON).unwrap());
}

fn a_task_may_shut_another_runtime_down(on: &Systems) {
    let other = on.kind().build();
    let guards = Signal::new();
    let tasks = busy(&other, &guards);
    on.here().spawn_fn(move || other.shutdown(SOON)).wait().unwrap().unwrap();
    assert_eq!(guards.count(), 24);
    drop(tasks);
}

fn a_task_cannot_shut_its_own_runtime_down(on: &Systems) {
    let system = Arc::new(on.kind().build());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::Deadlock;
    let ask = |system: &Arc<System>| {
        let system = Arc::clone(system);
        move || system.shutdown(Duration::from_secs(3600)).unwrap_err()
    };
    assert!(refused(system.spawn_fn(ask(&system)).wait().unwrap()));
    let asked = ask(&system);
    assert!(refused(system.spawn(async move { asked() }).wait().unwrap()));
    let asked = ask(&system);
    assert!(refused(system.spawn_fn(move || offload(asked).unwrap()).wait().unwrap()));
    assert_eq!(system.spawn(async { 1 }).wait().unwrap(), 1, "nothing has been done");
    system.shutdown(SOON).unwrap();
}

fn a_run_inside_a_run_is_refused(on: &Systems) {
    let spawner = on.here().spawner().clone();
    let inner = spawner.clone();
    let nested = spawner.run(move || inner.run(|| unreachable!("it is not run"))).unwrap();
    assert!(matches!(nested, Err::<(), _>(Failure::Deadlock(_))), "{nested:?}");
    // Another runtime's is nobody's own.
    let other = on.kind().build();
    let inner = other.spawner().clone();
    assert_eq!(spawner.run(move || inner.run(|| 1).unwrap()).unwrap(), 1);
    other.shutdown(SOON).unwrap();
}

fn a_task_that_waits_for_all_of_its_own_is_told(on: &Systems) {
    let tasks = Arc::clone(on.here().spawner().tasks());
    let own = Arc::clone(&tasks);
    assert!(on.here().spawn_fn(move || own.wait_empty().wait()).wait().unwrap_err().is_panic());
    let own = Arc::clone(&tasks);
    assert!(on.here().spawn(async move { own.wait_empty().await }).wait().unwrap_err().is_panic());
    // With an alternative it may wait.
    let own = Arc::clone(&tasks);
    let limited = on.here().spawn(async move { timeout(Duration::from_millis(1), own.wait_empty()).await });
    assert!(limited.wait().unwrap().is_err());
    tasks.wait_empty().wait();
}

fn a_channel_outlives_the_runtime_of_its_other_end(on: &Systems) {
    let system = on.kind().build();
    let (tx, rx) = channel::bounded::<u32>(1);
    let sender = system.spawn_fn(move || {
        tx.send(1).wait().unwrap();
        pending::<()>().wait();
    });
    assert_eq!(rx.recv().wait(), Ok(1));
    let waiting = on.here().spawn_fn(move || rx.recv().wait());
    system.shutdown(SOON).unwrap();
    assert!(waiting.wait().unwrap().is_err(), "the sender went with its runtime");
    assert!(sender.wait().unwrap_err().is_cancelled());
}

fn dropping_a_runtime_cancels_its_tasks_and_returns_at_once(on: &Systems) {
    let guards = Signal::new();
    let system = on.kind().build();
    let tasks = busy(&system, &guards);
    let (hog, stop) = stubborn(&system, "busy");
    drop(system);
    stop.store(true, Ordering::SeqCst);
    hog.wait().unwrap();
    for task in tasks {
        assert!(task.wait().unwrap_err().is_cancelled());
    }
    assert_eq!(guards.count(), 24);
}

fn dropping_a_runtime_refuses_new_tasks(on: &Systems) {
    let system = on.kind().build();
    let spawner = system.spawner().clone();
    drop(system);
    let refused = spawner.spawn(async {}).wait().unwrap_err();
    assert!(matches!(refused.not_started(), Some(SpawnError::ShutDown)), "{refused}");
    spawner.tasks().wait_empty().wait();
}

fn dropping_a_runtime_leaves_nothing(on: &Systems) {
    on.alone(|| {
        let cycle = || {
            let guards = Signal::new();
            let system = on.kind().build();
            drop(busy(&system, &guards));
            drop(system);
            eventually("all tasks are gone", || guards.count() == 24);
        };
        let ours = || {
            let now = Resources::now();
            now.threads_named("twoply-green") + now.threads_named("twoply-native")
        };
        cycle();
        // At once: not only when a thread has been idle for long enough.
        let start = Instant::now();
        eventually("the threads end", || ours() == 0);
        assert!(start.elapsed() < Duration::from_secs(5));
        // Whoever saw to the end of a runtime lets go of its reactors last.
        let pollers = || Resources::now().descriptors.contains_key("anon_inode:[eventpoll]");
        eventually("the descriptors are closed", || !pollers());
        let before = Resources::now();
        (0..3).for_each(|_| cycle());
        eventually("the threads end", || ours() == 0);
        eventually("the descriptors are closed", || Resources::now().descriptors == before.descriptors);
    });
}

fn a_task_may_drop_its_own_runtime(on: &Systems) {
    let system = on.kind().build();
    let (tx, rx) = channel::bounded(1);
    let task = system.spawn_fn(move || {
        let own: System = rx.recv().wait().unwrap();
        drop(own);
        5
    });
    tx.send(system).wait().map_err(drop).unwrap();
    assert_eq!(task.wait().unwrap(), 5);
}
