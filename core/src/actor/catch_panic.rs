//! Catches the panics of handlers, of closures, of codecs and of the code that starts a child, as values.
//!
//! [`behaviour`](super::behaviour), [`active`](super::active), the [supervisor](super::supervisor)'s
//! `starter` and ports run the user's code through this and go on afterwards. The unwinding of a task that is
//! being cancelled is no panic: it passes through. Panics that are nobody's affair, those of destructors and
//! wakers, are discarded by `base::panic`.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::ExitReason;
use crate::kernel::task::Panic;
use crate::kernel::task::failure::CancelUnwind;

impl From<Panic> for ExitReason {
    /// Returns the reason of a process that a panic has ended.
    fn from(panic: Panic) -> ExitReason {
        ExitReason::Panicked(panic.to_message())
    }
}

/// Runs `code` and returns its value, or its panic. The unwinding of a cancellation goes on.
///
/// `code` need not be unwind safe: it is the user's, and the user decides what may be looked at after a
/// panic.
pub(crate) fn catch_panic<R>(code: impl FnOnce() -> R) -> Result<R, Panic> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| match payload.is::<CancelUnwind>() {
        true => resume_unwind(payload),
        false => Panic::new(payload),
    })
}

/// As [`catch_panic`], for a call that makes a future: the call is made in the first poll, and the panics of
/// both are caught.
pub(super) fn catch_panic_async<C: FnOnce() -> F, F: Future>(call: C) -> CatchPanic<C, F> {
    CatchPanic::Called { call: Some(call) }
}

pin_project! {
    /// The future of [`catch_panic_async`]. The call and the future that it makes lie in the same bytes.
    #[project = CatchPanicProjection]
    pub(super) enum CatchPanic<C, F> {
        // It has not been polled.
        Called { call: Option<C> },
        // The call has been made.
        Running { #[pin] future: F },
    }
}

impl<C: FnOnce() -> F, F: Future> Future for CatchPanic<C, F> {
    type Output = Result<F::Output, Panic>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = catch_panic(|| {
            if let CatchPanicProjection::Called { call } = self.as_mut().project()
                && let Some(call) = call.take()
            {
                let future = call();
                self.set(CatchPanic::Running { future });
            }
            match self.project() {
                CatchPanicProjection::Running { future } => future.poll(cx),
                CatchPanicProjection::Called { .. } => unreachable!("polled again after it panicked"),
            }
        });
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}
