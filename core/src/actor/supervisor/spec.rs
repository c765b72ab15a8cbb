//! [`ChildSpec`]: how a child is started, when it is restarted, how it is stopped.
//!
//! A spec is plain data until a supervisor takes it. From then on the supervisor alone starts the child, in
//! its own process, and tells the spec's references ([`ChildRef`]) how the child stands.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::child_ref::ChildRef;
use super::handle::{Control, SupervisorRef};
use super::starter::{KeptMailbox, MadeChild, Make, Setting, Starter};
use super::{ChildKind, Plan, Supervisor};
use crate::actor::{Actor, ExitReason, IntoExit, Pid, Process, ProcessRef, Registry};
use crate::channel::{Receiver, watch};
use crate::kernel::backend::Backend;

/// The time in which a worker has to end when it is asked to, unless the user says otherwise; as in OTP.
const PATIENCE: Duration = Duration::from_secs(5);

/// Says when a child that has ended is restarted; see [`ChildSpec::restart`].
///
/// # Examples
/// ```
/// use twoply::actor::supervisor::Restart;
///
/// assert_eq!(Restart::default(), Restart::Permanent);
/// assert_eq!(Restart::Transient.to_string(), "transient");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// The child is always restarted.
    #[default]
    Permanent,
    /// The child is restarted after an end that was not [orderly](ExitReason::is_orderly): neither
    /// [`ExitReason::Normal`] nor [`ExitReason::Shutdown`].
    Transient,
    /// The child is never restarted. The supervisor forgets it, also when it stops it in order to restart
    /// others.
    Temporary,
}

impl Restart {
    pub(super) fn applies_to(self, reason: &ExitReason) -> bool {
        match self {
            Restart::Permanent => true,
            Restart::Transient => !reason.is_orderly(),
            Restart::Temporary => false,
        }
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Restart::Permanent => "permanent",
            Restart::Transient => "transient",
            Restart::Temporary => "temporary",
        })
    }
}

/// Says how a child is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// The child is asked with [`ExitReason::Shutdown`], and ended with [`ExitReason::Kill`] if it has not
    /// ended after this time.
    Deadline(Duration),
    /// The child is ended with [`ExitReason::Kill`], at once.
    Kill,
    /// The child is asked with [`ExitReason::Shutdown`], without a limit of time. This is for supervisors,
    /// which need the time to stop what is below them.
    Infinity,
}

/// Says what becomes of the messages that a child has not received when it ends and is restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mailbox {
    /// The messages are dropped, as in Erlang: the successor is a new process, with a mailbox of its own.
    /// What was asked for in them fails with [`NoProcess`](crate::promise::Failure::NoProcess), unless the
    /// process was built with a hook for [undelivered](crate::actor::Builder::on_undelivered) messages.
    #[default]
    Drop,
    /// The successor receives them, in order and before any later ones. References to the child stay valid,
    /// and messages may be sent to it at any time. The message that it was handling is not among them: if
    /// that was what killed it, it is not killed by it twice.
    ///
    /// The child keeps its [`Pid`], too, but each end is told to its links and monitors, and they are gone
    /// after it. Of a child that is [started](ChildSpec::start_with) in several processes it is the first one
    /// that is kept. When the child is over for good, what is left in the mailbox is undelivered.
    Keep,
}

/// Says how a child is started, when it is restarted, and how it is stopped.
///
/// Unless something else is said, a child is [`Permanent`](Restart::Permanent), drops its mailbox and has
/// five seconds to end when it is asked to; a supervisor has all the time it wants.
///
/// `M` is the type of the child's messages. A [`reference`](ChildSpec::reference) to the child may be had
/// before it runs, and it follows restarts.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::actor::Process;
/// use twoply::actor::supervisor::{ChildSpec, Mailbox, Restart, Shutdown};
///
/// let log = ChildSpec::process("log", async |mut me: Process<String>| {
///     while let Some(line) = me.receive().await.message() {
///         println!("{line}");
///     }
/// });
/// let second = Duration::from_secs(1);
/// let log = log.restart(Restart::Transient).shutdown(Shutdown::Deadline(second)).mailbox(Mailbox::Keep);
/// let to_log = log.reference(); // It waits until a supervisor starts the child.
/// assert!(to_log.process().is_none());
/// ```
#[must_use = "a spec does nothing until a supervisor takes it"]
pub struct ChildSpec<M: Send + 'static> {
    /// Unique in the supervisor, unless that is dynamic.
    id: Arc<str>,
    restart: Restart,
    /// `None` means the default of the child's kind.
    shutdown: Option<Shutdown>,
    kind: ChildKind,
    significant: bool,
    mailbox: Mailbox,
    /// Applied to the builder of the child's process, in this order.
    settings: Vec<Setting<M>>,
    names: Vec<(Registry, Arc<str>)>,
    make: Make<M>,
    /// The plan of a child that is a supervisor.
    below: Option<Arc<Plan>>,
    /// Followed by the references to the child.
    availability: watch::Sender<Availability<M>>,
}

impl<M: Send + 'static> ChildSpec<M> {
    /// Returns a child that is a process which runs `body`, anew at each start.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let echo = ChildSpec::process("echo", async |mut me: Process<u8>| drop(me.receive().await));
    /// let supervisor = Supervisor::one_for_one().child(echo).start().wait()?;
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process<F, T>(id: impl Into<Arc<str>>, body: F) -> ChildSpec<M>
    where
        F: Fn(Process<M>) -> T + Send + Sync + 'static,
        T: Future<Output: IntoExit + Send> + Send + 'static,
    {
        ChildSpec::start_with(id, move |start| Ok(start.spawn(&body)?))
    }

    /// Returns a child that is a process which runs straight-line code, anew at each start.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let echo = ChildSpec::process_fn("echo", |mut me: Process<u8>| drop(me.receive().wait()));
    /// let supervisor = Supervisor::one_for_one().child(echo).start().wait()?;
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process_fn<F, T>(id: impl Into<Arc<str>>, code: F) -> ChildSpec<M>
    where
        F: Fn(Process<M>) -> T + Send + Sync + 'static,
        T: IntoExit + Send + 'static,
    {
        let code = Arc::new(code);
        ChildSpec::start_with(id, move |start| {
            let code = Arc::clone(&code);
            Ok(start.spawn_fn(move |me| code(me))?)
        })
    }

    /// Returns a child that is an actor, which `make` makes anew for each start. It counts as started when
    /// [`Actor::started`] has returned; an error or a panic in there is a child that could not be started.
    ///
    /// # Examples
    /// ```
    /// use std::convert::Infallible;
    /// use twoply::Wait;
    /// use twoply::actor::{Actor, Context, supervisor::{ChildSpec, Supervisor}};
    ///
    /// struct Sum(u64);
    ///
    /// impl Actor for Sum {
    ///     type Message = u64;
    ///     type Error = Infallible;
    ///     async fn handle(&mut self, n: u64, _: &mut Context<Sum>) -> Result<(), Infallible> {
    ///         self.0 += n;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let sum = ChildSpec::actor("sum", || Sum(0));
    /// let to_sum = sum.reference();
    /// let supervisor = Supervisor::one_for_one().child(sum).start().wait()?;
    /// to_sum.send(3).wait()?;
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn actor<A>(id: impl Into<Arc<str>>, make: impl Fn() -> A + Send + Sync + 'static) -> ChildSpec<M>
    where
        A: Actor<Message = M>,
    {
        ChildSpec::new(id.into(), ChildKind::Worker, Make::actor(make, None))
    }

    /// As [`ChildSpec::actor`], for a member of a pool, which also receives from the queue that it shares
    /// with others.
    pub(in crate::actor) fn member<A>(
        id: impl Into<Arc<str>>,
        make: impl Fn() -> A + Send + Sync + 'static,
        queue: Option<Receiver<M>>,
    ) -> ChildSpec<M>
    where
        A: Actor<Message = M>,
    {
        ChildSpec::new(id.into(), ChildKind::Worker, Make::actor(make, queue))
    }

    /// Returns the id of the child.
    pub(in crate::actor) fn id(&self) -> &str {
        &self.id
    }

    /// Returns a child that `start` starts, each time anew, with [`Starter::spawn`] or another of its
    /// methods; see there for an example.
    ///
    /// The child counts as started when `start` returns. So if it needs to be ready first, `start` waits for
    /// that, with [`wait`](crate::Wait::wait): it asks the new process something. The supervisor does nothing
    /// else meanwhile. When `start` returns an error or panics, what it has spawned is killed, and the child
    /// could not be started.
    pub fn start_with<F>(id: impl Into<Arc<str>>, start: F) -> ChildSpec<M>
    where
        F: Fn(&mut Starter<'_, M>) -> Result<ProcessRef<M>, Box<dyn Error + Send + Sync>>
            + Send
            + Sync
            + 'static,
    {
        ChildSpec::new(id.into(), ChildKind::Worker, Make::process(start))
    }

    fn new(id: Arc<str>, kind: ChildKind, make: Make<M>) -> ChildSpec<M> {
        ChildSpec {
            id,
            restart: Restart::default(),
            shutdown: None,
            kind,
            significant: false,
            mailbox: Mailbox::default(),
            settings: Vec::new(),
            names: Vec::new(),
            make,
            below: None,
            availability: watch::channel(Availability::Waiting).0,
        }
    }

    /// Says when the child is restarted; unless this is called, [always](Restart::Permanent).
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{ExitReason, Process};
    /// use twoply::actor::supervisor::{ChildSpec, Restart, Supervisor};
    ///
    /// let brief = ChildSpec::process("brief", async |_: Process<()>| ()).restart(Restart::Temporary);
    /// let supervisor = Supervisor::one_for_one().start().wait()?;
    /// let pid = supervisor.start_child(brief).wait()?;
    /// assert_eq!(pid.ended().wait(), ExitReason::Normal);
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn restart(mut self, restart: Restart) -> ChildSpec<M> {
        self.restart = restart;
        self
    }

    /// Says how the child is stopped; unless this is called, a worker has five seconds and a supervisor all
    /// the time.
    pub fn shutdown(mut self, shutdown: Shutdown) -> ChildSpec<M> {
        self.shutdown = Some(shutdown);
        self
    }

    /// Says what becomes of the child's mailbox at a restart; unless this is called, it is
    /// [dropped](Mailbox::Drop).
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Mailbox, Supervisor}};
    /// use twoply::promise::Resolver;
    ///
    /// let fragile = ChildSpec::process("fragile", async |mut me: Process<Option<Resolver<u8>>>| {
    ///     me.receive().await.message().flatten().expect("a question").resolve(7).unwrap();
    /// });
    /// let fragile = fragile.mailbox(Mailbox::Keep);
    /// let to_fragile = fragile.reference();
    /// let supervisor = Supervisor::one_for_one().child(fragile).start().wait()?;
    /// to_fragile.send(None).wait()?; // It panics. Its successor receives the question.
    /// assert_eq!(to_fragile.ask(Some).wait()?, 7);
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mailbox(mut self, mailbox: Mailbox) -> ChildSpec<M> {
        self.mailbox = mailbox;
        self
    }

    /// Says whether the supervisor's end may depend on that of the child; see
    /// [`Supervisor::auto_shutdown`](super::Supervisor::auto_shutdown). As in OTP, a
    /// [permanent](super::PlanError::SignificantAndPermanent) child cannot be one, nor can one of a
    /// supervisor that [never](super::PlanError::SignificantForNobody) ends with its children.
    pub fn significant(mut self, significant: bool) -> ChildSpec<M> {
        self.significant = significant;
        self
    }

    /// Runs the child on `backend`, and not on the supervisor's.
    pub fn on(self, backend: &Arc<dyn Backend>) -> ChildSpec<M> {
        let backend = Arc::clone(backend);
        self.settings(move |builder| builder.on(&backend))
    }

    /// Says how the child's process is built: the size of its mailbox, of its stack, and so on. It has the
    /// child's id for a name unless that is changed.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{Process, supervisor::ChildSpec};
    ///
    /// let sink = ChildSpec::process("sink", async |mut me: Process<u8>| drop(me.receive().await));
    /// let sink = sink.settings(|builder| builder.capacity(16).trap_exit(true));
    /// # drop(sink);
    /// ```
    pub fn settings<F>(mut self, settings: F) -> ChildSpec<M>
    where
        F: Fn(crate::actor::Builder<M>) -> crate::actor::Builder<M> + Send + Sync + 'static,
    {
        self.settings.push(Box::new(settings));
        self
    }

    /// Gives the child a name in the [global registry](Registry::global) when it is started, each time anew,
    /// and before its first step. If the name is taken, nothing of it runs, and the child cannot be started.
    /// Of a child that is [started](ChildSpec::start_with) in several processes, the first one has the name
    /// until another one turns out to be the child.
    pub fn register(self, name: impl Into<Arc<str>>) -> ChildSpec<M> {
        self.register_in(&Registry::global(), name)
    }

    /// As [`ChildSpec::register`], in `registry`.
    pub fn register_in(mut self, registry: &Registry, name: impl Into<Arc<str>>) -> ChildSpec<M> {
        self.names.push((registry.clone(), name.into()));
        self
    }

    /// Returns a reference to the child, which stays valid when the child is restarted.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let sink = ChildSpec::process("sink", async |mut me: Process<u8>| drop(me.receive().await));
    /// let to_sink = sink.reference();
    /// let supervisor = Supervisor::one_for_one().child(sink).start().wait()?;
    /// to_sink.send(1).wait()?; // The child ends,
    /// to_sink.send(2).wait()?; // and this waits until it is restarted.
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reference(&self) -> ChildRef<M> {
        ChildRef::new(self.availability.subscribe())
    }

    pub(super) fn into_spec(self) -> Arc<Spec> {
        let usual = match self.kind {
            ChildKind::Worker => Shutdown::Deadline(PATIENCE),
            ChildKind::Supervisor => Shutdown::Infinity,
        };
        let child = super::starter::TypedSpec {
            id: Arc::clone(&self.id),
            processes: Mutex::default(),
            kept_mailbox: KeptMailbox::new(self.mailbox),
            settings: self.settings,
            names: self.names,
            make: self.make,
            availability: self.availability,
        };
        Arc::new(Spec {
            id: self.id,
            restart: self.restart,
            shutdown: self.shutdown.unwrap_or(usual),
            kind: self.kind,
            significant: self.significant,
            below: self.below,
            start: Box::new(child),
        })
    }
}

impl ChildSpec<Control> {
    /// Returns a child that is a supervisor, with all its children. It is started as often as needed, each
    /// time with the children that it has been given here.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let leaf = ChildSpec::process("leaf", async |mut me: Process<()>| drop(me.receive().await));
    /// let branch = ChildSpec::supervisor("branch", Supervisor::one_for_all().child(leaf));
    /// let root = Supervisor::one_for_one().child(branch).start().wait()?;
    /// assert_eq!(root.count().wait()?.supervisors, 1);
    /// # root.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn supervisor(id: impl Into<Arc<str>>, supervisor: Supervisor) -> ChildSpec<Control> {
        let template = Arc::new(supervisor.into_template());
        let below = Arc::clone(&template.plan);
        let mut spec = ChildSpec::new(id.into(), ChildKind::Supervisor, Make::supervisor(template));
        spec.below = Some(below);
        spec
    }
}

impl<M: Send + 'static> fmt::Debug for ChildSpec<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("restart", &self.restart)
            .field("shutdown", &self.shutdown)
            .field("mailbox", &self.mailbox)
            .finish_non_exhaustive()
    }
}

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
    /// The plan of a child that is a supervisor.
    below: Option<Arc<Plan>>,
    /// The half of the spec that knows the type of the messages.
    start: Box<dyn Start>,
}

/// Starts a child and tells its references of it, whatever the type of its messages.
pub(super) trait Start: Send + Sync {
    /// Starts the child, linked to `supervisor`.
    fn start<'a>(&'a self, supervisor: &'a mut Process<Control>) -> StartFuture<'a>;

    /// Returns the processes of the last start: all of them if it has failed or was given up, else the
    /// child's own.
    fn leftover_processes(&self) -> Vec<Pid>;

    /// Tells the references that the child does not run, and whether it will. Returns false where they had
    /// been told before that it will not.
    fn set_not_running(&self, will_run: bool) -> bool;
}

/// The future of a start, without the type of the child's messages.
pub(super) type StartFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Started, Box<dyn Error + Send + Sync>>> + Send + 'a>>;

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
    pub(super) fn start<'a>(&'a self, supervisor: &'a mut Process<Control>) -> StartFuture<'a> {
        self.start.start(supervisor)
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
