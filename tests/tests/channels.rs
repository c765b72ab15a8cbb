//! Channels of every kind: room that is reserved, batches, time limits that lose nothing, weak senders,
//! priorities.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use twoply_core::channel::{
    self, Receiver, RecvError, ReserveError, SendError, SendTimeoutError, Sender, Sink, TrySendError,
};
use twoply_core::future::{join, yield_now};
use twoply_core::time::timeout;
use twoply_core::{Wait, task};
use twoply_tests::{Gate, Signal, Systems, laws};

laws! {
    everywhere {
        room_that_is_reserved_is_kept_until_it_is_used_or_given_back,
        who_reserves_waits_in_one_line_with_those_who_send,
        a_permit_of_a_closed_channel_hands_the_message_back,
        a_dropped_reservation_passes_its_room_on,
        a_batch_takes_what_is_there_and_makes_room,
        who_does_not_wait_takes_what_is_there_and_makes_room,
        a_dropped_batch_has_received_nothing,
        a_send_that_runs_out_of_time_hands_its_message_back,
        a_send_that_is_given_up_hands_its_message_back,
        a_weak_sender_keeps_no_channel_open,
        the_most_urgent_message_comes_first_and_equals_in_order,
        a_priority_that_panics_loses_no_message_and_no_room,
        every_channel_says_how_full_it_is,
    }
    and_mixed {
        sends_with_a_time_limit_arrive_once_or_come_back,
        permits_and_batches_lose_nothing_under_load,
    }
}

fn pending<F: Future + Unpin>(future: &mut F) -> bool {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// The channels that hold one message.
fn of_one() -> [(Sender<u32>, Receiver<u32>); 2] {
    [channel::bounded(1), channel::priority(1, |message| u64::from(*message))]
}

fn room_that_is_reserved_is_kept_until_it_is_used_or_given_back(on: &Systems) {
    for (tx, rx) in of_one() {
        let task = on.here().spawn(async move {
            let permit = tx.reserve().await.unwrap();
            assert!(tx.is_full() && tx.is_empty());
            assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
            assert_eq!(tx.try_reserve().unwrap_err(), ReserveError::Full);
            permit.send(2).unwrap();
            assert_eq!(rx.recv().await, Ok(2));
            drop(tx.reserve().await.unwrap());
            let owned = tx.clone().reserve_owned().await.unwrap();
            assert!(pending(&mut tx.reserve()));
            let tx = owned.release().unwrap();
            tx.try_reserve_owned().unwrap().send(3).unwrap();
            assert_eq!(rx.recv().await, Ok(3));
            drop(tx);
        });
        task.wait().unwrap();
    }
    let (tx, _rx) = channel::rendezvous::<u32>();
    assert_eq!(tx.reserve().wait().unwrap_err(), ReserveError::Rendezvous);
    assert_eq!(tx.reserve_owned().wait().unwrap_err(), ReserveError::Rendezvous);
}

fn who_reserves_waits_in_one_line_with_those_who_send(on: &Systems) {
    for (tx, rx) in of_one() {
        let task = on.here().spawn(async move {
            tx.try_send(0).unwrap();
            let (mut first, mut second, mut third) = (tx.send(1), tx.reserve(), tx.send(3));
            assert!(pending(&mut first) && pending(&mut second) && pending(&mut third));
            assert_eq!(rx.recv().await, Ok(0));
            assert!(pending(&mut second) && pending(&mut third), "it is the first one's turn");
            first.await.unwrap();
            assert_eq!(rx.recv().await, Ok(1));
            assert!(pending(&mut third), "it is the second one's turn");
            second.await.unwrap().send(2).unwrap();
            assert_eq!(rx.recv().await, Ok(2));
            third.await.unwrap();
            assert_eq!(rx.recv().await, Ok(3));
        });
        task.wait().unwrap();
    }
}

fn a_permit_of_a_closed_channel_hands_the_message_back(on: &Systems) {
    for (tx, rx) in of_one() {
        let task = on.here().spawn(async move {
            let permit = tx.reserve().await.unwrap();
            let mut late = tx.reserve();
            assert!(pending(&mut late));
            rx.close();
            assert_eq!(late.await.unwrap_err(), ReserveError::Closed);
            assert_eq!(permit.send(7), Err(SendError(7)));
            assert_eq!(rx.recv().await, Err(RecvError));
        });
        task.wait().unwrap();
    }
}

fn a_dropped_reservation_passes_its_room_on(on: &Systems) {
    for (tx, rx) in of_one() {
        tx.try_send(0).unwrap();
        let (given_up, gate) = (Signal::new(), Gate::new());
        let mut first = tx.reserve();
        let waker = given_up.waker();
        assert!(Pin::new(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
        let (second, began) = (tx.clone(), gate.clone());
        let sender = on.here().spawn(async move {
            let mut sending = second.send(1);
            assert!(pending(&mut sending));
            began.open();
            sending.await
        });
        gate.opened().wait();
        assert_eq!(rx.try_recv(), Ok(0));
        assert_eq!(given_up.count(), 1, "the room is the first one's");
        drop(first);
        sender.wait().unwrap().unwrap();
        assert_eq!(rx.try_recv(), Ok(1));
    }
}

fn a_batch_takes_what_is_there_and_makes_room(on: &Systems) {
    for (tx, rx) in [channel::bounded(4), channel::priority(4, |_| 0), channel::rendezvous()] {
        let sender = on.here().spawn(async move {
            for n in 0..100 {
                tx.send(n).await.unwrap();
            }
        });
        let receiver = on.here().spawn(async move {
            let mut all = vec![1000];
            assert_eq!(rx.recv_many(&mut all, 0).await, Ok(0));
            loop {
                let before = all.len();
                match rx.recv_many(&mut all, 3).await {
                    Ok(count) => assert!((1..=3).contains(&count) && all.len() == before + count),
                    Err(RecvError) => return all,
                }
            }
        });
        sender.wait().unwrap();
        let all = receiver.wait().unwrap();
        assert_eq!(all[0], 1000, "what was there before stays");
        assert_eq!(all[1..], (0..100).collect::<Vec<_>>());
    }
}

fn who_does_not_wait_takes_what_is_there_and_makes_room(on: &Systems) {
    let all = || [channel::bounded(2), channel::unbounded(), channel::priority(2, |_| 0)];
    for (tx, rx) in all() {
        let task = on.here().spawn(async move {
            assert_eq!(rx.try_iter().next(), None);
            (0..2).for_each(|n| tx.try_send(n).unwrap());
            let taken = rx.try_iter().inspect(|n| {
                if *n < 3 {
                    tx.try_send(n + 2).unwrap()
                }
            });
            assert_eq!(
                taken.take(3).collect::<Vec<u32>>(),
                [0, 1, 2],
                "there is room for each that it takes"
            );
            // The end of what is there is not the end of the channel; and that is no reason to wait.
            assert_eq!(rx.try_iter().collect::<Vec<_>>(), [3, 4]);
            tx.try_send(5).unwrap();
            drop(tx);
            assert_eq!(rx.try_iter().collect::<Vec<_>>(), [5]);
            assert_eq!(rx.try_iter().next(), None);
        });
        task.wait().unwrap();
    }
    let (tx, rx) = channel::rendezvous();
    let mut send = tx.send(7);
    assert!(pending(&mut send));
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [7]);
    assert_eq!(send.wait(), Ok(()));
}

fn a_dropped_batch_has_received_nothing(on: &Systems) {
    for (tx, rx) in [channel::bounded(4), channel::priority(4, |_| 0), channel::rendezvous()] {
        let task = on.here().spawn(async move {
            let mut batch = Vec::new();
            let mut receiving = rx.recv_many(&mut batch, 8);
            assert!(pending(&mut receiving));
            tx.try_send(1).unwrap();
            drop(receiving);
            assert_eq!(batch, [0; 0]);
            assert_eq!(rx.recv_many(&mut batch, 8).await, Ok(1));
            assert_eq!(batch, [1]);
        });
        task.wait().unwrap();
    }
}

/// Channels in which a second message has to wait.
fn that_are_full() -> Vec<(Sender<u32>, Receiver<u32>)> {
    let full = of_one();
    full.iter().for_each(|(tx, _)| tx.try_send(0).unwrap());
    full.into_iter().chain([channel::rendezvous()]).collect()
}

fn a_send_that_runs_out_of_time_hands_its_message_back(on: &Systems) {
    for (tx, rx) in that_are_full() {
        let task = on.here().spawn(async move {
            let late = tx.send(1).timeout(Duration::from_millis(1)).await;
            assert_eq!(late, Err(SendTimeoutError::Timeout(1)));
            assert_ne!(rx.try_recv(), Ok(1), "it has not been sent");
            assert_eq!(rx.try_recv().ok(), None);
            // As by a borrower, through `dyn`.
            let sink: &(dyn Sink<u32> + Send + Sync) = &tx;
            let sending = channel::Sending::new(sink, 2).timeout(Duration::from_secs(1000));
            let (sent, received) = join((sending, rx.recv())).await;
            assert_eq!((sent, received), (Ok(()), Ok(2)));
            rx.close();
            let refused = tx.send(3).timeout(Duration::from_secs(1000)).await;
            assert_eq!(refused, Err(SendTimeoutError::Closed(3)));
        });
        task.wait().unwrap();
    }
}

fn a_send_that_is_given_up_hands_its_message_back(on: &Systems) {
    for (tx, rx) in that_are_full() {
        let task = on.here().spawn(async move {
            let mut sending = tx.send(1);
            assert!(timeout(Duration::from_millis(1), &mut sending).await.is_err());
            assert_eq!(sending.into_message(), Some(1));
            assert_eq!(tx.send(2).into_message(), Some(2), "one that was never polled");
            rx.drain();
            let mut sending = tx.send(3);
            if pending(&mut sending) {
                assert_eq!(rx.recv().await, Ok(3));
            }
            assert_eq!(sending.into_message(), None, "it has been sent");
        });
        task.wait().unwrap();
    }
}

fn sends_with_a_time_limit_arrive_once_or_come_back(on: &Systems) {
    const SENDS: u32 = 200;
    for (tx, rx) in [channel::rendezvous(), channel::bounded(1), channel::priority(1, |n| u64::from(*n))] {
        let senders: Vec<_> = (0..4u32)
            .map(|sender| {
                let tx = tx.clone();
                let system = if sender % 2 == 0 { on.here() } else { on.there() };
                system.spawn(async move {
                    let mut arrived = Vec::new();
                    for n in 0..SENDS {
                        let message = sender * SENDS + n;
                        let limit = Duration::from_micros(u64::from(n % 40));
                        match tx.send(message).timeout(limit).await {
                            Ok(()) => arrived.push(message),
                            Err(error) => assert_eq!(error.into_inner(), message),
                        }
                    }
                    arrived
                })
            })
            .collect();
        drop(tx);
        let receiver = on.there().spawn(async move {
            let mut received = Vec::new();
            while let Ok(message) = rx.recv().await {
                received.push(message);
                if message % 3 == 0 {
                    yield_now().await;
                }
            }
            received
        });
        let mut sent: Vec<u32> = senders.into_iter().flat_map(|sender| sender.wait().unwrap()).collect();
        let mut received = receiver.wait().unwrap();
        sent.sort_unstable();
        received.sort_unstable();
        assert_eq!(received, sent);
    }
}

fn permits_and_batches_lose_nothing_under_load(on: &Systems) {
    const EACH: u32 = 500;
    for (tx, rx) in [channel::bounded(3), channel::priority(3, |n| u64::from(*n))] {
        let senders: Vec<_> = (0..4u32)
            .map(|sender| {
                let tx = tx.clone();
                let system = if sender % 2 == 0 { on.here() } else { on.there() };
                system.spawn(async move {
                    for n in 0..EACH {
                        let message = sender * EACH + n;
                        match n % 5 {
                            0 => tx.send(message).await.unwrap(),
                            1 => {
                                // Gives up once, waiting or with the permit in hand.
                                drop(timeout(Duration::ZERO, tx.reserve()).await);
                                tx.reserve().await.unwrap().send(message).unwrap();
                            }
                            2 => drop(tx.clone().reserve_owned().await.unwrap().send(message).unwrap()),
                            _ => tx.reserve().await.unwrap().send(message).unwrap(),
                        }
                    }
                })
            })
            .collect();
        drop(tx);
        let receivers: Vec<_> = [on.here(), on.there()]
            .into_iter()
            .map(|system| {
                let rx = rx.clone();
                system.spawn(async move {
                    let mut received = Vec::new();
                    while rx.recv_many(&mut received, 2).await.is_ok() {}
                    received
                })
            })
            .collect();
        senders.into_iter().for_each(|sender| sender.wait().unwrap());
        let mut received: Vec<u32> = receivers.into_iter().flat_map(|task| task.wait().unwrap()).collect();
        received.sort_unstable();
        assert_eq!(received, (0..4 * EACH).collect::<Vec<_>>());
    }
}

fn a_weak_sender_keeps_no_channel_open(on: &Systems) {
    for (tx, rx) in [channel::bounded(4), channel::priority(4, |_| 0), channel::rendezvous::<u32>()] {
        let weak = tx.downgrade();
        let other = weak.upgrade().unwrap();
        assert!(other.same_channel(&tx) && weak.same_channel(&weak.clone()));
        let receiver = on.here().spawn(async move { rx.recv().await });
        drop(tx);
        assert!(!other.is_closed());
        drop(other);
        assert_eq!(receiver.wait().unwrap(), Err(RecvError), "the channel is closed");
        assert!(weak.upgrade().is_none());
    }
    let (tx, mut rx) = channel::broadcast(4);
    let weak = tx.downgrade();
    weak.upgrade().unwrap().send(1).unwrap();
    assert_eq!(rx.recv().wait(), Ok(1));
    let receiver = on.here().spawn(async move { rx.recv().await });
    let other = weak.upgrade().unwrap();
    assert!(other.same_channel(&tx) && weak.same_channel(&tx.downgrade()));
    drop(tx);
    assert!(weak.upgrade().is_some());
    drop(other);
    assert_eq!(receiver.wait().unwrap(), Err(channel::broadcast::RecvError::Closed));
    assert!(weak.upgrade().is_none());
    let (tx, mut rx) = channel::watch(0);
    let weak = tx.downgrade();
    weak.upgrade().unwrap().send(1).unwrap();
    assert_eq!(*rx.changed().wait().unwrap(), 1);
    let receiver = on.here().spawn(async move { rx.changed().await.is_err() });
    let other = weak.upgrade().unwrap();
    assert!(other.same_channel(&tx) && weak.same_channel(&tx.downgrade()));
    drop(tx);
    assert!(weak.upgrade().is_some());
    drop(other);
    assert!(receiver.wait().unwrap(), "the channel is closed");
    assert!(weak.upgrade().is_none());
}

fn the_most_urgent_message_comes_first_and_equals_in_order(on: &Systems) {
    // A model: sorted by urgency, and stable.
    let messages: Vec<(u64, usize)> = (0..200).map(|n| ((n * 7919) as u64 % 5, n)).collect();
    let mut expected = messages.clone();
    expected.sort_by_key(|(urgency, _)| std::cmp::Reverse(*urgency));
    let (tx, rx) = channel::priority(None, |message: &(u64, usize)| message.0);
    let task = on.here().spawn(async move {
        for half in messages.chunks(100) {
            half.iter().for_each(|message| tx.try_send(*message).unwrap());
            task::spawn(async {}).await.unwrap();
        }
        let mut received = Vec::new();
        for _ in 0..50 {
            received.push(rx.recv().await.unwrap());
        }
        rx.recv_many(&mut received, 50).await.unwrap();
        received.extend(rx.try_iter().take(50));
        received.extend(rx.drain());
        received
    });
    assert_eq!(task.wait().unwrap(), expected);
}

fn a_priority_that_panics_loses_no_message_and_no_room(on: &Systems) {
    let (tx, rx) = channel::priority(1, |message: &u32| {
        assert!(*message != 13, "expected: no luck");
        0
    });
    let bad = tx.clone();
    let task = on.here().spawn(async move { bad.send(13).await });
    assert!(task.wait().is_err());
    let permit = tx.reserve().wait().unwrap();
    let sent = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| permit.send(13)));
    assert!(sent.is_err());
    assert_eq!(tx.try_send(1), Ok(()), "the room is free again");
    assert_eq!(rx.try_recv(), Ok(1));
}

fn every_channel_says_how_full_it_is(_: &Systems) {
    for (tx, rx) in [channel::bounded(2), channel::priority(2, |_| 0)] {
        assert_eq!((tx.len(), tx.capacity(), tx.is_empty(), tx.is_full()), (0, Some(2), true, false));
        tx.try_send(1).unwrap();
        tx.try_send(2).unwrap();
        assert_eq!((rx.len(), rx.capacity(), rx.is_empty(), rx.is_full()), (2, Some(2), false, true));
        assert_eq!(rx.try_recv().map(|_| rx.is_full()), Ok(false));
    }
    for (tx, rx) in [channel::unbounded(), channel::priority(None, |_| 0)] {
        tx.try_send(1).unwrap();
        assert_eq!((rx.len(), rx.capacity(), rx.is_empty(), rx.is_full()), (1, None, false, false));
    }
    let (tx, rx) = channel::rendezvous::<u32>();
    assert_eq!((tx.len(), tx.capacity(), tx.is_empty(), tx.is_full()), (0, Some(0), true, true));
    assert!(rx.is_full() && rx.is_empty());
    let (tx, rx) = channel::priority(0, |_: &u32| 0);
    assert_eq!((tx.try_send(1), rx.capacity()), (Ok(()), Some(1)));
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(Pin::new(&mut rx.recv()).poll(&mut cx), Poll::Ready(Ok(1)));
}
