//! The part of a worker that is its alone: a [`Core`], which some OS thread carries.
//!
//! The thread that carries it reaches it through a [cell](crate::revocable); whoever waits for a worker gets it through a
//! [request](crate::request), and code that may block leaves it [in between](crate::handoff). What a worker does with it
//! is in [`crate::worker`]. Nothing here knows the runtime or the other workers.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Instant;

use twoply_core::backend::Job;

use crate::queue::{Item, Local};

/// How many times in a row the LIFO slot goes before the queue. Two tasks that wake each other would otherwise keep
/// everyone else waiting; tokio's number.
const LIFO_LIMIT: u32 = 3;

/// The part of a worker that is its alone, wherever it runs.
pub(crate) struct Core {
    /// Which worker this is.
    pub(crate) index: usize,
    /// Its queue.
    pub(crate) local: Local<Job>,
    /// Blocked fibers that can go on. They are this worker's alone: nobody can steal them.
    pub(crate) fibers: RefCell<VecDeque<usize>>,
    /// Whether another thread carries it than the one that its fibers belong to, because that is stuck. They wait.
    pub(crate) away: Cell<bool>,
    /// Steps taken.
    pub(crate) tick: Cell<u32>,
    /// When the reactor last had its turn out of turn.
    pub(crate) turned: Cell<Instant>,
    /// Whether a reactor has its turn now.
    pub(crate) turning: Cell<bool>,
    /// Whether that has woken a task.
    pub(crate) turn_woke: Cell<bool>,
    /// What it saw of another worker last.
    pub(crate) peer_watch: PeerWatch,
    /// Where it gave a new task to another worker last.
    pub(crate) placement: Placement,
    /// Uses of the LIFO slot in a row.
    pub(crate) lifo_uses: Cell<u32>,
    /// Whether it is counted as searching.
    pub(crate) searching: Cell<bool>,
    /// How many rounds the next search may take before the worker sleeps; adapts to whether searches pay.
    pub(crate) rounds: Cell<u32>,
    /// The same for waiting while another worker searches.
    pub(crate) inbox_rounds: Cell<u32>,
    /// The state of a xorshift generator, for where to begin stealing.
    pub(crate) random: Cell<u32>,
}

/// The next thing to do.
pub(crate) enum Work {
    /// Poll a task.
    Job(Job),
    /// Go on with a blocked fiber.
    Fiber(usize),
}

/// What a worker saw of another one, the last time that it looked.
pub(crate) struct PeerWatch {
    /// Which one that was.
    pub(crate) worker: Cell<usize>,
    /// Its count of polls.
    pub(crate) polls: Cell<u64>,
    /// When that was.
    pub(crate) at: Cell<Instant>,
}

impl PeerWatch {
    pub(crate) fn new() -> PeerWatch {
        PeerWatch { worker: Cell::new(0), polls: Cell::new(0), at: Cell::new(Instant::now()) }
    }
}

/// What a worker knows of the last task that it gave away.
#[derive(Default)]
pub(crate) struct Placement {
    /// To which worker.
    pub(crate) worker: Cell<usize>,
    /// How many stacks that one held.
    pub(crate) held: Cell<usize>,
    /// How many tasks were to stay after that.
    pub(crate) row: Cell<u32>,
    /// How many of those are left.
    pub(crate) left: Cell<u32>,
}

impl Core {
    pub(crate) fn new(index: usize, local: Local<Job>, spin_rounds: u32) -> Core {
        Core {
            index,
            local,
            fibers: RefCell::default(),
            away: Cell::new(false),
            tick: Cell::new(0),
            turned: Cell::new(Instant::now()),
            turning: Cell::new(false),
            turn_woke: Cell::new(false),
            peer_watch: PeerWatch::new(),
            placement: Placement::default(),
            lifo_uses: Cell::new(0),
            searching: Cell::new(false),
            rounds: Cell::new(spin_rounds),
            inbox_rounds: Cell::new(spin_rounds),
            // Any odd number but zero will do; workers should differ.
            random: Cell::new(0x9e37_79b9u32.wrapping_mul(2 * index as u32 + 1)),
        }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// A fiber of this worker can go on.
    pub(crate) fn push_fiber(&self, fiber: usize) {
        self.fibers.borrow_mut().push_back(fiber);
    }

    #[inline]
    pub(crate) fn next_fiber(&self) -> Option<usize> {
        if self.away.get() { None } else { self.fibers.borrow_mut().pop_front() }
    }

    /// Says whether it will be carried by another thread than the one that its fibers belong to. Returns what was said
    /// before.
    pub(crate) fn set_away(&self, away: bool) -> bool {
        self.away.replace(away)
    }

    #[inline]
    pub(crate) fn local_job(&self) -> Option<Job> {
        let uses = self.lifo_uses.get();
        if uses < LIFO_LIMIT
            && let Some(job) = self.local.pop_lifo()
        {
            self.lifo_uses.set(uses + 1);
            return Some(job);
        }
        self.lifo_uses.set(0);
        self.local.pop().or_else(|| self.local.pop_lifo())
    }

    /// Turns this worker's reactor with `turn`, or another's: the tasks that this wakes go to this worker's queue.
    pub(crate) fn while_turning<R>(&self, turn: impl FnOnce() -> R) -> R {
        self.turning.set(true);
        self.turn_woke.set(false);
        let turned = turn();
        self.turning.set(false);
        turned
    }

    pub(crate) fn next_random(&self) -> u32 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.random.set(x);
        x
    }
}

impl Item for Job {
    #[inline]
    fn into_raw(self) -> std::ptr::NonNull<()> {
        self.into_raw()
    }

    unsafe fn from_raw(raw: std::ptr::NonNull<()>) -> Self {
        // SAFETY: the caller vouches for the same that this asks for.
        unsafe { Job::from_raw(raw) }
    }
}
