//! Room in a channel that is reserved before there is a message: [`Permit`], [`OwnedPermit`].
//!
//! A reservation waits among the sends. What a permit is, and who gets one, is said in `queue`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{ReserveError, SendError, Sender, WaitKey};

/// Room for one message in a channel; made by [`Sender::reserve`]. Dropping it gives the room to whoever is
/// next.
///
/// ```
/// use twoply::{Wait, channel};
///
/// let (tx, rx) = channel::bounded(1);
/// let permit = tx.reserve().wait()?;
/// assert!(tx.try_send(1).is_err(), "the only permit is reserved");
/// permit.send(2).expect("the receiver is there");
/// assert_eq!(rx.try_recv(), Ok(2));
/// # Ok::<(), channel::ReserveError>(())
/// ```
#[must_use = "a permit that is dropped gives its room back"]
pub struct Permit<'a, T> {
    sender: &'a Sender<T>,
    /// True when a message has got the room.
    is_used: bool,
}

impl<'a, T> Permit<'a, T> {
    /// Makes one of a permit that the channel has taken.
    pub(super) fn new(sender: &'a Sender<T>) -> Permit<'a, T> {
        Permit { sender, is_used: false }
    }

    /// Sends `message`, at once: there is room.
    ///
    /// # Errors
    /// When the channel has been closed meanwhile. The message is handed back.
    ///
    /// ```
    /// use twoply::{Wait, channel};
    ///
    /// let (tx, rx) = channel::bounded(1);
    /// let permit = tx.reserve().wait()?;
    /// drop(rx);
    /// assert_eq!(permit.send(7).unwrap_err().into_inner(), 7);
    /// # Ok::<(), channel::ReserveError>(())
    /// ```
    pub fn send(mut self, message: T) -> Result<(), SendError<T>> {
        let sent = self.sender.shared().send_reserved(message);
        // The permit counts as used only now: the code that says how urgent a message is may panic above, and
        // the room is free then.
        self.is_used = true;
        sent
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        if !self.is_used {
            self.sender.shared().release_reserved();
        }
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

/// Room for one message in a channel, and the sender of it; made by [`Sender::reserve_owned`]. Dropping it
/// drops the sender, too.
///
/// ```
/// use twoply::{Wait, channel};
///
/// let (tx, rx) = channel::bounded(1);
/// let permit = tx.reserve_owned().wait()?;
/// let tx = std::thread::spawn(move || permit.send("from afar")).join().unwrap().unwrap();
/// assert_eq!(rx.recv().wait(), Ok("from afar"));
/// assert!(tx.is_empty());
/// # Ok::<(), channel::ReserveError>(())
/// ```
#[must_use = "a permit that is dropped gives its room back"]
pub struct OwnedPermit<T> {
    /// None once the permit is used or released.
    sender: Option<Sender<T>>,
}

impl<T> OwnedPermit<T> {
    /// Makes one of a permit that the channel has taken.
    pub(super) fn new(sender: Sender<T>) -> OwnedPermit<T> {
        OwnedPermit { sender: Some(sender) }
    }

    /// Sends `message`, at once, and returns the sender.
    ///
    /// # Errors
    /// When the channel has been closed meanwhile. The message is handed back.
    ///
    /// ```
    /// use twoply::{Wait, channel};
    ///
    /// let (tx, rx) = channel::bounded(1);
    /// let tx = tx.reserve_owned().wait()?.send("first").expect("the receiver is there");
    /// assert_eq!(rx.try_recv(), Ok("first"));
    /// let permit = tx.reserve_owned().wait()?;
    /// drop(rx);
    /// assert_eq!(permit.send("second").unwrap_err().into_inner(), "second");
    /// # Ok::<(), channel::ReserveError>(())
    /// ```
    pub fn send(mut self, message: T) -> Result<Sender<T>, SendError<T>> {
        let Some(sender) = self.sender.take() else { return Err(SendError(message)) };
        Permit::new(&sender).send(message)?;
        Ok(sender)
    }

    /// Gives the room back, and returns the sender.
    ///
    /// ```
    /// use twoply::{Wait, channel};
    ///
    /// let (tx, _rx) = channel::bounded(1);
    /// let permit = tx.reserve_owned().wait()?;
    /// let tx = permit.release().expect("it was not used");
    /// assert!(tx.try_send(1).is_ok());
    /// # Ok::<(), channel::ReserveError>(())
    /// ```
    pub fn release(mut self) -> Option<Sender<T>> {
        let sender = self.sender.take()?;
        drop(Permit::new(&sender));
        Some(sender)
    }
}

impl<T> Drop for OwnedPermit<T> {
    fn drop(&mut self) {
        if let Some(sender) = &self.sender {
            drop(Permit::new(sender));
        }
    }
}

impl<T> fmt::Debug for OwnedPermit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPermit").finish_non_exhaustive()
    }
}

/// The future of [`Sender::reserve`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Reserve<'a, T> {
    sender: &'a Sender<T>,
    wait_key: WaitKey,
}

impl<'a, T> Reserve<'a, T> {
    pub(super) fn new(sender: &'a Sender<T>) -> Reserve<'a, T> {
        Reserve { sender, wait_key: WaitKey::new() }
    }
}

impl<'a, T> Future for Reserve<'a, T> {
    type Output = Result<Permit<'a, T>, ReserveError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let sender = self.sender;
        let reserved = ready!(sender.shared().poll_reserve(&mut self.wait_key, cx));
        Poll::Ready(reserved.map(|()| Permit::new(sender)))
    }
}

impl<T> Drop for Reserve<'_, T> {
    fn drop(&mut self) {
        self.sender.shared().stop_send(&mut self.wait_key);
    }
}

impl<T> fmt::Debug for Reserve<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserve").field("waiting", &self.wait_key.is_set()).finish_non_exhaustive()
    }
}

/// The future of [`Sender::reserve_owned`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct ReserveOwned<T> {
    /// None once the future is ready.
    sender: Option<Sender<T>>,
    wait_key: WaitKey,
}

impl<T> ReserveOwned<T> {
    pub(super) fn new(sender: Sender<T>) -> ReserveOwned<T> {
        ReserveOwned { sender: Some(sender), wait_key: WaitKey::new() }
    }
}

impl<T> Future for ReserveOwned<T> {
    type Output = Result<OwnedPermit<T>, ReserveError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ReserveOwned { sender, wait_key } = self.get_mut();
        let Some(waiting) = sender else { panic!("a reservation was polled after it was done") };
        let reserved = ready!(waiting.shared().poll_reserve(wait_key, cx));
        let sender = sender.take();
        Poll::Ready(reserved.map(|()| OwnedPermit { sender }))
    }
}

impl<T> Drop for ReserveOwned<T> {
    fn drop(&mut self) {
        if let Some(sender) = &self.sender {
            sender.shared().stop_send(&mut self.wait_key);
        }
    }
}

impl<T> fmt::Debug for ReserveOwned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReserveOwned").field("waiting", &self.wait_key.is_set()).finish_non_exhaustive()
    }
}
