//! Runs each (case, system) in a process of its own, by turns.
//!
//! A process of its own, because allocators, thread caches and lazily built runtimes carry over from one
//! workload to the next. By turns (A B C A B C), so that a machine that slows down for a while slows all
//! systems down.
//!
//! The child is this same program; it prints one line of JSON on its standard output and ends. Whatever it
//! says on its standard error belongs to the user.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::peers;
use crate::workload::{self, Case, Context, Sample};

/// No run takes a tenth of this: a child that is still there is stuck, and its figure is lost anyhow.
const STUCK: Duration = Duration::from_secs(120);

/// The runs to do.
pub(crate) struct Plan {
    /// Whether windows are short and runs few.
    quick: bool,
    /// The runs of each system, instead of the case's own number.
    runs: Option<u32>,
    /// The cases, each with those of its systems that were asked for.
    cases: Vec<(&'static Case, Vec<&'static str>)>,
}

/// All the runs of one case.
pub(crate) struct CaseResult {
    /// The case.
    pub(crate) case: &'static Case,
    /// Its systems in the order of the table.
    pub(crate) systems: Vec<SystemResult>,
}

/// The runs of one system in one case.
pub(crate) struct SystemResult {
    /// The name of the system.
    pub(crate) system: &'static str,
    /// One sample a run. Empty only if the first run failed.
    pub(crate) samples: Vec<Sample>,
    /// Why a run failed. There are no further runs after it.
    pub(crate) failure: Option<String>,
}

impl Plan {
    /// Picks the cases and systems whose names contain one of the parts of their pattern, of those that can run here.
    pub(crate) fn select(quick: bool, runs: Option<u32>, only: Option<&str>, systems: Option<&str>) -> Self {
        let matches = |pattern: Option<&str>, name: &str| {
            pattern.is_none_or(|pattern| pattern.split(',').any(|part| name.contains(part.trim())))
        };
        let cases = workload::all()
            .filter(|case| matches(only, &case.name()) && (case.quick || !quick))
            .map(|case| {
                let names = case.systems.iter().map(|(name, _)| *name);
                (
                    case,
                    names.filter(|name| matches(systems, name) && peers::installed(name)).collect::<Vec<_>>(),
                )
            })
            .filter(|(_, systems)| !systems.is_empty())
            .collect();
        Self { quick, runs, cases }
    }

    /// Prints the cases and their systems.
    pub(crate) fn print(&self) {
        for (case, systems) in &self.cases {
            println!("{:<44} {}", case.name(), systems.join(" "));
        }
    }

    /// Does all the runs. A failed run is part of the result, not an error of this function.
    pub(crate) fn run(&self) -> Result<Vec<CaseResult>> {
        let total = self
            .cases
            .iter()
            .map(|(case, systems)| u64::from(self.runs_of(case)) * systems.len() as u64)
            .sum();
        let style =
            ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed_precise} (left {eta}) {wide_msg}")
                .context("the template of the progress bar")?;
        let bar = ProgressBar::new(total).with_style(style);
        let results = self.cases.iter().map(|(case, systems)| self.run_case(case, systems, &bar)).collect();
        bar.finish_and_clear();
        results
    }

    /// All the runs of one case, by turns.
    fn run_case(
        &self,
        case: &'static Case,
        systems: &[&'static str],
        bar: &ProgressBar,
    ) -> Result<CaseResult> {
        let result = |system: &&'static str| SystemResult { system, samples: Vec::new(), failure: None };
        let mut systems: Vec<_> = systems.iter().map(result).collect();
        for _ in 0..self.runs_of(case) {
            for result in systems.iter_mut().filter(|result| result.failure.is_none()) {
                bar.set_message(format!("{} {}", case.name(), result.system));
                match start_one(case, result.system, self.quick) {
                    Ok(sample) => result.samples.push(sample),
                    Err(error) => result.failure = Some(format!("{error:#}")),
                }
                bar.inc(1);
            }
        }
        Ok(CaseResult { case, systems })
    }

    /// How often each system runs this case. In a quick look, one run of a long window says as much as three
    /// of a short one.
    fn runs_of(&self, case: &Case) -> u32 {
        self.runs.unwrap_or(match (self.quick, case.runs) {
            (false, runs) => runs,
            (true, runs) if runs >= 5 => 3,
            (true, _) => 1,
        })
    }
}

/// One run in a child process.
fn start_one(case: &Case, system: &str, quick: bool) -> Result<Sample> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut command = Command::new(program);
    command.args(["run-one", "--case", &case.name(), "--system", system]).stdin(Stdio::null());
    if quick {
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

/// The child's side: runs the case and prints its sample.
pub(crate) fn run_one(case_name: &str, system: &str, quick: bool) -> Result<()> {
    let case = workload::all().find(|case| case.name() == case_name).context("no such case")?;
    let (system, run) = case.systems.iter().find(|(name, _)| *name == system).context("no such system")?;
    std::thread::spawn(|| {
        std::thread::sleep(STUCK);
        eprintln!("stuck: not done after {STUCK:?}");
        std::process::exit(1);
    });
    let sample = run(&Context { system, params: case.params, quick })?;
    println!("{}", serde_json::to_string(&sample)?);
    Ok(())
}
