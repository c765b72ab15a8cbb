//! A semaphore: a number of permits, of which each task takes as many as it needs and gives them back.
//!
//! The permits and the queue of those who wait for them are in [`permits`](super::permits).

mod acquire;
mod permit;

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::permits::{self, Permits};

pub use acquire::{Acquire, AcquireOwned};
pub use permit::{OwnedSemaphorePermit, SemaphorePermit};

/// A number of permits, which limits how many tasks do something at a time.
///
/// A task that needs several permits takes them [together](Semaphore::acquire_many).
///
/// # Fairness
/// Those who wait do so in a queue, first come, first served. As at a [mutex](super::Mutex), a task that runs
/// may take a free permit ahead of one that has been woken for it, a few times at most: then it is handed
/// over. While somebody waits for several permits, nobody takes a single one. So who wants many is not
/// starved by those who want few, and nobody waits for ever.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use twoply::{Wait, sync::Semaphore};
///
/// // No more than two of them at a time.
/// let limit = Arc::new(Semaphore::new(2));
/// let downloads: Vec<_> = (0..10)
///     .map(|n| {
///         let limit = Arc::clone(&limit);
///         twoply::spawn(async move {
///             let _permit = limit.acquire().await?;
///             Ok::<_, twoply::sync::AcquireError>(n)
///         })
///     })
///     .collect();
/// for (n, download) in downloads.into_iter().enumerate() {
///     assert_eq!(download.wait().unwrap(), Ok(n));
/// }
/// assert_eq!(limit.available_permits(), 2);
/// ```
pub struct Semaphore {
    permits: Permits,
}

/// The reasons why there are no permits for one who would have waited for them.
///
/// ```
/// use twoply::{Wait, sync::{AcquireError, Semaphore}};
///
/// let limit = Semaphore::new(1);
/// let too_many = limit.acquire_many(Semaphore::MAX_PERMITS + 1).wait();
/// assert_eq!(too_many.unwrap_err(), AcquireError::TooMany);
/// limit.close();
/// assert_eq!(limit.acquire().wait().unwrap_err(), AcquireError::Closed);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// The semaphore has been [closed](Semaphore::close).
    #[error("the semaphore was closed")]
    Closed,
    /// No semaphore ever has as many permits; see [`Semaphore::MAX_PERMITS`].
    #[error("no semaphore has as many permits")]
    TooMany,
}

/// The reasons why there are no permits now.
///
/// ```
/// use twoply::sync::{Semaphore, TryAcquireError};
///
/// let limit = Semaphore::new(0);
/// assert_eq!(limit.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
/// limit.close();
/// assert_eq!(limit.try_acquire().unwrap_err(), TryAcquireError::Closed);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum TryAcquireError {
    /// The semaphore has been [closed](Semaphore::close).
    #[error("the semaphore was closed")]
    Closed,
    /// Too few permits are free, or somebody waits for them.
    #[error("there are too few permits")]
    NoPermits,
}

impl Semaphore {
    /// The most permits that a semaphore can have.
    pub const MAX_PERMITS: usize = permits::MAX;

    /// Makes a semaphore with this many permits; there may be none at first.
    ///
    /// # Panics
    /// If these are more than [`Semaphore::MAX_PERMITS`].
    ///
    /// ```
    /// use twoply::sync::Semaphore;
    ///
    /// static LIMIT: Semaphore = Semaphore::new(10);
    /// assert_eq!(LIMIT.available_permits(), 10);
    /// ```
    #[cfg(not(loom))]
    pub const fn new(permits: usize) -> Semaphore {
        assert!(permits <= Semaphore::MAX_PERMITS, "no semaphore has as many permits");
        Semaphore { permits: Permits::new(permits) }
    }

    /// Returns the number of permits that are free at this moment.
    ///
    /// ```
    /// use twoply::sync::Semaphore;
    ///
    /// let limit = Semaphore::new(2);
    /// let _permit = limit.try_acquire().unwrap();
    /// assert_eq!(limit.available_permits(), 1);
    /// ```
    pub fn available_permits(&self) -> usize {
        self.permits.free()
    }

    /// Waits for a permit, which is given back when it is dropped.
    ///
    /// Finish it with `.await` or `.wait()`; [`timeout`](crate::time::timeout()) limits the time. It is
    /// cancel-safe: a future that is dropped, even when it has been granted the permit already, has not taken
    /// any.
    ///
    /// # Errors
    /// When the semaphore is closed, before or while this waits.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, sync::Semaphore, time::timeout};
    ///
    /// let limit = Semaphore::new(1);
    /// let permit = limit.acquire().wait()?;
    /// assert!(timeout(Duration::from_millis(1), limit.acquire()).wait().is_err());
    /// drop(permit);
    /// limit.acquire().wait()?;
    /// # Ok::<(), twoply::sync::AcquireError>(())
    /// ```
    #[inline]
    pub fn acquire(&self) -> Acquire<'_> {
        self.acquire_many(1)
    }

    /// Waits for `count` permits, as [`Semaphore::acquire`]: it gets all of them at once, and holds none
    /// while it waits.
    ///
    /// # Errors
    /// As [`Semaphore::acquire`]; and if no semaphore ever has as many. More permits than this one has are
    /// waited for: some may be [added](Semaphore::add_permits).
    ///
    /// ```
    /// use twoply::{Wait, sync::Semaphore};
    ///
    /// let megabytes = Semaphore::new(100);
    /// let large = megabytes.acquire_many(70).wait()?;
    /// assert!(megabytes.try_acquire_many(40).is_err());
    /// drop(large);
    /// assert!(megabytes.try_acquire_many(40).is_ok());
    /// # Ok::<(), twoply::sync::AcquireError>(())
    /// ```
    #[inline]
    pub fn acquire_many(&self, count: usize) -> Acquire<'_> {
        Acquire::new(self, count)
    }

    /// Waits for a permit that borrows nothing, as [`Semaphore::acquire`]: it keeps the semaphore itself.
    ///
    /// # Errors
    /// As [`Semaphore::acquire`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::{Wait, sync::Semaphore};
    ///
    /// let limit = Arc::new(Semaphore::new(1));
    /// let permit = Arc::clone(&limit).acquire_owned().wait()?;
    /// // The task gives it back.
    /// twoply::spawn(async move { drop(permit) });
    /// limit.acquire().wait()?;
    /// # Ok::<(), twoply::sync::AcquireError>(())
    /// ```
    #[inline]
    pub fn acquire_owned(self: Arc<Self>) -> AcquireOwned {
        self.acquire_many_owned(1)
    }

    /// Waits for `count` permits that borrow nothing; see [`Semaphore::acquire_many`].
    ///
    /// # Errors
    /// As [`Semaphore::acquire_many`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::{Wait, sync::Semaphore};
    ///
    /// let permits = Arc::new(Semaphore::new(3)).acquire_many_owned(2).wait()?;
    /// assert_eq!(permits.semaphore().available_permits(), 1);
    /// # Ok::<(), twoply::sync::AcquireError>(())
    /// ```
    #[inline]
    pub fn acquire_many_owned(self: Arc<Self>, count: usize) -> AcquireOwned {
        AcquireOwned::new(self, count)
    }

    /// Takes a permit if one is free and nobody waits. Never waits.
    ///
    /// # Errors
    /// When there is none, or the semaphore is closed.
    ///
    /// ```
    /// use twoply::sync::{Semaphore, TryAcquireError};
    ///
    /// let limit = Semaphore::new(1);
    /// let _permit = limit.try_acquire().unwrap();
    /// assert_eq!(limit.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes `count` permits if as many are free and nobody waits. Never waits.
    ///
    /// # Errors
    /// As [`Semaphore::try_acquire`].
    ///
    /// ```
    /// use twoply::sync::Semaphore;
    ///
    /// let limit = Semaphore::new(3);
    /// assert!(limit.try_acquire_many(4).is_err());
    /// assert_eq!(limit.try_acquire_many(3).unwrap().count(), 3);
    /// ```
    #[inline]
    pub fn try_acquire_many(&self, count: usize) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_take(count)?;
        Ok(SemaphorePermit::new(self, count))
    }

    /// Takes a permit that borrows nothing, if one is free and nobody waits. Never waits.
    ///
    /// # Errors
    /// As [`Semaphore::try_acquire`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::sync::Semaphore;
    ///
    /// let limit = Arc::new(Semaphore::new(1));
    /// let _permit = Arc::clone(&limit).try_acquire_owned().unwrap();
    /// assert!(limit.try_acquire_owned().is_err());
    /// ```
    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.try_acquire_many_owned(1)
    }

    /// Takes `count` permits that borrow nothing, if as many are free and nobody waits. Never waits.
    ///
    /// # Errors
    /// As [`Semaphore::try_acquire`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::sync::Semaphore;
    ///
    /// assert_eq!(Arc::new(Semaphore::new(3)).try_acquire_many_owned(2).unwrap().count(), 2);
    /// ```
    pub fn try_acquire_many_owned(
        self: Arc<Self>,
        count: usize,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.try_take(count)?;
        Ok(OwnedSemaphorePermit::new(self, count))
    }

    #[inline]
    fn try_take(&self, count: usize) -> Result<(), TryAcquireError> {
        match self.permits.try_acquire(count) {
            Some(Ok(())) => Ok(()),
            Some(Err(permits::Closed)) => Err(TryAcquireError::Closed),
            None => Err(TryAcquireError::NoPermits),
        }
    }

    /// Adds `count` permits, for those who wait first of all. There are never more than
    /// [`Semaphore::MAX_PERMITS`] free: what goes beyond is lost.
    ///
    /// ```
    /// use twoply::sync::Semaphore;
    ///
    /// let limit = Semaphore::new(0);
    /// limit.add_permits(2);
    /// assert!(limit.try_acquire_many(2).is_ok());
    /// ```
    pub fn add_permits(&self, count: usize) {
        self.permits.release(count);
    }

    /// Takes up to `count` free permits out of the semaphore, for good, and returns how many. Permits that
    /// somebody has are not touched; see [`SemaphorePermit::forget`].
    ///
    /// ```
    /// use twoply::sync::Semaphore;
    ///
    /// let limit = Semaphore::new(3);
    /// assert_eq!(limit.forget_permits(2), 2);
    /// assert_eq!(limit.forget_permits(2), 1);
    /// ```
    pub fn forget_permits(&self, count: usize) -> usize {
        self.permits.forget(count)
    }

    /// Closes the semaphore: who waits, and who comes from now on, gets an error. Permits that somebody has,
    /// or has been granted, stay good.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::{Wait, sync::{AcquireError, Semaphore}};
    ///
    /// let limit = Arc::new(Semaphore::new(0));
    /// let waiting = twoply::spawn(Arc::clone(&limit).acquire_owned());
    /// limit.close();
    /// assert_eq!(waiting.wait().unwrap().unwrap_err(), AcquireError::Closed);
    /// ```
    pub fn close(&self) {
        self.permits.close();
    }

    /// Returns whether the semaphore has been closed.
    ///
    /// ```
    /// let limit = twoply::sync::Semaphore::new(1);
    /// limit.close();
    /// assert!(limit.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available_permits", &self.available_permits())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
