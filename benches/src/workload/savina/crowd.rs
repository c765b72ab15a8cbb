//! Savina's benchmarks of many actors that talk to one another: Chameneos, Big and Fibonacci.

use std::sync::{Arc, OnceLock};

use super::{Benchmark, Random, Size};
use crate::workload::actor::system::{Behaviour, Flow, Me, Outcome, Ref, System};

/// Creatures meet in pairs in a mall, and change their colours at each meeting.
#[derive(Clone, Copy)]
pub(super) struct Chameneos {
    /// How many creatures.
    chameneos: u64,
    /// How many meetings.
    meetings: u64,
}

/// The three colours.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Colour {
    /// The first.
    Blue,
    /// The second.
    Red,
    /// The third.
    Yellow,
}

impl Colour {
    /// The colour that both have after a meeting: the same one, or the third.
    fn complement(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Blue, Self::Red) | (Self::Red, Self::Blue) => Self::Yellow,
            (Self::Blue, Self::Yellow) | (Self::Yellow, Self::Blue) => Self::Red,
            _ => Self::Blue,
        }
    }
}

/// Brings creatures together.
struct Mall<S: System> {
    /// Who waits for another one.
    waiting: Option<Ref<S, Creature<S>>>,
    /// How many meetings there are still to be.
    meetings: u64,
    /// How many creatures have not ended.
    creatures: u64,
    /// Gets the meetings of each creature.
    outcome: Outcome,
}

/// To the mall.
enum ToMall<S: System> {
    /// A creature of this colour wants to meet another one.
    Meet(Colour, Ref<S, Creature<S>>),
    /// One has ended after that many meetings.
    Faded(u64),
}

/// Meets others.
struct Creature<S: System> {
    /// Where it meets them.
    mall: Ref<S, Mall<S>>,
    /// What it looks like now.
    colour: Colour,
    /// How often it has met another one.
    meetings: u64,
    /// Held to the end.
    _outcome: Outcome,
}

/// To a creature.
enum ToCreature<S: System> {
    /// It begins.
    Start,
    /// Another one of this colour is there.
    Meet(Colour, Ref<S, Creature<S>>),
    /// The other one has found out what colour both have now.
    Change(Colour),
    /// There are no more meetings.
    End,
}

impl Benchmark for Chameneos {
    fn new(size: &Size<'_>) -> Self {
        Self { chameneos: size.count("chameneos"), meetings: size.rounds("meetings") }
    }

    fn operations(&self) -> u64 {
        self.meetings
    }

    fn expected(&self) -> u64 {
        2 * self.meetings
    }

    fn start<S: System>(self, outcome: Outcome) {
        let mall = S::spawn(Mall::<S> {
            waiting: None,
            meetings: self.meetings,
            creatures: self.chameneos,
            outcome: outcome.clone(),
        });
        let colours = [Colour::Blue, Colour::Red, Colour::Yellow].into_iter().cycle();
        for (_, colour) in (0..self.chameneos).zip(colours) {
            let creature = S::spawn(Creature::<S> {
                mall: mall.clone(),
                colour,
                meetings: 0,
                _outcome: outcome.clone(),
            });
            creature.tell(ToCreature::Start);
        }
    }
}

impl<S: System> Behaviour<S> for Mall<S> {
    type Message = ToMall<S>;

    fn handle(&mut self, message: ToMall<S>, _: &impl Me<S, Self>) -> Flow {
        match message {
            ToMall::Meet(_, creature) if self.meetings == 0 => creature.tell(ToCreature::End),
            ToMall::Meet(colour, creature) => match self.waiting.take() {
                None => self.waiting = Some(creature),
                Some(other) => {
                    self.meetings -= 1;
                    other.tell(ToCreature::Meet(colour, creature));
                }
            },
            ToMall::Faded(meetings) => {
                self.outcome.add(meetings);
                self.creatures -= 1;
                if self.creatures == 0 {
                    return Flow::Stop;
                }
            }
        }
        Flow::Continue
    }
}

impl<S: System> Behaviour<S> for Creature<S> {
    type Message = ToCreature<S>;

    fn handle(&mut self, message: ToCreature<S>, me: &impl Me<S, Self>) -> Flow {
        match message {
            ToCreature::Start => {}
            ToCreature::Meet(colour, other) => {
                self.colour = self.colour.complement(colour);
                self.meetings += 1;
                other.tell(ToCreature::Change(self.colour));
            }
            ToCreature::Change(colour) => {
                self.colour = colour;
                self.meetings += 1;
            }
            ToCreature::End => {
                self.mall.tell(ToMall::Faded(self.meetings));
                return Flow::Stop;
            }
        }
        self.mall.tell(ToMall::Meet(self.colour, me.me()));
        Flow::Continue
    }
}

/// Each of many actors sends pings to the others, round after round, and answers theirs. In the suite a round
/// is one ping to whomever chance picks; in BenchErl's `big` it is one to each of the others.
#[derive(Clone, Copy)]
pub(crate) struct Big {
    /// How many actors.
    actors: u64,
    /// How many rounds each of them does.
    rounds: u64,
    /// Whether a round is a ping to each of the others.
    to_all: bool,
}

/// All the peers, which is set before any of them begins.
type Peers<S> = Arc<OnceLock<Vec<Ref<S, Peer<S>>>>>;

/// Sends pings, and answers those of the others.
struct Peer<S: System> {
    /// Its place among the peers.
    number: usize,
    /// Whom it sends pings to.
    peers: Peers<S>,
    /// Who is told of the end.
    sink: Ref<S, Sink<S>>,
    /// How many rounds are still to be done.
    left: u64,
    /// Whether a round is a ping to each of the others.
    to_all: bool,
    /// Who gets the next ping, if it is to one.
    random: Random,
    /// How many answers of this round are still to come.
    waits: usize,
    /// Gets the pings of each round when they have been answered.
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
struct Sink<S: System> {
    /// Who is told when that is so.
    peers: Peers<S>,
    /// How many are not done.
    left: u64,
    /// Held to the end.
    _outcome: Outcome,
}

impl Big {
    /// That many actors, of which each sends that many pings to each of the others.
    pub(crate) fn to_all(actors: u64, rounds: u64) -> Self {
        Self { actors, rounds, to_all: true }
    }
}

impl Benchmark for Big {
    fn new(size: &Size<'_>) -> Self {
        Self { actors: size.count("actors"), rounds: size.rounds("pings"), to_all: false }
    }

    fn operations(&self) -> u64 {
        2 * self.expected()
    }

    /// The pings that were answered.
    fn expected(&self) -> u64 {
        self.actors * self.rounds * if self.to_all { self.actors - 1 } else { 1 }
    }

    fn start<S: System>(self, outcome: Outcome) {
        let peers = Peers::<S>::default();
        let sink = Sink { peers: peers.clone(), left: self.actors, _outcome: outcome.clone() };
        let sink = S::spawn(sink);
        let peer = |number| Peer {
            number: number as usize,
            peers: peers.clone(),
            sink: sink.clone(),
            left: self.rounds,
            to_all: self.to_all,
            random: Random::new(number),
            waits: 0,
            outcome: outcome.clone(),
        };
        for peer in peers.get_or_init(|| (0..self.actors).map(peer).map(S::spawn).collect()) {
            peer.tell(ToPeer::Start);
        }
    }
}

impl<S: System> Peer<S> {
    /// How many pings a round has.
    fn pings(&self) -> usize {
        if self.to_all { self.peers.wait().len() - 1 } else { 1 }
    }

    /// Sends the pings of the next round, or tells the sink that there is none.
    fn next_round(&mut self) {
        if self.left == 0 {
            return self.sink.tell(());
        }
        self.left -= 1;
        let peers = self.peers.wait();
        self.waits = self.pings();
        if !self.to_all {
            let whom = self.random.below(peers.len() as u64);
            return peers[whom as usize].tell(ToPeer::Ping(self.number));
        }
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
                    self.outcome.add(self.pings() as u64);
                    self.next_round();
                }
            }
            ToPeer::End => return Flow::Stop,
        }
        Flow::Continue
    }
}

impl<S: System> Behaviour<S> for Sink<S> {
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

/// Each actor computes a Fibonacci number with two more actors, that of the one before and of the one before
/// that.
#[derive(Clone, Copy)]
pub(super) struct Fibonacci {
    /// Which number.
    n: u64,
}

/// Computes one number.
struct Adder<S: System> {
    /// Who wants it. The first one has none.
    parent: Option<Ref<S, Adder<S>>>,
    /// The sum of the answers so far.
    sum: u64,
    /// How many answers are still to come.
    left: u8,
    /// Gets the number of the first one.
    outcome: Outcome,
}

/// To an adder.
enum ToAdder {
    /// Which number it is to compute.
    Request(u64),
    /// What one of those that it started has computed.
    Response(u64),
}

/// That Fibonacci number.
fn fibonacci(n: u64) -> u64 {
    (0..n).fold((0, 1), |(a, b), _| (b, a + b)).0
}

impl Benchmark for Fibonacci {
    fn new(size: &Size<'_>) -> Self {
        // Each number takes 1.6 times the actors of the one before: six less is a seventeenth.
        Self { n: if size.0.quick { size.count("n") - 6 } else { size.count("n") } }
    }

    fn operations(&self) -> u64 {
        2 * fibonacci(self.n) - 1
    }

    fn expected(&self) -> u64 {
        fibonacci(self.n)
    }

    fn start<S: System>(self, outcome: Outcome) {
        let first = S::spawn(Adder::<S> { parent: None, sum: 0, left: 0, outcome });
        first.tell(ToAdder::Request(self.n));
    }
}

impl<S: System> Adder<S> {
    /// Answers with the sum.
    fn finish(&self) -> Flow {
        match &self.parent {
            Some(parent) => parent.tell(ToAdder::Response(self.sum)),
            None => self.outcome.add(self.sum),
        }
        Flow::Stop
    }
}

impl<S: System> Behaviour<S> for Adder<S> {
    type Message = ToAdder;

    fn handle(&mut self, message: ToAdder, me: &impl Me<S, Self>) -> Flow {
        match message {
            ToAdder::Request(n) if n <= 2 => {
                self.sum = 1;
                return self.finish();
            }
            ToAdder::Request(n) => {
                for smaller in [n - 1, n - 2] {
                    let parent = Some(me.me());
                    let child = Adder { parent, sum: 0, left: 0, outcome: self.outcome.clone() };
                    S::spawn(child).tell(ToAdder::Request(smaller));
                }
                self.left = 2;
            }
            ToAdder::Response(value) => {
                self.sum += value;
                self.left -= 1;
                if self.left == 0 {
                    return self.finish();
                }
            }
        }
        Flow::Continue
    }
}
