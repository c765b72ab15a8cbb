//! Promises: values that are still to come, for any number of those who wait.
//!
//! A [`Promise`] and its [`Resolver`] are made by [`pair`]. The resolver gives the value, or the [`Failure`]
//! that stands in for it, once; promises may be cloned, and each is waited for like any future. Nobody waits
//! forever: when the last resolver is dropped, the promise is broken and says so.
//!
//! A [`Task`](crate::task::Task) is a promise of its result, too, which can also be cancelled; `Failure` is
//! the one error of both. The idea is that of Io's futures and of E's promises and resolvers.
//!
//! ```
//! use twoply::{Wait, promise};
//!
//! let (promise, resolver) = promise::pair();
//! let waiting: Vec<_> = (0..3)
//!     .map(|_| {
//!         let promise = promise.clone();
//!         std::thread::spawn(move || promise.wait())
//!     })
//!     .collect();
//! resolver.resolve("tea").unwrap();
//! for thread in waiting {
//!     assert_eq!(thread.join().unwrap().unwrap(), "tea");
//! }
//! ```
//!
//! # Deadlocks
//! A task that would wait for itself in the end, through others that wait, is not left waiting: its wait
//! comes out as [`Failure::Deadlock`], which names all of them. That is found where it is known who owes: a
//! task owes its result, a process the answers to what it is asked, and the room in its mailbox for a
//! question, and a task what it has [taken on](Resolver::set_current_owner) or been
//! [given](Resolver::set_owner). Whoever is told may go on, and keep what it owes itself.
//!
//! An edge of such a circle is a wait for a promise, a task or an answer without which its task cannot go on
//! at all: the only one that the task's poll leaves, and not one inside `select`, `race`, `any` or a time
//! limit, nor a member of a `join` while others are left. That goes for the macros of other libraries, too,
//! which poll several futures with the task's own waker. So nobody is told of a circle through two members of
//! one join; nor of one through a wait for something else: for a message, room for a message that is no
//! question, the end of a [scope](crate::task::scope) or the next result of a
//! [group](crate::task::TaskGroup). A circle may go through the lock of a [`Mutex`](crate::sync::Mutex): the
//! one that waits for it may be told instead.
//!
//! A question may be passed on, and then somebody else answers it. So a process is held to owe only while
//! nobody else can have the resolver: while the question waits in its mailbox, or is the last message that it
//! has received and it has parted with nothing since. It parts with what it sends, starts, resolves or leaves
//! in a timer, if that has a destructor; what an unanswered [question](crate::actor::ProcessRef::ask) of its
//! own carries counts only when that has been answered or given up. A process that has received two messages
//! since it was asked may have kept the first one, and passed it on with the second. So circles of processes
//! that ask each other are found, and those of [active values](crate::actor::Active) in any case, for no
//! closure gets hold of the resolver; a circle through a process that has sent something else meanwhile, or
//! was busy with other messages when it was asked, is not.
//!
//! One thing has to be said, lest somebody is told of a circle where there is none: that a resolver is passed
//! on which the process or the task has been said to owe, by [`set_owner`](Resolver::set_owner) or
//! [`clear_owner`](Resolver::clear_owner), or which goes by a way that this library does not see (a lock, a
//! channel of another library, a thread of the program's own). What a promise is waited for beside, in a
//! macro of another library, is found out by polling once more, before anybody is told.
//!
//! This module starts no task, and holds no lock while code of the user's runs.

mod callback;
mod cell;
mod derived;
mod resolver;
mod timeout;
mod transparent;
mod wait;
mod waiters;

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;

pub use crate::kernel::task::{AsOwner, Cycle, Failure};
pub use resolver::{ResolveError, Resolver};
pub use timeout::{Unwatched, WaitTimeout, unwatched};
pub use transparent::Transparent;
pub use wait::{Answer, Waiting, WaitingRef, answer};

pub(crate) use callback::callback;
pub(crate) use wait::owed_answer;

use cell::{Cell, PromiseInner};

/// Makes a promise `Send` and `Sync` only where a reference to its value, and the value, may go to other
/// threads.
type SharesValue<T> = PhantomData<Arc<T>>;

/// A value that is still to come. Clones are promises of the same value.
///
/// - `promise.await` and `promise.wait()` give the value itself, or a clone of it while other promises of it
///   are left.
/// - `(&promise).await` and `(&promise).wait()` give a reference, and ask for no `Clone`.
/// - [`try_get`](Promise::try_get) looks without waiting.
///
/// All waits are cancel-safe: dropping one changes nothing for others.
///
/// # Examples
/// ```
/// use twoply::{Wait, promise};
///
/// let (promise, resolver) = promise::pair::<String>();
/// assert!(promise.try_get().is_none());
/// resolver.resolve("tea".to_owned()).unwrap();
/// assert_eq!((&promise).wait().unwrap(), "tea");
/// assert_eq!(promise.wait().unwrap(), "tea".to_owned());
/// ```
///
/// A promise is shared between threads if references to its value may be:
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<twoply::promise::Promise<std::cell::Cell<u32>>>();
/// ```
pub struct Promise<T> {
    inner: PromiseInner<T>,
    shares_value: SharesValue<T>,
}

/// Makes a promise, and the resolver that keeps it. Nobody is known to owe it before
/// [`Resolver::set_current_owner`] or [`Resolver::set_owner`] says so.
///
/// ```
/// use twoply::{Wait, promise};
///
/// let (promise, resolver) = promise::pair();
/// std::thread::spawn(move || resolver.resolve(7));
/// assert_eq!(promise.wait().unwrap(), 7);
/// ```
pub fn pair<T>() -> (Promise<T>, Resolver<T>) {
    let (promise, resolver) = Cell::pair(None);
    (Promise::of(promise), Resolver::new(resolver))
}

impl<T> Promise<T> {
    fn of(inner: PromiseInner<T>) -> Promise<T> {
        Promise { inner, shares_value: PhantomData }
    }

    /// Makes a promise that is kept already.
    ///
    /// ```
    /// use twoply::{Wait, promise::Promise};
    ///
    /// assert_eq!(Promise::ready(7).wait().unwrap(), 7);
    /// ```
    pub fn ready(value: T) -> Promise<T> {
        Promise::of(Cell::resolved(Ok(value)))
    }

    /// Makes a promise that has failed already.
    ///
    /// ```
    /// use twoply::{Wait, promise::{Failure, Promise}};
    ///
    /// let promise = Promise::<u8>::failed(Failure::Cancelled);
    /// assert!(matches!(promise.wait(), Err(Failure::Cancelled)));
    /// ```
    pub fn failed(failure: Failure) -> Promise<T> {
        Promise::of(Cell::resolved(Err(failure)))
    }

    /// Returns true if it has come out, with a value or a failure.
    ///
    /// ```
    /// let (promise, resolver) = twoply::promise::pair();
    /// assert!(!promise.is_ready());
    /// resolver.resolve(7).unwrap();
    /// assert!(promise.is_ready());
    /// ```
    pub fn is_ready(&self) -> bool {
        self.inner.look()
    }

    /// Returns the value or the failure, if it has come out. Never waits.
    ///
    /// ```
    /// let (promise, resolver) = twoply::promise::pair();
    /// assert!(promise.try_get().is_none());
    /// resolver.resolve(7).unwrap();
    /// assert_eq!(promise.try_get().unwrap().unwrap(), &7);
    /// ```
    pub fn try_get(&self) -> Option<Result<&T, &Failure>> {
        self.inner.look();
        self.inner.get().map(Result::as_ref)
    }

    /// Takes the value out.
    ///
    /// # Errors
    /// When it has not come out, or when there are other promises of it. The promise is handed back.
    ///
    /// ```
    /// use twoply::promise::Promise;
    ///
    /// let promise = Promise::ready(7);
    /// let other = promise.clone();
    /// let promise = promise.into_inner().unwrap_err();
    /// drop(other);
    /// assert_eq!(promise.into_inner().unwrap().unwrap(), 7);
    /// ```
    pub fn into_inner(self) -> Result<Result<T, Failure>, Promise<T>> {
        self.inner.take().map_err(Promise::of)
    }
}

impl<T> Clone for Promise<T> {
    fn clone(&self) -> Promise<T> {
        Promise::of(self.inner.clone())
    }
}

impl<T: Clone> IntoFuture for Promise<T> {
    type Output = Result<T, Failure>;
    type IntoFuture = Waiting<T>;

    fn into_future(self) -> Waiting<T> {
        Waiting::new(self)
    }
}

impl<'a, T> IntoFuture for &'a Promise<T> {
    type Output = Result<&'a T, Failure>;
    type IntoFuture = WaitingRef<'a, T>;

    fn into_future(self) -> WaitingRef<'a, T> {
        WaitingRef::new(self)
    }
}

impl<T> fmt::Debug for Promise<T> {
    /// Says whether the promise has come out. It does not poll a derived promise for that: no closure is
    /// called.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_ready = self.inner.cell().is_ready();
        f.debug_struct("Promise").field("ready", &is_ready).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
