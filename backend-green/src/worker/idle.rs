//! An idle worker: it looks for work, sleeps when there is none, and can be woken.
//!
//! Called by the worker's own loop, and by the host of a worker that runs inside a foreign event loop. The
//! race between falling asleep and being given work is described in the [scheduler](crate::scheduler)'s
//! header.
//!
//! # How long it looks
//! A search is a bet: that work comes sooner than a sleeping processor could be woken. Each round of it costs
//! two system calls, and a sleep costs one. So searches are shorter after some that have found nothing
//! ([`Core::rounds`]), they end when another thread has wanted the processor meanwhile ([`ROUND_TIME`]), and
//! after several for nothing most are left out ([`PATIENCE`]): the worker sleeps at once, and searches now
//! and then to find out whether that pays again. The race is the same without a search: a worker that may not
//! search, because enough others do, goes to sleep in this way, too. One that has been picked to search does
//! so, and so does one that sees work in a queue.
//!
//! # Whose events it looks for
//! Its own. A worker that has no descriptors itself, as when one task has opened all connections of a pool,
//! looks for those of another instead ([`SEVERAL`]), unless that one does so itself, and has its share of
//! them. Otherwise it would live on what it steals, after a system call for nothing each time. An owner that
//! comes to sleep meanwhile gives its core away until the other one is back, which is at once.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{FAIR, turn_for};
use crate::core::{Core, Work};
use crate::counts::Counts;
use crate::fiber::TRIM_BATCH;
use crate::scheduler::{Remote, Shared};

/// The time for which a worker looks around at most. Where other threads want its processor, each look costs
/// a slice of theirs, milliseconds, in which an event could have woken it from its sleep.
const SPIN_TIME: Duration = Duration::from_micros(50);

/// The time that a round of looking takes where nobody else wants the processor: some system calls, but no
/// switch to another thread and back. In a longer one such a thread has run. That may have made the work that
/// this worker waits for, so there is one more look; then the worker leaves the processor to it.
const ROUND_TIME: Duration = Duration::from_micros(5);

/// The number of descriptors of one worker from which on another that has none looks for their events, too.
/// With fewer there is next to nothing to share: events would only change processors.
const SEVERAL: usize = 3;

/// The number of searches for nothing in a row after which a worker leaves most of them out.
const PATIENCE: u32 = 2;

/// From then on it searches in one of so many idle times.
const SELDOM: u32 = 16;

impl Core {
    /// Looks everywhere, for a while, then sleeps; until there is work.
    #[cold]
    pub(super) fn find_work(&self, shared: &Shared, remote: &Remote) -> Option<Work> {
        loop {
            if self.should_leave(shared, remote) {
                return None;
            }
            if self.is_search_due(shared)
                && let Some(work) = self.look_around(shared, remote)
            {
                return Some(work);
            }
            if self.trim_stacks(shared) {
                continue;
            }
            if shared.hooks.heed_parks() {
                self.stop_searching(shared);
                return Some(Work::Park);
            }
            self.sleep(shared, remote);
            if let Some(work) = self.local_work(shared, remote, 0).or_else(|| self.injected(shared)) {
                self.found(shared);
                return Some(work);
            }
        }
    }

    /// Returns whether this idle time is to begin with a look around.
    fn is_search_due(&self, shared: &Shared) -> bool {
        let fruitless = self.fruitless.get();
        if self.searching.get()
            || fruitless < PATIENCE
            || fruitless.is_multiple_of(SELDOM)
            || shared.has_work_for(self.index)
        {
            return true;
        }
        self.fruitless.set(fruitless.wrapping_add(1));
        false
    }

    /// Looks everywhere for a while, if this worker may search, and otherwise for what is this worker's own.
    fn look_around(&self, shared: &Shared, remote: &Remote) -> Option<Work> {
        if self.searching.get() || shared.sleepers.start_search(shared.workers.len()) {
            self.searching.set(true);
            let work = self.search(shared, remote)?;
            self.found(shared);
            return Some(work);
        }
        self.await_inbox(shared, remote)
    }

    /// Ends the search of this worker, if it searches, because it has found work; and has the next one woken
    /// if there is more.
    fn found(&self, shared: &Shared) {
        if self.searching.replace(false) {
            shared.wake_up(shared.sleepers.found(|| shared.has_work_for(self.index)));
        }
    }

    /// Waits a while for fibers of its own that another worker has woken, where that other one searches. They
    /// cannot be stolen, so nobody else would find them; and two that wake each other from two workers would
    /// sleep in turns.
    fn await_inbox(&self, shared: &Shared, remote: &Remote) -> Option<Work> {
        if shared.stacks.is_none() || self.away.get() {
            return None;
        }
        let rounds = self.inbox_rounds.get();
        let start = Instant::now();
        for _ in 0..=rounds {
            if !remote.inbox_is_empty() {
                self.fruitless.set(0);
                self.inbox_rounds.set((2 * rounds).min(shared.spin_rounds));
                return self.local_work(shared, remote, 0);
            }
            if shared.has_work_for(self.index) || start.elapsed() >= SPIN_TIME {
                break;
            }
            std::thread::yield_now();
        }
        self.inbox_rounds.set((rounds / 2).max(shared.spin_rounds.min(2)));
        None
    }

    /// Ends a search for nothing, because others must not count on this worker to notice their work
    /// meanwhile.
    fn stop_searching(&self, shared: &Shared) {
        if self.searching.replace(false) {
            shared.sleepers.end_search();
        }
    }

    /// Sleeps until there may be work. Called after a hook: there may be some by now.
    pub(super) fn sleep_after_hook(&self, shared: &Shared) {
        self.sleep(shared, &shared.workers[self.index]);
    }

    /// Does a little of what only idle workers do. Returns whether it did.
    fn trim_stacks(&self, shared: &Shared) -> bool {
        let Some(stacks) = shared.stacks.as_ref().filter(|stacks| stacks.is_untidy()) else { return false };
        self.stop_searching(shared);
        stacks.trim(TRIM_BATCH);
        true
    }

    /// Looks everywhere for some rounds, giving the processor away in between.
    fn search(&self, shared: &Shared, remote: &Remote) -> Option<Work> {
        let rounds = self.rounds.get();
        let start = Instant::now();
        let mut round_began = start;
        self.check_peer(shared, remote, start);
        let shares = self.shares_events(shared, remote);
        for round in 0..=rounds {
            match shares {
                // A worker that sleeps there, or turns it now, is left alone.
                Some(other) => self.while_turning(|| turn_for(other)),
                None => self.turn(remote, Some(Duration::ZERO)),
            }
            let work = self
                .local_work(shared, remote, 0)
                .or_else(|| self.injected(shared))
                .or_else(|| self.steal(shared, remote).map(Work::Job));
            if work.is_some() {
                if round > 0 {
                    self.fruitless.set(0);
                    self.rounds.set((2 * rounds).clamp(1, shared.spin_rounds));
                }
                return work;
            }
            if self.should_leave(shared, remote) {
                return None;
            }
            // One that spins is enough: more would take each other's cores. And none spins without giving the
            // processor away: whoever is to make the work may need it.
            let now = Instant::now();
            if shared.sleepers.searching() > 1 || now - start >= SPIN_TIME || now - round_began >= ROUND_TIME
            {
                break;
            }
            round_began = now;
            if round < rounds {
                std::thread::yield_now();
            }
        }
        // The search did not pay: the next one is shorter, but long enough to find out when that changes.
        self.fruitless.set(self.fruitless.get().wrapping_add(1));
        self.rounds.set((rounds / 2).max(shared.spin_rounds.min(8)));
        None
    }

    /// Returns another worker whose events this one looks for, because it waits for none of its own; `None`
    /// where it does, or the other one has few. It looks at one only, at random: that costs little, and the
    /// next search is soon. What comes to its own reactor meanwhile is seen to before it sleeps.
    ///
    /// With fibers it is left out: whoever has blocked on one goes on where it has, and would only be woken
    /// from another processor.
    fn shares_events<'a>(&self, shared: &'a Shared, own: &Remote) -> Option<&'a Remote> {
        let workers = shared.workers.len();
        if workers == 1
            || shared.stacks.is_some()
            || own.reactor.registered() != Some(0)
            || own.reactor.next_deadline().is_some()
        {
            return None;
        }
        let step = 1 + self.next_random() as usize % (workers - 1);
        let other = &shared.workers[(self.index + step) % workers];
        other.reactor.registered().is_some_and(|count| count >= SEVERAL).then_some(other)
    }

    /// Sleeps in the reactor until there is an event, a deadline or a notification; at once when there is
    /// work.
    fn sleep(&self, shared: &Shared, remote: &Remote) {
        let searches = self.searching.get();
        let sleeps = self.begin_sleep(shared, remote);
        if sleeps {
            Counts::bump(&remote.counts.sleeps);
            self.turn(remote, None);
        } else {
            self.turn(remote, Some(Duration::ZERO));
            // Another worker's queue that this one may not search now: its owner needs the processor more.
            std::thread::yield_now();
        }
        self.end_sleep(shared, searches && !sleeps);
    }

    /// Enters this worker among the sleepers. Returns false when there is work after all; it must get up in
    /// either case.
    fn begin_sleep(&self, shared: &Shared, remote: &Remote) -> bool {
        shared.sleepers.begin_sleep(self.index, self.searching.replace(false));
        // A rescue may have made fibers of this worker's own ready after it last looked.
        remote.reactor.prepare_park()
            && (self.away.get() || self.fibers.borrow().is_empty())
            && !shared.has_work_for(self.index)
            && !self.should_leave(shared, remote)
    }

    /// Leaves the sleepers; if it `searches`, to go on with that.
    fn end_sleep(&self, shared: &Shared, searches: bool) {
        self.searching.set(shared.sleepers.end_sleep(self.index, searches));
        shared.watch.wake();
    }

    /// Returns what to do next, if there is anything, for a host that sleeps by itself.
    pub(crate) fn next_ready(&self, shared: &Shared) -> Option<Work> {
        let remote = &shared.workers[self.index];
        self.rest(remote);
        let tick = self.next_tick();
        if tick.is_multiple_of(FAIR) {
            self.turn_out_of_turn(shared, remote);
            if let Some(job) = self.injected_out_of_turn(shared, remote) {
                return Some(Work::Job(job));
            }
        }
        self.local_work(shared, remote, tick).or_else(|| self.injected(shared)).or_else(|| {
            self.turn(remote, Some(Duration::ZERO));
            self.local_work(shared, remote, tick)
        })
    }

    /// Notes that the poll before this is over; what comes next is the host's.
    pub(crate) fn rest(&self, remote: &Remote) {
        remote.counts.current.store(0, Ordering::Relaxed);
    }

    /// Sleeps until there is an event, a deadline or a notification, or `until`; at once when there is work
    /// or `is_over`.
    pub(crate) fn sleep_as_host(&self, shared: &Shared, until: Option<Instant>, is_over: impl Fn() -> bool) {
        let remote = &shared.workers[self.index];
        let timeout = match self.begin_sleep(shared, remote) && !is_over() {
            true => until.map(|until| until.saturating_duration_since(Instant::now())),
            false => Some(Duration::ZERO),
        };
        if timeout != Some(Duration::ZERO) {
            Counts::bump(&remote.counts.sleeps);
        }
        self.turn(remote, timeout);
        self.end_host_sleep(shared);
    }

    /// Notes that a host is about to sleep. Returns false when there is work after all.
    pub(crate) fn begin_host_sleep(&self, shared: &Shared) -> bool {
        self.begin_sleep(shared, &shared.workers[self.index])
    }

    /// Notes that a host has slept, or could not.
    pub(crate) fn end_host_sleep(&self, shared: &Shared) {
        self.end_sleep(shared, false);
        self.stop_searching(shared);
    }
}
