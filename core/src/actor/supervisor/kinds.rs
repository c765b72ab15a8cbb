//! The kinds of children: how a [`ChildSpec`] is made.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use super::ChildKind;
use super::builder::Supervisor;
use super::handle::Control;
use super::spec::ChildSpec;
use super::starter::{Make, Starter};
use crate::actor::{Actor, IntoExit, Process, ProcessRef};
use crate::channel::Receiver;

impl<M: Send + 'static> ChildSpec<M> {
    /// Returns a child that is a process which runs `body`, anew at each start.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let echo = ChildSpec::process("echo", async |mut me: Process<u8>| drop(me.receive().await));
    /// let supervisor = Supervisor::one_for_one().child(echo).start().wait()?;
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process<F, T>(id: impl Into<Arc<str>>, body: F) -> ChildSpec<M>
    where
        F: Fn(Process<M>) -> T + Send + Sync + 'static,
        T: Future<Output: IntoExit + Send> + Send + 'static,
    {
        ChildSpec::start_with(id, move |start| Ok(start.spawn(&body)?))
    }

    /// Returns a child that is a process which runs straight-line code, anew at each start.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let echo = ChildSpec::process_fn("echo", |mut me: Process<u8>| drop(me.receive().wait()));
    /// let supervisor = Supervisor::one_for_one().child(echo).start().wait()?;
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process_fn<F, T>(id: impl Into<Arc<str>>, code: F) -> ChildSpec<M>
    where
        F: Fn(Process<M>) -> T + Send + Sync + 'static,
        T: IntoExit + Send + 'static,
    {
        let code = Arc::new(code);
        ChildSpec::start_with(id, move |start| {
            let code = Arc::clone(&code);
            Ok(start.spawn_fn(move |me| code(me))?)
        })
    }

    /// Returns a child that is an actor, which `make` makes anew for each start. It counts as started when
    /// [`Actor::started`] has returned; an error or a panic in there is a child that could not be started.
    ///
    /// # Examples
    /// ```
    /// use std::convert::Infallible;
    /// use twoply::Wait;
    /// use twoply::actor::{Actor, Context, supervisor::{ChildSpec, Supervisor}};
    ///
    /// struct Sum(u64);
    ///
    /// impl Actor for Sum {
    ///     type Message = u64;
    ///     type Error = Infallible;
    ///     async fn handle(&mut self, n: u64, _: &mut Context<Sum>) -> Result<(), Infallible> {
    ///         self.0 += n;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let sum = ChildSpec::actor("sum", || Sum(0));
    /// let to_sum = sum.reference();
    /// let supervisor = Supervisor::one_for_one().child(sum).start().wait()?;
    /// to_sum.send(3).wait()?;
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn actor<A>(id: impl Into<Arc<str>>, make: impl Fn() -> A + Send + Sync + 'static) -> ChildSpec<M>
    where
        A: Actor<Message = M>,
    {
        ChildSpec::new(id.into(), ChildKind::Worker, Make::actor(make, None))
    }

    /// As [`ChildSpec::actor`], for a member of a pool, which also receives from the queue that it shares
    /// with others.
    pub(in crate::actor) fn member<A>(
        id: impl Into<Arc<str>>,
        make: impl Fn() -> A + Send + Sync + 'static,
        queue: Option<Receiver<M>>,
    ) -> ChildSpec<M>
    where
        A: Actor<Message = M>,
    {
        ChildSpec::new(id.into(), ChildKind::Worker, Make::actor(make, queue))
    }

    /// Returns a child that `start` starts, each time anew, with [`Starter::spawn`] or another of its
    /// methods; see there for an example.
    ///
    /// The child counts as started when `start` returns. So if it needs to be ready first, `start` waits for
    /// that, with [`wait`](crate::Wait::wait): it asks the new process something. The supervisor does nothing
    /// else meanwhile. When `start` returns an error or panics, what it has spawned is killed, and the child
    /// could not be started.
    pub fn start_with<F>(id: impl Into<Arc<str>>, start: F) -> ChildSpec<M>
    where
        F: Fn(&mut Starter<'_, M>) -> Result<ProcessRef<M>, Box<dyn Error + Send + Sync>>
            + Send
            + Sync
            + 'static,
    {
        ChildSpec::new(id.into(), ChildKind::Worker, Make::process(start))
    }
}

impl ChildSpec<Control> {
    /// Returns a child that is a supervisor, with all its children. It is started as often as needed, each
    /// time with the children that it has been given here.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let leaf = ChildSpec::process("leaf", async |mut me: Process<()>| drop(me.receive().await));
    /// let branch = ChildSpec::supervisor("branch", Supervisor::one_for_all().child(leaf));
    /// let root = Supervisor::one_for_one().child(branch).start().wait()?;
    /// assert_eq!(root.count().wait()?.supervisors, 1);
    /// # root.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn supervisor(id: impl Into<Arc<str>>, supervisor: Supervisor) -> ChildSpec<Control> {
        let template = Arc::new(supervisor.into_template());
        let below = Arc::clone(&template.plan);
        let mut spec = ChildSpec::new(id.into(), ChildKind::Supervisor, Make::supervisor(template));
        spec.below = Some(below);
        spec
    }
}
