//! Unix sockets: streams, listeners and datagrams between the processes of one machine.

mod credentials;
mod datagram;
mod file;
mod listener;
mod rights;
mod stream;

pub use credentials::Credentials;
pub use datagram::UnixDatagram;
pub(super) use file::SocketFile;
pub use listener::{UnixListener, UnixListenerBuilder};
pub use rights::ReceivedFds;
pub use stream::UnixStream;
