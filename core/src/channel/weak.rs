//! A reference to a sender that does not keep the channel open.

use std::fmt;
use std::sync::Arc;

use super::Sender;
use super::shared::Shared;

/// Leads to a [`Sender`] as long as there is one, and does not keep the channel open; made by
/// [`Sender::downgrade`].
///
/// It is for those who send into a channel now and then, and must not keep its receivers waiting for them.
///
/// ```
/// use twoply::channel;
///
/// let (tx, rx) = channel::bounded(4);
/// let weak = tx.downgrade();
/// weak.upgrade().expect("there is a sender").try_send(1).unwrap();
/// drop(tx);
/// assert!(weak.upgrade().is_none());
/// assert_eq!(rx.iter().collect::<Vec<_>>(), [1], "the channel is closed");
/// ```
pub struct WeakSender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> WeakSender<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> WeakSender<T> {
        WeakSender { shared }
    }

    /// Returns a sender, unless the last one is gone.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::bounded(1);
    /// let weak = tx.downgrade();
    /// let again = weak.upgrade().expect("there is a sender");
    /// drop(tx);
    /// again.try_send(1).unwrap();
    /// assert_eq!(rx.try_recv(), Ok(1));
    /// ```
    pub fn upgrade(&self) -> Option<Sender<T>> {
        self.shared.try_add_sender().then(|| Sender::new(Arc::clone(&self.shared)))
    }

    /// Returns true if both lead to the same channel.
    ///
    /// ```
    /// let (tx, _rx) = twoply::channel::bounded::<u8>(1);
    /// assert!(tx.downgrade().same_channel(&tx.downgrade()));
    /// ```
    pub fn same_channel(&self, other: &WeakSender<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> WeakSender<T> {
        WeakSender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> fmt::Debug for WeakSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakSender").finish_non_exhaustive()
    }
}
