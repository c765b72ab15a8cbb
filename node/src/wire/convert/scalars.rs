//! Numbers, texts, atoms, and what stands for itself.

use std::borrow::Cow;

use super::{FromTerm, Sealed, ToTerm};
use crate::wire::atom::Atom;
use crate::wire::decode::{Decoder, Integer, Kind, List, TermRef};
use crate::wire::encode::Encoder;
use crate::wire::error::{DecodeError, EncodeError, Why};
use crate::wire::term::{self, BigInt, Binary, BitString, Fun, Pid, Port, Reference, Term};

/// Implements the traits for integers that an `i64` always, or now and then, holds.
macro_rules! integers {
    ($($int:ident)*) => {$(
        impl ToTerm for $int {
            fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
                match i64::try_from(*self) {
                    Ok(number) => out.integer(number),
                    Err(_) => out.big(&wide(*self as i128, *self as u128, *self > 0))?,
                }
                Ok(())
            }
        }

        impl<'a> FromTerm<'a> for $int {
            fn from_term(input: &mut Decoder<'a>) -> Result<$int, DecodeError> {
                let number = match input.integer()? {
                    Integer::Small(number) => $int::try_from(number).ok(),
                    Integer::Big(false, magnitude) => {
                        term::small(magnitude).and_then(|number| $int::try_from(number).ok())
                    }
                    Integer::Big(true, magnitude) => term::small(magnitude)
                        .and_then(|number| term::signed(true, number))
                        .and_then(|number| $int::try_from(number).ok()),
                };
                number.ok_or_else(|| Why::OutOfRange(stringify!($int)).into())
            }
        }
    )*};
}

integers!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

/// Returns an integer that is no `i64`, of its two casts.
fn wide(signed: i128, unsigned: u128, positive: bool) -> BigInt {
    if positive { BigInt::from(unsigned) } else { BigInt::from(signed) }
}

impl ToTerm for BigInt {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.big(self)
    }
}

impl<'a> FromTerm<'a> for BigInt {
    fn from_term(input: &mut Decoder<'a>) -> Result<BigInt, DecodeError> {
        match input.integer()? {
            Integer::Small(number) => Ok(BigInt::from(i128::from(number))),
            Integer::Big(negative, magnitude) => {
                input.charge(magnitude.len())?;
                Ok(BigInt::new(negative, magnitude))
            }
        }
    }
}

impl ToTerm for f64 {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.float(*self)
    }
}

impl<'a> FromTerm<'a> for f64 {
    fn from_term(input: &mut Decoder<'a>) -> Result<f64, DecodeError> {
        input.f64()
    }
}

impl ToTerm for f32 {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.float(f64::from(*self))
    }
}

impl<'a> FromTerm<'a> for f32 {
    fn from_term(input: &mut Decoder<'a>) -> Result<f32, DecodeError> {
        // The nearest one, as by `as`; but a finite number stays finite.
        let number = input.f64()? as f32;
        if number.is_finite() { Ok(number) } else { Err(Why::OutOfRange("f32").into()) }
    }
}

impl ToTerm for bool {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.name(if *self { "true" } else { "false" })
    }
}

impl<'a> FromTerm<'a> for bool {
    fn from_term(input: &mut Decoder<'a>) -> Result<bool, DecodeError> {
        match &*input.atom()? {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Why::Unexpected { wanted: "true or false", found: "another atom" }.into()),
        }
    }
}

/// `ok`, as functions return it that have nothing else to say.
impl ToTerm for () {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.name("ok")
    }

    fn is_unit(&self, _: Sealed) -> bool {
        true
    }
}

impl<'a> FromTerm<'a> for () {
    fn from_term(input: &mut Decoder<'a>) -> Result<(), DecodeError> {
        match &*input.atom()? {
            "ok" => Ok(()),
            _ => Err(Why::Unexpected { wanted: "ok", found: "another atom" }.into()),
        }
    }

    fn unit(_: Sealed) -> Option<()> {
        Some(())
    }
}

impl ToTerm for str {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.binary(self.as_bytes())
    }
}

impl ToTerm for String {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.binary(self.as_bytes())
    }
}

impl<'a> FromTerm<'a> for &'a str {
    fn from_term(input: &mut Decoder<'a>) -> Result<&'a str, DecodeError> {
        input.text()
    }
}

impl<'a> FromTerm<'a> for String {
    fn from_term(input: &mut Decoder<'a>) -> Result<String, DecodeError> {
        let text = input.text()?;
        input.charge(text.len())?;
        Ok(text.to_owned())
    }
}

impl ToTerm for Cow<'_, str> {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.binary(self.as_bytes())
    }
}

impl<'a> FromTerm<'a> for Cow<'a, str> {
    fn from_term(input: &mut Decoder<'a>) -> Result<Cow<'a, str>, DecodeError> {
        input.text().map(Cow::Borrowed)
    }
}

impl ToTerm for char {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.binary(self.encode_utf8(&mut [0; 4]).as_bytes())
    }
}

impl<'a> FromTerm<'a> for char {
    fn from_term(input: &mut Decoder<'a>) -> Result<char, DecodeError> {
        let mut chars = input.text()?.chars();
        match (chars.next(), chars.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(Why::OutOfRange("char").into()),
        }
    }
}

/// A text that is a list of characters, as strings in the source of Erlang are.
///
/// # Examples
/// ```
/// use twoply_node::wire::{Charlist, from_bytes, to_bytes};
///
/// let text = Charlist("żółw".to_owned());
/// assert_eq!(from_bytes::<Charlist>(&to_bytes(&text)?)?, text);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Charlist(pub String);

impl ToTerm for Charlist {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        if !self.0.is_empty() {
            out.list(self.0.chars().count())?;
            self.0.chars().for_each(|c| out.integer(i64::from(u32::from(c))));
        }
        out.nil();
        Ok(())
    }
}

impl<'a> FromTerm<'a> for Charlist {
    fn from_term(input: &mut Decoder<'a>) -> Result<Charlist, DecodeError> {
        match input.list()? {
            List::Bytes(bytes) => {
                input.charge(2 * bytes.len())?;
                Ok(Charlist(bytes.iter().map(|byte| char::from(*byte)).collect()))
            }
            List::Items(len) => {
                input.charge(len)?;
                let mut text = String::with_capacity(len);
                for _ in 0..len {
                    let code = u32::from_term(input)?;
                    text.push(char::from_u32(code).ok_or(Why::Text)?);
                }
                input.nil()?;
                Ok(Charlist(text))
            }
        }
    }
}

/// Implements the traits for types that the cursor and the encoder know themselves.
macro_rules! known {
    ($($type:ident: $write:ident, $read:ident;)*) => {$(
        impl ToTerm for $type {
            fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
                out.$write(self).done()
            }
        }

        impl<'a> FromTerm<'a> for $type {
            fn from_term(input: &mut Decoder<'a>) -> Result<$type, DecodeError> {
                input.$read()
            }
        }
    )*};
}

known! {
    Atom: atom, owned_atom;
    Binary: owned_binary, binary;
    BitString: bits, bits;
    Pid: pid, pid;
    Reference: reference, reference;
    Port: port, port;
}

impl ToTerm for Term {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.term(self)
    }

    fn as_whole(&self, _: Sealed) -> Option<&Term> {
        Some(self)
    }
}

impl<'a> FromTerm<'a> for Term {
    fn from_term(input: &mut Decoder<'a>) -> Result<Term, DecodeError> {
        input.build()
    }
}

/// The results of the encoder's methods: those that cannot fail return nothing.
trait Done {
    fn done(self) -> Result<(), EncodeError>;
}

impl Done for () {
    fn done(self) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl Done for Result<(), EncodeError> {
    fn done(self) -> Result<(), EncodeError> {
        self
    }
}

impl ToTerm for Fun {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.term(&Term::Fun(Box::new(self.clone())))
    }
}

impl<'a> FromTerm<'a> for Fun {
    fn from_term(input: &mut Decoder<'a>) -> Result<Fun, DecodeError> {
        if input.kind()? != Kind::Fun {
            return Err(Why::Unexpected { wanted: "a function", found: "another term" }.into());
        }
        match input.build()? {
            Term::Fun(fun) => Ok(*fun),
            _ => Err(Why::Malformed("function").into()),
        }
    }
}

impl<'a> FromTerm<'a> for TermRef<'a> {
    fn from_term(input: &mut Decoder<'a>) -> Result<TermRef<'a>, DecodeError> {
        input.term()
    }
}
