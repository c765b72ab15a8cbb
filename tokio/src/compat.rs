//! A single future in the context of tokio.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::context::enter_thread;

/// Has `future` find the tokio runtime of [`handle`](crate::handle) wherever it is polled, and what it holds
/// wherever that is dropped: the connection of a pool starts a task to return itself, also when its future is
/// cancelled.
///
/// The first poll on a thread that is in no tokio runtime, or the drop there, enters that thread, for good: a
/// guard that ends with the poll would be held by a stack that waits on a fiber, while others run on its
/// thread. On the threads of tokio itself, and where the thread has been entered from the start, a poll costs
/// a look at a thread-local, some 30 instructions.
///
/// # Panics
/// A poll panics when the runtime cannot be started, because the operating system refuses a thread or a
/// descriptor. [`handle`](crate::handle) says it before. A drop goes on without one.
///
/// # Examples
/// ```
/// use twoply::Wait;
///
/// let listening = twoply::tokio::compat(async {
///     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
///     listener.local_addr()
/// });
/// assert_ne!(twoply::spawn(listening).wait().unwrap().unwrap().port(), 0);
/// ```
pub fn compat<F: Future>(future: F) -> Compat<F> {
    Compat { future: Box::pin(future) }
}

/// The future of [`compat`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
pub struct Compat<F> {
    /// The future itself, in a place of its own.
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Compat<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        enter_thread().unwrap_or_else(|error| panic!("tokio could not be started: {error}"));
        self.future.as_mut().poll(cx)
    }
}

impl<F> Drop for Compat<F> {
    fn drop(&mut self) {
        if mem::needs_drop::<F>() {
            // Where nothing can be started, what looks for it says so.
            let _ = enter_thread();
        }
    }
}
