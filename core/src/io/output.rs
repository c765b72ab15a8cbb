//! The standard output and error: bytes are accepted at once and written in order by one thread at a time.
//!
//! ```text
//! write ──accept──▶ buffer ──take──▶ a thread of the pool, which writes all of it and looks again
//!   ▲                  │                    │
//!   └──── room ────────┴──── written ───────┘ ──▶ flush
//! ```
//!
//! The descriptors may be shared with other processes, such as the shell, so their mode is never changed, and
//! a write may block: hence the thread. It is taken from the pool when there is something to write, and goes
//! back when there is nothing left.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::sys;
use crate::base::fork::PerProcess;
use crate::base::sync::lock_std;
use crate::base::waitlist::{WaitKey, WaitList};
use crate::kernel::at_end::set_flush;
use crate::kernel::waiting::{self, WaitingFor};
use crate::kernel::{Wait, coop, threads};
use crate::time::timeout_at;

/// The most bytes that wait to be written to one stream. It is the room of a pipe.
const ROOM: usize = 64 * 1024;

/// The streams of this process. The child of a fork has its own: what the parent has accepted, the parent
/// writes.
static STREAMS: PerProcess<[Output; 2]> = PerProcess::new();

/// Returns the stream of a descriptor, 1 or 2.
fn stream(fd: i32) -> &'static Output {
    set_flush(flush_all);
    let [stdout, stderr] = STREAMS.get_or_init(|| [Output::new(1), Output::new(2)]);
    if fd == 1 { stdout } else { stderr }
}

/// Waits until all that has been accepted is written, or until a time.
fn flush_all(until: Option<Instant>) {
    let Some(streams) = STREAMS.get() else { return };
    for output in streams {
        // Nobody is left to be told of an error.
        let flush = output.flush();
        match until {
            Some(until) => drop(timeout_at(until, flush).wait()),
            None => drop(flush.wait()),
        }
    }
}

/// One of the two streams.
struct Output {
    /// The number of the descriptor.
    fd: i32,
    state: Mutex<State>,
    /// Those who wait for room.
    room: WaitList,
    /// Those who wait until what they have written is out.
    written: WaitList,
}

/// The part of a stream that is locked.
#[derive(Default)]
struct State {
    /// The bytes that no thread has taken.
    buffer: Vec<u8>,
    /// The number of bytes that have been accepted so far.
    accepted: u64,
    /// The number of these that have been written, or for which there has been an error.
    done: u64,
    /// True while a thread writes.
    is_writing: bool,
    /// The error of the last write, for the next who asks.
    error: Option<io::Error>,
}

impl Output {
    fn new(fd: i32) -> Output {
        Output { fd, state: Mutex::default(), room: WaitList::new(), written: WaitList::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock_std(&self.state)
    }

    /// Accepts as much of `bufs` as there is room for. `None` if there is none.
    fn accept(&'static self, bufs: &[IoSlice<'_>]) -> Option<io::Result<usize>> {
        let mut state = self.state();
        if let Some(error) = state.error.take() {
            return Some(Err(error));
        }
        let before = state.buffer.len();
        for buf in bufs {
            let room = ROOM - state.buffer.len();
            state.buffer.extend_from_slice(&buf[..buf.len().min(room)]);
        }
        let accepted = state.buffer.len() - before;
        if accepted == 0 {
            return None;
        }
        self.note_accepted(state, accepted);
        Some(Ok(accepted))
    }

    /// Accepts all of `bytes`, or nothing if there is no room for that.
    fn try_accept_all(&'static self, bytes: &[u8]) -> bool {
        let mut state = self.state();
        let has_room = bytes.len() <= ROOM - state.buffer.len();
        if has_room {
            state.buffer.extend_from_slice(bytes);
            self.note_accepted(state, bytes.len());
        }
        has_room
    }

    /// Counts what has been accepted, and has it written.
    fn note_accepted(&'static self, mut state: MutexGuard<'_, State>, len: usize) {
        state.accepted += len as u64;
        let must_start = !std::mem::replace(&mut state.is_writing, true);
        drop(state);
        if must_start && threads::blocking().execute(None, || self.write_all()).is_err() {
            // No thread is to be had: rather this one waits than that the bytes are lost.
            self.write_all();
        }
    }

    /// Writes until nothing is left. One thread at a time does this.
    fn write_all(&self) {
        loop {
            let chunk = {
                let mut state = self.state();
                state.is_writing = !state.buffer.is_empty();
                std::mem::take(&mut state.buffer)
            };
            if chunk.is_empty() {
                return;
            }
            self.room.notify_all();
            let result = sys::write_all_blocking(self.fd, &chunk);
            {
                let mut state = self.state();
                state.done += chunk.len() as u64;
                state.error = result.err().or(state.error.take());
            }
            self.written.notify_all();
        }
    }

    fn poll_write(
        &'static self,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let unit = ready!(coop::proceed(cx));
        let polled = self.room.poll_until(wait_key, cx, || self.accept(bufs));
        let accepted = ready!(waiting::note(polled, || WaitingFor::Write { fd: Some(self.fd) }));
        unit.spend();
        Poll::Ready(accepted)
    }

    /// Waits until `target` bytes are done.
    fn poll_flush(
        &'static self,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
        target: u64,
    ) -> Poll<io::Result<()>> {
        let unit = ready!(coop::proceed(cx));
        let look = || {
            let mut state = self.state();
            (state.done >= target).then(|| state.error.take().map_or(Ok(()), Err))
        };
        let polled = self.written.poll_until(wait_key, cx, look);
        let done = ready!(waiting::note(polled, || WaitingFor::Write { fd: Some(self.fd) }));
        unit.spend();
        Poll::Ready(done)
    }

    fn flush(&'static self) -> impl Future<Output = io::Result<()>> + Send + Unpin + use<> {
        let target = self.state().accepted;
        let mut place = Place::new(&self.written);
        poll_fn(move |cx| self.poll_flush(&mut place.key, cx, target))
    }
}

/// The place of a future in a list of those who wait, which it leaves when it is dropped.
pub(super) struct Place {
    list: &'static WaitList,
    pub(super) key: WaitKey,
}

impl Place {
    pub(super) fn new(list: &'static WaitList) -> Place {
        Place { list, key: WaitKey::new() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.list.withdraw(&mut self.key);
    }
}

/// The places of the poll functions of a handle, which have nowhere else to remember them.
#[derive(Default)]
struct Places {
    write: Option<Place>,
    /// With the number of bytes that it waits for.
    flush: Option<(u64, Place)>,
}

/// Defines the handle of a stream.
macro_rules! standard_output {
    ($(#[$doc:meta])* $name:ident, $function:ident, $fd:literal) => {
        $(#[$doc])*
        ///
        /// Bytes are accepted at once, as long as there is room (64 KiB), and written in the order in which
        /// they were accepted, by a thread that may block: no worker ever waits for a terminal or a slow
        /// reader. An error of the system comes out of the next write or flush, once; a stream that is closed
        /// takes everything and writes nothing, as std's does. What has been accepted is written before
        /// [`run`](crate::task::Spawner::run) returns and, as far as its deadline allows, before a shutdown
        /// does; a program that ends otherwise flushes.
        ///
        /// It shares nothing but the descriptor with `println!` and its like, so there is no order between
        /// the two.
        ///
        /// # Examples
        /// ```
        #[doc = concat!("use twoply::{Wait, io::", stringify!($function), "};")]
        #[doc = ""]
        #[doc = concat!("let stream = ", stringify!($function), "();")]
        /// stream.write_all(b"hello\n").wait()?;
        /// stream.flush().wait()?;
        /// # Ok::<(), std::io::Error>(())
        /// ```
        pub struct $name {
            places: Places,
        }

        /// Returns a handle of the stream. All handles write to one buffer.
        pub fn $function() -> $name {
            $name { places: Places::default() }
        }

        impl $name {
            /// Accepts as much of `buf` as there is room for, and returns how many bytes that were. Waits
            /// until there is room for some. Cancel-safe.
            ///
            /// # Errors
            /// The error of a write before: then nothing has been accepted.
            pub fn write<'a>(
                &self,
                buf: &'a [u8],
            ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
                let output = stream($fd);
                let mut place = Place::new(&output.room);
                poll_fn(move |cx| output.poll_write(&mut place.key, cx, &[IoSlice::new(buf)]))
            }

            /// Accepts all of `buf`. Bytes of others may come in between if there is no room for all of it.
            ///
            /// Not cancel-safe: some of it may have been accepted when it is dropped, and how much is lost.
            ///
            /// # Errors
            /// As for `write`.
            pub async fn write_all(&self, buf: &[u8]) -> io::Result<()> {
                let mut rest = buf;
                while !rest.is_empty() {
                    let accepted = self.write(rest).await?;
                    rest = &rest[accepted..];
                }
                Ok(())
            }

            /// Accepts all of `buf` at once, or nothing if there is no room for all of it, and says which. It
            /// is for messages that nobody should wait with. Where there is an error of a write before, it
            /// stays for the next write or flush to tell.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("let stream = twoply::io::", stringify!($function), "();")]
            /// // There is never room for so much.
            /// assert!(!stream.try_write_all(&[b'.'; 100_000]));
            /// ```
            #[must_use = "nothing is written if there is no room"]
            pub fn try_write_all(&self, buf: &[u8]) -> bool {
                stream($fd).try_accept_all(buf)
            }

            /// Waits until all that has been accepted by now is written. Cancel-safe.
            ///
            /// # Errors
            /// The error of a write since the last one that was told.
            pub fn flush(&self) -> impl Future<Output = io::Result<()>> + Send + Unpin + use<> {
                stream($fd).flush()
            }
        }

        impl io::Write for $name {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                $name::write(self, buf).wait()
            }

            fn flush(&mut self) -> io::Result<()> {
                $name::flush(self).wait()
            }
        }

        impl futures_io::AsyncWrite for $name {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.poll_write_vectored(cx, &[IoSlice::new(buf)])
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let output = stream($fd);
                let place = self.places.write.get_or_insert_with(|| Place::new(&output.room));
                output.poll_write(&mut place.key, cx, bufs)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let output = stream($fd);
                let begin = || (output.state().accepted, Place::new(&output.written));
                let (target, place) = self.places.flush.get_or_insert_with(begin);
                let polled = output.poll_flush(&mut place.key, cx, *target);
                if polled.is_ready() {
                    self.places.flush = None;
                }
                polled
            }

            /// As `poll_flush`: the stream is the whole program's, and stays open.
            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_flush(cx)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

standard_output! {
    /// The standard output of the program; made by [`stdout`].
    Stdout, stdout, 1
}

standard_output! {
    /// The standard error of the program; made by [`stderr`].
    Stderr, stderr, 2
}
