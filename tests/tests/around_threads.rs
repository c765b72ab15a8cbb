//! What a program puts around threads is there for all that runs on them, and a thread runs whatever that
//! does.
#![cfg(all(feature = "native", feature = "green"))]

use std::cell::Cell;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use twoply::runtime::{Hooks, process_hooks, set_process_hooks};
use twoply::time::sleep;
use twoply::{Runtime, Wait, channel, contract, offload, task};
use twoply_core::ioserver;
use twoply_tests::{Act, Signal, Systems, eventually, facade, hooked_waker, laws};

laws! {
    everywhere {
        all_that_runs_on_a_thread_lies_inside,
        threads_that_do_io_lie_inside,
        further_layers_lie_inside_of_those_before_them,
        a_layer_that_calls_nothing_stops_no_thread,
        a_layer_that_calls_twice_runs_a_thread_once,
        a_layer_that_panics_stops_no_thread,
        a_layer_may_wait_and_start_tasks,
        tasks_inside_of_a_layer_are_cancelled_as_others_are,
        hooks_inside_of_a_layer_are_called,
    }
    one_worker {
        hooks_of_the_process_lie_around_threads_of_no_runtime,
    }
}

const SOON: Duration = Duration::from_secs(10);

thread_local! {
    /// How many layers lie around the calling code.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// A layer that counts itself in while it lasts.
fn enter(body: &mut dyn FnMut()) {
    DEPTH.set(DEPTH.get() + 1);
    body();
    DEPTH.set(DEPTH.get() - 1);
}

/// Asserts that each kind of code of `runtime` runs inside of `depth` layers.
fn assert_all_inside(runtime: &Runtime, depth: u32) {
    let here = move || assert_eq!(DEPTH.get(), depth, "on {:?}", thread::current().name());
    runtime.spawn(async move { here() }).wait().unwrap();
    let (tx, rx) = channel::bounded::<u32>(1);
    let blocked = runtime.spawn_fn(move || {
        here();
        rx.recv().wait().unwrap();
        here();
        offload(here).unwrap();
        sleep(Duration::from_micros(50)).wait();
        here();
    });
    let others = (0..4).map(|_| runtime.spawn_fn(here)).collect::<Vec<_>>();
    others.into_iter().for_each(|task| task.wait().unwrap());
    tx.send(1).wait().unwrap();
    blocked.wait().unwrap();
}

fn all_that_runs_on_a_thread_lies_inside(on: &Systems) {
    let (begun, over) = (Signal::new(), Signal::new());
    let (begin, end) = (begun.clone(), over.clone());
    let layered = facade!(on.kind()).around_threads(move |body| {
        begin.add();
        enter(body);
        end.add();
    });
    let runtime = layered.build().unwrap();
    assert_all_inside(&runtime, 1);
    assert!(begun.count() > over.count());
    runtime.shutdown(SOON).unwrap();
    assert_eq!(begun.count(), over.count(), "each thread has left it");
}

fn threads_that_do_io_lie_inside(on: &Systems) {
    let runtime = facade!(on.kind()).around_threads(enter).io_server(1).build().unwrap();
    let io = runtime.spawner().backend().io_threads().expect("it was asked for").next().unwrap();
    let inside = task::Builder::new().spawn_on(&io, async { DEPTH.get() }).unwrap();
    assert_eq!(inside.wait().unwrap(), 1);
    runtime.shutdown(SOON).unwrap();
}

fn further_layers_lie_inside_of_those_before_them(on: &Systems) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = |what: &'static str| {
        let told = Arc::clone(&told);
        move || told.lock().unwrap().push((thread::current().id(), what))
    };
    let layer = |before, after| {
        let (before, after) = (tell(before), tell(after));
        move |body: &mut dyn FnMut()| {
            before();
            enter(body);
            after();
        }
    };
    let hooks = Hooks::new().on_thread_start(tell("start")).on_thread_stop(tell("stop"));
    let hooks = hooks.around_threads(layer("(", ")"));
    let runtime = facade!(on.kind()).hooks(hooks).around_threads(layer("[", "]")).build().unwrap();
    assert_all_inside(&runtime, 2);
    runtime.shutdown(SOON).unwrap();
    let told = told.lock().unwrap();
    for (thread, _) in told.iter().filter(|(_, what)| *what == "(") {
        let of_thread = told.iter().filter(|(id, _)| id == thread).map(|(_, what)| *what);
        assert_eq!(of_thread.collect::<Vec<_>>(), ["(", "[", "start", "stop", "]", ")"]);
    }
}

fn a_layer_that_calls_nothing_stops_no_thread(on: &Systems) {
    let calls = Signal::new();
    let call = calls.clone();
    let forgetful = facade!(on.kind()).around_threads(enter).around_threads(move |_| {
        call.add();
    });
    let runtime = forgetful.around_threads(enter).build().unwrap();
    assert_all_inside(&runtime, 2);
    assert!(calls.count() > 0);
    runtime.shutdown(SOON).unwrap();
}

fn a_layer_that_calls_twice_runs_a_thread_once(on: &Systems) {
    let (starts, stops) = (Signal::new(), Signal::new());
    let (start, stop) = (starts.clone(), stops.clone());
    let eager = facade!(on.kind()).around_threads(move |body| {
        start.add();
        enter(body);
        enter(body);
        body();
    });
    let runtime = eager.around_threads(move |body| {
        body();
        stop.add();
    });
    let runtime = runtime.build().unwrap();
    assert_all_inside(&runtime, 1);
    runtime.shutdown(SOON).unwrap();
    assert_eq!(starts.count(), stops.count());
}

fn a_layer_that_panics_stops_no_thread(on: &Systems) {
    let late = facade!(on.kind()).around_threads(|body| {
        enter(body);
        panic!("expected: after the body");
    });
    let early = late.around_threads(|_| panic!("expected: before the body"));
    let runtime = early.around_threads(enter).build().unwrap();
    assert_all_inside(&runtime, 2);
    runtime.shutdown(SOON).unwrap();
}

fn a_layer_may_wait_and_start_tasks(on: &Systems) {
    let other = twoply::native();
    let layered = facade!(on.kind()).around_threads(move |body| {
        sleep(Duration::from_micros(50)).wait();
        assert_eq!(other.spawn(async { 1 }).wait().unwrap(), 1);
        enter(body);
        sleep(Duration::from_micros(50)).wait();
    });
    let runtime = layered.build().unwrap();
    assert_all_inside(&runtime, 1);
    runtime.shutdown(SOON).unwrap();
}

fn tasks_inside_of_a_layer_are_cancelled_as_others_are(on: &Systems) {
    let runtime = facade!(on.kind()).around_threads(enter).build().unwrap();
    let (begun, begins) = channel::oneshot();
    let blocked = runtime.spawn_fn(move || {
        begun.send(()).unwrap();
        pending::<()>().wait();
    });
    begins.wait().unwrap();
    blocked.cancel();
    assert!(blocked.wait().unwrap_err().is_cancelled());
    runtime.shutdown(SOON).unwrap();
}

fn hooks_inside_of_a_layer_are_called(on: &Systems) {
    let (starts, parks, tasks) = (Signal::new(), Signal::new(), Signal::new());
    let (start, park, task) = (starts.clone(), parks.clone(), tasks.clone());
    let hooks = Hooks::new().around_threads(enter).on_thread_start(move || {
        start.add();
    });
    let hooks = hooks.on_thread_park(move || {
        park.add();
    });
    let hooks = hooks.on_task_spawn(move |_| {
        task.add();
    });
    let runtime = facade!(on.kind()).hooks(hooks).build().unwrap();
    let outer = runtime.spawn_fn(|| twoply::spawn(async {}).wait());
    outer.wait().unwrap().unwrap();
    assert!(starts.count() > 0, "a hook is called in a layer");
    assert_eq!(tasks.count(), 2, "a task inside of a layer is no doing of a hook");
    eventually("a thread has nothing to do", || parks.count() > 0);
    runtime.shutdown(SOON).unwrap();
}

fn hooks_of_the_process_lie_around_threads_of_no_runtime(on: &Systems) {
    let output = on.in_child(|| {
        assert!(!process_hooks().heed_parks());
        set_process_hooks(Hooks::new().around_threads(enter)).unwrap();
        assert!(set_process_hooks(Hooks::new()).is_err(), "they are set once");
        for spawner in [twoply::green(), twoply::native()] {
            assert_eq!(spawner.spawn(async { DEPTH.get() }).wait().unwrap(), 1);
        }
        let (tx, rx) = std::sync::mpsc::channel();
        let shared = tx.clone();
        contract::threads::shared().execute(None, None, move || shared.send(DEPTH.get()).unwrap()).unwrap();
        let blocking = tx.clone();
        contract::threads::blocking().execute(None, move || blocking.send(DEPTH.get()).unwrap()).unwrap();
        // A waker of somebody else's, on the thread of the I/O server.
        let waker = hooked_waker(move |act| {
            if act == Act::Wake {
                let _ = tx.send(DEPTH.get());
            }
        });
        let driver = ioserver::driver();
        driver.timers(Waker::noop()).unwrap().insert(driver.now(), &waker).unwrap();
        let depths: Vec<u32> = (0..3).map(|_| rx.recv_timeout(SOON).unwrap()).collect();
        assert_eq!(depths, [1, 1, 1]);
        assert_eq!(DEPTH.get(), 0, "this thread is the program's own");
    });
    assert!(output.status.success(), "{output:?}");
}
