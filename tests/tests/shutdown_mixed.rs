//! A runtime that is shut down while another one, of another kind, goes on: what each has of the other ends
//! in the order of the table in the documentation of `twoply::shutdown`, and nothing else does.

use std::io::{Read, Write};
use std::net as std_net;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::actor::{Builder, Event, ExitReason, Process};
use twoply_core::net::TcpStream;
use twoply_core::port;
use twoply_core::process::{Command, Stdio};
use twoply_tests::{Gate, Systems, eventually, far, laws};

laws! {
    mixed {
        a_port_ends_with_an_owner_that_is_shut_down_elsewhere,
        an_owner_is_told_of_a_port_that_is_shut_down_elsewhere,
        a_connection_goes_on_where_its_runtime_is_shut_down,
        a_child_ends_with_a_task_that_is_shut_down_elsewhere,
    }
}

const SOON: Duration = Duration::from_secs(10);

/// A connection: an end of this library, and one of std.
fn connection() -> (TcpStream, std_net::TcpStream) {
    let listener = std_net::TcpListener::bind("127.0.0.1:0").unwrap();
    let here = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
    (here, listener.accept().unwrap().0)
}

fn a_port_ends_with_an_owner_that_is_shut_down_elsewhere(on: &Systems) {
    let body = async |mut me: Process<port::Event<String>>| while me.receive().await.is_message() {};
    let owner = far(on).spawn(body).unwrap();
    let (ours, mut theirs) = connection();
    let port = port::lines(ours).on(on.here().backend()).into_mailbox(&owner, |event| event).unwrap();
    let (ours, mut others) = connection();
    let other = port::lines(ours).on(on.here().backend()).start().unwrap();
    // What has been sent by then is written, as far as that takes no waiting.
    port.send("the last words".to_owned()).wait().unwrap();
    on.there().shutdown(SOON).unwrap();
    assert_eq!(owner.ended().wait(), ExitReason::Shutdown);
    port.ended().wait();
    let mut all = String::new();
    theirs.read_to_string(&mut all).unwrap();
    assert_eq!(all, "the last words\n");
    // Whoever has nothing to do with it goes on.
    others.write_all(b"still here\n").unwrap();
    assert_eq!(other.recv().wait().unwrap().item().as_deref(), Some("still here"));
}

fn an_owner_is_told_of_a_port_that_is_shut_down_elsewhere(on: &Systems) {
    let (ours, mut theirs) = connection();
    let there = on.there().backend().clone();
    let ((begun, begins), (tell, told)) = (mpsc::channel(), mpsc::channel());
    let owner = Builder::new().trap_exit(true).on(on.here().backend());
    let owner = owner.spawn_fn(move |mut me: Process<port::Event<String>>| {
        let port = port::lines(ours).on(&there).into_mailbox(&me.me(), |event| event).unwrap();
        let monitor = me.monitor(&port.pid());
        me.link(&port.pid());
        begun.send(()).unwrap();
        let mut reasons = Vec::new();
        while reasons.len() < 2 {
            match me.receive().wait() {
                Event::Down(down) => {
                    assert_eq!(down.monitor, monitor);
                    reasons.push(down.reason);
                }
                Event::Exit(exit) => reasons.push(exit.reason),
                other => panic!("{}", other.is_message()),
            }
        }
        assert!(port.send("late".to_owned()).wait().is_err());
        tell.send(reasons).unwrap();
    });
    begins.recv().unwrap();
    on.there().shutdown(SOON).unwrap();
    assert_eq!(told.recv().unwrap(), [ExitReason::Shutdown, ExitReason::Shutdown]);
    assert!(owner.unwrap().ended().wait().is_normal());
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
}

fn a_connection_goes_on_where_its_runtime_is_shut_down(on: &Systems) {
    let (ours, mut theirs) = connection();
    let ours = Arc::new(ours);
    // One that reads there, suspended and blocked, takes nothing when it is cut off.
    for blocked in [false, true] {
        let (reader, begun) = (ours.clone(), Gate::new());
        let reading = begun.clone().open_when_polled(async move { reader.read(&mut [0; 8]).await });
        match blocked {
            true => on.there().spawn_fn(move || drop(Box::pin(reading).wait())).detach(),
            false => on.there().spawn(async move { drop(Box::pin(reading).await) }).detach(),
        }
        eventually("it reads", || begun.is_open());
    }
    on.there().shutdown(SOON).unwrap();
    theirs.write_all(b"whole").unwrap();
    let echo = on.here().spawn(async move {
        let mut buf = [0; 5];
        ours.read_exact(&mut buf).await.unwrap();
        ours.write_all(&buf).await.unwrap();
    });
    let mut back = [0; 5];
    theirs.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"whole");
    echo.wait().unwrap();
}

fn a_child_ends_with_a_task_that_is_shut_down_elsewhere(on: &Systems) {
    let start = |kill: bool| {
        let mut command = Command::new("cat");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(kill).spawn();
        child.unwrap()
    };
    // A task there has the one child, a task here has a pipe of it, and a port here has the other child.
    let mut child = start(true);
    let (mut stdout, begun) = (child.stdout.take().unwrap(), Gate::new());
    // Its input stays open, so that nothing but a signal ends it.
    let stdin = child.stdin.take();
    let waiting = begun.clone().open_when_polled(async move { drop(child.wait().await) });
    on.there().spawn(async move { Box::pin(waiting).await }).detach();
    eventually("it waits", || begun.is_open());
    let other = port::child(start(false)).on(on.here().backend()).start().unwrap();
    let ending = on.here().spawn(async move { stdout.read(&mut [0]).await });
    on.there().shutdown(SOON).unwrap();
    assert_eq!(ending.wait().unwrap().unwrap(), 0, "it has been killed");
    drop(stdin);
    other.send("still here".to_owned()).wait().unwrap();
    let item = other.recv().wait().unwrap().item().unwrap();
    assert_eq!(item.stdout().as_deref(), Some("still here"));
}
