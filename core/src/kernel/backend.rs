//! The contract between the core and a backend: all that a backend implements, in one file.
//!
//! A backend answers three questions, one trait each. Everything else in this library (tasks, waiting,
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
//!    stack, soon. Say with [`Backend::mode`] whether a job may block that stack until it is done
//!    ([`Mode::Blocking`]), or returns when it must wait and comes back through [`Backend::resume`]
//!    ([`Mode::Polling`]).
//! 2. Implement [`Strand`] for the stacks that your jobs run on, and make it current around [`Job::run`] with
//!    [`strand::enter`](crate::strand::enter). A strand embeds a [`StrandState`] and knows how to
//!    [`park`](Strand::park). Its [`Parker`](crate::parker::Parker) holds your [`Unpark`], which ends the park
//!    from any thread.
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
pub use crate::kernel::strand::StrandState;
pub use crate::kernel::task::{Job, SpawnError};

use crate::event::reactor::{Interest, IoSource};
use crate::event::timers::Timers;
use crate::kernel::threads::BlockingPool;
use crate::kernel::world::World;

/// How a backend runs a [`Job`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// [`Job::run`] returns only when the job is finished: where it must wait, it parks its [`Strand`].
    Blocking,
    /// [`Job::run`] polls the job once. A job that is not finished comes back through [`Backend::resume`].
    Polling,
}

/// A place where jobs run.
pub trait Backend: Send + Sync + 'static {
    /// What this kind of backend is called: `"native"`, `"green"`, ...
    fn name(&self) -> &'static str;

    /// Whether jobs block their stack or return when they must wait.
    fn mode(&self) -> Mode;

    /// The list in which the tasks of this backend are entered for as long as they live: always the same one, or the
    /// process is aborted.
    fn tasks(&self) -> &Arc<crate::kernel::task::TaskList>;

    /// Starts `job`, or says why it cannot. A job that is not started must be dropped.
    ///
    /// # Errors
    /// When the operating system refuses a thread or memory, or when the backend has been shut down.
    fn start(&self, job: Job) -> Result<(), SpawnError>;

    /// Takes a job back that has been started before, waited, and can go on. `yielded` says that it was woken
    /// while it ran: others should have their turn first.
    ///
    /// This runs inside a `wake`: it must neither block nor run any job. A backend that has been shut down
    /// drops the job. Never called in [`Mode::Blocking`].
    fn resume(&self, job: Job, yielded: bool);
}

/// A stack that is running: how it waits.
///
/// Strands stay on their stack: the trait asks for neither `Send` nor `Sync`. What other threads touch is the
/// [`Parker`](crate::parker::Parker) alone.
pub trait Strand: 'static {
    /// The part of every strand that the core keeps its own records in.
    fn state(&self) -> &StrandState;

    /// Stops this stack until [`Unpark::unpark`] has been called on the unparker of its parker.
    ///
    /// The core calls this between [`Parker::prepare`](crate::parker::Parker::prepare) and
    /// [`Parker::finish`](crate::parker::Parker::finish), so that `unpark` is called at most once a park, perhaps
    /// before the park begins. Returning early is allowed.
    fn park(&self);

    /// Takes a job back that can go on, if it [belongs](Job::is_of) to this strand's backend and there is a quicker
    /// way than [`Backend::resume`]: the queue of the worker that runs this stack. Else gives it back.
    ///
    /// The same rules hold as there. That the backend exists for the time of the call is what makes it quicker.
    fn resume(&self, job: Job, yielded: bool) -> Result<(), Job> {
        let _ = yielded;
        Err(job)
    }

    /// Lets others run, because the code on this stack has asked for it: it is woken already, and goes on soon.
    fn yield_now(&self) {
        std::thread::yield_now();
    }

    /// Who watches descriptors and deadlines for the futures that are polled on this stack.
    fn driver(&self) -> &dyn Driver;

    /// The backend that tasks spawned on this stack go to, if it has one.
    fn backend(&self) -> Option<Arc<dyn Backend>>;

    /// The same backend, where the strand keeps it for as long as it lives: spared a count, a task starts quicker.
    fn home(&self) -> Option<&dyn Backend> {
        None
    }

    /// Returns the world that what is made on this stack belongs to; `None`: the real one, see [`world`](crate::world).
    fn world(&self) -> Option<&Arc<dyn World>> {
        None
    }

    /// Whether this stack may simply block in a system call, because nobody else is waiting for its thread.
    fn may_block(&self) -> bool {
        false
    }

    /// Runs `call`, which may block or take long, on this stack, if others can have meanwhile what it keeps from them;
    /// where they cannot, leaves it out. Called only on a stack that may not block.
    fn block_in_place(&self, call: &mut dyn FnMut()) {
        let _ = call;
    }

    /// Where code runs that may block, if this stack may not and cannot [step aside](Strand::block_in_place).
    fn blocking_pool(&self) -> BlockingPool {
        crate::kernel::threads::blocking().clone()
    }

    /// Runs `call`, which blocks in a system call. While it runs, `unpark` interrupts it. Called only on a stack that
    /// [may block](Strand::may_block); the call may be left out when the park that was announced is over already.
    fn block(&self, call: &mut dyn FnMut()) {
        call();
    }
}

/// Watches descriptors and deadlines.
pub trait Driver {
    /// The time. Everything in this library that waits until an instant asks this clock.
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// Sees to it that `source` learns when its descriptor becomes ready for `interest`.
    ///
    /// The waker has been entered in `source` before; the driver uses it only to decide who should watch: a
    /// driver that works while its own stack is parked can serve just the wakers that end that park. The
    /// promise lasts until the next readiness for `interest` or longer; repeating it is cheap.
    ///
    /// # Errors
    /// When the operating system refuses to watch the descriptor, or is out of descriptors or memory.
    fn watch(&self, source: &Arc<IoSource>, interest: Interest, waker: &Waker) -> io::Result<()>;

    /// The timer queue in which a deadline for `waker` belongs.
    ///
    /// # Errors
    /// When there is none yet and the operating system refuses what one needs.
    fn timers(&self, waker: &Waker) -> io::Result<Arc<Timers>>;
}
