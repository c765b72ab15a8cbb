//! Many pages from a service that bears few connections: how to keep its limits, and one's own.
//!
//! `cargo run --example limits`
//!
//! Pages are fetched in parallel and come out in order (`buffered`), over a few connections only (a
//! semaphore); an attempt that fails or takes too long is repeated after a pause (backoff, with jitter),
//! during which others have the connection; and when the reader has seen enough, a token ends all that is
//! under way.
#![deny(unsafe_code)]

mod backoff;
#[path = "../common/runtime.rs"]
mod runtime;
mod service;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use backoff::Backoff;
use clap::Parser;
use service::{Refusal, Service};
use twoply::stream::{self, Stream};
use twoply::sync::{CancellationToken, Semaphore};
use twoply::time::timeout;
use twoply::{Backend, Spawner, Wait, time};

/// Fetches pages from a service that bears few connections.
#[derive(Parser)]
struct Arguments {
    /// What everything runs on.
    #[arg(long, default_value_t)]
    backend: Backend,
    /// How many pages there are.
    #[arg(long, default_value_t = 200)]
    pages: u32,
    /// How many pages are under way at the same time.
    #[arg(long, default_value_t = 16)]
    parallel: usize,
    /// How many connections the service bears.
    #[arg(long, default_value_t = 4)]
    connections: usize,
}

/// The way to the service, and how many may go it at a time.
struct Client {
    service: Service,
    connections: Semaphore,
}

impl Client {
    /// Fetches a page, with as many attempts as it takes, up to a limit.
    async fn fetch(&self, page: u32) -> anyhow::Result<String> {
        let mut pauses = Backoff::new(Duration::from_millis(1), Duration::from_millis(20), 20);
        loop {
            let connection = self.connections.acquire().await?;
            let fetched = timeout(Duration::from_secs(1), self.service.fetch(page)).await;
            // Others may have it while this one waits for its next attempt.
            drop(connection);
            match fetched {
                Ok(Ok(text)) => return Ok(text),
                Ok(Err(Refusal::TooManyConnections)) => bail!("too many connections at once"),
                Ok(Err(Refusal::Busy)) | Err(_) => {}
            }
            let pause = pauses.next().with_context(|| format!("page {page} cannot be had"))?;
            time::sleep(pause).await;
        }
    }
}

/// Reads up to `wanted` pages, in order, and returns how many those were.
async fn read(
    spawner: &Spawner,
    client: &Arc<Client>,
    arguments: &Arguments,
    wanted: u32,
) -> anyhow::Result<u32> {
    let enough = CancellationToken::new();
    let mut pages = stream::iter(0..arguments.pages)
        .map(|page| {
            let (client, enough) = (Arc::clone(client), enough.child_token());
            // A task, so that pages are under way while the reader is busy. It starts when there is a place.
            spawner.spawn(async move { enough.run_until_cancelled(client.fetch(page)).await })
        })
        .buffered(arguments.parallel)
        .take_until(enough.clone().cancelled_owned());
    let mut read = 0;
    while let Some(fetched) = pages.next().await {
        let Some(page) = fetched? else { break };
        ensure!(page? == format!("page {read}"), "the pages come in order");
        read += 1;
        if read == wanted {
            enough.cancel();
        }
    }
    Ok(read)
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = runtime::start(arguments.backend, 2)?;
    let spawner = runtime.spawner().clone();
    let client = Arc::new(Client {
        service: Service::new(arguments.connections),
        connections: Semaphore::new(arguments.connections),
    });
    for wanted in [arguments.pages, arguments.pages / 10] {
        let start = Instant::now();
        let read = read(&spawner, &client, &arguments, wanted).wait()?;
        ensure!(read == wanted, "{read} pages of {wanted} were read");
        println!("{read} pages over {} connections in {:.0?}", arguments.connections, start.elapsed());
        // What was under way has been told, and ends.
        spawner.tasks().wait_empty().wait();
        ensure!(client.service.connections() == 0, "a connection is still open");
    }
    runtime.shutdown(Duration::from_secs(5))?;
    Ok(())
}
