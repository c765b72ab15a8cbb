//! Channels across all lines: every kind of sender with every kind of receiver, with nothing lost, doubled or
//! out of order, also when receives are cancelled all the time.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;

use twoply_core::channel::{self, Receiver, Sender};
use twoply_core::task::Task;
use twoply_core::{Wait, future::yield_now};
use twoply_tests::{Kind, System, watch};

/// Who uses an end of a channel.
#[derive(Clone, Copy, Debug)]
enum Who {
    /// A thread that is nobody's task.
    Thread,
    /// A task that awaits.
    Green,
    /// A task that blocks a fiber.
    Fiber,
    /// A native task.
    Native,
}

const EVERYBODY: [Who; 4] = [Who::Thread, Who::Green, Who::Fiber, Who::Native];

/// The runtimes of everybody.
struct World {
    /// For [`Who::Green`].
    green: System,
    /// For [`Who::Fiber`].
    fibers: System,
    /// For [`Who::Native`].
    native: System,
}

impl World {
    fn new(green: Kind, fibers: Kind) -> World {
        World { green: green.build(), fibers: fibers.build(), native: Kind::Native.build() }
    }

    /// Runs `code` as `who`; it is a future that `who` finishes in its own way.
    fn start<T: Send + 'static>(
        &self,
        who: Who,
        code: impl Future<Output = T> + Send + 'static,
    ) -> Box<dyn FnOnce() -> T> {
        let task = |task: Task<T>| -> Box<dyn FnOnce() -> T> { Box::new(move || task.wait().unwrap()) };
        match who {
            Who::Thread => {
                let thread = thread::spawn(move || code.wait());
                Box::new(move || thread.join().unwrap())
            }
            Who::Green => task(self.green.spawn(code)),
            Who::Fiber => task(self.fibers.spawn_fn(move || code.wait())),
            Who::Native => task(self.native.spawn_fn(move || code.wait())),
        }
    }

    fn end(self) {
        for system in [self.green, self.fibers, self.native] {
            system.shutdown(std::time::Duration::from_secs(10)).unwrap();
        }
    }
}

/// Runs `law` for each pair of a sender and a receiver.
fn every_pair(name: &str, law: impl Fn(&World, Who, Who)) {
    watch(name, || {
        for (green, fibers) in [(Kind::Green1, Kind::Fibers1), (Kind::Green2, Kind::Fibers2)] {
            let world = World::new(green, fibers);
            for from in EVERYBODY {
                for to in EVERYBODY {
                    law(&world, from, to);
                }
            }
            world.end();
        }
    });
}

/// The channels of each flavour.
fn flavours() -> [(Sender<usize>, Receiver<usize>); 4] {
    [channel::bounded(1), channel::bounded(8), channel::unbounded(), channel::rendezvous()]
}

async fn send_all(tx: Sender<usize>, messages: std::ops::Range<usize>) {
    for n in messages {
        tx.send(n).await.expect("somebody receives");
    }
}

async fn receive_all(rx: Receiver<usize>) -> Vec<usize> {
    let mut received = Vec::new();
    while let Ok(n) = rx.recv().await {
        received.push(n);
    }
    received
}

#[test]
fn every_message_arrives_in_order_between_every_pair() {
    const MESSAGES: usize = 200;
    every_pair("every_message_arrives_in_order_between_every_pair", |world, from, to| {
        for (tx, rx) in flavours() {
            let receiver = world.start(to, receive_all(rx));
            let sender = world.start(from, send_all(tx, 0..MESSAGES));
            sender();
            assert!(receiver().into_iter().eq(0..MESSAGES), "{from:?} to {to:?}");
        }
    });
}

#[test]
fn requests_and_answers_alternate_between_every_pair() {
    every_pair("requests_and_answers_alternate_between_every_pair", |world, from, to| {
        let (ask, asked) = channel::bounded(1);
        let (answer, answered) = channel::rendezvous();
        let server = world.start(to, async move {
            while let Ok(n) = asked.recv().await {
                answer.send(n + 1).await.unwrap();
            }
        });
        let client = world.start(from, async move {
            for n in 0..100 {
                ask.send(n).await.unwrap();
                assert_eq!(answered.recv().await, Ok(n + 1));
            }
        });
        client();
        server();
    });
}

#[test]
fn everybody_at_once_on_one_channel_loses_and_doubles_nothing() {
    watch("everybody_at_once_on_one_channel_loses_and_doubles_nothing", || {
        const EACH: usize = 300;
        let world = World::new(Kind::Green2, Kind::Fibers2);
        for (tx, rx) in flavours() {
            let receivers: Vec<_> =
                EVERYBODY.into_iter().map(|who| world.start(who, receive_all(rx.clone()))).collect();
            drop(rx);
            let senders: Vec<_> = EVERYBODY
                .into_iter()
                .enumerate()
                .map(|(n, who)| world.start(who, send_all(tx.clone(), n * EACH..(n + 1) * EACH)))
                .collect();
            drop(tx);
            senders.into_iter().for_each(|sender| sender());
            let received: Vec<Vec<usize>> = receivers.into_iter().map(|receiver| receiver()).collect();
            for list in &received {
                for sender in 0..EVERYBODY.len() {
                    let own = list.iter().filter(|&&n| n / EACH == sender);
                    assert!(own.is_sorted(), "messages of one sender arrive in order at each receiver");
                }
            }
            let mut all = received.concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..EVERYBODY.len() * EACH));
        }
        world.end();
    });
}

/// Receives, but gives each receive up after one poll without success, and begins anew a little later.
struct Fickle<F> {
    /// Makes a receive, polls it and drops it.
    once: F,
}

impl<F: FnMut(&mut Context<'_>) -> Poll<T> + Unpin, T> Future for Fickle<F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let polled = (self.once)(cx);
        if polled.is_pending() {
            cx.waker().wake_by_ref();
        }
        polled
    }
}

#[test]
fn cancelled_receives_of_anybody_cost_a_steady_one_of_anybody_no_message() {
    const MESSAGES: usize = 100;
    let name = "cancelled_receives_of_anybody_cost_a_steady_one_of_anybody_no_message";
    // Here `from` is who cancels, `to` is who stays.
    every_pair(name, |world, from, to| {
        for (tx, rx) in [channel::bounded(1), channel::unbounded()] {
            let (received, list) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
            let record = |n: usize, received: &AtomicUsize, list: &Mutex<Vec<usize>>| {
                list.lock().unwrap().push(n);
                received.fetch_add(1, Ordering::SeqCst);
            };
            let (theirs, counted, listed) = (rx.clone(), Arc::clone(&received), Arc::clone(&list));
            let fickle = world.start(from, async move {
                loop {
                    let once = |cx: &mut Context<'_>| {
                        let mut receive = theirs.recv();
                        Pin::new(&mut receive).poll(cx)
                    };
                    match (Fickle { once }).await {
                        Ok(n) => record(n, &counted, &listed),
                        Err(_) => return,
                    }
                    yield_now().await;
                }
            });
            let (counted, listed) = (Arc::clone(&received), Arc::clone(&list));
            let steady = world.start(to, async move {
                while let Ok(n) = rx.recv().await {
                    record(n, &counted, &listed);
                }
            });
            // Not all at once: both have to run dry again and again.
            for n in 0..MESSAGES {
                tx.send(n).wait().unwrap();
                if n % 25 == 24 {
                    twoply_tests::eventually("all so far arrived", || {
                        received.load(Ordering::SeqCst) == n + 1
                    });
                }
            }
            drop(tx);
            steady();
            fickle();
            let mut all = std::mem::take(&mut *list.lock().unwrap());
            all.sort_unstable();
            assert!(all.into_iter().eq(0..MESSAGES), "{from:?} cancels, {to:?} stays");
        }
    });
}

#[test]
fn the_end_of_either_side_reaches_the_other_between_every_pair() {
    every_pair("the_end_of_either_side_reaches_the_other_between_every_pair", |world, from, to| {
        for (tx, rx) in flavours() {
            let waiting = world.start(to, async move { rx.recv().await });
            let leaving = world.start(from, async move { drop(tx) });
            leaving();
            assert!(waiting().is_err(), "{from:?} leaves {to:?}");
        }
        for capacity in [0, 1] {
            let (tx, rx) = channel::bounded(capacity);
            let sending = world.start(to, async move {
                let mut sent = 0;
                while tx.send(sent).await.is_ok() {
                    sent += 1;
                }
                sent
            });
            let leaving = world.start(from, async move {
                let first = rx.recv().await;
                drop(rx);
                first
            });
            assert_eq!(leaving(), Ok(0));
            assert!((1..=capacity + 2).contains(&sending()));
        }
    });
}
