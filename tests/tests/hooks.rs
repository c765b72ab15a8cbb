//! Hooks of a runtime: who is told of what, and that a hook may do anything.
#![cfg(all(feature = "native", feature = "green"))]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use twoply::actor::supervisor::{ChildSpec, Supervisor};
use twoply::actor::{self, Active, Actor, Context, Pool, Process};
use twoply::runtime::Hooks;
use twoply::task::{self, Builder, TaskGroup, TaskId, TaskKind};
use twoply::time::sleep;
use twoply::{Runtime, Spawner, Wait, channel};
use twoply_tests::{Signal, Systems, eventually, facade, laws};

laws! {
    everywhere {
        hooks_are_told_of_each_task_and_its_end,
        the_end_of_a_task_is_told_before_its_result,
        threads_tell_of_their_start_and_of_their_stop,
        idle_threads_tell_of_their_rest,
        hooks_that_panic_disturb_nobody,
        hooks_that_wait_and_start_tasks_disturb_nobody,
        hooks_of_a_cancelled_task_may_wait,
        a_task_that_cannot_start_has_an_end,
        hooks_are_told_where_a_task_was_started,
        hooks_are_told_where_a_process_was_started,
    }
    one_worker {
        a_runtime_of_one_thread_tells_of_its_tasks,
    }
}

const SOON: Duration = Duration::from_secs(10);

fn runtime(on: &Systems, hooks: Hooks) -> Runtime {
    facade!(on.kind()).hooks(hooks).build().expect("there are threads")
}

/// The tasks that hooks were told of, by number: names, and how many ends.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<BTreeMap<TaskId, Known>>>);

/// The name of a task, its kind, and how many ends of it have been told.
type Known = (Option<String>, TaskKind, u32);

impl Told {
    fn hooks(&self) -> Hooks {
        let (spawned, ended) = (self.clone(), self.clone());
        Hooks::new()
            .on_task_spawn(move |task| {
                let before =
                    spawned.0.lock().unwrap().insert(task.id, (task.name.map(str::to_owned), task.kind, 0));
                assert!(before.is_none(), "it has been told of before");
            })
            .on_task_end(move |task| {
                let mut told = ended.0.lock().unwrap();
                let (name, kind, ends) = told.get_mut(&task.id).expect("it has been told of");
                assert_eq!((name.as_deref(), *kind), (task.name, task.kind));
                *ends += 1;
            })
    }

    fn kinds(&self) -> Vec<TaskKind> {
        self.0.lock().unwrap().values().map(|(_, kind, _)| *kind).collect()
    }

    fn all_have_ended_once(&self) -> bool {
        self.0.lock().unwrap().values().all(|(_, _, ends)| *ends == 1)
    }
}

/// Starts tasks of many kinds, and waits for them.
fn all_kinds(spawner: &Spawner) {
    let named = Builder::new().name("named").spawn_on(spawner.backend(), async { 1 }).unwrap();
    assert_eq!(named.wait().unwrap(), 1);
    let failing = spawner.spawn_fn(|| panic!("expected: a task"));
    assert!(failing.wait().is_err_and(|failure: twoply::Failure| !failure.is_cancelled()));
    let waiting = spawner.spawn(pending::<()>());
    waiting.cancel();
    assert!(waiting.wait().unwrap_err().is_cancelled());
    let inside = spawner.spawn_fn(|| {
        task::scope(|scope| scope.spawn_fn(|| 2).unwrap().wait()).unwrap();
        let mut group = TaskGroup::new();
        group.spawn(async { sleep(Duration::from_micros(10)).await }).unwrap();
        group.join_next().wait().unwrap().unwrap();
        let process = actor::spawn(async |mut me: Process<u32>| drop(me.receive().await)).unwrap();
        process.send(1).wait().unwrap();
    });
    inside.wait().unwrap();
    spawner.tasks().wait_empty().wait();
}

fn hooks_are_told_of_each_task_and_its_end(on: &Systems) {
    let told = Told::default();
    let runtime = runtime(on, told.hooks());
    all_kinds(runtime.spawner());
    let kinds = told.kinds();
    let count = |kind| kinds.iter().filter(|found| **found == kind).count();
    let all = (count(TaskKind::Future), count(TaskKind::Closure), count(TaskKind::Process));
    assert_eq!(all, (3, 3, 1));
    assert!(told.all_have_ended_once());
    assert_eq!(told.0.lock().unwrap().values().next().unwrap().0.as_deref(), Some("named"));
    let left = runtime.spawn(pending::<()>());
    runtime.shutdown(SOON).unwrap();
    assert!(told.all_have_ended_once());
    assert!(left.wait().is_err());
    assert!(runtime.spawn(async {}).wait().is_err());
    assert_eq!(told.kinds().len(), 8, "what has not been started is not told of");
}

fn the_end_of_a_task_is_told_before_its_result(on: &Systems) {
    let (ended, dropped) = (Signal::new(), Signal::new());
    let (end, guards) = (ended.clone(), dropped.clone());
    let hooks = Hooks::new().on_task_end(move |_| {
        assert_eq!(guards.count(), end.add(), "its future has been dropped");
    });
    let runtime = runtime(on, hooks);
    for n in 1..=50 {
        let guard = dropped.on_drop();
        runtime.spawn(async move { drop(guard) }).wait().unwrap();
        assert_eq!(ended.count(), n);
    }
}

fn threads_tell_of_their_start_and_of_their_stop(on: &Systems) {
    let threads: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let (begun, ended) = (Arc::clone(&threads), Arc::clone(&threads));
    let me = || format!("{:?}", thread::current().id());
    let hooks = Hooks::new()
        .on_thread_start(move || {
            assert_eq!(begun.lock().unwrap().insert(me(), 1), None);
        })
        .on_thread_stop(move || {
            assert_eq!(ended.lock().unwrap().insert(me(), 2), Some(1));
        });
    let runtime = runtime(on, hooks);
    let on_task: ThreadId = runtime.spawn_fn(|| thread::current().id()).wait().unwrap();
    assert_eq!(threads.lock().unwrap().get(&format!("{on_task:?}")), Some(&1));
    all_kinds(runtime.spawner());
    runtime.shutdown(SOON).unwrap();
    assert!(threads.lock().unwrap().values().all(|&state| state == 2));
}

fn idle_threads_tell_of_their_rest(on: &Systems) {
    let (parked, unparked) = (Signal::new(), Signal::new());
    let (park, unpark) = (parked.clone(), unparked.clone());
    let hooks = Hooks::new()
        .on_thread_park(move || {
            park.add();
        })
        .on_thread_unpark(move || {
            unpark.add();
        });
    let runtime = runtime(on, hooks);
    for n in 1..5 {
        runtime.spawn(async {}).wait().unwrap();
        eventually("a thread has nothing to do", || parked.count() >= n && parked.count() > unparked.count());
    }
    runtime.shutdown(SOON).unwrap();
    assert_eq!(parked.count(), unparked.count());
}

/// Hooks that all call `hook`.
fn everywhere(hook: impl Fn() + Send + Sync + 'static) -> Hooks {
    let hook = Arc::new(hook);
    let call = || {
        let hook = Arc::clone(&hook);
        move || hook()
    };
    let told = || {
        let hook = Arc::clone(&hook);
        move |_: &twoply::runtime::TaskMeta<'_>| hook()
    };
    Hooks::new()
        .on_thread_start(call())
        .on_thread_stop(call())
        .on_thread_park(call())
        .on_thread_unpark(call())
        .on_task_spawn(told())
        .on_task_end(told())
}

fn hooks_that_panic_disturb_nobody(on: &Systems) {
    let calls = Signal::new();
    let call = calls.clone();
    let hooks = everywhere(move || {
        call.add();
        panic!("expected: a hook");
    });
    let runtime = runtime(on, hooks);
    (0..3).for_each(|_| all_kinds(runtime.spawner()));
    assert!(calls.count() >= 30);
    runtime.shutdown(SOON).unwrap();
}

fn hooks_that_wait_and_start_tasks_disturb_nobody(on: &Systems) {
    let (calls, started) = (Signal::new(), Signal::new());
    let (call, start) = (calls.clone(), started.clone());
    let other = twoply::native();
    let hooks = everywhere(move || {
        call.add();
        sleep(Duration::from_micros(50)).wait();
        let (tx, rx) = channel::bounded(1);
        other.spawn(async move { tx.send(1).await }).detach();
        assert_eq!(rx.recv().wait(), Ok(1));
        let start = start.clone();
        // On the runtime itself, where this is called by its threads.
        task::spawn(async move { start.add() }).detach();
    });
    let runtime = runtime(on, hooks);
    (0..3).for_each(|_| all_kinds(runtime.spawner()));
    runtime.spawner().tasks().wait_empty().wait();
    runtime.shutdown(SOON).unwrap();
    assert!(calls.count() >= 30 && started.count() >= 6, "{calls:?} {started:?}");
}

fn hooks_of_a_cancelled_task_may_wait(on: &Systems) {
    let waited = Signal::new();
    let wait = waited.clone();
    let hooks = Hooks::new().on_task_spawn(move |task| {
        if task.name == Some("inner") {
            task::current().expect("it is started by a task").cancel();
            sleep(Duration::from_millis(1)).wait();
            wait.add();
        }
    });
    let runtime = runtime(on, hooks);
    let outer = runtime.spawn_fn(|| {
        Builder::new().name("inner").spawn(async {}).unwrap().detach();
        pending::<()>().wait();
    });
    assert!(outer.wait().unwrap_err().is_cancelled());
    assert_eq!(waited.count(), 1, "the hook was not cut off");
}

fn a_task_that_cannot_start_has_an_end(on: &Systems) {
    if on.kind().is_green() {
        return;
    }
    let told = Told::default();
    let runtime = facade!(on.kind()).hooks(told.hooks()).max_threads(1).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let busy = runtime.spawn_fn(move || {
        while !stopped.load(Ordering::Relaxed) {
            thread::yield_now();
        }
    });
    assert!(runtime.spawn(async {}).wait().unwrap_err().not_started().is_some());
    stop.store(true, Ordering::Relaxed);
    busy.wait().unwrap();
    runtime.spawner().tasks().wait_empty().wait();
    assert_eq!(told.kinds().len(), 2);
    assert!(told.all_have_ended_once());
}

fn hooks_are_told_where_a_task_was_started(on: &Systems) {
    let places = Arc::new(Mutex::new(Vec::new()));
    let (begun, ended) = (Arc::clone(&places), Arc::clone(&places));
    let hooks = Hooks::new()
        .on_task_spawn(move |task| begun.lock().unwrap().push(task.spawned_at))
        .on_task_end(move |task| ended.lock().unwrap().push(task.spawned_at));
    let runtime = runtime(on, hooks);
    let before = Location::caller().line();
    runtime.spawn(async {}).wait().unwrap();
    let spawner = runtime.spawner().clone();
    let inside = runtime.spawn_fn(move || {
        task::spawn(async {}).wait().unwrap();
        let mut group = TaskGroup::new();
        group.spawn(async {}).unwrap();
        group.join_next().wait().unwrap().unwrap();
        task::scope(|scope| scope.spawn_fn(|| ()).unwrap().wait()).unwrap();
        spawner.spawn_pinned(|| async {}).wait().unwrap();
    });
    inside.wait().unwrap();
    runtime.spawner().tasks().wait_empty().wait();
    let told = places.lock().unwrap().clone();
    let mut lines: Vec<u32> = told.iter().map(|at| at.expect("it is known").line()).collect();
    assert!(told.iter().flatten().all(|at| at.file().ends_with("hooks.rs")), "{told:?}");
    lines.sort_unstable();
    let all = [1, 1, 3, 3, 4, 4, 6, 6, 8, 8, 9, 9];
    assert_eq!(lines, all.map(|line| before + line));
}

fn hooks_are_told_where_a_process_was_started(on: &Systems) {
    let places = Arc::new(Mutex::new(Vec::new()));
    let begun = Arc::clone(&places);
    let hooks = Hooks::new().on_task_spawn(move |task| {
        let at = task.spawned_at.expect("it is known");
        if task.process.is_some() {
            begun.lock().unwrap().push((at.file().ends_with("hooks.rs"), at.line()));
        }
    });
    let runtime = runtime(on, hooks);
    let before = Location::caller().line();
    let main = || {
        actor::spawn(async |_: Process<()>| ()).unwrap();
        let root = Supervisor::one_for_one()
            .child(ChildSpec::process("process", async |_: Process<()>| pending::<()>().await))
            .child(ChildSpec::process_fn("code", |_: Process<()>| pending::<()>().wait()))
            .child(ChildSpec::once("once", async |_: Process<()>| pending::<()>().await))
            .child(ChildSpec::task("task", async || pending::<()>().await))
            .child(ChildSpec::supervisor("below", Supervisor::dynamic()))
            .child(ChildSpec::actor("actor", || Idle))
            .start();
        let pool = Pool::builder().size(2).start(|| Idle);
        let active = Active::new(0);
        let (root, pool) = (root.wait().unwrap(), pool.wait().unwrap());
        active.ask(|_| ()).wait().unwrap();
        pool.stop().wait();
        root.stop().wait();
    };
    runtime.run(main).unwrap();
    let mut told = places.lock().unwrap().clone();
    assert!(told.iter().all(|(is_here, _)| *is_here), "{told:?}");
    told.sort_unstable();
    let lines: Vec<u32> = told.iter().map(|(_, line)| line - before).collect();
    // A pool is a supervisor with two members.
    assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8, 9, 11, 11, 11, 12]);
}

/// An actor that does nothing.
struct Idle;

impl Actor for Idle {
    type Message = ();
    type Error = Infallible;
    async fn handle(&mut self, (): (), _: &mut Context<Idle>) -> Result<(), Infallible> {
        Ok(())
    }
}

fn a_runtime_of_one_thread_tells_of_its_tasks(on: &Systems) {
    let told = Told::default();
    let runtime = facade!(on.kind()).hooks(told.hooks()).build_local().unwrap();
    let inside = runtime.spawner().clone();
    runtime.run(move || all_kinds_inside(&inside)).unwrap();
    drop(runtime);
    assert_eq!(told.kinds().len(), 3);
    assert!(told.all_have_ended_once());
}

fn all_kinds_inside(spawner: &Spawner) {
    assert_eq!(spawner.spawn(async { 1 }).wait().unwrap(), 1);
    spawner.spawn(async {}).detach();
}
