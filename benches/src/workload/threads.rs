//! Spawn and join one OS thread at a time.

use std::hint::black_box;
use std::thread;

use anyhow::{Context as _, Result};

use super::{Case, Context, NANOSECONDS, Sample, check_count};

pub(crate) const CASES: &[Case] = &[Case {
    workload: "thread-spawn",
    params: &[],
    measures: NANOSECONDS,
    runs: 5,
    quick: true,
    systems: &[("std-thread", std_thread)],
}];

fn std_thread(ctx: &Context) -> Result<Sample> {
    ctx.time(1, |ops| {
        let mut done = 0;
        for _ in 0..ops {
            done += thread::spawn(|| black_box(1)).join().ok().context("a thread panicked")?;
        }
        check_count(ops, done)
    })
}
