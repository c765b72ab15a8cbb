//! The traits, waiting, tasks, channels, time and sockets that every backend of twoply shares.

pub mod backend;
pub mod coop;
pub mod ioserver;
mod lock;
pub mod parker;
pub mod reactor;
pub mod strand;
mod sync;
pub mod task;
pub mod threads;
pub mod timers;
mod wait;

pub use wait::Wait;
