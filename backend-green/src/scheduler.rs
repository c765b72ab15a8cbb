//! The scheduler of a green runtime: what its workers share, and who is woken for what.
//!
//! # The design
//! Each worker ([`crate::worker`]) has a run queue that the others may steal from, and a reactor of its own:
//! a descriptor belongs to the reactor of the worker that first waited for it, its events are handled by that
//! worker, and the task they wake goes to that worker's queue. So a connection stays on one processor as long
//! as the load is even, and no lock or wake-up crosses processors for it. Work moves when somebody is idle:
//! an idle worker steals, and one that has no descriptors at all looks for another's events as well
//! (`worker/idle.rs`). A task on a fiber cannot be stolen once it has blocked; where it begins is chosen
//! (`worker/placement.rs`).
//!
//! # The race it must win
//! Somebody makes work and looks for a worker to wake; a worker finds no work and goes to sleep. If each
//! looks before the other has written, the work waits for nobody. So both write first and look afterwards,
//! with a sequentially consistent fence in between: whoever pushes, pushes and then looks for sleepers
//! ([`Shared::notify`]); whoever goes to sleep enters itself in the list of sleepers and then looks at every
//! queue (`worker/idle.rs`, `begin_sleep`). The fences are those of [`crate::sleepers`]. What is for one
//! worker alone, its inbox and the tasks that are given to it, needs none: whoever pushes there first
//! notifies that worker's reactor in any case, and the reactor's own word is changed by read-modify-writes
//! only, which have one order.
//!
//! Waking a processor that sleeps costs 40 us and more, so it is not done lightly. A worker that has run out
//! of work *searches* for a while before it sleeps, where that has paid (`worker/idle.rs`), and while one
//! searches nobody else is woken: it will find what there is. A searcher that finds work, and sees that there
//! is more, has the next one woken. A push by a worker to its own queue wakes somebody only if the queue
//! holds more than that worker runs next.
//!
//! # Rejected
//! - *One reactor for all* (Go, tokio): each event then may be handled by any processor, and with an idle
//!   worker around most are: measured on HTTP keep-alive, the wake-ups between processors cost more than the
//!   system calls saved.
//! - *One queue for all behind a lock*: four times slower as soon as two workers use it.
//! - *No stealing, a task stays where it was born*: one expensive connection in fifty delays all that share
//!   its worker.
//!
//! The protocol of searchers and sleepers follows Go's `proc.go` and tokio's multi-threaded scheduler.
//! Deviations: a worker's own pushes are not fenced (a miss delays help, never work, since the worker itself
//! runs what it pushed); and workers that hold on to one task for too long are helped by the watchdog instead
//! of being preempted.

use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use twoply_core::backend::Job;
use twoply_core::hooks::Hooks;
use twoply_core::io_threads::IoThreads;
use twoply_core::reactor::Reactor;
use twoply_core::strand::in_turn;
use twoply_core::task::TaskList;
use twoply_core::threads::{Affinity, BlockingPool, PoolLimits, ThreadCache};

use crate::core::Core;
use crate::counts::{Counts, Load};
use crate::fiber::{StackPool, usage};
use crate::handoff::Handoff;
use crate::lock::lock;
use crate::queue::{Injector, Local, Stealer};
use crate::request::CoreRequest;
use crate::revocable::Revocable;
use crate::sleepers::Sleepers;
use crate::timing::{Followed, WorkerTiming};
use crate::watchdog_state::WatchdogState;

/// The state that the workers of a runtime share.
pub(crate) struct Shared {
    /// The list of live tasks.
    pub(crate) tasks: Arc<TaskList>,
    /// Jobs that come from outside the workers, and what overflows their queues.
    pub(crate) injector: Injector<Job>,
    /// The workers, as the others see them.
    pub(crate) workers: Box<[Remote]>,
    /// The workers that sleep, and those that search.
    pub(crate) sleepers: Sleepers,
    /// The threads on which workers run, and those that take workers over.
    pub(crate) threads: ThreadCache,
    /// The pool in which offloaded code runs, on fibers.
    pub(crate) pool: BlockingPool,
    /// The pool of stacks for blocked tasks; `None`: a blocked task keeps its thread.
    pub(crate) stacks: Option<Arc<StackPool>>,
    /// True if the only worker never leaves the thread that it was made on, and there is no other thread.
    pub(crate) is_local: bool,
    /// The threads on which ports run, where they do not run on the workers.
    pub(crate) io: Option<IoThreads>,
    /// The handler that is told how much of their stacks tasks use.
    pub(crate) on_stack_use: Option<usage::Handler>,
    /// The state of the watch for tasks that hold on to their worker.
    pub(crate) watch: WatchdogState,
    /// The phase of the runtime: [`OPEN`], [`DRAINING`] or [`STOPPED`].
    phase: AtomicUsize,
    /// The number of workers that have not ended.
    pub(crate) live_workers: AtomicUsize,
    /// The number of times that an idle worker looks around before it sleeps.
    pub(crate) spin_rounds: u32,
    /// The loop of a thread that is to carry a worker: [`crate::carrier`], which stands above this.
    pub(crate) carry: fn(Arc<Shared>, Box<Core>),
    /// The wake-up that is being followed, if the program wants to know its delay.
    pub(crate) followed: Option<Followed>,
    /// The processors that workers are bound to, if they are.
    pub(crate) affinity: Option<Affinity>,
    /// The hooks of the program.
    pub(crate) hooks: Hooks,
    /// The counter of forks.
    pub(crate) forked: &'static AtomicU64,
    /// The count of forks when the runtime was made.
    pub(crate) born: u64,
}

/// The name of a thread while it sees to the end of a runtime.
pub(crate) const DROPPER: &str = "twoply-drop";

/// The runtime takes tasks.
const OPEN: usize = 0;
/// Workers end when no task is left.
const DRAINING: usize = 1;
/// Workers end at once.
const STOPPED: usize = 2;

/// A worker as the others see it.
#[repr(align(128))]
pub(crate) struct Remote {
    /// The end of the worker's queue that others steal from.
    pub(crate) stealer: Stealer<Job>,
    /// The reactor of the worker.
    pub(crate) reactor: Reactor,
    /// The tasks that the worker holds, and those that others have given to it.
    pub(crate) load: Load,
    /// The numbers of blocked fibers of the worker that can go on. They are pushed from other threads.
    inbox: Mutex<Vec<usize>>,
    /// The number of fibers in the inbox. Relaxed: a worker that misses one is notified of it.
    inbox_len: AtomicUsize,
    /// The cell of the thread that carries the worker, or was the last to do so.
    cell: Mutex<Option<Arc<Revocable<Core>>>>,
    /// The number of that thread in the kernel. Relaxed: a hint.
    thread: AtomicI32,
    /// The slot in which the worker lies while its thread may block.
    pub(crate) handoff: Handoff,
    /// The exchange through which a host, or the thread that the worker's fibers belong to, gets the worker.
    pub(crate) request: CoreRequest,
    /// The name of a thread while it carries the worker, if that has one.
    pub(crate) name: Option<String>,
    /// The times of the worker, if the program wants to know them.
    pub(crate) timing: Option<Box<WorkerTiming>>,
    /// The counters of the worker.
    pub(crate) counts: Counts,
}

impl Remote {
    pub(crate) fn new(stealer: Stealer<Job>, reactor: Reactor) -> Remote {
        Remote {
            stealer,
            reactor,
            load: Load::default(),
            inbox: Mutex::default(),
            inbox_len: AtomicUsize::new(0),
            cell: Mutex::default(),
            thread: AtomicI32::new(0),
            handoff: Handoff::default(),
            request: CoreRequest::default(),
            name: None,
            timing: None,
            counts: Counts::default(),
        }
    }

    /// Notes that the calling thread carries the worker from now on, at `cell`.
    pub(crate) fn set_carrier(&self, cell: &Arc<Revocable<Core>>) {
        self.thread.store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::Relaxed);
        let before = lock(&self.cell).replace(Arc::clone(cell));
        drop(before);
    }

    /// Returns the number of the thread that carries the worker, or carried it last.
    pub(crate) fn thread(&self) -> i32 {
        self.thread.load(Ordering::Relaxed)
    }

    /// Returns the cell in which the worker is carried, or was carried last.
    pub(crate) fn cell(&self) -> Option<Arc<Revocable<Core>>> {
        lock(&self.cell).clone()
    }

    /// Hands the worker a fiber of its that can go on.
    pub(crate) fn push_inbox(&self, fiber: usize) {
        let was_empty = {
            let mut inbox = lock(&self.inbox);
            inbox.push(fiber);
            self.inbox_len.store(inbox.len(), Ordering::Relaxed);
            inbox.len() == 1
        };
        // Later pushes ride on the first one's wake-up: the worker takes them all.
        if was_empty {
            self.reactor.notify();
        }
    }

    /// Gives the worker a task to start. The task comes back if the runtime is at its end.
    pub(crate) fn place(&self, job: Job) -> Result<(), Job> {
        if self.load.assigned.offer(job)? {
            // As for the inbox, later pushes ride on the first one's wake-up.
            self.reactor.notify();
        }
        Ok(())
    }

    /// Takes everything out of the inbox.
    pub(crate) fn drain_inbox(&self, into: &mut impl Extend<usize>) {
        if self.inbox_len.load(Ordering::Relaxed) > 0 {
            let mut inbox = lock(&self.inbox);
            self.inbox_len.store(0, Ordering::Relaxed);
            into.extend(inbox.drain(..));
        }
    }

    /// Returns the number of fibers in the inbox.
    pub(crate) fn inbox_len(&self) -> usize {
        self.inbox_len.load(Ordering::Relaxed)
    }

    pub(crate) fn inbox_is_empty(&self) -> bool {
        self.inbox_len() == 0
    }
}

impl Shared {
    pub(crate) fn new(
        workers: Box<[Remote]>,
        threads: ThreadCache,
        stacks: Option<Arc<StackPool>>,
        watch: WatchdogState,
        spin_rounds: u32,
        carry: fn(Arc<Shared>, Box<Core>),
        hooks: Hooks,
    ) -> Shared {
        let forked = twoply_core::fork::generation();
        let live_workers = AtomicUsize::new(workers.len());
        Shared {
            tasks: TaskList::with_hooks(&hooks),
            injector: Injector::new(),
            workers,
            sleepers: Sleepers::new(),
            pool: BlockingPool::new(threads.clone(), PoolLimits::default()),
            threads,
            stacks,
            is_local: false,
            io: None,
            on_stack_use: None,
            watch,
            phase: AtomicUsize::new(OPEN),
            live_workers,
            spin_rounds,
            carry,
            followed: None,
            affinity: None,
            hooks,
            born: forked.load(Ordering::Relaxed),
            forked,
        }
    }

    /// Puts a job where a worker will find it, from outside of the workers.
    pub(crate) fn inject(&self, job: Job) {
        if let Some(followed) = &self.followed {
            followed.woken(job.id());
        }
        match self.injector.offer(job) {
            Ok(_) => self.notify(),
            Err(job) => drop_elsewhere(job),
        }
    }

    /// Drops all that is queued, for a runtime that has been stopped: the jobs that nobody will run, and
    /// those that lie behind a task which holds on to its worker. Dropping a job ends its task. The
    /// destructors of the user's run on this stack. Jobs that come from outside after this are not queued any
    /// more.
    pub(crate) fn drop_leftovers(&self) {
        self.injector.close();
        self.workers.iter().for_each(|remote| remote.load.assigned.close());
        let stolen = Local::new(false);
        let queued = |remote: &Remote| {
            let Remote { stealer, load, .. } = remote;
            load.assigned.pop().or_else(|| stealer.steal_into(&stolen)).or_else(|| stealer.steal_lifo())
        };
        let next =
            || stolen.pop().or_else(|| self.injector.pop()).or_else(|| self.workers.iter().find_map(queued));
        while let Some(job) = next() {
            drop(job);
        }
    }

    /// Wakes a sleeping worker, unless one is searching already: work has appeared that it should look for.
    pub(crate) fn notify(&self) {
        self.wake_up(self.sleepers.pick());
    }

    /// As [`Shared::notify`] but unfenced: it may miss a worker that is falling asleep at this very moment.
    pub(crate) fn notify_hint(&self) {
        self.wake_up(self.sleepers.pick_hint());
    }

    /// Wakes the worker that has been picked, if any.
    pub(crate) fn wake_up(&self, picked: Option<usize>) {
        if let Some(picked) = picked {
            self.workers[picked].reactor.notify();
        }
    }

    /// Returns true if every worker sleeps.
    pub(crate) fn all_asleep(&self) -> bool {
        self.sleepers.sleeping() >= self.live_workers.load(Ordering::Relaxed)
    }

    /// Returns true if there is a job that `index` could run: in the injector, in any queue, given to it, or
    /// a fiber in its inbox.
    pub(crate) fn has_work_for(&self, index: usize) -> bool {
        !self.injector.is_empty()
            || !self.workers[index].inbox_is_empty()
            || !self.workers[index].load.assigned.is_empty()
            || self.workers.iter().any(|remote| !remote.stealer.is_empty())
    }

    fn phase(&self) -> usize {
        self.phase.load(Ordering::SeqCst)
    }

    /// Returns true if the runtime has been stopped, so that queued jobs are dropped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.phase() == STOPPED
    }

    /// Returns true if workers should end now, those at least that hold no stack which is still suspended.
    pub(crate) fn should_stop(&self) -> bool {
        match self.phase() {
            OPEN => false,
            DRAINING => self.tasks.is_empty(),
            _ => true,
        }
    }

    /// Lets no task start any more and cancels those that live. Workers end when none is left.
    pub(crate) fn drain(&self) {
        self.phase.fetch_max(DRAINING, Ordering::SeqCst);
        self.tasks.close();
        self.wake_all();
    }

    /// Has the workers end as soon as they come by, tasks or not.
    pub(crate) fn stop(&self) {
        self.phase.fetch_max(STOPPED, Ordering::SeqCst);
        self.wake_all();
    }

    pub(crate) fn wake_all(&self) {
        self.watch.wake();
        self.workers.iter().for_each(|remote| remote.reactor.notify());
    }

    /// Notes that a worker has ended. The last one drops what nobody will run.
    pub(crate) fn worker_ended(&self) {
        if self.live_workers.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.phase.fetch_max(STOPPED, Ordering::SeqCst);
            // Whoever waits for a descriptor of a closed reactor is woken and moves to another.
            in_turn(|| self.workers.iter().for_each(|remote| remote.reactor.close()));
            self.watch.stop();
            // Nothing will be started any more: idle threads end now, and those of blocked tasks with their
            // tasks.
            self.threads.close();
            // Last, because it runs code of the user's, which may take for ever.
            self.drop_leftovers();
        }
    }
}

/// Drops a job that comes back to a runtime which has been stopped. That runs the destructors of the user's,
/// which may take for ever; and whoever has woken the job may do so in the turn of a reactor, or in the
/// destructor of another such job.
fn drop_elsewhere(job: Job) {
    // The job is dropped here where no thread is to be had.
    let _ = twoply_core::threads::shared().execute(Some(DROPPER), None, move || drop(job));
}
