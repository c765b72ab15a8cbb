//! The options and addresses of TCP connections.
//!
//! Values that the system would take for something else are refused here; the calls themselves are made in
//! `sys.rs`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::sys;
use super::tcp::TcpStream;
use crate::kernel::world::SocketOption;

/// Options and addresses. All of them fail with the operating system's error.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl TcpStream {
    /// Returns the address of this end.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// assert!(client.local_addr()?.ip().is_loopback());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        sys::local_addr(self.socket().io())
    }

    /// Returns the address of the other end.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// assert_eq!(client.peer_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        sys::peer_addr(self.socket().io())
    }

    /// Returns the error that has happened on the connection since the last call, if one has.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// assert!(client.take_error()?.is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        sys::take_error(self.socket().io())
    }

    /// Returns whether small segments are sent at once instead of being gathered (`TCP_NODELAY`).
    pub fn nodelay(&self) -> io::Result<bool> {
        sys::nodelay(self.socket().io())
    }

    /// Sets [`nodelay`](TcpStream::nodelay).
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// client.set_nodelay(true)?;
    /// assert!(client.nodelay()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.set_option(SocketOption::NoDelay(nodelay))
    }

    /// Returns how many routers a packet may pass (`IP_TTL`).
    pub fn ttl(&self) -> io::Result<u32> {
        sys::ttl(self.socket().io())
    }

    /// Sets [`ttl`](TcpStream::ttl), from 1 to 255.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// client.set_ttl(42)?;
    /// assert_eq!(client.ttl()?, 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_ttl(&self, routers: u32) -> io::Result<()> {
        // The system takes -1 for "as usual", which is what the largest number would become.
        match u8::try_from(routers) {
            Ok(routers) => self.set_option(SocketOption::Ttl(routers.into())),
            Err(_) => Err(out_of_range("a packet passes 255 routers at most")),
        }
    }

    /// Returns how long closing waits for what has been written to arrive (`SO_LINGER`). `None` means that
    /// the system sees to it in the background, zero that closing resets the connection.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        sys::linger(self.socket().io())
    }

    /// Sets [`linger`](TcpStream::linger). The system counts in seconds: part of one counts as a whole one. A
    /// time that it cannot represent, of more than 2^31 - 1 seconds, is
    /// [`InvalidInput`](io::ErrorKind::InvalidInput). Other values than `None` and zero make closing block
    /// the thread it happens on.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// client.set_linger(Some(std::time::Duration::ZERO))?;
    /// assert!(client.linger()?.is_some_and(|time| time.is_zero()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.set_option(SocketOption::Linger(linger.map(whole_seconds).transpose()?))
    }

    /// Returns the idle time after which the system asks whether the peer is still there; `None` means never.
    pub fn keepalive(&self) -> io::Result<Option<Duration>> {
        sys::keepalive(self.socket().io())
    }

    /// Sets [`keepalive`](TcpStream::keepalive). The system counts in seconds: part of one counts as a whole
    /// one. It refuses zero and, on Linux, more than 32767.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let minute = std::time::Duration::from_secs(60);
    /// client.set_keepalive(Some(minute))?;
    /// assert_eq!(client.keepalive()?, Some(minute));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        self.set_option(SocketOption::KeepAlive(idle.map(whole_seconds).transpose()?))
    }

    /// Returns the size of the system's buffer for what has arrived, in bytes.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        sys::recv_buffer_size(self.socket().io())
    }

    /// Asks for a size of that buffer, in bytes; Linux doubles it, and has a limit of its own.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// client.set_recv_buffer_size(64 << 10)?;
    /// assert!(client.recv_buffer_size()? >= 64 << 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.set_option(SocketOption::ReceiveBuffer(as_size(bytes)))
    }

    /// Returns the size of the system's buffer for what has been written, in bytes.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        sys::send_buffer_size(self.socket().io())
    }

    /// Asks for a size of that buffer, in bytes; Linux doubles it, and has a limit of its own.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// client.set_send_buffer_size(64 << 10)?;
    /// assert!(client.send_buffer_size()? >= 64 << 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.set_option(SocketOption::SendBuffer(as_size(bytes)))
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        sys::set_option(self.socket().io(), option)
    }
}

/// Returns the time in whole seconds, rounded up, if the system can represent that: it takes a C `int`.
fn whole_seconds(time: Duration) -> io::Result<Duration> {
    let seconds = time.as_secs().checked_add(u64::from(time.subsec_nanos() > 0));
    match seconds.and_then(|seconds| i32::try_from(seconds).ok()) {
        Some(seconds) => Ok(Duration::from_secs(seconds.unsigned_abs().into())),
        None => Err(out_of_range("the system counts up to 2^31 - 1 seconds")),
    }
}

/// Returns the size as the system takes it, a C `int`. It has a limit of its own that is far below.
fn as_size(bytes: usize) -> usize {
    bytes.min(i32::MAX as usize)
}

fn out_of_range(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
