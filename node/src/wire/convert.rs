//! [`ToTerm`] and [`FromTerm`]: which types of Rust are which terms.

mod arguments;
mod collections;
#[doc(hidden)]
pub mod derived;
mod scalars;

use super::decode::Decoder;
use super::encode::Encoder;
use super::error::{DecodeError, EncodeError};
use super::term::Term;

pub use self::arguments::{Arguments, FromArguments};
pub use self::collections::Nilable;
pub use self::scalars::Charlist;

/// A type whose values can be written as terms. `#[derive(ToTerm)]` implements it for structs and enums.
///
/// | Rust                                   | Erlang                       | Elixir                  |
/// |----------------------------------------|------------------------------|-------------------------|
/// | `bool`                                 | `true`, `false`              | `true`, `false`         |
/// | `i8` to `i128`, `u8` to `u128`, `usize`, `isize`, [`BigInt`](super::BigInt) | an integer; one that does not fit is an error | an integer |
/// | `f64`, `f32`                           | a float, never an integer; no NaN | a float            |
/// | `String`, `&str`, `Cow<str>`, `char`   | `<<"text">>`, in UTF-8       | `"text"`                |
/// | [`Charlist`]                           | `"text"`, a list of characters | `~c"text"`            |
/// | [`Binary`](super::Binary), `&[u8]` as `Bytes` | `<<1,2,3>>`           | `<<1, 2, 3>>`           |
/// | [`BitString`](super::BitString)        | `<<5:3>>`                    | `<<5::3>>`              |
/// | [`Atom`](super::Atom)                  | `ok`                         | `:ok`                   |
/// | `()`                                   | `ok`                         | `:ok`                   |
/// | `Vec<T>`, `[T]`, `VecDeque<T>`         | `[1,2]`                      | `[1, 2]`                |
/// | `(A, B)` up to twelve, `[T; N]`        | `{1,2}`                      | `{1, 2}`                |
/// | `BTreeMap<K, V>`, `HashMap<K, V>`      | `#{a => 1}`                  | `%{a: 1}`               |
/// | `Option<T>`                            | `undefined`, or the value; `nil` is read, too | `:undefined`, see [`Nilable`](super::Nilable) |
/// | `&T`, `Box<T>`                         | the value                    | the value               |
/// | `Result<(), E>`, `Result<T, E>`        | `ok`, `{ok,T}`, `{error,E}`  | `:ok`, `{:ok, T}`, `{:error, E}` |
/// | [`Pid`](super::Pid), [`Reference`](super::Reference), [`Port`](super::Port), [`Fun`](super::Fun) | themselves | themselves |
/// | `ProcessRef<M>` and `Pid` of actors    | a pid, whose process may be written to, or watched, from then on | a pid |
/// | `Resolver<R>`                          | `From` of `gen_server`: `{Pid,[alias\|Ref]}` | the same |
/// | [`Term`](super::Term)                  | anything, `[a\|b]` by [`list_with_tail`](super::Term::list_with_tail) | anything |
/// | a struct                               | a map with atoms as keys: `#{a => 1}` | `%{a: 1}`      |
/// | the same with `#[term(tuple)]`         | `{1}`                        | `{1}`                   |
/// | the same with `#[term(record = "s")]`  | `#s{a = 1}`, which is `{s,1}` | `{:s, 1}`              |
/// | the same with `#[term(elixir = "My.S")]` | `#{'__struct__' => 'Elixir.My.S',a => 1}` | `%My.S{a: 1}` |
/// | an enum                                | an atom, or a tuple with an atom in front | an atom, or such a tuple |
/// | a variant with `#[term(call)]`, `#[term(cast)]` | `{'$gen_call',From,Variant}`, `{'$gen_cast',Variant}` | what `GenServer.call` and `cast` send |
/// | a name with `#[term(rename = "name")]` | `name`                       | `:name`                 |
///
/// No text becomes an atom: only an [`Atom`](super::Atom) and the names of fields and variants are any.
///
/// # Examples
/// ```
/// use twoply_node::wire::{Encoder, EncodeError, Term, ToTerm, from_bytes, to_bytes};
///
/// struct Celsius(f64);
///
/// impl ToTerm for Celsius {
///     fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
///         out.tuple(2)?;
///         out.name("celsius")?;
///         out.float(self.0)
///     }
/// }
/// let term: Term = from_bytes(&to_bytes(&Celsius(20.5))?)?;
/// assert_eq!(term.to_string(), "{celsius,20.5}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ToTerm {
    /// Writes the value as one term.
    ///
    /// # Errors
    /// When no term is this value. What has been written of it is taken back by whoever began.
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError>;

    /// Returns true if this is `()`, so that a result of it is `ok` alone.
    #[doc(hidden)]
    fn is_unit(&self, _: Sealed) -> bool {
        false
    }

    /// Returns the term, if this is one, which can be written in a quicker way.
    #[doc(hidden)]
    fn as_whole(&self, _: Sealed) -> Option<&Term> {
        None
    }
}

mod sealed {
    /// The argument of methods that are this crate's own: nobody else can name it, and so write one of them.
    ///
    /// ```compile_fail,E0050
    /// use twoply_node::wire::{EncodeError, Encoder, Term, ToTerm};
    ///
    /// struct Other(Term);
    ///
    /// impl ToTerm for Other {
    ///     fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
    ///         out.value(&7)
    ///     }
    ///
    ///     fn as_whole(&self) -> Option<&Term> {
    ///         Some(&self.0)
    ///     }
    /// }
    /// ```
    #[derive(Clone, Copy, Debug)]
    pub struct Sealed;
}

pub(super) use self::sealed::Sealed;

/// A type whose values can be read from terms, which may borrow from their bytes. `#[derive(FromTerm)]`
/// implements it for structs and enums. The table at [`ToTerm`] says what is what.
///
/// # Examples
/// ```
/// use twoply_node::wire::{DecodeError, Decoder, FromTerm, from_bytes};
///
/// #[derive(Debug, PartialEq)]
/// struct Celsius(f64);
///
/// impl<'a> FromTerm<'a> for Celsius {
///     fn from_term(input: &mut Decoder<'a>) -> Result<Celsius, DecodeError> {
///         input.tuple_of(2)?;
///         match &*input.atom()? {
///             "celsius" => input.f64().map(Celsius),
///             other => Err(DecodeError::refused(format!("{other} is no temperature"))),
///         }
///     }
/// }
/// let bytes = [131, 104, 2, 119, 7, b'c', b'e', b'l', b's', b'i', b'u', b's', 70, 64, 52, 128, 0, 0, 0, 0, 0];
/// assert_eq!(from_bytes::<Celsius>(&bytes)?, Celsius(20.5));
/// # Ok::<(), DecodeError>(())
/// ```
pub trait FromTerm<'a>: Sized {
    /// Reads one term.
    ///
    /// # Errors
    /// When it is none of this type.
    fn from_term(input: &mut Decoder<'a>) -> Result<Self, DecodeError>;

    /// Returns the value of a field that is not there, for types that allow it.
    fn absent() -> Option<Self> {
        None
    }

    /// Returns the value of a result that is `ok` alone: `()` has one.
    #[doc(hidden)]
    fn unit(_: Sealed) -> Option<Self> {
        None
    }
}

/// Has what leads to a value be written as that is.
macro_rules! leads_to_a_value {
    ($($leads:ty),*) => {$(
        impl<T: ToTerm + ?Sized> ToTerm for $leads {
            fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
                (**self).to_term(out)
            }

            fn is_unit(&self, sealed: Sealed) -> bool {
                (**self).is_unit(sealed)
            }

            fn as_whole(&self, sealed: Sealed) -> Option<&Term> {
                (**self).as_whole(sealed)
            }
        }
    )*};
}

leads_to_a_value!(&T, Box<T>);

impl<'a, T: FromTerm<'a>> FromTerm<'a> for Box<T> {
    fn from_term(input: &mut Decoder<'a>) -> Result<Box<T>, DecodeError> {
        input.charge(size_of::<T>())?;
        T::from_term(input).map(Box::new)
    }

    fn absent() -> Option<Box<T>> {
        T::absent().map(Box::new)
    }

    fn unit(sealed: Sealed) -> Option<Box<T>> {
        T::unit(sealed).map(Box::new)
    }
}
