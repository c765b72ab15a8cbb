//! What random programs consist of. Their text (`Display`) is that of Erlang terms, as `tests/erlang` reads
//! them.

use std::fmt;
use std::str::FromStr;

/// A process, by the order in which the program names them. The first ones are there from the start.
pub type Proc = usize;

/// A monitor, by the number that the program gives it.
pub type Mon = usize;

/// Why a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It has done its work.
    Normal,
    /// It was told to stop.
    Shutdown,
    /// What is sent in order to kill; an ordinary reason for who ends with it himself.
    Kill,
    /// It was killed.
    Killed,
    /// There was none.
    NoProcess,
    /// A reason of the program's own.
    Custom(u32),
    /// It panicked with this number.
    Panic(u32),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Normal => f.write_str("normal"),
            Reason::Shutdown => f.write_str("shutdown"),
            Reason::Kill => f.write_str("kill"),
            Reason::Killed => f.write_str("killed"),
            Reason::NoProcess => f.write_str("noproc"),
            Reason::Custom(n) => write!(f, "c{n}"),
            Reason::Panic(n) => write!(f, "p{n}"),
        }
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Reason, String> {
        let number =
            || text.get(1..).and_then(|n| n.parse().ok()).ok_or_else(|| format!("no reason: {text}"));
        match text {
            "normal" => Ok(Reason::Normal),
            "shutdown" => Ok(Reason::Shutdown),
            "kill" => Ok(Reason::Kill),
            "killed" => Ok(Reason::Killed),
            "noproc" => Ok(Reason::NoProcess),
            _ if text.starts_with('c') => number().map(Reason::Custom),
            _ if text.starts_with('p') => number().map(Reason::Panic),
            _ => Err(format!("no reason: {text}")),
        }
    }
}

/// How a new process is tied to the one that starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    /// Not at all.
    None,
    /// By a link.
    Link,
    /// By a monitor.
    Monitor(Mon),
}

/// What a receive takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Whatever comes first.
    Any,
    /// The message with this number.
    Message(u32),
    /// What is no message: somebody's exit, or what a monitor says.
    Signal,
    /// What this monitor says.
    Down(Mon),
}

/// Something that a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Starts a process.
    Spawn(Proc, Tie),
    /// Links itself.
    Link(Proc),
    /// Ends a link.
    Unlink(Proc),
    /// Monitors a process.
    Monitor(Mon, Proc),
    /// Ends a monitor.
    Demonitor(Mon),
    /// Ends a monitor, and takes what it has said out of the mailbox.
    Flush(Mon),
    /// Begins to trap exits, or no longer does; the answer is what was before.
    Trap(bool),
    /// Sends an exit signal.
    Exit(Proc, Reason),
    /// Ends.
    Leave(Reason),
    /// Panics.
    Raise(u32),
    /// Sends a message.
    Send(Proc, u32),
    /// Receives; if there is nothing that fits, it waits (`true`) or goes on at once.
    Receive(Pattern, bool),
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Any => f.write_str("any"),
            Pattern::Message(k) => write!(f, "{{message,{k}}}"),
            Pattern::Signal => f.write_str("signal"),
            Pattern::Down(m) => write!(f, "{{down,{m}}}"),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Spawn(p, Tie::None) => write!(f, "{{spawn,{p},none}}"),
            Op::Spawn(p, Tie::Link) => write!(f, "{{spawn,{p},link}}"),
            Op::Spawn(p, Tie::Monitor(m)) => write!(f, "{{spawn,{p},{{monitor,{m}}}}}"),
            Op::Link(p) => write!(f, "{{link,{p}}}"),
            Op::Unlink(p) => write!(f, "{{unlink,{p}}}"),
            Op::Monitor(m, p) => write!(f, "{{monitor,{m},{p}}}"),
            Op::Demonitor(m) => write!(f, "{{demonitor,{m}}}"),
            Op::Flush(m) => write!(f, "{{flush,{m}}}"),
            Op::Trap(on) => write!(f, "{{trap,{on}}}"),
            Op::Exit(p, reason) => write!(f, "{{exit,{p},{reason}}}"),
            Op::Leave(reason) => write!(f, "{{leave,{reason}}}"),
            Op::Raise(n) => write!(f, "{{raise,p{n}}}"),
            Op::Send(p, k) => write!(f, "{{send,{p},{k}}}"),
            Op::Receive(pattern, waits) => write!(f, "{{take,{pattern},{waits}}}"),
        }
    }
}

/// One process carries out operations, without a break; then everybody waits until the effects have settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Who does it. If it is dead, or waits in a receive, the step is skipped.
    pub actor: Proc,
    /// What it does.
    pub ops: Vec<Op>,
}

/// A random program.
///
/// Any list of steps is a program: a step whose actor cannot act, or that names a process or a monitor which
/// there has never been, is skipped by everybody who runs it. So steps may be left out of a program to make
/// it smaller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// What it was generated from.
    pub seed: u64,
    /// How many processes there are from the start.
    pub roots: usize,
    /// What happens.
    pub steps: Vec<Step>,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{program,{},{},[", self.seed, self.roots)?;
        for (i, step) in self.steps.iter().enumerate() {
            let ops: Vec<_> = step.ops.iter().map(Op::to_string).collect();
            write!(f, "{}\n  {{{},[{}]}}", if i == 0 { "" } else { "," }, step.actor, ops.join(","))?;
        }
        f.write_str("]}.")
    }
}
