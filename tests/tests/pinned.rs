//! Pinned tasks: their futures need not be `Send`, because they never leave the thread that makes them.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use twoply_core::future::{join_all, yield_now};
use twoply_core::stream::{self, Stream};
use twoply_core::time::sleep;
use twoply_core::{Wait, channel, task};
use twoply_tests::{Gate, Systems, laws};

laws! {
    and_mixed {
        a_pinned_future_never_changes_its_thread,
    }
    everywhere {
        a_pinned_future_that_is_cancelled_is_dropped_on_its_thread,
        a_pinned_task_that_waits_leaves_its_worker_to_others,
        a_panic_of_a_pinned_future_is_reported,
        futures_of_one_pinned_task_share_what_is_not_send,
    }
}

/// Reports, where it is dropped, whether that is the thread on which it was made.
struct Home {
    thread: ThreadId,
    dropped_at_home: mpsc::Sender<bool>,
    /// Keeps this from being `Send`.
    _local: Rc<()>,
}

impl Home {
    fn new(dropped_at_home: mpsc::Sender<bool>) -> Home {
        Home { thread: thread::current().id(), dropped_at_home, _local: Rc::new(()) }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.dropped_at_home.send(thread::current().id() == self.thread);
    }
}

/// Fails if a poll of `future` is on another thread than `home`.
async fn at_home<F: Future>(home: ThreadId, future: F) -> F::Output {
    let mut future = Box::pin(future);
    poll_fn(|cx| {
        assert_eq!(thread::current().id(), home, "it has changed its thread");
        future.as_mut().poll(cx)
    })
    .await
}

fn a_pinned_future_never_changes_its_thread(on: &Systems) {
    let (report, reports) = mpsc::channel();
    let (tx, rx) = channel::bounded(1);
    // There is something to steal, and who steals it.
    let others: Vec<_> = (0..20u32)
        .map(|n| {
            let tx = tx.clone();
            let system = if n % 2 == 0 { on.here() } else { on.there() };
            system.spawn(async move {
                for _ in 0..10 {
                    tx.send(n).await.unwrap();
                    yield_now().await;
                }
            })
        })
        .collect();
    drop(tx);
    let pinned: Vec<_> = (0..8)
        .map(|n| {
            let (report, rx) = (report.clone(), rx.clone());
            let system = if n % 2 == 0 { on.here() } else { on.there() };
            system.spawner().spawn_pinned(move || async move {
                let home = Home::new(report);
                let work = async {
                    let mut received = 0;
                    while rx.recv().await.is_ok() {
                        received += 1;
                        yield_now().await;
                        sleep(Duration::from_micros(10)).await;
                    }
                    received
                };
                at_home(home.thread, work).await
            })
        })
        .collect();
    drop((report, rx));
    others.into_iter().for_each(|other| other.wait().unwrap());
    assert_eq!(pinned.into_iter().map(|task| task.wait().unwrap()).sum::<u32>(), 200);
    assert_eq!(reports.iter().collect::<Vec<_>>(), [true; 8]);
}

fn a_pinned_future_that_is_cancelled_is_dropped_on_its_thread(on: &Systems) {
    let (report, reports) = mpsc::channel();
    let began = Gate::new();
    let waits = began.clone();
    let task = on.here().spawner().spawn_pinned(move || async move {
        let _home = Home::new(report);
        waits.open();
        pending::<()>().await;
    });
    began.opened().wait();
    task.cancel();
    assert!(task.wait().unwrap_err().is_cancelled());
    assert_eq!(reports.iter().collect::<Vec<_>>(), [true]);
}

fn a_pinned_task_that_waits_leaves_its_worker_to_others(on: &Systems) {
    let gate = Gate::new();
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let opened = gate.opened();
            on.here().spawner().spawn_pinned(move || async move {
                let kept = Rc::new(1);
                opened.await;
                *kept
            })
        })
        .collect();
    on.here().spawn(async {}).wait().unwrap();
    gate.open();
    assert_eq!(waiting.into_iter().map(|task| task.wait().unwrap()).sum::<i32>(), 10);
}

fn a_panic_of_a_pinned_future_is_reported(on: &Systems) {
    let task = on.here().spawner().spawn_pinned(|| async {
        let _local = Rc::new(());
        yield_now().await;
        panic!("expected: a pinned panic");
    });
    let failure: twoply_core::promise::Failure = match task.wait() {
        Ok(()) => unreachable!("it panics"),
        Err(failure) => failure,
    };
    assert!(failure.to_string().contains("expected: a pinned panic"), "{failure}");
}

fn futures_of_one_pinned_task_share_what_is_not_send(on: &Systems) {
    let outer = on.here().spawn(async {
        // On the backend of the calling task.
        task::spawn_pinned(|| async {
            let count = Rc::new(Cell::new(0));
            let add = |n: u32| {
                let count = Rc::clone(&count);
                async move {
                    yield_now().await;
                    count.set(count.get() + n);
                }
            };
            join_all((0..10).map(add)).await;
            stream::iter(0..10).map(add).buffered_unordered(3).for_each(drop).await;
            count.get()
        })
        .await
    });
    assert_eq!(outer.wait().unwrap().unwrap(), 90);
}
