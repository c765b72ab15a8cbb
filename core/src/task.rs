//! Tasks: jobs that run on a backend, and the handles to them.
//!
//! A [`Builder`] or a [`Spawner`] starts one, and a [`Task`] is the handle to it. [`scope`] starts tasks that
//! borrow, a [`TaskGroup`] any number of tasks whose results come out in the order in which they are ready.
//! Work that a [`shield`] has begun is finished, whatever becomes of the task. A [`LocalKey`] names a value
//! that each task may have one of.

mod group;
mod shield;

pub use crate::kernel::task::{
    AccessError, AskingWaits, Builder, Dump, Dumping, Job, LocalKey, LocalScope, MakeDefault, Panic, Scope,
    ScopedTask, SpawnError, Spawner, Task, TaskDump, TaskId, TaskKind, TaskKinds, TaskList, TaskRef,
    TaskState, WaitEmpty, current, current_backend, dump, inherit, inherit_fn, is_cancellation, is_cancelled,
    keep_backtraces, register_default, scope, set_default, spawn, spawn_fn, spawn_pinned,
};
pub use crate::kernel::waiting::{Observation, WaitingFor, observe};
pub use group::TaskGroup;
pub use shield::{Shield, shield};
