//! The errors of sending to a service, each of which says whether the service may have got the message.

use std::fmt;

use crate::promise::Failure;

/// The error of sending to a service. It has not got the message, which is handed back.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendToServiceError<M> {
    /// The service is away, and messages are refused then.
    #[error("the service is away")]
    Away(M),
    /// The queue is full, and the message was not to wait.
    #[error("the queue of the service is full")]
    Full(M),
    /// The reference has been ended.
    #[error("the reference to the service has ended")]
    Closed(M),
}

impl<M> SendToServiceError<M> {
    /// Returns the message that was not sent.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::SendToServiceError;
    ///
    /// assert_eq!(SendToServiceError::Full("page").into_inner(), "page");
    /// ```
    pub fn into_inner(self) -> M {
        match self {
            SendToServiceError::Away(message)
            | SendToServiceError::Full(message)
            | SendToServiceError::Closed(message) => message,
        }
    }
}

impl<M> fmt::Debug for SendToServiceError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendToServiceError::Away(_) => "Away(..)",
            SendToServiceError::Full(_) => "Full(..)",
            SendToServiceError::Closed(_) => "Closed(..)",
        })
    }
}

/// The error of asking a service.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskServiceError {
    /// The service is away, and messages are refused then. The question was not sent.
    #[error("the service is away")]
    Away,
    /// The question was not sent, and will not be: no session has taken it.
    #[error("the question was not sent: {0}")]
    NotSent(#[source] Failure),
    /// A session has taken the question, and it was not answered. Nobody can say whether the service has got
    /// it, and what it has done.
    #[error("it is not known what has become of the question: {0}")]
    Unknown(#[source] Failure),
}
