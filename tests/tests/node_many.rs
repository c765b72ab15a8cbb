//! A node with a thousand connections: what each keeps while nothing is said, and what the ticks cost.

use std::io::{Read, Write};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use twoply_core::Wait;
use twoply_node::Node;
use twoply_tests::{Heap, Systems, eventually, laws};

use self::scripted::{COOKIE, Scripted};

// Not each suite needs all of it.
#[allow(dead_code)]
#[path = "node_faults/scripted.rs"]
mod scripted;

#[global_allocator]
static HEAP: Heap = Heap::new();

laws! {
    two_workers { a_thousand_connections_are_small_and_their_ticks_cheap }
}

const PEERS: usize = 1_000;
/// The bytes that a connection may keep.
const EACH: usize = 32 << 10;
/// The time between two ticks of a connection where nobody has set another.
const USUAL: Duration = Duration::from_secs(15);
/// The part of that for which a processor may compute. It leaves room for code that is not optimized, for
/// the peers, which are counted as well, and for a machine with other work: it is to find what costs several
/// times as much.
const SHARE: u32 = 10;

/// Returns the time that this process has computed.
fn computed() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn a_thousand_connections_are_small_and_their_ticks_cheap(on: &Systems) {
    // Others would count as well.
    on.alone(|| {
        if getrlimit(Resource::Nofile).current.is_some_and(|limit| limit < 2 * PEERS as u64 + 100) {
            return twoply_tests::skip("this process may not have two descriptors for each connection");
        }
        // Each writes every five seconds.
        let builder = Node::builder("ours@localhost").cookie(COOKIE).without_epmd();
        let builder = builder.tick_time(Duration::from_secs(20));
        let node = on.here().spawn(builder.start()).wait().unwrap().unwrap();
        let connect = |number| Scripted::connect(&node, &format!("peer{number}@localhost")).stream;
        let (mut streams, most) = HEAP.most_during(|| {
            let streams: Vec<_> = (0..PEERS).map(connect).collect();
            eventually("all are up", || node.nodes().len() == PEERS);
            streams
        });
        assert!(most < PEERS * EACH, "{} bytes each", most / PEERS);
        let before = computed();
        // So nobody is given up.
        streams.iter_mut().for_each(|stream| stream.write_all(&[0; 4]).unwrap());
        for stream in &mut streams {
            let mut tick = [1; 4];
            stream.read_exact(&mut tick).unwrap();
            assert_eq!(tick, [0; 4]);
        }
        // This counts what the peers do, too.
        let ticks = computed() - before;
        assert!(ticks < USUAL / SHARE, "{ticks:?} for a tick of each");
        assert_eq!(node.nodes().len(), PEERS);
    });
}
