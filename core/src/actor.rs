//! Processes: code with a mailbox and with signals, after Erlang's.

mod exit;

pub use exit::{ExitReason, Failed, IntoExit};
