//! The standard input.
//!
//! Where the system can read from it without blocking (a pipe), it is watched as any descriptor. Else (a
//! terminal, a file) a thread of the pool reads, one at a time, and what it has read stays here until
//! somebody takes it: a read that is given up loses nothing. Its mode is never changed: the shell, and
//! whoever else has the same open file, would change along.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use super::output::Place;
use super::{read_to_end, sys};
use crate::base::fork::PerProcess;
use crate::base::sync::lock_std;
use crate::base::waitlist::WaitList;
use crate::event::reactor::{Direction, IoHandle, IoSource, IoWaiter, Progress};
use crate::kernel::waiting::{self, WaitingFor};
use crate::kernel::{Wait, coop, threads};

/// The size of a read of the thread, in bytes.
const CHUNK: usize = 8 * 1024;

/// The standard input of this process.
static INPUT: PerProcess<Input> = PerProcess::new();

/// The two ways to read from the standard input.
enum Input {
    /// It is watched, and read from when there is something.
    Watched(Arc<IoSource>),
    /// A thread reads from it.
    Thread(Reader),
}

/// The bytes that the thread has read, and those who wait for more.
#[derive(Default)]
struct Reader {
    state: Mutex<State>,
    waiters: Waiters,
}

/// A list of those who wait, with a default.
struct Waiters(WaitList);

impl Default for Waiters {
    fn default() -> Waiters {
        Waiters(WaitList::new())
    }
}

/// The part of a reader that is locked.
#[derive(Default)]
struct State {
    /// The bytes that have been read, of which those before `taken` have been handed out.
    bytes: Vec<u8>,
    taken: usize,
    /// The end of the input, or an error, for one who asks: a terminal may go on after an end.
    outcome: Option<io::Result<()>>,
    /// True while a thread reads.
    is_reading: bool,
}

fn input() -> &'static Input {
    INPUT.get_or_init(|| match sys::standard_input() {
        Some(source) => Input::Watched(source),
        None => Input::Thread(Reader::default()),
    })
}

impl Reader {
    /// Hands out what there is, or has a thread read more.
    fn take(&'static self, buf: &mut [u8]) -> Option<io::Result<usize>> {
        let mut state = lock_std(&self.state);
        let left = &state.bytes[state.taken..];
        if !left.is_empty() {
            let n = left.len().min(buf.len());
            buf[..n].copy_from_slice(&left[..n]);
            state.taken += n;
            return Some(Ok(n));
        }
        if let Some(outcome) = state.outcome.take() {
            return Some(outcome.map(|()| 0));
        }
        let must_start = !std::mem::replace(&mut state.is_reading, true);
        drop(state);
        if must_start && let Err(error) = threads::blocking().execute(None, || self.read()) {
            lock_std(&self.state).is_reading = false;
            return Some(Err(error));
        }
        None
    }

    fn read(&self) {
        let mut bytes = vec![0; CHUNK];
        let outcome = sys::read_blocking(0, &mut bytes);
        bytes.truncate(*outcome.as_ref().unwrap_or(&0));
        {
            let mut state = lock_std(&self.state);
            state.is_reading = false;
            match outcome {
                Ok(0) => state.outcome = Some(Ok(())),
                Ok(_) => (state.bytes, state.taken) = (bytes, 0),
                Err(error) => state.outcome = Some(Err(error)),
            }
        }
        self.waiters.0.notify_all();
    }
}

fn poll_read(
    input: &'static Input,
    waiter: &mut Waiter,
    cx: &mut Context<'_>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    if buf.is_empty() {
        return Poll::Ready(Ok(0));
    }
    match (input, waiter) {
        (Input::Watched(_), Waiter::Watched(waiter)) => {
            waiter.poll_io(cx, |io: &IoHandle| sys::read_now(io, buf).map(Progress::More))
        }
        (Input::Thread(reader), Waiter::Thread(place)) => {
            let unit = ready!(coop::proceed(cx));
            let polled = reader.waiters.0.poll_until(&mut place.key, cx, || reader.take(buf));
            let read = ready!(waiting::note(polled, || WaitingFor::Read { fd: Some(0) }));
            unit.spend();
            Poll::Ready(read)
        }
        _ => unreachable!("a waiter is made for the input that it waits for"),
    }
}

/// One who waits for the input.
enum Waiter {
    Watched(IoWaiter<'static>),
    Thread(Place),
}

impl Waiter {
    fn new(input: &'static Input) -> Waiter {
        match input {
            Input::Watched(source) => Waiter::Watched(IoWaiter::new(source, Direction::Read)),
            Input::Thread(reader) => Waiter::Thread(Place::new(&reader.waiters.0)),
        }
    }
}

/// The standard input of the program; made by [`stdin`].
///
/// A read holds no worker up. All handles read from one stream, and each byte goes to one of them. Std's own
/// `Stdin` has a buffer of its own: a program reads from one of the two.
///
/// It implements std's `Read`, which blocks the stack, and futures-io's `AsyncRead`: a
/// [`BufReader`](super::BufReader) over it reads lines.
///
/// # Examples
/// ```
/// use twoply::{Wait, io::stdin};
///
/// let mut text = Vec::new();
/// # if false {
/// stdin().read_to_end(&mut text).wait()?;
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Stdin {
    /// The place of the poll functions, once they have been used.
    waiter: Option<Waiter>,
}

/// Returns a handle of the standard input.
pub fn stdin() -> Stdin {
    Stdin { waiter: None }
}

impl Stdin {
    /// Reads what there is into `buf`, and returns how many bytes that were. Waits until there are some; zero
    /// is the end, or says that `buf` is empty. Cancel-safe.
    ///
    /// # Errors
    /// The system's: of the read, or that no thread can be had for it.
    pub fn read<'a>(
        &self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        let input = input();
        let mut waiter = Waiter::new(input);
        poll_fn(move |cx| poll_read(input, &mut waiter, cx, buf))
    }

    /// Reads to the end, appends it to `bytes`, and returns how many bytes that were. What has been read when
    /// it is dropped is in `bytes`.
    ///
    /// # Errors
    /// As [`read`](Stdin::read).
    pub async fn read_to_end(&self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        read_to_end(&mut stdin(), bytes, usize::MAX).await
    }
}

impl io::Read for Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Stdin::read(self, buf).wait()
    }
}

impl futures_io::AsyncRead for Stdin {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let input = input();
        let waiter = self.waiter.get_or_insert_with(|| Waiter::new(input));
        poll_read(input, waiter, cx, buf)
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin").finish_non_exhaustive()
    }
}
