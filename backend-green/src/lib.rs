//! Backend.

mod queue;
mod sync;
