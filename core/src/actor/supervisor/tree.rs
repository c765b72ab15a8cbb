//! What a supervisor says of its children: a list, numbers, and a tree that prints.
//!
//! Plain data. Supervisors fill it in when they are asked; it does not follow them afterwards.

use std::fmt;
use std::sync::Arc;

use super::handle::SupervisorRef;
use super::spec::{Restart, Shutdown};
use super::{ChildKind, Strategy};
use crate::actor::Pid;
use crate::kernel::trampoline::trampoline;

/// What a supervisor says of one child; see [`SupervisorRef::children`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChildInfo {
    /// What the child is called.
    pub id: Arc<str>,
    /// Whether it runs.
    pub state: ChildState,
    /// A worker, or a supervisor.
    pub kind: ChildKind,
    /// When it is restarted.
    pub restart: Restart,
    /// How it is stopped.
    pub shutdown: Shutdown,
    /// For a child that is a supervisor and runs: the way to ask it.
    pub(super) supervisor: Option<SupervisorRef>,
}

impl ChildInfo {
    /// The process, if the child runs.
    pub fn pid(&self) -> Option<&Pid> {
        match &self.state {
            ChildState::Running(pid) => Some(pid),
            ChildState::Restarting | ChildState::Stopped => None,
        }
    }

    /// The way to ask a child that is a supervisor and runs.
    pub fn supervisor(&self) -> Option<&SupervisorRef> {
        self.supervisor.as_ref()
    }
}

impl fmt::Display for ChildInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {} {}", self.id, self.state, self.restart, self.kind)
    }
}

/// Whether a child runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildState {
    /// It is this process.
    Running(Pid),
    /// Its last restart failed; the next attempt is under way.
    Restarting,
    /// It has ended and is not restarted, or has been stopped.
    Stopped,
}

impl fmt::Display for ChildState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChildState::Running(pid) => write!(f, "{pid}"),
            ChildState::Restarting => f.write_str("restarting"),
            ChildState::Stopped => f.write_str("stopped"),
        }
    }
}

/// How many children a supervisor has; see [`SupervisorRef::count`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Children, whether they run or not.
    pub specs: usize,
    /// Those that run.
    pub active: usize,
    /// Those that are supervisors, whether they run or not.
    pub supervisors: usize,
    /// Those that are not.
    pub workers: usize,
}

impl Counts {
    /// Counts one child.
    pub(super) fn add(&mut self, kind: ChildKind, runs: bool) {
        self.specs += 1;
        self.active += usize::from(runs);
        match kind {
            ChildKind::Supervisor => self.supervisors += 1,
            ChildKind::Worker => self.workers += 1,
        }
    }
}

/// A supervisor and all below it, as they were when they were asked; see [`SupervisorRef::tree`].
///
/// It prints as a tree:
///
/// ```text
/// <0.1> one_for_all
/// ├─ store <0.2>, permanent worker
/// └─ doors <0.3>, permanent supervisor, one_for_one
///    ├─ front <0.4>, transient worker
///    └─ back stopped, temporary worker
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Tree {
    /// The supervisor.
    pub pid: Pid,
    /// What it does when a child ends.
    pub strategy: Strategy,
    /// Its children, in the order in which they are started.
    pub children: Vec<Branch>,
}

/// A child in a [`Tree`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Branch {
    /// The child.
    pub child: ChildInfo,
    /// What is below it, for a supervisor that answered.
    pub below: Option<Arc<Tree>>,
}

/// A tree may be as deep as it likes: it is printed, and dropped, by a loop.
impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.strategy)?;
        // The branches that are still to be printed, of each supervisor from the root down.
        let mut open = vec![self.children.iter()];
        while let Some((left, above)) = open.split_last_mut() {
            let Some(branch) = left.next() else {
                open.pop();
                continue;
            };
            f.write_str("\n")?;
            for left in above {
                f.write_str(if left.len() == 0 { "   " } else { "│  " })?;
            }
            let fork = if left.len() == 0 { "└─" } else { "├─" };
            write!(f, "{fork} {}", branch.child)?;
            if let Some(tree) = &branch.below {
                write!(f, ", {}", tree.strategy)?;
                open.push(tree.children.iter());
            }
        }
        Ok(())
    }
}

/// The same text.
impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Drop for Branch {
    fn drop(&mut self) {
        if let Some(below) = self.below.take() {
            trampoline(move || drop(below));
        }
    }
}
