//! Messages that are made and sent to a process again and again.

use std::sync::{Arc, Mutex, Weak};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use super::alarm::{Alarm, Polled};
use super::{Pending, Timer, refuse};
use crate::actor::process::cell::Cell;
use crate::actor::process::pid::HookId;
use crate::actor::process::reference::ProcessRef;
use crate::actor::process::signal::Later;
use crate::base::sync::lock_std;
use crate::channel::TrySendError;
use crate::kernel::detached;
use crate::kernel::sleep::{after, now, ticks_since};
use crate::kernel::strand::part_with;

/// The shortest period: a shorter one would keep a worker busy with messages that are skipped.
const SHORTEST: Duration = Duration::from_millis(1);

/// An interval. It is entered with its target before it can be woken.
struct Periodic<M, F> {
    alarm: Alarm,
    period: Duration,
    target: Weak<Cell<M>>,
    ticks: Mutex<Ticks<F>>,
    /// The number under which the target knows the timer.
    entry: HookId,
}

struct Ticks<F> {
    /// Makes the messages; taken out while it does.
    make: Option<F>,
    /// The instant at which the next message is due; `None` is never.
    due: Option<Instant>,
    /// The number of messages that had been sent to the target with the last one.
    mark: Option<u32>,
    /// True when it has been cancelled, or given up.
    over: bool,
}

/// Starts an interval at `target`.
pub(super) fn start<M, F>(period: Duration, target: &ProcessRef<M>, make: F) -> Timer
where
    M: Send + 'static,
    F: FnMut() -> M + Send + 'static,
{
    part_with::<F>();
    let (period, cell) = (period.max(SHORTEST), target.cell());
    let due = after(period);
    let timer = Arc::new(Periodic {
        alarm: Alarm::new(),
        period,
        target: Arc::downgrade(cell),
        ticks: Mutex::new(Ticks { make: Some(make), due, mark: None, over: false }),
        entry: HookId::next(),
    });
    if cell.enter_timer(&timer, due, true) {
        timer.alarm.set(due);
        timer.advance();
    } else if let Some(work) = timer.give_up() {
        detached::run(cell.home(), work);
    }
    Timer(timer)
}

impl<M, F> Periodic<M, F>
where
    M: Send + 'static,
    F: FnMut() -> M + Send + 'static,
{
    /// Has the next message made, elsewhere, if it is due.
    fn advance(self: &Arc<Self>) {
        match self.alarm.poll(&Waker::from(Arc::clone(self))) {
            Polled::Elapsed => {
                let home = self.target.upgrade().and_then(|cell| cell.home());
                let timer = Arc::clone(self);
                detached::run(home, Box::new(move || timer.tick()));
            }
            Polled::Pending => {}
            Polled::Refused => refuse(&**self, &self.target),
        }
    }

    /// Makes and sends a message, unless the target is busy; and sets the alarm for the next one. Nobody else
    /// does so meanwhile.
    fn tick(self: &Arc<Self>) {
        let Some(cell) = self.target.upgrade() else { return };
        let (make, mark) = {
            let mut ticks = lock_std(&self.ticks);
            (ticks.make.take(), ticks.mark)
        };
        let Some(make) = make else { return };
        let mut turn = Turn { timer: self, make: Some(make) };
        let mark = match mark {
            Some(mark) if !cell.has_received(mark) => mark,
            _ => match cell.try_send(turn.make(), false) {
                Ok(()) => cell.sent(),
                // The process will not receive it; or it has no time.
                Err(TrySendError::Closed(_)) => return,
                Err(TrySendError::Full(_)) => cell.sent(),
            },
        };
        turn.go_on(mark);
    }
}

/// The turn of an interval that makes a message. If it does not go on, because of a panic, or because nobody
/// receives, the interval is over.
struct Turn<'a, M: Send + 'static, F: FnMut() -> M + Send + 'static> {
    timer: &'a Arc<Periodic<M, F>>,
    /// Taken out at the end.
    make: Option<F>,
}

impl<M: Send + 'static, F: FnMut() -> M + Send + 'static> Turn<'_, M, F> {
    fn make(&mut self) -> M {
        match &mut self.make {
            Some(make) => make(),
            None => unreachable!("it is taken out at the end"),
        }
    }

    /// Waits for the next turn, unless the interval has been cancelled meanwhile.
    fn go_on(mut self, mark: u32) {
        let make = self.make.take();
        let timer = self.timer;
        let mut ticks = lock_std(&timer.ticks);
        if ticks.over {
            drop(ticks);
            drop(make);
            return;
        }
        (ticks.make, ticks.mark) = (make, Some(mark));
        ticks.due = ticks.due.and_then(|due| ticks_since(due, timer.period, now()).1);
        let due = ticks.due;
        drop(ticks);
        timer.alarm.set(due);
        timer.advance();
    }
}

impl<M: Send + 'static, F: FnMut() -> M + Send + 'static> Drop for Turn<'_, M, F> {
    fn drop(&mut self) {
        if self.make.is_some() {
            self.timer.cancel();
        }
    }
}

impl<M, F> Later for Periodic<M, F>
where
    M: Send + 'static,
    F: FnMut() -> M + Send + 'static,
{
    fn give_up(&self) -> Option<detached::Work> {
        let make = {
            let mut ticks = lock_std(&self.ticks);
            ticks.over = true;
            ticks.make.take()
        };
        self.alarm.stop();
        make.map(|make| Box::new(move || drop(make)) as detached::Work)
    }

    fn deadline(&self) -> Option<Option<Instant>> {
        let ticks = lock_std(&self.ticks);
        (!ticks.over).then_some(ticks.due)
    }

    fn entry(&self) -> HookId {
        self.entry
    }

    fn is_for_successors(&self) -> bool {
        true
    }
}

impl<M, F> Wake for Periodic<M, F>
where
    M: Send + 'static,
    F: FnMut() -> M + Send + 'static,
{
    fn wake(self: Arc<Self>) {
        self.advance();
    }
}

impl<M, F> Pending for Periodic<M, F>
where
    M: Send + 'static,
    F: FnMut() -> M + Send + 'static,
{
    fn cancel(&self) -> bool {
        let (make, before) = {
            let mut ticks = lock_std(&self.ticks);
            (ticks.make.take(), std::mem::replace(&mut ticks.over, true))
        };
        self.alarm.stop();
        if let Some(cell) = self.target.upgrade() {
            cell.leave_timer(self.entry);
        }
        drop(make);
        !before
    }

    fn deadline(&self) -> Option<Option<Instant>> {
        Later::deadline(self)
    }
}
