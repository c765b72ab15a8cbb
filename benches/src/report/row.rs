//! One figure of one system: a line of the JSON file, and a line of every table.
//!
//! Rows know how two of them compare; which rows belong together is `figure.rs`'s business.

use std::cmp::Ordering;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::harness::{CaseResult, SystemResult};
use crate::machine::About;
use crate::sample::Sample;
use crate::workload::Better;

/// What a system is to the report, by the prefix of its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// `twoply-`: what is compared with the peers.
    Ours,
    /// `limit-`: what the kernel allows with nothing in between.
    Limit,
    /// All else.
    Peer,
}

impl Kind {
    pub(crate) fn of(system: &str) -> Self {
        if system.starts_with("twoply-") {
            Self::Ours
        } else if system.starts_with("limit-") {
            Self::Limit
        } else {
            Self::Peer
        }
    }
}

/// One figure of one system over all its runs. The order of the fields is that of the keys in a file: those
/// up to `peak_rss_kib` are promised to whoever reads it, the later ones may be missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The workload, with `/` and the name of the figure if it has several.
    pub(crate) workload: String,
    /// The parameters of the case: `tasks=1000 workers=1`.
    pub(crate) params: String,
    /// Whose figure this is.
    pub(crate) system: String,
    /// The unit of `median`, `min` and `max`.
    pub(crate) unit: String,
    /// Which way is better.
    pub(crate) better: Better,
    /// Over the runs.
    pub(crate) median: f64,
    /// The least of the runs.
    pub(crate) min: f64,
    /// The greatest of the runs.
    pub(crate) max: f64,
    /// How many runs there were.
    pub(crate) runs: usize,
    /// CPU time of one run's measured part. Runs are of equal time, not of equal work: compare
    /// `cpu_ns_per_op`.
    pub(crate) cpu_s: f64,
    /// The most memory that was resident, the median over the runs.
    pub(crate) peak_rss_kib: u64,
    /// CPU time of one operation, the median over the runs.
    #[serde(default)]
    pub(crate) cpu_ns_per_op: f64,
    /// Whether this is a point of a series only, which is drawn as one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) scaling: bool,
    /// The latencies of all runs together: a percentile, and the time in microseconds within which that part
    /// of the operations was done. The last one is the longest of all. Only with the first figure of a
    /// workload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) percentiles: Vec<(f64, f64)>,
    /// What the figures of the file were measured on. Only in the first line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) about: Option<About>,
}

/// For serde, which passes a reference.
fn is_false(value: &bool) -> bool {
    !*value
}

impl Row {
    /// The figure number `index` of the case, unless this system has no sample at all.
    pub(crate) fn new(result: &CaseResult, system: &SystemResult, index: usize) -> Result<Option<Self>> {
        let samples = &system.samples;
        if samples.is_empty() {
            return Ok(None);
        }
        let measure = &result.case.measures[index];
        let separator = if measure.name.is_empty() { "" } else { "/" };
        let of = |value: &dyn Fn(&Sample) -> f64| sorted(samples.iter().map(value).collect());
        let values = of(&|sample| sample.values[index]);
        Ok(Some(Self {
            workload: format!("{}{separator}{}", result.case.workload, measure.name),
            params: result.case.params(),
            system: system.system.to_owned(),
            unit: measure.unit.to_owned(),
            better: measure.better,
            median: median(&values),
            min: values[0],
            max: values[values.len() - 1],
            runs: values.len(),
            cpu_s: median(&of(&|sample| sample.cpu_s)),
            peak_rss_kib: median(&of(&|sample| sample.peak_rss_kib as f64)) as u64,
            cpu_ns_per_op: median(&of(&|sample| sample.cpu_s * 1e9 / sample.ops.max(1) as f64)),
            scaling: result.scaling,
            percentiles: if index == 0 { percentiles(samples)? } else { Vec::new() },
            about: None,
        }))
    }

    /// The workload without the name of the figure.
    pub(crate) fn family(&self) -> &str {
        self.workload.split_once('/').map_or(&self.workload, |(family, _)| family)
    }

    pub(crate) fn kind(&self) -> Kind {
        Kind::of(&self.system)
    }

    /// How many times better this is than the other one. Two costs of nothing are equal; nothing is
    /// infinitely better than something.
    pub(crate) fn ratio(&self, other: &Self) -> f64 {
        let (above, below) = match self.better {
            Better::Lower => (other.median, self.median),
            Better::Higher => (self.median, other.median),
        };
        if above == below { 1.0 } else { above / below }
    }

    /// The order of the medians in which the better one is less.
    pub(crate) fn best_first(&self, other: &Self) -> Ordering {
        let ascending = self.median.total_cmp(&other.median);
        match self.better {
            Better::Lower => ascending,
            Better::Higher => ascending.reverse(),
        }
    }

    /// What the spread of the runs says about that order.
    pub(crate) fn order(&self, other: &Self) -> Order {
        let best_first = self.best_first(other);
        if self.runs < 2 || other.runs < 2 {
            Order::OneRun(best_first)
        } else if self.min <= other.max && other.min <= self.max {
            Order::Tie
        } else {
            Order::Sure(best_first)
        }
    }

    /// The ratio as it is printed, with the mark of a tie or of a run that was alone.
    pub(crate) fn against(&self, other: &Self) -> String {
        let mark = match self.order(other) {
            Order::Tie => "=",
            Order::OneRun(_) => "?",
            Order::Sure(_) => " ",
        };
        format!("{}{mark}", times(self.ratio(other)))
    }
}

/// The order of two rows of one figure, in which the better one is less.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// The runs of the two do not overlap.
    Sure(Ordering),
    /// The runs overlap, so the order of the medians may be chance.
    Tie,
    /// One of the two has run once only, so nobody knows how much is chance.
    OneRun(Ordering),
}

impl Order {
    /// Whether the first is better, as far as one can say.
    pub(crate) fn is_better(self) -> bool {
        matches!(self, Self::Sure(Ordering::Less) | Self::OneRun(Ordering::Less))
    }
}

/// A ratio as it is printed.
pub(crate) fn times(ratio: f64) -> String {
    match ratio {
        ratio if ratio.is_infinite() => "∞x".to_owned(),
        ratio if ratio >= 100.0 => format!("{ratio:.0}x"),
        ratio => format!("{ratio:.2}x"),
    }
}

/// A number with as many digits as say something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// How many points of the curve there are each time that the rest of the operations halves.
const POINTS_A_HALVING: u32 = 3;

/// The curve of the latencies of all samples together; empty if the workload has none.
fn percentiles(samples: &[Sample]) -> Result<Vec<(f64, f64)>> {
    let mut all = Histogram::<u64>::new(3)?;
    for latency in samples.iter().filter_map(|sample| sample.latency.as_ref()) {
        latency.add_to(&mut all)?;
    }
    let rounded = |value: f64, unit: f64| (value / unit).round() * unit;
    let points = all.iter_quantiles(POINTS_A_HALVING).map(|step| {
        let percent = step.quantile_iterated_to() * 100.0;
        (rounded(percent, 1e-7), rounded(step.value_iterated_to() as f64 / 1e3, 1e-3))
    });
    Ok(points.collect())
}

pub(crate) fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The middle of sorted values, or the mean of the two in the middle.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { (sorted[middle - 1] + sorted[middle]) / 2.0 } else { sorted[middle] }
}
