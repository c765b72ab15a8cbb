//! What machine this is, which versions are compared, and how the run went.
//!
//! It heads each form of the report. A file that is read back brings its own.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::harness::{Outcome, Plan};
use crate::report::row::Kind;

/// The manifest of this program. Its dependencies after the line about peers are what is compared.
const MANIFEST: &str = include_str!("../Cargo.toml");

/// How that line begins.
const PEERS: &str = "# The peers";

/// The lock file that this program was built from.
const LOCK_FILE: &str = include_str!("../../Cargo.lock");

/// What the figures of a report were measured on, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    /// The processor's model.
    pub(crate) cpu: String,
    /// How many of its cores this program may use.
    pub(crate) cores: usize,
    /// The memory of the machine.
    pub(crate) memory_kib: u64,
    /// The kernel's name and release.
    pub(crate) kernel: String,
    /// Names and versions of our crate and the peers'.
    pub(crate) crates: Vec<String>,
    /// The compiler of this program, and those of the peers in other languages.
    pub(crate) toolchains: Vec<String>,
    /// When it ended, in UTC, to the second.
    pub(crate) date: String,
    /// Whether it was a first look only.
    pub(crate) quick: bool,
    /// How long the measured part of a run with a window was.
    pub(crate) window_ms: u64,
    /// How many runs there were.
    #[serde(default)]
    pub(crate) runs: usize,
    /// How long it all took.
    pub(crate) took_s: u64,
    /// Which runs failed and why.
    pub(crate) failures: Vec<String>,
    /// How many of them are no peer's.
    #[serde(default)]
    pub(crate) our_failures: usize,
    /// The cases that no time was left for, at least not for each system.
    pub(crate) left_out: Vec<String>,
}

impl About {
    /// This machine, and how this run went.
    pub(crate) fn here(plan: &Plan, outcome: &Outcome) -> Self {
        let results = outcome.results.iter();
        let systems = results.flat_map(|result| result.systems.iter().map(move |system| (result, system)));
        let failures = systems.clone().filter_map(|(result, system)| {
            let failure = system.failure.as_ref()?;
            Some(format!("{} {}: {failure}", result.case.name(), system.system))
        });
        let ours = |system: &&str| Kind::of(system) != Kind::Peer;
        let failed = systems.clone().filter(|(_, system)| system.failure.is_some());
        let kernel = rustix::system::uname();
        Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_kib: field("/proc/meminfo", "MemTotal")
                .and_then(|text| text.trim_end_matches(" kB").parse().ok())
                .unwrap_or(0),
            kernel: format!("{} {}", kernel.sysname().to_string_lossy(), kernel.release().to_string_lossy()),
            crates: crate_versions(),
            toolchains: toolchains(&systems.clone().map(|(_, system)| system.system).collect::<Vec<_>>()),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            quick: plan.quick,
            window_ms: plan.budget.window().as_millis() as u64,
            runs: systems.map(|(_, system)| system.samples.len()).sum(),
            took_s: outcome.took.as_secs(),
            failures: failures.collect(),
            our_failures: failed.map(|(_, system)| system.system).filter(ours).count(),
            left_out: outcome.left_out.clone(),
        }
    }

    /// All of it but failures, as names and texts.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let quick = if self.quick { "a first look (--quick)" } else { "a full run" };
        let (minutes, seconds) = (self.took_s / 60, self.took_s % 60);
        vec![
            ("processor", format!("{}, {} cores", self.cpu, self.cores)),
            ("memory", format!("{:.1} GiB", self.memory_kib as f64 / 1024.0 / 1024.0)),
            ("kernel", self.kernel.clone()),
            ("toolchains", self.toolchains.join(", ")),
            ("crates", self.crates.join(", ")),
            ("date", self.date.clone()),
            (
                "run",
                format!(
                    "{quick} of {minutes} min {seconds} s: {} runs with windows of {} ms",
                    self.runs, self.window_ms
                ),
            ),
        ]
    }
}

/// The value of the first line of a file of the kernel's that begins with this name.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim_start_matches([' ', '\t', ':']).trim().to_owned())
}

/// Name and version of our crate and of each peer, from the manifest and the lock file.
fn crate_versions() -> Vec<String> {
    let peers = MANIFEST.lines().skip_while(|line| !line.starts_with(PEERS)).skip(1);
    let peers =
        peers.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once([' ', '.', '=']));
    let names = ["twoply"].into_iter().chain(peers.map(|(name, _)| name));
    names.filter_map(|name| Some(format!("{name} {}", locked_version(name)?))).collect()
}

/// The version of a crate in the lock file.
fn locked_version(name: &str) -> Option<&'static str> {
    let quoted = format!("name = \"{name}\"");
    let mut lines = LOCK_FILE.lines().skip_while(|line| *line != quoted).skip(1);
    Some(lines.next()?.strip_prefix("version = ")?.trim_matches('"'))
}

/// The compilers: ours when this program was built, and those that the systems of this run use.
fn toolchains(systems: &[&str]) -> Vec<String> {
    let mut toolchains =
        vec![format!("{} (optimization level {})", env!("BENCH_RUSTC"), env!("BENCH_OPT_LEVEL"))];
    let release = "io:format(\"Erlang/OTP ~s\", [erlang:system_info(otp_release)]), halt().";
    let others: [(&str, &str, &[&str]); 2] =
        [("go", "go", &["version"]), ("erl", "erl", &["-noshell", "-eval", release])];
    for (prefix, program, args) in others {
        if systems.iter().any(|system| system.split('-').next() == Some(prefix)) {
            let output = Command::new(program).args(args).output();
            let said = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
            toolchains.push(said.ok().filter(|said| !said.is_empty()).unwrap_or_else(|| program.to_owned()));
        }
    }
    toolchains
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_of_ours_and_of_the_peers_are_known() {
        let versions = crate_versions();
        for name in ["twoply", "tokio", "smol", "flume"] {
            let found = versions.iter().find(|version| version.starts_with(&format!("{name} ")));
            let version = found.and_then(|version| version.split(' ').nth(1)).unwrap_or_default();
            assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{name}: {versions:?}");
        }
        assert!(
            !versions.iter().any(|version| version.starts_with("anyhow")),
            "that is no peer: {versions:?}"
        );
    }
}
