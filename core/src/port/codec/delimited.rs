//! Items that end with a delimiter: lines, and others.

use std::borrow::Cow;

use memchr::{memchr, memmem};

use super::{Buffer, Bytes, CodecError, Decoder, Encoder, Shared, Text};

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

    /// Has the items share the memory of those that are read with them: their decoder makes [`Bytes`].
    ///
    /// # Examples
    /// ```
    /// use twoply::port::{Buffer, Decoder, Delimited};
    ///
    /// let mut buf = Buffer::from(b"one\0two\0".to_vec());
    /// let mut codec = Delimited::new("\0").shared();
    /// let (one, two) = (codec.decode(&mut buf)?.unwrap(), codec.decode(&mut buf)?.unwrap());
    /// assert!(one == b"one" && two == b"two");
    /// # Ok::<(), twoply::port::CodecError>(())
    /// ```
    pub fn shared(self) -> Shared<Delimited> {
        Shared(self)
    }

    /// Takes the next item out by `take`, which is told its length.
    #[inline]
    fn next<R>(
        &mut self,
        buf: &mut Buffer,
        take: impl FnOnce(&mut Buffer, usize) -> Result<R, CodecError>,
    ) -> Result<Option<R>, CodecError> {
        let Some(length) = self.find(buf)? else { return Ok(None) };
        let taken = take(buf, length);
        buf.advance(self.delimiter.len());
        taken.map(Some)
    }

    /// As [`Delimited::next`], when no more will come.
    fn last<R>(
        &mut self,
        buf: &mut Buffer,
        take: impl FnOnce(&mut Buffer, usize) -> Result<R, CodecError>,
    ) -> Result<Option<R>, CodecError> {
        if let Some(length) = self.find(buf)? {
            let taken = take(buf, length);
            buf.advance(self.delimiter.len());
            return taken.map(Some);
        }
        self.searched = 0;
        let skipped = std::mem::take(&mut self.skipping);
        let mut rest = std::mem::take(buf);
        match rest.len() {
            0 => Ok(None),
            // The error has come in place of the item already.
            _ if skipped => Ok(None),
            length if length > self.maximum => Err(CodecError::NoDelimiter { maximum: self.maximum }),
            length => take(&mut rest, length).map(Some),
        }
    }
}

impl Decoder for Delimited {
    type Item = Vec<u8>;
    type Error = CodecError;

    #[inline]
    fn decode(&mut self, buf: &mut Buffer) -> Result<Option<Vec<u8>>, CodecError> {
        self.next(buf, |buf, length| Ok(buf.take(length)))
    }

    fn decode_eof(&mut self, buf: &mut Buffer) -> Result<Option<Vec<u8>>, CodecError> {
        self.last(buf, |buf, length| Ok(buf.take(length)))
    }

    fn most_buffered(&self) -> usize {
        self.maximum.saturating_add(self.delimiter.len())
    }
}

impl Decoder for Shared<Delimited> {
    type Item = Bytes;
    type Error = CodecError;

    #[inline]
    fn decode(&mut self, buf: &mut Buffer) -> Result<Option<Bytes>, CodecError> {
        self.0.next(buf, |buf, length| Ok(buf.take_shared(length)))
    }

    fn decode_eof(&mut self, buf: &mut Buffer) -> Result<Option<Bytes>, CodecError> {
        self.0.last(buf, |buf, length| Ok(buf.take_shared(length)))
    }

    fn most_buffered(&self) -> usize {
        self.0.most_buffered()
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

/// The codec of lines of text: they end with `\n` or `\r\n`, which is no part of them. They are written with
/// `\n`; a text with a `\n` in it is written as it is, and is several lines to whoever reads it.
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

    /// Sets the number of bytes that a line may have, to which the `\r` of one that ends with `\r\n` counts;
    /// see [`Delimited::maximum`].
    pub fn maximum(self, bytes: usize) -> Lines {
        Lines(self.0.maximum(bytes))
    }

    /// Has the lines share the memory of those that are read with them: their decoder makes [`Text`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, net::UnixStream, port::{self, Lines, Text}};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// theirs.write_all(b"one\r\ntwo\n").wait()?;
    /// let port = port::custom::<_, _, _, Text>(ours, Lines::new().shared(), Lines::new()).start()?;
    /// let one: Text = port.recv().wait()?.item().unwrap();
    /// assert_eq!(one, "one");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shared(self) -> Shared<Lines> {
        Shared(self)
    }
}

impl Default for Lines {
    fn default() -> Lines {
        Lines::new()
    }
}

/// Returns the number of the bytes of a line that are in front of its `\r`.
#[inline]
fn without_return(line: &[u8]) -> usize {
    line.strip_suffix(b"\r").unwrap_or(line).len()
}

#[inline]
fn take_line(buf: &mut Buffer, length: usize) -> Result<String, CodecError> {
    let line = &buf[..without_return(&buf[..length])];
    let text = match std::str::from_utf8(line) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(CodecError::NotUtf8 { line: line.to_vec() }),
    };
    buf.advance(length);
    text
}

#[inline]
fn take_shared_line(buf: &mut Buffer, length: usize) -> Result<Text, CodecError> {
    let kept = without_return(&buf[..length]);
    let line = buf.take_shared(kept);
    buf.advance(length - kept);
    line.try_into()
}

impl Decoder for Lines {
    type Item = String;
    type Error = CodecError;

    #[inline]
    fn decode(&mut self, buf: &mut Buffer) -> Result<Option<String>, CodecError> {
        self.0.next(buf, take_line)
    }

    fn decode_eof(&mut self, buf: &mut Buffer) -> Result<Option<String>, CodecError> {
        self.0.last(buf, take_line)
    }

    fn most_buffered(&self) -> usize {
        self.0.most_buffered()
    }
}

impl Decoder for Shared<Lines> {
    type Item = Text;
    type Error = CodecError;

    #[inline]
    fn decode(&mut self, buf: &mut Buffer) -> Result<Option<Text>, CodecError> {
        self.0.0.next(buf, take_shared_line)
    }

    fn decode_eof(&mut self, buf: &mut Buffer) -> Result<Option<Text>, CodecError> {
        self.0.0.last(buf, take_shared_line)
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
