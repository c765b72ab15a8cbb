//! Savina's micro benchmarks but for [the crowds](super::crowd): PingPong, Counting, ForkJoin (Throughput),
//! ForkJoin (Create) and ThreadRing.

use std::hint::black_box;

use super::{Benchmark, Size};
use crate::workload::actor::system::{Behaviour, Flow, Me, Outcome, Ref, System};

/// Two actors send one message back and forth.
#[derive(Clone, Copy)]
pub(super) struct PingPong {
    /// How often it goes there and back.
    pings: u64,
}

/// Sends the pings, and counts the answers.
struct Ping<S: System> {
    /// Who answers.
    pong: Ref<S, Pong>,
    /// How many pings are still to be sent.
    left: u64,
    /// Gets one for each answer.
    outcome: Outcome,
}

/// Answers pings.
struct Pong {
    /// Held to the end.
    _outcome: Outcome,
}

/// A ping with the one who wants the answer, or the end.
enum ToPong<S: System> {
    /// To be answered.
    Ping(Ref<S, Ping<S>>),
    /// There are no more.
    End,
}

impl Benchmark for PingPong {
    fn new(size: &Size<'_>) -> Self {
        Self { pings: size.rounds("pings") }
    }

    fn operations(&self) -> u64 {
        2 * self.pings
    }

    fn expected(&self) -> u64 {
        self.pings
    }

    fn start<S: System>(self, outcome: Outcome) {
        let pong = S::spawn(Pong { _outcome: outcome.clone() });
        let ping = S::spawn(Ping::<S> { pong: pong.clone(), left: self.pings - 1, outcome });
        pong.tell(ToPong::Ping(ping));
    }
}

impl<S: System> Behaviour<S> for Ping<S> {
    type Message = ();

    fn handle(&mut self, (): (), me: &impl Me<S, Self>) -> Flow {
        self.outcome.add(1);
        if self.left == 0 {
            self.pong.tell(ToPong::End);
            return Flow::Stop;
        }
        self.left -= 1;
        self.pong.tell(ToPong::Ping(me.me()));
        Flow::Continue
    }
}

impl<S: System> Behaviour<S> for Pong {
    type Message = ToPong<S>;

    fn handle(&mut self, message: ToPong<S>, _: &impl Me<S, Self>) -> Flow {
        match message {
            ToPong::Ping(ping) => ping.tell(()),
            ToPong::End => return Flow::Stop,
        }
        Flow::Continue
    }
}

/// One actor floods another one with messages, and then asks how many came.
#[derive(Clone, Copy)]
pub(super) struct Counting {
    /// How many messages.
    messages: u64,
}

/// Sends the flood, and gets the count.
struct Producer<S: System> {
    /// Who counts.
    counter: Ref<S, Counter>,
    /// How many messages to send.
    messages: u64,
    /// Gets the count.
    outcome: Outcome,
}

/// To the producer.
enum ToProducer {
    /// It begins.
    Start,
    /// The answer of the counter.
    Counted(u64),
}

/// Counts.
struct Counter {
    /// How many so far.
    count: u64,
    /// Held to the end.
    _outcome: Outcome,
}

/// To the counter.
enum ToCounter<S: System> {
    /// One more.
    Increment,
    /// Tell how many, and end.
    Retrieve(Ref<S, Producer<S>>),
}

impl Benchmark for Counting {
    fn new(size: &Size<'_>) -> Self {
        Self { messages: size.rounds("messages") }
    }

    fn operations(&self) -> u64 {
        self.messages
    }

    fn expected(&self) -> u64 {
        self.messages
    }

    fn start<S: System>(self, outcome: Outcome) {
        let counter = S::spawn(Counter { count: 0, _outcome: outcome.clone() });
        let producer = S::spawn(Producer::<S> { counter, messages: self.messages, outcome });
        producer.tell(ToProducer::Start);
    }
}

impl<S: System> Behaviour<S> for Producer<S> {
    type Message = ToProducer;

    fn handle(&mut self, message: ToProducer, me: &impl Me<S, Self>) -> Flow {
        match message {
            ToProducer::Start => {
                for _ in 0..self.messages {
                    self.counter.tell(ToCounter::Increment);
                }
                self.counter.tell(ToCounter::Retrieve(me.me()));
                Flow::Continue
            }
            ToProducer::Counted(count) => {
                self.outcome.add(count);
                Flow::Stop
            }
        }
    }
}

impl<S: System> Behaviour<S> for Counter {
    type Message = ToCounter<S>;

    fn handle(&mut self, message: ToCounter<S>, _: &impl Me<S, Self>) -> Flow {
        match message {
            ToCounter::Increment => {
                self.count += 1;
                Flow::Continue
            }
            ToCounter::Retrieve(producer) => {
                producer.tell(ToProducer::Counted(self.count));
                Flow::Stop
            }
        }
    }
}

/// The work of one message of the two ForkJoin benchmarks, as the suite has it.
fn compute(theta: f64) {
    let sine = black_box(theta).sin();
    black_box(sine * sine);
}

/// Many messages to each of many actors that work a little.
#[derive(Clone, Copy)]
pub(super) struct ForkJoinThroughput {
    /// How many messages each actor gets.
    messages: u64,
    /// How many actors.
    actors: u64,
}

/// Works for each message, and ends after the last one.
struct Worker {
    /// How many messages there are for it.
    messages: u64,
    /// How many it has handled.
    handled: u64,
    /// Gets the number of messages that were handled.
    outcome: Outcome,
}

impl Benchmark for ForkJoinThroughput {
    fn new(size: &Size<'_>) -> Self {
        Self { messages: size.rounds("messages"), actors: size.count("actors") }
    }

    fn operations(&self) -> u64 {
        self.messages * self.actors
    }

    fn expected(&self) -> u64 {
        self.operations()
    }

    fn start<S: System>(self, outcome: Outcome) {
        let worker = |_| Worker { messages: self.messages, handled: 0, outcome: outcome.clone() };
        let workers: Vec<_> = (0..self.actors).map(worker).map(S::spawn).collect();
        for _ in 0..self.messages {
            for worker in &workers {
                worker.tell(());
            }
        }
    }
}

impl<S: System> Behaviour<S> for Worker {
    type Message = ();

    fn handle(&mut self, (): (), _: &impl Me<S, Self>) -> Flow {
        compute(37.2);
        self.handled += 1;
        if self.handled < self.messages {
            return Flow::Continue;
        }
        self.outcome.add(self.handled);
        Flow::Stop
    }
}

/// One message to each of very many actors that work a little and end.
#[derive(Clone, Copy)]
pub(super) struct ForkJoinCreate {
    /// How many actors.
    actors: u64,
}

impl Benchmark for ForkJoinCreate {
    fn new(size: &Size<'_>) -> Self {
        Self { actors: size.rounds("actors") }
    }

    fn operations(&self) -> u64 {
        self.actors
    }

    fn expected(&self) -> u64 {
        self.actors
    }

    fn start<S: System>(self, outcome: Outcome) {
        for _ in 0..self.actors {
            let worker = S::spawn(Worker { messages: 1, handled: 0, outcome: outcome.clone() });
            worker.tell(());
        }
    }
}

/// One message goes around a ring of actors.
#[derive(Clone, Copy)]
pub(crate) struct ThreadRing {
    /// How many actors are in the ring.
    actors: u64,
    /// How many steps the message makes.
    hops: u64,
}

/// Passes the message on.
struct Link<S: System> {
    /// The next one, once it is known.
    next: Option<Ref<S, Link<S>>>,
    /// How many steps the message makes.
    hops: u64,
    /// Gets that number when it has made them.
    outcome: Outcome,
}

/// To a member of a ring.
enum ToLink<S: System> {
    /// Who the next one is.
    Next(Ref<S, Link<S>>),
    /// The message, with how many steps it has still to make.
    Ping(u64),
    /// The ring is taken apart: it goes around once, to whoever sent it first and has ended by then.
    End,
}

impl ThreadRing {
    /// A ring of that many actors, and a message that makes that many steps.
    pub(crate) fn of(actors: u64, hops: u64) -> Self {
        Self { actors, hops }
    }
}

impl Benchmark for ThreadRing {
    fn new(size: &Size<'_>) -> Self {
        Self { actors: size.count("actors"), hops: size.rounds("hops") }
    }

    fn operations(&self) -> u64 {
        self.hops
    }

    fn expected(&self) -> u64 {
        self.hops
    }

    fn start<S: System>(self, outcome: Outcome) {
        let first = S::spawn(Link::<S> { next: None, hops: self.hops, outcome: outcome.clone() });
        let mut last = first.clone();
        for _ in 1..self.actors {
            last = S::spawn(Link::<S> { next: Some(last), hops: self.hops, outcome: outcome.clone() });
        }
        first.tell(ToLink::Next(last));
        first.tell(ToLink::Ping(self.hops));
    }
}

impl<S: System> Behaviour<S> for Link<S> {
    type Message = ToLink<S>;

    fn handle(&mut self, message: ToLink<S>, _: &impl Me<S, Self>) -> Flow {
        let (pass_on, flow) = match message {
            ToLink::Next(next) => {
                self.next = Some(next);
                return Flow::Continue;
            }
            ToLink::Ping(0) => {
                self.outcome.add(self.hops);
                (ToLink::End, Flow::Stop)
            }
            ToLink::Ping(left) => (ToLink::Ping(left - 1), Flow::Continue),
            ToLink::End => (ToLink::End, Flow::Stop),
        };
        if let Some(next) = &self.next {
            next.tell(pass_on);
        }
        flow
    }
}
