//! Every call to the outside that sockets make, in one place: to the operating system, or to a simulated
//! socket.
//!
//! The rest of `net` goes through these functions, one for each system call, in a file for each family of
//! them: `open` makes and connects sockets, `bytes` moves what is in streams, `datagrams` moves messages,
//! `rights` passes descriptors, `splice` moves bytes between sockets, `options` sets and reads options,
//! `names` has addresses and errors. Each function takes an [`IoHandle`](crate::event::reactor::IoHandle) and
//! looks at it once: a descriptor means the system call, a simulated socket the method of the same name.
//! Calls carry their flags with them, so that neither the mode of the descriptor nor `SIGPIPE` matters.
//! Nothing here waits, unless its name says `blocking` or it is told to; and nothing here knows readiness,
//! waiters or tasks.

mod bytes;
mod datagrams;
mod names;
mod open;
mod options;
mod rights;
mod splice;

pub(super) use bytes::*;
pub(super) use datagrams::*;
pub use names::is_out_of_resources;
pub(super) use names::*;
pub(super) use open::*;
pub(super) use options::*;
pub(super) use rights::*;
pub(super) use splice::*;
