//! Passing descriptors through Unix sockets, and who the peer of one is.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use crate::event::reactor::IoHandle;

/// The bytes and the descriptors of one call.
pub(in crate::net) struct Rights {
    /// The number of bytes that have come; of a datagram, also those that there was no room for.
    pub(in crate::net) bytes: usize,
    pub(in crate::net) fds: Vec<OwnedFd>,
    /// True when descriptors have been sent that are not in `fds`; the system has closed them.
    pub(in crate::net) cut: bool,
}

/// Sends what there is room for, and duplicates of `fds` with its first byte.
pub(in crate::net) fn send_rights(io: &IoHandle, buf: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let IoHandle::Descriptor(fd) = io else { return Err(unsupported()) };
    let rights = SendAncillaryMessage::ScmRights(fds);
    let mut space = vec![MaybeUninit::uninit(); rights.size()];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(rights) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(rustix::net::sendmsg(fd, &[IoSlice::new(buf)], &mut control, flags)?)
}

/// Receives what there is, and at most `most` descriptors, which are closed when the process executes another
/// program. `whole` has the length of a datagram returned, whatever room there is.
pub(in crate::net) fn recv_rights(
    io: &IoHandle,
    buf: &mut [u8],
    most: usize,
    whole: bool,
) -> io::Result<Rights> {
    let IoHandle::Descriptor(fd) = io else { return Err(unsupported()) };
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(most))];
    let mut control = RecvAncillaryBuffer::new(exactly(&mut space, most));
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let flags = if whole { flags | RecvFlags::TRUNC } else { flags };
    let received = rustix::net::recvmsg(fd, &mut [IoSliceMut::new(buf)], &mut control, flags)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            fds.extend(more);
        }
    }
    Ok(Rights { bytes: received.bytes, fds, cut: received.flags.contains(ReturnFlags::CTRUNC) })
}

/// Returns the part of `space` that holds `most` descriptors and not one more: sizes of messages are rounded
/// up to words, and the system uses all the room that it is given.
fn exactly(space: &mut [MaybeUninit<u8>], most: usize) -> &mut [MaybeUninit<u8>] {
    if most == 0 {
        return &mut [];
    }
    let skipped = space.as_ptr().align_offset(align_of::<libc::cmsghdr>());
    // The data of a message begins at the next word after its header, which is a whole number of words.
    &mut space[skipped..][..size_of::<libc::cmsghdr>() + most * size_of::<OwnedFd>()]
}

/// Returns the process, user and group of the peer when it connected. The process is 0 where it cannot be
/// seen from here, and where there is no peer.
pub(in crate::net) fn credentials(io: &IoHandle) -> io::Result<(i32, u32, u32)> {
    let IoHandle::Descriptor(fd) = io else { return Err(unsupported()) };
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the descriptor is open, it is borrowed from `io`. `peer` is writable memory of the size in
    // `len`, and each pattern of bits is a value of its fields. rustix has this call with a process that is
    // never 0, which the system does not promise.
    let returned = unsafe {
        let peer = (&raw mut peer).cast();
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, peer, &raw mut len)
    };
    if returned == 0 { Ok((peer.pid, peer.uid, peer.gid)) } else { Err(io::Error::last_os_error()) }
}

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a simulated socket passes no descriptors and has no users")
}
