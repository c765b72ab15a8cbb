//! Ports over what streams, children and sockets of datagrams there are: what one side writes the other has,
//! and what cannot be opened is told of.

#[path = "ports/told.rs"]
mod told;

use std::future::{pending, poll_fn};
use std::io::ErrorKind;
use std::sync::mpsc;
use std::task::Poll;

use told::{assert_closed, error, item, start};
use twoply_core::Wait;
use twoply_core::actor::ExitReason;
use twoply_core::channel::oneshot;
use twoply_core::net::{UnixAddr, UnixDatagram, UnixListener, UnixStream};
use twoply_core::port::{
    self, Active, Bytes, ChildItem, Delimited, During, Event, Frames, Halves, Lines, Port, PortError, Prefix,
    Text,
};
use twoply_core::process::{Command, Stdio};
use twoply_tests::{Dir, Systems, laws};

laws! {
    on_all {
        bytes_come_as_they_are,
        items_end_with_their_delimiter,
        items_in_shared_memory_stay_as_they_came,
        a_child_speaks_in_frames,
        halves_are_one_stream,
        a_connection_to_a_path_is_established_meanwhile,
        datagrams_of_unix_sockets_come_and_go,
    }
    and_served {
        an_opening_that_fails_is_told_of,
        an_opening_fails_whoever_finds_it_out,
        an_opening_goes_with_its_port,
        a_port_that_is_closed_does_not_open_for_nothing,
        a_receiver_without_room_is_waited_for,
        a_datagram_that_cannot_be_sent_or_received_is_told_of,
        datagrams_that_cannot_be_sent_wait_to_be_asked_for,
    }
}

/// Returns bytes of which no part is like another.
fn bytes(len: usize) -> Vec<u8> {
    (0..len as u32).flat_map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()).take(len).collect()
}

/// Receives so many bytes of a raw port.
fn receive(port: &Port<Vec<u8>, Vec<u8>>, len: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < len {
        let part = item(port);
        assert!(!part.is_empty(), "an item is what one read has brought");
        all.extend(part);
    }
    all
}

fn bytes_come_as_they_are(on: &Systems) {
    const LEN: usize = 300_000;
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (here, there) = (start(on.here(), port::raw(ours)), start(on.there(), port::raw(theirs)));
    let echo = on.there().spawn(async move {
        while let Ok(Event::Item(part)) = there.recv().await {
            there.send(part).await.unwrap();
        }
        assert!(there.recv().await.is_err());
    });
    let writer = here.port_ref().clone();
    let sender = on.here().spawn(async move {
        for part in bytes(LEN).chunks(1_234) {
            writer.send(part.to_vec()).await.unwrap();
            // Nothing is no item.
            writer.send(Vec::new()).await.unwrap();
        }
    });
    assert!(receive(&here, LEN) == bytes(LEN));
    sender.wait().unwrap();
    here.port_ref().finish();
    assert_closed(&here);
    echo.wait().unwrap();
}

fn items_end_with_their_delimiter(on: &Systems) {
    const ITEMS: usize = 2_000;
    let (ours, theirs) = UnixStream::pair().unwrap();
    let codec = Delimited::new("--\n").maximum(100);
    let here = start(on.here(), port::delimited(ours, codec));
    let writer = on.there().spawn(async move {
        let all: Vec<u8> = (0..ITEMS).flat_map(|n| format!("{n}-\n--\n").into_bytes()).collect();
        // The delimiters are cut wherever that may be.
        for part in all.chunks(7) {
            theirs.write_all(part).await.unwrap();
        }
        theirs.write_all(&[b'x'; 101]).await.unwrap();
        theirs.write_all(b"--\n--\nthe last").await.unwrap();
        let mut answer = [0; 9];
        theirs.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer--\n");
    });
    for n in 0..ITEMS {
        assert_eq!(item(&here), format!("{n}-\n").as_bytes());
    }
    let error = error(&here).to_string();
    assert!(error.contains("more than 100 bytes"), "{error}");
    assert_eq!(item(&here), b"");
    here.send(b"answer".to_vec()).wait().unwrap();
    assert_eq!(item(&here), b"the last");
    writer.wait().unwrap();
    assert_closed(&here);
}

fn items_in_shared_memory_stay_as_they_came(on: &Systems) {
    const FRAMES: usize = 400;
    // Most have others beside them, and some are larger than what is shared.
    let frame = |n: usize| bytes(n * 37 % 6_000);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let codec = Frames::new(Prefix::U16).shared();
    let port = |stream| port::custom::<_, _, _, Bytes>(stream, codec.clone(), codec.clone());
    let (here, there) = (start(on.here(), port(ours)), start(on.there(), port(theirs)));
    let echo = on.there().spawn(async move {
        while let Ok(Event::Item(frame)) = there.recv().await {
            there.send(frame).await.unwrap();
        }
    });
    let writer = here.port_ref().clone();
    let sender = on.here().spawn(async move {
        for n in 0..FRAMES {
            writer.send(frame(n).into()).await.unwrap();
        }
    });
    let came: Vec<Bytes> = (0..FRAMES).map(|_| item(&here)).collect();
    sender.wait().unwrap();
    drop(here);
    echo.wait().unwrap();
    assert!((0..FRAMES).zip(came).all(|(n, came)| came == frame(n)));
    let (ours, theirs) = UnixStream::pair().unwrap();
    let here = port::custom::<_, _, _, Text>(ours, Lines::new().shared(), Lines::new().shared());
    let here = start(on.here(), here);
    let writer = on.there().spawn(async move {
        theirs.write_all(b"one\r\n\xff\ntwo\nthe last").await.unwrap();
        let mut answer = [0; 4];
        theirs.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"one\n");
    });
    let one = item(&here);
    assert_eq!(one, "one");
    assert!(error(&here).to_string().contains("not UTF-8"));
    assert_eq!(item(&here), "two");
    here.send(one).wait().unwrap();
    assert_eq!(item(&here), "the last");
    writer.wait().unwrap();
    assert_closed(&here);
}

fn a_child_speaks_in_frames(on: &Systems) {
    const FRAMES: usize = 20;
    // More than two pipes hold, so it has to be read as it is written to.
    let frame = |n: usize| bytes(n * 1_000);
    let mut command = Command::new("tee");
    command.arg("/dev/stderr").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let codec = Frames::new(Prefix::U32);
    let port = start(on.here(), port::child_with::<_, Vec<u8>>(command.spawn().unwrap(), codec));
    let sender = port.port_ref().clone();
    let sending = on.there().spawn(async move {
        for n in 0..FRAMES {
            sender.send(frame(n)).await.unwrap();
        }
        sender.finish();
    });
    let (mut out, mut err) = (0, 0);
    let status = loop {
        match item(&port) {
            ChildItem::Stdout(got) => {
                assert!(got == frame(out));
                out += 1;
            }
            ChildItem::Stderr(got) => {
                assert!(got == frame(err));
                err += 1;
            }
            ChildItem::Exited(status) => break status,
            other => panic!("{other:?}"),
        }
    };
    sending.wait().unwrap();
    assert_eq!((out, err, status.success()), (FRAMES, FRAMES, true));
    assert_closed(&port);
}

fn halves_are_one_stream(on: &Systems) {
    let (reader, to_reader) = UnixStream::pair().unwrap();
    let (writer, from_writer) = UnixStream::pair().unwrap();
    let port = start(on.here(), port::lines(Halves { reader, writer }));
    let peer = on.there().spawn(async move {
        let mut question = [0; 9];
        from_writer.read_exact(&mut question).await.unwrap();
        assert_eq!(&question, b"question\n");
        // The one half ends, and the other goes on.
        assert_eq!(from_writer.read(&mut [0]).await.unwrap(), 0);
        to_reader.write_all(b"answer\n").await.unwrap();
    });
    port.send("question".to_owned()).wait().unwrap();
    port.port_ref().finish();
    assert_eq!(item(&port), "answer");
    assert_closed(&port);
    peer.wait().unwrap();
}

fn a_connection_to_a_path_is_established_meanwhile(on: &Systems) {
    let dir = Dir::new();
    let path = dir.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let connecting = UnixStream::connect(path);
    let client = start(on.here(), port::opening::<_, _, String>(connecting, Lines::new()));
    client.send("early".to_owned()).wait().unwrap();
    let accepted = start(on.there(), port::accept(listener));
    let (stream, from) = item(&accepted);
    assert_eq!(from, UnixAddr::Unnamed);
    let server = start(on.there(), port::lines(stream));
    assert_eq!(item(&server), "early");
    server.send("answer".to_owned()).wait().unwrap();
    assert_eq!(item(&client), "answer");
    server.port_ref().close();
    assert_closed(&client);
    assert_closed(&server);
}

fn an_opening_that_fails_is_told_of(on: &Systems) {
    let dir = Dir::new();
    let cases = [
        (dir.join("nobody"), ErrorKind::NotFound, "No such file"),
        (dir.join("a\0b"), ErrorKind::InvalidInput, "contains a NUL byte"),
        (dir.join(&"x".repeat(200)), ErrorKind::InvalidInput, "at most 107 bytes"),
    ];
    for (path, kind, says) in cases {
        let connecting = UnixStream::connect(path);
        let port = start(on.here(), port::opening::<_, _, String>(connecting, Lines::new()));
        match error(&port) {
            PortError::Io { during: During::Open, error } => {
                assert_eq!(error.kind(), kind);
                assert!(error.to_string().contains(says), "{error}");
            }
            other => panic!("{other}"),
        }
        assert_closed(&port);
    }
    let panics = async { panic!("expected: the opening panics") };
    let port = port::opening::<UnixStream, _, String>(panics, Lines::new());
    let port = start(on.here(), port);
    assert!(matches!(port.port_ref().ended().wait(), ExitReason::Panicked(_)));
    assert!(port.recv().wait().is_err());
}

fn an_opening_fails_whoever_finds_it_out(on: &Systems) {
    for (polls, half_open, sends) in
        (1..=3).flat_map(|polls| [(polls, false, true), (polls, true, true), (polls, true, false)])
    {
        let (begin, begun) = oneshot::channel::<()>();
        let refused = async move {
            let _ = begun.await;
            // From here on, it is polled in turns: by what is written, and by what is read.
            let mut left = polls;
            poll_fn(|cx| {
                left -= 1;
                if left > 0 {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
            Err(ErrorKind::ConnectionRefused.into())
        };
        let port = port::opening::<UnixStream, _, String>(refused, Lines::new()).half_open(half_open);
        let port = start(on.here(), port);
        if sends {
            port.send("never written".to_owned()).wait().unwrap();
        }
        drop(begin);
        match error(&port) {
            PortError::Io { during: During::Open, error } => {
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            }
            other => panic!("{other}"),
        }
        // An item that comes late finds a port that is over, and not one that is half open.
        let _ = port.try_send("too late".to_owned());
        assert_closed(&port);
    }
}

/// An opening without end, which tells of its begin by the channel, and of its drop by the end of that.
async fn never(begun: mpsc::Sender<()>) -> std::io::Result<UnixStream> {
    begun.send(()).unwrap();
    pending().await
}

fn an_opening_goes_with_its_port(on: &Systems) {
    let begin = || {
        let (begun, opening) = mpsc::channel();
        let port = start(on.here(), port::opening::<_, _, String>(never(begun), Lines::new()));
        port.send("never written".to_owned()).wait().unwrap();
        opening.recv().unwrap();
        (port, opening)
    };
    let (dropped, opening) = begin();
    drop(dropped);
    assert!(opening.recv().is_err(), "it has been dropped");
    let (killed, opening) = begin();
    killed.port_ref().pid().exit(ExitReason::Kill);
    assert!(opening.recv().is_err(), "it has been dropped");
}

fn a_port_that_is_closed_does_not_open_for_nothing(on: &Systems) {
    let opening = |stream: oneshot::Receiver<UnixStream>| async move {
        stream.await.map_err(|_| std::io::Error::other("nothing came"))
    };
    // Nothing has been sent: the opening is given up, whether it has begun or not.
    for waits in [true, false] {
        let (begun, given_up) = mpsc::channel();
        let port = start(on.here(), port::opening::<_, _, String>(never(begun), Lines::new()));
        if waits {
            given_up.recv().unwrap();
        }
        port.port_ref().close();
        assert_closed(&port);
        while given_up.recv().is_ok() {}
    }
    // Something has been sent: it is written when the opening is over. One that has only finished reads, too.
    for (closes, sends) in [(true, true), (false, true), (false, false)] {
        let (opened, stream) = oneshot::channel();
        let port = start(on.here(), port::opening::<_, _, String>(opening(stream), Lines::new()));
        if sends {
            port.send("hello".to_owned()).wait().unwrap();
        }
        if closes {
            port.port_ref().close()
        } else {
            port.port_ref().finish()
        }
        let (ours, theirs) = UnixStream::pair().unwrap();
        assert!(opened.send(ours).is_ok());
        assert_eq!(std::io::read_to_string(&theirs).unwrap(), if sends { "hello\n" } else { "" });
        if !closes {
            theirs.write_all(b"goodbye\n").wait().unwrap();
            assert_eq!(item(&port), "goodbye");
        }
        drop(theirs);
        assert_closed(&port);
    }
}

fn datagrams_of_unix_sockets_come_and_go(on: &Systems) {
    let dir = Dir::new();
    let (name_a, name_b) = (UnixAddr::from(dir.join("a")), UnixAddr::from(dir.join("b")));
    let a = start(on.here(), port::datagrams(UnixDatagram::bind(&name_a).unwrap()));
    let b = start(on.there(), port::datagrams(UnixDatagram::bind(&name_b).unwrap()));
    for size in [0, 1, 60_000] {
        a.send((name_b.clone(), bytes(size))).wait().unwrap();
        assert_eq!(item(&b), (name_a.clone(), bytes(size)));
        b.send((name_a.clone(), vec![1])).wait().unwrap();
        assert_eq!(item(&a), (name_b.clone(), vec![1]));
    }
    // Those of a pair have no name, and reach each other.
    let (one, other) = UnixDatagram::pair().unwrap();
    let (one, other) = (start(on.here(), port::datagrams(one)), start(on.there(), port::datagrams(other)));
    one.send((UnixAddr::Unnamed, bytes(10))).wait().unwrap();
    let (from, got) = item(&other);
    assert_eq!((&from, got), (&UnixAddr::Unnamed, bytes(10)));
    other.send((from, vec![2])).wait().unwrap();
    assert_eq!(item(&one), (UnixAddr::Unnamed, vec![2]));
}

fn a_receiver_without_room_is_waited_for(on: &Systems) {
    const DATAGRAMS: u32 = 2_000;
    let dir = Dir::new();
    let receiver = UnixDatagram::bind(dir.join("receiver")).unwrap();
    let name = receiver.local_addr().unwrap();
    // Both ways of sending: to a name, and where it is connected to.
    let connected = UnixDatagram::unbound().unwrap();
    connected.connect(&name).unwrap();
    for (socket, to) in [(UnixDatagram::unbound().unwrap(), name), (connected, UnixAddr::Unnamed)] {
        let port = start(on.here(), port::datagrams(socket));
        let sender = port.port_ref().clone();
        let sending = on.here().spawn(async move {
            for n in 0..DATAGRAMS {
                sender.send((to.clone(), n.to_be_bytes().to_vec())).await.unwrap();
            }
            sender.close();
        });
        for n in 0..DATAGRAMS {
            let mut buf = [0; 8];
            assert_eq!(receiver.recv(&mut buf).wait().unwrap().len, 4);
            assert_eq!(buf[..4], n.to_be_bytes());
        }
        sending.wait().unwrap();
        assert_closed(&port);
    }
}

fn a_datagram_that_cannot_be_sent_or_received_is_told_of(on: &Systems) {
    let dir = Dir::new();
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let port = start(on.here(), port::datagrams(ours));
    let refusal = |error: PortError| match error {
        PortError::Io { during: During::Write, error } => error,
        other => panic!("{other}"),
    };
    // Nobody is there; no system takes the path; it is longer than the buffer of the socket.
    for (path, bytes, says) in [
        ("nobody", vec![1], "No such file"),
        ("a\0b", vec![1], "NUL"),
        ("", vec![0; 64 << 20], "Message too long"),
    ] {
        let to = if path.is_empty() { UnixAddr::Unnamed } else { dir.join(path).into() };
        port.send((to, bytes)).wait().unwrap();
        let error = refusal(error(&port));
        assert!(error.to_string().contains(says), "{error}");
    }
    // The next ones go out and come in.
    port.send((UnixAddr::Unnamed, vec![2])).wait().unwrap();
    assert_eq!(theirs.recv(&mut [0; 8]).wait().unwrap().len, 1);
    theirs.send(&vec![0; 100_000]).wait().unwrap();
    match error(&port) {
        PortError::Io { during: During::Read, error } => {
            assert_eq!(error.to_string(), "a datagram of 100000 bytes, where 65536 is the most");
        }
        other => panic!("{other}"),
    }
    theirs.send(b"fine").wait().unwrap();
    assert_eq!(item(&port), (UnixAddr::Unnamed, b"fine".to_vec()));
    // What fails as the port closes is told of before that, all of it.
    for path in ["nobody", "a\0b", "nobody"] {
        port.send((dir.join(path).into(), vec![1])).wait().unwrap();
    }
    port.port_ref().close();
    for kind in [ErrorKind::NotFound, ErrorKind::InvalidInput, ErrorKind::NotFound] {
        assert_eq!(refusal(error(&port)).kind(), kind);
    }
    assert_closed(&port);
}

fn datagrams_that_cannot_be_sent_wait_to_be_asked_for(on: &Systems) {
    let dir = Dir::new();
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let port = start(on.here(), port::datagrams(ours).active(Active::Passive));
    let fail = |times: usize| {
        for _ in 0..times {
            port.send((dir.join("nobody").into(), vec![1])).wait().unwrap();
        }
    };
    let tells_passive = || {
        let event = port.recv().wait().unwrap();
        assert!(matches!(event, Event::Passive), "{event:?}");
    };
    fail(4);
    // They are sent in order, so those before this one have failed.
    port.send((UnixAddr::Unnamed, vec![2])).wait().unwrap();
    assert_eq!(theirs.recv(&mut [0; 8]).wait().unwrap().len, 1);
    theirs.send(b"fine").wait().unwrap();
    port.port_ref().active(Active::Once);
    error(&port);
    port.port_ref().active(Active::N(2));
    error(&port);
    error(&port);
    tells_passive();
    port.port_ref().active(Active::N(2));
    error(&port);
    assert_eq!(item(&port), (UnixAddr::Unnamed, b"fine".to_vec()));
    tells_passive();
    // It is the same when no more is sent; what is left is told of as the port closes.
    fail(3);
    port.port_ref().finish();
    port.port_ref().active(Active::N(1));
    error(&port);
    tells_passive();
    port.port_ref().close();
    error(&port);
    error(&port);
    assert_closed(&port);
}
