//! The end of the runtimes of the process, which is one for both.
#![cfg(all(feature = "native", feature = "green"))]

use std::future::pending;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use twoply::task::{Builder, SpawnError};
use twoply::{Failure, Spawner, Task, Wait};
use twoply_tests::{Gate, Resources, Systems, eventually, laws};

laws! {
    // What belongs to the process is the same whatever else there is.
    native {
        the_runtimes_of_the_process_end_though_their_tasks_wait_for_each_other,
        nothing_starts_on_a_runtime_of_the_process_after_its_end,
        a_task_cannot_end_the_runtimes_of_its_process,
        an_end_of_the_process_that_comes_too_late_names_who_is_left,
    }
}

const SOON: Duration = Duration::from_secs(10);

fn both() -> [Spawner; 2] {
    [twoply::green(), twoply::native()]
}

fn is_refused<T>(task: Task<T>) -> bool {
    task.wait().err().is_some_and(|failure| matches!(failure.not_started(), Some(SpawnError::ShutDown)))
}

/// Waits for a task when it is dropped.
struct Waits(Option<Task<()>>);

impl Drop for Waits {
    fn drop(&mut self) {
        let failure = self.0.take().expect("it is dropped once").wait().unwrap_err();
        assert!(failure.is_cancelled());
    }
}

fn the_runtimes_of_the_process_end_though_their_tasks_wait_for_each_other(on: &Systems) {
    on.alone(|| {
        let waiting = both().map(|here| {
            both().map(|there| {
                let begun = Gate::new();
                let waits = Waits(Some(there.spawn(pending())));
                let task = here.spawn(begun.clone().open_when_polled(async move {
                    let _waits = waits;
                    pending::<()>().await;
                }));
                begun.opened().wait();
                task
            })
        });
        twoply::shutdown(SOON).unwrap();
        for task in waiting.into_iter().flatten() {
            assert!(matches!(task.wait(), Err(Failure::Cancelled)));
        }
        let ours = ["twoply-green", "twoply-native", "twoply-watch"];
        eventually("the threads end", || {
            let now = Resources::now();
            ours.iter().map(|name| now.threads_named(name)).sum::<usize>() == 0
        });
    });
}

fn nothing_starts_on_a_runtime_of_the_process_after_its_end(on: &Systems) {
    on.alone(|| {
        // The native one has never been used.
        assert_eq!(twoply::green().spawn(async { 1 }).wait().unwrap(), 1);
        twoply::shutdown(SOON).unwrap();
        for spawner in both() {
            assert!(is_refused(spawner.spawn(async {})));
            assert!(matches!(spawner.run(|| ()), Err(Failure::NotStarted(_))));
        }
        assert!(is_refused(twoply::spawn(async {})));
        twoply::shutdown(SOON).expect("there is nothing left to end");
        assert_eq!(on.here().spawn(async { 2 }).wait().unwrap(), 2, "others are not concerned");
    });
}

fn a_task_cannot_end_the_runtimes_of_its_process(on: &Systems) {
    on.alone(|| {
        for spawner in both() {
            let refused = spawner.spawn_fn(|| twoply::shutdown(SOON).unwrap_err().kind());
            assert_eq!(refused.wait().unwrap(), ErrorKind::Deadlock);
            assert_eq!(spawner.spawn(async { 1 }).wait().unwrap(), 1, "nothing has been done");
        }
        let other = on.here().spawn_fn(|| twoply::shutdown(SOON));
        other.wait().unwrap().unwrap();
    });
}

fn an_end_of_the_process_that_comes_too_late_names_who_is_left(on: &Systems) {
    on.alone(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let stubborn = both().map(|spawner| {
            let (begun, stop) = (Gate::new(), Arc::clone(&stop));
            let begin = begun.clone();
            let code = move || {
                begin.open();
                while !stop.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
            };
            let name = format!("stubborn {}", spawner.backend().name());
            let task = Builder::new().name(name).spawn_fn_on(spawner.backend(), code).unwrap();
            begun.opened().wait();
            task
        });
        let idle = twoply::native().spawn(pending::<()>());
        let late = twoply::shutdown(Duration::from_millis(5)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert!(late.to_string().contains("stubborn"), "{late}");
        assert!(idle.wait().unwrap_err().is_cancelled());
        stop.store(true, Ordering::Relaxed);
        stubborn.into_iter().for_each(|task| task.wait().unwrap());
        twoply::shutdown(SOON).unwrap();
    });
}
