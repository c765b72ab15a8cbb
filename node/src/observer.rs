//! [`Functions::add_observer`]: what Erlang's `observer` and `etop` ask of a node.
//!
//! They call the module `observer_backend`, or start processes of it that send what there is to whoever
//! looks. Of it there is what the list of processes and the page of the system need; all else is `undef`.

use std::env::consts::{ARCH, OS};
use std::sync::{Arc, Weak};
use std::thread::available_parallelism;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use twoply_core::actor::{Pid, Process, ProcessRef, ProcessState};

use crate::Functions;
use crate::local::Inlet;
use crate::node::Shared;
use crate::wire::{Atom, Term, ToTerm};

/// The module that is asked.
const BACKEND: &str = "observer_backend";
/// The processes that one message tells of at most.
const AT_ONCE: usize = 1_000;

/// A process, as the record of Erlang's.
#[derive(ToTerm)]
#[term(crate = crate, record = "etop_proc_info")]
struct Shown {
    pid: Pid,
    memory: u64,
    /// The messages that it has received: the work that is counted here.
    reductions: u32,
    name: Term,
    runtime: u64,
    /// The state, in the place of the function that it is in.
    state: Atom,
    /// The messages in its mailbox, and what waits for room there.
    messages: usize,
}

/// The whole node, as the record of Erlang's. `undefined` is what only Erlang has.
#[derive(ToTerm)]
#[term(crate = crate, record = "etop_info")]
struct All {
    now: (u64, u64, u32),
    processes: usize,
    wall_clock: Option<u64>,
    runtime: Option<u64>,
    run_queue: u64,
    areas: Vec<u64>,
    memory: Option<u64>,
    shown: Vec<Shown>,
}

/// The processes that are told of: those that take messages of others, but for the one that asks.
fn exposed(shared: &Weak<Shared>, me: Option<&Pid>) -> Vec<(Pid, Arc<dyn Inlet>, Option<String>)> {
    let mut exposed = shared.upgrade().map_or_else(Vec::new, |shared| shared.locals.exposed());
    exposed.retain(|(pid, ..)| Some(pid) != me);
    exposed
}

/// Returns what there is to tell of a process, unless it has ended.
fn shown(pid: &Pid, inlet: &dyn Inlet, name: Option<String>) -> Option<Shown> {
    let info = pid.info()?;
    let name = match (name.and_then(|name| Atom::new(name).ok()), info.name) {
        (Some(name), _) => Term::Atom(name),
        // No atom, since others would have to keep it for ever.
        (None, Some(name)) => text(&name),
        (None, None) => Term::atom("undefined"),
    };
    let state = match info.state {
        ProcessState::Starting => "starting",
        ProcessState::Receiving => "receiving",
        ProcessState::Running => "running",
        _ => "ending",
    };
    Some(Shown {
        pid: info.pid,
        memory: 0,
        reductions: info.received,
        name,
        runtime: 0,
        state: Atom::known(state),
        messages: info.messages + inlet.waiting(),
    })
}

/// Returns the list of characters that a text is to Erlang's programs.
fn text(text: &str) -> Term {
    Term::List(text.chars().map(|char| Term::Integer(u32::from(char).into())).collect())
}

/// Returns the properties that the page of the system shows.
fn system(shared: &Weak<Shared>, since: Instant) -> Vec<(Atom, Term)> {
    let processors = available_parallelism().map_or(1, usize::from);
    let properties = [
        ("otp_release", text("twoply")),
        ("version", text(env!("CARGO_PKG_VERSION"))),
        ("system_architecture", text(&format!("{ARCH}-{OS}"))),
        ("wordsize_external", Term::from(size_of::<usize>() as i64)),
        ("logical_processors_available", Term::from(processors as i64)),
        ("uptime", Term::from(since.elapsed().as_millis() as i64)),
        ("process_count", Term::from(exposed(shared, None).len() as i64)),
    ];
    properties.into_iter().map(|(key, value)| (Atom::known(key), value)).collect()
}

impl Functions<'_> {
    /// Lets Erlang's `observer` and `etop` of other nodes list the processes that this one has
    /// [registered](crate::Node::register) or [exposed](crate::Node::expose): with name, queue length and, as
    /// the current function, their state; the messages that they have received are the reductions. Memory and
    /// run time are 0. The page of the system tells how long ago this was called. What the other pages ask is
    /// `undef`, unless it is [added](Functions::add), and `etop` is to have `{tracing, off}`.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::node::Node;
    ///
    /// let shop = Node::builder("shop@localhost").cookie("secret").without_epmd().start().wait()?;
    /// // rpc:call('shop@localhost', observer_backend, sys_info, []) is a list of properties.
    /// shop.functions().add_observer();
    /// assert!(shop.functions().names().contains(&"observer_backend:sys_info/0".to_owned()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_observer(&self) {
        let since = Instant::now();
        let shared = || Arc::downgrade(self.shared());
        let of = shared();
        self.add("erlang", "function_exported", move |(module, name, arity): (Atom, Atom, u8)| {
            let there = of.upgrade().is_some_and(|shared| shared.functions.has(&(module, name, arity)));
            async move { there }
        });
        self.add(BACKEND, "vsn", async |(): ()| Ok::<_, ()>(text(env!("CARGO_PKG_VERSION"))));
        let of = shared();
        self.add(BACKEND, "sys_info", move |(): ()| {
            let system = system(&of, since);
            async move { system }
        });
        let of = shared();
        self.add_process(BACKEND, "procs_info", move |me: Process<Term>, (to,): (ProcessRef<_>,)| {
            let of = of.clone();
            async move { tell_processes(&of, &me, &to).await }
        });
        let of = shared();
        self.add_process(BACKEND, "etop_collect", move |me: Process<Term>, (to,): (ProcessRef<_>,)| {
            let of = of.clone();
            async move {
                // Whoever has ended wants it no more.
                let _ = to.send((me.pid(), all(&of, &me.pid()))).await;
            }
        });
    }
}

/// Tells of all processes, some at a time; the last time, also of none.
async fn tell_processes(of: &Weak<Shared>, me: &Process<Term>, to: &ProcessRef<(Atom, Pid, Vec<Shown>)>) {
    let exposed = exposed(of, Some(&me.pid()));
    let mut left = exposed.into_iter();
    loop {
        let some = left.by_ref().take(AT_ONCE);
        let some = some.filter_map(|(pid, inlet, name)| shown(&pid, &*inlet, name)).collect();
        let sent = to.send((Atom::known("procs_info"), me.pid(), some)).await;
        if sent.is_err() || left.len() == 0 {
            return;
        }
    }
}

fn all(of: &Weak<Shared>, me: &Pid) -> All {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let exposed = exposed(of, Some(me)).into_iter();
    let shown: Vec<_> = exposed.filter_map(|(pid, inlet, name)| shown(&pid, &*inlet, name)).collect();
    All {
        now: (now.as_secs() / 1_000_000, now.as_secs() % 1_000_000, now.subsec_micros()),
        processes: shown.len(),
        wall_clock: None,
        runtime: None,
        run_queue: 0,
        areas: Vec::new(),
        memory: None,
        shown,
    }
}
