//! Lists, tuples, maps, options and results.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};

use super::{FromTerm, Sealed, ToTerm};
use crate::wire::decode::{Decoder, Kind, List};
use crate::wire::encode::Encoder;
use crate::wire::error::{DecodeError, EncodeError, Why};
use crate::wire::tag;

/// Each small integer as a term, to read elements of a list that was written as a string.
pub(super) static SMALL_INTEGERS: [[u8; 2]; 256] = {
    let mut all = [[tag::SMALL_INTEGER, 0]; 256];
    let mut number = 0;
    while number < 256 {
        all[number][1] = number as u8;
        number += 1;
    }
    all
};

/// Writes a list of these items.
fn list<'t, T: ToTerm + 't>(
    len: usize,
    items: impl Iterator<Item = &'t T>,
    out: &mut Encoder<'_>,
) -> Result<(), EncodeError> {
    if len > 0 {
        out.list(len)?;
        out.nested(|out| items.into_iter().try_for_each(|item| item.to_term(out)))?;
    }
    out.nil();
    Ok(())
}

impl<T: ToTerm> ToTerm for [T] {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        list(self.len(), self.iter(), out)
    }
}

impl<T: ToTerm> ToTerm for Vec<T> {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        list(self.len(), self.iter(), out)
    }
}

impl<'a, T: FromTerm<'a>> FromTerm<'a> for Vec<T> {
    fn from_term(input: &mut Decoder<'a>) -> Result<Vec<T>, DecodeError> {
        match input.list()? {
            List::Bytes(bytes) => {
                let mut items = input.reserve(bytes.len())?;
                for (index, byte) in bytes.iter().enumerate() {
                    let mut small = Decoder::new(&SMALL_INTEGERS[usize::from(*byte)]);
                    items.push(T::from_term(&mut small).map_err(|error| error.at_index(index))?);
                }
                Ok(items)
            }
            List::Items(len) => {
                let mut items = input.reserve(len)?;
                input.nested(|input| {
                    for index in 0..len {
                        items.push(T::from_term(input).map_err(|error| error.at_index(index))?);
                    }
                    input.nil()
                })?;
                Ok(items)
            }
        }
    }
}

impl<T: ToTerm> ToTerm for VecDeque<T> {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        list(self.len(), self.iter(), out)
    }
}

impl<'a, T: FromTerm<'a>> FromTerm<'a> for VecDeque<T> {
    fn from_term(input: &mut Decoder<'a>) -> Result<VecDeque<T>, DecodeError> {
        Vec::from_term(input).map(VecDeque::from)
    }
}

/// A tuple of equal elements.
impl<T: ToTerm, const N: usize> ToTerm for [T; N] {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.tuple(N)?;
        out.nested(|out| self.iter().try_for_each(|item| item.to_term(out)))
    }
}

impl<'a, T: FromTerm<'a>, const N: usize> FromTerm<'a> for [T; N] {
    fn from_term(input: &mut Decoder<'a>) -> Result<[T; N], DecodeError> {
        input.tuple_of(N)?;
        let mut items = input.reserve(N)?;
        input.nested(|input| {
            for index in 0..N {
                items.push(T::from_term(input).map_err(|error| error.at_index(index))?);
            }
            Ok(())
        })?;
        items.try_into().map_err(|items: Vec<T>| Why::Arity { wanted: N, found: items.len() }.into())
    }
}

/// Implements the traits for tuples.
macro_rules! tuples {
    ($($len:literal: $($type:ident $index:tt)*;)*) => {$(
        impl<$($type: ToTerm),*> ToTerm for ($($type,)*) {
            fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
                out.tuple($len)?;
                out.nested(|out| {
                    $(self.$index.to_term(out)?;)*
                    Ok(())
                })
            }
        }

        impl<'a, $($type: FromTerm<'a>),*> FromTerm<'a> for ($($type,)*) {
            fn from_term(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
                input.tuple_of($len)?;
                input.nested(|input| {
                    Ok(($($type::from_term(input).map_err(|error| error.at_index($index))?,)*))
                })
            }
        }
    )*};
}

tuples! {
    1: A 0;
    2: A 0 B 1;
    3: A 0 B 1 C 2;
    4: A 0 B 1 C 2 D 3;
    5: A 0 B 1 C 2 D 3 E 4;
    6: A 0 B 1 C 2 D 3 E 4 F 5;
    7: A 0 B 1 C 2 D 3 E 4 F 5 G 6;
    8: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7;
    9: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8;
    10: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9;
    11: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10;
    12: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11;
}

/// Writes a map of these pairs.
fn map<'t, K: ToTerm + 't, V: ToTerm + 't>(
    len: usize,
    mut pairs: impl Iterator<Item = (&'t K, &'t V)>,
    out: &mut Encoder<'_>,
) -> Result<(), EncodeError> {
    out.map(len)?;
    out.nested(|out| {
        pairs.try_for_each(|(key, value)| {
            key.to_term(out)?;
            value.to_term(out)
        })
    })
}

/// Reads a map, and hands each pair to `insert`, which says whether the key is a new one.
fn each_pair<'a, K: FromTerm<'a>, V: FromTerm<'a>>(
    input: &mut Decoder<'a>,
    overhead: usize,
    mut insert: impl FnMut(K, V) -> bool,
) -> Result<(), DecodeError> {
    let len = input.map()?;
    input.charge(len.saturating_mul(size_of::<(K, V)>() + overhead))?;
    input.nested(|input| {
        for index in 0..len {
            let key = K::from_term(input).map_err(|error| error.at_index(index))?;
            let value = V::from_term(input).map_err(|error| error.at_index(index))?;
            if !insert(key, value) {
                return Err(Why::DuplicateKey.into());
            }
        }
        Ok(())
    })
}

impl<K: ToTerm, V: ToTerm> ToTerm for BTreeMap<K, V> {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        map(self.len(), self.iter(), out)
    }
}

impl<'a, K: FromTerm<'a> + Ord, V: FromTerm<'a>> FromTerm<'a> for BTreeMap<K, V> {
    fn from_term(input: &mut Decoder<'a>) -> Result<BTreeMap<K, V>, DecodeError> {
        let mut map = BTreeMap::new();
        each_pair(input, 16, |key, value| map.insert(key, value).is_none())?;
        Ok(map)
    }
}

impl<K: ToTerm, V: ToTerm, S> ToTerm for HashMap<K, V, S> {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        map(self.len(), self.iter(), out)
    }
}

impl<'a, K, V, S> FromTerm<'a> for HashMap<K, V, S>
where
    K: FromTerm<'a> + Eq + Hash,
    V: FromTerm<'a>,
    S: BuildHasher + Default,
{
    fn from_term(input: &mut Decoder<'a>) -> Result<HashMap<K, V, S>, DecodeError> {
        let mut map = HashMap::default();
        each_pair(input, 16, |key, value| map.insert(key, value).is_none())?;
        Ok(map)
    }
}

impl<T: ToTerm> ToTerm for Option<T> {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        match self {
            Some(value) => value.to_term(out),
            None => out.name("undefined"),
        }
    }
}

/// Passes over the atom that says that nothing is there, if the next term is one.
fn nothing(input: &mut Decoder<'_>) -> Result<bool, DecodeError> {
    if input.kind()? != Kind::Atom {
        return Ok(false);
    }
    let mut ahead = input.clone();
    let nothing = matches!(&*ahead.atom()?, "undefined" | "nil");
    if nothing {
        *input = ahead;
    }
    Ok(nothing)
}

impl<'a, T: FromTerm<'a>> FromTerm<'a> for Option<T> {
    fn from_term(input: &mut Decoder<'a>) -> Result<Option<T>, DecodeError> {
        if nothing(input)? { Ok(None) } else { T::from_term(input).map(Some) }
    }

    fn absent() -> Option<Option<T>> {
        Some(None)
    }
}

/// An option whose nothing is `nil`, as in Elixir. Both `nil` and `undefined` are read.
///
/// # Examples
/// ```
/// use twoply_node::wire::{Nilable, Term, from_bytes, to_bytes};
///
/// let nothing: Nilable<u32> = Nilable(None);
/// assert_eq!(from_bytes::<Term>(&to_bytes(&nothing)?)?, Term::atom("nil"));
/// assert_eq!(from_bytes::<Nilable<u32>>(&to_bytes(&7)?)?, Nilable(Some(7)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nilable<T>(pub Option<T>);

impl<T: ToTerm> ToTerm for Nilable<T> {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        match &self.0 {
            Some(value) => value.to_term(out),
            None => out.name("nil"),
        }
    }
}

impl<'a, T: FromTerm<'a>> FromTerm<'a> for Nilable<T> {
    fn from_term(input: &mut Decoder<'a>) -> Result<Nilable<T>, DecodeError> {
        Option::from_term(input).map(Nilable)
    }

    fn absent() -> Option<Nilable<T>> {
        Some(Nilable(None))
    }
}

/// `{ok,T}` or `{error,E}`; and `ok` alone where `T` is `()`.
impl<T: ToTerm, E: ToTerm> ToTerm for Result<T, E> {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        let (name, value): (_, &dyn ToTerm) = match self {
            Ok(value) if value.is_unit(Sealed) => return value.to_term(out),
            Ok(value) => ("ok", value),
            Err(error) => ("error", error),
        };
        out.tuple(2)?;
        out.name(name)?;
        out.nested(|out| value.to_term(out))
    }
}

impl<'a, T: FromTerm<'a>, E: FromTerm<'a>> FromTerm<'a> for Result<T, E> {
    fn from_term(input: &mut Decoder<'a>) -> Result<Result<T, E>, DecodeError> {
        if input.kind()? == Kind::Atom
            && let Some(unit) = T::unit(Sealed)
        {
            <()>::from_term(input)?;
            return Ok(Ok(unit));
        }
        input.tuple_of(2)?;
        input.nested(|input| match &*input.atom()? {
            "ok" => T::from_term(input).map(Ok).map_err(|error| error.at_index(1)),
            "error" => E::from_term(input).map(Err).map_err(|error| error.at_index(1)),
            _ => Err(Why::Unexpected { wanted: "ok or error", found: "another atom" }.into()),
        })
    }
}
