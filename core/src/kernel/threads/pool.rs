//! The pool for work that may block: a limited amount of it at a time runs on threads of a cache, the rest
//! queues.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use super::{ThreadCache, Work};
use crate::base::panic::discard_panic;
use crate::base::sync::lock_std;

/// The number of threads of the pools that the library makes itself. It is tokio's number.
pub const BLOCKING_THREADS: usize = 512;

/// Runs work that may block on a limited number of threads of a [`ThreadCache`]; work that comes while all
/// are busy waits for its turn. Clones share the pool.
///
/// Work must not wait for other work of the same pool: that may be in the queue while all that runs waits in
/// this way.
///
/// # Examples
/// ```
/// use std::sync::mpsc;
/// use twoply::contract::threads::{self, BlockingPool};
///
/// let pool = BlockingPool::new(threads::shared(), 1);
/// let (tx, rx) = mpsc::channel();
/// for n in [1, 2, 3] {
///     let tx = tx.clone();
///     pool.execute(move || tx.send(n).unwrap())?;
/// }
/// assert_eq!(rx.iter().take(3).collect::<Vec<_>>(), [1, 2, 3]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct BlockingPool(Arc<Shared>);

/// The state that the clones share.
struct Shared {
    cache: ThreadCache,
    /// The largest number of threads at a time.
    limit: usize,
    state: Mutex<State>,
}

/// The work of a pool.
#[derive(Default)]
struct State {
    /// The number of threads that work, or are about to.
    working: usize,
    /// The work that no thread has begun, in order, with the numbers by which [`BlockingPool::execute`] finds
    /// it again.
    queue: VecDeque<(u64, Work)>,
    /// The number of all work so far.
    count: u64,
}

impl BlockingPool {
    /// Creates a pool of at most `limit` threads of `cache`; a limit of zero counts as one.
    pub fn new(cache: ThreadCache, limit: usize) -> BlockingPool {
        BlockingPool(Arc::new(Shared { cache, limit: limit.max(1), state: Mutex::default() }))
    }

    /// Runs `work` on a thread, now or when one of the pool's busy threads is free. A panic of `work` is
    /// discarded; the panic hook has reported it.
    ///
    /// # Errors
    /// Fails when no thread can be had and none is busy with work of this pool. Then `work` is dropped.
    pub fn execute(&self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let number = {
            let mut state = lock_std(&self.0.state);
            state.count += 1;
            let number = state.count;
            state.queue.push_back((number, Box::new(work)));
            if state.working >= self.0.limit {
                return Ok(());
            }
            state.working += 1;
            number
        };
        let shared = Arc::clone(&self.0);
        let Err(error) = self.0.cache.execute(None, None, move || shared.work()) else { return Ok(()) };
        let refused = {
            let mut state = lock_std(&self.0.state);
            state.working -= 1;
            // A thread that works takes it when it is done with its present work.
            let at =
                if state.working > 0 { None } else { state.queue.iter().position(|(n, _)| *n == number) };
            at.and_then(|at| state.queue.remove(at))
        };
        // It is the user's, so it is dropped without the lock.
        match refused {
            Some(refused) => {
                drop(refused);
                Err(error)
            }
            None => Ok(()),
        }
    }

    /// Returns the number of threads that run work, and the length of the queue.
    ///
    /// # Examples
    /// ```
    /// use twoply::contract::threads::{self, BlockingPool};
    ///
    /// let pool = BlockingPool::new(threads::shared(), 2);
    /// assert_eq!(pool.load(), (0, 0));
    /// ```
    pub fn load(&self) -> (usize, usize) {
        let state = lock_std(&self.0.state);
        (state.working, state.queue.len())
    }
}

impl Shared {
    /// Runs work until the queue is empty.
    fn work(&self) {
        loop {
            let next = {
                let mut state = lock_std(&self.state);
                let next = state.queue.pop_front();
                if next.is_none() {
                    state.working -= 1;
                }
                next
            };
            match next {
                Some((_, work)) => discard_panic(work),
                None => return,
            }
        }
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
        BlockingPool::new(ThreadCache::new("twoply-test", limits), limit)
    }

    /// Blocks a thread of `pool` until the sender is dropped.
    fn block(pool: &BlockingPool) -> mpsc::Sender<()> {
        let (hold, held) = mpsc::channel::<()>();
        let (begin, began) = mpsc::channel();
        let code = move || {
            begin.send(()).unwrap();
            let _ = held.recv();
        };
        pool.execute(code).unwrap();
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
                pool.execute(move || done.send(n).unwrap()).unwrap();
            }
            assert_eq!(pool.load(), (2, 10));
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
        pool.execute(|| std::panic::resume_unwind(Box::new("expected"))).unwrap();
        pool.execute(move || done.send(()).unwrap()).unwrap();
        drop(hold);
        over.recv().unwrap();
    }

    #[test]
    fn where_nobody_works_and_no_thread_can_be_had_it_is_an_error() {
        let pool = pool(0, 1);
        let (kept, gone) = mpsc::channel::<()>();
        assert!(pool.execute(move || drop(kept)).is_err());
        assert!(gone.recv().is_err(), "the work is dropped");
        assert_eq!(pool.load(), (0, 0));
    }
}
