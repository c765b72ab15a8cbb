//! Blocking calls as futures.
//!
//! [`run`] sends a call to a thread of the pool of the process, and [`run_on`] to one of another pool; name
//! resolution uses the first. [`call`] makes the call on the stack that polls, if that may block, and else
//! sends it to the pool of that stack; files use it.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::thread;

use crate::base::sync::lock_std;
use crate::base::wake::{StoredWaker, wake_all};
use crate::kernel::coop;
use crate::kernel::strand::with_current;
use crate::kernel::threads::{self, BlockingPool};
use crate::kernel::waiting::{self, WaitingFor};

/// Runs `call` on a thread of the pool of the process; see [`run_on`].
pub(crate) fn run<T, F>(call: F) -> impl Future<Output = io::Result<T>> + Send
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    run_on(&threads::blocking(), call)
}

/// Runs `call` on a thread of `pool`, and returns a future of its result. A panic of the call is resumed by
/// the poll that finds it.
///
/// The call starts now, or when one that runs is over. Dropping the future does not stop the call: its result
/// is dropped when it comes.
///
/// # Errors
/// The future returns an error when no thread can be had. Then the call is dropped.
fn run_on<T, F>(pool: &BlockingPool, call: F) -> Blocking<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (completion, mut blocking) = pair();
    blocking.started = pool.execute(None, move || completion.complete(catch_unwind(AssertUnwindSafe(call))));
    blocking
}

/// Makes the two ends of a call that somebody else makes.
pub(crate) fn pair<T>() -> (Completion<T>, Blocking<T>) {
    let outcome = Arc::new(Mutex::new(Outcome { result: None, waker: None }));
    (Completion(Arc::clone(&outcome)), Blocking { started: Ok(()), outcome })
}

/// The state that the call and its future share.
struct Outcome<T> {
    /// The value that the call has returned, or the payload of its panic.
    result: Option<thread::Result<T>>,
    /// The waker of the future's latest poll.
    waker: Option<StoredWaker>,
}

/// The side of whoever makes the call.
pub(crate) struct Completion<T>(Arc<Mutex<Outcome<T>>>);

impl<T> Completion<T> {
    /// Leaves the result, and wakes who waits for it.
    pub(crate) fn complete(self, result: thread::Result<T>) {
        let waker = {
            let mut outcome = lock_std(&self.0);
            outcome.result = Some(result);
            outcome.waker.take()
        };
        // The share in the outcome is dropped first, so that the result is dropped by whichever side is the
        // last.
        drop(self.0);
        wake_all(waker);
    }
}

/// The future of a call that somebody else makes.
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
pub(crate) struct Blocking<T> {
    /// The error if no thread was to be had, which the first poll takes out.
    started: io::Result<()>,
    outcome: Arc<Mutex<Outcome<T>>>,
}

impl<T> Future for Blocking<T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        std::mem::replace(&mut self.started, Ok(()))?;
        // Cloned and dropped outside the lock: both may run code of the user's.
        let waker = StoredWaker::of(cx.waker());
        let (result, old) = {
            let mut outcome = lock_std(&self.outcome);
            match outcome.result.take() {
                Some(result) => (Some(result), Some(waker)),
                None => (None, outcome.waker.replace(waker)),
            }
        };
        drop(old);
        match result {
            Some(Ok(value)) => Poll::Ready(Ok(value)),
            Some(Err(payload)) => resume_unwind(payload),
            None => waiting::note(Poll::Pending, || WaitingFor::Offload { name: None }),
        }
    }
}

impl<T> Drop for Blocking<T> {
    fn drop(&mut self) {
        let waker = lock_std(&self.outcome).waker.take();
        drop(waker);
    }
}

/// Returns whether a poll with this waker may block in a system call: if the stack has its thread to itself,
/// and polls for itself alone. What is polled beside other things (a time limit, the arms of a select, the
/// parts of a join), or with the waker of somebody else who does that, would hold these up.
#[inline]
pub(crate) fn may_block(cx: &Context<'_>) -> bool {
    with_current(|strand| strand.may_block() && strand.state().polls_alone(cx.waker()))
}

/// Makes a call that may block, where it [may](may_block), and else on a thread of the stack's pool. It is
/// made, or handed over, by the first poll.
///
/// Dropping the future after that does not stop the call.
pub(crate) fn call<T, F>(call: F) -> Call<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> io::Result<T> + Send + 'static,
{
    Call::New(Some(call))
}

/// The future of [`call`].
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
pub(crate) enum Call<T, F> {
    /// It has not been made. `None` only inside of a poll.
    New(Option<F>),
    /// A thread makes it.
    Running(Blocking<io::Result<T>>),
}

// No field is ever polled in place.
impl<T, F> Unpin for Call<T, F> {}

impl<T, F> Future for Call<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> io::Result<T> + Send + 'static,
{
    type Output = io::Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let this = self.get_mut();
        let unit = ready!(coop::proceed(cx));
        if let Call::New(call) = this {
            let Some(call) = call.take() else { panic!("polled after it was ready") };
            if may_block(cx) {
                unit.spend();
                return Poll::Ready(call());
            }
            *this = Call::Running(run_on(&with_current(|strand| strand.blocking_pool()), call));
        }
        let Call::Running(running) = this else { unreachable!("it has been handed over") };
        let result = ready!(Pin::new(running).poll(cx));
        unit.spend();
        Poll::Ready(result.flatten())
    }
}
