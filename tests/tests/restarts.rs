//! How supervisors pace restarts: the delays of a backoff, and the limit of each child.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::ExitReason;
use twoply_core::actor::supervisor::{
    AutoShutdown, Backoff, ChildError, ChildRef, ChildSpec, ChildState, Mailbox, PlanError, Report, Restart,
    Strategy, Supervisor, SupervisorRef,
};
use twoply_core::channel::TrySendError;
use twoply_tests::children::{Do, Log, child, failing_child};
use twoply_tests::{Systems, all_are_over, eventually, laws};

laws! {
    and_mixed {
        a_restart_waits_for_its_backoff,
        those_that_are_restarted_together_wait_together,
        a_child_beyond_its_own_limit_is_given_up,
    }
    everywhere {
        each_delay_is_longer_until_the_child_runs_for_long,
        a_restart_that_fails_waits_as_well,
        a_supervisor_does_not_stand_still_while_a_restart_is_delayed,
        a_stop_during_a_delay_is_at_once,
        the_end_of_another_child_ends_a_delay,
        what_no_longer_waits_for_its_delay_is_not_started_by_it,
        too_many_restarts_are_not_waited_for,
        a_kept_mailbox_takes_messages_during_a_delay,
        a_limit_counts_what_the_child_itself_has_done,
        a_significant_child_that_is_given_up_has_ended,
        a_limit_without_a_period_is_refused,
    }
}

/// A time that no test lives to see.
const LONG: Duration = Duration::from_secs(10_000);

/// A delay that is always the same.
fn every(delay: Duration) -> Backoff {
    Backoff::new(delay, delay).jitter(0.0)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn supervisor(on: &Systems, strategy: Strategy, log: &Log) -> Supervisor {
    let supervisor = Supervisor::new(strategy).intensity(100, LONG).on_report(log.observer());
    supervisor.on(on.here().backend())
}

fn start(supervisor: Supervisor) -> SupervisorRef {
    supervisor.start().wait().unwrap()
}

/// Has the child fail, and returns when its process has ended.
fn fail(child: &ChildRef<Do>) {
    let pid = child.ask(Do::Who).wait().unwrap();
    child.send(Do::End(ExitReason::other("tired"))).wait().unwrap();
    assert_eq!(pid.ended().wait(), ExitReason::other("tired"));
}

/// Waits until the restart of the child at this place is delayed.
fn until_delayed(supervisor: &SupervisorRef, at: usize) {
    eventually("its restart is delayed", || {
        supervisor.children().wait().unwrap()[at].state == ChildState::Restarting
    });
}

fn a_restart_waits_for_its_backoff(on: &Systems) {
    for strategy in [Strategy::OneForOne, Strategy::Dynamic] {
        let log = Log::new();
        let spec = child("one").backoff(every(ms(3))).on(on.there().backend());
        let one = spec.reference();
        let supervisor = start(supervisor(on, strategy, &log).child(spec));
        log.expect(&["started one"]);
        for _ in 0..5 {
            let before = one.ask(Do::Who).wait().unwrap();
            fail(&one);
            assert_ne!(one.ask(Do::Who).wait().unwrap(), before, "the question waits for the successor");
            log.expect(&["ended one: tired", "one is restarted in 3ms", "started one"]);
        }
        assert_eq!(supervisor.stop().wait(), ExitReason::Normal);
        log.expect(&["stopped one: shutdown"]);
        log.expect_nothing_more();
    }
}

fn each_delay_is_longer_until_the_child_runs_for_long(on: &Systems) {
    let log = Log::new();
    let growing = child("growing").backoff(Backoff::new(ms(1), ms(4)).jitter(0.0).reset_after(LONG));
    // Any run is long enough.
    let fresh = child("fresh").backoff(Backoff::new(ms(1), ms(4)).jitter(0.0).reset_after(Duration::ZERO));
    let references = [growing.reference(), fresh.reference()];
    let supervisor = start(supervisor(on, Strategy::OneForOne, &log).child(growing).child(fresh));
    log.expect(&["started growing", "started fresh"]);
    for (reference, id, delays) in
        [(&references[0], "growing", [1, 2, 4, 4]), (&references[1], "fresh", [1, 1, 1, 1])]
    {
        for delay in delays {
            fail(reference);
            let lines = [
                format!("ended {id}: tired"),
                format!("{id} is restarted in {delay}ms"),
                format!("started {id}"),
            ];
            log.expect(&lines.each_ref().map(String::as_str));
        }
    }
    supervisor.stop().wait();
}

fn a_restart_that_fails_waits_as_well(on: &Systems) {
    let log = Log::new();
    let spec = failing_child("one", 1, 3).backoff(Backoff::new(ms(1), ms(100)).jitter(0.0));
    let one = spec.reference();
    let supervisor = start(supervisor(on, Strategy::OneForOne, &log).child(spec));
    fail(&one);
    one.ask(Do::Who).wait().unwrap();
    log.expect(&["started one", "ended one: tired", "one is restarted in 1ms"]);
    log.expect(&["not started: one could not be started: attempt 1", "one is restarted in 2ms"]);
    log.expect(&["not started: one could not be started: attempt 2", "one is restarted in 4ms"]);
    log.expect(&["started one"]);
    supervisor.stop().wait();
    // A child that cannot be started at first is not tried again.
    let broken = failing_child("broken", 0, 1).backoff(every(LONG));
    Supervisor::one_for_one().child(broken).on(on.here().backend()).start().wait().unwrap_err();
}

fn those_that_are_restarted_together_wait_together(on: &Systems) {
    for strategy in [Strategy::RestForOne, Strategy::OneForAll] {
        let log = Log::new();
        let specs = [
            child("a"),
            child("b").backoff(every(ms(5))).on(on.there().backend()),
            child("t").restart(Restart::Temporary),
            child("c"),
        ];
        let [_, b, t, c] = specs.each_ref().map(ChildSpec::reference);
        let supervisor = start(specs.into_iter().fold(supervisor(on, strategy, &log), Supervisor::child));
        log.expect(&["started a", "started b", "started t", "started c"]);
        fail(&b);
        log.expect(&[
            "ended b: tired",
            "b is restarted in 5ms",
            "stopped c: shutdown",
            "stopped t: shutdown",
        ]);
        if strategy == Strategy::OneForAll {
            log.expect(&["stopped a: shutdown", "started a"]);
        }
        log.expect(&["started b", "started c"]);
        c.ask(Do::Who).wait().unwrap();
        assert!(t.send(Do::Panic).wait().is_err(), "a temporary child is forgotten");
        supervisor.stop().wait();
        log.expect(&["stopped c: shutdown", "stopped b: shutdown", "stopped a: shutdown"]);
        log.expect_nothing_more();
    }
}

fn a_supervisor_does_not_stand_still_while_a_restart_is_delayed(on: &Systems) {
    let log = Log::new();
    let slow = child("slow").backoff(every(LONG));
    let (quick, to_slow) = (child("quick"), slow.reference());
    let to_quick = quick.reference();
    let supervisor = start(supervisor(on, Strategy::OneForOne, &log).child(slow).child(quick));
    log.expect(&["started slow", "started quick"]);
    fail(&to_slow);
    log.expect(&["ended slow: tired", "slow is restarted in 10000s"]);
    fail(&to_quick);
    log.expect(&["ended quick: tired", "started quick"]);
    supervisor.start_child(child("more")).wait().unwrap();
    assert_eq!(supervisor.count().wait().unwrap().active, 2);
    assert!(matches!(to_slow.try_send(Do::Panic), Err(TrySendError::Full(_))), "it will run again");
    assert!(matches!(supervisor.restart_child("slow").wait(), Err(ChildError::Restarting)));
    assert!(matches!(supervisor.delete_child("slow").wait(), Err(ChildError::Restarting)));
    // Whoever does not want to wait stops it and starts it.
    supervisor.terminate_child("slow").wait().unwrap();
    assert!(to_slow.send(Do::Panic).wait().is_err());
    supervisor.restart_child("slow").wait().unwrap();
    to_slow.ask(Do::Who).wait().unwrap();
    supervisor.stop().wait();
}

fn a_stop_during_a_delay_is_at_once(on: &Systems) {
    let delayed = |strategy| {
        let log = Log::new();
        let spec = child("one").backoff(every(LONG));
        let one = spec.reference();
        let supervisor = supervisor(on, strategy, &log).child(spec).child(child("two"));
        (supervisor, one)
    };
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        let (supervisor, one) = delayed(strategy);
        let supervisor = start(supervisor);
        fail(&one);
        until_delayed(&supervisor, 0);
        let waiting = on.here().spawn({
            let one = one.clone();
            async move { one.send(Do::Panic).await.is_err() }
        });
        assert_eq!(supervisor.stop().wait(), ExitReason::Normal);
        assert!(waiting.wait().unwrap(), "nobody will start it");
    }
    // So is the end of its parent, and a kill.
    let (inner, one) = delayed(Strategy::OneForAll);
    let outer = Supervisor::one_for_one().child(ChildSpec::supervisor("inner", inner));
    let outer = start(outer.on(on.here().backend()));
    fail(&one);
    let inner = outer.child_supervisor("inner").wait().unwrap().unwrap();
    until_delayed(&inner, 0);
    assert_eq!(outer.stop().wait(), ExitReason::Normal);
    assert!(one.send(Do::Panic).wait().is_err());
    let (killed, one) = delayed(Strategy::RestForOne);
    let killed = start(killed);
    fail(&one);
    until_delayed(&killed, 0);
    killed.pid().exit(ExitReason::Kill);
    assert_eq!(killed.pid().ended().wait(), ExitReason::Killed);
    assert!(one.send(Do::Panic).wait().is_err());
    all_are_over(on);
}

fn the_end_of_another_child_ends_a_delay(on: &Systems) {
    let log = Log::new();
    let specs = [child("a"), child("b").backoff(every(LONG)), child("c")];
    let [a, b, _] = specs.each_ref().map(ChildSpec::reference);
    let supervisor = supervisor(on, Strategy::RestForOne, &log);
    let supervisor = start(specs.into_iter().fold(supervisor, Supervisor::child));
    log.expect(&["started a", "started b", "started c"]);
    for _ in 0..3 {
        fail(&b);
        log.expect(&["ended b: tired", "b is restarted in 10000s", "stopped c: shutdown"]);
        fail(&a);
        log.expect(&["ended a: tired", "started a", "started b", "started c"]);
    }
    supervisor.stop().wait();
}

fn what_no_longer_waits_for_its_delay_is_not_started_by_it(on: &Systems) {
    // One that is stopped meanwhile stays so, though its delay would be over before that of the other one.
    let log = Log::new();
    let (stopped, witness) =
        (child("stopped").backoff(every(ms(20))), child("witness").backoff(every(ms(40))));
    let [to_stopped, to_witness] = [stopped.reference(), witness.reference()];
    let supervisor = start(supervisor(on, Strategy::OneForOne, &log).child(stopped).child(witness));
    fail(&to_stopped);
    supervisor.terminate_child("stopped").wait().unwrap();
    fail(&to_witness);
    to_witness.ask(Do::Who).wait().unwrap();
    assert!(to_stopped.send(Do::Panic).wait().is_err());
    assert_eq!(supervisor.children().wait().unwrap()[0].state, ChildState::Stopped);
    supervisor.stop().wait();
    // One that waits with another one by now is not started before it.
    let lines = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&lines);
    let specs = [child("a").backoff(every(ms(60))), child("b").backoff(every(ms(30))), child("c")];
    let [a, b, _] = specs.each_ref().map(ChildSpec::reference);
    let supervisor = Supervisor::rest_for_one().intensity(100, LONG).on(on.here().backend());
    let supervisor = supervisor.on_report(move |report| noted.lock().unwrap().push(report.clone()));
    let supervisor = start(specs.into_iter().fold(supervisor, Supervisor::child));
    fail(&b);
    fail(&a);
    let restarted = || -> Vec<_> {
        let ended = |report: &&Report| matches!(report, Report::Ended { id, .. } if **id == *"a");
        let lines = lines.lock().unwrap();
        let after = lines.iter().skip_while(|report| !ended(report));
        let restarted = after.filter_map(|report| match report {
            Report::Restarted { id, .. } => Some(id.to_string()),
            _ => None,
        });
        restarted.collect()
    };
    eventually("all are restarted", || restarted().contains(&"c".to_owned()));
    assert_eq!(restarted(), ["a", "b", "c"]);
    supervisor.stop().wait();
}

fn too_many_restarts_are_not_waited_for(on: &Systems) {
    let log = Log::new();
    let spec = child("one").backoff(Backoff::new(Duration::ZERO, LONG).jitter(0.0));
    let one = spec.reference();
    let supervisor = supervisor(on, Strategy::OneForOne, &log).intensity(1, LONG).child(spec);
    let supervisor = start(supervisor);
    let ended = supervisor.pid().ended();
    fail(&one);
    fail(&one);
    assert_eq!(ended.wait(), ExitReason::Shutdown);
    log.expect(&["started one", "ended one: tired", "one is restarted in 0ns", "started one"]);
    log.expect(&["ended one: tired", "too many: one"]);
}

fn a_kept_mailbox_takes_messages_during_a_delay(on: &Systems) {
    let log = Log::new();
    let spec = child("one").backoff(every(ms(20))).mailbox(Mailbox::Keep);
    let one = spec.reference();
    let supervisor = start(supervisor(on, Strategy::OneForOne, &log).child(spec));
    let process = one.process().unwrap();
    fail(&one);
    log.expect(&["started one", "ended one: tired", "one is restarted in 20ms"]);
    for number in 0..3 {
        process.try_send(Do::Keep(number)).unwrap();
    }
    assert_eq!(one.ask(Do::Kept).wait().unwrap(), [0, 1, 2]);
    supervisor.stop().wait();
}

fn a_child_beyond_its_own_limit_is_given_up(on: &Systems) {
    for strategy in [Strategy::OneForOne, Strategy::Dynamic, Strategy::OneForAll, Strategy::RestForOne] {
        let log = Log::new();
        let alone = matches!(strategy, Strategy::OneForOne | Strategy::Dynamic);
        let spec = child("one").restart_limit(2, LONG).on(on.there().backend());
        let (one, two) = (spec.reference(), child("two"));
        let to_two = two.reference();
        let supervisor = start(supervisor(on, strategy, &log).child(spec).child(two));
        let ended = supervisor.pid().ended();
        for _ in 0..3 {
            fail(&one);
        }
        assert!(one.send(Do::Panic).wait().is_err(), "it does not run any more");
        if !alone {
            assert_eq!(ended.wait(), ExitReason::Shutdown, "others depend on it");
            assert!(to_two.send(Do::Panic).wait().is_err());
            continue;
        }
        log.expect(&["started one", "started two", "ended one: tired", "started one"]);
        log.expect(&["ended one: tired", "started one", "ended one: tired"]);
        log.expect(&["one is not restarted any more: its limit is reached"]);
        to_two.ask(Do::Who).wait().unwrap();
        let counts = supervisor.count().wait().unwrap();
        assert_eq!((counts.specs, counts.active), (if strategy == Strategy::Dynamic { 1 } else { 2 }, 1));
        if strategy == Strategy::OneForOne {
            supervisor.restart_child("one").wait().unwrap();
            one.ask(Do::Who).wait().unwrap();
        }
        assert_eq!(supervisor.stop().wait(), ExitReason::Normal);
    }
}

fn a_limit_counts_what_the_child_itself_has_done(on: &Systems) {
    let log = Log::new();
    let limited = child("limited").restart_limit(1, LONG);
    let (other, failing) = (child("other"), failing_child("failing", 1, 3).restart_limit(2, LONG));
    let references = [limited.reference(), other.reference(), failing.reference()];
    let supervisor = supervisor(on, Strategy::OneForAll, &log).child(other).child(limited);
    let supervisor = start(supervisor);
    for _ in 0..5 {
        log.expect(&["started other", "started limited"]);
        // It is restarted with the other one, which is not its doing.
        fail(&references[1]);
        log.expect(&["ended other: tired", "stopped limited: shutdown"]);
    }
    log.expect(&["started other", "started limited"]);
    fail(&references[0]);
    log.expect(&["ended limited: tired", "stopped other: shutdown", "started other", "started limited"]);
    supervisor.stop().wait();
    // A restart that fails is one.
    let log = Log::new();
    let supervisor = start(self::supervisor(on, Strategy::OneForOne, &log).child(failing));
    fail(&references[2]);
    assert!(references[2].send(Do::Panic).wait().is_err());
    log.expect(&["started failing", "ended failing: tired"]);
    log.expect(&["not started: failing could not be started: attempt 1"]);
    log.expect(&["not started: failing could not be started: attempt 2"]);
    log.expect(&["failing is not restarted any more: its limit is reached"]);
    supervisor.stop().wait();
}

fn a_significant_child_that_is_given_up_has_ended(on: &Systems) {
    let log = Log::new();
    let spec = child("one").restart(Restart::Transient).significant(true).restart_limit(0, LONG);
    let one = spec.reference();
    let supervisor = supervisor(on, Strategy::OneForOne, &log).auto_shutdown(AutoShutdown::AnySignificant);
    let supervisor = start(supervisor.child(spec));
    let ended = supervisor.pid().ended();
    fail(&one);
    assert_eq!(ended.wait(), ExitReason::Shutdown);
}

fn a_limit_without_a_period_is_refused(on: &Systems) {
    let none = |id: &str| child(id).restart_limit(1, Duration::ZERO);
    let supervisor = Supervisor::one_for_one().on(on.here().backend());
    let error = supervisor.child(none("one")).start().wait().unwrap_err();
    assert_eq!(error.child(), Some("one"));
    assert_eq!(error.source().unwrap().downcast_ref(), Some(&PlanError::NoPeriod));
    let supervisor = start(Supervisor::dynamic().on(on.here().backend()));
    assert!(matches!(supervisor.start_child(none("one")).wait(), Err(ChildError::NotStarted(_))));
    supervisor.stop().wait();
}
