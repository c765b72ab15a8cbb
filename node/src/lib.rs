//! Twoply programs as nodes of an Erlang cluster.
//!
//! A [`Node`] is a hidden node: it finds others by the port mapper or by addresses that it is told, connects
//! to them and is connected to. Processes that it [registers](Node::register) take messages of others; those
//! of others are a [`ProcessRef`](twoply_core::actor::ProcessRef) and a [`Pid`](twoply_core::actor::Pid) like
//! all, with links, monitors and exit signals. [`wire`] is the distribution protocol as bytes.
//!
//! Neither MD5 nor a cookie is any security: whoever can read the traffic between nodes can take part in it.
//! So a node listens on the loopback interface unless it is told otherwise, and beyond that it should have
//! TLS: `Builder::tls`, with the feature `tls` (`node-tls` of the package `twoply`).
//!
//! Nodes are connected by [`Node::connect`], or by the first that is done to a [`Node::remote`].
//!
//! [`Node::call`] calls functions of others, and [`Node::functions`] are those that others may call. With the
//! feature `observer` (`node-observer` of the package `twoply`) `Functions::add_observer` has Erlang's
//! `observer` and `etop` show processes of a node.
//!
//! A node is in the world of the task that starts it: where a simulator stands in for the system
//! ([`world`](twoply_core::world)), nodes meet over its network, by its clock and its chances. So a cluster
//! can be tried with lines that are slow, silent or cut, an hour of it in a moment, and the same each time,
//! but for what TLS draws.
//!
//! [`Node::pg`] is a scope of Erlang's `pg`. There are no visible nodes. It is run against OTP 25 and Elixir
//! 1.14; what is said of other versions is read from their documentation.

#![forbid(unsafe_code)]

mod connection;
mod contain;
mod functions;
mod local;
mod log;
mod meet;
mod node;
#[cfg(feature = "observer")]
mod observer;
mod outbox;
mod outgoing;
mod pg;
#[doc(hidden)]
pub mod question;
mod reason;
mod rpc;
mod stream;
mod system;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
mod waiting;
pub mod wire;

pub use functions::Functions;
pub use local::RegisterError;
pub use meet::ConnectError;
pub use node::{Answer, Builder, CallError, Event, Node, Remote, StartError};
pub use pg::{Pg, PgError};
pub use rpc::{RpcError, RpcResult};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};
