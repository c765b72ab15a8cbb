//! The registration with the port mapper, which lasts as long as a connection to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use twoply_core::net::TcpStream;
use twoply_core::time::{now, sleep};

use super::Shared;
use crate::meet::{self, ConnectError, in_time};

/// The time after which a node that has lost the port mapper registers again, and for which one that starts
/// finds that its name is taken: that of a node that has just ended is.
const AGAIN: Duration = Duration::from_secs(2);
/// The time between two attempts of a node that starts.
const SOON: Duration = Duration::from_millis(100);

/// A name and a port, and where they are to be known.
#[derive(Clone)]
pub(super) struct Registration {
    pub(super) epmd: SocketAddr,
    pub(super) alive: String,
    pub(super) port: u16,
}

impl Registration {
    async fn attempt(&self) -> Result<(TcpStream, u32), ConnectError> {
        in_time(meet::register(self.epmd, &self.alive, self.port)).await
    }

    /// Registers the node when it starts. Returns the connection and the creation.
    pub(super) async fn begin(&self) -> Result<(TcpStream, u32), ConnectError> {
        let until = now() + AGAIN;
        loop {
            match self.attempt().await {
                Err(ConnectError::Io(error))
                    if error.kind() == std::io::ErrorKind::AddrInUse && now() < until =>
                {
                    sleep(SOON).await;
                }
                registered => return registered,
            }
        }
    }

    /// Stays registered until the node is shut down. The creation stays what it was, whatever the port mapper
    /// says when it is there again: pids of this node would be nobody else.
    pub(super) async fn stay(self, shared: Arc<Shared>, stream: TcpStream) {
        let mut stream = Some(stream);
        loop {
            let lost = async {
                // Nothing comes but the end.
                while let Some(stream) = &stream
                    && matches!(stream.read(&mut [0; 16]).await, Ok(1..))
                {}
                stream = None;
                sleep(AGAIN).await;
                self.attempt().await.ok()
            };
            stream = twoply_core::select! {
                await;
                registered = lost => registered.map(|(stream, _)| stream),
                () = shared.over.cancelled() => return,
            };
        }
    }
}
