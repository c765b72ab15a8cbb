//! A chat: an actor for each client on green tasks, a logger on a thread of its own, and a supervisor above
//! them.
//!
//! `cargo run --example chat`, and then in two other terminals `nc 127.0.0.1 7777`.
//!
//! Lines go in and come out; `/nick NAME`, `/who` and `/quit` are commands. The names are those of a
//! registry, so that one is free again as soon as its guest is gone, however that comes about. With
//! `--self-test` the program is its own clients, checks what they see, and ends.
#![deny(unsafe_code)]

mod guest;
mod lines;
#[path = "../common/runtime.rs"]
mod runtime;
mod self_test;

use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use anyhow::Context as _;
use clap::Parser;
use guest::{Guest, Room};
use twoply::actor::supervisor::{ChildSpec, Mailbox, Restart, Supervisor, SupervisorRef};
use twoply::actor::{Actor, Context, Group, Process, Registry};
use twoply::net::TcpListener;
use twoply::{Backend, Wait, channel};

/// Lets people chat.
#[derive(Parser)]
struct Arguments {
    /// What the guests run on.
    #[arg(long, default_value_t)]
    backend: Backend,
    /// Where the room is.
    #[arg(long, default_value = "127.0.0.1:7777")]
    addr: String,
    /// Connects clients of its own, checks what they see, and ends.
    #[arg(long)]
    self_test: bool,
}

/// Writes down what is said. It blocks as it likes: it has a thread.
struct Logger;

impl Actor for Logger {
    type Message = Arc<str>;
    type Error = io::Error;

    async fn handle(&mut self, line: Arc<str>, _: &mut Context<Logger>) -> io::Result<()> {
        use io::Write as _;
        writeln!(io::stdout().lock(), "{line}")
    }
}

/// Lets guests in: each becomes a child of the supervisor `guests`, which is itself a child of `chat`.
async fn keep_the_door(listener: Arc<TcpListener>, chat: SupervisorRef, room: Room) -> anyhow::Result<()> {
    let mut clients = listener.incoming();
    for number in 1_u64.. {
        let stream = Arc::new(clients.accept().await?.0);
        let (name, room) = (format!("guest-{number}"), room.clone());
        let guests = chat.child_supervisor("guests").await?.context("the guests have no supervisor")?;
        let called = name.clone();
        let guest =
            ChildSpec::actor(name, move || Guest::new(called.clone(), Arc::clone(&stream), room.clone()));
        // A guest who has gone does not come back by itself. One who traps exits has time to say goodbye.
        let guest = guest.restart(Restart::Temporary).settings(|builder| builder.trap_exit(true));
        guests.start_child(guest).await?;
    }
    Ok(())
}

/// Opens the room: the logger, the guests, and the door that lets them in.
async fn open(
    listener: TcpListener,
    logger: ChildSpec<Arc<str>>,
) -> anyhow::Result<(SupervisorRef, Registry)> {
    let names = Registry::new();
    let room = Room { names: names.clone(), guests: Group::new(), log: logger.reference() };
    let chat = Supervisor::rest_for_one()
        .name("chat")
        .on(twoply::spawner().backend())
        .child(logger)
        .child(ChildSpec::supervisor("guests", Supervisor::dynamic()))
        .start()
        .await?;
    let (listener, above) = (Arc::new(listener), chat.clone());
    // Nobody sends the door anything, so it does not look into its mailbox.
    let door = move |_: Process<()>| keep_the_door(Arc::clone(&listener), above.clone(), room.clone());
    chat.start_child(ChildSpec::process("door", door)).await?;
    Ok((chat, names))
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let cores = thread::available_parallelism()?.get();
    let runtime = runtime::start(arguments.backend, cores)?;
    // The logger is on a thread, whatever the guests are on; without that backend it is where they are.
    let threads = "native".parse().ok().map(|native| runtime::start(native, cores)).transpose()?;
    let desk = threads.as_ref().unwrap_or(&runtime).spawner().backend();
    // It loses nothing: at a restart it keeps its mailbox, and where it is stopped, the signal to do so is
    // trapped, so that it comes behind what was said before.
    let logger = ChildSpec::actor("logger", || Logger).on(desk);
    let logger = logger.mailbox(Mailbox::Keep).settings(|builder| builder.trap_exit(true));

    let addr = if arguments.self_test { "127.0.0.1:0" } else { &arguments.addr };
    let listener = TcpListener::bind(addr).wait()?;
    let address = listener.local_addr()?;
    println!("the room is open: nc {} {}", address.ip(), address.port());
    let (chat, names) = runtime.spawn(open(listener, logger)).wait()??;

    if arguments.self_test {
        self_test::visit(address, &chat, &names)?;
    } else {
        let (interrupt, interrupted) = channel::bounded(1);
        ctrlc::set_handler(move || _ = interrupt.try_send(()))?;
        interrupted.recv().wait()?;
        println!("the room is closed: {}", chat.stop().wait());
    }
    for runtime in [Some(runtime), threads].into_iter().flatten() {
        runtime.shutdown(Duration::from_secs(5))?;
    }
    Ok(())
}
