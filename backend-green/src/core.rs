//! The part of a worker that is its alone: a [`Core`], which some OS thread carries.
//!
//! The thread that carries it reaches it through a [cell](crate::revocable); whoever waits for a worker gets
//! it through a [request](crate::request), and code that may block leaves it [in between](crate::handoff).
//! A worker's use of it is in [`crate::worker`]. Nothing here knows the runtime or the other workers.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Instant;

use twoply_core::backend::Job;

use crate::queue::{Item, Local};

/// The number of times in a row that the LIFO slot goes before the queue. Two tasks that wake each other
/// would otherwise keep everyone else waiting; tokio's number.
const LIFO_LIMIT: u32 = 3;

/// The part of a worker that is its alone, wherever it runs.
pub(crate) struct Core {
    /// The index of this worker.
    pub(crate) index: usize,
    /// The queue of this worker, which others steal from.
    pub(crate) local: Local<Job>,
    /// Blocked fibers that can go on. They are this worker's alone: nobody can steal them.
    pub(crate) fibers: RefCell<VecDeque<usize>>,
    /// True if another thread carries the worker than the one that its fibers belong to, because that is
    /// stuck. The fibers wait meanwhile.
    pub(crate) away: Cell<bool>,
    /// The number of steps that the worker has taken.
    pub(crate) tick: Cell<u32>,
    /// The time at which the reactor was last turned although there was other work.
    pub(crate) turned: Cell<Instant>,
    /// True while a reactor has its turn on this worker.
    pub(crate) turning: Cell<bool>,
    /// True if the present turn has woken a task.
    pub(crate) turn_woke: Cell<bool>,
    /// The state in which this worker saw another one last.
    pub(crate) peer_watch: PeerWatch,
    /// The state of this worker's choice of where new tasks begin.
    pub(crate) placement: Placement,
    /// The number of uses of the LIFO slot in a row.
    pub(crate) lifo_uses: Cell<u32>,
    /// True if this worker is counted as searching.
    pub(crate) searching: Cell<bool>,
    /// The number of rounds that the next search may take before the worker sleeps; it adapts to whether
    /// searches pay.
    pub(crate) rounds: Cell<u32>,
    /// The number of idle times in a row in which a search found nothing, or was left out.
    pub(crate) fruitless: Cell<u32>,
    /// The number of rounds that the next wait may take while another worker searches; it adapts likewise.
    pub(crate) inbox_rounds: Cell<u32>,
    /// The state of a xorshift generator, for where to begin stealing.
    pub(crate) random: Cell<u32>,
}

/// The next thing that a worker does.
pub(crate) enum Work {
    /// The worker polls a task.
    Job(Job),
    /// The worker goes on with a blocked fiber.
    Fiber(usize),
    /// There is nothing: the worker sleeps, and tells the program's hooks.
    Park,
}

/// The state in which a worker saw another one, the last time that it looked.
pub(crate) struct PeerWatch {
    /// The index of the other worker.
    pub(crate) worker: Cell<usize>,
    /// The number of polls that the other worker had begun.
    pub(crate) polls: Cell<u64>,
    /// The time of the look.
    pub(crate) at: Cell<Instant>,
}

impl PeerWatch {
    pub(crate) fn new() -> PeerWatch {
        PeerWatch { worker: Cell::new(0), polls: Cell::new(0), at: Cell::new(Instant::now()) }
    }
}

/// The state of a worker's choice of where new tasks begin.
#[derive(Default)]
pub(crate) struct Placement {
    /// The worker that got the last task.
    pub(crate) worker: Cell<usize>,
    /// The number of tasks and stacks that this worker held then.
    pub(crate) held: Cell<usize>,
    /// The number of tasks in a row that were to stay here after that one.
    pub(crate) row: Cell<u32>,
    /// The number of those tasks that are still to come.
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
            fruitless: Cell::new(0),
            inbox_rounds: Cell::new(spin_rounds),
            // Any odd number but zero will do; workers should differ.
            random: Cell::new(0x9e37_79b9u32.wrapping_mul(2 * index as u32 + 1)),
        }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Puts a fiber of this worker that can go on in its queue.
    pub(crate) fn push_fiber(&self, fiber: usize) {
        self.fibers.borrow_mut().push_back(fiber);
    }

    #[inline]
    pub(crate) fn next_fiber(&self) -> Option<usize> {
        if self.away.get() { None } else { self.fibers.borrow_mut().pop_front() }
    }

    /// Says whether another thread will carry the worker than the one that its fibers belong to. Returns what
    /// was said before.
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

    /// Turns this worker's reactor with `turn`, or another's: the tasks that this wakes go to this worker's
    /// queue.
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
