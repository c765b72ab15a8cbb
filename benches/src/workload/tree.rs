//! Spawn tree (also known as skynet): a task starts ten more, each of them ten more, until there are that
//! many leaves. A leaf gives back its number; every other task, the sum of its children.
//!
//! The spawning is done by all tasks, not by one, so with two workers there is something to steal all the
//! time. An operation is a leaf: there are 1.11 tasks for each.
//!
//! What differs: the futures are boxed, because an asynchronous function that calls itself must be;
//! goroutines and Erlang's processes give their sums back as messages. In `twoply-fibers` and `may` every
//! task but a leaf blocks a stack while its children run. With a million leaves Erlang would take ten
//! seconds, most of them for paging in 1.7 GB, and may has two mappings for each stack, of which the kernel
//! allows a process 65,530.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use smol::Executor;
use twoply::Wait as _;

use super::{Case, Context, Run, Sample, check_count, timed};
use crate::peers;
use crate::runtimes::{self, Smol, Tasks as _};

/// How many tasks a task starts.
const CHILDREN: usize = 10;

const SMALL: &[(&str, Run)] = &[
    ("tokio-multi", tokio),
    ("smol", smol),
    ("may", may),
    ("go", foreign),
    ("erl", foreign),
    ("twoply-green", twoply),
    ("twoply-fibers", twoply_straight),
];
const LARGE: &[(&str, Run)] = &[
    ("tokio-multi", tokio),
    ("smol", smol),
    ("go", foreign),
    ("twoply-green", twoply),
    ("twoply-fibers", twoply_straight),
];

pub(crate) const CASES: &[Case] = &[
    timed("spawn-tree", &[("leaves", 10_000), ("workers", 2)], SMALL),
    Case { quick: false, ..timed("spawn-tree", &[("leaves", 1_000_000), ("workers", 2)], LARGE) },
];

/// A task of the tree, on its way into its parent's.
type Node<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The sum of the numbers of that many leaves.
fn sum_of(leaves: usize) -> usize {
    leaves * (leaves - 1) / 2
}

/// Grows as many whole trees as it takes.
fn time(ctx: &Context, mut tree: impl FnMut(usize) -> Result<usize>) -> Result<Sample> {
    let leaves = ctx.param("leaves");
    ctx.time(leaves, |ops| {
        for _ in 0..ops / leaves {
            check_count(sum_of(leaves), tree(leaves)?)?;
        }
        Ok(())
    })
}

/// The node whose leaves are the `$leaves` numbers from `$first` on. `$child` starts the node of a first
/// number and a number of leaves; awaiting what it gives is the sum, or an error.
macro_rules! node {
    ($first:expr, $leaves:expr, $child:expr) => {
        Box::pin(async move {
            if $leaves == 1 {
                return Ok($first);
            }
            let part = $leaves / CHILDREN;
            let children: Vec<_> = (0..CHILDREN).map(|child| $child($first + child * part, part)).collect();
            let mut sum = 0;
            for child in children {
                sum += child.await??;
            }
            Ok(sum)
        })
    };
}

fn tokio(ctx: &Context) -> Result<Sample> {
    fn node(first: usize, leaves: usize) -> Node<Result<usize>> {
        node!(first, leaves, |first, leaves| tokio::spawn(node(first, leaves)))
    }
    let runtime = runtimes::tokio(ctx)?;
    time(ctx, |leaves| runtime.block_on(runtime.spawn(node(0, leaves)))?)
}

fn smol(ctx: &Context) -> Result<Sample> {
    // The outer result is there for the macro: a task of smol's has no error of its own.
    fn node(executor: Arc<Executor<'static>>, first: usize, leaves: usize) -> Node<Result<usize>> {
        node!(first, leaves, |first, leaves| {
            let child = node(executor.clone(), first, leaves);
            executor.spawn(async move { anyhow::Ok(child.await) })
        })
    }
    let smol = Smol::new(ctx.workers());
    time(ctx, |leaves| smol.run(node(smol.executor.clone(), 0, leaves))?)
}

fn twoply(ctx: &Context) -> Result<Sample> {
    fn node(first: usize, leaves: usize) -> Node<Result<usize>> {
        node!(first, leaves, |first, leaves| twoply::spawn(node(first, leaves)))
    }
    let runtime = runtimes::twoply(ctx)?;
    time(ctx, |leaves| runtime.run(node(0, leaves))?)
}

fn twoply_straight(ctx: &Context) -> Result<Sample> {
    fn node(first: usize, leaves: usize) -> Result<usize> {
        if leaves == 1 {
            return Ok(first);
        }
        let part = leaves / CHILDREN;
        let child = |child| twoply::spawn_fn(move || node(first + child * part, part));
        let children: Vec<_> = (0..CHILDREN).map(child).collect();
        children.into_iter().map(|child| child.wait()?).sum()
    }
    let runtime = runtimes::twoply(ctx)?;
    time(ctx, |leaves| runtime.run_fn(move || node(0, leaves))?)
}

fn may(ctx: &Context) -> Result<Sample> {
    fn node(first: usize, leaves: usize) -> Option<usize> {
        if leaves == 1 {
            return Some(first);
        }
        let part = leaves / CHILDREN;
        let child = |child| may::go!(move || node(first + child * part, part));
        let children: Vec<_> = (0..CHILDREN).map(child).collect();
        children.into_iter().map(|child| child.join().ok()?).sum()
    }
    runtimes::may(ctx.workers());
    time(ctx, |leaves| {
        may::go!(move || node(0, leaves)).join().ok().flatten().context("a coroutine panicked")
    })
}

fn foreign(ctx: &Context) -> Result<Sample> {
    let leaves = ctx.param("leaves");
    peers::time(ctx, "tree", leaves, &[leaves], |ops| ops / leaves * sum_of(leaves))
}
