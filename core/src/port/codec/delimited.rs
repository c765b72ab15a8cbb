//! Items that end with a delimiter: lines, and others.

use std::borrow::Cow;

use memchr::{memchr, memmem};

use super::{Buffer, CodecError, Decoder, Encoder};

/// The number of bytes that a line or another delimited item may have, unless one says otherwise.
const MAXIMUM: usize = 64 << 10;

/// The codec of items that end with a delimiter, which is no part of them. What stands behind the last
/// delimiter when the input ends is an item, too.
///
/// # Examples
/// ```
/// use twoply::port::{Buffer, Decoder, Delimited};
///
/// let mut codec = Delimited::new(b"\0").maximum(3);
/// let mut buf = Buffer::from(b"one\0seven\0two\0".to_vec());
/// assert_eq!(codec.decode(&mut buf).unwrap(), Some(b"one".to_vec()));
/// assert!(codec.decode(&mut buf).unwrap_err().to_string().contains("more than 3 bytes"));
/// assert_eq!(codec.decode(&mut buf).unwrap(), Some(b"two".to_vec()));
/// ```
#[derive(Clone, Debug)]
pub struct Delimited {
    /// The bytes that end an item; not empty.
    delimiter: Cow<'static, [u8]>,
    maximum: usize,
    /// The number of bytes at the front of the buffer in which no delimiter begins.
    searched: usize,
    /// True inside of an item that is too long, which is passed over up to its delimiter.
    skipping: bool,
}

impl Delimited {
    /// Returns the codec of items that end with `delimiter`, and have 64 KiB at most.
    ///
    /// # Panics
    /// When `delimiter` is empty.
    ///
    /// # Examples
    /// ```
    /// use twoply::port::{Buffer, Decoder, Delimited};
    ///
    /// let mut buf = Buffer::new();
    /// buf.put_slice(b"one; two; thr");
    /// let mut parts = Delimited::new("; ");
    /// assert_eq!(parts.decode(&mut buf)?.as_deref(), Some(&b"one"[..]));
    /// assert_eq!(parts.decode(&mut buf)?.as_deref(), Some(&b"two"[..]));
    /// assert_eq!(parts.decode(&mut buf)?, None, "the rest is to come");
    /// # Ok::<(), twoply::port::CodecError>(())
    /// ```
    pub fn new(delimiter: impl AsRef<[u8]>) -> Delimited {
        Delimited::ending_with(Cow::Owned(delimiter.as_ref().to_vec()))
    }

    fn ending_with(delimiter: Cow<'static, [u8]>) -> Delimited {
        assert!(!delimiter.is_empty(), "an empty delimiter ends nothing");
        Delimited { delimiter, maximum: MAXIMUM, searched: 0, skipping: false }
    }

    /// Sets the number of bytes that an item may have, without its delimiter. One that has more is passed
    /// over, and an error comes in its place.
    pub fn maximum(mut self, bytes: usize) -> Delimited {
        self.maximum = bytes;
        self
    }

    /// Returns the length of the next item.
    #[inline]
    fn find(&mut self, buf: &mut Buffer) -> Result<Option<usize>, CodecError> {
        loop {
            match self.search(buf) {
                Some(length) if !self.skipping && length <= self.maximum => {
                    self.searched = 0;
                    return Ok(Some(length));
                }
                Some(length) => self.pass_over_item(length, buf)?,
                None => return self.wait_for_more(buf).map(|()| None),
            }
        }
    }

    /// Returns the place of the first delimiter.
    #[inline]
    fn search(&self, bytes: &[u8]) -> Option<usize> {
        let from = self.searched.min(bytes.len());
        let found = match &*self.delimiter {
            [byte] => memchr(*byte, &bytes[from..]),
            delimiter => memmem::find(&bytes[from..], delimiter),
        };
        found.map(|at| from + at)
    }

    /// Drops an item that is too long, or the rest of one of which that has been said.
    #[cold]
    fn pass_over_item(&mut self, length: usize, buf: &mut Buffer) -> Result<(), CodecError> {
        self.searched = 0;
        buf.advance(length + self.delimiter.len());
        match std::mem::take(&mut self.skipping) {
            true => Ok(()),
            false => Err(CodecError::NoDelimiter { maximum: self.maximum }),
        }
    }

    /// Notes that there is no delimiter in what is there.
    fn wait_for_more(&mut self, buf: &mut Buffer) -> Result<(), CodecError> {
        // A delimiter may begin in what is there and end in what comes.
        let begun = self.delimiter.len() - 1;
        self.searched = buf.len().saturating_sub(begun);
        if self.skipping {
            self.pass_over(buf);
        } else if self.searched > self.maximum {
            self.skipping = true;
            self.pass_over(buf);
            return Err(CodecError::NoDelimiter { maximum: self.maximum });
        }
        Ok(())
    }

    /// Drops the bytes in which no delimiter begins.
    fn pass_over(&mut self, buf: &mut Buffer) {
        buf.advance(self.searched);
        self.searched = 0;
    }

    /// Takes the next item out, and makes something of it.
    #[inline]
    fn next<R>(
        &mut self,
        buf: &mut Buffer,
        make: impl FnOnce(&[u8]) -> Result<R, CodecError>,
    ) -> Result<Option<R>, CodecError> {
        let Some(length) = self.find(buf)? else { return Ok(None) };
        let made = make(&buf[..length]);
        buf.advance(length + self.delimiter.len());
        made.map(Some)
    }

    /// As [`Delimited::next`], when no more will come.
    fn last<R>(
        &mut self,
        buf: &mut Buffer,
        make: impl FnOnce(&[u8]) -> Result<R, CodecError>,
    ) -> Result<Option<R>, CodecError> {
        if let Some(length) = self.find(buf)? {
            let made = make(&buf[..length]);
            buf.advance(length + self.delimiter.len());
            return made.map(Some);
        }
        self.searched = 0;
        let skipped = std::mem::take(&mut self.skipping);
        let rest = std::mem::take(buf);
        match rest.len() {
            0 => Ok(None),
            // The error has come in place of the item already.
            _ if skipped => Ok(None),
            length if length > self.maximum => Err(CodecError::NoDelimiter { maximum: self.maximum }),
            _ => make(&rest).map(Some),
        }
    }
}

impl Decoder for Delimited {
    type Item = Vec<u8>;
    type Error = CodecError;

    #[inline]
    fn decode(&mut self, buf: &mut Buffer) -> Result<Option<Vec<u8>>, CodecError> {
        self.next(buf, |item| Ok(item.to_vec()))
    }

    fn decode_eof(&mut self, buf: &mut Buffer) -> Result<Option<Vec<u8>>, CodecError> {
        self.last(buf, |item| Ok(item.to_vec()))
    }

    fn most_buffered(&self) -> usize {
        self.maximum.saturating_add(self.delimiter.len())
    }
}

/// Appends the item and the delimiter. An item with the delimiter in it is several to whoever reads it.
impl<T: AsRef<[u8]>> Encoder<T> for Delimited {
    type Error = CodecError;

    fn encode(&mut self, item: T, buf: &mut Buffer) -> Result<(), CodecError> {
        buf.put_slice(item.as_ref());
        buf.put_slice(&self.delimiter);
        Ok(())
    }
}

/// The codec of lines of text: they end with `\n` or `\r\n`, which is no part of them.
///
/// # Examples
/// ```
/// use twoply::port::{Buffer, Decoder, Lines};
///
/// let mut codec = Lines::new();
/// let mut buf = Buffer::from(b"one\r\ntwo".to_vec());
/// assert_eq!(codec.decode(&mut buf).unwrap().as_deref(), Some("one"));
/// assert_eq!(codec.decode(&mut buf).unwrap(), None);
/// assert_eq!(codec.decode_eof(&mut buf).unwrap().as_deref(), Some("two"));
/// ```
#[derive(Clone, Debug)]
pub struct Lines(Delimited);

impl Lines {
    /// Returns the codec of lines of 64 KiB at most.
    pub fn new() -> Lines {
        Lines(Delimited::ending_with(Cow::Borrowed(b"\n")))
    }

    /// Sets the number of bytes that a line may have; see [`Delimited::maximum`].
    pub fn maximum(self, bytes: usize) -> Lines {
        Lines(self.0.maximum(bytes))
    }
}

impl Default for Lines {
    fn default() -> Lines {
        Lines::new()
    }
}

#[inline]
fn text(line: &[u8]) -> Result<String, CodecError> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(CodecError::NotUtf8 { line: line.to_vec() }),
    }
}

impl Decoder for Lines {
    type Item = String;
    type Error = CodecError;

    #[inline]
    fn decode(&mut self, buf: &mut Buffer) -> Result<Option<String>, CodecError> {
        self.0.next(buf, text)
    }

    fn decode_eof(&mut self, buf: &mut Buffer) -> Result<Option<String>, CodecError> {
        self.0.last(buf, text)
    }

    fn most_buffered(&self) -> usize {
        self.0.most_buffered()
    }
}

/// Appends the line and `\n`. A line with a `\n` in it is several to whoever reads it.
impl<T: AsRef<str>> Encoder<T> for Lines {
    type Error = CodecError;

    fn encode(&mut self, item: T, buf: &mut Buffer) -> Result<(), CodecError> {
        self.0.encode(item.as_ref(), buf)
    }
}
