//! Streams: what they give, that no wait which is given up loses anything, and who works how much at once.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use twoply_core::channel::{self, Receiver, RecvError, SendError, Source, TryRecvError};
use twoply_core::future::{OneOf, join_all, select, yield_now};
use twoply_core::stream::{self, Stream};
use twoply_core::time::{now, sleep, timeout};
use twoply_core::{Wait, task};
use twoply_tests::{Gate, Signal, Systems, laws};

laws! {
    and_mixed {
        a_stream_gives_what_an_iterator_gives,
        a_wait_that_is_given_up_loses_nothing,
        several_consumers_get_each_item_once,
        a_fan_out_sends_everything_to_everybody,
    }
    everywhere {
        the_streams_of_other_channels_give_what_their_receivers_do,
        buffered_work_keeps_its_order_and_its_limit,
        unordered_work_comes_as_it_is_ready,
        buffered_tasks_run_in_parallel,
        work_that_is_under_way_goes_on_after_a_wait_is_given_up,
        a_group_that_is_not_full_goes_out_in_time,
        a_throttle_spaces_items_and_leaves_none_out,
        a_debounce_gives_the_last_of_a_burst,
        a_time_limit_for_each_item_goes_on_while_nobody_asks,
        a_stream_ends_when_its_signal_comes,
        a_stream_that_is_always_ready_lets_others_run,
        a_consumer_that_gives_up_lets_another_one_have_the_item,
        a_closure_that_panics_harms_its_caller_only,
        a_forward_hands_back_what_nobody_takes,
    }
}

/// A time that a stream waits for more: longer than its consumer may stand still between two steps.
const WINDOW: Duration = Duration::from_millis(500);

type Strings = Box<dyn Stream<Item = String> + Send>;

/// What is made of a stream of numbers, and of an iterator of the same.
struct Case {
    name: &'static str,
    of_stream: fn(Receiver<u32>) -> Strings,
    of_iterator: fn(Vec<u32>) -> Vec<String>,
}

fn strings<T: Debug>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| format!("{item:?}")).collect()
}

fn show<S: Stream<Item: Debug> + Send + 'static>(stream: S) -> Strings {
    Box::new(stream.map(|item| format!("{item:?}")))
}

/// A time that no test lives to see.
const LONG: Duration = Duration::from_secs(10_000);

fn cases() -> Vec<Case> {
    let case = |name, of_stream, of_iterator| Case { name, of_stream, of_iterator };
    vec![
        case(
            "map",
            |rx| show(rx.into_stream().map(|n: u32| n + 1)),
            |all| strings(all.iter().map(|n| n + 1)),
        ),
        case(
            "filter",
            |rx| show(rx.into_stream().filter(|n| n % 3 == 0)),
            |all| strings(all.into_iter().filter(|n| n % 3 == 0)),
        ),
        case(
            "filter_map",
            |rx| show(rx.into_stream().filter_map(|n: u32| n.checked_sub(10))),
            |all| strings(all.into_iter().filter_map(|n| n.checked_sub(10))),
        ),
        case(
            "scan",
            |rx| show(rx.into_stream().scan(0, sum_to_1000)),
            |all| strings(all.into_iter().scan(0, sum_to_1000)),
        ),
        case("take", |rx| show(rx.into_stream().take(7)), |all| strings(all.into_iter().take(7))),
        case(
            "take_while",
            |rx| show(rx.into_stream().take_while(|n| *n < 20)),
            |all| strings(all.into_iter().take_while(|n| *n < 20)),
        ),
        case("take_until", |rx| show(rx.into_stream().take_until(std::future::pending::<()>())), strings),
        case("skip", |rx| show(rx.into_stream().skip(9)), |all| strings(all.into_iter().skip(9))),
        case(
            "skip_while",
            |rx| show(rx.into_stream().skip_while(|n| n % 30 < 20)),
            |all| strings(all.into_iter().skip_while(|n| n % 30 < 20)),
        ),
        case(
            "chain",
            |rx| show(stream::iter(0..3).chain(rx.into_stream()).chain(stream::iter(7..9))),
            |all| strings((0..3).chain(all).chain(7..9)),
        ),
        case(
            "zip",
            |rx| show((rx.clone()).into_stream().zip(stream::iter(1000..))),
            |all| strings(all.into_iter().zip(1000..)),
        ),
        case("zipped", |rx| show(stream::iter(0..30).zip(rx.into_stream())), |all| strings((0..30).zip(all))),
        case("chunks", |rx| show(rx.into_stream().chunks(7)), |all| strings(all.chunks(7).map(Vec::from))),
        case(
            "chunks_timeout",
            |rx| show(rx.into_stream().chunks_timeout(7, LONG)),
            |all| strings(all.chunks(7).map(Vec::from)),
        ),
        case(
            "timeout",
            |rx| show(rx.into_stream().timeout(LONG)),
            |all| strings(all.into_iter().map(Ok::<_, ()>)),
        ),
        case("throttle", |rx| show(rx.into_stream().throttle(Duration::from_micros(10))), strings),
        case("buffered", |rx| show(rx.into_stream().map(slow).buffered(5)), strings),
        case(
            "buffered tasks",
            |rx| show(rx.into_stream().map(|n| task::spawn(slow(n))).buffered(5)),
            |all| strings(all.into_iter().map(Ok::<_, ()>)),
        ),
        case(
            "through a source",
            |rx| show(rx.into_stream().map(|n: u32| n).into_source().into_stream()),
            strings,
        ),
        case("several", several, |all| {
            let odd: Vec<u32> = all.into_iter().filter(|n| n % 2 == 1).take(30).collect();
            strings(odd.chunks(4).map(Vec::from))
        }),
    ]
}

fn sum_to_1000(sum: &mut u32, n: u32) -> Option<u32> {
    *sum += n;
    (*sum < 1000).then_some(*sum)
}

fn several(rx: Receiver<u32>) -> Strings {
    show(
        rx.into_stream()
            .map(slow)
            .buffered(3)
            .filter(|n| n % 2 == 1)
            .take(30)
            .chunks(4)
            .timeout(LONG)
            .map(Result::unwrap),
    )
}

/// Gives `n` after `n % 3` turns of other tasks.
async fn slow(n: u32) -> u32 {
    for _ in 0..n % 3 {
        yield_now().await;
    }
    n
}

const ITEMS: u32 = 100;

/// Sends numbers from over there into a channel with little room.
fn numbers(on: &Systems) -> Receiver<u32> {
    let (tx, rx) = channel::bounded(3);
    let send = async move {
        for n in 0..ITEMS {
            if n % 7 == 0 {
                yield_now().await;
            }
            if tx.send(n).await.is_err() {
                return;
            }
        }
    };
    on.there().spawn(send).detach();
    rx
}

fn a_stream_gives_what_an_iterator_gives(on: &Systems) {
    for Case { name, of_stream, of_iterator } in cases() {
        let stream = of_stream(numbers(on));
        let all = on.here().spawn(stream.collect::<Vec<_>>()).wait().unwrap();
        assert_eq!(all, of_iterator((0..ITEMS).collect()), "{name}");
    }
}

/// Asks for all items, and gives most waits up after one poll.
async fn collect_impatiently(mut stream: impl Stream<Item = String>) -> Vec<String> {
    let mut all = Vec::new();
    let mut patience = 0;
    loop {
        patience += 1;
        let next = match patience % 5 {
            0 => stream.next().await,
            1 => match timeout(Duration::ZERO, stream.next()).await {
                Ok(next) => next,
                Err(_) => continue,
            },
            _ => match select((stream.next(), yield_now())).await {
                OneOf::First(next) => next,
                OneOf::Second(()) => continue,
            },
        };
        match next {
            Some(item) => all.push(item),
            None => return all,
        }
    }
}

fn a_wait_that_is_given_up_loses_nothing(on: &Systems) {
    for Case { name, of_stream, of_iterator } in cases() {
        let stream = of_stream(numbers(on));
        let all = on.here().spawn(collect_impatiently(stream)).wait().unwrap();
        assert_eq!(all, of_iterator((0..ITEMS).collect()), "{name}");
    }
    // Those whose order is not given.
    let merged = show(numbers(on).into_stream().merge(numbers(on).into_stream().map(|n: u32| n + ITEMS)));
    let unordered = show(numbers(on).into_stream().map(slow).buffered_unordered(5));
    for (stream, count) in [(merged, 2 * ITEMS), (unordered, ITEMS)] {
        let mut all = on.here().spawn(collect_impatiently(stream)).wait().unwrap();
        let mut expected = strings(0..count);
        all.sort();
        expected.sort();
        assert_eq!(all, expected);
    }
}

fn several_consumers_get_each_item_once(on: &Systems) {
    let source = Arc::new(numbers(on).into_stream().map(slow).buffered(4).into_source());
    let consumers: Vec<_> = (0..4)
        .map(|consumer| {
            let source = Arc::clone(&source);
            let system = if consumer % 2 == 0 { on.here() } else { on.there() };
            system.spawn(async move {
                let mut all = Vec::new();
                loop {
                    // Some give up now and then, some only look.
                    match consumer {
                        0 => match select((source.recv(), yield_now())).await {
                            OneOf::First(Ok(item)) => all.push(item),
                            OneOf::First(Err(RecvError)) => return all,
                            OneOf::Second(()) => {}
                        },
                        1 => match source.try_recv() {
                            Ok(item) => all.push(item),
                            Err(TryRecvError::Closed) => return all,
                            Err(_) => yield_now().await,
                        },
                        _ => match source.recv().await {
                            Ok(item) => all.push(item),
                            Err(RecvError) => return all,
                        },
                    }
                }
            })
        })
        .collect();
    let mut all: Vec<u32> = consumers.into_iter().flat_map(|consumer| consumer.wait().unwrap()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..ITEMS).collect::<Vec<_>>());
}

fn a_fan_out_sends_everything_to_everybody(on: &Systems) {
    let (sinks, sources): (Vec<_>, Vec<_>) =
        [channel::bounded(1), channel::unbounded(), channel::rendezvous(), channel::bounded(4)]
            .into_iter()
            .unzip();
    let fan_out = numbers(on).into_stream().fan_out(sinks);
    let sender = on.here().spawn(fan_out);
    let receivers: Vec<_> = sources
        .into_iter()
        .enumerate()
        .map(|(index, source)| {
            // The last one is interested in the beginning only.
            let wanted = if index == 3 { 5 } else { usize::MAX };
            on.there().spawn(source.into_stream().take(wanted).collect::<Vec<u32>>())
        })
        .collect();
    assert_eq!(sender.wait().unwrap(), Ok(()));
    let all: Vec<_> = receivers.into_iter().map(|receiver| receiver.wait().unwrap()).collect();
    let expected: Vec<u32> = (0..ITEMS).collect();
    assert_eq!(all, [&expected[..], &expected[..], &expected[..], &expected[..5]]);
}

fn the_streams_of_other_channels_give_what_their_receivers_do(on: &Systems) {
    let (news, events) = channel::broadcast(4);
    let (state, states) = channel::watch(0);
    let task = on.here().spawn(async move {
        let (mut events, mut states) = (events.into_stream(), states.into_stream());
        assert!(timeout(Duration::ZERO, events.next()).await.is_err());
        assert!(timeout(Duration::ZERO, states.next()).await.is_err());
        for n in 1..=6 {
            news.send(n).unwrap();
            state.send(n).unwrap();
        }
        assert_eq!(events.next().await, Some(Err(channel::broadcast::RecvError::Lagged(2))));
        assert_eq!(states.next().await.as_deref(), Some(&6));
        drop((news, state));
        assert_eq!(events.collect::<Vec<_>>().await, [Ok(3), Ok(4), Ok(5), Ok(6)]);
        assert_eq!(states.next().await, None);
    });
    task.wait().unwrap();
}

/// Futures that are ready when their gates are opened, and how many of them have been made.
fn gated(
    count: usize,
) -> (Vec<Gate>, impl Stream<Item: Future<Output = usize> + Send> + Send, Arc<AtomicUsize>) {
    let gates: Vec<Gate> = (0..count).map(|_| Gate::new()).collect();
    let made = Arc::new(AtomicUsize::new(0));
    let (of_stream, counted) = (gates.clone(), Arc::clone(&made));
    let work = stream::iter(of_stream.into_iter().enumerate()).map(move |(n, gate)| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            gate.opened().await;
            n
        }
    });
    (gates, work, made)
}

fn is_pending<S: Stream>(stream: &mut S) -> bool {
    Pin::new(&mut stream.next()).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

fn buffered_work_keeps_its_order_and_its_limit(on: &Systems) {
    let (gates, work, made) = gated(6);
    let task = on.here().spawn(async move {
        let mut results = work.buffered(3);
        assert!(is_pending(&mut results));
        assert_eq!(made.load(Ordering::SeqCst), 3);
        gates[2].open();
        gates[1].open();
        assert!(is_pending(&mut results), "it is not their turn");
        assert!(is_pending(&mut results));
        assert_eq!(made.load(Ordering::SeqCst), 3, "they count while they wait for it");
        gates[0].open();
        for n in 0..3 {
            assert_eq!(results.next().await, Some(n));
        }
        assert!(is_pending(&mut results));
        assert_eq!(made.load(Ordering::SeqCst), 6);
        gates.iter().for_each(Gate::open);
        assert_eq!(results.collect::<Vec<_>>().await, [3, 4, 5]);
    });
    task.wait().unwrap();
}

fn unordered_work_comes_as_it_is_ready(on: &Systems) {
    let (gates, work, made) = gated(5);
    let task = on.here().spawn(async move {
        let mut results = work.buffered_unordered(3);
        assert!(is_pending(&mut results));
        for n in [2, 0, 3, 4, 1] {
            gates[n].open();
            assert_eq!(results.next().await, Some(n));
            assert!(made.load(Ordering::SeqCst) <= 5);
        }
        assert_eq!(results.next().await, None);
        assert_eq!(results.next().await, None, "the end stays");
    });
    task.wait().unwrap();
}

fn buffered_tasks_run_in_parallel(on: &Systems) {
    const LIMIT: usize = 4;
    // Each task waits, on its stack, until all that may run are there.
    let (under_way, all_there) = (Arc::new(AtomicUsize::new(0)), Gate::new());
    let task = on.here().spawn(async move {
        let work = stream::iter(0..LIMIT).map(|n| {
            let (under_way, all_there) = (Arc::clone(&under_way), all_there.clone());
            task::spawn_fn(move || {
                if under_way.fetch_add(1, Ordering::SeqCst) + 1 == LIMIT {
                    all_there.open();
                }
                all_there.opened().wait();
                n
            })
        });
        work.buffered(LIMIT).map(Result::unwrap).collect::<Vec<_>>().await
    });
    assert_eq!(task.wait().unwrap(), (0..LIMIT).collect::<Vec<_>>());
}

fn work_that_is_under_way_goes_on_after_a_wait_is_given_up(on: &Systems) {
    let (gates, work, _) = gated(2);
    let woken = Signal::new();
    let waker = woken.waker();
    let task = on.here().spawn(async move {
        let mut results = work.buffered(2);
        let mut next = results.next();
        assert!(Pin::new(&mut next).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(next);
        gates.iter().for_each(Gate::open);
        results.collect::<Vec<_>>().await
    });
    assert_eq!(task.wait().unwrap(), [0, 1]);
    assert_eq!(woken.count(), 0, "nobody waits any more");
}

fn a_group_that_is_not_full_goes_out_in_time(on: &Systems) {
    let (tx, rx) = channel::unbounded();
    let task = on.here().spawn(async move {
        let start = now();
        let mut groups = rx.into_stream().chunks_timeout(3, WINDOW);
        assert!(timeout(WINDOW, groups.next()).await.is_err(), "an empty group never does");
        (1..=4).for_each(|n| tx.try_send(n).unwrap());
        assert_eq!(groups.next().await, Some(vec![1, 2, 3]));
        assert!(is_pending(&mut groups));
        assert_eq!(groups.next().await, Some(vec![4]));
        assert!(start.elapsed() >= WINDOW * 2);
        tx.try_send(5).unwrap();
        drop(tx);
        assert_eq!(groups.next().await, Some(vec![5]));
        assert_eq!(groups.next().await, None);
    });
    task.wait().unwrap();
}

fn a_throttle_spaces_items_and_leaves_none_out(on: &Systems) {
    const PERIOD: Duration = Duration::from_millis(2);
    let task = on.here().spawn(async {
        let mut slow = stream::iter(0..5).throttle(PERIOD);
        let mut taken = Vec::new();
        while let Some(n) = slow.next().await {
            assert!(taken.last().is_none_or(|before| now() >= *before + PERIOD), "{n} came too early");
            taken.push(now());
        }
        taken.len()
    });
    assert_eq!(task.wait().unwrap(), 5);
}

fn a_debounce_gives_the_last_of_a_burst(on: &Systems) {
    let (tx, rx) = channel::unbounded();
    let task = on.here().spawn(async move {
        let mut calm = rx.into_stream().debounce(WINDOW);
        (1..=300).for_each(|n| tx.try_send(n).unwrap());
        let start = now();
        assert!(is_pending(&mut calm), "others may follow");
        assert_eq!(calm.next().await, Some(300));
        assert!(start.elapsed() >= WINDOW);
        (1..=2).for_each(|n| tx.try_send(n).unwrap());
        drop(tx);
        assert_eq!(calm.next().await, Some(2));
        assert_eq!(calm.next().await, None);
    });
    task.wait().unwrap();
}

fn a_time_limit_for_each_item_goes_on_while_nobody_asks(on: &Systems) {
    let (tx, rx) = channel::bounded(1);
    let task = on.here().spawn(async move {
        let mut limited = rx.into_stream().timeout(WINDOW);
        assert!(is_pending(&mut limited));
        sleep(WINDOW * 2).await;
        // An item that is there is given, however late.
        tx.try_send(1).unwrap();
        assert_eq!(limited.next().await, Some(Ok(1)));
        assert!(is_pending(&mut limited));
        sleep(WINDOW * 2).await;
        assert!(
            matches!(timeout(Duration::ZERO, limited.next()).await, Ok(Some(Err(_)))),
            "its time is over"
        );
        tx.try_send(2).unwrap();
        assert_eq!(limited.next().await, Some(Ok(2)));
        drop(tx);
        assert_eq!(limited.next().await, None);
    });
    task.wait().unwrap();
}

fn a_stream_ends_when_its_signal_comes(on: &Systems) {
    let (tx, rx) = channel::bounded::<u32>(4);
    let (gate, began) = (Gate::new(), Gate::new());
    let (end, asks) = (gate.opened(), began.clone());
    let task = on.here().spawn(async move {
        let mut stream = rx.into_stream().take_until(end);
        assert_eq!(stream.next().await, Some(1));
        asks.open();
        (stream.next().await, stream.next().await)
    });
    tx.try_send(1).unwrap();
    began.opened().wait();
    gate.open();
    assert_eq!(task.wait().unwrap(), (None, None));
}

fn a_stream_that_is_always_ready_lets_others_run(on: &Systems) {
    let endless = || stream::iter(0u64..);
    type Busy = Pin<Box<dyn Future<Output = ()> + Send>>;
    type Endless = stream::Iter<std::ops::RangeFrom<u64>>;
    let streams: [fn(Endless) -> Busy; 6] = [
        |all| Box::pin(async move { all.filter(|_| false).for_each(drop).await }),
        |all| Box::pin(async move { all.filter_map(|_| None).for_each(|()| ()).await }),
        |all| Box::pin(async move { all.skip_while(|_| true).for_each(drop).await }),
        |all| Box::pin(async move { all.chunks(usize::MAX).for_each(drop).await }),
        |all| Box::pin(async move { all.debounce(LONG).for_each(drop).await }),
        |all| Box::pin(async move { all.for_each(|_| ()).await }),
    ];
    for busy in streams {
        let task = on.here().spawn(timeout(Duration::from_millis(2), busy(endless())));
        assert!(task.wait().unwrap().is_err());
        // In the poll of a foreign executor.
        let mut polled = busy(endless());
        assert!(polled.as_mut().poll(&mut Context::from_waker(&Signal::new().waker())).is_pending());
    }
}

fn a_consumer_that_gives_up_lets_another_one_have_the_item(on: &Systems) {
    let (tx, rx) = channel::bounded(1);
    let source = Arc::new(rx.into_stream().map(|n: u32| n).into_source());
    let (shared, woken) = (Arc::clone(&source), Gate::new());
    let waiting = woken.clone();
    let second = on.here().spawn(async move {
        let mut recv = shared.recv();
        assert!(Pin::new(&mut recv).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        waiting.open();
        recv.await
    });
    woken.opened().wait();
    let mut first = source.recv();
    let signal = Signal::new();
    assert!(Pin::new(&mut first).poll(&mut Context::from_waker(&signal.waker())).is_pending());
    drop(first);
    tx.try_send(7).unwrap();
    assert_eq!(second.wait().unwrap(), Ok(7));
}

fn a_closure_that_panics_harms_its_caller_only(on: &Systems) {
    let task = on.here().spawn(async {
        let mut stream = stream::iter(0..4).map(|n| {
            assert!(n != 1, "expected: a bad item");
            n
        });
        assert_eq!(stream.next().await, Some(0));
        let mut next = stream.next();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            Pin::new(&mut next).poll(&mut Context::from_waker(Waker::noop()))
        }));
        assert!(polled.is_err());
        drop(next);
        let source = stream.into_source();
        assert_eq!((source.recv().await, source.try_recv()), (Ok(2), Ok(3)));
        let bad = stream::iter(0..2).filter(|n| {
            assert!(*n != 0, "expected: a bad item");
            true
        });
        let bad = bad.into_source();
        assert!(catch_unwind(AssertUnwindSafe(|| bad.try_recv())).is_err());
        assert_eq!(bad.try_recv(), Ok(1), "the stream is there for the next one");
    });
    task.wait().unwrap();
}

fn a_forward_hands_back_what_nobody_takes(on: &Systems) {
    let (tx, rx) = channel::bounded(1);
    let task = on.here().spawn(async move {
        let mut items: VecDeque<u32> = (0..4).collect();
        let mut source = stream::poll_fn(move |_| Poll::Ready(items.pop_front()));
        let mut forward = (&mut source).forward(&tx);
        assert!(timeout(Duration::ZERO, &mut forward).await.is_err(), "the channel is full");
        assert_eq!((rx.recv().await, rx.is_empty()), (Ok(0), true));
        rx.close();
        assert_eq!(forward.await, Err(SendError(1)));
        assert_eq!(source.next().await, Some(2));
        let nobody: [channel::Sender<u32>; 0] = [];
        assert_eq!(source.fan_out(nobody).await, Err(SendError(3)));
        let all = join_all([1, 2].map(|n| stream::iter(0..n).collect::<Vec<_>>())).await;
        assert_eq!(all, [vec![0], vec![0, 1]]);
    });
    task.wait().unwrap();
}
