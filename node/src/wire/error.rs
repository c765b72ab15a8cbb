//! The errors of reading and writing terms.

use std::borrow::Cow;
use std::fmt;

/// A reason for which bytes are not the term that was wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// The bytes end in the middle of a term, or a count promises more than there is.
    #[error("the bytes end in the middle of a term")]
    Truncated,
    /// The term has a tag that is not known, or not allowed where it stands.
    #[error("the tag {0} is not known")]
    UnknownTag(u8),
    /// The bytes do not begin with 131.
    #[error("the first byte is {0}, not the version of the format")]
    Version(u8),
    /// The term is nested too deeply.
    #[error("the term is nested more deeply than {limit}")]
    Depth {
        /// The depth that is allowed: [`MAX_DEPTH`](super::MAX_DEPTH), or less where each level takes much of
        /// the stack.
        limit: usize,
    },
    /// The term would take too much memory.
    #[error("the term takes more memory than is allowed")]
    Budget,
    /// An atom is no UTF-8, or longer than 255 characters.
    #[error("an atom is no text of at most 255 characters")]
    Atom,
    /// An atom is a reference to the table of the frame, which has no such row.
    #[error("the frame has no atom {0}")]
    AtomReference(u8),
    /// A float is not a number, infinite, or no float at all.
    #[error("a float is not a finite number")]
    Float,
    /// A reference has no words or more than five; or a bit string has a last byte of no bits.
    #[error("a {0} is malformed")]
    Malformed(&'static str),
    /// A map has a key twice.
    #[error("a key stands in the map twice")]
    DuplicateKey,
    /// The compressed bytes are malformed, or not as many as they say.
    #[error("the compressed bytes are malformed")]
    Compressed,
    /// There is another term where one was wanted.
    #[error("there is {found} instead of {wanted}")]
    Unexpected {
        /// The kind of term that was wanted.
        wanted: &'static str,
        /// The kind that is there.
        found: &'static str,
    },
    /// A number does not fit into its type.
    #[error("the number does not fit into {0}")]
    OutOfRange(&'static str),
    /// A binary is no UTF-8.
    #[error("the text is no UTF-8")]
    Text,
    /// A tuple or a list has another number of elements.
    #[error("there are {found} elements instead of {wanted}")]
    Arity {
        /// The number that was wanted.
        wanted: usize,
        /// The number that is there.
        found: usize,
    },
    /// A map lacks a key.
    #[error("the field is missing")]
    Missing,
    /// An enum has no such variant.
    #[error("no variant is {name} with {fields} fields")]
    Variant {
        /// The tag that is there.
        name: String,
        /// The number of elements behind it.
        fields: usize,
    },
    /// There are bytes behind the term.
    #[error("{0} bytes are left behind the term")]
    Trailing(usize),
    /// The type of the user's refuses the term, in its own words.
    #[error("{0}")]
    Refused(Cow<'static, str>),
}

/// An error of reading a term: the reason, and the path to the place.
///
/// # Examples
/// ```
/// use twoply_node::wire::{Why, from_bytes};
///
/// let error = from_bytes::<Vec<u8>>(&[131, 108, 0, 0, 0, 1, 98, 0, 0, 1, 0, 106]).unwrap_err();
/// assert_eq!(error.why(), &Why::OutOfRange("u8"));
/// assert_eq!(error.to_string(), "[0]: the number does not fit into u8");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct DecodeError(Box<Inner>);

/// The parts of a [`DecodeError`], which is kept small.
#[derive(Clone, PartialEq, Eq)]
struct Inner {
    why: Why,
    /// The steps to the place, from the innermost outwards.
    path: Vec<Step>,
}

/// A step from a term to one inside of it.
#[derive(Clone, PartialEq, Eq)]
enum Step {
    Field(&'static str),
    Index(usize),
}

impl DecodeError {
    /// Returns the reason, without its place.
    pub fn why(&self) -> &Why {
        &self.0.why
    }

    /// Returns an error of a type of the user's, in its own words.
    pub fn refused(text: impl Into<Cow<'static, str>>) -> DecodeError {
        Why::Refused(text.into()).into()
    }

    /// Returns the same error, of a term that stands in the field `name` of another one.
    #[must_use]
    pub fn in_field(mut self, name: &'static str) -> DecodeError {
        self.0.path.push(Step::Field(name));
        self
    }

    /// Returns the same error, of a term that is the element `index` of another one.
    #[must_use]
    pub fn at_index(mut self, index: usize) -> DecodeError {
        self.0.path.push(Step::Index(index));
        self
    }
}

impl From<Why> for DecodeError {
    #[cold]
    fn from(why: Why) -> DecodeError {
        DecodeError(Box::new(Inner { why, path: Vec::new() }))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.path.iter().rev().enumerate() {
            match step {
                Step::Field(name) if place == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        if !self.0.path.is_empty() {
            f.write_str(": ")?;
        }
        self.0.why.fmt(f)
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecodeError({self})")
    }
}

impl std::error::Error for DecodeError {}

/// A reason for which a value cannot be written as a term.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A float is not a number or infinite: Erlang has no such floats.
    #[error("a float is not a finite number")]
    Float,
    /// Something has more elements or bytes than the format can count. In a map that is a
    /// [`Term`](super::Term) keys and values both count, so it can have half as many pairs.
    #[error("more than 4,294,967,295 elements or bytes")]
    TooLarge,
    /// A struct has two fields of the same key.
    #[error("a key stands in the map twice")]
    DuplicateKey,
    /// The term is nested more deeply than others would read.
    #[error("the term is nested more deeply than {limit}")]
    Depth {
        /// The depth that is allowed.
        limit: usize,
    },
    /// The message is longer than the [`Limits`](super::Limits) allow.
    #[error("the message has more than {limit} bytes")]
    TooLong {
        /// The bytes that are allowed.
        limit: usize,
    },
    /// A process that is known by its name only has no pid.
    #[error("the process has no pid that is known")]
    NoPid,
    /// The value can only be sent to a node, which this is not.
    #[error("the value means something to a connected node only")]
    NoNode,
    /// The type of the user's refuses the value, in its own words.
    #[error("{0}")]
    Refused(String),
}
