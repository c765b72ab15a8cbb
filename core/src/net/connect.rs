//! Connecting: a socket in non-blocking mode until the attempt has ended.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::builder::Options;
use super::sys::{self, Connecting};
use crate::event::reactor::{Address, Direction, IoHandle, IoSource, Progress, SocketKind};
use crate::future::SelectAll;
use crate::kernel::io::Op;
use crate::kernel::world::World;
use crate::time::{sleep, timeout};

/// The pause of whoever finds the queue of a Unix listener full, and the limit to which it is doubled. The
/// system has such an attempt wait in its call or fail; there is nothing that would tell when there is room.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// The time after which another address is tried beside those that have not answered: the "Connection Attempt
/// Delay" that RFC 8305 recommends.
const DELAY: Duration = Duration::from_millis(250);

/// Tries `addresses`, and returns the first connection, or the last error; see
/// [`TcpStream::connect`](super::TcpStream::connect).
pub(super) async fn connect_any(
    world: Option<&dyn World>,
    addresses: Vec<SocketAddr>,
    options: &Options,
) -> io::Result<IoHandle> {
    let attempt = async |address: SocketAddr| connect(world, &address.into(), options).await;
    if let [address] = addresses[..] {
        return attempt(address).await;
    }
    let mut addresses = alternating(addresses).into_iter();
    let mut attempts = SelectAll::new();
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "there is no address to connect to");
    loop {
        if let Some(address) = addresses.next() {
            attempts.insert(attempt(address));
        }
        let ended = match addresses.len() {
            0 => attempts.next_ready().await,
            _ => match timeout(DELAY, attempts.next_ready()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            },
        };
        match ended {
            Some((_, Ok(io))) => return Ok(io),
            Some((_, Err(e))) => last = e,
            None => return Err(last),
        }
    }
}

/// Returns the addresses with those of both families alternating, beginning with the family of the first.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let turns = std::iter::from_fn(|| {
        let turn: Vec<_> = one.next().into_iter().chain(other.next()).collect();
        (!turn.is_empty()).then_some(turn)
    });
    turns.flatten().collect()
}

/// Connects to `address`. A descriptor that it returns is in blocking mode.
pub(super) async fn connect(
    world: Option<&dyn World>,
    address: &Address,
    options: &Options,
) -> io::Result<IoHandle> {
    let io = sys::socket(world, SocketKind::Stream, address)?;
    options.apply_to_client(&io, address)?;
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
