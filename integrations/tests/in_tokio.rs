//! The other way round: actors, channels and timers of twoply in a program of tokio's, whose tasks they wait
//! for and which wait for them.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::block_in_place;
use twoply::{Wait, actor, channel, time};

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

#[test]
fn a_runtime_that_is_lent_is_the_one_that_is_used() {
    in_tokio(1, async {
        twoply::tokio::lend(tokio::runtime::Handle::current()).unwrap();
        let id = tokio::runtime::Handle::current().id();
        let found = twoply::tokio::compat(async { tokio::runtime::Handle::current().id() });
        assert_eq!(twoply::native().spawn(found).await.unwrap(), id);
    });
}
