//! The stacks that panics come from: kept with the panic, and for whoever is told of it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;

use twoply_core::actor::ExitReason;
use twoply_core::actor::supervisor::{ChildSpec, Report, Restart, Supervisor};
use twoply_core::promise::Failure;
use twoply_core::task::{Panic, keep_backtraces};
use twoply_core::{Wait, time};
use twoply_tests::{Systems, laws, start_named};

laws! {
    and_mixed {
        a_supervisor_reports_where_a_panic_came_from,
        a_panic_of_a_task_has_its_stack,
    }
    everywhere {
        a_panic_has_the_stack_of_no_other_one,
        panics_of_many_tasks_have_their_own_stacks,
    }
}

/// Panics, and is found by name in the stack.
#[inline(never)]
fn stumble() {
    panic!("expected: a stumble");
}

/// As [`stumble`], in another place.
#[inline(never)]
fn slip() {
    panic!("expected: a slip");
}

fn panic_of(failure: Failure) -> Panic {
    match failure {
        Failure::Panicked(panic) => panic,
        other => panic!("{other}"),
    }
}

fn a_supervisor_reports_where_a_panic_came_from(on: &Systems) {
    keep_backtraces();
    let (tell, told) = mpsc::channel();
    let child = ChildSpec::process("child", async |_: twoply_core::actor::Process<()>| stumble());
    let child = child.restart(Restart::Temporary).on(on.there().backend());
    let supervisor = Supervisor::one_for_one()
        .on_report(move |report| _ = tell.send(report.clone()))
        .on(on.here().backend())
        .child(child)
        .start()
        .wait()
        .unwrap();
    assert!(matches!(told.recv(), Ok(Report::Started { .. })));
    let ended = told.recv().unwrap();
    let Report::Ended { reason, .. } = &ended else { panic!("{ended}") };
    assert_eq!(*reason, ExitReason::Panicked("expected: a stumble".into()), "two are equal by their texts");
    assert!(reason.backtrace().expect("it was kept").to_string().contains("stumble"));
    assert_eq!(ended.to_string().lines().count(), 1);
    let long = format!("{ended:#}");
    assert!(long.starts_with(&ended.to_string()) && long.contains("backtraces::stumble"), "{long}");
    supervisor.stop().wait();
}

fn a_panic_of_a_task_has_its_stack(on: &Systems) {
    keep_backtraces();
    for straight in [false, true] {
        let task = start_named(on.there(), straight, "clumsy", async {
            time::sleep(std::time::Duration::from_millis(1)).await;
            stumble();
        });
        let panic = panic_of(on.here().spawn(task).wait().unwrap().unwrap_err());
        assert!(panic.backtrace().expect("it was kept").to_string().contains("stumble"));
        assert!(panic.clone().backtrace().is_some());
    }
}

/// The hook is not called for a payload that goes on, so what it has kept is of the panic before.
fn a_panic_has_the_stack_of_no_other_one(on: &Systems) {
    keep_backtraces();
    let task = on.here().spawn(async {
        assert!(catch_unwind(AssertUnwindSafe(stumble)).is_err());
        resume_unwind(Box::new("expected: another one"));
    });
    let failed: Result<(), _> = task.wait();
    let panic = panic_of(failed.unwrap_err());
    assert_eq!(panic.message(), Some("expected: another one"));
    assert!(panic.backtrace().is_none());
    // Nor does one that is caught in a task show in the next.
    let caught = on.here().spawn(async { catch_unwind(AssertUnwindSafe(stumble)).is_err() });
    assert!(caught.wait().unwrap());
    let task = on.here().spawn(async { resume_unwind(Box::new("expected: a stumble")) });
    let failed: Result<(), _> = task.wait();
    assert!(panic_of(failed.unwrap_err()).backtrace().is_none());
}

fn panics_of_many_tasks_have_their_own_stacks(on: &Systems) {
    keep_backtraces();
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            on.here().spawn(async move {
                twoply_core::future::yield_now().await;
                if n % 2 == 0 { stumble() } else { slip() }
            })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        let stack = panic_of(task.wait().unwrap_err()).backtrace().expect("it was kept").to_string();
        let places = [stack.contains("backtraces::stumble"), stack.contains("backtraces::slip")];
        assert_eq!(places, [n % 2 == 0, n % 2 == 1]);
    }
}
