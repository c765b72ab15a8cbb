//! Threads that do I/O and nothing else: each polls tasks and turns a reactor.
//!
//! [Ports](crate::port) run here where a task is a thread, and where a program wants its I/O in one place
//! ([`Backend::io_threads`]). The [I/O server](super::ioserver) is another thing: it wakes others, and runs
//! no task, so that nothing of a program's can hold it up.
//!
//! Each thread is a [`Backend`] of its own, with its own queue, reactor and list of tasks: a task stays on
//! the thread that it was given, where its descriptors are watched. Whoever wakes one of its tasks writes to
//! an event descriptor only if the thread sleeps in the kernel; the other times are counted
//! ([`ReactorMetrics::saved_notifies`]).
//!
//! A task that waits in straight-line code keeps its thread. The thread turns its reactor meanwhile, and
//! polls none of its other tasks.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use super::backend::{Backend, Driver, Job, Mode, SpawnError, Strand, StrandState, Unpark};
use super::hooks::{Hooks, process_hooks};
use super::strand::{enter, in_turn};
use super::task::TaskList;
use super::threads;
use crate::base::fork::{self, PerProcess};
use crate::base::sync::lock_std;
use crate::event::parker::Parker;
use crate::event::reactor::{Reactor, ReactorMetrics};

/// The number of turns without a sleep that follow one that had something to do: see the I/O server, which
/// takes as many for the same reason.
const SPIN_ROUNDS: u32 = 20;

/// The name of the threads that serve the process.
const NAME: &str = "twoply-ports";

/// Threads that do I/O. Each is started when its turn comes for the first time. Dropping this cancels their
/// tasks; the threads end when these have.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::contract::io_threads::IoThreads;
///
/// let io = IoThreads::new("io", 2);
/// let task = twoply::task::Builder::new().spawn_on(&io.next()?, async {
///     std::thread::current().name().map(str::to_owned)
/// })?;
/// assert_eq!(task.wait()?.as_deref(), Some("io-0"));
/// assert_eq!(io.metrics().threads, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct IoThreads {
    /// The beginning of the names of the threads.
    name: String,
    /// The threads, of which there is one at least; each is set when it has been started.
    threads: Box<[OnceLock<Arc<IoThread>>]>,
    /// The number of times that one has been asked for.
    asked: AtomicUsize,
    /// The hooks that the threads call.
    hooks: Hooks,
    /// True when no more are started. Held while one is.
    closed: Mutex<bool>,
    /// The number of forks when this was made.
    born: u64,
}

/// The counters of threads that do I/O, of all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct IoMetrics {
    /// The number of threads that have been started.
    pub threads: usize,
    /// The number of their tasks that are not over: of ports.
    pub tasks: usize,
    /// The counters of their reactors. `notifies` are the times that somebody had to wake a thread which
    /// slept in the kernel, `saved_notifies` those at which it was awake.
    pub reactors: ReactorMetrics,
}

impl IoThreads {
    /// Makes it for so many threads, at least one, whose names begin with `name`. They call the hooks that
    /// the process has by now.
    pub fn new(name: impl Into<String>, threads: usize) -> IoThreads {
        IoThreads::with_hooks(name, threads, process_hooks())
    }

    /// As [`IoThreads::new`], with hooks that the threads call as they start and stop.
    pub fn with_hooks(name: impl Into<String>, threads: usize, hooks: Hooks) -> IoThreads {
        IoThreads {
            name: name.into(),
            threads: (0..threads.max(1)).map(|_| OnceLock::new()).collect(),
            asked: AtomicUsize::new(0),
            hooks,
            closed: Mutex::new(false),
            born: fork::count(),
        }
    }

    /// Returns the backend of one of the threads, of each in turn.
    ///
    /// # Errors
    /// When the operating system refuses a thread, a descriptor or memory; after [`IoThreads::close`]; and in
    /// the child of a fork, where there are none of the threads.
    pub fn next(&self) -> Result<Arc<dyn Backend>, SpawnError> {
        if self.born != fork::count() {
            return Err(SpawnError::Forked);
        }
        let index = self.asked.fetch_add(1, Relaxed) % self.threads.len();
        let thread = &self.threads[index];
        if thread.get().is_none() {
            let closed = lock_std(&self.closed);
            if *closed {
                return Err(SpawnError::ShutDown);
            }
            if thread.get().is_none() {
                let _ = thread.set(IoThread::start(format!("{}-{index}", self.name), self.hooks.clone())?);
            }
        }
        match thread.get() {
            Some(thread) => Ok(Arc::clone(thread) as Arc<dyn Backend>),
            None => unreachable!("it has been set, under the lock or before"),
        }
    }

    fn started(&self) -> impl Iterator<Item = &Arc<IoThread>> {
        self.threads.iter().filter_map(OnceLock::get)
    }

    /// Returns the backends of the threads that have been started.
    pub(crate) fn backends(&self) -> impl Iterator<Item = Arc<dyn Backend>> {
        self.started().map(|thread| Arc::clone(thread) as Arc<dyn Backend>)
    }

    /// Returns the counters of the threads.
    pub fn metrics(&self) -> IoMetrics {
        self.started().fold(IoMetrics::default(), |mut sum, thread| {
            let of = thread.reactor.metrics();
            sum.threads += 1;
            sum.tasks += thread.tasks.len();
            sum.reactors.waits += of.waits;
            sum.reactors.notifies += of.notifies;
            sum.reactors.saved_notifies += of.saved_notifies;
            sum.reactors.registered += of.registered;
            sum
        })
    }

    /// Cancels the tasks, and lets none start any more. The threads end when these have.
    pub fn close(&self) {
        *lock_std(&self.closed) = true;
        for thread in self.started() {
            thread.tasks.close();
            thread.reactor.notify();
        }
    }

    /// Waits until no task is left, as [`TaskList::wait_empty`] does.
    pub async fn wait_empty(&self) {
        for thread in self.started() {
            thread.tasks.wait_empty().await;
        }
    }

    /// Returns how a shutdown has ended whose deadline has passed, as [`TaskList::ended`] does.
    ///
    /// # Errors
    /// As there.
    pub fn ended(&self) -> io::Result<()> {
        self.started().try_for_each(|thread| thread.tasks.ended(0))
    }
}

impl Drop for IoThreads {
    fn drop(&mut self) {
        // In the child of a fork there are none of the threads, and they may have held locks.
        if self.born == fork::count() {
            self.close();
        }
    }
}

impl fmt::Debug for IoThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoThreads").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

/// Returns the backend on which ports run that are opened by tasks of `backend`: that itself, unless it has
/// threads for I/O, or each of its tasks is a thread.
///
/// # Errors
/// When it would be a thread that cannot be started.
pub(crate) fn home(backend: Arc<dyn Backend>) -> Result<Arc<dyn Backend>, SpawnError> {
    static OF_PROCESS: PerProcess<IoThreads> = PerProcess::new();

    match (backend.io_threads(), backend.mode()) {
        (Some(threads), _) => threads.next(),
        (None, Mode::Polling) => Ok(backend),
        (None, Mode::Blocking) => OF_PROCESS.get_or_init(|| IoThreads::new(NAME, 1)).next(),
    }
}

/// A thread that does I/O, as others see it.
struct IoThread {
    tasks: Arc<TaskList>,
    reactor: Reactor,
    queue: Mutex<Queue>,
    /// The number of forks when it was started.
    born: u64,
}

/// The jobs that can go on.
#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// True when the thread has ended.
    over: bool,
}

impl IoThread {
    fn start(name: String, hooks: Hooks) -> io::Result<Arc<IoThread>> {
        let reactor = Reactor::new()?;
        let thread = Arc::new(IoThread {
            tasks: TaskList::new(),
            reactor,
            queue: Mutex::default(),
            born: fork::count(),
        });
        let served = Arc::clone(&thread);
        let serve = move || hooks.around_thread(&mut || Arc::clone(&served).serve());
        threads::start(name, None, serve)?;
        Ok(thread)
    }

    /// Polls what can go on and turns the reactor, until it is closed and its tasks are over.
    fn serve(self: Arc<Self>) {
        let strand = IoStrand::new(&self);
        enter(&strand, || {
            let (mut batch, mut idle) = (VecDeque::new(), 0);
            while !(self.tasks.is_closed() && self.tasks.is_empty()) {
                std::mem::swap(&mut batch, &mut lock_std(&self.queue).jobs);
                if !batch.is_empty() {
                    idle = 0;
                    batch.drain(..).for_each(Job::run);
                }
                let may_sleep = idle >= SPIN_ROUNDS && self.reactor.prepare_park() && self.is_idle();
                match self.turn(may_sleep) {
                    0 if idle < SPIN_ROUNDS => {
                        if idle > 0 {
                            thread::yield_now();
                        }
                        idle += 1;
                    }
                    0 => {}
                    _ => idle = 0,
                }
            }
        });
        let left = {
            let mut queue = lock_std(&self.queue);
            queue.over = true;
            std::mem::take(&mut queue.jobs)
        };
        drop(left);
        self.reactor.close();
    }

    /// Returns whether there is nothing to be polled, and no reason to end.
    fn is_idle(&self) -> bool {
        lock_std(&self.queue).jobs.is_empty() && !(self.tasks.is_closed() && self.tasks.is_empty())
    }

    /// Turns the reactor, and returns what has happened. A waker that panics has been reported by the hook.
    fn turn(&self, may_sleep: bool) -> usize {
        let timeout = if may_sleep { None } else { Some(Duration::ZERO) };
        match catch_unwind(AssertUnwindSafe(|| in_turn(|| self.reactor.turn(timeout)))) {
            Ok(Ok(turn)) => turn.events + turn.timers,
            // No documented cause is left. Should there be one, it must not make this loop burn a core.
            Ok(Err(_)) => {
                thread::sleep(Duration::from_millis(1));
                0
            }
            Err(_) => 1,
        }
    }
}

impl Backend for IoThread {
    fn name(&self) -> &'static str {
        "io"
    }

    fn mode(&self) -> Mode {
        Mode::Polling
    }

    fn tasks(&self) -> &Arc<TaskList> {
        &self.tasks
    }

    fn start(&self, job: Job) -> Result<(), SpawnError> {
        if self.born != fork::count() {
            return Err(SpawnError::Forked);
        }
        self.resume(job, false);
        Ok(())
    }

    fn resume(&self, job: Job, _yielded: bool) {
        let refused = {
            let mut queue = lock_std(&self.queue);
            match queue.over {
                true => Some(job),
                false => {
                    queue.jobs.push_back(job);
                    None
                }
            }
        };
        match refused {
            Some(job) => drop(job),
            None => self.reactor.notify(),
        }
    }
}

/// The stack of a thread that does I/O.
struct IoStrand {
    state: StrandState,
    thread: Arc<IoThread>,
}

impl IoStrand {
    fn new(thread: &Arc<IoThread>) -> IoStrand {
        let parker = Parker::new(Notify(thread.reactor.clone()));
        IoStrand { state: StrandState::new(parker), thread: Arc::clone(thread) }
    }
}

/// Ends a park of such a thread.
struct Notify(Reactor);

impl Unpark for Notify {
    fn unpark(&self) {
        self.0.notify();
    }
}

impl Strand for IoStrand {
    fn state(&self) -> &StrandState {
        &self.state
    }

    fn park(&self) {
        while self.state.parker().is_parked() {
            let may_sleep = self.thread.reactor.prepare_park() && self.state.parker().is_parked();
            self.thread.turn(may_sleep);
        }
    }

    fn driver(&self) -> &dyn Driver {
        &self.thread.reactor
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        Some(Arc::clone(&self.thread) as Arc<dyn Backend>)
    }

    fn home(&self) -> Option<&dyn Backend> {
        Some(&*self.thread)
    }
}
