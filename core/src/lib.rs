//! The traits, waiting, tasks, actors, channels, time and sockets that every backend of twoply shares.
//!
//! | module      | duty                                                                    |
//! |-------------|-------------------------------------------------------------------------|
//! | [`backend`] | the contract: what a backend implements                                 |
//! | [`strand`], [`parker`] | the running stack, and the word through which it is woken    |
//! | [`task`]    | tasks, their handles, scopes and groups                                 |
//! | [`promise`] | results that many may wait for, and why there may be none               |
//! | [`actor`]   | processes: mailboxes, links and monitors, exit signals                  |
//! | [`channel`], [`future`] | channels; select, race, join and other combinators          |
//! | [`sync`]    | locks and signals between tasks                                         |
//! | [`stream`]  | items that come one after another, and what is made of them on the way  |
//! | [`time`], [`timers`]    | sleeps, intervals, timeouts; the queue of deadlines         |
//! | [`reactor`], [`ioserver`] | readiness of descriptors, and the thread that watches for everybody |
//! | [`net`]     | sockets                                                                 |
//! | [`port`]    | I/O that arrives as messages                                            |
//! | [`fs`]      | files, directories and paths                                            |
//! | [`io`]      | anybody's descriptors                                                   |
//! | [`process`] | child processes                                                         |
//! | [`signal`]  | signals of the operating system                                         |
//! | [`world`]   | what a program asks of the outside, and how a simulator stands in for it |
//! | [`hooks`]   | what a program is told as threads and tasks come and go                |
//! | [`io_threads`] | threads that poll tasks and turn a reactor, for ports                 |
//! | [`threads`], [`coop`], [`fork`] | the thread cache, the budget of a poll, noticing forks |

pub mod actor;
mod base;
pub mod channel;
mod event;
pub mod fs;
pub mod future;
pub mod io;
mod kernel;
pub mod net;
pub mod port;
pub mod process;
pub mod promise;
pub mod signal;
pub mod stream;
pub mod sync;
pub mod task;
pub mod time;

pub use base::fork;
pub use event::{parker, reactor, timers};
pub use kernel::{
    Wait, backend, coop, hooks, io_threads, ioserver, offload, offload_named, strand, threads, world,
};
