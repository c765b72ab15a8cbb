//! The bytes that are to be written to a connection: whoever has something to send appends it, and one task
//! writes.
//!
//! A message of more than 64 KiB goes out in fragments, by turns with all else ([`lanes`]).

mod lanes;

use std::cell::LazyCell;
use std::collections::BTreeSet;
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
    /// The bytes that the writer has taken and not written yet.
    writing: usize,
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
        let big = self.fragments && lanes::is_big(frame.len());
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
        let big = self.fragments && lanes::is_big(frame.len());
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

    /// Takes what is to be written next, for the writer, into `bytes`, which were written by now.
    pub(crate) fn take(&self, bytes: &mut Vec<u8>) -> Taken {
        bytes.clear();
        let mut state = self.state();
        self.untold.store(0, Relaxed);
        std::mem::swap(&mut state.bytes, bytes);
        let State { lanes, told, .. } = &mut *state;
        let left = lanes.take(told, bytes, BATCH);
        state.writing = bytes.len();
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
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::task::Wake;

    use super::*;

    fn frame(len: usize) -> Frame {
        Frame::from(vec![7; len])
    }

    /// Sends as a connection does.
    fn send(outbox: &Outbox, len: usize, to: Receiver) -> Result<(), Refused> {
        if outbox.is_full(to) { Err(Refused::Full) } else { outbox.message(&mut frame(len), to) }
    }

    fn poll_room(outbox: &Outbox, flag: &Arc<Flag>, to: Receiver) -> Poll<()> {
        outbox.poll_room(&mut Context::from_waker(&flag.waker()), to)
    }

    /// Says that it has been woken.
    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Flag>) {
            self.0.store(true, Relaxed);
        }
    }

    impl Flag {
        /// Returns true if it has been woken since this was asked.
        fn is_set(&self) -> bool {
            self.0.swap(false, Relaxed)
        }

        fn waker(self: &Arc<Flag>) -> Waker {
            Waker::from(Arc::clone(self))
        }
    }

    #[test]
    fn who_waits_goes_on_when_all_is_written() {
        let outbox = Outbox::new(true);
        let mut frame = frame(60 << 10);
        while outbox.message(&mut frame, Receiver::Named) == Ok(()) {}
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outbox.poll_room(&mut cx, Receiver::Named).is_pending());
        let mut bytes = Vec::new();
        assert_eq!(outbox.take(&mut bytes), Taken::Some);
        assert!(bytes.len() >= FULL && outbox.poll_room(&mut cx, Receiver::Named).is_pending());
        // It is written now.
        assert_eq!(outbox.take(&mut bytes), Taken::All);
        assert!(bytes.is_empty() && outbox.poll_room(&mut cx, Receiver::Named).is_ready());
        assert!(outbox.state().waiting.is_empty());
    }

    #[test]
    fn only_what_belongs_behind_a_big_message_waits_for_it() {
        let outbox = Outbox::new(true);
        let (near, far) = (Receiver::Pid(1), Receiver::Pid(2));
        assert!(outbox.passed_on(&mut frame(10 * FULL), near, Sender(7)));
        assert!(!outbox.is_full(far));
        assert_eq!(outbox.message(&mut frame(10), near), Ok(()));
        // A message that is as big has to wait.
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(send(&outbox, 1 << 17, far), Err(Refused::Full));
        assert!(outbox.poll_room(&mut cx, far).is_pending());
        // It may be given up, or wait: small ones of the same sender do not care.
        for _ in 0..2 {
            assert_eq!(send(&outbox, 1 << 17, far), Err(Refused::Full));
            assert_eq!(send(&outbox, 10, far), Ok(()));
            assert!(outbox.state().big_ones.is_empty());
        }
        let mut bytes = Vec::new();
        while outbox.take(&mut bytes) != Taken::All {}
        assert!(outbox.poll_room(&mut cx, far).is_ready());
        // A message of the same task's stays behind its own big one.
        assert_eq!(send(&outbox, 10 * FULL, near), Ok(()));
        assert_eq!(send(&outbox, 10, far), Err(Refused::Full));
        assert!(outbox.poll_room(&mut cx, far).is_pending());
    }

    #[test]
    fn each_waits_for_what_has_no_room() {
        let outbox = Outbox::new(true);
        let (near, far) = (Receiver::Pid(1), Receiver::Pid(2));
        let mut bytes = Vec::new();
        let (small, big, other) = (Arc::<Flag>::default(), Arc::<Flag>::default(), Arc::<Flag>::default());
        assert!(outbox.passed_on(&mut frame(10 * FULL), near, Sender(7)));
        while send(&outbox, 60 << 10, far) == Ok(()) {}
        assert!(poll_room(&outbox, &small, far).is_pending());
        // The bytes are out, and the lanes are as full as before.
        while outbox.state().is_full(|| false) {
            let _ = outbox.take(&mut bytes);
        }
        assert!(outbox.state().lanes.len() > 8 * FULL);
        assert!(small.is_set() && poll_room(&outbox, &small, far).is_ready());
        assert_eq!(send(&outbox, 10, far), Ok(()));
        // Big ones wait for the lanes, and go on by turns.
        for flag in [&big, &other] {
            assert_eq!(send(&outbox, 10 * FULL, far), Err(Refused::Full));
            assert!(poll_room(&outbox, flag, far).is_pending());
        }
        outbox.state().big_ones.extend(1..=BIG_ONES as u64);
        assert_eq!(send(&outbox, 10 * FULL, far), Err(Refused::Full));
        assert_eq!(outbox.state().big_ones.len(), 1);
        while !big.is_set() {
            assert!(outbox.state().lanes.len() >= FULL);
            let _ = outbox.take(&mut bytes);
        }
        assert!(outbox.state().lanes.len() < FULL && !other.is_set());
        assert!(outbox.state().big_ones.is_empty());
        // A small one of the same task's waits for the end of that lane, not for what is in others.
        assert_eq!(send(&outbox, 2 * FULL, far), Ok(()));
        assert!(outbox.passed_on(&mut frame(20 * FULL), near, Sender(8)));
        assert_eq!(send(&outbox, 10, near), Err(Refused::Full));
        assert!(poll_room(&outbox, &small, near).is_pending());
        while !small.is_set() {
            assert_ne!(outbox.take(&mut bytes), Taken::All);
        }
        assert!(outbox.state().lanes.len() > 10 * FULL);
    }

    #[test]
    fn a_closed_outbox_keeps_nothing() {
        let outbox = Outbox::new(true);
        assert!(outbox.passed_on(&mut frame(10 * FULL), Receiver::Pid(1), Sender(7)));
        assert_eq!(outbox.message(&mut frame(1 << 17), Receiver::Pid(2)), Err(Refused::Full));
        assert_eq!(outbox.message(&mut frame(10), Receiver::Pid(2)), Ok(()));
        assert_eq!(outbox.message(&mut frame(1 << 17), Receiver::Pid(2)), Err(Refused::Full));
        outbox.close();
        let state = outbox.state();
        assert!(state.is_empty() && state.bytes.capacity() == 0 && state.big_ones.is_empty());
        assert!(state.closed);
    }

    #[test]
    fn the_longest_message_is_forgotten_when_nobody_has_to_wait() {
        let outbox = Outbox::new(true);
        let mut bytes = Vec::new();
        assert_eq!(outbox.message(&mut frame(800 << 10), Receiver::Pid(1)), Ok(()));
        for _ in 0..6 {
            assert!(outbox.passed_on(&mut frame(50 << 10), Receiver::Nobody, Sender(9)));
        }
        // Neither the lanes nor the other bytes are full; both together are more than that.
        assert_eq!(outbox.take(&mut bytes), Taken::Some);
        assert!(outbox.state().len() >= FULL && outbox.state().longest == 0);
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
