//! The lowest floor: what the rest is built from. It knows no task, no stack and no descriptor.
//!
//! [`sync`] has the locks and atomics (std's, or loom's in the models), [`waitlist`] the lists of waiting
//! wakers, [`wake`] and [`panic`] keep a panic of the user's code from whoever runs it, [`fork`] notices
//! forks, [`fused`] tells others which futures are over, [`id`] gives numbers out, [`histogram`] counts
//! times, [`small_map`] keeps links, monitors and hooks in order, and with [`turns`] several futures share
//! what wakes one.

pub mod fork;
pub(crate) mod fused;
pub(crate) mod histogram;
pub(crate) mod id;
pub(crate) mod panic;
pub(crate) mod small_map;
pub(crate) mod sync;
pub(crate) mod turns;
pub(crate) mod waitlist;
pub(crate) mod wake;
