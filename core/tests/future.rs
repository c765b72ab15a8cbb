//! Combinators: what every one of them promises, on plain threads.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use twoply_core::future::{
    OneOf, SuspendError, join, join_all, race, race_all, select, suspension, yield_now,
};
use twoply_core::{Wait, channel};

/// A waker that counts.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn select_says_which_arm_was_ready() {
    assert_eq!(select((ready(1), pending::<()>())).wait(), OneOf::First(1));
    assert_eq!(select((pending::<()>(), ready(2))).wait(), OneOf::Second(2));
    let (p, r) = (pending::<()>, ready(6));
    match select((p(), p(), p(), p(), p(), r)).wait() {
        OneOf::Sixth(six) => assert_eq!(six, 6),
        _ => unreachable!(),
    }
}

#[test]
fn select_works_as_a_task_and_as_a_blocking_call() {
    let (tx, rx) = channel::bounded(1);
    let (quit, quitting) = channel::bounded::<()>(1);
    let helper = thread::spawn(move || {
        (0..100).for_each(|n| tx.send(n).wait().unwrap());
        quit.send(()).wait().unwrap();
        quit
    });
    let mut sum = 0;
    async {
        while sum < 45 {
            select! { await;
                n = rx.recv() => sum += n.unwrap(),
                quit = quitting.recv() => quit.unwrap(),
            }
        }
    }
    .wait();
    assert_eq!(sum, 45);
    loop {
        select! { wait; biased;
            n = rx.recv() => match n {
                Ok(n) => sum += n,
                Err(channel::RecvError) => break,
            },
            quit = quitting.recv() => quit.unwrap(),
        }
    }
    assert_eq!(sum, 4950);
    helper.join().unwrap();
}

#[test]
fn every_ready_arm_wins_sometimes() {
    let mut wins = [0; 3];
    for _ in 0..3000 {
        wins[race((ready(0), ready(1), ready(2))).wait()] += 1;
    }
    // Expected 1000 each; 600 is more than 15 standard deviations away.
    assert!(wins.iter().all(|&n| n > 600), "{wins:?}");
    let biased = (0..100).all(|_| race((pending(), ready(1), ready(2))).biased().wait() == 1);
    assert!(biased);
}

#[test]
fn an_arm_that_is_always_ready_does_not_starve_the_others() {
    let (tx, rx) = channel::unbounded();
    (0..64).for_each(|n| tx.try_send(n).unwrap());
    let mut others = 0;
    while !rx.is_empty() {
        if let OneOf::Second(()) = select((rx.recv(), ready(()))).wait() {
            others += 1;
        }
    }
    assert!(others > 8, "{others}");
}

/// Sets its flag when it is dropped, and is ready after `polls` polls.
struct Loser(Rc<Cell<bool>>);

impl Future for Loser {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Drop for Loser {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn losers_are_dropped_before_the_arm_runs() {
    let dropped = Rc::new(Cell::new(false));
    select! { wait;
        () = Loser(Rc::clone(&dropped)) => unreachable!(),
        () = ready(()) => assert!(dropped.get()),
    }
    dropped.set(false);
    async {
        select! { await;
            () = ready(()) => assert!(dropped.get()),
            () = Loser(Rc::clone(&dropped)) => unreachable!(),
        }
    }
    .wait();
}

#[test]
fn a_lost_receive_loses_no_message() {
    let (tx, rx) = channel::unbounded();
    let mut got = Vec::new();
    for n in 0..200 {
        if n % 2 == 0 {
            tx.try_send(n).unwrap();
        }
        if let OneOf::First(message) = select((rx.recv(), ready(()))).wait() {
            got.push(message.unwrap());
        }
    }
    got.extend(rx.try_iter());
    assert!(got.iter().copied().eq((0..200).step_by(2)));
}

#[test]
fn join_waits_for_all_and_drops_each_when_it_is_ready() {
    let (tx, rx) = channel::rendezvous();
    let (sent, received) = join((tx.send(5), rx.recv())).wait();
    assert_eq!((sent, received), (Ok(()), Ok(5)));
    let (a, b, c, d, e, f) =
        join((ready(1), ready('2'), ready("3"), yield_now(), async { 5u8 }, ready(6.0))).wait();
    assert_eq!((a, b, c, d, e, f), (1, '2', "3", (), 5, 6.0));
    let dropped = Rc::new(Cell::new(false));
    let guard = Loser(Rc::clone(&dropped));
    let mut joined = pin!(join((async move { drop(guard) }, pending::<()>())));
    assert!(poll_once(joined.as_mut()).is_pending());
    assert!(dropped.get());
}

#[test]
fn join_all_keeps_the_order_and_polls_only_who_was_woken() {
    const CHILDREN: usize = 100;
    let polls = Cell::new(0);
    let ends: Vec<_> = (0..CHILDREN).map(|_| channel::bounded::<usize>(1)).collect();
    let mut all = pin!(join_all(ends.iter().map(|(_, rx)| {
        let polls = &polls;
        let mut recv = rx.recv();
        poll_fn(move |cx| {
            polls.set(polls.get() + 1);
            Pin::new(&mut recv).poll(cx)
        })
    })));
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut poll = || all.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(poll().is_pending());
    assert_eq!(polls.get(), CHILDREN);
    for n in (1..CHILDREN).rev() {
        ends[n].0.try_send(n).unwrap();
        assert!(poll().is_pending());
    }
    // One more: the last child that is left is polled once for itself, to wait with the task's own waker.
    assert_eq!(polls.get(), 2 * CHILDREN);
    assert_eq!(count.0.load(Ordering::SeqCst), CHILDREN - 1);
    ends[0].0.try_send(0).unwrap();
    let Poll::Ready(outputs) = poll() else { panic!("all are ready") };
    assert!(outputs.into_iter().map(Result::unwrap).eq(0..CHILDREN));
    assert_eq!(join_all(Vec::<std::future::Ready<()>>::new()).wait(), []);
}

#[test]
fn a_child_that_is_woken_while_it_is_polled_is_polled_again() {
    let children = (0..4).map(|n| {
        let mut polls = 0;
        poll_fn(move |cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls == 3 { Poll::Ready(n) } else { Poll::Pending }
        })
    });
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut all = Box::pin(join_all(children));
    let mut poll = || all.as_mut().poll(&mut Context::from_waker(&waker));
    assert_eq!((poll(), count.0.load(Ordering::SeqCst)), (Poll::Pending, 1));
    assert_eq!((poll(), count.0.load(Ordering::SeqCst)), (Poll::Pending, 2));
    assert_eq!(poll(), Poll::Ready(vec![0, 1, 2, 3]));
}

#[test]
fn wakes_from_other_threads_reach_the_children() {
    let ends: Vec<_> = (0..64).map(|_| channel::bounded::<usize>(1)).collect();
    let senders: Vec<_> = ends.iter().map(|(tx, _)| tx.clone()).collect();
    let helper = thread::spawn(move || {
        for round in 0..20 {
            senders.iter().for_each(|tx| tx.send(round).wait().unwrap());
        }
    });
    for round in 0..20 {
        let outputs = join_all(ends.iter().map(|(_, rx)| rx.recv())).wait();
        assert!(outputs.into_iter().all(|n| n == Ok(round)));
    }
    helper.join().unwrap();
}

#[test]
fn race_all_returns_the_first() {
    let ends: Vec<_> = (0..8).map(|_| channel::bounded::<usize>(1)).collect();
    for n in 0..8 {
        let tx = ends[n].0.clone();
        let helper = thread::spawn(move || tx.send(n).wait());
        assert_eq!(race_all(ends.iter().map(|(_, rx)| rx.recv())).wait(), Ok(n));
        helper.join().unwrap().unwrap();
    }
    let mut wins = [0; 4];
    (0..400).for_each(|_| wins[race_all((0..4).map(ready)).wait()] += 1);
    assert!(wins.iter().all(|&n| n > 30), "{wins:?}");
}

#[test]
#[should_panic(expected = "without futures")]
fn race_all_of_nothing_panics_instead_of_hanging() {
    drop(race_all(Vec::<std::future::Ready<()>>::new()));
}

#[test]
fn yield_now_is_pending_once_and_lets_the_other_arms_have_a_turn() {
    let mut future = pin!(yield_now());
    assert!(poll_once(future.as_mut()).is_pending());
    assert!(poll_once(future.as_mut()).is_ready());
    let turns = Cell::new(0);
    let spin = async {
        while turns.get() < 3 {
            yield_now().await;
        }
    };
    let other = async {
        for _ in 0..3 {
            turns.set(turns.get() + 1);
            yield_now().await;
        }
        pending().await
    };
    race((spin, other)).wait();
    yield_now().wait();
}

#[test]
fn a_resume_counts_only_while_suspended() {
    let (mut point, resumer) = suspension();
    assert!(!resumer.resume());
    let mut suspend = Box::pin(point.suspend());
    assert!(!resumer.resume(), "suspended before the first poll");
    assert!(poll_once(suspend.as_mut()).is_pending());
    assert!(resumer.is_suspended() && resumer.resume());
    assert!(!resumer.resume(), "resumed twice");
    assert_eq!(poll_once(suspend.as_mut()), Poll::Ready(Ok(())));
    drop(suspend);
    let mut suspend = Box::pin(point.suspend());
    assert!(poll_once(suspend.as_mut()).is_pending());
    drop(suspend);
    assert!(!resumer.resume(), "a dropped suspension is over");
}

#[test]
fn of_many_who_resume_one_succeeds() {
    let (mut point, resumer) = suspension();
    let stop = Arc::new(AtomicUsize::new(0));
    let helpers: Vec<_> = (0..3)
        .map(|_| {
            let (resumer, stop) = (resumer.clone(), Arc::clone(&stop));
            thread::spawn(move || {
                let mut resumed = 0;
                while stop.load(Ordering::SeqCst) == 0 {
                    resumed += usize::from(resumer.resume());
                    thread::yield_now();
                }
                resumed
            })
        })
        .collect();
    (0..500).for_each(|_| point.suspend().wait().unwrap());
    stop.store(1, Ordering::SeqCst);
    assert_eq!(helpers.into_iter().map(|t| t.join().unwrap()).sum::<usize>(), 500);
}

#[test]
fn a_suspension_ends_when_nobody_can_resume_it() {
    let (mut point, resumer) = suspension();
    let helper = thread::spawn(move || {
        while !resumer.is_suspended() {
            thread::yield_now();
        }
    });
    assert_eq!(point.suspend().wait(), Err(SuspendError));
    assert_eq!(point.suspend().wait(), Err(SuspendError));
    helper.join().unwrap();
    let resumer = point.resumer();
    let helper = thread::spawn(move || {
        while !resumer.resume() {
            thread::yield_now()
        }
    });
    assert_eq!(point.suspend().wait(), Ok(()));
    helper.join().unwrap();
}
