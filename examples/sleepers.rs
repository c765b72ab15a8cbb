//! Sleepers with random deadlines: how late do they wake up, 20 of them, and 100,000?
//!
//! `cargo run --release --example sleepers`
#![deny(unsafe_code)]

#[path = "common/runtime.rs"]
mod runtime;

use std::time::{Duration, Instant};

use clap::Parser;
use twoply::{Backend, Failure, Runtime, Wait, time};

/// Measures how late sleepers wake up.
#[derive(Parser)]
struct Arguments {
    /// Which backends; all of them unless given.
    #[arg(long)]
    backend: Vec<Backend>,
    /// The most sleepers at a time. Native ones are threads: there are 200 of them at most.
    #[arg(long, default_value_t = 100_000)]
    most: usize,
    /// Deadlines lie within this many milliseconds.
    #[arg(long, default_value_t = 1_000)]
    span: u64,
}

/// Sleeps until a deadline, and returns how late it woke.
async fn sleeper(deadline: Instant) -> Duration {
    time::sleep_until(deadline).await;
    deadline.elapsed()
}

/// Has `count` sleepers sleep at the same time, and returns how late they were, in order.
fn lateness(runtime: &Runtime, count: usize, span: Duration) -> Result<Vec<Duration>, Failure> {
    // Starting them takes time, too: the first deadline is after that.
    let first = Instant::now() + Duration::from_micros(10) * count as u32;
    let deadlines = (0..count).map(|_| first + span.mul_f64(fastrand::f64()));
    let tasks: Vec<_> = deadlines.map(|deadline| runtime.spawn(sleeper(deadline))).collect();
    let mut late = tasks.into_iter().map(Wait::wait).collect::<Result<Vec<_>, _>>()?;
    late.sort_unstable();
    Ok(late)
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let backends = match arguments.backend.is_empty() {
        true => Backend::ALL.to_vec(),
        false => arguments.backend,
    };
    let span = Duration::from_millis(arguments.span);
    let workers = std::thread::available_parallelism()?.get();
    println!("{:8} {:>9} {:>12} {:>12} {:>12}", "late by", "sleepers", "median", "p99", "most");
    for backend in backends {
        let runtime = runtime::start(backend, workers)?;
        let most = match runtime.spawner().backend().mode() {
            twoply::contract::backend::Mode::Blocking => 200,
            twoply::contract::backend::Mode::Polling => arguments.most,
        };
        for count in [20, most.min(arguments.most)] {
            let late = lateness(&runtime, count, span)?;
            anyhow::ensure!(late.len() == count, "{} of {count} sleepers woke up", late.len());
            let [median, p99, last] = [count / 2, count * 99 / 100, count - 1].map(|at| late[at]);
            println!("{backend:8} {count:>9} {median:>12.1?} {p99:>12.1?} {last:>12.1?}");
        }
        runtime.shutdown(Duration::from_secs(5))?;
    }
    Ok(())
}
