//! Locks: a task locks, counts, and unlocks, over and over.
//!
//! With one task nobody else wants the lock: the figure is the price of a lock. With several, the section is
//! as short, and all want it all the time. With `yields=1` each gives way to the others while it holds the
//! lock, as one does that waits for something: so others are there before the lock is free, and the figure is
//! the price of handing it over, with that of a yield. Of sixteen locks of an `rwlock` as many are for
//! writing as `writes` says, or one; a `semaphore` has one permit.
//!
//! What differs: tokio's locks go to whoever waits longest. Ours of mutexes, async-lock's (which is `smol`),
//! parking_lot's and std's go to whoever comes first, unless somebody is about to starve. Straight-line code
//! (std, parking_lot, `twoply-native`, `twoply-fibers`) blocks for them; the tasks of `twoply-native` are
//! threads. `tokio-current` and `twoply-local` have one thread whatever `workers` says: their tasks never
//! meet at a lock, unless they give way while they hold it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::Result;
use twoply::Wait as _;
use twoply::future::yield_now;

use super::{Case, Context, Sample, check_count, timed};
use crate::runtimes::{self, Smol, Stacks, Start as _, Tasks, Threads};

type Systems = &'static [(&'static str, super::Run)];

/// The cases of one kind of lock.
const fn cases(workload: &'static str, systems: Systems) -> [Case; 3] {
    [
        timed(workload, &[("tasks", 1), ("workers", 1)], systems),
        timed(workload, &[("tasks", 4), ("workers", 2)], systems),
        Case { quick: false, ..timed(workload, &[("tasks", 4), ("workers", 2), ("yields", 1)], systems) },
    ]
}

const MUTEX: Systems = &[
    ("tokio-current", tokio::<tokio::sync::Mutex<Value>>),
    ("tokio-multi", tokio::<tokio::sync::Mutex<Value>>),
    ("smol", smol::<smol::lock::Mutex<Value>>),
    ("std", threads::<std::sync::Mutex<Value>>),
    ("parking_lot", threads::<parking_lot::Mutex<Value>>),
    ("twoply-local", twoply_local::<twoply::sync::Mutex<Value>>),
    ("twoply-green", twoply::<twoply::sync::Mutex<Value>>),
    ("twoply-fibers", twoply_here::<twoply::sync::Mutex<Value>>),
    ("twoply-native", twoply_here::<twoply::sync::Mutex<Value>>),
];

const RWLOCK: Systems = &[
    ("tokio-current", tokio::<tokio::sync::RwLock<Value>>),
    ("tokio-multi", tokio::<tokio::sync::RwLock<Value>>),
    ("smol", smol::<smol::lock::RwLock<Value>>),
    ("std", threads::<std::sync::RwLock<Value>>),
    ("parking_lot", threads::<parking_lot::RwLock<Value>>),
    ("twoply-local", twoply_local::<twoply::sync::RwLock<Value>>),
    ("twoply-green", twoply::<twoply::sync::RwLock<Value>>),
    ("twoply-fibers", twoply_here::<twoply::sync::RwLock<Value>>),
    ("twoply-native", twoply_here::<twoply::sync::RwLock<Value>>),
];

const SEMAPHORE: Systems = &[
    ("tokio-current", tokio::<WithPermit<tokio::sync::Semaphore>>),
    ("tokio-multi", tokio::<WithPermit<tokio::sync::Semaphore>>),
    ("smol", smol::<WithPermit<smol::lock::Semaphore>>),
    ("twoply-local", twoply_local::<WithPermit<twoply::sync::Semaphore>>),
    ("twoply-green", twoply::<WithPermit<twoply::sync::Semaphore>>),
    ("twoply-fibers", twoply_here::<WithPermit<twoply::sync::Semaphore>>),
    ("twoply-native", twoply_here::<WithPermit<twoply::sync::Semaphore>>),
];

/// The price of one kind of access, and readers who are never alone.
const ACCESS: &[Case] = &[
    timed("rwlock", &[("tasks", 1), ("workers", 1), ("writes", 0)], RWLOCK),
    timed("rwlock", &[("tasks", 1), ("workers", 1), ("writes", 16)], RWLOCK),
    Case { quick: false, ..timed("rwlock", &[("tasks", 4), ("workers", 2), ("writes", 0)], RWLOCK) },
];

pub(crate) const CASES: [&[Case]; 4] =
    [&cases("mutex", MUTEX), &cases("rwlock", RWLOCK), ACCESS, &cases("semaphore", SEMAPHORE)];

/// What is counted with. Readers of a lock count, too.
#[derive(Default)]
struct Value(AtomicUsize);

impl Value {
    /// Counts one more. Nobody else does at the same time.
    fn add(&self) {
        self.0.store(self.0.load(Relaxed) + 1, Relaxed);
    }

    /// Counts one more. Others may do so at the same time.
    fn add_shared(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn sum(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// The way in which a task uses a lock.
#[derive(Clone, Copy)]
struct Usage {
    /// How many of sixteen locks of an `rwlock` are for writing.
    writes: usize,
    /// Whether it gives way to others while it holds the lock.
    yields: bool,
}

impl Usage {
    fn of(ctx: &Context) -> Self {
        Self { writes: ctx.param_or("writes", 1), yields: ctx.param_or("yields", 0) != 0 }
    }

    /// Whether an `rwlock` is locked for writing in this round.
    fn writes_in(self, round: usize) -> bool {
        round % 16 < self.writes
    }

    /// Gives way to others, if that is to be.
    async fn give_way(self) {
        if self.yields {
            yield_now().await;
        }
    }
}

/// A lock with a value that is counted with.
trait Locked: Send + Sync + 'static {
    fn new() -> Self;

    /// What has been counted. Nobody holds the lock.
    fn sum(self) -> usize;
}

/// A lock for async tasks.
trait LockedAsync: Locked {
    /// Counts one more while it holds the lock, after it has given way to others if `usage` says so.
    fn count(&self, round: usize, usage: Usage) -> impl Future<Output = ()> + Send;
}

/// A lock for straight-line code.
trait LockedHere: Locked {
    /// As [`LockedAsync::count`].
    fn count_here(&self, round: usize, usage: Usage);
}

/// A semaphore of one permit, and the value that is counted with by whoever has it.
struct WithPermit<S>(S, Value);

/// Implements [`Locked`] for a lock, which `$new` makes of a value and `$into` makes a value again.
macro_rules! locked {
    ($($lock:ty: $new:expr, $into:expr;)*) => {$(
        impl Locked for $lock {
            fn new() -> Self {
                $new(Value::default())
            }

            fn sum(self) -> usize {
                let into: fn(Self) -> Value = $into;
                into(self).sum()
            }
        }
    )*};
}

locked! {
    tokio::sync::Mutex<Value>: Self::new, Self::into_inner;
    smol::lock::Mutex<Value>: Self::new, Self::into_inner;
    std::sync::Mutex<Value>: Self::new, |lock| lock.into_inner().unwrap_or_default();
    parking_lot::Mutex<Value>: Self::new, Self::into_inner;
    twoply::sync::Mutex<Value>: Self::new, Self::into_inner;
    tokio::sync::RwLock<Value>: Self::new, Self::into_inner;
    smol::lock::RwLock<Value>: Self::new, Self::into_inner;
    std::sync::RwLock<Value>: Self::new, |lock| lock.into_inner().unwrap_or_default();
    parking_lot::RwLock<Value>: Self::new, Self::into_inner;
    twoply::sync::RwLock<Value>: Self::new, Self::into_inner;
    WithPermit<tokio::sync::Semaphore>: |value| WithPermit(tokio::sync::Semaphore::new(1), value), |lock| lock.1;
    WithPermit<smol::lock::Semaphore>: |value| WithPermit(smol::lock::Semaphore::new(1), value), |lock| lock.1;
    WithPermit<twoply::sync::Semaphore>: |value| WithPermit(twoply::sync::Semaphore::new(1), value), |lock| lock.1;
}

/// Implements [`LockedAsync`] for mutexes, read-write locks and semaphores.
macro_rules! locked_async {
    (mutex $($lock:ty)*) => {$(
        impl LockedAsync for $lock {
            async fn count(&self, _: usize, usage: Usage) {
                let value = self.lock().await;
                usage.give_way().await;
                value.add();
            }
        }
    )*};
    (rwlock $($lock:ty)*) => {$(
        impl LockedAsync for $lock {
            async fn count(&self, round: usize, usage: Usage) {
                if usage.writes_in(round) {
                    let value = self.write().await;
                    usage.give_way().await;
                    value.add();
                } else {
                    let value = self.read().await;
                    usage.give_way().await;
                    value.add_shared();
                }
            }
        }
    )*};
    (semaphore $($lock:ty)*) => {$(
        impl LockedAsync for $lock {
            async fn count(&self, _: usize, usage: Usage) {
                let _permit = self.0.acquire().await;
                usage.give_way().await;
                self.1.add();
            }
        }
    )*};
}

locked_async! { mutex tokio::sync::Mutex<Value> smol::lock::Mutex<Value> twoply::sync::Mutex<Value> }
locked_async! { rwlock tokio::sync::RwLock<Value> smol::lock::RwLock<Value> twoply::sync::RwLock<Value> }
locked_async! {
    semaphore WithPermit<tokio::sync::Semaphore> WithPermit<smol::lock::Semaphore> WithPermit<twoply::sync::Semaphore>
}

/// Implements [`LockedHere`]: `$lock`, `$read` and `$write` block until there is access, and `$yield` gives
/// way.
macro_rules! locked_here {
    (mutex $lock:ty, $yield:expr, |$this:ident| $locked:expr) => {
        impl LockedHere for $lock {
            fn count_here(&self, _: usize, usage: Usage) {
                let $this = self;
                let value = $locked;
                if usage.yields {
                    $yield;
                }
                value.add();
            }
        }
    };
    (rwlock $lock:ty, $yield:expr, |$this:ident| $read:expr, $write:expr) => {
        impl LockedHere for $lock {
            fn count_here(&self, round: usize, usage: Usage) {
                let $this = self;
                if usage.writes_in(round) {
                    let value = $write;
                    if usage.yields {
                        $yield;
                    }
                    value.add();
                } else {
                    let value = $read;
                    if usage.yields {
                        $yield;
                    }
                    value.add_shared();
                }
            }
        }
    };
}

locked_here!(mutex std::sync::Mutex<Value>, std::thread::yield_now(), |this| match this.lock() {
    Ok(value) => value,
    Err(poisoned) => poisoned.into_inner(),
});
locked_here!(mutex parking_lot::Mutex<Value>, std::thread::yield_now(), |this| this.lock());
locked_here!(mutex twoply::sync::Mutex<Value>, yield_now().wait(), |this| this.lock().wait());
locked_here!(rwlock std::sync::RwLock<Value>, std::thread::yield_now(), |this| match this.read() {
    Ok(value) => value,
    Err(poisoned) => poisoned.into_inner(),
}, match this.write() {
    Ok(value) => value,
    Err(poisoned) => poisoned.into_inner(),
});
locked_here!(rwlock parking_lot::RwLock<Value>, std::thread::yield_now(), |this| this.read(), this.write());
locked_here!(rwlock twoply::sync::RwLock<Value>, yield_now().wait(), |this| this.read().wait(), this.write().wait());

impl LockedHere for WithPermit<twoply::sync::Semaphore> {
    fn count_here(&self, _: usize, usage: Usage) {
        let _permit = self.0.acquire().wait();
        if usage.yields {
            yield_now().wait();
        }
        self.1.add();
    }
}

/// A step: how often each task locks, at least, so that what starting it costs is not seen.
const STEP: usize = 1_000;

/// Has async tasks count behind one lock.
fn tasks<L: LockedAsync>(ctx: &Context, runtime: &impl Tasks) -> Result<Sample> {
    let (tasks, usage) = (ctx.param("tasks"), Usage::of(ctx));
    ctx.time(STEP * tasks, |ops| {
        let starter = runtime.starter();
        let sum = runtime.run(async move {
            let lock = Arc::new(L::new());
            let started: Vec<_> = (0..tasks)
                .map(|_| {
                    let lock = Arc::clone(&lock);
                    starter.start(async move {
                        for round in 0..ops / tasks {
                            lock.count(round, usage).await;
                        }
                    })
                })
                .collect();
            for task in started {
                task.await?;
            }
            anyhow::Ok(Arc::into_inner(lock).map(L::sum))
        })??;
        check_count(ops, sum.unwrap_or(0))
    })
}

/// Has straight-line code on stacks of its own count behind one lock.
fn stacks<L: LockedHere>(ctx: &Context, stacks: &impl Stacks) -> Result<Sample> {
    let (tasks, usage) = (ctx.param("tasks"), Usage::of(ctx));
    ctx.time(STEP * tasks, |ops| {
        let lock = Arc::new(L::new());
        let started: Vec<_> = (0..tasks)
            .map(|_| {
                let lock = Arc::clone(&lock);
                stacks.start(move || (0..ops / tasks).for_each(|round| lock.count_here(round, usage)))
            })
            .collect();
        started.into_iter().try_for_each(|running| running())?;
        check_count(ops, Arc::into_inner(lock).map_or(0, L::sum))
    })
}

fn tokio<L: LockedAsync>(ctx: &Context) -> Result<Sample> {
    tasks::<L>(ctx, &runtimes::tokio(ctx)?)
}

fn smol<L: LockedAsync>(ctx: &Context) -> Result<Sample> {
    tasks::<L>(ctx, &Smol::new(ctx.workers()))
}

fn threads<L: LockedHere>(ctx: &Context) -> Result<Sample> {
    stacks::<L>(ctx, &Threads)
}

fn twoply<L: LockedAsync>(ctx: &Context) -> Result<Sample> {
    tasks::<L>(ctx, &runtimes::twoply(ctx)?)
}

fn twoply_local<L: LockedAsync>(ctx: &Context) -> Result<Sample> {
    tasks::<L>(ctx, &runtimes::local()?)
}

fn twoply_here<L: LockedHere>(ctx: &Context) -> Result<Sample> {
    stacks::<L>(ctx, &runtimes::twoply(ctx)?)
}
