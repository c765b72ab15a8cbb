//! Savina's classic problems of concurrency: Dining Philosophers, Sleeping Barber and Cigarette Smokers.

use std::collections::VecDeque;
use std::hint::black_box;

use super::{Benchmark, Random, Size};
use crate::workload::actor::system::{Behaviour, Flow, Me, Outcome, Ref, System};

/// Work that takes as many steps.
fn work(steps: u64) {
    let mut random = Random::new(steps);
    for _ in 0..steps {
        black_box(random.below(65536));
    }
}

/// Philosophers share forks, which an arbiter gives out two at a time.
#[derive(Clone, Copy)]
pub(super) struct Philosophers {
    /// How many sit at the table.
    philosophers: u64,
    /// How often each of them eats.
    rounds: u64,
}

/// Gives the forks out.
struct Arbiter {
    /// Which forks are in use. The philosopher of a number has the fork of that number on one side.
    taken: Vec<bool>,
    /// How many philosophers have not left.
    left: u64,
    /// Held to the end.
    _outcome: Outcome,
}

/// To the arbiter.
enum ToArbiter<S: System> {
    /// The philosopher of that number wants to eat.
    Hungry(usize, Ref<S, Philosopher<S>>),
    /// That one has eaten.
    Done(usize),
    /// One has left.
    Left,
}

/// Eats and thinks.
struct Philosopher<S: System> {
    /// Its place at the table.
    number: usize,
    /// Who gives the forks out.
    arbiter: Ref<S, Arbiter>,
    /// How often it is still to eat.
    left: u64,
    /// Gets one for each meal.
    outcome: Outcome,
}

/// To a philosopher.
#[derive(PartialEq, Eq)]
enum ToPhilosopher {
    /// It has thought enough.
    Start,
    /// A fork is in use.
    Denied,
    /// Both forks are there.
    Eat,
}

impl Benchmark for Philosophers {
    fn new(size: &Size<'_>) -> Self {
        Self { philosophers: size.count("philosophers"), rounds: size.rounds("rounds") }
    }

    fn operations(&self) -> u64 {
        self.expected()
    }

    fn expected(&self) -> u64 {
        self.philosophers * self.rounds
    }

    fn start<S: System>(self, outcome: Outcome) {
        let arbiter = S::spawn(Arbiter {
            taken: vec![false; self.philosophers as usize],
            left: self.philosophers,
            _outcome: outcome.clone(),
        });
        for number in 0..self.philosophers as usize {
            let arbiter = arbiter.clone();
            let philosopher =
                S::spawn(Philosopher { number, arbiter, left: self.rounds, outcome: outcome.clone() });
            philosopher.tell(ToPhilosopher::Start);
        }
    }
}

impl<S: System> Behaviour<S> for Arbiter {
    type Message = ToArbiter<S>;

    fn handle(&mut self, message: ToArbiter<S>, _: &impl Me<S, Self>) -> Flow {
        let forks = |number| (number, (number + 1) % self.taken.len());
        match message {
            ToArbiter::Hungry(number, philosopher) => {
                let (left, right) = forks(number);
                if self.taken[left] || self.taken[right] {
                    philosopher.tell(ToPhilosopher::Denied);
                } else {
                    (self.taken[left], self.taken[right]) = (true, true);
                    philosopher.tell(ToPhilosopher::Eat);
                }
            }
            ToArbiter::Done(number) => {
                let (left, right) = forks(number);
                (self.taken[left], self.taken[right]) = (false, false);
            }
            ToArbiter::Left => {
                self.left -= 1;
                if self.left == 0 {
                    return Flow::Stop;
                }
            }
        }
        Flow::Continue
    }
}

impl<S: System> Behaviour<S> for Philosopher<S> {
    type Message = ToPhilosopher;

    fn handle(&mut self, message: ToPhilosopher, me: &impl Me<S, Self>) -> Flow {
        if message != ToPhilosopher::Eat {
            self.arbiter.tell(ToArbiter::Hungry(self.number, me.me()));
            return Flow::Continue;
        }
        self.outcome.add(1);
        self.arbiter.tell(ToArbiter::Done(self.number));
        self.left -= 1;
        if self.left == 0 {
            self.arbiter.tell(ToArbiter::Left);
            return Flow::Stop;
        }
        me.me().tell(ToPhilosopher::Start);
        Flow::Continue
    }
}

/// Customers come to a barber, who sleeps when the waiting room is empty; they come again when it is full.
#[derive(Clone, Copy)]
pub(super) struct SleepingBarber {
    /// How many customers may wait.
    room: u64,
    /// How many customers there are.
    haircuts: u64,
}

/// The most steps of work that a haircut takes, and the arrival of the next customer.
const RATE: u64 = 1000;

/// Where customers wait.
struct Room<S: System> {
    /// Those who do.
    waiting: VecDeque<Ref<S, Customer<S>>>,
    /// How many may.
    seats: usize,
    /// Whether nobody has woken the barber.
    asleep: bool,
    /// Who cuts their hair.
    barber: Ref<S, Barber>,
    /// Held to the end.
    _outcome: Outcome,
}

/// To the waiting room.
enum ToRoom<S: System> {
    /// A customer comes.
    Enter(Ref<S, Customer<S>>),
    /// The barber is free.
    Next,
    /// All have been there.
    End,
}

/// Cuts hair.
struct Barber {
    /// How long the next one takes.
    random: Random,
    /// Held to the end.
    _outcome: Outcome,
}

/// To the barber.
enum ToBarber<S: System> {
    /// The next customer, and the room that he comes from.
    Enter(Ref<S, Customer<S>>, Ref<S, Room<S>>),
    /// There is none.
    Wait,
    /// There will be none.
    End,
}

/// Wants a haircut.
struct Customer<S: System> {
    /// Who sends customers to the room.
    street: Ref<S, Street<S>>,
    /// Gets one for each haircut.
    outcome: Outcome,
}

/// To a customer.
enum ToCustomer {
    /// There is no seat.
    Full,
    /// There is a seat.
    Wait,
    /// It begins.
    Start,
    /// It is done.
    Done,
}

/// Where customers come from.
struct Street<S: System> {
    /// Where they go.
    room: Ref<S, Room<S>>,
    /// How many haircuts there are to be.
    haircuts: u64,
    /// How many there were.
    done: u64,
    /// When the next customer comes.
    random: Random,
    /// For the customers.
    outcome: Outcome,
}

/// To the street.
enum ToStreet<S: System> {
    /// Send customers.
    Start,
    /// This one found no seat.
    Returned(Ref<S, Customer<S>>),
    /// A haircut is done.
    Done,
}

impl Benchmark for SleepingBarber {
    fn new(size: &Size<'_>) -> Self {
        Self { room: size.count("room"), haircuts: size.rounds("haircuts") }
    }

    fn operations(&self) -> u64 {
        self.haircuts
    }

    fn expected(&self) -> u64 {
        self.haircuts
    }

    fn start<S: System>(self, outcome: Outcome) {
        let barber = S::spawn(Barber { random: Random::new(1), _outcome: outcome.clone() });
        let room = S::spawn(Room::<S> {
            waiting: VecDeque::new(),
            seats: self.room as usize,
            asleep: true,
            barber,
            _outcome: outcome.clone(),
        });
        let street = Street::<S> { room, haircuts: self.haircuts, done: 0, random: Random::new(2), outcome };
        S::spawn(street).tell(ToStreet::Start);
    }
}

impl<S: System> Behaviour<S> for Room<S> {
    type Message = ToRoom<S>;

    fn handle(&mut self, message: ToRoom<S>, me: &impl Me<S, Self>) -> Flow {
        match message {
            ToRoom::Enter(customer) if self.waiting.len() == self.seats => customer.tell(ToCustomer::Full),
            ToRoom::Enter(customer) => {
                if self.asleep {
                    self.asleep = false;
                    me.me().tell(ToRoom::Next);
                } else {
                    customer.tell(ToCustomer::Wait);
                }
                self.waiting.push_back(customer);
            }
            ToRoom::Next => match self.waiting.pop_front() {
                Some(customer) => self.barber.tell(ToBarber::Enter(customer, me.me())),
                None => {
                    self.asleep = true;
                    self.barber.tell(ToBarber::Wait);
                }
            },
            ToRoom::End => {
                self.barber.tell(ToBarber::End);
                return Flow::Stop;
            }
        }
        Flow::Continue
    }
}

impl<S: System> Behaviour<S> for Barber {
    type Message = ToBarber<S>;

    fn handle(&mut self, message: ToBarber<S>, _: &impl Me<S, Self>) -> Flow {
        match message {
            ToBarber::Enter(customer, room) => {
                customer.tell(ToCustomer::Start);
                work(self.random.below(RATE) + 10);
                customer.tell(ToCustomer::Done);
                room.tell(ToRoom::Next);
            }
            ToBarber::Wait => {}
            ToBarber::End => return Flow::Stop,
        }
        Flow::Continue
    }
}

impl<S: System> Behaviour<S> for Customer<S> {
    type Message = ToCustomer;

    fn handle(&mut self, message: ToCustomer, me: &impl Me<S, Self>) -> Flow {
        match message {
            ToCustomer::Full => self.street.tell(ToStreet::Returned(me.me())),
            ToCustomer::Wait | ToCustomer::Start => {}
            ToCustomer::Done => {
                self.outcome.add(1);
                self.street.tell(ToStreet::Done);
                return Flow::Stop;
            }
        }
        Flow::Continue
    }
}

impl<S: System> Behaviour<S> for Street<S> {
    type Message = ToStreet<S>;

    fn handle(&mut self, message: ToStreet<S>, me: &impl Me<S, Self>) -> Flow {
        match message {
            ToStreet::Start => {
                for _ in 0..self.haircuts {
                    let customer = Customer { street: me.me(), outcome: self.outcome.clone() };
                    self.room.tell(ToRoom::Enter(S::spawn(customer)));
                    work(self.random.below(RATE) + 10);
                }
            }
            ToStreet::Returned(customer) => self.room.tell(ToRoom::Enter(customer)),
            ToStreet::Done => {
                self.done += 1;
                if self.done == self.haircuts {
                    self.room.tell(ToRoom::End);
                    return Flow::Stop;
                }
            }
        }
        Flow::Continue
    }
}

/// Smokers get what they need from a table, one of them at a time.
#[derive(Clone, Copy)]
pub(super) struct CigaretteSmokers {
    /// How many smokers.
    smokers: u64,
    /// How often one of them smokes.
    rounds: u64,
}

/// Chooses who smokes next.
struct Table<S: System> {
    /// All smokers, once they are known.
    smokers: Vec<Ref<S, Smoker<S>>>,
    /// How many rounds there are still to be.
    left: u64,
    /// Who is next, and for how long.
    random: Random,
    /// Gets one for each round.
    outcome: Outcome,
}

/// Smokes.
struct Smoker<S: System> {
    /// Who is told when it begins.
    table: Ref<S, Table<S>>,
    /// Held to the end.
    _outcome: Outcome,
}

/// To the table.
enum ToTable<S: System> {
    /// These are the smokers: choose the first one.
    Start(Vec<Ref<S, Smoker<S>>>),
    /// One has begun, so the next one may.
    Started,
}

/// To a smoker.
enum ToSmoker {
    /// Smoke for that many steps.
    Smoke(u64),
    /// There are no more rounds.
    End,
}

impl Benchmark for CigaretteSmokers {
    fn new(size: &Size<'_>) -> Self {
        Self { smokers: size.count("smokers"), rounds: size.rounds("rounds") }
    }

    fn operations(&self) -> u64 {
        self.rounds
    }

    fn expected(&self) -> u64 {
        self.rounds
    }

    fn start<S: System>(self, outcome: Outcome) {
        let random = Random::new(3);
        let table = Table::<S> { smokers: Vec::new(), left: self.rounds, random, outcome: outcome.clone() };
        let table = S::spawn(table);
        let smoker = |_| Smoker { table: table.clone(), _outcome: outcome.clone() };
        table.tell(ToTable::Start((0..self.smokers).map(smoker).map(S::spawn).collect()));
    }
}

impl<S: System> Behaviour<S> for Table<S> {
    type Message = ToTable<S>;

    fn handle(&mut self, message: ToTable<S>, _: &impl Me<S, Self>) -> Flow {
        match message {
            ToTable::Start(smokers) => self.smokers = smokers,
            ToTable::Started => {
                self.outcome.add(1);
                self.left -= 1;
            }
        }
        if self.left == 0 {
            for smoker in &self.smokers {
                smoker.tell(ToSmoker::End);
            }
            return Flow::Stop;
        }
        let next = self.random.below(self.smokers.len() as u64) as usize;
        self.smokers[next].tell(ToSmoker::Smoke(self.random.below(1000) + 10));
        Flow::Continue
    }
}

impl<S: System> Behaviour<S> for Smoker<S> {
    type Message = ToSmoker;

    fn handle(&mut self, message: ToSmoker, _: &impl Me<S, Self>) -> Flow {
        match message {
            ToSmoker::Smoke(steps) => {
                self.table.tell(ToTable::Started);
                work(steps);
                Flow::Continue
            }
            ToSmoker::End => Flow::Stop,
        }
    }
}
