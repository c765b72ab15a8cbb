//! Sockets of ZeroMQ, of the crate [`zmq`](https://docs.rs/zmq): their operations are futures, which hold no
//! thread and no worker up.
//!
//! A socket has one descriptor for both directions, which tells by an edge that something has changed, and
//! not what (`ZMQ_FD` in its manual). So each operation is tried first, then the events are asked for, which
//! takes note of the change, and only when these say no is there something to wait for.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};

use twoply_core::io::{Direction, Pollable};
use zmq::{DONTWAIT, Message, PollEvents, SNDMORE};

/// A socket of ZeroMQ whose operations are futures, finished by `.await` or `.wait()`.
///
/// It belongs to one task at a time, as a socket does, and may be handed from one to another, also of another
/// runtime. Whatever does not wait is done with the socket itself: [`get_ref`](Socket::get_ref) lends it for
/// settings, `bind` and `connect`.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::zmq::Socket;
///
/// let context = zmq::Context::new();
/// let mut server = Socket::new(context.socket(zmq::REP)?)?;
/// server.get_ref().bind("tcp://127.0.0.1:*")?;
/// let address = server.get_ref().get_last_endpoint()?.unwrap();
/// let serving = twoply::spawn(async move {
///     let request = server.recv().await?;
///     server.send(&request[..]).await
/// });
///
/// let mut client = Socket::new(context.socket(zmq::REQ)?)?;
/// client.get_ref().connect(&address)?;
/// client.send("hello").wait()?;
/// assert_eq!(&client.recv().wait()?[..], b"hello");
/// serving.wait().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Socket(Pollable<Owner>);

/// A socket, and the descriptor that it has until it is closed.
struct Owner {
    socket: zmq::Socket,
    fd: RawFd,
}

impl AsFd for Owner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket has this descriptor, the same all its life, and closes it when it is dropped. It
        // is owned by `self`, which the result borrows, and is not handed out before that is taken apart.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}

impl Socket {
    /// Makes the operations of `socket` futures.
    ///
    /// # Errors
    /// [`ETERM`](zmq::Error::ETERM) when it has heard of the end of its context, and what the system says
    /// when it has no descriptor more. What ZeroMQ has no name for is [`ENOBUFS`](zmq::Error::ENOBUFS), here
    /// and in all operations.
    pub fn new(socket: zmq::Socket) -> zmq::Result<Socket> {
        let fd = socket.get_fd()?;
        Pollable::new(Owner { socket, fd }).map(Socket).map_err(|error| of_system(&error))
    }

    /// Returns the socket itself, for what does not wait.
    pub fn get_ref(&self) -> &zmq::Socket {
        &self.0.get_ref().socket
    }

    /// Gives the socket back.
    pub fn into_inner(self) -> zmq::Socket {
        self.0.into_inner().socket
    }

    /// Sends a message of one part, when there is room for it.
    ///
    /// # Errors
    /// Those of [`zmq::Socket::send`], but for `EAGAIN`.
    ///
    /// # Cancel safety
    /// A future that is dropped before it is ready has sent nothing.
    pub async fn send(&mut self, message: impl AsRef<[u8]>) -> zmq::Result<()> {
        self.send_multipart([message]).await
    }

    /// Sends a message of several parts, as one. Without any, there is nothing to send.
    ///
    /// # Errors
    /// As [`send`](Socket::send), and [`EHOSTUNREACH`](zmq::Error::EHOSTUNREACH) when the peer is seen to go
    /// between two parts: then nobody gets any of them.
    ///
    /// # Cancel safety
    /// As `send`: where there is room for the first part there is for all, and they are sent at once.
    pub async fn send_multipart(
        &mut self,
        parts: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> zmq::Result<()> {
        let parts: Vec<_> = parts.into_iter().collect();
        self.when(PollEvents::POLLOUT, |socket| {
            let mut outcome = Ok(());
            for (number, part) in parts.iter().enumerate() {
                let more = if number + 1 < parts.len() { SNDMORE } else { 0 };
                match socket.send(part.as_ref(), DONTWAIT | more) {
                    // There was room, so the peer has gone. The socket drops what is left of the message,
                    // and has to be given it, or would drop the next one.
                    Err(zmq::Error::EAGAIN) if number > 0 => outcome = Err(zmq::Error::EHOSTUNREACH),
                    sent => sent?,
                }
            }
            outcome
        })
        .await
    }

    /// Receives the next part of a message, when there is one. Whether it is the last one says
    /// [`get_more`](Message::get_more).
    ///
    /// # Errors
    /// Those of [`zmq::Socket::recv_msg`], but for `EAGAIN`.
    ///
    /// # Cancel safety
    /// A future that is dropped before it is ready has received nothing.
    pub async fn recv(&mut self) -> zmq::Result<Message> {
        self.when(PollEvents::POLLIN, |socket| socket.recv_msg(DONTWAIT)).await
    }

    /// Receives all parts of the next message.
    ///
    /// # Errors
    /// As [`recv`](Socket::recv).
    ///
    /// # Cancel safety
    /// As `recv`: the parts of a message come at once.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::zmq::Socket;
    ///
    /// let context = zmq::Context::new();
    /// let [mut push, mut pull] = [zmq::PUSH, zmq::PULL].map(|kind| Socket::new(context.socket(kind).unwrap()).unwrap());
    /// pull.get_ref().bind("inproc://parts")?;
    /// push.get_ref().connect("inproc://parts")?;
    /// push.send_multipart(["to", "somebody"]).wait()?;
    /// assert_eq!(pull.recv_multipart().wait()?, [b"to".to_vec(), b"somebody".to_vec()]);
    /// # Ok::<(), zmq::Error>(())
    /// ```
    pub async fn recv_multipart(&mut self) -> zmq::Result<Vec<Vec<u8>>> {
        self.when(PollEvents::POLLIN, |socket| socket.recv_multipart(DONTWAIT)).await
    }

    /// Does `operation` when the socket is ready for `events`.
    async fn when<R>(
        &mut self,
        events: PollEvents,
        mut operation: impl FnMut(&zmq::Socket) -> zmq::Result<R>,
    ) -> zmq::Result<R> {
        let attempt = |owner: &mut Owner| {
            loop {
                match operation(&owner.socket) {
                    Err(zmq::Error::EAGAIN) => match owner.socket.get_events() {
                        Ok(now) if now.contains(events) => {}
                        Ok(_) => return Err(io::ErrorKind::WouldBlock.into()),
                        Err(error) => return Ok(Err(error)),
                    },
                    result => return Ok(result),
                }
            }
        };
        let done = self.0.with_io_mut(Direction::Read, attempt).await;
        done.unwrap_or_else(|error| Err(of_system(&error)))
    }
}

/// Returns an error of the system's as one of ZeroMQ's, which has few of the names: its `from_raw` panics for
/// all others.
fn of_system(error: &io::Error) -> zmq::Error {
    let names = [zmq::Error::EINVAL, zmq::Error::EMFILE, zmq::Error::ENOMEM];
    let same = |name: &zmq::Error| Some(name.to_raw()) == error.raw_os_error();
    names.into_iter().find(same).unwrap_or(zmq::Error::ENOBUFS)
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("fd", &self.0.get_ref().fd).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;
    use std::thread::sleep;
    use std::time::Duration;

    use twoply_core::Wait;

    use super::{Socket, of_system};

    #[test]
    fn each_number_of_the_systems_is_some_error() {
        for raw in (-1..5000).chain([i32::MIN, i32::MAX]) {
            let error = of_system(&io::Error::from_raw_os_error(raw));
            assert!(error == zmq::Error::ENOBUFS || error.to_raw() == raw, "{raw}");
        }
        assert_eq!(of_system(&io::Error::from_raw_os_error(zmq::Error::EMFILE.to_raw())), zmq::Error::EMFILE);
        assert_eq!(of_system(&io::ErrorKind::Unsupported.into()), zmq::Error::ENOBUFS);
    }

    /// A part of a message. While it is handed over, the peer goes.
    struct Part(&'static str, Cell<Option<zmq::Socket>>);

    impl AsRef<[u8]> for Part {
        fn as_ref(&self) -> &[u8] {
            if let Some(peer) = self.1.take() {
                drop(peer);
                // Long enough for ZeroMQ to hear of it at the next part. If it is not, there is a next round.
                sleep(Duration::from_millis(20));
            }
            self.0.as_bytes()
        }
    }

    /// Sends a message whose peer goes between two parts, until that is noticed. The next peer gets the next
    /// message, and nothing of the first.
    #[test]
    fn a_peer_that_goes_between_two_parts_is_an_error() {
        let lost = |kind, other| {
            let context = zmq::Context::new();
            let mut socket = Socket::new(context.socket(kind).unwrap()).unwrap();
            socket.get_ref().bind("inproc://parts").unwrap();
            let connect = || {
                let peer = context.socket(other).unwrap();
                peer.set_rcvtimeo(20_000).unwrap();
                peer.connect("inproc://parts").unwrap();
                peer
            };
            let peer = connect();
            let part = |text| Part(text, Cell::new(None));
            let parts = [part("one"), Part("two", Cell::new(Some(peer))), part("three")];
            let Err(error) = socket.send_multipart(parts).wait() else { return false };
            assert_eq!(error, zmq::Error::EHOSTUNREACH);
            let next = connect();
            socket.send("next").wait().unwrap();
            assert_eq!(next.recv_multipart(0), Ok(vec![b"next".to_vec()]));
            true
        };
        for (kind, other) in [(zmq::PUSH, zmq::PULL), (zmq::DEALER, zmq::DEALER)] {
            assert!((0..100).any(|_| lost(kind, other)));
        }
    }
}
