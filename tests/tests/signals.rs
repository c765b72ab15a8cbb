//! Signals between tasks: none is lost, none is given twice, and whoever stops waiting takes none along.

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use twoply_core::Wait;
use twoply_core::future::{OneOf, join_all, select, yield_now};
use twoply_core::sync::{Barrier, CancellationToken, Event, Notify};
use twoply_core::task::Task;
use twoply_tests::{Gate, Signal, Systems, both_ways, hooked_waker, laws};

laws! {
    and_mixed {
        no_notification_is_lost_among_waits_that_are_given_up,
        an_event_wakes_all_who_wait,
        tasks_meet_at_a_barrier_again_and_again,
        a_child_that_is_made_while_its_parent_is_cancelled_is_cancelled,
    }
    everywhere {
        one_permit_is_stored_and_no_more,
        those_in_line_are_told_one_by_one_in_order,
        what_one_was_told_is_passed_on_when_it_is_dropped,
        what_all_were_told_is_not_passed_on,
        who_was_made_before_is_told_with_all,
        who_has_entered_the_line_is_told_before_it_is_polled,
        who_waits_when_an_event_is_set_goes_on_though_it_is_reset,
        who_gives_up_at_a_barrier_has_not_arrived,
        cancellation_flows_down_and_not_up,
        a_dropped_token_cancels_nothing_and_cuts_nobody_off,
        a_hundred_thousand_tokens_are_cancelled_at_once,
        a_waker_may_use_the_tokens_that_are_being_cancelled,
        a_guard_cancels_however_its_scope_is_left,
        work_is_dropped_when_its_token_is_cancelled,
    }
}

/// Polls `future` once, with a waker that does nothing.
fn is_ready<F: Future + Unpin>(future: &mut F) -> bool {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// As [`is_ready`], for one that is dropped afterwards.
fn would_be_ready<F: Future + Unpin>(mut future: F) -> bool {
    is_ready(&mut future)
}

fn one_permit_is_stored_and_no_more(on: &Systems) {
    both_ways(on, || async {
        let notify = Notify::new();
        notify.notify_one();
        notify.notify_one();
        notify.notified().await;
        assert!(!would_be_ready(notify.notified()));
        notify.notify_waiters();
        assert!(!would_be_ready(notify.notified()), "nothing is stored for later");
        // A permit outlasts those who are told with all.
        notify.notify_one();
        notify.notify_waiters();
        assert!(would_be_ready(notify.notified()));
        // It is for one, also of those who were made before.
        let (mut first, mut second) = (notify.notified(), notify.notified());
        notify.notify_one();
        assert!(is_ready(&mut first) && !is_ready(&mut second));
    });
}

fn those_in_line_are_told_one_by_one_in_order(on: &Systems) {
    both_ways(on, || async {
        let notify = Notify::new();
        let mut waits: Vec<_> = (0..5).map(|_| notify.notified()).collect();
        assert!(waits.iter_mut().all(|wait| !is_ready(wait)));
        drop(waits.remove(1));
        for told in 0..4 {
            notify.notify_one();
            let ready: Vec<_> = waits.iter_mut().map(is_ready).collect();
            assert_eq!(ready, [0, 1, 2, 3].map(|n| n <= told));
        }
        assert!(!would_be_ready(notify.notified()));
    });
}

fn what_one_was_told_is_passed_on_when_it_is_dropped(on: &Systems) {
    both_ways(on, || async {
        let notify = Notify::new();
        let mut waits: Vec<_> = (0..3).map(|_| notify.notified()).collect();
        assert!(waits.iter_mut().all(|wait| !is_ready(wait)));
        notify.notify_one();
        drop(waits.remove(0));
        assert!(!is_ready(&mut waits[1]));
        drop(waits.remove(0));
        drop(waits);
        assert!(would_be_ready(notify.notified()), "nobody was left, so it is stored");
        assert!(!would_be_ready(notify.notified()));
    });
}

fn what_all_were_told_is_not_passed_on(on: &Systems) {
    both_ways(on, || async {
        let notify = Notify::new();
        let (mut first, mut second) = (notify.notified(), notify.notified());
        assert!(!is_ready(&mut first) && !is_ready(&mut second));
        notify.notify_one();
        notify.notify_waiters();
        let mut late = notify.notified();
        assert!(!is_ready(&mut late));
        drop(second);
        assert!(!is_ready(&mut late), "the second was told with all");
        drop(first);
        assert!(is_ready(&mut late), "the first was told alone");
        assert!(!would_be_ready(notify.notified()));
    });
}

fn who_was_made_before_is_told_with_all(on: &Systems) {
    both_ways(on, || async {
        let notify = Notify::new();
        let mut early = notify.notified();
        notify.notify_waiters();
        assert!(is_ready(&mut early) && is_ready(&mut early), "and it stays ready");
        assert!(!would_be_ready(notify.notified()));
    });
}

fn who_has_entered_the_line_is_told_before_it_is_polled(on: &Systems) {
    both_ways(on, || async {
        let notify = Notify::new();
        let (mut first, mut second) = (notify.notified(), notify.notified());
        assert!(!first.enable() && !second.enable() && !second.enable());
        notify.notify_one();
        notify.notify_one();
        assert!(second.enable() && is_ready(&mut second) && is_ready(&mut first));
        let mut third = notify.notified();
        assert!(!third.enable());
        notify.notify_one();
        drop(third);
        assert!(notify.notified().enable(), "it was passed on");
    });
}

fn no_notification_is_lost_among_waits_that_are_given_up(on: &Systems) {
    const SIGNALS: usize = 300;
    let (notify, told) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let done = Arc::new(Event::new());
    let waiters: Vec<Task<usize>> = (0..4)
        .map(|n| {
            let (notify, told, done) = (Arc::clone(&notify), Arc::clone(&told), Arc::clone(&done));
            let wait = async move {
                let mut given_up = 0;
                loop {
                    let patience = async {
                        for _ in 0..n {
                            yield_now().await
                        }
                    };
                    match select((notify.notified(), patience, done.wait())).await {
                        OneOf::First(()) => drop(told.fetch_add(1, Ordering::SeqCst)),
                        OneOf::Second(()) => given_up += 1,
                        OneOf::Third(()) => return given_up,
                    }
                    if n == 0 {
                        yield_now().await;
                    }
                }
            };
            if n % 2 == 0 { on.here().spawn(wait) } else { on.there().spawn_fn(move || wait.wait()) }
        })
        .collect();
    let counted = Arc::clone(&told);
    let driver = on.there().spawn(async move {
        for sent in 0..SIGNALS {
            notify.notify_one();
            // One at a time, so that each has to arrive: two that nobody has taken would be one.
            while counted.load(Ordering::SeqCst) == sent {
                yield_now().await;
            }
        }
    });
    driver.wait().unwrap();
    done.set();
    let given_up: usize = waiters.into_iter().map(|task| task.wait().unwrap()).sum();
    assert_eq!(told.load(Ordering::SeqCst), SIGNALS);
    assert!(given_up > 0, "the law was not put to the test");
}

fn an_event_wakes_all_who_wait(on: &Systems) {
    let (event, ready) = (Arc::new(Event::new()), Arc::new(Barrier::new(9)));
    let tasks: Vec<Task<()>> = (0..8)
        .map(|n| {
            let (event, ready) = (Arc::clone(&event), Arc::clone(&ready));
            let wait = async move {
                assert!(!event.is_set());
                ready.wait().await;
                event.wait().await;
                assert!(event.is_set());
            };
            if n % 2 == 0 { on.here().spawn(wait) } else { on.there().spawn_fn(move || wait.wait()) }
        })
        .collect();
    ready.wait().wait();
    event.set();
    event.wait().wait();
    tasks.into_iter().for_each(|task| task.wait().unwrap());
}

fn who_waits_when_an_event_is_set_goes_on_though_it_is_reset(on: &Systems) {
    both_ways(on, || async {
        let event = Event::new();
        let (mut polled, made) = (event.wait(), event.wait());
        assert!(!is_ready(&mut polled));
        event.set();
        event.reset();
        assert!(is_ready(&mut polled) && would_be_ready(made));
        assert!(!event.is_set() && !would_be_ready(event.wait()));
        event.set();
        event.wait().await;
    });
}

fn tasks_meet_at_a_barrier_again_and_again(on: &Systems) {
    const TASKS: usize = 5;
    const ROUNDS: usize = 60;
    let (barrier, arrived) = (Arc::new(Barrier::new(TASKS)), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<Task<usize>> = (0..TASKS)
        .map(|n| {
            let (barrier, arrived) = (Arc::clone(&barrier), Arc::clone(&arrived));
            let rounds = async move {
                let mut led = 0;
                for round in 0..ROUNDS {
                    arrived.fetch_add(1, Ordering::SeqCst);
                    led += usize::from(barrier.wait().await.is_leader());
                    let count = arrived.load(Ordering::SeqCst);
                    assert!(count >= TASKS * (round + 1), "{count} have arrived in round {round}");
                }
                led
            };
            if n % 2 == 0 { on.here().spawn(rounds) } else { on.there().spawn_fn(move || rounds.wait()) }
        })
        .collect();
    let led: usize = tasks.into_iter().map(|task| task.wait().unwrap()).sum();
    assert_eq!(led, ROUNDS, "each round has one leader");
}

fn who_gives_up_at_a_barrier_has_not_arrived(on: &Systems) {
    both_ways(on, || async {
        let barrier = Barrier::new(2);
        let mut stays = barrier.wait();
        assert!(!is_ready(&mut stays));
        drop(stays);
        let mut stays = barrier.wait();
        assert!(!is_ready(&mut stays));
        assert!(barrier.wait().await.is_leader());
        // Those who have met have done so, whoever is dropped then.
        drop(stays);
        assert!(!would_be_ready(barrier.wait()));
        // To be polled again is not to arrive again.
        let barrier = Barrier::new(3);
        let (mut first, mut second) = (barrier.wait(), barrier.wait());
        assert!(!is_ready(&mut first) && !is_ready(&mut first) && !is_ready(&mut second));
    });
}

fn cancellation_flows_down_and_not_up(on: &Systems) {
    let root = CancellationToken::new();
    let (left, right) = (root.child_token(), root.child_token());
    let (leaf, other) = (left.child_token(), right.child_token());
    let waits = [leaf.clone(), other.clone()].map(|token| on.here().spawn(token.cancelled_owned()));
    let [of_leaf, of_other] = waits;
    left.cancel();
    of_leaf.wait().unwrap();
    assert!(leaf.is_cancelled() && !root.is_cancelled() && !right.is_cancelled() && !other.is_cancelled());
    assert!(!of_other.is_finished());
    root.cancel();
    root.cancel();
    of_other.wait().unwrap();
    assert!(right.is_cancelled() && root.child_token().is_cancelled());
}

fn a_dropped_token_cancels_nothing_and_cuts_nobody_off(on: &Systems) {
    both_ways(on, || async {
        let root = CancellationToken::new();
        let middle = root.child_token();
        let leaves: Vec<_> = (0..10).map(|_| middle.child_token()).collect();
        drop(middle);
        assert!(!leaves.iter().any(CancellationToken::is_cancelled));
        root.cancel();
        assert!(leaves.iter().all(CancellationToken::is_cancelled));
    });
}

fn a_hundred_thousand_tokens_are_cancelled_at_once(on: &Systems) {
    const MANY: usize = 100_000;
    // In a line, so that whatever calls itself for each one overflows the stack; with those who wait, all
    // over it.
    let cancel = || {
        let root = CancellationToken::new();
        let mut tokens = vec![root.child_token()];
        for n in 1..MANY {
            // Half of them below their predecessor, half below the first.
            tokens.push(tokens[if n % 2 == 0 { 0 } else { n - 1 }].child_token());
        }
        let mut waits: Vec<_> = tokens.iter().map(CancellationToken::cancelled).collect();
        assert!(!waits.iter_mut().any(is_ready));
        root.cancel();
        assert!(waits.iter_mut().all(is_ready));
    };
    on.here().spawn(async move { cancel() }).wait().unwrap();
}

fn a_waker_may_use_the_tokens_that_are_being_cancelled(on: &Systems) {
    let check = async {
        let root = CancellationToken::new();
        let children: Vec<_> = (0..200).map(|_| root.child_token()).collect();
        let (seen, all) = (Signal::new(), Arc::new(children));
        let (counted, looked_at, parent) = (seen.clone(), Arc::clone(&all), root.clone());
        let waker = hooked_waker(move |act| {
            if act == twoply_tests::Act::Wake {
                // All are marked before anybody is woken, and nothing is locked.
                assert!(looked_at.iter().all(CancellationToken::is_cancelled));
                looked_at[3].cancel();
                assert!(parent.child_token().is_cancelled());
                counted.add();
            }
        });
        let mut waits: Vec<_> = all.iter().map(CancellationToken::cancelled).collect();
        for wait in &mut waits {
            assert!(Pin::new(wait).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        root.cancel();
        assert_eq!(seen.count(), all.len());
    };
    on.here().spawn(check).wait().unwrap();
}

fn a_child_that_is_made_while_its_parent_is_cancelled_is_cancelled(on: &Systems) {
    for _ in 0..20 {
        let root = CancellationToken::new();
        let start = Arc::new(Barrier::new(4));
        let makers: Vec<Task<()>> = (0..3)
            .map(|n| {
                let (token, start) = (root.child_token(), Arc::clone(&start));
                let make = async move {
                    start.wait().await;
                    let mut children = Vec::new();
                    while !token.is_cancelled() {
                        let child = token.child_token();
                        children.push(child.child_token());
                        if children.len() % 3 == 0 {
                            children.clear();
                        }
                        children.push(child);
                        yield_now().await;
                    }
                    // Those who are left are cancelled by the call that has cancelled their parent.
                    join_all(children.iter().map(CancellationToken::cancelled)).await;
                };
                if n == 0 { on.here().spawn(make) } else { on.there().spawn_fn(move || make.wait()) }
            })
            .collect();
        start.wait().wait();
        root.cancel();
        makers.into_iter().for_each(|maker| maker.wait().unwrap());
    }
}

fn a_guard_cancels_however_its_scope_is_left(on: &Systems) {
    let token = CancellationToken::new();
    let (first, second, third) = (token.child_token(), token.child_token(), token.child_token());
    let (one, two, three) = (first.clone(), second.clone(), third.clone());
    let panics = on.here().spawn_fn(move || {
        let _guard = one.drop_guard();
        std::panic::resume_unwind(Box::new("expected"));
    });
    let _: Result<(), _> = panics.wait();
    let guard = two.drop_guard();
    let cancelled = on.here().spawn(async move {
        let _guard = guard;
        pending::<()>().await;
    });
    cancelled.cancel();
    assert!(cancelled.wait().is_err());
    drop(three.drop_guard().disarm());
    let cancelled = [&first, &second, &third, &token].map(CancellationToken::is_cancelled);
    assert_eq!(cancelled, [true, true, false, false]);
}

fn work_is_dropped_when_its_token_is_cancelled(on: &Systems) {
    let (token, dropped, gate) = (CancellationToken::new(), Signal::new(), Gate::new());
    let (guard, opened, of_task) = (dropped.on_drop(), gate.opened(), token.clone());
    let task = on.here().spawn(async move {
        let work = async move {
            let _guard = guard;
            opened.await;
        };
        of_task.run_until_cancelled(work).await
    });
    twoply_tests::eventually("it waits", || gate.waiting() > 0);
    token.cancel();
    assert_eq!((task.wait().unwrap(), dropped.count()), (None, 1));
    both_ways(on, || async {
        let token = CancellationToken::new();
        assert_eq!(token.run_until_cancelled(ready(1)).await, Some(1));
        token.cancel();
        assert_eq!(token.run_until_cancelled(ready(1)).await, None, "the token is first");
        let mut polled = Box::pin(token.run_until_cancelled(ready(1)));
        assert_eq!(polled.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(None));
    });
}
