//! The waits for answers of processes that have something else to do first.

use twoply_core::Wait;
use twoply_core::actor::supervisor::{ChildSpec, Supervisor};
use twoply_core::actor::{Actor, Context, Pool, Process};
use twoply_core::promise::Resolver;

use super::{Late, Waits, any_wait, leak, waits};
use crate::{Gate, Systems, builder, eventually};

/// An actor that handles its first message until its gate is opened, and then answers all.
struct Busy(Gate);

impl Actor for Busy {
    type Message = Option<Resolver<u32>>;
    type Error = std::convert::Infallible;

    async fn handle(&mut self, question: Self::Message, _: &mut Context<Busy>) -> Result<(), Self::Error> {
        match question {
            Some(reply) => drop(reply.resolve(1)),
            None => self.0.opened().await,
        }
        Ok(())
    }
}

/// All of them.
pub(super) fn requests(on: &Systems) -> Vec<Waits> {
    let gates: [Gate; 4] = Default::default();
    let actor = leak(builder(on).start_actor(Busy(gates[0].clone())).wait().expect("it starts"));
    actor.try_send(None).expect("there is room");
    let of_pool = gates[1].clone();
    let pool = Pool::builder().size(1).on(on.here().backend());
    let pool = leak(pool.start(move || Busy(of_pool.clone())).wait().expect("it starts"));
    pool.try_send(None).expect("there is room");
    let late = |gate: &Gate| ChildSpec::actor_once("late", Late(gate.clone()));
    let supervisor = Supervisor::one_for_one().on(on.here().backend());
    let supervisor = leak(supervisor.start().wait().expect("it starts"));
    on.here().spawn(supervisor.start_child(late(&gates[2]))).detach();
    eventually("all are busy", || gates[..3].iter().all(|gate| gate.waiting() >= 1));

    let idle = || ChildSpec::once("idle", async |mut me: Process<()>| drop(me.receive().await));
    let starting = Supervisor::one_for_one().on(on.here().backend()).child(late(&gates[3])).start();
    let [of_actor, of_pool, of_supervisor, of_start] = gates;
    vec![
        waits(
            "requests to an actor",
            [any_wait(actor.show_state()), any_wait(actor.suspend()), any_wait(actor.resume())],
            move || of_actor.open(),
        ),
        waits("ask of a pool", [any_wait(pool.ask(Some)), any_wait(pool.ask(Some))], move || of_pool.open()),
        waits(
            "requests to a supervisor",
            [
                any_wait(supervisor.tree()),
                any_wait(supervisor.start_child(idle())),
                any_wait(supervisor.children()),
                any_wait(supervisor.count()),
                any_wait(supervisor.terminate_child("idle")),
                any_wait(supervisor.stop()),
            ],
            move || of_supervisor.open(),
        ),
        waits("start of a supervisor", [any_wait(starting)], move || of_start.open()),
    ]
}
