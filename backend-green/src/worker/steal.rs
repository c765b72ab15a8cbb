//! The work of a worker for the others: it steals when it is idle, and stands in for one that is held up.
//!
//! Called by the worker's own loop alone. A worker is *stuck* while it is in the middle of a poll that goes
//! on and on: its events wait, and what it has queued. Two notice that. The [watchdog](crate::watchdog) marks
//! it, and wakes a worker that sleeps; that is a matter of milliseconds. And a worker that is busy itself
//! looks at one of the others when its own reactor has its turn: a worker that always has something to do is
//! the one that the watchdog cannot wake, and never gets to stealing. What cannot be helped with are the
//! stuck worker's suspended fibers.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use twoply_core::backend::Job;

use super::turn_for;
use crate::core::{Core, PeerWatch};
use crate::counts::Counts;
use crate::scheduler::{Remote, Shared};

/// The time between two looks, at least: a poll that takes longer than this is helped with.
const BETWEEN: Duration = Duration::from_micros(100);

impl Core {
    /// Takes half of what another worker has queued.
    pub(super) fn steal(&self, shared: &Shared, remote: &Remote) -> Option<Job> {
        let others = shared.workers.len();
        let start = self.next_random() as usize % others;
        for offset in 0..others {
            let victim = (start + offset) % others;
            if victim == self.index {
                continue;
            }
            let victim = &shared.workers[victim];
            let stolen = victim.stealer.steal_into(&self.local).or_else(|| {
                let stuck = victim.counts.stuck.load(Ordering::Relaxed);
                stuck.then(|| self.help_stuck(shared, victim)).and_then(|()| self.local_job())
            });
            if stolen.is_some() {
                Counts::bump(&remote.counts.stolen);
                return stolen;
            }
        }
        None
    }

    /// Stands in for another worker if that is still in the poll in which it was at the last call, and
    /// otherwise has an eye on the next one from now on.
    pub(super) fn check_peer(&self, shared: &Shared, remote: &Remote, time: Instant) {
        let PeerWatch { worker, polls, at } = &self.peer_watch;
        if time.duration_since(at.get()) < BETWEEN {
            return;
        }
        at.set(time);
        let seen = &shared.workers[worker.get()];
        let now = seen.counts.polls.load(Ordering::Relaxed);
        if now == polls.get()
            && seen.counts.current.load(Ordering::Relaxed) != 0
            && worker.get() != self.index
        {
            self.help_stuck(shared, seen);
            Counts::bump(&remote.counts.stolen);
        } else {
            let next = (worker.get() + 1) % shared.workers.len();
            let next = if next == self.index { (next + 1) % shared.workers.len() } else { next };
            worker.set(next);
            polls.set(shared.workers[next].counts.polls.load(Ordering::Relaxed));
        }
    }

    /// Takes over what a stuck worker has queued, and handles its events.
    fn help_stuck(&self, shared: &Shared, victim: &Remote) {
        // The job that the stuck worker would have run next comes first, as it would have there.
        let queued = || victim.stealer.steal_lifo().or_else(|| victim.stealer.steal_into(&self.local));
        let next = || queued().or_else(|| victim.load.assigned.pop());
        while let Some(job) = next() {
            self.local.push(job, &shared.injector);
        }
        self.while_turning(|| turn_for(victim));
    }
}
