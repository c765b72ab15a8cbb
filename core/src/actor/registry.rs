//! Names for processes: [`Registry`].
//!
//! Whoever knows a name finds the process without having been handed a reference: the counterpart of Erlang's
//! `register/2` and `whereis/1`. There is one registry for the whole program, [`Registry::global`], and
//! [`Registry::new`] makes others, for parts of a program that want names of their own.
//!
//! A process that ends loses its names **before** its links and monitors are told. So who is told of the end may take
//! the name at once: a supervisor restarts a process under the name that it had.
//!
//! A registry keeps no process running, and never runs code of the user's while it is locked.

use std::any::{Any, type_name};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::pid::AtExit;
use super::{Pid, ProcessRef};

/// Names for processes. Clones are the same registry.
///
/// A process may have several names, a name belongs to one process.
///
/// # Examples
/// ```no_run
/// # fn on(backend: std::sync::Arc<dyn twoply_core::backend::Backend>) -> Result<(), Box<dyn std::error::Error>> {
/// use twoply_core::Wait;
/// use twoply_core::actor::{Builder, Process, Registry};
///
/// let log = Builder::new().on(&backend).spawn(async |mut me: Process<String>| {
///     println!("{:?}", me.receive().await.message());
/// })?;
/// Registry::global().register("log", &log)?;
///
/// // Somewhere else:
/// if let Some(log) = Registry::global().whereis::<String>("log")? {
///     log.send("found by its name".to_owned()).wait()?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Registry(Arc<Names>);

/// What a registry holds.
#[derive(Default)]
struct Names(RwLock<Tables>);

/// Two views of the same entries.
#[derive(Default)]
struct Tables {
    /// Who has which name.
    entries: BTreeMap<Arc<str>, Entry>,
    /// Which names a process has. No list is empty.
    names: HashMap<Pid, Vec<Arc<str>>>,
}

/// One name's process.
struct Entry {
    /// The process.
    pid: Pid,
    /// Its reference, a `ProcessRef<M>`.
    reference: Box<dyn Any + Send + Sync>,
    /// The name of the type of its messages.
    message: &'static str,
}

impl Registry {
    /// A registry without names.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// The registry of the whole program.
    pub fn global() -> &'static Registry {
        static GLOBAL: OnceLock<Registry> = OnceLock::new();
        GLOBAL.get_or_init(Registry::new)
    }

    /// Gives `process` a name, until it ends or [`unregister`](Registry::unregister) takes the name from it.
    ///
    /// # Errors
    /// When the name is taken, also if it is by the same process; when the process has ended or runs on another node.
    pub fn register<M: Send + 'static>(
        &self,
        name: impl Into<Arc<str>>,
        process: &ProcessRef<M>,
    ) -> Result<(), RegisterError> {
        let (name, pid) = (name.into(), process.pid());
        let entry =
            Entry { pid: pid.clone(), reference: Box::new(process.clone()), message: type_name::<M>() };
        {
            let mut tables = self.write();
            if let Some(taken) = tables.entries.get(&name) {
                let (owner, unused) = (taken.pid.clone(), entry);
                drop(tables);
                drop(unused);
                return Err(RegisterError::Taken(name, owner));
            }
            tables.names.entry(pid.clone()).or_default().push(Arc::clone(&name));
            tables.entries.insert(Arc::clone(&name), entry);
        }
        // In this order: a process that ends from now on finds the name and releases it.
        let hook: Arc<dyn AtExit> = Arc::clone(&self.0) as _;
        if pid.at_exit(&hook) {
            return Ok(());
        }
        let removed = self.write().remove(&name, &pid);
        drop(removed);
        Err(RegisterError::NoProcess(pid))
    }

    /// Takes a name from its process. Returns the process, or `None` if the name was free.
    pub fn unregister(&self, name: &str) -> Option<Pid> {
        let mut tables = self.write();
        let pid = tables.entries.get(name)?.pid.clone();
        let removed = tables.remove(name, &pid);
        drop(tables);
        // The last reference to a process may drop its messages, which are the user's.
        drop(removed);
        Some(pid)
    }

    /// The process with this name, which takes messages of type `M`; `None` if nobody has the name.
    ///
    /// The process may end at any moment; sending to it then fails.
    ///
    /// # Errors
    /// When the process takes messages of another type.
    pub fn whereis<M: Send + 'static>(&self, name: &str) -> Result<Option<ProcessRef<M>>, WrongType> {
        let tables = self.read();
        let Some(entry) = tables.entries.get(name) else { return Ok(None) };
        match entry.reference.downcast_ref::<ProcessRef<M>>() {
            Some(process) => Ok(Some(process.clone())),
            None => Err(WrongType { expected: type_name::<M>(), found: entry.message }),
        }
    }

    /// The process with this name, whatever it takes; `None` if nobody has the name.
    pub fn whereis_pid(&self, name: &str) -> Option<Pid> {
        self.read().entries.get(name).map(|entry| entry.pid.clone())
    }

    /// All names that are taken, in alphabetical order, with their processes.
    pub fn registered(&self) -> Vec<(Arc<str>, Pid)> {
        let tables = self.read();
        tables.entries.iter().map(|(name, entry)| (Arc::clone(name), entry.pid.clone())).collect()
    }

    /// The names of a process, in the order in which it got them.
    pub fn names_of(&self, process: &Pid) -> Vec<Arc<str>> {
        self.read().names.get(process).cloned().unwrap_or_default()
    }

    /// As [`lock`](crate::lock::lock): poison means nothing here, because only our own code runs under the lock.
    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.0.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.0.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.registered()).finish()
    }
}

impl Tables {
    /// Takes `name` from `pid`, if it has it. The caller drops what is returned after it has unlocked.
    fn remove(&mut self, name: &str, pid: &Pid) -> Option<Entry> {
        if self.entries.get(name)?.pid != *pid {
            return None;
        }
        if let Some(names) = self.names.get_mut(pid) {
            names.retain(|other| **other != *name);
            if names.is_empty() {
                self.names.remove(pid);
            }
        }
        self.entries.remove(name)
    }
}

impl AtExit for Names {
    fn ended(&self, pid: &Pid) {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let names = tables.names.remove(pid).unwrap_or_default();
        let removed: Vec<_> = names.iter().map(|name| tables.entries.remove(name)).collect();
        drop(tables);
        drop(removed);
    }
}

/// Why a process did not get a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// This process has the name.
    #[error("the name {0} is taken by {1}")]
    Taken(Arc<str>, Pid),
    /// The process has ended, or runs on another node.
    #[error("the process {0} does not run here")]
    NoProcess(Pid),
}

/// The process with a name takes messages of another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process takes messages of type {found}, not {expected}")]
#[non_exhaustive]
pub struct WrongType {
    /// The type that was asked for.
    pub expected: &'static str,
    /// The type that the process takes.
    pub found: &'static str,
}
