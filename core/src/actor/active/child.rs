//! An active value as the child of a supervisor: [`Active::supervised`].

use std::sync::{Arc, Mutex, OnceLock};

use super::{Active, Handle, serve};
use crate::actor::supervisor::{ChildSpec, Mailbox};

impl<T: Send + 'static> Active<T> {
    /// Returns a child for a supervisor, which is an active value, and the handle to it. `make` makes the
    /// value, anew for each start.
    ///
    /// A closure that panics ends the value: nobody knows what it has left behind. Its answer fails, the
    /// supervisor makes a new value, and the closures behind it run with that. The handle leads to whichever
    /// value there is. Before the supervisor has started the child, and when it will not start it again, it
    /// answers [`Failure::NoProcess`](crate::promise::Failure::NoProcess). The value lives as long as its
    /// supervisor wants it to, whether there are handles or not.
    ///
    /// Any number of closures may wait for their turn, unless the child's
    /// [settings](ChildSpec::settings) say otherwise.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{Active, supervisor::Supervisor};
    ///
    /// let (child, stock) = Active::supervised("stock", || vec!["nail", "screw"]);
    /// let supervisor = Supervisor::one_for_one().child(child).start().wait()?;
    /// assert_eq!(stock.ask(|stock| stock.pop()).wait()?, Some("screw"));
    /// assert!(stock.ask(|stock| stock[7]).wait().unwrap_err().is_panic());
    /// assert_eq!(stock.ask(|stock| stock.len()).wait()?, 2); // It is a new one.
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn supervised<F>(id: impl Into<Arc<str>>, make: F) -> (ChildSpec<impl Send + 'static>, Active<T>)
    where
        F: Fn() -> T + Send + Sync + 'static,
    {
        let child = ChildSpec::process(id, move |me| {
            let value = Arc::new(Mutex::new(Some(Box::new(make()))));
            serve(me, value, None, true)
        });
        let child = child.mailbox(Mailbox::Keep).settings(|builder| builder.trap_exit(true).unbounded());
        let handle =
            Handle { process: OnceLock::new(), unstarted: Mutex::new(None), child: Some(child.reference()) };
        (child, Active(Arc::new(handle)))
    }
}
