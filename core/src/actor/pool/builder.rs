//! The start of a pool: [`PoolBuilder`].

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread::available_parallelism;
use std::time::Duration;

use super::routing::{Route, Routing};
use super::sending::Waits;
use super::{Member, Pool, Shared};
use crate::actor::supervisor::{
    ChildRef, ChildSpec, Events, Mailbox, Report, Restart, StartError, StartingSupervisor, Supervisor,
};
use crate::actor::{Actor, Builder, Process, ProcessRef};
use crate::base::sync::lock_std;
use crate::channel::Receiver;
use crate::kernel::backend::Backend;
use crate::sync::{self, OwnedMutexGuard};

/// A setting of the user's, applied to the builder of each member.
type Setting<M> = Arc<dyn Fn(Builder<M>) -> Builder<M> + Send + Sync>;

/// Settings of a pool that is to be started; see [`Pool::builder`].
#[must_use = "a builder does nothing until it starts"]
pub struct PoolBuilder<M: Send + 'static> {
    size: usize,
    routing: Routing<M>,
    supervisor: Supervisor,
    settings: Vec<Setting<M>>,
    /// The place in the program where this was made.
    made_at: &'static Location<'static>,
}

impl<M: Send + 'static> PoolBuilder<M> {
    #[track_caller]
    pub(super) fn new() -> PoolBuilder<M> {
        PoolBuilder {
            size: available_parallelism().map_or(1, usize::from),
            routing: Routing::round_robin(),
            supervisor: Supervisor::one_for_one().ending_with_its_children(),
            settings: Vec::new(),
            made_at: Location::caller(),
        }
    }

    /// Lets the pool begin with so many members, at least one.
    pub fn size(mut self, members: usize) -> PoolBuilder<M> {
        self.size = members.max(1);
        self
    }

    /// Says which member gets a message; unless this is called, they take turns.
    pub fn routing(mut self, routing: Routing<M>) -> PoolBuilder<M> {
        self.routing = routing;
        self
    }

    /// Ends the pool when more than `restarts` members have to be restarted within `period`; see
    /// [`Supervisor::intensity`].
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
    /// use std::time::Duration;
    /// use twoply::{Wait, actor::Pool};
    ///
    /// let pool = Pool::builder().size(2).intensity(3, Duration::from_secs(5)).start(|| Quiet).wait()?;
    /// assert_eq!(pool.members().len(), 2);
    /// # pool.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn intensity(mut self, restarts: usize, period: Duration) -> PoolBuilder<M> {
        self.supervisor = self.supervisor.intensity(restarts, period);
        self
    }

    /// Has `observer` called with what happens to members; see [`Supervisor::on_report`].
    pub fn on_report(mut self, observer: impl Fn(&Report) + Send + Sync + 'static) -> PoolBuilder<M> {
        self.supervisor = self.supervisor.on_report(observer);
        self
    }

    /// Runs the members and their supervisor on `backend`.
    pub fn on(mut self, backend: &Arc<dyn Backend>) -> PoolBuilder<M> {
        self.supervisor = self.supervisor.on(backend);
        let backend = Arc::clone(backend);
        self.settings(move |builder| builder.on(&backend))
    }

    /// Has `settings` applied to the builder of each member: its capacity, the hook for what is undelivered.
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
    /// use twoply::{Wait, actor::Pool};
    ///
    /// let small = |builder: twoply::actor::Builder<u32>| builder.capacity(8);
    /// let pool = Pool::builder().size(2).settings(small).start(|| Quiet).wait()?;
    /// assert_eq!(pool.members()[0].capacity(), Some(8));
    /// # pool.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn settings<F>(mut self, settings: F) -> PoolBuilder<M>
    where
        F: Fn(Builder<M>) -> Builder<M> + Send + Sync + 'static,
    {
        self.settings.push(Arc::new(settings));
        self
    }

    /// Starts the pool: each member is an actor that `make` makes, anew for each restart. It has started when
    /// all members have.
    ///
    /// # Errors
    /// When a member cannot be started (then all are stopped again), or the supervisor cannot be. Members
    /// that [ignore](crate::actor::Context::ignore) their start are left out; where all of them do, that is
    /// an error, too, whose [source](std::error::Error::source) is
    /// [`Ignore`](crate::actor::supervisor::Ignore).
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
    /// use twoply::{Wait, actor::Pool};
    ///
    /// let pool = Pool::builder().size(2).start(|| Quiet).wait()?;
    /// pool.send(7).wait()?;
    /// # pool.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn start<A, F>(self, make: F) -> Result<Pool<M>, StartError>
    where
        A: Actor<Message = M>,
        F: Fn() -> A + Send + Sync + 'static,
    {
        self.begin(None::<&Process<()>>, &[], Arc::new(make))?.finish().await
    }

    /// Starts the supervisor, linked to `parent`, which starts the members. What it does is told to `above`,
    /// too.
    pub(in crate::actor) fn begin<P, A, F>(
        self,
        parent: Option<&Process<P>>,
        above: &[Events],
        make: Arc<F>,
    ) -> Result<StartingPool<M>, StartError>
    where
        P: Send + 'static,
        A: Actor<Message = M>,
        F: Fn() -> A + Send + Sync + 'static,
    {
        let (route, queue) = Route::new(self.routing);
        let (settings, made_at) = (self.settings, self.made_at);
        let maker = Arc::new(Maker { make, queue, settings, made_at, process: OnceLock::new() });
        let mut supervisor = self.supervisor;
        let mut members = Vec::new();
        for number in 0..self.size as u64 {
            let spec = Arc::clone(&maker).spec(number);
            members.push((Arc::from(spec.id()), spec.reference()));
            supervisor = supervisor.child(spec);
        }
        let maker_of_more = Arc::downgrade(&maker) as Weak<dyn Members<M>>;
        let supervisor = supervisor.begin(parent, above)?;
        let next = Arc::new(sync::Mutex::new(self.size as u64));
        let turn = Arc::clone(&next).try_lock_owned();
        let pool = Pool(Arc::new(Shared {
            members: Mutex::default(),
            route,
            waits: Waits::new(),
            supervisor: supervisor.supervisor().clone(),
            gone: Mutex::default(),
            maker: maker_of_more,
            next,
        }));
        maker.process.get_or_init(|| pool.new_process());
        Ok(StartingPool { pool, members, supervisor, _turn: turn })
    }
}

/// A pool whose supervisor runs, and now starts the members.
pub(in crate::actor) struct StartingPool<M: Send + 'static> {
    /// It has no members yet.
    pool: Pool<M>,
    /// The ids of the members, and the references that lead to their processes.
    members: Vec<(Arc<str>, ChildRef<M>)>,
    supervisor: StartingSupervisor,
    /// Lets resizes wait for the start.
    _turn: Option<OwnedMutexGuard<u64>>,
}

impl<M: Send + 'static> StartingPool<M> {
    /// Returns the pool, which has no members yet.
    pub(in crate::actor) fn pool(&self) -> &Pool<M> {
        &self.pool
    }

    /// Waits until all members have been started.
    pub(in crate::actor) async fn finish(self) -> Result<Pool<M>, StartError> {
        self.supervisor.finish().await?;
        let mut members = Vec::new();
        for (id, child) in self.members {
            match child.process() {
                Some(process) => members.push(Member { id, process }),
                // It has nothing to do. Where the pool has ended meanwhile there is nothing to delete.
                None => _ = self.pool.delete(&id).await,
            }
        }
        *lock_std(&self.pool.0.members) = Arc::new(members);
        Ok(self.pool)
    }
}

impl<M: Send + 'static> fmt::Debug for PoolBuilder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("size", &self.size)
            .field("routing", &self.routing)
            .finish_non_exhaustive()
    }
}

/// The maker of a pool's members, whatever actors they are.
pub(super) trait Members<M: Send + 'static>: Send + Sync {
    /// Makes the spec of the member with this number.
    fn spec(self: Arc<Self>, number: u64) -> ChildSpec<M>;

    /// Returns the pool as a process.
    fn process(&self) -> Option<ProcessRef<M>>;
}

/// See [`Members`]. The specs that it has made hold it.
struct Maker<F, M: Send + 'static> {
    make: Arc<F>,
    /// The queue that the members share, if they do.
    queue: Option<Receiver<M>>,
    settings: Vec<Setting<M>>,
    /// The place in the program where the pool was made.
    made_at: &'static Location<'static>,
    /// The pool as a process. It is kept as long as the supervisor runs: what is on its way to it, as a
    /// message that is sent later, does not keep it.
    process: OnceLock<ProcessRef<M>>,
}

impl<A, F, M> Members<M> for Maker<F, M>
where
    M: Send + 'static,
    A: Actor<Message = M>,
    F: Fn() -> A + Send + Sync + 'static,
{
    fn process(&self) -> Option<ProcessRef<M>> {
        self.process.get().cloned()
    }

    fn spec(self: Arc<Self>, number: u64) -> ChildSpec<M> {
        let (queue, settings) = (self.queue.clone(), self.settings.clone());
        let made_at = self.made_at;
        let spec = ChildSpec::member(format!("member {number}"), move || (self.make)(), queue);
        let spec =
            settings.into_iter().fold(spec, |spec, setting| spec.settings(move |builder| setting(builder)));
        spec.at(made_at).restart(Restart::Transient).significant(true).mailbox(Mailbox::Keep)
    }
}
