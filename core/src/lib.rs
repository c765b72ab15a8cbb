//! The traits, waiting, tasks, channels, time and sockets that every backend of twoply shares.
//!
//! | module      | duty                                                                    |
//! |-------------|-------------------------------------------------------------------------|
//! | [`backend`] | the contract: what a backend implements                                 |
//! | [`strand`], [`parker`] | the running stack, and the word through which it is woken    |
//! | [`task`]    | tasks, their handles, scopes and groups                                 |
//! | [`promise`] | results that many may wait for, and why there may be none               |
//! | [`actor`]   | processes: mailboxes, links and monitors, exit signals                  |
//! | [`channel`], [`future`] | channels; select, race, join and other combinators          |
//! | [`time`], [`timers`]    | sleeps, intervals, timeouts; the queue of deadlines         |
//! | [`reactor`], [`ioserver`] | readiness of descriptors, and the thread that watches for everybody |
//! | [`net`]     | sockets                                                                 |
//! | [`threads`], [`coop`], [`fork`] | the thread cache, the budget of a poll, noticing forks |

pub mod actor;
pub mod backend;
mod blocking;
pub mod channel;
mod choice;
mod contain;
pub mod coop;
mod errand;
mod few;
mod flat;
pub mod fork;
pub mod future;
pub mod ioserver;
mod lock;
pub mod net;
mod offload;
pub mod parker;
pub mod promise;
pub mod reactor;
pub mod strand;
mod sync;
pub mod task;
pub mod threads;
pub mod time;
pub mod timers;
mod wait;
mod waitlist;
mod wake;

pub use offload::offload;
pub use wait::Wait;
