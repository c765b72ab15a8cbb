//! Supervisors: processes that start others, and restart them when they end.
//!
//! A supervisor is told what its children are ([`ChildSpec`]) and what to do when one ends ([`Strategy`]). It is a
//! process itself: it links its children, traps their exits, and ends when it can do no more, so that its own
//! supervisor decides. The semantics are those of OTP's `supervisor`:
//!
//! - Children are **started** in order, each when the one before it has started. They are **stopped** in the reverse
//!   order: asked to by [`ExitReason::Shutdown`](super::ExitReason::Shutdown), and killed when their time
//!   ([`Shutdown`]) is over.
//! - If a child cannot be started, those before it are stopped, and the supervisor has not started.
//! - When a child **ends**, its [`Restart`] and the reason say whether it is restarted, and the strategy says who else
//!   is. If a restart fails, it is tried again, which counts as another restart.
//! - More than so many restarts in so much time ([`Supervisor::intensity`]) are too many: the supervisor stops all
//!   children and ends with `Shutdown`.
//! - It ends, too, when its parent does, with the parent's reason, or when somebody who is no process sends it an exit
//!   signal. All children are stopped first.
//!
//! Children may run on different backends, their supervisor on yet another. What becomes of a child's mailbox is said
//! by [`Mailbox`].
//!
//! ```
//! use std::time::Duration;
//! use twoply::Wait;
//! use twoply::actor::Process;
//! use twoply::actor::supervisor::{ChildSpec, Supervisor};
//!
//! let counter = ChildSpec::process("counter", async |mut me: Process<u32>| {
//!     let mut sum = 0;
//!     while let Some(n) = me.receive().await.message() {
//!         sum += n;
//!         assert!(sum < 100, "too much");
//!     }
//! });
//! let numbers = counter.reference();
//! let supervisor = Supervisor::one_for_one()
//!     .intensity(3, Duration::from_secs(10))
//!     .child(counter)
//!     .start()
//!     .wait()?;
//! numbers.send(99).wait()?;
//! numbers.send(1).wait()?; // It panics, and starts anew.
//! println!("{}", supervisor.tree().wait()?);
//! supervisor.stop().wait();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Inside
//! `engine` is the process, `stop` how it stops children, `children` its table of them; `starter` starts one. A
//! supervisor holds nothing that others lock, and is asked by messages only.

mod child_ref;
mod children;
mod engine;
mod error;
mod handle;
mod intensity;
mod report;
mod spec;
mod starter;
mod stop;
mod tree;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use child_ref::ChildRef;
pub use error::{ChildError, PlanError, StartError};
pub use handle::{Control, SupervisorRef};
pub use report::Report;
pub use spec::{ChildSpec, Mailbox, Restart, Shutdown};
pub use starter::Starter;
pub use tree::{Branch, ChildInfo, ChildState, Counts, Tree};

use super::{Builder, Pid, Process, Registry};
use crate::channel::oneshot;
use crate::kernel::backend::Backend;
use crate::kernel::trampoline::trampoline;
use spec::Spec;

/// The most restarts within [`PERIOD`], if nothing else is said: OTP's default.
const INTENSITY: usize = 1;

/// See [`INTENSITY`].
const PERIOD: Duration = Duration::from_secs(5);

/// Whom a supervisor restarts when a child has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The child.
    OneForOne,
    /// All children: those that run are stopped, then all are started.
    OneForAll,
    /// The child and all that were started after it.
    RestForOne,
    /// The child. Children have no order and their ids are but labels: any number may have the same one. They are
    /// told apart by their processes, stopped all at once, and forgotten when they end and are not restarted. OTP calls
    /// this `simple_one_for_one`.
    Dynamic,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Strategy::OneForOne => "one_for_one",
            Strategy::OneForAll => "one_for_all",
            Strategy::RestForOne => "rest_for_one",
            Strategy::Dynamic => "dynamic",
        })
    }
}

/// Whether a supervisor ends, with all its children, because [significant](ChildSpec::significant) ones have ended by
/// themselves and are not restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoShutdown {
    /// It does not.
    #[default]
    Never,
    /// When one of them has.
    AnySignificant,
    /// When all of them have.
    AllSignificant,
}

/// What a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildKind {
    /// Not a supervisor.
    Worker,
    /// A supervisor.
    Supervisor,
}

impl fmt::Display for ChildKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChildKind::Worker => "worker",
            ChildKind::Supervisor => "supervisor",
        })
    }
}

/// Which child is meant: the one with this id, or the one that runs as this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildSelector {
    /// By its id; under [`Strategy::Dynamic`] only where no other child has the same.
    Id(Arc<str>),
    /// By its process; while it is being restarted, by its last one.
    Pid(Pid),
}

impl From<&str> for ChildSelector {
    fn from(id: &str) -> ChildSelector {
        ChildSelector::Id(id.into())
    }
}

impl From<&Pid> for ChildSelector {
    fn from(pid: &Pid) -> ChildSelector {
        ChildSelector::Pid(pid.clone())
    }
}

impl From<Pid> for ChildSelector {
    fn from(pid: Pid) -> ChildSelector {
        ChildSelector::Pid(pid)
    }
}

/// Supervisors may be nested without an end: what is below is dropped by a loop.
impl Drop for Plan {
    fn drop(&mut self) {
        let children = std::mem::take(&mut self.children);
        trampoline(move || drop(children));
    }
}

/// Who hears of what happens to children.
type Observer = Arc<dyn Fn(&Report) + Send + Sync>;

/// A supervisor that is to be started: its children, and what it does with them. See the [module](self).
#[must_use = "a supervisor does nothing until it is started"]
pub struct Supervisor {
    /// What messages call it.
    name: Option<Box<str>>,
    /// Where it runs; else where whoever starts it does.
    backend: Option<Arc<dyn Backend>>,
    /// What it does.
    plan: Plan,
}

/// What a supervisor does. It outlives the supervisor's process, to be started again.
struct Plan {
    /// Whom it restarts.
    strategy: Strategy,
    /// The most restarts in one period.
    intensity: usize,
    /// The length of a period.
    period: Duration,
    /// Whether it ends with its children.
    auto_shutdown: AutoShutdown,
    /// Who hears of what happens.
    observer: Option<Observer>,
    /// The children that it starts with, in order.
    children: Vec<Arc<Spec>>,
}

impl Supervisor {
    /// A supervisor without children, which allows one restart in five seconds, as in OTP.
    pub fn new(strategy: Strategy) -> Supervisor {
        let plan = Plan {
            strategy,
            intensity: INTENSITY,
            period: PERIOD,
            auto_shutdown: AutoShutdown::default(),
            observer: None,
            children: Vec::new(),
        };
        Supervisor { name: None, backend: None, plan }
    }

    /// See [`Strategy::OneForOne`].
    pub fn one_for_one() -> Supervisor {
        Supervisor::new(Strategy::OneForOne)
    }

    /// See [`Strategy::OneForAll`].
    pub fn one_for_all() -> Supervisor {
        Supervisor::new(Strategy::OneForAll)
    }

    /// See [`Strategy::RestForOne`].
    pub fn rest_for_one() -> Supervisor {
        Supervisor::new(Strategy::RestForOne)
    }

    /// See [`Strategy::Dynamic`].
    pub fn dynamic() -> Supervisor {
        Supervisor::new(Strategy::Dynamic)
    }

    /// Allows `restarts` within any `period`; one more, and the supervisor gives up. A restart of several children
    /// counts once. A supervisor whose period is zero [cannot be started](PlanError::NoPeriod).
    pub fn intensity(mut self, restarts: usize, period: Duration) -> Supervisor {
        self.plan.intensity = restarts;
        self.plan.period = period;
        self
    }

    /// Says whether the supervisor ends when [significant](ChildSpec::significant) children have. One that is
    /// [dynamic](Strategy::Dynamic) [cannot](PlanError::DynamicWithAutoShutdown).
    pub fn auto_shutdown(mut self, when: AutoShutdown) -> Supervisor {
        self.plan.auto_shutdown = when;
        self
    }

    /// Adds a child, behind the others.
    pub fn child<M: Send + 'static>(mut self, child: ChildSpec<M>) -> Supervisor {
        self.plan.children.push(child.into_spec());
        self
    }

    /// Has `observer` told what happens to the children. It is called in the supervisor's process, which does nothing
    /// else meanwhile; a panic is contained.
    pub fn on_report(mut self, observer: impl Fn(&Report) + Send + Sync + 'static) -> Supervisor {
        self.plan.observer = Some(Arc::new(observer));
        self
    }

    /// Names the supervisor's process, for messages.
    pub fn name(mut self, name: impl Into<Box<str>>) -> Supervisor {
        self.name = Some(name.into());
        self
    }

    /// Runs the supervisor on `backend`, and with it all children that do not say otherwise.
    pub fn on(mut self, backend: &Arc<dyn Backend>) -> Supervisor {
        self.backend = Some(Arc::clone(backend));
        self
    }

    /// Starts the supervisor, at once, and returns a future that is ready when all children have been started. Dropping
    /// the future changes nothing. Nobody is linked to the supervisor: it runs until it is
    /// [stopped](SupervisorRef::stop) or gives up.
    ///
    /// # Errors
    /// When the supervisor [cannot be as it is](PlanError), when a child cannot be started (then all are stopped again),
    /// or when the supervisor's process cannot be.
    pub fn start(self) -> impl Future<Output = Result<SupervisorRef, StartError>> + Send + 'static {
        self.into_launch().start(None::<&Process<()>>)
    }

    /// As [`Supervisor::start`], linked to `parent`, whose end ends the supervisor. A supervisor that does not start
    /// tells its parent by the error alone, not by an exit signal.
    ///
    /// # Errors
    /// As [`Supervisor::start`].
    pub fn start_link<P: Send + 'static>(
        self,
        parent: &Process<P>,
    ) -> impl Future<Output = Result<SupervisorRef, StartError>> + Send + use<P> {
        self.into_launch().start(Some(parent))
    }

    fn into_launch(self) -> Launch {
        Launch { name: self.name, backend: self.backend, plan: Arc::new(self.plan) }
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.plan.children.iter().map(|child| &child.id).collect();
        f.debug_struct("Supervisor")
            .field("name", &self.name)
            .field("strategy", &self.plan.strategy)
            .field("intensity", &self.plan.intensity)
            .field("period", &self.plan.period)
            .field("children", &ids)
            .finish_non_exhaustive()
    }
}

/// What is needed to start a supervisor, any number of times.
struct Launch {
    /// What messages call it.
    name: Option<Box<str>>,
    /// Where it runs.
    backend: Option<Arc<dyn Backend>>,
    /// What it does.
    plan: Arc<Plan>,
}

impl Launch {
    /// Starts the supervisor's process. The future is ready when all children have been started.
    fn start<P: Send + 'static>(
        &self,
        parent: Option<&Process<P>>,
    ) -> impl Future<Output = Result<SupervisorRef, StartError>> + Send + use<P> {
        let begun = self.begin(parent, &[]);
        async move { begun?.finish().await }
    }

    /// Starts the supervisor's process, which gets `names` before it starts its children.
    fn begin<P: Send + 'static>(
        &self,
        parent: Option<&Process<P>>,
        names: &[(Registry, Arc<str>)],
    ) -> Result<Begun, StartError> {
        self.plan.check()?;
        let (ready, started) = oneshot::channel();
        // Children never wait for their supervisor's mailbox, nor does it itself.
        let mut builder = Builder::new().trap_exit(true).unbounded();
        for (registry, name) in names {
            builder = builder.register_in(registry, Arc::clone(name));
        }
        if let Some(name) = &self.name {
            builder = builder.name(name.clone());
        }
        if let Some(backend) = &self.backend {
            builder = builder.on(backend);
        }
        let plan = Arc::clone(&self.plan);
        let mother = parent.map(Process::pid);
        let body = move |me| engine::supervise(me, plan, mother, ready);
        let process = match parent {
            Some(parent) => builder.spawn_link(parent, body),
            None => builder.spawn(body),
        };
        let process = process.map_err(|error| StartError::of_supervisor(starter::refusal(error.into())))?;
        Ok(Begun { supervisor: SupervisorRef::new(process), started })
    }
}

/// A supervisor whose process has been started, and now starts the children.
struct Begun {
    /// It.
    supervisor: SupervisorRef,
    /// Tells when all have been started, or why not.
    started: oneshot::Receiver<Result<(), StartError>>,
}

impl Begun {
    /// Waits until all children have been started.
    async fn finish(self) -> Result<SupervisorRef, StartError> {
        match self.started.await {
            Ok(started) => started.map(|()| self.supervisor),
            Err(_) => Err(StartError::of_supervisor("it ended before all children were started".into())),
        }
    }
}

impl Plan {
    /// Refuses what cannot be.
    fn check(&self) -> Result<(), StartError> {
        let dynamic = self.strategy == Strategy::Dynamic;
        if self.period.is_zero() {
            return Err(StartError::of_supervisor(PlanError::NoPeriod.into()));
        }
        if dynamic && self.auto_shutdown != AutoShutdown::Never {
            return Err(StartError::of_supervisor(PlanError::DynamicWithAutoShutdown.into()));
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

    /// Refuses a child that cannot be one of this supervisor.
    fn check_child(&self, child: &Spec) -> Result<(), StartError> {
        let error = match (child.significant, child.restart, self.auto_shutdown) {
            (true, Restart::Permanent, _) => PlanError::SignificantAndPermanent,
            (true, _, AutoShutdown::Never) => PlanError::SignificantForNobody,
            _ => return Ok(()),
        };
        Err(StartError::new(&child.id, error.into()))
    }
}
