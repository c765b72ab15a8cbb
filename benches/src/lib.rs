//! The comparative benches: one program that runs the same workloads on twoply and on its peers.
//!
//! ```text
//! cargo run --release -p twoply-bench -- [--quick] [--only PATTERN] [--systems PATTERN] [--runs N] [--minutes N]
//!     [--scaling | --no-scaling] [--json FILE] [--html FILE] [--markdown FILE] [--from FILE] [--list]
//! ```
//!
//! | file            | what it does                                                                       |
//! |-----------------|------------------------------------------------------------------------------------|
//! | `workload.rs`   | the table of cases, and what a workload's function is given                        |
//! | `workload/*.rs` | one file for each family of workloads: one function for each system                |
//! | `series.rs`     | workloads over a range of sizes, which become cases                                |
//! | `sample.rs`     | what one run gives back, latencies among it                                        |
//! | `runtimes.rs`   | our runtimes and the peers', built the same way for each workload                  |
//! | `ends.rs`       | the ends of the channels that are compared, by the same names for all               |
//! | `http.rs`, `http/*.rs` | the HTTP servers, the handler that they share, and the load generator       |
//! | `peers.rs`, `child.rs` | the peers in other languages (`benches/peers`), and the children that run them  |
//! | `harness.rs`, `harness/*.rs` | runs each (case, system) in a process of its own, by turns, within a time |
//! | `usage.rs`      | CPU time and memory of this process                                                |
//! | `machine.rs`    | what machine this is, and which versions are compared                              |
//! | `report.rs`, `report/*.rs` | medians, ties, ratios and losses; as a table, JSON, Markdown and a page |
//!
//! What the figures are not: a workload is one small thing done over and over, so a ratio says what that
//! thing costs and nothing about a program that does little of it. Nothing is pinned to a core, and the load
//! generator of the HTTP workload shares the machine with the server.

#![deny(unsafe_code)]

mod child;
mod ends;
mod harness;
mod http;
mod machine;
mod peers;
mod report;
mod runtimes;
mod sample;
mod series;
mod usage;
mod workload;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::harness::{Order, Plan, Wishes};
use crate::machine::About;
use crate::report::Report;

/// Compares twoply with its peers, workload by workload.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Short windows and few runs: under a minute in all, for a first look.
    #[arg(long)]
    quick: bool,
    /// Run only the cases whose name contains one of these parts (separated by commas).
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Run only the systems whose name contains one of these parts (separated by commas).
    #[arg(long, value_name = "PATTERN")]
    systems: Option<String>,
    /// How often each system runs a case, however long that takes. Without it, as often as the time allows,
    /// up to five times.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// The time for everything. Without it, nine and a half minutes, or with --quick less than one.
    #[arg(long, value_name = "N", value_parser = minutes)]
    minutes: Option<f64>,
    /// Run only the series of sizes. They belong to a full run, but not to a quick one.
    #[arg(long)]
    scaling: bool,
    /// Leave the series of sizes out.
    #[arg(long, conflicts_with = "scaling")]
    no_scaling: bool,
    /// Write one JSON object a line to this file: one for each figure of each system.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with charts to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the tables as Markdown to this file.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Run nothing, and report what an earlier run has written with --json.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "only", "systems", "runs", "minutes", "scaling"])]
    from: Option<PathBuf>,
    /// List the cases, their parameters and their systems, and run nothing.
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this program does when it has started itself.
#[derive(Subcommand)]
enum Role {
    /// One run of one case by one system. Prints its sample as one line of JSON.
    #[command(hide = true)]
    RunOne {
        #[arg(long)]
        case: String,
        #[arg(long)]
        system: String,
        #[arg(long)]
        quick: bool,
        #[arg(long)]
        window_ms: u64,
        #[arg(long)]
        patience_ms: u64,
    },
    /// An HTTP server that obeys its standard input.
    #[command(hide = true)]
    Serve {
        #[arg(long)]
        system: String,
        #[arg(long)]
        workers: usize,
    },
}

/// Runs the program: compares what its arguments name, or is one of its own children.
///
/// # Errors
/// What went wrong in the program as a whole; a run that failed is an exit code.
pub fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::RunOne { case, system, quick, window_ms, patience_ms }) => {
            let (window, patience) = (Duration::from_millis(window_ms), Duration::from_millis(patience_ms));
            harness::run_one(&Order { case, system, quick, window, patience })?;
        }
        Some(Role::Serve { system, workers }) => http::server::serve(&system, workers)?,
        None => return compare(&arguments),
    }
    Ok(ExitCode::SUCCESS)
}

/// Has a system run a case in this process, and returns the wall time of one operation: for harnesses that
/// repeat, compare and draw by themselves. The names are those of `--list`, such as `task-pingpong workers=1`
/// and `twoply-green`.
///
/// # Errors
/// When there is no such case or system, the case measures something else, and when the work was not done.
pub fn time(case: &str, system: &str, window: Duration) -> Result<Duration> {
    harness::time(case, system, window)
}

/// A number of minutes on the command line.
fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let sensible = minutes > 0.0 && minutes <= 24.0 * 60.0;
    if sensible { Ok(minutes) } else { Err("a time between nothing and a day, in minutes".to_owned()) }
}

/// Writes one form of a report to a file.
type Form = fn(&Report, &Path) -> Result<()>;

/// Fails early where a report of many minutes could not be written in the end. What is there is kept until
/// then.
fn check_writable(path: &Path) -> Result<()> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.with_context(|| format!("opening {}", path.display())).map(drop)
}

/// Runs what was asked for and reports. Answers failure when any run of ours or of a limit failed, after all
/// the others were reported: a peer that fails, as some do on a busy machine, is one line of the report.
fn compare(arguments: &Arguments) -> Result<ExitCode> {
    let plan = Plan::select(&Wishes {
        quick: arguments.quick,
        cases: !arguments.scaling,
        scaling: arguments.scaling || !(arguments.quick || arguments.no_scaling),
        runs: arguments.runs,
        minutes: arguments.minutes,
        only: arguments.only.clone(),
        systems: arguments.systems.clone(),
    });
    if arguments.list {
        plan.print();
        return Ok(ExitCode::SUCCESS);
    }
    let outputs = [&arguments.json, &arguments.html, &arguments.markdown].into_iter().flatten();
    for path in outputs {
        check_writable(path)?;
    }
    let report = match &arguments.from {
        Some(path) => Report::read(path)?,
        None => {
            let outcome = plan.run()?;
            Report::new(&outcome, About::here(&plan, &outcome))?
        }
    };
    report.print();
    let files: [(_, Form); 3] = [
        (&arguments.json, Report::write_json),
        (&arguments.html, Report::write_html),
        (&arguments.markdown, Report::write_markdown),
    ];
    for (path, write) in files {
        if let Some(path) = path {
            write(&report, path).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    let failures = report.print_failures();
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
