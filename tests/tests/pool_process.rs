//! What a pool is to those who know it as a process.

use std::convert::Infallible;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use twoply_core::actor::supervisor::{ChildError, ChildSpec, ChildState, Ignore, Restart, Supervisor};
use twoply_core::actor::{
    Actor, Context, ExitReason, NamedService, Overflow, Pid, Pool, ProcessRef, Registry, Routing, ServiceRef,
};
use twoply_core::channel::TrySendError;
use twoply_core::promise::{Failure, Resolver};
use twoply_core::task::WaitingFor;
use twoply_core::{Wait, time};
use twoply_tests::{Gate, Signal, Systems, all_are_over, eventually, laws, start_idle};

laws! {
    everywhere {
        a_full_member_that_refuses_stays_in_its_pool,
        a_routing_that_stands_still_holds_up_no_timer,
        with_its_last_member_a_pool_ends,
        a_pool_ends_when_its_last_member_is_stopped,
        a_resize_brings_back_a_pool_whose_member_fails_while_it_finishes,
        a_member_that_starts_while_its_resize_is_given_up_is_there,
        a_pool_of_which_no_member_has_anything_to_do_does_not_start,
        a_member_that_has_nothing_to_do_leaves_nothing_behind,
        a_send_to_a_pool_waits_for_room_at_its_member,
        a_pool_whose_name_is_taken_is_no_child,
        a_child_that_is_full_and_refuses_is_not_waited_for,
    }
}

/// A member of a pool, which has nothing to do if it is not wanted.
struct Wanted(bool);

impl Actor for Wanted {
    type Message = Job;
    type Error = String;

    async fn started(&mut self, cx: &mut Context<Wanted>) -> Result<(), String> {
        if !self.0 {
            cx.ignore();
        }
        Ok(())
    }

    async fn handle(&mut self, job: Job, _: &mut Context<Wanted>) -> Result<(), String> {
        match job {
            Job::Fail => Err("it fails".to_owned()),
            _ => Ok(()),
        }
    }
}

/// A member of a pool.
struct Worker;

/// What it is told to do.
enum Job {
    /// To say who it is.
    Who(Resolver<Pid>),
    /// To wait for a gate.
    Await(Gate),
    /// To do nothing.
    Nothing,
    /// To stop.
    Stop,
    /// To fail.
    Fail,
}

impl Actor for Worker {
    type Message = Job;
    type Error = String;

    async fn handle(&mut self, job: Job, cx: &mut Context<Worker>) -> Result<(), String> {
        match job {
            Job::Who(reply) => drop(reply.resolve(cx.pid())),
            Job::Await(gate) => gate.opened().await,
            Job::Nothing => {}
            Job::Stop => cx.stop(),
            Job::Fail => return Err("it fails".to_owned()),
        }
        Ok(())
    }
}

fn a_full_member_that_refuses_stays_in_its_pool(on: &Systems) {
    for routing in [Routing::round_robin(), Routing::least_loaded(), Routing::hash(|_: &Job| 0)] {
        let builder = Pool::builder().size(2).routing(routing).on(on.here().backend());
        let builder = builder.settings(|member| member.capacity(1).overflow(Overflow::Fail));
        let pool = builder.start(|| Worker).wait().unwrap();
        let (process, members, gate) = (pool.process(), pool.members(), Gate::new());
        for member in &members {
            member.send(Job::Await(gate.clone())).wait().map_err(drop).unwrap();
        }
        eventually("both are busy", || gate.waiting() == 2);
        for member in &members {
            member.send(Job::Nothing).wait().map_err(drop).unwrap();
        }
        // Each send comes to a member, and several of them to each.
        for _ in 0..4 {
            assert!(pool.send(Job::Nothing).wait().is_err());
            assert!(process.send(Job::Nothing).wait().is_err());
            assert!(matches!(process.try_send(Job::Nothing), Err(TrySendError::Full(_))));
            assert!(matches!(pool.ask(Job::Who).wait(), Err(Failure::Overloaded)));
            assert!(matches!(process.ask(Job::Who).wait(), Err(Failure::Overloaded)));
        }
        assert!(!process.is_closed());
        gate.open();
        eventually("there is room again", || process.ask(Job::Who).wait().is_ok());
        pool.resize(2).wait().unwrap();
        let pids = |members: Vec<ProcessRef<Job>>| members.iter().map(ProcessRef::pid).collect::<Vec<_>>();
        assert_eq!(pids(pool.members()), pids(members));
        pool.stop().wait();
    }
    all_are_over(on);
}

fn a_routing_that_stands_still_holds_up_no_timer(on: &Systems) {
    let gate = Gate::new();
    let stands = gate.clone();
    let routing = Routing::hash(move |_: &Job| {
        stands.opened().wait();
        0
    });
    let pool =
        Pool::builder().size(1).routing(routing).on(on.here().backend()).start(|| Worker).wait().unwrap();
    let (process, handled) = (pool.process(), Gate::new());
    let later = handled.clone();
    let timer = on.here().spawn(async move {
        let timer = process.send_after(Duration::from_millis(2), Job::Await(later));
        time::sleep(Duration::from_millis(1)).await;
        timer
    });
    let timer = timer.wait().unwrap();
    eventually("it is on its way", || gate.waiting() > 0);
    assert!(!timer.is_pending());
    on.here().spawn(time::sleep(Duration::from_millis(2))).wait().unwrap();
    gate.open();
    eventually("it gets there", || handled.waiting() > 0);
    pool.stop().wait();
    all_are_over(on);
}

fn with_its_last_member_a_pool_ends(on: &Systems) {
    for routing in [Routing::round_robin, || Routing::hash(|_: &Job| 0), || Routing::first_idle(4)] {
        let (registry, backend) = (Registry::new(), Arc::clone(on.here().backend()));
        let builder = move || Pool::builder().size(2).routing(routing()).on(&backend);
        let spec = ChildSpec::pool("pool", builder, || Worker).restart(Restart::Transient);
        let spec = spec.register_in(&registry, "pool");
        let to_pool = spec.reference();
        let supervisor = Supervisor::one_for_one().on(on.there().backend()).child(spec);
        let supervisor = supervisor.start().wait().unwrap();
        let process = to_pool.process().unwrap();
        let [first, second] = [0, 1].map(|at| Pool::of(&process).unwrap().members()[at].clone());
        first.send(Job::Stop).wait().map_err(drop).unwrap();
        eventually("it is gone", || Pool::of(&process).unwrap().members().len() == 1);
        assert!(process.ask(Job::Who).wait().is_ok_and(|pid| pid == second.pid()));
        second.send(Job::Stop).wait().map_err(drop).unwrap();
        // Whoever comes too late is not left waiting, and the child has ended in order.
        while to_pool.send(Job::Nothing).wait().is_ok() {}
        assert_eq!(process.ended().wait(), ExitReason::Normal);
        assert!(matches!(to_pool.ask(Job::Who).wait(), Err(Failure::NoProcess(_))));
        supervisor.stop().wait();
    }
    all_are_over(on);
}

fn a_pool_ends_when_its_last_member_is_stopped(on: &Systems) {
    // By a request.
    let backend = Arc::clone(on.here().backend());
    let spec = ChildSpec::pool("pool", move || Pool::builder().size(2).on(&backend), || Worker);
    let spec = spec.restart(Restart::Transient);
    let to_pool = spec.reference();
    let supervisor = Supervisor::one_for_one().on(on.there().backend()).child(spec).start().wait().unwrap();
    let process = to_pool.process().unwrap();
    let pool = Pool::of(&process).unwrap();
    let [first, second] = [0, 1].map(|at| pool.members()[at].pid());
    pool.supervisor().terminate_child(&first).wait().unwrap();
    assert!(process.ask(Job::Who).wait().is_ok_and(|pid| pid == second));
    pool.supervisor().terminate_child(&second).wait().unwrap();
    assert!(to_pool.send(Job::Nothing).wait().is_err(), "who comes too late is not left waiting");
    assert_eq!(process.ended().wait(), ExitReason::Normal);
    supervisor.stop().wait();

    // It is restarted, and has nothing to do then.
    let wanted = Arc::new(AtomicBool::new(true));
    let is_wanted = Arc::clone(&wanted);
    let pool = Pool::builder().size(1).on(on.here().backend());
    let pool = pool.start(move || Wanted(is_wanted.load(Relaxed))).wait().unwrap();
    wanted.store(false, Relaxed);
    pool.send(Job::Fail).wait().map_err(drop).unwrap();
    assert_eq!(pool.process().ended().wait(), ExitReason::Normal);
    all_are_over(on);
}

fn a_resize_brings_back_a_pool_whose_member_fails_while_it_finishes(on: &Systems) {
    for comes_later in [true, false] {
        let made = Signal::new();
        let counted = made.clone();
        let pool = Pool::builder().size(1).on(on.here().backend());
        let pool = pool.start(move || {
            counted.add();
            Worker
        });
        let pool = pool.wait().unwrap();
        let (old, gate) = (pool.members()[0].clone(), Gate::new());
        old.send(Job::Await(gate.clone())).wait().map_err(drop).unwrap();
        old.send(Job::Fail).wait().map_err(drop).unwrap();
        eventually("it is busy", || gate.waiting() > 0);
        old.drain(ExitReason::Shutdown);
        if comes_later {
            assert!(matches!(pool.try_send(Job::Nothing), Err(TrySendError::Closed(_))));
            gate.open();
            eventually("it is restarted", || made.count() == 2);
            pool.resize(2).wait().unwrap();
        } else {
            let resized = pool.clone();
            let resize = on.there().spawn(async move { resized.resize(2).await });
            eventually("there are others", || pool.members().len() == 2);
            assert!(pool.ask(Job::Who).wait().is_ok(), "they do not wait for it");
            gate.open();
            resize.wait().unwrap().unwrap();
        }
        assert_eq!(pool.members().len(), 2);
        assert_eq!(pool.supervisor().count().wait().unwrap().specs, 2);
        assert!(pool.ask(Job::Who).wait().is_ok());
        pool.stop().wait();
    }
    all_are_over(on);
}

/// A member of a pool, which starts when it is let.
struct Later(Gate, Signal);

impl Actor for Later {
    type Message = Job;
    type Error = Infallible;

    async fn started(&mut self, _: &mut Context<Later>) -> Result<(), Infallible> {
        self.1.add();
        self.0.opened().await;
        Ok(())
    }

    async fn handle(&mut self, _: Job, _: &mut Context<Later>) -> Result<(), Infallible> {
        Ok(())
    }
}

fn a_member_that_starts_while_its_resize_is_given_up_is_there(on: &Systems) {
    for then in [None, Some(1)] {
        let (gates, begun) = ([Gate::new(), Gate::new()], Signal::new());
        gates[0].open();
        let (of_first, begins) = (AtomicBool::new(true), begun.clone());
        let later = gates[1].clone();
        let make = move || {
            let gate = if of_first.swap(false, Relaxed) { &gates[0] } else { &gates[1] };
            Later(gate.clone(), begins.clone())
        };
        let pool = Pool::builder().size(1).on(on.here().backend()).start(make).wait().unwrap();
        let resized = pool.clone();
        let resize = on.there().spawn(async move { resized.resize(2).await });
        eventually("the second member starts", || begun.count() == 2);
        resize.cancel();
        assert!(resize.wait().is_err());
        // A resize that follows knows of the member.
        let resized = pool.clone();
        let next = then.map(|size| on.there().spawn(async move { resized.resize(size).await }));
        later.open();
        match next {
            Some(resize) => resize.wait().unwrap().unwrap(),
            None => eventually("it is a member", || pool.members().len() == 2),
        }
        let size = then.unwrap_or(2);
        assert_eq!(pool.members().len(), size);
        assert_eq!(pool.supervisor().count().wait().unwrap().specs, size);
        pool.stop().wait();
    }
    all_are_over(on);
}

fn a_member_that_has_nothing_to_do_leaves_nothing_behind(on: &Systems) {
    let only_first = AtomicBool::new(true);
    let pool = Pool::builder().size(2).on(on.here().backend());
    let pool = pool.start(move || Wanted(only_first.swap(false, Relaxed))).wait().unwrap();
    for _ in 0..3 {
        assert_eq!(pool.supervisor().count().wait().unwrap().specs, 1);
        assert_eq!(pool.members().len(), 1);
        assert!(matches!(pool.resize(3).wait(), Err(ChildError::Ignored)));
    }
    pool.resize(1).wait().unwrap();
    assert!(pool.send(Job::Nothing).wait().is_ok());
    pool.stop().wait();
    all_are_over(on);
}

fn a_pool_of_which_no_member_has_anything_to_do_does_not_start(on: &Systems) {
    let builder = |backend: &_| Pool::builder().size(2).on(backend);
    let error = builder(on.here().backend()).start(|| Wanted(false)).wait().unwrap_err();
    assert!(error.source().is_some_and(|source| source.is::<Ignore>()), "{error:?}");
    assert_eq!(error.to_string(), "there is nothing to do for any of the children");
    // Others are not held up by the ones that have nothing to do.
    let only_first = AtomicBool::new(true);
    let pool = builder(on.here().backend()).start(move || Wanted(only_first.swap(false, Relaxed)));
    let pool = pool.wait().unwrap();
    assert_eq!(pool.members().len(), 1);
    pool.send(Job::Nothing).wait().map_err(drop).unwrap();
    pool.stop().wait();
    // As a child it has nothing to do.
    let backend = Arc::clone(on.here().backend());
    let spec = ChildSpec::pool("pool", move || builder(&backend), || Wanted(false));
    let to_pool = spec.reference();
    let supervisor = Supervisor::one_for_one().on(on.there().backend()).child(spec).start().wait().unwrap();
    assert_eq!(supervisor.children().wait().unwrap()[0].state, ChildState::Stopped);
    assert!(to_pool.send(Job::Nothing).wait().is_err());
    assert!(matches!(supervisor.restart_child("pool").wait(), Err(ChildError::Ignored)));
    supervisor.stop().wait();
    all_are_over(on);
}

fn a_send_to_a_pool_waits_for_room_at_its_member(on: &Systems) {
    let pool = Pool::builder().size(1).on(on.here().backend()).settings(|member| member.capacity(1));
    let pool = pool.start(|| Worker).wait().unwrap();
    let (process, gate, member) = (pool.process(), Gate::new(), pool.members()[0].pid().serial());
    process.send(Job::Await(gate.clone())).wait().map_err(drop).unwrap();
    eventually("it is busy", || gate.waiting() > 0);
    process.send(Job::Nothing).wait().map_err(drop).unwrap();
    let sender = on.there().spawn(async move { process.send(Job::Nothing).await.is_ok() });
    eventually("it waits, for one thing", || {
        let waits = sender.task().waits().wait();
        waits.is_some_and(|all| matches!(all[..], [WaitingFor::MailboxRoom { process }] if process == member))
    });
    gate.open();
    assert!(sender.wait().unwrap());
    pool.stop().wait();
    all_are_over(on);
}

fn a_child_that_is_full_and_refuses_is_not_waited_for(on: &Systems) {
    let registry = Registry::new();
    let spec = ChildSpec::actor("worker", || Worker).register_in(&registry, "worker");
    let spec = spec.settings(|worker| worker.capacity(1).overflow(Overflow::Fail));
    let to_worker = spec.reference();
    let supervisor = Supervisor::one_for_one().on(on.here().backend()).child(spec).start().wait().unwrap();
    let gate = Gate::new();
    to_worker.send(Job::Await(gate.clone())).wait().map_err(drop).unwrap();
    eventually("it is busy", || gate.waiting() > 0);
    to_worker.send(Job::Nothing).wait().map_err(drop).unwrap();
    assert!(matches!(to_worker.send(Job::Stop).wait().unwrap_err().into_inner(), Job::Stop));
    // As a service it goes on, too.
    let (tell, told) = mpsc::channel();
    let service = ServiceRef::builder().on(on.there().backend());
    let service = service.on_undelivered(move |_| {
        let _ = tell.send(());
    });
    let service = service.start(NamedService::new(&registry, "worker")).unwrap();
    service.send(Job::Stop).wait().map_err(drop).unwrap();
    told.recv().unwrap();
    gate.open();
    eventually("there is room again", || service.ask(Job::Who).wait().is_ok());
    supervisor.stop().wait();
}

fn a_pool_whose_name_is_taken_is_no_child(on: &Systems) {
    let registry = Registry::new();
    let other = start_idle(on.there());
    registry.register("pool", &other).unwrap();
    let spec = ChildSpec::pool("pool", || Pool::builder().size(2), || Worker);
    let (to_pool, spec) = (spec.reference(), spec.register_in(&registry, "pool"));
    let started = Supervisor::one_for_one().on(on.here().backend()).child(spec).start().wait();
    let error = started.unwrap_err().to_string();
    assert!(error.contains("taken"), "{error}");
    assert!(to_pool.process().is_none());
    assert_eq!(registry.whereis_pid("pool"), Some(other.pid()));
    other.exit(ExitReason::Kill);
    all_are_over(on);
}
