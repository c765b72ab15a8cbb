//! The memory of an idle actor: how much more is resident with all of them than before the first, shared out
//! among them.
//!
//! Each holds 64 bytes of state. With `messages=0` it has been started and waits for its first message; with
//! `messages=1` it has got one, so what its mailbox keeps of that counts. The references that the program
//! holds count too, and so does what the allocator rounds up. Actors start in small groups, so that what a
//! run queue needs for a burst is not charged to them. That each of them lived is checked at the end: each
//! answers that it stops.

use std::hint::black_box;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;

use super::system::actix::Actix;
use super::system::mpsc::Mpsc;
use super::system::twoply::{Processes, Twoply};
use super::system::{Behaviour, Flow, Me, Outcome, Ref, System};
use super::{Workload, one_worker};
use crate::child::{Child, Used};
use crate::peers;
use crate::usage;
use crate::workload::{Better, Case, Context, Measure, Run, Sample, check_count};

const BYTES: &[Measure] = &[Measure { name: "", unit: "bytes/actor", better: Better::Lower }];

/// How many actors start before the next ones do.
const GROUP: usize = 1000;

const fn case(
    params: &'static [(&'static str, usize)],
    quick: bool,
    systems: &'static [(&'static str, Run)],
) -> Case {
    Case { workload: "actor-memory", params, measures: BYTES, quick, systems }
}

/// Those that start a million actors within a few seconds.
const A_MILLION: &[(&str, Run)] = &[
    ("mpsc-tokio-current", Idle::measure::<Mpsc>),
    ("actix", Idle::measure::<Actix>),
    ("twoply-green", Idle::measure::<Twoply>),
    ("twoply-green-process", Idle::measure::<Processes>),
];

pub(crate) const CASES: &[Case] = &[
    case(&[("actors", 100_000), ("messages", 0), ("workers", 1)], true, one_worker::<Idle>()),
    case(&[("actors", 100_000), ("messages", 1), ("workers", 1)], false, one_worker::<Idle>()),
    case(&[("actors", 1_000_000), ("messages", 0), ("workers", 1)], false, A_MILLION),
];

/// See the [module](self).
struct Idle;

/// What a child in another language says.
#[derive(Deserialize)]
struct Told {
    /// The bytes of one actor.
    result: u64,
    /// What it has used up to then.
    #[serde(flatten)]
    used: Used,
}

/// Waits, with this state.
struct Waiter([u64; 8]);

/// To a waiter.
enum ToWaiter {
    /// A message like any other.
    Message(Outcome),
    /// It is to end.
    End(Outcome),
}

impl<S: System> Behaviour<S> for Waiter {
    type Message = ToWaiter;

    fn handle(&mut self, message: ToWaiter, _: &impl Me<S, Self>) -> Flow {
        black_box(&mut self.0);
        match message {
            ToWaiter::Message(outcome) => {
                outcome.add(1);
                Flow::Continue
            }
            ToWaiter::End(outcome) => {
                outcome.add(1);
                Flow::Stop
            }
        }
    }
}

/// All that have been started.
type Waiters<S> = Arc<Mutex<Vec<Ref<S, Waiter>>>>;

/// Starts a group, lets each of it have its messages, and returns when all of them have had their first turn.
fn start_group<S: System>(system: &S, waiters: &Waiters<S>, messages: usize) -> Result<()> {
    let waiters = waiters.clone();
    let answers = system.run(Box::new(move |outcome| {
        let mut waiters = waiters.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..GROUP {
            let waiter = S::spawn(Waiter([1; 8]));
            for _ in 0..messages {
                waiter.tell(ToWaiter::Message(outcome.clone()));
            }
            waiters.push(waiter);
        }
        // It is started last and has its turn last, by which time the others have had theirs.
        S::spawn(Waiter([0; 8])).tell(ToWaiter::End(outcome));
    }))?;
    check_count(GROUP * messages + 1, answers as usize)
}

impl Workload for Idle {
    fn measure<S: System>(ctx: &Context) -> Result<Sample> {
        let system = S::start(ctx)?;
        let (actors, messages) = (ctx.param("actors"), ctx.param("messages"));
        let waiters: Waiters<S> = Arc::new(Mutex::new(Vec::with_capacity(actors)));
        // What the first group needs of the runtime is not charged either.
        start_group(&system, &waiters, messages)?;
        let (cpu_before, before) = (usage::cpu_time(), usage::rss_kib()?);
        let groups = actors / GROUP - 1;
        for _ in 0..groups {
            start_group(&system, &waiters, messages)?;
        }
        let (cpu, after) = (usage::cpu_time() - cpu_before, usage::rss_kib()?);
        let bytes = (after.saturating_sub(before) * 1024) as f64;
        let sample = Sample::new(vec![bytes / (groups * GROUP) as f64], groups * GROUP, cpu)?;

        let waiters = mem::take(&mut *waiters.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = system.run(Box::new(move |outcome| {
            for waiter in waiters {
                waiter.tell(ToWaiter::End(outcome.clone()));
            }
        }))?;
        check_count(actors, ended as usize)?;
        Ok(sample)
    }

    fn foreign(ctx: &Context) -> Result<Sample> {
        let (actors, messages) = (ctx.param("actors"), ctx.param("messages"));
        let mut command = peers::command(ctx.system, "idle", ctx.workers(), &[messages])?;
        let (mut child, _) = Child::start(&mut command)?;
        let told: Told = child.ask(&actors.to_string())?;
        let mut sample =
            Sample::new(vec![told.result as f64], actors, Duration::from_nanos(told.used.cpu_ns))?;
        sample.peak_rss_kib = told.used.peak_rss_kib;
        Ok(sample)
    }
}
