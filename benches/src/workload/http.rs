//! HTTP keep-alive: requests a second, latency, and the server's CPU time for a request.
//!
//! All servers share one handler (`http/respond.rs`); see there and in `http/load.rs` for what is asked and
//! answered. CPU time and peak memory are those of the server process. On a machine where load generator and
//! server share few cores, requests a second say mostly what the kernel's TCP costs; the CPU time is what
//! tells servers apart.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Better, Case, Context, Measure, Run, Sample};
use crate::http::load::Load;
use crate::http::server::ServerProcess;

const MEASURES: &[Measure] = &[
    Measure { name: "rate", unit: "requests/s", better: Better::Higher },
    Measure { name: "server-cpu", unit: "us/request", better: Better::Lower },
    Measure { name: "p50", unit: "us", better: Better::Lower },
    Measure { name: "p99", unit: "us", better: Better::Lower },
    Measure { name: "p99.9", unit: "us", better: Better::Lower },
];

/// The servers are looked up by name, so there is one function for all.
const ONE_WORKER: &[(&str, Run)] = &[
    ("limit-epoll", drive),
    ("tokio-current", drive),
    ("tokio-multi", drive),
    ("twoply-green", drive),
    ("twoply-fibers", drive),
];
const TWO_WORKERS: &[(&str, Run)] = &[
    ("limit-epoll", drive),
    ("std-thread", drive),
    ("tokio-multi", drive),
    ("twoply-green", drive),
    ("twoply-fibers", drive),
    ("twoply-native", drive),
];
/// All there are; with these, one can do without them in the other cases.
const EVERYBODY_ON_ONE: &[(&str, Run)] = &[
    ("limit-epoll", drive),
    ("tokio-current", drive),
    ("tokio-multi", drive),
    ("smol", drive),
    ("may", drive),
    ("go", drive),
    ("erl", drive),
    ("twoply-green", drive),
    ("twoply-fibers", drive),
];
const EVERYBODY: &[(&str, Run)] = &[
    ("limit-epoll", drive),
    ("std-thread", drive),
    ("tokio-multi", drive),
    ("smol", drive),
    ("may", drive),
    ("go", drive),
    ("erl", drive),
    ("twoply-green", drive),
    ("twoply-fibers", drive),
    ("twoply-native", drive),
];
/// Those that do not need a thread for each connection: ten thousand threads measure the kernel's scheduler.
const MANY_CONNECTIONS: &[(&str, Run)] = &[
    ("limit-epoll", drive),
    ("tokio-multi", drive),
    ("smol", drive),
    ("may", drive),
    ("go", drive),
    ("erl", drive),
    ("twoply-green", drive),
    ("twoply-fibers", drive),
];

pub(crate) const CASES: &[Case] = &[
    case(true, &[("connections", 1), ("workers", 1)], ONE_WORKER),
    case(false, &[("connections", 8), ("workers", 1)], ONE_WORKER),
    case(true, &[("connections", 64), ("workers", 1)], EVERYBODY_ON_ONE),
    case(false, &[("connections", 1000), ("workers", 1)], ONE_WORKER),
    case(false, &[("connections", 10_000), ("workers", 1)], ONE_WORKER),
    case(true, &[("connections", 1), ("workers", 2)], TWO_WORKERS),
    case(false, &[("connections", 8), ("workers", 2)], TWO_WORKERS),
    case(true, &[("connections", 64), ("workers", 2)], EVERYBODY),
    case(false, &[("connections", 1000), ("workers", 2)], TWO_WORKERS),
    case(false, &[("connections", 10_000), ("workers", 2)], MANY_CONNECTIONS),
];

const fn case(
    quick: bool,
    params: &'static [(&'static str, usize)],
    systems: &'static [(&'static str, Run)],
) -> Case {
    Case { workload: "http", params, measures: MEASURES, runs: 3, quick, systems }
}

/// Starts the server of this name, loads it, and reads what it has used in the window.
fn drive(ctx: &Context) -> Result<Sample> {
    let millis = |quick, full| Duration::from_millis(if ctx.quick { quick } else { full });
    let mut server = ServerProcess::start(ctx.system, ctx.workers())?;
    let mut load = Load::start(server.address, ctx.param("connections"), None)?;
    let started = Instant::now();
    load.run(millis(20, 200))?;

    let before = server.used()?;
    let window = load.run(millis(80, 600))?;
    let after = server.used()?;

    ensure!(window.responses > 0, "no responses");
    load.check_all_served(started)?;
    let cpu = after.cpu_since(&before);
    let quantile = |quantile| window.latency.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Sample {
        values: vec![
            window.responses as f64 / window.took.as_secs_f64(),
            cpu.as_secs_f64() * 1e6 / window.responses as f64,
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
        ],
        ops: window.responses,
        cpu_s: cpu.as_secs_f64(),
        peak_rss_kib: after.peak_rss_kib,
    })
}
