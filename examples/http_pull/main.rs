//! An HTTP/1.1 server from which the application pulls requests, to answer them in an order of its own.
//!
//! `cargo run --release --example http_pull -- --backend fibers --addr 127.0.0.1:8080`
//!
//! Everybody seems to be in charge: the application loops over requests on the main thread, the accept loop
//! over clients, and the two loops of each client (`connection.rs`) over what it sends and what it is owed. A
//! client that sends several requests at a time gets the answers in their order, though the application may
//! have given them in another one. Try it:
//!
//! ```sh
//! curl localhost:8080/wait & curl localhost:8080/wait &    # both wait
//! curl -d '' localhost:8080/release                        # and are answered, the last one first
//! ```
#![deny(unsafe_code)]

mod connection;
#[path = "../http/head.rs"]
mod head;
#[path = "../common/runtime.rs"]
mod runtime;
mod server;

use std::time::Duration;

use clap::Parser;
use twoply::net::TcpListener;
use twoply::signal::{SignalKind, Signals};
use twoply::{Backend, Wait};

use connection::{Request, Settings};
use server::{Server, Starter};

/// Serves `GET /`, `POST /echo`, `GET /wait` and `POST /release`, until it is interrupted or terminated.
#[derive(Parser)]
struct Arguments {
    /// What the server runs on.
    #[arg(long, default_value_t)]
    backend: Backend,
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: String,
    /// How many workers green tasks have; one a core unless given.
    #[arg(long)]
    workers: Option<usize>,
    /// How many seconds a client may take to send a request, or to read an answer.
    #[arg(long, default_value_t = 10.0)]
    patience: f64,
    /// How many seconds the application may leave a request unanswered.
    #[arg(long, default_value_t = 30.0)]
    answer_within: f64,
}

/// The application: one loop over the requests of all clients.
fn answer(server: &Server) {
    let mut waiting: Vec<Request> = Vec::new();
    for mut request in server.requests() {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET" | "HEAD", "/") => _ = request.reply("200 OK", "Hello from two plies.\n"),
            ("POST", "/echo") => {
                let body = std::mem::take(&mut request.body);
                request.reply("200 OK", body);
            }
            ("GET", "/wait") => {
                waiting.retain(Request::is_awaited);
                waiting.push(request);
            }
            ("POST", "/release") => {
                let mut released = 0;
                while let Some(waiting) = waiting.pop() {
                    released += usize::from(waiting.reply("200 OK", "You have waited.\n"));
                }
                request.reply("200 OK", format!("{released} have waited.\n"));
            }
            _ => _ = request.reply("404 Not Found", "There is nothing here.\n"),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let signals = Signals::new([SignalKind::INTERRUPT, SignalKind::TERMINATE])?;
    let workers =
        arguments.workers.map_or_else(|| std::thread::available_parallelism().map(usize::from), Ok)?;
    let runtime = runtime::start(arguments.backend, workers)?;
    let listener = TcpListener::bind(arguments.addr).wait()?;
    println!("http://{} on {}", listener.local_addr()?, arguments.backend);

    let straight = arguments.backend.name() == "fibers";
    let starter = Starter { spawner: runtime.spawner().clone(), straight };
    let settings = Settings {
        patience: Duration::try_from_secs_f64(arguments.patience)?,
        idle: Duration::from_secs(60),
        answer_within: Duration::try_from_secs_f64(arguments.answer_within)?,
        pipeline: 64,
        backlog: 1024,
    };
    let (server, closer) = Server::start(listener, starter, settings);
    let closing = runtime.spawner().spawn(async move {
        signals.next().await;
        drop(closer);
    });
    // It ends when the server does, for whatever reason.
    answer(&server);
    closing.cancel();
    server.ended().wait()?;
    Ok(runtime.shutdown(Duration::from_secs(1))?)
}
