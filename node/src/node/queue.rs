//! Connecting on first use: what is done to a node that is not connected waits in one queue, in order, until
//! the node is connected or cannot be.

use std::collections::BTreeMap;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Shared;
use crate::connection::Connection;

/// The bytes of messages in a queue from which on others have to wait.
const FULL: usize = 1 << 20;
/// The steps in a queue from which on signals are answered as if the node could not be connected to.
const TOO_MANY: usize = 1 << 20;

/// Something that is done to a node once it is connected, or told that it cannot be. It runs no code of the
/// user's but wakers and destructors.
pub(crate) type Step = Box<dyn FnOnce(Option<&Arc<Connection>>) + Send>;

/// The queues of the nodes that are being connected, by their names.
///
/// This lock is taken before that of the slots: so a queue ends before anybody finds the connection.
#[derive(Default)]
pub(super) struct Queues(Mutex<BTreeMap<String, Queue>>);

/// The queue for one node. It is there until everything in it has been done.
#[derive(Default)]
struct Queue {
    steps: Vec<Step>,
    /// The bytes of its messages.
    bytes: usize,
    /// Those who wait for room.
    waiting: Vec<Waker>,
    /// That of the task which is to fail it if it cannot connect. There may be several queues for one node,
    /// one after the other, and one that a connection has begun to end is no task's.
    identity: Arc<()>,
}

/// An entry that is to be put into a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message of so many bytes, which is refused if there is no room.
    Message(usize),
    /// A signal that has a node connected, and never waits.
    Signal,
    /// A signal that means nothing to a node that is not connected.
    Late,
}

impl Queues {
    fn queues(&self) -> MutexGuard<'_, BTreeMap<String, Queue>> {
        // Nothing panics under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true if something waits for the node.
    pub(super) fn has(&self, name: &str) -> bool {
        self.queues().contains_key(name)
    }

    /// Takes out what waits. The queue is gone if that is nothing. Before that there is no room in it, or
    /// what is taken out would not count any more and has not gone out either.
    fn take(&self, name: &str) -> Vec<Step> {
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(name) else { return Vec::new() };
        let steps = mem::take(&mut queue.steps);
        // A connection ends it, whatever becomes of that connection: what else comes goes behind these.
        queue.identity = Arc::default();
        let ended = if steps.is_empty() { queues.remove(name) } else { None };
        drop(queues);
        ended.into_iter().for_each(Queue::tell);
        steps
    }

    /// Takes out all that waits, and the queue is gone, if that `is_it`.
    fn take_whole(&self, name: &str, is_it: impl FnOnce(&Queue) -> bool) -> Vec<Step> {
        let mut queues = self.queues();
        let ended = if queues.get(name).is_some_and(is_it) { queues.remove(name) } else { None };
        drop(queues);
        let Some(mut queue) = ended else { return Vec::new() };
        let steps = mem::take(&mut queue.steps);
        queue.tell();
        steps
    }
}

impl Queue {
    /// Wakes those who wait for room in a queue that is gone.
    fn tell(self) {
        for waker in self.waiting {
            // A waker that panics is somebody else's.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }
}

fn run(steps: Vec<Step>, connection: Option<&Arc<Connection>>) {
    for step in steps {
        // A waker or a destructor that panics holds up nobody behind it.
        let _ = catch_unwind(AssertUnwindSafe(|| step(connection)));
    }
}

impl Shared {
    /// Returns the connection to a node, if there is one and nothing waits in front of it.
    pub(crate) fn open(&self, name: &str) -> Option<Arc<Connection>> {
        let queues = self.peers.queues.queues();
        if queues.contains_key(name) {
            return None;
        }
        self.peers.up(name)
    }

    /// Does `step` to a node, at once if it is connected, or else behind what waits for it. Hands the step
    /// back where a message finds no room.
    pub(crate) fn when_open(self: &Arc<Self>, name: &str, kind: Kind, step: Step) -> Result<(), Step> {
        let mut queues = self.peers.queues.queues();
        let waits = queues.get(name);
        let is_new = waits.is_none();
        let connection = if is_new { self.peers.up(name) } else { None };
        let refused = match (waits, kind) {
            (Some(queue), Kind::Message(_)) if queue.bytes >= FULL => return Err(step),
            (Some(queue), _) => queue.steps.len() >= TOO_MANY,
            (None, kind) => kind == Kind::Late,
        };
        if connection.is_some() || refused {
            drop(queues);
            step(connection.as_ref());
            return Ok(());
        }
        let queue = queues.entry(name.to_owned()).or_default();
        queue.steps.push(step);
        if let Kind::Message(bytes) = kind {
            queue.bytes += bytes.max(1);
        }
        let identity = Arc::clone(&queue.identity);
        drop(queues);
        if is_new {
            let opening = Opening { shared: Arc::clone(self), name: name.to_owned(), identity };
            drop(self.spawner.spawn(opening.open()));
        }
        Ok(())
    }

    /// Waits for room in the queue of a node.
    pub(crate) fn poll_queue(&self, name: &str, cx: &mut Context<'_>) -> Poll<()> {
        // The clone is code of others, so it is made before.
        let waker = cx.waker().clone();
        let mut queues = self.peers.queues.queues();
        match queues.get_mut(name) {
            Some(queue) if queue.bytes >= FULL => {
                if !queue.waiting.iter().any(|other| other.will_wake(&waker)) {
                    queue.waiting.push(waker);
                }
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// Does what has waited for a connection that has just been entered, before anybody else finds it and
    /// before anything is read from it.
    pub(super) fn end_queue(&self, connection: &Arc<Connection>) {
        let name = &connection.peer.name;
        while self.peers.queues.has(name) {
            run(self.peers.queues.take(name), Some(connection));
        }
    }
}

/// The task that connects a node for which something waits. Where it fails, or is dropped, that is told.
struct Opening {
    shared: Arc<Shared>,
    name: String,
    /// That of the queue in which it waits.
    identity: Arc<()>,
}

impl Opening {
    async fn open(self) {
        let _ = self.shared.connection(&self.name).await;
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let peers = &self.shared.peers;
        // The peer may have connected by itself by now: then its connection ends this queue, or has, and one
        // that is there is another task's.
        let is_lost =
            |queue: &Queue| Arc::ptr_eq(&queue.identity, &self.identity) && !peers.is_up(&self.name);
        run(peers.queues.take_whole(&self.name, is_lost), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_could_not_connect_leaves_the_queue_of_the_next_one() {
        let queues = Queues::default();
        let begin = || {
            let mut queues = queues.queues();
            let queue = queues.entry("peer".to_owned()).or_default();
            queue.steps.push(Box::new(|_| ()));
            Arc::clone(&queue.identity)
        };
        let first = begin();
        // The peer has connected by itself, and has gone, before the task that was refused is dropped.
        assert_eq!((queues.take("peer").len(), queues.take("peer").len()), (1, 0));
        let next = begin();
        let whole = |of: &Arc<()>| queues.take_whole("peer", |queue| Arc::ptr_eq(&queue.identity, of)).len();
        assert_eq!((whole(&first), whole(&next)), (0, 1));
        assert!(!queues.has("peer"));
        // A connection that has begun to end a queue goes on with what comes meanwhile.
        let last = begin();
        assert_eq!(queues.take("peer").len(), 1);
        begin();
        assert_eq!((whole(&last), queues.take("peer").len()), (0, 1));
    }
}
