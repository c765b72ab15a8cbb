//! What one run of one system gives back.
//!
//! Workloads make it, the child process prints it as one line of JSON, and the harness reads it. It holds raw
//! figures only: medians, ties and ratios are the report's.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::usage;

/// What a run gives back. It crosses from the child process to the harness as one line of JSON.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// One value for each measure of the case.
    pub(crate) values: Vec<f64>,
    /// How many operations `cpu_s` paid for.
    pub(crate) ops: usize,
    /// CPU time of the measured part: user and system, all threads, in seconds.
    pub(crate) cpu_s: f64,
    /// The most memory that was resident in the process, from its start on.
    pub(crate) peak_rss_kib: u64,
    /// How long each operation took, if the workload looks at each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latency: Option<Latency>,
}

impl Sample {
    /// A sample of this process.
    pub(crate) fn new(values: Vec<f64>, ops: usize, cpu: Duration) -> Result<Self> {
        let peak_rss_kib = usage::peak_rss_kib()?;
        Ok(Self { values, ops, cpu_s: cpu.as_secs_f64(), peak_rss_kib, latency: None })
    }

    /// The same, with how long each operation took in nanoseconds. The report draws it as a curve.
    pub(crate) fn with_latency(self, nanos: &Histogram<u64>) -> Self {
        Self { latency: Some(Latency::of(nanos)), ..self }
    }
}

/// A histogram on its way from the child: the values that occurred and how often each did, least first.
///
/// The values are the representatives of the histogram's buckets, so one that records them again (with as
/// many significant digits) is the same histogram.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Latency(Vec<(u64, u64)>);

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let recorded = histogram.iter_recorded();
        Self(recorded.map(|step| (step.value_iterated_to(), step.count_at_value())).collect())
    }

    /// Adds what this has counted to a histogram.
    pub(crate) fn add_to(&self, histogram: &mut Histogram<u64>) -> Result<()> {
        for (value, count) in &self.0 {
            histogram.record_n(*value, *count)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_survives_its_way_through_json() -> Result<()> {
        let mut sent = Histogram::<u64>::new(3)?;
        for value in [1, 999, 1_000_000, 1_000_000, 123_456_789] {
            sent.record(value)?;
        }
        let line = serde_json::to_string(&Latency::of(&sent))?;
        let mut received = Histogram::<u64>::new(3)?;
        serde_json::from_str::<Latency>(&line)?.add_to(&mut received)?;
        assert_eq!(received, sent);
        Ok(())
    }
}
