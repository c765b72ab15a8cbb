//! [`Pg`]: a member of the overlay of Erlang's `pg`, by which the nodes of a scope know each other's groups.
//!
//! A process of the scope's name tells those of other nodes who has joined and left, and is told by them.
//! OTP's looks for visible nodes only, and answers whoever finds it: so this one speaks first, whenever a
//! node is connected.

mod scope;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use twoply_core::actor::{ExitReason, Group, Membership, Pid, ProcessRef, SpawnProcessError};

use self::scope::Inward;
use crate::Node;
use crate::local::{RegisterError, Typed};
use crate::node::{Remote, Route, Shared};
use crate::wire::{Atom, FromTerm, Term, ToTerm};

/// A scope of process groups that spans nodes, as `pg:start_link(Scope)` starts one. When the last clone is
/// dropped it leaves the others, which forget its members.
///
/// Changes, here and elsewhere, are known a moment later. The members of a node that is lost go with it,
/// until it is connected again; a scope never connects nodes by itself, as Erlang's may. A scope that is
/// started on a connected node of Erlang's is found within 5 seconds, and sooner where the node has just been
/// connected.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::actor::{self, Group, Process};
/// use twoply::node::{Node, wire::Term};
///
/// let shop = Node::builder("shop@localhost").cookie("secret").without_epmd().start().wait()?;
/// let till = Node::builder("till@localhost").cookie("secret").without_epmd().start().wait()?;
/// let (here, there) = (shop.pg("shops")?, till.pg("shops")?);
/// till.add_peer(shop.name(), shop.local_addr());
/// till.connect(shop.name()).wait()?;
///
/// // Whoever is in the group here is in pg's group of that name, on all nodes.
/// let readers = Group::<String>::new();
/// here.share(Term::atom("readers"), &readers);
/// let (heard, hears) = std::sync::mpsc::channel();
/// readers.join(&actor::spawn(async move |mut me: Process<String>| {
///     let _ = heard.send(me.receive().await.message());
/// })?);
///
/// while there.members::<String>(&Term::atom("readers")).is_empty() {
///     twoply::time::sleep(std::time::Duration::from_millis(1)).wait();
/// }
/// there.members(&Term::atom("readers"))[0].send("tea is ready".to_owned()).wait()?;
/// assert_eq!(hears.recv()?, Some("tea is ready".to_owned()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Pg(Arc<Handle>);

/// The part that all clones share. The tasks of the scope do not.
struct Handle {
    shared: Arc<Shared>,
    process: ProcessRef<Inward>,
    members: Arc<Members>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.process.pid().exit(ExitReason::Kill);
    }
}

/// The members of the groups, as far as they are known here.
#[derive(Default)]
struct Members(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Those of this node.
    here: Groups,
    /// Those of other nodes, by the process of the scope there.
    there: BTreeMap<Pid, Groups>,
}

/// The memberships that one node may tell: what a peer invents is bounded.
const MAX_MEMBERS: usize = 1 << 20;

/// The members of the groups that have any, as one node tells them.
#[derive(Default)]
struct Groups {
    /// The number of times that each member has joined, which counts in Erlang.
    members: BTreeMap<Term, BTreeMap<Pid, usize>>,
    /// The number of memberships in all groups.
    len: usize,
}

impl Groups {
    /// Adds members to a group, as far as there may be as many.
    fn add(&mut self, group: &Term, members: Vec<Pid>) {
        for member in members.into_iter().take(MAX_MEMBERS - self.len) {
            self.len += 1;
            *self.members.entry(group.clone()).or_default().entry(member).or_default() += 1;
        }
    }

    /// Takes a member out of a group, once.
    fn take(&mut self, group: &Term, member: &Pid) {
        let Some(members) = self.members.get_mut(group) else { return };
        let Some(times) = members.get_mut(member) else { return };
        self.len -= 1;
        *times -= 1;
        if *times == 0 {
            members.remove(member);
        }
        if members.is_empty() {
            self.members.remove(group);
        }
    }

    /// Returns the members of each group.
    fn all(&self) -> Vec<(Term, Vec<Pid>)> {
        self.members
            .iter()
            .map(|(group, members)| (group.clone(), members.keys().cloned().collect()))
            .collect()
    }
}

impl Members {
    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing panics under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reasons for which a scope cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PgError {
    /// The name of the scope is that of a process that others know.
    #[error("the scope: {0}")]
    Name(#[from] RegisterError),
    /// No process can be started.
    #[error("{0}")]
    Spawn(#[from] SpawnProcessError),
}

impl Node {
    /// Starts the scope `name`, as `pg:start_link(Name)` does: the nodes that have it, of Erlang's, of
    /// Elixir's and of this library, know each other's groups. Erlang's own is `pg`.
    ///
    /// # Errors
    /// When a process is registered under that name, as that of a scope is, and when no process can be
    /// started.
    ///
    /// # Panics
    /// When `name` has more than 255 characters.
    pub fn pg(&self, name: &str) -> Result<Pg, PgError> {
        let atom = Atom::new(name).unwrap_or_else(|error| panic!("{error}"));
        let (shared, members) = (Arc::clone(self.shared()), Arc::<Members>::default());
        let process = scope::start(&shared, atom, &members)?;
        let pg = Pg(Arc::new(Handle { shared, process, members }));
        self.register(name, &pg.0.process)?;
        // Before the nodes that there are by now, so that none is missed.
        let events = self.events();
        pg.0.tell(Inward::Again);
        drop(pg.0.shared.spawner.spawn(scope::greet(Arc::clone(&pg.0.shared), pg.0.process.clone(), events)));
        Ok(pg)
    }
}

impl Handle {
    /// Has the process of the scope do something, unless it has ended with the node.
    fn tell(&self, what: Inward) {
        // Its mailbox has no limit.
        let _ = self.process.try_send(what);
    }
}

impl Pg {
    /// Has all who are in `group`, now or later, be in the group `name` of this scope, until the scope has
    /// ended. Members can be written to by all nodes, as by [`Node::expose`].
    pub fn share<M>(&self, name: Term, group: &Group<M>)
    where
        M: for<'a> FromTerm<'a> + Send + 'static,
    {
        let (members, changes) = group.watch();
        let (shared, process) = (Arc::clone(&self.0.shared), self.0.process.clone());
        let left = name.clone();
        let join = move |member: ProcessRef<M>| {
            let pid = member.pid();
            // One that has ended leaves right after this.
            let inlet = Typed::new(member, shared.spawner.clone());
            let _ = shared.locals.expose(&pid, Arc::new(inlet), None);
            Inward::Joined(name.clone(), pid)
        };
        members.into_iter().for_each(|member| self.0.tell(join(member)));
        // It is found by its name for as long as it is shared.
        let group = group.clone();
        let follow = async move {
            loop {
                let change = twoply_core::select! {
                    await;
                    change = changes.recv() => change,
                    _ = process.ended() => return,
                };
                let change = match change {
                    Ok(Membership::Joined(member)) => join(member),
                    Ok(Membership::Left(pid)) => Inward::Left(left.clone(), pid),
                    Err(_) => return drop(group),
                };
                let _ = process.try_send(change);
            }
        };
        drop(self.0.shared.spawner.spawn(follow));
    }

    /// Returns the members of a group on all nodes, those of this one first, each once. Members here that
    /// take no `M` are left out; of those elsewhere nobody knows what they take.
    pub fn members<M: ToTerm + Send + 'static>(&self, name: &Term) -> Vec<ProcessRef<M>> {
        self.pids(name).iter().filter_map(|pid| self.0.process(pid)).collect()
    }

    /// Returns the pids of the members of a group on all nodes, those of this one first, each once.
    pub fn pids(&self, name: &Term) -> Vec<Pid> {
        let known = self.0.members.lock();
        let groups = std::iter::once(&known.here).chain(known.there.values());
        groups.filter_map(|groups| groups.members.get(name)).flat_map(BTreeMap::keys).cloned().collect()
    }

    /// Returns the names of the groups that have members, on any node.
    pub fn groups(&self) -> Vec<Term> {
        let known = self.0.members.lock();
        let groups = std::iter::once(&known.here).chain(known.there.values());
        let names: BTreeSet<&Term> = groups.flat_map(|groups| groups.members.keys()).collect();
        names.into_iter().cloned().collect()
    }
}

impl Handle {
    fn process<M: ToTerm + Send + 'static>(&self, pid: &Pid) -> Option<ProcessRef<M>> {
        let shared = &self.shared;
        if pid.is_local() {
            return shared.locals.inlet(pid.serial())?.process().downcast_ref().cloned();
        }
        let pid = shared.wire_pid(pid);
        Some(Remote(Route::Node(Arc::clone(shared), Arc::from(&*pid.node))).process_of(&pid))
    }
}

impl fmt::Debug for Pg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pg").field("groups", &self.groups()).finish()
    }
}
