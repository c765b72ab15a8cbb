//! Connections that end and are made again: each end is told before the next connection is made.

use std::io::ErrorKind;
use std::pin::pin;
use std::task::Context;
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::{Event, ExitReason, Process};
use twoply_core::channel::Receiver;
use twoply_core::time::{sleep, timeout};
use twoply_node::wire::Term;
use twoply_node::{ConnectError, Event as NodeEvent, Node};
use twoply_tests::{Act, Gate, Systems, eventually, hooked_waker};

use super::scripted::SOON;
use super::{connect, node};

/// What a node tells of its only peer.
pub(crate) struct Turns {
    events: Receiver<NodeEvent>,
    is_up: bool,
    /// How often it was connected.
    ups: usize,
}

impl Turns {
    /// Looks at what this node tells from now on, which is not connected.
    pub(crate) fn of(node: &Node) -> Turns {
        Turns { events: node.events(), is_up: false, ups: 0 }
    }

    /// Asserts that what has been told since the last time goes by turns, and returns how often the peer was
    /// connected, and whether it is.
    pub(crate) fn look(&mut self) -> (usize, bool) {
        while let Ok(event) = self.events.try_recv() {
            let is_up = match event {
                NodeEvent::Up { .. } => true,
                NodeEvent::Down { .. } => false,
                NodeEvent::Refused { .. } => continue,
                event => panic!("{event:?}"),
            };
            assert_ne!(is_up, self.is_up, "after {} times", self.ups);
            self.is_up = is_up;
            self.ups += usize::from(is_up);
        }
        (self.ups, self.is_up)
    }
}

/// Two nodes that know each other's address, and what they tell.
pub(crate) fn pair(on: &Systems) -> ([Node; 2], [Turns; 2]) {
    let nodes = ["one@localhost", "two@localhost"].map(|name| node(on, name));
    for (here, there) in [(0, 1), (1, 0)] {
        nodes[here].add_peer(nodes[there].name(), nodes[there].local_addr());
    }
    let told = nodes.each_ref().map(Turns::of);
    (nodes, told)
}

/// Ends both nodes, and asserts that what they have told goes by turns, down to the end.
pub(crate) fn end(nodes: [Node; 2], told: &mut [Turns; 2]) {
    for node in nodes {
        assert!(node.shutdown(SOON).wait());
    }
    told.iter_mut().for_each(|told| assert!(!told.look().1));
}

pub(crate) fn an_end_is_told_before_the_next_connection_is_made(on: &Systems) {
    let (nodes, mut told) = pair(on);
    let silent = async |mut me: Process<Term>| while me.receive().await.message().is_some() {};
    let silent = twoply_tests::builder(on).spawn(silent).unwrap();
    nodes[1].register("silent", &silent).unwrap();
    let mut both = |ups: usize, is_up: bool| {
        eventually("both have told", || told.iter_mut().all(|told| told.look() == (ups, is_up)));
    };
    // Either of them is the one that connects again.
    for again in [0, 1] {
        connect(on, &nodes[0], nodes[1].name()).unwrap();
        both(2 * again + 1, true);
        let (ends, connected) = (Gate::new(), Gate::new());
        let question = nodes[0].connected(nodes[1].name()).unwrap().call::<u32>("silent", &1u32);
        let mut question = pin!(question);
        // Whoever tells of the end stands still here, for as long as a new connection might take.
        let (end, made) = (ends.clone(), connected.clone());
        let waker = hooked_waker(move |act| {
            if act == Act::Wake {
                end.open();
                let _ = timeout(Duration::from_millis(100), made.opened()).wait();
            }
        });
        assert!(question.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let (node, peer) = (nodes[again].clone(), nodes[1 - again].name().to_owned());
        let connects = on.here().spawn(async move {
            ends.opened().await;
            // The peer sees the end by itself.
            while node.connected(&peer).is_some() {
                sleep(Duration::from_millis(1)).await;
            }
            let connection = node.connect(&peer).await.map(drop);
            connected.open();
            connection
        });
        assert!(nodes[0].disconnect(nodes[1].name()));
        connects.wait().unwrap().unwrap();
        assert!(question.wait().is_err());
        both(2 * again + 2, true);
        assert!(nodes[again].disconnect(nodes[1 - again].name()));
        both(2 * again + 2, false);
    }
    silent.exit(ExitReason::Kill);
}

pub(crate) fn who_waits_for_a_connection_while_it_hears_of_an_end_is_refused(on: &Systems) {
    let (nodes, mut told) = pair(on);
    let silent = async |mut me: Process<Term>| while me.receive().await.message().is_some() {};
    let silent = twoply_tests::builder(on).spawn(silent).unwrap();
    nodes[1].register("silent", &silent).unwrap();
    connect(on, &nodes[0], nodes[1].name()).unwrap();
    let question = nodes[0].connected(nodes[1].name()).unwrap().call::<u32>("silent", &1u32);
    let mut question = pin!(question);
    // The end is told when this has been, so that it waits for itself.
    let (outcome, refused) = std::sync::mpsc::sync_channel(1);
    let (node, peer) = (nodes[0].clone(), nodes[1].name().to_owned());
    let waker = hooked_waker(move |act| {
        if act == Act::Wake {
            let _ = outcome.try_send(node.connect(&peer).wait().map(drop));
        }
    });
    assert!(question.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(nodes[0].disconnect(nodes[1].name()));
    let Err(ConnectError::Io(error)) = refused.recv_timeout(SOON).unwrap() else { panic!("it is refused") };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(question.wait().is_err());
    eventually("the end has been told", || told[0].look() == (1, false));
    connect(on, &nodes[0], nodes[1].name()).unwrap();
    silent.exit(ExitReason::Kill);
    end(nodes, &mut told);
}

pub(crate) fn who_is_told_of_an_end_may_connect_again_at_once(on: &Systems) {
    const TIMES: usize = 50;
    let (nodes, mut told) = pair(on);
    let (one, two) = (nodes[0].clone(), nodes[1].name().to_owned());
    let watcher = twoply_tests::builder(on).spawn(async move |mut me: Process<()>| {
        for _ in 0..TIMES {
            one.connect(&two).await.unwrap();
            let monitor = one.monitor_node(&me, &two);
            // The peer may have ended it by itself, where it was not yet done with the last one; then the
            // monitor has connected again, or is about to.
            let down = loop {
                one.disconnect(&two);
                match timeout(Duration::from_millis(50), me.receive()).await {
                    Ok(Event::Down(down)) => break down,
                    Ok(other) => panic!("nothing else comes: {other:?}"),
                    Err(_) => {}
                }
            };
            assert_eq!((down.monitor, down.reason), (monitor, ExitReason::NoConnection));
        }
    });
    assert_eq!(watcher.unwrap().ended().wait(), ExitReason::Normal);
    end(nodes, &mut told);
    assert!(told[0].ups >= TIMES);
}
