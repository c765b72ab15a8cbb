//! A sleep that is polled by its own waker.

use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Waker};
use std::time::Instant;

use crate::base::sync::lock_std;
use crate::channel::oneshot;
use crate::kernel::sleep::Sleep;
use crate::kernel::threads;
use crate::kernel::wait::Wait as _;
use crate::time::timeout_at;

/// A deadline, and the lock under which it lies; nothing else runs under that: the sleep is taken out to be
/// polled.
pub(super) struct Alarm(Mutex<State>);

struct State {
    /// The deadline; taken out while it is polled, and gone when it is over.
    sleep: Option<Sleep>,
    /// True if it was woken while it was polled, so that it is to be polled again.
    woken: bool,
    /// True when nobody wants to hear of it any more.
    stopped: bool,
    /// Ends the wait of a thread that waits because no driver has a timer; that also ends when this is
    /// dropped.
    thread: Option<oneshot::Sender<()>>,
}

/// The answers of [`Alarm::poll`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Polled {
    /// The time is over; this is said once.
    Elapsed,
    /// The waker is woken when it is to be polled again, unless it has been stopped.
    Pending,
    /// The operating system has neither a timer nor a thread for it: nobody will be woken.
    Refused,
}

impl Alarm {
    /// Makes one that is not set.
    pub(super) fn new() -> Alarm {
        Alarm(Mutex::new(State { sleep: None, woken: false, stopped: false, thread: None }))
    }

    /// Sets it, unless it has been stopped. Whoever calls this polls it next.
    pub(super) fn set(&self, deadline: Option<Instant>) {
        let mut state = lock_std(&self.0);
        if !state.stopped {
            state.sleep = Some(Sleep::until(deadline));
        }
    }

    /// Returns whether the time is over, or has `waker` woken when it is to be polled again.
    pub(super) fn poll(&self, waker: &Waker) -> Polled {
        let Some(mut sleep) = self.take_sleep() else { return Polled::Pending };
        loop {
            let elapsed = sleep.poll_elapsed(&mut Context::from_waker(waker));
            let mut state = lock_std(&self.0);
            let woken = std::mem::take(&mut state.woken);
            if elapsed.is_ready() {
                let thread = state.thread.take();
                drop(state);
                drop(thread);
                return Polled::Elapsed;
            }
            if state.stopped {
                return Polled::Pending;
            }
            // A sleep that has no timer wakes at once, and would be polled again until its time is over.
            if let Some(deadline) = sleep.lacks_timer() {
                state.sleep = Some(sleep);
                return wait_on_thread(state, deadline, waker);
            }
            // Woken meanwhile: by the deadline itself, or because its driver has been shut down.
            if !woken {
                state.sleep = Some(sleep);
                return Polled::Pending;
            }
        }
    }

    /// Stops it for good: nobody is woken any more.
    pub(super) fn stop(&self) {
        let mut state = lock_std(&self.0);
        state.stopped = true;
        let (sleep, thread) = (state.sleep.take(), state.thread.take());
        drop(state);
        // Taking the deadline back drops the driver's waker; dropping the other wakes the thread.
        drop((sleep, thread));
    }

    /// Takes the sleep out to poll it; or else has whoever has it poll it once more.
    fn take_sleep(&self) -> Option<Sleep> {
        let mut state = lock_std(&self.0);
        state.woken |= state.sleep.is_none();
        state.sleep.take()
    }
}

/// Has a thread wait until `deadline` and then wake `waker`: a thread that parks needs no driver.
fn wait_on_thread(mut state: MutexGuard<'_, State>, deadline: Instant, waker: &Waker) -> Polled {
    let (end, ended) = oneshot::channel();
    let previous = state.thread.replace(end);
    drop(state);
    drop(previous);
    let waker = waker.clone();
    let started = threads::shared().execute(None, None, move || {
        if timeout_at(deadline, ended).wait().is_err() {
            waker.wake();
        }
    });
    if started.is_ok() { Polled::Pending } else { Polled::Refused }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io;
    use std::sync::{Arc, mpsc};
    use std::task::Wake;
    use std::time::Duration;

    use super::*;
    use crate::event::reactor::{Interest, IoSource};
    use crate::event::timers::Timers;
    use crate::kernel::backend::{Backend, Driver, Strand, StrandState};
    use crate::kernel::strand::{ThreadStrand, enter};

    /// Far more than a busy machine needs.
    const LONG: Duration = Duration::from_secs(30);

    /// A strand whose driver is refused everything.
    struct Refused(ThreadStrand);

    impl Strand for Refused {
        fn state(&self) -> &StrandState {
            self.0.state()
        }

        fn park(&self) {
            self.0.park();
        }

        fn driver(&self) -> &dyn Driver {
            self
        }

        fn backend(&self) -> Option<Arc<dyn Backend>> {
            None
        }
    }

    impl Driver for Refused {
        fn watch(&self, _: &Arc<IoSource>, _: Interest, _: &Waker) -> io::Result<()> {
            Err(io::ErrorKind::QuotaExceeded.into())
        }

        fn timers(&self, _: &Waker) -> io::Result<Arc<Timers>> {
            Err(io::ErrorKind::QuotaExceeded.into())
        }
    }

    /// A timer that tells when it is due, and by a closed channel when it is gone.
    struct Timer {
        alarm: Alarm,
        due: mpsc::Sender<()>,
    }

    impl Wake for Timer {
        fn wake(self: Arc<Self>) {
            self.advance();
        }
    }

    impl Timer {
        fn advance(self: &Arc<Self>) -> Polled {
            let polled = self.alarm.poll(&Waker::from(Arc::clone(self)));
            if polled == Polled::Elapsed {
                self.due.send(()).unwrap();
            }
            polled
        }
    }

    /// Starts a timer where no driver has one for it.
    fn start(delay: Duration) -> (Arc<Timer>, mpsc::Receiver<()>) {
        let (due, is_due) = mpsc::channel();
        let timer = Arc::new(Timer { alarm: Alarm::new(), due });
        timer.alarm.set(Some(Instant::now() + delay));
        let polled = enter(&Refused(ThreadStrand::new()), || timer.advance());
        assert_eq!(polled, Polled::Pending, "whoever starts a timer does not wait for it");
        (timer, is_due)
    }

    #[test]
    fn a_timer_that_no_driver_has_room_for_comes_all_the_same() {
        let begin = Instant::now();
        let (_timer, is_due) = start(Duration::from_millis(50));
        assert_eq!(is_due.recv_timeout(LONG), Ok(()));
        assert!(begin.elapsed() >= Duration::from_millis(50));
    }

    #[test]
    fn a_timer_that_is_stopped_leaves_no_thread_behind() {
        let (timer, is_due) = start(Duration::from_secs(3600));
        timer.alarm.stop();
        drop(timer);
        let gone = Err(mpsc::RecvTimeoutError::Disconnected);
        assert_eq!(is_due.recv_timeout(LONG), gone, "the thread has let go of it, and it never came");
    }
}
