//! A chat in which one process owns everything: the listener, the connections, a child process, a clock and
//! the signals. All of it arrives in one mailbox, so there is one loop, no lock and nothing to be closed.
//!
//! `cargo run --example switchboard`, and then in two other terminals `nc 127.0.0.1 7777`. The line `?DATE`,
//! in which the word is a format of date(1), is answered by the child: `?%A` asks for the day of the week.
//! With `--self-test` the program is its own guests, checks what they see, and ends.
#![deny(unsafe_code)]

#[path = "../common/runtime.rs"]
mod runtime;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;
use std::{io, process};

use anyhow::ensure;
use clap::Parser;
use twoply::actor::{Event, Process, ProcessRef};
use twoply::net::{TcpListener, TcpStream};
use twoply::port::{self, ChildItem, Lines, PortRef};
use twoply::process::{Command, Stdio};
use twoply::signal::SignalKind;
use twoply::{Backend, Wait};

/// Lets people chat.
#[derive(Parser)]
struct Arguments {
    /// What the process runs on.
    #[arg(long, default_value_t)]
    backend: Backend,
    /// Where the room is.
    #[arg(long, default_value = "127.0.0.1:7777")]
    addr: String,
    /// Connects guests of its own, checks what they see, and ends.
    #[arg(long)]
    self_test: bool,
}

/// What reaches the process.
enum Message {
    /// A connection.
    Door(port::Event<(TcpStream, SocketAddr)>),
    /// A line of a guest, or what else there is to be said of it.
    Guest(u64, port::Event<String>),
    /// A line of the child.
    Clerk(port::Event<ChildItem<String>>),
    /// A second has passed.
    Tick,
    /// The program is to end.
    Quit,
}

/// The state of the room.
struct Room {
    /// The mailbox that everything arrives in.
    own: ProcessRef<Message>,
    guests: BTreeMap<u64, PortRef<String, String>>,
    /// The child that knows what day it is.
    clerk: PortRef<ChildItem<String>, String>,
    /// The guests that have asked it something, in order.
    askers: VecDeque<u64>,
    seconds: u64,
}

impl Room {
    /// Starts the child and the clock, and listens to signals.
    fn open(own: ProcessRef<Message>) -> anyhow::Result<Room> {
        let script = r#"while read -r format; do date "+$format"; done"#;
        let mut shell = Command::new("sh");
        let shell = shell.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let clerk = port::child(shell.spawn()?).into_mailbox(&own, Message::Clerk)?;
        port::timer(Duration::from_secs(1)).into_mailbox(&own, |_| Message::Tick)?;
        let signals = port::signals([SignalKind::INTERRUPT, SignalKind::TERMINATE])?;
        signals.into_mailbox(&own, |_| Message::Quit)?;
        Ok(Room { own, guests: BTreeMap::new(), clerk, askers: VecDeque::new(), seconds: 0 })
    }

    /// Lets a guest in. Who talks faster than the room listens has to wait: the mailbox is bounded.
    fn let_in(&mut self, number: u64, stream: TcpStream) {
        // A line ends somewhere, or the guest is told.
        let codec = Lines::new().maximum(1_000);
        let guest = port::custom(stream, codec.clone(), codec);
        if let Ok(guest) = guest.into_mailbox(&self.own, move |event| Message::Guest(number, event)) {
            self.guests.insert(number, guest);
            self.say(&format!("* {number} comes in"));
        }
    }

    /// Says a line to all. Who does not read has no room for it, and misses it.
    fn say(&self, line: &str) {
        for guest in self.guests.values() {
            let _ = guest.try_send(line.to_owned());
        }
    }

    fn hear(&mut self, number: u64, event: port::Event<String>) {
        match event {
            port::Event::Item(line) => match line.strip_prefix('?') {
                Some(question) if self.clerk.try_send(question.to_owned()).is_ok() => {
                    self.askers.push_back(number);
                }
                _ => self.say(&format!("{number}: {line}")),
            },
            port::Event::Error(error) => {
                if let Some(guest) = self.guests.get(&number) {
                    let _ = guest.try_send(format!("* {error}"));
                }
            }
            port::Event::Closed => {
                self.guests.remove(&number);
                self.say(&format!("* {number} goes"));
            }
            _ => {}
        }
    }

    fn answer(&mut self, answer: String) {
        if let Some(guest) = self.askers.pop_front().and_then(|asker| self.guests.get(&asker)) {
            let _ = guest.try_send(format!("* {answer}"));
        }
    }
}

/// Serves the room, until it is told to end.
async fn serve(mut me: Process<Message>, listener: TcpListener) -> anyhow::Result<()> {
    let mut room = Room::open(me.me())?;
    port::accept(listener).into_mailbox(&me.me(), Message::Door)?;
    let mut next = 1;
    loop {
        match me.receive().await {
            Event::Message(Message::Door(port::Event::Item((stream, _)))) => {
                room.let_in(next, stream);
                next += 1;
            }
            Event::Message(Message::Guest(number, event)) => room.hear(number, event),
            Event::Message(Message::Clerk(port::Event::Item(ChildItem::Stdout(answer)))) => {
                room.answer(answer)
            }
            Event::Message(Message::Tick) => room.seconds += 1,
            Event::Message(Message::Quit) => break,
            Event::Message(Message::Door(port::Event::Closed)) => break,
            _ => {}
        }
    }
    println!("open for {} s, {} guests at the end", room.seconds, room.guests.len());
    // The ports close with the process.
    Ok(())
}

/// Plays two guests, and ends the program as a user would.
fn test(address: SocketAddr) -> anyhow::Result<()> {
    let guest = || port::connect::<_, String>(address, Lines::new()).start();
    let line = |port: &port::Port<String, String>| loop {
        match port.recv().wait()? {
            port::Event::Item(line) if !line.ends_with("comes in") => return anyhow::Ok(line),
            port::Event::Item(_) => {}
            other => anyhow::bail!("{other:?}"),
        }
    };
    let first = guest()?;
    ensure!(matches!(first.recv().wait()?, port::Event::Item(line) if line == "* 1 comes in"));
    let second = guest()?;
    ensure!(matches!(second.recv().wait()?, port::Event::Item(line) if line == "* 2 comes in"));
    second.send("hello".to_owned()).wait()?;
    ensure!(line(&first)? == "2: hello" && line(&second)? == "2: hello");
    first.send("?the year %Y, or later".to_owned()).wait()?;
    let answer = line(&first)?;
    ensure!(answer.starts_with("* the year 2"), "{answer}");
    first.send("x".repeat(2_000)).wait()?;
    let refused = line(&first)?;
    ensure!(refused.ends_with("more than 1000 bytes before the delimiter"), "{refused}");
    drop(second);
    ensure!(line(&first)? == "* 2 goes");
    let own = process::id().to_string();
    ensure!(process::Command::new("kill").args(["-TERM", &own]).status()?.success());
    ensure!(matches!(first.recv().wait()?, port::Event::Closed), "the room is closed");
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = runtime::start(arguments.backend, 2)?;
    let address = if arguments.self_test { "127.0.0.1:0" } else { &arguments.addr };
    let listener = TcpListener::bind(address).wait()?;
    let address = listener.local_addr()?;
    let (done, ended) = twoply::channel::oneshot();
    let room = twoply::actor::Builder::new().name("room").on(runtime.spawner().backend());
    room.spawn(move |me| async move {
        let _ = done.send(serve(me, listener).await);
    })?;
    if arguments.self_test {
        test(address)?;
    } else {
        println!("nc {} {}", address.ip(), address.port());
    }
    ended.wait().map_err(io::Error::other)??;
    runtime.shutdown(Duration::from_secs(5))?;
    Ok(())
}
