//! The connections of a listener, one after the other, through shortages of descriptors.

use std::io;
use std::time::Duration;

use super::endpoint::{Endpoint, Family, Ip, Listener, Stream};
use super::sys::is_out_of_resources;
use crate::kernel::Wait;
use crate::time::sleep;

/// The pause of an accept loop that is out of descriptors, and the limit to which it is doubled.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// The connections of a listener, one after the other; made by [`incoming`](Endpoint::incoming).
///
/// When descriptors or memory run out it pauses, 5 ms at first and up to a second, and tries again, so that a
/// server outlives the shortage without burning a core. As an iterator it finishes each step with `.wait()`.
#[derive(Debug)]
pub struct Incoming<'a, F: Family = Ip> {
    listener: &'a Endpoint<F, Listener>,
    /// The next pause; back at the shortest after each success.
    pause: Duration,
}

impl<'a, F: Family> Incoming<'a, F> {
    pub(super) fn new(listener: &'a Endpoint<F, Listener>) -> Incoming<'a, F> {
        let (pause, _) = PAUSE;
        Incoming { listener, pause }
    }

    /// Waits for the next connection. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`accept`](Endpoint::accept) that do not pass by themselves.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let mut incoming = listener.incoming();
    /// let (server, peer) = incoming.accept().wait()?;
    /// # drop((client, server, peer));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn accept(&mut self) -> io::Result<(Endpoint<F, Stream>, F::Address)> {
        let (shortest, longest) = PAUSE;
        loop {
            match self.listener.accept().await {
                Err(e) if is_out_of_resources(&e) => {
                    sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(longest);
                }
                result => {
                    self.pause = shortest;
                    return result;
                }
            }
        }
    }
}

impl<F: Family> Iterator for Incoming<'_, F> {
    type Item = io::Result<Endpoint<F, Stream>>;

    fn next(&mut self) -> Option<io::Result<Endpoint<F, Stream>>> {
        Some(self.accept().wait().map(|(stream, _)| stream))
    }
}
