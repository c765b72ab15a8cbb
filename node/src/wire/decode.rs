//! [`Decoder`]: reads terms from bytes that a peer may have invented.
//!
//! Every read checks what it needs and nothing else, in one pass. Nothing is reserved by a count that the
//! bytes left cannot hold; what is built is counted against a budget; and only the types of whoever reads
//! call themselves, at most [`MAX_DEPTH`] deep, and no deeper than a part of the stack goes.

mod build;
mod compressed;
mod scalar;
mod skip;

use std::any::Any;
use std::sync::Arc;

use super::atom::Atom;
use super::error::{DecodeError, Why};
use super::kept::Whole;
use super::tag;
use super::term::Term;

pub use self::compressed::from_bytes;
pub(crate) use self::scalar::{Integer, atom_text};

/// The depth to which terms may be nested.
pub const MAX_DEPTH: usize = 512;
/// The bytes of the stack that types which call themselves may take: half of what a fiber has, unless its
/// program says otherwise. Where calls take much, as in a build for debugging, that ends sooner than at
/// [`MAX_DEPTH`].
const MAX_STACK: usize = 128 << 10;
/// The depth up to which nobody looks, as most terms go no deeper.
const SHALLOW: usize = 4;
/// The bytes of memory that may be built for each byte that is read: a term takes 32, and one byte at least.
const BUDGET_PER_BYTE: usize = 32;
/// The bytes of memory that may be built in any case, so that small messages may use large types.
const FREE_BUDGET: usize = 512 << 10;
/// The bytes of memory that may be built for one message.
const MAX_BUDGET: usize = 512 << 20;
/// The size from which a binary is a part of its frame and not a copy.
const SHARED_BINARY: usize = 64;

/// A cursor over terms: each method reads one, or the beginning of one with elements, which are read next.
///
/// A copy (`clone`) looks ahead. An error leaves the cursor anywhere.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    /// The bytes that are left.
    bytes: &'a [u8],
    /// The atoms that the frame's header tells.
    atoms: &'a [Atom],
    /// The frame that `bytes` are a part of, for binaries to keep.
    frame: Option<&'a Arc<Whole>>,
    /// The bytes of memory that may still be built.
    budget: usize,
    /// The containers that have been opened and not closed.
    depth: usize,
    /// The address on the stack where the one of level [`SHALLOW`] was opened.
    bottom: usize,
    /// The origin of the message, for types that need to know it.
    context: Option<&'a (dyn Any + Send + Sync)>,
}

/// The kinds of terms, as [`Decoder::kind`] sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// An integer of any size.
    Integer,
    /// A float of eight bytes.
    Float,
    /// An atom, which is a name.
    Atom,
    /// A binary of whole bytes.
    Binary,
    /// A binary with bits that fill no byte.
    Bits,
    /// A list, proper or not.
    List,
    /// A tuple of any length.
    Tuple,
    /// A map of any size.
    Map,
    /// The identity of a process.
    Pid,
    /// A reference, as of a monitor.
    Reference,
    /// The identity of a port.
    Port,
    /// A function, exported or a closure.
    Fun,
}

impl Kind {
    fn of(tag: u8) -> Option<Kind> {
        Some(match tag {
            tag::SMALL_INTEGER | tag::INTEGER | tag::SMALL_BIG | tag::LARGE_BIG => Kind::Integer,
            tag::NEW_FLOAT | tag::FLOAT => Kind::Float,
            tag::ATOM | tag::SMALL_ATOM | tag::ATOM_UTF8 | tag::SMALL_ATOM_UTF8 | tag::ATOM_CACHE_REF => {
                Kind::Atom
            }
            tag::BINARY => Kind::Binary,
            tag::BIT_BINARY => Kind::Bits,
            tag::NIL | tag::STRING | tag::LIST => Kind::List,
            tag::SMALL_TUPLE | tag::LARGE_TUPLE => Kind::Tuple,
            tag::MAP => Kind::Map,
            tag::PID | tag::NEW_PID => Kind::Pid,
            tag::REFERENCE | tag::NEW_REFERENCE | tag::NEWER_REFERENCE => Kind::Reference,
            tag::PORT | tag::NEW_PORT | tag::V4_PORT => Kind::Port,
            tag::FUN | tag::NEW_FUN | tag::EXPORT => Kind::Fun,
            _ => return None,
        })
    }

    pub(crate) fn article(self) -> &'static str {
        match self {
            Kind::Integer => "an integer",
            Kind::Float => "a float",
            Kind::Atom => "an atom",
            Kind::Binary => "a binary",
            Kind::Bits => "a bit string",
            Kind::List => "a list",
            Kind::Tuple => "a tuple",
            Kind::Map => "a map",
            Kind::Pid => "a pid",
            Kind::Reference => "a reference",
            Kind::Port => "a port",
            Kind::Fun => "a function",
        }
    }
}

/// The beginning of a list, as [`Decoder::list`] reads it.
///
/// # Examples
/// ```
/// use twoply_node::wire::{Decoder, List, to_bytes};
///
/// // A list of small integers crosses as a text, if whoever sends it finds that shorter.
/// assert_eq!(Decoder::new(&[107, 0, 2, 1, 2]).list()?, List::Bytes(&[1, 2]));
/// let mut decoder = Decoder::new(&[108, 0, 0, 0, 1, 98, 0, 0, 1, 0, 106]);
/// assert_eq!(decoder.list()?, List::Items(1));
/// assert_eq!(decoder.i64()?, 256);
/// decoder.nil()?;
/// decoder.finish()?;
/// # Ok::<(), twoply_node::wire::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List<'a> {
    /// That many elements follow, and then the tail, which is read by [`Decoder::nil`] if it is to be the
    /// empty list.
    Items(usize),
    /// All elements are these small integers. Nothing follows.
    Bytes(&'a [u8]),
}

impl<'a> Decoder<'a> {
    /// Reads terms from `bytes`, which do not begin with the version of the format.
    pub fn new(bytes: &'a [u8]) -> Decoder<'a> {
        Decoder::with(bytes, &[], None)
    }

    /// As [`Decoder::new`], for a part of a frame with these atoms.
    pub(crate) fn with(bytes: &'a [u8], atoms: &'a [Atom], frame: Option<&'a Arc<Whole>>) -> Decoder<'a> {
        let budget = bytes.len().saturating_mul(BUDGET_PER_BYTE).saturating_add(FREE_BUDGET);
        Decoder { bytes, atoms, frame, budget: budget.min(MAX_BUDGET), depth: 0, bottom: 0, context: None }
    }

    /// Tells the types that are read where the message has come from.
    pub(crate) fn with_context(self, context: &'a (dyn Any + Send + Sync)) -> Decoder<'a> {
        Decoder { context: Some(context), ..self }
    }

    pub(crate) fn context<T: 'static>(&self) -> Option<&'a T> {
        self.context?.downcast_ref()
    }

    /// Returns the kind of the next term.
    ///
    /// # Errors
    /// At the end of the bytes, and where the tag is not known.
    ///
    /// # Examples
    /// ```
    /// use twoply_node::wire::{Decoder, Kind};
    ///
    /// assert_eq!(Decoder::new(&[97, 7]).kind()?, Kind::Integer);
    /// assert!(Decoder::new(&[]).kind().is_err());
    /// # Ok::<(), twoply_node::wire::DecodeError>(())
    /// ```
    #[inline]
    pub fn kind(&self) -> Result<Kind, DecodeError> {
        let tag = *self.bytes.first().ok_or(Why::Truncated)?;
        Kind::of(tag).ok_or_else(|| Why::UnknownTag(tag).into())
    }

    /// Reads the beginning of a list.
    ///
    /// # Errors
    /// Where there is no list.
    #[inline]
    pub fn list(&mut self) -> Result<List<'a>, DecodeError> {
        match self.tag()? {
            tag::NIL => Ok(List::Bytes(&[])),
            tag::STRING => self.string().map(List::Bytes),
            tag::LIST => Ok(List::Items(self.count(1)?)),
            tag => Err(unexpected("a list", tag)),
        }
    }

    /// Reads the end of a list.
    ///
    /// # Errors
    /// Where something else is, as in improper lists.
    #[inline]
    pub fn nil(&mut self) -> Result<(), DecodeError> {
        match self.tag()? {
            tag::NIL => Ok(()),
            tag => Err(unexpected("the end of a list", tag)),
        }
    }

    /// Reads the beginning of a tuple, and returns how many elements follow.
    ///
    /// # Errors
    /// Where there is no tuple.
    #[inline]
    pub fn tuple(&mut self) -> Result<usize, DecodeError> {
        match self.tag()? {
            tag @ (tag::SMALL_TUPLE | tag::LARGE_TUPLE) => self.arity(tag),
            tag => Err(unexpected("a tuple", tag)),
        }
    }

    /// Reads the number of elements of a tuple with this tag.
    #[inline]
    fn arity(&mut self, tag: u8) -> Result<usize, DecodeError> {
        match tag {
            tag::SMALL_TUPLE => {
                let arity = usize::from(self.byte()?);
                self.fits(arity)
            }
            _ => self.count(1),
        }
    }

    /// Reads the elements of a list of small integers.
    fn string(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// Reads the beginning of a tuple with `arity` elements.
    ///
    /// # Errors
    /// Where there is no such tuple.
    ///
    /// # Examples
    /// ```
    /// use twoply_node::wire::Decoder;
    ///
    /// // {ok,1}
    /// let mut decoder = Decoder::new(&[104, 2, 119, 2, b'o', b'k', 97, 1]);
    /// decoder.tuple_of(2)?;
    /// assert_eq!((&*decoder.atom()?, decoder.i64()?), ("ok", 1));
    /// assert!(Decoder::new(&[104, 0]).tuple_of(2).is_err());
    /// # Ok::<(), twoply_node::wire::DecodeError>(())
    /// ```
    #[inline]
    pub fn tuple_of(&mut self, arity: usize) -> Result<(), DecodeError> {
        match self.tuple()? {
            found if found == arity => Ok(()),
            found => Err(Why::Arity { wanted: arity, found }.into()),
        }
    }

    /// Reads the beginning of a map, and returns how many keys follow, each with its value behind it.
    ///
    /// # Errors
    /// Where there is no map.
    ///
    /// # Examples
    /// ```
    /// use twoply_node::wire::Decoder;
    ///
    /// // #{a => 1}
    /// let mut decoder = Decoder::new(&[116, 0, 0, 0, 1, 119, 1, b'a', 97, 1]);
    /// for _ in 0..decoder.map()? {
    ///     assert_eq!((&*decoder.atom()?, decoder.i64()?), ("a", 1));
    /// }
    /// decoder.finish()?;
    /// # Ok::<(), twoply_node::wire::DecodeError>(())
    /// ```
    #[inline]
    pub fn map(&mut self) -> Result<usize, DecodeError> {
        match self.tag()? {
            tag::MAP => self.count(2),
            tag => Err(unexpected("a map", tag)),
        }
    }

    /// Has `read` read what a term has inside, one level deeper.
    ///
    /// # Errors
    /// Those of `read`; and where the level is too deep: the 513th, or one before which 128 KiB of the stack
    /// have been used from the fifth level on, so that no peer has a type that calls itself overflow it.
    #[inline]
    pub fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        if self.depth >= SHALLOW {
            self.check_depth()?;
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// Checks that there may be another level.
    #[cold]
    fn check_depth(&mut self) -> Result<(), DecodeError> {
        let on_stack = 0_u8;
        let here = (&raw const on_stack).addr();
        if self.depth == SHALLOW {
            self.bottom = here;
        }
        if self.depth == MAX_DEPTH || self.bottom.abs_diff(here) > MAX_STACK {
            return Err(Why::Depth { limit: self.depth }.into());
        }
        Ok(())
    }

    /// Returns how many levels deep this is.
    #[cfg(feature = "serde")]
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Counts `bytes` of memory that are about to be built against the budget.
    ///
    /// # Errors
    /// When it is spent.
    #[inline]
    pub fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.budget = self.budget.checked_sub(bytes).ok_or(Why::Budget)?;
        Ok(())
    }

    /// Returns a vector with room for `count` values that are about to be read, and counts them.
    #[inline]
    pub(crate) fn reserve<T>(&mut self, count: usize) -> Result<Vec<T>, DecodeError> {
        self.charge(count.saturating_mul(size_of::<T>()))?;
        Ok(Vec::with_capacity(count))
    }

    /// Reads any term, and keeps where it is. It can be read again, or never.
    ///
    /// # Errors
    /// As [`Decoder::skip`].
    pub fn term(&mut self) -> Result<TermRef<'a>, DecodeError> {
        let start = self.clone();
        self.skip()?;
        let len = start.bytes.len() - self.bytes.len();
        Ok(TermRef { decoder: Decoder { bytes: &start.bytes[..len], ..start } })
    }

    /// Returns how many bytes are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// When something is.
    ///
    /// # Examples
    /// ```
    /// use twoply_node::wire::Decoder;
    ///
    /// let mut decoder = Decoder::new(&[97, 1, 97, 2]);
    /// assert_eq!((decoder.i64()?, decoder.remaining()), (1, 2));
    /// assert!(decoder.finish().is_err(), "another integer is left");
    /// # Ok::<(), twoply_node::wire::DecodeError>(())
    /// ```
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(Why::Trailing(left).into()),
        }
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, left) = self.bytes.split_at_checked(len).ok_or(Why::Truncated)?;
        self.bytes = left;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, left) = self.bytes.split_first_chunk().ok_or(Why::Truncated)?;
        self.bytes = left;
        Ok(*taken)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    #[inline]
    fn tag(&mut self) -> Result<u8, DecodeError> {
        self.byte()
    }

    #[inline]
    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Reads a length of 32 bits.
    #[inline]
    fn len(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(self.u32()?).map_err(|_| Why::Truncated.into())
    }

    /// Reads a count of things that take `least` bytes each, at least.
    #[inline]
    fn count(&mut self, least: usize) -> Result<usize, DecodeError> {
        let count = self.len()?;
        self.fits(count.saturating_mul(least))?;
        Ok(count)
    }

    /// Returns `count`, if that many bytes are left.
    #[inline]
    fn fits(&self, count: usize) -> Result<usize, DecodeError> {
        if count <= self.bytes.len() { Ok(count) } else { Err(Why::Truncated.into()) }
    }
}

/// Returns the error of a term with this tag, where there should be another.
fn unexpected(wanted: &'static str, tag: u8) -> DecodeError {
    match Kind::of(tag) {
        Some(kind) => Why::Unexpected { wanted, found: kind.article() }.into(),
        None => Why::UnknownTag(tag).into(),
    }
}

/// A term that has not been read: its bytes, and what is needed to read them.
///
/// # Examples
/// ```
/// use twoply_node::wire::{Decoder, Kind};
///
/// // {ok,1}
/// let mut decoder = Decoder::new(&[104, 2, 119, 2, b'o', b'k', 97, 1]);
/// let term = decoder.term()?;
/// assert_eq!(term.kind(), Kind::Tuple);
/// assert_eq!(term.get::<(String, u8)>().is_err(), true);
/// assert_eq!(term.to_term()?.to_string(), "{ok,1}");
/// # Ok::<(), twoply_node::wire::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TermRef<'a> {
    /// Stands at the term, and has nothing behind it.
    decoder: Decoder<'a>,
}

impl<'a> TermRef<'a> {
    /// Returns the kind of the term.
    pub fn kind(&self) -> Kind {
        // The term has been skipped, which knows all tags.
        self.decoder.kind().unwrap_or(Kind::Fun)
    }

    /// Returns a cursor that stands at the term.
    pub fn decoder(&self) -> Decoder<'a> {
        self.decoder.clone()
    }

    /// Reads the term as a `T`.
    ///
    /// # Errors
    /// When it is none.
    pub fn get<T: super::FromTerm<'a>>(&self) -> Result<T, DecodeError> {
        T::from_term(&mut self.decoder())
    }

    /// Builds the term.
    ///
    /// # Errors
    /// When it would take more memory than is allowed, and where an atom or a map in it is malformed.
    pub fn to_term(&self) -> Result<Term, DecodeError> {
        self.get()
    }
}
