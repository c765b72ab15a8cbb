//! References to processes, through which messages are sent.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::cell::{Cell, Reserved};
use super::pid::Pid;
use super::stopping::Stopping;
use crate::channel::{SendError, Sending, Sink, TrySendError, WaitKey};
use crate::kernel::strand::part_with;
use crate::kernel::task::ExitReason;

/// A reference to a process that takes messages of type `M`. It does not show where the process runs.
///
/// A process lives until its body ends, however many references there are, or none, unless it was started
/// [to end without](crate::actor::Builder::end_when_unreferenced). The messages that are sent through
/// references by one process, or by one thread, arrive in the order in which they were sent.
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{Builder, Event, Process}};
///
/// let adder = Builder::new().spawn(async |mut me: Process<u32>| {
///     let mut sum = 0;
///     while let Event::Message(n) = me.receive().await {
///         sum += n;
///     }
/// })?;
/// adder.send(3).wait()?;
/// adder.try_send(4)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ProcessRef<M>(Arc<Cell<M>>);

impl<M> ProcessRef<M> {
    #[inline]
    pub(in crate::actor) fn new(cell: Arc<Cell<M>>) -> ProcessRef<M> {
        cell.count_reference();
        ProcessRef(cell)
    }

    /// Makes a reference that has been counted.
    pub(super) fn counted(cell: Arc<Cell<M>>) -> ProcessRef<M> {
        ProcessRef(cell)
    }

    pub(in crate::actor) fn cell(&self) -> &Arc<Cell<M>> {
        &self.0
    }

    /// Sends `message`; finish it with `.await` or `.wait()`. Waits while the mailbox is full: sends are
    /// served in the order in which they began to wait, and none is overtaken. A mailbox that was told so
    /// ([`Overflow`](crate::actor::Overflow)) drops or refuses instead.
    ///
    /// # Errors
    /// When the process has ended or has been made to, and where the mailbox refuses
    /// ([`Overflow::Fail`](crate::actor::Overflow::Fail)) when it is full. The message is handed back.
    ///
    /// # Cancel safety
    /// A future that is dropped before it is ready has not sent the message.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| drop(me.receive().wait()))?;
    /// process.send(1).wait()?;
    /// process.ended().wait();
    /// assert_eq!(process.send(2).wait().unwrap_err().into_inner(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn send(&self, message: M) -> Sending<'_, M, ProcessRef<M>> {
        Sending::new(self, message)
    }

    /// Sends `message` if that can be done at once: it never waits. This is Erlang's `!`, but for the
    /// capacity.
    ///
    /// # Errors
    /// [`Full`](TrySendError::Full) when there is no room, and the mailbox does not drop messages;
    /// [`Closed`](TrySendError::Closed) when the process has ended or has been made to.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{Builder, Process}};
    ///
    /// let process = Builder::new().capacity(1).spawn_fn(|me: Process<u32>| {
    ///     twoply::time::sleep(std::time::Duration::from_millis(50)).wait();
    ///     drop(me);
    /// })?;
    /// process.try_send(1)?;
    /// assert!(process.try_send(2).unwrap_err().is_full());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_send(&self, message: M) -> Result<(), TrySendError<M>> {
        part_with::<M>();
        self.0.try_send(message, false)
    }

    /// Returns the same process for messages that overtake the usual ones: they are received before all
    /// messages and signals that wait in the mailbox, and after the urgent ones before them. They count
    /// towards the capacity like others.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<&str>| {
    ///     me.me().try_send("hello").unwrap();
    ///     me.me().urgent().try_send("fire").unwrap();
    ///     assert_eq!(me.receive().wait().message(), Some("fire"));
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn urgent(&self) -> Urgent<'_, M> {
        Urgent(self)
    }

    /// Returns true if the process takes no more messages: it has ended, or has been made to.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Process}};
    ///
    /// let process = actor::spawn_fn(|_: Process<()>| ())?;
    /// process.ended().wait();
    /// assert!(process.is_closed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Returns how many messages have been sent and not been received; 0 where that is not known, as for a
    /// process on another node.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Process};
    ///
    /// let busy = actor::spawn(async |_: Process<u32>| std::future::pending::<()>().await)?;
    /// busy.try_send(1)?;
    /// busy.try_send(2)?;
    /// assert_eq!(busy.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if all messages have been received; also where that is not known, as for a process on
    /// another node.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many messages the mailbox holds at most; `None` when there is no limit, or where it is not
    /// known, as for a process on another node.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{Builder, Process};
    ///
    /// let process = Builder::new().capacity(8).spawn_fn(|_: Process<()>| ())?;
    /// assert_eq!(process.capacity(), Some(8));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        self.0.capacity()
    }
}

impl<M: Send + 'static> ProcessRef<M> {
    /// Returns the identity of the process, whatever messages it takes.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Process};
    ///
    /// let numbers = actor::spawn(async |mut me: Process<u32>| drop(me.receive().await))?;
    /// let words = actor::spawn(async |mut me: Process<String>| drop(me.receive().await))?;
    /// assert!(numbers.pid() != words.pid());
    /// assert_eq!(numbers.pid(), numbers.clone().pid());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pid(&self) -> Pid {
        self.0.pid()
    }

    /// Asks the process to end, as nobody in particular ([`Pid::nobody`]).
    ///
    /// A process that [traps exits](crate::actor::Process::trap_exit) receives it as an event. Another one
    /// ends, at its next await point or by unwinding from its wait; [`Normal`](ExitReason::Normal) it
    /// ignores. [`Kill`](ExitReason::Kill) ends both, with the reason [`Killed`](ExitReason::Killed).
    ///
    /// To end a process as another one, use [`Process::exit`](crate::actor::Process::exit).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<()>| drop(me.receive().wait()))?;
    /// process.exit(ExitReason::Shutdown);
    /// assert_eq!(process.ended().wait(), ExitReason::Shutdown);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exit(&self, reason: ExitReason) {
        self.pid().exit(reason);
    }

    /// Has the process stop when it has received what was sent to it: the mailbox is closed, sends fail from
    /// now on, and behind the messages that are in it stands the word to stop for `reason`,
    /// [`Event::Stop`](crate::actor::Event::Stop). An [`Actor`](crate::actor::Actor) handles them and is
    /// [`stopped`](crate::actor::Actor::stopped). The first call counts. A process of another node is sent an
    /// exit signal instead.
    ///
    /// [`stop_gracefully`](ProcessRef::stop_gracefully) also waits for the end.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Event, ExitReason, Process}};
    ///
    /// let process = actor::spawn(async |mut me: Process<u32>| {
    ///     let mut sum = 0;
    ///     loop {
    ///         match me.receive().await {
    ///             Event::Message(n) => sum += n,
    ///             Event::Stop(reason) => return if sum == 3 { *reason } else { ExitReason::other("lost") },
    ///             _ => {}
    ///         }
    ///     }
    /// })?;
    /// process.send(1).wait()?;
    /// process.send(2).wait()?;
    /// process.drain(ExitReason::Shutdown);
    /// assert!(process.send(3).wait().is_err());
    /// assert_eq!(process.ended().wait(), ExitReason::Shutdown);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drain(&self, reason: ExitReason) {
        match self.0.is_elsewhere() {
            true => self.exit(reason),
            false => self.0.drain(reason),
        }
    }

    /// [Drains](ProcessRef::drain) the process, and waits for its end, by `.await` or `.wait()`. The output
    /// is the reason of that. [`Stopping::timeout`] sets a deadline.
    ///
    /// # Cancel safety
    /// The process is asked by the call, and a future that is dropped takes nothing back.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, actor::{self, Event, ExitReason, Process}};
    ///
    /// let tidy = actor::spawn(async |mut me: Process<u32>| while me.receive().await.is_message() {})?;
    /// tidy.send(1).wait()?;
    /// assert_eq!(tidy.stop_gracefully(ExitReason::Normal).wait(), ExitReason::Normal);
    ///
    /// let deaf = actor::spawn(async |_: Process<u32>| std::future::pending::<()>().await)?;
    /// let stopping = deaf.stop_gracefully(ExitReason::Normal).timeout(Duration::from_millis(1));
    /// assert_eq!(stopping.wait(), ExitReason::Killed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stop_gracefully(&self, reason: ExitReason) -> Stopping {
        self.drain(reason);
        Stopping::new(&self.pid())
    }

    /// Has the mailbox stay open when the body ends, for a successor
    /// ([`Builder::taking_over`](crate::actor::Builder::taking_over)); or no longer: then what is left of a
    /// process that has ended is undelivered.
    pub(crate) fn keep_mailbox(&self, keeping: bool) {
        self.0.keep_mailbox(keeping);
    }

    /// Reserves room for `wanted` messages, or fewer, or waits until there is some. Whoever gives up before,
    /// or while it waits, calls `stop_send`, as for a send.
    pub(crate) fn poll_reserve(
        &self,
        wanted: u32,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<Reserved> {
        self.0.poll_reserve(wanted, wait_key, cx)
    }

    /// Sends `messages` with `permits` that were reserved for them; those that are too many are given back.
    /// Returns false if the process takes no more messages, which are left where they are.
    pub(crate) fn send_reserved(&self, permits: u32, messages: &mut Vec<M>) -> bool {
        part_with::<M>();
        self.0.send_reserved(permits, messages)
    }
}

impl<M> Sink<M> for ProcessRef<M> {
    #[inline]
    fn poll_send(
        &self,
        wait_key: &mut WaitKey,
        message: &mut Option<M>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<M>>> {
        part_with::<M>();
        self.0.poll_send(false, wait_key, message, cx)
    }

    fn stop_send(&self, wait_key: &mut WaitKey) {
        self.0.stop_send(wait_key);
    }

    #[inline]
    fn try_send(&self, message: M) -> Result<(), TrySendError<M>> {
        part_with::<M>();
        self.0.try_send(message, false)
    }
}

impl<M> Clone for ProcessRef<M> {
    #[inline]
    fn clone(&self) -> ProcessRef<M> {
        ProcessRef::new(Arc::clone(&self.0))
    }
}

impl<M> Drop for ProcessRef<M> {
    #[inline]
    fn drop(&mut self) {
        self.0.release_reference();
    }
}

impl<M> PartialEq for ProcessRef<M> {
    fn eq(&self, other: &ProcessRef<M>) -> bool {
        self.0.identity() == other.0.identity()
    }
}

impl<M> Eq for ProcessRef<M> {}

impl<M> Hash for ProcessRef<M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.identity().hash(state);
    }
}

impl<M> PartialOrd for ProcessRef<M> {
    fn partial_cmp(&self, other: &ProcessRef<M>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<M> Ord for ProcessRef<M> {
    fn cmp(&self, other: &ProcessRef<M>) -> Ordering {
        self.0.identity().cmp(&other.0.identity())
    }
}

impl<M> fmt::Debug for ProcessRef<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = self.0.identity();
        write!(f, "ProcessRef(<{}.{}>)", identity.node, identity.serial)
    }
}

/// A process, for messages that overtake the usual ones: what [`ProcessRef::urgent`] returns.
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{Builder, Process}, channel};
///
/// let ((tell, told), (release, hold)) = (channel::unbounded(), channel::oneshot::channel());
/// let clerk = Builder::new().spawn(async move |mut me: Process<&str>| {
///     hold.await.unwrap();
///     tell.try_send(me.receive().await.message()).unwrap();
/// })?;
/// clerk.try_send("when you have time")?;
/// clerk.urgent().try_send("fire!")?;
/// release.send(()).unwrap();
/// assert_eq!(told.recv().wait()?, Some("fire!"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Urgent<'a, M>(&'a ProcessRef<M>);

impl<M> Urgent<'_, M> {
    /// As [`ProcessRef::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(&self, message: M) -> Sending<'_, M, Self> {
        Sending::new(self, message)
    }

    /// As [`ProcessRef::try_send`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send(&self, message: M) -> Result<(), TrySendError<M>> {
        part_with::<M>();
        self.0.0.try_send(message, true)
    }
}

impl<M> Sink<M> for Urgent<'_, M> {
    fn poll_send(
        &self,
        wait_key: &mut WaitKey,
        message: &mut Option<M>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<M>>> {
        part_with::<M>();
        self.0.0.poll_send(true, wait_key, message, cx)
    }

    fn stop_send(&self, wait_key: &mut WaitKey) {
        self.0.0.stop_send(wait_key);
    }

    fn try_send(&self, message: M) -> Result<(), TrySendError<M>> {
        part_with::<M>();
        self.0.0.try_send(message, true)
    }
}

impl<M> fmt::Debug for Urgent<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Urgent").field(self.0).finish()
    }
}
