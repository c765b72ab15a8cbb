//! ractor, on tokio. A message is boxed by the library. It has no bounded mailbox.

use std::marker::PhantomData;
use std::pin::pin;
use std::task::{Context as Polling, Poll, Waker};

use ::ractor::{Actor, ActorProcessingErr, ActorRef};
use anyhow::Result;
use tokio::runtime::Runtime;

use super::{Behaviour, Flow, Main, Me, Ref, System};
use crate::runtimes;
use crate::workload::Context;

/// ractor and its runtime.
pub(crate) struct Ractor(Runtime);

/// The actor of a behaviour, which is the state that ractor keeps beside it.
pub(crate) struct Host<B>(PhantomData<fn() -> B>);

impl System for Ractor {
    type Address<B: Behaviour<Self>> = ActorRef<B::Message>;

    fn start(ctx: &Context) -> Result<Self> {
        Ok(Self(runtimes::tokio(ctx)?))
    }

    fn run(&self, main: Main) -> Result<u64> {
        super::run_on_tokio(&self.0, main)
    }

    /// ractor's `spawn` is a future that runs `pre_start`, which is ready at once here, and then starts one
    /// task. Its way to spawn outside of a future, `spawn_instant`, starts two; so the future is polled
    /// instead.
    fn spawn<B: Behaviour<Self>>(behaviour: B) -> Ref<Self, B> {
        let spawning = pin!(Actor::spawn(None, Host::<B>(PhantomData), behaviour));
        match spawning.poll(&mut Polling::from_waker(Waker::noop())) {
            Poll::Ready(Ok((actor, _task))) => Ref(actor),
            Poll::Ready(Err(error)) => panic!("ractor does not start an actor: {error}"),
            Poll::Pending => panic!("ractor waits for more than `pre_start`"),
        }
    }

    fn tell<B: Behaviour<Self>>(to: &Self::Address<B>, message: B::Message) {
        // It fails only if the actor has stopped.
        to.send_message(message).ok();
    }
}

impl<B: Behaviour<Ractor>> Actor for Host<B> {
    type Msg = B::Message;
    type State = B;
    type Arguments = B;

    async fn pre_start(&self, _: ActorRef<B::Message>, behaviour: B) -> Result<B, ActorProcessingErr> {
        Ok(behaviour)
    }

    async fn handle(
        &self,
        me: ActorRef<B::Message>,
        message: B::Message,
        behaviour: &mut B,
    ) -> Result<(), ActorProcessingErr> {
        if behaviour.handle(message, &me) == Flow::Stop {
            me.stop(None);
        }
        Ok(())
    }
}

impl<B: Behaviour<Ractor>> Me<Ractor, B> for ActorRef<B::Message> {
    fn me(&self) -> Ref<Ractor, B> {
        Ref(self.clone())
    }
}
