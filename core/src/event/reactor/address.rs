//! The addresses of sockets: those of the internet, which are std's, and those of Unix sockets.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The most bytes of a path or an abstract name, on Linux: `sun_path` has 108, and one of them is a NUL.
const MOST_BYTES: usize = 107;

/// The address of a socket of either family; the one that a simulated [`Socket`](super::Socket) is asked with
/// is of the family that it was made for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An address of the internet, with a port.
    Ip(SocketAddr),
    /// An address of a Unix socket.
    Unix(UnixAddr),
}

/// The address of a Unix socket: a path, an abstract name, or none.
///
/// Paths, and what derefs to a string, convert to one. Whether the system can take it shows when it is used:
/// a path has 107 bytes at most, none of which is NUL.
///
/// ```
/// use twoply::net::UnixAddr;
///
/// let address = UnixAddr::from("/run/clerk.sock");
/// assert_eq!(address.path().unwrap().to_str(), Some("/run/clerk.sock"));
/// assert_eq!(UnixAddr::Abstract(b"clerk".into()).to_string(), "@clerk");
/// assert_eq!(UnixAddr::Unnamed.path(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixAddr {
    /// A path in the file system, where a file stands for the socket.
    Path(PathBuf),
    /// A name in the abstract namespace of Linux. It is no file, and free again when the socket is closed.
    Abstract(Vec<u8>),
    /// No address: that of a socket which has not been bound, such as an end of a pair.
    Unnamed,
}

impl UnixAddr {
    /// Returns the path, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            UnixAddr::Path(path) => Some(path),
            _ => None,
        }
    }

    /// Returns an error that says what is wrong with the address, if the system cannot represent it.
    pub(crate) fn check(&self) -> io::Result<()> {
        let invalid = |message: String| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        let (what, bytes) = match self {
            UnixAddr::Path(path) => ("path", path.as_os_str().as_bytes()),
            UnixAddr::Abstract(name) => ("abstract name", name.as_slice()),
            UnixAddr::Unnamed => return Ok(()),
        };
        if bytes.len() > MOST_BYTES {
            let len = bytes.len();
            return invalid(format!(
                "the {what} of a Unix socket has at most {MOST_BYTES} bytes, and {self} has {len}"
            ));
        }
        if self.path().is_some() && bytes.is_empty() {
            return invalid("the path of a Unix socket is empty".to_string());
        }
        if self.path().is_some() && bytes.contains(&0) {
            return invalid(format!("the path of a Unix socket contains a NUL byte: {self}"));
        }
        Ok(())
    }
}

impl fmt::Display for UnixAddr {
    /// Writes the path, or the abstract name after an `@`, as `ss` and `netstat` do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnixAddr::Path(path) => write!(f, "{}", path.display()),
            UnixAddr::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
            UnixAddr::Unnamed => f.write_str("(unnamed)"),
        }
    }
}

impl From<&str> for UnixAddr {
    fn from(path: &str) -> UnixAddr {
        UnixAddr::Path(path.into())
    }
}

impl From<String> for UnixAddr {
    fn from(path: String) -> UnixAddr {
        UnixAddr::Path(path.into())
    }
}

impl From<&Path> for UnixAddr {
    fn from(path: &Path) -> UnixAddr {
        UnixAddr::Path(path.into())
    }
}

impl From<PathBuf> for UnixAddr {
    fn from(path: PathBuf) -> UnixAddr {
        UnixAddr::Path(path)
    }
}

impl From<&PathBuf> for UnixAddr {
    fn from(path: &PathBuf) -> UnixAddr {
        UnixAddr::Path(path.clone())
    }
}

impl From<&UnixAddr> for UnixAddr {
    fn from(address: &UnixAddr) -> UnixAddr {
        address.clone()
    }
}

impl From<std::os::unix::net::SocketAddr> for UnixAddr {
    fn from(address: std::os::unix::net::SocketAddr) -> UnixAddr {
        match (address.as_pathname(), address.as_abstract_name()) {
            (Some(path), _) => UnixAddr::Path(path.into()),
            (None, Some(name)) => UnixAddr::Abstract(name.into()),
            (None, None) => UnixAddr::Unnamed,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Ip(address)
    }
}

impl From<UnixAddr> for Address {
    fn from(address: UnixAddr) -> Address {
        Address::Unix(address)
    }
}

/// Makes a path of the bytes that the system has returned, which may end with a NUL.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    let path = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    PathBuf::from(OsStr::from_bytes(path))
}
