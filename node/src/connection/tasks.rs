//! The two tasks of a connection: one reads, one writes.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use twoply_core::sync::CancellationToken;
use twoply_core::time::timeout;

use super::Connection;
use crate::wire::{Inbound, Packets};

/// The bytes that are read at a time.
const READ: usize = 16 << 10;
/// How long a reader waits for a process to receive what it has, until it gives the connection up.
const PATIENCE: Duration = Duration::from_secs(30);
/// The parts of a tick time, after each of which something must have been written.
const INTENSITY: u32 = 4;
/// What is written when there is nothing else: a frame without content.
const TICK: [u8; 4] = [0; 4];

/// Starts the tasks of a connection. `rest` are bytes behind the handshake that have been read already.
pub(crate) fn start(connection: &Arc<Connection>, rest: Vec<u8>) {
    let spawner = connection.shared.spawner.clone();
    let (reader, writer) = (Reading(Arc::clone(connection)), Arc::clone(connection));
    drop(spawner.spawn(async move { reader.0.read(rest).await }));
    drop(spawner.spawn(async move { writer.write().await }));
}

/// Tells everybody when the reader is over, however it comes to that.
struct Reading(Arc<Connection>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.lose();
    }
}

/// Waits for `future`, or until the connection is to end.
async fn unless_stopped<F: Future>(stopped: &CancellationToken, future: F) -> Option<F::Output> {
    twoply_core::select! {
        await;
        output = future => Some(output),
        () = stopped.cancelled() => None,
    }
}

impl Connection {
    async fn read(self: &Arc<Self>, rest: Vec<u8>) {
        if let Err(why) = self.try_read(rest).await {
            self.stop(&why);
        }
    }

    /// Reads until the connection ends, and returns why it does.
    async fn try_read(self: &Arc<Self>, rest: Vec<u8>) -> Result<(), String> {
        let limits = self.shared.settings.limits;
        let mut packets = Packets::frames(limits.frame);
        let mut inbound = Inbound::new(self.peer.agreed, limits);
        let mut buffer = rest;
        let mut len = buffer.len();
        loop {
            let mut bytes = &buffer[..len];
            while let Some(frame) = packets.next(&mut bytes).map_err(|error| error.to_string())? {
                if frame.is_empty() {
                    continue;
                }
                if let Some(message) = inbound.frame(frame).map_err(|error| error.to_string())? {
                    // What types of the program make of a term is code of the program's.
                    if catch_unwind(AssertUnwindSafe(|| self.receive(&message))).is_err() {
                        self.shared.undecodable();
                    }
                }
                self.room().await?;
            }
            buffer.resize(READ, 0);
            let read = timeout(self.shared.settings.tick_time, self.stream.read(&mut buffer));
            len = match unless_stopped(&self.stopped, read).await {
                None => return Ok(()),
                Some(Err(_)) => return Err("nothing was heard of it".to_owned()),
                Some(Ok(Err(error))) => return Err(error.to_string()),
                Some(Ok(Ok(0))) => return Err("it has closed the connection".to_owned()),
                Some(Ok(Ok(len))) => len,
            };
        }
    }

    /// Waits as long as too much waits beside full mailboxes.
    async fn room(&self) -> Result<(), String> {
        let waiting = &self.shared.waiting;
        while waiting.is_too_much() {
            match unless_stopped(&self.stopped, timeout(PATIENCE, waiting.fewer())).await {
                None => return Ok(()),
                Some(Err(_)) => return Err("processes of ours do not receive what it sends".to_owned()),
                Some(Ok(())) => {}
            }
        }
        Ok(())
    }

    async fn write(&self) {
        let interval = self.shared.settings.tick_time / INTENSITY;
        let mut bytes = Vec::new();
        loop {
            let waited = unless_stopped(&self.stopped, timeout(interval, self.outbox.filled())).await;
            let mut goes_on = self.outbox.take(&mut bytes) && waited.is_some();
            if bytes.is_empty() && waited.is_some_and(|filled| filled.is_err()) {
                bytes.extend_from_slice(&TICK);
            }
            goes_on &= self.write_all(&bytes).await.is_ok();
            if !goes_on {
                return self.stop("it does not take what is written");
            }
        }
    }

    /// Writes, unless the connection ends; what has been queued before that goes out if it can at once.
    async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match unless_stopped(&self.stopped, self.stream.write_all(bytes)).await {
            Some(written) => written,
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}
