//! Crowds of processes: pools, topics, and sending by name.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::supervisor::{ChildError, ChildSpec, Supervisor};
use twoply_core::actor::{
    Actor, Backlog, Builder, Context, Event, ExitReason, Groups, Pid, Pool, Process, ProcessRef, Registry,
    Routing, SendToNameError, Topic,
};
use twoply_core::channel::{Sink, TrySendError};
use twoply_core::promise::{Failure, Resolver};
use twoply_core::stream::{self, Stream};
use twoply_tests::{Gate, Signal, Systems, all_are_over, builder, eventually, far, laws, start};

laws! {
    and_mixed {
        every_routing_has_each_message_handled_once,
        what_waits_for_a_member_that_fails_is_handled_by_its_successor,
        a_topic_treats_each_subscriber_as_it_wants,
    }
    everywhere {
        members_take_turns,
        the_least_loaded_member_is_the_next,
        messages_of_one_key_go_to_one_member,
        a_busy_member_holds_up_nobody_who_shares_its_queue,
        a_pool_may_grow_and_shrink,
        a_full_pool_refuses_and_waits,
        a_pool_is_a_sink,
        a_pool_is_a_process_to_others,
        an_urgent_message_to_a_pool_overtakes_at_its_member,
        a_pool_may_be_the_child_of_a_supervisor,
        a_pool_that_cannot_start_is_no_child,
        a_graceful_stop_of_a_pool_finishes_what_was_sent,
        a_pool_that_has_been_stopped_takes_nothing,
        a_member_that_stops_is_replaced_by_a_resize,
        a_broadcast_reaches_each_member,
        a_subscriber_that_ends_leaves_its_topic,
        a_name_is_enough_to_send,
    }
}

/// A member of a pool.
struct Worker {
    /// What it has done is told here.
    log: Option<mpsc::Sender<u32>>,
}

/// What it is told to do.
#[derive(Clone)]
enum Job {
    /// To tell a number.
    Tell(u32),
    /// To say who it is.
    Who(Answer<Pid>),
    /// To wait for a gate.
    Await(Gate),
    /// To fail, after a gate has been opened.
    Fail(Gate, Answer<Pid>),
    /// To stop.
    Stop,
}

/// A resolver that may be cloned.
type Answer<T> = Arc<std::sync::Mutex<Option<Resolver<T>>>>;

fn who(reply: Resolver<Pid>) -> Job {
    Job::Who(Arc::new(std::sync::Mutex::new(Some(reply))))
}

impl Actor for Worker {
    type Message = Job;
    type Error = String;

    async fn handle(&mut self, job: Job, cx: &mut Context<Worker>) -> Result<(), String> {
        match job {
            Job::Tell(n) => {
                if let Some(log) = &self.log {
                    let _ = log.send(n);
                }
            }
            Job::Who(reply) => {
                let reply = reply.lock().unwrap().take();
                let _ = reply.map(|reply| reply.resolve(cx.pid()));
            }
            Job::Await(gate) => gate.opened().await,
            Job::Fail(gate, _reply) => {
                gate.opened().await;
                return Err("expected".into());
            }
            Job::Stop => cx.stop(),
        }
        Ok(())
    }
}

/// The key of a message, for routings that want one.
fn key(job: &Job) -> u64 {
    match job {
        Job::Tell(n) => u64::from(*n),
        _ => 0,
    }
}

fn routings() -> [Routing<Job>; 4] {
    [Routing::round_robin(), Routing::least_loaded(), Routing::hash(key), Routing::first_idle(4)]
}

fn pool(on: &Systems, size: usize, routing: Routing<Job>) -> (Pool<Job>, mpsc::Receiver<u32>) {
    let (log, told) = mpsc::channel();
    let builder = Pool::builder().size(size).routing(routing).on(on.here().backend());
    let pool = builder.start(move || Worker { log: Some(log.clone()) }).wait().unwrap();
    (pool, told)
}

fn every_routing_has_each_message_handled_once(on: &Systems) {
    for routing in routings() {
        let (pool, told) = pool(on, 3, routing);
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let pool = pool.clone();
                on.there().spawn(async move {
                    for n in 0..50 {
                        pool.send(Job::Tell(50 * sender + n)).await.map_err(drop).unwrap();
                    }
                    pool.ask(who).await.unwrap()
                })
            })
            .collect();
        for sender in senders {
            let answered = sender.wait().unwrap();
            assert!(pool.members().iter().any(|member| member.pid() == answered));
        }
        assert_eq!(pool.stop_gracefully().wait(), ExitReason::Normal);
        drop(pool);
        let mut all: Vec<u32> = told.iter().collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..200));
    }
    all_are_over(on);
}

fn members_take_turns(on: &Systems) {
    let (pool, _told) = pool(on, 3, Routing::round_robin());
    let first: Vec<Pid> = (0..3).map(|_| pool.ask(who).wait().unwrap()).collect();
    let second: Vec<Pid> = (0..3).map(|_| pool.ask(who).wait().unwrap()).collect();
    assert_eq!(first, second);
    let mut sorted = first.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), 3);
    pool.stop().wait();
}

fn the_least_loaded_member_is_the_next(on: &Systems) {
    let (pool, _told) = pool(on, 2, Routing::least_loaded());
    let gate = Gate::new();
    let [busy, free] = [0, 1].map(|at| pool.members()[at].clone());
    busy.send(Job::Await(gate.clone())).wait().map_err(drop).unwrap();
    for _ in 0..3 {
        busy.send(Job::Tell(0)).wait().map_err(drop).unwrap();
    }
    for _ in 0..10 {
        assert_eq!(pool.ask(who).wait().unwrap(), free.pid());
    }
    gate.open();
    pool.stop().wait();
}

fn messages_of_one_key_go_to_one_member(on: &Systems) {
    let made = Signal::new();
    let (tell, told) = mpsc::channel();
    /// Tells which member handles which key.
    struct Keyed(usize, mpsc::Sender<(usize, u32)>);
    impl Actor for Keyed {
        type Message = u32;
        type Error = String;

        async fn handle(&mut self, n: u32, _: &mut Context<Keyed>) -> Result<(), String> {
            self.1.send((self.0, n)).map_err(|_| "nobody listens".into())
        }
    }
    let routing = Routing::hash(|n: &u32| u64::from(*n));
    let builder = Pool::builder().size(3).routing(routing).on(on.here().backend());
    let pool = builder.start(move || Keyed(made.add(), tell.clone())).wait().unwrap();
    let mut places = Vec::new();
    for _ in 0..3 {
        for n in 0..60 {
            pool.send(n).wait().unwrap();
        }
        let mut round: Vec<_> = (0..60).map(|_| told.recv().unwrap()).collect();
        round.sort_by_key(|(_, n)| *n);
        places.push(round);
    }
    assert!(places.windows(2).all(|pair| pair[0] == pair[1]));
    pool.resize(4).wait().unwrap();
    for n in 0..60 {
        pool.send(n).wait().unwrap();
    }
    for _ in 0..60 {
        let (member, n) = told.recv().unwrap();
        assert!(member == 4 || (member, n) == places[0][n as usize], "it stays, or goes to the new one");
    }
    pool.stop_gracefully().wait();
}

fn a_busy_member_holds_up_nobody_who_shares_its_queue(on: &Systems) {
    let (pool, told) = pool(on, 2, Routing::first_idle(8));
    let gate = Gate::new();
    pool.send(Job::Await(gate.clone())).wait().map_err(drop).unwrap();
    eventually("one of them is busy", || gate.waiting() > 0);
    let free = pool.ask(who).wait().unwrap();
    for n in 0..20 {
        pool.send(Job::Tell(n)).wait().map_err(drop).unwrap();
        assert_eq!(pool.ask(who).wait().unwrap(), free);
        assert_eq!(told.recv().unwrap(), n);
    }
    gate.open();
    pool.stop_gracefully().wait();
}

fn what_waits_for_a_member_that_fails_is_handled_by_its_successor(on: &Systems) {
    for routing in routings() {
        let (pool, told) = pool(on, 1, routing);
        let gate = Gate::new();
        let failing = pool.clone();
        let fails = gate.clone();
        let asked = on.there().spawn(async move {
            let fail = |reply| Job::Fail(fails, Arc::new(std::sync::Mutex::new(Some(reply))));
            failing.ask(fail).await
        });
        eventually("it is busy", || gate.waiting() > 0);
        for n in 0..3 {
            pool.send(Job::Tell(n)).wait().map_err(drop).unwrap();
        }
        gate.open();
        let failure = asked.wait().unwrap().unwrap_err();
        assert!(matches!(failure, Failure::NoProcess(_) | Failure::Broken), "{failure:?}");
        for n in 0..3 {
            assert_eq!(told.recv().unwrap(), n);
        }
        assert_eq!(pool.ask(who).wait().unwrap(), pool.members()[0].pid());
        pool.stop().wait();
    }
}

fn a_pool_may_grow_and_shrink(on: &Systems) {
    for routing in routings() {
        let (pool, told) = pool(on, 1, routing);
        pool.resize(3).wait().unwrap();
        assert_eq!(pool.members().len(), 3);
        for (n, member) in (0..).zip(pool.members()) {
            member.send(Job::Tell(n)).wait().map_err(drop).unwrap();
        }
        pool.resize(1).wait().unwrap();
        assert_eq!(pool.members().len(), 1);
        assert_eq!(pool.supervisor().count().wait().unwrap().specs, 1);
        let mut all: Vec<u32> = (0..3).map(|_| told.recv().unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2], "they finish what they have been sent");
        pool.resize(0).wait().unwrap();
        assert_eq!(pool.members().len(), 1, "one stays");
        pool.resize(2).wait().unwrap();
        assert!(pool.ask(who).wait().is_ok());
        pool.stop().wait();
        assert!(matches!(pool.resize(5).wait(), Err(ChildError::Ended(_))));
    }
}

fn a_full_pool_refuses_and_waits(on: &Systems) {
    let routing = Routing::round_robin();
    let builder = Pool::builder().size(2).routing(routing).settings(|builder| builder.capacity(1));
    let pool = builder.on(on.here().backend()).start(|| Worker { log: None }).wait().unwrap();
    let gate = Gate::new();
    for member in pool.members() {
        member.send(Job::Await(gate.clone())).wait().map_err(drop).unwrap();
    }
    eventually("both are busy", || gate.waiting() == 2);
    // Where one is full, the other one will do.
    pool.members()[0].try_send(Job::Tell(0)).map_err(drop).unwrap();
    pool.try_send(Job::Tell(1)).map_err(drop).unwrap();
    for _ in 0..2 {
        assert!(matches!(pool.try_send(Job::Tell(2)), Err(TrySendError::Full(Job::Tell(2)))));
    }
    let waits = pool.clone();
    let waiting = on.here().spawn(async move { waits.send(Job::Tell(3)).await.is_ok() });
    gate.open();
    assert!(waiting.wait().unwrap());
    pool.stop().wait();
}

fn a_pool_is_a_sink(on: &Systems) {
    sends_through_a_sink(on, |pool| Arc::new(pool.clone()));
    sends_through_a_sink(on, |pool| Arc::new(pool.process()));
}

fn sends_through_a_sink(on: &Systems, as_sink: impl Fn(&Pool<Job>) -> Arc<dyn Sink<Job> + Send + Sync>) {
    let routings =
        [Routing::round_robin(), Routing::least_loaded(), Routing::hash(key), Routing::first_idle(1)];
    for routing in routings {
        let (log, told) = mpsc::channel();
        let builder = Pool::builder().size(1).routing(routing).settings(|builder| builder.capacity(1));
        let builder = builder.on(on.here().backend());
        let pool = builder.start(move || Worker { log: Some(log.clone()) }).wait().unwrap();
        let sink = as_sink(&pool);
        let gate = Gate::new();
        sink.send(Job::Await(gate.clone())).wait().map_err(drop).unwrap();
        eventually("the member is busy", || gate.waiting() == 1);
        sink.try_send(Job::Tell(0)).map_err(drop).unwrap();
        // What is not sent in time comes back, and is not sent.
        let late = sink.send(Job::Tell(9)).timeout(Duration::from_millis(1)).wait().unwrap_err();
        assert!(matches!(late.into_inner(), Job::Tell(9)));
        let numbers = stream::iter(1..4).map(Job::Tell).forward(Arc::clone(&sink));
        let forward = on.here().spawn(async move { numbers.await.is_ok() });
        gate.open();
        assert!(forward.wait().unwrap());
        assert_eq!(pool.stop_gracefully().wait(), ExitReason::Normal);
        assert!(matches!(sink.send(Job::Stop).wait().unwrap_err().into_inner(), Job::Stop));
        drop((pool, sink));
        assert_eq!(told.iter().collect::<Vec<u32>>(), [0, 1, 2, 3]);
    }
}

fn a_pool_is_a_process_to_others(on: &Systems) {
    for routing in routings() {
        let (pool, told) = pool(on, 2, routing);
        pool.process().send_after(Duration::from_millis(1), Job::Tell(5));
        assert_eq!(told.recv().unwrap(), 5);
        let process = pool.process();
        assert_eq!((&process, process.pid()), (&pool.process(), pool.supervisor().pid()));
        assert!(!process.is_closed());
        assert_eq!(Pool::of(&process).unwrap().members(), pool.members());
        let answered = process.ask(who).wait().unwrap();
        assert!(pool.members().iter().any(|member| member.pid() == answered));

        let registry = Registry::new();
        registry.register("pool", &process).unwrap();
        let groups = Groups::new();
        assert!(groups.group::<Job>("pools").unwrap().join(&process));
        let topic = Topic::new();
        assert!(topic.subscribe(&process, Backlog::Wait));
        registry.send("pool", Job::Tell(2)).wait().map_err(drop).unwrap();
        assert_eq!(told.recv().unwrap(), 2);
        assert_eq!(groups.group::<Job>("pools").unwrap().broadcast(&Job::Tell(3)), 1);
        assert_eq!(told.recv().unwrap(), 3);
        topic.publish(Job::Tell(4)).wait();
        assert_eq!(told.recv().unwrap(), 4);
        process.downgrade().upgrade().unwrap().try_send(Job::Tell(6)).map_err(drop).unwrap();
        assert_eq!(told.recv().unwrap(), 6);

        // Its end is that of the pool.
        let ((tell, downs), (watched, ready)) = (mpsc::channel(), (process.pid(), Gate::new()));
        let watching = ready.clone();
        start(on.there(), move |mut me| {
            me.monitor(&watched);
            watching.open();
            let _ = tell.send(matches!(me.receive().wait(), Event::Down(down) if down.from == watched));
        });
        ready.opened().wait();
        process.exit(ExitReason::Shutdown);
        assert_eq!(process.ended().wait(), ExitReason::Shutdown);
        assert!(downs.recv().unwrap());
        assert!(registry.whereis_pid("pool").is_none());
        assert!(process.is_closed() && pool.members().is_empty());
        assert!(matches!(process.try_send(Job::Stop), Err(TrySendError::Closed(Job::Stop))));
        assert!(matches!(process.ask(who).wait(), Err(Failure::NoProcess(_))));
    }
    all_are_over(on);
}

fn an_urgent_message_to_a_pool_overtakes_at_its_member(on: &Systems) {
    let (pool, told) = pool(on, 1, Routing::round_robin());
    let (process, gate) = (pool.process(), Gate::new());
    process.send(Job::Await(gate.clone())).wait().map_err(drop).unwrap();
    eventually("it is busy", || gate.waiting() == 1);
    process.send(Job::Tell(1)).wait().map_err(drop).unwrap();
    process.urgent().send(Job::Tell(2)).wait().map_err(drop).unwrap();
    process.urgent().try_send(Job::Tell(3)).map_err(drop).unwrap();
    gate.open();
    assert_eq!((0..3).map(|_| told.recv().unwrap()).collect::<Vec<_>>(), [2, 3, 1]);
    pool.stop().wait();
}

fn a_pool_may_be_the_child_of_a_supervisor(on: &Systems) {
    let registry = Registry::new();
    let (log, told) = mpsc::channel();
    let backend = Arc::clone(on.here().backend());
    // One failure of a member is too much.
    let settings = move || Pool::builder().size(2).intensity(0, Duration::from_secs(60)).on(&backend);
    let spec = ChildSpec::pool("pool", settings, move || Worker { log: Some(log.clone()) });
    let spec = spec.register_in(&registry, "workers");
    let to_pool = spec.reference();
    let supervisor = Supervisor::one_for_one().on(on.there().backend()).child(spec).start().wait().unwrap();
    assert_eq!(supervisor.count().wait().unwrap().supervisors, 1);
    let process = to_pool.process().unwrap();
    let first = Pool::of(&process).unwrap();
    assert_eq!(registry.whereis::<Job>("workers").unwrap(), Some(process.clone()));
    first.resize(3).wait().unwrap();

    // It is restarted with fresh members, and its references and its name follow.
    let gate = Gate::new();
    gate.open();
    let fail = |reply| Job::Fail(gate.clone(), Arc::new(std::sync::Mutex::new(Some(reply))));
    assert!(to_pool.ask(fail).wait().is_err());
    process.ended().wait();
    assert!(first.members().is_empty());
    eventually("it runs again", || {
        registry.whereis::<Job>("workers").unwrap().is_some_and(|found| found != process)
    });
    to_pool.send(Job::Tell(2)).wait().map_err(drop).unwrap();
    assert_eq!(told.recv().unwrap(), 2);
    let second = Pool::of(&to_pool.process().unwrap()).unwrap();
    assert_eq!(second.members().len(), 2);
    assert_eq!(supervisor.tree().wait().unwrap().to_string().matches("member").count(), 2);

    // It ends with its supervisor, and its members before that.
    let ends: Vec<_> = second.members().iter().map(ProcessRef::ended).collect();
    supervisor.stop().wait();
    for end in ends {
        assert_eq!(end.wait(), ExitReason::Shutdown);
    }
    assert!(matches!(to_pool.send(Job::Stop).wait().unwrap_err().into_inner(), Job::Stop));
    assert!(matches!(second.try_send(Job::Stop), Err(TrySendError::Closed(Job::Stop))));
    all_are_over(on);
}

fn a_pool_that_cannot_start_is_no_child(on: &Systems) {
    /// Its second member cannot be started.
    struct Second(bool);
    impl Actor for Second {
        type Message = Job;
        type Error = String;

        async fn started(&mut self, _: &mut Context<Second>) -> Result<(), String> {
            if self.0 { Err("expected".into()) } else { Ok(()) }
        }

        async fn handle(&mut self, _: Job, _: &mut Context<Second>) -> Result<(), String> {
            Ok(())
        }
    }
    let made = Signal::new();
    let spec = ChildSpec::pool("pool", || Pool::builder().size(2), move || Second(made.add() == 2));
    let to_pool = spec.reference();
    let started = Supervisor::one_for_one().on(on.here().backend()).child(spec).start().wait();
    let error = started.unwrap_err().to_string();
    assert!(error.contains("pool") && error.contains("member 1"), "{error}");
    assert!(to_pool.process().is_none());
    all_are_over(on);
}

fn a_graceful_stop_of_a_pool_finishes_what_was_sent(on: &Systems) {
    for routing in routings() {
        let (pool, told) = pool(on, 2, routing);
        let gate = Gate::new();
        for member in pool.members() {
            member.send(Job::Await(gate.clone())).wait().map_err(drop).unwrap();
        }
        eventually("both are busy", || gate.waiting() == 2);
        for n in 0..4 {
            pool.send(Job::Tell(n)).wait().map_err(drop).unwrap();
        }
        let stopping = pool.clone();
        let stop = on.here().spawn(async move { stopping.stop_gracefully().await });
        eventually("nothing is taken any more", || pool.try_send(Job::Tell(9)).is_err());
        gate.open();
        assert_eq!(stop.wait().unwrap(), ExitReason::Normal);
        drop(pool);
        let mut all: Vec<u32> = told.iter().filter(|n| *n != 9).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
    }
}

fn a_pool_that_has_been_stopped_takes_nothing(on: &Systems) {
    for routing in routings() {
        let (pool, _told) = pool(on, 2, routing);
        let gate = Gate::new();
        for _ in 0..4 {
            pool.send(Job::Await(gate.clone())).wait().map_err(drop).unwrap();
        }
        let asking = pool.clone();
        let asked = on.here().spawn(async move { asking.ask(who).await });
        assert_eq!(pool.stop().wait(), ExitReason::Normal);
        assert!(asked.wait().unwrap().is_err(), "it is not left waiting");
        assert!(matches!(pool.send(Job::Tell(7)).wait(), Err(error) if matches!(error.0, Job::Tell(7))));
        assert!(matches!(pool.try_send(Job::Tell(7)), Err(TrySendError::Closed(_))));
        assert!(pool.ask(who).wait().is_err());
        assert!(pool.members().is_empty());
    }
    all_are_over(on);
}

fn a_member_that_stops_is_replaced_by_a_resize(on: &Systems) {
    let (pool, _told) = pool(on, 2, Routing::round_robin());
    let gone = pool.members()[0].clone();
    gone.send(Job::Stop).wait().map_err(drop).unwrap();
    eventually("it is gone", || pool.members().len() == 1);
    for _ in 0..4 {
        assert_ne!(pool.ask(who).wait().unwrap(), gone.pid());
    }
    for _ in 0..4 {
        pool.send(Job::Tell(1)).wait().map_err(drop).unwrap();
    }
    pool.resize(2).wait().unwrap();
    assert_eq!(pool.members().len(), 2);
    assert_eq!(pool.supervisor().count().wait().unwrap().specs, 2);
    pool.stop().wait();
}

fn a_broadcast_reaches_each_member(on: &Systems) {
    for routing in routings() {
        let (pool, told) = pool(on, 3, routing);
        assert_eq!(pool.broadcast(&Job::Tell(5)), 3);
        for _ in 0..3 {
            assert_eq!(told.recv().unwrap(), 5);
        }
        pool.stop().wait();
    }
}

/// A process with room for one message that receives when the gate is open, and tells what.
fn reader(builder: Builder<u32>, gate: &Gate) -> (ProcessRef<u32>, mpsc::Receiver<u32>) {
    let (tell, told) = mpsc::channel();
    let opened = gate.opened();
    let body = async move |mut me: Process<u32>| {
        opened.await;
        while let Some(n) = me.receive().await.message() {
            let _ = tell.send(n);
        }
    };
    (builder.capacity(1).spawn(body).unwrap(), told)
}

fn a_topic_treats_each_subscriber_as_it_wants(on: &Systems) {
    let topic = Topic::new();
    let gate = Gate::new();
    let (patient, to_patient) = reader(builder(on), &gate);
    let (careless, to_careless) = reader(far(on), &gate);
    let (strict, to_strict) = reader(builder(on), &gate);
    assert!(topic.subscribe(&patient, Backlog::Drop), "it may change");
    for (process, backlog) in
        [(&patient, Backlog::Wait), (&careless, Backlog::Drop), (&strict, Backlog::Disconnect)]
    {
        assert!(topic.subscribe(process, backlog));
    }
    assert_eq!(topic.len(), 3);
    let first = topic.publish(1).wait();
    assert_eq!((first.delivered, first.missed.len()), (3, 0));
    let publisher = topic.clone();
    let second = on.there().spawn(async move { publisher.publish(2).await });
    eventually("one of them is disconnected", || topic.len() == 2);
    assert_eq!(topic.try_publish(&3).delivered, 0, "nobody has room, and nobody is waited for");
    gate.open();
    let second = second.wait().unwrap();
    assert_eq!((second.delivered, second.disconnected), (1, vec![strict.pid()]));
    assert_eq!(second.missed, [careless.pid(), strict.pid()]);
    assert_eq!((to_patient.recv(), to_patient.recv()), (Ok(1), Ok(2)));
    assert_eq!((to_careless.recv(), to_strict.recv()), (Ok(1), Ok(1)));
    assert!(topic.unsubscribe(&careless.pid()) && !topic.unsubscribe(&careless.pid()));
    for process in [patient, careless, strict] {
        process.exit(ExitReason::Kill);
    }
}

fn a_subscriber_that_ends_leaves_its_topic(on: &Systems) {
    let topic = Topic::new();
    let gate = Gate::new();
    let (process, _told) = reader(builder(on), &gate);
    assert!(topic.subscribe(&process, Backlog::Wait));
    topic.publish(1).wait();
    // A publisher that waits for it goes on when it ends.
    let publisher = topic.clone();
    let waiting = on.here().spawn(async move { publisher.publish(2).await });
    process.exit(ExitReason::Kill);
    assert_eq!(waiting.wait().unwrap().delivered, 0);
    process.ended().wait();
    assert!(topic.is_empty());
    assert!(!topic.subscribe(&process, Backlog::Drop));
}

fn a_name_is_enough_to_send(on: &Systems) {
    let registry = Registry::new();
    let gate = Gate::new();
    let (process, told) = reader(builder(on).register_in(&registry, "reader"), &gate);
    registry.send("reader", 1_u32).wait().unwrap();
    assert!(matches!(registry.try_send("reader", 2_u32), Err(SendToNameError::Full(2))));
    assert!(matches!(registry.try_send("reader", "two"), Err(SendToNameError::WrongType(_, "two"))));
    assert!(matches!(registry.send("writer", 2_u32).wait(), Err(SendToNameError::NoName(_, 2))));
    let elsewhere = registry.clone();
    let waiting = on.there().spawn(async move { elsewhere.send("reader", 3_u32).await.is_ok() });
    gate.open();
    assert!(waiting.wait().unwrap());
    assert_eq!((told.recv(), told.recv()), (Ok(1), Ok(3)));
    process.exit(ExitReason::Kill);
    process.ended().wait();
    assert_eq!(registry.try_send("reader", 4_u32).unwrap_err().into_inner(), 4);
}
