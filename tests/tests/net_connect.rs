//! Sockets that are built before they are used, several addresses of one host, and who resolves its name.

use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::net::{self, Resolver, TcpListener, TcpSocket, TcpStream, UdpSocket, UnixStream};
use twoply_core::time::{sleep, timeout};
use twoply_core::world::Resolving;
use twoply_tests::{Systems, laws, skip, straight};

laws! {
    everywhere {
        an_address_that_does_not_answer_holds_no_other_up,
        a_name_that_takes_long_holds_no_task_up,
        names_are_resolved_by_the_programs_resolver,
        a_socket_has_the_options_that_it_was_built_with,
        what_an_option_cannot_be_is_said,
        fast_open_carries_the_first_bytes,
        a_socket_of_ipv6_alone_leaves_ipv4_to_others,
        times_are_rounded_up_or_refused,
        all_addresses_are_tried_and_the_last_error_is_told,
        errors_of_names_say_the_name,
    }
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").wait().unwrap()
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().unwrap()
}

/// A listener whose queue is full: further attempts hang.
fn hanging() -> (TcpListener, Vec<std::net::TcpStream>) {
    let full = TcpListener::builder().backlog(0).bind("127.0.0.1:0").wait().unwrap();
    let mut queued = Vec::new();
    while let Ok(client) = std::net::TcpStream::connect_timeout(&address(&full), Duration::from_millis(100)) {
        queued.push(client);
        assert!(queued.len() < 100, "the queue does not fill up");
    }
    (full, queued)
}

fn an_address_that_does_not_answer_holds_no_other_up(on: &Systems) {
    let (full, _queued) = hanging();
    let good = listener();
    let addresses = [address(&full), address(&full), address(&good)];
    let connecting = on.here().spawn(async move {
        let connecting = TcpStream::connect(&addresses[..]);
        timeout(Duration::from_secs(20), connecting).await.expect("one of them answers").unwrap()
    });
    let stream = connecting.wait().unwrap();
    assert_eq!(stream.peer_addr().unwrap(), address(&good));
    // The other attempts have been given up, and nothing waits for them.
    let (accepted, _) = good.accept().wait().unwrap();
    drop(stream);
    assert_eq!(accepted.read(&mut [0]).wait().unwrap(), 0);
}

/// A resolver of two hosts: one takes for ever.
struct Two(SocketAddr);

impl Resolver for Two {
    fn resolve(&self, host: &str, _port: u16) -> Resolving {
        let address = self.0;
        match host {
            "good.invalid" => Box::pin(async move { Ok(vec![address]) }),
            "none.invalid" => Box::pin(async { Ok(Vec::new()) }),
            "slow.invalid" => Box::pin(async {
                sleep(Duration::from_secs(10_000)).await;
                Ok(Vec::new())
            }),
            _ => Box::pin(async { Err(io::ErrorKind::PermissionDenied.into()) }),
        }
    }
}

fn names_are_resolved_by_the_programs_resolver(on: &Systems) {
    on.alone(|| {
        let good = listener();
        let to = address(&good);
        assert!(net::set_resolver(Some(Arc::new(Two(to)))).is_none());
        let connecting = on.here().spawn(async move {
            let stream = TcpStream::connect("good.invalid:1").await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), to);
            let late = TcpStream::connect_timeout(("slow.invalid", 1), Duration::from_millis(5)).await;
            assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
            let kinds = [("none.invalid", io::ErrorKind::NotFound), ("x", io::ErrorKind::PermissionDenied)];
            for (host, kind) in kinds {
                let error = net::lookup((host, 80)).await.unwrap_err();
                assert_eq!(error.kind(), kind);
                assert!(error.to_string().contains(host), "{error}");
            }
        });
        connecting.wait().unwrap();
        assert!(net::set_resolver(None).is_some());
        assert!(!net::lookup("localhost:80").wait().unwrap().is_empty());
    });
}

fn a_name_that_takes_long_holds_no_task_up(on: &Systems) {
    // The system is asked on a thread: meanwhile a worker does other things.
    let lookups: Vec<_> = (0..20).map(|_| on.here().spawn(net::lookup(("localhost", 80)))).collect();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let echo = on.here().spawn(async move {
        theirs.write_all(b"alive").await.unwrap();
    });
    ours.read_exact(&mut [0; 5]).wait().unwrap();
    echo.wait().unwrap();
    for lookup in lookups {
        assert!(!lookup.wait().unwrap().unwrap().is_empty());
    }
}

fn all_addresses_are_tried_and_the_last_error_is_told(on: &Systems) {
    straight(on, || {
        let closed = address(&listener());
        let also_closed = address(&listener());
        let error = TcpStream::connect(&[closed, also_closed][..]).wait().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let good = listener();
        // Both families, in an order that is none.
        let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], closed.port()));
        let addresses = [v6, v6, closed, closed, v6, address(&good)];
        let stream = TcpStream::connect(&addresses[..]).wait().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address(&good));
    });
}

fn errors_of_names_say_the_name(on: &Systems) {
    straight(on, || {
        let long = "x".repeat(300);
        let errors = [
            net::lookup((long.as_str(), 80)).wait().unwrap_err(),
            TcpStream::connect((long.as_str(), 80)).wait().unwrap_err(),
            TcpListener::bind(format!("{long}:80")).wait().unwrap_err(),
            UdpSocket::bind(format!("{long}:80")).wait().unwrap_err(),
        ];
        for error in errors {
            assert!(error.to_string().contains(&long), "{error}");
            assert!(std::error::Error::source(error.get_ref().unwrap()).is_some());
        }
        for text in ["no port", "host:99999", "host:", ""] {
            let error = TcpStream::connect(text).wait().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{text:?}");
            assert!(error.to_string().contains(text), "{error}");
        }
        let error = net::lookup(("a\0b", 80)).wait().unwrap_err();
        assert!(error.to_string().contains("a\\0b"), "{error}");
    });
}

fn a_socket_has_the_options_that_it_was_built_with(on: &Systems) {
    straight(on, || {
        let second = Duration::from_secs(1);
        let options = TcpSocket::new()
            .nodelay(true)
            .keepalive(60 * second, 10 * second, 3)
            .user_timeout(30 * second)
            .linger(Some(Duration::ZERO))
            .ttl(42)
            .recv_buffer_size(100_000)
            .send_buffer_size(100_000)
            .backlog(4);
        let listener = options.clone().reuse_port(true).bind("127.0.0.1:0").wait().unwrap();
        let shared = TcpSocket::new().reuse_port(true).bind(address(&listener)).wait().unwrap();
        drop(shared);
        let from = SocketAddr::from(([127, 0, 0, 3], 0));
        let client = options.clone().local_addr(from).connect(address(&listener)).wait().unwrap();
        assert_eq!(client.local_addr().unwrap().ip(), from.ip());
        // What is accepted has the options of its listener.
        let (server, _) = listener.accept().wait().unwrap();
        for stream in [client, server] {
            assert!(stream.nodelay().unwrap());
            assert_eq!(stream.keepalive().unwrap(), Some(60 * second));
            assert_eq!(stream.keepalive_interval().unwrap(), 10 * second);
            assert_eq!(stream.keepalive_probes().unwrap(), 3);
            assert_eq!(stream.user_timeout().unwrap(), Some(30 * second));
            assert_eq!(stream.linger().unwrap(), Some(Duration::ZERO));
            assert!(stream.recv_buffer_size().unwrap() >= 100_000);
            assert!(stream.send_buffer_size().unwrap() >= 100_000);
            stream.set_user_timeout(None).unwrap();
            assert_eq!(stream.user_timeout().unwrap(), None);
        }
        let one = UdpSocket::builder().reuse_port(true).broadcast(true).bind("127.0.0.1:0").wait().unwrap();
        let other = UdpSocket::builder().reuse_port(true).bind(one.local_addr().unwrap()).wait().unwrap();
        assert!(one.broadcast().unwrap() && !other.broadcast().unwrap());
        assert!(UdpSocket::bind(one.local_addr().unwrap()).wait().is_err());
        // The loopback interface; the system may forbid it.
        match TcpSocket::new().device("lo").connect(address(&listener)).wait() {
            Ok(client) => drop(client),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
        }
        assert!(TcpSocket::new().device("nowhere0").connect(address(&listener)).wait().is_err());
    });
}

fn what_an_option_cannot_be_is_said(on: &Systems) {
    straight(on, || {
        let to = address(&listener());
        let long = Duration::MAX;
        let refused = [
            (TcpSocket::new().device("an interface with a long name"), "15 bytes"),
            (TcpSocket::new().device(""), "15 bytes"),
            (TcpSocket::new().device("a\0"), "NUL"),
            (TcpSocket::new().ttl(256), "255"),
            (TcpSocket::new().linger(Some(long)), "2^31 - 1 seconds"),
            (TcpSocket::new().keepalive(long, long, 1), "2^31 - 1 seconds"),
            (TcpSocket::new().user_timeout(long), "2^31 - 1"),
            (TcpSocket::new().user_timeout(Duration::ZERO), "one millisecond"),
        ];
        for (options, message) in refused {
            for error in [
                options.clone().connect(to).wait().map(drop).unwrap_err(),
                options.bind("127.0.0.1:0").wait().map(drop).unwrap_err(),
            ] {
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                assert!(error.to_string().contains(message), "{error}");
            }
        }
    });
}

fn fast_open_carries_the_first_bytes(on: &Systems) {
    let child = on.child(|| {
        straight(on, || {
            let listener = TcpSocket::new().fast_open(true).bind("127.0.0.1:0").wait().unwrap();
            let before = fast_opens();
            // The first connection makes the server known.
            for _ in 0..2 {
                let client = TcpSocket::new().fast_open(true).connect(address(&listener)).wait().unwrap();
                client.write_all(b"first").wait().unwrap();
                let (server, _) = listener.accept().wait().unwrap();
                let mut buf = [0; 5];
                server.read_exact(&mut buf).wait().unwrap();
                server.write_all(&buf).wait().unwrap();
                client.read_exact(&mut buf).wait().unwrap();
                assert_eq!(&buf, b"first");
            }
            let allowed = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_fastopen").unwrap();
            if allowed.trim() == "3" {
                let (sent, taken) = fast_opens();
                assert!(sent > before.0 && taken > before.1, "{before:?}, then {sent} and {taken}");
            }
        });
    });
    // In a network of its own, it is allowed to both sides.
    const ALLOW: &str =
        "ip link set lo up && echo 3 > /proc/sys/net/ipv4/tcp_fastopen || exit 77; exec \"$0\" \"$@\"";
    let mut alone = Command::new("unshare");
    alone.args(["-rn", "sh", "-c", ALLOW]).arg(child.get_program()).args(child.get_args());
    alone.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let has_network = Command::new("unshare").args(["-rn", "ip", "link"]).output();
    let mut child = if has_network.is_ok_and(|it| it.status.success()) { alone } else { child };
    let output = child.output().unwrap();
    if output.status.code() != Some(77) {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn a_socket_of_ipv6_alone_leaves_ipv4_to_others(on: &Systems) {
    straight(on, || {
        let bind = |only| TcpSocket::new().only_v6(only).bind("[::]:0").wait();
        let both = bind(false);
        let refused = both.as_ref().err().and_then(io::Error::raw_os_error);
        if matches!(refused, Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) {
            return skip("there is no IPv6 here");
        }
        let both = both.unwrap();
        let through_v4 = |listener: &TcpListener| {
            let port = address(listener).port();
            TcpStream::connect(("127.0.0.1", port)).wait()
        };
        let client = through_v4(&both).unwrap();
        let (_, from) = both.accept().wait().unwrap();
        let SocketAddr::V6(from) = from else { panic!("{from}") };
        assert_eq!(from.ip().to_ipv4_mapped(), Some(std::net::Ipv4Addr::LOCALHOST));
        drop(client);
        // A port of IPv6 alone is free for IPv4, unless it happens to be somebody's there: so another one may
        // have it, and is reached.
        let side_by_side = (0..10).find_map(|_| {
            let alone = bind(true).unwrap();
            let other = TcpSocket::new().bind(("0.0.0.0", address(&alone).port())).wait().ok()?;
            Some((alone, other))
        });
        let (alone, other) = side_by_side.expect("one of ten ports is free for IPv4");
        let client = through_v4(&alone).unwrap();
        let (_, from) = other.accept().wait().unwrap();
        assert_eq!(from, client.local_addr().unwrap());
    });
}

/// The numbers of connections whose request has carried bytes: that were sent, that were taken.
fn fast_opens() -> (u64, u64) {
    let counters = std::fs::read_to_string("/proc/self/net/netstat").unwrap();
    let mut lines = counters.lines().filter(|line| line.starts_with("TcpExt:")).map(str::split_whitespace);
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let of = |name: &str| {
        let mut pairs = names.clone().zip(values.clone());
        pairs.find(|(its, _)| *its == name).map_or(0, |(_, value)| value.parse().unwrap())
    };
    (of("TCPFastOpenActive"), of("TCPFastOpenPassive"))
}

fn times_are_rounded_up_or_refused(on: &Systems) {
    straight(on, || {
        let listener = listener();
        let stream = TcpStream::connect(address(&listener)).wait().unwrap();
        for time in [Duration::from_nanos(1), Duration::from_micros(1500), Duration::from_secs(3600)] {
            stream.set_user_timeout(Some(time)).unwrap();
            let set = stream.user_timeout().unwrap().expect("it is limited");
            assert!(set >= time && set - time < Duration::from_millis(1), "{time:?} became {set:?}");
        }
        for time in [Duration::ZERO, Duration::MAX, Duration::from_millis(1 << 31)] {
            assert_eq!(stream.set_user_timeout(Some(time)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert!(stream.set_keepalive_interval(Duration::ZERO).is_err());
        assert!(stream.set_keepalive_probes(0).is_err());
        assert!(stream.set_keepalive_probes(1000).is_err());
    });
}
