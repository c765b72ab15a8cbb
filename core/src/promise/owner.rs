//! Who owes a value: the task that a wait for it is a wait for.

use std::sync::Arc;

use super::failure::Failure;
use crate::task::TaskState;

/// Who owes the answer to a question, as long as nobody has answered.
///
/// The cell of a process is one. Its methods are called without any lock of this library held.
pub(crate) trait Owner: Send + Sync {
    /// The task that is going to answer, if it is known.
    fn task(&self) -> Option<Arc<TaskState>>;

    /// Why there will be no answer, when the resolver is dropped without one; `None`: [`Failure::Broken`].
    fn cause(&self) -> Option<Failure>;
}

/// Who owes a value.
#[derive(Clone)]
pub(crate) enum Debtor {
    /// A task.
    Task(Arc<TaskState>),
    /// Somebody else, who knows its task.
    Other(Arc<dyn Owner>),
}

impl Debtor {
    /// The task, if it is known.
    pub(crate) fn task(&self) -> Option<Arc<TaskState>> {
        match self {
            Debtor::Task(task) => Some(Arc::clone(task)),
            Debtor::Other(owner) => owner.task(),
        }
    }

    /// See [`Owner::cause`].
    pub(super) fn cause(&self) -> Option<Failure> {
        match self {
            Debtor::Task(_) => None,
            Debtor::Other(owner) => owner.cause(),
        }
    }
}
