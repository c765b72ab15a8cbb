//! Large binaries from one process to another, and a call with one in flight beside them, by the node that
//! sends. The memory is that of the node which the case is named for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use twoply::actor::{Builder, Event, Process, ProcessRef};
use twoply::node::Node;
use twoply::node::wire::Binary;

use super::{Does, OURS, Question, THERE};
use crate::runtimes::{self, Tasks as _, Twoply};
use crate::workload::{Better, Case, Context, Measure, Run, Sample, check_count};

const MEASURES: &[Measure] = &[
    Measure { name: "", unit: "MB/s", better: Better::Higher },
    Measure { name: "call-p50", unit: "us", better: Better::Lower },
    Measure { name: "call-p99", unit: "us", better: Better::Lower },
];

const RECEIVERS: &[(&str, Run)] =
    &[("erl", erl_receives), ("twoply-green", receive), ("twoply-native", receive)];
const SENDERS: &[(&str, Run)] = &[("erl", erl_sends), ("twoply-green", send), ("twoply-native", send)];

const ONE: &[(&str, usize)] = &[("mib", 1), ("workers", 1)];
const HUNDRED: &[(&str, usize)] = &[("mib", 100), ("workers", 1)];

pub(crate) const CASES: &[Case] = &[
    case("node-receive-big", ONE, RECEIVERS),
    case("node-send-big", ONE, SENDERS),
    case("node-receive-big", HUNDRED, RECEIVERS),
    case("node-send-big", HUNDRED, SENDERS),
];

const fn case(
    workload: &'static str,
    params: &'static [(&'static str, usize)],
    systems: &'static [(&'static str, Run)],
) -> Case {
    Case { workload, params, measures: MEASURES, quick: false, systems }
}

/// As `super::Numbered`, with a binary.
type Message = (u64, ProcessRef<u64>, Binary);

/// Starts and registers the process `big`, which counts.
pub(super) fn register(runtime: &Twoply, node: &Node) -> Result<()> {
    let big = Builder::<Message>::new().on(runtime.spawner().backend()).spawn(
        async |mut me: Process<Message>| {
            let mut count = 0;
            while let Event::Message((number, from, _)) = me.receive().await {
                count += 1;
                if number == 0 {
                    // A sender that has ended wants no answer.
                    let _ = from.send(std::mem::take(&mut count)).await;
                }
            }
        },
    )?;
    Ok(node.register("big", &big)?)
}

/// Returns how many binaries a run sends at least: 100 MiB, or five of them.
fn step(ctx: &Context) -> usize {
    if ctx.param("mib") == 1 { 100 } else { 5 }
}

/// Makes a rate of the time of a binary.
fn rate(ctx: &Context, mut sample: Sample) -> Result<Sample> {
    let nanos = sample.values.first_mut().context("a sample has values")?;
    *nanos = (ctx.param("mib") << 20) as f64 * 1e3 / *nanos;
    Ok(sample)
}

fn erl_receives(ctx: &Context) -> Result<Sample> {
    rate(ctx, super::erl_both(ctx, Does::SendsBig(ctx.param("mib")), step(ctx), true)?)
}

fn erl_sends(ctx: &Context) -> Result<Sample> {
    rate(ctx, super::erl_both(ctx, Does::SendsBig(ctx.param("mib")), step(ctx), false)?)
}

fn receive(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let node = super::ours(&runtime, OURS, None)?;
    let does = Does::SendsBig(ctx.param("mib"));
    let mut caller = super::erl(ctx, does, node.local_addr().port(), OURS)?;
    rate(ctx, super::by_erl(ctx, &mut caller, step(ctx))?)
}

fn send(ctx: &Context) -> Result<Sample> {
    let (runtime, port) = (runtimes::twoply(ctx)?, super::free_port()?);
    let _there = super::erl(ctx, Does::Nothing, port, OURS)?;
    let node = super::ours(&runtime, OURS, Some((std::net::Ipv4Addr::LOCALHOST, port).into()))?;
    let (big, server) =
        (node.remote(THERE).process::<Message>("big"), node.remote(THERE).process::<Question>("server"));
    let binary = Binary::from(vec![b'x'; ctx.param("mib") << 20]);
    let sample = super::measured(ctx, step(ctx), |ops| {
        let (big, server, binary, over) =
            (big.clone(), server.clone(), binary.clone(), Arc::new(AtomicBool::new(false)));
        let (told, count) = std::sync::mpsc::channel();
        Builder::<u64>::new().on(runtime.spawner().backend()).spawn({
            let over = Arc::clone(&over);
            async move |mut me: Process<u64>| {
                let mine = me.me();
                let mut left = ops as u64;
                while left > 0 && big.send((left - 1, mine.clone(), binary.clone())).await.is_ok() {
                    left -= 1;
                }
                if left == 0
                    && let Event::Message(count) = me.receive().await
                {
                    let _ = told.send(count);
                }
                over.store(true, Ordering::Release);
            }
        })?;
        let took = runtime.run(async move {
            let (mut number, mut took) = (0, Histogram::new(3)?);
            while !over.load(Ordering::Acquire) {
                let start = Instant::now();
                number = server.ask(|answer| Question::Next(number, answer)).await?;
                took.record(start.elapsed().as_nanos() as u64)?;
            }
            anyhow::Ok(took)
        })??;
        check_count(ops, count.recv().context("the sender has failed")? as usize)?;
        Ok(Some(took))
    })?;
    rate(ctx, sample)
}
