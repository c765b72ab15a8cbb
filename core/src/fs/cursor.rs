//! The cursor of a file: reads and writes one after another, as futures and as poll functions.
//!
//! The cursor is a number here, and the system is told a position with each call. It moves when a result is
//! handed out, and not before: an operation that is given up has not moved it. Operations of the cursor come
//! one after another. One that must wait for the device is a [background operation](crate::kernel::files);
//! its outcome is left here:
//!
//! ```text
//! read, write ──▶ in memory? ──▶ done
//!                   │ no
//!                   ▼
//!            background operation ──▶ outcome ──▶ the next read at that position,
//!                                                 the future that has begun a write,
//!                                                 the next poll function that writes the same bytes
//! ```
//!
//! A poll function cannot say that it is the one that has begun a write, nor that it will not come again;
//! hence the last rule. It may never come again, so what it leaves grows old. No future takes what a poll
//! function has read. And a change makes old what was begun before it: a write at a position, or a new
//! length, through this file or a clone of it; others are not seen here. An append stays nevertheless, and so
//! does what a future finds that has begun it itself: the change went on beside it. A poll function that
//! finds its outcome old begins again, and then only a change that ends after the operation makes it old:
//! else it might begin for ever.
//!
//! Nobody waits for a future to take its outcome: a read is done again, and a write counts when something
//! else is done first. A future that is dropped takes its outcome along, but for what it has read from a file
//! without positions (a pipe, a terminal): that is gone from there, and kept for the next read.

use std::io::{self, IoSlice, IoSliceMut, SeekFrom};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;

use super::sys::{self, Knack};
use crate::base::small_map::SmallMap;
use crate::base::sync::lock_std;
use crate::base::waitlist::{WaitKey, WaitList};
use crate::kernel::files::{self, Done, Memory, OpenFile, Operation};
use crate::kernel::io::room;
use crate::kernel::waiting::{self, WaitingFor};
use crate::kernel::{blocking, coop};

/// The most bytes that a background operation moves: its buffer is memory beside the caller's.
const MOST_BYTES: usize = 2 << 20;

/// An open file, as its handles share it.
pub(super) struct Shared {
    pub(super) file: Arc<OpenFile>,
    /// True if the file has positions.
    pub(super) has_positions: bool,
    /// True if each write goes to the end.
    appends: bool,
    /// The number of bytes at whose multiples the memory of an operation has to begin.
    alignment: usize,
    /// Says whether a read that asks for memory alone is worth trying.
    pub(super) reads_now: Knack,
    /// Says the same of a write.
    pub(super) writes_now: Knack,
    state: Mutex<State>,
    /// Those who wait for the end of an operation of the cursor.
    waiters: WaitList,
    /// The places of the poll functions, by direction.
    polled: [Mutex<WaitKey>; 2],
}

/// The direction of an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Read,
    Write,
}

impl Way {
    /// Returns its name in errors.
    pub(super) fn operation(self) -> &'static str {
        match self {
            Way::Read => "read",
            Way::Write => "write",
        }
    }
}

/// The buffers of an operation of the cursor, which say its direction.
pub(super) enum Bufs<'a, 'b> {
    Read(&'a mut [IoSliceMut<'b>]),
    Write(&'a [IoSlice<'b>]),
}

impl Bufs<'_, '_> {
    fn way(&self) -> Way {
        match self {
            Bufs::Read(_) => Way::Read,
            Bufs::Write(_) => Way::Write,
        }
    }

    fn room(&self) -> usize {
        match self {
            Bufs::Read(bufs) => room(bufs),
            Bufs::Write(bufs) => room(bufs),
        }
    }

    /// Returns whether an operation of their direction may be theirs: any read, a write of the same bytes.
    fn may_be_of(&self, done: &Done) -> bool {
        match self {
            Bufs::Read(_) => true,
            Bufs::Write(bufs) => begins_with(bufs, &done.memory),
        }
    }
}

/// The part of a file that is locked.
#[derive(Default)]
struct State {
    position: u64,
    /// The number of background operations so far.
    count: u64,
    /// The number of times that this file or a clone has changed what it holds, but not by the cursor.
    changes: u64,
    /// The operations that run. A file with positions uses the first only; another one has one for each
    /// direction, which do not wait for each other.
    lanes: [Lane; 2],
    /// The results of writes that count already, for the futures that have begun them, by number.
    settled: SmallMap<u64, io::Result<usize>>,
}

/// A place in which one operation runs at a time.
#[derive(Default)]
struct Lane {
    /// True while an operation runs.
    is_busy: bool,
    /// The number of the background operation that runs, or ran last.
    number: u64,
    /// True while the future that has begun it is there.
    is_owned: bool,
    /// True if nobody wants the outcome of the operation.
    is_given_up: bool,
    /// True if a poll function has begun it since the outcome of the one before was old.
    is_again: bool,
    outcome: Option<Outcome>,
}

/// The result of a background operation that nobody has taken yet.
struct Outcome {
    way: Way,
    /// The position of the cursor when it began.
    at: u64,
    /// The number of changes by then, or by its end if it was begun again.
    changes: u64,
    /// The number of bytes that have been handed out already.
    taken: usize,
    /// The position after an append.
    end: Option<u64>,
    done: Done,
}

impl Shared {
    pub(super) fn new(file: OpenFile) -> Shared {
        let facts = sys::facts(&file);
        Shared {
            has_positions: facts.position.is_some(),
            appends: facts.appends,
            // No device wants more than a page.
            alignment: if facts.is_direct { rustix::param::page_size() } else { 1 },
            // A call that waits for the device does so whatever it was told.
            reads_now: Knack::new(!facts.is_direct),
            writes_now: Knack::new(!facts.syncs && !facts.is_direct),
            state: Mutex::new(State { position: facts.position.unwrap_or(0), ..State::default() }),
            waiters: WaitList::new(),
            polled: Default::default(),
            file: Arc::new(file),
        }
    }

    /// Returns the position of the cursor.
    pub(super) fn position(&self) -> u64 {
        if self.has_positions { lock_std(&self.state).position } else { 0 }
    }

    /// Reads at a position, and waits for the device if it must. Where the caller's memory does not suit the
    /// device, it goes through memory that does.
    pub(super) fn read(&self, at: u64, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match sys::read(&self.file, at, bufs) {
            Err(error) if self.is_refused(&error) => {
                let (operation, memory) = self.to_read(Some(at), bufs);
                let done = files::make(&self.file, operation, memory);
                done.result.map(|_| scatter(&done.memory, bufs))
            }
            read => read,
        }
    }

    /// Writes at a position, as [`Shared::read`] reads.
    pub(super) fn write(&self, at: u64, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match sys::write(&self.file, at, bufs) {
            Err(error) if self.is_refused(&error) => {
                let (operation, memory) = self.to_write(Some(at), bufs);
                files::make(&self.file, operation, memory).result
            }
            written => written,
        }
    }

    /// Returns whether the device does not take the memory, the position or the length of an operation.
    pub(super) fn is_refused(&self, error: &io::Error) -> bool {
        self.alignment > 1 && error.raw_os_error() == Some(Errno::INVAL.raw_os_error())
    }

    /// Makes the operation, with memory of its own, that reads as much as buffers have room for, or a part.
    pub(super) fn to_read(&self, at: Option<u64>, bufs: &[IoSliceMut<'_>]) -> (Operation, Memory) {
        let room = room(bufs).min(MOST_BYTES);
        (Operation::Read { at, room }, Memory::with_room(room, self.alignment))
    }

    /// Makes the operation, with memory of its own, that writes what is in buffers, or the first part of it.
    pub(super) fn to_write(&self, at: Option<u64>, bufs: &[IoSlice<'_>]) -> (Operation, Memory) {
        let room = room(bufs).min(MOST_BYTES);
        let mut memory = Memory::with_room(room, self.alignment);
        for buf in bufs {
            memory.put(&buf[..buf.len().min(room - memory.len())]);
        }
        (Operation::Write { at }, memory)
    }

    fn lane(&self, way: Way) -> usize {
        usize::from(!self.has_positions && way == Way::Write)
    }

    /// Waits for the cursor's turn until `attempt` returns something.
    fn poll_turn<R>(
        &self,
        key: &mut WaitKey,
        cx: &mut Context<'_>,
        attempt: impl FnMut() -> Option<R>,
    ) -> Poll<R> {
        let unit = ready!(coop::proceed(cx));
        let polled = self.waiters.poll_until(key, cx, attempt);
        let result = ready!(waiting::note(polled, || WaitingFor::Offload { name: None }));
        unit.spend();
        Poll::Ready(result)
    }

    /// Reads or writes at the cursor. A future says in `started` which background operation it has begun, 0
    /// for none, and is told the next one there.
    pub(super) fn poll_move(
        self: &Arc<Self>,
        key: &mut WaitKey,
        mut started: Option<&mut u64>,
        cx: &mut Context<'_>,
        mut bufs: Bufs<'_, '_>,
    ) -> Poll<io::Result<usize>> {
        let way = bufs.way();
        if bufs.room() == 0 {
            return Poll::Ready(Ok(0));
        }
        let may_block = self.has_positions && blocking::may_block(cx);
        self.poll_turn(key, cx, || {
            let position = {
                let mut state = lock_std(&self.state);
                if let Some(taken) = state.take(self, started.as_deref().copied(), &mut bufs)? {
                    return Some(taken);
                }
                state.position
            };
            let at = self.has_positions.then_some(position);
            let moved = match (&mut bufs, may_block) {
                (Bufs::Read(bufs), true) => Some(self.read(position, bufs)),
                (Bufs::Read(bufs), false) => sys::read_now(&self.reads_now, &self.file, at, bufs),
                (Bufs::Write(bufs), true) => Some(self.write(position, bufs)),
                (Bufs::Write(bufs), false) => sys::write_now(&self.writes_now, &self.file, at, bufs),
            };
            if let Some(moved) = moved {
                let after = moved.as_ref().map(|n| self.appended(way).unwrap_or(position + *n as u64));
                self.end(way, after.unwrap_or(position));
                return Some(moved);
            }
            let (operation, memory) = match &bufs {
                Bufs::Read(bufs) => self.to_read(at, bufs),
                Bufs::Write(bufs) => self.to_write(at, bufs),
            };
            self.start(way, started.as_deref_mut(), position, operation, memory);
            None
        })
    }

    /// Moves the cursor, when no operation of it runs, and returns its new position.
    pub(super) fn poll_seek(
        &self,
        key: &mut WaitKey,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        if !self.has_positions {
            return Poll::Ready(Err(Errno::SPIPE.into()));
        }
        self.poll_turn(key, cx, || {
            let mut state = lock_std(&self.state);
            if state.lanes[0].is_busy {
                return None;
            }
            drop(state.outcome(0, None));
            let position = match to {
                SeekFrom::Start(position) => Ok(Some(position)),
                SeekFrom::Current(by) => Ok(state.position.checked_add_signed(by)),
                SeekFrom::End(by) => sys::length(&self.file).map(|end| end.checked_add_signed(by)),
            };
            Some(position.and_then(|position| {
                let position = position.filter(|position| i64::try_from(*position).is_ok());
                state.position = position.ok_or(Errno::INVAL)?;
                Ok(state.position)
            }))
        })
    }

    /// Waits until no operation of the cursor runs.
    pub(super) fn poll_idle(&self, key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<()> {
        let is_busy = || lock_std(&self.state).lanes[self.lane(Way::Write)].is_busy;
        self.poll_turn(key, cx, || (!is_busy()).then_some(()))
    }

    /// Calls `poll` with the place of a poll function.
    pub(super) fn with_place<R>(&self, way: Way, poll: impl FnOnce(&mut WaitKey) -> R) -> R {
        let place = &self.polled[way as usize];
        let mut key = std::mem::take(&mut *lock_std(place));
        let result = poll(&mut key);
        let mut other = std::mem::replace(&mut *lock_std(place), key);
        self.leave(&mut other);
        result
    }

    /// Takes a place out of the list of those who wait.
    pub(super) fn leave(&self, key: &mut WaitKey) {
        self.waiters.withdraw(key);
    }

    /// Says that this file or a clone has changed what it holds, but not by the cursor.
    pub(super) fn changed(&self) {
        lock_std(&self.state).changes += 1;
    }

    /// Says that nobody wants the outcome of a background operation any more.
    pub(super) fn give_up(&self, way: Way, number: u64) {
        let dropped = {
            let mut state = lock_std(&self.state);
            state.settled.remove(number);
            let lane = &mut state.lanes[self.lane(way)];
            if number == 0 || lane.number != number {
                return;
            }
            lane.is_given_up = lane.is_busy;
            lane.is_owned = false;
            match self.keeps(way) {
                true => None,
                false => lane.outcome.take(),
            }
        };
        drop(dropped);
        self.waiters.notify_all();
    }

    /// Returns whether what an operation that nobody waits for has moved would be lost.
    fn keeps(&self, way: Way) -> bool {
        !self.has_positions && way == Way::Read
    }

    /// Returns the end of the file, if that is where a write has gone.
    fn appended(&self, way: Way) -> Option<u64> {
        (way == Way::Write && self.appends).then(|| sys::length(&self.file).ok()).flatten()
    }

    /// Ends an operation that was made on the spot.
    fn end(&self, way: Way, position: u64) {
        {
            let mut state = lock_std(&self.state);
            if self.has_positions {
                state.position = position;
            }
            state.lanes[self.lane(way)].is_busy = false;
        }
        self.waiters.notify_all();
    }

    /// Begins a background operation, in a lane that is busy for it already, and tells its number.
    fn start(
        self: &Arc<Self>,
        way: Way,
        started: Option<&mut u64>,
        at: u64,
        operation: Operation,
        memory: Memory,
    ) {
        let changes = {
            let mut state = lock_std(&self.state);
            state.count += 1;
            let number = state.count;
            let lane = &mut state.lanes[self.lane(way)];
            (lane.number, lane.is_owned, lane.is_given_up) = (number, started.is_some(), false);
            if let Some(started) = started {
                *started = number;
            }
            state.changes
        };
        let shared = Arc::clone(self);
        files::start(&self.file, operation, memory, move |done| {
            shared.finish(Outcome { way, at, changes, taken: 0, end: shared.appended(way), done });
        });
    }

    fn finish(&self, mut outcome: Outcome) {
        let way = outcome.way;
        let dropped = {
            let mut state = lock_std(&self.state);
            let changes = state.changes;
            let lane = &mut state.lanes[self.lane(way)];
            lane.is_busy = false;
            if lane.is_again {
                outcome.changes = changes;
            }
            match lane.is_given_up && !self.keeps(way) {
                true => Some(outcome),
                false => lane.outcome.replace(outcome),
            }
        };
        drop(dropped);
        self.waiters.notify_all();
    }
}

impl State {
    /// Returns `None` while an operation runs; an outcome, if there is one that belongs to the caller: of a
    /// read at the cursor, of the write that `started` names, or of one of the same bytes, and none that has
    /// grown old; and else makes the lane busy for the caller.
    fn take(
        &mut self,
        shared: &Shared,
        started: Option<u64>,
        bufs: &mut Bufs<'_, '_>,
    ) -> Option<Option<io::Result<usize>>> {
        if let Some(result) = started.and_then(|number| self.settled.remove(number)) {
            return Some(Some(result));
        }
        let lane = shared.lane(bufs.way());
        if self.lanes[lane].is_busy {
            return None;
        }
        let Lane { number, is_owned, .. } = self.lanes[lane];
        let outcome = self.outcome(lane, started);
        let is_here = |outcome: &Outcome| {
            let is_at = !shared.has_positions || outcome.at == self.position;
            is_at && outcome.way == bufs.way() && bufs.may_be_of(&outcome.done)
        };
        let is_current = |outcome: &Outcome| {
            let is_new = outcome.changes == self.changes;
            let may_take = match outcome.way {
                // An append stays, whatever else is done.
                Way::Write => shared.appends || is_new,
                Way::Read => is_new && (is_owned || started.is_none()),
            };
            !shared.has_positions || started == Some(number) || may_take
        };
        let outcome = outcome.filter(is_here);
        let is_again = outcome.is_some() && !is_owned && started.is_none();
        let Some(mut outcome) = outcome.filter(is_current) else {
            (self.lanes[lane].is_busy, self.lanes[lane].is_again) = (true, is_again);
            return Some(None);
        };
        Some(Some(match bufs {
            Bufs::Write(_) => self.count_write(outcome),
            Bufs::Read(_) if outcome.done.result.is_err() => outcome.done.result,
            Bufs::Read(bufs) => {
                let moved = scatter(&outcome.done.memory[outcome.taken..], bufs);
                outcome.taken += moved;
                if shared.has_positions {
                    self.position += moved as u64;
                } else if outcome.taken < outcome.done.memory.len() {
                    // It cannot be read a second time.
                    self.lanes[lane].outcome = Some(outcome);
                }
                Ok(moved)
            }
        }))
    }

    /// Takes the outcome of a lane out. A write that another future than that of `started` waits for counts
    /// from now on, and its result is laid aside: that future may be polled at any later time, or never.
    fn outcome(&mut self, lane: usize, started: Option<u64>) -> Option<Outcome> {
        let Lane { number, is_owned, .. } = self.lanes[lane];
        let outcome = self.lanes[lane].outcome.take()?;
        if outcome.way == Way::Read || !is_owned || started == Some(number) {
            return Some(outcome);
        }
        let result = self.count_write(outcome);
        self.settled.insert(number, result);
        None
    }

    /// Moves the cursor behind what has been written.
    fn count_write(&mut self, outcome: Outcome) -> io::Result<usize> {
        if let Ok(written) = &outcome.done.result {
            self.position = outcome.end.unwrap_or(outcome.at + *written as u64);
        }
        outcome.done.result
    }
}

/// Copies `bytes` into buffers, as far as they go, and returns how many that were.
pub(super) fn scatter(bytes: &[u8], bufs: &mut [IoSliceMut<'_>]) -> usize {
    let mut rest = bytes;
    for buf in bufs {
        let (now, later) = rest.split_at(rest.len().min(buf.len()));
        buf[..now.len()].copy_from_slice(now);
        rest = later;
    }
    bytes.len() - rest.len()
}

/// Returns whether the bytes in buffers begin with `bytes`.
fn begins_with(bufs: &[IoSlice<'_>], bytes: &[u8]) -> bool {
    let mut rest = bytes;
    for buf in bufs {
        let (now, later) = rest.split_at(rest.len().min(buf.len()));
        if buf[..now.len()] != *now {
            return false;
        }
        rest = later;
    }
    rest.is_empty()
}
