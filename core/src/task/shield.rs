//! [`shield`]: work that is finished once it has begun, though its task is cancelled meanwhile.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use crate::base::fused::fused;
use crate::base::sync::lock_std;
use crate::kernel::Wait;
use crate::kernel::detached;
use crate::kernel::strand::with_state;
use crate::kernel::task::{Builder, Task, Value, current_backend, current_values, with_values};

/// Protects `future` from being cut off: once it has begun, it goes on to its end, even if the task that
/// waits for it is cancelled, or the wait is dropped for another reason.
///
/// It runs as a part of the calling task, like any future. When the wait is dropped before it is ready, what
/// is left of it moves to a task of its own, on the backend of the calling task, with the
/// [task-locals](crate::task::LocalKey) that it has begun with, and its output is dropped.
/// While it runs, a [`.wait()`](crate::Wait::wait) in it does not unwind for a cancellation of the calling
/// task either: that ends at its next wait after this one. A cancelled task has ended when the shielded work
/// may still be under way; whoever has to know about the end of that lets it say so, through a channel or an
/// [`Event`](crate::sync::Event).
///
/// Because it may move, the locks that it takes and the promises that it takes on count as nobody's where
/// [deadlocks](crate::sync::Mutex#deadlocks) are looked for: a circle through them is not found. Those that
/// it brings along stay the calling task's, which is told of a deadlock when it waits for what the rest still
/// holds; so their holder and owner are cleared before they are moved in.
///
/// A future that was never polled has not begun, and is dropped. Where the backend takes no tasks any more,
/// because it is shut down, the rest runs on a thread that nobody waits for; a shutdown that comes later
/// cancels it like any task.
///
/// # Panics
/// When the future does, or it is polled after it was ready. Once it has moved, a panic ends there.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, channel, task, time};
///
/// let (begun, has_begun) = channel::oneshot();
/// let (saved, is_saved) = channel::oneshot();
/// let task = twoply::spawn(async {
///     task::shield(async {
///         begun.send("first half").unwrap();
///         time::sleep(Duration::from_millis(5)).await;
///         saved.send("second half").unwrap();
///     })
///     .await;
///     std::future::pending::<()>().await;
/// });
/// has_begun.wait().unwrap();
/// task.cancel();
/// assert!(task.wait().unwrap_err().is_cancelled());
/// assert_eq!(is_saved.wait(), Ok("second half"));
/// ```
pub fn shield<F: IntoFuture<IntoFuture: Send + 'static>>(future: F) -> Shield<F::IntoFuture> {
    Shield { future: Some(Box::pin(future.into_future())), locals: None }
}

/// The future of [`shield`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Shield<F: Future + Send + 'static> {
    /// None once it has been ready or has panicked, and while it is polled.
    future: Option<Pin<Box<F>>>,
    /// The task-locals of the first poll; None before.
    locals: Option<Vec<Value>>,
}

impl<F: Future + Send + 'static> Future for Shield<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        this.locals.get_or_insert_with(current_values);
        // Taken out, so that nothing goes on with a future that has panicked.
        let mut future = this.future.take().expect("a shield was polled after it was ready");
        let polled = with_state(|state| {
            let _shield = state.shield();
            state.nested_polls().lend(|| future.as_mut().poll(cx))
        });
        if polled.is_pending() {
            this.future = Some(future);
        }
        polled
    }
}

fused! { [F: Future + Send + 'static] Shield<F>, |this| this.future.is_none() }

impl<F: Future + Send + 'static> Drop for Shield<F> {
    fn drop(&mut self) {
        if let (Some(future), Some(locals)) = (self.future.take(), self.locals.take()) {
            finish(Rest(Arc::new(Mutex::new(Some(future)))), locals);
        }
    }
}

impl<F: Future + Send + 'static> fmt::Debug for Shield<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").field("has_begun", &self.locals.is_some()).finish_non_exhaustive()
    }
}

/// Has `rest` finished by a task of its own, which has these task-locals.
fn finish<F: Future + Send + 'static>(rest: Rest<F>, locals: Vec<Value>) {
    let body = with_values(locals.clone(), rest.clone());
    let spawned = current_backend().and_then(|backend| Builder::new().spawn_on(&backend, body));
    match spawned.map(Task::detach) {
        Ok(()) => {}
        Err(_) => detached::run(None, Box::new(move || with_values(locals, rest).wait())),
    }
}

/// The rest of a future, for whoever takes it: a task that is not started drops what it was to run. The
/// mutex is locked only to take the future out and to put it back.
struct Rest<F>(Arc<Mutex<Option<Pin<Box<F>>>>>);

impl<F> Clone for Rest<F> {
    fn clone(&self) -> Rest<F> {
        Rest(Arc::clone(&self.0))
    }
}

impl<F: Future> Future for Rest<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut future) = lock_std(&self.0).take() else { return Poll::Ready(()) };
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => {
                drop(output);
                Poll::Ready(())
            }
            Poll::Pending => {
                *lock_std(&self.0) = Some(future);
                Poll::Pending
            }
        }
    }
}
