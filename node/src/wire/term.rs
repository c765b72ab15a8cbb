//! [`Term`]: any term, owned, and the parts of it that have no type of Rust's.

mod copy;
mod order;
mod show;
mod walk;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::atom::Atom;
use super::kept::Whole;
use super::short::{Room, Short};

use self::walk::{Event, walk};

pub(super) use self::walk::is_container;

/// Any term of Erlang's.
///
/// Terms are compared exactly, as `=:=` does: 1 is not 1.0. Their order is total and none of Erlang's: it
/// serves for sorting and searching.
///
/// Whatever comes from a peer is nested at most 512 deep. To read a term that has a known shape, read a type
/// that implements [`FromTerm`](super::FromTerm) instead.
///
/// # Examples
/// ```
/// use twoply_node::wire::{Term, from_bytes, to_bytes};
///
/// let term = Term::Tuple(vec![Term::atom("ok"), Term::from(7), Term::text("seven")]);
/// assert_eq!(term.to_string(), "{ok,7,<<\"seven\">>}");
/// assert_eq!(from_bytes::<Term>(&to_bytes(&term)?)?, term);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub enum Term {
    /// An integer of up to 64 bits.
    Integer(i64),
    /// An integer that is no `i64`.
    Big(BigInt),
    /// A float, which is finite.
    Float(f64),
    /// An atom, such as `ok`.
    Atom(Atom),
    /// A binary of whole bytes.
    Binary(Binary),
    /// A binary with a number of bits that is no multiple of eight.
    Bits(BitString),
    /// A list, which may be empty. A string of Erlang's is a list of characters.
    List(Vec<Term>),
    /// A list that does not end with the empty one.
    Improper(Box<Improper>),
    /// A tuple of any length.
    Tuple(Vec<Term>),
    /// A map of any size.
    Map(Map),
    /// The identity of a process.
    Pid(Box<Pid>),
    /// A reference, as of a monitor.
    Reference(Box<Reference>),
    /// The identity of a port.
    Port(Box<Port>),
    /// A function, exported or a closure.
    Fun(Box<Fun>),
}

impl Term {
    /// Returns an atom of `text`, of which the first 255 characters count.
    pub fn atom(text: &str) -> Term {
        let end = text.char_indices().nth(super::atom::MAX_ATOM).map_or(text.len(), |(end, _)| end);
        Term::Atom(Atom::known(&text[..end]))
    }

    /// Returns a binary of `text`.
    ///
    /// # Examples
    /// ```
    /// use twoply_node::wire::Term;
    ///
    /// // Text is a binary, as in Elixir. Erlang's "text" is a list of characters.
    /// assert_eq!(Term::text("abc"), Term::Binary(b"abc".to_vec().into()));
    /// ```
    pub fn text(text: impl Into<String>) -> Term {
        Term::Binary(Binary::from(text.into().into_bytes()))
    }

    /// Returns true if this is the atom `text`.
    pub fn is_atom(&self, text: &str) -> bool {
        matches!(self, Term::Atom(atom) if atom == text)
    }

    /// Returns the elements, if this is a tuple.
    ///
    /// # Examples
    /// ```
    /// use twoply_node::wire::Term;
    ///
    /// let answer = Term::Tuple(vec![Term::atom("ok"), Term::from(7)]);
    /// assert!(matches!(answer.as_tuple(), Some([ok, Term::Integer(7)]) if ok.is_atom("ok")));
    /// assert_eq!(Term::from(7).as_tuple(), None);
    /// ```
    pub fn as_tuple(&self) -> Option<&[Term]> {
        match self {
            Term::Tuple(elements) => Some(elements),
            _ => None,
        }
    }
}

impl From<i64> for Term {
    fn from(number: i64) -> Term {
        Term::Integer(number)
    }
}

impl From<Atom> for Term {
    fn from(atom: Atom) -> Term {
        Term::Atom(atom)
    }
}

impl From<Pid> for Term {
    fn from(pid: Pid) -> Term {
        Term::Pid(Box::new(pid))
    }
}

impl From<Reference> for Term {
    fn from(reference: Reference) -> Term {
        Term::Reference(Box::new(reference))
    }
}

/// Bytes: some of a frame, which they keep, or their own.
///
/// Those that were read from a frame are not copied, from 64 bytes on. To keep a small part of a large
/// message for long, copy it. Up to 22 bytes lie in the value itself.
///
/// # Examples
/// ```
/// use twoply_node::wire::Binary;
///
/// let binary = Binary::from(b"abc".to_vec());
/// assert_eq!(&binary[1..], b"bc");
/// ```
#[derive(Clone)]
pub struct Binary(Bytes);

/// The ways in which the bytes of a binary are kept.
#[derive(Clone)]
enum Bytes {
    Short(Short),
    /// The part `start..end` of a frame, or of bytes of its own.
    Part {
        bytes: Arc<Whole>,
        start: u32,
        end: u32,
    },
}

impl Binary {
    /// Returns the bytes `start..end` of a frame, which is shorter than 4 GiB.
    pub(crate) fn of_frame(bytes: &Arc<Whole>, start: u32, end: u32) -> Binary {
        debug_assert!(start <= end && end as usize <= bytes.len());
        Binary(Bytes::Part { bytes: Arc::clone(bytes), start, end })
    }

    /// Returns the bytes, if they lie in the value itself.
    #[inline]
    pub(super) fn short(&self) -> Option<&Short> {
        match &self.0 {
            Bytes::Short(short) => Some(short),
            Bytes::Part { .. } => None,
        }
    }

    /// Returns false if the binary keeps memory of which it is less than half.
    pub(super) fn is_most_of_what_it_keeps(&self) -> bool {
        match &self.0 {
            Bytes::Short(_) => true,
            Bytes::Part { bytes, start, end } => (end - start) as usize >= bytes.memory() / 2,
        }
    }

    /// Makes a binary of few bytes.
    #[inline]
    pub(super) fn of_room(bytes: &Room) -> Binary {
        Binary(Bytes::Short(Short::of(bytes)))
    }
}

impl From<Vec<u8>> for Binary {
    /// # Panics
    /// When there are 4 GiB or more, which no term can have.
    fn from(bytes: Vec<u8>) -> Binary {
        let end = u32::try_from(bytes.len()).expect("a binary is shorter than 4 GiB");
        Binary(match Short::new(&bytes) {
            Some(short) => Bytes::Short(short),
            None => Bytes::Part { bytes: Arc::new(Whole::from(bytes)), start: 0, end },
        })
    }
}

impl Deref for Binary {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Short(short) => short,
            Bytes::Part { bytes, start, end } => &bytes[*start as usize..*end as usize],
        }
    }
}

impl PartialEq for Binary {
    fn eq(&self, other: &Binary) -> bool {
        **self == **other
    }
}

impl Eq for Binary {}

impl fmt::Debug for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A number of bits: bytes, of whose last one only the upper bits count.
///
/// # Examples
/// ```
/// use twoply_node::wire::BitString;
///
/// // <<1, 5:3>>
/// let bits = BitString::new(vec![1, 0b101_00000], 3).expect("three bits of the last byte");
/// assert_eq!((bits.bytes(), bits.last_bits()), (&[1, 0b101_00000][..], 3));
/// assert!(BitString::new(vec![1], 8).is_none(), "that is a binary");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BitString {
    bytes: Box<[u8]>,
    /// The bits of the last byte that count, 1 to 7.
    last: u8,
}

impl BitString {
    /// Makes one of `bytes`, of whose last byte the upper `last` bits count; the others are made 0. Returns
    /// `None` where that is no bit string of its own: without bytes, and unless `last` is 1 to 7.
    pub fn new(mut bytes: Vec<u8>, last: u8) -> Option<BitString> {
        let end = bytes.last_mut().filter(|_| (1..8).contains(&last))?;
        *end &= 0xff << (8 - last);
        Some(BitString { bytes: bytes.into_boxed_slice(), last })
    }

    /// Returns the bytes; of the last one, only the upper bits count.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns how many of the upper bits of the last byte count.
    pub fn last_bits(&self) -> u8 {
        self.last
    }
}

/// An integer of any size.
///
/// # Examples
/// ```
/// use twoply_node::wire::BigInt;
///
/// let number = BigInt::from(-(1i128 << 100));
/// assert_eq!(i128::try_from(&number), Ok(-(1 << 100)));
/// assert!(number.is_negative());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BigInt {
    negative: bool,
    /// The bytes of the absolute value, the lowest first; the last one is not 0.
    magnitude: Box<[u8]>,
}

impl BigInt {
    /// Makes one of its sign and the bytes of its absolute value, the lowest first.
    ///
    /// # Examples
    /// ```
    /// use twoply_node::wire::BigInt;
    ///
    /// let number = BigInt::new(true, &[0, 1, 0]);
    /// assert_eq!((number.is_negative(), number.magnitude()), (true, &[0, 1][..]));
    /// assert_eq!(i128::try_from(&number), Ok(-256));
    /// ```
    pub fn new(negative: bool, magnitude: &[u8]) -> BigInt {
        let len = magnitude.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        BigInt { negative: negative && len > 0, magnitude: Box::from(&magnitude[..len]) }
    }

    /// Returns true if it is below 0.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Returns the bytes of the absolute value, the lowest first and none that are 0 at the end.
    pub fn magnitude(&self) -> &[u8] {
        &self.magnitude
    }
}

impl From<i128> for BigInt {
    fn from(number: i128) -> BigInt {
        BigInt::new(number < 0, &number.unsigned_abs().to_le_bytes())
    }
}

impl From<u128> for BigInt {
    fn from(number: u128) -> BigInt {
        BigInt::new(false, &number.to_le_bytes())
    }
}

/// The error of a conversion from a [`BigInt`]: the number does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the number does not fit")]
pub struct TooBig;

impl TryFrom<&BigInt> for u128 {
    type Error = TooBig;

    fn try_from(number: &BigInt) -> Result<u128, TooBig> {
        if number.negative { Err(TooBig) } else { small(&number.magnitude).ok_or(TooBig) }
    }
}

impl TryFrom<&BigInt> for i128 {
    type Error = TooBig;

    fn try_from(number: &BigInt) -> Result<i128, TooBig> {
        small(&number.magnitude).and_then(|value| signed(number.negative, value)).ok_or(TooBig)
    }
}

/// Returns the number of these bytes, the lowest first, if it is a `u128`.
pub(crate) fn small(magnitude: &[u8]) -> Option<u128> {
    let len = magnitude.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let mut bytes = [0; 16];
    bytes.get_mut(..len)?.copy_from_slice(&magnitude[..len]);
    Some(u128::from_le_bytes(bytes))
}

/// Returns the number with this sign and absolute value, if it is an `i128`.
pub(crate) fn signed(negative: bool, value: u128) -> Option<i128> {
    if negative { 0i128.checked_sub_unsigned(value) } else { i128::try_from(value).ok() }
}

/// A list that ends with something else than the empty list: `[1|2]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Improper {
    /// The elements, of which there is one at least.
    items: Vec<Term>,
    /// The tail, which is no list.
    tail: Term,
}

impl Term {
    /// Returns the list of these items that ends with `tail`; where that is a list itself, its elements come
    /// last.
    ///
    /// # Examples
    /// ```
    /// use twoply_node::wire::Term;
    ///
    /// let improper = Term::list_with_tail(vec![Term::from(1)], Term::from(2));
    /// assert_eq!(improper.to_string(), "[1|2]");
    /// let list = Term::list_with_tail(vec![Term::from(1)], Term::List(vec![Term::from(2)]));
    /// assert_eq!(list, Term::List(vec![Term::from(1), Term::from(2)]));
    /// ```
    pub fn list_with_tail(mut items: Vec<Term>, tail: Term) -> Term {
        match tail {
            Term::List(rest) => {
                items.extend(rest);
                Term::List(items)
            }
            tail if items.is_empty() => tail,
            Term::Improper(rest) => {
                items.extend(rest.items);
                Term::Improper(Box::new(Improper { items, tail: rest.tail }))
            }
            tail => Term::Improper(Box::new(Improper { items, tail })),
        }
    }
}

impl Improper {
    /// Returns the elements in front of the tail.
    pub fn items(&self) -> &[Term] {
        &self.items
    }

    /// Returns the tail, behind the elements.
    pub fn tail(&self) -> &Term {
        &self.tail
    }
}

/// A map. No key stands in it twice.
///
/// # Examples
/// ```
/// use twoply_node::wire::{Map, Term};
///
/// let map = Map::new(vec![(Term::atom("b"), Term::from(2)), (Term::atom("a"), Term::from(1))]).unwrap();
/// assert_eq!(map.value(&Term::atom("b")), Some(&Term::from(2)));
/// assert_eq!(map.pairs()[0], [Term::atom("a"), Term::from(1)]);
/// assert!(Map::new(vec![(Term::from(1), Term::from(2)), (Term::from(1), Term::from(3))]).is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    /// The keys in their order, each with its value behind it.
    terms: Vec<Term>,
}

impl Map {
    /// Makes a map of these pairs; `None` if a key stands there twice.
    pub fn new(pairs: Vec<(Term, Term)>) -> Option<Map> {
        let mut terms: Vec<Term> = pairs.into_iter().flat_map(|(key, value)| [key, value]).collect();
        Map::sort(&mut terms).then(|| Map::sorted(terms))
    }

    /// Puts keys, each with its value behind it, in the order of a map; false if a key stands there twice.
    pub(super) fn sort(terms: &mut [Term]) -> bool {
        let in_order = |pairs: &[[Term; 2]]| pairs.is_sorted_by(|[a, _], [b, _]| a < b);
        let (pairs, _) = terms.as_chunks_mut();
        // Erlang writes small maps in the order of their keys, which for atoms is ours.
        if in_order(pairs) {
            return true;
        }
        pairs.sort_unstable_by(|[a, _], [b, _]| a.cmp(b));
        in_order(pairs)
    }

    /// Makes a map of what [`Map::sort`] has put in order.
    pub(super) fn sorted(terms: Vec<Term>) -> Map {
        Map { terms }
    }

    /// Returns the value of a key.
    pub fn value(&self, key: &Term) -> Option<&Term> {
        let place = self.pairs().binary_search_by(|[other, _]| other.cmp(key)).ok()?;
        Some(&self.pairs()[place][1])
    }

    /// Returns the keys and their values, in an order that depends on the keys alone.
    pub fn pairs(&self) -> &[[Term; 2]] {
        self.terms.as_chunks().0
    }

    /// Returns the keys, each with its value behind it.
    pub(super) fn terms(&self) -> &[Term] {
        &self.terms
    }
}

/// A pid as it stands in a term.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid {
    /// The name of its node.
    pub node: Atom,
    /// The first part of its number.
    pub id: u32,
    /// The second part of its number.
    pub serial: u32,
    /// The incarnation of its node.
    pub creation: u32,
}

/// A reference as it stands in a term.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The name of its node.
    pub node: Atom,
    /// The incarnation of its node.
    pub creation: u32,
    /// The words of its number, of which the rest are 0.
    words: [u32; MAX_WORDS],
    /// The number of words, 1 to 5.
    len: u8,
}

/// The words that a reference may have. It takes five to encode a pid in an alias.
pub(crate) const MAX_WORDS: usize = 5;

impl Reference {
    /// Makes a reference of a node; `None` unless there are one to five words.
    ///
    /// # Examples
    /// ```
    /// use twoply_node::wire::{Atom, Reference};
    ///
    /// let node = Atom::new("a@host")?;
    /// let reference = Reference::new(node.clone(), 1, &[1, 2, 3]).expect("it has three words");
    /// assert_eq!(reference.words(), [1, 2, 3]);
    /// assert!(Reference::new(node, 1, &[]).is_none());
    /// # Ok::<(), twoply_node::wire::AtomError>(())
    /// ```
    pub fn new(node: Atom, creation: u32, words: &[u32]) -> Option<Reference> {
        let mut all = [0; MAX_WORDS];
        all.get_mut(..words.len())?.copy_from_slice(words);
        let len = u8::try_from(words.len()).ok().filter(|len| *len > 0)?;
        Some(Reference { node, creation, words: all, len })
    }

    /// Returns the words of its number.
    pub fn words(&self) -> &[u32] {
        &self.words[..usize::from(self.len)]
    }

    /// Returns the words of its number with zeros behind them, and how many words there are.
    #[inline]
    pub(super) fn all_words(&self) -> (&[u32; MAX_WORDS], u8) {
        (&self.words, self.len)
    }
}

/// A port of another node: something to compare and to send back.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    pub(crate) node: Atom,
    pub(crate) id: u64,
    pub(crate) creation: u32,
}

impl Port {
    /// Returns the name of its node.
    pub fn node(&self) -> &Atom {
        &self.node
    }
}

/// A function of another node: something to compare and to send back.
#[derive(Clone, PartialEq, Eq)]
pub struct Fun(pub(crate) FunKind);

/// The forms in which a function crosses.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum FunKind {
    /// An exported function, `fun module:function/arity`.
    Export { module: Atom, function: Atom, arity: u8 },
    /// A closure; with the terms that it has captured.
    Closure { header: ClosureHeader, free: Vec<Term> },
}

/// The identity of the code of a closure.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ClosureHeader {
    pub(crate) module: Atom,
    /// The index and the hash of its function in the module.
    pub(crate) old_index: i64,
    pub(crate) old_uniq: i64,
    pub(crate) pid: Pid,
    /// The arity, hash and index: [`NEW_FUN`](super::tag::NEW_FUN) has them, the form before it had not.
    pub(crate) new: Option<(u8, [u8; 16], u32)>,
}
