//! The lowest floor: what the rest is built from. It knows no task, no stack and no descriptor.

pub mod fork;
pub(crate) mod id;
pub(crate) mod panic;
pub(crate) mod small_map;
pub(crate) mod sync;
pub(crate) mod waitlist;
pub(crate) mod wake;
