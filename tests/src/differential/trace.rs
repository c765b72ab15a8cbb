//! What is seen of a run. Its text has a line for each thing seen: the step, the process, what was seen.

use std::fmt;
use std::str::{FromStr, SplitWhitespace};

use super::program::{Mon, Proc, Reason};

/// What a process receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message.
    Message(u32),
    /// An exit signal that it traps.
    Exit(Proc, Reason),
    /// A monitor says that a process is dead.
    Down(Mon, Proc, Reason),
}

/// What is seen of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It received this.
    Took(Event),
    /// There was nothing to receive.
    Empty,
    /// Whether it trapped exits before.
    Was(bool),
    /// It died.
    Died(Reason),
}

/// Something that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// In which step.
    pub step: usize,
    /// Of which process.
    pub process: Proc,
    /// What.
    pub what: What,
}

/// What is seen of a run, step by step. Within a step it says nothing of the order between processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace(pub Vec<Seen>);

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Took(Event::Message(k)) => write!(f, "message {k}"),
            What::Took(Event::Exit(p, reason)) => write!(f, "exit {p} {reason}"),
            What::Took(Event::Down(m, p, reason)) => write!(f, "down {m} {p} {reason}"),
            What::Empty => f.write_str("empty"),
            What::Was(trapping) => write!(f, "was {trapping}"),
            What::Died(reason) => write!(f, "died {reason}"),
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|seen| writeln!(f, "  {} {} {}", seen.step, seen.process, seen.what))
    }
}

/// The next word of a line, as what it should be.
fn word<T: FromStr>(words: &mut SplitWhitespace<'_>) -> Result<T, String> {
    words.next().and_then(|word| word.parse().ok()).ok_or_else(|| "a word is missing, or no such".to_owned())
}

impl FromStr for Seen {
    type Err = String;

    fn from_str(line: &str) -> Result<Seen, String> {
        let words = &mut line.split_whitespace();
        let (step, process) = (word(words)?, word(words)?);
        let what = match words.next() {
            Some("message") => What::Took(Event::Message(word(words)?)),
            Some("exit") => What::Took(Event::Exit(word(words)?, word(words)?)),
            Some("down") => What::Took(Event::Down(word(words)?, word(words)?, word(words)?)),
            Some("empty") => What::Empty,
            Some("was") => What::Was(word(words)?),
            Some("died") => What::Died(word(words)?),
            _ => return Err(format!("no such thing can be seen: {line}")),
        };
        Ok(Seen { step, process, what })
    }
}
