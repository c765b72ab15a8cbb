//! HTTP keep-alive: the servers under comparison, what they share, and the load generator.
//!
//! Three processes take part: the harness, the run it started (which becomes the load generator), and the
//! server that the run starts. The server's CPU time is read by the server itself, over the same window as
//! the load generator counts in.

pub(crate) mod load;
mod respond;
pub(crate) mod server;
