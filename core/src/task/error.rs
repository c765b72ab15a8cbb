//! Why a task did not start, or gave no result.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

use thiserror::Error;

use crate::lock::lock;
use crate::wait::CancelUnwind;

/// Why a task could not be started. Nothing of it has run; its future or closure has been dropped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The operating system refused a thread, or the backend's own limit was reached.
    #[error("no thread could be had for the task: {0}")]
    Thread(#[from] io::Error),
    /// The backend has been shut down.
    #[error("the backend has been shut down")]
    ShutDown,
    /// The caller runs in no task, so there is no backend to inherit.
    #[error("spawned outside of any task: name a backend")]
    NoBackend,
    /// The process was forked; the threads of the backend live in the parent only.
    #[error("the process was forked: the backend's threads stayed behind in the parent")]
    Forked,
}

/// Why a task gave no result.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The task was cancelled, or its backend was shut down, before it was done.
    #[error("the task was cancelled")]
    Cancelled,
    /// The task panicked.
    #[error("the task panicked: {0}")]
    Panicked(Panic),
    /// The task was never started; nothing of it has run.
    #[error("the task could not be started: {0}")]
    NotStarted(#[source] SpawnError),
}

impl TaskError {
    /// Whether the task was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, TaskError::Cancelled)
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, TaskError::Panicked(_))
    }
}

impl From<Box<dyn Any + Send>> for TaskError {
    /// What a caught unwind means for the task.
    fn from(payload: Box<dyn Any + Send>) -> TaskError {
        match payload.downcast::<CancelUnwind>() {
            Ok(_) => TaskError::Cancelled,
            Err(payload) => TaskError::Panicked(Panic::new(payload)),
        }
    }
}

/// What a task panicked with.
///
/// Its message can be read from any thread; the payload itself is taken out by [`Panic::into_payload`]. A
/// payload whose destructor panics does no harm.
pub struct Panic(Mutex<Option<Box<dyn Any + Send>>>);

impl Panic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Panic {
        Panic(Mutex::new(Some(payload)))
    }

    /// The message, when the payload is a string, as it is for `panic!("...")`.
    pub fn message(&self) -> Option<String> {
        let payload = lock(&self.0);
        let payload = payload.as_ref()?;
        match payload.downcast_ref::<&'static str>() {
            Some(text) => Some((*text).to_owned()),
            None => payload.downcast_ref::<String>().cloned(),
        }
    }

    /// The payload.
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        // The payload is taken only here, by value, and in drop.
        lock(&self.0).take().unwrap_or_else(|| Box::new(()))
    }

    /// Goes on panicking with the payload, on the calling stack.
    pub fn resume(self) -> ! {
        resume_unwind(self.into_payload())
    }
}

impl Drop for Panic {
    fn drop(&mut self) {
        if let Some(payload) = lock(&self.0).take() {
            contain(move || drop(payload));
        }
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.message().as_deref().unwrap_or("..")).finish()
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message().as_deref().unwrap_or("a payload that is not a string"))
    }
}

/// Runs a destructor of the user's; if it panics, that is where the panic ends.
pub(crate) fn contain(drop: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(drop)) {
        // A payload may panic in its own destructor, without end.
        std::mem::forget(payload);
    }
}
