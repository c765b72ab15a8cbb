//! Work that may block, on threads of a cache: so much of it at a time, and the rest in a queue.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use super::{ThreadCache, Work};
use crate::base::panic::discard_panic;
use crate::base::sync::lock_std;

/// How much work a pool runs at a time, unless it was told otherwise. Tokio's number.
pub const BLOCKING_THREADS: usize = 512;

/// Runs what may block on threads of a [`ThreadCache`], a limited number of them; what comes when all are busy waits for its
/// turn. Clones share it.
///
/// Work that waits for other work of the same pool may wait for ever, if that is in the queue and everything that runs waits
/// in this way.
#[derive(Clone)]
pub struct BlockingPool(Arc<Shared>);

/// What the clones share.
struct Shared {
    /// Where threads come from.
    cache: ThreadCache,
    /// The most threads at a time.
    limit: usize,
    /// Who works, and what is left to do.
    state: Mutex<State>,
}

/// See [`Shared::state`].
#[derive(Default)]
struct State {
    /// How many threads work, or are about to.
    working: usize,
    /// What nobody does yet, in order, with the number by which whoever has brought it finds it again.
    queue: VecDeque<(u64, Work)>,
    /// How much has been brought so far.
    count: u64,
}

impl BlockingPool {
    /// A pool of at most `limit` threads of `cache`; at least one.
    pub fn new(cache: ThreadCache, limit: usize) -> BlockingPool {
        BlockingPool(Arc::new(Shared { cache, limit: limit.max(1), state: Mutex::default() }))
    }

    /// Runs `work` on a thread, now or when one of those that are busy with the work of this pool is free. A panic in it ends
    /// there.
    ///
    /// # Errors
    /// When no thread can be had and none is busy with the work of this pool. The work is dropped then.
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
            // Whoever works takes it when it is done with what it does.
            let at =
                if state.working > 0 { None } else { state.queue.iter().position(|(n, _)| *n == number) };
            at.and_then(|at| state.queue.remove(at))
        };
        // Dropped outside the lock: it is the user's.
        match refused {
            Some(refused) => {
                drop(refused);
                Err(error)
            }
            None => Ok(()),
        }
    }

    /// How much work runs, and how much is in the queue.
    pub fn load(&self) -> (usize, usize) {
        let state = lock_std(&self.0.state);
        (state.working, state.queue.len())
    }
}

impl Shared {
    /// Works until nothing is left.
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
        // Whether the pool itself has a limit or its cache has.
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
