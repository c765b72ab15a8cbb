//! Values that are still to come: what it costs to make one, to wait for it and to give it.
//!
//! - `promise-ready`: made, given and then waited for, in one task: nobody ever stops.
//! - `promise-stop`: made, waited for until that is pending, given, and waited for again, in one task: the
//!   price of standing in line, of one wake-up, and, for ours, of the search for deadlocks.
//!   `twoply-unwatched` is the same promise without that search; in `twoply-owed` it is known who owes the
//!   promise, so that the search has somewhere to go.
//! - `promise-threads`: the means to give it is passed to another thread, which uses it while this one waits:
//!   a round trip. It goes through the same channel in all systems.
//!
//! The oneshot channels of tokio and of futures have one receiver, which takes the value; ours is
//! `twoply-answer`, and a promise (`twoply-promise`) does more: it may be cloned and looked at. All run on
//! our green worker, so that only the channel differs.

use std::future::{IntoFuture, poll_fn};
use std::pin::pin;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use futures_channel::oneshot as futures_oneshot;
use tokio::sync::oneshot as tokio_oneshot;
use twoply::Wait as _;
use twoply::promise;

use super::{Case, Context, Sample, timed};
use crate::runtimes::{self, Tasks as _};

pub(crate) const CASES: &[Case] = &[
    timed(
        "promise-ready",
        &[],
        &[
            ("tokio-oneshot", |ctx| ready!(ctx, tokio_oneshot::channel(), send)),
            ("futures-oneshot", |ctx| ready!(ctx, futures_oneshot::channel(), send)),
            ("twoply-oneshot", |ctx| ready!(ctx, twoply::channel::oneshot::channel(), send)),
            ("twoply-answer", |ctx| ready!(ctx, swap(promise::answer()), resolve)),
            ("twoply-promise", |ctx| ready!(ctx, swap(promise::pair()), resolve)),
        ],
    ),
    timed(
        "promise-stop",
        &[],
        &[
            ("tokio-oneshot", |ctx| stop!(ctx, tokio_oneshot::channel(), send)),
            ("futures-oneshot", |ctx| stop!(ctx, futures_oneshot::channel(), send)),
            ("twoply-oneshot", |ctx| stop!(ctx, twoply::channel::oneshot::channel(), send)),
            ("twoply-answer", |ctx| stop!(ctx, swap(promise::answer()), resolve)),
            ("twoply-promise", |ctx| stop!(ctx, swap(promise::pair()), resolve)),
            ("twoply-unwatched", |ctx| stop!(ctx, unwatched(), resolve)),
            ("twoply-owed", owed),
        ],
    ),
    timed(
        "promise-threads",
        &[("threads", 2)],
        &[
            ("tokio-oneshot", |ctx| {
                threads!(ctx, tokio_oneshot::Sender, tokio_oneshot::channel(), send, |rx| rx.blocking_recv())
            }),
            ("futures-oneshot", |ctx| {
                threads!(ctx, futures_oneshot::Sender, futures_oneshot::channel(), send, |rx| smol::block_on(
                    rx
                ))
            }),
            ("twoply-answer", |ctx| {
                threads!(ctx, promise::Resolver, swap(promise::answer()), resolve, |rx| rx.wait())
            }),
            ("twoply-promise", |ctx| {
                threads!(ctx, promise::Resolver, swap(promise::pair()), resolve, |rx| rx.wait())
            }),
        ],
    ),
];

/// A promise is made with the waiting end first.
fn swap<A, B>((waiting, giving): (A, B)) -> (B, A) {
    (giving, waiting)
}

/// A promise whose waits the search for deadlocks does not see.
fn unwatched() -> (promise::Resolver<usize>, promise::Unwatched<promise::Waiting<usize>>) {
    let (promise, resolver) = promise::pair();
    (resolver, promise::unwatched(promise))
}

/// Checks what came.
fn check(given: usize, got: usize) -> Result<()> {
    ensure!(given == got, "{got} came instead of {given}");
    Ok(())
}

/// Makes, gives and waits for `ops` values in a task.
macro_rules! ready {
    ($ctx:expr, $pair:expr, $give:ident) => {{
        let green = runtimes::twoply_named("green", 1)?;
        $ctx.time(1, |ops| {
            green.run(async move {
                for number in 0..ops {
                    let (giving, waiting) = $pair;
                    giving.$give(number).ok().context("nobody waits")?;
                    check(number, waiting.await?)?;
                }
                Ok(())
            })?
        })
    }};
}
use ready;

/// Waits for `ops` values in a task, and gives each when the wait is pending.
macro_rules! stop {
    ($ctx:expr, $pair:expr, $give:ident $(, $shared:ident)?) => {{
        let green = runtimes::twoply_named("green", 1)?;
        $ctx.time(1, |ops| {
            $(let $shared = $shared.clone();)?
            green.run(async move {
                for number in 0..ops {
                    let (giving, waiting) = $pair;
                    let mut waiting = pin!(waiting.into_future());
                    let mut giving = Some(giving);
                    let got = poll_fn(|cx| {
                        let polled = waiting.as_mut().poll(cx);
                        match giving.take() {
                            Some(giving) if polled.is_pending() => {
                                giving.$give(number).ok();
                                Poll::Pending
                            }
                            _ => polled,
                        }
                    });
                    check(number, got.await?)?;
                }
                Ok(())
            })?
        })
    }};
}
use stop;

/// As `stop`, with promises that another task, which waits for something else, is known to owe.
fn owed(ctx: &Context) -> Result<Sample> {
    let green = runtimes::twoply_named("green", 1)?;
    let debtor = green.spawner().spawn(std::future::pending::<()>()).cancel_on_drop();
    let task = debtor.task();
    stop!(ctx, owed_by(&task), resolve, task)
}

/// A promise that `task` owes.
fn owed_by(task: &twoply::task::TaskRef) -> (promise::Resolver<usize>, promise::Promise<usize>) {
    let (promise, resolver) = promise::pair();
    resolver.set_owner(task);
    (resolver, promise)
}

/// Has another thread give `ops` values, each while this one waits for it.
macro_rules! threads {
    ($ctx:expr, $Giving:ident $(:: $Rest:ident)?, $pair:expr, $give:ident, |$rx:ident| $wait:expr) => {
        $ctx.time(1, |ops| {
            let (pass, passed) = mpsc::channel::<($Giving $(:: $Rest)? <usize>, usize)>();
            let giver = thread::spawn(move || {
                while let Ok((giving, number)) = passed.recv() {
                    giving.$give(number).ok();
                }
            });
            for number in 0..ops {
                let (giving, $rx) = $pair;
                pass.send((giving, number)).ok().context("the other thread is gone")?;
                check(number, $wait?)?;
            }
            drop(pass);
            giver.join().ok().context("the other thread panicked")
        })
    };
}
use threads;
