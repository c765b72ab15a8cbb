//! What `--backend` means to the examples. Nowhere else do they name a backend.

use std::io;
use std::time::Duration;

use clap::ValueEnum;
use twoply::{Spawner, Task, Wait};

/// What tasks run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// Many tasks on a few workers.
    #[cfg(feature = "green")]
    Green,
    /// The same, but each task is straight-line code on a fiber.
    #[cfg(feature = "green")]
    Fibers,
    /// An OS thread for each task.
    #[cfg(feature = "native")]
    Native,
}

/// A running backend.
pub(crate) struct Runtime {
    /// Where tasks are started.
    pub(crate) place: Place,
    /// What they run on.
    engine: Engine,
}

/// Starts tasks on a runtime. Clones start them on the same one.
#[derive(Clone)]
pub(crate) struct Place {
    /// The runtime's spawner.
    pub(crate) spawner: Spawner,
    /// Whether each task is straight-line code.
    straight_line: bool,
}

/// The backends as they are built.
enum Engine {
    /// Threads.
    #[cfg(feature = "native")]
    Native(twoply::native_backend::Native),
    /// Workers.
    #[cfg(feature = "green")]
    Green(twoply::green_backend::Green),
}

impl Runtime {
    /// Starts a backend. Only green ones have workers.
    pub(crate) fn start(backend: Backend, _workers: usize) -> io::Result<Runtime> {
        #[cfg(feature = "green")]
        let green = twoply::green_backend::Green::builder().workers(_workers);
        let engine = match backend {
            #[cfg(feature = "native")]
            Backend::Native => Engine::Native(twoply::native_backend::Native::new()),
            #[cfg(feature = "green")]
            Backend::Green => Engine::Green(green.build()?),
            #[cfg(feature = "green")]
            Backend::Fibers => {
                // SAFETY: no task of the examples waits while a crate that it calls lends something through a
                // thread-local, holds a reentrant lock or runs foreign code.
                #[allow(unsafe_code, reason = "the promise that `Builder::fibers` asks for")]
                let fibers = unsafe { green.fibers() };
                Engine::Green(fibers.build()?)
            }
        };
        let spawner = match &engine {
            #[cfg(feature = "native")]
            Engine::Native(native) => native.spawner().clone(),
            #[cfg(feature = "green")]
            Engine::Green(green) => green.spawner().clone(),
        };
        let straight_line = backend.to_possible_value().is_some_and(|name| name.matches("fibers", true));
        Ok(Runtime { place: Place { spawner, straight_line }, engine })
    }

    /// Cancels what still runs, and returns when all has ended.
    pub(crate) fn shutdown(self, deadline: Duration) -> io::Result<()> {
        match &self.engine {
            #[cfg(feature = "native")]
            Engine::Native(native) => native.shutdown(deadline),
            #[cfg(feature = "green")]
            Engine::Green(green) => green.shutdown(deadline),
        }
    }
}

impl Place {
    /// Runs `future` as a task. A thread runs it to its end, a worker polls it, a fiber waits for it.
    pub(crate) fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match self.straight_line {
            true => self.spawner.spawn_fn(move || future.wait()),
            false => self.spawner.spawn(future),
        }
    }
}
