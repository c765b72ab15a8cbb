//! Names for processes: [`Registry`].
//!
//! Whoever knows a name finds the process without having been handed a reference: the counterpart of Erlang's
//! `register/2` and `whereis/1`. It differs in that a process may have several names. There is one registry
//! for the whole program, [`Registry::global`], and [`Registry::new`] makes others, for parts of a program
//! that want names of their own.
//!
//! A process that ends loses its names **before** its links and monitors are told. So who is told of the end
//! may take the name at once: a supervisor restarts a process under the name that it had.
//!
//! A registry keeps no process running, and never runs code of the user's while it is locked.

use std::any::{Any, type_name};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::holders::Holders;
use super::news::{self, News};
use crate::actor::process::pid::{AtExit, HookId};
use crate::actor::{MonitorRef, Pid, Process, ProcessRef};
use crate::base::panic::discard_panic;
use crate::channel::Receiver;
use crate::kernel::world;

/// Names for processes. Clones are the same registry.
///
/// A process may have several names, a name belongs to one process. One that is to have a name from its first
/// step on is started with it: [`Builder::register`](crate::actor::Builder::register).
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::actor::{Builder, Process, Registry};
///
/// let log = Builder::new().register("log").spawn(async |mut me: Process<String>| {
///     println!("{:?}", me.receive().await.message());
/// })?;
/// Registry::global().register("diary", &log)?;
///
/// // Somewhere else:
/// if let Some(log) = Registry::global().whereis::<String>("log")? {
///     log.send("found by its name".to_owned()).wait()?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Registry(Arc<Handle>);

/// All clones of a registry share this; the last of them takes the hooks of the registry back, because nobody
/// can find anything in it any more.
#[derive(Default)]
struct Handle(Arc<Names>);

/// The tables of a registry. The hooks of its processes share them.
#[derive(Default)]
struct Names(RwLock<Tables>);

/// Two views of the same entries.
#[derive(Default)]
struct Tables {
    /// The process of each name.
    entries: BTreeMap<Arc<str>, Entry>,
    /// The names of each process that has any.
    holders: Holders<Arc<str>>,
    /// The changes for those who watch.
    news: News<NameChange>,
}

/// The process that has a name.
struct Entry {
    pid: Pid,
    /// A `ProcessRef<M>`, whatever `M` is.
    reference: Box<dyn Any + Send + Sync>,
    /// The name of the type `M`.
    message: &'static str,
    /// The value that was registered with the name.
    value: Option<Value>,
}

/// A value that stands beside a name.
type Value = Arc<dyn Any + Send + Sync>;

/// A change of a registry; see [`Registry::watch`].
///
/// # Examples
/// ```
/// use twoply::actor::{self, NameChange, Process, Registry};
/// use twoply::Wait;
///
/// let registry = Registry::new();
/// let (_, changes) = registry.watch();
/// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
/// registry.register("clerk", &process)?;
/// assert_eq!(changes.recv().wait()?, NameChange::Registered("clerk".into(), process.pid()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameChange {
    /// The process has got the name.
    Registered(Arc<str>, Pid),
    /// The name is free: it was taken from the process, or that has ended.
    Unregistered(Arc<str>, Pid),
}

impl Registry {
    /// Returns a registry without names, for a part of a program that wants names of its own.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{Builder, Process, Registry};
    ///
    /// let registry = Registry::new();
    /// let body = async |mut me: Process<()>| drop(me.receive().await);
    /// let process = Builder::new().register_in(&registry, "mine").spawn(body)?;
    /// assert_eq!(registry.whereis_pid("mine"), Some(process.pid()));
    /// assert_eq!(Registry::global().whereis_pid("mine"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Returns the registry of the whole program, or of the calling task's [world](crate::world::Globals)
    /// where that has one. All values that this returns are the same registry.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::Registry;
    ///
    /// assert_eq!(Registry::global().whereis_pid("nobody has this name"), None);
    /// ```
    pub fn global() -> Registry {
        static GLOBAL: OnceLock<Registry> = OnceLock::new();
        world::global(&GLOBAL)
    }

    /// Gives `process` a name, until it ends or [`unregister`](Registry::unregister) takes the name from it.
    ///
    /// # Errors
    /// [`Taken`](RegisterError::Taken) when a process has the name, also if it is the same process;
    /// [`NoProcess`](RegisterError::NoProcess) when the process has ended or runs on another node.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Process, RegisterError, Registry};
    ///
    /// let registry = Registry::new();
    /// let process = actor::spawn(async |mut me: Process<()>| drop(me.receive().await))?;
    /// registry.register("clerk", &process)?;
    /// let taken = registry.register("clerk", &process);
    /// assert_eq!(taken, Err(RegisterError::Taken("clerk".into(), process.pid())));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register<M: Send + 'static>(
        &self,
        name: impl Into<Arc<str>>,
        process: &ProcessRef<M>,
    ) -> Result<(), RegisterError> {
        self.enter(name.into(), process, None)
    }

    /// As [`Registry::register`], with a value that stands beside the name: what others should know of the
    /// process before they send it anything. It is as in Elixir's `Registry`.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Process, Registry};
    ///
    /// let registry = Registry::new();
    /// let process = actor::spawn(async |mut me: Process<()>| drop(me.receive().await))?;
    /// registry.register_with("printer", &process, ["A4", "A3"])?;
    /// assert_eq!(*registry.value::<[&str; 2]>("printer").unwrap(), ["A4", "A3"]);
    /// assert!(registry.set_value("printer", ["A4", "A5"]));
    /// assert_eq!(registry.value::<[&str; 2]>("printer").unwrap()[1], "A5");
    /// assert_eq!(registry.value::<u8>("printer"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register_with<M: Send + 'static, V: Send + Sync + 'static>(
        &self,
        name: impl Into<Arc<str>>,
        process: &ProcessRef<M>,
        value: V,
    ) -> Result<(), RegisterError> {
        self.enter(name.into(), process, Some(Arc::new(value)))
    }

    fn enter<M: Send + 'static>(
        &self,
        name: Arc<str>,
        process: &ProcessRef<M>,
        value: Option<Value>,
    ) -> Result<(), RegisterError> {
        let pid = process.pid();
        let reference = Box::new(process.clone());
        let entry = Entry { pid: pid.clone(), reference, message: type_name::<M>(), value };
        let hook = || Arc::clone(&self.0.0) as Arc<dyn AtExit>;
        let mut tables = self.write();
        let owner = tables.entries.get(&name).map(|taken| taken.pid.clone());
        let refused = match owner {
            Some(owner) => RegisterError::Taken(name, owner),
            None if tables.holders.add(&pid, Arc::clone(&name), hook) => {
                tables.entries.insert(Arc::clone(&name), entry);
                tables.news.push(|| NameChange::Registered(name, pid));
                drop(tables);
                self.0.0.tell();
                return Ok(());
            }
            None => RegisterError::NoProcess(pid),
        };
        // The last reference to a process may drop its messages, which are the user's.
        drop(tables);
        drop(entry);
        Err(refused)
    }

    /// Takes a name from its process. Returns the process, or `None` if the name was free.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Process, Registry};
    ///
    /// let registry = Registry::new();
    /// let process = actor::spawn(async |mut me: Process<()>| drop(me.receive().await))?;
    /// registry.register("clerk", &process)?;
    /// assert_eq!(registry.unregister("clerk"), Some(process.pid()));
    /// assert_eq!(registry.unregister("clerk"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unregister(&self, name: &str) -> Option<Pid> {
        self.unregister_if(name, |_| true)
    }

    /// Takes a name from its process if that `is_meant`.
    pub(in crate::actor) fn unregister_if(
        &self,
        name: &str,
        is_meant: impl FnOnce(&Pid) -> bool,
    ) -> Option<Pid> {
        let mut tables = self.write();
        tables.entries.get(name).filter(|entry| is_meant(&entry.pid))?;
        let (name, entry) = tables.entries.remove_entry(name)?;
        tables.holders.remove(&entry.pid, &name);
        tables.news.push(|| NameChange::Unregistered(name, entry.pid.clone()));
        drop(tables);
        self.0.0.tell();
        // The rest of the entry is dropped here, as in `enter`.
        Some(entry.pid)
    }

    /// Returns the value beside a name; `None` where there is none of this type.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Process, Registry};
    ///
    /// let registry = Registry::new();
    /// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// registry.register_with("clerk", &process, 3_u32)?;
    /// assert_eq!(registry.value::<u32>("clerk").as_deref(), Some(&3));
    /// assert_eq!(registry.value::<String>("clerk"), None, "it is no text");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn value<V: Send + Sync + 'static>(&self, name: &str) -> Option<Arc<V>> {
        let value = self.read().entries.get(name)?.value.clone()?;
        value.downcast().ok()
    }

    /// Puts another value beside a name. Returns whether somebody has the name. [`Registry::register_with`]
    /// has an example.
    pub fn set_value<V: Send + Sync + 'static>(&self, name: &str, value: V) -> bool {
        let value: Value = Arc::new(value);
        let mut tables = self.write();
        let Some(entry) = tables.entries.get_mut(name) else {
            drop(tables);
            drop(value);
            return false;
        };
        let before = entry.value.replace(value);
        drop(tables);
        drop(before);
        true
    }

    /// Returns all names that are taken, in alphabetical order, with their processes, and a channel of all
    /// changes from then on, in their order. Nothing is lost between the two.
    ///
    /// The channel is unbounded; dropping its receiver ends the watch. It may be
    /// [attached](crate::actor::Context::attach) to an actor.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, NameChange, Process, Registry}};
    ///
    /// let registry = Registry::new();
    /// let (names, changes) = registry.watch();
    /// assert!(names.is_empty());
    /// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// registry.register("clerk", &process)?;
    /// process.send(1).wait()?; // It ends.
    /// let (name, pid) = ("clerk".into(), process.pid());
    /// assert_eq!(changes.recv().wait()?, NameChange::Registered(name, pid));
    /// assert!(matches!(changes.recv().wait()?, NameChange::Unregistered(..)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn watch(&self) -> (Vec<(Arc<str>, Pid)>, Receiver<NameChange>) {
        let mut tables = self.write();
        let names = tables.names();
        let (news, stale) = tables.news.watch();
        drop(tables);
        drop(stale);
        (names, news)
    }

    /// Returns the process with this name, which takes messages of type `M`; `None` if nobody has the name.
    ///
    /// The process may end at any moment; sending to it then fails.
    ///
    /// # Errors
    /// When the process takes messages of another type.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Process, Registry};
    ///
    /// let registry = Registry::new();
    /// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// registry.register("clerk", &process)?;
    /// assert_eq!(registry.whereis("clerk")?, Some(process));
    /// assert!(registry.whereis::<String>("clerk").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn whereis<M: Send + 'static>(&self, name: &str) -> Result<Option<ProcessRef<M>>, WrongTypeError> {
        let tables = self.read();
        let Some(entry) = tables.entries.get(name) else { return Ok(None) };
        match entry.reference.downcast_ref::<ProcessRef<M>>() {
            Some(process) => Ok(Some(process.clone())),
            None => Err(WrongTypeError { expected: type_name::<M>(), found: entry.message }),
        }
    }

    /// Returns the process with this name, whatever messages it takes; `None` if nobody has the name.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Process, Registry};
    ///
    /// let registry = Registry::new();
    /// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// registry.register("clerk", &process)?;
    /// assert_eq!(registry.whereis_pid("clerk"), Some(process.pid()));
    /// assert_eq!(registry.whereis_pid("nobody"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn whereis_pid(&self, name: &str) -> Option<Pid> {
        self.read().entries.get(name).map(|entry| entry.pid.clone())
    }

    /// Returns all names that are taken, in alphabetical order, with their processes.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Process, Registry};
    ///
    /// let registry = Registry::new();
    /// let process = actor::spawn(async |mut me: Process<()>| drop(me.receive().await))?;
    /// registry.register("second", &process)?;
    /// registry.register("first", &process)?;
    /// let names: Vec<_> = registry.registered().into_iter().map(|(name, _)| name).collect();
    /// assert_eq!(names, ["first".into(), "second".into()]);
    /// assert_eq!(registry.names_of(&process.pid()), ["second".into(), "first".into()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn registered(&self) -> Vec<(Arc<str>, Pid)> {
        self.read().names()
    }

    /// Returns the names of a process, in the order in which it got them.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Process, Registry};
    ///
    /// let registry = Registry::new();
    /// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// registry.register("clerk", &process)?;
    /// assert_eq!(registry.names_of(&process.pid()), ["clerk".into()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn names_of(&self, process: &Pid) -> Vec<Arc<str>> {
        self.read().holders.keys_of(process).to_vec()
    }

    /// As `sync::lock_std`: poison means nothing here, because only our own code runs under the lock.
    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.0.0.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.0.0.write()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.registered()).finish()
    }
}

impl Tables {
    fn names(&self) -> Vec<(Arc<str>, Pid)> {
        self.entries.iter().map(|(name, entry)| (Arc::clone(name), entry.pid.clone())).collect()
    }
}

impl Names {
    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the changes to those who watch.
    fn tell(&self) {
        news::tell(|begun| self.write().news.next(begun));
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let tables = std::mem::take(&mut *self.0.write());
        tables.holders.forget_all();
        discard_panic(|| drop(tables));
    }
}

impl AtExit for Names {
    fn ended(&self, pid: &Pid, hook: HookId) {
        let mut tables = self.write();
        let names = tables.holders.end(pid, hook);
        let mut removed = Vec::with_capacity(names.len());
        for name in names {
            removed.push(tables.entries.remove(&name));
            tables.news.push(|| NameChange::Unregistered(name, pid.clone()));
        }
        drop(tables);
        discard_panic(|| drop(removed));
        self.tell();
    }
}

/// Monitors of processes by their names.
impl<M: Send + 'static> Process<M> {
    /// Has this process told of the end of the process that has `name` now in the [global
    /// registry](Registry::global). The [`Down`](crate::actor::Down) carries the name. If nobody has the
    /// name, it comes at once, with [`NoProcess`](crate::actor::ExitReason::NoProcess).
    ///
    /// The monitor is of the process, as in Erlang: it stays when the name is given to another one.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Event, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| {
    ///     me.monitor_name("the missing one");
    ///     let Event::Down(down) = me.receive().wait() else { panic!("nothing else comes") };
    ///     assert_eq!(down.name.as_deref(), Some("the missing one"));
    ///     assert_eq!(down.reason, ExitReason::NoProcess);
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn monitor_name(&self, name: impl Into<Arc<str>>) -> MonitorRef {
        self.monitor_name_in(&Registry::global(), name)
    }

    /// As [`Process::monitor_name`], in `registry`.
    pub fn monitor_name_in(&self, registry: &Registry, name: impl Into<Arc<str>>) -> MonitorRef {
        let name = name.into();
        let process = registry.whereis_pid(&name).unwrap_or_else(Pid::nobody);
        self.start_monitor(&process, Some(name))
    }
}

/// The error of giving a process a name.
///
/// # Examples
/// ```
/// use twoply::actor::{self, Process, RegisterError, Registry};
///
/// let registry = Registry::new();
/// let spawn = || actor::spawn(async |mut me: Process<u8>| drop(me.receive().await));
/// let (first, second) = (spawn()?, spawn()?);
/// registry.register("clerk", &first)?;
/// let error = registry.register("clerk", &second).unwrap_err();
/// assert_eq!(error, RegisterError::Taken("clerk".into(), first.pid()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The process that is named here has the name already.
    #[error("the name {0} is taken by {1}")]
    Taken(Arc<str>, Pid),
    /// The process has ended, or runs on another node.
    #[error("the process {0} does not run here")]
    NoProcess(Pid),
}

/// The error of looking for a process or a group by a type of messages which is not that of the name's
/// bearer.
///
/// # Examples
/// ```
/// use twoply::actor::{self, Process, Registry};
///
/// let registry = Registry::new();
/// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
/// registry.register("clerk", &process)?;
/// let error = registry.whereis::<String>("clerk").unwrap_err();
/// assert_eq!((error.found, error.expected), ("u8", "alloc::string::String"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process takes messages of type {found}, not {expected}")]
#[non_exhaustive]
pub struct WrongTypeError {
    /// The name of the type that was asked for.
    pub expected: &'static str,
    /// The name of the type that the process takes.
    pub found: &'static str,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::actor::Overflow;
    use crate::actor::process::cell::{Cell, Extra};
    use crate::kernel::task::ExitReason;

    fn process() -> ProcessRef<u32> {
        ProcessRef::new(Cell::new(1, Overflow::Wait, false, Extra::none()))
    }

    #[test]
    fn a_process_keeps_nothing_of_the_names_that_it_has_no_more() {
        let (registry, process) = (Registry::new(), process());
        let names = &registry.0.0;
        for round in 0..3 {
            registry.register("first", &process).unwrap();
            registry.register("second", &process).unwrap();
            assert_eq!(Arc::strong_count(names), 2, "round {round}: one hook, whatever the number of names");
            assert_eq!(registry.unregister("first"), Some(process.pid()));
            assert_eq!(Arc::strong_count(names), 2);
            assert_eq!(registry.unregister("second"), Some(process.pid()));
            assert_eq!(Arc::strong_count(names), 1);
        }
        registry.register("last", &process).unwrap();
        process.cell().end(ExitReason::Normal);
        assert_eq!((Arc::strong_count(names), registry.registered().len()), (1, 0));
        assert_eq!(registry.register("late", &process), Err(RegisterError::NoProcess(process.pid())));
    }

    #[test]
    fn a_name_is_taken_only_from_the_process_that_is_meant() {
        let (registry, first, next) = (Registry::new(), process(), process());
        registry.register("name", &first).unwrap();
        first.cell().end(ExitReason::Normal);
        registry.register("name", &next).unwrap();
        assert_eq!(registry.unregister_if("name", |holder| *holder == first.pid()), None);
        assert_eq!(registry.whereis_pid("name"), Some(next.pid()));
        assert_eq!(registry.unregister_if("name", |holder| *holder == next.pid()), Some(next.pid()));
        assert_eq!(registry.whereis_pid("name"), None);
    }

    #[test]
    fn a_process_keeps_nothing_of_a_registry_that_is_gone() {
        let (registry, process) = (Registry::new(), process());
        registry.register("name", &process).unwrap();
        let names = Arc::downgrade(&registry.0.0);
        let clone = registry.clone();
        drop(registry);
        assert_eq!(clone.names_of(&process.pid()), ["name".into()]);
        drop(clone);
        assert_eq!(names.strong_count(), 0);
    }
}
