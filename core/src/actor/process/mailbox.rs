//! The mailbox of a process: one queue of events with two accounts.
//!
//! Messages and the news of links and monitors stand in one queue, in the order in which they came; that is
//! what keeps the order between any two processes, over both. But only messages are counted against the
//! capacity: a signal is never refused and never waits. The queue lies under the lock of the process's
//! [`Cell`](super::cell::Cell), which is the only one to use this module. No code of the user's runs in here:
//! what has to be woken or dropped is handed out.
//!
//! # Two halves
//! ```text
//! senders ── lock ──▶ [ Queue: shared ] ── swap, under the lock ──▶ [ Batch: the receiver's own ] ──▶ receive
//! ```
//! The receiver takes the whole queue at once and then eats it without a lock. What a selective receive
//! leaves stays in the batch, in front of what comes later. Where a queue holds a single event, that is taken
//! alone, so that a process whose messages come one at a time has one buffer and not two.
//!
//! # The exact capacity
//! A message counts from the moment it is accepted (`sent`, under the lock) until it is received (`taken`,
//! written by the receiver alone, without the lock), wherever it lies. A send that finds the mailbox full
//! waits in `room` by the protocol of [`channel::queue`](crate::channel): the list, the key and its states
//! are the same, and what becomes free is granted to the send that has waited longest as a *permit*. Only the
//! account differs. A receive from a channel holds the lock in any case, so it hands its permit on at once; a
//! process receives from its batch without the lock, so a permit that is granted counts as a message here
//! until it is used. The receiver learns of waiting sends from the flag [`CROWDED`]; that and `taken` are a
//! pair as in Dekker's algorithm:
//!
//! ```text
//! send, under the lock                     receive, without it
//! S1  CROWDED := 1      (SeqCst)           R1  taken := taken + 1   (SeqCst)
//! S2  full, by taken?   (SeqCst)           R2  CROWDED?             (SeqCst)
//! ```
//! The four have one order: either S2 sees that there is room, or R2 sees that somebody waits for it.
//!
//! # Several messages at once
//! A port waits for room for all that it has to deliver. It is *called* when there is room for one message;
//! until it comes it stays in front of all who wait, so nobody takes what becomes free meanwhile, and nobody
//! else has to be told of it: CROWDED is clear. When it comes it takes as many permits as it wants and there
//! are, and serves who is next. So a full mailbox costs a wake-up and two locks for each batch, and no lock
//! for each message that is received.

use std::collections::VecDeque;
use std::mem::size_of;
use std::task::Waker;

use super::event::Event;
use crate::base::waitlist::{LinkedSlab, WaitKey};
use crate::base::wake::StoredWaker;

/// The flags of a [`Cell`](super::cell::Cell). They are written under its lock only. FILLED, URGENT, CROWDED
/// and LISTENING are read without it as hints: a reader that acts on one looks again under the lock. BEGUN,
/// RETURNED and DROPPED say how far the body has come; they are not of the mailbox, but there is room for
/// them here, and the body's own task alone reads them.
///
/// ```text
///              (1) enqueue                      (3) enqueue, urgent               (5) serve_waiters
/// FILLED     0 ───────────▶ 1      URGENT     0 ───────────────────▶ 1   CROWDED  0 ───────────────────▶ 1
///              ◀───────────                     ◀───────────────────              ◀───────────────────
///              (2) take, fetch_all              (4) take, fetch_all               (6) serve_waiters
///
///              (7) poll_filled                  (9) begin                         (11) settle
/// LISTENING  0 ───────────▶ 1      BEGUN      0 ─────────▶ 1             RETURNED 0 ────────▶ 1
///              ◀───────────                     ◀─────────                        ◀────────
///              (8) enqueue, stop_receive        (10) revive                       (12) revive
///
///              (13) keep_orphan
/// DROPPED    0 ────────────────▶ 1
///              ◀────────────────
///              (14) break_orphans, leave
///
///              (15) ask_system                   (17) serve_requests
/// ASKED      0 ───────────────▶ 1   SERVES     0 ──────────────────▶ 1
///              ◀───────────────
///              (16) take_requests
///
///              (18) at_exit, of a tracer
/// TRACED     0 ───────────────────────▶ 1
///              ◀───────────────────────
///              (19) sync_traced
/// ```
pub(super) type Flags = u32;

/// The shared half of the queue holds something.
pub(super) const FILLED: Flags = 1;
/// The shared half of the queue holds something urgent.
pub(super) const URGENT: Flags = 2;
/// A send waits for room.
pub(super) const CROWDED: Flags = 4;
/// The receiver waits and is to be woken: `enqueue` takes its waker and clears this.
pub(super) const LISTENING: Flags = 8;
/// The body has begun to run.
pub(super) const BEGUN: Flags = 16;
/// The body has come to its end by itself.
pub(super) const RETURNED: Flags = 32;
/// The body has dropped questions unanswered, and it is not known yet whether that is its end.
pub(super) const DROPPED: Flags = 64;

/// There are requests beside the mailbox; see [`system`](super::system).
pub(super) const ASKED: Flags = 128;
/// The process is an actor, which serves such requests.
pub(super) const SERVES: Flags = 256;
/// Somebody is told what the process does; see [`trace`](super::trace).
pub(super) const TRACED: Flags = 512;

/// A buffer larger than this many bytes is made smaller when its process goes to sleep and needs little of
/// it: most processes are idle, and a burst should not cost memory for ever.
const KEPT_BYTES: usize = 512;

/// The half of a mailbox that senders put events in. Under the lock of the cell.
pub(super) struct Queue<M> {
    /// The events that have come and have not been fetched. Urgent ones are in front.
    events: VecDeque<Event<M>>,
    /// The number of urgent events.
    urgent: u32,
    /// The number of messages that have ever been accepted, modulo 2^32. What counts is how many of them are
    /// not taken yet.
    pub(super) sent: u32,
    /// The waker of the receiver, while it waits.
    pub(super) receiver: Option<StoredWaker>,
    /// The sends that wait for room, made when the first one does.
    room: Option<Box<Room>>,
}

/// The sends that wait for room in the mailbox.
struct Room {
    /// The sends that have no permit, the oldest first.
    waiters: LinkedSlab<Waiting>,
    /// The number of permits that sends have been granted and have not used yet.
    permits: u32,
}

/// A send that waits for room.
struct Waiting {
    /// `None` once it has been called: only where it is in front, and has several messages.
    waker: Option<StoredWaker>,
    /// True if it has several messages, and takes the permits for them itself.
    several: bool,
}

/// The half of a mailbox that the receiver has fetched. Made when it is first of use, since most processes
/// take their messages one at a time, and this lies in their futures.
pub(in crate::actor) struct Batch<M>(Option<Box<Fetched<M>>>);

/// The content of a [`Batch`].
struct Fetched<M> {
    /// The events that have been fetched and not been received. Urgent ones are in front.
    events: VecDeque<Event<M>>,
    /// The number of urgent events.
    urgent: u32,
}

impl<M> Queue<M> {
    pub(super) fn new() -> Queue<M> {
        Queue { events: VecDeque::new(), urgent: 0, sent: 0, receiver: None, room: None }
    }

    /// Adds an event: at the end, or behind the last urgent one.
    #[inline]
    pub(super) fn push(&mut self, event: Event<M>, urgent: bool) {
        if urgent {
            self.events.insert(self.urgent as usize, event);
            self.urgent += 1;
        } else {
            self.events.push_back(event);
        }
    }

    /// Adds events at the end, and returns the number of them.
    pub(super) fn append(&mut self, events: impl Iterator<Item = Event<M>>) -> usize {
        let before = self.events.len();
        self.events.extend(events);
        self.events.len() - before
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Returns what the flags should say of the events.
    #[inline]
    pub(super) fn flags(&self) -> Flags {
        let filled = if self.events.is_empty() { 0 } else { FILLED };
        let urgent = if self.urgent == 0 { 0 } else { URGENT };
        let listening = if self.receiver.is_some() { LISTENING } else { 0 };
        filled | urgent | listening
    }

    /// Returns for how many events there is memory.
    #[cfg(all(test, not(loom)))]
    pub(super) fn capacity(&self) -> usize {
        self.events.capacity()
    }

    fn pop(&mut self) -> Option<Event<M>> {
        let event = self.events.pop_front();
        self.urgent = self.urgent.saturating_sub(1);
        event
    }

    /// Takes the oldest message that is not urgent out, or else the oldest that is, to make room for another.
    pub(super) fn drop_oldest(&mut self) -> Option<Event<M>> {
        let urgent = self.urgent as usize;
        let normal = self.events.iter().skip(urgent).position(Event::is_message).map(|at| at + urgent);
        let at = normal.or_else(|| self.events.iter().take(urgent).position(Event::is_message))?;
        if at < urgent {
            self.urgent -= 1;
        }
        self.sent = self.sent.wrapping_sub(1);
        self.events.remove(at)
    }

    /// Takes the first event of this kind out; not for messages. Other events are never urgent.
    pub(super) fn remove_first(&mut self, wanted: impl Fn(&Event<M>) -> bool) -> Option<Event<M>> {
        let at = self.events.iter().position(wanted)?;
        debug_assert!(at >= self.urgent as usize);
        self.events.remove(at)
    }

    /// Takes everything out, for good.
    pub(super) fn drain(&mut self) -> VecDeque<Event<M>> {
        self.urgent = 0;
        std::mem::take(&mut self.events)
    }

    /// Takes out the events that are no messages.
    pub(super) fn drain_notices(&mut self) -> VecDeque<Event<M>> {
        let all = std::mem::take(&mut self.events).into_iter();
        // These are never urgent, so the urgent messages stay in front and as many as they are.
        let (messages, news) = all.partition(Event::is_message);
        self.events = messages;
        news
    }

    fn room(&mut self) -> &mut Room {
        self.room.get_or_insert_with(|| Box::new(Room { waiters: LinkedSlab::new(), permits: 0 }))
    }

    /// Enters a send behind those who wait, with the waker in `spare`, or replaces the waker of one that is
    /// there. The clone of `waker` is made without the lock: where it is needed and there is none, this
    /// changes nothing and returns false. What is left in `spare` is for the caller to drop without the lock.
    pub(super) fn wait_for_room(
        &mut self,
        wait_key: &mut WaitKey,
        several: bool,
        waker: &Waker,
        spare: &mut Option<StoredWaker>,
    ) -> bool {
        let waiters = &mut self.room().waiters;
        match wait_key.get().and_then(|key| waiters.find(key)) {
            Some(waiting) if waiting.waker.as_ref().is_some_and(|own| own.will_wake(waker)) => {}
            _ if spare.is_none() => return false,
            Some(waiting) => std::mem::swap(&mut waiting.waker, spare),
            None => wait_key.set(waiters.push_back(Waiting { waker: spare.take(), several })),
        }
        true
    }

    /// Returns whether the send with this key still waits. One whose key is set and that does not has a
    /// permit, or has been called.
    pub(super) fn is_waiting(&mut self, wait_key: &WaitKey) -> bool {
        let Some(room) = &mut self.room else { return false };
        wait_key.get().and_then(|key| room.waiters.find(key)).is_some_and(|waiting| waiting.waker.is_some())
    }

    /// Takes a send out, and unsets its key. The inner waker is that of a send which still waited; `None`
    /// says that it did not wait any more, because it had a permit.
    pub(super) fn stop_waiting(&mut self, wait_key: &mut WaitKey) -> Option<Option<StoredWaker>> {
        let key = wait_key.take()?;
        self.room.as_mut()?.waiters.remove(key).map(|waiting| waiting.waker)
    }

    /// Grants `free` permits to the sends that have waited longest, or calls the one that is to take them.
    /// The caller wakes them.
    pub(super) fn grant_permits(&mut self, free: u32, wakers: &mut Vec<StoredWaker>) {
        let Some(room) = &mut self.room else { return };
        for _ in 0..free {
            let Some(front) = room.waiters.front() else { return };
            wakers.extend(front.waker.take());
            if front.several {
                return;
            }
            room.permits += 1;
            room.waiters.pop_front();
        }
    }

    /// Returns how many permits are granted and not used yet.
    #[inline]
    pub(super) fn permits(&self) -> u32 {
        self.room.as_ref().map_or(0, |room| room.permits)
    }

    /// Takes so many permits out of the free ones.
    pub(super) fn take_permits(&mut self, count: u32) {
        self.room().permits += count;
    }

    /// Takes back permits that have been used, or given up.
    pub(super) fn use_permits(&mut self, count: u32) {
        if let Some(room) = &mut self.room {
            room.permits -= count;
        }
    }

    /// Returns true if a send waits for room, or has been called.
    pub(super) fn has_waiters(&self) -> bool {
        self.room.as_ref().is_some_and(|room| !room.waiters.is_empty())
    }

    /// Returns true if the receiver is to see to it that a send gets room.
    pub(super) fn is_crowded(&mut self) -> bool {
        let front = self.room.as_mut().and_then(|room| room.waiters.front());
        front.is_some_and(|front| front.waker.is_some())
    }

    /// Takes all waiting sends out, because no more messages are taken. The caller wakes them, so that they
    /// learn of it; permits mean nothing from now on.
    pub(super) fn close(&mut self) -> Vec<StoredWaker> {
        match self.room.take() {
            Some(mut room) => {
                std::iter::from_fn(|| room.waiters.pop_front()).filter_map(|waiting| waiting.waker).collect()
            }
            None => Vec::new(),
        }
    }
}

impl<M> Batch<M> {
    pub(super) fn new() -> Batch<M> {
        Batch(None)
    }

    fn fetched(&mut self) -> &mut Fetched<M> {
        self.0.get_or_insert_with(|| Box::new(Fetched { events: VecDeque::new(), urgent: 0 }))
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Event<M>> {
        let fetched = self.0.as_mut()?;
        let event = fetched.events.pop_front();
        fetched.urgent = fetched.urgent.saturating_sub(1);
        event
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|fetched| fetched.events.is_empty())
    }

    /// Returns for how many events there is memory.
    #[cfg(all(test, not(loom)))]
    pub(super) fn capacity(&self) -> usize {
        self.0.as_ref().map_or(0, |fetched| fetched.events.capacity())
    }

    /// Returns the event at `at`.
    pub(super) fn get(&self, at: usize) -> Option<&Event<M>> {
        self.0.as_ref()?.events.get(at)
    }

    /// Takes the event at `at` out.
    pub(super) fn remove(&mut self, at: usize) -> Option<Event<M>> {
        let fetched = self.0.as_mut()?;
        if at < fetched.urgent as usize {
            fetched.urgent -= 1;
        }
        fetched.events.remove(at)
    }

    /// Takes the first event of this kind out.
    pub(super) fn remove_first(&mut self, wanted: impl Fn(&Event<M>) -> bool) -> Option<Event<M>> {
        let at = self.0.as_ref()?.events.iter().position(wanted)?;
        self.remove(at)
    }

    /// Fetches what is urgent, in front of what is not.
    pub(super) fn fetch_urgent(&mut self, queue: &mut Queue<M>) {
        let fetched = self.fetched();
        for event in queue.events.drain(..queue.urgent as usize) {
            fetched.events.insert(fetched.urgent as usize, event);
            fetched.urgent += 1;
        }
        queue.urgent = 0;
    }

    /// Fetches everything, behind what is here.
    pub(super) fn fetch_all(&mut self, queue: &mut Queue<M>) {
        self.fetch_urgent(queue);
        let fetched = self.fetched();
        if fetched.events.is_empty() {
            std::mem::swap(&mut fetched.events, &mut queue.events);
        } else {
            fetched.events.append(&mut queue.events);
        }
    }

    /// Takes the next event, for a receiver whose batch has none that comes first: all of the queue is
    /// fetched on the way, if that is worth while and allowed.
    #[inline]
    pub(super) fn take(&mut self, queue: &mut Queue<M>, one_by_one: bool) -> Option<Event<M>> {
        if !self.is_empty() {
            self.fetch_urgent(queue);
            return self.pop();
        }
        if one_by_one || queue.events.len() <= 1 {
            return queue.pop();
        }
        let fetched = self.fetched();
        std::mem::swap(&mut fetched.events, &mut queue.events);
        fetched.urgent = std::mem::take(&mut queue.urgent);
        self.pop()
    }

    /// Puts what was fetched and not received back, in front of what has come since.
    pub(super) fn put_back(&mut self, queue: &mut Queue<M>) {
        let Some(fetched) = self.0.take() else { return };
        let mut later = std::mem::replace(&mut queue.events, fetched.events);
        let (early, late) = (fetched.urgent, std::mem::take(&mut queue.urgent));
        let normal = queue.events.split_off(early as usize);
        queue.events.extend(later.drain(..late as usize));
        queue.events.extend(normal);
        queue.events.extend(later);
        queue.urgent = early + late;
    }

    /// Gives back the memory that the events which are left do not need, because the process goes to sleep.
    /// Those events stay: a selective receive that waits leaves in the batch whatever it does not want.
    #[inline]
    pub(super) fn trim(&mut self, queue: &mut Queue<M>) {
        if let Some(fetched) = &mut self.0 {
            trim(&mut fetched.events);
            if fetched.events.capacity() == 0 {
                self.0 = None;
            }
        }
        trim(&mut queue.events);
    }
}

/// Gives memory of a large buffer back that is mostly unused. So many events must come before it grows again
/// that moving the few that are in it counts for nothing. Whatever is in the buffer stays in it.
#[inline]
fn trim<M>(buffer: &mut VecDeque<Event<M>>) {
    let (len, capacity) = (buffer.len(), buffer.capacity());
    if capacity * size_of::<Event<M>>() > KEPT_BYTES && len <= capacity / 4 {
        buffer.shrink_to(2 * len);
    }
}
