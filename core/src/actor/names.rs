//! Processes that are found by name: one behind a name ([`Registry`]), or many ([`Group`], [`Groups`], and
//! [`Directory`] with a value for each); and sending to a name, wherever it is looked up ([`Names`],
//! [`Via`]).
//!
//! All know of processes what everybody knows: a reference, and a hook that runs at the end ([`AtExit`],
//! `holders`). A process that ends is forgotten **before** its links and monitors are told, so whoever is
//! told of an end may take the name at once. None keeps a process running, and none runs code of the user's
//! under its lock. Those who watch one hear of its changes after that (`news`).
//!
//! [`AtExit`]: super::process::pid::AtExit

mod directory;
mod group;
mod holders;
mod news;
mod registry;
mod via;

pub use directory::{Directory, DirectoryChange, DirectoryEntry};
pub use group::{Group, Groups, Membership};
pub use registry::{NameChange, RegisterError, Registry, WrongTypeError};
pub use via::{Names, SendToNameError, Via};
