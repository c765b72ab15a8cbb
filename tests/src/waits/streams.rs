//! The waits of streams: for the next item of each, and of those who go on to the end.

use twoply_core::channel::{self, Receiver, Source};
use twoply_core::stream::{self, Stream};

use super::{AnyWait, LONG, Waits, any_wait, leak, leak_mut, waits};
use crate::Gate;

/// The wait for an item of what `make` makes of a channel, which ends with the channel.
fn next<S>(name: &'static str, make: impl FnOnce(Receiver<u32>) -> S) -> Waits
where
    S: Stream<Item: Send> + Send + 'static,
{
    let (tx, rx) = channel::bounded(4);
    let stream = leak_mut(make(rx));
    waits(name, [any_wait(stream.next())], move || drop(tx))
}

/// The wait for the end of a channel.
fn last(name: &'static str, make: impl FnOnce(Receiver<u32>) -> AnyWait) -> Waits {
    let (tx, rx) = channel::bounded(4);
    waits(name, [make(rx)], move || drop(tx))
}

/// A future for each of `count` items that keeps its waker for ever, and the gate that has them go on.
fn gated(count: usize) -> (impl Stream<Item: Future<Output = ()> + Send> + Send + 'static, Gate) {
    let gate = Gate::new();
    let opened = gate.clone();
    let futures = stream::iter(0..count).map(move |_| {
        let gate = opened.clone();
        async move { gate.opened().await }
    });
    (futures, gate)
}

pub(super) fn streams() -> Vec<Waits> {
    let one = || stream::iter([1]);
    let (ended, signal) = channel::oneshot::<()>();
    let until = leak_mut(stream::poll_fn(|_| std::task::Poll::<Option<u32>>::Pending).take_until(signal));
    let (in_order, of_ordered) = gated(3);
    let (as_ready, of_unordered) = gated(3);
    let in_order = leak_mut(in_order.buffered(2));
    let as_ready = leak_mut(as_ready.buffered_unordered(2));
    let (source_tx, rx) = channel::bounded::<u32>(1);
    let source = leak(rx.into_stream().map(|n| n).into_source());
    let (news_tx, news) = channel::broadcast::<u32>(1);
    let news = leak_mut(news.into_stream());
    let (state_tx, state) = channel::watch(0);
    let state = leak_mut(state.into_stream());
    let (full, room) = channel::bounded::<u32>(1);
    full.try_send(0).expect("there is room");
    let full = leak(full);
    let (slow, slow_room) = channel::rendezvous::<u32>();
    vec![
        next("next", Source::into_stream),
        next("map", |rx| rx.into_stream().map(|n| n)),
        next("filter", |rx| rx.into_stream().filter(|_| true)),
        next("scan", |rx| rx.into_stream().scan((), |(), n| Some(n))),
        next("take", |rx| rx.into_stream().take(1)),
        next("take_while", |rx| rx.into_stream().take_while(|_| true)),
        next("skip", |rx| rx.into_stream().skip(1)),
        next("skip_while", |rx| rx.into_stream().skip_while(|_| true)),
        next("merge", |rx| rx.clone().into_stream().merge(rx.into_stream())),
        next("chain", |rx| rx.clone().into_stream().chain(rx.into_stream())),
        next("zip", move |rx| one().zip(rx.into_stream())),
        next("zipped", move |rx| rx.into_stream().zip(one())),
        next("chunks", move |rx| one().chain(rx.into_stream()).chunks(2)),
        next("chunks_timeout", move |rx| one().chain(rx.into_stream()).chunks_timeout(2, LONG)),
        next("timeout of an item", |rx| rx.into_stream().timeout(LONG)),
        next("throttle", |rx| rx.into_stream().throttle(LONG)),
        next("debounce", move |rx| one().chain(rx.into_stream()).debounce(LONG)),
        waits("take_until", [any_wait(until.next())], move || drop(ended)),
        waits("buffered", [any_wait(in_order.next())], move || of_ordered.open()),
        waits("buffered_unordered", [any_wait(as_ready.next())], move || of_unordered.open()),
        waits("source of a stream", [any_wait(source.recv()), any_wait(source.recv())], move || {
            drop(source_tx);
        }),
        waits("stream of a broadcast", [any_wait(news.next())], move || drop(news_tx)),
        waits("stream of a watch", [any_wait(state.next())], move || drop(state_tx)),
        last("fold", |rx| any_wait(rx.into_stream().fold(0, |sum, n| sum + n))),
        last("for_each", |rx| any_wait(rx.into_stream().for_each(drop))),
        last("collect", |rx| any_wait(leak_mut(rx.into_stream()).collect::<Vec<_>>())),
        waits("forward", [any_wait(one().forward(full)), any_wait(one().forward(full))], move || {
            room.close()
        }),
        waits("fan_out", [any_wait(one().fan_out([slow]))], move || slow_room.close()),
    ]
}
