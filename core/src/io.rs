//! Bytes, on every stack: descriptors of any kind, the standard streams, streams in memory, and what helps to
//! read and write any of them.
//!
//! | | |
//! |---|---|
//! | [`Pollable`] | anybody's descriptor, whose operations become futures |
//! | [`stdin`], [`stdout`], [`stderr`] | the standard streams, which hold no worker up |
//! | [`duplex`](duplex()) | a stream of bytes in memory, with two ends |
//! | [`BufReader`], [`BufWriter`] | buffers: lines and parts with a limit, look-ahead, putting back |
//! | [`take`](take()), [`chain`](chain()) | a part of a reader; two readers after one another |
//! | [`read_exact`], [`write_all`], [`read_to_end`], [`read_to_string`] | all of something, such that it can go on after it was given up |
//! | [`copy`](copy()), [`copy_bidirectional`] | all from one stream to another; [`net`](crate::net) has those of sockets, which copy nothing |
//!
//! An operation that takes a reader or a writer takes any of futures-io's `AsyncRead` and `AsyncWrite`, and
//! is a future; the types among these also implement std's `Read` and `Write` over std's. A future that is
//! dropped leaves no waker behind, whatever it reads from.
//!
//! The types of this module wait as sockets do: the driver of the running stack watches the descriptor (a
//! parked thread in `poll(2)`, a worker in its reactor), and whoever gives a wait up leaves nothing behind.
//! It never changes the mode of a descriptor that it is lent: whoever shares the open file would change
//! along.

mod buffered;
mod copy;
mod duplex;
pub(crate) mod implement;
mod input;
mod output;
pub(crate) mod pipe;
mod pollable;
mod sys;
mod uninit;
mod whole;

pub use crate::event::reactor::Direction;
pub use buffered::{BufReader, BufWriter, Chain, LimitExceeded, Lines, Split, Take, chain, take};
pub(crate) use copy::{BothEnds, CopyEnd};
pub use copy::{Copied, CopyBidirectionalError, CopyError, CopySide, Way, copy, copy_bidirectional};
pub use duplex::{DuplexStream, duplex};
pub use input::{Stdin, stdin};
pub use output::{Stderr, Stdout, stderr, stdout};
pub use pollable::{Pollable, ReadyGuard, WouldBlock};
pub use uninit::ReadUninit;
pub(crate) use uninit::sealed;
pub(crate) use whole::poll_read_to_end;
pub use whole::{read_exact, read_to_end, read_to_string, write_all};
