//! Groups of processes that take the same messages: [`Group`], and [`Groups`] where they are found by name.
//!
//! The counterpart of Erlang's `pg`: whoever wants to reach "all that do this" asks the group for its
//! members. It differs in that a process is a member once, however often it joins.
//!
//! A process that ends leaves its groups **before** its links and monitors are told. A group keeps no process
//! running, and never runs code of the user's while it is locked. A member is given a hook when it joins and
//! loses it when it leaves, under the lock of the group, which is taken before that of a process and never
//! after it.

use std::any::{Any, type_name};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::news::{self, News};
use super::registry::WrongTypeError;
use crate::actor::process::pid::{AtExit, HookId};
use crate::actor::{Pid, ProcessRef, Published};
use crate::base::panic::discard_panic;
use crate::base::sync::lock_std;
use crate::channel::Receiver;
use crate::kernel::world;

/// Processes that take the same messages. Clones are the same group.
///
/// # Examples
/// ```
/// use twoply::actor::{Builder, Group, Process};
///
/// let room = Group::new();
/// for name in ["Ada", "Bob"] {
///     let guest = Builder::new().spawn(async move |mut me: Process<&'static str>| {
///         println!("{name} hears {:?}", me.receive().await.message());
///     })?;
///     room.join(&guest);
/// }
/// assert_eq!(room.broadcast(&"dinner is ready"), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Group<M: Send + 'static> {
    members: Arc<Members<M>>,
    /// `None` if the group has a name: its members can be found by that.
    handle: Option<Arc<Handle<M>>>,
}

/// The members of a group. Their hooks share it.
struct Members<M: Send + 'static> {
    state: Mutex<State<M>>,
    /// The collection that the group is found in and its name there, if it has one.
    name: Option<(Weak<Mutex<Named>>, Arc<str>)>,
}

/// All clones of a group without a name share this. When the last of them is dropped nobody can find the
/// members any more, and they are let go; but where somebody watches the group, they leave one by one.
struct Handle<M: Send + 'static>(Arc<Members<M>>);

/// The part of a group that its lock guards.
struct State<M: Send + 'static> {
    /// The members, in the order in which they joined.
    members: BTreeMap<u64, ProcessRef<M>>,
    /// The key of each member in `members`, and the hook that takes it out when it ends.
    joined: BTreeMap<Pid, (u64, HookId)>,
    /// The next key of `members`.
    next: u64,
    /// The changes for those who watch.
    news: News<Membership<M>>,
}

/// A change of a group; see [`Group::watch`].
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{self, Group, Membership, Process}};
///
/// let group = Group::new();
/// let (_, changes) = group.watch();
/// let member = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
/// group.join(&member);
/// assert!(matches!(changes.recv().wait()?, Membership::Joined(other) if other == member));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub enum Membership<M: Send + 'static> {
    /// The process has joined.
    Joined(ProcessRef<M>),
    /// The process has left, or ended.
    Left(Pid),
}

impl<M: Send + 'static> Group<M> {
    /// Returns a group without members and without a name.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::Group;
    ///
    /// let group = Group::<String>::new();
    /// assert!(group.is_empty());
    /// ```
    pub fn new() -> Group<M> {
        let members = Arc::new(Members::new(None));
        let handle = Some(Arc::new(Handle(Arc::clone(&members))));
        Group { members, handle }
    }

    /// Makes `process` a member until it leaves or ends. Returns whether it has become one: not if it was one
    /// already, has ended, or runs on another node.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Group, Process};
    ///
    /// let group = Group::new();
    /// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// assert!(group.join(&process));
    /// assert!(!group.join(&process), "it is a member already");
    /// assert!(group.leave(&process.pid()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join(&self, process: &ProcessRef<M>) -> bool {
        let joined = self.members.enter(process);
        self.members.notify_watchers();
        joined
    }

    /// Ends the membership of `process`. Returns whether it was a member.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Group, Process};
    ///
    /// let group = Group::new();
    /// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// group.join(&process);
    /// assert!(group.leave(&process.pid()));
    /// assert!(!group.leave(&process.pid()), "it has left");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn leave(&self, process: &Pid) -> bool {
        let was_member = self.members.leave(process, None);
        self.members.notify_watchers();
        was_member
    }

    /// Returns the members, in the order in which they joined.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Group, Process}};
    ///
    /// let group = Group::new();
    /// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// group.join(&process);
    /// assert_eq!(group.members(), [process.clone()]);
    /// process.send(1).wait()?; // It ends, and leaves the group.
    /// process.ended().wait();
    /// assert_eq!(group.len(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn members(&self) -> Vec<ProcessRef<M>> {
        lock_std(&self.members.state).members.values().cloned().collect()
    }

    /// Returns whether the process is a member.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{Group, Pid};
    ///
    /// assert!(!Group::<u8>::new().contains(&Pid::nobody()));
    /// ```
    pub fn contains(&self, process: &Pid) -> bool {
        lock_std(&self.members.state).joined.contains_key(process)
    }

    /// Returns the number of members.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::Group;
    ///
    /// assert_eq!(Group::<u8>::new().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        lock_std(&self.members.state).members.len()
    }

    /// Returns whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends `message` to every member whose mailbox takes it at once. Returns the number of those. A member
    /// whose mailbox is full misses it; [`try_publish`](Group::try_publish) says which ones have, and a
    /// [`Topic`](crate::actor::Topic) waits for such subscribers. [`Group`] has an example.
    pub fn broadcast(&self, message: &M) -> usize
    where
        M: Clone,
    {
        self.members().iter().filter(|member| member.try_send(message.clone()).is_ok()).count()
    }

    /// Sends `message` to every member whose mailbox takes it at once, as [`broadcast`](Group::broadcast)
    /// does, and says who has missed it because that was full.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{Builder, Group, Process};
    ///
    /// let room = Group::new();
    /// let deaf = Builder::new().capacity(1);
    /// let deaf = deaf.spawn(async |_: Process<u8>| std::future::pending::<()>().await)?;
    /// room.join(&deaf);
    /// assert_eq!(room.try_publish(&1).delivered, 1);
    /// assert_eq!(room.try_publish(&2).missed, [deaf.pid()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_publish(&self, message: &M) -> Published
    where
        M: Clone,
    {
        let mut published = Published::default();
        published.send_to_all(&self.members(), message);
        published
    }

    /// Returns the members, and a channel of all changes from then on, in their order. Nothing is lost
    /// between the two.
    ///
    /// The channel is unbounded; dropping its receiver ends the watch.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Group, Membership, Process}};
    ///
    /// let group = Group::new();
    /// let (members, changes) = group.watch();
    /// assert!(members.is_empty());
    /// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// group.join(&process);
    /// assert!(matches!(changes.recv().wait()?, Membership::Joined(joined) if joined == process));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn watch(&self) -> (Vec<ProcessRef<M>>, Receiver<Membership<M>>) {
        let mut state = lock_std(&self.members.state);
        let (news, stale) = state.news.watch();
        let members = state.members.values().cloned().collect();
        drop(state);
        drop(stale);
        (members, news)
    }
}

impl<M: Send + 'static> Members<M> {
    fn new(name: Option<(Weak<Mutex<Named>>, Arc<str>)>) -> Members<M> {
        let state =
            State { members: BTreeMap::new(), joined: BTreeMap::new(), next: 0, news: News::default() };
        Members { state: Mutex::new(state), name }
    }

    /// Enters the process among the members. Returns false if it is there or not alive. The caller calls
    /// [`Members::notify_watchers`].
    fn enter(self: &Arc<Self>, process: &ProcessRef<M>) -> bool {
        let pid = process.pid();
        let mut state = lock_std(&self.state);
        if state.joined.contains_key(&pid) {
            return false;
        }
        let Some(hook) = pid.at_exit(Arc::clone(self) as Arc<dyn AtExit>) else { return false };
        let number = state.next;
        state.next += 1;
        state.joined.insert(pid, (number, hook));
        state.members.insert(number, process.clone());
        state.news.push(|| Membership::Joined(process.clone()));
        true
    }

    /// Takes the process out. Returns false if it is not there, or not by `hook`. The caller calls
    /// [`Members::notify_watchers`].
    fn leave(&self, pid: &Pid, hook: Option<HookId>) -> bool {
        let mut state = lock_std(&self.state);
        if let (Some(hook), Some((_, own))) = (hook, state.joined.get(pid))
            && hook != *own
        {
            return false;
        }
        let Some((number, hook)) = state.joined.remove(pid) else { return false };
        // The caller holds these members, so that the hook is not the last to do so.
        pid.forget_hook(hook);
        let member = state.members.remove(&number);
        state.news.push(|| Membership::Left(pid.clone()));
        drop(state);
        // The last reference to a process may drop its messages, which are the user's.
        drop(member);
        true
    }

    /// Sends the changes to the watchers, unless another thread is at it and will.
    fn notify_watchers(&self) {
        news::tell(|begun| lock_std(&self.state).news.next(begun));
    }
}

impl<M: Send + 'static> AtExit for Members<M> {
    fn ended(&self, pid: &Pid, hook: HookId) {
        self.leave(pid, Some(hook));
        self.notify_watchers();
    }
}

impl<M: Send + 'static> Drop for Handle<M> {
    fn drop(&mut self) {
        let mut state = lock_std(&self.0.state);
        if state.news.is_watched() {
            return;
        }
        let (members, joined) = (std::mem::take(&mut state.members), std::mem::take(&mut state.joined));
        drop(state);
        joined.iter().for_each(|(pid, (_, hook))| pid.forget_hook(*hook));
        // These may be the last references to a process; see `leave`.
        discard_panic(|| drop((members, joined)));
    }
}

impl<M: Send + 'static> Drop for Members<M> {
    fn drop(&mut self) {
        let Some((groups, name)) = &self.name else { return };
        let Some(groups) = groups.upgrade() else { return };
        let mut groups = lock_std(&groups);
        // Another group may have the name by now.
        if groups.get(name).is_some_and(|named| named.members.strong_count() == 0) {
            groups.remove(name);
        }
    }
}

impl<M: Send + 'static> Default for Group<M> {
    fn default() -> Group<M> {
        Group::new()
    }
}

impl<M: Send + 'static> Clone for Group<M> {
    fn clone(&self) -> Group<M> {
        Group { members: Arc::clone(&self.members), handle: self.handle.clone() }
    }
}

impl<M: Send + 'static> fmt::Debug for Group<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pids: Vec<_> = self.members().iter().map(ProcessRef::pid).collect();
        f.debug_tuple("Group").field(&pids).finish()
    }
}

impl<M: Send + 'static> Membership<M> {
    /// Returns the process that has joined or left.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Group, Process}};
    ///
    /// let group = Group::new();
    /// let (_, changes) = group.watch();
    /// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// group.join(&process);
    /// assert_eq!(changes.recv().wait()?.pid(), process.pid());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pid(&self) -> Pid {
        match self {
            Membership::Joined(process) => process.pid(),
            Membership::Left(pid) => pid.clone(),
        }
    }
}

impl<M: Send + 'static> Clone for Membership<M> {
    fn clone(&self) -> Membership<M> {
        match self {
            Membership::Joined(process) => Membership::Joined(process.clone()),
            Membership::Left(pid) => Membership::Left(pid.clone()),
        }
    }
}

impl<M: Send + 'static> fmt::Debug for Membership<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (change, pid) = match self {
            Membership::Joined(process) => ("Joined", process.pid()),
            Membership::Left(pid) => ("Left", pid.clone()),
        };
        f.debug_tuple(change).field(&pid).finish()
    }
}

/// Groups that are found by name. Clones are the same collection.
///
/// A group is in it for as long as it has members or somebody holds it.
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{self, Groups, Process}};
///
/// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
/// Groups::global().group("readers")?.join(&process);
///
/// // Somewhere else:
/// let sent = Groups::global().group::<u8>("readers")?.broadcast(&7);
/// assert_eq!(sent, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Groups(Arc<Mutex<Named>>);

/// The groups of a collection, by name.
type Named = BTreeMap<Arc<str>, NamedGroup>;

/// A group that has a name.
struct NamedGroup {
    /// A `Members<M>`, whatever `M` is.
    members: Weak<dyn Any + Send + Sync>,
    /// The name of the type `M`.
    message: &'static str,
}

impl Groups {
    /// Returns a collection without groups, for a part of a program that wants names of its own.
    pub fn new() -> Groups {
        Groups::default()
    }

    /// Returns the groups of the whole program, or of the calling task's [world](crate::world::Globals) where
    /// that has some. All values that this returns are the same collection. [`Groups`] has an example.
    pub fn global() -> Groups {
        static GLOBAL: OnceLock<Groups> = OnceLock::new();
        world::global(&GLOBAL)
    }

    /// Returns the group with this name, which is made when there is none.
    ///
    /// # Errors
    /// When the members of the group with this name take messages of another type.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::Groups;
    ///
    /// let groups = Groups::new();
    /// let numbers = groups.group::<u8>("numbers")?;
    /// assert!(groups.group::<String>("numbers").is_err());
    /// assert_eq!(groups.names(), ["numbers".into()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn group<M: Send + 'static>(&self, name: impl Into<Arc<str>>) -> Result<Group<M>, WrongTypeError> {
        let name = name.into();
        let mut groups = lock_std(&self.0);
        if let Some(named) = groups.get(&name)
            && let Some(members) = named.members.upgrade()
        {
            let found = named.message;
            drop(groups);
            return match members.downcast::<Members<M>>() {
                Ok(members) => Ok(Group { members, handle: None }),
                Err(_) => Err(WrongTypeError { expected: type_name::<M>(), found }),
            };
        }
        let members = Arc::new(Members::new(Some((Arc::downgrade(&self.0), Arc::clone(&name)))));
        let found: Weak<Members<M>> = Arc::downgrade(&members);
        groups.insert(name, NamedGroup { members: found, message: type_name::<M>() });
        Ok(Group { members, handle: None })
    }

    /// Returns the names of all groups, in alphabetical order.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::Groups;
    ///
    /// let groups = Groups::new();
    /// let (_second, _first) = (groups.group::<u8>("second")?, groups.group::<String>("first")?);
    /// assert_eq!(groups.names(), ["first".into(), "second".into()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn names(&self) -> Vec<Arc<str>> {
        lock_std(&self.0).keys().cloned().collect()
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Groups").field(&self.names()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::actor::Overflow;
    use crate::actor::process::cell::{Cell, Extra};

    #[test]
    fn a_process_keeps_nothing_of_a_group_that_is_gone() {
        let process = Cell::new(1, Overflow::Wait, false, Extra::none());
        let process = ProcessRef::<u32>::new(process);
        let group = Group::new();
        assert!(group.join(&process));
        let (clone, members) = (group.clone(), Arc::downgrade(&group.members));
        drop(group);
        assert!(clone.contains(&process.pid()), "somebody holds it");
        drop(clone);
        assert_eq!(members.strong_count(), 0);
        // A group that was watched once may be let go; one that is watched may not.
        let group = Group::new();
        drop(group.watch());
        assert!(group.join(&process));
        let members = Arc::downgrade(&group.members);
        drop(group);
        assert_eq!(members.strong_count(), 0);
    }
}
