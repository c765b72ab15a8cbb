//! [`Functions::add_observer`]: what Erlang's `observer` and `etop` ask of a node.
//!
//! They call the module `observer_backend`, or start processes of it that send what there is to whoever
//! looks. Of it there is what the list of processes and the page of the system need; all else is `undef`.

use std::env::consts::{ARCH, OS};
use std::sync::{Arc, Weak};
use std::thread::available_parallelism;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use twoply_core::actor::{Pid, Process, ProcessRef, ProcessState};
use twoply_core::time::now;

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

/// The processes that take messages of others, some at a time; the first time, also none. Nothing is held
/// between two of them.
struct Pages {
    of: Weak<Shared>,
    /// The lowest number that the next process has, unless there is none.
    from: Option<u64>,
}

impl Pages {
    fn new(of: &Weak<Shared>) -> Pages {
        Pages { of: of.clone(), from: Some(0) }
    }
}

impl Iterator for Pages {
    type Item = Vec<Shown>;

    fn next(&mut self) -> Option<Vec<Shown>> {
        let shared = self.of.upgrade()?;
        let exposed = shared.locals.exposed(self.from?, AT_ONCE);
        let last = exposed.last().filter(|_| exposed.len() == AT_ONCE);
        self.from = last.map(|(pid, ..)| pid.serial() + 1);
        Some(exposed.iter().filter_map(|(pid, inlet, name)| shown(&shared, pid, &**inlet, name)).collect())
    }
}

/// Returns what there is to tell of a process, unless it has ended, or tells others of processes itself.
fn shown(shared: &Shared, pid: &Pid, inlet: &dyn Inlet, name: &Option<Arc<str>>) -> Option<Shown> {
    let info = pid.info()?;
    let function = info.name.and_then(|name| shared.functions.named(&name));
    // Nothing else: an observer sorts by this. No atom of any name of a process, since others would have to
    // keep it for ever.
    let name = match (name.as_ref().and_then(|name| Atom::new(&**name).ok()), function) {
        (_, Some((module, ..))) if *module == *BACKEND => return None,
        (Some(name), _) => Term::Atom(name),
        (None, Some((module, function, arity))) => {
            Term::Tuple(vec![Term::Atom(module), Term::Atom(function), Term::from(i64::from(arity))])
        }
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
    let processes = shared.upgrade().map_or(0, |shared| shared.locals.count_exposed());
    let processors = available_parallelism().map_or(1, usize::from);
    let properties = [
        ("otp_release", text("twoply")),
        ("version", text(env!("CARGO_PKG_VERSION"))),
        ("system_architecture", text(&format!("{ARCH}-{OS}"))),
        ("wordsize_external", Term::from(size_of::<usize>() as i64)),
        ("logical_processors_available", Term::from(processors as i64)),
        ("uptime", Term::from((now() - since).as_millis() as i64)),
        ("process_count", Term::from(processes as i64)),
    ];
    properties.into_iter().map(|(key, value)| (Atom::known(key), value)).collect()
}

impl Functions<'_> {
    /// Lets Erlang's `observer` and `etop` of other nodes list the processes that take messages of others:
    /// those that this one has [registered](crate::Node::register) or [exposed](crate::Node::expose), that
    /// others have [started](Functions::add_process), and whose `ProcessRef` has been sent out. They have a
    /// name where they are registered; else the function is told that others have started, if they have.
    /// They have a queue length and, as the current function, their state; the messages that they have
    /// received are the reductions. Memory and run time are 0. The page of the system tells how long ago this
    /// was called. What the other pages ask is `undef`, unless it is [added](Functions::add), and `etop` is
    /// to have `{tracing, off}`.
    ///
    /// Functions of the module `observer_backend` are added, and `erlang:function_exported/3`, in place of
    /// one of the program's.
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
        let since = now();
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
            let told = async move |me: Pid, to: &ProcessRef<_>| {
                for some in Pages::new(&of) {
                    to.send((Atom::known("procs_info"), me.clone(), some)).await.map_err(|_| TOO_LONG)?;
                }
                Ok(())
            };
            async move { while_wanted(&to, told(me.pid(), &to)).await }
        });
        let of = shared();
        self.add_process(BACKEND, "etop_collect", move |me: Process<Term>, (to,): (ProcessRef<_>,)| {
            let of = of.clone();
            async move {
                let told = async { to.send((me.pid(), all(&of))).await.map_err(|_| TOO_LONG) };
                while_wanted(&to, told).await
            }
        });
    }
}

/// The reason with which a process ends that cannot tell what there is.
const TOO_LONG: &str = "the list is longer than a message may be";

/// Tells somebody of something, unless that process ends.
async fn while_wanted<M: Send + 'static>(
    to: &ProcessRef<M>,
    told: impl Future<Output = Result<(), &'static str>>,
) -> Result<(), &'static str> {
    twoply_core::select! {
    await;
        told = told => told,
        _ = to.ended() => Ok(()),
    }
}

fn all(of: &Weak<Shared>) -> All {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let shown: Vec<_> = Pages::new(of).flatten().collect();
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
