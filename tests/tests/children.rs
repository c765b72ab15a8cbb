//! What a supervisor is asked while it runs, and what a child keeps and loses at a restart.

use std::collections::HashSet;
use std::future::pending;
use std::time::{Duration, Instant};

use twoply_core::actor::supervisor::{
    ChildError, ChildRef, ChildSpec, ChildState, Mailbox, Restart, Shutdown, Supervisor, SupervisorRef,
};
use twoply_core::actor::{Actor, Builder, Context, ExitReason, Process, Registry};
use twoply_core::future::yield_now;
use twoply_core::promise::Failure;
use twoply_core::{Wait, channel::TrySendError};
use twoply_tests::children::{Do, Log, child, straight_child, stubborn_child};
use twoply_tests::{Gate, Signal, Systems, eventually, laws};

laws! {
    and_mixed {
        children_come_and_go_on_request,
        dynamic_children_are_known_by_their_processes,
        a_reference_follows_its_child,
        a_child_has_its_name_again_after_a_restart,
        a_kept_mailbox_is_there_after_a_restart,
        senders_notice_nothing_of_restarts_with_a_kept_mailbox,
    }
    everywhere {
        requests_that_make_no_sense_are_refused,
        a_child_that_is_being_restarted_can_be_stopped,
        dynamic_children_are_stopped_all_at_once,
        a_thousand_dynamic_children_come_and_go,
        a_dropped_mailbox_fails_what_was_asked,
        a_kept_mailbox_is_closed_when_the_child_is_over,
        a_kept_mailbox_outlasts_starts_that_fail,
        a_successor_hears_nothing_of_relations_that_were_not_its_own,
        sends_wait_for_a_restart,
        a_name_that_is_taken_is_no_start,
        a_request_to_nobody_fails,
        a_start_may_wait_until_its_child_is_ready,
        an_actor_has_started_when_it_says_so,
    }
}

/// A supervisor without children.
fn empty(on: &Systems, supervisor: Supervisor, log: &Log) -> SupervisorRef {
    let supervisor = supervisor.intensity(100, Duration::from_secs(60)).on_report(log.observer());
    supervisor.on(on.here().backend()).start().wait().unwrap()
}

fn fail(child: &ChildRef<Do>) {
    child.send(Do::End(ExitReason::other("tired"))).wait().unwrap();
}

fn states(supervisor: &SupervisorRef) -> Vec<(String, bool)> {
    let children = supervisor.children().wait().unwrap();
    children.iter().map(|child| (child.id.to_string(), child.pid().is_some())).collect()
}

fn children_come_and_go_on_request(on: &Systems) {
    let log = Log::new();
    let supervisor = empty(on, Supervisor::one_for_one(), &log);
    let a = supervisor.start_child(child("a").on(on.there().backend())).wait().unwrap();
    let b = supervisor.start_child(straight_child("b")).wait().unwrap();
    assert!(a.is_alive_here() && b.is_alive_here());
    supervisor.terminate_child("a").wait().unwrap();
    assert!(!a.is_alive_here());
    assert_eq!(states(&supervisor), [("a".to_owned(), false), ("b".to_owned(), true)]);
    let again = supervisor.restart_child("a").wait().unwrap();
    assert_ne!(a, again);
    assert_eq!(supervisor.children().wait().unwrap()[0].state, ChildState::Running(again.clone()));
    supervisor.terminate_child(&again).wait().unwrap();
    supervisor.delete_child("a").wait().unwrap();
    let counts = supervisor.count().wait().unwrap();
    assert_eq!((counts.specs, counts.active, counts.workers, counts.supervisors), (1, 1, 1, 0));
    let inner = Supervisor::one_for_one().child(child("x"));
    supervisor.start_child(ChildSpec::supervisor("inner", inner)).wait().unwrap();
    let counts = supervisor.count().wait().unwrap();
    assert_eq!((counts.specs, counts.active, counts.workers, counts.supervisors), (2, 2, 1, 1));
    supervisor.start_child(child("t").restart(Restart::Temporary)).wait().unwrap();
    supervisor.terminate_child("t").wait().unwrap();
    assert_eq!(supervisor.count().wait().unwrap().specs, 2, "a temporary child is forgotten");
    log.expect(&["started a", "started b", "stopped a: shutdown", "started a", "stopped a: shutdown"]);
    log.expect(&["started inner", "started t", "stopped t: shutdown"]);
    supervisor.stop().wait();
    log.expect(&["stopped inner: shutdown", "stopped b: shutdown"]);
}

fn requests_that_make_no_sense_are_refused(on: &Systems) {
    let supervisor = empty(on, Supervisor::one_for_all(), &Log::new());
    let a = supervisor.start_child(child("a")).wait().unwrap();
    let started = supervisor.start_child(child("a")).wait();
    assert!(matches!(started, Err(ChildError::AlreadyStarted(pid)) if pid == a));
    assert!(matches!(supervisor.restart_child("a").wait(), Err(ChildError::Running(pid)) if pid == a));
    assert!(matches!(supervisor.delete_child(&a).wait(), Err(ChildError::Running(_))));
    for id in ["b", ""] {
        assert!(matches!(supervisor.restart_child(id).wait(), Err(ChildError::NotFound)));
        assert!(matches!(supervisor.terminate_child(id).wait(), Err(ChildError::NotFound)));
        assert!(matches!(supervisor.delete_child(id).wait(), Err(ChildError::NotFound)));
    }
    supervisor.terminate_child("a").wait().unwrap();
    supervisor.terminate_child("a").wait().expect("it does not run anyway");
    assert!(matches!(supervisor.start_child(child("a")).wait(), Err(ChildError::AlreadyPresent)));
    let broken = ChildSpec::<Do>::start_with("broken", |_| Err("out of luck".into()));
    let error = supervisor.start_child(broken).wait().unwrap_err();
    assert_eq!(error.to_string(), "the child broken could not be started: out of luck");
    assert!(matches!(error, ChildError::NotStarted(_)));
    assert_eq!(supervisor.count().wait().unwrap().specs, 1, "what did not start is not kept");
    supervisor.stop().wait();
}

fn a_request_to_nobody_fails(on: &Systems) {
    let supervisor = empty(on, Supervisor::one_for_one(), &Log::new());
    let spec = child("late");
    let late = spec.reference();
    supervisor.stop().wait();
    assert!(matches!(supervisor.start_child(spec).wait(), Err(ChildError::Ended(ExitReason::Normal))));
    assert!(matches!(supervisor.count().wait(), Err(Failure::NoProcess(ExitReason::Normal))));
    assert_eq!(supervisor.stop().wait(), ExitReason::Normal, "it has ended, and for that");
    assert!(late.send(Do::Panic).wait().is_err(), "its spec is gone");
    assert!(matches!(late.try_send(Do::Panic), Err(TrySendError::Closed(Do::Panic))));
}

fn a_child_that_is_being_restarted_can_be_stopped(on: &Systems) {
    let log = Log::new();
    let gate = Gate::new();
    let opened = gate.clone();
    let spec = ChildSpec::start_with("one", move |start| {
        if opened.is_open() {
            return Err("never again".into());
        }
        Ok(start.spawn(twoply_tests::children::body)?)
    });
    let one = spec.reference();
    // Two children, so that the supervisor has plenty of restarts to make, and each attempt leaves room for
    // requests.
    let supervisor = Supervisor::one_for_one().intensity(usize::MAX, Duration::from_secs(60)).child(spec);
    let supervisor = supervisor.on(on.here().backend()).on_report(log.observer()).start().wait().unwrap();
    gate.open();
    fail(&one);
    eventually("it is being restarted", || {
        supervisor.children().wait().unwrap()[0].state == ChildState::Restarting
    });
    assert!(matches!(supervisor.restart_child("one").wait(), Err(ChildError::Restarting)));
    assert!(matches!(supervisor.delete_child("one").wait(), Err(ChildError::Restarting)));
    assert!(matches!(one.try_send(Do::Panic), Err(TrySendError::Full(Do::Panic))));
    supervisor.terminate_child("one").wait().unwrap();
    assert_eq!(supervisor.children().wait().unwrap()[0].state, ChildState::Stopped);
    assert!(matches!(one.try_send(Do::Panic), Err(TrySendError::Closed(Do::Panic))));
    supervisor.delete_child("one").wait().unwrap();
    supervisor.stop().wait();
}

fn dynamic_children_are_known_by_their_processes(on: &Systems) {
    let log = Log::new();
    let supervisor = empty(on, Supervisor::dynamic(), &log);
    let specs = [child("guest"), straight_child("guest").on(on.there().backend()), child("guest")];
    let references = specs.each_ref().map(ChildSpec::reference);
    let pids = specs.map(|spec| supervisor.start_child(spec).wait().unwrap());
    assert_eq!(HashSet::from(pids.clone()).len(), 3);
    assert!(matches!(supervisor.terminate_child("guest").wait(), Err(ChildError::NotFound)));
    supervisor.terminate_child(&pids[1]).wait().unwrap();
    assert!(matches!(supervisor.terminate_child(&pids[1]).wait(), Err(ChildError::NotFound)));
    assert!(references[1].send(Do::Panic).wait().is_err(), "it is forgotten");
    fail(&references[0]);
    log.expect(&["started guest", "started guest", "started guest", "stopped guest: shutdown"]);
    log.expect(&["ended guest: tired", "started guest"]);
    let again = references[0].ask(Do::Who).wait().unwrap();
    assert!(!pids.contains(&again));
    assert_eq!(supervisor.count().wait().unwrap().active, 2);
    supervisor.stop().wait();
    log.expect(&["stopped guest: shutdown", "stopped guest: shutdown"]);
}

fn dynamic_children_are_stopped_all_at_once(on: &Systems) {
    // One after the other they would take ten seconds.
    const COUNT: usize = 100;
    let patience = Duration::from_millis(100);
    let log = Log::new();
    let supervisor = empty(on, Supervisor::dynamic(), &log);
    for _ in 0..COUNT {
        let stubborn = stubborn_child("stubborn").shutdown(Shutdown::Deadline(patience));
        supervisor.start_child(stubborn).wait().unwrap();
    }
    let start = Instant::now();
    supervisor.stop().wait();
    let took = start.elapsed();
    assert!(took >= patience && took < patience * COUNT as u32 / 2, "it took {took:?}");
    log.expect(&["started stubborn"; COUNT]);
    log.expect(&["stopped stubborn: killed"; COUNT]);
}

fn a_thousand_dynamic_children_come_and_go(on: &Systems) {
    // Native children are threads.
    let count = if on.kind().is_green() { 1000 } else { 100 };
    let supervisor = empty(on, Supervisor::dynamic(), &Log::new());
    let first = child("first");
    let reference = first.reference();
    supervisor.start_child(first).wait().unwrap();
    for _ in 1..count {
        supervisor.start_child(child("one of many").restart(Restart::Temporary)).wait().unwrap();
    }
    assert_eq!(supervisor.count().wait().unwrap().active, count);
    let children = supervisor.children().wait().unwrap();
    for child in &children[count / 2..] {
        child.pid().unwrap().exit(ExitReason::Kill);
    }
    eventually("half of them are gone", || supervisor.count().wait().unwrap().specs == count - count / 2);
    reference.ask(Do::Who).wait().unwrap();
    supervisor.stop().wait();
    assert!(children.iter().all(|child| !child.pid().unwrap().is_alive_here()));
}

fn a_reference_follows_its_child(on: &Systems) {
    let log = Log::new();
    let spec = child("one").on(on.there().backend());
    let one = spec.reference();
    assert_eq!(one.process(), None);
    assert!(matches!(one.try_send(Do::Keep(0)), Err(TrySendError::Full(Do::Keep(0)))));
    let supervisor = empty(on, Supervisor::one_for_one(), &log);
    let pid = supervisor.start_child(spec).wait().unwrap();
    assert_eq!(one.pid(), Some(pid.clone()));
    for round in 0..50 {
        one.send(Do::Keep(round)).wait().unwrap();
        assert_eq!(one.ask(Do::Kept).wait().unwrap(), [round], "each is a new process");
        fail(&one);
        log.expect(&["started one", "ended one: tired"]);
    }
    supervisor.terminate_child("one").wait().unwrap();
    assert_eq!(one.process(), None);
    assert!(one.send(Do::Keep(0)).wait().is_err());
    supervisor.restart_child("one").wait().unwrap();
    one.send(Do::Keep(1)).wait().unwrap();
    supervisor.stop().wait();
    assert!(one.send(Do::Keep(2)).wait().is_err());
}

fn sends_wait_for_a_restart(on: &Systems) {
    let gate = Gate::new();
    let opened = gate.clone();
    let spec = ChildSpec::start_with("one", move |start| {
        let process = start.spawn(twoply_tests::children::body)?;
        if opened.waiting() > 0 {
            // The restart takes as long as the gate is closed.
            opened.opened().wait();
        }
        Ok(process)
    });
    let one = spec.reference();
    let supervisor = Supervisor::one_for_one().child(spec).on(on.here().backend()).start().wait().unwrap();
    let early = {
        let opened = gate.opened();
        on.here().spawn(opened)
    };
    eventually("the gate has been looked at", || gate.waiting() == 1);
    fail(&one);
    eventually("the restart is under way", || gate.waiting() == 2);
    let sending = {
        let one = one.clone();
        on.here().spawn(async move {
            one.send(Do::Keep(7)).await.unwrap();
            one.ask(Do::Kept).await.unwrap()
        })
    };
    assert!(!sending.is_finished());
    gate.open();
    early.wait().unwrap();
    assert_eq!(sending.wait().unwrap(), [7]);
    supervisor.stop().wait();
}

fn a_dropped_mailbox_fails_what_was_asked(on: &Systems) {
    let gate = Gate::new();
    let opened = gate.clone();
    let spec = ChildSpec::process("one", move |mut me: Process<Do>| {
        let opened = opened.clone();
        async move {
            opened.opened().await;
            me.receive().await;
            ExitReason::other("tired")
        }
    });
    let one = spec.reference();
    let supervisor = Supervisor::one_for_one().child(spec).on(on.here().backend()).start().wait().unwrap();
    one.send(Do::Panic).wait().unwrap();
    let asked = one.process().unwrap().try_ask(Do::Who).unwrap();
    gate.open();
    assert!(matches!(asked.wait(), Err(Failure::NoProcess(reason)) if reason == ExitReason::other("tired")));
    supervisor.stop().wait();
}

fn a_child_has_its_name_again_after_a_restart(on: &Systems) {
    let (registry, log) = (Registry::new(), Log::new());
    let supervisor = empty(on, Supervisor::one_for_one(), &log);
    let spec = child("one").register_in(&registry, "the one").on(on.there().backend());
    let one = spec.reference();
    supervisor.start_child(spec).wait().unwrap();
    for _ in 0..50 {
        let before = registry.whereis::<Do>("the one").unwrap().unwrap();
        let ended = before.ended();
        before.try_send(Do::Panic).unwrap();
        assert_ne!(ended.wait(), ExitReason::Normal);
        log.expect(&["started one", "ended one: panicked: expected"]);
        let now = one.ask(Do::Who).wait().unwrap();
        assert_eq!(registry.whereis_pid("the one"), Some(now));
    }
    supervisor.stop().wait();
    assert_eq!(registry.whereis_pid("the one"), None);
}

fn a_name_that_is_taken_is_no_start(on: &Systems) {
    let (registry, log) = (Registry::new(), Log::new());
    let supervisor = empty(on, Supervisor::one_for_one(), &log);
    let first = supervisor.start_child(child("first").register_in(&registry, "name")).wait().unwrap();
    let tasks = on.here().tasks();
    let error = supervisor.start_child(stubborn_child("second").register_in(&registry, "name")).wait();
    let expected = format!("the child second could not be started: the name name is taken by {first}");
    assert_eq!(error.unwrap_err().to_string(), expected);
    eventually("the second one is gone", || on.here().tasks() == tasks);
    assert_eq!(registry.whereis_pid("name"), Some(first));
    supervisor.stop().wait();
}

fn a_start_may_wait_until_its_child_is_ready(on: &Systems) {
    let log = Log::new();
    let noted = log.clone();
    let spec = ChildSpec::start_with("ready", move |start| {
        let noted = noted.clone();
        let process = start.spawn(move |me| {
            noted.note("preparing");
            twoply_tests::children::body(me)
        })?;
        process.ask(Do::Who).timeout(Duration::from_secs(10)).wait()?;
        Ok(process)
    });
    let late = ChildSpec::start_with("never ready", |start| {
        let process = start.spawn(|me: Process<Do>| async move {
            let _me = me;
            pending::<()>().await;
        })?;
        process.ask(Do::Who).timeout(Duration::from_millis(20)).wait()?;
        Ok(process)
    });
    let supervisor = Supervisor::one_for_one().child(spec).child(late).on_report(log.observer());
    let error = supervisor.on(on.here().backend()).start().wait().unwrap_err();
    assert_eq!(error.child(), Some("never ready"));
    log.expect(&["preparing", "started ready"]);
    log.expect(&["not started: never ready could not be started: the value did not come in time"]);
    log.expect(&["stopped ready: shutdown"]);
}

/// A child that keeps its mailbox and takes nothing from it before `gate` is open.
fn keeping_child(gate: &Gate) -> ChildSpec<Do> {
    let gate = gate.clone();
    let spec = ChildSpec::process("keeping", move |me| {
        let gate = gate.clone();
        async move {
            gate.opened().await;
            twoply_tests::children::body(me).await
        }
    });
    spec.mailbox(Mailbox::Keep)
}

fn a_kept_mailbox_is_there_after_a_restart(on: &Systems) {
    let (log, gate) = (Log::new(), Gate::new());
    let supervisor = empty(on, Supervisor::one_for_one(), &log);
    let spec = keeping_child(&gate).on(on.there().backend());
    let one = spec.reference();
    let pid = supervisor.start_child(spec).wait().unwrap();
    let process = one.process().unwrap();
    for message in
        [Do::Keep(1), Do::Panic, Do::Keep(2), Do::Keep(3), Do::End(ExitReason::Normal), Do::Keep(4)]
    {
        process.try_send(message).unwrap();
    }
    let asked = process.try_ask(Do::Kept).unwrap();
    let ended = pid.ended();
    gate.open();
    assert_eq!(asked.wait().unwrap(), [4], "the rest was received by those before, each once");
    assert_eq!(ended.wait(), ExitReason::Panicked("expected".into()), "each end is told");
    log.expect(&["started keeping", "ended keeping: panicked: expected", "started keeping"]);
    log.expect(&["ended keeping: normal", "started keeping"]);
    assert_eq!(one.process(), Some(process), "references stay valid");
    supervisor.stop().wait();
    log.expect(&["stopped keeping: shutdown"]);
}

fn senders_notice_nothing_of_restarts_with_a_kept_mailbox(on: &Systems) {
    const MESSAGES: u32 = 300;
    // It dies of every seventh message, after it has taken note of it.
    let noted = Log::new();
    let note = noted.clone();
    let spec = ChildSpec::process_fn("mortal", move |mut me: Process<u32>| {
        while let Some(number) = me.receive().wait().message() {
            note.note(number.to_string());
            assert!(number % 7 != 0, "expected");
        }
    });
    let spec = spec.mailbox(Mailbox::Keep).settings(|builder| builder.capacity(4)).on(on.there().backend());
    let mortal = spec.reference();
    let supervisor = Supervisor::one_for_all().intensity(1000, Duration::from_secs(60)).child(spec);
    let supervisor = supervisor.on(on.here().backend()).start().wait().unwrap();
    let process = mortal.process().unwrap();
    let sending = on.here().spawn(async move {
        for number in 1..=MESSAGES {
            process.send(number).await.unwrap();
        }
    });
    sending.wait().unwrap();
    let expected: Vec<_> = (1..=MESSAGES).map(|number| number.to_string()).collect();
    noted.expect(&expected.iter().map(String::as_str).collect::<Vec<_>>());
    noted.expect_nothing_more();
    supervisor.stop().wait();
}

fn a_kept_mailbox_is_closed_when_the_child_is_over(on: &Systems) {
    let endings: [fn(&SupervisorRef, &ChildRef<Do>); 4] = [
        |supervisor, _| supervisor.terminate_child("keeping").wait().unwrap(),
        |supervisor, _| drop(supervisor.stop().wait()),
        |supervisor, _| supervisor.pid().exit(ExitReason::Kill),
        |_, child| child.process().unwrap().exit(ExitReason::Shutdown),
    ];
    for end in endings {
        let gate = Gate::new();
        let spec = keeping_child(&gate).restart(Restart::Transient);
        let one = spec.reference();
        let supervisor = empty(on, Supervisor::one_for_one(), &Log::new());
        supervisor.start_child(spec).wait().unwrap();
        let process = one.process().unwrap();
        let asked = process.try_ask(Do::Who).unwrap();
        end(&supervisor, &one);
        assert!(matches!(asked.wait(), Err(Failure::NoProcess(_))), "what was in it is not forgotten");
        assert!(process.send(Do::Panic).wait().is_err());
        assert!(one.send(Do::Panic).wait().is_err());
        supervisor.stop().wait();
    }
}

fn a_kept_mailbox_outlasts_starts_that_fail(on: &Systems) {
    let (log, starts) = (Log::new(), Signal::new());
    let spec = ChildSpec::start_with("keeping", move |start| {
        // The second start fails before it has spawned, the third after it.
        let number = starts.add();
        if number == 2 {
            return Err("before".into());
        }
        let process = start.spawn_fn(move |mut me: Process<Do>| {
            if number == 1 {
                me.receive().wait();
                return ExitReason::other("tired");
            }
            if number == 3 {
                return pending::<ExitReason>().wait();
            }
            twoply_tests::children::straight_body(me)
        })?;
        if number == 3 { Err("after".into()) } else { Ok(process) }
    });
    let spec = spec.mailbox(Mailbox::Keep);
    let one = spec.reference();
    let supervisor = empty(on, Supervisor::one_for_one(), &log);
    supervisor.start_child(spec).wait().unwrap();
    one.send(Do::Keep(1)).wait().unwrap();
    one.send(Do::Keep(2)).wait().unwrap();
    assert_eq!(one.ask(Do::Kept).wait().unwrap(), [2]);
    log.expect(&["started keeping", "ended keeping: tired"]);
    log.expect(&["not started: keeping could not be started: before"]);
    log.expect(&["not started: keeping could not be started: after", "started keeping"]);
    supervisor.stop().wait();
}

fn a_successor_hears_nothing_of_relations_that_were_not_its_own(on: &Systems) {
    let (notes, gate, lives) = (Log::new(), Gate::new(), Signal::new());
    let friend = Builder::new().on(on.here().backend()).spawn(twoply_tests::children::body).unwrap();
    let (noted, opened, pid) = (notes.clone(), gate.clone(), friend.pid());
    let spec = ChildSpec::process("keeping", move |mut me: Process<Do>| {
        let (notes, gate, friend, life) = (noted.clone(), opened.clone(), pid.clone(), lives.add());
        async move {
            if life == 1 {
                me.link(&friend);
                me.monitor(&friend);
                notes.note("watching");
                gate.opened().await;
                return;
            }
            notes.note(format!("{:?}", me.receive().await));
            gate.opened().await;
            notes.note(format!("{:?}", me.try_receive()));
            me.receive().await;
        }
    });
    let spec = spec.mailbox(Mailbox::Keep).settings(|builder| builder.trap_exit(true));
    let one = spec.reference();
    let supervisor = empty(on, Supervisor::one_for_one(), &Log::new());
    supervisor.start_child(spec).wait().unwrap();
    notes.expect(&["watching"]);
    let ended = friend.ended();
    friend.exit(ExitReason::Kill);
    ended.wait();
    one.send(Do::Keep(1)).wait().unwrap();
    gate.open();
    notes.expect(&["Message(..)", "None"]);
    supervisor.stop().wait();
}

/// An actor that needs its backend's luck to start, and dies of odd numbers.
struct Fussy {
    /// Where it says what it does.
    log: Log,
    /// Whether it can start.
    lucky: bool,
}

impl Actor for Fussy {
    type Message = u32;
    type Error = String;

    async fn started(&mut self, _: &mut Context<Fussy>) -> Result<(), String> {
        yield_now().await;
        self.log.note("preparing");
        if self.lucky { Ok(()) } else { Err("bad luck".to_owned()) }
    }

    async fn handle(&mut self, message: u32, _: &mut Context<Fussy>) -> Result<(), String> {
        if message.is_multiple_of(2) { Ok(()) } else { Err(format!("{message} is odd")) }
    }
}

fn an_actor_has_started_when_it_says_so(on: &Systems) {
    let log = Log::new();
    let fussy = |id, lucky| {
        let log = log.clone();
        ChildSpec::actor(id, move || Fussy { log: log.clone(), lucky })
    };
    let spec = fussy("lucky", true);
    let lucky = spec.reference();
    let supervisor = Supervisor::one_for_one().on_report(log.observer()).child(spec).on(on.here().backend());
    let supervisor = supervisor.start().wait().unwrap();
    log.expect(&["preparing", "started lucky"]);
    for number in [2, 4, 5] {
        lucky.send(number).wait().unwrap();
    }
    log.expect(&["ended lucky: failed: 5 is odd", "preparing", "started lucky"]);
    let error = supervisor.start_child(fussy("unlucky", false)).wait().unwrap_err();
    assert_eq!(error.to_string(), "the child unlucky could not be started: failed: bad luck");
    log.expect(&["preparing", "not started: unlucky could not be started: failed: bad luck"]);
    supervisor.stop().wait();
    log.expect(&["stopped lucky: shutdown"]);
}
