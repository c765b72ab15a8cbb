//! How children are stopped: asked to, given time, then killed.
//!
//! A child has been stopped when its body has been dropped and everybody has been told: that is when its exit signal
//! and the message of the monitor come. A monitor that finds no process says less: the child is doomed, perhaps by an
//! exit signal of somebody else, but may still be on its way out. Then its exit signal is waited for, if there still is
//! a link that it can come through. It is taken out in any case, so that it is not mistaken for that of a successor.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::Strategy;
use super::children::Serial;
use super::engine::Engine;
use super::handle::Control;
use super::report::Report;
use super::spec::Shutdown;
use super::tree::ChildState;
use crate::actor::{Down, Event, Exit, ExitReason, MonitorRef, Pid};
use crate::time;

/// One that is being stopped.
struct Leaver {
    /// What the child is called; nothing for the remains of a start that failed.
    id: Option<Arc<str>>,
    /// The monitor that will tell of its end.
    monitor: MonitorRef,
    /// What its exit signal says, if that has come.
    exit: Option<ExitReason>,
    /// What its monitor says, if that has.
    down: Option<ExitReason>,
}

/// Those that are being stopped.
#[derive(Default)]
struct Leavers {
    /// Those that have not ended.
    left: BTreeMap<Pid, Leaver>,
    /// When the patience with each ends, the soonest first. Those that have ended are still in it.
    deadlines: VecDeque<(Instant, Pid)>,
}

impl Engine {
    /// Stops all children: in reverse order, or all at once where their order means nothing.
    pub(super) async fn stop_all(&mut self) {
        let mut all = self.children.from(0);
        if self.plan.strategy == Strategy::Dynamic {
            self.stop(all).await;
            return;
        }
        while let Some(serial) = all.pop() {
            self.stop(vec![serial]).await;
        }
    }

    /// Stops those of these children that run, all at once, and returns when their processes have ended.
    pub(super) async fn stop(&mut self, children: Vec<Serial>) {
        let mut leavers = Leavers::default();
        for serial in children {
            let Some(child) = self.children.get(serial) else { continue };
            let Some(pid) = child.pid().cloned() else { continue };
            let (id, shutdown) = (Arc::clone(&child.spec.id), child.spec.shutdown);
            self.children.halted(serial, ChildState::Stopped);
            self.ask_to_leave(&mut leavers, Some(id), pid, shutdown);
        }
        self.see_off(leavers).await;
    }

    /// Kills these processes, and returns when they have ended.
    pub(super) async fn kill(&mut self, processes: Vec<Pid>) {
        let mut leavers = Leavers::default();
        for pid in processes {
            self.ask_to_leave(&mut leavers, None, pid, Shutdown::Kill);
        }
        self.see_off(leavers).await;
    }

    fn ask_to_leave(&mut self, leavers: &mut Leavers, id: Option<Arc<str>>, pid: Pid, shutdown: Shutdown) {
        // It may have ended by itself while others were being stopped.
        let known = self.deferred.iter().position(|event| exit_of(event, &pid).is_some());
        let exit =
            known.and_then(|at| self.deferred.remove(at)).and_then(|event| exit_of(&event, &pid).cloned());
        let monitor = self.me.monitor(&pid);
        if let Some(deadline) = self.ask(&pid, shutdown) {
            leavers.deadlines.push_back((deadline, pid.clone()));
        }
        leavers.left.insert(pid, Leaver { id, monitor, exit, down: None });
    }

    /// Tells a process to end. Returns until when it may.
    fn ask(&self, pid: &Pid, shutdown: Shutdown) -> Option<Instant> {
        let (reason, patience) = match shutdown {
            Shutdown::Kill => (ExitReason::Kill, None),
            Shutdown::Deadline(patience) => (ExitReason::Shutdown, Some(patience)),
            Shutdown::Infinity => (ExitReason::Shutdown, None),
        };
        self.me.exit(pid, reason);
        patience.and_then(|patience| time::now().checked_add(patience))
    }

    /// Returns when a process is over that is not this supervisor's but was started for the same child: by one before
    /// it, which was killed and could not wait. It has been told by its link, and has the child's time to end.
    pub(super) async fn outlive(&mut self, pid: &Pid, shutdown: Shutdown) {
        let mut ended = pid.ended();
        if let Some(deadline) = self.ask(pid, shutdown)
            && time::timeout_at(deadline, &mut ended).await.is_err()
        {
            self.me.exit(pid, ExitReason::Kill);
        }
        ended.await;
    }

    /// Waits until all have ended, and kills those who take too long. What else happens is kept for later.
    async fn see_off(&mut self, mut leavers: Leavers) {
        leavers.deadlines.make_contiguous().sort_by_key(|(deadline, _)| *deadline);
        while !leavers.left.is_empty() {
            match self.next_until(leavers.next_deadline()).await {
                None => {
                    if let Some((_, late)) = leavers.deadlines.pop_front() {
                        self.me.exit(&late, ExitReason::Kill);
                    }
                }
                Some(Event::Down(down)) => {
                    if leavers.left.get(&down.from).is_some_and(|leaver| leaver.monitor == down.monitor) {
                        let Down { from, reason, .. } = *down;
                        self.noted(&mut leavers, from, |leaver| leaver.down = Some(reason));
                    }
                }
                Some(Event::Exit(exit)) if leavers.left.contains_key(&exit.from) => {
                    let Exit { from, reason } = *exit;
                    self.noted(&mut leavers, from, |leaver| leaver.exit = Some(reason));
                }
                Some(event) => self.deferred.push_back(event),
            }
        }
    }

    /// The next event from the mailbox, or nothing when there is none until `deadline`.
    async fn next_until(&mut self, deadline: Option<Instant>) -> Option<Event<Control>> {
        match deadline {
            Some(deadline) => time::timeout_at(deadline, self.me.receive()).await.ok(),
            None => Some(self.me.receive().await),
        }
    }

    /// Something has been heard of a leaver: has it gone?
    fn noted(&mut self, leavers: &mut Leavers, pid: Pid, note: impl FnOnce(&mut Leaver)) {
        let Some(leaver) = leavers.left.get_mut(&pid) else { return };
        note(leaver);
        let Some(down) = &leaver.down else { return };
        if *down == ExitReason::NoProcess && leaver.exit.is_none() && self.me.cell().is_linked(&pid) {
            return;
        }
        // A monitor that came too late does not know why.
        let reason = leaver.exit.take().unwrap_or_else(|| down.clone());
        if let Some(Leaver { id: Some(id), .. }) = leavers.left.remove(&pid) {
            self.report(Report::Stopped { id, pid, reason });
        }
    }
}

/// The reason, if `event` is the exit signal of `pid`.
fn exit_of<'a>(event: &'a Event<Control>, pid: &Pid) -> Option<&'a ExitReason> {
    match event {
        Event::Exit(exit) if exit.from == *pid => Some(&exit.reason),
        _ => None,
    }
}

impl Leavers {
    /// The deadline of whoever is killed next.
    fn next_deadline(&mut self) -> Option<Instant> {
        while let Some((deadline, pid)) = self.deadlines.front() {
            if self.left.contains_key(pid) {
                return Some(*deadline);
            }
            self.deadlines.pop_front();
        }
        None
    }
}
