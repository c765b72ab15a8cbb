//! One tokio task for each connection, on either of its runtimes.

use std::io;
use std::net::TcpListener as StdListener;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::http::respond::Conversation;
use crate::runtimes;

/// The runtime in which the calling thread does everything; the number of workers is one.
pub(super) fn serve_on_current_thread(listener: StdListener, _workers: usize) -> Result<()> {
    run("tokio-current", listener, 1)
}

/// The runtime with that many workers that steal from each other.
pub(super) fn serve_on_workers(listener: StdListener, workers: usize) -> Result<()> {
    run("tokio-multi", listener, workers)
}

fn run(system: &str, listener: StdListener, workers: usize) -> Result<()> {
    let runtime = runtimes::tokio_named(system, workers)?;
    runtime.block_on(runtime.spawn(async move {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(talk(stream));
        }
    }))?
}

async fn talk(mut stream: TcpStream) -> io::Result<()> {
    let mut conversation = Conversation::new();
    loop {
        let count = stream.read(conversation.space()).await?;
        let open = conversation.received(count);
        stream.write_all(&conversation.output).await?;
        conversation.output.clear();
        if !open {
            return Ok(());
        }
    }
}
