//! A child process as a port: what it writes comes as items, then its status; what is sent it reads.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::process::ExitStatus;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use super::codec::{Decoder, Encoder};
use super::event::{During, PortError};
use super::medium::{Input, Medium};
use super::stream::{Decoding, Encoding, failed_closing};
use crate::process::{Child, ChildStderr, ChildStdin, ChildStdout};

/// An item of a child process: something that it has written, or its end.
///
/// # Examples
/// ```
/// use twoply::{Wait, port::{self, ChildItem}, process::{Command, Stdio}};
///
/// let child = Command::new("sh").args(["-c", "echo trouble >&2"]).stderr(Stdio::piped()).spawn()?;
/// let port = port::child(child).start()?;
/// let item = port.recv().wait()?.item().unwrap();
/// assert!(matches!(item, ChildItem::Stderr(line) if line == "trouble"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChildItem<T> {
    /// An item on its standard output.
    Stdout(T),
    /// An item on its standard error.
    Stderr(T),
    /// It has ended, and everything that it wrote has come.
    Exited(ExitStatus),
}

impl<T> ChildItem<T> {
    /// Returns the item if it is one of the standard output.
    pub fn stdout(self) -> Option<T> {
        match self {
            ChildItem::Stdout(item) => Some(item),
            _ => None,
        }
    }
}

/// The end of a child, when it comes.
type Exit = Pin<Box<dyn Future<Output = io::Result<ExitStatus>> + Send>>;

/// A child process as a medium.
pub(super) struct Pipes<D, E, T> {
    stdin: Option<ChildStdin>,
    stdout: Option<(ChildStdout, Decoding<D>)>,
    stderr: Option<(ChildStderr, Decoding<D>)>,
    /// Owns the child. `None` when its status has come.
    exit: Option<Exit>,
    output: Encoding<E>,
    /// True when the standard error is looked at first: after an item of the standard output.
    stderr_first: bool,
    /// The type of the items that are written, none of which is held.
    item: PhantomData<fn(T)>,
}

impl<D: Decoder + Clone, E, T> Pipes<D, E, T> {
    pub(super) fn new(mut child: Child, decoder: D, encoder: E) -> Pipes<D, E, T> {
        let stderr = child.stderr.take().map(|pipe| (pipe, Decoding::new(decoder.clone())));
        Pipes {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(|pipe| (pipe, Decoding::new(decoder))),
            stderr,
            exit: Some(Box::pin(async move { child.wait().await })),
            output: Encoding::new(encoder),
            stderr_first: false,
            item: PhantomData,
        }
    }
}

/// Polls a pipe for its next item, and drops it at its end.
fn poll_pipe<P: AsyncRead + Unpin, D: Decoder>(
    pipe: &mut Option<(P, Decoding<D>)>,
    cx: &mut Context<'_>,
    make: impl FnOnce(D::Item) -> ChildItem<D::Item>,
) -> Poll<Option<Input<ChildItem<D::Item>>>> {
    let Some((end, input)) = pipe else { return Poll::Ready(None) };
    let next = ready!(input.poll_next(cx, |cx, buf| Pin::new(&mut *end).poll_read(cx, buf)));
    Poll::Ready(match next {
        Input::Item(item) => Some(Input::Item(make(item))),
        Input::Error(error) => Some(Input::Error(error)),
        // The other one goes on, and so does the child.
        Input::Failed(error) => {
            *pipe = None;
            Some(Input::Error(error))
        }
        Input::End => {
            *pipe = None;
            None
        }
    })
}

impl<D, E, T> Medium for Pipes<D, E, T>
where
    D: Decoder<Item: Send> + Send + 'static,
    E: Encoder<T> + Send + 'static,
    T: Send + 'static,
{
    type In = ChildItem<D::Item>;
    type Out = T;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Input<Self::In>> {
        for _ in 0..2 {
            let polled = match self.stderr_first {
                false => poll_pipe(&mut self.stdout, cx, ChildItem::Stdout),
                true => poll_pipe(&mut self.stderr, cx, ChildItem::Stderr),
            };
            self.stderr_first = !self.stderr_first;
            if let Poll::Ready(Some(input)) = polled {
                return Poll::Ready(input);
            }
        }
        if self.stdout.is_some() || self.stderr.is_some() {
            return Poll::Pending;
        }
        let Some(exit) = &mut self.exit else { return Poll::Ready(Input::End) };
        let ended = ready!(exit.as_mut().poll(cx));
        self.exit = None;
        Poll::Ready(match ended {
            Ok(status) => Input::Item(ChildItem::Exited(status)),
            Err(error) => Input::Failed(PortError::Io { during: During::Read, error }),
        })
    }

    fn encode(&mut self, item: T) -> Result<(), PortError> {
        self.output.encode(item)
    }

    fn unwritten(&self) -> usize {
        self.output.unwritten()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PortError>> {
        let stdin = &mut self.stdin;
        self.output.poll_flush(cx, |cx, buf| match stdin {
            Some(stdin) => Pin::new(stdin).poll_write(cx, buf),
            None => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "the child's input is no pipe")))
            }
        })
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PortError>> {
        let Some(stdin) = &mut self.stdin else { return Poll::Ready(Ok(())) };
        let closed = ready!(Pin::new(stdin).poll_close(cx));
        self.stdin = None;
        Poll::Ready(closed.map_err(failed_closing))
    }

    fn settle(&mut self) {
        if let Some((_, input)) = &mut self.stdout {
            input.settle();
        }
        if let Some((_, input)) = &mut self.stderr {
            input.settle();
        }
        self.output.settle();
    }
}
