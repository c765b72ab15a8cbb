//! The entries of a directory.

use std::collections::VecDeque;
use std::fmt;
use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use super::error::of_path;
use super::paths::in_steps;
use crate::base::sync::lock_std;
use crate::base::waitlist::WaitList;
use crate::channel::{RecvError, Source, TryRecvError, WaitKey};
use crate::kernel::blocking;
use crate::kernel::coop;
use crate::kernel::files::{FileCall, Gate};
use crate::kernel::strand::with_current;
use crate::kernel::waiting::{self, WaitingFor};

/// The number of entries that are read at a time.
const BATCH: usize = 64;

/// The name of the operation in errors.
const OPERATION: &str = "read the directory";

/// Opens a directory, and returns the source of its entries.
///
/// # Errors
/// The system's, with operation and path.
///
/// # Examples
/// ```
/// use twoply::{Wait, channel::Source, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-read-dir-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// fs::write(dir.join("one"), "").wait()?;
/// let entries = fs::read_dir(&dir).wait()?;
/// while let Ok(entry) = entries.recv().wait() {
///     assert_eq!(entry?.file_name(), "one");
/// }
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn read_dir(path: impl AsRef<Path> + Send) -> io::Result<ReadDir> {
    let read = |path: &Path, gate: &Gate| {
        let entries = gate.make(FileCall::new(OPERATION, Some(path)), || std::fs::read_dir(path))?;
        Ok(ReadDir::new(path.to_owned(), gate.clone(), entries))
    };
    in_steps(OPERATION, path.as_ref(), read).await
}

/// The entries of a directory, as a [`Source`]; made by [`read_dir`]. It is closed after the last one.
///
/// Several may receive from it; each entry goes to one of them, in no order. `.` and `..` are left out. An
/// entry that comes or goes meanwhile may be among them or not. An entry is std's, whose methods ask the
/// system where they are called; [`metadata`](super::metadata) of its path does so where it may block.
pub struct ReadDir {
    shared: Arc<Shared>,
}

/// The part that a thread shares which reads entries.
struct Shared {
    path: PathBuf,
    gate: Gate,
    state: Mutex<State>,
    /// Those who wait for an entry.
    waiters: WaitList,
}

/// The part of a directory that is locked.
struct State {
    /// The rest of the directory; `None`: it is being read, or has ended.
    rest: Option<std::fs::ReadDir>,
    /// The entries that have been read and not received.
    entries: VecDeque<io::Result<DirEntry>>,
    /// True while a batch is read.
    is_reading: bool,
}

impl ReadDir {
    fn new(path: PathBuf, gate: Gate, rest: std::fs::ReadDir) -> ReadDir {
        let state = State { rest: Some(rest), entries: VecDeque::new(), is_reading: false };
        let (state, waiters) = (Mutex::new(state), WaitList::new());
        ReadDir { shared: Arc::new(Shared { path, gate, state, waiters }) }
    }
}

/// The result of a look at a directory.
type Received = Result<io::Result<DirEntry>, RecvError>;

impl Shared {
    /// Takes an entry, or has more of them read. `None` while they are.
    fn take(self: &Arc<Shared>, may_block: bool) -> Option<Received> {
        let rest = {
            let mut state = lock_std(&self.state);
            if let Some(entry) = state.entries.pop_front() {
                return Some(Ok(entry));
            }
            if state.is_reading {
                return None;
            }
            let Some(rest) = state.rest.take() else { return Some(Err(RecvError)) };
            state.is_reading = true;
            rest
        };
        let batch = Batch { shared: Arc::clone(self), rest: Some(rest) };
        if may_block {
            batch.read();
            let mut state = lock_std(&self.state);
            return state.entries.pop_front().map(Ok).or_else(|| state.is_over().then_some(Err(RecvError)));
        }
        let pool = with_current(|strand| strand.blocking_pool());
        // The error of the pool is told by the batch itself, in an entry.
        let _ = pool.execute(None, move || batch.read());
        None
    }
}

impl State {
    fn is_over(&self) -> bool {
        self.entries.is_empty() && !self.is_reading && self.rest.is_none()
    }
}

/// Entries that are to be read.
struct Batch {
    shared: Arc<Shared>,
    /// The rest of the directory. `None` when the batch has been read.
    rest: Option<std::fs::ReadDir>,
}

impl Batch {
    fn read(mut self) {
        let Some(mut rest) = self.rest.take() else { return };
        let Shared { path, gate, .. } = &*self.shared;
        let of_directory = |error| of_path(OPERATION, Some(path), error);
        if let Err(error) = gate.make(FileCall::new(OPERATION, Some(path)), || Ok(())) {
            return self.end(vec![Err(of_directory(error))], Some(rest));
        }
        let entries: Vec<_> = rest.by_ref().take(BATCH).map(|entry| entry.map_err(of_directory)).collect();
        let rest = (entries.len() == BATCH).then_some(rest);
        self.end(entries, rest);
    }

    fn end(&self, entries: Vec<io::Result<DirEntry>>, rest: Option<std::fs::ReadDir>) {
        {
            let mut state = lock_std(&self.shared.state);
            state.entries.extend(entries);
            state.rest = rest;
            state.is_reading = false;
        }
        self.shared.waiters.notify_all();
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take() {
            let refused = io::Error::new(io::ErrorKind::QuotaExceeded, "no thread could be had for it");
            let refused = of_path(OPERATION, Some(&self.shared.path), refused);
            self.end(vec![Err(refused)], Some(rest));
        }
    }
}

impl Source<io::Result<DirEntry>> for ReadDir {
    fn poll_recv(&self, wait_key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<Received> {
        let unit = ready!(coop::proceed(cx));
        let may_block = blocking::may_block(cx);
        let polled = self.shared.waiters.poll_until(wait_key, cx, || self.shared.take(may_block));
        let entry = ready!(waiting::note(polled, || WaitingFor::Offload { name: None }));
        unit.spend();
        Poll::Ready(entry)
    }

    fn stop_recv(&self, wait_key: &mut WaitKey) {
        self.shared.waiters.withdraw(wait_key);
    }

    /// Receives an entry that has been read already.
    fn try_recv(&self) -> Result<io::Result<DirEntry>, TryRecvError> {
        let mut state = lock_std(&self.shared.state);
        match state.entries.pop_front() {
            Some(entry) => Ok(entry),
            None if state.is_over() => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").field("path", &self.shared.path).finish_non_exhaustive()
    }
}
