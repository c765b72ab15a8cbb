//! rayon beside us: its threads compute and resolve promises, a task waits for them and lends them what it
//! has, and they may wait for tasks.

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use twoply::{Wait, actor, channel, offload, promise};
use twoply_tests::{Systems, laws};

laws! {
    everywhere {
        a_promise_is_resolved_by_a_thread_of_rayons,
        code_that_is_offloaded_lends_what_it_has,
        threads_of_rayons_wait_for_tasks,
        a_panic_of_rayons_arrives,
    }
}

fn pool() -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(2).build().unwrap()
}

fn a_promise_is_resolved_by_a_thread_of_rayons(on: &Systems) {
    let pool = pool();
    let sums = (1..=20_u64).map(|n| {
        let (sum, resolver) = promise::pair::<u64>();
        pool.spawn(move || {
            let squares = (1..=n * 100).into_par_iter().map(|n| n * n);
            resolver.resolve(squares.sum()).unwrap();
        });
        sum
    });
    let sums: Vec<_> = sums.collect();
    let all = on.here().spawn(async move {
        let mut all = 0;
        for sum in sums {
            all += sum.await.unwrap();
        }
        all
    });
    let expected = (1..=20_u64).flat_map(|n| (1..=n * 100).map(|n| n * n)).sum::<u64>();
    assert_eq!(all.wait().unwrap(), expected);
    // One whose code is dropped is broken, and nobody waits for ever.
    let (sum, resolver) = promise::pair::<u64>();
    pool.spawn(move || drop(resolver));
    assert!(on.here().spawn(async { sum.await }).wait().unwrap().is_err());
}

fn code_that_is_offloaded_lends_what_it_has(on: &Systems) {
    let task = on.here().spawn_fn(|| {
        let pool = pool();
        let mut words = vec!["pear", "apple", "plum", "fig"];
        offload(|| pool.install(|| words.par_sort())).unwrap();
        let lengths =
            offload(|| pool.install(|| words.par_iter().map(|word| word.len()).collect::<Vec<_>>()));
        (words.join(" "), lengths.unwrap())
    });
    assert_eq!(task.wait().unwrap(), ("apple fig pear plum".into(), vec![5, 3, 4, 4]));
}

fn threads_of_rayons_wait_for_tasks(on: &Systems) {
    let pool = pool();
    let ((questions, asked), (answers, answered)) = (channel::rendezvous(), channel::rendezvous());
    let server = on.here().spawn(async move {
        while let Ok(number) = asked.recv().await {
            answers.send(number * 2).await.unwrap();
        }
    });
    let total = actor::active(0);
    // All of its threads at a time, and more pieces of work than threads.
    let work = |_| {
        let ask = || -> u32 {
            questions.send(21_u32).wait().unwrap();
            answered.recv().wait().unwrap()
        };
        let answer = ask();
        total.ask(move |total| *total += answer).wait().unwrap();
    };
    pool.install(|| (0..50).into_par_iter().for_each(work));
    assert_eq!(total.ask(|total| *total).wait().unwrap(), 50 * 42);
    drop(questions);
    server.wait().unwrap();
}

fn a_panic_of_rayons_arrives(on: &Systems) {
    let task = on.here().spawn_fn(|| {
        let pool = pool();
        offload(|| pool.install(|| (0..10).into_par_iter().for_each(|n| assert!(n < 5, "it is {n}"))))
            .unwrap();
    });
    let failure = task.wait().unwrap_err();
    assert!(failure.to_string().contains("it is"), "{failure}");
}
