//! CPU time and memory of this process, and what machine this is.
//!
//! Called by the workloads around what they measure, and by `main` for the heading of the report.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

/// The crates whose versions head the report.
const CRATES: [&str; 8] =
    ["twoply", "tokio", "smol", "async-executor", "kanal", "flume", "crossbeam-channel", "async-channel"];

/// The lock file that this program was built from.
const LOCK_FILE: &str = include_str!("../../Cargo.lock");

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

/// Prints the processor, the number of cores, the kernel, and the versions of the crates that are compared.
pub(crate) fn print_machine() {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = rustix::system::uname();
    println!(
        "machine: {model}, {cores} cores, {} {}",
        kernel.sysname().to_string_lossy(),
        kernel.release().to_string_lossy()
    );
    println!("crates:  {}", crate_versions().join(", "));
    println!();
}

/// Name and version of each crate of [`CRATES`], from the lock file.
fn crate_versions() -> Vec<String> {
    let quoted = |line: &str, key: &str| Some(line.strip_prefix(key)?.trim_matches('"').to_owned());
    let mut versions = Vec::new();
    let mut lines = LOCK_FILE.lines();
    while let Some(line) = lines.next() {
        let Some(name) = quoted(line, "name = ") else { continue };
        let version = lines.next().and_then(|line| quoted(line, "version = ")).unwrap_or_default();
        if CRATES.contains(&name.as_str()) {
            versions.push(format!("{name} {version}"));
        }
    }
    versions
}
