//! Medians, ties and ratios, as a table and as JSON.
//!
//! A ratio says how many times better a system is than the best peer of its case: 2.00x is half the cost or
//! twice the rate, 0.50x the reverse. `=` marks a tie: the runs of the two overlap, so the order of their
//! medians may be chance. Limits (`limit-...`) are not peers.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::harness::{CaseResult, SystemResult};
use crate::workload::{Better, Measure, Sample};

/// What a system is to the report, by the prefix of its name.
#[derive(PartialEq, Eq)]
enum Kind {
    /// `twoply-`: what is compared with the peers.
    Ours,
    /// `limit-`: what the kernel allows with nothing in between.
    Limit,
    /// All else.
    Peer,
}

impl Kind {
    fn of(system: &str) -> Self {
        if system.starts_with("twoply-") {
            Self::Ours
        } else if system.starts_with("limit-") {
            Self::Limit
        } else {
            Self::Peer
        }
    }
}

/// One figure of one system over all its runs.
#[derive(Serialize)]
struct Row<'a> {
    /// The workload, with the name of the figure if it has several.
    workload: String,
    /// The parameters of the case.
    params: String,
    /// Whose figure this is.
    system: &'a str,
    /// The unit of `median`, `min` and `max`.
    unit: &'a str,
    /// Which way is better.
    better: Better,
    /// Over the runs.
    median: f64,
    /// The least of the runs.
    min: f64,
    /// The greatest of the runs.
    max: f64,
    /// How many runs there were.
    runs: usize,
    /// CPU time of one run's measured part. Runs are of equal time, not of equal work: compare
    /// `cpu_ns_per_op`.
    cpu_s: f64,
    /// CPU time of one operation, the median over the runs.
    cpu_ns_per_op: f64,
    /// The most memory that was resident, the median over the runs.
    peak_rss_kib: u64,
}

impl<'a> Row<'a> {
    /// The figure number `index` of the case, unless this system has no sample at all.
    fn new(result: &'a CaseResult, system: &'a SystemResult, index: usize) -> Option<Self> {
        let samples = &system.samples;
        if samples.is_empty() {
            return None;
        }
        let measure = &result.case.measures[index];
        let of = |value: &dyn Fn(&Sample) -> f64| sorted(samples.iter().map(value).collect());
        let values = of(&|sample| sample.values[index]);
        Some(Self {
            workload: workload_name(result, measure),
            params: result.case.params(),
            system: system.system,
            unit: measure.unit,
            better: measure.better,
            median: median(&values),
            min: values[0],
            max: values[values.len() - 1],
            runs: values.len(),
            cpu_s: median(&of(&|sample| sample.cpu_s)),
            cpu_ns_per_op: median(&of(&|sample| sample.cpu_s * 1e9 / sample.ops.max(1) as f64)),
            peak_rss_kib: median(&of(&|sample| sample.peak_rss_kib as f64)) as u64,
        })
    }

    /// How many times better this is than the other one.
    fn ratio(&self, other: &Self) -> f64 {
        match self.better {
            Better::Lower => other.median / self.median,
            Better::Higher => self.median / other.median,
        }
    }

    /// The ratio as it is printed, with the mark of a tie.
    fn against(&self, other: &Self) -> String {
        let tie = self.min <= other.max && other.min <= self.max;
        format!("{:.2}x{}", self.ratio(other), if tie { "=" } else { " " })
    }
}

/// The workload's name, with that of the figure if it has several.
fn workload_name(result: &CaseResult, measure: &Measure) -> String {
    let separator = if measure.name.is_empty() { "" } else { "/" };
    format!("{}{separator}{}", result.case.workload, measure.name)
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The middle of sorted values, or the mean of the two in the middle.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { (sorted[middle - 1] + sorted[middle]) / 2.0 } else { sorted[middle] }
}

/// The rows of each figure of each case.
fn figures(results: &[CaseResult]) -> impl Iterator<Item = Vec<Row<'_>>> {
    results.iter().flat_map(|result| {
        let rows = move |index: usize| {
            result.systems.iter().filter_map(move |system| Row::new(result, system, index)).collect()
        };
        (0..result.case.measures.len()).map(rows)
    })
}

/// Prints a block for each figure of each case: its systems, then each of ours against each peer.
pub(crate) fn print_table(results: &[CaseResult]) {
    println!("Ratios: how many times better than the best peer; `=` is a tie (the runs overlap).");
    println!("cpu/op: user and system time of the process (HTTP: of the server) for one operation.");
    for rows in figures(results) {
        let Some(first) = rows.first() else { continue };
        println!(
            "\n{} {} [{}, {} is better]",
            first.workload,
            first.params,
            first.unit,
            match first.better {
                Better::Lower => "lower",
                Better::Higher => "higher",
            }
        );
        println!(
            "  {:<20} {:>10} {:>10} {:>10} {:>4}  {:>10} {:>12} {:>12}",
            "system", "median", "min", "max", "runs", "best peer", "cpu/op ns", "peak RSS KiB"
        );
        let peers: Vec<_> = rows.iter().filter(|row| Kind::of(row.system) == Kind::Peer).collect();
        let best = peers.iter().copied().max_by(|a, b| a.ratio(b).total_cmp(&1.0));
        for row in &rows {
            println!(
                "  {:<20} {:>10} {:>10} {:>10} {:>4}  {:>10} {:>12} {:>12}",
                row.system,
                number(row.median),
                number(row.min),
                number(row.max),
                row.runs,
                match best {
                    None => "-".to_owned(),
                    Some(best) if best.system == row.system => "best ".to_owned(),
                    Some(best) => row.against(best),
                },
                number(row.cpu_ns_per_op),
                row.peak_rss_kib
            );
        }
        for ours in rows.iter().filter(|row| Kind::of(row.system) == Kind::Ours) {
            let ratios: Vec<_> = peers
                .iter()
                .map(|peer| format!("{} {}", peer.system, ours.against(peer).trim_end()))
                .collect();
            println!("    {} against {}", ours.system, ratios.join(", "));
        }
    }
}

/// A number with as many digits as say something.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Writes one JSON object a line: one for each figure of each system.
pub(crate) fn write_json(results: &[CaseResult], path: &Path) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for row in figures(results).flatten() {
        serde_json::to_writer(&mut file, &row)?;
        writeln!(file)?;
    }
    Ok(file.flush()?)
}

/// Says on standard error which runs failed and why. Answers how many.
pub(crate) fn print_failures(results: &[CaseResult]) -> usize {
    let mut failures = 0;
    for result in results {
        for system in &result.systems {
            if let Some(failure) = &system.failure {
                failures += 1;
                eprintln!("FAILED {} {}: {failure}", result.case.name(), system.system);
            }
        }
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(better: Better, min: f64, median: f64, max: f64) -> Row<'static> {
        Row {
            workload: String::new(),
            params: String::new(),
            system: "",
            unit: "",
            better,
            median,
            min,
            max,
            runs: 3,
            cpu_s: 0.0,
            cpu_ns_per_op: 0.0,
            peak_rss_kib: 0,
        }
    }

    #[test]
    fn half_the_cost_and_twice_the_rate_are_both_twice_as_good() {
        let cost = row(Better::Lower, 9.0, 10.0, 11.0).against(&row(Better::Lower, 19.0, 20.0, 21.0));
        let rate = row(Better::Higher, 19.0, 20.0, 21.0).against(&row(Better::Higher, 9.0, 10.0, 11.0));
        assert_eq!((cost.as_str(), rate.as_str()), ("2.00x ", "2.00x "));
    }

    #[test]
    fn overlapping_runs_are_a_tie() {
        let ours = row(Better::Lower, 9.0, 10.0, 20.0);
        assert!(ours.against(&row(Better::Lower, 20.0, 25.0, 30.0)).ends_with('='));
        assert!(!ours.against(&row(Better::Lower, 20.1, 25.0, 30.0)).ends_with('='));
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&sorted(vec![9.0, 1.0, 4.0])), 4.0);
        assert_eq!(median(&sorted(vec![9.0, 1.0, 4.0, 5.0])), 4.5);
    }

    #[test]
    fn the_prefix_of_a_name_says_what_a_system_is() {
        let kinds = ["twoply-green", "limit-epoll", "tokio-multi"].map(Kind::of);
        assert!(kinds == [Kind::Ours, Kind::Limit, Kind::Peer]);
    }
}
