//! [`Pollable`]: futures of the operations on a descriptor that some other library owns.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::sys;
use crate::event::reactor::{Direction, IoHandle, IoSource, IoWaiter, Progress};
use crate::kernel::io::Op;

/// A descriptor of any kind, owned by a value of any type, whose operations become futures.
///
/// It is for what has a descriptor and operations of its own: event and timer descriptors, inotify, message
/// queues, devices, the sockets of other libraries. [`with_io`](Pollable::with_io) is an operation as a
/// future, which is what most need; [`readable`](Pollable::readable) and [`writable`](Pollable::writable)
/// wait for readiness alone.
///
/// It works on every stack and for any number of tasks at a time, and it may be handed from one runtime to
/// another.
///
/// # What the descriptor must be like
/// Operations must not block: the descriptor is in non-blocking mode, or the calls say so (`MSG_DONTWAIT`).
/// Nobody changes its mode here. Its kind must be one that can be watched: a regular file is always ready,
/// and is refused.
///
/// The open file is watched through a duplicate of the descriptor. So the value may lend its descriptor, and
/// may close it or exchange it whenever it likes: no event reaches a stranger. It costs one descriptor more.
///
/// # A descriptor that is closed meanwhile
/// To close a descriptor is no event, so nobody is woken by it, whether the value does so or somebody closes
/// it by its number. Whoever waits goes on waiting for the open file, which lives on through the duplicate: a
/// peer sees no end before this is dropped. What is polled next is told so by the operation itself, with
/// `EBADF`, or uses what has the number by then, as with any descriptor that is used after it was closed. To
/// end a wait, shut the descriptor down, or drop the future; to exchange the descriptor, make a new
/// `Pollable` of the value that [`into_inner`](Pollable::into_inner) gives back.
///
/// # Cancel-safety
/// A future that is dropped before it is ready has done nothing: an operation either returns its result or
/// has said that it would block.
///
/// # Examples
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use twoply::Wait;
/// use twoply::io::{Direction, Pollable};
///
/// # fn main() -> std::io::Result<()> {
/// let (ours, mut theirs) = UnixStream::pair()?;
/// ours.set_nonblocking(true)?;
/// let ours = Pollable::new(ours)?;
/// let reader = twoply::spawn(async move {
///     let mut buf = [0; 8];
///     let n = ours.with_io(Direction::Read, |mut io| io.read(&mut buf)).await?;
///     Ok::<_, std::io::Error>(buf[..n].to_vec())
/// });
/// theirs.write_all(b"hello")?;
/// assert_eq!(reader.wait().unwrap()?, b"hello");
/// # Ok(())
/// # }
/// ```
pub struct Pollable<T> {
    /// Watches the open file. It is the first field, so that nobody watches any more when `io` is dropped.
    source: Arc<IoSource>,
    /// The owner of the descriptor.
    io: T,
}

impl<T: AsFd> Pollable<T> {
    /// Makes the operations of `io` futures. Nobody watches its descriptor before somebody has to wait.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) when its descriptor is of a kind that is always ready,
    /// such as a regular file; what else the system says, for instance that there is no descriptor for the
    /// duplicate. `io` is dropped then; a borrowed one (`&T`) stays.
    ///
    /// ```
    /// use twoply::io::Pollable;
    ///
    /// let file = std::fs::File::open(std::env::current_exe()?)?;
    /// assert_eq!(Pollable::new(file).unwrap_err().kind(), std::io::ErrorKind::Unsupported);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(io: T) -> io::Result<Pollable<T>> {
        let source = IoSource::watching(io.as_fd())?;
        Ok(Pollable { source, io })
    }
}

impl<T> Pollable<T> {
    /// Returns the owner of the descriptor.
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// Returns the owner of the descriptor, to be changed.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.io
    }

    /// Gives the owner of the descriptor back. Nobody watches it from now on.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use twoply::io::Pollable;
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let ours: UnixStream = Pollable::new(ours)?.into_inner();
    /// # drop(ours);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_inner(self) -> T {
        // The source is dropped here, before its owner can close anything.
        self.io
    }

    /// Waits until there is something to read, the other end is gone, or the descriptor has failed.
    ///
    /// The system is asked at that time, so it is no stale readiness; but whoever else uses the open file may
    /// be quicker, and then [`ReadyGuard::try_io`] says so. It does not wait while there is something left to
    /// read: a loop over it has to read. Cancel-safe.
    ///
    /// # Errors
    /// When the system refuses to watch the descriptor, because it is out of memory or at a limit.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    /// use twoply::{Wait, io::Pollable};
    ///
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// ours.set_nonblocking(true)?;
    /// let ours = Pollable::new(ours)?;
    /// theirs.write_all(b"x")?;
    /// let n = loop {
    ///     let guard = ours.readable().wait()?;
    ///     match guard.try_io(|mut io| io.read(&mut [0; 8])) {
    ///         Ok(result) => break result?,
    ///         Err(_would_block) => continue,
    ///     }
    /// };
    /// assert_eq!(n, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn readable(&self) -> impl Future<Output = io::Result<ReadyGuard<'_, T>>> + Unpin + use<'_, T> {
        self.ready(Direction::Read)
    }

    /// Waits until there is room to write, the other end is gone, or the descriptor has failed; as
    /// [`readable`](Pollable::readable). Cancel-safe.
    ///
    /// # Errors
    /// As `readable`.
    ///
    /// # Examples
    /// ```
    /// use std::io::Write;
    /// use std::os::unix::net::UnixStream;
    /// use twoply::{Wait, io::Pollable};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// ours.set_nonblocking(true)?;
    /// let ours = Pollable::new(ours)?;
    /// let guard = ours.writable().wait()?;
    /// assert_eq!(guard.try_io(|mut io| io.write(b"hello"))??, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn writable(&self) -> impl Future<Output = io::Result<ReadyGuard<'_, T>>> + Unpin + use<'_, T> {
        self.ready(Direction::Write)
    }

    /// Waits until the descriptor is ready in `direction`.
    fn ready(
        &self,
        direction: Direction,
    ) -> impl Future<Output = io::Result<ReadyGuard<'_, T>>> + Unpin + use<'_, T> {
        Op::new(&self.source, direction, None, move |source: &IoHandle| self.look(source, direction))
    }

    fn look(&self, source: &IoHandle, direction: Direction) -> io::Result<Progress<ReadyGuard<'_, T>>> {
        sys::check_ready(source, direction)?;
        Ok(Progress::More(ReadyGuard { pollable: self }))
    }

    /// Performs `op` when it can be performed, and returns its result.
    ///
    /// `op` is called at once, and again after each event in `direction` for as long as it fails with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock); after an interruption it is called again, too. So it also
    /// fits what reports only the moment at which something comes, such as the descriptor of a ZeroMQ socket:
    /// there `op` asks for the events of the socket, and fails with `WouldBlock` when the wanted one is not
    /// among them.
    ///
    /// Where `op` would block it must have used up what made the descriptor ready, or a thread that watches
    /// it would wake at once. Cancel-safe.
    ///
    /// # Errors
    /// Those of `op`; those of [`readable`](Pollable::readable).
    ///
    /// # Examples
    /// ```
    /// use std::io::{Read, Write};
    /// use twoply::{Wait, io::{Direction, Pollable}};
    ///
    /// let (reader, mut writer) = std::io::pipe()?;
    /// rustix::io::ioctl_fionbio(&reader, true)?;
    /// let reader = Pollable::new(reader)?;
    /// let mut buf = [0; 8];
    /// let read = reader.with_io(Direction::Read, |mut io| io.read(&mut buf));
    /// writer.write_all(b"abc")?;
    /// assert_eq!(read.wait()?, 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with_io<'a, R, F>(
        &'a self,
        direction: Direction,
        mut op: F,
    ) -> impl Future<Output = io::Result<R>> + Unpin + use<'a, T, R, F>
    where
        F: FnMut(&T) -> io::Result<R>,
    {
        let Pollable { source, io } = self;
        attempt(source, direction, move || op(io))
    }

    /// As [`with_io`](Pollable::with_io), for an operation that changes the owner of the descriptor.
    /// Cancel-safe.
    ///
    /// # Errors
    /// As `with_io`.
    ///
    /// ```
    /// use std::io::{PipeReader, Read, Write};
    /// use twoply::{Wait, io::{Direction, Pollable}};
    ///
    /// let (reader, mut writer) = std::io::pipe()?;
    /// rustix::io::ioctl_fionbio(&reader, true)?;
    /// let mut reader: Pollable<PipeReader> = Pollable::new(reader)?;
    /// writer.write_all(b"abc")?;
    /// let mut buf = [0; 8];
    /// assert_eq!(reader.with_io_mut(Direction::Read, |io| io.read(&mut buf)).wait()?, 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with_io_mut<'a, R, F>(
        &'a mut self,
        direction: Direction,
        mut op: F,
    ) -> impl Future<Output = io::Result<R>> + Unpin + use<'a, T, R, F>
    where
        F: FnMut(&mut T) -> io::Result<R>,
    {
        let Pollable { source, io } = self;
        attempt(source, direction, move || op(io))
    }

    /// The poll form of [`readable`](Pollable::readable): has the task of `cx` woken when it is worth asking
    /// again. All polls in one direction share room for one waker, that of the last one.
    ///
    /// # Errors
    /// As `readable`.
    ///
    /// # Examples
    /// ```
    /// use std::future::poll_fn;
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    /// use twoply::{Wait, io::Pollable};
    ///
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// ours.set_nonblocking(true)?;
    /// let ours = Pollable::new(ours)?;
    /// theirs.write_all(b"hello")?;
    /// let guard = poll_fn(|cx| ours.poll_readable(cx)).wait()?;
    /// assert_eq!(guard.get_ref().read(&mut [0; 8])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyGuard<'_, T>>> {
        self.poll_ready(Direction::Read, cx)
    }

    /// The poll form of [`writable`](Pollable::writable); as [`poll_readable`](Pollable::poll_readable).
    ///
    /// # Errors
    /// As `writable`.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyGuard<'_, T>>> {
        self.poll_ready(Direction::Write, cx)
    }

    fn poll_ready(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<io::Result<ReadyGuard<'_, T>>> {
        IoWaiter::fixed(&self.source, direction).poll_io(cx, |source| self.look(source, direction))
    }

    /// The poll form of [`with_io`](Pollable::with_io): performs `op`, or has the task of `cx` woken when it
    /// is worth asking again. All polls in one direction share room for one waker, that of the last one.
    ///
    /// # Errors
    /// As `with_io`.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::io::Write;
    /// use std::os::unix::net::UnixStream;
    /// use twoply::{Wait, io::{Direction, Pollable}};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// ours.set_nonblocking(true)?;
    /// let ours = Pollable::new(ours)?;
    /// let write = poll_fn(|cx| ours.poll_with_io(Direction::Write, cx, |mut io| io.write(b"abc")));
    /// assert_eq!(write.wait()?, 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn poll_with_io<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.source.assume_ready(direction);
        IoWaiter::fixed(&self.source, direction).poll_io(cx, |_| op(&self.io).map(Progress::More))
    }
}

/// Returns the future of `op`, which is tried at its first poll whatever is known of the readiness.
fn attempt<R>(
    source: &Arc<IoSource>,
    direction: Direction,
    mut op: impl FnMut() -> io::Result<R>,
) -> impl Future<Output = io::Result<R>> + Unpin {
    let mut op = Op::new(source, direction, None, move |_: &IoHandle| op().map(Progress::More));
    let mut is_first = true;
    poll_fn(move |cx| {
        if std::mem::take(&mut is_first) {
            source.assume_ready(direction);
        }
        Pin::new(&mut op).poll(cx)
    })
}

impl<T: AsFd> AsFd for Pollable<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl<T: fmt::Debug> fmt::Debug for Pollable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pollable").field("io", &self.io).finish_non_exhaustive()
    }
}

/// A descriptor that was ready a moment ago; returned by [`Pollable::readable`] and [`Pollable::writable`].
/// It holds nothing up.
#[must_use = "a descriptor that is ready stays so until somebody reads from it or writes to it"]
pub struct ReadyGuard<'a, T> {
    pollable: &'a Pollable<T>,
}

impl<'a, T> ReadyGuard<'a, T> {
    /// Performs `op`, and returns its result.
    ///
    /// # Errors
    /// [`WouldBlock`] when that is what `op` says: somebody was quicker, or the system has reported too much.
    /// Then wait again.
    pub fn try_io<R>(&self, op: impl FnOnce(&T) -> io::Result<R>) -> Result<io::Result<R>, WouldBlock> {
        match op(&self.pollable.io) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(WouldBlock(())),
            result => Ok(result),
        }
    }

    /// Returns the owner of the descriptor.
    pub fn get_ref(&self) -> &'a T {
        &self.pollable.io
    }
}

impl<T: fmt::Debug> fmt::Debug for ReadyGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyGuard").field("io", &self.pollable.io).finish()
    }
}

/// The error of an operation that was not ready after all; see [`ReadyGuard::try_io`].
///
/// # Examples
/// ```
/// use std::io::Read;
/// use std::os::unix::net::UnixStream;
/// use twoply::{Wait, io::{Pollable, WouldBlock}};
///
/// let (ours, _theirs) = UnixStream::pair()?;
/// ours.set_nonblocking(true)?;
/// let ours = Pollable::new(ours)?;
/// let guard = ours.writable().wait()?;
/// let read = guard.try_io(|mut io| io.read(&mut [0; 8]));
/// assert!(matches!(read, Err(WouldBlock { .. })), "that it can be written says nothing of reading");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the descriptor is not ready after all")]
pub struct WouldBlock(());
