//! Spawn and join one OS thread at a time. Ours come from a cache of idle threads.

use std::hint::black_box;
use std::thread;

use anyhow::{Context as _, Result};

use twoply::Wait as _;

use super::{Case, Context, Sample, check_count, timed};
use crate::runtimes;

pub(crate) const CASES: &[Case] =
    &[timed("thread-spawn", &[], &[("std-thread", std_thread), ("twoply-native", twoply_native)])];

fn std_thread(ctx: &Context) -> Result<Sample> {
    ctx.time(1, |ops| {
        let mut done = 0;
        for _ in 0..ops {
            done += thread::spawn(|| black_box(1)).join().ok().context("a thread panicked")?;
        }
        check_count(ops, done)
    })
}

fn twoply_native(ctx: &Context) -> Result<Sample> {
    let native = runtimes::twoply_named("native", 0)?;
    ctx.time(1, |ops| {
        let mut done = 0;
        for _ in 0..ops {
            done += native.spawner().spawn_fn(|| black_box(1)).wait()?;
        }
        check_count(ops, done)
    })
}
