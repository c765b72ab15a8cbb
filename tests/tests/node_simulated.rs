//! Two nodes of ours on hosts of a simulated world, between which lines are slow, lose parcels, and are
//! silent one way or both: what links, monitors, questions and groups come to is the same as on real lines,
//! an hour of it takes a moment, and it can be had again.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use twoply_core::actor::{self, Event, ExitReason, Group, Process, ProcessRef};
use twoply_core::channel::Receiver;
use twoply_core::promise::Resolver;
use twoply_core::task::Task;
use twoply_core::time::sleep;
use twoply_node::wire::{FromTerm, Pid, Term, ToTerm};
use twoply_node::{Event as NodeEvent, Node, Pg};
use twoply_tests::watch;

use self::cluster::{Arrival, Cluster, simulate};

#[path = "node_simulated/cluster.rs"]
mod cluster;
#[path = "node_simulated/lingers.rs"]
mod lingers;
// Not each suite needs all of it.
#[allow(dead_code)]
#[path = "../../core/tests/simulated_net/toy.rs"]
mod toy;

const NAMES: [&str; 2] = ["one@alpha", "two@beta"];
const SECOND: Duration = Duration::from_secs(1);

/// The messages to the server of a node.
#[derive(ToTerm, FromTerm)]
#[term(crate = twoply_node)]
enum Order {
    #[term(call)]
    Add(u64, Resolver<u64>),
    /// Is never answered.
    #[term(call)]
    Silence(Resolver<u64>),
    #[term(cast)]
    Number(u64),
}

/// Something that tasks on hosts tell the test.
type Heard<T> = Arc<Mutex<Vec<T>>>;

fn heard<T: Clone>(heard: &Heard<T>) -> Vec<T> {
    heard.lock().unwrap().clone()
}

/// Two nodes that know each other's address, each with a server and a scope of groups.
struct Setup {
    cluster: Rc<Cluster>,
    nodes: [Node; 2],
    events: [Receiver<NodeEvent>; 2],
    servers: [(ProcessRef<Order>, Pid); 2],
    numbers: [Heard<u64>; 2],
    groups: [(Pg, Group<()>); 2],
}

impl Setup {
    fn new(cluster: &Rc<Cluster>) -> Setup {
        let nodes = [0, 1].map(|place| {
            let address = SocketAddr::from((cluster.host(place).address, 0));
            let builder = Node::builder(NAMES[place]).cookie("biscuit").without_epmd();
            cluster.run(place, builder.listen(address).start()).unwrap()
        });
        let numbers = [(); 2].map(|()| Heard::default());
        let parts = |place: usize| {
            let (node, there) = (nodes[place].clone(), &nodes[1 - place]);
            node.add_peer(there.name(), there.local_addr());
            let numbers = Arc::clone(&numbers[place]);
            let parts = cluster.run(place, async move {
                let server = actor::Builder::new().trap_exit(true).spawn(|me| serve(me, numbers)).unwrap();
                node.register("server", &server).unwrap();
                let pid = node.expose(&server).unwrap();
                let (pg, group) = (node.pg("books").unwrap(), Group::new());
                pg.share(readers(), &group);
                group.join(&actor::spawn(idle).unwrap());
                ((server, pid), (pg, group))
            });
            (parts, nodes[place].events())
        };
        let [((one, ones), events_of_one), ((two, twos), events_of_two)] = [0, 1].map(parts);
        Setup {
            cluster: Rc::clone(cluster),
            events: [events_of_one, events_of_two],
            servers: [one, two],
            groups: [ones, twos],
            numbers,
            nodes,
        }
    }

    fn connect(&self, place: usize) {
        self.cluster.join(self.connecting(place, Duration::ZERO));
    }

    /// Has a node connect to the other one after a while.
    fn connecting(&self, place: usize, after: Duration) -> Task<()> {
        let node = self.nodes[place].clone();
        self.cluster.spawn(place, async move {
            sleep(after).await;
            node.connect(NAMES[1 - place]).await.map(drop).unwrap();
        })
    }

    fn are_connected(&self) -> [bool; 2] {
        [0, 1].map(|place| self.nodes[place].nodes() == [NAMES[1 - place]])
    }

    /// Has the server of a node asked from the other one.
    fn asking(&self, place: usize, order: impl FnOnce(Resolver<u64>) -> Order + Send + 'static) -> Asking {
        let server = self.nodes[1 - place].remote(NAMES[place]).process::<Order>("server");
        let answer = async move { server.ask(order).await.map_err(|failure| failure.to_string()) };
        self.cluster.spawn(1 - place, answer)
    }

    /// Asserts that each asks the other one, and that both know the members of both.
    fn works(&self) {
        for place in [0, 1] {
            let asked = self.asking(place, |answer| Order::Add(6, answer));
            assert_eq!(self.cluster.join(asked), Ok(7));
        }
        self.agree(1, 1);
    }

    /// Waits until each knows so many members of the first one's and of the second one's.
    fn agree(&self, ones: usize, twos: usize) {
        for _ in 0..120 {
            if self.known() == [ones + twos; 2] {
                return;
            }
            self.cluster.pass(SECOND);
        }
        panic!("they know {:?} of {ones} and {twos}", self.known());
    }

    fn known(&self) -> [usize; 2] {
        self.groups.each_ref().map(|(pg, _)| pg.pids(&readers()).len())
    }

    /// Has a process on a node link and monitor the server of the other one, and that node.
    fn watching(&self, place: usize) -> Heard<String> {
        let (node, there) = (self.nodes[place].clone(), self.servers[1 - place].1.clone());
        let hears = Heard::default();
        let told = Arc::clone(&hears);
        self.cluster.run(place, async move {
            let body = async move |mut me: Process<()>| {
                let pid = node.remote(NAMES[1 - place]).pid(&there);
                me.link(&pid);
                me.monitor(&pid);
                node.monitor_node(&me, NAMES[1 - place]);
                loop {
                    let news = match me.receive().await {
                        Event::Exit(exit) => format!("exit {}", exit.reason),
                        Event::Down(down) if down.name.is_some() => format!("node {}", down.reason),
                        Event::Down(down) => format!("down {}", down.reason),
                        _ => return,
                    };
                    told.lock().unwrap().push(news);
                }
            };
            actor::Builder::new().trap_exit(true).spawn(body).unwrap();
        });
        hears
    }

    /// Returns the connections that have come up and are there, if those that end and come go by turns.
    fn turns(&self, place: usize) -> (usize, bool) {
        let (mut ups, mut is_up) = (0, false);
        while let Ok(event) = self.events[place].try_recv() {
            let now_up = match event {
                NodeEvent::Up { .. } => true,
                NodeEvent::Down { .. } => false,
                NodeEvent::Refused { .. } => continue,
                event => panic!("{event:?}"),
            };
            assert_ne!(now_up, is_up, "after {ups} times");
            is_up = now_up;
            ups += usize::from(is_up);
        }
        (ups, is_up)
    }
}

type Asking = Task<Result<u64, String>>;

fn readers() -> Term {
    Term::atom("readers")
}

async fn idle(mut me: Process<()>) {
    drop(me.receive().await);
}

async fn serve(mut me: Process<Order>, numbers: Heard<u64>) {
    let mut unanswered = Vec::new();
    loop {
        match me.receive().await {
            Event::Message(Order::Add(number, answer)) => drop(answer.resolve(number + 1)),
            Event::Message(Order::Silence(answer)) => unanswered.push(answer),
            Event::Message(Order::Number(number)) => numbers.lock().unwrap().push(number),
            // Whoever is linked to it may be gone.
            Event::Exit(_) => {}
            _ => return,
        }
    }
}

/// Runs a program of two hosts in a world with these numbers, and looks that it does not hang.
fn run<T: Send>(name: &str, numbers: u16, seed: u64, program: impl FnOnce(&Setup) -> T) -> (T, Vec<Arrival>) {
    watch(name, || simulate(numbers, seed, 2, |cluster| program(&Setup::new(cluster))))
}

/// Takes the nodes through all that there is, once, and returns what their processes have heard.
fn tour(setup: &Setup) -> (Vec<String>, Vec<u64>) {
    setup.connect(0);
    let heard_there = setup.watching(0);
    setup.works();
    let asked = setup.asking(0, Order::Silence);
    for number in 0..20 {
        setup.cluster.run(0, send(&setup.nodes[0], number));
    }
    // So that what was lost on the way has come.
    setup.cluster.pass(60 * SECOND);
    setup.cluster.silence(0, 1);
    setup.cluster.pass(70 * SECOND);
    setup.cluster.heal();
    let mut told = heard(&heard_there);
    told.extend(setup.cluster.join(asked).err());
    setup.connect(1);
    setup.works();
    (told, heard(&setup.numbers[1]))
}

/// Sends a number to the server of the second node.
fn send(node: &Node, number: u64) -> impl Future<Output = ()> + Send + 'static {
    let server = node.remote(NAMES[1]).process::<Order>("server");
    async move { server.send(Order::Number(number)).await.map_err(drop).unwrap() }
}

#[test]
fn a_run_is_decided_by_its_seed() {
    let runs = [0, 1, 2, 3].map(|seed| {
        let run = || run("a run", 11, seed, tour);
        let (first, second) = (run(), run());
        assert_eq!(first.0, second.0, "seed {seed}");
        let differ = first.1.iter().zip(&second.1).find(|(one, other)| one != other);
        assert_eq!(differ, None, "seed {seed}");
        assert_eq!(first.1.len(), second.1.len(), "seed {seed}");
        first
    });
    for ((told, numbers), _) in &runs {
        assert_eq!(told[..3].iter().filter(|told| told.ends_with("no connection")).count(), 3, "{told:?}");
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(numbers.iter().copied().eq(0..20));
    }
    assert!(runs[1..].iter().all(|(_, arrived)| *arrived != runs[0].1), "the seed decides nothing");
}

/// Nobody waits for a real minute, and an idle connection is kept by ticks alone.
#[test]
fn a_silent_line_is_noticed_after_the_ticktime_and_no_sooner() {
    for (seed, ways) in [(0, [true, false]), (1, [false, true]), (2, [true, true]), (3, [true, true])] {
        run("a silent line", 12, seed, |setup| {
            setup.connect(0);
            let watchers = [0, 1].map(|place| setup.watching(place));
            setup.works();
            setup.cluster.pass(3_600 * SECOND);
            assert_eq!(setup.are_connected(), [true; 2], "ticks keep it");
            let asked = [0, 1].map(|place| setup.asking(place, Order::Silence));
            setup.cluster.pass(5 * SECOND);
            for (place, silent) in ways.into_iter().enumerate() {
                if silent {
                    setup.cluster.silence(place, 1 - place);
                }
            }
            // The last tick before that may have come a quarter of the ticktime earlier.
            setup.cluster.pass(40 * SECOND);
            assert_eq!(setup.are_connected(), [true; 2], "that is no time to give up");
            assert!(watchers.iter().all(|told| heard(told).is_empty()));
            setup.cluster.pass(25 * SECOND);
            assert_eq!(setup.are_connected(), [false; 2]);
            for told in &watchers {
                let mut told = heard(told);
                told.sort();
                assert_eq!(told, ["down no connection", "exit no connection", "node no connection"]);
            }
            for asked in asked {
                setup.cluster.join(asked).unwrap_err();
            }
            assert_eq!(setup.known(), [1; 2], "the members of the other one are gone");
            setup.cluster.heal();
            setup.connect(seed as usize % 2);
            setup.works();
            assert!(watchers.iter().all(|told| heard(told).len() == 3), "it is told once");
        });
    }
}

/// One goes on to send while nothing comes through, and groups change on both sides.
#[test]
fn a_split_loses_what_was_under_way_and_tells_nothing_twice() {
    for seed in 0..20 {
        run("a split", 13, seed, |setup| {
            setup.connect(seed as usize % 2);
            setup.works();
            let node = setup.nodes[0].clone();
            let sends = setup.cluster.spawn(0, async move {
                let server = node.remote(NAMES[1]).process::<Order>("server");
                for number in 0..4_000 {
                    // Where it cannot be connected to, what is sent is lost.
                    let _ = server.send(Order::Number(number)).await;
                    sleep(Duration::from_millis(50)).await;
                }
            });
            setup.cluster.pass(setup.cluster.chance(10..15) as u32 * SECOND);
            setup.cluster.silence(0, 1);
            setup.cluster.silence(1, 0);
            setup.cluster.pass(62 * SECOND);
            // One of them tries to connect again and again.
            assert_eq!(setup.are_connected(), [false; 2]);
            assert_eq!(setup.known(), [1; 2]);
            for (place, (_, group)) in setup.groups.iter().enumerate() {
                let group = group.clone();
                setup.cluster.run(place, async move { group.join(&actor::spawn(idle).unwrap()) });
            }
            setup.cluster.heal();
            setup.cluster.join(sends);
            setup.agree(2, 2);
            // So that the last ones have come.
            setup.cluster.pass(60 * SECOND);
            let numbers = heard(&setup.numbers[1]);
            assert!(numbers.is_sorted_by(|one, other| one < other), "in order, and none of them twice");
            assert_eq!((numbers.first(), numbers.last()), (Some(&0), Some(&3_999)));
        });
    }
}

#[test]
fn nodes_that_connect_at_once_have_one_connection() {
    let tasks_of = |seed: u64, at_once: bool| {
        run("both connect", 14, seed, |setup| {
            let second = setup.cluster.chance(0..60_000);
            let ahead = [0, second].map(Duration::from_micros);
            let places = if at_once { vec![0, 1] } else { vec![seed as usize % 2] };
            let both: Vec<_> =
                places.into_iter().map(|place| setup.connecting(place, ahead[place])).collect();
            both.into_iter().for_each(|task| setup.cluster.join(task));
            setup.works();
            setup.cluster.pass(20 * SECOND);
            assert_eq!(setup.are_connected(), [true; 2]);
            for place in [0, 1] {
                assert!(setup.turns(place).1);
            }
            setup.works();
            [0, 1].map(|place| setup.cluster.tasks(place))
        })
        .0
    };
    let one_connection = tasks_of(0, false);
    for seed in 0..300 {
        assert_eq!(tasks_of(seed, true), one_connection, "seed {seed}");
    }
}

/// Whatever happens to the lines, each question is answered or fails, nothing is left of it, and both come
/// together again.
#[test]
fn nothing_is_left_of_what_the_lines_do() {
    for seed in 0..40 {
        run("the lines", 15, seed, |setup| {
            setup.connect(0);
            setup.works();
            setup.cluster.pass(20 * SECOND);
            let tasks = [0, 1].map(|place| setup.cluster.tasks(place));
            let mut asked = Vec::new();
            for number in 0..60 {
                for place in [0, 1] {
                    asked.push((number + 1, setup.asking(place, move |answer| Order::Add(number, answer))));
                }
                let place = setup.cluster.chance(0..2) as usize;
                match setup.cluster.chance(0..6) {
                    0 => setup.cluster.silence(place, 1 - place),
                    1 => setup.cluster.heal(),
                    2 => drop(setup.nodes[place].disconnect(NAMES[1 - place])),
                    _ => {}
                }
                let pause = setup.cluster.chance(0..10_000_000);
                setup.cluster.pass(Duration::from_micros(pause));
            }
            setup.cluster.heal();
            let mut answered = 0;
            for (answer, asked) in asked {
                // A question that cannot be sent fails, too.
                if let Ok(got) = setup.cluster.join(asked) {
                    assert_eq!(got, answer);
                    answered += 1;
                }
            }
            assert!(answered > 0);
            setup.cluster.pass(70 * SECOND);
            setup.connect(1);
            setup.works();
            setup.cluster.pass(20 * SECOND);
            assert_eq!([0, 1].map(|place| setup.cluster.tasks(place)), tasks);
            assert!([0, 1].into_iter().all(|place| setup.turns(place).1));
            // Both ends of all are known to be over.
            let servers = setup.servers.clone();
            setup.cluster.run(0, async move {
                for (server, _) in servers {
                    assert!(server.info().unwrap().monitored_by.is_empty());
                    server.exit(ExitReason::Kill);
                }
            });
        });
    }
}
