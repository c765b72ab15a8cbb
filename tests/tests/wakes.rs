//! Wake-ups: none is lost, none is needed twice, and one that nobody wants does no harm.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::task::Task;
use twoply_tests::{Gate, Signal, Systems, eventually, laws};

laws! {
    everywhere {
        a_storm_of_wake_ups_from_many_threads_loses_none,
        a_wake_up_during_the_poll_is_not_lost,
        spurious_wake_ups_are_harmless,
        a_wake_up_after_the_end_is_harmless,
        a_waker_that_is_called_in_another_tasks_poll_works,
        a_waker_may_be_dropped_anywhere,
        wake_ups_of_a_task_that_moves_on_belong_to_the_future_that_waits,
    }
    and_mixed {
        a_chain_of_wake_ups_goes_all_the_way,
    }
    green {
        many_wake_ups_before_a_poll_are_one_poll,
        a_task_that_nobody_can_wake_ends_with_its_runtime,
    }
}

/// A mailbox of one number that grows: `set` wakes who waits for a change.
#[derive(Clone, Default)]
struct Level(Arc<(AtomicUsize, Mutex<Option<Waker>>)>);

impl Level {
    fn add(&self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
        let waker = self.0.1.lock().unwrap().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until the number is at least `goal`.
    fn reaches(&self, goal: usize) -> impl Future<Output = ()> + Send + 'static {
        let this = self.clone();
        poll_fn(move |cx| {
            *this.0.1.lock().unwrap() = Some(cx.waker().clone());
            if this.0.0.load(Ordering::SeqCst) >= goal { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

fn a_storm_of_wake_ups_from_many_threads_loses_none(on: &Systems) {
    const THREADS: usize = 4;
    const EACH: usize = 500;
    for blocks in [false, true] {
        let level = Level::default();
        let waiting = level.clone();
        let task = match blocks {
            false => on.here().spawn(async move {
                // Each step waits anew, so each wake-up may be the one that counts.
                for goal in 1..=THREADS * EACH {
                    waiting.reaches(goal).await;
                }
            }),
            true => on.here().spawn_fn(move || {
                for goal in 1..=THREADS * EACH {
                    waiting.reaches(goal).wait();
                }
            }),
        };
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let level = level.clone();
                thread::spawn(move || {
                    for n in 0..EACH {
                        level.add();
                        if n % 16 == 0 {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        task.wait().unwrap();
    }
}

fn a_wake_up_during_the_poll_is_not_lost(on: &Systems) {
    let future = || {
        let mut left = 200;
        poll_fn(move |cx| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            match left % 3 {
                0 => cx.waker().wake_by_ref(),
                1 => {
                    let waker = cx.waker().clone();
                    thread::spawn(move || waker.wake()).join().unwrap();
                }
                // It comes when it comes: during the poll, after it, or in between.
                _ => {
                    let waker = cx.waker().clone();
                    thread::spawn(move || waker.wake());
                }
            }
            Poll::Pending
        })
    };
    on.here().spawn(future()).wait().unwrap();
    on.here().spawn_fn(move || future().wait()).wait().unwrap();
}

fn spurious_wake_ups_are_harmless(on: &Systems) {
    for blocks in [false, true] {
        let (gate, kept) = (Gate::new(), Arc::new(Mutex::new(None::<Waker>)));
        let (mut opened, place) = (gate.opened(), Arc::clone(&kept));
        let future = poll_fn(move |cx| {
            *place.lock().unwrap() = Some(cx.waker().clone());
            Pin::new(&mut opened).poll(cx)
        });
        let task = match blocks {
            false => on.here().spawn(future),
            true => on.here().spawn_fn(move || future.wait()),
        };
        eventually("it waits", || gate.waiting() >= 1);
        let waker = kept.lock().unwrap().clone().unwrap();
        for _ in 0..200 {
            waker.wake_by_ref();
            let copy = waker.clone();
            copy.wake();
            assert!(!task.is_finished());
        }
        gate.open();
        task.wait().unwrap();
        waker.wake();
    }
}

fn a_wake_up_after_the_end_is_harmless(on: &Systems) {
    let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
    for n in 0..20 {
        let place = Arc::clone(&wakers);
        let future = poll_fn(move |cx| {
            place.lock().unwrap().push(cx.waker().clone());
            Poll::Ready(n)
        });
        let task = match n % 2 {
            0 => on.here().spawn(future),
            _ => on.here().spawn_fn(move || future.wait()),
        };
        assert_eq!(task.wait().unwrap(), n);
    }
    for waker in wakers.lock().unwrap().drain(..) {
        waker.wake_by_ref();
        waker.wake();
    }
    assert_eq!(on.here().spawn(async { 1 }).wait().unwrap(), 1);
}

fn a_waker_that_is_called_in_another_tasks_poll_works(on: &Systems) {
    let gates: Vec<Gate> = (0..50).map(|_| Gate::new()).collect();
    let tasks: Vec<Task<()>> = gates
        .iter()
        .enumerate()
        .map(|(n, gate)| {
            let opened = gate.opened();
            match n % 2 {
                0 => on.here().spawn(opened),
                _ => on.here().spawn_fn(move || opened.wait()),
            }
        })
        .collect();
    eventually("all wait", || gates.iter().all(|gate| gate.waiting() > 0));
    let (first, second): (Vec<Gate>, Vec<Gate>) = {
        let mut gates = gates.into_iter();
        (gates.by_ref().take(25).collect(), gates.collect())
    };
    let opens = poll_fn(move |_| {
        first.iter().for_each(Gate::open);
        Poll::Ready(())
    });
    on.here().spawn(opens).wait().unwrap();
    on.here().spawn_fn(move || second.iter().for_each(Gate::open)).wait().unwrap();
    tasks.into_iter().for_each(|task| task.wait().unwrap());
}

fn a_waker_may_be_dropped_anywhere(on: &Systems) {
    let place: Arc<Mutex<Option<Waker>>> = Arc::default();
    let kept = Arc::clone(&place);
    let task = on.here().spawn(poll_fn(move |cx| {
        *kept.lock().unwrap() = Some(cx.waker().clone());
        Poll::<()>::Pending
    }));
    eventually("it has been polled", || place.lock().unwrap().is_some());
    let waker = place.lock().unwrap().take().unwrap();
    let copy = waker.clone();
    thread::spawn(move || drop(copy)).join().unwrap();
    on.here().spawn_fn(move || drop(waker)).wait().unwrap();
    task.cancel();
    assert!(task.wait().unwrap_err().is_cancelled());
}

fn wake_ups_of_a_task_that_moves_on_belong_to_the_future_that_waits(on: &Systems) {
    // A waker of the first wait fires again and again during the second one.
    let (old, gate, polls) = (Gate::new(), Gate::new(), Signal::new());
    let (first, mut second, counted) = (old.opened(), gate.opened(), polls.clone());
    let task = on.here().spawn(async move {
        first.await;
        poll_fn(|cx| {
            counted.add();
            Pin::new(&mut second).poll(cx)
        })
        .await;
        5
    });
    eventually("it waits", || old.waiting() > 0);
    old.open();
    eventually("it waits again", || gate.waiting() > 0);
    old.open();
    gate.open();
    assert_eq!(task.wait().unwrap(), 5);
    assert!(polls.count() <= 3);
}

fn a_chain_of_wake_ups_goes_all_the_way(on: &Systems) {
    const LENGTH: usize = 60;
    let gates: Vec<Gate> = (0..=LENGTH).map(|_| Gate::new()).collect();
    let tasks: Vec<_> = (0..LENGTH)
        .map(|n| {
            let (opened, next) = (gates[n].opened(), gates[n + 1].clone());
            let system = if n % 2 == 0 { on.here() } else { on.there() };
            match n % 3 {
                0 => system.spawn_fn(move || {
                    opened.wait();
                    next.open();
                }),
                _ => system.spawn(async move {
                    opened.await;
                    next.open();
                }),
            }
        })
        .collect();
    gates[0].open();
    gates[LENGTH].opened().wait();
    tasks.into_iter().for_each(|task| task.wait().unwrap());
}

fn many_wake_ups_before_a_poll_are_one_poll(on: &Systems) {
    // Wakes from the task's own poll, and more while it waits in the queue, are one more poll.
    let polls = Signal::new();
    let counted = polls.clone();
    let task = on.here().spawn(poll_fn(move |cx| {
        if counted.add() == 2 {
            return Poll::Ready(());
        }
        (0..100).for_each(|_| cx.waker().wake_by_ref());
        Poll::Pending
    }));
    task.wait().unwrap();
    assert_eq!(polls.count(), 2);
}

fn a_task_that_nobody_can_wake_ends_with_its_runtime(on: &Systems) {
    let dropped = Signal::new();
    let system = on.kind().build();
    for _ in 0..20 {
        let guard = dropped.on_drop();
        let hopeless = async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        };
        system.spawn(hopeless).detach();
    }
    system.shutdown(Duration::from_secs(10)).unwrap();
    assert_eq!(dropped.count(), 20);
}
