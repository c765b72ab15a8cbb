//! Services that come and go: what stands for one while it is away, [`ServiceRef`], and how it is reached
//! while it is there, [`Service`].
//!
//! A reference is a process whose mailbox is the queue. Its body is one [`Session`] after another: the code
//! of a [`Service`] finds the service, says that it is [present](Session::present), and takes message after
//! message from the queue for as long as it can hand them on. So what nobody has taken survives the service,
//! in its order, and is taken once, by a later session; there is no second queue, and nothing to copy back.
//! A name of a registry is such a service ([`NamedService`]), and so is whatever a program connects to.
//!
//! This module decides nothing about wires, and repeats nothing: a message that a session has taken is never
//! taken again, unless the session gives it [back](Session::put_back).

mod builder;
mod error;
mod named;
mod session;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

pub use builder::ServiceBuilder;
pub use error::{AskServiceError, SendToServiceError};
pub use named::NamedService;
pub use session::Session;

use session::{Envelope, State};

use super::{Ended, ExitReason, Pid, ProcessRef, SpawnProcessError};
use crate::base::sync::lock_std;
use crate::channel::{SendError, TrySendError, watch};
use crate::promise::Resolver;

/// The way to a service that comes and goes: how it is found, and how it is served with messages while it is
/// there.
///
/// # Examples
/// A service behind a Unix socket that answers each line by one:
/// ```
/// use std::io;
/// use std::path::PathBuf;
/// use twoply::actor::{Service, ServiceRef, Session};
/// use twoply::net::{UnixListener, UnixStream};
/// use twoply::promise::Resolver;
/// use twoply::{Wait, spawn};
///
/// struct Echo(PathBuf);
///
/// impl Service for Echo {
///     type Message = (u8, Resolver<u8>);
///     type Error = io::Error;
///
///     async fn serve(&mut self, session: &mut Session<Self::Message>) -> io::Result<()> {
///         let mut stream = UnixStream::connect(&self.0).await?;
///         session.present();
///         while let Some((byte, reply)) = session.receive().await {
///             stream.write_all(&[byte]).await?;
///             let mut answer = [0];
///             stream.read_exact(&mut answer).await?;
///             _ = reply.resolve(answer[0]);
///         }
///         Ok(())
///     }
/// }
///
/// # let path = std::env::temp_dir().join(format!("twoply-service-{}", std::process::id()));
/// let echo = ServiceRef::start(Echo(path.clone()))?;
/// assert!(!echo.is_present());
/// // The question waits until the service is there.
/// let asking = { let echo = echo.clone(); spawn(async move { echo.ask(|reply| (7, reply)).await }) };
/// let listener = UnixListener::bind(&path)?;
/// let (mut stream, _) = listener.accept().wait()?;
/// let mut byte = [0];
/// stream.read_exact(&mut byte).wait()?;
/// stream.write_all(&byte).wait()?;
/// assert_eq!(asking.wait()??, 7);
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Service: Send + 'static {
    /// The messages that the service takes. A question carries the [`Resolver`] of its answer.
    type Message: Send + 'static;

    /// The reason why a session is over.
    type Error: Into<Box<dyn Error + Send + Sync>> + Send + 'static;

    /// Finds the service, and hands it messages until it is away or `session` has no more.
    ///
    /// It is called again after each return, with a [delay](ServiceBuilder::backoff), unless the reference is
    /// over. A message that was [received](Session::receive) counts as sent, whatever becomes of it then. So
    /// a session that waits for the service's answers, or watches for its end, does that beside the wait for
    /// the next message, in a [`select!`](crate::select!). A panic ends the reference, as one of a process.
    ///
    /// # Errors
    /// With the reason why the service could not be found, or is away again.
    fn serve(
        &mut self,
        session: &mut Session<Self::Message>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// A reference to a service that comes and goes; see [`Service`]. Clones are the same reference.
///
/// A message that is sent while the service is away waits in a queue of bounded length, or is refused
/// ([`WhileAway`]). This is what becomes of a message:
///
/// | it is told | has the service got it? |
/// |---|---|
/// | handed back, by [`SendToServiceError`] | no |
/// | [`AskServiceError::NotSent`], or the hook for what is [undelivered](ServiceBuilder::on_undelivered) | no |
/// | [`AskServiceError::Unknown`]: a session has taken it, and has ended without an answer | nobody can know |
/// | an answer | yes, once |
///
/// Messages of one sender are taken in the order in which they were sent, each of them once. A message that
/// is no question has nobody who could be told what has become of it in the hands of a session: whoever has
/// to know asks.
///
/// # The end
/// When the last clone is dropped, what is queued is still sent, for which the service is waited for; with
/// an empty queue the reference ends at once. [`exit`](ServiceRef::exit) ends it whatever is queued, and so
/// does the end of its backend.
///
/// # Examples
/// ```
/// use twoply::actor::{Builder, NamedService, Process, Registry, ServiceRef};
/// use twoply::{Wait, channel};
///
/// let registry = Registry::new();
/// let log = ServiceRef::start(NamedService::new(&registry, "log"))?;
/// log.send("first").wait()?;
/// assert!(!log.is_present());
/// let (seen, lines) = channel::unbounded();
/// let body = async move |mut me: Process<&'static str>| seen.try_send(me.receive().await.message()).unwrap();
/// Builder::new().register_in(&registry, "log").spawn(body)?;
/// assert_eq!(lines.recv().wait()?, Some("first"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ServiceRef<M: Send + 'static>(Arc<Handle<M>>);

/// The part that all clones of a reference share; the last of them lets the process end.
struct Handle<M: Send + 'static> {
    /// The process whose mailbox is the queue.
    process: ProcessRef<Envelope<M>>,
    /// The state that the process and its references share.
    shared: Arc<Shared<M>>,
    /// The states of the service, for those who watch.
    states: watch::Receiver<Presence>,
    while_away: WhileAway,
}

/// The state that the process of a reference shows to its references.
struct Shared<M>(Mutex<State<M>>);

impl<M> Shared<M> {
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        lock_std(&self.0)
    }
}

/// The state of a service, as its reference knows it.
///
/// It is what was true when somebody looked: a service may be gone, and its session not know it yet.
///
/// # Examples
/// ```
/// use twoply::actor::{ExitReason, Presence};
///
/// assert!(Presence::Present(1).is_present());
/// assert!(!Presence::Away(ExitReason::NoProcess).is_present());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presence {
    /// It is not there. The reason is that of the last session's end: [`NoProcess`](ExitReason::NoProcess)
    /// when it has never been there, or the reference itself is over.
    Away(ExitReason),
    /// It is there, in the session with this number. The first is 1.
    Present(u64),
}

impl Presence {
    /// Returns true if the service is there.
    pub fn is_present(&self) -> bool {
        matches!(self, Presence::Present(_))
    }
}

/// The fate of messages that are sent while a service is away.
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{NamedService, Registry, ServiceRef, WhileAway}};
///
/// let refuses = ServiceRef::builder().while_away(WhileAway::Refuse);
/// let refuses = refuses.start(NamedService::new(&Registry::new(), "printer"))?;
/// assert!(refuses.send("page").wait().is_err());
/// let queues = ServiceRef::start(NamedService::new(&Registry::new(), "printer"))?;
/// queues.send("page").wait()?;
/// assert_eq!(queues.queued(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhileAway {
    /// They wait in the queue. When that is full, a send waits, and [`ServiceRef::try_send`] fails.
    Queue,
    /// They are refused. What was accepted before the service went away stays in the queue, and is sent when
    /// it is back: to have been accepted is final.
    Refuse,
}

impl<M: Send + 'static> ServiceRef<M> {
    /// Starts a reference to `service` with the usual settings; see [`ServiceRef::builder`].
    ///
    /// # Errors
    /// As [`ServiceBuilder::start`].
    #[track_caller]
    pub fn start(service: impl Service<Message = M>) -> Result<ServiceRef<M>, SpawnProcessError> {
        ServiceRef::builder().start(service)
    }

    /// Returns the usual settings of a reference: it queues as many messages as a process does
    /// ([`DEFAULT_CAPACITY`](super::DEFAULT_CAPACITY)), on the backend of whoever starts it.
    pub fn builder() -> ServiceBuilder<M> {
        ServiceBuilder::new()
    }

    /// Sends `message`: it is in the queue when the future is ready. Waits for room there, which comes when
    /// the service takes messages.
    ///
    /// # Errors
    /// [`Away`](SendToServiceError::Away) when the service is away and messages are
    /// [refused](WhileAway::Refuse) then; [`Closed`](SendToServiceError::Closed) when the reference has been
    /// ended. The message is handed back.
    ///
    /// # Cancel safety
    /// A future that is dropped before it is ready has not sent the message.
    pub async fn send(&self, message: M) -> Result<(), SendToServiceError<M>> {
        if self.refuses() {
            return Err(SendToServiceError::Away(message));
        }
        let sent = self.0.process.send(Envelope::plain(message)).await;
        sent.map_err(|SendError(envelope)| SendToServiceError::Closed(envelope.message))
    }

    /// As [`ServiceRef::send`], if that can be done at once.
    ///
    /// # Errors
    /// As there, and [`Full`](SendToServiceError::Full) when there is no room in the queue.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{NamedService, Registry, SendToServiceError, ServiceRef, WhileAway};
    ///
    /// let builder = ServiceRef::builder().while_away(WhileAway::Refuse);
    /// let printer = builder.start(NamedService::new(&Registry::new(), "printer"))?;
    /// assert!(matches!(printer.try_send("page"), Err(SendToServiceError::Away("page"))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_send(&self, message: M) -> Result<(), SendToServiceError<M>> {
        if self.refuses() {
            return Err(SendToServiceError::Away(message));
        }
        self.0.process.try_send(Envelope::plain(message)).map_err(|error| match error {
            TrySendError::Full(envelope) => SendToServiceError::Full(envelope.message),
            TrySendError::Closed(envelope) => SendToServiceError::Closed(envelope.message),
        })
    }

    /// Asks the service: sends the message that `question` makes of a resolver, as [`ServiceRef::send`] does,
    /// and waits for the answer. Set a deadline with [`time::timeout`](crate::time::timeout()).
    ///
    /// # Errors
    /// [`NotSent`](AskServiceError::NotSent) when no session has taken the question, and none will;
    /// [`Unknown`](AskServiceError::Unknown) when one has, and there is no answer.
    ///
    /// # Cancel safety
    /// A future that is dropped gives up on the answer. The question may have been sent, or be sent later.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{AskServiceError, NamedService, Registry, ServiceRef, WhileAway};
    /// use twoply::{Wait, promise::Resolver};
    ///
    /// let clock = ServiceRef::<Resolver<u64>>::builder().while_away(WhileAway::Refuse);
    /// let clock = clock.start(NamedService::new(&Registry::new(), "clock"))?;
    /// let answer = clock.ask(|reply| reply).wait();
    /// assert!(matches!(answer, Err(AskServiceError::Away)), "it has not been asked");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(Resolver<R>) -> M,
    ) -> Result<R, AskServiceError> {
        if self.refuses() {
            return Err(AskServiceError::Away);
        }
        let taken = Arc::new(AtomicBool::new(false));
        let envelope = |resolver| Envelope::question(question(resolver), Arc::clone(&taken));
        let answer = self.0.process.ask(envelope).await;
        answer.map_err(|failure| match taken.load(Ordering::Relaxed) {
            true => AskServiceError::Unknown(failure),
            false => AskServiceError::NotSent(failure),
        })
    }

    /// Returns true if the service is there, as far as is known.
    pub fn is_present(&self) -> bool {
        self.0.shared.lock().present
    }

    /// Returns what tells the states of the service: the present one, and each that follows, of which a slow
    /// watcher sees the latest. It is closed when the reference is over.
    ///
    /// As a [stream](watch::Receiver::into_stream) it is a [`Source`](crate::channel::Source), which can be
    /// [attached](super::Context::attach) to an actor.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Builder, ExitReason, NamedService, Presence, Process, Registry, ServiceRef};
    ///
    /// let registry = Registry::new();
    /// let clerk = ServiceRef::<u8>::start(NamedService::new(&registry, "clerk"))?;
    /// let mut states = clerk.presence();
    /// assert_eq!(*states.latest(), Presence::Away(ExitReason::NoProcess));
    /// let body = async |mut me: Process<u8>| drop(me.receive().await);
    /// Builder::new().register_in(&registry, "clerk").spawn(body)?;
    /// states.wait_for(Presence::is_present).wait()?;
    /// clerk.send(1).wait()?; // It ends.
    /// assert_eq!(*states.changed().wait()?, Presence::Away(ExitReason::Normal));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn presence(&self) -> watch::Receiver<Presence> {
        self.0.states.clone()
    }

    /// Returns the number of messages that wait in the queue.
    pub fn queued(&self) -> usize {
        // In this order: one that is being put back is counted in the state before it leaves the session.
        self.0.process.len() + self.0.shared.lock().returned.len()
    }

    /// Returns the identity of the process that stands for the service, for links and monitors.
    pub fn pid(&self) -> Pid {
        self.0.process.pid()
    }

    /// Ends the reference, whatever is queued, with this reason; see [`ProcessRef::exit`]. What is queued is
    /// [undelivered](ServiceBuilder::on_undelivered).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{ExitReason, NamedService, Registry, SendToServiceError, ServiceRef}};
    ///
    /// let printer = ServiceRef::start(NamedService::new(&Registry::new(), "printer"))?;
    /// printer.exit(ExitReason::Shutdown);
    /// assert_eq!(printer.ended().wait(), ExitReason::Shutdown);
    /// assert!(matches!(printer.send("page").wait(), Err(SendToServiceError::Closed("page"))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exit(&self, reason: ExitReason) {
        self.0.process.exit(reason);
    }

    /// Waits for the end of the reference; see [`Pid::ended`].
    pub fn ended(&self) -> Ended {
        self.0.process.ended()
    }

    /// Returns true if what is sent now is refused, because the service is away.
    fn refuses(&self) -> bool {
        self.0.while_away == WhileAway::Refuse && !self.is_present() && !self.0.process.is_closed()
    }
}

impl<M: Send + 'static> Drop for Handle<M> {
    fn drop(&mut self) {
        // First it is closed, then looked at: a session that is away meanwhile does these in the other order,
        // and one of the two sees that it is over (`Session::is_over`).
        self.process.drain(ExitReason::Normal);
        let state = self.shared.lock();
        if !state.present && state.returned.is_empty() && self.process.is_empty() {
            drop(state);
            self.process.exit(ExitReason::Shutdown);
        }
    }
}

impl<M: Send + 'static> Clone for ServiceRef<M> {
    fn clone(&self) -> ServiceRef<M> {
        ServiceRef(Arc::clone(&self.0))
    }
}

impl<M: Send + 'static> fmt::Debug for ServiceRef<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceRef")
            .field("process", &self.0.process)
            .field("present", &self.is_present())
            .field("queued", &self.queued())
            .finish()
    }
}
