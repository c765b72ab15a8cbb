//! Starts threads that carry workers.
//!
//! Called where a worker needs another thread: by a task that blocks, by the watchdog, by a host that leaves,
//! and by the builder. What such a thread does is not known here: it is the `carry` of the [`Shared`] state.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::core::Core;
use crate::lock::lock;
use crate::scheduler::Shared;

/// Starts a thread that carries `core`. On failure the core comes back: no task is lost.
pub(crate) fn launch(shared: &Arc<Shared>, core: Box<Core>) -> Result<(), (Box<Core>, io::Error)> {
    let name = shared.workers[core.index].name.as_deref();
    let slot = Arc::new(Mutex::new(Some(core)));
    let (theirs, shared_too) = (Arc::clone(&slot), Arc::clone(shared));
    let started = shared.threads.execute(name, None, move || {
        let core = lock(&theirs).take();
        if let Some(core) = core {
            (shared_too.carry)(Arc::clone(&shared_too), core);
        }
    });
    match started {
        Ok(()) => Ok(()),
        Err(error) => match lock(&slot).take() {
            Some(core) => Err((core, error)),
            None => Ok(()),
        },
    }
}

/// As [`launch`], but tries until there is a thread, or the runtime has been stopped.
pub(crate) fn launch_surely(shared: &Arc<Shared>, mut core: Box<Core>) {
    while let Err((back, _)) = launch(shared, core) {
        if shared.should_stop() {
            shared.workers[back.index].request.close();
            drop(back);
            return shared.worker_ended();
        }
        core = back;
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Starts the threads of all workers; on failure none is left.
pub(crate) fn start_workers(shared: &Arc<Shared>, cores: Vec<Core>) -> io::Result<()> {
    for core in cores {
        if let Err((core, error)) = launch(shared, Box::new(core)) {
            drop(core);
            shared.stop();
            shared.threads.close();
            shared.threads.join(Instant::now() + Duration::from_secs(1));
            return Err(error);
        }
    }
    Ok(())
}
