//! Finding out whether a wait is all that a task, or a stack, waits for.
//!
//! A future that is not ready knows the waker that it has been polled with, and not who else has been: a
//! combinator of another library may poll several futures with one waker, and go on with any of them. So a
//! wait that suspects a deadlock asks for a probe. Whoever polls at the outermost, the task's own poll or the
//! loop of a `.wait()`, then polls once more, with a waker of its own that knows how many clones there are of
//! it. A future that is polled has to leave the waker of that poll with everybody who may have it go on. So
//! if the only clone is the one that the suspicious wait has kept, nothing else can.
//!
//! That costs nothing but a look at a cell, after polls that are not ready, where nobody suspects anything.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use crate::kernel::backend::StrandState;
use crate::kernel::task::wait_graph;

/// The records of one stack on its probes.
pub(crate) struct ProbeState {
    /// True if a wait has asked for a probe since the last look.
    requested: Cell<bool>,
    /// The data of the waker with which a probe polls; null while there is none.
    waker_data: Cell<*const ()>,
    /// The number of the edge of the wait that has been polled by the probe.
    edge: Cell<Option<u64>>,
}

impl Default for ProbeState {
    fn default() -> ProbeState {
        ProbeState {
            requested: Cell::new(false),
            waker_data: Cell::new(std::ptr::null()),
            edge: Cell::new(None),
        }
    }
}

impl ProbeState {
    /// Asks for a probe after the poll that is under way.
    pub(crate) fn request(&self) {
        self.requested.set(true);
    }

    /// Returns whether a probe has been asked for since the last call.
    #[inline]
    pub(crate) fn take_request(&self) -> bool {
        self.requested.get() && self.requested.replace(false)
    }

    /// Returns whether `waker` is the one with which a probe polls.
    #[inline]
    pub(crate) fn polls_with(&self, waker: &Waker) -> bool {
        let data = self.waker_data.get();
        !data.is_null() && data == waker.data()
    }

    /// Says to the probe that the wait with this edge is not ready, and has kept one clone of the waker.
    pub(crate) fn report(&self, edge: u64) {
        self.edge.set(Some(edge));
    }

    /// A probe begins that polls with `waker`. It ends when what this returns is dropped.
    fn begin(&self, waker: &Waker) -> UnderWay<'_> {
        self.edge.set(None);
        UnderWay { state: self, outer: self.waker_data.replace(waker.data()) }
    }
}

/// A probe that is under way.
struct UnderWay<'a> {
    state: &'a ProbeState,
    /// The data of the waker of the probe that is under way around it.
    outer: *const (),
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.state.waker_data.set(self.outer);
    }
}

/// The target of the waker of a probe, which notes wake-ups.
struct Outer {
    waker: Waker,
    /// Set by every wake-up. It is looked at on the stack that has polled, right after the poll: what comes
    /// later, from elsewhere, comes by a clone, which is counted.
    woken: AtomicBool,
}

impl Wake for Outer {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Relaxed);
        self.waker.wake_by_ref();
    }
}

/// Polls once more, by `poll`, what has asked for a probe in its last poll with `waker`. If the wait that has
/// asked is all that is waited for, its edge in the wait graph is marked so, and it is polled again.
#[cold]
pub(crate) fn probe<R>(
    state: &StrandState,
    waker: &Waker,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
) -> Poll<R> {
    let outer = Arc::new(Outer { waker: waker.clone(), woken: AtomicBool::new(false) });
    let own = Waker::from(Arc::clone(&outer));
    let under_way = state.probe.begin(&own);
    let polled = poll(&mut Context::from_waker(&own));
    drop(under_way);
    // This reference, that of the waker which was polled with, and the one that the wait has kept.
    let is_sole = Arc::strong_count(&outer) == 3 && !outer.woken.load(Relaxed);
    if let (Poll::Pending, true, Some(edge)) = (&polled, is_sole, state.probe.edge.take())
        && let Some(header) = state.header()
    {
        wait_graph::mark_sole(header.shared(), edge);
        waker.wake_by_ref();
    }
    polled
}
