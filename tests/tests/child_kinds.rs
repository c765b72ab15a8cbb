//! What supervisors do with children of special kinds: those that find nothing to do.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::supervisor::{
    ChildError, ChildInfo, ChildSpec, ChildState, Ignore, PlanError, Restart, Strategy, Supervisor,
    SupervisorRef,
};
use twoply_core::actor::{Actor, Builder, Context, ExitReason, Registry};
use twoply_tests::children::{Do, Log, body, child};
use twoply_tests::{Signal, Systems, laws};

laws! {
    and_mixed {
        a_child_that_finds_nothing_to_do_is_kept_without_a_process,
    }
    everywhere {
        a_child_that_finds_nothing_to_do_leaves_nothing_behind,
        a_restart_may_find_nothing_to_do,
        no_more_children_than_there_may_be,
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
