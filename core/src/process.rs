//! Child processes: [`Command`] starts one, [`Child`] is what is held of it.
//!
//! It is std's `process` with waits that are futures: the end of a child and the bytes of its pipes are
//! waited for by `.await` or `.wait()`, on any stack, and no thread is kept for it.
//!
//! # No zombies
//! A child that has ended stays in the system's table until its parent has asked for its status. Here that
//! happens in any case: when the [`Child`] is dropped before the end (with the task that waited for it, or
//! its runtime), the process is left to the I/O server, which takes its status when it comes. Dropping a
//! `Child` does not end the process, unless [`kill_on_drop`](Command::kill_on_drop) has been set.
//!
//! A program that ignores `SIGCHLD`, or takes the status of all children by itself, takes it from here, too:
//! then a wait fails with the system's `ECHILD`.
//!
//! # How an end is waited for
//! Linux has a descriptor for a process (`pidfd_open`), which becomes readable at its end; it is watched as
//! any other. Where the system refuses one (an old kernel, a sandbox, no descriptor left), `SIGCHLD` is
//! listened to instead.

mod child;
mod command;
mod exit;
mod output;
mod sys;

pub use std::process::{ExitStatus, Output, Stdio};

pub use child::{Child, ChildStderr, ChildStdin, ChildStdout};
pub use command::Command;
pub use output::OutputError;
