//! What the body of a process has in hand: its mailbox, its relations, itself.

mod ask;
mod body;
mod builder;
pub(super) mod cell;
mod event;
mod exit_watch;
mod mailbox;
pub(super) mod pid;
mod proxy;
mod receive;
mod reference;
mod serial;
mod signal;
mod timer;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use self::cell::Cell;
use self::mailbox::Batch;
use self::pid::{By, Epoch, Signal};
use crate::kernel::task::{ExitReason, IntoExit};

pub use self::ask::{Ask, AskTimeout};
pub use self::builder::{Builder, DEFAULT_CAPACITY, SpawnProcessError};
pub use self::event::{Down, Event, Exit};
pub use self::exit_watch::Ended;
pub use self::pid::{MonitorRef, Pid};
pub use self::receive::{Receive, ReceiveMatch, ReceiveTimeout};
pub use self::reference::{ProcessRef, Urgent};
pub use self::timer::Timer;

/// A process as its own body sees it.
///
/// The body gets it by value and keeps it: when the body ends, the process does, whoever holds this. It may be lent to
/// what the body calls. In another task it receives for the process, but signals end the body's task only.
pub struct Process<M> {
    /// What it shares with others.
    cell: Arc<Cell<M>>,
    /// What it has fetched from its mailbox and not received.
    batch: Batch<M>,
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

    /// A reference to this process, for others.
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
    #[inline]
    pub fn receive(&mut self) -> Receive<'_, M> {
        Receive::new(self)
    }

    /// Receives the next event, or `None` if there is none within `timeout`, which is counted from now. A timeout of
    /// zero looks into the mailbox once, as Erlang's `after 0` does.
    ///
    /// # Cancel safety
    /// A future that is dropped has received nothing.
    ///
    /// # Panics
    /// As [`Process::receive`].
    pub fn receive_timeout(&mut self, timeout: Duration) -> ReceiveTimeout<'_, M> {
        ReceiveTimeout::new(self, timeout)
    }

    /// Receives the next event that is there already.
    #[inline]
    pub fn try_receive(&mut self) -> Option<Event<M>> {
        self.cell.try_next(&mut self.batch)
    }

    /// Receives the first event that is `wanted`, by `.await` or `.wait()`; the others stay, in their order.
    ///
    /// `wanted` is asked once for each event as long as the future lives. A mailbox in which many events are left has
    /// to be gone through by each selective receive, as in Erlang.
    ///
    /// # Cancel safety
    /// A future that is dropped has received nothing.
    ///
    /// # Panics
    /// As [`Process::receive`]; and with what `wanted` panics, which loses no event.
    pub fn receive_match<P>(&mut self, wanted: P) -> ReceiveMatch<'_, M, P>
    where
        P: FnMut(&Event<M>) -> bool,
    {
        ReceiveMatch::new(self, wanted)
    }

    /// Receives the first event that is `wanted`, of those that are there already.
    pub fn try_receive_match(&mut self, mut wanted: impl FnMut(&Event<M>) -> bool) -> Option<Event<M>> {
        self.cell.try_match(&mut self.batch, &mut 0, &mut wanted)
    }
}

impl<M: Send + 'static> Process<M> {
    /// Who this process is, whatever messages it takes.
    pub fn pid(&self) -> Pid {
        self.cell.pid()
    }

    /// Says whether exit signals, but for [`Kill`](ExitReason::Kill), are events to this process instead of ending it.
    /// Returns what was so before.
    pub fn trap_exit(&self, trapping: bool) -> bool {
        self.cell.trap_exit(trapping)
    }

    /// Links this process and `other`: when one ends, the other gets an exit signal with the reason. There is one link
    /// between two processes, however often it is made and by whom. A link to oneself is none.
    ///
    /// Where there is no such process any more, the signal comes at once, with [`ExitReason::NoProcess`].
    pub fn link(&self, other: &Pid) {
        let me = self.pid();
        let epoch = Epoch::next();
        if *other == me || !self.cell.enter_link(other, epoch) {
            return;
        }
        other.deliver(Signal::Link { from: me.clone(), epoch });
        // The other one may have taken the link back meanwhile, even before it had it. Then it is gone on both sides.
        if !self.cell.is_linked(other) {
            other.deliver(Signal::Unlink { from: me, epoch });
        }
    }

    /// Takes a link back: no exit signal of `other` comes through it after this. One that has come and was trapped
    /// stays in the mailbox.
    pub fn unlink(&self, other: &Pid) {
        let me = self.pid();
        if let Some(epoch) = self.cell.leave_link(other) {
            // A link that the other one makes meanwhile is a later one, and stays on both sides.
            other.deliver(Signal::Unlink { from: me, epoch });
        }
    }

    /// Has this process told of the end of `other`, once, by [`Event::Down`]. Each call makes another monitor.
    ///
    /// Where there is no such process any more, it is told at once, with [`ExitReason::NoProcess`].
    pub fn monitor(&self, other: &Pid) -> MonitorRef {
        let monitor = MonitorRef::next();
        if self.cell.enter_watched(monitor, other) {
            other.deliver(Signal::Monitor { from: self.pid(), monitor });
        }
        monitor
    }

    /// Takes a monitor back: no [`Event::Down`] comes from it after this. Returns whether it was still there; if not,
    /// its event has come, and may still be in the mailbox.
    pub fn demonitor(&self, monitor: MonitorRef) -> bool {
        match self.cell.leave_watched(monitor) {
            Some(other) => {
                other.deliver(Signal::Demonitor { monitor });
                true
            }
            None => false,
        }
    }

    /// Takes a monitor back, and its event out of the mailbox if it has come and was not received. Returns whether
    /// there was no such event.
    pub fn demonitor_flush(&mut self, monitor: MonitorRef) -> bool {
        if self.demonitor(monitor) {
            return true;
        }
        let of_this = |event: &Event<M>| matches!(event, Event::Down(down) if down.monitor == monitor);
        self.cell.remove_first(&mut self.batch, of_this).is_none()
    }

    /// Sends an exit signal to `other`, from this process.
    ///
    /// If `other` [traps exits](Process::trap_exit) it receives an event. Else it ends, at its next await point or by
    /// unwinding from its wait; [`Normal`](ExitReason::Normal) it ignores. [`Kill`](ExitReason::Kill) ends it in
    /// any case, with the reason [`Killed`](ExitReason::Killed).
    ///
    /// To itself a process can send `Normal`, too. Where the signal ends the calling process this does not return:
    /// it unwinds, as a cancelled wait does. (In a destructor that runs because of a panic, and where panics abort,
    /// it returns, and the process ends at its next await point.)
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
    #[track_caller]
    pub fn spawn_monitor<N, F, T>(&self, body: F) -> Result<(ProcessRef<N>, MonitorRef), SpawnProcessError>
    where
        N: Send + 'static,
        F: FnOnce(Process<N>) -> T,
        T: Future<Output: IntoExit + Send> + Send + 'static,
    {
        Builder::new().spawn_monitor(self, body)
    }

    /// Sends `message` to `target` after `delay`, unless the timer is cancelled before.
    ///
    /// The timer keeps no process alive, and dropping the handle does not cancel it. A full mailbox does not refuse
    /// the message of a timer.
    pub fn send_after<N: Send + 'static>(
        &self,
        delay: Duration,
        target: &ProcessRef<N>,
        message: N,
    ) -> Timer {
        Timer::start(delay, target, message)
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
