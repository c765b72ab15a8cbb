//! Terms for proptest, each in whatever form a peer may write it.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use twoply_node::wire::{Atom, BigInt, BitString, Map, Pid, Port, Reference, Term, from_bytes, to_bytes};

/// Makes terms that are nested at most four deep.
pub(crate) fn terms() -> impl Strategy<Value = Term> {
    leaves().prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Term::List),
            vec(inner.clone(), 0..8).prop_map(Term::Tuple),
            (vec(inner.clone(), 1..4), leaves()).prop_map(|(items, tail)| Term::list_with_tail(items, tail)),
            vec((inner.clone(), inner), 0..5).prop_map(map),
        ]
    })
}

/// Makes a map, without the pairs whose key stands there before.
fn map(pairs: Vec<(Term, Term)>) -> Term {
    let mut once: Vec<(Term, Term)> = Vec::new();
    for (key, value) in pairs {
        if once.iter().all(|(other, _)| *other != key) {
            once.push((key, value));
        }
    }
    Term::Map(Map::new(once).expect("no key stands there twice"))
}

fn leaves() -> impl Strategy<Value = Term> {
    prop_oneof![
        integers(),
        any::<f64>()
            .prop_filter("OTP takes 0.0 and -0.0 for the same", |f| f.is_finite() && *f != 0.0)
            .prop_map(Term::Float),
        atoms().prop_map(Term::Atom),
        lengths(100).prop_flat_map(|len| vec(any::<u8>(), len)).prop_map(|bytes| Term::Binary(bytes.into())),
        (vec(any::<u8>(), 1..5), 1..8u8)
            .prop_map(|(bytes, last)| BitString::new(bytes, last).map_or(Term::List(Vec::new()), Term::Bits)),
        // What crosses as a text, or as a list of its own.
        (lengths(300), any::<u8>()).prop_map(|(len, byte)| Term::List(vec![Term::Integer(byte.into()); len])),
        (select(vec![255usize, 256]), integers()).prop_map(|(len, element)| Term::Tuple(vec![element; len])),
        (any::<u32>(), any::<u32>(), creations())
            .prop_map(|(id, serial, creation)| { Term::from(Pid { node: node(), id, serial, creation }) }),
        (small_numbers(), creations())
            .prop_map(|(id, creation)| { Term::from(Pid { node: node(), id, serial: id / 4, creation }) }),
        (vec(any::<u32>(), 0..=4), small_numbers(), creations()).prop_map(|(mut words, first, creation)| {
            words.insert(0, first);
            Term::from(Reference::new(node(), creation, &words).expect("one to five words"))
        }),
        (prop_oneof![small_numbers().prop_map(u64::from), any::<u64>()], creations())
            .prop_map(|(id, creation)| Term::Port(Box::new(port(id, creation)))),
    ]
}

/// Makes integers at the borders of each tag, and any others.
fn integers() -> impl Strategy<Value = Term> {
    let borders =
        [0, 255, 256, 1 << 27, 1 << 31, 1 << 59, 1 << 63, 1 << 64i32].map(|n: i128| [n - 1, n, n + 1]);
    let borders: Vec<i128> = borders.concat().into_iter().flat_map(|number| [number, -number]).collect();
    prop_oneof![
        prop_oneof![select(borders), any::<i64>().prop_map(i128::from)].prop_map(|number| {
            i64::try_from(number).map_or_else(|_| Term::Big(BigInt::from(number)), Term::Integer)
        }),
        // Around 255 bytes, the most that the small form has.
        (any::<bool>(), select(vec![9usize, 254, 255, 256, 257]), any::<u8>())
            .prop_map(|(negative, len, byte)| { Term::Big(BigInt::new(negative, &vec![byte | 1; len])) }),
    ]
}

/// Makes atoms of the lengths and alphabets that matter: 255 characters have up to 1,020 bytes, and the
/// Latin-1 of "Ã¶" is UTF-8, too.
fn atoms() -> impl Strategy<Value = Atom> {
    let len = prop_oneof![3 => 0..5usize, 1 => select(vec![63usize, 64, 127, 128, 254, 255])];
    (select(vec!["a", "ö", "Ã¶", "ł", "𝄞", " ", "'"]), len)
        .prop_map(|(text, len)| text.chars().cycle().take(len).collect::<String>())
        .prop_map(|text| Atom::new(text).expect("at most 255 characters"))
}

fn lengths(most: usize) -> impl Strategy<Value = usize> {
    prop_oneof![0..4usize, 60..68usize, 0..most]
}

/// Makes numbers that the old forms of identities can hold, too.
fn small_numbers() -> impl Strategy<Value = u32> {
    0..1u32 << 15
}

fn creations() -> impl Strategy<Value = u32> {
    prop_oneof![1..4u32, 1..=u32::MAX]
}

fn node() -> Atom {
    Atom::new("elsewhere@host").expect("short")
}

fn port(id: u64, creation: u32) -> Port {
    let bytes = [&to_bytes(&node()).unwrap()[1..], &id.to_be_bytes(), &creation.to_be_bytes()].concat();
    from_bytes(&[&[131, V4_PORT], bytes.as_slice()].concat()).unwrap()
}

const NEW_FLOAT: u8 = 70;
const BIT_BINARY: u8 = 77;
const NEW_PID: u8 = 88;
pub(crate) const NEW_PORT: u8 = 89;
const NEWER_REFERENCE: u8 = 90;
const SMALL_INTEGER: u8 = 97;
const INTEGER: u8 = 98;
pub(crate) const FLOAT: u8 = 99;
pub(crate) const ATOM: u8 = 100;
const REFERENCE: u8 = 101;
const PORT: u8 = 102;
const PID: u8 = 103;
const SMALL_TUPLE: u8 = 104;
const LARGE_TUPLE: u8 = 105;
const NIL: u8 = 106;
const STRING: u8 = 107;
const LIST: u8 = 108;
const BINARY: u8 = 109;
const SMALL_BIG: u8 = 110;
const LARGE_BIG: u8 = 111;
const NEW_REFERENCE: u8 = 114;
pub(crate) const SMALL_ATOM: u8 = 115;
const MAP: u8 = 116;
const ATOM_UTF8: u8 = 118;
const SMALL_ATOM_UTF8: u8 = 119;
const V4_PORT: u8 = 120;

/// Writes terms in forms that are chosen by numbers. No numbers, or only 0, give the forms of today.
struct Forms<'a> {
    choices: std::iter::Copied<std::slice::Iter<'a, u8>>,
    /// The tags that the reader does not understand, or not rightly.
    without: &'a [u8],
    out: Vec<u8>,
}

/// Returns `term` as a peer may write it, with none of the tags `without`.
pub(crate) fn form(term: &Term, choices: &[u8], without: &[u8]) -> Vec<u8> {
    let mut forms = Forms { choices: choices.iter().copied(), without, out: vec![131] };
    forms.term(term);
    forms.out
}

impl Forms<'_> {
    fn choice(&mut self, below: usize) -> usize {
        usize::from(self.choices.next().unwrap_or(0)) % below
    }

    /// Chooses one of the tags that `fit`, and writes it.
    fn tag(&mut self, tags: &[(u8, bool)]) -> u8 {
        let fitting: Vec<u8> = tags
            .iter()
            .filter(|(tag, fits)| *fits && !self.without.contains(tag))
            .map(|(tag, _)| *tag)
            .collect();
        let tag = fitting[self.choice(fitting.len())];
        self.out.push(tag);
        tag
    }

    /// Writes a length in the number of bytes that `tag` wants.
    fn len(&mut self, len: usize, bytes: usize) {
        self.out.extend(&(len as u32).to_be_bytes()[4 - bytes..]);
    }

    fn term(&mut self, term: &Term) {
        match term {
            Term::Integer(number) => self.integer(*number),
            Term::Big(number) => self.big(number.is_negative(), number.magnitude()),
            Term::Float(number) => match self.tag(&[(NEW_FLOAT, true), (FLOAT, true)]) {
                NEW_FLOAT => self.out.extend(number.to_be_bytes()),
                _ => {
                    let mut text = format!("{number:.20e}").into_bytes();
                    text.resize(31, 0);
                    self.out.extend(text);
                }
            },
            Term::Atom(atom) => self.atom(atom),
            Term::Binary(bytes) => {
                let tag = self.tag(&[(BINARY, true), (BIT_BINARY, !bytes.is_empty())]);
                self.len(bytes.len(), 4);
                if tag == BIT_BINARY {
                    self.out.push(8);
                }
                self.out.extend(&**bytes);
            }
            Term::Bits(bits) => {
                self.tag(&[(BIT_BINARY, true)]);
                self.len(bits.bytes().len(), 4);
                self.out.push(bits.last_bits());
                self.out.extend(bits.bytes());
                // The bits that do not count are anything.
                let noise = self.choice(256) as u8 & (0xff >> bits.last_bits());
                *self.out.last_mut().expect("a bit string has bytes") |= noise;
            }
            Term::List(items) => self.list(items),
            Term::Improper(list) => {
                self.items(list.items());
                self.term(list.tail());
            }
            Term::Tuple(elements) => {
                match self.tag(&[(SMALL_TUPLE, elements.len() < 256), (LARGE_TUPLE, true)]) {
                    SMALL_TUPLE => self.len(elements.len(), 1),
                    _ => self.len(elements.len(), 4),
                }
                elements.iter().for_each(|element| self.term(element));
            }
            Term::Map(map) => {
                self.tag(&[(MAP, true)]);
                self.len(map.pairs().len(), 4);
                let mut pairs: Vec<_> = map.pairs().iter().collect();
                let first = self.choice(pairs.len().max(1));
                pairs.rotate_left(first);
                for [key, value] in pairs {
                    self.term(key);
                    self.term(value);
                }
            }
            Term::Pid(pid) => self.pid(pid),
            Term::Reference(reference) => self.reference(reference),
            Term::Port(_) => self.port(term),
            Term::Fun(_) => panic!("no functions are made here"),
        }
    }

    fn integer(&mut self, number: i64) {
        let (byte, word) = (u8::try_from(number), i32::try_from(number));
        let forms =
            [(SMALL_INTEGER, byte.is_ok()), (INTEGER, word.is_ok()), (SMALL_BIG, true), (LARGE_BIG, true)];
        match (self.tag(&forms), byte, word) {
            (SMALL_INTEGER, Ok(byte), _) => self.out.push(byte),
            (INTEGER, _, Ok(word)) => self.out.extend(word.to_be_bytes()),
            _ => {
                self.out.pop();
                self.big(number < 0, &number.unsigned_abs().to_le_bytes());
            }
        }
    }

    /// Writes a magnitude with some bytes of nothing behind it.
    fn big(&mut self, negative: bool, magnitude: &[u8]) {
        let len = magnitude.len() + self.choice(3);
        match self.tag(&[(SMALL_BIG, len < 256), (LARGE_BIG, true)]) {
            SMALL_BIG => self.len(len, 1),
            _ => self.len(len, 4),
        }
        self.out.push(u8::from(negative));
        self.out.extend(magnitude);
        self.out.resize(self.out.len() + len - magnitude.len(), 0);
    }

    fn atom(&mut self, atom: &Atom) {
        let latin: Option<Vec<u8>> = atom.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
        let short = atom.len() < 256;
        let forms = [
            (SMALL_ATOM_UTF8, short),
            (ATOM_UTF8, true),
            (SMALL_ATOM, latin.is_some()),
            (ATOM, latin.is_some()),
        ];
        let tag = self.tag(&forms);
        let text = match (tag, latin) {
            (SMALL_ATOM | ATOM, Some(latin)) => latin,
            _ => atom.as_bytes().to_vec(),
        };
        self.len(text.len(), if matches!(tag, SMALL_ATOM_UTF8 | SMALL_ATOM) { 1 } else { 2 });
        self.out.extend(text);
    }

    fn list(&mut self, items: &[Term]) {
        let bytes: Option<Vec<u8>> = items
            .iter()
            .map(|item| if let Term::Integer(number) = item { u8::try_from(*number).ok() } else { None })
            .collect();
        match self.tag(&[(LIST, !items.is_empty()), (STRING, bytes.is_some()), (NIL, items.is_empty())]) {
            STRING => {
                self.len(items.len(), 2);
                self.out.extend(bytes.unwrap_or_default());
            }
            LIST => {
                self.out.pop();
                self.items(items);
                self.out.push(NIL);
            }
            _ => {}
        }
    }

    /// Writes the elements of a list up to its tail, which may be a list with the rest of them.
    fn items(&mut self, items: &[Term]) {
        let first = items.len() - self.choice(items.len());
        for part in [&items[..first], &items[first..]].into_iter().filter(|part| !part.is_empty()) {
            self.tag(&[(LIST, true)]);
            self.len(part.len(), 4);
            part.iter().for_each(|item| self.term(item));
        }
    }

    fn pid(&mut self, pid: &Pid) {
        let old = pid.creation < 4 && pid.id < 1 << 15 && pid.serial < 1 << 13;
        let tag = self.tag(&[(NEW_PID, true), (PID, old)]);
        self.atom(&pid.node);
        self.out.extend(pid.id.to_be_bytes());
        self.out.extend(pid.serial.to_be_bytes());
        self.len(pid.creation as usize, if tag == NEW_PID { 4 } else { 1 });
    }

    fn reference(&mut self, reference: &Reference) {
        let (words, old) = (reference.words(), reference.creation < 4);
        let forms = [
            (NEWER_REFERENCE, true),
            (NEW_REFERENCE, old && words.len() < 4),
            (REFERENCE, old && words.len() == 1),
        ];
        let tag = self.tag(&forms);
        if tag != REFERENCE {
            self.len(words.len(), 2);
        }
        self.atom(&reference.node);
        if tag == REFERENCE {
            self.out.extend(words[0].to_be_bytes());
        }
        self.len(reference.creation as usize, if tag == NEWER_REFERENCE { 4 } else { 1 });
        if tag != REFERENCE {
            self.out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        }
    }

    /// Writes a port, whose parts nobody but its codec sees, and its text.
    fn port(&mut self, port: &Term) {
        let text = port.to_string();
        let (creation, number) =
            text.trim_end_matches('>').rsplit_once('#').and_then(|(_, parts)| parts.split_once('.')).unwrap();
        let (creation, number) = (creation.parse::<u32>().unwrap(), number.parse::<u64>().unwrap());
        let (short, old) = (number < 1 << 28, creation < 4);
        let tag = self.tag(&[(V4_PORT, true), (NEW_PORT, short), (PORT, short && old)]);
        self.atom(&node());
        self.out.extend(&number.to_be_bytes()[if tag == V4_PORT { 0 } else { 4 }..]);
        self.len(creation as usize, if tag == PORT { 1 } else { 4 });
    }
}
