//! [`ChildRef`]: a reference to a child that follows its restarts.

use std::fmt;

use super::spec::Standing;
use crate::actor::{Pid, ProcessRef};
use crate::channel::{SendError, TrySendError, watch};
use crate::promise::{Failure, Resolver};

/// A reference to a supervised child, whichever process that is at the moment; see
/// [`ChildSpec::reference`](super::ChildSpec::reference).
///
/// While the child is being restarted, sends wait. They fail once it will not run again by itself: it was stopped,
/// ended for good, or its supervisor has. Messages of one sender arrive in order, but those that were in the mailbox
/// of a process that ended are gone, unless the child [keeps](super::Mailbox::Keep) its mailbox.
pub struct ChildRef<M: Send + 'static> {
    /// How the child stands.
    standing: watch::Receiver<Standing<M>>,
}

impl<M: Send + 'static> ChildRef<M> {
    pub(super) fn new(standing: watch::Receiver<Standing<M>>) -> ChildRef<M> {
        ChildRef { standing }
    }

    /// The child's process, or `None` while it does not run. The reference does not follow restarts.
    pub fn process(&self) -> Option<ProcessRef<M>> {
        match &*self.standing.clone().latest() {
            Standing::Running(process) => Some(process.clone()),
            Standing::Waiting | Standing::Stopped => None,
        }
    }

    /// The child's process, as [`ChildRef::process`].
    pub fn pid(&self) -> Option<Pid> {
        self.process().map(|process| process.pid())
    }

    /// Sends `message`, and waits for room in the mailbox and for a restart. A future that is dropped has not sent it.
    ///
    /// # Errors
    /// When the child will not run again by itself. The message is handed back.
    pub async fn send(&self, message: M) -> Result<(), SendError<M>> {
        let mut standing = self.standing.clone();
        let mut message = message;
        loop {
            let process = match &*standing.latest() {
                Standing::Running(process) => Some(process.clone()),
                Standing::Waiting => None,
                Standing::Stopped => return Err(SendError(message)),
            };
            if let Some(process) = process {
                match process.send(message).await {
                    Ok(()) => return Ok(()),
                    // It has ended, and its supervisor will decide what is next.
                    Err(SendError(unsent)) => message = unsent,
                }
            }
            if standing.changed().await.is_err() {
                return Err(SendError(message));
            }
        }
    }

    /// Sends `message` if that can be done at once.
    ///
    /// # Errors
    /// [`Full`](TrySendError::Full) when there is no room or the child is being restarted;
    /// [`Closed`](TrySendError::Closed) when it will not run again by itself. The message is handed back.
    pub fn try_send(&self, message: M) -> Result<(), TrySendError<M>> {
        let mut standing = self.standing.clone();
        let message = match &*standing.latest() {
            Standing::Running(process) => match process.try_send(message) {
                // It has ended, and its supervisor will decide what is next, if there still is one.
                Err(TrySendError::Closed(message)) => message,
                sent => return sent,
            },
            Standing::Waiting => message,
            Standing::Stopped => return Err(TrySendError::Closed(message)),
        };
        let stopped = standing.is_closed() || matches!(*standing.latest(), Standing::Stopped);
        Err(if stopped { TrySendError::Closed(message) } else { TrySendError::Full(message) })
    }

    /// Sends the message that `question` makes of a resolver, as [`ChildRef::send`] does, and waits for the answer.
    ///
    /// # Errors
    /// Why there is no answer. After [`Failure::NoProcess`] (the child ended before it took up the question) and
    /// [`Failure::Broken`] (it dropped the question, perhaps because it failed) the child may run again by now; whether
    /// it has done what it was asked is not known.
    pub async fn ask<R>(&self, question: impl FnOnce(Resolver<R>) -> M) -> Result<R, Failure> {
        let mut standing = self.standing.clone();
        loop {
            let process = match &*standing.latest() {
                Standing::Running(process) if !process.is_closed() => Some(process.clone()),
                Standing::Running(_) | Standing::Waiting => None,
                Standing::Stopped => return Err(Failure::NoProcess(crate::actor::ExitReason::NoProcess)),
            };
            if let Some(process) = process {
                return process.ask(question).await;
            }
            if standing.changed().await.is_err() {
                return Err(Failure::NoProcess(crate::actor::ExitReason::NoProcess));
            }
        }
    }
}

impl<M: Send + 'static> Clone for ChildRef<M> {
    fn clone(&self) -> ChildRef<M> {
        ChildRef { standing: self.standing.clone() }
    }
}

impl<M: Send + 'static> fmt::Debug for ChildRef<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChildRef").field(&self.pid()).finish()
    }
}
