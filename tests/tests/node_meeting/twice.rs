//! A peer that connects twice at a time, to a node that has something to say to it.

use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;

use twoply_core::Wait;
use twoply_node::wire::{Control, FromTerm};
use twoply_tests::{Systems, eventually};

use super::node;
use super::scripted::{SOON, Scripted};
use super::turns::Turns;

const TIMES: usize = 20;
/// The messages that wait for the connection.
const WAIT: u32 = 50;
/// The last message, which only the connection that is left gets.
const LAST: u32 = 1_000;

/// Both have been challenged before either of them proves that it is the peer, and the first is not entered
/// when the second one comes, or only just.
pub(crate) fn a_node_that_connects_twice_at_first_use_is_there_once(on: &Systems) {
    for _ in 0..TIMES {
        let node = node(on, "ours@localhost");
        let mut told = Turns::of(&node);
        // What the node begins by itself gets no answer.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        node.add_peer("peer@localhost", silent.local_addr().unwrap());
        let process = node.remote("peer@localhost").process::<u32>("anybody");
        (0..WAIT).for_each(|number| process.try_send(number).unwrap());
        let _ours = silent.accept().unwrap();
        let (challenged, (heard, hears)) = (Arc::new(Barrier::new(2)), channel());
        for _ in 0..2 {
            let (node, challenged, heard) = (node.clone(), Arc::clone(&challenged), heard.clone());
            thread::spawn(move || {
                let stream = TcpStream::connect(node.local_addr()).unwrap();
                let own = Scripted::own("peer@localhost");
                let when = || _ = challenged.wait();
                let mut peer = Scripted::through_when(stream, 2, node.name(), own, when).unwrap();
                let mut numbers = Vec::new();
                while numbers.last() != Some(&LAST)
                    && let Ok(message) = peer.try_message()
                {
                    assert!(matches!(message.control(), Control::Send { .. }));
                    numbers.push(u32::from_term(&mut message.payload()).unwrap());
                }
                heard.send((numbers, peer)).unwrap();
            });
        }
        // One of them is closed; from then on all goes to the other one.
        let (first, _) = hears.recv_timeout(SOON).unwrap();
        process.try_send(LAST).unwrap();
        let (second, peer) = hears.recv_timeout(SOON).unwrap();
        assert_eq!(second.last(), Some(&LAST));
        assert!(!first.contains(&LAST));
        // Nothing is said twice, and what was on the way on the one that is closed may be lost.
        let all = || first.iter().chain(&second);
        assert!(all().is_sorted_by(|a, b| a < b), "{first:?} {second:?}");
        assert_eq!(node.nodes(), ["peer@localhost"]);
        drop(peer);
        eventually("it is seen to be gone", || node.nodes().is_empty());
        assert!(node.shutdown(SOON).wait());
        assert!(!told.look().1);
    }
}
