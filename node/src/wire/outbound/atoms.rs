//! The atom cache of what goes out: a frame says an atom by a number, and its header says which entry of the
//! peer's cache that is, with the text where the entry is another one until then.
//!
//! A frame is written before it is known which frames go out before it. So [`Atoms`], which a frame has, only
//! knows its own atoms, and [`Told`], which a connection has, writes the header when the place of the frame
//! among all others is known.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::wire::atom::Atom;

/// The entries of a cache, as the protocol has them.
const ENTRIES: usize = 2_048;
/// The atoms that a header can name.
const MOST: usize = 255;
/// The atoms of a frame that are kept for the next one, and of what it has said.
const KEPT: usize = 64;

/// The number that the last list of atoms has got.
static LAST: AtomicU64 = AtomicU64::new(0);

/// The atoms of a frame, in the order of their numbers, each with its entry. Where two have the same entry,
/// the text of the second one stands in the frame.
///
/// Most frames say the same atoms in the same order as the one that was written before in the same memory. So
/// what that one has said is kept, and an atom is compared first with the one that came next there.
#[derive(Debug, Default)]
pub(crate) struct Atoms {
    /// The atoms of the frame, `len` of them, and behind these others of the frame before.
    atoms: Vec<(u16, Atom)>,
    len: usize,
    /// The number of the atom of each entry, and one more; 0 without one. It is empty before the first atom.
    numbers: Vec<u8>,
    /// The numbers that the frame has said, `said` of them, and behind these others of the frame before.
    order: Vec<u8>,
    said: usize,
    /// The number of the list, which no other one has; 0 before it is needed.
    list: u64,
}

impl Atoms {
    pub(in crate::wire) const fn new() -> Atoms {
        Atoms { atoms: Vec::new(), len: 0, numbers: Vec::new(), order: Vec::new(), said: 0, list: 0 }
    }

    /// Returns the number of an atom in the frame, unless its text is to stand there.
    #[inline]
    pub(in crate::wire) fn number(&mut self, text: &[u8], atom: impl FnOnce() -> Atom) -> Option<u8> {
        if let Some(number) = self.order.get(self.said)
            && let Some((_, next)) = self.atoms.get(usize::from(*number))
            && next.as_bytes() == text
        {
            self.said += 1;
            self.len = self.len.max(usize::from(*number) + 1);
            return Some(*number);
        }
        self.other(text, atom)
    }

    /// As [`Atoms::number`], for an atom that the frame before has not said next.
    fn other(&mut self, text: &[u8], atom: impl FnOnce() -> Atom) -> Option<u8> {
        self.forget_behind();
        let number = self.find(text, atom)?;
        if self.said < KEPT {
            self.order.push(number);
            self.said += 1;
        }
        Some(number)
    }

    /// Forgets the frame before, but for what this one has of it.
    fn forget_behind(&mut self) {
        self.order.truncate(self.said);
        while self.atoms.len() > self.len
            && let Some((entry, _)) = self.atoms.pop()
        {
            // A list that has been taken apart has no numbers.
            if let Some(number) = self.numbers.get_mut(usize::from(entry)) {
                *number = 0;
            }
        }
    }

    fn find(&mut self, text: &[u8], atom: impl FnOnce() -> Atom) -> Option<u8> {
        if self.numbers.is_empty() {
            self.numbers.resize(ENTRIES, 0);
        }
        let entry = entry(text);
        let number = &mut self.numbers[entry];
        if let Some(index) = number.checked_sub(1) {
            return (self.atoms[usize::from(index)].1.as_bytes() == text).then_some(index);
        }
        if self.len == MOST {
            return None;
        }
        self.atoms.push((entry as u16, atom()));
        self.len += 1;
        self.list = 0;
        *number = self.len as u8;
        Some(*number - 1)
    }

    fn atoms(&self) -> &[(u16, Atom)] {
        &self.atoms[..self.len]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns how many bytes of memory they take, about.
    pub(super) fn memory(&self) -> usize {
        self.atoms().iter().map(|atom| size_of_val(atom) + atom.1.as_bytes().len()).sum()
    }

    /// Takes the atoms out, for a frame that is written later.
    pub(super) fn take(&mut self) -> Atoms {
        let taken = Atoms { atoms: self.atoms().to_vec(), len: self.len, list: self.list, ..Atoms::new() };
        self.clear();
        taken
    }

    /// Begins the next frame.
    pub(in crate::wire) fn clear(&mut self) {
        (self.len, self.said) = (0, 0);
        if self.atoms.len() > KEPT {
            self.forget_behind();
        }
    }

    /// Returns what no other list has, and this one no more when it is another one.
    fn key(&mut self) -> (u64, usize) {
        if self.list == 0 {
            self.list = LAST.fetch_add(1, Relaxed) + 1;
        }
        (self.list, self.len)
    }
}

/// The entries of the peer's cache that have been told. An idle connection has none, and each one takes
/// memory when it is first used.
#[derive(Debug, Default)]
pub(crate) struct Told {
    atoms: Vec<Atom>,
    /// The place of each entry among the atoms, and one more; 0 without one.
    places: Vec<u16>,
    /// The last header, and the list that it is for, if nothing was new in it.
    header: Vec<u8>,
    list: Option<(u64, usize)>,
}

impl Told {
    /// Writes the header of a frame, the next one to go out: what stands behind its kind.
    pub(super) fn header(&mut self, frame: &mut Atoms, out: &mut Vec<u8>) {
        if frame.is_empty() {
            return out.push(0);
        }
        let list = Some(frame.key());
        if self.list == list {
            return out.extend_from_slice(&self.header);
        }
        let start = out.len();
        // An atom that is told now may take the place of one that the last header says.
        self.list = None;
        if !self.write_header(frame.atoms(), out) {
            self.list = list;
            self.header.clear();
            self.header.extend_from_slice(&out[start..]);
        }
    }

    /// Writes a header with these atoms. Returns true if one of them is new.
    ///
    /// For the form see [`Inbound`](crate::wire::Inbound)'s. The half of a byte behind the flags of all atoms
    /// says that lengths have two bytes.
    fn write_header(&mut self, atoms: &[(u16, Atom)], out: &mut Vec<u8>) -> bool {
        out.push(atoms.len() as u8);
        let mut is_new = false;
        let start = out.len();
        out.resize(start + atoms.len() / 2 + 1, 0);
        let set =
            |out: &mut Vec<u8>, index: usize, flags: u8| out[start + index / 2] |= flags << (4 * (index % 2));
        let long = atoms.iter().any(|(_, atom)| atom.as_bytes().len() > 255);
        set(out, atoms.len(), u8::from(long));
        for (index, (entry, atom)) in atoms.iter().enumerate() {
            let [segment, within] = entry.to_be_bytes();
            let new = self.tell(usize::from(*entry), atom);
            is_new |= new;
            set(out, index, segment | u8::from(new) << 3);
            out.push(within);
            if new {
                let text = atom.as_bytes();
                let len = (text.len() as u16).to_be_bytes();
                out.extend_from_slice(if long { &len } else { &len[1..] });
                out.extend_from_slice(text);
            }
        }
        is_new
    }

    /// Makes this the atom of an entry. Returns true if it was another one.
    fn tell(&mut self, entry: usize, atom: &Atom) -> bool {
        if self.places.is_empty() {
            self.places.resize(ENTRIES, 0);
        }
        let place = &mut self.places[entry];
        match self.atoms.get_mut(usize::from(*place).wrapping_sub(1)) {
            Some(told) if told == atom => return false,
            Some(told) => *told = atom.clone(),
            None => {
                self.atoms.push(atom.clone());
                *place = self.atoms.len() as u16;
            }
        }
        true
    }
}

/// Returns the entry of an atom. Which one it is does not matter, as long as few atoms have the same.
fn entry(text: &[u8]) -> usize {
    let step = |hash: u64, bytes: u64| (hash ^ bytes).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let (eights, rest) = text.as_chunks::<8>();
    let hash = eights.iter().fold(text.len() as u64, |hash, bytes| step(hash, u64::from_le_bytes(*bytes)));
    let rest = rest.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
    (step(hash, rest) >> (64 - 11)) as usize & (ENTRIES - 1)
}

#[cfg(test)]
mod tests {
    use std::mem;

    use super::*;
    use crate::wire::outbound::Frame;
    use crate::wire::{Control, Encoder, Flags, FromTerm, Inbound, Limits, Packets, Pid, Target};

    const FLAGS: Flags = Flags::OFFERED;

    /// Returns one of many atoms; a few of them are as long as one can be.
    fn atom(number: usize) -> Atom {
        let text = format!("atom{number}");
        let longer = match number % 50 {
            0 => format!("{text}{}", "𝄞".repeat(255 - text.len())),
            1 => text + &"x".repeat(60),
            2 => String::new(),
            _ => text,
        };
        Atom::new(longer).unwrap()
    }

    fn control(node: &Atom) -> Control {
        let pid = Pid { node: node.clone(), id: 1, serial: 0, creation: 1 };
        Control::Send { from: None, to: Target::Pid(pid), urgent: false }
    }

    fn framed(node: &Atom, atoms: &[Atom]) -> Frame {
        let mut frame = Frame::default();
        frame.write(FLAGS, &control(node), |out| out.value(atoms)).unwrap();
        frame
    }

    /// Begins the next frame in the same memory, as a thread does.
    fn again(frame: &mut Frame) {
        let (mut bytes, mut atoms) = mem::take(frame).into_memory();
        bytes.clear();
        atoms.clear();
        *frame = Frame::new(bytes, atoms);
    }

    /// Reads what has been written, as a peer does, and returns the atoms of each message.
    #[derive(Debug)]
    struct Peer(Packets, Inbound);

    impl Peer {
        fn new() -> Peer {
            Peer(Packets::frames(1 << 24), Inbound::new(FLAGS, Limits::default()))
        }

        fn read(&mut self, mut bytes: &[u8]) -> Vec<(Control, Vec<Atom>)> {
            let mut all = Vec::new();
            while let Some(frame) = self.0.next(&mut bytes).unwrap() {
                if let Some(message) = self.1.frame(frame).unwrap() {
                    let atoms = Vec::from_term(&mut message.payload()).unwrap();
                    all.push((message.into_control(), atoms));
                }
            }
            all
        }
    }

    #[test]
    fn atoms_are_read_as_they_were_written() {
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut peers = [(); 2].map(|()| (Told::default(), Peer::new()));
            let mut scratches = [(); 2].map(|()| Frame::default());
            let (mut atoms, mut node) = (Vec::new(), atom(0));
            for _ in 0..200 {
                // Many have the same entry, and there are more than a header can name.
                let few = if random.bool() { 30 } else { 10_000 };
                // Some frames say the same as the one before, or less, or something else at some place.
                match random.u8(..6) {
                    0 => node = atom(random.usize(..few)),
                    1 => atoms.truncate(random.usize(..=atoms.len())),
                    2 => atoms.insert(random.usize(..=atoms.len()), atom(random.usize(..few))),
                    3 => {
                        let most = if random.u8(..4) == 0 { 700 } else { 8 };
                        atoms = (0..random.usize(..most)).map(|_| atom(random.usize(..few))).collect();
                    }
                    _ => {}
                }
                let control = control(&node);
                // Threads write by turns, and to several peers.
                let scratch = &mut scratches[random.usize(..5) / 4];
                let (told, peer) = &mut peers[random.usize(..4) / 3];
                scratch.write(FLAGS, &control, |out| out.value(&atoms)).unwrap();
                let mut out = Vec::new();
                match random.u8(..5) {
                    0 | 1 => {
                        scratch.write_whole(told, &mut out);
                        again(scratch);
                    }
                    2 => scratch.take_whole().write_whole(told, &mut out),
                    _ => {
                        let (part, mut parts) = (random.usize(1..2_000), scratch.take_parts());
                        while parts.memory() > 0 {
                            parts.write_fragment(part, 7, told, &mut out);
                        }
                    }
                }
                assert_eq!(peer.read(&out), [(control, atoms.clone())]);
                assert!(told.atoms.len() <= ENTRIES);
            }
        }
    }

    #[test]
    fn an_atom_is_told_once() {
        let (mut told, mut peer) = (Told::default(), Peer::new());
        let (node, atoms) = (atom(3), [atom(4), atom(3), atom(4), atom(5)]);
        let lens = [(); 3].map(|()| {
            let mut out = Vec::new();
            framed(&node, &atoms).write_whole(&mut told, &mut out);
            assert_eq!(peer.read(&out), [(control(&node), atoms.to_vec())]);
            out.len()
        });
        // Each time but the first, the lengths and the texts of four atoms are missing: the control message
        // has an empty one.
        assert_eq!(lens, [lens[1] + 3 * (1 + "atom3".len()) + 1, lens[1], lens[1]]);
    }

    #[test]
    fn two_atoms_of_one_entry_take_turns() {
        let same = (0..).map(atom).filter(|other| entry(other.as_bytes()) == entry(atom(3).as_bytes()));
        let [one, two]: [Atom; 2] = same.take(2).collect::<Vec<_>>().try_into().unwrap();
        let (mut told, mut peer) = (Told::default(), Peer::new());
        for (node, atoms) in [(&one, vec![one.clone(), two.clone()]), (&two, vec![two.clone(), one.clone()])]
        {
            let mut out = Vec::new();
            for _ in 0..2 {
                framed(node, &atoms).write_whole(&mut told, &mut out);
            }
            let both = (control(node), atoms);
            assert_eq!(peer.read(&out), [both.clone(), both]);
        }
        assert_eq!(told.atoms.len(), 2, "the empty one and the last one");
        // Two threads, each of which says the same each time.
        let mut both = [(one, Frame::default()), (two, Frame::default())];
        for (round, turn) in [0, 0, 1, 0, 0, 1, 1, 0].into_iter().enumerate() {
            let (node, frame) = &mut both[turn];
            let atoms = [node.clone()].to_vec();
            frame.write(FLAGS, &control(node), |out| out.value(&atoms)).unwrap();
            let mut out = Vec::new();
            frame.write_whole(&mut told, &mut out);
            again(frame);
            assert_eq!(peer.read(&out), [(control(node), atoms)], "round {round}");
        }
    }

    #[test]
    fn what_is_refused_leaves_no_atoms() {
        let mut frame = Frame::default();
        frame.write(FLAGS, &control(&atom(3)), |out| out.value(&(atom(4), f64::NAN))).unwrap_err();
        assert!(frame.atoms.is_empty());
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes).atom(&atom(3));
        assert_eq!(bytes, b"w\x05atom3");
    }
}
