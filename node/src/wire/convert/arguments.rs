//! [`Arguments`] and [`FromArguments`]: tuples as the arguments of functions, which are lists.

use super::collections::SMALL_INTEGERS;
use super::{FromTerm, ToTerm};
use crate::wire::decode::{Decoder, List};
use crate::wire::encode::Encoder;
use crate::wire::error::{DecodeError, EncodeError, Why};

/// The arguments that a function of another node is called with: a tuple of values, which is a list for the
/// other node. A slice or a vector of [`Term`](crate::wire::Term)s is any number of them.
pub trait Arguments {
    /// Returns how many there are.
    fn count(&self) -> usize;

    /// Writes them as a list.
    ///
    /// # Errors
    /// When no term is one of them.
    fn write(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError>;
}

/// The arguments of a function of this node that others call: a tuple of what can be read from terms.
pub trait FromArguments: Sized {
    /// The number of arguments.
    const ARITY: u8;

    /// Reads them from a list.
    ///
    /// # Errors
    /// When one of them is of another type.
    fn read(input: &mut Decoder<'_>) -> Result<Self, DecodeError>;
}

impl<T: ToTerm> Arguments for [T] {
    fn count(&self) -> usize {
        self.len()
    }

    fn write(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        self.to_term(out)
    }
}

impl<T: ToTerm> Arguments for Vec<T> {
    fn count(&self) -> usize {
        self.len()
    }

    fn write(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        self.to_term(out)
    }
}

impl Arguments for () {
    fn count(&self) -> usize {
        0
    }

    fn write(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.nil();
        Ok(())
    }
}

impl FromArguments for () {
    const ARITY: u8 = 0;

    fn read(input: &mut Decoder<'_>) -> Result<(), DecodeError> {
        match input.list()? {
            List::Bytes([]) => Ok(()),
            List::Bytes(bytes) => Err(Why::Arity { wanted: 0, found: bytes.len() }.into()),
            List::Items(found) => Err(Why::Arity { wanted: 0, found }.into()),
        }
    }
}

/// Implements the traits for tuples.
macro_rules! arguments {
    ($($len:literal: $($type:ident $index:tt)*;)*) => {$(
        impl<$($type: ToTerm),*> Arguments for ($($type,)*) {
            fn count(&self) -> usize {
                $len
            }

            fn write(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
                out.list($len)?;
                out.nested(|out| {
                    $(self.$index.to_term(out)?;)*
                    Ok(())
                })?;
                out.nil();
                Ok(())
            }
        }

        impl<$($type: for<'a> FromTerm<'a>),*> FromArguments for ($($type,)*) {
            const ARITY: u8 = $len;

            fn read(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                match input.list()? {
                    // Arguments that are all small integers come as a string.
                    List::Bytes(bytes) if bytes.len() == $len => Ok(($({
                        let mut small = Decoder::new(&SMALL_INTEGERS[usize::from(bytes[$index])]);
                        $type::from_term(&mut small).map_err(|error| error.at_index($index))?
                    },)*)),
                    List::Items($len) => input.nested(|input| {
                        let arguments =
                            ($($type::from_term(input).map_err(|error| error.at_index($index))?,)*);
                        input.nil()?;
                        Ok(arguments)
                    }),
                    List::Bytes(bytes) => Err(Why::Arity { wanted: $len, found: bytes.len() }.into()),
                    List::Items(found) => Err(Why::Arity { wanted: $len, found }.into()),
                }
            }
        }
    )*};
}

arguments! {
    1: A 0;
    2: A 0 B 1;
    3: A 0 B 1 C 2;
    4: A 0 B 1 C 2 D 3;
    5: A 0 B 1 C 2 D 3 E 4;
    6: A 0 B 1 C 2 D 3 E 4 F 5;
    7: A 0 B 1 C 2 D 3 E 4 F 5 G 6;
    8: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7;
}
