//! The pool for work that may block: a limited amount of it at a time runs on threads of a cache, the rest
//! queues.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Piece, ThreadCache, Work};
use crate::base::panic::discard_panic;
use crate::base::sync::lock_std;

/// The number of threads of a pool unless its limits say something else. It is tokio's number.
pub const BLOCKING_THREADS: usize = 512;

/// The limits of a [`BlockingPool`], such as that for what a runtime [offloads](crate::offload).
///
/// # Examples
/// ```
/// use twoply::runtime::PoolLimits;
///
/// let limits = PoolLimits { threads: 4, queue: 1000, ..PoolLimits::default() };
/// assert_eq!(limits.keep_alive, None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// The largest number of threads at a time; [`BLOCKING_THREADS`] by default, and zero counts as one. They
    /// are threads of a cache, whose limit holds for them, too.
    pub threads: usize,
    /// The largest amount of work that waits for a thread; unlimited by default. What would be more is
    /// refused.
    pub queue: usize,
    /// The time for which a thread that has done its work is kept for more; as the other threads of its cache
    /// by default.
    pub keep_alive: Option<Duration>,
}

impl Default for PoolLimits {
    fn default() -> PoolLimits {
        PoolLimits { threads: BLOCKING_THREADS, queue: usize::MAX, keep_alive: None }
    }
}

/// The counters of a [`BlockingPool`] since it was made. Its text form is a line.
///
/// # Examples
/// ```
/// use twoply::Runtime;
///
/// let runtime = Runtime::builder().workers(1).build()?;
/// let offloaded = runtime.metrics().offloaded;
/// assert!(!offloaded.is_saturated());
/// println!("{offloaded}");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolMetrics {
    /// The number of threads that run work.
    pub running: usize,
    /// The amount of work that waits for one of them.
    pub queued: usize,
    /// The largest number of threads that have run work at a time.
    pub most_running: usize,
    /// The largest amount of work that has waited at a time.
    pub most_queued: usize,
    /// The amount of work that is over.
    pub completed: u64,
    /// The amount of work that was refused, because the queue was full or no thread could be had.
    pub refused: u64,
}

impl PoolMetrics {
    /// Returns whether the pool is saturated: there is work for which it has no thread.
    pub fn is_saturated(&self) -> bool {
        self.queued > 0
    }
}

impl fmt::Display for PoolMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PoolMetrics { running, queued, most_running, most_queued, completed, refused } = self;
        write!(
            f,
            "{running} running (at most {most_running}), {queued} queued (at most {most_queued}), \
             {completed} completed, {refused} refused"
        )
    }
}

/// Runs work that may block on a limited number of threads of a [`ThreadCache`]; work that comes while all
/// are busy waits for its turn. Clones share the pool.
///
/// Work must not wait for other work of the same pool: that may be in the queue while all that runs waits in
/// this way.
///
/// # Examples
/// ```
/// use std::sync::mpsc;
/// use twoply::contract::threads::{self, BlockingPool, PoolLimits};
///
/// let pool = BlockingPool::new(threads::shared(), PoolLimits { threads: 1, ..PoolLimits::default() });
/// let (tx, rx) = mpsc::channel();
/// for n in [1, 2, 3] {
///     let tx = tx.clone();
///     pool.execute(None, move || tx.send(n).unwrap())?;
/// }
/// assert_eq!(rx.iter().take(3).collect::<Vec<_>>(), [1, 2, 3]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct BlockingPool(Arc<Shared>);

/// The state that the clones share.
struct Shared {
    /// The threads; `None`: there are none, and work runs where it is handed in.
    cache: Option<ThreadCache>,
    limits: PoolLimits,
    state: Mutex<State>,
}

/// The work of a pool.
#[derive(Default)]
struct State {
    /// The work that no thread has begun, in order.
    queue: VecDeque<Queued>,
    /// The number of threads among those that run which have not taken their first work yet.
    starting: usize,
    /// The counters, but for the length of the queue.
    metrics: PoolMetrics,
}

impl State {
    /// Returns the amount of work that no thread is about to take.
    fn waiting(&self) -> usize {
        self.queue.len().saturating_sub(self.starting)
    }

    /// Counts a thread that takes its first work.
    fn started(&mut self) {
        self.starting -= 1;
        self.metrics.most_running = self.metrics.most_running.max(self.metrics.running);
    }
}

/// Work that no thread has begun.
struct Queued {
    /// The name of the thread meanwhile, unless it is that of the cache.
    name: Option<Box<str>>,
    work: Work,
}

impl BlockingPool {
    /// Creates a pool of threads of `cache`.
    pub fn new(cache: ThreadCache, limits: PoolLimits) -> BlockingPool {
        BlockingPool(Arc::new(Shared { cache: Some(cache), limits, state: Mutex::default() }))
    }

    /// Creates a pool without any thread, for where there must be none: its work runs on the stack that hands
    /// it in.
    ///
    /// # Examples
    /// ```
    /// use std::thread;
    /// use twoply::contract::threads::BlockingPool;
    ///
    /// let here = thread::current().id();
    /// BlockingPool::in_place().execute(None, move || assert_eq!(thread::current().id(), here))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn in_place() -> BlockingPool {
        let limits = PoolLimits::default();
        BlockingPool(Arc::new(Shared { cache: None, limits, state: Mutex::default() }))
    }

    /// Runs `work` on a thread, now or when one of the pool's busy threads is free. The thread has the name
    /// `name` meanwhile, if there is one. A panic of `work` is discarded; the panic hook has reported it.
    ///
    /// # Errors
    /// Fails when no thread can be had, and none is busy with work of this pool or the queue is full; when
    /// all are busy and the queue is full ([`QuotaExceeded`](io::ErrorKind::QuotaExceeded)); and in the child
    /// of a fork. Then `work` is dropped.
    pub fn execute(&self, name: Option<&str>, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let shared = &self.0;
        let Some(cache) = &shared.cache else {
            discard_panic(work);
            lock_std(&shared.state).metrics.completed += 1;
            return Ok(());
        };
        // This comes before the lock, which a thread of the parent's may have held.
        cache.refuse_after_fork()?;
        // It is the user's: where it is refused it is dropped after the lock.
        let queued = Queued { name: name.map(Box::from), work: Box::new(work) };
        let mut state = lock_std(&shared.state);
        let is_full = state.waiting() >= shared.limits.queue;
        let mut called = None;
        if state.metrics.running < shared.limits.threads.max(1) {
            // Under the lock, so that nobody counts on a thread that is refused in the end.
            match cache.start(None, shared.piece(cache)) {
                Ok(idle) => {
                    called = idle;
                    state.metrics.running += 1;
                    state.starting += 1;
                }
                Err(error) if is_full || state.metrics.running == 0 => {
                    state.metrics.refused += 1;
                    return Err(error);
                }
                // A thread that works takes it when it is done with its present work.
                Err(_) => {}
            }
        } else if is_full {
            state.metrics.refused += 1;
            let message = format!("{} pieces of work wait for a thread already", shared.limits.queue);
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, message));
        }
        state.queue.push_back(queued);
        state.metrics.most_queued = state.metrics.most_queued.max(state.waiting());
        drop(state);
        // Without the lock, which it takes first of all.
        if let Some(idle) = called {
            idle.call();
        }
        Ok(())
    }

    /// Returns the counters of the pool; those of a new one in the child of a fork, where there are none of
    /// its threads.
    ///
    /// # Examples
    /// ```
    /// use twoply::contract::threads::{self, BlockingPool, PoolLimits};
    ///
    /// let pool = BlockingPool::new(threads::shared(), PoolLimits::default());
    /// assert_eq!(pool.metrics().running, 0);
    /// ```
    pub fn metrics(&self) -> PoolMetrics {
        // A thread of the parent's may have held the lock.
        if self.0.cache.as_ref().is_some_and(ThreadCache::is_forked) {
            return PoolMetrics::default();
        }
        let state = lock_std(&self.0.state);
        PoolMetrics { queued: state.waiting(), ..state.metrics }
    }
}

impl fmt::Debug for BlockingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingPool").field("metrics", &self.metrics()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Returns what a thread does for the pool.
    fn piece(self: &Arc<Shared>, cache: &ThreadCache) -> Piece {
        let shared = Arc::clone(self);
        let keep_alive = self.limits.keep_alive.unwrap_or(cache.0.limits.keep_alive);
        Piece { name: None, keep_alive, work: Box::new(move || shared.work()) }
    }

    /// Runs work until the queue is empty.
    fn work(&self) {
        lock_std(&self.state).started();
        let mut done = 0;
        while let Some(Queued { name, work, .. }) = self.next(done) {
            match &self.cache {
                Some(cache) => cache.0.named(name.as_deref(), || discard_panic(work)),
                None => discard_panic(work),
            }
            done = 1;
        }
    }

    /// Counts what is done, and takes the next work; `None`: the thread works no longer.
    fn next(&self, done: u64) -> Option<Queued> {
        let mut state = lock_std(&self.state);
        state.metrics.completed += done;
        let next = state.queue.pop_front();
        if next.is_none() {
            state.metrics.running -= 1;
        }
        next
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::super::Limits;
    use super::*;

    fn pool(threads: usize, limit: usize) -> BlockingPool {
        let limits = Limits { threads, ..Limits::default() };
        let cache = ThreadCache::new("twoply-test", limits);
        BlockingPool::new(cache, PoolLimits { threads: limit, ..PoolLimits::default() })
    }

    /// Blocks a thread of `pool` until the sender is dropped.
    fn block(pool: &BlockingPool) -> mpsc::Sender<()> {
        let (hold, held) = mpsc::channel::<()>();
        let (begin, began) = mpsc::channel();
        let code = move || {
            begin.send(()).unwrap();
            let _ = held.recv();
        };
        pool.execute(None, code).unwrap();
        began.recv().unwrap();
        hold
    }

    #[test]
    fn what_is_beyond_the_limit_waits_for_its_turn() {
        // The limit may be the pool's own or that of its cache.
        for (threads, limit) in [(usize::MAX, 2), (2, usize::MAX)] {
            let pool = pool(threads, limit);
            let holds = [block(&pool), block(&pool)];
            let (done, order) = mpsc::channel();
            for n in 0..10 {
                let done = done.clone();
                pool.execute(None, move || done.send(n).unwrap()).unwrap();
            }
            let PoolMetrics { running, queued, .. } = pool.metrics();
            assert_eq!((running, queued), (2, 10));
            assert!(pool.metrics().is_saturated());
            assert!(order.recv_timeout(Duration::from_millis(10)).is_err());
            let [one, two] = holds;
            drop(one);
            assert_eq!(order.iter().take(10).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
            drop(two);
        }
    }

    #[test]
    fn a_panic_keeps_no_work_from_its_turn() {
        let pool = pool(1, 1);
        let hold = block(&pool);
        let (done, over) = mpsc::channel();
        pool.execute(None, || std::panic::resume_unwind(Box::new("expected"))).unwrap();
        pool.execute(None, move || done.send(()).unwrap()).unwrap();
        drop(hold);
        over.recv().unwrap();
    }

    #[test]
    fn where_nobody_works_and_no_thread_can_be_had_it_is_an_error() {
        let pool = pool(0, 1);
        let (kept, gone) = mpsc::channel::<()>();
        assert!(pool.execute(None, move || drop(kept)).is_err());
        assert!(gone.recv().is_err(), "the work is dropped");
        assert_eq!(pool.metrics(), PoolMetrics { refused: 1, ..PoolMetrics::default() });
    }

    #[test]
    fn nobody_counts_on_a_thread_that_is_refused() {
        let cache = ThreadCache::new("twoply-test", Limits { threads: 1, ..Limits::default() });
        let pool = BlockingPool::new(cache.clone(), PoolLimits::default());
        let (hold, held) = mpsc::channel::<()>();
        cache.execute(None, None, move || assert!(held.recv().is_err())).unwrap();
        let refused = || (0..10_000).all(|_| pool.execute(None, || ()).is_err());
        std::thread::scope(|scope| {
            let others = [scope.spawn(refused), scope.spawn(refused)];
            assert!(refused());
            others.into_iter().for_each(|other| assert!(other.join().unwrap()));
        });
        drop(hold);
    }

    #[test]
    fn a_full_queue_refuses_and_says_so() {
        let cache = ThreadCache::new("twoply-test", Limits::default());
        let pool = BlockingPool::new(cache, PoolLimits { threads: 1, queue: 1, ..PoolLimits::default() });
        let hold = block(&pool);
        let (done, over) = mpsc::channel();
        pool.execute(None, move || done.send(()).unwrap()).unwrap();
        let (kept, gone) = mpsc::channel::<()>();
        let refused = pool.execute(None, move || drop(kept)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::QuotaExceeded);
        assert!(gone.recv().is_err(), "the work is dropped");
        drop(hold);
        over.recv().unwrap();
        while pool.metrics().running > 0 {
            std::thread::yield_now();
        }
        let metrics = pool.metrics();
        assert_eq!((metrics.most_running, metrics.most_queued), (1, 1));
        assert_eq!((metrics.completed, metrics.refused, metrics.queued), (2, 1, 0));
    }

    #[test]
    fn idle_threads_of_a_pool_have_a_time_of_their_own() {
        let limits = Limits { keep_alive: Duration::MAX, ..Limits::default() };
        let cache = ThreadCache::new("twoply-test", limits);
        let limits = PoolLimits { keep_alive: Some(Duration::ZERO), ..PoolLimits::default() };
        let pool = BlockingPool::new(cache.clone(), limits);
        pool.execute(None, || ()).unwrap();
        assert!(cache.join(std::time::Instant::now() + Duration::from_secs(10)));
    }
}
