//! [`Atom`]: an owned one. Nothing here keeps atoms in a table for ever: a peer may invent as many as it
//! likes.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use super::short::{Room, Short};

/// The characters that an atom may have.
pub const MAX_ATOM: usize = 255;

/// An atom: a text of at most 255 characters. It is freed when nobody has it any more; one of at most 22
/// bytes lies in the value itself.
///
/// # Examples
/// ```
/// use twoply_node::wire::Atom;
///
/// let atom = Atom::new("ok")?;
/// assert_eq!(atom, "ok");
/// assert_eq!(Atom::new("not so")?.to_string(), "'not so'");
/// assert!(Atom::new("x".repeat(256)).is_err());
/// # Ok::<(), twoply_node::wire::AtomError>(())
/// ```
#[derive(Clone)]
pub struct Atom(Text);

/// The two ways in which the text of an atom is kept; which of them depends on its length alone.
#[derive(Clone)]
enum Text {
    Short(Short),
    Long(Arc<str>),
}

/// The error of [`Atom::new`]: the text has more than 255 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an atom has at most 255 characters")]
pub struct AtomError;

impl Atom {
    /// Makes an atom of `text`.
    ///
    /// # Errors
    /// When it has more than 255 characters.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Atom, AtomError> {
        let text = text.into();
        match Short::new(text.as_bytes()) {
            Some(short) => Ok(Atom(Text::Short(short))),
            None if is_atom(&text) => Ok(Atom(Text::Long(text))),
            None => Err(AtomError),
        }
    }

    /// Makes an atom of a text that is known to be short.
    pub(crate) fn known(text: &str) -> Atom {
        debug_assert!(is_atom(text));
        Atom(Short::new(text.as_bytes()).map_or_else(|| Text::Long(Arc::from(text)), Text::Short))
    }

    /// Makes an atom of bytes that are known to be a text.
    #[inline]
    pub(super) fn of_room(text: &Room) -> Atom {
        Atom(Text::Short(Short::of(text)))
    }

    /// Returns the text of the atom.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Short(short) => str::from_utf8(short).expect("an atom is made of a text"),
            Text::Long(text) => text,
        }
    }

    /// Returns the bytes of the text, which are not looked at.
    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Short(short) => short,
            Text::Long(text) => text.as_bytes(),
        }
    }

    /// Returns the text, if it lies in the value itself.
    #[inline]
    pub(super) fn short(&self) -> Option<&Short> {
        match &self.0 {
            Text::Short(short) => Some(short),
            Text::Long(_) => None,
        }
    }
}

/// Returns true if `text` is short enough for an atom.
pub(crate) fn is_atom(text: &str) -> bool {
    text.len() <= MAX_ATOM || text.chars().count() <= MAX_ATOM
}

impl Deref for Atom {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Atom {
    fn eq(&self, other: &Atom) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Atom {}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Atom) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Atoms are in the order of their texts, which is that of the bytes.
impl Ord for Atom {
    fn cmp(&self, other: &Atom) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Atom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl PartialEq<str> for Atom {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Atom {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

/// Shows the atom as Erlang writes it, in quotes where these are needed.
impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.as_str();
        let plain = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '@');
        if plain && !is_reserved(text) {
            return f.write_str(text);
        }
        f.write_str("'")?;
        for c in text.chars() {
            match c {
                '\'' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                c if c.is_control() => write!(f, "\\x{{{:x}}}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("'")
    }
}

/// Returns true if `text` is a word of Erlang's, which is no atom without quotes.
fn is_reserved(text: &str) -> bool {
    const RESERVED: &[&str] = &[
        "after", "and", "andalso", "band", "begin", "bnot", "bor", "bsl", "bsr", "bxor", "case", "catch",
        "cond", "div", "else", "end", "fun", "if", "let", "maybe", "not", "of", "or", "orelse", "receive",
        "rem", "try", "when", "xor",
    ];
    RESERVED.contains(&text)
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
