//! Datagrams as a port: an item is the address of the other side, and what is in the datagram.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::event::{During, PortError};
use super::medium::{Input, Medium};
use super::stream::{KEPT, failed_writing, with_spare};
use crate::event::reactor::{Address, UnixAddr};
use crate::net::endpoint::{Datagram, Endpoint, Family};

/// A datagram as a port has it: the address that it comes from, or goes to, and the bytes in it.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::{UdpSocket, endpoint::Ip}, port::{self, Addressed}};
///
/// let socket = UdpSocket::bind("127.0.0.1:0").wait()?;
/// let itself = socket.local_addr()?;
/// let port = port::udp(socket).start()?;
/// let datagram: Addressed<Ip> = (itself, b"hello".to_vec());
/// port.send(datagram).wait()?;
/// assert_eq!(port.recv().wait()?.item(), Some((itself, b"hello".to_vec())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Addressed<F> = (<F as Family>::Address, Vec<u8>);

/// A socket of datagrams as a medium.
pub(super) struct Datagrams<F: Family> {
    socket: Arc<Endpoint<F, Datagram>>,
    /// The datagrams that have not been sent.
    unsent: VecDeque<Addressed<F>>,
    /// The number of bytes in them, with something for each.
    unsent_bytes: usize,
    /// The send that waits for room, and the number of bytes that its datagram counts for.
    sending: Option<(Sending, usize)>,
    /// The errors of datagrams that could not be sent, of which as many are kept as nobody has asked for: a
    /// port that had the next ones wait would have its owner wait for itself.
    errors: VecDeque<PortError>,
}

/// A datagram that is being sent.
type Sending = Pin<Box<dyn Future<Output = io::Result<usize>> + Send>>;

/// The number of bytes that an unsent datagram counts for beside its own: empty ones take memory, too.
const EACH: usize = 64;

impl<F: Family> Datagrams<F> {
    pub(super) fn new(socket: Endpoint<F, Datagram>) -> Datagrams<F> {
        Datagrams {
            socket: Arc::new(socket),
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            sending: None,
            errors: VecDeque::new(),
        }
    }

    /// Sends a datagram, if there is room for it now; else notes that it is being sent.
    fn send(&mut self, to: F::Address, bytes: Vec<u8>) -> io::Result<()> {
        let sent = match has_no_name::<F>(&to) {
            true => self.socket.try_send(&bytes),
            false => self.socket.try_send_to(&bytes, to.clone()),
        };
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let (socket, counts) = (Arc::clone(&self.socket), bytes.len() + EACH);
                let sending = async move {
                    match has_no_name::<F>(&to) {
                        true => socket.send(&bytes).await,
                        false => socket.send_to(&bytes, to).await,
                    }
                };
                self.sending = Some((Box::pin(sending), counts));
                Ok(())
            }
            sent => {
                self.unsent_bytes -= bytes.len() + EACH;
                sent.map(drop)
            }
        }
    }
}

/// Returns whether this is the address of a Unix socket that has none: then nothing can be sent there but by
/// a socket that is connected to it.
fn has_no_name<F: Family>(address: &F::Address) -> bool {
    matches!(address.clone().into(), Address::Unix(UnixAddr::Unnamed))
}

impl<F: Family> Medium for Datagrams<F> {
    type In = Addressed<F>;
    type Out = Addressed<F>;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Input<Self::In>> {
        if let Some(error) = self.take_error() {
            return Poll::Ready(Input::Error(error));
        }
        let received = with_spare(|buf| {
            let buf = &mut buf[..KEPT];
            let received = ready!(self.socket.poll_recv_from(cx, buf));
            Poll::Ready(received.map(|(received, from)| (from, buf[..received.len].to_vec(), received.lost)))
        });
        Poll::Ready(match ready!(received) {
            Ok((from, datagram, 0)) => Input::Item((from, datagram)),
            Ok((_, _, lost)) => {
                let message = format!("a datagram of {} bytes, where {KEPT} is the most", KEPT + lost);
                let error = io::Error::new(io::ErrorKind::InvalidData, message);
                Input::Error(PortError::Io { during: During::Read, error })
            }
            Err(error) => {
                // The network says this of a datagram that was sent before; it concerns no other.
                let passes = matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::HostUnreachable
                        | io::ErrorKind::NetworkUnreachable
                );
                let error = PortError::Io { during: During::Read, error };
                if passes { Input::Error(error) } else { Input::Failed(error) }
            }
        })
    }

    fn take_error(&mut self) -> Option<PortError> {
        self.errors.pop_front()
    }

    fn encode(&mut self, datagram: Self::Out) -> Result<(), PortError> {
        self.unsent_bytes += datagram.1.len() + EACH;
        self.unsent.push_back(datagram);
        Ok(())
    }

    fn unwritten(&self) -> usize {
        self.unsent_bytes
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PortError>> {
        loop {
            let sent = match &mut self.sending {
                Some((sending, counts)) => {
                    let sent = ready!(sending.as_mut().poll(cx));
                    self.unsent_bytes -= *counts;
                    self.sending = None;
                    sent.map(drop)
                }
                None => match self.unsent.pop_front() {
                    Some((to, bytes)) => self.send(to, bytes),
                    None => return Poll::Ready(Ok(())),
                },
            };
            // A datagram that cannot be sent says nothing of the next one.
            if let Err(error) = sent {
                self.errors.push_back(failed_writing(error));
            }
        }
    }

    fn settle(&mut self) {
        if self.unsent.is_empty() {
            self.unsent = VecDeque::new();
        }
    }
}
