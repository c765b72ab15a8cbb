//! [`Functions::add_observer`]: what Erlang's `observer` and `etop` ask of a node.
//!
//! They call the module `observer_backend`, or start processes of it that send what there is to whoever
//! looks. Of it there is what the list of processes and the page of the system need. A page that is told
//! `undef`, or that there is nothing of a kind it divides by, ends the observer of OTP 25: so the others are
//! told of empty lists, and the window of a process of what is known of it. All else is `undef`.

use std::collections::BTreeSet;
use std::env::consts::{ARCH, OS};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::available_parallelism;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use twoply_core::actor::{Builder, Pid, Process, ProcessInfo, ProcessRef, ProcessState};
use twoply_core::time::now;

use crate::Functions;
use crate::functions::{Key, as_term};
use crate::local::Inlet;
use crate::node::Shared;
use crate::wire::{Atom, Term, ToTerm};

/// The module that is asked.
const BACKEND: &str = "observer_backend";
/// The module that is asked for applications, by a process of it.
const APPLICATIONS: &str = "appmon_info";
/// The question of a page of applications: `{'$gen_cast', {From, What, Which, IsWanted, Options}}`.
type Asked = (Atom, (ProcessRef<Delivery>, Atom, Term, bool, Term));
/// The answer to it: `{delivery, Self, What, Which, Answer}`.
type Delivery = (Atom, Pid, Atom, Term, Term);

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
    let function = function(shared, &info);
    // Nothing else: an observer sorts by this. No atom of any name of a process, since others would have to
    // keep it for ever.
    let name = match (registered(name), function) {
        (_, Some((module, ..))) if *module == *BACKEND || *module == *APPLICATIONS => return None,
        (Some(name), _) => Term::Atom(name),
        (None, Some(function)) => triple(function),
        (None, None) => Term::atom("undefined"),
    };
    Some(Shown {
        memory: 0,
        reductions: info.received,
        name,
        runtime: 0,
        state: Atom::known(state(&info)),
        messages: info.messages + inlet.waiting(),
        pid: info.pid,
    })
}

/// Returns the function that others have told a process to run.
fn function(shared: &Shared, info: &ProcessInfo) -> Option<Key> {
    shared.functions.named(info.name.as_ref()?)
}

fn registered(name: &Option<Arc<str>>) -> Option<Atom> {
    Atom::new(&**name.as_ref()?).ok()
}

fn triple((module, function, arity): Key) -> Term {
    Term::Tuple(vec![Term::Atom(module), Term::Atom(function), Term::from(i64::from(arity))])
}

fn state(info: &ProcessInfo) -> &'static str {
    match info.state {
        ProcessState::Starting => "starting",
        ProcessState::Receiving => "receiving",
        ProcessState::Running => "running",
        _ => "ending",
    }
}

/// Returns what `erlang:process_info/2` tells of a process that takes messages of others: an item, or each of
/// a list of them, as far as it is known; `undefined` where there is no such process.
fn process_info(shared: &Arc<Shared>, pid: &Pid, wanted: &Term) -> Term {
    let found = shared.locals.exposed(pid.serial(), 1).pop().filter(|(found, ..)| found == pid);
    let found = found.and_then(|(pid, inlet, name)| Some((pid.info()?, inlet, registered(&name))));
    let Some((info, inlet, name)) = found else { return Term::atom("undefined") };
    let pair = |item: &Atom, value| Term::Tuple(vec![Term::Atom(item.clone()), value]);
    let value = |item: &Atom| match (item.as_str(), &name) {
        ("registered_name", Some(name)) => Some(Term::Atom(name.clone())),
        ("initial_call", _) => Some(triple(function(shared, &info).unwrap_or_else(|| ours("process")))),
        ("message_queue_len", _) => Some(Term::from((info.messages + inlet.waiting()) as i64)),
        (item, _) => known_item(shared, &info, item),
    };
    match wanted {
        Term::List(items) => {
            // Each once, whatever a peer asks for: an item may be long.
            let (mut told, mut pairs) = (BTreeSet::new(), Vec::new());
            for item in items {
                if let Term::Atom(item) = item
                    && !told.contains(item.as_str())
                    && let Some(value) = value(item)
                {
                    told.insert(item.as_str());
                    pairs.push(pair(item, value));
                }
            }
            Term::List(pairs)
        }
        Term::Atom(item) => value(item).map_or_else(|| Term::List(Vec::new()), |value| pair(item, value)),
        _ => Term::List(Vec::new()),
    }
}

/// Returns an item of a process that does not depend on how others know it.
fn known_item(shared: &Arc<Shared>, info: &ProcessInfo, item: &str) -> Option<Term> {
    // Those of whom others do not know are not told of.
    let is_known = |pid: &&Pid| !pid.is_local() || shared.locals.inlet(pid.serial()).is_some();
    let pids = |pids: &[Pid]| -> Vec<_> {
        pids.iter().filter(is_known).filter_map(|pid| as_term(pid, shared)).collect()
    };
    Some(match item {
        "current_function" => triple(ours(state(info))),
        "status" if state(info) == "receiving" => Term::atom("waiting"),
        "status" => Term::atom("running"),
        "reductions" => Term::from(i64::from(info.received)),
        "trap_exit" => Term::atom(if info.trap_exit { "true" } else { "false" }),
        "links" => Term::List(pids(&info.links)),
        "monitored_by" => Term::List(pids(&info.monitored_by)),
        "monitors" => {
            let process = |pid| Term::Tuple(vec![Term::atom("process"), pid]);
            Term::List(pids(&info.monitors).into_iter().map(process).collect())
        }
        // An observer takes these to be lists.
        "binary" | "current_stacktrace" | "dictionary" | "garbage_collection" | "messages" => {
            Term::List(Vec::new())
        }
        _ => return None,
    })
}

/// Returns a name of this library's in the form of a function's.
fn ours(name: &str) -> Key {
    (Atom::known("twoply"), Atom::known(name), 0)
}

/// The process that answers those who look at applications. There is one for all, as in Erlang, from the
/// first question on.
#[derive(Default)]
pub(crate) struct Applications(Mutex<Option<ProcessRef<Asked>>>);

impl Applications {
    fn running(&self) -> MutexGuard<'_, Option<ProcessRef<Asked>>> {
        // Nothing panics under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the process, and starts it if there is none.
    fn one_of(shared: &Shared) -> Option<ProcessRef<Asked>> {
        let this = &shared.functions.applications;
        let alive = |running: &Option<ProcessRef<Asked>>| running.clone().filter(|one| !one.is_closed());
        if let Some(process) = alive(&this.running()) {
            return Some(process);
        }
        let process = Builder::<Asked>::new().name(format!("{APPLICATIONS}:start_link2/3"));
        let process = process.end_when_unreferenced(true).on(shared.spawner.backend());
        let process = process.spawn(applications).ok()?;
        let mut running = this.running();
        // Another one may have been started meanwhile; then this one ends, as nobody refers to it.
        let process = alive(&running).unwrap_or(process);
        let last = running.replace(process.clone());
        drop(running);
        drop(last);
        Some(process)
    }
}

/// Answers those who look at applications: there are none.
async fn applications(mut me: Process<Asked>) {
    while let Some((_, (from, what, which, is_wanted, _))) = me.receive().await.message() {
        let nothing = || Term::List(Vec::new());
        let answer = match what == "app_ctrl" {
            true => nothing(),
            false => Term::Tuple(vec![nothing(), nothing(), nothing(), nothing()]),
        };
        if is_wanted {
            // It is lost where the asker has no room, or is gone.
            let _ = from.try_send((Atom::known("delivery"), me.pid(), what, which, answer));
        }
    }
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
        // The page of the allocators divides by the sum of what is here, unless one has no numbers.
        ("alloc_info", Term::List(vec![Term::Tuple(vec![Term::atom("none"), Term::atom("false")])])),
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
    /// was called. The window of a process (`erlang:process_info/2`) adds whether it traps exits, and its
    /// links and monitors, as far as they are processes of that kind or of other nodes. `etop` is to have
    /// `{tracing, off}`.
    ///
    /// The window of OTP 25.2.3 was run by hand: the list and the page of the system show what is said here;
    /// the load charts stay empty; the page of allocators says that there is no information, that of sockets
    /// that they are not supported; there are no applications, ports or tables. A process has neither
    /// messages, a dictionary, a stack nor a state to be seen. What is asked beyond that, as for tracing, is
    /// `undef`, unless it is [added](Functions::add).
    ///
    /// Functions of the modules `observer_backend` and `appmon_info` are added, and
    /// `erlang:function_exported/3`, `erlang:process_info/2`, `erlang:system_info/1` and
    /// `proc_lib:translate_initial_call/1`, in place of those of the program's.
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
        for list in ["get_port_list", "get_socket_list", "socket_info"] {
            self.add(BACKEND, list, async |(): ()| Term::List(Vec::new()));
        }
        self.add(BACKEND, "get_table_list", async |_: (Term, Term)| Term::List(Vec::new()));
        let of = shared();
        self.add("erlang", "process_info", move |(pid, wanted): (Pid, Term)| {
            let told = of.upgrade().map(|shared| process_info(&shared, &pid, &wanted));
            async move { told }
        });
        self.add("erlang", "system_info", async |(wanted,): (Atom,)| {
            (wanted == "wordsize").then_some(size_of::<usize>() as u64)
        });
        // No process of Erlang's behaviours, so it is not asked for its state.
        let initial = |_: (Pid,)| async { (Atom::known("proc_lib"), Atom::known("init_p"), 5) };
        self.add("proc_lib", "translate_initial_call", initial);
        let of = shared();
        self.add(APPLICATIONS, "start_link2", move |_: (Term, Term, Term)| {
            let process = of.upgrade().and_then(|shared| Applications::one_of(&shared));
            async move { process.ok_or(Atom::known("system_limit")) }
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
