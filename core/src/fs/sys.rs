//! The calls to the operating system on open files, made on the stack that asks. Those of
//! [`files`](crate::kernel::files) are made elsewhere.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::{AtFlags, FileType, OFlags, StatxFlags, fcntl_getfl, statx};
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2};

use crate::kernel::files::retry;
use crate::kernel::io::MOST_BUFFERS;

/// The offset that stands for the system's own cursor.
const NO_POSITION: u64 = u64::MAX;

/// The facts that the system tells of an open file when it is first seen.
pub(super) struct Facts {
    /// The system's own cursor; `None`: the file has no positions.
    pub(super) position: Option<u64>,
    /// True if each write goes to the end.
    pub(super) appends: bool,
    /// True if a write waits for the device.
    pub(super) syncs: bool,
}

/// Asks for the facts of a file.
pub(super) fn facts(file: &File) -> Facts {
    let flags = fcntl_getfl(file).unwrap_or(OFlags::empty());
    Facts {
        position: rustix::fs::tell(file).ok(),
        appends: flags.contains(OFlags::APPEND),
        syncs: flags.intersects(OFlags::DSYNC | OFlags::SYNC),
    }
}

/// Moves the system's own cursor, for others who use the descriptor.
pub(super) fn set_cursor(file: &File, position: u64) -> io::Result<()> {
    rustix::fs::seek(file, rustix::fs::SeekFrom::Start(position))?;
    Ok(())
}

/// Returns the length of a file, as far as the system knows it without waiting.
pub(super) fn length(file: &File) -> io::Result<u64> {
    let known = statx(file, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::SIZE)?;
    match FileType::from_raw_mode(u32::from(known.stx_mode)) {
        FileType::RegularFile | FileType::Directory => Ok(known.stx_size),
        _ => Ok(rustix::fs::seek(file, rustix::fs::SeekFrom::End(0))?),
    }
}

/// Reads, and waits for the device if it must.
pub(super) fn read(file: &File, at: u64, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let most = bufs.len().min(MOST_BUFFERS);
    match &mut bufs[..most] {
        [buf] => retry(|| rustix::io::pread(file, &mut buf[..], at)),
        bufs => retry(|| rustix::io::preadv(file, bufs, at)),
    }
}

/// Writes, and waits for the device if it must.
pub(super) fn write(file: &File, at: u64, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    match &bufs[..bufs.len().min(MOST_BUFFERS)] {
        [buf] => retry(|| rustix::io::pwrite(file, buf, at)),
        bufs => retry(|| rustix::io::pwritev(file, bufs, at)),
    }
}

/// A thing that a file can do without waiting, until the system says that it cannot. Relaxed: a hint.
pub(super) struct Knack(AtomicBool);

impl Knack {
    pub(super) fn new(hoped_for: bool) -> Knack {
        Knack(AtomicBool::new(hoped_for))
    }

    /// Makes `call`; `None` if it would have to wait, or nobody knows.
    fn try_now(&self, call: impl FnMut() -> rustix::io::Result<usize>) -> Option<io::Result<usize>> {
        if !self.0.load(Relaxed) {
            return None;
        }
        match retry(call) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error)
                if [Errno::OPNOTSUPP, Errno::INVAL, Errno::NOSYS]
                    .iter()
                    .any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) =>
            {
                self.0.store(false, Relaxed);
                None
            }
            result => Some(result),
        }
    }
}

/// Reads what the system has in memory; `None` if it would have to wait for more.
pub(super) fn read_now(
    knack: &Knack,
    file: &File,
    at: Option<u64>,
    bufs: &mut [IoSliceMut<'_>],
) -> Option<io::Result<usize>> {
    let most = bufs.len().min(MOST_BUFFERS);
    let at = at.unwrap_or(NO_POSITION);
    knack.try_now(|| preadv2(file, &mut bufs[..most], at, ReadWriteFlags::NOWAIT))
}

/// Writes what the system takes without waiting; `None` if it takes nothing so.
pub(super) fn write_now(
    knack: &Knack,
    file: &File,
    at: Option<u64>,
    bufs: &[IoSlice<'_>],
) -> Option<io::Result<usize>> {
    let most = bufs.len().min(MOST_BUFFERS);
    let at = at.unwrap_or(NO_POSITION);
    knack.try_now(|| pwritev2(file, &bufs[..most], at, ReadWriteFlags::NOWAIT))
}
