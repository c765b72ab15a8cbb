//! The strand of an OS thread: it parks the thread, and watches its own descriptors while it is parked.
//!
//! This is the strand of every thread that no backend has entered, of every native task, and of a green
//! task that has been left on a thread of its own. A parked thread sleeps in `std::thread::park` or, when the
//! futures it polled wait for descriptors, in `poll(2)` on exactly those: the event reaches the thread that
//! wants it with no other thread in between.
//!
//! It serves only wakers that end its own park (see [`StrandState::wakes_stack`]). A future that is polled
//! here with another waker (of a combinator, or of another runtime that runs on this thread) may be waited
//! for while this strand is not parked at all, so its descriptors and deadlines go to the [I/O
//! server](crate::ioserver).

mod sleep_state;

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::Waker;
use std::thread::Thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::base::fork;
use crate::base::sync::lock_std;
use crate::event::parker::Parker;
use crate::event::reactor::{Interest, IoSource};
use crate::event::timers::Timers;
use crate::kernel::backend::{Backend, Driver, Strand, StrandState, Unpark};
use crate::kernel::ioserver;
use crate::kernel::spin::Spin;
use crate::kernel::world::World;
use sleep_state::{SleepKind, SleepState};

/// The number of times that a thread looks whether it has been woken before it sleeps: each look costs a
/// system call that yields the core, so these are most of the time that looking may take.
const SPIN_ROUNDS: u32 = 60;

/// The longest sleep in `poll(2)` of a thread that others cannot wake, because the system has no event
/// descriptor left.
const POLL_WITHOUT_EVENT: Duration = Duration::from_millis(10);

/// The nearest deadline before which a thread spins: one time slice of another thread might outlast a nearer
/// one.
const NEAR: Duration = Duration::from_millis(4);

/// The strand of an OS thread: a backend whose jobs have threads of their own makes it current on each of
/// them.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::contract::strand::{self, ThreadStrand};
///
/// let strand = ThreadStrand::new();
/// let answer = strand::enter(&strand, || async { 6 * 7 }.wait());
/// assert_eq!(answer, 42);
/// ```
pub struct ThreadStrand {
    state: StrandState,
    /// The handle that other threads use to wake this one.
    handle: Arc<WakeHandle>,
    /// The descriptors that this thread watches while it is parked.
    watched: RefCell<Vec<Watched>>,
    /// The deadlines of futures that are polled on this thread.
    timers: OnceLock<Arc<Timers>>,
    /// The backend that tasks spawned on this thread go to.
    backend: RefCell<Option<Arc<dyn Backend>>>,
    /// The world of what is made on this thread; `None` stands for the real one.
    world: Option<Arc<dyn World>>,
    /// True once the thread does not block the signal that interrupts calls.
    interruptible: Cell<bool>,
    /// For how long the thread looks whether it has been woken, before it sleeps.
    spin: Spin,
}

impl std::fmt::Debug for ThreadStrand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadStrand").field("thread", &self.handle.thread).finish_non_exhaustive()
    }
}

/// A descriptor to watch for one event.
struct Watched {
    /// Weak, so that an entry ends with its source.
    source: Weak<IoSource>,
    interest: Interest,
}

/// The thread as its wakers see it: all that is needed to wake it.
pub(crate) struct WakeHandle {
    thread: Thread,
    /// The thread's number in the kernel, for signals.
    id: rustix::thread::Pid,
    /// The way in which the thread sleeps. Only the thread itself writes it.
    sleep: SleepState,
    /// Ends a `poll(2)`. It is made when the thread first needs one.
    event: Mutex<Option<Event>>,
}

/// An event descriptor, with the process that it belongs to.
struct Event {
    fd: Arc<OwnedFd>,
    /// The number of forks when it was made: parent and child would take each other's wake-ups.
    born: u64,
}

impl Unpark for Arc<WakeHandle> {
    fn unpark(&self) {
        match self.sleep.sleeper_kind() {
            SleepKind::Poll => {
                if let Some(event) = &*lock_std(&self.event) {
                    // The write can only fail when the counter is full, and then the thread is awake.
                    let _ = rustix::io::write(&event.fd, &1u64.to_ne_bytes());
                }
            }
            SleepKind::Call => ioserver::interrupt(self),
            SleepKind::Park => self.thread.unpark(),
        }
    }
}

impl WakeHandle {
    /// Returns the number of the blocking call that the thread is in, if it is in one.
    pub(crate) fn call(&self) -> Option<u32> {
        self.sleep.call()
    }

    /// Sends a signal to the thread. A thread that has ended meanwhile gets none; if another thread of this
    /// process has its number by then, a call of that thread is interrupted for nothing.
    pub(crate) fn signal(&self, signal: libc::c_int) {
        ioserver::signal_thread(self.id, signal);
    }

    /// Returns the event descriptor, and makes it if there is none. `None` if the system refuses one.
    fn event(&self) -> Option<Arc<OwnedFd>> {
        let mut event = lock_std(&self.event);
        let born = fork::count();
        if event.as_ref().is_none_or(|event| event.born != born) {
            let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok();
            *event = fd.map(|fd| Event { fd: Arc::new(fd), born });
        }
        event.as_ref().map(|event| Arc::clone(&event.fd))
    }
}

impl ThreadStrand {
    /// Creates the strand of the calling thread, which must not be sent to another.
    #[allow(clippy::new_without_default, reason = "it is of the thread that makes it")]
    pub fn new() -> ThreadStrand {
        let handle = Arc::new(WakeHandle {
            thread: std::thread::current(),
            id: rustix::thread::gettid(),
            sleep: SleepState::new(),
            event: Mutex::new(None),
        });
        ThreadStrand {
            state: StrandState::new(Parker::new(Arc::clone(&handle))),
            handle,
            watched: RefCell::new(Vec::new()),
            timers: OnceLock::new(),
            backend: RefCell::new(None),
            world: None,
            interruptible: Cell::new(false),
            spin: Spin::new(SPIN_ROUNDS),
        }
    }

    /// Has what is made on this strand belong to `world`.
    pub fn with_world(mut self, world: Arc<dyn World>) -> ThreadStrand {
        self.world = Some(world);
        self
    }

    /// Makes `backend` the one that tasks spawned on this thread go to, and returns the one before.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use twoply::contract::strand::ThreadStrand;
    ///
    /// let strand = ThreadStrand::new();
    /// let before = strand.replace_backend(Some(Arc::clone(twoply::native().backend())));
    /// assert!(before.is_none());
    /// assert!(strand.replace_backend(None).is_some());
    /// ```
    pub fn replace_backend(&self, backend: Option<Arc<dyn Backend>>) -> Option<Arc<dyn Backend>> {
        self.backend.replace(backend)
    }

    /// Closes the event descriptor, because the thread becomes idle and descriptors are scarce.
    pub(crate) fn trim(&self) {
        let event = lock_std(&self.handle.event).take();
        drop(event);
    }

    /// Sleeps until the thread is woken, a descriptor is ready if it `watches` any, or a deadline has come.
    fn sleep(&self, watches: bool, deadline: Option<Instant>) {
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if watches {
            if self.poll_watched(timeout).is_err() {
                self.hand_over_watches();
            }
        } else if self.state.parker().is_parked() {
            match timeout {
                Some(timeout) => std::thread::park_timeout(timeout),
                None => std::thread::park(),
            }
        }
        if timeout.is_some()
            && let Some(timers) = self.timers.get()
        {
            timers.fire(Instant::now());
        }
    }

    /// Sleeps in `poll(2)` until a watched descriptor is ready, the thread is woken, or `timeout` has passed.
    fn poll_watched(&self, timeout: Option<Duration>) -> io::Result<()> {
        let event = self.handle.event();
        // A watch whose future has been dropped is removed: this must not hold a descriptor that somebody
        // else closes.
        let mut stale: Vec<Arc<IoSource>> = Vec::new();
        let mut sources: Vec<(Arc<IoSource>, Interest)> = Vec::new();
        self.watched.borrow_mut().retain(|entry| {
            let Some(source) = entry.source.upgrade() else { return false };
            let wanted = source.waits(entry.interest, |waker| self.state.wakes_stack(waker));
            match wanted {
                true => sources.push((source, entry.interest)),
                false => stale.push(source),
            }
            wanted
        });
        drop(stale);
        let mut fds: Vec<PollFd<'_>> = sources
            .iter()
            .map(|(source, interest)| PollFd::new(source.as_ref(), poll_flags(*interest)))
            .collect();
        let timeout = match &event {
            Some(event) => {
                fds.push(PollFd::new(event, PollFlags::IN));
                timeout
            }
            // Nobody can end the sleep, so the thread looks again by itself.
            None => Some(timeout.map_or(POLL_WITHOUT_EVENT, |timeout| timeout.min(POLL_WITHOUT_EVENT))),
        };
        if !self.handle.sleep.enter(SleepKind::Poll, self.state.parker()) {
            self.handle.sleep.leave();
            return Ok(());
        }
        let timeout = timeout.and_then(|timeout| timeout.try_into().ok());
        let polled = poll(&mut fds, timeout.as_ref());
        self.handle.sleep.leave();
        match polled {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let woken = fds.get(sources.len()).is_some_and(|event| !event.revents().is_empty());
        if let (true, Some(event)) = (woken, &event) {
            let _ = rustix::io::read(event, &mut [0u8; 8]);
        }
        let ready: Vec<Interest> = fds.iter().map(|fd| interest_of(fd.revents())).collect();
        drop(fds);
        for ((source, watched), ready) in sources.iter().zip(ready) {
            if !ready.is_empty() {
                self.forget(source, *watched);
                source.notify(ready);
            }
        }
        Ok(())
    }

    /// Removes a watch after its event: a waiter that waits again watches again.
    fn forget(&self, source: &Arc<IoSource>, interest: Interest) {
        let source = Arc::as_ptr(source);
        self.watched
            .borrow_mut()
            .retain(|entry| entry.source.as_ptr() != source || entry.interest != interest);
    }

    /// Hands the watched descriptors to the I/O server, because `poll(2)` cannot watch them.
    fn hand_over_watches(&self) {
        for entry in self.watched.take() {
            if let Some(source) = entry.source.upgrade()
                && ioserver::driver().watch(&source, entry.interest, &Waker::noop().clone()).is_err()
            {
                // Nobody can watch it: the waiting operation tries again and gets the error.
                source.notify(entry.interest);
            }
        }
    }
}

impl Strand for ThreadStrand {
    fn state(&self) -> &StrandState {
        &self.state
    }

    fn park(&self) {
        let watches = !self.watched.borrow().is_empty();
        // Only this thread enters deadlines, so the next one stays what it is, or is taken back.
        let deadline = self.timers.get().and_then(|timers| timers.next());
        // With descriptors to watch it does not pay: what comes from the network does not set the word, and
        // the spinning keeps the peer off the core (measured: a round trip of 166 us instead of 16).
        let looks = !watches
            && !self.state.take_sleeping()
            && deadline.is_none_or(|deadline| deadline >= Instant::now() + NEAR);
        if !looks {
            self.sleep(watches, deadline);
        } else if let Some(since) = self.spin.look(|| !self.state.parker().is_parked()) {
            self.sleep(watches, deadline);
            self.spin.slept(since);
        }
    }

    fn driver(&self) -> &dyn Driver {
        self
    }

    fn world(&self) -> Option<&Arc<dyn World>> {
        self.world.as_ref()
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        self.backend.borrow().clone()
    }

    fn may_block(&self) -> bool {
        true
    }

    fn block(&self, call: &mut dyn FnMut()) {
        // Nobody interrupts a thread without a task, and what it blocks is its own affair.
        if !self.interruptible.get() && self.state.header().is_some() {
            ioserver::unblock_signal();
            self.interruptible.set(true);
        }
        if self.handle.sleep.enter(SleepKind::Call, self.state.parker()) {
            call();
        }
        self.handle.sleep.leave();
    }
}

impl Driver for ThreadStrand {
    fn watch(&self, source: &Arc<IoSource>, interest: Interest, waker: &Waker) -> io::Result<()> {
        if !self.state.wakes_stack(waker) {
            return ioserver::driver().watch(source, interest, waker);
        }
        let mut watched = self.watched.borrow_mut();
        let there = Arc::as_ptr(source);
        if !watched.iter().any(|entry| entry.source.as_ptr() == there && entry.interest == interest) {
            watched.push(Watched { source: Arc::downgrade(source), interest });
        }
        Ok(())
    }

    fn timers(&self, waker: &Waker) -> io::Result<Arc<Timers>> {
        if !self.state.wakes_stack(waker) {
            return ioserver::driver().timers(waker);
        }
        // The thread that inserts is the thread that parks: nobody needs to be told of an earlier deadline.
        Ok(Arc::clone(self.timers.get_or_init(|| Timers::new(|| ()))))
    }
}

fn poll_flags(interest: Interest) -> PollFlags {
    let mut flags = PollFlags::empty();
    if interest.contains(Interest::READ) {
        flags |= PollFlags::IN | PollFlags::RDHUP;
    }
    if interest.contains(Interest::WRITE) {
        flags |= PollFlags::OUT;
    }
    flags
}

/// Returns the directions that `events` make ready: an error or a hang-up counts for both.
fn interest_of(events: PollFlags) -> Interest {
    let failed = events.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
    let mut ready = Interest::NONE;
    if failed || events.intersects(PollFlags::IN | PollFlags::RDHUP) {
        ready = ready | Interest::READ;
    }
    if failed || events.intersects(PollFlags::OUT) {
        ready = ready | Interest::WRITE;
    }
    ready
}
