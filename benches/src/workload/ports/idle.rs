//! The memory of a connection whose lines arrive as messages, while none do: how much more is resident with
//! all of them than before the first.
//!
//! Each connection has brought one line, which has been counted. In the figure are what reads it, a port of
//! ours, a task of tokio's or a port of Erlang's, and what it takes to watch the descriptor; the kernel's own
//! memory is not.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::mpsc;

use anyhow::{Context as _, Result};
use twoply::{Wait as _, net, port};

use super::super::{Better, Case, Context, Measure, Sample};
use super::{Counted, Kind, connections, start_ports, tokio_serve};
use crate::child::{Child, Used};
use crate::peers::{self, Done};
use crate::runtimes;

pub(crate) const CASES: &[Case] = &[Case {
    workload: "memory-port",
    params: &[("connections", 5000), ("workers", 1)],
    measures: &[Measure { name: "", unit: "bytes/connection", better: Better::Lower }],
    quick: false,
    systems: &[
        ("tokio-current", tokio_idle),
        ("erl", erlang_idle),
        ("twoply-green", twoply_idle),
        ("twoply-native", twoply_idle),
    ],
}];

/// What a run that went from `before` to `after` has measured.
fn sample(ctx: &Context, before: &Used, after: &Used) -> Sample {
    let connections = ctx.param("connections");
    Sample {
        values: vec![after.rss_kib.saturating_sub(before.rss_kib) as f64 * 1024.0 / connections as f64],
        ops: connections,
        cpu_s: after.cpu_since(before).as_secs_f64(),
        peak_rss_kib: after.peak_rss_kib,
        latency: None,
    }
}

/// Has each of `senders` send one line.
fn send_one(senders: &[TcpStream]) -> Result<()> {
    Ok(senders.iter().try_for_each(|mut sender| sender.write_all(b"a line\n"))?)
}

/// Has each connection bring one line, of which `goal` tells the counter, and waits until all are counted.
fn bring_one(senders: &[TcpStream], goal: impl FnOnce(usize, mpsc::Sender<()>) -> Result<()>) -> Result<()> {
    let (done, all_done) = mpsc::channel();
    goal(senders.len(), done)?;
    send_one(senders)?;
    all_done.recv().context("the counter has ended")
}

fn twoply_idle(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let (senders, receivers) = connections(ctx)?;
    let before = Used::here()?;
    let streams = receivers.into_iter().map(net::TcpStream::from);
    let counter = start_ports(runtime.spawner().backend(), streams.map(port::lines))?;
    bring_one(&senders, |goal, done| Ok(counter.send(Counted::Goal(goal, done)).wait()?))?;
    Ok(sample(ctx, &before, &Used::here()?))
}

fn tokio_idle(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let (senders, receivers) = connections(ctx)?;
    let before = Used::here()?;
    let (goals, new_goals) = tokio::sync::mpsc::unbounded_channel();
    let serve = tokio_serve(receivers, Kind::Lines, new_goals);
    let served = std::thread::spawn(move || runtime.block_on(serve));
    bring_one(&senders, |goal, done| goals.send((goal, done)).context("the counter has ended"))?;
    let after = Used::here()?;
    drop((goals, senders));
    served.join().ok().context("the runtime panicked")??;
    Ok(sample(ctx, &before, &after))
}

fn erlang_idle(ctx: &Context) -> Result<Sample> {
    let lines = usize::from(false);
    let (mut child, greeting) =
        Child::start(&mut peers::command(ctx.system, "ports", ctx.workers(), &[lines])?)?;
    let before: Done = child.ask("0")?;
    let count = ctx.param("connections");
    let connect = |_| TcpStream::connect((Ipv4Addr::LOCALHOST, greeting.port));
    let senders = (0..count).map(connect).collect::<Result<Vec<_>, _>>()?;
    send_one(&senders)?;
    let after: Done = child.ask(&count.to_string())?;
    Ok(sample(ctx, &before.used, &after.used))
}
