//! Locks of whole files, between programs.

use std::fs::TryLockError;
use std::io;
use std::time::Duration;

use super::File;
use crate::time::sleep;

/// The pause after which a lock is tried again, and the limit up to which it doubles. The system has no event
/// for a lock that becomes free, and a thread that waits for it could not be called back.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Locks, as std's: of the whole file, advisory, and between open files: two that were opened one by one, in
/// one program or in two, exclude each other; clones are one. A lock ends with the last handle.
impl File {
    /// Waits until nobody else has the file locked, and locks it for itself alone. Cancel-safe.
    ///
    /// The lock is tried again after pauses of at most 50 milliseconds, so there is no order among those who
    /// wait.
    ///
    /// # Errors
    /// The system's, with operation and path.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-lock-{}", std::process::id()));
    /// let mine = File::create(&path).wait()?;
    /// let theirs = File::open(&path).wait()?;
    /// mine.lock().wait()?;
    /// assert!(theirs.try_lock_shared().is_err());
    /// mine.unlock()?;
    /// theirs.lock_shared().wait()?;
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn lock(&self) -> io::Result<()> {
        self.retry(std::fs::File::try_lock).await
    }

    /// Waits until nobody else has the file locked for itself alone, and locks it together with others. See
    /// [`lock`](File::lock).
    ///
    /// # Errors
    /// As `lock`.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::File};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-lock-shared-{}", std::process::id()));
    /// let (one, other) = (File::create(&path).wait()?, File::open(&path).wait()?);
    /// one.lock_shared().wait()?;
    /// other.lock_shared().wait()?;
    /// assert!(one.try_lock().is_err(), "the other one has it, too");
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn lock_shared(&self) -> io::Result<()> {
        self.retry(std::fs::File::try_lock_shared).await
    }

    /// Locks the file for itself alone, if nobody else has it locked.
    ///
    /// # Errors
    /// [`WouldBlock`](TryLockError::WouldBlock) when somebody has; else the system's error.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, fs::{File, TryLockError}};
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-try-lock-{}", std::process::id()));
    /// let (mine, theirs) = (File::create(&path).wait()?, File::open(&path).wait()?);
    /// mine.try_lock()?;
    /// assert!(matches!(theirs.try_lock(), Err(TryLockError::WouldBlock)));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        self.locked(std::fs::File::try_lock)
    }

    /// Locks the file together with others, if nobody has it locked for itself alone.
    ///
    /// # Errors
    /// As [`try_lock`](File::try_lock).
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        self.locked(std::fs::File::try_lock_shared)
    }

    /// Gives the lock back; [`lock`](File::lock) has an example.
    ///
    /// # Errors
    /// The system's, with operation and path.
    pub fn unlock(&self) -> io::Result<()> {
        self.shared.file.make("unlock", std::fs::File::unlock).map_err(|error| self.failed("unlock", error))
    }

    fn locked(
        &self,
        attempt: impl Fn(&std::fs::File) -> Result<(), TryLockError>,
    ) -> Result<(), TryLockError> {
        self.shared.file.make("lock", |file| Ok(attempt(file))).map_err(TryLockError::Error)?
    }

    async fn retry(
        &self,
        attempt: impl Fn(&std::fs::File) -> Result<(), TryLockError> + Send,
    ) -> io::Result<()> {
        let (mut pause, longest) = PAUSES;
        loop {
            match self.locked(&attempt) {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => sleep(pause).await,
                Err(TryLockError::Error(error)) => return Err(self.failed("lock", error)),
            }
            pause = (pause * 2).min(longest);
        }
    }
}
