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
    run("tokio-current", listener, 1, talk)
}

/// The runtime with that many workers that steal from each other.
pub(super) fn serve_on_workers(listener: StdListener, workers: usize) -> Result<()> {
    run("tokio-multi", listener, workers, talk)
}

/// The same, with a handler that may block: before it runs, the worker hands its other tasks over.
pub(super) fn serve_in_place(listener: StdListener, workers: usize) -> Result<()> {
    run("tokio-multi", listener, workers, talk_in_place)
}

fn run<F>(
    system: &str,
    listener: StdListener,
    workers: usize,
    talk: impl Fn(TcpStream) -> F + Send + 'static,
) -> Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
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

async fn talk_in_place(mut stream: TcpStream) -> io::Result<()> {
    let mut conversation = Conversation::new();
    loop {
        let count = stream.read(conversation.space()).await?;
        let open = tokio::task::block_in_place(|| conversation.received(count));
        stream.write_all(&conversation.output).await?;
        conversation.output.clear();
        if !open {
            return Ok(());
        }
    }
}
