//! Streams that hold something: how much, how long, and until when.

use std::future::{Future, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use twoply_core::Wait;
use twoply_core::channel::{self, Source, TryRecvError};
use twoply_core::future::yield_now;
use twoply_core::stream::{self, Stream};
use twoply_core::time::sleep;
use twoply_tests::{Gate, Signal, Systems, laws};

laws! {
    everywhere {
        work_that_is_done_and_not_fetched_counts_against_the_limit,
        the_time_of_a_group_counts_from_its_first_item,
        an_item_without_a_partner_goes_when_the_pairs_are_over,
        neither_of_two_merged_streams_starves_the_other,
        a_spent_budget_is_no_silence,
        a_consumer_that_has_been_served_is_woken_no_more,
        a_look_at_a_source_takes_what_is_there_and_nothing_else,
        whoever_waits_for_an_item_goes_on_after_a_look,
        an_end_is_for_ever,
        a_stream_that_is_over_takes_nothing_more,
        work_that_panics_is_missing_and_nothing_else,
    }
}

fn work_that_is_done_and_not_fetched_counts_against_the_limit(on: &Systems) {
    const LIMIT: usize = 3;
    let task = on.here().spawn(async {
        let made = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&made);
        let work = stream::iter(0..20).map(move |n| {
            counted.fetch_add(1, Ordering::SeqCst);
            ready(n)
        });
        let mut results = work.buffered_unordered(LIMIT);
        for fetched in 1..=20 {
            assert!(results.next().await.is_some());
            let made = made.load(Ordering::SeqCst);
            assert!(made < fetched + LIMIT, "{made} have begun, and {fetched} are fetched");
        }
    });
    task.wait().unwrap();
}

/// Items come all the time, so a time that each of them begins anew is never over.
fn the_time_of_a_group_counts_from_its_first_item(on: &Systems) {
    let (sender, receiver) = channel::unbounded();
    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    let sending = on.there().spawn(async move {
        let mut sent = 0;
        while !over.load(Ordering::Relaxed) {
            sender.send(sent).await.unwrap();
            sent += 1;
            sleep(Duration::from_millis(1)).await;
        }
        sent
    });
    let mut groups = receiver.into_stream().chunks_timeout(usize::MAX, Duration::from_millis(100));
    let first = groups.next().wait().expect("it comes before the end");
    is_over.store(true, Ordering::Relaxed);
    let rest: Vec<_> = std::iter::from_fn(|| groups.next().wait()).flatten().collect();
    let sent = sending.wait().unwrap();
    assert!(first.into_iter().chain(rest).eq(0..sent), "each comes once, in order");
}

fn an_item_without_a_partner_goes_when_the_pairs_are_over(on: &Systems) {
    let gone = Signal::new();
    let guard = gone.on_drop();
    let task = on.here().spawn(async move {
        let mut pairs = stream::iter([guard]).zip(stream::iter(Vec::<u32>::new()));
        assert!(pairs.next().await.is_none());
        let count = gone.count();
        drop(pairs);
        count
    });
    assert_eq!(task.wait().unwrap(), 1);
}

fn neither_of_two_merged_streams_starves_the_other(on: &Systems) {
    let merged = stream::iter(0..).merge(stream::iter(1000..)).take(100);
    let all = on.here().spawn(merged.collect::<Vec<u32>>()).wait().unwrap();
    let of_first = all.into_iter().filter(|n| *n < 1000).count();
    assert!((40..=60).contains(&of_first), "{of_first} of 100 are of the first");
}

/// A stream that is always ready is pending only where others have spent its task's budget.
fn a_spent_budget_is_no_silence(on: &Systems) {
    let task = on.here().spawn(async {
        // Less than a budget, which most of them have only a part of.
        let numbers = || stream::iter(0..100);
        let spend = |units| numbers().take(units).for_each(|_| {});
        for units in (0..100).step_by(7) {
            spend(units).await;
            let mut groups = numbers().chunks_timeout(50, Duration::ZERO);
            while let Some(group) = groups.next().await {
                assert_eq!(group.len(), 50, "nothing is late");
            }
            spend(units).await;
            assert_eq!(numbers().debounce(Duration::ZERO).collect::<Vec<_>>().await, [99]);
            let slow_to_come = numbers().filter(|n| {
                let start = Instant::now();
                while start == Instant::now() {}
                *n == 99
            });
            spend(units).await;
            let mut on_time = slow_to_come.timeout(Duration::ZERO);
            assert_eq!(on_time.next().await, Some(Ok(99)), "nothing is late");
        }
    });
    task.wait().unwrap();
}

/// Wakes nobody; it is there to be counted.
struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

fn a_consumer_that_has_been_served_is_woken_no_more(on: &Systems) {
    let task = on.here().spawn(async {
        let (_sender, receiver) = channel::bounded(1);
        let source = receiver.into_stream().merge(stream::iter([7])).into_source();
        let consumer = Arc::new(Nobody);
        {
            let waker = Waker::from(Arc::clone(&consumer));
            let mut receive = pin!(source.recv());
            assert_eq!(receive.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(7)));
        }
        assert_eq!(Arc::strong_count(&consumer), 1, "the channel has its waker");
    });
    task.wait().unwrap();
}

fn a_look_at_a_source_takes_what_is_there_and_nothing_else(on: &Systems) {
    const ITEMS: usize = 1000;
    let task = on.here().spawn(async {
        let (sender, receiver) = channel::unbounded();
        let source = receiver.clone().into_stream().map(|n: usize| n).into_source();
        (0..ITEMS).for_each(|n| sender.try_send(n).unwrap());
        // All in one poll, which has no budget for so many, and spends none.
        let first = poll_fn(|cx| {
            for n in 1..ITEMS {
                assert_eq!(source.try_recv(), Ok(n - 1));
            }
            Poll::Ready(pin!(source.recv()).poll(cx))
        });
        assert_eq!(first.await, Poll::Ready(Ok(ITEMS - 1)));
        assert_eq!(source.try_recv(), Err(TryRecvError::Empty));
        // The look does not stand in the channel, ahead of those who wait.
        let signal = Signal::new();
        let mut other = pin!(receiver.recv());
        assert!(other.as_mut().poll(&mut Context::from_waker(&signal.waker())).is_pending());
        sender.try_send(ITEMS).unwrap();
        assert_eq!((signal.count(), other.await), (1, Ok(ITEMS)));
        drop(sender);
        assert_eq!(source.try_recv(), Err(TryRecvError::Closed));
    });
    task.wait().unwrap();
}

fn whoever_waits_for_an_item_goes_on_after_a_look(on: &Systems) {
    let (sender, receiver) = channel::unbounded();
    let source = Arc::new(receiver.into_stream().map(|n: u32| n).into_source());
    let (shared, waits) = (Arc::clone(&source), Gate::new());
    let waiting = on.there().spawn(waits.clone().open_when_polled(async move { shared.recv().await }));
    waits.opened().wait();
    assert_eq!(source.try_recv(), Err(TryRecvError::Empty));
    sender.try_send(7).unwrap();
    assert_eq!(waiting.wait().unwrap(), Ok(7));
}

/// Checks that nothing but the end follows on the end.
async fn check_end<S: Stream>(name: &str, mut stream: S) {
    while stream.next().await.is_some() {}
    for _ in 0..3 {
        assert!(stream.next().await.is_none(), "{name} goes on after its end");
    }
}

fn an_end_is_for_ever(on: &Systems) {
    let numbers = || stream::iter(0..10);
    // They would begin anew after their end.
    let iterator = || {
        let mut n = 0;
        std::iter::from_fn(move || {
            n += 1;
            (n % 3 != 0).then_some(n)
        })
    };
    let task = on.here().spawn(async move {
        check_end("iter", stream::iter(iterator())).await;
        let mut next = iterator();
        check_end("poll_fn", stream::poll_fn(move |_| Poll::Ready(next.next()))).await;
        check_end("take", numbers().take(3)).await;
        check_end("take_while", numbers().take_while(|n| n % 4 != 3)).await;
        check_end("take_until", numbers().take_until(ready(()))).await;
        check_end("scan", numbers().scan((), |(), n| (n % 4 != 3).then_some(n))).await;
        check_end("zip", numbers().zip(stream::iter(0..3))).await;
        check_end("chain", numbers().chain(numbers())).await;
        check_end("merge", numbers().merge(stream::iter(0..3))).await;
        check_end("chunks", numbers().chunks(4)).await;
        check_end("buffered", numbers().map(ready).buffered(3)).await;
        check_end("buffered_unordered", numbers().map(ready).buffered_unordered(3)).await;
        check_end("throttle", numbers().throttle(Duration::ZERO)).await;
        check_end("debounce", numbers().debounce(Duration::from_millis(1))).await;
    });
    task.wait().unwrap();
}

fn a_stream_that_is_over_takes_nothing_more(on: &Systems) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = || {
        let taken = Arc::clone(&taken);
        stream::iter(0..).map(move |n: u32| {
            taken.fetch_add(1, Ordering::SeqCst);
            n
        })
    };
    let zip = counted().zip(stream::iter(0..2));
    let take_while = counted().take_while(|n| *n < 2).map(|n| (n, n));
    let take = counted().take(3).map(|n| (n, n));
    let task = on.here().spawn(async move {
        check_end("zip", zip).await;
        check_end("take_while", take_while).await;
        check_end("take", take).await;
    });
    task.wait().unwrap();
    assert_eq!(taken.load(Ordering::SeqCst), 3 + 3 + 3);
}

/// The results of a stream whose work panics, and how often that has been.
fn results_and_panics(mut stream: impl Stream<Item = u32>) -> (Vec<u32>, usize) {
    let (mut results, mut panics) = (Vec::new(), 0);
    loop {
        match catch_unwind(AssertUnwindSafe(|| stream.next().wait())) {
            Ok(Some(result)) => results.push(result),
            Ok(None) => return (results, panics),
            Err(_) => panics += 1,
        }
    }
}

fn work_that_panics_is_missing_and_nothing_else(on: &Systems) {
    /// Panics when it is dropped, if it is to.
    struct Fragile(bool);
    impl Drop for Fragile {
        fn drop(&mut self) {
            assert!(!self.0, "as it is dropped");
        }
    }
    // Every third panics: at once, later, or as it is dropped.
    let work = |n: u32| async move {
        let fragile = Fragile(n % 9 == 7);
        assert_ne!(n % 9, 1, "at once");
        for _ in 0..n % 4 {
            yield_now().await;
        }
        assert_ne!(n % 9, 4, "later");
        let _ = &fragile;
        n
    };
    let expected: Vec<u32> = (0..60).filter(|n| n % 3 != 1).collect();
    for limit in [1, 2, 7, 100] {
        let whole = expected.clone();
        let task = on.here().spawn_fn(move || {
            let items = || stream::iter(0..60).map(work);
            assert_eq!(results_and_panics(items().buffered(limit)), (whole.clone(), 20));
            let (mut results, panics) = results_and_panics(items().buffered_unordered(limit));
            results.sort();
            assert_eq!((results, panics), (whole, 20));
        });
        task.wait().unwrap();
    }
}
