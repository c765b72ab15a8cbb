//! Ordered work on several items at once: a stream of futures, each of which gives way once, and `limit` of
//! which are under way at a time.
//!
//! An operation is an item. Nothing is spawned: one task on one worker polls the futures in place, so the
//! figure is the price of keeping them, of waking one among them and of putting the outputs in order.
//! `tokio-current` runs `buffered` of futures-util, `twoply-green` ours.
//!
//! What differs: futures-util links its futures in one allocation each, ours are two; and it polls until none
//! is woken, or too many were, where ours goes by the budget of the task.

use std::future::{Future, poll_fn};
use std::task::Poll;

use anyhow::Result;
use futures_util::StreamExt as _;
use twoply::stream::Stream as _;

use super::{Case, Context, Sample, check_count, timed};
use crate::runtimes::{self, Tasks as _};

/// The number of items of a step.
const STEP: usize = 1_000;

const SYSTEMS: &[(&str, super::Run)] = &[("tokio-current", futures), ("twoply-green", twoply)];

pub(crate) const CASES: &[Case] = &[
    timed("buffered", &[("limit", 8), ("workers", 1)], SYSTEMS),
    Case { quick: false, ..timed("buffered", &[("limit", 1_000), ("workers", 1)], SYSTEMS) },
];

/// Gives way once, and returns one.
fn work(_item: usize) -> impl Future<Output = usize> + Send {
    let mut has_yielded = false;
    poll_fn(move |cx| {
        if has_yielded {
            return Poll::Ready(1);
        }
        has_yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

fn futures(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let limit = ctx.param("limit");
    ctx.time(STEP, |ops| {
        let items = futures_util::stream::iter(0..ops).map(work).buffered(limit);
        let done = items.fold(0, |done, one| std::future::ready(done + one));
        check_count(ops, runtime.run(done)?)
    })
}

fn twoply(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let limit = ctx.param("limit");
    ctx.time(STEP, |ops| {
        let items = twoply::stream::iter(0..ops).map(work).buffered(limit);
        check_count(ops, runtime.run(items.fold(0, |done, one| done + one))?)
    })
}
