//! The spans that a stack has entered go along with its fiber.
//!
//! tracing keeps the spans that a thread has entered as a stack of that thread's. A fiber that waits leaves
//! what it has entered, down to the *base*, which is what its thread had entered before it polled the task
//! of the fiber; and enters it again when it goes on. Where the subscriber does not know what is entered,
//! nothing can be done.

use std::cell::Cell;

use tracing::dispatcher::{Dispatch, get_default};
use tracing::span::Id;
use twoply_core::hooks::Hooks;

/// The most spans that a stack is taken to have entered; a subscriber may lose count.
const DEEPEST: usize = 1_000;

thread_local! {
    /// The innermost span under the poll that is under way, 0 for none.
    static BASE: Cell<u64> = const { Cell::new(0) };
}

/// Sets the innermost span under the poll that begins, and returns the one before.
pub(crate) fn replace_base(span: u64) -> u64 {
    BASE.replace(span)
}

/// Returns the number of the span that the calling thread is in, or 0.
pub(crate) fn current() -> u64 {
    get_default(|dispatch| current_of(dispatch).map_or(0, |id| id.into_u64()))
}

fn current_of(dispatch: &Dispatch) -> Option<Id> {
    dispatch.current_span().id().cloned()
}

/// Adds the hooks of a fiber that is left.
pub(crate) fn add(hooks: Hooks) -> Hooks {
    hooks.on_fiber_switch(leave, enter)
}

/// The spans that a fiber has entered.
struct Entered {
    dispatch: Dispatch,
    /// The spans, the innermost first, each kept from being closed.
    spans: Vec<Id>,
    base: u64,
}

fn leave() -> Option<Entered> {
    let base = BASE.get();
    get_default(|dispatch| {
        let inside = || current_of(dispatch).filter(|id| id.into_u64() != base);
        let spans: Vec<Id> = std::iter::from_fn(|| {
            let id = dispatch.clone_span(&inside()?);
            dispatch.exit(&id);
            Some(id)
        })
        .take(DEEPEST)
        .collect();
        (!spans.is_empty()).then(|| Entered { dispatch: dispatch.clone(), spans, base })
    })
}

fn enter(entered: Option<Entered>) {
    let Some(Entered { dispatch, spans, base }) = entered else { return };
    replace_base(base);
    for id in spans.into_iter().rev() {
        dispatch.enter(&id);
        dispatch.try_close(id);
    }
}
