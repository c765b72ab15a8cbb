//! Operations on paths, each made as a whole where it may block.

use std::fs::{self, Metadata, OpenOptions, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use super::error::{of_path, of_paths};
use super::sys;
use crate::kernel::blocking::call;
use crate::kernel::files::{FileCall, Gate, OpenFile, gate, sync};

/// Makes `make` with the path, where it may block: a function that asks about each of its calls.
pub(super) async fn in_steps<T: Send + 'static>(
    operation: &'static str,
    path: &Path,
    make: impl FnOnce(&Path, &Gate) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (owned, gate) = (path.to_owned(), gate());
    // Out here, where a pool that refuses the call is told in the same way.
    call(move || make(&owned, &gate)).await.map_err(|error| of_path(operation, Some(path), error))
}

/// Makes one call with the path, where it may block.
async fn on_path<T: Send + 'static>(
    operation: &'static str,
    path: &Path,
    make: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let make = move |path: &Path, gate: &Gate| gate.make(FileCall::new(operation, Some(path)), || make(path));
    in_steps(operation, path, make).await
}

/// Makes one call with two paths, where it may block.
async fn on_paths<T: Send + 'static>(
    operation: &'static str,
    from: &Path,
    to: &Path,
    make: impl FnOnce(&Path, &Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (one, other, gate) = (from.to_owned(), to.to_owned(), gate());
    let make = move || {
        let call = FileCall { to: Some(&other), ..FileCall::new(operation, Some(&one)) };
        gate.make(call, || make(&one, &other))
    };
    call(make).await.map_err(|error| of_paths(operation, from, to, error))
}

/// Reads a whole file.
///
/// # Errors
/// The system's, with operation and path.
///
/// # Examples
/// ```
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-read-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let path = dir.join("greeting");
/// fs::write(&path, "hello").wait()?;
/// assert_eq!(fs::read(&path).wait()?, b"hello");
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn read(path: impl AsRef<Path> + Send) -> io::Result<Vec<u8>> {
    in_steps("read", path.as_ref(), sys::read_file).await
}

/// Reads a whole file as text.
///
/// # Errors
/// The system's, with operation and path; [`InvalidData`](io::ErrorKind::InvalidData) when it is no UTF-8.
///
/// # Examples
/// ```
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-read-to-string-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let path = dir.join("greeting");
/// fs::write(&path, "hello").wait()?;
/// assert_eq!(fs::read_to_string(&path).wait()?, "hello");
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn read_to_string(path: impl AsRef<Path> + Send) -> io::Result<String> {
    let read = |path: &Path, gate: &Gate| {
        let no_text = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        String::from_utf8(sys::read_file(path, gate)?).map_err(no_text)
    };
    in_steps("read", path.as_ref(), read).await
}

/// Writes a whole file, which is created, or has its former content replaced. A program that is cut off in
/// the middle leaves a part of it; [`replace`](super::replace()) does not.
///
/// Once polled it is done to its end, also when the future is dropped: perhaps later, if threads are busy. A
/// second write to the same path that begins before that is over may mix with it.
///
/// # Errors
/// The system's, with operation and path. The former content is gone then, and some of the new one may have
/// been written.
///
/// # Examples
/// ```
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-write-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let path = dir.join("log");
/// fs::write(&path, "a first version").wait()?;
/// fs::write(&path, b"a second").wait()?;
/// assert_eq!(fs::read(&path).wait()?, b"a second");
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn write(path: impl AsRef<Path> + Send, bytes: impl AsRef<[u8]> + Send) -> io::Result<()> {
    let bytes = bytes.as_ref().to_vec();
    in_steps("write", path.as_ref(), move |path, gate| write_now(path, &bytes, gate).map(drop)).await
}

/// Writes a whole file, as [`write`](write()) does, and has the system write all of it to the device.
///
/// It is one operation. A [`File`](super::File) that is created, written and
/// [synced](super::File::sync_all) takes three, each of which may wait for a thread. As there, the name of a
/// file that is new is on the device when its directory is synced, too; [`replace`](super::replace()) does
/// that, and leaves the former content in place until the new one is there.
///
/// Once polled it is done to its end, also when the future is dropped: perhaps later, if threads are busy. A
/// second write to the same path that begins before that is over may mix with it.
///
/// # Errors
/// The system's, with operation and path. The former content is gone then, and some of the new one may have
/// been written.
///
/// # Examples
/// ```
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-write-synced-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let path = dir.join("journal");
/// fs::write_synced(&path, "an entry").wait()?;
/// assert_eq!(fs::read(&path).wait()?, b"an entry");
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn write_synced(path: impl AsRef<Path> + Send, bytes: impl AsRef<[u8]> + Send) -> io::Result<()> {
    let bytes = bytes.as_ref().to_vec();
    let write = move |path: &Path, gate: &Gate| sync(&write_now(path, &bytes, gate)?, false);
    in_steps("write and sync", path.as_ref(), write).await
}

/// Creates the file, or empties it, and writes `bytes` to it.
fn write_now(path: &Path, bytes: &[u8], gate: &Gate) -> io::Result<OpenFile> {
    let file = OpenFile::open(OpenOptions::new().write(true).create(true).truncate(true), path, gate)?;
    sys::write_all(&file, bytes)?;
    Ok(file)
}

/// Copies the content and the permissions of a file, and returns the number of bytes.
///
/// # Errors
/// The system's, with operation and paths; a part of the copy may be there then.
///
/// # Examples
/// ```
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-copy-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let (from, to) = (dir.join("original"), dir.join("copy"));
/// fs::write(&from, "hello").wait()?;
/// assert_eq!(fs::copy(&from, &to).wait()?, 5);
/// assert_eq!(fs::read(&to).wait()?, b"hello");
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn copy(from: impl AsRef<Path> + Send, to: impl AsRef<Path> + Send) -> io::Result<u64> {
    on_paths("copy", from.as_ref(), to.as_ref(), |from, to| fs::copy(from, to)).await
}

/// Gives a file or directory another name, in place of what has that name, if there is something.
///
/// # Errors
/// The system's, with operation and paths.
///
/// # Examples
/// ```
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-rename-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let (draft, report) = (dir.join("draft"), dir.join("report"));
/// fs::write(&draft, "it is done").wait()?;
/// fs::rename(&draft, &report).wait()?;
/// assert!(!fs::exists(&draft).wait()? && fs::exists(&report).wait()?);
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn rename(from: impl AsRef<Path> + Send, to: impl AsRef<Path> + Send) -> io::Result<()> {
    on_paths("rename", from.as_ref(), to.as_ref(), |from, to| fs::rename(from, to)).await
}

/// Removes a file, or a symbolic link.
///
/// # Errors
/// The system's, with operation and path.
///
/// # Examples
/// ```
/// use std::io::ErrorKind;
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-remove-file-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let path = dir.join("rubbish");
/// fs::write(&path, "").wait()?;
/// fs::remove_file(&path).wait()?;
/// let error = fs::remove_file(&path).wait().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert!(error.to_string().contains("rubbish"));
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn remove_file(path: impl AsRef<Path> + Send) -> io::Result<()> {
    on_path("remove", path.as_ref(), |path| fs::remove_file(path)).await
}

/// Removes an empty directory.
///
/// # Errors
/// The system's, with operation and path.
///
/// # Examples
/// ```
/// use std::io::ErrorKind;
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-remove-dir-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let inner = dir.join("inner");
/// fs::create_dir(&inner).wait()?;
/// assert_eq!(fs::remove_dir(&dir).wait().unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
/// fs::remove_dir(&inner).wait()?;
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn remove_dir(path: impl AsRef<Path> + Send) -> io::Result<()> {
    on_path("remove", path.as_ref(), |path| fs::remove_dir(path)).await
}

/// Removes a directory with all that is in it. Symbolic links in it are removed and not followed.
///
/// # Errors
/// The system's, with operation and path; a part of it may be gone then.
///
/// # Examples
/// ```
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-remove-dir-all-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let tree = dir.join("tree");
/// fs::create_dir_all(tree.join("a/b")).wait()?;
/// fs::remove_dir_all(&tree).wait()?;
/// assert!(!fs::exists(&tree).wait()?);
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn remove_dir_all(path: impl AsRef<Path> + Send) -> io::Result<()> {
    on_path("remove", path.as_ref(), |path| fs::remove_dir_all(path)).await
}

/// Creates a directory.
///
/// # Errors
/// The system's, with operation and path.
///
/// # Examples
/// ```
/// use std::io::ErrorKind;
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-create-dir-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let inner = dir.join("inner");
/// fs::create_dir(&inner).wait()?;
/// assert_eq!(fs::create_dir(&inner).wait().unwrap_err().kind(), ErrorKind::AlreadyExists);
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn create_dir(path: impl AsRef<Path> + Send) -> io::Result<()> {
    on_path("create", path.as_ref(), |path| fs::create_dir(path)).await
}

/// Creates a directory, and those above it that are not there.
///
/// # Errors
/// The system's, with operation and path; some of them may be there then.
///
/// # Examples
/// ```
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-create-dir-all-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// fs::create_dir_all(dir.join("a/b")).wait()?;
/// assert!(fs::metadata(dir.join("a/b")).wait()?.is_dir());
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn create_dir_all(path: impl AsRef<Path> + Send) -> io::Result<()> {
    on_path("create", path.as_ref(), |path| fs::create_dir_all(path)).await
}

/// Gives the file `original` a second name, `link`.
///
/// # Errors
/// The system's, with operation and paths.
///
/// # Examples
/// ```
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-hard-link-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let (first, second) = (dir.join("first"), dir.join("second"));
/// fs::write(&first, "hello").wait()?;
/// fs::hard_link(&first, &second).wait()?;
/// fs::remove_file(&first).wait()?;
/// assert_eq!(fs::read(&second).wait()?, b"hello");
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn hard_link(original: impl AsRef<Path> + Send, link: impl AsRef<Path> + Send) -> io::Result<()> {
    on_paths("link", original.as_ref(), link.as_ref(), |original, link| fs::hard_link(original, link)).await
}

/// Creates a symbolic link to `original`, which need not exist.
///
/// # Errors
/// The system's, with operation and paths.
///
/// # Examples
/// ```
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-symlink-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let (file, link) = (dir.join("file"), dir.join("link"));
/// fs::symlink("file", &link).wait()?;
/// assert!(!fs::exists(&link).wait()?, "it leads nowhere yet");
/// fs::write(&file, "hello").wait()?;
/// assert_eq!(fs::read(&link).wait()?, b"hello");
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn symlink(original: impl AsRef<Path> + Send, link: impl AsRef<Path> + Send) -> io::Result<()> {
    let make = |original: &Path, link: &Path| std::os::unix::fs::symlink(original, link);
    on_paths("link", original.as_ref(), link.as_ref(), make).await
}

/// Returns where a symbolic link leads.
///
/// # Errors
/// The system's, with operation and path.
///
/// # Examples
/// ```
/// use std::path::Path;
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-read-link-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let link = dir.join("link");
/// fs::symlink("somewhere", &link).wait()?;
/// assert_eq!(fs::read_link(&link).wait()?, Path::new("somewhere"));
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn read_link(path: impl AsRef<Path> + Send) -> io::Result<PathBuf> {
    on_path("read the link", path.as_ref(), |path| fs::read_link(path)).await
}

/// Returns the absolute path of what is there, without symbolic links and `..`.
///
/// # Errors
/// The system's, with operation and path.
///
/// # Examples
/// ```
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-canonicalize-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let here = fs::canonicalize(&dir).wait()?;
/// assert_eq!(fs::canonicalize(dir.join(".").join("..").join(&here)).wait()?, here);
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn canonicalize(path: impl AsRef<Path> + Send) -> io::Result<PathBuf> {
    on_path("resolve", path.as_ref(), |path| fs::canonicalize(path)).await
}

/// Returns what the system knows of a file: its length, its permissions, its times.
///
/// # Errors
/// The system's, with operation and path.
///
/// # Examples
/// ```
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-metadata-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let path = dir.join("greeting");
/// fs::write(&path, "hello").wait()?;
/// assert_eq!(fs::metadata(&path).wait()?.len(), 5);
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn metadata(path: impl AsRef<Path> + Send) -> io::Result<Metadata> {
    on_path("look at", path.as_ref(), |path| fs::metadata(path)).await
}

/// As [`metadata`], but of a symbolic link itself.
///
/// # Errors
/// As [`metadata`].
///
/// # Examples
/// ```
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-symlink-metadata-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let link = dir.join("link");
/// fs::symlink(".", &link).wait()?;
/// assert!(fs::metadata(&link).wait()?.is_dir());
/// assert!(fs::symlink_metadata(&link).wait()?.is_symlink());
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn symlink_metadata(path: impl AsRef<Path> + Send) -> io::Result<Metadata> {
    on_path("look at", path.as_ref(), |path| fs::symlink_metadata(path)).await
}

/// Returns whether there is something at the path; a symbolic link that leads nowhere counts as nothing.
///
/// # Errors
/// When that cannot be found out, such as for want of permissions.
///
/// # Examples
/// ```
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-exists-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// assert!(fs::exists(&dir).wait()?);
/// assert!(!fs::exists(dir.join("nothing")).wait()?);
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn exists(path: impl AsRef<Path> + Send) -> io::Result<bool> {
    on_path("look at", path.as_ref(), |path| fs::exists(path)).await
}

/// Changes the permissions of a file or directory.
///
/// # Errors
/// The system's, with operation and path.
///
/// # Examples
/// ```
/// use std::{fs::Permissions, os::unix::fs::PermissionsExt};
/// use twoply::{Wait, fs};
///
/// # let dir = std::env::temp_dir().join(format!("twoply-doc-set-permissions-{}", std::process::id()));
/// # fs::create_dir_all(&dir).wait()?;
/// let path = dir.join("secret");
/// fs::write(&path, "hush").wait()?;
/// fs::set_permissions(&path, Permissions::from_mode(0o400)).wait()?;
/// assert!(fs::metadata(&path).wait()?.permissions().readonly());
/// # fs::remove_dir_all(&dir).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn set_permissions(path: impl AsRef<Path> + Send, permissions: Permissions) -> io::Result<()> {
    on_path("set the permissions of", path.as_ref(), |path| fs::set_permissions(path, permissions)).await
}
