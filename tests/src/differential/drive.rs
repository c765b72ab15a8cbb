//! The driver of a program: it tells the interpreters what to do, and waits until that has settled.
//!
//! # When a step has settled
//! The driver pings the actor. Who answers has carried out the operations, and what it did to others is done.
//! Those who die of it tell others while they end; so the driver waits until the tasks of all of whose deaths
//! it knows are over, and then pings all who live. When nobody dies in such a round, nobody is dying, and all
//! that those who died have sent has come.
//!
//! Of those on another node, it asks the host whether anybody there is dying. What its answer comes behind
//! has been sent before: signals and messages cross in one order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use twoply_core::actor::{Down, Event, ExitReason, MonitorRef, Pid, Process};
use twoply_core::backend::Backend;
use twoply_core::future::yield_now;
use twoply_core::time::sleep;

use super::across::{self, Noted, Said, There, ToHost, Told};
use super::generate::Random;
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
    /// The other node, if there is one.
    there: Option<There>,
    /// The number of the last round of pings.
    round: u64,
    /// The number of the present step.
    step: usize,
    /// What was seen.
    seen: Vec<Seen>,
}

impl Driver {
    pub(super) fn new(
        me: Process<Report>,
        setting: Setting,
        homes: Vec<Arc<dyn Backend>>,
        there: Option<There>,
    ) -> Driver {
        Driver {
            me,
            setting,
            homes,
            handles: HashMap::new(),
            numbers: HashMap::new(),
            alive: BTreeMap::new(),
            monitors: HashMap::new(),
            references: HashMap::new(),
            there,
            round: 0,
            step: 0,
            seen: Vec::new(),
        }
    }

    pub(super) async fn drive(mut self, program: &Program) -> Result<Trace, String> {
        let mut random = Random::new(program.seed);
        for number in 0..program.roots {
            self.start(number, random.chance(50)).await?;
        }
        for (number, step) in program.steps.iter().enumerate() {
            self.step = number;
            if self.tell(step) {
                self.ping(&[step.actor]).await?;
                while self.settle().await? {}
            }
        }
        for process in self.alive.keys() {
            self.handles[process].process.exit(ExitReason::Kill);
        }
        Ok(Trace(self.seen))
    }

    /// Starts a process; on the other node if it is to be there, and there is one.
    async fn start(&mut self, number: Proc, there: bool) -> Result<(), String> {
        let Some(host) = self.there.as_ref().filter(|_| there).map(|there| &there.host) else {
            let (handle, _) = self.setting.start(number, None);
            self.meet(number, handle);
            return Ok(());
        };
        host.send(ToHost::Start(number, self.me.me())).await.map_err(|error| error.to_string())?;
        while !self.handles.contains_key(&number) {
            match self.me.receive_timeout(PATIENCE).await {
                Some(Event::Message(report)) => self.note(report),
                other => return Err(format!("{other:?} instead of a new process")),
            }
        }
        Ok(())
    }

    /// Tells the actor of a step what to do. Returns false if it cannot act, or there is something that it
    /// names that never was.
    fn tell(&self, step: &Step) -> bool {
        if self.alive.get(&step.actor) != Some(&false) {
            return false;
        }
        let handle = &self.handles[&step.actor];
        let Some(there) = &handle.there else {
            let ops: Option<_> = step.ops.iter().map(|op| self.resolve(step.actor, *op)).collect();
            return ops.map(|ops| handle.say(Control::Run(ops))).is_some();
        };
        let process = |p: Proc| self.handles.get(&p).map(|handle| handle.process.clone());
        let owner = |m: Mon| self.there.as_ref()?.monitors.get(&m).copied();
        let owns = |m: Mon| owner(m) == Some(step.actor);
        let orders: Option<_> = step.ops.iter().map(|op| across::order(*op, process, owns)).collect();
        orders.is_some_and(|orders| there.try_send(Told::Run(orders)).is_ok())
    }

    /// Gets to know a new process.
    fn meet(&mut self, number: Proc, handle: Handle) {
        let pid = handle.process.pid();
        if let (Some(there), None) = (&mut self.there, &handle.there) {
            there.meet(number, &handle.process);
        }
        self.me.monitor(&pid);
        self.numbers.insert(pid, number);
        self.handles.insert(number, handle);
        self.alive.insert(number, false);
    }

    /// Returns an operation of `actor`. `None` if it names something that never was.
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
        let here = self.alive.keys().filter(|process| self.handles[process].there.is_none()).count();
        while live(self) > here + 1 {
            match start.elapsed() {
                spent if spent > PATIENCE => return Err(format!("step {}: the dead do not end", self.step)),
                spent if spent > Duration::from_millis(1) => sleep(Duration::from_micros(100)).await,
                _ => yield_now().await,
            }
        }
        let died = self.clear().await?;
        let alive: Vec<_> = self.alive.keys().copied().collect();
        Ok(self.ping(&alive).await? || died)
    }

    /// Waits until nobody on the other node is dying. Returns whether anybody died.
    async fn clear(&mut self) -> Result<bool, String> {
        let Some(there) = &self.there else { return Ok(false) };
        let (before, wanted) = (self.alive.len(), there.clear + 1);
        there.host.send(ToHost::Clear(wanted, self.me.me())).await.map_err(|error| error.to_string())?;
        while self.there.as_ref().is_some_and(|there| there.clear != wanted) {
            match self.me.receive_timeout(PATIENCE).await {
                Some(Event::Down(down)) => drop(self.died(&down)),
                Some(Event::Message(report)) => self.note(report),
                other => return Err(format!("step {}: {other:?} and no word of the host", self.step)),
            }
        }
        Ok(self.alive.len() < before)
    }

    /// Notes that a process has died. Returns it.
    fn died(&mut self, down: &Down) -> Proc {
        let process = self.numbers[&down.from];
        self.alive.remove(&process);
        self.see(process, What::Died(from_exit(&down.reason)));
        process
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
                    if let Report::Pong { from, round: answered, .. }
                    | Report::There(Said::Pong(from, answered, _)) = report
                    {
                        silent.retain(|process| *process != from || answered != round);
                    }
                    self.note(report);
                }
                Some(Event::Down(down)) => {
                    let process = self.died(&down);
                    silent.retain(|silent| *silent != process);
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
            Report::There(said) => self.note_there(said),
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

    fn note_there(&mut self, said: Said) {
        match self.there.as_mut().map(|there| there.note(said)) {
            Some(Noted::Report(report)) => self.note(report),
            Some(Noted::Seen(process, what)) => self.see(process, what),
            Some(Noted::Nothing) | None => {}
        }
    }

    fn see(&mut self, process: Proc, what: What) {
        self.seen.push(Seen { step: self.step, process, what });
    }
}
