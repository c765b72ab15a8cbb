//! The laws of what a reader leaves to go out with something else: that a question is over.

use std::net::SocketAddr;
use std::time::Duration;

use twoply_core::actor::{self, Process, ProcessRef};
use twoply_node::Node;
use twoply_node::wire::Limits;

use super::{Order, SECOND, Setup, run};

/// The worlds of each law: in few of them something else goes out just then, or is lost on the way.
const SEEDS: u64 = 12;
const MOST: usize = SEEDS as usize * 3 / 4;
/// The time in which whatever is sent has come, though it is lost at first.
const COMES: Duration = Duration::from_secs(5);

/// Returns how many questions to a process are not known to be over.
fn open<M: Send + 'static>(process: &ProcessRef<M>) -> usize {
    process.info().unwrap().monitored_by.len()
}

/// Connects the nodes, and waits until their groups have told each other all.
fn connected(setup: &Setup) {
    setup.connect(0);
    setup.works();
    setup.cluster.pass(20 * SECOND);
    assert_eq!(open(&setup.servers[1].0), 0);
}

#[test]
fn the_end_of_a_question_goes_out_by_the_clock() {
    let lingers = |seed| {
        run("the clock", 16, seed, |setup| {
            connected(setup);
            let asked = setup.asking(1, |answer| Order::Add(6, answer));
            assert_eq!(setup.cluster.join(asked), Ok(7));
            setup.cluster.pass(Duration::from_millis(99));
            let lingers = open(&setup.servers[1].0) == 1;
            setup.cluster.pass(COMES);
            assert_eq!(open(&setup.servers[1].0), 0, "seed {seed}");
            lingers
        })
        .0
    };
    let lingers = (0..SEEDS).filter(|seed| lingers(*seed)).count();
    assert!(lingers >= MOST, "{lingers} times");
}

#[test]
fn the_end_of_a_question_goes_out_before_the_reader_pauses() {
    for seed in 0..SEEDS {
        run("a pause", 18, seed, |setup| {
            let limits = Limits { waiting: 1_000, ..Limits::default() };
            let builder = Node::builder("third@alpha").cookie("biscuit").without_epmd().limits(limits);
            let address = SocketAddr::from((setup.cluster.host(0).address, 0));
            let node = setup.cluster.run(0, builder.listen(address).start()).unwrap();
            let other = setup.nodes[1].clone();
            other.add_peer(node.name(), node.local_addr());
            node.add_peer(other.name(), other.local_addr());
            let stuck = node.clone();
            setup.cluster.run(0, async move {
                let body = async |_me: Process<String>| std::future::pending::<()>().await;
                let process = actor::Builder::new().capacity(1).spawn(body).unwrap();
                stuck.register("stuck", &process).unwrap();
            });
            // It answers, and says more than anybody wants to hear.
            let talker = setup.cluster.run(1, async move {
                let there = other.remote("third@alpha").process::<String>("stuck");
                let body = async move |mut me: Process<Order>| {
                    while let Some(order) = me.receive().await.message() {
                        let Order::Add(number, answer) = order else { return };
                        let _ = answer.resolve(number + 1);
                        for _ in 0..10 {
                            let _ = there.send("x".repeat(1_000)).await;
                        }
                    }
                };
                let talker = actor::spawn(body).unwrap();
                other.register("talker", &talker).unwrap();
                talker
            });
            let asking = node.clone();
            let answer = setup.cluster.run(0, async move {
                let talker = asking.remote(super::NAMES[1]).process::<Order>("talker");
                talker.ask(|answer| Order::Add(6, answer)).await
            });
            assert_eq!(answer.unwrap(), 7);
            setup.cluster.pass(2 * COMES);
            assert_eq!(open(&talker), 0, "seed {seed}");
            assert_eq!(node.nodes(), [super::NAMES[1]], "it has paused for less than is allowed");
        });
    }
}
