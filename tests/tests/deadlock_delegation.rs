//! A process that passes a question on, with no word to anybody, and then waits for whoever has asked: nobody
//! is told of a deadlock, for somebody else answers. One that has passed nothing on is told.

use std::collections::HashMap;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use twoply_core::actor::{self, Active, Event, ExitReason, Process, ProcessRef, Timer};
use twoply_core::backend::Backend;
use twoply_core::channel::{self, oneshot};
use twoply_core::promise::{self, Failure, Resolver};
use twoply_core::{Wait, task};
use twoply_tests::{Gate, Systems, laws};

laws! {
    and_mixed {
        who_has_passed_a_question_on_may_wait_for_its_client,
        who_passes_a_kept_question_on_may_wait_for_its_client,
        who_has_passed_nothing_on_is_told,
    }
}

/// What the process gets that passes questions on.
enum Request {
    /// A question.
    Question(Resolver<u32>),
    /// What has been asked is passed on now.
    PassOn,
    /// Somebody asks for work.
    Work(Resolver<Resolver<u32>>),
}

/// What the process gets that answers them.
enum Work {
    /// A question to answer.
    Answer(Resolver<u32>),
    /// A question to answer, and one that asks whether it has come.
    Confirm(Resolver<u32>, Resolver<()>),
}

/// Answers a question once the gate is open.
async fn answer(question: Resolver<u32>, gate: Gate) {
    gate.opened().await;
    question.resolve(7).unwrap();
}

/// What a process may pass a question on with.
struct Ways {
    /// Another process.
    worker: ProcessRef<Work>,
    /// Tasks of this backend are on the other side.
    there: Arc<dyn Backend>,
    /// Opened when the process waits for its client.
    gate: Gate,
    /// Kept until they are over.
    timers: Vec<Timer>,
    /// Kept until it is over.
    active: Active<Vec<Resolver<u32>>>,
}

type Passing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Passes a resolver on in one of the ways.
type Way = fn(&mut Ways, Resolver<u32>) -> Passing;

/// Every way to pass a question on.
const WAYS: [(&str, Way); 12] = [
    ("try_send", |ways, question| {
        ways.worker.try_send(Work::Answer(question)).ok().unwrap();
        Box::pin(async {})
    }),
    ("send", |ways, question| {
        let worker = ways.worker.clone();
        Box::pin(async move { worker.send(Work::Answer(question)).await.ok().unwrap() })
    }),
    ("urgent", |ways, question| {
        ways.worker.urgent().try_send(Work::Answer(question)).ok().unwrap();
        Box::pin(async {})
    }),
    ("ask", |ways, question| {
        let worker = ways.worker.clone();
        Box::pin(async move { worker.ask(|reply| Work::Confirm(question, reply)).await.unwrap() })
    }),
    ("send_after", |ways, question| {
        ways.timers.push(ways.worker.send_after(Duration::ZERO, Work::Answer(question)));
        Box::pin(async {})
    }),
    ("channel", |ways, question| {
        let ((tx, rx), gate) = (channel::unbounded(), ways.gate.clone());
        start(ways, async move { answer(rx.recv().await.unwrap(), gate).await });
        tx.try_send(question).ok().unwrap();
        Box::pin(async {})
    }),
    ("bounded channel", |ways, question| {
        let ((tx, rx), gate) = (channel::bounded(1), ways.gate.clone());
        start(ways, async move { answer(rx.recv().await.unwrap(), gate).await });
        Box::pin(async move { tx.send(question).await.ok().unwrap() })
    }),
    ("rendezvous", |ways, question| {
        let ((tx, rx), gate) = (channel::rendezvous(), ways.gate.clone());
        start(ways, async move { answer(rx.recv().await.unwrap(), gate).await });
        Box::pin(async move { tx.send(question).await.ok().unwrap() })
    }),
    ("oneshot", |ways, question| {
        let ((tx, rx), gate) = (oneshot::channel(), ways.gate.clone());
        start(ways, async move { answer(rx.await.unwrap(), gate).await });
        tx.send(question).ok().unwrap();
        Box::pin(async {})
    }),
    ("task", |ways, question| {
        start(ways, answer(question, ways.gate.clone()));
        Box::pin(async {})
    }),
    ("process", |ways, question| {
        let (gate, builder) = (ways.gate.clone(), actor::Builder::new().on(&ways.there));
        builder.spawn(async move |_: Process<()>| answer(question, gate).await).unwrap();
        Box::pin(async {})
    }),
    ("active value", |ways, question| {
        ways.active.try_send(|kept| kept.push(question)).unwrap();
        let gate = ways.gate.clone();
        let answered = ways.active.ask_async(async move |kept: &mut Vec<Resolver<u32>>| {
            for question in kept.drain(..) {
                answer(question, gate.clone()).await;
            }
        });
        drop(answered);
        Box::pin(async {})
    }),
];

fn start(ways: &Ways, future: impl Future<Output = ()> + Send + 'static) {
    task::Builder::new().spawn_on(&ways.there, future).unwrap().detach();
}

fn ways(on: &Systems, gate: &Gate) -> Ways {
    let waits = gate.clone();
    let worker = actor::Builder::new().on(on.there().backend()).spawn(async move |mut me: Process<Work>| {
        while let Event::Message(work) = me.receive().await {
            let question = match work {
                Work::Answer(question) => question,
                Work::Confirm(question, reply) => {
                    reply.resolve(()).unwrap();
                    question
                }
            };
            answer(question, waits.clone()).await;
        }
    });
    let active = Active::builder().on(on.there().backend()).build(Vec::new());
    let there = on.there().backend().clone();
    Ways { worker: worker.unwrap(), there, gate: gate.clone(), timers: Vec::new(), active }
}

/// What brings a kept question to whoever answers it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kept {
    /// It is not kept.
    No,
    /// Another message.
    TillToldSo,
    /// The question of somebody who asks for work.
    TillAskedFor,
}

/// Has a client ask a process that passes the question on by `pass`, and then waits for the client.
fn check(on: &Systems, name: &str, pass: fn(&mut Ways, Resolver<u32>) -> Passing, kept: Kept) {
    for straight in [false, true] {
        let gate = Gate::new();
        let (promise, owed) = promise::pair::<u32>();
        let mut ways = ways(on, &gate);
        let (worker, waits) = (ways.worker.clone(), gate.clone());
        let body = async move |mut me: Process<Request>| {
            let mut questions = HashMap::new();
            while let Event::Message(request) = me.receive().await {
                match request {
                    Request::Question(question) if kept == Kept::No => pass(&mut ways, question).await,
                    Request::Question(question) => {
                        questions.insert("client", question);
                        continue;
                    }
                    Request::PassOn => pass(&mut ways, questions.remove("client").unwrap()).await,
                    Request::Work(reply) => {
                        assert!(reply.resolve(questions.remove("client").unwrap()).is_ok());
                    }
                }
                break;
            }
            // It waits for its client, who waits for somebody else.
            assert_eq!(gate.open_when_polled(promise.into_future()).await.unwrap(), 8);
        };
        let builder = actor::Builder::new().on(on.here().backend());
        let server = match straight {
            true => builder.spawn_fn(move |me| body(me).wait()),
            false => builder.spawn(body),
        };
        let server = server.unwrap();
        let (asked, client) = (Gate::new(), server.clone());
        let has_asked = asked.clone();
        let client = on.there().spawn(async move {
            owed.set_current_owner();
            let answer = has_asked.open_when_polled(client.ask(Request::Question)).await;
            owed.resolve(answer.as_ref().map_or(0, |answer| answer + 1)).unwrap();
            answer
        });
        asked.opened().wait();
        match kept {
            Kept::No => {}
            Kept::TillToldSo => server.try_send(Request::PassOn).ok().unwrap(),
            Kept::TillAskedFor => {
                let question = server.ask(Request::Work).wait().unwrap();
                on.there().spawn(answer(question, waits)).detach();
            }
        }
        assert_eq!(client.wait().unwrap().unwrap(), 7, "{name}, straight: {straight}");
        assert_eq!(server.ended().wait(), ExitReason::Normal, "{name}, straight: {straight}");
        worker.exit(ExitReason::Kill);
    }
}

fn who_has_passed_a_question_on_may_wait_for_its_client(on: &Systems) {
    for (name, pass) in WAYS {
        check(on, name, pass, Kept::No);
    }
}

fn who_passes_a_kept_question_on_may_wait_for_its_client(on: &Systems) {
    for (name, pass) in WAYS {
        check(on, name, pass, Kept::TillToldSo);
    }
    check(on, "work", |_, _| unreachable!(), Kept::TillAskedFor);
}

/// A process asks another one, which asks the first. Each has told somebody of the question before.
fn who_has_passed_nothing_on_is_told(on: &Systems) {
    /// Asks the first of these to ask the others, and answers with what comes of that.
    struct Turn(Vec<ProcessRef<Turn>>, Resolver<Result<(), Failure>>);
    let log = actor::Builder::new().on(on.here().backend()).spawn(async |mut me: Process<String>| {
        while let Event::Message(line) = me.receive().await {
            drop(line);
        }
    });
    let log = log.unwrap();
    let [a, b] = [on.here(), on.there()].map(|system| {
        let log = log.clone();
        let body = async move |mut me: Process<Turn>| {
            while let Event::Message(Turn(mut others, reply)) = me.receive().await {
                let told = match others.pop() {
                    Some(other) => other.ask(|reply| Turn(others, reply)).await.and_then(|told| told),
                    None => Ok(()),
                };
                reply.resolve(told).unwrap();
                // From the next question on it has passed on nothing again.
                log.try_send("answered".to_owned()).unwrap();
            }
        };
        actor::Builder::new().on(system.backend()).spawn(body).unwrap()
    });
    for _ in 0..5 {
        for (one, other) in [(&a, &b), (&b, &a)] {
            let others = vec![one.clone(), other.clone()];
            let told = one.ask(|reply| Turn(others, reply)).wait().unwrap();
            assert!(matches!(told, Err(Failure::Deadlock(_))), "{told:?}");
            for process in [&a, &b] {
                process.ask(|reply| Turn(Vec::new(), reply)).wait().unwrap().unwrap();
            }
        }
    }
    for process in [&a, &b] {
        process.exit(ExitReason::Kill);
    }
    log.exit(ExitReason::Kill);
}
