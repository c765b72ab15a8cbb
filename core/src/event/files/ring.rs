//! An io_uring: the system makes operations on files, and tells their ends in a queue.
//!
//! Each reactor has one of its own, made when it is first wanted. Its descriptor is registered there, so the
//! turn that finds it ready takes the ends out, most often on the worker that has begun the operations:
//! nobody else is woken in between. One ring for all, on the thread of the I/O server, was the other way;
//! each end would wake two threads then.
//!
//! Whatever has been handed to the system stays here until its end has been taken out, whoever waits for it:
//! the buffer is the operation's own. The ring is never closed before. When its reactor is closed, what can
//! be called back is called back and goes to the pool; the rest is waited for.
//!
//! An operation of a thread that ends is called back by the system, too, and goes to the pool.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use io_uring::{IoUring, Probe, cqueue, opcode, squeue, types};
use slab::Slab;

use super::{Operation, Request};
use crate::base::fork;
use crate::base::sync::lock_std;
use crate::event::reactor::{Interest, Reactor, Registration};

/// The number of operations that can be handed over in one call, of which there is one at a time. The queue
/// of ends has twice the room, and the system keeps what is beyond that.
const ENTRIES: u32 = 64;

/// The number that is no operation's: that of calling all back.
const CALL_BACK: u64 = u64::MAX;

/// The offset that stands for the system's own cursor.
const NO_POSITION: u64 = u64::MAX;

/// A ring, registered with a reactor.
pub(crate) struct Ring {
    shared: Arc<Shared>,
    /// The registration of its descriptor. Its handler takes the ends out.
    _registration: Registration<OwnedFd>,
}

/// The part of a ring that its handler shares.
struct Shared {
    inner: Mutex<Inner>,
    /// The number of operations that have been handed over. Relaxed: it orders nothing.
    begun: AtomicU64,
    /// Takes what the system has given back.
    fallback: fn(Request),
    /// The number of forks when it was made. In a child of that process it is the parent's.
    born: u64,
}

/// The part of a ring that is locked.
struct Inner {
    ring: IoUring,
    /// The operations that the system has, by the number that it was told.
    flying: Slab<Request>,
    /// True once nothing more is handed over.
    is_closed: bool,
}

/// Closes the ring when the reactor drops the handler.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Ring {
    /// Makes a ring, whose ends `reactor` takes out. What the system gives back goes to `fallback`.
    ///
    /// # Errors
    /// When the system has none, or refuses it.
    pub(crate) fn new(reactor: &Reactor, fallback: fn(Request)) -> io::Result<Ring> {
        let ring = make()?;
        let fd = ring.as_fd().try_clone_to_owned()?;
        let inner = Mutex::new(Inner { ring, flying: Slab::new(), is_closed: false });
        let born = fork::count();
        let shared = Arc::new(Shared { inner, begun: AtomicU64::new(0), fallback, born });
        let closing = Closing(Arc::clone(&shared));
        let registration = reactor.register(fd, Interest::READ, move |_| {
            closing.0.take_ends();
            Interest::READ
        })?;
        Ok(Ring { shared, _registration: registration })
    }

    /// Asks the system whether it has rings of the kind that is wanted.
    pub(crate) fn try_system() -> io::Result<()> {
        make().map(drop)
    }

    /// Hands an operation to the system. Its end may be told before this returns.
    ///
    /// # Errors
    /// Returns the operation if the ring is closed or the system does not take it.
    pub(crate) fn submit(&self, mut request: Request) -> Result<(), Request> {
        if self.shared.is_forked() {
            return Err(request);
        }
        match request.ask() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(request),
            Err(error) => {
                request.end(Err(error));
                return Ok(());
            }
        }
        let mut inner = lock_std(&self.shared.inner);
        if inner.is_closed {
            return Err(request);
        }
        let key = inner.flying.insert(request);
        let entry = inner.flying[key].entry().user_data(key as u64);
        let handed_over = inner.hand_over(&entry);
        let ends = inner.ends();
        let refused = if handed_over { None } else { inner.flying.try_remove(key) };
        drop(inner);
        self.shared.begun.fetch_add(1, Relaxed);
        self.shared.tell(ends);
        refused.map_or(Ok(()), Err)
    }

    /// Returns the number of operations that have been handed over so far, and of those that are under way.
    pub(crate) fn load(&self) -> (u64, usize) {
        let shared = &self.shared;
        (shared.begun.load(Relaxed), lock_std(&shared.inner).flying.len())
    }
}

/// Makes a ring of the system's.
fn make() -> io::Result<IoUring> {
    let ring = IoUring::builder().dontfork().build(ENTRIES)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let wanted = [opcode::Read::CODE, opcode::Write::CODE, opcode::Fsync::CODE, opcode::AsyncCancel::CODE];
    match ring.params().is_feature_nodrop() && wanted.iter().all(|code| probe.is_supported(*code)) {
        true => Ok(ring),
        false => Err(io::Error::new(io::ErrorKind::Unsupported, "the system's io_uring is too old")),
    }
}

impl Shared {
    fn is_forked(&self) -> bool {
        fork::count() != self.born
    }

    /// Takes the completions that there are, and tells who waits for them.
    fn take_ends(&self) {
        if !self.is_forked() {
            let ends = lock_std(&self.inner).ends();
            self.tell(ends);
        }
    }

    /// Tells ends, with nothing locked.
    fn tell(&self, ends: VecDeque<(Request, i32)>) {
        for (mut request, result) in ends {
            match result {
                // A thread has ended that had handed it over, or the ring is closed.
                result if result == -libc::ECANCELED || result == -libc::EINTR => (self.fallback)(request),
                result => request.end_with(result),
            }
        }
    }

    /// Calls back what can be called back, and waits for the rest.
    fn close(&self) {
        if self.is_forked() {
            return;
        }
        let mut inner = lock_std(&self.inner);
        inner.is_closed = true;
        // Each by its number: to call all back at once, the system has to be newer.
        let keys: Vec<usize> = inner.flying.iter().map(|(key, _)| key).collect();
        for key in keys {
            inner.hand_over(&opcode::AsyncCancel::new(key as u64).build().user_data(CALL_BACK));
        }
        while !inner.flying.is_empty() {
            if inner.ring.submit_and_wait(1).is_err() {
                std::thread::yield_now();
            }
            let ends = inner.ends();
            drop(inner);
            self.tell(ends);
            inner = lock_std(&self.inner);
        }
    }
}

impl Inner {
    /// Hands an entry to the system, and returns whether it was taken.
    fn hand_over(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: the entry is that of a request in `flying`, or has no pointer in it. The request owns its
        // buffer, and holds the file open, until it is taken out of `flying`; that happens when the system
        // has told its end, or below, when the system has never been given it.
        if unsafe { self.ring.submission().push(entry) }.is_err() {
            return false;
        }
        loop {
            match self.ring.submit() {
                Ok(_) => return true,
                Err(error) => match error.raw_os_error() {
                    // Out of memory, or of room for ends, for the moment. What has been pushed cannot be
                    // taken back.
                    Some(libc::EINTR | libc::EAGAIN | libc::EBUSY) => std::thread::yield_now(),
                    _ => {
                        // Nothing is ever submitted again, so the system does not see what has been pushed.
                        self.is_closed = true;
                        return false;
                    }
                },
            }
        }
    }

    /// Takes out the operations whose ends the system has told.
    fn ends(&mut self) -> VecDeque<(Request, i32)> {
        let Inner { ring, flying, .. } = self;
        let end = |end: cqueue::Entry| {
            let key = usize::try_from(end.user_data()).ok()?;
            Some((flying.try_remove(key)?, end.result()))
        };
        ring.completion().filter_map(end).collect()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The handler has closed it, unless this is the child of a fork, where nothing is under way. What
        // the system may still touch is rather leaked than freed.
        std::mem::forget(std::mem::take(&mut self.flying));
    }
}

impl Request {
    /// Returns the operation as the system wants it.
    fn entry(&mut self) -> squeue::Entry {
        let fd = types::Fd(self.file.as_raw_fd());
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        match self.operation {
            Operation::Read { at, room } => {
                let room = self.memory.spare(room.min(self.most));
                let (buffer, length) = (room.as_mut_ptr().cast(), length(room.len()));
                opcode::Read::new(fd, buffer, length).offset(at.unwrap_or(NO_POSITION)).build()
            }
            Operation::Write { at } => {
                let length = length(self.memory.len().min(self.most));
                let buffer = self.memory.as_ptr();
                opcode::Write::new(fd, buffer, length).offset(at.unwrap_or(NO_POSITION)).build()
            }
            Operation::Sync { only_data } => {
                let flags = if only_data { types::FsyncFlags::DATASYNC } else { types::FsyncFlags::empty() };
                opcode::Fsync::new(fd).flags(flags).build()
            }
        }
    }

    /// Tells the end that the system has told: a number of bytes, or an error as a negative number.
    fn end_with(&mut self, result: i32) {
        self.end(usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result)));
    }
}
