//! [`Writer`]: the term of a value that serde knows.

use std::fmt::Display;

use serde::Serialize;
use serde::ser::{self, Serializer};

use crate::wire::{Atom, BigInt, Binary, EncodeError, Map, Term};

/// The maker of the term of one value.
pub(super) struct Writer;

impl ser::Error for EncodeError {
    fn custom<T: Display>(text: T) -> EncodeError {
        EncodeError::Refused(text.to_string())
    }
}

/// A name in the program, as an atom.
fn name(text: &'static str) -> Result<Term, EncodeError> {
    Atom::new(text).map(Term::Atom).map_err(ser::Error::custom)
}

macro_rules! integers {
    ($($write:ident $int:ty),*) => {$(
        fn $write(self, number: $int) -> Result<Term, EncodeError> {
            Ok(match i64::try_from(number) {
                Ok(number) => Term::Integer(number),
                Err(_) => Term::Big(BigInt::from(number)),
            })
        }
    )*};
}

macro_rules! small_integers {
    ($($write:ident $int:ty),*) => {$(
        fn $write(self, number: $int) -> Result<Term, EncodeError> {
            Ok(Term::Integer(number.into()))
        }
    )*};
}

impl Serializer for Writer {
    type Ok = Term;
    type Error = EncodeError;
    type SerializeSeq = Elements;
    type SerializeTuple = Elements;
    type SerializeTupleStruct = Elements;
    type SerializeTupleVariant = Elements;
    type SerializeMap = Pairs;
    type SerializeStruct = Pairs;
    type SerializeStructVariant = Elements;

    small_integers! {
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32
    }
    integers!(serialize_i128 i128, serialize_u128 u128);

    fn serialize_u64(self, number: u64) -> Result<Term, EncodeError> {
        self.serialize_u128(number.into())
    }

    fn serialize_bool(self, value: bool) -> Result<Term, EncodeError> {
        Ok(Term::atom(if value { "true" } else { "false" }))
    }

    fn serialize_f32(self, number: f32) -> Result<Term, EncodeError> {
        self.serialize_f64(number.into())
    }

    fn serialize_f64(self, number: f64) -> Result<Term, EncodeError> {
        if number.is_finite() { Ok(Term::Float(number)) } else { Err(EncodeError::Float) }
    }

    fn serialize_char(self, character: char) -> Result<Term, EncodeError> {
        Ok(Term::text(character))
    }

    fn serialize_str(self, text: &str) -> Result<Term, EncodeError> {
        self.serialize_bytes(text.as_bytes())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Term, EncodeError> {
        u32::try_from(bytes.len()).map_err(|_| EncodeError::TooLarge)?;
        Ok(Term::Binary(Binary::from(bytes.to_vec())))
    }

    fn serialize_none(self) -> Result<Term, EncodeError> {
        Ok(Term::atom("undefined"))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Term, EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Term, EncodeError> {
        Ok(Term::atom("ok"))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Term, EncodeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Term, EncodeError> {
        name(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Term, EncodeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Term, EncodeError> {
        Ok(Term::Tuple(vec![name(variant)?, value.serialize(self)?]))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements, EncodeError> {
        Ok(Elements { terms: Vec::new(), whole: Term::List })
    }

    fn serialize_tuple(self, len: usize) -> Result<Elements, EncodeError> {
        Ok(Elements { terms: Vec::with_capacity(len), whole: Term::Tuple })
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Elements, EncodeError> {
        self.serialize_tuple(len)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Elements, EncodeError> {
        let mut elements = self.serialize_tuple(1 + len)?;
        elements.terms.push(name(variant)?);
        Ok(elements)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Pairs, EncodeError> {
        Ok(Pairs { pairs: Vec::new(), key: None })
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Pairs, EncodeError> {
        Ok(Pairs { pairs: Vec::with_capacity(len), key: None })
    }

    fn serialize_struct_variant(
        self,
        of: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Elements, EncodeError> {
        self.serialize_tuple_variant(of, index, variant, len)
    }
}

/// The elements of a list or a tuple.
pub(super) struct Elements {
    terms: Vec<Term>,
    /// Makes a term of them.
    whole: fn(Vec<Term>) -> Term,
}

impl Elements {
    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.terms.push(value.serialize(Writer)?);
        Ok(())
    }

    fn done(self) -> Result<Term, EncodeError> {
        Ok((self.whole)(self.terms))
    }
}

macro_rules! elements {
    ($($trait:ident $add:ident),*) => {$(
        impl ser::$trait for Elements {
            type Ok = Term;
            type Error = EncodeError;

            fn $add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
                self.add(value)
            }

            fn end(self) -> Result<Term, EncodeError> {
                self.done()
            }
        }
    )*};
}

elements! {
    SerializeSeq serialize_element, SerializeTuple serialize_element, SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
}

impl ser::SerializeStructVariant for Elements {
    type Ok = Term;
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        _: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.add(value)
    }

    fn end(self) -> Result<Term, EncodeError> {
        self.done()
    }
}

/// The pairs of a map.
pub(super) struct Pairs {
    pairs: Vec<(Term, Term)>,
    /// The key whose value comes next.
    key: Option<Term>,
}

impl Pairs {
    fn done(self) -> Result<Term, EncodeError> {
        Map::new(self.pairs).map(Term::Map).ok_or(EncodeError::DuplicateKey)
    }
}

impl ser::SerializeMap for Pairs {
    type Ok = Term;
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        self.key = Some(key.serialize(Writer)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        let key = self.key.take().ok_or_else(|| ser::Error::custom("a value has no key"))?;
        self.pairs.push((key, value.serialize(Writer)?));
        Ok(())
    }

    fn end(self) -> Result<Term, EncodeError> {
        self.done()
    }
}

impl ser::SerializeStruct for Pairs {
    type Ok = Term;
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.pairs.push((name(key)?, value.serialize(Writer)?));
        Ok(())
    }

    fn end(self) -> Result<Term, EncodeError> {
        self.done()
    }
}
