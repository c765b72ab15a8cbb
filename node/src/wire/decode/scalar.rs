//! Reading what has no elements: numbers, atoms, binaries, and what names something.

use std::borrow::Cow;

use super::{Decoder, SHARED_BINARY, unexpected};
use crate::wire::atom::{Atom, is_atom};
use crate::wire::error::{DecodeError, Why};
use crate::wire::short::{self, Room, Short};
use crate::wire::tag;
use crate::wire::term::{self, BigInt, Binary, BitString, MAX_WORDS, Pid, Port, Reference, Term};

/// An integer as it was read.
pub(crate) enum Integer<'a> {
    Small(i64),
    /// The sign, and the bytes of the absolute value, the lowest first.
    Big(bool, &'a [u8]),
}

impl<'a> Decoder<'a> {
    #[inline]
    pub(crate) fn integer(&mut self) -> Result<Integer<'a>, DecodeError> {
        match self.tag()? {
            tag::SMALL_INTEGER => self.byte().map(|byte| Integer::Small(i64::from(byte))),
            tag::INTEGER => self.array().map(|bytes| Integer::Small(i64::from(i32::from_be_bytes(bytes)))),
            tag => self.large_integer(tag),
        }
    }

    fn large_integer(&mut self, tag: u8) -> Result<Integer<'a>, DecodeError> {
        let len = match tag {
            tag::SMALL_BIG => usize::from(self.byte()?),
            tag::LARGE_BIG => self.len()?,
            tag => return Err(unexpected("an integer", tag)),
        };
        let negative = self.byte()? != 0;
        let magnitude = self.take(len)?;
        let small = term::small(magnitude)
            .and_then(|value| term::signed(negative, value))
            .and_then(|value| i64::try_from(value).ok());
        Ok(small.map_or(Integer::Big(negative, magnitude), Integer::Small))
    }

    /// Reads an integer.
    ///
    /// # Errors
    /// Where there is none, and where it is no `i64`.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        match self.integer()? {
            Integer::Small(number) => Ok(number),
            Integer::Big(..) => Err(Why::OutOfRange("i64").into()),
        }
    }

    /// Reads an integer with this tag of a large one as a term.
    pub(super) fn large_integer_term(&mut self, tag: u8) -> Result<Term, DecodeError> {
        match self.large_integer(tag)? {
            Integer::Small(number) => Ok(Term::Integer(number)),
            Integer::Big(negative, magnitude) => {
                self.charge(magnitude.len())?;
                Ok(Term::Big(BigInt::new(negative, magnitude)))
            }
        }
    }

    /// Reads a float, which is finite.
    ///
    /// # Errors
    /// Where there is none. An integer is none.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        let tag = self.tag()?;
        self.float_of(tag)
    }

    #[inline]
    pub(super) fn float_of(&mut self, tag: u8) -> Result<f64, DecodeError> {
        let number = match tag {
            tag::NEW_FLOAT => f64::from_be_bytes(self.array()?),
            tag::FLOAT => {
                let text = self.array::<31>()?;
                let len = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
                let text = std::str::from_utf8(&text[..len]).map_err(|_| Why::Float)?;
                text.trim_start().parse().map_err(|_| Why::Float)?
            }
            tag => return Err(unexpected("a float", tag)),
        };
        if number.is_finite() { Ok(number) } else { Err(Why::Float.into()) }
    }

    /// Reads an atom, and returns its text.
    ///
    /// # Errors
    /// Where there is none, or one that is too long.
    pub fn atom(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        match self.tag()? {
            tag::ATOM_CACHE_REF => self.cached().map(|atom| Cow::Borrowed(atom.as_str())),
            tag => self.atom_text(tag),
        }
    }

    /// Reads an atom to keep.
    ///
    /// # Errors
    /// As [`Decoder::atom`].
    pub fn owned_atom(&mut self) -> Result<Atom, DecodeError> {
        let tag = self.tag()?;
        self.atom_of(tag)
    }

    #[inline]
    pub(super) fn atom_of(&mut self, tag: u8) -> Result<Atom, DecodeError> {
        if tag == tag::SMALL_ATOM_UTF8
            && let Some(atom) = self.short_atom()
        {
            return Ok(Atom::of_room(atom));
        }
        self.any_atom_of(tag)
    }

    fn any_atom_of(&mut self, tag: u8) -> Result<Atom, DecodeError> {
        match tag {
            tag::ATOM_CACHE_REF => self.cached().cloned(),
            tag => {
                let text = self.atom_text(tag)?;
                self.charge(16 + text.len())?;
                Ok(Atom::known(&text))
            }
        }
    }

    /// Reads an atom behind its tag, if it is a short one of UTF-8 and not among the last bytes.
    #[inline]
    pub(super) fn short_atom(&mut self) -> Option<&'a Room> {
        let room = Short::leading(self.bytes)?;
        let text = short::text(room);
        if !text.is_ascii() && str::from_utf8(text).is_err() {
            return None;
        }
        self.bytes = &self.bytes[1 + text.len()..];
        Some(room)
    }

    /// Reads a binary behind its tag, if it is a short one and not among the last bytes.
    #[inline]
    pub(super) fn short_binary(&mut self) -> Option<&'a Room> {
        let [0, 0, 0, rest @ ..] = self.bytes else { return None };
        let room = Short::leading(rest)?;
        self.bytes = &rest[1 + short::text(room).len()..];
        Some(room)
    }

    fn cached(&mut self) -> Result<&'a Atom, DecodeError> {
        let index = self.byte()?;
        self.atoms.get(usize::from(index)).ok_or_else(|| Why::AtomReference(index).into())
    }

    fn atom_text(&mut self, tag: u8) -> Result<Cow<'a, str>, DecodeError> {
        let len = match tag {
            tag::SMALL_ATOM | tag::SMALL_ATOM_UTF8 => usize::from(self.byte()?),
            tag::ATOM | tag::ATOM_UTF8 => usize::from(self.u16()?),
            tag => return Err(unexpected("an atom", tag)),
        };
        let bytes = self.take(len)?;
        atom_text(bytes, matches!(tag, tag::ATOM_UTF8 | tag::SMALL_ATOM_UTF8))
    }

    /// Reads a binary.
    ///
    /// # Errors
    /// Where there is none.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        match self.tag()? {
            tag::BINARY => self.bytes_of(),
            tag => Err(unexpected("a binary", tag)),
        }
    }

    #[inline]
    fn bytes_of(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.len()?;
        self.take(len)
    }

    /// Reads a binary that is UTF-8.
    ///
    /// # Errors
    /// Where there is none.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Why::Text.into())
    }

    /// Reads a binary to keep: a part of the frame, or a copy of a small one.
    ///
    /// # Errors
    /// Where there is none.
    pub fn binary(&mut self) -> Result<Binary, DecodeError> {
        match self.tag()? {
            tag::BINARY => self.binary_of(),
            tag => Err(unexpected("a binary", tag)),
        }
    }

    pub(super) fn binary_of(&mut self) -> Result<Binary, DecodeError> {
        let bytes = self.bytes_of()?;
        if let Some(short) = Short::new(bytes) {
            return Ok(Binary::of_room(short.room()));
        }
        if bytes.len() >= SHARED_BINARY
            && let Some(shared) = self.shared(bytes)
        {
            return Ok(shared);
        }
        self.charge(48 + bytes.len())?;
        Ok(Binary::from(bytes.to_vec()))
    }

    /// Returns `bytes` as a part of the frame, if there is one that they are a part of.
    fn shared(&self, bytes: &[u8]) -> Option<Binary> {
        let frame = self.frame?;
        let start = bytes.as_ptr().addr().checked_sub(frame.as_ptr().addr())?;
        let end = start.checked_add(bytes.len()).filter(|end| *end <= frame.len())?;
        Some(Binary::of_frame(frame, u32::try_from(start).ok()?, u32::try_from(end).ok()?))
    }

    /// Reads a bit string that is no binary.
    ///
    /// # Errors
    /// Where there is none.
    pub fn bits(&mut self) -> Result<BitString, DecodeError> {
        match self.tag()? {
            tag::BIT_BINARY => {
                let (bytes, last) = self.bit_parts()?;
                self.charge(48 + bytes.len())?;
                Ok(BitString::new(bytes.to_vec(), last).ok_or(Why::Malformed("bit string"))?)
            }
            tag => Err(unexpected("a bit string", tag)),
        }
    }

    /// Reads the bytes of a bit string, and how many bits of the last one count: 8 says all.
    pub(super) fn bit_parts(&mut self) -> Result<(&'a [u8], u8), DecodeError> {
        let len = self.len()?;
        let last = self.byte()?;
        if !(1..=8).contains(&last) || len == 0 {
            return Err(Why::Malformed("bit string").into());
        }
        Ok((self.take(len)?, last))
    }

    /// Reads a pid.
    ///
    /// # Errors
    /// Where there is none.
    pub fn pid(&mut self) -> Result<Pid, DecodeError> {
        match self.tag()? {
            tag @ (tag::PID | tag::NEW_PID) => self.pid_of(tag),
            tag => Err(unexpected("a pid", tag)),
        }
    }

    pub(super) fn pid_of(&mut self, tag: u8) -> Result<Pid, DecodeError> {
        let (node, id, serial) = (self.owned_atom()?, self.u32()?, self.u32()?);
        let creation = self.creation(tag == tag::NEW_PID)?;
        Ok(Pid { node, id, serial, creation })
    }

    /// Reads a port.
    ///
    /// # Errors
    /// Where there is none.
    pub fn port(&mut self) -> Result<Port, DecodeError> {
        match self.tag()? {
            tag @ (tag::PORT | tag::NEW_PORT | tag::V4_PORT) => self.port_of(tag),
            tag => Err(unexpected("a port", tag)),
        }
    }

    pub(super) fn port_of(&mut self, tag: u8) -> Result<Port, DecodeError> {
        let node = self.owned_atom()?;
        let id = match tag {
            tag::V4_PORT => self.array().map(u64::from_be_bytes)?,
            _ => u64::from(self.u32()?),
        };
        let creation = self.creation(tag != tag::PORT)?;
        Ok(Port { node, id, creation })
    }

    /// Reads a reference.
    ///
    /// # Errors
    /// Where there is none.
    pub fn reference(&mut self) -> Result<Reference, DecodeError> {
        match self.tag()? {
            tag @ (tag::REFERENCE | tag::NEW_REFERENCE | tag::NEWER_REFERENCE) => self.reference_of(tag),
            tag => Err(unexpected("a reference", tag)),
        }
    }

    pub(super) fn reference_of(&mut self, tag: u8) -> Result<Reference, DecodeError> {
        let len = match tag {
            tag::REFERENCE => None,
            _ => Some(usize::from(self.u16()?)),
        };
        let node = self.owned_atom()?;
        let mut words = [0; MAX_WORDS];
        let Some(len) = len else {
            words[0] = self.u32()?;
            let creation = self.creation(false)?;
            return Ok(Reference::new(node, creation, &words[..1]).ok_or(Why::Malformed("reference"))?);
        };
        let creation = self.creation(tag == tag::NEWER_REFERENCE)?;
        let used = words.get_mut(..len).ok_or(Why::Malformed("reference"))?;
        for word in &mut *used {
            *word = self.u32()?;
        }
        Ok(Reference::new(node, creation, used).ok_or(Why::Malformed("reference"))?)
    }

    /// Reads the incarnation of a node, in its wide form or its narrow one.
    fn creation(&mut self, wide: bool) -> Result<u32, DecodeError> {
        if wide { self.u32() } else { self.byte().map(u32::from) }
    }
}

/// Returns the text of an atom in UTF-8 or in Latin-1.
pub(crate) fn atom_text(bytes: &[u8], utf8: bool) -> Result<Cow<'_, str>, DecodeError> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if utf8 || bytes.is_ascii() => Cow::Borrowed(text),
        _ if utf8 => return Err(Why::Atom.into()),
        _ => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    };
    if is_atom(&text) { Ok(text) } else { Err(Why::Atom.into()) }
}
