//! Calls that can only block, as futures: they run on a thread from the [cache](crate::threads).
//!
//! Name resolution uses this. Nothing here limits how many run at a time; the thread cache does.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;

use crate::lock::lock;
use crate::threads;

/// Where the result meets whoever waits for it.
struct Meeting<T> {
    /// What the call returned, or the payload of its panic.
    result: Option<thread::Result<T>>,
    /// Who waits.
    waker: Option<Waker>,
}

/// Runs `call` on another thread. A panic in it goes on in the task that waits for the result.
///
/// The call starts now. Dropping the future does not stop it: its result is dropped when it comes.
///
/// # Errors
/// When no thread can be had. The call is dropped then.
pub(crate) fn run<T, F>(call: F) -> impl Future<Output = io::Result<T>> + Send
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let meeting = Arc::new(Mutex::new(Meeting { result: None, waker: None }));
    let caller = Arc::clone(&meeting);
    let mut started = threads::shared().execute(None, None, move || {
        let result = catch_unwind(AssertUnwindSafe(call));
        let waker = {
            let mut meeting = lock(&caller);
            meeting.result = Some(result);
            meeting.waker.take()
        };
        // The meeting is left first, so that the result is dropped on whichever side leaves last.
        drop(caller);
        waker.into_iter().for_each(Waker::wake);
    });
    poll_fn(move |cx| {
        if let Err(e) = std::mem::replace(&mut started, Ok(())) {
            return Poll::Ready(Err(e));
        }
        // Cloned and dropped outside the lock: both may run code of the user's.
        let waker = cx.waker().clone();
        let (result, old) = {
            let mut meeting = lock(&meeting);
            match meeting.result.take() {
                Some(result) => (Some(result), Some(waker)),
                None => (None, meeting.waker.replace(waker)),
            }
        };
        drop(old);
        match result {
            Some(Ok(value)) => Poll::Ready(Ok(value)),
            Some(Err(payload)) => resume_unwind(payload),
            None => Poll::Pending,
        }
    })
}
