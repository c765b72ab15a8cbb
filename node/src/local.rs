//! The processes of this node that others may name: those that the program has exposed, which take messages,
//! and those whose pid has gone out, which can be linked, monitored and ended.

use std::any::Any;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use twoply_core::actor::remote::{self, AtExit, HookId, Signal};
use twoply_core::actor::{Pid, ProcessRef};
use twoply_core::channel::TrySendError;
use twoply_core::task::Spawner;

use crate::connection::Connection;
use crate::contain;
use crate::question::Way;
use crate::waiting::Held;
use crate::wire::{DecodeError, Decoder, FromTerm};

/// The processes that others may name.
#[derive(Default)]
pub(crate) struct Locals {
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    /// By their numbers. An entry is removed at the end of the process.
    known: BTreeMap<u64, Known>,
    /// The numbers of those that have a name for others.
    names: BTreeMap<Arc<str>, u64>,
    /// The numbers of the latest that have ended. A pid that comes back names one of them still, but a pid
    /// that a peer has invented names nobody: it must be equal to that of no process which is alive.
    ended: BTreeSet<u64>,
    /// The same numbers, in the order in which the processes have ended.
    ended_in_order: VecDeque<u64>,
}

impl Tables {
    /// Remembers that a process has ended, in place of the one that ended first if there are too many.
    fn remember(&mut self, serial: u64) {
        if !self.ended.insert(serial) {
            return;
        }
        self.ended_in_order.push_back(serial);
        if self.ended_in_order.len() > MAX_ENDED
            && let Some(first) = self.ended_in_order.pop_front()
        {
            self.ended.remove(&first);
        }
    }
}

/// The number of ended processes whose pids are still known.
const MAX_ENDED: usize = 1 << 16;

/// A process that others may name.
struct Known {
    pid: Pid,
    /// The hook that removes the entry. A call for another one is late.
    hook: HookId,
    /// The way in for messages, of one that is exposed.
    inlet: Option<Arc<dyn Inlet>>,
    /// Its names for others.
    names: Vec<Arc<str>>,
}

/// A process that is exposed, the way in for its messages, and one of its names.
#[cfg(feature = "observer")]
pub(crate) type Exposed = (Pid, Arc<dyn Inlet>, Option<Arc<str>>);

/// The way to a process of whatever type, for what comes from elsewhere.
pub(crate) trait Inlet: Send + Sync {
    /// Delivers a message that has come by this connection, or keeps it until there is room; `len` is what it
    /// has on the wire.
    fn message(
        &self,
        payload: Decoder<'_>,
        len: usize,
        connection: &Arc<Connection>,
    ) -> Result<(), DecodeError>;

    /// Delivers a signal behind the messages that wait.
    fn signal(&self, pid: &Pid, signal: Signal);

    /// Returns the `ProcessRef` of whatever type.
    fn process(&self) -> &dyn Any;

    /// Returns how many messages and signals wait for room in the mailbox. One that has just got there may be
    /// counted, too.
    #[cfg(feature = "observer")]
    fn waiting(&self) -> usize;
}

/// The error of giving a process a name for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Another process has the name, or it is one of the system's.
    #[error("the name is taken")]
    Taken,
    /// The process has ended, or is no process of this node.
    #[error("there is no such process here")]
    NoProcess,
}

impl Locals {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Nothing panics under this lock.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a process whose pid goes out. Returns false if it is over.
    pub(crate) fn note(self: &Arc<Self>, pid: &Pid) -> bool {
        let noted = self.enter(pid, None, None).is_ok();
        if !noted {
            self.tables().remember(pid.serial());
        }
        noted
    }

    /// Lets others send messages to a process, by a name too if there is one.
    pub(crate) fn expose(
        self: &Arc<Self>,
        pid: &Pid,
        inlet: Arc<dyn Inlet>,
        name: Option<&str>,
    ) -> Result<(), RegisterError> {
        self.enter(pid, Some(inlet), name)
    }

    fn enter(
        self: &Arc<Self>,
        pid: &Pid,
        inlet: Option<Arc<dyn Inlet>>,
        name: Option<&str>,
    ) -> Result<(), RegisterError> {
        let serial = pid.serial();
        let mut tables = self.tables();
        if name.is_some_and(|name| tables.names.contains_key(name)) {
            return Err(RegisterError::Taken);
        }
        // An unneeded value is dropped after the lock.
        let mut unneeded = None;
        let Tables { known, names, .. } = &mut *tables;
        let known = match known.entry(serial) {
            Entry::Occupied(known) => {
                let known = known.into_mut();
                match known.inlet {
                    Some(_) => unneeded = inlet,
                    None => known.inlet = inlet,
                }
                known
            }
            Entry::Vacant(place) => {
                // Under the lock, which the hook takes: so an end finds the entry, or is found by this.
                let hook: Arc<dyn AtExit> = Arc::new(Forget(Arc::downgrade(self)));
                let hook = remote::at_exit(pid, hook).ok_or(RegisterError::NoProcess)?;
                place.insert(Known { pid: pid.clone(), hook, inlet, names: Vec::new() })
            }
        };
        if let Some(name) = name {
            let name: Arc<str> = name.into();
            names.insert(Arc::clone(&name), serial);
            known.names.push(name);
        }
        drop(tables);
        drop(unneeded);
        Ok(())
    }

    pub(crate) fn pid(&self, serial: u64) -> Option<Pid> {
        self.tables().known.get(&serial).map(|known| known.pid.clone())
    }

    /// As [`Locals::pid`], of a process that may have ended, too.
    pub(crate) fn pid_of_any(&self, serial: u64) -> Option<Pid> {
        let tables = self.tables();
        let known = tables.known.get(&serial).map(|known| known.pid.clone());
        known.or_else(|| tables.ended.contains(&serial).then(|| remote::ended_pid(serial)))
    }

    pub(crate) fn named(&self, name: &str) -> Option<Pid> {
        let tables = self.tables();
        let serial = tables.names.get(name)?;
        tables.known.get(serial).map(|known| known.pid.clone())
    }

    /// Returns the way in for messages to a process, if it is exposed.
    pub(crate) fn inlet(&self, serial: u64) -> Option<Arc<dyn Inlet>> {
        self.tables().known.get(&serial)?.inlet.clone()
    }

    /// As [`Locals::inlet`], by a name.
    pub(crate) fn inlet_of_name(&self, name: &str) -> Option<Arc<dyn Inlet>> {
        let tables = self.tables();
        let serial = tables.names.get(name)?;
        tables.known.get(serial)?.inlet.clone()
    }

    /// Does to a process of this node what a signal says, behind the messages that wait for it.
    pub(crate) fn deliver(&self, pid: &Pid, signal: Signal) {
        match self.inlet(pid.serial()) {
            Some(inlet) => inlet.signal(pid, signal),
            None => remote::deliver(pid, signal),
        }
    }

    /// Takes a name back.
    pub(crate) fn unregister(&self, name: &str) -> bool {
        let mut tables = self.tables();
        let Some(serial) = tables.names.remove(name) else { return false };
        if let Some(known) = tables.known.get_mut(&serial) {
            known.names.retain(|other| **other != *name);
        }
        true
    }

    /// Forgets all processes, and takes the hooks back.
    pub(crate) fn clear(&self) {
        let tables = std::mem::take(&mut *self.tables());
        for known in tables.known.into_values() {
            remote::forget_hook(&known.pid, known.hook);
        }
    }

    /// Returns the processes that take messages of others: of those whose numbers are not below this, the
    /// first ones.
    #[cfg(feature = "observer")]
    pub(crate) fn exposed(&self, from: u64, at_most: usize) -> Vec<Exposed> {
        let tables = self.tables();
        let exposed = tables.known.range(from..).filter_map(|(_, known)| {
            Some((known.pid.clone(), known.inlet.clone()?, known.names.first().cloned()))
        });
        exposed.take(at_most).collect()
    }

    /// Returns how many processes take messages of others.
    #[cfg(feature = "observer")]
    pub(crate) fn count_exposed(&self) -> usize {
        self.tables().known.values().filter(|known| known.inlet.is_some()).count()
    }

    /// Returns how many processes others may name.
    pub(crate) fn len(&self) -> usize {
        self.tables().known.len()
    }
}

/// Removes a process at its end, before anybody is told of that.
struct Forget(Weak<Locals>);

impl AtExit for Forget {
    fn ended(&self, pid: &Pid, hook: HookId) {
        let Some(locals) = self.0.upgrade() else { return };
        let mut tables = locals.tables();
        let serial = pid.serial();
        if tables.known.get(&serial).is_some_and(|known| known.hook == hook) {
            let known = tables.known.remove(&serial);
            for name in known.iter().flat_map(|known| &known.names) {
                tables.names.remove(name);
            }
            tables.remember(serial);
            drop(tables);
            drop(known);
        }
    }
}

/// The way to a process whose messages are an `M`.
///
/// A reader never waits for room in one mailbox, or an answer that stands behind would not come in. What
/// finds the mailbox full waits here, in order with all that comes after, for a task that sends it when
/// there is room.
pub(crate) struct Typed<M> {
    process: ProcessRef<M>,
    queue: Arc<Mutex<Queue<M>>>,
    spawner: Spawner,
}

struct Queue<M> {
    items: VecDeque<Item<M>>,
    /// True while a task sends them.
    draining: bool,
    /// The items that this task has taken and not sent yet.
    taken: usize,
}

enum Item<M> {
    Message(M, Held),
    Signal(Pid, Signal),
}

impl<M: for<'a> FromTerm<'a> + Send + 'static> Typed<M> {
    pub(crate) fn new(process: ProcessRef<M>, spawner: Spawner) -> Typed<M> {
        let queue = Queue { items: VecDeque::new(), draining: false, taken: 0 };
        Typed { process, queue: Arc::new(Mutex::new(queue)), spawner }
    }

    fn others_wait(&self) -> bool {
        lock(&self.queue).draining
    }

    /// Queues an item behind others that wait; else hands it back.
    fn behind_others(&self, item: Item<M>) -> Option<Item<M>> {
        let mut queue = lock(&self.queue);
        if queue.draining {
            queue.items.push_back(item);
            return None;
        }
        Some(item)
    }

    /// Queues the first item that has to wait, and starts the task that sends it. The reader of another
    /// connection may have begun meanwhile.
    fn begin(&self, item: Item<M>) {
        let mut queue = lock(&self.queue);
        queue.items.push_back(item);
        let begun = std::mem::replace(&mut queue.draining, true);
        drop(queue);
        if !begun {
            drop(self.spawner.spawn(drain(self.process.clone(), Draining::new(&self.queue))));
        }
    }
}

fn lock<M>(queue: &Mutex<Queue<M>>) -> MutexGuard<'_, Queue<M>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The messages that a task takes out of its queue at a time, if there are as many.
const BATCH: usize = 1024;

/// A task that drains a queue. One that cannot be started, or is stopped, loses what is left, and the
/// connections end by that.
struct Draining<M> {
    queue: Arc<Mutex<Queue<M>>>,
    /// The items that have been taken out of the queue and not sent yet.
    taken: VecDeque<Item<M>>,
    /// The messages of them that are sent at once, and what counts those. Empty in between.
    messages: Vec<M>,
    held: Vec<Held>,
    /// True when it has drained the queue, which may be another task's by now.
    is_over: bool,
}

impl<M> Draining<M> {
    fn new(queue: &Arc<Mutex<Queue<M>>>) -> Draining<M> {
        let (taken, messages, held) = (VecDeque::new(), Vec::new(), Vec::new());
        Draining { queue: Arc::clone(queue), taken, messages, held, is_over: false }
    }

    /// Takes all that has come meanwhile, for a task that has sent what it had. Returns false if there is
    /// nothing: the queue is drained, and no longer this task's.
    fn take(&mut self) -> bool {
        let mut queue = lock(&self.queue);
        std::mem::swap(&mut queue.items, &mut self.taken);
        queue.taken = self.taken.len();
        queue.draining = queue.taken > 0;
        self.is_over = !queue.draining;
        if self.is_over {
            // No memory is kept for what rarely waits.
            queue.items = VecDeque::new();
        }
        !self.is_over
    }

    /// Takes the next messages out, as many as that at most.
    fn next_messages(&mut self, most: usize) {
        while self.messages.len() < most
            && matches!(self.taken.front(), Some(Item::Message(..)))
            && let Some(Item::Message(message, held)) = self.taken.pop_front()
        {
            self.messages.push(message);
            let other = match self.held.last_mut() {
                Some(last) => last.join(held),
                None => Some(held),
            };
            self.held.extend(other);
        }
    }

    /// Sends what has been taken.
    async fn send(&mut self, process: &ProcessRef<M>)
    where
        M: Send + 'static,
    {
        while let Some(item) = self.taken.front() {
            if matches!(item, Item::Signal(..)) {
                if let Some(Item::Signal(pid, signal)) = self.taken.pop_front() {
                    remote::deliver(&pid, signal);
                }
            } else {
                let wanted = self.taken.len().min(BATCH);
                match remote::room(process, wanted).await {
                    Ok(room) => {
                        self.next_messages(room.len());
                        let _ = contain::run(|| room.send(&mut self.messages));
                    }
                    Err(_) => self.next_messages(wanted),
                }
                // A process that has ended takes nothing more; its messages are dropped, as in Erlang. A
                // panic of one takes no others along.
                let _ = contain::run(|| self.messages.clear());
                self.held.clear();
            }
            lock(&self.queue).taken = self.taken.len();
        }
    }
}

impl<M> Drop for Draining<M> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut queue = lock(&self.queue);
        self.taken.append(&mut queue.items);
        (queue.draining, queue.taken) = (false, 0);
        drop(queue);
        for item in self.taken.drain(..) {
            match item {
                Item::Message(_, held) => held.lose(),
                Item::Signal(pid, signal) => remote::deliver(&pid, signal),
            }
        }
    }
}

/// Sends what waits until nothing does.
async fn drain<M: Send + 'static>(process: ProcessRef<M>, mut queue: Draining<M>) {
    while queue.take() {
        queue.send(&process).await;
    }
}

impl<M: for<'a> FromTerm<'a> + Send + 'static> Inlet for Typed<M> {
    fn message(
        &self,
        payload: Decoder<'_>,
        len: usize,
        connection: &Arc<Connection>,
    ) -> Result<(), DecodeError> {
        let way = Way { connection: Arc::clone(connection), asked: Some(self.process.pid()) };
        let mut payload = payload.with_context(&way);
        // A message with something behind it is dropped in there, too.
        let message = contain::read(|| {
            let message = M::from_term(&mut payload)?;
            payload.finish()?;
            Ok(message)
        })?;
        let hold = |message| Item::Message(message, connection.waiting.hold(&self.process.pid(), len));
        // Nobody but readers begins to queue, and order counts among what one of them delivers.
        let message = if self.others_wait() {
            match self.behind_others(hold(message)) {
                None => return Ok(()),
                Some(Item::Message(message, _)) => message,
                Some(Item::Signal(..)) => return Ok(()),
            }
        } else {
            message
        };
        // A process that has ended takes nothing more.
        if let Err(TrySendError::Full(message)) = self.process.try_send(message) {
            self.begin(hold(message));
        }
        Ok(())
    }

    fn process(&self) -> &dyn Any {
        &self.process
    }

    #[cfg(feature = "observer")]
    fn waiting(&self) -> usize {
        let queue = lock(&self.queue);
        queue.items.len() + queue.taken
    }

    fn signal(&self, pid: &Pid, signal: Signal) {
        if let Some(Item::Signal(pid, signal)) = self.behind_others(Item::Signal(pid.clone(), signal)) {
            remote::deliver(&pid, signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_has_drained_a_queue_leaves_it_to_the_next_one() {
        let queue = Queue::<()> { items: VecDeque::new(), draining: true, taken: 0 };
        let queue = Arc::new(Mutex::new(queue));
        let mut first = Draining::new(&queue);
        assert!(!first.take());
        // A reader begins another one before the first is dropped.
        let pid = remote::ended_pid(1);
        let signal = Signal::Demonitor { monitor: remote::monitor_ref() };
        lock(&queue).items.push_back(Item::Signal(pid, signal));
        lock(&queue).draining = true;
        let mut next = Draining::new(&queue);
        drop(first);
        assert!(lock(&queue).draining);
        assert!(next.take());
        assert_eq!(next.taken.len(), 1);
    }

    #[test]
    fn those_who_ended_first_are_forgotten_first() {
        let mut tables = Tables::default();
        let old = 1;
        (2..=MAX_ENDED as u64 + 1).for_each(|serial| tables.remember(serial));
        tables.remember(old);
        tables.remember(old);
        assert!(tables.ended.contains(&old) && !tables.ended.contains(&2) && tables.ended.contains(&3));
        assert_eq!((tables.ended.len(), tables.ended_in_order.len()), (MAX_ENDED, MAX_ENDED));
    }
}
