//! Streams that hold something: how much, how long, and until when.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::channel::{self, Source};
use twoply_core::stream::{self, Stream};
use twoply_core::time::sleep;
use twoply_tests::{Signal, Systems, laws};

laws! {
    everywhere {
        work_that_is_done_and_not_fetched_counts_against_the_limit,
        the_time_of_a_group_counts_from_its_first_item,
        an_item_without_a_partner_goes_when_the_pairs_are_over,
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
