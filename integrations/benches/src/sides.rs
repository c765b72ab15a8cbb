//! The contestants, and the processes that they run in.

use std::future::Future;
use std::io::{BufRead, BufReader, Write};
use std::pin::Pin;
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use twoply::{Backend, Runtime, Wait, green_backend::FiberPromise};

use crate::measure::Figures;

/// The number of workers of each contestant.
const WORKERS: usize = 2;

/// A contestant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// tokio's runtime of several threads.
    Tokio,
    /// Green tasks.
    Green,
    /// Green tasks, of which those that block are fibers.
    Fibers,
}

impl Side {
    /// Runs `main` on a runtime of this side, to its end.
    pub(crate) fn run<F>(self, main: F) -> Result<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let backend = match self {
            Side::Tokio => {
                let mut builder = tokio::runtime::Builder::new_multi_thread();
                return Ok(builder.worker_threads(WORKERS).enable_all().build()?.block_on(main));
            }
            Side::Green => Backend::Green,
            Side::Fibers => Backend::Fibers,
        };
        // SAFETY: no task here waits while a library that it calls counts on the order of its stack.
        #[allow(unsafe_code, reason = "the promise that fibers ask for")]
        let promise = unsafe { FiberPromise::new() };
        // The time limits of some clients are timers of tokio's.
        let builder = Runtime::builder().backend(backend).workers(WORKERS).fibers(promise).tokio();
        let runtime = builder.build()?;
        Ok(runtime.spawn(main).wait()?)
    }

    /// Starts a task on the runtime of this side, inside which the caller is, and returns what waits for it.
    pub(crate) fn spawn<T: Send + 'static>(
        self,
        task: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = Result<T>> + Send>> {
        match self {
            Side::Tokio => {
                let task = tokio::spawn(task);
                Box::pin(async { task.await? })
            }
            Side::Green | Side::Fibers => {
                let task = twoply::spawn(task);
                Box::pin(async { task.await? })
            }
        }
    }
}

/// A process with a contestant in it.
pub(crate) struct Child {
    process: process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The port of a server.
    pub(crate) port: u16,
}

impl Child {
    /// Starts a server of this kind.
    pub(crate) fn server(kind: &str, side: Side) -> Result<Child> {
        let mut child = Child::start(kind, side, &[])?;
        child.port = child.line()?.trim().parse()?;
        Ok(child)
    }

    /// Has a client ask the database that listens on `port`, with so many questions at a time.
    pub(crate) fn ask(kind: &str, side: Side, port: u16, flight: usize, millis: u64) -> Result<Figures> {
        let numbers = [("--port", u64::from(port)), ("--flight", flight as u64), ("--millis", millis)];
        Child::start(kind, side, &numbers)?.line()?.parse()
    }

    fn start(kind: &str, side: Side, numbers: &[(&str, u64)]) -> Result<Child> {
        let side = side.to_possible_value().context("each side has a name")?;
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--be", kind, "--side", side.get_name()])
            .args(numbers.iter().flat_map(|(name, number)| [(*name).to_owned(), number.to_string()]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take().context("it is a pipe")?;
        let output = BufReader::new(process.stdout.take().context("it is a pipe")?);
        Ok(Child { process, input, output, port: 0 })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line)
    }

    /// Returns the CPU time of a server so far.
    pub(crate) fn cpu(&mut self) -> Result<Duration> {
        writeln!(self.input, "cpu")?;
        Ok(Duration::from_nanos(self.line()?.trim().parse()?))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
