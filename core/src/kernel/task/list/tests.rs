//! The numbers of a list of tasks, without any task: they are counted by hand.

use std::pin::pin;

use super::*;
use crate::base::wake::WakeCount;

/// Two tasks of different shards that have been counted.
fn two_tasks(tasks: &TaskList) -> [TaskId; 2] {
    let ids = [1, 2].map(|number| TaskId::from_u64(number).unwrap());
    assert!(ids.iter().all(|id| tasks.count_start(*id)));
    ids
}

#[test]
fn who_waits_for_the_end_is_woken_by_the_last_task_only() {
    let tasks = TaskList::new();
    let [first, last] = two_tasks(&tasks);
    let (count, waker) = WakeCount::new();
    let mut cx = Context::from_waker(&waker);
    let mut empty = pin!(tasks.wait_empty());
    assert!(empty.as_mut().poll(&mut cx).is_pending());
    tasks.count_end(first);
    assert_eq!(count.get(), 0, "it is the last of its shard, and another shard has one");
    tasks.count_end(last);
    assert_eq!(count.get(), 1);
    assert!(empty.poll(&mut cx).is_ready());
}

#[test]
fn a_shutdown_that_fails_says_what_is_left() {
    let tasks = TaskList::new();
    let message = |threads| tasks.ended(threads).unwrap_err().to_string();
    assert_eq!(message(1), "all tasks have ended, but one thread has not yet");
    assert_eq!(message(2), "all tasks have ended, but 2 threads have not yet");
    let [first, _] = two_tasks(&tasks);
    assert_eq!(message(0), "2 tasks have not ended");
    tasks.count_end(first);
    assert_eq!(message(1), "one task has not ended", "tasks come first");
}
