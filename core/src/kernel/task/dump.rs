//! Dumps: all tasks of a backend, what each is doing, what it waits for, and who owes it.
//!
//! A [`Round`] asks tasks what they wait for, and waits until each has told or is over; [`Dumping`] is one
//! over all tasks that backends list, with a limit, because a task that computes tells nothing. How a task
//! tells is in [`waiting`](crate::kernel::waiting).
//!
//! Nothing here looks at a stack. A backtrace of one that is blocked would have to be made on that stack, by
//! a signal to its thread or by switching to the fiber, and what makes it takes locks and allocates: neither
//! is sound in the middle of any code.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use super::handle::TaskRef;
use super::id::TaskId;
use super::spawner::Spawner;
use crate::base::sync::{Mutex, lock};
use crate::base::wake::StoredWaker;
use crate::kernel::backend::{Backend, Mode};
use crate::kernel::coop;
use crate::kernel::io_threads::IoThreads;
use crate::kernel::sleep::{Sleep, now, sleep};
use crate::kernel::strand::with_state;
use crate::kernel::waiting::{self, Description, Observation, Subject, WaitingFor, observe};

/// The time for which a [`Dumping`] waits for tasks that do not tell, if nobody says otherwise.
const LIMIT: Duration = Duration::from_millis(100);

/// The code that a task is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskKind {
    /// A future that is polled.
    Future,
    /// Straight-line code that is called.
    Closure,
    /// The body of a process.
    Process,
}

/// The state of a task when a [`Dump`] was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// The task ran, or blocked its thread in something that is not of this library.
    Running,
    /// The task could go on, and had not been reached. Where a backend does not know what it runs, it may
    /// have been running.
    Queued,
    /// The task waited for something.
    Waiting,
}

/// One task of a [`Dump`].
///
/// Its text form takes a line, and one more for each wait.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::task::{self, TaskKind, TaskState};
/// use twoply::{Wait, channel};
///
/// let (_tx, rx) = channel::bounded::<u8>(1);
/// let reader = task::Builder::new().name("reader").spawn(async move { rx.recv().await }).unwrap();
/// let dump = task::dump([twoply::spawner()]).limit(Duration::from_secs(10)).wait();
/// let reader = dump.task(reader.id()).expect("it has a name, and is not over");
/// assert_eq!((reader.kind, reader.state), (TaskKind::Future, TaskState::Waiting));
/// println!("{reader}"); // It tells which channel it waits for.
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskDump {
    /// The task: its number, its name, and where it was started if that is known.
    pub task: TaskRef,
    /// The name of its backend.
    pub backend: &'static str,
    /// The code that it is made of.
    pub kind: TaskKind,
    /// The state that it was in.
    pub state: TaskState,
    /// The things that it waited for, if it did: several, if it waited for whichever is first or for all of
    /// them. None if that was a future that is not of this library.
    pub waits: Vec<WaitingFor>,
    /// True if it waited for more than is listed.
    pub has_more_waits: bool,
    /// True if its wait blocks a stack: it waits by `.wait()`, in straight-line code.
    pub blocks_stack: bool,
    /// Since when it has waited, as far as that is known: it began to under an
    /// [observation](crate::task::observe) that is still in force.
    pub waiting_since: Option<Instant>,
    /// The thing that it is the body of, if it has told.
    pub(crate) subject: Option<SubjectRef>,
}

/// A reference to what a task is the body of.
#[derive(Clone)]
pub(crate) struct SubjectRef(Arc<dyn Subject>);

impl SubjectRef {
    /// Returns what others know it by, if that is a `T`.
    pub(crate) fn identify<T: 'static>(&self) -> Option<T> {
        let identity = Arc::clone(&self.0).identify();
        identity.downcast().ok().map(|identity| *identity)
    }
}

impl fmt::Debug for SubjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectRef").finish_non_exhaustive()
    }
}

impl fmt::Display for TaskDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            TaskKind::Future => "future",
            TaskKind::Closure => "closure",
            TaskKind::Process => "process",
        };
        write!(f, "{}, {} {kind}", self.task, self.backend)?;
        if let Some(at) = self.task.spawned_at() {
            write!(f, " from {at}")?;
        }
        match self.state {
            TaskState::Running => return f.write_str(": running"),
            TaskState::Queued => return f.write_str(": queued"),
            TaskState::Waiting => f.write_str(": waiting")?,
        }
        if let Some(since) = self.waiting_since {
            write!(f, " for {:.1?}", now().saturating_duration_since(since))?;
        }
        if self.blocks_stack {
            f.write_str(" on a stack")?;
        }
        for waiting_for in &self.waits {
            write!(f, "\n    for {waiting_for}")?;
        }
        match (self.waits.is_empty(), self.has_more_waits) {
            (true, _) => f.write_str("\n    for something outside of this library"),
            (false, true) => f.write_str("\n    and for more"),
            (false, false) => Ok(()),
        }
    }
}

/// All tasks of one backend or several, and what each was doing; made by [`dump`].
///
/// Its text form lists the tasks in the order in which they were started.
#[derive(Clone, Debug)]
pub struct Dump {
    tasks: Vec<TaskDump>,
    unlisted: usize,
}

impl Dump {
    /// Returns the tasks, in the order in which they were started.
    pub fn tasks(&self) -> &[TaskDump] {
        &self.tasks
    }

    /// Returns what there is of the task with this number, if it was not over.
    pub fn task(&self, id: TaskId) -> Option<&TaskDump> {
        self.tasks.iter().find(|found| found.task.id() == id)
    }

    pub(crate) fn into_tasks(self) -> Vec<TaskDump> {
        self.tasks
    }

    /// Returns the number of tasks of which nothing but that is known: they have no name, and have not waited
    /// yet.
    pub fn unlisted(&self) -> usize {
        self.unlisted
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |state| self.tasks.iter().filter(|task| task.state == state).count();
        write!(
            f,
            "{} tasks: {} running, {} queued, {} waiting, {} not listed",
            self.tasks.len() + self.unlisted,
            count(TaskState::Running),
            count(TaskState::Queued),
            count(TaskState::Waiting),
            self.unlisted
        )?;
        self.tasks.iter().try_for_each(|task| write!(f, "\n{task}"))
    }
}

/// Returns a future of all tasks that `spawners` have started and that are not over, and what each is doing.
/// Finish it with `.await` or `.wait()`.
///
/// Each task that waits is woken and polled, to hear what for; so this also works while nothing else moves.
/// It takes up to a tenth of a second, or as long as [`Dumping::limit`] says, if there are tasks that do not
/// tell because they run or are queued behind one that does. Tasks that have neither a name nor waited yet
/// are only counted. Backtraces of blocked stacks are not part of it: there is no sound way to make them from
/// outside.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::task::{self, TaskState, WaitingFor};
/// use twoply::{Wait, promise};
///
/// let (promise, resolver) = promise::pair::<u32>();
/// let worker = task::Builder::new().name("worker").spawn(std::future::pending::<()>())?;
/// resolver.set_owner(&worker.task());
/// let client = task::Builder::new().name("client").spawn(async move { promise.await })?;
///
/// let dump = task::dump([twoply::spawner()]).limit(Duration::from_secs(10)).wait();
/// assert_eq!(dump.task(client.id()).unwrap().state, TaskState::Waiting); let [WaitingFor::Promise { owner,
/// .. }] = &dump.task(client.id()).unwrap().waits[..] else { panic!("{dump}") };
/// assert_eq!(owner.as_ref().and_then(|owner| owner.name()), Some("worker")); println!("{dump}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn dump(spawners: impl IntoIterator<Item = Spawner>) -> Dumping {
    let mut backends: Vec<Arc<dyn Backend>> = Vec::new();
    for spawner in spawners {
        // Each backend once, however many of its spawners there are.
        if !backends.iter().any(|known| Arc::ptr_eq(known.tasks(), spawner.backend().tasks())) {
            backends.push(Arc::clone(spawner.backend()));
            // Its ports may run on threads of their own.
            backends.extend(spawner.backend().io_threads().into_iter().flat_map(IoThreads::backends));
        }
    }
    Dumping { backends, limit: LIMIT, asked: None }
}

impl Spawner {
    /// Returns a future of all tasks of the backend that are not over, and what each is doing; see [`dump`].
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    ///
    /// println!("{}", twoply::native().dump().wait());
    /// ```
    pub fn dump(&self) -> Dumping {
        dump([self.clone()])
    }
}

/// The future of [`dump`]. Cancel-safe: one that is dropped leaves nothing behind.
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
pub struct Dumping {
    backends: Vec<Arc<dyn Backend>>,
    limit: Duration,
    /// The tasks that the first poll has asked, and the end of the wait for their answers.
    asked: Option<(Round, Sleep)>,
}

impl Dumping {
    /// Sets how long to wait for tasks that do not tell, counted from the first poll.
    pub fn limit(mut self, limit: Duration) -> Dumping {
        self.limit = limit;
        self
    }
}

impl Future for Dumping {
    type Output = Dump;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Dump> {
        let unit = ready!(coop::proceed(cx));
        let Dumping { backends, limit, asked } = &mut *self;
        let (round, limit) = asked.get_or_insert_with(|| {
            let tasks = backends.iter().flat_map(|backend| backend.tasks().tasks()).collect();
            (Round::begin(tasks), sleep(*limit))
        });
        if round.poll(cx).is_pending() {
            ready!(waiting::note_instead(limit.poll_elapsed(cx), || WaitingFor::Dump));
        }
        unit.spend();
        let mut dump = Dump { tasks: Vec::new(), unlisted: 0 };
        for backend in backends {
            add(&mut dump, &**backend, round);
        }
        dump.tasks.sort_by_key(|task| task.task.id());
        *asked = None;
        Poll::Ready(dump)
    }
}

/// Adds the tasks of `backend`.
fn add(dump: &mut Dump, backend: &dyn Backend, round: &Round) {
    let running = backend.running();
    let tasks = backend.tasks().tasks();
    dump.unlisted += backend.tasks().len().saturating_sub(tasks.len());
    for task in tasks {
        let answer = round.answer(&task);
        let state = match &answer {
            Some(_) => TaskState::Waiting,
            None if backend.mode() == Mode::Blocking || running.contains(&task.id()) => TaskState::Running,
            None if round.is_callers(&task) => TaskState::Running,
            None => TaskState::Queued,
        };
        let answer = answer.unwrap_or_default();
        dump.tasks.push(TaskDump {
            backend: backend.name(),
            kind: task.shared().kind(),
            state,
            waits: answer.waits,
            has_more_waits: answer.has_more,
            blocks_stack: answer.blocks_stack,
            waiting_since: answer.since,
            subject: answer.subject.map(SubjectRef),
            task,
        });
    }
}

impl fmt::Debug for Dumping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dumping").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// The future of [`TaskRef::waits`]. Cancel-safe: one that is dropped leaves nothing behind.
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
pub struct AskingWaits {
    task: TaskRef,
    /// The question, once it has been asked, and the end of the wait for its answer.
    asked: Option<(Round, Sleep)>,
}

impl TaskRef {
    /// Returns a future of what the task waits for, as a [`dump`] lists it; finish it with `.await` or
    /// `.wait()`. It is `None` if the task does not tell within a tenth of a second, because it runs or is
    /// queued behind one that does, and if it is over.
    ///
    /// # Examples
    /// ```
    /// use twoply::task::{Builder, WaitingFor};
    /// use twoply::{Wait, time};
    ///
    /// let nap = Builder::new().name("nap").spawn(time::sleep(std::time::Duration::from_secs(1000)))?;
    /// let waits = nap.task().waits().wait();
    /// assert!(waits.is_none_or(|waits| matches!(waits[..], [WaitingFor::Time(_)])));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn waits(&self) -> AskingWaits {
        AskingWaits { task: self.clone(), asked: None }
    }
}

impl Future for AskingWaits {
    type Output = Option<Vec<WaitingFor>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let unit = ready!(coop::proceed(cx));
        let AskingWaits { task, asked } = &mut *self;
        let (round, limit) = asked.get_or_insert_with(|| (Round::begin(vec![task.clone()]), sleep(LIMIT)));
        if round.poll(cx).is_pending() {
            ready!(waiting::note_instead(limit.poll_elapsed(cx), || WaitingFor::Dump));
        }
        unit.spend();
        let answer = round.answer(task);
        *asked = None;
        Poll::Ready(answer.map(|answer| answer.waits))
    }
}

impl fmt::Debug for AskingWaits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskingWaits").field("task", &self.task).finish_non_exhaustive()
    }
}

/// All that those who look know of one task. It lies in the task's shared part.
#[derive(Default)]
pub(super) struct Observed {
    /// The waits of the task when it last told.
    description: Option<Box<Description>>,
    since: Option<Instant>,
    /// True if it may have waited already when it was asked.
    may_have_waited: bool,
    /// Those whom it has not told yet.
    asked: Vec<Asked>,
}

impl Observed {
    /// Notes that somebody asks, who is told by the next [`Observed::update`].
    pub(super) fn ask(&mut self, asked: Asked, may_have_waited: bool) {
        self.asked.push(asked);
        self.may_have_waited |= may_have_waited;
    }

    /// Returns whether nobody waits for an answer.
    fn is_told(&self) -> bool {
        self.asked.is_empty()
    }

    /// Notes what the task has told that it waits for. The caller drops what is returned when no lock is
    /// held.
    pub(super) fn update(&mut self, description: Box<Description>) -> (Option<Box<Description>>, Vec<Asked>) {
        let asked = std::mem::take(&mut self.asked);
        let before = self.description.as_ref().filter(|before| before.period == description.period);
        // A task that is asked goes on with the wait that it has told of last, or else has begun another one
        // since.
        self.since = match before {
            Some(before) if !asked.is_empty() && before.is_same(&description) => self.since,
            None if self.may_have_waited => None,
            _ => Some(description.at),
        };
        self.may_have_waited = false;
        (self.description.replace(description), asked)
    }
}

/// The answer of one task.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) waits: Vec<WaitingFor>,
    has_more: bool,
    blocks_stack: bool,
    since: Option<Instant>,
    subject: Option<Arc<dyn Subject>>,
}

/// Tasks that have been asked what they wait for.
pub(crate) struct Round {
    tasks: Vec<TaskRef>,
    /// The task that asks: it runs.
    caller: Option<TaskId>,
    survey: Arc<Survey>,
    observation: Observation,
}

impl Round {
    /// Asks each of `tasks`.
    pub(crate) fn begin(tasks: Vec<TaskRef>) -> Round {
        let observation = observe();
        let caller = with_state(|state| state.header().map(|task| task.id()));
        let round = Round { tasks, caller, survey: Arc::default(), observation };
        for task in round.tasks.iter().filter(|task| !round.is_callers(task)) {
            task.shared().ask(Asked::new(&round.survey));
        }
        round
    }

    /// Is ready when each task has told, or is over.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.survey.poll(cx.waker())
    }

    /// Returns what `task` has told.
    pub(crate) fn answer(&self, task: &TaskRef) -> Option<Answer> {
        if self.is_callers(task) {
            return None;
        }
        task.shared().with_observed(|observed| {
            let observed = observed
                .as_deref()
                .filter(|observed| !observed.asked.iter().any(|a| a.is_of(&self.survey)))?;
            let description = observed.description.as_deref()?;
            Some(Answer {
                waits: description.waits.clone(),
                has_more: description.has_more,
                blocks_stack: description.blocks_stack,
                since: observed.since,
                subject: description.subject.clone(),
            })
        })
    }

    /// Takes the question back, if it has not been answered.
    fn withdraw(&self, observed: &mut Observed) -> Option<Asked> {
        let own = observed.asked.iter().position(|asked| asked.is_of(&self.survey))?;
        Some(observed.asked.swap_remove(own))
    }

    fn is_callers(&self, task: &TaskRef) -> bool {
        self.caller == Some(task.id())
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        for task in &self.tasks {
            let unused = task.shared().with_observed(|observed| {
                let own = self.withdraw(observed.as_deref_mut()?);
                // Under the lock: others who have asked this task are seen here, or will ask it after this.
                let is_unused =
                    observed.as_deref().is_some_and(Observed::is_told) && self.observation.is_only();
                Some((own, is_unused.then(|| observed.take())))
            });
            drop(unused);
        }
    }
}

/// The number of those who were asked and have not told yet, and the one who waits for them.
#[derive(Default)]
pub(super) struct Survey {
    left: AtomicUsize,
    waker: Mutex<Option<StoredWaker>>,
}

impl Survey {
    fn poll(&self, waker: &Waker) -> Poll<()> {
        let waker = StoredWaker::of(waker);
        let before = lock(&self.waker).replace(waker);
        drop(before);
        // After the waker: whoever brings this to 0 then takes the lock, before or after this has.
        if self.left.load(Ordering::Acquire) == 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Stands for a task that has not told yet.
pub(super) struct Asked(Arc<Survey>);

impl Asked {
    fn new(survey: &Arc<Survey>) -> Asked {
        survey.left.fetch_add(1, Ordering::Relaxed);
        Asked(Arc::clone(survey))
    }

    fn is_of(&self, survey: &Arc<Survey>) -> bool {
        Arc::ptr_eq(&self.0, survey)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // AcqRel pairs with the load in `Survey::poll`: what the task has told is seen there.
        if self.0.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let waker = lock(&self.0.waker).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}
