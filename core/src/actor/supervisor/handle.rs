//! [`SupervisorRef`]: what others ask of a supervisor that runs.

use std::fmt;
use std::sync::Arc;
use std::vec;

use super::ChildSelector;
use super::Strategy;
use super::children::ChildKey;
use super::erased::Spec;
use super::error::ChildError;
use super::spec::ChildSpec;
use super::tree::{Branch, ChildInfo, Counts, Tree};
use crate::actor::{ExitReason, Pid, ProcessRef};
use crate::promise::{Failure, Resolver};

/// The messages of a supervisor. [`SupervisorRef`] sends them.
pub struct Control(pub(super) Request);

/// A request to a supervisor, with the resolver of its answer.
pub(super) enum Request {
    /// Asks it to start this child and keep it.
    Start(Arc<Spec>, Answer<Pid>),
    /// Asks it to start this child, which does not run.
    Restart(ChildSelector, Answer<Pid>),
    /// Asks it to stop this child.
    Terminate(ChildSelector, Answer<()>),
    /// Asks it to forget this child, which does not run.
    Delete(ChildSelector, Answer<()>),
    /// Asks it to describe its children.
    List(Resolver<(Strategy, Vec<ChildInfo>)>),
    /// Asks it to count its children.
    Count(Resolver<Counts>),
    /// Asks it to stop all children and end. Its end is the answer.
    Stop,
    /// Sent by the supervisor to itself: it tries once more to restart this child.
    Retry(ChildKey),
}

/// The resolver of a request that may be refused.
pub(super) type Answer<T> = Resolver<Result<T, ChildError>>;

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Control(..)")
    }
}

/// A reference to a supervisor. Clones refer to the same supervisor; dropping them does not stop it.
///
/// A supervisor does one thing at a time: while it waits for a child to stop or to start, requests wait, too.
/// Each request is a future; one that is dropped after its first poll may still be carried out. To give a
/// supervisor up that takes too long, put a [`timeout`](crate::time::timeout) around it. A child must not
/// wait for its own supervisor while that starts or stops it: each would wait for the other.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
///
/// let supervisor = Supervisor::one_for_one().start().wait()?;
/// let child = ChildSpec::process("child", async |mut me: Process<()>| drop(me.receive().await));
/// let pid = supervisor.start_child(child).wait()?;
/// assert_eq!(supervisor.children().wait()?[0].pid(), Some(&pid));
/// supervisor.stop().wait();
/// assert!(supervisor.count().wait().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SupervisorRef {
    process: ProcessRef<Control>,
}

impl SupervisorRef {
    pub(super) fn new(process: ProcessRef<Control>) -> SupervisorRef {
        SupervisorRef { process }
    }

    pub(in crate::actor) fn process(&self) -> &ProcessRef<Control> {
        &self.process
    }

    /// Returns the pid of the supervisor, to monitor it or to link to it.
    ///
    /// ```
    /// use twoply::{Wait, actor::supervisor::Supervisor};
    ///
    /// let supervisor = Supervisor::one_for_one().start().wait()?;
    /// assert_eq!(supervisor.tree().wait()?.pid, supervisor.pid());
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Starts a child and keeps it, behind all others. Returns its process.
    ///
    /// # Errors
    /// When there is a child with this id ([`AlreadyStarted`](ChildError::AlreadyStarted) or
    /// [`AlreadyPresent`](ChildError::AlreadyPresent); not under [`Strategy::Dynamic`]), when there are as
    /// many children as there [may be](ChildError::TooManyChildren), when it cannot be started or [cannot be
    /// a child](super::PlanError) of this supervisor (then it is not kept), when there is [nothing for it to
    /// do](ChildError::Ignored), or when the supervisor has ended.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildError, ChildSpec, Supervisor}};
    ///
    /// let child = || ChildSpec::process("one", async |mut me: Process<()>| drop(me.receive().await));
    /// let supervisor = Supervisor::one_for_one().child(child()).start().wait()?;
    /// let error = supervisor.start_child(child()).wait().unwrap_err();
    /// assert!(matches!(error, ChildError::AlreadyStarted(_)));
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn start_child<M: Send + 'static>(&self, spec: ChildSpec<M>) -> Result<Pid, ChildError> {
        let spec = spec.into_spec();
        self.process.ask(|answer| Control(Request::Start(spec, answer))).await?
    }

    /// Starts a child again that has ended or been stopped; it keeps its position among the children. Returns
    /// its process. [`terminate_child`](SupervisorRef::terminate_child) has an example.
    ///
    /// # Errors
    /// When there is no such child, when it runs, is about to be restarted or cannot be started, when there
    /// is [nothing for it to do](ChildError::Ignored), or when the supervisor has ended.
    pub async fn restart_child(&self, child: impl Into<ChildSelector>) -> Result<Pid, ChildError> {
        let child = child.into();
        self.process.ask(|answer| Control(Request::Restart(child, answer))).await?
    }

    /// Stops a child and returns when it has ended. It stays what it is, to be started by
    /// [`restart_child`](SupervisorRef::restart_child); a temporary one and one under [`Strategy::Dynamic`]
    /// is forgotten. To stop what does not run is no error. One whose restart has failed is not tried again;
    /// nor are those started that would have been started after it, until
    /// [`restart_child`](SupervisorRef::restart_child) does.
    ///
    /// # Errors
    /// When there is no such child, or the supervisor has ended.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let child = ChildSpec::process("one", async |mut me: Process<()>| drop(me.receive().await));
    /// let supervisor = Supervisor::one_for_one().child(child).start().wait()?;
    /// supervisor.terminate_child("one").wait()?;
    /// let pid = supervisor.restart_child("one").wait()?;
    /// supervisor.terminate_child(&pid).wait()?;
    /// supervisor.delete_child("one").wait()?;
    /// assert!(supervisor.children().wait()?.is_empty());
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn terminate_child(&self, child: impl Into<ChildSelector>) -> Result<(), ChildError> {
        let child = child.into();
        self.process.ask(|answer| Control(Request::Terminate(child, answer))).await?
    }

    /// Forgets a child that does not run. [`terminate_child`](SupervisorRef::terminate_child) has an example.
    ///
    /// # Errors
    /// When there is no such child, when it runs or is about to be restarted, or when the supervisor has
    /// ended.
    pub async fn delete_child(&self, child: impl Into<ChildSelector>) -> Result<(), ChildError> {
        let child = child.into();
        self.process.ask(|answer| Control(Request::Delete(child, answer))).await?
    }

    /// Describes the children, in the order in which they are started.
    ///
    /// # Errors
    /// When the supervisor has ended.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let child = |id: &str| ChildSpec::process(id, async |mut me: Process<()>| drop(me.receive().await));
    /// let supervisor = Supervisor::one_for_one().child(child("one")).child(child("two")).start().wait()?;
    /// let children = supervisor.children().wait()?;
    /// assert_eq!(children.iter().map(|child| &*child.id).collect::<Vec<_>>(), ["one", "two"]);
    /// assert!(children.iter().all(|child| child.pid().is_some()));
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn children(&self) -> Result<Vec<ChildInfo>, Failure> {
        Ok(self.list().await?.1)
    }

    /// Counts the children.
    ///
    /// # Errors
    /// When the supervisor has ended.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let child = ChildSpec::process("one", async |mut me: Process<()>| drop(me.receive().await));
    /// let supervisor = Supervisor::one_for_one().child(child).start().wait()?;
    /// let counts = supervisor.count().wait()?;
    /// assert_eq!((counts.specs, counts.active, counts.workers), (1, 1, 1));
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn count(&self) -> Result<Counts, Failure> {
        self.process.ask(|answer| Control(Request::Count(answer))).await
    }

    /// Describes the supervisor and all below it. Each supervisor is asked in its turn, so the tree shows no
    /// single moment while something happens in it; a supervisor that ends meanwhile is shown without
    /// children.
    ///
    /// # Errors
    /// When the supervisor has ended.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let leaf = ChildSpec::process("leaf", async |mut me: Process<()>| drop(me.receive().await));
    /// let branch = ChildSpec::supervisor("branch", Supervisor::one_for_one().child(leaf));
    /// let root = Supervisor::one_for_all().child(branch).start().wait()?;
    /// let tree = root.tree().wait()?.to_string();
    /// assert!(tree.contains("└─ branch") && tree.contains("   └─ leaf"));
    /// # root.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn tree(&self) -> Result<Tree, Failure> {
        // The supervisors from this one down to the one whose children are being looked at, each with those
        // of its children that are still to be.
        let mut open = vec![self.look().await?];
        loop {
            let Some((tree, left)) = open.last_mut() else { unreachable!("the last one is returned") };
            if let Some(child) = left.next() {
                let supervisor = child.supervisor().cloned();
                tree.children.push(Branch { child, below: None });
                if let Some(supervisor) = supervisor {
                    open.extend(supervisor.look().await.ok());
                }
                continue;
            }
            let Some((done, _)) = open.pop() else { unreachable!("it is the last one") };
            match open.last_mut().and_then(|(above, _)| above.children.last_mut()) {
                Some(branch) => branch.below = Some(Arc::new(done)),
                None => return Ok(done),
            }
        }
    }

    /// Returns the tree without its branches, and the children of which the branches are to be made.
    async fn look(&self) -> Result<(Tree, vec::IntoIter<ChildInfo>), Failure> {
        let (strategy, list) = self.list().await?;
        let children = Vec::with_capacity(list.len());
        Ok((Tree { pid: self.pid(), strategy, children }, list.into_iter()))
    }

    /// Returns the child with this id, if it is a supervisor and runs.
    ///
    /// # Errors
    /// When the supervisor has ended.
    ///
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::supervisor::{ChildSpec, Supervisor};
    ///
    /// let branch = ChildSpec::supervisor("branch", Supervisor::dynamic());
    /// let root = Supervisor::one_for_one().child(branch).start().wait()?;
    /// assert_eq!(root.child_supervisor("branch").wait()?.unwrap().count().wait()?.specs, 0);
    /// assert!(root.child_supervisor("leaf").wait()?.is_none());
    /// # root.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn child_supervisor(&self, id: &str) -> Result<Option<SupervisorRef>, Failure> {
        let children = self.children().await?;
        Ok(children.into_iter().find(|child| *child.id == *id).and_then(|child| child.supervisor))
    }

    /// Stops the supervisor with everything below it, and returns when it has ended, with the reason: usually
    /// [`ExitReason::Normal`]. Children are stopped in the reverse of the order in which they were started.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{ExitReason, supervisor::Supervisor};
    ///
    /// let supervisor = Supervisor::one_for_one().start().wait()?;
    /// assert_eq!(supervisor.stop().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn stop(&self) -> ExitReason {
        let ended = self.process.ended();
        // A supervisor that takes no message has ended.
        let _ = self.process.try_send(Control(Request::Stop));
        ended.await
    }

    async fn list(&self) -> Result<(Strategy, Vec<ChildInfo>), Failure> {
        self.process.ask(|answer| Control(Request::List(answer))).await
    }
}

impl fmt::Debug for SupervisorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SupervisorRef").field(&self.pid()).finish()
    }
}
