//! A table of the processes of a backend, or of several: what Erlang's `observer` shows, as data and as text.
//!
//! There is no list of processes, since a start would have to pay for it. The tasks of a backend are listed
//! as soon as they wait, and tell whoever looks what they wait for ([`dump`]); the task of a process also
//! tells whose body it is.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::cell::Cell;
use super::pid::Pid;
use super::signal::{ProcessInfo, ProcessState};
use crate::kernel::task::{Dumping, Spawner, TaskDump, TaskKind, TaskState, dump};
use crate::kernel::waiting::Subject;

impl<M: Send + 'static> Subject for Cell<M> {
    fn identify(self: Arc<Self>) -> Box<dyn std::any::Any + Send> {
        Box::new(self.pid())
    }
}

/// The processes of one backend or several at about one moment; made by [`process_table`].
///
/// Its text form is a table with a line for each process, in the order in which they were started.
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{self, Builder, Process}};
///
/// let clerk = Builder::new().name("clerk").spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
/// let table = actor::process_table([twoply::spawner()]).wait();
/// for process in table.processes() {
///     println!("{} has {} messages", process.info.pid, process.info.messages);
/// }
/// # clerk.try_send(1)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ProcessTable {
    processes: Vec<ProcessEntry>,
    unknown: Vec<TaskDump>,
    unlisted: usize,
}

/// A process of a [`ProcessTable`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProcessEntry {
    /// The facts of the process: its name, its mailbox, its relations.
    pub info: ProcessInfo,
    /// The facts of its task: its backend, what it waits for, and since when, as far as that is known.
    pub task: TaskDump,
}

impl ProcessTable {
    /// Returns the processes, in the order in which they were started.
    pub fn processes(&self) -> &[ProcessEntry] {
        &self.processes
    }

    /// Returns the process with this pid, if it is in the table.
    pub fn process(&self, pid: &Pid) -> Option<&ProcessEntry> {
        self.processes.iter().find(|process| process.info.pid == *pid)
    }

    /// Returns the tasks of processes that have not told whose they are: they run, or are queued. One whose
    /// asynchronous body blocks its stack with `.wait()` tells only if it was
    /// [observed](crate::task::observe) when it began to.
    pub fn unknown(&self) -> &[TaskDump] {
        &self.unknown
    }

    /// Returns the number of tasks, processes or not, that have neither a name nor waited yet.
    pub fn unlisted(&self) -> usize {
        self.unlisted
    }
}

/// The heads of the columns.
const COLUMNS: [&str; 8] = ["pid", "name", "state", "mailbox", "received", "links", "parent", "waits for"];

impl fmt::Display for ProcessTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (known, unknown) = (self.processes.len(), self.unknown.len());
        write!(f, "{known} processes, {unknown} unknown, {} tasks not listed", self.unlisted)?;
        let rows: Vec<_> = self.processes.iter().map(ProcessEntry::cells).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([COLUMNS[column].len()]).max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..COLUMNS.len()).map(width).collect();
        for row in std::iter::once(COLUMNS.map(str::to_owned)).chain(rows) {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            write!(f, "\n{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        self.unknown.iter().try_for_each(|task| write!(f, "\n{task}"))
    }
}

impl ProcessEntry {
    /// Returns the cells of its line.
    fn cells(&self) -> [String; COLUMNS.len()] {
        let ProcessEntry { info, task } = self;
        let state = match (info.state, task.state) {
            (ProcessState::Starting, _) => "starting",
            (ProcessState::Receiving, _) => "receiving",
            (ProcessState::Running, TaskState::Waiting) => "waiting",
            (ProcessState::Running, TaskState::Queued) => "queued",
            (ProcessState::Running, TaskState::Running) => "running",
            (ProcessState::Ending, _) => "ending",
            (ProcessState::Ended, _) => "ended",
        };
        let mailbox = match info.capacity {
            Some(capacity) => format!("{}/{capacity}", info.messages),
            None => info.messages.to_string(),
        };
        let mut waits: Vec<_> = match info.state {
            ProcessState::Receiving => Vec::new(),
            _ => task.waits.iter().map(ToString::to_string).collect(),
        };
        if task.has_more_waits {
            waits.push("more".to_owned());
        }
        [
            info.pid.to_string(),
            info.name.clone().unwrap_or_default(),
            state.to_owned(),
            mailbox,
            info.received.to_string(),
            info.links.len().to_string(),
            info.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
            waits.join(", "),
        ]
    }
}

/// Returns a future of all processes that run on the backends of `spawners`, with their facts. Finish it with
/// `.await` or `.wait()`.
///
/// Each task that waits is woken and polled once, as for a [`dump`], which also says how long it takes: up to
/// a tenth of a second, or as long as [`Tabling::limit`] says, if there are tasks that do not tell because
/// they run. The processes notice nothing of it.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, actor::{self, Builder, Process}};
///
/// let clerk = Builder::new().name("clerk").capacity(8);
/// let clerk = clerk.spawn(async |mut me: Process<u32>| while me.receive().await.message() != Some(0) {})?;
/// clerk.try_send(7)?;
/// let table = actor::process_table([twoply::spawner()]).limit(Duration::from_secs(10)).wait();
/// assert_eq!(table.process(&clerk.pid()).unwrap().info.name.as_deref(), Some("clerk"));
/// // 1 processes, 0 unknown, 0 tasks not listed
/// // pid     name   state      mailbox  received  links  parent  waits for
/// // <0.1>   clerk  receiving  0/8      1         0
/// println!("{table}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn process_table(spawners: impl IntoIterator<Item = Spawner>) -> Tabling {
    Tabling(dump(spawners))
}

impl Spawner {
    /// Returns a future of all processes that run on the backend; see
    /// [`process_table`](crate::actor::process_table).
    pub fn process_table(&self) -> Tabling {
        process_table([self.clone()])
    }
}

/// The future of [`process_table`]. Cancel-safe: one that is dropped leaves nothing behind.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
pub struct Tabling(Dumping);

impl Tabling {
    /// Sets how long to wait for tasks that do not tell, counted from the first poll.
    pub fn limit(self, limit: Duration) -> Tabling {
        Tabling(self.0.limit(limit))
    }
}

impl Future for Tabling {
    type Output = ProcessTable;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ProcessTable> {
        let dump = ready!(Pin::new(&mut self.0).poll(cx));
        let mut table =
            ProcessTable { processes: Vec::new(), unknown: Vec::new(), unlisted: dump.unlisted() };
        for task in dump.into_tasks().into_iter().filter(|task| task.kind == TaskKind::Process) {
            let pid = task.subject.as_ref().and_then(|subject| subject.identify::<Pid>());
            match pid.and_then(|pid| pid.info()) {
                Some(info) => table.processes.push(ProcessEntry { info, task }),
                None => table.unknown.push(task),
            }
        }
        table.processes.sort_by(|one, other| one.info.pid.cmp(&other.info.pid));
        Poll::Ready(table)
    }
}
