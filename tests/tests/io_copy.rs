//! Copies from stream to stream: whole, in both directions, with ends and errors told and no byte lost.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use twoply_core::Wait;
use twoply_core::io::{self as twoply_io, BufWriter, CopySide, Way, duplex};
use twoply_core::net::{self, TcpListener, TcpStream, UnixStream};
use twoply_core::task::Task;
use twoply_core::time::timeout;
use twoply_tests::{Gate, Resources, Systems, both_ways, eventually, laws, mortal_to_sigpipe};

laws! {
    and_mixed {
        a_proxy_moves_all_bytes_both_ways,
        a_proxy_of_streams_in_memory_does_the_same,
        one_way_copies_of_the_same_sockets_do_not_disturb_each_other,
    }
    everywhere {
        half_a_connection_goes_on_when_the_other_half_has_ended,
        a_side_that_reads_no_more_may_still_speak,
        a_side_that_is_broken_ends_the_copy_and_loses_no_byte_silently,
        a_copy_that_is_given_up_leaves_the_sockets_as_they_were,
        a_copy_that_waits_holds_no_descriptor,
        a_copy_gets_by_without_descriptors,
        a_broken_pipe_kills_nobody,
    }
}

/// The bytes that are sent, each of which tells its place.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

/// Both ends of a connection over TCP.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
    (client, listener.accept().wait().unwrap().0)
}

/// Resets a connection over TCP.
fn reset(stream: TcpStream) {
    stream.set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Whether the open file of a descriptor is in non-blocking mode.
fn is_nonblocking(fd: &impl std::os::fd::AsFd) -> bool {
    rustix::fs::fcntl_getfl(fd).unwrap().contains(rustix::fs::OFlags::NONBLOCK)
}

const MANY: usize = 3_000_000;

/// Sends `there` bytes from the first end and `back` bytes from the second, and checks that they arrive.
fn converse<A, B>(on: &Systems, first: A, second: B, there: usize, back: usize)
where
    A: Send + Sync + 'static,
    B: Send + Sync + 'static,
    for<'a> &'a A: AsyncRead + AsyncWrite + Send,
    for<'a> &'a B: AsyncRead + AsyncWrite + Send,
{
    let ends = (speak(on, first, there, back), speak(on, second, back, there));
    for task in ends.0.into_iter().chain(ends.1) {
        task.wait().unwrap();
    }
}

/// Sends so many bytes from one end, closes it in that direction, and checks what comes.
fn speak<S>(on: &Systems, end: S, sends: usize, expects: usize) -> [Task<()>; 2]
where
    S: Send + Sync + 'static,
    for<'a> &'a S: AsyncRead + AsyncWrite + Send,
{
    let reading = Arc::new(end);
    let writing = reading.clone();
    let writer = on.here().spawn(async move {
        let mut writer = BufWriter::with_capacity(0, &*writing);
        for chunk in pattern(sends).chunks(100_000) {
            writer.write_all(chunk).await.unwrap();
        }
        writer.close().await.unwrap();
    });
    let reader = on.there().spawn_fn(move || {
        let mut all = Vec::new();
        twoply_io::read_to_end(&mut &*reading, &mut all, usize::MAX).wait().unwrap();
        assert!(all == pattern(expects), "{} bytes of {expects}", all.len());
    });
    [writer, reader]
}

fn a_proxy_moves_all_bytes_both_ways(on: &Systems) {
    let ((client, near), (far, server)) = (connection(), UnixStream::pair().unwrap());
    let proxy = on.here().spawn(async move {
        let counts = net::copy_bidirectional(&near, &far).await.unwrap();
        assert!(!is_nonblocking(&near) && !is_nonblocking(&far), "they are as they were");
        counts
    });
    converse(on, client, server, MANY, MANY / 2);
    assert_eq!(proxy.wait().unwrap(), (MANY as u64, MANY as u64 / 2));
}

fn a_proxy_of_streams_in_memory_does_the_same(on: &Systems) {
    let ((client, mut near), (mut far, server)) = (duplex(1000), duplex(1000));
    let proxy =
        on.here().spawn_fn(move || twoply_io::copy_bidirectional(&mut near, &mut far).wait().unwrap());
    converse(on, client, server, 100_000, 50_000);
    assert_eq!(proxy.wait().unwrap(), (100_000, 50_000));
}

fn one_way_copies_of_the_same_sockets_do_not_disturb_each_other(on: &Systems) {
    let ((client, near), (far, server)) = (connection(), connection());
    let (near, far) = (Arc::new(near), Arc::new(far));
    let copy = |from: &Arc<_>, to: &Arc<_>| {
        let (from, to) = (Arc::clone(from), Arc::clone(to));
        on.there().spawn(async move {
            let count = net::copy(&*from, &*to).await.unwrap();
            to.shutdown(Shutdown::Write).unwrap();
            count
        })
    };
    let back = copy(&far, &near);
    eventually("it has begun", || is_nonblocking(&*near) && is_nonblocking(&*far));
    let there = copy(&near, &far);
    let first = speak(on, client, 10, MANY);
    assert_eq!(there.wait().unwrap(), 10);
    // The one that is over leaves the other one's mode alone: that would block its worker.
    assert!(is_nonblocking(&*near) && is_nonblocking(&*far));
    let second = speak(on, server, MANY, 10);
    first.into_iter().chain(second).for_each(|task| task.wait().unwrap());
    assert_eq!(back.wait().unwrap(), MANY as u64);
    assert!(!is_nonblocking(&*near) && !is_nonblocking(&*far));
}

fn half_a_connection_goes_on_when_the_other_half_has_ended(on: &Systems) {
    both_ways(on, || async {
        let ((client, near), (far, server)) = (connection(), UnixStream::pair().unwrap());
        let proxy = twoply_core::task::spawn(async move { net::copy_bidirectional(&near, &far).await });
        client.write_all(b"question").await.unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut question = Vec::new();
        twoply_io::read_to_end(&mut &server, &mut question, 100).await.unwrap();
        assert_eq!(question, b"question");
        for part in [&b"an "[..], b"answer"] {
            server.write_all(part).await.unwrap();
            client.read_exact(&mut vec![0; part.len()]).await.unwrap();
        }
        server.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(proxy.await.unwrap().unwrap(), (8, 9));
    });
}

fn a_side_that_reads_no_more_may_still_speak(on: &Systems) {
    both_ways(on, || async {
        // The second one refuses what it is sent, and has something to say.
        let ((client, mut near), (mut far, server)) = (duplex(64), duplex(64));
        server.shutdown(Shutdown::Read);
        let proxy = twoply_core::task::spawn(async move {
            twoply_io::copy_bidirectional(&mut near, &mut far).await.unwrap_err()
        });
        client.write_all(b"unwanted").await.unwrap();
        // The copy cannot be over: this comes after the error.
        server.write_all(b"go ").await.unwrap();
        client.read_exact(&mut [0; 3]).await.unwrap();
        server.write_all(b"away").await.unwrap();
        server.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        twoply_io::read_to_end(&mut &client, &mut answer, 100).await.unwrap();
        assert_eq!(answer, b"away");
        let error = proxy.await.unwrap();
        assert_eq!((error.way, error.side), (Way::There, CopySide::Writer));
        assert_eq!((error.there.written, error.there.unwritten.as_slice()), (0, &b"unwanted"[..]));
        assert_eq!((error.back.written, error.back.unwritten.len()), (7, 0));
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::BrokenPipe);
    });
}

fn a_side_that_is_broken_ends_the_copy_and_loses_no_byte_silently(on: &Systems) {
    both_ways(on, || async {
        let ((client, near), (far, server)) = (connection(), UnixStream::pair().unwrap());
        // Nobody reads from the client's side, until nothing more goes in.
        let (filled, bytes) = (server, pattern(100_000));
        let proxy = twoply_core::task::spawn(async move {
            let ended = net::copy_bidirectional(&near, &far).await;
            (ended, near, far)
        });
        client.write_all(b"hello").await.unwrap();
        filled.read_exact(&mut [0; 5]).await.unwrap();
        let mut sent = 0;
        loop {
            let chunk = &bytes[sent % bytes.len()..];
            match timeout(Duration::from_millis(100), filled.write(chunk)).await {
                Ok(n) => sent += n.unwrap(),
                Err(_) => break,
            }
        }
        reset(client);
        let (ended, _near, far) = proxy.await.unwrap();
        let error = ended.unwrap_err();
        assert_eq!((error.there.written, error.there.unwritten.len()), (5, 0));
        // What the copy has taken and nobody has got is told, byte for byte; the rest is still in the socket.
        let taken = error.back.written as usize;
        let mut rest = error.back.unwritten;
        far.shutdown(Shutdown::Write).unwrap();
        filled.shutdown(Shutdown::Write).unwrap();
        twoply_io::read_to_end(&mut &far, &mut rest, usize::MAX).await.unwrap();
        assert_eq!(taken + rest.len(), sent);
        assert!(rest.iter().enumerate().all(|(at, byte)| *byte == bytes[(taken + at) % bytes.len()]));
    });
}

fn a_copy_that_is_given_up_leaves_the_sockets_as_they_were(on: &Systems) {
    let task = on.here().spawn(async {
        let ((client, near), (far, server)) = (connection(), connection());
        {
            let mut copy = pin!(net::copy_bidirectional(&near, &far));
            let polled = copy.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Pending));
            assert!(is_nonblocking(&near) && is_nonblocking(&far));
        }
        assert!(!is_nonblocking(&near) && !is_nonblocking(&far));
        client.write_all(b"x").await.unwrap();
        assert_eq!(near.read(&mut [0; 2]).await.unwrap(), 1);
        far.write_all(b"y").await.unwrap();
        assert_eq!(server.read(&mut [0; 2]).await.unwrap(), 1);
    });
    task.wait().unwrap();
}

/// How many ends of pipes this process has.
fn pipes() -> usize {
    let descriptors = Resources::now().descriptors;
    descriptors.iter().filter(|(name, _)| name.starts_with("pipe:")).map(|(_, count)| count).sum()
}

fn a_copy_that_waits_holds_no_descriptor(on: &Systems) {
    on.alone(|| {
        let pairs = || (0..20).map(|_| UnixStream::pair().unwrap()).unzip::<_, _, Vec<_>, Vec<_>>();
        let ((clients, nears), (fars, servers)) = (pairs(), pairs());
        let before = pipes();
        let proxies = nears.into_iter().zip(fars).map(|(near, far)| {
            on.here().spawn(async move { net::copy_bidirectional(&near, &far).await.unwrap() })
        });
        let proxies: Vec<_> = proxies.collect();
        for (client, server) in clients.iter().zip(&servers) {
            client.write_all(b"ping").wait().unwrap();
            server.read_exact(&mut [0; 4]).wait().unwrap();
            server.write_all(b"pong").wait().unwrap();
            client.read_exact(&mut [0; 4]).wait().unwrap();
        }
        // Two ends for each that has been in use at a time, and not four for each of twenty copies.
        eventually("the pipes are back", || pipes() <= before + 16);
        drop((clients, servers));
        proxies.into_iter().for_each(|proxy| assert_eq!(proxy.wait().unwrap(), (4, 4)));
    });
}

fn a_copy_gets_by_without_descriptors(on: &Systems) {
    on.alone(|| {
        let ((client, near), (far, server)) = (connection(), connection());
        let (client, server) = (client.into_std().unwrap(), server.into_std().unwrap());
        let (has_waited, hoarded) = (Gate::new(), Gate::new());
        let (waited, opened) = (has_waited.clone(), hoarded.opened());
        let proxy = on.here().spawn(async move {
            // To wait for the first time may take descriptors, and more than a try is not needed here.
            assert!(timeout(Duration::from_millis(1), near.readable()).await.is_err());
            waited.open();
            opened.await;
            net::copy_bidirectional(&near, &far).await.unwrap()
        });
        has_waited.opened().wait();
        let limits = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(256), maximum: limits.maximum }).unwrap();
        let mut hoard: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        // One is left, for a thread that rests for the first time. A pipe takes two.
        drop(hoard.pop());
        hoarded.open();
        for (mut from, mut to) in [(&client, &server), (&server, &client)] {
            thread::scope(|scope| {
                scope.spawn(move || {
                    from.write_all(&pattern(100_000)).unwrap();
                    from.shutdown(Shutdown::Write).unwrap();
                });
                let mut all = Vec::new();
                to.read_to_end(&mut all).unwrap();
                assert!(all == pattern(100_000));
            });
        }
        drop(hoard);
        assert_eq!(proxy.wait().unwrap(), (100_000, 100_000));
    });
}

fn a_broken_pipe_kills_nobody(on: &Systems) {
    on.alone(|| {
        mortal_to_sigpipe();
        let ((client, near), (far, server)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        drop(server);
        client.write_all(b"unwanted").wait().unwrap();
        let error = on.here().spawn(async move { net::copy(&near, &far).await.unwrap_err() }).wait().unwrap();
        assert_eq!(error.side, CopySide::Writer);
        assert_eq!((error.copied.written, error.copied.unwritten.as_slice()), (0, &b"unwanted"[..]));
        assert_eq!(error.error.kind(), io::ErrorKind::BrokenPipe);
    });
}
