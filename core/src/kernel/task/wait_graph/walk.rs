//! Following edges from task to task.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::locks::Blocker;
use super::{Next, OutEdge};
use crate::kernel::task::owner::{Custody, Owner};
use crate::kernel::task::{Shared, TaskId};

/// Returns the number of the edge of a task that is stopped, and who comes next.
fn edge(task: &Shared) -> Option<(u64, Next)> {
    if task.is_blocked() { task.with_edge(OutEdge::edge) } else { None }
}

/// One edge of a task.
struct Following {
    /// The number of the edge.
    number: u64,
    /// The owner of what is waited for.
    owner: Owner,
    /// The task that the edge goes to.
    next: Arc<Shared>,
    /// The number that the edge of the next task has, if that is known.
    since: Option<u64>,
}

/// The edges of a task.
#[derive(Default)]
struct Ways {
    /// The first edge. There are more only where a lock is waited for.
    first: Option<Following>,
    more: Vec<Following>,
    /// True if the task has to be polled to say where all its edges go.
    is_stale: bool,
}

impl Ways {
    fn iter(&self) -> impl Iterator<Item = &Following> {
        self.first.iter().chain(&self.more)
    }
}

/// Returns the edges of `task`.
fn ways(task: &Shared) -> Ways {
    match edge(task) {
        None => Ways::default(),
        Some((number, Next::Owner(owner))) => {
            let first = owner.task().map(|next| Following { number, owner, next, since: None });
            Ways { first, ..Ways::default() }
        }
        Some((_, Next::Blockers(None))) => Ways { is_stale: true, ..Ways::default() },
        Some((number, Next::Blockers(Some(blockers)))) => ways_of_lock(number, &blockers),
    }
}

/// Returns the edges with this number of a task that waits for a lock.
fn ways_of_lock(number: u64, blockers: &[Blocker]) -> Ways {
    let mut ways = Ways::default();
    for blocker in blockers {
        match blocker.stopped_since() {
            Some((next, since)) => {
                let owner = Owner::of_task(Arc::clone(&next));
                let way = Following { number, owner, next, since: Some(since) };
                ways.more.extend(ways.first.replace(way));
            }
            None => ways.is_stale |= blocker.is_stopped(),
        }
    }
    ways
}

/// Returns true if a chain that begins with an edge of `task` comes back to it.
pub(super) fn leads_back(task: &Arc<Shared>) -> bool {
    let mut at = Arc::clone(task);
    let mut mark = None;
    let (mut steps, mut lap) = (0_usize, 1_usize);
    loop {
        let Ways { first, more, is_stale } = ways(&at);
        if is_stale || !more.is_empty() {
            let reached = Reached::read(task);
            let comes_back = reached.comes_back();
            if !comes_back {
                reached.poll_stale();
            }
            return comes_back;
        }
        let Some(Following { next, .. }) = first else { return false };
        if Arc::ptr_eq(&next, task) {
            return true;
        }
        at = next;
        if mark.as_ref().is_some_and(|mark| Arc::ptr_eq(mark, &at)) {
            // This is a circle among others, who deal with it.
            return false;
        }
        steps += 1;
        if steps == lap {
            mark = Some(Arc::clone(&at));
            (steps, lap) = (0, lap * 2);
        }
    }
}

/// One task of a circle.
pub(super) struct Step {
    /// The task that waits.
    pub(super) task: Arc<Shared>,
    /// The number of its edge.
    pub(super) number: u64,
    /// The number of its mark and what that says.
    mark: Option<(u64, bool)>,
}

impl Step {
    /// Returns whether the task is still stopped, by the same edge and with the same mark.
    pub(super) fn is_unchanged(&self) -> bool {
        let is_there = |edge: &OutEdge| edge.is_at(self.number).filter(|()| edge.valid_mark() == self.mark);
        self.task.is_blocked() && self.task.with_edge(is_there).is_some()
    }

    /// Returns whether the task is unchanged, and still waits for that of `next`.
    pub(super) fn still_leads_to(&self, next: &Step) -> bool {
        let leads_there = |way: &Following| way.number == self.number && Arc::ptr_eq(&way.next, &next.task);
        self.is_unchanged() && ways(&self.task).iter().any(leads_there)
    }
}

/// A task that a search has come to, as it was read.
struct Node {
    task: Arc<Shared>,
    ways: Ways,
    /// The number of its mark and what that says, if it has one.
    mark: Option<(u64, bool)>,
}

impl Node {
    /// Returns the number of its edge, if it is stopped.
    fn number(&self) -> Option<u64> {
        self.ways.first.as_ref().map(|way| way.number)
    }
}

/// All tasks that chains lead to which begin at a task that waits, each read once.
pub(super) struct Reached {
    start: TaskId,
    nodes: BTreeMap<TaskId, Node>,
}

impl Reached {
    pub(super) fn read(start: &Arc<Shared>) -> Reached {
        let mut nodes = BTreeMap::new();
        let mut left = vec![Arc::clone(start)];
        while let Some(task) = left.pop() {
            if nodes.contains_key(&task.id()) {
                continue;
            }
            let ways = ways(&task);
            left.extend(ways.iter().map(|way| Arc::clone(&way.next)));
            let mark = task.with_edge(OutEdge::valid_mark);
            nodes.insert(task.id(), Node { task, ways, mark });
        }
        Reached { start: start.id(), nodes }
    }

    /// Returns the task that an edge goes to, unless that has gone on since, or may have passed on what is
    /// waited for.
    fn next(&self, way: &Following) -> Option<&Node> {
        let next = &self.nodes[&way.next.id()];
        let is_there = way.since.is_none_or(|since| next.number() == Some(since));
        // While both are stopped that does not change.
        let has_it = || match way.owner.custody() {
            Custody::Certain => true,
            Custody::InHand => next.mark.is_none_or(|(_, has_parted)| !has_parted),
            Custody::Unknown => false,
        };
        (is_there && has_it()).then_some(next)
    }

    /// Returns true if a chain comes back to the task where it begins.
    fn comes_back(&self) -> bool {
        let ways = self.nodes.values().flat_map(|node| node.ways.iter());
        ways.filter_map(|way| self.next(way)).any(|next| next.task.id() == self.start)
    }

    /// Returns a circle of marked tasks that begins at the first one and avoids those in `avoided`.
    pub(super) fn circle(&self, avoided: &BTreeSet<TaskId>) -> Option<Vec<Step>> {
        let mut seen = avoided.clone();
        let is_it = |start: &&Node| start.mark.is_some() && seen.insert(self.start);
        let start = self.nodes.get(&self.start).filter(is_it)?;
        // The tasks of the path, each with the edges of it that are left.
        let mut path = vec![(start, start.ways.iter())];
        while let Some((_, left)) = path.last_mut() {
            let Some(way) = left.next() else {
                path.pop();
                continue;
            };
            let Some(next) = self.next(way).filter(|next| next.mark.is_some()) else { continue };
            if next.task.id() == self.start {
                let step = |node: &Node| {
                    let (task, number) = (Arc::clone(&node.task), node.number()?);
                    Some(Step { task, number, mark: node.mark })
                };
                return path.iter().map(|(node, _)| step(node)).collect();
            }
            if seen.insert(next.task.id()) {
                path.push((next, next.ways.iter()));
            }
        }
        None
    }

    /// Has those polled who have no mark and may be in a circle with the first one.
    pub(super) fn poll_unmarked(&self) {
        let mut before: BTreeMap<TaskId, Vec<&Node>> = BTreeMap::new();
        for node in self.nodes.values() {
            for next in node.ways.iter().filter_map(|way| self.next(way)) {
                before.entry(next.task.id()).or_default().push(node);
            }
        }
        let mut left = vec![self.start];
        while let Some(nodes) = left.pop().and_then(|id| before.remove(&id)) {
            for node in nodes {
                left.push(node.task.id());
                if node.mark.is_none() {
                    node.task.poll_again();
                }
            }
        }
    }

    /// Has those polled who have not said where all their edges go, but for the first one, who has just been.
    pub(super) fn poll_stale(&self) {
        let nodes = self.nodes.values().filter(|node| node.ways.is_stale && node.task.id() != self.start);
        nodes.for_each(|node| node.task.poll_again());
    }
}
