//! Children for the laws about supervisors, and a log of what happens to them.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use twoply_core::Wait;
use twoply_core::actor::supervisor::{ChildSpec, Report};
use twoply_core::actor::{Event, ExitReason, Pid, Process};
use twoply_core::promise::Resolver;

/// How long [`Log::expect`] waits.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a supervisor reports, as lines of text. Clones are the same log.
#[derive(Clone, Default, Debug)]
pub struct Log(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Log {
    /// An empty log.
    pub fn new() -> Log {
        Log::default()
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line.
    pub fn note(&self, line: impl Into<String>) {
        self.lines().push(line.into());
        self.0.1.notify_all();
    }

    /// What enters a supervisor's reports here.
    pub fn observer(&self) -> impl Fn(&Report) + Send + Sync + 'static {
        let log = self.clone();
        move |report| {
            log.note(match report {
                Report::Started { id, .. } | Report::Restarted { id, .. } => format!("started {id}"),
                Report::Ended { id, reason, .. } => format!("ended {id}: {reason}"),
                Report::Stopped { id, reason, .. } => format!("stopped {id}: {reason}"),
                Report::NotStarted(error) => format!("not {error}").replace("the child ", "started: "),
                Report::TooManyRestarts { id } => format!("too many: {id}"),
                other => format!("{other}"),
            });
        }
    }

    /// Waits until there are as many lines as expected, and takes them out.
    ///
    /// # Panics
    /// When they are others than expected, or do not come.
    #[track_caller]
    pub fn expect(&self, expected: &[&str]) {
        let start = Instant::now();
        let mut lines = self.lines();
        while lines.len() < expected.len() {
            let left = PATIENCE.saturating_sub(start.elapsed());
            assert!(!left.is_zero(), "expected {expected:#?}, but there is only {lines:#?}");
            lines = self.0.1.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let rest = lines.split_off(expected.len());
        let found = std::mem::replace(&mut *lines, rest);
        drop(lines);
        assert_eq!(found, expected);
    }

    /// Checks that there is nothing that was not expected.
    ///
    /// # Panics
    /// When there is.
    #[track_caller]
    pub fn expect_nothing_more(&self) {
        assert_eq!(*self.lines(), [""; 0]);
    }
}

/// What a [`child`] is told.
#[derive(Debug)]
pub enum Do {
    /// End for this reason.
    End(ExitReason),
    /// Panic.
    Panic,
    /// Say who you are.
    Who(Resolver<Pid>),
    /// Keep this number in mind, for as long as you live.
    Keep(u32),
    /// Say what you keep in mind.
    Kept(Resolver<Vec<u32>>),
}

/// Does what the event says. Breaks with a reason to end.
fn obey(me: &Process<Do>, kept: &mut Vec<u32>, event: Event<Do>) -> ControlFlow<ExitReason> {
    match event {
        Event::Message(Do::End(reason)) => return ControlFlow::Break(reason),
        Event::Message(Do::Panic) => panic!("expected"),
        Event::Message(Do::Who(answer)) => drop(answer.resolve(me.pid())),
        Event::Message(Do::Keep(number)) => kept.push(number),
        Event::Message(Do::Kept(answer)) => drop(answer.resolve(kept.clone())),
        // Trapped, to be ignored.
        _ => {}
    }
    ControlFlow::Continue(())
}

/// The body of an asynchronous child, which does what it is told.
pub async fn body(mut me: Process<Do>) -> ExitReason {
    let mut kept = Vec::new();
    loop {
        let event = me.receive().await;
        if let ControlFlow::Break(reason) = obey(&me, &mut kept, event) {
            return reason;
        }
    }
}

/// The same as straight-line code.
pub fn straight_body(mut me: Process<Do>) -> ExitReason {
    let mut kept = Vec::new();
    loop {
        let event = me.receive().wait();
        if let ControlFlow::Break(reason) = obey(&me, &mut kept, event) {
            return reason;
        }
    }
}

/// A child that does what it is told.
pub fn child(id: &str) -> ChildSpec<Do> {
    ChildSpec::process(id, body)
}

/// The same as straight-line code.
pub fn straight_child(id: &str) -> ChildSpec<Do> {
    ChildSpec::process_fn(id, straight_body)
}

/// A child that does not end when it is asked to.
pub fn stubborn_child(id: &str) -> ChildSpec<Do> {
    child(id).settings(|builder| builder.trap_exit(true))
}

/// A child whose starts from the `first` to before the `last`, counted from 0, fail.
pub fn failing_child(id: &str, first: usize, last: usize) -> ChildSpec<Do> {
    let starts = AtomicUsize::new(0);
    ChildSpec::start_with(id, move |start| {
        let number = starts.fetch_add(1, Ordering::Relaxed);
        if (first..last).contains(&number) {
            return Err(format!("attempt {number}").into());
        }
        Ok(start.spawn(body)?)
    })
}
