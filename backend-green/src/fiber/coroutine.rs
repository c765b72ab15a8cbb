//! The switch: code on a stack of its own that can be left and gone on with.
//!
//! [`Fiber::resume`] goes from the worker's stack to the fiber's; [`Suspender::suspend`] goes back. Each
//! carries one value. Both are inlined into their callers, down to the few instructions that swap the stack
//! pointer: every frame that is returned through after a switch costs a mispredicted return.

use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::overflow::{self, Record};
use super::stack::{PooledStack, StackPool};

/// Code on a stack of its own.
///
/// `I` is what a resume brings in, `Y` what a suspension brings out. Both should fit in a word: then they
/// travel in a register.
///
/// A fiber that is suspended never changes thread, because what is on its stack may belong to the thread:
/// hence it is not `Send`. Dropping a fiber that has finished, or never began, returns its stack to the pool.
/// Dropping one that is suspended **leaks** the stack and all that is on it, and the pool counts it: to
/// unwind it takes its own cooperation, which only its scheduler can ask for, by resuming it with a value
/// that says so.
pub(crate) struct Fiber<I, Y> {
    /// The stack and where it stopped. Dropped by hand, because dropping it while suspended is not allowed.
    coroutine: ManuallyDrop<Coroutine<I, Y, (), PooledStack>>,
    /// The record that the overflow handler reads. It lies in the stack.
    record: NonNull<Record>,
    /// The pool that the stack is from, to be told of a leak.
    pool: Arc<StackPool>,
    /// Neither `Send` nor `Sync`, whatever the coroutine is.
    _not_send: PhantomData<*mut ()>,
}

/// The ways in which a resume ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FiberResult<Y> {
    /// The fiber is suspended and has said this.
    Suspended(Y),
    /// Its function has returned.
    Finished,
}

/// The fiber's own side of the switch. It exists, at one address, for as long as the fiber's function runs.
#[repr(transparent)]
pub(crate) struct Suspender<I, Y>(Yielder<I, Y>);

impl<I: 'static, Y: 'static> Fiber<I, Y> {
    /// Makes a fiber that will run `f`, on a stack from `pool`, when it is resumed first; that resume's value
    /// is passed to `f`.
    ///
    /// # Errors
    /// When the pool has no stack; see [`StackPool::take`].
    ///
    /// # Aborts
    /// Aborts the process if `f` unwinds.
    ///
    /// # Safety
    /// Whatever runs on the fiber keeps the promise that [the module](super) asks for.
    pub(crate) unsafe fn new<F>(pool: &Arc<StackPool>, f: F) -> io::Result<Fiber<I, Y>>
    where
        F: FnOnce(&Suspender<I, Y>, I) + 'static,
    {
        let stack = pool.take()?;
        let record = stack.record();
        let coroutine = Coroutine::with_stack(stack, move |yielder: &Yielder<I, Y>, input| {
            // SAFETY: a Suspender is a Yielder, transparently.
            let suspender = unsafe { &*std::ptr::from_ref(yielder).cast::<Suspender<I, Y>>() };
            // Caught here, so that the search for a handler never leaves this stack for its parent's.
            if catch_unwind(AssertUnwindSafe(|| f(suspender, input))).is_err() {
                eprintln!("a panic was about to leave the stack of its fiber; aborting");
                std::process::abort();
            }
        });
        let coroutine = ManuallyDrop::new(coroutine);
        Ok(Fiber { coroutine, record, pool: Arc::clone(pool), _not_send: PhantomData })
    }

    /// Runs the fiber until it suspends itself or its function returns.
    ///
    /// # Panics
    /// If it has finished.
    #[inline(always)]
    pub(crate) fn resume(&mut self, input: I) -> FiberResult<Y> {
        assert!(!self.coroutine.done(), "a fiber that has finished was resumed");
        // SAFETY: the record is in the stack, which the coroutine holds until after the thread is told
        // otherwise below. Nothing unwinds out of the resume: what runs on the fiber aborts instead, and the
        // panic about a finished fiber has been forestalled above.
        let outer = unsafe { overflow::running(self.record.as_ptr()) };
        let result = self.coroutine.resume(input);
        // SAFETY: whoever set the outer record is further up on this thread and has not returned.
        unsafe { overflow::running(outer) };
        match result {
            CoroutineResult::Yield(value) => FiberResult::Suspended(value),
            CoroutineResult::Return(()) => FiberResult::Finished,
        }
    }

    /// Returns true if the fiber's function has returned.
    #[cfg(test)]
    pub(crate) fn is_finished(&self) -> bool {
        self.coroutine.done()
    }
}

impl<I, Y> Drop for Fiber<I, Y> {
    fn drop(&mut self) {
        if self.coroutine.started() && !self.coroutine.done() {
            self.pool.count_leaked();
            return;
        }
        // SAFETY: this is the only place that drops it, and it is not used after.
        unsafe { ManuallyDrop::drop(&mut self.coroutine) };
    }
}

impl<I, Y> Suspender<I, Y> {
    /// Goes back to whoever resumed this fiber, with `value`, and returns what the next resume brings.
    ///
    /// If there is no next one, this never returns, and nothing on this stack is ever dropped.
    #[inline(always)]
    pub(crate) fn suspend(&self, value: Y) -> I {
        debug_assert!(
            !std::thread::panicking(),
            "panics are counted for each thread: a stack that is unwinding must not be left for another"
        );
        self.0.suspend(value)
    }
}
