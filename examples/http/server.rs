//! The accept loop, and the loop of each client.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use twoply::channel::Receiver;
use twoply::net::TcpListener;
use twoply::select;

use crate::connection::Connection;

/// Accepts clients and has each of them served, until the server is closing. When descriptors run out,
/// `incoming` waits until there are some.
pub(crate) async fn accept(
    listener: TcpListener,
    closing: Receiver<Infallible>,
    patience: Duration,
    start: impl Fn(Connection),
) -> io::Result<()> {
    let mut clients = listener.incoming();
    loop {
        select! { await;
            client = clients.accept() => {
                let (stream, _) = client?;
                // Answers are written in one piece. It fails only for a client that has gone.
                let _ = stream.set_nodelay(true);
                start(Connection::new(stream, closing.clone(), patience));
            },
            _ = closing.recv() => return Ok(()),
        }
    }
}

/// Answers the requests of one client. An error means that the client has broken the connection off: there is
/// nobody to tell.
pub(crate) async fn serve(mut client: Connection) -> io::Result<()> {
    while let Some(request) = client.next().await? {
        let body = request.body;
        match (request.method, request.path) {
            ("GET" | "HEAD", "/") => request.reply("200 OK", b"Hello from two plies.\n"),
            ("POST", "/echo") => request.reply("200 OK", body),
            _ => request.reply("404 Not Found", b"There is nothing here.\n"),
        }
    }
    Ok(())
}
