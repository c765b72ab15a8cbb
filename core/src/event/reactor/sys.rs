//! The kernel's side of a reactor.
//!
//! On Linux a [`polling::Poller`] is created and its epoll descriptor is used directly: its own `wait` makes
//! five system calls where one does, and it cannot ask for `EPOLLRDHUP`, without which a short read could not
//! be trusted to mean "drained". Everywhere else it is used as it is.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod epoll;
#[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
mod portable;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use epoll::{Events, Poller, check};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) use portable::{Events, Poller, check};

use super::Interest;

/// Events taken from the kernel at a time. The tasks that they wake have their turn before the next ones are
/// taken. With 1,024 events HTTP/1 over 1,000 connections took a twentieth more CPU time, and with 16 of them
/// a tenth.
const EVENTS: usize = 64;

/// An event of a descriptor, as the kernel has reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ready {
    /// The directions that the descriptor is ready for; an error or a hang-up counts for both.
    pub(super) interest: Interest,
    /// True if the stream has ended or failed, or urgent data has arrived.
    pub(super) sticky: bool,
}

/// Returns `interest` in the form of `polling`.
fn event(key: super::Key, interest: Interest) -> polling::Event {
    let (readable, writable) = (interest.contains(Interest::READ), interest.contains(Interest::WRITE));
    polling::Event::new(key.0 as usize, readable, writable)
}

/// Returns a portable poller, for tests on systems that use epoll.
#[cfg(test)]
pub(super) fn portable_for_tests() -> std::io::Result<portable::Poller> {
    portable::Poller::new()
}
