//! Finding out whether a wait is all that a task, or a stack, waits for.
//!
//! A future that is not ready knows the waker that it has been polled with, and not who else has been: a
//! combinator, of whatever library, may poll several futures with one waker, and go on with any of them. So a
//! wait that may close a circle asks for a probe. Whoever polls at the outermost, the task's own poll or the
//! loop of a `.wait()`, then polls once more, with a waker of its own that knows how many clones there are of
//! it. A future that is polled has to leave the waker of that poll with everybody who may have it go on. So
//! if the only clones are those that the wait itself has kept, nothing else can; and as long as none of them
//! has been used, nothing has.
//!
//! That costs nothing but a look at a cell, after polls that are not ready, where nobody suspects anything.

use std::cell::Cell;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::kernel::backend::StrandState;
use crate::kernel::task::wait_graph::{self, Mark};

/// The records of one stack on its probes.
pub(crate) struct ProbeState {
    /// True if a wait has asked for a probe since the last look.
    requested: Cell<bool>,
    /// The data of the waker with which a probe polls; null while there is none.
    waker_data: Cell<*const ()>,
    /// The reports of the waits that the probe has polled.
    findings: Cell<Findings>,
}

/// The reports to a probe of the waits that may close a circle.
#[derive(Clone, Copy, Default)]
struct Findings {
    /// The number of the edge of such a wait, if there has been one.
    edge: Option<u64>,
    /// True if there has been another wait.
    has_other: bool,
    /// The number of clones of the waker that the wait keeps besides the one of the edge.
    extra: usize,
}

impl Default for ProbeState {
    fn default() -> ProbeState {
        ProbeState {
            requested: Cell::new(false),
            waker_data: Cell::new(std::ptr::null()),
            findings: Cell::default(),
        }
    }
}

impl ProbeState {
    /// Asks for a probe after the poll that is under way.
    #[inline]
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

    /// Says to the probe that a wait has kept one clone of its waker, and that the task's edge has this
    /// number.
    #[cold]
    pub(crate) fn report(&self, edge: Option<u64>) {
        let findings = self.findings.get();
        let has_other = findings.has_other || findings.edge.is_some_and(|before| Some(before) != edge);
        self.findings.set(Findings { edge, has_other, ..findings });
    }

    /// Says to the probe, if it polls with `waker`, that the wait keeps another clone of that.
    #[inline]
    pub(crate) fn report_extra(&self, waker: &Waker) {
        if self.polls_with(waker) {
            let findings = self.findings.get();
            self.findings.set(Findings { extra: findings.extra + 1, ..findings });
        }
    }

    /// A probe begins that polls with `waker`. It ends when what this returns is dropped.
    fn begin(&self, waker: &Waker) -> UnderWay<'_> {
        let outer = (self.waker_data.replace(waker.data()), self.findings.take());
        UnderWay { state: self, outer }
    }
}

/// A probe that is under way.
struct UnderWay<'a> {
    state: &'a ProbeState,
    /// The records of the probe that is under way around it.
    outer: (*const (), Findings),
}

impl UnderWay<'_> {
    /// Ends the probe. Returns the number of clones that its waker has if nothing but one wait with an edge
    /// keeps any.
    fn end(self) -> Option<usize> {
        let Findings { edge, has_other, extra } = self.state.findings.get();
        (edge.is_some() && !has_other).then_some(1 + extra)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let (waker_data, findings) = self.outer;
        self.state.waker_data.set(waker_data);
        self.state.findings.set(findings);
    }
}

/// The target of the waker of a probe, which notes wake-ups.
struct StandIn {
    waker: Waker,
    woken: Arc<AtomicBool>,
}

impl Wake for StandIn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release pairs with Acquire in `Mark::is_valid`: who sees this sees what it was woken for.
        self.woken.store(true, Ordering::Release);
        self.waker.wake_by_ref();
    }
}

/// Deals with the suspicion of a wait that has asked for a probe in the last poll with `waker`, which has not
/// been ready: polls once more, by `poll`, if the wait may close a circle. If it does, and is all that is
/// waited for, as are those of the others in the circle, it is polled again, and comes out as a deadlock.
#[cold]
pub(crate) fn settle<R>(
    state: &StrandState,
    waker: &Waker,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>,
) -> Poll<R> {
    let Some(task) = state.task().filter(wait_graph::may_close) else { return Poll::Pending };
    let woken = Arc::new(AtomicBool::new(false));
    let stand_in = Arc::new(StandIn { waker: waker.clone(), woken: Arc::clone(&woken) });
    let own = Waker::from(Arc::clone(&stand_in));
    state.begin_round();
    let under_way = state.probe.begin(&own);
    let polled = poll(&mut Context::from_waker(&own));
    let kept = under_way.end();
    if polled.is_ready() {
        return polled;
    }
    // This reference, that of the waker which was polled with, and those that the wait has kept.
    let is_sole = kept.is_some_and(|kept| Arc::strong_count(&stand_in) == 2 + kept);
    let mark = Mark::new(woken, state.has_parted());
    if !is_sole || !mark.is_valid() {
        return Poll::Pending;
    }
    let Some(refused) = wait_graph::close(&task, mark) else { return Poll::Pending };
    state.begin_round();
    state.set_refusal(Some(refused));
    let polled = poll(&mut Context::from_waker(waker));
    // One that has not been polled again is not a wait that its task goes on with.
    state.set_refusal(None);
    polled
}
