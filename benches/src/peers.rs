//! The peers in other languages: Go (`go...`), Erlang (`erl...`) and C (`c...`), where they are installed.
//!
//! Their sources lie in `benches/peers`. They are compiled once, into a folder beside this program, and again
//! when a source is newer. A run starts them as child processes. Each line that such a child gets is a number
//! of operations to do, and it answers with the result, which is checked here, and with the CPU time and the
//! memory that it has used so far. So the growing numbers, the window and the wall clock are those of all
//! other systems.
//!
//! To add a workload: in Go a function that enters itself in the table of `main.go`, in Erlang a module
//! `bench_...` that exports `run/2`; here one function that calls [`time`]. The one program in C is a node.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::Deserialize;

use crate::child::{Child, Used};
use crate::sample::Latency;
use crate::usage;
use crate::workload::{Context, Sample};

/// Where the sources are.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");

/// A language that this program does not speak itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    /// `go build` makes one program of all sources.
    Go,
    /// `erlc` makes a module of each source, and `erl` runs them.
    Erlang,
    /// `cc` makes one program of all sources, with Erlang's library for nodes in C.
    C,
}

/// Where Erlang's library for nodes in C is, if it is: Debian's `erlang-dev`.
const EI: &str = "/usr/lib/erlang/usr";

/// What a child says when it has done what it was told.
#[derive(Deserialize)]
pub(crate) struct Done {
    /// The sum, or count, by which the work is checked.
    pub(crate) result: u64,
    /// What it has used up to now, the work of earlier lines too.
    #[serde(flatten)]
    pub(crate) used: Used,
    /// How long each operation took, of a workload that looks at each.
    #[serde(default)]
    pub(crate) latency: Option<Latency>,
}

impl Language {
    /// The language of the system of this name, unless it is ours.
    fn of(system: &str) -> Option<Self> {
        match system.split('-').next() {
            Some("go") => Some(Self::Go),
            Some("erl") => Some(Self::Erlang),
            Some("c") => Some(Self::C),
            _ => None,
        }
    }

    /// The folder of its sources and of what is built of them, and what the name of a source ends with.
    fn folder(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Erlang => "erl",
            Self::C => "c",
        }
    }

    /// The programs that compile it and run it.
    fn tools(self) -> &'static [&'static str] {
        match self {
            Self::Go => &["go"],
            Self::Erlang => &["erlc", "erl"],
            Self::C => &["cc", "erl"],
        }
    }

    /// Its sources, and when the last of them was changed.
    fn sources(self) -> Result<(Vec<PathBuf>, SystemTime)> {
        let folder = Path::new(SOURCES).join(self.folder());
        let entries = fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == self.folder()));
        let mut last = SystemTime::UNIX_EPOCH;
        for path in &paths {
            last = last.max(fs::metadata(path)?.modified()?);
        }
        Ok((paths, last))
    }

    /// Compiles the sources, unless that has been done since they were changed. Answers where the result is.
    fn build(self) -> Result<PathBuf> {
        let program = std::env::current_exe().context("finding this program")?;
        let folder = program.with_file_name("bench-peers").join(self.folder());
        let stamp = folder.join("built");
        let (sources, changed) = self.sources()?;
        if fs::metadata(&stamp).and_then(|stamp| stamp.modified()).is_ok_and(|built| built > changed) {
            return Ok(folder);
        }
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let compiler = self.tools()[0];
        let mut command = Command::new(compiler);
        match self {
            // No other version of the compiler is fetched, and no module is looked for.
            Self::Go => command.args(["build", "-o"]).arg(folder.join("peer")).env("GOTOOLCHAIN", "local"),
            Self::Erlang => command.arg("-o").arg(&folder),
            Self::C => command.args(["-O2", "-o"]).arg(folder.join("peer")).arg(format!("-I{EI}/include")),
        };
        command.args(sources);
        if self == Self::C {
            command.args([&format!("-L{EI}/lib"), "-lei", "-lpthread"]);
        }
        let output = command.output().with_context(|| format!("starting {compiler}"))?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!("{compiler} failed: {}", String::from_utf8_lossy(&said).trim());
        }
        fs::write(&stamp, "")?;
        Ok(folder)
    }
}

/// Whether a system can run here: those in other languages only where their compilers are.
pub(crate) fn installed(system: &str) -> bool {
    let Some(language) = Language::of(system) else { return true };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |tool: &&str| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    language.tools().iter().all(found)
        && (language != Language::C || Path::new(EI).join("include/ei.h").is_file())
}

/// The command that runs a workload, or a server, of a system in another language.
pub(crate) fn command(system: &str, workload: &str, workers: usize, args: &[usize]) -> Result<Command> {
    let language = Language::of(system).context("a system that is not in another language")?;
    let folder = language.build()?;
    let workers = workers.to_string();
    let mut command;
    match language {
        Language::Go => {
            command = Command::new(folder.join("peer"));
            command.env("GOMAXPROCS", workers);
        }
        Language::C => command = Command::new(folder.join("peer")),
        Language::Erlang => {
            command = Command::new("erl");
            // As many schedulers as workers; room for more processes and sockets than any workload has.
            command.arg("+S").arg(format!("{workers}:{workers}")).args(["+P", "2000000", "+Q", "65536"]);
            command.args(["-noshell", "-boot", "no_dot_erlang", "-pa"]).arg(folder);
            command.args(["-s", "bench", "main", "-extra"]);
            // A crash says why on standard error; nobody would read the dump.
            command.env("ERL_CRASH_DUMP_SECONDS", "0");
        }
    }
    command.arg(workload).args(args.iter().map(|arg| OsString::from(arg.to_string())));
    Ok(command)
}

/// Measures a workload as [`Context::time`] does, in a child process. `expected` is the result for a number
/// of operations.
pub(crate) fn time(
    ctx: &Context,
    workload: &str,
    step: usize,
    args: &[usize],
    expected: impl Fn(usize) -> usize,
) -> Result<Sample> {
    let (mut child, _) = Child::start(&mut command(ctx.system, workload, ctx.workers(), args)?)?;
    time_child(ctx, &mut child, step, expected, |child, ops| child.ask(&ops.to_string()))
}

/// As [`time`], of a child that serves what this process does: `connect` makes the code that does it, from
/// the port that the child listens on. The CPU time contains that of this process.
pub(crate) fn time_served<W: FnMut(usize) -> Result<()> + Send>(
    ctx: &Context,
    workload: &str,
    step: usize,
    args: &[usize],
    connect: impl FnOnce(u16) -> Result<W>,
) -> Result<Sample> {
    let (mut child, greeting) = Child::start(&mut command(ctx.system, workload, ctx.workers(), args)?)?;
    let mut work = connect(greeting.port)?;
    let mut own = Duration::ZERO;
    let mut sample = time_child(
        ctx,
        &mut child,
        step,
        |ops| ops,
        |child, ops| {
            let before = usage::cpu_time();
            let done = std::thread::scope(|scope| {
                let working = scope.spawn(|| work(ops));
                let done = child.ask(&ops.to_string());
                working.join().map_err(|_| anyhow!("the sender panicked"))??;
                done
            });
            own = usage::cpu_time().saturating_sub(before);
            done
        },
    )?;
    sample.cpu_s += own.as_secs_f64();
    Ok(sample)
}

/// Measures what `ask` has a child do, with the CPU time of the child.
fn time_child(
    ctx: &Context,
    child: &mut Child,
    step: usize,
    expected: impl Fn(usize) -> usize,
    mut ask: impl FnMut(&mut Child, usize) -> Result<Done>,
) -> Result<Sample> {
    let (mut before, mut last) = (Used::default(), Used::default());
    let mut sample = ctx.time(step, |ops| {
        let done = ask(child, ops)?;
        let wanted = expected(ops) as u64;
        ensure!(done.result == wanted, "{ops} operations gave {}, not {wanted}", done.result);
        before = std::mem::replace(&mut last, done.used);
        Ok(())
    })?;
    // The last call of all was the measured one.
    sample.cpu_s = last.cpu_since(&before).as_secs_f64();
    sample.peak_rss_kib = last.peak_rss_kib;
    Ok(sample)
}
