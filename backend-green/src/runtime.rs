//! A green runtime as users have it: how it starts and how it ends.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use twoply_core::Wait;
use twoply_core::backend::Backend;
use twoply_core::fs::Engine;
use twoply_core::io_threads::IoThreads;
use twoply_core::task::Spawner;

use crate::metrics::{Metrics, file_engine};
use crate::scheduler::{DROPPER, Shared};

mod builder;

pub use builder::{Builder, FiberPromise};

/// A green runtime: its workers, and the tasks that run on them.
///
/// Dropping it cancels its tasks and returns at once; the workers end when the tasks have.
/// [`Green::shutdown`] waits for that.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::green_backend::Green;
///
/// let green = Green::builder().workers(2).build()?;
/// let sum = green.spawner().spawn(async { (1..=10).sum::<u32>() });
/// assert_eq!(sum.wait().unwrap(), 55);
/// green.shutdown(std::time::Duration::from_secs(5))?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Green {
    /// The state that the workers share.
    pub(crate) shared: Arc<Shared>,
    /// The spawner of the runtime's tasks.
    spawner: Spawner,
}

impl Green {
    /// Returns the usual settings, to be changed and built.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Makes a runtime with the usual settings.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn new() -> io::Result<Green> {
        Green::builder().build()
    }

    /// Makes a runtime of workers that run.
    pub(crate) fn new_running(shared: Arc<Shared>) -> Green {
        let spawner = Spawner::new(Arc::clone(&shared) as Arc<dyn Backend>);
        Green { shared, spawner }
    }

    /// Returns the spawner of this runtime's tasks.
    pub fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    /// Returns how many threads there are, and how many of them are idle: kept for the next task that blocks.
    pub fn threads(&self) -> (usize, usize) {
        self.shared.threads.threads()
    }

    /// Returns who makes operations on files that would hold a worker up; see [`Metrics::file_engine`].
    pub fn file_engine(&self) -> Engine {
        file_engine(&self.shared)
    }

    /// Returns whether blocked stacks are [fibers](Builder::fibers).
    pub fn has_fibers(&self) -> bool {
        self.shared.stacks.is_some()
    }

    /// Returns a snapshot of the runtime's counters.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, green_backend::Green};
    ///
    /// let green = Green::builder().workers(2).build()?;
    /// let _idle = green.spawner().spawn(std::future::pending::<()>());
    /// let metrics = green.metrics();
    /// assert_eq!((metrics.tasks, metrics.workers.len()), (1, 2));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn metrics(&self) -> Metrics {
        Metrics::read(&self.shared)
    }

    /// Cancels all tasks, waits for them and for the workers to end, and lets no task start any more.
    ///
    /// A task is dropped at its await point; one that is blocked unwinds from its wait. The threads of the
    /// runtime end. Its descriptors, four a worker and two more for an io_uring, are closed when it is
    /// dropped and nobody has a waker or a spawner of it any more. Sockets that outlive it go on with another
    /// driver.
    ///
    /// # Errors
    /// [`io::ErrorKind::Deadlock`] when a task of the runtime's own calls it, which would wait for itself:
    /// nothing has been done then. Such a task may drop the runtime instead.
    ///
    /// [`io::ErrorKind::TimedOut`] when some tasks, or only threads, were left after `deadline`. Each task
    /// ends all the same: what is queued is dropped there and then, what is being polled or unwinds ends when
    /// it comes to its next await point, wait or end, and its worker after it.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, green_backend::Green};
    ///
    /// let green = Green::builder().workers(1).build()?;
    /// let endless = green.spawner().spawn(std::future::pending::<()>());
    /// green.shutdown(Duration::from_secs(5))?;
    /// assert!(endless.wait().is_err(), "it was cancelled");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self, deadline: Duration) -> io::Result<()> {
        self.shared.tasks.refuse_caller()?;
        let now = Instant::now();
        let until = now.checked_add(deadline).unwrap_or(now + Duration::from_secs(86_400 * 365));
        let shared = &self.shared;
        shared.drain();
        let ended = twoply_core::time::timeout(deadline, shared.tasks.wait_empty()).wait();
        shared.stop();
        if ended.is_err() {
            // A thread of its own drops the leftovers: what lies behind a task that never ends would wait for
            // that task.
            let shared = Arc::clone(shared);
            let dropping = move || shared.drop_leftovers();
            let _ = twoply_core::threads::shared().execute(Some(DROPPER), None, dropping);
        }
        shared.threads.join(until);
        if let Some(io) = &shared.io {
            io.close();
            let left = until.saturating_duration_since(Instant::now());
            let _ = twoply_core::time::timeout(left, io.wait_empty()).wait();
        }
        twoply_core::backend::at_end(Some(until));
        shared.tasks.ended(shared.threads.threads().0)?;
        shared.io.as_ref().map_or(Ok(()), IoThreads::ended)
    }
}

impl Drop for Green {
    fn drop(&mut self) {
        if let Some(io) = &self.shared.io {
            io.close();
        }
        self.shared.drain();
        if self.shared.is_stopped() {
            // The workers end by themselves, when they can.
            return;
        }
        if self.shared.tasks.is_empty() {
            self.shared.stop();
            return;
        }
        // The last task to end cannot wake the workers itself: somebody has to wait for it.
        let shared = Arc::clone(&self.shared);
        let waiting = twoply_core::threads::shared().execute(Some(DROPPER), None, move || {
            shared.tasks.wait_empty().wait();
            shared.stop();
        });
        if waiting.is_err() {
            // There is no thread for that, so the workers look by themselves whenever they wake up.
            self.shared.wake_all();
        }
    }
}

impl fmt::Debug for Green {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Green").field("workers", &self.shared.workers.len()).finish_non_exhaustive()
    }
}
