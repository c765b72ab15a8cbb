//! Terms as text, as Erlang's `~p` writes them, in one line.

use std::fmt;

use super::{BigInt, BitString, Event, Fun, FunKind, Pid, Port, Reference, Term, walk};

/// Writes the term as Erlang does, in one line; what it nests is no matter.
impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in walk(self) {
            match event {
                Event::Enter(term, place) => {
                    f.write_str(place.map_or("", |(parent, index)| separator(parent, index)))?;
                    open(term, f)?;
                }
                Event::Leave(term) => f.write_str(match term {
                    Term::List(_) | Term::Improper(_) => "]",
                    Term::Fun(_) => ">",
                    _ => "}",
                })?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns what stands in front of the element `index`.
fn separator(parent: &Term, index: usize) -> &'static str {
    match parent {
        Term::Map(_) if !index.is_multiple_of(2) => "=>",
        Term::Improper(list) if index == list.items().len() => "|",
        _ if index == 0 => "",
        _ => ",",
    }
}

/// Writes a term, or the beginning of one that has elements.
fn open(term: &Term, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match term {
        Term::Integer(number) => write!(f, "{number}"),
        Term::Big(number) => write!(f, "{number:?}"),
        Term::Float(number) => write!(f, "{number:?}"),
        Term::Atom(atom) => write!(f, "{atom}"),
        Term::Binary(bytes) => binary(bytes, f),
        Term::Bits(bits) => write!(f, "{bits:?}"),
        Term::List(items) if items.is_empty() => f.write_str("[]"),
        Term::Tuple(items) if items.is_empty() => f.write_str("{}"),
        Term::Map(map) if map.pairs().is_empty() => f.write_str("#{}"),
        Term::List(_) | Term::Improper(_) => f.write_str("["),
        Term::Tuple(_) => f.write_str("{"),
        Term::Map(_) => f.write_str("#{"),
        Term::Pid(pid) => write!(f, "{pid:?}"),
        Term::Reference(reference) => write!(f, "{reference:?}"),
        Term::Port(port) => write!(f, "{port:?}"),
        Term::Fun(fun) => match &fun.0 {
            FunKind::Export { .. } => write!(f, "{fun:?}"),
            FunKind::Closure { header, .. } => write!(f, "#Fun<{}.{}:", header.module, header.old_index),
        },
    }
}

fn binary(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| c.is_control() && c != '\n') => write!(f, "<<{text:?}>>"),
        _ => {
            f.write_str("<<")?;
            for (place, byte) in bytes.iter().enumerate() {
                write!(f, "{}{byte}", if place == 0 { "" } else { "," })?;
            }
            f.write_str(">>")
        }
    }
}

impl fmt::Debug for BitString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<<")?;
        let (last, bytes) = self.bytes().split_last().unwrap_or((&0, &[]));
        for byte in bytes {
            write!(f, "{byte},")?;
        }
        write!(f, "{}:{}>>", last >> (8 - self.last_bits()), self.last_bits())
    }
}

/// Writes the number in hexadecimal digits, since those of ten take a division for each.
impl fmt::Debug for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_negative() { "-16#" } else { "16#" })?;
        let (first, rest) = self.magnitude().split_last().unwrap_or((&0, &[]));
        write!(f, "{first:X}")?;
        rest.iter().rev().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}#{}.{}.{}>", self.node, self.creation, self.id, self.serial)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#Ref<{}#{}", self.node, self.creation)?;
        self.words().iter().try_for_each(|word| write!(f, ".{word}"))?;
        f.write_str(">")
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#Port<{}#{}.{}>", self.node, self.creation, self.id)
    }
}

impl fmt::Debug for Fun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            FunKind::Export { module, function, arity } => write!(f, "fun {module}:{function}/{arity}"),
            FunKind::Closure { header, .. } => write!(f, "#Fun<{}.{}>", header.module, header.old_index),
        }
    }
}
