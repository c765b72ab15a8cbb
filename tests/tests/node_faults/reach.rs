//! How the peers of these laws connect: without TLS.

use std::net::{SocketAddr, TcpStream};

use twoply_core::Wait;
use twoply_node::{Builder, Node};
use twoply_tests::Systems;

use super::scripted::COOKIE;

/// The bytes of a length in the handshake.
pub(crate) const HEAD: usize = 2;

/// Starts a node of ours.
pub(crate) fn ours(on: &Systems, builder: Builder) -> Node {
    on.here().spawn(builder.cookie(COOKIE).without_epmd().start()).wait().unwrap().unwrap()
}

/// Connects to a node.
pub(crate) fn dial(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).unwrap()
}
