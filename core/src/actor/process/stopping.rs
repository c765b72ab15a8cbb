//! Waiting for a process that has been asked to stop: [`Stopping`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::exit_watch::Ended;
use super::pid::Pid;
use crate::kernel::sleep::{Sleep, sleep};
use crate::kernel::task::ExitReason;

/// The future of [`ProcessRef::stop_gracefully`](crate::actor::ProcessRef::stop_gracefully).
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Stopping {
    process: Pid,
    /// Ready when the process has ended.
    ended: Ended,
    /// Ready when the process is to be killed; `None` when that has been done, or is not to be.
    deadline: Option<Sleep>,
}

impl Stopping {
    pub(super) fn new(process: &Pid) -> Stopping {
        Stopping { process: process.clone(), ended: process.ended(), deadline: None }
    }

    /// Has the process killed if it has not ended within `duration`, counted from now. The future still waits
    /// for the end, which then comes at the next await point of the process, or by unwinding from its wait.
    /// Where the future is dropped before, nobody kills the process.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, actor::{self, ExitReason, Process}};
    ///
    /// let deaf = actor::spawn(async |_: Process<()>| std::future::pending::<()>().await)?;
    /// let reason = deaf.stop_gracefully(ExitReason::Normal).timeout(Duration::from_millis(1)).wait();
    /// assert_eq!(reason, ExitReason::Killed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn timeout(mut self, duration: Duration) -> Stopping {
        self.deadline = Some(sleep(duration));
        self
    }
}

impl Future for Stopping {
    type Output = ExitReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ExitReason> {
        let ended = Pin::new(&mut self.ended).poll(cx);
        // To kill a process that has ended changes nothing, so it does not matter whether the budget hides
        // its end.
        if ended.is_pending()
            && let Some(deadline) = &mut self.deadline
            && deadline.poll_elapsed(cx).is_ready()
        {
            self.deadline = None;
            self.process.exit(ExitReason::Kill);
        }
        ended
    }
}

impl fmt::Debug for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stopping").field(&self.process).finish()
    }
}
