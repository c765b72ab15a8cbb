//! Readiness without an operation, and operations without waiting: for those who write protocols by hand.
//!
//! A socket is asked for its readiness (`poll(2)` without a wait), and then whoever wants to know waits for a
//! report and asks again. So what these say is true at that moment, whoever else uses the socket.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use super::datagram::{self, Received};
use super::endpoint::{Accepted, Datagram, Endpoint, Family, Listener, Stream};
use super::listener::accept_one;
use super::sys::{self, Receive};
use crate::event::reactor::{Direction, IoHandle, IoWaiter, Progress};
use crate::kernel::io::Op;

/// Readiness of all sockets, and any operation on them.
///
/// The `poll_` functions of a socket share one place for a waker in each direction: the last task to poll is
/// woken. The futures have one each.
impl<F: Family, R> Endpoint<F, R> {
    /// Waits until there is something to read, a connection to accept, the end of the stream, or an error.
    /// Cancel-safe. It takes nothing; another task may be faster, so a `try_` function that follows may find
    /// nothing.
    ///
    /// # Errors
    /// When the socket cannot be watched.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use twoply::{Wait, net::UnixStream};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let mut buf = [0; 8];
    /// assert_eq!(ours.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    /// assert_eq!(theirs.try_write(b"hello")?, 5);
    /// ours.readable().wait()?;
    /// assert_eq!(ours.try_read(&mut buf)?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> + Send + Unpin + use<'_, F, R> {
        Op::new(self.source(), Direction::Read, None, |io: &IoHandle| ready(io, Direction::Read))
    }

    /// Waits until there is room to write, or an error. Cancel-safe.
    ///
    /// # Errors
    /// When the socket cannot be watched.
    ///
    /// ```
    /// use twoply::{Wait, net::UnixStream};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// ours.writable().wait()?;
    /// assert_eq!(ours.try_write(b"hello")?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn writable(&self) -> impl Future<Output = io::Result<()>> + Send + Unpin + use<'_, F, R> {
        Op::new(self.source(), Direction::Write, None, |io: &IoHandle| ready(io, Direction::Write))
    }

    /// As [`readable`](Endpoint::readable), as a poll function.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use twoply::{Wait, net::UnixStream};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// theirs.write_all(b"hello").wait()?;
    /// poll_fn(|cx| ours.poll_readable(cx)).wait()?;
    /// assert_eq!(ours.try_read(&mut [0; 8])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_op(Direction::Read, cx, |io| ready(io, Direction::Read))
    }

    /// As [`writable`](Endpoint::writable), as a poll function.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Examples
    /// ```
    /// use std::future::poll_fn;
    /// use twoply::{Wait, net::UnixStream};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// poll_fn(|cx| ours.poll_writable(cx)).wait()?;
    /// assert_eq!(ours.try_write(b"hello")?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_op(Direction::Write, cx, |io| ready(io, Direction::Write))
    }

    /// Performs an operation of your own on the descriptor, which says
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) where it would: it is called again each time that the socket
    /// may be ready in that direction. Cancel-safe if the operation has done nothing where it says so.
    ///
    /// The call must not wait: streams and sockets of datagrams are in blocking mode, so it passes
    /// `MSG_DONTWAIT` or its like.
    ///
    /// # Errors
    /// Those of the operation.
    ///
    /// ```
    /// use rustix::net::{RecvFlags, recv};
    /// use twoply::{Wait, io::Direction, net::UnixStream};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// theirs.write_all(b"hello").wait()?;
    /// let mut buf = [0; 8];
    /// let receive = ours.with_io(Direction::Read, |fd| Ok(recv(fd, &mut buf, RecvFlags::DONTWAIT)?.1));
    /// assert_eq!(receive.wait()?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with_io<'a, T: Unpin, O>(
        &'a self,
        direction: Direction,
        mut operation: O,
    ) -> impl Future<Output = io::Result<T>> + Unpin + use<'a, F, R, T, O>
    where
        O: FnMut(BorrowedFd<'_>) -> io::Result<T> + Unpin,
    {
        Op::new(self.source(), direction, None, move |io: &IoHandle| {
            operation(io.as_fd()).map(Progress::More)
        })
    }

    /// As [`with_io`](Endpoint::with_io), as a poll function.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use rustix::net::{RecvFlags, recv};
    /// use twoply::{Wait, io::Direction, net::UnixStream};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// theirs.write_all(b"hello").wait()?;
    /// let mut buf = [0; 8];
    /// let receive = poll_fn(|cx| {
    ///     ours.poll_with_io(Direction::Read, cx, |fd| Ok(recv(fd, &mut buf, RecvFlags::DONTWAIT)?.1))
    /// });
    /// assert_eq!(receive.wait()?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn poll_with_io<T>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.poll_op(direction, cx, |io| operation(io.as_fd()).map(Progress::More))
    }

    /// Performs an operation of your own on the descriptor once, and again when a signal has interrupted it.
    ///
    /// # Errors
    /// Those of the operation; [`WouldBlock`](io::ErrorKind::WouldBlock) where it would have waited.
    ///
    /// ```
    /// use rustix::net::{RecvFlags, recv};
    /// use twoply::net::UnixStream;
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// theirs.try_write(b"hello")?;
    /// let mut buf = [0; 8];
    /// assert_eq!(ours.try_io(|fd| Ok(recv(fd, &mut buf, RecvFlags::DONTWAIT)?.1))?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_io<T>(&self, mut operation: impl FnMut(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        at_once(|| operation(self.as_fd()))
    }

    /// Polls an operation with the waker that the poll functions share.
    fn poll_op<T>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        op: impl FnMut(&IoHandle) -> io::Result<Progress<T>>,
    ) -> Poll<io::Result<T>> {
        IoWaiter::fixed(self.source(), direction).poll_io(cx, op)
    }
}

/// Streams without waiting. Each of the `try_` functions is one call of the system's, and fails with
/// [`WouldBlock`](io::ErrorKind::WouldBlock) where the operation of that name would wait.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl<F: Family> Endpoint<F, Stream> {
    /// As [`read`](Endpoint::read), at once.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use twoply::net::UnixStream;
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let mut buf = [0; 8];
    /// assert_eq!(ours.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    /// drop(theirs);
    /// assert_eq!(ours.try_read(&mut buf)?, 0, "the end of the stream is an answer");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        at_once(|| sys::recv(self.io(), buf, false))
    }

    /// As [`read_vectored`](Endpoint::read_vectored), at once.
    ///
    /// ```
    /// use std::io::IoSliceMut;
    /// use twoply::net::UnixStream;
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// ours.try_write(b"headbody")?;
    /// let (mut head, mut body) = ([0; 4], [0; 4]);
    /// let mut bufs = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut body)];
    /// assert_eq!(theirs.try_read_vectored(&mut bufs)?, 8);
    /// assert_eq!((&head, &body), (b"head", b"body"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        at_once(|| sys::recv_vectored(self.io(), bufs))
    }

    /// As [`write`](Endpoint::write), at once.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use twoply::net::UnixStream;
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// while ours.try_write(&[0; 4096]).is_ok() {}
    /// let error = ours.try_write(b"one more").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::WouldBlock, "nobody reads, so the buffer is full");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        at_once(|| sys::send(self.io(), buf))
    }

    /// As [`write_vectored`](Endpoint::write_vectored), at once.
    ///
    /// ```
    /// use std::io::{IoSlice, IoSliceMut};
    /// use twoply::net::UnixStream;
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let bufs = [IoSlice::new(b"head"), IoSlice::new(b"body")];
    /// assert_eq!(ours.try_write_vectored(&bufs)?, 8);
    /// let (mut head, mut body) = ([0; 4], [0; 4]);
    /// let mut bufs = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut body)];
    /// assert_eq!(theirs.try_read_vectored(&mut bufs)?, 8);
    /// assert_eq!((&head, &body), (b"head", b"body"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        at_once(|| sys::send_vectored(self.io(), bufs))
    }

    /// As [`peek`](Endpoint::peek), as a poll function. Those for reading and writing are futures-io's.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use twoply::{Wait, net::UnixStream};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// theirs.write_all(b"hello").wait()?;
    /// let mut first = [0];
    /// poll_fn(|cx| ours.poll_peek(cx, &mut first)).wait()?;
    /// assert_eq!((first, ours.read(&mut [0; 8]).wait()?), (*b"h", 5), "peeking takes nothing");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_op(Direction::Read, cx, |io| sys::peek(io, buf).map(Progress::More))
    }
}

/// Accepting as a poll function.
impl<F: Family> Endpoint<F, Listener> {
    /// As [`accept`](Endpoint::accept), as a poll function.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let (_server, peer) = poll_fn(|cx| listener.poll_accept(cx)).wait()?;
    /// assert_eq!(peer, client.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted<F>>> {
        self.poll_op(Direction::Read, cx, accept_one::<F>)
    }
}

/// Datagrams without waiting, as for streams, and as poll functions.
#[allow(clippy::missing_errors_doc, reason = "each has those of the operation of its name")]
impl<F: Family> Endpoint<F, Datagram> {
    /// As [`send`](Endpoint::send), at once.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use twoply::net::UnixDatagram;
    ///
    /// let (ours, theirs) = UnixDatagram::pair()?;
    /// while ours.try_send(b"hello").is_ok() {}
    /// let error = ours.try_send(b"one more").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::WouldBlock, "nobody receives, so the queue is full");
    /// # drop(theirs);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        at_once(|| sys::send_to(self.io(), buf, None))
    }

    /// As [`send_to`](Endpoint::send_to), at once.
    ///
    /// ```
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let (ours, theirs) = (UdpSocket::bind("127.0.0.1:0").wait()?, UdpSocket::bind("127.0.0.1:0").wait()?);
    /// ours.try_send_to(b"hello", theirs.local_addr()?)?;
    /// theirs.readable().wait()?;
    /// let (received, from) = theirs.try_recv_from(&mut [0; 8])?;
    /// assert_eq!((received.len, from), (5, ours.local_addr()?));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_send_to(&self, buf: &[u8], to: impl Into<F::Address>) -> io::Result<usize> {
        let to = to.into().into();
        at_once(|| sys::send_to(self.io(), buf, Some(&to)))
    }

    /// As [`recv`](Endpoint::recv), at once.
    ///
    /// ```
    /// use twoply::{Wait, net::UnixDatagram};
    ///
    /// let (ours, theirs) = UnixDatagram::pair()?;
    /// ours.try_send(b"hello")?;
    /// theirs.readable().wait()?;
    /// assert_eq!(theirs.try_recv(&mut [0; 8])?.len, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<Received> {
        at_once(|| datagram::receive(self.io(), buf, Receive::Take))
    }

    /// As [`recv_from`](Endpoint::recv_from), at once.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let (ours, theirs) = (UdpSocket::bind("127.0.0.1:0").wait()?, UdpSocket::bind("127.0.0.1:0").wait()?);
    /// let error = theirs.try_recv_from(&mut [0; 8]).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::WouldBlock);
    /// ours.send_to(b"hello", theirs.local_addr()?).wait()?;
    /// theirs.readable().wait()?;
    /// assert_eq!(theirs.try_recv_from(&mut [0; 8])?.1, ours.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(Received, F::Address)> {
        at_once(|| datagram::receive_from::<F>(self.io(), buf, Receive::Take))
    }

    /// As [`send`](Endpoint::send), as a poll function.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use twoply::{Wait, net::UnixDatagram};
    ///
    /// let (ours, theirs) = UnixDatagram::pair()?;
    /// assert_eq!(poll_fn(|cx| ours.poll_send(cx, b"hello")).wait()?, 5);
    /// let received = poll_fn(|cx| theirs.poll_recv(cx, &mut [0; 8])).wait()?;
    /// assert_eq!(received.len, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_op(Direction::Write, cx, |io| sys::send_to(io, buf, None).map(Progress::More))
    }

    /// As [`recv`](Endpoint::recv), as a poll function.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use twoply::{Wait, net::UnixDatagram};
    ///
    /// let (ours, theirs) = UnixDatagram::pair()?;
    /// ours.send(b"hello").wait()?;
    /// assert_eq!(poll_fn(|cx| theirs.poll_recv(cx, &mut [0; 8])).wait()?.len, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<Received>> {
        self.poll_op(Direction::Read, cx, |io| datagram::receive(io, buf, Receive::Take).map(Progress::More))
    }

    /// As [`recv_from`](Endpoint::recv_from), as a poll function.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let (ours, theirs) = (UdpSocket::bind("127.0.0.1:0").wait()?, UdpSocket::bind("127.0.0.1:0").wait()?);
    /// ours.send_to(b"hello", theirs.local_addr()?).wait()?;
    /// let (received, from) = poll_fn(|cx| theirs.poll_recv_from(cx, &mut [0; 8])).wait()?;
    /// assert_eq!((received.len, from), (5, ours.local_addr()?));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(Received, F::Address)>> {
        self.poll_op(Direction::Read, cx, |io| {
            datagram::receive_from::<F>(io, buf, Receive::Take).map(Progress::More)
        })
    }
}

/// Says that the socket is ready, or that waiting for it would block.
fn ready(io: &IoHandle, direction: Direction) -> io::Result<Progress<()>> {
    if sys::ready(io, direction)? { Ok(Progress::More(())) } else { Err(io::ErrorKind::WouldBlock.into()) }
}

/// Makes a call again for as long as signals interrupt it.
fn at_once<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
