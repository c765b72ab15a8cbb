//! A child process that obeys lines on its standard input and answers each with a line of JSON.
//!
//! The HTTP servers are such children, and so are the programs in other languages (`peers.rs`). The end of
//! its input ends a child, so none outlives the run that started it, however that ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::usage;

/// A running child. It is told to end, and awaited, when this is dropped.
pub(crate) struct Child {
    /// Reaped at the end.
    process: process::Child,
    /// Closing it ends the child; taken for that.
    orders: Option<ChildStdin>,
    /// What the child says.
    answers: BufReader<ChildStdout>,
}

/// The first line of a child: it is there.
#[derive(Serialize, Deserialize)]
pub(crate) struct Greeting {
    /// The port that it listens on; 0 if it is no server.
    pub(crate) port: u16,
}

/// What a process has used so far, as it says itself.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Used {
    /// User and system time of all its threads, in nanoseconds.
    pub(crate) cpu_ns: u64,
    /// The most memory that was resident, in KiB.
    pub(crate) peak_rss_kib: u64,
    /// The memory that is resident now, in KiB.
    pub(crate) rss_kib: u64,
}

impl Used {
    /// What this process has used.
    pub(crate) fn here() -> Result<Self> {
        Ok(Self {
            cpu_ns: usage::cpu_time().as_nanos() as u64,
            peak_rss_kib: usage::peak_rss_kib()?,
            rss_kib: usage::rss_kib()?,
        })
    }

    /// CPU time from `before` until this was read.
    pub(crate) fn cpu_since(&self, before: &Self) -> Duration {
        Duration::from_nanos(self.cpu_ns.saturating_sub(before.cpu_ns))
    }
}

impl Child {
    /// Starts a child and waits until it is there. Its standard error is ours.
    pub(crate) fn start(command: &mut Command) -> Result<(Self, Greeting)> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let (Some(orders), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            bail!("a child without the pipes that were asked for");
        };
        let mut child = Self { process, orders: Some(orders), answers: BufReader::new(answers) };
        let greeting = child.answer()?;
        Ok((child, greeting))
    }

    /// Waits for the next line of the child.
    fn answer<T: for<'a> Deserialize<'a>>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("a child said {line:?}"))
    }

    /// Sends one line, and waits for the child's.
    pub(crate) fn ask<T: for<'a> Deserialize<'a>>(&mut self, order: &str) -> Result<T> {
        self.orders
            .as_mut()
            .context("the child was told to end")?
            .write_all(format!("{order}\n").as_bytes())?;
        self.answer()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.orders = None;
        // It ends by itself; if it has failed, it has said so on standard error.
        let _status = self.process.wait();
    }
}

/// The child's side: writes one line of JSON to standard output.
pub(crate) fn say(message: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, message)?;
    writeln!(out)?;
    Ok(out.flush()?)
}
