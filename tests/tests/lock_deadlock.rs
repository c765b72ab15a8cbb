//! Waiting in a circle for locks: found where it is, and nowhere else.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use twoply_core::promise::{self, Failure};
use twoply_core::sync::{LockError, Mutex, MutexGuard};
use twoply_core::task::Builder;
use twoply_core::time::timeout;
use twoply_core::{Wait, channel};
use twoply_tests::{Gate, Systems, laws, start_named};

laws! {
    and_mixed {
        a_task_that_locks_what_it_has_locked_is_told,
        of_two_who_lock_in_opposite_order_one_is_told,
        a_circle_of_three_locks_is_named_in_order,
        locks_that_are_taken_in_a_circle_at_once_are_told_once,
        a_circle_through_a_lock_and_a_handle_is_told,
        a_circle_through_a_lock_and_a_promise_is_told,
        a_line_of_locks_without_a_circle_comes_out,
    }
    everywhere {
        a_lock_that_panics_for_a_deadlock_says_who,
        futures_of_one_task_may_hold_and_want_the_same_lock,
        two_tasks_of_several_futures_are_told_of_no_circle,
        a_wait_for_a_lock_with_a_time_limit_is_told_of_no_circle,
        a_wait_for_a_lock_that_was_given_up_closes_no_circle,
        a_guard_that_is_handed_on_closes_no_circle,
        a_lock_that_has_gone_on_to_another_task_closes_no_circle,
    }
}

/// How long what is not found is given.
const A_WHILE: Duration = Duration::from_millis(20);

/// Both ways to wait.
const STRAIGHT: [bool; 2] = [false, true];

/// What a task that has waited for a lock was told, if it was told of a circle.
type Told = Option<String>;

/// Locks the one, and when all have done so the other, with the first still locked.
async fn lock_both(
    first: Arc<Mutex<u32>>,
    second: Arc<Mutex<u32>>,
    ready: channel::Sender<()>,
    go: Gate,
) -> Told {
    let mut first = first.lock().await;
    ready.send(()).await.unwrap();
    go.opened().await;
    *first += 1;
    match second.lock().checked().await {
        Ok(mut second) => {
            *second += 1;
            None
        }
        Err(LockError::Deadlock(cycle)) => Some(cycle.to_string()),
        Err(other) => panic!("{other}"),
    }
}

/// Has each task lock its own and then the next one's, by turns here and there. Returns what they were told.
/// The last one wants the lock of the first, or one that nobody has.
fn chain(on: &Systems, names: &[&str], straight: bool, is_circle: bool) -> Vec<Told> {
    let (ready, all_ready) = channel::unbounded();
    let go = Gate::new();
    let locks: Vec<_> = (0..=names.len()).map(|_| Arc::new(Mutex::new(0))).collect();
    let next = |n: usize| if n + 1 == names.len() && is_circle { 0 } else { n + 1 };
    let tasks: Vec<_> = (0..names.len())
        .map(|n| {
            let system = if n % 2 == 0 { on.here() } else { on.there() };
            let (first, second) = (Arc::clone(&locks[n]), Arc::clone(&locks[next(n)]));
            start_named(system, straight, names[n], lock_both(first, second, ready.clone(), go.clone()))
        })
        .collect();
    for _ in names {
        all_ready.recv().wait().unwrap();
    }
    go.open();
    let told = tasks.into_iter().map(|task| task.wait().unwrap()).collect();
    assert!(locks.iter().all(|lock| lock.try_lock().is_some()), "a lock is left behind");
    told
}

/// The only circle that anybody was told of.
fn the_circle(told: Vec<Told>) -> String {
    let mut told = told.into_iter().flatten();
    let cycle = told.next().expect("nobody is told");
    assert_eq!(told.next(), None, "two are told");
    cycle
}

/// Whether `cycle` goes through `names` in this order, wherever it begins.
fn goes_through(cycle: &str, names: &[&str]) -> bool {
    (0..names.len()).any(|first| {
        let mut names: Vec<_> = names.to_vec();
        names.rotate_left(first);
        names.push(names[0]);
        names.join(" -> ") == cycle
    })
}

fn a_task_that_locks_what_it_has_locked_is_told(on: &Systems) {
    for straight in STRAIGHT {
        assert_eq!(the_circle(chain(on, &["narcissus"], straight, true)), "narcissus -> narcissus");
    }
}

fn of_two_who_lock_in_opposite_order_one_is_told(on: &Systems) {
    for straight in STRAIGHT {
        let cycle = the_circle(chain(on, &["ann", "bob"], straight, true));
        assert!(goes_through(&cycle, &["ann", "bob"]), "{cycle}");
    }
}

fn a_circle_of_three_locks_is_named_in_order(on: &Systems) {
    for straight in STRAIGHT {
        let cycle = the_circle(chain(on, &["ann", "bob", "cid"], straight, true));
        assert!(goes_through(&cycle, &["ann", "bob", "cid"]), "{cycle}");
    }
}

fn locks_that_are_taken_in_a_circle_at_once_are_told_once(on: &Systems) {
    for round in 0..40 {
        the_circle(chain(on, &["ann", "bob", "cid", "dan"][..2 + round % 3], round % 2 == 0, true));
    }
}

fn a_line_of_locks_without_a_circle_comes_out(on: &Systems) {
    for straight in STRAIGHT {
        assert_eq!(chain(on, &["ann", "bob", "cid", "dan"], straight, false), [None, None, None, None]);
    }
}

/// `ann` has the lock and waits for `bob`, who waits for the lock: for his end, or for what he owes.
fn lock_and_owe(on: &Systems, straight: bool, by_handle: bool) -> Vec<String> {
    let lock = Arc::new(Mutex::new(0));
    let (held, owed) = (Gate::new(), Gate::new());
    let (promise, resolver) = promise::pair::<u32>();
    let bob = {
        let (lock, held, owed) = (Arc::clone(&lock), held.clone(), owed.clone());
        start_named(on.there(), straight, "bob", async move {
            resolver.set_current_owner();
            owed.open();
            held.opened().await;
            let told = lock.lock().checked().await.err().map(|error| error.to_string());
            resolver.resolve(7).unwrap();
            told
        })
    };
    owed.opened().wait();
    let ann = start_named(on.here(), straight, "ann", async move {
        let guard = lock.lock().await;
        held.open();
        let waited = match by_handle {
            true => bob.await,
            false => promise.await.map(|_| None),
        };
        drop(guard);
        waited
    });
    match ann.wait().unwrap() {
        Ok(told) if by_handle => told.into_iter().collect(),
        Err(failure @ Failure::Deadlock(_)) => vec![failure.to_string()],
        // Only bob knows.
        Ok(_) => vec!["deadlock: bob -> ann -> bob".to_owned()],
        Err(other) => panic!("{other}"),
    }
}

fn a_circle_through_a_lock_and_a_handle_is_told(on: &Systems) {
    for straight in STRAIGHT {
        let told = lock_and_owe(on, straight, true).concat();
        let cycle = told.strip_prefix("deadlock: ").unwrap_or_else(|| panic!("{told}"));
        assert!(goes_through(cycle, &["ann", "bob"]), "{cycle}");
    }
}

fn a_circle_through_a_lock_and_a_promise_is_told(on: &Systems) {
    for straight in STRAIGHT {
        // That it comes out is what counts.
        lock_and_owe(on, straight, false);
    }
}

fn a_lock_that_panics_for_a_deadlock_says_who(on: &Systems) {
    for straight in STRAIGHT {
        let lock = Arc::new(Mutex::new(0));
        let again = Arc::clone(&lock);
        let task = start_named(on.here(), straight, "narcissus", async move {
            let _guard = again.lock().await;
            let _again = again.lock().await;
        });
        let error = task.wait().unwrap_err();
        assert!(error.to_string().contains("deadlock: narcissus -> narcissus"), "{error}");
        assert!(lock.try_lock().is_some());
    }
}

/// Polls both with the waker that it is polled with, as the `join!` of other libraries does.
async fn join_as_others_do(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let mut done = [false; 2];
    poll_fn(|cx| {
        done[0] = done[0] || one.as_mut().poll(cx).is_ready();
        done[1] = done[1] || other.as_mut().poll(cx).is_ready();
        if done == [true, true] { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Locks, and gives the lock back when `go` is open.
async fn hold(lock: &Mutex<u32>, held: Gate, go: Gate) {
    let mut guard = lock.lock().await;
    held.open();
    go.opened().await;
    *guard += 1;
}

/// Locks when `held` is open.
async fn want(lock: &Mutex<u32>, held: Gate) {
    held.opened().await;
    *lock.lock().await += 1;
}

fn futures_of_one_task_may_hold_and_want_the_same_lock(on: &Systems) {
    for straight in STRAIGHT {
        let (lock, held, go) = (Arc::new(Mutex::new(0)), Gate::new(), Gate::new());
        let task = {
            let (lock, held, go) = (Arc::clone(&lock), held.clone(), go.clone());
            start_named(on.here(), straight, "both", async move {
                join_as_others_do(hold(&lock, held.clone(), go), want(&lock, held)).await;
            })
        };
        held.opened().wait();
        twoply_core::time::sleep(A_WHILE).wait();
        assert!(!task.is_finished());
        go.open();
        task.wait().unwrap();
        assert_eq!(*lock.try_lock().unwrap(), 2);
    }
}

fn two_tasks_of_several_futures_are_told_of_no_circle(on: &Systems) {
    for straight in STRAIGHT {
        let locks = [Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0))];
        let (held, go) = ([Gate::new(), Gate::new()], Gate::new());
        let tasks = [0, 1].map(|n| {
            let (own, others) = (Arc::clone(&locks[n]), Arc::clone(&locks[1 - n]));
            let (held_own, held_others, go) = (held[n].clone(), held[1 - n].clone(), go.clone());
            start_named(on.here(), straight, ["ann", "bob"][n], async move {
                join_as_others_do(hold(&own, held_own, go), want(&others, held_others)).await;
            })
        });
        held.iter().for_each(|held| held.opened().wait());
        twoply_core::time::sleep(A_WHILE).wait();
        go.open();
        tasks.into_iter().for_each(|task| task.wait().unwrap());
        assert!(locks.iter().all(|lock| *lock.try_lock().unwrap() == 2));
    }
}

fn a_wait_for_a_lock_with_a_time_limit_is_told_of_no_circle(on: &Systems) {
    for straight in STRAIGHT {
        let lock = Arc::new(Mutex::new(0));
        let task = start_named(on.here(), straight, "narcissus", async move {
            let _guard = lock.lock().await;
            timeout(A_WHILE, lock.lock()).await.is_err()
        });
        assert!(task.wait().unwrap());
    }
}

fn a_wait_for_a_lock_that_was_given_up_closes_no_circle(on: &Systems) {
    for straight in STRAIGHT {
        let (a, b) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
        let (held, gave_up, go) = ([Gate::new(), Gate::new()], Gate::new(), Gate::new());
        let ann = {
            let (a, b, [held, other_held]) = (Arc::clone(&a), Arc::clone(&b), held.clone());
            let (gave_up, go) = (gave_up.clone(), go.clone());
            start_named(on.here(), straight, "ann", async move {
                let _guard = a.lock().await;
                held.open();
                other_held.opened().await;
                let mut wait = Box::pin(b.lock());
                // It waits as the only one of its task, for as long as one poll.
                poll_fn(|cx| {
                    assert!(wait.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                drop(wait);
                gave_up.open();
                go.opened().await;
            })
        };
        let bob = {
            let [held, own_held] = held;
            start_named(on.here(), straight, "bob", async move {
                let _guard = b.lock().await;
                own_held.open();
                held.opened().await;
                gave_up.opened().await;
                a.lock().checked().await.is_ok()
            })
        };
        twoply_core::time::sleep(A_WHILE).wait();
        go.open();
        ann.wait().unwrap();
        assert!(bob.wait().unwrap());
    }
}

/// Ann has the lock and waits for Bob, who waits for the lock behind Eve. Ann gives it back, to Eve, and
/// still waits for Bob.
fn a_lock_that_has_gone_on_to_another_task_closes_no_circle(on: &Systems) {
    for straight in STRAIGHT {
        let lock = Arc::new(Mutex::new(0));
        let [held, eve_wants, bob_wants, go, end] = [(); 5].map(|()| Gate::new());
        let (wanted, owed) = promise::pair::<u32>();
        let ann = {
            let (lock, held, go) = (Arc::clone(&lock), held.clone(), go.clone());
            start_named(on.here(), straight, "ann", async move {
                let wait = async { assert_eq!(wanted.await.unwrap(), 7) };
                join_as_others_do(hold(&lock, held, go), wait).await;
            })
        };
        let eve = {
            let (lock, held, wants, end) = (Arc::clone(&lock), held.clone(), eve_wants.clone(), end.clone());
            start_named(on.here(), straight, "eve", async move {
                held.opened().await;
                let _guard = wants.open_when_polled(lock.lock()).await;
                end.opened().await;
            })
        };
        let bob = {
            let wants = bob_wants.clone();
            start_named(on.here(), straight, "bob", async move {
                owed.set_current_owner();
                held.opened().await;
                eve_wants.opened().await;
                let told = wants.open_when_polled(lock.lock().checked()).await.err();
                owed.resolve(7).unwrap();
                told.map(|told| told.to_string())
            })
        };
        bob_wants.opened().wait();
        go.open();
        twoply_core::time::sleep(A_WHILE).wait();
        end.open();
        assert_eq!(bob.wait().unwrap(), None);
        ann.wait().unwrap();
        eve.wait().unwrap();
    }
}

fn a_guard_that_is_handed_on_closes_no_circle(on: &Systems) {
    for straight in STRAIGHT {
        let go = Gate::new();
        let lock: &'static Mutex<u32> = Box::leak(Box::new(Mutex::new(0)));
        let owned = Arc::new(Mutex::new(0));
        let backend = Arc::clone(on.here().backend());
        let opened = go.clone();
        let task = start_named(on.here(), straight, "ann", async move {
            let (mut guard, mut owned_guard) = (lock.lock().await, Arc::clone(&owned).lock_owned().await);
            MutexGuard::clear_holder(&guard);
            let handed_on = Builder::new().spawn_on(&backend, async move {
                opened.opened().await;
                *guard += 1;
                *owned_guard += 1;
            });
            handed_on.unwrap().detach();
            *lock.lock().await + *owned.lock().await
        });
        twoply_core::time::sleep(A_WHILE).wait();
        go.open();
        assert_eq!(task.wait().unwrap(), 2);
    }
}
