//! Buffers in front of readers and behind writers, for both pairs of traits: std's `Read` and `Write`, and
//! futures-io's.
//!
//! One type serves both, over one buffer. What a type can do follows from what it wraps: a socket, a pipe of
//! a child or an end of a [`duplex`](super::duplex()) implements both pairs, so its buffered reader does.
//!
//! The operations with names of their own are futures, and all of them are cancel-safe: what has been read
//! stays in the buffer of the reader, never in a future.

mod buffer;
mod lines;
mod parts;
mod reader;
mod writer;

pub(super) use buffer::Buffer;
pub use lines::{Lines, Split};
pub use parts::{Chain, Take, chain, take};
pub use reader::{BufReader, LimitExceeded};
pub use writer::BufWriter;

/// The size of a buffer that nobody has given another one, in bytes.
const CAPACITY: usize = 8 * 1024;
