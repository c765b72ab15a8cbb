//! Connecting: a socket in non-blocking mode until the attempt has ended.

use std::io;
use std::net::SocketAddr;

use super::sys;
use crate::event::reactor::{Direction, IoHandle, IoSource, Progress};
use crate::kernel::io::Op;
use crate::kernel::world::World;

/// Tries `addresses` in turn, and returns the first connection, or the last error.
pub(super) async fn connect_any(
    world: Option<&dyn World>,
    addresses: Vec<SocketAddr>,
) -> io::Result<IoHandle> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "there is no address to connect to");
    for address in addresses {
        match connect(world, address).await {
            Ok(io) => return Ok(io),
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// Connects to `address`. A descriptor that it returns is in blocking mode.
pub(super) async fn connect(world: Option<&dyn World>, address: SocketAddr) -> io::Result<IoHandle> {
    let io = sys::stream_socket(world, &address)?;
    let io = match sys::connect(&io, &address)? {
        true => io,
        false => {
            let source = IoSource::of(io);
            Op::new(&source, Direction::Write, None, outcome).await?;
            IoSource::into_handle(source)?
        }
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
