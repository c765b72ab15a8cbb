//! Tests of sockets.

use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};

use super::*;
use crate::Wait;
use crate::kernel::backend::{Backend, Driver, Strand, StrandState};
use crate::kernel::strand::{ThreadStrand, enter};
use crate::time::timeout;

const LIMIT: Duration = Duration::from_secs(10);

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").wait().unwrap()
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = listener();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
    (ours, listener.accept().wait().unwrap().0)
}

/// A strand whose stack may not block in system calls: everything waits through futures.
struct NoBlocking(ThreadStrand);

impl Strand for NoBlocking {
    fn state(&self) -> &StrandState {
        self.0.state()
    }

    fn park(&self) {
        self.0.park();
    }

    fn driver(&self) -> &dyn Driver {
        self.0.driver()
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        None
    }
}

/// Runs `test` on a stack that may block, and on one that may not.
fn everywhere(test: impl Fn()) {
    test();
    enter(&NoBlocking(ThreadStrand::new()), &test);
}

/// Bytes that do not repeat with a small period.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn bytes_pass_through_stds_traits_unchanged() {
    everywhere(|| {
        let (ours, theirs) = pair();
        let data = pattern(3 << 20);
        thread::scope(|scope| {
            let data = &data;
            scope.spawn(move || {
                Write::write_all(&mut &ours, data).unwrap();
                ours.shutdown(Shutdown::Write).unwrap();
            });
            let mut received = Vec::new();
            (&theirs).read_to_end(&mut received).unwrap();
            assert!(received == *data);
        });
    });
}

#[test]
fn bytes_pass_through_futures_unchanged() {
    let (ours, theirs) = pair();
    let data = pattern(3 << 20);
    thread::scope(|scope| {
        let sent = &data;
        scope.spawn(move || {
            enter(&NoBlocking(ThreadStrand::new()), || {
                ours.write_all(sent).wait().unwrap();
            });
        });
        let mut received = vec![0; data.len()];
        theirs.read_exact(&mut received).wait().unwrap();
        assert!(received == data);
        assert_eq!(theirs.read(&mut [0; 8]).wait().unwrap(), 0);
    });
}

#[test]
fn bytes_pass_through_the_poll_functions_unchanged() {
    let (mut ours, mut theirs) = pair();
    let data = pattern(1 << 20);
    thread::scope(|scope| {
        let sent = &data;
        scope.spawn(move || {
            let mut at = 0;
            while at < sent.len() {
                at += poll_fn(|cx| Pin::new(&mut ours).poll_write(cx, &sent[at..])).wait().unwrap();
            }
            poll_fn(|cx| Pin::new(&mut ours).poll_close(cx)).wait().unwrap();
        });
        let mut received = Vec::new();
        let mut buf = [0; 4096];
        loop {
            match poll_fn(|cx| Pin::new(&mut theirs).poll_read(cx, &mut buf)).wait().unwrap() {
                0 => break,
                n => received.extend_from_slice(&buf[..n]),
            }
        }
        assert!(received == data);
    });
}

#[test]
fn several_buffers_are_one_stream() {
    everywhere(|| {
        let (mut ours, mut theirs) = pair();
        let bufs = [io::IoSlice::new(b"ab"), io::IoSlice::new(b""), io::IoSlice::new(b"cde")];
        assert_eq!(ours.write_vectored(&bufs).wait().unwrap(), 5);
        assert_eq!(Write::write_vectored(&mut ours, &bufs).unwrap(), 5);
        let (mut first, mut second) = ([0; 3], [0; 4]);
        let mut bufs = [io::IoSliceMut::new(&mut first), io::IoSliceMut::new(&mut second)];
        assert_eq!(theirs.read_vectored(&mut bufs).wait().unwrap(), 7);
        assert_eq!((&first, &second), (b"abc", b"deab"));
        let mut bufs = [io::IoSliceMut::new(&mut second)];
        assert_eq!(Read::read_vectored(&mut theirs, &mut bufs).unwrap(), 3);
        assert_eq!(&second[..3], b"cde");
    });
}

#[test]
fn nothing_is_waited_for_with_an_empty_buffer() {
    everywhere(|| {
        let (ours, _theirs) = pair();
        assert_eq!(ours.read(&mut []).wait().unwrap(), 0);
        assert_eq!(ours.write(&[]).wait().unwrap(), 0);
        assert_eq!(Read::read(&mut &ours, &mut []).unwrap(), 0);
    });
}

#[test]
fn a_peek_leaves_what_it_sees() {
    let (ours, theirs) = pair();
    ours.write_all(b"abc").wait().unwrap();
    let mut buf = [0; 8];
    assert_eq!(theirs.peek(&mut buf).wait().unwrap(), 3);
    assert_eq!(theirs.peek(&mut buf).wait().unwrap(), 3);
    assert_eq!(theirs.read(&mut buf).wait().unwrap(), 3);
}

#[test]
fn a_half_closed_connection_still_carries_the_answer() {
    everywhere(|| {
        let (ours, theirs) = pair();
        ours.write_all(b"question").wait().unwrap();
        ours.shutdown(Shutdown::Write).unwrap();
        let mut question = String::new();
        (&theirs).read_to_string(&mut question).unwrap();
        assert_eq!(question, "question");
        theirs.write_all(b"answer").wait().unwrap();
        drop(theirs);
        let mut answer = String::new();
        (&ours).read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
    });
}

#[test]
fn a_reset_ends_a_waiting_read_and_a_write() {
    everywhere(|| {
        let (ours, theirs) = pair();
        theirs.set_linger(Some(Duration::ZERO)).unwrap();
        let resetter = thread::spawn(move || {
            thread::sleep(Duration::from_millis(5));
            drop(theirs);
        });
        let error = ours.read(&mut [0; 8]).wait().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        resetter.join().unwrap();
        let error = ours.write_all(&[0; 8]).wait().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_reset_in_the_middle_of_a_transfer_ends_it() {
    everywhere(|| {
        let (ours, theirs) = pair();
        theirs.set_linger(Some(Duration::ZERO)).unwrap();
        let resetter = thread::spawn(move || {
            theirs.read_exact(&mut [0; 100_000]).wait().unwrap();
        });
        let error = ours.write_all(&vec![0; 64 << 20]).wait().unwrap_err();
        let kinds = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
        assert!(kinds.contains(&error.kind()), "{error:?}");
        resetter.join().unwrap();
    });
}

#[test]
fn shutting_down_wakes_those_who_wait() {
    let (ours, _theirs) = pair();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(ours.read(&mut [0; 8]).wait().unwrap(), 0));
        }
        // In its own call, too.
        scope.spawn(|| assert_eq!(Read::read(&mut &ours, &mut [0; 8]).unwrap(), 0));
        thread::sleep(Duration::from_millis(10));
        ours.shutdown(Shutdown::Both).unwrap();
    });
}

#[test]
fn a_read_that_is_given_up_loses_nothing() {
    let (ours, theirs) = pair();
    let data = pattern(20_000);
    thread::scope(|scope| {
        let sent = &data;
        scope.spawn(move || {
            for chunk in sent.chunks(97) {
                ours.write_all(chunk).wait().unwrap();
            }
        });
        let mut received = Vec::new();
        let mut buf = [0; 61];
        while received.len() < data.len() {
            // Now and then it is too late, and is tried again.
            let patience = Duration::from_micros(received.len() as u64 % 40);
            if let Ok(n) = timeout(patience, theirs.read(&mut buf)).wait() {
                received.extend_from_slice(&buf[..n.unwrap()]);
            }
        }
        assert!(received == data);
    });
}

#[test]
fn halves_work_on_their_own_and_together_again() {
    let (ours, theirs) = pair();
    let (reader, writer) = theirs.into_split();
    let writer = {
        let (other_reader, other_writer) = pair().0.into_split();
        let error = other_reader.reunite(writer).unwrap_err();
        drop(other_writer);
        error.1
    };
    let theirs = reader.reunite(writer).unwrap();
    let (mut reader, mut writer) = theirs.split();
    ours.write_all(b"a").wait().unwrap();
    assert_eq!(reader.read(&mut [0; 8]).unwrap(), 1);
    assert_eq!(writer.write(b"b").unwrap(), 1);
    assert_eq!(ours.read(&mut [0; 8]).wait().unwrap(), 1);

    let (reader, writer) = theirs.into_split();
    drop(writer);
    // The peer finds the end, and the other direction goes on.
    assert_eq!(ours.read(&mut [0; 8]).wait().unwrap(), 0);
    ours.write_all(b"c").wait().unwrap();
    assert_eq!(reader.read(&mut [0; 8]).wait().unwrap(), 1);
}

#[test]
fn many_accept_from_one_listener() {
    const THREADS: usize = 4;
    const EACH: usize = 10;
    let listener = listener();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    let (stream, peer) = listener.accept().wait().unwrap();
                    assert_eq!(stream.peer_addr().unwrap(), peer);
                }
            });
        }
        for _ in 0..THREADS * EACH {
            TcpStream::connect_addr(address).wait().unwrap();
        }
    });
}

#[test]
fn listeners_may_share_a_port_if_all_of_them_say_so() {
    let first = TcpListener::builder().reuse_port(true).backlog(8).bind("127.0.0.1:0").wait().unwrap();
    let address = first.local_addr().unwrap();
    let second = TcpListener::builder().reuse_port(true).bind(address).wait().unwrap();
    assert_eq!(second.local_addr().unwrap(), address);
    let error = TcpListener::bind(address).wait().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_dropped_listener_is_closed() {
    let listener = listener();
    let address = listener.local_addr().unwrap();
    assert!(timeout(Duration::from_millis(1), listener.accept()).wait().is_err());
    drop(listener);
    let error = TcpStream::connect(address).wait().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    TcpListener::bind(address).wait().unwrap();
}

#[test]
fn all_addresses_are_tried() {
    let closed = listener().local_addr().unwrap();
    let listener = listener();
    let addresses = [closed, listener.local_addr().unwrap()];
    let stream = TcpStream::connect(&addresses[..]).wait().unwrap();
    assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
    let none: &[SocketAddr] = &[];
    assert_eq!(TcpStream::connect(none).wait().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(TcpListener::bind(none).wait().unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn names_are_resolved_elsewhere() {
    let listener = listener();
    let port = listener.local_addr().unwrap().port();
    for stream in [
        TcpStream::connect(("localhost", port)).wait(),
        TcpStream::connect(format!("localhost:{port}")).wait(),
        TcpStream::connect(("127.0.0.1", port)).wait(),
    ] {
        assert_eq!(stream.unwrap().peer_addr().unwrap().port(), port);
    }
    let mut connecting = pin!(TcpStream::connect(("localhost", port)));
    // The name takes its time on another thread: this poll does not.
    assert!(connecting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(connecting.wait().is_ok());
    assert_eq!(TcpStream::connect("no port").wait().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(("::1", 80).to_query(), Query::Addresses(vec!["[::1]:80".parse().unwrap()]));
}

#[test]
fn a_connection_that_hangs_is_given_up_in_time() {
    // A full queue of connections drops further attempts, which then hang.
    let listener = TcpListener::builder().backlog(0).bind("127.0.0.1:0").wait().unwrap();
    let address = listener.local_addr().unwrap();
    let start = Instant::now();
    let mut kept = Vec::new();
    let error = loop {
        match TcpStream::connect_timeout(address, Duration::from_millis(50)).wait() {
            Ok(stream) => kept.push(stream),
            Err(error) => break error,
        }
        assert!(kept.len() < 100, "the queue does not fill up");
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let past = Instant::now();
    let error = TcpStream::connect_timeout_at(address, past).wait().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(start.elapsed() < LIMIT);
}

#[test]
fn options_are_passed_on() {
    let (stream, _theirs) = pair();
    stream.set_nodelay(true).unwrap();
    stream.set_ttl(42).unwrap();
    stream.set_keepalive(Some(Duration::from_secs(77))).unwrap();
    stream.set_linger(Some(Duration::from_secs(0))).unwrap();
    stream.set_recv_buffer_size(64 << 10).unwrap();
    stream.set_send_buffer_size(64 << 10).unwrap();
    assert!(stream.nodelay().unwrap());
    assert_eq!(stream.ttl().unwrap(), 42);
    assert_eq!(stream.keepalive().unwrap(), Some(Duration::from_secs(77)));
    assert_eq!(stream.linger().unwrap(), Some(Duration::ZERO));
    assert!(stream.recv_buffer_size().unwrap() >= 64 << 10);
    assert!(stream.send_buffer_size().unwrap() >= 64 << 10);
    stream.set_keepalive(None).unwrap();
    assert_eq!(stream.keepalive().unwrap(), None);
    assert!(stream.take_error().unwrap().is_none());
}

#[test]
fn a_limit_of_what_is_unsent_stops_a_writer_before_the_buffer_is_full() {
    let taken = |limit: Option<u32>| {
        let (stream, _theirs) = pair();
        stream.set_send_buffer_size(1 << 20).unwrap();
        limit.into_iter().for_each(|limit| stream.set_unsent_limit(limit).unwrap());
        let mut taken = 0;
        // Nobody reads.
        while let Ok(len) = stream.try_write(&[0; 4 << 10]) {
            taken += len;
        }
        taken
    };
    let (limited, all) = (taken(Some(16 << 10)), taken(None));
    assert!(2 * limited < all, "{limited} of {all} bytes");
}

#[test]
fn stds_types_come_and_go() {
    let std_listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = TcpListener::try_from(std_listener).unwrap();
    let address = listener.local_addr().unwrap();
    let std_stream = std::net::TcpStream::connect(address).unwrap();
    std_stream.set_nonblocking(true).unwrap();
    let ours = TcpStream::from(std_stream);
    let (theirs, _) = listener.accept().wait().unwrap();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        theirs.write_all(b"ab").wait().unwrap();
        theirs
    });
    // It waits, although the stream came in non-blocking mode.
    assert_eq!(Read::read(&mut &ours, &mut [0; 1]).unwrap(), 1);
    let theirs = writer.join().unwrap();
    let mut std_stream: std::net::TcpStream = ours.into_std().unwrap();
    assert_eq!(std_stream.read(&mut [0; 1]).unwrap(), 1);
    drop(std_stream);
    assert_eq!(theirs.read(&mut [0; 1]).wait().unwrap(), 0);
    let std_listener = listener.into_std().unwrap();
    let _client = std::net::TcpStream::connect(address).unwrap();
    std_listener.accept().unwrap();
}

#[test]
fn a_stream_made_non_blocking_behind_our_back_waits_all_the_same() {
    let (ours, theirs) = pair();
    rustix::io::ioctl_fionbio(&ours, true).unwrap();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        theirs.write_all(b"a").wait().unwrap();
    });
    assert_eq!(Read::read(&mut &ours, &mut [0; 1]).unwrap(), 1);
    writer.join().unwrap();
}

#[test]
fn a_stream_moves_between_stacks_and_drivers() {
    let (ours, theirs) = pair();
    let echo = thread::spawn(move || {
        let mut byte = [0];
        while theirs.read(&mut byte).wait().unwrap() == 1 {
            theirs.write_all(&byte).wait().unwrap();
        }
    });
    let mut ours = Some(ours);
    for i in 0..20u8 {
        let stream = ours.take().unwrap();
        let use_it = move || {
            stream.write_all(&[i]).wait().unwrap();
            let mut byte = [0];
            // A read first on a driver that somebody else turns, then given up, then by this stack.
            {
                let mut reading = Box::pin(stream.read_exact(&mut byte));
                let first = reading.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                match first {
                    Poll::Ready(result) => result.unwrap(),
                    Poll::Pending => reading.wait().unwrap(),
                }
            }
            assert_eq!(byte, [i]);
            stream
        };
        ours = Some(match i % 2 {
            0 => use_it(),
            _ => thread::spawn(|| enter(&NoBlocking(ThreadStrand::new()), use_it)).join().unwrap(),
        });
    }
    drop(ours);
    echo.join().unwrap();
}

#[test]
fn an_accept_loop_outlives_a_shortage_of_descriptors() {
    // The limit is the process's, so this runs in a process of its own.
    const ALONE: &str = "TWOPLY_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let this = std::env::current_exe().unwrap();
        let name = "net::tests::an_accept_loop_outlives_a_shortage_of_descriptors";
        let output =
            std::process::Command::new(this).args([name, "--exact"]).env(ALONE, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let listener = listener();
    let address = listener.local_addr().unwrap();
    // Everything that needs a descriptor of its own later has it now.
    let _ = timeout(Duration::from_millis(1), listener.accept()).wait();
    let client = std::net::TcpStream::connect(address).unwrap();
    let (theirs, _) = listener.accept().wait().unwrap();
    let mut hoard = vec![client.try_clone().unwrap()];
    let limit = rustix::process::Rlimit { current: Some(64), maximum: Some(64) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let waiting = std::net::TcpStream::connect(address).unwrap();
    while let Ok(more) = client.try_clone() {
        hoard.push(more);
    }
    let error = listener.accept().wait().unwrap_err();
    assert!(is_out_of_resources(&error), "{error:?}");
    let relief = thread::spawn(move || {
        thread::sleep(Duration::from_millis(30));
        drop(hoard);
    });
    let stream = listener.incoming().next().unwrap().unwrap();
    relief.join().unwrap();
    assert_eq!(stream.peer_addr().unwrap(), waiting.local_addr().unwrap());
    assert!(theirs.as_fd().try_clone_to_owned().is_ok());
}

#[test]
fn types_are_send_and_sync() {
    fn check<T: Send + Sync + 'static>() {}
    check::<TcpListener>();
    check::<TcpStream>();
    check::<OwnedReadHalf>();
    check::<OwnedWriteHalf>();
    check::<crate::event::reactor::Reactor>();
    check::<crate::time::Sleep>();
}
