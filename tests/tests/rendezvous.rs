//! Meeting in a channel without places: each message has one sender that knows of it and one receiver, in
//! selects too.

use std::collections::HashSet;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use twoply_core::channel::{self, RecvError, SendError, TryRecvError, TrySendError};
use twoply_core::future::{OneOf, any, join, race, race_all, select};
use twoply_core::time::{sleep, timeout};
use twoply_core::{Wait, future};
use twoply_tests::{Systems, eventually, laws};

laws! {
    and_mixed {
        people_who_send_or_receive_whichever_comes_first_pair_up,
        a_send_that_does_not_win_has_not_sent,
        nothing_is_sent_twice_or_lost_among_selects_of_many_kinds,
    }
    everywhere {
        a_select_of_both_ends_does_not_meet_itself,
        a_join_of_both_ends_meets_itself,
        a_try_send_meets_a_receive_that_waits,
        a_try_receive_meets_a_send_that_waits,
        a_message_that_is_given_to_a_receive_that_ends_stays,
        a_send_that_outlives_its_select_can_be_met,
        a_wait_inside_an_arm_can_be_met,
    }
}

/// Whom somebody has met, if it was not met by somebody.
type Met = Result<Option<usize>, SendError<usize>>;

fn people_who_send_or_receive_whichever_comes_first_pair_up(on: &Systems) {
    for round in 0..20 {
        const PEOPLE: usize = 32;
        let (tx, rx) = channel::rendezvous();
        let people: Vec<_> = (0..PEOPLE)
            .map(|name| {
                let (tx, rx) = (tx.clone(), rx.clone());
                let system = if name % 2 == 0 { on.here() } else { on.there() };
                let meeting = async move {
                    let send = async { tx.send(name).await.map(|()| None) };
                    let receive = async { Ok(Some(rx.recv().await.unwrap())) };
                    match round % 3 {
                        0 => match select((tx.send(name), rx.recv())).await {
                            OneOf::First(sent) => sent.map(|()| None),
                            OneOf::Second(met) => Ok(Some(met.unwrap())),
                        },
                        1 => race((receive, send)).await,
                        _ => {
                            type Meeting<'a> = Pin<Box<dyn Future<Output = Met> + Send + 'a>>;
                            race_all([Box::pin(send) as Meeting<'_>, Box::pin(receive)]).await
                        }
                    }
                };
                match (name + round) % 3 {
                    0 => system.spawn_fn(move || meeting.wait()),
                    _ => system.spawn(meeting),
                }
            })
            .collect();
        let met: Vec<_> = people.into_iter().map(|person| person.wait().unwrap().unwrap()).collect();
        let met_by: HashSet<usize> = met.iter().flatten().copied().collect();
        assert_eq!(met_by.len(), PEOPLE / 2, "each is met once");
        for (name, met) in met.into_iter().enumerate() {
            assert_eq!(met.is_none(), met_by.contains(&name), "{name} knows of it");
            assert_ne!(met, Some(name), "nobody meets themselves");
        }
    }
}

fn a_send_that_does_not_win_has_not_sent(on: &Systems) {
    const SENDS: usize = 300;
    let (tx, rx) = channel::rendezvous();
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let tx = tx.clone();
            let system = if sender % 2 == 0 { on.here() } else { on.there() };
            system.spawn(async move {
                let mut sent = Vec::new();
                for n in 0..SENDS {
                    let message = sender * SENDS + n;
                    let pause = Duration::from_micros((n % 7) as u64 * 10);
                    let has_sent = match n % 4 {
                        0 => matches!(select((tx.send(message), sleep(pause))).await, OneOf::First(Ok(()))),
                        1 => matches!(
                            select((sleep(pause), tx.send(message))).biased().await,
                            OneOf::Second(Ok(()))
                        ),
                        2 => matches!(timeout(pause, tx.send(message)).await, Ok(Ok(()))),
                        _ => {
                            let late = async {
                                sleep(pause).await;
                                false
                            };
                            race((async { tx.send(message).await.is_ok() }, late)).await
                        }
                    };
                    if has_sent {
                        sent.push(message);
                    }
                }
                sent
            })
        })
        .collect();
    drop(tx);
    let receiver = on.there().spawn(async move {
        let mut received = Vec::new();
        while let Ok(message) = rx.recv().await {
            received.push(message);
            if message % 5 == 0 {
                sleep(Duration::from_micros(50)).await;
            }
        }
        received
    });
    let sent: Vec<usize> = senders.into_iter().flat_map(|sender| sender.wait().unwrap()).collect();
    let mut received = receiver.wait().unwrap();
    let (mut sent, count) = (sent, received.len());
    sent.sort_unstable();
    received.sort_unstable();
    received.dedup();
    assert_eq!(received.len(), count, "something was received twice");
    assert_eq!(sent, received);
}

fn nothing_is_sent_twice_or_lost_among_selects_of_many_kinds(on: &Systems) {
    const TASKS: usize = 6;
    const ROUNDS: usize = 150;
    let (left, from_left) = channel::rendezvous::<usize>();
    let (right, from_right) = channel::rendezvous::<usize>();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (left, from_left) = (left.clone(), from_left.clone());
            let (right, from_right) = (right.clone(), from_right.clone());
            let system = if task % 2 == 0 { on.here() } else { on.there() };
            system.spawn(async move {
                let (mut sent, mut received) = (Vec::new(), Vec::new());
                for n in 0..ROUNDS {
                    let message = task * ROUNDS + n;
                    let late = sleep(Duration::from_micros(200));
                    match (task + n) % 4 {
                        0 => match select((left.send(message), right.send(message), late)).await {
                            OneOf::First(Ok(())) | OneOf::Second(Ok(())) => sent.push(message),
                            _ => {}
                        },
                        1 => match select((from_left.recv(), from_right.recv(), late)).await {
                            OneOf::First(Ok(message)) | OneOf::Second(Ok(message)) => received.push(message),
                            _ => {}
                        },
                        2 => match select((left.send(message), from_left.recv(), from_right.recv(), late))
                            .await
                        {
                            OneOf::First(Ok(())) => sent.push(message),
                            OneOf::Second(Ok(message)) | OneOf::Third(Ok(message)) => received.push(message),
                            _ => {}
                        },
                        _ => {
                            if right.try_send(message).is_ok() {
                                sent.push(message);
                            }
                            received.extend(from_left.try_recv());
                        }
                    }
                }
                (sent, received)
            })
        })
        .collect();
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    for task in tasks {
        let (some, more) = task.wait().unwrap();
        sent.extend(some);
        received.extend(more);
    }
    // What a try_send has given to a receive that its time limit ended meanwhile is still there.
    received.extend(from_left.try_iter());
    received.extend(from_right.try_iter());
    sent.sort_unstable();
    received.sort_unstable();
    assert_eq!(sent, received);
}

fn a_select_of_both_ends_does_not_meet_itself(on: &Systems) {
    let (tx, rx) = channel::rendezvous();
    let task = on.here().spawn(async move {
        for _ in 0..20 {
            let both = select((tx.send(1), rx.recv()));
            assert!(timeout(Duration::from_millis(1), both).await.is_err());
            let both = race((async { tx.send(1).await.is_ok() }, async { rx.recv().await.is_ok() }, async {
                sleep(Duration::from_millis(1)).await;
                false
            }));
            assert!(!both.await);
        }
        assert!(tx.is_empty());
    });
    task.wait().unwrap();
}

fn a_join_of_both_ends_meets_itself(on: &Systems) {
    let (tx, rx) = channel::rendezvous();
    let task = on.here().spawn(async move {
        assert_eq!(join((tx.send(1), rx.recv())).await, (Ok(()), Ok(1)));
        // As one arm of a select, too.
        let met = select((join((tx.send(2), rx.recv())), pending::<()>())).await;
        assert!(matches!(met, OneOf::First((Ok(()), Ok(2)))));
    });
    task.wait().unwrap();
}

fn a_try_send_meets_a_receive_that_waits(on: &Systems) {
    let (tx, rx) = channel::rendezvous();
    assert_eq!(tx.try_send(0), Err(TrySendError::Full(0)));
    for round in 1..50 {
        let rx = rx.clone();
        let waiting = on.here().spawn(async move {
            match round % 3 {
                0 => rx.recv().await,
                1 => select((pending::<()>(), rx.recv())).await.second(),
                _ => {
                    any((rx.recv(), async {
                        pending::<()>().await;
                        Ok(0)
                    }))
                    .await
                }
            }
        });
        eventually("it waits", || tx.try_send(round).is_ok());
        assert_eq!(waiting.wait().unwrap(), Ok(round));
        assert_eq!(tx.try_send(0), Err(TrySendError::Full(0)), "nobody waits any more");
    }
}

/// What the second arm of a select has come to.
trait Second<T> {
    fn second(self) -> T;
}

impl<A, T> Second<T> for OneOf<A, T> {
    fn second(self) -> T {
        match self {
            OneOf::Second(value) => value,
            _ => panic!("another arm was ready"),
        }
    }
}

fn a_try_receive_meets_a_send_that_waits(on: &Systems) {
    let (tx, rx) = channel::rendezvous();
    for round in 1..50 {
        let tx = tx.clone();
        let waiting = on.here().spawn(async move {
            match round % 2 {
                0 => tx.send(round).await,
                _ => select((pending::<()>(), tx.send(round))).await.second(),
            }
        });
        let mut received = Err(TryRecvError::Empty);
        eventually("it waits", || {
            received = rx.try_recv();
            received.is_ok()
        });
        assert_eq!(received, Ok(round));
        assert_eq!(waiting.wait().unwrap(), Ok(()));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    }
}

/// Polls a future once, as its task.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

fn a_message_that_is_given_to_a_receive_that_ends_stays(on: &Systems) {
    let task = on.here().spawn(async {
        let (tx, rx) = channel::rendezvous();
        let mut first = rx.recv();
        assert!(poll_once(&mut first).await.is_pending());
        let mut second = rx.recv();
        assert!(poll_once(&mut second).await.is_pending());
        tx.try_send(1).unwrap();
        drop(first);
        assert_eq!(second.await, Ok(1));

        let mut third = rx.recv();
        assert!(poll_once(&mut third).await.is_pending());
        tx.try_send(2).unwrap();
        drop(tx);
        drop(third);
        assert_eq!(rx.recv().await, Ok(2), "it was sent before the end");
        assert_eq!(rx.recv().await, Err(RecvError));
    });
    task.wait().unwrap();
}

fn a_send_that_outlives_its_select_can_be_met(on: &Systems) {
    let (tx, rx) = channel::rendezvous();
    let task = on.here().spawn(async move {
        let mut send = tx.send(1);
        let lost = select((&mut send, future::yield_now())).await;
        assert!(matches!(lost, OneOf::Second(())));
        assert_eq!(rx.try_recv(), Ok(1), "the select is over, and the send is not");
        assert_eq!(send.await, Ok(()));
        let mut receive = rx.recv();
        let lost = select((&mut receive, future::yield_now())).await;
        assert!(matches!(lost, OneOf::Second(())));
        tx.try_send(2).unwrap();
        assert_eq!(receive.await, Ok(2));
    });
    task.wait().unwrap();
}

fn a_wait_inside_an_arm_can_be_met(on: &Systems) {
    let (tx, rx) = channel::rendezvous();
    let blocking = on.here().spawn(async move { race((async { tx.send(1).wait() }, pending())).await });
    let other = on.there().spawn(async move { race((async { rx.recv().wait() }, pending())).await });
    assert_eq!(other.wait().unwrap(), Ok(1));
    assert_eq!(blocking.wait().unwrap(), Ok(()));
}
