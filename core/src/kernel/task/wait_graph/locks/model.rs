//! Closing a circle of locks under loom:
//! `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib wait_graph::locks`.

use std::cell::RefCell;

use loom::sync::atomic::AtomicU64;
use loom::sync::atomic::Ordering::Relaxed;
use loom::thread;

use super::super::model::{Stopped, Waiting, settle};
use super::*;
use crate::base::sync::seq_cst::by_turns;
use crate::kernel::task::{Header, TaskList, header};

/// A lock that is never given back. Two may have it.
struct Kept {
    holders: [AtomicU64; 2],
    tenure: Tenure,
}

impl Kept {
    fn new() -> Arc<Kept> {
        Arc::new(Kept { holders: [(); 2].map(|()| AtomicU64::new(0)), tenure: Tenure::new() })
    }

    /// Has `header` take the lock, as its holder number `n`.
    fn take(&self, n: usize, header: &Header) {
        self.holders[n].store(header.takes_lock().as_u64(), Relaxed);
    }
}

impl HeldLock for Kept {
    fn holders(&self) -> Blockers {
        let mut holders = Blockers::default();
        let known = self.holders.iter().map(|holder| TaskId::from_u64(holder.load(Relaxed)));
        holders.iter_mut().zip(known).for_each(|(holder, known)| *holder = known);
        holders
    }

    fn tenure(&self) -> Option<Tenure> {
        Some(self.tenure.clone())
    }
}

/// Begins to wait for `wants` and for nothing else. Returns whether the wait is refused.
fn begin(header: &Header, wants: Arc<Kept>) -> (Stopped, bool) {
    let task = Arc::clone(header.about_to_want_lock());
    let mut wait = LockWait::default();
    wait.publish(&task);
    let wait = RefCell::new(wait);
    let stopped = Stopped::saying(&task, move |task| {
        let mut wait = wait.borrow_mut();
        wait.say(task, &*wants, &WaitKey::new());
        wait.is_said
    });
    let is_told = stopped.poll();
    (stopped, is_told)
}

/// Has each of `tasks` tasks take a lock and wait for that of the next at once, and returns how many of them
/// are told.
fn told(tasks: usize) -> usize {
    let list = TaskList::new();
    let headers: Vec<_> = (0..tasks).map(|n| header(&list, n as u64 + 1)).collect();
    let locks: Vec<_> = (0..tasks).map(|_| Kept::new()).collect();
    let pair = |n: usize| (Arc::clone(&locks[n]), Arc::clone(&locks[(n + 1) % tasks]));
    let others: Vec<_> = (1..tasks)
        .map(|n| {
            let (header, (has, wants)) = (Arc::clone(&headers[n]), pair(n));
            thread::spawn(move || {
                has.take(0, &header);
                begin(&header, wants)
            })
        })
        .collect();
    let (has, wants) = pair(0);
    has.take(0, &headers[0]);
    let mut all = vec![begin(&headers[0], wants)];
    all.extend(others.into_iter().map(|other| other.join().unwrap()));
    settle(all.iter().map(|(stopped, is_told)| (stopped, *is_told)))
}

#[test]
fn of_two_who_want_each_others_locks_one_is_told() {
    by_turns(|| {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| assert_eq!(told(2), 1));
    });
}

#[test]
fn who_wants_its_own_lock_is_told() {
    by_turns(|| loom::model(|| assert_eq!(told(1), 1)));
}

/// As two readers that want to write: each closes two circles, one of which is its own.
#[test]
fn each_of_two_who_share_a_lock_and_want_it_alone_is_told() {
    by_turns(|| {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(|| {
            let list = TaskList::new();
            let shared = Kept::new();
            let headers = [1, 2].map(|number| header(&list, number));
            (0..2).for_each(|n| shared.take(n, &headers[n]));
            let [ann, bob] = headers;
            let other = {
                let (bob, shared) = (Arc::clone(&bob), Arc::clone(&shared));
                thread::spawn(move || begin(&bob, shared))
            };
            let all = [begin(&ann, shared), other.join().unwrap()];
            assert_eq!(settle(all.iter().map(|(stopped, is_told)| (stopped, *is_told))), 2);
        });
    });
}

/// As two of whom one wants the lock that the other one has, who waits for what the first one owes.
#[test]
fn of_two_who_close_a_circle_of_a_lock_and_a_promise_one_is_told() {
    by_turns(|| {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let list = TaskList::new();
            let [ann, bob] = [1, 2].map(|number| header(&list, number));
            let bobs = Kept::new();
            let owing = Arc::clone(ann.shared());
            let other = {
                let (bob, bobs) = (Arc::clone(&bob), Arc::clone(&bobs));
                thread::spawn(move || {
                    bobs.take(0, &bob);
                    Waiting::begin(bob.about_to_block(), &owing)
                })
            };
            let (anns, is_told) = begin(&ann, bobs);
            let waits_for_ann = other.join().unwrap();
            assert_eq!(settle([(&anns, is_told), waits_for_ann.polled()]), 1);
        });
    });
}
