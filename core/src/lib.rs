//! The traits, waiting, tasks, channels, time and sockets that every backend of twoply shares.

pub mod backend;
pub mod channel;
pub mod coop;
pub mod future;
pub mod ioserver;
pub mod parker;
pub mod reactor;
pub mod strand;
mod sync;
pub mod task;
pub mod timers;
mod wait;
mod waitlist;

pub use wait::Wait;
