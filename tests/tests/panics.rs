//! Panics: wherever one begins, the handle reports it, the process lives, and the worker goes on.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::{self, Process};
use twoply_core::promise::Failure;
use twoply_core::task::Builder;
use twoply_core::time::{sleep, sleep_until};
use twoply_tests::{Gate, Signal, Systems, eventually, laws};

laws! {
    everywhere {
        a_panic_is_reported_with_its_message,
        a_panic_after_a_wait_is_reported,
        a_panic_in_a_destructor_of_a_future_is_the_tasks_panic,
        a_result_that_panics_when_dropped_does_no_harm,
        a_payload_that_panics_when_dropped_does_no_harm,
        a_payload_of_any_type_comes_through,
        a_panic_in_a_cancelled_tasks_destructor_does_no_harm,
        a_caught_panic_is_the_tasks_own_business,
        destructors_of_a_panicking_task_may_wait,
        a_storm_of_panics_costs_no_worker,
        a_waker_that_panics_costs_no_worker_and_no_wake_up,
        a_panic_names_its_task_and_its_process,
    }
}

fn a_panic_names_its_task_and_its_process(on: &Systems) {
    let output = on.in_child(|| {
        let task =
            Builder::new().name("billing").spawn_fn_on(on.here().backend(), || -> () { panic!("no money") });
        assert!(task.unwrap().wait().is_err());
        let nameless = on.here().spawn(async { panic!("no name") });
        assert!(nameless.wait().is_err());
        let process = actor::Builder::new().name("stock").on(on.here().backend());
        let process = process.spawn(async |mut me: Process<()>| -> () {
            me.receive().await;
            panic!("no goods")
        });
        let process = process.unwrap();
        let ended = process.ended();
        process.try_send(()).unwrap();
        ended.wait();
    });
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = said.lines().filter(|line| line.ends_with("panics:")).collect();
    assert_eq!(lines, ["task \"billing\" panics:", "task \"stock\" panics:"], "{said}");
    assert!(["no money", "no name", "no goods"].iter().all(|message| said.contains(message)), "{said}");
}

/// The runtime still runs tasks of both kinds.
fn goes_on(on: &Systems) {
    assert_eq!(on.here().spawn(async { 1 }).wait().unwrap(), 1);
    assert_eq!(on.here().spawn_fn(|| on_a_wait(2)).wait().unwrap(), 2);
}

/// `value`, after a wait that really waits.
fn on_a_wait<T>(value: T) -> T {
    let gate = Gate::new();
    let opener = gate.clone();
    let thread = thread::spawn(move || opener.open());
    gate.opened().wait();
    thread.join().unwrap();
    value
}

fn message(error: Failure) -> String {
    match error {
        Failure::Panicked(panic) => panic.message().expect("the payload is a string").to_owned(),
        other => panic!("not a panic: {other}"),
    }
}

/// A future that panics with `expected` when it is dropped, and is ready at once or never.
struct BadDrop {
    ready: bool,
}

impl Future for BadDrop {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.ready { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for BadDrop {
    fn drop(&mut self) {
        panic!("expected: in drop");
    }
}

fn a_panic_is_reported_with_its_message(on: &Systems) {
    let first = on.here().spawn(async { panic!("expected: {}", 1) });
    let error: Failure = Wait::wait(first).unwrap_err();
    assert!(error.is_panic() && !error.is_cancelled());
    assert_eq!(error.to_string(), "the task panicked: expected: 1");
    assert_eq!(message(error), "expected: 1");
    let second = on.here().spawn_fn(|| panic!("expected: code")).wait();
    assert_eq!(message(second.unwrap_err()), "expected: code");
    goes_on(on);
}

fn a_panic_after_a_wait_is_reported(on: &Systems) {
    let gate = Gate::new();
    let (one, two) = (gate.opened(), gate.opened());
    let suspended = on.here().spawn(async move {
        one.await;
        panic!("expected: after an await")
    });
    let blocked = on.here().spawn_fn(move || {
        two.wait();
        panic!("expected: after a wait")
    });
    eventually("both wait", || gate.waiting() >= 2);
    gate.open();
    assert_eq!(message(suspended.wait().unwrap_err()), "expected: after an await");
    assert_eq!(message(blocked.wait().unwrap_err()), "expected: after a wait");
    goes_on(on);
}

fn a_panic_in_a_destructor_of_a_future_is_the_tasks_panic(on: &Systems) {
    let error = on.here().spawn(BadDrop { ready: true }).wait().unwrap_err();
    assert_eq!(message(error), "expected: in drop");
    goes_on(on);
}

fn a_result_that_panics_when_dropped_does_no_harm(on: &Systems) {
    let ended = Signal::new();
    for n in 0..4 {
        let guard = ended.on_drop();
        // The handle is gone before the result comes, or after it.
        let task = on.here().spawn_fn(move || (BadDrop { ready: true }, guard));
        if n % 2 == 0 {
            eventually("it is over", || task.is_finished());
        }
        drop(task);
    }
    eventually("the results have been dropped", || ended.count() == 4);
    goes_on(on);
}

fn a_payload_that_panics_when_dropped_does_no_harm(on: &Systems) {
    for detached in [false, true] {
        let task = on.here().spawn(async { panic_any(BadDrop { ready: true }) });
        if detached {
            task.detach();
        } else {
            let error = task.wait().unwrap_err();
            assert!(error.is_panic());
            drop(error);
        }
    }
    eventually("none is left", || on.here().tasks() == 0);
    goes_on(on);
}

fn a_payload_of_any_type_comes_through(on: &Systems) {
    let error = on.here().spawn_fn(|| panic_any(7_u64)).wait().unwrap_err();
    let Failure::Panicked(panic) = error else { panic!("not a panic") };
    assert_eq!(panic.message(), None);
    assert_eq!(panic.into_payload().downcast_ref::<u64>(), Some(&7));
    // It can go on in whoever waits, as itself.
    let inner = on.here().spawn(async { panic!("expected: handed on") });
    let outer = on.here().spawn_fn(move || match inner.wait() {
        Err(Failure::Panicked(panic)) => panic.resume(),
        other => panic!("{other:?}"),
    });
    assert_eq!(message(outer.wait().unwrap_err()), "expected: handed on");
}

fn a_panic_in_a_cancelled_tasks_destructor_does_no_harm(on: &Systems) {
    let suspended = on.here().spawn(BadDrop { ready: false });
    suspended.cancel();
    assert_eq!(message(suspended.wait().unwrap_err()), "expected: in drop");
    goes_on(on);
}

fn a_caught_panic_is_the_tasks_own_business(on: &Systems) {
    let task = on.here().spawn_fn(|| {
        let caught = catch_unwind(|| {
            on_a_wait(());
            panic!("expected: caught");
        });
        assert!(caught.is_err() && !thread::panicking());
        on_a_wait(5)
    });
    assert_eq!(task.wait().unwrap(), 5);
}

fn destructors_of_a_panicking_task_may_wait(on: &Systems) {
    struct Waits(Signal);
    impl Drop for Waits {
        fn drop(&mut self) {
            assert!(thread::panicking());
            on_a_wait(());
            self.0.add();
        }
    }
    let waited = Signal::new();
    let (one, two) = (Waits(waited.clone()), Waits(waited.clone()));
    let code = on.here().spawn_fn(move || {
        let _waits = one;
        panic!("expected: code");
    });
    let future = on.here().spawn(poll_fn(move |_| -> Poll<()> {
        let _waits = Waits(two.0.clone());
        panic!("expected: future");
    }));
    assert_eq!(message(code.wait().unwrap_err()), "expected: code");
    drop(future.wait());
    assert!(waited.count() >= 2);
    goes_on(on);
}

fn a_storm_of_panics_costs_no_worker(on: &Systems) {
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let body = AssertUnwindSafe(move || {
                if n % 3 == 0 {
                    on_a_wait(());
                }
                if n % 2 == 0 { panic!("expected: {n}") } else { n }
            });
            on.here().spawn_fn(move || (body.0)())
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        match task.wait() {
            Ok(result) => assert_eq!((result, n % 2), (n, 1)),
            Err(error) => assert_eq!((message(error), n % 2), (format!("expected: {n}"), 0)),
        }
    }
    goes_on(on);
}

/// Panics when it wakes.
struct BadWaker(Signal);

impl Wake for BadWaker {
    fn wake(self: Arc<Self>) {
        self.0.add();
        panic!("expected: a waker that panics");
    }
}

fn a_waker_that_panics_costs_no_worker_and_no_wake_up(on: &Systems) {
    let woken = Signal::new();
    let bad = Waker::from(Arc::new(BadWaker(woken.clone())));
    on.here()
        .spawn(async move {
            // All of them are due in one turn.
            let due = std::time::Instant::now() + Duration::from_millis(10);
            let mut others: Vec<_> = (0..3).map(|_| Box::pin(sleep_until(due))).collect();
            for other in &mut others {
                assert!(other.as_mut().poll(&mut Context::from_waker(&bad)).is_pending());
            }
            sleep_until(due).await;
            sleep(Duration::from_millis(10)).await;
        })
        .wait()
        .unwrap();
    eventually("every waker is called", || woken.count() == 3);
    goes_on(on);
}
