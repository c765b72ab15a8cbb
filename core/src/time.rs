//! Waiting for time to pass: [`sleep`], [`Interval`], [`timeout`].
//!
//! All of it is futures, finished by `.await` or `.wait()`. The time is what the current driver says it is, so that
//! a backend with a virtual clock needs no other functions. Instants are monotonic: setting the system's clock
//! moves nothing. A duration too long to be represented means never; no duration panics.

mod interval;
mod sleep;
mod timeout;

use std::time::{Duration, Instant};

use crate::strand::with_current;

pub use interval::{Interval, Tick, interval, interval_at};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Elapsed, Timeout, deadline, timeout};

/// The time, by the clock of the stack that asks.
pub fn now() -> Instant {
    with_current(|strand| strand.driver().now())
}

/// The time in `duration`; `None`: never.
fn after(duration: Duration) -> Option<Instant> {
    now().checked_add(duration)
}

#[cfg(test)]
#[path = "time/tests.rs"]
mod tests;
