//! [`Machine`]: the queue of a state machine's events, and its timeouts.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::time::{Duration, Instant};

use super::{MachineContext, MachineEvent, Next, StateMachine, Transition};
use crate::actor::{Actor, Context, Down, Exit, ExitReason, TimerRef};
use crate::kernel::coop;

/// An event of this machine.
type EventOf<S> = MachineEvent<<S as StateMachine>::Message, <S as StateMachine>::Timer>;

/// A change of a timeout: it is set, or else cancelled.
pub(super) type Change<T> = (Kind<T>, Option<When>);

/// The end of a timeout that is set.
#[derive(Clone, Copy)]
pub(super) enum When {
    /// It comes after this time.
    In(Duration),
    /// It comes at this instant.
    At(Instant),
}

/// The kinds of timeouts. There is one of each at most.
#[derive(Clone, PartialEq)]
pub(super) enum Kind<T> {
    /// The timeout of the state.
    State,
    /// The timeout of events.
    Event,
    /// The timeout with this name.
    Named(T),
}

/// The actor that runs a [`StateMachine`].
///
/// # Examples
/// ```
/// # use std::convert::Infallible;
/// # use twoply::actor::{MachineContext, MachineEvent, StateMachine, Transition};
/// # struct Door;
/// # impl StateMachine for Door {
/// #     type State = bool;
/// #     type Message = ();
/// #     type Timer = ();
/// #     type Error = Infallible;
/// #     async fn started(&mut self, _: &mut MachineContext<'_, Door>) -> Result<bool, Infallible> {
/// #         Ok(false)
/// #     }
/// #     async fn handle(
/// #         &mut self,
/// #         open: bool,
/// #         _: MachineEvent<()>,
/// #         _: &mut MachineContext<'_, Door>,
/// #     ) -> Result<Transition<Door>, Infallible> {
/// #         Ok(Transition::to(!open))
/// #     }
/// # }
/// use twoply::Wait;
/// use twoply::actor::supervisor::{ChildSpec, Supervisor};
/// use twoply::actor::{Actor, Machine};
///
/// let door = Machine::new(Door).start().wait()?;
/// door.send(()).wait()?;
/// // Or as the child of a supervisor:
/// let door = ChildSpec::actor("door", || Machine::new(Door));
/// let supervisor = Supervisor::one_for_one().child(door).start().wait()?;
/// # supervisor.stop().wait();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Machine<S: StateMachine> {
    machine: S,
    /// `None` until the machine has started.
    state: Option<S::State>,
    /// The events that have been received, or inserted, and not been handled. Empty while the actor receives.
    queue: VecDeque<EventOf<S>>,
    /// The events that are to be handled in another state, the oldest first.
    postponed: VecDeque<EventOf<S>>,
    /// The timeouts that run. Few, so they are searched.
    running: Vec<(Kind<S::Timer>, TimerRef)>,
    /// The timeouts of zero: events to come once the queue is empty, the oldest first.
    zero: VecDeque<Kind<S::Timer>>,
    /// The changes of timeouts that the handlers of this transition have made. Empty between transitions.
    changes: Vec<Change<S::Timer>>,
}

impl<S: StateMachine> Machine<S> {
    /// Makes an actor of `machine`.
    pub fn new(machine: S) -> Machine<S> {
        Machine {
            machine,
            state: None,
            queue: VecDeque::new(),
            postponed: VecDeque::new(),
            running: Vec::new(),
            zero: VecDeque::new(),
            changes: Vec::new(),
        }
    }

    /// Returns the state. Nothing is called that asks for it before the machine has started.
    fn state(&self) -> S::State {
        match &self.state {
            Some(state) => state.clone(),
            None => unreachable!("a machine that has not started handles nothing"),
        }
    }

    /// Handles what has been received, and what follows from it.
    async fn receive(&mut self, event: EventOf<S>, cx: &mut Context<Machine<S>>) -> Result<(), S::Error> {
        self.queue.push_back(event);
        self.handle_all(cx).await
    }

    /// Handles events until none is left that need not be received.
    async fn handle_all(&mut self, cx: &mut Context<Machine<S>>) -> Result<(), S::Error> {
        while !cx.is_stopping()
            && let Some(event) = self.next_event(cx)
        {
            // Events may follow from events for ever.
            coop::consume().await;
            self.step(event, cx).await?;
        }
        Ok(())
    }

    /// Takes the next event, which cancels the timeout of events.
    fn next_event(&mut self, cx: &mut Context<Machine<S>>) -> Option<EventOf<S>> {
        let event = match self.queue.pop_front() {
            Some(event) => event,
            None => event_of(self.zero.pop_front()?),
        };
        self.cancel(&Kind::Event, cx);
        Some(event)
    }

    /// Does all that one event asks for, from its handler to the timeouts. The steps are those of
    /// [`Transition`].
    async fn step(&mut self, event: EventOf<S>, cx: &mut Context<Machine<S>>) -> Result<(), S::Error> {
        let before = self.state();
        let mut context = MachineContext { actor: cx, changes: &mut self.changes };
        let transition = self.machine.handle(before.clone(), event, &mut context).await?;
        let Transition { next, postponed, inserted } = transition;
        if cx.is_stopping() {
            return Ok(());
        }
        let is_repeated = matches!(next, Next::Repeat);
        let next = match next {
            Next::Keep | Next::Repeat => before.clone(),
            Next::To(state) => state,
        };
        let is_changed = next != before;
        self.state = Some(next.clone());
        if is_changed || is_repeated {
            let mut context = MachineContext { actor: cx, changes: &mut self.changes };
            self.machine.entered(before, next, &mut context).await?;
        }
        self.postponed.extend(postponed);
        if is_changed {
            self.cancel(&Kind::State, cx);
            let received = mem::replace(&mut self.queue, mem::take(&mut self.postponed));
            self.queue.extend(received);
        }
        for message in inserted.into_iter().rev() {
            self.queue.push_front(MachineEvent::Internal(message));
        }
        self.set_timeouts(cx);
        Ok(())
    }

    /// Makes the changes of timeouts that the handlers want.
    fn set_timeouts(&mut self, cx: &mut Context<Machine<S>>) {
        for (kind, when) in mem::take(&mut self.changes) {
            self.cancel(&kind, cx);
            match when {
                None => {}
                Some(When::In(Duration::ZERO)) => self.zero.push_back(kind),
                Some(When::In(duration)) => self.running.push((kind, cx.start_timer(duration))),
                Some(When::At(instant)) => self.running.push((kind, cx.start_timer_at(instant))),
            }
        }
    }

    /// Cancels a timeout: it is no event any more.
    fn cancel(&mut self, kind: &Kind<S::Timer>, cx: &mut Context<Machine<S>>) {
        self.zero.retain(|other| other != kind);
        if let Some(at) = self.running.iter().position(|(other, _)| other == kind) {
            let (_, timer) = self.running.swap_remove(at);
            cx.cancel_timer(timer);
        }
    }
}

/// Returns the event of a timeout.
fn event_of<M, T>(kind: Kind<T>) -> MachineEvent<M, T> {
    match kind {
        Kind::State => MachineEvent::StateTimeout,
        Kind::Event => MachineEvent::EventTimeout,
        Kind::Named(name) => MachineEvent::Timeout(name),
    }
}

impl<S: StateMachine> Actor for Machine<S> {
    type Message = S::Message;
    type Error = S::Error;

    async fn started(&mut self, cx: &mut Context<Machine<S>>) -> Result<(), S::Error> {
        let mut context = MachineContext { actor: cx, changes: &mut self.changes };
        let state = self.machine.started(&mut context).await?;
        self.state = Some(state.clone());
        if cx.is_stopping() {
            return Ok(());
        }
        let mut context = MachineContext { actor: cx, changes: &mut self.changes };
        self.machine.entered(state.clone(), state, &mut context).await?;
        self.set_timeouts(cx);
        self.handle_all(cx).await
    }

    async fn handle(&mut self, message: S::Message, cx: &mut Context<Machine<S>>) -> Result<(), S::Error> {
        self.receive(MachineEvent::Message(message), cx).await
    }

    async fn trapped(&mut self, exit: Exit, cx: &mut Context<Machine<S>>) -> Result<(), S::Error> {
        self.receive(MachineEvent::Exit(exit), cx).await
    }

    async fn down(&mut self, down: Down, cx: &mut Context<Machine<S>>) -> Result<(), S::Error> {
        self.receive(MachineEvent::Down(down), cx).await
    }

    async fn timed_out(&mut self, timer: TimerRef, cx: &mut Context<Machine<S>>) -> Result<(), S::Error> {
        let at = self.running.iter().position(|(_, running)| *running == timer);
        match at.map(|at| self.running.swap_remove(at)) {
            Some((kind, _)) => self.receive(event_of(kind), cx).await,
            // The machine has started it by itself, past its context.
            None => Ok(()),
        }
    }

    fn show_state(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.machine.show_state(&self.state(), f)?;
        let timeouts = self.running.len() + self.zero.len();
        write!(f, "; {} postponed, {timeouts} timeouts", self.postponed.len())
    }

    async fn stopped(&mut self, reason: &ExitReason, cx: &mut Context<Machine<S>>) {
        let state = self.state();
        let mut context = MachineContext { actor: cx, changes: &mut self.changes };
        self.machine.stopped(state, reason, &mut context).await;
    }
}

impl<S: StateMachine> fmt::Debug for Machine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("postponed", &self.postponed.len())
            .field("timeouts", &(self.running.len() + self.zero.len()))
            .finish_non_exhaustive()
    }
}
