//! tracing: each event of a task says whose it is, whatever stack and thread the task is on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Instrument, Subscriber, info, info_span};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use twoply::actor::supervisor::{ChildSpec, Mailbox, Supervisor};
use twoply::actor::{self, Actor, Pool, Process, Routing};
use twoply::promise::Resolver;
use twoply::runtime::Hooks;
use twoply::time::sleep;
use twoply::tracing::{Traced, traced};
use twoply::{Runtime, Wait, channel, future, offload, task};
use twoply_tests::{Systems, facade, laws};

laws! {
    everywhere {
        an_event_says_whose_it_is,
        a_process_has_a_span_of_its_own,
        a_guard_may_be_held_across_a_wait,
        spans_of_the_thread_stay_there,
        a_task_follows_from_the_span_of_its_start,
        a_message_follows_from_the_span_of_its_sender,
        an_actor_handles_messages_in_spans_of_their_own,
        methods_of_the_attribute_run_in_spans_of_their_own,
        a_closure_follows_from_the_span_of_its_sender,
        a_span_goes_with_its_message_through_pools_and_supervisors,
        a_span_ends_with_its_task,
        what_is_cancelled_unwinds_in_its_spans,
        records_of_log_say_whose_they_are,
        tokio_console_is_told_of_tasks_and_wakes,
    }
}

const SOON: Duration = Duration::from_secs(10);

/// What was recorded of the events of one law, by its mark.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// The spans of the event, the innermost first, with their fields.
    scope: Vec<(String, BTreeMap<String, String>)>,
    /// The names of the spans from which the innermost one follows.
    follows: BTreeSet<String>,
}

/// The fields of a span or of an event.
#[derive(Clone, Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

/// The spans from which a span follows.
#[derive(Clone, Default)]
struct Follows(BTreeSet<String>);

/// Keeps what it is told.
#[derive(Clone, Default)]
struct Recorder {
    /// The events, by their message.
    events: Arc<Mutex<BTreeMap<String, Seen>>>,
    /// The `name` fields of the spans that are closed.
    closed: Arc<Mutex<BTreeSet<String>>>,
    /// What tokio-console is told of wakers: how often, by the name of the task and that of the operation.
    wakers: Arc<Mutex<BTreeMap<(String, String), u32>>>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let span = context.span(id).unwrap();
        span.extensions_mut().insert(fields);
        span.extensions_mut().insert(Follows::default());
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        values.record(span.extensions_mut().get_mut::<Fields>().unwrap());
    }

    fn on_follows_from(&self, id: &Id, from: &Id, context: Context<'_, S>) {
        let (span, from) = (context.span(id).unwrap(), context.span(from).unwrap());
        span.extensions_mut().get_mut::<Follows>().unwrap().0.insert(from.name().to_owned());
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if event.metadata().target() == "tokio::task::waker" {
            let span = context.span(&Id::from_u64(fields.0["task.id"].parse().unwrap())).unwrap();
            assert_eq!((span.name(), span.metadata().target()), ("runtime.spawn", "tokio::task"));
            let name = span.extensions().get::<Fields>().unwrap().0["task.name"].clone();
            *self.wakers.lock().unwrap().entry((name, fields.0["op"].clone())).or_default() += 1;
        }
        let Some(message) = fields.0.remove("message") else { return };
        let mut seen = Seen::default();
        for span in context.event_scope(event).into_iter().flatten() {
            if seen.scope.is_empty() {
                seen.follows = span.extensions().get::<Follows>().unwrap().0.clone();
            }
            let fields = span.extensions().get::<Fields>().unwrap().0.clone();
            seen.scope.push((span.name().to_owned(), fields));
        }
        self.events.lock().unwrap().insert(message, seen);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        if let Some(name) = span.extensions().get::<Fields>().and_then(|fields| fields.0.get("name").cloned())
        {
            self.closed.lock().unwrap().insert(name);
        }
    }
}

impl Recorder {
    /// Returns the one of this program, which also gets what `log` records.
    fn get() -> &'static Recorder {
        static RECORDER: OnceLock<Recorder> = OnceLock::new();
        RECORDER.get_or_init(|| {
            let recorder = Recorder::default();
            let all = tracing_subscriber::registry().with(recorder.clone());
            tracing::subscriber::set_global_default(all).unwrap();
            tracing_log::LogTracer::init().unwrap();
            recorder
        })
    }

    /// Returns the event with this message.
    fn event(&self, message: &str) -> Seen {
        let found = self.events.lock().unwrap().get(message).cloned();
        found.unwrap_or_else(|| panic!("no event {message}"))
    }

    /// Asserts that the spans of the event with this message have these names, the innermost first.
    fn assert_scope(&self, message: &str, names: &[&str]) {
        let scope = self.event(message).scope;
        assert_eq!(scope.iter().map(|(name, _)| name).collect::<Vec<_>>(), names, "{message}");
    }
}

fn runtime(on: &Systems) -> Runtime {
    Recorder::get();
    facade!(on.kind()).tracing().build().unwrap()
}

/// Returns a text that no other test and no other call has.
fn mark(on: &Systems) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{} {}", on.name(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

fn an_event_says_whose_it_is(on: &Systems) {
    let runtime = runtime(on);
    let tasks = (0..30).map(|n| {
        let mark = mark(on);
        let [asynchronous, blocked, offloaded, outside] =
            ["a", "b", "c", "o"].map(|letter| format!("{mark} {letter}"));
        let marks = [asynchronous.clone(), blocked.clone(), offloaded.clone()];
        let builder = task::Builder::new().name(mark.clone());
        let task = builder.spawn_on(runtime.spawner().backend(), async move {
            for _ in 0..3 {
                sleep(Duration::from_micros(20 * n)).await;
                info!("{asynchronous}");
                future::yield_now().await;
            }
            sleep(Duration::from_micros(30)).wait();
            info!("{blocked}");
            offload(|| info!("{offloaded}")).unwrap();
            task::current().unwrap().id()
        });
        (mark, marks, outside, task.unwrap())
    });
    for (mark, marks, outside, task) in tasks.collect::<Vec<_>>() {
        let id = task.wait().unwrap().as_u64().to_string();
        for message in &marks {
            let seen = Recorder::get().event(message);
            let [(name, fields)] = &seen.scope[..] else { panic!("{seen:?}") };
            assert_eq!(
                (&**name, &fields["name"], &fields["id"], &*fields["kind"]),
                ("task", &mark, &id, "future")
            );
            assert!(fields["at"].contains("tracing.rs:"), "{fields:?}");
        }
        info!("{outside}");
        Recorder::get().assert_scope(&outside, &[]);
    }
    runtime.shutdown(SOON).unwrap();
}

fn a_process_has_a_span_of_its_own(on: &Systems) {
    let (runtime, mark) = (runtime(on), mark(on));
    let message = mark.clone();
    let builder = actor::Builder::new().name("clerk").on(runtime.spawner().backend());
    let clerk = builder
        .spawn(async move |mut me: Process<u32>| {
            me.receive().await;
            me.receive().wait();
            info!("{message}");
        })
        .unwrap();
    clerk.send(1).wait().unwrap();
    clerk.send(2).wait().unwrap();
    clerk.ended().wait();
    let seen = Recorder::get().event(&mark);
    let [(name, fields)] = &seen.scope[..] else { panic!("{seen:?}") };
    assert_eq!((&**name, &*fields["name"]), ("process", "clerk"));
    assert_eq!(fields["pid"], clerk.pid().serial().to_string());
}

fn a_guard_may_be_held_across_a_wait(on: &Systems) {
    let runtime = runtime(on);
    let tasks = (0..30_u64).map(|n| {
        let mark = mark(on);
        let marks: Vec<_> = (0..4).map(|part| format!("{mark} {part}")).collect();
        let inside = marks.clone();
        let task = runtime.spawn_fn(move || {
            let outer = info_span!("outer").entered();
            let inner = info_span!("inner").entered();
            sleep(Duration::from_micros(20 * (n % 7))).wait();
            info!("{}", inside[0]);
            let (tx, rx) = channel::bounded(1);
            let sender = twoply::spawn(async move { tx.send(1).await });
            assert_eq!(rx.recv().wait(), Ok(1));
            drop(inner);
            info!("{}", inside[1]);
            sleep(Duration::from_micros(10)).wait();
            info!("{}", inside[2]);
            drop(outer);
            sender.wait().unwrap().unwrap();
            info!("{}", inside[3]);
        });
        (marks, task)
    });
    let scopes: [&[&str]; 4] =
        [&["inner", "outer", "task"], &["outer", "task"], &["outer", "task"], &["task"]];
    for (marks, task) in tasks.collect::<Vec<_>>() {
        task.wait().unwrap();
        marks.iter().zip(scopes).for_each(|(mark, scope)| Recorder::get().assert_scope(mark, scope));
    }
    runtime.shutdown(SOON).unwrap();
}

fn spans_of_the_thread_stay_there(on: &Systems) {
    Recorder::get();
    let layered = facade!(on.kind()).around_threads(|body| info_span!("thread").in_scope(body));
    let runtime = layered.tracing().build().unwrap();
    // The span of a task has no parent, so only the thread itself can tell.
    let inside = || tracing::Span::current().metadata().map(|span| span.name());
    let blocked: Vec<_> = (0..10)
        .map(|_| {
            runtime.spawn_fn(move || {
                assert_eq!(inside(), Some("task"));
                let own = info_span!("own").entered();
                sleep(Duration::from_micros(100)).wait();
                assert_eq!(inside(), Some("own"));
                drop(own);
                assert_eq!(inside(), Some("task"));
            })
        })
        .collect();
    blocked.into_iter().for_each(|task| task.wait().unwrap());
    runtime.shutdown(SOON).unwrap();
}

fn a_task_follows_from_the_span_of_its_start(on: &Systems) {
    let (runtime, mark) = (runtime(on), mark(on));
    let message = mark.clone();
    let request = info_span!("request");
    let task = request.in_scope(|| runtime.spawn(async move { info!("{message}") }));
    task.wait().unwrap();
    Recorder::get().assert_scope(&mark, &["task"]);
    assert!(Recorder::get().event(&mark).follows.contains("request"));
}

fn a_message_follows_from_the_span_of_its_sender(on: &Systems) {
    let (runtime, mark) = (runtime(on), mark(on));
    let builder = actor::Builder::new().on(runtime.spawner().backend());
    let clerk = builder
        .spawn(async |mut me: Process<Traced<String>>| {
            let (message, span) = me.receive().await.message().unwrap().open();
            let handle = async {
                sleep(Duration::from_micros(20)).wait();
                info!("{message}");
            };
            handle.instrument(span).await;
        })
        .unwrap();
    info_span!("request").in_scope(|| clerk.send(mark.clone().into()).wait().unwrap());
    clerk.ended().wait();
    Recorder::get().assert_scope(&mark, &["message", "process"]);
    assert!(Recorder::get().event(&mark).follows.contains("request"));
}

/// Asserts that the event was in a message of the process, which follows from the span of the request.
fn assert_handled(mark: &str) {
    Recorder::get().assert_scope(mark, &["message", "process"]);
    assert_eq!(Recorder::get().event(mark).follows, BTreeSet::from(["request".to_owned()]), "{mark}");
}

/// An actor that says what it is told, in the middle of what it does.
struct Crier;

enum Cry {
    Aloud(String),
    AndAnswer(String, Resolver<usize>),
}

impl Actor for Crier {
    type Message = Traced<Cry>;
    type Error = String;

    async fn handle(&mut self, cry: Traced<Cry>, _: &mut actor::Context<Crier>) -> Result<(), String> {
        self.hear(cry).await
    }
}

impl Crier {
    async fn hear(&self, cry: Traced<Cry>) -> Result<(), String> {
        cry.handle(async |cry| {
            sleep(Duration::from_micros(20)).await;
            match cry {
                Cry::Aloud(text) => info!("{text}"),
                Cry::AndAnswer(text, answer) => {
                    sleep(Duration::from_micros(20)).wait();
                    info!("{text}");
                    answer.resolve(text.len()).map_err(|_| "nobody listens".to_owned())?;
                }
            }
            Ok(())
        })
        .await
    }
}

fn an_actor_handles_messages_in_spans_of_their_own(on: &Systems) {
    let (runtime, told, asked) = (runtime(on), mark(on), mark(on));
    let crier = actor::Builder::new().on(runtime.spawner().backend()).spawn_actor(Crier).unwrap();
    let answer = info_span!("request").in_scope(|| {
        crier.send(Cry::Aloud(told.clone()).into()).wait().unwrap();
        crier.ask(|answer| Traced::new(Cry::AndAnswer(asked.clone(), answer)))
    });
    // The span is that of the question, not of who waits for its answer.
    assert_eq!(info_span!("elsewhere").in_scope(|| answer.wait()).unwrap(), asked.len());
    assert_handled(&told);
    assert_handled(&asked);
}

/// As [`Crier`], by the attribute.
struct Herald<T>(T);

#[twoply::actor(error = String, traced)]
impl<T: fmt::Display + Send + 'static> Herald<T> {
    fn cry(&mut self, text: T) {
        info!("{text}");
        self.0 = text;
    }

    #[tell]
    async fn cry_late(&mut self, text: T) -> Result<(), String> {
        sleep(Duration::from_micros(20)).await;
        info!("{text}");
        if text.to_string().is_empty() { Err("a herald has something to say".to_owned()) } else { Ok(()) }
    }

    fn last(&self, mark: String, cx: &mut actor::Context<Self>) -> String {
        sleep(Duration::from_micros(20)).wait();
        info!("{mark}");
        cx.stop();
        self.0.to_string()
    }
}

fn methods_of_the_attribute_run_in_spans_of_their_own(on: &Systems) {
    let (runtime, marks) = (runtime(on), [(); 3].map(|()| mark(on)));
    let builder = actor::Builder::new().on(runtime.spawner().backend());
    let herald = HeraldRef::from(builder.spawn_actor(Herald(String::new())).unwrap());
    let [cried, late, last] = marks.clone();
    let answer = info_span!("request").in_scope(|| {
        herald.cry(cried.clone()).wait().unwrap();
        herald.cry_late(late).wait().unwrap();
        herald.last(last)
    });
    assert_eq!(answer.wait().unwrap(), cried);
    marks.iter().for_each(|mark| assert_handled(mark));
}

fn a_closure_follows_from_the_span_of_its_sender(on: &Systems) {
    let (runtime, told, asked) = (runtime(on), mark(on), mark(on));
    let active = actor::Active::builder().on(runtime.spawner().backend()).build(5_u32);
    let (tell, ask) = (told.clone(), asked.clone());
    let answer = info_span!("request").in_scope(|| {
        active.try_send(traced(move |_: &mut u32| info!("{tell}"))).unwrap();
        active.ask(traced(move |number: &mut u32| {
            sleep(Duration::from_micros(20)).wait();
            info!("{ask}");
            *number
        }))
    });
    assert_eq!(answer.wait().unwrap(), 5);
    assert_handled(&told);
    assert_handled(&asked);
}

/// Asserts that the event was in a message of a process with this name, which follows from the span of the
/// request.
fn assert_handled_by(name: &str, mark: &str) {
    assert_handled(mark);
    let (_, fields) = &Recorder::get().event(mark).scope[1];
    assert_eq!(fields["name"], name, "{mark}");
}

fn a_span_goes_with_its_message_through_pools_and_supervisors(on: &Systems) {
    let (runtime, request) = (runtime(on), || info_span!("request"));
    let backend = runtime.spawner().backend();
    let ask = |text: &str| {
        let text = text.to_owned();
        move |answer| Traced::new(Cry::AndAnswer(text, answer))
    };
    // A member is chosen for the message, or it waits for the first one that is idle.
    for routing in [Routing::round_robin(), Routing::first_idle(10)] {
        let criers = Pool::builder().size(3).routing(routing).on(backend);
        let criers = criers.settings(|builder| builder.name("member")).start(|| Crier).wait().unwrap();
        for mark in [(); 5].map(|()| mark(on)) {
            request().in_scope(|| criers.ask(ask(&mark)).wait().unwrap());
            assert_handled_by("member", &mark);
        }
        criers.stop().wait();
    }

    // A child that fails at its first message. What comes behind that is handled by its successor.
    let lives = AtomicU32::new(0);
    let child = ChildSpec::process("child", move |mut me: Process<Traced<Cry>>| {
        let life = lives.fetch_add(1, Ordering::Relaxed);
        async move {
            while let Some(cry) = me.receive().await.message() {
                if life == 0 {
                    return Err("the first one fails".to_owned());
                }
                Crier.hear(cry).await?;
            }
            Ok(())
        }
    });
    let child = child.mailbox(Mailbox::Keep).settings(|builder| builder.name("child")).on(backend);
    let crier = child.reference();
    let supervisor = Supervisor::one_for_one().child(child).on(backend).start().wait().unwrap();
    request().in_scope(|| crier.send(Cry::Aloud(mark(on)).into()).wait().unwrap());
    for mark in [(); 3].map(|()| mark(on)) {
        request().in_scope(|| crier.ask(ask(&mark)).wait().unwrap());
        assert_handled_by("child", &mark);
    }
    supervisor.stop().wait();
    runtime.shutdown(SOON).unwrap();
}

fn a_span_ends_with_its_task(on: &Systems) {
    let runtime = runtime(on);
    for n in 0..20 {
        let mark = mark(on);
        let builder = task::Builder::new().name(mark.clone());
        let task = builder.spawn_fn_on(runtime.spawner().backend(), move || {
            let _guard = info_span!("inside").entered();
            sleep(Duration::from_micros(n)).wait();
        });
        let task = task.unwrap();
        let reference = task.task();
        task.wait().unwrap();
        assert!(Recorder::get().closed.lock().unwrap().contains(&mark), "the task is over");
        drop(reference);
    }
}

fn what_is_cancelled_unwinds_in_its_spans(on: &Systems) {
    struct Tell(String);
    impl Drop for Tell {
        fn drop(&mut self) {
            info!("{}", self.0);
        }
    }
    let (runtime, mark) = (runtime(on), mark(on));
    let (begun, begins) = channel::oneshot();
    let tell = Tell(mark.clone());
    let task = runtime.spawn_fn(move || {
        let _guard = info_span!("inside").entered();
        let _tell = tell;
        begun.send(()).unwrap();
        std::future::pending::<()>().wait();
    });
    begins.wait().unwrap();
    task.cancel();
    assert!(task.wait().unwrap_err().is_cancelled());
    Recorder::get().assert_scope(&mark, &["inside", "task"]);
}

fn records_of_log_say_whose_they_are(on: &Systems) {
    let (runtime, mark) = (runtime(on), mark(on));
    let message = mark.clone();
    let task = runtime.spawn_fn(move || {
        sleep(Duration::from_micros(20)).wait();
        log::info!("{message}");
    });
    task.wait().unwrap();
    Recorder::get().assert_scope(&mark, &["task"]);
}

fn tokio_console_is_told_of_tasks_and_wakes(on: &Systems) {
    let (recorder, mark) = (Recorder::get(), mark(on));
    let runtime = facade!(on.kind()).hooks(twoply::tracing::console(Hooks::new())).build().unwrap();
    let message = mark.clone();
    let builder = task::Builder::new().name(mark.clone());
    let (release, released) = channel::bounded(1);
    let task = builder.spawn_on(runtime.spawner().backend(), async move {
        for _ in 0..3 {
            future::yield_now().await;
        }
        released.recv().await.unwrap();
        sleep(Duration::from_micros(30)).wait();
        info!("{message}");
    });
    let task = task.unwrap();
    let id = task.id().as_u64().to_string();
    let count =
        |op: &str| recorder.wakers.lock().unwrap().get(&(mark.clone(), op.to_owned())).copied().unwrap_or(0);
    // The channel keeps one clone of its waker. The stack of a native task has none that anybody could see.
    let kept = u32::from(on.kind().is_green());
    while count("waker.clone") - count("waker.drop") < kept || count("waker.wake_by_ref") < 3 * kept {
        sleep(Duration::from_millis(1)).wait();
    }
    release.send(()).wait().unwrap();
    task.wait().unwrap();
    let seen = recorder.event(&mark);
    let [(name, fields)] = &seen.scope[..] else { panic!("{seen:?}") };
    assert_eq!((&**name, &fields["task.name"], &fields["task.id"]), ("runtime.spawn", &mark, &id));
    assert!(fields["loc.file"].ends_with("tracing.rs") && fields["loc.line"].parse::<u32>().is_ok());
    // The last poll is left after the result is given.
    while count("waker.clone") != count("waker.drop") {
        sleep(Duration::from_millis(1)).wait();
    }
    runtime.shutdown(SOON).unwrap();
}
