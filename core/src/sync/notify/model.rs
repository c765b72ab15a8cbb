//! Notifications under loom: `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib notify`.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Wake;

use loom::sync::atomic::AtomicUsize as Counter;
use loom::thread;

use super::*;

/// Says whether it has been woken, unseen by the model.
#[derive(Default)]
pub(in crate::sync) struct Told(std::sync::atomic::AtomicBool);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl Told {
    pub(in crate::sync) fn waker() -> (Arc<Told>, Waker) {
        let told = Arc::new(Told::default());
        (Arc::clone(&told), Waker::from(told))
    }

    pub(in crate::sync) fn is_told(&self) -> bool {
        self.0.load(SeqCst)
    }
}

#[test]
fn a_waiter_is_told_whenever_the_notification_comes() {
    loom::model(|| {
        let shared = Arc::new((Notify::new(), Counter::new(0)));
        let other = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.1.store(1, Relaxed);
                shared.0.notify_one();
            })
        };
        let (told, waker) = Told::waker();
        let mut wait = shared.0.notified();
        let at_once = wait.look(Some(&waker));
        if at_once {
            assert_eq!(shared.1.load(Relaxed), 1, "what happened before is seen");
        }
        other.join().unwrap();
        assert!(at_once || told.is_told(), "it sleeps, and nobody has woken it");
        assert!(wait.look(Some(&waker)));
        assert!(!shared.0.notified().look(None), "it was told once");
    });
}

#[test]
fn what_was_made_before_is_told_with_all_polled_or_not() {
    loom::model(|| {
        let notify = Arc::new(Notify::new());
        let mut wait = notify.notified();
        let other = {
            let notify = Arc::clone(&notify);
            thread::spawn(move || notify.notify_waiters())
        };
        let (told, waker) = Told::waker();
        let at_once = wait.look(Some(&waker));
        other.join().unwrap();
        assert!(at_once || told.is_told());
        assert!(wait.look(Some(&waker)));
    });
}

#[test]
fn a_notification_is_for_exactly_one_however_they_give_up() {
    loom::model(|| {
        let notify = Arc::new(Notify::new());
        let (mut first, mut second) = (notify.notified(), notify.notified());
        let (told, waker) = Told::waker();
        assert!(!first.look(None) && !second.look(Some(&waker)));
        let other = {
            let notify = Arc::clone(&notify);
            thread::spawn(move || notify.notify_one())
        };
        drop(first);
        other.join().unwrap();
        assert!(told.is_told(), "it was passed on, or meant for the second");
        assert!(second.look(Some(&waker)));
        assert!(!notify.notified().look(None));
    });
}

/// A future is made, what is waited for is looked at, and then the future is finished: no change is missed,
/// also when others come and go meanwhile.
#[test]
fn whoever_makes_the_future_before_looking_misses_nothing() {
    loom::model(|| {
        let shared = Arc::new((Notify::new(), Counter::new(0)));
        shared.0.notify_one();
        let changes = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.1.store(1, Relaxed);
                shared.0.notify_waiters();
            })
        };
        let takes = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.0.notified().look(None);
            })
        };
        let (told, waker) = Told::waker();
        let mut wait = shared.0.notified();
        let is_seen = shared.1.load(Relaxed) == 1;
        let at_once = is_seen || wait.look(Some(&waker));
        changes.join().unwrap();
        takes.join().unwrap();
        assert!(at_once || told.is_told(), "it sleeps, and nobody has woken it");
    });
}
