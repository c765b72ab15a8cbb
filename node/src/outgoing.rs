//! [`Outgoing`]: the parts of a message besides its bytes. Questions are asked by it, and processes whose
//! references go out can be named by others from then on.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use twoply_core::actor::remote::node as node_of;
use twoply_core::actor::{ExitReason, Pid, ProcessRef};
use twoply_core::promise::{Failure, Resolver};

use crate::connection::{Asked, Call};
use crate::contain;
use crate::local::Typed;
use crate::node::{CallError, Shared};
use crate::wire::{self, Decoder, EncodeError, Encoder, FromTerm, Reference, ToTerm};

/// The questions in a message, by the numbers of their references.
pub(crate) type Questions = Vec<(u64, Call)>;

/// The node that a message goes out from, and what it takes along.
pub(crate) struct Outgoing<'s> {
    shared: &'s Arc<Shared>,
    /// Is there in what somebody can be asked by.
    questions: Option<Mutex<Questions>>,
}

impl<'s> Outgoing<'s> {
    /// Begins what asks nobody.
    pub(crate) fn telling(shared: &'s Arc<Shared>) -> Outgoing<'s> {
        Outgoing { shared, questions: None }
    }

    /// Begins a message, which may ask its receiver.
    pub(crate) fn asking(shared: &'s Arc<Shared>) -> Outgoing<'s> {
        Outgoing { shared, questions: Some(Mutex::default()) }
    }

    /// Returns the questions that have been written.
    pub(crate) fn into_questions(self) -> Questions {
        self.questions
            .map_or_else(Vec::new, |questions| questions.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a question. Returns the reference by which it is to be answered.
    fn ask(&self, call: Call) -> Result<Reference, EncodeError> {
        let questions = self.questions.as_ref().ok_or(EncodeError::NoNode)?;
        let number = self.shared.number();
        questions.lock().unwrap_or_else(PoisonError::into_inner).push((number, call));
        Ok(self.shared.reference(number))
    }

    /// Returns the pid of a process of any node, which the receiver may name from now on.
    fn pid(&self, pid: &Pid) -> Result<wire::Pid, EncodeError> {
        // A pid that stands for a name, or for a node, is of no incarnation.
        if node_of(pid).is_some_and(|node| node.creation() == 0) {
            return Err(EncodeError::NoPid);
        }
        self.shared.note(pid);
        Ok(self.shared.wire_pid(pid))
    }

    /// As [`Outgoing::pid`]; and the receiver may send messages to it, if it is one of this node.
    fn process<M>(&self, process: &ProcessRef<M>) -> Result<wire::Pid, EncodeError>
    where
        M: for<'a> FromTerm<'a> + Send + 'static,
    {
        let pid = process.pid();
        let locals = &self.shared.locals;
        if pid.is_local() && locals.inlet(pid.serial()).is_none() {
            let inlet = Typed::new(process.clone(), self.shared.spawner.clone());
            // Where the process has ended, whoever writes to it is told by its monitor.
            let _ = locals.expose(&pid, Arc::new(inlet), None);
        }
        self.pid(&pid)
    }
}

impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").finish_non_exhaustive()
    }
}

/// Tells questions that nothing has come of the connection.
pub(crate) fn lose(questions: Questions) {
    for (_, call) in questions {
        call.answer(Err(CallError::Ended(ExitReason::NoConnection)));
    }
}

/// The receiver of an answer that resolves a promise.
struct Resolving<R> {
    resolver: Resolver<R>,
    shared: Arc<Shared>,
}

impl<R: for<'a> FromTerm<'a> + Send + 'static> Asked for Resolving<R> {
    fn answer(self: Box<Self>, answer: Result<&mut Decoder<'_>, CallError>) {
        let answer = match answer {
            Ok(payload) => contain::read(|| R::from_term(payload)).map_err(|error| {
                self.shared.undecodable_answer(&error);
                Failure::Broken
            }),
            Err(CallError::Ended(reason)) => Err(Failure::NoProcess(reason)),
            Err(_) => Err(Failure::Broken),
        };
        // Somebody may have resolved it here, and then this comes too late.
        match answer {
            Ok(answer) => drop(self.resolver.resolve(answer)),
            Err(failure) => drop(self.resolver.fail(failure)),
        }
    }

    fn is_wanted(&self) -> bool {
        self.resolver.is_wanted() && !self.resolver.is_resolved()
    }
}

/// As the one who asks, `{Pid, [alias|Reference]}`, that `gen_server:reply` answers. It can only be written
/// into a message to a process of another node, which owes the answer from then on: its end, and that of the
/// connection, fail the promise by [`NoProcess`](Failure::NoProcess), and an answer that is no `R`, which is
/// counted ([`Node::dropped`](crate::Node::dropped)), by [`Broken`](Failure::Broken). A question that is
/// given up is forgotten within a quarter of the tick time.
impl<R: for<'a> FromTerm<'a> + Send + 'static> ToTerm for Resolver<R> {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        let outgoing = out.outgoing().ok_or(EncodeError::NoNode)?;
        let resolving = Resolving { resolver: self.clone(), shared: Arc::clone(outgoing.shared) };
        let reference = outgoing.ask(Box::new(resolving))?;
        let nobody = outgoing.shared.nobody();
        out.tuple(2)?;
        out.pid(&nobody);
        out.list(1)?;
        out.name("alias")?;
        out.reference(&reference);
        Ok(())
    }
}

/// As its pid, which others can link, monitor and end from then on. One that stands for a name has none.
impl ToTerm for Pid {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        let pid = out.outgoing().ok_or(EncodeError::NoNode)?.pid(self)?;
        out.pid(&pid);
        Ok(())
    }
}

/// As its pid, which others can also write to from then on, as by [`Node::expose`](crate::Node::expose).
impl<M: for<'a> FromTerm<'a> + Send + 'static> ToTerm for ProcessRef<M> {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        let pid = out.outgoing().ok_or(EncodeError::NoNode)?.process(self)?;
        out.pid(&pid);
        Ok(())
    }
}
