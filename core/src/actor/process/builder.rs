//! The start of a process: its name, its mailbox, where it runs, to whom it is related from the beginning.

mod prepared;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

use self::prepared::{Prepared, Unstarted};
use super::Process;
use super::cell::{Cell, Extra, UNLIMITED, Undelivered};
use super::pid::MonitorRef;
use super::reference::ProcessRef;
use crate::actor::Overflow;
use crate::actor::RegisterError;
use crate::actor::Registry;
use crate::base::sync::atomic::AtomicUsize;
use crate::kernel::backend::Backend;
use crate::kernel::task::{self, IntoExit, SpawnError, current_backend};

/// The number of messages that a mailbox holds at most, if nobody says otherwise: enough for bursts, and
/// little enough that a process which cannot keep up is noticed before memory is.
pub const DEFAULT_CAPACITY: usize = 1024;

/// The error of starting a process. Nothing of it has run; its body has been dropped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnProcessError {
    /// The task of the process could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The process could not have a name: that is taken, and the error says by whom, or the process ended
    /// before it had it.
    #[error(transparent)]
    Name(#[from] RegisterError),
}

/// The settings of a process that is to be started.
///
/// # Examples
/// ```
/// use twoply::actor::{Builder, Event, Process};
///
/// let echo = Builder::new().name("echo").capacity(16).spawn(async |mut me: Process<String>| {
///     while let Event::Message(text) = me.receive().await {
///         println!("{text}");
///     }
/// })?;
/// echo.try_send("hello".to_owned()).unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a builder does nothing until it spawns"]
pub struct Builder<M> {
    /// The name of the process in reports.
    name: Option<Box<str>>,
    /// True if it inherits the name of the task that starts it.
    inherits_name: bool,
    /// The size of the stack of its straight-line code, in bytes.
    stack_size: Option<usize>,
    /// The backend that the process runs on; `None`: that of whoever starts it.
    backend: Option<Arc<dyn Backend>>,
    /// The number of messages that the mailbox holds; [`UNLIMITED`]: no limit.
    capacity: u32,
    /// The behaviour of a full mailbox.
    overflow: Overflow,
    /// True if exit signals are events to the process.
    trapping: bool,
    /// The names by which it is to be found, and where.
    names: Vec<(Registry, Arc<str>)>,
    /// The hook that gets the messages which nobody receives.
    undelivered: Option<Undelivered<M>>,
    /// True if the mailbox outlives the body.
    keeping: bool,
    /// The process whose mailbox it takes over.
    predecessor: Option<Arc<Cell<M>>>,
    /// True if the process ends when nobody refers to it.
    counting: bool,
    /// The place in the program where it was started; `None`: where this builder starts it.
    spawned_at: Option<&'static Location<'static>>,
}

impl<M: Send + 'static> Builder<M> {
    /// Returns the settings of a process without a name, with a mailbox for [`DEFAULT_CAPACITY`] messages, on
    /// the backend of whoever starts it.
    pub fn new() -> Builder<M> {
        Builder {
            name: None,
            inherits_name: false,
            stack_size: None,
            backend: None,
            capacity: DEFAULT_CAPACITY as u32,
            overflow: Overflow::Wait,
            trapping: false,
            names: Vec::new(),
            undelivered: None,
            keeping: false,
            predecessor: None,
            counting: false,
            spawned_at: None,
        }
    }

    /// Names the process and its task, for messages. This name need not be unique, and nobody finds the
    /// process by it; one by which it is found is given by [`register`](Builder::register).
    pub fn name(mut self, name: impl Into<Box<str>>) -> Builder<M> {
        self.name = Some(name.into());
        self
    }

    /// Names the process and its task after the task that starts it, or the process, if that has a name: with
    /// its own [name](Builder::name) behind a slash, or else just so; see [`task::Builder::inherit_name`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{Builder, Process}, task};
    ///
    /// let server = task::Builder::new().name("server").spawn(async {
    ///     let clerk = Builder::new().name("clerk").inherit_name();
    ///     clerk.spawn(async |_: Process<()>| ()).unwrap().pid().name()
    /// })?;
    /// assert_eq!(server.wait()?.as_deref(), Some("server/clerk"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn inherit_name(mut self) -> Builder<M> {
        self.inherits_name = true;
        self
    }

    /// Runs the process on `backend`.
    pub fn on(mut self, backend: &Arc<dyn Backend>) -> Builder<M> {
        self.backend = Some(Arc::clone(backend));
        self
    }

    /// Has the mailbox hold at most `messages`, at least one; [`Builder::overflow`] says what becomes of
    /// others. Signals are not counted.
    pub fn capacity(mut self, messages: usize) -> Builder<M> {
        self.capacity = u32::try_from(messages).unwrap_or(UNLIMITED).max(1);
        self
    }

    /// Has the mailbox hold any number of messages.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{Builder, Process};
    ///
    /// let process = Builder::new().unbounded().spawn_fn(|_: Process<()>| ())?;
    /// assert_eq!(process.capacity(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unbounded(mut self) -> Builder<M> {
        self.capacity = UNLIMITED;
        self
    }

    /// Sets the place in the program where the process is said to have been started.
    pub(in crate::actor) fn at(mut self, place: &'static Location<'static>) -> Builder<M> {
        self.spawned_at = Some(place);
        self
    }

    /// Says what becomes of a message for which there is no room; [`Overflow::Wait`] if this is not called.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{Builder, ExitReason, Overflow, Process}};
    ///
    /// let latest = Builder::new().capacity(1).overflow(Overflow::DropOldest);
    /// let process = latest.spawn_fn(|mut me: Process<u32>| {
    ///     let here = me.me();
    ///     here.try_send(1).unwrap();
    ///     here.try_send(2).unwrap();
    ///     assert_eq!(me.receive().wait().message(), Some(2));
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn overflow(mut self, overflow: Overflow) -> Builder<M> {
        self.overflow = overflow;
        self
    }

    /// Has the process [trap exits](Process::trap_exit) from the beginning.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{Builder, Event, ExitReason, Process}};
    ///
    /// let process = Builder::new().trap_exit(true).spawn_fn(|mut me: Process<()>| {
    ///     assert!(matches!(me.receive().wait(), Event::Exit(_)));
    /// })?;
    /// process.exit(ExitReason::Shutdown);
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn trap_exit(mut self, trapping: bool) -> Builder<M> {
        self.trapping = trapping;
        self
    }

    /// Gives the process a name in the [global registry](Registry::global) before its first step. If the name
    /// is taken, nothing of the process is started: that is [`SpawnProcessError::Name`], which says who has
    /// it.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{Builder, Process, RegisterError, Registry, SpawnProcessError};
    ///
    /// let body = async |mut me: Process<()>| drop(me.receive().await);
    /// let log = Builder::new().register("log").spawn(body)?;
    /// assert_eq!(Registry::global().whereis::<()>("log")?, Some(log));
    /// match Builder::new().register("log").spawn(body) {
    ///     Err(SpawnProcessError::Name(RegisterError::Taken(_, pid))) => println!("it runs already, as {pid}"),
    ///     other => drop(other?),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register(self, name: impl Into<Arc<str>>) -> Builder<M> {
        self.register_in(&Registry::global(), name)
    }

    /// As [`Builder::register`], in `registry`. A process may have any number of names.
    pub fn register_in(mut self, registry: &Registry, name: impl Into<Arc<str>>) -> Builder<M> {
        self.names.push((registry.clone(), name.into()));
        self
    }

    /// Has `hook` called with each message that was accepted and will never be received: at the end of the
    /// process, in order, after its links and monitors have been told; or when a full mailbox drops it.
    ///
    /// The hook is called on the stack that the process ends on, or that the dropping send is called on; a
    /// panic at the end of the process is contained. Messages that a process leaves over after its end, such
    /// as that of a [timer](super::Timer), are given to it in a task of its own, on the backend of the
    /// process. So it may wait.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, channel, actor::{Builder, ExitReason, Process}};
    ///
    /// let (lost, found) = channel::unbounded();
    /// let deaf = Builder::new()
    ///     .on_undelivered(move |number: u32| lost.try_send(number).unwrap())
    ///     .spawn(async |_: Process<u32>| std::future::pending::<()>().await)?;
    /// deaf.try_send(7)?;
    /// deaf.exit(ExitReason::Shutdown);
    /// assert_eq!(found.recv().wait(), Ok(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_undelivered(mut self, hook: impl Fn(M) + Send + Sync + 'static) -> Builder<M> {
        self.undelivered = Some(Box::new(hook));
        self
    }

    /// Says whether the process ends when the last [`ProcessRef`] to it is gone. It then receives what has
    /// been sent, and stops in order, with [`Normal`](task::ExitReason::Normal), when it would wait with an
    /// empty mailbox ([`Event::Stop`](super::Event::Stop)). Unless this is called, a process lives until its
    /// body ends.
    ///
    /// A name in a registry and a membership in a group count as references, because they lead to the
    /// process; a [`WeakRef`](super::WeakRef), a [`Pid`](super::Pid), a timer and a source that an actor is
    /// attached to do not. A process that gives a reference to itself away lives on.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{Builder, Event, ExitReason, Process}};
    ///
    /// let process = Builder::new().end_when_unreferenced(true).spawn(async |mut me: Process<u32>| {
    ///     while let Event::Message(n) = me.receive().await {
    ///         println!("{n}");
    ///     }
    /// })?;
    /// let ended = process.ended();
    /// process.try_send(1)?;
    /// drop(process);
    /// assert_eq!(ended.wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn end_when_unreferenced(mut self, end: bool) -> Builder<M> {
        self.counting = end;
        self
    }

    /// Asks for a stack of at least `bytes` bytes; see [`task::Builder::stack_size`].
    pub fn stack_size(mut self, bytes: usize) -> Builder<M> {
        self.stack_size = Some(bytes);
        self
    }

    /// Has the mailbox stay open when the body ends, for a successor that [takes it
    /// over](Builder::taking_over), or until it is [kept no longer](ProcessRef::keep_mailbox).
    pub(in crate::actor) fn keeping(mut self) -> Builder<M> {
        self.keeping = true;
        self
    }

    /// Starts no new process but a new body for `process`, if that has ended and its mailbox was kept: it has
    /// the same pid, mailbox and name. Else this changes nothing.
    pub(in crate::actor) fn taking_over(mut self, process: &ProcessRef<M>) -> Builder<M> {
        self.predecessor = Some(Arc::clone(process.cell()));
        self
    }

    /// Starts a process that runs `body`. It ends when the body's future does.
    ///
    /// # Errors
    /// Fails as [`current_backend`] does if no backend is named, with [`SpawnProcessError::Name`] when the
    /// process cannot have a name that it [is to have](Builder::register), and as [`task::Builder::spawn_on`]
    /// does.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{Builder, ExitReason, Process}};
    ///
    /// let process = Builder::new().name("clerk").spawn(async |mut me: Process<u32>| {
    ///     assert_eq!(me.receive().await.message(), Some(3));
    /// })?;
    /// process.send(3).wait()?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(self, body: F) -> Result<ProcessRef<M>, SpawnProcessError>
    where
        F: FnOnce(Process<M>) -> T,
        T: Future<Output: IntoExit + Send> + Send + 'static,
    {
        self.prepare()?.with(body).start()
    }

    /// Starts a process that runs `body`, which is straight-line code: it waits with
    /// [`wait`](crate::Wait::wait).
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{Builder, ExitReason, Process}};
    ///
    /// let process = Builder::new().spawn_fn(|mut me: Process<u32>| {
    ///     assert_eq!(me.receive().wait().message(), Some(3));
    /// })?;
    /// process.try_send(3)?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn spawn_fn<F, T>(self, body: F) -> Result<ProcessRef<M>, SpawnProcessError>
    where
        F: FnOnce(Process<M>) -> T + Send + 'static,
        T: IntoExit + Send + 'static,
    {
        self.prepare()?.with_code(body).start()
    }

    /// As [`Builder::spawn`], and links the process to `parent` before its first step.
    ///
    /// # Errors
    /// As [`Builder::spawn`]; `parent` hears nothing of a process that could not be started.
    #[track_caller]
    pub fn spawn_link<P, F, T>(self, parent: &Process<P>, body: F) -> Result<ProcessRef<M>, SpawnProcessError>
    where
        P: Send + 'static,
        F: FnOnce(Process<M>) -> T,
        T: Future<Output: IntoExit + Send> + Send + 'static,
    {
        self.prepare()?.with(body).start_linked(parent)
    }

    /// As [`Builder::spawn_link`], with straight-line code.
    ///
    /// # Errors
    /// As [`Builder::spawn_link`].
    #[track_caller]
    pub fn spawn_link_fn<P, F, T>(
        self,
        parent: &Process<P>,
        body: F,
    ) -> Result<ProcessRef<M>, SpawnProcessError>
    where
        P: Send + 'static,
        F: FnOnce(Process<M>) -> T + Send + 'static,
        T: IntoExit + Send + 'static,
    {
        self.prepare()?.with_code(body).start_linked(parent)
    }

    /// As [`Builder::spawn`], and has `parent` monitor the process from before its first step.
    ///
    /// # Errors
    /// As [`Builder::spawn_link`].
    #[track_caller]
    pub fn spawn_monitor<P, F, T>(
        self,
        parent: &Process<P>,
        body: F,
    ) -> Result<(ProcessRef<M>, MonitorRef), SpawnProcessError>
    where
        P: Send + 'static,
        F: FnOnce(Process<M>) -> T,
        T: Future<Output: IntoExit + Send> + Send + 'static,
    {
        self.prepare()?.with(body).start_monitored(parent)
    }

    /// As [`Builder::spawn_monitor`], with straight-line code.
    ///
    /// # Errors
    /// As [`Builder::spawn_link`].
    #[track_caller]
    pub fn spawn_monitor_fn<P, F, T>(
        self,
        parent: &Process<P>,
        body: F,
    ) -> Result<(ProcessRef<M>, MonitorRef), SpawnProcessError>
    where
        P: Send + 'static,
        F: FnOnce(Process<M>) -> T + Send + 'static,
        T: IntoExit + Send + 'static,
    {
        self.prepare()?.with_code(body).start_monitored(parent)
    }

    /// Makes all that there is of the process before it runs. It has its names already.
    #[track_caller]
    fn prepare(self) -> Result<Prepared<M>, SpawnProcessError> {
        let backend = match self.backend {
            Some(backend) => backend,
            None => current_backend()?,
        };
        let spawned_at = self.spawned_at.unwrap_or(Location::caller());
        let name = if self.inherits_name { task::inherit_name(self.name) } else { self.name };
        let task = task_builder(name.clone(), self.stack_size).at(spawned_at);
        let cell = match self.predecessor {
            Some(cell) if cell.revive(self.trapping) => cell,
            _ => {
                let home = self.undelivered.is_some().then(|| Arc::downgrade(&backend));
                let references = self.counting.then(|| AtomicUsize::new(0));
                let extra = Extra { name, undelivered: self.undelivered, home, references, proxy: None };
                let cell = Cell::new(self.capacity, self.overflow, self.trapping, extra);
                if self.keeping {
                    cell.keep_mailbox(true);
                }
                cell
            }
        };
        let cell = Unstarted(Some(cell));
        for (registry, name) in self.names {
            registry.register(name, &ProcessRef::new(Arc::clone(cell.get())))?;
        }
        Ok(Prepared { backend, task, cell })
    }
}

fn task_builder(name: Option<Box<str>>, stack_size: Option<usize>) -> task::Builder {
    let builder = match name {
        Some(name) => task::Builder::new().name(name),
        None => task::Builder::new(),
    };
    match stack_size {
        Some(bytes) => builder.stack_size(bytes),
        None => builder,
    }
}

impl<M: Send + 'static> Default for Builder<M> {
    fn default() -> Builder<M> {
        Builder::new()
    }
}

impl<M> fmt::Debug for Builder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let capacity = (self.capacity != UNLIMITED).then_some(self.capacity);
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("capacity", &capacity)
            .field("overflow", &self.overflow)
            .field("trap_exit", &self.trapping)
            .finish_non_exhaustive()
    }
}
