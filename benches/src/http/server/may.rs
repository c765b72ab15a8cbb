//! One coroutine of may's for each connection, in plain blocking code.
//!
//! may makes a listener only itself, so a thread of its own accepts; may's own listener would do that in a
//! coroutine.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context as _, Result};
use may::io::CoIo;

use crate::http::respond::Conversation;
use crate::runtimes;

/// That many workers.
pub(super) fn serve(listener: TcpListener, workers: usize) -> Result<()> {
    runtimes::may(workers);
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        let stream = CoIo::new(stream).ok().context("handing a connection to may")?;
        // A client that goes away is no fault of the server's.
        may::go!(move || talk(stream).ok());
    }
    Ok(())
}

fn talk(mut stream: CoIo<TcpStream>) -> io::Result<()> {
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
