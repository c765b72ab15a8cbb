//! The request for a worker by a thread that waits for it: a [host](crate::host), or on fibers the thread
//! that they belong to.
//!
//! Whoever wants the worker says so and waits. The thread that carries it looks here between two polls and
//! leaves the worker; so does the watchdog when it has taken the worker from a thread. Nothing here runs a
//! task.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::core::Core;
use crate::lock::lock;

/// The request for one worker, and the way on which it comes.
#[derive(Default)]
pub(crate) struct CoreRequest {
    /// True while somebody waits for the worker.
    wanted: AtomicBool,
    /// The state of the exchange, under a lock of its own.
    state: Mutex<Exchange>,
    /// Signalled when the worker is there, or never will be.
    handed: Condvar,
}

/// The state of a request.
#[derive(Default)]
struct Exchange {
    /// True while there is a host.
    hosted: bool,
    /// True when the worker has ended.
    ended: bool,
    /// The worker, on its way.
    core: Option<Box<Core>>,
}

impl CoreRequest {
    /// Returns true if somebody waits for the worker.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Enters a host, unless there is one.
    pub(crate) fn begin_hosting(&self) -> io::Result<()> {
        match std::mem::replace(&mut lock(&self.state).hosted, true) {
            true => Err(io::ErrorKind::ResourceBusy.into()),
            false => Ok(()),
        }
    }

    /// Notes that the host is gone.
    pub(crate) fn end_hosting(&self) {
        lock(&self.state).hosted = false;
    }

    /// Waits for the worker, blocking the calling thread; `wake` has whoever carries it look.
    pub(crate) fn wait_for_core(&self, wake: impl FnOnce()) -> io::Result<Box<Core>> {
        self.wanted.store(true, Ordering::SeqCst);
        wake();
        let mut state = lock(&self.state);
        loop {
            if let Some(core) = state.core.take() {
                return Ok(core);
            }
            if state.ended {
                return Err(io::ErrorKind::NotConnected.into());
            }
            state = self.handed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes the worker in if somebody waits for it; else returns it.
    pub(crate) fn fulfil(&self, core: Box<Core>) -> Option<Box<Core>> {
        if !self.wanted.swap(false, Ordering::SeqCst) {
            return Some(core);
        }
        lock(&self.state).core = Some(core);
        self.handed.notify_all();
        None
    }

    /// Notes that the worker has ended, and tells whoever waits for it.
    pub(crate) fn close(&self) {
        lock(&self.state).ended = true;
        self.handed.notify_all();
    }
}
