//! [`ActiveBuilder`]: the settings of an active value.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::{Arc, Mutex, OnceLock};

use super::{Action, Active, Handle, Unstarted};
use crate::actor::{Builder, ExitReason, Overflow, Process, ProcessRef, SpawnProcessError};
use crate::kernel::backend::Backend;
use crate::kernel::task::{current_backend, inherit_name};
use crate::promise::Failure;

/// Settings of an active value that is to be made; see [`Active::builder`].
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::Active, promise::Failure};
///
/// let brittle = Active::builder().name("brittle").end_on_panic(true).build(());
/// assert!(brittle.ask(|()| panic!("expected")).wait().unwrap_err().is_panic());
/// assert!(matches!(brittle.ask(|()| ()).wait(), Err(Failure::NoProcess(_))));
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct ActiveBuilder {
    name: Option<Box<str>>,
    /// True if it inherits the name of the task that builds it.
    inherits_name: bool,
    /// `None` means the backend of whoever sends the first closure.
    backend: Option<Arc<dyn Backend>>,
    /// The most closures that may wait their turn; `None` means any number.
    capacity: Option<usize>,
    /// The size of the stack in bytes.
    stack_size: Option<usize>,
    pub(super) end_on_panic: bool,
    /// The place in the program where the builder was made.
    made_at: &'static Location<'static>,
}

impl Default for ActiveBuilder {
    #[track_caller]
    fn default() -> ActiveBuilder {
        let made_at = Location::caller();
        ActiveBuilder {
            name: None,
            inherits_name: false,
            backend: None,
            capacity: None,
            stack_size: None,
            end_on_panic: false,
            made_at,
        }
    }
}

impl ActiveBuilder {
    /// Names the actor, for messages such as those of a deadlock.
    pub fn name(mut self, name: impl Into<Box<str>>) -> ActiveBuilder {
        self.name = Some(name.into());
        self
    }

    /// Names the actor after the task that [builds](ActiveBuilder::build) it, if that has a name; see
    /// [`task::Builder::inherit_name`](crate::task::Builder::inherit_name).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::Active, task};
    ///
    /// let shop = task::Builder::new().name("shop").spawn(async {
    ///     let stock = Active::builder().name("stock").inherit_name().build(7);
    ///     stock.ask(|_| task::current().unwrap().name().map(str::to_owned)).await
    /// })?;
    /// assert_eq!(shop.wait()??.as_deref(), Some("shop/stock"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn inherit_name(mut self) -> ActiveBuilder {
        self.inherits_name = true;
        self
    }

    /// Runs the actor on `backend`.
    pub fn on(mut self, backend: &Arc<dyn Backend>) -> ActiveBuilder {
        self.backend = Some(Arc::clone(backend));
        self
    }

    /// Lets at most so many closures wait their turn, at least one; one more is refused as
    /// [`Overloaded`](Failure::Overloaded). Unless this is called, any number may wait.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::Active, channel, promise::Failure};
    ///
    /// let (open, gate) = channel::bounded::<()>(1);
    /// let (begun, begin) = channel::bounded(1);
    /// let busy = Active::builder().capacity(1).build(0);
    /// busy.try_send(move |_| { begun.try_send(()).unwrap(); _ = gate.recv().wait() })?;
    /// begin.recv().wait().unwrap();
    /// busy.try_send(|n| *n += 1)?;
    /// assert!(matches!(busy.try_send(|n| *n += 1), Err(Failure::Overloaded)));
    /// drop(open);
    /// # Ok::<(), Failure>(())
    /// ```
    pub fn capacity(mut self, closures: usize) -> ActiveBuilder {
        self.capacity = Some(closures);
        self
    }

    /// Asks for a stack of at least `bytes` bytes; see
    /// [`task::Builder::stack_size`](crate::task::Builder::stack_size).
    pub fn stack_size(mut self, bytes: usize) -> ActiveBuilder {
        self.stack_size = Some(bytes);
        self
    }

    /// Says whether a closure that panics ends the actor, with the panic as its exit reason; what comes after
    /// is refused then. Unless this is called, the actor goes on with the value as the panic has left it.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::Active};
    ///
    /// let account = Active::builder().end_on_panic(true).build(100);
    /// assert!(account.ask(|_| panic!("expected: out of order")).wait().is_err());
    /// assert!(account.ask(|balance| *balance).wait().is_err(), "it has ended");
    /// ```
    pub fn end_on_panic(mut self, end: bool) -> ActiveBuilder {
        self.end_on_panic = end;
        self
    }

    /// Makes `value` an actor with these settings. Nothing is started before the first closure is sent.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::Active};
    ///
    /// let counter = Active::builder().name("counter").build(0);
    /// counter.try_send(|n| *n += 1)?;
    /// assert_eq!(counter.ask(|n| *n).wait()?, 1);
    /// # Ok::<(), twoply::Failure>(())
    /// ```
    pub fn build<T: Send + 'static>(mut self, value: T) -> Active<T> {
        self.backend = self.backend.or_else(|| current_backend().ok());
        if self.inherits_name {
            self.name = inherit_name(self.name);
        }
        let unstarted = Unstarted { value: Box::new(value), settings: self };
        Active(Arc::new(Handle {
            process: OnceLock::new(),
            unstarted: Mutex::new(Some(unstarted)),
            child: None,
        }))
    }

    /// Starts the process, with these settings.
    pub(super) fn start<T, F>(
        self,
        body: impl FnOnce(Process<Action<T>>) -> F,
    ) -> Result<ProcessRef<Action<T>>, Failure>
    where
        T: Send + 'static,
        F: Future<Output = ExitReason> + Send + 'static,
    {
        let mut builder = Builder::new().trap_exit(true).at(self.made_at);
        builder = match self.capacity {
            Some(closures) => builder.capacity(closures).overflow(Overflow::Fail),
            None => builder.unbounded(),
        };
        if let Some(name) = self.name {
            builder = builder.name(name);
        }
        if let Some(backend) = &self.backend {
            builder = builder.on(backend);
        }
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        builder.spawn(body).map_err(|error| match error {
            SpawnProcessError::Spawn(error) => error.into(),
            // This cannot be: an active value asks for no name in a registry.
            SpawnProcessError::Name(_) => Failure::Broken,
        })
    }
}

impl fmt::Debug for ActiveBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActiveBuilder")
            .field("name", &self.name)
            .field("capacity", &self.capacity)
            .field("end_on_panic", &self.end_on_panic)
            .finish_non_exhaustive()
    }
}
