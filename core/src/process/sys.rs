//! The system calls of this module that std does not make.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};

/// Opens a descriptor that becomes readable when the process ends.
pub(super) fn open(id: u32) -> io::Result<OwnedFd> {
    Ok(pidfd_open(pid(id)?, PidfdFlags::NONBLOCK).or_else(|error| match error {
        // Kernels before 5.10 do not know the flag, which changes nothing here.
        rustix::io::Errno::INVAL => pidfd_open(pid(id).map_err(|_| error)?, PidfdFlags::empty()),
        _ => Err(error),
    })?)
}

/// Sends a signal to a process whose status nobody has taken.
pub(super) fn signal(id: u32, number: i32) -> io::Result<()> {
    Ok(kill_process(pid(id)?, named(number)?)?)
}

/// Sends a signal to all of the group that a process leads whose status nobody has taken.
pub(super) fn signal_group(id: u32, number: i32) -> io::Result<()> {
    Ok(kill_process_group(pid(id)?, named(number)?)?)
}

fn named(number: i32) -> io::Result<Signal> {
    Signal::from_named_raw(number)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "there is no such signal"))
}

fn pid(id: u32) -> io::Result<Pid> {
    let raw = i32::try_from(id).ok().and_then(Pid::from_raw);
    raw.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}
