//! Waiting for a lock: what the futures of all locks have in common.

use std::fmt;
use std::hint;
use std::task::{Context, Poll, Waker, ready};
use std::thread;

use crate::base::waitlist::WaitKey;
use crate::kernel::backend::StrandState;
use crate::kernel::coop;
use crate::kernel::strand::{with_current, with_state};
use crate::kernel::task::wait_graph::{HeldLock, LockWait};
use crate::kernel::task::{Cycle, TaskId};
use crate::kernel::waiting::{self, WaitingFor};

/// The message of the panic of a future that is polled after it was ready.
pub(super) const POLLED_AGAIN: &str = "a lock was polled after it was ready";

/// A lock without a value, as one sees it who wants it in a certain way.
pub(super) trait RawLock: HeldLock {
    /// True if a thread sleeps at once when it has to wait. One that is woken has to try again, and may come
    /// too late: so a thread that looked for a while would most often look in vain, and take a core from
    /// whoever has the lock meanwhile.
    const SLEEPS: bool;

    /// Returns the number by which the lock is told apart.
    fn number(&self) -> usize;

    /// Takes the lock if that can be done at once. For one that has not waited yet.
    fn try_lock(&self) -> bool;

    /// Looks whether it is worth trying to take the lock, or looking again soon.
    fn look(&self) -> Sight;

    /// Takes the lock, or has `waker` woken when it is worth trying again. Whoever drops `wait_key` before
    /// that calls [`RawLock::stop`].
    fn poll_lock(&self, wait_key: &mut WaitKey, waker: &Waker) -> Poll<()>;

    /// Ends the wait of a future that does not want the lock any more. What it has been given goes to the
    /// next one.
    fn stop(&self, wait_key: &mut WaitKey);

    /// Records which task has the lock, which the caller has.
    fn add_holder(&self, holder: Option<TaskId>);
}

/// A lock as it is seen at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sight {
    /// It is to be had.
    Free,
    /// Somebody has it. If others wait, one of them has been woken, and is on its way.
    Held,
    /// Others wait for it, and who has it will wake one of them.
    Awaited,
}

/// The number of pauses that a stack which may block makes before it looks again at a lock that others have.
/// Most sections are short, and to block and be woken costs more than many of them. But each look takes the
/// lock's cache line from whoever has the lock, and one that finds it free between two sections of the same
/// task begins to share the line with that one, which slows both down. So looks are few, and further apart
/// than many sections are long. Many more pauses in a row make a virtual machine give its core away.
const PAUSES: u32 = 32;

/// The number of times that such a stack looks after that, each time when it has given its core away
/// [`YIELDS`] times: whoever has the lock may need a core. That may be a task that was given it in the queue,
/// and has not run since.
const LATE_LOOKS: u32 = 2;

/// The number of times that a stack gives its core away before each of the [`LATE_LOOKS`].
const YIELDS: u32 = 4;

/// Takes the lock if that can be done at once, for one that has not waited yet, and spends a unit of the
/// budget on it. Returns the task that is known to have it then, which `holder` finds. Inlined in any case:
/// it is short, and its result stays in registers.
#[inline(always)]
pub(super) fn lock_at_once(
    raw: &impl RawLock,
    holder: impl Fn(&StrandState) -> Option<TaskId>,
) -> Option<Option<TaskId>> {
    coop::complete_at_once(|state| {
        // Found before: what is loaded after the lock is taken waits for that.
        let holder = holder(state);
        raw.try_lock().then(|| {
            raw.add_holder(holder);
            holder
        })
    })
}

/// Takes the lock if whoever has it gives it back within a moment. It gives up when others wait in the queue,
/// and none of them is on its way.
fn lock_soon(raw: &impl RawLock) -> bool {
    let looks = if cfg!(loom) { 0 } else { 1 + LATE_LOOKS };
    for look in 0..looks {
        match look {
            0 => (0..PAUSES).for_each(|_| hint::spin_loop()),
            _ => (0..YIELDS).for_each(|_| thread::yield_now()),
        }
        match raw.look() {
            Sight::Free if raw.try_lock() => return true,
            Sight::Awaited => return false,
            _ => {}
        }
    }
    false
}

/// A wait for a lock.
pub(super) struct Waiting {
    wait_key: WaitKey,
    /// The part of it that searches for deadlocks see.
    lock_wait: LockWait,
}

impl Waiting {
    #[inline]
    pub(super) fn new() -> Waiting {
        Waiting { wait_key: WaitKey::new(), lock_wait: LockWait::default() }
    }

    /// Returns whether it has waited.
    #[inline]
    pub(super) fn has_begun(&self) -> bool {
        self.wait_key.is_set()
    }

    /// Calls [`lock_at_once`], unless it has waited.
    #[inline(always)]
    pub(super) fn lock_at_once(
        &self,
        raw: &impl RawLock,
        holder: impl Fn(&StrandState) -> Option<TaskId>,
    ) -> Option<Option<TaskId>> {
        if self.has_begun() { None } else { lock_at_once(raw, holder) }
    }

    /// Polls for the lock, where [`lock_at_once`] has not got it, and spends a unit of the budget on it.
    /// Returns the task that is known to have it then, which `holder` finds.
    ///
    /// The two are called apart: what comes of a free lock stays in registers. A result of both would be
    /// written to memory in pieces and read as one right after, which stalls.
    ///
    /// # Errors
    /// When the wait would never end, because it would be for the waiting task itself.
    #[cold]
    pub(super) fn poll_in_turn(
        &mut self,
        raw: &impl RawLock,
        cx: &mut Context<'_>,
        holder: impl Fn(&StrandState) -> Option<TaskId>,
    ) -> Poll<Result<Option<TaskId>, Cycle>> {
        let unit = ready!(coop::proceed(cx));
        // Where others wait for the thread, whoever has the lock may be one of them; and so it may be where a
        // foreign executor polls.
        let may_spin =
            || with_current(|strand| strand.may_block() && strand.state().refills_budget(cx.waker()));
        let is_locked = !self.has_begun()
            && match raw.look() {
                // The budget was over, and nobody has tried yet.
                Sight::Free if raw.try_lock() => true,
                Sight::Awaited => false,
                _ => may_spin() && lock_soon(raw),
            };
        let locked = if is_locked || raw.poll_lock(&mut self.wait_key, cx.waker()).is_ready() {
            Ok(())
        } else {
            ready!(self.pending(raw, cx))
        };
        self.lock_wait.end();
        unit.spend();
        Poll::Ready(locked.map(|()| {
            let holder = with_state(holder);
            raw.add_holder(holder);
            holder
        }))
    }

    fn pending<R: RawLock>(&mut self, raw: &R, cx: &mut Context<'_>) -> Poll<Result<(), Cycle>> {
        let wait_key = &self.wait_key;
        let watched = with_state(|state| {
            if R::SLEEPS {
                state.set_sleeping(cx.waker());
            }
            self.lock_wait.pending(state, cx.waker(), raw, wait_key)
        });
        match watched {
            Ok(()) => waiting::note(Poll::Pending, || WaitingFor::Lock {
                lock: raw.number(),
                holders: raw.holders().into_iter().flatten().collect(),
            }),
            Err(cycle) => {
                raw.stop(&mut self.wait_key);
                Poll::Ready(Err(cycle))
            }
        }
    }

    /// The future is dropped.
    #[inline]
    pub(super) fn stop(&mut self, raw: &impl RawLock) {
        raw.stop(&mut self.wait_key);
    }
}

/// The reasons why a lock that is waited for with a check for them gives no access to a value:
/// [`Lock::checked`](super::Lock::checked), [`Read::checked`](super::Read::checked),
/// [`Write::checked`](super::Write::checked), and those of owned guards.
#[non_exhaustive]
pub enum LockError<G> {
    /// Somebody has panicked while the mutex was locked. The lock is the caller's now: the guard gives access
    /// to the value as the panic has left it.
    Poisoned(G),
    /// The wait would never end: the lock is held by a task that waits, in the end, for this one.
    Deadlock(Cycle),
}

impl<G> fmt::Debug for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Poisoned(_) => f.write_str("Poisoned(..)"),
            LockError::Deadlock(cycle) => f.debug_tuple("Deadlock").field(cycle).finish(),
        }
    }
}

impl<G> fmt::Display for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Poisoned(_) => f.write_str("somebody has panicked while the mutex was locked"),
            LockError::Deadlock(cycle) => write!(f, "deadlock: {cycle}"),
        }
    }
}

impl<G> std::error::Error for LockError<G> {}

/// Panics because a wait for a lock would never end.
#[cold]
#[track_caller]
pub(super) fn refuse_deadlock(cycle: &Cycle) -> ! {
    panic!("deadlock: {cycle}")
}
