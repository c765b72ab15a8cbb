//! Who owes a value: the task that a wait for it is a wait for.

use std::sync::Arc;

use super::failure::Failure;
use crate::base::panic::NoPanicDrop;
use crate::kernel::task::{Shared, TaskRef};

/// Who owes the answer to a question, as long as nobody has answered.
///
/// The cell of a process is one. But for `is_blocked`, its methods are called without any lock of this library held.
pub(crate) trait Owning: Send + Sync {
    /// The task that is going to answer, if it is known.
    fn task(&self) -> Option<Arc<Shared>>;

    /// Whoever owes what this is made of, if that is how this comes to owe anything. Then it is their task that counts.
    fn derived_from(&self) -> Option<Owner> {
        None
    }

    /// Whether that task may be stopped by a wait: false only if it is not, and otherwise true at will. Called with the
    /// mutex of a promise held, so it locks nothing but what nobody holds while a promise is locked.
    fn is_blocked(&self) -> bool;

    /// Why there will be no answer, when the resolver is dropped without one; `None`: [`Failure::Broken`].
    fn failure(&self) -> Option<Failure>;

    /// The last resolver of a promise that this owes has been dropped, and `failure` knew none. Returns true to keep the
    /// orphan, until it is known whether this ends, and why: then it is failed. Else it is broken.
    fn keep_orphan(self: Arc<Self>, orphan: Arc<dyn Orphan>) -> bool {
        drop(orphan);
        false
    }

    /// This goes on: what it has kept because its own task had dropped it is broken.
    fn release_orphans(&self) {}
}

/// A promise that nobody can keep any more, and that has not failed yet.
pub(crate) trait Orphan: Send + Sync {
    /// Fails it, and wakes those who wait.
    fn fail(&self, failure: Failure);
}

/// Those who can owe a value: [tasks](crate::task::TaskRef) and [processes](crate::actor::ProcessRef).
///
/// # Examples
/// ```
/// use twoply::{Wait, promise};
///
/// let (promise, resolver) = promise::pair();
/// let worker = twoply::spawn(std::future::pending::<()>());
/// resolver.set_owner(&worker.task());
/// resolver.resolve(7).unwrap();
/// assert_eq!(promise.wait().unwrap(), 7);
/// ```
pub trait AsOwner: sealed::Named {}

impl<O: sealed::Named> AsOwner for O {}

pub(crate) mod sealed {
    /// Keeps [`AsOwner`](super::AsOwner) to the types of this library, and knows what they are.
    pub trait Named {
        /// Who it is.
        #[doc(hidden)]
        fn as_owner(&self) -> super::Owner;
    }
}

impl sealed::Named for TaskRef {
    fn as_owner(&self) -> Owner {
        Owner::of_task(self.shared())
    }
}

/// Who owes a value. Dropping one never panics, though it may be the last to hold what the user has made: edges of the
/// wait graph hold these, and are taken back in the middle of everything.
#[derive(Clone)]
pub struct Owner(Kind);

#[derive(Clone)]
enum Kind {
    /// A task.
    Task(Arc<Shared>),
    /// Somebody else, who knows its task.
    Other(NoPanicDrop<Arc<dyn Owning>>),
}

impl Owner {
    /// `task` owes it.
    pub(crate) fn of_task(task: Arc<Shared>) -> Owner {
        Owner(Kind::Task(task))
    }

    /// `owner` owes it.
    pub(crate) fn of_other(owner: Arc<dyn Owning>) -> Owner {
        Owner(Kind::Other(NoPanicDrop::new(owner)))
    }

    /// The task, if it is known.
    pub(crate) fn task(&self) -> Option<Arc<Shared>> {
        let mut owner = self.clone();
        loop {
            let source = match &owner.0 {
                Kind::Task(task) => return Some(Arc::clone(task)),
                Kind::Other(owner) => owner.derived_from(),
            };
            match source {
                Some(source) => owner = source,
                None => break,
            }
        }
        match owner.0 {
            Kind::Task(task) => Some(task),
            Kind::Other(owner) => owner.task(),
        }
    }

    /// The task, if that is what owes the value, by itself.
    #[inline]
    pub(crate) fn as_task(&self) -> Option<&Shared> {
        match &self.0 {
            Kind::Task(task) => Some(task),
            Kind::Other(_) => None,
        }
    }

    /// Whether it may wait for somebody itself; see [`Owning::is_blocked`].
    #[inline]
    pub(crate) fn is_blocked(&self) -> bool {
        match &self.0 {
            Kind::Task(task) => task.is_blocked(),
            Kind::Other(owner) => owner.is_blocked(),
        }
    }

    /// See [`Owning::failure`].
    pub(crate) fn failure(&self) -> Option<Failure> {
        match &self.0 {
            Kind::Task(_) => None,
            Kind::Other(owner) => owner.failure(),
        }
    }

    /// See [`Owning::keep_orphan`].
    pub(crate) fn keep_orphan(&self, orphan: Arc<dyn Orphan>) -> bool {
        match &self.0 {
            Kind::Task(_) => false,
            Kind::Other(owner) => Arc::clone(owner).keep_orphan(orphan),
        }
    }
}
