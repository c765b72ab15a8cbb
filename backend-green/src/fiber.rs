//! Stacks that a worker can leave and come back to: how code that blocks is suspended on a green worker.
//!
//! The runner ([`crate::runner`]) is the main caller. It takes stacks from a [`StackPool`], polls tasks on a
//! [`Fiber`], and tells [`overflow`] which task is running, so that a stack that overflows is reported by
//! name. Nothing in here knows tasks, queues or wakers, nothing starts threads, and a suspended fiber is
//! never unwound from outside and never changes thread.
//!
//! | file        | duty                                                                        |
//! |-------------|-----------------------------------------------------------------------------|
//! | `slab`      | maps memory for 256 stacks at a time, and puts a guard below each stack     |
//! | `stack`     | the pool: hands stacks out, takes them back, gives memory back to the system |
//! | `coroutine` | switches between the worker's stack and a fiber's                           |
//! | `prefetch`  | asks the processor for memory that the next switch will touch                |
//! | `overflow`  | turns the fault of an overflow into a message that names the task           |
//! | `usage`     | how much of its stack a task has used                                       |
//!
//! # Why corosensei without its features
//! Switching is corosensei's. Its `unwind` feature carries panics across the switch and unwinds a dropped
//! coroutine by force; the runner contains panics itself, and forced unwinding livelocks on code that catches
//! panics in a loop, aborts on a destructor that waits, and poisons mutexes that nobody else has touched.
//! Cancellation is the scheduler's: the value that a resume brings tells the code to unwind by itself. So the
//! feature is off, a switch carries one word each way, and a panic that would cross it aborts the process.
//! `default-stack` is off because the pool supplies the stacks.
//!
//! # Safety
#![doc = include_str!("fiber/SAFETY.md")]

mod coroutine;
pub(crate) mod overflow;
mod prefetch;
mod slab;
mod stack;
#[cfg(test)]
mod tests;
pub(crate) mod usage;

pub(crate) use coroutine::{Fiber, FiberResult, Suspender};
pub(crate) use prefetch::prefetch;
pub(crate) use stack::{StackOptions, StackPool, TRIM_BATCH};
