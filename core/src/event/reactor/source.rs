//! A descriptor, what is known of its readiness, and who waits for it.
//!
//! Everything that reads or writes goes through [`IoWaiter::poll_op`]: it tries the system call, and where
//! the descriptor is not ready it stores a waker here and calls a function that has the descriptor watched.
//! The watcher, a [`Reactor`] or a parked thread, reports to [`IoSource::notify`]. The source knows no task
//! and runs nothing but wakers, with nothing locked.
//!
//! # Readiness
//! A source may be *bound* to one reactor, which then reports every change of readiness (an edge) but no
//! state. So a bound source remembers: it is ready until a system call has said that it is not, and while it
//! is not ready no system call is made. An unbound source always tries; and one that a read has had bound is
//! taken to be writable.
//!
//! ```text
//! word:  [4..: tick, one for each report] [3: STICKY] [2: BOUND] [1: WRITE] [0: READ]
//!
//!   READ clear ──(1) ready: an event──▶ READ set, next tick
//!        ▲                                │
//!        └───(2) clear: a system call ────┘   only if the tick is still the one from before the call
//!
//! (1) ready   the watcher; then it takes the waiters' wakers under the lock, and wakes them without it.
//! (2) clear   the caller of the system call. An event between its call and its `clear` has changed the tick:
//!             then nothing is cleared and it tries again.
//! ```
//!
//! A waiter enters its waker (under the lock) before it looks at the word for the last time, and `ready`
//! writes the word before it takes the lock. So either the waiter sees the event or `ready` sees the waiter:
//! the lock orders the two, and the word needs no more than its own order of changes. Only what a report
//! announces is published by the word, from `report` to the look before a system call.
//!
//! STICKY: an end of the stream, an error or urgent data has been reported. From then on a short read does
//! not mean that there is nothing more to come, and there may be no further edge.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker, ready};

use super::socket::IoHandle;
use super::table::Key;
use super::waiters::{Direction, IoWaiter, Waiters, WakerSlot};
use super::{Interest, Reactor, Shared, sys};
use crate::base::fork;
use crate::base::sync::atomic::AtomicU32;
use crate::base::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::base::sync::{Mutex, lock};
use crate::base::wake::{StoredWaker, wake_all};

/// Set while a reactor reports the source's edges.
const BOUND: u32 = 1 << 2;
/// Set once a short read no longer means that the descriptor is drained.
const STICKY: u32 = 1 << 3;
/// One report more in the upper bits of the word.
const TICK: u32 = 1 << 4;

/// A descriptor with its readiness and its waiters: what a [`Driver`](crate::backend::Driver) watches.
///
/// Dropping it takes it out of the reactor that it is bound to and closes the descriptor.
///
/// # Examples
/// ```
/// use std::os::fd::{AsFd, OwnedFd};
/// use std::os::unix::net::UnixStream;
/// use twoply::reactor::{Interest, IoSource, Reactor};
///
/// let reactor = Reactor::new()?;
/// let (ours, _theirs) = UnixStream::pair()?;
/// ours.set_nonblocking(true)?;
/// let source = IoSource::new(OwnedFd::from(ours));
/// source.bind(&reactor)?;
/// assert_eq!(reactor.metrics().registered, 1);
/// drop(source);
/// assert_eq!(reactor.metrics().registered, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct IoSource {
    /// `None` only while [`IoSource::into_handle`] takes it out.
    handle: Option<IoHandle>,
    /// Shared with the reactor. It outlives the descriptor by a moment, so that closing the descriptor does
    /// not wait for a turn under way.
    state: Arc<State>,
}

/// Readiness and waiters of a source. What a read that waits needs comes first, on one line of the cache as
/// far as the allocator allows: with thousands of sources each line is a miss.
#[derive(Default)]
#[repr(C)]
pub(super) struct State {
    /// The readiness; see the diagram above.
    word: AtomicU32,
    inner: Mutex<Inner>,
}

/// The part of a source that is locked.
#[derive(Default)]
#[repr(C)]
struct Inner {
    read: Waiters,
    write: Waiters,
    /// The reactor that reports the source's edges; there is one exactly while [`BOUND`] is set.
    binding: Option<Binding>,
}

/// A registration with a reactor.
struct Binding {
    /// Weak, because the user keeps the reactor alive.
    reactor: Weak<Shared>,
    /// The key of the source in the reactor's table.
    key: Key,
    /// The number of forks when the binding was made.
    born: u64,
}

/// The result of an operation that has succeeded.
#[derive(Debug)]
pub(crate) enum Progress<R> {
    /// The next operation may succeed, too.
    More(R),
    /// The operation took all that was there, so the next one waits for an event. Only for byte streams on
    /// which a short transfer means exactly that.
    Drained(R),
}

impl IoSource {
    /// Creates a source that owns `fd`; nobody watches it yet. Calls on the descriptor must not block: it is
    /// in non-blocking mode, or each call says so with a flag.
    pub fn new(fd: OwnedFd) -> Arc<IoSource> {
        IoSource::of(IoHandle::Descriptor(fd))
    }

    /// Creates a source that watches the same open file as `io` does, through a descriptor of its own.
    ///
    /// # Errors
    /// Fails where no poller can watch it: [`Unsupported`](io::ErrorKind::Unsupported) for a regular file and
    /// whatever else is always ready. Fails when the system is out of descriptors, too.
    pub(crate) fn watching(io: BorrowedFd<'_>) -> io::Result<Arc<IoSource>> {
        let fd = io.try_clone_to_owned()?;
        sys::check(fd.as_fd()).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => io::Error::new(
                io::ErrorKind::Unsupported,
                "a descriptor of this kind (a regular file, a directory, ...) is always ready: there is nothing \
                 to wait for",
            ),
            _ => error,
        })?;
        Ok(IoSource::new(fd))
    }

    /// Makes a source of `handle`. A simulated socket is told to report to it.
    pub(crate) fn of(handle: IoHandle) -> Arc<IoSource> {
        let state: Arc<State> = Arc::default();
        if let IoHandle::Simulated(socket) = &handle {
            let state = Arc::downgrade(&state);
            socket.attach(Arc::new(move |ready| {
                if let Some(state) = state.upgrade() {
                    state.ready(ready, false);
                }
            }));
        }
        Arc::new(IoSource { handle: Some(handle), state })
    }

    /// Returns the handle that it stands for.
    #[inline]
    pub(crate) fn handle(&self) -> &IoHandle {
        match &self.handle {
            Some(handle) => handle,
            None => unreachable!("it is taken out only by `into_handle`, which owns the source"),
        }
    }

    /// Returns whether the source is simulated: then it has no descriptor and reports by itself, and nobody
    /// watches it.
    pub(crate) fn is_simulated(&self) -> bool {
        matches!(self.handle, Some(IoHandle::Simulated(_)))
    }

    /// Wakes all who wait for the descriptor to become ready for `ready`. Called by the driver that watches
    /// it.
    ///
    /// A report for a descriptor that is not ready is harmless: those who are woken try, and wait again.
    pub fn notify(&self, ready: Interest) {
        self.state.ready(ready, false);
    }

    /// Has the next operation in `direction` be tried, whatever is known of the readiness. If it would block,
    /// that is known again.
    pub(crate) fn assume_ready(&self, direction: Direction) {
        let bit = u32::from(direction.interest().0);
        self.state.report(|word| word | bit);
    }

    /// Has `reactor` report the readiness of this source from now on, until one of the two is dropped. Does
    /// nothing when a reactor does so already: a source stays with the first one.
    ///
    /// # Errors
    /// Fails when the operating system refuses to watch the descriptor, or the reactor has been closed.
    pub fn bind(&self, reactor: &Reactor) -> io::Result<()> {
        if self.is_simulated() {
            return Ok(());
        }
        // Acquire is not needed: a source that was bound a moment ago is as good as bound.
        if self.state.word.load(Relaxed) & BOUND != 0 && !self.state.is_forked() {
            return Ok(());
        }
        // Held throughout, so that a `close` of the reactor that has found the entry waits for the binding.
        let mut inner = lock(&self.state.inner);
        // In the child of a fork nobody turns the reactor that it was bound to.
        if inner.binding.as_ref().is_some_and(|binding| binding.born == fork::count()) {
            return Ok(());
        }
        let key = reactor.shared.bind(self.as_fd(), &self.state)?;
        let reactor = Arc::downgrade(&reactor.shared);
        inner.binding = Some(Binding { reactor, key, born: fork::count() });
        // Registering reports the present state as an event: nothing that is there already is missed.
        // Relaxed: the bit announces nothing else.
        self.state.word.fetch_or(BOUND, Relaxed);
        Ok(())
    }

    /// Returns whether somebody waits for `interest` with a waker for which `which` returns true.
    pub(crate) fn waits(&self, interest: Interest, mut which: impl FnMut(&Waker) -> bool) -> bool {
        let inner = lock(&self.state.inner);
        (interest.contains(Interest::READ) && inner.read.any(&mut which))
            || (interest.contains(Interest::WRITE) && inner.write.any(&mut which))
    }

    /// Returns the handle. If something else refers to the source at this moment, the descriptor is
    /// duplicated.
    ///
    /// # Errors
    /// Fails when duplicating fails, as it does for a simulated socket.
    pub(crate) fn into_handle(this: Arc<IoSource>) -> io::Result<IoHandle> {
        match Arc::try_unwrap(this) {
            Ok(mut source) => {
                source.leave_reactor();
                source.handle.take().ok_or_else(|| io::ErrorKind::NotConnected.into())
            }
            Err(shared) => Ok(IoHandle::Descriptor(shared.as_fd().try_clone_to_owned()?)),
        }
    }

    /// Frees a waiter's slot.
    pub(super) fn leave(&self, direction: Direction, slot: WakerSlot) {
        let waker = lock(&self.state.inner).waiters(direction).leave(slot);
        // Outside the lock: dropping a waker may drop a task.
        drop(waker);
    }

    /// Drops the waker that the poll functions of `direction` have stored last.
    pub(crate) fn forget(&self, direction: Direction) {
        self.leave(direction, WakerSlot::Fixed);
    }

    fn leave_reactor(&self) {
        let binding = lock(&self.state.inner).binding.take();
        if let Some(binding) = binding
            && let Some(reactor) = binding.reactor.upgrade()
        {
            reactor.deregister(self.as_fd(), binding.key);
        }
    }
}

impl AsFd for IoSource {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle().as_fd()
    }
}

impl Drop for IoSource {
    fn drop(&mut self) {
        // Before the descriptor closes: with a duplicate of it around, the kernel would go on reporting.
        if self.handle.is_some() {
            self.leave_reactor();
        }
    }
}

impl std::fmt::Debug for IoSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IoSource").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl State {
    /// Returns whether this process is the child of a fork and the source was bound by its parent.
    fn is_forked(&self) -> bool {
        // Nearly always nobody has forked.
        fork::count() != 0
            && lock(&self.inner).binding.as_ref().is_some_and(|binding| binding.born != fork::count())
    }

    /// Stores `waker` in `slot`, or in a new slot if that is unset. Returns whether it was there already.
    fn enter(&self, direction: Direction, slot: &mut WakerSlot, waker: &Waker) -> bool {
        // Cloning runs code of the user's, so it happens between two locks, and only when it must.
        let known =
            |inner: &mut Inner| inner.waiters(direction).waker(*slot).is_some_and(|old| old.will_wake(waker));
        if known(&mut lock(&self.inner)) {
            return true;
        }
        let waker = StoredWaker::of(waker);
        let (entered, old) = lock(&self.inner).waiters(direction).enter(*slot, waker);
        *slot = entered;
        drop(old);
        false
    }

    /// Records a report, and wakes all who wait for it.
    pub(super) fn ready(&self, ready: Interest, sticky: bool) {
        let bits = u32::from(ready.0) | if sticky { STICKY } else { 0 };
        self.report(|word| word | bits);
        self.wake(ready);
    }

    /// Forgets `reactor`, which is gone, and wakes everybody, so that they look for another driver. Does
    /// nothing if another one watches by now, as in the child of a fork: there its parent's may end later.
    pub(super) fn unbind(&self, reactor: *const Shared) {
        {
            let mut inner = lock(&self.inner);
            if inner.binding.as_ref().is_some_and(|binding| binding.reactor.as_ptr() != reactor) {
                return;
            }
            inner.binding = None;
            let bits = u32::from(Interest::BOTH.0);
            self.report(|word| (word | bits) & !BOUND);
        }
        self.wake(Interest::BOTH);
    }

    fn report(&self, change: impl Fn(u32) -> u32) {
        let mut word = self.word.load(Relaxed);
        loop {
            // Release pairs with the Acquire load in `poll_op`.
            match self.word.compare_exchange_weak(word, change(word).wrapping_add(TICK), Release, Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Clears readiness that a system call has refuted. Returns false, and clears nothing, when there has
    /// been a report since `seen`.
    fn clear(&self, bit: u32, seen: u32) -> bool {
        let mut word = self.word.load(Relaxed);
        loop {
            if word / TICK != seen / TICK {
                return false;
            }
            // Relaxed: the tick is in the word itself, and what reports have published stays published.
            match self.word.compare_exchange_weak(word, word & !bit, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    fn wake(&self, ready: Interest) {
        let mut more = Vec::new();
        let (mut reader, mut writer) = (None, None);
        {
            let mut inner = lock(&self.inner);
            if ready.contains(Interest::READ) {
                reader = inner.read.take_all(&mut more);
            }
            if ready.contains(Interest::WRITE) {
                writer = inner.write.take_all(&mut more);
            }
        }
        // Nearly always there is one in each direction at most, which needs no allocation.
        reader.into_iter().for_each(StoredWaker::wake);
        writer.into_iter().for_each(StoredWaker::wake);
        wake_all(more);
    }
}

impl Inner {
    fn waiters(&mut self, direction: Direction) -> &mut Waiters {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}

impl IoWaiter<'_> {
    /// Performs `op`, or has the task woken when it can be performed: the one way in which descriptors are
    /// read and written. `watch` has the driver of the running stack report to the source.
    ///
    /// `op` must not block; it says [`WouldBlock`](io::ErrorKind::WouldBlock) instead. It is called again
    /// when a signal has interrupted it, and any number of times over the polls of a future, but not after it
    /// has returned anything else.
    #[inline]
    pub(crate) fn poll_op<R>(
        &mut self,
        cx: &mut Context<'_>,
        watch: impl Fn(&Arc<IoSource>, Interest, &Waker) -> io::Result<()>,
        mut op: impl FnMut(&IoHandle) -> io::Result<Progress<R>>,
    ) -> Poll<io::Result<R>> {
        let IoWaiter { source, direction, slot } = self;
        let watch = || watch(source, direction.interest(), cx.waker());
        let waiter = Waiter { direction: *direction, slot, waker: cx.waker() };
        source.state.poll_op(waiter, || op(source.handle()), watch)
    }
}

/// A waiter as one poll sees it: its direction and slot, and the waker of the poll.
struct Waiter<'a> {
    direction: Direction,
    slot: &'a mut WakerSlot,
    waker: &'a Waker,
}

impl State {
    /// Does the work of [`IoWaiter::poll_op`].
    #[inline]
    fn poll_op<R>(
        &self,
        mut waiter: Waiter<'_>,
        mut op: impl FnMut() -> io::Result<Progress<R>>,
        mut watch: impl FnMut() -> io::Result<()>,
    ) -> Poll<io::Result<R>> {
        let bit = u32::from(waiter.direction.interest().0);
        loop {
            let seen = self.word.load(Acquire);
            let bound = seen & BOUND != 0;
            if !bound || seen & bit != 0 {
                match op() {
                    Ok(Progress::More(result)) => return Poll::Ready(Ok(result)),
                    Ok(Progress::Drained(result)) => {
                        if bound && seen & STICKY == 0 {
                            self.clear(bit, seen);
                        }
                        return Poll::Ready(Ok(result));
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        if !self.clear(bit, seen) {
                            continue;
                        }
                    }
                    Err(e) => return Poll::Ready(Err(e)),
                }
            }
            ready!(self.poll_watch(&mut waiter, seen, &mut watch))?;
        }
    }

    /// Stores the waker and has the driver watch. Returns `Ready` when there has been a report meanwhile.
    /// `seen` is the word as the poll has found it.
    fn poll_watch(
        &self,
        waiter: &mut Waiter<'_>,
        seen: u32,
        watch: impl FnOnce() -> io::Result<()>,
    ) -> Poll<io::Result<()>> {
        let is_known = self.enter(waiter.direction, waiter.slot, waiter.waker);
        // Whoever has left this waker has had the source watched; and a reactor that stops to do so takes the
        // wakers.
        if !is_known || seen & BOUND == 0 || self.is_forked() {
            watch()?;
        }
        let is_new = seen & BOUND == 0 && self.word.load(Relaxed) & BOUND != 0;
        if is_new && waiter.direction == Direction::Read {
            // Nothing is known of the other direction until the reactor has turned, and who writes before
            // that may not be able to wait.
            self.word.fetch_or(u32::from(Interest::WRITE.0), Relaxed);
        }
        let bit = u32::from(waiter.direction.interest().0);
        // The last look; see the module's header. Relaxed: who sees the bit looks again with Acquire.
        if self.word.load(Relaxed) & bit == 0 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

#[cfg(all(test, loom))]
#[path = "source_model.rs"]
mod model;

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
