//! The door: its states, and what each event means in them.

use std::convert::Infallible;
use std::time::Duration;

use twoply::actor::{ExitReason, MachineContext, MachineEvent, StateMachine, Transition};
use twoply::channel::Sender;
use twoply::promise::Resolver;

/// So many wrong codes are too many.
const MOST_WRONG: u32 = 3;

/// The states of the door.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State {
    /// It waits for the code.
    Locked,
    /// Somebody may go through.
    Open,
    /// It takes no digits.
    Alarm,
}

/// The messages from outside.
pub(crate) enum Message {
    /// Somebody presses a button.
    Digit(u8),
    /// Somebody asks how the door is.
    State(Resolver<State>),
}

/// The door. What it remembers besides its state is here.
pub(crate) struct Door {
    code: Vec<u8>,
    /// The digits that have been entered.
    entered: Vec<u8>,
    /// The number of wrong codes since the last right one.
    wrong: u32,
    /// The time for which it stays open.
    open: Duration,
    /// The time for which it waits for the next digit, and for which it sounds an alarm.
    pause: Duration,
    /// Is told what happens.
    tell: Sender<&'static str>,
}

impl Door {
    pub(crate) fn new(code: &[u8], open: Duration, pause: Duration, tell: Sender<&'static str>) -> Door {
        Door { code: code.into(), entered: Vec::new(), wrong: 0, open, pause, tell }
    }

    fn tell(&self, what: &'static str) {
        // The program may have gone.
        let _ = self.tell.try_send(what);
    }

    /// A button was pressed while the door was locked.
    fn press(&mut self, digit: u8, cx: &mut MachineContext<'_, Door>) -> Transition<Door> {
        self.entered.push(digit);
        if self.entered.len() < self.code.len() {
            // Whatever comes next cancels it.
            cx.set_event_timeout(self.pause);
            return Transition::keep();
        }
        if std::mem::take(&mut self.entered) == self.code {
            self.wrong = 0;
            return Transition::to(State::Open);
        }
        self.tell("wrong");
        self.wrong += 1;
        if self.wrong < MOST_WRONG { Transition::keep() } else { Transition::to(State::Alarm) }
    }
}

impl StateMachine for Door {
    type State = State;
    type Message = Message;
    type Timer = ();
    type Error = Infallible;

    async fn started(&mut self, _: &mut MachineContext<'_, Door>) -> Result<State, Infallible> {
        Ok(State::Locked)
    }

    async fn entered(
        &mut self,
        _from: State,
        state: State,
        cx: &mut MachineContext<'_, Door>,
    ) -> Result<(), Infallible> {
        match state {
            State::Locked => self.tell("locked"),
            State::Open => {
                self.tell("open");
                cx.set_state_timeout(self.open);
            }
            State::Alarm => {
                self.tell("alarm");
                self.wrong = 0;
                cx.set_state_timeout(self.pause);
            }
        }
        Ok(())
    }

    async fn handle(
        &mut self,
        state: State,
        event: MachineEvent<Message>,
        cx: &mut MachineContext<'_, Door>,
    ) -> Result<Transition<Door>, Infallible> {
        Ok(match (state, event) {
            (_, MachineEvent::Message(Message::State(reply))) => {
                _ = reply.resolve(state);
                Transition::keep()
            }
            (State::Locked, MachineEvent::Message(Message::Digit(digit))) => self.press(digit, cx),
            (State::Locked, MachineEvent::EventTimeout) => {
                self.entered.clear();
                self.tell("forgotten");
                Transition::keep()
            }
            // The next one is in a hurry.
            (State::Open, digit @ MachineEvent::Message(Message::Digit(_))) => {
                Transition::keep().postpone(digit)
            }
            (State::Open | State::Alarm, MachineEvent::StateTimeout) => Transition::to(State::Locked),
            _ => Transition::keep(),
        })
    }

    async fn stopped(&mut self, _: State, _: &ExitReason, _: &mut MachineContext<'_, Door>) {
        self.tell("out of service");
    }
}
