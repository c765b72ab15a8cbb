//! [`ServiceBuilder`]: the settings of a reference to a service.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::session::{self, Envelope, State, Undelivered};
use super::{Handle, Presence, Service, ServiceRef, Session, Shared, WhileAway};
use crate::actor::supervisor::Backoff;
use crate::actor::{Builder, ExitReason, Process, SpawnProcessError};
use crate::channel::watch;
use crate::kernel::backend::Backend;

/// The first delay before a service is looked for again: little beside the time that a program takes to
/// start.
const FIRST_DELAY: Duration = Duration::from_millis(10);

/// The longest delay: often enough for whoever waits for the service, and seldom enough to cost nothing.
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// Settings of a reference that is to be started; see [`ServiceRef::builder`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::Wait;
/// use twoply::actor::{NamedService, Registry, ServiceRef, supervisor::Backoff};
///
/// let printer = ServiceRef::builder()
///     .name("printer")
///     .backoff(Backoff::new(Duration::from_millis(1), Duration::from_secs(5)))
///     .start(NamedService::new(&Registry::new(), "printer"))?;
/// printer.send("page").wait()?;
/// assert_eq!(printer.queued(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a builder does nothing until it starts"]
pub struct ServiceBuilder<M: Send + 'static> {
    /// The settings of the process.
    process: Builder<Envelope<M>>,
    while_away: WhileAway,
    backoff: Backoff,
    undelivered: Option<Undelivered<M>>,
}

impl<M: Send + 'static> ServiceBuilder<M> {
    pub(super) fn new() -> ServiceBuilder<M> {
        ServiceBuilder {
            process: Builder::new(),
            while_away: WhileAway::Queue,
            backoff: Backoff::new(FIRST_DELAY, LONGEST_DELAY),
            undelivered: None,
        }
    }

    /// Names the process and its task, for messages.
    pub fn name(mut self, name: impl Into<Box<str>>) -> ServiceBuilder<M> {
        self.process = self.process.name(name);
        self
    }

    /// Runs the process on `backend`.
    pub fn on(mut self, backend: &Arc<dyn Backend>) -> ServiceBuilder<M> {
        self.process = self.process.on(backend);
        self
    }

    /// Lets at most so many messages wait in the queue, at least one.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{NamedService, Registry, SendToServiceError, ServiceRef};
    ///
    /// let builder = ServiceRef::builder().capacity(1);
    /// let printer = builder.start(NamedService::new(&Registry::new(), "printer"))?;
    /// printer.try_send("one")?;
    /// assert!(matches!(printer.try_send("two"), Err(SendToServiceError::Full("two"))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn capacity(mut self, messages: usize) -> ServiceBuilder<M> {
        self.process = self.process.capacity(messages);
        self
    }

    /// Says what becomes of messages that are sent while the service is away; they are
    /// [queued](WhileAway::Queue) unless this is called.
    pub fn while_away(mut self, while_away: WhileAway) -> ServiceBuilder<M> {
        self.while_away = while_away;
        self
    }

    /// Says how long the reference waits between two sessions. A session counts as one that has run for as
    /// long as the service was there. Unless this is called, the delays go from 10 ms to a second.
    pub fn backoff(mut self, backoff: Backoff) -> ServiceBuilder<M> {
        self.backoff = backoff;
        self
    }

    /// Has `hook` called with each message that is left in the queue when the reference ends, in order; as
    /// [`Builder::on_undelivered`]. The service has got none of them.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{ExitReason, NamedService, Registry, ServiceRef};
    /// use twoply::{Wait, channel};
    ///
    /// let (lost, found) = channel::unbounded();
    /// let nobody = ServiceRef::builder()
    ///     .on_undelivered(move |number: u32| lost.try_send(number).unwrap())
    ///     .start(NamedService::new(&Registry::new(), "nobody"))?;
    /// nobody.send(7).wait()?;
    /// nobody.exit(ExitReason::Shutdown);
    /// assert_eq!(found.recv().wait()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_undelivered(mut self, hook: impl Fn(M) + Send + Sync + 'static) -> ServiceBuilder<M> {
        self.undelivered = Some(Arc::new(hook));
        self
    }

    /// Starts the reference. It looks for the service at once.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    #[track_caller]
    pub fn start(self, service: impl Service<Message = M>) -> Result<ServiceRef<M>, SpawnProcessError> {
        let ServiceBuilder { mut process, while_away, backoff, undelivered } = self;
        if let Some(hook) = undelivered.clone() {
            process = process.on_undelivered(move |Envelope { message, .. }| hook(message));
        }
        let shared = Arc::new(Shared(Mutex::new(State { present: false, returned: VecDeque::new() })));
        let (tell, states) = watch::channel(Presence::Away(ExitReason::NoProcess));
        let seen = Arc::clone(&shared);
        let process = process.spawn(move |me: Process<Envelope<M>>| {
            session::run(service, Session::new(me, seen, tell, backoff, undelivered))
        })?;
        Ok(ServiceRef(Arc::new(Handle { process, shared, states, while_away })))
    }
}

impl<M: Send + 'static> fmt::Debug for ServiceBuilder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceBuilder")
            .field("process", &self.process)
            .field("while_away", &self.while_away)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}
