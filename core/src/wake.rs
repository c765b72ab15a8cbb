//! Waking many: everybody is woken, whatever one of them does.
//!
//! Whoever has collected wakers under a lock wakes them through this. It never holds a lock itself.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

/// Wakes all of `wakers`; see [`for_all`].
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    for_all(wakers, Waker::wake);
}

/// Calls `f` with each of `items`, also when it panics with one of them: the others have nobody else to tell them. The
/// first panic goes on afterwards.
pub(crate) fn for_all<T>(items: impl IntoIterator<Item = T>, mut f: impl FnMut(T)) {
    let mut first = None;
    for item in items {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| f(item))) {
            match first {
                None => first = Some(payload),
                // It may panic in its own destructor.
                Some(_) => std::mem::forget(payload),
            }
        }
    }
    if let Some(payload) = first {
        resume_unwind(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_have_their_turn_and_the_first_panic_goes_on() {
        let mut told = Vec::new();
        let all = AssertUnwindSafe(|| {
            for_all([1, 2, 3, 4], |n| {
                told.push(n);
                assert!(n % 2 == 1, "{n} is even");
            });
        });
        let payload = catch_unwind(all).unwrap_err();
        assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some("2 is even"));
        assert_eq!(told, [1, 2, 3, 4]);
    }
}
