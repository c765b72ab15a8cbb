//! Questions of other nodes, which a `Resolver` answers, and processes, as they come in by messages. The
//! functions that the derive `FromTerm` calls are no part of the interface.

use std::sync::Arc;
use std::time::Duration;

use twoply_core::actor::{Pid, ProcessRef, remote as contract};
use twoply_core::promise::{Failure, Resolver};
use twoply_core::time::timeout;

use crate::connection::{Connection, From, GEN_CALL, serial};
use crate::node::{Remote, Route};
use crate::wire::{self, Atom, DecodeError, Decoder, FromTerm, Kind, ToTerm};

/// The time in which it shows whether the process that has dropped a question has ended: then its end is the
/// answer, which the caller is told by its monitor.
const END: Duration = Duration::from_millis(50);

/// The way back for answers to a message.
pub(crate) struct Way {
    pub(crate) connection: Arc<Connection>,
    /// The process that the message is for, if it is none that answers.
    pub(crate) asked: Option<Pid>,
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
    let (connection, asked, from) = (Arc::clone(&way.connection), way.asked.clone(), asker.0.clone());
    Ok(contract::resolver(move |answer: Result<R, Failure>| match answer {
        Ok(answer) => connection.reply(&from, &answer),
        // Also where a process has ended: it may be another one, to which the question was passed on.
        Err(_) => drop(connection.shared.spawner.clone().spawn(broken(connection, asked, from))),
    }))
}

/// Answers a question that was dropped, unless the process that was asked has ended.
async fn broken(connection: Arc<Connection>, asked: Option<Pid>, from: From) {
    if let Some(asked) = asked
        && timeout(END, asked.ended()).await.is_ok()
    {
        return;
    }
    connection.reply(&from, &Err::<(), _>(Atom::known("broken")));
}

/// As the one who asks, `{Pid, Tag}`: what it is resolved with is the answer.
impl<'a, R: ToTerm + Send + 'static> FromTerm<'a> for Resolver<R> {
    fn from_term(input: &mut Decoder<'a>) -> Result<Resolver<R>, DecodeError> {
        let asker = Asker(From::from_term(input)?);
        resolver(&asker, input)
    }
}

/// As a pid, of any node.
impl<'a> FromTerm<'a> for Pid {
    fn from_term(input: &mut Decoder<'a>) -> Result<Pid, DecodeError> {
        let pid = wire::Pid::from_term(input)?;
        Ok(Remote(Route::First(Arc::clone(&way(input)?.connection))).pid(&pid))
    }
}

/// As a pid, of any node. One of this node is that process, if others may write to it and it takes an `M`;
/// else it is nobody.
impl<'a, M: ToTerm + Send + 'static> FromTerm<'a> for ProcessRef<M> {
    fn from_term(input: &mut Decoder<'a>) -> Result<ProcessRef<M>, DecodeError> {
        let (pid, connection) = (wire::Pid::from_term(input)?, &way(input)?.connection);
        let shared = &connection.shared;
        if shared.is_ours(&pid)
            && let Some(inlet) = shared.locals.inlet(serial(&pid))
            && let Some(process) = inlet.process().downcast_ref::<ProcessRef<M>>()
        {
            return Ok(process.clone());
        }
        Ok(connection.process_of(&pid))
    }
}

/// Returns the way to the node that a term has come from.
fn way<'a>(input: &Decoder<'a>) -> Result<&'a Way, DecodeError> {
    input.context().ok_or_else(|| DecodeError::refused("only a pid that comes from a node can be used"))
}
