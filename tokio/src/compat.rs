//! A single future in the context of tokio.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

use crate::context::handle;

thread_local! {
    /// True once the thread has been entered for good.
    static ENTERED: Cell<bool> = const { Cell::new(false) };
}

/// Has `future` find the tokio runtime of [`handle`] wherever it is polled.
///
/// The first poll on a thread that is in no tokio runtime enters that thread, for good: a guard that ends
/// with the poll would be held by a stack that waits on a fiber, while others run on its thread. On the
/// threads of tokio itself, and where the thread has been entered from the start, a poll costs a look at a
/// thread-local, some 30 instructions.
///
/// # Panics
/// A poll panics when the runtime cannot be started, because the operating system refuses a thread or a
/// descriptor. [`handle`] says it before.
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
        if !ENTERED.get() && Handle::try_current().is_err() {
            let handle = handle().unwrap_or_else(|error| panic!("tokio could not be started: {error}"));
            // The handle is for ever, and the thread's own copy of it goes with the thread.
            std::mem::forget(handle.enter());
            ENTERED.set(true);
        }
        self.future.as_mut().poll(cx)
    }
}
