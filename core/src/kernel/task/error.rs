//! The errors of tasks: why one did not start, and what one panicked with.

use std::any::Any;
use std::backtrace::Backtrace;
use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};

use thiserror::Error;

use super::exit::PanicMessage;
use super::panic_hook;
use crate::base::panic::discard_panic;
use crate::base::sync::lock_std;

/// The reasons why a task could not be started. Nothing of it has run; its future or closure has been
/// dropped.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::task::{Builder, SpawnError};
///
/// let runtime = twoply::Runtime::builder().build().unwrap();
/// runtime.shutdown(Duration::from_secs(10)).unwrap();
/// let refused = Builder::new().spawn_on(runtime.spawner().backend(), async {});
/// assert!(matches!(refused, Err(SpawnError::ShutDown)));
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The operating system refused a thread, or the backend's own limit was reached.
    #[error("no thread could be had for the task: {0}")]
    Thread(#[from] io::Error),
    /// The backend has been shut down.
    #[error("the backend has been shut down")]
    ShutDown,
    /// The caller runs in no task, so there is no backend to inherit, and the program has no default one.
    #[error("spawned outside of any task: name a backend")]
    NoBackend,
    /// The process was forked; the threads of the backend live in the parent only.
    #[error("the process was forked: the backend's threads stayed behind in the parent")]
    Forked,
}

/// The panic of a task. Clones are of the same panic.
///
/// Its message can be read from any thread; the payload itself is taken out by [`Panic::into_payload`], once.
/// A payload whose destructor panics does no harm.
///
/// # Examples
/// ```
/// use twoply::{Failure, Wait};
///
/// let task = twoply::spawn_fn(|| -> u32 { panic!("no luck") });
/// let Err(Failure::Panicked(panic)) = task.wait() else { unreachable!() };
/// assert_eq!(panic.message(), Some("no luck"));
/// ```
#[derive(Clone)]
pub struct Panic(Arc<Caught>);

/// The one panic that its clones share.
struct Caught {
    /// The message, if the payload is a string.
    message: Option<Box<str>>,
    /// The stack that it came from, if that was kept.
    backtrace: Option<Arc<Backtrace>>,
    /// The payload with which the stack unwound, until it is taken.
    payload: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Panic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Panic {
        let message = panic_hook::message_of(&*payload);
        let backtrace = panic_hook::take_backtrace(message);
        let message = message.map(Box::from);
        Panic(Arc::new(Caught { message, backtrace, payload: Mutex::new(Some(payload)) }))
    }

    /// Returns the message, when the payload is a string, as it is for `panic!("...")`.
    ///
    /// ```
    /// use twoply::{Failure, Wait};
    ///
    /// let task = twoply::spawn_fn(|| -> u32 { std::panic::panic_any(7) });
    /// let Err(Failure::Panicked(panic)) = task.wait() else { unreachable!("it has panicked") };
    /// assert_eq!(panic.message(), None, "the payload is no string");
    /// ```
    pub fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// Returns the stack that the panic came from, if that was kept: see
    /// [`keep_backtraces`](crate::task::keep_backtraces), which has an example.
    pub fn backtrace(&self) -> Option<&Backtrace> {
        self.0.backtrace.as_deref()
    }

    /// Returns the message for a process that it has ended.
    pub(crate) fn to_message(&self) -> PanicMessage {
        PanicMessage::new(self.to_string(), self.0.backtrace.clone())
    }

    /// Returns the payload; if a clone has taken it already, the message, as a `String`.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Failure, Wait};
    ///
    /// let task = twoply::spawn_fn(|| std::panic::resume_unwind(Box::new(7_u32)));
    /// let failed: Result<(), _> = task.wait();
    /// let Err(Failure::Panicked(panic)) = failed else { unreachable!() };
    /// assert_eq!(panic.into_payload().downcast_ref(), Some(&7_u32));
    /// ```
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        let payload = lock_std(&self.0.payload).take();
        payload.unwrap_or_else(|| Box::new(self.message().unwrap_or_default().to_owned()))
    }

    /// Returns true if both are of the same panic.
    pub(super) fn is_same(&self, other: &Panic) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Goes on panicking with the payload, on the calling stack.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Failure, Wait};
    ///
    /// let caught = std::panic::catch_unwind(|| {
    ///     let task = twoply::spawn(async { panic!("expected: no luck") });
    ///     match task.wait() {
    ///         Err(Failure::Panicked(panic)) => panic.resume(),
    ///         other => other,
    ///     }
    /// });
    /// assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"expected: no luck"));
    /// ```
    pub fn resume(self) -> ! {
        resume_unwind(self.into_payload())
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        if let Some(payload) = lock_std(&self.payload).take() {
            discard_panic(move || drop(payload));
        }
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.message().unwrap_or("..")).finish()
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message().unwrap_or("a payload that is not a string"))
    }
}
