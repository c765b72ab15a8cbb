//! Descriptors of any kind, on every stack: [`Pollable`] makes the operations of anybody's descriptor
//! futures, and the standard streams of the program ([`stdin`], [`stdout`], [`stderr`]) hold no worker up.
//!
//! What this module has waits as sockets do: the driver of the running stack watches the descriptor (a parked
//! thread in `poll(2)`, a worker in its reactor), and whoever gives a wait up leaves nothing behind. It never
//! changes the mode of a descriptor that it is lent: whoever shares the open file would change along.

mod input;
mod output;
pub(crate) mod pipe;
mod pollable;
mod sys;

pub use crate::event::reactor::Direction;
pub use input::{Stdin, stdin};
pub use output::{Stderr, Stdout, stderr, stdout};
pub use pollable::{Pollable, ReadyGuard, WouldBlock};
