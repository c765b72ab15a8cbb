//! Anybody's descriptor with a handler: the reactor as a library.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{Arc, Mutex, Weak};

use super::table::Key;
use super::{Interest, Shared};
use crate::base::sync::lock_std;

/// Is told what the descriptor is ready for, and says what to watch next.
pub(super) type Handler = Box<dyn FnMut(Interest) -> Interest + Send>;

/// A descriptor that a [`Reactor`](super::Reactor) watches; made by [`Reactor::register`](super::Reactor::register).
///
/// Dropping it deregisters the descriptor and drops it. The handler may be running on the thread that turns the
/// reactor at that moment; it is not called again.
pub struct Registration<T: AsFd> {
    /// What is watched. `None` only while [`deregister`](Registration::deregister) takes it out.
    io: Option<T>,
    /// Who watches. It is the user's to keep alive.
    reactor: Weak<Shared>,
    /// What the reactor shares.
    watch: Arc<Watch>,
    /// What it is known by.
    key: Key,
}

/// The part of a registration that the reactor knows.
pub(super) struct Watch {
    /// The descriptor. It is open while the registration is alive, for that owns it; and one that was forgotten owns it
    /// for ever: see the bound `'static`.
    fd: RawFd,
    /// The rest.
    inner: Mutex<Inner>,
}

/// The part of a registration that is locked.
struct Inner {
    /// Whether it is registered. Set to false, under the lock, before the descriptor is given back or closed.
    alive: bool,
    /// What it is known by; there from before the first event.
    key: Option<Key>,
    /// What it is armed for.
    armed: Interest,
    /// The handler; taken out while it runs.
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
        // Asked once: whoever implements `AsFd` may give another answer the next time.
        let fd = io.as_fd();
        let watch = Arc::new(Watch { fd: fd.as_raw_fd(), inner: Mutex::new(inner) });
        let key = reactor.register(fd, interest, &watch)?;
        Ok(Registration { io: Some(io), reactor: Arc::downgrade(reactor), watch, key })
    }

    /// Watches for one more event. What is ready now is reported by the next turn.
    ///
    /// # Errors
    /// When the operating system refuses, or the reactor is gone or closed.
    pub fn rearm(&self, interest: Interest) -> io::Result<()> {
        let gone = || io::Error::other("the reactor is gone");
        self.watch.rearm(&*self.reactor.upgrade().ok_or_else(gone)?, interest)
    }

    /// Stops watching, and returns the descriptor's owner.
    pub fn deregister(mut self) -> T {
        self.stop();
        match self.io.take() {
            Some(io) => io,
            None => unreachable!("it is taken out only here, and this owns the registration"),
        }
    }

    /// What is watched.
    pub fn io(&self) -> &T {
        match &self.io {
            Some(io) => io,
            None => unreachable!("it is taken out only by `deregister`, which owns the registration"),
        }
    }
}

impl<T: AsFd> Registration<T> {
    fn stop(&self) {
        drop(self.watch.kill());
        if let (Some(reactor), Some(_)) = (self.reactor.upgrade(), &self.io) {
            // SAFETY: it was borrowed from `io`, which is still there, has not been lent mutably since, and outlives
            // this call.
            reactor.deregister(unsafe { BorrowedFd::borrow_raw(self.watch.fd) }, self.key);
        }
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

    /// Runs the handler, and arms it again if it says so. A handler that panics is gone.
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
                    // What it can fail for (no memory, a closed reactor) leaves it disarmed.
                    let _ = self.rearm(reactor, next);
                }
                return;
            }
        }
        // It has been deregistered by itself: dropped with nothing locked.
        drop(handler);
    }

    /// Arms it. The lock is held over the system call, so that the descriptor stays the one registered.
    fn rearm(&self, reactor: &Shared, interest: Interest) -> io::Result<()> {
        let mut inner = lock_std(&self.inner);
        let key = inner.key.filter(|_| inner.alive);
        let key = key.ok_or_else(|| io::Error::other("the reactor has been closed"))?;
        // SAFETY: `alive` is true and the lock is held. The registration owns what the descriptor was borrowed from, and
        // that is 'static, so nothing else closes it; and it sets `alive` to false, under this lock, before it gives the
        // descriptor back or closes it. So it is open.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        reactor.rearm(fd, key, interest)?;
        inner.armed = interest;
        Ok(())
    }

    /// Ends it. The handler is returned so that it is dropped with nothing locked.
    pub(super) fn kill(&self) -> Option<Handler> {
        let mut inner = lock_std(&self.inner);
        inner.alive = false;
        inner.handler.take()
    }
}
