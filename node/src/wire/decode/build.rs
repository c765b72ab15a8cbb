//! Building a [`Term`]: a loop with a stack of its own for what has been begun.

use super::{Decoder, Kind, List, MAX_DEPTH, unexpected};
use crate::wire::error::{DecodeError, Why};
use crate::wire::tag;
use crate::wire::term::{ClosureHeader, Fun, FunKind, Map, Pid, Port, Reference, Term};

/// A term that has begun, with the elements that have been read.
enum Open {
    List {
        left: usize,
        items: Vec<Term>,
    },
    /// Only the tail is missing, or nothing any more.
    Tail {
        items: Vec<Term>,
        tail: Option<Term>,
    },
    Tuple {
        left: usize,
        items: Vec<Term>,
    },
    Map {
        left: usize,
        key: Option<Term>,
        pairs: Vec<(Term, Term)>,
    },
    Closure {
        left: usize,
        header: Box<ClosureHeader>,
        free: Vec<Term>,
    },
}

/// The beginning of a term.
enum Begin {
    Whole(Term),
    Open(Open),
}

impl<'a> Decoder<'a> {
    /// Builds the next term, whatever it is.
    pub(crate) fn build(&mut self) -> Result<Term, DecodeError> {
        let mut stack: Vec<Open> = Vec::new();
        loop {
            let mut term = match self.begin()? {
                Begin::Whole(term) => term,
                Begin::Open(open) if self.depth + stack.len() < MAX_DEPTH => {
                    stack.push(open);
                    continue;
                }
                Begin::Open(_) => return Err(Why::Depth { limit: MAX_DEPTH }.into()),
            };
            // The term goes into the one around it, which may be whole by that, and so on.
            loop {
                let Some(open) = stack.last_mut() else { return Ok(term) };
                if !open.add(term, self)? {
                    break;
                }
                let Some(whole) = stack.pop() else { break };
                term = whole.whole()?;
            }
        }
    }

    /// Reads a term, or the beginning of one that has elements.
    fn begin(&mut self) -> Result<Begin, DecodeError> {
        let term = match self.kind()? {
            Kind::Integer => self.integer_term()?,
            Kind::Float => Term::Float(self.f64()?),
            Kind::Atom => Term::Atom(self.owned_atom()?),
            Kind::Binary => Term::Binary(self.binary()?),
            Kind::Bits => return self.bits_or_binary().map(Begin::Whole),
            Kind::List => match self.list()? {
                List::Bytes(bytes) => {
                    let mut items = self.reserve(bytes.len())?;
                    items.extend(bytes.iter().map(|byte| Term::Integer(i64::from(*byte))));
                    Term::List(items)
                }
                // A list of no elements is its tail.
                List::Items(0) => return Ok(Begin::Open(Open::Tail { items: Vec::new(), tail: None })),
                List::Items(left) => {
                    return Ok(Begin::Open(Open::List { left, items: self.reserve(left)? }));
                }
            },
            Kind::Tuple => match self.tuple()? {
                0 => Term::Tuple(Vec::new()),
                left => return Ok(Begin::Open(Open::Tuple { left, items: self.reserve(left)? })),
            },
            Kind::Map => match self.map()? {
                0 => Term::Map(Map::default()),
                left => {
                    return Ok(Begin::Open(Open::Map { left, key: None, pairs: self.reserve(left)? }));
                }
            },
            Kind::Pid => Term::Pid(Box::new(self.charged::<Pid>()?.pid()?)),
            Kind::Reference => Term::Reference(Box::new(self.charged::<Reference>()?.reference()?)),
            Kind::Port => Term::Port(Box::new(self.charged::<Port>()?.port()?)),
            Kind::Fun => return self.begin_fun(),
        };
        Ok(Begin::Whole(term))
    }

    /// Counts a `T` that is about to be put into a box.
    fn charged<T>(&mut self) -> Result<&mut Self, DecodeError> {
        self.charge(size_of::<T>())?;
        Ok(self)
    }

    /// Reads a bit string, which is a binary if all bits of its last byte count.
    fn bits_or_binary(&mut self) -> Result<Term, DecodeError> {
        let mut ahead = self.clone();
        ahead.tag()?;
        let (bytes, last) = ahead.bit_parts()?;
        if last < 8 {
            return self.bits().map(Term::Bits);
        }
        ahead.charge(48 + bytes.len())?;
        *self = ahead;
        Ok(Term::Binary(bytes.to_vec().into()))
    }

    /// Reads a function, up to what it has captured.
    fn begin_fun(&mut self) -> Result<Begin, DecodeError> {
        self.charge(size_of::<Fun>())?;
        let (free, header) = match self.tag()? {
            tag::EXPORT => {
                let (module, function) = (self.owned_atom()?, self.owned_atom()?);
                let arity = u8::try_from(self.i64()?).map_err(|_| Why::Malformed("function"))?;
                let fun = Fun(FunKind::Export { module, function, arity });
                return Ok(Begin::Whole(Term::Fun(Box::new(fun))));
            }
            tag::NEW_FUN => {
                // The size is of no use to who reads everything.
                self.u32()?;
                let new = Some((self.byte()?, self.array()?, self.u32()?));
                let free = self.count(1)?;
                let (module, old_index, old_uniq) = (self.owned_atom()?, self.i64()?, self.i64()?);
                (free, ClosureHeader { module, old_index, old_uniq, pid: self.pid()?, new })
            }
            tag::FUN => {
                let free = self.count(1)?;
                let (pid, module) = (self.pid()?, self.owned_atom()?);
                let (old_index, old_uniq) = (self.i64()?, self.i64()?);
                (free, ClosureHeader { module, old_index, old_uniq, pid, new: None })
            }
            tag => return Err(unexpected("a function", tag)),
        };
        let open = Open::Closure { left: free, header: Box::new(header), free: self.reserve(free)? };
        Ok(if free == 0 { Begin::Whole(open.whole()?) } else { Begin::Open(open) })
    }
}

impl Open {
    /// Adds the next element. Returns true if the term is whole by that.
    fn add(&mut self, term: Term, decoder: &mut Decoder<'_>) -> Result<bool, DecodeError> {
        match self {
            Open::Tail { tail, .. } => {
                // A list as the tail of another one is legal and moves; the budget bounds how often.
                let moved = match &term {
                    Term::List(rest) => rest.len(),
                    Term::Improper(rest) => rest.items().len() + 1,
                    _ => 0,
                };
                decoder.charge(moved * size_of::<Term>())?;
                *tail = Some(term);
                Ok(true)
            }
            Open::Map { left, key, pairs } => {
                match key.take() {
                    None => *key = Some(term),
                    Some(key) => {
                        pairs.push((key, term));
                        *left -= 1;
                    }
                }
                Ok(*left == 0)
            }
            Open::List { left, items } => {
                items.push(term);
                *left -= 1;
                if *left == 0 {
                    *self = Open::Tail { items: std::mem::take(items), tail: None };
                }
                Ok(false)
            }
            Open::Tuple { left, items } | Open::Closure { left, free: items, .. } => {
                items.push(term);
                *left -= 1;
                Ok(*left == 0)
            }
        }
    }

    /// Returns the term, all of whose elements are there.
    fn whole(self) -> Result<Term, DecodeError> {
        Ok(match self {
            Open::List { items, .. } | Open::Tail { items, tail: None } => Term::List(items),
            Open::Tail { items, tail: Some(tail) } => Term::list_with_tail(items, tail),
            Open::Tuple { items, .. } => Term::Tuple(items),
            Open::Map { pairs, .. } => Term::Map(Map::new(pairs).ok_or(Why::DuplicateKey)?),
            Open::Closure { header, free, .. } => {
                Term::Fun(Box::new(Fun(FunKind::Closure { header: *header, free })))
            }
        })
    }
}
