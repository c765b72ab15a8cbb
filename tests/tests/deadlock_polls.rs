//! Waits that a task polls side by side with its own waker, as the macros of other libraries do: it waits for
//! either of them, so none of them closes a circle; and what is left alone does.

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use twoply_core::future::OneOf;
use twoply_core::promise::{self, Failure, Promise, Resolver};
use twoply_core::task::Task;
use twoply_core::time::sleep;
use twoply_core::{Wait, channel};
use twoply_tests::{Gate, System, Systems, all_waits, eventually, laws};

laws! {
    everywhere {
        a_foreign_select_waits_for_either,
        a_foreign_join_waits_for_what_its_other_member_does,
        a_wait_beside_any_other_does_not_count,
        a_wait_beside_a_future_of_another_library_does_not_count,
        what_is_left_of_a_foreign_join_counts,
        a_wait_after_a_foreign_select_counts,
    }
    and_mixed {
        who_waits_for_a_foreign_select_is_not_told,
        a_circle_that_is_known_later_to_be_one_is_told_then,
    }
}

/// How long what is not found is given.
const A_WHILE: Duration = Duration::from_millis(20);

/// Both ways to wait.
const STRAIGHT: [bool; 2] = [false, true];

/// As `select!` of another library: polls both with the waker that it is polled with, in this order.
async fn foreign_select<A: IntoFuture, B: IntoFuture>(a: A, b: B) -> OneOf<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a.into_future()), pin!(b.into_future()));
    poll_fn(|cx| {
        if let Poll::Ready(output) = a.as_mut().poll(cx) {
            return Poll::Ready(OneOf::First(output));
        }
        b.as_mut().poll(cx).map(OneOf::Second)
    })
    .await
}

/// As `join!` of another library.
async fn foreign_join<A: IntoFuture, B: IntoFuture>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a.into_future()), pin!(b.into_future()));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(cx)
        {
            first = Some(output);
        }
        if second.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(cx)
        {
            second = Some(output);
        }
        if first.is_none() || second.is_none() {
            return Poll::Pending;
        }
        first.take().zip(second.take()).map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// A future that this library knows nothing of.
#[derive(Clone, Default)]
struct Foreign(Arc<Mutex<(bool, Option<Waker>)>>);

impl Foreign {
    /// Makes it ready.
    fn end(&self) {
        let mut state = self.0.lock().unwrap();
        state.0 = true;
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }
}

impl Future for Foreign {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap();
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Starts a task, as a future or as straight-line code.
fn start<F>(system: &System, straight: bool, future: F) -> Task<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    match straight {
        true => system.spawn_fn(|| future.wait()),
        false => system.spawn(future),
    }
}

/// A promise that another task keeps, a while after `gate` has been opened.
fn kept_later(system: &System, gate: &Gate) -> Promise<u32> {
    let (promise, resolver) = promise::pair();
    let (opened, later) = (gate.opened(), resolver.clone());
    let keeper = system.spawn(async move {
        opened.await;
        sleep(A_WHILE).await;
        later.resolve(7).unwrap();
    });
    resolver.set_owner(&keeper.task());
    keeper.detach();
    promise
}

fn a_foreign_select_waits_for_either(on: &Systems) {
    for straight in STRAIGHT {
        for own_first in [false, true] {
            let gate = Gate::new();
            let other = kept_later(on.here(), &gate);
            let task = start(on.here(), straight, async move {
                let (own, owed) = promise::pair::<u32>();
                owed.set_current_owner();
                let selected = gate.open_when_polled(async {
                    match own_first {
                        true => match foreign_select(own, other).await {
                            OneOf::First(own) => OneOf::Second(own),
                            OneOf::Second(other) => OneOf::First(other),
                            _ => unreachable!(),
                        },
                        false => foreign_select(other, own).await,
                    }
                });
                selected.await
            });
            match task.wait().unwrap() {
                OneOf::First(other) => assert_eq!(other.unwrap(), 7),
                OneOf::Second(own) => panic!("own first: {own_first}, straight: {straight}: {own:?}"),
                _ => unreachable!(),
            }
        }
    }
}

fn a_foreign_join_waits_for_what_its_other_member_does(on: &Systems) {
    type Other = Pin<Box<dyn Future<Output = ()> + Send>>;
    type MakeOther = fn(&Systems, &Gate) -> Other;
    let others: [(&str, MakeOther); 4] = [
        ("promise", |on, gate| {
            let kept = kept_later(on.here(), gate);
            Box::pin(async { assert_eq!(kept.await.unwrap(), 7) })
        }),
        ("task", |on, gate| {
            let opened = gate.opened();
            let task = on.here().spawn(async move {
                opened.await;
                sleep(A_WHILE).await;
            });
            Box::pin(async { task.await.unwrap() })
        }),
        ("sleep", |_, _| Box::pin(sleep(A_WHILE))),
        ("message", |on, gate| {
            let ((tx, rx), opened) = (channel::bounded(1), gate.opened());
            let sender = on.here().spawn(async move {
                opened.await;
                tx.send(()).await.unwrap();
            });
            sender.detach();
            Box::pin(async move { rx.recv().await.unwrap() })
        }),
    ];
    for (name, other) in others {
        for straight in STRAIGHT {
            let gate = Gate::new();
            let other = other(on, &gate);
            let task = start(on.here(), straight, async move {
                let (own, owed) = promise::pair::<u32>();
                owed.set_current_owner();
                let keep = async move {
                    other.await;
                    owed.resolve(1).unwrap();
                };
                gate.open_when_polled(foreign_join(own, keep)).await.0
            });
            assert_eq!(task.wait().unwrap().unwrap(), 1, "{name}, straight: {straight}");
        }
    }
}

fn a_wait_beside_any_other_does_not_count(on: &Systems) {
    let mut wrongly = Vec::new();
    for own_first in [false, true] {
        for waits in all_waits(on) {
            let gates: Vec<_> = waits.waits.iter().map(|_| Gate::new()).collect();
            let tasks: Vec<_> = waits
                .waits
                .into_iter()
                .zip(&gates)
                .map(|(other, gate)| {
                    let gate = gate.clone();
                    on.here().spawn(async move {
                        let (own, owed) = promise::pair::<u32>();
                        owed.set_current_owner();
                        gate.open_when_polled(async {
                            match own_first {
                                true => matches!(foreign_select(own, other).await, OneOf::First(_)),
                                false => matches!(foreign_select(other, own).await, OneOf::Second(_)),
                            }
                        })
                        .await
                    })
                })
                .collect();
            for gate in gates {
                gate.opened().wait();
            }
            if waits.name == "sleep and tick" {
                sleep(A_WHILE).wait();
                assert!(tasks.iter().all(|task| !task.is_finished()), "own first: {own_first}");
                tasks.iter().for_each(|task| task.cancel());
                continue;
            }
            (waits.end)();
            if tasks.into_iter().any(|task| task.wait().unwrap()) {
                wrongly.push((waits.name, own_first));
            }
        }
    }
    assert!(wrongly.is_empty(), "one is told beside {wrongly:?}");
}

fn a_wait_beside_a_future_of_another_library_does_not_count(on: &Systems) {
    for straight in STRAIGHT {
        for own_first in [false, true] {
            let (gate, foreign) = (Gate::new(), Foreign::default());
            let polled = gate.opened();
            let task = start(on.here(), straight, {
                let foreign = foreign.clone();
                async move {
                    let (own, owed) = promise::pair::<u32>();
                    owed.set_current_owner();
                    gate.open_when_polled(async {
                        match own_first {
                            true => matches!(foreign_select(own, foreign).await, OneOf::Second(())),
                            false => matches!(foreign_select(foreign, own).await, OneOf::First(())),
                        }
                    })
                    .await
                }
            });
            polled.wait();
            foreign.end();
            assert!(task.wait().unwrap(), "own first: {own_first}, straight: {straight}");
        }
    }
}

/// Ann waits for Bob, and for something of another library until that is over; Bob waits for Ann.
fn a_circle_that_is_known_later_to_be_one_is_told_then(on: &Systems) {
    for round in 0..20 {
        let (straight, bob_first) = (round % 2 == 0, round % 4 < 2);
        let (to_ann, from_bob) = promise::pair::<u32>();
        let (to_bob, from_ann) = promise::pair::<u32>();
        let (ann_waits, bob_waits, foreign) = (Gate::new(), Gate::new(), Foreign::default());
        let (ann_begins, bob_begins, end) = (bob_waits.opened(), ann_waits.opened(), foreign.clone());
        let both_wait = [ann_waits.opened(), bob_waits.opened()];
        let ann = start(on.here(), straight, async move {
            from_ann.set_current_owner();
            if bob_first {
                ann_begins.await;
            }
            let (wanted, ()) = ann_waits.open_when_polled(foreign_join(to_ann, foreign)).await;
            let told = wanted.is_err_and(|failure| matches!(failure, Failure::Deadlock(_)));
            from_ann.resolve(1).unwrap();
            told
        });
        let bob = start(on.there(), straight, async move {
            from_bob.set_current_owner();
            if !bob_first {
                bob_begins.await;
            }
            let wanted = bob_waits.open_when_polled(to_bob.into_future()).await;
            _ = from_bob.resolve(2);
            wanted.is_err_and(|failure| matches!(failure, Failure::Deadlock(_)))
        });
        both_wait.into_iter().for_each(|waits| waits.wait());
        assert!(!ann.is_finished() && !bob.is_finished(), "round {round}: told of a circle that is none yet");
        end.end();
        let told = [ann.wait().unwrap(), bob.wait().unwrap()];
        assert_ne!(told[0], told[1], "round {round}");
    }
}

fn what_is_left_of_a_foreign_join_counts(on: &Systems) {
    for straight in STRAIGHT {
        let task = start(on.here(), straight, async {
            let (own, owed) = promise::pair::<u32>();
            owed.set_current_owner();
            foreign_join(own, sleep(Duration::from_millis(1))).await.0
        });
        assert!(matches!(task.wait().unwrap(), Err(Failure::Deadlock(_))), "straight: {straight}");
    }
}

fn a_wait_after_a_foreign_select_counts(on: &Systems) {
    let task = on.here().spawn(async {
        let (own, owed) = promise::pair::<u32>();
        owed.set_current_owner();
        let woken = foreign_select(own.clone(), sleep(Duration::from_millis(1))).await;
        assert!(matches!(woken, OneOf::Second(())));
        // One that blocks the stack: whatever the poll has left waiting before goes on no more.
        own.wait()
    });
    assert!(matches!(task.wait().unwrap(), Err(Failure::Deadlock(_))));
}

/// Ann waits for Bob or for somebody else, and Bob for Ann.
fn who_waits_for_a_foreign_select_is_not_told(on: &Systems) {
    for round in 0..20 {
        let (straight, bob_first) = (round % 2 == 0, round % 4 < 2);
        let (to_ann, from_bob) = promise::pair::<u32>();
        let (to_bob, from_ann) = promise::pair::<u32>();
        let (ann_waits, bob_waits) = (Gate::new(), Gate::new());
        let other = kept_later(on.there(), &ann_waits);
        let (ann_begins, bob_begins) = (bob_waits.opened(), ann_waits.opened());
        let ann = start(on.here(), straight, {
            let (wants, owes): (Promise<u32>, Resolver<u32>) = (to_ann, from_ann);
            async move {
                owes.set_current_owner();
                if bob_first {
                    ann_begins.await;
                }
                let selected = ann_waits.open_when_polled(foreign_select(wants, other)).await;
                assert!(matches!(selected, OneOf::Second(Ok(7))), "{selected:?}");
                owes.resolve(1).unwrap();
            }
        });
        let bob = start(on.there(), straight, async move {
            from_bob.set_current_owner();
            if !bob_first {
                bob_begins.await;
            }
            bob_waits.open_when_polled(to_bob.into_future()).await
        });
        eventually("both go on", || ann.is_finished() && bob.is_finished());
        ann.wait().unwrap();
        assert_eq!(bob.wait().unwrap().unwrap(), 1);
    }
}
