//! Processes that are found by name: one behind a name ([`Registry`]), or many ([`Group`], [`Groups`]).
//!
//! Both know of processes what everybody knows: a reference, and a hook that runs at the end ([`AtExit`]). A
//! process that ends is forgotten **before** its links and monitors are told, so whoever is told of an end
//! may take the name at once. Neither keeps a process running, and neither runs code of the user's under its
//! lock.
//!
//! [`AtExit`]: super::process::pid::AtExit

mod group;
mod registry;
mod via;

pub use group::{Group, Groups, Membership};
pub use registry::{RegisterError, Registry, WrongTypeError};
pub use via::SendToNameError;
