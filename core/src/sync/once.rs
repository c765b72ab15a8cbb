//! [`OnceCell`] and [`LazyCell`]: values that are made once, by code that may wait.
//!
//! Whoever comes first makes the value; the others wait for a promise that this one owes while its
//! initialiser runs. So a wait of an initialiser for its own cell is found like any other that closes a
//! circle, and a circle of several cells whose initialisers block. One that is suspended at an `.await` may
//! be polled by another task next, so nobody is known to owe the value then. A try that ends without one
//! breaks the promise, and of those who waited the first to run makes the next try.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::sync::OnceLock;

use crate::base::sync::{Mutex, lock};
use crate::kernel::strand::with_state;
use crate::kernel::task::{Failure, Header, TaskId};
use crate::promise::{self, Promise, Resolver};

/// A value that is written once, by the first who needs it. Its initialiser may wait, by `.await` or
/// `.wait()`.
///
/// One initialiser runs at a time. If it fails, panics or is cancelled, the cell stays empty, and the next of
/// those who wait runs its own. Once there is a value, a look at it is a load.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, sync::OnceCell, time};
///
/// static NAME: OnceCell<String> = OnceCell::new();
///
/// async fn name() -> &'static str {
///     let ask = async || {
///         time::sleep(Duration::from_millis(1)).await;
///         "twoply".to_owned()
///     };
///     NAME.get_or_init(ask).await
/// }
///
/// let tasks = [twoply::spawn(name()), twoply::spawn(name())];
/// assert!(tasks.into_iter().all(|task| task.wait().unwrap() == "twoply"));
/// ```
pub struct OnceCell<T> {
    value: OnceLock<T>,
    /// The try that is under way; its promise is broken when it is over. Nobody begins one once there is a
    /// value.
    attempt: Mutex<Option<Try>>,
}

/// A try to make the value.
struct Try {
    /// The promise that those wait for who need the value.
    end: Promise<()>,
    /// The task that is polling the initialiser right now.
    polled_by: Option<TaskId>,
    /// True once the initialiser has waited for its own cell.
    waits_for_itself: bool,
}

impl<T> OnceCell<T> {
    /// Makes an empty cell.
    #[cfg(not(loom))]
    pub const fn new() -> OnceCell<T> {
        OnceCell { value: OnceLock::new(), attempt: Mutex::new(None) }
    }

    /// Returns the value, if there is one. Never waits.
    ///
    /// # Examples
    /// ```
    /// use twoply::sync::OnceCell;
    ///
    /// let cell = OnceCell::new();
    /// assert_eq!(cell.get(), None);
    /// assert_eq!(cell.set(7), Ok(()));
    /// assert_eq!(cell.get(), Some(&7));
    /// ```
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// Gives the cell its value. Never waits.
    ///
    /// # Errors
    /// When it has one, or somebody is making one. The value is handed back.
    ///
    /// # Examples
    /// ```
    /// let cell = twoply::sync::OnceCell::new();
    /// assert_eq!(cell.set(7), Ok(()));
    /// assert_eq!(cell.set(8), Err(8));
    /// ```
    pub fn set(&self, value: T) -> Result<(), T> {
        let attempt = lock(&self.attempt);
        if attempt.is_some() || self.value.get().is_some() {
            drop(attempt);
            return Err(value);
        }
        self.value.get_or_init(|| value);
        Ok(())
    }

    /// Returns the value, and makes it by `init` if there is none; finish it with `.await` or `.wait()`.
    ///
    /// If somebody else is making it, this waits for that. `init` is called only if it is this one's turn.
    ///
    /// Cancel-safe: if it is dropped while `init` is under way, that is dropped, and the next of those who
    /// wait makes the value.
    ///
    /// # Panics
    /// The future does if `init` panics, and if to wait would be to wait for itself: in the initialiser of
    /// the same cell, or in a circle of cells whose initialisers block. The message then names those who wait
    /// for each other.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, channel, sync::OnceCell};
    ///
    /// let (tx, rx) = channel::bounded(1);
    /// tx.try_send("first").unwrap();
    /// let cell = OnceCell::new();
    /// // Straight-line code that waits makes it as well.
    /// assert_eq!(cell.get_or_init(async || rx.recv().wait()).wait(), &Ok("first"));
    /// assert_eq!(cell.get_or_init(async || unreachable!("it is there")).wait(), &Ok("first"));
    /// ```
    pub async fn get_or_init<F: IntoFuture<Output = T>>(&self, init: impl FnOnce() -> F) -> &T {
        if let Some(value) = self.value.get() {
            return value;
        }
        let Ok(value) = self.make(|| async { Ok::<T, Infallible>(init().await) }).await;
        value
    }

    /// As [`get_or_init`](OnceCell::get_or_init), with an initialiser that may fail.
    ///
    /// # Errors
    /// The error that `init` fails with. The cell stays empty, and the next of those who wait makes the
    /// value.
    ///
    /// # Panics
    /// As [`get_or_init`](OnceCell::get_or_init).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, sync::OnceCell};
    ///
    /// let cell = OnceCell::new();
    /// assert_eq!(cell.get_or_try_init(async || Err("not yet")).wait(), Err("not yet"));
    /// assert_eq!(cell.get_or_try_init(async || Ok::<_, &str>(7)).wait(), Ok(&7));
    /// ```
    pub async fn get_or_try_init<E, F>(&self, init: impl FnOnce() -> F) -> Result<&T, E>
    where
        F: IntoFuture<Output = Result<T, E>>,
    {
        match self.value.get() {
            Some(value) => Ok(value),
            None => self.make(init).await,
        }
    }

    /// As [`OnceCell::get_or_try_init`], for a cell that has been seen without a value.
    async fn make<E, F>(&self, init: impl FnOnce() -> F) -> Result<&T, E>
    where
        F: IntoFuture<Output = Result<T, E>>,
    {
        loop {
            match self.begin() {
                Ok(attempt) => {
                    let value = attempt.run(init()).await?;
                    // Before the attempt is over: whoever is woken by that finds it.
                    self.value.get_or_init(|| value);
                    return Ok(attempt.end());
                }
                Err(Some(other)) => {
                    if let Err(Failure::Deadlock(cycle)) = other.await {
                        panic!("a cell waits for itself to have a value: {cycle}");
                    }
                }
                Err(None) => {}
            }
            if let Some(value) = self.value.get() {
                return Ok(value);
            }
        }
    }

    /// Begins to make the value. Returns the promise of whoever does so already, or `None` if there is a
    /// value.
    fn begin(&self) -> Result<Attempt<'_, T>, Option<Promise<()>>> {
        let mut attempt = lock(&self.attempt);
        if let Some(other) = &mut *attempt {
            other.waits_for_itself |= other.polled_by.is_some() && other.polled_by == current_task();
            return Err(Some(other.end.clone()));
        }
        if self.value.get().is_some() {
            return Err(None);
        }
        let (end, resolver) = promise::pair();
        *attempt = Some(Try { end, polled_by: None, waits_for_itself: false });
        drop(attempt);
        Ok(Attempt { cell: self, resolver })
    }

    /// Returns the value, which nobody else can be looking at.
    ///
    /// # Examples
    /// ```
    /// let mut cell = twoply::sync::OnceCell::from(7);
    /// *cell.get_mut().unwrap() += 1;
    /// assert_eq!(cell.get(), Some(&8));
    /// ```
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Takes the value out; the cell is empty then.
    ///
    /// # Examples
    /// ```
    /// let mut cell = twoply::sync::OnceCell::from(7);
    /// assert_eq!(cell.take(), Some(7));
    /// assert_eq!(cell.take(), None);
    /// ```
    pub fn take(&mut self) -> Option<T> {
        self.value.take()
    }

    /// Returns the value, if there is one.
    ///
    /// # Examples
    /// ```
    /// use twoply::sync::OnceCell;
    ///
    /// assert_eq!(OnceCell::from(7).into_inner(), Some(7));
    /// assert_eq!(OnceCell::<u8>::new().into_inner(), None);
    /// ```
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> OnceCell<T> {
        OnceCell { value: OnceLock::new(), attempt: Mutex::new(None) }
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> OnceCell<T> {
        OnceCell { value: OnceLock::from(value), attempt: Mutex::new(None) }
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceCell").field(&self.get()).finish()
    }
}

/// The right to make the value. Dropping it ends the try: those who wait look again.
struct Attempt<'a, T> {
    cell: &'a OnceCell<T>,
    /// Dropped after the cell knows that the try is over, which breaks the promise.
    resolver: Resolver<()>,
}

impl<'a, T> Attempt<'a, T> {
    /// Runs the initialiser. Whoever polls it owes the value for as long as that takes.
    async fn run<F: IntoFuture>(&self, init: F) -> F::Output {
        let mut init = pin!(init.into_future());
        poll_fn(|cx| {
            let _owing = Owing::begin(self);
            init.as_mut().poll(cx)
        })
        .await
    }

    /// Calls `f` with what others know of this try.
    fn with_try<R>(&self, f: impl FnOnce(&mut Try) -> R) -> Option<R> {
        lock(&self.cell.attempt).as_mut().map(f)
    }

    /// Ends the try that has given the cell its value.
    fn end(self) -> &'a T {
        self.cell.get().expect("it has just been set")
    }
}

/// The time in which a task polls the initialiser, and owes the value.
struct Owing<'a, 'c, T>(&'a Attempt<'c, T>);

impl<'a, 'c, T> Owing<'a, 'c, T> {
    fn begin(attempt: &'a Attempt<'c, T>) -> Owing<'a, 'c, T> {
        attempt.with_try(|this| this.polled_by = current_task());
        attempt.resolver.set_polling_owner();
        Owing(attempt)
    }
}

impl<T> Drop for Owing<'_, '_, T> {
    fn drop(&mut self) {
        let waits_for_itself = self.0.with_try(|this| {
            this.polled_by = None;
            this.waits_for_itself
        });
        // Else the poll that ends now shows that the task waits for itself.
        if waits_for_itself != Some(true) {
            self.0.resolver.clear_owner();
        }
    }
}

/// Returns the number of the running task.
fn current_task() -> Option<TaskId> {
    with_state(|state| state.header().map(Header::id))
}

impl<T> Drop for Attempt<'_, T> {
    fn drop(&mut self) {
        let this = lock(&self.cell.attempt).take();
        drop(this);
    }
}

/// The future that the initialiser of a [`LazyCell`] makes if nothing else is said.
pub type LazyFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A [`OnceCell`] with its initialiser: a value that is made when it is first asked for.
///
/// The initialiser may be called again, if a call of it panics or is cancelled.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, sync::LazyCell, time};
///
/// static SETTINGS: LazyCell<u32> = LazyCell::new(|| {
///     Box::pin(async {
///         time::sleep(Duration::from_millis(1)).await;
///         7
///     })
/// });
///
/// let task = twoply::spawn(async { *SETTINGS.get().await });
/// assert_eq!(*SETTINGS.get().wait(), 7);
/// assert_eq!(task.wait().unwrap(), 7);
/// ```
pub struct LazyCell<T, F = fn() -> LazyFuture<T>> {
    cell: OnceCell<T>,
    init: F,
}

impl<T, F> LazyCell<T, F> {
    /// Makes a cell whose value `init` will make.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, sync::LazyCell};
    ///
    /// // Straight-line code, which may wait.
    /// let sum = LazyCell::new(|| async { twoply::spawn_fn(|| (1..=4).sum::<u32>()).wait() });
    /// assert_eq!(*sum.get().wait().as_ref().unwrap(), 10);
    /// ```
    #[cfg(not(loom))]
    pub const fn new(init: F) -> LazyCell<T, F> {
        LazyCell { cell: OnceCell::new(), init }
    }

    /// Returns the value, and makes it if there is none; finish it with `.await` or `.wait()`.
    ///
    /// Cancel-safe, as [`OnceCell::get_or_init`] is.
    ///
    /// # Panics
    /// As [`OnceCell::get_or_init`].
    ///
    /// # Examples
    /// ```
    /// use std::future::ready;
    /// use twoply::{Wait, sync::LazyCell};
    ///
    /// let greeting = LazyCell::new(|| ready("hello".to_owned()));
    /// assert_eq!(greeting.get().wait(), "hello");
    /// ```
    pub async fn get<R>(&self) -> &T
    where
        F: Fn() -> R,
        R: IntoFuture<Output = T>,
    {
        self.cell.get_or_init(&self.init).await
    }

    /// Returns the value, if it has been made. Never waits.
    ///
    /// # Examples
    /// ```
    /// use std::future::ready;
    /// use twoply::{Wait, sync::LazyCell};
    ///
    /// let seven = LazyCell::new(|| ready(7));
    /// assert_eq!(seven.try_get(), None);
    /// seven.get().wait();
    /// assert_eq!(seven.try_get(), Some(&7));
    /// ```
    pub fn try_get(&self) -> Option<&T> {
        self.cell.get()
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyCell<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LazyCell").field(&self.try_get()).finish()
    }
}
