//! Streams of bytes, as sans-IO as the codecs: [`Decoding`] and [`Encoding`] are codecs with their buffers,
//! and are told how to read and write. [`Framed`] is a medium of both over one stream.
//!
//! # Memory
//! A port that waits for bytes has no buffer. It reads into one of its thread, and makes items of what is
//! there. Only the part of an item that has not ended is kept, in memory of its size.

use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use super::buffer::Buffer;
use super::codec::{Decoder, Encoder};
use super::event::{During, PortError};
use super::medium::{Input, Medium};
use crate::actor::catch_panic::catch_panic;

/// The number of bytes that a read has room for, at least.
const READ: usize = 16 << 10;

/// The size of the buffers that a thread keeps: the largest datagram fits in it.
pub(super) const KEPT: usize = 64 << 10;

/// The number of items that a decoder may make without using up a byte: far more than any that makes several
/// of what it has read.
const MOST_OUT_OF_NOTHING: u32 = 1 << 16;

thread_local! {
    /// The buffers of this thread that nobody uses: one for what is read and one for what is written.
    static SPARE: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) };
}

/// Has `buf` be a buffer of this thread's, with what is in it.
fn load(buf: &mut Buffer) {
    let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
    let mut large = spare.unwrap_or_else(|| Buffer::from_capacity(KEPT));
    large.put_slice(buf);
    *buf = large;
}

/// Gives the memory of `buf` back to the thread, but for what is in it.
#[inline]
fn unload(buf: &mut Buffer) {
    // Bytes that fill a good part of it stay where they are.
    if buf.capacity() > READ && buf.len() <= buf.capacity() / 4 {
        give_back(buf);
    }
}

fn give_back(buf: &mut Buffer) {
    let large = buf.shrink();
    if large.capacity() <= 2 * KEPT {
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < 2 {
                spare.push(large);
            }
        });
    }
}

/// Has `read` use the memory of a buffer of this thread's.
pub(super) fn with_spare<R>(read: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buf = Buffer::new();
    load(&mut buf);
    let result = read(buf.spare(KEPT));
    unload(&mut buf);
    result
}

/// A decoder with the bytes that it has not used up.
pub(super) struct Decoding<D> {
    decoder: D,
    buf: Buffer,
    /// The position of the first byte of `buf` in the input.
    at: u64,
    /// False when the decoder has said that it needs more bytes.
    ready: bool,
    /// True when no more bytes will come.
    at_end: bool,
    /// The number of items since it has used up a byte.
    out_of_nothing: u32,
}

impl<D: Decoder> Decoding<D> {
    pub(super) fn new(decoder: D) -> Decoding<D> {
        Decoding { decoder, buf: Buffer::new(), at: 0, ready: false, at_end: false, out_of_nothing: 0 }
    }

    /// Returns the next item, for which `read` may have to read more bytes.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        mut read: impl FnMut(&mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<Input<D::Item>> {
        loop {
            let mut item = None;
            if let Some(input) = self.take_at_hand(1, |it| item = Some(it)) {
                return Poll::Ready(input);
            }
            if let Some(item) = item {
                return Poll::Ready(Input::Item(item));
            }
            if self.at_end {
                return Poll::Ready(self.end());
            }
            if self.buf.capacity() < READ {
                load(&mut self.buf);
            }
            match ready!(read(cx, self.buf.spare(READ))) {
                Ok(0) => self.at_end = true,
                Ok(count) => self.buf.fill(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Poll::Ready(Input::Failed(PortError::Io { during: During::Read, error }));
                }
            }
            self.ready = true;
        }
    }

    /// Hands the next items of the bytes that have been read to `take`, `most` of them at most, and returns
    /// what comes after them, if that is no item and takes no more bytes.
    #[inline]
    pub(super) fn take_at_hand(
        &mut self,
        most: usize,
        mut take: impl FnMut(D::Item),
    ) -> Option<Input<D::Item>> {
        if !self.ready {
            return None;
        }
        // Caught once for all of them: for each, it would cost as much as a short item.
        let rest = catch_panic(|| {
            for _ in 0..most {
                match self.decode() {
                    Some(Input::Item(item)) => take(item),
                    None => {
                        self.ready = false;
                        return None;
                    }
                    other => return other,
                }
            }
            None
        });
        rest.unwrap_or_else(|panic| {
            Some(Input::Failed(PortError::DecoderPanicked { at: self.at, message: panic.to_string() }))
        })
    }

    /// Makes an item of the bytes that are there. `None` if it takes more.
    #[inline]
    fn decode(&mut self) -> Option<Input<D::Item>> {
        let (before, at) = (self.buf.len(), self.at);
        let decoded = match self.at_end {
            false => self.decoder.decode(&mut self.buf),
            true => self.decoder.decode_eof(&mut self.buf),
        };
        // A decoder may put bytes back.
        let used = before.saturating_sub(self.buf.len());
        self.at += used as u64;
        if used > 0 {
            self.out_of_nothing = 0;
        }
        match decoded {
            Ok(Some(item)) => {
                self.out_of_nothing += 1;
                if self.out_of_nothing > MOST_OUT_OF_NOTHING {
                    return Some(Input::Failed(PortError::DecoderStuck { at, items: MOST_OUT_OF_NOTHING }));
                }
                Some(Input::Item(item))
            }
            Ok(None) => {
                let limit = self.decoder.most_buffered();
                let full = self.buf.len() > limit && !self.at_end;
                full.then(|| Input::Failed(PortError::BufferFull { at: self.at, limit }))
            }
            Err(error) => {
                let error = PortError::Decode { at, error: error.into() };
                Some(if used > 0 { Input::Error(error) } else { Input::Failed(error) })
            }
        }
    }

    /// Returns the end of the input, where the decoder makes nothing more of it.
    fn end(&mut self) -> Input<D::Item> {
        match self.buf.len() {
            0 => Input::End,
            all => Input::Failed(PortError::Unfinished { at: self.at, rest: self.buf.take(all) }),
        }
    }

    pub(super) fn settle(&mut self) {
        unload(&mut self.buf);
    }
}

/// An encoder with the bytes that have not been written.
pub(super) struct Encoding<E> {
    encoder: E,
    buf: Buffer,
}

impl<E> Encoding<E> {
    pub(super) fn new(encoder: E) -> Encoding<E> {
        Encoding { encoder, buf: Buffer::new() }
    }

    pub(super) fn encode<T>(&mut self, item: T) -> Result<(), PortError>
    where
        E: Encoder<T>,
    {
        if self.buf.capacity() == 0 {
            load(&mut self.buf);
        }
        let before = self.buf.len();
        let encoded = catch_panic(|| self.encoder.encode(item, &mut self.buf));
        let error = match encoded {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => PortError::Encode { error: error.into() },
            Err(panic) => PortError::EncoderPanicked { message: panic.to_string() },
        };
        self.buf.truncate(before);
        Err(error)
    }

    pub(super) fn unwritten(&self) -> usize {
        self.buf.len()
    }

    /// Writes what is there with `write`.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<Result<(), PortError>> {
        while !self.buf.is_empty() {
            match ready!(write(cx, &self.buf)) {
                Ok(0) => return Poll::Ready(Err(failed_writing(io::ErrorKind::WriteZero.into()))),
                // A writer of somebody else's may say that it has written more than there is.
                Ok(count) => self.buf.advance(count.min(self.buf.len())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(failed_writing(error))),
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn settle(&mut self) {
        unload(&mut self.buf);
    }
}

pub(super) fn failed_writing(error: io::Error) -> PortError {
    PortError::Io { during: During::Write, error }
}

pub(super) fn failed_closing(error: io::Error) -> PortError {
    PortError::Io { during: During::Close, error }
}

/// A stream of bytes, with a decoder for what comes and an encoder for what is written.
pub(super) struct Framed<S, D, E, T> {
    io: S,
    input: Decoding<D>,
    output: Encoding<E>,
    /// The type of the items that are written, none of which is held.
    item: PhantomData<fn(T)>,
}

impl<S, D: Decoder, E, T> Framed<S, D, E, T> {
    pub(super) fn new(io: S, decoder: D, encoder: E) -> Framed<S, D, E, T> {
        Framed { io, input: Decoding::new(decoder), output: Encoding::new(encoder), item: PhantomData }
    }
}

impl<S, D, E, T> Medium for Framed<S, D, E, T>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    D: Decoder<Item: Send> + Send + 'static,
    E: Encoder<T> + Send + 'static,
    T: Send + 'static,
{
    type In = D::Item;
    type Out = T;

    #[inline]
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Input<D::Item>> {
        let io = &mut self.io;
        self.input.poll_next(cx, |cx, buf| Pin::new(&mut *io).poll_read(cx, buf))
    }

    #[inline]
    fn take_at_hand(&mut self, most: usize, take: impl FnMut(D::Item)) -> Option<Input<D::Item>> {
        self.input.take_at_hand(most, take)
    }

    fn encode(&mut self, item: T) -> Result<(), PortError> {
        self.output.encode(item)
    }

    fn unwritten(&self) -> usize {
        self.output.unwritten()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PortError>> {
        let io = &mut self.io;
        ready!(self.output.poll_flush(cx, |cx, buf| Pin::new(&mut *io).poll_write(cx, buf)))?;
        Pin::new(&mut self.io).poll_flush(cx).map_err(failed_writing)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PortError>> {
        Pin::new(&mut self.io).poll_close(cx).map_err(failed_closing)
    }

    fn settle(&mut self) {
        self.input.settle();
        self.output.settle();
    }
}
