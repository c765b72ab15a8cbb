//! Layers around the polls of a task: made where it is started, entered and left by each poll.
//!
//! A layer belongs to the task from its start to its end, so that it may hold whatever is the task's, such as
//! a span. A task that has some goes a way of its own through its polls (`task/job.rs`), so that others pay
//! nothing for it.

use std::sync::Arc;
use std::task::{Context, Waker};

use super::{Hooks, TaskMeta, call, call_in_turn};
use crate::base::panic::discard_panic;
use crate::kernel::waiting::WaitingFor;

/// A layer around the polls of one task, made by [`Hooks::around_polls`]. It is dropped when the task is
/// over.
pub trait AroundPolls: Send + Sync {
    /// Is called on the stack that is about to run the task.
    fn enter(&self);

    /// Is called on that stack when the task has come to wait or to its end.
    fn leave(&self);

    /// Is called on the thread that is about to run code which the task has [offloaded](crate::offload) from
    /// a fiber. The task waits for it, on a stack that stays inside of what it has entered. Code that runs on
    /// the task's own stack is inside in any case.
    fn enter_offload(&self) {}

    /// Is called on that thread when the code has come to its end.
    fn leave_offload(&self) {}

    /// Returns the waker that the task is to be polled with instead of its own, `waker`: one that hands on to
    /// that. `None` leaves it as it is.
    ///
    /// A wait of a blocked stack has no waker that this sees, so it is asked for tasks on stacks that may not
    /// block alone.
    fn waker(&self, waker: &Waker) -> Option<Waker> {
        let _ = waker;
        None
    }

    /// Is called, between the other two, when the task is about to wait, with what it waits for; and without
    /// anything when a blocked stack goes on. That is so only while somebody
    /// [observes](crate::task::observe) what tasks wait for.
    fn waits(&self, waits: &[WaitingFor]) {
        let _ = waits;
    }
}

/// The maker of what lies around the polls of a task.
#[derive(Clone)]
pub(super) struct Begin {
    is_wanted: fn() -> bool,
    make: Arc<Make>,
}

type Make = dyn Fn(&TaskMeta<'_>) -> Option<Box<dyn AroundPolls>> + Send + Sync;

impl Begin {
    /// Returns whether it is to be called now.
    fn is_wanted(&self) -> bool {
        let mut is_wanted = false;
        discard_panic(|| is_wanted = (self.is_wanted)());
        is_wanted
    }
}

impl Hooks {
    /// Calls `begin` with each task that is started, where it is started, before it can run; what it returns
    /// is [entered](AroundPolls::enter) when the task goes on and [left](AroundPolls::leave) when it waits:
    /// a span, the clock of an accountant, a thread-local context that is the task's. `None` leaves the task
    /// alone, which then costs nothing more.
    ///
    /// A native task is one poll from its start to its end, and so is the stack of a green one that waits by
    /// `.wait()`: there the pair is called once. On fibers, which share a thread,
    /// [`on_fiber_switch`](Hooks::on_fiber_switch) is told of these waits.
    ///
    /// `begin` may wait; the methods of what it returns must not: that panics. A panic of either has no
    /// further consequence. Of several, the one that was set first is the outermost.
    ///
    /// # Examples
    /// ```
    /// use std::cell::Cell;
    /// use twoply::runtime::{AroundPolls, Hooks};
    /// use twoply::{Runtime, Wait, future};
    ///
    /// thread_local!(static CURRENT: Cell<u64> = const { Cell::new(0) });
    ///
    /// struct Number(u64);
    ///
    /// impl AroundPolls for Number {
    ///     fn enter(&self) {
    ///         CURRENT.set(self.0);
    ///     }
    ///     fn leave(&self) {
    ///         CURRENT.set(0);
    ///     }
    /// }
    ///
    /// let hooks = Hooks::new().around_polls(|task| Some(Box::new(Number(task.id.as_u64()))));
    /// let runtime = Runtime::builder().workers(1).hooks(hooks).build()?;
    /// let task = runtime.spawn(async {
    ///     future::yield_now().await;
    ///     CURRENT.get()
    /// });
    /// let id = task.id().as_u64();
    /// assert_eq!(task.wait().unwrap(), id);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn around_polls(
        self,
        begin: impl Fn(&TaskMeta<'_>) -> Option<Box<dyn AroundPolls>> + Send + Sync + 'static,
    ) -> Hooks {
        self.around_polls_if(|| true, begin)
    }

    /// As [`around_polls`](Hooks::around_polls), for tasks at whose start `is_wanted` returns true. It is a
    /// look at a flag, such as the level of a logger: while that is off, a task costs a few instructions
    /// more, where to ask `begin` would cost some hundred. It must not wait, and counts as false where it
    /// panics.
    ///
    /// # Examples
    /// ```
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use twoply::runtime::Hooks;
    /// use twoply::{Runtime, Wait};
    ///
    /// static IS_ON: AtomicBool = AtomicBool::new(false);
    ///
    /// let hooks = Hooks::new().around_polls_if(
    ///     || IS_ON.load(Ordering::Relaxed),
    ///     |_| unreachable!("it is never on"),
    /// );
    /// let runtime = Runtime::builder().hooks(hooks).build()?;
    /// assert_eq!(runtime.spawn(async { 7 }).wait().unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn around_polls_if(
        mut self,
        is_wanted: fn() -> bool,
        begin: impl Fn(&TaskMeta<'_>) -> Option<Box<dyn AroundPolls>> + Send + Sync + 'static,
    ) -> Hooks {
        self.polls.push(Begin { is_wanted, make: Arc::new(begin) });
        self
    }

    /// Returns whether something may have to be told, or made, at a start now.
    #[inline]
    pub(crate) fn heed_start(&self) -> bool {
        // One that panics is asked again, by itself.
        let mut is_wanted = true;
        discard_panic(|| is_wanted = self.polls.iter().any(|begin| (begin.is_wanted)()));
        is_wanted || self.heed_ends()
    }

    /// Returns what is to lie around the polls of a task that is about to start, unless a hook starts it.
    pub(crate) fn layers_of(&self, task: &TaskMeta<'_>) -> Option<Arc<Layers>> {
        let mut layers = Vec::new();
        for begin in self.polls.iter().filter(|begin| begin.is_wanted()) {
            call(|| layers.extend((begin.make)(task)));
        }
        if layers.is_empty() { None } else { Some(Arc::new(Layers(layers))) }
    }
}

/// The layers of one task, the outermost first.
pub(crate) struct Layers(Vec<Box<dyn AroundPolls>>);

impl Layers {
    /// Calls `poll`, which does not unwind, inside of all of them.
    pub(crate) fn poll<R>(&self, cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
        let mut own = None;
        for layer in &self.0 {
            call_in_turn(|| {
                let inner = own.as_ref().unwrap_or(cx.waker());
                if let Some(waker) = layer.waker(inner) {
                    own = Some(waker);
                }
                layer.enter();
            });
        }
        let polled = match &own {
            Some(waker) => poll(&mut Context::from_waker(waker)),
            None => poll(cx),
        };
        self.0.iter().rev().for_each(|layer| call_in_turn(|| layer.leave()));
        polled
    }

    /// Calls `code`, which the task has offloaded to this thread and which does not unwind, inside of all.
    pub(crate) fn offloaded(&self, code: impl FnOnce()) {
        self.0.iter().for_each(|layer| call_in_turn(|| layer.enter_offload()));
        code();
        self.0.iter().rev().for_each(|layer| call_in_turn(|| layer.leave_offload()));
    }

    /// Tells all of them what the task waits for.
    pub(crate) fn waits(&self, waits: &[WaitingFor]) {
        self.0.iter().for_each(|layer| call_in_turn(|| layer.waits(waits)));
    }
}
