//! Sending to a process by its name.

use std::sync::Arc;

use super::registry::{Registry, WrongTypeError};
use crate::channel::{SendError, TrySendError};

/// The error of sending to a name. The message is handed back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendToNameError<M> {
    /// Nobody has the name.
    #[error("nobody has the name {0}")]
    NoName(Arc<str>, M),
    /// The process with the name takes messages of another type.
    #[error("{0}")]
    WrongType(WrongTypeError, M),
    /// The mailbox is full, and the message was not to wait, or is refused.
    #[error("the mailbox is full")]
    Full(M),
    /// The process has ended, or has been made to.
    #[error("the process has ended")]
    Closed(M),
}

impl<M> SendToNameError<M> {
    /// Returns the message that was not sent.
    pub fn into_inner(self) -> M {
        match self {
            SendToNameError::NoName(_, message)
            | SendToNameError::WrongType(_, message)
            | SendToNameError::Full(message)
            | SendToNameError::Closed(message) => message,
        }
    }
}

impl Registry {
    /// Sends `message` to the process with this name, and waits for room in its mailbox. The name is looked
    /// up once, when the future is first polled. A future that is dropped has not sent the message.
    ///
    /// # Errors
    /// When nobody has the name, when its process takes other messages, or as [`ProcessRef::send`].
    ///
    /// [`ProcessRef::send`]: crate::actor::ProcessRef::send
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Builder, Process, Registry};
    ///
    /// let registry = Registry::new();
    /// let log = Builder::new().register_in(&registry, "log");
    /// let log = log.spawn(async |mut me: Process<u32>| drop(me.receive().await))?;
    /// registry.send("log", 7_u32).wait()?;
    /// log.ended().wait();
    /// assert_eq!(registry.send("log", 8_u32).wait().unwrap_err().into_inner(), 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn send<M: Send + 'static>(&self, name: &str, message: M) -> Result<(), SendToNameError<M>> {
        match self.whereis::<M>(name) {
            Ok(Some(process)) => {
                process.send(message).await.map_err(|SendError(message)| SendToNameError::Closed(message))
            }
            Ok(None) => Err(SendToNameError::NoName(name.into(), message)),
            Err(wrong) => Err(SendToNameError::WrongType(wrong, message)),
        }
    }

    /// As [`Registry::send`], if that can be done at once.
    ///
    /// # Errors
    /// As there, and when there is no room.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Process, Registry};
    ///
    /// let registry = Registry::new();
    /// let process = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// registry.register("clerk", &process)?;
    /// registry.try_send("clerk", 1_u8)?;
    /// assert_eq!(registry.try_send("nobody", 2_u8).unwrap_err().into_inner(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_send<M: Send + 'static>(&self, name: &str, message: M) -> Result<(), SendToNameError<M>> {
        match self.whereis::<M>(name) {
            Ok(Some(process)) => process.try_send(message).map_err(|error| match error {
                TrySendError::Full(message) => SendToNameError::Full(message),
                TrySendError::Closed(message) => SendToNameError::Closed(message),
            }),
            Ok(None) => Err(SendToNameError::NoName(name.into(), message)),
            Err(wrong) => Err(SendToNameError::WrongType(wrong, message)),
        }
    }
}
