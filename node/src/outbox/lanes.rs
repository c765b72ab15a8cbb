//! [`Lanes`]: frames with more than 64 KiB go out in fragments, by turns with those of other senders, so that
//! a big message delays others by a fragment each, not by itself.
//!
//! A lane is a big frame and all that has to stay behind it, in order:
//!
//! - what the same task sends, to whomever;
//! - a signal to a process to which something in the lane goes, or may go: a name may be any process;
//! - a message to such a process, once there is a signal in the lane, since the process that has sent the
//!   signal may be the one that sends the message.
//!
//! A frame that has to stay behind two lanes makes one of them.

use std::collections::{BTreeSet, VecDeque};

use super::Receiver;
use crate::wire::{Frame, Parts};

/// The bytes of a frame of a message from which on it is cut, and of each part, as in OTP.
const FRAGMENT: usize = 64 << 10;

/// Returns true if a frame of so many bytes is to go out in fragments.
pub(super) fn is_big(len: usize) -> bool {
    len > FRAGMENT
}

/// The messages that go out by turns.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    /// The bytes of all.
    len: usize,
    /// The number of the last message that went out in fragments.
    last: u64,
    /// The lane whose turn it is.
    turn: usize,
}

struct Lane {
    /// The frames. The first one is a big one.
    frames: VecDeque<Next>,
    /// The tasks that have sent the messages.
    senders: BTreeSet<u64>,
    receivers: BTreeSet<Receiver>,
    /// True if there is a signal.
    signals: bool,
}

enum Next {
    Whole(Vec<u8>),
    /// The rest of a frame that goes out in fragments, with the number of its message.
    Parts(u64, Parts),
}

impl Lane {
    fn may_receive(&self, to: Receiver) -> bool {
        match to {
            Receiver::Nobody => false,
            Receiver::Named => self.receivers.iter().any(|to| *to != Receiver::Nobody),
            Receiver::Pid(_) => self.receivers.contains(&to) || self.receivers.contains(&Receiver::Named),
        }
    }

    fn holds_back(&self, sender: Option<u64>, to: Receiver) -> bool {
        match sender {
            Some(sender) => self.senders.contains(&sender) || self.signals && self.may_receive(to),
            None => self.may_receive(to),
        }
    }

    /// Writes a fragment, and the small frames that stand in front of the next big one. Returns how many
    /// bytes have gone out of the lane.
    fn write_next(&mut self, out: &mut Vec<u8>) -> usize {
        let mut gone = 0;
        let mut wrote_fragment = false;
        while let Some(frame) = self.frames.front_mut() {
            let (len, whole) = match frame {
                Next::Whole(bytes) => {
                    out.extend_from_slice(bytes);
                    (bytes.len(), true)
                }
                Next::Parts(..) if wrote_fragment => break,
                Next::Parts(sequence, parts) => {
                    wrote_fragment = true;
                    (parts.write_fragment(FRAGMENT, *sequence, out), parts.left() == 0)
                }
            };
            gone += len;
            if whole {
                self.frames.pop_front();
            }
        }
        gone
    }
}

impl Lanes {
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Returns how many bytes are to be written.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns true if a message of this task's has to stay behind a lane.
    pub(super) fn hold_back(&self, sender: u64, to: Receiver) -> bool {
        self.lanes.iter().any(|lane| lane.holds_back(Some(sender), to))
    }

    /// Returns the lane behind which a message of a task's stays, or a signal.
    pub(super) fn behind(&mut self, sender: Option<u64>, to: Receiver) -> Option<usize> {
        let first = self.lanes.iter().position(|lane| lane.holds_back(sender, to))?;
        let mut next = first + 1;
        while let Some(lane) = self.lanes.get(next) {
            if lane.holds_back(sender, to) {
                let lane = self.lanes.remove(next);
                let into = &mut self.lanes[first];
                into.frames.extend(lane.frames);
                into.senders.extend(lane.senders);
                into.receivers.extend(lane.receivers);
                into.signals |= lane.signals;
            } else {
                next += 1;
            }
        }
        Some(first)
    }

    /// Appends a frame to a lane, or to a new one. One that is big is taken, and left empty.
    pub(super) fn append(
        &mut self,
        lane: Option<usize>,
        sender: Option<u64>,
        to: Receiver,
        frame: &mut Frame,
        big: bool,
    ) {
        let frame = if big {
            self.last += 1;
            let parts = frame.take_parts();
            self.len += parts.left();
            Next::Parts(self.last, parts)
        } else {
            self.len += frame.len();
            Next::Whole(frame.whole().to_vec())
        };
        let lane = lane.unwrap_or_else(|| {
            let (senders, receivers) = (BTreeSet::new(), BTreeSet::new());
            self.lanes.push(Lane { frames: VecDeque::new(), senders, receivers, signals: false });
            self.lanes.len() - 1
        });
        let lane = &mut self.lanes[lane];
        lane.frames.push_back(frame);
        lane.receivers.insert(to);
        lane.senders.extend(sender);
        lane.signals |= sender.is_none();
    }

    /// Writes a fragment of each lane by turns, until `out` has `enough` bytes; each gets one in any case.
    /// Returns true if a lane has ended.
    pub(super) fn take(&mut self, out: &mut Vec<u8>, enough: usize) -> bool {
        let before = self.lanes.len();
        let mut turns = before;
        while !self.lanes.is_empty() && (turns > 0 || out.len() < enough) {
            turns = turns.saturating_sub(1);
            self.turn %= self.lanes.len();
            let lane = &mut self.lanes[self.turn];
            self.len -= lane.write_next(out);
            if lane.frames.is_empty() {
                self.lanes.remove(self.turn);
            } else {
                self.turn += 1;
            }
        }
        self.lanes.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Atom, Control, Flags, FromTerm, Inbound, Limits, Packets, Pid, Target, Term};

    const FLAGS: Flags = Flags::OFFERED;

    /// Returns a message: a number, and as many bytes.
    fn message(number: u64, len: usize) -> Frame {
        let pid = Pid { node: Atom::new("n@h").unwrap(), id: 1, serial: 0, creation: 1 };
        let control = Control::Send { from: None, to: Target::Pid(pid), urgent: false };
        let mut frame = Frame::default();
        let binary = Term::Binary(vec![number as u8; len].into());
        frame.write(FLAGS, &control, |out| out.value(&(number, binary))).unwrap();
        frame
    }

    /// Reads what has been written, and returns the numbers of the messages.
    fn read(bytes: &[u8]) -> Vec<u64> {
        let (mut packets, mut inbound) = (Packets::frames(1 << 20), Inbound::new(FLAGS, Limits::default()));
        let mut bytes = bytes;
        let mut numbers = Vec::new();
        while let Some(frame) = packets.next(&mut bytes).unwrap() {
            if let Some(message) = inbound.frame(frame).unwrap() {
                let (number, binary) = <(u64, Term)>::from_term(&mut message.payload()).unwrap();
                let Term::Binary(binary) = binary else { panic!("it is a binary") };
                assert!(binary.iter().all(|byte| *byte == number as u8));
                numbers.push(number);
            }
        }
        assert_eq!(inbound.begun(), 0);
        numbers
    }

    fn append(lanes: &mut Lanes, sender: Option<u64>, to: Receiver, mut frame: Frame, out: &mut Vec<u8>) {
        let big = is_big(frame.len());
        match lanes.behind(sender, to) {
            None if !big => out.extend_from_slice(frame.whole()),
            lane => lanes.append(lane, sender, to, &mut frame, big),
        }
    }

    fn drain(lanes: &mut Lanes, out: &mut Vec<u8>) {
        while !lanes.is_empty() {
            let before = out.len();
            lanes.take(out, 0);
            assert!(out.len() > before);
        }
        assert_eq!(lanes.len(), 0);
    }

    #[test]
    fn a_message_stays_behind_a_big_one_of_its_sender_only() {
        let (mut lanes, mut out) = (Lanes::default(), Vec::new());
        let to = Receiver::Pid(1);
        append(&mut lanes, Some(7), to, message(1, 300_000), &mut out);
        append(&mut lanes, Some(7), Receiver::Pid(2), message(2, 10), &mut out);
        append(&mut lanes, Some(8), to, message(3, 10), &mut out);
        append(&mut lanes, Some(8), to, message(4, 100_000), &mut out);
        append(&mut lanes, Some(8), to, message(5, 10), &mut out);
        drain(&mut lanes, &mut out);
        assert_eq!(read(&out), [3, 4, 5, 1, 2]);
    }

    #[test]
    fn a_signal_stays_behind_what_goes_to_the_same_process() {
        let (mut lanes, mut out) = (Lanes::default(), Vec::new());
        append(&mut lanes, Some(7), Receiver::Pid(1), message(1, 300_000), &mut out);
        append(&mut lanes, Some(8), Receiver::Named, message(2, 200_000), &mut out);
        append(&mut lanes, None, Receiver::Nobody, message(3, 10), &mut out);
        append(&mut lanes, Some(9), Receiver::Pid(2), message(4, 10), &mut out);
        // Behind both: the name may be that of the process.
        append(&mut lanes, None, Receiver::Pid(1), message(5, 10), &mut out);
        append(&mut lanes, Some(9), Receiver::Pid(1), message(6, 10), &mut out);
        assert_eq!(lanes.lanes.len(), 1);
        drain(&mut lanes, &mut out);
        assert_eq!(read(&out), [3, 4, 1, 2, 5, 6]);
    }

    #[test]
    fn whatever_is_sent_arrives_in_the_order_of_each_sender() {
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut lanes, mut out) = (Lanes::default(), Vec::new());
            for number in 0..100u64 {
                let sender = random.u64(1..5);
                let len =
                    if random.u8(..4) == 0 { random.usize(60_000..200_000) } else { random.usize(..50) };
                let to = Receiver::Pid(random.u64(..3));
                append(&mut lanes, Some(sender), to, message(number << 8 | sender, len), &mut out);
                if random.u8(..8) == 0 {
                    lanes.take(&mut out, 0);
                }
            }
            drain(&mut lanes, &mut out);
            let numbers = read(&out);
            assert_eq!(numbers.len(), 100);
            for sender in 1..5 {
                let own: Vec<_> = numbers.iter().filter(|number| *number & 0xff == sender).collect();
                assert!(own.is_sorted(), "{own:?}");
            }
        }
    }
}
