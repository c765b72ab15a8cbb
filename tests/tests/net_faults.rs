//! TCP when something goes wrong: peers that vanish, limits that are reached, signals, and operations that
//! are given up.

use std::future::pending;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use twoply_core::Wait;
use twoply_core::future::{OneOf, join, race, select};
use twoply_core::net::{Shutdown, TcpListener, TcpStream, is_out_of_resources};
use twoply_core::task::Task;
use twoply_core::time::{sleep, timeout};
use twoply_tests::{Gate, Storm, Systems, eventually, laws, mortal_to_sigpipe};

laws! {
    and_mixed {
        a_reset_ends_a_transfer_on_both_sides,
        writing_to_a_peer_that_is_gone_fails_and_kills_nobody,
        a_read_that_is_given_up_again_and_again_loses_nothing,
        closing_a_direction_wakes_those_who_wait_for_it,
        signals_do_not_disturb_transfers,
    }
    everywhere {
        nobody_listening_means_refused,
        connecting_ends_at_its_deadline,
        an_accept_loop_is_cancelled,
        a_plain_read_is_cancelled,
        a_plain_write_is_cancelled,
        no_event_reaches_the_successor_of_a_descriptor,
        an_accept_loop_outlives_a_shortage_of_descriptors,
        a_write_that_is_given_up_has_not_written,
        a_connection_is_used_while_tasks_that_wait_for_it_are_cancelled,
    }
}

/// Longer than a short wait and shorter than a hang.
const SHORT: Duration = Duration::from_millis(5);

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").wait().unwrap()
}

/// Both ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = listener();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
    (ours, listener.accept().wait().unwrap().0)
}

/// Closes a connection so that the peer is reset.
fn reset(stream: TcpStream) {
    stream.set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Whether this is how one learns that the peer is gone.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

#[track_caller]
fn assert_cancelled<T>(task: Task<T>) {
    let error = task.wait().map(|_| ()).expect_err("it was cancelled");
    assert!(error.is_cancelled(), "{error}");
}

/// Writes for ever, as a future, by `.wait()`, and through std, in turn.
fn write_for_ever(on: &Systems, way: usize, stream: Arc<TcpStream>) -> Task<io::Error> {
    let chunk = vec![7; 64 * 1024];
    match way % 3 {
        0 => on.here().spawn(async move {
            loop {
                if let Err(error) = stream.write_all(&chunk).await {
                    return error;
                }
            }
        }),
        1 => on.here().spawn_fn(move || {
            loop {
                if let Err(error) = stream.write_all(&chunk).wait() {
                    return error;
                }
            }
        }),
        _ => on.here().spawn_fn(move || {
            loop {
                if let Err(error) = Write::write_all(&mut &*stream, &chunk) {
                    return error;
                }
            }
        }),
    }
}

/// Reads until there is an error, in the same ways.
fn read_for_ever(on: &Systems, way: usize, stream: Arc<TcpStream>) -> Task<io::Result<()>> {
    let ended = |read: io::Result<usize>| match read {
        Ok(0) => Some(Ok(())),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    };
    let mut buf = vec![0; 64 * 1024];
    match way % 3 {
        0 => on.here().spawn(async move {
            loop {
                if let Some(end) = ended(stream.read(&mut buf).await) {
                    return end;
                }
            }
        }),
        1 => on.here().spawn_fn(move || {
            loop {
                if let Some(end) = ended(stream.read(&mut buf).wait()) {
                    return end;
                }
            }
        }),
        _ => on.here().spawn_fn(move || {
            loop {
                if let Some(end) = ended(Read::read(&mut &*stream, &mut buf)) {
                    return end;
                }
            }
        }),
    }
}

fn a_reset_ends_a_transfer_on_both_sides(on: &Systems) {
    for way in 0..3 {
        let (ours, theirs) = pair();
        let ours = Arc::new(ours);
        // Both directions are busy: the writer is held back, the reader waits for more.
        let writer = write_for_ever(on, way, Arc::clone(&ours));
        let reader = read_for_ever(on, way, Arc::clone(&ours));
        let peer = on.there().spawn(async move {
            let mut left = 1 << 20;
            while left > 0 {
                left -= theirs.read(&mut [0; 4096]).await.unwrap().min(left);
            }
            theirs.write_all(b"some").await.unwrap();
            reset(theirs);
        });
        peer.wait().unwrap();
        let written = writer.wait().unwrap();
        assert!(is_gone(&written), "{written:?}");
        // The kernel tells the error once: whoever asks second finds the end of the stream.
        let read = reader.wait().unwrap();
        assert!(read.as_ref().is_ok() || read.as_ref().is_err_and(is_gone), "{read:?}");
        let again = on.here().spawn(async move { ours.write(b"x").await });
        assert!(is_gone(&again.wait().unwrap().unwrap_err()));
    }
}

fn writing_to_a_peer_that_is_gone_fails_and_kills_nobody(on: &Systems) {
    on.alone(|| {
        mortal_to_sigpipe();
        for way in 0..3 {
            let (ours, theirs) = pair();
            on.there().spawn(async move { drop(theirs) }).wait().unwrap();
            let error = write_for_ever(on, way, Arc::new(ours)).wait().unwrap();
            assert!(is_gone(&error), "{error:?}");
        }
        let (ours, _theirs) = pair();
        ours.shutdown(Shutdown::Write).unwrap();
        let error = on.here().spawn(async move { ours.write(b"x").await }).wait().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

fn a_read_that_is_given_up_again_and_again_loses_nothing(on: &Systems) {
    const LEN: usize = 20_000;
    let (ours, theirs) = pair();
    let writer = on.there().spawn(async move {
        let bytes: Vec<u8> = (0..LEN).map(|place| (place % 251) as u8).collect();
        for (round, chunk) in bytes.chunks(50).enumerate() {
            theirs.write_all(chunk).await.unwrap();
            if round % 10 == 0 {
                sleep(Duration::from_micros(200)).await;
            }
        }
    });
    let ours = Arc::new(ours);
    let stream = Arc::clone(&ours);
    let by_await = async move {
        let (mut place, mut given_up, mut buf) = (0, 0, [0; 64]);
        while place < LEN / 2 {
            let most = buf.len().min(LEN / 2 - place);
            // Given up by losing a race, and by running out of time (iroh#2572).
            let outcome = match place % 2 {
                0 => select((stream.read(&mut buf[..most]), sleep(Duration::from_micros(30)))).await,
                _ => match timeout(Duration::from_micros(30), stream.read(&mut buf[..most])).await {
                    Ok(read) => OneOf::First(read),
                    Err(_) => OneOf::Second(()),
                },
            };
            match outcome {
                OneOf::First(read) => place = check(&buf[..read.unwrap()], place),
                OneOf::Second(()) => given_up += 1,
            }
        }
        given_up
    };
    let by_await = on.here().spawn(by_await).wait().unwrap();
    let by_wait = on.here().spawn_fn(move || {
        let (mut place, mut given_up, mut buf) = (LEN / 2, 0, [0; 64]);
        loop {
            match timeout(Duration::from_micros(30), ours.read(&mut buf)).wait() {
                Ok(Ok(0)) => break,
                Ok(read) => place = check(&buf[..read.unwrap()], place),
                Err(_) => given_up += 1,
            }
        }
        assert_eq!(place, LEN);
        given_up
    });
    let by_wait = by_wait.wait().unwrap();
    writer.wait().unwrap();
    assert!(by_await + by_wait > 0, "no read was given up: the law was not put to the test");
}

/// Checks bytes that stand at `place` in the stream, and returns the place after them.
#[track_caller]
fn check(bytes: &[u8], place: usize) -> usize {
    assert!(!bytes.is_empty(), "ended at {place}");
    for (n, byte) in (place..).zip(bytes) {
        assert_eq!(usize::from(*byte), n % 251, "at {n}");
    }
    place + bytes.len()
}

fn closing_a_direction_wakes_those_who_wait_for_it(on: &Systems) {
    for way in 0..3 {
        let (ours, _theirs) = pair();
        let ours = Arc::new(ours);
        let reader = read_for_ever(on, way, Arc::clone(&ours));
        let writer = write_for_ever(on, way, Arc::clone(&ours));
        // Most often they wait by then; it holds if they do not.
        std::thread::sleep(SHORT);
        on.there().spawn(async move { ours.shutdown(Shutdown::Both) }).wait().unwrap().unwrap();
        reader.wait().unwrap().unwrap();
        assert_eq!(writer.wait().unwrap().kind(), io::ErrorKind::BrokenPipe);
    }
}

fn signals_do_not_disturb_transfers(on: &Systems) {
    on.alone(|| {
        const LEN: usize = 1 << 20;
        // Runtimes first: a storm is for the threads that are there, again and again.
        let (listener, storm) = (listener(), Storm::start());
        let address = listener.local_addr().unwrap();
        // Again, where hardly a signal has been sent in that time.
        let again = (0..3).cycle().take_while(|_| storm.sent() <= 100);
        for way in (0..3).chain(again) {
            let client = on.here().spawn(async move {
                let stream = TcpStream::connect(address).await.unwrap();
                let bytes = vec![3; LEN];
                let writing = async {
                    for piece in bytes.chunks(LEN / 20) {
                        stream.write_all(piece).await.unwrap();
                        // The other side waits for more in the meantime, and is interrupted there.
                        sleep(Duration::from_millis(2)).await;
                    }
                    stream.shutdown(Shutdown::Write).unwrap();
                };
                let reading = async {
                    let (mut total, mut buf) = (0, vec![0; 10_000]);
                    loop {
                        match timeout(Duration::from_secs(30), stream.read(&mut buf)).await.unwrap().unwrap()
                        {
                            0 => return total,
                            read => total += read,
                        }
                        sleep(Duration::from_micros(50)).await;
                    }
                };
                join((writing, reading)).await.1
            });
            let (stream, _) = listener.accept().wait().unwrap();
            let echo = on.there().spawn_fn(move || {
                let (mut total, mut buf) = (0, vec![0; 5000]);
                loop {
                    // Std's own helpers would hide an interruption by trying again.
                    let read = match way {
                        0 => Read::read(&mut &stream, &mut buf),
                        _ => stream.read(&mut buf).wait(),
                    };
                    let mut rest = &buf[..read.unwrap()];
                    if rest.is_empty() {
                        return total;
                    }
                    total += rest.len();
                    while !rest.is_empty() {
                        let written = match way {
                            0 => Write::write(&mut &stream, rest),
                            _ => stream.write(rest).wait(),
                        };
                        rest = &rest[written.unwrap()..];
                    }
                }
            });
            assert_eq!(client.wait().unwrap(), LEN);
            assert_eq!(echo.wait().unwrap(), LEN);
        }
        storm.end();
    });
}

fn nobody_listening_means_refused(on: &Systems) {
    let address = listener().local_addr().unwrap();
    let awaiting = on.here().spawn(async move { TcpStream::connect(address).await });
    assert_eq!(awaiting.wait().unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    let waiting = on.here().spawn_fn(move || TcpStream::connect(address).wait());
    assert_eq!(waiting.wait().unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

fn connecting_ends_at_its_deadline(on: &Systems) {
    // A full queue of connections drops further attempts, which then hang.
    let listener = TcpListener::builder().backlog(0).bind("127.0.0.1:0").wait().unwrap();
    let address = listener.local_addr().unwrap();
    let attempts = async move {
        let mut kept = Vec::new();
        loop {
            let start = Instant::now();
            match TcpStream::connect_timeout(address, Duration::from_millis(30)).await {
                Ok(stream) => kept.push(stream),
                Err(error) => return (kept, error, start.elapsed()),
            }
            assert!(kept.len() < 100, "the queue does not fill up");
        }
    };
    let (kept, error, took) = on.here().spawn(attempts).wait().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(took >= Duration::from_millis(30), "{took:?}");
    let waiting = on.here().spawn_fn(move || {
        let soon = TcpStream::connect_timeout(address, SHORT).wait().unwrap_err();
        let past = TcpStream::connect_timeout_at(address, Instant::now()).wait().unwrap_err();
        [soon, past].map(|error| error.kind())
    });
    assert_eq!(waiting.wait().unwrap(), [io::ErrorKind::TimedOut; 2]);
    // One that hangs is cancelled like everything else.
    let hanging = on.here().spawn_fn(move || TcpStream::connect(address).wait().map(|_| ()));
    std::thread::sleep(SHORT);
    hanging.cancel();
    assert_cancelled(hanging);
    drop(kept);
}

fn an_accept_loop_is_cancelled(on: &Systems) {
    for straight_line in [false, true] {
        // It listens where no other test does: one of those might get the port as soon as it is free.
        let listener = TcpListener::bind("127.0.0.2:0").wait().unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = match straight_line {
            false => on.here().spawn(async move {
                loop {
                    listener.accept().await.unwrap().0.write_all(b"x").await.unwrap();
                }
            }),
            true => on.here().spawn_fn(move || {
                for stream in listener.incoming() {
                    stream.unwrap().write_all(b"x").wait().unwrap();
                }
            }),
        };
        for _ in 0..3 {
            let stream = TcpStream::connect(address).wait().unwrap();
            stream.read_exact(&mut [0]).wait().unwrap();
        }
        accepting.cancel();
        assert_cancelled(accepting);
        // The listener was the task's, and is closed by the time it is over.
        let refused = TcpStream::connect(address).wait().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}

/// Starts straight-line code, lets it block, and cancels it.
fn cancel_when_blocked(on: &Systems, code: impl FnOnce(&Gate) + Send + 'static) {
    let started = Gate::new();
    let begun = started.clone();
    let task = on.here().spawn_fn(move || code(&begun));
    eventually("it has begun", || started.is_open());
    // By now it is nearly always inside the call.
    std::thread::sleep(SHORT);
    assert!(!task.is_finished());
    task.cancel();
    assert_cancelled(task);
}

fn a_plain_read_is_cancelled(on: &Systems) {
    let (mut ours, theirs) = pair();
    for _ in 0..5 {
        let stream = Arc::new(ours);
        let theirs = Arc::clone(&stream);
        cancel_when_blocked(on, move |begun| {
            begun.open();
            let read = Read::read(&mut &*theirs, &mut [0]);
            panic!("it read {read:?}");
        });
        ours = Arc::into_inner(stream).expect("the task has let go of it");
    }
    // The connection is none the worse for it.
    theirs.write_all(b"x").wait().unwrap();
    assert_eq!(on.here().spawn_fn(move || Read::read(&mut &ours, &mut [0])).wait().unwrap().unwrap(), 1);
}

fn a_plain_write_is_cancelled(on: &Systems) {
    let (ours, theirs) = pair();
    cancel_when_blocked(on, move |begun| {
        begun.open();
        while Write::write(&mut &ours, &[1; 100_000]).unwrap() > 0 {}
    });
    // It was dropped by the unwinding, so the peer comes to an end of it.
    let rest = on.here().spawn_fn(move || io::copy(&mut &theirs, &mut io::sink()));
    assert!(rest.wait().unwrap().unwrap() > 0);
}

fn no_event_reaches_the_successor_of_a_descriptor(on: &Systems) {
    let rounds = async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mut last, mut reused) = (-1, 0);
        for round in 0..200u8 {
            let peer = TcpStream::connect(address).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            reused += usize::from(stream.as_fd().as_raw_fd() == last);
            last = stream.as_fd().as_raw_fd();
            // It is new, and nothing has been sent: whatever it is told is another one's.
            let mut buf = [0; 8];
            let early = timeout(Duration::ZERO, stream.read(&mut buf)).await;
            assert!(early.is_err(), "round {round}: {early:?}");
            peer.write_all(&[round]).await.unwrap();
            assert_eq!(stream.read(&mut buf).await.unwrap(), 1);
            assert_eq!(buf[0], round);
            // Events of all kinds are on their way to the old one when it is closed.
            peer.write_all(b"never read").await.unwrap();
            drop(peer);
            drop(stream);
        }
        reused
    };
    let reused = on.here().spawn(rounds).wait().unwrap();
    assert!(reused > 0, "no number was used again: the law was not put to the test");
}

fn an_accept_loop_outlives_a_shortage_of_descriptors(on: &Systems) {
    on.alone(|| {
        let listener = listener();
        let address = listener.local_addr().unwrap();
        let accepting = on.here().spawn(async move {
            let mut clients = listener.incoming();
            loop {
                let (stream, _) = clients.accept().await.unwrap();
                stream.write_all(b"x").await.unwrap();
            }
        });
        // To the end: by then the server has its descriptor back.
        let ask = |stream: &mut std::net::TcpStream| stream.read_to_end(&mut Vec::new());
        let connect = || std::net::TcpStream::connect(address).unwrap();
        ask(&mut connect()).unwrap();
        // All descriptors but one are taken, and that one is for a client.
        let limits = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(256), maximum: limits.maximum }).unwrap();
        let mut hoard: Vec<_> = std::iter::from_fn(descriptor).collect();
        drop(hoard.pop());
        let mut client = connect();
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(ask(&mut client).is_err(), "it cannot have been accepted");
        hoard.truncate(10);
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        ask(&mut client).unwrap();
        ask(&mut connect()).unwrap();
        accepting.cancel();
        assert_cancelled(accepting);
        // Who accepts without such a loop is told.
        let lone = TcpListener::bind("127.0.0.1:0").wait().unwrap();
        let _client = std::net::TcpStream::connect(lone.local_addr().unwrap()).unwrap();
        let hoard: Vec<_> = std::iter::from_fn(descriptor).collect();
        let error = on.here().spawn(async move { lone.accept().await.map(|_| ()) }).wait().unwrap();
        assert!(is_out_of_resources(&error.unwrap_err()));
        drop(hoard);
    });
}

/// One more descriptor, while there are any.
fn descriptor() -> Option<std::fs::File> {
    std::fs::File::open("/dev/null").ok()
}

fn a_write_that_is_given_up_has_not_written(on: &Systems) {
    let (ours, theirs) = pair();
    let task = on.here().spawn(async move {
        let (mut sent, mut given_up) = (0u64, 0);
        let chunk = vec![1; 30_000];
        while given_up < 20 {
            match timeout(Duration::from_millis(1), ours.write(&chunk)).await {
                Ok(written) => sent += written.unwrap() as u64,
                Err(_) => given_up += 1,
            }
        }
        sent
    });
    let sent = task.wait().unwrap();
    let received = on.here().spawn_fn(move || io::copy(&mut &theirs, &mut io::sink()));
    assert_eq!(received.wait().unwrap().unwrap(), sent);
}

fn a_connection_is_used_while_tasks_that_wait_for_it_are_cancelled(on: &Systems) {
    let (ours, theirs) = pair();
    let (ours, over) = (Arc::new(ours), Arc::new(AtomicBool::new(false)));
    let (stream, ended) = (Arc::clone(&ours), Arc::clone(&over));
    let reader = on.here().spawn(async move {
        for round in 0..100u8 {
            let mut byte = [0];
            // It also loses races against nothing at all.
            let read = race((stream.read(&mut byte), pending())).await;
            assert_eq!((read.unwrap(), byte[0]), (1, round));
        }
        ended.store(true, Ordering::SeqCst);
    });
    let mut round = 0;
    while !over.load(Ordering::SeqCst) {
        // Waits for room to write, of which there is enough, and for an end that does not come.
        let stream = Arc::clone(&ours);
        let victim = on.here().spawn_fn(move || {
            let none: io::Result<usize> = stream.write(b"").wait();
            none.unwrap();
            pending::<()>().wait();
        });
        if round < 100 {
            theirs.write_all(&[round]).wait().unwrap();
            round += 1;
        }
        victim.cancel();
        assert_cancelled(victim);
    }
    reader.wait().unwrap();
}
