//! Code of the program's that the reader of a connection runs: a panic of it goes no further.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::wire::DecodeError;

/// Runs code of the program's. Returns the text of its panic, if it panics.
pub(crate) fn run<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
        let text = text(&*payload);
        // The payload may panic, too.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        text
    })
}

/// Has a type of the program's read a term. Where that panics, the type has refused it.
pub(crate) fn read<T>(code: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    run(code).unwrap_or_else(|panic| Err(DecodeError::refused(panic)))
}

/// Returns the text of a panic.
fn text(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "it has panicked".to_owned(),
    }
}
