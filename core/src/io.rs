//! Descriptors of any kind, on every stack: [`Pollable`] makes the operations of anybody's descriptor
//! futures.
//!
//! What this module has waits as sockets do: the driver of the running stack watches the descriptor (a parked
//! thread in `poll(2)`, a worker in its reactor), and whoever gives a wait up leaves nothing behind. It never
//! changes the mode of a descriptor that it is lent: whoever shares the open file would change along.

pub(crate) mod pipe;
mod pollable;
mod sys;

pub use crate::event::reactor::Direction;
pub use pollable::{Pollable, ReadyGuard, WouldBlock};
