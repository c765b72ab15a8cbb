//! The poller of systems without epoll: `polling` as it is. The system must support edge-triggered events, as
//! kqueue and event ports do.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use polling::PollMode;

use super::{EVENTS, Ready, event};
use crate::event::reactor::Interest;
use crate::event::reactor::table::Key;

const _: () = assert!(usize::BITS == 64, "a key with its generation must fit");

/// A poller of the `polling` crate.
pub(crate) struct Poller(polling::Poller);

/// The events that the kernel has reported.
pub(crate) struct Events(polling::Events);

impl Default for Events {
    fn default() -> Events {
        const CAPACITY: NonZeroUsize = NonZeroUsize::new(EVENTS).unwrap();
        Events(polling::Events::with_capacity(CAPACITY))
    }
}

impl Events {
    /// Returns the keys of the descriptors that are ready, and what they are ready for.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, Ready)> + '_ {
        self.0.iter().map(|event| {
            let mut interest = Interest::NONE;
            if event.readable {
                interest = interest | Interest::READ;
            }
            if event.writable {
                interest = interest | Interest::WRITE;
            }
            // The end of a stream cannot be told from data here, so no short read is trusted.
            (Key(event.key as u64), Ready { interest, sticky: true })
        })
    }
}

/// Fails if no poller can watch `fd`.
#[cfg_attr(
    any(target_os = "linux", target_os = "android"),
    allow(dead_code, reason = "the tests have no use for it")
)]
pub(crate) fn check(fd: BorrowedFd<'_>) -> io::Result<()> {
    let poller = Poller::new()?;
    poller.add_edge(fd, Key(0))?;
    poller.delete(fd)
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        let poller = polling::Poller::new()?;
        if poller.supports_edge() {
            Ok(Poller(poller))
        } else {
            Err(io::Error::new(io::ErrorKind::Unsupported, "no edge-triggered events on this system"))
        }
    }

    /// Watches `fd` in both directions, edge-triggered. The present state of `fd` is reported as an event.
    pub(crate) fn add_edge(&self, fd: BorrowedFd<'_>, key: Key) -> io::Result<()> {
        // SAFETY: the caller deletes it before the descriptor closes: an `IoSource` does so in its
        // destructor.
        unsafe { self.0.add_with_mode(fd.as_raw_fd(), event(key, Interest::BOTH), PollMode::Edge) }
    }

    /// Watches `fd` for one event.
    pub(crate) fn add_oneshot(&self, fd: BorrowedFd<'_>, key: Key, interest: Interest) -> io::Result<()> {
        // SAFETY: the caller deletes it before the descriptor closes: a `Registration` owns the descriptor
        // and deregisters it in its destructor.
        unsafe { self.0.add_with_mode(fd.as_raw_fd(), event(key, interest), PollMode::Oneshot) }
    }

    /// Watches `fd` for one more event.
    pub(crate) fn rearm(&self, fd: BorrowedFd<'_>, key: Key, interest: Interest) -> io::Result<()> {
        self.0.modify_with_mode(fd, event(key, interest), PollMode::Oneshot)
    }

    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.0.delete(fd)
    }

    /// Ends the present wait, or the next one.
    pub(crate) fn wake(&self) {
        // It fails only for a poller that is broken altogether: then the wait says so.
        let _ = self.0.notify();
    }

    /// Waits for events. Returns whether a signal ended the wait.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<bool> {
        events.0.clear();
        match self.0.wait(&mut events.0, timeout) {
            Ok(_) => Ok(false),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(e) => Err(e),
        }
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
