//! The driver of a program: it tells the interpreters what to do, and waits until that has settled.
//!
//! # When a step has settled
//! The driver pings the actor. Who answers has carried out the operations, and what it did to others is done.
//! Those who die of it tell others while they end; so the driver waits until the tasks of all of whose deaths
//! it knows are over, and then pings all who live. When nobody dies in such a round, nobody is dying, and all
//! that those who died have sent has come.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use twoply_core::actor::{Event, ExitReason, MonitorRef, Pid, Process};
use twoply_core::backend::Backend;
use twoply_core::future::yield_now;
use twoply_core::time::sleep;

use super::interpret::{Control, Fit, Handle, Report, Resolved, Setting, Taken, from_exit, to_exit};
use super::program::{Mon, Op, Pattern, Proc, Program, Step};
use super::trace::{self, Seen, Trace, What};

/// How long a process may be silent before it is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the [module](self).
pub(super) struct Driver {
    /// Itself.
    me: Process<Report>,
    /// How processes are started.
    setting: Setting,
    /// The backends, each once, on which nothing else runs.
    homes: Vec<Arc<dyn Backend>>,
    /// All processes that there have been.
    handles: HashMap<Proc, Handle>,
    /// Their numbers.
    numbers: HashMap<Pid, Proc>,
    /// Those that live, and whether they wait in a receive.
    alive: BTreeMap<Proc, bool>,
    /// The monitors, with their owners.
    monitors: HashMap<Mon, (Proc, MonitorRef)>,
    /// Their numbers.
    references: HashMap<MonitorRef, Mon>,
    /// The number of the last round of pings.
    round: u64,
    /// The number of the present step.
    step: usize,
    /// What was seen.
    seen: Vec<Seen>,
}

impl Driver {
    pub(super) fn new(me: Process<Report>, setting: Setting, homes: Vec<Arc<dyn Backend>>) -> Driver {
        Driver {
            me,
            setting,
            homes,
            handles: HashMap::new(),
            numbers: HashMap::new(),
            alive: BTreeMap::new(),
            monitors: HashMap::new(),
            references: HashMap::new(),
            round: 0,
            step: 0,
            seen: Vec::new(),
        }
    }

    pub(super) async fn drive(mut self, program: &Program) -> Result<Trace, String> {
        for number in 0..program.roots {
            let (handle, _) = self.setting.start(number, None);
            self.meet(number, handle);
        }
        for (number, step) in program.steps.iter().enumerate() {
            self.step = number;
            if let Some(ops) = self.resolve_all(step) {
                self.handles[&step.actor].say(Control::Run(ops));
                self.ping(&[step.actor]).await?;
                while self.settle().await? {}
            }
        }
        for process in self.alive.keys() {
            self.handles[process].process.exit(ExitReason::Kill);
        }
        Ok(Trace(self.seen))
    }

    /// Gets to know a new process.
    fn meet(&mut self, number: Proc, handle: Handle) {
        let pid = handle.process.pid();
        self.me.monitor(&pid);
        self.numbers.insert(pid, number);
        self.handles.insert(number, handle);
        self.alive.insert(number, false);
    }

    /// The operations of a step. `None` if its actor cannot act, or there is something that it names that
    /// never was.
    fn resolve_all(&self, step: &Step) -> Option<Vec<Resolved>> {
        let idle = self.alive.get(&step.actor) == Some(&false);
        step.ops
            .iter()
            .filter(|_| idle)
            .map(|op| self.resolve(step.actor, *op))
            .collect::<Option<Vec<_>>>()
            .filter(|_| idle)
    }

    fn resolve(&self, actor: Proc, op: Op) -> Option<Resolved> {
        let pid = |p: Proc| Some(self.handles.get(&p)?.process.pid());
        let reference =
            |m: Mon| self.monitors.get(&m).filter(|(owner, _)| *owner == actor).map(|(_, made)| *made);
        Some(match op {
            Op::Spawn(p, tie) => Resolved::Spawn(p, tie),
            Op::Link(p) => Resolved::Link(pid(p)?),
            Op::Unlink(p) => Resolved::Unlink(pid(p)?),
            Op::Monitor(m, p) => Resolved::Monitor(m, pid(p)?),
            Op::Demonitor(m) => Resolved::Demonitor(reference(m)?),
            Op::Flush(m) => Resolved::Flush(reference(m)?),
            Op::Trap(on) => Resolved::Trap(on),
            Op::Exit(p, reason) => Resolved::Exit(pid(p)?, to_exit(reason)),
            Op::Leave(reason) => Resolved::Leave(to_exit(reason)),
            Op::Raise(number) => Resolved::Raise(number),
            Op::Send(p, k) => Resolved::Send(self.handles.get(&p)?.process.clone(), k),
            Op::Receive(Pattern::Any, waits) => Resolved::Receive(Fit::Any, waits),
            Op::Receive(Pattern::Message(k), waits) => Resolved::Receive(Fit::Number(k), waits),
            Op::Receive(Pattern::Signal, waits) => Resolved::Receive(Fit::Signal, waits),
            Op::Receive(Pattern::Down(m), waits) => Resolved::Receive(Fit::Down(reference(m)?), waits),
        })
    }

    /// One round: those of whose deaths is known have ended; then all who live answer. Returns whether
    /// anybody died.
    async fn settle(&mut self) -> Result<bool, String> {
        let live = |driver: &Driver| driver.homes.iter().map(|home| home.tasks().len()).sum::<usize>();
        let start = Instant::now();
        // This task is one of them.
        while live(self) > self.alive.len() + 1 {
            match start.elapsed() {
                spent if spent > PATIENCE => return Err(format!("step {}: the dead do not end", self.step)),
                spent if spent > Duration::from_millis(1) => sleep(Duration::from_micros(100)).await,
                _ => yield_now().await,
            }
        }
        let alive: Vec<_> = self.alive.keys().copied().collect();
        self.ping(&alive).await
    }

    /// Pings some processes, and waits until each has answered or died. Returns whether anybody died.
    async fn ping(&mut self, some: &[Proc]) -> Result<bool, String> {
        self.round += 1;
        let (round, before) = (self.round, self.alive.len());
        let mut silent = some.to_vec();
        for process in some {
            self.handles[process].say(Control::Ping(round));
        }
        let mut died = false;
        while !silent.is_empty() {
            match self.me.receive_timeout(PATIENCE).await {
                Some(Event::Message(report)) => {
                    if let Report::Pong { from, round: answered, .. } = report {
                        silent.retain(|process| *process != from || answered != round);
                    }
                    self.note(report);
                }
                Some(Event::Down(down)) => {
                    let process = self.numbers[&down.from];
                    silent.retain(|silent| *silent != process);
                    self.alive.remove(&process);
                    self.see(process, What::Died(from_exit(&down.reason)));
                    died = true;
                }
                Some(other) => return Err(format!("the driver gets {other:?}")),
                None => return Err(format!("step {}: {silent:?} of {before} are silent", self.step)),
            }
        }
        Ok(died)
    }

    fn note(&mut self, report: Report) {
        match report {
            Report::Pong { from, blocked, .. } => {
                if let Some(known) = self.alive.get_mut(&from) {
                    *known = blocked;
                }
            }
            Report::Spawned(number, handle) => self.meet(number, handle),
            Report::Monitored { by, monitor, reference } => {
                self.monitors.insert(monitor, (by, reference));
                self.references.insert(reference, monitor);
            }
            Report::Was(process, was) => self.see(process, What::Was(was)),
            Report::Took(process, taken) => {
                let what = match taken {
                    None => What::Empty,
                    Some(Taken::Number(k)) => What::Took(trace::Event::Message(k)),
                    Some(Taken::Exit(from, reason)) => {
                        What::Took(trace::Event::Exit(self.numbers[&from], from_exit(&reason)))
                    }
                    Some(Taken::Down(reference, from, reason)) => {
                        let (monitor, from) = (self.references[&reference], self.numbers[&from]);
                        What::Took(trace::Event::Down(monitor, from, from_exit(&reason)))
                    }
                };
                self.see(process, what);
            }
        }
    }

    fn see(&mut self, process: Proc, what: What) {
        self.seen.push(Seen { step: self.step, process, what });
    }
}
