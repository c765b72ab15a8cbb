//! Wakers with code of the test's own at each point where a waker has code.

use std::sync::Arc;
use std::task::{RawWaker, RawWakerVTable, Waker};

/// What happens to a waker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is about to be cloned.
    Clone,
    /// It is woken.
    Wake,
    /// It is dropped without having been used up by a wake.
    Drop,
}

/// What is called then.
type Hook = Box<dyn Fn(Act) + Send + Sync>;

/// A waker that does nothing but call `hook` with what happens to it or to a clone of it.
pub fn hooked_waker(hook: impl Fn(Act) + Send + Sync + 'static) -> Waker {
    let hook: Arc<Hook> = Arc::new(Box::new(hook));
    // SAFETY: the functions of the table take what `Arc::into_raw` has made of an `Arc<Hook>`, which is Send
    // and Sync, and each keeps the count as the contract of `RawWaker` says, also where the hook panics.
    unsafe { Waker::from_raw(raw(hook)) }
}

fn raw(hook: Arc<Hook>) -> RawWaker {
    const TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop);
    RawWaker::new(Arc::into_raw(hook).cast(), &TABLE)
}

/// The hook of a waker that goes on to exist.
fn borrow(data: *const ()) -> Arc<Hook> {
    // SAFETY: `data` comes from `raw`, and the waker that it belongs to has a count of its own, which is not
    // used up.
    unsafe {
        Arc::increment_strong_count(data.cast::<Hook>());
    }
    take(data)
}

/// The hook of a waker that is used up.
fn take(data: *const ()) -> Arc<Hook> {
    // SAFETY: `data` comes from `raw`, and the count that is given up here is the waker's, or that of
    // `borrow`.
    unsafe { Arc::from_raw(data.cast::<Hook>()) }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    let hook = borrow(data);
    hook(Act::Clone);
    raw(hook)
}

unsafe fn wake(data: *const ()) {
    take(data)(Act::Wake);
}

unsafe fn wake_by_ref(data: *const ()) {
    borrow(data)(Act::Wake);
}

unsafe fn drop(data: *const ()) {
    take(data)(Act::Drop);
}
