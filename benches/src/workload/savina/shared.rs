//! Savina's benchmarks of one actor that many others use: Dictionary, SortedList and BoundedBuffer.

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;

use super::{Benchmark, Random, Size};
use crate::workload::actor::system::{Behaviour, Flow, Me, Outcome, Ref, System};

/// How many of a hundred operations write.
const WRITES: u64 = 10;

/// Many actors read and write one dictionary.
#[derive(Clone, Copy)]
pub(super) struct Dictionary(Users);

/// Many actors look up and insert in one sorted list.
#[derive(Clone, Copy)]
pub(super) struct SortedList(Users);

/// The actors that use a store.
#[derive(Clone, Copy)]
struct Users {
    /// How many.
    count: u64,
    /// How many operations each of them does.
    operations: u64,
}

/// What is read and written.
trait Contents: Default + Send + Unpin + 'static {
    /// Writes, and answers what was there.
    fn write(&mut self, key: u64) -> u64;

    /// Reads.
    fn read(&self, key: u64) -> u64;
}

impl Contents for HashMap<u64, u64> {
    fn write(&mut self, key: u64) -> u64 {
        self.insert(key, key).unwrap_or_default()
    }

    fn read(&self, key: u64) -> u64 {
        self.get(&key).copied().unwrap_or_default()
    }
}

/// A sorted list. It is walked from its start, as the suite's linked list is.
#[derive(Default)]
struct Sorted(Vec<u64>);

impl Contents for Sorted {
    fn write(&mut self, key: u64) -> u64 {
        let place = self.0.iter().position(|&other| other >= key).unwrap_or(self.0.len());
        self.0.insert(place, key);
        place as u64
    }

    fn read(&self, key: u64) -> u64 {
        self.0.iter().position(|&other| other >= key).unwrap_or_default() as u64
    }
}

/// The actor that many use.
struct Store<C> {
    /// What they use.
    contents: C,
    /// How many of them have not ended.
    users: u64,
    /// Held to the end.
    _outcome: Outcome,
}

/// To the store.
enum ToStore<S: System, C: Contents> {
    /// Write that key, and answer.
    Write(u64, Ref<S, User<S, C>>),
    /// Read that key, and answer.
    Read(u64, Ref<S, User<S, C>>),
    /// A user has done its operations.
    Done,
}

/// Does its operations one after the other.
struct User<S: System, C: Contents> {
    /// Where.
    store: Ref<S, Store<C>>,
    /// How many are still to be done.
    left: u64,
    /// Which one is next.
    random: Random,
    /// Gets one for each answer.
    outcome: Outcome,
}

/// To a user.
enum ToUser {
    /// It begins.
    Start,
    /// The answer to its operation.
    Answer(u64),
}

impl Users {
    fn new(size: &Size<'_>) -> Self {
        Self { count: size.count("users"), operations: size.rounds("operations") }
    }

    /// Each is a message there and one back.
    fn messages(self) -> u64 {
        2 * self.expected()
    }

    fn expected(self) -> u64 {
        self.count * self.operations
    }

    fn start<S: System, C: Contents>(self, outcome: &Outcome) {
        let store = S::spawn(Store { contents: C::default(), users: self.count, _outcome: outcome.clone() });
        for number in 0..self.count {
            let random = Random::new(number);
            let user = User { store: store.clone(), left: self.operations, random, outcome: outcome.clone() };
            S::spawn(user).tell(ToUser::Start);
        }
    }
}

impl Benchmark for Dictionary {
    fn new(size: &Size<'_>) -> Self {
        Self(Users::new(size))
    }

    fn operations(&self) -> u64 {
        self.0.messages()
    }

    fn expected(&self) -> u64 {
        self.0.expected()
    }

    fn start<S: System>(self, outcome: Outcome) {
        self.0.start::<S, HashMap<u64, u64>>(&outcome);
    }
}

impl Benchmark for SortedList {
    fn new(size: &Size<'_>) -> Self {
        Self(Users::new(size))
    }

    fn operations(&self) -> u64 {
        self.0.messages()
    }

    fn expected(&self) -> u64 {
        self.0.expected()
    }

    fn start<S: System>(self, outcome: Outcome) {
        self.0.start::<S, Sorted>(&outcome);
    }
}

impl<S: System, C: Contents> Behaviour<S> for Store<C> {
    type Message = ToStore<S, C>;

    fn handle(&mut self, message: ToStore<S, C>, _: &impl Me<S, Self>) -> Flow {
        match message {
            ToStore::Write(key, user) => user.tell(ToUser::Answer(self.contents.write(key))),
            ToStore::Read(key, user) => user.tell(ToUser::Answer(self.contents.read(key))),
            ToStore::Done => {
                self.users -= 1;
                if self.users == 0 {
                    return Flow::Stop;
                }
            }
        }
        Flow::Continue
    }
}

impl<S: System, C: Contents> Behaviour<S> for User<S, C> {
    type Message = ToUser;

    fn handle(&mut self, message: ToUser, me: &impl Me<S, Self>) -> Flow {
        if let ToUser::Answer(value) = message {
            black_box(value);
            self.outcome.add(1);
        }
        if self.left == 0 {
            self.store.tell(ToStore::Done);
            return Flow::Stop;
        }
        self.left -= 1;
        let (write, key) = (self.random.below(100) < WRITES, self.random.below(65536));
        self.store.tell(match write {
            true => ToStore::Write(key, me.me()),
            false => ToStore::Read(key, me.me()),
        });
        Flow::Continue
    }
}

/// Producers fill a buffer of a limited size, and consumers empty it.
#[derive(Clone, Copy)]
pub(super) struct BoundedBuffer {
    /// How many producers.
    producers: u64,
    /// How many consumers.
    consumers: u64,
    /// How many items the buffer is to hold.
    size: u64,
    /// How many items each producer makes.
    items: u64,
    /// What making or using up an item costs.
    cost: u64,
}

/// What it costs to make an item of another one, or to use it up.
fn process(item: f64, cost: u64) -> f64 {
    let mut random = Random::new(cost);
    let step = |_| (1.0 / (random.below(65536) + 1) as f64 + 0.01).ln();
    item + (0..cost * 100).map(step).sum::<f64>()
}

/// The buffer.
struct Manager<S: System> {
    /// How many items there may be before producers have to wait.
    size: usize,
    /// The items.
    items: VecDeque<f64>,
    /// Producers that wait for room.
    waiting_producers: VecDeque<Ref<S, Producer<S>>>,
    /// Consumers that wait for an item.
    waiting_consumers: VecDeque<Ref<S, Consumer<S>>>,
    /// How many producers have not ended.
    producers: u64,
    /// How many consumers there are.
    consumers: usize,
    /// Held to the end.
    _outcome: Outcome,
}

/// To the buffer.
enum ToManager<S: System> {
    /// A producer is there.
    Producer(Ref<S, Producer<S>>),
    /// A producer has made an item.
    Item(f64, Ref<S, Producer<S>>),
    /// A consumer wants an item.
    Consumer(Ref<S, Consumer<S>>),
    /// A producer has made all its items.
    Ended,
}

/// Makes items.
struct Producer<S: System> {
    /// Where they go.
    manager: Ref<S, Manager<S>>,
    /// How many are still to be made.
    left: u64,
    /// The last one.
    item: f64,
    /// What one costs.
    cost: u64,
    /// Held to the end.
    _outcome: Outcome,
}

/// Uses items up.
struct Consumer<S: System> {
    /// Where they come from.
    manager: Ref<S, Manager<S>>,
    /// What has come of the items.
    sum: f64,
    /// What one costs.
    cost: u64,
    /// Gets one for each item.
    outcome: Outcome,
}

impl Benchmark for BoundedBuffer {
    fn new(size: &Size<'_>) -> Self {
        Self {
            producers: size.count("producers"),
            consumers: size.count("consumers"),
            size: size.count("size"),
            items: size.rounds("items"),
            cost: size.count("cost"),
        }
    }

    fn operations(&self) -> u64 {
        self.expected()
    }

    fn expected(&self) -> u64 {
        self.producers * self.items
    }

    fn start<S: System>(self, outcome: Outcome) {
        let manager = S::spawn(Manager::<S> {
            // Each producer may have an item under way.
            size: (self.size - self.producers) as usize,
            items: VecDeque::new(),
            waiting_producers: VecDeque::new(),
            waiting_consumers: VecDeque::new(),
            producers: self.producers,
            consumers: self.consumers as usize,
            _outcome: outcome.clone(),
        });
        for _ in 0..self.producers {
            let producer = S::spawn(Producer {
                manager: manager.clone(),
                left: self.items,
                item: 0.0,
                cost: self.cost,
                _outcome: outcome.clone(),
            });
            manager.tell(ToManager::Producer(producer));
        }
        for _ in 0..self.consumers {
            let consumer = S::spawn(Consumer {
                manager: manager.clone(),
                sum: 0.0,
                cost: self.cost,
                outcome: outcome.clone(),
            });
            manager.tell(ToManager::Consumer(consumer));
        }
    }
}

impl<S: System> Behaviour<S> for Manager<S> {
    type Message = ToManager<S>;

    fn handle(&mut self, message: ToManager<S>, _: &impl Me<S, Self>) -> Flow {
        match message {
            ToManager::Producer(producer) => producer.tell(()),
            ToManager::Item(item, producer) => {
                match self.waiting_consumers.pop_front() {
                    Some(consumer) => consumer.tell(Some(item)),
                    None => self.items.push_back(item),
                }
                if self.items.len() >= self.size {
                    self.waiting_producers.push_back(producer);
                } else {
                    producer.tell(());
                }
            }
            ToManager::Consumer(consumer) => match self.items.pop_front() {
                Some(item) => {
                    consumer.tell(Some(item));
                    if let Some(producer) = self.waiting_producers.pop_front() {
                        producer.tell(());
                    }
                }
                None => self.waiting_consumers.push_back(consumer),
            },
            ToManager::Ended => self.producers -= 1,
        }
        if self.producers > 0 || self.waiting_consumers.len() < self.consumers {
            return Flow::Continue;
        }
        for consumer in &self.waiting_consumers {
            consumer.tell(None);
        }
        Flow::Stop
    }
}

impl<S: System> Behaviour<S> for Producer<S> {
    /// Make an item.
    type Message = ();

    fn handle(&mut self, (): (), me: &impl Me<S, Self>) -> Flow {
        if self.left == 0 {
            self.manager.tell(ToManager::Ended);
            return Flow::Stop;
        }
        self.left -= 1;
        self.item = process(self.item, self.cost);
        self.manager.tell(ToManager::Item(self.item, me.me()));
        Flow::Continue
    }
}

impl<S: System> Behaviour<S> for Consumer<S> {
    /// An item, or nothing if there will be no more.
    type Message = Option<f64>;

    fn handle(&mut self, item: Option<f64>, me: &impl Me<S, Self>) -> Flow {
        let Some(item) = item else { return Flow::Stop };
        self.sum = black_box(process(self.sum + item, self.cost));
        self.outcome.add(1);
        self.manager.tell(ToManager::Consumer(me.me()));
        Flow::Continue
    }
}
