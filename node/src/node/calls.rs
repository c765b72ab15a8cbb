//! Questions to processes of other nodes, as `gen_server:call` asks them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use twoply_core::actor::ExitReason;

use super::Remote;
use super::pending::Pending;
use crate::contain;
use crate::outgoing::Outgoing;
use crate::wire::{self, Atom, DecodeError, Decoder, EncodeError, Encoded, FromTerm, Target, ToTerm};

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
pub struct Answer<R>(State<R>);

enum State<R> {
    Asked(Pending<Result<R, CallError>>),
    Failed(Option<CallError>),
}

impl<R: Send + 'static> Future for Answer<R> {
    type Output = Result<R, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let lost = || Err(CallError::Ended(ExitReason::NoConnection));
        match &mut self.0 {
            State::Asked(pending) => pending.poll_answer(cx).map(|answer| answer.unwrap_or_else(lost)),
            State::Failed(error) => Poll::Ready(error.take().map_or_else(lost, Err)),
        }
    }
}

impl<R> Unpin for Answer<R> {}

impl Remote {
    /// Asks the process that has `name` there, as `gen_server:call` and `GenServer.call` do. The question is
    /// sent at once, or as soon as the node is connected, and never waits for room.
    ///
    /// # Errors
    /// The future's output is [`CallError::Ended`] when there is no such process, when it ends without having
    /// answered, and when the connection ends or cannot be made.
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
        let request = match Encoded::new(request, &Outgoing::telling(self.0.shared())) {
            Ok(request) => request,
            Err(error) => return Answer(State::Failed(Some(CallError::Question(error)))),
        };
        Answer(State::Asked(Pending::ask(&self.0, move |connection, sender| {
            let tell = |answer: Result<&mut Decoder<'_>, CallError>| {
                let answer = answer
                    .and_then(|payload| contain::read(|| R::from_term(payload)).map_err(CallError::Answer));
                // Whoever asked may have given up.
                let _ = sender.send(answer);
            };
            let connection = Arc::clone(connection?);
            let number = connection.call(&target, &request, Box::new(tell))?;
            // Where there is an answer nothing is known of it any more.
            Some(Box::new(move || drop(connection.end_call(number))))
        })))
    }
}
