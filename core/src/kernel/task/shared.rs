//! The part of a task that others hold on to, and that may outlive it: cancellation, how a waiting task is
//! woken, and its edge in the wait graph.
//!
//! References to a task ([`TaskRef`](super::TaskRef)), the wait graph and promises keep one. It never touches
//! the task's future or its result.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::task::Waker;

use super::dump::{Asked, Observed, TaskKind};
use super::header::Attributes;
use super::id::TaskId;
use super::wait_graph::{Mark, OutEdge};
use crate::base::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use crate::base::sync::{Mutex, MutexGuard, lock, seq_cst};
use crate::event::parker::Parker;
use crate::kernel::waiting::Description;

/// The shared part of a task.
///
/// ```text
/// flags:  0 ──(1) cancel──▶ CANCELLED
///         │                     │
///         └──(2) finish──▶ FINISHED (| CANCELLED)
///
/// (1) anybody, under the lock of `wait`. The parker or the waker that is there is used; one that comes later finds the
///     flag set.
/// (2) whoever drops the task's future, or makes the shared part of a task that is over.
/// ```
pub(crate) struct Shared {
    id: TaskId,
    kind: TaskKind,
    /// None if the task has no attributes. A task that has some has its shared part from the beginning.
    attributes: Option<Box<Attributes>>,
    /// [`CANCELLED`] and [`FINISHED`]. A bit that is set stays set.
    flags: AtomicU8,
    /// True while the task may be stopped by one wait, whose edge is in `wait.out_edge` if anybody is known
    /// to owe what it is for. Read without the lock by those who wait for the task.
    blocked: seq_cst::AtomicBool,
    /// True if there may be a mark in `wait.out_edge`. Only the task's own polls access it.
    marked: AtomicBool,
    /// The number of counted edges to this task, and [`AWAITED`]; see the header of `wait_graph`.
    awaited: seq_cst::AtomicU32,
    /// The number of the edge in `wait.out_edge`; 0 if there is none. Written under the lock.
    edge_number: AtomicU64,
    wait: Mutex<WaitState>,
}

/// Set when cancellation has been asked for, under the lock of `wait`.
const CANCELLED: u8 = 1;
/// Set when the task's future has been dropped.
const FINISHED: u8 = 2;

/// Set when there may be edges to the task that are not counted.
const AWAITED: u32 = 1 << 31;

/// The means by which a waiting task is woken.
struct WaitState {
    /// Has the task polled again. None before its first wait, and when it is over.
    waker: Option<Waker>,
    /// The parker of the stack that the task's poll blocks. None while it blocks none.
    parker: Option<Arc<Parker>>,
    /// The edge of the wait that blocks the task. It is made with the first such wait: most tasks have none.
    out_edge: Option<Box<OutEdge>>,
    /// The waits that it has told those who look. None while nobody has looked.
    observed: Option<Box<Observed>>,
    /// True if the task is to be polled again, and has not come to wait since there was that request.
    must_poll: bool,
}

impl WaitState {
    /// Returns false if the task has not come to wait so far.
    fn may_have_waited(&self) -> bool {
        self.waker.is_some() || self.parker.is_some()
    }

    /// Has a task polled that has come to wait.
    fn poll_again(wait: MutexGuard<'_, WaitState>) {
        // Under the lock, as in `Shared::cancel`.
        if let Some(parker) = &wait.parker {
            parker.look();
        }
        let waker = wait.waker.clone();
        drop(wait);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Shared {
    pub(super) fn new(
        id: TaskId,
        kind: TaskKind,
        attributes: Option<Box<Attributes>>,
        waker: Option<Waker>,
    ) -> Arc<Shared> {
        Arc::new(Shared {
            id,
            kind,
            attributes,
            flags: AtomicU8::new(0),
            blocked: seq_cst::AtomicBool::new(false),
            marked: AtomicBool::new(false),
            awaited: seq_cst::AtomicU32::new(0),
            edge_number: AtomicU64::new(0),
            wait: Mutex::new(WaitState {
                waker,
                parker: None,
                out_edge: None,
                observed: None,
                must_poll: false,
            }),
        })
    }

    /// Makes the shared part of a task that could not be started.
    pub(crate) fn never() -> Arc<Shared> {
        let shared = Shared::new(TaskId::next(), TaskKind::Future, None, None);
        shared.flags.store(FINISHED, Ordering::Relaxed);
        shared
    }

    pub(crate) fn id(&self) -> TaskId {
        self.id
    }

    pub(crate) fn kind(&self) -> TaskKind {
        self.kind
    }

    #[inline]
    pub(super) fn attributes(&self) -> Option<&Attributes> {
        self.attributes.as_deref()
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.attributes.as_ref()?.name.as_deref()
    }

    pub(crate) fn spawned_at(&self) -> Option<&'static Location<'static>> {
        Some(self.attributes.as_ref()?.spawned_at)
    }

    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        // Acquire pairs with the fetch_or in `cancel`: what happened before the cancellation is seen after
        // it.
        self.flags.load(Ordering::Acquire) & CANCELLED != 0
    }

    pub(crate) fn is_finished(&self) -> bool {
        // Acquire pairs with the fetch_or in `finish`.
        self.flags.load(Ordering::Acquire) & FINISHED != 0
    }

    /// Calls `publish` with the task's slot for an edge. `publish` drops nothing.
    #[inline]
    pub(crate) fn publish_edge<R>(&self, publish: impl FnOnce(&mut OutEdge) -> R) -> R {
        let mut wait = lock(&self.wait);
        let edge = wait.out_edge.get_or_insert_default();
        let published = publish(edge);
        self.edge_number.store(edge.number().unwrap_or(0), Ordering::Relaxed);
        published
    }

    /// Calls `look` with the task's slot for an edge, if a wait has ever blocked it.
    #[inline]
    pub(crate) fn with_edge<R>(&self, look: impl FnOnce(&OutEdge) -> Option<R>) -> Option<R> {
        lock(&self.wait).out_edge.as_deref().and_then(look)
    }

    /// Returns whether the task's edge has this number. For the task's own poll: the edge of a wait that it
    /// polls is changed by itself, or under a mutex that it holds. Where another of its waits is redirected
    /// meanwhile it may see either: a task has one edge, and which wait has it then is a matter of luck.
    #[inline]
    pub(crate) fn has_edge(&self, number: u64) -> bool {
        // Relaxed: no more is asked than which edge it is.
        self.edge_number.load(Ordering::Relaxed) == number
    }

    /// Returns the number of the task's edge, if there is one.
    pub(crate) fn edge_number(&self) -> Option<u64> {
        self.with_edge(OutEdge::number)
    }

    /// Calls `withdraw` with the task's slot for an edge. If that takes the edge out, the task goes on.
    /// `withdraw` drops nothing.
    #[inline]
    pub(crate) fn withdraw_edge<R>(&self, withdraw: impl FnOnce(&mut OutEdge) -> Option<R>) -> Option<R> {
        let mut wait = lock(&self.wait);
        let edge = wait.out_edge.as_deref_mut().and_then(withdraw)?;
        self.edge_number.store(0, Ordering::Relaxed);
        // Relaxed: a reader that misses it finds no edge.
        self.blocked.store(false, Ordering::Relaxed);
        Some(edge)
    }

    /// Marks the task as one that a wait may have stopped. For its own poll, which has entered the edge.
    #[inline]
    pub(crate) fn set_blocked(&self) {
        // SeqCst with the load in `is_blocked`; see the header of `wait_graph`.
        self.blocked.store(true, Ordering::SeqCst);
    }

    /// Marks the task as running, for its own poll, which begins a wait that may stop it in the end.
    #[inline]
    pub(super) fn clear_blocked(&self) {
        // Relaxed: others see it, at the latest, when they look at the edge that is entered after this.
        self.blocked.store(false, Ordering::Relaxed);
        // Relaxed: polls of a task are ordered.
        if self.marked.load(Ordering::Relaxed) {
            self.marked.store(false, Ordering::Relaxed);
            self.publish_edge(OutEdge::clear_mark);
        }
    }

    /// Records what a probe of the task has shown, for its own poll.
    pub(super) fn set_mark(&self, mark: Mark) {
        // Relaxed, as in `clear_blocked`.
        self.marked.store(true, Ordering::Relaxed);
        self.publish_edge(|edge| edge.set_mark(mark));
    }

    /// Returns whether a wait for a promise, a task or a lock may have stopped the task.
    #[inline]
    pub(crate) fn is_blocked(&self) -> bool {
        // SeqCst with the store in `set_blocked`.
        self.blocked.load(Ordering::SeqCst)
    }

    /// Records that there may be edges to this task that are not counted.
    pub(crate) fn set_awaited(&self) {
        // SeqCst with the load in `is_awaited`. Acquire is enough to see that another caller has set it; see
        // the header of `wait_graph`.
        if self.awaited.load(Ordering::Acquire) & AWAITED == 0 {
            self.awaited.fetch_or(AWAITED, Ordering::SeqCst);
        }
    }

    /// Counts an edge to this task that is about to be published.
    #[inline]
    pub(crate) fn count_edge(&self) {
        // SeqCst with the load in `is_awaited`.
        self.awaited.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes an edge back from the count.
    #[inline]
    pub(crate) fn discount_edge(&self) {
        // Relaxed: a reader that misses it walks in vain.
        self.awaited.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns whether there may be edges to this task, so that one from it may close a cycle.
    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        // SeqCst with the writes in `count_edge` and `set_awaited`.
        self.awaited.load(Ordering::SeqCst) != 0
    }

    /// Marks the task as finished. May be called twice, by the task and by the maker of its shared part.
    pub(super) fn finish(&self) {
        let mut wait = lock(&self.wait);
        let unused = (wait.waker.take(), wait.observed.take());
        // Under the lock: whoever asks what the task waits for asks it before this, or not at all.
        self.flags.fetch_or(FINISHED, Ordering::Release);
        drop(wait);
        drop(unused);
    }

    /// Returns what messages call the task: its name, or else its number.
    pub(crate) fn label(&self) -> Box<str> {
        self.name().map_or_else(|| format!("task {}", self.id).into(), Box::from)
    }

    /// Sets the waker that has the waiting task polled again. For the task's own poll, which then looks
    /// whether the task has been cancelled.
    pub(super) fn set_waker(&self, waker: Waker) {
        let mut wait = lock(&self.wait);
        let must_poll = std::mem::take(&mut wait.must_poll).then(|| waker.clone());
        let stale = if self.is_cancelled() { Some(waker) } else { wait.waker.replace(waker) };
        drop(wait);
        drop(stale);
        if let Some(waker) = must_poll {
            waker.wake();
        }
    }

    /// Sets the parker of the stack that the task's poll is about to block.
    pub(super) fn set_parker(&self, parker: &Arc<Parker>) {
        let mut wait = lock(&self.wait);
        wait.parker = Some(Arc::clone(parker));
        if self.is_cancelled() {
            parker.cancel();
        }
        if std::mem::take(&mut wait.must_poll) {
            parker.look();
        }
    }

    /// Ends what [`Shared::set_parker`] began.
    pub(super) fn clear_parker(&self) {
        let parker = lock(&self.wait).parker.take();
        drop(parker);
    }

    /// Has the task tell what it waits for, at its next poll that ends with a wait; `asked` is dropped then.
    /// A task that waits is woken for it. One that is over tells nothing any more.
    pub(super) fn ask(&self, asked: Asked) {
        let mut wait = lock(&self.wait);
        if self.is_finished() {
            drop(wait);
            return;
        }
        let may_have_waited = wait.may_have_waited();
        wait.observed.get_or_insert_default().ask(asked, may_have_waited);
        WaitState::poll_again(wait);
    }

    /// Has the task, which waits or is about to, polled once more.
    pub(crate) fn poll_again(&self) {
        let mut wait = lock(&self.wait);
        wait.must_poll = !wait.may_have_waited();
        WaitState::poll_again(wait);
    }

    /// Records what the task waits for.
    pub(crate) fn set_description(&self, description: Box<Description>) {
        let mut wait = lock(&self.wait);
        let unused = wait.observed.get_or_insert_default().update(description);
        drop(wait);
        drop(unused);
    }

    /// Calls `f` with what is known of the task's waits. What `f` takes out is dropped when no lock is held.
    pub(super) fn with_observed<R>(&self, f: impl FnOnce(&mut Option<Box<Observed>>) -> R) -> R {
        f(&mut lock(&self.wait).observed)
    }

    /// Asks the task to end: at its await point if it is suspended, by unwinding if it blocks a stack.
    pub(crate) fn cancel(&self) {
        let waker = {
            let mut wait = lock(&self.wait);
            if self.flags.fetch_or(CANCELLED, Ordering::AcqRel) != 0 {
                return;
            }
            // Under the lock, so that it cannot come after `clear_parker`, when the stack is another task's.
            if let Some(parker) = &wait.parker {
                parker.cancel();
            }
            wait.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.id),
            None => write!(f, "task {}", self.id),
        }
    }
}
