//! [`Spec`]: a child's spec in the hands of its supervisor, without the type of the child's messages.
//!
//! From here on the supervisor alone starts the child, in its own process, and tells the references to it how
//! it stands.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::ChildKind;
use super::backoff::Backoff;
use super::handle::{Control, SupervisorRef};
use super::plan::Plan;
use super::report::Events;
use super::spec::{Restart, Shutdown};
use super::starter::MadeChild;
use crate::actor::{Pid, Process, ProcessRef};

/// The process that a [`ChildRef`] sends to at the moment, if there is one.
pub(super) enum Availability<M> {
    /// The child will run, or run again.
    Waiting,
    /// The child runs as this process, or has ended an instant ago.
    Running(ProcessRef<M>),
    /// The child will not run unless somebody asks its supervisor for it.
    Stopped,
}

/// A spec in the hands of a supervisor, without the type of the child's messages.
pub(super) struct Spec {
    pub(super) id: Arc<str>,
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
    pub(super) kind: ChildKind,
    pub(super) significant: bool,
    /// The child can be started once only.
    pub(super) once: bool,
    /// The most restarts of the child, and the period in which they are counted.
    pub(super) limit: Option<(usize, Duration)>,
    pub(super) backoff: Option<Backoff>,
    /// The plan of a child that is a supervisor.
    pub(super) below: Option<Arc<Plan>>,
    /// The half of the spec that knows the type of the messages.
    pub(super) start: Box<dyn Start>,
}

/// Starts a child and tells its references of it, whatever the type of its messages.
pub(super) trait Start: Send + Sync {
    /// Starts the child, linked to `supervisor`. If it is a supervisor, it is followed from `above`.
    fn start<'a>(&'a self, supervisor: &'a mut Process<Control>, above: &'a [Events]) -> StartFuture<'a>;

    /// Returns the processes of the last start: all of them if it has failed or was given up, else the
    /// child's own.
    fn leftover_processes(&self) -> Vec<Pid>;

    /// Tells the references that the child does not run, and whether it will. Returns false where they had
    /// been told before that it will not.
    fn set_not_running(&self, will_run: bool) -> bool;
}

/// The future of a start, without the type of the child's messages; `None` where there is nothing to do.
pub(super) type StartFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Started>, Box<dyn Error + Send + Sync>>> + Send + 'a>>;

/// A child that runs, without its type of messages.
pub(super) struct Started {
    pub(super) pid: Pid,
    /// Refers to the child, if that is a supervisor.
    pub(super) supervisor: Option<SupervisorRef>,
}

impl<M: Send + 'static> From<&MadeChild<M>> for Started {
    fn from(made: &MadeChild<M>) -> Started {
        Started { pid: made.process.pid(), supervisor: made.supervisor.clone() }
    }
}

impl Spec {
    /// Starts the child; see [`Start::start`].
    pub(super) fn start<'a>(
        &'a self,
        supervisor: &'a mut Process<Control>,
        above: &'a [Events],
    ) -> StartFuture<'a> {
        self.start.start(supervisor, above)
    }

    /// Returns what the last start may have left running; see [`Start::leftover_processes`].
    pub(super) fn leftover_processes(&self) -> Vec<Pid> {
        self.start.leftover_processes()
    }

    /// Tells the references that the child does not run, and will again.
    pub(super) fn will_run(&self) {
        self.start.set_not_running(true);
    }

    /// Tells the references that neither the child nor what is below it will run by itself.
    pub(super) fn will_not_run(&self) {
        let mut specs = vec![self];
        while let Some(spec) = specs.pop() {
            // The references below had been told if these had.
            if spec.start.set_not_running(false)
                && let Some(below) = &spec.below
            {
                specs.extend(below.children.iter().map(|child| &**child));
            }
        }
    }
}
