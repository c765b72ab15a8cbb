//! The reports of a supervisor to those who observe it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::error::StartError;
use crate::actor::{ExitReason, Pid};
use crate::channel::broadcast;

/// Something that has happened to a child; see [`Supervisor::on_report`](super::Supervisor::on_report) for an
/// example.
///
/// Its text is one line; with `{:#}` the stack follows that a panic came from, if that was
/// [kept](crate::task::keep_backtraces).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Report {
    /// A child has been started, for the first time.
    Started {
        /// The id of the child.
        id: Arc<str>,
        /// The process that it is, or was.
        pid: Pid,
    },
    /// A child has been started again.
    Restarted {
        /// The id of the child.
        id: Arc<str>,
        /// The process that it is, or was.
        pid: Pid,
    },
    /// A child will be restarted after a delay, with those that are restarted with it; see
    /// [`ChildSpec::backoff`](super::ChildSpec::backoff).
    RestartScheduled {
        /// The id of the child.
        id: Arc<str>,
        /// The time until then.
        delay: Duration,
    },
    /// A child has ended by itself.
    Ended {
        /// The id of the child.
        id: Arc<str>,
        /// The process that it is, or was.
        pid: Pid,
        /// The reason for which it has ended.
        reason: ExitReason,
    },
    /// A child has been stopped by its supervisor. Other reasons than [`ExitReason::Shutdown`] mean that it
    /// took too long or was killed by intention ([`ExitReason::Killed`]), or failed on its way out.
    Stopped {
        /// The id of the child.
        id: Arc<str>,
        /// The process that it is, or was.
        pid: Pid,
        /// The reason for which it has ended.
        reason: ExitReason,
    },
    /// There is nothing for a child to do; see [`Ignore`](super::Ignore).
    Ignored {
        /// The id of the child.
        id: Arc<str>,
    },
    /// A child could not be started, or restarted. In a restart it will be tried again.
    NotStarted(StartError),
    /// A child is not restarted, because its [own limit](super::ChildSpec::restart_limit) is reached. Where
    /// others depend on it the supervisor ends.
    GaveUp {
        /// The id of the child.
        id: Arc<str>,
    },
    /// A child is not restarted, because there have been too many restarts. The supervisor ends.
    TooManyRestarts {
        /// The id of the child.
        id: Arc<str>,
    },
}

/// An event of a stream of them: the report of one supervisor among several; see
/// [`Supervisor::events`](super::Supervisor::events).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SupervisorEvent {
    /// The process of the supervisor that reports.
    pub supervisor: Pid,
    /// The thing that it reports.
    pub report: Report,
}

impl fmt::Display for SupervisorEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.supervisor)?;
        self.report.fmt(f)
    }
}

/// The channel to those who follow what supervisors do.
pub(in crate::actor) type Events = broadcast::Sender<SupervisorEvent>;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Started { id, pid } => write!(f, "{id} has started as {pid}"),
            Report::Restarted { id, pid } => write!(f, "{id} has been restarted as {pid}"),
            Report::RestartScheduled { id, delay } => write!(f, "{id} is restarted in {delay:?}"),
            Report::Ended { id, pid, reason } => {
                write!(f, "{id} ({pid}) has ended: {reason}")?;
                write_backtrace(f, reason)
            }
            Report::Stopped { id, pid, reason } => {
                write!(f, "{id} ({pid}) has been stopped: {reason}")?;
                write_backtrace(f, reason)
            }
            Report::Ignored { id } => write!(f, "there is nothing to do for {id}"),
            Report::NotStarted(error) => error.fmt(f),
            Report::GaveUp { id } => write!(f, "{id} is not restarted any more: its limit is reached"),
            Report::TooManyRestarts { id } => write!(f, "{id} is not restarted any more: too many restarts"),
        }
    }
}

/// Writes the stack that a panic came from, if the long form is asked for and it was kept.
fn write_backtrace(f: &mut fmt::Formatter<'_>, reason: &ExitReason) -> fmt::Result {
    match reason.backtrace() {
        Some(backtrace) if f.alternate() => write!(f, "\n{backtrace}"),
        _ => Ok(()),
    }
}
