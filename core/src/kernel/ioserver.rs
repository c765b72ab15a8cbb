//! The I/O server: one background thread, `twoply-io`, that turns a reactor for all stacks that have no other
//! driver.
//!
//! It watches the descriptors and deadlines of futures that are polled on a foreign runtime, or with a waker
//! that does not wake the polling stack itself. The thread is started by the first who needs it and lives as
//! long as the process; it runs wakers and nothing else. If the operating system refuses a thread or a
//! poller, the operation that needed it fails and the next one tries again. The child of a fork starts one of
//! its own.
//!
//! # Interrupting system calls
//! A thread that blocks in a system call is interrupted by a signal, `SIGURG`, sent to that thread alone. Its
//! default action is to do nothing, and debuggers pass it on. The handler does nothing either; it is
//! installed without `SA_RESTART`, which is what makes the call return. A program that has a handler of its
//! own keeps it, and must have installed it without `SA_RESTART` for calls to be interrupted. A signal that
//! arrives just before the thread enters the kernel is lost, so this thread sends it again until the call is
//! over.
//!
//! A daemon that blocks all signals before it starts threads blocks this one, too. So a thread unblocks it,
//! and no other, before the first call that a task makes on it. Where the system denies the signal (a sandbox
//! that forbids `tgkill`), no call could be interrupted: then none is made that blocks, and everybody waits
//! in `poll(2)` instead.

use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Once};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use crate::base::fork::PerProcess;
use crate::event::reactor::{Interest, IoSource, Reactor, Registration};
use crate::event::timers::Timers;
use crate::kernel::backend::Driver;
use crate::kernel::hooks::process_hooks;
use crate::kernel::strand::{WakeHandle, in_turn};
use crate::kernel::threads;

/// The number of turns without a sleep that follow a turn that had something to do. Waking a sleeping thread
/// on an idle core costs 40 us or more; a few such turns cost a tenth of that.
const SPIN_ROUNDS: u32 = 20;

/// The time after which a signal is sent again, and the limit up to which it doubles.
const RESEND: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// The state that the thread shares with its users.
struct Server {
    reactor: Reactor,
    /// Takes the calls that have been interrupted to the thread.
    interrupts: flume::Sender<Interrupt>,
}

/// A blocking system call that is being interrupted.
struct Interrupt {
    thread: Arc<WakeHandle>,
    /// The number of the call, which tells it from later calls of the thread.
    call: u32,
    /// The time of the next signal.
    again: Instant,
    /// The time from the next signal to the one after it.
    delay: Duration,
}

/// The server of this process, once it has been started.
static SERVER: PerProcess<Arc<Server>> = PerProcess::new();

/// Returns the driver that the I/O server turns, for stacks that have no other.
///
/// This never fails; the driver's methods do, when the thread cannot be started.
///
/// # Examples
/// ```
/// use std::task::Waker;
/// use std::time::Duration;
///
/// let driver = twoply_core::ioserver::driver();
/// let key = driver.timers(Waker::noop())?.insert(driver.now() + Duration::from_secs(60), Waker::noop());
/// driver.timers(Waker::noop())?.remove(key.unwrap());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn driver() -> &'static dyn Driver {
    &IoServer
}

/// Has the I/O server's thread call `handler` when `io` becomes ready; see
/// [`Reactor::register`](crate::reactor::Reactor::register).
///
/// # Errors
/// Fails when the server cannot be started, or the system refuses to watch the descriptor.
pub(crate) fn register<T: AsFd + 'static>(
    io: T,
    interest: Interest,
    handler: impl FnMut(Interest) -> Interest + Send + 'static,
) -> io::Result<Registration<T>> {
    server()?.reactor.register(io, interest, handler)
}

/// The driver that hands everything to the server.
struct IoServer;

impl Driver for IoServer {
    fn watch(&self, source: &Arc<IoSource>, _interest: Interest, _waker: &Waker) -> io::Result<()> {
        source.bind(&server()?.reactor)
    }

    fn timers(&self, _waker: &Waker) -> io::Result<Arc<Timers>> {
        Ok(Arc::clone(server()?.reactor.timers()))
    }
}

/// A reactor serves every waker, because its owner turns it whether or not the waker's stack is parked. A
/// closed one sends its callers to the I/O server.
impl Driver for Reactor {
    fn reactor(&self) -> Option<&Reactor> {
        (!self.is_closed()).then_some(self)
    }

    fn watch(&self, source: &Arc<IoSource>, interest: Interest, waker: &Waker) -> io::Result<()> {
        match source.bind(self) {
            Err(_) if self.is_closed() => driver().watch(source, interest, waker),
            result => result,
        }
    }

    fn timers(&self, waker: &Waker) -> io::Result<Arc<Timers>> {
        match self.is_closed() {
            true => driver().timers(waker),
            false => Ok(Arc::clone(Reactor::timers(self))),
        }
    }
}

/// Returns the server, and starts it if there is none.
fn server() -> io::Result<&'static Arc<Server>> {
    SERVER.get_or_try_init(|| {
        let (interrupts, interrupted) = flume::unbounded();
        let server = Arc::new(Server { reactor: Reactor::new()?, interrupts });
        let served = Arc::clone(&server);
        let serve = move || process_hooks().around_thread(&mut || served.serve(&interrupted));
        threads::start("twoply-io".into(), None, serve)?;
        Ok(server)
    })
}

/// Interrupts the blocking call that `thread` is in. It is called inside `wake`, so it does not wait until
/// the call returns.
pub(crate) fn interrupt(thread: &Arc<WakeHandle>) {
    let Some(call) = thread.call() else { return };
    thread.signal(signal_number());
    // Without a server nobody sends the signal again. One signal is nearly always enough.
    let Ok(server) = server() else { return };
    let (first, _) = RESEND;
    let thread = Arc::clone(thread);
    let interrupt = Interrupt { thread, call, again: Instant::now() + first, delay: first };
    // flume is a queue here and nothing else: the thread waits in its reactor. It receives as long as the
    // process lives.
    if server.interrupts.try_send(interrupt).is_ok() {
        server.reactor.notify();
    }
}

impl Server {
    fn serve(&self, interrupted: &flume::Receiver<Interrupt>) {
        let mut idle = SPIN_ROUNDS;
        // The calls that have been interrupted and have not returned yet, as far as is known.
        let mut interrupts = Vec::new();
        loop {
            interrupts.extend(interrupted.try_iter());
            let again = resend(&mut interrupts);
            let spinning = idle < SPIN_ROUNDS;
            let timeout = if spinning { Some(Duration::ZERO) } else { again };
            // The panic hook has reported a waker that panics; everybody else still needs this thread.
            match catch_unwind(AssertUnwindSafe(|| in_turn(|| self.reactor.turn(timeout)))) {
                Ok(Ok(turn)) if turn.events + turn.timers == 0 => {
                    idle = idle.saturating_add(1);
                    if spinning {
                        thread::yield_now();
                    }
                }
                Ok(Ok(_)) | Err(_) => idle = 0,
                // No documented cause is left. Should there be one, it must not make this loop burn a core.
                Ok(Err(_)) => thread::sleep(RESEND.0),
            }
        }
    }
}

/// Sends the signals that are due, and returns how long it is until the next one.
fn resend(interrupts: &mut Vec<Interrupt>) -> Option<Duration> {
    interrupts.retain(|interrupt| interrupt.thread.call() == Some(interrupt.call));
    let now = Instant::now();
    for interrupt in interrupts.iter_mut().filter(|interrupt| interrupt.again <= now) {
        interrupt.thread.signal(signal_number());
        interrupt.delay = (interrupt.delay * 2).min(RESEND.1);
        interrupt.again = now + interrupt.delay;
    }
    interrupts.iter().map(|interrupt| interrupt.again.saturating_duration_since(now)).min()
}

/// The state of the right to send signals: [`UNTRIED`], [`ALLOWED`] or [`DENIED`].
static SIGNALS: AtomicU8 = AtomicU8::new(UNTRIED);

/// No signal has been tried yet.
const UNTRIED: u8 = 0;
/// The system lets signals be sent.
const ALLOWED: u8 = 1;
/// The system has refused a signal.
const DENIED: u8 = 2;

/// Returns whether a thread that blocks in a system call could be interrupted.
#[inline]
pub(crate) fn can_interrupt() -> bool {
    match SIGNALS.load(Relaxed) {
        UNTRIED => try_signal(),
        known => known == ALLOWED,
    }
}

#[cold]
fn try_signal() -> bool {
    // Number 0 asks whether a signal could be sent, and sends none.
    signal_thread(rustix::thread::gettid(), 0);
    // The state is still UNTRIED unless the signal has been denied.
    let _ = SIGNALS.compare_exchange(UNTRIED, ALLOWED, Relaxed, Relaxed);
    SIGNALS.load(Relaxed) == ALLOWED
}

/// Sends a signal to a thread of this process, if the system allows it. A thread that has ended gets none.
pub(crate) fn signal_thread(thread: rustix::thread::Pid, signal: libc::c_int) {
    let process = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: the call takes three numbers and touches no memory of ours.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, process, thread.as_raw_nonzero().get(), signal) };
    // A thread that is not there, or a system without room for another signal, says nothing about the next
    // one.
    if sent < 0
        && matches!(
            io::Error::last_os_error().raw_os_error(),
            Some(libc::EPERM | libc::EACCES | libc::ENOSYS)
        )
    {
        SIGNALS.store(DENIED, Relaxed);
    }
}

/// Unblocks the signal that interrupts calls for the calling thread.
#[cold]
pub(crate) fn unblock_signal() {
    // SAFETY: all-zero is a valid, empty set, to which the second call adds one signal; the third takes it
    // out of what the calling thread blocks, and writes nothing.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGURG);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// Returns the signal that interrupts calls, and installs its handler if that has not been done.
fn signal_number() -> libc::c_int {
    install_handler();
    libc::SIGURG
}

/// Installs a handler that does nothing, unless the program has one of its own. A signal that is ignored, or
/// has its default action, would not interrupt calls.
pub(crate) fn install_handler() {
    extern "C" fn do_nothing(_signal: libc::c_int) {}

    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // SAFETY: all-zero is a valid `sigaction`: the default action, no flags, an empty mask. The first
        // call only reads the present action into it. The second installs a handler that does nothing and so
        // may run anywhere; it has the signature that goes without SA_SIGINFO.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let known = libc::sigaction(libc::SIGURG, std::ptr::null(), &raw mut action) == 0;
            if known && (action.sa_sigaction == libc::SIG_DFL || action.sa_sigaction == libc::SIG_IGN) {
                let mut ours: libc::sigaction = std::mem::zeroed();
                ours.sa_sigaction = do_nothing as extern "C" fn(libc::c_int) as usize;
                // On the alternate stack where there is one: ours may be a small one.
                ours.sa_flags = libc::SA_ONSTACK;
                libc::sigaction(libc::SIGURG, &raw const ours, std::ptr::null_mut());
            }
        }
    });
}

#[cfg(test)]
#[path = "ioserver/tests.rs"]
mod tests;
