//! The owners of values: the task that a wait for a value is a wait for.

use std::sync::Arc;

use super::failure::Failure;
use crate::base::panic::NoPanicDrop;
use crate::kernel::task::{Shared, TaskRef};

/// An owner of the answer to a question, as long as nobody has answered.
///
/// The cell of a process is one. But for `is_blocked`, its methods are called without any lock of this
/// library held.
pub(crate) trait Owning: Send + Sync {
    /// Returns the task that is going to answer, if it is known.
    fn task(&self) -> Option<Arc<Shared>>;

    /// Returns whoever owes what this is made of, if that is how this comes to owe anything. Then it is their
    /// task that counts.
    fn derived_from(&self) -> Option<Owner> {
        None
    }

    /// Returns whether that task may be stopped by a wait: false only if it is not, and otherwise true at
    /// will. Called with the mutex of a promise held, so it locks nothing but what nobody holds while a
    /// promise is locked.
    fn is_blocked(&self) -> bool;

    /// Returns why there will be no answer, when the resolver is dropped without one; `None`:
    /// [`Failure::Broken`].
    fn failure(&self) -> Option<Failure>;

    /// Takes an orphan, because the last resolver of a promise that this owes has been dropped, and `failure`
    /// knew none. Returns true to keep the orphan, until it is known whether this ends, and why: then it is
    /// failed. Else it is broken.
    fn keep_orphan(self: Arc<Self>, orphan: Arc<dyn Orphan>) -> bool {
        drop(orphan);
        false
    }

    /// Breaks the orphans that this has kept because its own task had dropped them: this goes on.
    fn release_orphans(&self) {}
}

/// A promise that nobody can keep any more, and that has not failed yet.
pub(crate) trait Orphan: Send + Sync {
    /// Fails the promise, and wakes those who wait.
    fn fail(&self, failure: Failure);
}

/// The types whose values can owe: [tasks](crate::task::TaskRef) and [processes](crate::actor::ProcessRef).
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
        /// Returns the owner that it is.
        #[doc(hidden)]
        fn as_owner(&self) -> super::Owner;
    }
}

impl sealed::Named for TaskRef {
    fn as_owner(&self) -> Owner {
        Owner::of_task(self.shared())
    }
}

/// The owner of a value. Dropping one never panics, though it may be the last to hold what the user has made:
/// edges of the wait graph hold these, and are taken back in the middle of everything.
#[derive(Clone)]
pub struct Owner(Kind);

#[derive(Clone)]
enum Kind {
    /// A task, which owes by itself.
    Task(Arc<Shared>),
    /// Something else, which knows its task.
    Other(NoPanicDrop<Arc<dyn Owning>>),
}

impl Owner {
    /// Returns the owner that `task` is.
    pub(crate) fn of_task(task: Arc<Shared>) -> Owner {
        Owner(Kind::Task(task))
    }

    /// Returns the owner that `owner` is.
    pub(crate) fn of_other(owner: Arc<dyn Owning>) -> Owner {
        Owner(Kind::Other(NoPanicDrop::new(owner)))
    }

    /// Returns the task, if it is known.
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

    /// Returns the task, if that is what owes the value, by itself.
    #[inline]
    pub(crate) fn as_task(&self) -> Option<&Shared> {
        match &self.0 {
            Kind::Task(task) => Some(task),
            Kind::Other(_) => None,
        }
    }

    /// Returns whether it may wait for somebody itself; see [`Owning::is_blocked`].
    #[inline]
    pub(crate) fn is_blocked(&self) -> bool {
        match &self.0 {
            Kind::Task(task) => task.is_blocked(),
            Kind::Other(owner) => owner.is_blocked(),
        }
    }

    /// Calls [`Owning::failure`] of the owner.
    pub(crate) fn failure(&self) -> Option<Failure> {
        match &self.0 {
            Kind::Task(_) => None,
            Kind::Other(owner) => owner.failure(),
        }
    }

    /// Calls [`Owning::keep_orphan`] of the owner.
    pub(crate) fn keep_orphan(&self, orphan: Arc<dyn Orphan>) -> bool {
        match &self.0 {
            Kind::Task(_) => false,
            Kind::Other(owner) => Arc::clone(owner).keep_orphan(orphan),
        }
    }
}
