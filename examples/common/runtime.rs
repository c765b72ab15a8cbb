//! How the examples start what `--backend` asks for.

use std::io;

use twoply::{Backend, Runtime};

/// Starts a runtime of this backend. Only green ones have workers.
pub(crate) fn start(backend: Backend, workers: usize) -> io::Result<Runtime> {
    let builder = Runtime::builder().backend(backend).workers(workers);
    // SAFETY: no task of the examples waits while a crate that it calls lends something through a
    // thread-local, holds a reentrant lock or runs foreign code.
    #[cfg(feature = "green")]
    #[allow(unsafe_code, reason = "the promise that fibers ask for")]
    let builder = builder.fibers(unsafe { twoply::green_backend::FiberPromise::new() });
    builder.build()
}
