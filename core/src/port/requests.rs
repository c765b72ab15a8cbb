//! A file as a port: what is sent are requests, and what comes are their answers, in the same order.
//!
//! The requests are carried out on the side of the output, one after another: so all that was sent before a
//! port is closed is carried out, and each request sees what those before it have done. Answers that nobody
//! takes hold the next request up.

use std::collections::VecDeque;
use std::fs::Metadata;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::event::PortError;
use super::medium::{Input, Medium};
use super::stream::failed_writing;
use crate::fs::File;

/// The number of answers that may wait for their owner, and that of the bytes in them.
const WAITING: (usize, usize) = (64, 64 << 10);

/// The number of bytes that are read at a time.
const STEP: usize = 1 << 20;

/// The number of bytes that a request counts for beside its own.
const EACH: usize = 64;

/// A request to the [port of a file](fn@super::file). Positions and lengths are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileRequest {
    /// Reads from a position on. Fewer bytes come only where the file ends.
    Read {
        /// The position of the first byte.
        at: u64,
        /// The number of bytes.
        len: usize,
    },
    /// Writes all of the bytes from a position on.
    Write {
        /// The position of the first byte.
        at: u64,
        /// The bytes that are written.
        bytes: Vec<u8>,
    },
    /// Waits until the device has all that has been written.
    Sync,
    /// Cuts the file off at this length, or extends it with zeros.
    SetLen(u64),
    /// Asks what the system knows of the file.
    Metadata,
}

impl FileRequest {
    /// Returns the number of bytes that it counts for while it waits.
    fn size(&self) -> usize {
        match self {
            FileRequest::Write { bytes, .. } => bytes.len() + EACH,
            _ => EACH,
        }
    }

    /// Returns true if nothing comes of it but an answer.
    fn only_asks(&self) -> bool {
        matches!(self, FileRequest::Read { .. } | FileRequest::Metadata)
    }

    async fn carry_out(&self, file: &File) -> io::Result<FileAnswer> {
        Ok(match *self {
            FileRequest::Read { at, len } => FileAnswer::Read { at, bytes: read(file, at, len).await? },
            FileRequest::Write { at, ref bytes } => {
                file.write_all_at(bytes, at).await?;
                FileAnswer::Written { at, len: bytes.len() }
            }
            FileRequest::Sync => {
                file.sync_all().await?;
                FileAnswer::Synced
            }
            FileRequest::SetLen(len) => {
                file.set_len(len).await?;
                FileAnswer::LenSet(len)
            }
            FileRequest::Metadata => FileAnswer::Metadata(Box::new(file.metadata().await?)),
        })
    }
}

/// Reads up to `len` bytes. It has memory for little more than there is to be read, whatever is asked for.
async fn read(file: &File, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let (mut bytes, mut filled) = (Vec::new(), 0);
    while filled < len {
        let room = (len - filled).min(STEP);
        bytes.try_reserve(room).map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes.resize(filled + room, 0);
        let count = file.read_at(&mut bytes[filled..], at + filled as u64).await?;
        filled += count;
        bytes.truncate(filled);
        if count == 0 {
            break;
        }
    }
    Ok(bytes)
}

/// The answer of the [port of a file](fn@super::file) to a [`FileRequest`].
#[derive(Debug)]
#[non_exhaustive]
pub enum FileAnswer {
    /// These bytes were read; fewer than were asked for where the file ends.
    Read {
        /// The position of the first byte.
        at: u64,
        /// The bytes that were read.
        bytes: Vec<u8>,
    },
    /// All bytes of a request were written.
    Written {
        /// The position of the first byte.
        at: u64,
        /// The number of bytes.
        len: usize,
    },
    /// The device has all that was written before.
    Synced,
    /// The file has this length now.
    LenSet(u64),
    /// The system knows this of the file. It is boxed, so that messages are small.
    Metadata(Box<Metadata>),
    /// The request could not be carried out, and is given back. Of a write, some bytes may have been written.
    /// Those that follow are carried out.
    Failed {
        /// The request that was sent.
        request: FileRequest,
        /// The error of the system, with operation and path.
        error: io::Error,
    },
}

impl FileAnswer {
    /// Returns the number of bytes that it counts for while it waits.
    fn size(&self) -> usize {
        match self {
            FileAnswer::Read { bytes, .. } => bytes.len(),
            FileAnswer::Failed { request, .. } => request.size(),
            _ => 0,
        }
    }
}

/// A request that is being carried out.
type Operation = Pin<Box<dyn Future<Output = FileAnswer> + Send>>;

/// A file as a medium.
pub(super) struct Requests {
    file: File,
    /// The requests that have not been begun.
    unbegun: VecDeque<FileRequest>,
    /// The request that is being carried out, and its size.
    current: Option<(Operation, usize)>,
    /// The size of both.
    unwritten: usize,
    /// The answers that have not been taken.
    answers: VecDeque<FileAnswer>,
    /// The size of those.
    answered: usize,
    /// True while a request waits for answers to be taken.
    is_held: bool,
    /// True when nobody takes answers any more.
    is_deaf: bool,
    /// The first failure that no answer has told of.
    failure: Option<io::Error>,
    /// True when all requests have been carried out, and no more will come.
    is_over: bool,
}

impl Requests {
    pub(super) fn new(file: File) -> Requests {
        Requests {
            file,
            unbegun: VecDeque::new(),
            current: None,
            unwritten: 0,
            answers: VecDeque::new(),
            answered: 0,
            is_held: false,
            is_deaf: false,
            failure: None,
            is_over: false,
        }
    }

    /// Notes what an answer that nobody takes says of a request which was to change the file.
    fn note_failure(&mut self, answer: FileAnswer) {
        match answer {
            FileAnswer::Failed { request, error } if !request.only_asks() => {
                self.failure.get_or_insert(error);
            }
            _ => {}
        }
    }

    /// Begins with the next request. Ready if there is none, or as soon as answers have been taken.
    fn poll_begin(&mut self) -> Poll<Option<()>> {
        let (most, most_bytes) = WAITING;
        if self.answers.len() >= most || self.answered >= most_bytes {
            self.is_held = true;
            return Poll::Pending;
        }
        let Some(request) = self.unbegun.pop_front() else { return Poll::Ready(None) };
        let (file, size) = (self.file.clone(), request.size());
        let operation = async move {
            match request.carry_out(&file).await {
                Ok(answer) => answer,
                Err(error) => FileAnswer::Failed { request, error },
            }
        };
        self.current = Some((Box::pin(operation), size));
        Poll::Ready(Some(()))
    }
}

impl Medium for Requests {
    type In = FileAnswer;
    type Out = FileRequest;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Input<FileAnswer>> {
        match self.answers.pop_front() {
            Some(answer) => {
                self.answered -= answer.size();
                if mem::take(&mut self.is_held) {
                    // The output is looked at again.
                    cx.waker().wake_by_ref();
                }
                Poll::Ready(Input::Item(answer))
            }
            None if self.is_over => Poll::Ready(Input::End),
            None => Poll::Pending,
        }
    }

    fn encode(&mut self, request: FileRequest) -> Result<(), PortError> {
        if !(self.is_deaf && request.only_asks()) {
            self.unwritten += request.size();
            self.unbegun.push_back(request);
        }
        Ok(())
    }

    fn unwritten(&self) -> usize {
        self.unwritten
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PortError>> {
        loop {
            if let Some((operation, size)) = &mut self.current {
                let answer = ready!(operation.as_mut().poll(cx));
                self.unwritten -= *size;
                self.current = None;
                match self.is_deaf {
                    true => self.note_failure(answer),
                    false => {
                        self.answered += answer.size();
                        self.answers.push_back(answer);
                    }
                }
            }
            if ready!(self.poll_begin()).is_none() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), PortError>> {
        self.is_over = true;
        Poll::Ready(self.failure.take().map_or(Ok(()), |error| Err(failed_writing(error))))
    }

    fn end_input(&mut self) {
        self.is_deaf = true;
        mem::take(&mut self.answers).into_iter().for_each(|answer| self.note_failure(answer));
        self.answered = 0;
        self.unbegun.retain(|request| !request.only_asks());
        let current = self.current.as_ref().map_or(0, |(_, size)| *size);
        self.unwritten = current + self.unbegun.iter().map(FileRequest::size).sum::<usize>();
    }

    fn settle(&mut self) {
        if self.unbegun.is_empty() {
            self.unbegun = VecDeque::new();
        }
        if self.answers.is_empty() {
            self.answers = VecDeque::new();
        }
    }
}
