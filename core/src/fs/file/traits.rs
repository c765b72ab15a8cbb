//! The traits of others that a file implements.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::super::cursor::{Bufs, Way};
use super::File;
use crate::kernel::Wait;

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> File {
        File::from_std(file)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.file.as_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("path", &self.path()).field("fd", &self.as_fd()).finish_non_exhaustive()
    }
}

/// Implements the traits of std and futures-io for a type that is a file, or refers to one.
macro_rules! impl_io {
    ($kind:ty) => {
        impl io::Read for $kind {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                File::read(self, buf).wait()
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                File::read_vectored(self, bufs).wait()
            }
        }

        impl io::Write for $kind {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                File::write(self, buf).wait()
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                File::write_vectored(self, bufs).wait()
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl io::Seek for $kind {
            fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
                File::seek(self, to).wait()
            }
        }

        impl futures_io::AsyncRead for $kind {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.poll_read_vectored(cx, &mut [IoSliceMut::new(buf)])
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                self.poll_move(cx, Way::Read, Bufs::Read(bufs))
            }
        }

        impl futures_io::AsyncWrite for $kind {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                self.poll_write_vectored(cx, &[IoSlice::new(buf)])
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.poll_move(cx, Way::Write, Bufs::Write(bufs))
            }

            fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            /// Waits until the writes are over. The file is closed when its last handle is dropped.
            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let shared = &self.shared;
                shared.with_place(Way::Write, |key| shared.poll_idle(key, cx)).map(Ok)
            }
        }

        impl futures_io::AsyncSeek for $kind {
            fn poll_seek(self: Pin<&mut Self>, cx: &mut Context<'_>, to: SeekFrom) -> Poll<io::Result<u64>> {
                let shared = &self.shared;
                let sought = shared.with_place(Way::Read, |key| shared.poll_seek(key, cx, to));
                sought.map_err(|error| self.failed("seek in", error))
            }
        }
    };
}

impl_io!(File);
impl_io!(&File);
