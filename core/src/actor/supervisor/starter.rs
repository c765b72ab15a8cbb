//! Starting a child: what a supervisor's process does for one spec.
//!
//! It runs the user's code that makes the child, and contains it: a panic in there is a child that could not
//! be started.

use std::error::Error;
use std::fmt;
use std::future::{Future, ready};
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use super::erased::{Availability, Start, StartFuture, Started};
use super::error::{Ignore, StartError};
use super::handle::{Control, SupervisorRef};
use super::plan::SupervisorTemplate;
use super::report::Events;
use super::spec::Mailbox;
use crate::actor::behaviour::{Begun, run_with};
use crate::actor::catch_panic::catch_panic;
use crate::actor::{
    Actor, Builder, IntoExit, Pid, PoolBuilder, Process, ProcessRef, RegisterError, Registry,
    SpawnProcessError, StartActorError,
};
use crate::base::sync::lock_std;
use crate::channel::{Receiver, oneshot, watch};

/// The error of a start, whatever its type.
type AnyError = Box<dyn Error + Send + Sync>;

/// A setting of the user's, applied to the builder of each process of the child.
pub(super) type Setting<M> = Box<dyn Fn(Builder<M>) -> Builder<M> + Send + Sync>;

/// The future of a start, with the child's type of messages.
type MakeFuture<M> = Pin<Box<dyn Future<Output = Result<MadeChild<M>, AnyError>> + Send>>;

/// The function that begins a start.
type MakeFn<M> = Box<dyn Fn(Starter<'_, M>) -> MakeFuture<M> + Send + Sync>;

/// Makes the process of a child, as often as it is started.
pub(super) struct Make<M: Send + 'static>(MakeFn<M>);

/// A child that runs, with its type of messages.
pub(super) struct MadeChild<M> {
    pub(super) process: ProcessRef<M>,
    /// Refers to `process`, if the child is a supervisor.
    pub(super) supervisor: Option<SupervisorRef>,
}

impl<M: Send + 'static> Make<M> {
    /// Makes the child by the user's `start`.
    pub(super) fn process<F>(start: F) -> Make<M>
    where
        F: Fn(&mut Starter<'_, M>) -> Result<ProcessRef<M>, AnyError> + Send + Sync + 'static,
    {
        Make(Box::new(move |mut starter| {
            let process = catch_start(|| start(&mut starter));
            Box::pin(ready(process.map(|process| MadeChild { process, supervisor: None })))
        }))
    }

    /// Makes an actor, which counts as started when its handler `started` has returned.
    pub(super) fn actor<A: Actor<Message = M>>(
        make: impl Fn() -> Result<A, AnyError> + Send + Sync + 'static,
        queue: Option<Receiver<M>>,
    ) -> Make<M> {
        Make(Box::new(move |mut starter| {
            let queue = queue.clone();
            let (tell, told) = oneshot::channel();
            let process = catch_start(|| {
                let actor = make()?;
                let ready = |begun| {
                    // A supervisor that is gone need not be told. One that is told nothing waits for the end.
                    let _ = tell.send(begun);
                };
                Ok(starter.spawn(|me| run_with(actor, me, queue, ready))?)
            });
            Box::pin(async move {
                let process = process?;
                let ended = process.ended();
                match told.await {
                    Ok(Begun::Started) => Ok(MadeChild { process, supervisor: None }),
                    Ok(Begun::Ignored) => Err(Ignore.into()),
                    Err(_) => Err(ended.await.into()),
                }
            })
        }))
    }

    /// Makes a pool, which counts as started when its members have been started.
    pub(super) fn pool<A, F>(pool: impl Fn() -> PoolBuilder<M> + Send + Sync + 'static, make: F) -> Make<M>
    where
        A: Actor<Message = M>,
        F: Fn() -> A + Send + Sync + 'static,
    {
        let make = Arc::new(make);
        Make(Box::new(move |starter| {
            let starting = catch_start(|| {
                Ok(pool().begin(Some(starter.supervisor), starter.above, Arc::clone(&make))?)
            });
            if let Ok(starting) = &starting {
                starter.child.spawned(&starting.pool().process());
            }
            let names = starter.child.names.clone();
            Box::pin(async move {
                let pool = starting?.finish().await?;
                let process = pool.process();
                // Not before: who finds it by its name finds members.
                let mut names = names.into_iter();
                if let Err(error) = names.try_for_each(|(registry, name)| registry.register(name, &process)) {
                    pool.stop().await;
                    return Err(error.into());
                }
                Ok(MadeChild { process, supervisor: Some(pool.supervisor().clone()) })
            })
        }))
    }
}

impl Make<Control> {
    /// Makes a supervisor, which counts as started when its own children have been started.
    pub(super) fn supervisor(template: Arc<SupervisorTemplate>) -> Make<Control> {
        Make(Box::new(move |starter| {
            let starting = template.begin(Some(starter.supervisor), &starter.child.names, starter.above);
            if let Ok(starting) = &starting {
                starter.child.spawned(starting.supervisor.process());
            }
            Box::pin(async move {
                let supervisor = starting?.finish().await?;
                Ok(MadeChild { process: supervisor.process().clone(), supervisor: Some(supervisor) })
            })
        }))
    }
}

/// Runs the user's `code` and turns a panic into an error.
fn catch_start<T>(code: impl FnOnce() -> Result<T, AnyError>) -> Result<T, AnyError> {
    catch_panic(code).unwrap_or_else(|panic| Err(format!("its start panicked: {panic}").into()))
}

/// Returns true if the start finds nothing to do, and nothing has gone wrong.
fn says_ignore(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    error.is::<Ignore>()
        || matches!(error.downcast_ref(), Some(StartActorError::Ignored))
        || error.downcast_ref().is_some_and(StartError::is_ignored)
}

/// Unwraps the error of a name that is taken, so that it is the source of the
/// [`StartError`](super::StartError) itself.
pub(super) fn name_error_of(error: AnyError) -> AnyError {
    match error.downcast::<SpawnProcessError>().map(|error| *error) {
        Ok(SpawnProcessError::Name(refused)) => refused.into(),
        Ok(error) => error.into(),
        Err(error) => error,
    }
}

/// The process whose mailbox a child keeps from one start to the next, which is the first that it has
/// spawned.
pub(super) enum KeptMailbox<M: Send + 'static> {
    /// The child keeps no mailbox.
    Nothing,
    /// The child keeps the mailbox of this process; `None` before the first start. Only the supervisor's
    /// process locks it.
    Mailbox(Mutex<Option<ProcessRef<M>>>),
}

impl<M: Send + 'static> KeptMailbox<M> {
    pub(super) fn new(mailbox: Mailbox) -> KeptMailbox<M> {
        match mailbox {
            Mailbox::Drop => KeptMailbox::Nothing,
            Mailbox::Keep => KeptMailbox::Mailbox(Mutex::new(None)),
        }
    }

    /// Returns the process, if the child keeps one and has spawned it.
    fn process(&self) -> Option<ProcessRef<M>> {
        match self {
            KeptMailbox::Nothing => None,
            KeptMailbox::Mailbox(process) => lock_std(process).clone(),
        }
    }

    /// Makes `builder` keep the mailbox of its process, or take over the one that is kept.
    fn build(&self, builder: Builder<M>) -> Builder<M> {
        match (self, self.process()) {
            (KeptMailbox::Nothing, _) => builder,
            (KeptMailbox::Mailbox(_), None) => builder.keeping(),
            (KeptMailbox::Mailbox(_), Some(process)) => builder.taking_over(&process),
        }
    }

    /// Keeps the mailbox of `process`, unless one is kept.
    fn remember(&self, process: &ProcessRef<M>) {
        if let KeptMailbox::Mailbox(slot) = self {
            lock_std(slot).get_or_insert_with(|| process.clone());
        }
    }

    /// Closes the kept mailbox. The next process that is spawned has the next one.
    fn release(&self) {
        if let KeptMailbox::Mailbox(slot) = self {
            let process = lock_std(slot).take();
            if let Some(process) = process {
                process.keep_mailbox(false);
            }
        }
    }
}

impl<M: Send + 'static> Drop for KeptMailbox<M> {
    fn drop(&mut self) {
        self.release();
    }
}

/// The half of a child's spec that knows the type of its messages; a [`Spec`](super::erased::Spec) boxes it.
pub(super) struct TypedSpec<M: Send + 'static> {
    pub(super) id: Arc<str>,
    /// The place in the program where the spec was made, which is that of its processes.
    pub(super) made_at: &'static Location<'static>,
    /// The processes of [`Start::leftover_processes`]. Only the supervisor's process locks it.
    pub(super) processes: Mutex<Vec<ProcessRef<M>>>,
    /// The child's mailbox between two starts.
    pub(super) kept_mailbox: KeptMailbox<M>,
    /// Applied to the builder in this order.
    pub(super) settings: Vec<Setting<M>>,
    /// Entered at each start, before the first step of the process.
    pub(super) names: Vec<(Registry, Arc<str>)>,
    pub(super) make: Make<M>,
    /// Followed by the references to the child.
    pub(super) availability: watch::Sender<Availability<M>>,
}

impl<M: Send + 'static> Start for TypedSpec<M> {
    fn start<'a>(&'a self, supervisor: &'a mut Process<Control>, above: &'a [Events]) -> StartFuture<'a> {
        self.keep_processes(|_| false);
        let made_later = (self.make.0)(Starter { child: self, supervisor, above });
        Box::pin(async move {
            let made = match made_later.await {
                Ok(made) => made,
                Err(error) if says_ignore(&*error) => return Ok(None),
                Err(error) => return Err(name_error_of(error)),
            };
            let first = lock_std(&self.processes).first().map(ProcessRef::pid);
            if !lock_std(&self.processes).contains(&made.process) {
                // The process was not started through the starter, so it may not be linked.
                self.spawned(&made.process);
                supervisor.link(&made.process.pid());
            }
            self.move_names(first, &made.process)?;
            if self.kept_mailbox.process().is_some_and(|kept| kept != made.process) {
                // The child turns out to be another process than the first one, whose mailbox is not meant
                // then.
                self.kept_mailbox.release();
            }
            // The other processes of this start are the child's own business from now on.
            self.keep_processes(|process| *process == made.process);
            let started = Started::from(&made);
            drop(self.availability.replace(Availability::Running(made.process)));
            Ok(Some(started))
        })
    }

    fn leftover_processes(&self) -> Vec<Pid> {
        lock_std(&self.processes).iter().map(ProcessRef::pid).collect()
    }

    fn set_not_running(&self, will_run: bool) -> bool {
        let availability = match self.kept_mailbox.process() {
            // The mailbox is open, so references go on sending to it.
            Some(_) if will_run => return true,
            _ if will_run => Availability::Waiting,
            _ => Availability::Stopped,
        };
        let before = self.availability.replace(availability);
        if !will_run {
            self.kept_mailbox.release();
        }
        !matches!(*before, Availability::Stopped)
    }
}

impl<M: Send + 'static> TypedSpec<M> {
    /// Records a process that the start under way has spawned.
    fn spawned(&self, process: &ProcessRef<M>) {
        lock_std(&self.processes).push(process.clone());
    }

    /// Moves the child's names from the process that was spawned first, which has had them from its first
    /// step, to `process`, which is the child. Usually the two are one.
    fn move_names(&self, first: Option<Pid>, process: &ProcessRef<M>) -> Result<(), RegisterError> {
        if first.as_ref() == Some(&process.pid()) {
            return Ok(());
        }
        for (registry, name) in &self.names {
            // It may have ended by now, and another process may have the name.
            registry.unregister_if(name, |holder| Some(holder) == first.as_ref());
            registry.register(Arc::clone(name), process)?;
        }
        Ok(())
    }

    /// Forgets the processes of the last start but for those that `keep` says yes to. They are dropped with
    /// nothing locked, because the last reference to a process may drop its messages, which are the user's.
    fn keep_processes(&self, keep: impl FnMut(&ProcessRef<M>) -> bool) {
        let all = std::mem::take(&mut *lock_std(&self.processes));
        let (left, others): (Vec<_>, Vec<_>) = all.into_iter().partition(keep);
        *lock_std(&self.processes) = left;
        drop(others);
    }
}

/// Starts the processes of a child, from within the supervisor; see
/// [`ChildSpec::start_with`](super::ChildSpec::start_with).
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::actor::Process;
/// use twoply::actor::supervisor::{ChildSpec, Supervisor};
///
/// let child = ChildSpec::start_with("logger", |starter| {
///     assert_eq!(starter.id(), "logger");
///     Ok(starter.spawn(async |mut me: Process<String>| drop(me.receive().await))?)
/// });
/// let supervisor = Supervisor::one_for_one().child(child).start().wait()?;
/// assert_eq!(supervisor.count().wait()?.active, 1);
/// # supervisor.stop().wait();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Starter<'a, M: Send + 'static> {
    child: &'a TypedSpec<M>,
    /// The process that calls the user's code and is linked to what that spawns.
    supervisor: &'a Process<Control>,
    /// The channels to those who follow a child that is a supervisor.
    above: &'a [Events],
}

impl<M: Send + 'static> Starter<'_, M> {
    /// Returns the child's id.
    pub fn id(&self) -> &str {
        &self.child.id
    }

    /// Returns the pid of the supervisor, which is the process that this runs in.
    pub fn supervisor(&self) -> Pid {
        self.supervisor.pid()
    }

    /// Starts a process that runs `body`, linked to the supervisor, as the spec says: with the child's id for
    /// a name, and with the child's settings.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    pub fn spawn<F, T>(&mut self, body: F) -> Result<ProcessRef<M>, SpawnProcessError>
    where
        F: FnOnce(Process<M>) -> T,
        T: Future<Output: IntoExit + Send> + Send + 'static,
    {
        let process = self.builder().spawn_link(self.supervisor, body)?;
        Ok(self.record(process))
    }

    /// As [`Starter::spawn`], with straight-line code.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::Process;
    /// use twoply::actor::supervisor::{ChildSpec, Supervisor};
    ///
    /// let child = ChildSpec::start_with("blocking", |starter| {
    ///     Ok(starter.spawn_fn(|mut me: Process<u8>| drop(me.receive().wait()))?)
    /// });
    /// let supervisor = Supervisor::one_for_one().child(child).start().wait()?;
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    pub fn spawn_fn<F, T>(&mut self, code: F) -> Result<ProcessRef<M>, SpawnProcessError>
    where
        F: FnOnce(Process<M>) -> T + Send + 'static,
        T: IntoExit + Send + 'static,
    {
        let process = self.builder().spawn_link_fn(self.supervisor, code)?;
        Ok(self.record(process))
    }

    /// Returns a builder with the child's settings and, for the first process of a start, with the child's
    /// names.
    fn builder(&self) -> Builder<M> {
        let plain = Builder::new().name(&*self.child.id).at(self.child.made_at);
        let set = self.child.settings.iter().fold(plain, |builder, setting| setting(builder));
        let is_first = lock_std(&self.child.processes).is_empty();
        let names = self.child.names.iter().filter(|_| is_first);
        let named =
            names.fold(set, |builder, (registry, name)| builder.register_in(registry, Arc::clone(name)));
        self.child.kept_mailbox.build(named)
    }

    fn record(&mut self, process: ProcessRef<M>) -> ProcessRef<M> {
        self.child.spawned(&process);
        self.child.kept_mailbox.remember(&process);
        process
    }
}

impl<M: Send + 'static> fmt::Debug for Starter<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Starter").field("id", &self.child.id).finish_non_exhaustive()
    }
}
