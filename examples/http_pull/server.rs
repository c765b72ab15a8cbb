//! The server as its application sees it: requests that are pulled one by one, from all clients, and answered
//! in any order.

use std::convert::Infallible;
use std::io;

use twoply::channel::{self, Receiver, Sender};
use twoply::net::TcpListener;
use twoply::{Spawner, Task, Wait, select};

use crate::connection::{Request, Settings, serve};

/// A running server. Dropping it leaves nobody who answers: all clients are told so.
pub(crate) struct Server {
    /// The requests of all clients.
    requests: Receiver<Request>,
    /// The accept loop.
    accepting: Task<io::Result<()>>,
}

/// Ends the server when it is dropped: nobody is accepted any more, idle clients are let go, and what has
/// begun is finished.
#[must_use = "the server ends when it is dropped"]
pub(crate) struct Closer(#[allow(dead_code, reason = "dropping it is what it is for")] Sender<Infallible>);

/// Starts tasks: as futures that are suspended, or as straight-line code that waits for them.
#[derive(Clone)]
pub(crate) struct Starter {
    /// What starts them.
    pub(crate) spawner: Spawner,
    /// Whether each has a stack.
    pub(crate) straight: bool,
}

impl Starter {
    fn start<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match self.straight {
            true => self.spawner.spawn_fn(move || future.wait()),
            false => self.spawner.spawn(future),
        }
    }
}

impl Server {
    /// Serves those who connect to `listener`, by tasks of its own.
    pub(crate) fn start(listener: TcpListener, starter: Starter, settings: Settings) -> (Server, Closer) {
        let (sender, requests) = channel::bounded(settings.backlog);
        // Nothing is ever sent: dropping `open` is the message.
        let (open, closing) = channel::bounded(1);
        let accepting = starter.clone().start(accept(listener, starter, sender, closing, settings));
        (Server { requests, accepting }, Closer(open))
    }

    /// Waits for the next request. `None` when the server has ended and all clients have gone.
    pub(crate) async fn next(&self) -> Option<Request> {
        loop {
            let request = self.requests.recv().await.ok()?;
            // One whose time was over before it was pulled, or whose client has gone, is nobody's.
            if request.is_awaited() {
                return Some(request);
            }
        }
    }

    /// The requests, for a loop that waits for each.
    pub(crate) fn requests(&self) -> impl Iterator<Item = Request> {
        std::iter::from_fn(|| self.next().wait())
    }

    /// Waits for the end of the accept loop, and says what has ended it.
    pub(crate) async fn ended(self) -> io::Result<()> {
        self.accepting.await.map_err(io::Error::other)?
    }
}

/// Accepts clients and has each served, until the server is closing. When descriptors run out, `incoming`
/// waits until there are some.
async fn accept(
    listener: TcpListener,
    starter: Starter,
    requests: Sender<Request>,
    closing: Receiver<Infallible>,
    settings: Settings,
) -> io::Result<()> {
    let mut clients = listener.incoming();
    loop {
        select! { await;
            client = clients.accept() => {
                let (stream, _) = client?;
                // Answers are written in one piece. It fails only for a client that has gone.
                let _ = stream.set_nodelay(true);
                starter.start(serve(stream, requests.clone(), closing.clone(), settings.clone())).detach();
            },
            _ = closing.recv() => return Ok(()),
        }
    }
}
