//! `.wait()`: finishing any future on the stack that asks for it.
//!
//! The loop in [`drive_on`] is the only place in the library where a stack stops for a future. It polls, and
//! where the future is not ready it has the current [`Strand`] park: a thread sleeps, a green worker moves to
//! another stack. It never spins and never allocates for the outermost wait of a stack.

use std::future::{Future, IntoFuture};
use std::io;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::event::parker::Parker;
use crate::kernel::backend::{Strand, StrandState};
use crate::kernel::coop;
use crate::kernel::ioserver;
use crate::kernel::probe::settle;
use crate::kernel::sleep::sleep;
use crate::kernel::strand::{assert_may_wait, with_current, with_entered};
use crate::kernel::task::failure::CancelUnwind;
use crate::kernel::waiting::{self, WaitingFor};

/// The second finisher of a future, beside `.await`.
///
/// Everything in this library that can wait returns a future. `.await` suspends the surrounding task;
/// `.wait()` blocks the stack it is called on, in the way that stack can: an OS thread parks, a green worker
/// carries on with its other tasks on another stack. It may be called anywhere: on the main thread, in a task
/// of either backend, inside a worker of another runtime (which it then blocks), inside the poll of another
/// future, in a destructor. The one exception is `wake`: a waker that waits while a worker or the I/O server
/// hands out events keeps all others from theirs, so it panics instead, unless what it waits for is ready.
///
/// # Cancellation
/// When the task that runs on this stack is cancelled, `wait` unwinds with a private payload, which the
/// task's handle reports as [`Failure::Cancelled`](crate::promise::Failure::Cancelled). It does so only while
/// the thread is not panicking already, so destructors may wait. The future is dropped.
///
/// To std this is a panic: a `std::sync::Mutex` whose guard is dropped by the unwinding is poisoned, though
/// what it guards is as a `?` would have left it. Code that catches panics should let this one go on;
/// [`task::is_cancellation`](crate::task::is_cancellation) tells which it is. A task that stays cancelled
/// unwinds from each further `wait`; where a loop catches that a thousand times, each takes longer from then
/// on, up to a tenth of a second, so that the loop does not spin. It has to end by itself: nothing else ends
/// a stack.
///
/// ```
/// use twoply::Wait;
///
/// let (tx, rx) = twoply::channel::bounded(1);
/// tx.send("ping").wait().unwrap();
/// assert_eq!(rx.recv().wait(), Ok("ping"));
/// ```
pub trait Wait: IntoFuture {
    /// Blocks the calling stack until the future is ready, and returns its output.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    ///
    /// assert_eq!(async { 6 * 7 }.wait(), 42);
    /// ```
    fn wait(self) -> Self::Output;
}

impl<F: IntoFuture> Wait for F {
    #[inline]
    fn wait(self) -> F::Output {
        let future = pin!(self.into_future());
        with_entered(|strand, state| match drive_on(strand, state, future) {
            Ok(output) => output,
            Err(Cancelled) => unwind(),
        })
    }
}

/// The outcome of a wait whose task was cancelled meanwhile.
#[derive(Debug)]
pub(crate) struct Cancelled;

/// The number of times that the poll of a cancelled task may unwind at once: far more than waits nest, with a
/// catch at each, and soon over for a loop that would go on for ever.
const PROMPT: u32 = 1024;

/// Unwinds the stack of a cancelled task. No panic hook runs: nothing is wrong.
///
/// Where a loop catches this and waits again, there is no end to it; from some time on it has its stack wait.
pub(crate) fn unwind() -> ! {
    with_current(|strand| {
        let state = strand.state();
        if let Some(more) = state.count_unwind().checked_sub(PROMPT) {
            let _shield = state.shield();
            let _ = drive(strand, pin!(sleep(Duration::from_millis(1 << more.min(7)))));
        }
    });
    resume_unwind(Box::new(CancelUnwind))
}

/// Polls `future` on this stack until it is ready, parking `strand` in between.
#[inline]
pub(crate) fn drive<F: Future>(strand: &dyn Strand, future: Pin<&mut F>) -> Result<F::Output, Cancelled> {
    drive_on(strand, strand.state(), future)
}

/// As [`drive`], for a caller that has the records of `strand`.
#[inline]
fn drive_on<F: Future>(
    strand: &dyn Strand,
    state: &StrandState,
    mut future: Pin<&mut F>,
) -> Result<F::Output, Cancelled> {
    let level = state.begin_wait();
    let mut cx = Context::from_waker(level.waker());
    let (mut describing, mut described) = (false, false);
    loop {
        level.clear();
        state.begin_round();
        let polled = match describing {
            false => future.as_mut().poll(&mut cx),
            true => waiting::describe(state, true, None, || future.as_mut().poll(&mut cx)),
        };
        if let Poll::Ready(output) = polled {
            if described {
                waiting::tell_end(state);
            }
            return Ok(output);
        }
        while state.probe.take_request() {
            if let Poll::Ready(output) = settle(state, level.waker(), |cx| future.as_mut().poll(cx)) {
                return Ok(output);
            }
        }
        assert_may_wait();
        let cancellable = state.make_cancellable();
        let mask = level.mask(cancellable);
        let parker = state.parker();
        // While somebody observes what tasks wait for, the future is polled once more, to say so.
        describing = !describing && waiting::is_observed() && !parker.ready(mask);
        if describing {
            described = true;
            continue;
        }
        let mut rested = state.take_yield();
        if rested {
            strand.yield_now();
        }
        while !parker.ready(mask) {
            state.task_continues();
            if parker.prepare(mask) {
                strand.park();
                parker.finish();
                rested = true;
            }
        }
        coop::poll_again(strand, rested);
        if cancellable && parker.cancelled() {
            if described {
                waiting::tell_end(state);
            }
            return Err(Cancelled);
        }
        state.task_repolled();
    }
}

/// Makes a system call that may block, if this stack may: then nobody is kept waiting and the cheapest way to
/// wait is the call itself. Returns `None` when the stack may not block, or nobody could interrupt the call.
/// An interrupted call is made again, unless the task has been cancelled: then the stack unwinds, as from
/// [`Wait::wait`]. `waiting_for` says what it waits for, to those who look.
pub(crate) fn blocking_call<R>(
    waiting_for: impl Fn() -> WaitingFor,
    mut call: impl FnMut() -> io::Result<R>,
) -> Option<io::Result<R>> {
    with_current(|strand| {
        if !strand.may_block() || !ioserver::can_interrupt() {
            return None;
        }
        assert_may_wait();
        let state = strand.state();
        state.task_continues();
        let parker = state.parker();
        let mut described = false;
        loop {
            if !parker.prepare(Parker::mask_cancel(state.make_cancellable())) {
                unwind();
            }
            if waiting::is_observed() {
                waiting::describe_call(state, waiting_for());
                described = true;
            }
            let mut result = None;
            strand.block(&mut || result = Some(call()));
            parker.finish();
            if described {
                waiting::tell_end(state);
            }
            match result {
                // The call was interrupted, perhaps before it began: for cancellation, which `prepare` looks
                // at, or for nothing.
                None => {}
                Some(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Some(result) => return Some(result),
            }
        }
    })
}
