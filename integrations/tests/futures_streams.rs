//! Streams of twoply for those who want `futures::Stream`, and the other way round: each is a line.

use std::pin::Pin;
use std::time::Duration;

use futures::StreamExt;
use twoply::channel::{self, Source};
use twoply::stream::{self, Stream};
use twoply::{Wait, time};
use twoply_tests::{Systems, laws};

laws! {
    everywhere {
        channels_and_intervals_are_streams_of_futures,
        a_select_over_streams_of_futures_loses_nothing,
        streams_of_futures_are_ours,
    }
}

/// Makes a stream of the kind that futures has of one of ours.
fn as_futures<S: Stream>(mut stream: S) -> impl futures::Stream<Item = S::Item> {
    futures::stream::poll_fn(move |cx| stream.poll_next(cx))
}

/// Makes a stream of ours of one of the kind that futures has.
fn as_ours<S: futures::Stream + Unpin>(mut stream: S) -> impl Stream<Item = S::Item> {
    stream::poll_fn(move |cx| Pin::new(&mut stream).poll_next(cx))
}

fn channels_and_intervals_are_streams_of_futures(on: &Systems) {
    let (numbers, received) = channel::bounded(2);
    let sending = on.here().spawn_fn(move || (1..=4).for_each(|n| numbers.send(n).wait().unwrap()));
    let doubled = on.here().spawn(as_futures(received.into_stream()).map(|n| n * 2).collect::<Vec<_>>());
    assert_eq!(doubled.wait().unwrap(), [2, 4, 6, 8]);
    sending.wait().unwrap();
    let ticks = as_futures(time::interval(Duration::from_micros(100)).into_stream()).take(3).count();
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
        let (mut some, mut more) =
            (as_futures(some.into_stream()).fuse(), as_futures(more.into_stream()).fuse());
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

fn streams_of_futures_are_ours(on: &Systems) {
    let (tx, rx) = futures::channel::mpsc::unbounded();
    let merged = as_ours(rx).merge(as_ours(futures::stream::iter([10, 20])));
    let sum = on.here().spawn(merged.fold(0, |sum, n| sum + n));
    (1..=4).for_each(|n| tx.unbounded_send(n).unwrap());
    drop(tx);
    assert_eq!(sum.wait().unwrap(), 40);
}
