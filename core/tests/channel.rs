//! Channels: what every one of them promises, on plain threads. The conformance suites run the same laws on
//! tasks.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use twoply_core::channel::{
    self, Receiver, Receiving, RecvError, SendError, Sender, Sink, Source, TryRecvError, TrySendError,
};
use twoply_core::{Wait, coop};

/// A waker that counts.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn waker() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Waker::from(count))
    }

    fn wakes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(waker))
}

fn pending<F: Future + Unpin>(future: &mut F, waker: &Waker) -> bool {
    poll_once(future, waker).is_pending()
}

/// xorshift64*: tests repeat from their seed.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn every_channel() -> [(Sender<usize>, Receiver<usize>); 4] {
    [channel::rendezvous(), channel::bounded(1), channel::bounded(7), channel::unbounded()]
}

#[test]
fn messages_of_a_sender_arrive_in_order() {
    for (tx, rx) in every_channel() {
        let sender = thread::spawn(move || (0..1000).for_each(|n| tx.send(n).wait().unwrap()));
        assert!(rx.iter().eq(0..1000));
        sender.join().unwrap();
        assert_eq!(rx.recv().wait(), Err(RecvError));
    }
}

#[test]
fn each_message_reaches_exactly_one_receiver() {
    const EACH: usize = 2000;
    for (tx, rx) in every_channel() {
        let seen: Arc<Vec<AtomicUsize>> = Arc::new((0..3 * EACH).map(|_| AtomicUsize::new(0)).collect());
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                let (rx, seen) = (rx.clone(), Arc::clone(&seen));
                thread::spawn(move || {
                    let mut last = [0; 3];
                    for n in rx {
                        assert!(last[n / EACH] <= n, "overtaken by a later message of the same sender");
                        last[n / EACH] = n;
                        seen[n].fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let senders: Vec<_> = (0..3)
            .map(|s| {
                let tx = tx.clone();
                thread::spawn(move || (s * EACH..(s + 1) * EACH).for_each(|n| tx.send(n).wait().unwrap()))
            })
            .collect();
        drop((tx, rx));
        senders.into_iter().chain(receivers).for_each(|t| t.join().unwrap());
        assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == 1));
    }
}

#[test]
fn a_full_channel_hands_the_message_back() {
    let (tx, rx) = channel::bounded(2);
    assert_eq!((tx.capacity(), rx.capacity()), (Some(2), Some(2)));
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!(tx.len(), 2);
    assert_eq!(rx.try_recv(), Ok(1));
    tx.try_send(3).unwrap();
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [2, 3]);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn drain_takes_everything_and_makes_room() {
    let (tx, rx) = channel::bounded(4);
    (0..4).for_each(|n| tx.try_send(n).unwrap());
    let (count, waker) = Count::waker();
    let mut waiting = tx.send(4);
    assert!(pending(&mut waiting, &waker));
    assert_eq!(rx.drain().collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(count.wakes(), 1);
    (5..8).for_each(|n| tx.try_send(n).unwrap());
    assert_eq!(tx.try_send(8), Err(TrySendError::Full(8)), "the last place is promised");
    assert_eq!(poll_once(&mut waiting, &waker), Poll::Ready(Ok(())));
    drop(waiting);
    assert_eq!(rx.drain().collect::<Vec<_>>(), [5, 6, 7, 4]);
}

#[test]
fn a_closed_channel_gives_what_it_holds_and_then_ends() {
    let (tx, rx) = channel::unbounded();
    tx.send('a').wait().unwrap();
    rx.close();
    assert_eq!(tx.send('b').wait(), Err(SendError('b')));
    assert_eq!(tx.try_send('c'), Err(TrySendError::Closed('c')));
    assert!(tx.is_closed() && rx.is_closed());
    assert_eq!(rx.recv().wait(), Ok('a'));
    assert_eq!(rx.recv().wait(), Err(RecvError));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn the_last_sender_to_go_wakes_every_receiver() {
    for (tx, rx) in every_channel() {
        let (count, waker) = Count::waker();
        let mut waits: Vec<_> = (0..5).map(|_| rx.recv()).collect();
        assert!(waits.iter_mut().all(|w| pending(w, &waker)));
        let other = tx.clone();
        drop(tx);
        assert_eq!(count.wakes(), 0);
        drop(other);
        assert_eq!(count.wakes(), 5);
        assert!(waits.iter_mut().all(|w| poll_once(w, &waker) == Poll::Ready(Err(RecvError))));
    }
}

#[test]
fn the_last_receiver_to_go_wakes_every_sender_and_returns_its_message() {
    for (tx, rx) in [channel::rendezvous(), channel::bounded(1)] {
        let (count, waker) = Count::waker();
        let _ = tx.try_send(100);
        let mut waits: Vec<_> = (0..5).map(|n| tx.send(n)).collect();
        assert!(waits.iter_mut().all(|w| pending(w, &waker)));
        drop(rx);
        assert_eq!(count.wakes(), 5);
        for (n, wait) in waits.iter_mut().enumerate() {
            assert_eq!(poll_once(wait, &waker), Poll::Ready(Err(SendError(n))));
        }
        assert_eq!(tx.len(), 0);
    }
}

#[test]
fn sends_that_a_close_ends_leave_the_queued_messages_alone() {
    let (tx, rx) = channel::bounded(2);
    let (count, waker) = Count::waker();
    (0..2).for_each(|n| tx.try_send(n).unwrap());
    let mut waits: Vec<_> = (2..4).map(|n| tx.send(n)).collect();
    assert!(waits.iter_mut().all(|w| pending(w, &waker)));
    rx.close();
    assert_eq!(count.wakes(), 2);
    assert_eq!(poll_once(&mut waits[0], &waker), Poll::Ready(Err(SendError(2))));
    drop(waits);
    assert_eq!(rx.recv().wait(), Ok(0));
    assert_eq!(rx.iter().collect::<Vec<_>>(), [1]);
}

/// Fault class: starvation. A task that always finds a message lets others run all the same.
#[test]
fn a_receive_that_is_always_ready_yields_when_the_budget_is_spent() {
    let (tx, rx) = channel::unbounded();
    (0..1000).for_each(|n| tx.try_send(n).unwrap());
    let received = Cell::new(0);
    let mut task = pin!(async {
        while rx.recv().await.is_ok() {
            received.set(received.get() + 1);
        }
    });
    // Whoever waits beside it sees what it has done by then.
    poll_fn(|cx| {
        assert!(task.as_mut().poll(cx).is_pending());
        if received.get() < coop::BUDGET { Poll::Pending } else { Poll::Ready(()) }
    })
    .wait();
    assert_eq!(received.get(), coop::BUDGET);
}

/// Fault class: receiver gone. What is queued may be what somebody waits for the drop of.
#[test]
fn messages_are_dropped_with_the_last_receiver() {
    let (tx, rx) = channel::unbounded();
    let message = Arc::new(());
    let held = Arc::downgrade(&message);
    tx.try_send(message).unwrap();
    drop(rx.clone());
    assert!(held.upgrade().is_some());
    drop(rx);
    assert!(held.upgrade().is_none(), "the sender keeps it alive");
    drop(tx);
}

#[test]
fn no_message_survives_a_receiver_that_goes_while_it_is_sent() {
    for _ in 0..300 {
        let (tx, rx) = channel::unbounded();
        let message = Arc::new(());
        let held = Arc::downgrade(&message);
        let go = Arc::new(AtomicBool::new(false));
        let dropper = {
            let go = Arc::clone(&go);
            thread::spawn(move || {
                while !go.load(Ordering::Acquire) {
                    thread::yield_now();
                }
                drop(rx);
            })
        };
        go.store(true, Ordering::Release);
        drop(tx.try_send(message));
        dropper.join().unwrap();
        assert!(held.upgrade().is_none());
    }
}

struct PanicsOnDrop(Arc<AtomicUsize>);

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("in a destructor");
    }
}

#[test]
fn a_destructor_that_panics_leaves_no_message_behind_and_breaks_nothing() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = channel::bounded(3);
    (0..3).for_each(|_| drop(tx.try_send(PanicsOnDrop(Arc::clone(&drops)))));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(rx))).is_err());
    assert_eq!(drops.load(Ordering::SeqCst), 3);
    assert!(tx.is_closed());
    let refused = tx.try_send(PanicsOnDrop(Arc::clone(&drops))).unwrap_err();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(refused))).is_err());
}

#[test]
fn a_dropped_receive_has_received_nothing_and_wakes_the_next() {
    for (tx, rx) in [channel::bounded(1), channel::unbounded()] {
        let (first, first_waker) = Count::waker();
        let (second, second_waker) = Count::waker();
        let (mut a, mut b) = (rx.recv(), rx.recv());
        assert!(pending(&mut a, &first_waker) && pending(&mut b, &second_waker));
        tx.try_send(1).unwrap();
        assert_eq!((first.wakes(), second.wakes()), (1, 0));
        drop(a);
        assert_eq!(second.wakes(), 1, "the wake-up of a cancelled receive is lost");
        assert_eq!(poll_once(&mut b, &second_waker), Poll::Ready(Ok(1)));
    }
}

#[test]
fn a_dropped_send_has_not_sent_and_its_place_goes_to_the_next() {
    let (tx, rx) = channel::bounded(1);
    let (first, first_waker) = Count::waker();
    let (second, second_waker) = Count::waker();
    tx.try_send(0).unwrap();
    let (mut a, mut b) = (tx.send(1), tx.send(2));
    assert!(pending(&mut a, &first_waker) && pending(&mut b, &second_waker));
    assert_eq!(rx.try_recv(), Ok(0));
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    drop(a);
    assert_eq!(second.wakes(), 1);
    assert_eq!(poll_once(&mut b, &second_waker), Poll::Ready(Ok(())));
    drop(b);
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [2]);
}

#[test]
fn a_waiting_future_keeps_no_waker_once_it_is_gone() {
    for (tx, rx) in every_channel() {
        let (count, waker) = Count::waker();
        let mut recv = rx.recv();
        assert!(pending(&mut recv, &waker));
        drop((recv, waker));
        assert_eq!(Arc::strong_count(&count), 1);
        let waker = Waker::from(Arc::clone(&count));
        let _ = tx.try_send(0);
        let mut send = tx.send(1);
        if pending(&mut send, &waker) {
            assert_eq!(Arc::strong_count(&count), 3);
        }
        drop((send, waker));
        assert_eq!(Arc::strong_count(&count), 1);
    }
}

#[test]
fn nobody_overtakes_a_send_that_waits() {
    let (tx, rx) = channel::bounded(1);
    let (_, waker) = Count::waker();
    tx.try_send(0).unwrap();
    let mut waits: Vec<_> = (1..4).map(|n| tx.send(n)).collect();
    assert!(waits.iter_mut().all(|w| pending(w, &waker)));
    for (n, wait) in waits.iter_mut().enumerate() {
        assert_eq!(rx.try_recv(), Ok(n));
        assert!(tx.try_send(99).is_err_and(|e| e.is_full()));
        assert!(pending(&mut tx.send(99), &waker));
        assert_eq!(poll_once(wait, &waker), Poll::Ready(Ok(())));
    }
    assert_eq!(rx.try_recv(), Ok(3));
    assert!(rx.is_empty());
    tx.try_send(4).unwrap();
}

#[test]
fn a_rendezvous_is_done_when_the_message_has_been_taken() {
    let (tx, rx) = channel::bounded(0);
    let (count, waker) = Count::waker();
    assert_eq!(tx.capacity(), Some(0));
    assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
    let mut send = tx.send(2);
    assert!(pending(&mut send, &waker) && pending(&mut send, &waker));
    assert_eq!((rx.len(), count.wakes()), (1, 0));
    assert_eq!(rx.try_recv(), Ok(2));
    assert_eq!((rx.len(), count.wakes()), (0, 1));
    assert_eq!(poll_once(&mut send, &waker), Poll::Ready(Ok(())));
}

#[test]
fn a_dropped_rendezvous_withdraws_its_message() {
    let (tx, rx) = channel::rendezvous();
    let (_, waker) = Count::waker();
    let (mut a, mut b) = (tx.send(1), tx.send(2));
    assert!(pending(&mut a, &waker) && pending(&mut b, &waker));
    drop(a);
    assert_eq!(rx.try_recv(), Ok(2));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
}

/// Fault class: flume loses the wake-up of a blocked receiver when an async receive is cancelled.
#[test]
fn cancelled_receives_lose_no_wake_up_of_a_blocked_one() {
    const MESSAGES: usize = 4000;
    for (tx, rx) in every_channel() {
        let received = Arc::new(AtomicUsize::new(0));
        let blocked: Vec<_> = (0..2)
            .map(|_| {
                let (rx, received) = (rx.clone(), Arc::clone(&received));
                thread::spawn(move || {
                    for _ in rx {
                        received.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let canceller = {
            let (rx, received) = (rx.clone(), Arc::clone(&received));
            thread::spawn(move || {
                let waker = Waker::noop();
                while !rx.is_closed() {
                    let mut recv = rx.recv();
                    if let Poll::Ready(Ok(_)) = poll_once(&mut recv, waker) {
                        received.fetch_add(1, Ordering::Relaxed);
                    }
                    thread::yield_now();
                }
            })
        };
        drop(rx);
        for n in 0..MESSAGES {
            tx.send(n).wait().unwrap();
            // A lost wake-up shows when nothing else is sent meanwhile.
            if n % 16 == 0 {
                while received.load(Ordering::Relaxed) <= n {
                    thread::yield_now();
                }
            }
        }
        drop(tx);
        blocked.into_iter().for_each(|t| t.join().unwrap());
        canceller.join().unwrap();
        assert_eq!(received.load(Ordering::Relaxed), MESSAGES);
    }
}

/// The same of senders: others cancel their sends while two threads are blocked in theirs.
#[test]
fn cancelled_sends_lose_no_wake_up_of_a_blocked_one() {
    const EACH: usize = 1500;
    for (tx, rx) in [channel::rendezvous(), channel::bounded(1), channel::bounded(3)] {
        let stop = Arc::new(AtomicBool::new(false));
        let blocked: Vec<_> = (0..2)
            .map(|_| {
                let tx = tx.clone();
                thread::spawn(move || (0..EACH).for_each(|n| tx.send(n).wait().unwrap()))
            })
            .collect();
        let canceller = {
            let (tx, stop) = (tx.clone(), Arc::clone(&stop));
            thread::spawn(move || {
                let waker = Waker::noop();
                while !stop.load(Ordering::Relaxed) {
                    let mut send = tx.send(usize::MAX);
                    if poll_once(&mut send, waker).is_pending() {
                        thread::yield_now();
                    }
                }
            })
        };
        let mut received = 0;
        while received < 2 * EACH {
            received += usize::from(rx.recv().wait().unwrap() != usize::MAX);
        }
        stop.store(true, Ordering::Relaxed);
        blocked.into_iter().for_each(|t| t.join().unwrap());
        canceller.join().unwrap();
    }
}

/// Random programs against a model: a queue, and what each future has been told.
#[test]
fn random_programs_agree_with_a_queue() {
    for seed in 1..400u64 {
        let mut random = Seeded(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let capacity = 1 + random.below(3) as usize;
        let (tx, rx) = channel::bounded(capacity);
        let (_, waker) = Count::waker();
        let mut sends = Vec::new();
        let mut recvs = Vec::new();
        let (mut next, mut sent, mut received) = (0usize, Vec::new(), Vec::new());
        for _ in 0..200 {
            match random.below(8) {
                0 | 1 => {
                    sends.push((next, tx.send(next)));
                    next += 1;
                }
                2 | 3 => recvs.push(rx.recv()),
                4 if !sends.is_empty() => drop(sends.remove(random.below(sends.len() as u64) as usize)),
                5 if !recvs.is_empty() => drop(recvs.remove(random.below(recvs.len() as u64) as usize)),
                6 if !sends.is_empty() => {
                    let i = random.below(sends.len() as u64) as usize;
                    if let Poll::Ready(result) = poll_once(&mut sends[i].1, &waker) {
                        result.unwrap();
                        sent.push(sends.remove(i).0);
                    }
                }
                7 if !recvs.is_empty() => {
                    let i = random.below(recvs.len() as u64) as usize;
                    if let Poll::Ready(result) = poll_once(&mut recvs[i], &waker) {
                        received.push(result.unwrap());
                        drop(recvs.remove(i));
                    }
                }
                _ => {}
            }
            assert!(tx.len() <= capacity, "seed {seed}: over its capacity");
            assert_eq!(tx.len(), sent.len() - received.len(), "seed {seed}");
        }
        drop(sends);
        drop(recvs);
        received.extend(rx.try_iter());
        assert_eq!(received, sent, "seed {seed}");
        // Nothing was lost on the way: every place is free again.
        (0..capacity).for_each(|n| tx.try_send(n).unwrap());
        assert!(tx.try_send(0).is_err());
    }
}

#[test]
fn ends_work_behind_dyn_and_generics() {
    fn pass(source: &impl Source<u8>, sink: &impl Sink<u8>) {
        sink.send(source.recv().wait().unwrap()).wait().unwrap();
    }
    let (tx, rx) = channel::bounded(1);
    let (tx2, rx2) = channel::bounded(1);
    let boxed: Box<dyn Source<u8> + Send + Sync> = Box::new(rx);
    let shared: Arc<dyn Sink<u8> + Send + Sync> = Arc::new(tx2);
    tx.try_send(5).unwrap();
    pass(&boxed, &shared);
    let by_ref: &dyn Source<u8> = &rx2;
    assert_eq!(Receiving::new(by_ref).wait(), Ok(5));
}

#[test]
fn ends_and_futures_can_go_to_another_thread() {
    fn is_send<T: Send>(_: &T) {}
    fn is_sync<T: Sync>(_: &T) {}
    fn is_unpin<T: Unpin>(_: &T) {}
    let (tx, rx) = channel::bounded(1);
    is_send(&tx);
    is_sync(&tx);
    is_send(&rx);
    is_sync(&rx);
    let (send, recv) = (tx.send(std::marker::PhantomPinned), rx.recv());
    is_send(&send);
    is_unpin(&send);
    is_send(&recv);
    is_unpin(&recv);
}

#[test]
fn errors_and_ends_print_without_asking_the_message() {
    struct Opaque;
    let (tx, rx) = channel::bounded(1);
    assert!(format!("{tx:?} {rx:?} {:?}", tx.send(Opaque)).contains("Sender"));
    drop(rx);
    let error = tx.send(Opaque).wait().unwrap_err();
    assert_eq!(format!("{error:?}: {error}"), "SendError(..): sending on a closed channel");
}
