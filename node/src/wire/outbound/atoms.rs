//! The atom cache of what goes out: a frame says an atom by a number, and its header says which entry of the
//! peer's cache that is, with the text where the entry is another one until then.
//!
//! A frame is written before it is known which frames go out before it. So [`Atoms`], which a frame has, only
//! knows its own atoms, and [`Told`], which a connection has, writes the header when the place of the frame
//! among all others is known.

use crate::wire::atom::Atom;

/// The entries of a cache, as the protocol has them.
const ENTRIES: usize = 2_048;
/// The atoms that a header can name.
const MOST: usize = 255;

/// The atoms of a frame, in the order of their numbers, each with its entry. Where two have the same entry,
/// the text of the second one stands in the frame.
#[derive(Debug, Default)]
pub(crate) struct Atoms {
    atoms: Vec<(u16, Atom)>,
    /// The number of the atom of each entry, and one more; 0 without one. It is empty before the first atom.
    numbers: Vec<u8>,
}

impl Atoms {
    pub(in crate::wire) const fn new() -> Atoms {
        Atoms { atoms: Vec::new(), numbers: Vec::new() }
    }

    /// Returns the number of an atom in the frame, unless its text is to stand there.
    pub(in crate::wire) fn number(&mut self, text: &[u8], atom: impl FnOnce() -> Atom) -> Option<u8> {
        if self.numbers.is_empty() {
            self.numbers.resize(ENTRIES, 0);
        }
        let entry = entry(text);
        let number = &mut self.numbers[entry];
        if let Some(index) = number.checked_sub(1) {
            return (self.atoms[usize::from(index)].1.as_bytes() == text).then_some(index);
        }
        if self.atoms.len() == MOST {
            return None;
        }
        self.atoms.push((entry as u16, atom()));
        *number = self.atoms.len() as u8;
        Some(*number - 1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.atoms.is_empty()
    }

    /// Returns how many bytes of memory they take, about.
    pub(super) fn memory(&self) -> usize {
        self.atoms.iter().map(|atom| size_of_val(atom) + atom.1.as_bytes().len()).sum()
    }

    /// Takes the atoms out, for a frame that is written later.
    pub(super) fn take(&mut self) -> Atoms {
        Atoms { atoms: self.drain().collect(), numbers: Vec::new() }
    }

    pub(in crate::wire) fn clear(&mut self) {
        self.drain().for_each(drop);
    }

    fn drain(&mut self) -> impl Iterator<Item = (u16, Atom)> {
        let Atoms { atoms, numbers } = self;
        atoms.drain(..).inspect(|(entry, _)| {
            // One that was taken has no numbers.
            if let Some(number) = numbers.get_mut(usize::from(*entry)) {
                *number = 0;
            }
        })
    }
}

/// The entries of the peer's cache that have been told. An idle connection has none, and each one takes
/// memory when it is first used.
#[derive(Debug, Default)]
pub(crate) struct Told {
    atoms: Vec<Atom>,
    /// The place of each entry among the atoms, and one more; 0 without one.
    places: Vec<u16>,
}

impl Told {
    /// Writes the header of a frame, the next one to go out: what stands behind its kind.
    ///
    /// For the form see [`Inbound`](crate::wire::Inbound)'s. The half of a byte behind the flags of all atoms
    /// says that lengths have two bytes.
    pub(super) fn header(&mut self, frame: &Atoms, out: &mut Vec<u8>) {
        let atoms = &frame.atoms;
        out.push(atoms.len() as u8);
        if atoms.is_empty() {
            return;
        }
        let start = out.len();
        out.resize(start + atoms.len() / 2 + 1, 0);
        let set =
            |out: &mut Vec<u8>, index: usize, flags: u8| out[start + index / 2] |= flags << (4 * (index % 2));
        let long = atoms.iter().any(|(_, atom)| atom.as_bytes().len() > 255);
        set(out, atoms.len(), u8::from(long));
        for (index, (entry, atom)) in atoms.iter().enumerate() {
            let [segment, within] = entry.to_be_bytes();
            let new = self.tell(usize::from(*entry), atom);
            set(out, index, segment | u8::from(new) << 3);
            out.push(within);
            if new {
                let text = atom.as_bytes();
                let len = (text.len() as u16).to_be_bytes();
                out.extend_from_slice(if long { &len } else { &len[1..] });
                out.extend_from_slice(text);
            }
        }
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
            let (mut told, mut peer) = (Told::default(), Peer::new());
            let mut scratch = Frame::default();
            for _ in 0..100 {
                // Many have the same entry, and there are more than a header can name.
                let few = if random.bool() { 30 } else { 10_000 };
                let most = if random.u8(..4) == 0 { 700 } else { 8 };
                let count = random.usize(..most);
                let atoms: Vec<_> = (0..count).map(|_| atom(random.usize(..few))).collect();
                let control = control(&atom(random.usize(..few)));
                scratch.write(FLAGS, &control, |out| out.value(&atoms)).unwrap();
                let mut out = Vec::new();
                match random.u8(..3) {
                    0 => {
                        scratch.write_whole(&mut told, &mut out);
                        scratch.take_whole();
                    }
                    1 => scratch.take_whole().write_whole(&mut told, &mut out),
                    _ => {
                        let (part, mut parts) = (random.usize(1..2_000), scratch.take_parts());
                        while parts.memory() > 0 {
                            parts.write_fragment(part, 7, &mut told, &mut out);
                        }
                    }
                }
                assert_eq!(peer.read(&out), [(control, atoms)]);
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
    }

    #[test]
    fn what_is_refused_leaves_no_atoms() {
        let mut frame = Frame::default();
        frame.write(FLAGS, &control(&atom(3)), |out| out.value(&(atom(4), f64::NAN))).unwrap_err();
        assert!(frame.atoms.is_empty() && frame.atoms.numbers.iter().all(|number| *number == 0));
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes).atom(&atom(3));
        assert_eq!(bytes, b"w\x05atom3");
    }
}
