//! The identity of the peer of a Unix socket.

/// The process, user and group of a peer when it connected, or of the sender of a datagram; see
/// [`peer_credentials`](super::super::UnixStream::peer_credentials) and
/// [`set_pass_credentials`](super::super::endpoint::Endpoint::set_pass_credentials).
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

impl Credentials {
    /// Makes them of what the system says, where process 0 is one that cannot be seen.
    pub(super) fn of((pid, uid, gid): (i32, u32, u32)) -> Credentials {
        Credentials { pid: u32::try_from(pid).ok().filter(|pid| *pid != 0), uid, gid }
    }
}
