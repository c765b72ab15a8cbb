//! Operations that need no cursor, each on its own: reads and writes at a position, and syncs.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::File;
use super::cursor::{Way, scatter};
use super::file::Turn;
use super::sys;
use crate::kernel::blocking::{self, Blocking, may_block};
use crate::kernel::coop;
use crate::kernel::files::{self, Done, Memory, Operation};

/// Operations without the cursor.
impl File {
    /// Reads at a position, and leaves the cursor alone. Reads and writes at positions go on side by side.
    /// Cancel-safe: one that is dropped has read nothing.
    ///
    /// # Errors
    /// The system's, with operation and path.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-read-at-{}", std::process::id()));
    /// let file = File::create_new(&path).wait()?;
    /// file.write_at(b"abcdef", 0).wait()?;
    /// let mut buf = [0; 2];
    /// assert_eq!(file.read_at(&mut buf, 3).wait()?, 2);
    /// assert_eq!((&buf, file.position()), (b"de", 0));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_at<'a>(
        &'a self,
        buf: &'a mut [u8],
        at: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        ReadAt::new(self, buf, at)
    }

    /// Writes at a position, and leaves the cursor alone. In a file that is opened for appending, Linux
    /// writes to the end nevertheless.
    ///
    /// One that is dropped may have written some of its bytes, or all, or do so yet.
    ///
    /// # Errors
    /// The system's, with operation and path.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::OpenOptions};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-write-at-{}", std::process::id()));
    /// std::fs::write(&path, "hello")?;
    /// let file = OpenOptions::new().write(true).open(&path).wait()?;
    /// assert_eq!(file.write_at(b"J", 0).wait()?, 1);
    /// assert_eq!((std::fs::read(&path)?, file.position()), (b"Jello".to_vec(), 0));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_at<'a>(
        &'a self,
        buf: &'a [u8],
        at: u64,
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        WriteAt::new(self, buf, at)
    }

    /// Fills `buf` from a position on, and leaves the cursor alone.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the file ends before; else as
    /// [`read_at`](File::read_at).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-read-exact-at-{}", std::process::id()));
    /// std::fs::write(&path, "onetwothree")?;
    /// let file = File::open(&path).wait()?;
    /// let mut second = [0; 3];
    /// file.read_exact_at(&mut second, 3).wait()?;
    /// assert_eq!((&second, file.position()), (b"two", 0));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        let (mut rest, mut at) = (buf, at);
        while !rest.is_empty() {
            match self.read_at(rest, at).await? {
                0 => return Err(self.failed("read", io::ErrorKind::UnexpectedEof.into())),
                n => (rest, at) = (&mut rest[n..], at + n as u64),
            }
        }
        Ok(())
    }

    /// Writes all of `buf` from a position on, and leaves the cursor alone.
    ///
    /// # Errors
    /// As [`write_at`](File::write_at).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-write-all-at-{}", std::process::id()));
    /// let file = File::create_new(&path).wait()?;
    /// file.write_all_at(b"world", 6).wait()?;
    /// file.write_all_at(b"hello ", 0).wait()?;
    /// assert_eq!((std::fs::read(&path)?, file.position()), (b"hello world".to_vec(), 0));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn write_all_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        let (mut rest, mut at) = (buf, at);
        while !rest.is_empty() {
            match self.write_at(rest, at).await? {
                0 => return Err(self.failed("write", io::ErrorKind::WriteZero.into())),
                n => (rest, at) = (&rest[n..], at + n as u64),
            }
        }
        Ok(())
    }

    /// Waits until the device has all that has been written, and what the system knows of the file. A crash
    /// may lose the name of a new file until its directory has been synced, too.
    ///
    /// # Errors
    /// The system's, with operation and path: also of a write that it had accepted before.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::OpenOptions};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-sync-all-{}", std::process::id()));
    /// # std::fs::write(&path, "what was there\n")?;
    /// let journal = OpenOptions::new().append(true).open(&path).wait()?;
    /// journal.write_all(b"transfer 12 to account 34\n").wait()?;
    /// journal.sync_all().wait()?;
    /// // From here on, not even a crash of the machine loses the entry.
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn sync_all(&self) -> io::Result<()> {
        self.sync(false).await
    }

    /// As [`sync_all`](File::sync_all), but for what is needed to read the bytes alone: times may be lost.
    ///
    /// # Errors
    /// As `sync_all`.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::OpenOptions};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-sync-data-{}", std::process::id()));
    /// # std::fs::write(&path, "what was there\n")?;
    /// let journal = OpenOptions::new().append(true).open(&path).wait()?;
    /// journal.write_all(b"an entry\n").wait()?;
    /// journal.sync_data().wait()?;
    /// // A crash may lose the time of the entry, but not the entry.
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn sync_data(&self) -> io::Result<()> {
        self.sync(true).await
    }

    async fn sync(&self, only_data: bool) -> io::Result<()> {
        let mut turn = Turn::new(self, Way::Write);
        poll_fn(|cx| self.shared.poll_idle(&mut turn.key, cx)).await;
        sync(self, only_data).await
    }
}

/// The future of [`File::read_at`].
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
struct ReadAt<'a> {
    file: &'a File,
    buf: &'a mut [u8],
    at: u64,
    /// The background operation, if one was needed.
    running: Option<Blocking<Done>>,
}

impl<'a> ReadAt<'a> {
    fn new(file: &'a File, buf: &'a mut [u8], at: u64) -> ReadAt<'a> {
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
struct WriteAt<'a> {
    file: &'a File,
    buf: &'a [u8],
    at: u64,
    /// The background operation, if one was needed.
    running: Option<Blocking<Done>>,
}

impl<'a> WriteAt<'a> {
    fn new(file: &'a File, buf: &'a [u8], at: u64) -> WriteAt<'a> {
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
            Some(written) => {
                shared.changed();
                written
            }
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
async fn sync(file: &File, only_data: bool) -> io::Result<()> {
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
        let changes = matches!(operation, Operation::Write { .. }).then(|| Arc::clone(&file.shared));
        files::start(&file.shared.file, operation, memory, move |done| {
            // Here, since the future may be gone by now.
            if let Some(shared) = changes {
                shared.changed();
            }
            completion.complete(Ok(done));
        });
        running
    });
    let done = ready!(Pin::new(running).poll(cx));
    Poll::Ready(done.unwrap_or_else(|error| Done { memory: Memory::default(), result: Err(error) }))
}
