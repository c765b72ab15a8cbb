//! Supervisors: processes that start others, and restart them when they end.
//!
//! A supervisor is told what its children are ([`ChildSpec`]) and what to do when one ends ([`Strategy`]). It
//! is a process itself: it links its children, traps their exits, and ends when it can do no more, so that
//! its own supervisor decides. The semantics are those of OTP's `supervisor`:
//!
//! - Children are **started** in order, each when the one before it has started. They are **stopped** in the
//!   reverse order: asked to by [`ExitReason::Shutdown`](super::ExitReason::Shutdown), and killed when their
//!   time ([`Shutdown`]) is over.
//! - If a child cannot be started, those before it are stopped, and the supervisor has not started.
//! - When a child **ends**, its [`Restart`] and the reason say whether it is restarted, and the strategy says
//!   who else is. If a restart fails, it is tried again, which counts as another restart.
//! - More than so many restarts in so much time ([`Supervisor::intensity`]) are too many: the supervisor
//!   stops all children and ends with `Shutdown`.
//! - It ends, too, when its parent does, with the parent's reason, or when somebody who is no process sends
//!   it an exit signal. All children are stopped first.
//!
//! Children may run on different backends, their supervisor on yet another. What becomes of a child's mailbox
//! is said by [`Mailbox`].
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
//! `engine` is the process, `stop` how it stops children, `children` its table of them; `starter` starts one.
//! A supervisor holds nothing that others lock, and is asked by messages only.

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
use crate::kernel::strand::trampoline;
use spec::Spec;

/// The most restarts within [`PERIOD`] unless the user says otherwise, as in OTP.
const INTENSITY: usize = 1;

/// The period in which restarts are counted, unless the user says otherwise; as in OTP.
const PERIOD: Duration = Duration::from_secs(5);

/// Says whom a supervisor restarts when a child has to be restarted.
///
/// # Examples
/// ```
/// use twoply::actor::supervisor::Strategy;
///
/// assert_eq!(Strategy::RestForOne.to_string(), "rest_for_one");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The supervisor restarts the child.
    OneForOne,
    /// The supervisor restarts all children: those that run are stopped, then all are started.
    OneForAll,
    /// The supervisor restarts the child and all that were started after it.
    RestForOne,
    /// The supervisor restarts the child. Children have no order and their ids are but labels: any number may
    /// have the same one. They are told apart by their processes, stopped all at once, and forgotten when
    /// they end and are not restarted. OTP calls this `simple_one_for_one`.
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

/// Says whether a supervisor ends, with all its children, because [significant](ChildSpec::significant) ones
/// have ended by themselves and are not restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoShutdown {
    /// The supervisor does not end.
    #[default]
    Never,
    /// The supervisor ends when one of them has ended.
    AnySignificant,
    /// The supervisor ends when all of them have ended.
    AllSignificant,
}

/// The kind of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildKind {
    /// The child is no supervisor.
    Worker,
    /// The child is a supervisor.
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

/// Selects a child of a supervisor, by its id or by its process.
///
/// Users rarely name this type: the methods of [`SupervisorRef`] take `&str` and `&Pid` for it.
///
/// # Examples
/// ```
/// use twoply::actor::supervisor::ChildSelector;
///
/// assert_eq!(ChildSelector::from("store"), ChildSelector::Id("store".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildSelector {
    /// Selects the child with this id; under [`Strategy::Dynamic`] only where no other child has the same id.
    Id(Arc<str>),
    /// Selects the child that runs as this process, or ran as it last and is being restarted.
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

/// Drops what is below by a loop, because supervisors may be nested to any depth.
impl Drop for Plan {
    fn drop(&mut self) {
        let children = std::mem::take(&mut self.children);
        trampoline(move || drop(children));
    }
}

/// The user's function that is called with each report.
type Observer = Arc<dyn Fn(&Report) + Send + Sync>;

/// A supervisor that is to be started: its children, and what it does with them. See the [module](self).
#[must_use = "a supervisor does nothing until it is started"]
pub struct Supervisor {
    name: Option<Box<str>>,
    /// `None` means the backend of whoever starts the supervisor.
    backend: Option<Arc<dyn Backend>>,
    plan: Plan,
}

/// The children of a supervisor and what it does with them. A plan outlives the supervisor's process, which
/// may be started again.
struct Plan {
    strategy: Strategy,
    /// The most restarts in one `period`.
    intensity: usize,
    period: Duration,
    auto_shutdown: AutoShutdown,
    observer: Option<Observer>,
    /// The children that the supervisor starts with, in order.
    children: Vec<Arc<Spec>>,
}

impl Supervisor {
    /// Returns a supervisor without children, which allows one restart in five seconds, as in OTP.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::supervisor::{Strategy, Supervisor};
    ///
    /// let supervisor = Supervisor::new(Strategy::OneForAll).name("root").start().wait()?;
    /// assert!(supervisor.tree().wait()?.to_string().ends_with("one_for_all"));
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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

    /// Returns a supervisor that restarts [the child alone](Strategy::OneForOne); see [`Supervisor::new`].
    pub fn one_for_one() -> Supervisor {
        Supervisor::new(Strategy::OneForOne)
    }

    /// Returns a supervisor that restarts [all children](Strategy::OneForAll); see [`Supervisor::new`].
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{ExitReason, Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let child = |id: &str| ChildSpec::process(id, async |mut me: Process<()>| drop(me.receive().await));
    /// let (one, other) = (child("one"), child("other"));
    /// let (to_one, to_other) = (one.reference(), other.reference());
    /// let supervisor = Supervisor::one_for_all().child(one).child(other).start().wait()?;
    /// let other = to_other.process().expect("it runs");
    /// to_one.send(()).wait()?; // It ends. The other one is restarted as well.
    /// assert_eq!(other.ended().wait(), ExitReason::Shutdown);
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn one_for_all() -> Supervisor {
        Supervisor::new(Strategy::OneForAll)
    }

    /// Returns a supervisor that restarts the child and [those after it](Strategy::RestForOne); see
    /// [`Supervisor::new`].
    pub fn rest_for_one() -> Supervisor {
        Supervisor::new(Strategy::RestForOne)
    }

    /// Returns a supervisor whose children come and go, [any number of a kind](Strategy::Dynamic); see
    /// [`Supervisor::new`].
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let guests = Supervisor::dynamic().start().wait()?;
    /// for _ in 0..3 {
    ///     let guest = ChildSpec::process("guest", async |mut me: Process<()>| drop(me.receive().await));
    ///     guests.start_child(guest).wait()?;
    /// }
    /// assert_eq!(guests.count().wait()?.active, 3);
    /// # guests.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dynamic() -> Supervisor {
        Supervisor::new(Strategy::Dynamic)
    }

    /// Allows `restarts` within any `period`; one more, and the supervisor gives up. A restart of several
    /// children counts once. A supervisor whose period is zero [cannot be started](PlanError::NoPeriod).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::Wait;
    /// use twoply::actor::{ExitReason, Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let brief = ChildSpec::process("brief", async |_: Process<()>| ());
    /// let supervisor = Supervisor::one_for_one().intensity(3, Duration::from_secs(60)).child(brief);
    /// let supervisor = supervisor.start().wait()?;
    /// // It restarts the child three times, and gives up then.
    /// assert_eq!(supervisor.pid().ended().wait(), ExitReason::Shutdown);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn intensity(mut self, restarts: usize, period: Duration) -> Supervisor {
        self.plan.intensity = restarts;
        self.plan.period = period;
        self
    }

    /// Says whether the supervisor ends when [significant](ChildSpec::significant) children have. One that is
    /// [dynamic](Strategy::Dynamic) [cannot](PlanError::DynamicWithAutoShutdown).
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{ExitReason, Process};
    /// use twoply::actor::supervisor::{AutoShutdown, ChildSpec, Restart, Supervisor};
    ///
    /// let job = ChildSpec::process("job", async |_: Process<()>| ());
    /// let job = job.restart(Restart::Transient).significant(true);
    /// let supervisor = Supervisor::one_for_one().auto_shutdown(AutoShutdown::AllSignificant).child(job);
    /// let supervisor = supervisor.start().wait()?;
    /// assert_eq!(supervisor.pid().ended().wait(), ExitReason::Shutdown);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn auto_shutdown(mut self, when: AutoShutdown) -> Supervisor {
        self.plan.auto_shutdown = when;
        self
    }

    /// Adds a child, behind the others; they are started in this order. The [module](self) has an example.
    pub fn child<M: Send + 'static>(mut self, child: ChildSpec<M>) -> Supervisor {
        self.plan.children.push(child.into_spec());
        self
    }

    /// Calls `observer` with what happens to the children. It is called in the supervisor's process, which
    /// does nothing else meanwhile; a panic in there changes nothing.
    ///
    /// # Examples
    /// ```
    /// use std::sync::mpsc;
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Report, Supervisor}};
    ///
    /// let (reports, reported) = mpsc::channel();
    /// let child = ChildSpec::process("child", async |mut me: Process<()>| drop(me.receive().await));
    /// let supervisor = Supervisor::one_for_one()
    ///     .on_report(move |report| _ = reports.send(report.clone()))
    ///     .child(child)
    ///     .start()
    ///     .wait()?;
    /// assert!(matches!(reported.recv()?, Report::Started { .. }));
    /// supervisor.stop().wait();
    /// assert!(matches!(reported.recv()?, Report::Stopped { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_report(mut self, observer: impl Fn(&Report) + Send + Sync + 'static) -> Supervisor {
        self.plan.observer = Some(Arc::new(observer));
        self
    }

    /// Names the supervisor's process, for messages such as those of a panic.
    pub fn name(mut self, name: impl Into<Box<str>>) -> Supervisor {
        self.name = Some(name.into());
        self
    }

    /// Runs the supervisor on `backend`, and with it all children that do not say otherwise.
    pub fn on(mut self, backend: &Arc<dyn Backend>) -> Supervisor {
        self.backend = Some(Arc::clone(backend));
        self
    }

    /// Starts the supervisor, at once, and returns a future that is ready when all children have been
    /// started. Dropping the future changes nothing. Nobody is linked to the supervisor: it runs until it is
    /// [stopped](SupervisorRef::stop) or gives up.
    ///
    /// # Errors
    /// When the supervisor [cannot be as it is](PlanError), when a child cannot be started (then all are
    /// stopped again), or when the supervisor's process cannot be.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let child = ChildSpec::process("child", async |mut me: Process<()>| drop(me.receive().await));
    /// let supervisor = Supervisor::one_for_one().child(child).start().wait()?;
    /// assert_eq!(supervisor.count().wait()?.active, 1);
    /// supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start(self) -> impl Future<Output = Result<SupervisorRef, StartError>> + Send + 'static {
        self.into_template().start(None::<&Process<()>>)
    }

    /// As [`Supervisor::start`], linked to `parent`, whose end ends the supervisor. A supervisor that does
    /// not start tells its parent by the error alone, not by an exit signal.
    ///
    /// # Errors
    /// As [`Supervisor::start`].
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{self, Process, supervisor::Supervisor};
    ///
    /// let (started, start) = twoply::channel::oneshot();
    /// let parent = actor::spawn(async move |mut me: Process<()>| {
    ///     let supervisor = Supervisor::one_for_one().start_link(&me).await.unwrap();
    ///     started.send(supervisor).unwrap();
    ///     drop(me.receive().await);
    ///     panic!("expected: the parent ends, and its supervisor with it");
    /// })?;
    /// let supervisor = start.wait()?;
    /// parent.send(()).wait()?;
    /// assert!(!supervisor.pid().ended().wait().is_orderly());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start_link<P: Send + 'static>(
        self,
        parent: &Process<P>,
    ) -> impl Future<Output = Result<SupervisorRef, StartError>> + Send + use<P> {
        self.into_template().start(Some(parent))
    }

    fn into_template(self) -> SupervisorTemplate {
        SupervisorTemplate { name: self.name, backend: self.backend, plan: Arc::new(self.plan) }
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

/// All that is needed to start a supervisor, any number of times.
struct SupervisorTemplate {
    name: Option<Box<str>>,
    backend: Option<Arc<dyn Backend>>,
    plan: Arc<Plan>,
}

impl SupervisorTemplate {
    /// Starts the supervisor's process. The future is ready when all children have been started.
    fn start<P: Send + 'static>(
        &self,
        parent: Option<&Process<P>>,
    ) -> impl Future<Output = Result<SupervisorRef, StartError>> + Send + use<P> {
        let starting = self.begin(parent, &[]);
        async move { starting?.finish().await }
    }

    /// Starts the supervisor's process, which gets `names` before it starts its children.
    fn begin<P: Send + 'static>(
        &self,
        parent: Option<&Process<P>>,
        names: &[(Registry, Arc<str>)],
    ) -> Result<StartingSupervisor, StartError> {
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
        let parent_pid = parent.map(Process::pid);
        let body = move |me| engine::supervise(me, plan, parent_pid, ready);
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
struct StartingSupervisor {
    supervisor: SupervisorRef,
    /// Receives the outcome when all children have been started, or one could not be.
    started: oneshot::Receiver<Result<(), StartError>>,
}

impl StartingSupervisor {
    /// Waits until all children have been started.
    async fn finish(self) -> Result<SupervisorRef, StartError> {
        match self.started.await {
            Ok(started) => started.map(|()| self.supervisor),
            Err(_) => Err(StartError::of_supervisor("it ended before all children were started".into())),
        }
    }
}

impl Plan {
    /// Refuses a plan that contradicts itself.
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

    /// Refuses a child whose settings contradict those of the supervisor.
    fn check_child(&self, child: &Spec) -> Result<(), StartError> {
        let error = match (child.significant, child.restart, self.auto_shutdown) {
            (true, Restart::Permanent, _) => PlanError::SignificantAndPermanent,
            (true, _, AutoShutdown::Never) => PlanError::SignificantForNobody,
            _ => return Ok(()),
        };
        Err(StartError::new(&child.id, error.into()))
    }
}
