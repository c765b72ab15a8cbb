//! [`Supervisor`]: the settings of a supervisor that is to be started.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::error::StartError;
use super::handle::SupervisorRef;
use super::plan::{Plan, StartingSupervisor, SupervisorTemplate};
use super::report::{Events, Report, SupervisorEvent};
use super::spec::ChildSpec;
use super::{AutoShutdown, Strategy};
#[cfg(doc)]
use super::{ChildError, PlanError};
use crate::actor::{Process, Registry};
use crate::channel::broadcast;
use crate::kernel::backend::Backend;
use crate::kernel::task::set_own_hook;

/// A supervisor that is to be started: its children, and what it does with them. See the [module](super).
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
///
/// let worker = |id: &str| ChildSpec::process(id, async |mut me: Process<u8>| drop(me.receive().await));
/// let root = Supervisor::one_for_one().name("root").child(worker("one")).child(worker("two"));
/// let root = root.start().wait()?;
/// println!("{}", root.tree().wait()?);
/// assert_eq!(root.count().wait()?.active, 2);
/// root.stop().wait();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a supervisor does nothing until it is started"]
pub struct Supervisor {
    name: Option<Box<str>>,
    /// True if it inherits the name of the task that starts it.
    inherits_name: bool,
    /// `None` means the backend of whoever starts the supervisor.
    backend: Option<Arc<dyn Backend>>,
    names: Vec<(Registry, Arc<str>)>,
    /// The place in the program where it was made.
    made_at: &'static Location<'static>,
    plan: Plan,
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
    #[track_caller]
    pub fn new(strategy: Strategy) -> Supervisor {
        let (made_at, plan) = (Location::caller(), Plan::new(strategy));
        let (names, inherits_name) = (Vec::new(), false);
        Supervisor { name: None, inherits_name, backend: None, names, made_at, plan }
    }

    /// Returns a supervisor that restarts [the child alone](Strategy::OneForOne); see [`Supervisor::new`].
    ///
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let child = ChildSpec::process("child", async |mut me: Process<()>| drop(me.receive().await));
    /// let supervisor = Supervisor::one_for_one().child(child).start().wait()?;
    /// assert_eq!(supervisor.count().wait()?.active, 1);
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
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
    #[track_caller]
    pub fn one_for_all() -> Supervisor {
        Supervisor::new(Strategy::OneForAll)
    }

    /// Returns a supervisor that restarts the child and [those after it](Strategy::RestForOne); see
    /// [`Supervisor::new`].
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{ExitReason, Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let child = |id: &str| ChildSpec::process(id, async |mut me: Process<()>| drop(me.receive().await));
    /// let (first, second, third) = (child("first"), child("second"), child("third"));
    /// let (to_first, to_second, to_third) = (first.reference(), second.reference(), third.reference());
    /// let supervisor = Supervisor::rest_for_one().child(first).child(second).child(third).start().wait()?;
    /// let (first, third) = (to_first.process().unwrap(), to_third.process().unwrap());
    /// to_second.send(()).wait()?; // It ends. The third one is restarted as well.
    /// assert_eq!(third.ended().wait(), ExitReason::Shutdown);
    /// assert!(first.pid().is_alive_here());
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
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
    #[track_caller]
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

    /// Ends it in order when the last of the [significant](ChildSpec::significant) children has ended, by
    /// itself or by a request. It fails to start where none of them has anything to do.
    pub(in crate::actor) fn ending_with_its_children(mut self) -> Supervisor {
        self.plan.needs_children = true;
        self
    }

    /// Limits the number of children, whether they run or not; unless this is called there is no limit. One
    /// more is refused with [`ChildError::TooManyChildren`], which says the limit; a supervisor that begins
    /// with too many [cannot be started](PlanError::TooManyChildren). This is `max_children` of Elixir's
    /// `DynamicSupervisor`.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildError, ChildSpec, Restart, Supervisor}};
    ///
    /// let guest = || ChildSpec::process("guest", async |mut me: Process<()>| drop(me.receive().await));
    /// let guests = Supervisor::dynamic().max_children(2).child(guest()).start().wait()?;
    /// let second = guests.start_child(guest()).wait()?;
    /// assert!(matches!(guests.start_child(guest()).wait(), Err(ChildError::TooManyChildren(2))));
    /// guests.terminate_child(&second).wait()?;
    /// guests.start_child(guest()).wait()?;
    /// # guests.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_children(mut self, most: usize) -> Supervisor {
        self.plan.max_children = most;
        self
    }

    /// Adds a child, behind the others; they are started in this order. The [module](super) has an example.
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

    /// Sends all that the supervisor reports to `events`, in order: a structured stream of what it does, for
    /// any number who follow it, from before the start or later ([`broadcast::Sender::subscribe`]). It never
    /// waits for them. One that falls further behind than the channel keeps events is told how many it has
    /// missed. Those who have subscribed hear of the end of the channel when `events` and the supervisors
    /// with it are gone.
    ///
    /// [`Receiver::into_stream`](broadcast::Receiver::into_stream) makes a stream of the events, and
    /// [`Stream::into_source`](crate::stream::Stream::into_source) a source for an actor to
    /// [attach](crate::actor::Context::attach).
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Report, Supervisor}};
    /// use twoply::channel::broadcast;
    ///
    /// let (sender, mut events) = broadcast::channel(64);
    /// let child = ChildSpec::process("child", async |mut me: Process<()>| drop(me.receive().await));
    /// let supervisor = Supervisor::one_for_one().events(&sender).child(child).start().wait()?;
    /// drop(sender);
    /// let event = events.recv().wait()?;
    /// assert_eq!(event.supervisor, supervisor.pid());
    /// assert!(matches!(event.report, Report::Started { .. }));
    /// supervisor.stop().wait();
    /// assert!(matches!(events.recv().wait()?.report, Report::Stopped { .. }));
    /// assert_eq!(events.recv().wait().unwrap_err(), broadcast::RecvError::Closed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn events(mut self, events: &broadcast::Sender<SupervisorEvent>) -> Supervisor {
        self.plan.events.push(events.clone());
        self
    }

    /// As [`Supervisor::events`], also of all supervisors below this one: those that it starts with, and
    /// those that are started later.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    /// use twoply::channel::broadcast;
    ///
    /// let (sender, mut events) = broadcast::channel(64);
    /// let leaf = ChildSpec::process("leaf", async |mut me: Process<()>| drop(me.receive().await));
    /// let branch = ChildSpec::supervisor("branch", Supervisor::one_for_one().child(leaf));
    /// let root = Supervisor::one_for_one().tree_events(&sender).child(branch).start().wait()?;
    /// assert!(events.recv().wait()?.to_string().contains("leaf has started"));
    /// assert!(events.recv().wait()?.to_string().contains("branch has started"));
    /// # root.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tree_events(mut self, events: &broadcast::Sender<SupervisorEvent>) -> Supervisor {
        self.plan.tree_events.push(events.clone());
        self
    }

    /// Gives the supervisor a name in the [global registry](Registry::global) each time it is started, before
    /// its children are; [`SupervisorRef::named`] finds it. If the name is taken, it cannot be started.
    ///
    /// ```
    /// use twoply::{Wait, actor::supervisor::{Supervisor, SupervisorRef}};
    ///
    /// let supervisor = Supervisor::one_for_one().register("doors").start().wait()?;
    /// assert_eq!(SupervisorRef::named("doors")?.unwrap().pid(), supervisor.pid());
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register(self, name: impl Into<Arc<str>>) -> Supervisor {
        self.register_in(&Registry::global(), name)
    }

    /// As [`Supervisor::register`], in `registry`.
    pub fn register_in(mut self, registry: &Registry, name: impl Into<Arc<str>>) -> Supervisor {
        self.names.push((registry.clone(), name.into()));
        self
    }

    /// Names the supervisor's process, for messages such as those of a panic.
    pub fn name(mut self, name: impl Into<Box<str>>) -> Supervisor {
        self.name = Some(name.into());
        self
    }

    /// Names the supervisor's process after the task or the process that starts it, if that has a name; see
    /// [`task::Builder::inherit_name`](crate::task::Builder::inherit_name). Children do so by their
    /// [settings](ChildSpec::settings).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, task};
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let shop = task::Builder::new().name("shop").spawn(async {
    ///     let clerk = ChildSpec::process("clerk", async |mut me: Process<()>| drop(me.receive().await));
    ///     let clerk = clerk.settings(|clerk| clerk.inherit_name());
    ///     let clerk_ref = clerk.reference();
    ///     let supervisor = Supervisor::one_for_one().name("staff").inherit_name().child(clerk);
    ///     let supervisor = supervisor.start().await.unwrap();
    ///     let name = clerk_ref.pid().and_then(|clerk| clerk.name());
    ///     supervisor.stop().await;
    ///     name
    /// })?;
    /// assert_eq!(shop.wait()?.as_deref(), Some("shop/staff/clerk"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn inherit_name(mut self) -> Supervisor {
        self.inherits_name = true;
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

    /// Starts the supervisor's process, which is below those whom it tells `above`.
    pub(in crate::actor) fn begin<P: Send + 'static>(
        self,
        parent: Option<&Process<P>>,
        above: &[Events],
    ) -> Result<StartingSupervisor, StartError> {
        self.into_template().begin(parent, &[], above)
    }

    pub(super) fn into_template(self) -> SupervisorTemplate {
        set_own_hook();
        let Supervisor { name, inherits_name, backend, names, made_at, plan } = self;
        SupervisorTemplate { name, inherits_name, backend, names, made_at, plan: Arc::new(plan) }
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
