//! Readiness without operations, operations without waiting, poll functions, and accept loops that go on.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use twoply_core::Wait;
use twoply_core::channel::{RecvError, Source, TryRecvError};
use twoply_core::io::Direction;
use twoply_core::net::endpoint::{Endpoint, Family, Stream};
use twoply_core::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixStream};
use twoply_core::time::timeout;
use twoply_tests::{Systems, laws, straight};

laws! {
    and_mixed {
        bytes_pass_by_readiness_and_trying,
        a_source_of_connections_serves_several,
    }
    everywhere {
        readiness_that_is_given_up_leaves_nothing,
        datagrams_pass_by_readiness_and_poll_functions,
        an_operation_of_ones_own_waits_like_ours,
        connections_are_accepted_by_poll_functions,
        an_accept_loop_tells_of_shortages_and_loses_nobody,
        a_source_of_connections_ends_with_its_listener,
        urgent_data_goes_past_the_rest,
        trying_takes_nothing_that_is_not_there,
    }
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
    (ours, listener.accept().wait().unwrap().0)
}

fn would_block<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
    matches!(result, Err(e) if e.kind() == io::ErrorKind::WouldBlock)
}

const LEN: usize = 1 << 20;

async fn write_by_trying<F: Family>(stream: Endpoint<F, Stream>) {
    let bytes: Vec<u8> = (0..LEN).map(|i| (i % 251) as u8).collect();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        stream.writable().await.unwrap();
        match stream.try_write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
}

async fn read_by_trying<F: Family>(stream: Endpoint<F, Stream>) {
    let (mut buf, mut place) = ([0; 3000], 0);
    loop {
        stream.readable().await.unwrap();
        match stream.try_read(&mut buf) {
            Ok(0) => break assert_eq!(place, LEN),
            Ok(read) => {
                assert!((place..).zip(&buf[..read]).all(|(place, byte)| *byte == (place % 251) as u8));
                place += read;
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
}

fn bytes_pass_by_readiness_and_trying(on: &Systems) {
    fn check<F: Family>(on: &Systems, (ours, theirs): (Endpoint<F, Stream>, Endpoint<F, Stream>)) {
        let writing = on.here().spawn(write_by_trying(ours));
        let reading = on.there().spawn(read_by_trying(theirs));
        writing.wait().unwrap();
        reading.wait().unwrap();
    }
    check(on, tcp_pair());
    check(on, UnixStream::pair().unwrap());
}

fn readiness_that_is_given_up_leaves_nothing(on: &Systems) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let giving_up = on.here().spawn(async move {
        for _ in 0..20 {
            assert!(timeout(Duration::from_micros(50), theirs.readable()).await.is_err());
        }
        assert!(would_block(theirs.try_read(&mut [0])));
        theirs
    });
    let theirs = giving_up.wait().unwrap();
    ours.write_all(b"ab").wait().unwrap();
    let reading = on.here().spawn(async move {
        // It takes nothing: it is ready for as long as there is something.
        for byte in b"ab" {
            theirs.readable().await.unwrap();
            theirs.readable().await.unwrap();
            let mut buf = [0];
            assert_eq!((theirs.try_read(&mut buf).unwrap(), &buf), (1, &[*byte]));
        }
        assert!(timeout(Duration::from_millis(1), theirs.readable()).await.is_err());
        drop(ours);
        theirs.readable().await.unwrap();
        assert_eq!(theirs.try_read(&mut [0]).unwrap(), 0);
    });
    reading.wait().unwrap();
}

fn datagrams_pass_by_readiness_and_poll_functions(on: &Systems) {
    const COUNT: u32 = 500;
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let sending = on.here().spawn(async move {
        for number in 0..COUNT {
            let message = number.to_ne_bytes();
            match number % 2 {
                0 => assert_eq!(poll_fn(|cx| ours.poll_send(cx, &message)).await.unwrap(), 4),
                _ => loop {
                    ours.writable().await.unwrap();
                    match ours.try_send(&message) {
                        Ok(sent) => break assert_eq!(sent, 4),
                        Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                    }
                },
            }
        }
    });
    let receiving = on.here().spawn(async move {
        for number in 0..COUNT {
            let mut buf = [0; 8];
            let received = match number % 3 {
                0 => poll_fn(|cx| theirs.poll_recv(cx, &mut buf)).await.unwrap(),
                1 => poll_fn(|cx| theirs.poll_recv_from(cx, &mut buf)).await.unwrap().0,
                _ => {
                    theirs.readable().await.unwrap();
                    theirs.try_recv_from(&mut buf).unwrap().0
                }
            };
            assert_eq!((received.len, &buf[..4]), (4, &number.to_ne_bytes()[..]));
        }
    });
    sending.wait().unwrap();
    receiving.wait().unwrap();
}

fn an_operation_of_ones_own_waits_like_ours(on: &Systems) {
    let (ours, theirs) = tcp_pair();
    let mut buf = [0; 8];
    assert!(would_block(theirs.try_io(|fd| Ok(recv(fd, &mut buf, RecvFlags::DONTWAIT)?.1))));
    let waiting = on.here().spawn(async move {
        let receive = |fd: std::os::fd::BorrowedFd<'_>| Ok(recv(fd, &mut buf, RecvFlags::DONTWAIT)?.1);
        assert_eq!(theirs.with_io(Direction::Read, receive).await.unwrap(), 5);
        let mut receive = |fd: std::os::fd::BorrowedFd<'_>| Ok(recv(fd, &mut [0; 8], RecvFlags::DONTWAIT)?.1);
        poll_fn(|cx| theirs.poll_with_io(Direction::Read, cx, &mut receive)).await
    });
    ours.write_all(b"hello").wait().unwrap();
    drop(ours);
    assert_eq!(waiting.wait().unwrap().unwrap(), 0);
}

fn connections_are_accepted_by_poll_functions(on: &Systems) {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = on.here().spawn(async move {
        let (stream, peer) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        poll_fn(|cx| stream.poll_writable(cx)).await.unwrap();
        stream.try_write(b"hello").unwrap();
        peer
    });
    let client = TcpStream::connect(address).wait().unwrap();
    poll_fn(|cx| client.poll_readable(cx)).wait().unwrap();
    assert_eq!(poll_fn(|cx| client.poll_peek(cx, &mut [0; 8])).wait().unwrap(), 5);
    assert_eq!(accepting.wait().unwrap(), client.local_addr().unwrap());
}

fn a_source_of_connections_serves_several(on: &Systems) {
    const CLIENTS: usize = 20;
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = Arc::new(listener.into_incoming());
    let served = Arc::new(AtomicUsize::new(0));
    let servers = [on.here(), on.there()].map(|system| {
        let (incoming, served) = (incoming.clone(), served.clone());
        system.spawn(async move {
            let mut tries = 0u64;
            while served.load(Relaxed) < CLIENTS {
                tries += 1;
                // Now and then one gives up, and asks again.
                let patience = Duration::from_micros(tries % 500);
                if let Ok(accepted) = timeout(patience, incoming.recv()).await {
                    accepted.unwrap().0.write_all(b"welcome").await.unwrap();
                    served.fetch_add(1, Relaxed);
                }
            }
        })
    });
    let clients = on.there().spawn(async move {
        for _ in 0..CLIENTS {
            let client = TcpStream::connect(address).await.unwrap();
            client.read_exact(&mut [0; 7]).await.unwrap();
        }
    });
    clients.wait().unwrap();
    servers.into_iter().for_each(|server| server.wait().unwrap());
    assert_eq!(incoming.try_recv().map(drop), Err(TryRecvError::Empty));
}

fn an_accept_loop_tells_of_shortages_and_loses_nobody(on: &Systems) {
    on.alone(|| {
        let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = told.clone();
        let incoming = listener.into_incoming().on_trouble(move |trouble| {
            telling.lock().unwrap().push((trouble.error.raw_os_error(), trouble.pause));
        });
        let accepting = on.here().spawn(async move {
            for _ in 0..4 {
                let (stream, _) = incoming.recv().await.unwrap();
                stream.write_all(b"x").await.unwrap();
            }
        });
        let connect = || std::net::TcpStream::connect(address).unwrap();
        let served = |mut client: std::net::TcpStream| io::Read::read_exact(&mut client, &mut [0]).unwrap();
        served(connect());
        let waiting = [connect(), connect(), connect()];
        // The first of them may have been served before.
        let limits = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(3), maximum: limits.maximum }).unwrap();
        let late = std::time::Instant::now();
        while told.lock().unwrap().len() < 2 && late.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(1));
        }
        setrlimit(Resource::Nofile, limits).unwrap();
        waiting.into_iter().for_each(served);
        accepting.wait().unwrap();
        for (error, pause) in told.lock().unwrap().iter() {
            assert_eq!(*error, Some(libc::EMFILE));
            assert!(pause.is_some_and(|pause| pause <= Duration::from_secs(1)));
        }
    });
}

fn a_source_of_connections_ends_with_its_listener(on: &Systems) {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let told = Arc::new(Mutex::new(0));
    let telling = told.clone();
    let incoming = Arc::new(listener.into_incoming().on_trouble(move |trouble| {
        assert!(trouble.pause.is_none());
        *telling.lock().unwrap() += 1;
    }));
    let waiting = incoming.clone();
    let waiting = on.here().spawn(async move { waiting.recv().await.map(drop) });
    // A listener that is shut down accepts nothing any more.
    rustix::net::shutdown(incoming.listener().as_fd(), rustix::net::Shutdown::Both).unwrap();
    assert_eq!(waiting.wait().unwrap(), Err(RecvError));
    assert_eq!(incoming.recv().wait().map(drop), Err(RecvError));
    assert_eq!(*told.lock().unwrap(), 1, "it is told once");
}

fn urgent_data_goes_past_the_rest(on: &Systems) {
    straight(on, || {
        let (ours, theirs) = tcp_pair();
        assert_eq!(theirs.try_recv_urgent().unwrap(), None);
        ours.write_all(b"before").wait().unwrap();
        ours.send_urgent(b'!').wait().unwrap();
        ours.write_all(b"after").wait().unwrap();
        // No read goes past its place, where it is taken.
        let mut buf = [0; 20];
        assert_eq!(theirs.read(&mut buf).wait().unwrap(), 6);
        assert_eq!(theirs.try_recv_urgent().unwrap(), Some(b'!'));
        assert_eq!(theirs.try_recv_urgent().unwrap(), None);
        assert_eq!(theirs.read(&mut buf).wait().unwrap(), 5);
        assert_eq!(&buf[..5], b"after");
        theirs.set_urgent_inline(true).unwrap();
        assert!(theirs.urgent_inline().unwrap());
        ours.send_urgent(b'?').wait().unwrap();
        assert_eq!(theirs.read(&mut buf).wait().unwrap(), 1);
        assert_eq!(buf[0], b'?');
    });
}

fn trying_takes_nothing_that_is_not_there(on: &Systems) {
    straight(on, || {
        let (ours, theirs) = tcp_pair();
        assert!(would_block(theirs.try_read(&mut [0; 4])));
        assert!(would_block(theirs.try_read_vectored(&mut [io::IoSliceMut::new(&mut [0; 4])])));
        assert_eq!(ours.try_write_vectored(&[io::IoSlice::new(b"ab"), io::IoSlice::new(b"c")]).unwrap(), 3);
        theirs.readable().wait().unwrap();
        assert_eq!(theirs.try_read(&mut [0; 4]).unwrap(), 3);
        drop(theirs);
        ours.readable().wait().unwrap();
        assert_eq!(ours.try_read(&mut [0]).unwrap(), 0);
        let socket = UdpSocket::bind("127.0.0.1:0").wait().unwrap();
        assert!(would_block(socket.try_recv(&mut [0])));
        assert!(would_block(socket.try_recv_from(&mut [0])));
        let to = socket.local_addr().unwrap();
        assert_eq!(socket.try_send_to(b"to myself", to).unwrap(), 9);
        socket.readable().wait().unwrap();
        assert_eq!(socket.try_recv_from(&mut [0; 16]).unwrap().1, to);
    });
}
