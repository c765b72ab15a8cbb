//! What supervisors do with children of special kinds: those that find nothing to do, those that can be
//! started once, tasks, active values.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::supervisor::{
    ChildError, ChildInfo, ChildSpec, ChildState, Ignore, PlanError, Restart, Strategy, Supervisor,
    SupervisorRef,
};
use twoply_core::actor::{Active, Actor, Builder, Context, ExitReason, Process, Registry};
use twoply_core::promise::Failure;
use twoply_tests::children::{Do, Log, body, child};
use twoply_tests::{Gate, Signal, Systems, eventually, laws};

laws! {
    and_mixed {
        a_child_that_finds_nothing_to_do_is_kept_without_a_process,
        a_child_may_be_started_once,
        a_task_is_a_child,
        an_active_value_is_a_child,
    }
    everywhere {
        a_child_that_finds_nothing_to_do_leaves_nothing_behind,
        a_restart_may_find_nothing_to_do,
        no_more_children_than_there_may_be,
        what_can_be_started_once_is_not_started_twice,
    }
}

/// The three strategies of children in order.
const IN_ORDER: [Strategy; 3] = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];

/// Says whether a child finds something to do.
#[derive(Clone, Default)]
struct Work(Arc<AtomicBool>);

impl Work {
    fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, there: bool) {
        self.0.store(there, Ordering::Relaxed);
    }
}

/// A child that ends as long as there is nothing to do.
fn idle_child(id: &str, work: &Work) -> ChildSpec<Do> {
    let work = work.clone();
    ChildSpec::start_with(id, move |start| {
        if !work.is_there() {
            return Err(Ignore.into());
        }
        Ok(start.spawn(body)?)
    })
}

/// An actor that ends as long as there is nothing to do.
struct Idle(Work);

impl Actor for Idle {
    type Message = Do;
    type Error = Infallible;

    async fn started(&mut self, cx: &mut Context<Idle>) -> Result<(), Infallible> {
        if !self.0.is_there() {
            cx.ignore();
        }
        Ok(())
    }

    async fn handle(&mut self, _: Do, _: &mut Context<Idle>) -> Result<(), Infallible> {
        Ok(())
    }
}

fn supervisor(on: &Systems, strategy: Strategy, log: &Log) -> Supervisor {
    let supervisor = Supervisor::new(strategy).intensity(100, Duration::from_secs(60));
    supervisor.on_report(log.observer()).on(on.here().backend())
}

fn ids(supervisor: &SupervisorRef) -> Vec<(String, bool)> {
    let describe = |child: &ChildInfo| (child.id.to_string(), child.pid().is_some());
    supervisor.children().wait().unwrap().iter().map(describe).collect()
}

fn a_child_that_finds_nothing_to_do_is_kept_without_a_process(on: &Systems) {
    for strategy in IN_ORDER {
        for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
            let (log, work) = (Log::new(), Work::default());
            let idle = idle_child("idle", &work).restart(restart).on(on.there().backend());
            let to_idle = idle.reference();
            let before = child("before");
            let to_before = before.reference();
            let supervisor = supervisor(on, strategy, &log).child(before).child(idle).child(child("after"));
            let supervisor = supervisor.start().wait().unwrap();
            log.expect(&["started before", "there is nothing to do for idle", "started after"]);
            assert!(to_idle.send(Do::Panic).wait().is_err(), "nobody waits for it");
            let kept = restart != Restart::Temporary;
            let all = [("before".to_owned(), true), ("idle".to_owned(), false), ("after".to_owned(), true)];
            let expected: Vec<_> = all.into_iter().filter(|(id, _)| kept || id != "idle").collect();
            assert_eq!(ids(&supervisor), expected);
            if kept {
                assert!(matches!(supervisor.restart_child("idle").wait(), Err(ChildError::Ignored)));
                log.expect(&["there is nothing to do for idle"]);
                work.set(true);
                let pid = supervisor.restart_child("idle").wait().unwrap();
                assert_eq!(to_idle.ask(Do::Who).wait().unwrap(), pid);
                log.expect(&["started idle"]);
                supervisor.terminate_child("idle").wait().unwrap();
                log.expect(&["stopped idle: shutdown"]);
                work.set(false);
            }
            to_before.send(Do::End(ExitReason::Normal)).wait().unwrap();
            log.expect(&["ended before: normal"]);
            if strategy != Strategy::OneForOne {
                log.expect(&["stopped after: shutdown", "started before"]);
                if kept {
                    log.expect(&["there is nothing to do for idle"]);
                }
                log.expect(&["started after"]);
            } else {
                log.expect(&["started before"]);
            }
            assert_eq!(ids(&supervisor), expected);
            supervisor.stop().wait();
        }
    }
}

fn a_child_that_finds_nothing_to_do_leaves_nothing_behind(on: &Systems) {
    let registry = Registry::new();
    let (log, alive) = (Log::new(), Signal::new());
    let spawned = alive.clone();
    // It has begun, and finds out then.
    let late = ChildSpec::start_with("late", move |start| {
        let guard = spawned.on_drop();
        start.spawn(|me| async move {
            let _guard = guard;
            body(me).await
        })?;
        Err(Ignore.into())
    });
    let late = late.register_in(&registry, "late");
    let actor = ChildSpec::actor("actor", || Idle(Work::default())).register_in(&registry, "actor");
    let by_hand =
        ChildSpec::start_with("by hand", |_| Ok(Builder::new().start_actor(Idle(Work::default())).wait()?));
    let supervisor = supervisor(on, Strategy::OneForAll, &log).child(late).child(actor).child(by_hand);
    let supervisor = supervisor.start().wait().unwrap();
    log.expect(
        &["late", "actor", "by hand"]
            .map(|id| format!("there is nothing to do for {id}"))
            .each_ref()
            .map(|line| &**line),
    );
    assert_eq!(alive.count(), 1, "what it had spawned is gone");
    assert!(registry.registered().is_empty());
    // Those of a dynamic supervisor are forgotten.
    let dynamic = Supervisor::dynamic().on(on.here().backend()).start().wait().unwrap();
    let ignored = dynamic.start_child(idle_child("idle", &Work::default())).wait();
    assert!(matches!(ignored, Err(ChildError::Ignored)));
    assert_eq!(dynamic.count().wait().unwrap().specs, 0);
    dynamic.stop().wait();
    supervisor.stop().wait();
}

fn a_restart_may_find_nothing_to_do(on: &Systems) {
    for strategy in [Strategy::OneForOne, Strategy::Dynamic] {
        let (log, work) = (Log::new(), Work::default());
        work.set(true);
        let idle = idle_child("idle", &work);
        let to_idle = idle.reference();
        let supervisor = supervisor(on, strategy, &log).child(idle).start().wait().unwrap();
        work.set(false);
        to_idle.send(Do::Panic).wait().unwrap();
        log.expect(&["started idle", "ended idle: panicked: expected", "there is nothing to do for idle"]);
        assert!(to_idle.send(Do::Panic).wait().is_err());
        let children = supervisor.children().wait().unwrap();
        assert_eq!(children.len(), usize::from(strategy == Strategy::OneForOne));
        assert!(children.iter().all(|child| child.state == ChildState::Stopped));
        supervisor.stop().wait();
    }
}

fn no_more_children_than_there_may_be(on: &Systems) {
    let log = Log::new();
    let two = || supervisor(on, Strategy::Dynamic, &log).max_children(2);
    let dynamic = two().child(child("one")).start().wait().unwrap();
    let second = dynamic.start_child(child("two")).wait().unwrap();
    let third = child("three");
    let to_third = third.reference();
    assert!(matches!(dynamic.start_child(third).wait(), Err(ChildError::TooManyChildren(2))));
    assert!(to_third.send(Do::Panic).wait().is_err(), "its spec is gone");
    // One that is restarted takes no second place, one that is over takes none.
    second.exit(ExitReason::Kill);
    log.expect(&["started one", "started two", "ended two: killed", "started two"]);
    assert!(matches!(dynamic.start_child(child("three")).wait(), Err(ChildError::TooManyChildren(2))));
    let one = dynamic.children().wait().unwrap()[0].pid().cloned().unwrap();
    dynamic.terminate_child(one).wait().unwrap();
    dynamic.start_child(child("three")).wait().unwrap();
    dynamic.stop().wait();
    // In order, those that do not run count as well, and one that is there already is told first.
    let ordered = supervisor(on, Strategy::OneForOne, &log).max_children(1).child(child("one"));
    let ordered = ordered.start().wait().unwrap();
    ordered.terminate_child("one").wait().unwrap();
    assert!(matches!(ordered.start_child(child("one")).wait(), Err(ChildError::AlreadyPresent)));
    assert!(matches!(ordered.start_child(child("two")).wait(), Err(ChildError::TooManyChildren(1))));
    ordered.delete_child("one").wait().unwrap();
    ordered.start_child(child("two")).wait().unwrap();
    ordered.stop().wait();
    let error = two().child(child("1")).child(child("2")).child(child("3")).start().wait().unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.downcast_ref(), Some(&PlanError::TooManyChildren(2)));
}

fn a_child_may_be_started_once(on: &Systems) {
    let log = Log::new();
    let supervisor = supervisor(on, Strategy::Dynamic, &log).start().wait().unwrap();
    let (done, was_done) = mpsc::channel();
    let note = |what: &'static str| {
        // It can be sent, but not be shared.
        let (done, moved) = (done.clone(), Box::new(Cell::new(what)));
        move || done.send(moved.take()).unwrap()
    };
    let code = note("async");
    let once = ChildSpec::once("async", async move |mut me: Process<u8>| {
        let _ = me.receive().await;
        code();
    });
    let code = note("straight");
    let straight = ChildSpec::once_fn("straight", move |mut me: Process<u8>| {
        let _ = me.receive().wait();
        code();
    });
    let specs = [once, straight.on(on.there().backend())];
    let references = specs.each_ref().map(ChildSpec::reference);
    for spec in specs {
        supervisor.start_child(spec).wait().unwrap();
    }
    let work = Work::default();
    work.set(true);
    let actor = ChildSpec::actor_once("actor", Idle(work));
    let to_actor = actor.reference();
    supervisor.start_child(actor).wait().unwrap();
    to_actor.send(Do::Panic).wait().unwrap();
    for (reference, what) in references.iter().zip(["async", "straight"]) {
        let pid = reference.pid().unwrap();
        reference.send(1).wait().unwrap();
        assert_eq!(was_done.recv().unwrap(), what);
        assert_eq!(pid.ended().wait(), ExitReason::Normal);
        assert!(reference.send(1).wait().is_err(), "it is not restarted");
    }
    supervisor.stop().wait();
    let ignored = Supervisor::dynamic().on(on.here().backend()).start().wait().unwrap();
    let start = ignored.start_child(ChildSpec::actor_once("idle", Idle(Work::default())));
    assert!(matches!(start.wait(), Err(ChildError::Ignored)));
    ignored.stop().wait();
}

fn what_can_be_started_once_is_not_started_twice(on: &Systems) {
    let once = || ChildSpec::once("once", body);
    for restart in [Restart::Permanent, Restart::Transient] {
        let error = Supervisor::one_for_one().child(once().restart(restart)).start().wait().unwrap_err();
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.downcast_ref(), Some(&PlanError::OnceButNotTemporary));
    }
    // A supervisor that is restarted finds nothing to do for it, and forgets it.
    let log = Log::new();
    let spec = once();
    let reference = spec.reference();
    let inner = Supervisor::one_for_one().child(spec).child(child("again")).on_report(log.observer());
    let outer = Supervisor::one_for_one().child(ChildSpec::supervisor("inner", inner));
    let outer = outer.on(on.here().backend()).start().wait().unwrap();
    log.expect(&["started once", "started again"]);
    let pid = reference.ask(Do::Who).wait().unwrap();
    outer.child_supervisor("inner").wait().unwrap().unwrap().pid().exit(ExitReason::Kill);
    pid.ended().wait();
    log.expect(&["there is nothing to do for once", "started again"]);
    assert!(reference.send(Do::Panic).wait().is_err());
    outer.stop().wait();
}

fn a_task_is_a_child(on: &Systems) {
    let (log, gone, gate) = (Log::new(), Signal::new(), Gate::new());
    let (guard, opened) = (gone.clone(), gate.clone());
    let asynchronous = ChildSpec::task("task", move || {
        let guard: Box<dyn Send> = Box::new(guard.on_drop());
        let opened = opened.clone();
        async move {
            let _guard = guard;
            opened.opened().await;
            Err::<(), _>("over")
        }
    });
    let (guard, never) = (gone.clone(), Gate::new());
    let straight = ChildSpec::task_fn("straight", move || {
        let _guard = guard.on_drop();
        never.opened().wait();
    });
    let once = ChildSpec::task_once("once", async { ExitReason::other("done") });
    let supervisor = supervisor(on, Strategy::OneForOne, &log).child(asynchronous);
    let supervisor = supervisor.child(straight.on(on.there().backend())).start().wait().unwrap();
    log.expect(&["started task", "started straight"]);
    supervisor.start_child(once).wait().unwrap();
    log.expect(&["started once", "ended once: done"]);
    gate.open();
    log.expect(&["ended task: failed: over", "started task", "ended task: failed: over"]);
    assert!(gone.count() >= 2);
    // What waits is unwound, or dropped where it awaits.
    supervisor.stop().wait();
    assert!(gone.count() >= 3);
}

fn an_active_value_is_a_child(on: &Systems) {
    let (log, made) = (Log::new(), Signal::new());
    let count = made.clone();
    let (spec, active) = Active::supervised("list", move || vec![count.add()]);
    let early = active.ask(|list| list.len()).wait().unwrap_err();
    assert!(matches!(early, Failure::NoProcess(_)), "{early:?}");
    let supervisor = supervisor(on, Strategy::OneForOne, &log).child(spec.on(on.there().backend()));
    let supervisor = supervisor.start().wait().unwrap();
    active.try_send(|list| list.push(7)).unwrap();
    assert_eq!(active.ask(|list| list.clone()).wait().unwrap(), [1, 7]);
    // What waits behind a closure that panics is run with the next value.
    let gate = Gate::new();
    let opened = gate.clone();
    let panics = active.ask(move |list| {
        opened.opened().wait();
        list[100]
    });
    let behind = active.clone().ask_async(async |list| list.clone());
    gate.open();
    assert!(panics.wait().unwrap_err().is_panic());
    assert_eq!(behind.wait().unwrap(), [2]);
    // It lives without handles. One that is killed loses the closure that it runs, and no other.
    let pid = active.pid().unwrap();
    drop(active.clone());
    assert!(pid.is_alive_here());
    let never = Gate::new();
    let closed = never.clone();
    active.try_send(move |_| closed.opened().wait()).unwrap();
    eventually("it runs the closure", || never.waiting() > 0);
    let last = active.ask(|list| list.len());
    pid.exit(ExitReason::Kill);
    assert_eq!(last.wait().unwrap(), 1);
    assert_eq!(active.ask(|list| list.clone()).wait().unwrap(), [3], "it is another one");
    assert_eq!(supervisor.stop().wait(), ExitReason::Normal);
    assert!(matches!(active.ask(|list| list.len()).wait(), Err(Failure::NoProcess(_))));
    assert!(active.try_send(|list| list.clear()).is_err());
    assert_eq!(made.count(), 3);
    // A value that cannot be made is a child that cannot be started.
    let (broken, _) = Active::supervised("broken", || -> u8 { panic!("expected") });
    let start = Supervisor::one_for_one().child(broken).on(on.here().backend()).start();
    assert_eq!(start.wait().unwrap_err().child(), Some("broken"));
}
