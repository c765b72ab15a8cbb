//! Waiting for time to pass: [`sleep`], [`Interval`], [`timeout`].
//!
//! All of it is futures, finished by `.await` or `.wait()`. The time is what the current driver says it is,
//! so that a backend with a virtual clock needs no other functions. Instants are monotonic: setting the
//! system's clock moves nothing. A duration too long to be represented means never; no duration panics.

mod interval;
mod timeout;

pub use crate::kernel::sleep::{Sleep, now, sleep, sleep_until};
pub use interval::{Interval, MissedTicks, Tick, interval, interval_at};
pub use timeout::{Timeout, TimeoutError, timeout, timeout_at};

#[cfg(test)]
#[path = "time/tests.rs"]
mod tests;
