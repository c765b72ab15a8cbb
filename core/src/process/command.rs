//! The settings of a child, and its start.

use std::ffi::OsStr;
use std::future::Future;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, ExitStatus, Output, Stdio};
use std::time::Duration;

use super::child::{Child, Limits};
use super::exit;
use super::output::OutputError;
use crate::kernel::sleep;

/// The settings of a child process, as std's [`Command`](std::process::Command) has them; that says more
/// about each.
///
/// # Examples
/// ```
/// use twoply::{Wait, process::Command};
///
/// # fn main() -> std::io::Result<()> {
/// let output = Command::new("echo").arg("hello").output().wait()?;
/// assert_eq!(output.stdout, b"hello\n");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Command {
    std: process::Command,
    /// True for each of the three standard streams that has been set: input, output, error.
    is_set: [bool; 3],
    /// The first of the settings with a NUL byte, which the system cannot represent, in words.
    nul: Option<String>,
    own_group: bool,
    kill_on_drop: bool,
    output_limit: usize,
    timeout: Option<Duration>,
}

impl Command {
    /// Makes the settings of a child that runs `program`, which is looked for on the `PATH` unless it has a
    /// slash.
    ///
    /// ```
    /// use twoply::{Wait, process::Command};
    ///
    /// assert!(Command::new("true").status().wait()?.success());
    /// let error = Command::new("no-such-program").status().wait().unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        let program = program.as_ref();
        let mut command = Command::from(process::Command::new(program));
        command.note_nul("the program", program);
        command
    }

    /// Adds one argument, which no shell looks at.
    ///
    /// ```
    /// use twoply::{Wait, process::Command};
    ///
    /// let output = Command::new("echo").arg("$HOME; it's not read").output().wait()?;
    /// assert_eq!(output.stdout, b"$HOME; it's not read\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        let arg = arg.as_ref();
        self.note_nul("the argument", arg);
        self.std.arg(arg);
        self
    }

    /// Adds several arguments, one after the other.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, process::Command};
    ///
    /// let output = Command::new("printf").args(["%s-%s", "a b", "c"]).output().wait()?;
    /// assert_eq!(output.stdout, b"a b-c");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Command {
        for arg in args {
            self.arg(arg);
        }
        self
    }

    /// Sets the first argument, the name by which the program knows itself.
    ///
    /// ```
    /// use twoply::{Wait, process::Command};
    ///
    /// let output = Command::new("sh").arg0("me").args(["-c", "echo $0"]).output().wait()?;
    /// assert_eq!(output.stdout, b"me\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn arg0(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        let arg = arg.as_ref();
        self.note_nul("the name", arg);
        self.std.arg0(arg);
        self
    }

    /// Sets a variable of its environment.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, process::Command};
    ///
    /// let mut command = Command::new("sh");
    /// let output = command.args(["-c", "echo $GREETING"]).env("GREETING", "hello").output().wait()?;
    /// assert_eq!(output.stdout, b"hello\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.std.env(name, value);
        self
    }

    /// Sets several variables of its environment.
    ///
    /// ```
    /// use twoply::{Wait, process::Command};
    ///
    /// let mut command = Command::new("sh");
    /// let output = command.args(["-c", "echo $A-$B"]).envs([("A", "1"), ("B", "2")]).output().wait()?;
    /// assert_eq!(output.stdout, b"1-2\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn envs(
        &mut self,
        variables: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    ) -> &mut Command {
        self.std.envs(variables);
        self
    }

    /// Leaves a variable of this process out of its environment.
    ///
    /// ```
    /// use twoply::{Wait, process::Command};
    ///
    /// let output = Command::new("sh").args(["-c", "echo ${HOME-none}"]).env_remove("HOME").output().wait()?;
    /// assert_eq!(output.stdout, b"none\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Command {
        self.std.env_remove(name);
        self
    }

    /// Leaves all variables of this process out of its environment.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, process::Command};
    ///
    /// let output = Command::new("/usr/bin/env").env_clear().env("ONLY", "this").output().wait()?;
    /// assert_eq!(output.stdout, b"ONLY=this\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn env_clear(&mut self) -> &mut Command {
        self.std.env_clear();
        self
    }

    /// Sets the folder in which it starts.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, process::Command};
    ///
    /// let output = Command::new("pwd").current_dir("/").output().wait()?;
    /// assert_eq!(output.stdout, b"/\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn current_dir(&mut self, folder: impl AsRef<Path>) -> &mut Command {
        let folder = folder.as_ref();
        self.note_nul("the folder", folder.as_os_str());
        self.std.current_dir(folder);
        self
    }

    /// Sets its standard input. Unless set, it is that of this process, and empty for
    /// [`output`](Command::output).
    ///
    /// ```
    /// use std::process::Stdio;
    /// use twoply::{Wait, process::Command};
    ///
    /// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    /// child.stdin.take().unwrap().write_all(b"hello").wait()?;
    /// assert_eq!(child.wait_with_output().wait()?.stdout, b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Command {
        self.std.stdin(stdin);
        self.is_set[0] = true;
        self
    }

    /// Sets its standard output. Unless set, it is that of this process, and piped for
    /// [`output`](Command::output).
    ///
    /// ```
    /// use std::process::Stdio;
    /// use twoply::{Wait, process::Command};
    ///
    /// assert!(Command::new("echo").arg("unheard").stdout(Stdio::null()).status().wait()?.success());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Command {
        self.std.stdout(stdout);
        self.is_set[1] = true;
        self
    }

    /// Sets its standard error. Unless set, it is that of this process, and piped for
    /// [`output`](Command::output).
    ///
    /// # Examples
    /// ```
    /// use std::process::Stdio;
    /// use twoply::{Wait, process::Command};
    ///
    /// let mut command = Command::new("sh");
    /// let output = command.args(["-c", "echo out; echo err >&2"]).stderr(Stdio::null()).output().wait()?;
    /// assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b""[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Command {
        self.std.stderr(stderr);
        self.is_set[2] = true;
        self
    }

    /// Sets the user that it runs as. Only the administrator of the system may name another one than that of
    /// this process.
    ///
    /// ```
    /// use std::os::unix::fs::MetadataExt;
    /// use twoply::{Wait, process::Command};
    ///
    /// let own = std::fs::metadata("/proc/self")?.uid();
    /// let output = Command::new("id").arg("-u").uid(own).output().wait()?;
    /// assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), own.to_string());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn uid(&mut self, id: u32) -> &mut Command {
        self.std.uid(id);
        self
    }

    /// Sets the group that it runs as, as [`uid`](Command::uid) the user.
    ///
    /// ```
    /// use std::os::unix::fs::MetadataExt;
    /// use twoply::{Wait, process::Command};
    ///
    /// let own = std::fs::metadata("/proc/self")?.gid();
    /// let output = Command::new("id").arg("-g").gid(own).output().wait()?;
    /// assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), own.to_string());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn gid(&mut self, id: u32) -> &mut Command {
        self.std.gid(id);
        self
    }

    /// Puts it into a process group: 0 makes a new one, whose number is that of the child. A signal of the
    /// terminal, such as that of Ctrl-C, goes to the group in the foreground, so not to another one.
    ///
    /// ```
    /// use twoply::{Wait, process::Command};
    ///
    /// let mut child = Command::new("true").process_group(0).spawn()?;
    /// assert!(child.wait().wait()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn process_group(&mut self, group: i32) -> &mut Command {
        self.std.process_group(group);
        self
    }

    /// Has the child lead a process group of its own, and what kills the child kill all of the group: also
    /// what it has started, unless that has left the group. This holds for [`Child::kill`], [`kill_on_drop`],
    /// the [timeout](Command::timeout) and the [limit](Command::output_limit) of the output, until the status
    /// of the child has been taken; see [`Child::signal_group`] for other signals.
    ///
    /// A command that has started a child so cannot be told to start others otherwise.
    ///
    /// [`kill_on_drop`]: Command::kill_on_drop
    ///
    /// ```
    /// use twoply::{Wait, process::{Command, Stdio}};
    ///
    /// let script = "sleep 1000 & echo started; wait";
    /// let mut command = Command::new("sh");
    /// let mut child = command.args(["-c", script]).stdout(Stdio::piped()).own_group(true).spawn()?;
    /// let mut stdout = child.stdout.take().unwrap();
    /// stdout.read(&mut [0]).wait()?;
    /// child.kill().wait()?;
    /// // It ends when nobody has it open any more.
    /// stdout.read_to_end(&mut Vec::new()).wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn own_group(&mut self, own: bool) -> &mut Command {
        self.own_group = own;
        self
    }

    /// Has the child killed when its [`Child`] is dropped before its end.
    ///
    /// ```
    /// use twoply::process::Command;
    ///
    /// let child = Command::new("sleep").arg("1000").kill_on_drop(true).spawn()?;
    /// drop(child);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.kill_on_drop = kill;
        self
    }

    /// Sets how many bytes [`output`](Command::output) and [`wait_with_output`](Child::wait_with_output)
    /// collect at most, of standard output and error together; there is no limit unless this is called. A
    /// child that writes more is killed.
    ///
    /// ```
    /// use twoply::{Wait, process::{Command, OutputError}};
    ///
    /// let error = Command::new("yes").output_limit(1000).output().wait().unwrap_err();
    /// assert!(matches!(error, OutputError::TooLong { stdout, .. } if stdout.len() == 1000));
    /// ```
    pub fn output_limit(&mut self, bytes: usize) -> &mut Command {
        self.output_limit = bytes;
        self
    }

    /// Sets how long [`status`](Command::status), [`output`](Command::output) and
    /// [`wait_with_output`](Child::wait_with_output) wait for a child, counted from its start; for ever
    /// unless this is called. A child that has not ended by then, or whose output has not, is killed, and
    /// what has been read is in the error. [`Child::wait`] knows of no limit.
    ///
    /// Without [`own_group`](Command::own_group) only the child itself is killed, and what it has started may
    /// live on. The limit holds while the future is polled: dropping that of [`status`](Command::status) or
    /// [`output`](Command::output) lets the child go on, unless [`kill_on_drop`](Command::kill_on_drop) is
    /// set.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, process::{Command, OutputError}};
    ///
    /// let second = Duration::from_secs(1);
    /// assert!(Command::new("true").timeout(60 * second).status().wait()?.success());
    /// let error = Command::new("sleep").arg("1000").timeout(second / 100).output().wait().unwrap_err();
    /// assert!(matches!(error, OutputError::TimedOut { stdout, .. } if stdout.is_empty()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn timeout(&mut self, limit: Duration) -> &mut Command {
        self.timeout = Some(limit);
        self
    }

    /// Has `code` called in the child, between its fork and the start of the program.
    ///
    /// # Safety
    /// As for [`CommandExt::pre_exec`]: the code runs in a copy of this process in which other threads have
    /// stopped in the middle of anything. It may call what is async-signal-safe only; it must not allocate,
    /// take a lock, or wait.
    pub unsafe fn pre_exec(
        &mut self,
        code: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> &mut Command {
        // SAFETY: the caller promises what std asks for.
        unsafe { self.std.pre_exec(code) };
        self
    }

    /// Returns the settings that std has.
    ///
    /// ```
    /// use twoply::process::Command;
    ///
    /// let mut command = Command::new("ls");
    /// command.args(["-l", "/"]);
    /// assert_eq!(command.as_std().get_args().count(), 2);
    /// ```
    pub fn as_std(&self) -> &process::Command {
        &self.std
    }

    /// Starts the child, and returns without waiting for it. What it needs for that (a copy of this process's
    /// tables, the look for the program) is done here, on the calling thread.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) when there is no such program or folder;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when the program, an argument, a variable or the folder
    /// has a NUL byte, with the one that has it, but of a variable only the name; what else the system says,
    /// for instance that it is out of processes or descriptors. Then there is no child, and nothing is left
    /// of the attempt.
    ///
    /// ```
    /// use twoply::{Wait, process::Command};
    ///
    /// let mut child = Command::new("sh").args(["-c", "exit 3"]).spawn()?;
    /// assert_eq!(child.wait().wait()?.code(), Some(3));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn(&mut self) -> io::Result<Child> {
        exit::reap();
        self.refuse_nul()?;
        if self.own_group {
            self.std.process_group(0);
        }
        let child = self.std.spawn()?;
        let limits = Limits {
            output: self.output_limit,
            time: self.timeout.and_then(|limit| Some((limit, sleep::after(limit)?))),
        };
        Child::new(child, self.own_group, self.kill_on_drop, limits)
    }

    /// Starts the child now, and waits for its end. If the future is dropped, the child goes on, unless
    /// [`kill_on_drop`](Command::kill_on_drop) is set.
    ///
    /// # Errors
    /// As [`spawn`](Command::spawn) and [`Child::wait`]; [`TimedOut`](io::ErrorKind::TimedOut) when the child
    /// has been killed at the end of its [time](Command::timeout).
    ///
    /// ```
    /// use twoply::{Wait, process::Command};
    ///
    /// assert!(Command::new("true").status().wait()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn status(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + Send + use<> {
        let child = self.spawn();
        async move {
            let mut child = child?;
            // Nobody reads from what is piped.
            drop((child.stdout.take(), child.stderr.take()));
            child.wait_in_time().await
        }
    }

    /// Starts the child now, waits for its end, and collects what it writes. If the future is dropped, the
    /// child goes on, unless [`kill_on_drop`](Command::kill_on_drop) is set, and what has been read is lost.
    ///
    /// # Errors
    /// [`OutputError`], with what was read. It can be turned into an [`io::Error`], as `?` does.
    ///
    /// ```
    /// use twoply::{Wait, process::Command};
    ///
    /// let output = Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]).output().wait()?;
    /// assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    /// assert_eq!(output.status.code(), Some(3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn output(&mut self) -> impl Future<Output = Result<Output, OutputError>> + Send + use<> {
        self.set_unset(Stdio::null, Stdio::piped);
        let child = self.spawn();
        self.set_unset(Stdio::inherit, Stdio::inherit);
        async move {
            let nothing = |error| OutputError::Io { error, stdout: Vec::new(), stderr: Vec::new() };
            child.map_err(nothing)?.wait_with_output().await
        }
    }

    /// Notes that a setting cannot be represented, if that is so. The system's settings keep that it was
    /// so, and not what it was.
    fn note_nul(&mut self, what: &str, value: &OsStr) {
        if value.as_bytes().contains(&0) && self.nul.is_none() {
            self.nul = Some(format!("{what} {value:?}"));
        }
    }

    /// Fails with the setting that has a NUL byte, if one has.
    fn refuse_nul(&self) -> io::Result<()> {
        let has_nul = |text: &OsStr| text.as_bytes().contains(&0);
        // The value of a variable may be a secret, so it is not told.
        let variable = self.std.get_envs().find_map(|(name, value)| {
            let value = value?;
            (has_nul(name) || has_nul(value)).then(|| format!("the variable {name:?}"))
        });
        match self.nul.as_ref().or(variable.as_ref()) {
            Some(what) => {
                let message = format!("{what} has a NUL byte, so the child cannot be started");
                Err(io::Error::new(io::ErrorKind::InvalidInput, message))
            }
            None => Ok(()),
        }
    }

    /// Sets the standard streams that the user has not set.
    fn set_unset(&mut self, input: fn() -> Stdio, outputs: fn() -> Stdio) {
        let [has_stdin, has_stdout, has_stderr] = self.is_set;
        if !has_stdin {
            self.std.stdin(input());
        }
        if !has_stdout {
            self.std.stdout(outputs());
        }
        if !has_stderr {
            self.std.stderr(outputs());
        }
    }
}

impl From<process::Command> for Command {
    /// Takes std's settings over. Those of the three standard streams are not known here:
    /// [`output`](Command::output) replaces them.
    fn from(std: process::Command) -> Command {
        Command {
            std,
            is_set: [false; 3],
            nul: None,
            own_group: false,
            kill_on_drop: false,
            output_limit: usize::MAX,
            timeout: None,
        }
    }
}
