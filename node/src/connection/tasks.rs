//! The two tasks of a connection: one reads, one writes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use twoply_core::future;
use twoply_core::sync::CancellationToken;
use twoply_core::time::{now, sleep, timeout, timeout_at};

use super::Connection;
use super::pace::{NAP, Pace};
use crate::contain;
use crate::node::Settings;
use crate::outbox::Taken;
use crate::wire::{Inbound, Packets};

/// The bytes that are read at a time, and those of a peer that sends as many.
const READ: usize = 16 << 10;
const MAX_READ: usize = 128 << 10;
/// The bytes of a message that its receiver sees before more is read.
const BIG: usize = 64 << 10;
/// The time that a peer of which nothing was heard gets beyond that.
const GRACE: Duration = Duration::from_millis(100);
/// The time, and the bytes, after which what the reader leaves to be written with something else goes out.
const LINGER: Duration = Duration::from_millis(100);
const LINGERING: usize = 16 << 10;
/// The parts of a tick time, after each of which something must have been written.
const INTENSITY: u32 = 4;
/// Multiples of it, without what is in front of the point, are spread evenly.
const GOLDEN: f64 = 0.618_033_988_749_895;
/// A frame without content, which is written when there is nothing else.
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
        let Settings { limits, tick_time, .. } = self.shared.settings;
        let mut packets = Packets::frames(limits.frame);
        let mut inbound = Inbound::keeping(self.peer.agreed, limits, Arc::clone(&self.kept));
        let mut buffer = rest;
        let (mut len, mut size) = (buffer.len(), READ);
        // Only a whole frame is a sign of life, or a peer could keep a connection for ever with a byte at a
        // time.
        let mut heard = now();
        let mut grace = Some(GRACE);
        let mut pace = Pace::new();
        let mut linger = None;
        loop {
            let (mut big, mut messages) = (false, 0);
            let mut bytes = &buffer[..len];
            while let Some(frame) = packets.next(&mut bytes).map_err(|error| error.to_string())? {
                (heard, grace) = (now(), Some(GRACE));
                if frame.is_empty() {
                    continue;
                }
                if let Some(message) = inbound.frame(frame).map_err(|error| error.to_string())? {
                    messages += 1;
                    big |= message.payload_len() > BIG;
                    // Wakers and destructors of the program's run in it.
                    if let Err(panic) = contain::run(|| self.receive(&message)) {
                        self.shared.panicked(&self.peer.name, &panic);
                    }
                    inbound.give_back(message);
                }
                if self.waiting.is_too_much() || self.waiting.has_lost() {
                    self.flush();
                    self.room().await?;
                    // The clock has stood still meanwhile.
                    heard = now();
                }
            }
            if big {
                // The receiver may be done with the message by then, and its memory is used again.
                future::yield_now().await;
            }
            let is_full = len == size;
            size = if is_full {
                MAX_READ.min(2 * size)
            } else if len < size / 4 {
                READ
            } else {
                size
            };
            if buffer.len() != size {
                buffer = vec![0; size];
            }
            linger = match self.outbox.untold() {
                1..LINGERING => {
                    let by_now = now();
                    linger.or(Some(by_now + LINGER)).filter(|until| *until > by_now)
                }
                _ => None,
            };
            if linger.is_none() {
                self.flush();
            }
            if pace.naps(len, messages, self.writes.load(Relaxed), &self.stream) {
                // Behind a read that has filled its buffer there is more already.
                if !is_full && unless_stopped(&self.stopped, sleep(NAP)).await.is_none() {
                    return Ok(());
                }
                match self.stream.try_read(&mut buffer) {
                    // The end is read once more.
                    Ok(0) => {}
                    Ok(more) => {
                        len = more;
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
            // From here on the reader waits, so whatever comes has to wake it.
            pace.wake(&self.stream);
            let until = linger.map_or(heard + tick_time, |linger| linger.min(heard + tick_time));
            let read = timeout_at(until, self.stream.read(&mut buffer));
            len = match unless_stopped(&self.stopped, read).await {
                None => return Ok(()),
                Some(Err(_)) if linger.take().is_some() => {
                    self.flush();
                    0
                }
                Some(Err(_)) => match grace.take() {
                    None => return Err("nothing was heard of it".to_owned()),
                    // Where this program was stopped for a while, what has come meanwhile is read first.
                    Some(grace) => {
                        heard += grace.saturating_add((now() - heard) - tick_time);
                        0
                    }
                },
                Some(Ok(Err(error))) => return Err(error.to_string()),
                Some(Ok(Ok(0))) => return Err("it has closed the connection".to_owned()),
                Some(Ok(Ok(len))) => len,
            };
        }
    }

    /// Has the writer write what has been left to go out with something else.
    fn flush(&self) {
        if self.outbox.untold() > 0 {
            self.outbox.kick();
        }
    }

    /// Waits as long as too much waits beside full mailboxes.
    async fn room(&self) -> Result<(), String> {
        let waiting = &self.waiting;
        while waiting.is_too_much() {
            match unless_stopped(&self.stopped, timeout(self.shared.settings.stall_time, waiting.fewer()))
                .await
            {
                None => return Ok(()),
                Some(Ok(())) => {}
                Some(Err(_)) => {
                    let who = waiting.slowest().map_or_else(|| "nobody".to_owned(), |pid| pid.to_string());
                    return Err(format!("{who} does not receive what it sends"));
                }
            }
        }
        if waiting.has_lost() {
            return Err("no task can be started that sends its messages on".to_owned());
        }
        Ok(())
    }

    async fn write(&self) {
        let interval = self.shared.settings.tick_time / INTENSITY;
        // Connections that were made at once do not tick at once.
        let mut patience = interval.mul_f64(self.shared.number() as f64 * GOLDEN % 1.0);
        let mut bytes = Vec::new();
        let (mut taken, mut swept) = (Taken::All, now());
        loop {
            if now() - swept >= interval {
                self.forget_given_up();
                self.kept.sweep();
                swept = now();
            }
            let filled = match taken {
                Taken::Some => Some(Ok(())),
                _ => {
                    self.outbox.rest();
                    unless_stopped(&self.stopped, timeout(patience, self.outbox.filled())).await
                }
            };
            patience = interval;
            taken = self.outbox.take(&mut bytes);
            if taken == Taken::Lent && filled.is_some() {
                continue;
            }
            let tick = bytes.is_empty() && filled.is_some_and(|filled| filled.is_err());
            if tick {
                // A connection that is idle keeps no memory for what it may have to write.
                bytes = TICK.to_vec();
            }
            self.writes.fetch_add(1, Relaxed);
            if self.write_all(&bytes).await.is_err() || filled.is_none() || taken == Taken::Last {
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
