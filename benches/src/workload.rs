//! The table of cases, and what a workload's function is given and gives back.
//!
//! A case is a workload with its parameters. A system is a name and a function; the prefix of the name says
//! what it is to the report: `twoply-` is ours, `limit-` is what the kernel allows with nothing in between,
//! all else is a peer. To add a system to a case, write its function in the workload's file and name it in
//! the table. A series (`series.rs`) is a workload over a range of sizes. `benches/README.md` shows both.
//!
//! A function runs in a process of its own. It must check its own result and return an error when that is
//! wrong: a figure of work that was not done is worse than none.

mod actor;
mod agree;
mod buffered;
mod channels;
mod children;
mod connections;
mod cross;
mod echo;
mod fan;
mod fs;
mod handoff;
mod http;
mod idle;
mod locals;
mod locks;
mod memory;
mod node;
mod pingpong;
mod ports;
mod promise;
mod proxy;
mod ring;
mod savina;
mod signals;
mod spawn;
mod states;
mod threads;
mod timers;
mod topics;
mod tree;
mod unfair;
mod yielding;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

pub(crate) use crate::sample::Sample;
pub(crate) use crate::series::Series;
use crate::usage;

/// The cases that stand for themselves, in the order in which they run and are reported.
pub(crate) fn cases() -> impl Iterator<Item = &'static Case> {
    [
        spawn::CASES,
        tree::CASES,
        yielding::CASES,
        pingpong::CASES,
        signals::CASES,
        agree::CASES,
        promise::CASES,
        ring::CASES,
        channels::CASES,
        fan::CASES,
        topics::CASES,
        states::CASES,
        locals::CASES,
        buffered::CASES,
        cross::CASES,
        handoff::CASES,
        threads::CASES,
        children::CASES,
        fs::CASES,
        echo::CASES,
        proxy::CASES,
        http::CASES,
        ports::CASES,
        ports::idle::CASES,
        unfair::CASES,
        timers::CASES,
        idle::CASES,
        memory::CASES,
        savina::CASES,
        connections::CASES,
    ]
    .into_iter()
    .flatten()
    .chain(locks::CASES.into_iter().flatten())
    .chain(node::cases())
    .chain(actor::cases())
}

/// Cases that take too long for a run of everything: they run where `--only` asks for them.
pub(crate) fn cases_on_request() -> &'static [Case] {
    savina::PAPER
}

/// What is run over a range of sizes, in the order in which it runs and is reported.
pub(crate) fn series() -> impl Iterator<Item = &'static Series> {
    [spawn::SERIES, yielding::SERIES, memory::SERIES, actor::SERIES].into_iter().flatten()
}

/// A workload with its parameters, and the systems that run it.
pub(crate) struct Case {
    /// The name of the workload.
    pub(crate) workload: &'static str,
    /// Names and values of what varies between the cases of one workload.
    pub(crate) params: &'static [(&'static str, usize)],
    /// What one run measures, in the order of [`Sample::values`].
    pub(crate) measures: &'static [Measure],
    /// Whether `--quick` includes it.
    pub(crate) quick: bool,
    /// Who runs it, by turns in this order.
    pub(crate) systems: &'static [(&'static str, Run)],
}

/// A case whose one figure is the wall time of an operation.
pub(crate) const fn timed(
    workload: &'static str,
    params: &'static [(&'static str, usize)],
    systems: &'static [(&'static str, Run)],
) -> Case {
    Case { workload, params, measures: NANOSECONDS, quick: true, systems }
}

/// One run of a case by one system.
pub(crate) type Run = fn(&Context) -> Result<Sample>;

/// One figure of a workload.
pub(crate) struct Measure {
    /// What it is, if the workload has several figures; else empty.
    pub(crate) name: &'static str,
    /// The unit of its values.
    pub(crate) unit: &'static str,
    /// Which way is better.
    pub(crate) better: Better,
}

/// The measure of most workloads: the wall time of one operation.
pub(crate) const NANOSECONDS: &[Measure] = &[Measure { name: "", unit: "ns", better: Better::Lower }];

/// Which of two values is the better one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    /// A cost.
    Lower,
    /// A rate.
    Higher,
}

impl Case {
    /// The parameters as they are printed: `tasks=1000 workers=1`.
    pub(crate) fn params(&self) -> String {
        let pairs: Vec<_> = self.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join(" ")
    }

    /// What `--only` matches, and how a child process is told which case it runs.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.workload, self.params()).trim_end().to_owned()
    }
}

/// What a run is given.
pub(crate) struct Context {
    /// The name of the running system: one function may serve several.
    pub(crate) system: &'static str,
    /// The parameters of the case.
    pub(crate) params: &'static [(&'static str, usize)],
    /// Whether this is a first look, in which what has no window should be short too.
    pub(crate) quick: bool,
    /// How long the measured part of a run should be. The harness shares its time out among all runs.
    pub(crate) window: Duration,
}

impl Context {
    /// A parameter of the case.
    ///
    /// # Panics
    /// When the case has no such parameter, which is a mistake in its table.
    pub(crate) fn param(&self, name: &str) -> usize {
        let found = self.params.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("this case has no parameter {name}")).1
    }

    /// A parameter that only some cases of the workload have.
    pub(crate) fn param_or(&self, name: &str, default: usize) -> usize {
        self.params.iter().find(|(known, _)| *known == name).map_or(default, |(_, value)| *value)
    }

    /// The parameter `workers`.
    pub(crate) fn workers(&self) -> usize {
        self.param("workers")
    }

    /// Measures the wall time of one operation.
    ///
    /// `run` is told how many operations to do, always a multiple of `step`. It is called with growing
    /// numbers until one call takes most of the window, and the last call is the figure; the others warm the
    /// process up. So all systems run for about the same time, whatever an operation costs them. A number is
    /// not trusted because a shorter call was slow: that may have been the machine.
    pub(crate) fn time(&self, step: usize, mut run: impl FnMut(usize) -> Result<()>) -> Result<Sample> {
        self.time_calls(step, &mut run)
    }

    /// [`time`](Self::time), compiled once for all workloads.
    fn time_calls(&self, step: usize, run: &mut dyn FnMut(usize) -> Result<()>) -> Result<Sample> {
        run(step)?;
        let mut steps = 1;
        loop {
            let ops = steps * step;
            let cpu_before = usage::cpu_time();
            let start = Instant::now();
            run(ops)?;
            let took = start.elapsed();
            let cpu = usage::cpu_time() - cpu_before;
            // What fills the window, as far as this call can tell; ten times as much at most.
            let growth = (self.window.as_secs_f64() / took.as_secs_f64()).min(10.0);
            if growth < ENOUGH {
                return Sample::new(vec![took.as_nanos() as f64 / ops as f64], ops, cpu);
            }
            steps = (steps as f64 * growth).ceil() as usize;
        }
    }
}

/// A call is the figure if the window is less than this many times as long.
const ENOUGH: f64 = 1.5;

/// Checks that as many operations were done as were asked for.
pub(crate) fn check_count(wanted: usize, done: usize) -> Result<()> {
    ensure!(wanted == done, "{wanted} operations were asked for, and {done} were done");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_cases_and_systems_are_unique() {
        let mut names: Vec<_> = cases()
            .flat_map(|case| case.systems.iter().map(|(system, _)| format!("{} {system}", case.name())))
            .collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn time_asks_for_multiples_of_the_step_and_hands_errors_on() -> Result<()> {
        let ctx = Context { system: "", params: &[], quick: true, window: Duration::from_millis(60) };
        let mut asked = Vec::new();
        let sample = ctx.time(7, |ops| {
            asked.push(ops);
            std::thread::sleep(Duration::from_micros(100) * ops as u32);
            Ok(())
        })?;
        assert!(asked.iter().all(|ops| ops % 7 == 0));
        assert_eq!(asked.last(), Some(&sample.ops));
        assert!(sample.values[0] >= 100_000.0, "an operation sleeps for 100 us, not {} ns", sample.values[0]);
        assert!(ctx.time(1, |_| check_count(2, 1)).is_err());
        Ok(())
    }
}
