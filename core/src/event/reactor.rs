//! Readiness of descriptors and deadlines: one poller, turned by whoever has a thread to spare.
//!
//! A [`Reactor`] owns a poller and a timer queue. It has no thread: a green worker turns one when it is idle,
//! the [I/O server](crate::ioserver)'s thread turns one for everybody else, and a foreign event loop (Qt,
//! GLib, a plain `poll(2)`) can host one, because it is itself a descriptor that becomes readable. It runs
//! the wakers and handlers of what became ready, and nothing else; it never blocks but in
//! [`turn`](Reactor::turn).
//!
//! Two kinds of things are registered:
//! - an [`IoSource`], the descriptor behind our sockets: once, edge-triggered, in both directions, for as
//!   long as it lives. It keeps its own account of who waits;
//! - a [`Registration`], anybody's descriptor with a handler, for the use of the reactor as a library.
//!
//! Both are RAII. Their keys carry a generation, so that an event of a closed descriptor, still queued in the
//! kernel or in the batch being worked through, never reaches a successor that got the same number.
//!
//! Interrupting the wait in the kernel costs a system call, so it is paid only when somebody is there: see
//! `ParkState`.

mod address;
mod metrics;
mod options;
mod park;
mod registration;
mod ring;
mod socket;
mod source;
mod sys;
mod table;
mod waiters;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

pub(crate) use address::path_of;
pub use address::{Address, UnixAddr};
pub use metrics::ReactorMetrics;
pub use options::{SocketOption, SocketOptions};
pub use registration::Registration;
pub(crate) use socket::IoHandle;
pub use socket::{Arrival, Notify, Socket, SocketKind};
pub use source::IoSource;
pub(crate) use source::Progress;
pub use waiters::Direction;
pub(crate) use waiters::IoWaiter;

use crate::base::fork;
use crate::base::panic::discard_panic;
use crate::base::sync::lock_std;
use crate::base::wake::for_each_then_resume;
use crate::event::timers::Timers;
use metrics::Counters;
use park::ParkState;
use registration::Watch;
use source::State;
use table::{Key, Table, Target};

/// A set of directions: those to watch a descriptor for, or those that it is ready for.
///
/// # Examples
/// ```
/// use twoply::reactor::Interest;
///
/// let both = Interest::READ | Interest::WRITE;
/// assert_eq!(both, Interest::BOTH);
/// assert!(both.contains(Interest::READ));
/// assert!(Interest::NONE.is_empty());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interest(u8);

impl Interest {
    /// Neither of the two directions.
    pub const NONE: Interest = Interest(0);
    /// Bytes, a connection or the end of the stream can be read.
    pub const READ: Interest = Interest(1);
    /// Bytes can be written, or a connection attempt has ended.
    pub const WRITE: Interest = Interest(2);
    /// Both of the two directions.
    pub const BOTH: Interest = Interest(3);

    /// Returns whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns whether all directions of `other` are in this set.
    pub fn contains(self, other: Interest) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

/// A poller and a timer queue, turned by its owner. Clones share it.
///
/// When the last clone is dropped, or at [`close`](Reactor::close), everything that waits on it is woken and
/// looks for another driver.
///
/// # In a foreign event loop
/// The host watches the reactor's descriptor for readability and turns it without waiting. A turn leaves what
/// is beyond 64 events, so a host whose own poller tells of changes only turns until a turn reports nothing.
/// Before it sleeps it must announce that with [`prepare_park`](Reactor::prepare_park):
///
/// ```
/// use std::time::{Duration, Instant};
/// use rustix::event::{PollFd, PollFlags, poll};
/// use twoply::reactor::Reactor;
///
/// let reactor = Reactor::new()?;
/// let key = reactor.timers().insert(Instant::now() + Duration::from_millis(5), std::task::Waker::noop());
/// let mut fired = 0;
/// while fired == 0 {
///     if reactor.prepare_park() {
///         let left = reactor.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
///         let left = left.and_then(|left| left.try_into().ok());
///         // The host's own descriptors would be in the list, too.
///         let _ = poll(&mut [PollFd::new(&reactor, PollFlags::IN)], left.as_ref())?;
///     }
///     fired += reactor.turn(Some(Duration::ZERO))?.timers;
/// }
/// # assert!(key.is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Reactor {
    shared: Arc<Shared>,
}

/// The state that the clones of a reactor share.
struct Shared {
    poller: sys::Poller,
    park: ParkState,
    /// The buffers of turns. `None` while a thread turns: it has taken them.
    turning: Mutex<Option<Buffers>>,
    table: Mutex<Table>,
    timers: Arc<Timers>,
    ring: ring::Slot,
    counters: Counters,
    /// The number of forks when the reactor was made. In a child of that process the poller is the parent's,
    /// and every change would be made there.
    born: u64,
}

/// The buffers that turns reuse.
#[derive(Default)]
struct Buffers {
    events: sys::Events,
    /// The targets of these events.
    ready: Vec<(Target, sys::Ready)>,
}

/// The result of a [turn](Reactor::turn).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// The number of descriptors that became ready.
    pub events: usize,
    /// The number of timers that were due.
    pub timers: usize,
    /// True if a signal ended the wait.
    pub interrupted: bool,
}

impl Reactor {
    /// Creates a reactor with nothing registered. It takes two descriptors of the system's.
    ///
    /// # Errors
    /// Fails when the operating system is out of descriptors or memory.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::reactor::Reactor;
    ///
    /// let reactor = Reactor::new()?;
    /// let turn = reactor.turn(Some(Duration::from_millis(1)))?;
    /// assert_eq!((turn.events, turn.timers), (0, 0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new() -> io::Result<Reactor> {
        let poller = sys::Poller::new()?;
        let shared = Arc::new_cyclic(|weak: &Weak<Shared>| {
            let weak = Weak::clone(weak);
            let timers = Timers::new(move || {
                if let Some(shared) = weak.upgrade() {
                    shared.deadline_moved();
                }
            });
            Shared {
                poller,
                park: ParkState::new(),
                turning: Mutex::new(Some(Buffers::default())),
                table: Mutex::new(Table::default()),
                timers,
                ring: ring::Slot::default(),
                counters: Counters::default(),
                born: fork::count(),
            }
        });
        Ok(Reactor { shared })
    }

    /// Waits until something is ready, a timer is due, [`notify`](Reactor::notify) is called, a signal
    /// arrives or `timeout` has passed; with `None` it waits as long as it takes. Then runs the wakers and
    /// handlers of what is ready, on this thread, and returns how many descriptors and timers that were. That
    /// may be none, before the timeout: where a timer was due and has been postponed.
    ///
    /// A turn with a timeout of zero never sleeps. One turn reports up to 64 events; what is left is reported
    /// by the next. Timeouts have the resolution of the kernel's timers, nanoseconds on Linux since 5.11.
    ///
    /// # Errors
    /// Returns [`ResourceBusy`](io::ErrorKind::ResourceBusy), at once, while another thread turns this
    /// reactor or when it is called by a handler inside a turn. Fails in the child of a fork, which shares
    /// the poller with its parent, and when the operating system reports an error; a signal is no error.
    ///
    /// # Panics
    /// Panics when a handler of a [`Registration`] does, with its payload, after all others have been called.
    ///
    /// # Examples
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use twoply::reactor::{Interest, Reactor};
    ///
    /// let reactor = Reactor::new()?;
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let _registration = reactor.register(ours, Interest::WRITE, |_| Interest::NONE)?;
    /// assert_eq!(reactor.turn(None)?.events, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn turn(&self, timeout: Option<Duration>) -> io::Result<Turn> {
        let mut turning = Turning::begin(&self.shared)?;
        let notified = self.shared.park.begin_turn(timeout != Some(Duration::ZERO));
        turning.wait(if notified { Some(Duration::ZERO) } else { timeout })
    }

    /// Turns without sleeping, on behalf of an owner that is held up elsewhere. It takes no notification and
    /// does not take the announcement of a park back: they belong to the owner, who may come back at any
    /// moment.
    ///
    /// # Errors
    /// Fails where [`Reactor::turn`] does.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::reactor::Reactor;
    ///
    /// let reactor = Reactor::new()?;
    /// reactor.notify();
    /// reactor.turn_for_owner()?;
    /// // The notification is still there, so this turn does not sleep.
    /// reactor.turn(None)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn turn_for_owner(&self) -> io::Result<Turn> {
        Turning::begin(&self.shared)?.wait(Some(Duration::ZERO))
    }

    /// Announces that the caller is about to sleep: in [`turn`](Reactor::turn), or in a host's event loop
    /// that watches this reactor's descriptor.
    ///
    /// From now on a [`notify`](Reactor::notify) makes the descriptor readable. So a worker announces first,
    /// then looks at its queues once more, and sleeps only if they are still empty: work that comes later
    /// ends the sleep. Returns false when a notification has come already: then the caller must not sleep.
    /// Turn with a timeout of zero to take the announcement back.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twoply::reactor::Reactor;
    /// # let reactor = Reactor::new()?;
    /// # reactor.notify();
    /// # let queue: Vec<u32> = Vec::new();
    /// let may_sleep = reactor.prepare_park() && queue.is_empty();
    /// reactor.turn(if may_sleep { None } else { Some(Duration::ZERO) })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn prepare_park(&self) -> bool {
        self.shared.park.prepare()
    }

    /// Ends the present sleep of the owner, or the next one, from any thread. This takes a system call only
    /// when the owner sleeps.
    ///
    /// # Examples
    /// ```
    /// use twoply::reactor::Reactor;
    ///
    /// let reactor = Reactor::new()?;
    /// let other = reactor.clone();
    /// std::thread::spawn(move || other.notify());
    /// reactor.turn(None)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn notify(&self) {
        self.shared.notify(false);
    }

    /// As [`notify`](Reactor::notify), and makes the descriptor readable in any case, by a system call: for
    /// whoever has turned the reactor beside its owner, and may have taken back that the owner sleeps.
    ///
    /// # Examples
    /// ```
    /// use twoply::reactor::Reactor;
    ///
    /// let reactor = Reactor::new()?;
    /// // The owner says that it sleeps, and somebody else takes that back.
    /// assert!(reactor.prepare_park());
    /// reactor.turn(Some(std::time::Duration::ZERO))?;
    /// reactor.notify_anyway();
    /// reactor.turn(None)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn notify_anyway(&self) {
        self.shared.notify(true);
    }

    /// Returns the time at which the next timer is due; `None` if there are no timers.
    ///
    /// # Examples
    /// ```
    /// use std::time::Instant;
    /// use twoply::reactor::Reactor;
    ///
    /// let reactor = Reactor::new()?;
    /// assert_eq!(reactor.next_deadline(), None);
    /// let now = Instant::now();
    /// assert!(reactor.timers().insert(now, std::task::Waker::noop()).is_ok());
    /// assert_eq!(reactor.next_deadline(), Some(now));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn next_deadline(&self) -> Option<Instant> {
        self.shared.timers.next()
    }

    /// Returns the timers that each turn fires.
    pub fn timers(&self) -> &Arc<Timers> {
        &self.shared.timers
    }

    /// Releases all descriptors and timers, for good. Everything that waits is woken and looks for another
    /// driver, nothing can be registered any more, and a turn only waits. Handlers of registrations are
    /// dropped without being called.
    ///
    /// # Examples
    /// ```
    /// use twoply::reactor::Reactor;
    ///
    /// let reactor = Reactor::new()?;
    /// reactor.close();
    /// assert!(reactor.is_closed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close(&self) {
        self.shared.close();
        self.shared.notify(false);
    }

    /// Returns whether the reactor has been closed. In the child of a fork, a reactor of the parent's counts
    /// as closed.
    pub fn is_closed(&self) -> bool {
        self.shared.is_forked() || lock_std(&self.shared.table).is_closed()
    }

    /// Registers `handler`, which a turn calls, on the thread that turns, when `io` becomes ready for
    /// `interest`.
    ///
    /// One event disarms the registration; the handler returns what to watch for next, and [`Interest::NONE`]
    /// leaves it disarmed until [`Registration::rearm`]. Arming looks at the state of the descriptor: what is
    /// ready then is reported. An error or a hang-up is reported as both directions. A handler may deregister
    /// anything, itself included, may register and rearm; one that has been deregistered is not called, even
    /// when its event was reported in the same turn.
    ///
    /// ```
    /// use std::io::Write;
    /// use std::os::unix::net::UnixStream;
    /// use std::sync::mpsc;
    /// use twoply::reactor::{Interest, Reactor};
    ///
    /// let reactor = Reactor::new()?;
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// let (tx, rx) = mpsc::channel();
    /// let registration = reactor.register(ours, Interest::READ, move |ready| {
    ///     let _ = tx.send(ready);
    ///     Interest::NONE
    /// })?;
    /// theirs.write_all(b"x")?;
    /// assert_eq!(reactor.turn(None)?.events, 1);
    /// assert_eq!(rx.recv(), Ok(Interest::READ));
    /// let ours = registration.deregister();
    /// # drop(ours);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// The registration owns `io`, or shares it with others by an `Arc`. A borrowed descriptor is refused: a
    /// registration that was forgotten would outlive the borrow, and act on whatever gets the descriptor's
    /// number next.
    ///
    /// ```compile_fail,E0597
    /// # use std::os::unix::net::UnixStream;
    /// # use twoply::reactor::{Interest, Reactor};
    /// # let reactor = Reactor::new().unwrap();
    /// # let (ours, theirs) = UnixStream::pair().unwrap();
    /// let registration = reactor.register(&ours, Interest::READ, |_| Interest::NONE);
    /// ```
    ///
    /// # Errors
    /// Fails when the operating system refuses to watch the descriptor, or the reactor has been closed.
    pub fn register<T: AsFd + 'static>(
        &self,
        io: T,
        interest: Interest,
        handler: impl FnMut(Interest) -> Interest + Send + 'static,
    ) -> io::Result<Registration<T>> {
        Registration::new(&self.shared, io, interest, Box::new(handler))
    }
}

impl AsFd for Reactor {
    /// Returns the descriptor that is readable while a turn has something to do. It is for polling only.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.poller.as_fd()
    }
}

impl std::fmt::Debug for Reactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reactor").field("metrics", &self.metrics()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Returns whether this process is the child of a fork and the reactor is its parent's.
    fn is_forked(&self) -> bool {
        fork::count() != self.born
    }

    /// Fails in the child of a fork, which shares the poller with its parent.
    fn check_process(&self) -> io::Result<()> {
        match self.is_forked() {
            true => Err(io::Error::other("the process was forked: the reactor is the parent's")),
            false => Ok(()),
        }
    }

    fn notify(&self, anyway: bool) {
        if self.is_forked() {
            return;
        }
        if self.park.notify() || anyway {
            self.counters.notifies.fetch_add(1, Relaxed);
            self.poller.wake();
        } else {
            self.counters.saved_notifies.fetch_add(1, Relaxed);
        }
    }

    /// Ends the owner's sleep, because there is an earlier deadline than before. An owner that is awake finds
    /// the deadline by itself: it announces a park and then asks the timer queue, whose lock orders this call
    /// after the announcement or before the question.
    fn deadline_moved(&self) {
        if self.park.is_parked() {
            self.notify(false);
        }
    }

    /// Watches the descriptor of `state` in both directions, edge-triggered.
    fn bind(&self, fd: BorrowedFd<'_>, state: &Arc<State>) -> io::Result<Key> {
        self.check_process()?;
        let key = lock_std(&self.table).insert(Target::Source(Arc::clone(state)))?;
        self.poller.add_edge(fd, key).inspect_err(|_| drop(lock_std(&self.table).remove(key)))?;
        Ok(key)
    }

    /// Watches the descriptor of `watch` for one event.
    fn register(&self, fd: BorrowedFd<'_>, interest: Interest, watch: &Arc<Watch>) -> io::Result<Key> {
        self.check_process()?;
        let key = lock_std(&self.table).insert(Target::Watch(Arc::clone(watch)))?;
        watch.set_key(key);
        self.poller
            .add_oneshot(fd, key, interest)
            .inspect_err(|_| drop(lock_std(&self.table).remove(key)))?;
        Ok(key)
    }

    /// Watches the descriptor for one more event.
    fn rearm(&self, fd: BorrowedFd<'_>, key: Key, interest: Interest) -> io::Result<()> {
        self.check_process()?;
        self.poller.rearm(fd, key, interest)
    }

    /// Stops watching `fd`. No event is reported under `key` after this, other than one that the running turn
    /// has collected already.
    fn deregister(&self, fd: BorrowedFd<'_>, key: Key) {
        // The target may own things of the user's, so it is dropped without the lock.
        let target = lock_std(&self.table).remove(key);
        // A registration that a child of a fork takes out of the poller would be gone for its parent.
        if target.is_some() && !self.is_forked() {
            // This can only fail when the descriptor is not there, which is as it should be.
            let _ = self.poller.delete(fd);
        }
        drop(target);
    }

    fn close(&self) {
        let targets = lock_std(&self.table).close();
        for target in targets {
            match target {
                Target::Source(state) => state.unbind(self),
                // A registration is told of the end by nobody else.
                Target::Watch(watch) => discard_panic(|| drop(watch.end())),
            }
        }
        self.timers.close();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

/// A turn under way. It has the reactor's buffers, which keeps others from turning it, and gives them back on
/// drop.
struct Turning<'a> {
    shared: &'a Shared,
    buffers: Buffers,
}

impl<'a> Turning<'a> {
    fn begin(shared: &'a Shared) -> io::Result<Turning<'a>> {
        shared.check_process()?;
        match lock_std(&shared.turning).take() {
            Some(buffers) => Ok(Turning { shared, buffers }),
            None => Err(io::Error::new(io::ErrorKind::ResourceBusy, "the reactor is being turned already")),
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Turn> {
        let shared = self.shared;
        let sleeps = timeout != Some(Duration::ZERO);
        // The deadline is asked for after the announcement: see `deadline_moved`.
        let deadline = if sleeps { shared.timers.wake_at() } else { None };
        let timeout = match deadline {
            None => timeout,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                Some(timeout.map_or(left, |timeout| timeout.min(left)))
            }
        };
        shared.counters.waits.fetch_add(1, Relaxed);
        let waited = shared.poller.wait(&mut self.buffers.events, timeout);
        if sleeps {
            shared.park.end_sleep();
        }
        let interrupted = waited?;
        let events = self.dispatch();
        // A turn that has not slept has not asked for it.
        let is_armed = deadline.is_some() || !sleeps && shared.timers.is_armed();
        let timers = if is_armed { shared.timers.fire(Instant::now()) } else { 0 };
        Ok(Turn { events, timers, interrupted })
    }

    /// Notifies the targets of all events, and returns the number of descriptors that were ready.
    fn dispatch(&mut self) -> usize {
        let Buffers { events, ready } = &mut self.buffers;
        {
            // The batch takes one lock; handlers and wakers run without it.
            let table = lock_std(&self.shared.table);
            ready.extend(events.iter().filter_map(|(key, what)| Some((table.get(key)?.clone(), what))));
        }
        let count = ready.len();
        // The others are told also when one panics, because edges are reported once.
        for_each_then_resume(ready.drain(..), |(target, what)| match target {
            Target::Source(state) => state.ready(what.interest, what.sticky),
            Target::Watch(watch) => watch.call(self.shared, what.interest),
        });
        count
    }
}

impl Drop for Turning<'_> {
    fn drop(&mut self) {
        *lock_std(&self.shared.turning) = Some(std::mem::take(&mut self.buffers));
    }
}

#[cfg(test)]
#[path = "reactor/tests.rs"]
mod tests;
