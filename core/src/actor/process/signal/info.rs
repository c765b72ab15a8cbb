//! The facts that others can look up of a process: its state, its mailbox, its relations.
//!
//! They are read under the lock of its cell, at one moment. The process notices nothing of it.

use std::fmt;

use super::super::cell::Cell;
use super::super::mailbox::BEGUN;
use super::super::pid::Pid;
use super::super::reference::ProcessRef;
use super::life::Phase;
use crate::base::sync::lock;
use crate::kernel::task::{ExitReason, TaskRef};

/// The state of a process at one moment.
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{self, Process, ProcessState}};
///
/// let process = actor::spawn(async |_: Process<()>| ())?;
/// process.ended().wait();
/// let state = process.info().expect("it ran here").state;
/// assert!(matches!(state, ProcessState::Ending | ProcessState::Ended));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessState {
    /// Its body has not begun to run.
    Starting,
    /// It waits for an event in its mailbox.
    Receiving,
    /// It does something else: it computes, or waits for something else.
    Running,
    /// It is about to end: its names are free, and its body is being dropped or has been told to end.
    Ending,
    /// Its body is gone.
    Ended,
}

/// The facts of a process at one moment; see [`ProcessRef::info`].
///
/// The names by which it is found are with [`Registry::names_of`](crate::actor::Registry::names_of). What it
/// waits for if that is no event is asked of its task, by [`TaskRef::waits`].
///
/// # Examples
/// ```
/// use twoply::actor::{Builder, Process};
///
/// let clerk = Builder::new().name("clerk").capacity(8);
/// let clerk = clerk.spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
/// let info = clerk.info().expect("it runs here");
/// assert_eq!((info.name.as_deref(), info.capacity, info.trap_exit), (Some("clerk"), Some(8), false));
/// assert_eq!(info.pid, clerk.pid());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// The pid of the process.
    pub pid: Pid,
    /// The name that it was given when it was started.
    pub name: Option<String>,
    /// The state that it was in.
    pub state: ProcessState,
    /// The reason of its end, once that is settled.
    pub reason: Option<ExitReason>,
    /// True if it traps exits.
    pub trap_exit: bool,
    /// The number of messages in its mailbox.
    pub messages: usize,
    /// The number of messages that it has received so far, modulo 2^32.
    pub received: u32,
    /// The number of messages that its mailbox holds at most; `None`: any number.
    pub capacity: Option<usize>,
    /// The process that has started it with a link, as long as the link is there.
    pub parent: Option<Pid>,
    /// The processes that it is linked to, in the order of the links.
    pub links: Vec<Pid>,
    /// The processes that it monitors, as often as it does.
    pub monitors: Vec<Pid>,
    /// The processes that monitor it, and others who wait for its end.
    pub monitored_by: Vec<Pid>,
    /// Its task. `None` before its first step, and when it has ended.
    pub task: Option<TaskRef>,
}

impl fmt::Display for ProcessInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pid)?;
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        match (self.state, &self.reason) {
            (ProcessState::Starting, _) => f.write_str(": starting")?,
            (ProcessState::Receiving, _) => f.write_str(": receiving")?,
            (ProcessState::Running, _) => f.write_str(": running")?,
            (ProcessState::Ending, None) => f.write_str(": ending")?,
            (ProcessState::Ending, Some(reason)) => write!(f, ": ending, {reason}")?,
            (ProcessState::Ended, None) => f.write_str(": ended")?,
            (ProcessState::Ended, Some(reason)) => write!(f, ": ended, {reason}")?,
        }
        write!(f, ", {} messages", self.messages)?;
        if let Some(capacity) = self.capacity {
            write!(f, " of {capacity}")?;
        }
        if self.trap_exit {
            f.write_str(", traps exits")?;
        }
        let mut list = |what: &str, pids: &[Pid]| {
            if pids.is_empty() {
                return Ok(());
            }
            write!(f, "\n    {what}")?;
            pids.iter().try_for_each(|pid| write!(f, " {pid}"))
        };
        list("started by", self.parent.as_slice())?;
        list("linked to", &self.links)?;
        list("monitors", &self.monitors)?;
        list("monitored by", &self.monitored_by)
    }
}

impl<M: Send + 'static> ProcessRef<M> {
    /// Returns the facts of the process at this moment. `None` for a process of another node.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{Builder, Process, ProcessState};
    /// use twoply::{Wait, actor};
    ///
    /// let parent = actor::spawn_fn(|me: Process<()>| {
    ///     let body = async |mut child: Process<u32>| drop(child.receive().await);
    ///     let child = Builder::new().name("child").capacity(8).spawn_link(&me, body).unwrap();
    ///     let info = child.info().unwrap();
    ///     assert_eq!((info.links, info.parent), (vec![me.pid()], Some(me.pid())));
    ///     child.try_send(7).unwrap();
    ///     child.ended().wait();
    ///     println!("{}", child.info().unwrap()); // <0.12> child: ended, normal, 0 messages of 8
    ///     assert_eq!(child.info().unwrap().state, ProcessState::Ended);
    /// })?;
    /// assert!(parent.ended().wait().is_normal());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn info(&self) -> Option<ProcessInfo> {
        self.pid().info()
    }
}

impl<M> Cell<M> {
    /// Returns the facts of the process with this pid, whose cell this is.
    pub(super) fn info(&self, pid: &Pid) -> ProcessInfo {
        let inbox = lock(&self.inbox);
        let messages = self.len_of(&inbox);
        let life = &inbox.life;
        let state = match life.phase {
            Phase::Over => ProcessState::Ended,
            Phase::Leaving | Phase::Doomed => ProcessState::Ending,
            Phase::Alive if !self.has(BEGUN) => ProcessState::Starting,
            Phase::Alive if inbox.queue.receiver.is_some() => ProcessState::Receiving,
            Phase::Alive => ProcessState::Running,
        };
        let (mut links, mut monitors, mut monitored_by, mut parent) =
            <(Vec<Pid>, Vec<_>, Vec<_>, _)>::default();
        if let Some(relations) = life.relations.as_deref() {
            links.extend(relations.links.values().into_iter().map(|link| link.other.clone()));
            monitors.extend(relations.watched.values().into_iter().map(|watched| watched.other.clone()));
            monitored_by.extend(relations.watchers.values().into_iter().cloned());
            parent = links.iter().find(|pid| relations.parent == Some(pid.identity())).cloned();
        }
        ProcessInfo {
            pid: pid.clone(),
            name: self.extra.as_ref().and_then(|extra| extra.name.as_deref()).map(str::to_owned),
            state,
            reason: life.reason(),
            trap_exit: life.trapping,
            messages,
            received: self.taken(),
            capacity: self.capacity(),
            parent,
            links,
            monitors,
            monitored_by,
            task: life.own_task().map(TaskRef::new),
        }
    }
}
