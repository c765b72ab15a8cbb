//! The bytes that are to be written to a connection: whoever has something to send appends it, and one task
//! writes. While that has nothing to do, somebody else may write a little in its place, as far as it goes
//! without waiting ([`Outbox::write_now`]).
//!
//! A message of more than 64 KiB goes out in fragments, by turns with all else ([`lanes`]).

mod lanes;

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use twoply_core::sync::Notify;
use twoply_core::task;

use self::lanes::Lanes;
use crate::connection::serial;
use crate::wire::{Frame, Target, Told};

/// The bytes from which on messages have to wait.
const FULL: usize = 1 << 20;
/// The bytes beside the longest message from which on a connection is given up: signals never wait.
const TOO_MANY: usize = 64 << 20;
/// The bytes that the writer takes at a time, if lanes have as many.
const BATCH: usize = 256 << 10;
/// The most bytes that somebody else than the writer writes.
const AT_ONCE: usize = 16 << 10;
/// The senders of which it is known at most that a big message of theirs has been refused.
const BIG_ONES: usize = 1024;

/// The bytes that are to be written.
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Tells the writer that there is something, or that it is over.
    filled: Notify,
    /// The bytes of which the writer has not been told, about: whoever tells it may be between the two.
    untold: AtomicUsize,
    /// True if the peer takes fragments.
    fragments: bool,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    /// The atoms that the peer knows when all of `bytes` is read.
    told: Told,
    /// The messages that go out by turns, behind `bytes`.
    lanes: Lanes,
    /// The bytes that have been taken and not written yet.
    writing: usize,
    /// True while somebody else than the writer writes what has been taken.
    lent: bool,
    /// The bytes of the longest of all that has been appended since there was room the last time.
    longest: usize,
    /// The tasks whose last message was a big one, and found too much in the lanes: those are what
    /// [`Outbox::poll_room`], which comes next, waits for. It matters while the lanes are full.
    big_ones: BTreeSet<u64>,
    closed: bool,
    /// Those who wait for room, and what for.
    waiting: Vec<(Waker, For)>,
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

    /// Takes out those who wait for what there is by now; `left` says that somebody has nothing in a lane
    /// any more.
    fn take_ready(&mut self, left: bool) -> Vec<Waker> {
        let bytes = !self.is_full(|| false);
        let lanes = bytes && self.lanes.len() < FULL;
        let mut one_may = true;
        let ready = self.waiting.extract_if(.., |(_, what)| match what {
            For::Bytes => bytes,
            For::Lane => left || lanes,
            // One may fill the lanes, and the others would write their messages in vain. The next one goes on
            // with the next bytes, and all do with the last ones.
            For::Lanes => lanes && (self.lanes.is_empty() || std::mem::take(&mut one_may)),
        });
        ready.map(|(waker, _)| waker).collect()
    }
}

/// The things that those who wait for room wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// Room for a small message that belongs into no lane.
    Bytes,
    /// A lane that somebody leaves, for a small message that belongs into one; or room in all.
    Lane,
    /// Room in all lanes, for a big message.
    Lanes,
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
    /// An alias of nobody knows whose, or whatever is asked on nobody's behalf.
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
        Outbox { state: Mutex::default(), filled: Notify::new(), untold: AtomicUsize::new(0), fragments }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a message, if there is room. It stays behind what the same task has sent before.
    pub(crate) fn message(&self, frame: &mut Frame, to: Receiver) -> Result<(), Refused> {
        self.append_message(frame, to)?;
        // Else the writer has been told, and has not taken what there is.
        if self.untold() > 0 {
            self.kick();
        }
        Ok(())
    }

    /// As [`Outbox::message`], for a caller who holds a lock, and kicks the outbox after that.
    pub(crate) fn append_message(&self, frame: &mut Frame, to: Receiver) -> Result<(), Refused> {
        let mut state = self.state();
        if state.closed {
            return Err(Refused::Closed);
        }
        let sender = LazyCell::new(|| Sender::current().0);
        let big = self.fragments && lanes::is_big(frame);
        if state.is_full(|| big || state.lanes.hold_back(*sender, to)) {
            if big && state.lanes.len() >= FULL {
                // Whoever is forgotten writes its message once more.
                if state.big_ones.len() >= BIG_ONES {
                    state.big_ones.clear();
                }
                state.big_ones.insert(*sender);
            }
            return Err(Refused::Full);
        }
        if !state.big_ones.is_empty() {
            state.big_ones.remove(&*sender);
        }
        self.append(&mut state, frame, to, || Some(*sender));
        Ok(())
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
        let untold = self.untold();
        if untold > 0 || state.is_empty() {
            self.untold.store(untold + frame.len(), Relaxed);
        }
        state.longest = state.longest.max(frame.len());
        let big = self.fragments && lanes::is_big(frame);
        if !big && state.lanes.is_empty() {
            return frame.write_whole(&mut state.told, &mut state.bytes);
        }
        let sender = sender();
        match state.lanes.behind(sender, to) {
            None if !big => frame.write_whole(&mut state.told, &mut state.bytes),
            lane => state.lanes.append(lane, sender, to, frame, big),
        }
    }

    /// Tells the writer that there is something.
    pub(crate) fn kick(&self) {
        self.untold.store(0, Relaxed);
        self.filled.notify_one();
    }

    /// Returns of how many bytes the writer has not been told: they go out with the next message, or when
    /// somebody kicks.
    pub(crate) fn untold(&self) -> usize {
        self.untold.load(Relaxed)
    }

    /// Waits until there is room for the message that has been refused, or the outbox is closed.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, to: Receiver) -> Poll<()> {
        // The clone is code of others, so it is made before.
        let waker = cx.waker().clone();
        let mut state = self.state();
        let what = if state.lanes.len() < FULL {
            For::Bytes
        } else {
            let sender = Sender::current().0;
            match state.big_ones.remove(&sender) {
                true => For::Lanes,
                false if state.lanes.hold_back(sender, to) => For::Lane,
                false => For::Bytes,
            }
        };
        if state.closed || !state.is_full(|| what != For::Bytes) {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|(other, its)| *its == what && other.will_wake(&waker)) {
            state.waiting.push((waker, what));
        }
        Poll::Pending
    }

    /// Waits until there may be something.
    pub(crate) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Has the caller write what is queued, by a call that waits for nothing and returns how much it has
    /// written; what is left is the writer's. So is all of it where that writes already, where it is much, or
    /// where nothing will come any more. The caller holds no lock, and `write` is one call of the system's,
    /// in which no code of the program's runs: it does not unwind, which would leave the bytes lent for ever.
    pub(crate) fn write_now(&self, write: impl FnOnce(&[u8]) -> io::Result<usize>) {
        let mut state = self.state();
        if state.lent {
            // The one that writes tells the writer of what has come meanwhile.
            return;
        }
        if state.writing > 0 || state.closed || !state.lanes.is_empty() || state.bytes.len() > AT_ONCE {
            drop(state);
            return self.kick();
        }
        self.untold.store(0, Relaxed);
        if state.bytes.is_empty() {
            return;
        }
        let mut bytes = std::mem::take(&mut state.bytes);
        (state.lent, state.writing) = (true, bytes.len());
        drop(state);
        // The writer meets the error as well.
        let written = write(&bytes).unwrap_or(0);
        let mut state = self.state();
        if !state.lent {
            // It has been closed: nobody writes any more.
            return;
        }
        (state.lent, state.writing) = (false, 0);
        bytes.drain(..written);
        bytes.append(&mut state.bytes);
        state.bytes = bytes;
        // The writer wakes those who wait for room.
        let is_more = state.closed || !state.is_empty() || !state.waiting.is_empty();
        drop(state);
        if is_more {
            self.kick();
        }
    }

    /// Notes that the writer has written all that it has taken.
    pub(crate) fn rest(&self) {
        self.state().writing = 0;
    }

    /// Takes what is to be written next, for the writer, into `bytes`, which were written by now.
    pub(crate) fn take(&self, bytes: &mut Vec<u8>) -> Taken {
        bytes.clear();
        let mut state = self.state();
        if state.lent {
            return Taken::Lent;
        }
        self.untold.store(0, Relaxed);
        std::mem::swap(&mut state.bytes, bytes);
        let State { lanes, told, .. } = &mut *state;
        let left = lanes.take(told, bytes, BATCH);
        // The writer that has taken nothing may write a tick: nobody else writes in the middle of it.
        state.writing = bytes.len().max(1);
        let taken = match (state.closed, state.lanes.is_empty()) {
            (true, true) => Taken::Last,
            (false, true) if bytes.len() < FULL => Taken::All,
            _ => Taken::Some,
        };
        // Not by the sum of all, which may never be so little.
        if !state.is_full(|| true) {
            state.longest = 0;
        }
        if state.lanes.len() < FULL {
            state.big_ones.clear();
        }
        let ready = state.take_ready(left);
        drop(state);
        wake(ready);
        taken
    }

    /// Takes nothing more; what has been appended is still to be written.
    pub(crate) fn finish(&self) {
        let mut state = self.state();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        wake(waiting.into_iter().map(|(waker, _)| waker));
        self.filled.notify_one();
    }

    /// Takes nothing more, and forgets what has not been written.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        let State { bytes, told, lanes, big_ones, waiting, .. } =
            std::mem::replace(&mut *state, State { closed: true, ..State::default() });
        drop(state);
        drop((bytes, told, lanes, big_ones));
        wake(waiting.into_iter().map(|(waker, _)| waker));
        self.filled.notify_one();
    }

    /// Returns true if a message of the calling task's would be refused now, as far as that is known before
    /// it is written: a big one may be in any case.
    pub(crate) fn is_full(&self, to: Receiver) -> bool {
        let mut state = self.state();
        let sender = LazyCell::new(|| Sender::current().0);
        let is_full = !state.closed && state.is_full(|| state.lanes.hold_back(*sender, to));
        if is_full && !state.big_ones.is_empty() {
            // It may be another message that was a big one.
            state.big_ones.remove(&*sender);
        }
        is_full
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
    /// Nothing has been taken: somebody else writes, who kicks if there is more.
    Lent,
    /// Nothing will come any more.
    Last,
}

/// Wakes all. A waker that panics is somebody else's.
fn wake(waiting: impl IntoIterator<Item = Waker>) {
    for waker in waiting {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

#[cfg(test)]
mod tests;
