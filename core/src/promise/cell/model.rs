//! A promise's word under loom: `RUSTFLAGS="--cfg loom" cargo test -p twoply-core --release --lib promise`.
//!
//! The models stand in line by [`Cell::add_waiter`], for there are no strands here.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Wake;

use loom::thread;

use super::*;
use crate::kernel::task::wait_graph::model::{Stopped, Waiting};

/// Counts how often it is woken, unseen by the model.
#[derive(Default)]
struct CountingWaker(AtomicUsize);

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Checks `model`, and that some of its schedules come to where it calls what it is given: without that it
/// would prove nothing. Of the accesses before a write, loom tries only the last one after it as well. So who
/// looks does that on a thread of its own, which in the first schedule runs after those who write.
fn check_reaching(model: impl Fn(Arc<dyn Fn() + Send + Sync>) + Send + Sync + 'static) {
    let count = Arc::new(AtomicUsize::new(0));
    let reached: Arc<dyn Fn() + Send + Sync> = {
        let count = Arc::clone(&count);
        Arc::new(move || {
            count.fetch_add(1, SeqCst);
        })
    };
    loom::model(move || model(Arc::clone(&reached)));
    assert_ne!(count.load(SeqCst), 0, "no schedule comes to what the model is about");
}

/// Stands in line once. Returns whether the outcome was there instead.
fn wait<T>(handle: &PromiseInner<T>, wait_key: &mut WaitKey, waker: &Arc<CountingWaker>) -> bool {
    handle.cell().add_waiter(wait_key, &Waker::from(Arc::clone(waker)), None);
    handle.cell().is_ready()
}

#[test]
fn who_waits_is_woken_or_sees_the_outcome() {
    loom::model(|| {
        let (handle, resolver) = Cell::pair(None);
        let resolving = thread::spawn(move || assert!(resolver.resolve(Ok(7)).is_ok()));
        let (mut wait_key, waker) = (WaitKey::new(), Arc::default());
        let ready = wait(&handle, &mut wait_key, &waker);
        if ready {
            assert!(matches!(handle.get(), Some(Ok(7))));
        }
        resolving.join().unwrap();
        assert!(ready || waker.0.load(SeqCst) == 1, "nobody has woken it");
        assert!(matches!(handle.get(), Some(Ok(7))));
    });
}

#[test]
fn who_leaves_while_the_promise_comes_out_is_woken_at_most() {
    loom::model(|| {
        let (handle, resolver) = Cell::pair(None);
        let (mut wait_key, waker) = (WaitKey::new(), Arc::default());
        assert!(!wait(&handle, &mut wait_key, &waker));
        let resolving = thread::spawn(move || assert!(resolver.resolve(Ok(())).is_ok()));
        handle.cell().remove_waiter(&mut wait_key);
        resolving.join().unwrap();
        assert!(waker.0.load(SeqCst) <= 1);
        assert_eq!(Arc::strong_count(&waker), 1, "the waker is kept");
    });
}

#[test]
fn one_outcome_counts() {
    loom::model(|| {
        let (handle, resolver) = Cell::pair(None);
        let rival = resolver.clone();
        let first = thread::spawn(move || resolver.resolve(Ok(1)).is_ok());
        let second = rival.resolve(Ok(2)).is_ok();
        let first = first.join().unwrap();
        assert!(first != second);
        let value = handle.get().map(|outcome| *outcome.as_ref().unwrap());
        assert_eq!(value, Some(if first { 1 } else { 2 }));
    });
}

/// The one that is left needs no mark for its claim, from when the other has gone.
#[test]
fn who_resolves_while_another_goes_is_the_only_one() {
    loom::model(|| {
        let (handle, resolver) = Cell::pair(None);
        let rival = resolver.clone();
        let other = thread::spawn(move || drop(rival));
        assert!(resolver.resolve(Ok(7)).is_ok());
        other.join().unwrap();
        assert!(matches!(handle.take(), Ok(Ok(7))));
    });
}

#[test]
fn the_last_resolver_to_go_breaks_the_promise() {
    loom::model(|| {
        let (handle, resolver) = Cell::<()>::pair(None);
        let rival = resolver.clone();
        let (mut wait_key, waker) = (WaitKey::new(), Arc::default());
        assert!(!wait(&handle, &mut wait_key, &waker));
        let first = thread::spawn(move || drop(resolver));
        drop(rival);
        first.join().unwrap();
        assert!(matches!(handle.get(), Some(Err(Failure::Broken))));
        assert_eq!(waker.0.load(SeqCst), 1);
    });
}

/// The value is moved out only when nobody looks at it any more; loom sees it if somebody does.
#[test]
fn the_value_is_taken_when_nobody_looks_at_it() {
    check_reaching(|reached| {
        let (handle, resolver) = Cell::pair(None);
        let other = handle.clone();
        let resolving = thread::spawn(move || assert!(resolver.resolve(Ok(7)).is_ok()));
        let reader = thread::spawn(move || {
            let seen = other.get().map(|outcome| *outcome.as_ref().unwrap());
            drop(other);
            assert!(seen.is_none_or(|seen| seen == 7));
        });
        let taker = thread::spawn(move || {
            if let Ok(outcome) = handle.take() {
                reached();
                assert!(matches!(outcome, Ok(7)));
            }
        });
        for thread in [resolving, reader, taker] {
            thread.join().unwrap();
        }
    });
}

/// One who keeps a promise and then waits for the task that it was for does not close a circle.
#[test]
fn a_promise_that_has_come_out_stops_nobody() {
    loom::model(|| {
        let (ann, bob) = (task::Shared::never(), task::Shared::never());
        let (handle, resolver) = Cell::pair(Some(Owner::of_task(Arc::clone(&bob))));
        let keeper = {
            let ann = Arc::clone(&ann);
            thread::spawn(move || {
                assert!(resolver.resolve(Ok(())).is_ok());
                assert!(!Waiting::begin(&bob, &ann).is_told());
            })
        };
        let mut wait_key = WaitKey::new();
        handle.cell().add_waiter(&mut wait_key, Waker::noop(), Some(&ann));
        assert!(!Stopped::new(&ann).poll(), "it is told of a circle");
        keeper.join().unwrap();
    });
}

/// Nor does one who has only heard that it has come out, from somebody who looked.
#[test]
fn nobody_knows_of_an_outcome_before_its_edges_are_gone() {
    check_reaching(|reached| {
        let (ann, bob) = (task::Shared::never(), task::Shared::never());
        let (handle, resolver) = Cell::pair(Some(Owner::of_task(Arc::clone(&bob))));
        let mut wait_key = WaitKey::new();
        handle.cell().add_waiter(&mut wait_key, Waker::noop(), Some(&ann));
        assert!(!Stopped::new(&ann).poll());
        let keeper = thread::spawn(move || assert!(resolver.resolve(Ok(())).is_ok()));
        let looker = thread::spawn(move || {
            if handle.get().is_some() {
                reached();
                assert!(!Waiting::begin(&bob, &ann).is_told(), "it is told of a circle");
            }
        });
        keeper.join().unwrap();
        looker.join().unwrap();
    });
}

/// The task that a promise is handed to, while it begins to wait for it, is told, by that poll or by
/// the one that it is asked for.
#[test]
fn who_is_handed_what_it_waits_for_is_told() {
    loom::model(|| {
        let ann = task::Shared::never();
        let (handle, resolver) = Cell::<()>::pair(None);
        let hander = {
            let ann = Arc::clone(&ann);
            thread::spawn(move || {
                resolver.cell().set_owner(Some(Owner::of_task(ann)));
                resolver
            })
        };
        let mut wait_key = WaitKey::new();
        let stopped = Stopped::new(&ann);
        handle.cell().add_waiter(&mut wait_key, Waker::noop(), Some(&ann));
        let told = stopped.poll();
        let resolver = hander.join().unwrap();
        assert!(told != (stopped.poll_if_woken() == Some(true)), "told at once: {told}");
        drop(resolver);
    });
}

/// A promise that is broken shows what all have done who could have kept it.
#[test]
fn a_broken_promise_tells_of_the_end_of_all_who_could_have_kept_it() {
    loom::model(|| {
        let (handle, resolver) = Cell::<()>::pair(None);
        let (rival, news) = (resolver.clone(), Arc::new(loom::cell::Cell::new(0)));
        let first = {
            let news = Arc::clone(&news);
            thread::spawn(move || {
                news.set(7);
                drop(resolver);
            })
        };
        let second = thread::spawn(move || drop(rival));
        if handle.get().is_some() {
            assert_eq!(news.get(), 7);
        }
        first.join().unwrap();
        second.join().unwrap();
    });
}
