//! Streams when all goes well: every way to move bytes meets every other one, on and between all systems.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use twoply_core::future::{join, join_all};
use twoply_core::net::endpoint::{Endpoint, Family, Stream};
use twoply_core::net::{Shutdown, TcpListener, TcpStream, UnixStream};
use twoply_core::task::Task;
use twoply_core::time::timeout;
use twoply_core::{Wait, channel, offload};
use twoply_tests::{Gate, System, Systems, eventually, laws};

laws! {
    and_mixed {
        every_way_of_reading_meets_every_way_of_writing,
        every_way_is_one_of_unix_streams_too,
        a_borrowed_connection_is_read_and_written_at_a_time,
        the_halves_of_a_connection_live_on_two_systems,
        half_a_connection_goes_on_when_the_other_half_is_closed,
        a_slow_reader_holds_the_writer_back,
        a_connection_is_handed_on_in_the_middle_of_a_conversation,
        several_wait_for_one_descriptor,
        connections_come_from_std_and_go_to_std,
    }
    everywhere {
        options_are_set_and_read_back,
        names_are_connected_to,
        listeners_share_a_port,
        a_connection_outlives_its_runtime,
        a_waiting_read_outlives_its_runtime,
    }
    one_worker {
        a_thousand_connections_at_a_time,
    }
}

/// A way to move bytes. The last three are straight-line code, which blocks the stack that it runs on.
///
/// Std's traits are named in full here: in scope, they would win over our methods wherever a stream is
/// borrowed mutably.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Our futures.
    Await,
    /// The poll functions of futures-io, of the stream itself.
    Poll,
    /// The same of a reference to it.
    PollRef,
    /// Our futures, finished with `.wait()`.
    Wait,
    /// Std's traits, of the stream itself.
    Std,
    /// The same of a reference to it.
    StdRef,
}

impl Way {
    const ALL: [Way; 6] = [Way::Await, Way::Poll, Way::PollRef, Way::Wait, Way::Std, Way::StdRef];

    /// Reads in this way.
    async fn read<F: Family>(self, stream: &mut Endpoint<F, Stream>, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Way::Await => stream.read(buf).await,
            Way::Poll => poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buf)).await,
            Way::PollRef => poll_fn(|cx| Pin::new(&mut &*stream).poll_read(cx, buf)).await,
            Way::Wait => stream.read(buf).wait(),
            Way::Std => io::Read::read(stream, buf),
            Way::StdRef => io::Read::read(&mut &*stream, buf),
        }
    }

    /// Writes all of `bytes` in this way.
    async fn write_all<F: Family>(self, stream: &mut Endpoint<F, Stream>, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = match self {
                Way::Await => return stream.write_all(rest).await,
                Way::Wait => return stream.write_all(rest).wait(),
                Way::Std => return io::Write::write_all(stream, rest),
                Way::StdRef => return io::Write::write_all(&mut &*stream, rest),
                Way::Poll => poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, rest)).await?,
                Way::PollRef => poll_fn(|cx| Pin::new(&mut &*stream).poll_write(cx, rest)).await?,
            };
            rest = &rest[written..];
        }
        Ok(())
    }

    /// Runs `job`, which moves bytes in this way only, as a future or as straight-line code.
    fn spawn<T: Send + 'static>(
        self,
        system: &System,
        job: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        match self {
            Way::Await | Way::Poll | Way::PollRef => system.spawn(job),
            Way::Wait | Way::Std | Way::StdRef => {
                system.spawn_fn(move || match pin!(job).poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(result) => result,
                    Poll::Pending => panic!("straight-line code is never pending"),
                })
            }
        }
    }
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").wait().unwrap()
}

/// Both ends of a connection. Small pieces are not held back, or a conversation would wait for
/// acknowledgements.
fn pair() -> (TcpStream, TcpStream) {
    let listener = listener();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
    let (theirs, _) = listener.accept().wait().unwrap();
    for stream in [&ours, &theirs] {
        stream.set_nodelay(true).unwrap();
    }
    (ours, theirs)
}

/// The byte at each place of a long stream. The period is a prime, so that a lost buffer shows.
fn pattern(place: usize) -> u8 {
    (place % 251) as u8
}

/// Reads to the end, and returns how many bytes that were; they must follow the pattern.
async fn read_pattern(stream: &TcpStream) -> usize {
    let (mut buf, mut place) = (vec![0; 16 * 1024], 0);
    loop {
        let read = stream.read(&mut buf).await.unwrap();
        if read == 0 {
            return place;
        }
        for byte in &buf[..read] {
            assert_eq!(*byte, pattern(place), "at {place}");
            place += 1;
        }
    }
}

/// Writes `range` of the pattern.
async fn write_pattern(stream: &TcpStream, range: std::ops::Range<usize>) {
    let bytes: Vec<u8> = range.map(pattern).collect();
    stream.write_all(&bytes).await.unwrap();
}

async fn echo<F: Family>(way: Way, mut stream: Endpoint<F, Stream>) -> usize {
    let (mut buf, mut total) = ([0; 100], 0);
    loop {
        match way.read(&mut stream, &mut buf).await.unwrap() {
            0 => return total,
            read => way.write_all(&mut stream, &buf[..read]).await.unwrap(),
        }
        total += 1;
    }
}

/// Sends `rounds` messages, and gets each back; then the end.
async fn converse<F: Family>(way: Way, mut stream: Endpoint<F, Stream>, rounds: usize) {
    for round in 0..rounds {
        // Longer than the other side's buffer.
        let message: Vec<u8> = (round..round + 250).map(pattern).collect();
        way.write_all(&mut stream, &message).await.unwrap();
        let (mut back, mut got) = ([0; 250], 0);
        while got < back.len() {
            got += match way.read(&mut stream, &mut back[got..]).await.unwrap() {
                0 => panic!("{way:?}: ended in round {round} after {got} bytes"),
                read => read,
            };
        }
        assert!(back[..] == message[..], "{way:?}: round {round}");
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(way.read(&mut stream, &mut [0]).await.unwrap(), 0);
}

fn every_way_of_reading_meets_every_way_of_writing(on: &Systems) {
    every_way_meets_every_way(on, pair);
}

fn every_way_is_one_of_unix_streams_too(on: &Systems) {
    every_way_meets_every_way(on, || UnixStream::pair().unwrap());
}

fn every_way_meets_every_way<F: Family>(
    on: &Systems,
    pair: impl Fn() -> (Endpoint<F, Stream>, Endpoint<F, Stream>),
) {
    let ways = || Way::ALL.into_iter();
    let pairs: Vec<_> = ways().flat_map(|server| ways().map(move |client| (server, client))).collect();
    for (server, client) in pairs {
        // Each side on each system.
        for (one, other) in [(on.here(), on.there()), (on.there(), on.here())] {
            let (theirs, ours) = pair();
            let echo = server.spawn(one, echo(server, theirs));
            let client = client.spawn(other, converse(client, ours, 3));
            client.wait().unwrap();
            assert!(echo.wait().unwrap() >= 3);
        }
    }
}

fn a_borrowed_connection_is_read_and_written_at_a_time(on: &Systems) {
    const LEN: usize = 1 << 20;
    let (ours, theirs) = pair();
    let echo = on.there().spawn(echo(Way::Await, theirs));
    let both = async move {
        let (mut read, mut write) = ours.split();
        let writing = async {
            let bytes: Vec<u8> = (0..LEN).map(pattern).collect();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let written = poll_fn(|cx| Pin::new(&mut write).poll_write(cx, rest)).await.unwrap();
                rest = &rest[written..];
            }
            poll_fn(|cx| Pin::new(&mut write).poll_close(cx)).await.unwrap();
        };
        let reading = async {
            let (mut buf, mut place) = (vec![0; 4096], 0);
            loop {
                let count = poll_fn(|cx| Pin::new(&mut read).poll_read(cx, &mut buf)).await.unwrap();
                if count == 0 {
                    return place;
                }
                assert!((place..).zip(&buf[..count]).all(|(place, byte)| *byte == pattern(place)));
                place += count;
            }
        };
        join((writing, reading)).await.1
    };
    assert_eq!(on.here().spawn(both).wait().unwrap(), LEN);
    echo.wait().unwrap();
}

fn the_halves_of_a_connection_live_on_two_systems(on: &Systems) {
    const LEN: usize = 1 << 18;
    for straight_line in [false, true] {
        let (ours, theirs) = pair();
        let echo = on.here().spawn(echo(Way::Await, theirs));
        let (read, write) = ours.into_split();
        let writing = move || {
            let mut write = write;
            let bytes: Vec<u8> = (0..LEN).map(pattern).collect();
            io::Write::write_all(&mut write, &bytes).unwrap();
            // Dropping it tells the peer that nothing follows.
        };
        let reading = move || {
            let (mut read, mut bytes) = (read, Vec::new());
            io::Read::read_to_end(&mut read, &mut bytes).unwrap();
            bytes
        };
        let (written, bytes) = match straight_line {
            true => (on.here().spawn_fn(writing), on.there().spawn_fn(reading)),
            // Straight-line code inside a poll is legal, too.
            false => (on.here().spawn(async move { writing() }), on.there().spawn(async move { reading() })),
        };
        assert_eq!(bytes.wait().unwrap(), (0..LEN).map(pattern).collect::<Vec<u8>>());
        written.wait().unwrap();
        echo.wait().unwrap();
    }
}

fn half_a_connection_goes_on_when_the_other_half_is_closed(on: &Systems) {
    const LEN: usize = 1 << 20;
    // Whoever closes its direction early goes on reading; whoever reads the end goes on writing (hyper#1716).
    async fn talk(stream: TcpStream, closes_after: usize) -> usize {
        let writing = async {
            write_pattern(&stream, 0..closes_after).await;
            stream.shutdown(Shutdown::Write).unwrap();
        };
        join((writing, read_pattern(&stream))).await.1
    }
    for (first, second) in [(10, LEN), (LEN, 10), (0, LEN), (LEN, 0), (0, 0)] {
        let (ours, theirs) = pair();
        let one = on.here().spawn(talk(ours, first));
        let other = on.there().spawn_fn(move || talk(theirs, second).wait());
        assert_eq!((one.wait().unwrap(), other.wait().unwrap()), (second, first));
    }
}

/// A pair of connections with room for few bytes on the way.
fn narrow_pair() -> (TcpStream, TcpStream) {
    let (ours, theirs) = pair();
    for stream in [&ours, &theirs] {
        stream.set_send_buffer_size(32 * 1024).unwrap();
        stream.set_recv_buffer_size(32 * 1024).unwrap();
    }
    (ours, theirs)
}

fn a_slow_reader_holds_the_writer_back(on: &Systems) {
    const LEN: usize = 8 << 20;
    const CHUNK: usize = 64 * 1024;
    for way in [Way::Await, Way::Poll, Way::Std] {
        let (mut ours, theirs) = narrow_pair();
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let writer = way.spawn(on.here(), async move {
            for start in (0..LEN).step_by(CHUNK) {
                let bytes: Vec<u8> = (start..start + CHUNK).map(pattern).collect();
                way.write_all(&mut ours, &bytes).await.unwrap();
                count.fetch_add(CHUNK, Ordering::SeqCst);
            }
        });
        // It goes on until nothing more fits in between, and then waits without being polled again.
        let mut before = usize::MAX;
        eventually("the writer is held back", || {
            std::thread::sleep(Duration::from_millis(5));
            let now = written.load(Ordering::SeqCst);
            std::mem::replace(&mut before, now) == now && now > 0
        });
        assert!(before < LEN / 2, "{way:?}: {before} bytes without a reader");
        let reader = on.there().spawn(async move { read_pattern(&theirs).await });
        assert_eq!(reader.wait().unwrap(), LEN, "{way:?}");
        writer.wait().unwrap();
    }
}

fn a_connection_is_handed_on_in_the_middle_of_a_conversation(on: &Systems) {
    let (ours, mut peer) = pair();
    let (to_there, at_there) = channel::rendezvous::<TcpStream>();
    let (to_here, at_here) = channel::rendezvous::<TcpStream>();
    let starter = to_here.clone();
    // Each in turn reads a byte, and hands the connection on while it waits for the next.
    async fn answer(stream: &mut TcpStream, way: Way) -> bool {
        let mut byte = [0];
        let read = way.read(stream, &mut byte).await.unwrap();
        read == 1 && way.write_all(stream, &[byte[0] + 1]).await.is_ok()
    }
    let here = on.here().spawn(async move {
        while let Ok(mut stream) = at_here.recv().await {
            let answered = answer(&mut stream, Way::Await).await;
            // Left behind half waited for: what is given up here must not hold up the other one.
            let _ = timeout(Duration::ZERO, stream.peek(&mut [0])).await;
            if !answered || to_there.send(stream).await.is_err() {
                return;
            }
        }
    });
    let there = on.there().spawn_fn(move || {
        while let Ok(mut stream) = at_there.recv().wait() {
            if !answer(&mut stream, Way::Std).wait() || to_here.send(stream).wait().is_err() {
                return;
            }
        }
    });
    starter.send(ours).wait().unwrap();
    // Or it would keep the one who waits for the connection from seeing the end.
    drop(starter);
    for round in 0..50 {
        io::Write::write_all(&mut peer, &[round]).unwrap();
        let mut back = [0];
        io::Read::read_exact(&mut peer, &mut back).unwrap();
        assert_eq!(back, [round + 1]);
    }
    drop(peer);
    here.wait().unwrap();
    there.wait().unwrap();
}

fn several_wait_for_one_descriptor(on: &Systems) {
    const READERS: usize = 12;
    let start = |stream: &Arc<TcpStream>| -> Vec<Task<io::Result<usize>>> {
        let reader = |n: usize| {
            let stream = Arc::clone(stream);
            let system = if n.is_multiple_of(2) { on.here() } else { on.there() };
            match n % 3 {
                0 => system.spawn(async move { stream.read(&mut [0]).await }),
                1 => system.spawn_fn(move || stream.read(&mut [0]).wait()),
                _ => system.spawn(async move {
                    let mut buf = [0];
                    let (one, _) = join((stream.read(&mut buf), async {})).await;
                    one
                }),
            }
        };
        (0..READERS).map(reader).collect()
    };
    for round in 0..10 {
        let (ours, theirs) = pair();
        let ours = Arc::new(ours);
        let readers = start(&ours);
        // In every second round they do wait by the time the bytes come.
        if round % 2 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        for _ in 0..READERS {
            theirs.write_all(b"x").wait().unwrap();
        }
        for reader in readers {
            assert_eq!(reader.wait().unwrap().unwrap(), 1, "one byte for each");
        }
        let readers = start(&ours);
        if round % 2 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        match round % 4 {
            0 | 1 => {
                drop(theirs);
                for reader in readers {
                    assert_eq!(reader.wait().unwrap().unwrap(), 0, "the end is for all");
                }
            }
            _ => {
                theirs.set_linger(Some(Duration::ZERO)).unwrap();
                drop(theirs);
                let ended: Vec<_> = readers.into_iter().map(|reader| reader.wait().unwrap()).collect();
                // The kernel tells the first one who asks of the error, and the others of the end.
                let reset = |result: &io::Result<usize>| {
                    result.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::ConnectionReset)
                };
                assert!(ended.iter().any(reset), "{ended:?}");
                assert!(ended.iter().all(|result| reset(result) || matches!(result, Ok(0))), "{ended:?}");
            }
        }
    }
}

fn connections_come_from_std_and_go_to_std(on: &Systems) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let server = on.there().spawn(async move {
        let (first, _) = listener.accept().await.unwrap();
        let echoed = echo(Way::Await, first).await;
        (echoed, std::net::TcpListener::try_from(listener).unwrap())
    });
    let client = on.here().spawn_fn(move || {
        let std = std::net::TcpStream::connect(address).unwrap();
        // Std's may be in either mode.
        std.set_nonblocking(true).unwrap();
        let ours = TcpStream::from(std);
        ours.write_all(b"one").wait().unwrap();
        let mut back = [0; 3];
        ours.read_exact(&mut back).wait().unwrap();
        assert_eq!(&back, b"one");
        let mut std = std::net::TcpStream::try_from(ours).unwrap();
        // It blocks, as one of std's should: not on a worker.
        let through_std = || {
            io::Write::write_all(&mut std, b"two").unwrap();
            io::Read::read_exact(&mut std, &mut back).unwrap();
        };
        offload(through_std).unwrap();
        assert_eq!(&back, b"two");
    });
    client.wait().unwrap();
    let (echoed, listener) = server.wait().unwrap();
    assert!(echoed >= 2);
    let waiting = std::net::TcpStream::connect(address).unwrap();
    assert_eq!(listener.accept().unwrap().1, waiting.local_addr().unwrap());
}

fn options_are_set_and_read_back(on: &Systems) {
    let task = on.here().spawn(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (peer, address) = listener.accept().await.unwrap();
        assert_eq!((stream.local_addr().unwrap(), peer.peer_addr().unwrap()), (address, address));
        for on in [true, false] {
            stream.set_nodelay(on).unwrap();
            assert_eq!(stream.nodelay().unwrap(), on);
        }
        stream.set_ttl(17).unwrap();
        assert_eq!(stream.ttl().unwrap(), 17);
        for linger in [Some(Duration::ZERO), Some(Duration::from_secs(3)), None] {
            stream.set_linger(linger).unwrap();
            assert_eq!(stream.linger().unwrap(), linger);
        }
        for idle in [Some(Duration::from_secs(70)), None] {
            stream.set_keepalive(idle).unwrap();
            assert_eq!(stream.keepalive().unwrap(), idle);
        }
        assert!(stream.take_error().unwrap().is_none() && listener.take_error().unwrap().is_none());
    });
    task.wait().unwrap();
}

fn names_are_connected_to(on: &Systems) {
    let listener = listener();
    let port = listener.local_addr().unwrap().port();
    let awaiting = on.here().spawn(async move { TcpStream::connect(("localhost", port)).await });
    awaiting.wait().unwrap().unwrap();
    let waiting = on.here().spawn_fn(move || TcpStream::connect(format!("localhost:{port}")).wait());
    waiting.wait().unwrap().unwrap();
    let nowhere = on.here().spawn(async { TcpStream::connect("no.such.host.invalid:1").await });
    nowhere.wait().unwrap().unwrap_err();
}

fn listeners_share_a_port(on: &Systems) {
    const CLIENTS: usize = 200;
    let shared = || TcpListener::builder().reuse_port(true);
    let first = shared().bind("127.0.0.1:0").wait().unwrap();
    let address = first.local_addr().unwrap();
    let second = shared().bind(address).wait().unwrap();
    assert!(TcpListener::bind(address).wait().is_err(), "a third one that does not share");
    let counts = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let accepting: Vec<_> = [first, second]
        .into_iter()
        .zip(counts.clone())
        .map(|(listener, count)| {
            on.here().spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    count.fetch_add(1, Ordering::SeqCst);
                    stream.write_all(b"x").await.unwrap();
                }
            })
        })
        .collect();
    for _ in 0..CLIENTS {
        let stream = TcpStream::connect(address).wait().unwrap();
        stream.read_exact(&mut [0]).wait().unwrap();
    }
    let counts = counts.map(|count| count.load(Ordering::SeqCst));
    assert_eq!(counts[0] + counts[1], CLIENTS);
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    for task in accepting {
        task.cancel();
        assert!(task.wait().unwrap_err().is_cancelled());
    }
}

fn a_connection_outlives_its_runtime(on: &Systems) {
    let mortal = on.kind().build();
    let (sender, streams) = channel::unbounded();
    let (ours, theirs) = pair();
    mortal
        .spawn(async move {
            // Both are known to its reactor by now.
            assert!(timeout(Duration::from_millis(1), ours.read(&mut [0])).await.is_err());
            assert!(timeout(Duration::from_millis(1), theirs.read(&mut [0])).await.is_err());
            sender.send((ours, theirs)).await.unwrap();
        })
        .wait()
        .unwrap();
    mortal.shutdown(Duration::from_secs(10)).unwrap();
    drop(mortal);
    let (ours, theirs) = streams.recv().wait().unwrap();
    let echo = on.here().spawn(echo(Way::Await, theirs));
    on.here().spawn(converse(Way::Await, ours, 10)).wait().unwrap();
    echo.wait().unwrap();
}

fn a_waiting_read_outlives_its_runtime(on: &Systems) {
    let (ours, theirs) = pair();
    let ours = Arc::new(ours);
    // Whoever waits outside of the runtime whose worker watches the descriptor is taken along.
    let mortal = on.kind().build();
    let stream = Arc::clone(&ours);
    let inside = mortal.spawn(async move { stream.read(&mut [0]).await });
    let outside = on.here().spawn(async move { ours.read(&mut [0]).await.unwrap() });
    std::thread::sleep(Duration::from_millis(5));
    mortal.shutdown(Duration::from_secs(10)).unwrap();
    assert!(inside.wait().unwrap_err().is_cancelled());
    theirs.write_all(b"x").wait().unwrap();
    assert_eq!(outside.wait().unwrap(), 1);
}

fn a_thousand_connections_at_a_time(on: &Systems) {
    const CONNECTIONS: usize = 1000;
    let listener = listener();
    let address = listener.local_addr().unwrap();
    let spawner = on.here().spawner().clone();
    let accepting = on.here().spawn(async move {
        let mut echoes = Vec::new();
        for _ in 0..CONNECTIONS {
            let (stream, _) = listener.accept().await.unwrap();
            echoes.push(spawner.spawn(echo(Way::Await, stream)));
        }
        join_all(echoes).await.into_iter().map(Result::unwrap).sum::<usize>()
    });
    let (gate, connected) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (opened, connected) = (gate.opened(), Arc::clone(&connected));
            on.here().spawn(async move {
                let stream = TcpStream::connect(address).await.unwrap();
                connected.fetch_add(1, Ordering::SeqCst);
                opened.await;
                converse(Way::Await, stream, 2).await;
            })
        })
        .collect();
    eventually("all are connected", || connected.load(Ordering::SeqCst) == CONNECTIONS);
    gate.open();
    for client in clients {
        client.wait().unwrap();
    }
    assert!(accepting.wait().unwrap() >= 2 * CONNECTIONS);
}
