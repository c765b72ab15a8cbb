//! Both backends in one process: a server on green tasks has native tasks compute and write files for it.
//!
//! `cargo run --release --example mixed`
//!
//! Clients of its own ask it for some seconds; then every answer is checked, counted and found in the
//! journal. What runs where is decided here, in [`placement`], and nowhere else: `server.rs` and `load.rs` do
//! not know it.
#![deny(unsafe_code)]

#[path = "../http/connection.rs"]
mod connection;
#[path = "../http/head.rs"]
mod head;
mod load;
#[path = "../common/runtime.rs"]
mod runtime;
mod server;

use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use anyhow::ensure;
use clap::Parser;
use load::Tally;
use twoply::net::TcpListener;
use twoply::{Backend, Spawner, Wait, channel};

/// Serves, computes and writes for some seconds, and checks the results.
#[derive(Parser)]
struct Arguments {
    /// `mixed`: clients on green tasks, work on native ones. Or the name of one backend for both.
    #[arg(long, default_value = "mixed", value_parser = placement, value_name = "mixed|native|green|fibers")]
    backend: (Backend, Backend),
    /// For how many seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How many clients ask for the page; for each three of them one asks for primes.
    #[arg(long, default_value_t = 24)]
    clients: usize,
}

/// Where the connections are served, and where the work is done.
fn placement(name: &str) -> Result<(Backend, Backend), String> {
    match name {
        // With one of the features off, both are on the backend that is left.
        "mixed" => Ok((Backend::default(), "native".parse().unwrap_or_default())),
        name => name
            .parse()
            .map(|backend| (backend, backend))
            .map_err(|e: twoply::runtime::ParseBackendError| e.to_string()),
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let ((front, back), cores) = (arguments.backend, thread::available_parallelism()?.get());
    let runtime = runtime::start(front, cores)?;
    let other = (front != back).then(|| runtime::start(back, cores)).transpose()?;
    let (serving, working): (&Spawner, &Spawner) =
        (runtime.spawner(), other.as_ref().unwrap_or(&runtime).spawner());

    // The work: questions come in through one channel, what has been answered through another.
    let (questions, asked) = channel::bounded(64);
    let computers: Vec<_> = (0..cores)
        .map(|_| {
            let asked = asked.clone();
            working.spawn_fn(move || server::compute(asked))
        })
        .collect();
    let (answers, answered) = channel::bounded(4096);
    let path = env::temp_dir().join(format!("twoply-mixed-{}.log", process::id()));
    let file = fs::File::create(&path)?;
    let journal = working.spawn_fn(move || server::journal(answered, file));

    // The server, and its clients.
    let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    let address = listener.local_addr()?;
    let (open, closing) = channel::bounded(1);
    let office = server::Office { questions, answers, closing };
    let accepting = serving.spawn(server::accept(listener, serving.clone(), office));
    let (start, duration) = (Instant::now(), Duration::try_from_secs_f64(arguments.seconds)?);
    let until = start + duration;
    let pages = (0..arguments.clients).map(|_| serving.spawn(load::ask_for_pages(address, until)));
    let primes = (0..arguments.clients / 3).map(|_| serving.spawn(load::ask_for_primes(address, until)));
    let clients: Vec<_> = pages.chain(primes).collect();
    let mut tally = Tally::default();
    for client in clients {
        tally.add(client.wait()??);
    }
    let took = start.elapsed();

    // The end: no more clients, so no more questions, so nothing more to write.
    drop(open);
    accepting.wait()??;
    let mut computed = 0;
    for computer in computers {
        computed += computer.wait()??;
    }
    let batches = journal.wait()??;
    let written = fs::read_to_string(&path)?;
    fs::remove_file(&path)?;

    println!("clients on {front}, work on {back}, {cores} cores, {took:.1?}");
    tally.print(took);
    println!("the journal has {} lines, written and synced in {batches} batches", written.lines().count());
    ensure!(tally.wrong == 0, "{} answers were wrong", tally.wrong);
    ensure!(computed == tally.primes_asked(), "{computed} questions were answered");
    ensure!(written.lines().count() == tally.requests(), "{} requests were made", tally.requests());
    let sum = written.lines().map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    ensure!(sum == tally.sum, "the journal adds up to {sum}, the answers to {}", tally.sum);
    println!("all answers were right, and the journal agrees");
    for runtime in [Some(runtime), other].into_iter().flatten() {
        runtime.shutdown(Duration::from_secs(5))?;
    }
    Ok(())
}
