//! Notices a task that holds on to its worker, has others do what waits behind it, and names it.
//!
//! A thread of its own looks at the workers every few milliseconds while any of them is awake, and [every
//! one](cadence) while that may help; when all sleep, so does it, until one wakes. A worker that is still in
//! the same poll as at the last look is *stuck*: an idle worker is woken, which steals its queue, its LIFO
//! slot too, and handles its events. If something waits for the stuck worker nevertheless, because nobody is
//! idle or because more has come, it is [taken from its thread](rescue) at a later look, and another one
//! carries it. The watchdog's own thread runs neither tasks nor the handler of [reports](crate::reports).
//!
//! It also finds a new thread for a worker that has been [set aside](crate::handoff) for code which takes its
//! time. As long as workers are set aside it looks every [`FREQUENT_TICK`].

mod cadence;
mod rescue;

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

use twoply_core::task::TaskId;

use crate::counts::Counts;
use crate::launch::launch;
use crate::lock::lock;
use crate::scheduler::Shared;
use crate::watchdog_state::{LongPoll, TICK};
use cadence::{Cadence, Found};
use rescue::Stuck;

/// The time between two looks while workers are set aside: one is carried on after two looks at most. A look
/// each 100 us, which the kernel makes of it, is one part in fifty of a core.
const FREQUENT_TICK: Duration = Duration::from_micros(50);

/// The number of those looks in a row, without a worker being set aside anew, after which the watchdog takes
/// its time.
const FREQUENT_LOOKS: u32 = 100;

/// The time for which everybody must have been asleep before the watchdog sleeps, too.
const QUIET: Duration = Duration::from_millis(25);

/// The state in which a worker was at the last look.
#[derive(Clone, Copy)]
struct Seen {
    /// The number of polls that the worker had begun.
    polls: u64,
    /// The time since when that has been the number.
    since: Instant,
    /// The processor time that the worker's thread had used when the worker was found to be stuck.
    used: Option<Duration>,
    /// True once the worker's task has been reported.
    reported: bool,
    /// The number of times that the worker had been set aside.
    asides: u64,
}

/// Watches `shared` until its workers have ended.
pub(crate) fn watch(shared: &Arc<Shared>) {
    let watch = &shared.watch;
    let _ = watch.thread.set(std::thread::current());
    let unseen = Seen { polls: 0, since: Instant::now(), used: None, reported: false, asides: 0 };
    let mut seen = vec![unseen; shared.workers.len()];
    let mut quiet = Duration::ZERO;
    let mut calm = 0u32;
    let mut cadence = Cadence::new();
    while !watch.stopped.load(Ordering::Acquire) {
        if quiet > QUIET {
            watch.asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            while shared.all_asleep()
                && watch.asleep.load(Ordering::Relaxed)
                && !watch.stopped.load(Ordering::Acquire)
            {
                std::thread::park();
            }
            watch.asleep.store(false, Ordering::Relaxed);
            quiet = Duration::ZERO;
        }
        let pause = if watch.frequent.load(Ordering::Relaxed) { FREQUENT_TICK } else { cadence.pause };
        std::thread::park_timeout(pause);
        let now = Instant::now();
        let unreported = look_at_rescued(shared, now);
        quiet = if shared.all_asleep() && !unreported { quiet + pause } else { Duration::ZERO };
        let mut found = if unreported { Found::Long } else { Found::Nothing };
        for (worker, seen) in seen.iter_mut().enumerate() {
            found = found.max(look(shared, worker, seen, now));
        }
        cadence.looked(found, now);
        calm = if hand_off_set_aside(shared, &mut seen) { 0 } else { calm.saturating_add(1) };
        if calm >= FREQUENT_LOOKS && watch.frequent.load(Ordering::Relaxed) {
            calm = 0;
            watch.frequent.store(false, Ordering::Relaxed);
            // Pairs with the fence in `look_often`.
            fence(Ordering::SeqCst);
            if hand_off_set_aside(shared, &mut seen) {
                watch.frequent.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// Has another thread carry each worker that has been aside since the last look. Returns whether any was set
/// aside since, or still is.
fn hand_off_set_aside(shared: &Arc<Shared>, seen: &mut [Seen]) -> bool {
    let mut any = false;
    for (remote, seen) in shared.workers.iter().zip(seen) {
        let count = remote.handoff.count();
        any |= count != seen.asides;
        any |= remote.handoff.hand_off(seen.asides, |core| {
            Counts::bump(&remote.counts.handovers);
            let thread = remote.thread();
            match launch(shared, core) {
                Ok(()) => {
                    if let Some(affinity) = &shared.affinity {
                        affinity.free(thread);
                    }
                    None
                }
                Err((core, _)) => Some(core),
            }
        });
        seen.asides = count;
    }
    any
}

/// Looks at one worker, and has it helped if it is stuck.
fn look(shared: &Arc<Shared>, worker: usize, seen: &mut Seen, now: Instant) -> Found {
    let remote = &shared.workers[worker];
    let counts = &remote.counts;
    let polls = counts.polls.load(Ordering::Relaxed);
    let task = counts.current.load(Ordering::Relaxed);
    if polls != seen.polls || task == 0 {
        *seen = Seen { polls, since: now, used: None, reported: false, asides: seen.asides };
        if counts.stuck.load(Ordering::Relaxed) {
            counts.stuck.store(false, Ordering::Relaxed);
        }
        return if task == 0 { Found::Nothing } else { Found::Poll };
    }
    let Seen { since, .. } = *seen;
    let held = now.duration_since(since);
    if held < TICK {
        // An unpark ended the pause between two looks early: another look tells whether it is stuck.
        return Found::Stuck;
    }
    counts.stuck.store(true, Ordering::Relaxed);
    shared.notify_hint();
    if held >= shared.watch.limit && !seen.reported {
        seen.reported = true;
        report(shared, worker, task, held);
    }
    let thread = remote.thread();
    let time = rescue::processor_time(thread);
    let Some(used) = seen.used else {
        // An idle worker may help it first.
        seen.used = Some(time);
        return if rescue::is_running(thread) { Found::Stuck } else { Found::Long };
    };
    let stuck = Stuck { worker, polls, task, since, used, reported: seen.reported };
    let is_rescued = rescue::rescue(shared, &stuck, now);
    if is_rescued || time.saturating_sub(used) >= TICK { Found::Long } else { Found::Stuck }
}

/// Reports the tasks that hold threads up whose worker has been taken away, each once. Returns whether some
/// of them have not been reported yet.
fn look_at_rescued(shared: &Shared, now: Instant) -> bool {
    let (mut due, mut unreported) = (Vec::new(), false);
    lock(&shared.watch.rescued).retain_mut(|poll| {
        let held = now.duration_since(poll.since);
        if poll.is_stuck() && !poll.reported {
            poll.reported = held >= shared.watch.limit;
            match poll.reported {
                true => due.push((poll.worker, poll.task, held)),
                false => unreported = true,
            }
        }
        poll.is_stuck()
    });
    due.into_iter().for_each(|(worker, task, held)| report(shared, worker, task, held));
    unreported
}

/// Counts a task that has held its thread up for too long, and has the handler told.
fn report(shared: &Shared, worker: usize, task: u64, held: Duration) {
    shared.watch.long_polls.fetch_add(1, Ordering::Relaxed);
    if let Some(reports) = &shared.watch.reports
        && let Some(id) = TaskId::from_u64(task)
    {
        let task = shared.tasks.tasks().into_iter().find(|live| live.id() == id);
        reports.add(LongPoll { id, task, worker, held });
    }
}
