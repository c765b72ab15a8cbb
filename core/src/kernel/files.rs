//! Operations on open files for the code that runs on a stack which may not block. Each owns its buffer, so
//! that whoever waits for it may go at any time; what has been begun goes on to its end.
//!
//! An operation runs on a thread of the stack's pool.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::buffer::spare_capacity;

use crate::kernel::strand::with_current;

/// An operation on an open file.
pub(crate) enum Operation {
    /// Reads up to `room` bytes from the position `at`, or from what has no positions.
    Read {
        at: Option<u64>,
        /// The largest number of bytes.
        room: usize,
    },
    /// Writes what is in the buffer to the position `at`, or to what has no positions.
    Write { at: Option<u64> },
    /// Has the system write what it holds back of the file.
    Sync {
        /// True if times and the like may stay behind.
        only_data: bool,
    },
}

/// The end of an operation.
pub(crate) struct Done {
    /// The buffer: what was read, or what was to be written.
    pub(crate) bytes: Vec<u8>,
    /// The number of bytes that were moved.
    pub(crate) result: io::Result<usize>,
}

/// Code that is called once with the end of an operation, on any thread. It must not block.
type Finish = Box<dyn FnOnce(Done) + Send>;

/// An operation with all that it needs.
struct Request {
    operation: Operation,
    file: Arc<File>,
    /// The buffer, empty for a read.
    bytes: Vec<u8>,
    /// `None` when it has been called.
    finish: Option<Finish>,
}

/// Begins an operation, whose end is told to `finish`: perhaps before this returns, and also if no thread can
/// be had.
pub(crate) fn start(
    file: &Arc<File>,
    operation: Operation,
    bytes: Vec<u8>,
    finish: impl FnOnce(Done) + Send + 'static,
) {
    let request = Request { operation, file: Arc::clone(file), bytes, finish: Some(Box::new(finish)) };
    let pool = with_current(|strand| strand.blocking_pool());
    // A request that is dropped has told its end. The error of the pool is told here in its place.
    let _ = pool.execute(None, move || request.run());
}

impl Request {
    /// Makes the system call, which may block.
    fn run(mut self) {
        let result = match self.operation {
            Operation::Read { at, room } => {
                self.bytes.reserve_exact(room);
                read(&self.file, at, &mut self.bytes)
            }
            Operation::Write { at } => write(&self.file, at, &self.bytes),
            Operation::Sync { only_data } => sync(&self.file, only_data).map(|()| 0),
        };
        self.end(result);
    }

    fn end(&mut self, result: io::Result<usize>) {
        if let Some(finish) = self.finish.take() {
            finish(Done { bytes: std::mem::take(&mut self.bytes), result });
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.end(Err(io::Error::new(io::ErrorKind::QuotaExceeded, "no thread could be had for it")));
    }
}

fn read(file: &File, at: Option<u64>, bytes: &mut Vec<u8>) -> io::Result<usize> {
    retry(|| match at {
        Some(at) => rustix::io::pread(file, spare_capacity(bytes), at),
        None => rustix::io::read(file, spare_capacity(bytes)),
    })
}

fn write(file: &File, at: Option<u64>, bytes: &[u8]) -> io::Result<usize> {
    retry(|| match at {
        Some(at) => rustix::io::pwrite(file, bytes, at),
        None => rustix::io::write(file, bytes),
    })
}

/// Has the system write what it holds back of a file.
pub(crate) fn sync(file: impl AsFd, only_data: bool) -> io::Result<()> {
    retry(|| match only_data {
        true => rustix::fs::fdatasync(&file),
        false => rustix::fs::fsync(&file),
    })
}

/// Makes a system call again if a signal has interrupted it.
pub(crate) fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}
