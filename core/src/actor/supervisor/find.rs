//! The ways to a supervisor: by its name, by a process that it has started, by the reference to a child.

#[cfg(doc)]
use super::Supervisor;
use super::child_ref::ChildRef;
use super::handle::{Control, SupervisorRef};
use crate::actor::{Pid, Process, Registry, WrongTypeError};

impl SupervisorRef {
    /// Returns the supervisor with this name in the [global registry](Registry::global); `None` if nobody has
    /// the name. [`Supervisor::register`] gives one, and so does [`ChildSpec::register`] to a supervisor that
    /// is a child.
    ///
    /// # Errors
    /// When the process with this name is no supervisor.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::supervisor::{Supervisor, SupervisorRef};
    ///
    /// let supervisor = Supervisor::dynamic().register("sessions").start().wait()?;
    /// let sessions = SupervisorRef::named("sessions")?.expect("it runs");
    /// assert_eq!(sessions.pid(), supervisor.pid());
    /// supervisor.stop().wait();
    /// assert!(SupervisorRef::named("sessions")?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [`ChildSpec::register`]: super::ChildSpec::register
    pub fn named(name: &str) -> Result<Option<SupervisorRef>, WrongTypeError> {
        SupervisorRef::named_in(&Registry::global(), name)
    }

    /// As [`SupervisorRef::named`], in `registry`.
    ///
    /// # Errors
    /// As [`SupervisorRef::named`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{Registry, supervisor::{Supervisor, SupervisorRef}}};
    ///
    /// let registry = Registry::new();
    /// let root = Supervisor::one_for_one().register_in(&registry, "root").start().wait()?;
    /// let found = SupervisorRef::named_in(&registry, "root")?.expect("it has the name");
    /// assert_eq!(found.pid(), root.pid());
    /// # root.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn named_in(registry: &Registry, name: &str) -> Result<Option<SupervisorRef>, WrongTypeError> {
        Ok(registry.whereis::<Control>(name)?.map(SupervisorRef::new))
    }

    /// Returns the supervisor that `process` is a child of; `None` if it is none, is on another node, has
    /// ended or has taken the link to its supervisor back. The child may be a supervisor itself.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor, SupervisorRef}};
    ///
    /// let child = ChildSpec::process("child", async |mut me: Process<()>| drop(me.receive().await));
    /// let to_child = child.reference();
    /// let supervisor = Supervisor::one_for_one().child(child).start().wait()?;
    /// let pid = to_child.pid().expect("it runs");
    /// assert_eq!(SupervisorRef::of(&pid).map(|found| found.pid()), Some(supervisor.pid()));
    /// assert!(SupervisorRef::of(&supervisor.pid()).is_none());
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(process: &Pid) -> Option<SupervisorRef> {
        let parent = process.info()?.parent?;
        parent.downcast::<Control>().map(SupervisorRef::new)
    }
}

impl<M: Send + 'static> Process<M> {
    /// Returns the supervisor that this process is a child of, if it is one; see [`SupervisorRef::of`]. An
    /// actor has this through its [`Context`](crate::actor::Context).
    ///
    /// A child must not wait for its supervisor while that starts or stops it: each would wait for the other.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Restart, Supervisor}};
    ///
    /// let first = ChildSpec::process("first", async |me: Process<()>| {
    ///     let supervisor = me.supervisor().expect("it is a child");
    ///     let second = ChildSpec::process("second", async |mut me: Process<()>| drop(me.receive().await));
    ///     supervisor.start_child(second).await.map(drop)
    /// });
    /// let supervisor = Supervisor::one_for_one().child(first.restart(Restart::Transient)).start().wait()?;
    /// while supervisor.count().wait()?.specs < 2 {
    ///     std::thread::yield_now();
    /// }
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn supervisor(&self) -> Option<SupervisorRef> {
        SupervisorRef::of(&self.pid())
    }
}

impl ChildRef<Control> {
    /// Returns the supervisor that the child is at the moment; `None` while it does not run. What is returned
    /// does not follow restarts.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::supervisor::{ChildSpec, Supervisor};
    ///
    /// let branch = ChildSpec::supervisor("branch", Supervisor::dynamic());
    /// let to_branch = branch.reference();
    /// let root = Supervisor::one_for_one().child(branch).start().wait()?;
    /// let branch = to_branch.as_supervisor().expect("it runs");
    /// assert_eq!(branch.count().wait()?.specs, 0);
    /// # root.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn as_supervisor(&self) -> Option<SupervisorRef> {
        self.process().filter(|process| !process.is_closed()).map(SupervisorRef::new)
    }
}
