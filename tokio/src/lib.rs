//! Libraries that want tokio, on the tasks of twoply: users have it as `twoply::tokio`, with the feature
//! `tokio`.
//!
//! Such libraries look for a tokio runtime in a thread-local of the thread that polls them, for its timers,
//! sockets and `spawn`, and panic where there is none. [`handle`] is such a runtime: one that is
//! [lent](lend), or one of a single thread that is started when somebody first asks. It drives tokio's own
//! timers and sockets, and runs the tasks that are started by `tokio::spawn`; everything else runs where it
//! is polled.
//!
//! There are two ways to it:
//! - the setting `tokio` of the facade's `runtime::Builder`, or [`enter`] around the threads of another
//!   builder or of the process: each thread is inside from its start to its end;
//! - [`compat`], for a single future, wherever it is polled.
//!
//! Both enter a thread, and not a poll: a poll that waits on a fiber would leave its guard to others, and
//! tokio panics where guards end in another order than they began. So it does where two fibers of a thread
//! hold one of tokio's own (`Handle::enter`) across `.wait()`; on a thread that is inside none is needed.
//!
//! [`Io`] has the traits of tokio on our streams, [`FuturesIo`] the traits of futures-io on tokio's.
//!
//! # The other way round
//! In a tokio program, every future of this library is polled by `.await` as any other. `.wait()` blocks the
//! thread, which tokio wants to be told of: `tokio::task::block_in_place(|| promise.wait())`.
//!
//! # Examples
//! ```
//! use std::time::Duration;
//! use twoply::Wait;
//!
//! // A timer of tokio's, polled by the stack of this test.
//! let nap = async { tokio::time::sleep(Duration::from_millis(1)).await };
//! twoply::tokio::compat(nap).wait();
//! ```

mod compat;
mod context;
mod io;

pub use compat::{Compat, compat};
pub use context::{AlreadyGiven, enter, handle, lend};
pub use io::{FuturesIo, Io};
