//! The memory of an idle connection of an HTTP server: how much more is resident with ten thousand of them
//! than before the first.
//!
//! Each has had one response and asks for nothing more. The handler's buffers are in the figure, 1.25 KiB;
//! the kernel's own for the sockets are not.
//! `std-thread` and `twoply-native` have a thread for each connection and take part with a thousand.

use anyhow::Result;

use super::{Better, Case, Context, Measure, Run, Sample};
use crate::http::load::Load;
use crate::http::server::ServerProcess;

const BYTES: &[Measure] = &[Measure { name: "", unit: "bytes/connection", better: Better::Lower }];

const THOUSAND: &[(&str, usize)] = &[("connections", 1000), ("workers", 2)];
const TEN_THOUSAND: &[(&str, usize)] = &[("connections", 10_000), ("workers", 2)];

const WITH_THREADS: &[(&str, Run)] = &[
    ("std-thread", measure),
    ("tokio-multi", measure),
    ("twoply-green", measure),
    ("twoply-fibers", measure),
    ("twoply-native", measure),
];
const WITHOUT: &[(&str, Run)] = &[
    ("limit-epoll", measure),
    ("tokio-multi", measure),
    ("smol", measure),
    ("may", measure),
    ("go", measure),
    ("erl", measure),
    ("twoply-green", measure),
    ("twoply-fibers", measure),
];

pub(crate) const CASES: &[Case] = &[case(THOUSAND, true, WITH_THREADS), case(TEN_THOUSAND, false, WITHOUT)];

const fn case(
    params: &'static [(&'static str, usize)],
    quick: bool,
    systems: &'static [(&'static str, Run)],
) -> Case {
    Case { workload: "memory-connection", params, measures: BYTES, quick, systems }
}

/// The server of this name, before the first connection and with all of them.
fn measure(ctx: &Context) -> Result<Sample> {
    let connections = ctx.param("connections");
    let mut server = ServerProcess::start(ctx.system, ctx.workers())?;
    let before = server.used()?;
    let _load = Load::start(server.address, connections, None)?;
    let after = server.used()?;
    Ok(Sample {
        values: vec![after.rss_kib.saturating_sub(before.rss_kib) as f64 * 1024.0 / connections as f64],
        ops: connections,
        cpu_s: after.cpu_since(&before).as_secs_f64(),
        peak_rss_kib: after.peak_rss_kib,
        latency: None,
    })
}
