//! [`Encoder`]: writes terms, in the forms that every node of today reads.

mod room;
mod slot;
mod terms;

use super::atom::{Atom, is_atom};
use super::convert::{Sealed, ToTerm};
use super::decode::MAX_DEPTH;
use super::error::EncodeError;
use super::outbound::{Atoms, Frame, Shared};
use super::scratch;
use super::short::Short;
use super::tag;
use super::term::{BigInt, Binary, BitString, Pid, Port, Reference};
use crate::outgoing::Outgoing;

use self::slot::{Name, SLOT, Slot};

/// Writes terms behind one another into bytes. Each method writes a whole term, or the beginning of one whose
/// elements are written next.
///
/// # Examples
/// ```
/// use twoply_node::wire::Encoder;
///
/// let mut bytes = Vec::new();
/// let mut encoder = Encoder::new(&mut bytes);
/// encoder.tuple(2)?;
/// encoder.name("ok")?;
/// encoder.integer(7);
/// assert_eq!(bytes, [104, 2, 119, 2, b'o', b'k', 97, 7]);
/// # Ok::<(), twoply_node::wire::EncodeError>(())
/// ```
#[derive(Debug)]
pub struct Encoder<'o> {
    out: &'o mut Vec<u8>,
    /// The containers inside of which is written, of those that [`Encoder::nested`] has been told of.
    depth: usize,
    /// The message that is written, of one that goes to another node.
    outgoing: Option<&'o Outgoing<'o>>,
    /// The place for binaries that are not copied, of one that goes there in fragments.
    shared: Option<&'o mut Shared>,
    /// The atoms that the frame says by numbers, of one that goes to a peer that has a cache of atoms.
    atoms: Option<&'o mut Atoms>,
}

impl<'o> Encoder<'o> {
    /// Writes behind what is in `out`, without a version.
    #[inline]
    pub fn new(out: &'o mut Vec<u8>) -> Encoder<'o> {
        Encoder { out, depth: 0, outgoing: None, shared: None, atoms: None }
    }

    /// As [`Encoder::new`]; large binaries go to `shared`.
    pub(super) fn sharing(out: &'o mut Vec<u8>, shared: &'o mut Shared) -> Encoder<'o> {
        Encoder { shared: Some(shared), ..Encoder::new(out) }
    }

    /// As [`Encoder::new`], for what a frame says; what it refers to goes to `refers`.
    pub(super) fn of_frame(
        out: &'o mut Vec<u8>,
        refers: Option<(&'o mut Shared, &'o mut Atoms)>,
    ) -> Encoder<'o> {
        let (shared, atoms) = refers.unzip();
        Encoder { shared, atoms, ..Encoder::new(out) }
    }

    /// Writes a value that goes to another node.
    pub(crate) fn of<T: ToTerm + ?Sized>(
        &mut self,
        outgoing: &Outgoing<'_>,
        value: &T,
    ) -> Result<(), EncodeError> {
        let Encoder { out, depth, shared, atoms, .. } = self;
        let (shared, atoms) = (shared.as_deref_mut(), atoms.as_deref_mut());
        value.to_term(&mut Encoder { out, depth: *depth, outgoing: Some(outgoing), shared, atoms })
    }

    /// Returns the message that is written, if it goes to another node.
    pub(crate) fn outgoing(&self) -> Option<&'o Outgoing<'o>> {
        self.outgoing
    }

    /// Writes any value.
    ///
    /// # Errors
    /// Those of the value.
    #[inline]
    pub fn value<T: ToTerm + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.to_term(self)
    }

    /// Has `write` write what a term has inside, one level deeper.
    ///
    /// # Errors
    /// Those of `write`; and where nobody would read what is nested so deeply.
    ///
    /// # Examples
    /// ```
    /// use twoply_node::wire::{Encoder, Term, from_bytes};
    ///
    /// let mut bytes = vec![131];
    /// let mut encoder = Encoder::new(&mut bytes);
    /// encoder.tuple(2)?;
    /// encoder.nested(|inside| {
    ///     inside.name("pair")?;
    ///     inside.value(&(1, 2))
    /// })?;
    /// assert_eq!(from_bytes::<Term>(&bytes)?.to_string(), "{pair,{1,2}}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn nested(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        if self.depth == MAX_DEPTH {
            return Err(EncodeError::Depth { limit: MAX_DEPTH });
        }
        self.depth += 1;
        write(self)?;
        self.depth -= 1;
        Ok(())
    }

    /// Writes an integer in the shortest form that holds it.
    #[inline(always)]
    pub fn integer(&mut self, number: i64) {
        if let Ok(byte) = u8::try_from(number) {
            self.out.extend_from_slice(&[tag::SMALL_INTEGER, byte]);
        } else if let Ok(number) = i32::try_from(number) {
            self.word(tag::INTEGER, number.cast_unsigned());
        } else {
            // Of the absolute value no byte but the lowest eight is used.
            self.magnitude(number < 0, &number.unsigned_abs().to_le_bytes());
        }
    }

    /// Writes an integer of any size.
    ///
    /// # Errors
    /// When it has 4 GiB or more.
    pub fn big(&mut self, number: &BigInt) -> Result<(), EncodeError> {
        let small = i128::try_from(number).ok().and_then(|number| i64::try_from(number).ok());
        match (small, number.magnitude()) {
            (Some(small), _) => self.integer(small),
            (None, magnitude) if magnitude.len() <= 255 => self.magnitude(number.is_negative(), magnitude),
            (None, magnitude) => {
                self.head(tag::LARGE_BIG, magnitude.len())?;
                self.out.push(u8::from(number.is_negative()));
                self.out.extend_from_slice(magnitude);
            }
        }
        Ok(())
    }

    /// Writes an integer with an absolute value of at most 255 bytes, the lowest first.
    fn magnitude(&mut self, negative: bool, bytes: &[u8]) {
        let len = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        self.out.extend_from_slice(&[tag::SMALL_BIG, len as u8, u8::from(negative)]);
        self.out.extend_from_slice(&bytes[..len]);
    }

    /// Writes a float.
    ///
    /// # Errors
    /// When it is not finite.
    ///
    /// # Examples
    /// ```
    /// use twoply_node::wire::{EncodeError, Encoder};
    ///
    /// let mut bytes = Vec::new();
    /// let mut encoder = Encoder::new(&mut bytes);
    /// encoder.float(0.5)?;
    /// assert!(matches!(encoder.float(f64::NAN), Err(EncodeError::Float)));
    /// # Ok::<(), EncodeError>(())
    /// ```
    #[inline]
    pub fn float(&mut self, number: f64) -> Result<(), EncodeError> {
        if !number.is_finite() {
            return Err(EncodeError::Float);
        }
        let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
        self.out.extend_from_slice(&[tag::NEW_FLOAT, a, b, c, d, e, f, g, h]);
        Ok(())
    }

    /// Writes an atom, of any text.
    #[inline(always)]
    pub fn atom(&mut self, atom: &Atom) {
        if self.atoms.is_some() && self.refer(atom.as_bytes(), || atom.clone()) {
            return;
        }
        match atom.short() {
            Some(short) => {
                self.out.push(tag::SMALL_ATOM_UTF8);
                self.short(short);
            }
            None => self.atom_text(atom.as_bytes()),
        }
    }

    /// Writes the number that an atom has in the frame. Returns false if it has none.
    fn refer(&mut self, text: &[u8], atom: impl FnOnce() -> Atom) -> bool {
        let number = self.number(text, atom);
        if let Some(number) = number {
            self.out.extend_from_slice(&[tag::ATOM_CACHE_REF, number]);
        }
        number.is_some()
    }

    fn number(&mut self, text: &[u8], atom: impl FnOnce() -> Atom) -> Option<u8> {
        self.atoms.as_deref_mut()?.number(text, atom)
    }

    /// Writes the length of a text and the text, as one copy of a known size.
    #[inline]
    fn short(&mut self, text: &Short) {
        self.out.extend_from_slice(text.room());
        self.out.truncate(self.out.len() - text.room().len() + text.room_len());
    }

    /// Writes an atom whose text stands in the program, so that no text of anybody's becomes one.
    ///
    /// # Errors
    /// When it has more than 255 characters.
    ///
    /// # Examples
    /// ```
    /// use twoply_node::wire::Encoder;
    ///
    /// let mut bytes = Vec::new();
    /// Encoder::new(&mut bytes).name("ok")?;
    /// assert_eq!(bytes, [119, 2, b'o', b'k']);
    /// # Ok::<(), twoply_node::wire::EncodeError>(())
    /// ```
    #[inline]
    pub fn name(&mut self, text: &'static str) -> Result<(), EncodeError> {
        if !is_atom(text) {
            return Err(EncodeError::TooLarge);
        }
        if !self.refer(text.as_bytes(), || Atom::known(text)) {
            self.atom_text(text.as_bytes());
        }
        Ok(())
    }

    #[inline]
    fn atom_text(&mut self, text: &[u8]) {
        match u8::try_from(text.len()) {
            Ok(len) => self.out.extend_from_slice(&[tag::SMALL_ATOM_UTF8, len]),
            Err(_) => {
                // At most 255 characters of four bytes.
                self.out.push(tag::ATOM_UTF8);
                self.out.extend_from_slice(&(text.len() as u16).to_be_bytes());
            }
        }
        self.out.extend_from_slice(text);
    }

    /// Writes a binary.
    ///
    /// # Errors
    /// When it has 4 GiB or more.
    #[inline]
    pub fn binary(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.head(tag::BINARY, bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// As [`Encoder::binary`], without a copy where that is worth it.
    #[inline]
    pub(super) fn owned_binary(&mut self, binary: &Binary) -> Result<(), EncodeError> {
        self.head(tag::BINARY, binary.len())?;
        self.shared_bytes(binary);
        Ok(())
    }

    /// Writes the bytes of a binary, without a copy where that is worth it.
    #[inline]
    pub(super) fn shared_bytes(&mut self, binary: &Binary) {
        let place = self.out.len();
        if !self.shared.as_deref_mut().is_some_and(|shared| shared.take(place, binary)) {
            self.out.extend_from_slice(binary);
        }
    }

    /// Writes bytes that are part of a term.
    pub(super) fn own_bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Writes a bit string.
    ///
    /// # Errors
    /// When it has 4 GiB or more.
    pub fn bits(&mut self, bits: &BitString) -> Result<(), EncodeError> {
        self.head(tag::BIT_BINARY, bits.bytes().len())?;
        self.out.push(bits.last_bits());
        self.out.extend_from_slice(bits.bytes());
        Ok(())
    }

    /// Begins a list: `len` elements follow, and then [`nil`](Encoder::nil) or another tail. A list without
    /// elements is `nil` alone.
    ///
    /// # Errors
    /// When the format cannot count them.
    ///
    /// # Examples
    /// ```
    /// use twoply_node::wire::{Encoder, Term, from_bytes};
    ///
    /// let mut bytes = vec![131];
    /// let mut encoder = Encoder::new(&mut bytes);
    /// encoder.list(2)?;
    /// encoder.integer(1);
    /// encoder.integer(1000);
    /// encoder.nil();
    /// assert_eq!(from_bytes::<Term>(&bytes)?.to_string(), "[1,1000]");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn list(&mut self, len: usize) -> Result<(), EncodeError> {
        self.head(tag::LIST, len)
    }

    /// Writes the empty list, which also ends one with elements.
    #[inline]
    pub fn nil(&mut self) {
        self.out.push(tag::NIL);
    }

    /// Begins a tuple of `arity` elements.
    ///
    /// # Errors
    /// When the format cannot count them.
    #[inline]
    pub fn tuple(&mut self, arity: usize) -> Result<(), EncodeError> {
        match u8::try_from(arity) {
            Ok(arity) => {
                self.out.extend_from_slice(&[tag::SMALL_TUPLE, arity]);
                Ok(())
            }
            Err(_) => self.head(tag::LARGE_TUPLE, arity),
        }
    }

    /// Begins a map of that many keys, each of which is followed by its value. None may come twice.
    ///
    /// # Errors
    /// When the format cannot count them.
    ///
    /// # Examples
    /// ```
    /// use twoply_node::wire::{Encoder, Term, from_bytes};
    ///
    /// let mut bytes = vec![131];
    /// let mut encoder = Encoder::new(&mut bytes);
    /// encoder.map(1)?;
    /// encoder.name("size")?;
    /// encoder.integer(7);
    /// assert_eq!(from_bytes::<Term>(&bytes)?.to_string(), "#{size=>7}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn map(&mut self, pairs: usize) -> Result<(), EncodeError> {
        self.head(tag::MAP, pairs)
    }

    /// Returns how a slot has the name of a node; nothing of a long one that has no number.
    fn name_of<'a>(&mut self, node: &'a Atom) -> Option<Name<'a>> {
        match self.number(node.as_bytes(), || node.clone()) {
            Some(number) => Some(Name::Number(number)),
            None => node.short().map(Name::Text),
        }
    }

    /// Writes a pid, whoever's it is.
    pub fn pid(&mut self, pid: &Pid) {
        if let Some(node) = self.name_of(&pid.node) {
            return self.slot(|slot| slot.pid(pid, node));
        }
        self.out.push(tag::NEW_PID);
        self.atom_text(pid.node.as_bytes());
        self.words(&[pid.id, pid.serial, pid.creation]);
    }

    /// Writes a reference, whoever's it is.
    pub fn reference(&mut self, reference: &Reference) {
        if let Some(node) = self.name_of(&reference.node) {
            return self.slot(|slot| slot.reference(reference, node));
        }
        let words = reference.words();
        self.out.extend_from_slice(&[tag::NEWER_REFERENCE, 0, words.len() as u8]);
        self.atom_text(reference.node.as_bytes());
        self.words(&[reference.creation]);
        self.words(words);
    }

    /// Writes what `put` writes.
    fn slot(&mut self, put: impl FnOnce(&mut Slot<'_>)) {
        let mut bytes = [0; SLOT];
        let mut slot = Slot::new(&mut bytes);
        put(&mut slot);
        let len = slot.len();
        self.out.extend_from_slice(&bytes[..len]);
    }

    fn words(&mut self, words: &[u32]) {
        self.out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    }

    /// Writes a port, in the form with 64 bits if its number needs them.
    pub fn port(&mut self, port: &Port) {
        match u32::try_from(port.id) {
            Ok(id) => {
                self.out.push(tag::NEW_PORT);
                self.atom(&port.node);
                self.out.extend_from_slice(&id.to_be_bytes());
            }
            Err(_) => {
                self.out.push(tag::V4_PORT);
                self.atom(&port.node);
                self.out.extend_from_slice(&port.id.to_be_bytes());
            }
        }
        self.out.extend_from_slice(&port.creation.to_be_bytes());
    }

    /// Writes a tag and a count of 32 bits.
    #[inline]
    fn head(&mut self, tag: u8, count: usize) -> Result<(), EncodeError> {
        self.word(tag, u32::try_from(count).map_err(|_| EncodeError::TooLarge)?);
        Ok(())
    }

    /// Writes a tag and a word.
    #[inline]
    fn word(&mut self, tag: u8, word: u32) {
        let [a, b, c, d] = word.to_be_bytes();
        self.out.extend_from_slice(&[tag, a, b, c, d]);
    }

    fn count(&mut self, count: usize) -> Result<(), EncodeError> {
        let count = u32::try_from(count).map_err(|_| EncodeError::TooLarge)?;
        self.out.extend_from_slice(&count.to_be_bytes());
        Ok(())
    }
}

/// Returns a value as a term with its version in front, which `binary_to_term` reads.
///
/// # Errors
/// Those of the value.
///
/// # Examples
/// ```
/// use twoply_node::wire::to_bytes;
///
/// assert_eq!(to_bytes(&true)?, [131, 119, 4, b't', b'r', b'u', b'e']);
/// assert!(to_bytes(&f64::NAN).is_err());
/// # Ok::<(), twoply_node::wire::EncodeError>(())
/// ```
pub fn to_bytes<T: ToTerm + ?Sized>(value: &T) -> Result<Vec<u8>, EncodeError> {
    if let Some(term) = value.as_whole(Sealed) {
        return terms::whole(term);
    }
    scratch::bytes(&|bytes| {
        bytes.push(tag::VERSION);
        value.to_term(&mut Encoder::new(bytes))
    })
}

/// Returns a value that would go to another node as bytes, for who reads them here.
pub(crate) fn bytes_of<T: ToTerm + ?Sized>(
    value: &T,
    outgoing: &Outgoing<'_>,
) -> Result<Vec<u8>, EncodeError> {
    scratch::bytes(&|bytes| Encoder::new(bytes).of(outgoing, value))
}

/// A term that has been written before it is known where it goes.
#[derive(Debug)]
pub(crate) struct Encoded(Frame);

impl Encoded {
    pub(crate) fn new<T: ToTerm + ?Sized>(
        value: &T,
        outgoing: &Outgoing<'_>,
    ) -> Result<Encoded, EncodeError> {
        let mut term = Frame::default();
        term.encoder().of(outgoing, value)?;
        Ok(Encoded(term))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl ToTerm for Encoded {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        self.0.copy_to(out);
        Ok(())
    }
}
