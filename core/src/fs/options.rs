//! The ways in which a file is opened.

use std::fmt;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::File;
use super::error::of_path;
use crate::kernel::blocking::call;
use crate::kernel::files::{OpenFile, gate};

/// The ways in which a file can be opened, as std's `OpenOptions`.
///
/// # Examples
/// ```
/// use twoply::{Wait, fs::OpenOptions};
///
/// # let path = std::env::temp_dir().join(format!("twoply-doc-options-{}", std::process::id()));
/// let log = OpenOptions::new().append(true).create(true).open(&path).wait()?;
/// log.write_all(b"one more line\n").wait()?;
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct OpenOptions(std::fs::OpenOptions);

impl OpenOptions {
    /// Returns options with everything switched off.
    #[allow(clippy::new_without_default, reason = "std's type has no default either")]
    pub fn new() -> OpenOptions {
        OpenOptions(std::fs::OpenOptions::new())
    }

    /// Sets whether the file can be read. [`create`](OpenOptions::create) has an example.
    pub fn read(&mut self, read: bool) -> &mut OpenOptions {
        self.0.read(read);
        self
    }

    /// Sets whether the file can be written.
    pub fn write(&mut self, write: bool) -> &mut OpenOptions {
        self.0.write(write);
        self
    }

    /// Sets whether each write goes to the end of the file, wherever the cursor is.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::OpenOptions};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-append-{}", std::process::id()));
    /// let one = OpenOptions::new().append(true).create(true).open(&path).wait()?;
    /// let other = OpenOptions::new().append(true).open(&path).wait()?;
    /// one.write_all(b"one ").wait()?;
    /// other.write_all(b"other ").wait()?;
    /// one.write_all(b"one").wait()?;
    /// assert_eq!(std::fs::read(&path)?, b"one other one");
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn append(&mut self, append: bool) -> &mut OpenOptions {
        self.0.append(append);
        self
    }

    /// Sets whether a file that is there is emptied.
    pub fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
        self.0.truncate(truncate);
        self
    }

    /// Sets whether a file that is not there is created.
    ///
    /// # Examples
    /// ```
    /// use std::io::ErrorKind;
    /// use twoply::{Wait, fs::OpenOptions};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-options-create-{}", std::process::id()));
    /// let mut options = OpenOptions::new();
    /// options.read(true).write(true);
    /// assert_eq!(options.open(&path).wait().unwrap_err().kind(), ErrorKind::NotFound);
    /// let file = options.create(true).open(&path).wait()?;
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn create(&mut self, create: bool) -> &mut OpenOptions {
        self.0.create(create);
        self
    }

    /// Sets whether the file must not be there, and is created, in one step.
    pub fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
        self.0.create_new(create_new);
        self
    }

    /// Sets the permissions of a file that is created, before the mask of the process is applied.
    ///
    /// # Examples
    /// ```
    /// use std::os::unix::fs::PermissionsExt;
    /// use twoply::{Wait, fs::OpenOptions};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-mode-{}", std::process::id()));
    /// let secret = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).wait()?;
    /// assert_eq!(secret.metadata().wait()?.permissions().mode() & 0o077, 0);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.0.mode(mode);
        self
    }

    /// Sets flags of `open(2)` beside those that the other options set.
    ///
    /// With `O_DIRECT`, each read and write waits for the device, and moves whole blocks of it (512 bytes or
    /// 4 KiB) at multiples of their size; at the end of the file, a read brings what is left. The buffer need
    /// not be aligned: one that does not suit the device is copied, as all are on a stack that may not block.
    pub fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.0.custom_flags(flags);
        self
    }

    /// Opens the file at the path.
    ///
    /// Dropping the future when the file is being opened does not stop that: it is closed at once then, and
    /// may have been created or emptied.
    ///
    /// # Errors
    /// The system's, with operation and path; [`InvalidInput`](io::ErrorKind::InvalidInput) for options that
    /// contradict each other, and for a NUL in the path.
    ///
    /// # Examples
    /// ```
    /// use std::io::ErrorKind;
    /// use twoply::{Wait, fs::OpenOptions};
    ///
    /// let neither = OpenOptions::new().open("/etc/hostname").wait().unwrap_err();
    /// assert_eq!(neither.kind(), ErrorKind::InvalidInput, "it is neither to be read nor written");
    /// ```
    pub async fn open(&self, path: impl AsRef<Path> + Send) -> io::Result<File> {
        let (options, path, gate) = (self.0.clone(), path.as_ref().to_owned(), gate());
        let open = move || match OpenFile::open(&options, &path, &gate) {
            Ok(file) => Ok(File::new(file)),
            Err(error) => Err(of_path("open", Some(&path), error)),
        };
        call(open).await
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
