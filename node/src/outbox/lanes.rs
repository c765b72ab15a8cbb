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

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use super::Receiver;
use crate::wire::{Frame, Parts, Told};

/// The bytes of a message from which on it is cut, and of each part, as in OTP.
const FRAGMENT: usize = 64 << 10;

/// Returns true if a frame is to go out in fragments. What counts is the message; a header comes on top of
/// it, which has more than 64 KiB only where most of its 255 atoms are very long and new.
pub(super) fn is_big(frame: &Frame) -> bool {
    frame.message_len() > FRAGMENT
}

/// The messages that go out by turns.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    /// The bytes of all, and of their atoms.
    len: usize,
    /// The number of the last message that went out in fragments.
    last: u64,
    /// The lane whose turn it is.
    turn: usize,
}

#[derive(Default)]
struct Lane {
    /// The frames. The first one is a big one.
    frames: VecDeque<Queued>,
    /// The tasks that have sent the messages, with how many each, and `None` for the signals.
    senders: BTreeMap<Option<u64>, usize>,
    /// The receivers of all, with how many each.
    receivers: BTreeMap<Receiver, usize>,
}

struct Queued {
    sender: Option<u64>,
    to: Receiver,
    next: Next,
}

enum Next {
    Whole(Frame),
    /// The rest of a frame that goes out in fragments, with the number of its message.
    Parts(u64, Parts),
}

impl Next {
    /// Returns how many bytes it takes: none of fragments that are all written.
    fn memory(&self) -> usize {
        match self {
            Next::Whole(frame) => frame.memory(),
            Next::Parts(_, parts) => parts.memory(),
        }
    }
}

impl Lane {
    fn may_receive(&self, to: Receiver) -> bool {
        match to {
            Receiver::Nobody => false,
            Receiver::Named => self.receivers.keys().any(|to| *to != Receiver::Nobody),
            Receiver::Pid(_) => {
                self.receivers.contains_key(&to) || self.receivers.contains_key(&Receiver::Named)
            }
        }
    }

    fn push(&mut self, queued: Queued) {
        *self.senders.entry(queued.sender).or_default() += 1;
        *self.receivers.entry(queued.to).or_default() += 1;
        self.frames.push_back(queued);
    }

    /// Takes the first frame out. Returns true if that was the last one of its sender or its receiver.
    fn pop(&mut self) -> bool {
        let Some(Queued { sender, to, .. }) = self.frames.pop_front() else { return false };
        forget(&mut self.senders, sender) | forget(&mut self.receivers, to)
    }

    fn holds_back(&self, sender: Option<u64>, to: Receiver) -> bool {
        match sender {
            Some(_) => {
                self.senders.contains_key(&sender) || self.senders.contains_key(&None) && self.may_receive(to)
            }
            None => self.may_receive(to),
        }
    }

    /// Writes a fragment, and the small frames that stand in front of the next big one. Returns how many
    /// bytes have gone out of the lane, and true if somebody has nothing in it any more.
    fn write_next(&mut self, told: &mut Told, out: &mut Vec<u8>) -> (usize, bool) {
        let (mut gone, mut somebody) = (0, false);
        let mut wrote_fragment = false;
        while let Some(queued) = self.frames.front_mut() {
            let before = queued.next.memory();
            let left = match &mut queued.next {
                Next::Whole(frame) => {
                    frame.write_whole(told, out);
                    0
                }
                Next::Parts(..) if wrote_fragment => break,
                Next::Parts(sequence, parts) => {
                    wrote_fragment = true;
                    parts.write_fragment(FRAGMENT, *sequence, told, out);
                    parts.memory()
                }
            };
            gone += before - left;
            if left == 0 {
                somebody |= self.pop();
            }
        }
        (gone, somebody)
    }
}

/// Counts one less, and returns true if none is left.
fn forget<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) -> bool {
    let Entry::Occupied(mut count) = counts.entry(key) else { return false };
    *count.get_mut() -= 1;
    let is_last = *count.get() == 0;
    if is_last {
        count.remove();
    }
    is_last
}

impl Lanes {
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Returns how many bytes wait.
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
                if next < self.turn {
                    self.turn -= 1;
                }
                lane.frames.into_iter().for_each(|queued| self.lanes[first].push(queued));
            } else {
                next += 1;
            }
        }
        Some(first)
    }

    /// Appends a frame to a lane, or to a new one. It is taken, and left empty.
    pub(super) fn append(
        &mut self,
        lane: Option<usize>,
        sender: Option<u64>,
        to: Receiver,
        frame: &mut Frame,
        big: bool,
    ) {
        let next = if big {
            self.last += 1;
            Next::Parts(self.last, frame.take_parts())
        } else {
            Next::Whole(frame.take_whole())
        };
        self.len += next.memory();
        let lane = lane.unwrap_or_else(|| {
            self.lanes.push(Lane::default());
            self.lanes.len() - 1
        });
        self.lanes[lane].push(Queued { sender, to, next });
    }

    /// Writes a fragment of each lane by turns, until `out` has `enough` bytes; each gets one in any case.
    /// Returns true if somebody has nothing in a lane any more.
    pub(super) fn take(&mut self, told: &mut Told, out: &mut Vec<u8>, enough: usize) -> bool {
        let (mut turns, mut somebody) = (self.lanes.len(), false);
        while !self.lanes.is_empty() && (turns > 0 || out.len() < enough) {
            turns = turns.saturating_sub(1);
            self.turn %= self.lanes.len();
            let lane = &mut self.lanes[self.turn];
            let (gone, left) = lane.write_next(told, out);
            self.len -= gone;
            somebody |= left;
            if lane.frames.is_empty() {
                self.lanes.remove(self.turn);
            } else {
                self.turn += 1;
            }
        }
        somebody
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Atom, Control, Flags, FromTerm, Inbound, Limits, Packets, Pid, Target, Term};

    const FLAGS: Flags = Flags::OFFERED;

    /// The bytes that have been written, and the atoms that they have told.
    #[derive(Default)]
    struct Out {
        told: Told,
        bytes: Vec<u8>,
    }

    /// Returns atoms that go with a number, some of which share an entry with those of others.
    fn atoms(number: u64) -> Vec<Atom> {
        let names = (0..number % 7).map(|index| format!("atom{}", (31 * number + 17 * index) % 5_000));
        names.map(|name| Atom::new(name).unwrap()).collect()
    }

    /// Returns a message: a number, as many bytes, and atoms.
    fn message(number: u64, len: usize) -> Frame {
        let pid = Pid { node: Atom::new("n@h").unwrap(), id: 1, serial: 0, creation: 1 };
        let control = Control::Send { from: None, to: Target::Pid(pid), urgent: false };
        let mut frame = Frame::default();
        let binary = Term::Binary(vec![number as u8; len].into());
        frame.write(FLAGS, &control, |out| out.value(&(number, binary, atoms(number)))).unwrap();
        frame
    }

    /// Reads what has been written, and returns the numbers of the messages.
    fn read(bytes: &[u8]) -> Vec<u64> {
        let (mut packets, mut inbound) = (Packets::frames(1 << 20), Inbound::new(FLAGS, Limits::default()));
        let mut bytes = bytes;
        let mut numbers = Vec::new();
        while let Some(frame) = packets.next(&mut bytes).unwrap() {
            if let Some(message) = inbound.frame(frame).unwrap() {
                let mut payload = message.payload();
                let (number, binary, names) = <(u64, Term, Vec<Atom>)>::from_term(&mut payload).unwrap();
                assert_eq!(names, atoms(number));
                let Term::Binary(binary) = binary else { panic!("it is a binary") };
                assert!(binary.iter().all(|byte| *byte == number as u8));
                numbers.push(number);
            }
        }
        assert_eq!(inbound.begun(), 0);
        numbers
    }

    fn append(lanes: &mut Lanes, sender: Option<u64>, to: Receiver, mut frame: Frame, out: &mut Out) {
        let big = is_big(&frame);
        match lanes.behind(sender, to) {
            None if !big => frame.write_whole(&mut out.told, &mut out.bytes),
            lane => lanes.append(lane, sender, to, &mut frame, big),
        }
    }

    fn take(lanes: &mut Lanes, out: &mut Out) -> bool {
        lanes.take(&mut out.told, &mut out.bytes, 0)
    }

    fn drain(lanes: &mut Lanes, out: &mut Out) {
        while !lanes.is_empty() {
            let before = out.bytes.len();
            take(lanes, out);
            assert!(out.bytes.len() > before);
        }
        assert_eq!(lanes.len(), 0);
    }

    #[test]
    fn a_message_stays_behind_a_big_one_of_its_sender_only() {
        let (mut lanes, mut out) = (Lanes::default(), Out::default());
        let to = Receiver::Pid(1);
        append(&mut lanes, Some(7), to, message(1, 300_000), &mut out);
        append(&mut lanes, Some(7), Receiver::Pid(2), message(2, 10), &mut out);
        append(&mut lanes, Some(8), to, message(3, 10), &mut out);
        append(&mut lanes, Some(8), to, message(4, 100_000), &mut out);
        append(&mut lanes, Some(8), to, message(5, 10), &mut out);
        drain(&mut lanes, &mut out);
        assert_eq!(read(&out.bytes), [3, 4, 5, 1, 2]);
    }

    #[test]
    fn a_signal_stays_behind_what_goes_to_the_same_process() {
        let (mut lanes, mut out) = (Lanes::default(), Out::default());
        append(&mut lanes, Some(7), Receiver::Pid(1), message(1, 300_000), &mut out);
        append(&mut lanes, Some(8), Receiver::Named, message(2, 200_000), &mut out);
        append(&mut lanes, None, Receiver::Nobody, message(3, 10), &mut out);
        append(&mut lanes, Some(9), Receiver::Pid(2), message(4, 10), &mut out);
        // Behind both: the name may be that of the process.
        append(&mut lanes, None, Receiver::Pid(1), message(5, 10), &mut out);
        append(&mut lanes, Some(9), Receiver::Pid(1), message(6, 10), &mut out);
        assert_eq!(lanes.lanes.len(), 1);
        drain(&mut lanes, &mut out);
        assert_eq!(read(&out.bytes), [3, 4, 1, 2, 5, 6]);
    }

    #[test]
    fn the_atoms_of_what_waits_count() {
        let (mut lanes, mut out) = (Lanes::default(), Out::default());
        append(&mut lanes, Some(7), Receiver::Pid(1), message(6, 100_000), &mut out);
        let frame = message(13, 10);
        let (before, len) = (lanes.len(), frame.len());
        append(&mut lanes, Some(7), Receiver::Pid(1), frame, &mut out);
        let names: usize = atoms(13).iter().map(|atom| size_of::<Atom>() + atom.as_str().len()).sum();
        assert!(lanes.len() >= before + len + names);
        // Those of the first one have gone out with its first fragment.
        let first = lanes.len();
        take(&mut lanes, &mut out);
        assert!(lanes.len() <= first - FRAGMENT - names);
        drain(&mut lanes, &mut out);
        assert_eq!(read(&out.bytes), [6, 13]);
    }

    #[test]
    fn a_lane_forgets_who_has_left_it() {
        let (mut lanes, mut out) = (Lanes::default(), Out::default());
        let (one, two) = (Receiver::Pid(1), Receiver::Pid(2));
        append(&mut lanes, Some(7), one, message(1, 100_000), &mut out);
        append(&mut lanes, None, one, message(2, 10), &mut out);
        append(&mut lanes, Some(7), two, message(3, 100_000), &mut out);
        append(&mut lanes, Some(7), two, message(4, 10), &mut out);
        assert!(lanes.hold_back(8, one));
        assert!(!take(&mut lanes, &mut out) && take(&mut lanes, &mut out));
        // The third message is still there, and the signal is not.
        assert!(!lanes.hold_back(8, one) && !lanes.hold_back(8, two) && lanes.hold_back(7, one));
        assert!(lanes.behind(None, one).is_none() && lanes.behind(None, two).is_some());
        drain(&mut lanes, &mut out);
        assert_eq!(read(&out.bytes), [1, 2, 3, 4]);
    }

    #[test]
    fn lanes_that_become_one_do_not_lose_a_turn() {
        let (mut lanes, mut out) = (Lanes::default(), Out::default());
        for (number, to) in [(1, 1), (2, 1), (3, 2)] {
            append(&mut lanes, Some(number), Receiver::Pid(to), message(number, 100_000), &mut out);
        }
        // It is the turn of the last one, and still is when the others are one.
        lanes.turn = 2;
        append(&mut lanes, None, Receiver::Pid(1), message(4, 10), &mut out);
        assert_eq!(lanes.lanes.len(), 2);
        drain(&mut lanes, &mut out);
        assert_eq!(read(&out.bytes), [3, 1, 2, 4]);
    }

    #[test]
    fn whatever_is_sent_arrives_in_the_order_of_each_sender() {
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut lanes, mut out) = (Lanes::default(), Out::default());
            for number in 0..100u64 {
                let sender = random.u64(1..5);
                let len =
                    if random.u8(..4) == 0 { random.usize(60_000..200_000) } else { random.usize(..50) };
                let to = Receiver::Pid(random.u64(..3));
                append(&mut lanes, Some(sender), to, message(number << 8 | sender, len), &mut out);
                if random.u8(..8) == 0 {
                    take(&mut lanes, &mut out);
                }
            }
            drain(&mut lanes, &mut out);
            let numbers = read(&out.bytes);
            assert_eq!(numbers.len(), 100);
            for sender in 1..5 {
                let own: Vec<_> = numbers.iter().filter(|number| *number & 0xff == sender).collect();
                assert!(own.is_sorted(), "{own:?}");
            }
        }
    }
}
