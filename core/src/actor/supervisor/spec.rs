//! [`ChildSpec`]: how a child is started, when it is restarted, how it is stopped.
//!
//! A spec is plain data until a supervisor takes it. From then on the supervisor alone starts the child, in
//! its own process, and tells the spec's references ([`ChildRef`]) how the child stands.

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::ChildKind;
use super::backoff::Backoff;
use super::child_ref::ChildRef;
use super::erased::{Availability, Spec};
use super::plan::Plan;
use super::starter::{KeptMailbox, Make, Setting};
#[cfg(doc)]
use crate::actor::Pid;
use crate::actor::{ExitReason, Registry};
use crate::channel::watch;
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
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, actor::{ExitReason, Process, supervisor::{ChildSpec, Shutdown, Supervisor}}};
///
/// // It traps its exits, and takes no notice of them.
/// let stubborn = ChildSpec::process("stubborn", async |mut me: Process<()>| loop { me.receive().await; })
///     .settings(|builder| builder.trap_exit(true))
///     .shutdown(Shutdown::Deadline(Duration::from_millis(1)));
/// let child = stubborn.reference();
/// let supervisor = Supervisor::one_for_one().child(stubborn).start().wait()?;
/// let process = child.process().expect("it runs");
/// supervisor.stop().wait();
/// assert_eq!(process.ended().wait(), ExitReason::Killed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    /// Requests among them fail with [`NoProcess`](crate::promise::Failure::NoProcess), unless the
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
    /// The place in the program where this was made.
    made_at: &'static Location<'static>,
    restart: Restart,
    /// `None` means the default of the child's kind.
    shutdown: Option<Shutdown>,
    kind: ChildKind,
    significant: bool,
    /// The child can be started once only.
    once: bool,
    /// The most restarts, and the period in which they are counted.
    limit: Option<(usize, Duration)>,
    backoff: Option<Backoff>,
    mailbox: Mailbox,
    /// Applied to the builder of the child's process, in this order.
    settings: Vec<Setting<M>>,
    names: Vec<(Registry, Arc<str>)>,
    make: Make<M>,
    /// The plan of a child that is a supervisor.
    pub(super) below: Option<Arc<Plan>>,
    /// Followed by the references to the child.
    availability: watch::Sender<Availability<M>>,
}

impl<M: Send + 'static> ChildSpec<M> {
    #[track_caller]
    pub(super) fn new(id: Arc<str>, kind: ChildKind, make: Make<M>) -> ChildSpec<M> {
        ChildSpec {
            id,
            made_at: Location::caller(),
            restart: Restart::default(),
            shutdown: None,
            kind,
            significant: false,
            once: false,
            limit: None,
            backoff: None,
            mailbox: Mailbox::default(),
            settings: Vec::new(),
            names: Vec::new(),
            make,
            below: None,
            availability: watch::channel(Availability::Waiting).0,
        }
    }

    /// Sets the place in the program where the child is said to have been started.
    pub(in crate::actor) fn at(mut self, place: &'static Location<'static>) -> ChildSpec<M> {
        self.made_at = place;
        self
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

    /// Allows the child itself `restarts` within any `period`, besides the
    /// [intensity](super::Supervisor::intensity) of its supervisor, which counts those of all. One more, and
    /// the child is given up ([`Report::GaveUp`](super::Report::GaveUp)): it stays as it is, as one that has
    /// ended and is not restarted. The others go on, so one child that is beyond help does not take its
    /// supervisor with it. Where they depend on it, under [`Strategy::OneForAll`](super::Strategy::OneForAll)
    /// and [`Strategy::RestForOne`](super::Strategy::RestForOne), the supervisor gives up.
    ///
    /// A restart that fails is counted, as always; one because another child has ended is not. A period of
    /// zero [cannot be](super::PlanError::NoPeriod).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let broken = ChildSpec::process("broken", async |_: Process<()>| panic!("expected"));
    /// let broken = broken.restart_limit(2, Duration::from_secs(60));
    /// let to_broken = broken.reference();
    /// let sound = ChildSpec::process("sound", async |mut me: Process<()>| drop(me.receive().await));
    /// let supervisor = Supervisor::one_for_one().intensity(100, Duration::from_secs(60));
    /// let supervisor = supervisor.child(broken).child(sound).start().wait()?;
    /// while to_broken.send(()).wait().is_ok() {} // Until it has been given up.
    /// assert_eq!(supervisor.count().wait()?.active, 1);
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn restart_limit(mut self, restarts: usize, period: Duration) -> ChildSpec<M> {
        self.limit = Some((restarts, period));
        self
    }

    /// Has the supervisor wait before it restarts the child, longer each time: a child that cannot do without
    /// something that is gone for now neither keeps a core busy nor uses up its restarts in a moment. Unless
    /// this is called, it is restarted at once.
    ///
    /// Children that are restarted with it are stopped at once and wait with it. References wait, too, and a
    /// [kept](Mailbox::Keep) mailbox goes on taking messages. The supervisor does not stand still: requests,
    /// the ends of other children and its own stop are handled meanwhile, and where another child's end
    /// restarts this one, the delay is over. Each restart counts
    /// for the [intensity](super::Supervisor::intensity) when it is scheduled, so allow for as many as the
    /// delays make possible; `usize::MAX` is never too many.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{Backoff, ChildSpec, Supervisor}};
    ///
    /// let client = ChildSpec::process("client", async |mut me: Process<u8>| {
    ///     match me.receive().await.message() {
    ///         Some(0) => Err("the server is gone"),
    ///         _ => Ok(()),
    ///     }
    /// });
    /// let client = client.backoff(Backoff::new(Duration::from_millis(1), Duration::from_secs(30)));
    /// let to_client = client.reference();
    /// let supervisor = Supervisor::one_for_one().intensity(usize::MAX, Duration::from_secs(60));
    /// let supervisor = supervisor.child(client).start().wait()?;
    /// to_client.send(0).wait()?;
    /// to_client.send(1).wait()?; // This waits for the restart, for a millisecond or so.
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backoff(mut self, backoff: Backoff) -> ChildSpec<M> {
        self.backoff = Some(backoff);
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
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, Registry, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let registry = Registry::new();
    /// let sink = ChildSpec::process("sink", async |mut me: Process<u8>| drop(me.receive().await));
    /// let sink = sink.register_in(&registry, "the sink");
    /// let supervisor = Supervisor::one_for_one().child(sink).start().wait()?;
    /// assert!(registry.whereis::<u8>("the sink")?.is_some());
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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

    /// Returns the id of the child.
    pub(in crate::actor) fn id(&self) -> &str {
        &self.id
    }

    /// Makes the child one that can be started once only.
    pub(super) fn only_once(mut self) -> ChildSpec<M> {
        self.once = true;
        self.restart(Restart::Temporary)
    }

    /// Adds `number` to the id.
    pub(super) fn numbered(mut self, number: usize) -> ChildSpec<M> {
        self.id = format!("{} {number}", self.id).into();
        self
    }

    pub(super) fn into_spec(self) -> Arc<Spec> {
        let usual = match self.kind {
            ChildKind::Worker => Shutdown::Deadline(PATIENCE),
            ChildKind::Supervisor => Shutdown::Infinity,
        };
        let child = super::starter::TypedSpec {
            id: Arc::clone(&self.id),
            made_at: self.made_at,
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
            once: self.once,
            limit: self.limit,
            backoff: self.backoff,
            below: self.below,
            start: Box::new(child),
        })
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
