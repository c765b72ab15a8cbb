//! The events that a process receives: messages, and the news of links and monitors, in one queue.

use std::fmt;
use std::sync::Arc;

use super::pid::{MonitorRef, Pid};
use super::timer::TimerRef;
use crate::kernel::task::ExitReason;

/// An event that a process receives.
///
/// The news are boxed: they are rare, and a mailbox should take no more than its messages need.
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{self, Event, ExitReason, Process}};
///
/// let process = actor::spawn_fn(|mut me: Process<u32>| {
///     let mut sum = 0;
///     loop {
///         match me.receive().wait() {
///             Event::Message(number) => sum += number,
///             Event::Stop(_) => break ExitReason::shutdown_with(sum),
///             other => println!("not expected here: {other:?}"),
///         }
///     }
/// })?;
/// process.try_send(3)?;
/// process.try_send(4)?;
/// process.drain(ExitReason::Normal);
/// assert_eq!(process.ended().wait(), ExitReason::shutdown_with(7_u32));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
pub enum Event<M> {
    /// Somebody has sent a message.
    Message(M),
    /// A linked process has ended, or somebody has sent an exit signal; only for a process that
    /// [traps exits](crate::actor::Process::trap_exit).
    Exit(Box<Exit>),
    /// A monitored process has ended.
    Down(Box<Down>),
    /// A timer that the process has [started](crate::actor::Process::start_timer) is over.
    Timeout(TimerRef),
    /// The process is to stop for this reason: somebody [drains](crate::actor::ProcessRef::drain) it, or it
    /// was to [end without references](crate::actor::Builder::end_when_unreferenced) and there is none. This
    /// is behind all messages, and no more of them come. A process that goes on nevertheless receives signals
    /// only.
    Stop(Box<ExitReason>),
}

/// An exit signal that was trapped.
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{Builder, Event, ExitReason, Process}};
///
/// let trapping = Builder::new().trap_exit(true).spawn_fn(|mut me: Process<()>| {
///     let body = async |_: Process<()>| ExitReason::other("out of paper");
///     let child = me.spawn_link(body).unwrap();
///     let Event::Exit(exit) = me.receive().wait() else { panic!("nothing else comes") };
///     assert_eq!((exit.from, exit.reason), (child.pid(), ExitReason::other("out of paper")));
/// })?;
/// assert!(trapping.ended().wait().is_normal());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exit {
    /// The process that has ended, or that sent the signal; [`Pid::nobody`] when no process did.
    pub from: Pid,
    /// The reason of the signal.
    pub reason: ExitReason,
}

/// The end of a monitored process.
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{self, Event, Process}};
///
/// let watcher = actor::spawn_fn(|mut me: Process<()>| {
///     let child = actor::spawn(async |_: Process<()>| ()).unwrap();
///     let monitor = me.monitor(&child.pid());
///     let Event::Down(down) = me.receive().wait() else { panic!("nothing else comes") };
///     assert_eq!((down.monitor, down.from, down.name), (monitor, child.pid(), None));
/// })?;
/// assert!(watcher.ended().wait().is_normal());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Down {
    /// The monitor that this is about.
    pub monitor: MonitorRef,
    /// The process that has ended; [`Pid::nobody`] when the monitor was by a name that nobody had.
    pub from: Pid,
    /// The name by which the process was monitored, if it was by [one](crate::actor::Process::monitor_name).
    /// With the node of `from` it is Erlang's `{RegName, Node}`.
    pub name: Option<Arc<str>>,
    /// The reason for which the process has ended.
    pub reason: ExitReason,
}

impl<M> Event<M> {
    /// Returns the message, if it is one.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::Event;
    ///
    /// assert_eq!(Event::Message(3).message(), Some(3));
    /// assert!(Event::Message(3).is_message());
    /// ```
    pub fn message(self) -> Option<M> {
        match self {
            Event::Message(message) => Some(message),
            _ => None,
        }
    }

    /// Returns true if it is a message.
    #[inline]
    pub fn is_message(&self) -> bool {
        matches!(self, Event::Message(_))
    }
}

/// Says what kind of event it is, and asks nothing of `M`.
impl<M> fmt::Debug for Event<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Message(_) => f.write_str("Message(..)"),
            Event::Exit(exit) => exit.fmt(f),
            Event::Down(down) => down.fmt(f),
            Event::Timeout(timer) => timer.fmt(f),
            Event::Stop(reason) => f.debug_tuple("Stop").field(reason).finish(),
        }
    }
}
