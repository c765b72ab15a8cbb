//! The place of the process where signals arrive, and from which those who listen are told.
//!
//! ```text
//! handler ──count──▶ COUNTS ◀──compare──┬── each `Listener`, under its own lock
//!    └──write──▶ event descriptor       │
//!                      └── I/O server ──┴── wakes the listeners of what has changed
//! ```
//!
//! The counter goes up before the descriptor is written to, and a listener looks at the counters once more
//! after it has entered its waker: so either it sees the signal, or the I/O server sees the waker. The child
//! of a fork has no I/O server of the parent's: it makes a hub of its own, with its own descriptor, when it
//! first listens, and until then its signals are only counted.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use super::sys;
use super::{Received, SignalKind};
use crate::base::fork::PerProcess;
use crate::base::sync::lock_std;
use crate::base::waitlist::WaitList;
use crate::event::reactor::{Interest, Registration};
use crate::kernel::ioserver;

/// One more than the largest number of a signal.
const SIGNALS: usize = 65;

/// The number of signals of each kind that have reached this process.
static COUNTS: [AtomicU64; SIGNALS] = [const { AtomicU64::new(0) }; SIGNALS];

/// The count at which the process ends, for each kind; zero is never.
static LAST: [AtomicU64; SIGNALS] = [const { AtomicU64::new(0) }; SIGNALS];

/// The kinds that have a handler: it is installed once, and serves the children of forks, too.
static INSTALLED: Mutex<[bool; SIGNALS]> = Mutex::new([false; SIGNALS]);

/// The hub of this process, once somebody has listened.
static HUB: PerProcess<Hub> = PerProcess::new();

/// The hub of a process.
struct Hub {
    /// Written to by the handlers.
    event: Event,
    listeners: Arc<Mutex<Vec<Arc<Listener>>>>,
    /// Has the I/O server call those who wait.
    _watch: Registration<Event>,
}

/// The event descriptor, which the hub and the I/O server share.
#[derive(Clone)]
struct Event(Arc<OwnedFd>);

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// One that listens to signals of some kinds.
pub(super) struct Listener {
    /// The kinds, each with the count that it was told of last.
    seen: Mutex<Vec<(SignalKind, u64)>>,
    /// Those who wait for the next signal.
    pub(super) waiters: WaitList,
}

impl Listener {
    /// Takes the next signal that has come, if one has.
    pub(super) fn take(&self) -> Option<Received> {
        lock_std(&self.seen).iter_mut().find_map(|(kind, seen)| {
            let count = count(*kind) - *seen;
            *seen += count;
            (count > 0).then_some(Received { kind: *kind, count })
        })
    }

    /// Returns whether a signal has come that nobody has taken.
    fn is_due(&self) -> bool {
        lock_std(&self.seen).iter().any(|(kind, seen)| count(*kind) != *seen)
    }

    pub(super) fn kinds(&self) -> Vec<SignalKind> {
        lock_std(&self.seen).iter().map(|(kind, _)| *kind).collect()
    }
}

/// Returns the number of signals of this kind so far.
fn count(kind: SignalKind) -> u64 {
    // SeqCst, as in `arrived`: a handler may run on the thread that looks, or on any other.
    COUNTS[index(kind)].load(SeqCst)
}

/// Returns the place of a kind that has been checked.
fn index(kind: SignalKind) -> usize {
    kind.as_raw().unsigned_abs() as usize
}

/// Enters a listener to signals of `kinds`, each of which has been checked.
pub(super) fn listen(kinds: Vec<SignalKind>) -> io::Result<Arc<Listener>> {
    let hub = HUB.get_or_try_init(Hub::new)?;
    kinds.iter().try_for_each(|kind| install(*kind))?;
    let seen = kinds.into_iter().map(|kind| (kind, count(kind))).collect();
    let listener = Arc::new(Listener { seen: Mutex::new(seen), waiters: WaitList::new() });
    lock_std(&hub.listeners).push(Arc::clone(&listener));
    Ok(listener)
}

/// Takes a listener out, because nobody can ask it any more.
pub(super) fn leave(listener: &Arc<Listener>) {
    // In the child of a fork, one that the parent has entered is in no list of this process.
    let Some(hub) = HUB.get() else { return };
    lock_std(&hub.listeners).retain(|other| !Arc::ptr_eq(other, listener));
}

/// Has the second signal of `kind` from now on end the process.
pub(super) fn exit_on_second(kind: SignalKind) -> io::Result<()> {
    LAST[index(kind)].store(count(kind) + 2, SeqCst);
    install(kind)
}

/// Installs the handler of a kind, unless it has been.
fn install(kind: SignalKind) -> io::Result<()> {
    let mut installed = lock_std(&INSTALLED);
    if !installed[index(kind)] {
        sys::install(kind.as_raw(), arrived)?;
        installed[index(kind)] = true;
    }
    Ok(())
}

/// Records a signal. It runs in the handler: between any two instructions of the program, so it takes no lock
/// and allocates nothing.
fn arrived(signal: i32) {
    let index = signal.unsigned_abs() as usize;
    let count = COUNTS[index].fetch_add(1, SeqCst) + 1;
    let last = LAST[index].load(SeqCst);
    if last != 0 && count >= last {
        sys::end_by(signal);
    }
    // Loads of atomics, and nothing else once a hub has been made.
    if let Some(hub) = HUB.get() {
        sys::announce(&hub.event);
    }
}

impl Hub {
    fn new() -> io::Result<Hub> {
        let event = Event(Arc::new(sys::event()?));
        let listeners: Arc<Mutex<Vec<Arc<Listener>>>> = Arc::default();
        let (watched, told) = (event.clone(), Arc::clone(&listeners));
        let on_event = move |_| {
            sys::take(&watched);
            // Wakers are the user's: they are woken with nothing locked.
            let due: Vec<_> = lock_std(&told).iter().filter(|one| one.is_due()).cloned().collect();
            due.iter().for_each(|listener| listener.waiters.notify_all());
            Interest::READ
        };
        let watch = ioserver::register(event.clone(), Interest::READ, on_event)?;
        Ok(Hub { event, listeners, _watch: watch })
    }
}
