//! [`Actor`]: a process that is written as a value and its handlers, instead of as a loop.
//!
//! It is thin: one future over [`Process`] that receives, calls a handler, and begins again. It boxes neither messages
//! nor handlers, so an actor that waits for a message is its value, its mailbox and a few words in one task, on no
//! stack. All that processes can do, actors can; what others see of them, references, signals and exit reasons, is the
//! same.
//!
//! A handler's panic ends in this module and becomes the exit reason; what is called after it, and what is not, is in
//! the table of [`Actor`]. Nothing here chooses where an actor runs.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn, ready};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{self, Poll};

use pin_project_lite::pin_project;

use super::SpawnProcessError;
use super::attach::{Attachment, Sources};
use super::catch_panic::{catch_panic, catch_panic_async};
use super::{Builder, Down, Event, Exit, ExitReason, MonitorRef, Process, ProcessRef};
use crate::channel::Source;
use crate::kernel::task::Panic;

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
/// | a handler fails                                  | the error                       | yes                        |
/// | a handler, or an attached source, panics         | the panic                       | yes                        |
/// | [`Context::stop`], [`Context::stop_with`]        | `Normal`, the one given         | yes                        |
/// | an exit signal of its parent, if it traps exits  | that of the signal              | yes                        |
/// | another one, trapped by the usual [`trapped`]    | that of the signal              | yes                        |
/// | an exit signal that it does not trap, a kill     | that of the signal, `Killed`    | no: it is dropped as it is |
/// | the end of its backend                           | `Shutdown`                      | no: it is dropped as it is |
/// | [`stopped`] panics                               | the panic, unless it had failed | it was                     |
///
/// So whoever has something to put in order at the end traps exits, as in Erlang's `gen_server`. The parent is whoever
/// has started the actor with a link: its supervisor, or the process of [`Builder::spawn_actor_link`]. After a panic,
/// `stopped` finds the value as the panic has left it; no other handler is called then.
///
/// [`started`]: Actor::started
/// [`trapped`]: Actor::trapped
/// [`stopped`]: Actor::stopped
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
    /// What others send it.
    type Message: Send + 'static;

    /// What its handlers fail with: an error type, a `String`, or [`ExitReason`] for a reason of one's own choice.
    /// [`Infallible`](std::convert::Infallible) for those that never do.
    type Error: Into<Box<dyn Error + Send + Sync>> + Send + 'static;

    /// Called first, in the actor's own task: before any message, and before any news of links and monitors.
    ///
    /// # Errors
    /// An error ends the actor, which then has never started: [`stopped`](Actor::stopped) is not called.
    fn started(&mut self, cx: &mut Context<Self>) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = cx;
        ready(Ok(()))
    }

    /// Called with each message of the mailbox and of the attached sources.
    ///
    /// # Errors
    /// An error ends the actor, with that as its exit reason.
    fn handle(
        &mut self,
        message: Self::Message,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Called with each exit signal that does not come from the parent, if the actor [traps](Process::trap_exit) them.
    /// Without this, the actor stops with the signal's reason unless that is [`Normal`](ExitReason::Normal): as if it
    /// did not trap, but in order, with [`stopped`](Actor::stopped).
    ///
    /// A trapped signal of the parent is not for the actor to judge: whatever its reason, the actor stops with that, in
    /// order, when the signal's turn in the mailbox comes.
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

    /// Called with the end of each process that the actor monitors. Without this, nothing happens.
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

    /// Called last, with the reason for which the actor ends, before its links and monitors are told. What is left in
    /// the mailbox is undelivered. There are ends at which this is not called: see the table above.
    fn stopped(&mut self, reason: &ExitReason, cx: &mut Context<Self>) -> impl Future<Output = ()> + Send {
        let _ = (reason, cx);
        ready(())
    }

    /// Starts it as a process on the backend of the calling task, or the default one outside of any task.
    /// [`Builder::spawn_actor`] names another one, and settings.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    #[track_caller]
    fn spawn(self) -> Result<ProcessRef<Self::Message>, SpawnProcessError> {
        Builder::new().spawn_actor(self)
    }
}

impl<M: Send + 'static> Builder<M> {
    /// Starts `actor` as a process.
    ///
    /// # Errors
    /// When the backend has been shut down, or the operating system refuses a thread.
    #[track_caller]
    pub fn spawn_actor<A: Actor<Message = M>>(self, actor: A) -> Result<ProcessRef<M>, SpawnProcessError> {
        self.spawn(move |process| run(actor, process, || ()))
    }

    /// Starts `actor` as a process that is linked to `parent` before its first step.
    ///
    /// # Errors
    /// As [`Builder::spawn_actor`].
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
        self.spawn_link(parent, move |process| run(actor, process, || ()))
    }

    /// Starts `actor` as a process that `parent` monitors from before its first step.
    ///
    /// # Errors
    /// As [`Builder::spawn_actor`].
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
        self.spawn_monitor(parent, move |process| run(actor, process, || ()))
    }
}

/// What a handler may do to its own actor: all that a [`Process`] does, and to stop and to attach sources.
///
/// A handler may receive by itself, too, through [`Process::receive`] and its kin; those look at the mailbox alone, and
/// what they take does not come to [`Actor::handle`].
pub struct Context<A: Actor> {
    /// The process that the actor is.
    process: Process<A::Message>,
    /// What has been attached; most actors attach nothing.
    sources: Option<Box<Sources<A::Message>>>,
    /// Why to end after the handler that runs.
    stop: Option<Box<ExitReason>>,
}

impl<A: Actor> Context<A> {
    /// Ends the actor, with [`Normal`](ExitReason::Normal), once the running handler has returned.
    pub fn stop(&mut self) {
        self.stop_with(ExitReason::Normal);
    }

    /// Ends the actor, with `reason`, once the running handler has returned. The first reason counts.
    pub fn stop_with(&mut self, reason: ExitReason) {
        self.stop.get_or_insert_with(|| Box::new(reason));
    }

    /// Has the actor receive from `source`, too: `convert` makes a message of each item, in the actor's own task.
    ///
    /// The mailbox and the sources have turns, so none of them starves another, and an item stays in its source until
    /// the actor has time for it. A source that has ended is dropped.
    ///
    /// # Examples
    /// ```no_run
    /// # use std::{convert::Infallible, time::Duration};
    /// use twoply::actor::{Actor, Context};
    /// use twoply::time::interval;
    ///
    /// struct Clock;
    ///
    /// struct Tick;
    ///
    /// impl Actor for Clock {
    ///     type Message = Tick;
    ///     type Error = Infallible;
    ///
    ///     async fn started(&mut self, cx: &mut Context<Clock>) -> Result<(), Infallible> {
    ///         cx.attach(interval(Duration::from_secs(1)), |_due| Tick);
    ///         Ok(())
    ///     }
    ///
    ///     async fn handle(&mut self, _: Tick, _: &mut Context<Clock>) -> Result<(), Infallible> {
    ///         println!("tick");
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn attach<T, S, F>(&mut self, source: S, mut convert: F) -> Attachment
    where
        T: 'static,
        S: Source<T> + Send + 'static,
        F: FnMut(T) -> A::Message + Send + 'static,
    {
        self.sources().attach(source, move |item: Option<T>| item.map(&mut convert))
    }

    /// As [`Context::attach`], for a source whose end matters: `convert` is called with `None` then, once. It may make
    /// no message of an item, too.
    pub fn attach_to_end<T, S, F>(&mut self, source: S, convert: F) -> Attachment
    where
        T: 'static,
        S: Source<T> + Send + 'static,
        F: FnMut(Option<T>) -> Option<A::Message> + Send + 'static,
    {
        self.sources().attach(source, convert)
    }

    /// Takes an attached source away and drops it. Nothing that it has not given yet is lost if others receive from it.
    /// Returns whether it was there: neither taken away before, nor ended.
    pub fn detach(&mut self, attachment: Attachment) -> bool {
        self.sources.as_mut().is_some_and(|sources| sources.detach(attachment))
    }

    fn sources(&mut self) -> &mut Sources<A::Message> {
        self.sources.get_or_insert_with(|| Box::new(Sources::new()))
    }

    /// What comes next, from the mailbox or a source.
    fn poll_next(&mut self, cx: &mut task::Context<'_>) -> Poll<Event<A::Message>> {
        let (cell, batch) = self.process.parts();
        let Some(sources) = &mut self.sources else { return cell.poll_next(batch, cx) };
        let next = sources.poll_next(cx, |cx| cell.poll_next(batch, cx), Event::Message);
        if next.is_ready() {
            // If a source was quicker, the mailbox has nobody to wake while a handler runs.
            cell.stop_receive();
        }
        next
    }
}

impl<A: Actor> Deref for Context<A> {
    type Target = Process<A::Message>;

    fn deref(&self) -> &Process<A::Message> {
        &self.process
    }
}

impl<A: Actor> DerefMut for Context<A> {
    fn deref_mut(&mut self) -> &mut Process<A::Message> {
        &mut self.process
    }
}

impl<A: Actor> fmt::Debug for Context<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("pid", &self.process.pid()).finish_non_exhaustive()
    }
}

/// The body of an actor's process. Calls `ready` when the actor has started.
///
/// Every actor that waits has room for all that is alive at any await point here. So what is captured is not moved to a
/// local variable, where it would lie twice; an event is moved on before its handler is awaited; and a reason is boxed.
pub(super) fn run<A: Actor>(
    mut actor: A,
    process: Process<A::Message>,
    ready: impl FnOnce() + Send,
) -> impl Future<Output = ExitReason> + Send {
    let mut cx = Context { process, sources: None, stop: None };
    async move {
        let started = catch_panic_async(|| actor.started(&mut cx)).await;
        if let Err(reason) = failure_of(started) {
            return reason;
        }
        ready();
        let reason = loop {
            if let Some(reason) = cx.stop.take() {
                break reason;
            }
            let next = poll_fn(|task| {
                if cx.sources.is_none() {
                    // The mailbox runs no code of the user's: there is nothing to contain.
                    return cx.poll_next(task).map(Ok);
                }
                match catch_panic(|| cx.poll_next(task)) {
                    Ok(polled) => polled.map(Ok),
                    Err(panic) => Poll::Ready(Err(panic)),
                }
            });
            let event = match next.await {
                Ok(event) => event,
                Err(panic) => break Box::new(panic.into()),
            };
            if let Event::Exit(exit) = &event
                && cx.process.cell().is_parent(&exit.from)
            {
                break Box::new(exit.reason.clone());
            }
            let handled = catch_panic_async(|| dispatch(&mut actor, event, &mut cx)).await;
            if let Err(reason) = failure_of(handled) {
                break Box::new(reason);
            }
        };
        // From here on the answers that it owes wait for the reason.
        cx.process.cell().leave();
        match catch_panic_async(|| actor.stopped(&reason, &mut cx)).await {
            Err(panic) if reason.is_orderly() => panic.into(),
            _ => *reason,
        }
    }
}

/// Calls the handler of `event`.
fn dispatch<'a, A: Actor>(
    actor: &'a mut A,
    event: Event<A::Message>,
    cx: &'a mut Context<A>,
) -> impl Future<Output = Result<(), A::Error>> + Send {
    match event {
        Event::Message(message) => Handling::Message { handler: actor.handle(message, cx) },
        Event::Exit(exit) => Handling::Exit { handler: actor.trapped(*exit, cx) },
        Event::Down(down) => Handling::Down { handler: actor.down(*down, cx) },
    }
}

pin_project! {
    /// The future of one of an actor's handlers.
    #[project = HandlingProjection]
    enum Handling<H, T, D> {
        // Of a message.
        Message { #[pin] handler: H },
        // Of an exit signal.
        Exit { #[pin] handler: T },
        // Of the end of a process.
        Down { #[pin] handler: D },
    }
}

impl<H, T, D> Future for Handling<H, T, D>
where
    H: Future,
    T: Future<Output = H::Output>,
    D: Future<Output = H::Output>,
{
    type Output = H::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<H::Output> {
        match self.project() {
            HandlingProjection::Message { handler } => handler.poll(cx),
            HandlingProjection::Exit { handler } => handler.poll(cx),
            HandlingProjection::Down { handler } => handler.poll(cx),
        }
    }
}

/// What a handler has returned, or how it panicked, as a reason to end.
fn failure_of<E>(handled: Result<Result<(), E>, Panic>) -> Result<(), ExitReason>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    handled?.map_err(ExitReason::failed)
}
