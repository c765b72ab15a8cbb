//! Functions of other nodes: calls, as `erpc` and `rpc` make them, and processes that are started there.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use twoply_core::actor::{ExitReason, MonitorRef, Pid, Process};

use crate::connection::{Connection, Entered, Outcome, Starting, Tie, Wanted};
use crate::contain;
use crate::node::{GiveUp, Pending, Route};
use crate::outbox::Sender;
use crate::outgoing::Outgoing;
use crate::reason;
use crate::wire::{
    self, Arguments, Atom, DecodeError, Decoder, EncodeError, Encoded, Encoder, Flags, FromTerm, Reference,
    Target, Term, ToTerm,
};
use crate::{CallError, Node, Remote};

/// The reasons for which a call of a function, or the start of a process, has no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// The function has raised an exception.
    #[error("the function has raised {class}: {reason}")]
    Raised {
        /// The class of it: `error`, `exit` or `throw`.
        class: Atom,
        /// The reason. That of a function that is not there is `undef`.
        reason: Term,
    },
    /// The process that ran the function was ended by somebody else, or the connection has ended or cannot be
    /// made.
    #[error("the call has ended: {0}")]
    Ended(ExitReason),
    /// The node does not start the process: it cannot, or has no room.
    #[error("the node refuses: {0}")]
    Refused(Atom),
    /// The result is of another type.
    #[error("the result is not what was expected: {0}")]
    Result(DecodeError),
    /// The arguments cannot be written.
    #[error("the arguments cannot be written: {0}")]
    Arguments(EncodeError),
}

impl RpcError {
    fn lost() -> RpcError {
        RpcError::Ended(ExitReason::NoConnection)
    }
}

/// The future of [`Remote::rpc`] and [`Node::call`], and of [`Remote::spawn`]: the result, by `.await` or
/// `.wait()`.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct RpcResult<R>(State<R>);

enum State<R> {
    Asked(Pending<Result<R, RpcError>>),
    Failed(Option<RpcError>),
}

impl<R: Send + 'static> Future for RpcResult<R> {
    type Output = Result<R, RpcError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let lost = || Err(RpcError::lost());
        match &mut self.0 {
            State::Asked(pending) => pending.poll_answer(cx).map(|answer| answer.unwrap_or_else(lost)),
            State::Failed(error) => Poll::Ready(error.take().map_or_else(lost, Err)),
        }
    }
}

impl<R> Unpin for RpcResult<R> {}

/// A function by its names, and the arguments for it, as they are written.
struct Function {
    module: Atom,
    name: Atom,
    arity: usize,
    arguments: Encoded,
}

impl Function {
    /// # Panics
    /// When a name has more than 255 characters.
    fn new(
        route: &Route,
        module: &str,
        name: &str,
        arguments: &dyn Arguments,
    ) -> Result<Function, EncodeError> {
        let atom = |text: &str| Atom::new(text).unwrap_or_else(|error| panic!("{error}"));
        Ok(Function {
            module: atom(module),
            name: atom(name),
            arity: arguments.count(),
            arguments: Encoded::new(&Listed(arguments), &Outgoing::telling(route.shared()))?,
        })
    }
}

/// Arguments as one term.
struct Listed<'a>(&'a dyn Arguments);

impl ToTerm for Listed<'_> {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        self.0.write(out)
    }
}

/// The arguments of `erpc:execute_call/4`, and without the tag those of `erpc:execute_cast/3`.
struct Execute<'a>(Option<&'a Reference>, &'a Function);

impl ToTerm for Execute<'_> {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        let Execute(tag, function) = self;
        out.list(3 + usize::from(tag.is_some()))?;
        if let Some(tag) = tag {
            out.reference(tag);
        }
        out.atom(&function.module);
        out.atom(&function.name);
        out.value(&function.arguments)?;
        out.nil();
        Ok(())
    }
}

/// `{call, Module, Function, Arguments, GroupLeader}`, for the process `rex` of nodes that start no processes
/// for others.
struct Rex<'a>(&'static str, &'a Function, wire::Pid);

impl ToTerm for Rex<'_> {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        let Rex(what, function, group_leader) = self;
        out.tuple(5)?;
        out.name(what)?;
        out.atom(&function.module);
        out.atom(&function.name);
        out.value(&function.arguments)?;
        out.pid(group_leader);
        Ok(())
    }
}

impl Remote {
    /// Calls a function of the node, as `erpc:call` and `rpc:call` do. The call is sent at once, or as soon
    /// as the node is connected, and never waits for room.
    ///
    /// # Errors
    /// The future's output is [`RpcError::Raised`] when the function raises an exception; the other ones say
    /// why it was not called, or has not come to its end.
    ///
    /// # Cancel safety
    /// Dropping the future gives the call up. The function runs on, and what it returns is dropped.
    ///
    /// # Panics
    /// When a name has more than 255 characters.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::node::Node;
    ///
    /// let shop = Node::builder("shop@localhost").cookie("secret").without_epmd().start().wait()?;
    /// let till = Node::builder("till@localhost").cookie("secret").without_epmd().start().wait()?;
    /// till.add_peer(shop.name(), shop.local_addr());
    ///
    /// shop.functions().add("shop", "price", async |(item, count): (String, u64)| match item.as_str() {
    ///     "tea" => Some(3 * count),
    ///     _ => None,
    /// });
    /// let price = till.remote("shop@localhost").rpc::<Option<u64>>("shop", "price", &("tea", 2));
    /// assert_eq!(price.wait()?, Some(6));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rpc<R>(&self, module: &str, function: &str, arguments: &dyn Arguments) -> RpcResult<R>
    where
        R: for<'a> FromTerm<'a> + Send + 'static,
    {
        let function = match Function::new(&self.0, module, function, arguments) {
            Ok(function) => function,
            Err(error) => return RpcResult(State::Failed(Some(RpcError::Arguments(error)))),
        };
        RpcResult(State::Asked(Pending::ask(self.route(), move |connection, sender| {
            let connection = connection?;
            if !connection.peer.agreed.contains(Flags::SPAWN) {
                return ask_rex(connection, &function, move |result| drop(sender.send(result)));
            }
            let number = connection.shared.number();
            let tag = connection.shared.reference(number);
            let expected = tag.clone();
            let wanted = Wanted::End(Box::new(move |outcome| {
                // Whoever asked may have given up.
                let _ = sender.send(result(outcome, &expected));
            }));
            let entry = (Atom::known("erpc"), Atom::known("execute_call"), 4);
            give_up(
                connection,
                connection.spawn(number, entry, &Execute(Some(&tag), &function), Tie::None, wanted)?,
            )
        })))
    }

    /// Calls a function of the node and does not ask what comes of it, as `erpc:cast` does. Where the node
    /// cannot be connected the call is dropped.
    ///
    /// # Errors
    /// When the arguments cannot be written.
    ///
    /// # Panics
    /// When a name has more than 255 characters.
    pub fn cast(&self, module: &str, function: &str, arguments: &dyn Arguments) -> Result<(), EncodeError> {
        let function = Function::new(&self.0, module, function, arguments)?;
        let sender = Sender::current();
        self.when_open(move |connection| {
            if connection.peer.agreed.contains(Flags::SPAWN) {
                let entry = (Atom::known("erpc"), Atom::known("execute_cast"), 3);
                connection.spawn_and_forget(entry, &Execute(None, &function));
            } else {
                let request = Rex("cast", &function, connection.shared.nobody());
                connection.push(
                    &Target::Name(Atom::known("rex")),
                    &Cast(&request),
                    false,
                    sender,
                    Vec::new(),
                );
            }
        });
        Ok(())
    }

    /// Starts a process of the node that runs a function, as `spawn/4` does, and returns its pid.
    ///
    /// # Errors
    /// The future's output is [`RpcError::Refused`] when the node does not start it. A function that is not
    /// there is no error: the process ends.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the process to itself. While the node is still being connected, nothing has
    /// been asked of it, and nothing is.
    ///
    /// # Panics
    /// When a name has more than 255 characters, and when there are more than 255 arguments.
    pub fn spawn(&self, module: &str, function: &str, arguments: &dyn Arguments) -> RpcResult<Pid> {
        self.start_process(Tie::None, module, function, arguments, |pid| pid)
    }

    /// As [`spawn`](Remote::spawn), and links the process to one of this node from its first moment, as
    /// `spawn_link/4` does: what ends it at once is still the reason that `process` hears of.
    ///
    /// # Errors
    /// As of [`spawn`](Remote::spawn). Nothing is linked then.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the two linked. While the node is still being connected, nothing has been
    /// asked of it, and nothing is.
    ///
    /// # Panics
    /// As [`spawn`](Remote::spawn).
    ///
    /// # Examples
    /// ```no_run
    /// use twoply::actor::{self, Process};
    /// use twoply::node::Node;
    ///
    /// fn watch_over(node: Node) -> Result<(), Box<dyn std::error::Error>> {
    ///     actor::spawn(async move |mut me: Process<()>| {
    ///         let there = node.remote("shop@localhost");
    ///         if let Ok(child) = there.spawn_link(&me, "timer", "sleep", &(1_000,)).await {
    ///             println!("{child:?} ends with this process, and this one with it");
    ///         }
    ///         me.receive().await;
    ///     })?;
    ///     Ok(())
    /// }
    /// ```
    pub fn spawn_link<M: Send + 'static>(
        &self,
        process: &Process<M>,
        module: &str,
        function: &str,
        arguments: &dyn Arguments,
    ) -> RpcResult<Pid> {
        self.start_process(Tie::Link(process.pid()), module, function, arguments, |pid| pid)
    }

    /// As [`spawn`](Remote::spawn), and has a process of this node monitor the one that is started from its
    /// first moment, as `spawn_opt/5` does with `monitor`: what ends it at once is still the reason that
    /// `process` is told by [`Down`](twoply_core::actor::Down). Returns the pid and the monitor, which
    /// `process` may have been told of already by then.
    ///
    /// # Errors
    /// As of [`spawn`](Remote::spawn). Nothing is monitored then, and no `Down` comes.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the monitor where it is. While the node is still being connected, nothing
    /// has been asked of it, and nothing is.
    ///
    /// # Panics
    /// As [`spawn`](Remote::spawn).
    ///
    /// # Examples
    /// ```no_run
    /// use twoply::actor::{self, Event, Process};
    /// use twoply::node::Node;
    ///
    /// fn wait_for(node: Node) -> Result<(), Box<dyn std::error::Error>> {
    ///     actor::spawn(async move |mut me: Process<()>| {
    ///         let there = node.remote("shop@localhost");
    ///         let started = there.spawn_monitor(&me, "timer", "sleep", &(1_000,)).await;
    ///         let Ok((child, monitor)) = started else { return };
    ///         if let Event::Down(down) = me.receive().await {
    ///             assert_eq!((down.from, down.monitor), (child, monitor));
    ///             println!("it has ended: {}", down.reason);
    ///         }
    ///     })?;
    ///     Ok(())
    /// }
    /// ```
    pub fn spawn_monitor<M: Send + 'static>(
        &self,
        process: &Process<M>,
        module: &str,
        function: &str,
        arguments: &dyn Arguments,
    ) -> RpcResult<(Pid, MonitorRef)> {
        let starting = Arc::new(Starting(self.0.clone()));
        let stand_in = self.0.shared().stand_in(self.name(), starting);
        let monitor = process.monitor(&stand_in);
        let tie = Tie::Monitor(Entered::new(process.pid(), monitor, stand_in));
        self.start_process(tie, module, function, arguments, move |pid| (pid, monitor))
    }

    /// Starts a process that is tied to one of this node, and returns what `output` makes of its pid.
    fn start_process<R: Send + 'static>(
        &self,
        tie: Tie,
        module: &str,
        function: &str,
        arguments: &dyn Arguments,
        output: impl FnOnce(Pid) -> R + Send + 'static,
    ) -> RpcResult<R> {
        let function = match Function::new(&self.0, module, function, arguments) {
            Ok(function) => function,
            Err(error) => return RpcResult(State::Failed(Some(RpcError::Arguments(error)))),
        };
        let arity = u8::try_from(function.arity).expect("a function has at most 255 arguments");
        RpcResult(State::Asked(Pending::ask(self.route(), move |connection, sender| {
            let Some(connection) = connection else {
                // Before anybody hears that there is no connection.
                drop(tie);
                return None;
            };
            let number = connection.shared.number();
            let wanted = Wanted::Start(Box::new(move |outcome| {
                let _ = sender.send(outcome.map(output).map_err(RpcError::Refused));
            }));
            let entry = (function.module, function.name, arity);
            let is_free = matches!(tie, Tie::None);
            let number = connection.spawn(number, entry, &function.arguments, tie, wanted)?;
            // A tie is there whether anybody waits for the pid or not.
            if is_free { give_up(connection, number) } else { None }
        })))
    }
}

fn give_up(connection: &Arc<Connection>, number: u64) -> Option<GiveUp> {
    let connection = Arc::clone(connection);
    Some(Box::new(move || connection.end_spawn(number)))
}

/// The term `{'$gen_cast', Request}`.
struct Cast<'a>(&'a dyn ToTerm);

impl ToTerm for Cast<'_> {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.tuple(2)?;
        out.name("$gen_cast")?;
        out.value(self.0)
    }
}

/// Calls a function by the process `rex`, which answers by the value or `{badrpc, Reason}`.
fn ask_rex<R>(
    connection: &Arc<Connection>,
    function: &Function,
    tell: impl FnOnce(Result<R, RpcError>) + Send + 'static,
) -> Option<GiveUp>
where
    R: for<'a> FromTerm<'a> + Send + 'static,
{
    let request = Rex("call", function, connection.shared.nobody());
    let answer = move |answer: Result<&mut Decoder<'_>, CallError>| {
        tell(match answer {
            Ok(payload) => match bad_rpc(&mut payload.clone()) {
                Some(reason) => Err(RpcError::Raised { class: Atom::known("exit"), reason }),
                None => contain::read(|| R::from_term(payload)).map_err(RpcError::Result),
            },
            Err(CallError::Ended(reason)) => Err(RpcError::Ended(reason)),
            Err(CallError::Question(error)) => Err(RpcError::Arguments(error)),
            Err(CallError::Answer(error)) => Err(RpcError::Result(error)),
        });
    };
    let number = connection.call(&Target::Name(Atom::known("rex")), &request, Box::new(answer))?;
    let connection = Arc::clone(connection);
    Some(Box::new(move || drop(connection.end_call(number))))
}

/// Returns the reason of `{badrpc, Reason}`, if the term is that.
fn bad_rpc(input: &mut Decoder<'_>) -> Option<Term> {
    input.tuple_of(2).ok()?;
    let tag = input.atom().ok()?;
    if tag == "badrpc" { Term::from_term(input).ok() } else { None }
}

/// Reads what a call has come to: the reason for which its process has ended.
fn result<R: for<'a> FromTerm<'a>>(outcome: Outcome<'_, '_>, tag: &Reference) -> Result<R, RpcError> {
    let input = match outcome {
        Outcome::Down(input) => input,
        Outcome::Refused(why) => return Err(RpcError::Refused(why)),
        Outcome::Lost => return Err(RpcError::lost()),
    };
    match tagged(&mut input.clone(), tag) {
        Some((class, mut value)) if *class == *"return" => {
            contain::read(|| R::from_term(&mut value)).map_err(RpcError::Result)
        }
        Some((class, mut value)) => {
            let reason = Term::from_term(&mut value).map_err(RpcError::Result)?;
            Err(RpcError::Raised { class, reason })
        }
        None => {
            let reason = Term::from_term(input).map_err(RpcError::Result)?;
            Err(RpcError::Ended(reason::from_term(reason)))
        }
    }
}

/// Reads `{Tag, Class, Value}`, or that with a stack trace behind.
fn tagged<'a>(input: &mut Decoder<'a>, tag: &Reference) -> Option<(Atom, Decoder<'a>)> {
    if !matches!(input.tuple(), Ok(3 | 4)) || input.reference().ok()? != *tag {
        return None;
    }
    Some((input.owned_atom().ok()?, input.clone()))
}

impl Node {
    /// Calls a function of another node; see [`Remote::rpc`]. The node is connected if it is not.
    ///
    /// # Panics
    /// When a name has more than 255 characters.
    pub fn call<R>(&self, node: &str, module: &str, function: &str, arguments: &dyn Arguments) -> RpcResult<R>
    where
        R: for<'a> FromTerm<'a> + Send + 'static,
    {
        self.remote(node).rpc(module, function, arguments)
    }

    /// Calls a function of another node without asking what comes of it; see [`Remote::cast`].
    ///
    /// # Errors
    /// When the arguments cannot be written.
    ///
    /// # Panics
    /// When a name has more than 255 characters.
    pub fn cast(
        &self,
        node: &str,
        module: &str,
        function: &str,
        arguments: &dyn Arguments,
    ) -> Result<(), EncodeError> {
        self.remote(node).cast(module, function, arguments)
    }

    /// Calls a function of several nodes at the same time, and returns the results in the order of the nodes.
    /// The calls are sent at once, as [`call`](Node::call) does.
    ///
    /// # Cancel safety
    /// Dropping the future gives those calls up that have not come to their end.
    ///
    /// # Panics
    /// When a name has more than 255 characters.
    pub fn multicall<R>(
        &self,
        nodes: &[&str],
        module: &str,
        function: &str,
        arguments: &dyn Arguments,
    ) -> impl Future<Output = Vec<Result<R, RpcError>>> + Send + use<R>
    where
        R: for<'a> FromTerm<'a> + Send + 'static,
    {
        let calls: Vec<_> = nodes.iter().map(|node| self.call(node, module, function, arguments)).collect();
        async move {
            let mut results = Vec::with_capacity(calls.len());
            for call in calls {
                results.push(call.await);
            }
            results
        }
    }
}

/// The way to a node, for what is asked of it.
impl Remote {
    fn route(&self) -> &Route {
        &self.0
    }
}
