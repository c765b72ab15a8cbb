//! [`Plain`]: values that serde knows, as terms.

mod read;
mod write;

use serde::{Deserialize, Serialize};

use super::{DecodeError, Decoder, EncodeError, Encoder, FromTerm, ToTerm};

use self::read::Reader;
use self::write::Writer;

/// A value that serde writes and reads, as the term that the table at [`ToTerm`] says: a struct is a map with
/// atoms as keys, a variant of an enum an atom, or a tuple with an atom in front, by the names that serde has
/// for them, and text is a binary. `()` and a struct without fields are `ok`.
///
/// That is for plain data alone. Serde has no atoms, pids, references, functions, bit strings and improper
/// lists: an atom is read as text, which is written as a binary, and the others are errors. A type that has
/// any of these implements [`ToTerm`] and [`FromTerm`] instead, which are also quicker.
///
/// Terms that are nested more than 128 deep are refused, and sooner where reading them takes too much of the
/// stack, as [`Decoder::nested`] says. A key that stands in a map twice is refused where it is that of a
/// field; of others the last one counts.
///
/// # Examples
/// ```
/// use serde::{Deserialize, Serialize};
/// use twoply_node::wire::{Plain, Term, from_bytes, to_bytes};
///
/// #[derive(Debug, PartialEq, Deserialize, Serialize)]
/// struct Order {
///     item: String,
///     count: u32,
///     note: Option<String>,
/// }
///
/// let order = Order { item: "tea".to_owned(), count: 2, note: None };
/// let bytes = to_bytes(&Plain(&order))?;
/// let term = from_bytes::<Term>(&bytes)?.to_string();
/// assert_eq!(term, "#{count=>2,item=><<\"tea\">>,note=>undefined}");
/// assert_eq!(from_bytes::<Plain<Order>>(&bytes)?.0, order);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Plain<T>(pub T);

impl<T: Serialize> ToTerm for Plain<T> {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.value(&self.0.serialize(Writer)?)
    }
}

impl<'a, T: Deserialize<'a>> FromTerm<'a> for Plain<T> {
    fn from_term(input: &mut Decoder<'a>) -> Result<Plain<T>, DecodeError> {
        T::deserialize(Reader(input)).map(Plain)
    }
}
