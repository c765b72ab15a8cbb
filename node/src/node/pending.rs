//! [`Pending`]: what other nodes are asked and have not answered yet.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use twoply_core::channel::oneshot;

use super::queue::Kind;
use super::remote::Route;
use crate::connection::Connection;

/// An answer that is to come. It is given up by being dropped.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub(crate) struct Pending<T> {
    answer: oneshot::Receiver<T>,
    /// Is there to be dropped, behind the receiver.
    _asked: Asked,
}

/// Gives a question up when it is dropped.
struct Asked(Arc<Mutex<Stage>>);

/// The stages of a question.
enum Stage {
    /// It has not been sent.
    Waits,
    Sent(GiveUp),
    GivenUp,
}

/// Gives a question up that has been sent. Where there is an answer, that does nothing.
pub(crate) type GiveUp = Box<dyn FnOnce() + Send>;

fn replace(stage: &Mutex<Stage>, next: Stage) -> Stage {
    std::mem::replace(&mut *stage.lock().unwrap_or_else(PoisonError::into_inner), next)
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Stage::Sent(give_up) = replace(&self.0, Stage::GivenUp) {
            give_up();
        }
    }
}

impl<T: Send + 'static> Pending<T> {
    /// Asks as soon as the node is connected: `ask` sends the question, with what takes the answer, and
    /// returns how it is given up.
    pub(crate) fn ask<A>(route: &Route, ask: A) -> Pending<T>
    where
        A: FnOnce(Option<&Arc<Connection>>, oneshot::Sender<T>) -> Option<GiveUp> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let stage = Arc::new(Mutex::new(Stage::Waits));
        let pending = Pending { answer, _asked: Asked(Arc::clone(&stage)) };
        let step = move |connection: Option<&Arc<Connection>>| {
            if sender.is_closed() {
                return;
            }
            if let Some(give_up) = ask(connection, sender)
                // Whoever asked may have gone meanwhile.
                && let Stage::GivenUp = replace(&stage, Stage::Sent(give_up))
            {
                drop(Asked(stage));
            }
        };
        match route.open() {
            Some(connection) => step(Some(&connection)),
            // Signals are never refused.
            None => drop(route.shared().when_open(route.name(), Kind::Signal, Box::new(step))),
        }
        pending
    }

    /// Returns the answer; `None` if there will be none.
    pub(crate) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.answer).poll(cx).map(Result::ok)
    }
}
