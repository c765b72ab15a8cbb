//! Waiting in a circle: found where it is, and nowhere else.

use std::future::IntoFuture;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use twoply_core::actor::{self, Event, ExitReason, Process, ProcessRef};
use twoply_core::future::{OneOf, any, join, join_all, race, race_all, select};
use twoply_core::promise::{self, Failure, Promise, Resolver};
use twoply_core::task::Task;
use twoply_core::time::sleep;
use twoply_core::{Wait, channel};
use twoply_tests::{Gate, Systems, eventually, laws, start_named};

laws! {
    and_mixed {
        a_task_that_waits_for_itself_is_told,
        of_two_who_wait_for_each_other_one_is_told,
        a_circle_of_three_is_named_in_order,
        two_who_close_a_circle_at_once_are_told_apart,
        a_circle_through_handles_of_tasks_is_found,
        a_circle_through_derived_promises_is_found,
        whoever_closes_a_circle_is_told,
        whoever_is_handed_a_promise_that_it_waits_for_is_told,
        long_chains_without_a_circle_come_out,
        processes_that_ask_in_a_circle_are_told,
        who_hands_a_question_on_does_not_owe_the_answer,
    }
    everywhere {
        a_wait_in_a_wait_counts,
        a_wait_with_an_alternative_does_not_count,
        the_last_member_of_a_join_counts_and_the_others_do_not,
        what_is_over_does_not_count,
        a_wait_that_was_given_up_does_not_count,
        a_promise_that_nobody_is_known_to_owe_does_not_count,
        who_disowns_a_promise_does_not_owe_it,
        the_one_who_is_told_may_resolve_the_others,
        tasks_that_ask_each_other_in_turns_are_never_told,
    }
}

/// How long what is not found is given.
const A_WHILE: Duration = Duration::from_millis(20);

/// Adopts what it owes, waits till all others have, and then waits for what it wants.
async fn adopt_then_wait(
    owes: Resolver<u32>,
    wants: Promise<u32>,
    ready: channel::Sender<()>,
    go: Gate,
) -> Result<u32, Failure> {
    owes.set_current_owner();
    ready.send(()).await.unwrap();
    go.opened().await;
    let value = wants.await?;
    owes.resolve(value + 1).unwrap();
    Ok(value)
}

/// Starts a circle of tasks, each of which waits for the next, by turns here and there, and returns what they
/// come to.
fn circle(on: &Systems, names: &[&str], straight: bool) -> Vec<Result<u32, Failure>> {
    let (ready, all_ready) = channel::unbounded();
    let go = Gate::new();
    let (promises, resolvers): (Vec<_>, Vec<_>) = names.iter().map(|_| promise::pair()).unzip();
    let tasks: Vec<_> = resolvers
        .into_iter()
        .enumerate()
        .map(|(n, owes)| {
            let wants = promises[(n + 1) % names.len()].clone();
            let system = if n % 2 == 0 { on.here() } else { on.there() };
            start_named(system, straight, names[n], adopt_then_wait(owes, wants, ready.clone(), go.clone()))
        })
        .collect();
    for _ in names {
        all_ready.recv().wait().unwrap();
    }
    go.open();
    tasks.into_iter().map(|task| task.wait().unwrap()).collect()
}

/// The names in the only deadlock among `results`; all others are broken by it.
fn cycle_in(results: &[Result<u32, Failure>]) -> String {
    let mut found = None;
    for result in results {
        match result {
            Err(Failure::Deadlock(cycle)) => {
                assert!(found.replace(cycle.to_string()).is_none(), "two are told: {results:?}");
            }
            Err(Failure::Broken) => {}
            other => panic!("{other:?} in a circle"),
        }
    }
    found.expect("nobody is told")
}

/// Both ways to wait.
const STRAIGHT: [bool; 2] = [false, true];

fn a_task_that_waits_for_itself_is_told(on: &Systems) {
    for straight in STRAIGHT {
        assert_eq!(cycle_in(&circle(on, &["narcissus"], straight)), "narcissus -> narcissus");
    }
}

fn of_two_who_wait_for_each_other_one_is_told(on: &Systems) {
    for straight in STRAIGHT {
        let cycle = cycle_in(&circle(on, &["ann", "bob"], straight));
        assert!(["ann -> bob -> ann", "bob -> ann -> bob"].contains(&&*cycle), "{cycle}");
    }
}

fn a_circle_of_three_is_named_in_order(on: &Systems) {
    for straight in STRAIGHT {
        let cycle = cycle_in(&circle(on, &["a", "b", "c"], straight));
        assert!(["a -> b -> c -> a", "b -> c -> a -> b", "c -> a -> b -> c"].contains(&&*cycle), "{cycle}");
    }
}

fn two_who_close_a_circle_at_once_are_told_apart(on: &Systems) {
    for round in 0..50 {
        cycle_in(&circle(on, &["ann", "bob"], round % 2 == 0));
        cycle_in(&circle(on, &["a", "b", "c", "d"], round % 2 == 0));
    }
}

fn a_circle_through_handles_of_tasks_is_found(on: &Systems) {
    for straight in STRAIGHT {
        let (give, given) = channel::unbounded::<Task<()>>();
        let inner = start_named(on.here(), straight, "inner", async move {
            let outer = given.recv().await.unwrap();
            outer.await
        });
        let outer = start_named(on.there(), straight, "outer", async move {
            let _ = inner.await;
        });
        let waiting = outer.task();
        give.try_send(outer).unwrap();
        // One of the two is told, and the other then gets what it waits for.
        eventually("the circle is broken", || waiting.is_finished());
    }
}

fn a_circle_through_derived_promises_is_found(on: &Systems) {
    for straight in STRAIGHT {
        let (first, owed_first) = promise::pair::<u32>();
        let (second, owed_second) = promise::pair::<u32>();
        let (ready, both_ready) = channel::unbounded();
        let go = Gate::new();
        let wants = first.map(|n| n + 1).then(|n| async move { Ok(n + 1) });
        let ann = start_named(
            on.here(),
            straight,
            "ann",
            adopt_then_wait(owed_second, wants, ready.clone(), go.clone()),
        );
        let bob =
            start_named(on.there(), straight, "bob", adopt_then_wait(owed_first, second, ready, go.clone()));
        both_ready.recv().wait().unwrap();
        both_ready.recv().wait().unwrap();
        go.open();
        cycle_in(&[ann.wait().unwrap(), bob.wait().unwrap()]);
    }
}

fn whoever_closes_a_circle_is_told(on: &Systems) {
    for straight in [false, true] {
        let (to_ann, from_bob) = promise::pair::<u32>();
        let (to_bob, from_ann) = promise::pair::<u32>();
        let ann_waits = Gate::new();
        let waits = ann_waits.opened();
        let ann = start_named(on.here(), straight, "ann", async move {
            from_ann.set_current_owner();
            let told = ann_waits.open_when_polled(to_ann.into_future()).await;
            from_ann.resolve(1).unwrap();
            told
        });
        let bob = start_named(on.there(), straight, "bob", async move {
            from_bob.set_current_owner();
            waits.await;
            let told = to_bob.await;
            from_bob.resolve(2).unwrap();
            told
        });
        let told = bob.wait().unwrap();
        assert!(
            matches!(&told, Err(Failure::Deadlock(cycle)) if cycle.to_string() == "bob -> ann -> bob"),
            "{told:?}"
        );
        assert_eq!(ann.wait().unwrap().unwrap(), 2);
    }
}

fn whoever_is_handed_a_promise_that_it_waits_for_is_told(on: &Systems) {
    // Nobody can see from outside that a task waits already. If it does not, it is told when it comes to.
    for pause in [0, 1, 5, 25].map(Duration::from_millis) {
        let (promise, resolver) = promise::pair::<u32>();
        let wants = promise.clone();
        let waiting = start_named(on.here(), false, "ann", async move { wants.await });
        sleep(pause).wait();
        resolver.set_owner(&waiting.task());
        let Err(Failure::Deadlock(cycle)) = waiting.wait().unwrap() else { panic!("it was not told") };
        assert_eq!(cycle.tasks().collect::<Vec<_>>(), ["ann"]);
        resolver.resolve(7).unwrap();
        assert_eq!(promise.wait().unwrap(), 7, "its wait is refused, and nobody else's");
    }
}

fn long_chains_without_a_circle_come_out(on: &Systems) {
    const LENGTH: u32 = 50;
    let (mut wants, end) = promise::pair();
    let mut tasks = Vec::new();
    for n in 0..LENGTH {
        let (promise, owes) = promise::pair();
        let system = if n % 2 == 0 { on.here() } else { on.there() };
        let before = std::mem::replace(&mut wants, promise);
        tasks.push(start_named(system, n % 3 == 0, "link", async move {
            owes.set_current_owner();
            let value = before.await.unwrap();
            owes.resolve(value + 1).unwrap();
        }));
    }
    end.resolve(0).unwrap();
    assert_eq!(wants.wait().unwrap(), LENGTH);
    for task in tasks {
        task.wait().unwrap();
    }
}

/// Asks the first of `to`, who asks the others in turn, and replies with what the last one says.
struct Relay {
    /// Who is left to ask.
    to: Vec<ProcessRef<Relay>>,
    /// Where the reply goes.
    reply: Resolver<String>,
}

async fn relay(Relay { mut to, reply }: Relay) {
    let text = match to.is_empty() {
        true => "there".to_owned(),
        false => {
            let next = to.remove(0);
            match next.ask(|reply| Relay { to, reply }).await {
                Err(Failure::Deadlock(cycle)) => cycle.to_string(),
                text => text.unwrap(),
            }
        }
    };
    reply.resolve(text).unwrap();
}

fn processes_that_ask_in_a_circle_are_told(on: &Systems) {
    for straight in STRAIGHT {
        let process = |n: usize, name: &'static str| {
            let system = if n.is_multiple_of(2) { on.here() } else { on.there() };
            let builder = actor::Builder::new().name(name).on(system.backend());
            let process = match straight {
                true => builder.spawn_fn(|mut me: Process<Relay>| {
                    while let Event::Message(message) = me.receive().wait() {
                        relay(message).wait();
                    }
                }),
                false => builder.spawn(async |mut me: Process<Relay>| {
                    while let Event::Message(message) = me.receive().await {
                        relay(message).await;
                    }
                }),
            };
            process.unwrap()
        };
        let [a, b, c] = [(0, "a"), (1, "b"), (2, "c")].map(|(n, name)| process(n, name));
        let ask = |first: &ProcessRef<Relay>, to: &[&ProcessRef<Relay>]| {
            let to = to.iter().map(|&process| process.clone()).collect();
            first.ask(|reply| Relay { to, reply }).wait().unwrap()
        };
        assert_eq!(ask(&a, &[&a]), "a -> a");
        // Who is asked may go on before who asks has begun to wait: any of them may be the one who closes the
        // circle.
        let pair = ask(&a, &[&b, &a]);
        assert!(["b -> a -> b", "a -> b -> a"].contains(&&*pair), "{pair}");
        let three = ask(&a, &[&b, &c, &a]);
        assert!(["c -> a -> b -> c", "b -> c -> a -> b", "a -> b -> c -> a"].contains(&&*three), "{three}");
        assert_eq!(ask(&a, &[&b, &c]), "there");
        for process in [a, b, c] {
            process.exit(ExitReason::Kill);
        }
    }
}

fn who_hands_a_question_on_does_not_owe_the_answer(on: &Systems) {
    let gate = Gate::new();
    let opened = gate.opened();
    let worker = actor::Builder::new().on(on.there().backend());
    let worker = worker.spawn(async |mut me: Process<Resolver<u32>>| {
        let Event::Message(reply) = me.receive().await else { return };
        opened.await;
        reply.resolve(7).unwrap();
    });
    let worker = worker.unwrap();
    let (promise, owed) = promise::pair::<u32>();
    let server = actor::Builder::new().on(on.here().backend());
    let server = server.spawn(async move |mut me: Process<Resolver<u32>>| {
        let Event::Message(reply) = me.receive().await else { return };
        reply.set_owner(&worker);
        worker.send(reply).await.unwrap();
        // It waits for its client, who waits for the worker.
        let waiting = promise.into_future();
        gate.open();
        assert_eq!(waiting.await.unwrap(), 8);
    });
    let server = server.unwrap();
    let client = on.there().spawn(async move {
        owed.set_current_owner();
        let answer = server.ask(|reply| reply).await.unwrap();
        owed.resolve(answer + 1).unwrap();
        answer
    });
    assert_eq!(client.wait().unwrap(), 7);
}

fn a_wait_in_a_wait_counts(on: &Systems) {
    let (promise, resolver) = promise::pair::<u32>();
    let task = on.here().spawn(async move {
        resolver.set_current_owner();
        // It blocks the whole stack, whatever else the select could do.
        select((async { promise.wait() }, sleep(Duration::from_secs(60)))).await
    });
    let task = task.wait().unwrap();
    assert!(matches!(task, OneOf::First(Err(Failure::Deadlock(_)))));
}

fn a_wait_with_an_alternative_does_not_count(on: &Systems) {
    type Case = fn(Promise<u32>) -> Pin<Box<dyn Future<Output = Option<u32>> + Send>>;
    async fn later() -> Result<u32, Failure> {
        sleep(A_WHILE).await;
        Ok(7)
    }
    let cases: [(&str, Case); 6] = [
        ("select", |p| {
            Box::pin(async {
                match select((p, later())).await {
                    OneOf::First(_) => None,
                    OneOf::Second(later) => later.ok(),
                }
            })
        }),
        ("race", |p| Box::pin(async { race((p, later())).await.ok() })),
        ("race_all", |p| {
            let all: [Pin<Box<dyn Future<Output = _> + Send>>; 2] =
                [Box::pin(p.into_future()), Box::pin(later())];
            Box::pin(async { race_all(all).await.ok() })
        }),
        ("any", |p| Box::pin(async { any((p, later())).await.ok() })),
        ("within", |p| Box::pin(async { p.timeout(A_WHILE).await.is_err_and(is_late).then_some(7) })),
        ("unwatched", |p| {
            // A combinator that this library knows nothing of.
            Box::pin(async {
                let (mut p, mut other) = (pin!(promise::unwatched(p)), pin!(later()));
                std::future::poll_fn(|cx| {
                    assert!(p.as_mut().poll(cx).is_pending());
                    other.as_mut().poll(cx)
                })
                .await
                .ok()
            })
        }),
    ];
    for (name, case) in cases {
        let (promise, resolver) = promise::pair::<u32>();
        let task = on.here().spawn(async move {
            resolver.set_current_owner();
            case(promise).await
        });
        assert_eq!(task.wait().unwrap(), Some(7), "{name}");
    }
}

fn is_late(failure: Failure) -> bool {
    matches!(failure, Failure::TimedOut)
}

fn the_last_member_of_a_join_counts_and_the_others_do_not(on: &Systems) {
    // The other member is what the promise needs.
    let (promise, resolver) = promise::pair::<u32>();
    let task = on.here().spawn(async move {
        resolver.set_current_owner();
        let other = async move {
            sleep(A_WHILE).await;
            resolver.resolve(1).unwrap();
        };
        join((promise, other)).await.0
    });
    assert_eq!(task.wait().unwrap().unwrap(), 1);

    // The other member is something else.
    for many in [false, true] {
        let (promise, resolver) = promise::pair::<u32>();
        let task = on.here().spawn(async move {
            resolver.set_current_owner();
            if many {
                let (other, resolver) = promise::pair();
                join((join_all([promise, other]), async move {
                    sleep(Duration::from_millis(1)).await;
                    resolver.resolve(0).unwrap();
                }))
                .await
                .0
                .remove(0)
            } else {
                join((promise, sleep(Duration::from_millis(1)))).await.0
            }
        });
        assert!(matches!(task.wait().unwrap(), Err(Failure::Deadlock(_))), "{many}");
    }
}

fn what_is_over_does_not_count(on: &Systems) {
    // The promise that ann waits for comes out, and only then bob waits for what ann owes.
    for round in 0..100 {
        let (to_ann, from_bob) = promise::pair::<u32>();
        let (to_bob, from_ann) = promise::pair::<u32>();
        let ann = start_named(on.here(), round % 2 == 0, "ann", async move {
            from_ann.set_current_owner();
            let value = to_ann.await?;
            from_ann.resolve(value + 1).unwrap();
            Ok::<u32, Failure>(value)
        });
        let bob = start_named(on.here(), round % 3 == 0, "bob", async move {
            from_bob.set_current_owner();
            from_bob.resolve(1).unwrap();
            to_bob.await
        });
        assert_eq!((ann.wait().unwrap().unwrap(), bob.wait().unwrap().unwrap()), (1, 2));
    }
}

fn a_wait_that_was_given_up_does_not_count(on: &Systems) {
    let (to_ann, from_bob) = promise::pair::<u32>();
    let (to_bob, from_ann) = promise::pair::<u32>();
    let (asked, asking) = channel::unbounded();
    let ann = on.here().spawn(async move {
        from_ann.set_current_owner();
        let mut wait = Box::pin(to_ann.clone().into_future());
        std::future::poll_fn(|cx| {
            assert!(wait.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(wait);
        asked.try_send(()).unwrap();
        sleep(A_WHILE).await;
        from_ann.resolve(1).unwrap();
        to_ann.await
    });
    let bob = on.here().spawn(async move {
        from_bob.set_current_owner();
        asking.recv().await.unwrap();
        let value = to_bob.await?;
        from_bob.resolve(value + 1).unwrap();
        Ok::<u32, Failure>(value)
    });
    assert_eq!((bob.wait().unwrap().unwrap(), ann.wait().unwrap().unwrap()), (1, 2));
}

fn a_promise_that_nobody_is_known_to_owe_does_not_count(on: &Systems) {
    let (promise, resolver) = promise::pair::<u32>();
    let same = promise.clone();
    let waiting = on.here().spawn(async move { promise.await });
    assert!(matches!(same.timeout(A_WHILE).wait(), Err(Failure::TimedOut)));
    resolver.resolve(1).unwrap();
    assert_eq!(waiting.wait().unwrap().unwrap(), 1);
}

fn who_disowns_a_promise_does_not_owe_it(on: &Systems) {
    let (promise, resolver) = promise::pair::<u32>();
    let resolver = Arc::new(Mutex::new(Some(resolver)));
    let later = Arc::clone(&resolver);
    let waiting = on.here().spawn(async move {
        {
            let resolver = resolver.lock().unwrap();
            let resolver = resolver.as_ref().unwrap();
            resolver.set_current_owner();
            resolver.clear_owner();
        }
        promise.await
    });
    sleep(A_WHILE).wait();
    later.lock().unwrap().take().unwrap().resolve(1).unwrap();
    assert_eq!(waiting.wait().unwrap().unwrap(), 1);
}

fn the_one_who_is_told_may_resolve_the_others(on: &Systems) {
    let (to_ann, from_bob) = promise::pair::<u32>();
    let (to_bob, from_ann) = promise::pair::<u32>();
    let one = |wants: Promise<u32>, owes: Resolver<u32>| {
        on.here().spawn(async move {
            owes.set_current_owner();
            let value = match wants.await {
                Err(Failure::Deadlock(_)) => 10,
                value => value.unwrap(),
            };
            owes.resolve(value + 1).unwrap();
            value
        })
    };
    let (ann, bob) = (one(to_ann, from_ann), one(to_bob, from_bob));
    let mut values = [ann.wait().unwrap(), bob.wait().unwrap()];
    values.sort_unstable();
    assert_eq!(values, [10, 11]);
}

/// Tasks in a line, each of which asks those after it only and answers those before it: many waits in all
/// orders, and never a circle.
fn tasks_that_ask_each_other_in_turns_are_never_told(on: &Systems) {
    const TASKS: usize = 6;
    const ROUNDS: usize = 150;
    let (asks, asked): (Vec<_>, Vec<_>) =
        (0..TASKS).map(|_| channel::unbounded::<(usize, Resolver<usize>)>()).unzip();
    for (n, asked) in asked.into_iter().enumerate() {
        let asks = asks.clone();
        start_named(on.here(), n % 2 == 0, "server", async move {
            while let Ok((depth, resolver)) = asked.recv().await {
                resolver.set_current_owner();
                let next = n + 1 + (depth + n) % 3;
                let below = match asks.get(next) {
                    Some(ask) => {
                        let (promise, owed) = promise::pair();
                        ask.try_send((depth + 1, owed)).unwrap();
                        promise.await
                    }
                    None => Ok(0),
                };
                match below {
                    Ok(below) => resolver.resolve(below + 1).unwrap(),
                    Err(failure) => resolver.fail(failure).unwrap(),
                }
            }
        })
        .detach();
    }
    let clients = (0..4).map(|client| {
        let asks = asks.clone();
        on.here().spawn(async move {
            for round in 0..ROUNDS {
                let (promise, owed) = promise::pair();
                asks[(round + client) % TASKS].try_send((0, owed)).unwrap();
                assert!(promise.await.unwrap() > 0);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.wait().unwrap();
    }
}
