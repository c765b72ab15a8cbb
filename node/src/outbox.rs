//! The bytes that are to be written to a connection: whoever has something to send appends it, and one task
//! writes.
//!
//! A message of more than 64 KiB goes out in fragments, by turns with all else ([`lanes`]).

mod lanes;

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use twoply_core::sync::Notify;
use twoply_core::task;

use self::lanes::Lanes;
use crate::connection::serial;
use crate::wire::{Frame, Target};

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
    /// The tasks whose last message has found too much in the lanes, where a big one belongs: the next one is
    /// taken for as big before it is written.
    big_ones: BTreeSet<u64>,
    closed: bool,
    /// Those who wait for room.
    waiting: Vec<Waker>,
}

impl State {
    fn len(&self) -> usize {
        self.bytes.len() + self.lanes.len() + self.writing
    }

    /// Returns true if a message has to wait, since too much goes out before it. What is in the lanes does
    /// not, unless the message goes into one.
    fn is_full(&self, into_lane: impl FnOnce() -> bool) -> bool {
        self.bytes.len() + self.writing >= FULL || self.lanes.len() >= FULL && into_lane()
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
    pub(crate) fn message(&self, frame: &mut Frame, to: Receiver) -> Result<(), Refused> {
        let was_empty = self.append_message(frame, to)?;
        // Else the writer has been told, and has not taken what there is.
        if was_empty {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// As [`Outbox::message`], for a caller who holds a lock, and kicks the outbox after that. Returns true
    /// if it was empty.
    pub(crate) fn append_message(&self, frame: &mut Frame, to: Receiver) -> Result<bool, Refused> {
        let mut state = self.state();
        if state.closed {
            return Err(Refused::Closed);
        }
        let sender = LazyCell::new(|| Sender::current().0);
        let big = self.fragments && lanes::is_big(frame.len());
        if state.is_full(|| big || state.lanes.hold_back(*sender, to)) {
            if big && state.lanes.len() >= FULL {
                state.big_ones.insert(*sender);
            }
            return Err(Refused::Full);
        }
        if !state.big_ones.is_empty() {
            state.big_ones.remove(&*sender);
        }
        let was_empty = state.is_empty();
        self.append(&mut state, frame, to, || Some(*sender));
        Ok(was_empty)
    }

    /// Appends a message that does not wait for room. Returns as [`Outbox::signal`] does.
    pub(crate) fn answer(&self, frame: &mut Frame, to: Receiver) -> bool {
        self.append_anyway(frame, to, || Some(Sender::current().0))
    }

    /// As [`Outbox::answer`], for a message that this sender has handed to somebody else.
    pub(crate) fn passed_on(&self, frame: &mut Frame, to: Receiver, sender: Sender) -> bool {
        self.append_anyway(frame, to, || Some(sender.0))
    }

    /// Appends a signal, whatever waits already; it stays behind all that goes to the same process. The
    /// writer is told by [`Outbox::kick`], for which the caller holds no lock. Returns false if that is too
    /// much for the connection to go on.
    pub(crate) fn signal(&self, frame: &mut Frame, to: Receiver) -> bool {
        self.append_anyway(frame, to, || None)
    }

    fn append_anyway(&self, frame: &mut Frame, to: Receiver, sender: impl FnOnce() -> Option<u64>) -> bool {
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
        frame: &mut Frame,
        to: Receiver,
        sender: impl FnOnce() -> Option<u64>,
    ) {
        state.longest = state.longest.max(frame.len());
        let big = self.fragments && lanes::is_big(frame.len());
        if !big && state.lanes.is_empty() {
            return state.bytes.extend_from_slice(frame.whole());
        }
        let sender = sender();
        match state.lanes.behind(sender, to) {
            None if !big => state.bytes.extend_from_slice(frame.whole()),
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
        if state.closed || !state.is_full(|| true) {
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
        if state.len() < FULL {
            state.longest = 0;
        }
        if state.lanes.is_empty() {
            state.big_ones.clear();
        }
        let waiting = if state.is_full(|| true) { Vec::new() } else { std::mem::take(&mut state.waiting) };
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

    /// Returns true if a message of the calling task's would be refused now, as far as that is known before
    /// it is written.
    pub(crate) fn is_full(&self, to: Receiver) -> bool {
        let state = self.state();
        let into_lane = || {
            let sender = Sender::current().0;
            state.big_ones.contains(&sender) || state.lanes.hold_back(sender, to)
        };
        !state.closed && state.is_full(into_lane)
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

    fn frame(len: usize) -> Frame {
        Frame::from(vec![7; len])
    }

    #[test]
    fn who_waits_goes_on_when_all_is_written() {
        let outbox = Outbox::new(true);
        let mut frame = frame(60 << 10);
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
    fn only_what_belongs_behind_a_big_message_waits_for_it() {
        let outbox = Outbox::new(true);
        let (near, far) = (Receiver::Pid(1), Receiver::Pid(2));
        assert!(outbox.passed_on(&mut frame(10 * FULL), near, Sender(7)));
        assert!(!outbox.is_full(far));
        assert_eq!(outbox.message(&mut frame(10), near), Ok(()));
        // A message that is as big has to wait, and the next one of this sender is not even written.
        assert_eq!(outbox.message(&mut frame(1 << 17), far), Err(Refused::Full));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outbox.is_full(far) && outbox.poll_room(&mut cx).is_pending());
        // Unless something else has been sent meanwhile.
        assert_eq!(outbox.message(&mut frame(10), far), Ok(()));
        assert!(!outbox.is_full(far));
        let mut bytes = Vec::new();
        while outbox.take(&mut bytes) != Taken::All {}
        assert!(outbox.poll_room(&mut cx).is_ready());
        // A message of the same task's stays behind its own big one.
        assert_eq!(outbox.message(&mut frame(10 * FULL), near), Ok(()));
        assert!(outbox.is_full(far));
        assert_eq!(outbox.message(&mut frame(10), far), Err(Refused::Full));
    }

    #[test]
    fn a_signal_beside_a_message_of_any_length_is_not_too_much() {
        let outbox = Outbox::new(true);
        let mut bytes = Vec::new();
        assert_eq!(outbox.message(&mut frame(TOO_MANY + FULL), Receiver::Named), Ok(()));
        assert!(outbox.signal(&mut frame(10), Receiver::Named));
        // The message is half written.
        while outbox.state().len() > TOO_MANY / 2 {
            let _ = outbox.take(&mut bytes);
        }
        assert!(outbox.signal(&mut frame(10), Receiver::Named));
        // But signals may be too many by themselves.
        assert!(outbox.signal(&mut frame(TOO_MANY), Receiver::Nobody));
        assert!(!outbox.signal(&mut frame(TOO_MANY), Receiver::Nobody));
        while outbox.take(&mut bytes) != Taken::All {}
        assert_eq!(outbox.state().longest, 0);
    }
}
