//! What lies in thread-locals goes along with a fiber that waits, where the program says how.
#![cfg(all(feature = "native", feature = "green"))]

use std::cell::Cell;
use std::future::pending;
use std::time::Duration;

use twoply::runtime::Hooks;
use twoply::time::sleep;
use twoply::{Runtime, Wait, channel, future, offload, spawn};
use twoply_tests::{Signal, Systems, eventually, facade, laws};

laws! {
    everywhere {
        each_stack_that_waits_keeps_its_own,
        code_that_begins_finds_what_the_thread_had,
        hooks_of_a_switch_that_panic_disturb_nobody,
    }
    fibers {
        several_are_independent,
        a_hook_of_a_switch_must_not_wait,
        what_is_cancelled_has_its_own_while_it_unwinds,
        a_hook_of_a_switch_may_start_tasks,
    }
    threads {
        nothing_is_switched_on_threads,
    }
}

const SOON: Duration = Duration::from_secs(10);

thread_local! {
    /// What a task has entered.
    static CONTEXT: Cell<u32> = const { Cell::new(0) };
    /// Something else of the kind.
    static OTHER: Cell<&'static str> = const { Cell::new("") };
}

fn swapping() -> Hooks {
    Hooks::new().on_fiber_switch(|| CONTEXT.replace(0), |context| CONTEXT.set(context))
}

fn runtime(on: &Systems, hooks: Hooks) -> Runtime {
    facade!(on.kind()).hooks(hooks).build().unwrap()
}

/// Code that waits in many ways, each time with `number` as its context.
fn keep(number: u32) {
    assert_eq!(CONTEXT.replace(number), 0, "nobody has left anything");
    sleep(Duration::from_micros(20)).wait();
    assert_eq!(CONTEXT.get(), number);
    future::yield_now().wait();
    assert_eq!(CONTEXT.get(), number);
    let (tx, rx) = channel::bounded(1);
    let sender = spawn(async move { tx.send(CONTEXT.get()).await });
    assert_eq!(rx.recv().wait(), Ok(0), "a task that starts has none");
    sender.wait().unwrap().unwrap();
    offload(|| ()).unwrap();
    assert_eq!(CONTEXT.get(), number);
    CONTEXT.set(0);
}

fn each_stack_that_waits_keeps_its_own(on: &Systems) {
    let runtime = runtime(on, swapping());
    let tasks: Vec<_> = (1..=50).map(|number| runtime.spawn_fn(move || keep(number))).collect();
    tasks.into_iter().for_each(|task| task.wait().unwrap());
    runtime.shutdown(SOON).unwrap();
}

fn code_that_begins_finds_what_the_thread_had(on: &Systems) {
    let hooks = swapping().around_threads(|body| {
        OTHER.set("of the thread");
        body();
    });
    let runtime = runtime(on, hooks);
    let blocked = runtime.spawn_fn(|| {
        CONTEXT.set(7);
        sleep(Duration::from_millis(1)).wait();
        CONTEXT.replace(0)
    });
    let others = (0..20).map(|_| runtime.spawn(async { (CONTEXT.get(), OTHER.get()) }));
    for other in others.collect::<Vec<_>>() {
        assert_eq!(other.wait().unwrap(), (0, "of the thread"));
    }
    assert_eq!(blocked.wait().unwrap(), 7);
    runtime.shutdown(SOON).unwrap();
}

fn hooks_of_a_switch_that_panic_disturb_nobody(on: &Systems) {
    let hooks =
        Hooks::new().on_fiber_switch(|| panic!("expected: leave"), |()| unreachable!("it has left nothing"));
    let hooks = hooks.on_fiber_switch(|| (), |()| panic!("expected: enter"));
    let runtime = runtime(on, hooks);
    let tasks: Vec<_> =
        (0..5).map(|_| runtime.spawn_fn(|| sleep(Duration::from_micros(50)).wait())).collect();
    tasks.into_iter().for_each(|task| task.wait().unwrap());
    runtime.shutdown(SOON).unwrap();
}

fn several_are_independent(on: &Systems) {
    let hooks = swapping().on_fiber_switch(|| OTHER.replace(""), |other| OTHER.set(other));
    let runtime = runtime(on, hooks);
    let tasks: Vec<_> = (1..=10)
        .map(|number| {
            runtime.spawn_fn(move || {
                OTHER.set("mine");
                keep(number);
                assert_eq!(OTHER.replace(""), "mine");
            })
        })
        .collect();
    tasks.into_iter().for_each(|task| task.wait().unwrap());
}

fn a_hook_of_a_switch_must_not_wait(on: &Systems) {
    let (left, came_back) = (Signal::new(), Signal::new());
    let (leave, back) = (left.clone(), came_back.clone());
    let hooks = Hooks::new().on_fiber_switch(
        move || {
            leave.add();
            sleep(SOON).wait();
            back.add();
        },
        |()| (),
    );
    let runtime = runtime(on, hooks);
    let (tx, rx) = channel::bounded(1);
    let task = runtime.spawn_fn(move || rx.recv().wait());
    eventually("the fiber has been left", || left.count() > 0);
    tx.send(1).wait().unwrap();
    assert_eq!(task.wait().unwrap(), Ok(1));
    assert_eq!(came_back.count(), 0, "the wait has panicked");
}

fn what_is_cancelled_has_its_own_while_it_unwinds(on: &Systems) {
    struct Look(channel::Sender<u32>);
    impl Drop for Look {
        fn drop(&mut self) {
            let _ = self.0.try_send(CONTEXT.replace(0));
        }
    }
    let runtime = runtime(on, swapping());
    let (tx, rx) = channel::bounded(1);
    let (begun, begins) = channel::oneshot();
    let task = runtime.spawn_fn(move || {
        CONTEXT.set(9);
        let _look = Look(tx);
        begun.send(()).unwrap();
        pending::<()>().wait();
    });
    begins.wait().unwrap();
    task.cancel();
    assert!(task.wait().unwrap_err().is_cancelled());
    assert_eq!(rx.recv().wait(), Ok(9));
}

fn a_hook_of_a_switch_may_start_tasks(on: &Systems) {
    let started = Signal::new();
    let (leaving, entering) = (started.clone(), started.clone());
    let start = |signal: &Signal| {
        let signal = signal.clone();
        spawn(async move {
            signal.add();
        })
        .detach();
    };
    let hooks = Hooks::new().on_fiber_switch(move || start(&leaving), move |()| start(&entering));
    let runtime = runtime(on, hooks);
    let (tx, rx) = channel::bounded(1);
    let task = runtime.spawn_fn(move || rx.recv().wait());
    eventually("the fiber has been left", || started.count() > 0);
    tx.send(1).wait().unwrap();
    assert_eq!(task.wait().unwrap(), Ok(1));
    runtime.spawner().tasks().wait_empty().wait();
    assert!(started.count() >= 2 && started.count().is_multiple_of(2), "{started:?}");
}

fn nothing_is_switched_on_threads(on: &Systems) {
    let hooks = Hooks::new().on_fiber_switch(|| unreachable!("there are no fibers"), |()| ());
    let runtime = runtime(on, hooks);
    runtime.spawn_fn(|| sleep(Duration::from_micros(50)).wait()).wait().unwrap();
    runtime.shutdown(SOON).unwrap();
}
