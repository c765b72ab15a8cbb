//! Sending to a process by its name, wherever names are looked up: [`Names`], [`Via`].

use std::fmt;
use std::sync::Arc;

use super::directory::Directory;
use super::registry::{Registry, WrongTypeError};
use crate::actor::{ExitReason, ProcessRef};
use crate::channel::{SendError, TrySendError};
use crate::promise::{Failure, Resolver};

/// The error of sending to a name. The message is handed back.
///
/// # Examples
/// ```
/// use twoply::actor::{Registry, SendToNameError, Via};
///
/// let nobody = Via::new(Registry::new(), "nobody");
/// match nobody.try_send("hello") {
///     Err(SendToNameError::NoName(name, message)) => assert_eq!((&*name, message), ("nobody", "hello")),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(thiserror::Error)]
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

impl<M> fmt::Debug for SendToNameError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendToNameError::NoName(name, _) => write!(f, "NoName({name:?}, ..)"),
            SendToNameError::WrongType(error, _) => write!(f, "WrongType({error:?}, ..)"),
            SendToNameError::Full(_) => f.write_str("Full(..)"),
            SendToNameError::Closed(_) => f.write_str("Closed(..)"),
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
        send(self, name, message).await
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
        try_send(self, name, message)
    }
}

async fn send<M: Send + 'static>(
    names: &dyn Names<M>,
    name: &str,
    message: M,
) -> Result<(), SendToNameError<M>> {
    match names.whereis(name) {
        Ok(Some(process)) => {
            process.send(message).await.map_err(|SendError(message)| SendToNameError::Closed(message))
        }
        Ok(None) => Err(SendToNameError::NoName(name.into(), message)),
        Err(wrong) => Err(SendToNameError::WrongType(wrong, message)),
    }
}

fn try_send<M: Send + 'static>(
    names: &dyn Names<M>,
    name: &str,
    message: M,
) -> Result<(), SendToNameError<M>> {
    match names.whereis(name) {
        Ok(Some(process)) => process.try_send(message).map_err(|error| match error {
            TrySendError::Full(message) => SendToNameError::Full(message),
            TrySendError::Closed(message) => SendToNameError::Closed(message),
        }),
        Ok(None) => Err(SendToNameError::NoName(name.into(), message)),
        Err(wrong) => Err(SendToNameError::WrongType(wrong, message)),
    }
}

/// A place where processes that take messages of type `M` are looked up by name.
///
/// A [`Registry`] is one, and a [`Directory`], whose name leads to the entry that has been there longest. A
/// program may have others: a table of its own, a rule by which a name is hashed to one of many, names on
/// other nodes. It is what Elixir's `{:via, module, name}` asks of a module.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::actor::{self, Names, Process, ProcessRef, Via, WrongTypeError};
///
/// /// Leads each name to one of several processes, always to the same one.
/// struct Shards(Vec<ProcessRef<String>>);
///
/// impl Names<String> for Shards {
///     fn whereis(&self, name: &str) -> Result<Option<ProcessRef<String>>, WrongTypeError> {
///         let hash = name.bytes().fold(7_usize, |hash, byte| hash.wrapping_mul(31) + usize::from(byte));
///         Ok(self.0.get(hash % self.0.len()).cloned())
///     }
/// }
///
/// let shard = || actor::spawn(async |mut me: Process<String>| drop(me.receive().await));
/// let shards = Shards(vec![shard()?, shard()?]);
/// let ada = Via::new(shards, "Ada");
/// ada.send("hello".to_owned()).wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Names<M>: Send + Sync {
    /// Returns the process with this name; `None` if nobody has it. It is asked for each message anew.
    ///
    /// # Errors
    /// When the process takes messages of another type.
    fn whereis(&self, name: &str) -> Result<Option<ProcessRef<M>>, WrongTypeError>;
}

impl<M: Send + 'static> Names<M> for Registry {
    fn whereis(&self, name: &str) -> Result<Option<ProcessRef<M>>, WrongTypeError> {
        Registry::whereis(self, name)
    }
}

impl<M: Send + 'static, V: Send + Sync + 'static> Names<M> for Directory<M, V> {
    fn whereis(&self, name: &str) -> Result<Option<ProcessRef<M>>, WrongTypeError> {
        Ok(self.lookup(name).into_iter().next().map(|entry| entry.process().clone()))
    }
}

/// Whoever has a name when a message is sent: a reference that outlives the process behind it, and leads to
/// its successor. Clones are the same name.
///
/// # Examples
/// ```
/// use twoply::promise::Resolver;
/// use twoply::{Wait, actor::{Builder, Process, Registry, Via}};
///
/// let registry = Registry::new();
/// let clock = Via::new(registry.clone(), "clock");
/// assert!(clock.ask(|reply: Resolver<u8>| reply).wait().is_err(), "nobody has the name");
/// let body = async |mut me: Process<Resolver<u8>>| _ = me.receive().await.message().unwrap().resolve(12);
/// Builder::new().register_in(&registry, "clock").spawn(body)?;
/// assert_eq!(clock.ask(|reply| reply).wait()?, 12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Via<M> {
    names: Arc<dyn Names<M>>,
    name: Arc<str>,
}

impl<M: Send + 'static> Via<M> {
    /// Returns what leads to whoever has `name` among `names`.
    pub fn new(names: impl Names<M> + 'static, name: impl Into<Arc<str>>) -> Via<M> {
        Via { names: Arc::new(names), name: name.into() }
    }

    /// Returns the name that is looked up.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the process that has the name now; `None` if nobody has.
    ///
    /// # Errors
    /// When the process takes messages of another type.
    ///
    /// ```
    /// use twoply::actor::{Builder, Process, Registry, Via};
    ///
    /// let registry = Registry::new();
    /// let via = Via::<u8>::new(registry.clone(), "clock");
    /// assert!(via.whereis()?.is_none());
    /// let body = async |mut me: Process<u8>| drop(me.receive().await);
    /// let clock = Builder::new().register_in(&registry, "clock").spawn(body)?;
    /// assert_eq!(via.whereis()?.unwrap().pid(), clock.pid());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn whereis(&self) -> Result<Option<ProcessRef<M>>, WrongTypeError> {
        self.names.whereis(&self.name)
    }

    /// Sends `message` to the process with the name, as [`Registry::send`] does.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// use twoply::{Wait, actor::{Registry, Via}};
    ///
    /// let nobody = Via::<&str>::new(Registry::new(), "nobody");
    /// assert_eq!(nobody.send("hello").wait().unwrap_err().into_inner(), "hello");
    /// ```
    pub async fn send(&self, message: M) -> Result<(), SendToNameError<M>> {
        send(&*self.names, &self.name, message).await
    }

    /// As [`Via::send`], if that can be done at once.
    ///
    /// # Errors
    /// As there, and when there is no room.
    pub fn try_send(&self, message: M) -> Result<(), SendToNameError<M>> {
        try_send(&*self.names, &self.name, message)
    }

    /// Asks the process with the name, as [`ProcessRef::ask`] does. The name is looked up once, when the
    /// future is first polled.
    ///
    /// # Errors
    /// As there; [`Failure::NoProcess`] with [`ExitReason::NoProcess`] when nobody has the name, and with the
    /// error as the reason when its process takes other messages.
    ///
    /// # Cancel safety
    /// A future that is dropped gives up on the answer. The question may have been sent.
    pub async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(Resolver<R>) -> M,
    ) -> Result<R, Failure> {
        match self.whereis() {
            Ok(Some(process)) => process.ask(question).await,
            Ok(None) => Err(Failure::NoProcess(ExitReason::NoProcess)),
            Err(wrong) => Err(Failure::NoProcess(ExitReason::failed(wrong))),
        }
    }
}

impl<M> Clone for Via<M> {
    fn clone(&self) -> Via<M> {
        Via { names: Arc::clone(&self.names), name: Arc::clone(&self.name) }
    }
}

impl<M> fmt::Debug for Via<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Via").field(&self.name).finish()
    }
}
