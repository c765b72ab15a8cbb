//! Passing descriptors from one process to another (`SCM_RIGHTS`).

use std::future::Future;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::super::endpoint::{Endpoint, Transfer, Unix};

use super::super::sys;
use super::Credentials;
use crate::event::reactor::{Direction, IoHandle, Progress};
use crate::kernel::io::Op;

/// The most descriptors that go with one message: the kernel's `SCM_MAX_FD`.
const MOST_FDS: usize = 253;

/// The bytes and descriptors that have been received; see [`Endpoint::recv_with_fds`].
#[derive(Debug)]
#[non_exhaustive]
pub struct ReceivedFds {
    /// The number of bytes in the buffer. Zero is the end of a stream.
    pub len: usize,
    /// The number of bytes of a datagram that the buffer had no room for, and that are lost.
    pub lost: usize,
    /// The descriptors. Each is closed when the process executes another program.
    pub fds: Vec<OwnedFd>,
    /// True when more descriptors were sent than are in `fds`: more than were asked for, or more than this
    /// process may have. The system has closed those.
    pub fds_lost: bool,
    /// The process, user and group of the sender, if they are [asked for](Endpoint::set_pass_credentials).
    pub sender: Option<Credentials>,
}

/// Passing descriptors, on streams and datagrams.
impl<R: Transfer> Endpoint<Unix, R> {
    /// Writes as much of `buf` as there is room for, and passes duplicates of `fds` with its first byte; of a
    /// datagram always all of `buf`. Returns how many bytes that were. Cancel-safe: dropped before it is
    /// ready, it has passed nothing.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for more than 253 descriptors, the system's limit, and
    /// on a stream for descriptors without a byte that they could go with. Else the operating system's; it
    /// refuses to have too many descriptors under way
    /// ([`is_out_of_resources`](super::super::is_out_of_resources) or `ETOOMANYREFS`).
    ///
    /// ```
    /// use std::io::Read;
    /// use std::os::fd::AsFd;
    /// use twoply::{Wait, net::UnixStream};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let (passed, mut kept) = std::os::unix::net::UnixStream::pair()?;
    /// ours.send_with_fds(b"here", &[passed.as_fd()]).wait()?;
    ///
    /// let mut text = [0; 4];
    /// let received = theirs.recv_with_fds(&mut text, 1).wait()?;
    /// let stream = UnixStream::from(std::os::unix::net::UnixStream::from(received.fds.into_iter().next().unwrap()));
    /// stream.write_all(b"a").wait()?;
    /// kept.read_exact(&mut [0])?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_with_fds<'a, 'b>(
        &'a self,
        buf: &'a [u8],
        fds: &'a [BorrowedFd<'b>],
    ) -> impl Future<Output = io::Result<usize>> + Send + use<'a, 'b, R> {
        let refused = if fds.len() > MOST_FDS {
            Some(format!("at most {MOST_FDS} descriptors go with one message, not {}", fds.len()))
        } else if buf.is_empty() && !fds.is_empty() && !R::WHOLE {
            Some("descriptors go with a byte of a stream, and there is none".to_string())
        } else {
            None
        };
        async move {
            if let Some(message) = refused {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            let send = |io: &IoHandle| sys::send_rights(io, buf, fds).map(Progress::More);
            Op::new(self.source(), Direction::Write, None, send).await
        }
    }

    /// Says whether a receive [with descriptors](Endpoint::recv_with_fds) tells who has sent what it returns;
    /// unless this is called, it does not. The system vouches for it: a sender that is not privileged cannot
    /// say that it is somebody else. What was sent before this call is from nobody: from no process, and the
    /// system's user for those that it cannot name (65534).
    ///
    /// # Errors
    /// Whatever the operating system says; [`Unsupported`](io::ErrorKind::Unsupported) for a socket of a
    /// [world](crate::kernel::world)'s.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, net::UnixDatagram};
    ///
    /// let (ours, theirs) = UnixDatagram::pair()?;
    /// theirs.set_pass_credentials(true)?;
    /// ours.send(b"it is me").wait()?;
    /// let received = theirs.recv_with_fds(&mut [0; 8], 0).wait()?;
    /// assert_eq!(received.sender.and_then(|sender| sender.pid), Some(std::process::id()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_pass_credentials(&self, pass: bool) -> io::Result<()> {
        sys::set_pass_credentials(self.io(), pass)
    }

    /// Receives into `buf`, with at most `most` descriptors. A read of a stream ends before the next
    /// descriptors, so that each comes with the byte it was sent with. Cancel-safe: dropped before it is
    /// ready, it has received nothing.
    ///
    /// Descriptors beyond `most` are closed, and the result says so. So are those that are passed with bytes
    /// which are received in another way, such as by `read`.
    ///
    /// # Errors
    /// Whatever the operating system says.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// use twoply::{Wait, net::UnixStream};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let fd = ours.as_fd();
    /// ours.send_with_fds(b"two of them", &[fd, fd]).wait()?;
    /// let received = theirs.recv_with_fds(&mut [0; 100], 1).wait()?;
    /// assert_eq!((received.len, received.fds.len(), received.fds_lost), (11, 1, true));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn recv_with_fds<'a>(
        &'a self,
        buf: &'a mut [u8],
        most: usize,
    ) -> impl Future<Output = io::Result<ReceivedFds>> + Send + Unpin + use<'a, R> {
        let most = most.min(MOST_FDS);
        let nothing = (buf.is_empty() && !R::WHOLE).then(|| ReceivedFds {
            len: 0,
            lost: 0,
            fds: Vec::new(),
            fds_lost: false,
            sender: None,
        });
        Op::new(self.source(), Direction::Read, nothing, move |io: &IoHandle| {
            let received = sys::recv_rights(io, buf, most, R::WHOLE)?;
            let len = received.bytes.min(buf.len());
            let lost = received.bytes - len;
            let sender = received.sender.map(Credentials::of);
            Ok(Progress::More(ReceivedFds { len, lost, fds: received.fds, fds_lost: received.cut, sender }))
        })
    }
}
