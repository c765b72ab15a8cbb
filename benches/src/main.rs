//! The comparative benches: one program that runs the same workloads on twoply and on its peers.
//!
//! ```text
//! cargo run --release -p twoply-bench -- \
//!     [--quick] [--only PATTERN] [--systems PATTERN] [--runs N] [--json FILE] [--list]
//! ```
//!
//! | file            | what it does                                                                       |
//! |-----------------|------------------------------------------------------------------------------------|
//! | `workload.rs`   | the table of cases, and what a workload's function is given and gives back         |
//! | `workload/*.rs` | one file for each family of workloads: one function for each system                |
//! | `runtimes.rs`   | our runtimes and the peers', built the same way for each workload                  |
//! | `http.rs`, `http/*.rs` | the HTTP servers, the handler that they share, and the load generator       |
//! | `peers.rs`, `child.rs` | the peers in other languages (`benches/peers`), and the children that run them  |
//! | `harness.rs`    | runs each (case, system) in a process of its own, by turns                         |
//! | `usage.rs`      | CPU time and memory of this process, and what machine this is                      |
//! | `report.rs`     | medians, ties and ratios, as a table and as JSON                                   |
//!
//! What the figures are not: a workload is one small thing done over and over, so a ratio says what that
//! thing costs and nothing about a program that does little of it. Nothing is pinned to a core, and the load
//! generator of the HTTP workload shares the machine with the server.

#![deny(unsafe_code)]

mod child;
mod harness;
mod http;
mod peers;
mod report;
mod runtimes;
mod usage;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::harness::Plan;

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
    /// How often each system runs a case. Without it, each case has its own number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// Write one JSON object a line to this file: one for each figure of each system.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// List the cases and their systems, and run nothing.
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

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::RunOne { case, system, quick }) => harness::run_one(&case, &system, quick)?,
        Some(Role::Serve { system, workers }) => http::server::serve(&system, workers)?,
        None => {
            let plan = Plan::select(
                arguments.quick,
                arguments.runs,
                arguments.only.as_deref(),
                arguments.systems.as_deref(),
            );
            if arguments.list {
                plan.print();
                return Ok(ExitCode::SUCCESS);
            }
            return compare(&plan, arguments.json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the plan and reports. Answers failure when any run failed, after all the others were reported.
fn compare(plan: &Plan, json: Option<PathBuf>) -> Result<ExitCode> {
    usage::print_machine();
    let results = plan.run()?;
    report::print_table(&results);
    if let Some(path) = json {
        report::write_json(&results, &path).with_context(|| format!("writing {}", path.display()))?;
    }
    let failures = report::print_failures(&results);
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
