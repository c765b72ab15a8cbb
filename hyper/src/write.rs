//! hyper's way to write, which is that of futures-io by other names: the same for all streams.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::{ForeignIo, Io};

/// Says that a stream writes as the one inside of it does, and whether hyper had better hand over many pieces
/// at once than copy them together.
macro_rules! writes_as_its_stream {
    ($stream:ident, $is_vectored:literal) => {
        impl<T: futures_io::AsyncWrite + Unpin> hyper::rt::Write for $stream<T> {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                Pin::new(self.get_mut().get_mut()).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(self.get_mut().get_mut()).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                $is_vectored
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(self.get_mut().get_mut()).poll_flush(cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(self.get_mut().get_mut()).poll_close(cx)
            }
        }
    };
}

writes_as_its_stream!(Io, true);
// Many streams take one piece at a time, and none says whether it does.
writes_as_its_stream!(ForeignIo, false);
