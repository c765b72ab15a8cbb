//! Waiting for a lock: the futures.

use std::fmt;
use std::future::{self, Future};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::super::lock::{LockError, POLLED_AGAIN, Waiting, lock_at_once, refuse_deadlock};
use super::raw::{Access, READER, WRITER};
use super::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::base::fused::fused;
use crate::kernel::backend::StrandState;
use crate::kernel::task::holders::take_lock;
use crate::kernel::task::{Cycle, TaskId};
use crate::kernel::wait::Wait;

/// Returns the task that is known to have a lock with an owned guard: none, since that may be anywhere.
fn nobody(_: &StrandState) -> Option<TaskId> {
    None
}

/// Defines a future that waits for `$permits` of the lock behind `$lock`, for a guard that is made of it and
/// of whom `$holder` finds.
macro_rules! waiting {
    (
        $(#[$doc:meta])*
        $name:ident<$($life:lifetime,)? T> of $lock:ty, $permits:ident, $holder:ident => $guard:ident
    ) => {
        $(#[$doc])*
        ///
        /// Dropping it leaves the queue; what it has been granted already goes to whoever comes next.
        ///
        /// # Panics
        /// When it is polled after it was ready, or the wait would never end.
        #[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
        pub struct $name<$($life,)? T: ?Sized> {
            /// None once the wait is over.
            lock: Option<$lock>,
            waiting: Waiting,
        }

        impl<$($life,)? T: ?Sized> $name<$($life,)? T> {
            #[inline]
            pub(super) fn new(lock: $lock) -> Self {
                $name { lock: Some(lock), waiting: Waiting::new() }
            }

            /// Blocks the calling stack until there is access, as [`Wait::wait`] of any future does. Access
            /// that there is at once is taken by a shorter way.
            ///
            /// # Panics
            /// As the future does.
            #[inline(always)]
            pub fn wait(mut self) -> $guard<$($life,)? T> {
                if self.waiting.has_begun() {
                    return self.wait_in_turn();
                }
                let lock = self.lock.take().expect(POLLED_AGAIN);
                // It has not waited, so there is nothing to end; and it need not be in memory.
                std::mem::forget(self);
                match lock_at_once(&Access::<$permits>(&lock.raw), $holder) {
                    Some(holder) => $guard::new(lock, holder),
                    None => $name::new(lock).wait_in_turn(),
                }
            }

            /// Returns the guard if that can be done at once. Inlined in any case: else the guard is
            /// written to memory in pieces and read as one right after, which stalls.
            #[inline(always)]
            fn lock_at_once(&mut self) -> Option<$guard<$($life,)? T>> {
                let lock = self.lock.as_ref().expect(POLLED_AGAIN);
                let holder = self.waiting.lock_at_once(&Access::<$permits>(&lock.raw), $holder)?;
                Some($guard::new(self.lock.take()?, holder))
            }

            /// Polls for the guard, as [`Waiting::poll_in_turn`].
            #[cold]
            fn lock_in_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<$guard<$($life,)? T>, Cycle>> {
                let lock = self.lock.as_ref().expect(POLLED_AGAIN);
                let locked = ready!(self.waiting.poll_in_turn(&Access::<$permits>(&lock.raw), cx, $holder));
                let lock = self.lock.take().expect(POLLED_AGAIN);
                Poll::Ready(locked.map(|holder| $guard::new(lock, holder)))
            }

            /// Blocks for the guard, where it was not to be had at once.
            #[cold]
            fn wait_in_turn(mut self) -> $guard<$($life,)? T> {
                Wait::wait(future::poll_fn(move |cx| self.poll_guard(cx)))
            }

            /// Polls for the guard, where it was not to be had at once.
            #[cold]
            fn poll_guard(&mut self, cx: &mut Context<'_>) -> Poll<$guard<$($life,)? T>> {
                match ready!(self.lock_in_turn(cx)) {
                    Ok(guard) => Poll::Ready(guard),
                    Err(cycle) => refuse_deadlock(&cycle),
                }
            }
        }

        impl<$($life,)? T: ?Sized> Future for $name<$($life,)? T> {
            type Output = $guard<$($life,)? T>;

            #[inline]
            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                match self.lock_at_once() {
                    Some(guard) => Poll::Ready(guard),
                    None => self.poll_guard(cx),
                }
            }
        }

        fused! { [$($life,)? T: ?Sized] $name<$($life,)? T>, |this| this.lock.is_none() }

        impl<$($life,)? T: ?Sized> Drop for $name<$($life,)? T> {
            #[inline]
            fn drop(&mut self) {
                if let Some(lock) = &self.lock {
                    self.waiting.stop(&Access::<$permits>(&lock.raw));
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
    Read<'a, T> of &'a RwLock<T>, READER, take_lock => RwLockReadGuard
}

waiting! {
    /// The future of [`RwLock::write`]: finish it with `.await` or `.wait()`.
    Write<'a, T> of &'a RwLock<T>, WRITER, take_lock => RwLockWriteGuard
}

waiting! {
    /// The future of [`RwLock::read_owned`]: finish it with `.await` or `.wait()`.
    ReadOwned<T> of Arc<RwLock<T>>, READER, nobody => OwnedRwLockReadGuard
}

waiting! {
    /// The future of [`RwLock::write_owned`]: finish it with `.await` or `.wait()`.
    WriteOwned<T> of Arc<RwLock<T>>, WRITER, nobody => OwnedRwLockWriteGuard
}

/// Defines the future `$name`, which returns an error where `$wait` panics for a deadlock, and the method
/// that makes it.
macro_rules! checked {
    (
        $(#[$doc:meta])*
        $name:ident<$($life:lifetime,)? T> of $wait:ident => $guard:ident,
        $(#[$method_doc:meta])*
        checked
    ) => {
        $(#[$doc])*
        ///
        /// # Panics
        /// When it is polled after it was ready.
        #[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
        pub struct $name<$($life,)? T: ?Sized> {
            wait: $wait<$($life,)? T>,
        }

        impl<$($life,)? T: ?Sized> $wait<$($life,)? T> {
            $(#[$method_doc])*
            pub fn checked(self) -> $name<$($life,)? T> {
                $name { wait: self }
            }
        }

        impl<$($life,)? T: ?Sized> Future for $name<$($life,)? T> {
            type Output = Result<$guard<$($life,)? T>, LockError<$guard<$($life,)? T>>>;

            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                match self.wait.lock_at_once() {
                    Some(guard) => Poll::Ready(Ok(guard)),
                    None => self.wait.lock_in_turn(cx).map_err(LockError::Deadlock),
                }
            }
        }

        fused! { [$($life,)? T: ?Sized] $name<$($life,)? T>, |this| this.wait.lock.is_none() }

        impl<$($life,)? T: ?Sized> fmt::Debug for $name<$($life,)? T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

checked! {
    /// The future of [`Read::checked`]: finish it with `.await` or `.wait()`.
    CheckedRead<'a, T> of Read => RwLockReadGuard,
    /// Makes it return an error where it would panic. [`Write::checked`] has an example.
    checked
}

checked! {
    /// The future of [`Write::checked`]: finish it with `.await` or `.wait()`.
    CheckedWrite<'a, T> of Write => RwLockWriteGuard,
    /// Makes it return an error where it would panic.
    ///
    /// ```
    /// use twoply::{Wait, sync::{LockError, RwLock}, task};
    ///
    /// let lock = RwLock::new(0);
    /// let task = task::Builder::new().name("narcissus").spawn(async move {
    ///     let _reader = lock.read().await;
    ///     match lock.write().checked().await {
    ///         Err(LockError::Deadlock(cycle)) => cycle.to_string(),
    ///         _ => unreachable!("the task itself reads"),
    ///     }
    /// });
    /// assert_eq!(task?.wait()?, "narcissus -> narcissus");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    checked
}

checked! {
    /// The future of [`ReadOwned::checked`]: finish it with `.await` or `.wait()`.
    CheckedReadOwned<T> of ReadOwned => OwnedRwLockReadGuard,
    /// Makes it return an error where it would panic. [`Write::checked`] has an example.
    checked
}

checked! {
    /// The future of [`WriteOwned::checked`]: finish it with `.await` or `.wait()`.
    CheckedWriteOwned<T> of WriteOwned => OwnedRwLockWriteGuard,
    /// Makes it return an error where it would panic. [`Write::checked`] has an example.
    checked
}
