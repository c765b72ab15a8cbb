//! [`Atom`]: an owned one. Nothing here keeps atoms in a table for ever: a peer may invent as many as it
//! likes.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The characters that an atom may have.
pub const MAX_ATOM: usize = 255;

/// An atom: a text of at most 255 characters. It is freed when nobody has it any more.
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
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Atom(Arc<str>);

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
        if is_atom(&text) { Ok(Atom(text)) } else { Err(AtomError) }
    }

    /// Makes an atom of a text that is known to be short.
    pub(crate) fn known(text: &str) -> Atom {
        debug_assert!(is_atom(text));
        Atom(Arc::from(text))
    }

    /// Returns the text of the atom.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns true if `text` is short enough for an atom.
pub(crate) fn is_atom(text: &str) -> bool {
    text.len() <= MAX_ATOM || text.chars().count() <= MAX_ATOM
}

impl Deref for Atom {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Atom {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Atom {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

/// Shows the atom as Erlang writes it, in quotes where these are needed.
impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.0.starts_with(|c: char| c.is_ascii_lowercase())
            && self.0.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '@');
        if plain && !is_reserved(&self.0) {
            return f.write_str(&self.0);
        }
        f.write_str("'")?;
        for c in self.0.chars() {
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
