//! What an actor of a workload is, so that each workload is written once and runs on each actor library.
//!
//! A [`Behaviour`] is a state and a synchronous handler; a [`System`] hosts it as its own library would have
//! a user write it: the library's actor trait, its message dispatch, its unbounded mailbox (the one kind that
//! all of them have), its way to spawn and to stop. The host is a newtype around the state, and all of it is
//! resolved at compile time, so it adds no allocation and no indirect call to any library. What a library
//! itself boxes is its own cost.
//!
//! What differs between the libraries and cannot be made equal is said in the header of each host's file.
//!
//! Only handlers that need not wait fit: a workload where an actor waits in its handler writes it by hand.

pub(crate) mod actix;
pub(crate) mod kameo;
pub(crate) mod mpsc;
pub(crate) mod ractor;
pub(crate) mod twoply;
pub(crate) mod xtra;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use async_channel::{Receiver, Sender};

use crate::workload::Context;

/// What spawns the first actors of a run and sends them their first messages.
pub(crate) type Main = Box<dyn FnOnce(Outcome) + Send>;

/// An actor library with its runtime. Dropping it ends the runtime.
pub(crate) trait System: Sized + 'static {
    /// The library's own reference to an actor.
    type Address<B: Behaviour<Self>>: Clone + Send + Sync + Unpin + 'static;

    /// Starts the runtime with as many workers as the case asks for.
    fn start(ctx: &Context) -> Result<Self>;

    /// Runs `main` where actors can be spawned and told, and answers what it made of its [`Outcome`] when the
    /// last handle to that is gone.
    ///
    /// `main` is boxed, so that a runtime's code to start it is compiled once and not for each workload.
    fn run(&self, main: Main) -> Result<u64>;

    /// Starts an actor. Called by `main` and by handlers only.
    fn spawn<B: Behaviour<Self>>(behaviour: B) -> Ref<Self, B>;

    /// Sends a message without waiting. One to an actor that has stopped is dropped.
    fn tell<B: Behaviour<Self>>(to: &Self::Address<B>, message: B::Message);
}

/// A reference to an actor: the library's own, by a name that says whose it is.
pub(crate) struct Ref<S: System, B: Behaviour<S>>(S::Address<B>);

impl<S: System, B: Behaviour<S>> Ref<S, B> {
    /// Sends a message without waiting.
    pub(crate) fn tell(&self, message: B::Message) {
        S::tell(&self.0, message);
    }
}

impl<S: System, B: Behaviour<S>> Clone for Ref<S, B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// What an actor does.
pub(crate) trait Behaviour<S: System>: Sized + Send + Unpin + 'static {
    /// What it is told.
    type Message: Send + 'static;

    /// Handles one message. `me` is whatever the library gives a handler.
    fn handle(&mut self, message: Self::Message, me: &impl Me<S, Self>) -> Flow;
}

/// What a library gives a handler, as far as the workloads need it.
pub(crate) trait Me<S: System, B: Behaviour<S>> {
    /// A new reference to the actor that handles the message.
    fn me(&self) -> Ref<S, B>;
}

/// Whether an actor goes on after a message.
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Flow {
    /// It waits for the next message.
    Continue,
    /// It ends; what is in its mailbox is lost.
    Stop,
}

/// What a run adds up to. Every actor holds a handle: the run is over when the last of them is gone, so that
/// the end of the actors is part of what is measured, and an actor that never ends makes the run hang instead
/// of a figure.
#[derive(Clone)]
pub(crate) struct Outcome(Arc<Total>);

/// Shared by the handles of an [`Outcome`].
struct Total {
    /// Relaxed: it is read by whoever drops the last handle, and the count of handles orders that after all
    /// else.
    sum: AtomicU64,
    /// Told the sum at the end.
    done: Sender<u64>,
}

impl Outcome {
    /// A new outcome, and the receiver of its one sum.
    pub(crate) fn new() -> (Self, Receiver<u64>) {
        let (done, sum) = async_channel::bounded(1);
        (Self(Arc::new(Total { sum: AtomicU64::new(0), done })), sum)
    }

    /// Adds to the sum.
    pub(crate) fn add(&self, amount: u64) {
        self.0.sum.fetch_add(amount, Ordering::Relaxed);
    }
}

impl Drop for Total {
    fn drop(&mut self) {
        // Nobody listens if the run has failed already.
        self.done.try_send(*self.sum.get_mut()).ok();
    }
}

/// Runs `main` on a worker of a tokio runtime, and answers its outcome.
fn run_on_tokio(runtime: &tokio::runtime::Runtime, main: Main) -> Result<u64> {
    let (outcome, sum) = Outcome::new();
    runtime.block_on(async {
        runtime.spawn(async move { main(outcome) }).await?;
        sum.recv().await.context("the outcome is gone")
    })
}
