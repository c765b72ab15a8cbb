//! The side of a process that its body has in hand: its mailbox, its relations, itself.

mod ask;
mod body;
mod builder;
pub(super) mod cell;
mod event;
mod exit_watch;
mod mailbox;
pub(super) mod pid;
pub(super) mod proxy;
mod receive;
mod reference;
mod serial;
mod signal;
mod stopping;
pub(super) mod system;
mod table;
mod timer;
mod trace;
mod weak;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use self::cell::Cell;
pub(crate) use self::cell::Reserved;
use self::mailbox::Batch;
use self::pid::{By, Epoch, Signal};
use crate::kernel::task::{ExitReason, IntoExit};

pub use self::ask::Ask;
pub use self::builder::{Builder, DEFAULT_CAPACITY, SpawnProcessError};
pub use self::event::{Down, Event, Exit};
pub use self::exit_watch::Ended;
pub use self::pid::{MonitorRef, Pid};
pub use self::receive::{Receive, ReceiveMatch, ReceiveTimeout};
pub use self::reference::{ProcessRef, Urgent};
pub use self::signal::{ProcessInfo, ProcessState};
pub use self::stopping::Stopping;
pub use self::table::{ProcessEntry, ProcessTable, Tabling, process_table};
pub use self::timer::{Timer, TimerRef};
pub use self::trace::{Trace, TraceAction, TraceEvent};
pub use self::weak::WeakRef;

/// A process as its own body sees it.
///
/// The body gets it by value and keeps it: when the body ends, the process does, whoever holds this. It may
/// be lent to what the body calls. In another task it receives for the process, but signals end the body's
/// task only.
pub struct Process<M> {
    /// The part that it shares with others.
    cell: Arc<Cell<M>>,
    /// The events that it has fetched from its mailbox and not received.
    batch: Batch<M>,
}

/// Tells with which waker a body has polled its mailbox last; see [`Process::poll_receive`].
#[derive(Default)]
pub(crate) struct Listening {
    /// The addresses of the waker's data and functions. They are only compared: a waker that the mailbox has
    /// is not freed, so no other one is mistaken for it.
    waker: (usize, usize),
}

impl Listening {
    #[inline]
    fn with(waker: &Waker) -> Listening {
        Listening { waker: (waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr()) }
    }

    #[inline]
    fn is_with(&self, waker: &Waker) -> bool {
        self.waker == Listening::with(waker).waker
    }
}

impl<M> Process<M> {
    fn new(cell: Arc<Cell<M>>) -> Process<M> {
        Process { cell, batch: Batch::new() }
    }

    #[inline]
    pub(super) fn cell(&self) -> &Arc<Cell<M>> {
        &self.cell
    }

    #[inline]
    pub(super) fn parts(&mut self) -> (&Arc<Cell<M>>, &mut Batch<M>) {
        (&self.cell, &mut self.batch)
    }

    /// Returns a reference to this process, for others.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| {
    ///     me.me().try_send(7).unwrap();
    ///     assert_eq!(me.receive().wait().message(), Some(7));
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn me(&self) -> ProcessRef<M> {
        ProcessRef::new(Arc::clone(&self.cell))
    }

    /// Receives the next event; finish it with `.await` or `.wait()`.
    ///
    /// # Cancel safety
    /// A future that is dropped has received nothing.
    ///
    /// # Panics
    /// When it must wait though the process has ended: outside of its body.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Event, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| {
    ///     me.me().try_send(1).unwrap();
    ///     match me.receive().wait() {
    ///         Event::Message(number) => assert_eq!(number, 1),
    ///         other => panic!("{other:?}"),
    ///     }
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn receive(&mut self) -> Receive<'_, M> {
        Receive::new(self)
    }

    /// Polls for the next event, on behalf of a body that waits for other things, too. The waker stays with
    /// the mailbox until an event comes; `listening` is what the body keeps of it from one poll to the next.
    #[inline]
    pub(crate) fn poll_receive(&mut self, listening: &mut Listening, cx: &mut Context<'_>) -> Poll<Event<M>> {
        // An event that comes takes the waker out before it wakes, so a poll for that one finds it gone.
        if listening.is_with(cx.waker()) && self.cell.is_listening() {
            let _pending = self.cell.note_wait();
            return Poll::Pending;
        }
        let polled = self.cell.poll_next(&mut self.batch, cx);
        *listening = Listening::with(cx.waker());
        polled
    }

    /// Receives the next event, or `None` if there is none within `timeout`, which is counted from now. A
    /// timeout of zero looks into the mailbox once, as Erlang's `after 0` does.
    ///
    /// # Cancel safety
    /// A future that is dropped has received nothing.
    ///
    /// # Panics
    /// As [`Process::receive`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| {
    ///     assert!(me.receive_timeout(std::time::Duration::ZERO).wait().is_none());
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn receive_timeout(&mut self, timeout: Duration) -> ReceiveTimeout<'_, M> {
        ReceiveTimeout::new(self, timeout)
    }

    /// Receives the next event that is there already.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| {
    ///     assert!(me.try_receive().is_none());
    ///     me.me().try_send(1).unwrap();
    ///     assert!(me.try_receive().is_some());
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_receive(&mut self) -> Option<Event<M>> {
        self.cell.try_next(&mut self.batch)
    }

    /// Receives the first event that is `wanted`, by `.await` or `.wait()`; the others stay, in their order.
    ///
    /// `wanted` is asked once for each event as long as the future lives. A mailbox in which many events are
    /// left has to be gone through by each selective receive, as in Erlang.
    ///
    /// # Cancel safety
    /// A future that is dropped has received nothing.
    ///
    /// # Panics
    /// As [`Process::receive`]; and as `wanted` does, which loses no event.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Event, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| {
    ///     for number in 1..=3 {
    ///         me.me().try_send(number).unwrap();
    ///     }
    ///     let even = me.receive_match(|event| matches!(event, Event::Message(n) if n % 2 == 0)).wait();
    ///     assert_eq!(even.message(), Some(2));
    ///     assert_eq!(me.receive().wait().message(), Some(1));
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn receive_match<P>(&mut self, wanted: P) -> ReceiveMatch<'_, M, P>
    where
        P: FnMut(&Event<M>) -> bool,
    {
        ReceiveMatch::new(self, wanted)
    }

    /// Receives the first event that is `wanted`, of those that are there already.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Event, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| {
    ///     [1, 2].map(|number| me.me().try_send(number).unwrap());
    ///     let is_even = |event: &Event<u32>| matches!(event, Event::Message(n) if n % 2 == 0);
    ///     assert_eq!(me.try_receive_match(is_even).and_then(Event::message), Some(2));
    ///     assert!(me.try_receive_match(is_even).is_none());
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_receive_match(&mut self, mut wanted: impl FnMut(&Event<M>) -> bool) -> Option<Event<M>> {
        self.cell.try_match(&mut self.batch, &mut 0, &mut wanted)
    }
}

impl<M: Send + 'static> Process<M> {
    /// Returns the identity of this process, whatever messages it takes.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|me: Process<u32>| {
    ///     assert_eq!(me.pid(), me.me().pid());
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pid(&self) -> Pid {
        self.cell.pid()
    }

    /// Says whether exit signals, but for [`Kill`](ExitReason::Kill), are events to this process instead of
    /// ending it. Returns what was so before.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Event, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| {
    ///     assert!(!me.trap_exit(true));
    ///     me.me().exit(ExitReason::Shutdown);
    ///     assert!(matches!(me.receive().wait(), Event::Exit(exit) if exit.reason == ExitReason::Shutdown));
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn trap_exit(&self, trapping: bool) -> bool {
        self.cell.trap_exit(trapping)
    }

    /// Links this process and `other`: when one ends, the other gets an exit signal with the reason. There is
    /// one link between two processes, however often it is made and by whom. A link to oneself is none.
    ///
    /// Where there is no such process any more, the signal comes at once, with [`ExitReason::NoProcess`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Event, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| {
    ///     me.trap_exit(true);
    ///     let other = actor::spawn_fn(|mut me: Process<()>| drop(me.receive().wait())).unwrap();
    ///     me.link(&other.pid());
    ///     other.exit(ExitReason::other("enough"));
    ///     assert!(matches!(me.receive().wait(), Event::Exit(exit) if exit.from == other.pid()));
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn link(&self, other: &Pid) {
        let me = self.pid();
        let epoch = Epoch::next();
        if *other == me || !self.cell.enter_link(other, epoch) {
            return;
        }
        other.deliver(Signal::Link { from: me.clone(), epoch });
        // The link may have been lost before the other one was told of it; see `signal/relations.rs`.
        if !self.cell.is_linked(other) {
            other.deliver(Signal::Unlink { from: me, epoch });
        }
    }

    /// Takes a link back: no exit signal of `other` comes through it after this. One that has come and was
    /// trapped stays in the mailbox.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|me: Process<u32>| {
    ///     let other = actor::spawn_fn(|mut me: Process<()>| drop(me.receive().wait())).unwrap();
    ///     me.link(&other.pid());
    ///     me.unlink(&other.pid());
    ///     // Nothing comes through the link any more.
    ///     other.exit(ExitReason::Kill);
    ///     other.ended().wait();
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unlink(&self, other: &Pid) {
        let me = self.pid();
        if let Some(epoch) = self.cell.leave_link(other) {
            self.cell.trace_if(|| Some(TraceAction::Unlinked(other.clone())));
            // A link that the other one makes meanwhile is a later one, and stays on both sides.
            other.deliver(Signal::Unlink { from: me, epoch });
        }
    }

    /// Has this process told of the end of `other`, once, by [`Event::Down`]. Each call makes another
    /// monitor.
    ///
    /// Where there is no such process any more, it is told at once, with [`ExitReason::NoProcess`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Event, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| {
    ///     let other = actor::spawn_fn(|_: Process<()>| ()).unwrap();
    ///     let monitor = me.monitor(&other.pid());
    ///     match me.receive().wait() {
    ///         Event::Down(down) => assert_eq!((down.monitor, down.from), (monitor, other.pid())),
    ///         other => panic!("{other:?}"),
    ///     }
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn monitor(&self, other: &Pid) -> MonitorRef {
        self.start_monitor(other, None)
    }

    /// Starts a monitor of `other`, by `name` if it is by one.
    pub(in crate::actor) fn start_monitor(&self, other: &Pid, name: Option<Arc<str>>) -> MonitorRef {
        let monitor = MonitorRef::next();
        if self.cell.enter_watched(monitor, other, name) {
            self.cell.trace_if(|| Some(TraceAction::Monitors(other.clone())));
            other.deliver(Signal::Monitor { from: self.pid(), monitor });
        }
        monitor
    }

    /// Takes a monitor back: no [`Event::Down`] comes from it after this. Returns whether it was still there;
    /// if not, its event has come, and may still be in the mailbox.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|me: Process<u32>| {
    ///     let monitor = me.monitor(&me.pid());
    ///     assert!(me.demonitor(monitor));
    ///     assert!(!me.demonitor(monitor));
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn demonitor(&self, monitor: MonitorRef) -> bool {
        match self.cell.leave_watched(monitor) {
            Some(other) => {
                other.deliver(Signal::Demonitor { monitor });
                true
            }
            None => false,
        }
    }

    /// Takes a monitor back, and its event out of the mailbox if it has come and was not received. Returns
    /// whether there was no such event.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, ExitReason, Pid, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<()>| {
    ///     let monitor = me.monitor(&Pid::nobody());
    ///     assert!(!me.demonitor_flush(monitor), "the event had come");
    ///     assert!(me.try_receive().is_none());
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn demonitor_flush(&mut self, monitor: MonitorRef) -> bool {
        if self.demonitor(monitor) {
            return true;
        }
        let of_this = |event: &Event<M>| matches!(event, Event::Down(down) if down.monitor == monitor);
        self.cell.remove_first(&mut self.batch, of_this).is_none()
    }

    /// Sends an exit signal to `other`, from this process.
    ///
    /// If `other` [traps exits](Process::trap_exit) it receives an event. Else it ends, at its next await
    /// point or by unwinding from its wait; [`Normal`](ExitReason::Normal) it ignores.
    /// [`Kill`](ExitReason::Kill) ends it in any case, with the reason [`Killed`](ExitReason::Killed).
    ///
    /// To itself a process can send `Normal`, too. Where the signal ends the calling process this does not
    /// return: it unwinds, as a cancelled wait does. (In a destructor that runs because of a panic, and where
    /// panics abort, it returns, and the process ends at its next await point.)
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|me: Process<u32>| {
    ///     let other = actor::spawn_fn(|mut me: Process<()>| drop(me.receive().wait())).unwrap();
    ///     me.exit(&other.pid(), ExitReason::Shutdown);
    ///     assert_eq!(other.ended().wait(), ExitReason::Shutdown);
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exit(&self, other: &Pid, reason: ExitReason) {
        let me = self.pid();
        other.deliver(Signal::Exit { from: me.clone(), reason, by: By::Request });
        if *other == me && !self.cell.is_alive() && self.cell.is_running() && !std::thread::panicking() {
            #[cfg(panic = "unwind")]
            crate::kernel::wait::unwind();
        }
    }

    /// Starts a process that is linked to this one before its first step, on this task's backend;
    /// [`Builder::spawn_link`] says more.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Event, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| {
    ///     me.trap_exit(true);
    ///     let child = me.spawn_link(async |_: Process<()>| Err::<(), _>("no luck")).unwrap();
    ///     assert!(matches!(me.receive().wait(), Event::Exit(exit) if exit.from == child.pid()));
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn spawn_link<N, F, T>(&self, body: F) -> Result<ProcessRef<N>, SpawnProcessError>
    where
        N: Send + 'static,
        F: FnOnce(Process<N>) -> T,
        T: Future<Output: IntoExit + Send> + Send + 'static,
    {
        Builder::new().spawn_link(self, body)
    }

    /// Starts a process that this one monitors from before its first step, on this task's backend;
    /// [`Builder::spawn_monitor`] says more.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Event, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| {
    ///     let (_child, monitor) = me.spawn_monitor(async |_: Process<()>| ()).unwrap();
    ///     assert!(matches!(me.receive().wait(), Event::Down(down) if down.monitor == monitor));
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn spawn_monitor<N, F, T>(&self, body: F) -> Result<(ProcessRef<N>, MonitorRef), SpawnProcessError>
    where
        N: Send + 'static,
        F: FnOnce(Process<N>) -> T,
        T: Future<Output: IntoExit + Send> + Send + 'static,
    {
        Builder::new().spawn_monitor(self, body)
    }
}

impl<M> Drop for Process<M> {
    fn drop(&mut self) {
        self.cell.give_back(&mut self.batch);
    }
}

impl<M> fmt::Debug for Process<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = self.cell.identity();
        write!(f, "Process(<{}.{}>)", identity.node, identity.serial)
    }
}
