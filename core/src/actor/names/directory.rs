//! Processes that are found by a key, many behind one, each with a value: [`Directory`].
//!
//! The counterpart of Elixir's `Registry` with duplicate keys. An entry is of one process; a process that
//! ends loses its entries **before** its links and monitors are told. A directory keeps no process running,
//! and runs no code of the user's while it is locked: keys are texts, values are shared and never cloned.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use super::holders::Holders;
use super::news::{self, News};
use super::registry::RegisterError;
use crate::actor::process::pid::{AtExit, HookId};
use crate::actor::{Pid, ProcessRef, Published};
use crate::base::panic::discard_panic;
use crate::base::sync::lock_std;
use crate::channel::Receiver;

/// Processes by key: any number behind one, each with a value. Clones are the same directory.
///
/// Each process takes messages of type `M`. A process may have many entries, also behind one key. Where a
/// name is to belong to one process, that is a [`Registry`](crate::actor::Registry); where members have no
/// values, a [`Group`](crate::actor::Group) is enough.
///
/// # Examples
/// ```
/// use twoply::actor::{self, Directory, Process};
///
/// // Who speaks which language, and how well.
/// let speakers = Directory::new();
/// for (language, level) in [("French", 3), ("French", 9), ("Dutch", 5)] {
///     let speaker = actor::spawn(async |mut me: Process<&str>| drop(me.receive().await))?;
///     speakers.register(language, &speaker, level)?;
/// }
/// let best = speakers.lookup("French").into_iter().max_by_key(|speaker| *speaker.value()).unwrap();
/// assert_eq!(*best.value(), 9);
/// best.process().try_send("bonjour")?;
/// assert_eq!(speakers.keys(), ["Dutch".into(), "French".into()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Directory<M: Send + 'static, V: Send + Sync + 'static = ()>(Arc<Handle<M, V>>);

/// All clones of a directory share this; the last of them takes the hooks back.
struct Handle<M: Send + 'static, V: Send + Sync + 'static>(Arc<Entries<M, V>>);

/// The entries of a directory. The hooks of its processes share them.
struct Entries<M: Send + 'static, V: Send + Sync + 'static>(Mutex<Tables<M, V>>);

/// Two views of the same entries.
struct Tables<M: Send + 'static, V: Send + Sync + 'static> {
    /// The entries behind each key that has any, in the order in which they were made.
    keys: BTreeMap<Arc<str>, BTreeMap<u64, DirectoryEntry<M, V>>>,
    /// The entries of each process that has any.
    holders: Holders<(Arc<str>, u64)>,
    /// The number of the next entry.
    next: u64,
    /// The number of entries.
    len: usize,
    /// The changes for those who watch.
    news: News<DirectoryChange<M, V>>,
}

/// An entry of a [`Directory`]: a process behind a key, with a value.
///
/// # Examples
/// ```
/// use twoply::actor::{self, Directory, Process};
///
/// let directory = Directory::new();
/// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
/// let entry = directory.register("key", &process, "value")?;
/// assert_eq!((entry.key(), *entry.value()), ("key", "value"));
/// assert_eq!(entry.process().pid(), process.pid());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DirectoryEntry<M: Send + 'static, V: Send + Sync + 'static = ()> {
    key: Arc<str>,
    process: ProcessRef<M>,
    value: Arc<V>,
    /// The number of the entry in its directory, used once.
    number: u64,
}

/// A change of a directory; see [`Directory::watch`].
#[non_exhaustive]
pub enum DirectoryChange<M: Send + 'static, V: Send + Sync + 'static = ()> {
    /// The entry is there.
    Registered(DirectoryEntry<M, V>),
    /// The entry is there no more: it was taken out, or its process has ended.
    Unregistered(DirectoryEntry<M, V>),
}

impl<M: Send + 'static, V: Send + Sync + 'static> Directory<M, V> {
    /// Returns a directory without entries.
    pub fn new() -> Directory<M, V> {
        let tables = Tables {
            keys: BTreeMap::new(),
            holders: Holders::default(),
            next: 0,
            len: 0,
            news: News::default(),
        };
        Directory(Arc::new(Handle(Arc::new(Entries(Mutex::new(tables))))))
    }

    /// Enters `process` behind `key`, with `value`, until it ends or the entry is taken out. Each call makes
    /// another entry, which is returned.
    ///
    /// # Errors
    /// [`NoProcess`](RegisterError::NoProcess) when the process has ended or runs on another node.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Directory, Process};
    ///
    /// let directory = Directory::new();
    /// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// let first = directory.register("key", &process, 'a')?;
    /// let second = directory.register("key", &process, 'b')?;
    /// assert_eq!(directory.lookup("key"), [first.clone(), second]);
    /// assert!(directory.unregister(&first));
    /// assert!(!directory.unregister(&first), "it is there no more");
    /// assert_eq!(directory.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register(
        &self,
        key: impl Into<Arc<str>>,
        process: &ProcessRef<M>,
        value: V,
    ) -> Result<DirectoryEntry<M, V>, RegisterError> {
        let (pid, hook) = (process.pid(), || Arc::clone(&self.0.0) as Arc<dyn AtExit>);
        let (key, process, value) = (key.into(), process.clone(), Arc::new(value));
        let mut entry = DirectoryEntry { key, process, value, number: 0 };
        let mut tables = self.0.0.lock();
        entry.number = tables.next;
        if !tables.holders.add(&pid, entry.id(), hook) {
            drop(tables);
            return Err(RegisterError::NoProcess(pid));
        }
        tables.next += 1;
        tables.len += 1;
        tables.keys.entry(Arc::clone(&entry.key)).or_default().insert(entry.number, entry.clone());
        tables.news.push(|| DirectoryChange::Registered(entry.clone()));
        drop(tables);
        self.0.0.tell();
        Ok(entry)
    }

    /// Takes an entry out. Returns whether it was there.
    pub fn unregister(&self, entry: &DirectoryEntry<M, V>) -> bool {
        let mut tables = self.0.0.lock();
        let removed = tables.remove(&entry.id());
        if removed.is_some() {
            tables.holders.remove(&entry.process.pid(), &entry.id());
        }
        drop(tables);
        self.0.0.tell();
        removed.is_some()
    }

    /// Takes all entries of `process` behind `key` out. Returns the number of those.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Directory, Process};
    ///
    /// let directory = Directory::new();
    /// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// for key in ["one", "two", "two"] {
    ///     directory.register(key, &process, ())?;
    /// }
    /// assert_eq!(directory.unregister_all("two", &process.pid()), 2);
    /// assert_eq!(directory.keys_of(&process.pid()), ["one".into()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unregister_all(&self, key: &str, process: &Pid) -> usize {
        let mut tables = self.0.0.lock();
        let of_key = |(other, _): &&(Arc<str>, u64)| **other == *key;
        let ids: Vec<_> = tables.holders.keys_of(process).iter().filter(of_key).cloned().collect();
        let mut removed = Vec::with_capacity(ids.len());
        for id in &ids {
            tables.holders.remove(process, id);
            removed.push(tables.remove(id));
        }
        drop(tables);
        self.0.0.tell();
        removed.len()
    }

    /// Returns the entries behind `key`, in the order in which they were made.
    ///
    /// ```
    /// use twoply::actor::{self, Directory, Process};
    ///
    /// let directory = Directory::new();
    /// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// directory.register("key", &process, "value")?;
    /// let found = &directory.lookup("key")[0];
    /// assert_eq!((found.key(), *found.value()), ("key", "value"));
    /// assert!(directory.lookup("no such key").is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lookup(&self, key: &str) -> Vec<DirectoryEntry<M, V>> {
        let tables = self.0.0.lock();
        tables.keys.get(key).map(|entries| entries.values().cloned().collect()).unwrap_or_default()
    }

    /// Sends `message` once for each entry behind `key` whose process takes it at once. Returns the number of
    /// those.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Directory, Process};
    ///
    /// let directory = Directory::<&str>::new();
    /// let process = actor::spawn(async |mut me: Process<&str>| drop(me.receive().await))?;
    /// directory.register("key", &process, ())?;
    /// assert_eq!(directory.broadcast("key", &"hello"), 1);
    /// assert_eq!(directory.broadcast("no such key", &"hello"), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn broadcast(&self, key: &str, message: &M) -> usize
    where
        M: Clone,
    {
        self.lookup(key).iter().filter(|entry| entry.process.try_send(message.clone()).is_ok()).count()
    }

    /// Sends `message` as [`broadcast`](Directory::broadcast) does, and says who has missed it because its
    /// mailbox was full.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{Builder, Directory, Process};
    ///
    /// let directory = Directory::<u8>::new();
    /// let deaf = Builder::new().capacity(1);
    /// let deaf = deaf.spawn(async |_: Process<u8>| std::future::pending::<()>().await)?;
    /// directory.register("key", &deaf, ())?;
    /// assert_eq!(directory.try_publish("key", &1).delivered, 1);
    /// assert_eq!(directory.try_publish("key", &2).missed, [deaf.pid()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_publish(&self, key: &str, message: &M) -> Published
    where
        M: Clone,
    {
        let mut published = Published::default();
        published.send_to_all(self.lookup(key).iter().map(|entry| &entry.process), message);
        published
    }

    /// Returns the keys that have entries, in alphabetical order. [`Directory`] has an example.
    pub fn keys(&self) -> Vec<Arc<str>> {
        self.0.0.lock().keys.keys().cloned().collect()
    }

    /// Returns the key of each entry of `process`, in the order in which they were made.
    ///
    /// ```
    /// use twoply::actor::{self, Directory, Process};
    ///
    /// let directory = Directory::new();
    /// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// directory.register("two", &process, ())?;
    /// directory.register("one", &process, ())?;
    /// assert_eq!(directory.keys_of(&process.pid()), ["two".into(), "one".into()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keys_of(&self, process: &Pid) -> Vec<Arc<str>> {
        self.0.0.lock().holders.keys_of(process).iter().map(|(key, _)| Arc::clone(key)).collect()
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.0.0.lock().len
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns all entries, by key, and a channel of all changes from then on, in their order. Nothing is
    /// lost between the two.
    ///
    /// The channel is unbounded; dropping its receiver ends the watch. It may be
    /// [attached](crate::actor::Context::attach) to an actor.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Directory, DirectoryChange, Process}};
    ///
    /// let directory = Directory::new();
    /// let (entries, changes) = directory.watch();
    /// assert!(entries.is_empty());
    /// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// let entry = directory.register("key", &process, "value")?;
    /// process.send(1).wait()?; // It ends, and loses its entries.
    /// assert!(matches!(changes.recv().wait()?, DirectoryChange::Registered(other) if other == entry));
    /// assert!(matches!(changes.recv().wait()?, DirectoryChange::Unregistered(other) if other == entry));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[expect(clippy::type_complexity, reason = "it is a pair of what there is and what will be")]
    pub fn watch(&self) -> (Vec<DirectoryEntry<M, V>>, Receiver<DirectoryChange<M, V>>) {
        let mut tables = self.0.0.lock();
        let entries = tables.keys.values().flat_map(BTreeMap::values).cloned().collect();
        let (news, stale) = tables.news.watch();
        drop(tables);
        drop(stale);
        (entries, news)
    }
}

impl<M: Send + 'static, V: Send + Sync + 'static> Entries<M, V> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Tables<M, V>> {
        lock_std(&self.0)
    }

    /// Tells the changes to those who watch.
    fn tell(&self) {
        news::tell(|begun| self.lock().news.next(begun));
    }
}

impl<M: Send + 'static, V: Send + Sync + 'static> Tables<M, V> {
    /// Takes an entry out of its key. The caller drops it once the lock is free: it may be the last to hold a
    /// process or a value of the user's.
    fn remove(&mut self, (key, number): &(Arc<str>, u64)) -> Option<DirectoryEntry<M, V>> {
        let entries = self.keys.get_mut(key)?;
        let removed = entries.remove(number)?;
        if entries.is_empty() {
            self.keys.remove(key);
        }
        self.len -= 1;
        self.news.push(|| DirectoryChange::Unregistered(removed.clone()));
        Some(removed)
    }
}

impl<M: Send + 'static, V: Send + Sync + 'static> AtExit for Entries<M, V> {
    fn ended(&self, pid: &Pid, hook: HookId) {
        let mut tables = self.lock();
        let ids = tables.holders.end(pid, hook);
        let removed: Vec<_> = ids.iter().map(|id| tables.remove(id)).collect();
        drop(tables);
        discard_panic(|| drop(removed));
        self.tell();
    }
}

impl<M: Send + 'static, V: Send + Sync + 'static> Drop for Handle<M, V> {
    fn drop(&mut self) {
        let mut tables = self.0.lock();
        let holders = std::mem::take(&mut tables.holders);
        let rest = (std::mem::take(&mut tables.keys), std::mem::take(&mut tables.news));
        drop(tables);
        holders.forget_all();
        discard_panic(|| drop((holders, rest)));
    }
}

impl<M: Send + 'static, V: Send + Sync + 'static> DirectoryEntry<M, V> {
    /// Returns the key behind which it is.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the process that was entered.
    pub fn process(&self) -> &ProcessRef<M> {
        &self.process
    }

    /// Returns the value that was entered with it.
    pub fn value(&self) -> &V {
        &self.value
    }

    fn id(&self) -> (Arc<str>, u64) {
        (Arc::clone(&self.key), self.number)
    }
}

impl<M: Send + 'static, V: Send + Sync + 'static> Clone for DirectoryEntry<M, V> {
    fn clone(&self) -> DirectoryEntry<M, V> {
        let (key, process, value) = (Arc::clone(&self.key), self.process.clone(), Arc::clone(&self.value));
        DirectoryEntry { key, process, value, number: self.number }
    }
}

/// Entries are equal if they are the same one; nothing is asked of the value.
impl<M: Send + 'static, V: Send + Sync + 'static> PartialEq for DirectoryEntry<M, V> {
    fn eq(&self, other: &DirectoryEntry<M, V>) -> bool {
        Arc::ptr_eq(&self.value, &other.value) && self.number == other.number && self.key == other.key
    }
}

impl<M: Send + 'static, V: Send + Sync + 'static> Eq for DirectoryEntry<M, V> {}

impl<M: Send + 'static, V: Send + Sync + 'static> fmt::Debug for DirectoryEntry<M, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryEntry").field("key", &self.key).field("process", &self.process).finish()
    }
}

impl<M: Send + 'static, V: Send + Sync + 'static> Clone for DirectoryChange<M, V> {
    fn clone(&self) -> DirectoryChange<M, V> {
        match self {
            DirectoryChange::Registered(entry) => DirectoryChange::Registered(entry.clone()),
            DirectoryChange::Unregistered(entry) => DirectoryChange::Unregistered(entry.clone()),
        }
    }
}

impl<M: Send + 'static, V: Send + Sync + 'static> fmt::Debug for DirectoryChange<M, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DirectoryChange::Registered(entry) => f.debug_tuple("Registered").field(entry).finish(),
            DirectoryChange::Unregistered(entry) => f.debug_tuple("Unregistered").field(entry).finish(),
        }
    }
}

impl<M: Send + 'static, V: Send + Sync + 'static> Default for Directory<M, V> {
    fn default() -> Directory<M, V> {
        Directory::new()
    }
}

impl<M: Send + 'static, V: Send + Sync + 'static> Clone for Directory<M, V> {
    fn clone(&self) -> Directory<M, V> {
        Directory(Arc::clone(&self.0))
    }
}

impl<M: Send + 'static, V: Send + Sync + 'static> fmt::Debug for Directory<M, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Directory").field(&self.keys()).finish()
    }
}
