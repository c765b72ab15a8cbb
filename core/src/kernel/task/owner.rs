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

    /// Returns how many messages this has ever received, modulo 2^32, if it is a process.
    fn received(&self) -> u32 {
        0
    }

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

/// The certainty that the owner of a promise has the resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Custody {
    /// It has been said so, or nobody has received the question.
    Certain,
    /// The question is the last that the owner has received. So the owner has it, unless it has parted with
    /// something since.
    InHand,
    /// The owner may have passed it on.
    Unknown,
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
    /// Something else, which knows its task. For a question that code of the user's receives, and may pass
    /// on: how many messages the owner had received when it was asked.
    Other(NoPanicDrop<Arc<dyn Owning>>, Option<u32>),
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner").field("is_task", &matches!(self.0, Kind::Task(_))).finish_non_exhaustive()
    }
}

impl Owner {
    /// Returns the owner that `task` is.
    pub(crate) fn of_task(task: Arc<Shared>) -> Owner {
        Owner(Kind::Task(task))
    }

    /// Returns the owner that `owner` is.
    pub(crate) fn of_other(owner: Arc<dyn Owning>) -> Owner {
        Owner(Kind::Other(NoPanicDrop::new(owner), None))
    }

    /// Returns the owner that `owner` is of a question that it is about to be asked, and may pass on.
    #[inline]
    pub(crate) fn of_question(owner: Arc<dyn Owning>) -> Owner {
        let received = owner.received();
        Owner(Kind::Other(NoPanicDrop::new(owner), Some(received)))
    }

    /// Returns the owner that this one comes to owe by, in the end.
    fn source(&self) -> Owner {
        let mut owner = self.clone();
        while let Kind::Other(other, _) = &owner.0
            && let Some(source) = other.derived_from()
        {
            owner = source;
        }
        owner
    }

    /// Returns how certain it is that the owner has the resolver.
    pub(crate) fn custody(&self) -> Custody {
        match self.source().0 {
            Kind::Task(_) | Kind::Other(_, None) => Custody::Certain,
            // In whatever order it receives: of more than one, the question may have been the first.
            Kind::Other(owner, Some(before)) => match owner.received().wrapping_sub(before) {
                0 => Custody::Certain,
                1 => Custody::InHand,
                _ => Custody::Unknown,
            },
        }
    }

    /// Returns the task, if it is known.
    pub(crate) fn task(&self) -> Option<Arc<Shared>> {
        match self.source().0 {
            Kind::Task(task) => Some(task),
            Kind::Other(owner, _) => owner.task(),
        }
    }

    /// Returns the task, if that is what owes the value, by itself.
    #[inline]
    pub(crate) fn as_task(&self) -> Option<&Shared> {
        match &self.0 {
            Kind::Task(task) => Some(task),
            Kind::Other(..) => None,
        }
    }

    /// Returns whether it may wait for somebody itself; see [`Owning::is_blocked`].
    #[inline]
    pub(crate) fn is_blocked(&self) -> bool {
        match &self.0 {
            Kind::Task(task) => task.is_blocked(),
            Kind::Other(owner, _) => owner.is_blocked(),
        }
    }

    /// Calls [`Owning::failure`] of the owner.
    pub(crate) fn failure(&self) -> Option<Failure> {
        match &self.0 {
            Kind::Task(_) => None,
            Kind::Other(owner, _) => owner.failure(),
        }
    }

    /// Calls [`Owning::keep_orphan`] of the owner.
    pub(crate) fn keep_orphan(&self, orphan: Arc<dyn Orphan>) -> bool {
        match &self.0 {
            Kind::Task(_) => false,
            Kind::Other(owner, _) => Arc::clone(owner).keep_orphan(orphan),
        }
    }
}
