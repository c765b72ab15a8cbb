//! The errors of supervisors: why a child or a supervisor could not be started, and what a supervisor refuses
//! to do.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::actor::{ExitReason, Pid};
use crate::promise::Failure;

/// A child could not be started, or the supervisor itself.
#[derive(Clone)]
pub struct StartError {
    /// The ids from the supervisor down to the child, with `/` between them; `None` for the supervisor
    /// itself.
    path: Option<Arc<str>>,
    source: Arc<dyn Error + Send + Sync>,
}

impl StartError {
    /// Returns the error of the child `id`. Where that is a supervisor whose own child is to blame, the path
    /// goes on to that child.
    pub(super) fn new(id: &str, source: Box<dyn Error + Send + Sync>) -> StartError {
        let (below, source) = match source.downcast::<StartError>() {
            Ok(below) => (below.path, below.source),
            Err(source) => (None, source.into()),
        };
        let path = match below {
            Some(below) => format!("{id}/{below}").into(),
            None => id.into(),
        };
        StartError { path: Some(path), source }
    }

    /// Returns the error of a supervisor without any child to blame.
    pub(super) fn of_supervisor(source: Box<dyn Error + Send + Sync>) -> StartError {
        StartError { path: None, source: source.into() }
    }

    /// Returns the error of a supervisor that is there for the sake of its children, of which none has
    /// anything to do.
    pub(super) fn ignored() -> StartError {
        StartError::of_supervisor(Ignore.into())
    }

    /// Returns true if this is [`StartError::ignored`].
    pub(super) fn is_ignored(&self) -> bool {
        self.path.is_none() && self.source.is::<Ignore>()
    }

    /// Returns the id of the child that could not be started, or `None` if it was the supervisor itself. The
    /// child of a supervisor further down has the ids on the way to it, with `/` between them.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::supervisor::{ChildSpec, Supervisor};
    ///
    /// let broken = ChildSpec::<()>::start_with("broken", |_| Err("no luck".into()));
    /// let error = Supervisor::one_for_one().child(broken).start().wait().unwrap_err();
    /// assert_eq!(error.child(), Some("broken"));
    /// assert_eq!(error.to_string(), "the child broken could not be started: no luck");
    /// ```
    pub fn child(&self) -> Option<&str> {
        self.path.as_deref()
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "the child {path} could not be started: {}", self.source),
            None if self.is_ignored() => f.write_str("there is nothing to do for any of the children"),
            None => write!(f, "the supervisor could not be started: {}", self.source),
        }
    }
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartError").field("child", &self.path).field("source", &self.source).finish()
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// A supervisor or a child that cannot be as it has been described: the [source](Error::source) of a
/// [`StartError`].
///
/// # Examples
/// ```
/// use std::{error::Error, time::Duration};
/// use twoply::Wait;
/// use twoply::actor::supervisor::{PlanError, Supervisor};
///
/// let error = Supervisor::one_for_one().intensity(1, Duration::ZERO).start().wait().unwrap_err();
/// let source = error.source().and_then(|source| source.downcast_ref::<PlanError>());
/// assert_eq!(source, Some(&PlanError::NoPeriod));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Two children have the same id.
    #[error("another child of the supervisor has the same id")]
    SameId,
    /// A [significant](super::ChildSpec::significant) child is [permanent](super::Restart::Permanent): it is
    /// restarted whenever it ends, so its supervisor would never end with it.
    #[error("a permanent child cannot be significant, because it is always restarted")]
    SignificantAndPermanent,
    /// A child that can be started [once](super::ChildSpec::once) only is to be restarted.
    #[error("a child that can be started once only must be temporary")]
    OnceButNotTemporary,
    /// A child is [significant](super::ChildSpec::significant), but its supervisor
    /// [never](super::AutoShutdown::Never) ends with its children.
    #[error("the child is significant, but its supervisor does not end with its children")]
    SignificantForNobody,
    /// The children of a [dynamic](super::Strategy::Dynamic) supervisor come and go; it does not end with
    /// them.
    #[error("a dynamic supervisor cannot end with its children")]
    DynamicWithAutoShutdown,
    /// The supervisor begins with more children than it [may have](super::Supervisor::max_children), which is
    /// this number.
    #[error("the supervisor may have {0} children at most")]
    TooManyChildren(usize),
    /// The period of the [intensity](super::Supervisor::intensity), or of a child's
    /// [own limit](super::ChildSpec::restart_limit), is zero, in which nothing can be counted.
    #[error("the period in which restarts are counted is zero")]
    NoPeriod,
}

/// The error of a [start](super::ChildSpec::start_with) that finds nothing to do: there will be no process,
/// and nothing has gone wrong. This is the `ignore` of Erlang's start functions.
///
/// An actor says so by [`Context::ignore`](crate::actor::Context::ignore), and where a start returns
/// [`StartActorError::Ignored`](crate::actor::StartActorError::Ignored), that means the same. A
/// [pool](crate::actor::Pool) has nothing to do if that is so of all its members. The supervisor starts the
/// others as if this child ran. It keeps the child, without a process, and starts it again when it restarts
/// all of them or when [asked](super::SupervisorRef::restart_child); it forgets the child if that is
/// [temporary](super::Restart::Temporary), or under [`Strategy::Dynamic`](super::Strategy::Dynamic).
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::actor::Process;
/// use twoply::actor::supervisor::{ChildSpec, ChildState, Ignore, Supervisor};
///
/// let metrics = ChildSpec::start_with("metrics", |starter| {
///     let address = std::env::var("METRICS_ADDRESS").map_err(|_| Ignore)?;
///     Ok(starter.spawn(async move |mut me: Process<u64>| {
///         while let Some(value) = me.receive().await.message() {
///             println!("{value} to {address}");
///         }
///     })?)
/// });
/// let supervisor = Supervisor::one_for_one().child(metrics).start().wait()?;
/// assert_eq!(supervisor.children().wait()?[0].state, ChildState::Stopped);
/// # supervisor.stop().wait();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is nothing for the child to do")]
pub struct Ignore;

/// The answer of a supervisor that does not do what it was asked.
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::supervisor::{ChildError, Supervisor}};
///
/// let supervisor = Supervisor::one_for_one().start().wait()?;
/// assert!(matches!(supervisor.restart_child("nobody").wait(), Err(ChildError::NotFound)));
/// # supervisor.stop().wait();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// The supervisor has no such child.
    #[error("the supervisor has no such child")]
    NotFound,
    /// The supervisor has a child with this id, which does not run.
    #[error("the supervisor has a child with this id, which does not run")]
    AlreadyPresent,
    /// The supervisor has a child with this id, and this is its process.
    #[error("the supervisor has a child with this id, which runs as {0}")]
    AlreadyStarted(Pid),
    /// The child runs, as this process.
    #[error("the child runs, as {0}")]
    Running(Pid),
    /// The child is about to be restarted.
    #[error("the child is about to be restarted")]
    Restarting,
    /// The child could not be started.
    #[error(transparent)]
    NotStarted(StartError),
    /// There is nothing for the child to do: it has [said so](super::Ignore). It is kept, to be started by
    /// [`restart_child`](super::SupervisorRef::restart_child), unless it is temporary or its supervisor is
    /// dynamic.
    #[error("there is nothing for the child to do")]
    Ignored,
    /// The supervisor has as many children as it [may have](super::Supervisor::max_children), which is this
    /// number, whether they run or not.
    #[error("the supervisor may have {0} children at most")]
    TooManyChildren(usize),
    /// The supervisor ended before it answered, for this reason.
    #[error("the supervisor has ended: {0}")]
    Ended(ExitReason),
    /// The supervisor did not answer, for this reason.
    #[error("the supervisor did not answer: {0}")]
    NoAnswer(Failure),
}

impl From<Failure> for ChildError {
    fn from(failure: Failure) -> ChildError {
        match failure {
            Failure::NoProcess(reason) => ChildError::Ended(reason),
            failure => ChildError::NoAnswer(failure),
        }
    }
}
