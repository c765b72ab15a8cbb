//! Time: nothing is early, nothing is much later than a busy machine excuses, and what is given up leaves
//! nothing.

use std::future::{Future, pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use twoply_core::future::{join, join_all, yield_now};
use twoply_core::time::{
    MissedTicks, Sleep, interval, interval_at, now, sleep, sleep_until, timeout, timeout_at,
};
use twoply_core::{Wait, channel};
use twoply_tests::{Signal, Systems, eventually, laws};

laws! {
    and_mixed {
        a_sleep_moves_between_systems,
    }
    everywhere {
        a_sleep_is_never_early,
        no_time_is_no_wait_and_too_long_is_never,
        a_deadline_that_has_passed_is_ready,
        twenty_sleepers_all_wake_and_none_early,
        an_interval_keeps_its_phase,
        ticks_that_are_missed_are_skipped,
        ticks_that_are_missed_are_made_up_for_if_wanted,
        a_tick_that_is_given_up_comes_again,
        a_timeout_drops_what_it_gives_up,
        a_timeout_returns_what_is_ready_in_time,
        a_timeout_gives_a_message_back_that_has_not_been_sent,
        timeouts_nest_and_the_shorter_one_wins,
        a_sleep_is_given_another_deadline,
        an_idle_timeout_is_moved_on_and_on,
        a_sleeping_task_is_cancelled_at_once,
        a_sleep_outlives_its_runtime,
    }
    green {
        timers_fire_while_a_worker_is_never_idle,
        an_earlier_deadline_from_outside_ends_a_workers_sleep,
    }
    one_worker {
        of_a_hundred_thousand_sleepers_all_wake_and_none_early,
        a_hundred_thousand_sleeps_are_given_up,
    }
}

/// A time that a law really waits for.
const SHORT: Duration = Duration::from_millis(5);

/// A time that has not passed when a busy machine gets round to the next line.
const LONG: Duration = Duration::from_millis(300);

/// A time that no law waits for: who does, hangs.
const HOUR: Duration = Duration::from_secs(3600);

fn a_sleep_is_never_early(on: &Systems) {
    let check = |asked: Duration, took: Duration| {
        assert!(took >= asked, "asked for {asked:?}, woken after {took:?}");
    };
    for micros in [1, 10, 100, 999, 1000, 1001, 5000, 20_000] {
        let asked = Duration::from_micros(micros);
        let awaiting = on.here().spawn(async move {
            let start = Instant::now();
            sleep(asked).await;
            start.elapsed()
        });
        let waiting = on.here().spawn_fn(move || {
            let start = Instant::now();
            sleep(asked).wait();
            start.elapsed()
        });
        check(asked, awaiting.wait().unwrap());
        check(asked, waiting.wait().unwrap());
    }
}

fn no_time_is_no_wait_and_too_long_is_never(on: &Systems) {
    let task = on.here().spawn(async {
        sleep(Duration::ZERO).await;
        assert_eq!(timeout(Duration::ZERO, ready(1)).await, Ok(1));
        assert!(timeout(Duration::ZERO, pending::<()>()).await.is_err());
        for far in [Duration::MAX, Duration::from_secs(1 << 40), Duration::from_nanos(u64::MAX), HOUR] {
            assert!(timeout(Duration::from_micros(100), sleep(far)).await.is_err(), "{far:?}");
            assert_eq!(timeout(far, async { yield_now().await }).await, Ok(()), "{far:?}");
            assert!(timeout(Duration::from_micros(100), interval(far).tick()).await.is_err(), "{far:?}");
        }
        let mut always = interval(Duration::ZERO);
        for _ in 0..1000 {
            always.tick().await;
        }
    });
    task.wait().unwrap();
    // A wait for ever is a wait like any other.
    let never = on.here().spawn_fn(|| sleep(Duration::MAX).wait());
    std::thread::sleep(SHORT);
    assert!(!never.is_finished());
    never.cancel();
    assert!(never.wait().unwrap_err().is_cancelled());
}

fn a_deadline_that_has_passed_is_ready(on: &Systems) {
    let past = Instant::now().checked_sub(Duration::from_secs(1)).unwrap_or_else(Instant::now);
    let task = on.here().spawn(async move {
        sleep_until(past).await;
        assert!(timeout_at(past, pending::<()>()).await.is_err());
        // What is ready is taken all the same.
        assert_eq!(timeout_at(past, ready(1)).await, Ok(1));
        assert_eq!(interval_at(past, HOUR).tick().await, past);
    });
    task.wait().unwrap();
    on.here().spawn_fn(move || sleep_until(past).wait()).wait().unwrap();
}

fn twenty_sleepers_all_wake_and_none_early(on: &Systems) {
    let start = now() + SHORT;
    let woken = Arc::new(Mutex::new(Vec::new()));
    // Started in another order than they end in; 7 and 20 have no common divisor.
    let sleepers: Vec<_> = (0..20)
        .map(|n| {
            let (place, woken) = (n * 7 % 20, Arc::clone(&woken));
            let at = start + place * Duration::from_millis(3);
            let note = move || woken.lock().unwrap().push((now(), at));
            match n % 2 {
                0 => on.here().spawn(async move {
                    sleep_until(at).await;
                    note();
                }),
                _ => on.here().spawn_fn(move || {
                    sleep_until(at).wait();
                    note();
                }),
            }
        })
        .collect();
    sleepers.into_iter().for_each(|sleeper| sleeper.wait().unwrap());
    assert_eq!(woken.lock().unwrap().len(), 20);
    assert!(woken.lock().unwrap().iter().all(|(woken, at)| woken >= at), "somebody is woken early");
}

fn an_interval_keeps_its_phase(on: &Systems) {
    const PERIOD: Duration = Duration::from_millis(2);
    let task = on.here().spawn(async {
        let start = now();
        let mut clock = interval_at(start + PERIOD, PERIOD);
        let mut last = start;
        for _ in 0..30 {
            let due = clock.tick().await;
            assert!(now() >= due, "early");
            // However late it was taken: a whole number of periods after the first one.
            assert!(due > last && (due - last).as_nanos().is_multiple_of(PERIOD.as_nanos()) || last == start);
            last = due;
            sleep(Duration::from_micros(700)).await;
        }
        // The ticks that were returned and those that were missed are all there were.
        let periods = (last - start).as_nanos() / PERIOD.as_nanos();
        assert!((30..).contains(&periods), "{periods}");
        (periods, clock.missed())
    });
    let (periods, missed) = task.wait().unwrap();
    assert!(u128::from(missed) + 30 >= periods, "{missed} missed of {periods}");
    assert!(u128::from(missed) <= periods + 1, "{missed} missed of {periods}");
}

fn ticks_that_are_missed_are_skipped(on: &Systems) {
    let task = on.here().spawn_fn(|| {
        let start = now();
        let mut clock = interval_at(start, SHORT);
        assert_eq!(clock.tick().wait(), start);
        sleep(SHORT * 4 + SHORT / 2).wait();
        // The late one at once, and no burst after it.
        assert_eq!(clock.tick().wait(), start + SHORT);
        let missed = clock.missed();
        assert!(missed >= 3, "{missed}");
        let next = clock.tick().wait();
        assert_eq!(next, start + SHORT * u32::try_from(missed + 2).unwrap());
        assert!(now() >= next);
    });
    task.wait().unwrap();
}

fn ticks_that_are_missed_are_made_up_for_if_wanted(on: &Systems) {
    let task = on.here().spawn(async {
        let start = now();
        let mut clock = interval_at(start, SHORT);
        clock.set_missed_ticks(MissedTicks::Burst);
        sleep(5 * SHORT).await;
        for n in 0..8 {
            assert_eq!(clock.tick().await, start + n * SHORT);
        }
        assert_eq!(clock.missed(), 0);
        clock.set_missed_ticks(MissedTicks::Delay);
        sleep(3 * SHORT).await;
        let late = now();
        clock.tick().await;
        assert!(clock.tick().await >= late + SHORT, "a whole period after the late one");
        let begun = now();
        clock.reset();
        assert!(clock.tick().await >= begun + SHORT);
    });
    task.wait().unwrap();
}

fn a_tick_that_is_given_up_comes_again(on: &Systems) {
    let given_up = || {
        let task = on.here().spawn(async {
            let start = now();
            let mut clock = interval_at(start + SHORT, HOUR);
            let mut given_up = 0;
            let due = loop {
                match timeout(SHORT / 10, clock.tick()).await {
                    Ok(due) => break due,
                    Err(_) => given_up += 1,
                }
            };
            assert_eq!(due, start + SHORT);
            given_up
        });
        task.wait().unwrap()
    };
    // On a busy machine the first poll may come after the tick is due.
    assert!((0..100).any(|_| given_up() > 0), "the law was not put to the test");
}

fn a_timeout_drops_what_it_gives_up(on: &Systems) {
    for straight_line in [false, true] {
        let dropped = Signal::new();
        let guard = dropped.on_drop();
        let future = async move {
            let _guard = guard;
            pending::<()>().await;
        };
        let count = dropped.clone();
        let check = move |result: Result<(), twoply_core::time::TimeoutError>| {
            let error = std::io::Error::from(result.unwrap_err());
            assert_eq!((error.kind(), count.count()), (std::io::ErrorKind::TimedOut, 1));
        };
        match straight_line {
            false => on.here().spawn(async move { check(timeout(SHORT, future).await) }).wait().unwrap(),
            true => on.here().spawn_fn(move || check(timeout(SHORT, future).wait())).wait().unwrap(),
        }
    }
}

/// By itself, or with the future, which may go on: in a channel with room for a message, and in one without.
fn a_timeout_gives_a_message_back_that_has_not_been_sent(on: &Systems) {
    const SHORT: Duration = Duration::from_millis(1);
    on.here()
        .spawn(async {
            let (full, behind) = channel::bounded(1);
            full.send(0).await.unwrap();
            for (tx, rx) in [(full, behind), channel::rendezvous()] {
                assert_eq!(tx.send(1).timeout(SHORT).await.unwrap_err().into_inner(), 1);
                let mut limited = timeout(SHORT, tx.send(2));
                assert!((&mut limited).await.is_err());
                assert_eq!(limited.into_inner().into_message(), Some(2));
                let mut limited = timeout(SHORT, tx.send(3));
                assert!((&mut limited).await.is_err());
                let received = async { while rx.recv().await.unwrap() != 3 {} };
                assert_eq!(join((limited.into_inner(), received)).await.0, Ok(()));
                assert!(rx.is_empty());
            }
        })
        .wait()
        .unwrap();
}

fn a_timeout_returns_what_is_ready_in_time(on: &Systems) {
    let (tx, rx) = channel::bounded(1);
    let waiting = on.here().spawn_fn(move || timeout(HOUR, rx.recv()).wait());
    on.here().spawn(async move { tx.send(1).await.unwrap() }).wait().unwrap();
    assert_eq!(waiting.wait().unwrap(), Ok(Ok(1)));
}

fn timeouts_nest_and_the_shorter_one_wins(on: &Systems) {
    let task = on.here().spawn(async {
        let inner = timeout(HOUR, timeout(SHORT, pending::<()>())).await;
        let outer = timeout(SHORT, timeout(HOUR, pending::<()>())).await;
        (inner.is_ok_and(|inner| inner.is_err()), outer.is_err())
    });
    assert_eq!(task.wait().unwrap(), (true, true));
    // A wait inside a poll has a deadline of its own, and eats none of the outer one's.
    let nested = on.here().spawn_fn(|| {
        let mut first = true;
        let inner = poll_fn(move |_| match std::mem::take(&mut first) {
            true => {
                assert!(timeout(SHORT, pending::<()>()).wait().is_err());
                Poll::Pending
            }
            false => Poll::<()>::Pending,
        });
        timeout(SHORT * 2, inner).wait().is_err()
    });
    assert!(nested.wait().unwrap());
}

fn a_sleep_is_given_another_deadline(on: &Systems) {
    let task = on.here().spawn(async {
        let start = now();
        let mut nap = pin!(sleep(HOUR));
        let pending_once =
            |nap: &mut Pin<&mut Sleep>, cx: &mut Context<'_>| nap.as_mut().poll(cx).is_pending();
        assert!(poll_fn(|cx| Poll::Ready(pending_once(&mut nap, cx))).await);
        // Earlier.
        nap.as_mut().reset(start + SHORT);
        nap.as_mut().await;
        assert!(now() >= start + SHORT);
        // Later, after it has been ready; and later again while it is under way.
        nap.as_mut().reset(now() + SHORT);
        assert!(poll_fn(|cx| Poll::Ready(pending_once(&mut nap, cx))).await);
        let end = now() + SHORT * 3;
        nap.as_mut().reset(end);
        nap.as_mut().await;
        assert!(now() >= end);
        assert_eq!(nap.deadline(), Some(end));
    });
    task.wait().unwrap();
}

fn an_idle_timeout_is_moved_on_and_on(on: &Systems) {
    // As a connection does whenever something arrives.
    let (tx, rx) = channel::bounded(1);
    let idle = on.here().spawn(async move {
        let (mut idle, mut messages) = (sleep(HOUR), 0);
        loop {
            // Until the last message, so that a sender who stands still for a while is not given up.
            idle.reset(now() + if messages < 499 { HOUR } else { Duration::from_millis(50) });
            match twoply_core::future::select((rx.recv(), &mut idle)).biased().await {
                twoply_core::future::OneOf::First(Ok(())) => messages += 1,
                twoply_core::future::OneOf::First(Err(_)) => panic!("the sender waits for the timeout"),
                twoply_core::future::OneOf::Second(()) => return (messages, rx),
            }
        }
    });
    let kept = tx.clone();
    let busy = on.here().spawn(async move {
        for _ in 0..500 {
            tx.send(()).await.unwrap();
            yield_now().await;
        }
    });
    busy.wait().unwrap();
    let (messages, _rx) = idle.wait().unwrap();
    assert!(messages >= 499, "{messages}");
    drop(kept);
}

fn a_sleeping_task_is_cancelled_at_once(on: &Systems) {
    let awaiting = on.here().spawn(sleep(HOUR));
    let waiting = on.here().spawn_fn(|| sleep(HOUR).wait());
    std::thread::sleep(SHORT);
    for task in [awaiting, waiting] {
        task.cancel();
        assert!(task.wait().unwrap_err().is_cancelled());
    }
}

/// Polls `future` once, wherever this runs, and returns it. It must not be ready.
async fn poll_once<F: Future + Unpin>(mut future: F) -> F {
    assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut future).poll(cx).is_pending())).await);
    future
}

fn a_sleep_moves_between_systems(on: &Systems) {
    let start = now();
    let nap = sleep(LONG);
    let nap = on.here().spawn(poll_once(nap)).wait().unwrap();
    let nap = on.there().spawn_fn(move || poll_once(nap).wait()).wait().unwrap();
    let nap = poll_once(nap).wait();
    on.here().spawn(nap).wait().unwrap();
    assert!(now() >= start + LONG);
}

fn a_sleep_outlives_its_runtime(on: &Systems) {
    let mortal = on.kind().build();
    let start = now();
    let nap = mortal.spawn(poll_once(sleep(LONG))).wait().unwrap();
    mortal.shutdown(HOUR).unwrap();
    drop(mortal);
    on.here().spawn(nap).wait().unwrap();
    assert!(now() >= start + LONG);
}

fn timers_fire_while_a_worker_is_never_idle(on: &Systems) {
    let over = Arc::new(AtomicBool::new(false));
    // More always-ready tasks than workers, of both kinds.
    let busy: Vec<_> = (0..6)
        .map(|n| {
            let over = Arc::clone(&over);
            let spin = async move {
                while !over.load(Ordering::SeqCst) {
                    yield_now().await;
                }
            };
            match n % 2 {
                0 => on.here().spawn(spin),
                _ => on.here().spawn_fn(move || spin.wait()),
            }
        })
        .collect();
    let awaiting = on.here().spawn(async {
        for _ in 0..20 {
            let at = now() + Duration::from_millis(1);
            sleep_until(at).await;
            assert!(now() >= at);
        }
    });
    let waiting = on.here().spawn_fn(|| {
        for _ in 0..20 {
            let at = now() + Duration::from_millis(1);
            sleep_until(at).wait();
            assert!(now() >= at);
        }
    });
    awaiting.wait().unwrap();
    waiting.wait().unwrap();
    over.store(true, Ordering::SeqCst);
    busy.into_iter().for_each(|task| task.wait().unwrap());
}

fn an_earlier_deadline_from_outside_ends_a_workers_sleep(on: &Systems) {
    // The workers sleep until a far deadline; then a task with a near one comes.
    let far = on.here().spawn(sleep(HOUR));
    for _ in 0..20 {
        let sleeps = || on.here().metrics().workers.iter().map(|worker| worker.sleeps).sum::<u64>();
        eventually("the workers sleep", || sleeps() > 0);
        on.here().spawn(sleep(Duration::from_millis(1))).wait().unwrap();
    }
    far.cancel();
    assert!(far.wait().unwrap_err().is_cancelled());
}

/// A number below `limit` for each `seed`, all over the place.
fn scattered(seed: u64, limit: u64) -> u64 {
    // The multiplier is that of Knuth's linear congruential generator MMIX.
    let mixed = seed.wrapping_add(1).wrapping_mul(6_364_136_223_846_793_005);
    (mixed >> 33) % limit
}

fn of_a_hundred_thousand_sleepers_all_wake_and_none_early(on: &Systems) {
    const SLEEPERS: u64 = 100_000;
    let (asleep, woken) = (Signal::new(), Arc::new(Mutex::new(Vec::with_capacity(SLEEPERS as usize))));
    // Time to put them to bed, and then a sleeper every 20 us.
    let (first, spread) = (now() + Duration::from_secs(2), 2_000_000);
    let sleepers: Vec<_> = (0..SLEEPERS)
        .map(|n| {
            let (asleep, woken) = (asleep.clone(), Arc::clone(&woken));
            on.here().spawn(async move {
                let at = first + Duration::from_micros(scattered(n, spread));
                let mut nap = sleep_until(at);
                let slept = poll_fn(|cx| Poll::Ready(Pin::new(&mut nap).poll(cx).is_pending())).await;
                asleep.add();
                nap.await;
                if slept {
                    woken.lock().unwrap().push((at, now()));
                }
            })
        })
        .collect();
    eventually("all are asleep", || asleep.count() == SLEEPERS as usize);
    // Here, and not on the worker: looking at them all for the first time takes a while.
    join_all(sleepers).wait();
    let woken = woken.lock().unwrap();
    assert!(woken.iter().all(|(at, woken)| woken >= at), "somebody is woken early");
    // How late they wake is for the benches to say: here, other tests want the cores.
}

fn a_hundred_thousand_sleeps_are_given_up(on: &Systems) {
    const SLEEPS: usize = 100_000;
    // On a worker of its own timers, which are asked in between.
    let task = on.here().spawn(async {
        let timers = poll_fn(|cx| {
            Poll::Ready(twoply_core::strand::with_current(|strand| strand.driver().timers(cx.waker())))
        });
        let timers = timers.await.unwrap();
        let before = timers.len();
        let mut sleeps = Vec::with_capacity(SLEEPS);
        for n in 0..SLEEPS {
            sleeps.push(poll_once(sleep(HOUR + Duration::from_micros(scattered(n as u64, 1 << 30)))).await);
        }
        let during = timers.len();
        drop(sleeps);
        (during - before, timers.len() - before)
    });
    assert_eq!(task.wait().unwrap(), (SLEEPS, 0));
}
