//! Descriptors that the system treats as closed ones.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

/// Returns a descriptor that the system treats as one that is closed: it names a directory, and opens none.
pub fn none() -> OwnedFd {
    rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// Makes a descriptor one of those, whoever owns it: what it was open for is closed.
pub fn make_none(fd: impl AsFd) {
    let number = fd.as_fd().as_raw_fd();
    // SAFETY: the number stays an open descriptor, so that its owner closes no other one.
    let made = unsafe { libc::dup3(none().as_raw_fd(), number, libc::O_CLOEXEC) };
    assert_eq!(made, number, "{}", std::io::Error::last_os_error());
}
