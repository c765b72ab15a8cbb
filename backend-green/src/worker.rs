//! A worker: what it runs next. What it does when there is nothing to run is in `idle`, what it does for
//! others in `steal`, and when it gives a new task away in `placement`.
//!
//! A worker is a [`Core`] that some OS thread carries. The thread gets the next piece of [`Work`] from the
//! core and runs it. When a task blocks the thread in straight-line code, the core moves on: to another
//! thread ([`crate::strand`]), or, where tasks run on fibers, it stays and leaves the fiber behind
//! ([`crate::runner`]).
//!
//! The core is reached through a thread-local, so that a task which wakes another one, or spawns one, pushes
//! to the queue of the worker that it runs on. It is only ever borrowed shared, but for the moment when it is
//! handed over. While the thread is stuck in a poll, the core can be taken from it ([`crate::revocable`]).
//!
//! A worker runs its work in this order: the LIFO slot (what the last task woke, while the caches are warm,
//! but only so often in a row), then the queue in order, in turns with fibers that can go on. Now and then
//! the injector and the reactor have their turn first, however long the queue is ([`FAIR`], [`TURN`]).

mod idle;
mod placement;
mod steal;

use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use twoply_core::backend::Job;
use twoply_core::reactor::{Reactor, Turn};
use twoply_core::strand;

use crate::core::{Core, Work};
use crate::counts::Counts;
use crate::revocable::Carrier;
use crate::scheduler::{Remote, Shared};
pub(crate) use placement::place;

/// The number of steps after which the injector goes first. Go's and tokio's number; a prime, so that it does
/// not beat with periods of the program's own.
const FAIR: u32 = 61;

/// The time after which the next events are taken while the queue is never empty. Looked at every [`FAIR`]
/// steps; a turn costs some 300 ns.
const TURN: Duration = Duration::from_micros(100);

/// The time between two looks of a stack that cannot be left, while another thread has its worker.
const STALLED: Duration = Duration::from_millis(1);

/// The thread's side of the worker that it carries, if any.
pub(crate) struct Context {
    /// The state of the runtime.
    pub(crate) shared: Arc<Shared>,
    /// The cell of the worker, which is empty once the worker has been handed over, or taken away.
    carrier: Carrier<Core>,
}

thread_local! {
    /// The context of the calling thread; see [`Context`].
    static CONTEXT: RefCell<Option<Rc<Context>>> = const { RefCell::new(None) };
}

impl Context {
    /// Takes the worker away from this thread. Returns `None` when it has none.
    ///
    /// # Panics
    /// When the worker is in the middle of something: code of the user's that waits runs where none should.
    pub(crate) fn take_core(&self) -> Option<Box<Core>> {
        self.carrier.take()
    }

    /// Makes the context of a thread that carries `core`.
    pub(crate) fn new(shared: Arc<Shared>, core: Box<Core>) -> Rc<Context> {
        let index = core.index;
        let context = Context { shared, carrier: Carrier::new(core) };
        context.remote(index).set_carrier(context.carrier.cell());
        Rc::new(context)
    }

    /// Calls `f` with the worker, if it is here.
    #[inline]
    pub(crate) fn with_core<R>(&self, f: impl FnOnce(&Core) -> R) -> Option<R> {
        self.carrier.with(f)
    }

    /// Puts the worker back that was taken away from this thread, and carried by no other since.
    pub(crate) fn put_core(&self, core: Box<Core>) {
        self.carrier.put(core);
    }

    #[inline]
    pub(crate) fn has_core(&self) -> bool {
        self.carrier.has()
    }

    /// Notes that the poll for which this thread was without a worker is over, or will wait on this thread.
    pub(crate) fn leave(&self) {
        self.carrier.leave();
    }

    /// Returns the next piece of work of the worker `index`, whose home this thread is. It waits for the
    /// worker if others have it, to whom it was given while this thread was stuck.
    #[inline]
    pub(crate) fn next_at_home(&self, index: usize) -> Option<Work> {
        loop {
            if let Some(next) = self.with_core(|core| core.next_work(&self.shared)) {
                return next;
            }
            self.come_home(index)?;
        }
    }

    #[cold]
    fn come_home(&self, index: usize) -> Option<()> {
        self.leave();
        let remote = self.remote(index);
        let core = remote.request.wait_for_core(|| remote.reactor.notify()).ok()?;
        core.set_away(false);
        remote.set_carrier(self.carrier.cell());
        if let Some(affinity) = &self.shared.affinity {
            affinity.bind(index);
        }
        self.put_core(core);
        Some(())
    }

    /// Puts a job of this runtime in the queue of the worker that this thread carries.
    #[inline]
    pub(crate) fn push(&self, job: Job, yielded: bool) -> Result<(), Job> {
        if job.is_of(&*self.shared)
            && let Some(core) = self.carrier.lend()
        {
            if let Some(followed) = &self.shared.followed {
                followed.woken(job.id());
            }
            core.push(&self.shared, job, yielded);
            return Ok(());
        }
        Err(job)
    }

    /// Sleeps until there may be work, and calls the hooks before and after that. They may wait, so that the
    /// worker is gone; then there is nothing to sleep for.
    #[cold]
    pub(crate) fn park(&self) {
        let shared = &self.shared;
        shared.hooks.while_parked(|| self.with_core(|core| core.sleep_after_hook(shared)));
    }

    /// Puts a fiber of the worker `index`, whose home this thread is, in that worker's queue.
    #[inline]
    pub(crate) fn push_fiber(&self, index: usize, fiber: usize) {
        if self.with_core(|core| core.push_fiber(fiber)).is_none() {
            self.remote(index).push_inbox(fiber);
        }
    }

    /// Takes the fibers that can go on out of the inbox of the worker `index`, which this thread carries.
    fn drain_inbox(&self, index: usize) {
        self.with_core(|core| self.remote(index).drain_inbox(&mut *core.fibers.borrow_mut()));
    }

    /// Returns the fibers that will go on next and after two others, as far as is known now.
    #[inline]
    pub(crate) fn upcoming_fibers(&self) -> (Option<usize>, Option<usize>) {
        let Some(core) = self.carrier.lend() else { return (None, None) };
        let fibers = core.fibers.borrow();
        (fibers.front().copied(), fibers.get(2).copied())
    }

    /// Returns the worker `index`, which this thread carries or has carried, as the others see it.
    pub(crate) fn remote(&self, index: usize) -> &Remote {
        &self.shared.workers[index]
    }
}

/// Makes `context` the one of the calling thread, until the guard is dropped.
pub(crate) fn enter(context: &Rc<Context>) -> Entered {
    Entered(CONTEXT.with(|current| current.replace(Some(Rc::clone(context)))))
}

/// Ends what [`enter`] has begun: the context is what it was before.
pub(crate) struct Entered(Option<Rc<Context>>);

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.0.take();
        drop(CONTEXT.with(|current| current.replace(before)));
    }
}

/// Returns true if the values of this thread have ended: `std::process::exit` has been called below.
#[inline]
pub(crate) fn is_gone() -> bool {
    CONTEXT.try_with(|_| ()).is_err()
}

/// Calls `f` with the worker of `shared` that this thread carries. Returns false when it carries none.
#[inline]
pub(crate) fn with_local(shared: &Shared, f: impl FnOnce(&Core)) -> bool {
    let called = CONTEXT.try_with(|context| {
        let context = context.borrow();
        let Some(context) = context.as_ref().filter(|context| std::ptr::eq(&*context.shared, shared)) else {
            return false;
        };
        context.with_core(f).is_some()
    });
    called.unwrap_or(false)
}

impl Core {
    /// Adds a job that this worker's own task has woken or started. One that has just run goes to the end of
    /// the queue, any other is run next.
    #[inline]
    pub(crate) fn push(&self, shared: &Shared, job: Job, yielded: bool) {
        if yielded {
            self.local.push(job, &shared.injector);
        } else if self.turning.get() {
            // The turn of a reactor has woken it: such jobs run in the order in which their events or
            // deadlines came.
            if self.turn_woke.replace(true) {
                shared.notify_hint();
            }
            // A queue that has run over has its overflow in the injector. New events go behind that: or they
            // would fill the queue again and again, and the jobs in the injector would be looked at in one
            // step of 61 only.
            if shared.injector.is_empty() {
                self.local.push(job, &shared.injector);
            } else {
                shared.injector.push(job);
            }
        } else if let Some(displaced) = self.local.push_lifo(job) {
            self.local.push(displaced, &shared.injector);
            // There is more than this worker runs next.
            shared.notify_hint();
        }
    }

    /// Returns true if this worker should leave its thread: somebody wants it, or the runtime ends. A stack
    /// that is suspended goes on only on the thread that it belongs to, to unwind; and one that is stuck
    /// there may be suspended yet. So the worker stays as long as there may be one.
    fn should_leave(&self, shared: &Shared, remote: &Remote) -> bool {
        remote.request.is_wanted() || (shared.should_stop() && remote.load.holds_none() && !self.away.get())
    }

    /// Returns what to do next, after sleeping if need be; `None` when the runtime is at its end.
    #[inline]
    pub(crate) fn next_work(&self, shared: &Shared) -> Option<Work> {
        let remote = &shared.workers[self.index];
        // The poll before this is over. That is said here because the worker is here: one that has been given
        // to another thread may be in the middle of a poll there.
        remote.counts.current.store(0, Ordering::Relaxed);
        let tick = self.next_tick();
        if tick.is_multiple_of(FAIR) {
            if self.turn_out_of_turn(shared, remote) && self.should_leave(shared, remote) {
                return None;
            }
            if let Some(job) = self.injected_out_of_turn(shared, remote) {
                return Some(Work::Job(job));
            }
        }
        // The injector comes before new events: these may never end, and jobs that overflow the queue wait
        // there.
        if let Some(work) = self.local_work(shared, remote, tick).or_else(|| self.injected(shared)) {
            return Some(work);
        }
        self.find_work(shared, remote)
    }

    /// Returns the number of the step that begins.
    #[inline]
    fn next_tick(&self) -> u32 {
        let tick = self.tick.get().wrapping_add(1);
        self.tick.set(tick);
        tick
    }

    /// Gives the reactor its turn if that has been long ago, however long the queue is. Returns whether it
    /// did.
    fn turn_out_of_turn(&self, shared: &Shared, remote: &Remote) -> bool {
        let now = Instant::now();
        if now.duration_since(self.turned.get()) < TURN {
            return false;
        }
        self.turned.set(now);
        self.turn(remote, Some(Duration::ZERO));
        self.check_peer(shared, remote, now);
        // This is for a worker that is never idle: a hundredth of its time, and only after a burst of blocked
        // fibers.
        if let Some(stacks) = &shared.stacks {
            stacks.trim(1);
        }
        true
    }

    /// Returns a job that has come from outside of the worker, however long the queue is.
    fn injected_out_of_turn(&self, shared: &Shared, remote: &Remote) -> Option<Job> {
        remote.load.assigned.pop().or_else(|| shared.injector.pop())
    }

    /// Returns the next piece of this worker's own work.
    #[inline]
    fn local_work(&self, shared: &Shared, remote: &Remote, tick: u32) -> Option<Work> {
        if !remote.inbox_is_empty() {
            remote.drain_inbox(&mut *self.fibers.borrow_mut());
        }
        let fiber = |core: &Core| core.next_fiber().map(Work::Fiber);
        let job = |core: &Core| core.local_job().map(Work::Job);
        if tick & 1 == 0 {
            return fiber(self).or_else(|| job(self));
        }
        // The injector and the fibers take turns, so that neither starves the other. Fibers that go on may
        // never end, and the jobs that did not fit in the queue would wait for them.
        let injected = || if self.fibers.borrow().is_empty() { None } else { self.injected(shared) };
        job(self).or_else(injected).or_else(|| fiber(self))
    }

    /// Returns a job that was given to this worker, or takes a share of what came from outside.
    #[inline]
    fn injected(&self, shared: &Shared) -> Option<Work> {
        let assigned = &shared.workers[self.index].load.assigned;
        if let Some(job) = assigned.pop_into(&self.local, usize::MAX) {
            return Some(Work::Job(job));
        }
        if shared.injector.is_empty() {
            return None;
        }
        let share = shared.injector.len() / shared.workers.len() + 1;
        shared.injector.pop_into(&self.local, share).map(Work::Job)
    }

    /// Handles this worker's events, after sleeping until there are some if `timeout` says so.
    fn turn(&self, remote: &Remote, timeout: Option<Duration>) {
        match self.while_turning(|| turn(&remote.reactor, timeout)) {
            Ok(()) => {}
            // Another worker stands in for this one: it never sleeps in it.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => std::thread::yield_now(),
            // The poller itself is broken, and nobody can mend that; tasks that need no I/O go on.
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Turns a reactor; a panic inside of it ends here.
fn turn(reactor: &Reactor, timeout: Option<Duration>) -> io::Result<()> {
    contained(|| reactor.turn(timeout))
}

/// Handles the events of another worker, which is stuck. If it has come back meanwhile and turns its reactor
/// itself, so much the better.
pub(crate) fn turn_for(victim: &Remote) {
    let _ = contained(|| victim.reactor.turn_for_owner());
}

/// Runs `turn` and contains its panic. A waker that panics in a turn has been reported by the panic hook; the
/// worker goes on, with all that is queued on it.
fn contained(turn: impl FnOnce() -> io::Result<Turn>) -> io::Result<()> {
    match catch_unwind(AssertUnwindSafe(|| strand::in_turn(turn))) {
        Ok(turned) => turned.map(drop),
        Err(payload) => {
            // The payload may panic in its own destructor.
            std::mem::forget(payload);
            Ok(())
        }
    }
}

/// Blocks the calling thread, which carries the worker `index` and cannot leave its stack, until `is_over`,
/// and handles the worker's events meanwhile. Its queue is left to the other workers.
pub(crate) fn stall(context: &Context, index: usize, is_over: impl Fn() -> bool, at_most: Option<Duration>) {
    let Remote { reactor, .. } = context.remote(index);
    while !is_over() {
        if !context.has_core() {
            // Another thread carries the worker meanwhile, turns its reactor and takes what is in its inbox.
            std::thread::sleep(STALLED);
            match at_most {
                Some(_) => return,
                None => continue,
            }
        }
        // A push to an inbox that is not empty notifies nobody. The end of this wait may come that way, too,
        // behind fibers that have to wait until it is over. To an empty one it comes with a notification.
        context.drain_inbox(index);
        let may_sleep = reactor.prepare_park() && !is_over();
        if turn(reactor, if may_sleep { at_most } else { Some(Duration::ZERO) }).is_err() {
            std::thread::yield_now();
        }
        if !context.has_core() {
            // The worker was taken after the look above. So this turn may have taken a notification that was
            // meant for the next carrier, or what that has said of its sleep.
            reactor.notify_anyway();
        }
        if at_most.is_some() {
            return;
        }
    }
}

/// Polls the task of `job` on the calling stack, as [`poll`] does, and notes for how long if the worker is
/// still here.
#[cold]
pub(crate) fn poll_timed(context: &Context, index: usize, job: Job) {
    let Remote { counts, timing, .. } = context.remote(index);
    let (Some(followed), Some(timing)) = (&context.shared.followed, timing) else { return poll(counts, job) };
    let start = followed.begins(job.id(), timing);
    poll(counts, job);
    if context.has_core() {
        timing.polled(start);
    }
}

/// Polls the task of `job` on the calling stack, and enters it as the worker's current one. When this returns
/// the worker may be another thread's. So the entry is not cleared here, but by the thread that carries the
/// worker when it takes its next step.
#[inline]
pub(crate) fn poll(counts: &Counts, job: Job) {
    Counts::bump(&counts.polls);
    counts.current.store(job.id(), Ordering::Relaxed);
    job.run();
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use twoply_core::Wait;

    use super::*;
    use crate::Green;

    #[test]
    fn a_stack_that_cannot_be_left_leaves_its_notification_to_the_next_carrier() {
        let runtime = Green::builder().workers(1).build().unwrap();
        let task = runtime.spawner().spawn(async {
            let context = CONTEXT.with(|context| context.borrow().clone()).unwrap();
            let remote = context.remote(0);
            let (looks, taken) = (Cell::new(0), Cell::new(None));
            // The worker is taken when the stack has announced its sleep. Its next carrier begins to sleep,
            // too, and is notified.
            let is_over = || {
                if looks.replace(looks.get() + 1) == 1 {
                    let take = |core| {
                        taken.set(Some(core));
                        None
                    };
                    assert!(remote.cell().unwrap().revoke(|| true, take));
                    assert!(remote.reactor.prepare_park());
                    remote.reactor.notify();
                }
                false
            };
            stall(&context, 0, is_over, Some(STALLED));
            // A carrier that sleeps in its own event loop is woken, too.
            let (mut polled, at_once) = ([PollFd::new(&remote.reactor, PollFlags::IN)], Timespec::default());
            let is_readable = poll(&mut polled, Some(&at_once)) == Ok(1);
            let is_notified = !remote.reactor.prepare_park();
            context.put_core(taken.take().unwrap());
            (is_notified, is_readable)
        });
        assert_eq!(task.wait().unwrap(), (true, true));
    }
}
