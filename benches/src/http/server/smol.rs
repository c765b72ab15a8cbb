//! One task of smol's for each connection, on its executor with threads of its own.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use anyhow::Result;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::{Async, Executor};

use crate::http::respond::Conversation;
use crate::runtimes::{Smol, Tasks as _};

/// That many workers.
pub(super) fn serve(listener: TcpListener, workers: usize) -> Result<()> {
    run(listener, workers, |executor, stream| executor.spawn(talk(stream)).detach())
}

/// The same, with a handler that may block, and therefore runs on the thread pool.
pub(super) fn serve_unblocked(listener: TcpListener, workers: usize) -> Result<()> {
    run(listener, workers, |executor, stream| executor.spawn(talk_unblocked(stream)).detach())
}

fn run(
    listener: TcpListener,
    workers: usize,
    start: impl Fn(&Executor<'static>, Async<TcpStream>) + Send + 'static,
) -> Result<()> {
    let smol = Smol::new(workers);
    let executor = Arc::clone(&smol.executor);
    let listener = Async::new(listener)?;
    smol.run(async move {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.get_ref().set_nodelay(true)?;
            start(&executor, stream);
        }
    })?
}

async fn talk(mut stream: Async<TcpStream>) -> io::Result<()> {
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

async fn talk_unblocked(mut stream: Async<TcpStream>) -> io::Result<()> {
    let mut conversation = Conversation::new();
    loop {
        let count = stream.read(conversation.space()).await?;
        // What runs on the pool may not borrow.
        let handler = move || (conversation.received(count), conversation);
        let open;
        (open, conversation) = smol::unblock(handler).await;
        stream.write_all(&conversation.output).await?;
        conversation.output.clear();
        if !open {
            return Ok(());
        }
    }
}
