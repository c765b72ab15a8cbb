//! xtra, on tokio. A message is boxed by the library, and its mailbox is a heap, in which the order of
//! messages is lost.
//!
//! An actor of xtra ends when nobody has a reference to it, so a host keeps one to itself.

use std::pin::pin;
use std::task::{Context as Polling, Waker};

use ::xtra::{Actor, Address, Handler, Mailbox};
use anyhow::Result;
use tokio::runtime::Runtime;

use super::{Behaviour, Flow, Main, Me, Ref, System};
use crate::runtimes;
use crate::workload::Context;

/// xtra and its runtime.
pub(crate) struct Xtra(Runtime);

/// The actor of a behaviour.
pub(crate) struct Host<B> {
    /// What it does.
    behaviour: B,
    /// Itself. Given up when the actor stops.
    me: Option<Address<Self>>,
}

impl System for Xtra {
    type Address<B: Behaviour<Self>> = Address<Host<B>>;

    fn start(ctx: &Context) -> Result<Self> {
        Ok(Self(runtimes::tokio(ctx)?))
    }

    fn run(&self, main: Main) -> Result<u64> {
        super::run_on_tokio(&self.0, main)
    }

    fn spawn<B: Behaviour<Self>>(behaviour: B) -> Ref<Self, B> {
        let (address, mailbox) = Mailbox::unbounded();
        let host = Host { behaviour, me: Some(address.clone()) };
        Ref(::xtra::spawn_tokio(host, (address, mailbox)))
    }

    /// Sending is a future, which is ready at once when the mailbox is unbounded.
    fn tell<B: Behaviour<Self>>(to: &Self::Address<B>, message: B::Message) {
        let sending = pin!(to.send(message).detach());
        // It fails only if the actor has stopped. What a ready one gives is the receiver of an answer.
        let _sent = sending.poll(&mut Polling::from_waker(Waker::noop()));
    }
}

impl<B: Behaviour<Xtra>> Actor for Host<B> {
    type Stop = ();

    async fn stopped(self) {}
}

impl<B: Behaviour<Xtra>> Handler<B::Message> for Host<B> {
    type Return = ();

    async fn handle(&mut self, message: B::Message, handling: &mut ::xtra::Context<Self>) {
        if self.behaviour.handle(message, handling) == Flow::Stop {
            self.me = None;
            handling.stop_self();
        }
    }
}

impl<B: Behaviour<Xtra>> Me<Xtra, B> for ::xtra::Context<Host<B>> {
    fn me(&self) -> Ref<Xtra, B> {
        Ref(self.mailbox().address().try_upgrade().expect("the host has a reference to itself"))
    }
}
