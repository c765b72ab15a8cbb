//! What a turn of a contestant has come to.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

/// Returns the CPU time of this process so far, of all its threads.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The figures of one turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Microseconds of CPU time of what is measured, a request.
    pub(crate) cpu: f64,
    /// Microseconds from a request to its answer, of half of all requests.
    pub(crate) p50: f64,
    /// The same of 99 in 100.
    pub(crate) p99: f64,
}

impl Figures {
    /// Returns the figures of requests that took so long each, over `elapsed`.
    pub(crate) fn of(mut times: Vec<Duration>, elapsed: Duration, cpu: Duration) -> Figures {
        times.sort_unstable();
        let micros = |time: Duration| time.as_nanos() as f64 / 1_000.0;
        let at = |part: f64| {
            let index = (times.len() as f64 * part) as usize;
            times.get(index.min(times.len().saturating_sub(1))).copied().map_or(0.0, micros)
        };
        let count = times.len().max(1) as f64;
        Figures {
            rate: times.len() as f64 / elapsed.as_secs_f64(),
            cpu: micros(cpu) / count,
            p50: at(0.5),
            p99: at(0.99),
        }
    }

    /// Divides each figure by that of `base`.
    fn over(&self, base: &Figures) -> Figures {
        Figures {
            rate: self.rate / base.rate,
            cpu: self.cpu / base.cpu,
            p50: self.p50 / base.p50,
            p99: self.p99 / base.p99,
        }
    }
}

/// Returns the medians of `runs` as text, with those of the factors beside `base`, round by round: what else
/// the machine does changes both alike.
pub(crate) fn compare(runs: &[Figures], base: &[Figures]) -> String {
    let factors: Vec<Figures> = runs.iter().zip(base).map(|(run, base)| run.over(base)).collect();
    let (own, factor) = (median(runs), median(&factors));
    format!(
        "{:>9.0}/s ({:4.2}x)   {:>6.2} us CPU ({:4.2}x)   p50 {:>7.1} us ({:4.2}x)   p99 {:>8.1} us ({:4.2}x)",
        own.rate, factor.rate, own.cpu, factor.cpu, own.p50, factor.p50, own.p99, factor.p99,
    )
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.rate, self.cpu, self.p50, self.p99)
    }
}

impl FromStr for Figures {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Figures> {
        let mut numbers = text.split_whitespace().map(str::parse);
        let mut next = || Ok::<f64, anyhow::Error>(numbers.next().context("a number is missing")??);
        Ok(Figures { rate: next()?, cpu: next()?, p50: next()?, p99: next()? })
    }
}

/// Returns the median of each figure.
fn median(runs: &[Figures]) -> Figures {
    let of = |figure: fn(&Figures) -> f64| {
        let mut all: Vec<f64> = runs.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Figures { rate: of(|f| f.rate), cpu: of(|f| f.cpu), p50: of(|f| f.p50), p99: of(|f| f.p99) }
}

/// Times what is done again and again until a moment.
pub(crate) struct Laps {
    end: Instant,
    /// When the lap that is under way has begun, if one has.
    begun: Option<Instant>,
    times: Vec<Duration>,
}

impl Laps {
    /// Makes one that goes on until `end`.
    pub(crate) fn until(end: Instant) -> Laps {
        Laps { end, begun: None, times: Vec::new() }
    }

    /// Ends the lap that is under way, and begins another one. Returns false where there is none any more.
    pub(crate) fn next(&mut self) -> bool {
        let now = Instant::now();
        self.times.extend(self.begun.map(|begun| now - begun));
        self.begun = Some(now);
        now < self.end
    }

    /// Returns how long each lap has taken.
    pub(crate) fn times(self) -> Vec<Duration> {
        self.times
    }
}
