//! The end of a promise that keeps it.

use std::fmt;

use super::cell::ResolverInner;
use crate::kernel::strand::{part_with, with_state};
use crate::kernel::task::AsOwner;
use crate::kernel::task::Failure;
use crate::kernel::task::owner::Owner;

/// Keeps a [`Promise`](super::Promise): gives it its value, or says why there is none.
///
/// The first outcome counts. Clones may race for it; the others are told that they came too late. When the
/// last one is dropped before there is an outcome, the promise comes out as [`Failure::Broken`], or, for a
/// question to a process that has ended, as [`Failure::NoProcess`]: nobody waits forever for a resolver that
/// is gone.
///
/// # Examples
/// ```
/// use twoply::{Wait, promise};
///
/// let (answer, resolver) = promise::pair();
/// let rival = resolver.clone();
/// resolver.resolve(1).unwrap();
/// assert_eq!(rival.resolve(2).unwrap_err().into_inner(), 2);
/// assert_eq!(answer.wait().unwrap(), 1);
/// ```
#[must_use = "dropping the last resolver breaks the promise"]
pub struct Resolver<T>(ResolverInner<T>);

impl<T> Resolver<T> {
    pub(super) fn new(inner: ResolverInner<T>) -> Resolver<T> {
        Resolver(inner)
    }

    /// Keeps the promise: everybody who waits for it is woken and gets `value`.
    ///
    /// # Errors
    /// When there is an outcome already. The value is handed back.
    ///
    /// ```
    /// use twoply::{Wait, promise};
    ///
    /// let (promise, resolver) = promise::pair();
    /// resolver.resolve("tea").unwrap();
    /// assert_eq!(promise.wait().unwrap(), "tea");
    /// ```
    pub fn resolve(self, value: T) -> Result<(), ResolveError<T>> {
        part_with::<T>();
        self.0.resolve(Ok(value)).map_err(|late| match late {
            Ok(value) => ResolveError(value),
            Err(_) => unreachable!("what comes back is what went in"),
        })
    }

    /// Gives the promise up: everybody who waits for it is woken and told why.
    ///
    /// # Errors
    /// When there is an outcome already. The failure is handed back.
    ///
    /// ```
    /// use twoply::{Wait, promise::{self, Failure}};
    ///
    /// let (promise, resolver) = promise::pair::<u8>();
    /// resolver.fail(Failure::TimedOut).unwrap();
    /// assert!(matches!(promise.wait(), Err(Failure::TimedOut)));
    /// ```
    pub fn fail(self, failure: Failure) -> Result<(), ResolveError<Failure>> {
        self.0.resolve(Err(failure)).map_err(|late| match late {
            Err(failure) => ResolveError(failure),
            Ok(_) => unreachable!("what comes back is what went in"),
        })
    }

    /// Returns true if there is an outcome already, so that another one would come too late.
    ///
    /// ```
    /// let (_promise, resolver) = twoply::promise::pair();
    /// let rival = resolver.clone();
    /// assert!(!rival.is_resolved());
    /// resolver.resolve(7).unwrap();
    /// assert!(rival.is_resolved());
    /// ```
    pub fn is_resolved(&self) -> bool {
        self.0.is_claimed()
    }

    /// Returns true if any promise is left; if not, nobody will ever see the value.
    ///
    /// ```
    /// let (promise, resolver) = twoply::promise::pair::<u8>();
    /// assert!(resolver.is_wanted());
    /// drop(promise);
    /// assert!(!resolver.is_wanted());
    /// ```
    pub fn is_wanted(&self) -> bool {
        self.0.is_wanted()
    }

    /// Makes the calling task the one who owes the value. Outside of any task nobody is known to owe it after
    /// that, and neither in what another task may go on with: in [shielded](crate::task::shield) work and in
    /// what a promise is [derived](crate::promise::Promise::then) by.
    ///
    /// Deadlocks are found by who owes; see [the module](super). So it must be true: a task that passes such
    /// a resolver on says so, with [`set_owner`](Resolver::set_owner), or there with `set_current_owner`, or
    /// with [`clear_owner`](Resolver::clear_owner). A process that passes on what it has been asked need not:
    /// that is noticed.
    ///
    /// ```
    /// use twoply::{Wait, promise::{self, Failure}};
    ///
    /// let (promise, resolver) = promise::pair::<u8>();
    /// let task = twoply::spawn(async move {
    ///     resolver.set_current_owner();
    ///     // It waits for what it owes itself, so nobody could ever wake it.
    ///     let told = promise.await;
    ///     drop(resolver);
    ///     told
    /// });
    /// assert!(matches!(task.wait().unwrap(), Err(Failure::Deadlock(_))));
    /// ```
    pub fn set_current_owner(&self) {
        match with_state(|state| state.nested_polls().is_lent()) {
            true => self.clear_owner(),
            false => self.set_polling_owner(),
        }
    }

    /// Makes the calling task the one who owes the value, also in what another task may go on with: the
    /// caller clears that when it has polled.
    pub(crate) fn set_polling_owner(&self) {
        self.assign(with_state(|state| state.task()).map(Owner::of_task));
    }

    /// Makes `owner` the one who owes the value: a [task](crate::task::TaskRef) or a
    /// [process](crate::actor::ProcessRef).
    ///
    /// If the owner waits, however indirectly, for somebody who waits for this promise, one of these waits
    /// comes out as [`Failure::Deadlock`].
    ///
    /// ```
    /// use twoply::{Wait, channel, promise};
    ///
    /// let (promise, resolver) = promise::pair();
    /// let (tx, rx) = channel::oneshot::<promise::Resolver<u8>>();
    /// let worker = twoply::spawn(async move { rx.await.unwrap().resolve(7).unwrap() });
    /// resolver.set_owner(&worker.task());
    /// tx.send(resolver).unwrap();
    /// assert_eq!(promise.wait().unwrap(), 7);
    /// ```
    pub fn set_owner(&self, owner: &impl AsOwner) {
        self.assign(Some(owner.as_owner()));
    }

    /// Makes nobody the known owner of the value, so that waiting for it is never taken for a deadlock.
    ///
    /// ```
    /// use twoply::{Wait, promise};
    ///
    /// let task = twoply::spawn(async {
    ///     let (promise, resolver) = promise::pair();
    ///     resolver.set_current_owner();
    ///     // From now on a thread is to resolve it, which is no task.
    ///     resolver.clear_owner();
    ///     std::thread::spawn(move || resolver.resolve(7));
    ///     promise.await
    /// });
    /// assert_eq!(task.wait().unwrap().unwrap(), 7);
    /// ```
    pub fn clear_owner(&self) {
        self.assign(None);
    }

    fn assign(&self, owner: Option<Owner>) {
        self.0.cell().set_owner(owner);
    }
}

impl<T> Clone for Resolver<T> {
    fn clone(&self) -> Resolver<T> {
        Resolver(self.0.clone())
    }
}

impl<T> fmt::Debug for Resolver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("resolved", &self.is_resolved()).finish_non_exhaustive()
    }
}

/// There was an outcome already. This holds the one that came too late.
///
/// ```
/// let (_promise, resolver) = twoply::promise::pair();
/// let late = resolver.clone();
/// resolver.resolve(1).unwrap();
/// assert_eq!(late.resolve(2).unwrap_err().into_inner(), 2);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the promise has been resolved already")]
pub struct ResolveError<T>(T);

impl<T> ResolveError<T> {
    /// Returns the outcome that came too late.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for ResolveError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolveError").finish_non_exhaustive()
    }
}
