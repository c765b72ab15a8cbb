//! Cancellation: a task ends at its await point or its wait, wherever it is, and only there.

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use twoply_core::task::{self, Task, TaskRef};
use twoply_core::time::sleep;
use twoply_core::{Wait, channel};
use twoply_tests::{Gate, Kind, Signal, Systems, eventually, laws};

laws! {
    everywhere {
        a_suspended_task_is_dropped_at_its_await,
        a_blocked_task_unwinds_from_its_wait,
        nested_waits_unwind_one_by_one,
        a_running_task_ends_at_its_next_wait,
        a_running_future_ends_at_its_next_await,
        a_task_that_never_waits_again_is_not_stopped,
        cancelling_twice_is_cancelling_once,
        cancelling_after_the_end_changes_nothing,
        a_task_may_cancel_itself,
        a_destructor_that_waits_completes,
        a_future_that_waits_in_its_destructor_completes,
        joining_a_cancelled_task_does_not_hang,
        catching_the_unwind_in_a_loop_does_not_hold_the_canceller_up,
        catching_the_unwind_in_a_loop_does_not_spin,
        the_unwinding_can_be_told_from_a_panic,
        the_next_task_on_the_stack_is_not_cancelled,
        a_cancelled_receive_loses_no_message,
        cancel_races_with_the_wake_up,
        a_cancelled_task_cancels_nothing_else,
        a_cancelled_sleep_ends_at_once,
    }
    one_worker {
        a_task_that_has_not_started_never_starts,
    }
    mixed {
        a_task_may_be_cancelled_from_the_other_system,
    }
}

fn assert_cancelled<T>(task: Task<T>) {
    let error = task.wait().map(|_| ()).expect_err("it was cancelled");
    assert!(error.is_cancelled(), "{error}");
}

/// A destructor that waits until `gate` is open, and counts then.
struct WaitsInDrop(Gate, Signal);

impl Drop for WaitsInDrop {
    fn drop(&mut self) {
        self.0.opened().wait();
        self.1.add();
    }
}

fn a_suspended_task_is_dropped_at_its_await(on: &Systems) {
    let (gate, dropped, after) = (Gate::new(), Signal::new(), Signal::new());
    let (guard, opened, reached) = (dropped.on_drop(), gate.opened(), after.clone());
    let task = on.here().spawn(async move {
        let _guard = guard;
        opened.await;
        reached.add();
    });
    eventually("it waits", || gate.waiting() >= 1);
    task.cancel();
    assert_cancelled(task);
    assert_eq!((dropped.count(), after.count()), (1, 0));
}

fn a_blocked_task_unwinds_from_its_wait(on: &Systems) {
    let (gate, dropped, after) = (Gate::new(), Signal::new(), Signal::new());
    let (guard, opened, reached) = (dropped.on_drop(), gate.opened(), after.clone());
    let task = on.here().spawn_fn(move || {
        let _guard = guard;
        opened.wait();
        reached.add();
    });
    eventually("it waits", || gate.waiting() >= 1);
    task.cancel();
    assert_cancelled(task);
    assert_eq!((dropped.count(), after.count()), (1, 0));
}

fn nested_waits_unwind_one_by_one(on: &Systems) {
    fn nest(depth: usize, gate: &Gate, dropped: &Signal) {
        let _guard = dropped.on_drop();
        if depth == 0 {
            return gate.opened().wait();
        }
        let below = |_: &mut Context<'_>| {
            nest(depth - 1, gate, dropped);
            Poll::Ready(())
        };
        poll_fn(below).wait();
    }
    let (gate, dropped) = (Gate::new(), Signal::new());
    for depth in [1, 2, 5, 40] {
        let before = (gate.waiting(), dropped.count());
        let (theirs, signal) = (gate.clone(), dropped.clone());
        let task = on.here().spawn_fn(move || nest(depth, &theirs, &signal));
        eventually("it waits", || gate.waiting() > before.0);
        task.cancel();
        assert_cancelled(task);
        assert_eq!(dropped.count() - before.1, depth + 1);
    }
}

/// Starts code that runs without waiting until it is told to `go` on.
fn running(on: &Systems, then: impl FnOnce() + Send + 'static) -> (Task<()>, Arc<AtomicBool>) {
    let (go, started) = (Arc::new(AtomicBool::new(false)), Gate::new());
    let (going, begun) = (Arc::clone(&go), started.clone());
    let task = on.here().spawn_fn(move || {
        begun.open();
        while !going.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        then();
    });
    eventually("it runs", || started.is_open());
    (task, go)
}

fn a_running_task_ends_at_its_next_wait(on: &Systems) {
    let (before, after) = (Signal::new(), Signal::new());
    let (one, two) = (before.clone(), after.clone());
    let (task, go) = running(on, move || {
        one.add();
        pending::<()>().wait();
        two.add();
    });
    task.cancel();
    assert!(!task.is_finished());
    go.store(true, Ordering::SeqCst);
    assert_cancelled(task);
    assert_eq!((before.count(), after.count()), (1, 0));
}

fn a_running_future_ends_at_its_next_await(on: &Systems) {
    let (started, dropped) = (Gate::new(), Signal::new());
    let go = Arc::new(AtomicBool::new(false));
    let (begun, going, guard) = (started.clone(), Arc::clone(&go), dropped.on_drop());
    let task = on.here().spawn(async move {
        let _guard = guard;
        begun.open();
        while !going.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        pending::<()>().await;
    });
    eventually("it runs", || started.is_open());
    task.cancel();
    go.store(true, Ordering::SeqCst);
    assert_cancelled(task);
    assert_eq!(dropped.count(), 1);
}

fn a_task_that_never_waits_again_is_not_stopped(on: &Systems) {
    let done = Signal::new();
    let signal = done.clone();
    let (task, go) = running(on, move || {
        signal.add();
    });
    task.cancel();
    go.store(true, Ordering::SeqCst);
    // What it has done is its result.
    task.wait().unwrap();
    assert_eq!(done.count(), 1);
}

fn cancelling_twice_is_cancelling_once(on: &Systems) {
    let (gate, dropped) = (Gate::new(), Signal::new());
    let cleanup = WaitsInDrop(gate.clone(), dropped.clone());
    let waits = Gate::new();
    let opened = waits.opened();
    let task = on.here().spawn_fn(move || {
        let _cleanup = cleanup;
        opened.wait();
    });
    eventually("it waits", || waits.waiting() >= 1);
    task.cancel();
    eventually("its destructor waits", || gate.waiting() >= 1);
    // The second one must not unwind the destructor.
    task.cancel();
    task.task().cancel();
    gate.open();
    assert_cancelled(task);
    assert_eq!(dropped.count(), 1);
}

fn cancelling_after_the_end_changes_nothing(on: &Systems) {
    let task = on.here().spawn(async { 1 });
    eventually("it is over", || task.is_finished());
    task.cancel();
    let reference: TaskRef = task.task().clone();
    assert_eq!(task.wait().unwrap(), 1);
    reference.cancel();
    assert_eq!(on.here().spawn_fn(|| sleep(Duration::from_millis(1)).wait()).wait().map_err(drop), Ok(()));
}

fn a_task_may_cancel_itself(on: &Systems) {
    let own = || task::current().expect("it runs in a task");
    let code = on.here().spawn_fn(move || {
        own().cancel();
        pending::<()>().wait();
    });
    assert_cancelled(code);
    let future = on.here().spawn(async move {
        own().cancel();
        pending::<()>().await;
    });
    assert_cancelled(future);
    // A wait that is ready at once does not wait, so it does not end either.
    let ready = on.here().spawn_fn(move || {
        own().cancel();
        std::future::ready(7).wait()
    });
    assert_eq!(ready.wait().unwrap(), 7);
}

fn a_destructor_that_waits_completes(on: &Systems) {
    let (gate, dropped, waits) = (Gate::new(), Signal::new(), Gate::new());
    let (cleanup, opened) = (WaitsInDrop(gate.clone(), dropped.clone()), waits.opened());
    let task = on.here().spawn_fn(move || {
        let _cleanup = cleanup;
        opened.wait();
    });
    eventually("it waits", || waits.waiting() >= 1);
    task.cancel();
    eventually("its destructor waits", || gate.waiting() >= 1);
    assert!(!task.is_finished());
    // A fiber that unwinds keeps its worker while it waits: panics are counted for each thread.
    if on.kind() != Kind::Fibers1 {
        assert_eq!(on.here().spawn(async { 1 }).wait().unwrap(), 1);
    }
    gate.open();
    assert_cancelled(task);
    assert_eq!(dropped.count(), 1);
}

fn a_future_that_waits_in_its_destructor_completes(on: &Systems) {
    let (gate, dropped, waits) = (Gate::new(), Signal::new(), Gate::new());
    let (cleanup, opened) = (WaitsInDrop(gate.clone(), dropped.clone()), waits.opened());
    let task = on.here().spawn(async move {
        let _cleanup = cleanup;
        opened.await;
    });
    eventually("it waits", || waits.waiting() >= 1);
    task.cancel();
    eventually("its destructor waits", || gate.waiting() >= 1);
    assert_eq!(on.here().spawn(async { 1 }).wait().unwrap(), 1);
    gate.open();
    assert_cancelled(task);
    assert_eq!(dropped.count(), 1);
}

fn joining_a_cancelled_task_does_not_hang(on: &Systems) {
    for n in 0..50 {
        let task = match n % 2 {
            0 => on.here().spawn(pending()),
            _ => on.here().spawn_fn(|| pending().wait()),
        };
        let reference = task.task().clone();
        let canceller = thread::spawn(move || reference.cancel());
        let result: Result<(), _> = task.wait();
        assert!(result.unwrap_err().is_cancelled());
        canceller.join().unwrap();
    }
}

fn catching_the_unwind_in_a_loop_does_not_hold_the_canceller_up(on: &Systems) {
    let (caught, started) = (Signal::new(), Gate::new());
    let (signal, begun) = (caught.clone(), started.clone());
    let task = on.here().spawn_fn(move || {
        begun.open();
        while signal.count() < 1000 {
            let result = catch_unwind(AssertUnwindSafe(|| pending::<()>().wait()));
            assert!(result.is_err());
            signal.add();
        }
    });
    eventually("it runs", || started.is_open());
    task.cancel();
    // Each of its waits ends at once; it ends when it likes, and what it returns counts.
    task.wait().unwrap();
    assert_eq!(caught.count(), 1000);
}

fn catching_the_unwind_in_a_loop_does_not_spin(on: &Systems) {
    let (caught, over) = (Signal::new(), Arc::new(AtomicBool::new(false)));
    let (counted, seen) = (caught.clone(), Arc::clone(&over));
    let begun = Gate::new();
    let begin = begun.clone();
    let task = on.here().spawn_fn(move || {
        begin.open();
        while !seen.load(Ordering::SeqCst) {
            let waited = catch_unwind(AssertUnwindSafe(|| sleep(Duration::from_secs(3600)).wait()));
            assert!(task::is_cancellation(&*waited.unwrap_err()));
            counted.add();
        }
    });
    begun.opened().wait();
    task.cancel();
    eventually("it is slowed down", || caught.count() > 1025);
    // On one worker, too, others go on beside it.
    let before = caught.count();
    on.here().spawn(async { sleep(Duration::from_millis(100)).await }).wait().unwrap();
    let more = caught.count() - before;
    over.store(true, Ordering::SeqCst);
    task.wait().unwrap();
    assert!(more <= 100, "caught {more} times in a tenth of a second");
}

fn the_unwinding_can_be_told_from_a_panic(on: &Systems) {
    let begun = Gate::new();
    let begin = begun.clone();
    let task = on.here().spawn_fn(move || {
        let panic = catch_unwind(|| panic!("expected")).unwrap_err();
        assert!(!task::is_cancellation(&*panic));
        begin.open();
        let waited = catch_unwind(AssertUnwindSafe(|| pending::<()>().wait()));
        task::is_cancellation(&*waited.unwrap_err())
    });
    begun.opened().wait();
    task.cancel();
    assert!(task.wait().unwrap(), "the unwinding of a cancelled wait is not recognised");
}

fn the_next_task_on_the_stack_is_not_cancelled(on: &Systems) {
    for _ in 0..20 {
        let gate = Gate::new();
        let opened = gate.opened();
        let task = on.here().spawn_fn(move || opened.wait());
        eventually("it waits", || gate.waiting() >= 1);
        task.cancel();
        let next = on.here().spawn_fn(|| sleep(Duration::from_millis(1)).wait());
        next.wait().expect("the cancellation was another task's");
        assert_cancelled(task);
    }
}

fn a_cancelled_receive_loses_no_message(on: &Systems) {
    let (tx, rx) = channel::bounded(4);
    let received = Arc::new(Mutex::new(Vec::new()));
    let sender = on.here().spawn(async move {
        for n in 0..500 {
            tx.send(n).await.unwrap();
        }
    });
    let mut victims = 0;
    while !sender.is_finished() || !rx.is_empty() {
        let (rx, list) = (rx.clone(), Arc::clone(&received));
        let receive = move || loop {
            let Ok(n) = rx.recv().wait() else { return };
            list.lock().unwrap().push(n);
        };
        let task = on.here().spawn_fn(receive);
        if victims % 3 != 0 {
            thread::yield_now();
        }
        task.cancel();
        let _ = task.wait();
        victims += 1;
    }
    sender.wait().unwrap();
    assert!(received.lock().unwrap().iter().copied().eq(0..500), "after {victims} cancelled receivers");
}

fn cancel_races_with_the_wake_up(on: &Systems) {
    for n in 0..300 {
        let gate = Gate::new();
        let opened = gate.opened();
        let task = match n % 2 {
            0 => on.here().spawn(opened),
            _ => on.here().spawn_fn(move || opened.wait()),
        };
        let reference = task.task().clone();
        if n % 3 == 0 {
            eventually("it waits", || gate.waiting() >= 1);
        }
        let waker = thread::spawn(move || gate.open());
        reference.cancel();
        if let Err(error) = task.wait() {
            assert!(error.is_cancelled(), "{error}");
        }
        waker.join().unwrap();
    }
}

fn a_cancelled_task_cancels_nothing_else(on: &Systems) {
    let gate = Gate::new();
    let (opened, waits) = (gate.opened(), Gate::new());
    let waiting = waits.opened();
    let (tx, rx) = channel::bounded(1);
    let parent = on.here().spawn_fn(move || {
        let child = twoply::spawn(async move {
            opened.await;
            "child"
        });
        tx.send(child).wait().map_err(drop).unwrap();
        waiting.wait();
    });
    let child = rx.recv().wait().unwrap();
    eventually("it waits", || waits.waiting() >= 1);
    parent.cancel();
    assert_cancelled(parent);
    gate.open();
    assert_eq!(child.wait().unwrap(), "child");
}

fn a_cancelled_sleep_ends_at_once(on: &Systems) {
    let hour = Duration::from_secs(3600);
    let tasks = [on.here().spawn(sleep(hour)), on.here().spawn_fn(move || sleep(hour).wait())];
    thread::sleep(Duration::from_millis(5));
    for task in tasks {
        task.cancel();
        assert_cancelled(task);
    }
}

fn a_task_that_has_not_started_never_starts(on: &Systems) {
    let (ran, dropped) = (Signal::new(), Signal::new());
    // The only worker is busy, so what is started now waits in its queue.
    let (busy, go) = running(on, || ());
    let tasks: Vec<Task<()>> = (0..10)
        .map(|n| {
            let (signal, guard) = (ran.clone(), dropped.on_drop());
            match n % 2 {
                0 => on.here().spawn(async move {
                    let _guard = guard;
                    signal.add();
                }),
                _ => on.here().spawn_fn(move || {
                    let _guard = guard;
                    signal.add();
                }),
            }
        })
        .collect();
    tasks.iter().for_each(Task::cancel);
    go.store(true, Ordering::SeqCst);
    busy.wait().unwrap();
    tasks.into_iter().for_each(assert_cancelled);
    assert_eq!((ran.count(), dropped.count()), (0, 10));
}

fn a_task_may_be_cancelled_from_the_other_system(on: &Systems) {
    fn both<T>(on: &Systems, future: impl Fn() -> T) -> [Task<()>; 2]
    where
        T: Future<Output = ()> + Send + 'static,
    {
        let (one, two) = (future(), future());
        [on.here().spawn(one), on.here().spawn_fn(move || two.wait())]
    }
    for victim in both(on, pending) {
        let reference = victim.task().clone();
        on.there().spawn(async move { reference.cancel() }).wait().unwrap();
        on.there().spawn_fn(move || assert_cancelled(victim)).wait().unwrap();
    }
}
