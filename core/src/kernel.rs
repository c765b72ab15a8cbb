//! The third floor: which stack is running, how it waits, and the tasks that run on it.
//!
//! [`backend`] is the contract. It, the running stack ([`strand`]), waiting ([`wait`], [`waiting`],
//! [`probe`]), the budget ([`coop`]), tasks ([`task`]), threads ([`threads`]) with what a program is told of
//! them ([`hooks`]), the world and the I/O server ([`ioserver`]) know each other: a wait is what a task does
//! on a stack of a backend.

pub(crate) mod at_end;
pub mod backend;
pub(crate) mod blocking;
pub(crate) mod choice;
pub mod coop;
pub(crate) mod detached;
pub(crate) mod files;
pub mod hooks;
pub(crate) mod io;
pub mod io_threads;
pub mod ioserver;
pub(crate) mod nested;
mod offload;
mod probe;
pub(crate) mod relay;
pub(crate) mod selection;
pub(crate) mod sleep;
mod spin;
pub mod strand;
pub(crate) mod task;
pub mod threads;
pub(crate) mod trampoline;
pub(crate) mod wait;
pub(crate) mod waiting;
pub mod world;

pub use offload::{offload, offload_named};
pub use wait::Wait;
