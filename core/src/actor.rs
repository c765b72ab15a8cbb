//! Processes: code with a mailbox, linked and monitored, with the semantics of Erlang's.
//!
//! A process is a task whose body receives events from a mailbox of its own. Everything else is built over
//! it: actors, supervisors, the registry. What a program uses is here:
//!
//! | who | what |
//! |---|---|
//! | [`spawn`], [`spawn_fn`], [`Builder`] | start a process, on either backend |
//! | [`Process`] | the process as its body sees it: receive, link, monitor, trap exits, timers |
//! | [`ProcessRef`] | a reference through which messages of one type are sent |
//! | [`Pid`] | who a process is, for links, monitors and exit signals |
//! | [`Event`], [`Exit`], [`Down`], [`ExitReason`] | what a process receives, and why one has ended |
//! | [`Actor`], [`Context`] | a process as a value with handlers, and what these may do |
//! | [`StateMachine`], [`Machine`] | an actor whose answer to an event depends on its state |
//! | [`Active`] | any value as an actor whose messages are closures |
//! | [`Registry`], [`Group`], [`Groups`], [`Directory`] | processes that are found by name, one or many |
//! | [`Via`], [`Names`] | whoever has a name, wherever that is looked up |
//! | [`Pool`], [`Topic`] | several actors behind one reference, and what reaches every subscriber |
//! | [`ServiceRef`], [`Service`] | what comes and goes, and the queue that stands for it meanwhile |
//! | [`supervisor`] | processes that start others, and restart them |
//!
//! # What holds
//! - What one process does to another, messages and signals alike, arrives in the order in which it was done.
//! - A selective receive leaves the rest in its order. What waits too long for its turn is up to the
//!   receiver.
//! - Links go both ways and there is one between two processes; monitors go one way and stack.
//! - Exit signals: [`Normal`](ExitReason::Normal) is ignored unless trapped; [`Kill`](ExitReason::Kill)
//!   cannot be trapped and is seen by others as [`Killed`](ExitReason::Killed).
//! - At the end of a process its names and groups are free, then its links and monitors are told, then what
//!   it has not received goes where the builder has said.
//! - Mailboxes are bounded, signals are not counted, and every send that is not delivered hands its message
//!   back.
//!
//! # Inside
//! `cell` is what others hold on to: the mailbox (`mailbox`) and the relations (`signal`) under one lock.
//! `body` is what the task runs; its destructor is the end of the process. `behaviour` and `active` are
//! bodies over that, and `attach` lets the former receive from sources beside the mailbox.
//!
//! The mailbox is separate from the body: a process whose mailbox is kept (`ProcessRef::keep_mailbox`) leaves
//! it open at its end, with what is in it, and a supervisor gives it a new body (`Builder::taking_over`),
//! with the same pid and the same references. Registry and groups hear of an end by a hook (`Pid::at_exit`),
//! before anybody else does.
//!
//! This module never chooses a thread, and it has no scheduler: a process is polled, blocked and cancelled as
//! any task.

mod active;
mod attach;
mod behaviour;
pub(crate) mod catch_panic;
mod machine;
mod names;
mod pool;
mod process;
pub mod remote;
mod service;
pub mod supervisor;
mod topic;

use std::future::Future;

pub use crate::kernel::task::{Data, ExitReason, Failed, Foreign, IntoExit, PanicMessage};
pub use active::{Active, ActiveBuilder, AsyncClosure};
pub use attach::Attachment;
pub use behaviour::{Actor, Context, StartActorError, Starting, StartingTimeout};
pub use machine::{Machine, MachineContext, MachineEvent, StateMachine, Transition};
pub use names::{
    Directory, DirectoryChange, DirectoryEntry, Group, Groups, Membership, NameChange, Names, RegisterError,
    Registry, SendToNameError, Via, WrongTypeError,
};
pub use pool::{Pool, PoolBuilder, Routing};
pub use process::{
    Ask, Builder, DEFAULT_CAPACITY, Down, Ended, Event, Exit, MonitorRef, Pid, Process, ProcessEntry,
    ProcessInfo, ProcessRef, ProcessState, ProcessTable, Receive, ReceiveMatch, ReceiveTimeout,
    SpawnProcessError, Stopping, Tabling, Timer, TimerRef, Trace, TraceAction, TraceEvent, Urgent, WeakRef,
    process_table,
};
pub(crate) use process::{Listening, Reserved};
pub use service::{
    AskServiceError, NamedService, Presence, SendToServiceError, Service, ServiceBuilder, ServiceRef,
    Session, WhileAway,
};
pub use topic::{Backlog, Published, Topic};

/// The ways in which a full mailbox takes one more message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// [`send`](ProcessRef::send) waits for room, and [`try_send`](ProcessRef::try_send) fails.
    Wait,
    /// Both of them fail.
    Fail,
    /// The message is dropped, and the send succeeds.
    DropNewest,
    /// The message that has waited longest is dropped, usual ones before urgent ones, and the send succeeds.
    /// Messages that a [selective receive](Process::receive_match) has looked at and left are not dropped any
    /// more; where there are only such, the new one is.
    DropOldest,
}

/// Starts a process that runs `body`, on the backend of the calling task, or the default one outside of any
/// task; see [`Builder`] for more.
///
/// # Errors
/// As [`Builder::spawn`].
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{self, Event, Process}};
///
/// let (done, reply) = twoply::channel::oneshot();
/// let greeter = actor::spawn(async |mut me: Process<&str>| {
///     if let Event::Message(name) = me.receive().await {
///         done.send(format!("hello {name}")).unwrap();
///     }
/// });
/// greeter.unwrap().send("world").wait().unwrap();
/// assert_eq!(reply.wait().unwrap(), "hello world");
/// ```
#[track_caller]
pub fn spawn<M, F, T>(body: F) -> Result<ProcessRef<M>, SpawnProcessError>
where
    M: Send + 'static,
    F: FnOnce(Process<M>) -> T,
    T: Future<Output: IntoExit + Send> + Send + 'static,
{
    Builder::new().spawn(body)
}

/// Starts a process that runs `body`, which is straight-line code; see [`spawn`].
///
/// # Errors
/// As [`Builder::spawn`].
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{self, ExitReason, Process}};
///
/// let process = actor::spawn_fn(|mut me: Process<u8>| drop(me.receive().wait()))?;
/// process.send(1).wait()?;
/// assert_eq!(process.ended().wait(), ExitReason::Normal);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn spawn_fn<M, F, T>(body: F) -> Result<ProcessRef<M>, SpawnProcessError>
where
    M: Send + 'static,
    F: FnOnce(Process<M>) -> T + Send + 'static,
    T: IntoExit + Send + 'static,
{
    Builder::new().spawn_fn(body)
}

/// Starts `actor` as a process, on the backend of the calling task, or the default one outside of any task.
///
/// # Errors
/// As [`Builder::spawn`].
///
/// # Examples
/// ```
/// use std::convert::Infallible;
/// use twoply::{Wait, actor::{self, Actor, Context, ExitReason}};
///
/// struct Greeter;
///
/// impl Actor for Greeter {
///     type Message = &'static str;
///     type Error = Infallible;
///
///     async fn handle(&mut self, name: &'static str, cx: &mut Context<Greeter>) -> Result<(), Infallible> {
///         println!("hello {name}");
///         cx.stop();
///         Ok(())
///     }
/// }
///
/// let greeter = actor::spawn_actor(Greeter)?;
/// greeter.send("world").wait()?;
/// assert_eq!(greeter.ended().wait(), ExitReason::Normal);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn spawn_actor<A: Actor>(actor: A) -> Result<ProcessRef<A::Message>, SpawnProcessError> {
    Builder::new().spawn_actor(actor)
}

/// Makes `value` an actor whose messages are closures, on the backend of the calling task, or the default one
/// outside of any task; see [`Active`].
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::active};
///
/// let words = active(vec!["one"]);
/// words.try_send(|words| words.push("two")).unwrap();
/// assert_eq!(words.ask(|words| words.join(" ")).wait().unwrap(), "one two");
/// ```
pub fn active<T: Send + 'static>(value: T) -> Active<T> {
    Active::new(value)
}
