//! Waiting for a lock: the futures.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::{
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, READER, RwLock, RwLockReadGuard, RwLockWriteGuard, WRITER,
};
use crate::base::waitlist::WaitKey;
use crate::kernel::wait::Wait;

/// The message of the panic of a future that is polled after it was ready.
const POLLED_AGAIN: &str = "a lock was polled after it was ready";

/// Defines a future that waits for `$permits` of the lock behind `$lock`, for a guard that is made of it.
macro_rules! waiting {
    ($(#[$doc:meta])* $name:ident<$($life:lifetime,)? T> of $lock:ty, $permits:ident => $guard:ident) => {
        $(#[$doc])*
        ///
        /// Dropping it leaves the queue; what it has been granted already goes to whoever comes next.
        ///
        /// # Panics
        /// When it is polled after it was ready.
        #[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
        pub struct $name<$($life,)? T: ?Sized> {
            /// None once the guard has been handed out.
            lock: Option<$lock>,
            wait_key: WaitKey,
        }

        impl<$($life,)? T: ?Sized> $name<$($life,)? T> {
            #[inline]
            pub(super) fn new(lock: $lock) -> Self {
                $name { lock: Some(lock), wait_key: WaitKey::new() }
            }

            /// Blocks the calling stack until there is access, as [`Wait::wait`] of any future does. Access
            /// that there is at once is taken by a shorter way.
            #[inline]
            pub fn wait(mut self) -> $guard<$($life,)? T> {
                let acquired =
                    |lock: &mut $lock| lock.permits.acquire_at_once(&self.wait_key, $permits).is_some();
                match self.lock.take_if(acquired) {
                    Some(lock) => $guard::new(lock),
                    None => Wait::wait(self),
                }
            }
        }

        impl<$($life,)? T: ?Sized> Future for $name<$($life,)? T> {
            type Output = $guard<$($life,)? T>;

            #[inline]
            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let this = &mut *self;
                let permits = &this.lock.as_ref().expect(POLLED_AGAIN).permits;
                // They are never closed.
                let _ = ready!(permits.poll_acquire(&mut this.wait_key, $permits, cx));
                Poll::Ready($guard::new(this.lock.take().expect(POLLED_AGAIN)))
            }
        }

        impl<$($life,)? T: ?Sized> Drop for $name<$($life,)? T> {
            #[inline]
            fn drop(&mut self) {
                if let Some(lock) = &self.lock {
                    lock.permits.stop(&mut self.wait_key, $permits);
                }
            }
        }

        impl<$($life,)? T: ?Sized> fmt::Debug for $name<$($life,)? T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

waiting! {
    /// The future of [`RwLock::read`]: finish it with `.await` or `.wait()`.
    Read<'a, T> of &'a RwLock<T>, READER => RwLockReadGuard
}

waiting! {
    /// The future of [`RwLock::write`]: finish it with `.await` or `.wait()`.
    Write<'a, T> of &'a RwLock<T>, WRITER => RwLockWriteGuard
}

waiting! {
    /// The future of [`RwLock::read_owned`]: finish it with `.await` or `.wait()`.
    ReadOwned<T> of Arc<RwLock<T>>, READER => OwnedRwLockReadGuard
}

waiting! {
    /// The future of [`RwLock::write_owned`]: finish it with `.await` or `.wait()`.
    WriteOwned<T> of Arc<RwLock<T>>, WRITER => OwnedRwLockWriteGuard
}
