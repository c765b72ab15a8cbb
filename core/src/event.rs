//! The second floor: readiness, deadlines, and the word through which a stack is told to go on. It knows no task.

pub mod parker;
pub mod reactor;
pub mod timers;
