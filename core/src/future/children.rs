//! Many futures of one type, of which only those that were woken are polled.
//!
//! [`join_all`](super::join_all), [`race_all`](super::race_all), [`select_all`](super::select_all) and
//! streams that work on several items at once are made of it. Each child has a waker of its own, which enters
//! the child in a ready list before it wakes the parent, so a wake-up among ten thousand children costs one
//! poll. The ready list outlives the children if somebody keeps a waker, the children do not.
//!
//! ```text
//! child:  idle ──(1) wake──▶ listed ──(2) poll──▶ idle ──▶ ... ──(3) ready──▶ gone
//!
//! (1) wake   anyone: sets `listed`; who sets it pushes the index, and wakes the parent if its waker is there.
//! (2) poll   the parent: clears `listed`, then polls the child: a wake-up that comes later lists it again.
//! (3) ready  the child is dropped; later wake-ups find nothing to poll, or the child that has its index now.
//! ```
//!
//! The idea is that of futures' `FuturesUnordered`; the list there is lock-free and the children are linked
//! with unsafe code, which this is not: two allocations a child instead of one.

#[cfg(all(test, loom))]
mod model;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::base::panic::discard_panic;
use crate::base::sync::atomic::AtomicBool;
use crate::base::sync::atomic::Ordering::{AcqRel, Relaxed};
use crate::base::sync::{Mutex, lock};
use crate::base::wake::StoredWaker;
use crate::kernel::coop::{self, BudgetScope};
use crate::kernel::selection::Selection;
use crate::kernel::strand::with_state;
use crate::kernel::waiting::{self, MOST_WAITS};

/// The futures of a combinator with many.
pub(crate) struct Children<F> {
    slots: Slots<F>,
    /// The list of children to poll, which the wakers of the children share.
    ready_list: Arc<ReadyList>,
    /// The children to poll, swapped with the list that wakers push to, so that neither allocates in the long
    /// run.
    batch: Vec<usize>,
    /// The number of futures of `batch` that have been polled. A poll that has spent its budget leaves the
    /// rest for the next one.
    polled: usize,
}

/// The children, by index. Those of children that are ready are used again.
struct Slots<F> {
    slots: Vec<Slot<F>>,
    /// The number of children that are not ready.
    left: usize,
    /// The first of the free slots, which are linked; none if it is no index.
    free: usize,
}

enum Slot<F> {
    Child(Child<F>),
    /// No child is in the slot any more; with the index of the next free one.
    Free(usize),
}

/// A future and its waker.
struct Child<F> {
    future: Pin<Box<F>>,
    child_waker: Arc<ChildWaker>,
    /// A waker made of `child_waker`.
    waker: Waker,
}

/// The children that were woken, and the parent that polls them.
struct ReadyList {
    state: Mutex<ReadyState>,
}

/// The state of a [`ReadyList`], under its lock.
struct ReadyState {
    /// The indices of the children that are listed.
    listed: Vec<usize>,
    /// The parent's waker; `None` once it has been woken.
    parent: Option<StoredWaker>,
}

/// The waker of one child.
struct ChildWaker {
    index: usize,
    /// True while the child is listed; see the module's diagram.
    listed: AtomicBool,
    ready_list: Arc<ReadyList>,
}

impl Wake for ChildWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // AcqRel pairs with the swap in `unlist`: what was written before this wake-up is seen by the poll,
        // even when the child was listed already.
        if self.listed.swap(true, AcqRel) {
            return;
        }
        let mut state = lock(&self.ready_list.state);
        state.listed.push(self.index);
        let parent = state.parent.take();
        drop(state);
        if let Some(parent) = parent {
            parent.wake();
        }
    }
}

impl ChildWaker {
    /// Returns whether the child is listed, or was when it was polled last.
    fn is_listed(&self) -> bool {
        self.listed.load(Relaxed)
    }

    /// Takes the child off the list: it is about to be polled.
    fn unlist(&self) {
        // AcqRel pairs with the swap in `wake_by_ref`.
        self.listed.swap(false, AcqRel);
    }
}

impl<F: Future> Child<F> {
    /// Makes a child that is listed, which the caller sees to.
    fn new(future: F, index: usize, ready_list: &Arc<ReadyList>) -> Child<F> {
        let child_waker =
            Arc::new(ChildWaker { index, listed: AtomicBool::new(true), ready_list: Arc::clone(ready_list) });
        let waker = Waker::from(Arc::clone(&child_waker));
        Child { future: Box::pin(future), child_waker, waker }
    }
}

impl<F: Future> Slots<F> {
    fn child(&mut self, index: usize) -> Option<&mut Child<F>> {
        match self.slots.get_mut(index) {
            Some(Slot::Child(child)) => Some(child),
            _ => None,
        }
    }

    /// Takes the child with this index out, and frees the slot.
    fn take(&mut self, index: usize) -> Option<Child<F>> {
        self.child(index)?;
        let slot = std::mem::replace(&mut self.slots[index], Slot::Free(self.free));
        self.free = index;
        self.left -= 1;
        match slot {
            Slot::Child(child) => Some(child),
            Slot::Free(_) => None,
        }
    }

    /// Drops the child, which is ready.
    fn free(&mut self, index: usize) {
        drop(self.take(index));
    }

    /// Polls one child, with its own waker unless there is another context. If it is ready, it is dropped,
    /// and its output handed to `done`, which returns whether to go on. If it panics, it is dropped, too, and
    /// `done` is told that there is no output.
    fn poll(
        &mut self,
        index: usize,
        cx: Option<&mut Context<'_>>,
        done: impl FnMut(usize, Option<F::Output>) -> bool,
    ) -> bool {
        let mut polling = Polling { slots: self, index, done };
        let Some(child) = polling.slots.child(index) else { return polling.goes_on(true) };
        let polled = match cx {
            Some(cx) => child.future.as_mut().poll(cx),
            None => child.future.as_mut().poll(&mut Context::from_waker(&child.waker)),
        };
        let Poll::Ready(output) = polled else { return polling.goes_on(true) };
        polling.slots.free(index);
        let goes_on = (polling.done)(index, Some(output));
        polling.goes_on(goes_on)
    }
}

/// A poll of a child that is under way. It is dropped when the child panics, which nobody may poll again.
struct Polling<'a, F: Future, D: FnMut(usize, Option<F::Output>) -> bool> {
    slots: &'a mut Slots<F>,
    index: usize,
    done: D,
}

impl<F: Future, D: FnMut(usize, Option<F::Output>) -> bool> Polling<'_, F, D> {
    /// Ends the poll of a child that has not panicked.
    fn goes_on(self, goes_on: bool) -> bool {
        std::mem::forget(self);
        goes_on
    }
}

impl<F: Future, D: FnMut(usize, Option<F::Output>) -> bool> Drop for Polling<'_, F, D> {
    #[cold]
    fn drop(&mut self) {
        let child = self.slots.take(self.index);
        (self.done)(self.index, None);
        discard_panic(|| drop(child));
    }
}

/// Panics in the name of a combinator that is polled again and has no result without a future that has
/// panicked, or was ready.
#[cold]
pub(super) fn refuse_after_panic() -> ! {
    panic!("polled again with no future left to wait for: one has panicked, or was ready before")
}

impl<F: Future> Children<F> {
    /// Lists all children, in the order that `arrange` makes of that of the futures.
    pub(crate) fn new(futures: impl Iterator<Item = F>, arrange: impl FnOnce(&mut [usize])) -> Children<F> {
        let ready_list =
            Arc::new(ReadyList { state: Mutex::new(ReadyState { listed: Vec::new(), parent: None }) });
        let slots: Vec<Slot<F>> = futures
            .enumerate()
            .map(|(index, future)| Slot::Child(Child::new(future, index, &ready_list)))
            .collect();
        let left = slots.len();
        let mut listed: Vec<usize> = (0..left).collect();
        arrange(&mut listed);
        lock(&ready_list.state).listed = listed;
        let slots = Slots { slots, left, free: usize::MAX };
        Children { slots, ready_list, batch: Vec::new(), polled: 0 }
    }

    /// Adds a child, which is polled with the next ones that were woken, and returns its index.
    pub(crate) fn push(&mut self, future: F) -> usize {
        let Slots { slots, left, free } = &mut self.slots;
        let index = if *free < slots.len() { *free } else { slots.len() };
        let child = Slot::Child(Child::new(future, index, &self.ready_list));
        match slots.get_mut(index) {
            None => slots.push(child),
            Some(slot) => {
                if let Slot::Free(next) = std::mem::replace(slot, child) {
                    *free = next;
                }
            }
        }
        *left += 1;
        lock(&self.ready_list.state).listed.push(index);
        index
    }

    /// Takes out a child that is not ready yet, and returns its future.
    pub(crate) fn remove(&mut self, index: usize) -> Option<Pin<Box<F>>> {
        let Child { future, child_waker, waker } = self.slots.take(index)?;
        if child_waker.is_listed() {
            // Or those who come and go would be listed without an end, while nobody polls.
            lock(&self.ready_list.state).listed.retain(|listed| *listed != index);
        }
        drop(waker);
        Some(future)
    }

    /// Has the children wake nobody until they are polled again.
    pub(crate) fn forget_parent(&self) {
        let parent = lock(&self.ready_list.state).parent.take();
        drop(parent);
    }

    /// Returns the number of children that are not ready yet.
    pub(crate) fn left(&self) -> usize {
        self.slots.left
    }

    /// Polls the only child that is left, with the parent's waker: it needs no other.
    pub(crate) fn poll_last(
        &mut self,
        cx: &mut Context<'_>,
        done: impl FnMut(usize, Option<F::Output>) -> bool,
    ) {
        let is_child = |slot: &Slot<F>| matches!(slot, Slot::Child(_));
        let Some(index) = self.slots.slots.iter().position(is_child) else { return };
        self.slots.poll(index, Some(cx), done);
    }

    /// As [`Children::poll_woken`], until `done` returns a result for one child.
    pub(crate) fn poll_first<R>(
        &mut self,
        selection: &mut Selection,
        cx: &mut Context<'_>,
        mut done: impl FnMut(usize, Option<F::Output>) -> Option<R>,
    ) -> Poll<R> {
        selection.poll_with(|met, arms| {
            let mut first = None;
            let mut done = |index, output| {
                first = done(index, output);
                first.is_none()
            };
            let mut goes_on = true;
            if let Some(index) = met
                && let Some(child) = self.slots.child(index)
            {
                arms.set_arm(index, &child.waker);
                goes_on = coop::with_full_budget(|| self.slots.poll(index, None, &mut done));
            }
            if goes_on {
                self.poll_woken_as(cx, |index, waker| arms.set_arm(index, waker), done);
            }
            first.map_or(Poll::Pending, Poll::Ready)
        })
    }

    /// Polls the children that were woken, and hands each one that is ready to `done`, which returns whether
    /// to go on. Afterwards either `done` has stopped it, or none is left, or the task of `cx` will be woken.
    /// One that panics is dropped, `done` is told that it has no output, and the others are as they were.
    pub(crate) fn poll_woken(
        &mut self,
        cx: &mut Context<'_>,
        done: impl FnMut(usize, Option<F::Output>) -> bool,
    ) {
        self.poll_woken_as(cx, |_, _| {}, done);
    }

    /// Lists children that wait, as many as a description has room for: this poll is made to hear what for.
    #[cold]
    fn list_idle(&mut self) {
        let children = self.slots.slots.iter().filter_map(|slot| match slot {
            Slot::Child(child) => Some(child),
            Slot::Free(_) => None,
        });
        let mut state = lock(&self.ready_list.state);
        for child in children.take(MOST_WAITS + 1) {
            // As in `wake_by_ref`, but for the parent, which is polling.
            if !child.child_waker.listed.swap(true, AcqRel) {
                state.listed.push(child.child_waker.index);
            }
        }
    }

    /// As [`Children::poll_woken`]. `about_to` is told of each child before that is polled.
    fn poll_woken_as(
        &mut self,
        cx: &mut Context<'_>,
        about_to: impl Fn(usize, &Waker),
        mut done: impl FnMut(usize, Option<F::Output>) -> bool,
    ) {
        if waiting::is_describing() {
            self.list_idle();
        }
        // Cloned before the lock is taken, dropped after: both run code of the waker's.
        let parent = StoredWaker::of(cx.waker());
        let mut state = lock(&self.ready_list.state);
        let old = state.parent.replace(parent);
        if self.polled == self.batch.len() {
            self.polled = 0;
            self.batch.clear();
            std::mem::swap(&mut state.listed, &mut self.batch);
        }
        let has_more = !state.listed.is_empty();
        drop(state);
        drop(old);
        with_state(|state| {
            let scope = BudgetScope::begin(state, cx.waker());
            while let Some(&index) = self.batch.get(self.polled) {
                if scope.must_yield(cx.waker()) {
                    return;
                }
                self.polled += 1;
                let Some(child) = self.slots.child(index) else { continue };
                child.child_waker.unlist();
                about_to(index, &child.waker);
                scope.set_delegate(&child.waker);
                if !self.slots.poll(index, None, &mut done) {
                    return;
                }
            }
        });
        if has_more {
            // Listed while what was left of an older batch was waiting for its turn.
            cx.waker().wake_by_ref();
        }
    }
}

impl<F> Drop for Children<F> {
    fn drop(&mut self) {
        // Somebody may keep the waker of a child for ever.
        let parent = lock(&self.ready_list.state).parent.take();
        drop(parent);
    }
}
