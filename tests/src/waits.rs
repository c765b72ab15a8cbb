//! Every future of the library that can be made to wait, for laws that hold for all of them.

mod bytes;
mod cells;
mod files;
mod locks;
mod ports;
mod requests;
mod services;
mod streams;

use std::future::{Future, IntoFuture, pending};
use std::io::Read;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use twoply_core::actor::{
    self, Actor, Backlog, Builder, ExitReason, Pool, Process, ProcessRef, Registry, Topic,
};
use twoply_core::channel::Source;
use twoply_core::future::{any, any_all, join, join_all, race, race_all, select, select_all, suspension};
use twoply_core::io::{Direction, Pollable};
use twoply_core::net::{TcpListener, TcpStream, UnixDatagram, UnixStream};
use twoply_core::process::{Command, Stdio};
use twoply_core::promise::{self, Promise, Resolver};
use twoply_core::signal::{SignalKind, Signals};
use twoply_core::stream::{self, Stream};
use twoply_core::sync::{Barrier, CancellationToken, Condvar, Event, Mutex, Notify};
use twoply_core::task::{self, TaskGroup, shield};
use twoply_core::{Wait, channel, task_local, time};
use twoply_native::Native;
use twoply_node::Node;

use crate::{Gate, OwnSignal, Systems, builder};

task_local! {
    /// A task-local, for a wait in its scope.
    static LOCAL: ();
}

/// A wait; what it comes to is of no matter.
pub type AnyWait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Waits for the same thing, one or more of them.
pub struct Waits {
    /// What they are.
    pub name: &'static str,
    /// The waits. Each is pending.
    pub waits: Vec<AnyWait>,
    /// Makes all of them ready. What they wait for lives as long as this.
    pub end: Box<dyn FnOnce() + Send>,
}

impl std::fmt::Debug for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waits").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Drops what a future comes to.
struct Discard<F>(Pin<Box<F>>);

impl<F: Future> Future for Discard<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx).map(drop)
    }
}

fn any_wait<F: IntoFuture<IntoFuture: Send + 'static>>(future: F) -> AnyWait {
    Box::pin(Discard(Box::pin(future.into_future())))
}

fn waits<const N: usize>(
    name: &'static str,
    waits: [AnyWait; N],
    end: impl FnOnce() + Send + 'static,
) -> Waits {
    Waits { name, waits: Vec::from(waits), end: Box::new(end) }
}

/// What waits borrow from lives as long as the process.
fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// As [`leak`], for those that borrow it for themselves.
fn leak_mut<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

/// A time that no test lives to see.
const LONG: Duration = Duration::from_secs(10_000);

/// All of them, on the first runtime of `on`.
pub fn all_waits(on: &Systems) -> Vec<Waits> {
    let mut all = channels();
    all.extend(reservations());
    all.extend(locks::locks());
    all.extend(cells::cells(on));
    all.extend(streams::streams());
    all.extend(signals());
    all.extend(promises());
    all.extend(combinators());
    all.extend(tasks(on));
    all.extend(processes(on));
    all.extend(crowds(on));
    all.extend(requests::requests(on));
    all.extend(services::services(on));
    all.extend(times());
    all.extend(sockets());
    all.extend(nodes(on));
    all.extend(ports::ports(on));
    all.extend(descriptors());
    all.extend(bytes::bytes());
    all.extend(files::files());
    all.extend(system_signals());
    all.extend(child_processes());
    all
}

/// What another node is asked that is being connected.
fn nodes(on: &Systems) -> Vec<Waits> {
    let silent = || std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let start = || {
        let listener = silent();
        let address = listener.local_addr().expect("it is bound");
        let builder = Node::builder("ours@localhost").cookie("biscuit").without_epmd().without_listener();
        let builder = builder.peer("silent@localhost", address);
        let node = on.here().spawn(builder.start()).wait().expect("it does not panic").expect("it starts");
        (node, listener)
    };
    let ((asking, one), (calling, two)) = (start(), start());
    let asked = asking.remote("silent@localhost");
    let ask = || any_wait(asked.call::<u32>("somebody", &1));
    let call = || any_wait(calling.call::<u32>("silent@localhost", "erlang", "abs", &(1,)));
    let (answers, results) = ([ask(), ask()], [call(), call()]);
    vec![
        // The listener is closed, and with it the connection.
        waits("node answer", answers, move || drop((one, asking))),
        waits("node result", results, move || drop((two, calling))),
    ]
}

fn channels() -> Vec<Waits> {
    let (full, room) = channel::bounded(1);
    full.try_send(0).expect("there is room");
    let full = leak(full);
    let (empty_tx, empty) = channel::bounded::<u32>(1);
    let empty = leak(empty);
    let (offer, taker) = channel::rendezvous();
    let offer = leak(offer);
    let (giver, take) = channel::rendezvous::<u32>();
    let take = leak(take);
    let (once, message) = channel::oneshot::<u32>();
    let (news_tx, news) = channel::broadcast::<u32>(1);
    let more_news = leak_mut(news_tx.subscribe());
    let news = leak_mut(news);
    let (state_tx, state) = channel::watch(0);
    let (one, two) = (leak_mut(state_tx.subscribe()), leak_mut(state));
    vec![
        waits("send", [any_wait(full.send(1)), any_wait(full.send(2))], move || room.close()),
        waits("recv", [any_wait(empty.recv()), any_wait(empty.recv())], move || drop(empty_tx)),
        waits("offer", [any_wait(offer.send(1)), any_wait(offer.send(2))], move || taker.close()),
        waits("take", [any_wait(take.recv()), any_wait(take.recv())], move || drop(giver)),
        waits("oneshot", [any_wait(message)], move || drop(once)),
        waits("broadcast", [any_wait(news.recv()), any_wait(more_news.recv())], move || drop(news_tx)),
        waits("watch", [any_wait(one.changed()), any_wait(two.changed())], move || drop(state_tx)),
    ]
}

fn reservations() -> Vec<Waits> {
    let full = || {
        let (tx, rx) = channel::bounded(1);
        tx.try_send(0).expect("there is room");
        (leak(tx), rx)
    };
    let ((of_two, room), (of_owners, owned), (late, in_time)) = (full(), full(), full());
    let (offer, taker) = channel::rendezvous();
    let offer = leak(offer);
    let (urgent, most_urgent) = channel::priority(1, |message: &u32| u64::from(*message));
    urgent.try_send(0).expect("there is room");
    let urgent = leak(urgent);
    let (batches_tx, batches) = channel::bounded::<u32>(4);
    let batches = leak(batches);
    let batch = || any_wait(batches.recv_many(leak_mut(Vec::new()), 2));
    let owner = || any_wait(of_owners.clone().reserve_owned());
    vec![
        waits("reserve", [any_wait(of_two.reserve()), any_wait(of_two.reserve())], move || room.close()),
        waits("reserve_owned", [owner(), owner()], move || owned.close()),
        waits(
            "send with a limit",
            [any_wait(late.send(1).timeout(LONG)), any_wait(late.send(2))],
            move || {
                in_time.close();
            },
        ),
        waits("offer with a limit", [any_wait(offer.send(1).timeout(LONG)), any_wait(offer.send(2))], {
            move || taker.close()
        }),
        waits("urgent send", [any_wait(urgent.send(1)), any_wait(urgent.send(2))], {
            move || most_urgent.close()
        }),
        waits("recv_many", [batch(), batch()], move || drop(batches_tx)),
    ]
}

fn signals() -> Vec<Waits> {
    let (news, turns) = (leak(Notify::new()), leak(Notify::new()));
    let (event, barrier) = (leak(Event::new()), leak(Barrier::new(2)));
    let (mutex, change) = (leak(Mutex::new(())), leak(Condvar::new()));
    let changed = || any_wait(change.wait(mutex.try_lock().expect("nobody else has locked it")));
    let parent = CancellationToken::new();
    let child = leak(parent.child_token());
    vec![
        waits("notify_waiters", [any_wait(news.notified()), any_wait(news.notified())], || {
            news.notify_waiters();
        }),
        waits("notify_one", [any_wait(turns.notified()), any_wait(turns.notified())], || {
            turns.notify_one();
            turns.notify_one();
        }),
        waits("event", [any_wait(event.wait()), any_wait(event.wait())], || event.set()),
        waits("condvar", [changed(), changed()], || change.notify_all()),
        waits("barrier", [any_wait(barrier.wait())], || {
            // Whoever has gone is not waited for.
            let _ = Pin::new(&mut barrier.wait()).poll(&mut Context::from_waker(std::task::Waker::noop()));
        }),
        waits(
            "cancelled",
            [any_wait(child.cancelled()), any_wait(child.clone().cancelled_owned())],
            move || {
                parent.cancel();
            },
        ),
    ]
}

/// Keeps a promise.
fn keep(resolver: Resolver<u32>) -> impl FnOnce() + Send + 'static {
    move || resolver.resolve(1).expect("nobody else has")
}

fn promises() -> Vec<Waits> {
    let promise = || promise::pair::<u32>();
    let (value, value_owed) = promise();
    let (reference, reference_owed) = promise();
    let reference = leak(reference);
    let (answer, answer_owed) = promise::answer();
    let (source, source_owed) = promise();
    let derived = source.map(|value| value + 1);
    let (chained, chained_owed) = promise();
    let chained = chained.then(|value| async move { Ok(value) });
    let (limited, limited_owed) = promise();
    let (unwatched, unwatched_owed) = promise();
    vec![
        waits("promise", [any_wait(value.clone()), any_wait(value)], keep(value_owed)),
        waits("promise by reference", [any_wait(reference), any_wait(reference)], keep(reference_owed)),
        waits("answer", [any_wait(answer)], keep(answer_owed)),
        waits("map", [any_wait(derived.clone()), any_wait(derived)], keep(source_owed)),
        waits("then", [any_wait(chained.clone()), any_wait(chained)], keep(chained_owed)),
        waits("within", [any_wait(limited.clone().timeout(LONG)), any_wait(limited)], keep(limited_owed)),
        waits("unwatched", [any_wait(promise::unwatched(unwatched.clone())), any_wait(unwatched)], {
            keep(unwatched_owed)
        }),
    ]
}

fn combinators() -> Vec<Waits> {
    let case = |name, combine: fn(Promise<u32>) -> AnyWait| {
        let (promise, owed) = promise::pair::<u32>();
        waits(name, [combine(promise.clone()), any_wait(promise)], keep(owed))
    };
    // Over a future that keeps every waker for ever.
    let kept = |name, combine: fn(Vec<AnyWait>) -> AnyWait| {
        let gate = Gate::new();
        let opened = || any_wait(gate.opened());
        waits(name, [combine(vec![opened(), opened(), opened()])], {
            let gate = gate.clone();
            move || gate.open()
        })
    };
    let (point, resumer) = suspension();
    let suspended = any_wait(leak_mut(point).suspend());
    vec![
        case("select", |p| any_wait(select((p.clone(), p)))),
        case("race", |p| any_wait(race((p.clone(), p)))),
        case("any", |p| any_wait(any((p.clone(), p)))),
        case("join", |p| any_wait(join((p.clone(), p)))),
        case("join_all", |p| any_wait(join_all([p.clone(), p.clone(), p]))),
        case("race_all", |p| any_wait(race_all([p.clone(), p.clone(), p]))),
        case("select_all", |p| any_wait(leak_mut(select_all([p.clone(), p])).next_ready())),
        case("shield", |p| any_wait(shield(p))),
        case("task-local", |p| any_wait(LOCAL.scope((), p))),
        case("any_all", |p| any_wait(any_all([p.clone(), p.clone(), p]))),
        kept("join_all of others", |all| any_wait(join_all(all))),
        kept("race_all of others", |all| any_wait(race_all(all))),
        case("timeout", |p| any_wait(time::timeout(LONG, p))),
        waits("suspend", [suspended], move || drop(resumer)),
    ]
}

fn tasks(on: &Systems) -> Vec<Waits> {
    let system = on.here();
    let gates: [Gate; 4] = Default::default();
    let handle = system.spawn(gates[0].opened());
    let shared = system.spawn(gates[1].opened()).into_promise();
    let group = leak_mut(TaskGroup::on(system.backend().clone()));
    group.spawn(gates[2].opened()).expect("it starts");
    let other = leak(Native::new());
    other.spawner().spawn(gates[3].opened()).detach();
    let tasks = other.spawner().tasks();
    let [of_handle, of_shared, of_group, of_other] = gates;
    // Tells nothing, because it blocks in something that is not of this library.
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let silent = leak(Native::new());
    let named = task::Builder::new().name("silent");
    named.spawn_fn_on(silent.spawner().backend(), move || told.recv()).expect("it starts").detach();
    let dump = || any_wait(silent.spawner().dump().limit(LONG));
    let table = || any_wait(silent.spawner().process_table().limit(LONG));
    vec![
        waits("task", [any_wait(handle)], move || of_handle.open()),
        waits("shared task", [any_wait(shared.clone()), any_wait(shared)], move || of_shared.open()),
        waits("join_next", [any_wait(group.join_next())], move || of_group.open()),
        waits("wait_empty", [any_wait(tasks.wait_empty()), any_wait(tasks.wait_empty())], move || {
            of_other.open();
        }),
        waits("dump", [dump(), dump(), table()], move || drop(tell)),
    ]
}

/// A process with room for one message that does nothing until the gate is opened, and then ends.
fn deaf<M: Send + 'static>(on: &Systems, gate: &Gate) -> &'static ProcessRef<M> {
    let opened = gate.opened();
    let body = async move |_me: Process<M>| opened.await;
    leak(Builder::new().on(on.here().backend()).capacity(1).spawn(body).expect("it starts"))
}

/// An actor that starts when its gate is opened.
struct Late(Gate);

impl Actor for Late {
    type Message = ();
    type Error = std::convert::Infallible;

    async fn started(&mut self, cx: &mut actor::Context<Late>) -> Result<(), Self::Error> {
        self.0.opened().await;
        cx.stop();
        Ok(())
    }

    async fn handle(&mut self, (): (), _: &mut actor::Context<Late>) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// The inside of a process, outside of it.
fn inside(on: &Systems) -> (&'static mut Process<u32>, ProcessRef<u32>) {
    let (tell, told) = channel::oneshot();
    let body = async move |me| {
        let _ = tell.send(me);
        pending::<()>().await;
    };
    let process = Builder::new().on(on.here().backend()).spawn(body).expect("it starts");
    (leak_mut(told.wait().expect("it begins")), process)
}

fn processes(on: &Systems) -> Vec<Waits> {
    let gates: [Gate; 6] = Default::default();
    let full = deaf::<u32>(on, &gates[0]);
    full.try_send(0).expect("there is room");
    let crowded = deaf::<u32>(on, &gates[5]);
    crowded.try_send(0).expect("there is room");
    let room = || any_wait(actor::remote::room(crowded, 2));
    let asked = deaf::<Resolver<u32>>(on, &gates[1]);
    let ending = deaf::<u32>(on, &gates[2]);
    let stopping = deaf::<u32>(on, &gates[3]);
    let stop = || any_wait(stopping.stop_gracefully(ExitReason::Normal).timeout(LONG));
    let start = || any_wait(builder(on).start_actor(Late(gates[4].clone())));
    let late = any_wait(builder(on).start_actor(Late(gates[4].clone())).timeout(LONG));
    let (starts, stops) = ([start(), late], [stop(), stop()]);
    let [of_full, of_asked, of_ending, of_stopping, of_start, of_room] = gates;
    let (first, to_first) = inside(on);
    let (second, to_second) = inside(on);
    let (third, to_third) = inside(on);
    let tell = |process: ProcessRef<u32>| move || process.try_send(7).expect("there is room");
    vec![
        waits("send to a process", [any_wait(full.send(1)), any_wait(full.send(2))], move || of_full.open()),
        waits("room in a mailbox", [room(), room()], move || of_room.open()),
        waits("ask", [any_wait(asked.ask(|reply| reply)), any_wait(asked.ask(|reply| reply))], move || {
            of_asked.open();
        }),
        waits("ended", [any_wait(ending.ended()), any_wait(ending.ended())], move || of_ending.open()),
        waits("stop_gracefully", stops, move || of_stopping.open()),
        waits("start", starts, move || of_start.open()),
        waits("receive", [any_wait(first.receive())], tell(to_first)),
        waits("receive_timeout", [any_wait(second.receive_timeout(LONG))], tell(to_second)),
        waits("receive_match", [any_wait(third.receive_match(|_| true))], tell(to_third)),
    ]
}

/// Waits for crowds of processes. A full member of each stands in the way.
fn crowds(on: &Systems) -> Vec<Waits> {
    let gates: [Gate; 3] = Default::default();
    let subscriber = deaf::<u32>(on, &gates[0]);
    let topic = leak(Topic::new());
    topic.subscribe(subscriber, Backlog::Wait);
    topic.publish(0).wait();
    let named = deaf::<u32>(on, &gates[1]);
    let registry = leak(Registry::new());
    registry.register("full", named).expect("the name is free");
    registry.try_send("full", 0_u32).expect("there is room");
    let opened = gates[2].clone();
    let pool = Pool::builder().size(1).settings(|builder| builder.capacity(1)).on(on.here().backend());
    let pool = leak(pool.start(move || Deaf(opened.clone())).wait().expect("it starts"));
    pool.try_send(0).expect("there is room");
    let [of_subscriber, of_named, of_pool] = gates;
    vec![
        waits("publish", [any_wait(topic.publish(1)), any_wait(topic.publish(2))], move || {
            of_subscriber.open();
        }),
        waits(
            "send to a name",
            [any_wait(registry.send("full", 1_u32)), any_wait(registry.send("full", 2_u32))],
            move || of_named.open(),
        ),
        waits("send to a pool", [any_wait(pool.send(1)), any_wait(pool.send(2))], move || of_pool.open()),
    ]
}

/// An actor that handles nothing until its gate is opened, and then stops.
struct Deaf(Gate);

impl Actor for Deaf {
    type Message = u32;
    type Error = std::convert::Infallible;

    async fn started(&mut self, cx: &mut actor::Context<Deaf>) -> Result<(), Self::Error> {
        // This comes before all that is sent, which stays in the mailbox.
        cx.continue_with(0);
        Ok(())
    }

    async fn handle(&mut self, _: u32, cx: &mut actor::Context<Deaf>) -> Result<(), Self::Error> {
        self.0.opened().await;
        cx.stop();
        Ok(())
    }
}

fn times() -> Vec<Waits> {
    let sleep = any_wait(time::sleep(LONG));
    let tick = any_wait(leak_mut(time::interval_at(time::now() + LONG, LONG)).tick());
    let throttled = leak_mut(stream::iter([1, 2]).throttle(LONG));
    throttled.next().wait();
    let waits = vec![sleep, tick, any_wait(throttled.next())];
    vec![Waits { name: "sleep and tick", waits, end: Box::new(|| {}) }]
}

fn sockets() -> Vec<Waits> {
    let bind = || leak(TcpListener::bind("127.0.0.1:0").wait().expect("there is a port"));
    let busy = bind();
    let connect = || {
        let here = TcpStream::connect(busy.local_addr().expect("it is bound")).wait().expect("it listens");
        let (there, _) = busy.accept().wait().expect("it has been connected to");
        (leak(here), there)
    };
    let (reader, writes) = connect();
    let (writer, reads) = connect();
    let chunk = leak(vec![0; 1 << 20]);
    fill(writer, chunk);
    let (receiver, sender) = leak(UnixDatagram::pair().expect("there are descriptors"));
    let full = leak(UnixDatagram::pair().expect("there are descriptors"));
    while poll_once(full.0.send(b"fill")) {}
    let (quiet, noise) = connect();
    let (stuffed, taker) = connect();
    fill(stuffed, chunk);
    let incoming = TcpListener::bind("127.0.0.1:0").wait().expect("there is a port").into_incoming();
    let incoming = leak(incoming);
    let caller = incoming.listener().local_addr().expect("it is bound");
    let (fds, no_fds) = UnixStream::pair().expect("there are descriptors");
    let fds = leak(fds);
    let listener = bind();
    let address = listener.local_addr().expect("it is bound");
    vec![
        waits("accept", [any_wait(listener.accept()), any_wait(listener.accept())], move || {
            let _ends =
                [address, address].map(|address| std::net::TcpStream::connect(address).expect("it listens"));
        }),
        waits("read", [any_wait(reader.read(leak_mut([0])))], move || drop(writes)),
        waits("write", [any_wait(writer.write(chunk)), any_wait(writer.write(chunk))], move || drop(reads)),
        waits(
            "datagram",
            [any_wait(receiver.recv(leak_mut([0]))), any_wait(receiver.recv_from(leak_mut([0])))],
            move || (0..2).for_each(|_| assert!(poll_once(sender.send(b"x")))),
        ),
        waits("datagram without room", [any_wait(full.0.send(b"x"))], move || {
            let _all = std::iter::from_fn(|| poll_once(full.1.recv(&mut [0])).then_some(())).count();
        }),
        waits("readable socket", [any_wait(quiet.readable()), any_wait(quiet.readable())], move || {
            drop(noise)
        }),
        waits("writable socket", [any_wait(stuffed.writable()), any_wait(stuffed.writable())], move || {
            drop(taker);
        }),
        waits("incoming", [any_wait(incoming.recv()), any_wait(incoming.recv())], move || {
            let _ends =
                [caller, caller].map(|address| std::net::TcpStream::connect(address).expect("it listens"));
        }),
        waits("recv_with_fds", [any_wait(fds.recv_with_fds(leak_mut([0]), 1))], move || drop(no_fds)),
    ]
}

fn descriptors() -> Vec<Waits> {
    let pair = || {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("there are descriptors");
        ours.set_nonblocking(true).expect("it is ours");
        (leak(Pollable::new(ours).expect("it can be watched")), theirs)
    };
    let ((readable, one), (read, another)) = (pair(), pair());
    let read = || any_wait(read.with_io(Direction::Read, |mut io| io.read(&mut [0])));
    vec![
        waits("readable", [any_wait(readable.readable()), any_wait(readable.readable())], move || drop(one)),
        waits("with_io", [read(), read()], move || drop(another)),
    ]
}

fn system_signals() -> Vec<Waits> {
    let signal = OwnSignal::new();
    let kind = SignalKind::from_raw(signal.number());
    let listen = || leak(Signals::new([kind]).expect("it can be listened to"));
    let (one, other) = (listen(), listen());
    // It is not free for others before it has come: a signal may take its time.
    let last = listen();
    let send = move || {
        signal.send();
        last.next().wait();
    };
    vec![waits("signal", [any_wait(one.next()), any_wait(other.next())], send)]
}

fn child_processes() -> Vec<Waits> {
    let start = || {
        let mut command = Command::new("cat");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it is there");
        let stdin = child.stdin.take();
        (child, stdin)
    };
    let ((ending, until), (mut silent, open), (all, input)) = (start(), start(), start());
    let reader = leak_mut(silent.stdout.take().expect("it is piped"));
    let waits_for_bytes = [any_wait(reader.read(leak_mut([0]))), any_wait(all.wait_with_output())];
    vec![
        waits("end of a child", [any_wait(leak_mut(ending).wait())], move || drop(until)),
        waits("output of a child", waits_for_bytes, move || drop((open, input))),
    ]
}

/// Writes until nothing more goes in.
fn fill(stream: &TcpStream, chunk: &[u8]) {
    while poll_once(stream.write(chunk)) {}
}

/// Returns whether the operation is ready at once.
fn poll_once<T>(operation: impl Future<Output = std::io::Result<T>>) -> bool {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    match pin!(operation).poll(&mut cx) {
        Poll::Ready(done) => {
            drop(done.expect("both ends are there"));
            true
        }
        Poll::Pending => false,
    }
}
