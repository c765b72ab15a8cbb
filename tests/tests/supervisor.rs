//! Supervisors: who is started, restarted and stopped, in which order, and when a supervisor gives up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use twoply_core::actor::supervisor::{
    AutoShutdown, ChildRef, ChildSpec, Restart, Shutdown, Strategy, Supervisor, SupervisorRef,
};
use twoply_core::actor::{Builder, Event, ExitReason, Pid, Process};
use twoply_core::{Wait, channel, time};
use twoply_tests::children::{Do, Log, child, failing_child, straight_child, stubborn_child};
use twoply_tests::{Gate, Signal, Systems, eventually, laws};

laws! {
    and_mixed {
        children_start_in_order_and_stop_in_reverse,
        one_for_one_restarts_the_child,
        one_for_all_restarts_everybody,
        rest_for_one_restarts_those_after,
        too_many_restarts_are_the_end,
        who_does_not_end_in_time_is_killed,
        a_supervisor_that_gives_up_is_restarted_by_its_own,
    }
    everywhere {
        the_kind_of_child_and_the_reason_decide,
        no_intensity_is_no_restart,
        a_child_can_be_killed_at_once,
        a_child_can_have_all_the_time_it_wants,
        a_child_that_does_not_start_undoes_the_supervisor,
        a_start_that_panics_has_not_started_and_leaves_nothing,
        a_restart_that_fails_is_tried_again,
        restarts_that_fail_are_restarts_and_soon_too_many,
        those_after_a_failed_restart_are_started_when_it_succeeds,
        trees_of_supervisors_go_down_together,
        a_failure_below_goes_up_until_somebody_can_do_more,
        a_supervisor_ends_with_its_parent,
        a_supervisor_that_does_not_start_tells_its_parent_once,
        a_supervisor_that_is_killed_takes_its_children_with_it,
        a_stranger_does_not_end_a_supervisor,
        one_that_ends_while_another_is_stopped_is_not_forgotten,
        significant_children_take_their_supervisor_with_them,
        a_backend_shuts_down_with_a_tree_on_it,
    }
}

/// Enough restarts for any law.
const MANY: usize = 100;

/// A supervisor of three children: `a` and `c` are asynchronous, `b` is straight-line code on the other
/// system.
fn three(on: &Systems, strategy: Strategy, log: &Log) -> (SupervisorRef, [ChildRef<Do>; 3]) {
    let children = [child("a"), straight_child("b").on(on.there().backend()), child("c")];
    let references = [0, 1, 2].map(|at: usize| children[at].reference());
    let supervisor =
        Supervisor::new(strategy).intensity(MANY, Duration::from_secs(60)).on_report(log.observer());
    let supervisor = children.into_iter().fold(supervisor, Supervisor::child);
    let supervisor = supervisor.on(on.here().backend()).start().wait().unwrap();
    log.expect(&["started a", "started b", "started c"]);
    (supervisor, references)
}

fn pids(children: &[ChildRef<Do>; 3]) -> [Pid; 3] {
    children.each_ref().map(|child| child.ask(Do::Who).wait().unwrap())
}

/// Which of the three are other processes than before.
fn changed(before: &[Pid; 3], after: &[Pid; 3]) -> [bool; 3] {
    [0, 1, 2].map(|at| before[at] != after[at])
}

fn fail(child: &ChildRef<Do>) {
    child.send(Do::End(ExitReason::other("tired"))).wait().unwrap();
}

fn children_start_in_order_and_stop_in_reverse(on: &Systems) {
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        let log = Log::new();
        let (supervisor, _) = three(on, strategy, &log);
        assert_eq!(supervisor.stop().wait(), ExitReason::Normal);
        log.expect(&["stopped c: shutdown", "stopped b: shutdown", "stopped a: shutdown"]);
        log.expect_nothing_more();
        assert!(!supervisor.pid().is_alive_here());
    }
}

fn one_for_one_restarts_the_child(on: &Systems) {
    let log = Log::new();
    let (supervisor, children) = three(on, Strategy::OneForOne, &log);
    let before = pids(&children);
    fail(&children[1]);
    log.expect(&["ended b: tired", "started b"]);
    children[0].send(Do::Panic).wait().unwrap();
    log.expect(&["ended a: panicked: expected", "started a"]);
    assert_eq!(changed(&before, &pids(&children)), [true, true, false]);
    supervisor.stop().wait();
    log.expect(&["stopped c: shutdown", "stopped b: shutdown", "stopped a: shutdown"]);
}

fn one_for_all_restarts_everybody(on: &Systems) {
    let log = Log::new();
    let (supervisor, children) = three(on, Strategy::OneForAll, &log);
    let before = pids(&children);
    fail(&children[1]);
    log.expect(&["ended b: tired", "stopped c: shutdown", "stopped a: shutdown"]);
    log.expect(&["started a", "started b", "started c"]);
    assert_eq!(changed(&before, &pids(&children)), [true; 3]);
    supervisor.stop().wait();
}

fn rest_for_one_restarts_those_after(on: &Systems) {
    let log = Log::new();
    let (supervisor, children) = three(on, Strategy::RestForOne, &log);
    let before = pids(&children);
    fail(&children[1]);
    log.expect(&["ended b: tired", "stopped c: shutdown", "started b", "started c"]);
    assert_eq!(changed(&before, &pids(&children)), [false, true, true]);
    let before = pids(&children);
    fail(&children[0]);
    log.expect(&["ended a: tired", "stopped c: shutdown", "stopped b: shutdown"]);
    log.expect(&["started a", "started b", "started c"]);
    assert_eq!(changed(&before, &pids(&children)), [true; 3]);
    fail(&children[2]);
    log.expect(&["ended c: tired", "started c"]);
    supervisor.stop().wait();
}

fn the_kind_of_child_and_the_reason_decide(on: &Systems) {
    use Restart::{Permanent, Temporary, Transient};
    let failed = || ExitReason::failed("it is broken");
    let cases = [
        (Permanent, ExitReason::Normal, true),
        (Permanent, ExitReason::Shutdown, true),
        (Permanent, failed(), true),
        (Transient, ExitReason::Normal, false),
        (Transient, ExitReason::Shutdown, false),
        (Transient, ExitReason::shutdown_with("moved"), false),
        (Transient, failed(), true),
        (Transient, ExitReason::Kill, true),
        (Temporary, ExitReason::Normal, false),
        (Temporary, failed(), false),
    ];
    for (restart, reason, again) in cases {
        let log = Log::new();
        let spec = child("one").restart(restart);
        let one = spec.reference();
        let supervisor =
            Supervisor::one_for_one().child(spec).on_report(log.observer()).on(on.here().backend());
        let supervisor = supervisor.start().wait().unwrap();
        log.expect(&["started one"]);
        one.send(Do::End(reason.clone())).wait().unwrap();
        log.expect(&[&format!("ended one: {reason}")]);
        if again {
            log.expect(&["started one"]);
            one.ask(Do::Who).wait().unwrap();
        } else {
            // The request comes after the end in the supervisor's mailbox.
            let children = supervisor.children().wait().unwrap();
            assert_eq!(
                children.len(),
                usize::from(restart == Transient),
                "only temporary ones are forgotten"
            );
            assert!(one.send(Do::Panic).wait().is_err(), "nobody waits for a child that does not run again");
        }
        supervisor.stop().wait();
    }
}

fn too_many_restarts_are_the_end(on: &Systems) {
    let log = Log::new();
    let children = [child("a"), straight_child("b").on(on.there().backend())];
    let [a, b] = [0, 1].map(|at: usize| children[at].reference());
    let supervisor =
        Supervisor::one_for_one().intensity(2, Duration::from_secs(60)).on_report(log.observer());
    let supervisor = children.into_iter().fold(supervisor, Supervisor::child);
    let supervisor = supervisor.on(on.here().backend()).start().wait().unwrap();
    log.expect(&["started a", "started b"]);
    let ended = supervisor.pid().ended();
    for _ in 0..2 {
        fail(&b);
        log.expect(&["ended b: tired", "started b"]);
    }
    fail(&b);
    log.expect(&["ended b: tired", "too many: b", "stopped a: shutdown"]);
    assert_eq!(ended.wait(), ExitReason::Shutdown);
    log.expect_nothing_more();
    for gone in [a, b] {
        assert!(gone.send(Do::Panic).wait().is_err(), "there is nobody left to restart it");
        assert!(gone.ask(Do::Who).wait().is_err());
    }
    assert!(supervisor.children().wait().is_err());
}

fn no_intensity_is_no_restart(on: &Systems) {
    let log = Log::new();
    let spec = child("one");
    let one = spec.reference();
    let supervisor = Supervisor::one_for_all().intensity(0, Duration::from_secs(1)).on_report(log.observer());
    let supervisor = supervisor.child(spec).on(on.here().backend()).start().wait().unwrap();
    let ended = supervisor.pid().ended();
    fail(&one);
    assert_eq!(ended.wait(), ExitReason::Shutdown);
    log.expect(&["started one", "ended one: tired", "too many: one"]);
}

fn who_does_not_end_in_time_is_killed(on: &Systems) {
    let (log, time) = (Log::new(), Duration::from_millis(60));
    let polite = stubborn_child("polite").settings(|builder| builder.trap_exit(false));
    let stubborn = stubborn_child("stubborn").shutdown(Shutdown::Deadline(time)).on(on.there().backend());
    let supervisor = Supervisor::one_for_one().on_report(log.observer()).child(polite).child(stubborn);
    let supervisor = supervisor.on(on.here().backend()).start().wait().unwrap();
    let start = Instant::now();
    assert_eq!(supervisor.stop().wait(), ExitReason::Normal);
    assert!(start.elapsed() >= time, "it was killed after {:?} already", start.elapsed());
    log.expect(&[
        "started polite",
        "started stubborn",
        "stopped stubborn: killed",
        "stopped polite: shutdown",
    ]);
}

fn a_child_can_be_killed_at_once(on: &Systems) {
    let log = Log::new();
    let supervisor = Supervisor::one_for_one().on_report(log.observer());
    let supervisor = supervisor.child(stubborn_child("stubborn").shutdown(Shutdown::Kill));
    let supervisor = supervisor.on(on.here().backend()).start().wait().unwrap();
    supervisor.stop().wait();
    log.expect(&["started stubborn", "stopped stubborn: killed"]);
}

fn a_child_can_have_all_the_time_it_wants(on: &Systems) {
    let (log, gate) = (Log::new(), Gate::new());
    let opened = gate.clone();
    let slow = ChildSpec::process("slow", move |mut me: Process<()>| {
        let opened = opened.clone();
        async move {
            let Event::Exit(exit) = me.receive().await else { panic!("nothing else comes") };
            opened.opened().await;
            exit.reason
        }
    });
    let slow = slow.shutdown(Shutdown::Infinity).settings(|builder| builder.trap_exit(true));
    let supervisor = Supervisor::one_for_one().on_report(log.observer()).child(slow);
    let supervisor = supervisor.on(on.here().backend()).start().wait().unwrap();
    let ended = supervisor.pid().ended();
    let stopping = on.here().spawn(async move { supervisor.stop().await });
    eventually("it has been asked to end", || gate.waiting() > 0);
    log.expect(&["started slow"]);
    log.expect_nothing_more();
    gate.open();
    assert_eq!(stopping.wait().unwrap(), ExitReason::Normal);
    assert_eq!(ended.wait(), ExitReason::Normal);
    log.expect(&["stopped slow: shutdown"]);
}

fn a_child_that_does_not_start_undoes_the_supervisor(on: &Systems) {
    let log = Log::new();
    let broken = ChildSpec::<Do>::start_with("broken", |_| Err("out of luck".into()));
    let supervisor = Supervisor::rest_for_one().on_report(log.observer()).child(child("a")).child(child("b"));
    let supervisor = supervisor.child(broken).child(child("d")).on(on.here().backend());
    let error = supervisor.start().wait().unwrap_err();
    assert_eq!(error.child(), Some("broken"));
    assert_eq!(error.to_string(), "the child broken could not be started: out of luck");
    log.expect(&["started a", "started b", "not started: broken could not be started: out of luck"]);
    log.expect(&["stopped b: shutdown", "stopped a: shutdown"]);
    log.expect_nothing_more();
}

fn a_start_that_panics_has_not_started_and_leaves_nothing(on: &Systems) {
    let alive = Signal::new();
    let guard = alive.clone();
    let broken = ChildSpec::start_with("broken", move |start| {
        let guard = guard.on_drop();
        start.spawn(|me| async move {
            let _guard = guard;
            twoply_tests::children::body(me).await
        })?;
        panic!("expected: no luck");
    });
    let broken = broken.settings(|builder| builder.trap_exit(true));
    let error = Supervisor::one_for_one().child(broken).on(on.here().backend()).start().wait().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the child broken could not be started: its start panicked: expected: no luck"
    );
    assert_eq!(alive.count(), 1, "what it had spawned is gone before the error is told");
}

fn a_restart_that_fails_is_tried_again(on: &Systems) {
    let log = Log::new();
    let spec = failing_child("one", 1, 3);
    let one = spec.reference();
    let supervisor =
        Supervisor::one_for_one().intensity(3, Duration::from_secs(60)).on_report(log.observer());
    let supervisor = supervisor.child(spec).on(on.here().backend()).start().wait().unwrap();
    fail(&one);
    log.expect(&["started one", "ended one: tired"]);
    log.expect(&["not started: one could not be started: attempt 1"]);
    log.expect(&["not started: one could not be started: attempt 2", "started one"]);
    one.ask(Do::Who).wait().unwrap();
    supervisor.stop().wait();
}

fn restarts_that_fail_are_restarts_and_soon_too_many(on: &Systems) {
    let log = Log::new();
    let spec = failing_child("one", 1, usize::MAX);
    let one = spec.reference();
    let supervisor =
        Supervisor::one_for_one().intensity(2, Duration::from_secs(60)).on_report(log.observer());
    let supervisor = supervisor.child(spec).on(on.here().backend()).start().wait().unwrap();
    let ended = supervisor.pid().ended();
    fail(&one);
    assert_eq!(ended.wait(), ExitReason::Shutdown);
    log.expect(&["started one", "ended one: tired"]);
    log.expect(&["not started: one could not be started: attempt 1"]);
    log.expect(&["not started: one could not be started: attempt 2", "too many: one"]);
    assert!(one.send(Do::Panic).wait().is_err());
}

fn those_after_a_failed_restart_are_started_when_it_succeeds(on: &Systems) {
    for strategy in [Strategy::RestForOne, Strategy::OneForAll] {
        let log = Log::new();
        let specs = [child("a"), failing_child("b", 1, 2), child("c")];
        let a = specs[0].reference();
        let supervisor =
            Supervisor::new(strategy).intensity(2, Duration::from_secs(60)).on_report(log.observer());
        let supervisor = specs.into_iter().fold(supervisor, Supervisor::child);
        let supervisor = supervisor.on(on.here().backend()).start().wait().unwrap();
        log.expect(&["started a", "started b", "started c"]);
        fail(&a);
        log.expect(&["ended a: tired", "stopped c: shutdown", "stopped b: shutdown", "started a"]);
        log.expect(&["not started: b could not be started: attempt 1"]);
        if strategy == Strategy::OneForAll {
            log.expect(&["stopped a: shutdown", "started a"]);
        }
        log.expect(&["started b", "started c"]);
        assert_eq!(supervisor.count().wait().unwrap().active, 3);
        supervisor.stop().wait();
    }
}

/// A supervisor called `inner` of `x` and `y`, in one called `outer` of `before`, `inner` and `after`.
fn nested(on: &Systems, log: &Log, intensity: usize) -> (Supervisor, ChildRef<Do>) {
    let x = child("x");
    let reference = x.reference();
    let inner =
        Supervisor::one_for_one().intensity(intensity, Duration::from_secs(60)).on_report(log.observer());
    let inner = inner.child(x).child(straight_child("y")).on(on.there().backend());
    let outer = Supervisor::rest_for_one().on_report(log.observer()).child(child("before"));
    let outer = outer.child(ChildSpec::supervisor("inner", inner)).child(child("after"));
    (outer.on(on.here().backend()), reference)
}

fn trees_of_supervisors_go_down_together(on: &Systems) {
    let log = Log::new();
    let (outer, reference) = nested(on, &log, 1);
    let outer = outer.start().wait().unwrap();
    log.expect(&["started before", "started x", "started y", "started inner", "started after"]);
    let tree = outer.tree().wait().unwrap();
    let inner = outer.child_supervisor("inner").wait().unwrap().unwrap();
    assert_eq!(tree.children[1].child.pid(), Some(&inner.pid()));
    let pid = |id: &str, supervisor: &SupervisorRef| {
        let children = supervisor.children().wait().unwrap();
        children.iter().find(|child| *child.id == *id).unwrap().pid().unwrap().clone()
    };
    let (before, after) = (pid("before", &outer), pid("after", &outer));
    let (x, y) = (pid("x", &inner), pid("y", &inner));
    let expected = [
        format!("{} rest_for_one", outer.pid()),
        format!("├─ before {before}, permanent worker"),
        format!("├─ inner {}, permanent supervisor, one_for_one", inner.pid()),
        format!("│  ├─ x {x}, permanent worker"),
        format!("│  └─ y {y}, permanent worker"),
        format!("└─ after {after}, permanent worker"),
    ];
    assert_eq!(tree.to_string().lines().collect::<Vec<_>>(), expected);
    outer.terminate_child("inner").wait().unwrap();
    log.expect(&["stopped y: shutdown", "stopped x: shutdown", "stopped inner: shutdown"]);
    assert!(reference.send(Do::Panic).wait().is_err(), "who stops a supervisor stops what is below it");
    outer.restart_child("inner").wait().unwrap();
    log.expect(&["started x", "started y", "started inner"]);
    assert_ne!(reference.ask(Do::Who).wait().unwrap(), x);
    assert_eq!(outer.stop().wait(), ExitReason::Normal);
    log.expect(&["stopped after: shutdown", "stopped y: shutdown", "stopped x: shutdown"]);
    log.expect(&["stopped inner: shutdown", "stopped before: shutdown"]);
}

fn a_supervisor_that_gives_up_is_restarted_by_its_own(on: &Systems) {
    let log = Log::new();
    let (outer, x) = nested(on, &log, 0);
    let outer = outer.start().wait().unwrap();
    log.expect(&["started before", "started x", "started y", "started inner", "started after"]);
    fail(&x);
    log.expect(&["ended x: tired", "too many: x", "stopped y: shutdown", "ended inner: shutdown"]);
    log.expect(&["stopped after: shutdown", "started x", "started y", "started inner", "started after"]);
    x.ask(Do::Who).wait().unwrap();
    let ended = outer.pid().ended();
    fail(&x);
    log.expect(&["ended x: tired", "too many: x", "stopped y: shutdown", "ended inner: shutdown"]);
    log.expect(&["too many: inner", "stopped after: shutdown", "stopped before: shutdown"]);
    assert_eq!(ended.wait(), ExitReason::Shutdown);
    assert!(x.send(Do::Panic).wait().is_err(), "nobody is left to start it");
}

fn a_failure_below_goes_up_until_somebody_can_do_more(on: &Systems) {
    let log = Log::new();
    let inner = Supervisor::one_for_one().child(failing_child("x", 0, usize::MAX));
    let outer = Supervisor::one_for_one().on_report(log.observer()).child(child("a"));
    let outer = outer.child(ChildSpec::supervisor("inner", inner)).on(on.here().backend());
    let error = outer.start().wait().unwrap_err();
    assert_eq!(error.child(), Some("inner/x"));
    log.expect(&["started a", "not started: inner/x could not be started: attempt 0", "stopped a: shutdown"]);
    log.expect_nothing_more();
    let twins = Supervisor::one_for_one().child(child("twin")).child(child("twin")).on(on.here().backend());
    assert_eq!(twins.start().wait().unwrap_err().child(), Some("twin"));
}

fn a_supervisor_ends_with_its_parent(on: &Systems) {
    let log = Log::new();
    let supervisor = Supervisor::one_for_one().on_report(log.observer()).child(child("a")).child(child("b"));
    let (started, told) = channel::oneshot();
    let parent = Builder::new().on(on.there().backend()).spawn(move |mut me: Process<Do>| async move {
        drop(started.send(supervisor.start_link(&me).await.unwrap()));
        match me.receive().await {
            Event::Message(Do::End(reason)) => reason,
            other => panic!("{other:?}"),
        }
    });
    let supervisor = told.wait().unwrap();
    let ended = supervisor.pid().ended();
    parent.unwrap().send(Do::End(ExitReason::other("bankrupt"))).wait().unwrap();
    assert_eq!(ended.wait(), ExitReason::other("bankrupt"));
    log.expect(&["started a", "started b", "stopped b: shutdown", "stopped a: shutdown"]);
}

fn a_supervisor_that_does_not_start_tells_its_parent_once(on: &Systems) {
    let supervisor = Supervisor::one_for_one().child(failing_child("x", 0, 1)).on(on.here().backend());
    let (done, told) = channel::oneshot();
    let body = move |mut me: Process<()>| async move {
        let error = supervisor.start_link(&me).await.unwrap_err();
        // It does not trap exits, and lives on.
        let event = me.receive_timeout(Duration::from_millis(20)).await;
        drop(done.send((error.child().map(str::to_owned), event.is_none())));
    };
    Builder::new().on(on.here().backend()).spawn(body).unwrap();
    assert_eq!(told.wait().unwrap(), (Some("x".to_owned()), true));
}

fn a_supervisor_that_is_killed_takes_its_children_with_it(on: &Systems) {
    let log = Log::new();
    let (supervisor, children) = three(on, Strategy::OneForAll, &log);
    let ends = pids(&children).map(|pid| pid.ended());
    supervisor.pid().exit(ExitReason::Kill);
    for end in ends {
        assert_eq!(end.wait(), ExitReason::Killed);
    }
    for child in children {
        assert!(child.send(Do::Panic).wait().is_err());
    }
    log.expect_nothing_more();
}

fn a_stranger_does_not_end_a_supervisor(on: &Systems) {
    let log = Log::new();
    let (supervisor, children) = three(on, Strategy::OneForOne, &log);
    let pid = supervisor.pid();
    let (done, told) = channel::oneshot();
    let stranger = async move |me: Process<()>| {
        me.exit(&pid, ExitReason::other("because I say so"));
        let _ = done.send(());
    };
    Builder::new().on(on.here().backend()).spawn(stranger).unwrap();
    told.wait().unwrap();
    assert_eq!(supervisor.count().wait().unwrap().active, 3);
    pids(&children);
    // The program itself is no stranger.
    let ended = supervisor.pid().ended();
    supervisor.pid().exit(ExitReason::other("because I say so"));
    assert_eq!(ended.wait(), ExitReason::other("because I say so"));
    log.expect(&["stopped c: shutdown", "stopped b: shutdown", "stopped a: shutdown"]);
}

fn one_that_ends_while_another_is_stopped_is_not_forgotten(on: &Systems) {
    let (log, gate) = (Log::new(), Gate::new());
    let opened = gate.clone();
    let slow = ChildSpec::process("slow", move |mut me: Process<()>| {
        let opened = opened.clone();
        async move {
            me.receive().await;
            opened.opened().await;
        }
    });
    let slow = slow.shutdown(Shutdown::Infinity).settings(|builder| builder.trap_exit(true));
    let other = child("other");
    let reference = other.reference();
    let supervisor = Supervisor::one_for_one().on_report(log.observer()).child(slow).child(other);
    let supervisor = supervisor.on(on.here().backend()).start().wait().unwrap();
    let first = reference.process().unwrap().ended();
    let stopping = {
        let supervisor = supervisor.clone();
        on.here().spawn(async move { supervisor.terminate_child("slow").await })
    };
    eventually("it has been asked to end", || gate.waiting() > 0);
    fail(&reference);
    first.wait();
    log.expect(&["started slow", "started other"]);
    log.expect_nothing_more();
    gate.open();
    stopping.wait().unwrap().unwrap();
    log.expect(&["stopped slow: normal", "ended other: tired", "started other"]);
    supervisor.stop().wait();
}

fn significant_children_take_their_supervisor_with_them(on: &Systems) {
    for (when, lasts) in [(AutoShutdown::AnySignificant, 1), (AutoShutdown::AllSignificant, 2)] {
        let log = Log::new();
        let important = |id| child(id).restart(Restart::Transient).significant(true);
        let specs = [important("a"), important("b"), child("c").restart(Restart::Temporary)];
        let references = [0, 1, 2].map(|at: usize| specs[at].reference());
        let supervisor = Supervisor::one_for_one().auto_shutdown(when).on_report(log.observer());
        let supervisor = specs.into_iter().fold(supervisor, Supervisor::child);
        let supervisor = supervisor.on(on.here().backend()).start().wait().unwrap();
        let ended = supervisor.pid().ended();
        log.expect(&["started a", "started b", "started c"]);
        fail(&references[2]);
        log.expect(&["ended c: tired"]);
        for (id, child) in ["a", "b"].into_iter().zip(&references).take(lasts) {
            assert!(supervisor.pid().is_alive_here());
            child.send(Do::End(ExitReason::Normal)).wait().unwrap();
            log.expect(&[&format!("ended {id}: normal")]);
        }
        assert_eq!(ended.wait(), ExitReason::Shutdown);
    }
}

fn a_backend_shuts_down_with_a_tree_on_it(on: &Systems) {
    let log = Log::new();
    let (outer, x) = nested(on, &log, 1);
    let outer = outer.start().wait().unwrap();
    let ended = outer.pid().ended();
    let waiting = {
        let x = x.clone();
        Arc::new(on.here().spawn(async move { time::timeout(Duration::from_secs(30), x.ask(Do::Who)).await }))
    };
    drop(waiting);
    on.here().shutdown(Duration::from_secs(10)).unwrap();
    assert_eq!(ended.wait(), ExitReason::Shutdown);
    assert!(x.send(Do::Panic).wait().is_err());
}
