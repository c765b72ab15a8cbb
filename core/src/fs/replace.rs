//! Files that are replaced as a whole or not at all.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::paths::in_steps;
use super::sys;
use crate::kernel::files::{FileCall, Gate, OpenFile, sync};

/// Replaces the content of a file in one step: whoever opens the path, at any time and also after a crash of
/// the machine, finds all of the old file or all of `bytes`.
///
/// A temporary file in the same directory is written and synced, renamed, and the directory is synced. It has
/// the permissions of the old file; a symbolic link is replaced by a file. Where anything fails, the
/// temporary file is removed.
///
/// Dropping the future when it has begun does not stop it: the file is replaced, or left as it was.
///
/// # Errors
/// The system's, with operation and path; [`InvalidInput`](io::ErrorKind::InvalidInput) for a path that ends
/// in no name. The old file is as it was, unless it is the sync of the directory that has failed.
///
/// # Examples
/// ```
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-replace-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let settings = dir.join("settings");
/// fs::replace(&settings, "colour = blue").wait()?;
/// fs::replace(&settings, "colour = red").wait()?;
/// assert_eq!(fs::read_to_string(&settings).wait()?, "colour = red");
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn replace(path: impl AsRef<Path> + Send, bytes: impl AsRef<[u8]> + Send) -> io::Result<()> {
    let bytes = bytes.as_ref().to_vec();
    in_steps("replace", path.as_ref(), move |path, gate| replace_now(path, &bytes, gate)).await
}

fn replace_now(path: &Path, bytes: &[u8], gate: &Gate) -> io::Result<()> {
    let no_name = || io::Error::new(io::ErrorKind::InvalidInput, "the path ends in no name of a file");
    path.file_name().ok_or_else(no_name)?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let (temporary, file) = Temporary::create(directory, gate)?;
    sys::write_all(&file, bytes)?;
    match gate.make(FileCall::new("look at", Some(path)), || fs::metadata(path)) {
        Ok(old) => file.make("set the permissions of", |file| file.set_permissions(old.permissions()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    sync(&file, false)?;
    temporary.rename(path, gate)?;
    sync(&OpenFile::open(OpenOptions::new().read(true), directory, gate)?, false)
}

/// A file that is removed unless it is renamed.
struct Temporary(Option<PathBuf>);

impl Temporary {
    /// Creates one that nobody else has. Its name has the number of the process, so that two programs meet
    /// only where one has left something behind.
    fn create(directory: &Path, gate: &Gate) -> io::Result<(Temporary, OpenFile)> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Relaxed);
            let path = directory.join(format!(".twoply-{}-{count}.tmp", std::process::id()));
            match OpenFile::open(OpenOptions::new().write(true).create_new(true), &path, gate) {
                Ok(file) => return Ok((Temporary(Some(path)), file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn rename(mut self, to: &Path, gate: &Gate) -> io::Result<()> {
        if let Some(path) = &self.0 {
            let call = FileCall { to: Some(to), ..FileCall::new("rename", Some(path)) };
            gate.make(call, || fs::rename(path, to))?;
        }
        self.0 = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // An error here is not told: another one is being told already.
            let _ = fs::remove_file(path);
        }
    }
}
