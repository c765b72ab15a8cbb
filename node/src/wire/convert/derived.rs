//! The parts of which the derives make their code. No part of the interface.

use super::FromTerm;
use crate::wire::decode::{Decoder, Kind};
use crate::wire::encode::Encoder;
use crate::wire::error::{DecodeError, EncodeError, Why};

/// Reads a map with atoms as keys: `read` reads the value of a key that it knows, and returns false for
/// others, which are passed over.
pub fn read_map<'a>(
    input: &mut Decoder<'a>,
    mut read: impl FnMut(&str, &mut Decoder<'a>) -> Result<bool, DecodeError>,
) -> Result<(), DecodeError> {
    let pairs = input.map()?;
    input.nested(|input| {
        for _ in 0..pairs {
            if input.kind()? != Kind::Atom {
                input.skip()?;
                input.skip()?;
                continue;
            }
            let key = input.atom()?;
            if !read(&key, input)? {
                input.skip()?;
            }
        }
        Ok(())
    })
}

/// Reads the value of a field, which must not have one yet.
pub fn set<'a, T: FromTerm<'a>>(
    field: &mut Option<T>,
    name: &'static str,
    input: &mut Decoder<'a>,
) -> Result<(), DecodeError> {
    let value = T::from_term(input).map_err(|error| error.in_field(name))?;
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(DecodeError::from(Why::DuplicateKey).in_field(name)),
    }
}

/// Returns the value of a field, of which its type may allow that it is missing.
pub fn take<'a, T: FromTerm<'a>>(field: Option<T>, name: &'static str) -> Result<T, DecodeError> {
    field.or_else(T::absent).ok_or_else(|| DecodeError::from(Why::Missing).in_field(name))
}

/// Reads the value of a field that stands in its place.
pub fn field<'a, T: FromTerm<'a>>(name: &'static str, input: &mut Decoder<'a>) -> Result<T, DecodeError> {
    T::from_term(input).map_err(|error| error.in_field(name))
}

/// Reads an atom that must be `name`.
pub fn tag(name: &'static str, input: &mut Decoder<'_>) -> Result<(), DecodeError> {
    match &*input.atom()? {
        found if found == name => Ok(()),
        found => Err(Why::Variant { name: found.to_owned(), fields: 0 }.into()),
    }
}

/// Reads an atom or a tuple with an atom in front: `read` gets the atom and the number of elements behind it,
/// reads these, and returns `None` if there is no such variant.
pub fn read_variant<'a, T>(
    input: &mut Decoder<'a>,
    read: impl FnOnce(&str, usize, &mut Decoder<'a>) -> Result<Option<T>, DecodeError>,
) -> Result<T, DecodeError> {
    let fields = match input.kind()? {
        Kind::Atom => 0,
        _ => match input.tuple()? {
            0 => return Err(Why::Arity { wanted: 1, found: 0 }.into()),
            arity => arity - 1,
        },
    };
    input.nested(|input| {
        let name = input.atom()?;
        match read(&name, fields, input)? {
            Some(variant) => Ok(variant),
            None => Err(Why::Variant { name: name.into_owned(), fields }.into()),
        }
    })
}

/// Begins an atom, or a tuple with that in front if there are elements to follow.
pub fn begin_variant(name: &'static str, fields: usize, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
    if fields > 0 {
        out.tuple(fields + 1)?;
    }
    out.name(name)
}

/// Passes over `'$gen_cast'` and the tuple around it, if the next term is one.
pub fn begin_cast(input: &mut Decoder<'_>) -> Result<bool, DecodeError> {
    if input.kind()? != Kind::Tuple {
        return Ok(false);
    }
    let mut ahead = input.clone();
    let is_cast = ahead.tuple()? == 2 && ahead.kind()? == Kind::Atom && ahead.atom()? == GEN_CAST;
    if is_cast {
        *input = ahead;
    }
    Ok(is_cast)
}

/// The tag of a message that a `gen_server` takes without an answer.
pub const GEN_CAST: &str = "$gen_cast";

/// The tag of a message that a `gen_server` answers.
pub const GEN_CALL: &str = "$gen_call";
