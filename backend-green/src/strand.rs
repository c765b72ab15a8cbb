//! The ways in which the stacks of a green worker wait.
//!
//! - [`CarrierStrand`]: the stack of an OS thread that carries a worker. When it must wait it hands the
//!   worker to a spare thread, as Go does at a blocking system call, and parks. From then on the thread is
//!   the blocked task's own, and waits like any thread, at the cost of one; when the poll ends it goes back
//!   to the cache. Before code that only may block, the worker is [set aside](crate::handoff).
//! - [`FiberStrand`]: the stack of a fiber. When it must wait it is suspended, and the worker goes on.

use std::cell::Cell;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use twoply_core::backend::{Backend, Driver, Job, Strand, StrandState, Unpark};
use twoply_core::parker::Parker;
use twoply_core::strand::{self, ThreadStrand};

use crate::core::{Core, Work};
use crate::counts::Counts;
use crate::fiber::Suspender;
use crate::handoff::Ticket;
use crate::launch::launch;
use crate::scheduler::Shared;
use crate::timing::fiber_key;
use crate::worker::{self, Context};

/// The value of a resume: a job to poll, or nothing. Nothing means to go on where the fiber blocked, or to
/// end if it is idle.
pub(crate) type Input = Option<Job>;

/// The reason why a runner is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// The poll is over; the runner is free.
    Done,
    /// The poll waits, on the runner's stack.
    Blocked,
}

/// The time that a worker which could not be handed over waits before it tries again.
const RETRY: Duration = Duration::from_millis(10);

/// The time after which it is said that it stands still.
const LOUD: Duration = Duration::from_secs(1);

/// The strand of a thread that carries, or has carried, a worker.
pub(crate) struct CarrierStrand {
    /// The strand of the thread itself.
    thread: ThreadStrand,
    /// The thread's side of the worker that it carries.
    context: Rc<Context>,
    /// The index of that worker, which stays when the worker has gone.
    index: usize,
    /// The right with which this thread takes the worker up again, while that is set aside.
    ticket: Cell<Option<Ticket>>,
}

impl CarrierStrand {
    pub(crate) fn new(context: Rc<Context>, index: usize) -> CarrierStrand {
        CarrierStrand { thread: ThreadStrand::new(), context, index, ticket: Cell::new(None) }
    }

    /// Runs the worker's work on this thread, until the worker has moved on or ends.
    pub(crate) fn run(&self, mut next: impl FnMut() -> Option<Work>) {
        strand::enter(self, || {
            let counts = &self.context.remote(self.index).counts;
            let is_timed = self.context.shared.followed.is_some();
            while let Some(work) = next() {
                match work {
                    Work::Job(job) if is_timed => worker::poll_timed(&self.context, self.index, job),
                    Work::Job(job) => {
                        worker::poll(counts, job);
                    }
                    // Without fibers nobody pushes one.
                    Work::Fiber(_) => {}
                    Work::Park => self.context.park(),
                }
            }
        });
    }

    /// Hands the worker to another thread. Returns false when none could be had.
    fn hand_over(&self) -> bool {
        let Some(core) = self.context.take_core().or_else(|| self.take_back()) else {
            self.context.leave();
            return true;
        };
        let counts = &self.context.remote(self.index).counts;
        // All of it before the other thread has the worker, whose counts are its own from then on. A worker
        // that kept this task as its current one would look held up by it, even while it slept.
        let current = counts.current.swap(0, Ordering::Relaxed);
        Counts::bump(&counts.handovers);
        match launch(&self.context.shared, core) {
            Ok(()) => {
                if let Some(affinity) = &self.context.shared.affinity {
                    affinity.free(0);
                }
                true
            }
            Err((core, _)) => {
                counts.handovers.store(counts.handovers.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
                Counts::bump(&counts.refusals);
                counts.current.store(current, Ordering::Relaxed);
                self.context.put_core(core);
                false
            }
        }
    }

    /// Runs `call` with the worker set aside, and takes it up again if nobody else has it by then.
    fn call_set_aside(&self, core: Box<Core>, call: &mut dyn FnMut()) {
        /// Takes the worker up again, also when the call unwinds.
        struct TakeBack<'a>(&'a CarrierStrand, u64);
        impl Drop for TakeBack<'_> {
            fn drop(&mut self) {
                let Some(core) = self.0.take_back() else { return };
                self.0.context.put_core(core);
                let counts = &self.0.context.remote(self.0.index).counts;
                // The watchdog does not count the call as part of the poll.
                Counts::bump(&counts.polls);
                counts.current.store(self.1, Ordering::Relaxed);
            }
        }
        let remote = self.context.remote(self.index);
        // As when it is handed over: it may be another thread's from now on.
        let current = remote.counts.current.swap(0, Ordering::Relaxed);
        self.ticket.set(Some(remote.handoff.set_aside(core)));
        let _take_back = TakeBack(self, current);
        self.context.shared.watch.look_often();
        call();
    }

    /// Takes the worker that is set aside, if this thread has left it there and it is there still.
    fn take_back(&self) -> Option<Box<Core>> {
        self.context.remote(self.index).handoff.take_back(self.ticket.take()?)
    }
}

impl Strand for CarrierStrand {
    #[inline]
    fn state(&self) -> &StrandState {
        self.thread.state()
    }
    #[inline]
    fn resume(&self, job: Job, yielded: bool) -> Result<(), Job> {
        self.context.push(job, yielded)
    }

    fn park(&self) {
        let (mut since, mut is_told) = (None, false);
        while !self.hand_over() {
            // There is no thread to be had: the worker stands still, but for its events, until one ends.
            let since = *since.get_or_insert_with(Instant::now);
            if !is_told && since.elapsed() >= LOUD {
                is_told = true;
                let shared = &self.context.shared;
                let threads = if shared.is_local { None } else { Some(shared.threads.threads().0) };
                shared.watch.report_standstill(threads);
            }
            let parker = self.state().parker();
            worker::stall(&self.context, self.index, || !parker.is_parked(), Some(RETRY));
            if !parker.is_parked() {
                return;
            }
        }
        self.thread.park();
    }

    fn yield_now(&self) {
        // Others have waited for their turn on this worker: they get it, and this task its own thread.
        if !self.hand_over() {
            return;
        }
        std::thread::yield_now();
    }

    fn driver(&self) -> &dyn Driver {
        if self.context.has_core() { &self.context.remote(self.index).reactor } else { self.thread.driver() }
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        backend_of(&self.context.shared)
    }

    #[inline]
    fn home(&self) -> Option<&dyn Backend> {
        Some(&*self.context.shared)
    }

    fn may_block(&self) -> bool {
        // A stack that has a worker must not hold it up.
        !self.context.has_core()
    }

    fn block(&self, call: &mut dyn FnMut()) {
        self.thread.block(call);
    }

    fn block_in_place(&self, call: &mut dyn FnMut()) {
        if self.context.shared.is_local {
            return call();
        }
        let handoff = &self.context.remote(self.index).handoff;
        if handoff.expects_long_call() {
            // The worker stands still where no other thread can be had.
            self.hand_over();
            let start = Instant::now();
            call();
            handoff.record(start.elapsed());
        } else if let Some(core) = self.context.take_core() {
            self.call_set_aside(core, call);
        }
    }
}

/// The strand of a fiber.
pub(crate) struct FiberStrand {
    /// The part of the strand that the core keeps.
    state: StrandState,
    /// The number of the fiber among its worker's.
    fiber: usize,
    /// The index of the worker that the fiber belongs to, for good.
    index: usize,
    /// The thread's side of the worker, and the runtime. They never change either.
    context: Rc<Context>,
    /// The fiber's side of the switch, once it runs.
    suspender: Cell<Option<NonNull<Suspender<Input, Output>>>>,
    /// True if hooks are called as the fiber is left.
    tells_hooks: bool,
    /// The address near which the stack's end was when the stack was left last; what the next turn touches
    /// lies above.
    left_at: Cell<*const u8>,
}

impl FiberStrand {
    pub(crate) fn new(context: Rc<Context>, index: usize, fiber: usize) -> FiberStrand {
        let unpark = FiberUnpark { shared: Arc::clone(&context.shared), index, fiber };
        let tells_hooks = context.shared.hooks.heed_switches();
        FiberStrand {
            state: StrandState::new(Parker::new(unpark)),
            fiber,
            index,
            context,
            suspender: Cell::new(None),
            tells_hooks,
            left_at: Cell::new(std::ptr::null()),
        }
    }
}

/// Puts a fiber back in its worker's queue.
struct FiberUnpark {
    /// The state of the runtime.
    shared: Arc<Shared>,
    /// The index of the worker.
    index: usize,
    /// The number of the fiber there.
    fiber: usize,
}

impl Unpark for FiberUnpark {
    fn unpark(&self) {
        if let Some(followed) = &self.shared.followed
            && self.fiber != usize::MAX
        {
            followed.woken(fiber_key(self.index, self.fiber));
        }
        let home = worker::with_local(&self.shared, |core| {
            if core.index() == self.index {
                core.push_fiber(self.fiber);
            } else {
                self.shared.workers[self.index].push_inbox(self.fiber);
            }
        });
        if !home {
            self.shared.workers[self.index].push_inbox(self.fiber);
        }
    }
}

fn backend_of(shared: &Arc<Shared>) -> Option<Arc<dyn Backend>> {
    Some(Arc::clone(shared) as Arc<dyn Backend>)
}

impl FiberStrand {
    /// Tells the strand its side of the switch.
    pub(crate) fn set_suspender(&self, suspender: &Suspender<Input, Output>) {
        self.suspender.set(Some(NonNull::from(suspender)));
    }

    /// Returns where the stack's end was when the stack was left last, for
    /// [`prefetch`](crate::fiber::prefetch).
    pub(crate) fn left_at(&self) -> *const u8 {
        self.left_at.get()
    }

    /// Leaves this stack until its number comes up in the worker's queue.
    #[inline(always)]
    fn suspend(&self) -> bool {
        let Some(suspender) = self.suspender.get() else { return false };
        if self.tells_hooks {
            self.suspend_with_hooks(suspender);
        } else {
            self.switch(suspender);
        }
        true
    }

    #[cold]
    fn suspend_with_hooks(&self, suspender: NonNull<Suspender<Input, Output>>) {
        self.context.shared.hooks.while_suspended(&mut || self.switch(suspender));
    }

    #[inline(always)]
    fn switch(&self, suspender: NonNull<Suspender<Input, Output>>) {
        let here = 0_u8;
        self.left_at.set(&raw const here);
        // SAFETY: the pointer was set by the function that runs on the fiber, from a reference that is good
        // for as long as that function runs; and this is called by what that function runs, on the same
        // stack.
        let input = unsafe { suspender.as_ref() }.suspend(Output::Blocked);
        debug_assert!(input.is_none(), "a blocked fiber was given a job");
    }
}

impl Strand for FiberStrand {
    fn state(&self) -> &StrandState {
        &self.state
    }

    #[inline]
    fn resume(&self, job: Job, yielded: bool) -> Result<(), Job> {
        self.context.push(job, yielded)
    }

    #[inline]
    fn park(&self) {
        // Panics are counted for each thread: a stack that unwinds is not left for another. Nor is one that
        // exits the process: the values of its thread are gone, which the others take for granted. Nor can
        // the worker's own stack be left, which runs a task when no fiber can be had.
        if std::thread::panicking() || worker::is_gone() || !self.suspend() {
            let parker = self.state.parker();
            worker::stall(&self.context, self.index, || !parker.is_parked(), None);
        }
    }

    #[inline]
    fn yield_now(&self) {
        if std::thread::panicking() || worker::is_gone() {
            return std::thread::yield_now();
        }
        if self.suspender.get().is_some() {
            self.context.push_fiber(self.index, self.fiber);
            self.suspend();
        }
    }

    fn driver(&self) -> &dyn Driver {
        &self.context.remote(self.index).reactor
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        backend_of(&self.context.shared)
    }

    #[inline]
    fn home(&self) -> Option<&dyn Backend> {
        Some(&*self.context.shared)
    }

    fn block_in_place(&self, call: &mut dyn FnMut()) {
        // There is no thread for it.
        if self.context.shared.is_local {
            call();
        }
    }
}
