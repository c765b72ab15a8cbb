//! Questions of other nodes that processes of this one answer: how a `Resolver` comes into a message. What
//! the derive `FromTerm` calls for that is no part of the interface.

use std::sync::Arc;
use std::time::Duration;

use twoply_core::actor::Pid;
use twoply_core::promise::{self, Failure, Resolver};
use twoply_core::time::timeout;

use crate::connection::{Connection, From, GEN_CALL};
use crate::wire::{Atom, DecodeError, Decoder, FromTerm, Kind, ToTerm};

/// The time in which it shows whether the process that has dropped a question has ended: then its end is the
/// answer, which the caller is told by its monitor.
const END: Duration = Duration::from_millis(50);

/// The way back for answers to a message.
pub(crate) struct Way {
    pub(crate) connection: Arc<Connection>,
    /// The process that the message is for.
    pub(crate) asked: Pid,
}

/// The process that asks.
pub struct Asker(From);

/// Passes over `'$gen_call'` and the one who asks, and stands at the request, if the next term is a question.
pub fn begin_call(input: &mut Decoder<'_>) -> Result<Option<Asker>, DecodeError> {
    if input.kind()? != Kind::Tuple {
        return Ok(None);
    }
    let mut ahead = input.clone();
    if ahead.tuple()? != 3 || ahead.kind()? != Kind::Atom || ahead.atom()? != GEN_CALL {
        return Ok(None);
    }
    let asker = From::from_term(&mut ahead)?;
    *input = ahead;
    Ok(Some(Asker(asker)))
}

/// Returns a resolver whose value goes to the one who asks. One that is dropped is answered
/// `{error, broken}`, unless the process that was asked has ended.
pub fn resolver<R>(asker: &Asker, input: &Decoder<'_>) -> Result<Resolver<R>, DecodeError>
where
    R: ToTerm + Send + 'static,
{
    let Some(way) = input.context::<Way>() else {
        return Err(DecodeError::refused("only what comes from a node can be answered"));
    };
    let (answer, resolver) = promise::answer();
    let (connection, asked, from) = (Arc::clone(&way.connection), way.asked.clone(), asker.0.clone());
    drop(way.connection.shared.spawner.spawn(async move {
        match answer.await {
            Ok(answer) => connection.reply(&from, &answer),
            Err(Failure::NoProcess(_)) => {}
            Err(_) => {
                if timeout(END, asked.ended()).await.is_err() {
                    connection.reply(&from, &Err::<(), _>(Atom::known("broken")));
                }
            }
        }
    }));
    Ok(resolver)
}
