//! One OS thread for each connection, in plain blocking code.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use anyhow::Result;

use crate::http::respond::Conversation;

/// A connection needs little stack; the default of 2 MiB is only address space, but a thousand of it are a
/// lot.
const STACK: usize = 64 * 1024;

/// The number of workers is the kernel's affair here.
pub(super) fn serve(listener: TcpListener, _workers: usize) -> Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        // A client that goes away is no fault of the server's.
        std::thread::Builder::new().stack_size(STACK).spawn(move || talk(stream).ok())?;
    }
    Ok(())
}

fn talk(mut stream: TcpStream) -> io::Result<()> {
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
