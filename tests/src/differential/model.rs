//! Erlang's rules of links, monitors, exit signals and mailboxes, written for reading, and the judge of
//! traces.
//!
//! The rules are those of the reference manual's chapter "Processes", and of the functions that it refers to:
//! `link/1`, `unlink/1`, `monitor/2`, `demonitor/2`, `exit/1`, `exit/2` and `process_flag/2`.
//!
//! The model carries out a step and all its effects at once, one signal after the other. In truth the signals
//! of different senders come in any order. Where that shows only in the order of a mailbox, the model says
//! which events may be taken first, and follows what was seen. Where it decides who lives, or of what
//! somebody dies, the step is *racy*: no program is generated with one, and a judge who meets one says no
//! more about the run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::program::{Mon, Op, Pattern, Proc, Program, Reason, Step, Tie};
use super::trace::{Event, Seen, Trace, What};

/// Something in a mailbox.
#[derive(Clone, Debug)]
struct Arrived {
    /// The step in which it came.
    step: usize,
    /// Who sent it and when, if the order among the signals of one sender is known.
    sent: Option<(Proc, usize)>,
    /// What it is.
    event: Event,
}

impl Arrived {
    /// Whether this is certain to lie before `other` in the mailbox.
    fn precedes(&self, other: &Arrived) -> bool {
        let same_sender = || match (self.sent, other.sent) {
            (Some((a, i)), Some((b, j))) => a == b && i < j,
            _ => false,
        };
        self.step < other.step || (self.step == other.step && same_sender())
    }
}

/// A process that is alive.
#[derive(Clone, Debug, Default)]
struct Process {
    /// Whether it receives exit signals instead of dying of them.
    trapping: bool,
    /// With whom it is linked.
    links: BTreeSet<Proc>,
    /// What has come and was not received.
    mailbox: Vec<Arrived>,
    /// What it waits for.
    blocked: Option<Pattern>,
}

/// A monitor that has not said anything yet, nor been ended.
#[derive(Clone, Copy, Debug)]
struct Watch {
    /// Who is told.
    owner: Proc,
    /// Whose death it is about.
    target: Proc,
}

/// What is to be seen of a process in a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// What it says.
    pub report: Option<Report>,
    /// What it dies of, after that.
    pub died: Option<Reason>,
}

/// What a process says in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It receives one of these.
    OneOf(Vec<Event>),
    /// There is nothing to receive.
    Empty,
    /// Whether it trapped exits.
    Was(bool),
}

/// What comes of a step.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Nobody does anything.
    Skipped,
    /// The rules leave open who lives or why somebody dies.
    Racy,
    /// This is to be seen.
    Done(BTreeMap<Proc, Expected>),
}

/// What comes last of all that a process sends: the signals of its death.
const AT_DEATH: usize = usize::MAX;

/// All processes of a program.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Those who live.
    alive: BTreeMap<Proc, Process>,
    /// All that there have ever been.
    known: BTreeSet<Proc>,
    /// Who made which monitor.
    made: BTreeMap<Mon, Proc>,
    /// The monitors that may still say something.
    watches: BTreeMap<Mon, Watch>,
    /// The number of the present step.
    step: usize,
    /// Who died in this step, and of what.
    died: BTreeMap<Proc, Reason>,
    /// What came in this step, to the dead as well.
    came: Vec<(Proc, Event)>,
    /// Whether the rules have left something open in this step.
    racy: bool,
    /// Who is about to send the signals of its death.
    dying: VecDeque<(Proc, Process, Reason)>,
}

fn fits(pattern: Pattern, event: Event) -> bool {
    match (pattern, event) {
        (Pattern::Any, _) | (Pattern::Signal, Event::Exit(..) | Event::Down(..)) => true,
        (Pattern::Message(k), Event::Message(came)) => k == came,
        (Pattern::Down(m), Event::Down(came, ..)) => m == came,
        _ => false,
    }
}

impl World {
    /// The world at the start of a program.
    pub fn new(roots: usize) -> World {
        let alive = (0..roots).map(|p| (p, Process::default())).collect();
        World { alive, known: (0..roots).collect(), ..World::default() }
    }

    /// Those who may be the actor of a step, with the length of their mailboxes.
    pub fn idle(&self) -> Vec<(Proc, usize)> {
        let idle = self.alive.iter().filter(|(_, process)| process.blocked.is_none());
        idle.map(|(p, process)| (*p, process.mailbox.len())).collect()
    }

    /// All that there have ever been.
    pub fn known(&self) -> Vec<Proc> {
        self.known.iter().copied().collect()
    }

    /// Whether a process is alive.
    pub fn is_alive(&self, p: Proc) -> bool {
        self.alive.contains_key(&p)
    }

    /// The monitors that a process has made.
    pub fn made_by(&self, p: Proc) -> Vec<Mon> {
        self.made.iter().filter(|(_, owner)| **owner == p).map(|(m, _)| *m).collect()
    }

    /// Carries out step number `number`. After it, say what each process that receives has taken:
    /// [`World::take`].
    pub fn apply(&mut self, number: usize, step: &Step) -> Outcome {
        let known = |op: &Op| self.is_known(step.actor, *op);
        if self.alive.get(&step.actor).is_none_or(|actor| actor.blocked.is_some())
            || !step.ops.iter().all(known)
        {
            return Outcome::Skipped;
        }
        (self.step, self.racy) = (number, false);
        self.died.clear();
        self.came.clear();
        let blocked: Vec<_> =
            self.alive.iter().filter_map(|(p, process)| Some((*p, process.blocked?))).collect();
        let mut expected = BTreeMap::<Proc, Expected>::new();
        for (at, op) in step.ops.iter().enumerate() {
            if self.died.contains_key(&step.actor) {
                // Whether it still did this is a matter of chance.
                return Outcome::Racy;
            }
            if let Some(report) = self.perform(step.actor, at, *op) {
                expected.entry(step.actor).or_default().report = Some(report);
            }
            self.settle();
        }
        for (p, pattern) in blocked {
            if self.died.contains_key(&p) {
                // It may have received before it died, or not.
                self.racy |= self.came.iter().any(|(to, event)| *to == p && fits(pattern, *event));
            } else if let Some(report) = self.receive(p, pattern) {
                expected.entry(p).or_default().report = Some(report);
            }
        }
        for (p, reason) in &self.died {
            expected.entry(*p).or_default().died = Some(*reason);
        }
        if self.racy { Outcome::Racy } else { Outcome::Done(expected) }
    }

    /// Whether there has ever been what the operation names.
    fn is_known(&self, actor: Proc, op: Op) -> bool {
        match op {
            Op::Link(p) | Op::Unlink(p) | Op::Monitor(_, p) | Op::Exit(p, _) | Op::Send(p, _) => {
                self.known.contains(&p)
            }
            Op::Demonitor(m) | Op::Flush(m) | Op::Receive(Pattern::Down(m), _) => {
                self.made.get(&m) == Some(&actor)
            }
            Op::Spawn(..) | Op::Trap(_) | Op::Leave(_) | Op::Raise(_) | Op::Receive(..) => true,
        }
    }

    /// `actor` carries out an operation, the one with the index `at` in its step.
    fn perform(&mut self, actor: Proc, at: usize, op: Op) -> Option<Report> {
        match op {
            Op::Spawn(p, tie) => {
                self.alive.insert(p, Process::default());
                self.known.insert(p);
                match tie {
                    Tie::None => {}
                    Tie::Link => self.link(actor, p),
                    Tie::Monitor(m) => self.monitor(actor, m, p),
                }
            }
            Op::Link(p) => self.link(actor, p),
            Op::Unlink(p) => self.unlink(actor, p),
            Op::Monitor(m, p) => self.monitor(actor, m, p),
            Op::Demonitor(m) => drop(self.watches.remove(&m)),
            Op::Flush(m) => {
                self.watches.remove(&m);
                let mailbox = &mut self.alive.get_mut(&actor)?.mailbox;
                mailbox.retain(|arrived| !fits(Pattern::Down(m), arrived.event));
            }
            Op::Trap(on) => {
                return Some(Report::Was(std::mem::replace(&mut self.alive.get_mut(&actor)?.trapping, on)));
            }
            Op::Exit(p, reason) => self.exit_signal(actor, Some((actor, at)), p, reason, false),
            Op::Leave(reason) => self.die(actor, reason),
            Op::Raise(n) => self.die(actor, Reason::Panic(n)),
            Op::Send(p, k) => self.arrive(p, Some((actor, at)), Event::Message(k)),
            Op::Receive(pattern, waits) => {
                self.alive.get_mut(&actor)?.blocked = Some(pattern);
                let report = self.receive(actor, pattern);
                if report.is_none() && !waits {
                    self.alive.get_mut(&actor)?.blocked = None;
                    return Some(Report::Empty);
                }
                return report;
            }
        }
        None
    }

    fn link(&mut self, a: Proc, b: Proc) {
        if a == b {
            return;
        }
        if !self.is_alive(b) {
            // Had they been linked, the link's own signal may still have been on its way, and linking again
            // nothing.
            let told =
                |(to, event): &(Proc, Event)| *to == a && matches!(event, Event::Exit(from, _) if *from == b);
            self.racy |= self.came.iter().any(told);
            self.exit_signal(b, None, a, Reason::NoProcess, false);
            return;
        }
        for (one, other) in [(a, b), (b, a)] {
            self.alive.get_mut(&one).map(|process| process.links.insert(other));
        }
    }

    fn unlink(&mut self, a: Proc, b: Proc) {
        for (one, other) in [(a, b), (b, a)] {
            self.alive.get_mut(&one).map(|process| process.links.remove(&other));
        }
    }

    fn monitor(&mut self, owner: Proc, m: Mon, target: Proc) {
        self.made.insert(m, owner);
        match self.is_alive(target) {
            true => drop(self.watches.insert(m, Watch { owner, target })),
            false => self.arrive(owner, None, Event::Down(m, target, Reason::NoProcess)),
        }
    }

    /// An exit signal comes, through a link or because somebody sent it.
    fn exit_signal(
        &mut self,
        from: Proc,
        sent: Option<(Proc, usize)>,
        to: Proc,
        reason: Reason,
        linked: bool,
    ) {
        let Some(process) = self.alive.get_mut(&to) else {
            if let Some(first) = self.died.get(&to) {
                let kills = reason == Reason::Kill && !linked;
                let second = if kills { Reason::Killed } else { reason };
                self.racy |= *first != second && second != Reason::Normal;
            }
            self.came.push((to, Event::Exit(from, reason)));
            return;
        };
        if linked && !process.links.remove(&from) {
            return;
        }
        if reason == Reason::Kill && !linked {
            self.die(to, Reason::Killed);
        } else if process.trapping {
            self.arrive(to, sent, Event::Exit(from, reason));
        } else if reason != Reason::Normal || (from == to && !linked) {
            self.die(to, reason);
        }
    }

    /// Something comes to a mailbox.
    fn arrive(&mut self, to: Proc, sent: Option<(Proc, usize)>, event: Event) {
        self.came.push((to, event));
        let step = self.step;
        if let Some(process) = self.alive.get_mut(&to) {
            process.mailbox.push(Arrived { step, sent, event });
        }
    }

    fn die(&mut self, p: Proc, reason: Reason) {
        if let Some(process) = self.alive.remove(&p) {
            self.died.insert(p, reason);
            self.dying.push_back((p, process, reason));
        }
    }

    /// Lets those who have died send their last signals, and those who die of these, and so on.
    fn settle(&mut self) {
        while let Some((p, process, reason)) = self.dying.pop_front() {
            let sent = Some((p, AT_DEATH));
            for other in process.links {
                self.exit_signal(p, sent, other, reason, true);
            }
            for (m, watch) in self.watches.clone() {
                if watch.target == p || watch.owner == p {
                    self.watches.remove(&m);
                }
                if watch.target == p {
                    self.arrive(watch.owner, sent, Event::Down(m, p, reason));
                }
            }
        }
    }

    /// What a receive may take, if anything.
    fn receive(&self, p: Proc, pattern: Pattern) -> Option<Report> {
        let fitting = || self.alive[&p].mailbox.iter().filter(|arrived| fits(pattern, arrived.event));
        let first: Vec<_> = fitting().filter(|one| !fitting().any(|other| other.precedes(one))).collect();
        (!first.is_empty()).then(|| Report::OneOf(first.into_iter().map(|arrived| arrived.event).collect()))
    }

    /// A process has received `event`. Says whether it may.
    pub fn take(&mut self, p: Proc, event: Event) -> bool {
        let pattern = self.alive.get(&p).and_then(|process| process.blocked);
        let Some(Report::OneOf(first)) = pattern.and_then(|pattern| self.receive(p, pattern)) else {
            return false;
        };
        let Some(process) = self.alive.get_mut(&p).filter(|_| first.contains(&event)) else { return false };
        process.blocked = None;
        let at = process.mailbox.iter().position(|arrived| arrived.event == event);
        at.map(|at| process.mailbox.remove(at)).is_some()
    }
}

/// What a judge has looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Steps that were carried out.
    pub steps: usize,
    /// Steps about which nothing was said, since one of them was racy.
    pub unjudged: usize,
}

/// Judges what was seen of a run of a program.
///
/// # Errors
/// What is wrong, in words.
pub fn judge(program: &Program, trace: &Trace) -> Result<Judged, String> {
    let mut world = World::new(program.roots);
    let mut judged = Judged::default();
    for (number, step) in program.steps.iter().enumerate() {
        let seen: Vec<_> = trace.0.iter().filter(|seen| seen.step == number).collect();
        let expected = match world.apply(number, step) {
            Outcome::Racy => {
                judged.unjudged = program.steps.len() - number;
                return Ok(judged);
            }
            Outcome::Skipped => BTreeMap::new(),
            Outcome::Done(expected) => {
                judged.steps += 1;
                expected
            }
        };
        judge_step(&mut world, &expected, &seen).map_err(|wrong| {
            format!("step {number}, {step:?}: {wrong}\n expected: {expected:?}\n seen: {seen:?}")
        })?;
    }
    match trace.0.iter().find(|seen| seen.step >= program.steps.len()) {
        Some(late) => Err(format!("after the end: {late:?}")),
        None => Ok(judged),
    }
}

fn judge_step(world: &mut World, expected: &BTreeMap<Proc, Expected>, seen: &[&Seen]) -> Result<(), String> {
    let processes: BTreeSet<_> =
        expected.keys().copied().chain(seen.iter().map(|seen| seen.process)).collect();
    for p in processes {
        let mut seen = seen.iter().filter(|seen| seen.process == p).map(|seen| seen.what);
        let Expected { report, died } = expected.get(&p).cloned().unwrap_or_default();
        let right = match report {
            None => true,
            Some(Report::Empty) => seen.next() == Some(What::Empty),
            Some(Report::Was(was)) => seen.next() == Some(What::Was(was)),
            Some(Report::OneOf(_)) => match seen.next() {
                Some(What::Took(event)) => world.take(p, event),
                _ => false,
            },
        };
        if !right || seen.next() != died.map(What::Died) || seen.next().is_some() {
            return Err(format!("process {p} does not do what it should"));
        }
    }
    Ok(())
}
