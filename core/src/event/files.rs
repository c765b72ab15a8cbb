//! Operations on open files, each with all that it needs: the file, its buffer, and whom to tell its end.
//!
//! Nobody has to wait for an operation that has been begun: it owns what the system reads and writes. It is
//! made by a thread that may block ([`Request::run`]), or by the system itself ([`ring`]).

pub(crate) mod memory;
pub(crate) mod open;
pub(crate) mod ring;

use std::io;
use std::sync::Arc;

use memory::Memory;
use open::OpenFile;

/// The one who makes the operations on open files that would hold a worker up; a setting of the builders of
/// green runtimes.
///
/// # Examples
/// ```
/// use twoply::fs::Engine;
/// use twoply::green_backend::Green;
///
/// let green = Green::builder().workers(1).file_engine(Engine::Pool).build()?;
/// assert_eq!(green.metrics().file_engine, Engine::Pool);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Engine {
    /// The system, if it has io_uring and grants it, and else the pool. This is found out by the first
    /// operation that it would make.
    #[default]
    Auto,
    /// The threads of the runtime's pool.
    Pool,
    /// The system, through the io_uring of the worker, for all but syncs and writes to disks, which it would
    /// leave to threads of its own: these use the pool. A runtime is not built where it is refused.
    IoUring,
}

/// An operation on an open file.
#[derive(Clone, Copy)]
pub(crate) enum Operation {
    /// Reads up to `room` bytes from the position `at`, or from what has no positions.
    Read {
        at: Option<u64>,
        /// The largest number of bytes.
        room: usize,
    },
    /// Writes what is in the buffer to the position `at`, or to what has no positions.
    Write { at: Option<u64> },
    /// Has the system write to the device what it still holds in memory of the file.
    Sync {
        /// True if times and the like need not be written.
        only_data: bool,
    },
}

impl Operation {
    /// Returns whether a ring gains something. A sync, and a write to a disk that cannot be made without
    /// waiting, is handed by the system to a thread of its own, which is no cheaper than one of the pool.
    pub(crate) fn is_for_ring(self) -> bool {
        matches!(self, Operation::Read { .. } | Operation::Write { at: None })
    }
}

/// The end of an operation.
pub(crate) struct Done {
    /// The bytes that were read, or that were to be written.
    pub(crate) memory: Memory,
    /// The number of bytes that were moved.
    pub(crate) result: io::Result<usize>,
}

/// Code that is called once with the end of an operation, on any thread. It must not block.
type Finish = Box<dyn FnOnce(Done) + Send>;

/// An operation with all that it needs. One that is dropped tells that no thread could be had for it.
pub(crate) struct Request {
    operation: Operation,
    file: Arc<OpenFile>,
    /// The bytes that are to be written, or room for those that are read.
    memory: Memory,
    /// The number of bytes that the file's world lets it move.
    most: usize,
    /// `None` when it has been called.
    finish: Option<Finish>,
}

impl Request {
    pub(crate) fn new(
        file: &Arc<OpenFile>,
        operation: Operation,
        memory: Memory,
        finish: impl FnOnce(Done) + Send + 'static,
    ) -> Request {
        let finish: Option<Finish> = Some(Box::new(finish));
        Request { operation, file: Arc::clone(file), memory, most: usize::MAX, finish }
    }

    /// Makes the system call, which may block.
    pub(crate) fn run(mut self) {
        let result = retry(|| self.call());
        self.end(result);
    }

    fn call(&mut self) -> io::Result<usize> {
        self.ask()?;
        let Request { operation, file, memory, most, .. } = self;
        let to_write = memory.len().min(*most);
        Ok(match *operation {
            Operation::Read { .. } if *most == 0 => 0,
            Operation::Read { at: Some(at), room } => {
                rustix::io::pread(file, memory.spare(room.min(*most)), at)?.0.len()
            }
            Operation::Read { at: None, room } => {
                rustix::io::read(file, memory.spare(room.min(*most)))?.0.len()
            }
            Operation::Write { at: Some(at) } => rustix::io::pwrite(file, &memory[..to_write], at)?,
            Operation::Write { at: None } => rustix::io::write(file, &memory[..to_write])?,
            Operation::Sync { only_data } => sync_once(file, only_data).map(|()| 0)?,
        })
    }

    /// Asks the world of the file about the call that is about to be made.
    fn ask(&mut self) -> io::Result<()> {
        let asked = match self.operation {
            Operation::Read { at, room } => self.file.most("read", at, || room, true)?,
            Operation::Write { at } => self.file.most("write", at, || self.memory.len(), true)?,
            Operation::Sync { .. } => self.file.most("sync", None, || 0, true)?,
        };
        self.most = asked.unwrap_or(usize::MAX);
        Ok(())
    }

    /// Tells the end, which the system has told.
    fn end(&mut self, result: io::Result<usize>) {
        if let Some(finish) = self.finish.take() {
            finish(self.done(result));
        }
    }

    fn done(&mut self, result: io::Result<usize>) -> Done {
        let mut memory = std::mem::take(&mut self.memory);
        if let (Operation::Read { .. }, Ok(read)) = (self.operation, &result) {
            // SAFETY: the system has been told of the spare memory, and says that it has written so many
            // bytes there.
            unsafe { memory.fill(*read) };
        }
        Done { memory, result }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.end(Err(io::Error::new(io::ErrorKind::QuotaExceeded, "no thread could be had for it")));
    }
}

/// Makes an operation on the stack that asks, which may block.
pub(crate) fn make(file: &Arc<OpenFile>, operation: Operation, memory: Memory) -> Done {
    let mut request = Request { operation, file: Arc::clone(file), memory, most: usize::MAX, finish: None };
    let result = retry(|| request.call());
    request.done(result)
}

/// Has the system write to the device what it still holds in memory of a file.
pub(crate) fn sync(file: &OpenFile, only_data: bool) -> io::Result<()> {
    retry(|| {
        file.most("sync", None, || 0, true)?;
        Ok(sync_once(file, only_data)?)
    })
}

fn sync_once(file: &OpenFile, only_data: bool) -> rustix::io::Result<()> {
    match only_data {
        true => rustix::fs::fdatasync(file),
        false => rustix::fs::fsync(file),
    }
}

/// Makes a call again if a signal has interrupted it.
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
