//! The poller of Linux: epoll, with one system call a wait.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use polling::PollMode;
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;

use super::{EVENTS, Ready};
use crate::event::reactor::Interest;
use crate::event::reactor::table::Key;

/// The key of the event descriptor that ends a wait. Its index is beyond any that the table hands out.
const WAKE: u64 = u64::MAX - 1;

/// An epoll instance, with an event descriptor that ends its waits.
pub(crate) struct Poller {
    /// Owns the instance and watches for single events.
    poller: polling::Poller,
    /// Written to end a wait, never read: edge-triggered, each write is an event.
    wake: OwnedFd,
    /// True once the kernel has refused `epoll_pwait2`, whose timeouts are in nanoseconds.
    coarse: AtomicBool,
}

/// The events that the kernel has reported.
#[derive(Default)]
pub(crate) struct Events {
    /// The events as the kernel writes them. The first wait allocates it.
    list: Vec<epoll::Event>,
}

// SAFETY: the type is not `Send` because the data of an event could be a pointer. All data that this module
// registers, and so all that it gets back, are integers.
unsafe impl Send for Events {}

impl Events {
    /// Returns the keys of the descriptors that are ready, and what they are ready for.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, Ready)> + '_ {
        self.list.iter().filter(|event| event.data.u64() != WAKE).map(|event| {
            let flags = event.flags;
            let failed = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
            let ended = flags.intersects(epoll::EventFlags::RDHUP | epoll::EventFlags::PRI);
            let mut interest = Interest::NONE;
            if failed || ended || flags.contains(epoll::EventFlags::IN) {
                interest = interest | Interest::READ;
            }
            if failed || flags.contains(epoll::EventFlags::OUT) {
                interest = interest | Interest::WRITE;
            }
            (Key(event.data.u64()), Ready { interest, sticky: failed || ended })
        })
    }
}

/// Fails if no poller can watch `fd`.
pub(crate) fn check(fd: BorrowedFd<'_>) -> io::Result<()> {
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    Ok(epoll::add(&poller, fd, epoll::EventData::new_u64(0), epoll::EventFlags::ET)?)
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        let poller = polling::Poller::new()?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&poller, &wake, epoll::EventData::new_u64(WAKE), flags)?;
        Ok(Poller { poller, wake, coarse: AtomicBool::new(false) })
    }

    /// Watches `fd` in both directions, edge-triggered. The present state of `fd` is reported as an event.
    pub(crate) fn add_edge(&self, fd: BorrowedFd<'_>, key: Key) -> io::Result<()> {
        use epoll::EventFlags as Flags;
        let flags = Flags::IN | Flags::OUT | Flags::RDHUP | Flags::PRI | Flags::ET;
        Ok(epoll::add(&self.poller, fd, epoll::EventData::new_u64(key.0), flags)?)
    }

    /// Watches `fd` for one event.
    pub(crate) fn add_oneshot(&self, fd: BorrowedFd<'_>, key: Key, interest: Interest) -> io::Result<()> {
        // SAFETY: the caller deletes it before the descriptor closes: a `Registration` owns the descriptor
        // and deregisters it in its destructor.
        unsafe { self.poller.add_with_mode(fd.as_raw_fd(), super::event(key, interest), PollMode::Oneshot) }
    }

    /// Watches `fd` for one more event.
    pub(crate) fn rearm(&self, fd: BorrowedFd<'_>, key: Key, interest: Interest) -> io::Result<()> {
        self.poller.modify_with_mode(fd, super::event(key, interest), PollMode::Oneshot)
    }

    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.poller.delete(fd)
    }

    /// Ends the present wait, or the next one.
    pub(crate) fn wake(&self) {
        // It can only fail when the counter is full: after 2^64 events that nobody waited for.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Waits for events. Returns whether a signal ended the wait.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<bool> {
        events.list.clear();
        events.list.reserve_exact(EVENTS);
        let waited = match timeout {
            // Without a timeout there is nothing to be precise about.
            None => epoll::wait(&self.poller, spare_capacity(&mut events.list), None),
            Some(Duration::ZERO) => {
                epoll::wait(&self.poller, spare_capacity(&mut events.list), Some(&Timespec::default()))
            }
            Some(timeout) => self.wait_precisely(events, timeout),
        };
        match waited {
            Ok(_) => Ok(false),
            Err(Errno::INTR) => Ok(true),
            Err(e) => Err(e.into()),
        }
    }

    fn wait_precisely(&self, events: &mut Events, timeout: Duration) -> rustix::io::Result<usize> {
        if !self.coarse.load(Relaxed) {
            match self.pwait2(events, timeout) {
                // An old kernel, or a sandbox that does not know the call.
                Err(Errno::NOSYS | Errno::PERM) => self.coarse.store(true, Relaxed),
                result => return result,
            }
        }
        // Rounded up, never to wake before the time; a day at most, so that it fits: the caller waits again.
        let millis = timeout.min(Duration::from_secs(86_400)).as_nanos().div_ceil(1_000_000) as i64;
        let timeout = Timespec { tv_sec: millis / 1000, tv_nsec: (millis % 1000 * 1_000_000) as _ };
        epoll::wait(&self.poller, spare_capacity(&mut events.list), Some(&timeout))
    }

    /// Calls `epoll_pwait2(2)`. `rustix` has it only behind a feature that gives older kernels up.
    fn pwait2(&self, events: &mut Events, timeout: Duration) -> rustix::io::Result<usize> {
        // A century is as good as for ever.
        let secs = timeout.as_secs().min(100 * 365 * 86_400);
        let timeout = Timespec { tv_sec: secs as _, tv_nsec: timeout.subsec_nanos().into() };
        let room = events.list.spare_capacity_mut();
        // SAFETY: the descriptor is open, it is borrowed from `self`. `room` is writable memory for as many
        // events as are passed as its length, of the layout that rustix passes to the same family of calls.
        // `Timespec` is the kernel's 64-bit timespec. A null signal mask changes no mask; its size is 8
        // bytes.
        let n = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.poller.as_fd().as_raw_fd(),
                room.as_mut_ptr(),
                room.len().min(i32::MAX as usize) as libc::c_int,
                &raw const timeout,
                std::ptr::null::<libc::sigset_t>(),
                8usize,
            )
        };
        let Ok(n) = usize::try_from(n) else {
            return Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO));
        };
        // SAFETY: the list was cleared by `wait`, and the kernel has written `n` events to its start, no more
        // than there was room for.
        unsafe { events.list.set_len(n) };
        Ok(n)
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}
