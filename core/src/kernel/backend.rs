//! The contract between the core and a backend: all that a backend implements, in one file.
//!
//! A backend answers three questions, each with a trait. Everything else in this library (tasks, waiting,
//! channels, time, sockets) is written once, in the core, over the answers.
//!
//! | trait       | question                                   | native                        | green                             |
//! |-------------|--------------------------------------------|-------------------------------|-----------------------------------|
//! | [`Backend`] | How does a job start, and go on?           | a thread from a cache runs it | a worker's queue takes it         |
//! | [`Strand`]  | How does the running stack wait?           | the thread parks              | the worker leaves the stack behind |
//! | [`Driver`]  | Who watches descriptors and deadlines?     | the thread itself, as it parks | the worker's reactor              |
//!
//! # How to write a third backend
//!
//! 1. Implement [`Backend`]. [`start`](Backend::start) takes a [`Job`] and has [`Job::run`] called on some
//!    stack, soon. Declare with [`Backend::mode`] whether a job may block that stack until it is done
//!    ([`Mode::Blocking`]), or returns when it must wait and comes back through [`Backend::resume`]
//!    ([`Mode::Polling`]).
//! 2. Implement [`Strand`] for the stacks that your jobs run on, and make it current around [`Job::run`] with
//!    [`strand::enter`](crate::strand::enter). A strand embeds a [`StrandState`] and knows how to
//!    [`park`](Strand::park). Its [`Parker`](crate::parker::Parker) holds your [`Unpark`], which ends the
//!    park from any thread.
//! 3. Implement [`Driver`], or reuse one: a [`Reactor`](crate::reactor::Reactor) is a driver that something
//!    turns, and [`ioserver::driver`](crate::ioserver::driver) is a thread that turns one for everybody.
//!    A deterministic backend answers [`Driver::now`] from a clock of its own.
//!
//! Then hand an `Arc<dyn Backend>` to [`task::Builder::spawn_on`](crate::task::Builder::spawn_on). What this
//! contract never asks for: knowledge of channels, timers or sockets, and any cooperation between backends.
//! Wakers are the only thing that crosses from one backend to another.

use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

pub use crate::event::parker::Unpark;
pub use crate::kernel::at_end::at_end;
pub use crate::kernel::strand::StrandState;
pub use crate::kernel::task::{Job, SpawnError};

use crate::event::reactor::{Interest, IoSource, Reactor};
use crate::event::timers::Timers;
use crate::kernel::io_threads::IoThreads;
use crate::kernel::task::TaskId;
use crate::kernel::threads::BlockingPool;
use crate::kernel::world::World;

/// The way in which a backend runs a [`Job`]; see [`Backend::mode`].
///
/// # Examples
/// ```
/// use twoply::contract::backend::Mode;
///
/// assert_eq!(twoply::native().backend().mode(), Mode::Blocking);
/// assert_eq!(twoply::green().backend().mode(), Mode::Polling);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// [`Job::run`] returns only when the job is finished: where it must wait, it parks its [`Strand`].
    Blocking,
    /// [`Job::run`] polls the job once. A job that is not finished comes back through [`Backend::resume`].
    Polling,
}

/// Starts jobs and lets them go on: what a [`Spawner`](crate::task::Spawner) hands its tasks to.
pub trait Backend: Send + Sync + 'static {
    /// Returns the name of this kind of backend: `"native"`, `"green"`, ... It is for reports only.
    fn name(&self) -> &'static str;

    /// Returns whether jobs block their stack or return when they must wait. The answer is always the same.
    fn mode(&self) -> Mode;

    /// Returns the list of the tasks of this backend, in which each is entered for as long as it lives. It
    /// must always be the same list; otherwise the process is aborted.
    fn tasks(&self) -> &Arc<crate::kernel::task::TaskList>;

    /// Returns the tasks that are being polled at this moment, as far as that is known. Dumps tell by it
    /// tasks that run from those that are queued; in [`Mode::Blocking`] nobody asks.
    fn running(&self) -> Vec<TaskId> {
        Vec::new()
    }

    /// Returns the pool for code that may block, on behalf of tasks of this backend; that of the process
    /// unless it has one of its own.
    fn blocking_pool(&self) -> BlockingPool {
        crate::kernel::threads::blocking()
    }

    /// Returns the threads on which ports run that are opened by its tasks, and which it closes when it is
    /// shut down. `None` leaves them to this backend, or where [each task is a thread](Mode::Blocking) to a
    /// thread of the process.
    fn io_threads(&self) -> Option<&IoThreads> {
        None
    }

    /// Has `job` run soon, on some stack, and returns without waiting for it. A job that cannot be started is
    /// dropped.
    ///
    /// # Errors
    /// Fails when the operating system refuses a thread or memory, or the backend has been shut down.
    fn start(&self, job: Job) -> Result<(), SpawnError>;

    /// Takes back a job that was started before, has waited, and can go on. `yielded` is true if the job was
    /// woken while it ran: then others should have their turn first.
    ///
    /// This is called inside a `wake`: it must neither block nor run any job. A backend that has been shut
    /// down drops the job. It is never called in [`Mode::Blocking`].
    fn resume(&self, job: Job, yielded: bool);
}

/// The stack that is running, and how it waits.
///
/// Strands stay on their stack: the trait asks for neither `Send` nor `Sync`. What other threads touch is the
/// [`Parker`](crate::parker::Parker) alone.
pub trait Strand: 'static {
    /// Returns the part of the strand in which the core keeps its own records.
    fn state(&self) -> &StrandState;

    /// Stops this stack until [`Unpark::unpark`] is called on the [`Unpark`] that its parker holds.
    ///
    /// The core calls this between [`Parker::prepare`](crate::parker::Parker::prepare) and
    /// [`Parker::finish`](crate::parker::Parker::finish), so that `unpark` is called at most once a park,
    /// perhaps before the park begins. It may return early: the core looks again and parks once more.
    fn park(&self);

    /// Takes back a job that can go on, if it [belongs](Job::is_of) to this strand's backend and the strand
    /// knows a quicker way than [`Backend::resume`]: the queue of the worker that runs this stack.
    ///
    /// The same rules hold as for [`Backend::resume`]. It is quicker because the backend is known to exist
    /// during the call.
    ///
    /// # Errors
    /// Returns the job if there is no quicker way for it.
    fn resume(&self, job: Job, yielded: bool) -> Result<(), Job> {
        let _ = yielded;
        Err(job)
    }

    /// Lets others run, because the code on this stack has asked for it. Its wait has been woken already, so
    /// it goes on soon.
    fn yield_now(&self) {
        std::thread::yield_now();
    }

    /// Returns what watches descriptors and deadlines for the futures that are polled on this stack.
    fn driver(&self) -> &dyn Driver;

    /// Returns the backend that tasks spawned on this stack go to, if it has one.
    fn backend(&self) -> Option<Arc<dyn Backend>>;

    /// Returns the same backend by reference, if the strand keeps it for as long as it lives. Without a
    /// reference count to change, a task starts quicker.
    fn home(&self) -> Option<&dyn Backend> {
        None
    }

    /// Returns the world of the sockets and other things that are made on this stack; `None` stands for the
    /// real one. See [`world`](crate::world).
    fn world(&self) -> Option<&Arc<dyn World>> {
        None
    }

    /// Returns whether this stack may block in a system call, because nobody else waits for its thread.
    fn may_block(&self) -> bool {
        false
    }

    /// Runs `call`, which may block or take long, on this stack, if the strand can hand what shares its
    /// thread (a worker) to another thread meanwhile; otherwise returns without running it. Called only on a
    /// stack that may not block.
    fn block_in_place(&self, call: &mut dyn FnMut()) {
        let _ = call;
    }

    /// Returns the pool for code that may block, which is used if this stack may not block and
    /// [`block_in_place`](Strand::block_in_place) has not run the code: that of its backend.
    fn blocking_pool(&self) -> BlockingPool {
        self.backend().map_or_else(crate::kernel::threads::blocking, |backend| backend.blocking_pool())
    }

    /// Runs `call`, which blocks in a system call that [`Unpark::unpark`] interrupts. Called only on a stack
    /// that [may block](Strand::may_block), after a park has been announced; if that park is over already,
    /// `call` may be left out.
    fn block(&self, call: &mut dyn FnMut()) {
        call();
    }
}

/// Watches descriptors and deadlines for the futures that are polled on a stack.
pub trait Driver {
    /// Returns the time. Everything in this library that waits until an instant asks this clock.
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// Has [`IoSource::notify`] called on `source` when its descriptor becomes ready for `interest`.
    ///
    /// The waker is stored in `source` already; the driver uses it only to decide who should watch: a driver
    /// that works while its own stack is parked can serve only the wakers that end that park. The watch lasts
    /// until the next readiness for `interest` or longer; to watch again is cheap.
    ///
    /// # Errors
    /// Fails when the operating system refuses to watch the descriptor, or is out of descriptors or memory.
    fn watch(&self, source: &Arc<IoSource>, interest: Interest, waker: &Waker) -> io::Result<()>;

    /// Returns the reactor that watches, if it is one. Operations on files use its
    /// [engine](Reactor::set_file_engine), and else the [pool](Strand::blocking_pool).
    fn reactor(&self) -> Option<&Reactor> {
        None
    }

    /// Returns the timer queue in which a deadline for `waker` belongs.
    ///
    /// # Errors
    /// Fails when there is none yet and the operating system refuses the resources for one.
    fn timers(&self, waker: &Waker) -> io::Result<Arc<Timers>>;
}
