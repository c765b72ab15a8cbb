//! The memory of a connection whose lines arrive as messages, while none do: how much more is resident with
//! all of them than before the first.
//!
//! Each connection has brought one line, which has been counted. In the figure are what reads it, a port of
//! ours, a task of tokio's or a port of Erlang's, and what it takes to watch the descriptor; the kernel's own
//! memory is not. Some hundreds of connections have brought theirs before the first look at the memory: else
//! the pages of this program that they are the first to touch, megabytes of them, would be in it.

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

/// The number of connections that come before those that are measured.
const FIRST: usize = 500;

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
fn bring_one(senders: &[TcpStream], goal: &Goal) -> Result<()> {
    let (done, all_done) = mpsc::channel();
    goal(senders.len(), done)?;
    send_one(senders)?;
    all_done.recv().context("the counter has ended")
}

/// Tells a counter how many lines are to come, and who asks. The connections are read while it is there.
type Goal = Box<dyn Fn(usize, mpsc::Sender<()>) -> Result<()>>;

/// Measures the connections of the case, which `serve` reads, after those that come first.
fn idle(ctx: &Context, serve: impl Fn(Vec<TcpStream>) -> Result<Goal>) -> Result<Sample> {
    let (first_senders, receivers) = connections(FIRST)?;
    let first_goal = serve(receivers)?;
    bring_one(&first_senders, &first_goal)?;
    let (senders, receivers) = connections(ctx.param("connections"))?;
    let before = Used::here()?;
    let goal = serve(receivers)?;
    bring_one(&senders, &goal)?;
    Ok(sample(ctx, &before, &Used::here()?))
}

fn twoply_idle(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    idle(ctx, |receivers| {
        let streams = receivers.into_iter().map(net::TcpStream::from);
        let counter = start_ports(runtime.spawner().backend(), streams.map(port::lines))?;
        Ok(Box::new(move |goal, done| Ok(counter.send(Counted::Goal(goal, done)).wait()?)))
    })
}

fn tokio_idle(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let tasks = runtime.handle().clone();
    // The current-thread runtime runs where it is waited for.
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let served = std::thread::spawn(move || runtime.block_on(ended));
    let sample = idle(ctx, |receivers| {
        let (goals, new_goals) = tokio::sync::mpsc::unbounded_channel();
        tasks.spawn(tokio_serve(receivers, Kind::Lines, new_goals));
        Ok(Box::new(move |goal, done| goals.send((goal, done)).context("the counter has ended")))
    });
    drop(end);
    served.join().ok().context("the runtime panicked")?.ok();
    sample
}

fn erlang_idle(ctx: &Context) -> Result<Sample> {
    let lines = usize::from(false);
    let (mut child, greeting) =
        Child::start(&mut peers::command(ctx.system, "ports", ctx.workers(), &[lines])?)?;
    let mut serve = |count: usize| {
        let connect = |_| TcpStream::connect((Ipv4Addr::LOCALHOST, greeting.port));
        let senders = (0..count).map(connect).collect::<Result<Vec<_>, _>>()?;
        send_one(&senders)?;
        let done: Done = child.ask(&count.to_string())?;
        anyhow::Ok((senders, done))
    };
    let (_first_senders, before) = serve(FIRST)?;
    let (_senders, after) = serve(ctx.param("connections"))?;
    Ok(sample(ctx, &before.used, &after.used))
}
