//! The traits of std and futures-io for all that is read and written through a
//! [`ByteStream`](crate::kernel::io::ByteStream): sockets, their halves, pipes, streams in memory.

/// Implements std's and futures-io's reading for a type, through the socket that `$socket` finds in it.
macro_rules! impl_read {
    ([$($family:tt)*] $kind:ty, |$this:ident| $socket:expr) => {
        impl<$($family)*> std::io::Read for $kind {
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                let $this = &*self;
                $socket.read_blocking(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                let $this = &*self;
                $socket.read_vectored_blocking(bufs)
            }
        }

        impl<$($family)*> futures_io::AsyncRead for $kind {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $socket.poll_read(cx, buf)
            }

            fn poll_read_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $socket.poll_read_vectored(cx, bufs)
            }
        }

        impl<$($family)*> $crate::io::sealed::Sealed for $kind {}

        impl<$($family)*> $crate::io::ReadUninit for $kind {
            fn poll_read_uninit<'b>(
                &self,
                cx: &mut std::task::Context<'_>,
                buf: &'b mut [std::mem::MaybeUninit<u8>],
            ) -> std::task::Poll<std::io::Result<&'b mut [u8]>> {
                let $this = self;
                $socket.poll_read_uninit(cx, buf)
            }
        }
    };
}

/// Implements std's and futures-io's writing for a type, through the socket that `$socket` finds in it.
macro_rules! impl_write {
    ([$($family:tt)*] $kind:ty, |$this:ident| $socket:expr) => {
        impl<$($family)*> std::io::Write for $kind {
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                let $this = &*self;
                $socket.write_blocking(buf)
            }

            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                let $this = &*self;
                $socket.write_vectored_blocking(bufs)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        impl<$($family)*> futures_io::AsyncWrite for $kind {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $socket.poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $socket.poll_write_vectored(cx, bufs)
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                _cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(Ok(()))
            }

            fn poll_close(
                self: std::pin::Pin<&mut Self>,
                _cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let $this = &*self;
                std::task::Poll::Ready($socket.close_write())
            }
        }
    };
}

pub(crate) use {impl_read, impl_write};
