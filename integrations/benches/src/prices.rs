//! What a context around tasks costs: spans of tracing, and a tokio runtime.

use std::future::poll_fn;
use std::hint::black_box;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Result, bail};
use twoply::actor::{self, Process};
use twoply::promise::Resolver;
use twoply::{Runtime, Wait};

use crate::measure::cpu_time;

/// What is done: polls, spawns, messages without an answer and with one.
const WHAT: [&str; 4] = ["yield", "spawn", "tell", "ask"];

/// What lies around it: nothing; spans and no subscriber; spans and one; tokio's context around threads; and
/// around each future.
const WITH: [&str; 5] = ["nothing", "spans", "subscriber", "tokio", "compat"];

/// Prints what each costs with each.
pub(crate) fn print(quick: bool) -> Result<()> {
    let times = if quick { 1_000 } else { 300_000 };
    println!("prices: ns of CPU time an operation, medians of 5, each with {}", WITH.join(", "));
    for what in WHAT {
        let mut all: Vec<Vec<Duration>> = vec![Vec::new(); WITH.len()];
        for _ in 0..5 {
            for (with, all) in WITH.iter().zip(&mut all) {
                all.push(in_child(what, with, times)?);
            }
        }
        let medians = all.iter_mut().map(|all| {
            all.sort_unstable();
            format!("{:>7}", all[all.len() / 2].as_nanos() / u128::from(times))
        });
        println!("  {what:5} {}", medians.collect::<String>());
    }
    Ok(())
}

/// Does it in a process of its own, where a subscriber may be set, and returns the CPU time.
fn in_child(what: &str, with: &str, times: u32) -> Result<Duration> {
    let mut child = std::process::Command::new(std::env::current_exe()?);
    let output = child.args(["--timed", "--count", what, with, &times.to_string()]).output()?;
    let text = String::from_utf8(output.stdout)?;
    match text.trim().parse() {
        Ok(nanos) if output.status.success() => Ok(Duration::from_nanos(nanos)),
        _ => bail!("{what} with {with}: {}: {text}", output.status),
    }
}

/// Does one kind of operation so many times. If `timed`, it prints the CPU time in nanoseconds; under
/// valgrind, the clock of that cannot be read.
pub(crate) fn count(what: &str, with: &str, times: u32, timed: bool) -> Result<()> {
    let builder = Runtime::builder().workers(1);
    let builder = match with {
        "nothing" | "compat" => builder,
        "spans" => builder.tracing(),
        "subscriber" => {
            tracing::subscriber::set_global_default(tracing_subscriber::registry())?;
            builder.tracing()
        }
        "tokio" => builder.tokio(),
        other => bail!("there is no context {other}"),
    };
    let runtime = builder.build()?;
    let what = what.to_owned();
    let work = async move {
        // Once before that, for what happens once only.
        work(&what, 10).await?;
        let before = timed.then(cpu_time);
        work(&what, times).await?;
        anyhow::Ok(before.map(|before| cpu_time() - before))
    };
    let spent = match with {
        "compat" => runtime.spawn(twoply::tokio::compat(work)).wait(),
        _ => runtime.spawn(work).wait(),
    };
    if let Some(spent) = spent?? {
        println!("{}", spent.as_nanos());
    }
    Ok(())
}

async fn work(what: &str, times: u32) -> Result<()> {
    match what {
        "yield" => {
            let mut left = times;
            poll_fn(|cx| match left.checked_sub(1) {
                Some(rest) => {
                    left = rest;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                None => Poll::Ready(()),
            })
            .await;
        }
        "spawn" => {
            for number in 0..times {
                black_box(twoply::spawn(async move { black_box(number) }).await?);
            }
        }
        "tell" => {
            let counter = actor::Builder::new().unbounded().spawn(async move |mut me: Process<u32>| {
                for _ in 0..times {
                    black_box(me.receive().await);
                }
            })?;
            for number in 0..times {
                counter.send(number).await?;
            }
            counter.ended().await;
        }
        "ask" => {
            let double = actor::spawn(async |mut me: Process<(u32, Resolver<u32>)>| {
                while let Some((number, answer)) = me.receive().await.message() {
                    let _ = answer.resolve(number * 2);
                }
            })?;
            for number in 0..times {
                black_box(double.ask(|answer| (number, answer)).await?);
            }
        }
        other => bail!("there is no operation {other}"),
    }
    Ok(())
}
