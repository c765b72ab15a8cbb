//! Laws of the memory of a node whose peer, or whose processes, do what costs the most of it. They are the
//! same inside TLS. Each runs in a program of its own, since all of it counts.

use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::{ExitReason, Process};
use twoply_node::Node;
use twoply_node::wire::{Control, Limits, Term, write_frame};
use twoply_tests::{Systems, eventually};

use super::HEAP;
use super::bombs::bombs;
use super::hostile::peer_of;
use super::reach::ours;
use super::scripted::{Parcel, SOON, Scripted, parcel};

/// The bytes that a connection takes in any case, with all that the test itself has for it.
const SLACK: usize = 2 << 20;

/// Returns the frame of a message with these bytes in the place of a term.
fn frame_of(peer: &Scripted, control: &Control, bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_frame(peer.peer.agreed, control, &mut frame, |out| out.value(&7u8)).unwrap();
    frame.truncate(frame.len() - 2);
    frame.extend(bytes);
    let len = (frame.len() as u32 - 4).to_be_bytes();
    frame[..4].copy_from_slice(&len);
    frame
}

pub(crate) fn a_hostile_peer_takes_little_memory(on: &Systems) {
    on.alone(|| {
        let node = ours(on, Node::builder("ours@localhost"));
        let sink = twoply_tests::builder(on).spawn(
            async |mut me: Process<Term>| {
                while me.receive().await.message().is_some() {}
            },
        );
        let sink = sink.unwrap();
        node.register("sink", &sink).unwrap();
        // Terms stand without their version behind a header.
        let terms = bombs().into_iter().filter(|(_, bytes)| bytes[0] == 131);
        for (what, bytes) in terms {
            let mut peer = peer_of(&node, "peer@localhost");
            let frame = frame_of(&peer, &peer.send_to("sink"), &bytes[1..]);
            let ((), most) = HEAP.most_during(|| {
                // One that breaks the protocol is closed before all of it is written.
                let _ = peer.stream.write_all(&frame);
                let _ = peer.stream.shutdown(Shutdown::Write);
                peer.rest();
                eventually("it is gone", || node.nodes().is_empty());
            });
            assert!(most <= 32 * bytes.len() + SLACK, "{what}: {most} bytes for {}", bytes.len());
        }
        sink.exit(ExitReason::Kill);
    });
}

/// The bytes that nobody is to be able to have a node keep, or to write to it, here.
const MUCH: usize = 64 << 20;

pub(crate) fn who_does_not_keep_up_takes_little_memory(on: &Systems) {
    on.alone(|| {
        let limits = Limits { waiting: 1 << 20, ..Limits::default() };
        let node = ours(on, Node::builder("ours@localhost").limits(limits));
        let stuck = twoply_tests::builder(on).capacity(1).spawn(async |_me: Process<Parcel>| {
            std::future::pending::<()>().await;
        });
        let stuck = stuck.unwrap();
        node.register("stuck", &stuck).unwrap();
        let mut peer = peer_of(&node, "peer@localhost");
        eventually("it is up", || node.nodes().len() == 1);
        // A process that receives nothing, of a peer that sends.
        peer.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let control = peer.send_to("stuck");
        let mut frame = Vec::new();
        write_frame(peer.peer.agreed, &control, &mut frame, |out| out.value(&parcel(1, 10_000))).unwrap();
        let (written, most) = HEAP.most_during(|| {
            // It has stopped when it takes nothing for long, which is no thread that stands still for once.
            let (mut written, mut in_vain) = (0, 0);
            while written < MUCH && in_vain < 4 {
                match peer.stream.write(&frame[written % frame.len()..]) {
                    Ok(len) => (written, in_vain) = (written + len, 0),
                    Err(_) => in_vain += 1,
                }
            }
            written
        });
        assert!(written < MUCH, "the node has read all of it");
        assert!(most >= 1 << 19, "only {most} bytes wait for a process");
        assert!(most <= (1 << 20) + SLACK, "{most} bytes wait for a process");
        assert_eq!(node.nodes().len(), 1, "who is made to wait stays connected");
        // A peer that reads nothing, of a process that sends.
        let there = node.connected("peer@localhost").unwrap().process::<Parcel>("anybody");
        let sent = Arc::new(AtomicU32::new(0));
        let ((), most) = HEAP.most_during(|| {
            let count = Arc::clone(&sent);
            drop(on.here().spawn(async move {
                while there.send(parcel(1, 10_000)).await.is_ok() {
                    count.fetch_add(1, Relaxed);
                }
            }));
            eventually("something is sent", || sent.load(Relaxed) > 0);
            let mut last = u32::MAX;
            while last != sent.load(Relaxed) {
                last = sent.load(Relaxed);
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        assert!((sent.load(Relaxed) as usize) < MUCH / 10_000, "the node takes all of it");
        assert!(most <= (2 << 20) + SLACK, "{most} bytes wait for a peer");
        assert_eq!(node.nodes().len(), 1, "who does not read stays connected");
        stuck.exit(ExitReason::Kill);
    });
}

/// Messages whose memory the connection keeps, and the node: that of the longest one.
const KEPT: [usize; 2] = [6 << 20, 12 << 20];

/// Somebody still knows a process of the peer's, and with it the connection.
pub(crate) fn a_connection_that_has_ended_keeps_no_memory(on: &Systems) {
    on.alone(|| {
        let [node, peer] = ["ours@localhost", "peer@localhost"].map(|name| ours(on, Node::builder(name)));
        peer.add_peer(node.name(), node.local_addr());
        let (tell, told) = channel();
        let sink = twoply_tests::builder(on).spawn(async move |mut me: Process<Parcel>| {
            while let Some(parcel) = me.receive().await.message() {
                let number = parcel.0;
                drop(parcel);
                let _ = tell.send(number);
            }
        });
        let sink = sink.unwrap();
        node.register("sink", &sink).unwrap();
        let pid = peer.expose(&sink).unwrap();
        for len in KEPT {
            let connecting = peer.clone();
            let remote = on.here().spawn(async move { connecting.connect("ours@localhost").await });
            let there = remote.wait().unwrap().unwrap().process::<Parcel>("sink");
            eventually("it is up", || node.nodes().len() == 1);
            let known = node.connected("peer@localhost").unwrap().pid(&pid);
            let before = HEAP.used();
            there.send(parcel(1, len)).wait().unwrap();
            assert_eq!(told.recv_timeout(SOON), Ok(1));
            // What has been written is the peer's no more.
            there.send(parcel(2, 0)).wait().unwrap();
            assert_eq!(told.recv_timeout(SOON), Ok(2));
            let kept = HEAP.used().saturating_sub(before);
            assert!((len..3 * len).contains(&kept), "{kept} bytes are kept of {len}");
            assert!(peer.disconnect("ours@localhost"));
            eventually("it has gone with the connection", || {
                node.nodes().is_empty() && HEAP.used() < before + SLACK
            });
            assert!(!known.is_local());
        }
        sink.exit(ExitReason::Kill);
    });
}
