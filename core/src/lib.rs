//! The traits, waiting, tasks, channels, time and sockets that every backend of twoply shares.

pub mod backend;
mod blocking;
pub mod channel;
pub mod coop;
pub mod fork;
pub mod future;
pub mod ioserver;
mod lock;
/// Sockets.
pub mod net;
mod offload;
pub mod parker;
pub mod reactor;
pub mod strand;
mod sync;
pub mod task;
pub mod threads;
pub mod time;
pub mod timers;
mod wait;
mod waitlist;

pub use offload::offload;
pub use wait::Wait;
