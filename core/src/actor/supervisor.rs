//! Supervisors: processes that start others, and restart them when they end.
//!
//! A supervisor is told what its children are ([`ChildSpec`]) and what to do when one ends ([`Strategy`]). It
//! is a process itself: it links its children, traps their exits, and ends when it can do no more, so that
//! its own supervisor decides. The semantics are those of OTP's `supervisor`:
//!
//! - Children are **started** in order, each when the one before it has started. They are **stopped** in the
//!   reverse order: asked to by [`ExitReason::Shutdown`](super::ExitReason::Shutdown), and killed when their
//!   time ([`Shutdown`]) is over.
//! - If a child cannot be started, those before it are stopped, and the supervisor has not started.
//! - While a child is being started its supervisor does nothing else, and nothing but
//!   [`ExitReason::Kill`](super::ExitReason::Kill) ends it. So [`started`](super::Actor::started) should not
//!   wait for what may never come, or set a [limit](crate::time::timeout()) to that.
//! - When a child **ends**, its [`Restart`] and the reason say whether it is restarted, and the strategy says
//!   who else is. If a restart fails, it is tried again, which counts as another restart.
//! - More than so many restarts in so much time ([`Supervisor::intensity`]) are too many: the supervisor
//!   stops all children and ends with `Shutdown`.
//! - It ends, too, when its parent does, with the parent's reason, or when somebody who is no process sends
//!   it an exit signal. All children are stopped first.
//!
//! Children may run on different backends, their supervisor on yet another. What becomes of a child's mailbox
//! is said by [`Mailbox`].
//!
//! ```
//! use std::time::Duration;
//! use twoply::Wait;
//! use twoply::actor::Process;
//! use twoply::actor::supervisor::{ChildSpec, Supervisor};
//!
//! let counter = ChildSpec::process("counter", async |mut me: Process<u32>| {
//!     let mut sum = 0;
//!     while let Some(n) = me.receive().await.message() {
//!         sum += n;
//!         assert!(sum < 100, "too much");
//!     }
//! });
//! let numbers = counter.reference();
//! let supervisor = Supervisor::one_for_one()
//!     .intensity(3, Duration::from_secs(10))
//!     .child(counter)
//!     .start()
//!     .wait()?;
//! numbers.send(99).wait()?;
//! numbers.send(1).wait()?; // It panics, and starts anew.
//! println!("{}", supervisor.tree().wait()?);
//! supervisor.stop().wait();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Inside
//! `plan` is what outlives a supervisor's process, `erased` what outlives a child's. `engine` is the process,
//! `restart` and `stop` how it restarts and stops children, `children` its table of them; `starter` starts
//! one.
//! A supervisor holds nothing that others lock, and is asked by messages only.

mod backoff;
mod builder;
mod child_ref;
mod children;
mod engine;
mod erased;
mod error;
mod find;
mod handle;
mod intensity;
mod kinds;
mod partitions;
mod plan;
mod report;
mod restart;
mod spec;
mod starter;
mod stop;
mod tree;

use std::fmt;
use std::sync::Arc;

pub use backoff::Backoff;
pub(super) use backoff::Pace;
pub use builder::Supervisor;
pub use child_ref::ChildRef;
pub use error::{ChildError, Ignore, PlanError, StartError};
pub use handle::{Control, SupervisorRef};
pub use partitions::Partitions;
pub(super) use plan::StartingSupervisor;
pub(super) use report::Events;
pub use report::{Report, SupervisorEvent};
pub use spec::{ChildSpec, Mailbox, Restart, Shutdown};
pub use starter::Starter;
pub use tree::{Branch, ChildInfo, ChildState, Counts, Tree};

use super::Pid;

/// Says whom a supervisor restarts when a child has to be restarted.
///
/// # Examples
/// ```
/// use twoply::actor::supervisor::Strategy;
///
/// assert_eq!(Strategy::RestForOne.to_string(), "rest_for_one");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The supervisor restarts the child.
    OneForOne,
    /// The supervisor restarts all children: those that run are stopped, then all are started.
    OneForAll,
    /// The supervisor restarts the child and all that were started after it.
    RestForOne,
    /// The supervisor restarts the child. Children have no order and their ids are but labels: any number may
    /// have the same one. They are told apart by their processes, stopped all at once, and forgotten when
    /// they end and are not restarted. OTP calls this `simple_one_for_one`.
    Dynamic,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Strategy::OneForOne => "one_for_one",
            Strategy::OneForAll => "one_for_all",
            Strategy::RestForOne => "rest_for_one",
            Strategy::Dynamic => "dynamic",
        })
    }
}

/// Says whether a supervisor ends, with all its children, because [significant](ChildSpec::significant) ones
/// have ended by themselves and are not restarted.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::actor::Process;
/// use twoply::actor::supervisor::{AutoShutdown, ChildSpec, Restart, Supervisor};
///
/// let job = ChildSpec::process("job", async |mut me: Process<()>| drop(me.receive().await));
/// let job = job.restart(Restart::Transient).significant(true);
/// let to_job = job.reference();
/// let supervisor = Supervisor::one_for_one().auto_shutdown(AutoShutdown::AnySignificant).child(job);
/// let supervisor = supervisor.start().wait()?;
/// to_job.send(()).wait()?; // It is done, and so is the supervisor.
/// assert!(supervisor.pid().ended().wait().is_orderly());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoShutdown {
    /// The supervisor does not end.
    #[default]
    Never,
    /// The supervisor ends when one of them has ended.
    AnySignificant,
    /// The supervisor ends when all of them have ended.
    AllSignificant,
}

/// The kind of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildKind {
    /// The child is no supervisor.
    Worker,
    /// The child is a supervisor.
    Supervisor,
}

impl fmt::Display for ChildKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChildKind::Worker => "worker",
            ChildKind::Supervisor => "supervisor",
        })
    }
}

/// Selects a child of a supervisor, by its id or by its process.
///
/// Users rarely name this type: the methods of [`SupervisorRef`] take `&str` and `&Pid` for it.
///
/// # Examples
/// ```
/// use twoply::actor::supervisor::ChildSelector;
///
/// assert_eq!(ChildSelector::from("store"), ChildSelector::Id("store".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildSelector {
    /// Selects the child with this id; under [`Strategy::Dynamic`] only where no other child has the same id.
    Id(Arc<str>),
    /// Selects the child that runs as this process, or ran as it last and is being restarted.
    Pid(Pid),
}

impl From<&str> for ChildSelector {
    fn from(id: &str) -> ChildSelector {
        ChildSelector::Id(id.into())
    }
}

impl From<&Pid> for ChildSelector {
    fn from(pid: &Pid) -> ChildSelector {
        ChildSelector::Pid(pid.clone())
    }
}

impl From<Pid> for ChildSelector {
    fn from(pid: Pid) -> ChildSelector {
        ChildSelector::Pid(pid)
    }
}
