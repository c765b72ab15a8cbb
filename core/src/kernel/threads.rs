//! A cache of OS threads: starting work on an idle thread costs a wake-up instead of a `clone`.
//!
//! The native backend runs its tasks here, the green one its workers and the threads that take a blocked worker over,
//! and everybody the calls that can only block. A thread that has been idle for a while ends. A cache has no queue: work
//! starts at once or is refused; what can wait for its turn goes through a [`BlockingPool`]. All caches of a process
//! together have no more threads than [`process_limit`].

mod limit;
mod pool;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::Thread;
use std::time::{Duration, Instant};

pub use limit::process_limit;
pub use pool::{BLOCKING_THREADS, BlockingPool};

use crate::base::fork::{self, PerProcess};
use crate::base::panic::discard_panic;
use crate::base::sync::lock_std;
use limit::Permit;

/// How long an idle thread stays, unless the cache was told otherwise.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How often an idle thread looks for work before it sleeps; see the thread strand's `SPIN_ROUNDS`.
const SPIN_ROUNDS: u32 = 60;

type Work = Box<dyn FnOnce() + Send>;

/// Limits of a [`ThreadCache`].
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most threads at a time, idle ones included. However many that are, all caches together have at most
    /// [`process_limit`].
    pub threads: usize,
    /// How long an idle thread stays.
    pub keep_alive: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { threads: usize::MAX, keep_alive: KEEP_ALIVE }
    }
}

/// A cache of threads. Clones share it.
#[derive(Clone)]
pub struct ThreadCache(Arc<Shared>);

/// What a cache and its threads share.
struct Shared {
    /// What its threads are called while they have no name of a task's.
    name: Cow<'static, str>,
    /// Its limits.
    limits: Limits,
    /// The threads.
    pool: Mutex<Threads>,
    /// Signalled when a thread ends.
    ended: Condvar,
    /// The count of forks when it was made. At another, its threads are those of another process.
    born: u64,
}

/// The threads of a cache.
#[derive(Default)]
struct Threads {
    /// Threads without work. The last one is the one that worked last: its memory is still warm.
    idle: VecDeque<Arc<IdleThread>>,
    /// All threads.
    threads: usize,
    /// No work is accepted any more.
    closed: bool,
}

/// A thread that waits for work.
struct IdleThread {
    /// The thread.
    thread: Thread,
    /// The stack that it was started with, when that was not the usual one, in bytes.
    stack_size: Option<usize>,
    /// What it is to do.
    work: Mutex<Option<(Option<Box<str>>, Work)>>,
    /// Whether there is something in `work`, or the cache has been closed: a place to spin on.
    called: AtomicBool,
}

impl IdleThread {
    fn call(&self) {
        // Release pairs with the Acquire loads in `next_work`.
        self.called.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl ThreadCache {
    /// Makes an empty cache. `name` is what its threads are called; the system has no NUL in names, so it loses those.
    pub fn new(name: impl Into<Cow<'static, str>>, limits: Limits) -> ThreadCache {
        let mut name = name.into();
        name = if name.contains('\0') { name.replace('\0', "").into() } else { name };
        let pool = Mutex::new(Threads::default());
        let born = fork::count();
        ThreadCache(Arc::new(Shared { name, limits, pool, ended: Condvar::new(), born }))
    }

    /// Runs `work` on a thread: an idle one whose stack fits, or a new one. A panic in it ends there.
    ///
    /// # Errors
    /// When the operating system refuses a thread, a limit has been reached ([`QuotaExceeded`](io::ErrorKind::QuotaExceeded)),
    /// the cache has been closed or the process has forked.
    /// The work is dropped then.
    pub fn execute(
        &self,
        name: Option<&str>,
        stack_size: Option<usize>,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        // Before the lock, which a thread that was left behind may have held.
        if self.is_forked() {
            return Err(io::Error::other("the process was forked: the threads stayed behind in the parent"));
        }
        let name: Option<Box<str>> = name.map(Box::from);
        let permit = {
            let mut pool = lock_std(&self.0.pool);
            if pool.closed {
                return Err(io::Error::other("the thread cache has been closed"));
            }
            if let Some(at) = pool.idle.iter().rposition(|idle| idle.stack_size == stack_size) {
                let idle = pool.idle.remove(at);
                drop(pool);
                if let Some(idle) = idle {
                    *lock_std(&idle.work) = Some((name, Box::new(work)));
                    idle.call();
                }
                return Ok(());
            }
            if pool.threads >= self.0.limits.threads {
                // An idle thread with another stack makes room.
                match pool.idle.pop_front() {
                    Some(idle) => idle.call(),
                    None => return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the limit of threads")),
                }
            }
            let Some(permit) = Permit::take() else {
                let message = format!("this process has {} threads, as many as it should", process_limit());
                return Err(io::Error::new(io::ErrorKind::QuotaExceeded, message));
            };
            pool.threads += 1;
            permit
        };
        let shared = Arc::clone(&self.0);
        let mut builder = std::thread::Builder::new().name(self.0.name.clone().into_owned());
        if let Some(bytes) = stack_size {
            builder = builder.stack_size(bytes);
        }
        let first = (name, Box::new(work) as Work);
        let started = builder.spawn(move || {
            let _permit = permit;
            shared.run_thread(stack_size, first);
        });
        if started.is_err() {
            self.0.thread_ended();
        }
        started.map(drop)
    }

    /// Whether the process has forked since the cache was made, so that this is the child and its threads are not here.
    pub fn is_forked(&self) -> bool {
        fork::count() != self.0.born
    }

    /// How many threads there are, and how many of them are idle.
    pub fn threads(&self) -> (usize, usize) {
        let pool = lock_std(&self.0.pool);
        (pool.threads, pool.idle.len())
    }

    /// Accepts no more work and lets the threads end, each when it has done its work.
    pub fn close(&self) {
        let mut pool = lock_std(&self.0.pool);
        pool.closed = true;
        let idle = std::mem::take(&mut pool.idle);
        drop(pool);
        idle.iter().for_each(|idle| idle.call());
    }

    /// Waits until no thread is left, which may be before the cache is [closed](Self::close), or until `deadline`. Returns
    /// whether none is.
    ///
    /// This blocks the calling thread itself.
    pub fn join(&self, deadline: Instant) -> bool {
        let mut pool = lock_std(&self.0.pool);
        while pool.threads > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            pool = match self.0.ended.wait_timeout(pool, left) {
                Ok((pool, _)) => pool,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        true
    }
}

impl Shared {
    fn run_thread(self: Arc<Self>, stack_size: Option<usize>, first: (Option<Box<str>>, Work)) {
        /// The thread is counted until its last word.
        struct Ended(Arc<Shared>);
        impl Drop for Ended {
            fn drop(&mut self) {
                self.0.thread_ended();
            }
        }
        let ended = Ended(self);
        let mut next = Some(first);
        while let Some((name, work)) = next {
            if let Some(name) = &name {
                set_thread_name(name);
            }
            discard_panic(work);
            if name.is_some() {
                set_thread_name(&ended.0.name);
            }
            next = ended.0.next_work(stack_size);
        }
    }

    /// Waits for work as an idle thread. `None`: the thread should end.
    fn next_work(&self, stack_size: Option<usize>) -> Option<(Option<Box<str>>, Work)> {
        let idle = Arc::new(IdleThread {
            thread: std::thread::current(),
            stack_size,
            work: Mutex::new(None),
            called: AtomicBool::new(false),
        });
        {
            let mut pool = lock_std(&self.pool);
            if pool.closed {
                return None;
            }
            pool.idle.push_back(Arc::clone(&idle));
        }
        for _ in 0..SPIN_ROUNDS {
            if idle.called.load(Ordering::Acquire) {
                return lock_std(&idle.work).take();
            }
            std::thread::yield_now();
        }
        crate::kernel::strand::trim_thread();
        let expiry = Instant::now().checked_add(self.limits.keep_alive);
        while !idle.called.load(Ordering::Acquire) {
            let Some(expiry) = expiry else {
                std::thread::park();
                continue;
            };
            let left = expiry.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let mut pool = lock_std(&self.pool);
                let before = pool.idle.len();
                pool.idle.retain(|other| !Arc::ptr_eq(other, &idle));
                if pool.idle.len() < before {
                    return None;
                }
                // Somebody has taken this thread out at the same moment: the work is on its way.
                drop(pool);
                std::thread::yield_now();
                continue;
            }
            std::thread::park_timeout(left);
        }
        lock_std(&idle.work).take()
    }

    fn thread_ended(&self) {
        lock_std(&self.pool).threads -= 1;
        self.ended.notify_all();
    }
}

/// The cache for what the library itself does beside the tasks, such as seeing to the end of a runtime.
pub fn shared() -> &'static ThreadCache {
    static SHARED: PerProcess<ThreadCache> = PerProcess::new();
    SHARED.get_or_init(|| ThreadCache::new("twoply-blocking", Limits::default()))
}

/// The pool for calls that can only block, of those whose backend has none. It has threads of the [`shared`] cache, at most
/// [`BLOCKING_THREADS`].
pub fn blocking() -> &'static BlockingPool {
    static POOL: PerProcess<BlockingPool> = PerProcess::new();
    POOL.get_or_init(|| BlockingPool::new(shared().clone(), BLOCKING_THREADS))
}

/// Names the calling thread, as far as the system shows it: Linux keeps 15 bytes.
fn set_thread_name(name: &str) {
    #[cfg(target_os = "linux")]
    {
        let end = (0..=name.len().min(15)).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
        if let Ok(name) = std::ffi::CString::new(&name[..end]) {
            let _ = rustix::thread::set_name(&name);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = name;
}
