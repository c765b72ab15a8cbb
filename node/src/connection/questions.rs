//! Messages with questions in them, whose answers resolve promises.

use super::{Connection, SendError, Tables};
use crate::outbox::{Refused, Sender};
use crate::outgoing::{Questions, lose};
use crate::wire::{Control, Frame, Target};

/// The questions from which on those that nobody waits for are looked for.
pub(super) const MANY: usize = 64;

impl Connection {
    /// Sends a message with questions in it.
    pub(super) fn send_asking(
        &self,
        to: &Target,
        frame: &mut Frame,
        questions: Questions,
    ) -> Result<(), SendError> {
        // Under one lock, so that no answer comes before its question is known.
        let mut tables = self.tables();
        let sent = self.outbox.append_message(frame, to.into());
        let (refused, given_up) = match sent {
            Ok(_) => (Ok(()), self.enter(&mut tables, to, questions)),
            Err(Refused::Full) => (Err(SendError::Full), questions),
            Err(Refused::Closed) => {
                drop(tables);
                return Err(SendError::Closed(questions));
            }
        };
        drop(tables);
        drop(given_up);
        self.write_out();
        refused
    }

    /// As [`Connection::send_asking`], for a message that has been taken already.
    pub(super) fn push_asking(&self, to: &Target, frame: &mut Frame, sender: Sender, questions: Questions) {
        let mut tables = self.tables();
        if self.outbox.is_closed() {
            drop(tables);
            return lose(questions);
        }
        let sent = self.outbox.passed_on(frame, to.into(), sender);
        let given_up = self.enter(&mut tables, to, questions);
        drop(tables);
        drop(given_up);
        if !sent {
            self.stop("it reads too slowly");
        }
    }

    /// Notes the questions in a message to `to`, each with a monitor. Returns others that have been given up.
    fn enter(&self, tables: &mut Tables, to: &Target, questions: Questions) -> Questions {
        for (number, call) in questions {
            let (from, reference) = (self.shared.nobody(), self.shared.reference(number));
            tables.calls.insert(number, (to.clone(), call));
            self.queue(&Control::Monitor { from, to: to.clone(), reference }, None);
        }
        if tables.calls.len() < tables.sweep_at.max(MANY) {
            return Questions::new();
        }
        let given_up = self.sweep(tables);
        // So each question is looked at twice, on average.
        tables.sweep_at = 2 * tables.calls.len();
        given_up
    }

    /// Forgets the questions that nobody waits for: their monitors are taken back, and late answers dropped.
    pub(super) fn forget_given_up(&self) {
        let given_up = self.sweep(&mut self.tables());
        if !given_up.is_empty() {
            self.outbox.kick();
        }
    }

    /// Takes out what nobody waits for; the caller drops it when it holds no lock.
    fn sweep(&self, tables: &mut Tables) -> Questions {
        let unwanted = tables.calls.extract_if(.., |_, (_, call)| !call.is_wanted());
        let mut given_up = Questions::new();
        for (number, (to, call)) in unwanted {
            let (from, reference) = (self.shared.nobody(), self.shared.reference(number));
            self.queue(&Control::Demonitor { from, to, reference }, None);
            given_up.push((number, call));
        }
        given_up
    }
}
