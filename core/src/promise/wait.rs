//! Waiting for a promise: the futures, by value and by reference.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::Promise;
use super::cell::{Cell, Handle, Outcome};
use super::line::Ticket;
use super::resolver::Resolver;
use crate::kernel::coop;
use crate::kernel::descent::is_part_of_derived;
use crate::kernel::task::Failure;
use crate::kernel::task::owner::{Owner, Owning};

/// Whether the promise of `cell` has come out, or may not be waited for; else the task of `cx` is woken then. For
/// `shared` see [`Cell::poll_ready`].
#[inline]
fn poll_cell<T>(
    cell: &Arc<Cell<T>>,
    ticket: &mut Ticket,
    shared: bool,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Failure>> {
    if is_part_of_derived(cx) {
        return cell.poll_ready(ticket, shared, cx);
    }
    let unit = ready!(coop::proceed(cx));
    let ready = ready!(cell.poll_ready(ticket, shared, cx));
    unit.spend();
    Poll::Ready(ready)
}

/// What a wait says when it is polled after it was ready.
const POLLED_AGAIN: &str = "a wait for a promise was polled after it was ready";

/// A handle that is waiting: it leaves the line when it is dropped.
struct InLine<T> {
    /// The promise, until its value has been handed out.
    handle: Option<Handle<T>>,
    /// Its place in line.
    ticket: Ticket,
}

impl<T> InLine<T> {
    fn new(handle: Handle<T>) -> InLine<T> {
        InLine { handle: Some(handle), ticket: Ticket::default() }
    }

    /// The handle, once its promise has come out.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Handle<T>, Failure>> {
        let handle = self.handle.as_ref().expect(POLLED_AGAIN);
        // The handle is in the hands of the caller: nobody can clone it meanwhile.
        let ready = ready!(poll_cell(handle.cell(), &mut self.ticket, handle.is_shared(), cx));
        let handle = self.handle.take().expect(POLLED_AGAIN);
        Poll::Ready(ready.map(|()| handle))
    }
}

impl<T> Drop for InLine<T> {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.cell().leave(&mut self.ticket);
        }
    }
}

/// The future of a [`Promise`] by value: finish it with `.await` or `.wait()`.
///
/// Its output is a clone of the value, or the value itself if no other promise of it is left. Dropping it changes
/// nothing for others.
///
/// # Panics
/// When it is polled after it was ready.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Waiting<T> {
    /// The promise and its place in line.
    line: InLine<T>,
    /// As in [`Promise`].
    shared: super::Shared<T>,
}

impl<T> Waiting<T> {
    pub(super) fn new(promise: Promise<T>) -> Waiting<T> {
        Waiting { line: InLine::new(promise.handle), shared: promise.shared }
    }
}

// Nothing in it is ever pinned.
impl<T> Unpin for Waiting<T> {}

impl<T: Clone> Future for Waiting<T> {
    type Output = Outcome<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        let handle = ready!(self.line.poll(cx))?;
        Poll::Ready(match handle.take() {
            Ok(outcome) => outcome,
            Err(shared) => shared.get().cloned().unwrap_or(Err(Failure::Broken)),
        })
    }
}

impl<T> fmt::Debug for Waiting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}

/// The future of a [`Promise`] by reference: finish it with `.await` or `.wait()`. Its output is a reference to the
/// value.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct WaitingRef<'a, T> {
    /// The promise.
    promise: &'a Promise<T>,
    /// Its place in line.
    ticket: Ticket,
}

impl<'a, T> WaitingRef<'a, T> {
    pub(super) fn new(promise: &'a Promise<T>) -> WaitingRef<'a, T> {
        WaitingRef { promise, ticket: Ticket::default() }
    }
}

impl<'a, T> Future for WaitingRef<'a, T> {
    type Output = Result<&'a T, Failure>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let promise = self.promise;
        // Others may have a reference to the same promise.
        ready!(poll_cell(promise.handle.cell(), &mut self.ticket, true, cx))?;
        Poll::Ready(match promise.handle.get() {
            Some(outcome) => outcome.as_ref().map_err(Failure::clone),
            None => Err(Failure::Broken),
        })
    }
}

impl<T> Drop for WaitingRef<'_, T> {
    fn drop(&mut self) {
        self.promise.handle.cell().leave(&mut self.ticket);
    }
}

impl<T> fmt::Debug for WaitingRef<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingRef").finish_non_exhaustive()
    }
}

/// A promise that cannot be cloned, and so gives its value away: the answer to one question. It is itself the future.
///
/// Neither `T: Clone` nor `T: Sync` is asked for. [`Answer::share`] makes it a [`Promise`].
///
/// Dropping it gives up on the answer; a late one is dropped.
///
/// # Panics
/// When it is polled after it was ready.
///
/// # Examples
/// ```
/// use std::cell::Cell;
/// use twoply::{Wait, promise};
///
/// let (answer, resolver) = promise::answer();
/// std::thread::spawn(move || resolver.resolve(Cell::new(7)));
/// assert_eq!(answer.wait().unwrap().get(), 7);
/// ```
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Answer<T>(InLine<T>);

/// An answer that is still to be given, and the means to give it.
pub fn answer<T>() -> (Answer<T>, Resolver<T>) {
    let (handle, pen) = Cell::pair(None);
    (Answer(InLine::new(handle)), Resolver::new(pen))
}

/// An answer that `owner` owes.
pub(crate) fn owed_answer<T: Send + 'static>(owner: Arc<dyn Owning>) -> (Answer<T>, Resolver<T>) {
    let (handle, pen) = Cell::owed(Owner::of_other(owner));
    (Answer(InLine::new(handle)), Resolver::new(pen))
}

impl<T> Answer<T> {
    /// Makes a promise of it, which may be cloned.
    ///
    /// # Panics
    /// When it has been ready already.
    pub fn share(mut self) -> Promise<T> {
        let handle = self.0.handle.take().expect("the answer has been taken already");
        handle.cell().leave(&mut self.0.ticket);
        Promise::of(handle)
    }

    /// Whether the answer is there.
    pub fn is_ready(&self) -> bool {
        self.0.handle.as_ref().is_none_or(|handle| handle.cell().is_ready())
    }
}

// Nothing in it is ever pinned.
impl<T> Unpin for Answer<T> {}

impl<T> Future for Answer<T> {
    type Output = Outcome<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        let handle = ready!(self.0.poll(cx))?;
        // There is no other promise, so what has come out is taken.
        Poll::Ready(handle.take().unwrap_or(Err(Failure::Broken)))
    }
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("ready", &self.is_ready()).finish()
    }
}
