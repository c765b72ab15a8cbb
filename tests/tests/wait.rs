//! `.wait()`: it may be called anywhere, ends for its own wake-up, and never holds a worker up.

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use twoply::contract::strand::{ThreadStrand, enter};
use twoply_core::future::yield_now;
use twoply_core::time::sleep;
use twoply_core::{Wait, channel, offload};
use twoply_tests::{Gate, Signal, Systems, assert_has_waited, eventually, exit_and_wait, laws};

laws! {
    and_mixed {
        threads_and_tasks_wait_for_each_other,
        two_blocked_tasks_wake_each_other,
    }
    everywhere {
        a_foreign_runtimes_task_may_wait,
        a_poll_may_wait_for_something_else,
        a_nested_wait_leaves_the_outer_wake_up_alone,
        an_outer_wake_up_does_not_end_a_nested_wait,
        waits_nest_deeper_than_there_are_bits,
        a_destructor_may_wait,
        a_destructor_may_wait_during_a_panic,
        a_panic_out_of_a_poll_leaves_the_stack_usable,
        a_wait_returns_what_is_ready_without_parking,
        a_waker_from_an_earlier_wait_is_harmless,
        code_run_elsewhere_borrows_and_waits,
        a_panic_in_code_run_elsewhere_goes_on_here,
        code_run_elsewhere_may_do_it_again,
        code_run_elsewhere_inherits_the_backend,
        what_runs_at_an_exit_in_a_task_may_wait,
    }
    native {
        what_runs_at_an_exit_on_a_strand_of_a_threads_own_may_wait,
    }
    green {
        others_go_on_while_code_run_elsewhere_blocks_its_thread,
        quick_code_run_elsewhere_costs_no_thread,
        code_run_elsewhere_is_not_ended_by_cancellation,
    }
    native {
        code_run_elsewhere_on_a_native_task_is_simply_called,
    }
    one_worker {
        a_blocked_task_does_not_keep_others_from_running,
        a_thousand_blocked_tasks_keep_nobody_from_running,
    }
}

/// Opens a gate from a thread after `delay`, and waits for it here.
fn real_wait(delay: Duration) {
    let gate = Gate::new();
    let opener = gate.clone();
    let thread = thread::spawn(move || {
        thread::sleep(delay);
        opener.open();
    });
    gate.opened().wait();
    thread.join().unwrap();
}

const SHORT: Duration = Duration::from_millis(2);

fn threads_and_tasks_wait_for_each_other(on: &Systems) {
    let (to, from_here) = channel::bounded(1);
    let (back, answers) = channel::bounded(1);
    let middle = on.here().spawn_fn(move || {
        for n in from_here.iter() {
            back.send(n + 1).wait().unwrap();
        }
    });
    let (out, results) = channel::bounded(1);
    let last = on.there().spawn(async move {
        while let Ok(n) = answers.recv().await {
            out.send(n * 10).await.unwrap();
        }
    });
    for n in 0..100 {
        to.send(n).wait().unwrap();
        assert_eq!(results.recv().wait(), Ok((n + 1) * 10));
    }
    drop(to);
    middle.wait().unwrap();
    last.wait().unwrap();
}

fn two_blocked_tasks_wake_each_other(on: &Systems) {
    let (ping, pings) = channel::bounded::<u32>(1);
    let (pong, pongs) = channel::bounded::<u32>(1);
    let one = on.here().spawn_fn(move || {
        for n in 0..300 {
            ping.send(n).wait().unwrap();
            assert_eq!(pongs.recv().wait(), Ok(n));
        }
    });
    let other = on.there().spawn_fn(move || {
        for n in pings.iter() {
            pong.send(n).wait().unwrap();
        }
    });
    one.wait().unwrap();
    other.wait().unwrap();
}

fn a_foreign_runtimes_task_may_wait(on: &Systems) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let (tx, rx) = channel::bounded(1);
    let ours = on.here().spawn_fn(move || {
        sleep(SHORT).wait();
        tx.send(1).wait().unwrap();
    });
    let backend = Arc::clone(on.here().backend());
    let theirs = tokio.spawn(async move {
        // Blocked here, awaited there, and a timer of ours under a waker of theirs.
        let first = rx.recv().wait().unwrap();
        sleep(SHORT).await;
        let task = twoply_core::task::Builder::new().spawn_on(&backend, async { 2 }).unwrap();
        first + task.await.unwrap()
    });
    assert_eq!(tokio.block_on(theirs).unwrap(), 3);
    ours.wait().unwrap();
    // And a task of ours may wait for something of theirs.
    let handle = tokio.handle().clone();
    let far = on.here().spawn_fn(move || {
        let asleep = handle.spawn(async { tokio::time::sleep(SHORT).await });
        asleep.wait().unwrap();
        7
    });
    assert_eq!(far.wait().unwrap(), 7);
}

fn a_poll_may_wait_for_something_else(on: &Systems) {
    let polls = || {
        let mut left = 3;
        poll_fn(move |cx| {
            real_wait(Duration::ZERO);
            left -= 1;
            cx.waker().wake_by_ref();
            if left == 0 { Poll::Ready(9) } else { Poll::Pending }
        })
    };
    assert_eq!(on.here().spawn(polls()).wait().unwrap(), 9);
    assert_eq!(on.here().spawn_fn(move || polls().wait()).wait().unwrap(), 9);
    assert_eq!(polls().wait(), 9);
}

/// A future whose first poll starts a nested wait, during which the outer one is woken; it is never woken
/// again.
fn outer_woken_during_inner() -> impl Future<Output = u32> + Send {
    let mut polls = 0;
    poll_fn(move |cx| {
        polls += 1;
        if polls == 2 {
            return Poll::Ready(polls);
        }
        let (inner, opener, waker) = (Gate::new(), Gate::new(), cx.waker().clone());
        let (gate, started) = (inner.clone(), opener.clone());
        let thread = thread::spawn(move || {
            eventually("the inner wait is on", || gate.waiting() > 0);
            waker.wake();
            started.open();
            thread::sleep(SHORT);
            gate.open();
        });
        inner.opened().wait();
        assert!(opener.is_open() && inner.is_open());
        thread.join().unwrap();
        Poll::Pending
    })
}

fn a_nested_wait_leaves_the_outer_wake_up_alone(on: &Systems) {
    // Were it eaten, the outer wait would hang.
    assert_eq!(outer_woken_during_inner().wait(), 2);
    assert_eq!(on.here().spawn(outer_woken_during_inner()).wait().unwrap(), 2);
    assert_eq!(on.here().spawn_fn(|| outer_woken_during_inner().wait()).wait().unwrap(), 2);
}

fn an_outer_wake_up_does_not_end_a_nested_wait(on: &Systems) {
    let task = on.here().spawn_fn(|| {
        let mut first = true;
        poll_fn(move |cx| {
            if !std::mem::take(&mut first) {
                return Poll::Ready(());
            }
            let (gate, waker, polls) = (Gate::new(), cx.waker().clone(), Signal::new());
            let opener = gate.clone();
            let thread = thread::spawn(move || {
                eventually("the inner wait is on", || opener.waiting() > 0);
                for _ in 0..100 {
                    waker.wake_by_ref();
                    thread::yield_now();
                }
                opener.open();
            });
            let mut opened = gate.opened();
            poll_fn(|cx| {
                polls.add();
                std::pin::Pin::new(&mut opened).poll(cx)
            })
            .wait();
            thread.join().unwrap();
            assert_eq!(polls.count(), 2, "the outer wake-ups polled the inner future");
            Poll::Pending
        })
        .wait();
    });
    task.wait().unwrap();
}

fn waits_nest_deeper_than_there_are_bits(on: &Systems) {
    fn nest(depth: usize) -> usize {
        if depth == 0 {
            real_wait(SHORT);
            return 0;
        }
        let mut first = true;
        let mut below = 0;
        poll_fn(|cx| {
            if std::mem::take(&mut first) {
                below = nest(depth - 1);
                let waker = cx.waker().clone();
                // From outside, and late: each level has to be parked for it.
                thread::spawn(move || waker.wake());
                return Poll::Pending;
            }
            Poll::Ready(below + 1)
        })
        .wait()
    }
    assert_eq!(nest(40), 40);
    // A fiber's stack is small, and a debug build's frames are large.
    assert_eq!(on.here().spawn_fn(|| nest(30)).wait().unwrap(), 30);
}

/// Waits when it is dropped, and counts afterwards.
struct WaitsInDrop(Signal);

impl Drop for WaitsInDrop {
    fn drop(&mut self) {
        real_wait(Duration::ZERO);
        self.0.add();
    }
}

fn a_destructor_may_wait(on: &Systems) {
    let waited = Signal::new();
    let (one, two, three) = (waited.clone(), waited.clone(), waited.clone());
    on.here().spawn(async move { drop(WaitsInDrop(one)) }).wait().unwrap();
    on.here().spawn_fn(move || drop(WaitsInDrop(two))).wait().unwrap();
    // As the result of a task that nobody takes.
    on.here().spawn_fn(move || WaitsInDrop(three)).detach();
    eventually("all have waited", || waited.count() == 3);
    drop(WaitsInDrop(waited.clone()));
}

fn a_destructor_may_wait_during_a_panic(on: &Systems) {
    let waited = Signal::new();
    for _ in 0..5 {
        let signal = waited.clone();
        let task = on.here().spawn_fn(move || {
            let _waits = WaitsInDrop(signal);
            panic!("expected: here");
        });
        assert!(task.wait().unwrap_err().is_panic());
    }
    assert_eq!(waited.count(), 5);
    let signal = waited.clone();
    let here = catch_unwind(AssertUnwindSafe(move || {
        let _waits = WaitsInDrop(signal);
        panic!("expected: on this thread");
    }));
    assert!(here.is_err() && waited.count() == 6);
}

fn a_panic_out_of_a_poll_leaves_the_stack_usable(on: &Systems) {
    let check = || {
        for _ in 0..3 {
            let bad = poll_fn(|_| -> Poll<()> {
                real_wait(Duration::ZERO);
                panic!("expected: in poll")
            });
            let caught = catch_unwind(AssertUnwindSafe(|| bad.wait()));
            assert!(caught.is_err());
            real_wait(Duration::ZERO);
        }
    };
    check();
    on.here().spawn_fn(check).wait().unwrap();
    on.here().spawn(async move { check() }).wait().unwrap();
}

fn a_wait_returns_what_is_ready_without_parking(on: &Systems) {
    let task = on.here().spawn_fn(|| (0..10_000).map(|n| std::future::ready(n).wait()).sum::<u64>());
    assert_eq!(task.wait().unwrap(), 49_995_000);
}

fn a_waker_from_an_earlier_wait_is_harmless(on: &Systems) {
    fn keep_waker() -> Waker {
        let mut kept = None;
        poll_fn(|cx| {
            kept = Some(cx.waker().clone());
            Poll::Ready(())
        })
        .wait();
        kept.unwrap()
    }
    let code = || {
        let waker = keep_waker();
        let polls = Signal::new();
        let gate = Gate::new();
        let opener = gate.clone();
        let thread = thread::spawn(move || {
            eventually("it waits", || opener.waiting() > 0);
            waker.wake_by_ref();
            waker.wake();
            opener.open();
        });
        let mut opened = gate.opened();
        poll_fn(|cx| {
            polls.add();
            std::pin::Pin::new(&mut opened).poll(cx)
        })
        .wait();
        thread.join().unwrap();
        assert!(polls.count() <= 4, "{} polls", polls.count());
    };
    code();
    on.here().spawn_fn(code).wait().unwrap();
}

fn code_run_elsewhere_borrows_and_waits(on: &Systems) {
    let task = on.here().spawn_fn(|| {
        let mut numbers = vec![3, 1, 2];
        let sum: i32 = offload(|| {
            numbers.sort_unstable();
            real_wait(SHORT);
            numbers.iter().sum()
        })
        .unwrap();
        (numbers, sum)
    });
    assert_eq!(task.wait().unwrap(), (vec![1, 2, 3], 6));
    let inside_async = on.here().spawn(async { offload(|| 5).unwrap() });
    assert_eq!(inside_async.wait().unwrap(), 5);
}

fn a_panic_in_code_run_elsewhere_goes_on_here(on: &Systems) {
    let task = on.here().spawn_fn(|| {
        let dropped = Signal::new();
        let guard = dropped.on_drop();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            offload(move || {
                let _guard = guard;
                panic!("expected: elsewhere");
            })
        }));
        let payload = caught.map(|_: Result<(), _>| ()).unwrap_err();
        (*payload.downcast_ref::<&str>().unwrap(), dropped.count())
    });
    assert_eq!(task.wait().unwrap(), ("expected: elsewhere", 1));
}

fn code_run_elsewhere_may_do_it_again(on: &Systems) {
    let task = on.here().spawn_fn(|| {
        let mut trace = Vec::new();
        offload(|| {
            trace.push(1);
            offload(|| trace.push(2)).unwrap();
            trace.push(3);
        })
        .unwrap();
        trace
    });
    assert_eq!(task.wait().unwrap(), [1, 2, 3]);
}

fn code_run_elsewhere_inherits_the_backend(on: &Systems) {
    let backend = Arc::clone(on.here().backend());
    let task = on.here().spawn_fn(move || {
        let inside = || offload(|| twoply_core::task::current_backend().unwrap()).unwrap();
        Arc::ptr_eq(&inside(), &backend)
    });
    assert!(task.wait().unwrap());
}

/// Code that blocks its thread until another task of the same runtime has run.
fn blocked_until_another_ran() {
    let (tx, rx) = mpsc::channel();
    twoply::spawn(async move { tx.send(()).unwrap() }).detach();
    offload(move || rx.recv_timeout(Duration::from_secs(10)).expect("the other task runs")).unwrap();
}

fn others_go_on_while_code_run_elsewhere_blocks_its_thread(on: &Systems) {
    let task = on.here().spawn(async {
        for round in 0..60 {
            // After a blocked call the next ones are expected to block; after some that did not, no longer.
            if round % 20 < 2 {
                blocked_until_another_ran();
            }
            let panics = || offload(|| panic!("expected: elsewhere")).unwrap();
            if round % 10 == 0 {
                catch_unwind(panics).unwrap_err();
            }
            offload(|| {
                if round % 7 == 0 {
                    blocked_until_another_ran()
                }
            })
            .unwrap();
            yield_now().await;
        }
    });
    task.wait().unwrap();
}

fn quick_code_run_elsewhere_costs_no_thread(on: &Systems) {
    if on.kind().is_fibers() {
        return;
    }
    const CALLS: u64 = 1000;
    let task = on.here().spawn(async {
        for call in 0..CALLS {
            assert_eq!(offload(|| call).unwrap(), call);
            yield_now().await;
        }
    });
    task.wait().unwrap();
    let handovers: u64 = on.here().metrics().workers.iter().map(|worker| worker.handovers).sum();
    // The machine may take the core away in the middle of a call, but not always.
    assert!(handovers < CALLS / 2, "{handovers} handovers for {CALLS} calls");
}

fn code_run_elsewhere_is_not_ended_by_cancellation(on: &Systems) {
    let (started, gate, done) = (Gate::new(), Gate::new(), Signal::new());
    let (begun, opened, signal) = (started.clone(), gate.opened(), done.clone());
    let task = on.here().spawn_fn(move || {
        let borrowed = vec![1; 1000];
        offload(|| {
            begun.open();
            opened.wait();
            signal.add();
            borrowed.len()
        })
        .unwrap();
        pending::<()>().wait();
    });
    eventually("it is there", || started.is_open());
    task.cancel();
    thread::sleep(SHORT);
    assert!(!task.is_finished());
    gate.open();
    assert!(task.wait().unwrap_err().is_cancelled());
    assert_eq!(done.count(), 1);
}

fn code_run_elsewhere_on_a_native_task_is_simply_called(on: &Systems) {
    let same = || thread::current().id() == offload(|| thread::current().id()).unwrap();
    assert!(on.here().spawn_fn(same).wait().unwrap());
    assert!(same());
}

fn a_blocked_task_does_not_keep_others_from_running(on: &Systems) {
    let gate = Gate::new();
    let opened = gate.opened();
    let blocked = on.here().spawn_fn(move || opened.wait());
    eventually("it waits", || gate.waiting() >= 1);
    let opener = gate.clone();
    assert_eq!(on.here().spawn(async { 1 }).wait().unwrap(), 1);
    assert_eq!(on.here().spawn_fn(|| 2).wait().unwrap(), 2);
    on.here().spawn(async move { opener.open() }).wait().unwrap();
    blocked.wait().unwrap();
}

fn a_thousand_blocked_tasks_keep_nobody_from_running(on: &Systems) {
    let number = if on.kind().is_fibers() { 1000 } else { 200 };
    let gate = Gate::new();
    let tasks: Vec<_> = (0..number)
        .map(|n| {
            let opened = gate.opened();
            on.here().spawn_fn(move || {
                opened.wait();
                n
            })
        })
        .collect();
    eventually("all wait", || gate.waiting() >= number);
    assert_eq!(on.here().spawn(async { 1 }).wait().unwrap(), 1);
    let metrics = on.here().metrics();
    match on.kind().is_fibers() {
        true => assert!(metrics.stacks >= number && metrics.threads <= 3, "{metrics:?}"),
        false => assert!(metrics.threads >= number, "{metrics:?}"),
    }
    gate.open();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.wait().unwrap(), n);
    }
    if on.kind().is_fibers() {
        eventually("stacks are given back", || on.here().metrics().stacks <= 64);
    }
}

/// That a waker of ours is one in the eyes of others, too: it can be cloned, compared and dropped.
#[test]
fn wakers_of_a_wait_compare_equal() {
    struct Never;
    impl Wake for Never {
        fn wake(self: Arc<Self>) {}
    }
    let other = Waker::from(Arc::new(Never));
    let mut last: Option<Waker> = None;
    let look = |cx: &mut Context<'_>| {
        assert!(!cx.waker().will_wake(&other));
        if let Some(last) = &last {
            assert!(cx.waker().will_wake(last), "one stack, one waker");
        }
        last = Some(cx.waker().clone());
    };
    let mut look = look;
    for _ in 0..3 {
        poll_fn(|cx| {
            look(cx);
            Poll::Ready(())
        })
        .wait();
    }
}

/// `exit` ends the values of its thread, and the strand among them, below the frames of the task.
fn what_runs_at_an_exit_in_a_task_may_wait(on: &Systems) {
    let output = on.in_child(|| {
        let exit = || poll_fn(|_| -> Poll<()> { exit_and_wait() }).wait();
        let _ = on.here().spawn_fn(exit).wait();
    });
    assert_has_waited(&output);
}

fn what_runs_at_an_exit_on_a_strand_of_a_threads_own_may_wait(on: &Systems) {
    thread_local!(static STRAND: ThreadStrand = ThreadStrand::new());
    let output = on.in_child(|| STRAND.with(|strand| enter(strand, || exit_and_wait())));
    assert_has_waited(&output);
}
