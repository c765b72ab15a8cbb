//! An event under loom: `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib event`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use loom::sync::atomic::AtomicUsize as Counter;
use loom::thread;

use super::*;
use crate::sync::notify::model::Told;

#[test]
fn who_waits_is_woken_and_sees_what_was_done_before() {
    loom::model(|| {
        let shared = Arc::new((Event::new(), Counter::new(0)));
        let other = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.1.store(1, Relaxed);
                shared.0.set();
            })
        };
        let (told, waker) = Told::waker();
        let mut wait = shared.0.wait();
        if wait.is_over(&waker) {
            assert_eq!(shared.1.load(Relaxed), 1);
        } else {
            other.join().unwrap();
            assert!(told.is_told(), "it sleeps, and nobody has woken it");
            assert!(wait.is_over(&waker));
            assert_eq!(shared.1.load(Relaxed), 1);
        }
    });
}

#[test]
fn a_reset_takes_nothing_from_those_who_waited() {
    loom::model(|| {
        let event = Arc::new(Event::new());
        let mut wait = event.wait();
        let other = {
            let event = Arc::clone(&event);
            thread::spawn(move || {
                event.set();
                event.reset();
            })
        };
        let (told, waker) = Told::waker();
        let at_once = wait.is_over(&waker);
        other.join().unwrap();
        assert!(at_once || told.is_told());
        assert!(at_once || wait.is_over(&waker));
    });
}
