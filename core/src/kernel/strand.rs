//! The stack that is running: the current strand, found through one thread-local.
//!
//! Backends call [`enter`] around the code that runs on a stack of theirs; everything that waits, spawns or
//! watches calls [`with_current`]. A thread that no backend has entered gets a default strand of its own
//! kind, so that every type of this library works from anywhere: `main`, a test, a worker of another runtime.
//!
//! This module never switches stacks and never blocks.

mod exit;
mod guards;
mod parted;
mod stops;
mod thread;
mod turn;

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::event::parker::Parker;
use crate::kernel::backend::{Backend, Strand};
use crate::kernel::choice::{Arm, CurrentSelect};
use crate::kernel::coop::BUDGET;
use crate::kernel::nested::NestedPolls;
use crate::kernel::probe::ProbeState;
use crate::kernel::task::owner::Owning;
use crate::kernel::task::wait_graph::Refused;
use crate::kernel::task::{self, Header, Locals};
use crate::kernel::trampoline::Trampoline;
use crate::kernel::waiting::Telling;

use exit::Own;
pub(crate) use guards::InHook;
use guards::{Alternative, DeferredCancel, Level, Marks, OuterPoll, Shield, YIELDING};
pub(crate) use parted::{Parted, part_with};
pub use thread::ThreadStrand;
pub(crate) use thread::WakeHandle;
pub(crate) use turn::assert_may_wait;
pub use turn::in_turn;

/// The part of a strand in which the core keeps what it knows of one stack. Every [`Strand`] embeds one.
pub struct StrandState {
    /// The parker that wakes the stack.
    parker: Arc<Parker>,
    /// The number of calls of [`enter`] with this strand that are under way.
    entered: Cell<u32>,
    /// The waker of the outermost wait, made once.
    waker: Waker,
    /// The wakers of nested waits, level 1 first, each made when first needed.
    inner_wakers: RefCell<Vec<Waker>>,
    /// The number of waits that are under way on this stack, one inside the other.
    depth: Cell<u32>,
    /// The task whose poll is running on this stack.
    task: Cell<Option<NonNull<Header>>>,
    /// True if `task` knows the parker, so that it can cancel a wait on this stack.
    registered: Cell<bool>,
    /// The number of sections under way that cancellation must not unwind.
    shields: Cell<u32>,
    /// True if a wait has been under way in such a section, which would have heeded cancellation elsewhere.
    missed_cancel: Cell<bool>,
    /// The marks of the running poll.
    marks: Cell<Marks>,
    /// The wait that is polled once more, to come out as a deadlock.
    refused: RefCell<Option<Refused>>,
    /// The number of operations that may still complete on this stack before it must let others run.
    budget: Cell<u32>,
    /// The number of operations with which each poll on this stack begins; at least 1.
    full_budget: Cell<u32>,
    /// The state of the generator for fair choices; 0 until it is first used.
    random: Cell<u64>,
    /// The data of the waker with which a combinator of this library polls on behalf of whoever polls it.
    delegate: Cell<*const ()>,
    /// The number of combinators that are polling and go on without the wait that they poll.
    alternatives: Cell<u32>,
    /// The derived promises that are being polled.
    nested_polls: NestedPolls,
    /// The wake-ups and drops that are under way, one inside the other.
    trampoline: Trampoline,
    /// The state for those who look at what tasks wait for.
    telling: Telling,
    /// The task-locals of what is being polled.
    locals: Locals,
    /// The select that is being polled.
    current_select: RefCell<Option<CurrentSelect>>,
    /// The data of the waker with which the running task is polled: others are those of combinators and of
    /// other runtimes, inside the task.
    polled_with: Cell<*const ()>,
    /// The probes for waits that suspect a deadlock.
    pub(crate) probe: ProbeState,
    /// The owner of promises that it has dropped in the running poll, and that may be about to end; and
    /// whether its wait has been polled again since.
    abandoning: RefCell<Option<(Arc<dyn Owning>, bool)>>,
}

impl StrandState {
    /// Makes the state of a stack that `parker` wakes.
    pub fn new(parker: Arc<Parker>) -> StrandState {
        StrandState {
            waker: parker.waker(0),
            parker,
            entered: Cell::new(0),
            inner_wakers: RefCell::new(Vec::new()),
            depth: Cell::new(0),
            task: Cell::new(None),
            registered: Cell::new(false),
            shields: Cell::new(0),
            missed_cancel: Cell::new(false),
            marks: Cell::default(),
            refused: RefCell::new(None),
            budget: Cell::new(BUDGET),
            full_budget: Cell::new(BUDGET),
            random: Cell::new(0),
            delegate: Cell::new(std::ptr::null()),
            alternatives: Cell::new(0),
            nested_polls: NestedPolls::default(),
            trampoline: Trampoline::default(),
            telling: Telling::default(),
            locals: Locals::default(),
            current_select: RefCell::new(None),
            polled_with: Cell::new(std::ptr::null()),
            probe: ProbeState::default(),
            abandoning: RefCell::new(None),
        }
    }

    /// Returns the parker that wakes this stack.
    #[inline]
    pub fn parker(&self) -> &Arc<Parker> {
        &self.parker
    }

    /// Returns whether `waker` ends a park of this stack, and does nothing else.
    #[inline]
    pub fn wakes_stack(&self, waker: &Waker) -> bool {
        waker.will_wake(&self.waker) || self.inner_wakers.borrow().iter().any(|own| own.will_wake(waker))
    }

    /// Returns the task that is running on this stack.
    pub(crate) fn task(&self) -> Option<Arc<task::Shared>> {
        self.header().map(|header| Arc::clone(header.shared()))
    }

    /// Returns the header of the running task.
    #[inline]
    pub(crate) fn header(&self) -> Option<&Header> {
        // SAFETY: whoever called `replace_task` has promised that the header lasts until the next call.
        self.task.get().map(|header| unsafe { header.as_ref() })
    }

    /// Makes the task with this header the running one, and returns the one before.
    ///
    /// # Safety
    /// The header lasts until the next call, and stays where it is until it has been finished. That is so
    /// when only a task's poll calls this: at its beginning with the header that lies beside its future, and
    /// at its end with what it got then.
    #[inline]
    pub(crate) unsafe fn replace_task(&self, header: Option<NonNull<Header>>) -> Option<NonNull<Header>> {
        self.task.replace(header)
    }

    /// Enters the running task in its backend's list, because it has to wait for the first time; `waker`
    /// wakes it.
    pub(crate) fn enter_task(&self, waker: &Waker) {
        if let Some(header) = self.header() {
            // SAFETY: whoever called `replace_task` has promised that it stays where it is.
            unsafe { header.enter(Some(waker)) };
        }
    }

    /// Begins a poll of a task, with the waker that has this data. Returns what belongs to the poll around
    /// it.
    #[inline]
    pub(crate) fn begin_poll(&self, data: *const (), parted: Parted) -> OuterPoll {
        OuterPoll {
            polled_with: self.polled_with.replace(data),
            budget: self.budget.replace(self.full_budget.get()),
            marks: self.marks.replace(Marks { parted, ..Marks::default() }),
        }
    }

    /// Ends that poll: the one around it goes on.
    #[inline]
    pub(crate) fn resume_poll(&self, outer: OuterPoll) -> Parted {
        self.polled_with.set(outer.polled_with);
        self.budget.set(outer.budget);
        self.marks.replace(outer.marks).parted
    }

    /// Counts that the running poll is about to unwind. Returns how often it has before.
    pub(crate) fn count_unwind(&self) -> u32 {
        let marks = self.marks.get();
        self.marks.set(Marks { unwinds: marks.unwinds.saturating_add(1), ..marks });
        marks.unwinds.into()
    }

    /// Returns whether the running poll of a task has unwound because that was cancelled.
    pub(crate) fn has_unwound(&self) -> bool {
        self.marks.get().unwinds != 0
    }

    /// Returns whether `waker` has the running task polled again, or a wait on this stack: either fills the
    /// budget first. Wakers without data, such as [`Waker::noop`], are all alike, and nobody's.
    #[inline]
    pub(crate) fn refills_budget(&self, waker: &Waker) -> bool {
        let data = waker.data();
        self.wakes_task_or_stack(waker) || (data == self.delegate.get() && !data.is_null())
    }

    /// Notes that the running task has dropped a promise that `owner` owes, whose task it is: perhaps because
    /// it ends. Until that is known, which it is by the end of the poll, `owner` keeps the promise.
    pub(crate) fn abandons_promise(&self, owner: Arc<dyn Owning>) {
        let before = self.abandoning.replace(Some((owner, false)));
        drop(before);
    }

    /// Notes that the running task goes on, and is about to wait: it does not end. While it unwinds, that is
    /// not certain.
    #[inline]
    pub(crate) fn task_continues(&self) {
        if self.abandoning.borrow().is_some() && !std::thread::panicking() {
            let abandoning = self.abandoning.take();
            if let Some((owner, _)) = abandoning {
                owner.release_orphans();
            }
        }
    }

    /// Notes that a wait on this stack is polled again without having parked, because its budget was spent,
    /// say. One such poll decides nothing; a task that is busy for longer goes on.
    #[inline]
    pub(crate) fn task_repolled(&self) {
        let again = match &mut *self.abandoning.borrow_mut() {
            Some((_, again)) => std::mem::replace(again, true),
            None => false,
        };
        if again {
            self.task_continues();
        }
    }

    /// Notes that the running task ends, or its poll does before it has shown whether it goes on.
    pub(crate) fn task_ends(&self) {
        let abandoning = self.abandoning.take();
        drop(abandoning);
    }

    /// Returns true if `waker` is the running task's, or ends a park of this stack: it is this library's, and
    /// never panics.
    #[inline]
    pub(crate) fn wakes_task_or_stack(&self, waker: &Waker) -> bool {
        let data = waker.data();
        (data == self.polled_with.get() && !data.is_null())
            || self.wakes_stack(waker)
            || self.probe.polls_with(waker)
    }

    /// Returns how many combinators are polling that go on without the wait that they poll.
    #[inline]
    pub(crate) fn alternatives(&self) -> u32 {
        self.alternatives.get()
    }

    /// Returns whether a wait that is polled with `waker` is that of a derived promise; see
    /// [`NestedPolls::is_part_of_derived`].
    #[inline]
    pub(crate) fn is_part_of_derived(&self, waker: &Waker) -> bool {
        self.nested_polls.is_part_of_derived(waker, self.alternatives.get())
    }

    /// Returns the derived promises that are being polled.
    #[inline]
    pub(crate) fn nested_polls(&self) -> &NestedPolls {
        &self.nested_polls
    }

    /// Looks at the select that is being polled, if there is one.
    #[inline]
    pub(crate) fn with_select<R>(&self, look: impl FnOnce(&mut CurrentSelect) -> Option<R>) -> Option<R> {
        self.current_select.borrow_mut().as_mut().and_then(look)
    }

    /// Makes `current_select` the select that is being polled, and returns the one before.
    #[inline]
    pub(crate) fn replace_select(&self, current_select: Option<CurrentSelect>) -> Option<CurrentSelect> {
        self.current_select.replace(current_select)
    }

    /// Returns the budget of this stack; see [`crate::coop`].
    #[inline]
    pub(crate) fn budget(&self) -> &Cell<u32> {
        &self.budget
    }

    /// Returns the number of operations with which each poll on this stack begins; see
    /// [`coop::set_budget`](crate::coop::set_budget).
    #[inline]
    pub(crate) fn full_budget(&self) -> &Cell<u32> {
        &self.full_budget
    }

    /// Returns the state of the generator with which selects and races choose; 0 until it is first used.
    #[inline]
    pub(crate) fn random(&self) -> &Cell<u64> {
        &self.random
    }

    /// Returns the data of the waker with which a combinator of this library polls on behalf of whoever polls
    /// it.
    #[inline]
    pub(crate) fn delegate(&self) -> &Cell<*const ()> {
        &self.delegate
    }

    /// Notes that the future which is being polled has woken itself, only to let others run: a wait that
    /// polls it should.
    #[inline]
    pub(crate) fn request_yield(&self) {
        self.marks.set(self.marks.get().with(YIELDING, true));
    }

    /// Returns whether a yield has been requested since the last call.
    #[inline]
    pub(crate) fn take_yield(&self) -> bool {
        self.take_flag(YIELDING)
    }

    /// Counts an alternative to what is polled until the guard is dropped; see [`with_alternative`].
    #[inline]
    pub(crate) fn alternative(&self) -> Alternative<'_> {
        self.alternatives.set(self.alternatives.get() + 1);
        Alternative { state: self }
    }

    /// Begins a wait on this stack, inside those that are under way.
    #[inline]
    pub(crate) fn begin_wait(&self) -> Level<'_> {
        let level = self.depth.get();
        self.depth.set(level + 1);
        let waker = if level == 0 { None } else { Some(self.inner_waker(level)) };
        // The whole stack waits, whatever is being polled further down.
        let alternatives = self.alternatives.replace(0);
        Level { state: self, level, waker, alternatives, _trampoline: self.trampoline.restart() }
    }

    /// Lets the running task know this stack's parker, so that cancelling it ends the wait that is about to
    /// park; undone by [`StrandState::unregister_parker`]. Returns whether cancellation ends the wait.
    #[inline]
    pub(crate) fn make_cancellable(&self) -> bool {
        if !self.registered.get() && !self.register_parker() {
            return false;
        }
        if self.shields.get() != 0 {
            self.note_missed_cancel();
            return false;
        }
        !std::thread::panicking() && cfg!(panic = "unwind")
    }

    /// Notes that a wait on this stack has not heeded cancellation, or has heeded it for more than itself.
    pub(crate) fn note_missed_cancel(&self) {
        self.missed_cancel.set(true);
    }

    /// Begins a section that puts cancellation off.
    pub(crate) fn defer_cancel(&self) -> DeferredCancel<'_> {
        DeferredCancel(self, self.missed_cancel.replace(false))
    }

    /// Lets the running task, if there is one, cancel waits on this stack.
    pub(crate) fn register_parker(&self) -> bool {
        let Some(header) = self.header() else { return false };
        self.registered.set(true);
        // SAFETY: whoever called `replace_task` has promised that it stays where it is.
        unsafe { header.block_on(&self.parker) };
        true
    }

    /// Takes the stack from the running task, which may not cancel it any more: the poll is over, or another
    /// one begins inside it. Returns whether the task could.
    #[inline]
    pub(crate) fn unregister_parker(&self) -> bool {
        let claimed = self.registered.replace(false);
        if claimed {
            if let Some(header) = self.header() {
                header.unblock();
            }
            self.parker.clear_cancel();
        }
        claimed
    }

    /// Returns whether the running task has been cancelled.
    #[inline]
    pub(crate) fn task_cancelled(&self) -> bool {
        self.header().is_some_and(Header::is_cancelled)
    }

    /// Keeps waits on this stack from ending for cancellation until the guard is dropped.
    pub(crate) fn shield(&self) -> Shield<'_> {
        self.shields.set(self.shields.get() + 1);
        Shield(&self.shields)
    }
}

/// A strand that has been entered, and is borrowed until `enter` returns.
#[derive(Clone, Copy)]
struct Current {
    /// The strand that has been entered.
    strand: NonNull<dyn Strand>,
    /// Its records, which are looked at far more often.
    state: NonNull<StrandState>,
}

thread_local! {
    /// The strand that a backend has entered on this thread.
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
    /// The strand of this thread when nobody has entered one.
    static DEFAULT: Own = Own::new();
}

/// Runs `f` with `strand` as the current one.
///
/// Calls nest: the last one to begin on a thread is the first one to end. A backend that switches between
/// stacks calls this around the switch, on the stack that it switches from, not inside the stack that it
/// switches to.
///
/// # Aborts
/// When a call ends that is not the last one to have begun on its thread, as it may when stacks of another
/// kind were switched inside of `f`. The strand that would be current from then on may be gone.
///
/// # Examples
/// ```
/// use twoply::contract::backend::Strand;
/// use twoply::contract::strand::{ThreadStrand, enter, with_current};
///
/// let strand = ThreadStrand::new();
/// let is_current = enter(&strand, || with_current(|current| std::ptr::addr_eq(current, &strand)));
/// assert!(is_current);
/// ```
#[inline]
pub fn enter<R>(strand: &(dyn Strand + 'static), f: impl FnOnce() -> R) -> R {
    struct Restore<'a> {
        /// The strand that has been entered.
        entered: NonNull<dyn Strand>,
        /// The records of that strand.
        state: &'a StrandState,
        /// The strand that was current before.
        before: Option<Current>,
    }
    impl Drop for Restore<'_> {
        #[inline]
        fn drop(&mut self) {
            self.state.entered.set(self.state.entered.get() - 1);
            let current = CURRENT.replace(self.before);
            if !current
                .is_some_and(|current| std::ptr::addr_eq(current.strand.as_ptr(), self.entered.as_ptr()))
            {
                out_of_order();
            }
        }
    }
    let state = strand.state();
    let current = Current { strand: NonNull::from(strand), state: NonNull::from(state) };
    state.entered.set(state.entered.get() + 1);
    let _restore = Restore { entered: current.strand, state, before: CURRENT.replace(Some(current)) };
    f()
}

/// Ends the process, because something that nests on each thread has ended before what began inside of it.
/// That which began first is gone from now on, and code that goes on still refers to it: nothing that is safe
/// could be done next.
#[cold]
pub(crate) fn out_of_order() -> ! {
    eprintln!(
        "twoply: a stack was switched in the middle of a poll, and went on after the one that it had interrupted. \
         Each stack needs a strand of its own, entered around the switch. Aborting."
    );
    std::process::abort()
}

/// Runs `f` on this thread's own strand, with `backend` as the one that its tasks go to.
///
/// This is how a backend of threads runs a job: the thread's strand is there already.
///
/// # Examples
/// ```
/// use twoply::contract::strand::{on_thread, with_current};
///
/// let native = twoply::native();
/// let name = on_thread(native.backend(), || with_current(|strand| strand.backend().map(|home| home.name())));
/// assert_eq!(name, Some("native"));
/// ```
pub fn on_thread<R>(backend: &Arc<dyn Backend>, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<Arc<dyn Backend>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            let before = self.0.take();
            let _ = DEFAULT.try_with(|own| own.0.replace_backend(before));
        }
    }
    with_entered(|_, _| {
        let before = DEFAULT.try_with(|own| own.0.replace_backend(Some(Arc::clone(backend))));
        let _restore = Restore(before.ok().flatten());
        f()
    })
}

/// As [`with_current`], with the records of the strand. The thread's own strand is entered, too: so it is
/// found sooner by what runs inside `f`.
#[inline]
pub(crate) fn with_entered<R>(f: impl FnOnce(&dyn Strand, &StrandState) -> R) -> R {
    match CURRENT.get() {
        Some(_) => with_both(f),
        None => with_default(|strand| enter(strand, || f(strand, strand.state()))),
    }
}

/// Gives back what the thread's own strand can spare, because the calling thread is going to be idle.
pub(crate) fn trim_thread() {
    let _ = DEFAULT.try_with(|own| own.0.trim());
}

/// Runs `f`, which polls futures that the caller goes on without: waits inside `f` stop no task, unless they
/// block the stack.
#[inline]
pub(crate) fn with_alternative<R>(f: impl FnOnce() -> R) -> R {
    with_state(|state| {
        let _alternative = state.alternative();
        f()
    })
}

/// Runs `f` with the strand that it is called on.
///
/// # Examples
/// ```
/// use twoply::contract::strand::with_current;
///
/// assert!(with_current(|strand| strand.may_block()), "a thread of the program's own may block");
/// ```
#[inline]
pub fn with_current<R>(f: impl FnOnce(&dyn Strand) -> R) -> R {
    with_both(|strand, _| f(strand))
}

/// Runs `f` with the records of the strand that it is called on.
#[inline]
pub(crate) fn with_state<R>(f: impl FnOnce(&StrandState) -> R) -> R {
    with_both(|_, state| f(state))
}

#[inline]
fn with_both<R>(f: impl FnOnce(&dyn Strand, &StrandState) -> R) -> R {
    if let Some(current) = CURRENT.get() {
        // SAFETY: the pointers were made from references by `enter`, whose frame is still below this one and
        // which puts the old value back before those references end. A fiber that is suspended inside `f`
        // takes its frames off the thread together with this borrow; its strand lives in the same runner as
        // its stack, which outlives every frame on it.
        let (strand, state) = unsafe { (current.strand.as_ref(), current.state.as_ref()) };
        return f(strand, state);
    }
    with_default(|strand| f(strand, strand.state()))
}

/// Calls `f`, now or when a call further out on this stack is done with what it does; see
/// [`trampoline`](crate::kernel::trampoline). If several calls panic, the first panic is resumed when all
/// have been made.
pub(crate) fn trampoline(f: impl FnOnce() + 'static) {
    with_state(|state| state.trampoline.call(f));
}

/// Returns the arm of the current select that is being polled with the waker of `cx`.
#[inline]
pub(crate) fn current_arm(cx: &Context<'_>) -> Option<Arm> {
    with_state(|state| state.with_select(|select| select.arm(cx.waker())))
}

/// Runs `f` with the thread's own strand. It is never inlined, so that what is done on a strand that has been
/// entered stays short, and needs no frame for what is done here.
#[cold]
#[inline(never)]
fn with_default<R>(f: impl FnOnce(&ThreadStrand) -> R) -> R {
    let mut f = Some(f);
    let done = DEFAULT.try_with(|own| f.take().map(|f| f(&own.0)));
    match (done, f) {
        (Ok(Some(result)), _) => result,
        // The thread is being torn down and its default strand is gone: one for the moment will do.
        (_, Some(f)) => f(&ThreadStrand::new()),
        _ => unreachable!("the closure is either called or left where it was"),
    }
}
