//! The sleepers under loom: `RUSTFLAGS="--cfg loom" cargo test -p twoply-green --release --lib sleepers`.
//!
//! Work is a number in an injector, as what comes from outside the workers is. A worker that sleeps although
//! there is work, and nobody on the way to it, is a deadlock, which loom reports.

use std::ptr::NonNull;
use std::sync::Arc;

use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::Sleepers;
use crate::queue::{Injector, Item};

/// A piece of work.
struct Job(Box<usize>);

impl Item for Job {
    fn into_raw(self) -> NonNull<()> {
        NonNull::from(Box::leak(self.0)).cast()
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Self {
        // SAFETY: the caller says that the pointer is from `into_raw`, which got it from a box.
        Job(unsafe { Box::from_raw(raw.cast().as_ptr()) })
    }
}

/// Workers, and what is there for them to do.
struct Workers {
    /// The sleepers under test.
    sleepers: Sleepers,
    /// The work that there is.
    work: Injector<Job>,
    /// True for each worker that has been notified, as the word of its reactor says.
    notified: Mutex<[bool; 2]>,
    /// The condition that ends a sleep.
    woken: Condvar,
}

impl Workers {
    fn new() -> Arc<Workers> {
        Arc::new(Workers {
            sleepers: Sleepers::new(),
            work: Injector::new(),
            notified: Mutex::new([false; 2]),
            woken: Condvar::new(),
        })
    }

    fn notify(&self, picked: Option<usize>) {
        if let Some(worker) = picked {
            self.notified.lock().unwrap()[worker] = true;
            self.woken.notify_all();
        }
    }

    fn push(&self, number: usize) {
        self.work.push(Job(Box::new(number)));
        self.notify(self.sleepers.pick());
    }

    /// Does what a worker does until it has something to do, as in its `find_work`.
    fn find(&self, worker: usize, mut searches: bool) -> usize {
        loop {
            if let Some(Job(number)) = self.work.pop() {
                if searches {
                    self.notify(self.sleepers.found(|| !self.work.is_empty()));
                }
                return *number;
            }
            self.sleepers.begin_sleep(worker, searches);
            let sleeps = self.work.is_empty();
            if sleeps {
                let mut notified = self.notified.lock().unwrap();
                while !notified[worker] {
                    notified = self.woken.wait(notified).unwrap();
                }
                notified[worker] = false;
            }
            searches = self.sleepers.end_sleep(worker, searches && !sleeps);
        }
    }
}

/// Two preemptions show all that these models are for, and more take minutes.
fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(body);
}

#[test]
fn work_finds_a_worker_that_is_falling_asleep() {
    model(|| {
        let workers = Workers::new();
        let worker = Arc::clone(&workers);
        let worker = thread::spawn(move || worker.find(0, false));
        workers.push(7);
        assert_eq!(worker.join().unwrap(), 7);
    });
}

#[test]
fn work_finds_a_searcher_that_is_falling_asleep() {
    model(|| {
        let workers = Workers::new();
        assert!(workers.sleepers.start_search(2));
        let worker = Arc::clone(&workers);
        let worker = thread::spawn(move || worker.find(0, true));
        workers.push(7);
        assert_eq!(worker.join().unwrap(), 7);
    });
}

/// A worker that has found something may be busy with it for ever.
#[test]
fn a_searcher_that_finds_work_has_the_next_one_woken() {
    model(|| {
        let workers = Workers::new();
        assert!(workers.sleepers.start_search(2));
        workers.sleepers.begin_sleep(1, false);
        let finders = [0, 1].map(|worker| {
            let workers = Arc::clone(&workers);
            thread::spawn(move || match worker {
                0 => workers.find(0, true),
                _ => {
                    // It is asleep already.
                    let mut notified = workers.notified.lock().unwrap();
                    while !notified[1] {
                        notified = workers.woken.wait(notified).unwrap();
                    }
                    notified[1] = false;
                    drop(notified);
                    let searches = workers.sleepers.end_sleep(1, false);
                    workers.find(1, searches)
                }
            })
        });
        workers.push(1);
        workers.push(2);
        let found: usize = finders.into_iter().map(|finder| finder.join().unwrap()).sum();
        assert_eq!(found, 3);
    });
}
