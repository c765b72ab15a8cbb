//! actix. A message is boxed by the library, and each new reference allocates twice.
//!
//! An actor of actix ends when nobody has a reference to it any more. It looks whether that is so after it
//! has found its mailbox empty, so it loses a message that another thread sends in between through the last
//! reference before it drops that. A host therefore ends when its behaviour says so, and not before:
//! `stopping` is where the library asks.
//!
//! Its actors do not move between threads: an arbiter is a thread with its own tokio runtime. With one worker
//! all actors live on the arbiter of the main thread. With more, each worker is an arbiter; the actors that
//! `main` spawns go to them by turns, and what an actor spawns stays on its thread, as `Actor::start` has it.
//! So in a ring each hop goes to another thread, and its price is that of waking one.
//!
//! Its mailboxes are bounded, but `do_send`, the one way to send without waiting for an answer, pays no heed
//! to that.

use std::cell::{Cell, RefCell};

use ::actix::{Actor, ActorContext as _, Addr, AsyncContext as _, Handler, Message, System as Runner};
use ::actix::{Arbiter, ArbiterHandle, Running, SystemRunner};
use anyhow::{Context as _, Result};

use super::{Behaviour, Flow, Main, Me, Outcome, Ref, System};
use crate::workload::Context;

thread_local! {
    /// The arbiters that get what is spawned on this thread. Empty on the arbiters themselves.
    static PLACES: RefCell<Vec<ArbiterHandle>> = const { RefCell::new(Vec::new()) };
    /// How many actors this thread has placed.
    static PLACED: Cell<usize> = const { Cell::new(0) };
}

/// actix, its main arbiter, and the others.
pub(crate) struct Actix {
    /// Runs `main`, and with one worker the actors too.
    main: SystemRunner,
    /// The workers, if there are several.
    workers: Vec<Arbiter>,
}

/// The actor of a behaviour.
pub(crate) struct Host<B> {
    /// What it does.
    behaviour: B,
    /// Whether that is at its end.
    ended: bool,
}

/// A message to it.
pub(crate) struct Told<B: Behaviour<Actix>>(B::Message);

impl System for Actix {
    type Address<B: Behaviour<Self>> = Addr<Host<B>>;

    fn start(ctx: &Context) -> Result<Self> {
        let main = Runner::new();
        let count = if ctx.workers() == 1 { 0 } else { ctx.workers() };
        let workers: Vec<_> = (0..count).map(|_| Arbiter::new()).collect();
        PLACES.set(workers.iter().map(Arbiter::handle).collect());
        Ok(Self { main, workers })
    }

    fn run(&self, main: Main) -> Result<u64> {
        let (outcome, sum) = Outcome::new();
        self.main.block_on(async move {
            main(outcome);
            sum.recv().await.context("the outcome is gone")
        })
    }

    fn spawn<B: Behaviour<Self>>(behaviour: B) -> Ref<Self, B> {
        let host = Host { behaviour, ended: false };
        PLACES.with_borrow(|places| {
            if places.is_empty() {
                return Ref(host.start());
            }
            let turn = PLACED.replace(PLACED.get() + 1);
            Ref(Host::start_in_arbiter(&places[turn % places.len()], |_| host))
        })
    }

    fn tell<B: Behaviour<Self>>(to: &Self::Address<B>, message: B::Message) {
        to.do_send(Told(message));
    }
}

impl Drop for Actix {
    fn drop(&mut self) {
        PLACES.take();
        for worker in self.workers.drain(..) {
            worker.stop();
            // A worker that panicked has said so on standard error already.
            let _ended = worker.join();
        }
    }
}

impl<B: Behaviour<Actix>> Actor for Host<B> {
    type Context = ::actix::Context<Self>;

    fn stopping(&mut self, _: &mut ::actix::Context<Self>) -> Running {
        if self.ended { Running::Stop } else { Running::Continue }
    }
}

impl<B: Behaviour<Actix>> Message for Told<B> {
    type Result = ();
}

impl<B: Behaviour<Actix>> Handler<Told<B>> for Host<B> {
    type Result = ();

    fn handle(&mut self, told: Told<B>, handling: &mut ::actix::Context<Self>) {
        if self.behaviour.handle(told.0, handling) == Flow::Stop {
            self.ended = true;
            handling.stop();
        }
    }
}

impl<B: Behaviour<Actix>> Me<Actix, B> for ::actix::Context<Host<B>> {
    fn me(&self) -> Ref<Actix, B> {
        Ref(self.address())
    }
}
