//! A node and another one, each in a process of its own, over the loopback interface: messages
//! `{Number, self()}` from one process to another (`node-receive`, `node-send`), calls of a gen_server with
//! one in flight (`node-answer`, `node-ask`), large binaries (`big`), and terms as bytes (`codec`).
//!
//! The other node is one of Erlang's; `erl` is two of them. The wall time is that of both, and the CPU time
//! that of the node which the case is named for: the one that receives, sends, answers or asks. In
//! `twoply-green-both` both nodes are ours and in this process, so its CPU time is that of both. `c-node` is
//! one in C, over Erlang's library `ei`, in a process of its own.

mod big;
mod codec;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use twoply::actor::{Builder, Event, Process, ProcessRef};
use twoply::node::Node;
use twoply::node::wire::{FromTerm, ToTerm};
use twoply::promise::Resolver;

use crate::child::{Child, Used};
use crate::peers::{self, Done};
use crate::runtimes::{self, Tasks as _, Twoply};
use crate::workload::{Better, Case, Context, Measure, Run, Sample, check_count, timed};

const SYSTEMS: [&[(&str, Run)]; 4] = [
    &[
        ("erl", erl_receives),
        ("c-node", c_receives),
        ("twoply-green", receive),
        ("twoply-native", receive),
        ("twoply-green-both", send_to_ours),
    ],
    &[("erl", erl_sends), ("c-node", c_sends), ("twoply-green", send), ("twoply-native", send)],
    &[("erl", erl_answers), ("c-node", c_answers), ("twoply-green", answer), ("twoply-native", answer)],
    &[
        ("erl", erl_asks),
        ("c-node", c_asks),
        ("twoply-green", ask),
        ("twoply-native", ask),
        ("twoply-green-both", ask_ours),
    ],
];

/// The cases. Those with nodes are left out where there is no Erlang, and `--quick` has no time for them.
pub(crate) fn cases() -> impl Iterator<Item = &'static Case> {
    NODES.iter().chain(big::CASES).filter(|_| peers::installed("erl")).chain(codec::CASES)
}

const NODES: &[Case] = &[
    case("node-receive", SYSTEMS[0]),
    case("node-send", SYSTEMS[1]),
    Case { measures: CALLS_MEASURED, ..case("node-answer", SYSTEMS[2]) },
    Case { measures: CALLS_MEASURED, ..case("node-ask", SYSTEMS[3]) },
];

const fn case(workload: &'static str, systems: &'static [(&'static str, Run)]) -> Case {
    Case { quick: false, ..timed(workload, &[("workers", 1)], systems) }
}

/// What is measured of calls: the mean, and how long single ones took.
const CALLS_MEASURED: &[Measure] = &[
    Measure { name: "", unit: "ns", better: Better::Lower },
    Measure { name: "p50", unit: "us", better: Better::Lower },
    Measure { name: "p99", unit: "us", better: Better::Lower },
];

/// The number of messages, and of calls, that a run does at least.
const MESSAGES: usize = 1_000;
const CALLS: usize = 100;

const COOKIE: &str = "bench";
const OURS: &str = "ours@localhost";
const THERE: &str = "there@localhost";

/// What an Erlang node does, as `bench_node.erl` knows it.
#[derive(Clone, Copy)]
enum Does {
    Nothing,
    Sends,
    Asks,
    /// Sends binaries of as many MiB, and asks meanwhile.
    SendsBig(usize),
}

/// Starts an Erlang node that is found at `port`, or that looks for others there.
fn erl(ctx: &Context, does: Does, port: u16, whom: &str) -> Result<Child> {
    let mut command = node("erl", ctx, does, port, whom)?;
    let (name, listens) = match does {
        Does::Nothing => (THERE, "true"),
        _ => ("caller@localhost", "false"),
    };
    let flags = format!(
        "-sname {name} -setcookie {COOKIE} -hidden -start_epmd false -erl_epmd_port {port} -dist_listen {listens} \
         -kernel inet_dist_use_interface {{127,0,0,1}}"
    );
    Ok(Child::start(command.env("ERL_AFLAGS", flags))?.0)
}

/// Returns the command of a node of another language.
fn node(system: &str, ctx: &Context, does: Does, port: u16, whom: &str) -> Result<Command> {
    let (does, size) = match does {
        Does::Nothing => (0, 0),
        Does::Sends => (1, 0),
        Does::Asks => (2, 0),
        Does::SendsBig(size) => (3, size),
    };
    peers::command(system, "node", ctx.workers(), &[does, usize::from(whom == THERE), port.into(), size])
}

/// Returns a port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Has an Erlang node do something as often as that.
fn have(child: &mut Child, ops: usize) -> Result<Done> {
    let done: Done = child.ask(&ops.to_string())?;
    check_count(ops, done.result as usize)?;
    Ok(done)
}

/// Measures what is done to another node, step by step. Where single calls are looked at, `run` returns how
/// long they took, and their p50 and p99 are values of the sample.
fn measured(
    ctx: &Context,
    step: usize,
    mut run: impl FnMut(usize) -> Result<Option<Histogram<u64>>>,
) -> Result<Sample> {
    let mut last = None;
    let mut sample = ctx.time(step, |ops| {
        last = run(ops)?;
        Ok(())
    })?;
    if let Some(took) = last.filter(|took| !took.is_empty()) {
        sample.values.extend([0.5, 0.99].map(|part| took.value_at_quantile(part) as f64 / 1e3));
        sample = sample.with_latency(&took);
    }
    Ok(sample)
}

/// Returns how long the operations of a child took, if it looks at each.
fn took(done: &Done) -> Result<Option<Histogram<u64>>> {
    let Some(latency) = &done.latency else { return Ok(None) };
    let mut all = Histogram::new(3)?;
    latency.add_to(&mut all)?;
    Ok(Some(all))
}

/// Measures what an Erlang node does to one of ours.
fn by_erl(ctx: &Context, caller: &mut Child, step: usize) -> Result<Sample> {
    measured(ctx, step, |ops| took(&have(caller, ops)?))
}

/// Returns what an Erlang node that only has processes has used.
fn used(child: &mut Child) -> Result<Used> {
    let done: Done = child.ask("0")?;
    Ok(done.used)
}

/// Measures two Erlang nodes: the CPU time is that of the one that `does` it, or of the other one.
fn erl_both(ctx: &Context, does: Does, step: usize, of_other: bool) -> Result<Sample> {
    let port = free_port()?;
    let there = erl(ctx, Does::Nothing, port, OURS)?;
    let caller = erl(ctx, does, port, THERE)?;
    children(ctx, there, caller, step, of_other)
}

/// Measures what a node in C does to one of Erlang's, or is done by one.
fn c_and_erl(ctx: &Context, does: Does, step: usize, of_other: bool) -> Result<Sample> {
    let (there, caller);
    if of_other {
        let (child, greeting) = Child::start(&mut node("c-node", ctx, Does::Nothing, 0, THERE)?)?;
        (there, caller) = (child, erl(ctx, does, greeting.port, OURS)?);
    } else {
        let port = free_port()?;
        there = erl(ctx, Does::Nothing, port, OURS)?;
        caller = Child::start(&mut node("c-node", ctx, does, port, THERE)?)?.0;
    }
    children(ctx, there, caller, step, of_other)
}

/// Measures what one child does to another; the CPU time is that of `there` or of `caller`.
fn children(
    ctx: &Context,
    mut there: Child,
    mut caller: Child,
    step: usize,
    of_other: bool,
) -> Result<Sample> {
    let mut cpu = Duration::ZERO;
    let mut last = used(&mut there)?;
    let mut peak = 0;
    let mut sample = measured(ctx, step, |ops| {
        let before = if of_other { used(&mut there)? } else { std::mem::take(&mut last) };
        let done = have(&mut caller, ops)?;
        let took = took(&done)?;
        let after = if of_other { used(&mut there)? } else { done.used };
        cpu = after.cpu_since(&before);
        peak = after.peak_rss_kib;
        last = after;
        Ok(took)
    })?;
    (sample.cpu_s, sample.peak_rss_kib) = (cpu.as_secs_f64(), peak);
    Ok(sample)
}

fn erl_receives(ctx: &Context) -> Result<Sample> {
    erl_both(ctx, Does::Sends, MESSAGES, true)
}

fn erl_sends(ctx: &Context) -> Result<Sample> {
    erl_both(ctx, Does::Sends, MESSAGES, false)
}

fn erl_answers(ctx: &Context) -> Result<Sample> {
    erl_both(ctx, Does::Asks, CALLS, true)
}

fn erl_asks(ctx: &Context) -> Result<Sample> {
    erl_both(ctx, Does::Asks, CALLS, false)
}

fn c_receives(ctx: &Context) -> Result<Sample> {
    c_and_erl(ctx, Does::Sends, MESSAGES, true)
}

fn c_sends(ctx: &Context) -> Result<Sample> {
    c_and_erl(ctx, Does::Sends, MESSAGES, false)
}

fn c_answers(ctx: &Context) -> Result<Sample> {
    c_and_erl(ctx, Does::Asks, CALLS, true)
}

fn c_asks(ctx: &Context) -> Result<Sample> {
    c_and_erl(ctx, Does::Asks, CALLS, false)
}

/// A message of a sender's: a number, 0 in the last one, and who is told how many there were.
type Numbered = (u64, ProcessRef<u64>);

/// A question of a gen_server's.
#[derive(ToTerm, FromTerm)]
enum Question {
    #[term(call)]
    Next(u64, Resolver<u64>),
}

/// Starts a node of ours with a process `sink` and one `server`.
fn ours(runtime: &Twoply, name: &str, there: Option<SocketAddr>) -> Result<Node> {
    let builder = Node::builder(name).cookie(COOKIE).without_epmd();
    let builder = there.into_iter().fold(builder, |builder, address| builder.peer(THERE, address));
    let node = runtime.run(builder.start())??;
    let sink = Builder::<Numbered>::new().on(runtime.spawner().backend()).spawn(
        async |mut me: Process<Numbered>| {
            let mut count = 0;
            while let Event::Message((number, from)) = me.receive().await {
                count += 1;
                if number == 0 {
                    // A sender that has ended wants no answer.
                    let _ = from.send(std::mem::take(&mut count)).await;
                }
            }
        },
    )?;
    node.register("sink", &sink)?;
    let server =
        Builder::new().on(runtime.spawner().backend()).spawn(async |mut me: Process<Question>| {
            while let Event::Message(Question::Next(number, answer)) = me.receive().await {
                // Whoever has given up wants no answer.
                let _ = answer.resolve(number + 1);
            }
        })?;
    node.register("server", &server)?;
    big::register(runtime, &node)?;
    Ok(node)
}

fn receive(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let node = ours(&runtime, OURS, None)?;
    let mut caller = erl(ctx, Does::Sends, node.local_addr().port(), OURS)?;
    by_erl(ctx, &mut caller, MESSAGES)
}

fn answer(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let node = ours(&runtime, OURS, None)?;
    let mut caller = erl(ctx, Does::Asks, node.local_addr().port(), OURS)?;
    by_erl(ctx, &mut caller, CALLS)
}

fn send(ctx: &Context) -> Result<Sample> {
    let (runtime, port) = (runtimes::twoply(ctx)?, free_port()?);
    let _there = erl(ctx, Does::Nothing, port, OURS)?;
    let node = ours(&runtime, OURS, Some((Ipv4Addr::LOCALHOST, port).into()))?;
    send_from(ctx, &runtime, &node)
}

fn send_to_ours(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let there = ours(&runtime, THERE, None)?;
    let node = ours(&runtime, OURS, Some(there.local_addr()))?;
    send_from(ctx, &runtime, &node)
}

fn send_from(ctx: &Context, runtime: &Twoply, node: &Node) -> Result<Sample> {
    let sink = node.remote(THERE).process::<Numbered>("sink");
    ctx.time(MESSAGES, |ops| {
        let (sink, (told, count)) = (sink.clone(), std::sync::mpsc::channel());
        Builder::<u64>::new().on(runtime.spawner().backend()).spawn(async move |mut me: Process<u64>| {
            let mine = me.me();
            for left in (0..ops as u64).rev() {
                if sink.send((left, mine.clone())).await.is_err() {
                    return;
                }
            }
            if let Event::Message(count) = me.receive().await {
                let _ = told.send(count);
            }
        })?;
        check_count(ops, count.recv().context("the sender has failed")? as usize)
    })
}

fn ask(ctx: &Context) -> Result<Sample> {
    let (runtime, port) = (runtimes::twoply(ctx)?, free_port()?);
    let _there = erl(ctx, Does::Nothing, port, OURS)?;
    let node = ours(&runtime, OURS, Some((Ipv4Addr::LOCALHOST, port).into()))?;
    ask_from(ctx, &runtime, &node)
}

fn ask_ours(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let there = ours(&runtime, THERE, None)?;
    let node = ours(&runtime, OURS, Some(there.local_addr()))?;
    ask_from(ctx, &runtime, &node)
}

fn ask_from(ctx: &Context, runtime: &Twoply, node: &Node) -> Result<Sample> {
    let server = node.remote(THERE).process::<Question>("server");
    measured(ctx, CALLS, |ops| {
        let server = server.clone();
        let (asked, took) = runtime.run(async move {
            let (mut number, mut took) = (0, Histogram::new(3)?);
            for _ in 0..ops {
                let start = Instant::now();
                number = server.ask(|answer| Question::Next(number, answer)).await?;
                took.record(start.elapsed().as_nanos() as u64)?;
            }
            anyhow::Ok((number, took))
        })??;
        ensure!(asked == ops as u64, "{ops} calls have counted to {asked}");
        Ok(Some(took))
    })
}
