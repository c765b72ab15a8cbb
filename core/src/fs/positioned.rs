//! Operations that need no cursor, each on its own: reads and writes at a position, and syncs.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::File;
use super::cursor::scatter;
use super::sys;
use crate::kernel::blocking::{self, Blocking, may_block};
use crate::kernel::coop;
use crate::kernel::files::{self, Done, Memory, Operation};

/// The future of [`File::read_at`].
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
pub(super) struct ReadAt<'a> {
    file: &'a File,
    buf: &'a mut [u8],
    at: u64,
    /// The background operation, if one was needed.
    running: Option<Blocking<Done>>,
}

impl<'a> ReadAt<'a> {
    pub(super) fn new(file: &'a File, buf: &'a mut [u8], at: u64) -> ReadAt<'a> {
        ReadAt { file, buf, at, running: None }
    }
}

impl Future for ReadAt<'_> {
    type Output = io::Result<usize>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let ReadAt { file, buf, at, running } = self.get_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let unit = ready!(coop::proceed(cx));
        let (shared, at) = (&file.shared, *at);
        check(at).map_err(|error| file.failed("read", error))?;
        let bufs = &mut [IoSliceMut::new(buf)];
        let read = match running {
            None if may_block(cx) => Some(shared.read(at, bufs)),
            None => sys::read_now(&shared.reads_now, &shared.file, Some(at), bufs),
            Some(_) => None,
        };
        let read = match read {
            Some(read) => read,
            None => {
                let done = ready!(poll_running(running, file, || shared.to_read(Some(at), bufs), cx));
                done.result.map(|_| scatter(&done.memory, bufs))
            }
        };
        unit.spend();
        Poll::Ready(read.map_err(|error| file.failed("read", error)))
    }
}

/// The future of [`File::write_at`].
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
pub(super) struct WriteAt<'a> {
    file: &'a File,
    buf: &'a [u8],
    at: u64,
    /// The background operation, if one was needed.
    running: Option<Blocking<Done>>,
}

impl<'a> WriteAt<'a> {
    pub(super) fn new(file: &'a File, buf: &'a [u8], at: u64) -> WriteAt<'a> {
        WriteAt { file, buf, at, running: None }
    }
}

impl Future for WriteAt<'_> {
    type Output = io::Result<usize>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let WriteAt { file, buf, at, running } = self.get_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let unit = ready!(coop::proceed(cx));
        let (shared, at) = (&file.shared, *at);
        check(at).map_err(|error| file.failed("write", error))?;
        let bufs = &[IoSlice::new(buf)];
        let written = match running {
            None if may_block(cx) => Some(shared.write(at, bufs)),
            None => sys::write_now(&shared.writes_now, &shared.file, Some(at), bufs),
            Some(_) => None,
        };
        let written = match written {
            Some(written) => written,
            None => ready!(poll_running(running, file, || shared.to_write(Some(at), bufs), cx)).result,
        };
        unit.spend();
        Poll::Ready(written.map_err(|error| file.failed("write", error)))
    }
}

/// Refuses a position that no file has, as the system does; but some of its calls, those that need not wait,
/// take the largest number for its own cursor.
fn check(at: u64) -> io::Result<()> {
    i64::try_from(at).map(drop).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Has the system write to the device what it still holds in memory of a file.
pub(super) async fn sync(file: &File, only_data: bool) -> io::Result<()> {
    let mut running = None;
    let synced = poll_fn(|cx| {
        let unit = ready!(coop::proceed(cx));
        let synced = match running.is_none() && may_block(cx) {
            true => files::sync(&file.shared.file, only_data),
            false => {
                let operation = || (Operation::Sync { only_data }, Memory::default());
                ready!(poll_running(&mut running, file, operation, cx)).result.map(drop)
            }
        };
        unit.spend();
        Poll::Ready(synced)
    });
    synced.await.map_err(|error| file.failed("sync", error))
}

/// Begins a background operation, unless one runs, and polls it.
fn poll_running(
    running: &mut Option<Blocking<Done>>,
    file: &File,
    operation: impl FnOnce() -> (Operation, Memory),
    cx: &mut Context<'_>,
) -> Poll<Done> {
    let running = running.get_or_insert_with(|| {
        let (completion, running) = blocking::pair();
        let (operation, memory) = operation();
        files::start(&file.shared.file, operation, memory, move |done| completion.complete(Ok(done)));
        running
    });
    let done = ready!(Pin::new(running).poll(cx));
    Poll::Ready(done.unwrap_or_else(|error| Done { memory: Memory::default(), result: Err(error) }))
}
