//! Running a worker's tasks on fibers: the loop that picks the stack.
//!
//! The worker's own stack chooses the work; a task is polled on a *runner*, a fiber that polls one task after
//! the other. A task that does not block gives its runner back at once, so one runner serves them all. A task
//! that blocks keeps its runner, suspended, until it is woken; the next task gets another. So only what is
//! blocked in straight-line code holds a stack.
//!
//! A worker has these runners for its whole life. Nothing here is ever touched by another thread. When a task
//! is stuck on a runner, another thread carries the worker until this one comes back, and polls on its own
//! stack.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use twoply_core::backend::Job;
use twoply_core::strand;

use crate::core::Work;
use crate::counts::Counts;
use crate::fiber::overflow::{self, SignalStack};
use crate::fiber::{Fiber, FiberResult, StackPool, prefetch, usage};
use crate::strand::{FiberStrand, Input, Output};
use crate::timing::fiber_key;
use crate::worker::{self, Context};

/// The number of free runners that a worker keeps. More than this many tasks that block and go on at the same
/// time are seldom steady, and a stack is made in less than a microsecond.
const KEEP: usize = 64;

/// The part of a stack that a turn is sure to touch, in bytes: the frames between the switch and the code
/// that waited.
const FRAMES: usize = 512;

/// A stack that polls tasks.
struct Runner {
    /// The stack and the code on it.
    fiber: Fiber<Input, Output>,
    /// The strand by which the stack waits. The fiber has the other reference: it outlives every frame on the
    /// stack.
    strand: Rc<FiberStrand>,
    /// The address at which the stack was left; see [`FiberStrand::left_at`].
    left_at: *const u8,
    /// True if the runner is suspended in the middle of a poll.
    blocked: bool,
    /// The task that is being polled, for the watchdog.
    task: u64,
}

/// The runners of a worker, on the thread that they belong to.
pub(crate) struct Runners {
    /// All runners, by number.
    all: Vec<Option<Box<Runner>>>,
    /// The numbers of runners that are free; the one used last comes last, because its stack is warm.
    idle: Vec<usize>,
    /// The numbers without a runner.
    vacant: Vec<usize>,
    /// The pool that stacks come from.
    stacks: Arc<StackPool>,
    /// The thread's side of its worker.
    context: Rc<Context>,
    /// The index of the worker.
    index: usize,
    /// The strand for tasks that come when no stack can be had: it keeps the worker while
    /// it waits.
    last_resort: Rc<FiberStrand>,
    /// The stack on which an overflow is reported. std gives every thread that it starts one; this is for
    /// systems where it does not. Without one an overflow still ends the process, if with no message.
    _signal_stack: io::Result<SignalStack>,
}

impl Runners {
    /// Makes the runners of the worker `index`, whose home the calling thread is.
    pub(crate) fn new(context: &Rc<Context>, index: usize, stacks: &Arc<StackPool>) -> Runners {
        Runners {
            all: Vec::new(),
            idle: Vec::new(),
            vacant: Vec::new(),
            stacks: Arc::clone(stacks),
            context: Rc::clone(context),
            index,
            last_resort: Rc::new(FiberStrand::new(Rc::clone(context), index, usize::MAX)),
            _signal_stack: SignalStack::ensure(),
        }
    }

    /// Runs the worker's work on fibers until `next` says that there is no more for now.
    pub(crate) fn run(&mut self, mut next: impl FnMut() -> Option<Work>) {
        let last_resort = Rc::clone(&self.last_resort);
        // The same strand serves wakers that events call.
        strand::enter(&*last_resort, || {
            while let Some(work) = next() {
                match work {
                    Work::Fiber(fiber) => self.go_on(fiber),
                    Work::Park => self.context.park(),
                    Work::Job(job) => match self.free() {
                        Ok(runner) => self.resume(runner, Some(job)),
                        Err(_) => worker::poll_timed(&self.context, self.index, job),
                    },
                }
            }
        });
    }

    /// Gives the stacks of all free runners back. A worker does not leave while one is blocked. If it did,
    /// the stack would be leaked, and counted: what lies on it may be borrowed from elsewhere.
    pub(crate) fn end(&mut self) {
        self.end_idle(0);
    }

    /// Returns the number of a free runner, which is made if need be.
    #[inline]
    fn free(&mut self) -> io::Result<usize> {
        match self.idle.pop() {
            Some(runner) => Ok(runner),
            None => self.add(),
        }
    }

    #[cold]
    fn add(&mut self) -> io::Result<usize> {
        let number = self.vacant.last().copied().unwrap_or(self.all.len());
        let strand = Rc::new(FiberStrand::new(Rc::clone(&self.context), self.index, number));
        let (own, context, index) = (Rc::clone(&strand), Rc::clone(&self.context), self.index);
        // SAFETY: the builder's `fibers`, which is how there came to be a pool, is unsafe: its caller has
        // promised that what runs on the runtime's tasks may be suspended.
        let fiber = unsafe {
            Fiber::new(&self.stacks, move |suspender, mut input| {
                own.set_suspender(suspender);
                let counts = &context.remote(index).counts;
                let measures = context.shared.on_stack_use.as_ref();
                while let Some(job) = input {
                    match measures {
                        None => poll_named(counts, job),
                        Some(handler) => usage::measured(handler, job.task(), || poll_named(counts, job)),
                    }
                    input = suspender.suspend(Output::Done);
                }
            })
        }?;
        let runner =
            Some(Box::new(Runner { fiber, strand, left_at: std::ptr::null(), blocked: false, task: 0 }));
        if self.vacant.pop().is_some() {
            self.all[number] = runner;
        } else {
            self.all.push(runner);
        }
        Ok(number)
    }

    /// Goes on with a blocked runner. A wake-up that is no longer wanted finds the runner free, or gone.
    #[inline]
    fn go_on(&mut self, runner: usize) {
        self.prepare_next();
        if let Some(Some(blocked)) = self.all.get(runner)
            && blocked.blocked
        {
            let counts = &self.context.remote(self.index).counts;
            Counts::bump(&counts.polls);
            counts.current.store(blocked.task, Ordering::Relaxed);
            self.resume(runner, None);
        } else if let Some(followed) = &self.context.shared.followed {
            followed.forget(fiber_key(self.index, runner));
        }
    }

    /// Asks for the memory that the turns after this one will touch. In two steps, because what the second
    /// asks for is found through what the first has brought.
    #[inline]
    fn prepare_next(&self) {
        let (first, third) = self.context.upcoming_fibers();
        let runner = |number: Option<usize>| self.all.get(number?)?.as_deref();
        if let Some(next) = runner(third) {
            prefetch(next, size_of::<Runner>());
        }
        if let Some(next) = runner(first) {
            prefetch(next.left_at, FRAMES);
            prefetch(Rc::as_ptr(&next.strand), size_of::<FiberStrand>());
        }
    }

    #[inline]
    fn resume(&mut self, number: usize, input: Input) {
        let Some(runner) = &mut self.all[number] else { return };
        let remote = self.context.remote(self.index);
        if let Some(job) = &input {
            runner.task = job.id();
        }
        let key = match &input {
            Some(job) => job.id(),
            None => fiber_key(self.index, number),
        };
        let timed = self.context.shared.followed.as_ref().zip(remote.timing.as_ref());
        let timed = timed.map(|(followed, timing)| (timing, followed.begins(key, timing)));
        let result = strand::enter(&*runner.strand, || runner.fiber.resume(input));
        if let Some((timing, start)) = timed
            && self.context.has_core()
        {
            timing.polled(start);
        }
        match result {
            FiberResult::Suspended(Output::Blocked) => {
                if !runner.blocked {
                    remote.load.hold();
                }
                runner.blocked = true;
                runner.left_at = runner.strand.left_at();
            }
            FiberResult::Suspended(Output::Done) => {
                if runner.blocked {
                    remote.load.release();
                }
                runner.blocked = false;
                self.idle.push(number);
                if self.idle.len() > KEEP {
                    self.end_idle(KEEP / 2);
                }
            }
            FiberResult::Finished => {
                self.all[number] = None;
                self.vacant.push(number);
            }
        }
    }

    /// Gives stacks of free runners back, all but the `keep` that were used last.
    #[cold]
    fn end_idle(&mut self, keep: usize) {
        let surplus = self.idle.len().saturating_sub(keep);
        for number in self.idle.drain(..surplus).collect::<Vec<_>>() {
            self.resume(number, None);
        }
    }
}

/// Polls a task; if it has a name, an overflow of the stack is reported with it.
#[inline]
fn poll_named(counts: &Counts, job: Job) {
    if job.name().is_some() {
        let task = job.task();
        overflow::with_task(task.name(), || worker::poll(counts, job));
    } else {
        worker::poll(counts, job);
    }
}
