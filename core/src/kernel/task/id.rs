//! The numbers by which tasks are known.

use std::fmt;
use std::num::NonZeroU64;

use crate::base::id::{self, Sequence};

/// Identifies a task among all that this process ever starts.
///
/// # Examples
/// ```
/// use twoply::task::TaskId;
///
/// let (one, other) = (twoply::spawn(async {}), twoply::spawn(async {}));
/// assert_ne!(one.id(), other.id());
/// assert_eq!(TaskId::from_u64(one.id().as_u64()), Some(one.id()));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct TaskId(NonZeroU64);

impl TaskId {
    /// Returns an id that no task has had yet.
    #[inline]
    pub(super) fn next() -> TaskId {
        TaskId(id::next(Sequence::Tasks))
    }

    /// Returns the id with this number, for models: the numbers of real ones depend on what has run before.
    #[cfg(all(test, loom))]
    pub(super) fn of(number: u64) -> TaskId {
        TaskId(NonZeroU64::new(number).expect("numbers start at 1"))
    }

    /// Returns the id with this number, for backends that keep it in an atomic; `None` for zero, which no
    /// task has.
    #[inline]
    pub fn from_u64(number: u64) -> Option<TaskId> {
        NonZeroU64::new(number).map(TaskId)
    }

    /// Returns the id as a number, which is never zero.
    ///
    /// ```
    /// use twoply::task::TaskId;
    ///
    /// let id = twoply::spawn(async {}).id();
    /// assert_eq!(TaskId::from_u64(id.as_u64()), Some(id));
    /// assert_eq!(TaskId::from_u64(0), None);
    /// ```
    #[inline]
    pub fn as_u64(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}
