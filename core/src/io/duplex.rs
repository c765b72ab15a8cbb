//! A stream of bytes in memory, between two ends of one program.
//!
//! Each end is a socket that this module provides (the contract of a simulated one) behind an [`IoSource`],
//! so that readiness, waiting, budgets and cancellation are those of sockets and pipes. Here are only the
//! bytes: one [`Flow`] for each direction, each behind a lock of its own, and reports go out after it.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut, Read as _};
use std::net::Shutdown;
use std::sync::Arc;

use super::implement::{impl_read, impl_write};
use super::pipe::Pipe;
use crate::base::sync::{Mutex, lock};
use crate::event::reactor::{Address, Interest, Notify, Socket};
use crate::kernel::io::ByteStream;

/// Makes a stream of bytes in memory, and returns its two ends: what is written to one is read from the
/// other. Each direction holds up to `capacity` bytes, at least one; then writes wait. Memory is taken as
/// bytes come.
///
/// It is to streams what a bounded channel is to messages: for tests of code that speaks a protocol, and for
/// parts of a program that do. The ends may be used from any stack and any backend, and by any number of
/// tasks at a time.
///
/// # Examples
/// ```
/// use twoply::{Wait, io::duplex};
///
/// let (ours, theirs) = duplex(16);
/// let echo = twoply::spawn(async move {
///     let mut buf = [0; 16];
///     let n = theirs.read(&mut buf).await?;
///     theirs.write_all(&buf[..n]).await
/// });
/// ours.write_all(b"hello").wait()?;
/// let mut answer = [0; 5];
/// ours.read_exact(&mut answer).wait()?;
/// assert_eq!(&answer, b"hello");
/// echo.wait().unwrap()?;
/// // The other end is gone: there is nothing more to read, and nobody to write to.
/// assert_eq!(ours.read(&mut answer).wait()?, 0);
/// assert!(ours.write(b"?").wait().is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn duplex(capacity: usize) -> (DuplexStream, DuplexStream) {
    let flow = || Arc::new(Mutex::new(Flow::new(capacity.max(1))));
    let (there, back) = (flow(), flow());
    let end = |reads: &SharedFlow, writes: &SharedFlow| {
        let end = End { reads: Arc::clone(reads), writes: Arc::clone(writes) };
        DuplexStream { pipe: Pipe::simulated(Box::new(end)) }
    };
    (end(&back, &there), end(&there, &back))
}

/// One end of a stream in memory; made by [`duplex`](duplex()).
///
/// It implements std's `Read` and `Write`, which block the stack, and futures-io's `AsyncRead` and
/// `AsyncWrite`, each for `DuplexStream` and `&DuplexStream`; closing it as an `AsyncWrite` closes the
/// direction of writing. Dropping it closes both: the other end reads what is still there, and then the end.
#[derive(Debug)]
pub struct DuplexStream {
    pipe: Pipe,
}

impl DuplexStream {
    /// Reads what there is into `buf`, and returns how many bytes that were. Waits until there are some; zero
    /// means that the other end has closed its side, or that `buf` is empty. Cancel-safe.
    ///
    /// # Errors
    /// None; it has the type of other streams.
    pub fn read<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        self.pipe.read(buf)
    }

    /// Fills `buf`. Not cancel-safe: what had been read when it was dropped is in `buf`, and how much that
    /// was is lost; [`io::read_exact`](super::read_exact()) keeps it.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the other end closes its side before.
    pub async fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        super::read_exact(&mut &*self, buf, &mut 0).await
    }

    /// Writes as much of `bytes` as there is room for, and returns how many that were. Waits until there is
    /// room for some. Cancel-safe.
    ///
    /// # Errors
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) when the other end is gone or does not read any more, or
    /// this side has been closed.
    pub fn write<'a>(
        &'a self,
        bytes: &'a [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        self.pipe.write(bytes)
    }

    /// Writes all of `bytes`. Not cancel-safe: some of them may have been written when it is dropped, and how
    /// many is lost; [`io::write_all`](super::write_all()) keeps that.
    ///
    /// # Errors
    /// As [`write`](DuplexStream::write).
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.pipe.write_all(bytes).await
    }

    /// Closes one direction, or both, for everybody who uses this end. Those who wait are woken: reads find
    /// what is still there and then the end, writes fail.
    ///
    /// ```
    /// use twoply::{Wait, io::duplex, net::Shutdown};
    ///
    /// let (ours, theirs) = duplex(16);
    /// ours.write_all(b"question").wait()?;
    /// ours.shutdown(Shutdown::Write);
    /// theirs.read_exact(&mut [0; 8]).wait()?;
    /// assert_eq!(theirs.read(&mut [0]).wait()?, 0);
    /// theirs.write_all(b"answer").wait()?;
    /// ours.read_exact(&mut [0; 6]).wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self, how: Shutdown) {
        self.pipe.shutdown(how);
    }
}

impl_read!([] DuplexStream, |stream| stream.pipe);
impl_read!([] & DuplexStream, |stream| stream.pipe);
impl_write!([] DuplexStream, |stream| stream.pipe);
impl_write!([] & DuplexStream, |stream| stream.pipe);

type SharedFlow = Arc<Mutex<Flow>>;

/// One direction of a stream in memory.
struct Flow {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// True once nobody writes any more: when `bytes` is empty, that is the end.
    is_ended: bool,
    /// True once nobody reads any more.
    is_refused: bool,
    /// The function that reports to the end that reads.
    reader: Option<Notify>,
    /// The function that reports to the end that writes.
    writer: Option<Notify>,
}

impl Flow {
    fn new(capacity: usize) -> Flow {
        let bytes = VecDeque::new();
        Flow { bytes, capacity, is_ended: false, is_refused: false, reader: None, writer: None }
    }

    /// Returns whether a read would not wait.
    fn can_read(&self) -> bool {
        !self.bytes.is_empty() || self.is_ended || self.is_refused
    }

    /// Returns whether a write would not wait.
    fn can_write(&self) -> bool {
        self.bytes.len() < self.capacity || self.is_ended || self.is_refused
    }

    /// Moves bytes into `bufs`.
    fn read(&mut self, bufs: &mut [IoSliceMut<'_>]) -> usize {
        let before = self.bytes.len();
        for buf in bufs {
            let mut rest = &mut **buf;
            // The bytes lie in two pieces at most, and each read takes one. It cannot fail.
            while let Ok(n @ 1..) = self.bytes.read(rest) {
                rest = &mut rest[n..];
            }
        }
        before - self.bytes.len()
    }

    /// Takes bytes from `bufs`, as many as there is room for.
    fn write(&mut self, bufs: &[IoSlice<'_>]) -> usize {
        let before = self.bytes.len();
        for buf in bufs {
            let room = self.capacity - self.bytes.len();
            self.bytes.extend(&buf[..buf.len().min(room)]);
        }
        self.bytes.len() - before
    }
}

/// Changes a flow, and then reports to those for whom something has become possible.
fn change<R>(flow: &Mutex<Flow>, change: impl FnOnce(&mut Flow) -> R) -> R {
    let mut locked = lock(flow);
    let (could_read, could_write) = (locked.can_read(), locked.can_write());
    let result = change(&mut locked);
    let reader = locked.reader.as_ref().filter(|_| locked.can_read() && !could_read).cloned();
    let writer = locked.writer.as_ref().filter(|_| locked.can_write() && !could_write).cloned();
    drop(locked);
    if let Some(notify) = reader {
        notify(Interest::READ);
    }
    if let Some(notify) = writer {
        notify(Interest::WRITE);
    }
    result
}

/// One end of a stream in memory, as a socket.
struct End {
    reads: SharedFlow,
    writes: SharedFlow,
}

impl Socket for End {
    fn attach(&self, notify: Notify) {
        let old = lock(&self.reads).reader.replace(Arc::clone(&notify));
        drop(old);
        let old = lock(&self.writes).writer.replace(notify);
        drop(old);
    }

    fn receive(&self, bufs: &mut [IoSliceMut<'_>], peek: bool) -> io::Result<usize> {
        if peek {
            // Nobody can ask for that.
            return Err(io::ErrorKind::Unsupported.into());
        }
        change(&self.reads, |flow| match flow.can_read() {
            true => Ok(flow.read(bufs)),
            false => Err(io::ErrorKind::WouldBlock.into()),
        })
    }

    fn send(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        change(&self.writes, |flow| match flow.can_write() {
            _ if flow.is_ended || flow.is_refused => Err(io::ErrorKind::BrokenPipe.into()),
            true => Ok(flow.write(bufs)),
            false => Err(io::ErrorKind::WouldBlock.into()),
        })
    }

    fn ready(&self, interest: Interest) -> Interest {
        let mut ready = Interest::NONE;
        if interest.contains(Interest::READ) && lock(&self.reads).can_read() {
            ready = ready | Interest::READ;
        }
        if interest.contains(Interest::WRITE) && lock(&self.writes).can_write() {
            ready = ready | Interest::WRITE;
        }
        ready
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read {
            change(&self.writes, |flow| flow.is_ended = true);
        }
        if how != Shutdown::Write {
            change(&self.reads, |flow| flow.is_refused = true);
        }
        Ok(())
    }

    // It is a pair from the beginning, without addresses.

    fn bind(&self, _: &Address) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn listen(&self, _: u32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn accept(&self) -> io::Result<(Box<dyn Socket>, Address)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connect(&self, _: &Address) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn local_addr(&self) -> io::Result<Address> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn peer_addr(&self) -> io::Result<Address> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Drop for End {
    fn drop(&mut self) {
        change(&self.writes, |flow| flow.is_ended = true);
        let unread = change(&self.reads, |flow| {
            flow.is_refused = true;
            std::mem::take(&mut flow.bytes)
        });
        drop(unread);
    }
}
