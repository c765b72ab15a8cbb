//! Waiting for permits: the futures.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use crate::base::fused::fused;
use crate::base::waitlist::WaitKey;
use crate::kernel::wait::Wait;

/// The message of the panic of a future that is polled after it was ready.
const POLLED_AGAIN: &str = "an acquire was polled after it was ready";

/// Polls for `count` permits of `semaphore`.
#[inline]
fn poll_acquire(
    semaphore: &Semaphore,
    wait_key: &mut WaitKey,
    count: usize,
    cx: &mut Context<'_>,
) -> Poll<Result<(), AcquireError>> {
    if count > Semaphore::MAX_PERMITS {
        return Poll::Ready(Err(AcquireError::TooMany));
    }
    semaphore.permits.poll_acquire(wait_key, count, cx).map_err(|_closed| AcquireError::Closed)
}

/// The future of [`Semaphore::acquire`] and [`Semaphore::acquire_many`]: finish it with `.await` or
/// `.wait()`.
///
/// Dropping it leaves the queue; what it has been granted already goes to whoever comes next.
///
/// # Panics
/// When it is polled after it was ready.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Acquire<'a> {
    /// None once the permits have been handed out.
    semaphore: Option<&'a Semaphore>,
    count: usize,
    wait_key: WaitKey,
}

impl<'a> Acquire<'a> {
    #[inline]
    pub(super) fn new(semaphore: &'a Semaphore, count: usize) -> Acquire<'a> {
        Acquire { semaphore: Some(semaphore), count, wait_key: WaitKey::new() }
    }

    /// Blocks the calling stack until there are as many permits, as [`Wait::wait`] of any future does.
    /// Permits that are free are taken by a shorter way.
    ///
    /// # Errors
    /// As the future.
    ///
    /// ```
    /// use twoply::sync::Semaphore;
    ///
    /// assert_eq!(Semaphore::new(2).acquire().wait().unwrap().count(), 1);
    /// ```
    #[inline]
    pub fn wait(mut self) -> Result<SemaphorePermit<'a>, AcquireError> {
        match self.semaphore {
            Some(semaphore)
                if self.count <= Semaphore::MAX_PERMITS
                    && semaphore.permits.acquire_at_once(&self.wait_key, self.count) == Some(Ok(())) =>
            {
                self.semaphore = None;
                Ok(SemaphorePermit::new(semaphore, self.count))
            }
            _ => Wait::wait(self),
        }
    }
}

impl<'a> Future for Acquire<'a> {
    type Output = Result<SemaphorePermit<'a>, AcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let semaphore = self.semaphore.expect(POLLED_AGAIN);
        let count = self.count;
        let acquired = ready!(poll_acquire(semaphore, &mut self.wait_key, count, cx));
        self.semaphore = None;
        Poll::Ready(acquired.map(|()| SemaphorePermit::new(semaphore, count)))
    }
}

fused! { [] Acquire<'_>, |this| this.semaphore.is_none() }

impl Drop for Acquire<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(semaphore) = self.semaphore {
            semaphore.permits.stop(&mut self.wait_key, self.count);
        }
    }
}

impl fmt::Debug for Acquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("count", &self.count).finish_non_exhaustive()
    }
}

/// The future of [`Semaphore::acquire_owned`] and [`Semaphore::acquire_many_owned`]: finish it with `.await`
/// or `.wait()`.
///
/// Dropping it leaves the queue; what it has been granted already goes to whoever comes next.
///
/// # Panics
/// When it is polled after it was ready.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct AcquireOwned {
    /// None once the permits have been handed out.
    semaphore: Option<Arc<Semaphore>>,
    count: usize,
    wait_key: WaitKey,
}

impl AcquireOwned {
    #[inline]
    pub(super) fn new(semaphore: Arc<Semaphore>, count: usize) -> AcquireOwned {
        AcquireOwned { semaphore: Some(semaphore), count, wait_key: WaitKey::new() }
    }
}

impl Future for AcquireOwned {
    type Output = Result<OwnedSemaphorePermit, AcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let semaphore = this.semaphore.as_ref().expect(POLLED_AGAIN);
        let acquired = ready!(poll_acquire(semaphore, &mut this.wait_key, this.count, cx));
        let semaphore = this.semaphore.take().expect(POLLED_AGAIN);
        Poll::Ready(acquired.map(|()| OwnedSemaphorePermit::new(semaphore, this.count)))
    }
}

fused! { [] AcquireOwned, |this| this.semaphore.is_none() }

impl Drop for AcquireOwned {
    #[inline]
    fn drop(&mut self) {
        if let Some(semaphore) = &self.semaphore {
            semaphore.permits.stop(&mut self.wait_key, self.count);
        }
    }
}

impl fmt::Debug for AcquireOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireOwned").field("count", &self.count).finish_non_exhaustive()
    }
}
