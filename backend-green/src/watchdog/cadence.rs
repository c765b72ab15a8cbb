//! The time between two looks of the watchdog: short while it may have somebody to help, long otherwise.
//!
//! A look takes a core from whoever has it, to wake a thread whose memory is in no cache: each [`TICK`] of
//! them is a fiftieth of what a server uses. So where no worker has been stuck of late there is one each
//! [`CALM`]; and a second one a tick after it, if that one has seen a poll, to tell a long poll from one of
//! many. Looks each [`CALM`] alone would not see polls that are somewhat shorter, one after the other, though
//! nothing else had its turn between them.
//!
//! Polls that are long come again, most likely. So once one has been found the looks stay close for
//! [`ALERT`]: only the first of them is found later than the others. A poll that goes on because its thread
//! has no core is not long: on a busy machine there are such all the time.

use std::time::{Duration, Instant};

use crate::watchdog_state::TICK;

/// The time between two looks while no worker is stuck: the first poll that is stuck is found after this and
/// a tick at most, if it takes as long.
pub(super) const CALM: Duration = Duration::from_millis(5);

/// The time for which looks stay close after one that has found a long poll.
pub(super) const ALERT: Duration = Duration::from_millis(150);

/// The most that a look has found, over all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    /// Nobody was in a poll.
    Nothing,
    /// A poll was under way, and had been for less than a tick as far as is known.
    Poll,
    /// A poll has been under way for a tick at least; its thread may only have waited for a core.
    Stuck,
    /// A poll has blocked its thread, or computed for a tick at least.
    Long,
}

/// When the watchdog looks again.
pub(super) struct Cadence {
    /// The time until the next look.
    pub(super) pause: Duration,
    /// The time until when looks stay close.
    alert_until: Option<Instant>,
}

impl Cadence {
    pub(super) fn new() -> Cadence {
        Cadence { pause: CALM, alert_until: None }
    }

    /// Sets the time until the next look, after one that has `found` so much.
    pub(super) fn looked(&mut self, found: Found, now: Instant) {
        if found == Found::Long {
            self.alert_until = Some(now + ALERT);
        }
        let is_alert = self.alert_until.is_some_and(|until| now < until);
        // One look more tells whether it is the same poll still. It is not followed by another one: where a
        // worker is never idle each look sees some poll.
        let tells = found == Found::Stuck || found == Found::Poll && self.pause == CALM;
        self.pause = if is_alert || tells { TICK } else { CALM };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the times of looks in the second after `now`, of which each has found what `find` says.
    fn looks(cadence: &mut Cadence, now: Instant, find: impl Fn(Duration) -> Found) -> Vec<Duration> {
        let mut times = Vec::new();
        let mut time = cadence.pause;
        while time < Duration::from_secs(1) {
            cadence.looked(find(time), now + time);
            times.push(time);
            time += cadence.pause;
        }
        times
    }

    #[test]
    fn a_look_is_rare_where_no_poll_is_long() {
        let now = Instant::now();
        assert_eq!(looks(&mut Cadence::new(), now, |_| Found::Nothing).len(), 199);
        // A worker that is never idle: each second look tells whether a poll is the same still.
        assert_eq!(looks(&mut Cadence::new(), now, |_| Found::Poll).len(), 332);
    }

    #[test]
    fn a_poll_that_is_shorter_than_the_calm_time_is_found() {
        const LONG: Duration = Duration::from_millis(4);
        let poll = |time: Duration| time.as_nanos() / LONG.as_nanos();
        let mut cadence = Cadence::new();
        let mut last = None;
        let mut time = Duration::from_micros(300);
        while last != Some(poll(time)) {
            assert!(time < Duration::from_millis(100), "they are never found");
            last = Some(poll(time));
            cadence.looked(Found::Poll, Instant::now());
            time += cadence.pause;
        }
    }

    #[test]
    fn looks_are_close_for_a_while_after_a_long_poll() {
        let now = Instant::now();
        let long_until = Duration::from_millis(300);
        let find = |time| if time < long_until { Found::Long } else { Found::Nothing };
        let times = looks(&mut Cadence::new(), now, find);
        let (close, rare): (Vec<_>, _) = times.into_iter().partition(|time| *time < long_until + ALERT);
        assert!(close.windows(2).all(|pair| pair[1] - pair[0] == TICK), "{close:?}");
        assert!(rare.windows(2).all(|pair| pair[1] - pair[0] == CALM), "{rare:?}");
        assert_eq!((close[0], close.len(), rare.len()), (CALM, 445, 110));
    }

    #[test]
    fn looks_are_close_no_longer_than_a_thread_waits_for_a_core() {
        let stuck = Duration::from_millis(5)..Duration::from_millis(100);
        let find = |time| if stuck.contains(&time) { Found::Stuck } else { Found::Nothing };
        let times = looks(&mut Cadence::new(), Instant::now(), find);
        let close = times.windows(2).filter(|pair| pair[1] - pair[0] == TICK).count();
        assert_eq!((close, times.len()), (95, 275));
    }
}
