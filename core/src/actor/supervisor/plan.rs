//! [`Plan`]: the children of a supervisor and what it does with them, and how its process is started.

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::erased::Spec;
use super::error::{PlanError, StartError};
use super::handle::SupervisorRef;
use super::report::{Events, Report};
use super::spec::Restart;
use super::{AutoShutdown, Strategy, engine, starter};
use crate::actor::{Builder, Process, Registry};
use crate::channel::oneshot;
use crate::kernel::backend::Backend;
use crate::kernel::strand::trampoline;

/// The most restarts within [`PERIOD`] unless the user says otherwise, as in OTP.
const INTENSITY: usize = 1;

/// The period in which restarts are counted, unless the user says otherwise; as in OTP.
const PERIOD: Duration = Duration::from_secs(5);

/// The user's function that is called with each report.
type Observer = Arc<dyn Fn(&Report) + Send + Sync>;

/// The children of a supervisor and what it does with them. A plan outlives the supervisor's process, which
/// may be started again.
pub(super) struct Plan {
    pub(super) strategy: Strategy,
    /// The most restarts in one `period`.
    pub(super) intensity: usize,
    pub(super) period: Duration,
    pub(super) auto_shutdown: AutoShutdown,
    /// True if the supervisor is over, in order, when none of the significant children is left: the last one
    /// has ended by itself, or been stopped by a request, or has nothing to do. That is no automatic shutdown
    /// as OTP has it.
    pub(super) needs_children: bool,
    /// The most children that the supervisor may have, whether they run or not.
    pub(super) max_children: usize,
    pub(super) observer: Option<Observer>,
    /// The channels to those who follow what this supervisor does.
    pub(super) events: Vec<Events>,
    /// The channels to those who follow what this supervisor does, and all below it.
    pub(super) tree_events: Vec<Events>,
    /// The children that the supervisor starts with, in order.
    pub(super) children: Vec<Arc<Spec>>,
}

/// Drops what is below by a loop, because supervisors may be nested to any depth.
impl Drop for Plan {
    fn drop(&mut self) {
        let children = std::mem::take(&mut self.children);
        trampoline(move || drop(children));
    }
}

/// All that is needed to start a supervisor, any number of times.
pub(super) struct SupervisorTemplate {
    pub(super) name: Option<Box<str>>,
    /// True if it inherits the name of the task that starts it.
    pub(super) inherits_name: bool,
    pub(super) backend: Option<Arc<dyn Backend>>,
    pub(super) names: Vec<(Registry, Arc<str>)>,
    /// The place in the program where the supervisor was made.
    pub(super) made_at: &'static Location<'static>,
    pub(super) plan: Arc<Plan>,
}

impl SupervisorTemplate {
    /// Starts the supervisor's process. The future is ready when all children have been started.
    pub(super) fn start<P: Send + 'static>(
        &self,
        parent: Option<&Process<P>>,
    ) -> impl Future<Output = Result<SupervisorRef, StartError>> + Send + use<P> {
        let starting = self.begin(parent, &[], &[]);
        async move { starting?.finish().await }
    }

    /// Starts the supervisor's process, which gets `names` and its own before it starts its children. What it
    /// does is told to `above`, too, who follow it from further up.
    pub(super) fn begin<P: Send + 'static>(
        &self,
        parent: Option<&Process<P>>,
        names: &[(Registry, Arc<str>)],
        above: &[Events],
    ) -> Result<StartingSupervisor, StartError> {
        self.plan.check()?;
        let (ready, started) = oneshot::channel();
        // Children never wait for their supervisor's mailbox, nor does it itself.
        let mut builder = Builder::new().trap_exit(true).unbounded().at(self.made_at);
        for (registry, name) in self.names.iter().chain(names) {
            builder = builder.register_in(registry, Arc::clone(name));
        }
        if let Some(name) = &self.name {
            builder = builder.name(name.clone());
        }
        if self.inherits_name {
            builder = builder.inherit_name();
        }
        if let Some(backend) = &self.backend {
            builder = builder.on(backend);
        }
        let plan = Arc::clone(&self.plan);
        let parent_pid = parent.map(Process::pid);
        let above = above.to_vec();
        let body = move |me| engine::supervise(me, plan, parent_pid, above, ready);
        let process = match parent {
            Some(parent) => builder.spawn_link(parent, body),
            None => builder.spawn(body),
        };
        let process =
            process.map_err(|error| StartError::of_supervisor(starter::name_error_of(error.into())))?;
        Ok(StartingSupervisor { supervisor: SupervisorRef::new(process), started })
    }
}

/// A supervisor whose process has been started, and now starts the children.
pub(in crate::actor) struct StartingSupervisor {
    pub(super) supervisor: SupervisorRef,
    /// Receives the outcome when all children have been started, or one could not be.
    started: oneshot::Receiver<Result<(), StartError>>,
}

impl StartingSupervisor {
    pub(in crate::actor) fn supervisor(&self) -> &SupervisorRef {
        &self.supervisor
    }

    /// Waits until all children have been started.
    pub(in crate::actor) async fn finish(self) -> Result<SupervisorRef, StartError> {
        match self.started.await {
            Ok(started) => started.map(|()| self.supervisor),
            Err(_) => Err(StartError::of_supervisor("it ended before all children were started".into())),
        }
    }
}

impl Plan {
    /// Returns the plan of a supervisor of which nothing else was said.
    pub(super) fn new(strategy: Strategy) -> Plan {
        Plan {
            strategy,
            intensity: INTENSITY,
            period: PERIOD,
            auto_shutdown: AutoShutdown::default(),
            needs_children: false,
            max_children: usize::MAX,
            observer: None,
            events: Vec::new(),
            tree_events: Vec::new(),
            children: Vec::new(),
        }
    }

    /// Refuses a plan that contradicts itself.
    fn check(&self) -> Result<(), StartError> {
        let dynamic = self.strategy == Strategy::Dynamic;
        if self.period.is_zero() {
            return Err(StartError::of_supervisor(PlanError::NoPeriod.into()));
        }
        if dynamic && self.auto_shutdown != AutoShutdown::Never {
            return Err(StartError::of_supervisor(PlanError::DynamicWithAutoShutdown.into()));
        }
        if self.children.len() > self.max_children {
            let error = PlanError::TooManyChildren(self.max_children);
            return Err(StartError::of_supervisor(error.into()));
        }
        let mut ids = BTreeSet::new();
        for child in &self.children {
            if !(dynamic || ids.insert(&child.id)) {
                return Err(StartError::new(&child.id, PlanError::SameId.into()));
            }
            self.check_child(child)?;
        }
        Ok(())
    }

    /// Refuses a child whose settings contradict those of the supervisor.
    pub(super) fn check_child(&self, child: &Spec) -> Result<(), StartError> {
        let error = match (child.significant, child.restart, self.auto_shutdown) {
            _ if child.once && child.restart != Restart::Temporary => PlanError::OnceButNotTemporary,
            (true, Restart::Permanent, _) => PlanError::SignificantAndPermanent,
            (true, _, AutoShutdown::Never) if !self.needs_children => PlanError::SignificantForNobody,
            _ if child.limit.is_some_and(|(_, period)| period.is_zero()) => PlanError::NoPeriod,
            _ => return Ok(()),
        };
        Err(StartError::new(&child.id, error.into()))
    }
}
