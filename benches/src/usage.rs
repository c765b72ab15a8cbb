//! CPU time and memory of this process.
//!
//! Called by the workloads around what they measure.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

/// CPU time of this process so far: user and system, all threads, those that have ended too.
///
/// This is what `getrusage` counts, in nanoseconds rather than in scheduler ticks.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The most memory that was ever resident in this process, in KiB.
///
/// Not `getrusage`'s `ru_maxrss`: that one survives `execve`, so a child starts with its parent's peak.
pub(crate) fn peak_rss_kib() -> Result<u64> {
    status_field("VmHWM")
}

/// The memory that is resident in this process now, in KiB.
pub(crate) fn rss_kib() -> Result<u64> {
    status_field("VmRSS")
}

/// A field of `/proc/self/status`, in the KiB that the kernel writes.
fn status_field(name: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix(name)).context("a field of /proc/self/status")?;
    let digits = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    digits.parse().with_context(|| format!("{name} in /proc/self/status"))
}
