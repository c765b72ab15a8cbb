//! Children, one after the other: start `/bin/echo`, read what it writes to the end, and take its status.
//!
//! An operation is a child, so the figure is nearly all the system's: a copy of the tables of this process, a
//! start of a program, and its end. `std-thread` blocks in std's `output`. The others wait for the pipe and
//! for the end: tokio and ours through a descriptor of the process, on systems that have it.
//!
//! What differs: std reads both outputs with `poll`, and so makes no descriptor for the process.

use anyhow::{Result, ensure};

use super::{Case, Context, Sample, check_count, timed};
use crate::runtimes::{self, Tasks as _};

pub(crate) const CASES: &[Case] = &[timed(
    "child",
    &[("workers", 1)],
    &[
        ("std-thread", std_thread),
        ("tokio-current", tokio),
        ("tokio-multi", tokio),
        ("twoply-native", twoply),
        ("twoply-green", twoply),
        ("twoply-fibers", twoply),
    ],
)];

/// The program, with its path, so that nobody looks for it.
const PROGRAM: &str = "/bin/echo";

/// Checks what a child has written.
fn check(output: std::process::Output) -> Result<usize> {
    ensure!(output.status.success() && output.stdout == b"hello\n", "a child has done something else");
    Ok(1)
}

fn std_thread(ctx: &Context) -> Result<Sample> {
    ctx.time(1, |ops| {
        let mut done = 0;
        for _ in 0..ops {
            done += check(std::process::Command::new(PROGRAM).arg("hello").output()?)?;
        }
        check_count(ops, done)
    })
}

/// A task that starts `$ops` children with `$command` and waits for each.
macro_rules! children {
    ($ops:expr, $command:path) => {
        async move {
            let mut done = 0;
            for _ in 0..$ops {
                done += check(<$command>::new(PROGRAM).arg("hello").output().await?)?;
            }
            anyhow::Ok(done)
        }
    };
}

fn tokio(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    ctx.time(1, |ops| check_count(ops, runtime.run(children!(ops, tokio::process::Command))??))
}

fn twoply(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    ctx.time(1, |ops| check_count(ops, runtime.run(children!(ops, twoply::process::Command))??))
}
