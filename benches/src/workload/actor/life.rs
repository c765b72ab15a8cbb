//! The life of an actor, a message that goes around a ring of them, and messages from all of them to all
//! others.

use anyhow::Result;

use super::Workload;
use super::system::{Behaviour, Flow, Me, Outcome, System};
use crate::peers;
use crate::workload::savina::{self, ThreadRing, run_once};
use crate::workload::{Context, Sample, check_count};

/// How many hops a run makes at least: the ring is made anew for each run, and that should not count.
const HOPS: usize = 10_000;

/// Actors that get one message and end.
pub(super) struct Life;

/// A message around a ring: Savina's ThreadRing with more actors.
pub(super) struct Ring;

/// Messages from all to all (the benchmark `big` of BenchErl): Savina's Big with rounds of a ping to each of
/// the others. An operation is a message.
pub(super) struct Big;

/// Ends at its first message.
struct Brief(Outcome);

impl<S: System> Behaviour<S> for Brief {
    type Message = ();

    fn handle(&mut self, (): (), _: &impl Me<S, Self>) -> Flow {
        self.0.add(1);
        Flow::Stop
    }
}

impl Workload for Life {
    fn measure<S: System>(ctx: &Context) -> Result<Sample> {
        let system = S::start(ctx)?;
        let alive = ctx.param("alive");
        ctx.time(alive, |ops| {
            let mut ended = 0;
            for _ in 0..ops / alive {
                ended += system.run(Box::new(move |outcome| {
                    for _ in 0..alive {
                        S::spawn(Brief(outcome.clone())).tell(());
                    }
                }))?;
            }
            check_count(ops, ended as usize)
        })
    }

    fn foreign(ctx: &Context) -> Result<Sample> {
        let alive = ctx.param("alive");
        peers::time(ctx, "life", alive, &[alive], |ops| ops)
    }
}

impl Workload for Ring {
    fn measure<S: System>(ctx: &Context) -> Result<Sample> {
        let system = S::start(ctx)?;
        let actors = ctx.param("actors") as u64;
        ctx.time(HOPS, |ops| run_once(&system, ThreadRing::of(actors, ops as u64)))
    }

    fn foreign(ctx: &Context) -> Result<Sample> {
        peers::time(ctx, "actor_ring", HOPS, &[ctx.param("actors")], |ops| ops)
    }
}

/// The messages of one round: a question and an answer for each pair.
fn messages(actors: usize) -> usize {
    2 * actors * (actors - 1)
}

impl Workload for Big {
    fn measure<S: System>(ctx: &Context) -> Result<Sample> {
        let system = S::start(ctx)?;
        let actors = ctx.param("actors");
        let messages = messages(actors);
        let big = |rounds: usize| savina::Big::to_all(actors as u64, rounds as u64);
        ctx.time(messages, |ops| run_once(&system, big(ops / messages)))
    }

    fn foreign(ctx: &Context) -> Result<Sample> {
        let actors = ctx.param("actors");
        peers::time(ctx, "big", messages(actors), &[actors], |ops| ops)
    }
}
