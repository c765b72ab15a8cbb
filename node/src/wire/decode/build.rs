//! Building a [`Term`]: a loop with a stack of its own for what has been begun.

use super::{Decoder, MAX_DEPTH};
use crate::wire::atom::Atom;
use crate::wire::error::{DecodeError, Why};
use crate::wire::tag;
use crate::wire::term::{Binary, BitString, ClosureHeader, Fun, FunKind, Map, Pid, Port, Reference, Term};

/// A term that has begun.
struct Open {
    shape: Shape,
    /// The elements that have been read.
    items: Vec<Term>,
    /// The number of those that are still to come.
    left: usize,
}

/// The kinds of terms that have elements.
enum Shape {
    List,
    /// The one term that follows these elements of a list, in place of the empty list.
    Tail(Vec<Term>),
    Tuple,
    /// Keys, each with its value behind it.
    Map,
    Closure(Box<ClosureHeader>),
}

impl<'a> Decoder<'a> {
    /// Builds the next term, whatever it is.
    pub(crate) fn build(&mut self) -> Result<Term, DecodeError> {
        let tag = self.tag()?;
        if !has_elements(tag) {
            return self.leaf(tag);
        }
        // The terms that have begun, the innermost last.
        let mut open: Vec<Open> = Vec::new();
        self.begin(tag, &mut open)?;
        while let Some((inner, around)) = open.split_last_mut() {
            if let Some(tag) = self.push_leaves(inner)? {
                self.begin(tag, &mut open)?;
            } else if inner.is_whole(self)? {
                match around.last_mut() {
                    Some(outer) => inner.push_to(&mut outer.items),
                    None => return Ok(inner.term()),
                }
                open.truncate(open.len() - 1);
            }
        }
        Err(Why::Truncated.into())
    }

    /// Reads the beginning of a term that has elements, inside of those in `open`.
    fn begin(&mut self, tag: u8, open: &mut Vec<Open>) -> Result<(), DecodeError> {
        let (shape, left) = match tag {
            tag::LIST => (Shape::List, self.count(1)?),
            tag::SMALL_TUPLE | tag::LARGE_TUPLE => (Shape::Tuple, self.arity(tag)?),
            tag::MAP => (Shape::Map, 2 * self.count(2)?),
            tag => self.closure(tag)?,
        };
        // A term without elements is not entered; a list has its end in any case.
        let is_entered = left > 0 || matches!(shape, Shape::List);
        if is_entered && self.depth + open.len() >= MAX_DEPTH {
            return Err(Why::Depth { limit: MAX_DEPTH }.into());
        }
        let items = self.reserve(left)?;
        push(open, || Open { shape, items, left });
        Ok(())
    }

    /// Reads the next elements of a term, up to one that has elements itself, whose tag is returned.
    #[inline]
    fn push_leaves(&mut self, open: &mut Open) -> Result<Option<u8>, DecodeError> {
        while open.left > 0 {
            open.left -= 1;
            let tag = self.tag()?;
            if has_elements(tag) {
                return Ok(Some(tag));
            }
            self.push_leaf(&mut open.items, tag)?;
        }
        Ok(None)
    }

    /// Reads a term that has no elements as the next one of `items`.
    #[inline]
    fn push_leaf(&mut self, items: &mut Vec<Term>, tag: u8) -> Result<(), DecodeError> {
        match tag {
            tag::SMALL_INTEGER => {
                let number = i64::from(self.byte()?);
                push(items, || Term::Integer(number));
            }
            tag::INTEGER => {
                let number = i64::from(i32::from_be_bytes(self.array()?));
                push(items, || Term::Integer(number));
            }
            tag::NEW_FLOAT => {
                let number = self.float_of(tag)?;
                push(items, || Term::Float(number));
            }
            tag::SMALL_ATOM_UTF8 => match self.short_atom() {
                Some(text) => push(items, || Term::Atom(Atom::of_room(text))),
                None => self.push_other(items, tag)?,
            },
            tag::BINARY => match self.short_binary() {
                Some(bytes) => push(items, || Term::Binary(Binary::of_room(bytes))),
                None => self.push_other(items, tag)?,
            },
            tag => self.push_other(items, tag)?,
        }
        Ok(())
    }

    fn push_other(&mut self, items: &mut Vec<Term>, tag: u8) -> Result<(), DecodeError> {
        let term = self.leaf(tag)?;
        push(items, || term);
        Ok(())
    }

    /// Reads a term that has no elements.
    fn leaf(&mut self, tag: u8) -> Result<Term, DecodeError> {
        Ok(match tag {
            tag::SMALL_INTEGER => Term::Integer(i64::from(self.byte()?)),
            tag::INTEGER => Term::Integer(i64::from(i32::from_be_bytes(self.array()?))),
            tag::SMALL_BIG | tag::LARGE_BIG => self.large_integer_term(tag)?,
            tag::NEW_FLOAT | tag::FLOAT => Term::Float(self.float_of(tag)?),
            tag::ATOM | tag::SMALL_ATOM | tag::ATOM_UTF8 | tag::SMALL_ATOM_UTF8 | tag::ATOM_CACHE_REF => {
                Term::Atom(self.atom_of(tag)?)
            }
            tag::BINARY => Term::Binary(self.binary_of()?),
            tag::BIT_BINARY => self.bits_or_binary()?,
            tag::NIL => Term::List(Vec::new()),
            tag::STRING => {
                let bytes = self.string()?;
                let mut items = self.reserve(bytes.len())?;
                items.extend(bytes.iter().map(|byte| Term::Integer(i64::from(*byte))));
                Term::List(items)
            }
            tag::PID | tag::NEW_PID => Term::Pid(Box::new(self.charged::<Pid>()?.pid_of(tag)?)),
            tag::REFERENCE | tag::NEW_REFERENCE | tag::NEWER_REFERENCE => {
                Term::Reference(Box::new(self.charged::<Reference>()?.reference_of(tag)?))
            }
            tag::PORT | tag::NEW_PORT | tag::V4_PORT => {
                Term::Port(Box::new(self.charged::<Port>()?.port_of(tag)?))
            }
            tag::EXPORT => self.export()?,
            tag => return Err(Why::UnknownTag(tag).into()),
        })
    }

    /// Counts a `T` that is about to be put into a box.
    fn charged<T>(&mut self) -> Result<&mut Self, DecodeError> {
        self.charge(size_of::<T>())?;
        Ok(self)
    }

    /// Reads a bit string, which is a binary if all bits of its last byte count.
    fn bits_or_binary(&mut self) -> Result<Term, DecodeError> {
        let (bytes, last) = self.bit_parts()?;
        self.charge(48 + bytes.len())?;
        let bytes = bytes.to_vec();
        if last == 8 {
            return Ok(Term::Binary(bytes.into()));
        }
        Ok(Term::Bits(BitString::new(bytes, last).ok_or(Why::Malformed("bit string"))?))
    }

    /// Reads an exported function.
    fn export(&mut self) -> Result<Term, DecodeError> {
        self.charge(size_of::<Fun>())?;
        let (module, function) = (self.owned_atom()?, self.owned_atom()?);
        let arity = u8::try_from(self.i64()?).map_err(|_| Why::Malformed("function"))?;
        Ok(Term::Fun(Box::new(Fun(FunKind::Export { module, function, arity }))))
    }

    /// Reads a closure, up to what it has captured.
    fn closure(&mut self, tag: u8) -> Result<(Shape, usize), DecodeError> {
        self.charge(size_of::<Fun>())?;
        let (header, free) = match tag {
            tag::NEW_FUN => {
                // The size is of no use to who reads everything.
                self.u32()?;
                let new = Some((self.byte()?, self.array()?, self.u32()?));
                let free = self.count(1)?;
                let (module, old_index, old_uniq) = (self.owned_atom()?, self.i64()?, self.i64()?);
                (ClosureHeader { module, old_index, old_uniq, pid: self.pid()?, new }, free)
            }
            _ => {
                let free = self.count(1)?;
                let (pid, module) = (self.pid()?, self.owned_atom()?);
                let (old_index, old_uniq) = (self.i64()?, self.i64()?);
                (ClosureHeader { module, old_index, old_uniq, pid, new: None }, free)
            }
        };
        Ok((Shape::Closure(Box::new(header)), free))
    }
}

/// Returns true if a term with this tag has elements, of which there may be none.
#[inline]
fn has_elements(tag: u8) -> bool {
    matches!(tag, tag::LIST | tag::SMALL_TUPLE | tag::LARGE_TUPLE | tag::MAP | tag::FUN | tag::NEW_FUN)
}

/// Adds what is made in its place. The `push` of vectors takes what has been made elsewhere and must be
/// moved, which here takes longer than all else.
#[inline]
fn push<T>(items: &mut Vec<T>, item: impl FnOnce() -> T) {
    items.extend(std::iter::once_with(item));
}

impl Open {
    /// Returns true if nothing follows the elements, all of which are there.
    #[inline]
    fn is_whole(&mut self, decoder: &mut Decoder<'_>) -> Result<bool, DecodeError> {
        match &self.shape {
            Shape::List if decoder.bytes.first() == Some(&tag::NIL) => {
                decoder.tag()?;
            }
            Shape::List => {
                let tail = Open { shape: Shape::List, items: decoder.reserve(1)?, left: 1 };
                let Open { items, .. } = std::mem::replace(self, tail);
                self.shape = Shape::Tail(items);
                return Ok(false);
            }
            Shape::Tail(_) => {
                // A list as the tail of another one is legal and moves; the budget bounds how often.
                let moved = match self.items.last() {
                    Some(Term::List(rest)) => rest.len(),
                    Some(Term::Improper(rest)) => rest.items().len() + 1,
                    _ => 0,
                };
                decoder.charge(moved * size_of::<Term>())?;
            }
            Shape::Map if !Map::sort(&mut self.items) => return Err(Why::DuplicateKey.into()),
            Shape::Map | Shape::Tuple | Shape::Closure(_) => {}
        }
        Ok(true)
    }

    /// Adds the term to those of the one around it.
    #[inline]
    fn push_to(&mut self, around: &mut Vec<Term>) {
        let items = std::mem::take(&mut self.items);
        match self.shape {
            Shape::List => push(around, || Term::List(items)),
            Shape::Tuple => push(around, || Term::Tuple(items)),
            Shape::Map => push(around, || Term::Map(Map::sorted(items))),
            Shape::Tail(_) | Shape::Closure(_) => {
                self.items = items;
                let term = self.term();
                push(around, || term);
            }
        }
    }

    /// Takes the term, all of whose elements are there.
    fn term(&mut self) -> Term {
        let mut items = std::mem::take(&mut self.items);
        match std::mem::replace(&mut self.shape, Shape::Tuple) {
            Shape::List => Term::List(items),
            Shape::Tuple => Term::Tuple(items),
            Shape::Map => Term::Map(Map::sorted(items)),
            Shape::Tail(before) => match items.pop() {
                Some(tail) => Term::list_with_tail(before, tail),
                None => Term::List(before),
            },
            Shape::Closure(header) => {
                Term::Fun(Box::new(Fun(FunKind::Closure { header: *header, free: items })))
            }
        }
    }
}
