//! [`ChildSpec`]: how a child is started, when it is restarted, how it is stopped.
//!
//! A spec is plain data until a supervisor takes it. From then on the supervisor alone starts the child, in its own
//! process, and tells the spec's references ([`ChildRef`]) how the child stands.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::child_ref::ChildRef;
use super::handle::{Control, SupervisorRef};
use super::starter::{Kept, Make, Product, Setting, Starter};
use super::{ChildKind, Plan, Supervisor};
use crate::actor::{Actor, ExitReason, IntoExit, Pid, Process, ProcessRef, Registry};
use crate::channel::watch;
use crate::kernel::backend::Backend;

/// How long a worker has to end when it is asked to, if nothing else is said: OTP's default.
const PATIENCE: Duration = Duration::from_secs(5);

/// When a child that has ended is restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// After an end that was not [orderly](ExitReason::is_orderly): neither [`ExitReason::Normal`] nor
    /// [`ExitReason::Shutdown`].
    Transient,
    /// Never. The supervisor forgets it, also when it stops it in order to restart others.
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

/// How a child is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// With [`ExitReason::Shutdown`], and with [`ExitReason::Kill`] if it has not ended after so long.
    Deadline(Duration),
    /// With [`ExitReason::Kill`], at once.
    Kill,
    /// With [`ExitReason::Shutdown`], and it has all the time it wants. For supervisors, which need the time to stop
    /// what is below them.
    Infinity,
}

/// What becomes of the messages that a child has not received when it ends and is restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mailbox {
    /// They are dropped, as in Erlang: the successor is a new process, with a mailbox of its own. What was asked for in
    /// them fails with [`NoProcess`](crate::promise::Failure::NoProcess), unless the process was built with a hook
    /// for [undelivered](crate::actor::Builder::on_undelivered) messages.
    #[default]
    Drop,
    /// The successor receives them, in order and before any later ones. References to the child stay valid, and
    /// messages may be sent to it at any time. The message that it was handling is not among them: if that was what
    /// killed it, it is not killed by it twice.
    ///
    /// The child keeps its [`Pid`], too, but each end is told to its links and monitors, and they are gone after it. Of a
    /// child that is [started](ChildSpec::start_with) in several processes it is the first one that is kept. When the
    /// child is over for good, what is left in the mailbox is undelivered.
    Keep,
}

/// How a child is started, when it is restarted, how it is stopped.
///
/// Unless something else is said, a child is [`Permanent`](Restart::Permanent), drops its mailbox and has five seconds
/// to end when it is asked to; a supervisor has all the time it wants.
///
/// `M` is the type of the child's messages. A [`reference`](ChildSpec::reference) to the child may be had before it
/// runs, and it follows restarts.
///
/// # Examples
/// ```no_run
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
/// let to_log = log.reference();
/// # let _ = to_log;
/// ```
#[must_use = "a spec does nothing until a supervisor takes it"]
pub struct ChildSpec<M: Send + 'static> {
    /// What the child is called, once in its supervisor.
    id: Arc<str>,
    /// When it is restarted.
    restart: Restart,
    /// How it is stopped; else what is usual for its kind.
    shutdown: Option<Shutdown>,
    /// A worker or a supervisor.
    kind: ChildKind,
    /// Whether its own end may be its supervisor's.
    significant: bool,
    /// What becomes of its mailbox.
    mailbox: Mailbox,
    /// How its process is built.
    settings: Vec<Setting<M>>,
    /// The names that it gets.
    names: Vec<(Registry, Arc<str>)>,
    /// How it is started.
    make: Make<M>,
    /// For a supervisor: what is below it.
    below: Option<Arc<Plan>>,
    /// How it stands, for its references.
    standing: watch::Sender<Standing<M>>,
}

impl<M: Send + 'static> ChildSpec<M> {
    /// A child that is a process which runs `body`, anew at each start.
    pub fn process<F, T>(id: impl Into<Arc<str>>, body: F) -> ChildSpec<M>
    where
        F: Fn(Process<M>) -> T + Send + Sync + 'static,
        T: Future<Output: IntoExit + Send> + Send + 'static,
    {
        ChildSpec::start_with(id, move |start| Ok(start.spawn(&body)?))
    }

    /// A child that is a process which runs straight-line code.
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

    /// A child that is an actor, which `make` makes anew for each start. It counts as started when
    /// [`Actor::started`] has returned; an error or a panic in there is a child that could not be started.
    pub fn actor<A>(id: impl Into<Arc<str>>, make: impl Fn() -> A + Send + Sync + 'static) -> ChildSpec<M>
    where
        A: Actor<Message = M>,
    {
        ChildSpec::new(id.into(), ChildKind::Worker, Make::actor(make))
    }

    /// A child that `start` starts, each time anew, with [`Starter::spawn`] or another of its methods.
    ///
    /// The child counts as started when `start` returns. So if it needs to be ready first, `start` waits for that, with
    /// [`wait`](crate::Wait::wait): it asks the new process something. The supervisor does nothing else meanwhile. When
    /// `start` returns an error or panics, what it has spawned is killed, and the child could not be started.
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
            standing: watch::channel(Standing::Waiting).0,
        }
    }

    /// Says when the child is restarted.
    pub fn restart(mut self, restart: Restart) -> ChildSpec<M> {
        self.restart = restart;
        self
    }

    /// Says how the child is stopped.
    pub fn shutdown(mut self, shutdown: Shutdown) -> ChildSpec<M> {
        self.shutdown = Some(shutdown);
        self
    }

    /// Says what becomes of the child's mailbox at a restart.
    pub fn mailbox(mut self, mailbox: Mailbox) -> ChildSpec<M> {
        self.mailbox = mailbox;
        self
    }

    /// Makes the child one on whose own end the supervisor's may depend; see
    /// [`Supervisor::auto_shutdown`](super::Supervisor::auto_shutdown). As in OTP, a
    /// [permanent](super::PlanError::SignificantAndPermanent) child cannot be one, nor can one of a supervisor that
    /// [never](super::PlanError::SignificantForNobody) ends with its children.
    pub fn significant(mut self, significant: bool) -> ChildSpec<M> {
        self.significant = significant;
        self
    }

    /// Runs the child on `backend`, and not on the supervisor's.
    pub fn on(self, backend: &Arc<dyn Backend>) -> ChildSpec<M> {
        let backend = Arc::clone(backend);
        self.settings(move |builder| builder.on(&backend))
    }

    /// Says how the child's process is built: the size of its mailbox, of its stack, and so on. It has the child's id
    /// for a name unless that is changed.
    pub fn settings<F>(mut self, settings: F) -> ChildSpec<M>
    where
        F: Fn(crate::actor::Builder<M>) -> crate::actor::Builder<M> + Send + Sync + 'static,
    {
        self.settings.push(Box::new(settings));
        self
    }

    /// Gives the child a name in the [global registry](Registry::global) when it is started, each time anew, and before
    /// its first step. If the name is taken, nothing of it runs, and the child cannot be started. Of a child that is
    /// [started](ChildSpec::start_with) in several processes, the first one has the name until another one turns out to
    /// be the child.
    pub fn register(self, name: impl Into<Arc<str>>) -> ChildSpec<M> {
        self.register_in(&Registry::global(), name)
    }

    /// As [`ChildSpec::register`], in `registry`.
    pub fn register_in(mut self, registry: &Registry, name: impl Into<Arc<str>>) -> ChildSpec<M> {
        self.names.push((registry.clone(), name.into()));
        self
    }

    /// A reference to the child, which stays valid when it is restarted.
    pub fn reference(&self) -> ChildRef<M> {
        ChildRef::new(self.standing.subscribe())
    }

    pub(super) fn into_spec(self) -> Arc<Spec> {
        let usual = match self.kind {
            ChildKind::Worker => Shutdown::Deadline(PATIENCE),
            ChildKind::Supervisor => Shutdown::Infinity,
        };
        let child = super::starter::Typed {
            id: Arc::clone(&self.id),
            processes: Mutex::default(),
            kept: Kept::new(self.mailbox),
            settings: self.settings,
            names: self.names,
            make: self.make,
            standing: self.standing,
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
    /// A child that is a supervisor, with all its children. It is started as often as needed, each time with the
    /// children that it has been given here.
    pub fn supervisor(id: impl Into<Arc<str>>, supervisor: Supervisor) -> ChildSpec<Control> {
        let launch = Arc::new(supervisor.into_launch());
        let below = Arc::clone(&launch.plan);
        let mut spec = ChildSpec::new(id.into(), ChildKind::Supervisor, Make::supervisor(launch));
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

/// How a child stands, as far as those who send to it are concerned.
pub(super) enum Standing<M> {
    /// It will run, or run again.
    Waiting,
    /// It runs, or has ended an instant ago.
    Running(ProcessRef<M>),
    /// It will not run unless somebody asks its supervisor for it.
    Stopped,
}

/// A spec in the hands of a supervisor, for which all types of messages are one.
pub(super) struct Spec {
    /// What the child is called.
    pub(super) id: Arc<str>,
    /// When it is restarted.
    pub(super) restart: Restart,
    /// How it is stopped.
    pub(super) shutdown: Shutdown,
    /// A worker or a supervisor.
    pub(super) kind: ChildKind,
    /// Whether its own end may be its supervisor's.
    pub(super) significant: bool,
    /// For a supervisor: what is below it.
    below: Option<Arc<Plan>>,
    /// How it is started.
    start: Box<dyn Start>,
}

/// How a child comes to run, and who is told.
pub(super) trait Start: Send + Sync {
    /// Starts it, linked to `supervisor`.
    fn start<'a>(&'a self, supervisor: &'a mut Process<Control>) -> Starting<'a>;

    /// The processes of the last start: all that there are if it has failed or was given up, else the child's own.
    fn left_behind(&self) -> Vec<Pid>;

    /// It does not run. Whether it will again, its references are told. Returns false where they were told before that
    /// it will not.
    fn halted(&self, again: bool) -> bool;
}

/// The future of a start.
pub(super) type Starting<'a> =
    Pin<Box<dyn Future<Output = Result<Started, Box<dyn Error + Send + Sync>>> + Send + 'a>>;

/// A child that has been started.
pub(super) struct Started {
    /// Its process.
    pub(super) pid: Pid,
    /// The way to ask it, if it is a supervisor.
    pub(super) supervisor: Option<SupervisorRef>,
}

impl<M: Send + 'static> From<&Product<M>> for Started {
    fn from(product: &Product<M>) -> Started {
        Started { pid: product.process.pid(), supervisor: product.supervisor.clone() }
    }
}

impl Spec {
    /// Starts the child; see [`Start::start`].
    pub(super) fn start<'a>(&'a self, supervisor: &'a mut Process<Control>) -> Starting<'a> {
        self.start.start(supervisor)
    }

    /// See [`Start::left_behind`].
    pub(super) fn left_behind(&self) -> Vec<Pid> {
        self.start.left_behind()
    }

    /// The child does not run, and will again.
    pub(super) fn will_run(&self) {
        self.start.halted(true);
    }

    /// The child does not run, and will not by itself; nor will what is below it.
    pub(super) fn will_not_run(&self) {
        let mut specs = vec![self];
        while let Some(spec) = specs.pop() {
            // Where that is no news it is none below either.
            if spec.start.halted(false)
                && let Some(below) = &spec.below
            {
                specs.extend(below.children.iter().map(|child| &**child));
            }
        }
    }
}
