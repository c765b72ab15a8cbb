//! The end of a child: who waits for it, and who takes its status when nobody does.
//!
//! ```text
//! running ──(1) check──▶ over (status kept)
//!    │                        ▲
//!    └──(2) abandon──▶ orphan ┘ (3) look
//!
//! (1) check    whoever waits: takes the status, under the lock, so that nobody signals a process that is gone.
//! (2) abandon  the drop of the handle.
//! (3) look     the orphan's own waker, when the system reports the end; where it cannot, the next child that is started.
//! ```

use std::io;
use std::process::{self, ExitStatus};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

use super::sys;
use crate::base::sync::lock_std;
use crate::channel::WaitKey;
use crate::event::reactor::{Direction, IoHandle, IoSource, IoWaiter, Progress};
use crate::kernel::coop;
use crate::kernel::io::Op;
use crate::kernel::ioserver;
use crate::signal::{SignalKind, Signals};

/// The number of the signal that ends a process.
const KILL: i32 = rustix::process::Signal::KILL.as_raw();

/// A process that has been started, until its status has been taken, and the status from then on.
#[derive(Debug)]
pub(super) struct Exit {
    child: Mutex<process::Child>,
    /// The number of the process.
    id: u32,
    /// True if what kills it kills all of the group that it leads.
    owns_group: bool,
    /// True when the status has been taken, so that its number may be another's. Changed under the lock of
    /// `child`; Relaxed.
    is_taken: AtomicBool,
    /// The watch that tells of the process's end. The first who has to wait makes it.
    watch: OnceLock<Watch>,
}

/// The two ways to be told of the end of a process.
#[derive(Debug)]
enum Watch {
    /// A descriptor of the process, which becomes readable.
    Descriptor(Arc<IoSource>),
    /// The signal that a child has ended, whichever it is.
    Signal(Signals),
}

impl Exit {
    pub(super) fn new(child: process::Child, owns_group: bool) -> Exit {
        let (id, is_taken) = (child.id(), AtomicBool::new(false));
        Exit { id, owns_group, is_taken, child: Mutex::new(child), watch: OnceLock::new() }
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Returns the status of the process, if it has ended.
    pub(super) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.try_take(&mut lock_std(&self.child))
    }

    fn try_take(&self, child: &mut process::Child) -> io::Result<Option<ExitStatus>> {
        let status = child.try_wait();
        if !matches!(status, Ok(None)) {
            // After an error it is somebody else who has taken it.
            self.is_taken.store(true, Relaxed);
        }
        status
    }

    /// Returns the status, or [`WouldBlock`](io::ErrorKind::WouldBlock) while the process runs.
    fn check(&self) -> io::Result<ExitStatus> {
        self.try_wait()?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    /// Waits for the end. Cancel-safe: the status is kept.
    pub(super) async fn wait(&self) -> io::Result<ExitStatus> {
        coop::consume().await;
        if let Some(status) = self.try_wait()? {
            return Ok(status);
        }
        match self.watch()? {
            Watch::Descriptor(source) => {
                let check = |_: &IoHandle| self.check().map(Progress::More);
                Op::new(source, Direction::Read, None, check).await
            }
            Watch::Signal(signals) => loop {
                if let Some(status) = self.try_wait()? {
                    return Ok(status);
                }
                signals.next().await;
            },
        }
    }

    /// Sends a signal to the process.
    pub(super) fn signal(&self, number: i32) -> io::Result<()> {
        // The lock keeps the number from being given to another process meanwhile.
        let mut child = lock_std(&self.child);
        match self.try_take(&mut child)? {
            Some(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "the process has ended")),
            None => sys::signal(self.id, number),
        }
    }

    /// Sends a signal to all of the group that the process leads. It may have ended, but its status keeps the
    /// number.
    pub(super) fn signal_group(&self, number: i32) -> io::Result<()> {
        let _child = lock_std(&self.child);
        match self.is_taken.load(Relaxed) {
            true => Err(io::Error::new(io::ErrorKind::InvalidInput, "the process has ended")),
            false => sys::signal_group(self.id, number),
        }
    }

    /// Has the system end the process, or all of its group; does nothing when its status has been taken.
    pub(super) fn kill(&self) -> io::Result<()> {
        let mut child = lock_std(&self.child);
        match self.owns_group && !self.is_taken.load(Relaxed) {
            true => sys::signal_group(self.id, KILL),
            false => child.kill(),
        }
    }

    fn watch(&self) -> io::Result<&Watch> {
        if let Some(watch) = self.watch.get() {
            return Ok(watch);
        }
        let watch = match sys::open(self.id) {
            Ok(fd) => Watch::Descriptor(IoSource::new(fd)),
            Err(refused) => Watch::Signal(Signals::new([SignalKind::CHILD]).map_err(|_| refused)?),
        };
        Ok(self.watch.get_or_init(|| watch))
    }

    /// Leaves a process to itself: its status is taken when it comes.
    pub(super) fn abandon(self) {
        // After an error the status is somebody else's.
        if !matches!(self.try_wait(), Ok(None)) {
            return;
        }
        Arc::new(Orphan { exit: self, wait_key: Mutex::new(WaitKey::new()) }).look();
    }
}

/// The processes that nobody holds any more and that cannot be watched at present. Those that are watched
/// live in what watches them.
static UNWATCHED: Mutex<Vec<Arc<Orphan>>> = Mutex::new(Vec::new());

/// Looks at the processes that could not be watched.
pub(super) fn reap() {
    let unwatched = std::mem::take(&mut *lock_std(&UNWATCHED));
    unwatched.iter().for_each(Orphan::look);
}

/// A process that nobody holds any more. It is its own waker.
struct Orphan {
    exit: Exit,
    /// The place of its waker where it waits for the signal.
    wait_key: Mutex<WaitKey>,
}

/// The outcomes of a look at an orphan.
enum Look {
    /// The status has been taken, by this look or by somebody else.
    Over,
    /// The child runs, and its end wakes whoever looks.
    Watched,
    /// The child runs, and the system refuses to tell of its end.
    Unwatched,
}

impl Wake for Orphan {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}

impl Orphan {
    /// Takes the status if the process has ended, and else waits to be told. It may be called at any time, on
    /// any thread, several times at once.
    fn look(self: &Arc<Self>) {
        let waker = Waker::from(Arc::clone(self));
        match self.poll(&mut Context::from_waker(&waker)) {
            Look::Watched => {}
            Look::Unwatched => lock_std(&UNWATCHED).push(Arc::clone(self)),
            Look::Over => match self.exit.watch.get() {
                Some(Watch::Descriptor(source)) => source.forget(Direction::Read),
                Some(Watch::Signal(signals)) => signals.stop(&mut lock_std(&self.wait_key)),
                None => {}
            },
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Look {
        match self.exit.watch() {
            Ok(Watch::Descriptor(source)) => {
                let watch =
                    |source: &_, interest, waker: &_| ioserver::driver().watch(source, interest, waker);
                let check = |_: &IoHandle| self.exit.check().map(Progress::More);
                match IoWaiter::fixed(source, Direction::Read).poll_op(cx, watch, check) {
                    Poll::Pending => Look::Watched,
                    Poll::Ready(Ok(_)) => Look::Over,
                    // The status is somebody else's, or the I/O server has no thread or no memory.
                    Poll::Ready(Err(_)) => self.look_unwatched(),
                }
            }
            Ok(Watch::Signal(signals)) => loop {
                match self.look_unwatched() {
                    Look::Over => return Look::Over,
                    _ if signals.poll_raw(&mut lock_std(&self.wait_key), cx).is_pending() => {
                        return Look::Watched;
                    }
                    _ => {}
                }
            },
            Err(_) => self.look_unwatched(),
        }
    }

    fn look_unwatched(&self) -> Look {
        if matches!(self.exit.try_wait(), Ok(None)) { Look::Unwatched } else { Look::Over }
    }
}
