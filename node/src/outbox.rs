//! The bytes that are to be written to a connection: whoever has something to send appends it, and one task
//! writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use twoply_core::sync::Notify;

/// The bytes from which on messages have to wait.
const FULL: usize = 1 << 20;
/// The bytes from which on a connection is given up: signals never wait.
const TOO_MANY: usize = 64 << 20;

/// What is to be written.
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Tells the writer that there is something, or that it is over.
    filled: Notify,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    /// The bytes that the writer has taken and not written yet.
    writing: usize,
    closed: bool,
    /// Those who wait for room.
    waiting: Vec<Waker>,
}

/// The reasons for which something was not appended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed,
}

impl Outbox {
    pub(crate) fn new() -> Outbox {
        Outbox { state: Mutex::default(), filled: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a message, if there is room.
    pub(crate) fn message(&self, frame: &[u8]) -> Result<(), Refused> {
        let mut state = self.state();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.bytes.len() + state.writing >= FULL {
            return Err(Refused::Full);
        }
        state.bytes.extend_from_slice(frame);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Appends a signal, whatever waits already. The writer is told by [`Outbox::kick`], for which the caller
    /// holds no lock. Returns false if that is too much for the connection to go on.
    pub(crate) fn signal(&self, frame: &[u8]) -> bool {
        let mut state = self.state();
        if !state.closed {
            state.bytes.extend_from_slice(frame);
        }
        state.bytes.len() + state.writing < TOO_MANY
    }

    /// Tells the writer that there is something.
    pub(crate) fn kick(&self) {
        self.filled.notify_one();
    }

    /// Waits for room.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        // The clone is code of others, so it is made before.
        let waker = cx.waker().clone();
        let mut state = self.state();
        if state.closed || state.bytes.len() + state.writing < FULL {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|other| other.will_wake(&waker)) {
            state.waiting.push(waker);
        }
        Poll::Pending
    }

    /// Waits until there may be something.
    pub(crate) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Takes what there is, for the writer, into `bytes`, which were written by now. Returns false if nothing
    /// will come any more.
    pub(crate) fn take(&self, bytes: &mut Vec<u8>) -> bool {
        bytes.clear();
        let mut state = self.state();
        std::mem::swap(&mut state.bytes, bytes);
        state.writing = bytes.len();
        let closed = state.closed;
        let waiting = if state.writing < FULL { std::mem::take(&mut state.waiting) } else { Vec::new() };
        drop(state);
        wake(waiting);
        !closed
    }

    /// Takes nothing more.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        wake(waiting);
        self.filled.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }
}

/// Wakes all. A waker that panics is somebody else's.
fn wake(waiting: Vec<Waker>) {
    for waker in waiting {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}
