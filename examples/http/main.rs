//! An HTTP/1.1 server whose one source runs on threads, on green tasks and on fibers.
//!
//! `cargo run --release --example http -- --backend fibers --addr 127.0.0.1:8080`
//!
//! Three parties each seem to be in charge: the accept loop and the loop of each client, in `server.rs`, and
//! the protocol in `connection.rs`, which the client's loop asks for requests. None of them knows what it
//! runs on.
#![deny(unsafe_code)]

mod connection;
mod head;
#[path = "../common/runtime.rs"]
mod runtime;
mod server;

use std::time::Duration;

use clap::Parser;
use twoply::net::TcpListener;
use twoply::{Backend, Spawner, Task, Wait, channel, select, time};

/// Serves `GET /` and `POST /echo`, until it is interrupted or terminated.
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
    /// How many seconds running requests may take when the server ends.
    #[arg(long, default_value_t = 5.0)]
    drain: f64,
}

/// Starts `future` as a task. On fibers that is straight-line code, which waits for it.
fn spawn<F>(backend: Backend, spawner: &Spawner, future: F) -> Task<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    match backend {
        #[cfg(feature = "green")]
        Backend::Fibers => spawner.spawn_fn(move || future.wait()),
        _ => spawner.spawn(future),
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (interrupt, interrupted) = channel::unbounded();
    ctrlc::set_handler(move || interrupt.try_send(()).unwrap_or_default())?;
    let workers =
        arguments.workers.map_or_else(|| std::thread::available_parallelism().map(usize::from), Ok)?;

    let backend = arguments.backend;
    let runtime = runtime::start(backend, workers)?;
    let listener = TcpListener::bind(arguments.addr).wait()?;
    println!("http://{} on {backend}", listener.local_addr()?);
    // Nothing is ever sent: dropping `open` is the message.
    let (open, closing) = channel::bounded(1);
    let patience = Duration::try_from_secs_f64(arguments.patience)?;
    let spawner = runtime.spawner().clone();
    let start = move |client| spawn(backend, &spawner, server::serve(client)).detach();
    let accepting = spawn(backend, runtime.spawner(), server::accept(listener, closing, patience, start));
    select! { wait;
        ended = accepting => ended??,
        _ = interrupted.recv() => {}
    }

    drop(open);
    let drain = Duration::try_from_secs_f64(arguments.drain)?;
    let tasks = runtime.spawner().tasks();
    if time::timeout(drain, tasks.wait_empty()).wait().is_err() {
        eprintln!("giving up on {} clients", tasks.len());
    }
    Ok(runtime.shutdown(Duration::from_secs(1))?)
}
