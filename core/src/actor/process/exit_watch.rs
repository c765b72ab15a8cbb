//! The wait for the end of a process, from anywhere: [`Ended`], a monitor for those who are no process. It is
//! kinder than Erlang's: whoever comes late is told the reason, too, which a process keeps as long as anybody
//! knows it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use super::pid::{Endpoint, HERE, Identity, Signal};
use super::{MonitorRef, Pid, ProcessRef};
use crate::base::sync::lock_std;
use crate::base::wake::{StoredWaker, wake_all};
use crate::kernel::coop;
use crate::kernel::task::ExitReason;
use crate::kernel::waiting::{self, WaitingFor};

impl Pid {
    /// Waits for the end of the process, by `.await` or `.wait()`, and says why it ended. The watch begins
    /// with the call; of a process that had ended before, it says the same at once. [`Pid::nobody`] has never
    /// been there: its end is [`NoProcess`](ExitReason::NoProcess).
    ///
    /// When it is ready, the names and groups of the process are free, and its body has been dropped.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, ExitReason, Pid, Process}};
    ///
    /// let pid = actor::spawn(async |_: Process<()>| ())?.pid();
    /// assert_eq!(pid.ended().wait(), ExitReason::Normal);
    /// assert_eq!(Pid::nobody().ended().wait(), ExitReason::NoProcess);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ended(&self) -> Ended {
        Ended::new(self.clone())
    }
}

impl<M: Send + 'static> ProcessRef<M> {
    /// Waits for the end of the process; see [`Pid::ended`].
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Builder, ExitReason, Process};
    ///
    /// let process = Builder::new().spawn(async |mut me: Process<()>| drop(me.receive().await))?;
    /// let ended = process.ended();
    /// process.try_send(())?;
    /// assert_eq!(ended.wait(), ExitReason::Normal);
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ended(&self) -> Ended {
        Ended::new(self.pid())
    }
}

/// The future of a process's end; see [`Pid::ended`]. Cancel-safe: dropping it ends the watch.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Ended {
    /// The process that is watched.
    process: Pid,
    /// The reference of the monitor.
    monitor: MonitorRef,
    /// The endpoint at which the news of the end arrive.
    word: Arc<Word>,
}

/// The endpoint of a watch, where that of a process would be.
#[derive(Default)]
struct Word(Mutex<State>);

/// The state of a watch.
#[derive(Default)]
struct State {
    /// The reason for which the process has ended.
    reason: Option<ExitReason>,
    /// The waker of whoever waits for that.
    waker: Option<StoredWaker>,
}

impl Ended {
    fn new(process: Pid) -> Ended {
        let (word, monitor) = (Arc::<Word>::default(), MonitorRef::next());
        let identity = Identity { node: HERE, serial: super::serial::next() };
        let from = Pid::new(identity, Arc::clone(&word) as Arc<dyn Endpoint>);
        process.deliver(Signal::Watch { from, monitor });
        Ended { process, monitor, word }
    }
}

impl Future for Ended {
    type Output = ExitReason;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ExitReason> {
        let unit = ready!(coop::proceed(cx));
        // Cloned before the lock is taken, and what is not needed is dropped after: both run code of the
        // waker's.
        let waker = StoredWaker::of(cx.waker());
        let mut state = lock_std(&self.word.0);
        if let Some(reason) = state.reason.clone() {
            drop(state);
            unit.spend();
            return Poll::Ready(reason);
        }
        let before = state.waker.replace(waker);
        drop(state);
        drop(before);
        waiting::note(Poll::Pending, || WaitingFor::ProcessEnd { process: self.process.serial() })
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if lock_std(&self.word.0).reason.is_none() {
            self.process.deliver(Signal::Demonitor { monitor: self.monitor });
        }
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ended").field(&self.process).finish()
    }
}

impl Endpoint for Word {
    fn deliver(&self, _: &Pid, signal: Signal) {
        if let Signal::Down { reason, .. } = signal {
            let mut state = lock_std(&self.0);
            state.reason = Some(reason);
            let waker = state.waker.take();
            drop(state);
            wake_all(waker);
        }
    }
}
