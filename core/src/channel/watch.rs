//! A channel that holds one value, the latest: configuration, state, progress.
//!
//! Receivers look at it when they like, and can wait for a change. A receiver that is slow sees the last
//! value and none of those in between. Values are shared as [`Arc`]s, so no lock is held while anyone looks
//! at one.
//!
//! ```
//! use twoply::{Wait, channel::watch};
//!
//! let (tx, mut rx) = watch::channel("starting");
//! assert_eq!(*rx.latest(), "starting");
//! tx.send("ready").unwrap();
//! assert_eq!(*rx.changed().wait().unwrap(), "ready");
//! ```

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::weak::weak_sender;
use super::{RecvError, SendError};
use crate::base::sync::atomic::AtomicUsize;
use crate::base::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::base::sync::{Mutex, lock};
use crate::base::waitlist::{WaitKey, WaitList};
use crate::kernel::coop;
use crate::kernel::strand::part_with;
use crate::kernel::waiting::{self, WaitingFor, address_of};

/// Makes a channel that holds `value` first. The receiver has seen it.
///
/// ```
/// let (tx, mut rx) = twoply::channel::watch::channel(1);
/// tx.send(2).unwrap();
/// assert_eq!(*rx.latest(), 2);
/// ```
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State { value: Arc::new(value), version: 0, closed: false }),
        changed: WaitList::new(),
        senders: AtomicUsize::new(1),
        receivers: AtomicUsize::new(1),
    });
    (Sender::new(Arc::clone(&shared)), Receiver { shared, seen: 0 })
}

/// The part that both ends share.
struct Shared<T> {
    state: Mutex<State<T>>,
    /// The receivers that wait for a change.
    changed: WaitList,
    /// The number of [`Sender`]s.
    senders: AtomicUsize,
    /// The number of [`Receiver`]s.
    receivers: AtomicUsize,
}

/// The state of the channel, under the lock.
struct State<T> {
    /// The latest value sent.
    value: Arc<T>,
    /// The number of values that came before this one.
    version: u64,
    /// True when the last sender is gone: the value is final.
    closed: bool,
}

/// The end that sets the value. When the last clone is dropped the channel is closed.
///
/// ```
/// let (tx, rx) = twoply::channel::watch::channel("on");
/// let other = tx.clone();
/// other.send("off").unwrap();
/// drop(rx);
/// assert!(tx.send("on").is_err());
/// assert_eq!(*tx.latest(), "off");
/// ```
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

weak_sender! {
    /// Leads to a [`Sender`] as long as there is one, and does not keep the channel open; made by
    /// [`Sender::downgrade`].
    ///
    /// ```
    /// use twoply::{Wait, channel::watch};
    ///
    /// let (tx, mut rx) = watch::channel(1);
    /// let weak = tx.downgrade();
    /// weak.upgrade().expect("there is a sender").send(2).unwrap();
    /// drop(tx);
    /// assert!(weak.upgrade().is_none());
    /// assert_eq!(*rx.changed().wait().unwrap(), 2);
    /// assert!(rx.changed().wait().is_err(), "the channel is closed");
    /// ```
}

impl<T> Shared<T> {
    /// Counts one more sender, unless the last one is gone.
    fn try_add_sender(&self) -> bool {
        // Relaxed: the count says that there is a sender, and publishes nothing.
        self.senders.fetch_update(Relaxed, Relaxed, |count| (count != 0).then(|| count + 1)).is_ok()
    }
}

impl<T> Sender<T> {
    /// Makes the handle of a sender that has been counted.
    fn new(shared: Arc<Shared<T>>) -> Sender<T> {
        Sender { shared }
    }

    /// Sets the value and wakes every receiver that waits for a change. Never waits.
    ///
    /// # Errors
    /// When all receivers are gone. The value is handed back.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::watch::channel(1);
    /// assert!(tx.send(2).is_ok());
    /// drop(rx);
    /// assert_eq!(tx.send(3).unwrap_err().into_inner(), 3);
    /// ```
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError(value));
        }
        self.replace(value);
        Ok(())
    }

    /// Sets the value, whether there are receivers or not, and returns the one before.
    ///
    /// ```
    /// let (tx, _) = twoply::channel::watch::channel(1);
    /// assert_eq!(*tx.replace(2), 1);
    /// assert_eq!(*tx.latest(), 2);
    /// ```
    pub fn replace(&self, value: T) -> Arc<T> {
        part_with::<T>();
        let value = Arc::new(value);
        let mut state = lock(&self.shared.state);
        let before = std::mem::replace(&mut state.value, value);
        state.version += 1;
        drop(state);
        self.shared.changed.notify_all();
        before
    }

    /// Returns the latest value.
    ///
    /// ```
    /// let (tx, _rx) = twoply::channel::watch::channel("starting");
    /// tx.send("ready").unwrap();
    /// assert_eq!(*tx.latest(), "ready");
    /// ```
    pub fn latest(&self) -> Arc<T> {
        Arc::clone(&lock(&self.shared.state).value)
    }

    /// Makes another receiver, which has seen the latest value.
    ///
    /// ```
    /// let (tx, _) = twoply::channel::watch::channel(1);
    /// assert!(tx.is_closed());
    /// let mut rx = tx.subscribe();
    /// tx.send(2).unwrap();
    /// assert!(rx.has_changed());
    /// assert_eq!(*rx.latest(), 2);
    /// ```
    pub fn subscribe(&self) -> Receiver<T> {
        self.shared.receivers.fetch_add(1, Relaxed);
        let seen = lock(&self.shared.state).version;
        Receiver { shared: Arc::clone(&self.shared), seen }
    }

    /// Returns true if there is no receiver now; [`subscribe`](Sender::subscribe) may make one.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::watch::channel(1);
    /// assert!(!tx.is_closed());
    /// drop(rx);
    /// assert!(tx.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared.receivers.load(Acquire) == 0
    }

    /// Returns true if both set the value of the same channel.
    ///
    /// ```
    /// let (tx, _rx) = twoply::channel::watch::channel(1);
    /// assert!(tx.same_channel(&tx.clone()));
    /// ```
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.senders.fetch_add(1, Relaxed);
        Sender::new(Arc::clone(&self.shared))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // AcqRel: the last one to go does so after what all the others have done.
        if self.shared.senders.fetch_sub(1, AcqRel) == 1 {
            lock(&self.shared.state).closed = true;
            self.shared.changed.notify_all();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish()
    }
}

/// The end that looks at the value. Clones have seen what the original has seen.
///
/// ```
/// let (tx, mut a) = twoply::channel::watch::channel(1);
/// tx.send(2).unwrap();
/// let b = a.clone();
/// assert_eq!(*a.latest(), 2);
/// assert!(!a.has_changed());
/// assert!(b.has_changed(), "the clone has not looked yet");
/// ```
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The version of the newest value that this receiver has returned.
    seen: u64,
}

impl<T> Receiver<T> {
    /// Returns the latest value, which counts as seen from now on.
    ///
    /// ```
    /// let (tx, mut rx) = twoply::channel::watch::channel(1);
    /// [2, 3].map(|n| tx.send(n).unwrap());
    /// assert_eq!(*rx.latest(), 3);
    /// assert!(!rx.has_changed());
    /// ```
    pub fn latest(&mut self) -> Arc<T> {
        let state = lock(&self.shared.state);
        self.seen = state.version;
        Arc::clone(&state.value)
    }

    /// Returns true if there is a value that this receiver has not seen.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::watch::channel(1);
    /// assert!(!rx.has_changed(), "it has seen the first one");
    /// tx.send(2).unwrap();
    /// assert!(rx.has_changed());
    /// ```
    pub fn has_changed(&self) -> bool {
        lock(&self.shared.state).version != self.seen
    }

    /// Waits for a value that this receiver has not seen, and returns the latest one; finish it with `.await`
    /// or `.wait()`. A future that is dropped has seen nothing.
    ///
    /// # Errors
    /// When all senders are gone and their last value has been seen.
    ///
    /// ```
    /// use twoply::Wait;
    ///
    /// let (tx, mut rx) = twoply::channel::watch::channel(0);
    /// std::thread::spawn(move || tx.send(1));
    /// assert_eq!(*rx.changed().wait().unwrap(), 1);
    /// assert!(rx.changed().wait().is_err(), "no other value will come");
    /// ```
    pub fn changed(&mut self) -> Changed<'_, T> {
        Changed { receiver: self, wait_key: WaitKey::new() }
    }

    /// Makes a [`Stream`](crate::stream::Stream) of the values that this receiver has not seen, each the
    /// latest at the time. It ends when all senders are gone and their last value has been seen.
    ///
    /// ```
    /// use twoply::{Wait, channel::watch, stream::Stream};
    ///
    /// let (tx, rx) = watch::channel(0);
    /// let mut states = rx.into_stream();
    /// [1, 2].map(|n| tx.send(n).unwrap());
    /// assert_eq!(states.next().wait().as_deref(), Some(&2));
    /// drop(tx);
    /// assert_eq!(states.next().wait(), None);
    /// ```
    pub fn into_stream(self) -> ReceiverStream<T> {
        ReceiverStream { receiver: self, wait_key: WaitKey::new() }
    }

    /// Polls for a value that was not seen, on behalf of the one who waits with `wait_key`.
    fn poll_changed(
        &mut self,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Arc<T>, RecvError>> {
        let unit = ready!(coop::proceed(cx));
        let Receiver { shared, seen } = self;
        let changed = shared.changed.poll_until(wait_key, cx, || {
            let state = lock(&shared.state);
            if state.version != *seen {
                *seen = state.version;
                return Some(Ok(Arc::clone(&state.value)));
            }
            state.closed.then_some(Err(RecvError))
        });
        let channel = || WaitingFor::Change { channel: address_of(&**shared) };
        let result = ready!(waiting::note(changed, channel));
        unit.spend();
        Poll::Ready(result)
    }

    /// Waits until the value satisfies `condition`, beginning with the present one, and returns it.
    /// Cancel-safe: a value that was looked at counts as seen, and nothing else is lost.
    ///
    /// # Errors
    /// When all senders are gone and their last value does not satisfy it.
    ///
    /// ```
    /// use twoply::Wait;
    ///
    /// let (tx, mut rx) = twoply::channel::watch::channel(0);
    /// std::thread::spawn(move || (1..=10).for_each(|n| drop(tx.send(n))));
    /// assert!(*rx.wait_for(|n| *n >= 5).wait().unwrap() >= 5);
    /// ```
    pub async fn wait_for(&mut self, mut condition: impl FnMut(&T) -> bool) -> Result<Arc<T>, RecvError> {
        coop::consume().await;
        let mut value = self.latest();
        while !condition(&value) {
            value = self.changed().await?;
        }
        Ok(value)
    }

    /// Returns true if all senders are gone: the value is final.
    ///
    /// ```
    /// let (tx, mut rx) = twoply::channel::watch::channel(1);
    /// drop(tx);
    /// assert!(rx.is_closed());
    /// assert_eq!(*rx.latest(), 1);
    /// ```
    pub fn is_closed(&self) -> bool {
        lock(&self.shared.state).closed
    }

    /// Returns true if both look at the same channel.
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.shared.receivers.fetch_add(1, Relaxed);
        Receiver { shared: Arc::clone(&self.shared), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // Pairs with Acquire in `Sender::is_closed`.
        self.shared.receivers.fetch_sub(1, AcqRel);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("changed", &self.has_changed()).finish()
    }
}

/// The future of [`Receiver::changed`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Changed<'a, T> {
    /// Its `seen` advances when the future is ready.
    receiver: &'a mut Receiver<T>,
    wait_key: WaitKey,
}

impl<T> Future for Changed<'_, T> {
    type Output = Result<Arc<T>, RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Changed { receiver, wait_key } = self.get_mut();
        receiver.poll_changed(wait_key, cx)
    }
}

impl<T> Drop for Changed<'_, T> {
    fn drop(&mut self) {
        self.receiver.shared.changed.withdraw(&mut self.wait_key);
    }
}

impl<T> fmt::Debug for Changed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changed").field("waiting", &self.wait_key.is_set()).finish_non_exhaustive()
    }
}

/// The stream of [`Receiver::into_stream`]. It holds no value.
#[must_use = "streams do nothing unless items are asked for"]
pub struct ReceiverStream<T> {
    receiver: Receiver<T>,
    wait_key: WaitKey,
}

impl<T> ReceiverStream<T> {
    /// Polls for a value that was not seen.
    pub(crate) fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<Result<Arc<T>, RecvError>> {
        self.receiver.poll_changed(&mut self.wait_key, cx)
    }

    /// Ends the wait for a value.
    pub(crate) fn stop_changed(&mut self) {
        self.receiver.shared.changed.withdraw(&mut self.wait_key);
    }
}

impl<T> Drop for ReceiverStream<T> {
    fn drop(&mut self) {
        self.stop_changed();
    }
}

impl<T> fmt::Debug for ReceiverStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiverStream").field("waiting", &self.wait_key.is_set()).finish_non_exhaustive()
    }
}
