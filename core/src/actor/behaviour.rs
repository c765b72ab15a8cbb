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
    /// The type of the messages that others send it.
    type Message: Send + 'static;

    /// The error of its handlers: an error type, a `String`, or [`ExitReason`] for a reason of one's own choice.
    /// [`Infallible`](std::convert::Infallible) for those that never do.
    type Error: Into<Box<dyn Error + Send + Sync>> + Send + 'static;

    /// Is called first, in the actor's own task: before any message, and before any news of links and monitors.
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

    /// Is called with each exit signal that does not come from the parent, if the actor [traps](Process::trap_exit) them.
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

    /// Is called last, with the reason for which the actor ends, before its links and monitors are told. What is left in
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
}

impl<M: Send + 'static> Builder<M> {
    /// Starts `actor` as a process, with these settings; [`Actor`] has an example.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    #[track_caller]
    pub fn spawn_actor<A: Actor<Message = M>>(self, actor: A) -> Result<ProcessRef<M>, SpawnProcessError> {
        self.spawn(move |process| run(actor, process, || ()))
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
        self.spawn_link(parent, move |process| run(actor, process, || ()))
    }

    /// Starts `actor` as a process that `parent` monitors from before its first step. Returns it and the monitor.
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
        self.spawn_monitor(parent, move |process| run(actor, process, || ()))
    }
}

/// The actor as its handlers see it: they may do all that a [`Process`] does, stop the actor, and attach sources.
///
/// A handler may receive by itself, too, through [`Process::receive`] and its kin; those look at the mailbox alone, and
/// what they take does not come to [`Actor::handle`].
///
/// # Examples
/// ```
/// use std::convert::Infallible;
/// use twoply::Wait;
/// use twoply::actor::{Actor, Context, ExitReason};
///
/// struct Countdown;
///
/// impl Actor for Countdown {
///     type Message = u32;
///     type Error = Infallible;
///
///     async fn handle(&mut self, n: u32, cx: &mut Context<Countdown>) -> Result<(), Infallible> {
///         match n {
///             0 => cx.stop(),
///             n => drop(cx.me().try_send(n - 1)),
///         }
///         Ok(())
///     }
/// }
///
/// let countdown = Countdown.spawn()?;
/// countdown.send(10).wait()?;
/// assert_eq!(countdown.ended().wait(), ExitReason::Normal);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Context<A: Actor> {
    process: Process<A::Message>,
    /// `None` until something is attached; most actors attach nothing.
    sources: Option<Box<Sources<A::Message>>>,
    /// The reason to end with after the handler that runs, if it has asked for the end.
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
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// use twoply::actor::{Actor, Context};
    /// # use twoply::{Wait, actor::ExitReason};
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
    ///         cx.attach(interval(Duration::from_millis(1)), |_due| Tick);
    ///         Ok(())
    ///     }
    ///
    ///     async fn handle(&mut self, _: Tick, cx: &mut Context<Clock>) -> Result<(), Infallible> {
    ///         println!("tick");
    ///         cx.stop();
    ///         Ok(())
    ///     }
    /// }
    ///
    /// assert_eq!(Clock.spawn()?.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn attach<T, S, F>(&mut self, source: S, mut convert: F) -> Attachment
    where
        T: 'static,
        S: Source<T> + Send + 'static,
        F: FnMut(T) -> A::Message + Send + 'static,
    {
        self.sources().attach(source, move |item: Option<T>| item.map(&mut convert))
    }

    /// As [`Context::attach`], for a source whose end matters: `convert` is called with `None` then, once. It may also
    /// make no message of an item.
    ///
    /// # Examples
    /// ```
    /// # use std::convert::Infallible;
    /// use twoply::actor::{Actor, Context, ExitReason};
    /// use twoply::{Wait, channel};
    ///
    /// struct Reader(channel::Receiver<String>);
    ///
    /// impl Actor for Reader {
    ///     type Message = Option<String>;
    ///     type Error = Infallible;
    ///
    ///     async fn started(&mut self, cx: &mut Context<Reader>) -> Result<(), Infallible> {
    ///         cx.attach_to_end(self.0.clone(), Some);
    ///         Ok(())
    ///     }
    ///
    ///     async fn handle(&mut self, line: Option<String>, cx: &mut Context<Reader>) -> Result<(), Infallible> {
    ///         match line {
    ///             Some(line) => println!("{line}"),
    ///             None => cx.stop(),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let (lines, source) = channel::bounded(1);
    /// let reader = Reader(source).spawn()?;
    /// lines.send("the only line".to_owned()).wait()?;
    /// drop(lines);
    /// assert_eq!(reader.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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

    /// Returns the next event, of the mailbox or of a source.
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
        Event::Message(message) => HandlerFuture::Message { handler: actor.handle(message, cx) },
        Event::Exit(exit) => HandlerFuture::Exit { handler: actor.trapped(*exit, cx) },
        Event::Down(down) => HandlerFuture::Down { handler: actor.down(*down, cx) },
    }
}

pin_project! {
    /// The future of one of an actor's handlers.
    #[project = HandlerFutureProjection]
    enum HandlerFuture<H, T, D> {
        // Of a message.
        Message { #[pin] handler: H },
        // Of an exit signal.
        Exit { #[pin] handler: T },
        // Of the end of a process.
        Down { #[pin] handler: D },
    }
}

impl<H, T, D> Future for HandlerFuture<H, T, D>
where
    H: Future,
    T: Future<Output = H::Output>,
    D: Future<Output = H::Output>,
{
    type Output = H::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<H::Output> {
        match self.project() {
            HandlerFutureProjection::Message { handler } => handler.poll(cx),
            HandlerFutureProjection::Exit { handler } => handler.poll(cx),
            HandlerFutureProjection::Down { handler } => handler.poll(cx),
        }
    }
}

/// Returns the reason to end if a handler has failed or panicked.
fn failure_of<E>(handled: Result<Result<(), E>, Panic>) -> Result<(), ExitReason>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    handled?.map_err(ExitReason::failed)
}
