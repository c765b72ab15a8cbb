//! Listeners for streams between the processes of one machine.

use std::io;

use super::super::convert::std_listener;
use super::super::endpoint::{Endpoint, Listener, Unix};
use super::super::sys;
use super::SocketFile;
use crate::event::reactor::{Address, SocketKind, UnixAddr};
use crate::kernel::world;

/// A socket that accepts streams from processes of the same machine.
///
/// It is bound to a path, where it makes a file, or to an abstract name, which leaves nothing behind. A
/// process that ends leaves the file there, and the next one cannot bind to its path before it is removed;
/// [`UnixListenerBuilder::unlink_on_drop`] has it removed with the listener.
///
/// ```
/// use twoply::{Wait, net::{UnixListener, UnixStream}};
///
/// let path = std::env::temp_dir().join(format!("twoply-{}.sock", std::process::id()));
/// let listener = UnixListener::builder().unlink_on_drop(true).bind(&path)?;
/// let client = UnixStream::connect(&path).wait()?;
/// let (server, _) = listener.accept().wait()?;
/// server.write_all(b"welcome").wait()?;
/// client.read_exact(&mut [0; 7]).wait()?;
/// drop(listener);
/// assert!(!path.exists());
/// # Ok::<(), std::io::Error>(())
/// ```
pub type UnixListener = Endpoint<Unix, Listener>;

impl UnixListener {
    /// Listens at `address` with the default options of [`UnixListenerBuilder`].
    ///
    /// # Errors
    /// As [`UnixListenerBuilder::bind`].
    ///
    /// ```
    /// use twoply::net::{UnixAddr, UnixListener};
    ///
    /// let name = UnixAddr::Abstract(format!("twoply bind {}", std::process::id()).into());
    /// let listener = UnixListener::bind(&name)?;
    /// assert_eq!(listener.local_addr()?, name);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind(address: impl Into<UnixAddr>) -> io::Result<UnixListener> {
        UnixListener::builder().bind(address)
    }

    /// Returns a builder with the default options.
    ///
    /// ```
    /// use twoply::net::{UnixAddr, UnixListener};
    ///
    /// let name = UnixAddr::Abstract(format!("twoply builder {}", std::process::id()).into());
    /// let listener = UnixListener::builder().backlog(16).bind(name)?;
    /// # drop(listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn builder() -> UnixListenerBuilder {
        UnixListenerBuilder { backlog: 1024, unlink_on_drop: false }
    }
}

impl Listener {
    /// Leaves the file where it is.
    pub(in crate::net) fn keep_file(self) {
        if let Some(file) = self.file {
            file.keep();
        }
    }
}

std_listener! {
    UnixListener, std::os::unix::net::UnixListener,
    /// use twoply::net::{UnixAddr, UnixListener};
    ///
    /// let name = UnixAddr::Abstract(format!("twoply std {}", std::process::id()).into());
    /// let listener: std::os::unix::net::UnixListener = UnixListener::bind(&name)?.into_std()?;
    /// let listener = UnixListener::from_std(listener)?;
    /// assert_eq!(listener.local_addr()?, name);
}

/// The options of a new [`UnixListener`]; made by [`UnixListener::builder`].
///
/// ```
/// use twoply::net::UnixListener;
///
/// let path = std::env::temp_dir().join(format!("twoply-kept-{}.sock", std::process::id()));
/// drop(UnixListener::builder().bind(&path)?);
/// // The file is still there, and somebody has to remove it.
/// std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "it listens after `bind`"]
pub struct UnixListenerBuilder {
    backlog: u32,
    unlink_on_drop: bool,
}

impl UnixListenerBuilder {
    /// Sets how many connections may be waiting to be accepted. Default: 1024; the system has a limit of its
    /// own. Whoever connects beyond that waits.
    pub fn backlog(mut self, connections: u32) -> UnixListenerBuilder {
        self.backlog = connections;
        self
    }

    /// Sets whether the file is removed when the listener is dropped. Default: no. It is left alone if
    /// another file has its name by then, and by the child of a fork.
    ///
    /// ```
    /// use twoply::{Wait, net::UnixListener};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-unlink-{}", std::process::id()));
    /// let listener = UnixListener::builder().unlink_on_drop(true).bind(&path)?;
    /// drop(listener);
    /// assert!(!path.exists());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn unlink_on_drop(mut self, unlink: bool) -> UnixListenerBuilder {
        self.unlink_on_drop = unlink;
        self
    }

    /// Listens at `address`: a path, or an [abstract name](UnixAddr::Abstract); [`UnixAddr::Unnamed`] asks
    /// for any abstract name that is free.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a path or a name that the system cannot represent,
    /// which the error says; [`AddrInUse`](io::ErrorKind::AddrInUse) when there is a file at the path, even
    /// if nobody listens there any more; else whatever the operating system says.
    ///
    /// ```
    /// use twoply::net::UnixListener;
    ///
    /// let error = UnixListener::bind("too long/".repeat(20)).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    /// assert!(error.to_string().contains("at most 107 bytes"), "{error}");
    /// ```
    pub fn bind(self, address: impl Into<UnixAddr>) -> io::Result<UnixListener> {
        let address = address.into();
        address.check()?;
        let wanted = Address::Unix(address);
        let world = world::current();
        let io = sys::socket(world.as_deref(), SocketKind::Stream, &wanted)?;
        sys::bind(&io, &wanted)?;
        let file = match &wanted {
            Address::Unix(address) if self.unlink_on_drop && io.is_descriptor() => {
                address.path().and_then(SocketFile::at)
            }
            _ => None,
        };
        // If this fails the file is removed again.
        sys::listen(&io, self.backlog)?;
        Ok(UnixListener::new(io, Listener { file }))
    }
}
