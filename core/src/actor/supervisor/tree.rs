//! The description of a supervisor's children: a list, numbers, and a tree that prints.
//!
//! Plain data. Supervisors fill it in when they are asked; it does not follow them afterwards.

use std::fmt;
use std::sync::Arc;

use super::handle::SupervisorRef;
use super::spec::{Restart, Shutdown};
use super::{ChildKind, Strategy};
use crate::actor::Pid;
use crate::kernel::strand::trampoline;

/// The description of one child; see [`SupervisorRef::children`].
///
/// ```
/// use twoply::Wait;
/// use twoply::actor::{Process, supervisor::{ChildSpec, ChildState, Supervisor}};
///
/// let child = ChildSpec::process("one", async |mut me: Process<()>| drop(me.receive().await));
/// let supervisor = Supervisor::one_for_one().child(child).start().wait()?;
/// let info = &supervisor.children().wait()?[0];
/// assert!(matches!(&info.state, ChildState::Running(pid) if info.pid() == Some(pid)));
/// assert!(info.to_string().ends_with(", permanent worker"));
/// # supervisor.stop().wait();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChildInfo {
    /// The id of the child.
    pub id: Arc<str>,
    /// The state of the child: whether it runs.
    pub state: ChildState,
    /// The kind of the child: a worker or a supervisor.
    pub kind: ChildKind,
    /// The ends after which the child is restarted.
    pub restart: Restart,
    /// The way in which the child is stopped.
    pub shutdown: Shutdown,
    /// The reference to a child that is a supervisor and runs.
    pub(super) supervisor: Option<SupervisorRef>,
}

impl ChildInfo {
    /// Returns the process, if the child runs.
    pub fn pid(&self) -> Option<&Pid> {
        match &self.state {
            ChildState::Running(pid) => Some(pid),
            ChildState::Restarting | ChildState::Stopped => None,
        }
    }

    /// Returns a reference to the child, if it is a supervisor and runs.
    ///
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::supervisor::{ChildSpec, Supervisor};
    ///
    /// let branch = ChildSpec::supervisor("branch", Supervisor::dynamic());
    /// let root = Supervisor::one_for_one().child(branch).start().wait()?;
    /// assert!(root.children().wait()?[0].supervisor().is_some());
    /// # root.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn supervisor(&self) -> Option<&SupervisorRef> {
        self.supervisor.as_ref()
    }
}

impl fmt::Display for ChildInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {} {}", self.id, self.state, self.restart, self.kind)
    }
}

/// Says whether a child runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildState {
    /// The child runs, as this process.
    Running(Pid),
    /// The restart of the child is [delayed](super::ChildSpec::backoff), or the last one failed and the next
    /// attempt is under way.
    Restarting,
    /// The child has ended and is not restarted, or has been stopped.
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

/// The numbers of children that a supervisor has; see [`SupervisorRef::count`] for an example.
///
/// ```
/// use twoply::Wait;
/// use twoply::actor::supervisor::{ChildSpec, Supervisor};
///
/// let branch = ChildSpec::supervisor("branch", Supervisor::dynamic());
/// let root = Supervisor::one_for_one().child(branch).start().wait()?;
/// let counts = root.count().wait()?;
/// assert_eq!((counts.specs, counts.active, counts.supervisors, counts.workers), (1, 1, 1, 0));
/// # root.stop().wait();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// All children, whether they run or not.
    pub specs: usize,
    /// The children that run.
    pub active: usize,
    /// The children that are supervisors, whether they run or not.
    pub supervisors: usize,
    /// The children that are no supervisors, whether they run or not.
    pub workers: usize,
}

impl Counts {
    /// Adds one child to the numbers.
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
    /// The process of the supervisor.
    pub pid: Pid,
    /// Says whom the supervisor restarts when a child ends.
    pub strategy: Strategy,
    /// The children, in the order in which they are started.
    pub children: Vec<Branch>,
}

/// A child in a [`Tree`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Branch {
    /// The description of the child.
    pub child: ChildInfo,
    /// The tree below the child, if that is a supervisor which has answered.
    pub below: Option<Arc<Tree>>,
}

/// Prints the tree by a loop, because a tree may be of any depth.
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

/// Prints the same text as `Display`.
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
