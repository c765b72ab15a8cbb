//! Streams and channels of twoply for those who want `futures::Stream` and `futures::Sink`, streams of
//! futures as ours, and which futures are `FusedFuture`.

use std::convert::Infallible;
use std::future::IntoFuture;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures::future::FusedFuture;
use futures::{SinkExt, StreamExt};
use twoply::actor::{self, Actor, Context};
use twoply::channel::{self, SendError, Source};
use twoply::futures::{AsSink, AsStream};
use twoply::stream::{self, Stream};
use twoply::sync::{Barrier, Mutex, RwLock, Semaphore};
use twoply::{Wait, promise, task, time};
use twoply_tests::{Systems, laws};

laws! {
    everywhere {
        channels_and_intervals_are_streams_of_futures,
        a_select_over_streams_of_futures_loses_nothing,
        a_channel_is_a_sink_of_futures,
        a_sink_that_is_dropped_waits_no_more,
        streams_of_futures_are_ours,
        futures_say_that_they_are_over,
        what_is_over_is_no_arm_of_a_select,
    }
}

/// Makes a stream of ours of one of the kind that futures has.
fn as_ours<S: futures::Stream + Unpin>(mut stream: S) -> impl Stream<Item = S::Item> {
    stream::poll_fn(move |cx| Pin::new(&mut stream).poll_next(cx))
}

fn channels_and_intervals_are_streams_of_futures(on: &Systems) {
    let (numbers, received) = channel::bounded(2);
    let sending = on.here().spawn_fn(move || (1..=4).for_each(|n| numbers.send(n).wait().unwrap()));
    let doubled = on.here().spawn(AsStream::new(received.into_stream()).map(|n| n * 2).collect::<Vec<_>>());
    assert_eq!(doubled.wait().unwrap(), [2, 4, 6, 8]);
    sending.wait().unwrap();
    let ticks = AsStream::new(time::interval(Duration::from_micros(100)).into_stream()).take(3).count();
    assert_eq!(on.here().spawn(ticks).wait().unwrap(), 3);
}

fn a_select_over_streams_of_futures_loses_nothing(on: &Systems) {
    let ((numbers, some), (more_numbers, more)) = (channel::bounded(1), channel::bounded(1));
    let senders = [numbers, more_numbers].map(|tx| {
        on.here().spawn(async move {
            for n in 1..=50_u32 {
                tx.send(n).await.unwrap()
            }
        })
    });
    let sum = on.here().spawn(async move {
        let (mut some, mut more) = (AsStream::new(some.into_stream()), AsStream::new(more.into_stream()));
        let mut sum = 0;
        loop {
            futures::select! {
                n = some.select_next_some() => sum += n,
                n = more.select_next_some() => sum += n,
                complete => break sum,
            }
        }
    });
    assert_eq!(sum.wait().unwrap(), 2 * 1275);
    senders.into_iter().for_each(|sender| sender.wait().unwrap());
}

fn a_channel_is_a_sink_of_futures(on: &Systems) {
    let (tx, rx) = channel::rendezvous();
    let sending = on.here().spawn(async move {
        let mut sink = AsSink::new(tx);
        sink.send_all(&mut futures::stream::iter((1..=4).map(Ok))).await.unwrap();
        sink.close().await.unwrap();
        assert_eq!(sink.feed(5).await, Err(SendError(5)));
    });
    let received = on.here().spawn(rx.into_stream().collect::<Vec<_>>());
    assert_eq!(received.wait().unwrap(), [1, 2, 3, 4]);
    sending.wait().unwrap();

    let (tx, rx) = channel::bounded(1);
    let mut sink = AsSink::new(tx);
    sink.send(1).wait().unwrap();
    // There is no room for it, so it waits.
    sink.feed(2).wait().unwrap();
    drop(rx);
    assert_eq!(on.here().spawn(async move { sink.flush().await }).wait().unwrap(), Err(SendError(2)));
}

fn a_sink_that_is_dropped_waits_no_more(on: &Systems) {
    let (tx, rx) = channel::bounded(1);
    let waiting = tx.clone();
    tx.try_send(1).unwrap();
    let first = on.here().spawn(async move {
        let mut sink = AsSink::new(waiting);
        sink.feed(2).await.unwrap();
        assert!(futures::poll!(pin!(sink.flush())).is_pending(), "there is no room");
    });
    first.wait().unwrap();
    assert_eq!(rx.recv().wait(), Ok(1));
    // The room is for the next one, and not for a message that has gone.
    tx.try_send(3).unwrap();
    assert_eq!(rx.recv().wait(), Ok(3));
    assert!(rx.is_empty());
}

fn streams_of_futures_are_ours(on: &Systems) {
    let (tx, rx) = futures::channel::mpsc::unbounded();
    let merged = as_ours(rx).merge(as_ours(futures::stream::iter([10, 20])));
    let sum = on.here().spawn(merged.fold(0, |sum, n| sum + n));
    (1..=4).for_each(|n| tx.unbounded_send(n).unwrap());
    drop(tx);
    assert_eq!(sum.wait().unwrap(), 40);
}

struct Quiet;

impl Actor for Quiet {
    type Message = ();
    type Error = Infallible;

    async fn handle(&mut self, _: (), _: &mut Context<Quiet>) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Has a future come out, which says before that it is not over, and after that it is.
async fn finish<F: FusedFuture + Unpin>(mut future: F) -> F::Output {
    assert!(!future.is_terminated());
    let output = (&mut future).await;
    assert!(future.is_terminated());
    output
}

fn futures_say_that_they_are_over(on: &Systems) {
    let all = on.here().spawn(async move {
        assert_eq!(finish(twoply::spawn(async { 1 })).await.unwrap(), 1);
        let (promised, resolver) = promise::pair();
        resolver.resolve(2).unwrap();
        assert_eq!(finish(promised.clone().into_future()).await.unwrap(), 2);
        let (answer, resolver) = promise::answer();
        resolver.resolve(3).unwrap();
        assert_eq!(finish(answer).await.unwrap(), 3);
        let mutex = Arc::new(Mutex::new(4));
        assert_eq!(*finish(mutex.lock()).await, 4);
        assert_eq!(*finish(mutex.lock().checked()).await.unwrap(), 4);
        assert_eq!(*finish(Arc::clone(&mutex).lock_owned()).await, 4);
        let lock = Arc::new(RwLock::new(5));
        assert_eq!((*finish(lock.read()).await, *finish(lock.read().checked()).await.unwrap()), (5, 5));
        assert_eq!(*finish(lock.write()).await, 5);
        assert_eq!(*finish(lock.write().checked()).await.unwrap(), 5);
        assert_eq!(*finish(Arc::clone(&lock).read_owned()).await, 5);
        assert_eq!(*finish(Arc::clone(&lock).write_owned()).await, 5);
        let semaphore = Arc::new(Semaphore::new(6));
        assert_eq!(finish(semaphore.acquire_many(6)).await.unwrap().count(), 6);
        assert_eq!(finish(Arc::clone(&semaphore).acquire_owned()).await.unwrap().count(), 1);
        assert!(finish(Barrier::new(1).wait()).await.is_leader());
        assert_eq!(finish(task::shield(async { 7 })).await, 7);
        let start = || actor::Builder::new().start_actor(Quiet);
        assert!(finish(start()).await.is_ok());
        assert!(finish(start().timeout(Duration::from_secs(60))).await.is_ok());
    });
    all.wait().unwrap();
}

fn what_is_over_is_no_arm_of_a_select(on: &Systems) {
    let ((answer, answering), (late, ask)) = (promise::answer(), channel::bounded(1));
    let mutex = Arc::new(Mutex::new(()));
    let held = Arc::clone(&mutex).lock_owned().wait();
    let mut task = on.here().spawn(async move { ask.recv().await.unwrap() });
    let selecting = on.here().spawn(async move {
        let (mut answer, mut lock) = (answer, mutex.lock_owned());
        let (mut order, mut held) = (Vec::new(), Some(held));
        loop {
            futures::select! {
                _guard = lock => order.push(("lock", 3)),
                number = answer => {
                    order.push(("answer", number.unwrap()));
                    late.try_send(2).unwrap();
                }
                number = task => {
                    order.push(("task", number.unwrap()));
                    drop(held.take());
                }
                complete => break order,
            }
        }
    });
    answering.resolve(1).unwrap();
    assert_eq!(selecting.wait().unwrap(), [("answer", 1), ("task", 2), ("lock", 3)]);
}
