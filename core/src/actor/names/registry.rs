//! Names for processes: [`Registry`].
//!
//! Whoever knows a name finds the process without having been handed a reference: the counterpart of Erlang's
//! `register/2` and `whereis/1`. There is one registry for the whole program, [`Registry::global`], and
//! [`Registry::new`] makes others, for parts of a program that want names of their own.
//!
//! A process that ends loses its names **before** its links and monitors are told. So who is told of the end
//! may take the name at once: a supervisor restarts a process under the name that it had.
//!
//! A registry keeps no process running, and never runs code of the user's while it is locked. A process is
//! given a hook with its first name and loses it with its last one, under the lock of the registry, which is
//! taken before that of a process and never after it. So a process that ends has either not been entered or
//! waits for the lock to leave.

use std::any::{Any, type_name};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::actor::process::pid::{AtExit, HookId};
use crate::actor::{MonitorRef, Pid, Process, ProcessRef};
use crate::base::panic::discard_panic;
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
    holders: BTreeMap<Pid, Holder>,
}

/// A process that has names.
struct Holder {
    /// Releases the names when the process ends.
    hook: HookId,
    /// The names, at least one, in the order in which the process got them.
    names: Vec<Arc<str>>,
}

/// The process that has a name.
struct Entry {
    pid: Pid,
    /// A `ProcessRef<M>`, whatever `M` is.
    reference: Box<dyn Any + Send + Sync>,
    /// The name of the type `M`.
    message: &'static str,
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
        let (name, pid) = (name.into(), process.pid());
        let entry =
            Entry { pid: pid.clone(), reference: Box::new(process.clone()), message: type_name::<M>() };
        let mut tables = self.write();
        let owner = tables.entries.get(&name).map(|taken| taken.pid.clone());
        let refused = match owner {
            Some(owner) => RegisterError::Taken(name, owner),
            None if tables.add_name(&pid, &name, &self.0.0) => {
                tables.entries.insert(name, entry);
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
        let mut tables = self.write();
        let released = tables.remove_name(name);
        drop(tables);
        // As in `register`.
        released.map(|entry| entry.pid)
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
        let tables = self.read();
        tables.entries.iter().map(|(name, entry)| (Arc::clone(name), entry.pid.clone())).collect()
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
        self.read().holders.get(process).map(|holder| holder.names.clone()).unwrap_or_default()
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
    /// Enters `name` among those of `pid`, which gets a hook with its first name. Returns false when it is
    /// not alive.
    fn add_name(&mut self, pid: &Pid, name: &Arc<str>, names: &Arc<Names>) -> bool {
        match self.holders.get_mut(pid) {
            // Its hook may be about to be called. Then the hook releases this name, too, and nobody has had
            // any use of it.
            Some(holder) if pid.is_alive_here() => holder.names.push(Arc::clone(name)),
            Some(_) => return false,
            None => {
                let Some(hook) = pid.at_exit(Arc::clone(names) as Arc<dyn AtExit>) else { return false };
                self.holders.insert(pid.clone(), Holder { hook, names: vec![Arc::clone(name)] });
            }
        }
        true
    }

    /// Takes `name` from its process. The caller drops what is returned after it has unlocked.
    fn remove_name(&mut self, name: &str) -> Option<Entry> {
        let entry = self.entries.remove(name)?;
        if let Some(holder) = self.holders.get_mut(&entry.pid) {
            holder.names.retain(|other| **other != *name);
            if holder.names.is_empty() {
                entry.pid.forget_hook(holder.hook);
                self.holders.remove(&entry.pid);
            }
        }
        Some(entry)
    }
}

impl Names {
    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let Tables { entries, holders } = std::mem::take(&mut *self.0.write());
        holders.iter().for_each(|(pid, holder)| pid.forget_hook(holder.hook));
        discard_panic(|| drop((entries, holders)));
    }
}

impl AtExit for Names {
    fn ended(&self, pid: &Pid, hook: HookId) {
        let mut tables = self.write();
        if tables.holders.get(pid).is_none_or(|holder| holder.hook != hook) {
            return;
        }
        let names = tables.holders.remove(pid).map(|holder| holder.names).unwrap_or_default();
        let removed: Vec<_> = names.iter().map(|name| tables.entries.remove(name)).collect();
        drop(tables);
        drop(removed);
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
