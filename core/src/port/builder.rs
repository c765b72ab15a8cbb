//! The settings of a port, and its start.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use super::active::Active;
use super::engine::{Control, Engine, Start};
use super::event::Event;
use super::handle::{Port, PortRef};
use super::medium::Medium;
use super::outlet::{Outlet, ToChannel, ToMailbox};
use crate::actor::{self, Pid, Process, ProcessRef, SpawnProcessError};
use crate::channel;
use crate::kernel::backend::Backend;
use crate::kernel::io_threads;
use crate::kernel::task::current_backend;

/// The number of events that a port which is a source holds for its receiver.
const EVENTS: usize = 64;

/// The number of items that may wait to be written, unless one says otherwise.
const WRITES: usize = 64;

/// The number of unwritten bytes above which no item is encoded, unless one says otherwise.
const HIGH_WATER: usize = 64 << 10;

/// The settings of a port that is to be started: what the functions of the [module](super) return.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::UnixStream, port::{self, Active, Event}};
///
/// let (ours, theirs) = UnixStream::pair()?;
/// let port = port::lines(ours).name("console").active(Active::Once).half_open(true).start()?;
/// theirs.write_all(b"status\n").wait()?;
/// assert_eq!(port.recv().wait()?.item().as_deref(), Some("status"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a builder does nothing until it starts the port"]
pub struct Builder<I: Send + 'static, O: Send + 'static> {
    /// The settings of the port's process.
    process: actor::Builder<Control<I>>,
    /// The backend of the task that it belongs to; `None`: the calling one.
    backend: Option<Arc<dyn Backend>>,
    /// Starts it with the medium that it is over.
    spawn: Box<Spawn<I, O>>,
    active: Active,
    high_water: usize,
    write_queue: usize,
    half_open: bool,
}

/// Starts a port over the medium that it has.
type Spawn<I, O> = dyn FnOnce(actor::Builder<Control<I>>, Settings<I, O>) -> Result<ProcessRef<Control<I>>, SpawnProcessError>
    + Send;

/// The parts that a port is started with besides its medium.
struct Settings<I, O> {
    outlet: Box<dyn Outlet<I>>,
    owner: Option<Pid>,
    active: Active,
    writes: channel::Receiver<O>,
    high_water: usize,
    half_open: bool,
}

impl<I: Send + 'static, O: Send + 'static> Builder<I, O> {
    /// Returns the settings of a port over `medium`.
    pub(super) fn new<M: Medium<In = I, Out = O>>(medium: M) -> Builder<I, O> {
        let spawn = |process: actor::Builder<Control<I>>, settings: Settings<I, O>| {
            let start = Start {
                medium,
                outlet: settings.outlet,
                owner: settings.owner,
                active: settings.active,
                writes: settings.writes,
                high_water: settings.high_water,
                half_open: settings.half_open,
            };
            process.spawn(|mut me: Process<Control<I>>| {
                let mut engine = Engine::new(start, &me);
                poll_fn(move |cx| engine.poll(&mut me, cx))
            })
        };
        Builder {
            process: actor::Builder::new().unbounded(),
            backend: None,
            spawn: Box::new(spawn),
            active: Active::Always,
            high_water: HIGH_WATER,
            write_queue: WRITES,
            half_open: false,
        }
    }

    /// Names the process of the port, for messages.
    pub fn name(mut self, name: impl Into<Box<str>>) -> Builder<I, O> {
        self.process = self.process.name(name);
        self
    }

    /// Registers the process of the port under a name, by which its pid is found.
    ///
    /// # Examples
    /// ```
    /// use twoply::{actor::Registry, net::UnixStream, port};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let port = port::lines(ours).register("console").start()?;
    /// assert_eq!(Registry::global().whereis_pid("console"), Some(port.port_ref().pid()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register(mut self, name: impl Into<Arc<str>>) -> Builder<I, O> {
        self.process = self.process.register(name);
        self
    }

    /// Runs the port as one of a task of `backend`; of the calling task unless set. A port needs no stack, so
    /// where each task is a thread it runs on one that all ports share, and where the runtime has
    /// threads for I/O (`io_server` of its builder) on one of those.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Runtime, Wait, net::UnixStream, port};
    ///
    /// let runtime = Runtime::builder().build()?;
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let port = port::lines(ours).on(runtime.spawner().backend()).start()?;
    /// theirs.write_all(b"hello\n").wait()?;
    /// assert_eq!(port.recv().wait()?.item().as_deref(), Some("hello"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on(mut self, backend: &Arc<dyn Backend>) -> Builder<I, O> {
        self.backend = Some(Arc::clone(backend));
        self
    }

    /// Sets how many items the port gives before it is asked for more; all unless set.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, net::UnixStream, port::{self, Active, Event}};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// theirs.write_all(b"1\n2\n3\n").wait()?;
    /// let port = port::lines(ours).active(Active::N(2)).start()?;
    /// assert_eq!(port.recv().wait()?.item().as_deref(), Some("1"));
    /// assert_eq!(port.recv().wait()?.item().as_deref(), Some("2"));
    /// assert!(matches!(port.recv().wait()?, Event::Passive));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn active(mut self, active: Active) -> Builder<I, O> {
        self.active = active;
        self
    }

    /// Sets the number of unwritten bytes from which on no item is encoded, at least one; 64 KiB unless set.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, net::UnixStream, port};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// // One line at a time is encoded, however short.
    /// let port = port::lines(ours).high_water(1).start()?;
    /// port.send("hello".to_owned()).wait()?;
    /// theirs.read_exact(&mut [0; 6]).wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn high_water(mut self, bytes: usize) -> Builder<I, O> {
        self.high_water = bytes.max(1);
        self
    }

    /// Sets the number of items that may wait to be encoded, at least one; 64 unless set.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, channel::TrySendError, net::UnixStream, port};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let port = port::lines(ours).write_queue(1).high_water(1).start()?;
    /// let mut refused = Ok(());
    /// while refused.is_ok() {
    ///     refused = port.try_send("nobody reads this".repeat(1000));
    /// }
    /// assert!(matches!(refused, Err(TrySendError::Full(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_queue(mut self, items: usize) -> Builder<I, O> {
        self.write_queue = items.max(1);
        self
    }

    /// Sets whether the port stays open for writing when its input has ended: it then tells of that with
    /// [`Event::HalfClosed`], and the owner [closes](PortRef::close) it. Unless set, it writes what has been
    /// sent by then, and closes by itself.
    ///
    /// # Examples
    /// ```
    /// use std::net::Shutdown;
    /// use twoply::{Wait, net::UnixStream, port::{self, Event}};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let port = port::lines(ours).half_open(true).start()?;
    /// theirs.shutdown(Shutdown::Write)?;
    /// assert!(matches!(port.recv().wait()?, Event::HalfClosed));
    /// port.send("an answer".to_owned()).wait()?;
    /// theirs.read_exact(&mut [0; 10]).wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn half_open(mut self, half_open: bool) -> Builder<I, O> {
        self.half_open = half_open;
        self
    }

    /// Starts the port, whose events are received from what is returned.
    ///
    /// # Errors
    /// When its process cannot be started, or cannot have its name.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, net::UnixStream, port::{self, Event}};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let port = port::lines(ours).start()?;
    /// theirs.write_all(b"the only line\n").wait()?;
    /// drop(theirs);
    /// assert_eq!(port.recv().wait()?.item().as_deref(), Some("the only line"));
    /// assert!(matches!(port.recv().wait()?, Event::Closed));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn start(self) -> Result<Port<I, O>, SpawnProcessError> {
        let (sender, events) = channel::bounded(EVENTS);
        let port = self.spawn(Box::new(ToChannel::new(sender)), None)?;
        Ok(Port::new(events, port))
    }

    /// Starts the port, whose events arrive in the mailbox of `owner` as messages that `make` makes of them.
    /// The port closes with `owner`. It reads nothing while the mailbox is full.
    ///
    /// `make` runs in the task of the port; if it panics, the port ends. A mailbox that refuses a message
    /// where others wait ([`Overflow::Fail`](crate::actor::Overflow::Fail)) ends it, too.
    ///
    /// # Errors
    /// When its process cannot be started, or cannot have its name.
    ///
    /// # Examples
    /// One process that owns a connection and a clock:
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, actor::{self, Event, Process}, net::UnixStream, port};
    ///
    /// enum Message {
    ///     Net(port::Event<String>),
    ///     Tick,
    /// }
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let owner = actor::spawn_fn(move |mut me: Process<Message>| {
    ///     let net = port::lines(ours).into_mailbox(&me.me(), Message::Net).unwrap();
    ///     port::timer(Duration::from_millis(1)).into_mailbox(&me.me(), |_| Message::Tick).unwrap();
    ///     let (mut lines, mut ticks) = (0, 0);
    ///     while lines < 1 || ticks < 3 {
    ///         match me.receive().wait() {
    ///             Event::Message(Message::Net(port::Event::Item(line))) => {
    ///                 net.send(line.to_uppercase()).wait().unwrap();
    ///                 lines += 1;
    ///             }
    ///             Event::Message(Message::Tick) => ticks += 1,
    ///             other => panic!("{}", other.is_message()),
    ///         }
    ///     }
    ///     net.close();
    ///     net.ended().wait();
    /// })?;
    /// theirs.write_all(b"hello\n").wait()?;
    /// let mut answer = [0; 6];
    /// theirs.read_exact(&mut answer).wait()?;
    /// assert_eq!(&answer, b"HELLO\n");
    /// assert!(owner.ended().wait().is_normal());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn into_mailbox<N, F>(
        self,
        owner: &ProcessRef<N>,
        make: F,
    ) -> Result<PortRef<I, O>, SpawnProcessError>
    where
        N: Send + 'static,
        F: FnMut(Event<I>) -> N + Send + 'static,
    {
        self.spawn(Box::new(ToMailbox::new(owner.clone(), make)), Some(owner.pid()))
    }

    #[track_caller]
    fn spawn(
        self,
        outlet: Box<dyn Outlet<I>>,
        owner: Option<Pid>,
    ) -> Result<PortRef<I, O>, SpawnProcessError> {
        let Builder { process, backend, spawn, active, high_water, write_queue, half_open } = self;
        let (sender, writes) = channel::bounded(write_queue);
        let home = io_threads::home(match backend {
            Some(backend) => backend,
            None => current_backend()?,
        })?;
        let process = process.on(&home);
        let control = spawn(process, Settings { outlet, owner, active, writes, high_water, half_open })?;
        Ok(PortRef::new(control, sender))
    }
}

impl<I: Send + 'static, O: Send + 'static> fmt::Debug for Builder<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("active", &self.active)
            .field("high_water", &self.high_water)
            .field("write_queue", &self.write_queue)
            .field("half_open", &self.half_open)
            .finish_non_exhaustive()
    }
}
