//! References that keep no process alive.

use std::fmt;
use std::sync::{Arc, Weak};

use super::cell::Cell;
use super::reference::ProcessRef;

/// A reference to a process that is not counted, nor keeps anything of it; see
/// [`Builder::end_when_unreferenced`](crate::actor::Builder::end_when_unreferenced).
/// [`ProcessRef::downgrade`] makes it.
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{Builder, Process, WeakRef}};
///
/// // A cache of a process, which ends when nobody else uses it.
/// let counted = Builder::new().end_when_unreferenced(true);
/// let process = counted.spawn(async |mut me: Process<u8>| while me.receive().await.is_message() {})?;
/// let cached: WeakRef<u8> = process.downgrade();
/// cached.upgrade().expect("it is in use").try_send(7)?;
/// let ended = process.ended();
/// drop(process);
/// assert!(ended.wait().is_normal() && cached.upgrade().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WeakRef<M>(Weak<Cell<M>>);

impl<M> ProcessRef<M> {
    /// Makes a reference that does not count.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{Builder, Event, Process}};
    ///
    /// let process = Builder::new().end_when_unreferenced(true).spawn(async |mut me: Process<u32>| {
    ///     while me.receive().await.is_message() {}
    /// })?;
    /// let weak = process.downgrade();
    /// assert_eq!(weak.upgrade().as_ref(), Some(&process));
    /// let ended = process.ended();
    /// drop(process);
    /// ended.wait();
    /// assert!(weak.upgrade().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn downgrade(&self) -> WeakRef<M> {
        WeakRef(Arc::downgrade(self.cell()))
    }

    /// Makes a reference that counts; `None` when the process takes no more messages.
    pub(super) fn upgrade(cell: Arc<Cell<M>>) -> Option<ProcessRef<M>> {
        // Counted under the lock, so that a process which finds itself without references stays so.
        cell.upgrade_reference().then(|| ProcessRef::counted(cell))
    }
}

impl<M> WeakRef<M> {
    /// Returns a reference that counts; `None` when the process takes no more messages.
    pub fn upgrade(&self) -> Option<ProcessRef<M>> {
        ProcessRef::upgrade(self.0.upgrade()?)
    }
}

impl<M> Clone for WeakRef<M> {
    fn clone(&self) -> WeakRef<M> {
        WeakRef(Weak::clone(&self.0))
    }
}

impl<M> fmt::Debug for WeakRef<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WeakRef").field(&self.upgrade()).finish()
    }
}
