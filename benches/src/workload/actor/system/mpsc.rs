//! An actor without an actor library: a tokio task that receives from an unbounded channel of its own.
//!
//! It has no links, no monitors, no answers and no name; what a library costs beyond it is the price of
//! those.

use anyhow::Result;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{Behaviour, Flow, Main, Me, Ref, System};
use crate::runtimes;
use crate::workload::Context;

/// tokio.
pub(crate) struct Mpsc(Runtime);

impl System for Mpsc {
    type Address<B: Behaviour<Self>> = UnboundedSender<B::Message>;

    fn start(ctx: &Context) -> Result<Self> {
        Ok(Self(runtimes::tokio(ctx)?))
    }

    fn run(&self, main: Main) -> Result<u64> {
        super::run_on_tokio(&self.0, main)
    }

    fn spawn<B: Behaviour<Self>>(mut behaviour: B) -> Ref<Self, B> {
        let (me, mut mailbox) = unbounded_channel();
        let address = Ref(me.clone());
        tokio::spawn(async move {
            while let Some(message) = mailbox.recv().await {
                if behaviour.handle(message, &me) == Flow::Stop {
                    break;
                }
            }
        });
        address
    }

    fn tell<B: Behaviour<Self>>(to: &Self::Address<B>, message: B::Message) {
        // It fails only if the task has ended.
        to.send(message).ok();
    }
}

impl<B: Behaviour<Mpsc>> Me<Mpsc, B> for UnboundedSender<B::Message> {
    fn me(&self) -> Ref<Mpsc, B> {
        Ref(self.clone())
    }
}
