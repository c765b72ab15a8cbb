//! Sockets of ZeroMQ wait without holding anybody up: push and pull, publish and subscribe, request and
//! reply, each end a task, on one worker if need be.

use std::mem::ManuallyDrop;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use twoply::channel::{self, Sender};
use twoply::future::{join_all, yield_now};
use twoply::time::timeout;
use twoply::zmq::Socket;
use twoply::{Task, Wait};
use twoply_tests::{Systems, laws};
use zmq::{Context, SocketType};

laws! {
    everywhere {
        what_is_pushed_is_pulled_in_order,
        a_push_to_one_who_is_slow_waits,
        subscribers_get_what_is_published,
        requests_are_replied_to,
        messages_of_several_parts_come_whole,
        what_is_dropped_has_taken_nothing,
        the_end_of_a_context_ends_what_waits,
    }
}

/// Makes a socket of its own kind, whose operations are futures.
fn socket(context: &Context, kind: SocketType) -> Socket {
    Socket::new(context.socket(kind).unwrap()).unwrap()
}

/// Binds it to a port, and returns the address.
fn bind(socket: &Socket) -> String {
    socket.get_ref().bind("tcp://127.0.0.1:*").unwrap();
    socket.get_ref().get_last_endpoint().unwrap().unwrap()
}

async fn receive(socket: &mut Socket) -> String {
    socket.recv().await.unwrap().as_str().unwrap().to_owned()
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
    let (mut push, mut pull) = (socket(&context, zmq::PUSH), socket(&context, zmq::PULL));
    push.get_ref().connect(&bind(&pull)).unwrap();
    let bystander = Bystander::start(on);
    // One end blocks its stack, and the other one is suspended.
    let pulling = on.here().spawn_fn(move || {
        for n in 0..MESSAGES {
            assert_eq!(receive(&mut pull).wait(), n.to_string());
        }
    });
    bystander.goes_on();
    let pushing = on.here().spawn(async move {
        for n in 0..MESSAGES {
            push.send(&n.to_string()).await.unwrap();
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

/// Returns two ends between which hardly a message has room.
fn narrow_pair() -> (Socket, Socket) {
    let context = Context::new();
    let push = context.socket(zmq::PUSH).unwrap();
    push.set_sndhwm(1).unwrap();
    let pull = context.socket(zmq::PULL).unwrap();
    pull.set_rcvhwm(1).unwrap();
    let (push, pull) = (Socket::new(push).unwrap(), Socket::new(pull).unwrap());
    push.get_ref().connect(&bind(&pull)).unwrap();
    (push, pull)
}

fn a_push_to_one_who_is_slow_waits(on: &Systems) {
    let (mut push, mut pull) = narrow_pair();
    let bystander = Bystander::start(on);
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    // More than the buffers of the system's sockets hold.
    let long = "x".repeat(100_000);
    let message = long.clone();
    let pushing = on.here().spawn(async move {
        for _ in 0..MESSAGES {
            push.send(&message).await.unwrap();
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
            assert_eq!(receive(&mut pull).await.len(), long.len());
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
    let mut publisher = socket(&context, zmq::XPUB);
    let address = bind(&publisher);
    let bystander = Bystander::start(on);
    let subscribers: Vec<_> = (0..SUBSCRIBERS)
        .map(|number| {
            let socket = context.socket(zmq::SUB).unwrap();
            // Each listens to its own numbers.
            socket.set_subscribe(format!("{number}:").as_bytes()).unwrap();
            let mut subscriber = Socket::new(socket).unwrap();
            subscriber.get_ref().connect(&address).unwrap();
            on.here().spawn(async move {
                for n in 0..MESSAGES {
                    assert_eq!(receive(&mut subscriber).await, format!("{number}:{n}"));
                }
            })
        })
        .collect();
    let publishing = on.here().spawn(async move {
        for _ in 0..SUBSCRIBERS {
            receive(&mut publisher).await;
        }
        for n in 0..MESSAGES {
            for number in 0..SUBSCRIBERS {
                publisher.send(&format!("{number}:{n}")).await.unwrap();
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
    let mut server = socket(&context, zmq::REP);
    let address = bind(&server);
    let bystander = Bystander::start(on);
    let serving = on.here().spawn_fn(move || {
        for _ in 0..CLIENTS * MESSAGES {
            let request = receive(&mut server).wait();
            server.send(format!("re: {request}")).wait().unwrap();
        }
        server
    });
    let clients = (0..CLIENTS).map(|client| {
        let mut socket = socket(&context, zmq::REQ);
        socket.get_ref().connect(&address).unwrap();
        async move {
            for n in 0..MESSAGES {
                let request = format!("{client} asks {n}");
                socket.send(&request).await.unwrap();
                assert_eq!(receive(&mut socket).await, format!("re: {request}"));
            }
        }
    });
    let asking = on.here().spawn(join_all(clients.collect::<Vec<_>>()));
    bystander.goes_on();
    asking.wait().unwrap();
    drop(serving.wait().unwrap());
    bystander.end();
}

fn messages_of_several_parts_come_whole(on: &Systems) {
    let context = Context::new();
    let (mut push, mut pull) = (socket(&context, zmq::PUSH), socket(&context, zmq::PULL));
    push.get_ref().connect(&bind(&pull)).unwrap();
    let pulling = on.here().spawn(async move {
        for n in 0..MESSAGES {
            let parts = pull.recv_multipart().await.unwrap();
            assert_eq!(parts, [n.to_string().into_bytes(), b"of".to_vec(), Vec::new()]);
            let parts = [pull.recv().await.unwrap(), pull.recv().await.unwrap()];
            assert_eq!(
                parts.map(|part| (part.as_str() == Some("one"), part.get_more())),
                [(true, true), (false, false)]
            );
        }
    });
    let pushing = on.here().spawn_fn(move || {
        for n in 0..MESSAGES {
            push.send_multipart([n.to_string(), "of".to_owned(), String::new()]).wait().unwrap();
            push.send_multipart(["one", "and another"]).wait().unwrap();
        }
        push
    });
    pulling.wait().unwrap();
    drop(pushing.wait().unwrap());
}

fn what_is_dropped_has_taken_nothing(on: &Systems) {
    /// Short enough for some to be over before a message comes.
    const SHORT: Duration = Duration::from_micros(20);
    let (mut push, mut pull) = narrow_pair();
    let pulling = on.here().spawn(async move {
        let mut next = 0;
        while next < MESSAGES {
            if let Ok(message) = timeout(SHORT, Box::pin(pull.recv())).await {
                assert_eq!(message.unwrap().as_str(), Some(&*next.to_string()));
                next += 1;
            }
        }
    });
    let pushing = on.here().spawn(async move {
        let mut next = 0;
        while next < MESSAGES {
            match timeout(SHORT, Box::pin(push.send(next.to_string()))).await {
                Ok(sent) => {
                    sent.unwrap();
                    next += 1;
                }
                Err(_) => yield_now().await,
            }
        }
        push
    });
    pulling.wait().unwrap();
    drop(pushing.wait().unwrap());
}

/// Waits for `future`, and tells `waits` when that has begun.
async fn once_it_waits<F: Future>(future: F, waits: Sender<()>) -> F::Output {
    let mut future = pin!(future);
    assert!(futures::poll!(future.as_mut()).is_pending());
    waits.send(()).await.unwrap();
    future.await
}

fn the_end_of_a_context_ends_what_waits(on: &Systems) {
    let context = Context::new();
    // Nobody is at the other end of any: the first one waits for a message, the second for a peer.
    let [mut pull, mut push, mut late] = [zmq::PULL, zmq::PUSH, zmq::PULL].map(|kind| socket(&context, kind));
    bind(&pull);
    bind(&push);
    let (waits, waiting) = channel::unbounded();
    let also_waits = waits.clone();
    let receiving = on.here().spawn(async move {
        let first = once_it_waits(pull.recv(), waits).await.map(drop);
        (first, pull.recv_multipart().await.map(drop), pull.send("more").await)
    });
    let sending = on.here().spawn_fn(move || once_it_waits(push.send("word"), also_waits).wait());
    (0..2).for_each(|_| waiting.recv().wait().unwrap());
    // This returns when all sockets of the context are closed. The last clone of a context ends it again, and
    // looks for that at what is gone by then: so one is kept.
    let end = std::thread::spawn(move || {
        let mut context = ManuallyDrop::new(context);
        context.destroy()
    });
    let gone = Err(zmq::Error::ETERM);
    assert_eq!(receiving.wait().unwrap(), (gone, gone, gone));
    assert_eq!(sending.wait().unwrap(), gone);
    // Whoever comes later hears of it, too, and takes no such socket again.
    assert_eq!(late.recv().wait().map(drop), gone);
    assert_eq!(Socket::new(late.into_inner()).err(), Some(zmq::Error::ETERM));
    end.join().unwrap().unwrap();
}
