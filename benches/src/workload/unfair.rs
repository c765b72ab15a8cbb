//! Unfair requests: what one connection of an HTTP server does to the others.
//!
//! One connection in fifty asks for a path that takes 5 ms, and asks again as soon as it has the answer; the
//! others ask for what takes microseconds. In `http-uneven` the 5 ms are CPU time, in `http-blocking` the
//! handler blocks its OS thread in a sleep. So of two workers one is busy or blocked nearly all the time, and
//! a connection that is tied to that one waits for 5 ms where it could have had the other. The figures are
//! those of the other connections alone.
//!
//! The handlers say nothing to their runtimes, except in `tokio-multi-in-place` (`block_in_place` around each
//! request), `smol-unblock` (`unblock`) and `twoply-green-offload` (`offload`). Go's call is `nanosleep`,
//! which its scheduler knows to be blocking; in Erlang there is nothing to block a scheduler with. Ours
//! notices a worker that is stuck, and has another do its work, or another thread carry it: that is all that
//! helps where there is one worker.

use anyhow::Result;

use super::http::{self, Measured};
use super::{Better, Case, Context, Measure, Run, Sample};
use crate::http::load::Odd;

const MEASURES: &[Measure] = &[
    Measure { name: "p99", unit: "us", better: Better::Lower },
    Measure { name: "p50", unit: "us", better: Better::Lower },
    Measure { name: "max", unit: "us", better: Better::Lower },
    Measure { name: "rate", unit: "requests/s", better: Better::Higher },
];

const PARAMS: &[(&str, usize)] = &[("connections", 50), ("workers", 2)];

/// The only worker is held up nearly all the time: whoever has no other way to go on serves nobody else
/// meanwhile.
const ALONE: &[(&str, usize)] = &[("connections", 50), ("workers", 1)];

const UNEVEN: &[(&str, Run)] = &[
    ("limit-epoll", uneven),
    ("std-thread", uneven),
    ("tokio-multi", uneven),
    ("smol", uneven),
    ("may", uneven),
    ("go", uneven),
    ("erl", uneven),
    ("twoply-green", uneven),
    ("twoply-fibers", uneven),
    ("twoply-native", uneven),
];
const BLOCKING: &[(&str, Run)] = &[
    ("limit-epoll", blocking),
    ("std-thread", blocking),
    ("tokio-multi", blocking),
    ("tokio-multi-in-place", blocking),
    ("smol", blocking),
    ("smol-unblock", blocking),
    ("may", blocking),
    ("go", blocking),
    ("twoply-green", blocking),
    ("twoply-green-offload", blocking),
    ("twoply-fibers", blocking),
    ("twoply-native", blocking),
];

const UNEVEN_ALONE: &[(&str, Run)] = &[
    ("limit-epoll", uneven),
    ("tokio-multi", uneven),
    ("smol", uneven),
    ("may", uneven),
    ("go", uneven),
    ("erl", uneven),
    ("twoply-green", uneven),
    ("twoply-fibers", uneven),
];
const BLOCKING_ALONE: &[(&str, Run)] = &[
    ("limit-epoll", blocking),
    ("tokio-multi", blocking),
    ("tokio-multi-in-place", blocking),
    ("smol", blocking),
    ("smol-unblock", blocking),
    ("may", blocking),
    ("go", blocking),
    ("twoply-green", blocking),
    ("twoply-green-offload", blocking),
    ("twoply-fibers", blocking),
];

pub(crate) const CASES: &[Case] = &[
    Case { workload: "http-uneven", params: PARAMS, measures: MEASURES, quick: true, systems: UNEVEN },
    Case { workload: "http-blocking", params: PARAMS, measures: MEASURES, quick: true, systems: BLOCKING },
    Case { workload: "http-uneven", params: ALONE, measures: MEASURES, quick: true, systems: UNEVEN_ALONE },
    Case {
        workload: "http-blocking",
        params: ALONE,
        measures: MEASURES,
        quick: true,
        systems: BLOCKING_ALONE,
    },
];

fn uneven(ctx: &Context) -> Result<Sample> {
    drive(ctx, "/work")
}

fn blocking(ctx: &Context) -> Result<Sample> {
    drive(ctx, "/block")
}

/// As in `http.rs`, with one connection in fifty that asks for this path.
fn drive(ctx: &Context, path: &'static str) -> Result<Sample> {
    let Measured { window, cpu, after } = http::measure(ctx, Some(Odd { every: 50, path }))?;
    let micros = |nanos: u64| nanos as f64 / 1e3;
    Ok(Sample {
        values: vec![
            micros(window.latency.value_at_quantile(0.99)),
            micros(window.latency.value_at_quantile(0.5)),
            micros(window.latency.max()),
            window.responses as f64 / window.took.as_secs_f64(),
        ],
        ops: window.responses,
        cpu_s: cpu.as_secs_f64(),
        peak_rss_kib: after.peak_rss_kib,
        latency: None,
    }
    .with_latency(&window.latency))
}
