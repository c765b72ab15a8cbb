//! [`Actor`]: a process that is written as a value and its handlers, instead of as a loop.
//!
//! It is thin: one future over [`Process`] that receives, calls a handler, and begins again. It boxes neither
//! messages nor handlers, so an actor that waits for a message is its value, its mailbox and a few words in
//! one task, on no stack. All that processes can do, actors can; what others see of them, references, signals
//! and exit reasons, is the same.
//!
//! A handler's panic ends in this module and becomes the exit reason; what is called after it, and what is
//! not, is in the table of [`Actor`]. Nothing here chooses where an actor runs.

mod context;
mod run;
mod start;

use std::error::Error;
use std::fmt;
use std::future::{Future, ready};

use super::SpawnProcessError;
use super::{Builder, Down, Exit, ExitReason, MonitorRef, Process, ProcessRef, TimerRef};

pub use context::Context;
use run::run;
pub(super) use run::{Begun, run_with};
pub use start::{StartActorError, Starting, StartingTimeout};

/// A value that becomes a process: messages come to it one at a time.
///
/// Handlers are written as `async fn`; they may finish what they wait for by `.await` or by
/// [`.wait()`](crate::Wait::wait), and while one of them waits the next message stays in the mailbox.
///
/// # How it ends
///
/// | what happens                                     | its exit reason                 | is [`stopped`] called?     |
/// |--------------------------------------------------|---------------------------------|----------------------------|
/// | [`started`] fails or panics                      | the error or the panic          | no: it has not started     |
/// | [`Context::ignore`] in [`started`]               | `Normal`                        | no: it has not started     |
/// | a handler fails                                  | the error                       | yes                        |
/// | a handler, or an attached source, panics         | the panic                       | yes                        |
/// | [`Context::stop`], [`Context::stop_with`]        | `Normal`, the one given         | yes                        |
/// | [`ProcessRef::drain`], [`ProcessRef::stop_gracefully`] | the one given             | yes, after what was sent   |
/// | nobody refers to it, [if that matters]           | `Normal`                        | yes, after what was sent   |
/// | no message for its [idle timeout]                | `Normal`, unless [`idle`] differs | yes                      |
/// | an exit signal of its parent, if it traps exits  | that of the signal              | yes                        |
/// | another one, trapped by the usual [`trapped`]    | that of the signal              | yes                        |
/// | an exit signal that it does not trap, a kill     | that of the signal, `Killed`    | no: it is dropped as it is |
/// | the end of its backend                           | `Shutdown`                      | no: it is dropped as it is |
/// | [`stopped`] panics                               | the panic, unless it had failed | it was                     |
///
/// So whoever has something to put in order at the end traps exits, as in Erlang's `gen_server`. The parent
/// is whoever has started the actor with a link: its supervisor, or the process of
/// [`Builder::spawn_actor_link`]. After a panic, `stopped` finds the value as the panic has left it; no other
/// handler is called then.
///
/// [`started`]: Actor::started
/// [`trapped`]: Actor::trapped
/// [`stopped`]: Actor::stopped
/// [`idle`]: Actor::idle
/// [idle timeout]: Context::set_idle_timeout
/// [if that matters]: Builder::end_when_unreferenced
///
/// # Examples
/// ```
/// use std::convert::Infallible;
/// use twoply::Wait;
/// use twoply::actor::{Actor, Context};
/// use twoply::promise::Resolver;
///
/// struct Counter(u64);
///
/// enum Message {
///     Add(u64),
///     Get(Resolver<u64>),
/// }
///
/// impl Actor for Counter {
///     type Message = Message;
///     type Error = Infallible;
///
///     async fn handle(&mut self, message: Message, _: &mut Context<Counter>) -> Result<(), Infallible> {
///         match message {
///             Message::Add(n) => self.0 += n,
///             Message::Get(reply) => _ = reply.resolve(self.0),
///         }
///         Ok(())
///     }
/// }
///
/// use twoply::actor::Builder;
///
/// let counter = Builder::new().spawn_actor(Counter(0))?;
/// counter.send(Message::Add(3)).wait()?;
/// assert_eq!(counter.ask(Message::Get).wait()?, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Actor: Sized + Send + 'static {
    /// The type of the messages that others send it.
    type Message: Send + 'static;

    /// The error of its handlers: an error type, a `String`, or [`ExitReason`] for a reason of one's own
    /// choice. [`Infallible`](std::convert::Infallible) for those that never do.
    type Error: Into<Box<dyn Error + Send + Sync>> + Send + 'static;

    /// Is called first, in the actor's own task: before any message, and before any news of links and
    /// monitors.
    ///
    /// # Errors
    /// An error ends the actor, which then has never started: [`stopped`](Actor::stopped) is not called.
    fn started(&mut self, cx: &mut Context<Self>) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = cx;
        ready(Ok(()))
    }

    /// Is called with each message of the mailbox and of the attached sources.
    ///
    /// # Errors
    /// An error ends the actor, with that as its exit reason.
    fn handle(
        &mut self,
        message: Self::Message,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Is called with each exit signal that does not come from the parent, if the actor
    /// [traps](Process::trap_exit) them. Without this, the actor stops with the signal's reason unless that
    /// is [`Normal`](ExitReason::Normal): as if it did not trap, but in order, with
    /// [`stopped`](Actor::stopped). (A `gen_server` that does not expect one goes on.)
    ///
    /// A trapped signal of the parent is not for the actor to judge: whatever its reason, the actor stops
    /// with that, in order, when the signal's turn in the mailbox comes.
    ///
    /// # Errors
    /// An error ends the actor, with that as its exit reason.
    fn trapped(
        &mut self,
        exit: Exit,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        if !exit.reason.is_normal() {
            cx.stop_with(exit.reason);
        }
        ready(Ok(()))
    }

    /// Is called with the end of each process that the actor monitors. Without this, nothing happens.
    ///
    /// # Examples
    /// ```
    /// use std::convert::Infallible;
    /// use twoply::Wait;
    /// use twoply::actor::{self, Actor, Context, Down, ExitReason, Pid, Process};
    ///
    /// struct Watcher(Pid);
    ///
    /// impl Actor for Watcher {
    ///     type Message = ();
    ///     type Error = Infallible;
    ///
    ///     async fn started(&mut self, cx: &mut Context<Watcher>) -> Result<(), Infallible> {
    ///         cx.monitor(&self.0);
    ///         Ok(())
    ///     }
    ///
    ///     async fn handle(&mut self, _: (), cx: &mut Context<Watcher>) -> Result<(), Infallible> {
    ///         cx.exit(&self.0, ExitReason::Kill);
    ///         Ok(())
    ///     }
    ///
    ///     async fn down(&mut self, down: Down, cx: &mut Context<Watcher>) -> Result<(), Infallible> {
    ///         cx.stop_with(down.reason);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let watched = actor::spawn(async |mut me: Process<()>| drop(me.receive().await))?;
    /// let watcher = Watcher(watched.pid()).spawn()?;
    /// watcher.send(()).wait()?;
    /// assert_eq!(watcher.ended().wait(), ExitReason::Killed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// An error ends the actor, with that as its exit reason.
    fn down(
        &mut self,
        down: Down,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = (down, cx);
        ready(Ok(()))
    }

    /// Is called when a timer that the actor has [started](Process::start_timer) is over. Without this,
    /// nothing happens.
    ///
    /// # Errors
    /// An error ends the actor, with that as its exit reason.
    fn timed_out(
        &mut self,
        timer: TimerRef,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = (timer, cx);
        ready(Ok(()))
    }

    /// Is called when no event has come for the [idle timeout](Context::set_idle_timeout). Without this, the
    /// actor stops.
    ///
    /// # Errors
    /// An error ends the actor, with that as its exit reason.
    fn idle(&mut self, cx: &mut Context<Self>) -> impl Future<Output = Result<(), Self::Error>> + Send {
        cx.stop();
        ready(Ok(()))
    }

    /// Writes the state of the actor, for somebody who [looks](ProcessRef::show_state) at it while it runs.
    /// Without this, that is the name of its type.
    ///
    /// # Errors
    /// As those of `f`. What was written before is shown.
    fn show_state(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<Self>())
    }

    /// Is called last, with the reason for which the actor ends, before its links and monitors are told. What
    /// is left in the mailbox is undelivered. There are ends at which this is not called: see the table
    /// above.
    fn stopped(&mut self, reason: &ExitReason, cx: &mut Context<Self>) -> impl Future<Output = ()> + Send {
        let _ = (reason, cx);
        ready(())
    }

    /// Starts it as a process on the backend of the calling task, or the default one outside of any task.
    /// [`Builder::spawn_actor`] names another one, and settings; [`Builder::start_actor`] waits until it has
    /// started.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{Actor, Context};
    /// use twoply::{Wait, actor::ExitReason};
    ///
    /// struct Once;
    ///
    /// impl Actor for Once {
    ///     type Message = ();
    ///     type Error = String;
    ///
    ///     async fn handle(&mut self, _: (), _: &mut Context<Once>) -> Result<(), String> {
    ///         Err("once is enough".into())
    ///     }
    /// }
    ///
    /// let once = Once.spawn()?;
    /// once.send(()).wait()?;
    /// assert!(matches!(once.ended().wait(), ExitReason::Failed(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    fn spawn(self) -> Result<ProcessRef<Self::Message>, SpawnProcessError> {
        Builder::new().spawn_actor(self)
    }

    /// Starts it as [`spawn`](Actor::spawn) does, and waits until [`started`](Actor::started) has returned,
    /// by `.await` or `.wait()`. [`Starting::timeout`] sets a deadline, [`Builder::start_actor`] names
    /// settings.
    ///
    /// # Errors
    /// The future's output is an error when there is no process, when `started` fails or the actor ends in
    /// another way before that has returned ([`StartActorError::Ended`] says why), and when the actor [wants
    /// it so](Context::ignore). The process has ended by then, and its names are free.
    ///
    /// # Cancel safety
    /// The process is started by the call. A future that is dropped before it is ready kills it.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Actor, Context, ExitReason, StartActorError};
    ///
    /// struct Store(&'static str);
    ///
    /// impl Actor for Store {
    ///     type Message = ();
    ///     type Error = String;
    ///
    ///     async fn started(&mut self, _: &mut Context<Store>) -> Result<(), String> {
    ///         if self.0.is_empty() { Err("there is no path".into()) } else { Ok(()) }
    ///     }
    ///
    ///     async fn handle(&mut self, _: (), _: &mut Context<Store>) -> Result<(), String> {
    ///         Ok(())
    ///     }
    /// }
    ///
    /// assert!(Store("/tmp").start().wait().is_ok());
    /// match Store("").start().wait() {
    ///     Err(StartActorError::Ended(ExitReason::Failed(error))) => assert_eq!(error.to_string(), "there is no path"),
    ///     other => panic!("{other:?}"),
    /// }
    /// ```
    #[track_caller]
    fn start(self) -> Starting<Self::Message> {
        Builder::new().start_actor(self)
    }
}

impl<M: Send + 'static> Builder<M> {
    /// Starts `actor` as a process, with these settings; [`Actor`] has an example.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    #[track_caller]
    pub fn spawn_actor<A: Actor<Message = M>>(self, actor: A) -> Result<ProcessRef<M>, SpawnProcessError> {
        self.spawn(move |process| run(actor, process, |_| ()))
    }

    /// Starts `actor` as a process that is linked to `parent` before its first step.
    ///
    /// # Errors
    /// As [`Builder::spawn_actor`].
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{self, Builder, ExitReason, Process};
    /// # use std::convert::Infallible;
    /// # use twoply::actor::{Actor, Context};
    /// # struct Quiet;
    /// # impl Actor for Quiet {
    /// #     type Message = ();
    /// #     type Error = Infallible;
    /// #     async fn handle(&mut self, _: (), _: &mut Context<Quiet>) -> Result<(), Infallible> {
    /// #         Ok(())
    /// #     }
    /// # }
    /// let parent = actor::spawn_fn(|mut me: Process<()>| {
    ///     me.trap_exit(true);
    ///     let quiet = Builder::new().spawn_actor_link(&me, Quiet).unwrap();
    ///     quiet.exit(ExitReason::Kill);
    ///     drop(me.receive().wait()); // The exit signal of the actor.
    /// })?;
    /// assert_eq!(parent.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn spawn_actor_link<A, P>(
        self,
        parent: &Process<P>,
        actor: A,
    ) -> Result<ProcessRef<M>, SpawnProcessError>
    where
        A: Actor<Message = M>,
        P: Send + 'static,
    {
        self.spawn_link(parent, move |process| run(actor, process, |_| ()))
    }

    /// Starts `actor` as a process that `parent` monitors from before its first step. Returns it and the
    /// monitor.
    ///
    /// # Errors
    /// As [`Builder::spawn_actor`].
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{self, Builder, Event, ExitReason, Process};
    /// # use std::convert::Infallible;
    /// # use twoply::actor::{Actor, Context};
    /// # struct Quiet;
    /// # impl Actor for Quiet {
    /// #     type Message = ();
    /// #     type Error = Infallible;
    /// #     async fn handle(&mut self, _: (), _: &mut Context<Quiet>) -> Result<(), Infallible> {
    /// #         Ok(())
    /// #     }
    /// # }
    /// let parent = actor::spawn_fn(|mut me: Process<()>| {
    ///     let (quiet, monitor) = Builder::new().spawn_actor_monitor(&me, Quiet).unwrap();
    ///     quiet.exit(ExitReason::Kill);
    ///     assert!(matches!(me.receive().wait(), Event::Down(down) if down.monitor == monitor));
    /// })?;
    /// assert_eq!(parent.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn spawn_actor_monitor<A, P>(
        self,
        parent: &Process<P>,
        actor: A,
    ) -> Result<(ProcessRef<M>, MonitorRef), SpawnProcessError>
    where
        A: Actor<Message = M>,
        P: Send + 'static,
    {
        self.spawn_monitor(parent, move |process| run(actor, process, |_| ()))
    }
}
