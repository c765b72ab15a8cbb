//! Blocking calls as futures: they run on a thread of the [pool](crate::threads::blocking), which limits how
//! many run at a time. Name resolution uses this.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;

use crate::base::sync::lock_std;
use crate::base::wake::{StoredWaker, wake_all};
use crate::kernel::threads;
use crate::kernel::waiting::{self, WaitingFor};

/// The state that the call and its future share.
struct Outcome<T> {
    /// The value that the call has returned, or the payload of its panic.
    result: Option<thread::Result<T>>,
    /// The waker of the future's latest poll.
    waker: Option<StoredWaker>,
}

/// Runs `call` on another thread, and returns a future of its result. A panic of the call is resumed by the
/// poll that finds it.
///
/// The call starts now, or when one that runs is over. Dropping the future does not stop the call: its result
/// is dropped when it comes.
///
/// # Errors
/// The future returns an error when no thread can be had. Then the call is dropped.
pub(crate) fn run<T, F>(call: F) -> impl Future<Output = io::Result<T>> + Send
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let outcome = Arc::new(Mutex::new(Outcome { result: None, waker: None }));
    let caller = Arc::clone(&outcome);
    let started = threads::blocking().execute(None, move || {
        let result = catch_unwind(AssertUnwindSafe(call));
        let waker = {
            let mut outcome = lock_std(&caller);
            outcome.result = Some(result);
            outcome.waker.take()
        };
        // The share in the outcome is dropped first, so that the result is dropped by whichever side is the
        // last.
        drop(caller);
        wake_all(waker);
    });
    Blocking { started, outcome }
}

/// The future of [`run`].
struct Blocking<T> {
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
