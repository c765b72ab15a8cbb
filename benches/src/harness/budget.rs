//! How long everything may take, and how long one run should therefore be.
//!
//! Arithmetic only: the harness asks it, and nothing here runs or measures.

use std::fmt;
use std::time::Duration;

/// What a full run takes at most, so that it stays under ten minutes with its report.
const FULL: Duration = Duration::from_secs(9 * 60 + 30);

/// What a first look takes at most, so that it stays under a minute.
const QUICK: Duration = Duration::from_secs(54);

/// The part of the time that goes into windows that can be chosen. The rest is for workloads whose length is
/// their own: sleepers sleep, a million tasks start.
const IN_WINDOWS: f64 = 0.3;

/// How many runs each system should have, so that there is a spread: windows are as short as that asks for.
const RUNS: usize = 3;

/// The same for a first look.
const QUICK_RUNS: usize = 1;

/// How long a run with a window takes, in windows: the calls with growing numbers that find the right one,
/// which take two thirds of a window at worst, and the one that fills it.
const WINDOWS_OF_A_RUN: f64 = 1.6;

/// What starting a process and building a runtime takes.
const START: Duration = Duration::from_millis(10);

/// The time of a whole comparison.
pub(crate) struct Budget {
    /// What everything may take; none if the user has named the number of runs instead.
    total: Option<Duration>,
    /// How long the measured part of a run should be.
    window: Duration,
    /// How long a child may take before it counts as stuck.
    patience: Duration,
}

impl Budget {
    /// The budget for cases that have that many systems in all.
    ///
    /// Windows are as long as the time allows within bounds: below the lower one a figure is mostly the noise
    /// of the scheduler, above the upper one it does not get better.
    pub(crate) fn new(quick: bool, minutes: Option<f64>, runs_are_fixed: bool, systems: usize) -> Self {
        let usual = if quick { QUICK } else { FULL };
        let total = minutes.map_or(usual, |minutes| Duration::from_secs_f64(minutes * 60.0));
        let (shortest, longest) = if quick { (15.0, 60.0) } else { (40.0, 300.0) };
        let runs = systems * if quick { QUICK_RUNS } else { RUNS };
        let share = total.as_secs_f64() * IN_WINDOWS / runs.max(1) as f64 - START.as_secs_f64();
        let window = (share * 1e3 / WINDOWS_OF_A_RUN).clamp(shortest, longest);
        Self {
            total: (!runs_are_fixed).then_some(total),
            window: Duration::from_millis(window as u64),
            patience: Duration::from_secs(if quick { 20 } else { 60 }),
        }
    }

    /// How long the measured part of a run should be.
    pub(crate) fn window(&self) -> Duration {
        self.window
    }

    /// How long a child may take before it counts as stuck.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Whether something that takes that long may begin when that much has been spent.
    pub(crate) fn allows(&self, spent: Duration, takes: Duration) -> bool {
        self.total.is_none_or(|total| spent + takes < total)
    }

    /// What is not spent yet.
    pub(crate) fn left(&self, spent: Duration) -> Duration {
        self.total.map_or(Duration::MAX, |total| total.saturating_sub(spent))
    }

    /// What a run takes as far as is known before there was one.
    pub(crate) fn guess_of_a_run(&self) -> Duration {
        START + self.window.mul_f64(WINDOWS_OF_A_RUN)
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "windows of {} ms", self.window.as_millis())?;
        match self.total {
            Some(total) => write!(f, ", at most {:.1} minutes in all", total.as_secs_f64() / 60.0),
            None => write!(f, ", as long as the runs take"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    #[test]
    fn more_systems_have_shorter_windows_within_bounds() {
        let windows = [1, 300, 600, 100_000].map(|systems| Budget::new(false, None, false, systems).window());
        assert_eq!(windows[0], Duration::from_millis(300));
        assert!(windows.is_sorted_by(|a, b| a >= b) && windows[1] > windows[2]);
        assert_eq!(windows[3], Duration::from_millis(40));
        assert_eq!(Budget::new(true, None, false, 0).window(), Duration::from_millis(60));
    }

    #[test]
    fn the_windows_of_all_runs_take_their_part_of_the_time_and_no_more() {
        let systems = 500;
        let budget = Budget::new(false, None, false, systems);
        let all = budget.guess_of_a_run() * (systems * RUNS) as u32;
        assert!(all <= FULL.mul_f64(IN_WINDOWS) && all > FULL.mul_f64(IN_WINDOWS * 0.95), "{all:?}");
    }

    #[test]
    fn nothing_begins_that_would_end_too_late() {
        let budget = Budget::new(false, Some(5.0), false, 10);
        assert!(budget.allows(minutes(2), minutes(2)));
        assert!(!budget.allows(minutes(3), minutes(2)));
        assert!(!budget.allows(minutes(6), Duration::ZERO));
        assert_eq!((budget.left(minutes(3)), budget.left(minutes(6))), (minutes(2), Duration::ZERO));
    }

    #[test]
    fn who_names_the_number_of_runs_gets_them() {
        let budget = Budget::new(true, None, true, 1_000_000);
        assert!(budget.allows(minutes(1_000), minutes(1_000)));
    }
}
