//! Writing a [`Term`]: a loop with a short stack of its own for what has begun. What is nested more deeply
//! than that is written by a call of the same, of which there are 128 at most.

use std::mem;
use std::slice;

use super::Encoder;
use super::room::{self, ROOM};
use super::slot::{Name, SLOT, Slot};
use crate::wire::decode::MAX_DEPTH;
use crate::wire::error::EncodeError;
use crate::wire::tag;
use crate::wire::term::{Fun, FunKind, Term, is_container};

/// The levels of a term that are written without a call of its own.
const LEVELS: usize = 4;

/// The elements that a term can have.
const MOST: usize = u32::MAX as usize;

/// The bytes of a binary that is written by way of the room, at most.
const TEXT: usize = 4 * SLOT;

/// The terms that have begun.
struct Open<'t> {
    /// The rest of the innermost one.
    rest: Rest<'t>,
    /// Those around it, of which there are `level`.
    around: [Rest<'t>; LEVELS],
    level: usize,
    /// The ends that are neither nothing nor the empty list.
    ends: Vec<Special<'t>>,
}

/// The rest of a term that has begun.
#[derive(Clone)]
struct Rest<'t> {
    left: slice::Iter<'t, Term>,
    end: End,
}

/// The end of a term, behind its elements.
#[derive(Clone, Copy)]
enum End {
    Nothing,
    Nil,
    /// The last one of [`Open::ends`].
    Special,
}

enum Special<'t> {
    Tail(&'t Term),
    /// The size of a closure is known, which stands at this place.
    Closure(usize),
}

/// A reason for which [`Open::write`] returns.
enum Stop<'t> {
    /// All of the term is written.
    Whole,
    /// There is not enough room.
    Room,
    /// This term is not one of those that it writes.
    Term(&'t Term),
    /// The end of a term is none either.
    End,
}

impl Encoder<'_> {
    /// Writes a term.
    ///
    /// # Errors
    /// When it is nested more deeply than [`MAX_DEPTH`], or has a float that is not finite.
    pub(crate) fn term(&mut self, term: &Term) -> Result<(), EncodeError> {
        if is_container(term) { self.container(term, false) } else { self.leaf(term) }
    }

    /// Writes a term that may have elements, behind its version if that is still missing. Small ones are
    /// written to a room of a known size at first, so that there is no look at the length of all for each.
    fn container(&mut self, term: &Term, mut version: bool) -> Result<(), EncodeError> {
        let mut open = Open::new(term);
        loop {
            let stop = room::with(|room| {
                room[0] = tag::VERSION;
                let (stop, len) =
                    open.write(room, usize::from(mem::take(&mut version)), MAX_DEPTH - self.depth);
                if self.out.capacity() == 0 {
                    *self.out = room[..len].to_vec();
                } else {
                    self.out.extend_from_slice(&room[..len]);
                }
                stop
            });
            match stop {
                Stop::Whole => return Ok(()),
                Stop::Room => {}
                Stop::Term(term) => self.other(term, &mut open)?,
                Stop::End => match open.ends.pop() {
                    Some(Special::Tail(tail)) => open.rest.left = slice::from_ref(tail).iter(),
                    Some(Special::Closure(place)) => self.end_closure(place)?,
                    None => {}
                },
            }
        }
    }

    /// Writes a term that [`Open::write`] does not write, or the beginning of one.
    fn other<'t>(&mut self, term: &'t Term, open: &mut Open<'t>) -> Result<(), EncodeError> {
        if !is_container(term) {
            return self.leaf(term);
        }
        if self.depth + open.level >= MAX_DEPTH {
            return Err(EncodeError::Depth { limit: MAX_DEPTH });
        }
        match term {
            Term::Improper(list) if open.level < LEVELS => {
                self.list(list.items().len())?;
                open.enter(list.items(), Some(Special::Tail(list.tail())));
            }
            Term::Fun(fun) if open.level < LEVELS => {
                let (free, end) = self.closure(fun)?;
                open.enter(free, end);
            }
            // Elsewhere all counts are small enough.
            Term::List(items) | Term::Tuple(items) if items.len() > MOST => {
                return Err(EncodeError::TooLarge);
            }
            Term::Map(map) if map.terms().len() > MOST => return Err(EncodeError::TooLarge),
            term => {
                self.depth += open.level;
                self.container(term, false)?;
                self.depth -= open.level;
            }
        }
        Ok(())
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

    /// Writes an exported function; nothing of a closure.
    fn export(&mut self, fun: &Fun) {
        if let FunKind::Export { module, function, arity } = &fun.0 {
            self.out.push(tag::EXPORT);
            self.atom(module);
            self.atom(function);
            self.integer(i64::from(*arity));
        }
    }

    /// Writes a closure up to what it has captured.
    fn closure<'t>(&mut self, fun: &'t Fun) -> Result<(&'t [Term], Option<Special<'t>>), EncodeError> {
        let FunKind::Closure { header, free } = &fun.0 else { return Ok((&[], None)) };
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
                Some(Special::Closure(place))
            }
            None => {
                self.head(tag::FUN, free.len())?;
                self.pid(&header.pid);
                None
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

impl<'t> Open<'t> {
    fn new(term: &'t Term) -> Open<'t> {
        Open {
            rest: Rest { left: slice::from_ref(term).iter(), end: End::Nothing },
            around: std::array::from_fn(|_| Rest { left: [].iter(), end: End::Nothing }),
            level: 0,
            ends: Vec::new(),
        }
    }

    /// Goes into a term with these elements and this end.
    fn enter(&mut self, terms: &'t [Term], end: Option<Special<'t>>) {
        let rest = Rest { left: terms.iter(), end: if end.is_some() { End::Special } else { End::Nothing } };
        self.ends.extend(end);
        self.around[self.level] = mem::replace(&mut self.rest, rest);
        self.level += 1;
    }

    /// Writes what is left to `room`, from `at` on, while there is a [`SLOT`] of it, and goes no deeper than
    /// `levels`. Returns where it has stopped.
    #[inline(always)]
    fn write(&mut self, room: &mut [u8; ROOM], mut at: usize, levels: usize) -> (Stop<'t>, usize) {
        let levels = levels.min(LEVELS);
        let Rest { mut left, mut end } = self.rest.clone();
        let mut level = self.level;
        let stop = loop {
            if at > ROOM - SLOT {
                break Stop::Room;
            }
            let Some(slot) = room[at..].first_chunk_mut::<SLOT>() else { break Stop::Room };
            let Some(term) = left.next() else {
                match end {
                    End::Nothing => {}
                    End::Nil => {
                        slot[0] = tag::NIL;
                        at += 1;
                    }
                    End::Special => {
                        end = End::Nothing;
                        break Stop::End;
                    }
                }
                if level == 0 {
                    break Stop::Whole;
                }
                level -= 1;
                Rest { left, end } = self.around[level].clone();
                continue;
            };
            // Most terms are integers or atoms, which are asked for at first: that is quicker than a jump
            // by the kind. The tags are written before it is known that they are right, or the compiler
            // makes one jump of all questions.
            if let Term::Integer(number) = term
                && *number == i64::from(*number as i32)
            {
                if let Ok(byte) = u8::try_from(*number) {
                    slot[..2].copy_from_slice(&[tag::SMALL_INTEGER, byte]);
                    at += 2;
                } else {
                    slot[0] = tag::INTEGER;
                    slot[1..5].copy_from_slice(&(*number as i32).to_be_bytes());
                    at += 5;
                }
                continue;
            }
            slot[0] = tag::SMALL_ATOM_UTF8;
            if let Term::Atom(atom) = term
                && let Some(text) = atom.short()
            {
                slot[1..24].copy_from_slice(text.room());
                at += 1 + text.room_len();
                continue;
            }
            slot[..4].copy_from_slice(&[tag::BINARY, 0, 0, 0]);
            let (head, terms, its_end) = match term {
                Term::Binary(bytes) => {
                    if let Some(bytes) = bytes.short() {
                        slot[4..27].copy_from_slice(bytes.room());
                        at += 4 + bytes.room_len();
                        continue;
                    }
                    let bytes: &[u8] = bytes;
                    slot[1..5].copy_from_slice(&(bytes.len() as u32).to_be_bytes());
                    let place = room[at + 5..].get_mut(..bytes.len()).filter(|place| place.len() <= TEXT);
                    let Some(place) = place else { break Stop::Term(term) };
                    place.copy_from_slice(bytes);
                    at += 5 + bytes.len();
                    continue;
                }
                Term::Float(number) if number.is_finite() => {
                    slot[0] = tag::NEW_FLOAT;
                    slot[1..9].copy_from_slice(&number.to_be_bytes());
                    at += 9;
                    continue;
                }
                Term::List(items) => (head(slot, tag::LIST, items.len()), &**items, End::Nil),
                Term::Tuple(items) if items.len() < 256 => {
                    slot[..2].copy_from_slice(&[tag::SMALL_TUPLE, items.len() as u8]);
                    (2, &**items, End::Nothing)
                }
                Term::Tuple(items) => (head(slot, tag::LARGE_TUPLE, items.len()), &**items, End::Nothing),
                Term::Map(map) => (head(slot, tag::MAP, map.pairs().len()), map.terms(), End::Nothing),
                _ => match small(term, slot) {
                    0 => break Stop::Term(term),
                    len => {
                        at += len;
                        continue;
                    }
                },
            };
            if terms.is_empty() {
                at += small(term, slot);
                continue;
            }
            if level >= levels || terms.len() > MOST {
                break Stop::Term(term);
            }
            at += head;
            self.around[level] = Rest { left, end };
            level += 1;
            (left, end) = (terms.iter(), its_end);
        };
        self.level = level;
        self.rest = Rest { left, end };
        (stop, at)
    }
}

/// Writes a tag and a count, and returns how many bytes they have.
#[inline(always)]
fn head(slot: &mut [u8; SLOT], tag: u8, count: usize) -> usize {
    slot[0] = tag;
    slot[1..5].copy_from_slice(&(count as u32).to_be_bytes());
    5
}

/// Returns a term as bytes, with its version in front.
pub(super) fn whole(term: &Term) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = match term {
        Term::Binary(binary) if binary.len() > TEXT => Vec::with_capacity(6 + binary.len()),
        _ => Vec::new(),
    };
    Encoder::new(&mut bytes).container(term, true)?;
    Ok(bytes)
}

/// Writes a term that has no elements and is small, of the less frequent kinds, and returns how many bytes it
/// has; 0 if the term is another one.
#[inline(never)]
fn small(term: &Term, slot: &mut [u8; SLOT]) -> usize {
    let mut slot = Slot::new(slot);
    match term {
        Term::Integer(number) => slot.long(*number),
        Term::List(items) if items.is_empty() => slot.put_all([tag::NIL]),
        Term::Tuple(items) if items.is_empty() => slot.put_all([tag::SMALL_TUPLE, 0]),
        Term::Map(map) if map.terms().is_empty() => slot.put_all([tag::MAP, 0, 0, 0, 0]),
        Term::Pid(pid) => {
            if let Some(node) = pid.node.short() {
                slot.pid(pid, Name::Text(node));
            }
        }
        Term::Reference(reference) => {
            if let Some(node) = reference.node.short() {
                slot.reference(reference, Name::Text(node));
            }
        }
        _ => {}
    }
    slot.len()
}
