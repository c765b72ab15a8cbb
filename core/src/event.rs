//! The second floor: readiness, deadlines, and the parker through which a stopped stack is told to go on. It
//! knows no task: it runs wakers and handlers, and nothing else.

pub(crate) mod files;
pub mod parker;
pub mod reactor;
pub mod timers;
