//! Calls that can only block, as futures: they run on a thread of the [pool](crate::threads::blocking), which limits how
//! many run at a time.
//!
//! Name resolution uses this.

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

/// Where the result meets whoever waits for it.
struct Outcome<T> {
    /// What the call returned, or the payload of its panic.
    result: Option<thread::Result<T>>,
    /// Who waits.
    waker: Option<StoredWaker>,
}

/// Runs `call` on another thread. A panic in it goes on in the task that waits for the result.
///
/// The call starts now, or when one that runs is over. Dropping the future does not stop it: its result is dropped when it
/// comes.
///
/// # Errors
/// When no thread can be had. The call is dropped then.
pub(crate) fn run<T, F>(call: F) -> impl Future<Output = io::Result<T>> + Send
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let outcome = Arc::new(Mutex::new(Outcome { result: None, waker: None }));
    let caller = Arc::clone(&outcome);
    let started = threads::blocking().execute(move || {
        let result = catch_unwind(AssertUnwindSafe(call));
        let waker = {
            let mut outcome = lock_std(&caller);
            outcome.result = Some(result);
            outcome.waker.take()
        };
        // The outcome is left first, so that the result is dropped on whichever side leaves last.
        drop(caller);
        wake_all(waker);
    });
    Blocking { started, outcome }
}

/// The future of [`run`].
struct Blocking<T> {
    /// Whether a thread was had for the call; an error is taken out by the first poll.
    started: io::Result<()>,
    /// Where the result comes.
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
            None => Poll::Pending,
        }
    }
}

impl<T> Drop for Blocking<T> {
    fn drop(&mut self) {
        let waker = lock_std(&self.outcome).waker.take();
        drop(waker);
    }
}
