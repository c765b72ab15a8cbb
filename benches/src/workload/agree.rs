//! What tasks agree by, beside locks: values that are made once, barriers, condition variables, cancellation
//! tokens. One task or a few do nothing else.
//!
//! | workload | what one operation is |
//! |---|---|
//! | `once-cell` | a look at a value that has been made, by the call that would make it |
//! | `barrier` | a meeting of four tasks |
//! | `condvar` | a turn that one of two tasks hands the other, and gets back, by a value under a mutex |
//! | `token` | the life of a child token that a task waits for: made, waited for, cancelled |
//!
//! Straight-line code (std, parking_lot, `twoply-native`, `twoply-fibers`) blocks, in threads or in tasks of
//! ours. Where the parameter is `workers=2`, a runtime may keep all tasks on one of its workers.

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Polling, Waker};

use anyhow::Result;
use twoply::Wait as _;

use super::{Case, Context, Run, Sample, check_count, timed};
use crate::runtimes::{self, Smol, Stacks, Start as _, Tasks, Threads};

pub(crate) const CASES: &[Case] = &[
    timed(
        "once-cell",
        &[("workers", 1)],
        &[
            ("tokio-current", |ctx| look::<tokio::sync::OnceCell<usize>>(ctx, &runtimes::tokio(ctx)?)),
            ("smol", |ctx| look::<smol::lock::OnceCell<usize>>(ctx, &Smol::new(ctx.workers()))),
            ("std", |ctx| look_here::<std::sync::OnceLock<usize>>(ctx, &Threads)),
            ("twoply-green", |ctx| look::<twoply::sync::OnceCell<usize>>(ctx, &runtimes::twoply(ctx)?)),
            ("twoply-native", |ctx| look_here::<twoply::sync::OnceCell<usize>>(ctx, &runtimes::twoply(ctx)?)),
        ],
    ),
    timed("barrier", &[("tasks", 4), ("workers", 1)], BARRIERS),
    timed("barrier", &[("tasks", 4), ("workers", 2)], BARRIERS),
    timed("condvar", &[("workers", 1)], CONDVARS),
    timed("condvar", &[("workers", 2)], CONDVARS),
    timed(
        "token",
        &[("workers", 1)],
        &[
            ("tokio-current", |ctx| {
                lives::<tokio_util::sync::CancellationToken>(ctx, &runtimes::tokio(ctx)?)
            }),
            ("twoply-green", |ctx| lives::<twoply::sync::CancellationToken>(ctx, &runtimes::twoply(ctx)?)),
        ],
    ),
];

const BARRIERS: &[(&str, Run)] = &[
    ("tokio-multi", |ctx| meet::<tokio::sync::Barrier>(ctx, &runtimes::tokio(ctx)?)),
    ("smol", |ctx| meet::<smol::lock::Barrier>(ctx, &Smol::new(ctx.workers()))),
    ("std", |ctx| meet_here::<std::sync::Barrier>(ctx, &Threads)),
    ("twoply-green", |ctx| meet::<twoply::sync::Barrier>(ctx, &runtimes::twoply(ctx)?)),
    ("twoply-fibers", |ctx| meet_here::<twoply::sync::Barrier>(ctx, &runtimes::twoply(ctx)?)),
    ("twoply-native", |ctx| meet_here::<twoply::sync::Barrier>(ctx, &runtimes::twoply(ctx)?)),
];

const CONDVARS: &[(&str, Run)] = &[
    ("std", |ctx| turns_here::<(std::sync::Mutex<usize>, std::sync::Condvar)>(ctx, &Threads)),
    ("parking_lot", |ctx| turns_here::<(parking_lot::Mutex<usize>, parking_lot::Condvar)>(ctx, &Threads)),
    ("twoply-green", turns),
    ("twoply-fibers", |ctx| turns_here::<Turn>(ctx, &runtimes::twoply(ctx)?)),
    ("twoply-native", |ctx| turns_here::<Turn>(ctx, &runtimes::twoply(ctx)?)),
];

/// How many operations a run has at least, so that what starting tasks costs is not seen.
const STEP: usize = 1_000;

/// A cell whose value is 1 as soon as it is asked for.
trait Cell: Default + Send + Sync + 'static {
    fn value(&self) -> impl Future<Output = usize> + Send;
}

/// As [`Cell`], for straight-line code.
trait CellHere: Default + Send + Sync + 'static {
    fn value_here(&self) -> usize;
}

/// Implements [`Cell`].
macro_rules! cells {
    ($($cell:ty),*) => {$(
        impl Cell for $cell {
            async fn value(&self) -> usize {
                *self.get_or_init(|| async { 1 }).await
            }
        }
    )*};
}

cells!(tokio::sync::OnceCell<usize>, Maker, twoply::sync::OnceCell<usize>);

/// async-lock's cell, which has no default.
type Maker = smol::lock::OnceCell<usize>;

impl CellHere for std::sync::OnceLock<usize> {
    fn value_here(&self) -> usize {
        *self.get_or_init(|| 1)
    }
}

impl CellHere for twoply::sync::OnceCell<usize> {
    fn value_here(&self) -> usize {
        *self.get_or_init(|| async { 1 }).wait()
    }
}

fn look<C: Cell>(ctx: &Context, runtime: &impl Tasks) -> Result<Sample> {
    ctx.time(STEP, |ops| {
        runtime.run(async move {
            let (cell, mut sum) = (C::default(), 0);
            for _ in 0..ops {
                sum += black_box(&cell).value().await;
            }
            check_count(ops, sum)
        })?
    })
}

fn look_here<C: CellHere>(ctx: &Context, stacks: &impl Stacks) -> Result<Sample> {
    ctx.time(STEP, |ops| {
        let looking = stacks.start(move || {
            let cell = C::default();
            (0..ops).map(|_| black_box(&cell).value_here()).sum()
        });
        check_count(ops, looking()?)
    })
}

/// A barrier.
trait Meeting: Send + Sync + 'static {
    fn of(parties: usize) -> Self;

    /// Waits for the others, and says whether this one leads.
    fn meet(&self) -> impl Future<Output = bool> + Send;
}

/// As [`Meeting`], for straight-line code.
trait MeetingHere: Send + Sync + 'static {
    fn of(parties: usize) -> Self;

    fn meet_here(&self) -> bool;
}

/// Implements [`Meeting`].
macro_rules! meetings {
    ($($barrier:ty),*) => {$(
        impl Meeting for $barrier {
            fn of(parties: usize) -> Self {
                Self::new(parties)
            }

            async fn meet(&self) -> bool {
                self.wait().await.is_leader()
            }
        }
    )*};
}

meetings!(tokio::sync::Barrier, smol::lock::Barrier, twoply::sync::Barrier);

impl MeetingHere for std::sync::Barrier {
    fn of(parties: usize) -> Self {
        Self::new(parties)
    }

    fn meet_here(&self) -> bool {
        self.wait().is_leader()
    }
}

impl MeetingHere for twoply::sync::Barrier {
    fn of(parties: usize) -> Self {
        Self::new(parties)
    }

    fn meet_here(&self) -> bool {
        self.wait().wait().is_leader()
    }
}

fn meet<M: Meeting>(ctx: &Context, runtime: &impl Tasks) -> Result<Sample> {
    let parties = ctx.param("tasks");
    ctx.time(STEP, |ops| {
        let starter = runtime.starter();
        let led = runtime.run(async move {
            let barrier = Arc::new(M::of(parties));
            let tasks: Vec<_> = (0..parties)
                .map(|_| {
                    let barrier = Arc::clone(&barrier);
                    starter.start(async move {
                        let mut led = 0;
                        for _ in 0..ops {
                            led += usize::from(barrier.meet().await);
                        }
                        led
                    })
                })
                .collect();
            let mut led = 0;
            for task in tasks {
                led += task.await?;
            }
            anyhow::Ok(led)
        })??;
        check_count(ops, led)
    })
}

fn meet_here<M: MeetingHere>(ctx: &Context, stacks: &impl Stacks) -> Result<Sample> {
    let parties = ctx.param("tasks");
    ctx.time(STEP, |ops| {
        let barrier = Arc::new(M::of(parties));
        let tasks: Vec<_> = (0..parties)
            .map(|_| {
                let barrier = Arc::clone(&barrier);
                stacks.start(move || (0..ops).filter(|_| barrier.meet_here()).count())
            })
            .collect();
        check_count(ops, tasks.into_iter().map(|running| running()).sum::<Result<usize>>()?)
    })
}

/// Our mutex and condition variable.
type Turn = (twoply::sync::Mutex<usize>, twoply::sync::Condvar);

/// A number under a mutex, and what tells of its changes, for straight-line code.
trait Turns: Default + Send + Sync + 'static {
    /// Waits until the number is `from`, and makes it `to`.
    fn pass(&self, from: usize, to: usize);
}

impl Turns for (std::sync::Mutex<usize>, std::sync::Condvar) {
    fn pass(&self, from: usize, to: usize) {
        let turn = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let turn = self.1.wait_while(turn, |turn| *turn != from);
        *turn.unwrap_or_else(|poisoned| poisoned.into_inner()) = to;
        self.1.notify_one();
    }
}

impl Turns for (parking_lot::Mutex<usize>, parking_lot::Condvar) {
    fn pass(&self, from: usize, to: usize) {
        let mut turn = self.0.lock();
        self.1.wait_while(&mut turn, |turn| *turn != from);
        *turn = to;
        drop(turn);
        self.1.notify_one();
    }
}

impl Turns for Turn {
    fn pass(&self, from: usize, to: usize) {
        *self.1.wait_while(self.0.lock().wait(), |turn| *turn != from).wait() = to;
        self.1.notify_one();
    }
}

fn turns_here<T: Turns>(ctx: &Context, stacks: &impl Stacks) -> Result<Sample> {
    ctx.time(STEP, |ops| {
        let turns = Arc::new(T::default());
        let both = [(0, 1), (1, 0)].map(|(from, to)| {
            let turns = Arc::clone(&turns);
            stacks.start(move || (0..ops).for_each(|_| turns.pass(from, to)))
        });
        both.into_iter().try_for_each(|running| running())
    })
}

fn turns(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    ctx.time(STEP, |ops| {
        let starter = runtime.starter();
        runtime.run(async move {
            let turns = Arc::new(Turn::default());
            let both = [(0, 1), (1, 0)].map(|(from, to)| {
                let turns = Arc::clone(&turns);
                starter.start(async move {
                    for _ in 0..ops {
                        *turns.1.wait_while(turns.0.lock().await, |turn| *turn != from).await = to;
                        turns.1.notify_one();
                    }
                })
            });
            for task in both {
                task.await?;
            }
            anyhow::Ok(())
        })?
    })
}

/// A token of a tree.
trait Token: Default + Send + Sync + 'static {
    fn child(&self) -> Self;

    fn cancel(&self);

    fn cancelled(&self) -> impl Future<Output = ()> + Send;
}

/// Implements [`Token`].
macro_rules! tokens {
    ($($token:ty),*) => {$(
        impl Token for $token {
            fn child(&self) -> Self {
                self.child_token()
            }

            fn cancel(&self) {
                Self::cancel(self);
            }

            fn cancelled(&self) -> impl Future<Output = ()> + Send {
                Self::cancelled(self)
            }
        }
    )*};
}

tokens!(tokio_util::sync::CancellationToken, twoply::sync::CancellationToken);

fn lives<T: Token>(ctx: &Context, runtime: &impl Tasks) -> Result<Sample> {
    ctx.time(STEP, |ops| {
        runtime.run(async move {
            let (parent, mut waited) = (T::default(), 0);
            for _ in 0..ops {
                let child = parent.child();
                let mut cancelled = pin!(child.cancelled());
                waited += usize::from(
                    cancelled.as_mut().poll(&mut Polling::from_waker(Waker::noop())).is_pending(),
                );
                child.cancel();
                cancelled.await;
            }
            check_count(ops, waited)
        })?
    })
}
