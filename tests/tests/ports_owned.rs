//! Ports and their owners: one receive for all I/O, ports that go from one owner to another, and that none
//! outlives its owner.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use twoply_core::Wait;
use twoply_core::actor::{self, Builder, ExitReason, Process, ProcessRef, Registry};
use twoply_core::backend::Backend;
use twoply_core::channel;
use twoply_core::fs::OpenOptions;
use twoply_core::net::endpoint::{Accepted, Ip};
use twoply_core::net::{TcpListener, UdpSocket, UnixStream};
use twoply_core::port::{
    self, Active, Addressed, ChildItem, During, Event, FileAnswer, FileRequest, Lines, PortError, PortRef,
    Tail,
};
use twoply_core::process::{Command, Stdio};
use twoply_core::signal::{Received, SignalKind};
use twoply_tests::{
    Dir, OwnSignal, Resources, Systems, builder, children_of, eventually, far, laws, run_process, send_signal,
};

laws! {
    on_all {
        one_receive_waits_for_a_socket_a_child_a_timer_and_a_signal,
        a_port_is_handed_over_under_load_with_nothing_lost_or_reordered,
        one_receive_waits_for_everything_and_its_end_leaves_nothing,
        a_port_is_a_source_of_an_actor,
    }
    and_served {
        a_port_closes_with_its_owner,
        a_dropped_port_closes_and_writes_what_it_can,
        a_port_that_is_received_from_moves_into_a_mailbox,
        an_owner_that_dies_as_it_hands_over_leaves_the_port_to_the_next,
        what_was_no_message_of_a_dead_owner_is_left_to_the_next,
        what_an_owner_has_sent_is_written_as_it_ends,
        ports_are_in_dumps_and_tables,
        a_port_is_monitored_linked_and_found_by_name,
        a_function_that_panics_ends_the_port_and_nobody_else,
        the_owner_of_a_listener_is_told_of_shortages_and_loses_nobody,
        the_owner_of_a_listener_is_told_of_its_end,
    }
}

/// Returns the two ends of a connection: one for a port, and a plain one.
fn pair() -> (UnixStream, StdStream) {
    let (ours, theirs) = StdStream::pair().unwrap();
    (UnixStream::from(ours), theirs)
}

/// Returns the error of the system, if it is one of accepting.
fn accept_error<T>(event: &Event<T>) -> Option<Errno> {
    match event {
        Event::Error(PortError::Io { during: During::Accept, error }) => Errno::from_io_error(error),
        _ => None,
    }
}

fn the_owner_of_a_listener_is_told_of_shortages_and_loses_nobody(on: &Systems) {
    on.alone(|| {
        let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
        let address = listener.local_addr().unwrap();
        let port = port::accept(listener).on(on.here().backend()).start().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let first = port.recv().wait().unwrap().item().unwrap();
        // The sockets are there before there is a shortage, and connect in it.
        let socket = || net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None).unwrap();
        let sockets = [socket(), socket()];
        let limits = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(3), maximum: limits.maximum }).unwrap();
        sockets.iter().for_each(|socket| net::connect(socket, &address).unwrap());
        assert_eq!(accept_error(&port.recv().wait().unwrap()), Some(Errno::MFILE));
        setrlimit(Resource::Nofile, limits).unwrap();
        let mut accepted = Vec::new();
        while accepted.len() < sockets.len() {
            match port.recv().wait().unwrap() {
                Event::Item(connection) => accepted.push(connection),
                other => assert_eq!(accept_error(&other), Some(Errno::MFILE), "{other:?}"),
            }
        }
        drop((client, first));
    });
}

fn the_owner_of_a_listener_is_told_of_its_end(on: &Systems) {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let same = listener.as_fd().try_clone_to_owned().unwrap();
    let port = port::accept(listener).on(on.here().backend()).start().unwrap();
    // A listener that is shut down accepts nothing any more.
    net::shutdown(&same, net::Shutdown::Both).unwrap();
    assert_eq!(accept_error(&port.recv().wait().unwrap()), Some(Errno::INVAL));
    assert!(matches!(port.recv().wait().unwrap(), Event::Closed));
    assert!(port.port_ref().ended().wait().is_normal());
}

enum Message {
    Net(Event<String>),
    Child(Event<ChildItem<String>>),
    Tick,
    Signal(SignalKind),
}

fn one_receive_waits_for_a_socket_a_child_a_timer_and_a_signal(on: &Systems) {
    let own = OwnSignal::new();
    let kind = SignalKind::from_raw(own.number());
    let (ours, mut theirs) = pair();
    let (here, there) = (on.here().backend().clone(), on.there().backend().clone());
    theirs.write_all(b"a question\n").unwrap();
    let signal = own.number();
    let counts = run_process(on.here(), Builder::new(), move |mut me: Process<Message>| {
        let own = me.me();
        let net = port::lines(ours).on(&here).into_mailbox(&own, Message::Net).unwrap();
        let cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let cat = port::child(cat).on(&there).into_mailbox(&own, Message::Child).unwrap();
        port::timer(Duration::from_millis(1)).on(&there).into_mailbox(&own, |_| Message::Tick).unwrap();
        let to_message = |event: Event<_>| match event {
            Event::Item(signal @ twoply_core::signal::Received { .. }) => Message::Signal(signal.kind),
            other => panic!("{other:?}"),
        };
        port::signals([kind]).unwrap().on(&here).into_mailbox(&own, to_message).unwrap();
        let (mut ticks, mut child, mut signals, mut closed) = (0, 0, 0, false);
        while !closed || ticks < 3 {
            match me.receive().wait().message().unwrap() {
                // The question goes to the child, and its answer back; then a signal ends it.
                Message::Net(Event::Item(line)) => cat.send(line).wait().unwrap(),
                Message::Child(Event::Item(ChildItem::Stdout(line))) => {
                    child += 1;
                    net.send(format!("answer to {line}")).wait().unwrap();
                    send_signal(signal);
                }
                Message::Signal(got) => {
                    assert_eq!(got, kind);
                    signals += 1;
                    cat.finish();
                }
                Message::Child(Event::Closed) => net.close(),
                Message::Net(Event::Closed) => closed = true,
                Message::Child(Event::Item(ChildItem::Exited(status))) => assert!(status.success()),
                Message::Tick => ticks += 1,
                Message::Net(other) => panic!("{other:?}"),
                Message::Child(other) => panic!("{other:?}"),
            }
        }
        (child, signals)
    });
    assert_eq!(counts, (1, 1));
    let mut all = String::new();
    theirs.read_to_string(&mut all).unwrap();
    assert_eq!(all, "answer to a question\n");
}

/// A message of a process to which everything comes.
enum Any {
    Net(Event<String>),
    Accept(Event<Accepted<Ip>>),
    Udp(Event<Addressed<Ip>>),
    Child(Event<ChildItem<String>>),
    Tail(Event<String>),
    File(Event<FileAnswer>),
    Tick(Event<Instant>),
    Signal(Event<Received>),
    Channel(Event<u32>),
    Plain,
}

impl Any {
    /// Returns what has come, if it is an item.
    fn name(&self) -> Option<&'static str> {
        match self {
            Any::Net(Event::Item(line)) if line == "a line" => Some("a socket"),
            Any::Accept(Event::Item(_)) => Some("a listener"),
            Any::Udp(Event::Item((_, bytes))) if bytes == b"a datagram" => Some("datagrams"),
            Any::Child(Event::Item(ChildItem::Stdout(line))) if line == "a question" => Some("a child"),
            Any::Tail(Event::Item(line)) if line == "an entry" => Some("a log"),
            Any::File(Event::Item(FileAnswer::Synced)) => Some("a file"),
            Any::Tick(Event::Item(_)) => Some("a timer"),
            Any::Signal(Event::Item(_)) => Some("a signal"),
            Any::Channel(Event::Item(7)) => Some("a channel"),
            Any::Plain => Some("a sender"),
            _ => None,
        }
    }
}

/// Has one process wait for everything at a time, until all has come, and kills it as it waits.
fn wait_for_everything(on: &Systems, own: &OwnSignal, dir: &Dir) {
    const SOURCES: usize = 10;
    let (ours, mut theirs) = pair();
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").wait().unwrap();
    let (listens, receives) = (listener.local_addr().unwrap(), socket.local_addr().unwrap());
    let (numbers, receiver) = channel::bounded(1);
    let (log, file) = (dir.join("log"), dir.join("file"));
    let kind = SignalKind::from_raw(own.number());
    let (heard, names) = mpsc::channel();
    let (here, there) = (on.here().backend().clone(), on.there().backend().clone());
    let open_file = OpenOptions::new().read(true).write(true).create(true).open(&file).wait().unwrap();
    let owner = builder(on).spawn_fn(move |mut me: Process<Any>| {
        let own = me.me();
        let follow = port::tail_with(Tail::new(log).from_start(true), Lines::new());
        let mut cat = Command::new("cat");
        let cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        port::lines(ours).on(&here).into_mailbox(&own, Any::Net).unwrap();
        port::accept(listener).on(&there).into_mailbox(&own, Any::Accept).unwrap();
        port::udp(socket).on(&here).into_mailbox(&own, Any::Udp).unwrap();
        let cat = port::child(cat).on(&there).into_mailbox(&own, Any::Child).unwrap();
        follow.on(&here).into_mailbox(&own, Any::Tail).unwrap();
        let file = port::file(open_file).on(&there).into_mailbox(&own, Any::File).unwrap();
        port::timer(Duration::from_millis(5)).on(&here).into_mailbox(&own, Any::Tick).unwrap();
        port::signals([kind]).unwrap().on(&there).into_mailbox(&own, Any::Signal).unwrap();
        port::source(receiver).on(&here).into_mailbox(&own, Any::Channel).unwrap();
        cat.send("a question".to_owned()).wait().unwrap();
        file.send(FileRequest::Sync).wait().unwrap();
        heard.send("that it may begin").unwrap();
        loop {
            let message = me.receive().wait().message().unwrap();
            heard.send(message.name().expect("nothing closes and nothing fails")).unwrap();
        }
    });
    let owner = owner.unwrap();
    assert_eq!(names.recv().unwrap(), "that it may begin");
    theirs.write_all(b"a line\n").unwrap();
    let _client = std::net::TcpStream::connect(listens).unwrap();
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"a datagram", receives).unwrap();
    std::fs::write(dir.join("log"), "an entry\n").unwrap();
    own.send();
    numbers.send(7).wait().unwrap();
    owner.send(Any::Plain).wait().unwrap();
    let mut missing: Vec<&str> = Vec::new();
    while missing.len() < SOURCES {
        let name = names.recv().unwrap();
        if !missing.contains(&name) {
            missing.push(name);
        }
    }
    owner.exit(ExitReason::Kill);
    assert_eq!(owner.ended().wait(), ExitReason::Killed);
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
    while numbers.send(7).wait().is_ok() {}
    std::fs::remove_file(dir.join("log")).unwrap();
}

fn one_receive_waits_for_everything_and_its_end_leaves_nothing(on: &Systems) {
    on.alone(|| {
        let (own, dir) = (OwnSignal::new(), Dir::new());
        // What a runtime keeps for the next time is there after the first.
        wait_for_everything(on, &own, &dir);
        eventually("the child has gone", || children_of(std::process::id()).is_empty());
        let before = Resources::now();
        for _ in 0..3 {
            wait_for_everything(on, &own, &dir);
        }
        before.assert_descriptors_restored();
        eventually("the children have gone", || children_of(std::process::id()).is_empty());
    });
}

/// Passes numbers on, in order, until the port goes to somebody else: then `next` has it.
fn forward(owner: impl FnOnce(&ProcessRef<Event<String>>) + Send + 'static, out: mpsc::Sender<u32>) -> Body {
    Box::new(move |mut me: Process<Event<String>>| {
        let own = me.me();
        let mut owner = Some(owner);
        let mut seen = 0;
        loop {
            match me.receive().wait().message() {
                Some(Event::Item(line)) => {
                    out.send(line.parse().unwrap()).unwrap();
                    seen += 1;
                    if seen == 100
                        && let Some(hand_over) = owner.take()
                    {
                        hand_over(&own);
                    }
                }
                // What came before has been passed on; dropping this lets the next one begin.
                Some(Event::HandedOver(_)) | Some(Event::Closed) => break,
                other => panic!("{other:?}"),
            }
        }
    })
}

type Body = Box<dyn FnOnce(Process<Event<String>>) + Send>;

fn a_port_is_handed_over_under_load_with_nothing_lost_or_reordered(on: &Systems) {
    const NUMBERS: u32 = 20_000;
    const OWNERS: usize = 8;
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (out, numbers) = mpsc::channel();
    // The last owner first: each knows the next one.
    let mut next: Option<ProcessRef<Event<String>>> = None;
    let mut ports = Vec::new();
    for index in 0..OWNERS {
        let (give, take) = mpsc::channel::<PortRef<String, String>>();
        ports.push(give);
        let after = next.take();
        let hand_over = move |_: &ProcessRef<Event<String>>| {
            if let Some(after) = after {
                take.recv().unwrap().hand_over(&after, |event| event);
            }
        };
        let body = forward(hand_over, out.clone());
        // A small mailbox, so that the port waits for room as it is handed over.
        let process = if index % 2 == 0 { builder(on) } else { far(on) }.capacity(8);
        next = Some(process.spawn_fn(body).unwrap());
    }
    drop(out);
    let first = next.unwrap();
    let port = port::lines(ours).on(on.here().backend()).into_mailbox(&first, |event| event).unwrap();
    ports.iter().for_each(|give| drop(give.send(port.clone())));
    let writer = on.there().spawn_fn(move || {
        for number in 0..NUMBERS {
            theirs.write_all(format!("{number}\n").as_bytes()).wait().unwrap();
        }
    });
    let all: Vec<u32> = numbers.iter().collect();
    writer.wait().unwrap();
    assert!(all.iter().copied().eq(0..NUMBERS), "{} of {NUMBERS}", all.len());
    assert!(port.ended().wait().is_normal());
}

fn a_port_closes_with_its_owner(on: &Systems) {
    let (ours, mut theirs) = pair();
    let owner =
        builder(on).spawn(async |mut me: Process<Event<String>>| while me.receive().await.is_message() {});
    let owner = owner.unwrap();
    let port = port::lines(ours).on(on.here().backend()).into_mailbox(&owner, |event| event).unwrap();
    // A peer that reads nothing keeps it no longer.
    while port.try_send("x".repeat(10_000)).is_ok() {}
    owner.exit(ExitReason::Kill);
    assert_eq!(port.ended().wait(), ExitReason::Killed);
    assert!(port.is_closed() && !port.try_send(String::new()).unwrap_err().is_full());
    let mut rest = Vec::new();
    theirs.read_to_end(&mut rest).unwrap();
    // One whose owner has gone before ends at once, too.
    let (ours, mut theirs) = pair();
    let late = port::lines(ours).on(on.here().backend()).into_mailbox(&owner, |event| event).unwrap();
    late.ended().wait();
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
}

fn a_dropped_port_closes_and_writes_what_it_can(on: &Systems) {
    let (ours, mut theirs) = pair();
    let port = port::lines(ours).on(on.here().backend()).start().unwrap();
    let pid = port.port_ref().ended();
    port.send("the last words".to_owned()).wait().unwrap();
    drop(port);
    let mut all = String::new();
    theirs.read_to_string(&mut all).unwrap();
    assert_eq!(all, "the last words\n");
    assert!(pid.wait().is_normal());
    // So is one that a process has in its body when it panics, and whose peer reads nothing.
    let (ours, mut theirs) = pair();
    let backend = on.here().backend().clone();
    let owner = builder::<()>(on).spawn_fn(move |_| {
        let port = port::lines(ours).on(&backend).start().unwrap();
        while port.try_send("x".repeat(10_000)).is_ok() {}
        panic!("expected: the owner panics");
    });
    assert!(matches!(owner.unwrap().ended().wait(), ExitReason::Panicked(_)));
    theirs.read_to_end(&mut Vec::new()).unwrap();
}

fn a_port_that_is_received_from_moves_into_a_mailbox(on: &Systems) {
    const NUMBERS: u32 = 1_000;
    let (ours, theirs) = UnixStream::pair().unwrap();
    let backend = on.here().backend().clone();
    // More than the port's channel holds, so that some wait on each side of it.
    let writer = on.there().spawn_fn(move || {
        for number in 0..NUMBERS {
            theirs.write_all(format!("{number}\n").as_bytes()).wait().unwrap();
        }
    });
    let port = port::lines(ours).on(&backend).start().unwrap();
    let first = port.recv().wait().unwrap().item().unwrap();
    assert_eq!(first, "0");
    let all = run_process(on.here(), Builder::new().capacity(4), move |mut me: Process<Event<String>>| {
        port.into_mailbox(&me.me(), |event| event);
        let next = |_| me.receive().wait().message().unwrap().item().unwrap().parse::<u32>().unwrap();
        let all: Vec<u32> = (1..NUMBERS).map(next).collect();
        assert!(matches!(me.receive().wait().message(), Some(Event::Closed)));
        all
    });
    assert!(all.into_iter().eq(1..NUMBERS));
    writer.wait().unwrap();
}

fn an_owner_that_dies_as_it_hands_over_leaves_the_port_to_the_next(on: &Systems) {
    let (ours, mut theirs) = pair();
    // It receives nothing, and so never drops the last event.
    let first = builder(on).capacity(2).spawn(async |me: Process<Event<String>>| {
        std::future::pending::<()>().await;
        drop(me);
    });
    let first = first.unwrap();
    let port = port::lines(ours).on(on.here().backend()).into_mailbox(&first, |event| event).unwrap();
    theirs.write_all(b"one\n").unwrap();
    eventually("it is delivered", || first.len() == 1);
    let (lines, got) = mpsc::channel();
    let second = builder(on).spawn_fn(move |mut me: Process<Event<String>>| {
        while let Some(Event::Item(line)) = me.receive().wait().message() {
            lines.send(line).unwrap();
        }
    });
    port.hand_over(&second.unwrap(), |event| event);
    eventually("the last event is in the mailbox", || first.len() == 2);
    theirs.write_all(b"two\n").unwrap();
    std::thread::sleep(Duration::from_millis(5));
    assert!(got.try_recv().is_err(), "the first owner has not let it go");
    first.exit(ExitReason::Kill);
    assert_eq!(got.recv().unwrap(), "two");
    assert!(port.pid().is_alive_here());
    drop(theirs);
    assert!(port.ended().wait().is_normal());
}

fn what_was_no_message_of_a_dead_owner_is_left_to_the_next(on: &Systems) {
    const LINES: u32 = 100;
    let (ours, mut theirs) = pair();
    let first = builder(on).capacity(2).spawn(async |me: Process<Event<String>>| {
        std::future::pending::<()>().await;
        drop(me);
    });
    let first = first.unwrap();
    let port = port::lines(ours).on(on.here().backend()).into_mailbox(&first, |event| event).unwrap();
    let lines: String = (0..LINES).map(|line| format!("{line}\n")).collect();
    theirs.write_all(lines.as_bytes()).unwrap();
    eventually("its mailbox is full", || first.len() == 2);
    let (lines, got) = mpsc::channel();
    let second = builder(on).capacity(4).spawn_fn(move |mut me: Process<Event<String>>| {
        while let Some(Event::Item(line)) = me.receive().wait().message() {
            lines.send(line.parse::<u32>().unwrap()).unwrap();
        }
    });
    // There is no room for its last event either.
    port.hand_over(&second.unwrap(), |event| event);
    first.exit(ExitReason::Kill);
    drop(theirs);
    assert!(got.iter().eq(2..LINES));
    assert!(port.ended().wait().is_normal());
}

fn what_an_owner_has_sent_is_written_as_it_ends(on: &Systems) {
    for kill in [false, true] {
        let (ours, mut theirs) = pair();
        let backend = on.here().backend().clone();
        let owner = builder(on).spawn_fn(move |me: Process<Event<String>>| {
            let port = port::lines(ours).on(&backend).into_mailbox(&me.me(), |event| event).unwrap();
            for line in 0..50 {
                port.send(line.to_string()).wait().unwrap();
            }
            if kill {
                me.me().exit(ExitReason::Kill);
            }
        });
        owner.unwrap().ended().wait();
        let mut all = String::new();
        theirs.read_to_string(&mut all).unwrap();
        assert!(all.lines().eq((0..50).map(|line| line.to_string())), "{all:?}");
    }
}

fn ports_are_in_dumps_and_tables(on: &Systems) {
    let (ours, _theirs) = pair();
    let port = port::lines(ours).name("line port").on(on.here().backend()).start().unwrap();
    let pid = port.port_ref().pid();
    let limit = Duration::from_secs(60);
    eventually("it waits", || {
        let table = on.here().spawner().process_table().limit(limit).wait();
        table.process(&pid).is_some_and(|entry| entry.info.name.as_deref() == Some("line port"))
    });
    let dump = on.here().spawner().dump().limit(limit).wait();
    let names: Vec<_> = dump.tasks().iter().filter_map(|task| task.task.name()).collect();
    assert!(names.iter().any(|name| &**name == "line port"), "{dump}");
}

fn a_port_is_monitored_linked_and_found_by_name(on: &Systems) {
    let name = format!("port of {}", on.name());
    let backend = on.here().backend().clone();
    run_process(on.here(), Builder::new().trap_exit(true), move |mut me: Process<()>| {
        let (ours, theirs) = pair();
        let port = port::lines(ours).on(&backend).register(name.clone()).start().unwrap();
        let pid = port.port_ref().pid();
        assert_eq!(Registry::global().whereis_pid(&name), Some(pid.clone()));
        let monitor = me.monitor(&pid);
        me.link(&pid);
        drop(theirs);
        assert!(matches!(port.recv().wait(), Ok(Event::Closed)));
        let (mut downs, mut exits) = (0, 0);
        while downs + exits < 2 {
            match me.receive().wait() {
                actor::Event::Down(down) => {
                    assert_eq!((down.monitor, down.reason), (monitor, ExitReason::Normal));
                    downs += 1;
                }
                actor::Event::Exit(exit) => {
                    assert_eq!((exit.from, exit.reason), (pid.clone(), ExitReason::Normal));
                    exits += 1;
                }
                _ => panic!("what else"),
            }
        }
        assert_eq!(Registry::global().whereis_pid(&name), None);
        // An exit signal ends a port at once.
        let (ours, mut theirs) = pair();
        let port = port::lines(ours).on(&backend).start().unwrap();
        port.port_ref().pid().exit(ExitReason::Kill);
        assert!(port.recv().wait().is_err());
        assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
    });
}

fn a_function_that_panics_ends_the_port_and_nobody_else(on: &Systems) {
    let (ours, mut theirs) = pair();
    let owner = builder(on).capacity(3).spawn(async |me: Process<usize>| {
        std::future::pending::<()>().await;
        drop(me);
    });
    let owner = owner.unwrap();
    let make = |event: Event<String>| match event.item() {
        Some(line) if line == "panic" => panic!("expected: the function panics"),
        line => line.map_or(0, |line| line.len()),
    };
    theirs.write_all(b"line\npanic\nline\n").unwrap();
    let port = port::lines(ours).on(on.here().backend()).into_mailbox(&owner, make).unwrap();
    assert!(matches!(port.ended().wait(), ExitReason::Panicked(_)));
    // What was there is gone, and the other side may see that as a reset.
    assert!(!matches!(theirs.read(&mut [0]), Ok(1..)));
    // What came before has been delivered, and the port has left no room taken.
    assert_eq!(owner.len(), 1);
    assert!(owner.try_send(1).is_ok() && owner.try_send(2).is_ok());
    assert!(owner.try_send(3).unwrap_err().is_full());
    owner.exit(ExitReason::Shutdown);
}

/// Counts the lines of a port that is attached to it.
struct Counter(mpsc::Sender<String>, Arc<dyn Backend>);

impl actor::Actor for Counter {
    type Message = Event<String>;
    type Error = std::convert::Infallible;

    async fn handle(
        &mut self,
        event: Event<String>,
        cx: &mut actor::Context<Counter>,
    ) -> Result<(), Self::Error> {
        match event {
            Event::Item(line) => self.0.send(line).unwrap(),
            _ => cx.stop(),
        }
        Ok(())
    }

    async fn started(&mut self, cx: &mut actor::Context<Counter>) -> Result<(), Self::Error> {
        let (ours, mut theirs) = pair();
        theirs.write_all(b"1\n2\n").unwrap();
        let port = port::lines(ours).on(&self.1).active(Active::Always).start().unwrap();
        cx.attach(port, |event| event);
        Ok(())
    }
}

fn a_port_is_a_source_of_an_actor(on: &Systems) {
    let (lines, got) = mpsc::channel();
    let counter = Counter(lines, on.there().backend().clone());
    let counter = builder(on).spawn_actor(counter).unwrap();
    assert!(counter.ended().wait().is_normal());
    assert_eq!(got.iter().collect::<Vec<_>>(), ["1", "2"]);
}
