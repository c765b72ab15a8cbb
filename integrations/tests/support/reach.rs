//! How the peers of the laws about hostile ones connect: through a bridge that says inside TLS what they say
//! to it. The certificate that it shows is one of the authority that the nodes trust.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ClientConnection, Connection};
use twoply::node::{Builder, Node};
use twoply_tests::Systems;

use super::certificates::host;
use super::way;

/// The bytes of a length in the handshake.
pub(crate) const HEAD: usize = 4;

/// Starts a node of ours.
pub(crate) fn ours(on: &Systems, builder: Builder) -> Node {
    way::ours(on, builder, None)
}

/// Connects to a node. Who refuses the other side's certificate closes the stream.
pub(crate) fn dial(address: SocketAddr) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (plain, _) = listener.accept().unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    for stream in [&plain, &socket] {
        stream.set_nodelay(true).unwrap();
    }
    let authority = way::authority();
    let mut tls = ClientConnection::new(authority.member_as("localhost", authority), host()).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).unwrap();
    }
    let tls = Arc::new(Mutex::new(Connection::from(tls)));
    let (there, back) = ((plain.try_clone(), socket.try_clone()), (socket, plain));
    let (from, into) = (there.0.unwrap(), there.1.unwrap());
    let state = Arc::clone(&tls);
    thread::spawn(move || {
        // The end of either side is that of both.
        let _ = encrypt(&from, &into, &state);
        let _ = into.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let _ = decrypt(&back.0, &back.1, &tls);
        let _ = back.1.shutdown(Shutdown::Write);
    });
    peer
}

fn encrypt(mut from: &TcpStream, mut into: &TcpStream, tls: &Mutex<Connection>) -> io::Result<()> {
    let mut bytes = [0; 16 << 10];
    loop {
        let len = from.read(&mut bytes)?;
        if len == 0 {
            return Ok(());
        }
        // Nothing is written under the lock: the node may take nothing until what it says is read.
        let mut encrypted = Vec::new();
        let mut state = tls.lock().unwrap();
        state.writer().write_all(&bytes[..len])?;
        while state.wants_write() {
            state.write_tls(&mut encrypted)?;
        }
        drop(state);
        into.write_all(&encrypted)?;
    }
}

fn decrypt(mut from: &TcpStream, mut into: &TcpStream, tls: &Mutex<Connection>) -> io::Result<()> {
    let mut bytes = [0; 16 << 10];
    loop {
        let len = from.read(&mut bytes)?;
        if len == 0 {
            return Ok(());
        }
        let mut rest = &bytes[..len];
        while !rest.is_empty() {
            let mut plain = Vec::new();
            let mut state = tls.lock().unwrap();
            state.read_tls(&mut rest)?;
            state.process_new_packets().map_err(io::Error::other)?;
            match state.reader().read_to_end(&mut plain) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
            drop(state);
            into.write_all(&plain)?;
        }
    }
}
