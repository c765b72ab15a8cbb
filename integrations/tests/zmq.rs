//! Sockets of ZeroMQ wait without holding anybody up: push and pull, publish and subscribe, request and
//! reply, each end a task, on one worker if need be.
//!
//! A socket has one descriptor for both directions, which tells by an edge that something has changed, and
//! not what (`ZMQ_FD` in its manual). So each operation is tried first, then the events are asked for, which
//! takes note of the change, and only when these say no is there something to wait for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use twoply::future::{join_all, yield_now};
use twoply::io::{Direction, Pollable};
use twoply::{Task, Wait};
use twoply_tests::{Systems, laws};
use zmq::{Context, DONTWAIT, PollEvents, SocketType};

laws! {
    everywhere {
        what_is_pushed_is_pulled_in_order,
        a_push_to_one_who_is_slow_waits,
        subscribers_get_what_is_published,
        requests_are_replied_to,
    }
}

/// A socket that belongs to one thread at a time, and a duplicate of its descriptor.
struct Descriptor(Mutex<zmq::Socket>, OwnedFd);

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.1.as_fd()
    }
}

/// A socket whose operations are futures.
struct Socket(Pollable<Descriptor>);

impl Socket {
    fn new(context: &Context, kind: SocketType) -> Socket {
        Socket::with(context.socket(kind).unwrap())
    }

    fn with(socket: zmq::Socket) -> Socket {
        // The socket lends a number; the duplicate is a descriptor with an owner.
        let this_process = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        let fd = pidfd_getfd(this_process, socket.get_fd().unwrap(), PidfdGetfdFlags::empty()).unwrap();
        Socket(Pollable::new(Descriptor(Mutex::new(socket), fd)).unwrap())
    }

    /// Binds it to a port, and returns the address.
    fn bind(&self) -> String {
        let socket = self.0.get_ref().0.lock().unwrap();
        socket.bind("tcp://127.0.0.1:*").unwrap();
        socket.get_last_endpoint().unwrap().unwrap()
    }

    fn connect(&self, address: &str) {
        self.0.get_ref().0.lock().unwrap().connect(address).unwrap();
    }

    /// Does `operation` when the socket is ready for `events`.
    async fn when<R>(
        &self,
        events: PollEvents,
        mut operation: impl FnMut(&zmq::Socket) -> zmq::Result<R>,
    ) -> io::Result<R> {
        let attempt = |io: &Descriptor| {
            let socket = io.0.lock().unwrap();
            loop {
                match operation(&socket) {
                    Err(zmq::Error::EAGAIN) if socket.get_events()?.contains(events) => {}
                    // Of this kind is EAGAIN, too, as an error of the system's.
                    result => return result.map_err(|error| io::Error::from_raw_os_error(error.to_raw())),
                }
            }
        };
        self.0.with_io(Direction::Read, attempt).await
    }

    async fn send(&self, message: &str) {
        self.when(PollEvents::POLLOUT, |socket| socket.send(message, DONTWAIT)).await.unwrap();
    }

    async fn receive(&self) -> String {
        let bytes = self.when(PollEvents::POLLIN, |socket| socket.recv_bytes(DONTWAIT)).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

/// A task beside those that wait, which goes on all the time.
struct Bystander {
    task: Task<()>,
    stop: Arc<AtomicBool>,
    steps: Arc<AtomicUsize>,
}

impl Bystander {
    fn start(on: &Systems) -> Bystander {
        let (stop, steps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&steps));
        let task = on.here().spawn(async move {
            while !stopped.load(Ordering::SeqCst) {
                count.fetch_add(1, Ordering::SeqCst);
                yield_now().await;
            }
        });
        Bystander { task, stop, steps }
    }

    /// Waits until it has gone on.
    fn goes_on(&self) {
        let before = self.steps.load(Ordering::SeqCst);
        twoply_tests::eventually("others go on", || self.steps.load(Ordering::SeqCst) > before + 100);
    }

    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.task.wait().unwrap();
    }
}

const MESSAGES: usize = 500;

fn what_is_pushed_is_pulled_in_order(on: &Systems) {
    let context = Context::new();
    let (push, pull) = (Socket::new(&context, zmq::PUSH), Socket::new(&context, zmq::PULL));
    push.connect(&pull.bind());
    let bystander = Bystander::start(on);
    // One end blocks its stack, and the other one is suspended.
    let pulling = on.here().spawn_fn(move || {
        for n in 0..MESSAGES {
            assert_eq!(Box::pin(pull.receive()).wait(), n.to_string());
        }
    });
    bystander.goes_on();
    let pushing = on.here().spawn(async move {
        for n in 0..MESSAGES {
            push.send(&n.to_string()).await;
            if n % 10 == 0 {
                yield_now().await;
            }
        }
        push
    });
    pulling.wait().unwrap();
    drop(pushing.wait().unwrap());
    bystander.end();
}

fn a_push_to_one_who_is_slow_waits(on: &Systems) {
    let context = Context::new();
    let push = context.socket(zmq::PUSH).unwrap();
    push.set_sndhwm(1).unwrap();
    let pull = context.socket(zmq::PULL).unwrap();
    pull.set_rcvhwm(1).unwrap();
    let (push, pull) = (Socket::with(push), Socket::with(pull));
    push.connect(&pull.bind());
    let bystander = Bystander::start(on);
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    // More than the buffers of the system's sockets hold.
    let long = "x".repeat(100_000);
    let message = long.clone();
    let pushing = on.here().spawn(async move {
        for _ in 0..MESSAGES {
            push.send(&message).await;
            count.fetch_add(1, Ordering::SeqCst);
        }
        push
    });
    let mut before = usize::MAX;
    twoply_tests::eventually("it waits", || {
        bystander.goes_on();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let now = sent.load(Ordering::SeqCst);
        std::mem::replace(&mut before, now) == now && now > 0
    });
    assert!(sent.load(Ordering::SeqCst) < MESSAGES, "nobody has taken anything");
    let pulling = on.here().spawn(async move {
        for _ in 0..MESSAGES {
            assert_eq!(pull.receive().await.len(), long.len());
        }
    });
    pulling.wait().unwrap();
    drop(pushing.wait().unwrap());
    bystander.end();
}

fn subscribers_get_what_is_published(on: &Systems) {
    const SUBSCRIBERS: usize = 3;
    let context = Context::new();
    // It is told of subscriptions, as messages, so nothing is published before somebody listens.
    let publisher = Socket::new(&context, zmq::XPUB);
    let address = publisher.bind();
    let bystander = Bystander::start(on);
    let subscribers: Vec<_> = (0..SUBSCRIBERS)
        .map(|number| {
            let socket = context.socket(zmq::SUB).unwrap();
            // Each listens to its own numbers.
            socket.set_subscribe(format!("{number}:").as_bytes()).unwrap();
            let subscriber = Socket::with(socket);
            subscriber.connect(&address);
            on.here().spawn(async move {
                for n in 0..MESSAGES {
                    assert_eq!(subscriber.receive().await, format!("{number}:{n}"));
                }
            })
        })
        .collect();
    let publishing = on.here().spawn(async move {
        for _ in 0..SUBSCRIBERS {
            publisher.receive().await;
        }
        for n in 0..MESSAGES {
            for number in 0..SUBSCRIBERS {
                publisher.send(&format!("{number}:{n}")).await;
            }
        }
        publisher
    });
    bystander.goes_on();
    subscribers.into_iter().for_each(|subscriber| subscriber.wait().unwrap());
    drop(publishing.wait().unwrap());
    bystander.end();
}

fn requests_are_replied_to(on: &Systems) {
    const CLIENTS: usize = 3;
    let context = Context::new();
    let server = Socket::new(&context, zmq::REP);
    let address = server.bind();
    let bystander = Bystander::start(on);
    let serving = on.here().spawn_fn(move || {
        for _ in 0..CLIENTS * MESSAGES {
            let request = Box::pin(server.receive()).wait();
            Box::pin(server.send(&format!("re: {request}"))).wait();
        }
        server
    });
    let clients = (0..CLIENTS).map(|client| {
        let socket = Socket::new(&context, zmq::REQ);
        socket.connect(&address);
        async move {
            for n in 0..MESSAGES {
                let request = format!("{client} asks {n}");
                socket.send(&request).await;
                assert_eq!(socket.receive().await, format!("re: {request}"));
            }
        }
    });
    let asking = on.here().spawn(join_all(clients.collect::<Vec<_>>()));
    bystander.goes_on();
    asking.wait().unwrap();
    drop(serving.wait().unwrap());
    bystander.end();
}
