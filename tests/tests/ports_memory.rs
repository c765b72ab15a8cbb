//! The memory of ports that wait.

use std::io::Write;
use std::os::unix::net::UnixStream as StdStream;

use twoply_core::Wait;
use twoply_core::net::UnixStream;
use twoply_core::port::{self, Event, Port};
use twoply_tests::{Heap, Kind, Systems};

#[global_allocator]
static HEAP: Heap = Heap::new();

const PORTS: usize = 500;

/// The bytes that a port which waits may take, as the documentation says.
const EACH: usize = 2560;

/// The bytes for what the ports of a thread share: buffers of two threads, and room for a batch of events.
const SHARED: usize = 512 << 10;

/// Starts a port, which has read a line and waits for the next one.
fn start(on: &Systems) -> (Port<String, String>, StdStream) {
    let (ours, mut theirs) = StdStream::pair().unwrap();
    let port = port::lines(UnixStream::from(ours)).on(on.here().backend()).start().unwrap();
    theirs.write_all(b"a line\n").unwrap();
    assert!(matches!(port.recv().wait(), Ok(Event::Item(line)) if line == "a line"));
    (port, theirs)
}

// One test, since others would count as well.
#[test]
fn a_port_that_waits_has_no_buffer() {
    for &kind in Kind::set("everywhere") {
        Systems::check("a_port_that_waits_has_no_buffer", kind, |on| {
            let _first = start(on);
            let (ports, most) = HEAP.most_during(|| (0..PORTS).map(|_| start(on)).collect::<Vec<_>>());
            let each = most.saturating_sub(SHARED) / ports.len();
            assert!(each <= EACH, "{each} bytes a port, {most} in all");
        });
    }
}
