//! The table of a supervisor's children.
//!
//! The supervisor's process owns it. It keeps order and finds children; it starts and stops nothing, and
//! tells nobody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ChildSelector;
use super::backoff::Pace;
use super::erased::{Spec, Started};
use super::error::ChildError;
use super::handle::SupervisorRef;
use super::intensity::Intensity;
use super::tree::{ChildInfo, ChildState, Counts};
use crate::actor::{Pid, TimerRef};

/// Identifies a child in its supervisor. Keys have the order in which children are started; a restart keeps
/// the key.
pub(super) type ChildKey = u64;

/// A child, as its supervisor knows it.
pub(super) struct Child {
    pub(super) spec: Arc<Spec>,
    pub(super) state: ChildState,
    /// The process that the child runs as, or ran as last.
    process: Option<Pid>,
    /// Refers to a child that is a supervisor and runs.
    supervisor: Option<SupervisorRef>,
    /// Counts the child's own restarts, if they have a limit.
    limit: Option<Intensity>,
    /// Says how long its restarts are delayed, if they are.
    pace: Option<Pace>,
    /// The timer of the delay that it waits for.
    delay: Option<TimerRef>,
}

/// All children of a supervisor.
pub(super) struct Children {
    /// All children, in the order in which they are started.
    table: BTreeMap<ChildKey, Child>,
    /// The children that run, by their process, and those that are being restarted, by their last one.
    pids: BTreeMap<Pid, ChildKey>,
    /// All children by id; `None` where ids need not be unique.
    ids: Option<BTreeMap<Arc<str>, ChildKey>>,
    /// The children that wait for the delay of their restart, by its timer.
    delayed: BTreeMap<TimerRef, ChildKey>,
    /// The key of the next child.
    next: ChildKey,
}

impl Children {
    /// Returns a table without children. Their ids will be unique unless they are `anonymous`.
    pub(super) fn new(anonymous: bool) -> Children {
        let ids = (!anonymous).then(BTreeMap::new);
        Children { table: BTreeMap::new(), pids: BTreeMap::new(), ids, delayed: BTreeMap::new(), next: 0 }
    }

    /// Enters a child, which does not run yet, at the end. The caller has seen that the id is free.
    pub(super) fn add(&mut self, spec: Arc<Spec>) -> ChildKey {
        let key = self.next;
        self.next += 1;
        if let Some(ids) = &mut self.ids {
            ids.insert(Arc::clone(&spec.id), key);
        }
        self.table.insert(key, Child::new(spec));
        key
    }

    /// Takes a child out that does not run.
    pub(super) fn remove(&mut self, key: ChildKey) {
        if let Some(child) = self.table.remove(&key)
            && let Some(ids) = &mut self.ids
        {
            ids.remove(&child.spec.id);
        }
    }

    /// Records that the child runs since `now`, and as which process. Returns true if it has run before.
    pub(super) fn set_running(&mut self, key: ChildKey, started: Started, now: Instant) -> bool {
        let Some(child) = self.table.get_mut(&key) else { return false };
        let last = child.process.replace(started.pid.clone());
        if let Some(last) = &last {
            self.pids.remove(last);
        }
        self.pids.insert(started.pid.clone(), key);
        child.state = ChildState::Running(started.pid);
        child.supervisor = started.supervisor;
        if let Some(pace) = &mut child.pace {
            pace.started(now);
        }
        last.is_some()
    }

    /// Records that the child does not run, and is in `state`.
    pub(super) fn set_not_running(&mut self, key: ChildKey, state: ChildState) {
        if let Some(child) = self.table.get_mut(&key) {
            match &child.process {
                Some(last) if state == ChildState::Restarting => drop(self.pids.insert(last.clone(), key)),
                Some(last) => drop(self.pids.remove(last)),
                None => {}
            }
            child.state = state;
            child.supervisor = None;
        }
    }

    /// Counts a restart of the child at `now`. Returns whether its own limit allows it.
    pub(super) fn allow_restart(&mut self, key: ChildKey, now: Instant) -> bool {
        let limit = self.table.get_mut(&key).and_then(|child| child.limit.as_mut());
        limit.is_none_or(|limit| limit.allow_restart(now))
    }

    /// Returns how long the restart of the child is delayed, if it is.
    pub(super) fn next_delay(&mut self, key: ChildKey, now: Instant) -> Option<Duration> {
        Some(self.table.get_mut(&key)?.pace.as_mut()?.next_delay(now))
    }

    /// Records that the child waits for `timer`.
    pub(super) fn set_delayed(&mut self, key: ChildKey, timer: TimerRef) {
        if let Some(child) = self.table.get_mut(&key) {
            child.delay = Some(timer);
            self.delayed.insert(timer, key);
        }
    }

    /// Returns the child whose delay is over with `timer`, which it waits for no longer.
    pub(super) fn delayed_by(&mut self, timer: TimerRef) -> Option<ChildKey> {
        let key = self.delayed.remove(&timer)?;
        self.table.get_mut(&key)?.delay = None;
        Some(key)
    }

    /// Takes the timer that the child waits for, which it waits for no longer.
    pub(super) fn take_delay(&mut self, key: ChildKey) -> Option<TimerRef> {
        let timer = self.table.get_mut(&key)?.delay.take()?;
        self.delayed.remove(&timer);
        Some(timer)
    }

    /// Returns the child with this key.
    pub(super) fn get(&self, key: ChildKey) -> Option<&Child> {
        self.table.get(&key)
    }

    /// Returns the spec of the child with this key.
    pub(super) fn spec(&self, key: ChildKey) -> Option<Arc<Spec>> {
        self.get(key).map(|child| Arc::clone(&child.spec))
    }

    /// Returns the child that runs as `pid`.
    pub(super) fn with_pid(&self, pid: &Pid) -> Option<(ChildKey, Arc<Spec>)> {
        let key = *self.pids.get(pid)?;
        let child = self.get(key).filter(|child| child.pid() == Some(pid))?;
        Some((key, Arc::clone(&child.spec)))
    }

    /// Returns the child with this id, where ids are unique.
    pub(super) fn with_id(&self, id: &str) -> Option<ChildKey> {
        self.ids.as_ref()?.get(id).copied()
    }

    /// Returns the child that a request selects.
    pub(super) fn find(&self, which: &ChildSelector) -> Result<ChildKey, ChildError> {
        let found = match which {
            ChildSelector::Pid(pid) => self.pids.get(pid).copied(),
            ChildSelector::Id(id) if self.ids.is_some() => self.with_id(id),
            ChildSelector::Id(id) => {
                let mut with_this_id = self.iter().filter(|(_, child)| child.spec.id == *id);
                let only = with_this_id.next().map(|(key, _)| key);
                only.filter(|_| with_this_id.next().is_none())
            }
        };
        found.ok_or(ChildError::NotFound)
    }

    /// Returns the first child whose restart is delayed, or has failed and is to be tried again.
    pub(super) fn first_restarting(&self) -> Option<ChildKey> {
        self.iter().find(|(_, child)| child.state == ChildState::Restarting).map(|(key, _)| key)
    }

    /// Returns the keys of all children from `first` on, in order.
    pub(super) fn from(&self, first: ChildKey) -> Vec<ChildKey> {
        self.table.range(first..).map(|(&key, _)| key).collect()
    }

    /// Returns whether the child waits for the delay of its restart.
    pub(super) fn is_delayed(&self, key: ChildKey) -> bool {
        self.get(key).is_some_and(|child| child.delay.is_some())
    }

    /// Returns whether the child's restart is delayed, or has failed and is to be tried again.
    pub(super) fn is_restarting(&self, key: ChildKey) -> bool {
        self.get(key).is_some_and(|child| child.state == ChildState::Restarting)
    }

    /// Iterates over the children, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ChildKey, &Child)> {
        self.table.iter().map(|(&key, child)| (key, child))
    }

    /// Describes all children, for those who ask the supervisor.
    pub(super) fn list(&self) -> Vec<ChildInfo> {
        self.table.values().map(Child::info).collect()
    }

    /// Returns the number of children, whether they run or not.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Counts the children, for those who ask the supervisor.
    pub(super) fn count(&self) -> Counts {
        let mut counts = Counts::default();
        self.table.values().for_each(|child| counts.add(child.spec.kind, child.pid().is_some()));
        counts
    }
}

impl Child {
    /// Returns a child that does not run yet.
    fn new(spec: Arc<Spec>) -> Child {
        Child {
            state: ChildState::Stopped,
            process: None,
            supervisor: None,
            limit: spec.limit.map(|(most, period)| Intensity::new(most, period)),
            pace: spec.backoff.map(Pace::new),
            delay: None,
            spec,
        }
    }

    /// Returns the process, if the child runs.
    pub(super) fn pid(&self) -> Option<&Pid> {
        match &self.state {
            ChildState::Running(pid) => Some(pid),
            ChildState::Restarting | ChildState::Stopped => None,
        }
    }

    /// Returns whether the child is significant to the supervisor's own end, and not over.
    pub(super) fn is_significant_and_alive(&self) -> bool {
        self.spec.significant && self.state != ChildState::Stopped
    }

    /// Describes the child, for those who ask the supervisor.
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
