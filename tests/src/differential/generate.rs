//! Random programs, and smaller ones.
//!
//! Programs grow step by step beside the model of what they do, so that the actors of the steps can act, and
//! no step is racy. Still each needs a judge for its traces: where a receive may take one of several, the run
//! decides.

use super::model::{Outcome, Report, World};
use super::program::{Mon, Op, Pattern, Proc, Program, Reason, Step, Tie};

/// The most processes that a program ever has.
const MOST: usize = 6;

/// The process that looks on.
const OBSERVER: Proc = 0;

/// Numbers that look random: splitmix64, by Sebastiano Vigna. For tests, where the same seed must give the
/// same forever.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A sequence that `seed` alone decides.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, or 0. The bias does not matter here.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() >> 11) as usize % bound.max(1)
    }

    /// True in `percent` of a hundred times.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        from.get(self.below(from.len())).copied()
    }
}

/// The random program of a seed.
pub fn generate(seed: u64) -> Program {
    let mut random = Random::new(seed);
    let roots = 2 + random.below(3);
    let wanted = 12 + random.below(28);
    let mut growing = Growing { world: World::new(roots), steps: Vec::new(), processes: roots, monitors: 0 };
    // Who lives sees more. In most programs the first process traps exits, and seldom does what would end it.
    let observed = random.chance(70);
    if observed {
        growing.push(OBSERVER, vec![Op::Trap(true)]);
    }
    // Some candidates are racy, and dropped; a world of the dead and the blocked has none.
    for _ in 0..4 * wanted {
        let idle: Vec<Proc> = growing.world.idle().into_iter().map(|(p, _)| p).collect();
        let looks = observed && idle.contains(&OBSERVER) && random.chance(25);
        let Some(actor) = (if looks { Some(OBSERVER) } else { random.pick(&idle) })
            .filter(|_| growing.steps.len() < wanted)
        else {
            break;
        };
        let ops = growing.ops(&mut random, actor);
        let ends_observer = |op: &Op| match op {
            Op::Exit(p, _) => *p == OBSERVER,
            Op::Leave(_) | Op::Raise(_) | Op::Trap(false) => actor == OBSERVER,
            _ => false,
        };
        if !observed || random.chance(10) || !ops.iter().any(ends_observer) {
            growing.push(actor, ops);
        }
    }
    // What is left in the mailboxes, in which order, and that there is no more of it.
    for (actor, left) in growing.world.idle() {
        for _ in 0..=left {
            growing.push(actor, vec![Op::Receive(Pattern::Any, false)]);
        }
    }
    Program { seed, roots, steps: growing.steps }
}

/// A program that grows.
struct Growing {
    /// What its steps have done.
    world: World,
    /// Its steps.
    steps: Vec<Step>,
    /// The number of the next process.
    processes: Proc,
    /// The number of the next monitor.
    monitors: Mon,
}

impl Growing {
    /// Adds a step, unless it is racy.
    fn push(&mut self, actor: Proc, ops: Vec<Op>) {
        let mut world = self.world.clone();
        let step = Step { actor, ops };
        let Outcome::Done(expected) = world.apply(self.steps.len(), &step) else { return };
        for (p, expected) in expected {
            if let Some(Report::OneOf(events)) = expected.report {
                world.take(p, events[0]);
            }
        }
        for op in &step.ops {
            match op {
                Op::Spawn(p, tie) => {
                    self.processes = p + 1;
                    if let Tie::Monitor(m) = tie {
                        self.monitors = m + 1;
                    }
                }
                Op::Monitor(m, _) => self.monitors = m + 1,
                _ => {}
            }
        }
        self.world = world;
        self.steps.push(step);
    }

    /// Whom an operation is about: mostly somebody who lives.
    fn target(&self, random: &mut Random) -> Proc {
        let known = self.world.known();
        let alive: Vec<_> = known.iter().copied().filter(|p| self.world.is_alive(*p)).collect();
        let from = if random.chance(85) { &alive } else { &known };
        random.pick(from).unwrap_or(0)
    }

    /// What `actor` does in a step.
    fn ops(&self, random: &mut Random, actor: Proc) -> Vec<Op> {
        let (p, m) = (self.target(random), self.monitors);
        let mine = random.pick(&self.world.made_by(actor));
        let k = random.below(4) as u32;
        match random.below(100) {
            0..20 => vec![Op::Send(p, k)],
            20..38 => vec![Op::Receive(pattern(random, k, mine), random.chance(30))],
            38..48 => vec![Op::Link(p)],
            48..51 => vec![Op::Unlink(p)],
            51..59 => vec![Op::Monitor(m, p)],
            59..63 => match mine {
                Some(m) if random.chance(50) => vec![Op::Flush(m)],
                Some(m) => vec![Op::Demonitor(m)],
                None => vec![Op::Monitor(m, p)],
            },
            63..71 => vec![Op::Trap(random.chance(75))],
            71..79 => vec![Op::Exit(p, reason(random))],
            79..82 => vec![Op::Leave(reason(random))],
            82..84 => vec![Op::Raise(k)],
            84..90 if self.processes < MOST => {
                let tie = random.pick(&[Tie::None, Tie::Link, Tie::Monitor(m)]).unwrap_or(Tie::None);
                vec![Op::Spawn(self.processes, tie)]
            }
            _ => pair(random, p, m, k),
        }
    }
}

fn pattern(random: &mut Random, k: u32, mine: Option<Mon>) -> Pattern {
    match (random.below(8), mine) {
        (0..3, _) => Pattern::Any,
        (3..6, _) => Pattern::Message(k),
        (6, Some(m)) => Pattern::Down(m),
        _ => Pattern::Signal,
    }
}

fn reason(random: &mut Random) -> Reason {
    match random.below(10) {
        0 | 1 => Reason::Normal,
        2 => Reason::Shutdown,
        3 | 4 => Reason::Kill,
        5 => Reason::Killed,
        6 => Reason::NoProcess,
        n => Reason::Custom(n as u32),
    }
}

/// Two operations without a break between them, both about `p`: what they do together is decided by the order
/// of the signals from one process to another.
fn pair(random: &mut Random, p: Proc, m: Mon, k: u32) -> Vec<Op> {
    let (exit, leave) = (Op::Exit(p, reason(random)), Op::Leave(reason(random)));
    match random.below(13) {
        0 => vec![exit, Op::Link(p)],
        1 => vec![exit, Op::Monitor(m, p)],
        2 => vec![Op::Link(p), exit],
        3 => vec![Op::Monitor(m, p), exit],
        4 => vec![Op::Send(p, k), exit],
        5 => vec![exit, Op::Send(p, k)],
        6 => vec![Op::Send(p, k), Op::Send(p, k + 1)],
        7 => vec![Op::Send(p, k), leave],
        8 => vec![Op::Unlink(p), leave],
        9 => vec![Op::Link(p), leave],
        10 => vec![exit, leave],
        11 => vec![Op::Monitor(m, p), Op::Monitor(m + 1, p)],
        _ => vec![Op::Unlink(p), Op::Link(p)],
    }
}

/// A smaller program for which `fails` still says true; the program itself if there is none.
///
/// It leaves out steps, first many at a time and at last one at a time.
pub fn minimise(program: &Program, mut fails: impl FnMut(&Program) -> bool) -> Program {
    let mut least = program.clone();
    let mut chunk = least.steps.len().div_ceil(2);
    while chunk > 0 {
        let mut end = least.steps.len();
        while end > 0 {
            let start = end.saturating_sub(chunk);
            let mut fewer = least.clone();
            fewer.steps.drain(start..end);
            if fails(&fewer) {
                least = fewer;
            }
            end = start;
        }
        chunk /= 2;
    }
    least
}
