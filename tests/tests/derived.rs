//! Derived promises: of any length, and for all who have one, whoever polls them.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::{self, ExitReason, Process};
use twoply_core::promise::{self, Failure, Promise};
use twoply_core::task::scope;
use twoply_core::time::{sleep, timeout};
use twoply_tests::{Gate, Systems, eventually, laws};

laws! {
    and_mixed {
        who_is_cancelled_while_it_polls_takes_the_value_from_nobody,
        who_is_killed_while_it_polls_takes_the_value_from_nobody,
        a_time_limit_of_one_takes_the_value_from_nobody,
        who_is_alone_is_cancelled_at_once,
    }
    everywhere {
        chains_of_any_length_come_out,
        chains_of_any_length_are_woken,
        chains_of_any_length_are_dropped,
        promises_that_are_made_by_promises_come_out,
        a_long_chain_of_what_is_shared_survives_a_cancellation,
        a_debug_form_calls_no_closure,
        what_polls_itself_again_does_not_hold_a_long_chain_up,
    }
}

/// A chain longer than any stack could bear, were it calls inside calls.
const LENGTH: u64 = 5_000;

/// A promise whose closure says that it has begun, and waits at the gate, blocking the stack of whoever polls
/// it.
fn slow(number: Promise<u32>) -> (Promise<u32>, Gate, Gate) {
    let (begun, gate) = (Gate::new(), Gate::new());
    let (begin, open) = (begun.clone(), gate.clone());
    let double = number.map(move |number| {
        begin.open();
        open.opened().wait();
        2 * number
    });
    (double, begun, gate)
}

fn who_is_cancelled_while_it_polls_takes_the_value_from_nobody(on: &Systems) {
    for straight in [false, true] {
        for derived_again in [false, true] {
            let (mut double, begun, gate) = slow(Promise::ready(21));
            if derived_again {
                double = double.map(|number| number);
            }
            let (mine, others) = (double.clone(), double.clone());
            let first = match straight {
                true => on.here().spawn_fn(move || mine.wait()),
                false => on.here().spawn(mine.into_future()),
            };
            begun.opened().wait();
            eventually("it waits at the gate", || gate.waiting() != 0);
            let second = on.there().spawn(others.into_future());
            first.cancel();
            gate.open();
            assert!(matches!(first.wait(), Err(Failure::Cancelled)), "it has been cancelled");
            assert_eq!(second.wait().unwrap().unwrap(), 42);
            assert_eq!(double.wait().unwrap(), 42);
        }
    }
}

fn who_is_killed_while_it_polls_takes_the_value_from_nobody(on: &Systems) {
    let (double, begun, gate) = slow(Promise::ready(21));
    let mine = double.clone();
    let process = actor::Builder::new().on(on.here().backend());
    let process = process.spawn_fn(move |_: Process<()>| drop(mine.wait())).unwrap();
    begun.opened().wait();
    eventually("it waits at the gate", || gate.waiting() != 0);
    process.exit(ExitReason::Kill);
    gate.open();
    assert_eq!(double.wait().unwrap(), 42);

    let (double, begun, gate) = slow(Promise::ready(21));
    let mine = double.clone();
    let task = on.here().spawn_fn(move || {
        scope(|s| {
            let inner = s.spawn_fn(|| mine.wait()).unwrap();
            begun.opened().wait();
            eventually("it waits at the gate", || gate.waiting() != 0);
            inner.cancel();
            gate.open();
            assert!(inner.wait().is_err());
        });
    });
    task.wait().unwrap();
    assert_eq!(double.wait().unwrap(), 42);
}

fn a_time_limit_of_one_takes_the_value_from_nobody(on: &Systems) {
    let gate = Gate::new();
    let open = gate.clone();
    let double = Promise::ready(21).then(|number| async move {
        open.opened().await;
        Ok(2 * number)
    });
    let mine = double.clone();
    let limited = on.here().spawn(async move { timeout(Duration::from_millis(1), mine).await });
    assert!(limited.wait().unwrap().is_err(), "nobody has opened the gate");
    let other = on.there().spawn(double.clone().into_future());
    gate.open();
    assert_eq!(other.wait().unwrap().unwrap(), 42);
    assert_eq!(double.wait().unwrap(), 42);
}

fn who_is_alone_is_cancelled_at_once(on: &Systems) {
    let (double, begun, gate) = slow(Promise::ready(21));
    let only = on.here().spawn_fn(move || double.wait());
    begun.opened().wait();
    eventually("it waits at the gate", || gate.waiting() != 0);
    only.cancel();
    assert!(matches!(only.wait(), Err(Failure::Cancelled)), "nobody opens the gate");
    gate.open();
}

/// A chain with this end, and its beginning.
fn chain(mut promise: Promise<u64>) -> Promise<u64> {
    for n in 0..LENGTH {
        promise = match n % 2 {
            0 => promise.map(|number| number + 1),
            _ => promise.then(|number| async move { Ok(number + 1) }),
        };
    }
    promise
}

fn chains_of_any_length_come_out(on: &Systems) {
    let waiting = on.here().spawn(chain(Promise::ready(0)).into_future());
    assert_eq!(waiting.wait().unwrap().unwrap(), LENGTH);
    let waiting = on.here().spawn_fn(|| chain(Promise::ready(0)).wait());
    assert_eq!(waiting.wait().unwrap().unwrap(), LENGTH);
    let looking = on.here().spawn_fn(|| {
        let chain = chain(Promise::ready(0));
        chain.try_get().map(|number| *number.unwrap())
    });
    assert_eq!(looking.wait().unwrap(), Some(LENGTH));
    let failing = on.here().spawn_fn(|| chain(Promise::failed(Failure::TimedOut)).wait());
    assert!(matches!(failing.wait().unwrap(), Err(Failure::TimedOut)));
    let task = on.here().spawn(async { 0 }).into_promise();
    assert_eq!(on.here().spawn(chain(task).into_future()).wait().unwrap().unwrap(), LENGTH);
}

fn chains_of_any_length_are_woken(on: &Systems) {
    for straight in [false, true] {
        let (source, resolver) = promise::pair();
        let (waits, waiting) = (Gate::new(), chain(source));
        let waits_now = waits.clone();
        let waiting = match straight {
            true => on.here().spawn_fn(move || {
                assert!(waiting.try_get().is_none());
                waits_now.open();
                waiting.wait()
            }),
            false => on.here().spawn(async move {
                assert!(timeout(Duration::ZERO, &waiting).await.is_err());
                waits_now.open();
                waiting.await
            }),
        };
        waits.opened().wait();
        on.there().spawn(async move { resolver.resolve(0).unwrap() }).wait().unwrap();
        assert_eq!(waiting.wait().unwrap().unwrap(), LENGTH);
    }
}

fn chains_of_any_length_are_dropped(on: &Systems) {
    let (source, resolver) = promise::pair();
    let never = chain(source.clone());
    on.here().spawn_fn(move || drop(never)).wait().unwrap();
    let waited_for = chain(source);
    let dropping = on.here().spawn(async move {
        assert!(timeout(Duration::from_millis(1), &waited_for).await.is_err());
    });
    dropping.wait().unwrap();
    assert!(!resolver.is_wanted(), "all have been dropped");
}

/// A promise that comes out when one that its closure makes has come out, and so on.
fn made(left: u64) -> Promise<u64> {
    match left {
        0 => Promise::ready(0),
        _ => Promise::ready(left - 1).then(made).map(|number| number + 1),
    }
}

fn promises_that_are_made_by_promises_come_out(on: &Systems) {
    assert_eq!(on.here().spawn(made(LENGTH).into_future()).wait().unwrap().unwrap(), LENGTH);
    assert_eq!(on.here().spawn_fn(|| made(LENGTH).wait()).wait().unwrap().unwrap(), LENGTH);
}

fn a_long_chain_of_what_is_shared_survives_a_cancellation(on: &Systems) {
    let (double, begun, gate) = slow(Promise::ready(0));
    // All the rest belongs to the one who is cancelled.
    let mine = chain(double.clone().map(u64::from));
    let first = on.here().spawn_fn(move || mine.wait());
    begun.opened().wait();
    eventually("it waits at the gate", || gate.waiting() != 0);
    first.cancel();
    gate.open();
    assert!(matches!(first.wait(), Err(Failure::Cancelled)));
    assert_eq!(double.wait().unwrap(), 0);
}

fn a_debug_form_calls_no_closure(on: &Systems) {
    let called = Arc::new(AtomicUsize::new(0));
    let calls = Arc::clone(&called);
    let derived = Promise::ready(1).map(move |n: u32| {
        calls.fetch_add(1, Ordering::Relaxed);
        n
    });
    let form = on.here().spawn_fn(move || (format!("{derived:?}"), derived)).wait().unwrap();
    assert_eq!((&*form.0, called.load(Ordering::Relaxed)), ("Promise { ready: false, .. }", 0));
    assert_eq!(form.1.wait().unwrap(), 1);
    assert_eq!(called.load(Ordering::Relaxed), 1);
}

fn what_polls_itself_again_does_not_hold_a_long_chain_up(on: &Systems) {
    let source = Promise::ready(0).then(|number| async move {
        for _ in 0..3 {
            twoply_core::future::yield_now().await;
            sleep(Duration::from_millis(1)).await;
        }
        Ok(number)
    });
    assert_eq!(on.here().spawn(chain(source).into_future()).wait().unwrap().unwrap(), LENGTH);
}
