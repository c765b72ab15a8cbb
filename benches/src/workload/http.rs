//! HTTP keep-alive: requests a second, latency, and the server's CPU time for a request.
//!
//! All servers share one handler (`http/respond.rs`); see there and in `http/load.rs` for what is asked and
//! answered. CPU time and peak memory are those of the server process. On a machine where load generator and
//! server share few cores, requests a second say mostly what the kernel's TCP costs; the CPU time is what
//! tells servers apart.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{Better, Case, Context, Measure, Run, Sample, Series};
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

pub(crate) const CASES: &[Case] = &[
    case(true, &[("connections", 1), ("workers", 1)], ONE_WORKER),
    case(false, &[("connections", 8), ("workers", 1)], ONE_WORKER),
    case(true, &[("connections", 64), ("workers", 1)], ONE_WORKER),
    case(false, &[("connections", 1000), ("workers", 1)], ONE_WORKER),
    case(true, &[("connections", 1), ("workers", 2)], TWO_WORKERS),
    case(false, &[("connections", 8), ("workers", 2)], TWO_WORKERS),
    case(true, &[("connections", 64), ("workers", 2)], TWO_WORKERS),
    case(false, &[("connections", 1000), ("workers", 2)], TWO_WORKERS),
];

pub(crate) const SERIES: &[Series] = &[Series {
    workload: "http",
    grows: "connections",
    sizes: &[1, 8, 64, 1_000, 10_000],
    fixed: &[("workers", 2)],
    measures: MEASURES,
    descriptors: 1,
    systems: &[
        ("limit-epoll", drive, usize::MAX),
        // With a thread for each connection: more of them is a measure of the scheduler of the kernel.
        ("std-thread", drive, 1_000),
        ("tokio-multi", drive, usize::MAX),
        ("twoply-green", drive, usize::MAX),
        ("twoply-fibers", drive, usize::MAX),
        ("twoply-native", drive, 1_000),
    ],
}];

/// How many of the harness's windows one measurement takes: the kernel's choice of a core for each side lasts for a
/// while, and a rate should see several.
const WINDOWS: u32 = 5;

const fn case(
    quick: bool,
    params: &'static [(&'static str, usize)],
    systems: &'static [(&'static str, Run)],
) -> Case {
    Case { workload: "http", params, measures: MEASURES, runs: 3, quick, systems }
}

/// Starts the server of this name, loads it, and reads what it has used in the window.
fn drive(ctx: &Context) -> Result<Sample> {
    let mut server = ServerProcess::start(ctx.system, ctx.workers())?;
    let mut load = Load::start(server.address, ctx.param("connections"))?;
    let started = Instant::now();
    load.run(ctx.window)?;

    let before = server.used()?;
    let window = load.run(WINDOWS * ctx.window)?;
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
        latency: None,
    }
    .with_latency(&window.latency))
}
