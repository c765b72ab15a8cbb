//! UDP: datagrams that arrive whole or cut off, which is told, to one, to all and to groups.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use twoply_core::Wait;
use twoply_core::net::UdpSocket;
use twoply_core::time::{timeout, timeout_at};
use twoply_tests::{Systems, laws, skip, straight};

laws! {
    and_mixed {
        an_echo_answers_whoever_asks,
        a_socket_serves_several_tasks,
    }
    everywhere {
        a_datagram_that_is_cut_off_is_said_to_be,
        a_receive_that_is_given_up_loses_nothing,
        a_connected_socket_hears_its_peer_alone,
        nobody_there_is_an_error_of_the_next_call,
        members_of_a_group_receive_what_is_sent_to_it,
        members_of_a_group_of_ipv6_receive_what_is_sent_to_it,
        what_is_sent_to_a_group_comes_back_if_it_is_to,
        to_everybody_only_if_that_is_allowed,
        options_are_set_and_read_back,
        empty_datagrams_and_datagrams_that_are_too_long,
        sockets_come_from_std_and_go_to_std,
        no_address_and_no_name_are_errors,
    }
}

fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").wait().unwrap()
}

fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().unwrap()
}

/// A pair, each connected to the other.
fn pair() -> (UdpSocket, UdpSocket) {
    let (ours, theirs) = (socket(), socket());
    ours.connect(address(&theirs)).wait().unwrap();
    theirs.connect(address(&ours)).wait().unwrap();
    (ours, theirs)
}

fn an_echo_answers_whoever_asks(on: &Systems) {
    const ROUNDS: usize = 50;
    let server = socket();
    let to = address(&server);
    let echo = on.here().spawn(async move {
        let mut buf = [0; 2000];
        for _ in 0..2 * ROUNDS {
            let (received, from) = server.recv_from(&mut buf).await.unwrap();
            assert!(!received.is_truncated());
            server.send_to(&buf[..received.len], from).await.unwrap();
        }
    });
    let ask = move |straight_line: bool| async move {
        let client = socket();
        client.connect(to).await.unwrap();
        for round in 0..ROUNDS {
            let message = vec![round as u8; 1 + 20 * round];
            let mut back = vec![0; 1 + 20 * round];
            let received = match straight_line {
                true => client.send(&message).wait().and_then(|_| client.recv(&mut back).wait()),
                false => match client.send(&message).await {
                    Ok(_) => client.recv(&mut back).await,
                    Err(error) => Err(error),
                },
            };
            assert_eq!((received.unwrap().len, back == message), (message.len(), true));
        }
    };
    let clients = [on.there().spawn(ask(false)), on.here().spawn(ask(true))];
    clients.into_iter().for_each(|client| client.wait().unwrap());
    echo.wait().unwrap();
}

fn a_socket_serves_several_tasks(on: &Systems) {
    const EACH: u32 = 100;
    let (ours, theirs) = pair();
    let (ours, theirs) = (std::sync::Arc::new(ours), std::sync::Arc::new(theirs));
    let receivers = [on.here(), on.there()].map(|system| {
        let theirs = theirs.clone();
        system.spawn(async move {
            let mut sum = 0;
            for _ in 0..EACH {
                let mut number = [0; 4];
                assert_eq!(theirs.recv(&mut number).await.unwrap().len, 4);
                // Answered, so that none is lost for want of room.
                theirs.send(b"").await.unwrap();
                sum += u64::from(u32::from_ne_bytes(number));
            }
            sum
        })
    });
    let sender = on.there().spawn(async move {
        for number in 0..2 * EACH {
            ours.send(&number.to_ne_bytes()).await.unwrap();
            assert_eq!(ours.recv(&mut [0]).await.unwrap().len, 0);
        }
    });
    sender.wait().unwrap();
    let sum: u64 = receivers.into_iter().map(|receiver| receiver.wait().unwrap()).sum();
    assert_eq!(sum, (0..2 * u64::from(EACH)).sum());
}

fn a_datagram_that_is_cut_off_is_said_to_be(on: &Systems) {
    let (ours, theirs) = pair();
    let from = address(&ours);
    let receiving = on.here().spawn(async move {
        let mut buf = [0; 4];
        let seen = theirs.peek(&mut buf).await.unwrap();
        assert_eq!((seen.len, seen.lost, &buf), (4, 4, b"data"));
        let (seen, sender) = theirs.peek_from(&mut buf[..1]).await.unwrap();
        assert_eq!((seen.len, seen.lost, sender), (1, 7, from));
        let (received, sender) = theirs.recv_from(&mut buf).await.unwrap();
        assert_eq!((received.len, received.lost, sender), (4, 4, from));
        let received = theirs.recv(&mut buf).await.unwrap();
        assert_eq!((received.len, received.is_truncated(), &buf[..3]), (3, false, &b"end"[..]));
    });
    ours.send(b"datagram").wait().unwrap();
    ours.send(b"end").wait().unwrap();
    receiving.wait().unwrap();
}

fn a_receive_that_is_given_up_loses_nothing(on: &Systems) {
    const COUNT: u32 = 200;
    let (ours, theirs) = pair();
    let sending = on.here().spawn(async move {
        for number in 0..COUNT {
            ours.send(&number.to_ne_bytes()).await.unwrap();
            assert_eq!(ours.recv(&mut [0]).await.unwrap().len, 1);
        }
    });
    let receiving = on.here().spawn(async move {
        let (mut next, mut tries) = (0, 0u64);
        while next < COUNT {
            tries += 1;
            let mut number = [0; 4];
            if let Ok(received) = timeout(Duration::from_micros(tries % 60), theirs.recv(&mut number)).await {
                assert_eq!((received.unwrap().len, u32::from_ne_bytes(number)), (4, next));
                next += 1;
                theirs.send(b"x").await.unwrap();
            }
        }
    });
    sending.wait().unwrap();
    receiving.wait().unwrap();
}

fn a_connected_socket_hears_its_peer_alone(on: &Systems) {
    let (ours, theirs) = pair();
    let stranger = socket();
    let to = address(&ours);
    let receiving = on.here().spawn(async move {
        let mut byte = [0];
        assert_eq!(ours.recv(&mut byte).await.unwrap().len, 1);
        byte
    });
    stranger.send_to(b"s", to).wait().unwrap();
    theirs.send(b"p").wait().unwrap();
    assert_eq!(receiving.wait().unwrap(), *b"p");
}

fn nobody_there_is_an_error_of_the_next_call(on: &Systems) {
    let ours = socket();
    ours.connect(address(&socket())).wait().unwrap();
    let asking = on.here().spawn(async move {
        ours.send(b"anybody?").await.unwrap();
        ours.recv(&mut [0]).await
    });
    assert_eq!(asking.wait().unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

fn members_of_a_group_receive_what_is_sent_to_it(on: &Systems) {
    straight(on, || {
        let group = Ipv4Addr::new(239, 255, 77, 2);
        let member = UdpSocket::bind((group, 0)).wait().unwrap();
        member.join_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
        let sender = socket();
        sender.set_multicast_interface_v4(Ipv4Addr::LOCALHOST).unwrap();
        assert_eq!(sender.multicast_interface_v4().unwrap(), Ipv4Addr::LOCALHOST);
        let mut buf = [0; 8];
        let to = address(&member);
        sender.send_to(b"one", to).wait().unwrap();
        let (received, from) = member.recv_from(&mut buf).wait().unwrap();
        assert_eq!((&buf[..received.len], from), (&b"one"[..], address(&sender)));
        member.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
        assert!(member.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).is_err(), "it is no member");
        assert!(
            member.join_multicast_v4(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST).is_err(),
            "it is no group"
        );
    });
}

/// Returns the numbers of the interfaces that have an address of IPv6.
fn interfaces() -> Vec<u32> {
    let addresses = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let number = |line: &str| u32::from_str_radix(line.split_whitespace().nth(1)?, 16).ok();
    addresses.lines().filter_map(number).collect()
}

/// The time that a datagram to a group has: a firewall may drop it.
const LONG: Duration = Duration::from_secs(10);

/// Has a member of a group of IPv6 receive something through an interface until then. Returns false if that
/// takes none.
fn reaches_members_through(interface: u32, until: Instant) -> bool {
    let group = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x77, 2);
    let socket = || UdpSocket::bind("[::]:0").wait();
    let (Ok(member), Ok(sender)) = (socket(), socket()) else { return false };
    if member.join_multicast_v6(&group, interface).is_err() {
        return false;
    }
    assert_eq!(sender.multicast_interface_v6().unwrap(), 0);
    sender.set_multicast_interface_v6(interface).unwrap();
    assert_eq!(sender.multicast_interface_v6().unwrap(), interface);
    sender.set_multicast_hops_v6(7).unwrap();
    sender.set_multicast_loop_v6(false).unwrap();
    assert_eq!((sender.multicast_hops_v6().unwrap(), sender.multicast_loop_v6().unwrap()), (7, false));
    let to = SocketAddr::from(SocketAddrV6::new(group, address(&member).port(), 0, interface));
    // What does not come back is not received, and what is sent after it is. The loopback interface, which is
    // the first, has all come back.
    if interface != 1 && sender.send_to(b"none", to).wait().is_err() {
        return false;
    }
    sender.set_multicast_loop_v6(true).unwrap();
    if sender.send_to(b"six", to).wait().is_err() {
        return false;
    }
    let mut buf = [0; 8];
    let Ok(received) = timeout_at(until, member.recv_from(&mut buf)).wait() else { return false };
    let (received, from) = received.unwrap();
    assert_eq!((&buf[..received.len], from.port()), (&b"six"[..], address(&sender).port()));
    member.leave_multicast_v6(&group, interface).unwrap();
    assert!(member.leave_multicast_v6(&group, interface).is_err(), "it is no member");
    true
}

fn members_of_a_group_of_ipv6_receive_what_is_sent_to_it(on: &Systems) {
    straight(on, || {
        let until = Instant::now() + LONG;
        if !interfaces().into_iter().any(|interface| reaches_members_through(interface, until)) {
            skip("no interface takes datagrams to groups of IPv6");
        }
    });
}

/// Returns the address of the interface that leads out of this machine, if one does.
fn outward() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind("0.0.0.0:0").wait().unwrap();
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).wait().ok()?;
    match address(&socket).ip() {
        IpAddr::V4(address) if !address.is_loopback() => Some(address),
        _ => None,
    }
}

fn what_is_sent_to_a_group_comes_back_if_it_is_to(on: &Systems) {
    straight(on, || {
        let group = Ipv4Addr::new(239, 255, 77, 3);
        let member = UdpSocket::bind((group, 0)).wait().unwrap();
        let to = address(&member);
        let sender = UdpSocket::bind("0.0.0.0:0").wait().unwrap();
        let can_send = |interface: &Ipv4Addr| {
            member.join_multicast_v4(group, *interface).is_ok()
                && sender.set_multicast_interface_v4(*interface).is_ok()
                && sender.set_multicast_loop_v4(false).is_ok()
                && sender.send_to(b"none", to).wait().is_ok()
        };
        let Some(_) = outward().filter(can_send) else {
            return skip("no interface takes datagrams to groups but loopback");
        };
        sender.set_multicast_loop_v4(true).unwrap();
        sender.send_to(b"one", to).wait().unwrap();
        let mut buf = [0; 8];
        let Ok(received) = timeout(LONG, member.recv(&mut buf)).wait() else {
            return skip("what is sent to a group of IPv4 does not come back");
        };
        assert_eq!(&buf[..received.unwrap().len], b"one");
    });
}

fn to_everybody_only_if_that_is_allowed(on: &Systems) {
    straight(on, || {
        let (everybody, receiver) = (Ipv4Addr::new(127, 255, 255, 255), UdpSocket::bind("0.0.0.0:0"));
        let receiver = receiver.wait().unwrap();
        let (sender, to) = (socket(), (everybody, address(&receiver).port()));
        let error = sender.send_to(b"a", to).wait().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        sender.set_broadcast(true).unwrap();
        sender.send_to(b"all", to).wait().unwrap();
        assert_eq!(receiver.recv(&mut [0; 8]).wait().unwrap().len, 3);
    });
}

fn options_are_set_and_read_back(on: &Systems) {
    straight(on, || {
        let socket = socket();
        assert!(!socket.broadcast().unwrap());
        socket.set_ttl(42).unwrap();
        socket.set_multicast_ttl_v4(5).unwrap();
        socket.set_multicast_loop_v4(false).unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.set_send_buffer_size(64 << 10).unwrap();
        assert_eq!((socket.ttl().unwrap(), socket.multicast_ttl_v4().unwrap()), (42, 5));
        assert!(!socket.multicast_loop_v4().unwrap());
        assert!(
            socket.recv_buffer_size().unwrap() >= 64 << 10 && socket.send_buffer_size().unwrap() >= 64 << 10
        );
        for refused in
            [socket.set_ttl(256), socket.set_multicast_ttl_v4(256), socket.set_multicast_hops_v6(256)]
        {
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert!(socket.take_error().unwrap().is_none());
    });
}

fn empty_datagrams_and_datagrams_that_are_too_long(on: &Systems) {
    straight(on, || {
        let (ours, theirs) = pair();
        assert_eq!(ours.send(b"").wait().unwrap(), 0);
        let (received, from) = theirs.recv_from(&mut [0; 4]).wait().unwrap();
        assert_eq!((received.len, received.lost, from), (0, 0, address(&ours)));
        // EMSGSIZE: std has no name for it that is stable.
        let error = ours.send(&[0; 70_000]).wait().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        ours.send(b"three").wait().unwrap();
        assert_eq!(theirs.recv(&mut []).wait().unwrap().lost, 5);
        let error = socket().send(b"to whom?").wait().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EDESTADDRREQ));
    });
}

fn sockets_come_from_std_and_go_to_std(on: &Systems) {
    straight(on, || {
        let std_socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        std_socket.set_nonblocking(true).unwrap();
        let ours = UdpSocket::from(std_socket);
        let theirs = socket();
        theirs.send_to(b"a", address(&ours)).wait().unwrap();
        assert_eq!(ours.recv(&mut [0; 2]).wait().unwrap().len, 1);
        let std_socket: std::net::UdpSocket = ours.try_into().unwrap();
        theirs.send_to(b"bc", std_socket.local_addr().unwrap()).wait().unwrap();
        assert_eq!(std_socket.recv(&mut [0; 4]).unwrap(), 2);
    });
}

fn no_address_and_no_name_are_errors(on: &Systems) {
    straight(on, || {
        let none: &[SocketAddr] = &[];
        assert_eq!(UdpSocket::bind(none).wait().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(socket().connect(none).wait().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(UdpSocket::bind("no port").wait().is_err());
        let by_name = UdpSocket::bind("localhost:0").wait().unwrap();
        assert!(address(&by_name).ip().is_loopback());
        assert_eq!(socket().peer_addr().unwrap_err().kind(), io::ErrorKind::NotConnected);
    });
}
