//! Crates that async code is written with: the streams of async-stream, the traits of async-trait, and the
//! combinators of futures-concurrency, over futures and channels of twoply.

use std::pin::{Pin, pin};
use std::time::Duration;

use async_stream::{stream, try_stream};
use async_trait::async_trait;
use futures::{Stream, StreamExt, TryStreamExt};
use futures_concurrency::future::{Join, Race, TryJoin};
use futures_concurrency::stream::Merge;
use twoply::{Wait, channel, stream as ours, time};
use twoply_tests::{Systems, laws};

laws! {
    everywhere {
        a_stream_is_written_as_a_function,
        a_stream_of_others_is_ours,
        traits_have_asynchronous_methods,
        futures_are_joined_and_raced,
        a_race_loses_nothing,
        streams_are_merged,
    }
}

/// Yields what comes through a channel, added up.
fn sums(numbers: channel::Receiver<u32>) -> impl Stream<Item = u32> {
    stream! {
        let mut sum = 0;
        while let Ok(number) = numbers.recv().await {
            sum += number;
            yield sum;
        }
    }
}

/// Sends the numbers from a task. Returns where they arrive.
fn send_all(
    on: &Systems,
    numbers: impl IntoIterator<Item = u32, IntoIter: Send> + Send + 'static,
) -> channel::Receiver<u32> {
    let (sender, receiver) = channel::bounded(1);
    // Until nobody wants any more.
    let send = move |number: &u32| sender.send(*number).wait().is_ok();
    on.here().spawn_fn(move || numbers.into_iter().take_while(send).for_each(drop)).detach();
    receiver
}

fn a_stream_is_written_as_a_function(on: &Systems) {
    let received = send_all(on, 1..=4);
    let all = on.here().spawn(sums(received).collect::<Vec<_>>());
    assert_eq!(all.wait().unwrap(), [1, 3, 6, 10]);
    // One that fails, in straight-line code.
    let received = send_all(on, [4, 2, 0, 1]);
    let quotients = try_stream! {
        while let Ok(number) = received.recv().await {
            yield 8_u32.checked_div(number).ok_or("nothing divides by 0")?;
        }
    };
    let all = on.here().spawn_fn(move || {
        let mut quotients = pin!(quotients);
        [quotients.try_next().wait(), quotients.try_next().wait(), quotients.try_next().wait()]
    });
    let expected: [Result<_, &str>; 3] = [Ok(Some(2)), Ok(Some(4)), Err("nothing divides by 0")];
    assert_eq!(all.wait().unwrap(), expected);
}

fn a_stream_of_others_is_ours(on: &Systems) {
    let mut sums: Pin<Box<dyn Stream<Item = u32> + Send>> = Box::pin(sums(send_all(on, 1..=4)));
    let stream = ours::poll_fn(move |cx| sums.as_mut().poll_next(cx));
    assert_eq!(on.here().spawn(ours::Stream::fold(stream, 0, |all, sum| all + sum)).wait().unwrap(), 20);
}

#[async_trait]
trait Store: Send + Sync {
    async fn load(&self, key: &str) -> Option<u32>;

    /// Written once for all stores.
    async fn load_or(&self, key: &str, other: u32) -> u32 {
        self.load(key).await.unwrap_or(other)
    }
}

/// Answers after a while.
struct Slow;

#[async_trait]
impl Store for Slow {
    async fn load(&self, key: &str) -> Option<u32> {
        time::sleep(Duration::from_millis(1)).await;
        key.parse().ok()
    }
}

/// Answers in straight-line code.
struct Blocking(channel::Receiver<u32>);

#[async_trait]
impl Store for Blocking {
    async fn load(&self, _: &str) -> Option<u32> {
        self.0.recv().wait().ok()
    }
}

fn traits_have_asynchronous_methods(on: &Systems) {
    let stores: [Box<dyn Store>; 2] = [Box::new(Slow), Box::new(Blocking(send_all(on, [5])))];
    let loading = on.here().spawn(async move {
        let mut loaded = Vec::new();
        for (store, key) in stores.iter().flat_map(|store| [(store, "5"), (store, "x")]) {
            loaded.push(store.load_or(key, 9).await);
        }
        loaded
    });
    assert_eq!(loading.wait().unwrap(), [5, 9, 5, 9]);
}

fn futures_are_joined_and_raced(on: &Systems) {
    let (first, second) = (send_all(on, [1]), send_all(on, [2]));
    let joined = on.here().spawn(async move {
        let (one, two) = (first.recv(), second.recv()).join().await;
        let both = (first.recv(), async { Ok(()) }).try_join().await;
        (one, two, both.is_err())
    });
    assert_eq!(joined.wait().unwrap(), (Ok(1), Ok(2), true));
    let raced = on.here().spawn(async {
        let sleep = |length, name| async move {
            time::sleep(length).await;
            name
        };
        (sleep(Duration::from_secs(60), "long"), sleep(Duration::from_millis(1), "short")).race().await
    });
    assert_eq!(raced.wait().unwrap(), "short");
}

fn a_race_loses_nothing(on: &Systems) {
    const COUNT: u32 = 100;
    let (some, more) = (send_all(on, 1..=COUNT), send_all(on, 1..=COUNT));
    let sum = on.here().spawn(async move {
        let mut sum = 0;
        for _ in 0..2 * COUNT {
            // One that has come to its end waits for the other.
            let (one, other) = (some.recv(), more.recv());
            let never = |received: Result<u32, _>| async move {
                match received {
                    Ok(number) => number,
                    Err(_) => std::future::pending().await,
                }
            };
            sum += (async { never(one.await).await }, async { never(other.await).await }).race().await;
        }
        sum
    });
    assert_eq!(sum.wait().unwrap(), COUNT * (COUNT + 1));
}

fn streams_are_merged(on: &Systems) {
    let (some, more) = (sums(send_all(on, 1..=10)), sums(send_all(on, 1..=10)));
    let mut all = on.here().spawn((some, more).merge().collect::<Vec<_>>()).wait().unwrap();
    all.sort_unstable();
    let triangles = (1..=10).map(|n| n * (n + 1) / 2).flat_map(|sum| [sum, sum]);
    assert_eq!(all, triangles.collect::<Vec<u32>>());
}
