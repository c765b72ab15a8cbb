//! The attributes `main` and `test`: what they run a function on, and what becomes of its result.
#![cfg(all(feature = "native", feature = "green"))]

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};

use twoply::{Wait, channel, spawner, task};
use twoply_tests::fiber_promise;

/// Returns the name of the backend of the calling task.
fn backend() -> &'static str {
    assert!(task::current().is_some(), "it runs as a task");
    spawner().backend().name()
}

#[twoply::test]
async fn a_test_runs_on_the_default_backend() {
    assert_eq!(backend(), "green");
}

#[twoply::test(backend = "native")]
async fn a_test_runs_where_it_is_told_to() {
    assert_eq!(backend(), "native");
}

#[twoply::test(backends(all), fibers = fiber_promise(), workers = 1)]
async fn an_async_test_runs_on_each_backend() {
    let (tx, rx) = channel::bounded(1);
    twoply::spawn(async move { tx.send(backend()).await }).detach();
    assert_eq!(rx.recv().await, Ok(backend()));
}

#[twoply::test(backends(native, fibers), fibers = fiber_promise())]
fn straight_line_code_runs_on_each_backend() -> Result<(), channel::RecvError> {
    let (tx, rx) = channel::bounded(1);
    twoply::spawn_fn(move || tx.send(1).wait()).detach();
    rx.recv().wait()?;
    Ok(())
}

#[twoply::test(backends(native, green))]
#[should_panic(expected = "expected: no such luck")]
async fn a_panic_fails_a_test() {
    panic!("expected: no such luck");
}

#[twoply::test(backends(all), fibers = fiber_promise())]
async fn what_a_test_leaves_behind_does_not_keep_it() {
    twoply::spawn(pending::<()>()).detach();
}

/// The calls of the functions below.
static CALLS: AtomicUsize = AtomicUsize::new(0);

#[twoply::main(backend = "fibers", fibers = fiber_promise(), workers = 1)]
async fn on_fibers() -> Result<&'static str, String> {
    // It is waited for, too.
    twoply::spawn(async { CALLS.fetch_add(1, Ordering::Relaxed) }).detach();
    Ok(backend())
}

#[twoply::main(backend = "native")]
fn on_native() -> &'static str {
    backend()
}

#[twoply::main]
async fn on_the_default() -> &'static str {
    backend()
}

#[test]
fn a_program_runs_where_it_is_told_to() {
    assert_eq!(on_fibers(), Ok("green"));
    assert_eq!(CALLS.load(Ordering::Relaxed), 1, "its tasks are over");
    assert_eq!((on_native(), on_the_default()), ("native", "green"));
}

/// A name that the attributes themselves might use, with another type.
fn body() -> u8 {
    7
}

/// As `body`.
fn runtime() -> u8 {
    8
}

mod a_test_has_any_name {
    #[twoply::test]
    async fn runtime() {}
}

#[twoply::test(backends(all), fibers = fiber_promise())]
#[expect(unused_variables, reason = "a lint of the code is met in the code")]
async fn a_test_sees_the_names_around_it() {
    let unused = 1;
    assert_eq!((body(), runtime()), (7, 8));
}

#[twoply::test]
fn a_test_on_one_backend_sees_the_names_around_it() {
    assert_eq!((body(), runtime()), (7, 8));
}

#[twoply::main]
async fn a_program_sees() -> (u8, u8) {
    (body(), runtime())
}

#[test]
fn a_program_sees_the_names_around_it() {
    assert_eq!(a_program_sees(), (7, 8));
}
