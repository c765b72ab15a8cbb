//! Registrations of any descriptor with a handler: what a user of the reactor as a library meets.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{Arc, Mutex, Weak};

use super::table::Key;
use super::{Interest, Shared};
use crate::base::sync::lock_std;

/// A handler: it takes what the descriptor is ready for, and returns what to watch it for next.
pub(super) type Handler = Box<dyn FnMut(Interest) -> Interest + Send>;

/// A descriptor that a [`Reactor`](super::Reactor) watches; made by
/// [`Reactor::register`](super::Reactor::register).
///
/// Dropping it deregisters the descriptor and drops the descriptor's owner. The handler may be running on the
/// thread that turns the reactor at that moment; it is not called again.
///
/// # Examples
/// ```
/// use std::net::UdpSocket;
/// use twoply::reactor::{Interest, Reactor};
///
/// let reactor = Reactor::new()?;
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// let registration = reactor.register(socket, Interest::READ, |_| Interest::NONE)?;
/// let address = registration.io().local_addr()?;
/// UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", address)?;
/// assert_eq!(reactor.turn(None)?.events, 1);
/// let _socket: UdpSocket = registration.deregister();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Registration<T: AsFd> {
    /// The descriptor's owner. `None` only while [`deregister`](Registration::deregister) takes it out.
    io: Option<T>,
    /// Weak, because the user keeps the reactor alive.
    reactor: Weak<Shared>,
    /// The part that the reactor shares.
    watch: Arc<Watch>,
    key: Key,
}

/// The part of a registration that the reactor's table shares.
pub(super) struct Watch {
    /// The descriptor. It is open while the registration is alive, which owns it; and a registration that was
    /// leaked owns it for ever, because of the bound `'static`.
    fd: RawFd,
    inner: Mutex<Inner>,
}

/// The part of a registration that is locked.
struct Inner {
    /// True while the descriptor is registered. It becomes false, under the lock, before the descriptor is
    /// given back or closed.
    alive: bool,
    /// The key in the reactor's table, which is set before the first event.
    key: Option<Key>,
    /// The directions in which the next event is awaited; empty while disarmed.
    armed: Interest,
    /// `None` while the handler runs.
    handler: Option<Handler>,
}

impl<T: AsFd + 'static> Registration<T> {
    pub(super) fn new(
        reactor: &Arc<Shared>,
        io: T,
        interest: Interest,
        handler: Handler,
    ) -> io::Result<Registration<T>> {
        let inner = Inner { alive: true, key: None, armed: interest, handler: Some(handler) };
        // `AsFd` may return another descriptor the next time, so it is asked once.
        let fd = io.as_fd();
        let watch = Arc::new(Watch { fd: fd.as_raw_fd(), inner: Mutex::new(inner) });
        let key = reactor.register(fd, interest, &watch)?;
        Ok(Registration { io: Some(io), reactor: Arc::downgrade(reactor), watch, key })
    }

    /// Watches for one more event. What is ready now is reported by the next turn.
    ///
    /// # Errors
    /// Fails when the operating system refuses, or the reactor has been dropped or closed.
    ///
    /// # Examples
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use twoply::reactor::{Interest, Reactor};
    ///
    /// let reactor = Reactor::new()?;
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let registration = reactor.register(ours, Interest::NONE, |_| Interest::NONE)?;
    /// registration.rearm(Interest::WRITE)?;
    /// assert_eq!(reactor.turn(None)?.events, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn rearm(&self, interest: Interest) -> io::Result<()> {
        let gone = || io::Error::other("the reactor is gone");
        self.watch.rearm(&*self.reactor.upgrade().ok_or_else(gone)?, interest)
    }

    /// Stops watching, and returns the descriptor's owner.
    ///
    /// # Examples
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use twoply::reactor::{Interest, Reactor};
    ///
    /// let reactor = Reactor::new()?;
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let registration = reactor.register(ours, Interest::READ, |_| Interest::NONE)?;
    /// let _ours: UnixStream = registration.deregister();
    /// assert_eq!(reactor.metrics().registered, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn deregister(mut self) -> T {
        self.stop();
        match self.io.take() {
            Some(io) => io,
            None => unreachable!("it is taken out only here, and this owns the registration"),
        }
    }

    /// Returns the descriptor's owner.
    pub fn io(&self) -> &T {
        match &self.io {
            Some(io) => io,
            None => unreachable!("it is taken out only by `deregister`, which owns the registration"),
        }
    }
}

impl<T: AsFd> Registration<T> {
    fn stop(&self) {
        let handler = self.watch.end();
        if let (Some(reactor), Some(_)) = (self.reactor.upgrade(), &self.io) {
            // SAFETY: it was borrowed from `io`, which is still there, has not been lent mutably since, and
            // outlives this call.
            reactor.deregister(unsafe { BorrowedFd::borrow_raw(self.watch.fd) }, self.key);
        }
        // Last: it runs a destructor of the user's, and if that panics the descriptor is closed on the way.
        drop(handler);
    }
}

impl<T: AsFd> Drop for Registration<T> {
    fn drop(&mut self) {
        if self.io.is_some() {
            self.stop();
        }
    }
}

impl<T: AsFd + std::fmt::Debug> std::fmt::Debug for Registration<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration").field("io", &self.io).finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn set_key(&self, key: Key) {
        lock_std(&self.inner).key = Some(key);
    }

    /// Calls the handler, and watches again for what it returns. A handler that panics is dropped.
    pub(super) fn call(&self, reactor: &Shared, ready: Interest) {
        let handler = {
            let mut inner = lock_std(&self.inner);
            // The kernel reports errors even when nothing is asked for.
            if !inner.alive || inner.armed.is_empty() {
                return;
            }
            inner.armed = Interest::NONE;
            inner.handler.take()
        };
        let Some(mut handler) = handler else { return };
        let next = handler(ready);
        {
            let mut inner = lock_std(&self.inner);
            if inner.alive {
                inner.handler = Some(handler);
                drop(inner);
                if !next.is_empty() {
                    // A failure (no memory, a closed reactor) leaves the registration disarmed.
                    let _ = self.rearm(reactor, next);
                }
                return;
            }
        }
        // The handler has deregistered itself: it is dropped with nothing locked.
        drop(handler);
    }

    /// Watches for one more event. The lock is held over the system call, so that the descriptor stays the
    /// registered one.
    fn rearm(&self, reactor: &Shared, interest: Interest) -> io::Result<()> {
        let mut inner = lock_std(&self.inner);
        let key = inner.key.filter(|_| inner.alive);
        let key = key.ok_or_else(|| io::Error::other("the reactor has been closed"))?;
        // SAFETY: `alive` is true and the lock is held. The registration owns what the descriptor was
        // borrowed from, and that is 'static, so nothing else closes it; and it sets `alive` to false, under
        // this lock, before it gives the descriptor back or closes it. So it is open.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        reactor.rearm(fd, key, interest)?;
        inner.armed = interest;
        Ok(())
    }

    /// Ends the registration, and returns the handler, which the caller drops with nothing locked.
    pub(super) fn end(&self) -> Option<Handler> {
        let mut inner = lock_std(&self.inner);
        inner.alive = false;
        inner.handler.take()
    }
}
