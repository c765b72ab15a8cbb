//! A process that is all there but for its task: [`Prepared`], and [`Ready`] with its body.

use std::future::Future;
use std::sync::Arc;

use super::SpawnProcessError;
use crate::actor::process::Process;
use crate::actor::process::body::ProcessBody;
use crate::actor::process::cell::Cell;
use crate::actor::process::pid::{By, Epoch, MonitorRef, Signal};
use crate::actor::process::reference::ProcessRef;
use crate::kernel::backend::Backend;
use crate::kernel::task::{self, Body, ClosureBody, ExitReason, FutureBody, IntoExit};

/// The cell of a process that has not been started. If it is dropped, that is the end of the process: whoever
/// has found it by a name meanwhile is told, and the names are free again.
pub(super) struct Unstarted<M: Send + 'static>(pub(super) Option<Arc<Cell<M>>>);

impl<M: Send + 'static> Unstarted<M> {
    pub(super) fn get(&self) -> &Arc<Cell<M>> {
        match &self.0 {
            Some(cell) => cell,
            None => unreachable!("it is taken out by value"),
        }
    }

    /// Returns the cell, whose process is started now: if that fails, its body sees to the end.
    fn into_cell(mut self) -> Arc<Cell<M>> {
        match self.0.take() {
            Some(cell) => cell,
            None => unreachable!("it is taken out once"),
        }
    }
}

impl<M: Send + 'static> Drop for Unstarted<M> {
    fn drop(&mut self) {
        if let Some(cell) = self.0.take() {
            cell.end(ExitReason::NoProcess);
        }
    }
}

/// A process that has no body yet.
pub(super) struct Prepared<M: Send + 'static> {
    /// The backend that the process will run on.
    pub(super) backend: Arc<dyn Backend>,
    /// The settings of its task.
    pub(super) task: task::Builder,
    /// The cell of the process.
    pub(super) cell: Unstarted<M>,
}

impl<M: Send + 'static> Prepared<M> {
    /// Calls `body`, which may be any code, for the future.
    pub(super) fn with<F, T>(self, body: F) -> Ready<M, FutureBody<T>>
    where
        F: FnOnce(Process<M>) -> T,
        T: Future<Output: IntoExit + Send> + Send + 'static,
    {
        let body = body(Process::new(Arc::clone(self.cell.get())));
        Ready { body: FutureBody::new(body), prepared: self }
    }

    pub(super) fn with_code<F, T>(self, code: F) -> Ready<M, impl Body<Output = T> + Send + 'static>
    where
        F: FnOnce(Process<M>) -> T + Send + 'static,
        T: IntoExit + Send + 'static,
    {
        let me = Process::new(Arc::clone(self.cell.get()));
        Ready { body: ClosureBody::new(move || code(me)), prepared: self }
    }
}

/// A process that has a body and has not been started. To start it runs no code of the user's.
pub(super) struct Ready<M: Send + 'static, B> {
    /// The body. It is dropped before the rest, as that of a process which has run.
    body: B,
    /// The process without its body.
    prepared: Prepared<M>,
}

impl<M, B> Ready<M, B>
where
    M: Send + 'static,
    B: Body<Output: IntoExit + Send> + Send + 'static,
{
    pub(super) fn start(self) -> Result<ProcessRef<M>, SpawnProcessError> {
        let Ready { body, prepared: Prepared { backend, task, cell } } = self;
        let cell = cell.into_cell();
        let process = ProcessRef::new(Arc::clone(&cell));
        task::start(task, backend, ProcessBody::new(body, cell))?.detach();
        Ok(process)
    }

    /// Starts the process, linked to `parent`.
    pub(super) fn start_linked<P: Send + 'static>(
        self,
        parent: &Process<P>,
    ) -> Result<ProcessRef<M>, SpawnProcessError> {
        let cell = Arc::clone(self.prepared.cell.get());
        let (child, parent_pid) = (cell.pid(), parent.pid());
        cell.begin_start();
        let epoch = Epoch::next();
        cell.enter_parent(&parent_pid, epoch);
        let linked = parent.cell().enter_link(&child, epoch);
        match self.start() {
            Ok(process) => {
                cell.finish_start();
                if !linked {
                    // The parent ends just now, and will not tell it any more.
                    let reason = parent.cell().reason().unwrap_or(ExitReason::NoProcess);
                    child.deliver(Signal::Exit { from: parent_pid, reason, by: By::Link(epoch) });
                }
                Ok(process)
            }
            Err(error) => {
                parent.cell().leave_link(&child);
                Err(error)
            }
        }
    }

    /// Starts the process, monitored by `parent`.
    pub(super) fn start_monitored<P: Send + 'static>(
        self,
        parent: &Process<P>,
    ) -> Result<(ProcessRef<M>, MonitorRef), SpawnProcessError> {
        let cell = Arc::clone(self.prepared.cell.get());
        let monitor = MonitorRef::next();
        cell.begin_start();
        cell.enter_watcher(monitor, &parent.pid());
        parent.cell().enter_watched(monitor, &cell.pid(), None);
        match self.start() {
            Ok(process) => {
                cell.finish_start();
                Ok((process, monitor))
            }
            Err(error) => {
                drop(parent.cell().leave_watched(monitor));
                Err(error)
            }
        }
    }
}
