//! The file that stands for a Unix socket.

use std::path::{Path, PathBuf};

use super::super::sys;
use crate::base::fork;

/// A device and a number that belong to no file.
const NO_FILE: (u64, u64) = (u64::MAX, u64::MAX);

/// The file of a listener, which is removed when this is dropped: unless another one has its name by then, or
/// this is the child of a fork, whose parent still listens.
#[derive(Debug)]
pub(in crate::net) struct SocketFile {
    /// The path, which is absolute: the program may change its directory.
    path: PathBuf,
    /// The device and the number of the file.
    id: (u64, u64),
    /// The number of forks when the file was made.
    born: u64,
}

impl SocketFile {
    /// Returns the file at `path`, to be removed later; `None` if it is gone already.
    pub(super) fn at(path: &Path) -> Option<SocketFile> {
        let path = std::path::absolute(path).ok()?;
        let id = sys::file_at(&path).ok()?;
        Some(SocketFile { path, id, born: fork::count() })
    }

    /// Leaves the file where it is.
    pub(super) fn keep(mut self) {
        self.id = NO_FILE;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = || sys::file_at(&self.path).is_ok_and(|id| id == self.id);
        if self.born == fork::count() && is_ours() {
            // Where it may not be removed it stays, as it does without this.
            let _ = sys::remove_file(&self.path);
        }
    }
}
