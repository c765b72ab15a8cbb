//! Lines and other parts of what is read, as streams.

use std::fmt;
use std::io;
use std::task::{Context, Poll, ready};

use futures_io::AsyncRead;

use super::BufReader;
use super::reader::text;

/// The lines of a reader as a stream, without what ends them; made by [`BufReader::lines`].
///
/// It ends after the first error, which has taken nothing: [`into_reader`](Lines::into_reader) gives the
/// reader back, with what has been read. A line beyond the limit of the reader is such an error, and so is
/// one that is not UTF-8.
///
/// # Examples
/// ```
/// use twoply::{Wait, io::BufReader, stream::Stream};
///
/// let mut lines = BufReader::new(&b"text\n\xff\xfe\n"[..]).lines();
/// assert_eq!(lines.next().wait().unwrap()?, "text");
/// assert!(lines.next().wait().unwrap().is_err(), "this is no UTF-8");
/// assert_eq!(lines.into_reader().buffer(), b"\xff\xfe\n", "it can still be read");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Lines<R>(Split<R>);

/// The parts of what is read between delimiters, as a stream; made by [`BufReader::split`]. It ends after the
/// first error, as [`Lines`] do.
pub struct Split<R> {
    reader: BufReader<R>,
    delimiter: u8,
    /// The number of bytes in the buffer that have been searched already.
    searched: usize,
    /// True when the end or an error has come.
    is_over: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: BufReader<R>) -> Lines<R> {
        Lines(Split::new(reader, b'\n'))
    }

    pub(crate) fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<String>>> {
        self.0.poll_item(cx, |line| {
            let line = line.strip_suffix(b"\r\n").or(line.strip_suffix(b"\n")).unwrap_or(line);
            text(line).map(str::to_owned)
        })
    }

    pub(crate) fn stop(&mut self) {
        self.0.stop();
    }
}

impl<R> Lines<R> {
    /// Returns the reader, with all that has not been given out.
    pub fn into_reader(self) -> BufReader<R> {
        self.0.reader
    }
}

impl<R: AsyncRead + Unpin> Split<R> {
    pub(super) fn new(reader: BufReader<R>, delimiter: u8) -> Split<R> {
        Split { reader, delimiter, searched: 0, is_over: false }
    }

    pub(crate) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Vec<u8>>>> {
        let delimiter = [self.delimiter];
        self.poll_item(cx, |part| Ok(part.strip_suffix(&delimiter).unwrap_or(part).to_vec()))
    }

    /// Polls for the next part, and takes it if `make` makes an item of it, with its delimiter.
    fn poll_item<T>(
        &mut self,
        cx: &mut Context<'_>,
        make: impl Fn(&[u8]) -> io::Result<T>,
    ) -> Poll<Option<io::Result<T>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let Split { reader, delimiter, searched, .. } = self;
        let (limit, delimiter) = (reader.limit(), *delimiter);
        let found = reader.poll_until(cx, |buffer, ended| buffer.find(delimiter, searched, limit, ended));
        let item = ready!(found)
            .and_then(|len| Ok(if len > 0 { Some((len, make(&reader.buffer()[..len])?)) } else { None }));
        *searched = 0;
        Poll::Ready(match item.transpose() {
            Some(Ok((len, item))) => {
                reader.buffer_mut().consume(len);
                Some(Ok(item))
            }
            over => {
                self.is_over = true;
                over.map(|error| error.map(|(_, item)| item))
            }
        })
    }

    pub(crate) fn stop(&mut self) {
        self.reader.stop();
    }
}

impl<R> Split<R> {
    /// Returns the reader, with all that has not been given out.
    pub fn into_reader(self) -> BufReader<R> {
        self.reader
    }
}

impl<R> fmt::Debug for Lines<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for Split<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Split").field("delimiter", &self.delimiter).finish_non_exhaustive()
    }
}
