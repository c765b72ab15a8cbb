//! Unix sockets: paths and names, descriptors that are passed, datagrams of which none is lost.

use std::fs;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::future::join;
use twoply_core::net::{Shutdown, UnixAddr, UnixDatagram, UnixListener, UnixStream, is_out_of_resources};
use twoply_core::time::timeout;
use twoply_tests::{Resources, Systems, eventually, fork, laws, straight};

laws! {
    and_mixed {
        streams_meet_at_a_path_and_at_a_name,
        half_a_stream_goes_on_when_the_other_half_is_closed,
        descriptors_are_passed_with_their_bytes,
        senders_are_known_where_that_is_asked_for,
        datagrams_arrive_whole_and_in_order,
        whoever_sends_to_a_full_receiver_waits,
    }
    everywhere {
        a_full_queue_of_connections_makes_the_next_one_wait,
        a_receive_of_descriptors_that_is_given_up_loses_none,
        no_descriptor_is_left_when_too_many_are_passed,
        a_waiting_accept_is_given_up_and_loses_nobody,
        a_file_is_removed_with_its_listener_if_that_is_asked_for,
        peers_are_known,
        a_receive_that_is_cancelled_takes_nothing,
        a_wait_waits_in_nonblocking_mode,
        empty_buffers_and_empty_datagrams,
        a_passed_descriptor_is_closed_on_exec,
    }
    native {
        what_a_path_cannot_be_is_said,
        the_child_of_a_fork_removes_no_file,
    }
}

/// A path that nobody else uses.
fn path() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("twoply-{}-{number}.sock", std::process::id()))
}

/// A name in the abstract namespace that nobody else uses.
fn name() -> UnixAddr {
    UnixAddr::Abstract(path().into_os_string().into_encoded_bytes())
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

fn a_receive_that_is_cancelled_takes_nothing(on: &Systems) {
    const COUNT: u8 = 20;
    let receive: [fn(&UnixDatagram, &mut [u8]) -> usize; 2] = [
        |socket, buf| socket.recv(buf).wait().unwrap().len,
        |socket, buf| socket.recv_from(buf).wait().unwrap().0.len,
    ];
    for receive in receive {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let (theirs, received) = (Arc::new(theirs), Arc::new(AtomicUsize::new(0)));
        let (socket, count) = (Arc::clone(&theirs), Arc::clone(&received));
        let task = on.here().spawn_fn(move || {
            loop {
                let mut number = [0];
                assert_eq!(receive(&socket, &mut number), 1);
                assert_eq!(usize::from(number[0]), count.fetch_add(1, Ordering::SeqCst));
            }
        });
        for number in 0..COUNT {
            ours.send(&[number]).wait().unwrap();
        }
        eventually("all have come", || received.load(Ordering::SeqCst) == usize::from(COUNT));
        task.cancel();
        assert!(task.wait().map(|_: ()| ()).unwrap_err().is_cancelled());
        ours.send(&[COUNT]).wait().unwrap();
        let mut number = [0];
        assert_eq!(receive(&theirs, &mut number), 1);
        assert_eq!(number[0], COUNT);
    }
}

fn a_wait_waits_in_nonblocking_mode(on: &Systems) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    rustix::io::ioctl_fionbio(&ours, true).unwrap();
    let answering = on.here().spawn_fn(move || {
        let mut part = [0; 3];
        // Whoever has answered comes before the next question.
        for _ in 0..100 {
            assert_eq!(ours.read(&mut part[..1]).wait().unwrap(), 1);
            ours.read_exact(&mut part[1..]).wait().unwrap();
            assert_eq!(&part, b"abc");
            ours.write_all(&part).wait().unwrap();
        }
        ours.read_exact(&mut part).wait().unwrap_err().kind()
    });
    for _ in 0..100 {
        theirs.write_all(b"a").wait().unwrap();
        std::thread::yield_now();
        theirs.write_all(b"bc").wait().unwrap();
        theirs.read_exact(&mut [0; 3]).wait().unwrap();
    }
    drop(theirs);
    assert_eq!(answering.wait().unwrap(), io::ErrorKind::UnexpectedEof);
}

fn streams_meet_at_a_path_and_at_a_name(on: &Systems) {
    for address in [path().into(), name()] {
        let listener = UnixListener::builder().unlink_on_drop(true).bind(&address).unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
        let server = on.here().spawn(async move {
            let (stream, peer) = listener.accept().await.unwrap();
            assert_eq!(peer, UnixAddr::Unnamed);
            let mut text = [0; 8];
            stream.read_exact(&mut text).await.unwrap();
            stream.write_all(&text).await.unwrap();
            stream
        });
        let here = address.clone();
        let client = on.there().spawn(async move {
            let stream = UnixStream::connect(&here).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), here);
            stream.write_all(b"question").await.unwrap();
            let mut text = [0; 8];
            stream.read_exact(&mut text).await.unwrap();
            assert_eq!(&text, b"question");
            stream
        });
        let (ours, theirs) = (client.wait().unwrap(), server.wait().unwrap());
        drop(theirs);
        assert_eq!(ours.read(&mut [0]).wait().unwrap(), 0);
        assert_eq!(kind(ours.write(b"a").wait()), io::ErrorKind::BrokenPipe);
    }
}

fn half_a_stream_goes_on_when_the_other_half_is_closed(on: &Systems) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let answering = on.there().spawn(async move {
        let mut question = Vec::new();
        let mut byte = [0];
        while theirs.read(&mut byte).await.unwrap() == 1 {
            question.push(byte[0]);
        }
        theirs.write_all(&question).await.unwrap();
    });
    let asking = on.here().spawn(async move {
        let (read, write) = ours.into_split();
        write.write_all(b"question").await.unwrap();
        drop(write);
        let mut answer = [0; 8];
        read.read_exact(&mut answer).await.unwrap();
        assert_eq!((&answer, read.read(&mut [0]).await.unwrap()), (b"question", 0));
    });
    asking.wait().unwrap();
    answering.wait().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let waiting = on.here().spawn(async move { theirs.read(&mut [0]).await });
    ours.shutdown(Shutdown::Both).unwrap();
    assert_eq!(waiting.wait().unwrap().unwrap(), 0);
}

fn descriptors_are_passed_with_their_bytes(on: &Systems) {
    const ROUNDS: u8 = 20;
    let (ours, theirs) = UnixStream::pair().unwrap();
    let sending = on.here().spawn(async move {
        for round in 0..ROUNDS {
            let (kept, passed) = UnixStream::pair().unwrap();
            let fds = [passed.as_fd(), passed.as_fd()];
            // Plain bytes before and after: the descriptors stay with theirs.
            ours.write_all(b"-").await.unwrap();
            assert_eq!(ours.send_with_fds(&[round], &fds).await.unwrap(), 1);
            drop(passed);
            kept.write_all(&[round]).await.unwrap();
        }
    });
    let receiving = on.there().spawn(async move {
        for round in 0..ROUNDS {
            let (mut seen, mut fds) = (Vec::new(), Vec::new());
            while seen.len() < 2 {
                let mut buf = [0; 2];
                let room = buf.len() - seen.len();
                let received = theirs.recv_with_fds(&mut buf[..room], 8).await.unwrap();
                assert!(!received.fds_lost && received.lost == 0);
                seen.extend_from_slice(&buf[..received.len]);
                fds.extend(received.fds);
            }
            assert_eq!((seen, fds.len()), (vec![b'-', round], 2));
            let streams =
                fds.into_iter().map(|fd| UnixStream::from(std::os::unix::net::UnixStream::from(fd)));
            let [one, other] = streams.collect::<Vec<_>>().try_into().unwrap();
            let mut byte = [0];
            one.read_exact(&mut byte).await.unwrap();
            assert_eq!(byte, [round]);
            assert_eq!(other.read(&mut byte).await.unwrap(), 0);
        }
    });
    sending.wait().unwrap();
    receiving.wait().unwrap();
}

fn datagrams_arrive_whole_and_in_order(on: &Systems) {
    const COUNT: u32 = 2000;
    let (server, client) = (name(), name());
    let (receiver, sender) = (UnixDatagram::bind(&server).unwrap(), UnixDatagram::bind(&client).unwrap());
    let to = server.clone();
    let sending = on.here().spawn(async move {
        sender.connect(&to).unwrap();
        for number in 0..COUNT {
            // By either way, and of any length.
            let message = number.to_ne_bytes().repeat(1 + number as usize % 50);
            let sent = match number % 2 {
                0 => sender.send(&message).await,
                _ => sender.send_to(&message, &to).await,
            };
            assert_eq!(sent.unwrap(), message.len());
        }
    });
    let receiving = on.there().spawn(async move {
        let mut buf = [0; 200];
        for number in 0..COUNT {
            let (received, from) = receiver.recv_from(&mut buf[..40]).await.unwrap();
            let whole = 4 * (1 + number as usize % 50);
            assert_eq!((received.len, received.lost), (whole.min(40), whole.saturating_sub(40)));
            assert!(received.is_truncated() == (whole > 40) && from == client);
            assert_eq!(buf[..4], number.to_ne_bytes());
        }
    });
    sending.wait().unwrap();
    receiving.wait().unwrap();
}

/// Returns whether the future waits when it is polled here.
fn waits<T>(future: &mut Pin<Box<impl Future<Output = T>>>) -> bool {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

fn whoever_sends_to_a_full_receiver_waits(on: &Systems) {
    let server = name();
    let receiver = UnixDatagram::bind(&server).unwrap();
    let filler = UnixDatagram::unbound().unwrap();
    let mut sent = 0;
    while timeout(Duration::from_millis(20), filler.send_to(&[sent], &server)).wait().is_ok() {
        sent += 1;
        assert!(sent < 255, "it takes any number");
    }
    // Another socket, none of whose datagrams are there, hears of nothing but its own attempts.
    let (sender, to) = (UnixDatagram::unbound().unwrap(), server.clone());
    let mut sending = Box::pin(async move { sender.send_to(&[sent], &to).await });
    assert!(waits(&mut sending));
    let polls = Arc::new(AtomicUsize::new(0));
    let counted = polls.clone();
    let sending = on.here().spawn(poll_fn(move |cx| {
        counted.fetch_add(1, Ordering::Relaxed);
        sending.as_mut().poll(cx)
    }));
    std::thread::sleep(Duration::from_millis(30));
    assert!(polls.load(Ordering::Relaxed) < 100, "it spins");
    let receiving = on.there().spawn(async move {
        for number in 0..=sent {
            let mut byte = [0];
            assert_eq!(receiver.recv(&mut byte).await.unwrap().len, 1);
            assert_eq!(byte, [number], "the one that was given up has not been sent");
        }
    });
    assert_eq!(sending.wait().unwrap().unwrap(), 1);
    receiving.wait().unwrap();
}

fn a_full_queue_of_connections_makes_the_next_one_wait(on: &Systems) {
    let address = name();
    let listener = UnixListener::builder().backlog(0).bind(&address).unwrap();
    let mut waiting = Vec::new();
    let mut count = 0;
    loop {
        match UnixStream::connect_timeout(&address, Duration::from_millis(20)).wait() {
            Ok(stream) => waiting.push(stream),
            Err(error) => break assert_eq!(error.kind(), io::ErrorKind::TimedOut),
        }
        count += 1;
        assert!(count < 10, "it takes any number");
    }
    let mut connecting = Box::pin(UnixStream::connect(address.clone()));
    assert!(waits(&mut connecting));
    let connecting = on.here().spawn(connecting);
    for _ in 0..=count {
        listener.accept().wait().unwrap();
    }
    connecting.wait().unwrap().unwrap();
    // What has been given up has left nothing in the queue.
    assert!(timeout(Duration::from_millis(5), listener.accept()).wait().is_err());
}

fn a_receive_of_descriptors_that_is_given_up_loses_none(on: &Systems) {
    const COUNT: usize = 200;
    let (ours, theirs) = UnixStream::pair().unwrap();
    let sending = on.here().spawn(async move {
        for _ in 0..COUNT {
            ours.send_with_fds(b"x", &[ours.as_fd()]).await.unwrap();
        }
    });
    let receiving = on.here().spawn(async move {
        let (mut bytes, mut fds, mut tries) = (0, 0, 0u64);
        while bytes < COUNT {
            tries += 1;
            let mut buf = [0; 4];
            let patience = Duration::from_micros(tries % 50);
            if let Ok(received) = timeout(patience, theirs.recv_with_fds(&mut buf, 4)).await {
                let received = received.unwrap();
                bytes += received.len;
                fds += received.fds.len();
            }
        }
        assert_eq!(fds, COUNT);
    });
    sending.wait().unwrap();
    receiving.wait().unwrap();
}

fn no_descriptor_is_left_when_too_many_are_passed(on: &Systems) {
    on.alone(|| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let before = Resources::now().descriptors;
        let pass = async {
            let fds = vec![ours.as_fd(); 253];
            for most in [0, 1, 2, 3, 252, 253, 1000] {
                ours.send_with_fds(b"x", &fds).await.unwrap();
                let received = theirs.recv_with_fds(&mut [0; 8], most).await.unwrap();
                assert_eq!(received.fds.len(), most.min(253));
                assert_eq!((received.len, received.fds_lost), (1, most < 253));
                // Whoever reads in another way gets none.
                ours.send_with_fds(b"y", &fds).await.unwrap();
                assert_eq!(theirs.read(&mut [0; 8]).await.unwrap(), 1);
            }
            let refused = ours.send_with_fds(b"x", &vec![ours.as_fd(); 254]).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
            assert!(refused.to_string().contains("at most 253"), "{refused}");
            // Some that are never received.
            ours.send_with_fds(b"z", &fds).await.unwrap();
        };
        pass.wait();
        assert_eq!(Resources::now().descriptors, before);
        // There is no number for most of them: what cannot be had is said, and the bytes arrive.
        ours.read(&mut []).wait().unwrap();
        let _ = theirs.read(&mut [0; 8]).wait().unwrap();
        let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let few = rustix::process::Rlimit { current: Some(64), maximum: limits.maximum };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, few).unwrap();
        ours.send_with_fds(b"x", &vec![ours.as_fd(); 100]).wait().unwrap();
        match theirs.recv_with_fds(&mut [0; 8], 253).wait() {
            Ok(received) => assert!(received.fds.len() < 64 && received.fds_lost && received.len == 1),
            Err(error) => assert!(is_out_of_resources(&error), "{error}"),
        }
        assert_eq!(Resources::now().descriptors, before);
        drop((ours, theirs));
        on.here().spawn(async {}).wait().unwrap();
    });
}

fn a_waiting_accept_is_given_up_and_loses_nobody(on: &Systems) {
    let address = name();
    let listener = UnixListener::bind(&address).unwrap();
    let accepting = on.here().spawn(async move {
        for _ in 0..3 {
            assert!(timeout(Duration::from_millis(1), listener.accept()).await.is_err());
        }
        listener
    });
    let listener = accepting.wait().unwrap();
    let (client, accepted) = join((UnixStream::connect(&address), listener.accept())).wait();
    let (server, _) = accepted.unwrap();
    client.unwrap().write_all(b"a").wait().unwrap();
    assert_eq!(server.read(&mut [0; 2]).wait().unwrap(), 1);
}

fn what_a_path_cannot_be_is_said(_: &Systems) {
    let long = "x".repeat(200);
    let paths = [("a\0b", "NUL"), ("", "empty"), (long.as_str(), "at most 107 bytes")];
    for (path, message) in paths {
        let errors = [
            UnixListener::bind(path).unwrap_err(),
            UnixStream::connect(path).wait().unwrap_err(),
            UnixDatagram::bind(path).unwrap_err(),
            UnixDatagram::unbound().unwrap().connect(path).unwrap_err(),
            UnixDatagram::unbound().unwrap().send_to(b"a", path).wait().unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path:?}");
            assert!(error.to_string().contains(message), "{path:?}: {error}");
        }
    }
    let long = UnixAddr::Abstract(vec![b'n'; 108]);
    assert!(UnixListener::bind(&long).unwrap_err().to_string().contains("abstract name"));
    let longest = UnixAddr::Abstract(vec![0; 107]);
    let listener = UnixListener::bind(&longest).unwrap();
    assert_eq!(listener.local_addr().unwrap(), longest);
    let longest = std::env::temp_dir();
    let rest = 107 - longest.as_os_str().len() - 1;
    let longest = longest.join(format!("{:x>rest$}", std::process::id()));
    let listener = UnixListener::builder().unlink_on_drop(true).bind(&longest).unwrap();
    assert_eq!(listener.local_addr().unwrap(), UnixAddr::from(&longest));
    assert_eq!(kind(UnixStream::connect("/nowhere/at/all").wait()), io::ErrorKind::NotFound);
    let free = UnixListener::bind(UnixAddr::Unnamed).unwrap();
    assert!(matches!(free.local_addr().unwrap(), UnixAddr::Abstract(name) if !name.is_empty()));
}

fn a_file_is_removed_with_its_listener_if_that_is_asked_for(on: &Systems) {
    straight(on, || {
        let path = path();
        let bind = |path: &Path| UnixListener::builder().unlink_on_drop(true).bind(path);
        drop(bind(&path).unwrap());
        assert!(!path.exists());
        // What std gets stays, and so does what was not asked for.
        drop(bind(&path).unwrap().into_std().unwrap());
        assert!(path.exists());
        assert_eq!(kind(bind(&path)), io::ErrorKind::AddrInUse);
        assert_eq!(kind(UnixStream::connect(&path).wait()), io::ErrorKind::ConnectionRefused);
        fs::remove_file(&path).unwrap();
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
        // Another one's file is left alone.
        let one = bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let other = bind(&path).unwrap();
        drop(one);
        let (client, accepted) = join((UnixStream::connect(&path), other.accept())).wait();
        drop((client.unwrap(), accepted.unwrap()));
        drop(other);
        assert!(!path.exists());
    });
}

fn the_child_of_a_fork_removes_no_file(on: &Systems) {
    on.alone(|| {
        let path = path();
        let listener = UnixListener::builder().unlink_on_drop(true).bind(&path).unwrap();
        let listener = std::cell::Cell::new(Some(listener));
        let ended = fork(|| {
            drop(listener.take());
            0
        });
        assert_eq!(ended, Some(0));
        assert!(path.exists());
        drop(listener.take());
        assert!(!path.exists());
    });
}

fn peers_are_known(on: &Systems) {
    straight(on, || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let here = ours.peer_credentials().unwrap();
        assert_eq!(here, theirs.peer_credentials().unwrap());
        assert_eq!(here.pid, Some(std::process::id()));
        assert_eq!(here.uid, rustix::process::geteuid().as_raw());
        assert_eq!(here.gid, rustix::process::getegid().as_raw());
    });
}

fn senders_are_known_where_that_is_asked_for(on: &Systems) {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let (stream, peer) = UnixStream::pair().unwrap();
    peer.set_pass_credentials(true).unwrap();
    let receiving = on.there().spawn(async move {
        let mut buf = [0; 8];
        // Not asked for.
        assert_eq!(theirs.recv_with_fds(&mut buf, 0).await.unwrap().sender, None);
        theirs.set_pass_credentials(true).unwrap();
        theirs.send(b"on").await.unwrap();
        for most in [0, 1, 3, 253] {
            let received = theirs.recv_with_fds(&mut buf, most).await.unwrap();
            let sender = received.sender.expect("it is told");
            assert_eq!(sender.pid, Some(std::process::id()));
            assert_eq!(sender.uid, rustix::process::geteuid().as_raw());
            assert_eq!(sender.gid, rustix::process::getegid().as_raw());
            // The room for senders is none for descriptors.
            assert_eq!((received.len, received.fds.len(), received.fds_lost), (3, most.min(2), most < 2));
        }
        let received = peer.recv_with_fds(&mut buf, 8).await.unwrap();
        assert_eq!(
            (received.len, received.sender.and_then(|sender| sender.pid)),
            (1, Some(std::process::id()))
        );
        // The end comes from nobody, least of all from the administrator.
        let end = peer.recv_with_fds(&mut buf, 8).await.unwrap();
        assert_eq!((end.len, end.sender), (0, None));
    });
    let sending = on.here().spawn(async move {
        ours.send(b"off").await.unwrap();
        let _ = ours.recv(&mut [0; 8]).await.unwrap();
        for _ in 0..4 {
            assert_eq!(ours.send_with_fds(b"two", &[ours.as_fd(), ours.as_fd()]).await.unwrap(), 3);
        }
        stream.write_all(b"x").await.unwrap();
    });
    sending.wait().unwrap();
    receiving.wait().unwrap();
}

fn empty_buffers_and_empty_datagrams(on: &Systems) {
    straight(on, || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        assert_eq!(ours.read(&mut []).wait().unwrap(), 0);
        assert_eq!(ours.recv_with_fds(&mut [], 1).wait().unwrap().len, 0);
        assert_eq!(kind(ours.send_with_fds(b"", &[theirs.as_fd()]).wait()), io::ErrorKind::InvalidInput);
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        assert_eq!(ours.send(b"").wait().unwrap(), 0);
        let fds = [ours.as_fd()];
        assert_eq!(ours.send_with_fds(b"", &fds).wait().unwrap(), 0);
        assert_eq!(ours.send_with_fds(b"abc", &fds).wait().unwrap(), 3);
        assert_eq!(ours.send(b"lost").wait().unwrap(), 4);
        assert_eq!(theirs.recv(&mut [0; 4]).wait().unwrap().len, 0);
        let received = theirs.recv_with_fds(&mut [], 1).wait().unwrap();
        assert_eq!((received.len, received.lost, received.fds.len()), (0, 0, 1));
        let received = theirs.recv_with_fds(&mut [0; 2], 1).wait().unwrap();
        assert_eq!((received.len, received.lost, received.fds.len()), (2, 1, 1));
        let received = theirs.recv(&mut []).wait().unwrap();
        assert_eq!((received.len, received.lost), (0, 4));
        drop(theirs);
        assert_eq!(kind(ours.send(b"a").wait()), io::ErrorKind::ConnectionRefused);
        assert_eq!(kind(UnixDatagram::unbound().unwrap().send(b"a").wait()), io::ErrorKind::NotConnected);
    });
}

fn a_passed_descriptor_is_closed_on_exec(on: &Systems) {
    straight(on, || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.send_with_fds(b"x", &[ours.as_fd()]).wait().unwrap();
        let received = theirs.recv_with_fds(&mut [0], 1).wait().unwrap();
        let flags = rustix::io::fcntl_getfd(&received.fds[0]).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    });
}
