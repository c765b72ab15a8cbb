//! The two ways to run the same code: as a future, and as straight-line code that waits for it.

use std::future::Future;

use twoply_core::Wait;
use twoply_core::task::{Builder, Task};

use crate::{System, Systems};

/// Runs the same as a future and as straight-line code.
pub fn both_ways<F>(on: &Systems, code: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    on.here().spawn(code()).wait().unwrap();
    let future = code();
    on.here().spawn_fn(move || future.wait()).wait().unwrap();
}

/// Runs straight-line code as a task, for what differs between stacks and not between ways to wait.
pub fn straight(on: &Systems, code: impl FnOnce() + Send + 'static) {
    on.here().spawn_fn(code).wait().unwrap();
}

/// Starts a task with a name, as a future or as straight-line code.
pub fn start_named<F>(system: &System, straight: bool, name: &str, future: F) -> Task<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let builder = Builder::new().name(name);
    let started = match straight {
        true => builder.spawn_fn_on(system.backend(), || future.wait()),
        false => builder.spawn_on(system.backend(), future),
    };
    started.unwrap()
}
