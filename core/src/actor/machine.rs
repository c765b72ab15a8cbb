//! State machines: an actor whose answer to an event depends on its state.
//!
//! This is Erlang's `gen_statem`, with its order of things: what a transition does, and in which order, is in
//! the documentation of [`Transition`], which follows the steps that OTP lists for
//! `t:gen_statem:transition_option/0`. What differs is what Rust makes of it: states are values of one type,
//! a postponed event is given back by the handler that does not want it, replies go through resolvers at
//! once, and what a timeout is about stands in the machine.
//!
//! [`Machine`] is the actor that runs a [`StateMachine`]; so all that actors have, machines have: references,
//! exit reasons, starts that are waited for, supervisors. The queue of events that have been received and not
//! been handled, and the timeouts, are in `engine`; a timeout is a timer of the process's own, so it stands
//! in the mailbox where it comes, and one that has been cancelled is never received.

mod engine;

use std::error::Error;
use std::fmt;
use std::future::{Future, ready};
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use super::{Context, Down, Exit, ExitReason};

pub use engine::Machine;
use engine::{Change, Kind, When};

/// A value that handles events according to a state; [`Machine::new`] makes an actor of it.
///
/// # Examples
/// A turnstile: a coin lets one person pass, in time; and who pushes while it is locked passes after the next
/// coin.
///
/// ```
/// use std::{convert::Infallible, time::Duration};
/// use twoply::Wait;
/// use twoply::actor::{Actor, Machine, MachineContext, MachineEvent, StateMachine, Transition};
/// use twoply::promise::Resolver;
///
/// #[derive(Clone, PartialEq)]
/// enum State {
///     Locked,
///     Open,
/// }
///
/// enum Message {
///     Coin,
///     Push(Resolver<&'static str>),
/// }
///
/// struct Turnstile;
///
/// impl StateMachine for Turnstile {
///     type State = State;
///     type Message = Message;
///     type Timer = ();
///     type Error = Infallible;
///
///     async fn started(&mut self, _: &mut MachineContext<'_, Turnstile>) -> Result<State, Infallible> {
///         Ok(State::Locked)
///     }
///
///     async fn handle(
///         &mut self,
///         state: State,
///         event: MachineEvent<Message>,
///         cx: &mut MachineContext<'_, Turnstile>,
///     ) -> Result<Transition<Turnstile>, Infallible> {
///         Ok(match (state, event) {
///             (State::Locked, MachineEvent::Message(Message::Coin)) => {
///                 cx.set_state_timeout(Duration::from_secs(10));
///                 Transition::to(State::Open)
///             }
///             (State::Locked, push) => Transition::keep().postpone(push),
///             (State::Open, MachineEvent::Message(Message::Push(reply))) => {
///                 _ = reply.resolve("passed");
///                 Transition::to(State::Locked)
///             }
///             (State::Open, MachineEvent::StateTimeout) => Transition::to(State::Locked),
///             (State::Open, _) => Transition::keep(),
///         })
///     }
/// }
///
/// let turnstile = Machine::new(Turnstile).spawn()?;
/// let pushed = turnstile.try_ask(Message::Push)?;
/// turnstile.send(Message::Coin).wait()?;
/// assert_eq!(pushed.wait()?, "passed");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait StateMachine: Sized + Send + 'static {
    /// The states: usually an enum. Whether a transition is a change of state is a matter of `==`.
    type State: Clone + PartialEq + Send + 'static;

    /// The type of the messages that others send it.
    type Message: Send + 'static;

    /// The names of its timeouts, besides the one of its state and the one of its events; `()` where it has
    /// none.
    type Timer: Clone + PartialEq + Send + 'static;

    /// The error of its handlers, as that of an [`Actor`](super::Actor).
    type Error: Into<Box<dyn Error + Send + Sync>> + Send + 'static;

    /// Is called first, and returns the state in which the machine begins.
    ///
    /// # Errors
    /// An error ends the machine, which then has never started.
    fn started(
        &mut self,
        cx: &mut MachineContext<'_, Self>,
    ) -> impl Future<Output = Result<Self::State, Self::Error>> + Send;

    /// Is called when the machine has entered `state` from another one, `from`; in its first state and after
    /// [`Transition::repeat`], `from` is the same. It may set timeouts, but neither change the state nor
    /// postpone or insert events: that it cannot is Erlang's rule for state enter calls, too. Without this,
    /// nothing happens.
    ///
    /// # Errors
    /// An error ends the machine, with that as its exit reason.
    fn entered(
        &mut self,
        from: Self::State,
        state: Self::State,
        cx: &mut MachineContext<'_, Self>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = (from, state, cx);
        ready(Ok(()))
    }

    /// Is called with each event, and says what is to follow from it.
    ///
    /// # Errors
    /// An error ends the machine, with that as its exit reason.
    fn handle(
        &mut self,
        state: Self::State,
        event: MachineEvent<Self::Message, Self::Timer>,
        cx: &mut MachineContext<'_, Self>,
    ) -> impl Future<Output = Result<Transition<Self>, Self::Error>> + Send;

    /// Writes the machine and its state, for somebody who [looks](super::ProcessRef::show_state) at it while
    /// it runs. What is postponed, and the timeouts that run, are counted behind it. Without this, it is the
    /// name of the machine's type.
    ///
    /// # Errors
    /// As those of `f`. What was written before is shown.
    ///
    /// # Examples
    /// ```
    /// use std::convert::Infallible;
    /// use std::fmt;
    /// use twoply::Wait;
    /// use twoply::actor::{Actor, Machine, MachineContext, MachineEvent, StateMachine, Transition};
    ///
    /// struct Lamp;
    ///
    /// impl StateMachine for Lamp {
    ///     type State = bool;
    ///     type Message = ();
    ///     type Timer = ();
    ///     type Error = Infallible;
    ///
    ///     async fn started(&mut self, _: &mut MachineContext<'_, Lamp>) -> Result<bool, Infallible> {
    ///         Ok(false)
    ///     }
    ///
    ///     async fn handle(
    ///         &mut self,
    ///         is_on: bool,
    ///         _: MachineEvent<()>,
    ///         _: &mut MachineContext<'_, Lamp>,
    ///     ) -> Result<Transition<Lamp>, Infallible> {
    ///         Ok(Transition::to(!is_on))
    ///     }
    ///
    ///     fn show_state(&self, is_on: &bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    ///         f.write_str(if *is_on { "on" } else { "off" })
    ///     }
    /// }
    ///
    /// let lamp = Machine::new(Lamp).spawn()?;
    /// assert_eq!(lamp.show_state().wait()?, "off; 0 postponed, 0 timeouts");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn show_state(&self, state: &Self::State, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = state;
        f.write_str(std::any::type_name::<Self>())
    }

    /// Is called last, where the [`stopped`](super::Actor::stopped) of an actor is. What is postponed is
    /// dropped after it; a question among that fails with the reason.
    fn stopped(
        &mut self,
        state: Self::State,
        reason: &ExitReason,
        cx: &mut MachineContext<'_, Self>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (state, reason, cx);
        ready(())
    }
}

/// An event that a state machine handles.
#[derive(Debug)]
#[non_exhaustive]
pub enum MachineEvent<M, T = ()> {
    /// A message of somebody else.
    Message(M),
    /// A message that the machine has [inserted](Transition::then) itself.
    Internal(M),
    /// The machine has been in its state for as long as
    /// [`set_state_timeout`](MachineContext::set_state_timeout) says.
    StateTimeout,
    /// No event has come for as long as [`set_event_timeout`](MachineContext::set_event_timeout) says.
    EventTimeout,
    /// The time that [`set_timeout`](MachineContext::set_timeout) says is over.
    Timeout(T),
    /// An exit signal that does not come from the parent, to a machine that traps them.
    Exit(Exit),
    /// The end of a process that the machine monitors.
    Down(Down),
}

/// The consequences of an event.
///
/// When a handler has returned, these things happen, in this order:
///
/// 1. Where the state changes, and after [`repeat`](Transition::repeat), [`entered`](StateMachine::entered)
///    is called.
/// 2. The event is [postponed](Transition::postpone), if it is to be, behind those that were before.
/// 3. Where the state changes, its timeout is cancelled, and all postponed events come back: the oldest is
///    the next event, and those that had been received and not been handled come behind them.
/// 4. Events that were [inserted](Transition::then) come before all these, the first one first.
/// 5. Timeouts are set and cancelled, in the order in which both handlers have said so. So one that is set
///    along with a change of state is about the new state. One of zero is an event once nothing else is left
///    that has been received, and before anything is received. One for an instant that has passed comes to
///    the mailbox at once, behind what is there.
/// 6. The next event is handled: one that is left, or a timeout of zero, or what comes to the mailbox.
///    Whatever it is, it cancels the timeout of events.
#[must_use = "a transition does nothing unless the handler returns it"]
pub struct Transition<S: StateMachine> {
    next: Next<S::State>,
    /// The event that is to be handled in another state.
    postponed: Option<MachineEvent<S::Message, S::Timer>>,
    /// The events that are to be handled first.
    inserted: Vec<S::Message>,
}

/// The state after an event.
enum Next<S> {
    /// The state that it is in.
    Keep,
    /// The state that it is in, entered anew.
    Repeat,
    /// This state, which may be the same one.
    To(S),
}

impl<S: StateMachine> Transition<S> {
    fn new(next: Next<S::State>) -> Transition<S> {
        Transition { next, postponed: None, inserted: Vec::new() }
    }

    /// Returns the transition that stays in the state. [`StateMachine`] has an example of this, of
    /// [`to`](Transition::to) and of [`postpone`](Transition::postpone).
    pub fn keep() -> Transition<S> {
        Transition::new(Next::Keep)
    }

    /// Returns the transition to `state`. If that is the state in which the machine is, this is
    /// [`keep`](Transition::keep).
    pub fn to(state: S::State) -> Transition<S> {
        Transition::new(Next::To(state))
    }

    /// Returns the transition that stays in the state, and has [`entered`](StateMachine::entered) called.
    /// That is no change: nothing that is postponed comes back.
    pub fn repeat() -> Transition<S> {
        Transition::new(Next::Repeat)
    }

    /// Has `event` handled again when the state has changed. It is the event that the handler was called
    /// with; where it is another one, that takes its place. The last call counts.
    pub fn postpone(mut self, event: MachineEvent<S::Message, S::Timer>) -> Transition<S> {
        self.postponed = Some(event);
        self
    }

    /// Inserts a message, which is handled next, as [`MachineEvent::Internal`]. Several are handled in the
    /// order in which they were inserted.
    ///
    /// # Examples
    /// ```
    /// use std::convert::Infallible;
    /// use twoply::actor::{Actor, Machine, MachineContext, MachineEvent, StateMachine, Transition};
    /// use twoply::{Wait, channel};
    ///
    /// /// Goes as many steps as a message says, all of them before it handles the next message.
    /// struct Walker(channel::Sender<u32>);
    ///
    /// impl StateMachine for Walker {
    ///     type State = u32;
    ///     type Message = u32;
    ///     type Timer = ();
    ///     type Error = Infallible;
    ///
    ///     async fn started(&mut self, _: &mut MachineContext<'_, Walker>) -> Result<u32, Infallible> {
    ///         Ok(0)
    ///     }
    ///
    ///     async fn handle(
    ///         &mut self,
    ///         at: u32,
    ///         event: MachineEvent<u32>,
    ///         _: &mut MachineContext<'_, Walker>,
    ///     ) -> Result<Transition<Walker>, Infallible> {
    ///         Ok(match event {
    ///             MachineEvent::Message(steps) | MachineEvent::Internal(steps) if steps > 0 => {
    ///                 Transition::to(at + 1).then(steps - 1)
    ///             }
    ///             _ => {
    ///                 _ = self.0.try_send(at);
    ///                 Transition::keep()
    ///             }
    ///         })
    ///     }
    /// }
    ///
    /// let (tell, places) = channel::unbounded();
    /// let walker = Machine::new(Walker(tell)).spawn()?;
    /// walker.try_send(3)?;
    /// walker.try_send(4)?;
    /// assert_eq!((places.recv().wait()?, places.recv().wait()?), (3, 7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn then(mut self, message: S::Message) -> Transition<S> {
        self.inserted.push(message);
        self
    }
}

impl<S: StateMachine> fmt::Debug for Transition<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next = match &self.next {
            Next::Keep => "keep",
            Next::Repeat => "repeat",
            Next::To(_) => "to",
        };
        f.debug_struct("Transition")
            .field("next", &next)
            .field("postponed", &self.postponed.is_some())
            .field("inserted", &self.inserted.len())
            .finish()
    }
}

/// The state machine as its handlers see it: the [`Context`] of its actor, and its timeouts.
///
/// A timeout that is set or cancelled here takes effect with the transition; see [`Transition`]. To set one
/// that runs is to start it anew. A duration too long to be represented means never.
///
/// # Examples
/// A session that ends when nothing has come for a while, or after its time in any case.
///
/// ```
/// use std::{convert::Infallible, time::Duration};
/// use twoply::Wait;
/// use twoply::actor::{Actor, ExitReason, Machine, MachineContext, MachineEvent, StateMachine, Transition};
///
/// #[derive(Clone, PartialEq)]
/// enum Timer {
///     Whole,
/// }
///
/// struct Session;
///
/// impl StateMachine for Session {
///     type State = ();
///     type Message = &'static str;
///     type Timer = Timer;
///     type Error = Infallible;
///
///     async fn started(&mut self, cx: &mut MachineContext<'_, Session>) -> Result<(), Infallible> {
///         cx.set_timeout(Timer::Whole, Duration::from_secs(3600));
///         Ok(())
///     }
///
///     async fn handle(
///         &mut self,
///         (): (),
///         event: MachineEvent<&'static str, Timer>,
///         cx: &mut MachineContext<'_, Session>,
///     ) -> Result<Transition<Session>, Infallible> {
///         match event {
///             MachineEvent::Message(_) => cx.set_event_timeout(Duration::from_millis(1)),
///             MachineEvent::EventTimeout => cx.stop_with(ExitReason::shutdown_with("quiet")),
///             MachineEvent::Timeout(Timer::Whole) => cx.stop(),
///             _ => {}
///         }
///         Ok(Transition::keep())
///     }
/// }
///
/// let session = Machine::new(Session).spawn()?;
/// session.send("hello").wait()?;
/// assert_eq!(session.ended().wait().to_string(), "shutdown: quiet");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MachineContext<'a, S: StateMachine> {
    actor: &'a mut Context<Machine<S>>,
    /// The changes of timeouts, in order.
    changes: &'a mut Vec<Change<S::Timer>>,
}

impl<S: StateMachine> MachineContext<'_, S> {
    /// Sets the timeout of the state: it is over when the machine has been in it for `duration` more. A
    /// change of state cancels it.
    pub fn set_state_timeout(&mut self, duration: Duration) {
        self.changes.push((Kind::State, Some(When::In(duration))));
    }

    /// As [`set_state_timeout`](MachineContext::set_state_timeout), with the instant at which it is over, by
    /// the clock of [`time::now`](crate::time::now).
    pub fn set_state_timeout_at(&mut self, instant: Instant) {
        self.changes.push((Kind::State, Some(When::At(instant))));
    }

    /// Cancels the timeout of the state.
    pub fn cancel_state_timeout(&mut self) {
        self.changes.push((Kind::State, None));
    }

    /// Sets the timeout of events: it is over when no event has come for `duration`. Any event cancels it, be
    /// it ignored or postponed.
    pub fn set_event_timeout(&mut self, duration: Duration) {
        self.changes.push((Kind::Event, Some(When::In(duration))));
    }

    /// As [`set_event_timeout`](MachineContext::set_event_timeout), with the instant at which it is over, by
    /// the clock of [`time::now`](crate::time::now).
    pub fn set_event_timeout_at(&mut self, instant: Instant) {
        self.changes.push((Kind::Event, Some(When::At(instant))));
    }

    /// Cancels the timeout of events that has been set by the same handler; any other one the event has
    /// cancelled.
    pub fn cancel_event_timeout(&mut self) {
        self.changes.push((Kind::Event, None));
    }

    /// Sets the timeout of this name, which is over after `duration`, whatever happens meanwhile.
    /// [`MachineContext`] has an example.
    pub fn set_timeout(&mut self, name: S::Timer, duration: Duration) {
        self.changes.push((Kind::Named(name), Some(When::In(duration))));
    }

    /// As [`set_timeout`](MachineContext::set_timeout), with the instant at which it is over, by
    /// the clock of [`time::now`](crate::time::now).
    ///
    /// # Examples
    /// An auction that closes when it has said it would, however often it is asked to.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use std::time::{Duration, Instant};
    /// use twoply::{Wait, time};
    /// use twoply::actor::{Actor, ExitReason, Machine, MachineContext, MachineEvent, StateMachine, Transition};
    ///
    /// struct Auction(Instant);
    ///
    /// impl StateMachine for Auction {
    ///     type State = ();
    ///     type Message = ();
    ///     type Timer = &'static str;
    ///     type Error = Infallible;
    ///
    ///     async fn started(&mut self, _: &mut MachineContext<'_, Auction>) -> Result<(), Infallible> {
    ///         Ok(())
    ///     }
    ///
    ///     async fn handle(
    ///         &mut self,
    ///         (): (),
    ///         event: MachineEvent<(), &'static str>,
    ///         cx: &mut MachineContext<'_, Auction>,
    ///     ) -> Result<Transition<Auction>, Infallible> {
    ///         match event {
    ///             MachineEvent::Timeout(what) => cx.stop_with(ExitReason::shutdown_with(what)),
    ///             _ => cx.set_timeout_at("closed", self.0),
    ///         }
    ///         Ok(Transition::keep())
    ///     }
    /// }
    ///
    /// let auction = Machine::new(Auction(time::now() + Duration::from_millis(2))).spawn()?;
    /// auction.send(()).wait()?;
    /// assert_eq!(auction.ended().wait().to_string(), "shutdown: closed");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_timeout_at(&mut self, name: S::Timer, instant: Instant) {
        self.changes.push((Kind::Named(name), Some(When::At(instant))));
    }

    /// Cancels the timeout of this name.
    pub fn cancel_timeout(&mut self, name: S::Timer) {
        self.changes.push((Kind::Named(name), None));
    }
}

impl<S: StateMachine> Deref for MachineContext<'_, S> {
    type Target = Context<Machine<S>>;

    fn deref(&self) -> &Context<Machine<S>> {
        self.actor
    }
}

impl<S: StateMachine> DerefMut for MachineContext<'_, S> {
    fn deref_mut(&mut self) -> &mut Context<Machine<S>> {
        self.actor
    }
}

impl<S: StateMachine> fmt::Debug for MachineContext<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineContext").field("pid", &self.pid()).finish_non_exhaustive()
    }
}
