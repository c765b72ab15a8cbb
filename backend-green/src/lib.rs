//! The green backend of twoply: many tasks on a few workers over a poller.
//!
//! A task is an `async-task` in a worker's queue. What is not running costs only its memory. A task may also
//! block in straight-line code: then its worker moves on, leaving the stack behind, on a thread of its own or
//! as a suspended fiber ([`Builder::fibers`]).
//!
//! The files stand on floors; each imports from those above it in this table only:
//!
//! | file | duty |
//! |---|---|
//! | `counts`, `sync`, `lock` | counters of a worker; what the rest is built from |
//! | `queue`, `sleepers` | the run queue that others steal from; which workers sleep, and who is woken |
//! | `fiber` | stacks, and the switch between them |
//! | `revocable`, `asymmetric_fence` | a cell that one thread uses and another may empty; the fence that makes it cheap |
//! | `timing` | histograms of polls and of wake-ups |
//! | `core` | the part of a worker that is its alone |
//! | `handoff`, `request` | how a worker gets to another thread: from one that may block, or to one that waits for it |
//! | `watchdog_state` | what the watchdog and the workers share |
//! | `scheduler` | what the workers share, and who is woken for what |
//! | `launch`, `metrics` | threads for workers; counters for users |
//! | `worker` | what a worker runs next, and how it goes to sleep |
//! | `strand` | how a stack waits: by handing the worker over, or suspended |
//! | `runner`, `carrier` | polling tasks on fibers; the life of a thread that carries a worker |
//! | `backend`, `watchdog` | what the core sees; the thread that helps where a task holds its worker up |
//! | `runtime`, `local` | what users see: the runtime and its settings; one on the thread that waits for it |
//! | `host` | the worker inside a foreign event loop |

mod asymmetric_fence;
mod backend;
mod carrier;
mod core;
mod counts;
mod fiber;
mod handoff;
mod host;
mod launch;
mod local;
mod lock;
mod metrics;
mod queue;
mod reports;
mod request;
mod revocable;
mod runner;
mod runtime;
mod scheduler;
mod sleepers;
mod strand;
mod sync;
mod timing;
mod watchdog;
mod watchdog_state;
mod worker;

pub use fiber::usage::StackUse;
pub use host::{Host, IntoHostError};
pub use local::LocalRuntime;
pub use metrics::{Metrics, WorkerMetrics};
pub use runtime::{Builder, FiberPromise, Green};
pub use timing::Times;
pub use twoply_core::hooks::Histogram;
pub use watchdog_state::LongPoll;
