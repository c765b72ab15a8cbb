//! A child that has been started, and the ends of its pipes.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::process::{ExitStatus, Output, Stdio};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::exit::Exit;
use super::output::{Collected, OutputError};
use crate::io::implement::impl_read;
use crate::io::pipe::Pipe;
use crate::io::read_to_end;
use crate::kernel::io::ByteStream;
use crate::signal::SignalKind;
use crate::time::{TimeoutError, timeout_at};

/// A child process; made by [`Command::spawn`](super::Command::spawn).
///
/// Dropping it leaves the process to itself, and no zombie behind: see the [module](crate::process). With
/// [`kill_on_drop`](super::Command::kill_on_drop) the process is killed.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::process::{Command, Stdio};
///
/// # fn main() -> std::io::Result<()> {
/// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
/// let mut stdin = child.stdin.take().expect("it is piped");
/// stdin.write_all(b"hello").wait()?;
/// drop(stdin);
/// let output = child.wait_with_output().wait()?;
/// assert_eq!(output.stdout, b"hello");
/// # Ok(())
/// # }
/// ```
pub struct Child {
    /// The writing end of its standard input, if that is piped.
    pub stdin: Option<ChildStdin>,
    /// The reading end of its standard output, if that is piped.
    pub stdout: Option<ChildStdout>,
    /// The reading end of its standard error, if that is piped.
    pub stderr: Option<ChildStderr>,
    /// `None` only while this is dropped.
    exit: Option<Exit>,
    kill_on_drop: bool,
    limits: Limits,
}

/// The limits of [`Child::wait_with_output`]; [`Child::wait_in_time`] has that of the time.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// The most bytes that it collects.
    pub(super) output: usize,
    /// The time that it waits for at most, and when that is over; `None`: for ever.
    pub(super) time: Option<(Duration, Instant)>,
}

/// The reason why a child is killed before its end.
enum Excess {
    Bytes,
    Time(Duration),
}

impl Child {
    /// Makes it of what std has started. On an error the process is left to itself.
    pub(super) fn new(
        mut child: std::process::Child,
        owns_group: bool,
        kill_on_drop: bool,
        limits: Limits,
    ) -> io::Result<Child> {
        let pipes = (
            child.stdin.take().map(OwnedFd::from),
            child.stdout.take().map(OwnedFd::from),
            child.stderr.take().map(OwnedFd::from),
        );
        let exit = Some(Exit::new(child, owns_group));
        let mut child = Child { stdin: None, stdout: None, stderr: None, exit, kill_on_drop, limits };
        child.stdin = pipes.0.map(Pipe::new).transpose()?.map(|pipe| ChildStdin { pipe: Some(pipe) });
        child.stdout = pipes.1.map(Pipe::new).transpose()?.map(|pipe| ChildStdout { pipe });
        child.stderr = pipes.2.map(Pipe::new).transpose()?.map(|pipe| ChildStderr { pipe });
        Ok(child)
    }

    fn exit(&self) -> &Exit {
        match &self.exit {
            Some(exit) => exit,
            None => unreachable!("it is taken out only by the destructor"),
        }
    }

    /// Returns the number of the process. Once its status has been taken, the system may give the number to
    /// another one.
    ///
    /// # Examples
    /// ```
    /// use twoply::process::Command;
    ///
    /// let mut child = Command::new("sleep").arg("60").spawn()?;
    /// println!("the child has the number {}", child.id());
    /// child.start_kill()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn id(&self) -> u32 {
        self.exit().id()
    }

    /// Waits for the end of the process, and returns its status, however often it is called.
    ///
    /// Its standard input is closed first, if it is piped and still here: a child that reads to the end of it
    /// would never end. What the child writes has to be read meanwhile, or it waits for room:
    /// [`wait_with_output`](Child::wait_with_output) does so. Cancel-safe.
    ///
    /// # Errors
    /// The system's: `ECHILD` when somebody else has taken the status; when the end cannot be watched for
    /// want of descriptors. The next call tries again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, process::Command, time::timeout};
    ///
    /// let mut child = Command::new("sleep").arg("1000").spawn()?;
    /// assert!(timeout(Duration::from_millis(5), child.wait()).wait().is_err());
    /// child.start_kill()?;
    /// assert!(!child.wait().wait()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + Send + use<'_> {
        self.stdin = None;
        self.exit().wait()
    }

    /// Returns the status of the process if it has ended. The standard input stays open.
    ///
    /// # Errors
    /// As [`wait`](Child::wait).
    ///
    /// ```
    /// use twoply::{Wait, process::Command};
    ///
    /// let mut child = Command::new("sleep").arg("1000").spawn()?;
    /// assert_eq!(child.try_wait()?, None);
    /// let status = child.kill().wait()?;
    /// assert_eq!(child.try_wait()?, Some(status));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.exit().try_wait()
    }

    /// Sends the process `SIGKILL`, which ends it at once, and returns without waiting for that. Does nothing
    /// when it has ended.
    ///
    /// # Errors
    /// The system's: a child that runs as another user may not be killed.
    pub fn start_kill(&mut self) -> io::Result<()> {
        self.exit().kill()
    }

    /// Ends the process at once, and waits for that. Cancel-safe: it is killed by the first poll in any case.
    ///
    /// # Errors
    /// As [`start_kill`](Child::start_kill) and [`wait`](Child::wait).
    ///
    /// ```
    /// use std::os::unix::process::ExitStatusExt;
    /// use twoply::{Wait, process::Command};
    ///
    /// let mut child = Command::new("sleep").arg("1000").spawn()?;
    /// assert_eq!(child.kill().wait()?.signal(), Some(9));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn kill(&mut self) -> io::Result<ExitStatus> {
        self.start_kill()?;
        self.wait().await
    }

    /// Sends the process a signal.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when the process has ended, or there is no such signal;
    /// what else the system says.
    ///
    /// ```
    /// use std::os::unix::process::ExitStatusExt;
    /// use twoply::{Wait, process::Command, signal::SignalKind};
    ///
    /// let mut child = Command::new("sleep").arg("1000").spawn()?;
    /// child.signal(SignalKind::TERMINATE)?;
    /// assert_eq!(child.wait().wait()?.signal(), Some(15));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn signal(&mut self, kind: SignalKind) -> io::Result<()> {
        self.exit().signal(kind.as_raw())
    }

    /// Sends a signal to all of the process group that the process leads: to what it has started, too, unless
    /// that has left the group. The process itself may have ended, but its status must not have been taken,
    /// by a wait, [`try_wait`](Child::try_wait) or [`signal`](Child::signal): it keeps the number of the
    /// group from being given to another one.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when the status has been taken, or there is no such
    /// signal; `ESRCH` when the process leads no group, because it was not
    /// [started for that](super::Command::own_group).
    ///
    /// ```
    /// use std::os::unix::process::ExitStatusExt;
    /// use twoply::{Wait, process::Command, signal::SignalKind};
    ///
    /// let mut child = Command::new("sh").args(["-c", "sleep 1000; true"]).own_group(true).spawn()?;
    /// child.signal_group(SignalKind::TERMINATE)?;
    /// assert_eq!(child.wait().wait()?.signal(), Some(15));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn signal_group(&mut self, kind: SignalKind) -> io::Result<()> {
        self.exit().signal_group(kind.as_raw())
    }

    /// Waits for the end of the process, and collects what it writes to its standard output and error as far
    /// as they are piped and still here. The standard input is closed first.
    ///
    /// Both are read at a time, so the child never waits for room. They end when nobody has them open any
    /// more, which may be later than the child if that has started others. A child that writes more than the
    /// [limit](super::Command::output_limit) is killed, and so is one whose [time](super::Command::timeout)
    /// is over.
    ///
    /// Dropping the future drops the child, and what has been read.
    ///
    /// # Errors
    /// [`OutputError`], with what was read.
    ///
    /// ```
    /// use std::process::Stdio;
    /// use twoply::{Wait, process::Command};
    ///
    /// let child = Command::new("seq").arg("3").stdout(Stdio::piped()).spawn()?;
    /// assert_eq!(child.wait_with_output().wait()?.stdout, b"1\n2\n3\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn wait_with_output(mut self) -> Result<Output, OutputError> {
        let limits = self.limits;
        let pipes = (self.stdout.take().map(|out| out.pipe), self.stderr.take().map(|err| err.pipe));
        let mut collected = Collected::new(pipes.0, pipes.1, limits.output);
        let ended = self.end_within(limits, &mut collected).await;
        let (stdout, stderr) = collected.into_bytes();
        match ended {
            Ok((status, None)) => Ok(Output { status, stdout, stderr }),
            Ok((status, Some(Excess::Bytes))) => {
                Err(OutputError::TooLong { limit: limits.output, status, stdout, stderr })
            }
            Ok((status, Some(Excess::Time(limit)))) => {
                Err(OutputError::TimedOut { limit, status, stdout, stderr })
            }
            Err(error) => Err(OutputError::Io { error, stdout, stderr }),
        }
    }

    /// Waits for the end of the process, but no longer than it has time: then it is killed.
    pub(super) async fn wait_in_time(&mut self) -> io::Result<ExitStatus> {
        match self.end_within(self.limits, &mut Collected::new(None, None, 0)).await? {
            (status, None) => Ok(status),
            (_, Some(_)) => Err(TimeoutError.into()),
        }
    }

    /// Collects all output, and waits for the end of the process; one that exceeds a limit is killed.
    async fn end_within(
        &mut self,
        limits: Limits,
        collected: &mut Collected,
    ) -> io::Result<(ExitStatus, Option<Excess>)> {
        self.stdin = None;
        let ending = async {
            match poll_fn(|cx| collected.poll(cx)).await? {
                true => self.wait().await.map(Ok),
                false => Ok(Err(Excess::Bytes)),
            }
        };
        let ended = match limits.time {
            None => ending.await,
            Some((limit, over)) => timeout_at(over, ending).await.unwrap_or(Ok(Err(Excess::Time(limit)))),
        };
        match ended? {
            Ok(status) => Ok((status, None)),
            Err(excess) => Ok((self.kill().await?, Some(excess))),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let Some(exit) = self.exit.take() else { return };
        if self.kill_on_drop {
            // It fails for a child that has become another user, which nobody can help.
            let _ = exit.kill();
        }
        exit.abandon();
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// The writing end of the standard input of a child. Dropping it closes it: the child then reads the end.
///
/// It implements std's `Write`, which blocks the stack, and futures-io's `AsyncWrite`, whose `poll_close`
/// closes it. Writing to a child that does not read any more fails with
/// [`BrokenPipe`](io::ErrorKind::BrokenPipe).
///
/// # Examples
/// ```
/// use twoply::{Wait, process::{Command, Stdio}};
///
/// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
/// let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
/// stdin.write_all(b"hello").wait()?;
/// drop(stdin); // It reads the end of its input.
/// let mut text = Vec::new();
/// stdout.read_to_end(&mut text).wait()?;
/// assert_eq!(text, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ChildStdin {
    /// `None` once it has been closed as an `AsyncWrite`.
    pipe: Option<Pipe>,
}

impl ChildStdin {
    /// Writes as much of `buf` as there is room for, and returns how many bytes that were. Waits until there
    /// is room for some. Cancel-safe.
    ///
    /// # Errors
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) when the child does not read any more.
    pub async fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.pipe()?.write(buf).await
    }

    /// Writes all of `buf`. Not cancel-safe: some of it may have been written when it is dropped, and how
    /// much is lost.
    ///
    /// # Errors
    /// As [`write`](ChildStdin::write).
    pub async fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.pipe()?.write_all(buf).await
    }

    fn pipe(&self) -> io::Result<&Pipe> {
        self.pipe.as_ref().ok_or_else(|| io::Error::new(io::ErrorKind::BrokenPipe, "it has been closed"))
    }
}

impl io::Write for ChildStdin {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.pipe()?.write_blocking(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.pipe()?.write_vectored_blocking(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl futures_io::AsyncWrite for ChildStdin {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.pipe()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pipe()?.poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe = None;
        Poll::Ready(Ok(()))
    }
}

/// Defines a reading end.
macro_rules! reading_end {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// It implements std's `Read`, which blocks the stack, and futures-io's `AsyncRead`. Dropping it
        /// closes it: a child that goes on writing then fails.
        #[derive(Debug)]
        pub struct $name {
            pipe: Pipe,
        }

        impl $name {
            /// Reads what there is into `buf`, and returns how many bytes that were. Waits until there are
            /// some; zero means that nobody has the other end open any more, or that `buf` is empty.
            /// Cancel-safe.
            ///
            /// # Errors
            /// The system's, which is not to be expected.
            pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.pipe.read(buf).await
            }

            /// Reads to the end, appends it to `bytes`, and returns how many bytes that were. What has been
            /// read when it is dropped is in `bytes`.
            ///
            /// # Errors
            /// As for `read`.
            pub async fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
                read_to_end(self, bytes, usize::MAX).await
            }
        }

        impl_read!([] $name, |end| end.pipe);

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.pipe.as_fd()
            }
        }

        impl TryFrom<$name> for Stdio {
            type Error = io::Error;

            /// Makes it the standard input of another child. It fails when the system refuses to change the
            /// mode of the descriptor back.
            fn try_from(end: $name) -> io::Result<Stdio> {
                Ok(end.pipe.into_fd()?.into())
            }
        }
    };
}

reading_end! {
    /// The reading end of the standard output of a child.
    ChildStdout
}

reading_end! {
    /// The reading end of the standard error of a child.
    ChildStderr
}
