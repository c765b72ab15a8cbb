//! Questions to processes: who waits for an answer gets it or hears why not, whatever happens meanwhile.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::supervisor::{ChildError, ChildSpec, Shutdown, Supervisor};
use twoply_core::actor::{Actor, Builder, Context, Event, ExitReason, Overflow, Process, ProcessRef};
use twoply_core::channel::{self, TrySendError};
use twoply_core::future::{OneOf, select, yield_now};
use twoply_core::net::{TcpListener, TcpStream};
use twoply_core::promise::{Failure, Resolver};
use twoply_core::time::sleep;
use twoply_tests::differential::generate::Random;
use twoply_tests::{Gate, Signal, System, Systems, all_are_over, eventually, laws};

laws! {
    and_mixed {
        answers_are_for_those_who_have_asked,
        whoever_asks_the_dying_is_answered_or_told_why,
        a_question_that_is_given_up_leaves_nothing,
        an_answer_that_comes_too_late_is_dropped,
        a_process_that_ends_with_the_question_in_hand_says_why,
        an_actor_that_ends_without_an_answer_says_why,
    }
    everywhere {
        whoever_drops_a_question_and_goes_on_breaks_it,
        a_question_that_was_dropped_closes_no_circle,
        a_budget_does_not_decide_what_becomes_of_a_question,
        requests_to_a_supervisor_that_stops_are_told_why,
        a_process_that_drops_a_question_and_lives_breaks_its_promise,
        a_process_that_catches_its_panic_breaks_the_promise,
        a_question_that_is_handed_on_is_answered_by_others,
        a_full_mailbox_refuses_questions,
        the_dead_answer_with_their_reason,
    }
}

/// A number to be doubled, and where the result goes.
struct Double(u32, Resolver<u32>);

/// A process that doubles, and dies of the number 13.
fn doubler(on: &System) -> ProcessRef<Double> {
    let body = async |mut me: Process<Double>| {
        while let Event::Message(Double(n, reply)) = me.receive().await {
            assert_ne!(n, 13, "expected: an unlucky number");
            // Who asked may have given up.
            let _ = reply.resolve(2 * n);
        }
    };
    Builder::new().capacity(4).on(on.backend()).spawn(body).expect("it starts")
}

/// Why there is no answer, if that is because the process has ended.
fn reason<T>(answer: Result<T, Failure>) -> Option<ExitReason> {
    match answer {
        Err(Failure::NoProcess(reason)) => Some(reason),
        _ => None,
    }
}

fn answers_are_for_those_who_have_asked(on: &Systems) {
    let server = doubler(on.there());
    let askers: Vec<_> = (0..8)
        .map(|asker| {
            let server = server.clone();
            let ask = async move {
                for n in (1000 * (asker + 1)..).take(150) {
                    assert_eq!(server.ask(|reply| Double(n, reply)).await.unwrap(), 2 * n);
                }
            };
            match asker % 2 {
                0 => on.here().spawn(ask),
                _ => on.here().spawn_fn(move || ask.wait()),
            }
        })
        .collect();
    for asker in askers {
        asker.wait().unwrap();
    }
    server.exit(ExitReason::Kill);
    all_are_over(on);
}

fn whoever_asks_the_dying_is_answered_or_told_why(on: &Systems) {
    for round in 0..40 {
        let server = doubler(on.there());
        let askers: Vec<_> = (0..4)
            .map(|asker| {
                let server = server.clone();
                on.here().spawn(async move {
                    for n in 14.. {
                        match server.ask(|reply| Double(n, reply)).await {
                            Ok(answer) => assert_eq!(answer, 2 * n),
                            Err(Failure::NoProcess(reason)) => return reason,
                            Err(other) => panic!("asker {asker}: {other:?}"),
                        }
                    }
                    unreachable!("somebody kills the server")
                })
            })
            .collect();
        (0..round % 10).for_each(|_| yield_now().wait());
        std::thread::sleep(Duration::from_micros(20 * round));
        server.exit(ExitReason::other("enough"));
        for asker in askers {
            assert_eq!(asker.wait().unwrap(), ExitReason::other("enough"));
        }
    }
    all_are_over(on);
}

/// Questions are given up while they wait for room, for the process, or for the answer.
fn a_question_that_is_given_up_leaves_nothing(on: &Systems) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let body = async move |mut me: Process<Double>| {
        while let Event::Message(Double(n, reply)) = me.receive().await {
            log.lock().unwrap().push(n);
            yield_now().await;
            let _ = reply.resolve(2 * n);
        }
    };
    let server = Builder::new().capacity(1).on(on.there().backend()).spawn(body).unwrap();
    let askers: Vec<_> = (0..4)
        .map(|asker| {
            let server = server.clone();
            on.here().spawn(async move {
                let mut random = Random::new(asker);
                for n in (1000 * (asker as u32 + 1)..).take(150) {
                    let patience = random.below(6);
                    let given_up = async {
                        for _ in 0..patience {
                            yield_now().await;
                        }
                    };
                    if let OneOf::First(answer) =
                        select((server.ask(|reply| Double(n, reply)), given_up)).await
                    {
                        assert_eq!(answer.unwrap(), 2 * n);
                    }
                }
            })
        })
        .collect();
    for asker in askers {
        asker.wait().unwrap();
    }
    // There is room again, and nobody stands in line.
    assert_eq!(server.ask(|reply| Double(7, reply)).wait().unwrap(), 14);
    assert!(server.is_empty());
    let mut asked = std::mem::take(&mut *asked.lock().unwrap());
    asked.sort_unstable();
    let all = asked.len();
    asked.dedup();
    assert_eq!(asked.len(), all, "each is asked once at most");
    server.exit(ExitReason::Kill);
    all_are_over(on);
}

/// Counts itself when it is dropped; dropping a clone of a [`Signal`] counts nothing.
struct Late(#[expect(dead_code, reason = "it is there to be dropped")] Box<dyn Send + Sync>);

fn an_answer_that_comes_too_late_is_dropped(on: &Systems) {
    let (gate, dropped) = (Gate::new(), Signal::new());
    let (opened, guard) = (gate.opened(), dropped.on_drop());
    let (result, done) = mpsc::channel();
    let body = async move |mut me: Process<Resolver<Late>>| {
        let reply = me.receive().await.message().expect("a question");
        opened.await;
        let wanted = reply.is_wanted();
        let late = reply.resolve(Late(Box::new(guard)));
        drop(late);
        let _ = result.send(wanted);
        // It goes on as if nothing were.
        let reply = me.receive().await.message().expect("another question");
        let _ = reply.resolve(Late(Box::new(())));
    };
    let server = Builder::new().on(on.there().backend()).spawn(body).unwrap();
    let asker = server.clone();
    let answer =
        on.here().spawn(async move { asker.ask(|reply| reply).timeout(Duration::from_millis(5)).await });
    assert!(matches!(answer.wait().unwrap(), Err(Failure::TimedOut)));
    assert_eq!(dropped.count(), 0);
    gate.open();
    assert!(!done.recv().expect("it answers"), "nobody waits for it any more");
    assert_eq!(dropped.count(), 1, "the late answer is gone at once");
    assert!(server.ask(|reply| reply).timeout(Duration::from_secs(10)).wait().is_ok());
    all_are_over(on);
}

/// It panics, returns, is killed or shut down, with a question in hand and one in line, in async and
/// straight-line code.
fn a_process_that_ends_with_the_question_in_hand_says_why(on: &Systems) {
    type Body = fn(Resolver<u32>) -> ExitReason;
    let ways: [(Body, &str); 3] = [
        (|_reply| panic!("expected: in the middle"), "in the middle"),
        (|_reply| ExitReason::other("no idea"), "no idea"),
        (
            |_reply| {
                std::future::pending::<()>().wait();
                ExitReason::Normal
            },
            "enough",
        ),
    ];
    for (way, expected) in ways {
        for straight in [false, true] {
            let received = Signal::new();
            let mark = received.clone();
            let builder = Builder::<Resolver<u32>>::new().on(on.there().backend());
            let server = match straight {
                true => builder.spawn_fn(move |mut me| {
                    let question = me.receive().wait().message().expect("a question");
                    mark.add();
                    way(question)
                }),
                false => builder.spawn(async move |mut me: Process<Resolver<u32>>| {
                    let question = me.receive().await.message().expect("a question");
                    mark.add();
                    way(question)
                }),
            };
            let server = server.expect("it starts");
            let asker = server.clone();
            let (first, asker_2) = (server.clone(), server.clone());
            let in_hand = on.here().spawn(async move { asker.ask(|reply| reply).await });
            eventually("it is asked", || received.count() == 1 || first.is_closed());
            // This one stays in the mailbox.
            let in_line = on.here().spawn(async move { asker_2.ask(|reply| reply).await });
            if expected == "enough" {
                eventually("both have asked", || server.len() == 1);
                server.exit(ExitReason::other("enough"));
            }
            for answer in [in_hand, in_line] {
                let answer = answer.wait().unwrap();
                let text = format!("{answer:?}");
                let reason =
                    reason(answer).unwrap_or_else(|| panic!("{expected}, straight {straight}: {text}"));
                assert!(reason.to_string().contains(expected), "{reason:?} instead of {expected}");
            }
        }
    }
    let doomed = on.kind().build();
    let received = Signal::new();
    let mark = received.clone();
    let body = async move |mut me: Process<Resolver<u32>>| {
        let _question = me.receive().await;
        mark.add();
        std::future::pending::<()>().await;
    };
    let server = Builder::new().on(doomed.backend()).spawn(body).expect("it starts");
    let asker = server.clone();
    let answer = on.there().spawn(async move { asker.ask(|reply| reply).await });
    eventually("it is asked", || received.count() == 1);
    doomed.shutdown(Duration::from_secs(10)).expect("it ends");
    assert_eq!(reason(answer.wait().unwrap()), Some(ExitReason::Shutdown));
    all_are_over(on);
}

/// What an actor does with a question.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Fails at once.
    Fail,
    /// Fails after having waited.
    FailLater,
    /// Leaves it to a function that fails.
    Pass,
    /// Panics.
    Panic,
    /// Stops, and drops it.
    Stop,
    /// Keeps it for later, and fails at the next message.
    Defer,
    /// Keeps it for later, and stops at the next message.
    DeferAndStop,
}

const WAYS: [Way; 7] =
    [Way::Fail, Way::FailLater, Way::Pass, Way::Panic, Way::Stop, Way::Defer, Way::DeferAndStop];

/// An actor that never answers.
struct Silent {
    /// The questions that it keeps for later.
    deferred: Vec<Resolver<()>>,
    /// What happens to them in `stopped`: they are dropped, and it waits.
    clears: bool,
}

impl Actor for Silent {
    type Message = (Way, Resolver<()>);
    type Error = ExitReason;

    async fn handle(
        &mut self,
        (way, reply): (Way, Resolver<()>),
        cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        async fn pass(_reply: Resolver<()>) -> Result<(), ExitReason> {
            Err(ExitReason::other("no idea"))
        }
        match way {
            Way::Fail => Err(ExitReason::other("no idea"))?,
            Way::FailLater => {
                yield_now().await;
                sleep(Duration::from_micros(10)).wait();
                Err(ExitReason::other("no idea"))?;
            }
            Way::Pass => pass(reply).await?,
            Way::Panic => panic!("expected: no idea"),
            Way::Stop => cx.stop_with(ExitReason::other("no idea")),
            Way::Defer | Way::DeferAndStop => {
                let first = self.deferred.is_empty();
                self.deferred.push(reply);
                match way {
                    _ if first => {}
                    Way::Defer => Err(ExitReason::other("no idea"))?,
                    _ => cx.stop_with(ExitReason::other("no idea")),
                }
            }
        }
        Ok(())
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
        if self.clears {
            self.deferred.clear();
        }
        yield_now().await;
        sleep(Duration::from_micros(10)).await;
    }
}

fn an_actor_that_ends_without_an_answer_says_why(on: &Systems) {
    for way in WAYS {
        for clears in [false, true] {
            let builder = Builder::new().on(on.there().backend());
            let actor = builder.spawn_actor(Silent { deferred: Vec::new(), clears }).unwrap();
            let answers = [actor.try_ask(|reply| (way, reply)), actor.try_ask(|reply| (way, reply))];
            for answer in answers.into_iter().flatten() {
                let answer = on.here().spawn(answer).wait().unwrap();
                let text = format!("{answer:?}");
                let told = reason(answer).unwrap_or_else(|| panic!("{way:?}, {clears}: {text}"));
                assert!(told.to_string().contains("no idea"), "{way:?}, {clears}: {told}");
            }
        }
    }
    all_are_over(on);
}

/// It waits, in each of the ways there are, or is busy, but looks into its mailbox.
fn whoever_drops_a_question_and_goes_on_breaks_it(on: &Systems) {
    type Body = fn(&mut Process<Resolver<()>>, &Gate);
    let ways: [(&str, Body); 6] =
        [
            ("blocks", |_, gate| gate.opened().wait()),
            ("blocks within a poll", |_, gate| {
                poll_fn(|_| {
                    gate.opened().wait();
                    Poll::Ready(())
                })
                .wait()
            }),
            ("waits for the mailbox", |me, _| drop(me.receive_match(|event| !event.is_message()).wait())),
            ("is busy, and looks", |me, gate| while !gate.is_open() && me.try_receive().is_none() {}),
            ("is busy, and looks for some", |me, gate| {
                while !gate.is_open() && me.try_receive_match(|_| true).is_none() {}
            }),
            ("reads", |_, gate| {
                let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
                let mut ours = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
                let (theirs, _) = listener.accept().wait().unwrap();
                let gate = gate.opened();
                std::thread::spawn(move || {
                    gate.wait();
                    drop(theirs);
                });
                let _ = std::io::Read::read(&mut ours, &mut [0]);
            }),
        ];
    for (name, way) in ways {
        for straight in [true, false] {
            let gate = Gate::new();
            let (opened, other) = (gate.clone(), gate.clone());
            let builder = Builder::new().trap_exit(true).on(on.here().backend());
            let server = match straight {
                true => builder.spawn_fn(move |mut me| {
                    drop(me.receive().wait());
                    way(&mut me, &opened);
                }),
                false => builder.spawn(async move |mut me: Process<Resolver<()>>| {
                    drop(me.receive().await);
                    if name == "blocks" {
                        other.opened().await;
                    } else {
                        way(&mut me, &opened);
                    }
                }),
            };
            let server = server.unwrap();
            let answer = server.ask(|reply| reply).wait();
            assert!(matches!(answer, Err(Failure::Broken)), "{name}, straight {straight}: {answer:?}");
            assert!(server.pid().is_alive_here(), "{name}, straight {straight}: it has gone on");
            gate.open();
            server.exit(ExitReason::Shutdown);
            server.ended().wait();
        }
    }
    all_are_over(on);
}

/// Who has asked is asked in turn: by the one who has just dropped the question.
fn a_question_that_was_dropped_closes_no_circle(on: &Systems) {
    type Question = Resolver<u32>;
    for straight in [true, false] {
        let (result, done) = mpsc::channel();
        let other = Builder::<(ProcessRef<Question>, Question)>::new().on(on.here().backend());
        let other = match straight {
            true => other.spawn_fn(move |mut me| {
                let (asker, reply) = me.receive().wait().message().expect("a question");
                drop(reply);
                let _ = result.send(asker.ask(|reply| reply).wait());
            }),
            false => other.spawn(async move |mut me: Process<(ProcessRef<Question>, Question)>| {
                let (asker, reply) = me.receive().await.message().expect("a question");
                drop(reply);
                let _ = result.send(asker.ask(|reply| reply).await);
            }),
        };
        let other = other.unwrap();
        let asker = Builder::<Question>::new().on(on.here().backend());
        let asker = asker.spawn(async move |mut me: Process<Question>| {
            let myself = me.me();
            assert!(matches!(other.ask(|reply| (myself, reply)).await, Err(Failure::Broken)));
            let reply = me.receive().await.message().expect("a question in turn");
            let _ = reply.resolve(7);
        });
        assert_eq!(done.recv().unwrap().unwrap(), 7);
        assert_eq!(asker.unwrap().ended().wait(), ExitReason::Normal);
    }
    all_are_over(on);
}

/// Wherever in a process's poll the budget runs out: between the drop and the end, too.
fn a_budget_does_not_decide_what_becomes_of_a_question(on: &Systems) {
    for operations in (0..8).chain(110..140) {
        let (tx, rx) = channel::unbounded();
        (0..operations + 2).for_each(|n| tx.try_send(n).unwrap());
        let server = Builder::new().on(on.here().backend());
        let server = server.spawn(async move |mut me: Process<Resolver<()>>| {
            let question = me.receive().await;
            for _ in 0..operations {
                rx.recv().await.unwrap();
            }
            drop(question);
            rx.recv().await.unwrap();
            rx.recv().await.unwrap();
            ExitReason::other("no idea")
        });
        let answer = server.unwrap().ask(|reply| reply).wait();
        let text = format!("{answer:?}");
        assert_eq!(reason(answer), Some(ExitReason::other("no idea")), "{operations}: {text}");
    }
    // One that is never done with what it does has gone on.
    let gate = Gate::new();
    let opened = gate.clone();
    let busy = Builder::new().on(on.here().backend());
    let busy = busy.spawn(async move |mut me: Process<Resolver<()>>| {
        let (tx, rx) = channel::unbounded();
        drop(me.receive().await);
        while !opened.is_open() {
            tx.try_send(()).unwrap();
            rx.recv().await.unwrap();
        }
    });
    let answer = busy.unwrap().ask(|reply| reply).wait();
    gate.open();
    assert!(matches!(answer, Err(Failure::Broken)), "{answer:?}");
    all_are_over(on);
}

fn requests_to_a_supervisor_that_stops_are_told_why(on: &Systems) {
    let (asked_to_stop, gate) = (Signal::new(), Gate::new());
    let (mark, opened) = (asked_to_stop.clone(), gate.clone());
    let slow = ChildSpec::process("slow", move |mut me: Process<()>| {
        let (mark, gate) = (mark.clone(), opened.clone());
        async move {
            me.receive().await;
            mark.add();
            gate.opened().await;
        }
    });
    let slow = slow.settings(|builder| builder.trap_exit(true)).shutdown(Shutdown::Infinity);
    let supervisor = Supervisor::one_for_one().child(slow).on(on.here().backend()).start().wait().unwrap();
    let (first, second, third) = (supervisor.clone(), supervisor.clone(), supervisor.clone());
    let stopped = on.here().spawn(async move { first.stop().await });
    eventually("it stops its child", || asked_to_stop.count() == 1);
    let terminated = on.here().spawn(async move { second.terminate_child("slow").await });
    let counted = on.here().spawn(async move { third.count().await });
    for _ in 0..50 {
        yield_now().wait();
    }
    gate.open();
    assert_eq!(stopped.wait().unwrap(), ExitReason::Normal);
    let terminated = terminated.wait().unwrap();
    assert!(matches!(terminated, Err(ChildError::Ended(ExitReason::Normal))), "{terminated:?}");
    assert_eq!(reason(counted.wait().unwrap()), Some(ExitReason::Normal));
    all_are_over(on);
}

fn a_process_that_drops_a_question_and_lives_breaks_its_promise(on: &Systems) {
    let body = async |mut me: Process<Resolver<u32>>| while me.receive().await.is_message() {};
    let server = Builder::new().on(on.here().backend()).spawn(body).unwrap();
    assert!(matches!(server.ask(|reply| reply).wait(), Err(Failure::Broken)));
    server.exit(ExitReason::Kill);
    all_are_over(on);
}

fn a_process_that_catches_its_panic_breaks_the_promise(on: &Systems) {
    let body = |mut me: Process<Resolver<u32>>| {
        while let Some(reply) = me.receive().wait().message() {
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                let _reply = reply;
                panic!("expected: caught");
            }));
            assert!(panicked.is_err());
        }
    };
    let server = Builder::new().on(on.here().backend()).spawn_fn(body).unwrap();
    for _ in 0..2 {
        assert!(matches!(server.ask(|reply| reply).wait(), Err(Failure::Broken)), "it lives on");
    }
    server.exit(ExitReason::Kill);
    all_are_over(on);
}

fn a_question_that_is_handed_on_is_answered_by_others(on: &Systems) {
    let worker = doubler(on.here());
    let (to, target) = (worker.clone(), worker.clone());
    let desk = async move |mut me: Process<Double>| {
        while let Event::Message(question) = me.receive().await {
            to.send(question).await.unwrap();
        }
    };
    let desk = Builder::new().on(on.here().backend()).spawn(desk).unwrap();
    assert_eq!(desk.ask(|reply| Double(4, reply)).wait().unwrap(), 8);
    // Two race for one answer: the first counts, and nobody hears of the other.
    let answer = target.ask(|reply| {
        assert!(worker.try_send(Double(5, reply.clone())).is_ok());
        Double(5, reply)
    });
    assert_eq!(answer.wait().unwrap(), 10);
    desk.exit(ExitReason::Kill);
    target.exit(ExitReason::Kill);
    all_are_over(on);
}

fn a_full_mailbox_refuses_questions(on: &Systems) {
    let gate = Gate::new();
    let opened = gate.opened();
    let body = async move |mut me: Process<Double>| {
        opened.await;
        while let Event::Message(Double(n, reply)) = me.receive().await {
            let _ = reply.resolve(2 * n);
        }
    };
    let server =
        Builder::new().capacity(2).overflow(Overflow::Fail).on(on.here().backend()).spawn(body).unwrap();
    let answers = [1, 2].map(|n| server.try_ask(|reply| Double(n, reply)).expect("there is room"));
    match server.try_ask(|reply| Double(3, reply)) {
        Err(TrySendError::Full(Double(3, reply))) => assert!(!reply.is_wanted()),
        other => panic!("{:?}", other.map(|_| ())),
    }
    assert!(matches!(server.ask(|reply| Double(3, reply)).wait(), Err(Failure::Overloaded)));
    gate.open();
    assert_eq!(answers.map(|answer| answer.wait().unwrap()), [2, 4]);
    server.exit(ExitReason::Kill);
    all_are_over(on);
}

fn the_dead_answer_with_their_reason(on: &Systems) {
    let server = doubler(on.here());
    let first = server.ask(|reply| Double(13, reply)).wait();
    assert!(reason(first).is_some_and(|reason| reason.to_string().contains("unlucky")));
    let later = server.ask(|reply| Double(1, reply)).wait();
    assert!(reason(later).is_some_and(|reason| reason.to_string().contains("unlucky")));
    assert!(matches!(server.try_ask(|reply| Double(1, reply)), Err(TrySendError::Closed(Double(1, _)))));
    all_are_over(on);
}
