//! Runs each (case, system) in a process of its own, by turns, and within a time that the user was told.
//!
//! A process of its own, because allocators, thread caches and lazily built runtimes carry over from one
//! workload to the next. By turns (A B C, and in the next pass A B C again), so that a machine that slows
//! down for a while slows all systems down. One pass goes over all cases, so the runs of one case lie minutes
//! apart and their spread shows what the machine does to the figures; and no case has a further run before
//! all have had as many.
//!
//! The time is kept from both ends: `harness/budget.rs` chooses the length of the windows so that each system
//! has enough runs, and a turn that would not fit into what is left is not begun. What is left after that
//! goes into further passes. So every case loses runs before any case is left out, and the report names what
//! was.
//!
//! The child is this same program; it prints one line of JSON on its standard output and ends. Whatever it
//! says on its standard error belongs to the user.

mod budget;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

pub(crate) use self::budget::Budget;
use crate::peers;
use crate::sample::Sample;
use crate::series::{self, Entry};
use crate::workload::{Case, Context, Measure, Run};

/// What the command line asks for.
#[derive(Default)]
pub(crate) struct Wishes {
    /// Short windows and few runs.
    pub(crate) quick: bool,
    /// Whether to run the cases that stand for themselves.
    pub(crate) cases: bool,
    /// Whether to run the points of the series.
    pub(crate) scaling: bool,
    /// The runs of each system. The user who names a number gets it, however long that takes.
    pub(crate) runs: Option<u32>,
    /// The time for everything, instead of the usual one.
    pub(crate) minutes: Option<f64>,
    /// Parts of the names of the cases to run, separated by commas.
    pub(crate) only: Option<String>,
    /// Parts of the names of the systems to run, separated by commas.
    pub(crate) systems: Option<String>,
}

/// The runs to do.
pub(crate) struct Plan {
    /// Whether this is a first look.
    pub(crate) quick: bool,
    /// How long windows are and when to stop.
    pub(crate) budget: Budget,
    /// How often each system runs each case, if the time allows.
    passes: u32,
    /// The cases, each with those of its systems that were asked for.
    cases: Vec<Planned>,
}

/// A case that will run.
struct Planned {
    /// The case, and whether it is a point of a series.
    entry: &'static Entry,
    /// The names of its systems.
    systems: Vec<&'static str>,
}

/// How often a system runs a case if the time allows: after this, the next run hardly changes what the report
/// says.
const MOST_RUNS: u32 = 5;

/// What all the runs have given.
pub(crate) struct Outcome {
    /// In the order of the table.
    pub(crate) results: Vec<CaseResult>,
    /// The names of the cases that no time was left for, at least not for each system.
    pub(crate) left_out: Vec<String>,
    /// How long it all took.
    pub(crate) took: Duration,
}

/// All the runs of one case.
pub(crate) struct CaseResult {
    /// The case.
    pub(crate) case: &'static Case,
    /// Whether it is a point of a series only.
    pub(crate) scaling: bool,
    /// Its systems in the order of the table.
    pub(crate) systems: Vec<SystemResult>,
}

/// The runs of one system in one case.
pub(crate) struct SystemResult {
    /// The name of the system.
    pub(crate) system: &'static str,
    /// One sample a run. Empty if the first run failed, or if there was no time for it.
    pub(crate) samples: Vec<Sample>,
    /// Why a run failed. There are no further runs after it.
    pub(crate) failure: Option<String>,
}

impl Plan {
    /// Picks the cases and systems whose names contain one of the parts of their pattern, of those that can
    /// run here.
    pub(crate) fn select(wishes: &Wishes) -> Self {
        let matches = |pattern: &Option<String>, name: &str| {
            pattern.as_ref().is_none_or(|pattern| pattern.split(',').any(|part| name.contains(part.trim())))
        };
        let mut missing = BTreeSet::new();
        let cases: Vec<_> = series::table()
            .iter()
            .filter(|entry| if entry.scaling { wishes.scaling } else { wishes.cases })
            .filter(|entry| !entry.on_request || wishes.only.is_some())
            .filter(|entry| matches(&wishes.only, &entry.case.name()) && (entry.case.quick || !wishes.quick))
            .map(|entry| {
                let names = entry.case.systems.iter().map(|(name, _)| *name);
                let (able, not): (_, Vec<_>) = names
                    .filter(|name| matches(&wishes.systems, name))
                    .partition(|name| peers::installed(name));
                missing.extend(not);
                Planned { entry, systems: able }
            })
            .filter(|planned| !planned.systems.is_empty())
            .collect();
        if !missing.is_empty() {
            eprintln!("LEFT OUT, since what they need is not installed: {missing:?}");
        }
        let systems = cases.iter().map(|planned| planned.systems.len()).sum();
        let budget = Budget::new(wishes.quick, wishes.minutes, wishes.runs.is_some(), systems);
        Self { quick: wishes.quick, budget, passes: wishes.runs.unwrap_or(MOST_RUNS), cases }
    }

    /// Prints the cases with their parameters and their systems.
    pub(crate) fn print(&self) {
        println!("{:<22} {:<32} systems", "workload", "parameters");
        for planned in &self.cases {
            let case = planned.entry.case;
            let mark = if planned.entry.scaling { " (scaling)" } else { "" };
            println!("{:<22} {:<32} {}{mark}", case.workload, case.params(), planned.systems.join(" "));
        }
        println!("\n{}", self.budget);
    }

    /// Does the runs that time allows. A failed run is part of the outcome, not an error of this function.
    pub(crate) fn run(&self) -> Result<Outcome> {
        let mut progress = Progress::new(self)?;
        let mut results: Vec<_> = self.cases.iter().map(Planned::no_runs).collect();
        for _ in 0..self.passes {
            for (index, result) in results.iter_mut().enumerate() {
                let last = progress.turns[index].unwrap_or_default();
                let begun = Instant::now();
                if self.budget.allows(progress.start.elapsed(), last) {
                    self.turn(result, &progress);
                    progress.turns[index] = Some(begun.elapsed());
                }
                progress.left[index] -= 1;
            }
        }
        progress.bar.finish_and_clear();
        let left_out = results.iter().filter(|result| !result.is_complete()).map(|result| result.case.name());
        let left_out = left_out.collect();
        Ok(Outcome { results, left_out, took: progress.start.elapsed() })
    }

    /// One run by each system of a case, but for those that have failed. It breaks off when the time is up,
    /// which it may be if this is the first turn of the case, or slower than the last one.
    fn turn(&self, result: &mut CaseResult, progress: &Progress<'_>) {
        let case = result.case;
        for result in result.systems.iter_mut().filter(|result| result.failure.is_none()) {
            if !self.budget.allows(progress.start.elapsed(), Duration::ZERO) {
                return;
            }
            progress.show(case, result.system);
            match start_one(case, result.system, self) {
                Ok(sample) => result.samples.push(sample),
                Err(error) => result.failure = Some(format!("{error:#}")),
            }
        }
    }
}

impl Planned {
    fn no_runs(&self) -> CaseResult {
        let result = |system: &&'static str| SystemResult { system, samples: Vec::new(), failure: None };
        let systems = self.systems.iter().map(result).collect();
        CaseResult { case: self.entry.case, scaling: self.entry.scaling, systems }
    }
}

impl CaseResult {
    /// Whether each system has tried.
    fn is_complete(&self) -> bool {
        self.systems.iter().all(|system| !system.samples.is_empty() || system.failure.is_some())
    }
}

/// The progress bar, and how long turns take, from which it tells the time that is left.
struct Progress<'a> {
    /// The runs that it is about.
    plan: &'a Plan,
    /// On standard error, and only if that is a terminal.
    bar: ProgressBar,
    /// When it all began.
    start: Instant,
    /// How long the last turn of each case took, if it had one.
    turns: Vec<Option<Duration>>,
    /// How many turns of each case are still to come.
    left: Vec<u32>,
}

impl<'a> Progress<'a> {
    fn new(plan: &'a Plan) -> Result<Self> {
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} % {elapsed_precise} {wide_msg}")
            .context("the template of the progress bar")?;
        let bar = ProgressBar::new(1).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(200));
        let (turns, left) = (vec![None; plan.cases.len()], vec![plan.passes; plan.cases.len()]);
        Ok(Self { plan, bar, start: Instant::now(), turns, left })
    }

    /// Says what runs now and how long everything that follows will take.
    fn show(&self, case: &Case, system: &str) {
        let left = self.time_left();
        let spent = self.start.elapsed();
        self.bar.set_length((spent + left).as_millis() as u64);
        self.bar.set_position(spent.as_millis() as u64);
        self.bar.set_message(format!("{} left: {} {system}", HumanDuration(left), case.name()));
    }

    /// What the turns to come will take, as far as is known, but no more than the budget still has.
    fn time_left(&self) -> Duration {
        let cases = self.plan.cases.iter().zip(&self.left).zip(&self.turns);
        let expected = cases.map(|((planned, left), took)| {
            let guess = || self.plan.budget.guess_of_a_run() * planned.systems.len() as u32;
            took.unwrap_or_else(guess) * *left
        });
        expected.sum::<Duration>().min(self.plan.budget.left(self.start.elapsed()))
    }
}

/// One run in a child process.
fn start_one(case: &Case, system: &str, plan: &Plan) -> Result<Sample> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut command = Command::new(program);
    command.args(["run-one", "--case", &case.name(), "--system", system]).stdin(Stdio::null());
    command.args(["--window-ms", &plan.budget.window().as_millis().to_string()]);
    command.args(["--patience-ms", &plan.budget.patience().as_millis().to_string()]);
    if plan.quick {
        command.arg("--quick");
    }
    // An error's message says what went wrong; a backtrace through this harness would only hide it.
    command.env("RUST_BACKTRACE", "0");
    let output = command.stderr(Stdio::piped()).output().context("starting a child process")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{}: {}", output.status, complaint.trim());
    }
    eprint!("{complaint}");
    let sample: Sample =
        serde_json::from_slice(&output.stdout).context("reading the sample of a child process")?;
    ensure!(sample.values.len() == case.measures.len(), "a sample with {} values", sample.values.len());
    Ok(sample)
}

/// What a child is told on its command line.
pub(crate) struct Order {
    /// The name of the case.
    pub(crate) case: String,
    /// The name of the system.
    pub(crate) system: String,
    /// As in [`Context`].
    pub(crate) quick: bool,
    /// As in [`Context`].
    pub(crate) window: Duration,
    /// A child that is still there after this is stuck, and its figure is lost anyhow.
    pub(crate) patience: Duration,
}

/// Finds a case, and a system that runs it, by their names.
fn find(case: &str, system: &str) -> Result<(&'static Case, &'static str, Run)> {
    let entry = series::table().iter().find(|entry| entry.case.name() == case);
    let case = entry.context("no such case")?.case;
    let (system, run) = case.systems.iter().find(|(name, _)| *name == system).context("no such system")?;
    Ok((case, system, *run))
}

/// Runs the case in this process, and returns the wall time of one operation.
pub(crate) fn time(case: &str, system: &str, window: Duration) -> Result<Duration> {
    let (case, system, run) = find(case, system)?;
    let is_one_time = matches!(case.measures, [Measure { name: "", unit: "ns", .. }]);
    ensure!(is_one_time, "{} measures something else than one time", case.name());
    let sample = run(&Context { system, params: case.params, quick: true, window })?;
    let nanos = sample.values.first().context("a sample has a value")?;
    Ok(Duration::from_secs_f64(nanos / 1e9))
}

/// The child's side: runs the case and prints its sample.
pub(crate) fn run_one(order: &Order) -> Result<()> {
    let (case, system, run) = find(&order.case, &order.system)?;
    let patience = order.patience;
    std::thread::spawn(move || {
        std::thread::sleep(patience);
        eprintln!("stuck: not done after {patience:?}");
        std::process::exit(1);
    });
    let sample = run(&Context { system, params: case.params, quick: order.quick, window: order.window })?;
    println!("{}", serde_json::to_string(&sample)?);
    Ok(())
}
