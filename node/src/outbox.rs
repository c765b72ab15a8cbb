//! The bytes that are to be written to a connection: whoever has something to send appends it, and one task
//! writes.
//!
//! A message of more than 64 KiB goes out in fragments, by turns with all else ([`lanes`]).

mod lanes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use twoply_core::sync::Notify;
use twoply_core::task;

use self::lanes::Lanes;
use crate::connection::serial;
use crate::wire::Target;

/// The bytes from which on messages have to wait.
const FULL: usize = 1 << 20;
/// The bytes beside the longest message from which on a connection is given up: signals never wait.
const TOO_MANY: usize = 64 << 20;
/// The bytes that the writer takes at a time, if lanes have as many.
const BATCH: usize = 256 << 10;

/// The bytes that are to be written.
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Tells the writer that there is something, or that it is over.
    filled: Notify,
    /// True if the peer takes fragments.
    fragments: bool,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    /// The messages that go out by turns, behind `bytes`.
    lanes: Lanes,
    /// The bytes that the writer has taken and not written yet.
    writing: usize,
    /// The bytes of the longest of all that has been appended since there was room the last time.
    longest: usize,
    closed: bool,
    /// Those who wait for room.
    waiting: Vec<Waker>,
}

impl State {
    fn len(&self) -> usize {
        self.bytes.len() + self.lanes.len() + self.writing
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.lanes.is_empty()
    }
}

/// The reasons for which something was not appended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed,
}

/// The receiver of a frame, as far as the order of frames depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Receiver {
    /// The process with this number.
    Pid(u64),
    /// A process by its name: it may be any.
    Named,
    /// An alias, which gets an answer; or whatever is asked on nobody's behalf.
    Nobody,
}

impl From<&Target> for Receiver {
    fn from(target: &Target) -> Receiver {
        match target {
            Target::Pid(pid) => Receiver::Pid(serial(pid)),
            Target::Name(_) => Receiver::Named,
            Target::Alias(_) => Receiver::Nobody,
        }
    }
}

/// The sender of messages, which is a task; all that is in no task is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sender(u64);

impl Sender {
    /// Returns the calling task.
    pub(crate) fn current() -> Sender {
        Sender(task::current().map_or(0, |task| task.id().as_u64()))
    }
}

impl Outbox {
    /// Begins an outbox for a peer that takes fragments, or does not.
    pub(crate) fn new(fragments: bool) -> Outbox {
        Outbox { state: Mutex::default(), filled: Notify::new(), fragments }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a message, if there is room. It stays behind what the same task has sent before.
    pub(crate) fn message(&self, frame: &mut Vec<u8>, to: Receiver) -> Result<(), Refused> {
        let was_empty = self.append_message(frame, to)?;
        // Else the writer has been told, and has not taken what there is.
        if was_empty {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// As [`Outbox::message`], for a caller who holds a lock, and kicks the outbox after that. Returns true
    /// if it was empty.
    pub(crate) fn append_message(&self, frame: &mut Vec<u8>, to: Receiver) -> Result<bool, Refused> {
        let mut state = self.state();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.len() >= FULL {
            return Err(Refused::Full);
        }
        let was_empty = state.is_empty();
        self.append(&mut state, frame, to, || Some(Sender::current().0));
        Ok(was_empty)
    }

    /// Appends a message that does not wait for room. Returns as [`Outbox::signal`] does.
    pub(crate) fn answer(&self, frame: &mut Vec<u8>, to: Receiver) -> bool {
        self.append_anyway(frame, to, || Some(Sender::current().0))
    }

    /// As [`Outbox::answer`], for a message that this sender has handed to somebody else.
    pub(crate) fn passed_on(&self, frame: &mut Vec<u8>, to: Receiver, sender: Sender) -> bool {
        self.append_anyway(frame, to, || Some(sender.0))
    }

    /// Appends a signal, whatever waits already; it stays behind all that goes to the same process. The
    /// writer is told by [`Outbox::kick`], for which the caller holds no lock. Returns false if that is too
    /// much for the connection to go on.
    pub(crate) fn signal(&self, frame: &mut Vec<u8>, to: Receiver) -> bool {
        self.append_anyway(frame, to, || None)
    }

    fn append_anyway(&self, frame: &mut Vec<u8>, to: Receiver, sender: impl FnOnce() -> Option<u64>) -> bool {
        let mut state = self.state();
        if !state.closed {
            self.append(&mut state, frame, to, sender);
        }
        // One message may be longer than that, and whoever signals meanwhile has not made it so.
        state.len().saturating_sub(state.longest) < TOO_MANY
    }

    /// `sender` says which task a message is from; a signal is from none.
    fn append(
        &self,
        state: &mut State,
        frame: &mut Vec<u8>,
        to: Receiver,
        sender: impl FnOnce() -> Option<u64>,
    ) {
        state.longest = state.longest.max(frame.len());
        let big = self.fragments && lanes::is_big(frame);
        if !big && state.lanes.is_empty() {
            return state.bytes.extend_from_slice(frame);
        }
        let sender = sender();
        match state.lanes.behind(sender, to) {
            None if !big => state.bytes.extend_from_slice(frame),
            lane => state.lanes.append(lane, sender, to, frame, big),
        }
    }

    /// Tells the writer that there is something.
    pub(crate) fn kick(&self) {
        self.filled.notify_one();
    }

    /// Waits until there is room, or the outbox is closed.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        // The clone is code of others, so it is made before.
        let waker = cx.waker().clone();
        let mut state = self.state();
        if state.closed || state.len() < FULL {
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

    /// Takes what is to be written next, for the writer, into `bytes`, which were written by now.
    pub(crate) fn take(&self, bytes: &mut Vec<u8>) -> Taken {
        bytes.clear();
        let mut state = self.state();
        std::mem::swap(&mut state.bytes, bytes);
        state.lanes.take(bytes, BATCH);
        state.writing = bytes.len();
        let taken = match (state.closed, state.lanes.is_empty()) {
            (true, true) => Taken::Last,
            (false, true) if bytes.len() < FULL => Taken::All,
            _ => Taken::Some,
        };
        let mut waiting = Vec::new();
        if state.len() < FULL {
            state.longest = 0;
            waiting = std::mem::take(&mut state.waiting);
        }
        drop(state);
        wake(waiting);
        taken
    }

    /// Takes nothing more; what has been appended is still to be written.
    pub(crate) fn finish(&self) {
        let mut state = self.state();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        wake(waiting);
        self.filled.notify_one();
    }

    /// Takes nothing more, and forgets what has not been written.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let lanes = std::mem::take(&mut state.lanes);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(lanes);
        wake(waiting);
        self.filled.notify_one();
    }

    /// Returns true if a message would be refused now.
    pub(crate) fn is_full(&self) -> bool {
        let state = self.state();
        !state.closed && state.len() >= FULL
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }
}

/// The state in which [`Outbox::take`] has left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Nothing is left in it.
    All,
    /// Fragments are left in it, or so much has been taken that others wait until that is written: in either
    /// case the writer comes again without being told.
    Some,
    /// Nothing will come any more.
    Last,
}

/// Wakes all. A waker that panics is somebody else's.
fn wake(waiting: Vec<Waker>) {
    for waker in waiting {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_goes_on_when_all_is_written() {
        let outbox = Outbox::new(true);
        let mut frame = vec![7; 60 << 10];
        while outbox.message(&mut frame, Receiver::Named) == Ok(()) {}
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outbox.poll_room(&mut cx).is_pending());
        let mut bytes = Vec::new();
        assert_eq!(outbox.take(&mut bytes), Taken::Some);
        assert!(bytes.len() >= FULL && outbox.poll_room(&mut cx).is_pending());
        // It is written now.
        assert_eq!(outbox.take(&mut bytes), Taken::All);
        assert!(bytes.is_empty() && outbox.poll_room(&mut cx).is_ready());
        assert!(outbox.state().waiting.is_empty());
    }

    #[test]
    fn a_signal_beside_a_message_of_any_length_is_not_too_much() {
        let outbox = Outbox::new(true);
        let mut bytes = Vec::new();
        assert_eq!(outbox.message(&mut vec![7; TOO_MANY + FULL], Receiver::Named), Ok(()));
        assert!(outbox.signal(&mut vec![7; 10], Receiver::Named));
        // The message is half written.
        while outbox.state().len() > TOO_MANY / 2 {
            let _ = outbox.take(&mut bytes);
        }
        assert!(outbox.signal(&mut vec![7; 10], Receiver::Named));
        // But signals may be too many by themselves.
        assert!(outbox.signal(&mut vec![7; TOO_MANY], Receiver::Nobody));
        assert!(!outbox.signal(&mut vec![7; TOO_MANY], Receiver::Nobody));
        while outbox.take(&mut bytes) != Taken::All {}
        assert_eq!(outbox.state().longest, 0);
    }
}
