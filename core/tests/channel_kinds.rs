//! The channels beside the queues: oneshot, watch and broadcast.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use twoply_core::Wait;
use twoply_core::channel::{self, RecvError, SendError, TryRecvError, broadcast};

/// A waker that counts.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn count() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (Arc::clone(&count), Waker::from(count))
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

#[test]
fn a_oneshot_passes_one_message() {
    let (tx, mut rx) = channel::oneshot();
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    let sender = thread::spawn(move || tx.send("answer"));
    assert_eq!((&mut rx).wait(), Ok("answer"));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    sender.join().unwrap().unwrap();
}

#[test]
fn a_oneshot_never_hangs_when_one_side_is_gone() {
    let (tx, mut rx) = channel::oneshot::<u8>();
    let (wakes, waker) = count();
    assert!(poll(&mut rx, &waker).is_pending());
    drop(tx);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert_eq!(poll(&mut rx, &waker), Poll::Ready(Err(RecvError)));
    let (tx, rx) = channel::oneshot();
    assert!(!tx.is_closed());
    drop(rx);
    assert!(tx.is_closed());
    assert_eq!(tx.send(1), Err(SendError(1)));
}

#[test]
fn a_dropped_oneshot_keeps_neither_message_nor_waker() {
    let message = Arc::new(());
    let held = Arc::downgrade(&message);
    let (tx, rx) = channel::oneshot();
    tx.send(message).unwrap();
    drop(rx);
    assert!(held.upgrade().is_none());
    let (tx, mut rx) = channel::oneshot::<u8>();
    let (wakes, waker) = count();
    assert!(poll(&mut rx, &waker).is_pending());
    drop((rx, waker));
    assert_eq!(Arc::strong_count(&wakes), 1);
    assert!(tx.is_closed());
}

#[test]
fn a_watch_shows_the_latest_value() {
    let (tx, mut rx) = channel::watch(0);
    let mut late = rx.clone();
    assert!(!rx.has_changed());
    (1..4).for_each(|n| tx.send(n).unwrap());
    assert_eq!(rx.changed().wait().as_deref(), Ok(&3));
    assert!(!rx.has_changed());
    let (wakes, waker) = count();
    assert!(poll(&mut rx.changed(), &waker).is_pending());
    {
        let (mut a, mut b) = (rx.changed(), late.changed());
        assert_eq!(poll(&mut b, &waker).map(|v| *v.unwrap()), Poll::Ready(3));
        assert!(poll(&mut a, &waker).is_pending());
        assert_eq!(*tx.replace(4), 3);
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        drop(a);
    }
    assert!(rx.has_changed(), "a dropped future has seen the value");
    drop(tx);
    assert_eq!(rx.changed().wait().as_deref(), Ok(&4));
    assert_eq!(rx.changed().wait(), Err(RecvError));
    assert!(rx.is_closed());
}

#[test]
fn a_watch_wakes_everyone_who_waits_for_a_value() {
    let (tx, rx) = channel::watch(0);
    let waiters: Vec<_> = (0..4)
        .map(|_| {
            let mut rx = rx.clone();
            thread::spawn(move || *rx.wait_for(|n| *n >= 500).wait().unwrap())
        })
        .collect();
    drop(rx);
    for n in 0..=500 {
        if tx.send(n).is_err() {
            break;
        }
    }
    assert!(waiters.into_iter().all(|t| t.join().unwrap() == 500));
    assert_eq!(tx.send(0), Err(SendError(0)));
    let mut again = tx.subscribe();
    tx.send(7).unwrap();
    assert_eq!(*again.latest(), 7);
}

#[test]
fn a_broadcast_reaches_everyone_in_order() {
    let (tx, rx) = channel::broadcast(1024);
    let receivers: Vec<_> = (0..3)
        .map(|_| {
            let mut rx = rx.clone();
            thread::spawn(move || {
                let mut got = Vec::new();
                while let Ok(n) = rx.recv().wait() {
                    got.push(n);
                }
                got
            })
        })
        .collect();
    (0..1000).for_each(|n| assert_eq!(tx.send(n), Ok(4)));
    drop((tx, rx));
    assert!(receivers.into_iter().all(|t| t.join().unwrap().into_iter().eq(0..1000)));
}

#[test]
fn a_slow_receiver_is_told_what_it_has_missed() {
    let (tx, mut rx) = channel::broadcast(4);
    (0..10).for_each(|n| assert_eq!(tx.send(n), Ok(1)));
    let mut late = tx.subscribe();
    assert_eq!(rx.len(), 10);
    assert_eq!(rx.try_recv(), Err(broadcast::TryRecvError::Lagged(6)));
    assert_eq!([(); 4].map(|()| rx.try_recv().unwrap()), [6, 7, 8, 9]);
    assert_eq!(rx.try_recv(), Err(broadcast::TryRecvError::Empty));
    assert_eq!(late.try_recv(), Err(broadcast::TryRecvError::Empty));
    let (wakes, waker) = count();
    assert!(poll(&mut late.recv(), &waker).is_pending());
    let mut recv = late.recv();
    assert!(poll(&mut recv, &waker).is_pending());
    drop(tx);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert_eq!(poll(&mut recv, &waker), Poll::Ready(Err(broadcast::RecvError::Closed)));
}

#[test]
fn a_broadcast_without_receivers_hands_the_message_back() {
    let (tx, rx) = channel::broadcast(4);
    let message = Arc::new(());
    let held = Arc::downgrade(&message);
    tx.send(message).unwrap();
    drop(rx);
    assert!(held.upgrade().is_none(), "kept for nobody");
    assert!(tx.send(Arc::new(())).is_err());
    let mut rx = tx.subscribe();
    tx.send(Arc::new(())).unwrap();
    assert!(rx.try_recv().is_ok());
}

/// Clones are made outside of the lock: one that panics breaks nothing.
#[test]
fn a_clone_that_panics_leaves_the_broadcast_usable() {
    #[derive(Debug)]
    struct Bomb(bool);
    impl Clone for Bomb {
        fn clone(&self) -> Bomb {
            assert!(!self.0, "cloned");
            Bomb(false)
        }
    }
    let (tx, mut rx) = channel::broadcast(4);
    let _other = tx.subscribe();
    tx.send(Bomb(true)).unwrap();
    tx.send(Bomb(false)).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| rx.recv().wait())).is_err());
    assert!(!rx.recv().wait().unwrap().0);
}
