//! Libraries of others on twoply and on tokio, side by side: requests a second, CPU time of each request, and
//! how long requests take.
//!
//! The system that is measured runs in a process of its own, so that its CPU time is known; a server gets its
//! requests from this process, which is the same for all, and a client asks a real database. Contestants take
//! turns, and what is printed are medians of the rounds. The last part counts what polls, spawns and messages
//! cost with and without a library's context around them.

mod clients;
mod load;
mod measure;
mod prices;
mod servers;
mod sides;

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::load::Shape;
use crate::measure::Figures;
use crate::sides::{Child, Side};

/// What is measured, and for how long.
#[derive(Parser)]
struct Arguments {
    /// Only cases whose names contain this.
    #[arg(long, default_value = "")]
    only: String,
    /// How often each contestant has its turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long a turn takes, in milliseconds.
    #[arg(long, default_value_t = 1_500)]
    millis: u64,
    /// One short turn each, to see that everything works.
    #[arg(long)]
    quick: bool,
    /// The contestants, besides tokio.
    #[arg(long, value_delimiter = ',', default_value = "green")]
    sides: Vec<Side>,
    /// Is what is measured: a server of this kind, or a client. For the program itself.
    #[arg(long, hide = true)]
    be: Option<String>,
    /// The runtime of that. For the program itself.
    #[arg(long, hide = true, default_value = "tokio")]
    side: Side,
    /// Where the database of a client is. For the program itself.
    #[arg(long, hide = true, default_value_t = 0)]
    port: u16,
    /// How many requests of a client are under way at a time. For the program itself.
    #[arg(long, hide = true, default_value_t = 1)]
    flight: usize,
    /// Does one kind of operation so often, for programs that count instructions.
    #[arg(long, hide = true, num_args = 3, value_names = ["WHAT", "WITH", "TIMES"])]
    count: Vec<String>,
    /// Prints the CPU time of that. For the program itself.
    #[arg(long, hide = true)]
    timed: bool,
}

/// A case: its name, and what is asked of whom.
type Case = (&'static str, Work);

/// What is asked of whom.
enum Work {
    /// A server of this kind gets requests.
    Server(&'static str, Shape, usize),
    /// A client of this database asks so many questions at a time.
    Client(&'static str, usize),
}

/// The cases in their order.
fn cases() -> Vec<Case> {
    vec![
        ("http1, 1 connection", Work::Server("hyper", Shape::Http1, 1)),
        ("http1, 64 connections", Work::Server("hyper", Shape::Http1, 64)),
        ("http1, 1,000 connections", Work::Server("hyper", Shape::Http1, 1_000)),
        ("http2, 1 connection", Work::Server("hyper", Shape::Http2, 1)),
        ("http2, 64 connections", Work::Server("hyper", Shape::Http2, 64)),
        ("http2, 1,000 connections", Work::Server("hyper", Shape::Http2, 1_000)),
        ("axum JSON echo, 64 connections", Work::Server("axum", Shape::Json, 64)),
        ("TLS echo, 64 connections", Work::Server("tls", Shape::Tls, 64)),
        ("postgres, 8 in flight", Work::Client("postgres", 8)),
        ("postgres, 64 in flight", Work::Client("postgres", 64)),
        ("redis GET, 64 in flight", Work::Client("redis", 64)),
    ]
}

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    if let [what, with, times] = &arguments.count[..] {
        return prices::count(what, with, times.parse()?, arguments.timed);
    }
    if let Some(kind) = &arguments.be {
        return match kind.as_str() {
            "postgres" | "redis" => {
                clients::run(kind, arguments.side, arguments.port, arguments.flight, arguments.millis)
            }
            kind => servers::run(kind, arguments.side),
        };
    }
    if arguments.quick {
        (arguments.rounds, arguments.millis) = (1, 100);
    }
    for (name, work) in cases() {
        if name.contains(&arguments.only) {
            compare(name, &work, &arguments).with_context(|| name)?;
        }
    }
    if "prices".contains(&arguments.only) {
        prices::print(arguments.quick)?;
    }
    Ok(())
}

/// Has each contestant do the work in turns, and prints their figures.
fn compare(name: &str, work: &Work, arguments: &Arguments) -> Result<()> {
    let database = match work {
        Work::Client("postgres", _) => twoply_integrations::postgres()?,
        Work::Client(..) => twoply_integrations::redis()?,
        Work::Server(..) => None,
    };
    if matches!(work, Work::Client(..)) && database.is_none() {
        return Ok(());
    }
    let sides: Vec<Side> = [Side::Tokio].into_iter().chain(arguments.sides.iter().copied()).collect();
    let mut runs: Vec<Vec<Figures>> = vec![Vec::new(); sides.len()];
    for _ in 0..arguments.rounds {
        for (side, runs) in sides.iter().zip(&mut runs) {
            runs.push(match work {
                Work::Server(kind, shape, connections) => {
                    let mut child = Child::server(kind, *side)?;
                    load::run(&mut child, *shape, *connections, arguments.millis)?
                }
                Work::Client(kind, flight) => {
                    let port = database.as_ref().map_or(0, |server| server.port);
                    Child::ask(kind, *side, port, *flight, arguments.millis)?
                }
            });
        }
    }
    println!("{name}, {} rounds", arguments.rounds);
    for (side, figures) in sides.iter().zip(&runs) {
        println!("  {side:6?} {}", measure::compare(figures, &runs[0]));
    }
    Ok(())
}
