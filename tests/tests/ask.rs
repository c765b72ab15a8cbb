//! Questions to processes: who waits for an answer gets it or hears why not, whatever happens meanwhile.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::{Builder, Event, ExitReason, Overflow, Process, ProcessRef};
use twoply_core::channel::TrySendError;
use twoply_core::future::{OneOf, select, yield_now};
use twoply_core::promise::{Failure, Resolver};
use twoply_tests::differential::generate::Random;
use twoply_tests::{Gate, Signal, System, Systems, all_are_over, eventually, laws};

laws! {
    and_mixed {
        answers_are_for_those_who_have_asked,
        whoever_asks_the_dying_is_answered_or_told_why,
        a_question_that_is_given_up_leaves_nothing,
        an_answer_that_comes_too_late_is_dropped,
        a_process_that_ends_with_the_question_in_hand_says_why,
    }
    everywhere {
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
        on.here().spawn(async move { asker.ask(|reply| reply).within(Duration::from_millis(5)).await });
    assert!(matches!(answer.wait().unwrap(), Err(Failure::TimedOut)));
    assert_eq!(dropped.count(), 0);
    gate.open();
    assert!(!done.recv().expect("it answers"), "nobody waits for it any more");
    assert_eq!(dropped.count(), 1, "the late answer is gone at once");
    assert!(server.ask(|reply| reply).within(Duration::from_secs(10)).wait().is_ok());
    all_are_over(on);
}

/// It panics, returns, is killed or shut down, with a question in hand and one in line, in async and straight-line code.
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
            for (answer, held) in [(in_hand, true), (in_line, false)] {
                let answer = answer.wait().unwrap();
                // Code that returns drops the question first, and nobody knows yet that it is about to end.
                if held && expected == "no idea" {
                    assert!(matches!(answer, Err(Failure::Broken)));
                    continue;
                }
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
