//! Copying between two sockets, one way or both, without a copy: `splice(2)` moves the bytes from one socket
//! to the other through a pipe, inside of the kernel.
//!
//! ```text
//! from ──splice──▶ pipe ──splice──▶ to        a pipe is held only while there is something in it
//!   ▲                │
//!   wait to read     └── wait to write
//! ```
//!
//! So a copy that has nothing to do holds neither descriptors nor memory: pipes come from a small stock, and
//! go back to it when they are empty. Where there is none to be had, or a splice is refused, the bytes go
//! through a buffer, for which the same holds.
//!
//! The kernel goes by the mode of a socket in a splice, and ours are in blocking mode. So both are put into
//! non-blocking mode for the time of the copy; the other operations do not mind (see `Socket::blocking`).

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use super::endpoint::{Endpoint, Family, Stream};
use super::socket::Socket;
use super::sys;
use crate::base::fork::PerProcess;
use crate::base::sync::lock_std;
use crate::event::reactor::{Direction, IoHandle, Progress};
use crate::io::{BothEnds, Copied, CopyBidirectionalError, CopyEnd, CopyError, CopySide, Way};
use crate::kernel::io::{ByteStream, Op};

/// Reads from `from` to its end, writes all of that to `to`, and returns how many bytes that were. Nothing is
/// closed. On Linux the bytes stay in the kernel.
///
/// While it runs, both sockets are in non-blocking mode, which matters to nobody but those who share the open
/// file with another process. In a process that lets `SIGPIPE` kill it, which a program in Rust does not, the
/// bytes are copied.
///
/// Not cancel-safe: what had been read and not been written is lost if it is dropped.
///
/// # Errors
/// [`CopyError`], with the bytes that had been read and not been written.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::{self, Shutdown, UnixStream}};
///
/// let ((client, near), (far, server)) = (UnixStream::pair()?, UnixStream::pair()?);
/// client.write_all(b"hello").wait()?;
/// client.shutdown(Shutdown::Write)?;
/// assert_eq!(net::copy(&near, &far).wait()?, 5);
/// server.read_exact(&mut [0; 5]).wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn copy<F: Family, G: Family>(
    from: &Endpoint<F, Stream>,
    to: &Endpoint<G, Stream>,
) -> Result<u64, CopyError> {
    let mode = Mode::of(from.socket(), to.socket());
    let mut flow = Flow::new(from.socket(), to.socket(), &mode, false);
    let ended = flow.run().await;
    let copied = flow.into_copied();
    match ended {
        Ok(()) => Ok(copied.written),
        Err((side, error)) => Err(CopyError { error, side, copied }),
    }
}

/// Copies between two connections in both directions, until both have ended, and returns how many bytes went
/// from the first to the second, and back. On Linux the bytes stay in the kernel; see [`copy`](copy()), also
/// for what holds while it runs.
///
/// When one of them ends, the other is shut down for writing, and the copy goes on in the other direction. A
/// proxy whose connections are silent holds nothing but the two sockets.
///
/// Not cancel-safe: what had been read and not been written is lost if it is dropped.
///
/// # Errors
/// As for [`io::copy_bidirectional`](crate::io::copy_bidirectional()).
///
/// # Examples
/// ```
/// use twoply::{Wait, net::{self, Shutdown, TcpListener, TcpStream, UnixStream}};
///
/// // A proxy from TCP to a Unix socket.
/// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
/// let (far, server) = UnixStream::pair()?;
/// let client = TcpStream::connect(listener.local_addr()?).wait()?;
/// let (near, _) = listener.accept().wait()?;
/// let proxy = twoply::spawn(async move { net::copy_bidirectional(&near, &far).await });
/// client.write_all(b"question").wait()?;
/// client.shutdown(Shutdown::Write)?;
/// server.read_exact(&mut [0; 8]).wait()?;
/// server.write_all(b"answer").wait()?;
/// drop(server);
/// client.read_exact(&mut [0; 6]).wait()?;
/// assert_eq!(proxy.wait().unwrap()?, (8, 6));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn copy_bidirectional<F: Family, G: Family>(
    first: &Endpoint<F, Stream>,
    second: &Endpoint<G, Stream>,
) -> Result<(u64, u64), CopyBidirectionalError> {
    let (first, second) = (first.socket(), second.socket());
    let mode = Mode::of(first, second);
    let mut there = Flow::new(first, second, &mode, true);
    let mut back = Flow::new(second, first, &mode, true);
    let mut ends = BothEnds::default();
    {
        let (mut going, mut coming) = (pin!(there.run()), pin!(back.run()));
        poll_fn(|cx| {
            ends.poll(cx, |way, cx| match way {
                Way::There => going.as_mut().poll(cx),
                Way::Back => coming.as_mut().poll(cx),
            })
        })
        .await;
    }
    ends.into_result(there.into_copied(), back.into_copied())
}

/// One direction of a copy.
struct Flow<'a> {
    from: &'a Socket,
    to: &'a Socket,
    mode: &'a Mode<'a>,
    /// True if the writer is shut down at the end.
    closes: bool,
    written: u64,
    /// The bytes that have been read and not been written.
    load: Option<Load>,
}

/// Bytes on their way.
enum Load {
    /// This number of bytes is in a pipe.
    Pipe(Pipe, usize),
    /// The bytes are here, from this index on.
    Bytes(Vec<u8>, usize),
}

/// The outcome of an attempt to splice from a socket.
enum Spliced {
    /// Bytes in a pipe.
    Some(Pipe, usize),
    /// The stream has ended.
    End,
    /// There is no pipe, or the kernel does not splice from this socket.
    Refused,
}

impl<'a> Flow<'a> {
    fn new(from: &'a Socket, to: &'a Socket, mode: &'a Mode<'a>, closes: bool) -> Flow<'a> {
        Flow { from, to, mode, closes, written: 0, load: None }
    }

    async fn run(&mut self) -> CopyEnd {
        while self.read().await.map_err(|error| (CopySide::Reader, error))? {
            self.write().await.map_err(|error| (CopySide::Writer, error))?;
        }
        match self.closes {
            true => self.to.close_write().map_err(|error| (CopySide::Writer, error)),
            false => Ok(()),
        }
    }

    /// Waits for something to read, and loads it. Returns false at the end.
    async fn read(&mut self) -> io::Result<bool> {
        if self.mode.is_nonblocking() {
            let splice = |io: &IoHandle| Ok(Progress::More(splice_from(io)?));
            match Op::new(self.from.source(), Direction::Read, None, splice).await? {
                Spliced::Some(pipe, len) => {
                    self.load = Some(Load::Pipe(pipe, len));
                    return Ok(true);
                }
                Spliced::End => return Ok(false),
                Spliced::Refused => {}
            }
        }
        let ready = |io: &IoHandle| match sys::ready(io, Direction::Read)? {
            true => Ok(Progress::More(())),
            false => Err(io::ErrorKind::WouldBlock.into()),
        };
        Op::new(self.from.source(), Direction::Read, None, ready).await?;
        let mut bytes = vec![0; BUFFER];
        let n = self.from.read(&mut bytes).await?;
        bytes.truncate(n);
        self.load = Some(Load::Bytes(bytes, 0));
        Ok(n > 0)
    }

    /// Writes what is loaded.
    async fn write(&mut self) -> io::Result<()> {
        loop {
            let n = match &self.load {
                Some(Load::Pipe(pipe, len)) if *len > 0 => {
                    let splice = |io: &IoHandle| sys::splice_to(&pipe.reader, io, *len).map(Progress::More);
                    Op::new(self.to.source(), Direction::Write, None, splice).await?
                }
                Some(Load::Bytes(bytes, start)) if *start < bytes.len() => {
                    self.to.write(&bytes[*start..]).await?
                }
                _ => break,
            };
            match &mut self.load {
                _ if n == 0 => return Err(io::ErrorKind::WriteZero.into()),
                Some(Load::Pipe(_, len)) => *len -= n,
                Some(Load::Bytes(_, start)) => *start += n,
                None => {}
            }
            self.written += n as u64;
        }
        if let Some(Load::Pipe(pipe, _)) = self.load.take() {
            pipe.keep();
        }
        Ok(())
    }

    fn into_copied(self) -> Copied {
        let unwritten = match self.load {
            None => Vec::new(),
            Some(Load::Pipe(pipe, len)) => sys::read_pipe(&pipe.reader, len),
            Some(Load::Bytes(bytes, start)) => bytes[start..].to_vec(),
        };
        Copied { written: self.written, unwritten }
    }
}

/// The size of a buffer where there is no pipe, in bytes.
const BUFFER: usize = 64 * 1024;

/// Moves what has arrived at a socket into a pipe of the stock.
fn splice_from(io: &IoHandle) -> io::Result<Spliced> {
    let Ok(pipe) = Pipe::take() else { return Ok(Spliced::Refused) };
    let spliced = match sys::splice_from(io, &pipe.writer) {
        Ok(0) => Ok(Spliced::End),
        Ok(len) => return Ok(Spliced::Some(pipe, len)),
        Err(error) => match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => Ok(Spliced::Refused),
            _ => Err(error),
        },
    };
    pipe.keep();
    spliced
}

/// A pipe through which bytes are spliced.
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// The pipes that nobody uses at present; all are empty.
static STOCK: PerProcess<Mutex<Vec<Pipe>>> = PerProcess::new();

/// The most pipes in the stock: far fewer than there may be copies, for they hold one only in passing.
const MOST_PIPES: usize = 16;

impl Pipe {
    /// Takes one out of the stock, or makes one.
    fn take() -> io::Result<Pipe> {
        let kept = lock_std(STOCK.get_or_init(Mutex::default)).pop();
        match kept {
            Some(pipe) => Ok(pipe),
            None => sys::splice_pipe().map(|(reader, writer)| Pipe { reader, writer }),
        }
    }

    /// Puts it back into the stock. It must be empty.
    fn keep(self) {
        let mut stock = lock_std(STOCK.get_or_init(Mutex::default));
        if stock.len() < MOST_PIPES {
            stock.push(self);
        }
    }
}

/// The sockets that copies have put into non-blocking mode, by the addresses of their sources, and the number
/// of these copies.
static SWITCHED: PerProcess<Mutex<BTreeMap<usize, usize>>> = PerProcess::new();

/// Keeps the sockets of a copy in non-blocking mode, where that is needed.
struct Mode<'a>(Option<[NonBlocking<'a>; 2]>);

impl<'a> Mode<'a> {
    fn of(first: &'a Socket, second: &'a Socket) -> Mode<'a> {
        let can_splice = first.io().is_descriptor() && second.io().is_descriptor();
        if !can_splice || sys::dies_of_broken_pipes() {
            return Mode(None);
        }
        let switched = NonBlocking::new(first).and_then(|first| Ok([first, NonBlocking::new(second)?]));
        Mode(switched.ok())
    }

    /// Returns whether the sockets may be spliced.
    fn is_nonblocking(&self) -> bool {
        self.0.is_some()
    }
}

/// Keeps a socket in non-blocking mode.
struct NonBlocking<'a>(&'a Socket);

impl<'a> NonBlocking<'a> {
    fn new(socket: &'a Socket) -> io::Result<NonBlocking<'a>> {
        let mut switched = lock_std(SWITCHED.get_or_init(Mutex::default));
        let copies = switched.get(&key(socket)).copied().unwrap_or(0);
        if copies == 0 {
            sys::set_nonblocking(socket.io(), true)?;
        }
        switched.insert(key(socket), copies + 1);
        Ok(NonBlocking(socket))
    }
}

impl Drop for NonBlocking<'_> {
    fn drop(&mut self) {
        let mut switched = lock_std(SWITCHED.get_or_init(Mutex::default));
        let left = switched.get_mut(&key(self.0)).map_or(0, |copies| {
            *copies -= 1;
            *copies
        });
        if left == 0 {
            switched.remove(&key(self.0));
            // A socket that stays in non-blocking mode works, too.
            let _ = sys::set_nonblocking(self.0.io(), false);
        }
    }
}

/// Returns the address of the socket's source, which all that share the socket have in common.
fn key(socket: &Socket) -> usize {
    Arc::as_ptr(socket.source()).addr()
}
