//! Where a panic of a handler or a closure ends: here, and not in the task of the actor, which has more to do.
//!
//! [`behaviour`](super::behaviour) and [`active`](super::active) run the user's code through this. The unwinding of a
//! task that is being cancelled is no panic: it passes through.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::ExitReason;
use crate::kernel::task::Panic;
use crate::kernel::wait::CancelUnwind;

impl From<Panic> for ExitReason {
    /// The reason of a process that a panic has ended.
    fn from(panic: Panic) -> ExitReason {
        ExitReason::Panicked(panic.to_string().into())
    }
}

/// Runs `code`.
///
/// What it has half done when it panics is seen by whoever looks at it next; that they may is for the user to know.
pub(super) fn caught<R>(code: impl FnOnce() -> R) -> Result<R, Panic> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| match payload.is::<CancelUnwind>() {
        true => resume_unwind(payload),
        false => Panic::new(payload),
    })
}

/// As [`caught`], for a call that makes a future: the call waits for the first poll, and both are contained.
pub(super) fn contained<C: FnOnce() -> F, F: Future>(call: C) -> Contained<C, F> {
    Contained::Called { call: Some(call) }
}

pin_project! {
    /// The future of [`contained`]. The call and what it makes share their room.
    #[project = ContainedProjection]
    pub(super) enum Contained<C, F> {
        // It has not been polled.
        Called { call: Option<C> },
        // The call has been made.
        Running { #[pin] future: F },
    }
}

impl<C: FnOnce() -> F, F: Future> Future for Contained<C, F> {
    type Output = Result<F::Output, Panic>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = caught(|| {
            if let ContainedProjection::Called { call } = self.as_mut().project()
                && let Some(call) = call.take()
            {
                let future = call();
                self.set(Contained::Running { future });
            }
            match self.project() {
                ContainedProjection::Running { future } => future.poll(cx),
                ContainedProjection::Called { .. } => unreachable!("polled again after it panicked"),
            }
        });
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}
