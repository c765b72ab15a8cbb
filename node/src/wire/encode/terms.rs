//! Writing a [`Term`]: a loop with a short stack of its own for what has begun. What is nested more deeply
//! than that is written by a call of the same, of which there are 64 at most.

use super::Encoder;
use crate::wire::decode::MAX_DEPTH;
use crate::wire::error::EncodeError;
use crate::wire::tag;
use crate::wire::term::{Fun, FunKind, Term, is_container};

/// The levels of a term that are written without a call of its own.
const LEVELS: usize = 8;

/// The rest of a term that has begun.
#[derive(Clone, Copy)]
struct Rest<'t> {
    terms: &'t [Term],
    end: End<'t>,
}

impl Rest<'_> {
    const NOTHING: Self = Rest { terms: &[], end: End::Nothing };
}

/// The end of a term, behind its elements.
#[derive(Clone, Copy)]
enum End<'t> {
    Nothing,
    Nil,
    Tail(&'t Term),
    /// The size of a closure is known, which stands at this place.
    Closure(usize),
}

impl Encoder<'_> {
    /// Writes a term.
    ///
    /// # Errors
    /// When it is nested more deeply than [`MAX_DEPTH`], or has a float that is not finite.
    pub(crate) fn term(&mut self, term: &Term) -> Result<(), EncodeError> {
        // The rests of the terms that have begun: of the `level` outer ones, and of the innermost.
        let mut around = [Rest::NOTHING; LEVELS];
        let mut level = 0;
        let mut rest = Rest { terms: std::slice::from_ref(term), end: End::Nothing };
        loop {
            if let Some(term) = self.leaves(&mut rest.terms)? {
                if self.depth + level >= MAX_DEPTH {
                    return Err(EncodeError::Depth { limit: MAX_DEPTH });
                }
                match around.get_mut(level) {
                    Some(outer) => {
                        *outer = rest;
                        rest = self.begin(term)?;
                        level += 1;
                    }
                    None => {
                        self.depth += level;
                        self.term(term)?;
                        self.depth -= level;
                    }
                }
                continue;
            }
            match rest.end {
                End::Nothing => {}
                End::Nil => self.nil(),
                End::Closure(place) => self.end_closure(place)?,
                End::Tail(tail) => {
                    rest = Rest { terms: std::slice::from_ref(tail), end: End::Nothing };
                    continue;
                }
            }
            if level == 0 {
                return Ok(());
            }
            level -= 1;
            rest = around[level];
        }
    }

    /// Writes terms up to one that has elements, which is returned.
    #[inline]
    fn leaves<'t>(&mut self, terms: &mut &'t [Term]) -> Result<Option<&'t Term>, EncodeError> {
        let mut left = terms.iter();
        while let Some(term) = left.next() {
            match term {
                Term::Integer(number) => self.integer(*number),
                Term::Atom(atom) => self.atom(atom),
                term if is_container(term) => {
                    *terms = left.as_slice();
                    return Ok(Some(term));
                }
                term => self.leaf(term)?,
            }
        }
        Ok(None)
    }

    /// Writes a term that has no elements.
    fn leaf(&mut self, term: &Term) -> Result<(), EncodeError> {
        match term {
            Term::Integer(number) => self.integer(*number),
            Term::Big(number) => self.big(number)?,
            Term::Float(number) => self.float(*number)?,
            Term::Atom(atom) => self.atom(atom),
            Term::Binary(bytes) => match bytes.short() {
                Some(short) => {
                    self.out.extend_from_slice(&[tag::BINARY, 0, 0, 0]);
                    self.short(short);
                }
                None => self.owned_binary(bytes)?,
            },
            Term::Bits(bits) => self.bits(bits)?,
            Term::Pid(pid) => self.pid(pid),
            Term::Reference(reference) => self.reference(reference),
            Term::Port(port) => self.port(port),
            Term::Fun(fun) => self.export(fun),
            Term::List(_) | Term::Improper(_) => self.nil(),
            Term::Tuple(_) => self.tuple(0)?,
            Term::Map(_) => self.map(0)?,
        }
        Ok(())
    }

    /// Writes the beginning of a term that has elements, and returns the rest.
    #[inline]
    fn begin<'t>(&mut self, term: &'t Term) -> Result<Rest<'t>, EncodeError> {
        let (terms, end) = match term {
            Term::Tuple(items) => {
                self.tuple(items.len())?;
                (&**items, End::Nothing)
            }
            Term::List(items) => {
                self.list(items.len())?;
                (&**items, End::Nil)
            }
            Term::Map(map) => {
                self.map(map.pairs().len())?;
                (map.terms(), End::Nothing)
            }
            Term::Improper(list) => {
                self.list(list.items().len())?;
                (list.items(), End::Tail(list.tail()))
            }
            Term::Fun(fun) => self.closure(fun)?,
            _ => return Ok(Rest::NOTHING),
        };
        Ok(Rest { terms, end })
    }

    /// Writes an exported function; nothing of a closure.
    fn export(&mut self, fun: &Fun) {
        if let FunKind::Export { module, function, arity } = &fun.0 {
            self.out.push(tag::EXPORT);
            self.atom(module);
            self.atom(function);
            self.integer(i64::from(*arity));
        }
    }

    /// Writes a closure up to what it has captured, which is returned with what ends it.
    fn closure<'t>(&mut self, fun: &'t Fun) -> Result<(&'t [Term], End<'t>), EncodeError> {
        let FunKind::Closure { header, free } = &fun.0 else { return Ok((&[], End::Nothing)) };
        let end = match header.new {
            Some((arity, uniq, index)) => {
                self.out.push(tag::NEW_FUN);
                // The size stands in front, and is known at the end.
                let place = self.out.len();
                self.out.extend_from_slice(&[0; 4]);
                self.out.push(arity);
                self.out.extend_from_slice(&uniq);
                self.out.extend_from_slice(&index.to_be_bytes());
                self.count(free.len())?;
                End::Closure(place)
            }
            None => {
                self.head(tag::FUN, free.len())?;
                self.pid(&header.pid);
                End::Nothing
            }
        };
        self.atom(&header.module);
        self.integer(header.old_index);
        self.integer(header.old_uniq);
        if header.new.is_some() {
            self.pid(&header.pid);
        }
        Ok((free, end))
    }

    /// Writes the size of a closure, which counts itself, to its place.
    fn end_closure(&mut self, place: usize) -> Result<(), EncodeError> {
        let shared = self.shared.as_ref().map_or(0, |shared| shared.len_from(place));
        let size = u32::try_from(self.out.len() - place + shared).map_err(|_| EncodeError::TooLarge)?;
        self.out[place..place + 4].copy_from_slice(&size.to_be_bytes());
        Ok(())
    }
}
