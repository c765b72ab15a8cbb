//! Errors that say which operation failed, and on which path.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The payload of the [`io::Error`]s of this module: the operation that failed, the path that it was made on,
/// and the error as the system gave it. The [`kind`](io::Error::kind) of the `io::Error` is that of the
/// system's error; its number is here.
///
/// # Examples
/// ```
/// use twoply::{Wait, fs};
///
/// let error = fs::read("/no/such/file").wait().unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
/// let what = error.get_ref().and_then(|inner| inner.downcast_ref::<fs::PathError>()).unwrap();
/// assert_eq!(what.operation(), "read");
/// assert_eq!(what.path(), Some("/no/such/file".as_ref()));
/// assert_eq!(what.raw_os_error(), Some(2));
/// ```
#[derive(Debug)]
pub struct PathError {
    /// The name of the operation.
    operation: &'static str,
    /// The path; `None`: nobody knows the path of the file.
    path: Option<PathBuf>,
    /// The second path, of an operation on two.
    to: Option<PathBuf>,
    /// The error of the system.
    error: io::Error,
    /// A sentence about what the system's error may mean.
    hint: Option<&'static str>,
}

impl PathError {
    /// Returns the name of the operation.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Returns the path that the operation was made on, or the first one of two; `None` for a file that was
    /// made of a descriptor.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns the number of the system's error, if it has one.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.error.raw_os_error()
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PathError { operation, path, to, error, hint } = self;
        f.write_str(operation)?;
        for path in [path, to].into_iter().flatten() {
            write!(f, " {path:?}")?;
        }
        write!(f, ": {error}")?;
        hint.map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for PathError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Adds the operation and its path to an error.
#[cold]
pub(super) fn of_path(operation: &'static str, path: Option<&Path>, error: io::Error) -> io::Error {
    of_path_with_hint(operation, path, error, None)
}

/// As [`of_path`], with a sentence about what the error may mean.
#[cold]
pub(super) fn of_path_with_hint(
    operation: &'static str,
    path: Option<&Path>,
    error: io::Error,
    hint: Option<&'static str>,
) -> io::Error {
    let path = path.map(Path::to_owned);
    io::Error::new(error.kind(), PathError { operation, path, to: None, error, hint })
}

/// Adds the operation and its two paths to an error.
#[cold]
pub(super) fn of_paths(operation: &'static str, from: &Path, to: &Path, error: io::Error) -> io::Error {
    let (path, to) = (Some(from.to_owned()), Some(to.to_owned()));
    io::Error::new(error.kind(), PathError { operation, path, to, error, hint: None })
}
