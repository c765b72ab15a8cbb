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
/// The reads after which naps begin again where they have ended and nothing was written since.
const AGAIN: u32 = 8;
/// The time that passes from one message of such a stream to the next at most, on average.
const SOON: Duration = Duration::from_micros(20);
/// The bytes of a small message at most, on average of a read.
const SMALL: usize = 4 << 10;
/// A burst of fewer bytes is not worth a nap.
const FEW: usize = 256;
/// After a burst of so many bytes more is there already.
const MANY: usize = 64 << 10;
/// The bytes that the system lets come during a nap before it marks the stream as readable.
const LOW_WATER: u32 = 32 << 10;

/// The reader's view of how a peer sends.
pub(super) struct Pace {
    /// The reads of small messages in a row, when the first of them was, and the messages.
    streak: u32,
    since: Instant,
    messages: u32,
    /// The number of the last write to the peer that is known.
    written: u64,
    napping: bool,
}

impl Pace {
    pub(super) fn new() -> Pace {
        Pace { streak: 0, since: now(), messages: 0, written: 0, napping: false }
    }

    /// Returns true if the reader is to sleep before it reads again: it has read `len` bytes with so many
    /// messages, and the peer was written to so often.
    ///
    /// The content of a read depends on how long a thread takes to wake: on a machine with nothing else to do
    /// that may be the time of many messages. So it is messages whose rate counts, and not reads.
    pub(super) fn naps(&mut self, len: usize, messages: u32, written: u64, stream: &Stream) -> bool {
        let is_told = mem::replace(&mut self.written, written) != written;
        let is_big = len > SMALL.saturating_mul(messages as usize);
        if self.napping && (is_told || is_big || !(FEW..MANY).contains(&len)) {
            self.wake(stream);
        } else if !self.napping && !is_told && !is_big {
            self.count(messages, stream);
        }
        if is_told || is_big {
            self.streak = 0;
        }
        self.napping
    }

    /// Counts a read of small messages, and begins to nap if it was one too many.
    fn count(&mut self, messages: u32, stream: &Stream) {
        if self.streak == 0 {
            (self.since, self.messages) = (now(), 0);
        }
        self.streak += 1;
        self.messages = self.messages.saturating_add(messages);
        if self.streak >= STREAK {
            self.streak = 0;
            self.napping = now() - self.since < SOON * self.messages && stream.wake_at(LOW_WATER);
        }
    }

    /// Ends the naps: whatever comes, or has come, wakes the reader.
    pub(super) fn wake(&mut self, stream: &Stream) {
        if mem::take(&mut self.napping) {
            // The number was set before, so it can be set.
            stream.wake_at(1);
            (self.streak, self.since, self.messages) = (STREAK - AGAIN, now(), 0);
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
        let mut pace = Pace::new();
        let is_quiet =
            |socket: &TcpStream| timeout(Duration::from_millis(5), socket.readable()).wait().is_err();
        // A few messages a read, and many of them: it is their rate that counts.
        for (small, many) in [(FEW - 1, 4), (2 * SMALL, 100)] {
            for (len, written) in [(FEW - 1, 0), (MANY, 0), (FEW, 1)] {
                let before = pace.written;
                // Where this thread stands still meanwhile, what has been read is no stream.
                while !pace.naps(small, many, before, &stream) {}
                assert!(is_quiet(socket), "it naps");
                assert!(pace.naps(FEW, 4, before, &stream), "so much is worth a nap");
                assert!(!pace.naps(len, 4, before + written, &stream));
                socket.readable().wait().unwrap();
            }
        }
        // Where nothing was written, it naps again soon; a message that is big ends that.
        let before = pace.written;
        while !pace.naps(FEW, 4, before, &stream) {}
        assert!(!pace.naps(FEW - 1, 4, before, &stream));
        assert_eq!(pace.streak, STREAK - AGAIN);
        assert!(!pace.naps(FEW, 0, before, &stream));
        assert_eq!(pace.streak, 0);
        // No small messages, and some to which something is written each time.
        for written in before + 1..before + 2 * u64::from(STREAK) {
            assert!(!pace.naps(FEW, 4, written, &stream) && !pace.naps(SMALL + 1, 1, written, &stream));
        }
    }

    #[test]
    fn a_reader_that_hears_little_does_not_nap() {
        let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
        let stream = Stream::Plain(listener.accept().wait().unwrap().0);
        let mut pace = Pace::new();
        for _ in 0..3 * STREAK {
            // A message at a time, at longer distances than a stream has them.
            if let Some(first) = pace.since.checked_sub(2 * SOON) {
                pace.since = first;
            }
            assert!(!pace.naps(FEW, 1, 0, &stream));
        }
    }
}
