//! [`Functions`]: what other nodes may call of this one, and start processes of.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use twoply_core::actor::{self, ExitReason, Foreign, IntoExit, Pid, Process};
use twoply_core::channel::oneshot;

use crate::Node;
use crate::connection::{Connection, From};
use crate::contain;
use crate::local::Typed;
use crate::node::Shared;
use crate::outgoing::Outgoing;
use crate::wire::{Atom, DecodeError, Decoder, FromArguments, FromTerm, List, Term, ToTerm, bytes_of};

/// The processes that others may have started and that have not ended.
const MAX_RUNNING: usize = 1 << 16;

/// A module, a function and the number of its arguments.
pub(crate) type Key = (Atom, Atom, u8);

/// The function that one of `erpc`'s calls, and the tag of the answer if there is to be one.
type Execute = (Key, Option<Term>);

/// The functions that others may call.
#[derive(Default)]
pub(crate) struct FunctionTable {
    functions: Mutex<BTreeMap<Key, Arc<dyn Function>>>,
    /// The processes that others have started and that have not ended.
    running: Arc<AtomicUsize>,
    /// The process that answers those who look at applications.
    #[cfg(feature = "observer")]
    pub(crate) applications: crate::observer::Applications,
}

/// A function, whatever its types are.
trait Function: Send + Sync {
    /// Starts the process that runs it, as soon as it may go.
    fn start(&self, start: Start<'_, '_>) -> Result<Pid, Atom>;
}

/// The beginning of a process of another node's.
struct Start<'a, 'b> {
    shared: &'a Arc<Shared>,
    key: Key,
    arguments: &'a mut Decoder<'b>,
    owed: Owed,
    /// Tells that whoever has had it started knows it.
    go: oneshot::Receiver<()>,
    running: Running,
}

/// The answer that is owed when a function has come to its end.
pub(crate) enum How {
    /// Nothing: the process ends.
    Plain,
    /// The process ends with a reason of `erpc`'s, which has this tag. A node that is gone owes nothing.
    Erpc(Term, Weak<Shared>),
    /// Whoever has asked by a message is answered.
    Reply(Arc<Connection>, From),
}

/// The same, until it has been done. A function that panics, or is ended, is told by the reason of the
/// process, or by this.
struct Owed(How);

impl Owed {
    /// Tells what the function has returned.
    fn returned(mut self, value: &dyn ToTerm) -> ExitReason {
        match std::mem::replace(&mut self.0, How::Plain) {
            How::Plain => ExitReason::Normal,
            How::Reply(connection, from) => {
                connection.reply(&from, value);
                ExitReason::Normal
            }
            How::Erpc(tag, shared) => match shared.upgrade().map(|shared| as_term(value, &shared)) {
                Some(Some(value)) => leave(Term::Tuple(vec![tag, Term::atom("return"), value])),
                Some(None) => Owed(How::Erpc(tag, shared)).raised(Term::atom("badarg"), Vec::new()),
                None => ExitReason::Normal,
            },
        }
    }

    /// Tells that the function was not called, or has failed.
    fn raised(mut self, error: Term, stack: Vec<Term>) -> ExitReason {
        match std::mem::replace(&mut self.0, How::Plain) {
            How::Plain => leave(Term::Tuple(vec![error, Term::List(stack)])),
            How::Erpc(tag, _) => leave(Term::Tuple(vec![tag, Term::atom("error"), error, Term::List(stack)])),
            How::Reply(connection, from) => {
                let error = Term::Tuple(vec![error, Term::List(stack)]);
                connection.reply(&from, &bad_rpc(error));
                ExitReason::Normal
            }
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if let How::Reply(connection, from) = &self.0 {
            connection.reply(from, &bad_rpc(Term::atom("killed")));
        }
    }
}

/// Returns a value as the term that goes out: others may name the processes in it from then on.
pub(crate) fn as_term(value: &dyn ToTerm, shared: &Arc<Shared>) -> Option<Term> {
    let bytes = bytes_of(value, &Outgoing::telling(shared)).ok()?;
    Term::from_term(&mut Decoder::new(&bytes)).ok()
}

fn bad_rpc(reason: Term) -> Term {
    Term::Tuple(vec![Term::atom("badrpc"), Term::Tuple(vec![Term::atom("EXIT"), reason])])
}

/// Returns the reason of a process that ends so because that is how it answers: it has not failed.
fn leave(reason: Term) -> ExitReason {
    ExitReason::Foreign(Foreign::new(reason, true))
}

/// Counts a process that another node has had started.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl FunctionTable {
    fn functions(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<dyn Function>>> {
        // Nothing panics under this lock.
        self.functions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, module: &str, name: &str, arity: u8, function: Arc<dyn Function>) -> bool {
        let atom = |text: &str| Atom::new(text).unwrap_or_else(|error| panic!("{error}"));
        let old = self.functions().insert((atom(module), atom(name), arity), function);
        old.is_some()
    }

    /// Returns true if there is such a function.
    #[cfg(feature = "observer")]
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.functions().contains_key(key)
    }

    /// Returns the function that a process runs which has this name.
    #[cfg(feature = "observer")]
    pub(crate) fn named(&self, name: &str) -> Option<Key> {
        let (module, function) = name.split_once(':')?;
        let (function, arity) = function.rsplit_once('/')?;
        let key = (Atom::new(module).ok()?, Atom::new(function).ok()?, arity.parse().ok()?);
        self.has(&key).then_some(key)
    }

    /// Starts a process that runs the function `key`, as soon as `go` says so. Returns why it does not, as an
    /// atom.
    pub(crate) fn begin(
        &self,
        shared: &Arc<Shared>,
        key: Key,
        arguments: &mut Decoder<'_>,
        how: How,
        go: oneshot::Receiver<()>,
    ) -> Result<Pid, Atom> {
        // From here on whoever asks by a message is answered, also where nothing is started.
        let mut owed = Owed(how);
        let running = Running(Arc::clone(&self.running));
        if self.running.fetch_add(1, Relaxed) >= MAX_RUNNING {
            return Err(Atom::known("system_limit"));
        }
        // Those of `erpc` call a function that their arguments say.
        let key = match erpc(&key, arguments) {
            Some(Ok((key, tag))) => {
                // A process that answers by its reason; one that was asked for by a message answers that.
                if let Some(tag) = tag
                    && matches!(owed.0, How::Plain)
                {
                    owed.0 = How::Erpc(tag, Arc::downgrade(shared));
                }
                key
            }
            Some(Err(_)) => return Err(Atom::known("badarg")),
            None => key,
        };
        let function = self.functions().get(&key).cloned();
        let start = Start { shared, key, arguments, owed, go, running };
        match function {
            Some(function) => function.start(start),
            None => start.undefined(),
        }
    }
}

/// Reads the arguments of `erpc:execute_call/4` and `erpc:execute_cast/3` up to the list of those of the
/// function, and returns which function it is, and the tag of the answer.
fn erpc(key: &Key, input: &mut Decoder<'_>) -> Option<Result<Execute, DecodeError>> {
    let tags = match (key.0.as_str(), key.1.as_str(), key.2) {
        ("erpc", "execute_call", 4) => true,
        ("erpc", "execute_cast", 3) => false,
        _ => return None,
    };
    let mut read = || {
        match input.list()? {
            List::Items(3 | 4) => {}
            _ => return Err(DecodeError::refused("these are no arguments of erpc's")),
        }
        let tag = if tags { Some(Term::from_term(input)?) } else { None };
        let (module, function) = (input.owned_atom()?, input.owned_atom()?);
        Ok(((module, function, count(input)?), tag))
    };
    Some(read())
}

/// Returns how many elements the next list has.
pub(crate) fn count(input: &Decoder<'_>) -> Result<u8, DecodeError> {
    let count = match input.clone().list()? {
        List::Items(count) => count,
        List::Bytes(bytes) => bytes.len(),
    };
    u8::try_from(count).map_err(|_| DecodeError::refused("a function has at most 255 arguments"))
}

impl Start<'_, '_> {
    /// Starts a process that does `body` with what it owes.
    fn run<B, F>(self, body: B) -> Result<Pid, Atom>
    where
        B: FnOnce(Owed) -> F + Send + 'static,
        F: Future<Output = ExitReason> + Send,
    {
        let Start { shared, key, owed, go, running, .. } = self;
        let name = format!("{}:{}/{}", key.0, key.1, key.2);
        let process = actor::Builder::<()>::new().name(name).on(shared.spawner.backend());
        let process = process.spawn(async move |_: Process<()>| {
            let _running = running;
            match go.await {
                Ok(()) => body(owed).await,
                // Nobody knows it.
                Err(_) => ExitReason::Killed,
            }
        });
        Ok(process.map_err(|_| Atom::known("system_limit"))?.pid())
    }

    /// Starts a process that says that there is no such function, as a node without the module does.
    fn undefined(self) -> Result<Pid, Atom> {
        let (module, function, arity) = self.key.clone();
        let arguments = Term::from_term(self.arguments).unwrap_or(Term::from(i64::from(arity)));
        let frame = vec![Term::Atom(module), Term::Atom(function), arguments, Term::List(Vec::new())];
        self.run(async move |owed: Owed| owed.raised(Term::atom("undef"), vec![Term::Tuple(frame)]))
    }

    /// Reads the arguments, which is code of the program's.
    fn arguments<A: FromArguments>(&mut self) -> Result<A, String> {
        contain::read(|| A::read(self.arguments)).map_err(|error| error.to_string())
    }

    fn undecodable(self, error: String) -> Result<Pid, Atom> {
        let error = Term::Tuple(vec![Term::atom("undecodable"), Term::text(error)]);
        self.run(async move |owed: Owed| owed.raised(error, Vec::new()))
    }
}

/// A function that returns a value.
struct Value<C, A> {
    code: Arc<C>,
    arguments: PhantomData<fn(A)>,
}

impl<C, A, F> Function for Value<C, A>
where
    A: FromArguments + Send + 'static,
    C: Fn(A) -> F + Send + Sync + 'static,
    F: Future<Output: ToTerm + Send> + Send + 'static,
{
    fn start(&self, mut start: Start<'_, '_>) -> Result<Pid, Atom> {
        match start.arguments::<A>() {
            Ok(arguments) => {
                let code = Arc::clone(&self.code);
                start.run(async move |owed: Owed| {
                    let value = code(arguments).await;
                    owed.returned(&value)
                })
            }
            Err(error) => start.undecodable(error),
        }
    }
}

/// A function that is the body of a process.
struct Body<C, M, A> {
    code: Arc<C>,
    types: PhantomData<fn(M, A)>,
}

impl<C, M, A, F> Function for Body<C, M, A>
where
    M: for<'a> FromTerm<'a> + Send + 'static,
    A: FromArguments + Send + 'static,
    C: Fn(Process<M>, A) -> F + Send + Sync + 'static,
    F: Future<Output: IntoExit + Send> + Send + 'static,
{
    fn start(&self, mut start: Start<'_, '_>) -> Result<Pid, Atom> {
        let arguments = match start.arguments::<A>() {
            Ok(arguments) if matches!(start.owed.0, How::Plain) => arguments,
            // A process is started and not called.
            Ok(_) => return start.undefined(),
            Err(error) => return start.undecodable(error),
        };
        let Start { shared, key, go, running, .. } = start;
        let code = Arc::clone(&self.code);
        let name = format!("{}:{}/{}", key.0, key.1, key.2);
        let process = actor::Builder::<M>::new().name(name).on(shared.spawner.backend());
        let process = process.spawn(async move |me: Process<M>| {
            let _running = running;
            match go.await {
                Ok(()) => code(me, arguments).await.into_exit(),
                Err(_) => ExitReason::Killed,
            }
        });
        let process = process.map_err(|_| Atom::known("system_limit"))?;
        let pid = process.pid();
        let inlet = Typed::new(process, shared.spawner.clone());
        // It has not begun, so it has not ended.
        let _ = shared.locals.expose(&pid, Arc::new(inlet), None);
        Ok(pid)
    }
}

/// The functions of a node that others may call, by `erpc:call`, `rpc:call` and what is built on them, and
/// start processes of, by `spawn`. To all else they are told `undef`, as by a node without that module.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::node::{Node, RpcError};
///
/// let shop = Node::builder("shop@localhost").cookie("secret").without_epmd().start().wait()?;
/// // erpc:call('shop@localhost', math, sum, [[1, 2, 3]]) is 6.
/// shop.functions().add("math", "sum", async |(numbers,): (Vec<u64>,)| numbers.into_iter().sum::<u64>());
/// assert_eq!(shop.functions().names(), ["math:sum/1"]);
/// assert!(shop.functions().remove("math", "sum", 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct Functions<'n>(&'n Arc<Shared>);

impl Functions<'_> {
    #[cfg(feature = "observer")]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.0
    }

    /// Lets others call `code` as `module:name`, with as many arguments as the tuple has. Returns true if
    /// there was such a function, which this one replaces.
    ///
    /// Each call runs in a process of its own, which is ended like any. A panic ends it. Arguments of another
    /// type raise `{undecodable, Text}`. A `Pid` and a `ProcessRef` are arguments and results, too.
    ///
    /// # Panics
    /// When a name has more than 255 characters.
    pub fn add<A, C, F>(&self, module: &str, name: &str, code: C) -> bool
    where
        A: FromArguments + Send + 'static,
        C: Fn(A) -> F + Send + Sync + 'static,
        F: Future<Output: ToTerm + Send> + Send + 'static,
    {
        let function = Value { code: Arc::new(code), arguments: PhantomData };
        self.0.functions.insert(module, name, A::ARITY, Arc::new(function))
    }

    /// Lets others start processes by `spawn(Node, Module, Name, Arguments)` and the like, whose body is
    /// `code`. They take messages by their pids. Returns true if there was such a function, which this one
    /// replaces.
    ///
    /// # Panics
    /// When a name has more than 255 characters.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::Process, node::Node};
    ///
    /// let shop = Node::builder("shop@localhost").cookie("secret").without_epmd().start().wait()?;
    /// // Pid = spawn('shop@localhost', counter, start, [0]), Pid ! 7.
    /// shop.functions().add_process("counter", "start", async |mut me: Process<u64>, (mut sum,): (u64,)| {
    ///     while let Some(number) = me.receive().await.message() {
    ///         sum += number;
    ///     }
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_process<M, A, C, F>(&self, module: &str, name: &str, code: C) -> bool
    where
        M: for<'a> FromTerm<'a> + Send + 'static,
        A: FromArguments + Send + 'static,
        C: Fn(Process<M>, A) -> F + Send + Sync + 'static,
        F: Future<Output: IntoExit + Send> + Send + 'static,
    {
        let function = Body { code: Arc::new(code), types: PhantomData };
        self.0.functions.insert(module, name, A::ARITY, Arc::new(function))
    }

    /// Takes a function back. Calls that run go on. Returns false if there is none.
    pub fn remove(&self, module: &str, name: &str, arity: u8) -> bool {
        let (Ok(module), Ok(name)) = (Atom::new(module), Atom::new(name)) else { return false };
        let removed = self.0.functions.functions().remove(&(module, name, arity));
        removed.is_some()
    }

    /// Returns the functions, as `module:name/arity`.
    pub fn names(&self) -> Vec<String> {
        let functions = self.0.functions.functions();
        functions.keys().map(|(module, name, arity)| format!("{module}:{name}/{arity}")).collect()
    }

    /// Returns how many processes others have started that have not ended.
    pub fn running(&self) -> usize {
        self.0.functions.running.load(Relaxed)
    }
}

impl Node {
    /// Returns the functions that others may call.
    pub fn functions(&self) -> Functions<'_> {
        Functions(self.shared())
    }
}
