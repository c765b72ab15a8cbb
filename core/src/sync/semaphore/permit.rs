//! Permits that somebody has.

use std::sync::Arc;

use super::Semaphore;

/// One or several permits of a [`Semaphore`]; dropping it gives them back.
///
/// # Examples
/// ```
/// use twoply::{Wait, sync::Semaphore};
///
/// let downloads = Semaphore::new(2);
/// let permit = downloads.acquire().wait();
/// assert_eq!(downloads.available_permits(), 1);
/// drop(permit);
/// assert_eq!(downloads.available_permits(), 2);
/// ```
#[derive(Debug)]
#[must_use = "permits are given back as soon as they are dropped"]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl<'a> SemaphorePermit<'a> {
    /// Makes the record of permits that the caller has taken.
    #[inline]
    pub(super) fn new(semaphore: &'a Semaphore, count: usize) -> SemaphorePermit<'a> {
        SemaphorePermit { semaphore, count }
    }

    /// Returns the number of permits.
    ///
    /// ```
    /// use twoply::sync::Semaphore;
    ///
    /// let limit = Semaphore::new(3);
    /// assert_eq!(limit.try_acquire_many(2).unwrap().count(), 2);
    /// ```
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the semaphore whose permits these are.
    pub fn semaphore(&self) -> &'a Semaphore {
        self.semaphore
    }

    /// Keeps the permits from ever being given back: the semaphore has so many fewer from now on.
    ///
    /// ```
    /// use twoply::sync::Semaphore;
    ///
    /// let limit = Semaphore::new(2);
    /// limit.try_acquire().unwrap().forget();
    /// assert_eq!(limit.available_permits(), 1);
    /// ```
    pub fn forget(mut self) {
        self.count = 0;
    }

    /// Takes `count` of the permits out of these, or returns `None` if these are fewer.
    ///
    /// ```
    /// use twoply::sync::Semaphore;
    ///
    /// let limit = Semaphore::new(3);
    /// let mut permits = limit.try_acquire_many(3).unwrap();
    /// drop(permits.split(2));
    /// assert_eq!((permits.count(), limit.available_permits()), (1, 2));
    /// ```
    pub fn split(&mut self, count: usize) -> Option<SemaphorePermit<'a>> {
        self.count = self.count.checked_sub(count)?;
        Some(SemaphorePermit::new(self.semaphore, count))
    }

    /// Adds the permits of `other` to these.
    ///
    /// # Panics
    /// If `other` is of another semaphore. Both are given back then.
    ///
    /// ```
    /// use twoply::sync::Semaphore;
    ///
    /// let limit = Semaphore::new(3);
    /// let mut permits = limit.try_acquire().unwrap();
    /// permits.merge(limit.try_acquire_many(2).unwrap());
    /// assert_eq!(permits.count(), 3);
    /// ```
    pub fn merge(&mut self, mut other: SemaphorePermit<'a>) {
        assert!(std::ptr::eq(self.semaphore, other.semaphore), "permits of two semaphores");
        self.count = self.count.saturating_add(std::mem::take(&mut other.count));
    }
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.count != 0 {
            self.semaphore.permits.release(self.count);
        }
    }
}

/// One or several permits of a [`Semaphore`] that it keeps itself; dropping it gives them back.
#[derive(Debug)]
#[must_use = "permits are given back as soon as they are dropped"]
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
    count: usize,
}

impl OwnedSemaphorePermit {
    /// Makes the record of permits that the caller has taken.
    #[inline]
    pub(super) fn new(semaphore: Arc<Semaphore>, count: usize) -> OwnedSemaphorePermit {
        OwnedSemaphorePermit { semaphore, count }
    }

    /// Returns the number of permits.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the semaphore whose permits these are.
    pub fn semaphore(&self) -> &Arc<Semaphore> {
        &self.semaphore
    }

    /// Keeps the permits from ever being given back; see [`SemaphorePermit::forget`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::sync::Semaphore;
    ///
    /// let limit = Arc::new(Semaphore::new(2));
    /// Arc::clone(&limit).try_acquire_owned().unwrap().forget();
    /// assert_eq!(limit.available_permits(), 1);
    /// ```
    pub fn forget(mut self) {
        self.count = 0;
    }

    /// Takes `count` of the permits out of these; see [`SemaphorePermit::split`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::sync::Semaphore;
    ///
    /// let limit = Arc::new(Semaphore::new(3));
    /// let mut permits = Arc::clone(&limit).try_acquire_many_owned(3).unwrap();
    /// let one = permits.split(1).unwrap();
    /// std::thread::spawn(move || drop(one)).join().unwrap();
    /// assert_eq!((permits.count(), limit.available_permits()), (2, 1));
    /// ```
    pub fn split(&mut self, count: usize) -> Option<OwnedSemaphorePermit> {
        self.count = self.count.checked_sub(count)?;
        Some(OwnedSemaphorePermit::new(Arc::clone(&self.semaphore), count))
    }

    /// Adds the permits of `other` to these; see [`SemaphorePermit::merge`].
    ///
    /// # Panics
    /// If `other` is of another semaphore. Both are given back then.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::sync::Semaphore;
    ///
    /// let limit = Arc::new(Semaphore::new(3));
    /// let mut permits = Arc::clone(&limit).try_acquire_owned().unwrap();
    /// permits.merge(Arc::clone(&limit).try_acquire_many_owned(2).unwrap());
    /// assert_eq!(permits.count(), 3);
    /// ```
    pub fn merge(&mut self, mut other: OwnedSemaphorePermit) {
        assert!(Arc::ptr_eq(&self.semaphore, &other.semaphore), "permits of two semaphores");
        self.count = self.count.saturating_add(std::mem::take(&mut other.count));
    }
}

impl Drop for OwnedSemaphorePermit {
    #[inline]
    fn drop(&mut self) {
        if self.count != 0 {
            self.semaphore.permits.release(self.count);
        }
    }
}
