//! The facade's own runtime: one type for every backend, chosen by name at run time.
#![cfg(all(feature = "native", feature = "green"))]

use std::io::ErrorKind;
use std::time::Duration;

use twoply::{Backend, Runtime, Wait};
use twoply_tests::fiber_promise;

/// A runtime of this backend with two workers, fibers included.
fn start(backend: Backend) -> Runtime {
    let builder = Runtime::builder().backend(backend).workers(2).fibers(fiber_promise());
    builder.build().expect("the system has threads and descriptors")
}

#[test]
fn a_backend_is_its_name() {
    for &backend in Backend::ALL {
        assert_eq!(backend.to_string().parse(), Ok(backend));
        assert_eq!(backend.name().to_uppercase().parse(), Ok(backend));
        assert_eq!(format!("{backend:8}|").len(), 9, "a width is heeded");
    }
    assert_eq!(Backend::ALL.len(), 3);
    let error = "goroutines".parse::<Backend>().unwrap_err().to_string();
    assert!(Backend::ALL.iter().all(|backend| error.contains(backend.name())), "{error}");
    assert!(error.contains("goroutines"), "{error}");
}

#[test]
fn each_backend_runs_tasks_and_counts_them() {
    for &backend in Backend::ALL {
        let runtime = start(backend);
        assert_eq!(runtime.backend(), backend);
        assert_eq!(runtime.spawn(async { 1 }).wait().unwrap(), 1);
        assert_eq!(runtime.spawn_fn(|| twoply::spawn(async { 2 }).wait()).wait().unwrap().unwrap(), 2);
        assert_eq!(runtime.run(|| 3).unwrap(), 3);

        let waiting = runtime.spawn(std::future::pending::<()>());
        assert_eq!(runtime.metrics().tasks, 1);
        assert!(runtime.metrics().threads >= 1);
        assert_eq!(runtime.as_green().is_none(), backend == Backend::Native);
        runtime.shutdown(Duration::from_secs(10)).expect("the task can be cancelled");
        assert!(waiting.wait().is_err());
        assert_eq!(runtime.metrics().tasks, 0);
        assert!(runtime.spawn(async {}).wait().is_err(), "{backend}: nothing starts after a shutdown");
    }
}

#[test]
fn fibers_are_not_built_without_the_promise() {
    let error = Runtime::new(Backend::Fibers).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("promise"), "{error}");
}

#[test]
fn the_threads_of_a_runtime_have_its_name() {
    for &backend in Backend::ALL {
        let builder = Runtime::builder().backend(backend).workers(1).fibers(fiber_promise());
        let name = || std::thread::current().name().map(str::to_owned);
        for (asked, given) in [("web", "web"), ("a\0b", "ab")] {
            let runtime = builder.clone().name(asked).build().expect("the system has threads");
            assert_eq!(runtime.spawn_fn(name).wait().unwrap().as_deref(), Some(given), "{backend}");
        }
        let usual = builder.build().expect("the system has threads").spawn_fn(name).wait().unwrap();
        assert!(usual.is_some_and(|name| name.starts_with("twoply-")), "{backend}");
    }
}
