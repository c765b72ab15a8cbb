//! A runtime inside somebody else's event loop: the worker is taken off its thread, at run time, and carried
//! by the thread of the host (Qt, GLib, a game's frame loop, a plain `poll(2)`), until it is given back.
//!
//! The worker comes with all it has: its queue, its timers, and its reactor with every descriptor that is
//! registered there. Nothing is registered anew, and no task notices. A worker changes threads in the middle
//! of a run when a task blocks it, so it can do so here too, and by the same means.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use twoply_core::backend::Backend;
use twoply_core::strand::with_current;

use crate::launch::launch_surely;
use crate::runtime::Green;
use crate::scheduler::Shared;
use crate::strand::CarrierStrand;
use crate::worker::Context;

/// The number of polls that a turn makes before the host has its own turn: enough that the host's loop costs
/// little; at a microsecond or so each, few enough that a screen does not miss a frame.
const POLLS: usize = 256;

/// A runtime's only worker, carried by this thread. Dropping it gives the worker a thread of its own again.
///
/// `G` is the runtime, or a reference to it: [`Green::host`] borrows it, and [`Green::into_host`] takes it
/// in, for a host whose callbacks own what they use.
///
/// # Examples
/// A host's loop that watches nothing but the runtime:
/// ```
/// use std::time::Duration;
/// use rustix::event::{PollFd, PollFlags, poll};
/// use twoply::{Wait, time};
/// use twoply::green_backend::Green;
///
/// let green = Green::builder().workers(1).build()?;
/// let task = green.spawner().spawn(time::sleep(Duration::from_millis(5)));
///
/// let mut host = green.host()?;
/// loop {
///     let timeout = host.turn()?.map(|timeout| timeout.try_into().unwrap());
///     if task.is_finished() {
///         break;
///     }
///     // The host's own descriptors would be in the list, too.
///     poll(&mut [PollFd::new(&host, PollFlags::IN)], timeout.as_ref())?;
/// }
/// drop(host);
///
/// // The worker has a thread again, and goes on by itself.
/// green.spawner().spawn(async {}).wait().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Host<G> {
    /// The worker. It is dropped before the runtime, whose end it would hold up.
    seat: Seat,
    green: G,
}

/// The worker of a host.
struct Seat {
    /// The runtime of the worker.
    shared: Arc<Shared>,
    /// The worker, on this thread. `None` once it has moved on because a task blocked it, and in `drop`.
    carried: Option<(Rc<Context>, CarrierStrand)>,
    /// True while the worker is entered among the sleepers.
    asleep: bool,
}

/// The error of [`Green::into_host`]. The runtime is as it was.
///
/// # Examples
/// ```
/// use std::io::ErrorKind;
/// use twoply::{Wait, green_backend::Green};
///
/// let refused = Green::builder().workers(2).build()?.into_host().unwrap_err();
/// assert_eq!(refused.error.kind(), ErrorKind::Unsupported, "one of two workers");
/// assert_eq!(refused.green.spawner().spawn(async { 7 }).wait().unwrap(), 7);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error("the runtime cannot be hosted: {error}")]
#[non_exhaustive]
pub struct IntoHostError {
    /// The reason, as [`Green::host`] tells it.
    #[source]
    pub error: io::Error,
    /// The runtime, which runs on its own as before.
    pub green: Green,
}

impl Green {
    /// Takes the runtime's worker over from its thread, for a foreign event loop to drive; see [`Host`].
    ///
    /// Waits, blocking the calling thread, until the worker's present poll is over. A task that never comes
    /// to an await point or a wait keeps it waiting. Give the worker back before [`Green::shutdown`], which
    /// waits for tasks that nobody would run.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] if there is more than one worker, or if blocked stacks are fibers,
    /// which belong to their thread. [`io::ErrorKind::ResourceBusy`] when the runtime has a host already or
    /// the caller is one of its tasks. [`io::ErrorKind::NotConnected`] when it has been shut down.
    pub fn host(&self) -> io::Result<Host<&Green>> {
        Ok(Host { seat: Seat::take(&self.shared)?, green: self })
    }

    /// As [`Green::host`], with the runtime in the host: for a loop whose callbacks must not borrow.
    /// [`Host::into_inner`] gives both back.
    ///
    /// # Errors
    /// As there. The runtime is in the error.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::green_backend::Green;
    ///
    /// let green = Green::builder().workers(1).build()?;
    /// let mut host = green.into_host().map_err(|refused| refused.error)?;
    /// let task = host.runtime().spawner().spawn(async { 6 * 7 });
    /// // It may be a callback of a loop, which owns what it captures.
    /// let mut callback: Box<dyn FnMut() -> bool> = Box::new(move || host.turn().is_ok());
    /// while !task.is_finished() {
    ///     assert!(callback());
    /// }
    /// assert_eq!(task.wait().unwrap(), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_host(self) -> Result<Host<Green>, IntoHostError> {
        match Seat::take(&self.shared) {
            Ok(seat) => Ok(Host { seat, green: self }),
            Err(error) => Err(IntoHostError { error, green: self }),
        }
    }
}

impl<G> Host<G> {
    /// Runs what is ready, for a bounded time, and wakes what is due. Returns for how long the host may sleep
    /// if nothing happens to [its descriptor](AsFd); `None` means that it may sleep for as long as it likes.
    ///
    /// Call it when the descriptor is readable or the time has passed. Calling it at other times does no
    /// harm.
    ///
    /// When a task blocks in straight-line code here, it keeps this thread until it can go on: the host
    /// waits, as it would for any callback that blocks. Other tasks have the worker meanwhile, on a thread of
    /// its own, until the next turn takes it back.
    ///
    /// # Errors
    /// When the worker had moved on and could not be taken back, because the runtime has been shut down.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, green_backend::Green};
    ///
    /// let green = Green::builder().workers(1).build()?;
    /// let mut host = green.host()?;
    /// let task = green.spawner().spawn(async { 7 });
    /// while !task.is_finished() {
    ///     let sleep = host.turn()?;
    ///     println!("a loop would wait for its descriptor now, and for {sleep:?} at most");
    /// }
    /// assert_eq!(task.wait().unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn turn(&mut self) -> io::Result<Option<Duration>> {
        self.seat.turn()
    }

    /// Returns the runtime whose worker this is.
    pub fn runtime(&self) -> &G {
        &self.green
    }

    /// Gives the worker a thread of its own again, and returns the runtime, which goes on by itself.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::green_backend::Green;
    ///
    /// let green = Green::builder().workers(1).build()?;
    /// let host = green.into_host().map_err(|refused| refused.error)?;
    /// let green = host.into_inner();
    /// green.spawner().spawn(async {}).wait().unwrap();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_inner(self) -> G {
        let Host { seat, green } = self;
        drop(seat);
        green
    }
}

impl Seat {
    /// Takes the worker over from whoever carries it.
    fn take(shared: &Arc<Shared>) -> io::Result<Seat> {
        if shared.workers.len() != 1 || shared.stacks.is_some() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // A task of the runtime would wait for itself.
        let own = |backend: Arc<dyn Backend>| std::ptr::addr_eq(Arc::as_ptr(&backend), Arc::as_ptr(shared));
        if with_current(|strand| strand.backend()).is_some_and(own) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        shared.workers[0].request.begin_hosting()?;
        let mut seat = Seat { shared: Arc::clone(shared), carried: None, asleep: false };
        seat.carry()?;
        Ok(seat)
    }

    /// Does what [`Host::turn`] says.
    fn turn(&mut self) -> io::Result<Option<Duration>> {
        self.carry()?;
        let Some((context, strand)) = &self.carried else { return Ok(None) };
        let shared = &self.shared;
        if std::mem::take(&mut self.asleep) {
            context.with_core(|core| core.end_host_sleep(shared));
        }
        let mut polls = 0;
        strand.run(|| {
            polls += 1;
            if polls > POLLS { None } else { context.with_core(|core| core.next_ready(shared)).flatten() }
        });
        if polls > POLLS {
            context.with_core(|core| core.rest(&shared.workers[0]));
            return Ok(Some(Duration::ZERO));
        }
        // From now on whoever has work for the runtime makes the descriptor readable.
        let Some(may_sleep) = context.with_core(|core| core.begin_host_sleep(shared)) else {
            return Ok(Some(Duration::ZERO));
        };
        self.asleep = true;
        if !may_sleep {
            return Ok(Some(Duration::ZERO));
        }
        let deadline = shared.workers[0].reactor.next_deadline();
        Ok(deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())))
    }

    /// Sees to it that the worker is on this thread.
    fn carry(&mut self) -> io::Result<()> {
        if self.carried.as_ref().is_some_and(|(context, _)| context.has_core()) {
            return Ok(());
        }
        if let Some((context, _)) = &self.carried {
            context.leave();
        }
        let shared = &self.shared;
        let core = shared.workers[0].request.wait_for_core(|| shared.wake_all())?;
        let context = Context::new(Arc::clone(shared), core);
        self.carried = Some((Rc::clone(&context), CarrierStrand::new(context, 0)));
        Ok(())
    }
}

impl<G> AsFd for Host<G> {
    /// Returns the descriptor that is readable while a turn has something to do. It is for polling only.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.seat.shared.workers[0].reactor.as_fd()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let shared = &self.shared;
        if let Some((context, _)) = &self.carried
            && self.asleep
        {
            context.with_core(|core| core.end_host_sleep(shared));
        }
        let core = self.carried.take().and_then(|(context, _)| context.take_core());
        shared.workers[0].request.end_hosting();
        if let Some(core) = core {
            launch_surely(shared, core);
        }
    }
}

impl<G: fmt::Debug> fmt::Debug for Host<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("green", &self.green).finish_non_exhaustive()
    }
}
