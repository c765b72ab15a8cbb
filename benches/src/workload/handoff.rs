//! Ping-pong between two OS threads: the time of a round trip, which is two messages.
//!
//! The limit is one word that the two threads hand to and fro with nothing but `futex`: each hand-over sleeps
//! in the kernel and is woken by it. A channel may be *faster* than this limit by spinning before it sleeps;
//! then it pays with CPU time, which is why that stands beside it. The figures have two levels: waking a
//! thread on an idle core takes tens of microseconds, on the core that the waker is about to leave it takes a
//! few, and the kernel chooses. So look at minimum and maximum too.
//!
//! What differs: kanal spins and yields for long, std's bounded channel and crossbeam's (which is the same
//! code) for some rounds, flume parks at once. Ours (`twoply-native`) yields some rounds before it parks. In
//! `twoply-mixed` one end is a native task and the other a green one on its only worker, an async task or
//! (`-fibers`) straight-line code.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use rustix::thread::futex;

use twoply::channel;

use super::{Case, Context, Sample, pingpong, timed};
use crate::ends::{GiveHere, TakeHere};
use crate::runtimes::{self, Stacks, Threads};

pub(crate) const CASES: &[Case] = &[timed(
    "thread-pingpong",
    &[("threads", 2)],
    &[
        ("limit-futex", futex_word),
        ("std-mpsc", std_mpsc),
        ("kanal", kanal),
        ("flume", flume),
        ("crossbeam", crossbeam),
        ("twoply-native", twoply_native),
        ("twoply-mixed", twoply_mixed),
        ("twoply-mixed-fibers", twoply_mixed_fibers),
    ],
)];

/// Measures round trips between straight-line code here and straight-line code there over what `channel`
/// makes.
fn round_trips<S: GiveHere, R: TakeHere>(
    ctx: &Context,
    here: &impl Stacks,
    there: &impl Stacks,
    channel: impl Fn(usize) -> (S, R),
) -> Result<Sample> {
    ctx.time(1, |ops| pingpong::round_trips_here(ops, here, there, channel(1), channel(1)))
}

fn std_mpsc(ctx: &Context) -> Result<Sample> {
    round_trips(ctx, &Threads, &Threads, std::sync::mpsc::sync_channel)
}

fn kanal(ctx: &Context) -> Result<Sample> {
    round_trips(ctx, &Threads, &Threads, kanal::bounded)
}

fn flume(ctx: &Context) -> Result<Sample> {
    round_trips(ctx, &Threads, &Threads, flume::bounded)
}

fn crossbeam(ctx: &Context) -> Result<Sample> {
    round_trips(ctx, &Threads, &Threads, crossbeam_channel::bounded)
}

fn twoply_native(ctx: &Context) -> Result<Sample> {
    let native = runtimes::twoply_named("native", 0)?;
    round_trips(ctx, &native, &native, channel::bounded)
}

fn twoply_mixed(ctx: &Context) -> Result<Sample> {
    let (native, green) = (runtimes::twoply_named("native", 0)?, runtimes::twoply_named("green", 1)?);
    ctx.time(1, |ops| pingpong::mixed_round_trips(ops, &native, &green))
}

fn twoply_mixed_fibers(ctx: &Context) -> Result<Sample> {
    let (native, fibers) = (runtimes::twoply_named("native", 0)?, runtimes::twoply_named("fibers", 1)?);
    round_trips(ctx, &native, &fibers, channel::bounded)
}

fn futex_word(ctx: &Context) -> Result<Sample> {
    ctx.time(1, hand_over)
}

/// Two threads count one word up in turns: the one makes it odd, the other even.
fn hand_over(ops: usize) -> Result<()> {
    let word = Arc::new(AtomicU32::new(0));
    let take_turns = move |word: &AtomicU32, first: u32| {
        // The word counts turns, so it wraps where they do.
        let mut turn = first;
        for _ in 0..ops {
            loop {
                let seen = word.load(Ordering::Acquire);
                if seen == turn {
                    break;
                }
                sleep_until_changed(word, seen)?;
            }
            // Release, for the Acquire above: what this thread did in its turn is seen in the other's.
            word.store(turn.wrapping_add(1), Ordering::Release);
            futex::wake(word, futex::Flags::PRIVATE, 1).context("waking a futex")?;
            turn = turn.wrapping_add(2);
        }
        anyhow::Ok(())
    };
    let shared = word.clone();
    let pong = thread::spawn(move || take_turns(&shared, 1));
    take_turns(&word, 0)?;
    pong.join().ok().context("the other thread panicked")??;
    let turns = word.load(Ordering::Acquire);
    ensure!(turns == (ops as u32).wrapping_mul(2), "{turns} turns for {ops} rounds");
    Ok(())
}

fn sleep_until_changed(word: &AtomicU32, seen: u32) -> Result<()> {
    match futex::wait(word, futex::Flags::PRIVATE, seen, None) {
        // AGAIN: the word had changed already. INTR: a signal; the caller looks again.
        Ok(()) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("waiting on a futex"),
    }
}
