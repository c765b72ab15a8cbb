//! An open file.

mod traits;

use std::fs::{Metadata, Permissions};
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, IoSliceMut, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::OpenOptions;
use super::cursor::{Bufs, Shared, Way};
use super::error::{of_path, of_path_with_hint};
use super::sys;
use crate::base::waitlist::WaitKey;
use crate::kernel::blocking::call;
use crate::kernel::files::{self, OpenFile};

/// An open file, on every kind of stack.
///
/// Clones share the descriptor and the cursor; the last one to go closes the file. The [module](super) says
/// what holds for an operation that is given up.
///
/// The operations take `&self`: those of the cursor come one after another, whoever calls them, and those at
/// a position ([`read_at`](File::read_at), [`write_at`](File::write_at)) side by side.
///
/// It implements std's `Read`, `Write` and `Seek`, which block the stack, and futures-io's `AsyncRead`,
/// `AsyncWrite` and `AsyncSeek`, also by reference. Nothing is buffered, so there is nothing to flush.
///
/// # Examples
/// ```
/// use std::io::SeekFrom;
/// use twoply::{Wait, fs::OpenOptions};
///
/// # let path = std::env::temp_dir().join(format!("twoply-doc-file-{}", std::process::id()));
/// let file = OpenOptions::new().read(true).write(true).create(true).open(&path).wait()?;
/// file.write_all(b"hello").wait()?;
/// file.seek(SeekFrom::Start(1)).wait()?;
/// let mut text = Vec::new();
/// file.read_to_end(&mut text).wait()?;
/// assert_eq!(text, b"ello");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct File {
    pub(super) shared: Arc<Shared>,
}

impl File {
    pub(super) fn new(file: OpenFile) -> File {
        File { shared: Arc::new(Shared::new(file)) }
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// The system's, with operation and path.
    ///
    /// # Examples
    /// ```
    /// use std::io::ErrorKind;
    /// use twoply::{Wait, fs::File};
    ///
    /// let error = File::open("/no/such/file").wait().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// assert!(error.to_string().contains("/no/such/file"));
    /// ```
    pub async fn open(path: impl AsRef<Path> + Send) -> io::Result<File> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Opens a file for writing, which is created, or emptied if it is there.
    ///
    /// # Errors
    /// The system's, with operation and path.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-create-{}", std::process::id()));
    /// std::fs::write(&path, "what was there before")?;
    /// let file = File::create(&path).wait()?;
    /// file.write_all(b"new").wait()?;
    /// assert_eq!(std::fs::read(&path)?, b"new");
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn create(path: impl AsRef<Path> + Send) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path).await
    }

    /// Creates a file for reading and writing that must not be there.
    ///
    /// # Errors
    /// The system's, with operation and path.
    ///
    /// # Examples
    /// ```
    /// use std::io::ErrorKind;
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-create-new-{}", std::process::id()));
    /// let lock = File::create_new(&path).wait()?;
    /// let second = File::create_new(&path).wait().unwrap_err();
    /// assert_eq!(second.kind(), ErrorKind::AlreadyExists);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn create_new(path: impl AsRef<Path> + Send) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path).await
    }

    /// Makes it of an open file of std's. The cursor begins where that of `file` is.
    ///
    /// # Examples
    /// ```
    /// use std::io::Read;
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-from-std-{}", std::process::id()));
    /// std::fs::write(&path, "hello")?;
    /// let mut theirs = std::fs::File::open(&path)?;
    /// theirs.read_exact(&mut [0; 2])?;
    /// let ours = twoply::fs::File::from_std(theirs);
    /// assert_eq!(ours.position(), 2);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn from_std(file: std::fs::File) -> File {
        File::new(OpenFile::new(file, None, files::gate()))
    }

    /// Returns a file of std's over a duplicate of the descriptor, whose cursor begins where this one's is.
    ///
    /// # Errors
    /// When the system is out of descriptors.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-to-std-{}", std::process::id()));
    /// std::fs::write(&path, "hello")?;
    /// let ours = File::open(&path).wait()?;
    /// ours.read_exact(&mut [0; 2]).wait()?;
    /// assert_eq!(std::io::read_to_string(ours.to_std()?)?, "llo");
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn to_std(&self) -> io::Result<std::fs::File> {
        let shared = &self.shared;
        let duplicate = || {
            let file = shared.file.make("duplicate", std::fs::File::try_clone)?;
            if shared.has_positions {
                sys::set_cursor(&file, shared.position())?;
            }
            Ok(file)
        };
        duplicate().map_err(|error| self.failed("duplicate", error))
    }

    /// Returns the path that it was opened by; `None` for one that was made of a descriptor.
    ///
    /// # Examples
    /// ```
    /// use std::path::Path;
    /// use twoply::{Wait, fs::File};
    ///
    /// let null = File::open("/dev/null").wait()?;
    /// assert_eq!(null.path(), Some(Path::new("/dev/null")));
    /// assert_eq!(File::from_std(null.to_std()?).path(), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn path(&self) -> Option<&Path> {
        self.shared.file.path()
    }

    pub(super) fn failed(&self, operation: &'static str, error: io::Error) -> io::Error {
        match matches!(operation, "read" | "write") && self.shared.is_refused(&error) {
            true => of_path_with_hint(operation, self.path(), error, Some(WHOLE_BLOCKS)),
            false => of_path(operation, self.path(), error),
        }
    }

    /// Reads at the cursor into `buf`, and returns how many bytes that were: perhaps fewer than there is room
    /// for, and zero at the end, or if `buf` is empty. Cancel-safe.
    ///
    /// # Errors
    /// The system's, with operation and path.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-read-{}", std::process::id()));
    /// std::fs::write(&path, "hello")?;
    /// let file = File::open(&path).wait()?;
    /// let mut buf = [0; 16];
    /// assert_eq!(file.read(&mut buf).wait()?, 5);
    /// assert_eq!(file.read(&mut buf).wait()?, 0, "that was the end");
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        let mut turn = Turn::new(self, Way::Read);
        poll_fn(move |cx| turn.poll_move(cx, Bufs::Read(&mut [IoSliceMut::new(buf)])))
    }

    /// As [`read`](File::read), into several buffers in turn. Cancel-safe.
    ///
    /// # Errors
    /// As `read`.
    ///
    /// # Examples
    /// ```
    /// use std::io::IoSliceMut;
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-read-vectored-{}", std::process::id()));
    /// std::fs::write(&path, "headbody")?;
    /// let (mut head, mut body) = ([0; 4], [0; 4]);
    /// let mut bufs = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut body)];
    /// assert_eq!(File::open(&path).wait()?.read_vectored(&mut bufs).wait()?, 8);
    /// assert_eq!((&head, &body), (b"head", b"body"));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_vectored<'a, 'b>(
        &'a self,
        bufs: &'a mut [IoSliceMut<'b>],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a, 'b> {
        let mut turn = Turn::new(self, Way::Read);
        poll_fn(move |cx| turn.poll_move(cx, Bufs::Read(bufs)))
    }

    /// Reads to the end, appends it to `bytes`, and returns how many bytes that were. What has been read when
    /// it is dropped is in `bytes`.
    ///
    /// # Errors
    /// As [`read`](File::read).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-read-to-end-{}", std::process::id()));
    /// std::fs::write(&path, "world")?;
    /// let mut text = b"hello ".to_vec();
    /// assert_eq!(File::open(&path).wait()?.read_to_end(&mut text).wait()?, 5);
    /// assert_eq!(text, b"hello world");
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn read_to_end(&self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let before = bytes.len();
        let mut chunk = vec![0; CHUNK];
        loop {
            match self.read(&mut chunk).await? {
                0 => return Ok(bytes.len() - before),
                n => bytes.extend_from_slice(&chunk[..n]),
            }
        }
    }

    /// Fills `buf`.
    ///
    /// Not cancel-safe: what had been read when it was dropped is in `buf`, and how much that was is told by
    /// the [position](File::position) alone.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the file ends before; else as
    /// [`read`](File::read).
    ///
    /// # Examples
    /// ```
    /// use std::io::ErrorKind;
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-read-exact-{}", std::process::id()));
    /// std::fs::write(&path, "hello")?;
    /// let file = File::open(&path).wait()?;
    /// let mut buf = [0; 4];
    /// file.read_exact(&mut buf).wait()?;
    /// let error = file.read_exact(&mut buf).wait().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        let mut rest = buf;
        while !rest.is_empty() {
            match self.read(rest).await? {
                0 => return Err(self.failed("read", io::ErrorKind::UnexpectedEof.into())),
                n => rest = &mut rest[n..],
            }
        }
        Ok(())
    }

    /// Writes at the cursor as much of `buf` as the system takes, and returns how many bytes that were. They
    /// are the system's then, which keeps them from everybody but a crash of its own; see
    /// [`sync_all`](File::sync_all).
    ///
    /// One that is dropped has not moved the cursor, so that it can be done again. It may have written some
    /// of its bytes, or all, or do so yet; what the cursor does next comes after that.
    ///
    /// # Errors
    /// The system's, with operation and path, such as [`StorageFull`](io::ErrorKind::StorageFull).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-write-{}", std::process::id()));
    /// let file = File::create_new(&path).wait()?;
    /// let mut rest = &b"hello"[..];
    /// while !rest.is_empty() {
    ///     let written = file.write(rest).wait()?;
    ///     rest = &rest[written..];
    /// }
    /// assert_eq!(std::fs::read(&path)?, b"hello");
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write<'a>(
        &'a self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        let mut turn = Turn::new(self, Way::Write);
        poll_fn(move |cx| turn.poll_move(cx, Bufs::Write(&[IoSlice::new(buf)])))
    }

    /// As [`write`](File::write), from several buffers in turn.
    ///
    /// # Errors
    /// As `write`.
    ///
    /// # Examples
    /// ```
    /// use std::io::IoSlice;
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-write-vectored-{}", std::process::id()));
    /// let file = File::create_new(&path).wait()?;
    /// let bufs = [IoSlice::new(b"head"), IoSlice::new(b"body")];
    /// assert_eq!(file.write_vectored(&bufs).wait()?, 8);
    /// assert_eq!(std::fs::read(&path)?, b"headbody");
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_vectored<'a, 'b>(
        &'a self,
        bufs: &'a [IoSlice<'b>],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a, 'b> {
        let mut turn = Turn::new(self, Way::Write);
        poll_fn(move |cx| turn.poll_move(cx, Bufs::Write(bufs)))
    }

    /// Writes all of `buf`.
    ///
    /// Not cancel-safe: how much of it had been written when it was dropped is told by the
    /// [position](File::position) alone.
    ///
    /// # Errors
    /// As [`write`](File::write).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-write-all-{}", std::process::id()));
    /// let file = File::create_new(&path).wait()?;
    /// file.write_all(b"one ").wait()?;
    /// file.write_all(b"two").wait()?;
    /// assert_eq!((std::fs::read(&path)?, file.position()), (b"one two".to_vec(), 7));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn write_all(&self, buf: &[u8]) -> io::Result<()> {
        let mut rest = buf;
        while !rest.is_empty() {
            match self.write(rest).await? {
                0 => return Err(self.failed("write", io::ErrorKind::WriteZero.into())),
                n => rest = &rest[n..],
            }
        }
        Ok(())
    }

    /// Moves the cursor, when what it does at present is over, and returns the new position in bytes.
    /// Cancel-safe. A file has no end beyond the one that the system knows without asking the device.
    ///
    /// # Errors
    /// [`NotSeekable`](io::ErrorKind::NotSeekable) for a file without positions,
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a position before the first byte.
    ///
    /// # Examples
    /// ```
    /// use std::io::SeekFrom;
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-seek-{}", std::process::id()));
    /// std::fs::write(&path, "hello")?;
    /// let file = File::open(&path).wait()?;
    /// assert_eq!(file.seek(SeekFrom::End(-2)).wait()?, 3);
    /// let mut end = [0; 2];
    /// file.read_exact(&mut end).wait()?;
    /// assert_eq!(&end, b"lo");
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn seek(&self, to: SeekFrom) -> impl Future<Output = io::Result<u64>> + Send + Unpin + use<'_> {
        let mut turn = Turn::new(self, Way::Read);
        poll_fn(move |cx| {
            let sought = turn.file.shared.poll_seek(&mut turn.key, cx, to);
            sought.map_err(|error| turn.file.failed("seek in", error))
        })
    }

    /// Returns the position of the cursor, in bytes.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-position-{}", std::process::id()));
    /// let file = File::create_new(&path).wait()?;
    /// file.write_all(b"hello").wait()?;
    /// assert_eq!(file.position(), 5);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn position(&self) -> u64 {
        self.shared.position()
    }

    /// Cuts the file off, or extends it with zeros, to a length in bytes. The cursor stays where it is.
    ///
    /// # Errors
    /// The system's, with operation and path.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-set-len-{}", std::process::id()));
    /// let file = File::create_new(&path).wait()?;
    /// file.write_all(b"hello").wait()?;
    /// file.set_len(2).wait()?;
    /// file.set_len(4).wait()?;
    /// assert_eq!((std::fs::read(&path)?, file.position()), (b"he\0\0".to_vec(), 5));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn set_len(&self, length: u64) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let set = move |file: &std::fs::File| {
            let set = file.set_len(length);
            shared.changed();
            set
        };
        self.call("set the length of", set).await
    }

    /// Returns what the system knows of the file: its length, its permissions, its times.
    ///
    /// # Errors
    /// The system's, with operation and path.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-metadata-{}", std::process::id()));
    /// std::fs::write(&path, "hello")?;
    /// let metadata = File::open(&path).wait()?.metadata().wait()?;
    /// assert!(metadata.is_file() && metadata.len() == 5);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn metadata(&self) -> io::Result<Metadata> {
        self.call("look at", |file| file.metadata()).await
    }

    /// Changes the permissions of the file.
    ///
    /// # Errors
    /// The system's, with operation and path.
    ///
    /// # Examples
    /// ```
    /// use std::os::unix::fs::PermissionsExt;
    /// use twoply::{Wait, fs::{File, Permissions}};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-set-permissions-{}", std::process::id()));
    /// let file = File::create_new(&path).wait()?;
    /// file.set_permissions(Permissions::from_mode(0o600)).wait()?;
    /// assert_eq!(file.metadata().wait()?.permissions().mode() & 0o777, 0o600);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.call("set the permissions of", |file| file.set_permissions(permissions)).await
    }

    /// Moves bytes at the cursor for a poll function.
    fn poll_move(&self, cx: &mut Context<'_>, way: Way, bufs: Bufs<'_, '_>) -> Poll<io::Result<usize>> {
        let shared = &self.shared;
        let moved = shared.with_place(way, |key| shared.poll_move(key, None, cx, bufs));
        moved.map_err(|error| self.failed(way.operation(), error))
    }

    async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        make: impl FnOnce(&std::fs::File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let file = Arc::clone(&self.shared.file);
        call(move || file.make(operation, make)).await.map_err(|error| self.failed(operation, error))
    }
}

/// The hint where the device refuses an operation.
const WHOLE_BLOCKS: &str =
    "a file that is opened with O_DIRECT moves whole blocks of its device, at multiples of their size";

/// The number of bytes that [`File::read_to_end`] reads at a time.
const CHUNK: usize = 64 * 1024;

/// The place of a future among those who wait for the cursor, which it leaves when it is dropped.
pub(super) struct Turn<'a> {
    file: &'a File,
    pub(super) key: WaitKey,
    way: Way,
    /// The number of the background operation that it has begun last; 0: none.
    started: u64,
}

impl<'a> Turn<'a> {
    pub(super) fn new(file: &'a File, way: Way) -> Turn<'a> {
        Turn { file, key: WaitKey::new(), way, started: 0 }
    }

    fn poll_move(&mut self, cx: &mut Context<'_>, bufs: Bufs<'_, '_>) -> Poll<io::Result<usize>> {
        let Turn { file, key, way, started } = self;
        let moved = ready!(file.shared.poll_move(key, Some(started), cx, bufs));
        Poll::Ready(moved.map_err(|error| file.failed(way.operation(), error)))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let shared = &self.file.shared;
        shared.leave(&mut self.key);
        shared.give_up(self.way, self.started);
    }
}
