//! Actors: values with handlers, their lives, and the sources that are attached to them.

use std::mem::replace;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use twoply_core::actor::{self, Actor, Builder, Context, Down, Event, Exit, ExitReason, Process, ProcessRef};
use twoply_core::channel::{self, Receiver};
use twoply_core::promise::{Failure, Resolver};
use twoply_core::time::{Interval, interval};
use twoply_core::{Wait, future};
use twoply_tests::{Gate, Resources, Signal, Systems, eventually, laws};

laws! {
    and_mixed {
        messages_are_handled_one_at_a_time_in_order,
        a_handler_may_await_or_wait,
        a_question_is_answered,
        an_error_is_the_exit_reason_and_is_seen_by_stopped,
        a_panic_in_a_handler_is_the_exit_reason_and_is_seen_by_stopped,
        a_trapped_signal_stops_an_actor_in_order,
        the_end_of_another_process_comes_to_down,
        attached_sources_and_the_mailbox_are_received_from_by_turns,
    }
    everywhere {
        started_comes_before_all_messages_and_stopped_after_them,
        stop_ends_it_after_the_handler_and_the_first_reason_counts,
        an_actor_that_does_not_start_is_not_stopped,
        stopped_may_panic,
        a_signal_that_is_not_trapped_drops_the_actor_where_it_waits,
        a_killed_actor_is_dropped_and_not_stopped,
        a_normal_exit_is_no_reason_to_stop,
        the_end_of_its_backend_drops_an_actor,
        an_actor_may_be_linked_from_the_beginning,
        a_handler_may_receive_selectively,
        an_interval_is_attached_like_a_channel,
        an_item_stays_in_its_source_until_the_actor_has_time,
        a_source_may_tell_of_its_end,
        a_source_that_panics_is_a_panic_of_the_actor,
        what_an_actor_holds_is_dropped_with_it,
    }
    green { an_idle_actor_holds_no_stack }
}

/// What an actor has done, in order. Clones are the same list.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, text: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How a step of an actor's life goes.
#[derive(Clone, Copy, Default)]
enum Step {
    /// Well.
    #[default]
    Well,
    /// It returns an error.
    Fails,
    /// It panics before it has a future.
    Panics,
    /// It panics after it has waited.
    PanicsLater,
}

impl Step {
    async fn go(self, what: &str) -> Result<(), String> {
        match self {
            Step::Well => Ok(()),
            Step::Fails => Err(format!("{what} fails")),
            Step::Panics => panic!("expected: {what} panics"),
            Step::PanicsLater => {
                future::yield_now().await;
                panic!("expected: {what} panics")
            }
        }
    }
}

/// An actor that notes what happens to it.
#[derive(Default)]
struct Probe {
    /// Where it notes it.
    log: Log,
    /// How it starts.
    started: Step,
    /// How it stops.
    stopped: Step,
}

/// What it is told to do.
enum Do {
    /// To note a number.
    Note(u32),
    /// To wait for a gate, asynchronously, and then to note a number.
    Await(Gate, u32),
    /// To wait for a gate on its stack, and then to note a number.
    Block(Gate, u32),
    /// To fail or to panic.
    Be(Step),
    /// To stop, with these reasons one after the other.
    Stop(Vec<ExitReason>),
    /// To say how many lines it has noted.
    Count(Resolver<usize>),
    /// To receive the first number above 100 that there is or will be, before all that waits already.
    Pick,
    /// To monitor a process.
    Watch(actor::Pid),
    /// To attach channels, whose items are noted as they are.
    Attach(Vec<Receiver<u32>>),
}

impl Actor for Probe {
    type Message = Do;
    type Error = String;

    async fn started(&mut self, _: &mut Context<Probe>) -> Result<(), String> {
        self.log.add("started");
        replace(&mut self.started, Step::Well).go("started").await
    }

    async fn handle(&mut self, message: Do, cx: &mut Context<Probe>) -> Result<(), String> {
        match message {
            Do::Note(n) => self.log.add(n.to_string()),
            Do::Await(gate, n) => {
                gate.opened().await;
                self.log.add(n.to_string());
            }
            Do::Block(gate, n) => {
                gate.opened().wait();
                self.log.add(n.to_string());
            }
            Do::Be(step) => step.go("a handler").await?,
            Do::Stop(reasons) => {
                reasons.into_iter().for_each(|reason| cx.stop_with(reason));
                cx.stop();
                self.log.add("stopping");
            }
            Do::Count(reply) => _ = reply.resolve(self.log.lines().len()),
            Do::Pick => {
                let big = |event: &Event<Do>| matches!(event, Event::Message(Do::Note(n)) if *n > 100);
                if let Event::Message(Do::Note(n)) = cx.receive_match(big).await {
                    self.log.add(format!("picked {n}"));
                }
            }
            Do::Watch(pid) => _ = cx.monitor(&pid),
            Do::Attach(sources) => sources.into_iter().for_each(|source| _ = cx.attach(source, Do::Note)),
        }
        Ok(())
    }

    async fn down(&mut self, down: Down, _: &mut Context<Probe>) -> Result<(), String> {
        self.log.add(format!("down: {}", down.reason));
        Ok(())
    }

    async fn stopped(&mut self, reason: &ExitReason, _: &mut Context<Probe>) {
        self.log.add(format!("stopped: {reason}"));
        let _ = self.stopped.go("stopped").await;
    }
}

/// Starts `actor` here, watched by a process there, and returns a reference to it, and where its exit reason
/// arrives.
fn watched<A: Actor>(
    on: &Systems,
    builder: Builder<A::Message>,
    actor: A,
) -> (ProcessRef<A::Message>, Receiver<ExitReason>) {
    let ((found, find), (tell, told)) = (channel::bounded(1), channel::bounded(1));
    let here = Arc::clone(on.here().backend());
    let watcher = async move |mut me: Process<()>| {
        let (process, _) = builder.on(&here).spawn_actor_monitor(&me, actor).expect("the backend is there");
        found.try_send(process).expect("it is waited for");
        match me.receive().await {
            Event::Down(down) => tell.try_send(down.reason).expect("there is room"),
            other => panic!("{other:?}"),
        }
    };
    Builder::new().on(on.there().backend()).spawn(watcher).expect("the backend is there");
    (find.recv().wait().expect("the watcher starts it"), told)
}

/// A probe with its log.
fn probe(on: &Systems) -> (ProcessRef<Do>, Receiver<ExitReason>, Log) {
    let actor = Probe::default();
    let log = actor.log.clone();
    let (process, told) = watched(on, Builder::new(), actor);
    (process, told, log)
}

fn messages_are_handled_one_at_a_time_in_order(on: &Systems) {
    let (process, told, log) = probe(on);
    let sender = process.clone();
    let far = on.there().spawn_fn(move || {
        for n in 0..200 {
            sender.send(Do::Note(n)).wait().unwrap();
        }
    });
    far.wait().unwrap();
    process.send(Do::Stop(vec![])).wait().unwrap();
    assert_eq!(told.recv().wait(), Ok(ExitReason::Normal));
    let expected = ["started".to_owned()].into_iter().chain((0..200).map(|n| n.to_string()));
    assert!(log.lines().into_iter().take(201).eq(expected));
}

fn a_handler_may_await_or_wait(on: &Systems) {
    let (process, told, log) = probe(on);
    let (first, second) = (Gate::new(), Gate::new());
    process.send(Do::Await(first.clone(), 1)).wait().unwrap();
    process.send(Do::Block(second.clone(), 2)).wait().unwrap();
    process.send(Do::Note(3)).wait().unwrap();
    process.send(Do::Stop(vec![])).wait().unwrap();
    eventually("the first one waits", || first.waiting() > 0);
    assert_eq!(log.lines(), ["started"], "others wait for their turn");
    first.open();
    eventually("the second one waits", || second.waiting() > 0);
    second.open();
    told.recv().wait().unwrap();
    assert_eq!(log.lines(), ["started", "1", "2", "3", "stopping", "stopped: normal"]);
}

fn a_question_is_answered(on: &Systems) {
    let (process, told, _) = probe(on);
    assert_eq!(process.ask(Do::Count).wait().unwrap(), 1);
    let asker = process.clone();
    let far = on.there().spawn(async move {
        asker.send(Do::Note(1)).await.unwrap();
        asker.ask(Do::Count).await
    });
    assert_eq!(far.wait().unwrap().unwrap(), 2);
    process.send(Do::Be(Step::Fails)).wait().unwrap();
    told.recv().wait().unwrap();
    match process.ask(Do::Count).wait() {
        Err(Failure::NoProcess(reason)) => assert_eq!(reason.to_string(), "failed: a handler fails"),
        other => panic!("{other:?}"),
    }
}

fn an_error_is_the_exit_reason_and_is_seen_by_stopped(on: &Systems) {
    let (process, told, log) = probe(on);
    process.send(Do::Be(Step::Fails)).wait().unwrap();
    let reason = told.recv().wait().unwrap();
    assert_eq!(reason, ExitReason::failed("a handler fails"));
    assert_eq!(log.lines(), ["started", "stopped: failed: a handler fails"]);
    assert!(process.try_send(Do::Note(1)).is_err());
}

fn a_panic_in_a_handler_is_the_exit_reason_and_is_seen_by_stopped(on: &Systems) {
    for step in [Step::Panics, Step::PanicsLater] {
        let (process, told, log) = probe(on);
        process.send(Do::Be(step)).wait().unwrap();
        let _ = process.send(Do::Note(1)).wait();
        let reason = told.recv().wait().unwrap();
        assert_eq!(reason, ExitReason::Panicked("expected: a handler panics".into()));
        assert_eq!(log.lines(), ["started", "stopped: panicked: expected: a handler panics"]);
    }
}

fn a_trapped_signal_stops_an_actor_in_order(on: &Systems) {
    let actor = Probe::default();
    let log = actor.log.clone();
    let (process, told) = watched(on, Builder::new().trap_exit(true), actor);
    let gate = Gate::new();
    process.send(Do::Await(gate.clone(), 1)).wait().unwrap();
    process.send(Do::Note(2)).wait().unwrap();
    process.exit(ExitReason::Shutdown);
    process.send(Do::Note(3)).wait().unwrap();
    gate.open();
    assert_eq!(told.recv().wait(), Ok(ExitReason::Shutdown));
    assert_eq!(log.lines(), ["started", "1", "2", "stopped: shutdown"]);
}

fn the_end_of_another_process_comes_to_down(on: &Systems) {
    let (process, _, log) = probe(on);
    let gate = Gate::new();
    let opened = gate.opened();
    let other = Builder::<()>::new().on(on.there().backend());
    let other = other
        .spawn(async move |_| {
            opened.await;
            ExitReason::other("done")
        })
        .unwrap();
    process.send(Do::Watch(other.pid())).wait().unwrap();
    process.ask(Do::Count).wait().unwrap();
    gate.open();
    eventually("it is told", || log.lines().len() == 2);
    assert_eq!(log.lines()[1], "down: done");
    process.send(Do::Stop(vec![])).wait().unwrap();
}

fn started_comes_before_all_messages_and_stopped_after_them(on: &Systems) {
    let undelivered = Signal::new();
    let actor = Probe::default();
    let log = actor.log.clone();
    let hook = undelivered.clone();
    let (process, told) = watched(on, Builder::new().on_undelivered(move |_| _ = hook.add()), actor);
    let gate = Gate::new();
    process.send(Do::Await(gate.clone(), 1)).wait().unwrap();
    process.send(Do::Stop(vec![])).wait().unwrap();
    for n in 2..5 {
        process.send(Do::Note(n)).wait().unwrap();
    }
    gate.open();
    assert_eq!(told.recv().wait(), Ok(ExitReason::Normal));
    assert_eq!(log.lines(), ["started", "1", "stopping", "stopped: normal"]);
    eventually("the rest is undelivered", || undelivered.count() == 3);
}

fn stop_ends_it_after_the_handler_and_the_first_reason_counts(on: &Systems) {
    let (process, told, log) = probe(on);
    process.send(Do::Stop(vec![ExitReason::other("first"), ExitReason::other("second")])).wait().unwrap();
    assert_eq!(told.recv().wait(), Ok(ExitReason::other("first")));
    assert_eq!(log.lines(), ["started", "stopping", "stopped: first"]);
}

fn an_actor_that_does_not_start_is_not_stopped(on: &Systems) {
    let cases = [
        (Step::Fails, ExitReason::failed("started fails")),
        (Step::Panics, ExitReason::Panicked("expected: started panics".into())),
        (Step::PanicsLater, ExitReason::Panicked("expected: started panics".into())),
    ];
    for (started, reason) in cases {
        let actor = Probe { started, ..Probe::default() };
        let log = actor.log.clone();
        let (_, told) = watched(on, Builder::new(), actor);
        assert_eq!(told.recv().wait(), Ok(reason));
        assert_eq!(log.lines(), ["started"]);
    }
}

fn stopped_may_panic(on: &Systems) {
    let panicked = ExitReason::Panicked("expected: stopped panics".into());
    let failed = ExitReason::failed("a handler fails");
    for stopped in [Step::Panics, Step::PanicsLater] {
        // After an orderly end the panic is the reason; what had failed before has failed for that.
        for (message, reason) in [(Do::Stop(vec![]), &panicked), (Do::Be(Step::Fails), &failed)] {
            let (process, told) = watched(on, Builder::new(), Probe { stopped, ..Probe::default() });
            process.send(message).wait().unwrap();
            assert_eq!(told.recv().wait().as_ref(), Ok(reason));
        }
    }
}

fn a_signal_that_is_not_trapped_drops_the_actor_where_it_waits(on: &Systems) {
    let gate = Gate::new();
    let busy = [Do::Await(gate.clone(), 1), Do::Block(gate.clone(), 1), Do::Note(1)];
    for (n, message) in busy.into_iter().enumerate() {
        let (process, told, log) = probe(on);
        process.send(message).wait().unwrap();
        eventually("it waits", || gate.waiting() > n || log.lines().len() > 1);
        process.exit(ExitReason::other("enough"));
        assert_eq!(told.recv().wait(), Ok(ExitReason::other("enough")));
        assert!(log.lines().iter().all(|line| !line.starts_with("stopped")), "{:?}", log.lines());
    }
}

fn a_killed_actor_is_dropped_and_not_stopped(on: &Systems) {
    let actor = Probe::default();
    let log = actor.log.clone();
    let (process, told) = watched(on, Builder::new().trap_exit(true), actor);
    process.ask(Do::Count).wait().unwrap();
    process.exit(ExitReason::Kill);
    assert_eq!(told.recv().wait(), Ok(ExitReason::Killed));
    assert_eq!(log.lines(), ["started"]);
}

fn a_normal_exit_is_no_reason_to_stop(on: &Systems) {
    for trapping in [false, true] {
        let (process, _) = watched(on, Builder::new().trap_exit(trapping), Probe::default());
        process.exit(ExitReason::Normal);
        assert_eq!(process.ask(Do::Count).wait().unwrap(), 1);
        process.send(Do::Stop(vec![])).wait().unwrap();
    }
}

fn the_end_of_its_backend_drops_an_actor(on: &Systems) {
    let (process, told, log) = probe(on);
    process.ask(Do::Count).wait().unwrap();
    drop(told);
    on.here().shutdown(Duration::from_secs(5)).unwrap();
    assert_eq!(log.lines(), ["started"]);
    match process.ask(Do::Count).wait() {
        Err(Failure::NoProcess(reason)) => assert_eq!(reason, ExitReason::Shutdown),
        other => panic!("{other:?}"),
    }
}

fn an_actor_may_be_linked_from_the_beginning(on: &Systems) {
    let (tell, told) = channel::bounded(1);
    let parent = async move |mut me: Process<()>| {
        me.trap_exit(true);
        let actor = Probe { started: Step::Fails, ..Probe::default() };
        let child = Builder::new().spawn_actor_link(&me, actor).unwrap();
        match me.receive().await {
            Event::Exit(exit) => tell.try_send((exit.from == child.pid(), exit.reason)).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    Builder::new().on(on.here().backend()).spawn(parent).unwrap();
    assert_eq!(told.recv().wait(), Ok((true, ExitReason::failed("started fails"))));
}

fn a_handler_may_receive_selectively(on: &Systems) {
    let (process, told, log) = probe(on);
    let gate = Gate::new();
    process.send(Do::Await(gate.clone(), 0)).wait().unwrap();
    for message in [Do::Pick, Do::Note(1), Do::Note(2), Do::Note(101), Do::Stop(vec![])] {
        process.send(message).wait().unwrap();
    }
    gate.open();
    told.recv().wait().unwrap();
    assert_eq!(log.lines(), ["started", "0", "picked 101", "1", "2", "stopping", "stopped: normal"]);
}

fn attached_sources_and_the_mailbox_are_received_from_by_turns(on: &Systems) {
    let (process, told, log) = probe(on);
    let (one, source) = channel::unbounded();
    let (other, other_source) = channel::unbounded();
    let gate = Gate::new();
    process.send(Do::Attach(vec![source, other_source])).wait().unwrap();
    process.send(Do::Await(gate.clone(), 0)).wait().unwrap();
    let sender = on.there().spawn(async move {
        for n in 0..100 {
            one.send(1000 + n).await.unwrap();
            other.send(2000 + n).await.unwrap();
        }
    });
    sender.wait().unwrap();
    for n in 0..100 {
        process.send(Do::Note(3000 + n)).wait().unwrap();
    }
    gate.open();
    eventually("all have come", || log.lines().len() == 302);
    let numbers: Vec<u32> = log.lines().iter().skip(2).map(|line| line.parse().unwrap()).collect();
    // Each is in order, and in any stretch of the time in which all are full each has its share.
    for kind in 1..=3 {
        let of_kind: Vec<_> = numbers.iter().filter(|n| *n / 1000 == kind).collect();
        assert!(of_kind.is_sorted() && of_kind.len() == 100);
    }
    for turn in numbers.chunks_exact(3) {
        let mut kinds = [turn[0] / 1000, turn[1] / 1000, turn[2] / 1000];
        kinds.sort_unstable();
        assert_eq!(kinds, [1, 2, 3], "{numbers:?}");
    }
    process.send(Do::Stop(vec![])).wait().unwrap();
    assert_eq!(told.recv().wait(), Ok(ExitReason::Normal));
}

/// Attaches sources to a listener.
type Attach = Box<dyn FnOnce(&mut Context<Listener>) + Send>;

/// An actor that takes what its sources give.
struct Listener {
    /// What is attached when it starts.
    attach: Option<Attach>,
    /// Where it passes things on.
    heard: channel::Sender<&'static str>,
    /// What it waits for before it starts to listen.
    gate: Gate,
}

impl Actor for Listener {
    type Message = &'static str;
    type Error = ExitReason;

    async fn started(&mut self, cx: &mut Context<Listener>) -> Result<(), ExitReason> {
        self.attach.take().expect("it starts once")(cx);
        self.gate.opened().await;
        Ok(())
    }

    async fn handle(&mut self, heard: &'static str, cx: &mut Context<Listener>) -> Result<(), ExitReason> {
        if heard == "stop" {
            cx.stop();
        }
        self.heard.send(heard).await.map_err(|_| ExitReason::other("nobody listens"))
    }
}

/// A listener with what `attach` attaches, where what it hears arrives, and what it waits for first.
fn listener(
    on: &Systems,
    attach: impl FnOnce(&mut Context<Listener>) + Send + 'static,
) -> (ProcessRef<&'static str>, Receiver<ExitReason>, Receiver<&'static str>, Gate) {
    let (heard, hear) = channel::unbounded();
    let gate = Gate::new();
    let actor = Listener { attach: Some(Box::new(attach)), heard, gate: gate.clone() };
    let (process, told) = watched(on, Builder::new(), actor);
    (process, told, hear, gate)
}

fn an_interval_is_attached_like_a_channel(on: &Systems) {
    let clock: Interval = interval(Duration::from_millis(2));
    let (process, _, hear, gate) = listener(on, |cx| _ = cx.attach(clock, |_due| "tick"));
    process.try_send("message").unwrap();
    gate.open();
    let mut heard: Vec<_> = (0..6).map(|_| hear.recv().wait().unwrap()).collect();
    heard.sort_unstable();
    assert_eq!(heard, ["message", "tick", "tick", "tick", "tick", "tick"]);
    process.try_send("stop").unwrap();
}

fn an_item_stays_in_its_source_until_the_actor_has_time(on: &Systems) {
    let (tx, rx) = channel::unbounded();
    let source = rx.clone();
    let (process, _, hear, gate) = listener(on, |cx| _ = cx.attach(source, |item| item));
    tx.try_send("one").unwrap();
    tx.try_send("two").unwrap();
    eventually("it waits to start", || gate.waiting() > 0);
    assert_eq!(rx.len(), 2);
    assert_eq!(rx.try_recv(), Ok("one"));
    gate.open();
    assert_eq!(hear.recv().wait(), Ok("two"));
    process.exit(ExitReason::Kill);
    eventually("it is gone", || on.here().tasks() == 0);
    tx.try_send("three").unwrap();
    assert_eq!(rx.recv().wait(), Ok("three"), "it left no trace in the line");
}

fn a_source_may_tell_of_its_end(on: &Systems) {
    let (tx, rx) = channel::unbounded();
    let end = |cx: &mut Context<Listener>| _ = cx.attach_to_end(rx, |item| item.or(Some("over")));
    let (process, told, hear, gate) = listener(on, end);
    gate.open();
    tx.try_send("item").unwrap();
    drop(tx);
    assert_eq!(hear.recv().wait(), Ok("item"));
    assert_eq!(hear.recv().wait(), Ok("over"));
    process.try_send("stop").unwrap();
    assert_eq!(told.recv().wait(), Ok(ExitReason::Normal), "it lives on without its source");
    assert_eq!(hear.recv().wait(), Ok("stop"));
}

fn a_source_that_panics_is_a_panic_of_the_actor(on: &Systems) {
    let (tx, rx) = channel::unbounded::<u32>();
    let convert = |item: u32| if item == 0 { "zero" } else { panic!("expected: the source panics") };
    let (_, told, hear, gate) = listener(on, move |cx| _ = cx.attach(rx, convert));
    gate.open();
    tx.try_send(0).unwrap();
    assert_eq!(hear.recv().wait(), Ok("zero"));
    tx.try_send(1).unwrap();
    assert_eq!(told.recv().wait(), Ok(ExitReason::Panicked("expected: the source panics".into())));
}

fn what_an_actor_holds_is_dropped_with_it(on: &Systems) {
    struct Holder<G>(G);
    impl<G: Send + 'static> Actor for Holder<G> {
        type Message = ();
        type Error = ExitReason;
        async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
            Err(ExitReason::other("enough"))
        }
        async fn trapped(&mut self, exit: Exit, _: &mut Context<Self>) -> Result<(), ExitReason> {
            Err(exit.reason)
        }
    }
    let dropped = Signal::new();
    let (process, told) = watched(on, Builder::new(), Holder(dropped.on_drop()));
    process.try_send(()).unwrap();
    assert_eq!(told.recv().wait(), Ok(ExitReason::other("enough")), "a reason of its own stays what it is");
    assert_eq!(dropped.count(), 1, "before anybody is told");
    let (process, told) = watched(on, Builder::new().trap_exit(true), Holder(dropped.on_drop()));
    process.exit(ExitReason::Shutdown);
    assert_eq!(told.recv().wait(), Ok(ExitReason::Shutdown));
    assert_eq!(dropped.count(), 2);
}

fn an_idle_actor_holds_no_stack(on: &Systems) {
    on.alone(|| {
        let backend = on.here().backend();
        let threads = || Resources::now().threads.values().sum::<usize>();
        let start = || Builder::new().on(backend).spawn_actor(Probe::default()).unwrap();
        start().ask(Do::Count).wait().unwrap();
        let rescues =
            || on.here().metrics().workers.iter().map(|worker| worker.rescues).sum::<u64>() as usize;
        let (before, rescued) = (threads(), rescues());
        let actors: Vec<_> = (0..10_000).map(|_| start()).collect();
        // Each has been served, and waits for more.
        for actor in &actors {
            actor.ask(Do::Count).wait().unwrap();
        }
        assert_eq!(on.here().tasks(), 10_001);
        // One more, should a worker have found something to search for, and those that carry the workers of
        // threads that the machine has held up in a poll.
        let now = threads();
        let rescues = rescues() - rescued;
        assert!(now <= before + 1 + rescues, "{now} threads, {before} before, {rescues} rescues");
        on.here().shutdown(Duration::from_secs(10)).unwrap();
    });
}
