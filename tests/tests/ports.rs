//! Ports: what comes and what is written, in order and at the pace of the slower side, and what the owner is
//! told of what goes wrong.

#[path = "ports/told.rs"]
mod told;

use std::convert::Infallible;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use told::{assert_closed, error, item, start};
use twoply_core::Wait;
use twoply_core::actor::{Builder, Process};
use twoply_core::channel::TrySendError;
use twoply_core::fs;
use twoply_core::net::{Shutdown, TcpListener, TcpStream, UdpSocket, UnixStream};
use twoply_core::port::{
    self, Active, Buffer, ChildItem, Decoder, During, Encoder, Event, Frames, Lines, Port, PortError, Prefix,
};
use twoply_core::process::{Command, Stdio};
use twoply_tests::{Systems, eventually, laws, run_process};

laws! {
    on_all {
        lines_come_and_go_in_order,
        frames_of_all_sizes_come_and_go_in_order,
    }
    and_served {
        a_peer_that_reads_nothing_stops_the_sender,
        a_full_mailbox_stops_the_reading,
        a_port_gives_as_many_items_as_it_was_asked_for,
        a_passive_port_still_writes,
        the_end_of_the_input_closes_a_port_that_has_written_all,
        a_half_open_port_writes_on,
        an_output_that_ends_leaves_the_input,
        closing_writes_what_was_sent,
        a_frame_above_the_maximum_is_told_and_passed_over,
        a_decoder_that_panics_is_told_of,
        a_decoder_that_makes_something_out_of_nothing_is_told_of,
        a_decoder_that_never_has_enough_is_told_of,
        an_item_that_cannot_be_encoded_is_told_of,
        whoever_sends_what_cannot_be_encoded_need_not_receive_first,
        an_input_that_ends_in_the_middle_is_told_of,
        a_write_that_fails_leaves_the_input,
        a_child_that_never_reads_holds_nobody_up,
        a_child_is_read_to_its_end,
        what_is_written_for_a_child_that_is_over_comes_before_its_status,
        a_connection_is_established_meanwhile,
        connections_and_datagrams_are_items,
        a_file_is_read_as_lines_and_written_to,
        a_signal_and_a_tick_are_items,
    }
}

fn lines_come_and_go_in_order(on: &Systems) {
    const LINES: usize = 2_000;
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (here, there) = (start(on.here(), port::lines(ours)), start(on.there(), port::lines(theirs)));
    let echo = on.there().spawn(async move {
        while let Ok(Event::Item(line)) = there.recv().await {
            there.send(line).await.unwrap();
        }
    });
    let writer = here.port_ref().clone();
    let sender = on.here().spawn(async move {
        for line in 0..LINES {
            writer.send(line.to_string()).await.unwrap();
        }
    });
    for line in 0..LINES {
        assert_eq!(item(&here), line.to_string());
    }
    sender.wait().unwrap();
    drop(here);
    echo.wait().unwrap();
}

fn frames_of_all_sizes_come_and_go_in_order(on: &Systems) {
    let sizes = [0, 1, 4_000, 70_000, 3, 300_000, 0, 17];
    let (ours, theirs) = UnixStream::pair().unwrap();
    let codec = || Frames::new(Prefix::Varint);
    let here = start(on.here(), port::frames(ours, codec()));
    let there = start(on.there(), port::frames(theirs, codec()));
    let sender = on.there().spawn(async move {
        for round in 0..5_u8 {
            for size in sizes {
                there.send(vec![round; size]).await.unwrap();
            }
        }
        there
    });
    for round in 0..5 {
        for size in sizes {
            let frame = item(&here);
            assert!(frame.len() == size && frame.iter().all(|byte| *byte == round));
        }
    }
    drop(sender.wait().unwrap());
    assert_closed(&here);
}

fn a_peer_that_reads_nothing_stops_the_sender(on: &Systems) {
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let stream = UnixStream::from(ours);
    let port = start(on.here(), port::lines(stream).high_water(1_000).write_queue(4));
    let line = "x".repeat(999);
    let mut sent = 0;
    // It is full when it is full for a while: until then the port may still be taking something out.
    let mut full = 0;
    while full < 50 {
        match port.try_send(line.clone()) {
            Ok(()) => (sent, full) = (sent + 1, 0),
            Err(TrySendError::Full(back)) => {
                assert_eq!(back, line);
                full += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    // What is in the kernel, what is below the mark, and what is in the queue.
    assert!(sent < 2_000, "{sent} lines of 1,000 bytes");
    let late = on.here().spawn({
        let port = port.port_ref().clone();
        async move { port.send("the last".to_owned()).await }
    });
    let mut all = vec![0; sent * 1_000];
    theirs.read_exact(&mut all).unwrap();
    assert!(all.chunks(1_000).all(|chunk| chunk[999] == b'\n'));
    late.wait().unwrap().unwrap();
    let mut last = [0; 9];
    theirs.read_exact(&mut last).unwrap();
    assert_eq!(&last, b"the last\n");
}

fn a_full_mailbox_stops_the_reading(on: &Systems) {
    const LIMIT: usize = 64 << 20;
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let stream = UnixStream::from(ours);
    let backend = on.here().backend().clone();
    let written =
        run_process(on.here(), Builder::new().capacity(4), move |mut me: Process<Event<Vec<u8>>>| {
            let codec = Frames::new(Prefix::U8);
            port::frames(stream, codec).on(&backend).into_mailbox(&me.me(), |event| event).unwrap();
            // As much as nobody wants.
            let (mut written, mut refused) = (0, 0);
            while refused < 20 {
                match theirs.write(&[1, written as u8]) {
                    Ok(2) => (written, refused) = (written + 1, 0),
                    Ok(n) => panic!("{n} bytes"),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        refused += 1;
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Err(error) => panic!("{error}"),
                }
                assert!(2 * written < LIMIT, "it is read without end");
            }
            assert!(me.me().len() <= 4);
            drop(theirs);
            for number in 0..written {
                let frame = me.receive().wait().message().unwrap().item().unwrap();
                assert_eq!(frame, [number as u8]);
            }
            assert!(matches!(me.receive().wait().message(), Some(Event::Closed)));
            written
        });
    assert!(written > 4);
}

fn a_port_gives_as_many_items_as_it_was_asked_for(on: &Systems) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"1\n2\n3\n4\n5\n6\n7\n").wait().unwrap();
    let port = start(on.here(), port::lines(ours).active(Active::N(2)));
    assert_eq!([item(&port), item(&port)], ["1", "2"]);
    assert!(matches!(port.recv().wait(), Ok(Event::Passive)));
    port.active(Active::N(2));
    assert_eq!([item(&port), item(&port)], ["3", "4"]);
    assert!(matches!(port.recv().wait(), Ok(Event::Passive)));
    // Once says nothing.
    port.active(Active::Once);
    assert_eq!(item(&port), "5");
    std::thread::sleep(Duration::from_millis(5));
    assert!(port.try_recv().is_err());
    port.active(Active::Always);
    assert_eq!([item(&port), item(&port)], ["6", "7"]);
    drop(theirs);
    assert_closed(&port);
}

fn a_passive_port_still_writes(on: &Systems) {
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let stream = UnixStream::from(ours);
    let port = start(on.here(), port::lines(stream).active(Active::Passive));
    theirs.write_all(b"unread\n").unwrap();
    port.send("written".to_owned()).wait().unwrap();
    let mut line = [0; 8];
    theirs.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"written\n");
    assert!(port.try_recv().is_err());
}

fn the_end_of_the_input_closes_a_port_that_has_written_all(on: &Systems) {
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let stream = UnixStream::from(ours);
    let port = start(on.here(), port::lines(stream).write_queue(1_000));
    // More than the kernel takes, so most of it is unwritten when the input ends.
    let line = "y".repeat(9_999);
    for _ in 0..100 {
        port.send(line.clone()).wait().unwrap();
    }
    theirs.shutdown(Shutdown::Write).unwrap();
    eventually("it notices", || port.port_ref().is_closed());
    let TrySendError::Closed(back) = port.try_send("late".to_owned()).unwrap_err() else { panic!() };
    assert_eq!(back, "late");
    let mut all = Vec::new();
    theirs.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 100 * 10_000);
    assert_closed(&port);
}

fn a_half_open_port_writes_on(on: &Systems) {
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let stream = UnixStream::from(ours);
    let port = start(on.here(), port::lines(stream).half_open(true));
    theirs.write_all(b"a question").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    assert_eq!(item(&port), "a question");
    assert!(matches!(port.recv().wait(), Ok(Event::HalfClosed)));
    port.send("the answer".to_owned()).wait().unwrap();
    port.port_ref().close();
    let mut answer = String::new();
    theirs.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "the answer\n");
    assert_closed(&port);
}

fn an_output_that_ends_leaves_the_input(on: &Systems) {
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let port = start(on.here(), port::lines(UnixStream::from(ours)));
    port.send("all of it".to_owned()).wait().unwrap();
    port.port_ref().finish();
    let mut all = String::new();
    theirs.read_to_string(&mut all).unwrap();
    assert_eq!(all, "all of it\n");
    assert!(port.send("more".to_owned()).wait().is_err());
    theirs.write_all(b"an answer\n").unwrap();
    assert_eq!(item(&port), "an answer");
    drop(theirs);
    assert_closed(&port);
}

fn closing_writes_what_was_sent(on: &Systems) {
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let port = start(on.here(), port::lines(UnixStream::from(ours)).write_queue(1_000));
    let line = "z".repeat(9_999);
    for _ in 0..100 {
        port.send(line.clone()).wait().unwrap();
    }
    port.port_ref().close();
    let mut all = Vec::new();
    theirs.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 100 * 10_000);
    assert_closed(&port);
}

fn a_frame_above_the_maximum_is_told_and_passed_over(on: &Systems) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let frames = Frames::new(Prefix::U16).maximum(1_000);
    let port = start(on.here(), port::frames(ours, frames.clone()));
    let mut bytes = Buffer::new();
    let mut any = Frames::new(Prefix::U16);
    for frame in [vec![1; 10], vec![2; 60_000], vec![3; 1_000]] {
        any.encode(frame, &mut bytes).unwrap();
    }
    let writer = on.here().spawn(async move { theirs.write_all(&bytes).await.map(|()| theirs) });
    assert_eq!(item(&port), [1; 10]);
    let error = error(&port);
    assert_eq!(error.to_string(), "at byte 12 of the input: a frame of 60000 bytes, where 1000 is the most");
    assert_eq!(item(&port), [3; 1_000]);
    // One that is to be written is no better.
    port.send(vec![4; 1_001]).wait().unwrap();
    assert!(matches!(self::error(&port), PortError::Encode { .. }));
    drop(writer.wait().unwrap().unwrap());
    assert_closed(&port);
}

/// Decodes single bytes, in its own way for some.
#[derive(Clone)]
struct Odd;

impl Decoder for Odd {
    type Item = char;
    type Error = Infallible;

    fn decode(&mut self, buf: &mut Buffer) -> Result<Option<char>, Infallible> {
        match buf.first() {
            Some(b'!') => panic!("expected: the decoder panics"),
            // Something out of nothing.
            Some(b'8') => return Ok(Some('8')),
            // Never enough.
            Some(b'_') | None => return Ok(None),
            Some(_) => {}
        }
        Ok(buf.take(1).first().map(|byte| char::from(*byte)))
    }

    fn most_buffered(&self) -> usize {
        1_000
    }
}

impl Encoder<char> for Odd {
    type Error = String;

    fn encode(&mut self, item: char, buf: &mut Buffer) -> Result<(), String> {
        buf.put_u8(b'[');
        match item {
            '!' => panic!("expected: the encoder panics"),
            '?' => return Err("no question marks".to_owned()),
            _ => buf.put_u8(item as u8),
        }
        Ok(())
    }
}

/// Starts an odd port, and returns it with the other side.
fn odd(on: &Systems) -> (Port<char, char>, std::os::unix::net::UnixStream) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let stream = UnixStream::from(ours);
    (start(on.here(), port::custom(stream, Odd, Odd).half_open(true)), theirs)
}

/// Checks that the input of an odd port is over, and its output is not.
fn assert_writes_on(port: &Port<char, char>, theirs: &mut std::os::unix::net::UnixStream) {
    assert!(matches!(port.recv().wait(), Ok(Event::HalfClosed)));
    port.send('x').wait().unwrap();
    port.port_ref().close();
    let mut all = Vec::new();
    theirs.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"[x");
    assert_closed(port);
}

fn a_decoder_that_panics_is_told_of(on: &Systems) {
    let (port, mut theirs) = odd(on);
    theirs.write_all(b"ab!c").unwrap();
    assert_eq!([item(&port), item(&port)], ['a', 'b']);
    match error(&port) {
        PortError::DecoderPanicked { at: 2, message } => assert!(message.contains("the decoder panics")),
        other => panic!("{other}"),
    }
    assert_writes_on(&port, &mut theirs);
}

fn a_decoder_that_makes_something_out_of_nothing_is_told_of(on: &Systems) {
    let (port, mut theirs) = odd(on);
    theirs.write_all(b"a8").unwrap();
    assert_eq!(item(&port), 'a');
    let error = loop {
        match port.recv().wait().unwrap() {
            Event::Item(item) => assert_eq!(item, '8'),
            Event::Error(error) => break error,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(error, PortError::DecoderStuck { at: 1, .. }), "{error}");
    assert_writes_on(&port, &mut theirs);
}

fn a_decoder_that_never_has_enough_is_told_of(on: &Systems) {
    let (port, mut theirs) = odd(on);
    theirs.write_all(b"a_").unwrap();
    theirs.write_all(&[b'x'; 1_000]).unwrap();
    assert_eq!(item(&port), 'a');
    let error = error(&port);
    assert!(matches!(error, PortError::BufferFull { at: 1, limit: 1_000 }), "{error}");
    assert_writes_on(&port, &mut theirs);
}

fn an_item_that_cannot_be_encoded_is_told_of(on: &Systems) {
    let (port, mut theirs) = odd(on);
    for item in ['a', '?', 'b', '!'] {
        port.send(item).wait().unwrap();
    }
    match error(&port) {
        PortError::Encode { error } => assert_eq!(error.to_string(), "no question marks"),
        other => panic!("{other}"),
    }
    assert!(matches!(error(&port), PortError::EncoderPanicked { .. }));
    assert!(port.send('c').wait().is_err());
    let mut written = [0; 4];
    theirs.read_exact(&mut written).unwrap();
    assert_eq!(&written, b"[a[b", "what was encoded before is written");
    // The input goes on.
    theirs.write_all(b"z").unwrap();
    assert_eq!(item(&port), 'z');
    drop(theirs);
    assert_closed(&port);
}

fn whoever_sends_what_cannot_be_encoded_need_not_receive_first(on: &Systems) {
    const ITEMS: usize = 500;
    let (port, _theirs) = odd(on);
    // More than wait on both sides of the port.
    for _ in 0..ITEMS {
        port.send('?').wait().unwrap();
    }
    for _ in 0..ITEMS {
        assert!(matches!(error(&port), PortError::Encode { .. }));
    }
}

fn an_input_that_ends_in_the_middle_is_told_of(on: &Systems) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.write_all(&[1, 7, 5, 1, 2]).wait().unwrap();
    drop(theirs);
    let port = start(on.here(), port::frames(ours, Frames::new(Prefix::U8)));
    assert_eq!(item(&port), [7]);
    match error(&port) {
        PortError::Unfinished { at: 2, rest } => assert_eq!(rest, [5, 1, 2]),
        other => panic!("{other}"),
    }
    assert_closed(&port);
}

fn a_write_that_fails_leaves_the_input(on: &Systems) {
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let port = start(on.here(), port::lines(UnixStream::from(ours)));
    theirs.shutdown(Shutdown::Read).unwrap();
    port.send("nobody reads it".to_owned()).wait().unwrap();
    match error(&port) {
        PortError::Io { during: During::Write, error } => assert_eq!(error.kind(), ErrorKind::BrokenPipe),
        other => panic!("{other}"),
    }
    assert!(port.send("closed".to_owned()).wait().is_err());
    theirs.write_all(b"still read\n").unwrap();
    assert_eq!(item(&port), "still read");
    drop(theirs);
    assert_closed(&port);
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn a_child_that_never_reads_holds_nobody_up(on: &Systems) {
    let child = shell("echo out; echo err >&2; exec sleep 1000").kill_on_drop(true).spawn().unwrap();
    let id = child.id();
    let port = start(on.here(), port::child(child).high_water(1_000).write_queue(4));
    let (mut full, mut taken) = (0, 0);
    // A pipe has room for 65 of these lines, so some are left to be written.
    while full < 20 || taken < 66 {
        match port.try_send("x".repeat(1_000)) {
            Ok(()) => (full, taken) = (0, taken + 1),
            Err(error) => {
                assert!(error.is_full());
                full += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    let mut said = [item(&port), item(&port)];
    said.sort_by_key(|item| matches!(item, ChildItem::Stderr(_)));
    assert_eq!(said, [ChildItem::Stdout("out".to_owned()), ChildItem::Stderr("err".to_owned())]);
    let id = rustix::process::Pid::from_raw(id as i32).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
    // What was to be written is lost, and the status is not.
    let mut events = Vec::new();
    while let Ok(event) = port.recv().wait() {
        events.push(event);
    }
    let status = events.iter().find_map(|event| match event {
        Event::Item(ChildItem::Exited(status)) => Some(*status),
        _ => None,
    });
    assert_eq!(status.unwrap().signal(), Some(9));
    assert!(events.iter().any(|event| matches!(event, Event::Error(PortError::Io { .. }))), "{events:?}");
    assert!(matches!(events.last(), Some(Event::Closed)));
}

fn a_child_is_read_to_its_end(on: &Systems) {
    let child = shell("cat; echo done >&2; exit 3").spawn().unwrap();
    let port = start(on.here(), port::child(child));
    for number in 0..100 {
        port.send(number.to_string()).wait().unwrap();
    }
    port.port_ref().finish();
    // The two pipes have no order between them.
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = loop {
        match item(&port) {
            ChildItem::Stdout(line) => out.push(line),
            ChildItem::Stderr(line) => err.push(line),
            ChildItem::Exited(status) => break status,
            other => panic!("{other:?}"),
        }
    };
    assert!(out.into_iter().eq((0..100).map(|number| number.to_string())));
    assert_eq!((err, status.code()), (vec!["done".to_owned()], Some(3)));
    assert_closed(&port);
}

fn what_is_written_for_a_child_that_is_over_comes_before_its_status(on: &Systems) {
    let child = shell("exec 3<&0; (read go <&3; echo late) & echo $$").spawn().unwrap();
    let port = start(on.here(), port::child(child));
    let ChildItem::Stdout(id) = item(&port) else { panic!("it tells its number") };
    let state = || std::fs::read_to_string(format!("/proc/{id}/stat"));
    eventually("the child is over", || state().map_or(true, |state| state.contains(") Z ")));
    port.send("go".to_owned()).wait().unwrap();
    assert_eq!(item(&port), ChildItem::Stdout("late".to_owned()));
    assert!(matches!(item(&port), ChildItem::Exited(status) if status.success()));
    assert_closed(&port);
}

fn a_connection_is_established_meanwhile(on: &Systems) {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let address = listener.local_addr().unwrap();
    let client = start(on.here(), port::connect::<_, String>(address, Lines::new()));
    client.send("early".to_owned()).wait().unwrap();
    let (stream, _) = listener.accept().wait().unwrap();
    let server = start(on.here(), port::lines(stream));
    assert_eq!(item(&server), "early");
    server.send("answer".to_owned()).wait().unwrap();
    assert_eq!(item(&client), "answer");
    drop((server, listener));
    assert_closed(&client);
    // And where nobody listens.
    let refused = start(on.here(), port::connect::<_, String>(address, Lines::new()));
    match error(&refused) {
        PortError::Io { during: During::Open, error } => {
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
        other => panic!("{other}"),
    }
    assert_closed(&refused);
}

fn connections_and_datagrams_are_items(on: &Systems) {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = start(on.here(), port::accept(listener));
    for _ in 0..3 {
        let client = TcpStream::connect(address).wait().unwrap();
        let (stream, peer) = item(&accepted);
        assert_eq!(peer, client.local_addr().unwrap());
        drop(stream);
    }
    let socket = || UdpSocket::bind("127.0.0.1:0").wait().unwrap();
    let (a, b) = (socket(), socket());
    let (from, to) = (a.local_addr().unwrap(), b.local_addr().unwrap());
    let (a, b) = (start(on.here(), port::udp(a)), start(on.here(), port::udp(b)));
    for size in [0, 1, 60_000] {
        a.send((to, vec![7; size])).wait().unwrap();
        assert_eq!(item(&b), (from, vec![7; size]));
    }
    // One that is too long is told of, and no other is lost.
    a.send((to, vec![0; 70_000])).wait().unwrap();
    a.send((to, vec![1])).wait().unwrap();
    assert!(matches!(error(&a), PortError::Io { during: During::Write, .. }));
    assert_eq!(item(&b), (from, vec![1]));
}

fn a_file_is_read_as_lines_and_written_to(on: &Systems) {
    const LINES: usize = 5_000;
    let path = std::env::temp_dir().join(format!("twoply-port-{}-{}", std::process::id(), on.name()));
    let written = start(on.here(), port::lines(fs::File::create(&path).wait().unwrap()));
    // It is open for writing only.
    assert!(matches!(error(&written), PortError::Io { during: During::Read, .. }));
    assert_closed(&written);
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).wait().unwrap();
    let written = start(on.here(), port::lines(file).active(Active::Passive));
    for line in 0..LINES {
        written.send(line.to_string()).wait().unwrap();
    }
    written.port_ref().close();
    assert_closed(&written);
    let read = start(on.here(), port::lines(fs::File::open(&path).wait().unwrap()));
    for line in 0..LINES {
        assert_eq!(item(&read), line.to_string());
    }
    assert_closed(&read);
    fs::remove_file(&path).wait().unwrap();
}

fn a_signal_and_a_tick_are_items(on: &Systems) {
    let own = twoply_tests::OwnSignal::new();
    let kind = twoply_core::signal::SignalKind::from_raw(own.number());
    let signals = start(on.here(), port::signals([kind]).unwrap());
    let ticks = start(on.here(), port::timer(Duration::from_millis(1)).active(Active::N(2)));
    let (first, second) = (item(&ticks), item(&ticks));
    assert!(first < second);
    assert!(matches!(ticks.recv().wait(), Ok(Event::Passive)));
    twoply_tests::send_signal(own.number());
    assert_eq!(item(&signals).kind, kind);
}
