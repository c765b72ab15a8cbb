//! Streams: items that come one after another, and what is made of them on the way.
//!
//! A [`Stream`] is to a [`Source`](crate::channel::Source) what an iterator is to a collection: one consumer
//! asks it for the next item, by `stream.next().await` or `stream.next().wait()`, and what it has to remember
//! lies in the stream itself. [`Source::into_stream`](crate::channel::Source::into_stream) makes one of
//! everything that messages come from, [`iter`] of an iterator, [`poll_fn`] of anything else.
//!
//! | does | names |
//! |---|---|
//! | change or leave out items | [`map`], [`filter`], [`filter_map`], [`scan`] |
//! | begin late, end early | [`skip`], [`skip_while`], [`take`], [`take_while`], [`take_until`] |
//! | put streams together | [`merge`], [`chain`], [`zip`] |
//! | gather items | [`chunks`], [`chunks_timeout`] |
//! | go by the clock | [`timeout`], [`throttle`], [`debounce`] |
//! | work on several items at once | [`buffered`], [`buffered_unordered`] |
//! | go on to the end | [`fold`], [`for_each`], [`collect`], [`forward`], [`fan_out`] |
//! | serve several consumers, or an actor | [`into_source`] |
//!
//! # Nothing is lost
//! An item that a combinator has taken and not given out yet is kept in the combinator, never in the future
//! of [`next`](Stream::next). So that future may be dropped at any time, as the arm of a select that loses or
//! by a time limit, and the next one goes on where it was. What is dropped with a stream is what the stream
//! still holds.
//!
//! # Work in place, or in tasks
//! [`buffered`] and [`buffered_unordered`] poll the futures that they are given in the task that asks for the
//! next item: no task is started, nothing has to be `Send` or `'static`, and the futures go on only while
//! somebody asks. A [`Task`](crate::task::Task) is a future, too: `stream.map(|item| spawn(work(item)))` with
//! `.buffered(8)` after it has up to eight tasks run in parallel, each started when there is a place for it,
//! and gives their results in the order of the items. That is Elixir's `Task.async_stream`.
//!
//! # Other streams
//! This is no trait of another crate, so that a release of that crate breaks nobody. A stream with a
//! `poll_next` of its own becomes one of these by [`poll_fn`], and one of these becomes another kind through
//! that one's `poll_fn` and [`Stream::poll_next`].
//!
//! ```
//! use twoply::{Wait, channel::{self, Source}, stream::Stream};
//!
//! let (tx, rx) = channel::bounded(16);
//! let sums = rx.into_stream().filter(|n| n % 2 == 1).map(|n: u32| n * n).chunks(2);
//! std::thread::spawn(move || (1..=6).for_each(|n| tx.send(n).wait().unwrap()));
//! assert_eq!(sums.collect::<Vec<_>>().wait(), [vec![1, 9], vec![25]]);
//! ```
//!
//! This module starts no task and never blocks. The closures that it is given run in the task that asks for
//! the next item, under no lock.
//!
//! [`map`]: Stream::map
//! [`filter`]: Stream::filter
//! [`filter_map`]: Stream::filter_map
//! [`scan`]: Stream::scan
//! [`skip`]: Stream::skip
//! [`skip_while`]: Stream::skip_while
//! [`take`]: Stream::take
//! [`take_while`]: Stream::take_while
//! [`take_until`]: Stream::take_until
//! [`merge`]: Stream::merge
//! [`chain`]: Stream::chain
//! [`zip`]: Stream::zip
//! [`chunks`]: Stream::chunks
//! [`chunks_timeout`]: Stream::chunks_timeout
//! [`timeout`]: Stream::timeout
//! [`throttle`]: Stream::throttle
//! [`debounce`]: Stream::debounce
//! [`buffered`]: Stream::buffered
//! [`buffered_unordered`]: Stream::buffered_unordered
//! [`fold`]: Stream::fold
//! [`for_each`]: Stream::for_each
//! [`collect`]: Stream::collect
//! [`forward`]: Stream::forward
//! [`fan_out`]: Stream::fan_out
//! [`into_source`]: Stream::into_source

/// Prints the name of a combinator, whose closures cannot be printed.
macro_rules! opaque_debug {
    ($($Name:ident<$($P:ident $(: $bound:path)?),*>),* $(,)?) => {$(
        impl<$($P $(: $bound)?),*> std::fmt::Debug for $Name<$($P),*> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($Name)).finish_non_exhaustive()
            }
        }
    )*};
}

mod beginning;
mod buffered;
mod chunks;
mod consume;
mod items;
mod origin;
mod pace;
mod several;
mod source;
mod traits;

pub use beginning::{Skip, SkipWhile, Take, TakeUntil, TakeWhile};
pub use buffered::{Buffered, BufferedUnordered};
pub use chunks::{Chunks, ChunksTimeout};
pub use consume::{Collect, FanOut, Fold, ForEach, Forward};
pub use items::{Filter, FilterMap, Map, Scan};
pub use origin::{Iter, PollFn, SourceStream, iter, poll_fn};
pub use pace::{Debounce, Throttle, TimeoutEach};
pub use several::{Chain, Merge, Zip};
pub use source::StreamSource;
pub use traits::{Next, Stream};

use std::task::{Context, Poll, ready};

use crate::kernel::coop::BudgetScope;
use crate::kernel::strand::with_state;

/// Calls `step` until it has a result. A step without one has used an item up and goes on to the next; when
/// the budget is spent, the rest is for the next poll.
fn poll_steps<R>(cx: &mut Context<'_>, mut step: impl FnMut(&mut Context<'_>) -> Poll<Option<R>>) -> Poll<R> {
    with_state(|state| {
        let scope = BudgetScope::begin(state, cx.waker());
        loop {
            if let Some(result) = ready!(step(cx)) {
                return Poll::Ready(result);
            }
            if scope.must_yield(cx.waker()) {
                return Poll::Pending;
            }
        }
    })
}
