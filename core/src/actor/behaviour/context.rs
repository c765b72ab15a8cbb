//! The actor as its handlers have it in hand: [`Context`].

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::task::{self, Poll, ready};
use std::time::Duration;

use super::Actor;
#[cfg(doc)]
use crate::actor::ProcessRef;
use crate::actor::attach::{Attachment, Sources};
use crate::actor::process::cell::Cell;
use crate::actor::{Event, ExitReason, Process};
use crate::channel::Source;
use crate::kernel::coop;
use crate::kernel::sleep::{Sleep, sleep};

/// The actor as its handlers see it: they may do all that a [`Process`] does, stop the actor, and attach
/// sources.
///
/// A handler may receive by itself, too, through [`Process::receive`] and its kin; those look at the mailbox
/// alone, and what they take does not come to [`Actor::handle`].
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
    /// `None` until one of them is used; most actors use none.
    extras: Option<Box<Extras<A::Message>>>,
    /// The reason to end with after the handler that runs, if it has asked for the end.
    stop: Option<Box<ExitReason>>,
}

/// The things that an actor listens to besides its mailbox.
struct Extras<M> {
    /// The sources that are attached.
    sources: Sources<M>,
    /// The messages that the actor has told itself to go on with, before all else.
    continued: VecDeque<M>,
    /// The time that it waits before it is idle; `None`: for ever.
    idle_timeout: Option<Duration>,
    /// Ready when the wait that has begun has lasted so long.
    idle: Option<Sleep>,
    /// It has said that it does not want to be started.
    ignored: bool,
    /// It handles nothing until somebody has it go on.
    suspended: bool,
}

impl<A: Actor> Context<A> {
    pub(super) fn new(process: Process<A::Message>) -> Context<A> {
        process.cell().serve_requests();
        Context { process, extras: None, stop: None }
    }

    /// Ends the actor, with [`Normal`](ExitReason::Normal), once the running handler has returned.
    pub fn stop(&mut self) {
        self.stop_with(ExitReason::Normal);
    }

    /// Ends the actor, with `reason`, once the running handler has returned. The first reason counts. What
    /// waits in the mailbox is undelivered; to handle that first, [drain](ProcessRef::drain) it:
    /// `cx.me().drain(reason)`.
    ///
    /// A reason may carry data, and count as an intended end all the same: [`ExitReason::shutdown_with`].
    ///
    /// # Examples
    /// ```
    /// use std::convert::Infallible;
    /// use twoply::Wait;
    /// use twoply::actor::{Actor, Context, ExitReason};
    ///
    /// struct Counter(u32);
    ///
    /// impl Actor for Counter {
    ///     type Message = u32;
    ///     type Error = Infallible;
    ///
    ///     async fn handle(&mut self, n: u32, cx: &mut Context<Counter>) -> Result<(), Infallible> {
    ///         self.0 += n;
    ///         if self.0 >= 10 {
    ///             cx.stop_with(ExitReason::shutdown_with(self.0));
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let counter = Counter(0).spawn()?;
    /// counter.send(4).wait()?;
    /// counter.send(8).wait()?;
    /// match counter.ended().wait() {
    ///     ExitReason::ShutdownWith(sum) => assert_eq!(sum.downcast_ref(), Some(&12_u32)),
    ///     other => panic!("{other}"),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stop_with(&mut self, reason: ExitReason) {
        self.stop.get_or_insert_with(|| Box::new(reason));
    }

    /// Ends the actor as one that has not been started: to be called by [`started`](Actor::started), where
    /// there turns out to be nothing to do. The end is [`Normal`](ExitReason::Normal), `stopped` is not
    /// called, and who waits for the start ([`Actor::start`]) is told
    /// [`StartActorError::Ignored`](super::StartActorError::Ignored). Called later, it is
    /// [`stop`](Context::stop).
    ///
    /// This is the `ignore` of Erlang's `gen_server`.
    ///
    /// # Examples
    /// ```
    /// use std::convert::Infallible;
    /// use twoply::Wait;
    /// use twoply::actor::{Actor, Context, StartActorError};
    ///
    /// struct Optional(bool);
    ///
    /// impl Actor for Optional {
    ///     type Message = ();
    ///     type Error = Infallible;
    ///
    ///     async fn started(&mut self, cx: &mut Context<Optional>) -> Result<(), Infallible> {
    ///         if !self.0 {
    ///             cx.ignore();
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     async fn handle(&mut self, _: (), _: &mut Context<Optional>) -> Result<(), Infallible> {
    ///         Ok(())
    ///     }
    /// }
    ///
    /// assert!(matches!(Optional(false).start().wait(), Err(StartActorError::Ignored)));
    /// assert!(Optional(true).start().wait().is_ok());
    /// ```
    pub fn ignore(&mut self) {
        self.extras().ignored = true;
        self.stop();
    }

    /// Has the actor handle `message` next: before all that waits in its mailbox, urgent or not, and after
    /// what it has been told to go on with before. So a handler that is done with the urgent half of its work
    /// may return, and do the rest without anything between; `started` may return early, and nobody's message
    /// comes before the rest.
    ///
    /// This is the `{continue, Message}` of Erlang's `gen_server`. The message needs no room in the mailbox;
    /// it is dropped when the actor stops before its turn.
    ///
    /// # Examples
    /// ```
    /// use std::convert::Infallible;
    /// use twoply::Wait;
    /// use twoply::actor::{Actor, Context};
    /// use twoply::promise::Resolver;
    ///
    /// struct Cache(Option<u32>);
    ///
    /// enum Message {
    ///     Load,
    ///     Get(Resolver<Option<u32>>),
    /// }
    ///
    /// impl Actor for Cache {
    ///     type Message = Message;
    ///     type Error = Infallible;
    ///
    ///     async fn started(&mut self, cx: &mut Context<Cache>) -> Result<(), Infallible> {
    ///         cx.continue_with(Message::Load); // Nobody waits for that, and nobody finds an empty cache.
    ///         Ok(())
    ///     }
    ///
    ///     async fn handle(&mut self, message: Message, _: &mut Context<Cache>) -> Result<(), Infallible> {
    ///         match message {
    ///             Message::Load => self.0 = Some(7),
    ///             Message::Get(reply) => _ = reply.resolve(self.0),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let cache = Cache(None).spawn()?;
    /// assert_eq!(cache.ask(Message::Get).wait()?, Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn continue_with(&mut self, message: A::Message) {
        self.extras().continued.push_back(message);
    }

    /// Has [`idle`](Actor::idle) called whenever no event has come for `timeout`, counted from when the actor
    /// begins to wait; `None`: no longer. Whatever it handles begins the time anew, and so does `idle`
    /// itself.
    ///
    /// # Examples
    /// ```
    /// use std::{convert::Infallible, time::Duration};
    /// use twoply::Wait;
    /// use twoply::actor::{Actor, Context, ExitReason};
    ///
    /// struct Session;
    ///
    /// impl Actor for Session {
    ///     type Message = &'static str;
    ///     type Error = Infallible;
    ///
    ///     async fn started(&mut self, cx: &mut Context<Session>) -> Result<(), Infallible> {
    ///         cx.set_idle_timeout(Some(Duration::from_millis(5)));
    ///         Ok(())
    ///     }
    ///
    ///     async fn handle(&mut self, _: &'static str, _: &mut Context<Session>) -> Result<(), Infallible> {
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let session = Session.spawn()?;
    /// session.send("hello").wait()?;
    /// assert_eq!(session.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_idle_timeout(&mut self, timeout: Option<Duration>) {
        if timeout.is_some() || self.extras.is_some() {
            self.extras().idle_timeout = timeout;
        }
    }

    /// Has the actor receive from `source`, too: `convert` makes a message of each item, in the actor's own
    /// task.
    ///
    /// The mailbox and the sources have turns, so none of them starves another, and an item stays in its
    /// source until the actor has time for it. A source that has ended is dropped.
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
        self.extras().sources.attach(source, move |item: Option<T>| item.map(&mut convert))
    }

    /// As [`Context::attach`], for a source whose end matters: `convert` is called with `None` then, once. It
    /// may also make no message of an item.
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
        self.extras().sources.attach(source, convert)
    }

    /// Takes an attached source away and drops it. Nothing that it has not given yet is lost if others
    /// receive from it. Returns whether it was there: neither taken away before, nor ended.
    pub fn detach(&mut self, attachment: Attachment) -> bool {
        self.extras.as_mut().is_some_and(|extras| extras.sources.detach(attachment))
    }

    fn extras(&mut self) -> &mut Extras<A::Message> {
        self.extras.get_or_insert_with(|| {
            Box::new(Extras {
                sources: Sources::new(),
                continued: VecDeque::new(),
                idle_timeout: None,
                idle: None,
                ignored: false,
                suspended: false,
            })
        })
    }

    #[inline]
    pub(super) fn cell(&self) -> &Cell<A::Message> {
        self.process.cell()
    }

    /// Returns true if the actor listens to its mailbox alone.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.extras.is_none()
    }

    /// Returns true if the actor wants not to have been started.
    #[inline]
    pub(super) fn is_ignored(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.ignored)
    }

    /// Returns true if the actor is to handle nothing.
    #[inline]
    pub(super) fn is_suspended(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.suspended)
    }

    pub(super) fn set_suspended(&mut self, suspended: bool) {
        if suspended || self.extras.is_some() {
            self.extras().suspended = suspended;
        }
    }

    /// Returns true if a handler has asked for the end.
    pub(in crate::actor) fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// Takes the reason to end with, if a handler has asked for the end.
    #[inline]
    pub(super) fn take_stop(&mut self) -> Option<Box<ExitReason>> {
        self.stop.take()
    }

    /// Returns the next event, of the mailbox or of a source; `None` when none has come for long.
    #[inline]
    pub(super) fn poll_next(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<Event<A::Message>>> {
        let (cell, batch) = self.process.parts();
        let Some(extras) = &mut self.extras else { return cell.poll_next(batch, cx).map(Some) };
        if !extras.continued.is_empty() {
            ready!(coop::proceed(cx)).spend();
            return Poll::Ready(extras.continued.pop_front().map(Event::Message));
        }
        let next = extras.sources.poll_next(cx, |cx| cell.poll_next(batch, cx), Event::Message).map(Some);
        let next = if next.is_ready() { next } else { extras.poll_idle(cx).map(|()| None) };
        if next.is_ready() {
            extras.idle = None;
            // If it was not the mailbox, that has nobody to wake while a handler runs.
            cell.stop_receive();
        }
        next
    }
}

impl<M> Extras<M> {
    /// Is ready when the actor has waited for as long as it wants to.
    fn poll_idle(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        // There may be events that the budget hides.
        if coop::is_spent() {
            return Poll::Pending;
        }
        let Some(timeout) = self.idle_timeout else { return Poll::Pending };
        self.idle.get_or_insert_with(|| sleep(timeout)).poll_elapsed(cx)
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
