//! Conversions from and to the sockets of std.

/// Implements the conversions of a socket that moves bytes, which is kept in blocking mode. The documentation
/// is the example of `into_std`.
macro_rules! std_counterpart {
    ($ours:ident, $std:ty, $(#[$example:meta])*) => {
        impl $ours {
            /// Turns the socket into one of std's, in blocking mode.
            ///
            /// # Errors
            /// When the descriptor is referred to from elsewhere at this moment, and there is none for a
            /// duplicate. [`Unsupported`](std::io::ErrorKind::Unsupported) when the socket is one of a
            /// [world](crate::world)'s, which has no descriptor.
            ///
            /// ```
            $(#[$example])*
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn into_std(self) -> std::io::Result<$std> {
                let (socket, _) = self.into_socket();
                Ok($crate::net::sys::into_fd(socket.into_handle()?)?.into())
            }
        }

        impl From<$std> for $ours {
            /// Puts the socket into blocking mode, in which ours are kept.
            fn from(socket: $std) -> $ours {
                let io = $crate::event::reactor::IoHandle::Descriptor(socket.into());
                // One in non-blocking mode works, too, where a sandbox forbids even this: see
                // `Socket::blocking`.
                let _ = $crate::net::sys::set_nonblocking(&io, false);
                <$ours>::new(io, Default::default())
            }
        }

        impl TryFrom<$ours> for $std {
            type Error = std::io::Error;

            fn try_from(socket: $ours) -> std::io::Result<$std> {
                socket.into_std()
            }
        }
    };
}

/// As [`std_counterpart`], for a listener, which is kept in non-blocking mode.
macro_rules! std_listener {
    ($ours:ident, $std:ty, $(#[$example:meta])*) => {
        impl $ours {
            /// Turns the listener into one of std's, in blocking mode. A file that would have been removed
            /// with it stays.
            ///
            /// # Errors
            /// When the mode cannot be changed, or the descriptor must be duplicated and there is none; and
            /// when the listener is one of a [world](crate::world)'s, which has no descriptor.
            ///
            /// ```
            $(#[$example])*
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn into_std(self) -> std::io::Result<$std> {
                let (socket, role) = self.into_socket();
                role.keep_file();
                let io = socket.into_handle()?;
                $crate::net::sys::set_nonblocking(&io, false)?;
                Ok($crate::net::sys::into_fd(io)?.into())
            }

            /// Turns one of std's listeners into one of these.
            ///
            /// # Errors
            /// When it cannot be put into non-blocking mode.
            ///
            /// ```
            $(#[$example])*
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn from_std(listener: $std) -> std::io::Result<$ours> {
                let io = $crate::event::reactor::IoHandle::Descriptor(listener.into());
                $crate::net::sys::set_nonblocking(&io, true)?;
                Ok(<$ours>::new(io, $crate::net::endpoint::Listener { file: None }))
            }
        }

        impl TryFrom<$std> for $ours {
            type Error = std::io::Error;

            fn try_from(listener: $std) -> std::io::Result<$ours> {
                <$ours>::from_std(listener)
            }
        }

        impl TryFrom<$ours> for $std {
            type Error = std::io::Error;

            fn try_from(listener: $ours) -> std::io::Result<$std> {
                listener.into_std()
            }
        }
    };
}

pub(super) use {std_counterpart, std_listener};
