//! Tokens under loom: `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib cancellation`.

use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

use loom::sync::atomic::AtomicUsize as Counter;
use loom::thread;

use super::*;
use crate::sync::notify::model::Told;

/// A poll of a wait, without the budget.
fn poll(token: &CancellationToken, wait_key: &mut WaitKey, waker: &Waker) -> bool {
    let is_over = || token.is_cancelled().then_some(());
    token.0.waiters.poll_until(wait_key, &mut Context::from_waker(waker), is_over).is_ready()
}

#[test]
fn who_waits_for_a_child_is_woken_and_sees_what_was_done_before() {
    loom::model(|| {
        let parent = CancellationToken::new();
        let child = parent.child_token();
        let done = Arc::new(Counter::new(0));
        let other = {
            let done = Arc::clone(&done);
            thread::spawn(move || {
                done.store(1, Relaxed);
                parent.cancel();
            })
        };
        let (told, waker) = Told::waker();
        let mut wait_key = WaitKey::new();
        let at_once = poll(&child, &mut wait_key, &waker);
        if at_once {
            assert_eq!(done.load(Relaxed), 1);
        }
        other.join().unwrap();
        assert!(at_once || told.is_told(), "it sleeps, and nobody has woken it");
        assert!(child.is_cancelled() && poll(&child, &mut wait_key, &waker));
    });
}

#[test]
fn no_child_escapes_whenever_it_is_made_and_whatever_is_dropped() {
    loom::model(|| {
        let root = CancellationToken::new();
        let middle = root.child_token();
        let other = thread::spawn(move || root.cancel());
        let child = middle.child_token();
        drop(middle);
        other.join().unwrap();
        assert!(child.is_cancelled());
    });
}

#[test]
fn of_two_who_cancel_each_wakes_its_own() {
    loom::model(|| {
        let root = CancellationToken::new();
        let middle = root.child_token();
        let leaf = middle.child_token();
        let (told, waker) = Told::waker();
        let mut wait_key = WaitKey::new();
        assert!(!poll(&leaf, &mut wait_key, &waker));
        let other = thread::spawn(move || root.cancel());
        middle.cancel();
        other.join().unwrap();
        assert!(leaf.is_cancelled() && told.is_told());
    });
}
