//! HTTP keep-alive: requests a second, latency, and the server's CPU time for a request.
//!
//! All servers share one handler (`http/respond.rs`); see there and in `http/load.rs` for what is asked and
//! answered. CPU time and peak memory are those of the server process. On a machine where load generator and
//! server share few cores, requests a second say mostly what the kernel's TCP costs; the CPU time is what
//! tells servers apart.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Better, Case, Context, Measure, Run, Sample};
use crate::child::Used;
use crate::http::load::{Load, Odd, Window};
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
/// All but those with a thread for each connection: ten thousand threads measure the kernel's scheduler.
const WITHOUT_THREADS: &[(&str, Run)] = &[
    ("limit-epoll", drive),
    ("tokio-multi", drive),
    ("may", drive),
    ("go", drive),
    ("erl", drive),
    ("twoply-green", drive),
    ("twoply-fibers", drive),
];

pub(crate) const CASES: &[Case] = &[
    case(false, &[("connections", 1), ("workers", 1)], ONE_WORKER),
    case(false, &[("connections", 8), ("workers", 1)], ONE_WORKER),
    case(true, &[("connections", 64), ("workers", 1)], EVERYBODY_ON_ONE),
    case(false, &[("connections", 1000), ("workers", 1)], ONE_WORKER),
    case(false, &[("connections", 10_000), ("workers", 1)], ONE_WORKER),
    case(false, &[("connections", 1), ("workers", 2)], TWO_WORKERS),
    case(false, &[("connections", 8), ("workers", 2)], TWO_WORKERS),
    case(true, &[("connections", 64), ("workers", 2)], EVERYBODY),
    case(false, &[("connections", 1000), ("workers", 2)], TWO_WORKERS),
    case(false, &[("connections", 10_000), ("workers", 2)], WITHOUT_THREADS),
];

/// How many of the harness's windows one measurement takes: the kernel's choice of a core for each side lasts
/// for a while, and a rate should see several.
const WINDOWS: u32 = 5;

const fn case(
    quick: bool,
    params: &'static [(&'static str, usize)],
    systems: &'static [(&'static str, Run)],
) -> Case {
    Case { workload: "http", params, measures: MEASURES, quick, systems }
}

/// What a connection adds to the time of a round, in which each has a response. Every connection should have
/// some of them in the window, or those that had none distort the quantiles.
const FOR_A_CONNECTION: Duration = Duration::from_micros(15);

/// How long at most a window may become until connections of each kind have had a response in it. An odd one
/// that asks for more than all others has it late from a server that is fair to them, and the others have
/// theirs late from one that is not.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a server did in a window.
pub(super) struct Measured {
    /// The load's side of it.
    pub(super) window: Window,
    /// The server's CPU time.
    pub(super) cpu: Duration,
    /// What the server had used when the window closed.
    pub(super) after: Used,
}

/// Starts the server of this name, loads it, and reads what it has used in the window.
pub(super) fn measure(ctx: &Context, odd: Option<Odd>) -> Result<Measured> {
    let connections = ctx.param("connections");
    let mut server = ServerProcess::start(ctx.system, ctx.workers())?;
    let mut load = Load::start(server.address, connections, odd)?;
    load.close_loop()?;
    let closed = Instant::now();
    let round = FOR_A_CONNECTION * connections as u32;
    load.run(ctx.window + round)?;

    let before = server.used()?;
    let mut window = load.run(WINDOWS * ctx.window + 3 * round)?;
    let some_starve = |window: &Window| window.responses == 0 || odd.is_some() && window.odd_responses == 0;
    while some_starve(&window) && window.took < PATIENCE {
        window.extend(&load.run(ctx.window)?)?;
    }
    let after = server.used()?;

    ensure!(window.responses > 0, "no responses");
    ensure!(odd.is_none() || window.odd_responses > 0, "no responses to the odd connections");
    load.check_all_served(closed)?;
    Ok(Measured { window, cpu: after.cpu_since(&before), after })
}

fn drive(ctx: &Context) -> Result<Sample> {
    let Measured { window, cpu, after } = measure(ctx, None)?;
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
