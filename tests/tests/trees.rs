//! Trees of supervisors: what a supervisor that is killed leaves behind, who is told that nobody will start
//! it any more, what cannot be, and how deep a tree may be.

use std::error::Error;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::supervisor::{
    AutoShutdown, ChildError, ChildRef, ChildSpec, ChildState, Mailbox, PlanError, Restart, Shutdown,
    StartError, Strategy, Supervisor, SupervisorRef,
};
use twoply_core::actor::{ExitReason, Pid, Process, Registry};
use twoply_core::channel::TrySendError;
use twoply_tests::children::{Do, Log, child, failing_child, straight_child};
use twoply_tests::{Gate, Systems, eventually, laws};

laws! {
    and_mixed {
        a_supervisor_that_was_killed_starts_anew_under_the_same_names,
        nobody_starts_while_its_predecessor_lives,
    }
    everywhere {
        whoever_does_not_go_in_its_time_is_killed_before_its_successor_starts,
        what_a_start_under_way_has_left_behind_goes_first,
        a_kept_mailbox_outlasts_its_supervisor,
        nobody_waits_for_a_child_that_is_not_tried_again,
        a_child_waits_as_long_as_a_restart_may_bring_it,
        nobody_waits_for_a_child_below_a_start_that_failed,
        a_dynamic_child_whose_restart_fails_can_be_terminated,
        what_cannot_be_is_refused,
        a_tree_may_be_deep,
    }
}

/// More restarts than any law needs.
const MANY: usize = 1_000_000;

/// The length of a period that no law outlasts.
const LONG: Duration = Duration::from_secs(600);

/// How many names there are.
const NAMES: usize = 5;

fn fail(child: &ChildRef<Do>) {
    child.send(Do::End(ExitReason::other("tired"))).wait().unwrap();
}

/// A tree of `inner` in `outer`, which allows one restart.
fn outer(on: &Systems, log: &Log, inner: Supervisor) -> SupervisorRef {
    let inner = ChildSpec::supervisor("inner", inner.on(on.there().backend()));
    let outer = Supervisor::one_for_one().intensity(1, LONG).on_report(log.observer()).child(inner);
    let outer = outer.on(on.here().backend()).start().wait().unwrap();
    log.expect(&["started inner"]);
    outer
}

/// Kills the supervisor `inner` below `outer`.
fn kill_inner(outer: &SupervisorRef) {
    let inner = outer.child_supervisor("inner").wait().unwrap().unwrap();
    inner.pid().exit(ExitReason::Kill);
}

/// Waits until `inner` has been started again, at the first attempt.
fn expect_successor(log: &Log) {
    log.expect(&["ended inner: killed", "started inner"]);
    log.expect_nothing_more();
}

/// Who has each of the names.
fn bearers(registry: &Registry) -> Vec<Pid> {
    let bearers: Vec<_> = registry.registered().into_iter().map(|(_, pid)| pid).collect();
    assert_eq!(bearers.len(), NAMES);
    bearers
}

fn a_supervisor_that_was_killed_starts_anew_under_the_same_names(on: &Systems) {
    for round in 0..20 {
        let (registry, log) = (Registry::new(), Log::new());
        let named = |n: usize| match n % 2 {
            0 => child(&format!("child {n}")).register_in(&registry, format!("name {n}")),
            _ => straight_child(&format!("child {n}")).register_in(&registry, format!("name {n}")),
        };
        // One is further down, so that nobody tells it of the end before its own supervisor does.
        let lowest = Supervisor::one_for_one().child(named(0)).on(on.here().backend());
        let inner = Supervisor::one_for_all().child(ChildSpec::supervisor("lowest", lowest));
        let outer = outer(on, &log, (1..NAMES).map(named).fold(inner, Supervisor::child));
        let before = bearers(&registry);
        kill_inner(&outer);
        expect_successor(&log);
        let after = bearers(&registry);
        assert!(before.iter().all(|pid| !after.contains(pid)), "round {round}: {before:?}, {after:?}");
        outer.stop().wait();
    }
}

/// Counts how many there are at a time, of those of whom there may be one.
#[derive(Clone, Default)]
struct Alone(Arc<AtomicUsize>);

impl Alone {
    fn enter(&self) -> Here {
        assert_eq!(self.0.fetch_add(1, Ordering::SeqCst), 0, "it is not alone");
        Here(self.clone())
    }
}

/// That one of them is there.
struct Here(Alone);

impl Drop for Here {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A child that takes its time to end, until `gate` is open.
fn slow_child(alone: &Alone, gate: &Gate) -> ChildSpec<()> {
    let (alone, gate) = (alone.clone(), gate.clone());
    let slow = ChildSpec::process("slow", move |mut me: Process<()>| {
        let (here, gate) = (alone.enter(), gate.clone());
        async move {
            me.receive().await;
            gate.opened().await;
            drop(here);
        }
    });
    slow.settings(|builder| builder.trap_exit(true))
}

fn nobody_starts_while_its_predecessor_lives(on: &Systems) {
    let (registry, log) = (Registry::new(), Log::new());
    let (alone, gate) = (Alone::default(), Gate::new());
    let slow = slow_child(&alone, &gate).shutdown(Shutdown::Infinity).register_in(&registry, "slow");
    let outer = outer(on, &log, Supervisor::one_for_one().child(slow).child(child("after")));
    let before = registry.whereis_pid("slow").unwrap();
    kill_inner(&outer);
    log.expect(&["ended inner: killed"]);
    eventually("it is about to end", || gate.waiting() > 0);
    assert_eq!(registry.whereis_pid("slow"), Some(before.clone()));
    log.expect_nothing_more();
    gate.open();
    log.expect(&["started inner"]);
    assert_ne!(registry.whereis_pid("slow").unwrap(), before);
    outer.stop().wait();
    log.expect(&["stopped inner: shutdown"]);
}

fn whoever_does_not_go_in_its_time_is_killed_before_its_successor_starts(on: &Systems) {
    for shutdown in [Shutdown::Deadline(Duration::from_millis(10)), Shutdown::Kill] {
        let (registry, log) = (Registry::new(), Log::new());
        let (alone, gate) = (Alone::default(), Gate::new());
        let slow = slow_child(&alone, &gate).shutdown(shutdown).register_in(&registry, "slow");
        let outer = outer(on, &log, Supervisor::one_for_one().child(slow));
        let ended = registry.whereis_pid("slow").unwrap().ended();
        kill_inner(&outer);
        assert_eq!(ended.wait(), ExitReason::Killed);
        expect_successor(&log);
        outer.stop().wait();
    }
}

fn what_a_start_under_way_has_left_behind_goes_first(on: &Systems) {
    let (log, alone, gate) = (Log::new(), Alone::default(), Gate::new());
    let starts = AtomicUsize::new(0);
    let (instances, opened) = (alone.clone(), gate.clone());
    let spec = ChildSpec::start_with("slow", move |start| {
        let here = instances.enter();
        let process = start.spawn(async move |mut me: Process<()>| {
            me.receive().await;
            drop(here);
            pending::<()>().await
        })?;
        if starts.fetch_add(1, Ordering::SeqCst) == 1 {
            // The second start takes so long that its supervisor is killed meanwhile.
            opened.opened().wait();
        }
        Ok(process)
    });
    let spec = spec.settings(|builder| builder.trap_exit(true)).shutdown(Shutdown::Kill);
    let outer = outer(on, &log, Supervisor::one_for_one().child(spec));
    let inner = outer.child_supervisor("inner").wait().unwrap().unwrap();
    let slow = inner.children().wait().unwrap()[0].pid().unwrap().clone();
    slow.exit(ExitReason::Kill);
    eventually("it is being restarted", || gate.waiting() > 0);
    inner.pid().exit(ExitReason::Kill);
    expect_successor(&log);
    outer.stop().wait();
}

fn a_kept_mailbox_outlasts_its_supervisor(on: &Systems) {
    let log = Log::new();
    let spec = child("keeper").mailbox(Mailbox::Keep);
    let keeper = spec.reference();
    let outer = outer(on, &log, Supervisor::one_for_one().child(spec));
    let pid = keeper.pid().unwrap();
    kill_inner(&outer);
    // Before, during or after the restart.
    for number in 0..10 {
        keeper.send(Do::Keep(number)).wait().unwrap();
    }
    expect_successor(&log);
    assert_eq!(keeper.pid(), Some(pid), "it is the same process");
    let mut kept = keeper.ask(Do::Kept).wait().unwrap();
    // Those that were received before the end are gone with the life that received them.
    kept.reverse();
    assert!(kept.iter().copied().eq((0..10).rev().take(kept.len())), "{kept:?}");
    outer.stop().wait();
}

/// Checks that nobody will start the child by itself: who sends to it does not wait.
fn expect_nobody(child: &ChildRef<Do>) {
    assert!(child.send(Do::Panic).wait().is_err());
    assert!(matches!(child.try_send(Do::Panic), Err(TrySendError::Closed(_))));
    assert!(child.ask(Do::Who).wait().is_err());
}

fn nobody_waits_for_a_child_that_is_not_tried_again(on: &Systems) {
    for strategy in [Strategy::RestForOne, Strategy::OneForAll] {
        let log = Log::new();
        let specs = [child("a"), failing_child("b", 1, usize::MAX), child("c"), child("d")];
        let references = specs.each_ref().map(ChildSpec::reference);
        let supervisor = Supervisor::new(strategy).intensity(MANY, LONG).on_report(log.observer());
        let supervisor = specs.into_iter().fold(supervisor, Supervisor::child);
        let supervisor = supervisor.on(on.here().backend()).start().wait().unwrap();
        fail(&references[1]);
        eventually("those after it have been stopped", || references[3].pid().is_none());
        assert!(
            matches!(references[3].try_send(Do::Panic), Err(TrySendError::Full(_))),
            "it is to run again"
        );
        supervisor.terminate_child("b").wait().unwrap();
        references[1..].iter().for_each(expect_nobody);
        references[0].ask(Do::Who).wait().unwrap();
        // Whoever is started by hand runs, and nobody else does.
        supervisor.restart_child("d").wait().unwrap();
        references[3].ask(Do::Who).wait().unwrap();
        expect_nobody(&references[2]);
        assert!(matches!(supervisor.restart_child("b").wait(), Err(ChildError::NotStarted(_))));
        expect_nobody(&references[1]);
        // A restart that succeeds brings all with it as ever.
        fail(&references[0]);
        let again = if strategy == Strategy::RestForOne { 2 } else { 3 };
        eventually("its restart fails again", || references[again].pid().is_none());
        supervisor.delete_child("c").wait().unwrap();
        supervisor.stop().wait();
        references.iter().for_each(expect_nobody);
    }
}

/// Checks that the child does not run, but that something may still start it.
fn expect_waiting(child: &ChildRef<Do>) {
    assert!(child.pid().is_none());
    assert!(matches!(child.try_send(Do::Panic), Err(TrySendError::Full(_))));
}

fn a_child_waits_as_long_as_a_restart_may_bring_it(on: &Systems) {
    for strategy in [Strategy::OneForOne, Strategy::RestForOne, Strategy::OneForAll] {
        let specs = [child("a"), failing_child("b", 1, usize::MAX), failing_child("c", 1, 2), child("d")];
        let [_, b, c, d] = specs.each_ref().map(ChildSpec::reference);
        let supervisor = Supervisor::new(strategy).intensity(MANY, LONG);
        let supervisor = specs.into_iter().fold(supervisor, Supervisor::child);
        let supervisor = supervisor.on(on.here().backend()).start().wait().unwrap();
        let is_restarting =
            |at: usize| supervisor.children().wait().unwrap()[at].state == ChildState::Restarting;
        fail(&b);
        eventually("its restart has failed", || is_restarting(1));
        if strategy == Strategy::OneForOne {
            supervisor.terminate_child("c").wait().unwrap();
        } else {
            expect_waiting(&c);
        }
        assert!(matches!(supervisor.restart_child("c").wait(), Err(ChildError::NotStarted(_))));
        match strategy {
            Strategy::OneForOne => expect_nobody(&c),
            _ => expect_waiting(&c),
        }
        supervisor.terminate_child("b").wait().unwrap();
        expect_nobody(&b);
        expect_nobody(&c);
        supervisor.restart_child("c").wait().unwrap();
        c.ask(Do::Who).wait().unwrap();
        supervisor.stop().wait();
        [b, c, d].iter().for_each(expect_nobody);
    }
}

fn nobody_waits_for_a_child_below_a_start_that_failed(on: &Systems) {
    let log = Log::new();
    let specs = [child("x"), failing_child("y", 1, 2)];
    let references = specs.each_ref().map(ChildSpec::reference);
    let outer = outer(on, &log, specs.into_iter().fold(Supervisor::one_for_one(), Supervisor::child));
    outer.terminate_child("inner").wait().unwrap();
    references.iter().for_each(expect_nobody);
    let failed = outer.restart_child("inner").wait();
    assert!(
        matches!(&failed, Err(ChildError::NotStarted(error)) if error.child() == Some("inner/y")),
        "{failed:?}"
    );
    references.iter().for_each(expect_nobody);
    outer.restart_child("inner").wait().unwrap();
    references.iter().for_each(|child| drop(child.ask(Do::Who).wait().unwrap()));
    outer.stop().wait();
}

fn a_dynamic_child_whose_restart_fails_can_be_terminated(on: &Systems) {
    for by_id in [false, true] {
        let log = Log::new();
        let supervisor = Supervisor::dynamic().intensity(MANY, LONG).on_report(log.observer());
        let supervisor = supervisor.on(on.here().backend()).start().wait().unwrap();
        let spec = failing_child("guest", 1, usize::MAX);
        let reference = spec.reference();
        supervisor.start_child(child("other")).wait().unwrap();
        let pid = supervisor.start_child(spec).wait().unwrap();
        fail(&reference);
        log.expect(&["started other", "started guest", "ended guest: tired"]);
        log.expect(&["not started: guest could not be started: attempt 1"]);
        assert!(matches!(supervisor.restart_child(&pid).wait(), Err(ChildError::Restarting)));
        match by_id {
            true => supervisor.terminate_child("guest").wait().unwrap(),
            false => supervisor.terminate_child(&pid).wait().unwrap(),
        }
        assert!(matches!(supervisor.terminate_child(&pid).wait(), Err(ChildError::NotFound)));
        assert!(matches!(supervisor.terminate_child("guest").wait(), Err(ChildError::NotFound)));
        expect_nobody(&reference);
        assert_eq!(supervisor.count().wait().unwrap().specs, 1);
        supervisor.stop().wait();
    }
}

/// Why there is no such supervisor.
fn plan_error(error: &StartError) -> PlanError {
    *error.source().and_then(|source| source.downcast_ref()).unwrap_or_else(|| panic!("{error}"))
}

fn what_cannot_be_is_refused(on: &Systems) {
    use AutoShutdown::{AllSignificant, AnySignificant, Never};
    use PlanError::{
        DynamicWithAutoShutdown, NoPeriod, SameId, SignificantAndPermanent, SignificantForNobody,
    };
    let one = Supervisor::one_for_one;
    let significant = |restart| child("a").restart(restart).significant(true);
    let cases = [
        (one().intensity(1, Duration::ZERO), NoPeriod, None),
        (Supervisor::dynamic().auto_shutdown(AnySignificant), DynamicWithAutoShutdown, None),
        (Supervisor::dynamic().auto_shutdown(AllSignificant), DynamicWithAutoShutdown, None),
        (one().child(child("a")).child(child("a")), SameId, Some("a")),
        (one().child(significant(Restart::Transient)), SignificantForNobody, Some("a")),
        (one().child(significant(Restart::Temporary)).auto_shutdown(Never), SignificantForNobody, Some("a")),
        (Supervisor::dynamic().child(significant(Restart::Temporary)), SignificantForNobody, Some("a")),
        (one().child(significant(Restart::Permanent)), SignificantAndPermanent, Some("a")),
        (
            one().child(significant(Restart::Permanent)).auto_shutdown(AllSignificant),
            SignificantAndPermanent,
            Some("a"),
        ),
    ];
    for (supervisor, expected, who) in cases {
        let refused = supervisor.on(on.here().backend()).start().wait().unwrap_err();
        assert_eq!((plan_error(&refused), refused.child()), (expected, who));
    }
    // A child that comes later, and a supervisor further down.
    let supervisor = one().auto_shutdown(AnySignificant).on(on.here().backend()).start().wait().unwrap();
    let refused = supervisor.start_child(significant(Restart::Permanent)).wait();
    assert!(
        matches!(&refused, Err(ChildError::NotStarted(error)) if plan_error(error) == SignificantAndPermanent),
        "{refused:?}"
    );
    let inner = ChildSpec::supervisor("inner", one().child(significant(Restart::Transient)));
    let refused = supervisor.start_child(inner).wait();
    assert!(
        matches!(&refused, Err(ChildError::NotStarted(error)) if error.child() == Some("inner/a")),
        "{refused:?}"
    );
    assert_eq!(supervisor.count().wait().unwrap().specs, 0);
    supervisor.start_child(significant(Restart::Transient)).wait().unwrap();
    supervisor.stop().wait();
}

/// Supervisors inside supervisors, `depth` of them, with a child in the lowest one.
fn deep(depth: usize) -> (Supervisor, ChildRef<Do>) {
    let lowest = child("lowest");
    let reference = lowest.reference();
    let lowest = Supervisor::one_for_one().child(lowest);
    let nest = |below, _| Supervisor::one_for_one().child(ChildSpec::supervisor("below", below));
    ((1..depth).fold(lowest, nest), reference)
}

fn a_tree_may_be_deep(on: &Systems) {
    drop(deep(100_000));
    // Native supervisors are threads.
    let depth = if on.kind().is_green() { 5_000 } else { 100 };
    let (supervisor, lowest) = deep(depth);
    let supervisor = supervisor.on(on.here().backend()).start().wait().unwrap();
    lowest.ask(Do::Who).wait().unwrap();
    let tree = supervisor.tree().wait().unwrap();
    let again = tree.clone();
    let levels = std::iter::successors(Some(&tree), |tree| tree.children[0].below.as_deref());
    assert_eq!(levels.count(), depth);
    drop(tree);
    drop(again);
    let stopper = supervisor.clone();
    // On a stack of the backend's own.
    assert_eq!(on.here().spawn_fn(move || stopper.stop().wait()).wait().unwrap(), ExitReason::Normal);
    expect_nobody(&lowest);
    // One that is killed, and one that ends with its backend.
    let (supervisor, lowest) = deep(depth);
    let supervisor = supervisor.on(on.here().backend()).start().wait().unwrap();
    supervisor.pid().exit(ExitReason::Kill);
    eventually("all have ended", || on.here().tasks() == 0);
    expect_nobody(&lowest);
}
