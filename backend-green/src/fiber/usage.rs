//! The high-water mark of a task: how much of its stack it has used, to the page.
//!
//! Nobody pays for this who has not asked for it. Before a poll the memory of the stack below the running
//! frame is given back to the system, and afterwards the system is asked which pages have memory again. That
//! takes some microseconds a poll.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use twoply_core::task::TaskRef;

use super::overflow;

/// The use that a task has made of its stack in one of its polls.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StackUse {
    /// The task that was polled.
    pub task: TaskRef,
    /// The bytes of the stack that were touched, in whole pages: a few hundred of them are the runtime's.
    pub used: usize,
    /// The bytes that the stack has.
    pub size: usize,
}

impl fmt::Display for StackUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StackUse { task, used, size } = self;
        write!(f, "{task} has used {} of {} KiB of its stack", used.div_ceil(1024), size / 1024)
    }
}

/// A handler that is told of it.
pub(crate) type Handler = Box<dyn Fn(&StackUse) + Send + Sync>;

/// Polls `task` by calling `poll` on the fiber that this runs on, and tells `handler` how much of the stack
/// that took. On a thread's own stack it only polls.
pub(crate) fn measured(handler: &Handler, task: TaskRef, poll: impl FnOnce()) {
    let Some((limit, end)) = overflow::running_stack() else { return poll() };
    give_back(limit);
    poll();
    let used = end - deepest(limit, end);
    let stack_use = StackUse { task, used, size: end - limit };
    // A handler that panics has been reported by the panic hook; the worker goes on.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| handler(&stack_use))) {
        // The payload may panic in its own destructor.
        std::mem::forget(payload);
    }
}

/// Gives the memory of the running stack, which begins at `limit`, back to the system, as far as nothing of
/// it is in use.
#[inline(never)]
fn give_back(limit: usize) {
    let page = rustix::param::page_size();
    let here = 0_u8;
    // The page of this frame stays, and the one below it, for the frame of the call.
    let unused = (std::ptr::from_ref(&here).addr() / page).saturating_sub(1) * page;
    if unused > limit {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        // SAFETY: the range lies within the running stack, below every frame that is in use: the stack grows
        // down, and the call below, which is the deepest one, stays within a page of this frame. What a
        // signal handler has put there is of no use any more when the handler has returned.
        let _ = unsafe {
            libc::madvise(std::ptr::with_exposed_provenance_mut(limit), unused - limit, libc::MADV_DONTNEED)
        };
    }
}

/// Returns the lowest address of the stack from `limit` to `end` that has memory, to the page.
fn deepest(limit: usize, end: usize) -> usize {
    let page = rustix::param::page_size();
    let mut pages = vec![0_u8; (end - limit) / page];
    // SAFETY: the range is the running stack, which is mapped, and the vector has a byte for each of its
    // pages.
    let asked = unsafe {
        libc::mincore(std::ptr::with_exposed_provenance_mut(limit), end - limit, pages.as_mut_ptr().cast())
    };
    match pages.iter().position(|&page| page & 1 != 0) {
        Some(first) if asked == 0 => limit + first * page,
        _ => end,
    }
}
