//! What a program may get wrong: a descriptor that is closed is told of as what it is, wherever it is used,
//! and a buffer without room moves nothing and waits for nothing.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};
use rustix::io::Errno;
use twoply_core::Wait;
use twoply_core::actor::{Builder, Process};
use twoply_core::fs::{File, OpenOptions};
use twoply_core::io::{BufReader, BufWriter, Pollable, stderr, stdin, stdout};
use twoply_core::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use twoply_core::port::{self, ChildItem, During, Event, FileAnswer, FileRequest, Halves, Port, PortError};
use twoply_core::process::{Child, Command, Stdio};
use twoply_tests::{Dir, Systems, laws, make_none, none, run_process};

laws! {
    everywhere {
        a_closed_stream_is_told_of_as_that,
        a_closed_socket_of_datagrams_is_told_of_as_that,
        a_closed_listener_is_told_of_as_that,
        a_closed_file_is_told_of_as_that,
        a_closed_pipe_of_a_child_is_told_of_as_that,
        an_empty_buffer_of_a_pipe_moves_nothing,
        an_empty_buffer_of_a_file_moves_nothing,
        an_empty_buffer_of_a_standard_stream_moves_nothing,
    }
    and_served {
        the_owner_of_a_port_is_told_of_a_closed_descriptor,
        the_owner_of_a_port_is_told_of_an_output_that_is_closed,
    }
}

/// Checks that the system has said that there is no such descriptor.
#[track_caller]
fn assert_bad(error: &io::Error) {
    // A file's error has that of the system inside.
    let text = error.to_string();
    assert!(
        Errno::from_io_error(error) == Some(Errno::BADF) || text.contains("Bad file descriptor"),
        "{text}"
    );
}

#[track_caller]
fn assert_closed<T: std::fmt::Debug>(result: io::Result<T>) {
    assert_bad(&result.unwrap_err());
}

/// Runs `code` as a future and as straight-line code.
fn both<F, T>(on: &Systems, code: impl Fn() -> F + Send + Sync + 'static, check: impl Fn(T))
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    check(on.here().spawn(code()).wait().unwrap());
    check(on.here().spawn_fn(move || code().wait()).wait().unwrap());
}

fn a_closed_stream_is_told_of_as_that(on: &Systems) {
    assert_closed(Pollable::new(none()));
    let stream = || UnixStream::from(StdStream::from(none()));
    both(on, move || async move { stream().read(&mut [0]).await }, assert_closed);
    both(on, move || async move { stream().write(b"x").await }, assert_closed);
    both(on, move || async move { stream().peek(&mut [0]).await }, assert_closed);
    let tcp = || TcpStream::from(std::net::TcpStream::from(none()));
    both(on, move || async move { tcp().read(&mut [0]).await }, assert_closed);
    both(on, move || async move { tcp().write_all(b"x").await }, assert_closed);
    let by_std = on
        .here()
        .spawn_fn(move || (Read::read(&mut tcp(), &mut [0]), Write::write(&mut tcp(), b"x")))
        .wait()
        .unwrap();
    assert_closed(by_std.0);
    assert_closed(by_std.1);
}

/// Polls an operation of `socket` until it is ready.
async fn udp_polled(
    socket: UdpSocket,
    mut poll: impl FnMut(&UdpSocket, &mut Context<'_>) -> Poll<io::Result<()>>,
) -> io::Result<()> {
    poll_fn(|cx| poll(&socket, cx)).await
}

fn a_closed_socket_of_datagrams_is_told_of_as_that(on: &Systems) {
    let udp = || UdpSocket::from(std::net::UdpSocket::from(none()));
    both(on, move || async move { udp().recv_from(&mut [0]).await }, assert_closed);
    both(on, move || async move { udp().recv(&mut [0]).await }, assert_closed);
    both(on, move || async move { udp().send(b"x").await }, assert_closed);
    both(on, move || async move { udp().send_to(b"x", ([127, 0, 0, 1], 9)).await }, assert_closed);
    both(on, move || async move { udp().try_send(b"x") }, assert_closed);
    both(on, move || async move { udp().try_send_to(b"x", ([127, 0, 0, 1], 9)) }, assert_closed);
    both(on, move || async move { udp().try_recv(&mut [0]) }, assert_closed);
    both(on, move || async move { udp().try_recv_from(&mut [0]) }, assert_closed);
    both(on, move || udp_polled(udp(), |udp, cx| udp.poll_send(cx, b"x").map_ok(drop)), assert_closed);
    both(on, move || udp_polled(udp(), |udp, cx| udp.poll_recv(cx, &mut [0]).map_ok(drop)), assert_closed);
    both(
        on,
        move || udp_polled(udp(), |udp, cx| udp.poll_recv_from(cx, &mut [0]).map_ok(drop)),
        assert_closed,
    );
    let unix = || UnixDatagram::from(std::os::unix::net::UnixDatagram::from(none()));
    both(on, move || async move { unix().try_send(b"x") }, assert_closed);
    both(on, move || async move { unix().try_recv_from(&mut [0]) }, assert_closed);
    both(on, move || async move { unix().recv(&mut [0]).await }, assert_closed);
    both(on, move || async move { unix().send_to(b"x", "/nowhere").await }, assert_closed);
}

fn a_closed_listener_is_told_of_as_that(on: &Systems) {
    both(on, || async { tcp_listener().accept().await.map(drop) }, assert_closed);
    both(on, || async { tcp_listener().incoming().accept().await.map(drop) }, assert_closed);
    both(on, || async { unix_listener().accept().await.map(drop) }, assert_closed);
}

fn tcp_listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    make_none(&listener);
    listener
}

fn unix_listener() -> UnixListener {
    let dir = Dir::new();
    let listener = UnixListener::bind(dir.join("socket")).unwrap();
    make_none(&listener);
    listener
}

/// Returns a file whose descriptor has been closed.
fn file() -> File {
    File::from_std(std::fs::File::from(none()))
}

fn a_closed_file_is_told_of_as_that(on: &Systems) {
    both(on, || async { file().read(&mut [0]).await }, assert_closed);
    both(on, || async { file().write(b"x").await }, assert_closed);
    both(on, || async { file().read_at(&mut [0], 0).await }, assert_closed);
    both(on, || async { file().write_at(b"x", 0).await }, assert_closed);
    both(on, || async { file().sync_all().await }, assert_closed);
    both(on, || async { file().set_len(1).await }, assert_closed);
}

/// Starts a child that has all three pipes, reads nothing and writes nothing.
fn idle_child() -> Child {
    let mut command = Command::new("sleep");
    command.arg("1000").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true).spawn().unwrap()
}

fn a_closed_pipe_of_a_child_is_told_of_as_that(on: &Systems) {
    let read = || async {
        let mut child = idle_child();
        let mut stdout = child.stdout.take().unwrap();
        make_none(&stdout);
        stdout.read(&mut [0]).await
    };
    both(on, read, assert_closed);
    let output = || async {
        let child = idle_child();
        make_none(child.stderr.as_ref().unwrap());
        child.wait_with_output().await.map_err(io::Error::from)
    };
    both(on, output, assert_closed);
}

/// Starts a port of each kind over a descriptor that is closed, in turn, and returns the errors that its
/// owner is told of before it closes.
fn errors<I: Send + std::fmt::Debug + 'static, O: Send + 'static>(
    on: &Systems,
    port: port::Builder<I, O>,
) -> Vec<PortError> {
    let backend = on.here().backend().clone();
    run_process(on.here(), Builder::new(), move |mut me: Process<Event<I>>| {
        let port = port.on(&backend).into_mailbox(&me.me(), |event| event).unwrap();
        let mut errors = Vec::new();
        loop {
            match me.receive().wait().message().unwrap() {
                Event::Error(error) => errors.push(error),
                Event::Closed => break,
                other => panic!("{other:?}"),
            }
        }
        assert!(port.ended().wait().is_normal());
        errors
    })
}

fn the_owner_of_a_port_is_told_of_a_closed_descriptor(on: &Systems) {
    let stream = UnixStream::from(StdStream::from(none()));
    let udp = UdpSocket::from(std::net::UdpSocket::from(none()));
    let unix = UnixDatagram::from(std::os::unix::net::UnixDatagram::from(none()));
    let read = [
        errors(on, port::lines(stream)),
        errors(on, port::lines(file())),
        errors(on, port::udp(udp)),
        errors(on, port::datagrams(unix)),
    ];
    let accept = [errors(on, port::accept(tcp_listener())), errors(on, port::accept(unix_listener()))];
    for (first, told) in [(During::Read, &read[..]), (During::Accept, &accept[..])] {
        for errors in told {
            for (place, error) in errors.iter().enumerate() {
                let PortError::Io { during, error } = error else { panic!("{error}") };
                // A stream is closed then, and that fails, too.
                assert_eq!(*during, if place == 0 { first } else { During::Close });
                assert_bad(error);
            }
            assert!(!errors.is_empty());
        }
    }
    // A child's pipe, and the other one and its status come all the same.
    let mut command = Command::new("sh");
    command.args(["-c", "echo trouble >&2"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    make_none(child.stdout.as_ref().unwrap());
    let port = port::child(child).on(on.here().backend()).start().unwrap();
    let (mut closed, mut lines) = (0, 0);
    loop {
        match port.recv().wait().unwrap() {
            Event::Error(PortError::Io { during: During::Read, error }) => {
                assert_bad(&error);
                closed += 1;
            }
            Event::Item(ChildItem::Stderr(line)) => {
                assert_eq!(line, "trouble");
                lines += 1;
            }
            Event::Item(ChildItem::Exited(status)) => break assert!(status.success()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((closed, lines), (1, 1));
    // A file's requests are given back.
    let port = port::file(file()).on(on.here().backend()).start().unwrap();
    for request in [FileRequest::Read { at: 0, len: 1 }, FileRequest::Sync] {
        port.send(request.clone()).wait().unwrap();
        match port.recv().wait().unwrap() {
            Event::Item(FileAnswer::Failed { request: back, error }) => {
                assert_eq!(back, request);
                assert_bad(&error);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Checks that what is sent is told of as not written, and that the input goes on.
fn assert_output_is_closed<T: Send + std::fmt::Debug + 'static>(port: &Port<T, String>) {
    port.send("unheard".to_owned()).wait().unwrap();
    match port.recv().wait().unwrap() {
        Event::Error(PortError::Io { during: During::Write, error }) => assert_bad(&error),
        other => panic!("{other:?}"),
    }
    assert!(port.send("more".to_owned()).wait().is_err());
}

fn the_owner_of_a_port_is_told_of_an_output_that_is_closed(on: &Systems) {
    let (reader, theirs) = UnixStream::pair().unwrap();
    let writer = UnixStream::from(StdStream::from(none()));
    let port = port::lines(Halves { reader, writer }).on(on.here().backend()).start().unwrap();
    assert_output_is_closed(&port);
    theirs.write_all(b"heard\n").wait().unwrap();
    assert!(matches!(port.recv().wait().unwrap(), Event::Item(line) if line == "heard"));
}

/// Checks that it is ready at once, whatever there is.
#[track_caller]
fn assert_moves_nothing<T: PartialEq + std::fmt::Debug + Default>(
    operation: impl Future<Output = io::Result<T>>,
) {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(moved)) => assert_eq!(moved, T::default()),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_polls_nothing(polled: Poll<io::Result<usize>>) {
    assert!(matches!(polled, Poll::Ready(Ok(0))), "{polled:?}");
}

fn an_empty_buffer_of_a_pipe_moves_nothing(on: &Systems) {
    let task = on.here().spawn_fn(|| {
        let mut child = idle_child();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        assert_moves_nothing(stdout.read(&mut []));
        assert_eq!(Read::read(&mut stdout, &mut []).unwrap(), 0);
        let cx = &mut Context::from_waker(Waker::noop());
        assert_polls_nothing(pin!(&mut stdout).poll_read(cx, &mut []));
        // It takes none where there is no room either.
        while let Poll::Ready(written) = pin!(&mut stdin).poll_write(cx, &[0; 4096]) {
            written.unwrap();
        }
        assert_moves_nothing(stdin.write(&[]));
        assert_moves_nothing(stdin.write_all(&[]));
        assert_eq!(Write::write(&mut stdin, &[]).unwrap(), 0);
        assert_polls_nothing(pin!(&mut stdin).poll_write(cx, &[]));
        let mut reader = BufReader::new(stdout);
        assert_moves_nothing(reader.read(&mut []));
        assert_eq!(reader.peek(0).wait().unwrap(), []);
        let mut writer = BufWriter::new(stdin);
        assert_moves_nothing(writer.write_all(&[]));
        assert_eq!(writer.buffer(), []);
    });
    task.wait().unwrap();
}

fn an_empty_buffer_of_a_file_moves_nothing(on: &Systems) {
    let task = on.here().spawn(async {
        let dir = Dir::new();
        let path = dir.join("file");
        let file = OpenOptions::new().read(true).write(true).create(true).open(&path).await.unwrap();
        file.write_all(b"content").await.unwrap();
        for at in [0, 3, 100] {
            assert_eq!(file.read_at(&mut [], at).await.unwrap(), 0);
            assert_eq!(file.write_at(&[], at).await.unwrap(), 0);
        }
        assert_eq!(file.write(&[]).await.unwrap(), 0);
        assert_eq!(file.read(&mut []).await.unwrap(), 0);
        assert_eq!(std::fs::read(&path).unwrap(), b"content");
        // A pipe with nothing in it has nobody wait.
        let (pipe, _other) = dir.pipe();
        assert_eq!(pipe.read(&mut []).await.unwrap(), 0);
        assert_eq!(pipe.write(&[]).await.unwrap(), 0);
    });
    task.wait().unwrap();
}

fn an_empty_buffer_of_a_standard_stream_moves_nothing(on: &Systems) {
    let (input, _open) = StdStream::pair().unwrap();
    let mut child = on.child(|| {
        let task = on.here().spawn_fn(|| {
            // Nothing comes, and the input is open.
            assert_eq!(stdin().read(&mut []).wait().unwrap(), 0);
            assert_eq!(Read::read(&mut stdin(), &mut []).unwrap(), 0);
            assert_eq!(stdout().write(&[]).wait().unwrap(), 0);
            assert_eq!(stderr().write(&[]).wait().unwrap(), 0);
            assert_eq!(Write::write(&mut stdout(), &[]).unwrap(), 0);
        });
        task.wait().unwrap();
    });
    let output = child.stdin(OwnedFd::from(input)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
