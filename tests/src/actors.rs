//! What laws of processes have in common.

use std::sync::mpsc;

use twoply_core::actor::{Builder, Event, Process, ProcessRef};

use crate::{System, Systems, eventually};

/// Runs straight-line code as a process of `system`, started as `builder` says, and returns what it returns.
///
/// # Panics
/// When the process does not come to its own end.
pub fn run_process<M, R>(
    system: &System,
    builder: Builder<M>,
    body: impl FnOnce(Process<M>) -> R + Send + 'static,
) -> R
where
    M: Send + 'static,
    R: Send + 'static,
{
    let (result, done) = mpsc::channel();
    let body = move |me| {
        let _ = result.send(body(me));
    };
    builder.on(system.backend()).spawn_fn(body).expect("it starts");
    done.recv().expect("the process comes to its own end")
}

/// As [`run_process`], for one that traps exits and gets nothing but signals.
///
/// # Panics
/// As there.
pub fn run_trapping<R: Send + 'static>(
    system: &System,
    body: impl FnOnce(Process<()>) -> R + Send + 'static,
) -> R {
    run_process(system, Builder::new().trap_exit(true), body)
}

/// Starts straight-line code as a process that gets nothing but signals.
///
/// # Panics
/// When it cannot be started.
pub fn start(system: &System, body: impl FnOnce(Process<()>) + Send + 'static) -> ProcessRef<()> {
    Builder::new().on(system.backend()).spawn_fn(body).expect("it starts")
}

/// Starts a process that is suspended until it is ended.
///
/// # Panics
/// When it cannot be started.
pub fn start_idle(system: &System) -> ProcessRef<()> {
    let body = async |mut me: Process<()>| {
        me.receive().await;
    };
    Builder::new().on(system.backend()).spawn(body).expect("it starts")
}

/// Waits until no task is left, and so no process.
///
/// # Panics
/// When some are left after a long time.
pub fn all_are_over(on: &Systems) {
    eventually("all are over", || on.here().tasks() == 0 && on.there().tasks() == 0);
}

/// What an observer of ends is told, as text.
pub fn told<M>(event: Event<M>) -> String {
    match event {
        Event::Message(_) => "message".to_owned(),
        Event::Exit(exit) => format!("exit {}", exit.reason),
        Event::Down(down) => format!("down {}", down.reason),
        _ => "?".to_owned(),
    }
}

/// The builder of a process here.
pub fn builder<M: Send + 'static>(on: &Systems) -> Builder<M> {
    Builder::new().on(on.here().backend())
}

/// The builder of a process on the other side.
pub fn far<M: Send + 'static>(on: &Systems) -> Builder<M> {
    Builder::new().on(on.there().backend())
}
