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

    /// Takes out what waits. The queue is gone if that is nothing, or if it `ends`: then those are woken who
    /// have waited for room. Before that there is none, or what is taken out would not count any more and has
    /// not gone out either.
    fn take(&self, name: &str, ends: bool) -> Vec<Step> {
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(name) else { return Vec::new() };
        let steps = mem::take(&mut queue.steps);
        let waiting = if ends || steps.is_empty() {
            queues.remove(name).map_or_else(Vec::new, |queue| queue.waiting)
        } else {
            Vec::new()
        };
        drop(queues);
        for waker in waiting {
            // A waker that panics is somebody else's.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
        steps
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
        drop(queues);
        if is_new {
            let opening = Opening { shared: Arc::clone(self), name: name.to_owned(), is_open: false };
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
            run(self.peers.queues.take(name, false), Some(connection));
        }
    }
}

/// The task that connects a node for which something waits. Where it fails, or is dropped, that is told.
struct Opening {
    shared: Arc<Shared>,
    name: String,
    /// True once it is connected.
    is_open: bool,
}

impl Opening {
    async fn open(mut self) {
        self.is_open = self.shared.connection(&self.name).await.is_ok();
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        // The queue of one that is open was ended before the connection was found. One that is there now is
        // another one's.
        if !self.is_open {
            run(self.shared.peers.queues.take(&self.name, true), None);
        }
    }
}
