//! Following edges from task to task.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::locks::Blocker;
use super::{Next, OutEdge};
use crate::kernel::task::Shared;
use crate::kernel::task::owner::Owner;

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
    fn pop(&mut self) -> Option<Following> {
        self.more.pop().or_else(|| self.first.take())
    }

    /// Returns the same edges if `is_expected` returns true of their number, and else none.
    fn filter(self, is_expected: impl Fn(u64) -> bool) -> Ways {
        let is_it = self.first.as_ref().is_none_or(|first| is_expected(first.number));
        if is_it { self } else { Ways::default() }
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
            return read_path(task).is_some();
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
    /// The owner of what it waits for.
    pub(super) owner: Owner,
    /// The number of its mark and what that says, if it has one.
    pub(super) mark: Option<(u64, bool)>,
}

impl Step {
    /// Returns whether the task is still stopped, by the same edge and with the same mark.
    pub(super) fn is_unchanged(&self) -> bool {
        let is_there = |edge: &OutEdge| edge.is_at(self.number).filter(|()| edge.valid_mark() == self.mark);
        self.task.is_blocked() && self.task.with_edge(is_there).is_some()
    }
}

impl PartialEq for Step {
    fn eq(&self, other: &Step) -> bool {
        Arc::ptr_eq(&self.task, &other.task) && self.number == other.number && self.mark == other.mark
    }
}

/// Returns a chain that begins at `start` and comes back there. If there is none, those are polled who have
/// not said where all their edges go.
pub(super) fn read_path(start: &Arc<Shared>) -> Option<Vec<Step>> {
    let (mut path, mut stale): (Vec<Step>, Vec<Arc<Shared>>) = Default::default();
    let mut seen = BTreeSet::from([start.id()]);
    // The edges that are left of the first task, and of the last one of each step.
    let mut left = vec![(Arc::clone(start), ways(start))];
    while let Some((task, ways_left)) = left.last_mut() {
        let Some(Following { number, owner, next, since }) = ways_left.pop() else {
            left.pop();
            path.pop();
            continue;
        };
        let mark = task.with_edge(OutEdge::valid_mark);
        path.push(Step { task: Arc::clone(task), number, owner, mark });
        let is_expected = |number| since.is_none_or(|since| since == number);
        if Arc::ptr_eq(&next, start) && is_expected(path[0].number) {
            return Some(path);
        }
        let found = if seen.insert(next.id()) { ways(&next) } else { Ways::default() };
        stale.extend(found.is_stale.then(|| Arc::clone(&next)));
        left.push((next, found.filter(is_expected)));
    }
    stale.iter().for_each(|task| task.poll_again());
    None
}
