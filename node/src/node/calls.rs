//! Questions to processes of other nodes, as `gen_server:call` asks them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use twoply_core::actor::ExitReason;
use twoply_core::channel::oneshot;

use super::Remote;
use crate::connection::{Connection, SendError};
use crate::wire::{self, Atom, DecodeError, EncodeError, FromTerm, Target, ToTerm};

/// The reasons for which a question has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The process has ended, there is none, or the connection has ended.
    #[error("the process that was asked has ended: {0}")]
    Ended(ExitReason),
    /// The answer is of another type.
    #[error("the answer is not what was expected: {0}")]
    Answer(DecodeError),
    /// The question cannot be written.
    #[error("the question cannot be written: {0}")]
    Question(EncodeError),
}

/// The future of [`Remote::call`] and [`Remote::call_pid`]: the answer, by `.await` or `.wait()`.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Answer<R> {
    state: State<R>,
}

enum State<R> {
    Asked {
        answer: oneshot::Receiver<Result<R, CallError>>,
        /// Gives the question up when it is dropped before there is an answer.
        question: Question,
    },
    Failed(Option<CallError>),
}

/// A question that has been sent.
struct Question {
    connection: Arc<Connection>,
    number: u64,
}

impl Drop for Question {
    fn drop(&mut self) {
        // Where there is an answer nothing is known of it any more.
        drop(self.connection.end_call(self.number));
    }
}

impl<R> Future for Answer<R> {
    type Output = Result<R, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Asked { answer, question } => {
                let _ = question;
                Pin::new(answer).poll(cx).map(|answer| match answer {
                    Ok(answer) => answer,
                    Err(_) => Err(CallError::Ended(ExitReason::NoConnection)),
                })
            }
            State::Failed(error) => {
                let error = error.take();
                Poll::Ready(Err(error.unwrap_or(CallError::Ended(ExitReason::NoConnection))))
            }
        }
    }
}

impl<R> Unpin for Answer<R> {}

impl Remote {
    /// Asks the process that has `name` there, as `gen_server:call` and `GenServer.call` do. The question is
    /// sent at once, and never waits for room.
    ///
    /// # Errors
    /// The future's output is [`CallError::Ended`] when there is no such process, when it ends without having
    /// answered, and when the connection ends.
    ///
    /// # Cancel safety
    /// Dropping the future gives the question up; a late answer is dropped. `twoply::time::timeout` bounds
    /// it.
    ///
    /// # Panics
    /// When `name` has more than 255 characters.
    pub fn call<R>(&self, name: &str, request: &dyn ToTerm) -> Answer<R>
    where
        R: for<'a> FromTerm<'a> + Send + 'static,
    {
        let name = Atom::new(name).unwrap_or_else(|error| panic!("{error}"));
        self.ask(Target::Name(name), request)
    }

    /// As [`call`](Remote::call), of the process with this pid.
    pub fn call_pid<R>(&self, pid: &wire::Pid, request: &dyn ToTerm) -> Answer<R>
    where
        R: for<'a> FromTerm<'a> + Send + 'static,
    {
        self.ask(Target::Pid(pid.clone()), request)
    }

    fn ask<R>(&self, target: Target, request: &dyn ToTerm) -> Answer<R>
    where
        R: for<'a> FromTerm<'a> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let told = self.0.call(
            &target,
            request,
            Box::new(move |answer| {
                let answer = match answer {
                    Ok(payload) => R::from_term(payload).map_err(CallError::Answer),
                    Err(reason) => Err(CallError::Ended(reason)),
                };
                // Whoever asked may have given up.
                let _ = sender.send(answer);
            }),
        );
        let state = match told {
            Ok(number) => {
                let question = Question { connection: Arc::clone(&self.0), number };
                State::Asked { answer, question }
            }
            Err(SendError::Encode(error)) => State::Failed(Some(CallError::Question(error))),
            Err(SendError::Full | SendError::Closed) => {
                State::Failed(Some(CallError::Ended(ExitReason::NoConnection)))
            }
        };
        Answer { state }
    }
}
