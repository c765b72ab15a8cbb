//! [`NamedService`]: whoever has a name in a registry, as a service.

use std::fmt;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;

use super::{Service, Session};
use crate::actor::{ExitReason, NameChange, ProcessRef, Registry, WrongTypeError};
use crate::channel::{Receiver, SendError};
use crate::future::{OneOf, select};

/// The service of whoever has a name in a [`Registry`]: it is there while somebody has the name.
///
/// A message is sent when the mailbox of the process has taken it. A full one that
/// [refuses](crate::actor::Overflow::Fail) it leaves it undelivered by the reference. What the process leaves
/// there at its end is [undelivered](crate::actor::Builder::on_undelivered) by that process, as ever;
/// questions among that, and those that the process has received, come out as
/// [`Unknown`](crate::actor::AskServiceError::Unknown). [`ServiceRef`](crate::actor::ServiceRef) has an
/// example.
pub struct NamedService<M> {
    registry: Registry,
    name: Arc<str>,
    /// It is a way to messages, and holds none.
    messages: PhantomData<fn(M)>,
}

impl<M: Send + 'static> NamedService<M> {
    /// Returns the service of whoever has `name` in `registry`, and takes messages of type `M`.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, NamedService, Process, Registry, ServiceRef};
    /// use twoply::{Wait, channel};
    ///
    /// let (registry, (seen, lines)) = (Registry::new(), channel::unbounded());
    /// let log = ServiceRef::start(NamedService::new(&registry, "log"))?;
    /// let process = actor::spawn(async move |mut me: Process<&str>| {
    ///     seen.try_send(me.receive().await.message()).unwrap();
    /// })?;
    /// registry.register("log", &process)?;
    /// log.send("hello").wait()?;
    /// assert_eq!(lines.recv().wait()?, Some("hello"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(registry: &Registry, name: impl Into<Arc<str>>) -> NamedService<M> {
        NamedService { registry: registry.clone(), name: name.into(), messages: PhantomData }
    }

    /// Hands messages to `process` until it has ended or has lost the name, and returns why.
    async fn hand_on(
        &self,
        process: &ProcessRef<M>,
        changes: &Receiver<NameChange>,
        session: &mut Session<M>,
    ) -> ExitReason {
        let mut ended = pin!(process.ended());
        loop {
            match select((ended.as_mut(), changes.recv(), session.receive())).await {
                OneOf::First(reason) => return reason,
                OneOf::Second(Ok(NameChange::Unregistered(name, pid))) => {
                    if name == self.name && pid == process.pid() {
                        // It may have lost the name because it ends; then its reason is about to be known.
                        return if process.is_closed() { ended.await } else { ExitReason::NoProcess };
                    }
                }
                OneOf::Second(_) => {}
                OneOf::Third(Some(message)) => {
                    match process.send(message).await {
                        Ok(()) => {}
                        Err(SendError(message)) if process.is_closed() => {
                            session.put_back(message);
                            return ended.await;
                        }
                        // It is full, and refuses then.
                        Err(SendError(message)) => session.give_up(message),
                    }
                }
                OneOf::Third(None) => return ExitReason::Normal,
            }
        }
    }
}

impl<M: Send + 'static> Service for NamedService<M> {
    type Message = M;
    type Error = WrongTypeError;

    async fn serve(&mut self, session: &mut Session<M>) -> Result<(), WrongTypeError> {
        // The watch begins before the first look, so that no change is missed.
        let (_, changes) = self.registry.watch();
        while !session.is_stopping() {
            match self.registry.whereis(&self.name)? {
                Some(process) => {
                    session.present();
                    let reason = self.hand_on(&process, &changes, session).await;
                    session.away(reason);
                }
                None => drop(changes.recv().await),
            }
        }
        Ok(())
    }
}

impl<M> fmt::Debug for NamedService<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamedService").field(&self.name).finish()
    }
}
