//! One task of ours for each connection: async on the green runtime, and the same straight-line code on its
//! fibers and on native threads.

use std::io::{self, Read, Write};
use std::net::TcpListener as StdListener;

use anyhow::Result;
use twoply::Wait as _;
use twoply::net::{TcpListener, TcpStream};

use crate::http::respond::Conversation;
use crate::runtimes::{self, Tasks as _};

/// Async tasks on that many green workers.
pub(super) fn serve_async(listener: StdListener, workers: usize) -> Result<()> {
    serve(listener, workers, talk)
}

/// The same, with a handler that may block, and therefore runs on an OS thread.
pub(super) fn serve_offloaded(listener: StdListener, workers: usize) -> Result<()> {
    serve(listener, workers, talk_offloaded)
}

/// A task that runs `talk` for each connection.
fn serve<F>(listener: StdListener, workers: usize, talk: fn(TcpStream) -> F) -> Result<()>
where
    F: Future<Output: Send> + Send + 'static,
{
    let runtime = runtimes::twoply_named("twoply-green", workers)?;
    let listener = TcpListener::from_std(listener)?;
    runtime.run(async move {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            twoply::spawn(talk(stream)).detach();
        }
    })?
}

async fn talk(stream: TcpStream) -> io::Result<()> {
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

async fn talk_offloaded(stream: TcpStream) -> Result<()> {
    let mut conversation = Conversation::new();
    loop {
        let count = stream.read(conversation.space()).await?;
        let open = twoply::offload(|| conversation.received(count))?;
        stream.write_all(&conversation.output).await?;
        conversation.output.clear();
        if !open {
            return Ok(());
        }
    }
}

/// Straight-line code on that many green workers with fibers.
pub(super) fn serve_on_fibers(listener: StdListener, workers: usize) -> Result<()> {
    serve_straight("twoply-fibers", listener, workers)
}

/// Straight-line code on a thread for each connection.
pub(super) fn serve_on_threads(listener: StdListener, workers: usize) -> Result<()> {
    serve_straight("twoply-native", listener, workers)
}

fn serve_straight(system: &str, listener: StdListener, workers: usize) -> Result<()> {
    let runtime = runtimes::twoply_named(system, workers)?;
    let listener = TcpListener::from_std(listener)?;
    runtime.run_fn(move || {
        loop {
            let (mut stream, _) = listener.accept().wait()?;
            stream.set_nodelay(true)?;
            twoply::spawn_fn(move || talk_straight(&mut stream)).detach();
        }
    })?
}

/// By std's traits: on a thread of its own, a read is then one system call, as it is for std's streams.
fn talk_straight(stream: &mut (impl Read + Write)) -> io::Result<()> {
    let mut conversation = Conversation::new();
    loop {
        let count = stream.read(conversation.space())?;
        let open = conversation.received(count);
        stream.write_all(&conversation.output)?;
        conversation.output.clear();
        if !open {
            return Ok(());
        }
    }
}
