//! What daemons do, and what is done to them: they block all signals, they live in a sandbox, and they fork.

use std::future::Future;
use std::io::Read;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use twoply_core::future::join_all;
use twoply_core::net::{TcpListener, TcpStream};
use twoply_core::promise::Failure;
use twoply_core::time::{sleep, timeout};
use twoply_core::{Wait, offload};
use twoply_tests::{Systems, block_signals, deny_tgkill, fork, laws, unblocked_signals};

laws! {
    everywhere {
        a_plain_read_is_cancelled_though_all_signals_are_blocked,
        a_plain_read_is_cancelled_though_no_signal_may_be_sent,
        a_plain_read_is_cancelled_or_reported_when_signals_are_denied_later,
        a_child_of_a_fork_waits_as_its_parent_does,
        a_child_of_a_fork_takes_no_event_from_its_parent,
    }
    native {
        no_signal_is_unblocked_but_the_one_that_interrupts_calls,
    }
}

const SOON: Duration = Duration::from_secs(10);

/// Longer than it takes a task to block, nearly always; what is tested holds if it does not.
const A_WHILE: Duration = Duration::from_millis(20);

/// Both ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
    (ours, listener.accept().wait().unwrap().0)
}

/// Cancels a task that reads what nobody writes, and shuts its runtime down.
fn cancel_a_read(on: &Systems) {
    let (mut ours, _theirs) = pair();
    let reader = on.here().spawn_fn(move || Read::read(&mut ours, &mut [0]).map_err(|error| error.kind()));
    std::thread::sleep(A_WHILE);
    reader.cancel();
    let outcome = timeout(SOON, reader).wait().expect("it is cancelled");
    assert!(matches!(outcome, Err(Failure::Cancelled)), "{outcome:?}");
    on.here().shutdown(SOON).expect("it ends");
}

fn a_plain_read_is_cancelled_though_all_signals_are_blocked(on: &Systems) {
    on.alone(|| {
        block_signals();
        cancel_a_read(on);
    });
}

fn a_plain_read_is_cancelled_though_no_signal_may_be_sent(on: &Systems) {
    on.alone(|| {
        deny_tgkill();
        cancel_a_read(on);
    });
}

/// Who is in a call by then cannot be reached any more; a shutdown says so, and the next call is none that
/// blocks.
fn a_plain_read_is_cancelled_or_reported_when_signals_are_denied_later(on: &Systems) {
    on.alone(|| {
        let (mut ours, theirs) = pair();
        let reader = on.here().spawn_fn(move || {
            let first = Read::read(&mut ours, &mut [0]).unwrap();
            let second = Read::read(&mut ours, &mut [0]);
            (first, second.map_err(|error| error.kind()))
        });
        std::thread::sleep(A_WHILE);
        deny_tgkill();
        reader.cancel();
        std::thread::sleep(A_WHILE);
        theirs.write_all(b"x").wait().unwrap();
        let outcome = timeout(SOON, reader).wait().expect("it is cancelled by the second read");
        assert!(matches!(outcome, Err(Failure::Cancelled)), "{outcome:?}");
        on.here().shutdown(SOON).expect("it ends");
    });
}

fn no_signal_is_unblocked_but_the_one_that_interrupts_calls(on: &Systems) {
    on.alone(|| {
        block_signals();
        let (mut ours, theirs) = pair();
        theirs.write_all(b"x").wait().unwrap();
        let reader = on.here().spawn_fn(move || {
            Read::read(&mut ours, &mut [0]).unwrap();
            unblocked_signals()
        });
        assert_eq!(reader.wait().unwrap(), [libc::SIGURG]);
        assert_eq!(unblocked_signals(), [0; 0], "of a thread that is not ours");
    });
}

/// Waits as a foreign executor would: with a waker of its own, so that not this thread but the I/O server
/// watches. `None` when the time is over.
fn foreign<F: Future>(future: F, time: Duration) -> Option<F::Output> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let (mut future, end) = (pin!(future), Instant::now() + time);
    while Instant::now() < end {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        std::thread::park_timeout(end.saturating_duration_since(Instant::now()));
    }
    None
}

/// Has the I/O server tell of two deadlines.
fn wait_by_the_server() {
    let both = join_all([sleep(Duration::from_millis(1)), sleep(Duration::from_millis(2))]);
    foreign(both, SOON).expect("the server lives");
}

/// Has the I/O server watch the connection: there is nothing to be read.
fn watch_by_the_server(stream: &TcpStream) {
    assert!(foreign(stream.read(&mut [0]), A_WHILE).is_none());
}

/// Reads a byte when the I/O server says that there is one.
fn read_by_the_server(stream: &TcpStream) {
    let read = foreign(stream.read(&mut [0]), SOON).expect("the server watches");
    assert_eq!(read.unwrap(), 1);
}

fn a_child_of_a_fork_waits_as_its_parent_does(on: &Systems) {
    on.alone(|| {
        on.here().spawn(sleep(Duration::from_millis(1))).wait().unwrap();
        wait_by_the_server();
        // A connection that the server watches, and a thread of the cache.
        let (ours, theirs) = pair();
        watch_by_the_server(&ours);
        let listener = TcpListener::bind("localhost:0").wait().unwrap();
        let name = format!("localhost:{}", listener.local_addr().unwrap().port());
        TcpStream::connect(name.as_str()).wait().unwrap();
        let status = fork(|| {
            join_all([sleep(Duration::from_millis(1)), sleep(Duration::from_millis(2))]).wait();
            wait_by_the_server();
            TcpStream::connect(name.as_str()).wait().unwrap();
            assert_eq!(offload(|| 3).unwrap(), 3);
            let native = twoply_native::Native::new();
            let sender = native.spawner().spawn_fn(move || {
                wait_by_the_server();
                std::thread::sleep(A_WHILE);
                theirs.write_all(b"x").wait().unwrap();
                theirs
            });
            read_by_the_server(&ours);
            drop(sender.wait().unwrap());
            drop(ours);
            let grandchild = fork(|| {
                wait_by_the_server();
                5
            });
            assert_eq!(grandchild, Some(5));
            0
        });
        assert_eq!(status, Some(0), "the child failed, or hung");
    });
}

fn a_child_of_a_fork_takes_no_event_from_its_parent(on: &Systems) {
    on.alone(|| {
        // The server watches one end, a runtime the other.
        let (ours, theirs) = pair();
        watch_by_the_server(&ours);
        let theirs = Arc::new(theirs);
        let reader = {
            let theirs = Arc::clone(&theirs);
            on.here().spawn(async move { theirs.read(&mut [0]).await.unwrap() })
        };
        std::thread::sleep(A_WHILE);
        let mut ours = Some(ours);
        let status = fork(|| {
            // It closes what it has inherited, and so gives its places in the pollers up.
            drop(ours.take());
            wait_by_the_server();
            0
        });
        assert_eq!(status, Some(0));
        let ours = ours.unwrap();
        ours.write_all(b"x").wait().unwrap();
        assert_eq!(timeout(SOON, reader).wait().expect("it is woken").unwrap(), 1);
        let sender = on.here().spawn(async move {
            sleep(A_WHILE).await;
            theirs.write_all(b"y").await.unwrap();
        });
        read_by_the_server(&ours);
        sender.wait().unwrap();
    });
}
