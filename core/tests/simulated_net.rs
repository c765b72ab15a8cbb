//! A toy world: a network in memory, written against `World` and `Socket` alone. It proves that the sockets
//! of this library run without the operating system, on the strand of a thread and on one that nobody's
//! reactor serves, while the system refuses every descriptor.

// Not each suite needs all of it.
#[allow(dead_code)]
#[path = "simulated_net/toy.rs"]
mod toy;

use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use twoply_core::actor::Groups;
use twoply_core::backend::{Backend, Driver, Strand, StrandState, Unpark};
use twoply_core::future::{join, race};
use twoply_core::net::{TcpListener, TcpStream, UdpSocket, UnixAddr, UnixListener, UnixStream};
use twoply_core::parker::Parker;
use twoply_core::reactor::{Interest, IoSource};
use twoply_core::strand::{self, ThreadStrand};
use twoply_core::time::timeout;
use twoply_core::timers::Timers;
use twoply_core::world::World;
use twoply_core::{Wait, world};

use toy::{ROOM, Toy, fail_accepts};

/// A world that is real but for its chances.
struct Chances(u64);

impl World for Chances {
    fn random(&self) -> Option<u64> {
        Some(self.0)
    }
}

/// A strand of this thread in the toy world, with a clock that moves when there is nothing else to do. Nobody
/// watches any descriptor for it.
struct ToyStrand {
    state: StrandState,
    world: Arc<dyn World>,
    timers: Arc<Timers>,
    now: Cell<Instant>,
}

/// The one thread looks at the parker by itself.
struct Nothing;

impl Unpark for Nothing {
    fn unpark(&self) {}
}

impl Strand for ToyStrand {
    fn state(&self) -> &StrandState {
        &self.state
    }

    fn park(&self) {
        while self.state.parker().is_parked() {
            let deadline = self.timers.next().expect("everything waits for ever");
            self.now.set(self.now.get().max(deadline));
            self.timers.fire(self.now.get());
        }
    }

    fn driver(&self) -> &dyn Driver {
        self
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        None
    }

    fn world(&self) -> Option<&Arc<dyn World>> {
        Some(&self.world)
    }
}

impl Driver for ToyStrand {
    fn now(&self) -> Instant {
        self.now.get()
    }

    fn watch(&self, _: &Arc<IoSource>, _: Interest, _: &Waker) -> io::Result<()> {
        panic!("a simulated socket is watched");
    }

    fn timers(&self, _: &Waker) -> io::Result<Arc<Timers>> {
        Ok(Arc::clone(&self.timers))
    }
}

/// From now on the system gives this process no descriptor.
fn refuse_descriptors() {
    let limit = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    assert!(TcpListener::bind("127.0.0.1:0").wait().is_err());
}

/// Runs `test` on the strand of a thread and on the toy's, in a new world each.
fn everywhere(test: impl Fn()) {
    refuse_descriptors();
    strand::enter(&ThreadStrand::new().with_world(Arc::new(Toy::default())), &test);
    let state = StrandState::new(Parker::new(Nothing));
    let (world, timers) = (Arc::new(Toy::default()), Timers::new(|| ()));
    strand::enter(&ToyStrand { state, world, timers, now: Cell::new(Instant::now()) }, &test);
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("10.0.0.1:0").wait().unwrap();
    let (ours, theirs) = join((TcpStream::connect(listener.local_addr().unwrap()), listener.accept())).wait();
    let (ours, (theirs, peer)) = (ours.unwrap(), theirs.unwrap());
    assert_eq!(peer, ours.local_addr().unwrap());
    assert_eq!(ours.peer_addr().unwrap(), theirs.local_addr().unwrap());
    (ours, theirs)
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn a_half_closed_connection_still_carries_the_answer() {
    everywhere(|| {
        let (ours, mut theirs) = pair();
        ours.write_all(b"question").wait().unwrap();
        ours.shutdown(Shutdown::Write).unwrap();
        let mut question = String::new();
        // Through std's traits, which make no blocking call here.
        theirs.read_to_string(&mut question).unwrap();
        assert_eq!(question, "question");
        assert_eq!(kind(ours.write(b"more").wait()), io::ErrorKind::BrokenPipe);
        Write::write_all(&mut theirs, b"answer").unwrap();
        drop(theirs);
        let mut answer = [0; 6];
        ours.read_exact(&mut answer).wait().unwrap();
        assert_eq!((&answer, ours.read(&mut [0]).wait().unwrap()), (b"answer", 0));
    });
}

#[test]
fn whoever_finds_no_room_or_no_bytes_waits() {
    everywhere(|| {
        let (ours, theirs) = pair();
        let sent: Vec<u8> = (0..20 * ROOM as u32).map(|i| (i % 251) as u8).collect();
        let mut received = vec![0; sent.len()];
        let (read, written) = join((theirs.read_exact(&mut received), ours.write_all(&sent))).wait();
        read.and(written).unwrap();
        assert!(received == sent);
        let (read, closed) = join((ours.read(&mut received), async { drop(theirs) })).wait();
        assert_eq!((read.unwrap(), closed), (0, ()));
    });
}

#[test]
fn several_buffers_are_one_stream_and_a_peek_takes_nothing() {
    everywhere(|| {
        let (ours, theirs) = pair();
        let bufs = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        assert_eq!(ours.write_vectored(&bufs).wait().unwrap(), 5);
        let (mut first, mut second) = ([0; 2], [0; 4]);
        assert_eq!(theirs.peek(&mut second).wait().unwrap(), 4);
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(theirs.read_vectored(&mut bufs).wait().unwrap(), 5);
        assert_eq!((&first, &second[..3]), (b"ab", &b"cde"[..]));
    });
}

#[test]
fn a_read_that_is_given_up_loses_nothing() {
    everywhere(|| {
        let (ours, theirs) = pair();
        let mut byte = [0];
        assert!(timeout(Duration::from_millis(2), theirs.read(&mut byte)).wait().is_err());
        ours.write_all(b"a").wait().unwrap();
        assert_eq!((theirs.read(&mut byte).wait().unwrap(), byte), (1, *b"a"));
    });
}

#[test]
fn shutting_down_ends_a_read_that_waits() {
    everywhere(|| {
        let (ours, _theirs) = pair();
        let mut byte = [0];
        let (read, down) = join((ours.read(&mut byte), async { ours.shutdown(Shutdown::Both) })).wait();
        assert_eq!((read.unwrap(), down.unwrap()), (0, ()));
    });
}

#[test]
fn an_attempt_is_refused_at_once_or_when_the_listener_goes() {
    everywhere(|| {
        assert_eq!(kind(TcpStream::connect("10.0.0.1:9").wait()), io::ErrorKind::ConnectionRefused);
        let listener = TcpListener::bind("10.0.0.1:9").wait().unwrap();
        let in_use = TcpListener::bind("10.0.0.1:9").wait();
        assert_eq!(kind(in_use), io::ErrorKind::AddrInUse);
        let (connected, ()) = join((TcpStream::connect("10.0.0.1:9"), async { drop(listener) })).wait();
        assert_eq!(kind(connected), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn connections_that_fail_are_passed_over_and_end_no_loop() {
    everywhere(|| {
        let listener = TcpListener::bind("10.0.0.1:0").wait().unwrap();
        let connect = || TcpStream::connect(listener.local_addr().unwrap());
        for error in [Errno::CONNABORTED, Errno::PROTO, Errno::NETDOWN, Errno::OPNOTSUPP] {
            for times in [1, 64] {
                fail_accepts(error, times);
                let (connected, accepted) = join((connect(), listener.accept())).wait();
                assert_eq!(accepted.unwrap().1, connected.unwrap().local_addr().unwrap());
            }
        }
        // One that waits for a single connection is told when so many fail; the next call goes on.
        fail_accepts(Errno::CONNABORTED, 65);
        assert_eq!(kind(listener.accept().wait().map(drop)), io::ErrorKind::ConnectionAborted);
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = Arc::clone(&told);
        let mut incoming = listener.incoming().on_trouble(move |trouble| {
            telling.lock().unwrap().push((trouble.error.raw_os_error(), trouble.pause.is_some()));
        });
        let failures = [(Errno::NFILE, 1), (Errno::CONNABORTED, 130), (Errno::NOMEM, 1), (Errno::NETDOWN, 3)];
        failures.into_iter().for_each(|(error, times)| fail_accepts(error, times));
        let (connected, accepted) = join((connect(), incoming.accept())).wait();
        assert_eq!(accepted.unwrap().1, connected.unwrap().local_addr().unwrap());
        let pauses = [Errno::NFILE, Errno::CONNABORTED, Errno::CONNABORTED, Errno::NOMEM];
        let pauses = pauses.map(|error| (Some(error.raw_os_error()), true));
        assert_eq!(std::mem::take(&mut *told.lock().unwrap()), pauses);
        // A socket that is no listener has this one for ever.
        fail_accepts(Errno::OPNOTSUPP, 65);
        assert!(incoming.accept().wait().is_err());
        assert_eq!(*told.lock().unwrap(), [(Some(Errno::OPNOTSUPP.raw_os_error()), false)]);
    });
}

#[test]
fn names_are_resolved_by_the_world() {
    everywhere(|| {
        let listener = TcpListener::bind("server:80").wait().unwrap();
        assert_eq!(listener.local_addr().unwrap(), "10.0.0.1:80".parse().unwrap());
        let (stream, accepted) = join((TcpStream::connect(("server", 80)), listener.accept())).wait();
        assert_eq!(stream.unwrap().peer_addr().unwrap(), accepted.unwrap().0.local_addr().unwrap());
        assert_eq!(kind(TcpStream::connect("elsewhere:80").wait()), io::ErrorKind::NotFound);
    });
}

#[test]
fn unix_sockets_are_those_of_the_world() {
    everywhere(|| {
        let name = UnixAddr::from("/run/toy");
        let listener = UnixListener::builder().unlink_on_drop(true).bind(&name).unwrap();
        let (ours, theirs) = join((UnixStream::connect(&name), listener.accept())).wait();
        let (ours, (theirs, peer)) = (ours.unwrap(), theirs.unwrap());
        assert_eq!((ours.peer_addr().unwrap(), peer), (name, UnixAddr::Unnamed));
        let (written, read) = join((ours.write_all(b"ab"), theirs.read_exact(&mut [0; 2]))).wait();
        written.and(read).unwrap();
        assert_eq!(kind(ours.peer_credentials()), io::ErrorKind::Unsupported);
        assert_eq!(kind(ours.send_with_fds(b"a", &[]).wait()), io::ErrorKind::Unsupported);
        let (one, other) = UnixStream::pair().unwrap();
        one.write_all(b"c").wait().unwrap();
        assert_eq!(other.read(&mut [0; 2]).wait().unwrap(), 1);
    });
}

#[test]
fn datagrams_are_those_of_the_world() {
    everywhere(|| {
        let server = UdpSocket::bind("server:80").wait().unwrap();
        let client = UdpSocket::bind("10.0.0.2:0").wait().unwrap();
        let mut buf = [0; 4];
        let echo = async {
            let mut buf = [0; 9];
            let (received, from) = server.recv_from(&mut buf).await?;
            server.send_to(&buf[..received.len], from).await
        };
        client.connect(("server", 80)).wait().unwrap();
        let (echoed, sent, received) = join((echo, client.send(b"datagram"), client.recv(&mut buf))).wait();
        let received = received.unwrap();
        assert_eq!((echoed.unwrap(), sent.unwrap()), (8, 8));
        assert_eq!((received.len, received.lost, &buf), (4, 4, b"data"));
        assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
    });
}

#[test]
fn there_are_options_but_no_descriptor() {
    everywhere(|| {
        let (ours, _theirs) = pair();
        assert!(!ours.nodelay().unwrap());
        ours.set_nodelay(true).unwrap();
        ours.set_keepalive(Some(Duration::from_millis(1500))).unwrap();
        assert!(ours.nodelay().unwrap());
        assert_eq!(ours.keepalive().unwrap(), Some(Duration::from_secs(2)));
        assert!(ours.take_error().unwrap().is_none());
        // What there is instead is refused by every call.
        assert!(ours.as_fd().as_raw_fd() < 0);
        assert!(ours.as_fd().try_clone_to_owned().is_err());
        assert_eq!(kind(ours.into_std()), io::ErrorKind::Unsupported);
        let listener = TcpListener::bind("10.0.0.1:0").wait().unwrap();
        assert_eq!(kind(listener.into_std()), io::ErrorKind::Unsupported);
    });
}

#[test]
fn a_simulated_stream_serves_any_stack() {
    refuse_descriptors();
    // Made in the toy world, used on threads that have none.
    let mut ends = None;
    let make = Cell::new(Some(&mut ends));
    let thread = ThreadStrand::new().with_world(Arc::new(Toy::default()));
    strand::enter(&thread, || *make.take().unwrap() = Some(pair()));
    let (ours, theirs) = ends.unwrap();
    let echo = thread::spawn(move || {
        let (mut reader, mut writer) = theirs.split();
        io::copy(&mut reader, &mut writer).unwrap()
    });
    let text = vec![b'x'; 3 * ROOM];
    let mut back = vec![0; text.len()];
    let (written, read) = join((ours.write_all(&text), ours.read_exact(&mut back))).wait();
    written.and(read).unwrap();
    assert!(back == text);
    drop(ours);
    assert_eq!(echo.join().unwrap(), 3 * ROOM as u64);
    assert!(world::current().is_none());
}

#[test]
fn races_are_decided_by_the_world() {
    let winners = |seed| {
        let thread = ThreadStrand::new().with_world(Arc::new(Chances(seed)));
        let winner = |_| race((async { 0 }, async { 1 }, async { 2 })).wait();
        strand::enter(&thread, || (0..40).map(winner).collect::<Vec<_>>())
    };
    assert_eq!(winners(1), winners(1));
    assert_ne!(winners(1), winners(2));
}

/// A world that is real but for what it has once.
#[derive(Default)]
struct Own(world::Globals);

impl World for Own {
    fn globals(&self) -> Option<&world::Globals> {
        Some(&self.0)
    }
}

#[test]
fn worlds_share_no_global() {
    let thread = || ThreadStrand::new().with_world(Arc::new(Own::default()));
    let (one, other) = (thread(), thread());
    let names = || Groups::global().names();
    let crowd = strand::enter(&one, || Groups::global().group::<u8>("crowd"));
    assert!(crowd.is_ok());
    assert_eq!(strand::enter(&one, names), ["crowd".into()], "a world has one collection");
    assert!(strand::enter(&other, names).is_empty() && names().is_empty());
    // The same name, for other messages.
    let other_crowd = strand::enter(&other, || Groups::global().group::<String>("crowd"));
    assert!(other_crowd.is_ok());
}
