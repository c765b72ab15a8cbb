//! Has programs run by Erlang: a module of `tests/erlang/`, compiled into a folder of its own, and run by one
//! `erl` for all programs, since it takes long to start.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, io, process};

use super::{Program, Trace};

/// A folder that is removed when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Folder> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("twoply-erlang-{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = Folder(env::temp_dir().join(name));
        fs::create_dir(&folder.0)?;
        Ok(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // If it cannot be removed, the system's own cleaning of its temporary files does it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether Erlang is installed.
pub fn is_installed() -> bool {
    let there = |tool: &str| {
        env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|in_| in_.join(tool).is_file())
    };
    there("erl") && there("erlc")
}

fn done(command: &mut Command) -> io::Result<Output> {
    let output = command.stdin(Stdio::null()).output()?;
    match output.status.success() {
        true => Ok(output),
        false => Err(io::Error::other(format!(
            "{command:?}: {}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ))),
    }
}

/// Calls `main` of a module with the names of these files, in `folder`.
fn call_main(folder: &Folder, module: &str, files: &[&Path]) -> io::Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("erlang").join(module).with_extension("erl");
    done(Command::new("erlc").arg("-Werror").arg("-o").arg(&folder.0).arg(source))?;
    let names: Vec<_> = files.iter().map(|file| format!("{:?}", file.display().to_string())).collect();
    let start = format!("{module}:main({}), halt(0).", names.join(", "));
    // One scheduler: see the header of the module `differential`.
    done(Command::new("erl").args(["-noinput", "+S", "1:1", "-pa"]).arg(&folder.0).args(["-eval", &start]))?;
    Ok(())
}

/// The lines that `main` of a module writes to the file that it is given.
///
/// # Errors
/// When Erlang cannot be run.
pub fn report(module: &str) -> io::Result<Vec<String>> {
    let folder = Folder::new()?;
    let output = folder.file("report");
    call_main(&folder, module, &[&output])?;
    Ok(fs::read_to_string(&output)?.lines().map(str::to_owned).collect())
}

/// The traces of `programs` when Erlang runs them, in the same order.
///
/// # Errors
/// When Erlang cannot be run, or what it writes is no trace.
pub fn run(programs: &[Program]) -> io::Result<Vec<Trace>> {
    let folder = Folder::new()?;
    let (input, output) = (folder.file("programs"), folder.file("traces"));
    let mut text = String::new();
    for program in programs {
        let _ = writeln!(text, "{program}");
    }
    fs::write(&input, text)?;
    call_main(&folder, "differential", &[&input, &output])?;
    parse(&fs::read_to_string(&output)?, programs.len())
}

fn parse(text: &str, number: usize) -> io::Result<Vec<Trace>> {
    let mut traces = Vec::<Trace>::new();
    for line in text.lines() {
        match traces.last_mut() {
            _ if line.starts_with("program ") => traces.push(Trace::default()),
            Some(trace) => trace.0.push(line.parse().map_err(io::Error::other)?),
            None => return Err(io::Error::other(format!("no program's: {line}"))),
        }
    }
    match traces.len() == number {
        true => Ok(traces),
        false => Err(io::Error::other(format!("{} traces of {number} programs", traces.len()))),
    }
}
