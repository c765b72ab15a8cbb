//! A cache of OS threads: starting work on an idle thread costs a wake-up instead of a `clone`.
//!
//! The native backend runs its tasks here, the green one its workers and the threads that take a blocked
//! worker over, and all of them their blocking calls. A thread that has been idle for a while ends. A cache
//! has no queue: work starts at once or is refused; work that can wait for its turn goes through a
//! [`BlockingPool`]. All caches of a process together have no more threads than [`process_limit`].

mod affinity;
mod limit;
mod pool;
mod start;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::Thread;
use std::time::{Duration, Instant};

pub use affinity::Affinity;
pub use limit::process_limit;
pub use pool::{BLOCKING_THREADS, BlockingPool, PoolLimits, PoolMetrics};
pub(crate) use start::start;

use crate::base::fork::{self, PerProcess};
use crate::base::panic::discard_panic;
use crate::base::sync::lock_std;
use crate::kernel::hooks::{Hooks, process_hooks};
use limit::Permit;

/// The default of [`Limits::keep_alive`].
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The number of times that an idle thread looks for work before it sleeps; see [`spin`](super::spin).
const SPIN_ROUNDS: u32 = 60;

type Work = Box<dyn FnOnce() + Send>;

/// Work for one thread.
struct Piece {
    /// The name of the thread meanwhile, unless it is that of the cache.
    name: Option<Box<str>>,
    /// The time that the thread waits for more when it is done.
    keep_alive: Duration,
    work: Work,
}

/// The limits of a [`ThreadCache`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::contract::threads::Limits;
///
/// let limits = Limits { threads: 4, ..Limits::default() };
/// assert_eq!(limits.keep_alive, Duration::from_secs(10));
/// ```
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest number of threads at a time, idle ones included; unlimited by default. All caches of a
    /// process together have at most [`process_limit`] threads, whatever their own limits.
    pub threads: usize,
    /// The time that an idle thread waits for work before it ends; 10 seconds by default.
    pub keep_alive: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { threads: usize::MAX, keep_alive: KEEP_ALIVE }
    }
}

/// A cache of threads. Clones share it.
///
/// # Examples
/// ```
/// use std::sync::mpsc;
/// use twoply::contract::threads::{Limits, ThreadCache};
///
/// let cache = ThreadCache::new("my-threads", Limits::default());
/// let (tx, rx) = mpsc::channel();
/// cache.execute(Some("sum"), None, move || tx.send(1 + 2).unwrap())?;
/// assert_eq!(rx.recv(), Ok(3));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct ThreadCache(Arc<Shared>);

impl std::fmt::Debug for ThreadCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadCache")
            .field("name", &self.0.name)
            .field("threads", &self.threads())
            .finish_non_exhaustive()
    }
}

/// The state that a cache shares with its threads.
struct Shared {
    /// The name of a thread while it runs no work that has a name of its own.
    name: Cow<'static, str>,
    limits: Limits,
    /// The hooks that threads call; `None` for those of the process, as they are when a thread starts.
    hooks: Option<Hooks>,
    state: Mutex<Threads>,
    /// Notified whenever a thread ends.
    ended: Condvar,
    /// The number of forks when the cache was made. In a child of that process its threads are not there.
    born: u64,
}

/// The threads of a cache; part of [`Shared`].
#[derive(Default)]
struct Threads {
    /// The threads without work. The last one has worked last: its memory is still in the caches.
    idle: VecDeque<Arc<IdleThread>>,
    /// The number of threads, idle ones included.
    threads: usize,
    /// True once no more work is accepted.
    closed: bool,
}

/// A thread that waits for work.
struct IdleThread {
    thread: Thread,
    /// The size of the thread's stack in bytes; `None` for the default size.
    stack_size: Option<usize>,
    /// The work that the thread is to run next.
    next: Mutex<Option<Piece>>,
    /// True once there is something in `next`, or the thread is to end. An idle thread spins on it.
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
    /// Creates an empty cache, whose threads have the name `name`, without any NUL, which the system cannot
    /// have in names.
    pub fn new(name: impl Into<Cow<'static, str>>, limits: Limits) -> ThreadCache {
        ThreadCache::make(name.into(), limits, Some(Hooks::new()))
    }

    /// As [`ThreadCache::new`], with hooks that its threads call as they start, stop and have nothing to run.
    ///
    /// # Examples
    /// ```
    /// use twoply::contract::threads::{Limits, ThreadCache};
    /// use twoply::runtime::Hooks;
    ///
    /// let hooks = Hooks::new().on_thread_stop(|| println!("one less"));
    /// let cache = ThreadCache::with_hooks("my-threads", Limits::default(), hooks);
    /// cache.execute(None, None, || println!("the last work"))?;
    /// cache.close();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with_hooks(name: impl Into<Cow<'static, str>>, limits: Limits, hooks: Hooks) -> ThreadCache {
        ThreadCache::make(name.into(), limits, Some(hooks))
    }

    fn make(name: Cow<'static, str>, limits: Limits, hooks: Option<Hooks>) -> ThreadCache {
        let state = Mutex::new(Threads::default());
        let born = fork::count();
        ThreadCache(Arc::new(Shared { name, limits, hooks, state, ended: Condvar::new(), born }))
    }

    /// Runs `work` on an idle thread with a stack of that size, or on a new one. A panic of `work` is
    /// discarded; the panic hook has reported it.
    ///
    /// The thread has the name `name` meanwhile, as far as the system shows it, and a stack of `stack_size`
    /// bytes; `None` stands for the name of the cache and the default size.
    ///
    /// # Errors
    /// Fails when the operating system refuses a thread, a limit has been reached
    /// ([`QuotaExceeded`](io::ErrorKind::QuotaExceeded)), the cache has been closed or the process has
    /// forked. Then `work` is dropped.
    pub fn execute(
        &self,
        name: Option<&str>,
        stack_size: Option<usize>,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let keep_alive = self.0.limits.keep_alive;
        let piece = Piece { name: name.map(Box::from), keep_alive, work: Box::new(work) };
        if let Some(idle) = self.start(stack_size, piece)? {
            idle.call();
        }
        Ok(())
    }

    /// Has a new thread run it, or hands back the idle one that runs it as soon as it is called.
    fn start(&self, stack_size: Option<usize>, piece: Piece) -> io::Result<Option<Arc<IdleThread>>> {
        // This comes before the lock, which a thread of the parent's may have held.
        self.refuse_after_fork()?;
        let permit = {
            let mut state = lock_std(&self.0.state);
            if state.closed {
                return Err(io::Error::other("the thread cache has been closed"));
            }
            if let Some(at) = state.idle.iter().rposition(|idle| idle.stack_size == stack_size) {
                let idle = state.idle.remove(at);
                drop(state);
                return Ok(idle.inspect(|idle| *lock_std(&idle.next) = Some(piece)));
            }
            if state.threads >= self.0.limits.threads {
                // An idle thread with another stack makes room.
                match state.idle.pop_front() {
                    Some(idle) => idle.call(),
                    None => return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the limit of threads")),
                }
            }
            let Some(permit) = Permit::take() else {
                let message = format!("this process has {} threads, as many as it should", process_limit());
                return Err(io::Error::new(io::ErrorKind::QuotaExceeded, message));
            };
            state.threads += 1;
            permit
        };
        let shared = Arc::clone(&self.0);
        let started = start(self.0.name.clone().into_owned(), stack_size, move || {
            let _permit = permit;
            shared.run_thread(stack_size, piece);
        });
        if started.is_err() {
            self.0.thread_ended();
        }
        started.map(|()| None)
    }

    fn refuse_after_fork(&self) -> io::Result<()> {
        match self.is_forked() {
            false => Ok(()),
            true => Err(io::Error::other("the process was forked: the threads stayed behind in the parent")),
        }
    }

    /// Returns whether this process is a fork of the one that made the cache, so that its threads are not
    /// here.
    pub fn is_forked(&self) -> bool {
        fork::count() != self.0.born
    }

    /// Returns the number of threads, and how many of them are idle.
    ///
    /// # Examples
    /// ```
    /// use twoply::contract::threads::{Limits, ThreadCache};
    ///
    /// let cache = ThreadCache::new("my-threads", Limits::default());
    /// assert_eq!(cache.threads(), (0, 0));
    /// ```
    pub fn threads(&self) -> (usize, usize) {
        let state = lock_std(&self.0.state);
        (state.threads, state.idle.len())
    }

    /// Closes the cache: it accepts no more work, and each thread ends when it has done its work.
    ///
    /// # Examples
    /// ```
    /// use std::time::{Duration, Instant};
    /// use twoply::contract::threads::{Limits, ThreadCache};
    ///
    /// let cache = ThreadCache::new("my-threads", Limits::default());
    /// cache.execute(None, None, || println!("the last work"))?;
    /// cache.close();
    /// assert!(cache.execute(None, None, || ()).is_err());
    /// assert!(cache.join(Instant::now() + Duration::from_secs(10)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close(&self) {
        let mut state = lock_std(&self.0.state);
        state.closed = true;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        idle.iter().for_each(|idle| idle.call());
    }

    /// Waits until no thread is left or `deadline` has passed, and returns whether no thread is left. The
    /// cache need not be [closed](Self::close).
    ///
    /// This blocks the calling thread, whatever runs on it.
    ///
    /// # Examples
    /// ```
    /// use std::time::{Duration, Instant};
    /// use twoply::contract::threads::{Limits, ThreadCache};
    ///
    /// let limits = Limits { keep_alive: Duration::ZERO, ..Limits::default() };
    /// let cache = ThreadCache::new("my-threads", limits);
    /// cache.execute(None, None, || ())?;
    /// assert!(cache.join(Instant::now() + Duration::from_secs(10)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn join(&self, deadline: Instant) -> bool {
        let mut state = lock_std(&self.0.state);
        while state.threads > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = match self.0.ended.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        true
    }
}

impl Shared {
    fn run_thread(self: Arc<Self>, stack_size: Option<usize>, first: Piece) {
        /// Counts the thread out at its very end, also when it unwinds.
        struct Ended(Arc<Shared>);
        impl Drop for Ended {
            fn drop(&mut self) {
                self.0.thread_ended();
            }
        }
        let ended = Ended(self);
        let hooks = ended.0.hooks.clone().unwrap_or_else(process_hooks);
        let mut next = Some(first);
        hooks.around_thread(&mut || {
            while let Some(Piece { name, keep_alive, work }) = next.take() {
                ended.0.named(name.as_deref(), || discard_panic(work));
                next = hooks.while_parked(|| ended.0.next_work(stack_size, keep_alive));
            }
        });
    }

    /// Calls `run` while the thread has the name, if there is one.
    fn named(&self, name: Option<&str>, run: impl FnOnce()) {
        let Some(name) = name else { return run() };
        set_thread_name(name);
        run();
        set_thread_name(&self.name);
    }

    /// Waits for work as an idle thread. Returns `None` when the thread is to end.
    fn next_work(&self, stack_size: Option<usize>, keep_alive: Duration) -> Option<Piece> {
        let idle = Arc::new(IdleThread {
            thread: std::thread::current(),
            stack_size,
            next: Mutex::new(None),
            called: AtomicBool::new(false),
        });
        {
            let mut state = lock_std(&self.state);
            if state.closed {
                return None;
            }
            state.idle.push_back(Arc::clone(&idle));
        }
        for _ in 0..SPIN_ROUNDS {
            if idle.called.load(Ordering::Acquire) {
                return lock_std(&idle.next).take();
            }
            std::thread::yield_now();
        }
        crate::kernel::strand::trim_thread();
        let expiry = Instant::now().checked_add(keep_alive);
        while !idle.called.load(Ordering::Acquire) {
            let Some(expiry) = expiry else {
                std::thread::park();
                continue;
            };
            let left = expiry.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let mut state = lock_std(&self.state);
                let before = state.idle.len();
                state.idle.retain(|other| !Arc::ptr_eq(other, &idle));
                if state.idle.len() < before {
                    return None;
                }
                // Somebody has taken this thread out at the same moment: the work is on its way.
                drop(state);
                std::thread::yield_now();
                continue;
            }
            std::thread::park_timeout(left);
        }
        lock_std(&idle.next).take()
    }

    fn thread_ended(&self) {
        lock_std(&self.state).threads -= 1;
        self.ended.notify_all();
    }
}

/// Returns the cache for what the library itself does beside the tasks, such as ending a runtime.
///
/// # Examples
/// ```
/// let (threads, idle) = twoply::contract::threads::shared().threads();
/// assert!(idle <= threads);
/// ```
pub fn shared() -> ThreadCache {
    static SHARED: PerProcess<ThreadCache> = PerProcess::new();
    SHARED.get_or_init(|| ThreadCache::make("twoply-blocking".into(), Limits::default(), None)).clone()
}

/// Returns the pool for blocking calls of stacks whose backend has none. It takes its threads from the
/// [`shared`] cache, at most [`BLOCKING_THREADS`].
///
/// # Examples
/// ```
/// let (tx, rx) = std::sync::mpsc::channel();
/// twoply::contract::threads::blocking().execute(None, move || tx.send("done").unwrap())?;
/// assert_eq!(rx.recv(), Ok("done"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn blocking() -> BlockingPool {
    static POOL: PerProcess<BlockingPool> = PerProcess::new();
    POOL.get_or_init(|| BlockingPool::new(shared(), PoolLimits::default())).clone()
}

/// Gives the calling thread a name in the operating system; Linux keeps the first 15 bytes.
fn set_thread_name(name: &str) {
    #[cfg(target_os = "linux")]
    {
        let name = start::without_nul(name.to_owned());
        if let Ok(name) = std::ffi::CString::new(&name[..name.floor_char_boundary(15)]) {
            let _ = rustix::thread::set_name(&name);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = name;
}
