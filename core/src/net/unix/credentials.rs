//! The identity of the peer of a Unix socket.

/// The process, user and group of a peer when it connected; see
/// [`peer_credentials`](super::super::UnixStream::peer_credentials).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// The number of the process; `None` for one that cannot be seen from here, in another namespace. It may
    /// have ended since, and its number be that of another one.
    pub pid: Option<u32>,
    /// The number of the effective user.
    pub uid: u32,
    /// The number of the effective group.
    pub gid: u32,
}
