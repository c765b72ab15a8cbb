//! The table of a supervisor's children.
//!
//! The supervisor's process owns it. It keeps order and finds children; it starts and stops nothing, and tells nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ChildSelector;
use super::error::ChildError;
use super::handle::SupervisorRef;
use super::spec::{Spec, Started};
use super::tree::{ChildInfo, ChildState, Counts};
use crate::actor::Pid;

/// A child's place in the order in which children are started. A restart keeps it.
pub(super) type Serial = u64;

/// One child.
pub(super) struct Child {
    /// How it is started and what its end means.
    pub(super) spec: Arc<Spec>,
    /// Whether it runs.
    pub(super) state: ChildState,
    /// The process that it runs as, or ran as last.
    process: Option<Pid>,
    /// For a supervisor that runs: the way to ask it.
    supervisor: Option<SupervisorRef>,
}

/// All children.
pub(super) struct Children {
    /// They, in the order in which they are started.
    table: BTreeMap<Serial, Child>,
    /// Those that run, by their process, and those that are being restarted, by their last one.
    pids: BTreeMap<Pid, Serial>,
    /// All, by id; nothing where ids need not be unique.
    ids: Option<BTreeMap<Arc<str>, Serial>>,
    /// The next place.
    next: Serial,
}

impl Children {
    /// No children. Their ids will be unique unless they are `anonymous`.
    pub(super) fn new(anonymous: bool) -> Children {
        let ids = (!anonymous).then(BTreeMap::new);
        Children { table: BTreeMap::new(), pids: BTreeMap::new(), ids, next: 0 }
    }

    /// Enters a child, which does not run yet, at the end. The caller has seen that the id is free.
    pub(super) fn add(&mut self, spec: Arc<Spec>) -> Serial {
        let serial = self.next;
        self.next += 1;
        if let Some(ids) = &mut self.ids {
            ids.insert(Arc::clone(&spec.id), serial);
        }
        self.table
            .insert(serial, Child { spec, state: ChildState::Stopped, process: None, supervisor: None });
        serial
    }

    /// Takes a child out that does not run.
    pub(super) fn remove(&mut self, serial: Serial) {
        if let Some(child) = self.table.remove(&serial)
            && let Some(ids) = &mut self.ids
        {
            ids.remove(&child.spec.id);
        }
    }

    /// The child runs.
    pub(super) fn started(&mut self, serial: Serial, started: Started) {
        if let Some(child) = self.table.get_mut(&serial) {
            if let Some(last) = child.process.replace(started.pid.clone()) {
                self.pids.remove(&last);
            }
            self.pids.insert(started.pid.clone(), serial);
            child.state = ChildState::Running(started.pid);
            child.supervisor = started.supervisor;
        }
    }

    /// The child does not run, and is in `state`.
    pub(super) fn halted(&mut self, serial: Serial, state: ChildState) {
        if let Some(child) = self.table.get_mut(&serial) {
            match &child.process {
                Some(last) if state == ChildState::Restarting => drop(self.pids.insert(last.clone(), serial)),
                Some(last) => drop(self.pids.remove(last)),
                None => {}
            }
            child.state = state;
            child.supervisor = None;
        }
    }

    /// The child with this place.
    pub(super) fn get(&self, serial: Serial) -> Option<&Child> {
        self.table.get(&serial)
    }

    /// How the child with this place is started.
    pub(super) fn spec(&self, serial: Serial) -> Option<Arc<Spec>> {
        self.get(serial).map(|child| Arc::clone(&child.spec))
    }

    /// The child that runs as `pid`.
    pub(super) fn with_pid(&self, pid: &Pid) -> Option<(Serial, Arc<Spec>)> {
        let serial = *self.pids.get(pid)?;
        let child = self.get(serial).filter(|child| child.pid() == Some(pid))?;
        Some((serial, Arc::clone(&child.spec)))
    }

    /// The child with this id, where ids are unique.
    pub(super) fn with_id(&self, id: &str) -> Option<Serial> {
        self.ids.as_ref()?.get(id).copied()
    }

    /// The child that the caller of the supervisor means.
    pub(super) fn find(&self, which: &ChildSelector) -> Result<Serial, ChildError> {
        let found = match which {
            ChildSelector::Pid(pid) => self.pids.get(pid).copied(),
            ChildSelector::Id(id) if self.ids.is_some() => self.with_id(id),
            ChildSelector::Id(id) => {
                let mut bearers = self.iter().filter(|(_, child)| child.spec.id == *id);
                let only = bearers.next().map(|(serial, _)| serial);
                only.filter(|_| bearers.next().is_none())
            }
        };
        found.ok_or(ChildError::NotFound)
    }

    /// The first child whose restart has failed and is to be tried again.
    pub(super) fn first_restarting(&self) -> Option<Serial> {
        self.iter().find(|(_, child)| child.state == ChildState::Restarting).map(|(serial, _)| serial)
    }

    /// The places of all children from `first` on, in order.
    pub(super) fn from(&self, first: Serial) -> Vec<Serial> {
        self.table.range(first..).map(|(&serial, _)| serial).collect()
    }

    /// Whether the child's restart has failed and is to be tried again.
    pub(super) fn is_restarting(&self, serial: Serial) -> bool {
        self.get(serial).is_some_and(|child| child.state == ChildState::Restarting)
    }

    /// The children, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Serial, &Child)> {
        self.table.iter().map(|(&serial, child)| (serial, child))
    }

    /// What is said of them.
    pub(super) fn list(&self) -> Vec<ChildInfo> {
        self.table.values().map(Child::info).collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> Counts {
        let mut counts = Counts::default();
        self.table.values().for_each(|child| counts.add(child.spec.kind, child.pid().is_some()));
        counts
    }
}

impl Child {
    /// The process, if it runs.
    pub(super) fn pid(&self) -> Option<&Pid> {
        match &self.state {
            ChildState::Running(pid) => Some(pid),
            ChildState::Restarting | ChildState::Stopped => None,
        }
    }

    /// Whether it is one of those that a supervisor's own end may depend on, and is not over.
    pub(super) fn is_significant_and_alive(&self) -> bool {
        self.spec.significant && self.state != ChildState::Stopped
    }

    /// What is said of it.
    fn info(&self) -> ChildInfo {
        let Spec { id, kind, restart, shutdown, .. } = &*self.spec;
        ChildInfo {
            id: Arc::clone(id),
            state: self.state.clone(),
            kind: *kind,
            restart: *restart,
            shutdown: *shutdown,
            supervisor: self.supervisor.clone(),
        }
    }
}
