//! The cell by itself, without any backend.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;

use super::*;
use crate::base::wake::WakeCount;
use crate::kernel::wait::Wait;

fn poll<F: Future + Unpin>(future: &mut F, bell: &Arc<WakeCount>) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(&Waker::from(Arc::clone(bell))))
}

#[test]
fn all_who_wait_are_woken_once_and_get_the_value() {
    let (promise, resolver) = pair();
    let bells: Vec<Arc<WakeCount>> = (0..3).map(|_| Arc::default()).collect();
    let mut waits: Vec<_> = bells.iter().map(|_| promise.clone().into_future()).collect();
    for (wait, bell) in waits.iter_mut().zip(&bells) {
        assert!(poll(wait, bell).is_pending());
        assert!(poll(wait, bell).is_pending());
    }
    resolver.resolve(7).unwrap();
    for (wait, bell) in waits.iter_mut().zip(&bells) {
        assert_eq!(bell.get(), 1);
        assert_eq!(poll(wait, bell).map(Result::unwrap), Poll::Ready(7));
    }
}

#[test]
fn a_wait_that_is_dropped_is_not_woken() {
    let (promise, resolver) = pair::<()>();
    let bell = Arc::default();
    let mut by_value = promise.clone().into_future();
    let mut by_reference = (&promise).into_future();
    assert!(poll(&mut by_value, &bell).is_pending());
    assert!(poll(&mut by_reference, &bell).is_pending());
    drop(by_value);
    drop(by_reference);
    assert_eq!(Arc::strong_count(&bell), 1, "a waker is kept");
    resolver.resolve(()).unwrap();
    assert_eq!(bell.get(), 0);
}

#[test]
fn a_wait_that_moves_to_another_task_wakes_that_one() {
    let (promise, resolver) = pair::<()>();
    let (before, after) = (Arc::default(), Arc::default());
    let mut wait = promise.into_future();
    assert!(poll(&mut wait, &before).is_pending());
    assert!(poll(&mut wait, &after).is_pending());
    resolver.resolve(()).unwrap();
    assert_eq!((before.get(), after.get()), (0, 1));
}

#[test]
fn the_last_promise_gives_the_value_itself_and_others_clone_it() {
    struct CountedOwner(Arc<AtomicUsize>);
    impl Clone for CountedOwner {
        fn clone(&self) -> CountedOwner {
            self.0.fetch_add(1, Ordering::Relaxed);
            CountedOwner(Arc::clone(&self.0))
        }
    }
    let clones = Arc::new(AtomicUsize::new(0));
    let (promise, resolver) = pair();
    let rival = resolver.clone();
    let other = promise.clone();
    resolver.resolve(CountedOwner(Arc::clone(&clones))).unwrap();
    drop(other.wait().unwrap());
    assert_eq!(clones.load(Ordering::Relaxed), 1);
    drop(promise.wait().unwrap());
    assert_eq!(clones.load(Ordering::Relaxed), 1, "the last one has cloned it");
    assert!(!rival.is_wanted());
}

#[test]
fn into_inner_wants_the_only_promise_of_a_value_that_is_there() {
    let (promise, resolver) = pair();
    let promise = promise.into_inner().unwrap_err();
    resolver.resolve(vec![1]).unwrap();
    let other = promise.clone();
    let promise = promise.into_inner().unwrap_err();
    drop(other);
    assert_eq!(promise.into_inner().unwrap().unwrap(), [1]);
}

#[test]
fn only_the_last_resolver_breaks_the_promise() {
    let (promise, resolver) = pair::<()>();
    let bell = Arc::default();
    let mut wait = (&promise).into_future();
    assert!(poll(&mut wait, &bell).is_pending());
    drop(resolver.clone());
    assert!(!promise.is_ready());
    drop(resolver);
    assert!(matches!(poll(&mut wait, &bell), Poll::Ready(Err(Failure::Broken))));
    assert_eq!(bell.get(), 1);
}

#[test]
fn the_first_outcome_counts_and_the_others_come_back() {
    let (promise, resolver) = pair();
    let (second, third) = (resolver.clone(), resolver.clone());
    resolver.fail(Failure::TimedOut).unwrap();
    assert!(second.is_resolved());
    assert_eq!(second.resolve("late").unwrap_err().into_inner(), "late");
    assert!(matches!(third.fail(Failure::Broken).unwrap_err().into_inner(), Failure::Broken));
    assert!(matches!(promise.try_get(), Some(Err(Failure::TimedOut))));
}

#[test]
fn the_value_is_dropped_once_whoever_has_it() {
    let value = Arc::new(());
    let (promise, resolver) = pair();
    resolver.resolve(Arc::clone(&value)).unwrap();
    drop(promise);
    assert_eq!(Arc::strong_count(&value), 1);

    let (promise, resolver) = pair();
    drop(promise);
    assert!(!resolver.is_wanted());
    resolver.resolve(Arc::clone(&value)).unwrap();
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_promise_that_is_made_ready_is() {
    assert_eq!(Promise::ready(1).wait().unwrap(), 1);
    assert!(matches!(Promise::<()>::failed(Failure::Overloaded).wait(), Err(Failure::Overloaded)));
}

#[test]
fn a_function_is_called_with_the_outcome_by_whoever_settles_it() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let resolver = |heard: &Arc<Mutex<Vec<_>>>| {
        let heard = Arc::clone(heard);
        callback(move |outcome: Result<u32, Failure>| {
            heard.lock().unwrap().push((thread::current().id(), outcome.ok()));
        })
    };
    let (here, first) = (thread::current().id(), resolver(&heard));
    assert!(first.is_wanted());
    let (second, third) = (first.clone(), first.clone());
    first.resolve(7).unwrap();
    assert_eq!(*heard.lock().unwrap(), [(here, Some(7))]);
    assert!(second.resolve(8).is_err());
    drop(third);
    let (dropped, other) = (resolver(&heard), resolver(&heard));
    let there = thread::spawn(move || {
        drop(dropped);
        other.fail(Failure::TimedOut).unwrap();
        thread::current().id()
    });
    let there = there.join().unwrap();
    assert_eq!(*heard.lock().unwrap(), [(here, Some(7)), (there, None), (there, None)]);
    assert_eq!(Arc::strong_count(&heard), 1, "the functions are gone");
}
