//! Who owes a value: the task that a wait for it is a wait for.

use std::sync::Arc;

use super::failure::Failure;
use crate::task::{TaskRef, TaskState};

/// Who owes the answer to a question, as long as nobody has answered.
///
/// The cell of a process is one. Its methods are called without any lock of this library held.
pub(crate) trait Owner: Send + Sync {
    /// The task that is going to answer, if it is known.
    fn task(&self) -> Option<Arc<TaskState>>;

    /// Why there will be no answer, when the resolver is dropped without one; `None`: [`Failure::Broken`].
    fn cause(&self) -> Option<Failure>;
}

/// Those who can owe a value: [tasks](crate::task::TaskRef) and [processes](crate::actor::ProcessRef).
pub trait Owes: sealed::Named {}

impl<O: sealed::Named> Owes for O {}

pub(crate) mod sealed {
    /// Keeps [`Owes`](super::Owes) to the types of this library, and knows what they are.
    pub trait Named {
        /// Who it is.
        #[doc(hidden)]
        fn debtor(&self) -> super::Debtor;
    }
}

impl sealed::Named for TaskRef {
    fn debtor(&self) -> Debtor {
        Debtor::of_task(self.state())
    }
}

/// Who owes a value.
#[derive(Clone)]
pub struct Debtor(Kind);

#[derive(Clone)]
enum Kind {
    /// A task.
    Task(Arc<TaskState>),
    /// Somebody else, who knows its task.
    Other(Arc<dyn Owner>),
}

impl Debtor {
    /// `task` owes it.
    pub(crate) fn of_task(task: Arc<TaskState>) -> Debtor {
        Debtor(Kind::Task(task))
    }

    /// `owner` owes it.
    pub(crate) fn of_owner(owner: Arc<dyn Owner>) -> Debtor {
        Debtor(Kind::Other(owner))
    }

    /// The task, if it is known.
    pub(crate) fn task(&self) -> Option<Arc<TaskState>> {
        match &self.0 {
            Kind::Task(task) => Some(Arc::clone(task)),
            Kind::Other(owner) => owner.task(),
        }
    }

    /// See [`Owner::cause`].
    pub(super) fn cause(&self) -> Option<Failure> {
        match &self.0 {
            Kind::Task(_) => None,
            Kind::Other(owner) => owner.cause(),
        }
    }
}
