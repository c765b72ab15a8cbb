//! A node and another one, each in a process of its own, over the loopback interface: messages
//! `{Number, self()}` from one process to another (`node-receive`, `node-send`), calls of a gen_server with
//! one in flight (`node-answer`, `node-ask`), and terms as bytes (`codec`).
//!
//! The other node is one of Erlang's; `erl` is two of them. The wall time is that of both, and the CPU time
//! that of the node which the case is named for: the one that receives, sends, answers or asks. In
//! `twoply-green-both` both nodes are ours and in this process, so its CPU time is that of both.

mod codec;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use twoply::actor::{Builder, Event, Process, ProcessRef};
use twoply::node::Node;
use twoply::node::wire::{FromTerm, ToTerm};
use twoply::promise::Resolver;

use crate::child::{Child, Used};
use crate::peers::{self, Done};
use crate::runtimes::{self, Tasks as _, Twoply};
use crate::workload::{Case, Context, Run, Sample, check_count, timed};

const SYSTEMS: [&[(&str, Run)]; 4] = [
    &[
        ("erl", erl_receives),
        ("twoply-green", receive),
        ("twoply-native", receive),
        ("twoply-green-both", send_to_ours),
    ],
    &[("erl", erl_sends), ("twoply-green", send), ("twoply-native", send)],
    &[("erl", erl_answers), ("twoply-green", answer), ("twoply-native", answer)],
    &[("erl", erl_asks), ("twoply-green", ask), ("twoply-native", ask), ("twoply-green-both", ask_ours)],
];

/// The cases. Those with nodes are left out where there is no Erlang, and `--quick` has no time for them.
pub(crate) fn cases() -> impl Iterator<Item = &'static Case> {
    NODES.iter().filter(|_| peers::installed("erl")).chain(codec::CASES)
}

const NODES: &[Case] = &[
    case("node-receive", SYSTEMS[0]),
    case("node-send", SYSTEMS[1]),
    case("node-answer", SYSTEMS[2]),
    case("node-ask", SYSTEMS[3]),
];

const fn case(workload: &'static str, systems: &'static [(&'static str, Run)]) -> Case {
    Case { quick: false, ..timed(workload, &[("workers", 1)], systems) }
}

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
}

/// Starts an Erlang node that is found at `port`, or that looks for others there.
fn erl(ctx: &Context, does: Does, port: u16, whom: &str) -> Result<Child> {
    let mut command =
        peers::command("erl", "node", ctx.workers(), &[does as usize, usize::from(whom == THERE)])?;
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

/// Returns a port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Has an Erlang node do something as often as that.
fn have(child: &mut Child, ops: usize) -> Result<Used> {
    let done: Done = child.ask(&ops.to_string())?;
    check_count(ops, done.result as usize)?;
    Ok(done.used)
}

/// Returns what an Erlang node that only has processes has used.
fn used(child: &mut Child) -> Result<Used> {
    let done: Done = child.ask("0")?;
    Ok(done.used)
}

/// Measures two Erlang nodes: the CPU time is that of the one that `does` it, or of the other one.
fn erl_both(ctx: &Context, does: Does, step: usize, of_other: bool) -> Result<Sample> {
    let port = free_port()?;
    let mut there = erl(ctx, Does::Nothing, port, OURS)?;
    let mut caller = erl(ctx, does, port, THERE)?;
    let mut cpu = Duration::ZERO;
    let mut last = used(&mut there)?;
    let mut peak = 0;
    let mut sample = ctx.time(step, |ops| {
        let before = if of_other { used(&mut there)? } else { std::mem::take(&mut last) };
        let of_caller = have(&mut caller, ops)?;
        let after = if of_other { used(&mut there)? } else { of_caller };
        cpu = after.cpu_since(&before);
        peak = after.peak_rss_kib;
        last = after;
        Ok(())
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
    Ok(node)
}

fn receive(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let node = ours(&runtime, OURS, None)?;
    let mut caller = erl(ctx, Does::Sends, node.local_addr().port(), OURS)?;
    ctx.time(MESSAGES, |ops| have(&mut caller, ops).map(drop))
}

fn answer(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let node = ours(&runtime, OURS, None)?;
    let mut caller = erl(ctx, Does::Asks, node.local_addr().port(), OURS)?;
    ctx.time(CALLS, |ops| have(&mut caller, ops).map(drop))
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
    ctx.time(CALLS, |ops| {
        let server = server.clone();
        let asked = runtime.run(async move {
            let mut number = 0;
            for _ in 0..ops {
                number = server.ask(|answer| Question::Next(number, answer)).await?;
            }
            anyhow::Ok(number)
        })??;
        ensure!(asked == ops as u64, "{ops} calls have counted to {asked}");
        Ok(())
    })
}
