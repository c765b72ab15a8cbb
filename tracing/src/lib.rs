//! [`tracing`](https://docs.rs/tracing)'s spans for tasks and processes: users have it as `twoply::tracing`,
//! with the feature `tracing`.
//!
//! A runtime with these hooks has a span for each of its tasks, and one for each process, which is entered
//! whenever the task runs, on whatever thread: across its awaits, its `.wait()`s and the moves of its worker.
//! So each event of a task says whose it is, and so do the records of the crate `log`, where they are handed
//! to tracing. There are three ways to it:
//! - the setting `tracing` of the facade's `runtime::Builder`;
//! - [`spans`], for the hooks of another builder, or of the process;
//! - [`console`], whose spans and events are those that tokio-console reads: of tasks, and of what they wait
//!   for.
//!
//! | span, of target `twoply::task` and level `INFO` | fields |
//! |---|---|
//! | `task` | `id`, `name`, `kind` (`future` or `closure`), `at` (where it was spawned) |
//! | `process` | `id` (of its task), `name`, `pid`, `at` |
//!
//! # Who is whose parent
//! The span of a task is a root, and follows from the span in which the task was started: tasks outlive what
//! has started them, and a parent would be kept open by all that has ever come of it. A message is the same:
//! the span in which it is handled is a child of the receiver's, whose time it takes, and follows from that
//! of the sender ([`Traced`], and [`traced`] for active values).
//!
//! # Guards across waits
//! A guard of [`Span::enter`](::tracing::Span::enter) may be held across `.wait()`, on fibers too: what a
//! stack has entered is left while it waits, and entered again. It may not be held across `.await`, here as
//! anywhere; that is what `Instrument` is for. Code that is offloaded from a fiber runs on another thread, in
//! the span of its task, and in none that the task has entered. The default subscriber of a thread, which
//! `tracing::subscriber::set_default` sets, is not switched: the global one is meant for fibers.
//!
//! # Prices
//! Without these hooks there is none. With them and without a subscriber a spawn looks at tracing's level,
//! which adds one in eighty to its instructions, and a poll costs what it did. With a subscriber a task costs
//! what its span does, and each poll enters and leaves that: about as much as a poll that yields, with a
//! registry. The waits that [`console`] shows cost a second poll for each that ends with `Pending`, while
//! somebody listens.
//!
//! # Examples
//! ```
//! use twoply::{Runtime, Wait, task, time};
//!
//! let runtime = Runtime::builder().workers(1).tracing().build()?;
//! let server = task::Builder::new().name("server");
//! let task = server.spawn_on(runtime.spawner().backend(), async {
//!     time::sleep(std::time::Duration::from_millis(1)).await;
//!     // INFO task{id=1 name="server" kind="future" at=src/main.rs:5}: awake
//!     tracing::info!("awake");
//! })?;
//! task.wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod console;
mod message;
mod resource;
mod span;
mod switch;

pub use console::console;
pub use message::{Traced, traced};
pub use span::spans;
