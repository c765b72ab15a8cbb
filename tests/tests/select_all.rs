//! A set of futures that changes: each gives its output once, under its key, and nothing is lost with those
//! that leave.

use std::collections::BTreeMap;
use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use twoply_core::future::{
    OneOf, SelectAll, SelectKey, any_all, join_all, race_all, select, select_all, yield_now,
};
use twoply_core::time::sleep;
use twoply_core::{Wait, channel};
use twoply_tests::{Gate, Signal, Systems, laws};

laws! {
    and_mixed {
        each_receive_of_a_changing_set_gets_its_message_once,
        a_wait_that_is_given_up_loses_nothing,
    }
    everywhere {
        a_key_names_one_future_for_ever,
        what_is_taken_out_is_handed_back_whole,
        none_of_those_that_are_always_ready_starves,
        a_set_of_offers_meets_one_at_a_time,
        operations_of_all_kinds_go_into_one_set,
        of_those_that_are_woken_while_a_budget_is_spent_none_is_forgotten,
        a_future_that_panics_leaves_the_set,
        what_needs_a_future_that_has_panicked_says_so,
    }
}

/// A future of a set with several kinds of them.
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Polls `future` once.
fn poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    match Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

fn each_receive_of_a_changing_set_gets_its_message_once(on: &Systems) {
    const CHANNELS: usize = 20;
    const MESSAGES: usize = 50;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..CHANNELS).map(|n| channel::bounded(n % 3)).unzip();
    let receiver = on.here().spawn(async move {
        let mut set: SelectAll<_> = SelectAll::new();
        let mut keys: BTreeMap<SelectKey, usize> =
            receivers.iter().enumerate().map(|(n, rx)| (set.insert(rx.recv()), n)).collect();
        let mut next = [0; CHANNELS];
        while let Some((key, message)) = set.next_ready().await {
            let n = keys.remove(&key).expect("a key is given once");
            assert!(!set.contains(key));
            if let Ok(message) = message {
                assert_eq!(message, (n, next[n]));
                next[n] += 1;
                keys.insert(set.insert(receivers[n].recv()), n);
            }
        }
        assert!(keys.is_empty());
        next
    });
    let tasks: Vec<_> = senders
        .into_iter()
        .enumerate()
        .map(|(n, tx)| {
            on.there().spawn(async move {
                for message in 0..MESSAGES {
                    tx.send((n, message)).await.unwrap();
                }
            })
        })
        .collect();
    tasks.into_iter().for_each(|task| task.wait().unwrap());
    assert_eq!(receiver.wait().unwrap(), [MESSAGES; CHANNELS]);
}

fn a_wait_that_is_given_up_loses_nothing(on: &Systems) {
    const MESSAGES: usize = 200;
    for capacity in [0, 1, 8] {
        let (tx, rx) = channel::bounded(capacity);
        // The first message comes when a wait has been given up, so that some are.
        let has_given_up = Gate::new();
        let begin = has_given_up.opened();
        let sender = on.there().spawn(async move {
            begin.await;
            for n in 0..MESSAGES {
                tx.send(n).await.unwrap();
                if n % 3 == 0 {
                    yield_now().await;
                }
            }
        });
        let receiver = on.here().spawn(async move {
            let mut set = select_all([rx.recv()]);
            let (mut received, mut given_up) = (0, 0_u64);
            loop {
                match select((set.next_ready(), yield_now())).await {
                    OneOf::First(Some((key, Ok(n)))) => {
                        assert_eq!((key.index(), n), (0, received));
                        received += 1;
                        set.insert(rx.recv());
                    }
                    OneOf::First(_) => return (received, given_up),
                    OneOf::Second(()) => {
                        given_up += 1;
                        has_given_up.open();
                    }
                }
            }
        });
        sender.wait().unwrap();
        let (received, given_up) = receiver.wait().unwrap();
        assert_eq!(received, MESSAGES);
        assert!(given_up > 0, "the law was not put to the test");
    }
}

fn a_key_names_one_future_for_ever(on: &Systems) {
    let check = async {
        let mut set = SelectAll::new();
        assert_eq!(set.next_ready().await, None);
        let first = set.insert(ready(1));
        assert_eq!(set.next_ready().await, Some((first, 1)));
        let second = set.insert(ready(2));
        assert!(first != second && !set.contains(first) && set.contains(second));
        assert_eq!((first.index(), second.index(), set.len()), (0, 0, 1));
        assert!(set.remove(first).is_none());
        assert_eq!(set.remove(second).map(poll_once), Some(Some(2)));
        assert!(set.is_empty() && set.remove(second).is_none());
        set.extend([ready(3), ready(4)]);
        let mut outputs =
            [set.next_ready().await, set.next_ready().await].map(|next| next.map(|(_, output)| output));
        outputs.sort();
        assert_eq!(outputs, [Some(3), Some(4)]);
        assert_eq!(set.next_ready().await, None);
    };
    on.here().spawn(check).wait().unwrap();
}

fn what_is_taken_out_is_handed_back_whole(on: &Systems) {
    let check = async {
        let (tx, rx) = channel::bounded(1);
        let dropped = Signal::new();
        let guard = dropped.on_drop();
        let mut set: SelectAll<Boxed<u32>> = SelectAll::new();
        let receive = set.insert(Box::pin(async move {
            let _guard = guard;
            rx.recv().await.unwrap_or_default()
        }));
        let never = set.insert(Box::pin(pending()));
        assert!(poll_once(set.next_ready()).is_none());
        let receive = set.remove(receive).expect("it is pending");
        tx.send(7).await.unwrap();
        assert!(poll_once(set.next_ready()).is_none(), "the other one is not ready");
        assert_eq!((receive.await, dropped.count()), (7, 1));
        drop(set.remove(never));
        assert!(set.is_empty());
    };
    on.here().spawn(check).wait().unwrap();
}

fn none_of_those_that_are_always_ready_starves(on: &Systems) {
    let check = async {
        let mut set = SelectAll::new();
        let mut wins = [0; 8];
        set.extend((0..8).map(ready));
        for _ in 0..800 {
            let (_, n) = set.next_ready().await.expect("there are eight");
            wins[n] += 1;
            set.insert(ready(n));
        }
        assert_eq!(wins, [100; 8], "whoever comes back waits for the others");
    };
    on.here().spawn(check).wait().unwrap();
}

fn a_set_of_offers_meets_one_at_a_time(on: &Systems) {
    let (tx, rx) = channel::rendezvous();
    let (other_tx, other_rx) = channel::rendezvous();
    let check = async move {
        let mut offers = select_all([tx.send(1), other_tx.send(2)]);
        assert!(poll_once(offers.next_ready()).is_none());
        // The set is waited for by nobody now, but the offer may still be taken up, by one of the two.
        let taken = rx.recv().await;
        assert_eq!(taken, Ok(1));
        let mut beside = other_rx.recv();
        assert!(
            poll_once(&mut beside).is_none(),
            "the other offer stands back until the set is waited for again"
        );
        assert!(matches!(offers.next_ready().await, Some((key, Ok(()))) if key.index() == 0));
        assert!(poll_once(&mut beside).is_none(), "one was met, and nobody waits for the other");
        let both = twoply_core::future::join((offers.next_ready(), beside)).await;
        assert!(matches!(both, (Some((_, Ok(()))), Ok(2))));
    };
    on.here().spawn(check).wait().unwrap();
}

fn operations_of_all_kinds_go_into_one_set(on: &Systems) {
    #[derive(Debug, PartialEq)]
    enum Event {
        Received(u32),
        Sent,
        Time,
        Done(&'static str),
    }
    let (full, room) = channel::bounded(1);
    full.try_send(0).unwrap();
    let (tx, messages) = channel::unbounded();
    let task = on.here().spawn(async { "done" });
    let events = on.here().spawn(async move {
        let (sender, receiver) = (full.clone(), messages.clone());
        let mut set: SelectAll<Boxed<Event>> = SelectAll::new();
        let keys = [
            set.insert(Box::pin(async move { Event::Received(receiver.recv().await.unwrap_or_default()) })),
            set.insert(Box::pin(async move { sender.send(1).await.map_or(Event::Time, |()| Event::Sent) })),
            set.insert(Box::pin(async {
                sleep(Duration::from_millis(1)).await;
                Event::Time
            })),
            set.insert(Box::pin(async { task.await.map_or(Event::Time, Event::Done) })),
        ];
        tx.try_send(7).unwrap();
        room.recv().await.unwrap();
        let mut events = BTreeMap::new();
        while let Some((key, event)) = set.next_ready().await {
            events.insert(key, event);
        }
        keys.map(|key| events.remove(&key))
    });
    let expected = [Event::Received(7), Event::Sent, Event::Time, Event::Done("done")];
    assert_eq!(events.wait().unwrap(), expected.map(Some));
}

/// The first of them spend a budget, about as many as it has units, and are woken before the others are
/// polled.
fn of_those_that_are_woken_while_a_budget_is_spent_none_is_forgotten(on: &Systems) {
    const ALL: usize = 200;
    for first in 120..=136 {
        let (done, is_done) = channel::unbounded();
        let gate = Gate::new();
        let (opened, last) = (gate.clone(), first - 1);
        let all = (0..ALL).map(move |n| {
            let (done, is_done, gate) = (done.clone(), is_done.clone(), opened.clone());
            async move {
                if n > last {
                    return gate.opened().await;
                }
                done.try_send(()).unwrap();
                is_done.recv().await.unwrap();
                yield_now().await;
                if n == last {
                    gate.open();
                }
            }
        });
        assert_eq!(on.here().spawn(join_all(all)).wait().unwrap().len(), ALL);
    }
}

/// A future that panics when it is polled for the second time.
async fn panics() -> u32 {
    yield_now().await;
    panic!("as it is to")
}

fn caught<R>(code: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(code)).ok()
}

fn a_future_that_panics_leaves_the_set(on: &Systems) {
    let task = on.here().spawn_fn(|| {
        let mut set: SelectAll<Boxed<u32>> = SelectAll::new();
        let bad = set.insert(Box::pin(panics()));
        assert!(caught(|| set.next_ready().wait()).is_none());
        assert!(!set.contains(bad) && set.is_empty());
        assert_eq!(set.next_ready().wait(), None);
        let good = set.insert(Box::pin(ready(7)));
        assert_ne!(good, bad, "a key is never used again");
        assert_eq!(set.next_ready().wait(), Some((good, 7)));
    });
    task.wait().unwrap();
}

fn what_needs_a_future_that_has_panicked_says_so(on: &Systems) {
    let task = on.here().spawn_fn(|| {
        let both = || -> [Boxed<u32>; 2] { [Box::pin(panics()), Box::pin(yielding(7))] };
        let mut joined = join_all(both());
        assert!(caught(|| (&mut joined).wait()).is_none());
        assert!(caught(|| (&mut joined).wait()).is_none(), "it has one output of two");
        let mut raced = race_all([panics(), panics()]);
        for _ in 0..3 {
            assert!(caught(|| (&mut raced).wait()).is_none());
        }
        let failing = || async { Err::<(), u32>(panics().await) };
        let mut any = any_all([failing()]);
        assert!(caught(|| (&mut any).wait()).is_none());
        assert!(caught(|| (&mut any).wait()).is_none(), "there is an error missing");
    });
    task.wait().unwrap();
}

/// A future that is ready when it is polled for the third time.
async fn yielding(n: u32) -> u32 {
    yield_now().await;
    yield_now().await;
    n
}
