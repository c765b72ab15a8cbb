//! Many ports: the memory that each takes as it waits, and ten thousand that live at a time.

use std::io::Write;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use twoply_core::Wait;
use twoply_core::actor::{Builder, Process};
use twoply_core::net::UnixStream;
use twoply_core::port::{self, Event, Port};
use twoply_tests::{Heap, Kind, Systems, run_process};

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

/// Held by each test: what another allocates would count, and there are not descriptors for two.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_port_that_waits_has_no_buffer() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for &kind in Kind::set("everywhere") {
        Systems::check("a_port_that_waits_has_no_buffer", kind, |on| {
            let _first = start(on);
            let (ports, most) = HEAP.most_during(|| (0..PORTS).map(|_| start(on)).collect::<Vec<_>>());
            let each = most.saturating_sub(SHARED) / ports.len();
            assert!(each <= EACH, "{each} bytes a port, {most} in all");
        });
    }
}

/// The number of ports that live at a time; each has one descriptor.
const LIVE: usize = 10_000;

#[test]
fn ten_thousand_ports_live_at_a_time() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    for &kind in Kind::set("everywhere") {
        Systems::check("ten_thousand_ports_live_at_a_time", kind, |on| {
            let backend = on.here().backend().clone();
            let ports =
                run_process(on.here(), Builder::new(), move |mut me: Process<(usize, Event<String>)>| {
                    let owner = me.me();
                    let start = |number: usize, stream| {
                        let message = move |event| (number, event);
                        port::lines(stream).on(&backend).into_mailbox(&owner, message).unwrap()
                    };
                    let pair = |number: usize| {
                        let (one, other) = UnixStream::pair().unwrap();
                        [start(2 * number, one), start(2 * number + 1, other)]
                    };
                    let ports: Vec<_> = (0..LIVE / 2).flat_map(pair).collect();
                    // All are there before the first has anything to do.
                    for (number, port) in ports.iter().enumerate() {
                        port.send(number.to_string()).wait().unwrap();
                    }
                    let mut heard = vec![false; LIVE];
                    for _ in 0..LIVE {
                        let (number, event) = me.receive().wait().message().unwrap();
                        let line = event.item().unwrap();
                        assert_eq!(line, (number ^ 1).to_string(), "it comes from the other end");
                        assert!(!std::mem::replace(&mut heard[number], true));
                    }
                    ports
                });
            // Their owner is over, and none outlives it.
            ports.iter().for_each(|port| assert!(port.ended().wait().is_normal()));
        });
    }
}
