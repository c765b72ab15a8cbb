//! Open files, and what the world that they belong to decides about the calls on them.
//!
//! A file of a world is one of the system's, and every call on it is about to be made when its world is asked
//! (see `kernel/world.rs`). So an error, or fewer bytes than there are, comes from below whoever makes the
//! call: the stack, a thread of a pool or a ring.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::retry;
use crate::base::panic::{NoPanicDrop, discard_panic};

/// The file system of a [`World`](crate::world::World): that of the operating system, with the failures that
/// the world wants.
///
/// Devices that are full or broken, transfers that are cut short and calls that a signal interrupts are rare,
/// and this is how a test has them. A world that needs a file system of its own gives its programs a
/// directory: what is in it is as real as all others see it, and nothing else can make a `Metadata` of std's.
pub trait Files: Send + Sync + 'static {
    /// Decides about a call that is about to be made: `None` has it made as it is, `Some(n)` lets it move at
    /// most `n` bytes, of which zero is the end of a file to who reads.
    ///
    /// It runs on the stack that asks, or on a thread that makes calls for others; it must not wait. If it
    /// panics, the call fails.
    ///
    /// # Errors
    /// An error is what the call ends with, and it is not made. After
    /// [`Interrupted`](io::ErrorKind::Interrupted) it is asked about again, as a call that a signal has
    /// interrupted is made again.
    fn decide(&self, call: &FileCall<'_>) -> io::Result<Option<usize>>;
}

/// A call on a file or a path that is about to be made; see [`Files::decide`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FileCall<'a> {
    /// The name of the operation, which errors tell, too ([`PathError`](crate::fs::PathError)): `read`,
    /// `write`, `sync`, `open`, `rename` and so on.
    pub operation: &'static str,
    /// The path, or the first one of two; `None` for a file that was made of a descriptor.
    pub path: Option<&'a Path>,
    /// The second path, of an operation on two.
    pub to: Option<&'a Path>,
    /// The position; `None` for a file without positions, and for what has none.
    pub at: Option<u64>,
    /// The number of bytes that it may move; zero for what moves none.
    pub len: usize,
    /// False if it is made on a stack that others wait for, and fails with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) where it would have to wait for the device. It is made again
    /// elsewhere then.
    pub may_wait: bool,
}

impl<'a> FileCall<'a> {
    /// Describes a call that moves no bytes.
    pub(crate) fn new(operation: &'static str, path: Option<&'a Path>) -> FileCall<'a> {
        FileCall { operation, path, to: None, at: None, len: 0, may_wait: true }
    }
}

/// A place that calls on files go through: to the files of a world, or to nobody.
#[derive(Clone)]
pub(crate) struct Gate(Option<NoPanicDrop<Arc<dyn Files>>>);

impl Gate {
    pub(crate) fn new(files: Option<Arc<dyn Files>>) -> Gate {
        Gate(files.map(NoPanicDrop::new))
    }

    /// Asks about a call; `None`: as it is.
    #[inline]
    pub(crate) fn ask<'a>(&self, call: impl FnOnce() -> FileCall<'a>) -> io::Result<Option<usize>> {
        let Some(files) = &self.0 else { return Ok(None) };
        let mut decided = Err(io::Error::other("the world of the file has panicked"));
        discard_panic(|| decided = files.decide(&call()));
        decided
    }

    /// Makes a call that moves no bytes.
    pub(crate) fn make<T>(&self, call: FileCall<'_>, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        retry(|| self.ask(|| call))?;
        make()
    }
}

/// An open file, as operations hold on to it.
pub(crate) struct OpenFile {
    file: File,
    /// The path that it was opened by.
    path: Option<PathBuf>,
    gate: Gate,
}

impl OpenFile {
    pub(crate) fn new(file: File, path: Option<PathBuf>, gate: Gate) -> OpenFile {
        OpenFile { file, path, gate }
    }

    /// Opens the file at a path.
    pub(crate) fn open(options: &OpenOptions, path: &Path, gate: &Gate) -> io::Result<OpenFile> {
        let file = gate.make(FileCall::new("open", Some(path)), || options.open(path))?;
        Ok(OpenFile::new(file, Some(path.to_owned()), gate.clone()))
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Makes a call that moves no bytes.
    pub(crate) fn make<T>(
        &self,
        operation: &'static str,
        make: impl FnOnce(&File) -> io::Result<T>,
    ) -> io::Result<T> {
        self.gate.make(FileCall::new(operation, self.path()), || make(&self.file))
    }

    /// Asks how many bytes a call may move; `None`: as many as it wants.
    #[inline]
    pub(crate) fn most(
        &self,
        operation: &'static str,
        at: Option<u64>,
        len: impl FnOnce() -> usize,
        may_wait: bool,
    ) -> io::Result<Option<usize>> {
        self.gate.ask(|| FileCall { at, len: len(), may_wait, ..FileCall::new(operation, self.path()) })
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for OpenFile {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
