//! Files and directories.
//!
//! It is std's `fs` with operations that are futures, finished by `.await` or `.wait()`, and a worker never
//! waits for a device. What an operation does depends on the stack:
//!
//! | the stack | what happens |
//! |---|---|
//! | has its thread to itself: a native task, `main` | the plain system call |
//! | shares its thread: a green task; polled beside other things, or by a foreign executor | what is in memory is read on the spot (`RWF_NOWAIT`); all else is done elsewhere |
//!
//! Things are beside each other in a combinator of this library: a time limit, a select, a join, a stream
//! that merges, and also in [`unwatched`](crate::promise::unwatched). Those of another library are seen by
//! their wakers, where they poll each part with one of its own. One that passes on the waker that it was
//! polled with itself, as `futures::join!` and `tokio::select!` do, is not seen: where the stack has a thread
//! to itself, the call holds up what stands beside it there.
//!
//! Elsewhere is, for reads of an open file on a green worker, and for writes to what has no positions, the
//! system itself: an io_uring of the worker, where the system has one and grants it. All other operations,
//! and all stacks without a worker, use a thread of the [pool](crate::threads::PoolLimits). [`Engine`] is the
//! setting, and the metrics of a green runtime tell which it is.
//!
//! # Operations that are given up
//! An operation that has been handed over goes on to its end when its future is dropped. It owns its buffer,
//! and the file stays open for it.
//!
//! - The cursor moves when a result is handed out. So a read that is dropped has taken nothing; and a write
//!   that is dropped can be done again: the file has its bytes once, in the same place, where it was not
//!   opened for appending. Whether they have been written if it is not done again is not known. (Where
//!   something else is done with the cursor before the drop, a write that is over counts.)
//! - A poll function of futures-io does not see that it is given up. What it has begun is for the next call
//!   of it, for a write one with the same bytes, unless the cursor does something else before, or this
//!   [`File`] or a clone changes what it holds. An append stays, whatever changes.
//! - Whatever the cursor does next, and a [sync](File::sync_all), comes after an operation of the cursor.
//! - A file without positions (a pipe, a terminal) has no place to read from again. What a dropped read has
//!   taken is kept for the next one. Without an io_uring such a file takes a thread of the pool for as long
//!   as a read waits; what can be watched is better read as a [`Pollable`](crate::io::Pollable).
//! - Every function of this module on a path is one step for the caller, and goes on to its end: after a time
//!   limit that is over, a [`write`](write()) may still be under way on its thread, and what a
//!   [`create_new`](File::create_new), a [`rename`] or a [`remove_file`] was to do may have been done.
//!
//! A runtime that ends waits for what its pool does, until its deadline, and for what its workers have handed
//! to the system; a read that waits for somebody else, of a pipe, goes to the pool of the process then.
//!
//! # Errors
//! They are the system's, with its [`kind`](std::io::ErrorKind), and name the operation and the path: see
//! [`PathError`]. A system call that is interrupted by a signal is made again. A read or write of nothing is
//! ready at once, with zero, and asks nobody. What a device that is full or broken does to a program is tried
//! out with a [`World`](crate::world::World) whose [`Files`](crate::world::Files) say so.
//!
//! # Examples
//! ```
//! use twoply::{Wait, fs, spawn};
//!
//! # let dir = std::env::temp_dir().join(format!("twoply-doc-fs-{}", std::process::id()));
//! # fs::create_dir_all(&dir).wait()?;
//! let path = dir.join("numbers");
//! fs::write(&path, "1 2 3").wait()?;
//! let sum = spawn(async move {
//!     let text = fs::read_to_string(path).await?;
//!     Ok::<u32, std::io::Error>(text.split(' ').filter_map(|word| word.parse::<u32>().ok()).sum())
//! });
//! assert_eq!(sum.wait().unwrap()?, 6);
//! # fs::remove_dir_all(&dir).wait()?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod cursor;
mod dir;
mod error;
mod file;
mod lock;
mod options;
mod paths;
mod positioned;
mod replace;
mod sys;

pub use std::fs::{DirEntry, FileType, Metadata, Permissions, TryLockError};

pub use crate::event::files::Engine;
pub use dir::{ReadDir, read_dir};
pub use error::PathError;
pub use file::File;
pub use options::OpenOptions;
pub use paths::{
    canonicalize, copy, create_dir, create_dir_all, exists, hard_link, metadata, read, read_link,
    read_to_string, remove_dir, remove_dir_all, remove_file, rename, set_permissions, symlink,
    symlink_metadata, write, write_synced,
};
pub use replace::replace;
