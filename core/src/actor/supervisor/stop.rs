//! The stop of children: they are asked to end, given time, then killed.
//!
//! A child has been stopped when its body has been dropped and everybody has been told: that is when its exit
//! signal and the message of the monitor come. A monitor that finds no process says less: the child is
//! doomed, perhaps by an exit signal of somebody else, but may still be on its way out. Then its exit signal
//! is waited for, if there still is a link that it can come through. It is taken out in any case, so that it
//! is not mistaken for that of a successor.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::Strategy;
use super::children::ChildKey;
use super::engine::Engine;
use super::handle::Control;
use super::report::Report;
use super::spec::Shutdown;
use super::tree::ChildState;
use crate::actor::{Down, Event, Exit, ExitReason, MonitorRef, Pid};
use crate::time;

/// A process that is being stopped.
struct StoppingChild {
    /// The child's id; `None` for what a start that failed has left behind.
    id: Option<Arc<str>>,
    monitor: MonitorRef,
    /// The reason in the exit signal of the process, if that has come.
    exit: Option<ExitReason>,
    /// The reason in the message of the monitor, if that has come.
    down: Option<ExitReason>,
}

/// The processes that are being stopped at the same time.
#[derive(Default)]
struct StoppingChildren {
    /// The processes that have not ended.
    left: BTreeMap<Pid, StoppingChild>,
    /// The deadlines after which each is to be killed, the soonest first. Processes that have ended are still
    /// in it.
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
        while let Some(key) = all.pop() {
            self.stop(vec![key]).await;
        }
    }

    /// Stops those of these children that run, all at once, and returns when their processes have ended.
    pub(super) async fn stop(&mut self, children: Vec<ChildKey>) {
        let mut stopping = StoppingChildren::default();
        for key in children {
            let Some(child) = self.children.get(key) else { continue };
            let Some(pid) = child.pid().cloned() else { continue };
            let (id, shutdown) = (Arc::clone(&child.spec.id), child.spec.shutdown);
            self.children.set_not_running(key, ChildState::Stopped);
            self.begin_stop(&mut stopping, Some(id), pid, shutdown);
        }
        self.await_stopped(stopping).await;
    }

    /// Kills these processes, and returns when they have ended.
    pub(super) async fn kill(&mut self, processes: Vec<Pid>) {
        let mut stopping = StoppingChildren::default();
        for pid in processes {
            self.begin_stop(&mut stopping, None, pid, Shutdown::Kill);
        }
        self.await_stopped(stopping).await;
    }

    fn begin_stop(
        &mut self,
        stopping: &mut StoppingChildren,
        id: Option<Arc<str>>,
        pid: Pid,
        shutdown: Shutdown,
    ) {
        // The process may have ended by itself while others were being stopped.
        let known = self.deferred.iter().position(|event| exit_of(event, &pid).is_some());
        let exit =
            known.and_then(|at| self.deferred.remove(at)).and_then(|event| exit_of(&event, &pid).cloned());
        let monitor = self.me.monitor(&pid);
        if let Some(deadline) = self.request_exit(&pid, shutdown) {
            stopping.deadlines.push_back((deadline, pid.clone()));
        }
        stopping.left.insert(pid, StoppingChild { id, monitor, exit, down: None });
    }

    /// Sends a process the exit signal that `shutdown` says. Returns when to kill it, if ever.
    fn request_exit(&self, pid: &Pid, shutdown: Shutdown) -> Option<Instant> {
        let (reason, patience) = match shutdown {
            Shutdown::Kill => (ExitReason::Kill, None),
            Shutdown::Deadline(patience) => (ExitReason::Shutdown, Some(patience)),
            Shutdown::Infinity => (ExitReason::Shutdown, None),
        };
        self.me.exit(pid, reason);
        patience.and_then(|patience| time::now().checked_add(patience))
    }

    /// Waits for the end of a predecessor: a process that a supervisor before this one has started for the
    /// same child. That supervisor was killed and could not wait. The process has been told by its link, and
    /// has the child's time to end.
    pub(super) async fn await_predecessor(&mut self, pid: &Pid, shutdown: Shutdown) {
        let mut ended = pid.ended();
        if let Some(deadline) = self.request_exit(pid, shutdown)
            && time::timeout_at(deadline, &mut ended).await.is_err()
        {
            self.me.exit(pid, ExitReason::Kill);
        }
        ended.await;
    }

    /// Waits until all have ended, and kills those that take too long. Other events are deferred.
    async fn await_stopped(&mut self, mut stopping: StoppingChildren) {
        stopping.deadlines.make_contiguous().sort_by_key(|(deadline, _)| *deadline);
        while !stopping.left.is_empty() {
            match self.next_until(stopping.next_deadline()).await {
                None => {
                    if let Some((_, late)) = stopping.deadlines.pop_front() {
                        self.me.exit(&late, ExitReason::Kill);
                    }
                }
                Some(Event::Down(down)) => {
                    if stopping.left.get(&down.from).is_some_and(|child| child.monitor == down.monitor) {
                        let Down { from, reason, .. } = *down;
                        self.record_end(&mut stopping, from, |child| child.down = Some(reason));
                    }
                }
                Some(Event::Exit(exit)) if stopping.left.contains_key(&exit.from) => {
                    let Exit { from, reason } = *exit;
                    self.record_end(&mut stopping, from, |child| child.exit = Some(reason));
                }
                Some(event) => self.deferred.push_back(event),
            }
        }
    }

    /// Returns the next event of the mailbox, or `None` when there is none until `deadline`.
    async fn next_until(&mut self, deadline: Option<Instant>) -> Option<Event<Control>> {
        match deadline {
            Some(deadline) => time::timeout_at(deadline, self.me.receive()).await.ok(),
            None => Some(self.me.receive().await),
        }
    }

    /// Records by `note` what has been heard of a process, and forgets the process if it has ended.
    fn record_end(
        &mut self,
        stopping: &mut StoppingChildren,
        pid: Pid,
        note: impl FnOnce(&mut StoppingChild),
    ) {
        let Some(child) = stopping.left.get_mut(&pid) else { return };
        note(child);
        let Some(down) = &child.down else { return };
        if *down == ExitReason::NoProcess && child.exit.is_none() && self.me.cell().is_linked(&pid) {
            return;
        }
        // A monitor that came too late does not know the reason; the exit signal does.
        let reason = child.exit.take().unwrap_or_else(|| down.clone());
        if let Some(StoppingChild { id: Some(id), .. }) = stopping.left.remove(&pid) {
            self.report(Report::Stopped { id, pid, reason });
        }
    }
}

/// Returns the reason, if `event` is the exit signal of `pid`.
fn exit_of<'a>(event: &'a Event<Control>, pid: &Pid) -> Option<&'a ExitReason> {
    match event {
        Event::Exit(exit) if exit.from == *pid => Some(&exit.reason),
        _ => None,
    }
}

impl StoppingChildren {
    /// Returns when the next process is to be killed, if any is.
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
