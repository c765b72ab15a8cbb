//! The things that tasks wait for, as tokio-console shows resources: channels, locks, timers, sockets.
//!
//! Nothing tells of them but the tasks that wait, by [what they say](twoply_core::task::observe). So those
//! who make and use such a thing pay nothing for this, and it is shown as long as a task waits for it: it has
//! the span of a resource, and each wait that of an operation on that. All that wait at a time share the span
//! of the thing: it exists for so long, and its number is its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tracing::Span;
use twoply_core::task::WaitingFor;

/// The things that tasks wait for, but for those that belong to one wait.
static RESOURCES: Mutex<BTreeMap<Thing, Weak<Resource>>> = Mutex::new(BTreeMap::new());

/// A thing that is waited for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    /// One of this type and number.
    Known(&'static str, u64),
    /// The timer of one wait.
    Timer(Instant),
}

impl Thing {
    /// Returns what `wait` is a wait for, if that is shown, and the name of the operation.
    fn of(wait: &WaitingFor) -> Option<(Thing, &'static str)> {
        let known = |name, number: usize, op| Some((Thing::Known(name, number as u64), op));
        let process = |serial, op| Some((Thing::Known("Process", serial), op));
        let io = |fd: Option<i32>, op| Some((Thing::Known("Descriptor", fd?.try_into().ok()?), op));
        match wait {
            WaitingFor::Message { channel } => known("Channel", *channel, "recv"),
            WaitingFor::Room { channel } => known("Channel", *channel, "send"),
            WaitingFor::Change { channel } => known("Watch", *channel, "changed"),
            WaitingFor::Lock { lock, .. } => known("Lock", *lock, "acquire"),
            WaitingFor::Signal { signal } => known("Signal", *signal, "notified"),
            WaitingFor::Promise { promise, .. } => known("Promise", *promise, "resolved"),
            WaitingFor::Task(task) => Some((Thing::Known("Task", task.id().as_u64()), "join")),
            WaitingFor::Mailbox { process: serial } => process(*serial, "receive"),
            WaitingFor::MailboxRoom { process: serial } => process(*serial, "send"),
            WaitingFor::ProcessEnd { process: serial } => process(*serial, "exit"),
            WaitingFor::Time(until) => Some((Thing::Timer((*until)?), "elapsed")),
            WaitingFor::Read { fd } => io(*fd, "read"),
            WaitingFor::Write { fd } => io(*fd, "write"),
            _ => None,
        }
    }
}

/// A thing as it is shown.
struct Resource {
    thing: Thing,
    span: Span,
}

impl Resource {
    fn of(thing: Thing) -> Arc<Resource> {
        if let Thing::Timer(_) = thing {
            return Resource::new(thing);
        }
        let listed = |list: &BTreeMap<Thing, Weak<Resource>>| list.get(&thing).and_then(Weak::upgrade);
        if let Some(resource) = listed(&lock(&RESOURCES)) {
            return resource;
        }
        // The subscriber is called without the lock. Of two who make it at once, one has made it for nothing.
        let made = Resource::new(thing);
        let mut list = lock(&RESOURCES);
        let other = listed(&list);
        if other.is_none() {
            list.insert(thing, Arc::downgrade(&made));
        }
        drop(list);
        other.unwrap_or(made)
    }

    fn new(thing: Thing) -> Arc<Resource> {
        let (concrete_type, kind) = match thing {
            Thing::Timer(_) => ("Sleep", "timer"),
            Thing::Known("Descriptor", _) => ("Descriptor", "io"),
            Thing::Known(name, _) => (name, "Sync"),
        };
        let span = tracing::trace_span!(
            target: "tokio::resource",
            parent: None,
            "runtime.resource",
            concrete_type,
            kind,
        );
        span.in_scope(|| match thing {
            Thing::Timer(until) => tracing::trace!(
                target: "runtime::resource::state_update",
                duration = until.saturating_duration_since(twoply_core::time::now()).as_millis() as u64,
                duration.unit = "ms",
                duration.op = "override",
            ),
            Thing::Known(_, number) => tracing::trace!(
                target: "runtime::resource::state_update",
                number,
                number.op = "override",
            ),
        });
        Arc::new(Resource { thing, span })
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        let mut list = lock(&RESOURCES);
        // Another one may be in the list by now.
        if list.get(&self.thing).is_some_and(|listed| listed.strong_count() == 0) {
            list.remove(&self.thing);
        }
    }
}

/// A wait of a task, as it is shown.
struct Op {
    resource: Arc<Resource>,
    name: &'static str,
    span: Span,
}

impl Op {
    fn begin(thing: Thing, name: &'static str) -> Op {
        let resource = Resource::of(thing);
        // The console looks for the resource among the spans that are entered.
        let span = resource.span.in_scope(
            || tracing::trace_span!(target: "tokio::resource", "runtime.resource.async_op", source = name),
        );
        Op { resource, name, span }
    }

    /// Tells that the running task has looked for its end, and waits on.
    fn tell(&self) {
        self.resource.span.in_scope(|| {
            self.span.in_scope(|| {
                tracing::trace!(target: "runtime::resource::poll_op", op_name = self.name, is_ready = false);
            });
        });
    }
}

/// The waits of one task.
#[derive(Default)]
pub(crate) struct Ops(Mutex<Vec<Op>>);

impl Ops {
    /// Shows that the running task, whose waits these are, waits for `waits` now and for nothing else.
    pub(crate) fn replace(&self, waits: &[WaitingFor]) {
        let mut before = std::mem::take(&mut *lock(&self.0));
        let mut now = Vec::with_capacity(waits.len());
        for (thing, name) in waits.iter().filter_map(Thing::of) {
            let is_same = |op: &Op| op.resource.thing == thing && op.name == name;
            let op = match before.iter().position(is_same) {
                Some(at) => before.swap_remove(at),
                None => Op::begin(thing, name),
            };
            op.tell();
            now.push(op);
        }
        let unused = std::mem::replace(&mut *lock(&self.0), now);
        drop((before, unused));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
