//! The trait of all streams, and the future of an item.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{
    Buffered, BufferedUnordered, Chain, Chunks, ChunksTimeout, Collect, Debounce, FanOut, Filter, FilterMap,
    Fold, ForEach, Forward, Map, Merge, Scan, Skip, SkipWhile, StreamSource, Take, TakeUntil, TakeWhile,
    Throttle, TimeoutEach, Zip,
};
use crate::channel::Sink;

/// Items that come one after another; see the [module](crate::stream).
///
/// Users call [`next`](Stream::next) and the combinators. Who implements it writes the two required methods.
///
/// ```
/// use twoply::{Wait, stream::{self, Stream}};
///
/// let mut squares = stream::iter(1..).map(|n| n * n).take(3);
/// let mut all = Vec::new();
/// while let Some(square) = squares.next().wait() {
///     all.push(square);
/// }
/// assert_eq!(all, [1, 4, 9]);
/// ```
pub trait Stream {
    /// The type of what comes.
    type Item;

    /// Returns the next item, or has `cx`'s task woken when it is worth asking again. `None` is the end, and
    /// once it has been returned it is returned for ever.
    ///
    /// Everything that has been taken from elsewhere by the time this is pending stays in the stream. A
    /// caller that does not ask again for a while ends with [`stop_next`](Stream::stop_next), also after an
    /// item: a stream may wait at several places.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::Item>>;

    /// Ends all waiting: nobody is woken any more until the next poll, and no item is lost.
    fn stop_next(&mut self);

    /// Waits for the next item; `None` is the end. Finish it with `.await` or `.wait()`.
    ///
    /// Cancel-safe: a future that is dropped has taken nothing that the next one does not find.
    ///
    /// ```
    /// use twoply::{Wait, stream::{self, Stream}};
    ///
    /// let mut stream = stream::iter(["only"]);
    /// assert_eq!(stream.next().wait(), Some("only"));
    /// assert_eq!(stream.next().wait(), None);
    /// ```
    fn next(&mut self) -> Next<'_, Self>
    where
        Self: Sized,
    {
        Next { stream: self, may_wait: false }
    }

    /// Gives what `f` makes of each item.
    ///
    /// ```
    /// use twoply::{Wait, stream::{self, Stream}};
    ///
    /// assert_eq!(stream::iter([1, 2]).map(|n| n + 1).collect::<Vec<_>>().wait(), [2, 3]);
    /// ```
    fn map<U, F: FnMut(Self::Item) -> U>(self, f: F) -> Map<Self, F>
    where
        Self: Sized,
    {
        Map::new(self, f)
    }

    /// Gives the items for which `f` returns true.
    ///
    /// ```
    /// use twoply::{Wait, stream::{self, Stream}};
    ///
    /// assert_eq!(stream::iter(1..6).filter(|n| n % 2 == 0).collect::<Vec<_>>().wait(), [2, 4]);
    /// ```
    fn filter<F: FnMut(&Self::Item) -> bool>(self, f: F) -> Filter<Self, F>
    where
        Self: Sized,
    {
        Filter::new(self, f)
    }

    /// Gives what `f` makes of the items of which it makes anything.
    ///
    /// ```
    /// use twoply::{Wait, stream::{self, Stream}};
    ///
    /// let numbers = stream::iter(["1", "two", "3"]).filter_map(|text| text.parse::<u8>().ok());
    /// assert_eq!(numbers.collect::<Vec<_>>().wait(), [1, 3]);
    /// ```
    fn filter_map<U, F: FnMut(Self::Item) -> Option<U>>(self, f: F) -> FilterMap<Self, F>
    where
        Self: Sized,
    {
        FilterMap::new(self, f)
    }

    /// Gives what `f` makes of a state that it may change and of each item; `None` ends the stream.
    ///
    /// ```
    /// use twoply::{Wait, stream::{self, Stream}};
    ///
    /// let sums = stream::iter([1, 2, 3]).scan(0, |sum, n| {
    ///     *sum += n;
    ///     Some(*sum)
    /// });
    /// assert_eq!(sums.collect::<Vec<_>>().wait(), [1, 3, 6]);
    /// ```
    fn scan<A, U, F: FnMut(&mut A, Self::Item) -> Option<U>>(self, state: A, f: F) -> Scan<Self, A, F>
    where
        Self: Sized,
    {
        Scan::new(self, state, f)
    }

    /// Gives the first `count` items, and then ends without asking for another one.
    ///
    /// ```
    /// use twoply::{Wait, stream::{self, Stream}};
    ///
    /// assert_eq!(stream::iter(1..).take(2).collect::<Vec<_>>().wait(), [1, 2]);
    /// ```
    fn take(self, count: usize) -> Take<Self>
    where
        Self: Sized,
    {
        Take::new(self, count)
    }

    /// Gives items as long as `f` returns true, and ends with the first for which it does not, which is
    /// dropped.
    ///
    /// ```
    /// use twoply::{Wait, stream::{self, Stream}};
    ///
    /// assert_eq!(stream::iter(1..).take_while(|n| *n < 3).collect::<Vec<_>>().wait(), [1, 2]);
    /// ```
    fn take_while<F: FnMut(&Self::Item) -> bool>(self, f: F) -> TakeWhile<Self, F>
    where
        Self: Sized,
    {
        TakeWhile::new(self, f)
    }

    /// Gives items until `end` is ready, and then ends, also if there are more.
    ///
    /// `end` makes progress while somebody asks for an item.
    ///
    /// ```
    /// use twoply::{Wait, channel::{self, Source}, stream::Stream};
    ///
    /// let (tx, rx) = channel::unbounded();
    /// let (stop, stopped) = channel::oneshot();
    /// let mut stream = rx.into_stream().take_until(stopped);
    /// tx.try_send(1).unwrap();
    /// tx.try_send(2).unwrap();
    /// assert_eq!(stream.next().wait(), Some(1));
    /// stop.send(()).unwrap();
    /// assert_eq!(stream.next().wait(), None);
    /// ```
    fn take_until<F: IntoFuture>(self, end: F) -> TakeUntil<Self, F::IntoFuture>
    where
        Self: Sized,
    {
        TakeUntil::new(self, end.into_future())
    }

    /// Drops the first `count` items.
    ///
    /// ```
    /// use twoply::{Wait, stream::{self, Stream}};
    ///
    /// assert_eq!(stream::iter(1..5).skip(2).collect::<Vec<_>>().wait(), [3, 4]);
    /// ```
    fn skip(self, count: usize) -> Skip<Self>
    where
        Self: Sized,
    {
        Skip::new(self, count)
    }

    /// Drops items as long as `f` returns true.
    ///
    /// ```
    /// use twoply::{Wait, stream::{self, Stream}};
    ///
    /// assert_eq!(stream::iter([1, 9, 2]).skip_while(|n| *n < 5).collect::<Vec<_>>().wait(), [9, 2]);
    /// ```
    fn skip_while<F: FnMut(&Self::Item) -> bool>(self, f: F) -> SkipWhile<Self, F>
    where
        Self: Sized,
    {
        SkipWhile::new(self, f)
    }

    /// Gives the items of both streams as they come, by turns where both have one. Ends with the later of
    /// them.
    ///
    /// ```
    /// use twoply::{Wait, stream::{self, Stream}};
    ///
    /// let merged = stream::iter([1, 2, 3]).merge(stream::iter([10]));
    /// assert_eq!(merged.collect::<Vec<_>>().wait(), [1, 10, 2, 3]);
    /// ```
    fn merge<S: Stream<Item = Self::Item>>(self, other: S) -> Merge<Self, S>
    where
        Self: Sized,
    {
        Merge::new(self, other)
    }

    /// Gives the items of this stream, and those of `next` after its end.
    ///
    /// ```
    /// use twoply::{Wait, stream::{self, Stream}};
    ///
    /// let both = stream::iter([1, 2]).chain(stream::iter([3]));
    /// assert_eq!(both.collect::<Vec<_>>().wait(), [1, 2, 3]);
    /// ```
    fn chain<S: Stream<Item = Self::Item>>(self, next: S) -> Chain<Self, S>
    where
        Self: Sized,
    {
        Chain::new(self, next)
    }

    /// Gives pairs of one item of each stream. Ends with the first that ends; an item of the other one that
    /// has no partner is dropped.
    ///
    /// ```
    /// use twoply::{Wait, stream::{self, Stream}};
    ///
    /// let pairs = stream::iter(1..).zip(stream::iter(["a", "b"]));
    /// assert_eq!(pairs.collect::<Vec<_>>().wait(), [(1, "a"), (2, "b")]);
    /// ```
    fn zip<S: Stream>(self, other: S) -> Zip<Self, S>
    where
        Self: Sized,
    {
        Zip::new(self, other)
    }

    /// Gives the items in groups of `size`, at least one; the last group has what is left.
    ///
    /// ```
    /// use twoply::{Wait, stream::{self, Stream}};
    ///
    /// let groups = stream::iter(1..6).chunks(2);
    /// assert_eq!(groups.collect::<Vec<_>>().wait(), [vec![1, 2], vec![3, 4], vec![5]]);
    /// ```
    fn chunks(self, size: usize) -> Chunks<Self>
    where
        Self: Sized,
    {
        Chunks::new(self, size)
    }

    /// Gives the items in groups of up to `size`, at least one: a group that is not full goes out when
    /// `duration` has passed since its first item came.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, channel::{self, Source}, stream::Stream};
    ///
    /// let (tx, rx) = channel::unbounded();
    /// [1, 2, 3].map(|n| tx.try_send(n).unwrap());
    /// let mut groups = rx.into_stream().chunks_timeout(2, Duration::from_millis(1));
    /// assert_eq!(groups.next().wait(), Some(vec![1, 2]));
    /// assert_eq!(groups.next().wait(), Some(vec![3]), "though others may come");
    /// ```
    fn chunks_timeout(self, size: usize, duration: Duration) -> ChunksTimeout<Self>
    where
        Self: Sized,
    {
        ChunksTimeout::new(self, size, duration)
    }

    /// Gives each item, or an error each time that none has come within `duration` since it was asked for. An
    /// item that comes after the error is given next.
    ///
    /// The time goes on while nobody asks: a wait that is given up and begun again, as the arm of a select,
    /// is one wait.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, channel::{self, Source}, stream::Stream};
    ///
    /// let (tx, rx) = channel::unbounded();
    /// let mut stream = rx.into_stream().timeout(Duration::from_millis(1));
    /// assert!(stream.next().wait().unwrap().is_err());
    /// tx.try_send(1).unwrap();
    /// assert_eq!(stream.next().wait(), Some(Ok(1)));
    /// ```
    fn timeout(self, duration: Duration) -> TimeoutEach<Self>
    where
        Self: Sized,
    {
        TimeoutEach::new(self, duration)
    }

    /// Gives at most one item in each `period`: the next one is not taken before that has passed since the
    /// last one was given. Nothing is left out; what comes too fast waits where it comes from.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use twoply::{Wait, stream::{self, Stream}};
    ///
    /// let start = Instant::now();
    /// let slow = stream::iter([1, 2, 3]).throttle(Duration::from_millis(2));
    /// assert_eq!(slow.collect::<Vec<_>>().wait(), [1, 2, 3]);
    /// assert!(start.elapsed() >= Duration::from_millis(4));
    /// ```
    fn throttle(self, period: Duration) -> Throttle<Self>
    where
        Self: Sized,
    {
        Throttle::new(self, period)
    }

    /// Gives the last item of each burst: one after which none has come for `quiet`. The others are dropped.
    /// At the end of the stream the last item is given at once.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, channel::{self, Source}, stream::Stream};
    ///
    /// let (keys, typed) = channel::unbounded();
    /// ["h", "he", "hey"].map(|text| keys.try_send(text).unwrap());
    /// let mut queries = typed.into_stream().debounce(Duration::from_millis(5));
    /// assert_eq!(queries.next().wait(), Some("hey"));
    /// ```
    fn debounce(self, quiet: Duration) -> Debounce<Self>
    where
        Self: Sized,
    {
        Debounce::new(self, quiet)
    }

    /// Works on up to `limit` items at once, at least one, and gives the results in the order of the items.
    /// The items are futures, or what turns into futures.
    ///
    /// A result that is ready before its turn waits for it, and counts. The futures are polled in place,
    /// while somebody asks for a result; items that are [tasks](crate::task::Task) run in parallel. Dropping
    /// the stream drops the futures that are under way, in order; a task is detached by that unless it is to
    /// be [cancelled](crate::task::Task::cancel_on_drop). A future that panics is dropped, and the panic is
    /// that of whoever asks; who asks again has the results of the others, as if its item had not come.
    ///
    /// ```
    /// use twoply::{Wait, spawn, stream::{self, Stream}};
    ///
    /// let squares = stream::iter(1..=100u64).map(|n| spawn(async move { n * n })).buffered(4);
    /// let sum = squares.fold(0, |sum, square| sum + square.unwrap()).wait();
    /// assert_eq!(sum, 338_350);
    /// ```
    fn buffered(self, limit: usize) -> Buffered<Self, <Self::Item as IntoFuture>::IntoFuture>
    where
        Self: Sized,
        Self::Item: IntoFuture,
    {
        Buffered::new(self, limit)
    }

    /// Works on up to `limit` items at once as [`buffered`](Stream::buffered) does, and gives the results in
    /// the order in which they are ready.
    ///
    /// ```
    /// use std::future::Future;
    /// use std::pin::Pin;
    /// use twoply::{Wait, channel, stream::{self, Stream}};
    ///
    /// let (tx, late) = channel::oneshot();
    /// let early: Pin<Box<dyn Future<Output = u8>>> = Box::pin(async { 1 });
    /// let late: Pin<Box<dyn Future<Output = u8>>> = Box::pin(async { late.await.unwrap() });
    /// let mut results = stream::iter([late, early]).buffered_unordered(2);
    /// assert_eq!(results.next().wait(), Some(1));
    /// tx.send(2).unwrap();
    /// assert_eq!(results.next().wait(), Some(2));
    /// ```
    fn buffered_unordered(
        self,
        limit: usize,
    ) -> BufferedUnordered<Self, <Self::Item as IntoFuture>::IntoFuture>
    where
        Self: Sized,
        Self::Item: IntoFuture,
    {
        BufferedUnordered::new(self, limit)
    }

    /// Goes on to the end of the stream, and returns what `f` has made of `init` and all items.
    ///
    /// Dropping the future drops what it has made so far.
    ///
    /// ```
    /// use twoply::{Wait, stream::{self, Stream}};
    ///
    /// assert_eq!(stream::iter(1..=4).fold(0, |sum, n| sum + n).wait(), 10);
    /// ```
    fn fold<A, F: FnMut(A, Self::Item) -> A>(self, init: A, f: F) -> Fold<Self, A, F>
    where
        Self: Sized,
    {
        Fold::new(self, init, f)
    }

    /// Goes on to the end of the stream, and calls `f` with each item.
    ///
    /// ```
    /// use twoply::{Wait, stream::{self, Stream}};
    ///
    /// let mut sum = 0;
    /// stream::iter(1..=4).for_each(|n| sum += n).wait();
    /// assert_eq!(sum, 10);
    /// ```
    fn for_each<F: FnMut(Self::Item)>(self, f: F) -> ForEach<Self, F>
    where
        Self: Sized,
    {
        ForEach::new(self, f)
    }

    /// Goes on to the end of the stream, and returns all items.
    ///
    /// Dropping the future drops the items that it has collected.
    ///
    /// ```
    /// use twoply::{Wait, stream::{self, Stream}};
    ///
    /// assert_eq!(stream::iter(["a", "b"]).collect::<String>().wait(), "ab");
    /// ```
    fn collect<C: Default + Extend<Self::Item>>(self) -> Collect<Self, C>
    where
        Self: Sized,
    {
        Collect::new(self)
    }

    /// Goes on to the end of the stream, and sends each item to `sink`. At most one item is under way.
    ///
    /// Dropping the future drops the item that it is about to send; polled by reference it is cancel-safe.
    ///
    /// # Errors
    /// When nobody will receive an item any more. That one is handed back.
    ///
    /// ```
    /// use twoply::{Wait, channel, stream::{self, Stream}};
    ///
    /// let (tx, rx) = channel::bounded(4);
    /// stream::iter(1..=4).forward(&tx).wait().unwrap();
    /// assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
    /// ```
    fn forward<K: Sink<Self::Item>>(self, sink: K) -> Forward<Self, K>
    where
        Self: Sized,
    {
        Forward::new(self, sink)
    }

    /// Goes on to the end of the stream, and sends a clone of each item to each of `sinks`. The slowest sink
    /// sets the pace: the next item is taken when all have the one before. A sink that is closed is left out
    /// from then on.
    ///
    /// Dropping the future drops the item that it is about to send; polled by reference it is cancel-safe.
    ///
    /// # Errors
    /// When the last sink is closed. The item that it did not take is handed back. Without any sink the first
    /// item is.
    ///
    /// ```
    /// use twoply::{Wait, channel, stream::{self, Stream}};
    ///
    /// let ((a, from_a), (b, from_b)) = (channel::bounded(2), channel::bounded(2));
    /// stream::iter(["news", "weather"]).fan_out([a, b]).wait().unwrap();
    /// assert_eq!(from_a.iter().collect::<Vec<_>>(), ["news", "weather"]);
    /// assert_eq!(from_b.iter().collect::<Vec<_>>(), ["news", "weather"]);
    /// ```
    fn fan_out<K: Sink<Self::Item>>(self, sinks: impl IntoIterator<Item = K>) -> FanOut<Self, K, Self::Item>
    where
        Self: Sized,
        Self::Item: Clone,
    {
        FanOut::new(self, sinks)
    }

    /// Makes a [`Source`](crate::channel::Source) of the stream: several may receive from it, each item goes
    /// to one of them, and an actor may attach it.
    ///
    /// ```
    /// use twoply::{Wait, channel::Source, stream::{self, Stream}};
    ///
    /// let source = stream::iter([1, 2]).map(|n| 10 * n).into_source();
    /// assert_eq!(source.recv().wait(), Ok(10));
    /// assert_eq!(source.try_recv(), Ok(20));
    /// assert!(source.recv().wait().is_err());
    /// ```
    fn into_source(self) -> StreamSource<Self>
    where
        Self: Sized,
    {
        StreamSource::new(self)
    }
}

/// Forwards the trait through a pointer, which also makes a boxed `dyn` stream callable.
macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<S: Stream + ?Sized> Stream for $pointer {
            type Item = S::Item;

            fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
                (**self).poll_next(cx)
            }

            fn stop_next(&mut self) {
                (**self).stop_next();
            }
        }
    )*};
}

forward!(&mut S, Box<S>);

/// The future of [`Stream::next`]. It holds no item.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Next<'a, S: Stream + ?Sized> {
    stream: &'a mut S,
    /// True once it has been polled: the stream may wait at several places, also when it is ready.
    may_wait: bool,
}

impl<S: Stream + ?Sized> Future for Next<'_, S> {
    type Output = Option<S::Item>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.may_wait = true;
        self.stream.poll_next(cx)
    }
}

impl<S: Stream + ?Sized> Drop for Next<'_, S> {
    #[inline]
    fn drop(&mut self) {
        if self.may_wait {
            self.stream.stop_next();
        }
    }
}

impl<S: Stream + ?Sized> fmt::Debug for Next<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("polled", &self.may_wait).finish_non_exhaustive()
    }
}
