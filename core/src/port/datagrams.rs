//! Datagrams as a port: an item is the address of the other side, and what is in the datagram.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use super::event::{During, PortError};
use super::medium::{Input, Medium};
use super::stream::{failed_writing, with_spare};
use crate::net::UdpSocket;

/// A UDP socket as a medium.
pub(super) struct Datagrams {
    socket: UdpSocket,
    /// The datagrams that have not been sent.
    unsent: VecDeque<(SocketAddr, Vec<u8>)>,
    /// The number of bytes in them, with something for each.
    unsent_bytes: usize,
    /// The errors of datagrams that could not be sent.
    errors: VecDeque<PortError>,
}

/// The number of bytes that an unsent datagram counts for beside its own: empty ones take memory, too.
const EACH: usize = 64;

impl Datagrams {
    pub(super) fn new(socket: UdpSocket) -> Datagrams {
        Datagrams { socket, unsent: VecDeque::new(), unsent_bytes: 0, errors: VecDeque::new() }
    }

    fn poll_send(&self, cx: &mut Context<'_>, to: SocketAddr, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.socket.try_send_to(bytes, to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_writable(cx))?;
                }
                sent => return Poll::Ready(sent),
            }
        }
    }
}

impl Medium for Datagrams {
    type In = (SocketAddr, Vec<u8>);
    type Out = (SocketAddr, Vec<u8>);

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Input<Self::In>> {
        if let Some(error) = self.errors.pop_front() {
            return Poll::Ready(Input::Error(error));
        }
        let received = with_spare(|buf| {
            let received = ready!(self.socket.poll_recv_from(cx, buf));
            Poll::Ready(received.map(|(received, from)| (from, buf[..received.len].to_vec())))
        });
        Poll::Ready(match ready!(received) {
            Ok(datagram) => Input::Item(datagram),
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

    fn encode(&mut self, datagram: Self::Out) -> Result<(), PortError> {
        self.unsent_bytes += datagram.1.len() + EACH;
        self.unsent.push_back(datagram);
        Ok(())
    }

    fn unwritten(&self) -> usize {
        self.unsent_bytes
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PortError>> {
        while let Some((to, bytes)) = self.unsent.front() {
            // A datagram that cannot be sent says nothing of the next one.
            if let Err(error) = ready!(self.poll_send(cx, *to, bytes)) {
                self.errors.push_back(failed_writing(error));
            }
            self.unsent_bytes -= bytes.len() + EACH;
            self.unsent.pop_front();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), PortError>> {
        Poll::Ready(Ok(()))
    }

    fn settle(&mut self) {
        if self.unsent.is_empty() {
            self.unsent = VecDeque::new();
        }
    }
}
