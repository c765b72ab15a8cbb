//! A queue of deadlines that can hold a million entries.
//!
//! Each driver has one: a reactor fires its own as it turns, a thread its own as it parks. The futures of
//! [`time`](crate::time) insert deadlines with a waker and remove them when they are dropped. The queue has
//! no thread and reads no clock: its owner asks for the [`next`](Timers::next) deadline, sleeps, and
//! [`fire`](Timers::fire)s.
//!
//! Entries live in a slab; a binary heap orders `(deadline, entry)` pairs. Deadlines are lazy: postponing an
//! entry only writes its new deadline into the slab, and the pair in the heap is pushed again when it comes
//! to the top. That makes the common case, an I/O timeout that is moved on and on and never expires, a store
//! instead of a search. A pair whose entry has been removed is dead. The next entry in the same slot takes it
//! over if its deadline is no earlier, as if it had been postponed: so timeouts that are made anew each time
//! cost a store, too. Else it is dropped when it comes to the top, or in one sweep when there are more than
//! two pairs for each entry that is alive, so memory is proportional to those.
//!
//! No waker is woken, cloned or dropped while the queue is locked.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::base::sync::lock_std;
use crate::base::wake::StoredWaker;

/// The number of wakers that are taken out at a time: the lock is held for microseconds even when 100,000 are
/// due.
const BATCH: usize = 128;

/// The number of pairs too many that are worth a sweep.
const SWEEP_FROM: usize = 64;

/// The number of pairs at most that are brought up to date before a sleep. An owner that serves a thousand
/// connections would else bring most of them up to date each time, because each request postpones a timeout.
const BEFORE_SLEEP: usize = 4;

/// The end of the list of free entries.
const NO_ENTRY: u32 = u32::MAX;

/// A deadline in nanoseconds since the queue's base. Signed: a virtual clock may run before the base.
type Nanos = i64;

/// The time that stands for "no pair in the heap".
const NOT_QUEUED: Nanos = Nanos::MAX;

/// The deadline of a free entry.
const FREE: Nanos = Nanos::MAX;

/// The farthest deadline, 292 years ahead. Farther ones are moved to it.
const FARTHEST: Nanos = Nanos::MAX - 1;

/// A queue of deadlines, shared by all who wait for one and the driver that fires them.
///
/// # Examples
/// ```
/// use std::task::Waker;
/// use std::time::{Duration, Instant};
/// use twoply_core::timers::Timers;
///
/// let timers = Timers::new(|| ());
/// let now = Instant::now();
/// let key = timers.insert(now + Duration::from_secs(1), Waker::noop()).unwrap();
/// assert_eq!(timers.next(), Some(now + Duration::from_secs(1)));
/// assert_eq!(timers.fire(now), 0);
/// assert_eq!(timers.fire(now + Duration::from_secs(1)), 1);
/// timers.remove(key);
/// ```
pub struct Timers {
    /// The instant that deadlines are counted from.
    base: Instant,
    queue: Mutex<Queue>,
    /// Called when there is an earlier deadline than the one that the owner may be asleep for.
    on_earlier: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Timers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timers").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Names an entry of one [`Timers`]. A key whose entry has been removed names nothing, even when its slot is
/// used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerKey {
    index: u32,
    generation: u32,
}

/// The error of an insertion into a queue that has been closed: its owner fires no more deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the timer queue has been closed")]
#[non_exhaustive]
pub struct Closed;

impl Timers {
    /// Creates an empty queue.
    ///
    /// `on_earlier` is called, with nothing locked, after a change that makes the earliest deadline an
    /// earlier one. It must not block; it may be called on any thread.
    pub fn new(on_earlier: impl Fn() + Send + Sync + 'static) -> Arc<Timers> {
        let queue = Mutex::new(Queue::default());
        Arc::new(Timers { base: Instant::now(), queue, on_earlier: Box::new(on_earlier) })
    }

    /// Inserts a deadline, and returns its key; the first [`fire`](Timers::fire) at or after it wakes
    /// `waker`.
    ///
    /// The entry stays until it is [`remove`](Timers::remove)d, also after it has fired.
    ///
    /// # Errors
    /// Returns [`Closed`] after [`Timers::close`].
    ///
    /// # Examples
    /// ```
    /// use std::task::Waker;
    /// use std::time::Instant;
    /// use twoply_core::timers::Timers;
    ///
    /// let timers = Timers::new(|| ());
    /// let key = timers.insert(Instant::now(), Waker::noop())?;
    /// assert_eq!(timers.len(), 1);
    /// timers.remove(key);
    /// assert!(timers.is_empty());
    /// # Ok::<(), twoply_core::timers::Closed>(())
    /// ```
    pub fn insert(&self, deadline: Instant, waker: &Waker) -> Result<TimerKey, Closed> {
        let deadline = self.nanos(deadline);
        let waker = StoredWaker::of(waker);
        let mut queue = lock_std(&self.queue);
        if queue.closed {
            drop(queue);
            drop(waker);
            return Err(Closed);
        }
        let key = queue.add(deadline, waker);
        let earlier = queue.arm(deadline, key.index);
        drop(queue);
        if earlier {
            (self.on_earlier)();
        }
        Ok(key)
    }

    /// Gives an entry another deadline and another waker, and arms it again if it has fired.
    ///
    /// Returns false when there is no such entry or the queue has been closed: then a new entry is needed, in
    /// another queue.
    ///
    /// # Examples
    /// ```
    /// use std::task::Waker;
    /// use std::time::{Duration, Instant};
    /// use twoply_core::timers::Timers;
    ///
    /// let timers = Timers::new(|| ());
    /// let (now, second) = (Instant::now(), Duration::from_secs(1));
    /// let key = timers.insert(now + second, Waker::noop())?;
    /// assert!(timers.rearm(key, now + 2 * second, Waker::noop()));
    /// assert_eq!(timers.fire(now + second), 0);
    /// timers.remove(key);
    /// assert!(!timers.rearm(key, now, Waker::noop()));
    /// # Ok::<(), twoply_core::timers::Closed>(())
    /// ```
    pub fn rearm(&self, key: TimerKey, deadline: Instant, waker: &Waker) -> bool {
        let deadline = self.nanos(deadline);
        // Cloning runs code of the user's, so it happens between two locks, and only when it must.
        let mut fresh: Option<StoredWaker> = None;
        loop {
            let mut queue = lock_std(&self.queue);
            let closed = queue.closed;
            let Some(entry) = queue.entry(key).filter(|_| !closed) else {
                drop(queue);
                return false;
            };
            let same = entry.waker.as_ref().is_some_and(|old| old.will_wake(waker));
            if !same && fresh.is_none() {
                drop(queue);
                fresh = Some(StoredWaker::of(waker));
                continue;
            }
            let old = if same { None } else { std::mem::replace(&mut entry.waker, fresh.take()) };
            entry.deadline = deadline;
            let earlier = queue.arm(deadline, key.index);
            drop(queue);
            drop(old);
            if earlier {
                (self.on_earlier)();
            }
            return true;
        }
    }

    /// Removes an entry, whose waker is not woken any more. Does nothing for a key whose entry has been
    /// removed.
    pub fn remove(&self, key: TimerKey) {
        let mut queue = lock_std(&self.queue);
        let waker = queue.take(key);
        drop(queue);
        drop(waker);
    }

    /// Returns the earliest deadline; `None` if nothing is armed.
    pub fn next(&self) -> Option<Instant> {
        let next = lock_std(&self.queue).top(usize::MAX)?;
        self.instant(next.at)
    }

    /// Returns a time that is no later than the earliest deadline, for an owner that sleeps until then at
    /// most; `None` if nothing is armed. An owner that this wakes too early has the queue brought up to date
    /// by [`fire`](Timers::fire).
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let top = lock_std(&self.queue).top(BEFORE_SLEEP)?;
        self.instant(top.at)
    }

    fn instant(&self, nanos: Nanos) -> Option<Instant> {
        let ahead = Duration::from_nanos(nanos.unsigned_abs());
        // A clock that cannot represent it will not reach it either.
        if nanos < 0 { self.base.checked_sub(ahead) } else { self.base.checked_add(ahead) }
    }

    /// Wakes all whose deadline is at or before `now`, and returns how many those were.
    ///
    /// They are woken in batches, with nothing locked. Those of one batch are woken in the order of their
    /// deadlines.
    ///
    /// # Examples
    /// ```
    /// use std::task::Waker;
    /// use std::time::Instant;
    /// use twoply_core::timers::Timers;
    ///
    /// let (timers, now) = (Timers::new(|| ()), Instant::now());
    /// timers.insert(now, Waker::noop())?;
    /// timers.insert(now, Waker::noop())?;
    /// assert_eq!(timers.fire(now), 2);
    /// assert_eq!(timers.fire(now), 0);
    /// # Ok::<(), twoply_core::timers::Closed>(())
    /// ```
    pub fn fire(&self, now: Instant) -> usize {
        let now = self.nanos(now);
        let mut due = Vec::new();
        let mut fired = 0;
        loop {
            let more = lock_std(&self.queue).due(now, &mut due);
            fired += due.len();
            crate::base::wake::wake_all(due.drain(..));
            if !more {
                return fired;
            }
        }
    }

    /// Returns whether there may be a deadline, which costs less than to ask for it.
    pub(crate) fn is_armed(&self) -> bool {
        !lock_std(&self.queue).heap.is_empty()
    }

    /// Fires all entries, and accepts no more.
    ///
    /// # Examples
    /// ```
    /// use std::task::Waker;
    /// use std::time::Instant;
    /// use twoply_core::timers::Timers;
    ///
    /// let timers = Timers::new(|| ());
    /// timers.close();
    /// assert!(timers.insert(Instant::now(), Waker::noop()).is_err());
    /// ```
    pub fn close(&self) {
        let mut queue = lock_std(&self.queue);
        queue.closed = true;
        queue.heap = BinaryHeap::new();
        let wakers: Vec<StoredWaker> =
            queue.entries.iter_mut().filter_map(|entry| entry.waker.take()).collect();
        drop(queue);
        crate::base::wake::wake_all(wakers);
    }

    /// Returns the number of entries, fired ones included.
    pub fn len(&self) -> usize {
        lock_std(&self.queue).len
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn nanos(&self, at: Instant) -> Nanos {
        match at.checked_duration_since(self.base) {
            Some(ahead) => Nanos::try_from(ahead.as_nanos()).map_or(FARTHEST, |nanos| nanos.min(FARTHEST)),
            None => {
                let ago = self.base.saturating_duration_since(at);
                Nanos::try_from(ago.as_nanos()).map_or(-FARTHEST, |nanos| -nanos)
            }
        }
    }
}

/// The entries and their order. An entry takes 56 bytes: 40 in `entries` and 16 for its pair in the heap.
struct Queue {
    /// All entries, free ones included.
    entries: Vec<Entry>,
    /// The first free entry, or [`NO_ENTRY`].
    free: u32,
    /// The number of entries that are not free.
    len: usize,
    /// The deadlines, earliest first, dead pairs included: at most [`SWEEP_FROM`] more than two for each of
    /// `len`.
    heap: BinaryHeap<Reverse<Pair>>,
    /// True once no more entries are accepted.
    closed: bool,
}

/// A deadline that somebody waits for, or a free entry.
struct Entry {
    /// The deadline, or [`FREE`].
    deadline: Nanos,
    /// The time of the entry's pair in the heap, never later than `deadline`; [`NOT_QUEUED`] if it has none.
    /// The pair of a free entry is dead.
    queued: Nanos,
    /// `None` once the entry has fired.
    waker: Option<StoredWaker>,
    /// Counts the entries that this slot has had.
    generation: u32,
    /// The next free entry, when this one is free.
    next_free: u32,
}

/// An element of the heap. It is live while its entry is in use and `queued` with this time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    at: Nanos,
    index: u32,
}

impl Default for Queue {
    fn default() -> Queue {
        let (entries, heap) = (Vec::new(), BinaryHeap::new());
        Queue { entries, free: NO_ENTRY, len: 0, heap, closed: false }
    }
}

impl Queue {
    fn entry(&mut self, key: TimerKey) -> Option<&mut Entry> {
        self.entries.get_mut(key.index as usize).filter(|entry| entry.generation == key.generation)
    }

    fn add(&mut self, deadline: Nanos, waker: StoredWaker) -> TimerKey {
        self.len += 1;
        let entry =
            Entry { deadline, queued: NOT_QUEUED, waker: Some(waker), generation: 0, next_free: NO_ENTRY };
        if self.free == NO_ENTRY {
            // A quarter at a time: with doubling, a million entries could cost those of two million.
            if self.entries.len() == self.entries.capacity() {
                self.entries.reserve_exact((self.entries.len() / 4).max(4));
            }
            // 2^32 entries are 160 GiB: memory is exhausted long before indices are.
            let index = self.entries.len() as u32;
            self.entries.push(entry);
            return TimerKey { index, generation: 0 };
        }
        let index = self.free;
        let slot = &mut self.entries[index as usize];
        self.free = slot.next_free;
        // The pair that the entry before has left in the heap is this one's from now on.
        let Entry { generation, queued, .. } = *slot;
        *slot = Entry { generation, queued, ..entry };
        TimerKey { index, generation }
    }

    /// Frees an entry and returns its waker. Its pair in the heap is dead until the slot is used again.
    fn take(&mut self, key: TimerKey) -> Option<StoredWaker> {
        let free = self.free;
        let entry = self.entry(key)?;
        let waker = entry.waker.take();
        entry.deadline = FREE;
        entry.generation = entry.generation.wrapping_add(1);
        entry.next_free = free;
        self.free = key.index;
        self.len -= 1;
        self.sweep();
        waker
    }

    /// Has an entry in use be found at its deadline, `at`. Returns whether that is earlier than all others.
    fn arm(&mut self, at: Nanos, index: u32) -> bool {
        let entry = &mut self.entries[index as usize];
        // No earlier than its pair in the heap: lazily, nothing more to do.
        if at >= entry.queued {
            return false;
        }
        entry.queued = at;
        let earlier = self.heap.peek().is_none_or(|Reverse(top)| at < top.at);
        if self.heap.len() == self.heap.capacity() {
            self.heap.reserve_exact((self.heap.len() / 4).max(4));
        }
        self.heap.push(Reverse(Pair { at, index }));
        self.sweep();
        earlier
    }

    /// Keeps one pair for each entry that is queued, when there are too many.
    fn sweep(&mut self) {
        if self.heap.len() <= 2 * self.len + SWEEP_FROM {
            return;
        }
        // All leave, and the live ones come back: so of equal pairs only the first is found live.
        let entries = &mut self.entries;
        self.heap.retain(|Reverse(pair)| {
            let live = pair.is_live(entries);
            pair.leave(entries);
            live
        });
        for Reverse(pair) in &self.heap {
            entries[pair.index as usize].queued = pair.at;
        }
        self.heap.shrink_to(self.heap.len() * 2);
    }

    /// Brings the top of the heap up to date, and returns it. After so many `steps` it returns a pair that
    /// may be earlier than all deadlines.
    fn top(&mut self, steps: usize) -> Option<Pair> {
        for _ in 0..steps {
            let Reverse(pair) = *self.heap.peek()?;
            if !pair.is_live(&self.entries) {
                pair.leave(&mut self.entries);
                self.heap.pop();
                continue;
            }
            let entry = &mut self.entries[pair.index as usize];
            if entry.deadline == pair.at {
                return Some(pair);
            }
            // It has been postponed since it was queued.
            entry.queued = entry.deadline;
            let at = entry.deadline;
            if let Some(mut top) = self.heap.peek_mut() {
                top.0.at = at;
            }
        }
        self.heap.peek().map(|Reverse(pair)| *pair)
    }

    /// Moves the wakers of up to [`BATCH`] entries that are due to `due`. Returns whether there may be more.
    fn due(&mut self, now: Nanos, due: &mut Vec<StoredWaker>) -> bool {
        while due.len() < BATCH {
            // A pair is never later than its entry's deadline: where none is due, none is brought up to date.
            if self.heap.peek().is_none_or(|Reverse(pair)| pair.at > now) {
                return false;
            }
            let Some(pair) = self.top(usize::MAX).filter(|pair| pair.at <= now) else { return false };
            self.heap.pop();
            let entry = &mut self.entries[pair.index as usize];
            entry.queued = NOT_QUEUED;
            due.extend(entry.waker.take());
        }
        true
    }
}

impl Pair {
    fn is_live(&self, entries: &[Entry]) -> bool {
        let entry = &entries[self.index as usize];
        // A dead pair may come to equal the live one, when an entry is queued again for a deadline that it
        // had before. Either of the two may then stand for the entry: the other is dead as soon as it has.
        entry.deadline != FREE && entry.queued == self.at
    }

    /// Notes that the pair leaves the heap: no entry is queued with it, nor can one take it over.
    fn leave(&self, entries: &mut [Entry]) {
        let entry = &mut entries[self.index as usize];
        if entry.queued == self.at {
            entry.queued = NOT_QUEUED;
        }
    }
}

#[cfg(test)]
#[path = "timers/tests.rs"]
mod tests;
