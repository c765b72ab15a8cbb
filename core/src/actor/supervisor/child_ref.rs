//! [`ChildRef`]: a reference to a child that follows its restarts.

use std::fmt;

use super::erased::Availability;
use crate::actor::{Pid, ProcessRef};
use crate::channel::{SendError, TrySendError, watch};
use crate::promise::{Failure, Resolver};

/// A reference to a supervised child, whichever process that is at the moment; see
/// [`ChildSpec::reference`](super::ChildSpec::reference).
///
/// While the child is being restarted, sends wait. They fail once it will not run again by itself: it was
/// stopped, ended for good, or its supervisor has. Messages of one sender arrive in order, but those that
/// were in the mailbox of a process that ended are gone, unless the child [keeps](super::Mailbox::Keep) its
/// mailbox.
pub struct ChildRef<M: Send + 'static> {
    availability: watch::Receiver<Availability<M>>,
}

impl<M: Send + 'static> ChildRef<M> {
    pub(super) fn new(availability: watch::Receiver<Availability<M>>) -> ChildRef<M> {
        ChildRef { availability }
    }

    /// Returns the child's process, or `None` while it does not run. What is returned does not follow
    /// restarts.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let child = ChildSpec::process("child", async |mut me: Process<u8>| drop(me.receive().await));
    /// let reference = child.reference();
    /// assert!(reference.process().is_none());
    /// let supervisor = Supervisor::one_for_one().child(child).start().wait()?;
    /// assert!(reference.process().is_some());
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process(&self) -> Option<ProcessRef<M>> {
        match &*self.availability.clone().latest() {
            Availability::Running(process) => Some(process.clone()),
            Availability::Waiting | Availability::Stopped => None,
        }
    }

    /// Returns the pid of the child's process, or `None` while it does not run.
    pub fn pid(&self) -> Option<Pid> {
        self.process().map(|process| process.pid())
    }

    /// Sends `message`, and waits for room in the mailbox and for a restart. A future that is dropped has not
    /// sent it.
    ///
    /// # Errors
    /// When the child will not run again by itself, or is full and [refuses](crate::actor::Overflow::Fail)
    /// then. The message is handed back.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let child = ChildSpec::process("child", async |mut me: Process<u8>| drop(me.receive().await));
    /// let reference = child.reference();
    /// let supervisor = Supervisor::one_for_one().child(child).start().wait()?;
    /// reference.send(1).wait()?;
    /// supervisor.stop().wait();
    /// assert_eq!(reference.send(2).wait().unwrap_err().into_inner(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn send(&self, message: M) -> Result<(), SendError<M>> {
        let mut availability = self.availability.clone();
        let mut message = message;
        loop {
            let process = match &*availability.latest() {
                Availability::Running(process) => Some(process.clone()),
                Availability::Waiting => None,
                Availability::Stopped => return Err(SendError(message)),
            };
            if let Some(process) = process {
                match process.send(message).await {
                    Ok(()) => return Ok(()),
                    // It is full, and refuses then.
                    Err(refused) if !process.is_closed() => return Err(refused),
                    // The process ends, and its supervisor will decide what is next.
                    Err(SendError(unsent)) => message = unsent,
                }
            }
            if availability.changed().await.is_err() {
                return Err(SendError(message));
            }
        }
    }

    /// Sends `message` if that can be done at once.
    ///
    /// # Errors
    /// [`Full`](TrySendError::Full) when there is no room or the child is being restarted;
    /// [`Closed`](TrySendError::Closed) when it will not run again by itself. The message is handed back.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, channel::TrySendError};
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    ///
    /// let child = ChildSpec::process("child", async |mut me: Process<u8>| drop(me.receive().await));
    /// let reference = child.reference();
    /// let supervisor = Supervisor::one_for_one().child(child).start().wait()?;
    /// reference.try_send(1)?;
    /// supervisor.stop().wait();
    /// assert_eq!(reference.try_send(2), Err(TrySendError::Closed(2)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_send(&self, message: M) -> Result<(), TrySendError<M>> {
        let mut availability = self.availability.clone();
        let message = match &*availability.latest() {
            Availability::Running(process) => match process.try_send(message) {
                // The process has ended, and its supervisor will decide what is next, if there still is one.
                Err(TrySendError::Closed(message)) => message,
                sent => return sent,
            },
            Availability::Waiting => message,
            Availability::Stopped => return Err(TrySendError::Closed(message)),
        };
        let stopped = availability.is_closed() || matches!(*availability.latest(), Availability::Stopped);
        Err(if stopped { TrySendError::Closed(message) } else { TrySendError::Full(message) })
    }

    /// Sends the message that `question` makes of a resolver, as [`ChildRef::send`] does, and waits for the
    /// answer.
    ///
    /// # Errors
    /// [`Failure::NoProcess`] when the child ended before it answered, and [`Failure::Broken`] when it
    /// dropped the question; it may run again by now, and whether it has done what it was asked is not known.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{ChildSpec, Supervisor}};
    /// use twoply::promise::Resolver;
    ///
    /// let oracle = ChildSpec::process("oracle", async |mut me: Process<Resolver<u8>>| {
    ///     while let Some(question) = me.receive().await.message() {
    ///         _ = question.resolve(42);
    ///     }
    /// });
    /// let reference = oracle.reference();
    /// let supervisor = Supervisor::one_for_one().child(oracle).start().wait()?;
    /// assert_eq!(reference.ask(|reply| reply).wait()?, 42);
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(Resolver<R>) -> M,
    ) -> Result<R, Failure> {
        let mut availability = self.availability.clone();
        loop {
            let process = match &*availability.latest() {
                Availability::Running(process) if !process.is_closed() => Some(process.clone()),
                Availability::Running(_) | Availability::Waiting => None,
                Availability::Stopped => return Err(Failure::NoProcess(crate::actor::ExitReason::NoProcess)),
            };
            if let Some(process) = process {
                return process.ask(question).await;
            }
            if availability.changed().await.is_err() {
                return Err(Failure::NoProcess(crate::actor::ExitReason::NoProcess));
            }
        }
    }
}

impl<M: Send + 'static> Clone for ChildRef<M> {
    fn clone(&self) -> ChildRef<M> {
        ChildRef { availability: self.availability.clone() }
    }
}

impl<M: Send + 'static> fmt::Debug for ChildRef<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChildRef").field(&self.pid()).finish()
    }
}
