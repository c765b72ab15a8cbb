//! [`Node::monitor_node`]: being told when a node is connected no more.

use std::sync::Arc;

use twoply_core::actor::remote::{self, Endpoint, Signal};
use twoply_core::actor::{ExitReason, MonitorRef, Pid, Process};

use super::queue::{Kind, Step};
use super::{Node, Shared};
use crate::connection::Connection;

impl Node {
    /// Has `process` monitor a node, as `erlang:monitor_node/2` does: it is connected, if it is not, and the
    /// end of the connection, or that there is none, is told by a [`Down`](twoply_core::actor::Down) that
    /// carries the name of the node, with [`NoConnection`](ExitReason::NoConnection). It comes behind
    /// everything else that the end of the connection brings about. `Process::demonitor` takes the monitor
    /// back.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{self, Event, ExitReason, Process};
    /// use twoply::node::Node;
    ///
    /// let till = Node::builder("till@localhost").cookie("secret").without_epmd().start().wait()?;
    /// let watcher = actor::spawn(async move |mut me: Process<()>| {
    ///     till.monitor_node(&me, "shop@localhost");
    ///     let Event::Down(down) = me.receive().await else { panic!("nobody else says anything") };
    ///     assert_eq!(down.name.as_deref(), Some("shop@localhost"));
    ///     assert_eq!(down.reason, ExitReason::NoConnection);
    /// })?;
    /// assert_eq!(watcher.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn monitor_node<M: Send + 'static>(&self, process: &Process<M>, name: &str) -> MonitorRef {
        let shared = self.shared();
        let watched = Watched { shared: Arc::clone(shared), name: name.into() };
        remote::monitor_name(process, &shared.stand_in(name, Arc::new(watched)), name)
    }
}

/// A node, as the endpoint of monitors.
struct Watched {
    shared: Arc<Shared>,
    name: Arc<str>,
}

impl Endpoint for Watched {
    fn deliver(&self, to: &Pid, signal: Signal) {
        let there = to.clone();
        let (kind, step): (Kind, Step) = match signal {
            Signal::Monitor { from, monitor } | Signal::Watch { from, monitor } => {
                let step = move |connection: Option<&Arc<Connection>>| {
                    if !connection.is_some_and(|connection| connection.watch(monitor, &from, &there)) {
                        let reason = ExitReason::NoConnection;
                        remote::deliver(&from, Signal::Down { from: there, monitor, reason });
                    }
                };
                (Kind::Signal, Box::new(step))
            }
            Signal::Demonitor { monitor } => {
                let step = move |connection: Option<&Arc<Connection>>| {
                    if let Some(connection) = connection {
                        connection.unwatch(monitor);
                    }
                };
                (Kind::Late, Box::new(step))
            }
            _ => return,
        };
        // Signals are never refused.
        let _ = self.shared.when_open(&self.name, kind, step);
    }
}
