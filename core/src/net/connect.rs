//! Connecting: a socket in non-blocking mode until the attempt has ended.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::sys::{self, Connecting};
use crate::event::reactor::{Address, Direction, IoHandle, IoSource, Progress, SocketKind};
use crate::kernel::io::Op;
use crate::kernel::world::World;
use crate::time::sleep;

/// The pause of whoever finds the queue of a Unix listener full, and the limit to which it is doubled. The
/// system has such an attempt wait in its call or fail; there is nothing that would tell when there is room.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Tries `addresses` in turn, and returns the first connection, or the last error.
pub(super) async fn connect_any(
    world: Option<&dyn World>,
    addresses: Vec<SocketAddr>,
) -> io::Result<IoHandle> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "there is no address to connect to");
    for address in addresses {
        match connect(world, &address.into()).await {
            Ok(io) => return Ok(io),
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// Connects to `address`. A descriptor that it returns is in blocking mode.
pub(super) async fn connect(world: Option<&dyn World>, address: &Address) -> io::Result<IoHandle> {
    let io = sys::socket(world, SocketKind::Stream, address)?;
    let (mut pause, longest) = PAUSE;
    let begun = loop {
        match sys::connect(&io, address)? {
            Connecting::QueueFull => {
                sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
            begun => break begun,
        }
    };
    let io = match begun {
        Connecting::UnderWay => {
            let source = IoSource::of(io);
            Op::new(&source, Direction::Write, None, outcome).await?;
            IoSource::into_handle(source)?
        }
        _ => io,
    };
    refuse_self(&io)?;
    sys::set_nonblocking(&io, false)?;
    Ok(io)
}

/// Returns how the attempt has ended; `WouldBlock` while it has not.
fn outcome(io: &IoHandle) -> io::Result<Progress<()>> {
    let fail_if_failed = || match sys::take_error(io)? {
        Some(error) => Err(error),
        None => Ok(()),
    };
    fail_if_failed()?;
    if sys::is_connected(io)? {
        return Ok(Progress::More(()));
    }
    // It may have failed between the two questions.
    fail_if_failed()?;
    Err(io::ErrorKind::WouldBlock.into())
}

/// Refuses a connection of a socket with itself. A port in the ephemeral range that nobody listens on may be
/// given to the very socket that connects to it, and TCP then connects the two ends. To the caller that is a
/// port where nobody listens.
fn refuse_self(io: &IoHandle) -> io::Result<()> {
    match (sys::local_addr(io), sys::peer_addr(io)) {
        (Ok(ours), Ok(theirs)) if theirs == ours => Err(sys::refused()),
        // A connection that has been reset already says so when it is used.
        _ => Ok(()),
    }
}
