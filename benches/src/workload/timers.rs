//! Timers: 100,000 sleepers with random deadlines within one second. How late is each of them?
//!
//! All sleepers have been spawned before the first deadline is due. The deadlines come from a fixed seed, so
//! they are the same for all systems. A sleeper that wakes early fails the run.
//!
//! The limit is the kernel's own lateness: one thread that walks over the sorted deadlines and sleeps on a
//! timer descriptor before each that is still to come.
//!
//! What differs: tokio's timers count in milliseconds and round up, so about one millisecond of its lateness
//! is its resolution, and its wheel fires in groups, which saves CPU time; smol's `Timer` is exact and kept
//! in an ordered map under a lock. Ours are exact too. In `twoply-fibers` each sleeper is straight-line code
//! that blocks its fiber.

use std::iter;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use twoply::Wait as _;
use twoply::time::sleep_until;

use super::{Better, Case, Context, Measure, Sample, check_count};
use crate::runtimes::{self, Smol, Tasks as _};
use crate::usage;

const LATENESS: &[Measure] = &[
    Measure { name: "p50", unit: "us late", better: Better::Lower },
    Measure { name: "p99", unit: "us late", better: Better::Lower },
    Measure { name: "max", unit: "us late", better: Better::Lower },
];

pub(crate) const CASES: &[Case] = &[Case {
    workload: "timers",
    params: &[("sleepers", 100_000), ("workers", 2)],
    measures: LATENESS,
    quick: true,
    systems: &[
        ("limit-timerfd", timer_descriptor),
        ("tokio-multi", tokio),
        ("smol", smol),
        ("twoply-green", twoply),
        ("twoply-fibers", twoply_straight),
    ],
}];

/// The time in which the deadlines lie.
const SPREAD: Duration = Duration::from_secs(1);

/// The time to spawn all sleepers, and to have each fall asleep, before the first deadline: most of it is for
/// those that need a stack each.
const LEAD: Duration = Duration::from_millis(1000);

/// That many deadlines, in random order.
fn deadlines(count: usize) -> Vec<Instant> {
    let start = Instant::now() + LEAD;
    // Xorshift (Marsaglia, 2003) with a fixed seed: good enough to scatter, and the same for everyone.
    let scattered = iter::successors(Some(0x2545_F491_4F6C_DD1D_u64), |&x| {
        let x = x ^ (x << 13);
        let x = x ^ (x >> 7);
        Some(x ^ (x << 17))
    });
    let span = SPREAD.as_nanos() as u64;
    scattered.take(count).map(|x| start + Duration::from_nanos(x % span)).collect()
}

/// How late a sleeper is that has just woken.
fn lateness(deadline: Instant) -> Result<Duration> {
    Instant::now().checked_duration_since(deadline).context("a sleeper woke before its deadline")
}

/// Checks that no sleeper is missing and reports the quantiles.
fn report(ctx: &Context, spawned: Instant, cpu_before: Duration, late: Vec<Duration>) -> Result<Sample> {
    ensure!(spawned.elapsed() >= LEAD + SPREAD / 2, "the sleepers did not sleep");
    check_count(ctx.param("sleepers"), late.len())?;
    let cpu = usage::cpu_time() - cpu_before;
    let mut histogram = Histogram::<u64>::new(3)?;
    for late in &late {
        histogram.record(late.as_nanos() as u64)?;
    }
    let micros = |nanos: u64| nanos as f64 / 1e3;
    let values = vec![
        micros(histogram.value_at_quantile(0.5)),
        micros(histogram.value_at_quantile(0.99)),
        micros(histogram.max()),
    ];
    Ok(Sample::new(values, late.len(), cpu)?.with_latency(&histogram))
}

/// The sleepers must all be there before the first deadline, or they are late because of their spawner.
fn check_lead(deadlines: &[Instant]) -> Result<()> {
    let first = deadlines.iter().min().context("no deadlines")?;
    ensure!(Instant::now() < *first, "spawning took longer than {LEAD:?}");
    Ok(())
}

fn timer_descriptor(ctx: &Context) -> Result<Sample> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::empty())?;
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    let (start, cpu_before) = (Instant::now(), usage::cpu_time());
    let mut deadlines = deadlines(ctx.param("sleepers"));
    deadlines.sort();
    let mut late = Vec::with_capacity(deadlines.len());
    for deadline in deadlines {
        let left = deadline.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            let it_value = Timespec::try_from(left)?;
            timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: zero, it_value })?;
            rustix::io::read(&timer, &mut [0_u8; 8])?;
        }
        late.push(lateness(deadline)?);
    }
    report(ctx, start, cpu_before, late)
}

fn tokio(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let (start, cpu_before) = (Instant::now(), usage::cpu_time());
    let deadlines = deadlines(ctx.param("sleepers"));
    let late = runtime.block_on(runtime.spawn(async move {
        let sleep = |deadline: Instant| async move {
            tokio::time::sleep_until(deadline.into()).await;
            lateness(deadline)
        };
        let sleepers: Vec<_> = deadlines.iter().map(|deadline| tokio::spawn(sleep(*deadline))).collect();
        check_lead(&deadlines)?;
        let mut late = Vec::with_capacity(sleepers.len());
        for sleeper in sleepers {
            late.push(sleeper.await??);
        }
        anyhow::Ok(late)
    }))??;
    report(ctx, start, cpu_before, late)
}

fn smol(ctx: &Context) -> Result<Sample> {
    let smol = Smol::new(ctx.workers());
    let (start, cpu_before) = (Instant::now(), usage::cpu_time());
    let deadlines = deadlines(ctx.param("sleepers"));
    let executor = smol.executor.clone();
    let late = smol.run(async move {
        let sleep = |deadline: Instant| async move {
            smol::Timer::at(deadline).await;
            lateness(deadline)
        };
        let sleepers: Vec<_> = deadlines.iter().map(|deadline| executor.spawn(sleep(*deadline))).collect();
        check_lead(&deadlines)?;
        let mut late = Vec::with_capacity(sleepers.len());
        for sleeper in sleepers {
            late.push(sleeper.await?);
        }
        anyhow::Ok(late)
    })??;
    report(ctx, start, cpu_before, late)
}

fn twoply(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let (start, cpu_before) = (Instant::now(), usage::cpu_time());
    let deadlines = deadlines(ctx.param("sleepers"));
    let late = runtime.run(async move {
        let sleep = |deadline: Instant| async move {
            sleep_until(deadline).await;
            lateness(deadline)
        };
        let sleepers: Vec<_> = deadlines.iter().map(|deadline| twoply::spawn(sleep(*deadline))).collect();
        check_lead(&deadlines)?;
        let mut late = Vec::with_capacity(sleepers.len());
        for sleeper in sleepers {
            late.push(sleeper.await??);
        }
        anyhow::Ok(late)
    })??;
    report(ctx, start, cpu_before, late)
}

fn twoply_straight(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let (start, cpu_before) = (Instant::now(), usage::cpu_time());
    let deadlines = deadlines(ctx.param("sleepers"));
    let late = runtime.run_fn(move || {
        let sleep = |deadline: Instant| {
            move || {
                sleep_until(deadline).wait();
                lateness(deadline)
            }
        };
        let sleepers: Vec<_> = deadlines.iter().map(|deadline| twoply::spawn_fn(sleep(*deadline))).collect();
        check_lead(&deadlines)?;
        let mut late = Vec::with_capacity(sleepers.len());
        for sleeper in sleepers {
            late.push(sleeper.wait()??);
        }
        anyhow::Ok(late)
    })??;
    report(ctx, start, cpu_before, late)
}
