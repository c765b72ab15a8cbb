//! The budget of a poll: what is always ready keeps nobody waiting, and no answer depends on how much is
//! left.

use std::future::{Future, IntoFuture, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use twoply_core::actor::{Builder, Event, ExitReason, Process};
use twoply_core::coop::BUDGET;
use twoply_core::future::{OneOf, join, join_all, race_all, select};
use twoply_core::net::{TcpListener, TcpStream};
use twoply_core::promise::{Promise, Resolver};
use twoply_core::sync::{CancellationToken, Mutex, RwLock, Semaphore};
use twoply_core::task::Task;
use twoply_core::time::{sleep, timeout};
use twoply_core::{Wait, channel, offload};
use twoply_tests::{Gate, Signal, Systems, builder, eventually, laws, run_process, start_idle};

laws! {
    everywhere {
        a_time_limit_of_zero_takes_what_is_ready,
        a_time_limit_of_zero_hears_all_of_its_future,
        a_selection_passes_nothing_over,
        a_look_at_a_derived_promise_sees_what_is_kept,
        a_receive_with_a_timeout_takes_what_is_there,
        a_process_sets_any_number_of_timers_in_a_row,
        a_foreign_executor_is_never_refused,
        what_is_always_ready_ends_with_its_time_limit,
        what_is_always_ready_starves_no_arm,
        what_is_always_ready_starves_no_member,
        what_is_always_ready_can_be_cancelled,
        a_join_polls_a_ready_member_once,
        a_token_that_is_polled_without_a_budget_has_a_waker,
    }
    one_worker {
        waits_that_are_woken_before_they_park_give_way,
        arms_that_wake_each_other_give_way,
        a_process_that_asks_itself_gives_way,
        a_condition_that_always_holds_gives_way,
        locks_that_nobody_has_give_way,
        sleeps_that_are_over_give_way,
        waits_for_an_end_that_has_come_give_way,
    }
}

/// How much of the budget a law spends before it asks its question.
const SPENT: [u32; 5] = [0, 1, BUDGET - 1, BUDGET, BUDGET + 1];

/// Completes this many operations without waiting.
async fn spend(operations: u32) {
    let (tx, rx) = channel::unbounded();
    for _ in 0..operations {
        tx.try_send(()).unwrap();
        rx.recv().await.unwrap();
    }
}

/// Always has something to do, until `over`.
async fn busy(over: Arc<AtomicBool>) {
    let (tx, rx) = channel::unbounded();
    while !over.load(Ordering::Relaxed) {
        tx.try_send(()).unwrap();
        rx.recv().await.unwrap();
    }
}

/// Always has something to do.
fn endless() -> impl Future<Output = ()> + Send {
    busy(Arc::default())
}

/// Checks `question` in a task that awaits and in one that waits, with different amounts of the budget spent.
fn ask<F>(on: &Systems, question: fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for spent in SPENT {
        on.here()
            .spawn(async move {
                spend(spent).await;
                question().await;
            })
            .wait()
            .unwrap();
        on.here()
            .spawn_fn(move || {
                spend(spent).wait();
                question().wait();
            })
            .wait()
            .unwrap();
    }
    spend(BUDGET - 1).wait();
    question().wait();
}

fn a_time_limit_of_zero_takes_what_is_ready(on: &Systems) {
    ask(on, || async {
        let (tx, rx) = channel::unbounded();
        (0..300).for_each(|n| tx.try_send(n).unwrap());
        for n in 0..300 {
            assert_eq!(timeout(Duration::ZERO, rx.recv()).await, Ok(Ok(n)));
        }
        assert!(timeout(Duration::ZERO, rx.recv()).await.is_err());
    });
}

fn a_token_that_is_polled_without_a_budget_has_a_waker(on: &Systems) {
    let token = CancellationToken::new();
    let (cancel, (again, polled)) = (token.clone(), mpsc::channel());
    let task = on.here().spawn(async move {
        let (mut spending, mut cancelled) = (pin!(spend(BUDGET + 1)), pin!(token.cancelled()));
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            match polls {
                1 => {
                    assert!(spending.as_mut().poll(cx).is_pending());
                    assert!(cancelled.as_mut().poll(cx).is_pending());
                }
                // The budget that was spent has woken the task. From here on only the token does.
                2 => again.send(()).unwrap(),
                _ => {}
            }
            if token.is_cancelled() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    });
    polled.recv().unwrap();
    cancel.cancel();
    assert!(timeout(Duration::from_secs(10), task).wait().is_ok());
}

fn a_time_limit_of_zero_hears_all_of_its_future(on: &Systems) {
    ask(on, || async {
        assert!(timeout(Duration::ZERO, spend(BUDGET / 2)).await.is_ok());
    });
    // Nor does a neighbour that spends the whole budget in each poll of the task keep it from being heard.
    let heard = on.here().spawn(async {
        let over = Arc::new(AtomicBool::new(false));
        let limited = async {
            let heard = timeout(Duration::ZERO, spend(1)).await;
            over.store(true, Ordering::Relaxed);
            heard
        };
        let (mut first, mut second) = (pin!(busy(Arc::clone(&over))), pin!(limited));
        poll_fn(|cx| {
            let _ = first.as_mut().poll(cx);
            second.as_mut().poll(cx)
        })
        .await
    });
    assert_eq!(heard.wait().unwrap(), Ok(()));
}

fn a_selection_passes_nothing_over(on: &Systems) {
    ask(on, || async {
        let (tx, rx) = channel::unbounded();
        (0..300).for_each(|n| tx.try_send(n).unwrap());
        for n in 0..300 {
            assert_eq!(select((rx.recv(), ready(()))).biased().await, OneOf::First(Ok(n)));
        }
        assert_eq!(select((rx.recv(), ready(()))).biased().await, OneOf::Second(()));
    });
}

fn a_look_at_a_derived_promise_sees_what_is_kept(on: &Systems) {
    ask(on, || async {
        let mut derived = Promise::ready(0);
        for _ in 0..8 {
            derived = derived.map(|n| n + 1);
        }
        let derived = derived.then(|n| async move {
            spend(2 * BUDGET).await;
            Ok(n)
        });
        assert_eq!(derived.try_get().map(Result::ok), Some(Some(&8)));
        // What never comes to an end is not ready, and the look does.
        let endless = Promise::ready(0).then(|n| async move {
            endless().await;
            Ok(n)
        });
        assert!(endless.try_get().is_none());
    });
}

fn a_receive_with_a_timeout_takes_what_is_there(on: &Systems) {
    let undisturbed = run_process(on.here(), Builder::new().unbounded(), |mut me: Process<u32>| {
        let own = me.me();
        let all = async {
            (0..300).for_each(|n| own.try_send(n).unwrap());
            for n in 0..300 {
                let event = me.receive_timeout(Duration::from_nanos(1)).await;
                assert!(matches!(event, Some(Event::Message(there)) if there == n), "{n}: {event:?}");
            }
            me.receive_timeout(Duration::from_nanos(1)).await.is_none()
        };
        all.wait()
    });
    assert!(undisturbed);
}

fn a_process_sets_any_number_of_timers_in_a_row(on: &Systems) {
    const TIMERS: u32 = 3 * BUDGET;
    run_process(on.here(), Builder::new().unbounded(), |mut me: Process<bool>| {
        let own = me.me();
        (0..TIMERS).for_each(|_| own.try_send(false).unwrap());
        let (mut set, mut fired) = (0, 0);
        let all = async {
            while fired < TIMERS {
                match me.receive().await {
                    Event::Message(false) => {
                        set += 1;
                        me.send_after(Duration::from_millis(1), &own, true);
                    }
                    Event::Message(true) => fired += 1,
                    event => panic!("{event:?}"),
                }
            }
        };
        all.wait();
        assert_eq!((set, fired), (TIMERS, TIMERS));
    });
}

/// Another library's way to finish a future: it blocks the thread, and knows nothing of tasks. Counts its
/// polls.
fn block_on<F: Future>(future: F) -> (F::Output, usize) {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut polls) = (pin!(future), 0);
    loop {
        polls += 1;
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return (output, polls);
        }
        thread::park();
    }
}

/// What foreign executors do on one stack.
fn run_foreign_executors() {
    assert_eq!(block_on(spend(3 * BUDGET)).1, 1, "it is ready at once");
    let (tx, rx) = channel::unbounded();
    (0..3 * BUDGET).for_each(|n| tx.try_send(n).unwrap());
    let mut cx = Context::from_waker(Waker::noop());
    for n in 0..3 * BUDGET {
        assert_eq!(pin!(rx.recv()).poll(&mut cx), Poll::Ready(Ok(n)), "polled once, as `now_or_never` does");
    }
    let all = join_all((0..3 * BUDGET).map(|_| Promise::ready(1).map(|n| n + 1).into_future()));
    assert!(block_on(all).0.iter().all(Result::is_ok));
    // A combinator of this library keeps to its own rules there.
    assert!(block_on(timeout(Duration::from_millis(2), endless())).0.is_err());
    assert!(matches!(block_on(select((endless(), ready(())))).0, OneOf::Second(())));
}

fn a_foreign_executor_is_never_refused(on: &Systems) {
    run_foreign_executors();
    let awaiting = on.here().spawn(async {
        spend(BUDGET).await;
        run_foreign_executors();
    });
    let offloading = on.here().spawn_fn(|| {
        spend(BUDGET).wait();
        run_foreign_executors();
        offload(run_foreign_executors).unwrap();
    });
    awaiting.wait().unwrap();
    offloading.wait().unwrap();
}

/// Has `code` done in a task that awaits it, in one that waits for it, and on this thread.
fn everywhere<F>(on: &Systems, code: fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    on.here().spawn(code()).wait().unwrap();
    on.here().spawn_fn(move || code().wait()).wait().unwrap();
    code().wait();
}

fn what_is_always_ready_ends_with_its_time_limit(on: &Systems) {
    everywhere(on, || async {
        assert!(timeout(Duration::from_millis(2), endless()).await.is_err());
        let inner = timeout(Duration::from_millis(2), join((endless(), endless())));
        assert!(timeout(Duration::from_secs(3600), inner).await.unwrap().is_err());
    });
}

fn what_is_always_ready_starves_no_arm(on: &Systems) {
    everywhere(on, || async {
        let soon = || sleep(Duration::from_millis(2));
        assert!(matches!(select((endless(), soon())).await, OneOf::Second(())));
        assert!(matches!(select((endless(), soon())).biased().await, OneOf::Second(())));
        let arms: [Pin<Box<dyn Future<Output = ()> + Send>>; 2] = [Box::pin(endless()), Box::pin(soon())];
        race_all(arms).await;
    });
}

fn what_is_always_ready_starves_no_member(on: &Systems) {
    everywhere(on, || async {
        let stop = |over: Arc<AtomicBool>| async move {
            spend(2 * BUDGET).await;
            sleep(Duration::from_millis(2)).await;
            over.store(true, Ordering::Relaxed);
        };
        let over = Arc::<AtomicBool>::default();
        join((busy(Arc::clone(&over)), stop(over))).await;
        let over = Arc::<AtomicBool>::default();
        let members: [Pin<Box<dyn Future<Output = ()> + Send>>; 2] =
            [Box::pin(busy(Arc::clone(&over))), Box::pin(stop(over))];
        join_all(members).await;
    });
}

fn what_is_always_ready_can_be_cancelled(on: &Systems) {
    let begun = Signal::new();
    let count = || {
        let begun = begun.clone();
        move || begun.add()
    };
    let (awaiting, waiting, looping) = (count(), count(), count());
    let tasks = [
        on.here().spawn(async move {
            awaiting();
            endless().await;
        }),
        on.here().spawn_fn(move || {
            waiting();
            endless().wait();
        }),
        on.here().spawn_fn(move || {
            looping();
            let (tx, rx) = channel::unbounded();
            while tx.try_send(()).is_ok() {
                rx.recv().wait().unwrap();
            }
        }),
    ];
    eventually("they have begun", || begun.count() == tasks.len());
    for task in tasks {
        task.cancel();
        assert!(task.wait().unwrap_err().is_cancelled());
    }
}

fn a_join_polls_a_ready_member_once(on: &Systems) {
    const MEMBERS: usize = 20_000;
    let polls = Signal::new();
    let counted = polls.clone();
    let joined = on.here().spawn(async move {
        let (tx, rx) = channel::unbounded();
        (0..MEMBERS).for_each(|n| tx.try_send(n).unwrap());
        let member = |_| {
            let (mut receive, polls) = (rx.recv(), counted.clone());
            poll_fn(move |cx| {
                polls.add();
                Pin::new(&mut receive).poll(cx)
            })
        };
        join_all((0..MEMBERS).map(member)).await
    });
    let joined = joined.wait().unwrap();
    assert!(joined.into_iter().map(Result::unwrap).eq(0..MEMBERS));
    assert!(polls.count() <= MEMBERS + 1, "{} polls", polls.count());
}

/// A task, a timer and a socket have their turn beside `busy`, which goes on until it is cancelled.
fn gives_way(on: &Systems, busy: Task<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let others = on.here().spawn(async move {
        let here = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let echo = twoply::spawn(async move {
            let (there, _) = listener.accept().await.unwrap();
            let mut byte = [0];
            there.read(&mut byte).await.unwrap();
            there.write(&byte).await.unwrap();
        });
        for _ in 0..3 {
            sleep(Duration::from_millis(1)).await;
        }
        here.write(&[1]).await.unwrap();
        let mut byte = [0];
        here.read(&mut byte).await.unwrap();
        echo.await.unwrap();
    });
    others.wait().unwrap();
    assert!(!busy.is_finished());
    busy.cancel();
    assert!(busy.wait().unwrap_err().is_cancelled());
}

fn waits_that_are_woken_before_they_park_give_way(on: &Systems) {
    /// Wakes itself, and is ready then.
    fn once() -> impl Future<Output = ()> {
        let mut woken = false;
        poll_fn(move |cx| match std::mem::replace(&mut woken, true) {
            true => Poll::Ready(()),
            false => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        })
    }
    let waiting = on.here().spawn_fn(|| {
        loop {
            once().wait();
        }
    });
    gives_way(on, waiting);
    let nested = on.here().spawn(async {
        loop {
            once().wait();
        }
    });
    gives_way(on, nested);
}

fn arms_that_wake_each_other_give_way(on: &Systems) {
    let waiting = on.here().spawn_fn(|| {
        let (tx, rx) = channel::bounded(1);
        loop {
            // The first arm is not ready at first, and is woken by the second before the stack can park.
            let mut receive = rx.recv();
            let sent = join((&mut receive, tx.send(()))).wait();
            assert_eq!(sent, (Ok(()), Ok(())));
        }
    });
    gives_way(on, waiting);
}

fn a_process_that_asks_itself_gives_way(on: &Systems) {
    let (begun, done) = (Gate::new(), Gate::new());
    let (begin, end) = (begun.clone(), done.clone());
    let process = builder(on).spawn_fn(move |mut me: Process<Resolver<u32>>| {
        let own = me.me();
        begin.open();
        while !end.is_open() {
            let first = select((own.ask(|reply| reply), me.receive())).wait();
            if let OneOf::Second(Event::Message(reply)) = first {
                let _ = reply.resolve(1);
            }
        }
    });
    begun.opened().wait();
    let others = on.here().spawn(async move {
        sleep(Duration::from_millis(2)).await;
        done.open();
    });
    others.wait().unwrap();
    assert!(matches!(process.unwrap().ended().wait(), ExitReason::Normal | ExitReason::NoProcess));
}

fn a_condition_that_always_holds_gives_way(on: &Systems) {
    let (_tx, mut rx) = channel::watch::channel(1);
    let mut other = rx.clone();
    let awaiting = on.here().spawn(async move { while rx.wait_for(|n| *n == 1).await.is_ok() {} });
    gives_way(on, awaiting);
    gives_way(on, on.here().spawn_fn(move || while other.wait_for(|n| *n == 1).wait().is_ok() {}));
}

/// A stack that waits for such a lock does not go the way of other waits.
fn locks_that_nobody_has_give_way(on: &Systems) {
    let mutex = Mutex::new(());
    gives_way(
        on,
        on.here().spawn_fn(move || {
            loop {
                drop(mutex.lock().wait())
            }
        }),
    );
    let lock = RwLock::new(());
    gives_way(
        on,
        on.here().spawn_fn(move || {
            loop {
                drop(lock.read().wait())
            }
        }),
    );
    let semaphore = Semaphore::new(1);
    gives_way(
        on,
        on.here().spawn_fn(move || {
            loop {
                drop(semaphore.acquire().wait())
            }
        }),
    );
}

fn sleeps_that_are_over_give_way(on: &Systems) {
    let awaiting = on.here().spawn(async {
        loop {
            sleep(Duration::ZERO).await;
        }
    });
    gives_way(on, awaiting);
    let waiting = on.here().spawn_fn(|| {
        let mut again = sleep(Duration::ZERO);
        while again.deadline().is_some() {
            (&mut again).wait();
            again.reset(Instant::now());
        }
    });
    gives_way(on, waiting);
}

fn waits_for_an_end_that_has_come_give_way(on: &Systems) {
    let process = start_idle(on.here());
    process.exit(ExitReason::Kill);
    process.ended().wait();
    let other = process.clone();
    let awaiting = on.here().spawn(async move {
        loop {
            process.ended().await;
        }
    });
    gives_way(on, awaiting);
    let waiting = on.here().spawn_fn(move || {
        loop {
            other.ended().wait();
        }
    });
    gives_way(on, waiting);
}
