//! Nodes that connect to each other at the same time, one of which is a peer that takes its time.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use twoply_core::Wait;
use twoply_node::ConnectError;
use twoply_node::wire::{HandshakeError, Status};
use twoply_tests::{Systems, eventually};

use super::scripted::{SOON, Scripted};
use super::{connect, node};

/// The lesser one has lost the connection that the greater one still had, so it has called and is as good as
/// connected again, when that one loses the connection, too, and calls as well.
pub(crate) fn what_the_greater_name_connects_goes_first(on: &Systems) {
    const LESSER: &str = "lesser@localhost";
    enum Ours {
        Quick,
        Slow,
        Fails,
    }
    for own in [Ours::Quick, Ours::Slow, Ours::Fails] {
        let node = node(on, "ours@localhost");
        let _last = Scripted::connect(&node, LESSER);
        eventually("they are connected", || node.nodes() == [LESSER]);
        let stream = TcpStream::connect(node.local_addr()).unwrap();
        let ((challenged, is_challenged), (go, goes)) = (channel(), channel::<()>());
        let name = node.name().to_owned();
        let again = thread::spawn(move || {
            let when = || {
                challenged.send(()).unwrap();
                goes.recv().unwrap();
            };
            Scripted::through_when(stream, 2, &name, Scripted::own(LESSER), when)
        });
        is_challenged.recv_timeout(SOON).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        node.add_peer(LESSER, listener.local_addr().unwrap());
        assert!(node.disconnect(LESSER));
        eventually("they are not connected", || node.connected(LESSER).is_none());
        let process = node.remote(LESSER).process::<u32>("anybody");
        process.try_send(1).unwrap();
        let (ours, _) = listener.accept().unwrap();
        let accept = |ours| Scripted::accept(ours, Scripted::own(LESSER), Status::OkSimultaneous).unwrap();
        let mut left = match own {
            Ours::Quick => {
                let ours = accept(ours);
                eventually("ours is there", || node.nodes() == [LESSER]);
                go.send(()).unwrap();
                assert!(again.join().unwrap().is_err(), "it has ended ours");
                ours
            }
            Ours::Slow => {
                go.send(()).unwrap();
                let ours = accept(ours);
                assert!(again.join().unwrap().is_err(), "it has not waited for ours");
                ours
            }
            Ours::Fails => {
                go.send(()).unwrap();
                drop(ours);
                again.join().unwrap().unwrap()
            }
        };
        eventually("they are connected again", || node.nodes() == [LESSER]);
        process.try_send(2).unwrap();
        // What waited for the attempt that has failed may be lost with it.
        let first = left.hear_message::<u32>();
        let both = if first == 1 { [first, left.hear_message()] } else { [1, first] };
        assert_eq!(both, [1, 2]);
        assert!(first == 1 || matches!(own, Ours::Fails));
        assert!(node.shutdown(SOON).wait());
    }
}

/// What becomes of what the greater one connects.
#[derive(Clone, Copy, PartialEq)]
enum Theirs {
    Lasts,
    Fails,
    FailsOnceOursIsRefused,
}

/// The greater one connects while the lesser one does. It refuses to be connected to, unless its own attempt
/// has failed by then.
fn give_way(on: &Systems, theirs: Theirs) {
    const GREATER: &str = "peer@localhost";
    let node = node(on, "ours@localhost");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    node.add_peer(GREATER, listener.local_addr().unwrap());
    let own = || Scripted::own(GREATER);
    let begun = Instant::now();
    thread::scope(|scope| {
        let connected = scope.spawn(|| connect(on, &node, GREATER));
        let (ours, _) = listener.accept().unwrap();
        let stream = TcpStream::connect(node.local_addr()).unwrap();
        let when = || {
            if theirs != Theirs::Fails {
                let refused = Scripted::accept(ours.try_clone().unwrap(), own(), Status::Nok);
                assert!(refused.is_err(), "it has gone on although it was refused");
            }
            if theirs != Theirs::Lasts {
                stream.shutdown(Shutdown::Both).unwrap();
            }
        };
        let made = Scripted::through_when(stream.try_clone().unwrap(), 2, node.name(), own(), when);
        let mut left = match theirs {
            Theirs::Lasts => made.unwrap(),
            Theirs::Fails => Scripted::accept(ours, own(), Status::Ok).unwrap(),
            Theirs::FailsOnceOursIsRefused => {
                let refused = connected.join().unwrap();
                assert!(matches!(refused, Err(ConnectError::Handshake(HandshakeError::Nok))), "{refused:?}");
                assert!(begun.elapsed() < SOON);
                assert!(node.nodes().is_empty());
                return;
            }
        };
        connected.join().unwrap().unwrap();
        assert_eq!(node.nodes(), [GREATER]);
        node.remote(GREATER).process::<u32>("anybody").try_send(1).unwrap();
        assert_eq!(left.hear_message::<u32>(), 1);
    });
    assert!(node.shutdown(SOON).wait());
}

pub(crate) fn what_the_lesser_name_connects_gives_way(on: &Systems) {
    give_way(on, Theirs::Lasts);
    give_way(on, Theirs::Fails);
}

/// The other one may call once more, so it is waited for, for 7 seconds.
pub(crate) fn who_gives_way_to_what_fails_is_told_in_time(on: &Systems) {
    give_way(on, Theirs::FailsOnceOursIsRefused);
}

/// It would be given up after 7 seconds.
pub(crate) fn an_attempt_is_given_up_when_the_nodes_are_connected(on: &Systems) {
    let node = node(on, "ours@localhost");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    node.add_peer("peer@localhost", silent.local_addr().unwrap());
    let begun = Instant::now();
    thread::scope(|scope| {
        let connected = scope.spawn(|| connect(on, &node, "peer@localhost"));
        let _ours = silent.accept().unwrap();
        let _theirs = Scripted::connect(&node, "peer@localhost");
        connected.join().unwrap().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5));
    });
}
