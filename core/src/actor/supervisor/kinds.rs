//! The kinds of children: how a [`ChildSpec`] is made.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex};

use super::ChildKind;
use super::builder::Supervisor;
use super::error::Ignore;
use super::handle::Control;
use super::spec::ChildSpec;
#[cfg(doc)]
use super::spec::Restart;
use super::starter::{Make, Starter};
#[cfg(doc)]
use crate::actor::Pool;
use crate::actor::{Actor, IntoExit, PoolBuilder, Process, ProcessRef};
use crate::base::sync::lock_std;
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
    #[track_caller]
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
    #[track_caller]
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
    #[track_caller]
    pub fn actor<A>(id: impl Into<Arc<str>>, make: impl Fn() -> A + Send + Sync + 'static) -> ChildSpec<M>
    where
        A: Actor<Message = M>,
    {
        ChildSpec::new(id.into(), ChildKind::Worker, Make::actor(move || Ok(make()), None))
    }

    /// Returns a child that is a process which runs `body`, once: a [temporary](Restart::Temporary) child,
    /// which is never restarted. `body` may move what it has captured. Where the supervisor itself is
    /// restarted, there is [nothing to do](Ignore) for the child any more, and it is forgotten.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, channel};
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let connections = Supervisor::dynamic().start().wait()?;
    /// let (socket, served) = channel::oneshot(); // There is no second one of it.
    /// let connection = ChildSpec::once("connection", async move |mut me: Process<u8>| {
    ///     socket.send(me.receive().await.message()).expect("somebody waits");
    /// });
    /// let to_connection = connection.reference();
    /// connections.start_child(connection).wait()?;
    /// to_connection.send(7).wait()?;
    /// assert_eq!(served.wait()?, Some(7));
    /// # connections.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn once<F, T>(id: impl Into<Arc<str>>, body: F) -> ChildSpec<M>
    where
        F: FnOnce(Process<M>) -> T + Send + 'static,
        T: Future<Output: IntoExit + Send> + Send + 'static,
    {
        let body = Once::new(body);
        ChildSpec::start_with(id, move |start| Ok(start.spawn(body.take()?)?)).only_once()
    }

    /// As [`ChildSpec::once`], with straight-line code.
    ///
    /// ```
    /// use twoply::{Wait, channel};
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let connections = Supervisor::dynamic().start().wait()?;
    /// let (socket, served) = channel::oneshot();
    /// let connection = ChildSpec::once_fn("connection", move |_: Process<()>| socket.send(7).unwrap());
    /// connections.start_child(connection).wait()?;
    /// assert_eq!(served.wait()?, 7);
    /// # connections.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn once_fn<F, T>(id: impl Into<Arc<str>>, code: F) -> ChildSpec<M>
    where
        F: FnOnce(Process<M>) -> T + Send + 'static,
        T: IntoExit + Send + 'static,
    {
        let code = Once::new(code);
        ChildSpec::start_with(id, move |start| Ok(start.spawn_fn(code.take()?)?)).only_once()
    }

    /// As [`ChildSpec::once`], with an actor; see [`ChildSpec::actor`] for when it counts as started.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use twoply::actor::{Actor, Context};
    /// # struct Quiet;
    /// # impl Actor for Quiet {
    /// #     type Message = u32;
    /// #     type Error = Infallible;
    /// #     async fn handle(&mut self, _: u32, _: &mut Context<Quiet>) -> Result<(), Infallible> {
    /// #         Ok(())
    /// #     }
    /// # }
    /// use twoply::Wait;
    /// use twoply::actor::supervisor::{ChildSpec, Supervisor};
    ///
    /// let actor = ChildSpec::actor_once("quiet", Quiet);
    /// let to_actor = actor.reference();
    /// let supervisor = Supervisor::one_for_one().child(actor).start().wait()?;
    /// to_actor.send(7).wait()?;
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn actor_once<A>(id: impl Into<Arc<str>>, actor: A) -> ChildSpec<M>
    where
        A: Actor<Message = M>,
    {
        let actor = Once::new(actor);
        let make = Make::actor(move || Ok(actor.take()?), None);
        ChildSpec::new(id.into(), ChildKind::Worker, make).only_once()
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
        ChildSpec::new(id.into(), ChildKind::Worker, Make::actor(move || Ok(make()), queue))
    }

    /// Returns a child that is a [pool](crate::actor::Pool): what `pool` builds, with members that `make`
    /// makes, all of them anew at each start. It is stopped as a supervisor is, with all its members, and
    /// when it ends because too many of them have failed, it is restarted with fresh ones; what waited for
    /// those is gone, whatever [`mailbox`](ChildSpec::mailbox) says. References to the child are those of
    /// [`Pool::process`], and [`Pool::of`] leads back to the pool.
    ///
    /// Members are built as [`PoolBuilder::settings`] says and run where [`PoolBuilder::on`] does, and not as
    /// [`ChildSpec::settings`] and [`ChildSpec::on`] say. The pool has its [names](ChildSpec::register) from
    /// when its members have been started; if one is taken, they are stopped, and the child cannot be
    /// started.
    ///
    /// # Examples
    /// ```
    /// # use std::convert::Infallible;
    /// # use twoply::actor::{Actor, Context};
    /// # struct Quiet;
    /// # impl Actor for Quiet {
    /// #     type Message = u32;
    /// #     type Error = Infallible;
    /// #     async fn handle(&mut self, _: u32, _: &mut Context<Quiet>) -> Result<(), Infallible> {
    /// #         Ok(())
    /// #     }
    /// # }
    /// use twoply::{Wait, actor::Pool};
    /// use twoply::actor::supervisor::{ChildSpec, Supervisor};
    ///
    /// let workers = ChildSpec::pool("workers", || Pool::builder().size(3), || Quiet);
    /// let to_workers = workers.reference();
    /// let supervisor = Supervisor::one_for_one().child(workers).start().wait()?;
    /// to_workers.send(7).wait()?;
    /// let pool = to_workers.process().and_then(|process| Pool::of(&process)).expect("it runs");
    /// assert_eq!(pool.members().len(), 3);
    /// supervisor.stop().wait();
    /// assert!(pool.members().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn pool<A, F>(
        id: impl Into<Arc<str>>,
        pool: impl Fn() -> PoolBuilder<M> + Send + Sync + 'static,
        make: F,
    ) -> ChildSpec<M>
    where
        A: Actor<Message = M>,
        F: Fn() -> A + Send + Sync + 'static,
    {
        ChildSpec::new(id.into(), ChildKind::Supervisor, Make::pool(pool, make))
    }

    /// Returns a child that `start` starts, each time anew, with [`Starter::spawn`] or another of its
    /// methods; see there for an example.
    ///
    /// The child counts as started when `start` returns. So if it needs to be ready first, `start` waits for
    /// that, with [`wait`](crate::Wait::wait): it asks the new process something. The supervisor does nothing
    /// else meanwhile. When `start` returns an error or panics, what it has spawned is killed, and the child
    /// could not be started.
    #[track_caller]
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

impl ChildSpec<Infallible> {
    /// Returns a child that is a task: the future that `make` makes, anew for each start, which takes no
    /// messages. It is stopped as any child: its future is dropped at its await point.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, time};
    /// use twoply::actor::supervisor::{ChildSpec, Supervisor};
    ///
    /// let cleaner = ChildSpec::task("cleaner", async || loop {
    ///     time::sleep(Duration::from_secs(60)).await;
    ///     println!("cleaning");
    /// });
    /// let supervisor = Supervisor::one_for_one().child(cleaner).start().wait()?;
    /// assert_eq!(supervisor.count().wait()?.active, 1);
    /// supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn task<F, T>(id: impl Into<Arc<str>>, make: F) -> ChildSpec<Infallible>
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output: IntoExit + Send> + Send + 'static,
    {
        ChildSpec::process(id, move |_| make())
    }

    /// Returns a child that is a task of straight-line code, run anew for each start, which takes no
    /// messages. It is stopped by unwinding from its wait.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, time};
    /// use twoply::actor::supervisor::{ChildSpec, Supervisor};
    ///
    /// let cleaner = ChildSpec::task_fn("cleaner", || loop {
    ///     time::sleep(Duration::from_secs(60)).wait();
    ///     println!("cleaning");
    /// });
    /// let supervisor = Supervisor::one_for_one().child(cleaner).start().wait()?;
    /// assert_eq!(supervisor.count().wait()?.active, 1);
    /// supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn task_fn<F, T>(id: impl Into<Arc<str>>, code: F) -> ChildSpec<Infallible>
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: IntoExit + Send + 'static,
    {
        ChildSpec::process_fn(id, move |_| code())
    }

    /// Returns a child that is this one task, as [`ChildSpec::once`] does: it is never restarted. This is
    /// `Task.Supervisor.start_child` of Elixir, where the supervisor is [dynamic](Supervisor::dynamic).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, channel};
    /// use twoply::actor::supervisor::{ChildSpec, Supervisor};
    ///
    /// let tasks = Supervisor::dynamic().start().wait()?;
    /// let (done, result) = channel::oneshot();
    /// tasks.start_child(ChildSpec::task_once("sum", async move { done.send(1 + 2) })).wait()?;
    /// assert_eq!(result.wait()?, 3);
    /// # tasks.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn task_once<T>(id: impl Into<Arc<str>>, task: T) -> ChildSpec<Infallible>
    where
        T: Future<Output: IntoExit + Send> + Send + 'static,
    {
        ChildSpec::once(id, move |_| task)
    }
}

/// A value for the one start of a child.
struct Once<T>(Mutex<Option<T>>);

impl<T> Once<T> {
    fn new(value: T) -> Once<T> {
        Once(Mutex::new(Some(value)))
    }

    /// Takes the value. Whoever comes later has nothing to do.
    fn take(&self) -> Result<T, Ignore> {
        lock_std(&self.0).take().ok_or(Ignore)
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
    #[track_caller]
    pub fn supervisor(id: impl Into<Arc<str>>, supervisor: Supervisor) -> ChildSpec<Control> {
        let template = Arc::new(supervisor.into_template());
        let below = Arc::clone(&template.plan);
        let mut spec = ChildSpec::new(id.into(), ChildKind::Supervisor, Make::supervisor(template));
        spec.below = Some(below);
        spec
    }
}
