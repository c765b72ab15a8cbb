//! [`Frame`]: a frame that goes out. A large binary in it is not copied: the frame refers to it, and the
//! bytes are taken from it when they are written to the socket. Atoms are said by numbers ([`atoms`]).

mod atoms;

use std::collections::VecDeque;
use std::mem;

use super::control::Control;
use super::encode::Encoder;
use super::error::EncodeError;
use super::flags::Flags;
use super::frame::{FRAME_HEAD, Limits, write_frame_to};
use super::tag;
use super::term::Binary;

pub(crate) use self::atoms::{Atoms, Told};

/// The bytes of the length in front of a frame.
const LENGTH: usize = 4;
/// The bytes in front of what a frame without a header says.
const PASSED_HEAD: usize = LENGTH + 2;
/// The bytes of a binary from which on a frame refers to it. A frame with one is longer than a fragment.
const LARGE: usize = 64 << 10;
/// The memory of a frame that is worth a copy of the last bytes, so that these do not keep it.
const WORTH: usize = 8 << 20;
/// The bytes that are copied then, at most.
const LAST: usize = 1 << 20;

/// The binaries that a frame refers to, in order, and the place of each in what else has been written.
#[derive(Debug, Default)]
pub(super) struct Shared {
    binaries: VecDeque<(usize, Binary)>,
    /// The bytes of all of them.
    len: usize,
}

impl Shared {
    /// Takes a binary that belongs to this place, unless it is to be copied: one that is small, and one that
    /// keeps much more than itself, which would count as little.
    pub(super) fn take(&mut self, place: usize, binary: &Binary) -> bool {
        let takes = binary.len() >= LARGE && binary.is_most_of_what_it_keeps();
        if takes {
            self.len += binary.len();
            self.binaries.push_back((place, binary.clone()));
        }
        takes
    }

    /// Returns how many bytes belong to this place or behind it.
    pub(super) fn len_from(&self, place: usize) -> usize {
        let behind = self.binaries.iter().rev().take_while(|(other, _)| *other >= place);
        behind.map(|(_, binary)| binary.len()).sum()
    }
}

/// The bytes of a frame, as if it had a header without atoms, the binaries between them, and the atoms.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    pub(super) bytes: Vec<u8>,
    shared: Shared,
    atoms: Atoms,
}

impl Frame {
    /// Makes an empty one with this memory.
    pub(super) fn new(bytes: Vec<u8>, atoms: Atoms) -> Frame {
        Frame { bytes, shared: Shared::default(), atoms }
    }

    pub(super) fn into_memory(self) -> (Vec<u8>, Atoms) {
        (self.bytes, self.atoms)
    }

    /// Writes a frame, into one that is empty, as [`write_frame`](super::write_frame) does. Where the peer
    /// takes fragments, large binaries are not copied, and atoms have numbers: such a peer has a cache.
    ///
    /// # Errors
    /// Those of the control message and the payload.
    pub(crate) fn write(
        &mut self,
        agreed: Flags,
        control: &Control,
        payload: impl FnOnce(&mut Encoder<'_>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let Frame { bytes, shared, atoms } = self;
        let refers = agreed.contains(Flags::FRAGMENTS).then_some((shared, atoms));
        let written = write_frame_to(agreed, control, bytes, refers, payload);
        if written.is_err() {
            self.shared = Shared::default();
            self.atoms.clear();
        }
        written
    }

    /// Returns an encoder of what belongs to no frame yet.
    pub(super) fn encoder(&mut self) -> Encoder<'_> {
        Encoder::sharing(&mut self.bytes, &mut self.shared)
    }

    /// Writes the same to another place, in which what is not copied here need not be copied either.
    pub(super) fn copy_to(&self, out: &mut Encoder<'_>) {
        let mut written = 0;
        for (place, binary) in &self.shared.binaries {
            out.own_bytes(&self.bytes[written..*place]);
            out.shared_bytes(binary);
            written = *place;
        }
        out.own_bytes(&self.bytes[written..]);
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.shared.len
    }

    /// Returns how many bytes the message has, without what stands in front of it. The frame is one for a
    /// peer that takes headers.
    pub(crate) fn message_len(&self) -> usize {
        self.len() - FRAME_HEAD
    }

    /// Returns the limit that this frame is above, if it is above one, as a peer counts on which these flags
    /// have been agreed, and which has the same limits.
    pub(crate) fn is_above(&self, agreed: Flags, limits: &Limits) -> Option<usize> {
        let head = if agreed.contains(Flags::DIST_HDR_ATOM_CACHE) { FRAME_HEAD } else { PASSED_HEAD };
        let in_parts = agreed.contains(Flags::FRAGMENTS);
        let too_long = (self.len() - head > limits.message).then_some(limits.message);
        let too_long_at_once = (!in_parts && self.len() - LENGTH > limits.frame).then_some(limits.frame);
        too_long.into_iter().chain(too_long_at_once).min()
    }

    /// Returns how many bytes it takes while it waits: its atoms, too.
    pub(crate) fn memory(&self) -> usize {
        self.len() + self.atoms.memory()
    }

    /// Writes a frame that goes out in one piece, behind all that went out before it. It is shorter than any
    /// binary that is not copied.
    pub(crate) fn write_whole(&mut self, told: &mut Told, out: &mut Vec<u8>) {
        debug_assert!(self.shared.binaries.is_empty());
        if self.atoms.is_empty() {
            return out.extend_from_slice(&self.bytes);
        }
        let start = out.len();
        out.extend_from_slice(&[0, 0, 0, 0, tag::VERSION, tag::DIST_HEADER]);
        told.header(&mut self.atoms, out);
        out.extend_from_slice(&self.bytes[FRAME_HEAD..]);
        let len = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&len.to_be_bytes());
    }

    /// Takes a frame that goes out in one piece later, and leaves an empty one with its memory.
    pub(crate) fn take_whole(&mut self) -> Frame {
        debug_assert!(self.shared.binaries.is_empty());
        let frame = Frame::new(self.bytes.clone(), self.atoms.take());
        self.bytes.clear();
        frame
    }

    /// Takes all that goes out in fragments, and leaves an empty frame.
    pub(crate) fn take_parts(&mut self) -> Parts {
        let left = self.message_len();
        let Frame { bytes, shared, atoms } = self;
        let (shared, atoms) = (mem::take(shared), atoms.take());
        let mut frame = Frame { bytes: mem::take(bytes), shared, atoms };
        if frame.bytes.len() < LARGE {
            // Memory for much more may be there, and is worth being used again.
            let bytes = frame.bytes.clone();
            self.bytes = mem::replace(&mut frame.bytes, bytes);
            self.bytes.clear();
        }
        Parts { frame, is_new: true, written: FRAME_HEAD, of_first: 0, left }
    }
}

#[cfg(test)]
impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Frame {
        Frame::new(bytes, Atoms::new())
    }
}

/// The rest of a frame that goes out in fragments. What stood in front of it stands in front of each instead.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The frame, which its binaries leave when they are written.
    frame: Frame,
    is_new: bool,
    /// The bytes that have been written: of the frame's own, and of its first binary.
    written: usize,
    of_first: usize,
    /// The bytes that have not been.
    left: usize,
}

impl Parts {
    /// Returns how many bytes it takes while it waits: none when all is written.
    pub(crate) fn memory(&self) -> usize {
        self.left + self.frame.atoms.memory()
    }

    /// Writes a fragment: `part` bytes, or what is left. Returns how many they are.
    pub(crate) fn write_fragment(
        &mut self,
        part: usize,
        sequence: u64,
        told: &mut Told,
        out: &mut Vec<u8>,
    ) -> usize {
        let missing = self.left.div_ceil(part) as u64;
        let len = part.min(self.left);
        let is_first = mem::take(&mut self.is_new);
        let start = out.len();
        out.reserve(4 + 2 + 16 + 1 + len);
        out.extend_from_slice(&[0; 4]);
        let kind = if is_first { tag::FIRST_FRAGMENT } else { tag::FRAGMENT };
        out.extend_from_slice(&[tag::VERSION, kind]);
        out.extend_from_slice(&sequence.to_be_bytes());
        out.extend_from_slice(&missing.to_be_bytes());
        if is_first {
            told.header(&mut mem::take(&mut self.frame.atoms), out);
        }
        let in_all = (out.len() - start - 4 + len) as u32;
        out[start..start + 4].copy_from_slice(&in_all.to_be_bytes());
        self.write_bytes(len, out);
        self.left -= len;
        self.forget_written();
        len
    }

    fn write_bytes(&mut self, mut len: usize, out: &mut Vec<u8>) {
        while len > 0 {
            let Frame { bytes, shared, .. } = &mut self.frame;
            let first = shared.binaries.front();
            let own = &bytes[self.written..first.map_or(bytes.len(), |(place, _)| *place)];
            let own = &own[..len.min(own.len())];
            out.extend_from_slice(own);
            self.written += own.len();
            len -= own.len();
            let Some((_, binary)) = first.filter(|_| len > 0) else { continue };
            let more = &binary[self.of_first..];
            let more = &more[..len.min(more.len())];
            out.extend_from_slice(more);
            self.of_first += more.len();
            len -= more.len();
            if self.of_first == binary.len() {
                shared.binaries.pop_front();
                self.of_first = 0;
            }
        }
    }

    /// Frees what has been written of a very long frame, before others may follow it.
    fn forget_written(&mut self) {
        let Frame { bytes, shared, .. } = &mut self.frame;
        if bytes.capacity() >= WORTH && bytes.len() - self.written <= LAST {
            *bytes = bytes.split_off(self.written);
            for (place, _) in &mut shared.binaries {
                *place -= self.written;
            }
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::wire::kept::Whole;
    use crate::wire::term::{ClosureHeader, Fun, FunKind};
    use crate::wire::{Atom, Inbound, Packets, Pid, Target, Term, ToTerm, write_frame};

    const FLAGS: Flags = Flags::OFFERED;

    fn pid() -> Pid {
        Pid { node: Atom::known("n@h"), id: 1, serial: 0, creation: 1 }
    }

    fn control() -> Control {
        Control::Send { from: None, to: Target::Pid(pid()), urgent: false }
    }

    fn binary(len: usize) -> Term {
        Term::Binary((0..len).map(|byte| byte as u8).collect::<Vec<_>>().into())
    }

    fn framed(payload: &impl ToTerm) -> Frame {
        let mut frame = Frame::default();
        frame.write(FLAGS, &control(), |out| out.value(payload)).unwrap();
        frame
    }

    /// Returns a frame with the texts of atoms, and with what `write` writes.
    fn with_texts(write: impl FnOnce(&mut Encoder<'_>)) -> Frame {
        let mut frame = Frame::default();
        write_frame(FLAGS, &control(), &mut frame.bytes, |_| Ok(())).unwrap();
        write(&mut frame.encoder());
        frame
    }

    /// Returns what the fragments have, in order.
    fn written(parts: &mut Parts, part: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while parts.memory() > 0 {
            let (first, mut out) = (parts.is_new, Vec::new());
            let len = parts.write_fragment(part, 7, &mut Told::default(), &mut out);
            assert_eq!(out.len(), 4 + 2 + 16 + usize::from(first) + len);
            all.extend_from_slice(&out[out.len() - len..]);
        }
        all
    }

    #[test]
    fn what_is_not_copied_crosses_as_if_it_were() {
        let new = Some((1, [7; 16], 2));
        let header = ClosureHeader { module: Atom::known("m"), old_index: 1, old_uniq: 2, pid: pid(), new };
        let free = vec![binary(LARGE), Term::from(7), binary(2 * LARGE), binary(10)];
        let closure = Term::Fun(Box::new(Fun(FunKind::Closure { header, free })));
        let terms = [
            binary(LARGE),
            Term::Tuple(vec![binary(3 * LARGE + 1), binary(LARGE - 1), binary(LARGE), Term::from(1)]),
            Term::List(vec![binary(0), binary(LARGE), binary(LARGE), Term::Tuple(vec![binary(LARGE)])]),
            Term::list_with_tail(vec![binary(9)], binary(LARGE)),
            Term::Tuple(vec![binary(LARGE), closure, binary(LARGE + 1)]),
        ];
        for term in terms {
            let mut copied = Vec::new();
            write_frame(FLAGS, &control(), &mut copied, |out| out.value(&term)).unwrap();
            for part in [1 << 10, LARGE - 1, LARGE, LARGE + 1, 1 << 24] {
                let mut frame = with_texts(|out| out.value(&term).unwrap());
                assert_eq!(frame.len(), copied.len());
                assert!(frame.bytes.len() < LARGE + (1 << 10), "it is copied");
                assert_eq!(written(&mut frame.take_parts(), part), copied[FRAME_HEAD..], "{part}");
                assert_eq!(frame.len(), 0);
            }
            // The same of a term that was written before it was known where it goes.
            let mut before = Frame::default();
            before.encoder().value(&term).unwrap();
            let mut frame = with_texts(|out| before.copy_to(out));
            assert!(frame.bytes.len() < LARGE + (1 << 10), "it is copied");
            assert_eq!(written(&mut frame.take_parts(), LARGE), copied[FRAME_HEAD..]);
        }
    }

    #[test]
    fn a_binary_that_keeps_much_more_than_itself_is_copied() {
        let whole = Arc::new(Whole::from(vec![7; 4 * LARGE]));
        let part = |end: usize| Binary::of_frame(&whole, 0, end as u32);
        assert_eq!(framed(&part(2 * LARGE - 1)).shared.len, 0);
        assert_eq!(framed(&part(2 * LARGE)).shared.len, 2 * LARGE);
        // The memory counts, not what is used of it.
        let mut bytes = Vec::with_capacity(4 * LARGE);
        bytes.resize(LARGE, 7);
        assert_eq!(framed(&Binary::from(bytes)).shared.len, 0);
    }

    #[test]
    fn the_end_of_a_very_long_frame_does_not_keep_the_rest() {
        let text = "x".repeat(2 * WORTH);
        let mut parts = framed(&(&*text, binary(LARGE), "end")).take_parts();
        let mut out = Vec::new();
        while parts.left > LAST / 2 {
            parts.write_fragment(LARGE, 7, &mut Told::default(), &mut out);
            out.clear();
        }
        assert!(parts.frame.bytes.capacity() <= LAST);
        let rest = written(&mut parts, LARGE);
        assert!(rest.ends_with(b"m\0\0\0\x03end"));
    }

    #[test]
    fn a_frame_is_above_the_limits_just_where_a_peer_with_them_says_so() {
        let without_headers = FLAGS - Flags::DIST_HDR_ATOM_CACHE - Flags::FRAGMENTS;
        for agreed in [FLAGS, FLAGS - Flags::FRAGMENTS, without_headers] {
            let mut frame = Frame::default();
            frame.write(agreed, &control(), |out| out.value(&binary(1_000))).unwrap();
            let mut bytes = Vec::new();
            frame.write_whole(&mut Told::default(), &mut bytes);
            let (mut either, len) = (BTreeSet::new(), bytes.len());
            for limit in len - 100..=len {
                let large = 2 * len;
                for (message, at_once) in [(limit, large), (large, limit)] {
                    let limits = Limits { message, frame: at_once, ..Limits::default() };
                    let mut packets = Packets::frames(at_once);
                    let taken = packets.next(&mut &bytes[..]).and_then(|packet| {
                        let mut inbound = Inbound::new(agreed, limits);
                        inbound.frame(packet.unwrap())
                    });
                    // A peer that takes parts reads no frame that is nearly as long as one may be.
                    if message == large && agreed.contains(Flags::FRAGMENTS) {
                        assert_eq!(frame.is_above(agreed, &limits), None);
                        continue;
                    }
                    either.insert((message < large, taken.is_err()));
                    assert_eq!(
                        frame.is_above(agreed, &limits),
                        taken.is_err().then_some(limit),
                        "{agreed:?}"
                    );
                }
            }
            assert_eq!(either.len(), if agreed.contains(Flags::FRAGMENTS) { 2 } else { 4 });
        }
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let mut frame = Frame::default();
        frame.write(FLAGS, &control(), |out| out.value(&(binary(LARGE), f64::NAN))).unwrap_err();
        assert_eq!(frame.len(), 0);
    }
}
