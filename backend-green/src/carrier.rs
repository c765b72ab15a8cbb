//! A thread that carries a worker, from when it gets it to when the worker has moved on or ends.
//!
//! [`launch`](crate::launch) starts such threads. On fibers the loop is that of the [runner](crate::runner);
//! else it is that of the [strand](crate::strand) on which the thread's tasks wait.

use std::rc::Rc;
use std::sync::Arc;

use crate::core::Core;
use crate::runner::Runners;
use crate::scheduler::Shared;
use crate::strand::CarrierStrand;
use crate::worker::{self, Context};

/// Carries `core` until it moves on or its runtime ends.
pub(crate) fn carry(shared: Arc<Shared>, core: Box<Core>) {
    let (index, away) = (core.index, core.away.get());
    if let Some(affinity) = &shared.affinity {
        affinity.bind(index);
    }
    let context = Context::new(shared, core);
    let entered = worker::enter(&context);
    match &context.shared.stacks {
        Some(stacks) if !away => {
            let mut runners = Runners::new(&context, index, stacks);
            runners.run(|| context.next_at_home(index));
            runners.end();
        }
        _ => {
            let strand = CarrierStrand::new(Rc::clone(&context), index);
            strand.run(|| context.with_core(|core| core.next_work(&context.shared)).flatten());
        }
    }
    let core = context.take_core();
    context.leave();
    // The thread goes back to its cache without a trace.
    drop(entered);
    if let Some(affinity) = &context.shared.affinity {
        affinity.free(0);
    }
    if let Some(core) = core {
        let request = &context.remote(index).request;
        let Some(core) = request.fulfil(core) else { return };
        // The runtime is at its end. What is left in the queue is dropped with the core, with no worker on
        // this thread that its destructors could push to.
        drop(core);
        request.close();
        context.shared.worker_ended();
    }
}
