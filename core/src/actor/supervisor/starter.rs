//! Starting a child: what a supervisor's process does for one spec.
//!
//! It runs the user's code that makes the child, and contains it: a panic in there is a child that could not be
//! started.

use std::error::Error;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use super::Launch;
use super::handle::{Control, SupervisorRef};
use super::spec::{Mailbox, Standing, Start, Started, Starting};
use crate::actor::behaviour::run;
use crate::actor::catch_panic::catch_panic;
use crate::actor::{
    Actor, Builder, IntoExit, Pid, Process, ProcessRef, RegisterError, Registry, SpawnProcessError,
};
use crate::base::sync::lock_std;
use crate::channel::{oneshot, watch};

/// Any error.
type AnyError = Box<dyn Error + Send + Sync>;

/// Something that is said of how a process is built.
pub(super) type Setting<M> = Box<dyn Fn(Builder<M>) -> Builder<M> + Send + Sync>;

/// The future of a child.
type Making<M> = Pin<Box<dyn Future<Output = Result<Product<M>, AnyError>> + Send>>;

/// What begins to make a child.
type Maker<M> = Box<dyn Fn(Starter<'_, M>) -> Making<M> + Send + Sync>;

/// What makes a child.
pub(super) struct Make<M: Send + 'static>(Maker<M>);

/// A child that has been made.
pub(super) struct Product<M> {
    /// Its process.
    pub(super) process: ProcessRef<M>,
    /// The same, if it is a supervisor.
    pub(super) supervisor: Option<SupervisorRef>,
}

impl<M: Send + 'static> Make<M> {
    /// By code of the user's.
    pub(super) fn process<F>(start: F) -> Make<M>
    where
        F: Fn(&mut Starter<'_, M>) -> Result<ProcessRef<M>, AnyError> + Send + Sync + 'static,
    {
        Make(Box::new(move |mut starter| {
            let process = catch_start(|| start(&mut starter));
            Box::pin(ready(process.map(|process| Product { process, supervisor: None })))
        }))
    }

    /// An actor. It counts as started when it says so itself.
    pub(super) fn actor<A: Actor<Message = M>>(make: impl Fn() -> A + Send + Sync + 'static) -> Make<M> {
        Make(Box::new(move |mut starter| {
            let (ready, started) = oneshot::channel();
            let process = catch_start(|| {
                let actor = make();
                let ready = || {
                    // A supervisor that is gone need not be told.
                    let _ = ready.send(());
                };
                Ok(starter.spawn(|me| run(actor, me, ready))?)
            });
            Box::pin(async move {
                let process = process?;
                let ended = process.ended();
                match started.await {
                    Ok(()) => Ok(Product { process, supervisor: None }),
                    Err(_) => Err(ended.await.into()),
                }
            })
        }))
    }
}

impl Make<Control> {
    /// A supervisor.
    pub(super) fn supervisor(launch: Arc<Launch>) -> Make<Control> {
        Make(Box::new(move |starter| {
            let begun = launch.begin(Some(starter.supervisor), &starter.child.names);
            if let Ok(begun) = &begun {
                starter.child.spawned(begun.supervisor.process());
            }
            Box::pin(async move {
                let supervisor = begun?.finish().await?;
                Ok(Product { process: supervisor.process().clone(), supervisor: Some(supervisor) })
            })
        }))
    }
}

/// Runs the user's `code` and turns a panic into an error.
fn catch_start<T>(code: impl FnOnce() -> Result<T, AnyError>) -> Result<T, AnyError> {
    catch_panic(code).unwrap_or_else(|panic| Err(format!("its start panicked: {panic}").into()))
}

/// Says without more ado that a name is taken.
pub(super) fn refusal(error: AnyError) -> AnyError {
    match error.downcast::<SpawnProcessError>().map(|error| *error) {
        Ok(SpawnProcessError::Name(refused)) => refused.into(),
        Ok(error) => error.into(),
        Err(error) => error,
    }
}

/// The process whose mailbox a child keeps from one start to the next: the first that it has spawned.
pub(super) enum Kept<M: Send + 'static> {
    /// It keeps none.
    Nothing,
    /// It keeps one, if there is one already. Only the supervisor's process looks here.
    Mailbox(Mutex<Option<ProcessRef<M>>>),
}

impl<M: Send + 'static> Kept<M> {
    pub(super) fn new(mailbox: Mailbox) -> Kept<M> {
        match mailbox {
            Mailbox::Drop => Kept::Nothing,
            Mailbox::Keep => Kept::Mailbox(Mutex::new(None)),
        }
    }

    /// The process, if there is one.
    fn process(&self) -> Option<ProcessRef<M>> {
        match self {
            Kept::Nothing => None,
            Kept::Mailbox(process) => lock_std(process).clone(),
        }
    }

    /// Has `builder` keep the mailbox, or take the one that is kept.
    fn build(&self, builder: Builder<M>) -> Builder<M> {
        match (self, self.process()) {
            (Kept::Nothing, _) => builder,
            (Kept::Mailbox(_), None) => builder.keeping(),
            (Kept::Mailbox(_), Some(process)) => builder.taking_over(&process),
        }
    }

    /// Keeps the mailbox of the first process that was spawned.
    fn enter(&self, process: &ProcessRef<M>) {
        if let Kept::Mailbox(kept) = self {
            lock_std(kept).get_or_insert_with(|| process.clone());
        }
    }

    /// Keeps nothing any more but by the next process.
    fn abandon(&self) {
        if let Kept::Mailbox(kept) = self {
            let process = lock_std(kept).take();
            if let Some(process) = process {
                process.keep_mailbox(false);
            }
        }
    }
}

impl<M: Send + 'static> Drop for Kept<M> {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// A child with the type of its messages; what a [`Spec`](super::spec::Spec) starts.
pub(super) struct Typed<M: Send + 'static> {
    /// What it is called.
    pub(super) id: Arc<str>,
    /// See [`Start::left_behind`]. Only the supervisor's process looks here.
    pub(super) processes: Mutex<Vec<ProcessRef<M>>>,
    /// Its mailbox, if that is to be kept.
    pub(super) kept: Kept<M>,
    /// How its process is built.
    pub(super) settings: Vec<Setting<M>>,
    /// The names that it gets.
    pub(super) names: Vec<(Registry, Arc<str>)>,
    /// How it is started.
    pub(super) make: Make<M>,
    /// How it stands, for its references.
    pub(super) standing: watch::Sender<Standing<M>>,
}

impl<M: Send + 'static> Start for Typed<M> {
    fn start<'a>(&'a self, supervisor: &'a mut Process<Control>) -> Starting<'a> {
        self.keep_processes(|_| false);
        let making = (self.make.0)(Starter { child: self, supervisor });
        Box::pin(async move {
            let product = making.await.map_err(refusal)?;
            let first = lock_std(&self.processes).first().map(ProcessRef::pid);
            if !lock_std(&self.processes).contains(&product.process) {
                // Started by other means than the starter's: it may not be linked.
                self.spawned(&product.process);
                supervisor.link(&product.process.pid());
            }
            self.pass_names(first, &product.process)?;
            if self.kept.process().is_some_and(|kept| kept != product.process) {
                // The child is not the process that it spawned first, but it is its mailbox that is meant.
                self.kept.abandon();
            }
            // The others are the child's own business from now on.
            self.keep_processes(|process| *process == product.process);
            let started = Started::from(&product);
            drop(self.standing.replace(Standing::Running(product.process)));
            Ok(started)
        })
    }

    fn left_behind(&self) -> Vec<Pid> {
        lock_std(&self.processes).iter().map(ProcessRef::pid).collect()
    }

    fn halted(&self, again: bool) -> bool {
        let standing = match self.kept.process() {
            // Messages may be sent to it as ever.
            Some(_) if again => return true,
            _ if again => Standing::Waiting,
            _ => Standing::Stopped,
        };
        let before = self.standing.replace(standing);
        if !again {
            self.kept.abandon();
        }
        !matches!(*before, Standing::Stopped)
    }
}

impl<M: Send + 'static> Typed<M> {
    /// The start under way has spawned this.
    fn spawned(&self, process: &ProcessRef<M>) {
        lock_std(&self.processes).push(process.clone());
    }

    /// The names are those of the child, which is `process`. What it has spawned first has had them from its first step,
    /// and usually that is the child.
    fn pass_names(&self, first: Option<Pid>, process: &ProcessRef<M>) -> Result<(), RegisterError> {
        if first.as_ref() == Some(&process.pid()) {
            return Ok(());
        }
        for (registry, name) in &self.names {
            if first.is_some() && registry.whereis_pid(name) == first {
                registry.unregister(name);
            }
            registry.register(Arc::clone(name), process)?;
        }
        Ok(())
    }

    /// Forgets the other ones of the last start. They are dropped with nothing locked: dropping the last reference to a
    /// process may drop its messages, which are the user's.
    fn keep_processes(&self, keep: impl FnMut(&ProcessRef<M>) -> bool) {
        let all = std::mem::take(&mut *lock_std(&self.processes));
        let (kept, others): (Vec<_>, Vec<_>) = all.into_iter().partition(keep);
        *lock_std(&self.processes) = kept;
        drop(others);
    }
}

/// What starts a child, in the process of its supervisor; see [`ChildSpec::start_with`](super::ChildSpec::start_with).
pub struct Starter<'a, M: Send + 'static> {
    /// The child.
    child: &'a Typed<M>,
    /// The supervisor.
    supervisor: &'a Process<Control>,
}

impl<M: Send + 'static> Starter<'_, M> {
    /// What the child is called.
    pub fn id(&self) -> &str {
        &self.child.id
    }

    /// The supervisor's process.
    pub fn supervisor(&self) -> Pid {
        self.supervisor.pid()
    }

    /// Starts a process that runs `body`, linked to the supervisor, as the spec says: with the child's id for a name,
    /// and with the child's settings.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    pub fn spawn<F, T>(&mut self, body: F) -> Result<ProcessRef<M>, SpawnProcessError>
    where
        F: FnOnce(Process<M>) -> T,
        T: Future<Output: IntoExit + Send> + Send + 'static,
    {
        let process = self.builder().spawn_link(self.supervisor, body)?;
        Ok(self.note(process))
    }

    /// As [`Starter::spawn`], with straight-line code.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    pub fn spawn_fn<F, T>(&mut self, code: F) -> Result<ProcessRef<M>, SpawnProcessError>
    where
        F: FnOnce(Process<M>) -> T + Send + 'static,
        T: IntoExit + Send + 'static,
    {
        let process = self.builder().spawn_link_fn(self.supervisor, code)?;
        Ok(self.note(process))
    }

    /// A builder with the child's settings, and for the first process with its names.
    fn builder(&self) -> Builder<M> {
        let plain = Builder::new().name(&*self.child.id);
        let set = self.child.settings.iter().fold(plain, |builder, setting| setting(builder));
        let is_first = lock_std(&self.child.processes).is_empty();
        let names = self.child.names.iter().filter(|_| is_first);
        let named =
            names.fold(set, |builder, (registry, name)| builder.register_in(registry, Arc::clone(name)));
        self.child.kept.build(named)
    }

    fn note(&mut self, process: ProcessRef<M>) -> ProcessRef<M> {
        self.child.spawned(&process);
        self.child.kept.enter(&process);
        process
    }
}

impl<M: Send + 'static> fmt::Debug for Starter<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Starter").field("id", &self.child.id).finish_non_exhaustive()
    }
}
