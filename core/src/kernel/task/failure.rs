//! The one error of promises, tasks and questions to processes: why there is no value.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::error::{Panic, SpawnError};
use super::exit::ExitReason;

/// The payload with which the stack of a cancelled task unwinds.
pub(crate) struct CancelUnwind;

/// The reason why a promise, a task or a question gave no value.
///
/// It is cheap to clone, for all who wait for one promise are told.
///
/// # Examples
/// ```
/// use twoply::{Wait, promise::{self, Failure}};
///
/// let (answer, resolver) = promise::pair::<u32>();
/// drop(resolver);
/// assert!(matches!(answer.wait(), Err(Failure::Broken)));
/// ```
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Failure {
    /// Nobody is left who could give the value.
    #[error("the promise was broken: nobody is left to keep it")]
    Broken,
    /// The task was cancelled, or its backend was shut down, before it was done.
    #[error("the task was cancelled")]
    Cancelled,
    /// The code that was to give the value panicked.
    #[error("the task panicked: {0}")]
    Panicked(Panic),
    /// The wait would be a wait for oneself, in the end.
    #[error("deadlock: {0}")]
    Deadlock(Cycle),
    /// The process that owed the value has ended, for this reason.
    #[error("the process that owed the answer has ended: {0}")]
    NoProcess(ExitReason),
    /// The value did not come in time. It may come later.
    #[error("the value did not come in time")]
    TimedOut,
    /// The mailbox was full, so the question was not asked.
    #[error("the mailbox was full")]
    Overloaded,
    /// The task was never started; nothing of it has run.
    #[error("the task could not be started: {0}")]
    NotStarted(#[source] Arc<SpawnError>),
}

impl Failure {
    /// Returns true if the task was cancelled.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    ///
    /// let task = twoply::spawn(std::future::pending::<()>());
    /// task.cancel();
    /// assert!(task.wait().unwrap_err().is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Failure::Cancelled)
    }

    /// Returns true if the task panicked.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    ///
    /// let task = twoply::spawn(async { panic!("expected: no luck") });
    /// assert!(task.wait().unwrap_err().is_panic());
    /// ```
    pub fn is_panic(&self) -> bool {
        matches!(self, Failure::Panicked(_))
    }

    /// Returns why the task could not be started, if that is why there is no value.
    pub fn not_started(&self) -> Option<&SpawnError> {
        match self {
            Failure::NotStarted(error) => Some(error),
            _ => None,
        }
    }

    /// Returns what a caught unwind means for the task that it went through.
    pub(crate) fn of_unwind(payload: Box<dyn Any + Send>) -> Failure {
        match payload.downcast::<CancelUnwind>() {
            Ok(_) => Failure::Cancelled,
            Err(payload) => Failure::Panicked(Panic::new(payload)),
        }
    }
}

impl From<SpawnError> for Failure {
    fn from(error: SpawnError) -> Failure {
        Failure::NotStarted(Arc::new(error))
    }
}

/// Tasks that wait for each other in a circle: each for the next, and the last for the first.
///
/// Displayed as `a -> b -> a`, beginning with the task that was refused the wait.
///
/// # Examples
/// ```
/// use twoply::{Failure, Wait, promise, task};
///
/// let (promise, resolver) = promise::pair::<u32>();
/// let task = task::Builder::new().name("narcissus").spawn(async move { promise.await }).unwrap();
/// resolver.set_owner(&task.task());
/// let Err(Failure::Deadlock(cycle)) = task.wait().unwrap() else { unreachable!() };
/// assert_eq!(cycle.to_string(), "narcissus -> narcissus");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Cycle(Arc<[Box<str>]>);

impl Cycle {
    pub(crate) fn new(names: impl IntoIterator<Item = Box<str>>) -> Cycle {
        Cycle(names.into_iter().collect())
    }

    /// Returns the names of the tasks in reports, each once, in the order in which they wait for each other.
    ///
    /// ```
    /// use twoply::{Wait, sync::{LockError, Mutex}, task};
    ///
    /// let mutex = Mutex::new(0);
    /// let task = task::Builder::new().name("narcissus").spawn(async move {
    ///     let _guard = mutex.lock().await;
    ///     match mutex.lock().checked().await {
    ///         Err(LockError::Deadlock(cycle)) => cycle.tasks().map(str::to_owned).collect(),
    ///         _ => Vec::new(),
    ///     }
    /// })?;
    /// assert_eq!(task.wait()?, ["narcissus"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tasks(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tasks().try_for_each(|name| write!(f, "{name} -> "))?;
        f.write_str(self.tasks().next().unwrap_or_default())
    }
}

impl fmt::Debug for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cycle({self})")
    }
}
