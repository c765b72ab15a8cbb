//! Connecting on first use: what is done to a node that is not connected waits in one line, in order, until
//! the node is connected or cannot be.

use std::collections::BTreeMap;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Shared;
use crate::connection::Connection;

/// The bytes of messages in a line from which on others have to wait.
const FULL: usize = 1 << 20;
/// The steps in a line from which on signals are answered as if the node could not be connected to.
const TOO_MANY: usize = 1 << 20;

/// Something that is done to a node once it is connected, or told that it cannot be. It runs no code of the
/// user's but wakers and destructors.
pub(crate) type Step = Box<dyn FnOnce(Option<&Arc<Connection>>) + Send>;

/// The lines of the nodes that are being connected, by their names.
///
/// This lock is taken before that of the slots: so a line ends before anybody finds the connection.
#[derive(Default)]
pub(super) struct Lines(Mutex<BTreeMap<String, Line>>);

/// The line for one node. It is there until everything in it has been done.
#[derive(Default)]
struct Line {
    steps: Vec<Step>,
    /// The bytes of its messages.
    bytes: usize,
    /// Those who wait for room.
    waiting: Vec<Waker>,
}

/// An entry that is to be put into a line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message of so many bytes, which is refused if there is no room.
    Message(usize),
    /// A signal that has a node connected, and never waits.
    Signal,
    /// A signal that means nothing to a node that is not connected.
    Late,
}

impl Lines {
    fn lines(&self) -> MutexGuard<'_, BTreeMap<String, Line>> {
        // Nothing panics under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true if something waits for the node.
    pub(super) fn has(&self, name: &str) -> bool {
        self.lines().contains_key(name)
    }

    /// Takes out what waits, and wakes who waits for room. The line is gone if that is nothing, or if it
    /// `ends`.
    fn take(&self, name: &str, ends: bool) -> Vec<Step> {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(name) else { return Vec::new() };
        let (steps, waiting) = (mem::take(&mut line.steps), mem::take(&mut line.waiting));
        line.bytes = 0;
        if ends || steps.is_empty() {
            lines.remove(name);
        }
        drop(lines);
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
        let lines = self.peers.lines.lines();
        if lines.contains_key(name) {
            return None;
        }
        self.peers.up(name)
    }

    /// Does `step` to a node, at once if it is connected, or else behind what waits for it. Hands the step
    /// back where a message finds no room.
    pub(crate) fn when_open(self: &Arc<Self>, name: &str, kind: Kind, step: Step) -> Result<(), Step> {
        let mut lines = self.peers.lines.lines();
        let waits = lines.get(name);
        let is_new = waits.is_none();
        let connection = if is_new { self.peers.up(name) } else { None };
        let refused = match (waits, kind) {
            (Some(line), Kind::Message(_)) if line.bytes >= FULL => return Err(step),
            (Some(line), _) => line.steps.len() >= TOO_MANY,
            (None, kind) => kind == Kind::Late,
        };
        if connection.is_some() || refused {
            drop(lines);
            step(connection.as_ref());
            return Ok(());
        }
        let line = lines.entry(name.to_owned()).or_default();
        line.steps.push(step);
        if let Kind::Message(bytes) = kind {
            line.bytes += bytes.max(1);
        }
        drop(lines);
        if is_new {
            let opening = Opening { shared: Arc::clone(self), name: name.to_owned() };
            drop(self.spawner.spawn(opening.open()));
        }
        Ok(())
    }

    /// Waits for room in the line of a node.
    pub(crate) fn poll_line(&self, name: &str, cx: &mut Context<'_>) -> Poll<()> {
        // The clone is code of others, so it is made before.
        let waker = cx.waker().clone();
        let mut lines = self.peers.lines.lines();
        match lines.get_mut(name) {
            Some(line) if line.bytes >= FULL => {
                if !line.waiting.iter().any(|other| other.will_wake(&waker)) {
                    line.waiting.push(waker);
                }
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// Does what has waited for a connection that has just been entered, before anybody else finds it and
    /// before anything is read from it.
    pub(super) fn end_line(&self, connection: &Arc<Connection>) {
        let name = &connection.peer.name;
        while self.peers.lines.has(name) {
            run(self.peers.lines.take(name, false), Some(connection));
        }
    }
}

/// The task that connects a node for which something waits. Where it fails, or is dropped, that is told.
struct Opening {
    shared: Arc<Shared>,
    name: String,
}

impl Opening {
    async fn open(self) {
        if self.shared.connection(&self.name).await.is_ok() {
            // The line has been ended before the connection was found. One that is there now is another
            // one's.
            std::mem::forget(self);
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        run(self.shared.peers.lines.take(&self.name, true), None);
    }
}
