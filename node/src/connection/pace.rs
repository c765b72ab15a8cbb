//! [`Pace`]: a peer that sends small messages on end is read in bursts.
//!
//! Such a peer writes each message by itself, and waking a reader for each costs more than the message does,
//! above all the peer, whose call has to wake a thread. So the reader sleeps for [`NAP`] while the system
//! wakes nobody, and then takes all that has come meanwhile.
//!
//! That delays a message by a nap at most, as long as the reader gets a core then; and only where many have
//! come in a row to which nothing was written: whoever waits for an answer is answered at once.

use std::mem;
use std::time::{Duration, Instant};

use twoply_core::time::now;

use crate::stream::Stream;

/// The time that a reader sleeps between two bursts.
pub(super) const NAP: Duration = Duration::from_micros(100);
/// The reads in a row that make a stream of small messages.
const STREAK: u32 = 32;
/// The time in which so many come.
const SOON: Duration = Duration::from_micros(STREAK as u64 * 20);
/// The bytes that a read of small messages has at most.
const SMALL: usize = 4 << 10;
/// A burst of fewer bytes is not worth a nap.
const FEW: usize = 256;
/// After a burst of so many bytes more is there already.
const MANY: usize = 64 << 10;
/// The bytes that the system lets come during a nap before it marks the stream as readable.
const LOW_WATER: u32 = 32 << 10;

/// The reader's view of how a peer sends.
pub(super) struct Pace {
    /// The small reads in a row, and when the first of them was.
    streak: u32,
    since: Instant,
    /// The number of the last write to the peer that is known.
    written: u64,
    napping: bool,
}

impl Pace {
    pub(super) fn new() -> Pace {
        Pace { streak: 0, since: now(), written: 0, napping: false }
    }

    /// Returns true if the reader is to sleep before it reads again: it has read `len` bytes, and the peer
    /// was written to so often.
    pub(super) fn naps(&mut self, len: usize, written: u64, stream: &Stream) -> bool {
        let is_told = mem::replace(&mut self.written, written) != written;
        if self.napping {
            if is_told || !(FEW..MANY).contains(&len) {
                self.wake(stream);
            }
        } else if is_told || len > SMALL {
            self.streak = 0;
        } else {
            if self.streak == 0 {
                self.since = now();
            }
            self.streak += 1;
            if self.streak == STREAK {
                self.streak = 0;
                self.napping = now() - self.since < SOON && stream.wake_at(LOW_WATER);
            }
        }
        self.napping
    }

    /// Ends the naps: whatever comes, or has come, wakes the reader.
    pub(super) fn wake(&mut self, stream: &Stream) {
        if mem::take(&mut self.napping) {
            // The number was set before, so it can be set.
            stream.wake_at(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use twoply_core::Wait;
    use twoply_core::net::{TcpListener, TcpStream};
    use twoply_core::time::timeout;

    use super::*;

    #[test]
    fn a_reader_naps_until_there_is_something_else_to_do() {
        let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
        let stream = Stream::Plain(listener.accept().wait().unwrap().0);
        let Stream::Plain(socket) = &stream else { return };
        peer.write_all(b"few").wait().unwrap();
        let (mut pace, small) = (Pace::new(), FEW - 1);
        for (len, written) in [(small, 0), (MANY, 0), (FEW, 1)] {
            let before = pace.written;
            // Where this thread stands still meanwhile, what has been read is no stream.
            while !pace.naps(small, before, &stream) {}
            assert!(timeout(Duration::from_millis(5), socket.readable()).wait().is_err(), "it naps");
            assert!(pace.naps(FEW, before, &stream), "so much is worth a nap");
            assert!(!pace.naps(len, written, &stream));
            socket.readable().wait().unwrap();
        }
        // No small messages, and some to which something is written each time.
        for written in 2..2 * u64::from(STREAK) {
            assert!(!pace.naps(small, written, &stream) && !pace.naps(SMALL + 1, written, &stream));
        }
    }
}
