//! The module `tls` where that feature is off: the same types without a value, so that nobody else has to
//! know whether it is.

use std::io;

use twoply_core::net::TcpStream;

#[derive(Clone, Debug)]
pub(crate) enum Tls {}

pub(crate) enum Session {}

impl Session {
    pub(crate) async fn connect(tls: &Tls, _: TcpStream, _: &str) -> io::Result<Session> {
        match *tls {}
    }

    pub(crate) async fn accept(tls: &Tls, _: TcpStream) -> io::Result<Session> {
        match *tls {}
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        match *self {}
    }

    pub(crate) fn is_for(&self, _: &str) -> bool {
        match *self {}
    }

    pub(crate) async fn read(&self, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) async fn write_all(&self, _: &[u8]) -> io::Result<()> {
        match *self {}
    }
}
