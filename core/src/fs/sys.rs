//! The calls to the operating system on open files, made on the stack that asks. Those of
//! [`files`](crate::kernel::files) are made elsewhere.

use std::fs::OpenOptions;
use std::io::{self, IoSlice, IoSliceMut};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, FileType, OFlags, StatxFlags, fcntl_getfl, statx};
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2};

use crate::kernel::files::{Gate, OpenFile, retry};
use crate::kernel::io::{MOST_BUFFERS, room};

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
    /// True if the device itself moves the bytes, from and to memory of the caller's (`O_DIRECT`).
    pub(super) is_direct: bool,
}

/// Asks for the facts of a file.
pub(super) fn facts(file: &OpenFile) -> Facts {
    let flags = fcntl_getfl(file).unwrap_or(OFlags::empty());
    Facts {
        position: rustix::fs::tell(file).ok(),
        appends: flags.contains(OFlags::APPEND),
        syncs: flags.intersects(OFlags::DSYNC | OFlags::SYNC),
        is_direct: flags.contains(OFlags::DIRECT),
    }
}

/// Moves the system's own cursor, for others who use the descriptor.
pub(super) fn set_cursor(file: &std::fs::File, position: u64) -> io::Result<()> {
    rustix::fs::seek(file, rustix::fs::SeekFrom::Start(position))?;
    Ok(())
}

/// Returns the length of a file, as far as the system knows it without waiting.
pub(super) fn length(file: &OpenFile) -> io::Result<u64> {
    let known = statx(file, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::SIZE)?;
    match FileType::from_raw_mode(u32::from(known.stx_mode)) {
        FileType::RegularFile | FileType::Directory => Ok(known.stx_size),
        _ => Ok(rustix::fs::seek(file, rustix::fs::SeekFrom::End(0))?),
    }
}

/// Reads, and waits for the device if it must.
pub(super) fn read(file: &OpenFile, at: u64, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    retry(|| {
        read_by(file, Some(at), bufs, true, |bufs| match bufs {
            [buf] => rustix::io::pread(file, &mut buf[..], at),
            bufs => rustix::io::preadv(file, bufs, at),
        })
    })
}

/// Writes, and waits for the device if it must.
pub(super) fn write(file: &OpenFile, at: u64, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    retry(|| {
        write_by(file, Some(at), bufs, true, |bufs| match bufs {
            [buf] => rustix::io::pwrite(file, buf, at),
            bufs => rustix::io::pwritev(file, bufs, at),
        })
    })
}

/// Reads all of a file.
pub(super) fn read_file(path: &Path, gate: &Gate) -> io::Result<Vec<u8>> {
    let file = OpenFile::open(OpenOptions::new().read(true), path, gate)?;
    // A hint: the file may grow, and some that have bytes say that they have none.
    let length = rustix::fs::fstat(&file).map_or(0, |known| usize::try_from(known.st_size).unwrap_or(0));
    let mut bytes = Vec::new();
    // With room for one more byte, the read that finds the end needs no other memory.
    bytes.try_reserve_exact(length.saturating_add(1))?;
    while read_more(&file, &mut bytes)? > 0 {}
    Ok(bytes)
}

/// Reads what comes next, and appends it.
fn read_more(file: &OpenFile, bytes: &mut Vec<u8>) -> io::Result<usize> {
    if bytes.len() == bytes.capacity() {
        bytes.try_reserve(1)?;
    }
    retry(|| {
        let (at, room) = (bytes.len() as u64, bytes.capacity() - bytes.len());
        let Some(most) = file.most("read", Some(at), || room, true)? else {
            return Ok(rustix::io::read(file, spare_capacity(bytes))?);
        };
        let mut part = vec![0; most.min(room)];
        let read = rustix::io::read(file, &mut part[..])?;
        bytes.extend_from_slice(&part[..read]);
        Ok(read)
    })
}

/// Writes all of `bytes`, one part after another.
pub(super) fn write_all(file: &OpenFile, bytes: &[u8]) -> io::Result<()> {
    let mut at = 0;
    while at < bytes.len() {
        let rest = [IoSlice::new(&bytes[at..])];
        let write = || write_by(file, Some(at as u64), &rest, true, |bufs| rustix::io::writev(file, bufs));
        match retry(write)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => at += n,
        }
    }
    Ok(())
}

/// Reads by `call`, into as much of the buffers as the world of the file lets it.
#[inline]
fn read_by(
    file: &OpenFile,
    at: Option<u64>,
    bufs: &mut [IoSliceMut<'_>],
    may_wait: bool,
    call: impl FnOnce(&mut [IoSliceMut<'_>]) -> rustix::io::Result<usize>,
) -> io::Result<usize> {
    let count = bufs.len().min(MOST_BUFFERS);
    let read = match file.most("read", at, || room(bufs), may_wait)? {
        None => call(&mut bufs[..count]),
        Some(most) => match bufs.iter_mut().find(|buf| !buf.is_empty()) {
            Some(buf) => {
                let most = most.min(buf.len());
                call(&mut [IoSliceMut::new(&mut buf[..most])])
            }
            None => Ok(0),
        },
    };
    Ok(read?)
}

/// Writes by `call`, as much of the buffers as the world of the file lets it.
#[inline]
fn write_by(
    file: &OpenFile,
    at: Option<u64>,
    bufs: &[IoSlice<'_>],
    may_wait: bool,
    call: impl FnOnce(&[IoSlice<'_>]) -> rustix::io::Result<usize>,
) -> io::Result<usize> {
    let count = bufs.len().min(MOST_BUFFERS);
    let written = match file.most("write", at, || room(bufs), may_wait)? {
        None => call(&bufs[..count]),
        Some(most) => match bufs.iter().find(|buf| !buf.is_empty()) {
            Some(buf) => call(&[IoSlice::new(&buf[..most.min(buf.len())])]),
            None => Ok(0),
        },
    };
    Ok(written?)
}

/// A thing that a file can do without waiting, until the system says that it cannot. Relaxed: a hint.
pub(super) struct Knack(AtomicBool);

impl Knack {
    pub(super) fn new(hoped_for: bool) -> Knack {
        Knack(AtomicBool::new(hoped_for))
    }

    /// Makes `call`; `None` if it would have to wait, or nobody knows.
    fn try_now(&self, call: impl FnMut() -> io::Result<usize>) -> Option<io::Result<usize>> {
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
    file: &OpenFile,
    at: Option<u64>,
    bufs: &mut [IoSliceMut<'_>],
) -> Option<io::Result<usize>> {
    let offset = at.unwrap_or(NO_POSITION);
    let call = |bufs: &mut [IoSliceMut<'_>]| preadv2(file, bufs, offset, ReadWriteFlags::NOWAIT);
    knack.try_now(|| read_by(file, at, bufs, false, call))
}

/// Writes what the system takes without waiting; `None` if it takes nothing so.
pub(super) fn write_now(
    knack: &Knack,
    file: &OpenFile,
    at: Option<u64>,
    bufs: &[IoSlice<'_>],
) -> Option<io::Result<usize>> {
    let offset = at.unwrap_or(NO_POSITION);
    let call = |bufs: &[IoSlice<'_>]| pwritev2(file, bufs, offset, ReadWriteFlags::NOWAIT);
    knack.try_now(|| write_by(file, at, bufs, false, call))
}
