//! A peer of the tests' own, which says what it likes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use twoply_node::Node;
use twoply_node::wire::{
    Acceptor, Asked, Atom, Binary, Connector, Control, Flags, FromTerm, Inbound, Limits, Message, Own, Peer,
    Pid, Progress, Status, Target, ToTerm, write_frame,
};

pub(crate) const COOKIE: &str = "biscuit";
/// How long word from another task may take.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A number, and bytes.
pub(crate) type Parcel = (u32, Binary);

pub(crate) fn parcel(number: u32, len: usize) -> Parcel {
    (number, vec![number as u8; len].into())
}

/// A peer of the test's own: it says what it likes.
pub(crate) struct Scripted {
    pub(crate) stream: TcpStream,
    pub(crate) peer: Peer,
    own: Own,
    inbound: Inbound,
}

impl Scripted {
    pub(crate) fn own(name: &str) -> Own {
        let (flags, cookie) = (Flags::OFFERED, COOKIE.to_owned());
        Own { name: name.to_owned(), creation: 5, flags, cookie }
    }

    /// Connects as `name`, up to the end of the handshake.
    pub(crate) fn connect(node: &Node, name: &str) -> Scripted {
        Scripted::connect_as(node, Scripted::own(name))
    }

    /// As [`Scripted::connect`], as a node that presents itself so.
    pub(crate) fn connect_as(node: &Node, own: Own) -> Scripted {
        Scripted::connect_to(node.name(), node.local_addr(), own)
    }

    /// As [`Scripted::connect_as`], to any node.
    pub(crate) fn connect_to(name: &str, address: SocketAddr, own: Own) -> Scripted {
        Scripted::through(TcpStream::connect(address).unwrap(), 2, name, own)
    }

    /// As [`Scripted::connect_to`], through a stream on which a length of the handshake has `head` bytes.
    pub(crate) fn through(stream: TcpStream, head: usize, name: &str, own: Own) -> Scripted {
        Scripted::through_when(stream, head, name, own, || ()).unwrap()
    }

    /// As [`Scripted::through`], and does `challenged` before it proves that it knows the cookie. It is an
    /// error where the node closes the connection.
    pub(crate) fn through_when(
        mut stream: TcpStream,
        head: usize,
        name: &str,
        own: Own,
        challenged: impl Fn(),
    ) -> io::Result<Scripted> {
        stream.set_read_timeout(Some(SOON)).unwrap();
        let (mut connector, mut say) = Connector::new(own.clone(), name, 99);
        loop {
            if !say.is_empty() {
                let len = (say.len() as u32).to_be_bytes();
                stream.write_all(&[&len[4 - head..], say.as_slice()].concat())?;
            }
            let mut len = [0; 4];
            stream.read_exact(&mut len[4 - head..])?;
            let mut message = vec![0; u32::from_be_bytes(len) as usize];
            stream.read_exact(&mut message)?;
            say = match connector.message(&message).unwrap() {
                Progress::Send(message) => {
                    challenged();
                    message
                }
                Progress::Alive => connector.alive(true),
                Progress::Done(peer) => {
                    return Ok(Scripted::new(stream, peer, own));
                }
                _ => Vec::new(),
            };
        }
    }

    fn new(stream: TcpStream, peer: Peer, own: Own) -> Scripted {
        let inbound = Inbound::new(peer.agreed, Limits::default());
        Scripted { stream, peer, own, inbound }
    }

    /// Takes a connection as this node, which answers the name of the one that connects so.
    pub(crate) fn accept(mut stream: TcpStream, own: Own, status: Status) -> io::Result<Scripted> {
        stream.set_read_timeout(Some(SOON))?;
        let mut acceptor = Acceptor::new(own.clone(), 7);
        loop {
            let mut len = [0; 2];
            stream.read_exact(&mut len)?;
            let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut message)?;
            let (says, peer) = match acceptor.message(&message).unwrap() {
                Asked::Status { .. } => (acceptor.answer(status), None),
                Asked::Send(message) => (vec![message], None),
                Asked::Done { last, peer } => (vec![last], Some(peer)),
                _ => (Vec::new(), None),
            };
            for say in says {
                stream.write_all(&[&(say.len() as u16).to_be_bytes(), say.as_slice()].concat())?;
            }
            if let Some(peer) = peer {
                return Ok(Scripted::new(stream, peer, own));
            }
        }
    }

    pub(crate) fn say(&mut self, control: &Control, payload: &dyn ToTerm) {
        self.say_at_once(control, [payload]);
    }

    /// Says all of this in one write.
    pub(crate) fn say_at_once<'a>(
        &mut self,
        control: &Control,
        payloads: impl IntoIterator<Item = &'a dyn ToTerm>,
    ) {
        let mut frames = Vec::new();
        for payload in payloads {
            write_frame(self.peer.agreed, control, &mut frames, |out| out.value(payload)).unwrap();
        }
        self.stream.write_all(&frames).unwrap();
    }

    pub(crate) fn pid(&self, id: u32) -> Pid {
        Pid { node: Atom::new(self.own.name.as_str()).unwrap(), id, serial: 0, creation: 5 }
    }

    /// Returns the control message of what a process of this node sends to a name.
    pub(crate) fn send_to(&self, name: &str) -> Control {
        let to = Target::Name(Atom::new(name).unwrap());
        Control::Send { from: Some(self.pid(1)), to, urgent: false }
    }

    /// Returns the next control message of the node.
    pub(crate) fn hear(&mut self) -> Control {
        self.message().into_control()
    }

    /// Returns the next message of the node's that is sent to somebody.
    pub(crate) fn hear_message<M: for<'a> FromTerm<'a>>(&mut self) -> M {
        loop {
            let message = self.message();
            if matches!(message.control(), Control::Send { .. }) {
                return M::from_term(&mut message.payload()).unwrap();
            }
        }
    }

    fn message(&mut self) -> Message {
        self.try_message().unwrap()
    }

    /// Returns the next control message with what is behind it. It is an error where the node has closed the
    /// connection.
    pub(crate) fn try_message(&mut self) -> io::Result<Message> {
        loop {
            let mut len = [0; 4];
            self.stream.read_exact(&mut len)?;
            let mut frame = vec![0; u32::from_be_bytes(len) as usize];
            self.stream.read_exact(&mut frame)?;
            if !frame.is_empty()
                && let Some(message) = self.inbound.frame(frame).unwrap()
            {
                return Ok(message);
            }
        }
    }

    /// Waits until the node has closed the connection, and returns what it has sent before.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }
}
