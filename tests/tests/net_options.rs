//! Options of sockets: a value that the system cannot represent is refused, never another one.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::net::{TcpListener, TcpStream};
use twoply_core::time::timeout;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
    (ours, listener.accept().wait().unwrap().0)
}

/// The times around each unit and each limit.
fn times() -> Vec<Duration> {
    let limit = u64::from(u32::MAX);
    let whole = [1, 59, 32_767, 32_768, limit / 2, limit / 2 + 1, limit, limit + 1, u64::MAX / 2, u64::MAX];
    let mut times: Vec<Duration> = whole.map(Duration::from_secs).into();
    times.extend([
        Duration::from_nanos(1),
        Duration::from_millis(500),
        Duration::from_millis(1500),
        Duration::MAX,
    ]);
    times
}

#[test]
fn a_time_to_linger_is_at_least_what_was_asked_for_or_refused() {
    let (stream, _peer) = pair();
    for time in times() {
        stream.set_linger(None).unwrap();
        match stream.set_linger(Some(time)) {
            Ok(()) => {
                let set = stream.linger().unwrap().expect("it lingers");
                assert!(set >= time && set - time < Duration::from_secs(1), "{time:?} became {set:?}");
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{time:?}");
                assert_eq!(stream.linger().unwrap(), None, "{time:?}");
                assert!(time.as_secs() >= 1 << 30, "{time:?} was refused");
            }
        }
    }
    stream.set_linger(Some(Duration::ZERO)).unwrap();
    assert_eq!(stream.linger().unwrap(), Some(Duration::ZERO));
}

#[test]
fn an_idle_time_is_at_least_what_was_asked_for_or_refused() {
    let (stream, _peer) = pair();
    for time in times() {
        stream.set_keepalive(None).unwrap();
        if stream.set_keepalive(Some(time)).is_ok() {
            let set = stream.keepalive().unwrap().expect("it asks");
            assert!(set >= time && set - time < Duration::from_secs(1), "{time:?} became {set:?}");
        } else {
            assert!(time.as_secs() >= 32_767, "{time:?} was refused");
        }
    }
    assert!(stream.set_keepalive(Some(Duration::ZERO)).is_err());
}

#[test]
fn a_number_of_routers_is_what_was_asked_for_or_refused() {
    let (stream, _peer) = pair();
    stream.set_ttl(7).unwrap();
    for routers in [0, 256, 1 << 16, u32::MAX - 1, u32::MAX] {
        assert!(stream.set_ttl(routers).is_err(), "{routers}");
        assert_eq!(stream.ttl().unwrap(), 7, "{routers}");
    }
    stream.set_ttl(255).unwrap();
    assert_eq!(stream.ttl().unwrap(), 255);
}

#[test]
fn a_larger_buffer_is_never_a_smaller_one() {
    let (stream, _peer) = pair();
    let sizes = [1 << 16, 1 << 31, 1 << 32, (1 << 32) + 1, usize::MAX];
    let mut before = (0, 0);
    for size in sizes {
        stream.set_recv_buffer_size(size).unwrap();
        stream.set_send_buffer_size(size).unwrap();
        let now = (stream.recv_buffer_size().unwrap(), stream.send_buffer_size().unwrap());
        assert!(now.0 >= before.0 && now.1 >= before.1, "{size}: {before:?}, then {now:?}");
        before = now;
    }
}

#[test]
fn accepting_from_what_is_no_listener_is_an_error() {
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = TcpListener::from_std(OwnedFd::from(datagrams).into()).unwrap();
    let error = timeout(Duration::from_secs(5), silent.accept()).wait().expect("it ends").unwrap_err();
    assert!(error.raw_os_error().is_some(), "{error}");
    let error =
        timeout(Duration::from_secs(5), silent.incoming().accept()).wait().expect("it ends").unwrap_err();
    assert!(error.raw_os_error().is_some(), "{error}");
}
