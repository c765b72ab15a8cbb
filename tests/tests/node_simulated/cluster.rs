//! Hosts of one simulated world: a single thread runs all of their tasks, in an order that is all chance, by
//! a clock that moves as they run, and to the next event when none of them can go on.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::{Duration, Instant};

use fastrand::Rng;
use twoply_core::backend::{Backend, Driver, Job, Mode, SpawnError, Strand, StrandState, Unpark};
use twoply_core::parker::Parker;
use twoply_core::reactor::{Interest, IoSource};
use twoply_core::task::{Builder, Task, TaskList};
use twoply_core::time::sleep;
use twoply_core::timers::Timers;
use twoply_core::world::{Address, Globals, Numbers, Resolving, Socket, SocketKind, World};
use twoply_core::{Wait, coop, strand};

use super::toy::{Carrier, Parcel, Toy};

/// The time that a turn of a task takes.
const TURN: Duration = Duration::from_micros(1);
/// The time that a parcel takes, and one that is lost and sent again.
const TRIP: Range<u64> = 50..20_000;
const AGAIN: Range<u64> = 200_000..2_000_000;
/// One of so many parcels is lost.
const LOST: u32 = 32;

/// A parcel that has arrived: how long after the beginning, where, on which connection, and what it was.
pub(crate) type Arrival = (Duration, IpAddr, u64, Vec<u8>);

/// The world, as long as a program runs in it.
pub(crate) struct Cluster {
    shared: Arc<Shared>,
    hosts: Vec<Arc<Host>>,
}

/// The part of a world that all hosts share.
struct Shared {
    start: Instant,
    now: Mutex<Instant>,
    timers: Arc<Timers>,
    /// The jobs that can go on, each with the place of its host.
    queue: Mutex<Vec<(usize, Job)>>,
    random: Mutex<Rng>,
    lines: Mutex<Lines>,
}

/// The lines between the hosts, which lose nothing: what is lost on one is sent again.
#[derive(Default)]
struct Lines {
    /// The parcels that are under way, by the time at which they arrive, and by their number.
    under_way: BTreeMap<(Instant, u64), Parcel>,
    number: u64,
    /// The time at which the last parcel of a connection arrives on a host.
    last: BTreeMap<(u64, IpAddr), Instant>,
    /// The ways on which nothing comes through.
    silent: BTreeSet<(IpAddr, IpAddr)>,
    /// The parcels that would have arrived by one of those.
    held: Vec<Parcel>,
    arrived: Vec<Arrival>,
}

/// A host: the backend of the tasks on it, and their world.
pub(crate) struct Host {
    place: usize,
    pub(crate) address: Ipv4Addr,
    tasks: Arc<TaskList>,
    shared: Arc<Shared>,
    world: Arc<dyn World>,
}

/// The outside of a host.
struct HostWorld {
    network: Toy,
    globals: Globals,
    shared: Arc<Shared>,
}

/// The stack of a task, or of the program.
struct HostStrand {
    state: StrandState,
    host: Arc<Host>,
    cluster: Rc<Cluster>,
}

/// The one thread looks at the parker by itself.
struct Nothing;

impl Unpark for Nothing {
    fn unpark(&self) {}
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// Runs `program` in a world of so many hosts, whose numbers nobody else has meanwhile. Returns what it
/// returns, and what has arrived on the hosts.
pub(crate) fn simulate<T>(
    numbers: u16,
    seed: u64,
    hosts: usize,
    program: impl FnOnce(&Rc<Cluster>) -> T,
) -> (T, Vec<Arrival>) {
    let mut numbers = Numbers::claim(numbers).expect("another world has these numbers");
    numbers.with(|| {
        let cluster = Cluster::new(seed, hosts);
        let result = program(&cluster);
        cluster.end();
        let arrived = std::mem::take(&mut lock(&cluster.shared.lines).arrived);
        (result, arrived)
    })
}

impl Cluster {
    fn new(seed: u64, hosts: usize) -> Rc<Cluster> {
        let start = Instant::now();
        let shared = Arc::new(Shared {
            start,
            now: Mutex::new(start),
            timers: Timers::new(|| ()),
            queue: Mutex::default(),
            random: Mutex::new(Rng::with_seed(seed)),
            lines: Mutex::default(),
        });
        let network = Toy::default();
        let host = |place: usize| {
            // On another network a node would have to be warned of what it does without TLS.
            let address = Ipv4Addr::new(127, 0, 0, place as u8 + 1);
            let carries = Arc::clone(&shared);
            let carrier: Carrier = Arc::new(move |parcel| carries.carry(parcel));
            let network = network.at(address, carrier);
            let world = HostWorld { network, globals: Globals::default(), shared: Arc::clone(&shared) };
            let (tasks, shared) = (TaskList::new(), Arc::clone(&shared));
            Arc::new(Host { place, address, tasks, shared, world: Arc::new(world) })
        };
        Rc::new(Cluster { hosts: (0..hosts).map(host).collect(), shared })
    }

    pub(crate) fn host(&self, place: usize) -> &Arc<Host> {
        &self.hosts[place]
    }

    /// Returns a number of this range, by chance.
    pub(crate) fn chance(&self, range: Range<u64>) -> u64 {
        lock(&self.shared.random).u64(range)
    }

    fn enter<T>(self: &Rc<Self>, host: &Arc<Host>, f: impl FnOnce() -> T) -> T {
        let state = StrandState::new(Parker::new(Nothing));
        coop::set_budget(&state, coop::BUDGET);
        strand::enter(&HostStrand { state, host: Arc::clone(host), cluster: Rc::clone(self) }, f)
    }

    /// Starts a task on a host.
    pub(crate) fn spawn<T: Send + 'static>(
        self: &Rc<Self>,
        place: usize,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        self.enter(self.host(place), || Builder::new().spawn(future).unwrap())
    }

    /// Waits for a task, while everything else goes on.
    pub(crate) fn join<T: Send + 'static>(self: &Rc<Self>, task: Task<T>) -> T {
        self.enter(self.host(0), || task.wait().unwrap())
    }

    /// Runs a future as a task on a host, and returns its output.
    pub(crate) fn run<T: Send + 'static>(
        self: &Rc<Self>,
        place: usize,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.join(self.spawn(place, future))
    }

    /// Lets so much time pass.
    pub(crate) fn pass(self: &Rc<Self>, time: Duration) {
        // By the clock of the host, which is none of the caller's.
        self.run(0, async move { sleep(time).await });
    }

    /// Has nothing come through from one host to another one.
    pub(crate) fn silence(&self, from: usize, to: usize) {
        let way = [from, to].map(|place| IpAddr::from(self.hosts[place].address));
        lock(&self.shared.lines).silent.insert(way.into());
    }

    /// Ends all silence: what has been sent meanwhile comes through by and by.
    pub(crate) fn heal(&self) {
        let sent: Vec<_> = {
            let mut lines = lock(&self.shared.lines);
            lines.silent.clear();
            lines.last.clear();
            // What is under way stays behind what was sent before it.
            let under_way = std::mem::take(&mut lines.under_way).into_values();
            lines.held.drain(..).chain(under_way).collect()
        };
        sent.into_iter().for_each(|parcel| self.shared.carry(parcel));
    }

    /// Returns how many tasks a host has.
    pub(crate) fn tasks(&self, place: usize) -> usize {
        self.hosts[place].tasks.len()
    }

    /// Runs a job, or moves the clock to the next event. False when there is neither.
    fn step(self: &Rc<Self>) -> bool {
        let Shared { timers, queue, random, now, lines, .. } = &*self.shared;
        let job = {
            let mut queue = lock(queue);
            let len = queue.len();
            (len > 0).then(|| queue.swap_remove(lock(random).usize(..len)))
        };
        match job {
            Some((place, job)) => {
                self.enter(self.host(place), || job.run());
                *lock(now) += TURN;
            }
            None => {
                let arrival = lock(lines).under_way.keys().next().map(|(at, _)| *at);
                let Some(next) = timers.next().into_iter().chain(arrival).min() else { return false };
                let mut now = lock(now);
                *now = next.max(*now);
            }
        }
        let now = *lock(now);
        timers.fire(now);
        while let Some(parcel) = self.shared.arrival(now) {
            parcel.arrive();
        }
        true
    }

    /// Cancels all tasks, and waits until they are gone.
    fn end(self: &Rc<Self>) {
        self.hosts.iter().for_each(|host| self.enter(host, || host.tasks.close()));
        while self.hosts.iter().any(|host| !host.tasks.is_empty()) {
            assert!(self.step(), "a task is left that nobody wakes");
        }
        let held = std::mem::take(&mut *lock(&self.shared.lines));
        lock(&self.shared.lines).arrived = held.arrived;
    }
}

impl Shared {
    /// Takes what a host sends, in pieces.
    fn carry(&self, mut parcel: Parcel) {
        let now = *lock(&self.now);
        let (mut lines, mut random) = (lock(&self.lines), lock(&self.random));
        loop {
            let cut = random.usize(1..64);
            let rest = (parcel.bytes.len() > cut && random.bool()).then(|| parcel.split_off(cut));
            let trip = if random.u32(..LOST) == 0 { AGAIN } else { TRIP };
            let arrives = now + Duration::from_micros(random.u64(trip));
            let last = lines.last.entry((parcel.connection, parcel.to)).or_insert(arrives);
            *last = arrives.max(*last);
            let arrives = *last;
            lines.number += 1;
            let number = lines.number;
            lines.under_way.insert((arrives, number), parcel);
            match rest {
                Some(rest) => parcel = rest,
                None => return,
            }
        }
    }

    /// Returns a parcel that has arrived by now.
    fn arrival(&self, now: Instant) -> Option<Parcel> {
        let mut lines = lock(&self.lines);
        loop {
            let entry = lines.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
            let ((at, _), parcel) = entry.remove_entry();
            if lines.silent.contains(&(parcel.from, parcel.to)) {
                lines.held.push(parcel);
                continue;
            }
            lines.arrived.push((at - self.start, parcel.to, parcel.connection, parcel.bytes.clone()));
            return Some(parcel);
        }
    }
}

impl World for HostWorld {
    fn socket(&self, kind: SocketKind, address: &Address) -> io::Result<Option<Box<dyn Socket>>> {
        self.network.socket(kind, address)
    }

    fn resolve(&self, host: &str, port: u16) -> Option<Resolving> {
        self.network.resolve(host, port)
    }

    fn random(&self) -> Option<u64> {
        Some(lock(&self.shared.random).u64(..))
    }

    fn secret(&self) -> Option<u64> {
        self.random()
    }

    fn globals(&self) -> Option<&Globals> {
        Some(&self.globals)
    }
}

impl Backend for Host {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn mode(&self) -> Mode {
        Mode::Polling
    }

    fn tasks(&self) -> &Arc<TaskList> {
        &self.tasks
    }

    fn start(&self, job: Job) -> Result<(), SpawnError> {
        self.resume(job, false);
        Ok(())
    }

    fn resume(&self, job: Job, _yielded: bool) {
        lock(&self.shared.queue).push((self.place, job));
    }
}

impl Strand for HostStrand {
    fn state(&self) -> &StrandState {
        &self.state
    }

    fn park(&self) {
        while self.state.parker().is_parked() {
            assert!(self.cluster.step(), "everything waits for ever");
        }
    }

    fn driver(&self) -> &dyn Driver {
        self
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        Some(Arc::clone(&self.host) as _)
    }

    fn world(&self) -> Option<&Arc<dyn World>> {
        Some(&self.host.world)
    }
}

impl Driver for HostStrand {
    fn now(&self) -> Instant {
        *lock(&self.host.shared.now)
    }

    fn watch(&self, _: &Arc<IoSource>, _: Interest, _: &Waker) -> io::Result<()> {
        panic!("a simulated socket is watched");
    }

    fn timers(&self, _: &Waker) -> io::Result<Arc<Timers>> {
        Ok(Arc::clone(&self.host.shared.timers))
    }
}
