//! Programs of which some processes run on an Erlang node, and the others here, with a real connection
//! between them. The driver is here. `Told` and `Said` are what it and the processes there tell each
//! other, as `tests/erlang/differential_there.erl` knows it.

use std::collections::HashMap;

use twoply_core::Wait;
use twoply_core::actor::{Pid, ProcessRef};
use twoply_node::Node;
use twoply_node::wire::{self, Atom, DecodeError, Decoder, EncodeError, Encoder, FromTerm, Term, ToTerm};

use super::interpret::{Handle, Message, Report};
use super::program::{Mon, Op, Pattern, Proc, Reason, Tie};
use super::trace::{Event, What};
use crate::{ErlangNode, Kind, System};

/// A node of ours and one of Erlang's that are connected.
pub struct Across {
    erlang: ErlangNode,
    node: Node,
    /// Runs the node, and nothing else: the driver counts the tasks of its own.
    _system: System,
}

const COOKIE: &str = "biscuit";

impl Across {
    /// Starts both. Returns `None` where there is no Erlang, and says so.
    pub fn start() -> Option<Across> {
        let mut erlang = ErlangNode::start(COOKIE, 60)?;
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/erlang/differential_there.erl");
        let load = format!(
            "{{ok, Module, Code}} = compile:file(\"{source}\", [binary]), \
             {{module, _}} = code:load_binary(Module, \"\", Code), Module:start()"
        );
        assert_eq!(erlang.eval(&load), "true");
        let system = Kind::Green1.build();
        let builder = Node::builder("ours@localhost").cookie(COOKIE).epmd(erlang.epmd_addr);
        let node = system.spawn(builder.start()).wait().expect("it does not panic").expect("the node starts");
        Some(Across { erlang, node, _system: system })
    }

    /// Returns the node there, for a driver of one program.
    pub(super) fn there(&self) -> There {
        let host = self.node.remote(self.erlang.name.as_str()).process("differential");
        There { host, node: self.node.clone(), numbers: HashMap::new(), monitors: HashMap::new(), clear: 0 }
    }
}

/// The node there, as a driver knows it.
pub(super) struct There {
    /// Starts processes.
    pub(super) host: ProcessRef<ToHost>,
    /// Our own.
    node: Node,
    /// The numbers of all processes by the pids that cross: one that has ended here comes back as nobody's.
    numbers: HashMap<wire::Pid, Proc>,
    /// The monitors of processes there, with their owners.
    pub(super) monitors: HashMap<Mon, Proc>,
    /// The last round in which the host has said that nobody there was dying.
    pub(super) clear: u64,
}

impl There {
    /// Gets to know a process of this node.
    pub(super) fn meet(&mut self, number: Proc, process: &ProcessRef<Message>) {
        if let Ok(pid) = self.node.expose(process) {
            self.numbers.insert(pid, number);
        }
    }

    /// Takes note of what a process there has said. Returns what was seen by that, if anything was.
    pub(super) fn note(&mut self, said: Said) -> Noted {
        let (process, what) = match said {
            Said::Pong(from, round, blocked) => return Noted::Report(Report::Pong { from, round, blocked }),
            Said::Spawned(number, pid, process, told) => {
                self.numbers.insert(pid, number);
                return Noted::Report(Report::Spawned(number, Handle::there(process, told)));
            }
            Said::Monitored(by, monitor) => {
                self.monitors.insert(monitor, by);
                return Noted::Nothing;
            }
            Said::Clear(round) => {
                self.clear = round;
                return Noted::Nothing;
            }
            Said::Was(process, was) => (process, What::Was(was)),
            Said::Empty(process) => (process, What::Empty),
            Said::Message(process, k) => (process, What::Took(Event::Message(k))),
            Said::Exit(process, from, why) => {
                (process, What::Took(Event::Exit(self.numbers[&from], reason(&why.to_string()))))
            }
            Said::Down(process, monitor, from, why) => {
                (process, What::Took(Event::Down(monitor, self.numbers[&from], reason(&why.to_string()))))
            }
        };
        Noted::Seen(process, what)
    }
}

/// What a process there has said, as a driver takes it from one here.
pub(super) enum Noted {
    Nothing,
    Report(Report),
    Seen(Proc, What),
}

/// What the host of the processes there is asked for.
#[derive(ToTerm)]
#[term(crate = twoply_node)]
pub(super) enum ToHost {
    /// A process of this number.
    Start(Proc, ProcessRef<Report>),
    /// Word that nobody there is dying.
    Clear(u64, ProcessRef<Report>),
}

/// What a process there is told.
#[derive(ToTerm)]
#[term(crate = twoply_node)]
pub(super) enum Told {
    Run(Vec<Order>),
    Ping(u64),
}

/// An operation of a process there. It knows its monitors by their numbers.
#[derive(ToTerm)]
#[term(crate = twoply_node)]
pub(super) enum Order {
    Spawn(Proc, Tied),
    Link(Pid),
    Unlink(Pid),
    Monitor(Mon, Pid),
    Demonitor(Mon),
    Flush(Mon),
    Trap(bool),
    Exit(Pid, Term),
    Leave(Term),
    Send(ProcessRef<Message>, u32),
    Take(Taking, bool),
}

#[derive(ToTerm)]
#[term(crate = twoply_node)]
pub(super) enum Tied {
    None,
    Link,
    Monitor(Mon),
}

#[derive(ToTerm)]
#[term(crate = twoply_node)]
pub(super) enum Taking {
    Any,
    Message(u32),
    Signal,
    Down(Mon),
}

/// Returns an operation as a process there is told it. `None` if it names a process that never was, or a
/// monitor that it does not own.
pub(super) fn order(
    op: Op,
    process: impl Fn(Proc) -> Option<ProcessRef<Message>>,
    owns: impl Fn(Mon) -> bool,
) -> Option<Order> {
    let pid = |p| Some(process(p)?.pid());
    let owned = |m: Mon| owns(m).then_some(m);
    let term = |reason: Reason| Term::atom(&reason.to_string());
    Some(match op {
        Op::Spawn(p, Tie::None) => Order::Spawn(p, Tied::None),
        Op::Spawn(p, Tie::Link) => Order::Spawn(p, Tied::Link),
        Op::Spawn(p, Tie::Monitor(m)) => Order::Spawn(p, Tied::Monitor(m)),
        Op::Link(p) => Order::Link(pid(p)?),
        Op::Unlink(p) => Order::Unlink(pid(p)?),
        Op::Monitor(m, p) => Order::Monitor(m, pid(p)?),
        Op::Demonitor(m) => Order::Demonitor(owned(m)?),
        Op::Flush(m) => Order::Flush(owned(m)?),
        Op::Trap(on) => Order::Trap(on),
        Op::Exit(p, reason) => Order::Exit(pid(p)?, term(reason)),
        Op::Leave(reason) => Order::Leave(term(reason)),
        Op::Raise(number) => Order::Leave(term(Reason::Panic(number))),
        Op::Send(p, k) => Order::Send(process(p)?, k),
        Op::Receive(Pattern::Any, waits) => Order::Take(Taking::Any, waits),
        Op::Receive(Pattern::Message(k), waits) => Order::Take(Taking::Message(k), waits),
        Op::Receive(Pattern::Signal, waits) => Order::Take(Taking::Signal, waits),
        Op::Receive(Pattern::Down(m), waits) => Order::Take(Taking::Down(owned(m)?), waits),
    })
}

/// What a process there says, with its number in front.
#[derive(FromTerm)]
#[term(crate = twoply_node)]
pub(super) enum Said {
    Pong(Proc, u64, bool),
    /// The new process, as one that is sent messages and as one that is told what to do.
    Spawned(Proc, wire::Pid, ProcessRef<Message>, ProcessRef<Told>),
    Monitored(Proc, Mon),
    Was(Proc, bool),
    Empty(Proc),
    Message(Proc, u32),
    Exit(Proc, wire::Pid, Term),
    Down(Proc, Mon, wire::Pid, Term),
    /// Nobody there is dying.
    Clear(u64),
}

/// Reads a reason of a program's: the last word of its text, which may stand inside of something.
pub(super) fn reason(text: &str) -> Reason {
    let mut words = text.rsplit(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.next().unwrap_or_default().parse().unwrap_or_else(|error| panic!("{error} in {text}"))
}

impl<'a> FromTerm<'a> for Report {
    fn from_term(input: &mut Decoder<'a>) -> Result<Report, DecodeError> {
        Said::from_term(input).map(Report::There)
    }
}

impl<'a> FromTerm<'a> for Message {
    fn from_term(input: &mut Decoder<'a>) -> Result<Message, DecodeError> {
        let (_, number) = <(Atom, u32)>::from_term(input)?;
        Ok(Message::Number(number))
    }
}

impl ToTerm for Message {
    fn to_term(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        match self {
            Message::Number(number) => (Term::atom("m"), *number).to_term(out),
            // Those there are told by what they have for that.
            Message::Control(_) => Err(EncodeError::NoNode),
        }
    }
}
