//! Many to many: each of a hundred actors writes to all others and answers all of them, round after round (the
//! benchmark `big` of BenchErl). An operation is a message.

use std::sync::{Arc, OnceLock};

use anyhow::Result;

use super::Workload;
use super::system::{Behaviour, Flow, Me, Outcome, Ref, System};
use crate::peers;
use crate::workload::{Context, Sample, check_count};

/// See the [module](self).
pub(super) struct Big;

/// All actors, which is set before any of them begins.
type Peers<S> = Arc<OnceLock<Vec<Ref<S, Peer<S>>>>>;

/// Writes to all others.
struct Peer<S: System> {
    /// Its place among the peers.
    number: usize,
    /// All of them, itself too.
    peers: Peers<S>,
    /// How many rounds are still to be done.
    rounds: usize,
    /// How many answers of this round are still to come.
    waits: usize,
    /// Who is told of the end.
    judge: Ref<S, Judge<S>>,
    /// Gets the answers.
    outcome: Outcome,
}

/// To a peer.
enum ToPeer {
    /// It begins.
    Start,
    /// The one of that number wants an answer.
    Ping(usize),
    /// The answer.
    Pong,
    /// All have done their rounds.
    End,
}

/// Waits for all peers to have done their rounds.
struct Judge<S: System> {
    /// Who is told when that is so.
    peers: Peers<S>,
    /// How many are not done.
    left: usize,
    /// Held to the end.
    _outcome: Outcome,
}

impl<S: System> Peer<S> {
    /// Writes to all others, or tells the judge that all rounds are done.
    fn next_round(&mut self) {
        if self.rounds == 0 {
            return self.judge.tell(());
        }
        self.rounds -= 1;
        let peers = self.peers.wait();
        self.waits = peers.len() - 1;
        for (number, peer) in peers.iter().enumerate() {
            if number != self.number {
                peer.tell(ToPeer::Ping(self.number));
            }
        }
    }
}

impl<S: System> Behaviour<S> for Peer<S> {
    type Message = ToPeer;

    fn handle(&mut self, message: ToPeer, _: &impl Me<S, Self>) -> Flow {
        match message {
            ToPeer::Start => self.next_round(),
            ToPeer::Ping(from) => self.peers.wait()[from].tell(ToPeer::Pong),
            ToPeer::Pong => {
                self.waits -= 1;
                if self.waits == 0 {
                    self.outcome.add(2 * (self.peers.wait().len() as u64 - 1));
                    self.next_round();
                }
            }
            ToPeer::End => return Flow::Stop,
        }
        Flow::Continue
    }
}

impl<S: System> Behaviour<S> for Judge<S> {
    /// One is done.
    type Message = ();

    fn handle(&mut self, (): (), _: &impl Me<S, Self>) -> Flow {
        self.left -= 1;
        if self.left > 0 {
            return Flow::Continue;
        }
        for peer in self.peers.wait() {
            peer.tell(ToPeer::End);
        }
        Flow::Stop
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
        ctx.time(messages(actors), |ops| {
            let rounds = ops / messages(actors);
            let sent = system.run(move |outcome| {
                let peers = Peers::<S>::default();
                let judge = Judge { peers: peers.clone(), left: actors, _outcome: outcome.clone() };
                let judge = S::spawn(judge);
                let peer = |number| Peer {
                    number,
                    peers: peers.clone(),
                    rounds,
                    waits: 0,
                    judge: judge.clone(),
                    outcome: outcome.clone(),
                };
                for peer in peers.get_or_init(|| (0..actors).map(peer).map(S::spawn).collect()) {
                    peer.tell(ToPeer::Start);
                }
            })?;
            check_count(ops, sent as usize)
        })
    }

    fn foreign(ctx: &Context) -> Result<Sample> {
        let actors = ctx.param("actors");
        peers::time(ctx, "big", messages(actors), &[actors], |ops| ops)
    }
}
