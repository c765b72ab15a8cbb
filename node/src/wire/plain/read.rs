//! [`Reader`]: the value that serde makes of a term.

use std::borrow::Cow;
use std::fmt::Display;

use serde::de::value::CowStrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::wire::decode::Integer;
use crate::wire::error::Why;
use crate::wire::{BigInt, DecodeError, Decoder, FromTerm, Kind, List, tag};

/// The levels that a term may have: types that hold themselves are read by functions that call each other.
const MAX_DEPTH: usize = 128;

/// A cursor from which one term is read.
pub(super) struct Reader<'r, 'a>(pub(super) &'r mut Decoder<'a>);

impl de::Error for DecodeError {
    fn custom<T: Display>(text: T) -> DecodeError {
        DecodeError::refused(text.to_string())
    }
}

impl<'a> Reader<'_, 'a> {
    /// Returns the text of the next term if it is an atom, and leaves it there.
    fn atom_ahead(&self) -> Option<Cow<'a, str>> {
        self.0.clone().atom().ok()
    }

    /// Reads text, which is copied by whoever keeps it.
    fn text(self) -> Result<&'a str, DecodeError> {
        let text = self.0.text()?;
        self.0.charge(text.len())?;
        Ok(text)
    }

    /// Reads the text of an atom, which may be a number of two bytes in the message.
    fn name(self) -> Result<Cow<'a, str>, DecodeError> {
        let name = self.0.atom()?;
        self.0.charge(name.len())?;
        Ok(name)
    }

    fn bytes(self) -> Result<&'a [u8], DecodeError> {
        let bytes = self.0.bytes()?;
        self.0.charge(bytes.len())?;
        Ok(bytes)
    }

    fn integer<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let (negative, magnitude) = match self.0.integer()? {
            Integer::Small(number) => return visitor.visit_i64(number),
            Integer::Big(negative, magnitude) => (negative, magnitude),
        };
        let number = BigInt::new(negative, magnitude);
        match (u128::try_from(&number), i128::try_from(&number)) {
            (Ok(number), _) => match u64::try_from(number) {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => visitor.visit_u128(number),
            },
            (_, Ok(number)) => visitor.visit_i128(number),
            _ => Err(Why::OutOfRange("i128").into()),
        }
    }

    /// Has `read` read elements or pairs, of which `left` follow, one level deeper.
    fn inside<T>(
        self,
        left: usize,
        read: impl FnOnce(&mut Elements<'_, 'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        if self.0.depth() >= MAX_DEPTH {
            return Err(Why::Depth { limit: MAX_DEPTH }.into());
        }
        self.0.nested(|input| {
            let mut elements = Elements { input, left };
            let value = read(&mut elements)?;
            match elements.left {
                0 => Ok(value),
                more => Err(Why::Arity { wanted: left - more, found: left }.into()),
            }
        })
    }

    fn elements<V: Visitor<'a>>(self, left: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.inside(left, |elements| visitor.visit_seq(elements))
    }
}

impl<'a> Deserializer<'a> for Reader<'_, 'a> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0.kind()? {
            Kind::Integer => self.integer(visitor),
            Kind::Float => self.deserialize_f64(visitor),
            Kind::Atom => match self.name()? {
                Cow::Borrowed("true") => visitor.visit_bool(true),
                Cow::Borrowed("false") => visitor.visit_bool(false),
                Cow::Borrowed("undefined" | "nil") => visitor.visit_none(),
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            Kind::Binary => {
                let bytes = self.bytes()?;
                match std::str::from_utf8(bytes) {
                    Ok(text) => visitor.visit_borrowed_str(text),
                    Err(_) => visitor.visit_borrowed_bytes(bytes),
                }
            }
            Kind::List => self.deserialize_seq(visitor),
            Kind::Tuple => {
                let arity = self.0.tuple()?;
                self.elements(arity, visitor)
            }
            Kind::Map => self.deserialize_map(visitor),
            kind => Err(de::Error::custom(format!("{} is no plain data", kind.article()))),
        }
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_bool(FromTerm::from_term(self.0)?)
    }

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_f64(self.0.f64()?)
    }

    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0.kind()? {
            Kind::Atom => visitor.visit_str(&self.name()?),
            _ => visitor.visit_borrowed_str(self.text()?),
        }
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0.kind()? {
            Kind::Binary => visitor.visit_borrowed_str(self.text()?),
            _ => visitor.visit_str(&self.name()?),
        }
    }

    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    fn deserialize_byte_buf<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.atom_ahead().as_deref() {
            Some("undefined" | "nil") => {
                self.0.skip()?;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        <()>::from_term(self.0)?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0.list()? {
            List::Items(count) => {
                let value = Reader(self.0).elements(count, visitor)?;
                self.0.nil()?;
                Ok(value)
            }
            List::Bytes(bytes) => {
                let mut elements = Bytes { input: self.0, left: bytes };
                let value = visitor.visit_seq(&mut elements)?;
                match elements.left.len() {
                    0 => Ok(value),
                    more => Err(Why::Arity { wanted: bytes.len() - more, found: bytes.len() }.into()),
                }
            }
        }
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.0.tuple_of(len)?;
        self.elements(len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let left = self.0.map()?;
        self.inside(left, |pairs| visitor.visit_map(pairs))
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.0.kind()? {
            Kind::Tuple => {
                let arity = self.0.tuple()?;
                let fields = arity.checked_sub(1).ok_or(Why::Arity { wanted: 1, found: 0 })?;
                // The variant counts its elements itself.
                self.inside(0, |tuple| visitor.visit_enum(Variant { input: tuple.input, fields }))
            }
            _ => visitor.visit_enum(Variant { input: self.0, fields: 0 }),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.0.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { <V: Visitor<'a>> i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 }
}

/// The elements of a term, or its pairs, one after the other.
struct Elements<'r, 'a> {
    input: &'r mut Decoder<'a>,
    left: usize,
}

impl<'a> Elements<'_, 'a> {
    /// Reads a value, and counts the room that it takes.
    fn read<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        self.input.charge(size_of::<T::Value>())?;
        seed.deserialize(Reader(self.input))
    }
}

impl<'a> de::SeqAccess<'a> for Elements<'_, 'a> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        self.read(seed).map(Some)
    }
}

/// The elements of a list of small numbers, which is sent as their bytes.
struct Bytes<'r, 'a> {
    input: &'r mut Decoder<'a>,
    left: &'a [u8],
}

/// Each byte as a term.
static NUMBERS: [[u8; 2]; 256] = {
    let mut terms = [[tag::SMALL_INTEGER, 0]; 256];
    let mut number = 0;
    while number < 256 {
        terms[number][1] = number as u8;
        number += 1;
    }
    terms
};

impl<'a> de::SeqAccess<'a> for Bytes<'_, 'a> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let Some((number, left)) = self.left.split_first() else { return Ok(None) };
        self.left = left;
        self.input.charge(size_of::<T::Value>())?;
        // The type reads it as it reads any number.
        let mut number = Decoder::new(&NUMBERS[usize::from(*number)]);
        seed.deserialize(Reader(&mut number)).map(Some)
    }
}

impl<'a> de::MapAccess<'a> for Elements<'_, 'a> {
    type Error = DecodeError;

    fn next_key_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        de::SeqAccess::next_element_seed(self, seed)
    }

    fn next_value_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        self.read(seed)
    }
}

/// A variant of an enum.
struct Variant<'r, 'a> {
    input: &'r mut Decoder<'a>,
    /// The elements behind the name.
    fields: usize,
}

impl<'a> de::EnumAccess<'a> for Variant<'_, 'a> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<(T::Value, Self), DecodeError> {
        let name: CowStrDeserializer<'a, DecodeError> = self.input.atom()?.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl Variant<'_, '_> {
    fn has(&self, wanted: usize) -> Result<(), DecodeError> {
        match self.fields {
            found if found == wanted => Ok(()),
            found => Err(Why::Arity { wanted, found }.into()),
        }
    }
}

impl<'a> de::VariantAccess<'a> for Variant<'_, 'a> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        self.has(0)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, DecodeError> {
        self.has(1)?;
        seed.deserialize(Reader(self.input))
    }

    fn tuple_variant<V: Visitor<'a>>(self, len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.has(len)?;
        Reader(self.input).elements(len, visitor)
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.tuple_variant(fields.len(), visitor)
    }
}
