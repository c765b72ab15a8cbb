//! Passing descriptors through Unix sockets, and who the peer of one is.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use crate::event::reactor::IoHandle;

/// The bytes and the descriptors of one call.
pub(in crate::net) struct Rights {
    /// The number of bytes that have come; of a datagram, also those that there was no room for.
    pub(in crate::net) bytes: usize,
    pub(in crate::net) fds: Vec<OwnedFd>,
    /// True when descriptors have been sent that are not in `fds`; the system has closed them.
    pub(in crate::net) cut: bool,
    /// The process, user and group of the sender, if the system has told them.
    pub(in crate::net) sender: Option<(i32, u32, u32)>,
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
///
/// rustix has this call with senders whose process is never 0, which the system does not promise.
pub(in crate::net) fn recv_rights(
    io: &IoHandle,
    buf: &mut [u8],
    most: usize,
    whole: bool,
) -> io::Result<Rights> {
    let IoHandle::Descriptor(fd) = io else { return Err(unsupported()) };
    // SAFETY: these two compute sizes.
    let room = unsafe {
        libc::CMSG_SPACE(size_of::<libc::ucred>() as u32)
            + libc::CMSG_SPACE((most * size_of::<RawFd>()) as u32)
    };
    // In words, as headers are aligned.
    let mut space = vec![0_usize; (room as usize).div_ceil(size_of::<usize>())];
    let mut part = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: all-zero is a valid `msghdr`, which has room for nothing.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    (message.msg_control, message.msg_controllen) = (space.as_mut_ptr().cast(), room as _);
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    let flags = if whole { flags | libc::MSG_TRUNC } else { flags };
    // SAFETY: the descriptor is open, it is borrowed from `io`. What `message` refers to is writable memory
    // of the lengths in it, which outlives the call.
    let received = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) };
    let bytes = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    let (mut fds, mut sender) = (Vec::new(), None);
    // SAFETY: the system has written whole headers into `space`, each with as much data as it says, and their
    // length in all into `message`; `space` is aligned for them. So each pointer that these macros return is
    // null or one to a header in `space`, and its data follows. The data need not be aligned. Each number in
    // a message with rights is that of a descriptor that this call has opened, and that nobody else knows.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(found) = header.as_ref() {
            let data = libc::CMSG_DATA(header);
            let whole: usize = found.cmsg_len as _;
            let len = whole - libc::CMSG_LEN(0) as usize;
            match (found.cmsg_level, found.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    let numbers = data.cast::<RawFd>();
                    let passed = (0..len / size_of::<RawFd>()).map(|n| numbers.add(n).read_unaligned());
                    fds.extend(passed.map(|number| OwnedFd::from_raw_fd(number)));
                }
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if len >= size_of::<libc::ucred>() => {
                    sender = Some(data.cast::<libc::ucred>().read_unaligned());
                }
                _ => {}
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    // The room is for senders, too, and what they leave of it the system uses.
    let cut = message.msg_flags & libc::MSG_CTRUNC != 0 || fds.len() > most;
    fds.truncate(most);
    // The end of a stream has no sender, for which the system says process 0, user 0 and group 0.
    let sender = sender.filter(|_| whole || bytes > 0);
    Ok(Rights { bytes, fds, cut, sender: sender.map(|sender| (sender.pid, sender.uid, sender.gid)) })
}

/// Says whether the system tells with what is received who has sent it.
pub(in crate::net) fn set_pass_credentials(io: &IoHandle, pass: bool) -> io::Result<()> {
    let IoHandle::Descriptor(fd) = io else { return Err(unsupported()) };
    Ok(rustix::net::sockopt::set_socket_passcred(fd, pass)?)
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
