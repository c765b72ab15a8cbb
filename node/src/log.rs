//! [`Log`]: what a node says on the standard error stream of what others do wrong. They decide how often that
//! is, so there is at most one line a second of each kind.

use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use twoply_core::io::stderr;
use twoply_core::time::now;

/// The time between two lines.
const PAUSE: Duration = Duration::from_secs(1);

/// The last line of a kind.
#[derive(Default)]
pub(crate) struct Log(Mutex<Said>);

#[derive(Default)]
struct Said {
    last: Option<Instant>,
    /// The number of lines that have been left out since then.
    left_out: u64,
}

impl Log {
    /// Says `line`, unless the last one was said just now. A line is lost while there is no room for it:
    /// nobody waits here for whoever is to read it.
    pub(crate) fn say(&self, line: &dyn Display) {
        let Some(left_out) = self.turn(now()) else { return };
        // Some of it may be a peer's own words, which are to stay in the line.
        let line = line.to_string().replace(char::is_control, " ");
        let line = match left_out {
            0 => format!("twoply: {line}\n"),
            _ => format!("twoply: {line} (and {left_out} more before)\n"),
        };
        if !stderr().try_write_all(line.as_bytes()) {
            self.lost(left_out + 1);
        }
    }

    /// Counts lines that have been lost as left out: the next one tells of them.
    fn lost(&self, lines: u64) {
        self.said().left_out += lines;
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        // Nothing panics under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many lines have been left out, if it is time for one.
    fn turn(&self, now: Instant) -> Option<u64> {
        let mut said = self.said();
        if said.last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            said.left_out += 1;
            return None;
        }
        said.last = Some(now);
        Some(std::mem::take(&mut said.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_soon_is_counted() {
        let (log, now) = (Log::default(), now());
        let turn = |after: u64| log.turn(now + Duration::from_millis(after));
        assert_eq!([0, 1, 999, 1_000, 1_001, 2_500].map(turn), [Some(0), None, None, Some(2), None, Some(1)]);
        log.lost(4);
        assert_eq!(turn(3_500), Some(4), "a line that is lost takes none with it");
    }
}
