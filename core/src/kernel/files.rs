//! Operations on open files for the code that runs on a stack which may not block.
//!
//! They go to the io_uring of the stack's reactor, if there is one and it gains something, and else to a
//! thread of the stack's pool. Both are told below by one function; who asks for an operation does not see
//! which it is.

use std::sync::Arc;

use crate::event::files::Request;
pub(crate) use crate::event::files::memory::Memory;
pub(crate) use crate::event::files::open::{FileCall, Gate, OpenFile};
pub(crate) use crate::event::files::{Done, Operation, make, retry, sync};
use crate::kernel::strand::with_current;
use crate::kernel::{threads, world};

/// Returns what calls on the files of the calling stack go through.
pub(crate) fn gate() -> Gate {
    Gate::new(world::current().and_then(|world| world.files()))
}

/// Begins an operation, whose end is told to `finish`: perhaps before this returns, and also if no thread can
/// be had.
pub(crate) fn start(
    file: &Arc<OpenFile>,
    operation: Operation,
    memory: Memory,
    finish: impl FnOnce(Done) + Send + 'static,
) {
    let request = Request::new(file, operation, memory, finish);
    let refused = with_current(|strand| {
        let reactor = strand.driver().reactor().filter(|_| operation.is_for_ring());
        match reactor.and_then(|it| it.ring(fallback)) {
            Some(ring) => ring.submit(request),
            None => Err(request),
        }
    });
    if let Err(request) = refused {
        let pool = with_current(|strand| strand.blocking_pool());
        // A request that is dropped tells its end, in place of the pool's error.
        let _ = pool.execute(None, move || request.run());
    }
}

/// Takes what a ring gives back, whose stack may be gone.
fn fallback(request: Request) {
    let _ = threads::blocking().execute(None, move || request.run());
}
