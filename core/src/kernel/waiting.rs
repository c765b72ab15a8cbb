//! The waits of tasks, told to whoever looks.
//!
//! Each future of this library that is not ready passes its `Pending` through [`note`], with what it waits
//! for. Nobody keeps that while nobody looks: then it is one relaxed load, on the way out of a poll that is
//! about to stop its task.
//!
//! While somebody looks ([`observe`]), a task or a stack that has to wait is polled once more ([`describe`]).
//! All that [`note`] is passed in that poll is collected, and goes to the task's shared part. So what a task
//! waits for is all of it, of one moment, though combinators poll only what was woken; and nothing has to be
//! taken back when a wait ends. A task that went to wait before anybody looked is woken once, which has the
//! same effect (`task::dump`).
//!
//! It costs a second poll for each one that ends with `Pending`, but only while somebody looks. To poll a
//! future that is pending is always allowed. What a poll means does not change: one that turns out to be
//! ready is ready.
//!
//! The alternatives, and why they were not taken, are in the rationale of `ARCHITECTURE.md`.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::Poll;
use std::time::Instant;

use crate::event::reactor::{Direction, IoHandle};
use crate::kernel::backend::StrandState;
use crate::kernel::strand::with_state;
use crate::kernel::task::{Header, TaskId, TaskRef};

/// A thing that a task waits for.
///
/// Channels and the like have no names; the numbers tell them apart as long as they exist. A process has the
/// number that its [`Pid`](crate::actor::Pid::serial) has.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::task::{self, WaitingFor};
/// use twoply::{Wait, channel};
///
/// let (_tx, rx) = channel::bounded::<u32>(1);
/// let reader = task::Builder::new().name("reader").spawn(async move { rx.recv().await })?;
/// let dump = task::dump([twoply::spawner()]).limit(Duration::from_secs(10)).wait();
/// let waits = &dump.task(reader.id()).unwrap().waits;
/// assert!(matches!(waits[..], [WaitingFor::Message { .. }]));
/// println!("{}", waits[0]); // a message of channel 0x7f3a1c0012d0
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WaitingFor {
    /// A message of a channel.
    Message {
        /// The number of the channel.
        channel: usize,
    },
    /// Room for a message in a channel, or somebody who takes it.
    Room {
        /// The number of the channel.
        channel: usize,
    },
    /// A new value of a watch channel.
    Change {
        /// The number of the channel.
        channel: usize,
    },
    /// A lock, or permits of a semaphore.
    Lock {
        /// The number of the lock.
        lock: usize,
        /// The tasks that are known to have it: not those with owned guards, which may be anywhere, nor those
        /// with permits of a semaphore, which belong to nobody; and of many readers four at most.
        holders: Vec<TaskId>,
    },
    /// A signal: a notification, an event, the others at a barrier, or the cancellation of a token.
    Signal {
        /// The number of the signal.
        signal: usize,
    },
    /// The value of a promise, such as the answer to a question.
    Promise {
        /// The number of the promise.
        promise: usize,
        /// The task that owes it, if that is known.
        owner: Option<TaskRef>,
    },
    /// The result of a task.
    Task(TaskRef),
    /// The end of several tasks: of the next of a group, of all of a scope or of a backend.
    Tasks,
    /// An event in the mailbox of a process.
    Mailbox {
        /// The number of the process.
        process: u64,
    },
    /// Room in the mailbox of a process.
    MailboxRoom {
        /// The number of the process.
        process: u64,
    },
    /// The end of a process.
    ProcessEnd {
        /// The number of the process.
        process: u64,
    },
    /// A time; `None` is never.
    Time(Option<Instant>),
    /// Something to read from a descriptor, or a connection to accept.
    Read {
        /// The descriptor; `None` for one that is simulated.
        fd: Option<RawFd>,
    },
    /// Room to write to a descriptor, or the end of its connecting.
    Write {
        /// The descriptor; `None` for one that is simulated.
        fd: Option<RawFd>,
    },
    /// The end of code that blocks, and was sent to another thread.
    Offload {
        /// The name of the code, if it has one.
        name: Option<Arc<str>>,
    },
    /// Somebody who resumes it; see [`suspension`](crate::future::suspension).
    Resumption,
    /// Its turn: it has been woken already, and lets others go first.
    Turn,
    /// The answers of tasks that have been asked what they wait for; see [`dump`](crate::task::dump).
    Dump,
}

impl WaitingFor {
    /// Returns what an operation on `io` waits for.
    pub(crate) fn io(io: &IoHandle, direction: Direction) -> WaitingFor {
        let fd = match io {
            IoHandle::Descriptor(fd) => Some(fd.as_raw_fd()),
            IoHandle::Simulated(_) => None,
        };
        match direction {
            Direction::Read => WaitingFor::Read { fd },
            Direction::Write => WaitingFor::Write { fd },
        }
    }

    /// Returns the task that is known to owe what is waited for.
    pub fn owner(&self) -> Option<&TaskRef> {
        match self {
            WaitingFor::Promise { owner, .. } => owner.as_ref(),
            WaitingFor::Task(task) => Some(task),
            _ => None,
        }
    }

    /// Returns whether both are waits for the same thing.
    pub(crate) fn is_same(&self, other: &WaitingFor) -> bool {
        use WaitingFor::*;
        match (self, other) {
            (Message { channel: a }, Message { channel: b })
            | (Room { channel: a }, Room { channel: b })
            | (Change { channel: a }, Change { channel: b })
            | (Lock { lock: a, .. }, Lock { lock: b, .. })
            | (Signal { signal: a }, Signal { signal: b }) => a == b,
            (Mailbox { process: a }, Mailbox { process: b })
            | (MailboxRoom { process: a }, MailboxRoom { process: b })
            | (ProcessEnd { process: a }, ProcessEnd { process: b }) => a == b,
            (Read { fd: a }, Read { fd: b }) | (Write { fd: a }, Write { fd: b }) => a == b,
            (Promise { promise: a, .. }, Promise { promise: b, .. }) => a == b,
            (Task(a), Task(b)) => a.id() == b.id(),
            (Time(a), Time(b)) => a == b,
            _ => {
                std::mem::discriminant(self) == std::mem::discriminant(other)
                    && matches!(self, Tasks | Offload { .. } | Resumption | Turn | Dump)
            }
        }
    }
}

impl fmt::Display for WaitingFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitingFor::Message { channel } => write!(f, "a message of channel {channel:#x}"),
            WaitingFor::Room { channel } => write!(f, "room in channel {channel:#x}"),
            WaitingFor::Change { channel } => write!(f, "a change in watch channel {channel:#x}"),
            WaitingFor::Lock { lock, holders } => {
                write!(f, "lock {lock:#x}")?;
                holders.iter().enumerate().try_for_each(|(n, holder)| {
                    write!(f, "{}{holder}", if n == 0 { ", which is with task " } else { ", " })
                })
            }
            WaitingFor::Signal { signal } => write!(f, "signal {signal:#x}"),
            WaitingFor::Promise { promise, owner: Some(task) } => {
                write!(f, "promise {promise:#x}, which {task} owes")
            }
            WaitingFor::Promise { promise, owner: None } => write!(f, "promise {promise:#x}"),
            WaitingFor::Task(task) => write!(f, "the result of {task}"),
            WaitingFor::Tasks => f.write_str("the end of tasks"),
            WaitingFor::Mailbox { process } => write!(f, "an event in the mailbox of <0.{process}>"),
            WaitingFor::MailboxRoom { process } => write!(f, "room in the mailbox of <0.{process}>"),
            WaitingFor::ProcessEnd { process } => write!(f, "the end of <0.{process}>"),
            WaitingFor::Time(Some(at)) => {
                write!(f, "a time in {:.1?}", at.saturating_duration_since(crate::kernel::sleep::now()))
            }
            WaitingFor::Time(None) => f.write_str("a time that never comes"),
            WaitingFor::Read { fd: Some(fd) } => write!(f, "something to read from descriptor {fd}"),
            WaitingFor::Read { fd: None } => f.write_str("something to read from a simulated socket"),
            WaitingFor::Write { fd: Some(fd) } => write!(f, "room to write to descriptor {fd}"),
            WaitingFor::Write { fd: None } => f.write_str("room to write to a simulated socket"),
            WaitingFor::Offload { name: Some(name) } => write!(f, "the end of offloaded code, {name:?}"),
            WaitingFor::Offload { name: None } => f.write_str("the end of offloaded code"),
            WaitingFor::Resumption => f.write_str("somebody who resumes it"),
            WaitingFor::Turn => f.write_str("its turn"),
            WaitingFor::Dump => f.write_str("what tasks wait for"),
        }
    }
}

/// Returns the number by which a thing that has no other is told apart.
pub(crate) fn address_of<T: ?Sized>(thing: &T) -> usize {
    std::ptr::from_ref(thing).addr()
}

/// The number of those who look.
static OBSERVERS: AtomicU32 = AtomicU32::new(0);

/// The number of times that somebody has begun to look when nobody did. A description from before is out of
/// date.
static PERIOD: AtomicU32 = AtomicU32::new(0);

/// As long as this lives, each task of the process keeps what it waits for, and since when; made by
/// [`observe`].
#[derive(Debug)]
#[must_use = "tasks keep what they wait for as long as this lives"]
pub struct Observation(());

/// Has each task keep what it waits for and since when, until what this returns is dropped.
///
/// A [`dump`](crate::task::dump) looks by itself, at what tasks wait for at that time. Under an observation
/// that is in force when they begin to wait it also knows how long they have. The price is that a task which
/// has to wait is polled twice.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, task};
///
/// let _observation = task::observe();
/// let idle = task::Builder::new().name("idle").spawn(std::future::pending::<()>())?;
/// let dump = task::dump([twoply::spawner()]).limit(Duration::from_secs(10)).wait();
/// assert!(dump.task(idle.id()).unwrap().waiting_since.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn observe() -> Observation {
    if OBSERVERS.fetch_add(1, Relaxed) == 0 {
        PERIOD.fetch_add(1, Relaxed);
    }
    Observation(())
}

impl Observation {
    /// Returns whether nobody else looks.
    pub(crate) fn is_only(&self) -> bool {
        OBSERVERS.load(Relaxed) == 1
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        OBSERVERS.fetch_sub(1, Relaxed);
    }
}

/// Returns whether anybody looks.
#[inline]
pub(crate) fn is_observed() -> bool {
    // Relaxed: whoever looks wakes those whom it wants to hear, after it has stored this.
    OBSERVERS.load(Relaxed) != 0
}

/// Passes `polled` through. If it is pending and somebody looks, `waiting_for` says what for.
#[inline]
pub(crate) fn note<T>(polled: Poll<T>, waiting_for: impl FnOnce() -> WaitingFor) -> Poll<T> {
    if polled.is_pending() && is_observed() {
        tell(waiting_for, false);
    }
    polled
}

/// As [`note`], in place of what the future has told that `polled` comes from.
#[inline]
pub(crate) fn note_instead<T>(polled: Poll<T>, waiting_for: impl FnOnce() -> WaitingFor) -> Poll<T> {
    if polled.is_pending() && is_observed() {
        tell(waiting_for, true);
    }
    polled
}

#[cold]
fn tell(waiting_for: impl FnOnce() -> WaitingFor, instead: bool) {
    with_state(|state| with_description(state, |description| description.push(waiting_for(), instead)));
}

/// Returns whether the running poll is one that was made for a description only.
#[inline]
pub(crate) fn is_describing() -> bool {
    is_observed() && is_description()
}

#[cold]
fn is_description() -> bool {
    with_state(|state| with_description(state, |_| ()).is_some())
}

/// Calls `f` with the description that the running poll is made for, if it is.
fn with_description<R>(state: &StrandState, f: impl FnOnce(&mut Description) -> R) -> Option<R> {
    let mut description = state.telling().description().take();
    let found = description.as_deref_mut().filter(|description| description.is_of(state)).map(f);
    state.telling().description().set(description);
    found
}

/// A thing that a task is the body of: a process, of which nothing is known here.
pub(crate) trait Subject: Send + Sync {
    /// Returns what others know it by.
    fn identify(self: Arc<Self>) -> Box<dyn Any + Send>;
}

/// The state of a stack that those who look need.
#[derive(Default)]
pub(crate) struct Telling {
    /// The waits that the running poll tells of, if it is made for that.
    description: Cell<Option<Box<Description>>>,
    /// The thing that a running task is the body of, and the address of the task's header.
    subject: Cell<Option<(usize, Arc<dyn Subject>)>>,
}

impl Telling {
    pub(crate) fn description(&self) -> &Cell<Option<Box<Description>>> {
        &self.description
    }

    /// Returns what `task` is the body of, if it runs by [`with_subject`].
    fn subject_of(&self, task: &Header) -> Option<Arc<dyn Subject>> {
        let current = self.subject.take();
        let found = current.as_ref().filter(|(header, _)| *header == std::ptr::from_ref(task).addr());
        let found = found.map(|(_, subject)| Arc::clone(subject));
        self.subject.set(current);
        found
    }
}

/// Calls `code`, which is the body of `subject` and of the running task. Where that is a future which is
/// suspended, its task says itself what it is the body of ([`describe`]); this is for stacks that block.
pub(crate) fn with_subject<R>(subject: Arc<dyn Subject>, code: impl FnOnce() -> R) -> R {
    /// Restores what was there before, of a task whose poll is around this one.
    struct Restore<'a>(&'a Telling, Option<(usize, Arc<dyn Subject>)>);
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            self.0.subject.set(self.1.take());
        }
    }
    with_state(|state| {
        let task = state.header().map_or(0, |task| std::ptr::from_ref(task).addr());
        let telling = state.telling();
        let _restore = Restore(telling, telling.subject.replace(Some((task, subject))));
        code()
    })
}

/// The largest number of waits of one task that are listed.
pub(crate) const MOST_WAITS: usize = 16;

/// The waits that a poll tells of which is made for that.
pub(crate) struct Description {
    /// The address of the header of the task whose poll it is.
    task: usize,
    /// The number of waits that are under way on the stack. Those that the poll begins by itself are not part
    /// of it.
    depth: u32,
    /// The things that it waits for, at most [`MOST_WAITS`].
    pub(crate) waits: Vec<WaitingFor>,
    /// True if the task waits for more things than are listed.
    pub(crate) has_more: bool,
    /// True if the poll blocks a stack.
    pub(crate) blocks_stack: bool,
    /// The thing that the task is the body of, where that is known.
    pub(crate) subject: Option<Arc<dyn Subject>>,
    /// The time when it was made, by the clock of the stack.
    pub(crate) at: Instant,
    /// The value of [`PERIOD`] then.
    pub(crate) period: u32,
}

impl Description {
    pub(crate) fn new(
        state: &StrandState,
        task: &Header,
        blocks_stack: bool,
        subject: Option<Arc<dyn Subject>>,
    ) -> Description {
        Description {
            task: std::ptr::from_ref(task).addr(),
            depth: state.depth(),
            waits: Vec::new(),
            has_more: false,
            blocks_stack,
            subject: subject.or_else(|| state.telling().subject_of(task)),
            at: crate::kernel::sleep::now(),
            period: PERIOD.load(Relaxed),
        }
    }

    fn is_of(&self, state: &StrandState) -> bool {
        self.depth == state.depth()
            && state.header().is_some_and(|task| std::ptr::from_ref(task).addr() == self.task)
    }

    fn push(&mut self, waiting_for: WaitingFor, instead: bool) {
        if instead && !self.has_more {
            self.waits.pop();
        }
        if self.waits.last().is_some_and(|last| last.is_same(&waiting_for)) {
            return;
        }
        match self.waits.len() {
            MOST_WAITS => self.has_more = true,
            _ => self.waits.push(waiting_for),
        }
    }

    /// Returns whether both tell the same, in the same period.
    pub(crate) fn is_same(&self, other: &Description) -> bool {
        self.period == other.period
            && self.waits.len() == other.waits.len()
            && self.waits.iter().zip(&other.waits).all(|(one, other)| one.is_same(other))
    }
}

/// Makes `poll` once more, because it has been pending and somebody looks; if it still is, the shared part of
/// the running task gets to know what for. `subject` is what the task is the body of, where the
/// caller knows that.
#[cold]
pub(crate) fn describe<T>(
    state: &StrandState,
    blocks_stack: bool,
    subject: Option<Arc<dyn Subject>>,
    poll: impl FnOnce() -> Poll<T>,
) -> Poll<T> {
    /// Restores the description of a poll around this one.
    struct Restore<'a>(&'a Cell<Option<Box<Description>>>, Option<Box<Description>>);
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            self.0.set(self.1.take());
        }
    }
    // Outside of any task there is nobody to tell. But the caller may have forgotten wake-ups, to begin anew.
    let Some(task) = state.header() else { return poll() };
    let fresh = Box::new(Description::new(state, task, blocks_stack, subject));
    state.begin_round();
    let restore = Restore(state.telling().description(), state.telling().description().replace(Some(fresh)));
    let polled = poll();
    let description = state.telling().description().take();
    drop(restore);
    if polled.is_pending()
        && let Some(description) = description
    {
        tell_all(task, description);
    }
    polled
}

/// Has everybody know what the running task waits for: what lies around its polls, and those who look.
fn tell_all(task: &Header, description: Box<Description>) {
    if let Some(layers) = task.layers() {
        layers.waits(&description.waits);
    }
    task.shared().set_description(description);
}

/// Tells what lies around the polls of the running task that its stack goes on, whose wait was described.
#[cold]
pub(crate) fn tell_end(state: &StrandState) {
    if let Some(layers) = state.header().and_then(Header::layers) {
        layers.waits(&[]);
    }
}

/// As [`describe`], for a stack that is about to block in a system call: there is nothing to poll.
#[cold]
pub(crate) fn describe_call(state: &StrandState, waiting_for: WaitingFor) {
    let Some(task) = state.header() else { return };
    let mut description = Box::new(Description::new(state, task, true, None));
    description.push(waiting_for, false);
    tell_all(task, description);
}
