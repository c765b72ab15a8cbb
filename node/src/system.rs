//! The processes that others count on: `net_kernel` and `rex`, and what any process is asked by `sys`.

use std::sync::Arc;

use twoply_core::actor::Pid;
use twoply_core::channel::oneshot;

use crate::Node;
use crate::connection::{Connection, From, GEN_CALL, serial};
use crate::contain;
use crate::functions::{How, count};
use crate::node::Shared;
use crate::outbox::Sender;
use crate::question::Way;
use crate::wire::{Atom, DecodeError, Decoder, FromTerm, Kind, Target, Term, TermRef, derived};

/// The names of processes of the system, which live as long as the node does.
const NAMES: [&str; 2] = ["net_kernel", "rex"];

/// Returns true if a process of the system has the name.
pub(crate) fn is_system(name: &str) -> bool {
    NAMES.contains(&name)
}

/// The answers of the program where a process is asked what its type does not say.
#[derive(Default)]
pub(crate) struct Hooks {
    system: Option<SystemHook>,
    undecodable: Option<UndecodableHook>,
}

type SystemHook = Arc<dyn Fn(&Pid, &Term) -> Option<Term> + Send + Sync>;
type UndecodableHook = Arc<dyn Fn(&Pid, TermRef<'_>, &DecodeError) + Send + Sync>;

impl Node {
    /// Sets what answers requests of the module `sys`, such as `get_state` and `get_status`, to processes
    /// whose type does not read them: `hook` is told the process and the request. Without one, and where it
    /// returns nothing or panics, they are answered `{error, not_supported}`. A reader of a connection runs
    /// it, so it must not wait.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::node::{Node, wire::Term};
    ///
    /// let shop = Node::builder("shop@localhost").cookie("secret").without_epmd().start().wait()?;
    /// // sys:get_state({counter, 'shop@localhost'}) is open.
    /// shop.on_system(|_, request| request.is_atom("get_state").then(|| Term::atom("open")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_system(&self, hook: impl Fn(&Pid, &Term) -> Option<Term> + Send + Sync + 'static) {
        self.shared().hooks().system = Some(Arc::new(hook));
    }

    /// Sets what is told of messages that processes do not understand: the process, the message, and the
    /// error, which says where in it. They are counted in any case ([`dropped`](Node::dropped)). Without one
    /// the standard error stream tells of them, once a second at most. So it does in any case of answers of
    /// another type than was asked for and of requests to `rex` that are none, which are counted, too; and of
    /// hooks that panic. A type that panics does not understand the message. A reader of a connection runs
    /// the hook, so it must not wait.
    pub fn on_undecodable(&self, hook: impl Fn(&Pid, TermRef<'_>, &DecodeError) + Send + Sync + 'static) {
        self.shared().hooks().undecodable = Some(Arc::new(hook));
    }
}

/// Reads `{'$gen_call', From, Request}`, if it is one.
fn question_in(mut payload: Decoder<'_>) -> Option<(From, Decoder<'_>)> {
    payload.tuple_of(3).ok()?;
    if payload.kind().ok()? != Kind::Atom || payload.atom().ok()? != GEN_CALL {
        return None;
    }
    Some((From::from_term(&mut payload).ok()?, payload))
}

/// Reads `{system, From, Request}`, if it is one.
fn request_in(mut payload: Decoder<'_>) -> Option<(From, Term)> {
    payload.tuple_of(3).ok()?;
    if payload.kind().ok()? != Kind::Atom || payload.atom().ok()? != "system" {
        return None;
    }
    Some((From::from_term(&mut payload).ok()?, Term::from_term(&mut payload).ok()?))
}

impl Connection {
    /// Answers a message to a process of the system.
    pub(crate) fn system_message(
        self: &Arc<Self>,
        name: &str,
        payload: &Decoder<'_>,
    ) -> Result<(), DecodeError> {
        match name {
            "net_kernel" => {
                self.net_kernel(payload);
                Ok(())
            }
            _ => self.rex(payload),
        }
    }

    /// Answers the question of `net_adm:ping/1`.
    fn net_kernel(&self, payload: &Decoder<'_>) {
        if let Some((from, mut request)) = question_in(payload.clone())
            && request.tuple_of(2).is_ok()
            && request.atom().is_ok_and(|what| what == "is_auth")
        {
            self.reply(&from, &Atom::known("yes"));
        }
    }

    /// Calls functions for those who ask by a message, and says that they need not.
    fn rex(self: &Arc<Self>, payload: &Decoder<'_>) -> Result<(), DecodeError> {
        if let Some((from, request)) = question_in(payload.clone()) {
            return self.apply(request, &["call", "block_call"], How::Reply(Arc::clone(self), from));
        }
        let mut payload = payload.clone();
        payload.tuple_of(2)?;
        if payload.kind()? == Kind::Atom {
            derived::tag(derived::GEN_CAST, &mut payload)?;
            return self.apply(payload, &["cast"], How::Plain);
        }
        let from = payload.pid()?;
        derived::tag("features_request", &mut payload)?;
        let features = vec![Atom::known("erpc")];
        let answer = (Atom::known("features_reply"), self.shared.name.clone(), features);
        self.push(&Target::Pid(from), &answer, false, Sender::current(), Vec::new());
        Ok(())
    }

    /// Runs the function of `{What, Module, Function, Arguments, GroupLeader}`.
    fn apply(self: &Arc<Self>, request: Decoder<'_>, whats: &[&str], how: How) -> Result<(), DecodeError> {
        let way = Way { connection: Arc::clone(self), asked: None };
        let mut request = request.with_context(&way);
        request.tuple_of(5)?;
        if !whats.contains(&&*request.atom()?) {
            return Err(DecodeError::refused("this is not asked of rex"));
        }
        let key = (request.owned_atom()?, request.owned_atom()?, count(&request)?);
        let (go, gone) = oneshot::channel();
        // Where nothing can be started, whoever asks is told so by what is dropped.
        if self.shared.functions.begin(&self.shared, key, &mut request, how, gone).is_ok() {
            let _ = go.send(());
        }
        Ok(())
    }

    /// Runs a hook of the program's. One that panics is told of, and says nothing.
    fn hook<T>(&self, hook: impl FnOnce() -> T) -> Option<T> {
        let ran = contain::run(hook);
        ran.inspect_err(|panic| self.shared.panicked(&self.peer.name, panic)).ok()
    }

    /// Does with a message that its receiver does not understand what is due.
    pub(crate) fn misunderstood(&self, to: &Target, payload: &Decoder<'_>, error: &DecodeError) {
        let pid = match to {
            Target::Pid(pid) => self.shared.locals.pid(serial(pid)),
            Target::Name(name) => self.shared.locals.named(name),
            Target::Alias(_) => None,
        };
        if let Some((from, request)) = request_in(payload.clone()) {
            let hook = self.shared.hooks().system.clone();
            let answer = pid.as_ref().zip(hook).and_then(|(pid, hook)| self.hook(|| hook(pid, &request))?);
            return match answer {
                Some(answer) => self.reply(&from, &answer),
                None => self.reply(&from, &Err::<(), _>(Atom::known("not_supported"))),
            };
        }
        self.shared.undecodable();
        if let Some((from, _)) = question_in(payload.clone()) {
            let text = (Term::atom("undecodable"), error.to_string());
            self.reply(&from, &Err::<(), _>(text));
        }
        let hook = self.shared.hooks().undecodable.clone();
        let told = pid.as_ref().zip(hook).and_then(|whom| Some((whom, payload.clone().term().ok()?)));
        match (told, &pid, to) {
            (Some(((pid, hook), message)), ..) => _ = self.hook(|| hook(pid, message, error)),
            (None, Some(pid), _) => self.shared.log_undecodable(pid, error),
            (None, None, Target::Name(name)) => self.shared.log_undecodable(name, error),
            (None, None, _) => self.shared.log_undecodable(&"a process", error),
        }
    }
}

impl Shared {
    fn hooks(&self) -> std::sync::MutexGuard<'_, Hooks> {
        // Nothing panics under this lock.
        self.hooks.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
