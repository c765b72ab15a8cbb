//! [`callback`]: a resolver with a function in the place of somebody who waits.

use std::sync::Arc;
use std::task::{Wake, Waker};

use super::Resolver;
use super::cell::{Cell, Outcome, PromiseInner};
use crate::base::sync::{Mutex, lock};
use crate::base::waitlist::WaitKey;

/// A function, and the only promise of what it is called with. The cell of the promise has it as a waker
/// until there is an outcome, which the last resolver sees to.
struct Callback<T, F>(Mutex<Option<(PromiseInner<T>, F)>>);

impl<T, F> Wake for Callback<T, F>
where
    T: Send + 'static,
    F: FnOnce(Outcome<T>) + Send + 'static,
{
    fn wake(self: Arc<Self>) {
        let Some((promise, then)) = lock(&self.0).take() else { return };
        match promise.take() {
            Ok(outcome) => then(outcome),
            Err(promise) => *lock(&self.0) = Some((promise, then)),
        }
    }
}

/// Makes a resolver that calls `then` with the outcome, where that is settled.
pub(crate) fn callback<T, F>(then: F) -> Resolver<T>
where
    T: Send + 'static,
    F: FnOnce(Outcome<T>) + Send + 'static,
{
    let (promise, resolver) = Cell::pair(None);
    let cell = Arc::clone(promise.cell());
    let waker = Waker::from(Arc::new(Callback(Mutex::new(Some((promise, then))))));
    // It is removed with the outcome, so nobody needs the key.
    cell.add_waiter(&mut WaitKey::new(), &waker, None);
    Resolver::new(resolver)
}
