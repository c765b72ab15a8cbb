//! The future of a process's task: the user's body, and the end of the process after it.
//!
//! The end must come whatever happens to the body: it returns, it panics, it is dropped at an await point, it
//! unwinds from a wait, its job is dropped before it ever ran. So the end is in the destructor, after that of
//! the body.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::cell::Cell;
use crate::kernel::backend::Strand;
use crate::kernel::task::{Body, TaskKind};
use crate::kernel::task::{ExitReason, IntoExit};
use crate::kernel::wait::Cancelled;
use crate::kernel::waiting::{Subject, is_observed, with_subject};
use crate::promise::Failure;

pin_project! {
    /// The future of a process's task.
    pub(super) struct ProcessBody<B, M>
    where
        M: Send,
        M: 'static,
    {
        // The user's part, which is gone when it is over.
        #[pin]
        body: Option<B>,
        // The process whose body this is.
        cell: Arc<Cell<M>>,
    }

    impl<B, M> PinnedDrop for ProcessBody<B, M>
    where
        M: Send,
        M: 'static,
    {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            this.cell.leave();
            let reason = match catch_unwind(AssertUnwindSafe(|| this.body.set(None))) {
                Ok(()) => ExitReason::Shutdown,
                Err(payload) => reason_of(Failure::of_unwind(payload)),
            };
            this.cell.end(reason);
        }
    }
}

impl<B, M: Send + 'static> ProcessBody<B, M> {
    pub(super) fn new(body: B, cell: Arc<Cell<M>>) -> ProcessBody<B, M> {
        ProcessBody { body: Some(body), cell }
    }
}

impl<B: Body, M: Send + 'static> ProcessBody<B, M>
where
    B::Output: IntoExit,
{
    /// Lets the body run by `go`, if it may. Pending means that it goes on later.
    #[inline]
    fn advance(self: Pin<&mut Self>, go: impl FnOnce(Pin<&mut B>) -> Poll<Advance<B>>) -> Poll<()> {
        let mut this = self.project();
        // SAFETY: this is the body of the process's task, which is polled by nobody else; and the destructor
        // calls `end`.
        if !this.cell.has_begun() && !unsafe { this.cell.begin() } {
            return Poll::Ready(());
        }
        let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        let undecided = this.cell.resume();
        // The output of the body may run code of the user's on its way to a reason.
        let gone = catch_unwind(AssertUnwindSafe(|| go(body).map(|output| output.map(IntoExit::into_exit))));
        let reason = match gone {
            Ok(Poll::Pending) => {
                this.cell.suspend(undecided);
                return Poll::Pending;
            }
            // The body was cancelled, by a signal, which has settled the reason, or otherwise: then that is
            // left to the end.
            Ok(Poll::Ready(None)) => return Poll::Ready(()),
            Ok(Poll::Ready(Some(reason))) => reason,
            Err(payload) => reason_of(Failure::of_unwind(payload)),
        };
        // The reason is settled before the body's destructor runs: the answers that it owes are then refused
        // for this reason.
        this.cell.settle(reason);
        Poll::Ready(())
    }
}

/// The output of a body that has come to its end; nothing when its wait was cancelled.
type Advance<B> = Option<<B as Body>::Output>;

impl<B: Body, M: Send + 'static> Body for ProcessBody<B, M>
where
    B::Output: IntoExit,
{
    type Output = ();

    const KIND: TaskKind = TaskKind::Process;

    fn process(&self) -> Option<u64> {
        Some(self.cell.identity().serial)
    }

    fn subject(self: Pin<&mut Self>) -> Option<Arc<dyn Subject>> {
        Some(Arc::clone(self.project().cell) as Arc<dyn Subject>)
    }

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // A poll that may block its stack says whose it is. It is made once, or somebody looks.
        if matches!(B::KIND, TaskKind::Closure) || is_observed() {
            let cell = Arc::clone(self.as_mut().project().cell);
            return with_subject(cell, || self.advance(|body| body.poll(cx).map(Some)));
        }
        self.advance(|body| body.poll(cx).map(Some))
    }

    fn run(mut self: Pin<&mut Self>, strand: &dyn Strand) -> Result<(), Cancelled> {
        let cell = Arc::clone(self.as_mut().project().cell);
        let _ = with_subject(cell, || self.advance(|body| Poll::Ready(body.run(strand).ok())));
        Ok(())
    }
}

/// Returns why a process has ended whose body did not return.
fn reason_of(failure: Failure) -> ExitReason {
    match failure {
        Failure::Panicked(panic) => panic.into(),
        _ => ExitReason::Shutdown,
    }
}
