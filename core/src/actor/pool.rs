//! Pools: several actors of one kind behind one reference, [`Pool`].
//!
//! A message goes to one of the members, which [`Routing`] says; it goes there by the hand of whoever sends
//! it, so there is no router that could be in the way. The members are children of a supervisor of the pool's
//! own, which restarts those that fail; each [keeps its mailbox](super::supervisor::Mailbox::Keep), so its
//! reference stays valid, and what waits in it is handled by the successor.
//!
//! Where a process is wanted, [`Pool::process`] stands for the pool; [`ChildSpec::pool`] is a pool that is a
//! child of a supervisor.
//!
//! Several actors on one mailbox are a pool with [`Routing::first_idle`]: the messages wait in a channel,
//! which each member receives from when it has nothing else to do.

mod builder;
mod members;
mod routing;
mod sending;

use std::fmt;
use std::sync::{Arc, Mutex, Weak};

use self::builder::Members;
pub use self::builder::PoolBuilder;
use self::routing::Route;
pub use self::routing::Routing;
use self::sending::Waits;
#[cfg(doc)]
use super::supervisor::ChildSpec;
use super::supervisor::{ChildError, SupervisorRef};
use super::{ExitReason, ProcessRef};
use crate::base::sync::lock_std;
use crate::channel::{Sending, TrySendError};
use crate::future::join_all;
use crate::promise::{Failure, Resolver, answer};
use crate::sync;
use crate::task::shield;

/// Several actors of one kind, behind one reference. Clones are the same pool; dropping them does not stop
/// it.
///
/// Where a member fails, the pool's supervisor restarts it: what waits in its mailbox is handled then, in
/// order, and the message that it was handling is lost; a question among that fails with the reason. A member
/// that stops by itself, in order, is gone, and what waits in its mailbox is
/// [undelivered](super::Builder::on_undelivered); with the last one the pool ends, also where that one is
/// stopped by [`terminate_child`](SupervisorRef::terminate_child), or is restarted and has [nothing to
/// do](super::Context::ignore). Messages of one sender arrive in order at each member, and in no order at
/// different ones.
///
/// # Examples
/// ```
/// use std::convert::Infallible;
/// use twoply::Wait;
/// use twoply::actor::{Actor, Context, Pool, Routing};
/// use twoply::promise::Resolver;
///
/// struct Squares;
///
/// struct Square(u64, Resolver<u64>);
///
/// impl Actor for Squares {
///     type Message = Square;
///     type Error = Infallible;
///
///     async fn handle(&mut self, Square(n, reply): Square, _: &mut Context<Squares>) -> Result<(), Infallible> {
///         _ = reply.resolve(n * n);
///         Ok(())
///     }
/// }
///
/// let pool = Pool::builder().size(3).routing(Routing::first_idle(16)).start(|| Squares).wait()?;
/// assert_eq!(pool.ask(|reply| Square(7, reply)).wait()?, 49);
/// pool.resize(5).wait()?;
/// assert_eq!(pool.members().len(), 5);
/// pool.stop_gracefully().wait();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pool<M: Send + 'static>(Arc<Shared<M>>);

/// The part that all clones of a pool share.
struct Shared<M: Send + 'static> {
    /// The members, in the order in which they were started. It is replaced as a whole.
    members: Mutex<Arc<Vec<Member<M>>>>,
    route: Route<M>,
    waits: Waits<M>,
    supervisor: SupervisorRef,
    /// The members that have been taken out of the list, and of which the supervisor still has the specs.
    gone: Mutex<Vec<Member<M>>>,
    /// Makes further members. It belongs to the specs of those that there are: with their supervisor it goes,
    /// and with it the receiver of a shared queue.
    maker: Weak<dyn Members<M>>,
    /// The number of the next member, under a lock that makes resizes take turns.
    next: Arc<sync::Mutex<u64>>,
}

/// A member of a pool.
struct Member<M> {
    /// The id of the child.
    id: Arc<str>,
    process: ProcessRef<M>,
}

impl<M> Clone for Member<M> {
    fn clone(&self) -> Member<M> {
        Member { id: Arc::clone(&self.id), process: self.process.clone() }
    }
}

impl<M: Send + 'static> Pool<M> {
    /// Returns a builder for a pool with one member for each core, which take turns.
    #[track_caller]
    pub fn builder() -> PoolBuilder<M> {
        PoolBuilder::new()
    }

    /// Sends `message` to the member that the routing says, and waits for room there: finish it with `.await`
    /// or `.wait()`. A future that is dropped has not sent it. The pool is a [`Sink`](crate::channel::Sink),
    /// as a reference to a process is.
    ///
    /// # Errors
    /// The future's output is an error when no member is left, or the one that the routing says is full and
    /// [refuses](super::Overflow::Fail) then. The message is handed back.
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
    ///
    /// let pool = Pool::builder().size(2).start(|| Quiet).wait()?;
    /// pool.send(1).wait()?;
    /// pool.stop().wait();
    /// assert_eq!(pool.send(2).wait().unwrap_err().into_inner(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send(&self, message: M) -> Sending<'_, M, Pool<M>> {
        Sending::new(self, message)
    }

    /// Sends `message` if that can be done at once: to the member that the routing says, or to the next one
    /// with room, where it is all the same to the routing.
    ///
    /// # Errors
    /// [`Full`](TrySendError::Full) when there is no room, [`Closed`](TrySendError::Closed) when no member is
    /// left. The message is handed back.
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
    /// use twoply::Wait;
    /// use twoply::actor::{Pool, Routing};
    ///
    /// let pool = Pool::builder().size(2).routing(Routing::least_loaded()).start(|| Quiet).wait()?;
    /// pool.try_send(1)?;
    /// pool.stop().wait();
    /// assert!(pool.try_send(2).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_send(&self, message: M) -> Result<(), TrySendError<M>> {
        self.try_send_as(message, false)
    }

    fn try_send_as(&self, message: M, urgent: bool) -> Result<(), TrySendError<M>> {
        if let Some(queue) = self.0.route.queue() {
            return queue.try_send(message);
        }
        let mut message = message;
        loop {
            let members = self.list();
            let Some(first) = self.0.route.choose(&members, &message) else {
                return Err(TrySendError::Closed(message));
            };
            let others = if self.0.route.is_free() { members.len() } else { 1 };
            let mut gone = None;
            for at in (0..others).map(|step| (first + step) % members.len()) {
                let process = &members[at].process;
                let sent =
                    if urgent { process.urgent().try_send(message) } else { process.try_send(message) };
                match sent {
                    Ok(()) => return Ok(()),
                    Err(TrySendError::Full(unsent)) => message = unsent,
                    Err(TrySendError::Closed(unsent)) => {
                        message = unsent;
                        gone = Some(at);
                    }
                }
            }
            match gone {
                Some(at) => self.forget(&members[at]),
                None => return Err(TrySendError::Full(message)),
            }
        }
    }

    /// Sends the message that `question` makes of a resolver, as [`Pool::send`] does, and waits for the
    /// answer.
    ///
    /// # Errors
    /// [`Failure::NoProcess`] when no member is left, or the one that was asked ends before it answers;
    /// [`Failure::Overloaded`] when it is full and [refuses](super::Overflow::Fail) then; and
    /// [`Failure::Broken`] when it drops the question. Where the routing goes by the message, or by who is
    /// idle first, it is not known who will owe the answer: then an end is `Broken`, too, and no circle of
    /// waits is found through this one.
    ///
    /// # Examples
    /// ```
    /// use std::convert::Infallible;
    /// use twoply::{Wait, actor::{Actor, Context, Pool}, promise::Resolver};
    ///
    /// struct Lengths;
    ///
    /// impl Actor for Lengths {
    ///     type Message = (String, Resolver<usize>);
    ///     type Error = Infallible;
    ///
    ///     async fn handle(
    ///         &mut self,
    ///         (text, reply): (String, Resolver<usize>),
    ///         _: &mut Context<Lengths>,
    ///     ) -> Result<(), Infallible> {
    ///         _ = reply.resolve(text.len());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let pool = Pool::builder().size(2).start(|| Lengths).wait()?;
    /// assert_eq!(pool.ask(|reply| ("four".to_owned(), reply)).wait()?, 4);
    /// # pool.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(Resolver<R>) -> M,
    ) -> Result<R, Failure> {
        if let Some(member) = self.0.route.choose_unseen(&self.list()) {
            return member.ask(question).await;
        }
        let (answer, reply) = answer();
        match self.send(question(reply)).await {
            Ok(()) => answer.await,
            Err(_) if self.is_closed() => Err(Failure::NoProcess(ExitReason::NoProcess)),
            Err(_) => Err(Failure::Overloaded),
        }
    }

    /// Sends `message` to every member whose mailbox takes it at once, past any queue that they share.
    /// Returns the number of those. This is no [`Routing`], which names one member: so what is sent to a
    /// pool, and may have to wait, or be given up, has reached one member or none.
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
    ///
    /// let pool = Pool::builder().size(3).start(|| Quiet).wait()?;
    /// assert_eq!(pool.broadcast(&1), 3);
    /// # pool.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn broadcast(&self, message: &M) -> usize
    where
        M: Clone,
    {
        let members = self.list();
        members.iter().filter(|member| member.process.try_send(message.clone()).is_ok()).count()
    }

    /// Returns the pool as a process that takes messages: a reference to be registered, to be a member of a
    /// [`Group`](super::Group) or a subscriber of a [`Topic`](super::Topic), to be sent messages later
    /// ([`send_after`](ProcessRef::send_after)), or to be handed to who knows nothing of pools. A message
    /// goes to the member that the routing says, by the hand of whoever sends it, as with [`Pool::send`]. All
    /// these references are equal.
    ///
    /// Its pid is that of the pool's [supervisor](Pool::supervisor): it ends with the pool, and whoever
    /// monitors it, or links to it, is told then; an exit signal of nobody in particular
    /// ([`ProcessRef::exit`]), [`drain`](ProcessRef::drain) included, stops the pool as [`Pool::stop`] does,
    /// but that messages in a shared queue are dropped. [Urgent](ProcessRef::urgent) messages are urgent at
    /// the member, and nothing special in a queue that the members [share](Routing::first_idle). A question
    /// to it that its member drops, or leaves behind, fails as [`Broken`](Failure::Broken) while the pool
    /// goes on; it is not known who will owe the answer, so no circle of waits is found through it. The
    /// message of a timer that finds no room is lost, and an interval fills members that are busy, because it
    /// cannot tell. It is over when it finds that no member is left. Who has but the pid, such as another
    /// node that was sent that, cannot send to the pool. A weak reference may lead to a pool that has ended.
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
    /// use twoply::{Wait, actor::{Pool, Registry}};
    ///
    /// let registry = Registry::new();
    /// let pool = Pool::builder().size(2).start(|| Quiet).wait()?;
    /// registry.register("workers", &pool.process())?;
    ///
    /// // Somewhere else:
    /// let workers = registry.whereis::<u32>("workers")?.expect("they are there");
    /// workers.send(7).wait()?;
    /// assert_eq!(workers, pool.process());
    /// pool.stop().wait();
    /// assert!(registry.whereis_pid("workers").is_none() && workers.is_closed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process(&self) -> ProcessRef<M> {
        let kept = self.0.maker.upgrade().and_then(|maker| maker.process());
        kept.unwrap_or_else(|| self.new_process())
    }

    /// Returns the pool that `process` is a reference to, if it is one to a pool, to resize it or to look at
    /// its members.
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
    ///
    /// let process = Pool::builder().size(2).start(|| Quiet).wait()?.process();
    /// let pool = Pool::of(&process).expect("it is one");
    /// assert_eq!(pool.members().len(), 2);
    /// assert!(Pool::of(&pool.members()[0]).is_none());
    /// # pool.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(process: &ProcessRef<M>) -> Option<Pool<M>> {
        process.cell().target()?.downcast_ref::<Pool<M>>().cloned()
    }

    /// Returns the members, in the order in which they were started.
    pub fn members(&self) -> Vec<ProcessRef<M>> {
        let members = self.list();
        members.iter().map(|member| member.process.clone()).filter(|process| !process.is_closed()).collect()
    }

    /// Returns the supervisor of the members, to link to it, to monitor it or to look at its tree. To stop
    /// the last member there is to end the pool, so none is left to be
    /// [restarted](SupervisorRef::restart_child), and what waits in a [shared](Routing::first_idle) queue is
    /// dropped; to exchange a member, [resize](Pool::resize) to one more first.
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
    /// let pool = Pool::builder().size(3).start(|| Quiet).wait()?;
    /// assert_eq!(pool.supervisor().children().wait()?.len(), 3);
    /// # pool.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn supervisor(&self) -> &SupervisorRef {
        &self.0.supervisor
    }

    /// Starts members, or stops some, until there are `size`, at least one. Those that were started last are
    /// stopped: they are sent nothing more, and finish what they have been sent
    /// ([`ProcessRef::stop_gracefully`]), which this waits for. Resizes take turns, with the start of the
    /// pool, too. One that is given up has done a part of this; a member that it was starting is there as
    /// soon as it has started. Until then the pool's [supervisor](super::supervisor) does nothing else: a
    /// member that never starts keeps resizes and restarts waiting for ever, and [`stop`](Pool::stop) as
    /// well. The other members are sent messages all the same.
    ///
    /// # Errors
    /// When a member cannot be started, or has nothing to do ([`ChildError::Ignored`]); those that have been
    /// started stay. Or when the pool has ended, as it does with its last member.
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
    ///
    /// let pool = Pool::builder().size(1).start(|| Quiet).wait()?;
    /// pool.resize(3).wait()?;
    /// assert_eq!(pool.members().len(), 3);
    /// pool.resize(2).wait()?;
    /// assert_eq!(pool.members().len(), 2);
    /// # pool.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn resize(&self, size: usize) -> Result<(), ChildError> {
        let size = size.max(1);
        let mut next = Arc::clone(&self.0.next).lock_owned().await;
        // The last member to go would take it along.
        let Some(maker) = self.0.maker.upgrade() else {
            return Err(ChildError::Ended(ExitReason::NoProcess));
        };
        let gone = self.take_surplus(size);
        // Those that are missing come first: the last of the others would take the pool along.
        for _ in self.list().len()..size {
            // The supervisor starts a member in any case. Where nobody waits for that any more, it is in the
            // list nevertheless, and before the next resize.
            next = shield(self.clone().grow(Arc::clone(&maker), next)).await?;
        }
        join_all(gone.iter().map(|member| member.process.stop_gracefully(ExitReason::Shutdown))).await;
        for member in &gone {
            self.delete(&member.id).await?;
            // This is not the last reference to the process, so no message of the user's is dropped.
            lock_std(&self.0.gone).retain(|other| other.id != member.id);
        }
        Ok(())
    }

    /// Stops the pool when its members have finished what they have been sent; nothing more is taken
    /// meanwhile. To limit the time, put a [`timeout`](crate::time::timeout) around it and
    /// [`stop`](Pool::stop) after it.
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
    ///
    /// let pool = Pool::builder().size(2).start(|| Quiet).wait()?;
    /// pool.try_send(1)?;
    /// assert!(pool.stop_gracefully().wait().is_orderly());
    /// assert!(pool.members().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn stop_gracefully(&self) -> ExitReason {
        if let Some(queue) = self.0.route.queue() {
            // The members find the end of the queue when it is empty, and drain themselves.
            queue.close();
        }
        let members = self.list();
        for member in members.iter().filter(|_| self.0.route.queue().is_none()) {
            member.process.drain(ExitReason::Shutdown);
        }
        join_all(members.iter().map(|member| member.process.ended())).await;
        self.stop().await
    }

    /// Stops the pool: its members are asked to [shut down](ExitReason::Shutdown), and end where they wait
    /// unless they trap exits. What they have not received is undelivered. Returns why the supervisor has
    /// ended.
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
    /// assert!(pool.stop().wait().is_orderly());
    /// assert!(pool.send(7).wait().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn stop(&self) -> ExitReason {
        if let Some(queue) = self.0.route.queue() {
            queue.close();
        }
        self.0.supervisor.stop().await
    }
}

impl<M: Send + 'static> Clone for Pool<M> {
    fn clone(&self) -> Pool<M> {
        Pool(Arc::clone(&self.0))
    }
}

impl<M: Send + 'static> fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("routing", &self.0.route).field("members", &self.members()).finish()
    }
}
