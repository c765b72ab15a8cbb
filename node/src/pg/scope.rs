//! The process of a scope: what it hears from those of other nodes, and what it tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use twoply_core::actor::{self, Event, ExitReason, MonitorRef, Pid, Process, ProcessRef, SpawnProcessError};
use twoply_core::channel::Receiver;
use twoply_core::time::{now, timeout_at};

use super::{Groups, Members};
use crate::connection::Connection;
use crate::node::{Event as NodeEvent, Shared};
use crate::outbox::Sender;
use crate::question::Way;
use crate::wire::{self, Atom, DecodeError, Decoder, FromTerm, Kind, Target, Term, ToTerm};

/// The messages to the process of a scope.
pub(super) enum Inward {
    Told(Told),
    /// Somebody here has joined a group.
    Joined(Term, Pid),
    Left(Term, Pid),
    /// This node is connected now.
    Up(String),
    /// Nodes that are connected may have the scope by now.
    Again,
}

/// The messages of other nodes.
#[derive(FromTerm)]
#[term(crate = crate)]
pub(super) enum Told {
    Discover(Peer),
    /// The second field is a version, since OTP 28.
    #[term(rename = "discover")]
    #[allow(dead_code, reason = "the version is read to be passed over")]
    DiscoverAs(Peer, Term),
    #[term(cast)]
    Sync(Peer, Vec<(Term, Vec<Pid>)>),
    Join(Peer, Term, Pids),
    Leave(Peer, Pids, Vec<Term>),
}

impl<'a> FromTerm<'a> for Inward {
    fn from_term(input: &mut Decoder<'a>) -> Result<Inward, DecodeError> {
        Told::from_term(input).map(Inward::Told)
    }
}

/// The messages to other nodes. The first field is the process of the scope here.
#[derive(ToTerm)]
#[term(crate = crate)]
enum Tell {
    Discover(Pid),
    #[term(cast)]
    Sync(Pid, Vec<(Term, Vec<Pid>)>),
    Join(Pid, Term, Pid),
    Leave(Pid, Pid, Vec<Term>),
}

/// The process of the scope on another node, and the way that its message has come.
pub(super) struct Peer {
    connection: Arc<Connection>,
    pid: wire::Pid,
    /// The same, by that connection alone: no scope connects nodes, and what it knows of a peer ends with the
    /// connection that has told it.
    there: Pid,
}

impl<'a> FromTerm<'a> for Peer {
    fn from_term(input: &mut Decoder<'a>) -> Result<Peer, DecodeError> {
        let pid = wire::Pid::from_term(input)?;
        let way = input.context::<Way>();
        let way = way.ok_or_else(|| DecodeError::refused("a peer is on another node"))?;
        let connection = Arc::clone(&way.connection);
        let there = connection.only_there(&pid);
        let there = there.ok_or_else(|| DecodeError::refused("a peer speaks for itself"))?;
        Ok(Peer { connection, pid, there })
    }
}

impl Peer {
    /// Tells it something, which never waits: a peer that does not read is given up by the connection.
    fn tell(&self, what: &Tell) {
        self.connection.push(&Target::Pid(self.pid.clone()), what, false, Sender::current(), Vec::new());
    }
}

/// One pid, or a list of them.
pub(super) struct Pids(Vec<Pid>);

impl<'a> FromTerm<'a> for Pids {
    fn from_term(input: &mut Decoder<'a>) -> Result<Pids, DecodeError> {
        match input.kind()? {
            Kind::Pid => Pid::from_term(input).map(|pid| Pids(vec![pid])),
            _ => Vec::from_term(input).map(Pids),
        }
    }
}

/// Starts the process of a scope.
pub(super) fn start(
    shared: &Arc<Shared>,
    name: Atom,
    members: &Arc<Members>,
) -> Result<ProcessRef<Inward>, SpawnProcessError> {
    let (shared, members) = (Arc::clone(shared), Arc::clone(members));
    let process = actor::Builder::<Inward>::new().name(format!("pg:{name}"));
    let process = process.on(shared.spawner.backend());
    process.spawn(async move |mut me: Process<Inward>| {
        let mut scope = Scope { shared, own: me.me().pid(), name, members, peers: BTreeMap::new() };
        loop {
            match me.receive().await {
                Event::Message(Inward::Told(told)) => scope.told(&me, told),
                Event::Message(Inward::Joined(group, pid)) => scope.joined(group, pid),
                Event::Message(Inward::Left(group, pid)) => scope.left(&group, &pid),
                Event::Message(Inward::Up(name)) => scope.discover(&name),
                Event::Message(Inward::Again) => scope.discover_more(),
                Event::Down(down) => scope.lost(down.monitor),
                _ => {}
            }
        }
    })
}

/// The longest time after which nodes that are connected are asked again whether they have the scope:
/// Erlang's tell no hidden node when they start one.
const AGAIN: Duration = Duration::from_secs(5);
/// The first time after a node has been connected, which may be about to start its scopes. Each next time
/// is twice as long.
const SOON: Duration = Duration::from_millis(100);

/// Tells the process of a scope of nodes that are connected, until one of the two is over.
pub(super) async fn greet(shared: Arc<Shared>, process: ProcessRef<Inward>, events: Receiver<NodeEvent>) {
    let (mut pause, mut again) = (SOON, now() + SOON);
    loop {
        let event = twoply_core::select! {
            await;
            event = timeout_at(again, events.recv()) => event,
            _ = process.ended() => return,
            () = shared.over().cancelled() => return process.pid().exit(ExitReason::Kill),
        };
        let news = match event {
            Ok(Ok(NodeEvent::Up { name })) => {
                (pause, again) = (SOON, again.min(now() + SOON));
                Inward::Up(name)
            }
            Ok(Ok(NodeEvent::Missed(_))) => Inward::Again,
            Ok(Ok(_)) => continue,
            Ok(Err(_)) => return,
            Err(_) => {
                again = now() + pause;
                pause = AGAIN.min(2 * pause);
                Inward::Again
            }
        };
        let _ = process.try_send(news);
    }
}

/// The state of the process of a scope.
struct Scope {
    shared: Arc<Shared>,
    own: Pid,
    name: Atom,
    members: Arc<Members>,
    /// The processes of the scope elsewhere, with the monitor of each.
    peers: BTreeMap<Pid, (Peer, MonitorRef)>,
}

impl Scope {
    fn discover(&self, name: &str) {
        if let Some(connection) = self.shared.open(name) {
            let (to, hello) = (Target::Name(self.name.clone()), Tell::Discover(self.own.clone()));
            connection.push(&to, &hello, false, Sender::current(), Vec::new());
        }
    }

    /// Discovers the nodes of which nothing is known.
    fn discover_more(&self) {
        let met: BTreeSet<&str> = self.peers.values().map(|(peer, _)| &*peer.connection.peer.name).collect();
        let names = self.shared.names();
        names.iter().filter(|name| !met.contains(name.as_str())).for_each(|name| self.discover(name));
    }

    /// Returns the process of a peer, which is known and monitored from now on; and whether it was before.
    fn meet(&mut self, me: &Process<Inward>, peer: Peer) -> (Pid, bool) {
        let pid = peer.there.clone();
        let known = self.peers.get(&pid);
        // By a connection of before, whose end this process has not been told yet, it is another one.
        let was_known = known.is_some_and(|(old, _)| Arc::ptr_eq(&old.connection, &peer.connection));
        if !was_known {
            if let Some(last) = self.forget(&pid) {
                me.demonitor(last);
            }
            let monitor = me.monitor(&pid);
            self.members.lock().there.insert(pid.clone(), Groups::default());
            self.peers.insert(pid.clone(), (peer, monitor));
        }
        (pid, was_known)
    }

    fn told(&mut self, me: &Process<Inward>, told: Told) {
        match told {
            Told::Discover(peer) | Told::DiscoverAs(peer, _) => {
                let here = self.members.lock().here.all();
                peer.tell(&Tell::Sync(self.own.clone(), here));
                let (pid, was_known) = self.meet(me, peer);
                if !was_known {
                    self.peers[&pid].0.tell(&Tell::Discover(self.own.clone()));
                }
            }
            Told::Sync(peer, groups) => {
                let (pid, _) = self.meet(me, peer);
                let mut all = Groups::default();
                for (group, members) in groups {
                    all.add(&group, members);
                }
                let before = self.members.lock().there.insert(pid, all);
                drop(before);
            }
            // As in OTP, nobody counts who has not been met: it may come of a node that has been lost since.
            Told::Join(peer, group, Pids(members)) => {
                let pid = peer.there;
                if let Some(groups) = self.members.lock().there.get_mut(&pid) {
                    groups.add(&group, members);
                }
            }
            Told::Leave(peer, Pids(members), names) => {
                let pid = peer.there;
                if let Some(groups) = self.members.lock().there.get_mut(&pid) {
                    names.iter().for_each(|name| members.iter().for_each(|member| groups.take(name, member)));
                }
            }
        }
    }

    fn joined(&mut self, group: Term, pid: Pid) {
        self.members.lock().here.add(&group, vec![pid.clone()]);
        self.tell_all(&Tell::Join(self.own.clone(), group, pid));
    }

    fn left(&mut self, group: &Term, pid: &Pid) {
        self.members.lock().here.take(group, pid);
        self.tell_all(&Tell::Leave(self.own.clone(), pid.clone(), vec![group.clone()]));
    }

    fn tell_all(&self, what: &Tell) {
        self.peers.values().for_each(|(peer, _)| peer.tell(what));
    }

    /// Has a process of the scope that has ended or left be forgotten.
    fn lost(&mut self, monitor: MonitorRef) {
        let known = self.peers.iter().find(|(_, (_, other))| *other == monitor);
        if let Some(pid) = known.map(|(pid, _)| pid.clone()) {
            self.forget(&pid);
        }
    }

    /// Forgets a process of the scope and its members, and returns its monitor.
    fn forget(&mut self, pid: &Pid) -> Option<MonitorRef> {
        let (_, monitor) = self.peers.remove(pid)?;
        let members = self.members.lock().there.remove(pid);
        drop(members);
        Some(monitor)
    }
}
