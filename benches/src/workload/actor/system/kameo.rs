//! kameo, on tokio. A message is boxed by the library, and so is the future of its handler.

use std::convert::Infallible;

use ::kameo::Actor;
use ::kameo::actor::{ActorRef, Spawn as _};
use ::kameo::mailbox;
use ::kameo::message::{Context as Handling, Message};
use anyhow::Result;
use tokio::runtime::Runtime;

use super::{Behaviour, Flow, Main, Me, Ref, System};
use crate::runtimes;
use crate::workload::Context;

/// kameo and its runtime.
pub(crate) struct Kameo(Runtime);

/// The actor of a behaviour.
pub(crate) struct Host<B>(B);

impl System for Kameo {
    type Address<B: Behaviour<Self>> = ActorRef<Host<B>>;

    fn start(ctx: &Context) -> Result<Self> {
        Ok(Self(runtimes::tokio(ctx)?))
    }

    fn run(&self, main: Main) -> Result<u64> {
        super::run_on_tokio(&self.0, main)
    }

    fn spawn<B: Behaviour<Self>>(behaviour: B) -> Ref<Self, B> {
        Ref(Host::spawn_with_mailbox(Host(behaviour), mailbox::unbounded()))
    }

    fn tell<B: Behaviour<Self>>(to: &Self::Address<B>, message: B::Message) {
        // It fails only if the actor has stopped.
        to.tell(message).try_send().ok();
    }
}

impl<B: Behaviour<Kameo>> Actor for Host<B> {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(host: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(host)
    }
}

impl<B: Behaviour<Kameo>> Message<B::Message> for Host<B> {
    type Reply = ();

    async fn handle(&mut self, message: B::Message, handling: &mut Handling<Self, ()>) {
        if self.0.handle(message, handling) == Flow::Stop {
            handling.stop();
        }
    }
}

impl<B: Behaviour<Kameo>> Me<Kameo, B> for Handling<Host<B>, ()> {
    fn me(&self) -> Ref<Kameo, B> {
        Ref(self.actor_ref().clone())
    }
}
