//! The micro and the concurrency benchmarks of the Savina suite (S. Imam, V. Sarkar: "Savina, an actor
//! benchmark suite", AGERE 2014), ours beside other actor libraries of Rust.
//!
//! Each benchmark is written once over [`System`], with the messages and the protocol of the suite; where the
//! suite has an actor that waits for an answer in a handler, it is the suite's variant with a stash. Each
//! checks its result, and is over when its last actor is gone. The figure is the wall time of one operation,
//! which for most is a message; the number of actors in Fibonacci and ForkJoin (Create), of rounds, haircuts,
//! items and transactions in those that are named after such.
//!
//! The parameters are those of the paper but for five, which take many seconds with some of the systems: Big
//! sends a tenth of the pings, SortedList does a tenth of the operations, SleepingBarber has a tenth of the
//! customers and of the seats, Fibonacci computes the 23rd number instead of the 25th, and producing or
//! consuming an item in BoundedBuffer costs a twenty-fifth (one round of a hundred logarithms). With all that
//! the paper gives them they are `paper-big`, `paper-sortedlist` and so on, which run on request:
//! `--only paper`. `--quick` does a twentieth of the rounds of all.
//!
//! All mailboxes are unbounded, which is the one kind that all systems have. With `workers=1` the peers run
//! on tokio's current-thread runtime, with `workers=2` on its multi-thread one; actix has an arbiter for each
//! worker.

mod classic;
mod crowd;
mod micro;
mod shared;
mod stash;

pub(crate) use crowd::Big;
pub(crate) use micro::ThreadRing;

use std::time::Instant;

use anyhow::{Result, ensure};

use super::actor::system::actix::Actix;
use super::actor::system::kameo::Kameo;
use super::actor::system::ractor::Ractor;
use super::actor::system::twoply::Twoply;
use super::actor::system::{Outcome, System};
use super::{Case, Context, Run, Sample, timed};
use crate::usage;

/// A benchmark with its parameters.
pub(crate) trait Benchmark: Copy + Send + 'static {
    /// The benchmark with the parameters of the case.
    fn new(size: &Size<'_>) -> Self;

    /// How many operations a run does: what its time is divided by.
    fn operations(&self) -> u64;

    /// What its outcome must add up to.
    fn expected(&self) -> u64;

    /// Spawns the first actors and sends the first messages.
    fn start<S: System>(self, outcome: Outcome);
}

/// The parameters of a case, smaller for a quick look.
pub(crate) struct Size<'a>(&'a Context);

impl Size<'_> {
    /// A parameter that is the same in a quick look.
    fn count(&self, name: &str) -> u64 {
        self.0.param(name) as u64
    }

    /// A parameter that says how long the benchmark runs.
    fn rounds(&self, name: &str) -> u64 {
        let quick = if self.0.quick { 20 } else { 1 };
        (self.count(name) / quick).max(1)
    }
}

/// Runs a benchmark once and checks its result.
pub(crate) fn run_once<S: System, B: Benchmark>(system: &S, benchmark: B) -> Result<()> {
    let outcome = system.run(Box::new(move |outcome| benchmark.start::<S>(outcome)))?;
    let expected = benchmark.expected();
    ensure!(outcome == expected, "the result is {outcome}, and it should be {expected}");
    Ok(())
}

/// Measures a benchmark on a system: as often as fills the window, or once after one to warm up in a quick
/// look.
pub(crate) fn measure<S: System, B: Benchmark>(ctx: &Context) -> Result<Sample> {
    let system = S::start(ctx)?;
    let benchmark = B::new(&Size(ctx));
    let operations = usize::try_from(benchmark.operations())?;
    if !ctx.quick {
        return ctx
            .time(operations, |ops| (0..ops / operations).try_for_each(|_| run_once(&system, benchmark)));
    }
    run_once(&system, benchmark)?;
    let (cpu, start) = (usage::cpu_time(), Instant::now());
    run_once(&system, benchmark)?;
    let took = start.elapsed();
    Sample::new(vec![took.as_nanos() as f64 / operations as f64], operations, usage::cpu_time() - cpu)
}

/// Who runs a benchmark with one worker.
const fn one_worker<B: Benchmark>() -> &'static [(&'static str, Run)] {
    &[
        ("kameo-tokio-current", measure::<Kameo, B>),
        ("ractor-tokio-current", measure::<Ractor, B>),
        ("actix", measure::<Actix, B>),
        ("twoply-green", measure::<Twoply, B>),
    ]
}

/// Who runs a benchmark with two workers.
const fn two_workers<B: Benchmark>() -> &'static [(&'static str, Run)] {
    &[
        ("kameo-tokio-multi", measure::<Kameo, B>),
        ("ractor-tokio-multi", measure::<Ractor, B>),
        ("actix", measure::<Actix, B>),
        ("twoply-green", measure::<Twoply, B>),
    ]
}

/// The two cases of each benchmark: with one worker and with two.
macro_rules! cases {
    ($cases:ident: $($workload:literal, $benchmark:ty, [$(($name:literal, $value:expr)),*];)*) => {
        pub(crate) const $cases: &[Case] = &[$(
            timed($workload, &[$(($name, $value),)* ("workers", 1)], one_worker::<$benchmark>()),
            timed($workload, &[$(($name, $value),)* ("workers", 2)], two_workers::<$benchmark>()),
        )*];
    };
}

cases! { PAPER:
    "paper-big", crowd::Big, [("actors", 120), ("pings", 20_000)];
    "paper-fibonacci", crowd::Fibonacci, [("n", 25)];
    "paper-sortedlist", shared::SortedList, [("users", 20), ("operations", 8_000)];
    "paper-boundedbuffer", shared::BoundedBuffer,
        [("producers", 40), ("consumers", 40), ("size", 50), ("items", 1_000), ("cost", 25)];
    "paper-barber", classic::SleepingBarber, [("room", 1_000), ("haircuts", 5_000)];
}

cases! { CASES:
    "savina-pingpong", micro::PingPong, [("pings", 40_000)];
    "savina-counting", micro::Counting, [("messages", 1_000_000)];
    "savina-fj-throughput", micro::ForkJoinThroughput, [("messages", 10_000), ("actors", 60)];
    "savina-fj-create", micro::ForkJoinCreate, [("actors", 40_000)];
    "savina-threadring", micro::ThreadRing, [("actors", 100), ("hops", 100_000)];
    "savina-chameneos", crowd::Chameneos, [("chameneos", 100), ("meetings", 200_000)];
    "savina-big", crowd::Big, [("actors", 120), ("pings", 2_000)];
    "savina-fibonacci", crowd::Fibonacci, [("n", 23)];
    "savina-concdict", shared::Dictionary, [("users", 20), ("operations", 10_000)];
    "savina-sortedlist", shared::SortedList, [("users", 20), ("operations", 800)];
    "savina-boundedbuffer", shared::BoundedBuffer,
        [("producers", 40), ("consumers", 40), ("size", 50), ("items", 1_000), ("cost", 1)];
    "savina-philosophers", classic::Philosophers, [("philosophers", 20), ("rounds", 10_000)];
    "savina-barber", classic::SleepingBarber, [("room", 100), ("haircuts", 500)];
    "savina-smokers", classic::CigaretteSmokers, [("smokers", 200), ("rounds", 1_000)];
    "savina-logisticmap", stash::LogisticMap, [("series", 10), ("terms", 25_000)];
    "savina-banking", stash::Banking, [("accounts", 1_000), ("transactions", 50_000)];
}

/// The suite's generator of random numbers, so that the benchmarks do what they do in the suite.
struct Random(u64);

impl Random {
    /// The generator with this seed.
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`, which is at most 65,536.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = (self.0 * 1309 + 13849) & 65535;
        self.0 % limit
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_system_gives_the_right_result_of_every_benchmark() {
        for case in [CASES, PAPER].into_iter().flatten() {
            for (system, run) in case.systems {
                let (quick, window) = (true, Duration::from_millis(1));
                let sample = run(&Context { system, params: case.params, quick, window });
                assert!(sample.is_ok(), "{} {system}: {:?}", case.name(), sample.err());
            }
        }
    }
}
