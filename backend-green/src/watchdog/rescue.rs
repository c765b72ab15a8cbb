//! Takes the worker from a thread that is stuck in a poll, and has another thread carry it.
//!
//! This is what Go's `sysmon` does with the processors of threads that stay in a system call. It needs no
//! idle worker, so it is what is left when all of them are stuck: behind a lock whose holder waits for a
//! timer in the reactor of one of them, for example. The queue, the timers and the reactor go with the
//! worker; the stuck thread finds its own cell empty when the code comes back, and keeps the task till the
//! poll ends, as after any wait that blocks. What cannot go along are suspended fibers: they wait until their
//! thread comes back and asks for its worker.
//!
//! A worker is taken only when something waits for it. Each rescue costs a thread for as long as the poll
//! lasts, out of those that [the runtime may have](crate::Builder::max_threads). Threads that block cost
//! nothing else, so nothing else bounds their number. Those that compute want cores: the more of them there
//! are, the longer the next one keeps its worker ([`patience`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use twoply_core::reactor::Reactor;

use crate::core::Core;
use crate::counts::Counts;
use crate::launch::launch;
use crate::lock::lock;
use crate::scheduler::{Remote, Shared};
use crate::watchdog_state::{Rescued, TICK};
use crate::worker;

/// The time that a poll must last before its worker is taken: a hundred times what that costs. Of code that
/// computes, the time counts in which it has had a core: one that only waits for a core would not be helped
/// by another one that does.
const PATIENCE: Duration = Duration::from_millis(2);

/// The number of times that the patience with code that computes is doubled at most: to 128 ms.
const DOUBLINGS: usize = 6;

/// A poll from which a worker may be taken.
pub(super) struct Stuck {
    /// The index of the worker that polls.
    pub(super) worker: usize,
    /// The worker's count of polls: at another count, this poll is over.
    pub(super) polls: u64,
    /// The number of the task.
    pub(super) task: u64,
    /// The time since when the poll has been going on.
    pub(super) since: Instant,
    /// The processor time that the worker's thread had used when the worker was found to be stuck.
    pub(super) used: Duration,
    /// True once the task has been reported.
    pub(super) reported: bool,
}

/// Has another thread carry the worker of `stuck`, if something waits for that and it has been long enough.
/// Returns whether it does.
pub(super) fn rescue(shared: &Arc<Shared>, stuck: &Stuck, now: Instant) -> bool {
    let remote = &shared.workers[stuck.worker];
    let held = now.duration_since(stuck.since);
    if held < PATIENCE || !is_wanted(shared, remote, now) {
        return false;
    }
    let Some(cell) = remote.cell() else { return false };
    let computes = is_running(remote.thread());
    // The worker was found to be stuck after a tick at least.
    if computes && TICK + processor_time(remote.thread()).saturating_sub(stuck.used) < patience(shared) {
        return false;
    }
    let counts = &remote.counts;
    let still = || {
        counts.polls.load(Ordering::Relaxed) == stuck.polls
            && counts.current.load(Ordering::Relaxed) == stuck.task
    };
    let thread = remote.thread();
    let mut refused = false;
    let taken = cell.revoke(still, |core| {
        let core = hand_on(shared, remote, core, stuck.task);
        refused = core.is_some();
        core
    });
    if taken {
        let Stuck { worker, task, since, reported, .. } = *stuck;
        if let Some(affinity) = &shared.affinity {
            affinity.free(thread);
        }
        lock(&shared.watch.rescued).push(Rescued { cell, worker, task, since, computes, reported });
    } else if refused {
        // There is no thread to be had. A task that waits for the reactor is woken at least: it may be what
        // the poll is stuck behind, and blocked on a thread of its own.
        worker::turn_for(remote);
    }
    taken
}

/// Gives a worker that has been taken from its thread to another one. Returns it when none can be had.
fn hand_on(shared: &Arc<Shared>, remote: &Remote, core: Box<Core>, task: u64) -> Option<Box<Core>> {
    let was_away = core.set_away(shared.stacks.is_some());
    remote.counts.current.store(0, Ordering::Relaxed);
    Counts::bump(&remote.counts.rescues);
    // A stack that cannot be left turns the reactor while it waits: the next carrier should not find it busy.
    remote.reactor.notify();
    let core = remote.request.fulfil(core)?;
    let (core, _) = launch(shared, core).err()?;
    Counts::bump(&remote.counts.refusals);
    core.set_away(was_away);
    remote.counts.current.store(task, Ordering::Relaxed);
    remote.counts.rescues.store(remote.counts.rescues.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    Some(core)
}

/// Returns how long code that computes keeps its worker. It doubles with each computing thread that has no
/// worker, for each worker: so events and others wait for a bounded time, and many tasks that compute are not
/// all begun at once.
fn patience(shared: &Shared) -> Duration {
    let computing =
        lock(&shared.watch.rescued).iter().filter(|poll| poll.computes && poll.is_stuck()).count();
    PATIENCE * (1 << (computing / shared.workers.len()).min(DOUBLINGS))
}

/// Returns true if anything waits for this worker that another thread could do.
fn is_wanted(shared: &Shared, remote: &Remote, now: Instant) -> bool {
    // The length counts the LIFO slot, too, which `is_empty` leaves to its owner.
    let queued = remote.stealer.len();
    queued > 0
        || remote.request.is_wanted()
        || !remote.load.assigned.is_empty()
        || !shared.injector.is_empty()
        || has_events(&remote.reactor, now)
}

/// Returns true if a turn of the reactor would have something to do.
fn has_events(reactor: &Reactor, now: Instant) -> bool {
    let mut fds = [PollFd::new(reactor, PollFlags::IN)];
    reactor.next_deadline().is_some_and(|deadline| deadline <= now)
        || poll(&mut fds, Some(&Default::default())).is_ok_and(|ready| ready > 0)
}

/// Returns true if a thread runs, or would if a core were free; false where that cannot be known.
pub(super) fn is_running(thread: i32) -> bool {
    let stat = std::fs::read(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
    // The name of the thread comes first, in parentheses, and may contain anything.
    let name_ends = stat.iter().rposition(|&byte| byte == b')');
    name_ends.is_some_and(|at| stat.get(at + 2) == Some(&b'R'))
}

/// Returns the processor time that a thread has used; zero where that cannot be known.
pub(super) fn processor_time(thread: i32) -> Duration {
    // The kernel numbers the clocks of threads so: the complement of the thread's number, that it is a
    // thread's, and that it counts what the scheduler does.
    let clock = (!thread << 3) | 0b110;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes to what it is lent, and nothing else. A thread that is gone has no clock: an
    // error.
    let told = unsafe { libc::clock_gettime(clock, &raw mut time) } == 0;
    if !told {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
