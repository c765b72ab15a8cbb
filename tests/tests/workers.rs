//! The threads that carry workers: their names, and the processors that they run on.
#![cfg(all(feature = "native", feature = "green"))]

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use rustix::thread::sched_getaffinity;
use twoply::{Backend, Runtime, runtime};
use twoply_core::task::Task;
use twoply_core::time::sleep;
use twoply_core::{Wait, offload};
use twoply_tests::{System, Systems, eventually, fiber_promise, laws};

laws! {
    everywhere {
        a_task_runs_on_the_processors_of_its_runtime,
        threads_that_a_bound_one_starts_for_others_are_free,
    }
    green {
        a_thread_shows_the_worker_that_it_carries,
        a_worker_stays_on_its_processor,
        a_processor_that_there_is_not_is_refused,
    }
    threads {
        a_thread_without_its_worker_is_free,
    }
    one_worker {
        a_thread_that_is_stuck_is_free_until_it_comes_back,
    }
}

const SOON: Duration = Duration::from_secs(10);

/// The processors that the calling thread may run on.
fn cpus() -> BTreeSet<usize> {
    let set = sched_getaffinity(None).expect("a thread may ask");
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
}

fn name() -> String {
    fs::read_to_string("/proc/thread-self/comm").expect("proc is there").trim().to_owned()
}

/// Asks many tasks at a time.
fn all_of<T: Send + 'static>(system: &System, ask: fn() -> T) -> Vec<T> {
    let ask = || {
        system.spawn(async move {
            sleep(Duration::from_micros(100)).await;
            ask()
        })
    };
    let asked: Vec<Task<T>> = (0..50).map(|_| ask()).collect();
    asked.into_iter().map(|task| task.wait().unwrap()).collect()
}

fn a_thread_shows_the_worker_that_it_carries(on: &Systems) {
    let system = System::from(on.kind().green().worker_names("teller ").build().unwrap());
    let workers = on.kind().workers();
    let expected: BTreeSet<_> = (0..workers).map(|worker| format!("teller {worker}")).collect();
    eventually("each worker has run a task", || {
        let names = all_of(&system, name).into_iter().collect::<BTreeSet<_>>();
        assert!(names.is_subset(&expected), "{names:?}");
        names == expected
    });
    system.shutdown(SOON).unwrap();
}

fn a_worker_stays_on_its_processor(on: &Systems) {
    let first = *cpus().first().expect("there is one");
    let before = cpus();
    let system = System::from(on.kind().green().pin_workers([first]).build().unwrap());
    assert_eq!(cpus(), before, "that of the caller is its own affair");
    for found in all_of(&system, cpus) {
        assert_eq!(found, [first].into());
    }
    // The worker moves to another thread.
    let blocking: Vec<_> =
        (0..4).map(|_| system.spawn_fn(|| sleep(Duration::from_millis(2)).wait())).collect();
    for found in all_of(&system, cpus) {
        assert_eq!(found, [first].into());
    }
    blocking.into_iter().for_each(|task| task.wait().unwrap());
    system.shutdown(SOON).unwrap();
}

/// The settings of a runtime of the system's kind.
fn settings_of(on: &Systems) -> runtime::Builder {
    let backend = match (on.kind().is_green(), on.kind().is_fibers()) {
        (true, true) => Backend::Fibers,
        (true, false) => Backend::Green,
        _ => Backend::Native,
    };
    Runtime::builder().backend(backend).fibers(fiber_promise())
}

fn a_task_runs_on_the_processors_of_its_runtime(on: &Systems) {
    let (before, first) = (cpus(), *cpus().first().expect("there is one"));
    let settings = || settings_of(on);
    let runtime = settings().pin_workers([first]).build().unwrap();
    assert_eq!(cpus(), before, "that of the caller is its own affair");
    // One after the other: nobody takes the worker from a thread that stands still.
    for _ in 0..3 {
        assert_eq!(runtime.spawn(async { cpus() }).wait().unwrap(), [first].into());
        assert_eq!(runtime.spawn_fn(cpus).wait().unwrap(), [first].into());
    }
    runtime.shutdown(SOON).unwrap();

    let all = settings().pin_workers(before.iter().copied()).build().unwrap();
    let allowed = all.spawn_fn(cpus).wait().unwrap();
    assert!(allowed.is_subset(&before) && !allowed.is_empty(), "{allowed:?}");
    all.shutdown(SOON).unwrap();
    for cpus in [vec![usize::MAX], vec![first, 1023], vec![]] {
        let refused = settings().pin_workers(cpus).build().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    }
}

fn a_thread_without_its_worker_is_free(on: &Systems) {
    let (before, first) = (cpus(), *cpus().first().expect("there is one"));
    let system = System::from(on.kind().green().pin_workers([first]).build().unwrap());
    let blocked = system.spawn_fn(|| {
        let bound = cpus();
        sleep(Duration::from_millis(1)).wait();
        (bound, cpus())
    });
    assert_eq!(blocked.wait().unwrap(), ([first].into(), before));
    let before = cpus();
    let long = move || eventually("its worker is carried by another thread", || cpus() == before);
    system.spawn_fn(|| offload(long)).wait().unwrap().unwrap();
    system.shutdown(SOON).unwrap();
}

fn a_thread_that_is_stuck_is_free_until_it_comes_back(on: &Systems) {
    let (before, first) = (cpus(), *cpus().first().expect("there is one"));
    let system = System::from(on.kind().green().pin_workers([first]).build().unwrap());
    let stuck = system.spawn_fn(move || eventually("its worker is taken away", || cpus() == before));
    // Somebody has to wait for the worker.
    let others: Vec<_> = (0..4).map(|_| system.spawn(async { cpus() })).collect();
    for other in others {
        assert_eq!(other.wait().unwrap(), [first].into());
    }
    stuck.wait().unwrap();
    for found in all_of(&system, cpus) {
        assert_eq!(found, [first].into());
    }
    system.shutdown(SOON).unwrap();
}

fn a_processor_that_there_is_not_is_refused(on: &Systems) {
    for cpus in [vec![usize::MAX], vec![0, 1023], vec![]] {
        let refused = on.kind().green().pin_workers(cpus).build().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    }
}

fn threads_that_a_bound_one_starts_for_others_are_free(on: &Systems) {
    let (before, first) = (cpus(), *cpus().first().expect("there is one"));
    let bound = settings_of(on).pin_workers([first]).build().unwrap();
    let seen = bound.spawn_fn(|| {
        let own = cpus();
        let other = Runtime::new(Backend::Native).unwrap();
        let others = other.spawn_fn(cpus).wait().unwrap();
        other.shutdown(SOON).unwrap();
        (own, others)
    });
    assert_eq!(seen.wait().unwrap(), ([first].into(), before));
    bound.shutdown(SOON).unwrap();
}
