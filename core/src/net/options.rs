//! The options of sockets, once these have been made.
//!
//! Values that the system would take for something else are refused here; the calls themselves are made in
//! `sys`.

use std::io;
use std::time::Duration;

use super::endpoint::{Endpoint, Ip, Transfer};
use super::sys;
use super::tcp::TcpStream;
use crate::kernel::world::SocketOption;

/// Options. All of them fail with the operating system's error.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl TcpStream {
    /// Returns whether small segments are sent at once instead of being gathered (`TCP_NODELAY`).
    pub fn nodelay(&self) -> io::Result<bool> {
        sys::nodelay(self.io())
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

    /// Returns how long closing waits for what has been written to arrive (`SO_LINGER`). `None` means that
    /// the system sees to it in the background, zero that closing resets the connection.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        sys::linger(self.io())
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
        sys::keepalive(self.io())
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

    /// Returns the time between two probes of a peer that does not answer (`TCP_KEEPINTVL`).
    pub fn keepalive_interval(&self) -> io::Result<Duration> {
        sys::keepalive_interval(self.io())
    }

    /// Sets [`keepalive_interval`](TcpStream::keepalive_interval); it counts where
    /// [`keepalive`](TcpStream::keepalive) is on. Units and limits are those of
    /// [`set_keepalive`](TcpStream::set_keepalive).
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// // A peer that is gone is known after 60 s without a word and 3 probes, one each 10 s.
    /// client.set_keepalive(Some(Duration::from_secs(60)))?;
    /// client.set_keepalive_interval(Duration::from_secs(10))?;
    /// client.set_keepalive_probes(3)?;
    /// assert_eq!(client.keepalive_interval()?, Duration::from_secs(10));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_keepalive_interval(&self, interval: Duration) -> io::Result<()> {
        self.set_option(SocketOption::KeepAliveInterval(whole_seconds(interval)?))
    }

    /// Returns the number of probes without an answer after which the connection is given up
    /// (`TCP_KEEPCNT`).
    pub fn keepalive_probes(&self) -> io::Result<u32> {
        sys::keepalive_probes(self.io())
    }

    /// Sets [`keepalive_probes`](TcpStream::keepalive_probes), from 1 to 127.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// client.set_keepalive_probes(3)?;
    /// assert_eq!(client.keepalive_probes()?, 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_keepalive_probes(&self, probes: u32) -> io::Result<()> {
        self.set_option(SocketOption::KeepAliveProbes(probes))
    }

    /// Returns how long data may stay without an acknowledgement before the connection is given up
    /// (`TCP_USER_TIMEOUT`); `None` means as long as the system tries, some fifteen minutes.
    pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
        sys::user_timeout(self.io())
    }

    /// Sets [`user_timeout`](TcpStream::user_timeout). The system counts in milliseconds: part of one counts
    /// as a whole one. Zero, which means "as usual" to it, and more than 2^31 - 1 milliseconds are
    /// [`InvalidInput`](io::ErrorKind::InvalidInput).
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// client.set_user_timeout(Some(Duration::from_secs(30)))?;
    /// assert_eq!(client.user_timeout()?, Some(Duration::from_secs(30)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_user_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.set_option(SocketOption::UserTimeout(time.map(whole_millis).transpose()?))
    }

    /// Returns whether urgent data is left among the other data (`SO_OOBINLINE`).
    pub fn urgent_inline(&self) -> io::Result<bool> {
        sys::urgent_inline(self.io())
    }

    /// Sets [`urgent_inline`](TcpStream::urgent_inline). Default: no; see
    /// [`send_urgent`](TcpStream::send_urgent).
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// client.set_urgent_inline(true)?;
    /// assert!(client.urgent_inline()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_urgent_inline(&self, inline: bool) -> io::Result<()> {
        self.set_option(SocketOption::UrgentInline(inline))
    }

    /// Sets how many bytes have to be there before a reader is woken (`SO_RCVLOWAT`), 1 at first; the end of
    /// the stream wakes it in any case, and so does a full buffer of the system's. What
    /// [`try_read`](TcpStream::try_read) takes does not depend on it; a plain [`read`](TcpStream::read) on a
    /// thread that may block waits for so many bytes itself, or for as many as it has room for. Setting a
    /// number of bytes that are there already wakes who waits.
    ///
    /// So who looks at the stream now and then by itself, as a reader of many small messages may do, is not
    /// woken by each of them, which costs the sender time as well.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, net::{TcpListener, TcpStream}, time::timeout};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let (server, _) = listener.accept().wait()?;
    /// client.set_recv_low_water(8)?;
    /// server.write_all(b"few").wait()?;
    /// assert!(timeout(Duration::from_millis(10), client.readable()).wait().is_err());
    /// assert_eq!(client.try_read(&mut [0; 2])?, 2);
    /// client.set_recv_low_water(1)?;
    /// client.readable().wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_recv_low_water(&self, bytes: u32) -> io::Result<()> {
        self.set_option(SocketOption::ReceiveLowWater(bytes))
    }

    /// Sets how many bytes may wait in the system's buffer before they are sent (`TCP_NOTSENT_LOWAT`): while
    /// there are as many, a writer waits, until about half of them have gone. What has been sent and is not
    /// acknowledged yet does not count, so the connection is as fast as before while the writer comes back in
    /// time. At first only the [size of the buffer](Endpoint::set_send_buffer_size) is a limit. 0 stands for
    /// what the system sets for all sockets: most often none.
    ///
    /// So who writes much, and then something that is urgent, does not have that wait behind megabytes.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// client.set_unsent_limit(64 << 10)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_unsent_limit(&self, bytes: u32) -> io::Result<()> {
        self.set_option(SocketOption::UnsentLimit(bytes))
    }
}

/// Options of packets, of TCP and UDP. All of them fail with the operating system's error.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl<R: Transfer> Endpoint<Ip, R> {
    /// Returns how many routers a packet of IPv4 may pass (`IP_TTL`).
    pub fn ttl(&self) -> io::Result<u32> {
        sys::ttl(self.io())
    }

    /// Sets [`ttl`](Endpoint::ttl), from 1 to 255.
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
        self.set_option(SocketOption::Ttl(number_of_routers(routers)?))
    }
}

/// Returns the time in whole seconds, rounded up, if the system can represent that: it takes a C `int`.
pub(super) fn whole_seconds(time: Duration) -> io::Result<Duration> {
    let seconds = time.as_secs().checked_add(u64::from(time.subsec_nanos() > 0));
    match seconds.and_then(|seconds| i32::try_from(seconds).ok()) {
        Some(seconds) => Ok(Duration::from_secs(seconds.unsigned_abs().into())),
        None => Err(out_of_range("the system counts up to 2^31 - 1 seconds")),
    }
}

/// Returns the time in whole milliseconds, rounded up, if it is one that the system means by it.
pub(super) fn whole_millis(time: Duration) -> io::Result<Duration> {
    match i32::try_from(time.as_nanos().div_ceil(1_000_000)) {
        Ok(millis @ 1..) => Ok(Duration::from_millis(millis.unsigned_abs().into())),
        _ => Err(out_of_range("the system counts from one millisecond up to 2^31 - 1 of them")),
    }
}

/// Returns the size as the system takes it, a C `int`. It has a limit of its own that is far below.
pub(super) fn as_size(bytes: usize) -> usize {
    bytes.min(i32::MAX as usize)
}

/// Returns the number if the system does not take it for something else: -1 is "as usual" to it, which is
/// what the largest number would become.
pub(super) fn number_of_routers(routers: u32) -> io::Result<u32> {
    match u8::try_from(routers) {
        Ok(routers) => Ok(routers.into()),
        Err(_) => Err(out_of_range("a packet passes 255 routers at most")),
    }
}

fn out_of_range(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
