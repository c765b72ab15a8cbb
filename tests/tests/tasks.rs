//! Tasks: what starts, what it results in, and what its handle says.

use std::future::{Future, pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use twoply_core::task::{self, Builder, SpawnError, TaskGroup};
use twoply_core::time::timeout;
use twoply_core::{Wait, channel};
use twoply_tests::{Gate, Signal, Systems, eventually, laws};

laws! {
    and_mixed {
        a_task_results_in_what_it_returns,
        a_task_may_be_awaited_by_a_task_of_the_other_system,
    }
    everywhere {
        a_name_and_an_id_identify_a_task,
        a_task_may_be_named_after_the_one_that_starts_it,
        a_task_is_finished_when_it_says_so,
        a_dropped_handle_detaches_its_task,
        a_dropped_handle_cancels_its_task_if_that_was_asked_for,
        a_handle_that_has_waited_keeps_its_result_whatever_becomes_of_it,
        two_hundred_dropped_handles_leave_nothing,
        a_spawn_inside_a_task_stays_on_its_backend,
        run_returns_when_everything_is_done,
        waiting_for_no_tasks_returns_at_once,
        a_task_with_a_record_of_its_own_knows_where_it_was_started,
        outside_of_tasks_there_is_the_default_backend,
        a_refused_task_says_why,
        many_tasks_all_run,
        results_come_to_whoever_waits_however_late,
        a_group_gives_results_in_the_order_of_the_ends,
        a_wait_for_a_group_that_is_given_up_loses_no_result,
        a_group_that_is_dropped_cancels_its_tasks,
        a_group_can_be_cancelled_and_still_be_joined,
    }
    native { a_native_task_has_its_name_and_stack }
}

fn a_task_results_in_what_it_returns(on: &Systems) {
    for system in [on.here(), on.there()] {
        assert_eq!(system.spawn(async { 6 * 7 }).wait().unwrap(), 42);
        assert_eq!(system.spawn_fn(|| "straight").wait().unwrap(), "straight");
        assert_eq!(system.spawn(system.spawn(async { vec![1, 2] })).wait().unwrap().unwrap(), [1, 2]);
    }
}

fn a_task_may_be_awaited_by_a_task_of_the_other_system(on: &Systems) {
    let far = on.there().spawn_fn(|| 1);
    let near = on.here().spawn(async move { far.await.unwrap() + 1 });
    let back = on.there().spawn_fn(move || near.wait().unwrap() + 1);
    assert_eq!(back.wait().unwrap(), 3);
}

fn a_name_and_an_id_identify_a_task(on: &Systems) {
    let backend = on.here().backend();
    let named = Builder::new().name("deep thought").spawn_on(backend, async { task::current() }).unwrap();
    assert_eq!(named.name(), Some("deep thought"));
    let id = named.id();
    let text = named.task().to_string();
    assert_eq!(text, format!("deep thought ({id})"));
    let inside = named.wait().unwrap().expect("it runs in a task");
    assert_eq!((inside.id(), inside.name()), (id, Some("deep thought")));
    let (a, b) = (on.here().spawn(async {}), on.here().spawn_fn(|| task::current().map(|task| task.id())));
    assert_ne!(a.id(), b.id());
    assert_eq!((a.name(), b.name()), (None, None));
    let id = b.id();
    assert_eq!(b.wait().unwrap(), Some(id));
    assert!(task::current().is_none(), "a test is no task");
    a.wait().unwrap();
}

fn a_task_may_be_named_after_the_one_that_starts_it(on: &Systems) {
    let names = |own: Option<&str>| {
        let mut builder = Builder::new().inherit_name();
        if let Some(own) = own {
            builder = builder.name(own);
        }
        let child = builder.spawn(async { task::current().unwrap().name().map(str::to_owned) }).unwrap();
        child.wait().unwrap()
    };
    let backend = on.here().backend();
    let all =
        Builder::new().name("server").spawn_fn_on(backend, move || [names(None), names(Some("reader"))]);
    assert_eq!(all.unwrap().wait().unwrap(), ["server", "server/reader"].map(|name| Some(name.to_owned())));
    // Without a name there is none to inherit; and who does not ask does not inherit.
    let none = on.here().spawn_fn(move || [names(None), names(Some("reader"))]);
    assert_eq!(none.wait().unwrap(), [None, Some("reader".to_owned())]);
    let plain = Builder::new().name("server").spawn_fn_on(backend, || {
        Builder::new().name("own").spawn(async {}).unwrap().name().map(str::to_owned)
    });
    assert_eq!(plain.unwrap().wait().unwrap().as_deref(), Some("own"));
    // So are those of a scope, and of a group.
    let own = || task::current().unwrap().name().map(str::to_owned);
    let builder = |name: &str| Builder::new().name(name).inherit_name();
    let server = Builder::new().name("server").spawn_fn_on(backend, move || {
        let mut names = task::scope(|s| {
            let first = s.spawn_with(builder("1"), async { own() }).unwrap();
            let second = s.spawn_fn_with(builder("2"), own).unwrap();
            vec![first.wait().unwrap(), second.wait().unwrap()]
        });
        let mut group = TaskGroup::new();
        group.spawn_with(builder("3"), async move { own() }).unwrap();
        names.push(group.join_next().wait().unwrap().unwrap());
        group.spawn_fn_with(builder("4"), own).unwrap();
        names.push(group.join_next().wait().unwrap().unwrap());
        names
    });
    let names: Vec<_> = server.unwrap().wait().unwrap().into_iter().flatten().collect();
    assert_eq!(names, ["server/1", "server/2", "server/3", "server/4"]);
}

fn a_task_is_finished_when_it_says_so(on: &Systems) {
    let gate = Gate::new();
    let suspended = on.here().spawn(gate.opened());
    let opened = gate.opened();
    let blocked = on.here().spawn_fn(move || opened.wait());
    eventually("both wait", || gate.waiting() >= 2);
    assert!(!suspended.is_finished() && !blocked.is_finished());
    let (first, second) = (suspended.task().clone(), blocked.task().clone());
    gate.open();
    suspended.wait().unwrap();
    blocked.wait().unwrap();
    assert!(first.is_finished() && second.is_finished());
}

fn a_dropped_handle_detaches_its_task(on: &Systems) {
    let (gate, done) = (Gate::new(), Signal::new());
    let (opened, signal) = (gate.opened(), done.clone());
    drop(on.here().spawn(async move {
        opened.await;
        signal.add();
    }));
    let (opened, signal) = (gate.opened(), done.clone());
    on.here()
        .spawn_fn(move || {
            opened.wait();
            signal.add();
        })
        .cancel_on_drop()
        .detach();
    let (opened, signal) = (gate.opened(), done.clone());
    on.here()
        .spawn(async move {
            opened.await;
            signal.add();
        })
        .detach();
    eventually("all wait", || gate.waiting() >= 3);
    gate.open();
    eventually("all have gone on", || done.count() == 3);
    eventually("none is left", || on.here().tasks() == 0);
}

fn a_dropped_handle_cancels_its_task_if_that_was_asked_for(on: &Systems) {
    let (gate, dropped) = (Gate::new(), Signal::new());
    let (opened, guard) = (gate.opened(), dropped.on_drop());
    let suspended = on.here().spawn(async move {
        let _guard = guard;
        opened.await;
    });
    let (opened, guard) = (gate.opened(), dropped.on_drop());
    let blocked = on.here().spawn_fn(move || {
        let _guard = guard;
        opened.wait();
    });
    let (suspended, blocked) = (suspended.cancel_on_drop(), blocked.cancel_on_drop());
    eventually("both wait", || gate.waiting() >= 2);
    drop(suspended);
    drop(blocked);
    eventually("what they held is gone", || dropped.count() == 2);
    eventually("none is left", || on.here().tasks() == 0);
}

fn a_handle_that_has_waited_keeps_its_result_whatever_becomes_of_it(on: &Systems) {
    let waited_for = || {
        let gate = Gate::new();
        let opened = gate.opened();
        let mut task = on.here().spawn(async move {
            opened.await;
            7
        });
        assert!(timeout(Duration::from_millis(1), &mut task).wait().is_err());
        gate.open();
        eventually("it is over", || task.is_finished() && on.here().tasks() == 0);
        task
    };
    assert_eq!(waited_for().cancel_on_drop().wait().unwrap(), 7);
    assert_eq!(waited_for().into_promise().wait().unwrap(), 7);
}

fn two_hundred_dropped_handles_leave_nothing(on: &Systems) {
    let dropped = Signal::new();
    for round in 1..=2 {
        let handles: Vec<_> = (0..100)
            .flat_map(|_| {
                let (one, other) = (dropped.on_drop(), dropped.on_drop());
                let suspended = on.here().spawn(async move {
                    let _held = (one, vec![0u8; 4096]);
                    pending::<()>().await;
                });
                let blocked = on.here().spawn_fn(move || {
                    let _held = (other, vec![0u8; 4096]);
                    pending::<()>().wait();
                });
                [suspended.cancel_on_drop(), blocked.cancel_on_drop()]
            })
            .collect();
        assert_eq!(on.here().tasks(), 200);
        drop(handles);
        eventually("none is left", || on.here().tasks() == 0);
        assert_eq!(dropped.count(), 200 * round);
        if on.kind().is_green() {
            let metrics = on.here().metrics();
            assert_eq!((metrics.tasks, metrics.leaked_stacks), (0, 0));
        }
    }
}

fn a_spawn_inside_a_task_stays_on_its_backend(on: &Systems) {
    let backend = Arc::clone(on.here().backend());
    let from_async = on.here().spawn(async {
        let child = Builder::new().spawn(async { task::current_backend().unwrap() }).unwrap();
        (task::current_backend().unwrap(), child.await.unwrap())
    });
    let from_code = on.here().spawn_fn(|| {
        let child = twoply::spawn_fn(|| task::current_backend().unwrap());
        (task::current_backend().unwrap(), child.wait().unwrap())
    });
    for (own, childs) in [from_async.wait().unwrap(), from_code.wait().unwrap()] {
        assert!(Arc::ptr_eq(&own, &backend) && Arc::ptr_eq(&childs, &backend));
    }
}

fn run_returns_when_everything_is_done(on: &Systems) {
    let done = Signal::new();
    let signal = done.clone();
    let result = on.here().spawner().run(move || {
        for _ in 0..10 {
            let signal = signal.clone();
            twoply::spawn_fn(move || {
                twoply_core::time::sleep(std::time::Duration::from_millis(5)).wait();
                let later = signal.clone();
                twoply::spawn(async move { later.add() }).detach();
                signal.add();
            })
            .detach();
        }
        "main"
    });
    assert_eq!(result.unwrap(), "main");
    assert_eq!(done.count(), 20, "run returned too early");
    assert_eq!(on.here().tasks(), 0);
}

fn waiting_for_no_tasks_returns_at_once(on: &Systems) {
    on.here().spawner().tasks().wait_empty().wait();
    let registry = Arc::clone(on.here().spawner().tasks());
    on.here().spawn(async {}).wait().unwrap();
    registry.wait_empty().wait();
    assert!(registry.is_empty());
}

fn a_task_with_a_record_of_its_own_knows_where_it_was_started(on: &Systems) {
    let line = || task::current().unwrap().spawned_at().map(|at| (at.file(), at.line()));
    let backend = on.here().backend();
    let named = Builder::new().name("named").spawn_fn_on(backend, line).unwrap().wait().unwrap();
    assert_eq!(named, Some((file!(), line!() - 1)));
    let scoped = task::scope(|scope| scope.spawn_fn_on(backend, line).unwrap().wait()).unwrap();
    assert_eq!(scoped, Some((file!(), line!() - 1)));
    let mut group = task::TaskGroup::on(Arc::clone(backend));
    group.spawn_fn(line).unwrap();
    assert_eq!(group.join_next().wait().unwrap().unwrap(), Some((file!(), line!() - 1)));
    let (said, heard) = std::sync::mpsc::channel();
    let process = twoply_core::actor::Builder::<()>::new().name("process").on(backend);
    process.spawn_fn(move |_| said.send(line()).unwrap()).unwrap();
    assert_eq!(heard.recv().unwrap(), Some((file!(), line!() - 1)));
    // The others are spared the memory.
    assert_eq!(on.here().spawn_fn(line).wait().unwrap(), None);
}

fn outside_of_tasks_there_is_the_default_backend(on: &Systems) {
    let name = || task::current_backend().unwrap().name();
    let green = twoply::green();
    let usual = green.backend();
    assert!(Arc::ptr_eq(&task::current_backend().unwrap(), usual));
    assert_eq!(Builder::new().spawn(async move { name() }).unwrap().wait().unwrap(), "green");
    // A task has its own.
    let own = on.here().backend().name();
    let inherited =
        on.here().spawn_fn(move || Builder::new().spawn(async move { name() }).unwrap().wait().unwrap());
    assert_eq!(inherited.wait().unwrap(), own);
}

fn a_refused_task_says_why(on: &Systems) {
    let system = on.kind().build();
    system.shutdown(std::time::Duration::from_secs(10)).unwrap();
    let dropped = Signal::new();
    let guard = dropped.on_drop();
    let refused = system.spawn(async move { drop(guard) });
    assert!(refused.is_finished());
    assert_eq!(dropped.count(), 1, "a task that does not start is dropped");
    let error = refused.wait().unwrap_err();
    assert!(matches!(error.not_started(), Some(SpawnError::ShutDown)), "{error}");
    let refused = Builder::new().spawn_fn_on(system.backend(), || ());
    assert!(matches!(refused, Err(SpawnError::ShutDown)));
}

fn many_tasks_all_run(on: &Systems) {
    let number = if on.kind().is_green() { 10_000 } else { 500 };
    let ran = Signal::new();
    let (tx, rx) = channel::unbounded();
    for n in 0..number {
        let (ran, tx) = (ran.clone(), tx.clone());
        let task = on.here().spawn(async move {
            ran.add();
            tx.send(n).await.unwrap();
        });
        task.detach();
    }
    drop(tx);
    let mut seen: Vec<usize> = rx.iter().collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..number));
    assert_eq!(ran.count(), number);
}

fn results_come_to_whoever_waits_however_late(on: &Systems) {
    let early = on.here().spawn(async { 1 });
    eventually("it is over", || early.is_finished());
    assert_eq!(early.wait().unwrap(), 1);
    let task = on.here().spawn_fn(|| 2);
    let waits = thread::spawn(move || task.wait().unwrap());
    assert_eq!(waits.join().unwrap(), 2);
    // A wait that is given up leaves the task, and its result, where they are.
    let gate = Gate::new();
    let opened = gate.opened();
    let mut task = on.here().spawn(async move {
        opened.await;
        3
    });
    let gave_up = twoply_core::time::timeout(std::time::Duration::from_millis(1), &mut task).wait();
    assert!(gave_up.is_err());
    gate.open();
    assert_eq!(task.wait().unwrap(), 3);
}

fn a_group_gives_results_in_the_order_of_the_ends(on: &Systems) {
    let gates: Vec<Gate> = (0..5).map(|_| Gate::new()).collect();
    let mut group = TaskGroup::on(Arc::clone(on.here().backend()));
    for (n, gate) in gates.iter().enumerate() {
        let opened = gate.opened();
        let started = match n % 2 {
            0 => group.spawn(async move {
                opened.await;
                n
            }),
            _ => group.spawn_fn(move || {
                opened.wait();
                n
            }),
        };
        started.unwrap();
    }
    assert_eq!(group.len(), 5);
    for n in [3, 0, 4, 1, 2] {
        gates[n].open();
        assert_eq!(group.join_next().wait().unwrap().unwrap(), n);
    }
    assert!(group.join_next().wait().is_none() && group.is_empty());
}

/// A future that is polled by whoever wakes it, before anything else happens there.
struct AtOnce {
    future: Mutex<Pin<Box<dyn Future<Output = ()> + Send>>>,
    done: Signal,
}

impl Wake for AtOnce {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self));
        let polled = self.future.lock().unwrap().as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            self.done.add();
        }
    }
}

fn a_wait_for_a_group_that_is_given_up_loses_no_result(on: &Systems) {
    let gate = Gate::new();
    let opened = gate.opened();
    let mut group = TaskGroup::on(on.here().backend().clone());
    let joined = async move {
        group.spawn(opened).unwrap();
        {
            let mut next = pin!(group.join_next());
            let mut polls = 0;
            // The task wakes it when it is about to be over, and when it is.
            let given_up = poll_fn(|cx| {
                polls += 1;
                if polls < 3 { next.as_mut().poll(cx).map(|_| unreachable!()) } else { Poll::Ready(()) }
            });
            given_up.await;
        }
        group.join_next().await.unwrap().unwrap();
    };
    let joined = Arc::new(AtOnce { future: Mutex::new(Box::pin(joined)), done: Signal::new() });
    Arc::clone(&joined).wake();
    gate.open();
    eventually("the result is there", || joined.done.count() == 1);
}

fn a_group_that_is_dropped_cancels_its_tasks(on: &Systems) {
    let (gate, dropped) = (Gate::new(), Signal::new());
    let mut group = TaskGroup::on(Arc::clone(on.here().backend()));
    for n in 0..10 {
        let (guard, opened) = (dropped.on_drop(), gate.opened());
        let held = AssertUnwindSafe((guard, opened));
        let started = match n % 2 {
            0 => group.spawn(async move {
                let AssertUnwindSafe((_guard, opened)) = held;
                opened.await;
            }),
            _ => group.spawn_fn(move || {
                let AssertUnwindSafe((_guard, opened)) = held;
                opened.wait();
            }),
        };
        started.unwrap();
    }
    eventually("all wait", || gate.waiting() >= 10);
    drop(group);
    eventually("what they held is gone", || dropped.count() == 10);
}

fn a_group_can_be_cancelled_and_still_be_joined(on: &Systems) {
    let mut group = TaskGroup::on(Arc::clone(on.here().backend()));
    group.spawn(async { 1 }).unwrap();
    assert_eq!(group.join_next().wait().unwrap().unwrap(), 1);
    for _ in 0..4 {
        group.spawn(pending()).unwrap();
        group.spawn_fn(|| pending().wait()).unwrap();
    }
    group.cancel_all();
    let mut cancelled = 0;
    while let Some(result) = group.join_next().wait() {
        assert!(result.unwrap_err().is_cancelled());
        cancelled += 1;
    }
    assert_eq!(cancelled, 8);
}

fn a_native_task_has_its_name_and_stack(on: &Systems) {
    fn deep(n: usize) -> usize {
        let frame = std::hint::black_box([n; 128]);
        if n == 0 { 0 } else { frame[n % 128].min(1) + deep(n - 1) }
    }
    let builder = Builder::new().name("a long name for a thread").stack_size(64 << 20);
    let task = builder.spawn_fn_on(on.here().backend(), || {
        let name = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
        (name, deep(10_000))
    });
    let (name, depth) = task.unwrap().wait().unwrap();
    assert_eq!((name.trim(), depth), ("a long name for", 10_000));
}
