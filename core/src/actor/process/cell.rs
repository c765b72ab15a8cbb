//! The part of a process that others hold on to: its mailbox, its state, its relations, under one lock.
//!
//! References, pids, timers and the process itself share it; it outlives the process and is an empty shell
//! afterwards. Senders put messages in from any thread, which is in this file. The receiver is one: it alone
//! takes events out ([`receive`]). Signals are handled by whoever sends them, at once, under the receiver's
//! lock ([`signal`](super::signal)). Nobody ever holds the locks of two cells, and no waker, message or hook
//! is run or dropped under one.

mod receive;
mod room;

use std::sync::{Arc, Weak};

use super::event::Event;
use super::mailbox::{BEGUN, CROWDED, FILLED, Flags, LISTENING, Queue, RETURNED, URGENT};
use super::pid::{HERE, Identity};
use super::proxy::Proxy;
use super::signal::Life;
use crate::actor::Overflow;
use crate::base::sync::atomic::AtomicUsize;
use crate::base::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::base::sync::seq_cst::AtomicU32;
use crate::base::sync::{Mutex, MutexGuard, lock};
use crate::base::wake::{StoredWaker, wake_all};
use crate::channel::TrySendError;
use crate::kernel::backend::Backend;
use crate::kernel::strand::with_state;
use crate::kernel::task::TaskId;

pub(crate) use room::Reserved;

/// The place of the number of the process's task among the flags, above all of them. It tells the task from
/// another one that receives from the mailbox, of which there is hardly ever one.
const TASK_SHIFT: u32 = 12;

/// Returns as much of the number of a task as there is room for among the flags.
#[inline]
fn short(task: TaskId) -> u32 {
    task.as_u64() as u32 & (u32::MAX >> TASK_SHIFT)
}

/// The capacity of a mailbox without a limit: more messages than fit in memory.
pub(super) const UNLIMITED: u32 = u32::MAX;

/// A hook that gets the messages which nobody will receive.
pub(in crate::actor) type Undelivered<M> = Box<dyn Fn(M) + Send + Sync>;

/// The part of a process that others hold on to.
pub(in crate::actor) struct Cell<M> {
    /// The number of the process.
    serial: u64,
    /// The number of messages that the mailbox holds at most; [`UNLIMITED`]: no limit.
    capacity: u32,
    /// The number of messages that have ever been received, modulo 2^32. Written by the receiver alone.
    taken: AtomicU32,
    /// The state that the receiver and senders must know before they lock.
    flags: AtomicU32,
    /// The behaviour of a full mailbox.
    overflow: Overflow,
    /// The rest, under the lock.
    pub(super) inbox: Mutex<Inbox<M>>,
    /// The parts that most processes do without.
    pub(super) extra: Option<Box<Extra<M>>>,
}

/// The part of a cell that the lock guards.
pub(super) struct Inbox<M> {
    /// The half of the mailbox that senders put events in.
    pub(super) queue: Queue<M>,
    /// The state of the process and its relations to others.
    pub(super) life: Life,
}

/// The settings with which a process was started, where they are not the usual ones.
pub(in crate::actor) struct Extra<M> {
    /// The name of the process in reports.
    pub(in crate::actor) name: Option<Box<str>>,
    /// The hook that gets the messages which nobody has received.
    pub(in crate::actor) undelivered: Option<Undelivered<M>>,
    /// The backend that calls the hook when the process is over.
    pub(in crate::actor) home: Option<Weak<dyn Backend>>,
    /// The process elsewhere, or the pool, for which this cell stands.
    pub(in crate::actor) proxy: Option<Proxy<M>>,
    /// The number of references; `None` where the process lives on without any.
    pub(in crate::actor) references: Option<AtomicUsize>,
}

impl<M> Extra<M> {
    /// Returns the settings of a process of which nothing was said.
    pub(in crate::actor) fn none() -> Extra<M> {
        Extra { name: None, undelivered: None, home: None, proxy: None, references: None }
    }

    /// Returns true if there is anything to keep.
    fn says_something(&self) -> bool {
        self.name.is_some() || self.undelivered.is_some() || self.proxy.is_some() || self.references.is_some()
    }
}

impl<M> Cell<M> {
    pub(in crate::actor) fn new(
        capacity: u32,
        overflow: Overflow,
        trapping: bool,
        extra: Extra<M>,
    ) -> Arc<Cell<M>> {
        Arc::new(Cell {
            serial: super::serial::next(),
            capacity,
            taken: AtomicU32::new(0),
            flags: AtomicU32::new(0),
            overflow,
            inbox: Mutex::new(Inbox { queue: Queue::new(), life: Life::new(trapping) }),
            extra: extra.says_something().then(|| Box::new(extra)),
        })
    }

    /// Makes the cell of a process that is over, for what is elsewhere.
    pub(super) fn over(extra: Extra<M>) -> Arc<Cell<M>> {
        Arc::new(Cell {
            serial: 0,
            capacity: UNLIMITED,
            taken: AtomicU32::new(0),
            flags: AtomicU32::new(0),
            overflow: Overflow::Wait,
            inbox: Mutex::new(Inbox { queue: Queue::new(), life: Life::elsewhere() }),
            extra: Some(Box::new(extra)),
        })
    }

    #[inline]
    pub(super) fn identity(&self) -> Identity {
        match self.proxy() {
            Some(proxy) => proxy.pid().identity(),
            None => Identity { node: HERE, serial: self.serial },
        }
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        (self.capacity != UNLIMITED).then_some(self.capacity as usize)
    }

    /// Returns how many messages have been accepted and not received.
    pub(super) fn len(&self) -> usize {
        self.len_of(&lock(&self.inbox))
    }

    /// As [`Cell::len`], for a caller that holds the lock.
    pub(super) fn len_of(&self, inbox: &Inbox<M>) -> usize {
        inbox.queue.sent.wrapping_sub(self.taken.load(Relaxed)) as usize
    }

    pub(super) fn is_closed(&self) -> bool {
        let closed = lock(&self.inbox).life.is_closed();
        closed && self.proxy().is_none_or(|proxy| proxy.reason().is_some())
    }

    /// Drops a message as the builder has said.
    pub(super) fn undelivered(&self, message: M) {
        match self.extra.as_ref().and_then(|extra| extra.undelivered.as_ref()) {
            Some(hook) => hook(message),
            None => drop(message),
        }
    }

    /// Writes the flags that follow from the queue; `queue` proves that the lock is held.
    #[inline]
    pub(super) fn sync_flags(&self, queue: &Queue<M>) {
        let before = self.flags.load(Relaxed);
        let flags = (before & !(FILLED | URGENT | LISTENING)) | queue.flags();
        if flags != before {
            // Relaxed: a hint, see `Flags`.
            self.flags.store(flags, Relaxed);
        }
    }

    /// Puts an event in the queue. The waker that is returned is to be woken once the lock is free.
    #[inline]
    pub(super) fn enqueue(&self, queue: &mut Queue<M>, event: Event<M>, urgent: bool) -> Option<StoredWaker> {
        queue.push(event, urgent);
        let waker = queue.receiver.take();
        self.sync_flags(queue);
        waker
    }

    #[inline]
    pub(super) fn enqueue_message(
        &self,
        queue: &mut Queue<M>,
        message: M,
        urgent: bool,
    ) -> Option<StoredWaker> {
        queue.sent = queue.sent.wrapping_add(1);
        self.enqueue(queue, Event::Message(message), urgent)
    }

    /// Puts several messages in the queue, as [`Cell::enqueue`] does.
    pub(super) fn enqueue_messages(
        &self,
        queue: &mut Queue<M>,
        messages: impl Iterator<Item = M>,
    ) -> Option<StoredWaker> {
        let added = queue.append(messages.map(Event::Message));
        queue.sent = queue.sent.wrapping_add(added as u32);
        let waker = if added == 0 { None } else { queue.receiver.take() };
        self.sync_flags(queue);
        waker
    }

    /// Returns true if a message that has not waited must wait. It must, too, where there is room and
    /// somebody waits: whoever has made the room is about to grant it to the first of those.
    #[inline]
    fn is_full(&self, queue: &Queue<M>) -> bool {
        self.free(queue) == 0 || queue.has_waiters()
    }

    /// Returns for how many messages there is room. While a receive is under way it may be too few, but never
    /// too many.
    #[inline]
    fn free(&self, queue: &Queue<M>) -> u32 {
        // SeqCst is S2 of the mailbox's diagram when `CROWDED` has been set before. It costs a load nothing.
        let used = queue.sent.wrapping_sub(self.taken.load(SeqCst)).saturating_add(queue.permits());
        self.capacity.saturating_sub(used)
    }

    /// Sends `message` if there is room, or does what a full mailbox does. It never waits.
    #[inline]
    pub(super) fn try_send(&self, message: M, urgent: bool) -> Result<(), TrySendError<M>> {
        let mut inbox = lock(&self.inbox);
        if inbox.life.is_closed() {
            drop(inbox);
            return self.forward(message, urgent);
        }
        let queue = &mut inbox.queue;
        if self.is_full(queue) {
            return self.overflow(inbox, message, urgent);
        }
        let waker = self.enqueue_message(queue, message, urgent);
        drop(inbox);
        wake_all(waker);
        Ok(())
    }

    /// Does what a full mailbox does with `message`.
    #[cold]
    fn overflow(
        &self,
        mut inbox: MutexGuard<'_, Inbox<M>>,
        message: M,
        urgent: bool,
    ) -> Result<(), TrySendError<M>> {
        let dropped = match self.overflow {
            Overflow::Wait | Overflow::Fail => {
                drop(inbox);
                return Err(TrySendError::Full(message));
            }
            Overflow::DropNewest => {
                drop(inbox);
                message
            }
            Overflow::DropOldest => match inbox.queue.drop_oldest() {
                Some(Event::Message(oldest)) => {
                    let waker = self.enqueue_message(&mut inbox.queue, message, urgent);
                    drop(inbox);
                    wake_all(waker);
                    oldest
                }
                // A selective receive has seen all of them: they are not to be dropped any more.
                _ => {
                    drop(inbox);
                    message
                }
            },
        };
        self.undelivered(dropped);
        Ok(())
    }

    /// Returns true if as many messages have been received as had been sent when their number was `sent`.
    pub(super) fn has_received(&self, sent: u32) -> bool {
        // Modulo 2^32: no mailbox holds half as many.
        self.taken.load(Relaxed).wrapping_sub(sent).cast_signed() >= 0
    }

    /// Returns the number of messages that have ever been received, modulo 2^32.
    #[inline]
    pub(super) fn taken(&self) -> u32 {
        // Relaxed: a number that is too small is that of an earlier moment.
        self.taken.load(Relaxed)
    }

    /// Records the number of the process's task, as far as there is room for it. `_inbox` proves that the
    /// lock is held.
    pub(super) fn set_task(&self, _inbox: &Inbox<M>, task: TaskId) {
        let flags = self.flags.load(Relaxed) & ((1 << TASK_SHIFT) - 1);
        self.flags.store(flags | short(task) << TASK_SHIFT, Relaxed);
    }

    /// Counts `event`, which the receiver has taken out, if it is a message.
    #[inline]
    fn on_received(&self, event: &Event<M>) {
        if !event.is_message() {
            return;
        }
        with_state(|state| state.receives(|task| self.flags.load(Relaxed) >> TASK_SHIFT == short(task)));
        let taken = self.taken.load(Relaxed).wrapping_add(1);
        if self.capacity == UNLIMITED {
            self.taken.store(taken, Relaxed);
            return;
        }
        // R1 and R2 of the mailbox's diagram.
        self.taken.store(taken, SeqCst);
        if self.flags.load(SeqCst) & CROWDED != 0 {
            self.make_room();
        }
    }

    /// Returns true if the body has begun to run. Only for the process's own task.
    #[inline]
    pub(super) fn has_begun(&self) -> bool {
        self.has(BEGUN)
    }

    /// Returns true if the body has come to its end by itself. Only for the process's own task.
    #[inline]
    pub(super) fn has_returned(&self) -> bool {
        self.has(RETURNED)
    }

    /// Sets or clears a flag that is not the mailbox's. `_inbox` proves that the lock is held.
    pub(super) fn set_flag(&self, _inbox: &Inbox<M>, flag: Flags, on: bool) {
        let others = self.flags.load(Relaxed) & !flag;
        self.flags.store(others | if on { flag } else { 0 }, Relaxed);
    }

    #[inline]
    pub(super) fn has(&self, flags: Flags) -> bool {
        self.flags.load(Relaxed) & flags != 0
    }
}

#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, not(loom)))]
mod tests;
