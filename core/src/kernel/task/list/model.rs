//! The tasks under loom, with two shards:
//! `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib task::list`.
//!
//! A task is a number here: odd ones live in one shard, even ones in the other.

use std::task::Wake;

use loom::sync::atomic::AtomicUsize as LoomUsize;
use loom::sync::atomic::Ordering::Relaxed;
use loom::thread;

use super::super::header::model::{header, id};
use super::*;
use crate::base::sync::seq_cst::by_turns;

/// A waker that counts.
struct Wakes(LoomUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// One who waits for the end.
struct Waiter {
    /// The future that it waits with.
    future: WaitEmpty,
    /// The number of times that it has been woken.
    wakes: Arc<Wakes>,
}

impl Waiter {
    fn new(tasks: &Arc<TaskList>) -> Waiter {
        Waiter { future: tasks.wait_empty(), wakes: Arc::new(Wakes(LoomUsize::new(0))) }
    }

    fn poll(&mut self) -> Poll<()> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        Pin::new(&mut self.future).poll(&mut Context::from_waker(&waker))
    }
}

/// All schedules with at most three involuntary switches; see the parker's model.
fn check(model: impl Fn() + Send + Sync + Copy + 'static) {
    by_turns(|| {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(model);
    });
}

/// Lets the given tasks, which have been counted, end on a thread of their own.
fn end(tasks: &Arc<TaskList>, ids: &'static [u64]) -> thread::JoinHandle<()> {
    let tasks = Arc::clone(tasks);
    thread::spawn(move || ids.iter().for_each(|number| tasks.count_end(id(*number))))
}

/// Polls while the list is in use by `others`, and again once they are through.
fn wait_for_the_end(mut waiter: Waiter, others: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    let first = waiter.poll();
    for other in others {
        other.join().unwrap();
    }
    if first.is_pending() {
        assert!(waiter.wakes.0.load(Relaxed) >= 1, "nobody says that the last task is over");
        assert!(waiter.poll().is_ready());
    }
}

#[test]
fn a_task_that_starts_sees_the_end_or_is_seen_by_it() {
    check(|| {
        let tasks = TaskList::new();
        let starter = {
            let tasks = Arc::clone(&tasks);
            thread::spawn(move || tasks.count_start(id(1)))
        };
        tasks.close();
        let empty = tasks.is_empty();
        let started = starter.join().unwrap();
        assert!(!(empty && started), "a task has been started behind the back of who closed");
    });
}

#[test]
fn a_task_that_comes_to_wait_is_cancelled_by_a_close_at_the_same_time() {
    check(|| {
        let tasks = TaskList::new();
        assert!(tasks.count_start(id(1)));
        let task = {
            let tasks = Arc::clone(&tasks);
            thread::spawn(move || {
                let header = header(&tasks, 1);
                // SAFETY: it stays where it is, and is taken out below.
                let waker = unsafe { tasks.insert(&header, Some(Waker::noop().clone())) };
                assert!(waker.is_none() || header.is_cancelled());
                header
            })
        };
        tasks.close();
        let header = task.join().unwrap();
        assert!(header.is_cancelled());
        header.finish();
    });
}

#[test]
fn who_waits_is_told_when_the_last_task_ends() {
    check(|| {
        let tasks = TaskList::new();
        assert!(tasks.count_start(id(1)));
        let waiter = Waiter::new(&tasks);
        wait_for_the_end(waiter, [end(&tasks, &[1])]);
    });
}

#[test]
fn the_last_tasks_of_two_shards_leave_nobody_waiting() {
    check(|| {
        let tasks = TaskList::new();
        assert!(tasks.count_start(id(1)) && tasks.count_start(id(2)));
        let waiter = Waiter::new(&tasks);
        wait_for_the_end(waiter, [end(&tasks, &[1]), end(&tasks, &[2])]);
    });
}

#[test]
fn the_last_tasks_of_one_shard_leave_nobody_waiting() {
    check(|| {
        let tasks = TaskList::new();
        assert!(tasks.count_start(id(1)) && tasks.count_start(id(3)));
        let waiter = Waiter::new(&tasks);
        wait_for_the_end(waiter, [end(&tasks, &[1]), end(&tasks, &[3])]);
    });
}

/// The task goes where the count has been taken already, before it ends where that is still to be taken.
#[test]
fn a_task_that_starts_another_one_and_ends_is_not_the_last() {
    for (first, second) in [(1, 2), (2, 1)] {
        check(move || {
            let tasks = TaskList::new();
            assert!(tasks.count_start(id(first)));
            let task = {
                let tasks = Arc::clone(&tasks);
                thread::spawn(move || {
                    assert!(tasks.count_start(id(second)));
                    tasks.count_end(id(first));
                })
            };
            assert!(!tasks.is_empty(), "there has been a task all the time");
            task.join().unwrap();
            assert_eq!(tasks.len(), 1);
        });
    }
}
