//! The other way round: actors, channels and timers of twoply in a program of tokio's, whose tasks they wait
//! for and which wait for them.

use std::future::pending;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Id};
use tokio::task::block_in_place;
use twoply::{Wait, actor, channel, time};
use twoply_tests::{Systems, facade, laws};

fn in_tokio<F: Future>(workers: usize, main: F) -> F::Output {
    let runtime = Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap();
    runtime.block_on(main)
}

#[test]
fn an_actor_answers_tasks_of_tokio() {
    in_tokio(2, async {
        let account = actor::active(0_u64);
        let tellers = (1..=100).map(|amount| {
            let account = account.clone();
            tokio::spawn(async move { account.ask(move |balance| *balance += amount).await.unwrap() })
        });
        for teller in tellers.collect::<Vec<_>>() {
            teller.await.unwrap();
        }
        assert_eq!(account.ask(|balance| *balance).await.unwrap(), 5050);
        // Straight-line code in a task of tokio's tells it that the thread will block.
        let same = account.clone();
        let blocking = tokio::spawn(async move { block_in_place(|| same.ask(|balance| *balance).wait()) });
        assert_eq!(blocking.await.unwrap().unwrap(), 5050);
        let same = account.clone();
        let blocking = tokio::task::spawn_blocking(move || same.ask(|balance| *balance).wait());
        assert_eq!(blocking.await.unwrap().unwrap(), 5050);
    });
}

#[test]
fn a_channel_joins_both() {
    in_tokio(1, async {
        let ((there, arrives), (back, comes)) = (channel::bounded(1), channel::bounded(1));
        let doubling = twoply::spawn_fn(move || {
            while let Ok(number) = arrives.recv().wait() {
                back.send(number * 2).wait().unwrap();
            }
        });
        for number in 0..100 {
            there.send(number).await.unwrap();
            let doubled = tokio::select! {
                doubled = comes.recv() => doubled.ok(),
                () = time::sleep(Duration::from_secs(60)) => None,
            };
            assert_eq!(doubled, Some(number * 2));
        }
        drop(there);
        doubling.await.unwrap();
    });
}

laws! {
    everywhere { a_runtime_that_is_lent_is_the_one_that_is_used }
}

/// Lends a runtime of one thread, which carries it from then on, and returns its number.
fn lend() -> Id {
    static LENT: OnceLock<Id> = OnceLock::new();
    *LENT.get_or_init(|| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        thread::spawn(move || runtime.block_on(pending::<()>()));
        twoply::tokio::lend(handle.clone()).unwrap();
        assert!(twoply::tokio::lend(handle.clone()).is_err(), "there is one already");
        handle.id()
    })
}

fn a_runtime_that_is_lent_is_the_one_that_is_used(on: &Systems) {
    let lent = lend();
    // Each thread of a runtime is inside of it, and so is a single future.
    let runtime = facade!(on.kind()).tokio().build().unwrap();
    let straight = runtime.spawn_fn(|| {
        tokio::time::sleep(Duration::from_micros(200)).wait();
        (Handle::current().id(), tokio::spawn(async { Handle::current().id() }).wait().unwrap())
    });
    assert_eq!(straight.wait().unwrap(), (lent, lent));
    let single = twoply::tokio::compat(async {
        tokio::time::sleep(Duration::from_micros(200)).await;
        Handle::current().id()
    });
    assert_eq!(on.here().spawn(single).wait().unwrap(), lent);
}
