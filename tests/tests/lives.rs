//! How the lives of processes and actors begin and end when somebody says so: a start that is waited for, a
//! stop in turn, the last reference, a long silence.

use std::future::pending;
use std::sync::mpsc;
use std::time::Duration;

use twoply_core::actor::{
    Actor, Builder, Context, Event, ExitReason, NamedService, Process, ProcessRef, Registry, ServiceRef,
    StartActorError,
};
use twoply_core::channel::{self, TrySendError};
use twoply_core::promise::{Failure, Resolver};
use twoply_core::{Wait, time};
use twoply_tests::{Gate, System, Systems, all_are_over, builder, eventually, far, laws, run_process};

laws! {
    and_mixed {
        a_graceful_stop_finishes_what_is_in_the_mailbox,
        an_actor_that_nobody_refers_to_finishes_and_stops,
        a_start_that_is_waited_for_tells_what_comes_of_it,
        what_a_weak_reference_gives_is_answered,
        a_reference_to_a_name_that_nobody_has_ends_with_its_last_clone,
    }
    everywhere {
        the_first_graceful_stop_counts,
        a_graceful_stop_that_takes_too_long_is_a_kill,
        a_send_that_waits_is_refused_by_a_graceful_stop,
        a_graceful_stop_is_an_event_to_a_process,
        what_has_ended_is_not_stopped_again,
        an_actor_that_gives_a_reference_away_lives_on,
        a_process_that_nobody_counts_lives_without_references,
        a_name_is_a_reference_and_a_pid_is_none,
        a_process_without_references_receives_selectively,
        a_start_that_nobody_waits_for_any_more_is_a_kill,
        an_actor_goes_on_with_what_it_has_told_itself_first,
        a_question_that_an_actor_has_kept_for_itself_fails_with_its_reason,
        an_actor_that_hears_nothing_is_idle_until_it_hears_something,
        what_waits_in_the_mailbox_is_no_silence,
    }
}

/// What the probe has done is told here.
type Log = mpsc::Sender<String>;

/// An actor that tells what happens to it.
struct Probe {
    log: Log,
    /// What comes of its start.
    start: Start,
    /// After how much silence it is idle.
    silence: Option<Duration>,
}

/// What comes of a start.
enum Start {
    /// It succeeds.
    Well,
    /// It fails.
    Fails,
    /// It panics.
    Panics,
    /// There is nothing to do.
    Ignores,
    /// It waits for a gate.
    Waits(Gate),
    /// It gives a reference to itself away.
    GivesAway(mpsc::Sender<ProcessRef<Do>>),
    /// It waits for a gate, and goes on with these numbers.
    GoesOn(Gate, Vec<u32>),
}

/// What it is told to do.
enum Do {
    /// To note a number.
    Note(u32),
    /// To wait for a gate.
    Await(Gate),
    /// To answer.
    Answer(Resolver<u32>),
    /// To keep this question for itself, and stop.
    Keep(Resolver<u32>),
}

impl Actor for Probe {
    type Message = Do;
    type Error = String;

    async fn started(&mut self, cx: &mut Context<Probe>) -> Result<(), String> {
        cx.set_idle_timeout(self.silence);
        match &self.start {
            Start::Well => {}
            Start::Fails => return Err("no luck".into()),
            Start::Panics => panic!("expected"),
            Start::Ignores => cx.ignore(),
            Start::Waits(gate) => gate.opened().await,
            Start::GivesAway(to) => to.send(cx.me()).unwrap(),
            Start::GoesOn(gate, numbers) => {
                gate.opened().await;
                numbers.iter().for_each(|n| cx.continue_with(Do::Note(*n)));
            }
        }
        Ok(())
    }

    async fn handle(&mut self, message: Do, cx: &mut Context<Probe>) -> Result<(), String> {
        match message {
            Do::Note(n) => self.tell(n),
            Do::Await(gate) => gate.opened().await,
            Do::Answer(reply) => _ = reply.resolve(7),
            Do::Keep(reply) => {
                cx.continue_with(Do::Answer(reply));
                cx.stop_with(ExitReason::shutdown_with("kept"));
            }
        }
        Ok(())
    }

    async fn idle(&mut self, _: &mut Context<Probe>) -> Result<(), String> {
        self.tell("idle");
        Ok(())
    }

    async fn stopped(&mut self, reason: &ExitReason, _: &mut Context<Probe>) {
        self.tell(format!("stopped: {reason}"));
    }
}

impl Probe {
    fn tell(&self, what: impl ToString) {
        let _ = self.log.send(what.to_string());
    }
}

/// An actor that starts well, and where it tells what happens.
fn probe(start: Start) -> (Probe, mpsc::Receiver<String>) {
    let (log, told) = mpsc::channel();
    (Probe { log, start, silence: None }, told)
}

/// All that is told until nobody can tell any more.
fn all(told: &mpsc::Receiver<String>) -> Vec<String> {
    told.iter().collect()
}

fn note(process: &ProcessRef<Do>, numbers: impl IntoIterator<Item = u32>) {
    numbers.into_iter().for_each(|n| process.send(Do::Note(n)).wait().unwrap());
}

fn a_graceful_stop_finishes_what_is_in_the_mailbox(on: &Systems) {
    let (actor, told) = probe(Start::Well);
    let process = builder(on).spawn_actor(actor).unwrap();
    let gate = Gate::new();
    process.send(Do::Await(gate.clone())).wait().unwrap();
    note(&process, 1..4);
    let stopped = process.clone();
    let stop = on.there().spawn(async move { stopped.stop_gracefully(ExitReason::Shutdown).await });
    eventually("the mailbox is closed", || process.is_closed());
    assert!(process.pid().is_alive_here(), "it is not over");
    assert!(matches!(process.try_send(Do::Note(4)), Err(TrySendError::Closed(Do::Note(4)))));
    let unanswered = process.ask(Do::Answer).wait().unwrap_err();
    assert!(matches!(unanswered, Failure::NoProcess(ExitReason::Shutdown)), "{unanswered:?}");
    gate.open();
    assert_eq!(stop.wait().unwrap(), ExitReason::Shutdown);
    assert_eq!(all(&told), ["1", "2", "3", "stopped: shutdown"]);
}

fn the_first_graceful_stop_counts(on: &Systems) {
    let (actor, told) = probe(Start::Well);
    let process = builder(on).spawn_actor(actor).unwrap();
    let gate = Gate::new();
    process.send(Do::Await(gate.clone())).wait().unwrap();
    process.drain(ExitReason::other("first"));
    let second = process.stop_gracefully(ExitReason::other("second"));
    gate.open();
    assert_eq!(second.wait(), ExitReason::other("first"));
    assert_eq!(all(&told), ["stopped: first"]);
    // Another reason may turn up while it still handles what is there.
    let (actor, _told) = probe(Start::Well);
    let process = builder(on).spawn_actor(actor).unwrap();
    process.send(Do::Await(Gate::new())).wait().unwrap();
    process.drain(ExitReason::failed("not this"));
    process.exit(ExitReason::Kill);
    assert_eq!(process.ended().wait(), ExitReason::Killed);
}

fn a_graceful_stop_that_takes_too_long_is_a_kill(on: &Systems) {
    let (actor, told) = probe(Start::Well);
    let process = builder(on).spawn_actor(actor).unwrap();
    process.send(Do::Await(Gate::new())).wait().unwrap();
    let stopping = process.stop_gracefully(ExitReason::Normal).timeout(Duration::from_millis(5));
    assert_eq!(stopping.wait(), ExitReason::Killed);
    assert_eq!(all(&told), [] as [&str; 0], "it was dropped as it was");
    let (actor, told) = probe(Start::Well);
    let process = builder(on).spawn_actor(actor).unwrap();
    let stopping = process.stop_gracefully(ExitReason::Normal).timeout(Duration::MAX);
    assert_eq!(stopping.wait(), ExitReason::Normal);
    assert_eq!(all(&told), ["stopped: normal"]);
}

fn a_send_that_waits_is_refused_by_a_graceful_stop(on: &Systems) {
    let (actor, told) = probe(Start::Well);
    let process = builder(on).capacity(1).spawn_actor(actor).unwrap();
    let gate = Gate::new();
    process.send(Do::Await(gate.clone())).wait().unwrap();
    eventually("it waits", || gate.waiting() > 0);
    note(&process, [1]);
    let sender = process.clone();
    let waiting = on.here().spawn(async move { sender.send(Do::Note(2)).await.is_err() });
    let asker = process.clone();
    let asking = on.here().spawn(async move { asker.ask(Do::Answer).await });
    assert!(process.try_send(Do::Note(3)).unwrap_err().is_full());
    process.drain(ExitReason::Normal);
    assert!(waiting.wait().unwrap());
    assert!(matches!(asking.wait().unwrap(), Err(Failure::NoProcess(ExitReason::Normal))));
    gate.open();
    assert_eq!(all(&told), ["1", "stopped: normal"]);
}

fn a_graceful_stop_is_an_event_to_a_process(on: &Systems) {
    for trapping in [false, true] {
        let ready = Gate::new();
        let begin = ready.clone();
        let body = async move |mut me: Process<u32>| {
            begin.opened().await;
            let mut received = Vec::new();
            loop {
                match me.receive().await {
                    Event::Message(n) => received.push(n),
                    Event::Stop(reason) => {
                        assert_eq!((&*received, &*reason), (&[1, 2][..], &ExitReason::other("enough")));
                        break;
                    }
                    other => panic!("{other:?}"),
                }
            }
            // It goes on, and receives signals only.
            let idle = me.spawn_monitor(async |_: Process<()>| ()).unwrap();
            assert!(matches!(me.receive().await, Event::Down(down) if down.monitor == idle.1));
            assert!(me.me().try_send(3).is_err());
            ExitReason::other("something else")
        };
        let process = builder(on).trap_exit(trapping).spawn(body).unwrap();
        process.send(1).wait().unwrap();
        process.send(2).wait().unwrap();
        let stopping = process.stop_gracefully(ExitReason::other("enough"));
        ready.open();
        assert_eq!(stopping.wait(), ExitReason::other("something else"));
    }
}

fn what_has_ended_is_not_stopped_again(on: &Systems) {
    let process = builder::<u32>(on).spawn(async |_| ExitReason::other("done")).unwrap();
    process.ended().wait();
    assert_eq!(process.stop_gracefully(ExitReason::Normal).wait(), ExitReason::other("done"));
    let undelivered = Gate::new();
    let hook = undelivered.clone();
    let process = builder::<u32>(on).on_undelivered(move |_| hook.open());
    let process = process.spawn(async |me| drop(me)).unwrap();
    process.ended().wait();
    process.drain(ExitReason::Normal);
    assert!(process.try_send(1).is_err());
}

fn an_actor_that_nobody_refers_to_finishes_and_stops(on: &Systems) {
    let (actor, told) = probe(Start::Well);
    let process = builder(on).end_when_unreferenced(true).spawn_actor(actor).unwrap();
    let gate = Gate::new();
    process.send(Do::Await(gate.clone())).wait().unwrap();
    note(&process, 1..3);
    let ended = process.ended();
    let other = process.clone();
    let far = on.there().spawn(async move {
        other.send(Do::Note(3)).await.unwrap();
    });
    drop(process);
    far.wait().unwrap();
    gate.open();
    assert_eq!(ended.wait(), ExitReason::Normal);
    assert_eq!(all(&told), ["1", "2", "3", "stopped: normal"]);
    // Also where the last one goes while it waits.
    let (actor, told) = probe(Start::Well);
    let process = builder(on).end_when_unreferenced(true).spawn_actor(actor).unwrap();
    assert_eq!(process.ask(Do::Answer).wait().unwrap(), 7);
    let ended = process.ended();
    on.there().spawn(async move { drop(process) }).wait().unwrap();
    assert_eq!(ended.wait(), ExitReason::Normal);
    assert_eq!(all(&told), ["stopped: normal"]);
}

fn an_actor_that_gives_a_reference_away_lives_on(on: &Systems) {
    let (give, given) = mpsc::channel();
    let (actor, told) = probe(Start::GivesAway(give));
    let process = builder(on).end_when_unreferenced(true).spawn_actor(actor).unwrap();
    let ended = process.ended();
    drop(process);
    let process = given.recv().unwrap();
    assert_eq!(process.ask(Do::Answer).wait().unwrap(), 7);
    drop(process);
    assert_eq!(ended.wait(), ExitReason::Normal);
    assert_eq!(all(&told), ["stopped: normal"]);
}

fn a_process_that_nobody_counts_lives_without_references(on: &Systems) {
    let (actor, told) = probe(Start::Well);
    let process = builder(on).spawn_actor(actor).unwrap();
    let (weak, pid) = (process.downgrade(), process.pid());
    drop(process);
    assert_eq!(weak.upgrade().unwrap().ask(Do::Answer).wait().unwrap(), 7);
    pid.exit(ExitReason::Shutdown);
    pid.ended().wait();
    assert!(weak.upgrade().is_none());
    assert_eq!(all(&told), [] as [&str; 0]);
}

fn a_name_is_a_reference_and_a_pid_is_none(on: &Systems) {
    let registry = Registry::new();
    let (actor, _told) = probe(Start::Well);
    let process = builder(on).end_when_unreferenced(true).register_in(&registry, "probe");
    let process = process.spawn_actor(actor).unwrap();
    let timer = process.send_after(Duration::from_secs(10_000), Do::Note(1));
    let (pid, weak) = (process.pid(), process.downgrade());
    drop(process);
    let process = registry.whereis::<Do>("probe").unwrap().unwrap();
    assert_eq!(process.ask(Do::Answer).wait().unwrap(), 7);
    drop(process);
    assert!(weak.upgrade().is_some() && pid.is_alive_here());
    registry.unregister("probe");
    assert_eq!(pid.ended().wait(), ExitReason::Normal);
    eventually("its timers are given up", || !timer.is_pending());
}

fn a_process_without_references_receives_selectively(on: &Systems) {
    let (give, given) = mpsc::channel();
    let body = async move |mut me: Process<u32>| {
        // What is left in the mailbox is received before anything is said of a stop.
        let big = |event: &Event<u32>| matches!(event, Event::Message(n) if *n > 10);
        assert_eq!(me.receive_match(big).await.message(), Some(11));
        give.send(me.receive().await.message()).unwrap();
        assert!(matches!(me.receive().await, Event::Stop(_)));
    };
    let process = builder(on).end_when_unreferenced(true).spawn(body).unwrap();
    let ended = process.ended();
    process.send(1).wait().unwrap();
    process.send(11).wait().unwrap();
    drop(process);
    assert_eq!(ended.wait(), ExitReason::Normal);
    assert_eq!(given.recv().unwrap(), Some(1));
}

fn what_a_weak_reference_gives_is_answered(on: &Systems) {
    for _ in 0..20 {
        let (actor, _told) = probe(Start::Well);
        let process = builder(on).end_when_unreferenced(true).spawn_actor(actor).unwrap();
        let askers: Vec<_> = [on.here(), on.there()]
            .into_iter()
            .map(|system| {
                let weak = process.downgrade();
                system.spawn(async move {
                    let mut answered = 0;
                    while let Some(process) = weak.upgrade() {
                        assert_eq!(process.ask(Do::Answer).await.unwrap(), 7);
                        answered += 1;
                        drop(process);
                        if answered == 50 {
                            break;
                        }
                    }
                })
            })
            .collect();
        let ended = process.ended();
        drop(process);
        askers.into_iter().for_each(|asker| asker.wait().unwrap());
        assert_eq!(ended.wait(), ExitReason::Normal);
    }
}

fn a_start_that_is_waited_for_tells_what_comes_of_it(on: &Systems) {
    let registry = Registry::new();
    let start = |how| {
        let (actor, told) = probe(how);
        let registry = registry.clone();
        let builder = far(on).register_in(&registry, "probe");
        let start = on.here().spawn(async move { builder.start_actor(actor).await });
        (start.wait().unwrap(), told)
    };
    let (started, told) = start(Start::Well);
    let process = started.unwrap();
    assert!(matches!(
        start(Start::Well).0,
        Err(StartActorError::Spawn(twoply_core::actor::SpawnProcessError::Name(_)))
    ));
    process.stop_gracefully(ExitReason::Normal).wait();
    assert_eq!(all(&told), ["stopped: normal"]);
    for (how, reason) in [
        (Start::Fails, ExitReason::failed("no luck")),
        (Start::Panics, ExitReason::Panicked("expected".into())),
    ] {
        let (failed, told) = start(how);
        match failed {
            Err(StartActorError::Ended(why)) => assert_eq!(why, reason),
            other => panic!("{other:?}"),
        }
        assert_eq!(all(&told), [] as [&str; 0]);
        assert!(registry.registered().is_empty());
    }
    let (ignored, told) = start(Start::Ignores);
    assert!(matches!(ignored, Err(StartActorError::Ignored)));
    assert_eq!(all(&told), [] as [&str; 0]);
    assert!(registry.registered().is_empty());
    all_are_over(on);
}

fn a_start_that_nobody_waits_for_any_more_is_a_kill(on: &Systems) {
    let registry = Registry::new();
    let slow = || {
        let (actor, told) = probe(Start::Waits(Gate::new()));
        (builder(on).register_in(&registry, "slow").start_actor(actor), told)
    };
    let (starting, _told) = slow();
    let pid = registry.whereis_pid("slow").unwrap();
    drop(starting);
    assert_eq!(pid.ended().wait(), ExitReason::Killed);
    let (starting, _told) = slow();
    let pid = registry.whereis_pid("slow").unwrap();
    let late = starting.timeout(Duration::from_millis(5)).wait();
    assert!(matches!(late, Err(StartActorError::TimedOut)));
    assert!(registry.whereis_pid("slow").is_none(), "its name is free at once");
    assert_eq!(pid.ended().wait(), ExitReason::Killed);
    // One that has started does not mind.
    let (actor, _told) = probe(Start::Well);
    let process = builder(on).start_actor(actor).timeout(Duration::MAX).wait().unwrap();
    assert_eq!(process.ask(Do::Answer).wait().unwrap(), 7);
    process.exit(ExitReason::Kill);
}

fn an_actor_goes_on_with_what_it_has_told_itself_first(on: &Systems) {
    let gate = Gate::new();
    let (actor, told) = probe(Start::GoesOn(gate.clone(), vec![1, 2]));
    let process = builder(on).spawn_actor(actor).unwrap();
    note(&process, [4]);
    process.urgent().try_send(Do::Note(3)).unwrap();
    gate.open();
    process.stop_gracefully(ExitReason::Normal).wait();
    assert_eq!(all(&told), ["1", "2", "3", "4", "stopped: normal"]);
    // It needs no room, and a handler may go on many times.
    let (actor, told) = probe(Start::GoesOn(gate, (0..500).collect()));
    let process = builder(on).capacity(1).spawn_actor(actor).unwrap();
    process.stop_gracefully(ExitReason::Normal).wait();
    assert!(all(&told).into_iter().take(500).eq((0..500).map(|n| n.to_string())));
}

fn a_question_that_an_actor_has_kept_for_itself_fails_with_its_reason(on: &Systems) {
    let (actor, _told) = probe(Start::Well);
    let process = builder(on).spawn_actor(actor).unwrap();
    match process.ask(Do::Keep).wait() {
        Err(Failure::NoProcess(ExitReason::ShutdownWith(data))) => {
            assert_eq!(data.downcast_ref(), Some(&"kept"));
        }
        other => panic!("{other:?}"),
    }
}

fn an_actor_that_hears_nothing_is_idle_until_it_hears_something(on: &Systems) {
    let (mut actor, told) = probe(Start::Well);
    actor.silence = Some(Duration::from_millis(2));
    let process = builder(on).spawn_actor(actor).unwrap();
    assert_eq!(told.recv().unwrap(), "idle");
    assert_eq!(told.recv().unwrap(), "idle");
    note(&process, [1]);
    process.stop_gracefully(ExitReason::Normal).wait();
    let lines = all(&told);
    assert_eq!(lines.iter().filter(|line| *line == "1").count(), 1);
    assert_eq!(lines.last().unwrap(), "stopped: normal");
    // Without a handler of its own, that is the end.
    struct Short;
    impl Actor for Short {
        type Message = ();
        type Error = String;

        async fn started(&mut self, cx: &mut Context<Short>) -> Result<(), String> {
            cx.set_idle_timeout(Some(Duration::from_millis(2)));
            Ok(())
        }

        async fn handle(&mut self, (): (), cx: &mut Context<Short>) -> Result<(), String> {
            cx.set_idle_timeout(None);
            Ok(())
        }
    }
    let short = builder(on).spawn_actor(Short).unwrap();
    assert_eq!(short.ended().wait(), ExitReason::Normal);
    let long = Builder::new().on(on.here().backend()).spawn_actor(Short).unwrap();
    if long.send(()).wait().is_ok() && long.send(()).wait().is_ok() {
        time::sleep(Duration::from_millis(20)).wait();
        assert!(!long.is_closed(), "it waits for ever now");
    }
    long.exit(ExitReason::Kill);
}

fn what_waits_in_the_mailbox_is_no_silence(on: &Systems) {
    let (mut actor, told) = probe(Start::Well);
    actor.silence = Some(Duration::ZERO);
    let gate = Gate::new();
    let opened = gate.clone();
    let lines = run_process(on.here(), Builder::<()>::new(), {
        let builder = builder(on);
        move |_| {
            // More than a budget, so that the actor is cut short while there is something in its mailbox.
            let process = builder.spawn_actor(actor).unwrap();
            process.send(Do::Await(opened)).wait().unwrap();
            note(&process, 0..300);
            gate.open();
            eventually("all are handled", || process.is_empty());
            process.stop_gracefully(ExitReason::Normal).wait();
            all(&told)
        }
    });
    let first = lines.iter().position(|line| line == "0").unwrap();
    assert!(lines[first..first + 300].iter().cloned().eq((0..300).map(|n| n.to_string())));
}

fn a_reference_to_a_name_that_nobody_has_ends_with_its_last_clone(on: &Systems) {
    let registry = Registry::new();
    let start = || {
        let service = ServiceRef::builder().on(on.here().backend());
        service.start(NamedService::<u32>::new(&registry, "clerk")).unwrap()
    };
    let idle = |on: &System| {
        Builder::new().on(on.backend()).spawn(async |_: Process<u32>| pending::<()>().await).unwrap()
    };
    let service = start();
    let (other, ended) = (service.clone(), service.ended());
    drop(service);
    assert!(other.pid().is_alive_here());
    drop(other);
    assert!(ended.wait().is_orderly());
    // So it is where somebody has had the name until just now.
    let clerk = idle(on.there());
    for _ in 0..20 {
        registry.register("clerk", &clerk).unwrap();
        let service = start();
        let ended = service.ended();
        service.presence().wait_for(|state| state.is_present()).wait().unwrap();
        registry.unregister("clerk").unwrap();
        drop(service);
        assert!(ended.wait().is_orderly());
    }
    clerk.exit(ExitReason::Shutdown);
    // What is queued is sent first, when somebody has the name.
    let service = start();
    let ended = service.ended();
    (1..=3).for_each(|number| service.try_send(number).unwrap());
    drop(service);
    let (tell, told) = channel::unbounded();
    let clerk = Builder::new().on(on.there().backend()).register_in(&registry, "clerk");
    let clerk = clerk.spawn(async move |mut me: Process<u32>| {
        while let Some(number) = me.receive().await.message() {
            let _ = tell.try_send(number);
        }
    });
    assert_eq!([0; 3].map(|_| told.recv().wait().unwrap()), [1, 2, 3]);
    assert_eq!(ended.wait(), ExitReason::Normal);
    clerk.unwrap().exit(ExitReason::Shutdown);
    all_are_over(on);
}
