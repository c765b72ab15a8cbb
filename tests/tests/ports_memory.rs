//! Many ports: the memory that each takes as it waits, and ten thousand that live at a time.

use std::fmt::Debug;
use std::io::Write;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use twoply_core::Wait;
use twoply_core::actor::{Builder, Ended, Process};
use twoply_core::fs::OpenOptions;
use twoply_core::net::{TcpListener, UdpSocket, UnixStream};
use twoply_core::port::{self, Active, Event, FileRequest, Lines, Port, Tail, Text};
use twoply_core::process::{Command, Stdio};
use twoply_tests::{Dir, Heap, Kind, Systems, eventually, run_process};

#[global_allocator]
static HEAP: Heap = Heap::new();

const PORTS: usize = 500;

/// The bytes that a port which waits may take, as the documentation says.
const EACH: usize = 2560;

/// The bytes that one may take which has more than one descriptor or does more than one thing.
const MORE: usize = 3072;

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

/// Starts a port of its kind, which has given an item and waits for the next one.
type Start = fn(&Systems, &Dir) -> End;

/// Drops a port, and returns its end, which is to be waited for.
type End = Box<dyn FnOnce() -> Ended>;

/// Returns what drops a port, and keeps the other end open until then.
fn end<I, O>(port: Port<I, O>, other_end: impl Send + 'static) -> End
where
    I: Send + 'static,
    O: Send + 'static,
{
    Box::new(move || {
        let ended = port.port_ref().ended();
        drop((port, other_end));
        ended
    })
}

/// The kinds of ports, the number of them that is started, and the bytes that each may take as it waits, as
/// the documentation says.
const KINDS: [(&str, usize, usize, Start); 8] = [
    ("lines", 200, EACH, start_lines),
    ("lines in shared memory", 200, EACH, start_shared),
    ("datagrams", 200, EACH, start_udp),
    ("connections", 200, EACH, start_accept),
    ("ticks", 200, EACH, start_timer),
    ("a file", 200, MORE, start_file),
    ("a child", 30, MORE, start_child),
    ("a log", 30, MORE, start_tail),
];

/// Starts a port, and receives its first item after what has it come.
fn started<I, O>(on: &Systems, port: port::Builder<I, O>, have_it_come: impl FnOnce(&Port<I, O>)) -> End
where
    I: Send + Debug + 'static,
    O: Send + 'static,
{
    let port = port.on(on.here().backend()).start().unwrap();
    have_it_come(&port);
    let first = port.recv().wait().unwrap();
    assert!(matches!(first, Event::Item(_)), "{first:?}");
    end(port, ())
}

fn start_lines(on: &Systems, _: &Dir) -> End {
    let (port, theirs) = start(on);
    end(port, theirs)
}

fn start_shared(on: &Systems, _: &Dir) -> End {
    let (ours, mut theirs) = StdStream::pair().unwrap();
    let lines = format!("{}\nand another\nand of this one, there is ", "x".repeat(4_000));
    theirs.write_all(lines.as_bytes()).unwrap();
    let port = port::custom::<_, _, _, Text>(UnixStream::from(ours), Lines::new().shared(), Lines::new());
    let port = port.on(on.here().backend()).start().unwrap();
    // What was copied with the two goes with them.
    for length in [4_000, 11] {
        assert_eq!(port.recv().wait().unwrap().item().unwrap().len(), length);
    }
    end(port, theirs)
}

fn start_udp(on: &Systems, _: &Dir) -> End {
    let socket = UdpSocket::bind("127.0.0.1:0").wait().unwrap();
    let itself = socket.local_addr().unwrap();
    started(on, port::udp(socket), |port| port.send((itself, vec![7; 100])).wait().unwrap())
}

fn start_accept(on: &Systems, _: &Dir) -> End {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let address = listener.local_addr().unwrap();
    let connect = |_: &_| drop(std::net::TcpStream::connect(address).unwrap());
    started(on, port::accept(listener), connect)
}

fn start_timer(on: &Systems, _: &Dir) -> End {
    let once = port::timer(Duration::from_millis(1)).active(Active::Once);
    started(on, once, |_| {})
}

fn start_file(on: &Systems, dir: &Dir) -> End {
    let file = OpenOptions::new().read(true).write(true).create(true).open(dir.join("file")).wait().unwrap();
    let ask = |port: &Port<_, _>| port.send(FileRequest::Read { at: 0, len: 100 }).wait().unwrap();
    started(on, port::file(file), ask)
}

fn start_child(on: &Systems, _: &Dir) -> End {
    let mut cat = Command::new("cat");
    let cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let line = |port: &Port<_, _>| port.send("a line".to_owned()).wait().unwrap();
    started(on, port::child(cat), line)
}

fn start_tail(on: &Systems, dir: &Dir) -> End {
    let log = dir.join("log");
    if !log.exists() {
        std::fs::write(&log, "a line\n").unwrap();
    }
    started(on, port::tail_with(Tail::new(log).from_start(true), Lines::new()), |_| {})
}

fn nap() {
    std::thread::sleep(Duration::from_millis(1));
}

#[test]
fn a_port_of_any_kind_waits_in_little_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for &kind in Kind::set("everywhere") {
        Systems::check("a_port_of_any_kind_waits_in_little_memory", kind, |on| {
            let dir = Dir::new();
            for (name, count, most, start) in KINDS {
                // A thread that has something to do for the first time gets what its ports share, and a port
                // that has just given an item may have to look for another: so it need not hold at once. All
                // have ended before there are others: what they give back meanwhile would count.
                eventually(&format!("a port of {name} takes at most {most} bytes"), || {
                    let before = HEAP.used();
                    let ports: Vec<End> = (0..count).map(|_| start(on, &dir)).collect();
                    let takes_more = || HEAP.used().saturating_sub(before) > count * most;
                    let waited = (0..100).take_while(|_| takes_more()).map(|_| nap()).count();
                    let ends: Vec<Ended> = ports.into_iter().map(|end| end()).collect();
                    ends.into_iter().for_each(|ended| drop(ended.wait()));
                    waited < 100
                });
            }
        });
    }
}

/// Returns the number of threads of this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
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
                    let first = pair(LIVE / 2);
                    let before = threads();
                    let make = || (0..LIVE / 2).flat_map(pair).collect::<Vec<_>>();
                    let (ports, most) = HEAP.most_during(make);
                    // All are there before the first has anything to do, and take no thread. A runtime may
                    // start one of its own meanwhile.
                    assert!(threads() < before + 8, "{} threads, and {before} before", threads());
                    let each = most.saturating_sub(SHARED) / ports.len();
                    assert!(each <= EACH, "{each} bytes a port, {most} in all");
                    drop(first);
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
