//! Code of the user's that panics where the library runs it in the middle of something else: destructors,
//! wakers and their clones. It harms nobody but whom it belongs to.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use twoply_core::actor::{self, ExitReason, Process};
use twoply_core::promise::{self, Failure, Promise};
use twoply_core::task::{Task, TaskGroup};
use twoply_core::time::sleep;
use twoply_core::{Wait, channel};
use twoply_tests::{Act, AnyWait, Gate, Signal, Systems, Waits, all_waits, eventually, hooked_waker, laws};

laws! {
    everywhere {
        who_stops_waiting_leaves_nothing_behind,
        a_waker_that_panics_when_it_is_woken_harms_nobody,
        a_waker_that_panics_when_it_is_dropped_harms_nobody,
        a_waker_that_panics_when_it_is_cloned_harms_nobody_else,
        a_waker_may_call_back_into_what_it_waits_for,
        messages_that_panic_when_they_are_dropped_harm_nobody_else,
    }
    and_mixed {
        who_has_let_go_of_a_handle_does_not_wait_for_it,
        a_destructor_that_panics_in_the_search_for_deadlocks_harms_nobody,
    }
}

/// What becomes of a handle that has been waited for in vain; a promise is kept.
type LetGo = fn(Task<()>) -> Option<Promise<()>>;

fn who_has_let_go_of_a_handle_does_not_wait_for_it(on: &Systems) {
    let ways: [(&str, LetGo); 4] = [
        ("dropped", |handle| {
            drop(handle);
            None
        }),
        ("detached", |handle| {
            handle.detach();
            None
        }),
        ("changed", |handle| {
            handle.cancel_on_drop().detach();
            None
        }),
        ("shared", |handle| Some(handle.into_promise())),
    ];
    for (way, let_go) in ways {
        let (to_bob, from_ann) = promise::pair::<u32>();
        let (tell, told) = channel::oneshot();
        let (go, asked) = (Gate::new(), Gate::new());
        let (gone, asks) = (go.clone(), asked.clone());
        let bob = on.there().spawn(async move {
            gone.opened().await;
            let mut wait = Box::pin(to_bob.into_future());
            let result = poll_fn(|cx| {
                let poll = wait.as_mut().poll(cx);
                asks.open();
                poll
            });
            let _ = tell.send(result.await);
        });
        let ann = on.here().spawn(async move {
            from_ann.set_current_owner();
            let mut bob = bob;
            poll_fn(|cx| {
                assert!(Pin::new(&mut bob).poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            let kept = let_go(bob);
            go.open();
            asked.opened().await;
            from_ann.resolve(1).unwrap();
            drop(kept);
        });
        // Were ann still taken for one who waits for bob, bob would close a circle.
        assert_eq!(told.wait().unwrap().map_err(|failure| failure.to_string()), Ok(1), "{way}");
        ann.wait().unwrap();
    }
}

/// Panics when it is dropped, unless that happens in an unwinding.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "expected: in a destructor");
    }
}

/// A waits for the handle of B, which waits for the end of a chain of derived promises and is cancelled at
/// about that moment. So whoever looks whom B waits for may be the last to hold the chain, and with it the
/// user's closure.
fn a_destructor_that_panics_in_the_search_for_deadlocks_harms_nobody(on: &Systems) {
    for attempt in 0..60_u32 {
        let (source, _resolver) = promise::pair::<u64>();
        let bomb = Bomb;
        let mut chain = source.map(move |value| {
            let _bomb = &bomb;
            value
        });
        for _ in 0..8 {
            chain = chain.map(|value| value);
        }
        let waits = Gate::new();
        let b_waits = waits.clone();
        let b = on.here().spawn(async move {
            let mut wait = Box::pin(chain.into_future());
            poll_fn(|cx| {
                let poll = wait.as_mut().poll(cx);
                b_waits.open();
                poll
            })
            .await
        });
        let b_ref = b.task();
        waits.opened().wait();
        let awaited = Gate::new();
        let goes_on = awaited.opened();
        let mut a = on.there().spawn_fn(move || {
            // Nobody searches for a circle through one for whom nobody waits.
            goes_on.wait();
            let waited = catch_unwind(AssertUnwindSafe(|| b.wait()));
            // Cancelled; or panicked, if it was B itself that dropped the chain.
            matches!(waited, Ok(Err(Failure::Cancelled | Failure::Panicked(_))))
        });
        let c = on.here().spawn(poll_fn(move |cx| {
            let poll = Pin::new(&mut a).poll(cx);
            awaited.open();
            poll
        }));
        // At one point or other of the wait; whichever it is, the outcome is the same.
        sleep(Duration::from_micros(u64::from(attempt % 30) * 5)).wait();
        b_ref.cancel();
        assert!(
            c.wait().unwrap().unwrap(),
            "the wait for B was hit by a panic of somebody else's destructor"
        );
    }
}

/// Has all waits polled once, by a task, and by turns with the wakers that `wakers` makes; each is pending.
fn poll_in_task(on: &Systems, wakers: impl Fn(usize) -> Waker + Send + 'static) -> Vec<Waits> {
    let mut all = all_waits(on);
    let poll = async move {
        for case in &mut all {
            for (n, wait) in case.waits.iter_mut().enumerate() {
                let pending = wait.as_mut().poll(&mut Context::from_waker(&wakers(n))).is_pending();
                assert!(pending, "{}: wait {n} is ready at once", case.name);
            }
        }
        all
    };
    on.here().spawn(poll).wait().unwrap()
}

fn who_stops_waiting_leaves_nothing_behind(on: &Systems) {
    for case in all_waits(on) {
        let Waits { name, mut waits, end } = case;
        let kept = Arc::new(());
        let guard = Arc::clone(&kept);
        let waker = hooked_waker(move |_| drop(Arc::clone(&guard)));
        let poll = async move {
            for wait in &mut waits {
                assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "{name}");
            }
        };
        on.here().spawn(poll).wait().unwrap();
        eventually(&format!("{name} leaves no waker behind"), || Arc::strong_count(&kept) == 1);
        end();
    }
}

/// What is waited for comes, and everybody who waits for it is told.
fn end_all(all: Vec<Waits>, woken: &Signal) {
    for Waits { name, waits, end } in all {
        let before = woken.count();
        let ended = catch_unwind(AssertUnwindSafe(end));
        assert!(ended.is_ok(), "{name}: whoever ends it is hit by a panic of a waker");
        if name == "sleep and tick" {
            continue;
        }
        if waits.len() > 1 {
            eventually(&format!("{name}: the second one is woken"), || woken.count() > before);
        }
        for wait in waits.into_iter().rev() {
            wait.wait();
        }
    }
}

fn a_waker_that_panics_when_it_is_woken_harms_nobody(on: &Systems) {
    let woken = Signal::new();
    let others = woken.clone();
    let all = poll_in_task(on, move |n| match n {
        0 => hooked_waker(|act| assert!(act != Act::Wake, "expected: a waker that panics")),
        _ => others.waker(),
    });
    end_all(all, &woken);
    assert_eq!(on.here().spawn(async { 1 }).wait().unwrap(), 1);
}

fn a_waker_that_panics_when_it_is_dropped_harms_nobody(on: &Systems) {
    let woken = Signal::new();
    let (others, polled) = (woken.clone(), Gate::new());
    let armed = polled.clone();
    let mut all = poll_in_task(on, move |n| match n {
        0 => {
            let armed = armed.clone();
            hooked_waker(move |act| assert!(act != Act::Drop || !armed.is_open(), "expected: a bad drop"))
        }
        _ => others.waker(),
    });
    polled.open();
    for case in &mut all {
        let wait = case.waits.remove(0);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(wait)));
        assert!(dropped.is_ok(), "{}: the panic of a waker that is dropped goes on", case.name);
    }
    for Waits { name, waits, end } in all {
        end();
        if name != "sleep and tick" {
            waits.into_iter().for_each(Wait::wait);
        }
    }
}

fn a_waker_that_panics_when_it_is_cloned_harms_nobody_else(on: &Systems) {
    let woken = Signal::new();
    let (others, mut all) = (woken.clone(), all_waits(on));
    let poll = async move {
        for case in &mut all {
            let mut first = case.waits.remove(0);
            let bad = hooked_waker(|act| assert!(act != Act::Clone, "expected: a bad clone"));
            let polled = catch_unwind(AssertUnwindSafe(|| {
                first.as_mut().poll(&mut Context::from_waker(&bad)).is_pending()
            }));
            assert!(polled.unwrap_or(true), "{}: ready at once", case.name);
            drop(first);
            for wait in &mut case.waits {
                assert!(wait.as_mut().poll(&mut Context::from_waker(&others.waker())).is_pending());
            }
        }
        all
    };
    for Waits { name, waits, end } in on.here().spawn(poll).wait().unwrap() {
        end();
        if name != "sleep and tick" {
            waits.into_iter().for_each(Wait::wait);
        }
    }
}

fn a_waker_may_call_back_into_what_it_waits_for(on: &Systems) {
    let mut all = all_waits(on);
    let poll = async move {
        for case in &mut all {
            let mut first = case.waits.remove(0);
            let others = Arc::new(Mutex::new(std::mem::take(&mut case.waits)));
            let same = Arc::clone(&others);
            let back = hooked_waker(move |_| {
                // Not where this is what polls them.
                if let Ok(mut others) = same.try_lock() {
                    others.retain_mut(|wait: &mut AnyWait| {
                        wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
                    });
                }
            });
            for _ in 0..2 {
                let _ = first.as_mut().poll(&mut Context::from_waker(&back));
            }
            case.waits.push(first);
            case.waits.push(Box::pin(async move { drop(others) }));
        }
        all
    };
    for Waits { end, .. } in on.here().spawn(poll).wait().unwrap() {
        end();
    }
    assert_eq!(on.here().spawn(async { 1 }).wait().unwrap(), 1);
}

/// Polls `wait` once, which is pending, and returns what counts its wake-ups.
fn poll_counted(wait: &mut (impl Future + Unpin)) -> Signal {
    let woken = Signal::new();
    assert!(Pin::new(wait).poll(&mut Context::from_waker(&woken.waker())).is_pending());
    woken
}

fn messages_that_panic_when_they_are_dropped_harm_nobody_else(on: &Systems) {
    // The receiver goes, with messages; somebody waits for room.
    let (tx, rx) = channel::bounded(2);
    assert!(tx.try_send(Bomb).is_ok() && tx.try_send(Bomb).is_ok());
    let mut send = Box::pin(tx.send(Bomb));
    let woken = poll_counted(&mut send);
    let _ = catch_unwind(AssertUnwindSafe(|| drop(rx)));
    assert_eq!(woken.count(), 1, "the send that waits for room is not woken");
    std::mem::forget(send.wait());

    // A state is replaced; somebody waits for the next one.
    let (tx, mut rx) = channel::watch(Bomb);
    let mut changed = Box::pin(rx.changed());
    let woken = poll_counted(&mut changed);
    let _ = catch_unwind(AssertUnwindSafe(|| tx.send(Bomb).is_ok()));
    assert_eq!(woken.count(), 1, "the change is not told");
    assert!(changed.wait().is_ok());
    let _ = catch_unwind(AssertUnwindSafe(|| drop((tx, rx))));

    // A process ends, with messages; others wait for room and for its end.
    let go = Gate::new();
    let opened = go.opened();
    let body = async move |_me: Process<Bomb>| opened.await;
    let process = actor::Builder::new().on(on.here().backend()).capacity(1).spawn(body).unwrap();
    assert!(process.try_send(Bomb).is_ok());
    let mut send = Box::pin(process.send(Bomb));
    let woken = poll_counted(&mut send);
    let ended = process.ended();
    go.open();
    assert_eq!(ended.wait(), ExitReason::Normal);
    eventually("the send that waits for room is woken", || woken.count() == 1);
    std::mem::forget(send.wait());

    // Results that nobody has taken.
    let mut group = TaskGroup::on(on.here().backend().clone());
    for _ in 0..3 {
        group.spawn(async { Bomb }).unwrap();
    }
    std::mem::forget(group.join_next().wait());
    drop(group);
    assert_eq!(on.here().spawn(async { 1 }).wait().unwrap(), 1);
}
