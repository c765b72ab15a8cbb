//! The traits of [futures](https://docs.rs/futures) on our streams and channels: users of twoply have it as
//! `twoply::futures`, with the feature `futures`.
//!
//! | futures has | here |
//! |---|---|
//! | `Stream`, `FusedStream` | [`AsStream`], over any stream: that of a channel or an interval, or a combinator's |
//! | `Sink` | [`AsSink`], over a sender, a reference to a process or whatever else is a target of messages |
//!
//! The other way round, [`stream::poll_fn`](twoply_core::stream::poll_fn) makes one of our streams of one of
//! theirs, and the futures of both are the same. Those that are over once and for all have `FusedFuture`:
//! tasks, promises, answers, the locks of a mutex or a read-write lock, permits, barriers, shields and starts
//! of actors. Others may be polled again, and become one by `.fuse()`.
//!
//! # Examples
//! ```
//! use futures::{SinkExt, StreamExt, stream};
//! use twoply::channel::{self, Source};
//! use twoply::futures::{AsSink, AsStream};
//! use twoply::{Wait, spawn};
//!
//! let (tx, rx) = channel::bounded(2);
//! let sending = spawn(async move { stream::iter([1, 2, 3]).map(Ok).forward(AsSink::new(tx)).await });
//! let received = AsStream::new(rx.into_stream()).map(|n| 10 * n).collect::<Vec<_>>();
//! assert_eq!(received.wait(), [10, 20, 30]);
//! sending.wait()??;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod sink;
mod stream;

pub use sink::AsSink;
pub use stream::AsStream;
