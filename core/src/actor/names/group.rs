//! Groups of processes that take the same messages: [`Group`], and [`Groups`] where they are found by name.
//!
//! The counterpart of Erlang's `pg`: whoever wants to reach "all that do this" asks the group for its members. It
//! differs in that a process is a member once, however often it joins.
//!
//! A process that ends leaves its groups **before** its links and monitors are told. A group keeps no process running,
//! and never runs code of the user's while it is locked. A member is given a hook when it joins and loses it when it
//! leaves, under the lock of the group, which is taken before that of a process and never after it.

use std::any::{Any, type_name};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::registry::WrongTypeError;
use crate::actor::process::pid::{AtExit, HookId};
use crate::actor::{Pid, ProcessRef};
use crate::base::panic::discard_panic;
use crate::base::sync::lock_std;
use crate::channel::{self, Receiver, Sender};

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
    /// Who is in it.
    members: Arc<Members<M>>,
    /// For a group without a name: that somebody holds it.
    owner: Option<Arc<Owner<M>>>,
}

/// Who is in a group. The hooks of the members share it.
struct Members<M: Send + 'static> {
    /// They, and those who watch.
    state: Mutex<State<M>>,
    /// Where the group is found, if it has a name.
    name: Option<(Weak<Mutex<Named>>, Arc<str>)>,
}

/// What all clones of a group without a name share. When the last one is dropped nobody can find its members any more,
/// and they are let go; but where somebody watches the group, they leave one by one.
struct Owner<M: Send + 'static>(Arc<Members<M>>);

/// What the lock guards.
struct State<M: Send + 'static> {
    /// The members, in the order in which they joined.
    members: BTreeMap<u64, ProcessRef<M>>,
    /// Each member's place in that order, and what will take it out when it ends.
    places: BTreeMap<Pid, (u64, HookId)>,
    /// The next place.
    next: u64,
    /// Who is told of changes. Each change is told to those who watched when it happened.
    watchers: Watchers<M>,
    /// Changes that are still to be told, the oldest first.
    news: VecDeque<(Membership<M>, Watchers<M>)>,
    /// Somebody is telling the news. Others leave theirs to it, so that all watchers see one order.
    telling: bool,
}

/// A list that is replaced as a whole, so that news can keep theirs.
type Watchers<M> = Arc<Vec<Sender<Membership<M>>>>;

/// A change of a group; see [`Group::watch`].
pub enum Membership<M: Send + 'static> {
    /// The process has joined.
    Joined(ProcessRef<M>),
    /// The process has left, or ended.
    Left(Pid),
}

impl<M: Send + 'static> Group<M> {
    /// A group without members and without a name.
    pub fn new() -> Group<M> {
        let members = Arc::new(Members::new(None));
        let owner = Some(Arc::new(Owner(Arc::clone(&members))));
        Group { members, owner }
    }

    /// Makes `process` a member until it leaves or ends. Returns whether it has become one: not if it was one already,
    /// has ended, or runs on another node.
    pub fn join(&self, process: &ProcessRef<M>) -> bool {
        let joined = self.members.enter(process);
        self.members.tell();
        joined
    }

    /// Ends a membership. Returns whether there was one.
    pub fn leave(&self, process: &Pid) -> bool {
        let was_member = self.members.leave(process, None);
        self.members.tell();
        was_member
    }

    /// The members, in the order in which they joined.
    pub fn members(&self) -> Vec<ProcessRef<M>> {
        lock_std(&self.members.state).members.values().cloned().collect()
    }

    /// Whether the process is a member.
    pub fn contains(&self, process: &Pid) -> bool {
        lock_std(&self.members.state).places.contains_key(process)
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        lock_std(&self.members.state).members.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends `message` to every member whose mailbox takes it at once. Returns how many did.
    pub fn broadcast(&self, message: &M) -> usize
    where
        M: Clone,
    {
        self.members().iter().filter(|member| member.try_send(message.clone()).is_ok()).count()
    }

    /// The members, and a channel of all changes from then on, in their order. Nothing is lost between the two.
    ///
    /// The channel is unbounded; dropping its receiver ends the watch.
    pub fn watch(&self) -> (Vec<ProcessRef<M>>, Receiver<Membership<M>>) {
        let (watcher, news) = channel::unbounded();
        let mut state = lock_std(&self.members.state);
        let (gone, mut watchers): (Vec<_>, Vec<_>) =
            state.watchers.iter().cloned().partition(|watcher| watcher.is_closed());
        watchers.push(watcher);
        let before = std::mem::replace(&mut state.watchers, Arc::new(watchers));
        let members = state.members.values().cloned().collect();
        drop(state);
        drop((before, gone));
        (members, news)
    }
}

impl<M: Send + 'static> Members<M> {
    fn new(name: Option<(Weak<Mutex<Named>>, Arc<str>)>) -> Members<M> {
        let state = State {
            members: BTreeMap::new(),
            places: BTreeMap::new(),
            next: 0,
            watchers: Arc::default(),
            news: VecDeque::new(),
            telling: false,
        };
        Members { state: Mutex::new(state), name }
    }

    /// Enters the process among the members; false if it is there or not alive. The caller calls [`Members::tell`].
    fn enter(self: &Arc<Self>, process: &ProcessRef<M>) -> bool {
        let pid = process.pid();
        let mut state = lock_std(&self.state);
        if state.places.contains_key(&pid) {
            return false;
        }
        let Some(hook) = pid.at_exit(Arc::clone(self) as Arc<dyn AtExit>) else { return false };
        let place = state.next;
        state.next += 1;
        state.places.insert(pid, (place, hook));
        state.members.insert(place, process.clone());
        state.note(Membership::Joined(process.clone()));
        true
    }

    /// Takes the process out; false if it is not there, or not by `hook`. The caller calls [`Members::tell`].
    fn leave(&self, pid: &Pid, hook: Option<HookId>) -> bool {
        let mut state = lock_std(&self.state);
        if let (Some(hook), Some((_, own))) = (hook, state.places.get(pid))
            && hook != *own
        {
            return false;
        }
        let Some((place, hook)) = state.places.remove(pid) else { return false };
        // The caller holds these members, so that the hook is not the last to do so.
        pid.forget_hook(hook);
        let member = state.members.remove(&place);
        state.note(Membership::Left(pid.clone()));
        drop(state);
        // The last reference to a process may drop its messages, which are the user's.
        drop(member);
        true
    }

    /// Tells the watchers what is to be told, unless somebody else is at it and will.
    fn tell(&self) {
        let mut state = lock_std(&self.state);
        if state.telling {
            return;
        }
        state.telling = true;
        while let Some((news, watchers)) = state.news.pop_front() {
            drop(state);
            for watcher in watchers.iter() {
                // It wakes somebody, whose waker may panic; and who has gone need not be told.
                discard_panic(|| drop(watcher.try_send(news.clone())));
            }
            // They may be the last to hold a process, whose undelivered messages go to code of the user's.
            discard_panic(|| drop((news, watchers)));
            state = lock_std(&self.state);
        }
        state.telling = false;
    }
}

impl<M: Send + 'static> State<M> {
    fn note(&mut self, news: Membership<M>) {
        if !self.watchers.is_empty() {
            self.news.push_back((news, Arc::clone(&self.watchers)));
        }
    }
}

impl<M: Send + 'static> AtExit for Members<M> {
    fn ended(&self, pid: &Pid, hook: HookId) {
        self.leave(pid, Some(hook));
        self.tell();
    }
}

impl<M: Send + 'static> Drop for Owner<M> {
    fn drop(&mut self) {
        let mut state = lock_std(&self.0.state);
        if !state.watchers.iter().all(Sender::is_closed) {
            return;
        }
        let (members, places) = (std::mem::take(&mut state.members), std::mem::take(&mut state.places));
        drop(state);
        places.iter().for_each(|(pid, (_, hook))| pid.forget_hook(*hook));
        // They may be the last to hold a process; see `leave`.
        discard_panic(|| drop((members, places)));
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
        Group { members: Arc::clone(&self.members), owner: self.owner.clone() }
    }
}

impl<M: Send + 'static> fmt::Debug for Group<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pids: Vec<_> = self.members().iter().map(ProcessRef::pid).collect();
        f.debug_tuple("Group").field(&pids).finish()
    }
}

impl<M: Send + 'static> Membership<M> {
    /// Whom it is about.
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
#[derive(Clone, Default)]
pub struct Groups(Arc<Mutex<Named>>);

/// The groups, by name.
type Named = BTreeMap<Arc<str>, NamedGroup>;

/// A group that has a name.
struct NamedGroup {
    /// Its [`Members`].
    members: Weak<dyn Any + Send + Sync>,
    /// The name of the type of their messages.
    message: &'static str,
}

impl Groups {
    /// A collection without groups.
    pub fn new() -> Groups {
        Groups::default()
    }

    /// The groups of the whole program.
    pub fn global() -> Groups {
        static GLOBAL: OnceLock<Groups> = OnceLock::new();
        GLOBAL.get_or_init(Groups::new).clone()
    }

    /// The group with this name, made when there is none.
    ///
    /// # Errors
    /// When the members of the group with this name take messages of another type.
    pub fn group<M: Send + 'static>(&self, name: impl Into<Arc<str>>) -> Result<Group<M>, WrongTypeError> {
        let name = name.into();
        let mut groups = lock_std(&self.0);
        if let Some(named) = groups.get(&name)
            && let Some(members) = named.members.upgrade()
        {
            let found = named.message;
            drop(groups);
            return match members.downcast::<Members<M>>() {
                Ok(members) => Ok(Group { members, owner: None }),
                Err(_) => Err(WrongTypeError { expected: type_name::<M>(), found }),
            };
        }
        let members = Arc::new(Members::new(Some((Arc::downgrade(&self.0), Arc::clone(&name)))));
        let found: Weak<Members<M>> = Arc::downgrade(&members);
        groups.insert(name, NamedGroup { members: found, message: type_name::<M>() });
        Ok(Group { members, owner: None })
    }

    /// The names of all groups, in alphabetical order.
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
        let process = Cell::new(
            1,
            Overflow::Wait,
            false,
            Extra { name: None, undelivered: None, home: None, proxy: None },
        );
        let process = ProcessRef::<u32>::new(process);
        let group = Group::new();
        assert!(group.join(&process));
        let (clone, members) = (group.clone(), Arc::downgrade(&group.members));
        drop(group);
        assert!(clone.contains(&process.pid()), "somebody holds it");
        drop(clone);
        assert_eq!(members.strong_count(), 0);
        // Somebody who watched it does not matter, somebody who does matters.
        let group = Group::new();
        drop(group.watch());
        assert!(group.join(&process));
        let members = Arc::downgrade(&group.members);
        drop(group);
        assert_eq!(members.strong_count(), 0);
    }
}
